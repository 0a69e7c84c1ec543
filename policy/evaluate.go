package policy

import (
	"bytes"
	"strings"
)

// Set is all that a caller's requests are held against. A layer without policies is not there and bounds nothing; but
// Identity, which gives. Making a Set costs nothing: all that can be prepared is prepared in the policies.
type Set struct {
	Identity  []*Policy // of the user or role and of the user's groups, inline and managed
	Boundary  []*Policy // the permissions boundary
	Session   []*Policy // session policies: together they bound the session
	Guardrail []*Policy // the account's service control policies: they bound its root too
	Resource  []*Policy // the resource's own policy, or the trust policy of the role that is to be assumed
}

// Conditional reports whether a decision may depend on Request.Context or Request.Keys. Where it does not, neither is
// needed.
func (s *Set) Conditional() bool {
	for _, layer := range [...][]*Policy{s.Identity, s.Boundary, s.Session, s.Guardrail, s.Resource} {
		for _, p := range layer {
			if p.conditional {
				return true
			}
		}
	}
	return false
}

// Decide answers r, within one account: the caller's is the resource's. It allocates nothing.
//
//  1. A Deny that applies in any layer decides.
//  2. Guardrail, where there is one, must allow.
//  3. What Resource allows to the caller itself is allowed; what it allows to the caller's role needs no Identity, but
//     Boundary and Session must allow it; what it allows to the account is as if it had not, but that a trust policy,
//     where there is one, must allow in any case.
//  4. Identity, Boundary and Session must allow, the latter two where they are there.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func (s *Set) Decide(r *Request) Decision {
	var buf [lowered]byte
	action := lowerAction(r.Action, buf[:0])
	layers := [...]struct {
		layer    Layer
		policies []*Policy
	}{{Guardrail, s.Guardrail}, {Resource, s.Resource}, {Identity, s.Identity}, {Boundary, s.Boundary}, {Session, s.Session}}
	var found [Session + 1]Decision
	trust := false
	for i := range layers {
		l := &layers[i]
		d := &found[l.layer]
		*d = Decision{Layer: l.layer, Statement: -1}
		for _, p := range l.policies {
			trust = trust || p.kind == trustPolicy
			if p.decide(r, action, d); d.Effect == ExplicitDeny {
				return *d
			}
		}
	}
	granted := &found[Resource]
	grant := granted.Grant
	switch {
	case len(s.Guardrail) > 0 && found[Guardrail].Effect != Allow:
		return found[Guardrail]
	case trust && granted.Effect != Allow, grant == ToCaller:
		return *granted
	case found[Identity].Effect != Allow && grant != ToRole:
		return found[Identity]
	case len(s.Boundary) > 0 && found[Boundary].Effect != Allow:
		return found[Boundary]
	case len(s.Session) > 0 && found[Session].Effect != Allow:
		return found[Session]
	case found[Identity].Effect != Allow:
		return *granted
	}
	d := found[Identity]
	d.Grant = grant
	return d
}

// decide takes what p says of r into d: a Deny, else the strongest and first Allow. Of d it knows nothing but that it
// is of p's layer and no Deny yet.
func (p *Policy) decide(r *Request, action []byte, d *Decision) {
	candidates, sure := p.candidates(action)
	for _, i := range candidates {
		s := &p.statements[i]
		if s.effect == Allow && d.Effect == Allow && (d.Grant == ToCaller || d.Grant == NoGrant) {
			continue
		}
		if !sure && !s.hasAction(action) {
			continue
		}
		grant := NoGrant
		if s.principals != nil {
			var ok bool
			if grant, ok = s.principals.match(r.Principal, s.effect); !ok || s.effect == Allow && d.Effect == Allow && grant <= d.Grant {
				continue
			}
		}
		if !s.applies(r) {
			continue
		}
		layer := d.Layer
		*d = Decision{Effect: s.effect, Layer: layer, Policy: p.Name, Statement: int(i), Sid: s.sid}
		if s.effect == ExplicitDeny {
			return
		}
		d.Grant = grant
	}
}

