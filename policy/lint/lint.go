// Package lint finds what is wrong in a policy before it bites: what AWS's IAM Access Analyzer finds, in its words, and
// what goes wrong with inference profiles besides. It is pure: it knows what AWS's references say of the services that
// are served here, and nothing of an installation.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"outcrop/fault"
	"outcrop/policy"
)

// Kind is what a document is for.
type Kind uint8

// The kinds.
const (
	Identity        Kind = iota // users', groups' and roles' policies, permissions boundaries, session policies
	ResourceBased               // a resource's own policy
	Trust                       // a role's: who may assume it
	ServiceControl              // an account's guardrail
	ResourceControl             // an organization's guardrail of resources
)

// Severity is AWS's finding type.
type Severity string

// The severities. With an Error a part of the policy does nothing, or not what it says.
const (
	Error           Severity = "ERROR"
	SecurityWarning Severity = "SECURITY_WARNING"
	Warning         Severity = "WARNING"
	Suggestion      Severity = "SUGGESTION"
)

// Finding is one thing to mend.
type Finding struct {
	Severity  Severity
	Code      string // "INVALID_ACTION": an issue code of AWS's, or one of ours
	Details   string // of AWS's codes, AWS's words
	Advice    string // what AWS does not say, "" for nothing
	LearnMore string // a page
	Locations []Location
}

// Location is a part of the document.
type Location struct {
	Path       []PathElement
	Start, End Position // End is the first place behind it
}

// PathElement is one step to a part: exactly one is set.
type PathElement struct {
	Index *int    // of a list
	Key   *string // the name of a member is meant, and nothing under it
	Value *string // the member of that name
}

// Position is a place in the document, in characters: Line counts from 1, Column and Offset from 0, as AWS's do.
type Position struct{ Line, Column, Offset int }

// String returns the path as "Statement[0].Condition.StringLike".
func (l Location) String() string {
	var b strings.Builder
	for _, e := range l.Path {
		switch {
		case e.Index != nil:
			fmt.Fprintf(&b, "[%d]", *e.Index)
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		if e.Key != nil {
			b.WriteString(*e.Key)
		} else {
			b.WriteString(*e.Value)
		}
	}
	return b.String()
}

// maxFindings bounds what is found in one document; its suggestions are what is left out first.
const maxFindings = 1000

// Policy returns all that is to be found in a document, in the order of the document, errors first where they are of one
// place. A document that package policy refuses has an Error.
func Policy(kind Kind, text []byte) []Finding {
	l := &linter{kind: kind, doc: newDocument(text)}
	err := parse(kind, text)
	var problems policy.Problems
	errors.As(err, &problems)
	if len(text) <= policy.MaxDocument {
		if root := l.doc.tree(); root != nil {
			l.document(root)
		} else {
			l.broken(problems)
		}
	}
	// Whatever is refused is said, in the words of package policy where no check has any.
	for i := range problems {
		p := &problems[i]
		at := l.doc.byteOf(p.Line, p.Column)
		if !l.errorAt(at) {
			l.found("REFUSED", []Location{{Path: nil, Start: l.doc.position(at), End: l.doc.position(at + 1)}}, "", p.Message, p.Detail)
		}
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(offset(a), offset(b)), cmp.Compare(rank[a.Severity], rank[b.Severity]))
	})
	if len(l.findings) > maxFindings {
		slices.SortStableFunc(l.findings, func(a, b Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
		l.findings = l.findings[:maxFindings]
	}
	return l.findings
}

// Failed reports whether there is an Error among findings.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}

func parse(kind Kind, text []byte) error {
	var err error
	switch kind {
	case Trust:
		_, err = policy.ParseTrust("", text)
	case ResourceBased, ResourceControl:
		_, err = policy.ParseResource("", text)
	default:
		_, err = policy.Parse("", text)
	}
	return err
}

var rank = map[Severity]int{Error: 0, SecurityWarning: 1, Warning: 2, Suggestion: 3}

func offset(f Finding) int {
	if len(f.Locations) == 0 {
		return 0
	}
	return f.Locations[0].Start.Offset
}

// linter is the reading of one document.
type linter struct {
	kind       Kind
	doc        *document
	variables  bool // the document's version has them
	statements []*statement
	findings   []Finding
	guesses    int // how often it was said what was probably meant
}

// statement is one statement as far as it can be understood.
type statement struct {
	node       *node
	effect     string
	actions    []*node
	notAction  bool
	resources  []*node
	notRes     bool
	conditions []condition
}

type condition struct {
	name     string // the operator as it is written
	nameAt   Location
	operator policy.Operator
	ok       bool // there is such an operator
	key      string
	keyAt    Location
	value    *node
}

func (s *statement) allows() bool { return s.effect == "Allow" }
func (s *statement) denies() bool { return s.effect == "Deny" }

// found adds a finding with the words of its code.
func (l *linter) found(code string, at []Location, advice string, args ...any) {
	if len(l.findings) > 4*maxFindings {
		return
	}
	c := codes[code]
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = shorten(s)
		}
	}
	link := c.link
	if link == "" {
		link = learnMore + c.severity.anchor() + "-" + strings.ReplaceAll(strings.ToLower(code), "_", "-")
	}
	l.findings = append(l.findings, Finding{Severity: c.severity, Code: code, Details: fmt.Sprintf(c.words, args...), Advice: advice, LearnMore: link, Locations: at})
}

