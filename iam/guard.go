package iam

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"outcrop/fault"
	"outcrop/policy"
)

// GuardConfig is what a Guard needs.
type GuardConfig struct {
	Clock func() time.Time // nil is time.Now

	// Record is called with every denial, before Check returns it; nil records nothing. It must not keep what the
	// Decision points to longer than it needs to write it down, and must not block: it is on the request's path.
	Record func(Decision)

	// RecordAllowed makes Record see what is allowed too.
	RecordAllowed bool
}

// Guard decides what callers may do, and records it.
type Guard struct {
	clock         func() time.Time
	record        func(Decision)
	recordAllowed bool
}

// NewGuard makes a Guard.
func NewGuard(cfg GuardConfig) *Guard {
	g := &Guard{clock: cfg.Clock, record: cfg.Record, recordAllowed: cfg.RecordAllowed}
	if g.clock == nil {
		g.clock = time.Now
	}
	return g
}

// Check decides whether c may do all of access, in order; the first that is denied ends it with a fault.AccessDenied
// in AWS's words, whose cause is a *Denial. Each decision is recorded as GuardConfig says.
//
// An account's root may do everything in its own account; a user what the user's policies allow, inline and managed ones, the
// user's own and those of the user's groups; a role's session what the role's policies allow. A permissions boundary bounds
// that, of a session its policies too, and everyone, root too, the account's guardrails. Nobody may do anything in another
// account but where Access.Trust says so, which is the only resource-based policy that there is.
//
// Policies with conditions or variables see each Access's Context and, besides it, the keys of contextKeyNames and
// aws:PrincipalTag/KEY.
//
// Who calls with an API key must be allowed that first: bedrock:CallWithBearerToken on "*", where the key
// bedrock:BearerTokenType says which kind of key it is.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-permissions.html
func (g *Guard) Check(_ context.Context, requestID string, c *Caller, access []Access) error {
	if c.BearerTokenType != "" {
		if err := g.check(requestID, c, bearerAccess[c.BearerTokenType]); err != nil {
			return err
		}
	}
	return g.check(requestID, c, access)
}

var bearerAccess = map[string][]Access{ShortTerm: callWithBearerToken(ShortTerm), LongTerm: callWithBearerToken(LongTerm)}

func callWithBearerToken(kind string) []Access {
	return []Access{{Action: "bedrock:CallWithBearerToken", Resource: "*", Context: policy.Context{"bedrock:BearerTokenType": {kind}}}}
}

func (g *Guard) check(requestID string, c *Caller, access []Access) error {
	var keys *contextKeys // nil where no policy asks for any
	conditional := c.set != nil && c.set.Conditional()
	for i := range access {
		conditional = conditional || access[i].Trust != nil && access[i].Trust.Conditional()
	}
	if conditional {
		keys = contextKeyPool.Get().(*contextKeys)
		keys.caller, keys.clock = c, g.clock
		defer keys.release()
	}
	for i := range access {
		a := &access[i]
		d, foreign := policy.Decision{Statement: -1}, c.foreign(a.Resource)
		req := policy.Request{Action: a.Action, Resource: a.Resource}
		if keys != nil {
			keys.about(a.Resource)
			req.Context, req.Keys = a.Context, keys
		}
		switch {
		case a.Trust != nil:
			d = c.trusted(a, &req, foreign)
		case foreign:
			d.Layer = policy.Resource
		case c.Unbounded():
			d.Effect = policy.Allow
		case c.set == nil: // nobody authenticated it
			d.Layer = policy.Identity
		default:
			d = c.set.Decide(&req)
		}
		allowed := d.Effect == policy.Allow
		if g.record != nil && (!allowed || g.recordAllowed) {
			g.record(Decision{Time: g.clock(), RequestID: requestID, Caller: c, Access: *a, Decision: d})
		}
		if !allowed {
			return because(a, &d, denial(c, a, &d))
		}
	}
	return nil
}

// Denial is the cause of the error that Check returns: what was refused, and what decided so.
type Denial struct {
	Access   Access
	Decision policy.Decision
}

// Error says it for the log.
func (d *Denial) Error() string {
	if d.Decision.Policy == "" {
		return d.Decision.Effect.String()
	}
	return d.Decision.Effect.String() + " by policy " + d.Decision.Policy
}

// because gives err, a denial, its cause.
func because(a *Access, d *policy.Decision, err error) error {
	f := fault.From(err)
	f.Cause = &Denial{*a, *d}
	return f
}

