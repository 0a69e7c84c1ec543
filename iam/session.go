package iam

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/arn"
	"outcrop/fault"
	"outcrop/policy"
)

// Temporary credentials are kept nowhere: the session token is all there is to know of a session, sealed under a key of the
// key file and tied to its access key id. What a session may do is looked up when it is used, by the unique id of its role or
// user: when that is gone, the session is; that of root, which never goes, when the access key is that it asked with.

// The limits of sessions. Sources: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html,
// .../API_GetSessionToken.html and https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	defaultSession     = time.Hour      // of a role
	maxChainedSession  = time.Hour      // of a role that another role's session assumes
	defaultUserSession = 12 * time.Hour // of GetSessionToken
	maxRootSession     = time.Hour      // of GetSessionToken for root
	maxSessionPolicy   = 2048           // characters of the inline policy, and of the managed ones' ARNs together
	maxSessionPolicies = 10

	maxPacked = 4096 // bytes that a session's policies and tags take up, packed: what AWS tells a percentage of
)

// MaxToken is the longest that a session token may be, as it is sent.
const MaxToken = 8192

const msgExpiredToken = "The security token included in the request is expired"

// AssumeRequest is what is asked of AssumeRole, or AssumeRoleWithWebIdentity.
type AssumeRequest struct {
	Role           string        // its ARN; it may be in another account
	Session        string        // the session's name
	Duration       time.Duration // 0 is an hour
	Policy         string        // a policy that bounds the session; "" is none
	Policies       []string      // the ARNs of managed policies that do
	Tags           []Tag         // the session's, which come before the role's own
	Transitive     []string      // the keys of those that go on into the next role's session
	ExternalID     string
	SourceIdentity string
}

// SessionCredentials is temporary credentials, as they are given out, once.
type SessionCredentials struct {
	Credentials
	Token          string
	Expires        time.Time
	ARN            string // who calls with them
	CallerID       string // Caller.ID of who does
	SourceIdentity string
	Packed         *int // percent of what policies and tags may take up; nil where there are none
}

// A session is what a token says.
type session struct {
	Secret         string     `json:"k"`
	Account        string     `json:"a"`
	Owner          string     `json:"o,omitzero"` // Entity.ID of the role or the user; "" is root
	RootKey        string     `json:"r,omitzero"` // the access key that root asked with: root itself never goes
	Name           string     `json:"n,omitzero"` // of a role's session
	Issued         int64      `json:"i"`          // seconds since 1970
	Expires        int64      `json:"e"`          // likewise
	SourceIdentity string     `json:"s,omitzero"`
	Provider       string     `json:"p,omitzero"`
	bounds         `json:"-"` // packed, behind the rest

	size int // bytes of all that, unpacked, once it has been read
}

// bounds is the part of a session that the caller may make large.
type bounds struct {
	Policy     string      `json:"p,omitzero"`
	Policies   []string    `json:"m,omitzero"`
	Tags       [][2]string `json:"t,omitzero"`
	Transitive []string    `json:"x,omitzero"`
}

// pack writes b as small as it gets.
func (b *bounds) pack() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(text); err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

// seal makes the token of s for an access key id.
func (s *session) seal(sealer *Sealer, id string, packed []byte) (string, error) {
	head, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	plain := append(strconv.AppendInt(nil, int64(len(head)), 10), ' ')
	plain = append(append(plain, head...), packed...)
	return base64.StdEncoding.EncodeToString(sealer.sealSession(plain, id)), nil
}

