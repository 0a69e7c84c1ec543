// Package policy is the IAM policy language, pure: no I/O, no clock, no knowledge of any service. It sees strings.
package policy

// Context is the request context: condition key -> values. Keys are looked up without regard to case. Where several
// differ in case only, as the tags Project and project of one resource do, a Deny's condition is met when it is met for
// any of them, an Allow's when it is met for every one: none can hide another.
type Context map[string][]string

// Keys is a part of a request's context that is worked out where a policy asks for it, and not before.
type Keys interface {
	// Lookup returns the values of key, whatever its case, and its name as it is usually written. A key that there is
	// not has no values. What it returns stays as it is as long as the Request is evaluated.
	Lookup(key string) (name string, values []string)
}

// Request is one question: may this action be done on this resource?
type Request struct {
	Action   string // "bedrock:InvokeModel"
	Resource string // an ARN, or "*" for actions that have none
	Context  Context
	Keys     Keys // what is known besides, nil for nothing: a name that Context has, letter by letter, is Context's
}

// Effect is what a statement, or a whole evaluation, says.
type Effect uint8

// The effects. ImplicitDeny is the zero value: what nobody allowed is denied.
const (
	ImplicitDeny Effect = iota
	ExplicitDeny
	Allow
)

// String returns the effect in the words of the IAM policy simulator.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	}
	return "implicitDeny"
}

// Decision is an Effect with its reason.
type Decision struct {
	Effect    Effect
	Policy    string // the name of the policy that decided; "" for an implicit deny
	Statement int    // the index of the statement in it that decided; -1 for an implicit deny
	Sid       string // that statement's Sid, where it has one
}