// trusted decides where the resource has a policy of its own. That of another account must allow, and the caller's own policies
// as well, whomever it names.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
func (c *Caller) trusted(a *Access, req *policy.Request, foreign bool) policy.Decision {
	var own policy.Set // nothing for who has no account
	switch {
	case c.set != nil:
		own = *c.set
	case c.Root:
		own.Identity = everything
	}
	with := own
	with.Resource = []*policy.Policy{a.Trust}
	req.Principal = c.principal()
	d := with.Decide(req)
	switch {
	case !foreign || c.Account == "":
	case d.Effect == policy.Allow:
		d = own.Decide(req)
	case d.Layer == policy.Resource: // whether there is such a policy, and what it says, is not told to another account's record
		d = policy.Decision{Layer: policy.Resource, Statement: -1}
	}
	return d
}

// principal is the caller as policies name it.
func (c *Caller) principal() *policy.Principal {
	p := &policy.Principal{Account: c.Account, ARN: c.ARN, Role: c.Role, ID: c.ID}
	if c.Role != "" { // the ID of a role's session has its name behind the role's
		p.ID, _, _ = strings.Cut(c.ID, ":")
	}
	if c.Account == "" {
		p.Federated = c.Provider
	}
	return p
}

// foreign reports whether resource is an ARN in another account than c's. ARNs without an account are nobody's, and AWS's own
// are everybody's.
func (c *Caller) foreign(resource string) bool {
	account := accountOf(resource)
	return account != "" && account != c.Account
}

// accountOf returns the account of an ARN; "" where it has none, or is AWS's.
func accountOf(resource string) string {
	rest, ok := strings.CutPrefix(resource, "arn:")
	for i := 0; i < 3 && ok; i++ { // partition, service, Region
		_, rest, ok = strings.Cut(rest, ":")
	}
	account, _, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || account == awsAccount {
		return ""
	}
	return account
}

// denial is the error in AWS's words. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func denial(c *Caller, a *Access, d *policy.Decision) error {
	if c.ARN == "" { // of who has shown the token of an identity provider
		return fault.New(fault.AccessDenied, "Not authorized to perform %s", a.Action)
	}
	head := "User: " + c.ARN + " is not authorized to perform: " + a.Action + " on resource: " + a.Resource
	if a.Trust != nil {
		return fault.New(fault.AccessDenied, "%s", head) // the role may be another account's, and may not be there
	}
	if d.Effect == policy.ExplicitDeny {
		article := "a"
		if d.Layer == policy.Identity {
			article = "an"
		}
		return fault.New(fault.AccessDenied, "%s with an explicit deny in %s %s", head, article, d.Layer)
	}
	return fault.New(fault.AccessDenied, "%s because no %s allows the %s action", head, d.Layer, a.Action)
}

// contextKeys is the policy.Keys of a caller and of the request that it came with. It lives for one Check and makes only
// what is asked for: most policies ask for one key, if for any.
type contextKeys struct {
	caller *Caller
	clock  func() time.Time
	now    time.Time // zero until it is asked for

	resource string                            // what is decided about
	values   [keyResourceAccount + 1][1]string // those that were asked for
}

var contextKeyPool = sync.Pool{New: func() any { return new(contextKeys) }}

// about makes k the keys of a decision about resource. All but one are the same for the whole Check.
func (k *contextKeys) about(resource string) {
	k.resource, k.values[keyResourceAccount][0] = resource, ""
}

func (k *contextKeys) release() {
	*k = contextKeys{}
	contextKeyPool.Put(k)
}

// keyTime is how context keys write a time.
const keyTime = "2006-01-02T15:04:05Z"

const (
	keyPrincipalArn = iota
	keyPrincipalAccount
	keyUserID
	keyPrincipalIsAWSService
	keyViaAWSService
	keyPrincipalType
	keyUsername
	keyRequestedRegion
	keyCurrentTime
	keyEpochTime
	keySecureTransport
	keySourceIP
	keyTokenIssueTime
	keyMultiFactorAuthPresent
	keySourceIdentity
	keyFederatedProvider
	keyUserAgent
	keyResourceAccount
)