// shorten bounds what is repeated of a document.
func shorten(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func (l *linter) at(n *node) []Location {
	return []Location{{Path: n.path, Start: l.doc.position(n.start), End: l.doc.position(n.end)}}
}

// name is the place of a member's name.
func (l *linter) name(of *node, m *member) Location {
	return Location{Path: under(of.path, PathElement{Key: &m.name}), Start: l.doc.position(m.start), End: l.doc.position(m.end)}
}

// errorAt reports whether an Error is told of what begins at a byte: of a member, where its name does, of its value too.
func (l *linter) errorAt(at int) bool {
	p := l.doc.position(at).Offset
	return slices.ContainsFunc(l.findings, func(f Finding) bool {
		return f.Severity == Error && slices.ContainsFunc(f.Locations, func(o Location) bool {
			if o.Start.Offset > p {
				start := l.doc.byteAt(o.Start.Offset)
				if start-at > 200 { // longer than any name that is not an error by itself
					return false
				}
				between := string(l.doc.text[at:start])
				return strings.Count(between, `"`) == 2 && strings.HasSuffix(strings.TrimSpace(between), ":")
			}
			return p < o.End.Offset || p == o.Start.Offset
		})
	})
}

// broken tells where the JSON breaks. What problems are told before that are of what stands before.
func (l *linter) broken(problems policy.Problems) {
	if len(problems) == 0 {
		return
	}
	p := problems[len(problems)-1]
	at := l.doc.byteOf(p.Line, p.Column)
	pos := l.doc.position(at)
	advice := strings.TrimPrefix(strings.TrimPrefix(p.Detail, "not valid JSON"), ": ")
	if strings.HasPrefix(string(l.doc.text), "\ufeff") {
		advice = "the document begins with a byte order mark: save it as UTF-8 without one"
	}
	if advice != "" {
		advice = strings.ToUpper(advice[:1]) + advice[1:] + "."
	}
	l.found("JSON_SYNTAX_ERROR", []Location{{Start: pos, End: l.doc.position(at + 1)}}, advice, pos.Offset, pos.Line, pos.Column)
}

// typed reports whether n is of one of the kinds; if not it says so.
func (l *linter) typed(n *node, kinds, want string) bool {
	if n == nil {
		return false
	}
	k := n.kind
	if k == 'f' {
		k = 't'
	}
	if strings.IndexByte(kinds, byte(k)) >= 0 {
		return true
	}
	l.found("DATA_TYPE_MISMATCH", l.at(n), "", want)
	return false
}

func (l *linter) document(root *node) {
	if !l.typed(root, "{", "Object") {
		return
	}
	for i := range root.members {
		switch m := &root.members[i]; m.name {
		case "Version", "Id", "Statement":
		default:
			l.found("INVALID_POLICY_ELEMENT", []Location{l.name(root, m)}, l.closest(m.name, "Version", "Id", "Statement"), m.name)
		}
	}
	switch version := root.get("Version"); {
	case version == nil:
		l.found("MISSING_VERSION", l.at(root), `Without "Version": "2012-10-17" the policy is of 2008-10-17: ${...} is plain text.`)
	case !l.typed(version, `"`, "String"):
	case version.text != "2012-10-17" && version.text != "2008-10-17":
		l.found("INVALID_VERSION", l.at(version), "", version.text, "2012-10-17, 2008-10-17")
	default:
		l.variables = version.text == "2012-10-17"
	}
	l.size(root)
	all := root.get("Statement")
	switch {
	case all == nil:
		l.found("MISSING_STATEMENT", l.at(root), "")
		return
	case !l.typed(all, "[{", "Array"):
		return
	case all.kind == '{':
		l.statement(all)
	case len(all.items) == 0:
		l.found("MISSING_STATEMENT", l.at(all), "")
	}
	for _, n := range all.items {
		if l.typed(n, "{", "Object") {
			l.statement(n)
		}
	}
	l.sids()
	l.redundantStatements()
	l.profiles()
}

// The quotas in characters, without white space but for service control policies.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const (
	identityQuota = 6144
	trustQuota    = 2048
	controlQuota  = 10240
)

