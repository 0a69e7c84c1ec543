package iam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/policy"
)

// ErrStale is what Store.ChangePrincipals returns when the revision has moved on.
var ErrStale = errors.New("iam: the stored state has changed")

// Config is what a Directory needs.
type Config struct {
	Store  Store
	Sealer *Sealer
	Clock  func() time.Time // nil is time.Now
	Logger *slog.Logger     // nil is slog.Default

	// Region is that of calls which name none: those with a long-term API key, to a host that names none either.
	// "" is us-east-1.
	Region string

	// TrustedProxies are the addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto count for aws:SourceIp and
	// aws:SecureTransport.
	TrustedProxies []netip.Prefix

	// FailureLimit is how many requests of one Source that cannot be authenticated are told why, in FailureWindow: what is above it
	// reads fault.TooManyFailures. 0 tells all.
	FailureLimit  int
	FailureWindow time.Duration
}

// Directory is the accounts, users, keys and policies of an installation: served from memory, changed in the store.
// Many directories, in many processes, may stand on one store.
type Directory struct {
	store  Store
	sealer *Sealer
	clock  func() time.Time
	log    *slog.Logger
	region string

	proxies []netip.Prefix

	storedUses map[string]KeyUse // as they were when the store was opened
	usesSaved  time.Time         // see SaveUses

	opened   openedSessions
	failures failures
	current  atomic.Pointer[snapshot]
	changing sync.Mutex // see apply

	loading sync.Mutex // one load at a time, so that an older state never replaces a newer one

	recheck struct {
		sync.Mutex
		next *recheck  // the check that whoever comes now waits for; nil when none is planned
		last time.Time // when the last one began
	}
}

// domain is what the store counts the changes of accounts, users, keys and policies under.
const domain = "iam"

// recheckEvery is how often an unknown access key id may cost a look at the store.
const recheckEvery = 100 * time.Millisecond

type recheck struct {
	done chan struct{}
	err  error
}

// snapshot is a State made ready for authentication. It never changes.
type snapshot struct {
	edition  *edition // its own
	state    *State
	keys     map[string]*credential
	bearers  map[string]*longTermKey // by alias
	rosters  map[string]*Roster      // by account
	policies map[policyKey]*policy.Policy

	// What users and roles may do, by their ids; and root, by its account's, where a guardrail bounds it.
	sets map[string]*policy.Set

	trusts map[string]trust    // who may assume roles, by their ids
	roles  map[string]*lastUse // when sessions of roles were used last, by the roles' ids
}

// A trust is a role's trust policy. It is read before anybody asks, so that no answer takes longer for a role that there is.
type trust struct {
	document string
	policy   *policy.Policy
}

// An edition tells one snapshot from every other without keeping it.
type edition struct{ _ byte }

type policyKey struct{ name, document string }

// credential is an access key ready to verify with.
type credential struct {
	caller  Caller // without Region, Service and origin
	active  bool
	secret  string
	signing signingKeys
	used    *lastUse  // of a session the role's; nil of a user's or root's
	expires time.Time // of temporary credentials
}