var contextKeyNames = [...]string{
	keyPrincipalArn:           "aws:PrincipalArn",
	keyPrincipalAccount:       "aws:PrincipalAccount",
	keyUserID:                 "aws:userid",
	keyPrincipalIsAWSService:  "aws:PrincipalIsAWSService",
	keyViaAWSService:          "aws:ViaAWSService",
	keyPrincipalType:          "aws:PrincipalType",
	keyUsername:               "aws:username",
	keyRequestedRegion:        "aws:RequestedRegion",
	keyCurrentTime:            "aws:CurrentTime",
	keyEpochTime:              "aws:EpochTime",
	keySecureTransport:        "aws:SecureTransport",
	keySourceIP:               "aws:SourceIp",
	keyTokenIssueTime:         "aws:TokenIssueTime",
	keyMultiFactorAuthPresent: "aws:MultiFactorAuthPresent",
	keySourceIdentity:         "aws:SourceIdentity",
	keyFederatedProvider:      "aws:FederatedProvider",
	keyUserAgent:              "aws:UserAgent",
	keyResourceAccount:        "aws:ResourceAccount",
}

// Tags yields the caller's own tags, those of a session among them, in no order.
func (c *Caller) Tags() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for i := range c.tags {
			if t := &c.tags[i]; !yield(strings.TrimPrefix(t.name, principalTagPrefix), t.values[0]) {
				return
			}
		}
	}
}

const principalTagPrefix = "aws:PrincipalTag/"

// A principalTag is a tag of a principal as a context key.
type principalTag struct {
	name   string // aws:PrincipalTag/team
	values []string
}

func principalTags(tags []Tag) []principalTag {
	var out []principalTag
	for _, t := range tags {
		out = append(out, principalTag{principalTagPrefix + t.Key, []string{t.Value}})
	}
	return out
}

// Lookup implements policy.Keys.
func (k *contextKeys) Lookup(key string) (name string, values []string) {
	for i := range k.caller.tags {
		if t := &k.caller.tags[i]; len(t.name) == len(key) && strings.EqualFold(t.name, key) {
			return t.name, t.values
		}
	}
	for i, name := range contextKeyNames {
		if len(name) != len(key) || !strings.EqualFold(name, key) {
			continue
		}
		value, ok := k.value(i)
		if !ok {
			break
		}
		k.values[i][0] = value
		return name, k.values[i][:]
	}
	return "", nil
}

// value returns the value of the key that contextKeyNames has at i; ok is false where the request does not say it.
func (k *contextKeys) value(i int) (value string, ok bool) {
	if made := k.values[i][0]; made != "" {
		return made, true
	}
	c, from := k.caller, &k.caller.origin
	switch i {
	case keyPrincipalArn:
		if c.Role != "" { // of a session its role's: users of the role have it in common
			return c.Role, true
		}
		return c.ARN, c.ARN != ""
	case keyPrincipalAccount:
		return c.Account, c.Account != ""
	case keyUserID:
		return c.ID, c.ID != ""
	case keyPrincipalIsAWSService, keyViaAWSService:
		return "false", true
	case keyPrincipalType:
		switch {
		case c.Root:
			return "Account", true
		case c.Role != "":
			return "AssumedRole", true
		case c.Account == "":
			return "", false
		}
		return "User", true
	case keyUsername:
		return c.UserName, c.UserName != "" && c.Account != "" // a user of ours, no subject of a token
	case keyRequestedRegion:
		return c.Region, c.Region != ""
	case keyCurrentTime:
		return k.time().UTC().Format(keyTime), true
	case keyEpochTime:
		return strconv.FormatInt(k.time().Unix(), 10), true
	case keySecureTransport:
		return strconv.FormatBool(from.tls), from.known
	case keySourceIP:
		return from.ip, from.ip != ""
	case keyTokenIssueTime:
		return c.Issued.UTC().Format(keyTime), !c.Issued.IsZero()
	case keyMultiFactorAuthPresent: // of temporary credentials only, none of which were given for a second factor
		return "false", !c.Issued.IsZero()
	case keySourceIdentity:
		return c.SourceIdentity, c.SourceIdentity != ""
	case keyFederatedProvider:
		return c.Provider, c.Provider != "" && c.Role != ""
	case keyUserAgent:
		return from.userAgent, from.userAgent != ""
	case keyResourceAccount:
		account := accountOf(k.resource)
		return account, account != ""
	}
	return "", false
}

// time is one moment for the whole Check.
func (k *contextKeys) time() time.Time {
	if k.now.IsZero() {
		k.now = k.clock()
	}
	return k.now
}