func (l *linter) size(root *node) {
	n := 0
	for _, c := range l.doc.text {
		if begins(c) && (l.kind == ServiceControl || strings.IndexByte(" \t\r\n", c) < 0) {
			n++
		}
	}
	switch {
	case l.kind == Identity && n > identityQuota:
		l.found("POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", l.at(root), "", n, identityQuota)
	case l.kind == Trust && n > trustQuota:
		l.found("POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA", l.at(root), "")
	case l.kind == ServiceControl && n > controlQuota:
		l.found("POLICY_SIZE_EXCEEDS_SCP_QUOTA", l.at(root), "", n, controlQuota)
	}
}

var elements = []string{"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"}

func (l *linter) statement(n *node) {
	s := &statement{node: n}
	l.statements = append(l.statements, s)
	for i := range n.members {
		if m := &n.members[i]; !slices.Contains(elements, m.name) {
			l.found("INVALID_POLICY_ELEMENT", []Location{l.name(n, m)}, l.closest(m.name, elements...), m.name)
		}
	}
	for _, pair := range [...][2]string{{"Action", "NotAction"}, {"Resource", "NotResource"}, {"Principal", "NotPrincipal"}} {
		if b := n.get(pair[1]); b != nil && n.get(pair[0]) != nil {
			l.found("UNSUPPORTED_ELEMENT_COMBINATION", l.at(b), "", pair[0], pair[1])
		}
	}
	l.sid(n.get("Sid"))
	switch e := n.get("Effect"); {
	case e == nil:
		l.found("MISSING_EFFECT", l.at(n), "")
	case !l.typed(e, `"`, "String"):
	case e.text != "Allow" && e.text != "Deny":
		l.found("INVALID_EFFECT", l.at(e), l.closest(e.text, "Allow", "Deny"), e.text)
	default:
		s.effect = e.text
	}
	l.principal(s, n)
	action := n.get("Action")
	if s.notAction = action == nil && n.get("NotAction") != nil; s.notAction {
		action = n.get("NotAction")
	}
	if action == nil {
		l.found("MISSING_ACTION", l.at(n), "")
	} else {
		s.actions = l.texts(action, "EMPTY_ARRAY_ACTION")
	}
	resource := n.get("Resource")
	if s.notRes = resource == nil && n.get("NotResource") != nil; s.notRes {
		resource = n.get("NotResource")
	}
	switch {
	case l.kind == Trust && resource != nil:
		l.found("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", l.at(resource), "")
	case l.kind == Trust:
	case resource == nil:
		l.found("MISSING_RESOURCE", l.at(n), "")
	default:
		s.resources = l.texts(resource, "EMPTY_ARRAY_RESOURCE")
	}
	l.actions(s)
	l.resources(s)
	l.conditions(s, n.get("Condition"))
	if s.allows() && l.kind == Identity {
		l.roles(s)
	}
}