// openSession reads a token. What has been sealed here is well-formed: ok is false for everything that has not.
func openSession(sealer *Sealer, id, token string) (s *session, ok bool) {
	if len(token) > MaxToken {
		return nil, false
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, false
	}
	plain, err := sealer.openSession(sealed, id)
	if err != nil {
		return nil, false
	}
	size, rest, _ := bytes.Cut(plain, []byte{' '})
	n, err := strconv.Atoi(string(size))
	if err != nil || n < 0 || n > len(rest) {
		return nil, false
	}
	s = &session{}
	if json.Unmarshal(rest[:n], s) != nil {
		return nil, false
	}
	const most = 128 << 10 // far above what the limits of AssumeRequest leave room for
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(rest[n:])), most))
	s.size = len(plain) + len(text)
	return s, err == nil && json.Unmarshal(text, &s.bounds) == nil
}

// An openedSession is a token that was found good, with what is made of it. Its signing keys serve until the next change of
// principals.
type openedSession struct {
	session
	id, token string
	inline    *policy.Policy // nil where there is none
	made      atomic.Pointer[sessionCredential]
}

// A sessionCredential is a session as of one snapshot. Of that it keeps no more than it needs: many sessions, each last used at
// another time, would keep as many states of everything.
type sessionCredential struct {
	from *edition
	*credential
}

// openedSessions are the sessions that were used last: two generations of them, each bounded by its sessions' cost.
type openedSessions struct {
	mu         sync.RWMutex
	young, old map[string]*openedSession // by token
	size       int                       // the cost of young
}

const maxOpenedSize = 16 << 20

// cost is what s takes up in memory, more or less: its token; what that says as it was read, as a policy and as condition keys,
// which is far more than the token where tags repeat themselves; and its signing keys.
func (s *openedSession) cost() int { return len(s.token) + 4*s.size + 2<<10 }

func (o *openedSessions) find(token string) *openedSession {
	o.mu.RLock()
	s, young := o.young[token]
	if !young {
		s = o.old[token]
	}
	o.mu.RUnlock()
	if s != nil && !young {
		o.add(s)
	}
	return s
}

func (o *openedSessions) add(s *openedSession) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.young[s.token] != nil {
		return
	}
	cost := s.cost()
	if o.young == nil || o.size+cost > maxOpenedSize {
		o.young, o.old, o.size = map[string]*openedSession{}, o.young, 0
	}
	o.young[s.token] = s
	o.size += cost
}

// sessionCredential finds the credential of an access key id that came in r with a session token.
func (a *Authenticator) sessionCredential(r *http.Request, id, token string) (*credential, error) {
	d := a.dir
	s := d.opened.find(token)
	if s == nil {
		read, ok := openSession(d.sealer, id, token)
		if !ok {
			return nil, fault.New(fault.UnrecognizedClient, msgInvalidToken)
		}
		s = &openedSession{session: *read, id: id, token: strings.Clone(token)}
		s.id = strings.Clone(id)
		if s.Policy != "" {
			var err error
			if s.inline, err = policy.Parse("session", []byte(s.Policy)); err != nil {
				return nil, fault.Wrap(err, fault.UnrecognizedClient, msgInvalidToken) // of a version that took more
			}
		}
		d.opened.add(s)
	}
	if subtle.ConstantTimeCompare([]byte(s.id), []byte(id)) != 1 {
		return nil, fault.New(fault.UnrecognizedClient, msgInvalidToken)
	}
	if d.clock().Unix() >= s.Expires {
		return nil, fault.New(fault.ExpiredToken, msgExpiredToken)
	}
	now := d.current.Load()
	if made := s.made.Load(); made != nil && made.from == now.edition {
		return made.credential, nil
	}
	c := now.session(s)
	if c == nil { // its role may have been made a moment ago, by another process
		if err := a.recheck(r); err != nil {
			return nil, err
		}
		now = d.current.Load()
		if c = now.session(s); c == nil {
			return nil, fault.New(fault.UnrecognizedClient, msgInvalidToken)
		}
	}
	s.made.Store(&sessionCredential{now.edition, c})
	return c, nil
}