// Open loads the store. It fails when a secret cannot be opened: the wrong key file is noticed at start.
func Open(ctx context.Context, cfg Config) (*Directory, error) {
	d := &Directory{store: cfg.Store, sealer: cfg.Sealer, clock: cfg.Clock, log: cfg.Logger, region: cfg.Region, proxies: cfg.TrustedProxies, failures: newFailures(cfg.FailureLimit, cfg.FailureWindow)}
	if d.region == "" {
		d.region = "us-east-1"
	}
	if d.clock == nil {
		d.clock = time.Now
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	uses, err := d.store.KeyUses(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the last uses of access keys and roles: %w", err)
	}
	d.storedUses = make(map[string]KeyUse, len(uses))
	for _, u := range uses {
		d.storedUses[u.Key] = u
	}
	if err := d.load(ctx, nil); err != nil {
		return nil, err
	}
	return d, nil
}

// Refresh takes over what has changed in the store, by this process or another. It is cheap when nothing has.
func (d *Directory) Refresh(ctx context.Context) error {
	revision, err := d.store.Revision(ctx, domain)
	if err != nil {
		return fmt.Errorf("read the revision of principals: %w", err)
	}
	last := d.current.Load()
	if revision == last.state.Revision {
		return nil
	}
	return d.load(ctx, last)
}

// Principals returns who may call in account, as a request from region with an access key would be: root first, then the
// users. It is for whoever asks a Guard what they may do; what a policy asks of the request itself is not there.
func (d *Directory) Principals(account, region string) []Caller {
	s := d.current.Load()
	o := s.rosters[account]
	if o == nil {
		return nil
	}
	out := []Caller{s.callerOf(o, nil)}
	for _, u := range o.Entities(UserKind, "/") {
		out = append(out, s.callerOf(o, u))
	}
	for i := range out {
		out[i].Region = region
	}
	return out
}

// load takes over what the store has. Where there is another snapshot than last by the time that it gets to it, somebody else has
// loaded meanwhile, and it asks first whether there is anything newer: with many principals a load takes its time.
func (d *Directory) load(ctx context.Context, last *snapshot) error {
	d.loading.Lock()
	defer d.loading.Unlock()
	if now := d.current.Load(); now != last {
		if revision, err := d.store.Revision(ctx, domain); err == nil && revision == now.state.Revision {
			return nil
		}
	}
	st, err := d.store.Principals(ctx)
	if err != nil {
		return fmt.Errorf("load principals: %w", err)
	}
	s, err := d.prepare(st, d.current.Load())
	if err != nil {
		return fmt.Errorf("load principals: %w", err)
	}
	d.current.Store(s)
	return nil
}

// prepare makes a snapshot of st. Policies that are in the last one are not parsed again.
func (d *Directory) prepare(st *State, last *snapshot) (*snapshot, error) {
	s := &snapshot{
		edition: new(edition), state: st, keys: make(map[string]*credential, len(st.Keys)), bearers: make(map[string]*longTermKey, len(st.Bearers)),
		rosters: st.rosters(), policies: make(map[policyKey]*policy.Policy, len(st.Inline)+len(st.Versions)), sets: make(map[string]*policy.Set, len(st.Entities)),
		trusts: make(map[string]trust), roles: make(map[string]*lastUse),
	}
	for _, o := range s.rosters {
		p := &parser{d, s, last}
		guardrail := p.guardrail(o)
		if guardrail != nil {
			s.sets[o.account] = &policy.Set{Identity: everything, Guardrail: guardrail}
		}
		for _, e := range o.entities {
			if e.Kind != GroupKind {
				s.sets[e.ID] = p.set(o, e)
				s.sets[e.ID].Guardrail = guardrail
			}
			if e.Kind == RoleKind {
				s.trusts[e.ID], s.roles[e.ID] = p.trust(e), d.usesOf(last, e.ID)
			}
		}
	}
	for i := range st.Keys {
		k := &st.Keys[i]
		secret, err := d.sealer.Open(k.Secret, k.ID)
		if err != nil {
			return nil, err
		}
		o := s.rosters[k.Account]
		if o == nil || k.Owner != "" && o.ids[k.Owner] == nil {
			d.log.Error("an access key belongs to nobody and is left out", "account", k.Account, "owner", k.Owner, "key", k.ID)
			continue
		}
		caller := s.callerOf(o, o.ids[k.Owner])
		caller.AccessKeyID = k.ID
		s.keys[k.ID] = &credential{caller: caller, active: k.Active, secret: secret, used: d.usesOf(last, k.ID)}
	}
	for i := range st.Bearers {
		k := &st.Bearers[i]
		o := s.rosters[k.Account]
		if o == nil || o.ids[k.Owner] == nil {
			d.log.Error("an API key belongs to nobody and is left out", "account", k.Account, "owner", k.Owner, "key", k.ID)
			continue
		}
		caller := s.callerOf(o, o.ids[k.Owner])
		caller.AccessKeyID = k.ID
		s.bearers[k.Alias] = &longTermKey{caller: caller, active: k.Active, hash: k.Hash, expires: k.ExpiresAt}
	}
	return s, nil
}

// everything is what an account's root may do.
var everything = literalPolicies(policy.Parse, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)

// nothing is what allows nothing and denies nothing: where a policy cannot be read, it stands for the whole layer.
var nothing = literalPolicies(policy.Parse, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"*","Resource":"*"}}`)

// refusal is what denies everything: where a policy of a caller cannot be read, also what a role's trust policy would give.
var refusal = literalPolicies(policy.Parse, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)

// literalPolicies reads a document that stands in the code.
func literalPolicies(parse func(string, []byte) (*policy.Policy, error), document string) []*policy.Policy {
	p, err := parse("", []byte(document))
	if err != nil {
		panic(err)
	}
	return []*policy.Policy{p}
}

// parser reads the policies of a snapshot that is being made. Those that are in the last one are not parsed again.
type parser struct {
	dir     *Directory
	s, last *snapshot // last may be nil
}

// parse reads a stored policy. One that cannot be read was written by a version that knows more, and is nil.
func (p *parser) parse(whose, name, document string) *policy.Policy {
	key := policyKey{name, document}
	parsed := p.s.policies[key]
	if parsed == nil && p.last != nil {
		parsed = p.last.policies[key]
	}
	if parsed == nil {
		var err error
		if parsed, err = policy.Parse(name, []byte(document)); err != nil {
			p.dir.log.Error("a stored policy cannot be read; who has it is denied everything", "entity", whose, "policy", name, "error", err)
			return nil
		}
	}
	p.s.policies[key] = parsed
	return parsed
}

// trust reads who may assume a role: nobody, where that cannot be read.
func (p *parser) trust(role *Entity) trust {
	if p.last != nil {
		if t, ok := p.last.trusts[role.ID]; ok && t.document == role.Trust {
			return t
		}
	}
	parsed, err := policy.ParseTrust(role.Name, []byte(role.Trust))
	if err != nil {
		p.dir.log.Error("a trust policy cannot be read; nobody may assume its role", "role", role.ARN(), "error", err)
		parsed = nobody
	}
	return trust{role.Trust, parsed}
}

// managed reads the version that counts of a managed policy, nil where there is none that can be read.
func (p *parser) managed(o *Roster, whose, arn string) *policy.Policy {
	if m := o.arns[arn]; m != nil {
		if v, err := o.Version(m, m.Default); err == nil {
			return p.parse(whose, arn, v.Document)
		}
	}
	p.dir.log.Error("a managed policy is missing; who has it is denied everything", "entity", whose, "policy", arn)
	return nil
}

// guardrail collects the policies that bound an account; nil where none does.
func (p *parser) guardrail(o *Roster) (layer []*policy.Policy) {
	for _, g := range o.guardrails {
		layer = append(layer, p.parse(rootARN(o.account), g.Name, g.Document))
	}
	if slices.Contains(layer, nil) {
		return nothing
	}
	return layer
}

// set collects the policies of e, its groups' too. Where one cannot be read e is denied everything, since part of the policies may
// allow what the rest denies.
func (p *parser) set(o *Roster, e *Entity) *policy.Set {
	set, whose := &policy.Set{}, e.ARN()
	for _, from := range append([]*Entity{e}, o.Groups(e)...) {
		for _, inline := range o.Inline(from) {
			set.Identity = append(set.Identity, p.parse(whose, inline.Name, inline.Document))
		}
		for _, arn := range o.attached[from.ID] {
			set.Identity = append(set.Identity, p.managed(o, whose, arn))
		}
	}
	if e.Boundary != "" {
		set.Boundary = []*policy.Policy{p.managed(o, whose, e.Boundary)}
	}
	if slices.Contains(set.Identity, nil) || slices.Contains(set.Boundary, nil) {
		return &policy.Set{Identity: refusal}
	}
	return set
}

// callerOf is who calls as a user, or as root where user is nil, as without a request.
func (s *snapshot) callerOf(o *Roster, user *Entity) Caller {
	if user == nil {
		return Caller{Account: o.account, Root: true, ARN: rootARN(o.account), ID: o.account, set: s.sets[o.account]}
	}
	return Caller{
		Account: o.account, ARN: user.ARN(), ID: user.ID, UserName: user.Name, tags: principalTags(user.Tags), set: s.sets[user.ID],
	}
}

func rootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

// credential finds the access key that r names. An unknown id may have been made a moment ago by another process: then it looks
// at the store, together with everybody else who asks at that time and no sooner than recheckEvery after the last look,
// so that strangers cost the database next to nothing. It returns nil for an id that there is not. What came with a session
// token is a session's: temporary credentials have ids of their own, and no other has a token.
func (a *Authenticator) credential(r *http.Request, id, token string) (*credential, error) {
	if token != "" {
		return a.sessionCredential(r, id, token)
	}
	if c := a.dir.current.Load().keys[id]; c != nil {
		return c, nil
	}
	if err := a.recheck(r); err != nil {
		return nil, err
	}
	return a.dir.current.Load().keys[id], nil
}

func (d *Directory) waitForRecheck(ctx context.Context) error {
	d.recheck.Lock()
	r := d.recheck.next
	if r != nil {
		d.recheck.Unlock()
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	r = &recheck{done: make(chan struct{})}
	d.recheck.next = r
	wait := time.Until(d.recheck.last.Add(recheckEvery))
	d.recheck.Unlock()

	// The first to ask looks for all who come before the look begins; it does not leave them when its caller does.
	if wait > 0 {
		time.Sleep(wait)
	}
	d.recheck.Lock()
	d.recheck.next, d.recheck.last = nil, time.Now()
	d.recheck.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r.err = d.Refresh(ctx)
	close(r.done)
	return r.err
}