// texts returns the strings of an element that is one or a list of them.
func (l *linter) texts(n *node, empty string) (out []*node) {
	if !l.typed(n, `"[`, "String") {
		return nil
	}
	if n.kind == '[' && len(n.items) == 0 {
		l.found(empty, l.at(n), "")
	}
	if n.kind == '"' {
		return []*node{n}
	}
	for _, v := range n.items {
		if l.typed(v, `"`, "String") {
			out = append(out, v)
		}
	}
	return out
}

func (l *linter) sid(n *node) {
	switch {
	case n == nil || !l.typed(n, `"`, "String"):
	case n.text == "":
		l.found("EMPTY_SID_VALUE", l.at(n), "")
	case strings.ContainsFunc(n.text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		l.found("UNSUPPORTED_SID", l.at(n), "")
	}
}

func (l *linter) sids() {
	first := map[string]*node{}
	for _, s := range l.statements {
		n := s.node.get("Sid")
		if n == nil || n.kind != '"' || n.text == "" {
			continue
		}
		if first[n.text] != nil {
			l.found("UNIQUE_SIDS_REQUIRED", append(l.at(n), l.at(first[n.text])...), "")
		} else {
			first[n.text] = n
		}
	}
}

func (l *linter) principal(s *statement, n *node) {
	p, not := n.get("Principal"), n.get("NotPrincipal")
	switch {
	case l.kind == Identity && (p != nil || not != nil):
		l.found("UNSUPPORTED_PRINCIPAL", l.at(cmp.Or(p, not)), "", "IDENTITY_POLICY")
		return
	case l.kind == ServiceControl && (p != nil || not != nil):
		l.found("SCP_SYNTAX_ERROR_PRINCIPAL", l.at(cmp.Or(p, not)), "")
		return
	case l.kind == Identity || l.kind == ServiceControl:
		return
	case p == nil && not == nil:
		l.found("MISSING_PRINCIPAL", l.at(n), "")
		return
	case p == nil && l.kind == Trust:
		l.found("ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL", l.at(not), "")
		return
	case p == nil:
		if s.allows() {
			l.found("ALLOW_WITH_NOT_PRINCIPAL", l.at(not), "")
		}
		p = not
	}
	switch p.kind {
	case '"':
		if p.text != "*" {
			l.found("INVALID_PRINCIPAL_FORMAT", l.at(p), "")
		} else if l.kind == Trust && s.allows() && n.get("Condition") == nil {
			l.found("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", l.at(p), "")
		}
		return
	case '{':
	default:
		l.found("INVALID_PRINCIPAL_FORMAT", l.at(p), "")
		return
	}
	if len(p.members) == 0 {
		l.found("EMPTY_OBJECT_PRINCIPAL", l.at(p), "")
	}
	for i := range p.members {
		m := &p.members[i]
		if !slices.Contains([]string{"AWS", "Service", "Federated", "CanonicalUser"}, m.name) {
			l.found("INVALID_PRINCIPAL_KEY", []Location{l.name(p, m)}, l.closest(m.name, "AWS", "Service", "Federated", "CanonicalUser"), m.name)
			continue
		}
		for _, v := range l.texts(m.value, "EMPTY_ARRAY_PRINCIPAL") {
			switch {
			case strings.ContainsAny(v.text, "*?") && (m.name != "AWS" || v.text != "*"):
				l.found("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", l.at(v), "", m.name)
			case m.name == "AWS" && v.text == "*" && l.kind == Trust && s.allows() && n.get("Condition") == nil:
				l.found("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", l.at(v), "")
			}
		}
	}
}

// closest says what was probably meant, for the first that are wrong; "" where nothing is near.
func (l *linter) closest(s string, among ...string) string {
	const mostGuesses, mostBytes, far = 20, 64, 4
	if l.guesses++; l.guesses > mostGuesses {
		return ""
	}
	best, least := "", far
	s = strings.ToLower(s)
	for _, a := range among {
		// Names whose lengths differ by as much are as far.
		lower := strings.ToLower(a)
		if max(len(s), len(lower)) > mostBytes || max(len(s), len(lower))-min(len(s), len(lower)) >= least {
			continue
		}
		if d := fault.Distance(s, lower); d < least && d < len(a) {
			best, least = a, d
		}
	}
	if best == "" {
		return ""
	}
	return "Did you mean " + best + "?"
}