// session makes the credential of a session; nil where its role or user is gone.
func (s *snapshot) session(of *openedSession) *credential {
	o := s.rosters[of.Account]
	if o == nil || of.Owner != "" && o.ids[of.Owner] == nil {
		return nil
	}
	if key := s.keys[of.RootKey]; of.Owner == "" && (key == nil || !key.active || !key.caller.Root || key.caller.Account != of.Account) {
		return nil
	}
	caller := s.callerOf(o, o.ids[of.Owner])
	if e := o.ids[of.Owner]; e != nil && e.Kind == RoleKind {
		caller.Role, caller.SessionName = e.ARN(), of.Name
		caller.ARN, caller.ID, caller.UserName = sessionARN(e, of.Name), e.ID+":"+of.Name, ""
		tags := slices.Clone(e.Tags)
		for _, t := range of.Tags {
			tags = withoutTags(tags, t[:1])
		}
		for _, t := range of.Tags {
			tag := Tag{t[0], t[1]}
			tags = append(tags, tag)
			if slices.ContainsFunc(of.Transitive, func(k string) bool { return strings.EqualFold(k, tag.Key) }) {
				caller.passed = append(caller.passed, tag)
			}
		}
		caller.tags = principalTags(tags)
	}
	caller.AccessKeyID, caller.Issued = of.id, time.Unix(of.Issued, 0).UTC()
	caller.SourceIdentity, caller.Provider = of.SourceIdentity, of.Provider
	if of.inline != nil || len(of.Policies) > 0 {
		set := *caller.set // a role's: only those have such policies
		if of.inline != nil {
			set.Session = append(set.Session, of.inline)
		}
		for _, name := range of.Policies {
			set.Session = append(set.Session, s.sessionPolicy(o, name))
		}
		if slices.Contains(set.Session, nil) { // one that is gone may have denied anything
			set.Session = refusal
		}
		caller.set = &set
	}
	return &credential{caller: caller, active: true, secret: of.Secret, used: s.roles[of.Owner], expires: time.Unix(of.Expires, 0).UTC()}
}

// sessionPolicy reads the version that counts of a managed policy, nil where there is none that can be read.
func (s *snapshot) sessionPolicy(o *Roster, name string) *policy.Policy {
	m := o.arns[name]
	if m == nil {
		return nil
	}
	v, err := o.Version(m, m.Default)
	if err != nil {
		return nil
	}
	if p := s.policies[policyKey{name, v.Document}]; p != nil { // some entity has it too
		return p
	}
	p, err := policy.Parse(name, []byte(v.Document))
	if err != nil {
		return nil
	}
	return p
}

func sessionARN(role *Entity, name string) string {
	return "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + name
}

