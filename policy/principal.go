package policy

import (
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// principals is a Principal or NotPrincipal element.
type principals struct {
	not       bool
	everyone  bool
	accounts  []string // by number
	arns      []string // users, roles and sessions
	ids       []string // of users and roles
	services  []string
	federated []string
	canonical []string
}

// match reports whether the element is about who, and if so what a statement of that effect with it gives. A NotPrincipal is
// about everyone but those it names. From a Deny it takes out only whom it names themselves: of an account or a role that is
// named, users and sessions are denied that are not. An Allow leaves out these too.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html ("all principals
// except the user named Bob", of whom the account is named too)
func (p *principals) match(who *Principal, effect Effect) (Grant, bool) {
	grant := p.named(who)
	switch {
	case !p.not:
		return grant, grant != NoGrant
	case effect == ExplicitDeny:
		root := grant == ToAccount && who.ARN == "arn:aws:iam::"+who.Account+":root"
		return ToCaller, grant != ToCaller && !root
	}
	return ToCaller, grant == NoGrant
}

// named returns the strongest way in which p names who, NoGrant for none.
func (p *principals) named(who *Principal) Grant {
	if p.everyone {
		return ToCaller
	}
	if who == nil {
		return NoGrant
	}
	switch {
	case has(p.arns, who.ARN), has(p.services, who.Service), has(p.federated, who.Federated), has(p.canonical, who.CanonicalUser):
		return ToCaller
	case has(p.arns, who.Role), who.Role != "" && has(p.ids, who.ID):
		return ToRole
	case has(p.ids, who.ID):
		return ToCaller
	case has(p.accounts, who.Account):
		return ToAccount
	}
	return NoGrant
}

func has(list []string, s string) bool { return s != "" && slices.Contains(list, s) }

// add takes one value of the element's member of that type; it reports whether it is one.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (p *principals) add(kind, value string) bool {
	switch kind {
	case "AWS":
		return p.addAWS(value)
	case "Service":
		p.services = append(p.services, value)
	case "Federated":
		p.federated = append(p.federated, value)
	case "CanonicalUser":
		p.canonical = append(p.canonical, value)
	}
	// No wildcard stands for a part of a name, and only in "AWS" for everyone.
	return value != "" && !strings.ContainsAny(value, "*?")
}

func (p *principals) addAWS(value string) bool {
	switch {
	case value == "*":
		p.everyone = true
		return true
	case isAccount(value):
		p.accounts = append(p.accounts, value)
		return true
	case len(value) >= 16 && (strings.HasPrefix(value, "AIDA") || strings.HasPrefix(value, "AROA")):
		p.ids = append(p.ids, value)
		return strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
	}
	parts := strings.SplitN(value, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[3] != "" || !isAccount(parts[4]) || strings.ContainsAny(value, "*?") {
		return false
	}
	resource := parts[5]
	kind, name, _ := strings.Cut(resource, "/")
	switch {
	case parts[2] == "iam" && resource == "root":
		p.accounts = append(p.accounts, parts[4])
		return true
	case name == "":
		return false
	case parts[2] == "iam" && (kind == "user" || kind == "role"), parts[2] == "sts" && kind == "federated-user":
	case parts[2] == "sts" && kind == "assumed-role" && strings.Contains(name, "/"):
	default:
		return false
	}
	p.arns = append(p.arns, value)
	return true
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// RenamePrincipal returns document with every "AWS" principal that is from, in Principal and NotPrincipal, as to: ARNs or unique
// ids. All else stays letter by letter; of what is no JSON everything does.
func RenamePrincipal(document, from, to string) string {
	quoted, err := jsontext.AppendQuote(nil, to)
	if err != nil {
		return document
	}
	var out []byte
	done := 0 // of document
	dec := jsontext.NewDecoder(strings.NewReader(document))
	for {
		switch dec.PeekKind() {
		case '"':
			value, err := dec.ReadValue()
			if err != nil {
				return document
			}
			if s, err := jsontext.AppendUnquote(nil, value); err == nil && string(s) == from && isPrincipal(string(dec.StackPointer())) {
				end := int(dec.InputOffset())
				out, done = append(append(out, document[done:end-len(value)]...), quoted...), end
			}
		default:
			if _, err := dec.ReadToken(); err == io.EOF {
				return string(append(out, document[done:]...))
			} else if err != nil {
				return document
			}
		}
	}
}

// isPrincipal reports whether a principal stands at a place in a document: /Statement/1/Principal/AWS/0, where neither of the
// numbers need be.
func isPrincipal(pointer string) bool {
	rest, ok := strings.CutPrefix(pointer, "/Statement/")
	if first, more, _ := strings.Cut(rest, "/"); strings.Trim(first, "0123456789") == "" {
		rest = more
	}
	list, at, _ := strings.Cut(rest, "/AWS")
	return ok && (list == "Principal" || list == "NotPrincipal") && strings.Trim(at, "/0123456789") == ""
}
