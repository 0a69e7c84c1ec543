package policy

// Evaluate decides r by policies: a Deny that applies decides, else the first Allow that applies, else nothing does
// and the request is implicitly denied. Neither Context nor Keys is needed where no policy is Conditional.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func Evaluate(policies []*Policy, r Request) Decision {
	d := Decision{Statement: -1}
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if s.effect == Allow && d.Effect == Allow || !s.applies(&r) {
				continue
			}
			d = Decision{Effect: s.effect, Policy: p.Name, Statement: i, Sid: s.sid}
			if d.Effect == ExplicitDeny {
				return d
			}
		}
	}
	return d
}

func (s *statement) applies(r *Request) bool {
	matched := false
	for i := range s.actions {
		if matched = s.actions[i].match(r.Action, nil, true); matched {
			break
		}
	}
	if matched == s.notAction {
		return false
	}
	matched = false
	for i := range s.resources {
		p := &s.resources[i]
		switch p.resolve(r) {
		case unresolved:
			if s.notResource {
				return false // not knowing what is excepted, the statement does not apply
			}
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
