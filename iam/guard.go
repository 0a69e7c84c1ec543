package iam

import (
	"context"
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
// in AWS's words. Each decision is recorded as GuardConfig says.
//
// An account's root may do everything in its own account; a user what the user's policies allow. Nobody may do
// anything in another account, since no resource-based policies exist yet that could allow it.
//
// Policies with conditions or variables see each Access's Context and, besides it, aws:PrincipalArn,
// aws:PrincipalAccount, aws:PrincipalType, aws:userid, aws:username (users only), aws:PrincipalIsAWSService,
// aws:ViaAWSService, aws:RequestedRegion (unless the Context has it), aws:CurrentTime, aws:EpochTime and what the
// request that c was authenticated from says: aws:SourceIp, aws:SecureTransport, aws:UserAgent.
func (g *Guard) Check(_ context.Context, requestID string, c *Caller, access []Access) error {
	conditional := false
	for _, p := range c.policies {
		conditional = conditional || p.Conditional()
	}
	var keys *contextKeys
	for i := range access {
		a := &access[i]
		d, foreign := policy.Decision{Statement: -1}, c.foreign(a.Resource)
		switch {
		case foreign:
		case c.Root:
			d.Effect = policy.Allow
		default:
			req := policy.Request{Action: a.Action, Resource: a.Resource}
			if conditional {
				if keys == nil {
					keys = newContextKeys(c, g.clock())
					defer keys.release()
				}
				req.Context = keys.with(a.Context)
			}
			d = policy.Evaluate(c.policies, req)
		}
		allowed := d.Effect == policy.Allow
		if g.record != nil && (!allowed || g.recordAllowed) {
			g.record(Decision{Time: g.clock(), RequestID: requestID, Caller: c, Access: *a, Decision: d})
		}
		if !allowed {
			return denial(c, a, d.Effect, foreign)
		}
	}
	return nil
}

// foreign reports whether resource is an ARN in another account than c's. ARNs without an account are nobody's.
func (c *Caller) foreign(resource string) bool {
	rest, ok := strings.CutPrefix(resource, "arn:")
	for i := 0; i < 3 && ok; i++ { // partition, service, Region
		_, rest, ok = strings.Cut(rest, ":")
	}
	account, _, ok2 := strings.Cut(rest, ":")
	return ok && ok2 && account != "" && account != c.Account
}

// denial is the error in AWS's words. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func denial(c *Caller, a *Access, effect policy.Effect, foreign bool) error {
	head := "User: " + c.ARN + " is not authorized to perform: " + a.Action + " on resource: " + a.Resource
	switch {
	case effect == policy.ExplicitDeny:
		return fault.New(fault.AccessDenied, "%s with an explicit deny in an identity-based policy", head)
	case foreign:
		return fault.New(fault.AccessDenied, "%s because no resource-based policy allows the %s action", head, a.Action)
	}
	return fault.New(fault.AccessDenied, "%s because no identity-based policy allows the %s action", head, a.Action)
}

// contextKeys is a policy.Context and room for its values. It lives for one Check: the keys of caller and request stay,
// those of each Access come and go.
type contextKeys struct {
	keys   policy.Context
	names  [16]string
	values [16]string
	used   int
	given  policy.Context // the Access's keys that are in keys now
}

var contextKeyPool = sync.Pool{New: func() any { return &contextKeys{keys: make(policy.Context, 24)} }}

// newContextKeys returns the keys of c and of the request that it came with.
func newContextKeys(c *Caller, now time.Time) *contextKeys {
	k := contextKeyPool.Get().(*contextKeys)
	k.add("aws:PrincipalArn", c.ARN)
	k.add("aws:PrincipalAccount", c.Account)
	k.add("aws:userid", c.ID)
	k.add("aws:PrincipalIsAWSService", "false")
	k.add("aws:ViaAWSService", "false")
	k.add("aws:PrincipalType", "User") // root is never asked
	k.add("aws:username", c.UserName)
	k.add("aws:RequestedRegion", c.Region)
	k.add("aws:CurrentTime", now.UTC().Format("2006-01-02T15:04:05Z"))
	k.add("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	if from := &c.origin; from.known {
		k.add("aws:SecureTransport", strconv.FormatBool(from.tls))
		if from.ip != "" {
			k.add("aws:SourceIp", from.ip)
		}
		if from.userAgent != "" {
			k.add("aws:UserAgent", from.userAgent)
		}
	}
	return k
}

func (k *contextKeys) add(name, value string) {
	i := k.used
	k.used++
	k.names[i], k.values[i] = name, value
	k.keys[name] = k.values[i : i+1 : i+1]
}

// with returns the keys with those of one Access, which win, in place of the last one's.
func (k *contextKeys) with(given policy.Context) policy.Context {
	for name := range k.given {
		delete(k.keys, name)
	}
	if len(k.given) > 0 {
		for i := range k.used {
			k.keys[k.names[i]] = k.values[i : i+1 : i+1]
		}
	}
	k.given = given
	for name, values := range given {
		k.keys[name] = values
	}
	return k.keys
}

func (k *contextKeys) release() {
	clear(k.keys)
	*k = contextKeys{keys: k.keys}
	contextKeyPool.Put(k)
}