// nobody is a trust policy that nobody is named by: that of a role that there is not.
var nobody = literalPolicies(policy.ParseTrust, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"nobody"},"Action":"sts:AssumeRole"}}`)[0]

// role finds the role of an ARN, nil where there is none.
func (s *snapshot) role(roleARN string) (o *Roster, role *Entity) {
	a, err := arn.Parse(roleARN)
	if err != nil {
		return nil, nil
	}
	if o = s.rosters[a.Account]; o == nil {
		return nil, nil
	}
	if role, err = o.Find(roleARN); err != nil || role.Kind != RoleKind {
		return nil, nil
	}
	return o, role
}

// AccountOf returns the account that an ARN is in, "" where there is no such account here.
func (d *Directory) AccountOf(name string) string {
	if a, err := arn.Parse(name); err == nil && d.Served(a.Account) != nil {
		return a.Account
	}
	return ""
}

// MayAssume is what c must be allowed to assume a role: action, which is sts:AssumeRole or sts:AssumeRoleWithWebIdentity, and with
// tags or a source identity those too. A role that there is not asks for the same and is given to nobody. more, which may be nil,
// is added to the context.
//
// Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html,
// .../id_credentials_temp_control-access_monitor.html, .../reference_policies_iam-condition-keys.html
func (d *Directory) MayAssume(c *Caller, action string, r *AssumeRequest, more policy.Context) ([]Access, error) {
	if c.Root {
		return nil, fault.New(fault.AccessDenied, "Roles may not be assumed by root accounts.")
	}
	with := policy.Context{
		"sts:RoleSessionName": {r.Session},
		"sts:DurationSeconds": {strconv.FormatInt(int64(cmp.Or(r.Duration, defaultSession)/time.Second), 10)}, // what it will be, said or not
	}
	for k, v := range more {
		with[k] = v
	}
	if r.ExternalID != "" {
		with["sts:ExternalId"] = []string{r.ExternalID}
	}
	tags, err := c.sessionTags(r)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, t := range tags {
		with["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys = append(keys, t.Key)
	}
	if keys != nil {
		with["aws:TagKeys"] = keys
	}
	if transitive := c.transitive(r); transitive != nil {
		with["sts:TransitiveTagKeys"] = transitive
	}
	identity, err := c.sourceIdentity(r)
	if err != nil {
		return nil, err
	}
	if identity != "" {
		with["sts:SourceIdentity"] = []string{identity}
	}
	trust, now := nobody, d.current.Load()
	if _, role := now.role(r.Role); role != nil {
		for _, t := range role.Tags {
			with["aws:ResourceTag/"+t.Key], with["iam:ResourceTag/"+t.Key] = []string{t.Value}, []string{t.Value}
		}
		trust = now.trusts[role.ID].policy
	}
	access := []Access{{Action: action, Resource: r.Role, Context: with, Trust: trust}}
	if len(tags) > 0 {
		access = append(access, Access{Action: "sts:TagSession", Resource: r.Role, Context: with, Trust: trust})
	}
	if identity != "" {
		access = append(access, Access{Action: "sts:SetSourceIdentity", Resource: r.Role, Context: with, Trust: trust})
	}
	return access, nil
}

// sessionTags are the tags of the session that c asks for: those of the request, and those that c's own session passes on.
func (c *Caller) sessionTags(r *AssumeRequest) ([]Tag, error) {
	for _, t := range c.passed {
		if slices.ContainsFunc(r.Tags, func(n Tag) bool { return strings.EqualFold(n.Key, t.Key) }) {
			return nil, fault.New(fault.InvalidInput, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
	}
	for _, k := range r.Transitive {
		if !slices.ContainsFunc(r.Tags, func(t Tag) bool { return strings.EqualFold(t.Key, k) }) {
			return nil, fault.New(fault.InvalidInput, "The specified transitive tag key must be included in the requested tags.")
		}
	}
	return mergeTags(c.passed, r.Tags)
}

// transitive are the keys of the tags that the session which c asks for passes on.
func (c *Caller) transitive(r *AssumeRequest) []string {
	keys := slices.Clone(r.Transitive)
	for _, t := range c.passed {
		keys = append(keys, t.Key)
	}
	return keys
}

// sourceIdentity is who is behind the session that c asks for. Once it is said, it stays.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html
func (c *Caller) sourceIdentity(r *AssumeRequest) (string, error) {
	if c.SourceIdentity != "" && r.SourceIdentity != "" && c.SourceIdentity != r.SourceIdentity {
		return "", fault.New(fault.AccessDenied, "User: %s is not authorized to perform: sts:SetSourceIdentity on resource: %s", c.ARN, r.Role)
	}
	return cmp.Or(c.SourceIdentity, r.SourceIdentity), nil
}

// AssumeRole gives temporary credentials of a role to c, who has been allowed what MayAssume says.
func (d *Directory) AssumeRole(c *Caller, r *AssumeRequest) (*SessionCredentials, error) {
	o, role := d.current.Load().role(r.Role)
	if role == nil { // gone since it was allowed
		return nil, fault.New(fault.AccessDenied, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.ARN, r.Role)
	}
	duration := cmp.Or(r.Duration, defaultSession)
	switch {
	case c.Role != "" && duration > maxChainedSession:
		return nil, fault.New(fault.InvalidInput, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case duration > role.MaxSession:
		return nil, fault.New(fault.InvalidInput, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	if err := checkSessionPolicies(o, r); err != nil {
		return nil, err
	}
	tags, err := c.sessionTags(r)
	if err != nil {
		return nil, err
	}
	identity, err := c.sourceIdentity(r)
	if err != nil {
		return nil, err
	}
	b := bounds{Policy: r.Policy, Policies: r.Policies, Transitive: c.transitive(r)}
	for _, t := range tags {
		b.Tags = append(b.Tags, [2]string{t.Key, t.Value})
	}
	provider := ""
	if c.Account == "" {
		provider = c.Provider
	}
	out, err := d.issue(&session{
		Account: role.Account, Owner: role.ID, Name: r.Session, SourceIdentity: identity, Provider: provider, bounds: b,
	}, duration)
	if err != nil {
		return nil, err
	}
	out.ARN, out.CallerID, out.SourceIdentity = sessionARN(role, r.Session), role.ID+":"+r.Session, identity
	return out, nil
}

// checkSessionPolicies holds the policies that bound a session against what there is, and what is taken.
func checkSessionPolicies(o *Roster, r *AssumeRequest) error {
	size := len([]rune(r.Policy))
	if r.Policy != "" {
		if err := checkDocument("session", r.Policy); err != nil {
			return err
		}
	}
	if len(r.Policies) > maxSessionPolicies {
		return fault.New(fault.InvalidInput, "A session can have up to %d managed policies.", maxSessionPolicies)
	}
	for _, name := range r.Policies {
		size += len(name)
		if _, err := o.Policy(name); err != nil {
			return fault.New(fault.InvalidInput, "Policy %s does not exist or is not attachable.", printable(name))
		}
	}
	if size > maxSessionPolicy {
		return fault.New(fault.PackedPolicy, "The plaintext of the session policies has %d characters, more than %d.", size, maxSessionPolicy)
	}
	return nil
}

// GetSessionToken gives temporary credentials of its own to a user or to root; 0 is the longest that it may have.
func (d *Directory) GetSessionToken(c *Caller, duration time.Duration) (*SessionCredentials, error) {
	if !c.Issued.IsZero() {
		return nil, fault.New(fault.AccessDenied, "Cannot call GetSessionToken with session credentials")
	}
	s := &session{Account: c.Account, Owner: c.ID}
	duration = cmp.Or(duration, defaultUserSession)
	if c.Root {
		s.Owner, s.RootKey, duration = "", c.AccessKeyID, min(duration, maxRootSession)
	}
	out, err := d.issue(s, duration)
	if err != nil {
		return nil, err
	}
	out.ARN, out.CallerID = c.ARN, c.ID
	return out, nil
}

// issue makes credentials of s, which has neither secret nor times yet.
func (d *Directory) issue(s *session, duration time.Duration) (*SessionCredentials, error) {
	now := d.clock().UTC().Truncate(time.Second)
	out := &SessionCredentials{Credentials: newCredentials("ASIA"), Expires: now.Add(duration)}
	s.Secret, s.Issued, s.Expires = out.Secret, now.Unix(), out.Expires.Unix()
	packed, err := s.pack()
	if err != nil {
		return nil, err
	}
	if s.Policy != "" || len(s.Policies)+len(s.Tags) > 0 {
		percent := (100*len(packed) + maxPacked - 1) / maxPacked
		if percent > 100 {
			return nil, fault.New(fault.PackedPolicy, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
		}
		out.Packed = &percent
	}
	out.Token, err = s.seal(d.sealer, out.ID, packed)
	return out, err
}

// KeyAccount returns the account that an access key is of, of the account's own keys: what other accounts have is not told.
func (o *Roster) KeyAccount(id string) (string, error) {
	if _, ok := o.KeyOwner(id); !ok {
		return "", fault.New(fault.AccessDenied, "Access denied")
	}
	return o.account, nil
}