// applies reports whether s is about r's resource and r meets its conditions. Its action is not looked at.
func (s *statement) applies(r *Request) bool {
	matched := s.anyResource
	for i := range s.resources {
		p := &s.resources[i]
		switch p.resolve(r) {
		case unresolved: // it matches no resource
			continue
		case ambiguous: // what widens a Deny and narrows an Allow
			if (s.effect == ExplicitDeny) == s.notResource {
				continue
			}
			matched = true
		default:
			matched = p.match(r.Resource, r, false)
		}
		if matched {
			break
		}
	}
	if matched == s.notResource {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r, s.effect) {
			return false
		}
	}
	return true
}

// lowered is how long an action may be, in bytes, for Decide to allocate nothing. AWS's have at most some sixty.
const lowered = 128

// lowerAction is strings.ToLower for what an action is made of: prefix and name are case insensitive. The result is in
// buf, where it fits.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
func lowerAction(action string, buf []byte) []byte {
	buf = append(buf[:0], action...)
	for i, c := range buf {
		buf[i] = lower(c)
	}
	return buf
}

// index says which statements of a policy are to be looked at for an action: of fifty, mostly one or two. Statements
// are in their order, actions and services in lower case.
type index struct {
	literal map[string][]int32 // an action that stands in the policy without a wildcard: the statements that are about it
	service map[string][]int32 // the service of any other action: the statements that may be about it
	any     []int32            // of any other service
}

// candidates returns the statements that may be about an action, in lower case; where sure, they are.
func (p *Policy) candidates(action []byte) (statements []int32, sure bool) {
	if found, ok := p.index.literal[string(action)]; ok {
		return found, true
	}
	service, _, _ := bytes.Cut(action, []byte{':'})
	if found, ok := p.index.service[string(service)]; ok {
		return found, false
	}
	return p.index.any, false
}

// makeIndex fills p.index from p.statements.
func (p *Policy) makeIndex() {
	p.index = index{literal: make(map[string][]int32), service: make(map[string][]int32)}
	for i := range p.statements {
		for j := range p.statements[i].actions {
			a := &p.statements[i].actions[j]
			if service := a.service(); service != "*" {
				p.index.service[service] = nil
			}
			if a.glob == "" {
				p.index.literal[a.prefix] = nil
			}
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		for action := range p.index.literal {
			if s.hasAction([]byte(action)) {
				p.index.literal[action] = append(p.index.literal[action], int32(i))
			}
		}
		for service := range p.index.service {
			if s.mayHave(service) {
				p.index.service[service] = append(p.index.service[service], int32(i))
			}
		}
		if s.mayHave("") {
			p.index.any = append(p.index.any, int32(i))
		}
	}
}

// hasAction reports whether s is about an action, in lower case.
func (s *statement) hasAction(action []byte) bool {
	for i := range s.actions {
		if s.actions[i].matchAction(action) {
			return !s.notAction
		}
	}
	return s.notAction
}

// matchAction is match for actions, of which both sides are in lower case.
func (p *pattern) matchAction(action []byte) bool {
	n := len(p.prefix)
	if len(action) < n || string(action[:n]) != p.prefix {
		return false
	}
	return p.glob == "*" || glob(p.glob, action[n:])
}

// mayHave reports whether s may be about an action of a service that no statement names without a wildcard. "" is a
// service that no statement names.
func (s *statement) mayHave(service string) bool {
	if s.notAction {
		return true
	}
	for i := range s.actions {
		if a := &s.actions[i]; a.glob != "" && (a.service() == "*" || a.service() == service) {
			return true
		}
	}
	return false
}

// service returns what stands before an action's colon: "*" for every service.
func (p *pattern) service() string {
	if service, _, ok := strings.Cut(p.prefix, ":"); ok {
		return service
	}
	return "*" // checkAction lets no other wildcard stand before the colon
}
