// Package policy is the IAM policy language, pure: no I/O, no clock, no knowledge of any service. It sees strings.
//
// Parse, ParseTrust and ParseResource read documents; a Set holds what applies to one caller, by layers; Set.Decide
// answers one Request with a Decision that names what decided.
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

	Principal *Principal // who asks, for Set.Resource; nil is nobody known
}

// Principal is who asks, as policies that name principals see it. Fields that do not apply are empty.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
type Principal struct {
	Account string // 12 digits
	ARN     string // of the user, the root, the assumed-role session or the federated user
	Role    string // of a role's session, the role's ARN; of a federated user's, that of the user who federated
	ID      string // the unique id of the user or role: AIDA..., AROA...

	Service       string // in place of all above: "ecs.amazonaws.com"
	Federated     string // or an identity provider: its ARN, or "accounts.google.com"
	CanonicalUser string
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

// Layer is a type of policy: what it is attached to.
type Layer uint8

// The layers, in the order in which they are asked.
const (
	NoLayer Layer = iota
	Guardrail
	Resource
	Identity
	Boundary
	Session
)

// String returns the layer as AWS's denials name it. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (l Layer) String() string {
	switch l {
	case Guardrail:
		return "service control policy"
	case Resource:
		return "resource-based policy"
	case Identity:
		return "identity-based policy"
	case Boundary:
		return "permissions boundary"
	case Session:
		return "session policy"
	}
	return ""
}

// Grant is to whom a resource-based policy gives what it allows: it decides what else must allow it.
type Grant uint8

// The grants, from the weakest.
const (
	NoGrant   Grant = iota
	ToAccount       // to the account, which must give it to the caller by an identity-based policy
	ToRole          // to the role: its boundary and the session's policies still bound it
	ToCaller        // to the user or session itself, the service, the identity provider, or everyone: nothing else is asked
)

// Decision is an Effect with its reason.
type Decision struct {
	Effect    Effect
	Layer     Layer  // of the policy that decided; of an implicit deny, the first layer that does not allow
	Policy    string // the name of the policy that decided; "" for an implicit deny
	Statement int    // the index of the statement in it that decided; -1 for an implicit deny
	Sid       string // that statement's Sid, where it has one
	Grant     Grant  // what Set.Resource gave, if it allowed
}
