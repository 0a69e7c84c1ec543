package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// MaxDocument is the bound of a policy document in bytes: what the IAM API takes for PolicyDocument. The quotas on
// what one user may hold are smaller, and belong to package iam.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutUserPolicy.html
const MaxDocument = 131072

// Policy is a parsed and compiled policy document. It never changes.
type Policy struct {
	Name string // what Decision.Policy reports

	kind        kind
	version     string
	statements  []statement
	index       index
	conditional bool
}

// Conditional reports whether the policy's decisions may depend on Request.Context: it has a Condition or a variable.
// Where no policy has any, the caller need not build a context.
func (p *Policy) Conditional() bool { return p.conditional }

// Version returns the version of the language that the document is written in: "2012-10-17", or "2008-10-17", which a
// document without a Version is in.
func (p *Policy) Version() string { return p.version }

type statement struct {
	sid          string
	effect       Effect
	principals   *principals // nil where the statement names none
	actions      []pattern   // in lower case
	notAction    bool
	resources    []pattern
	notResource  bool
	anyResource  bool // it has no resource: a trust policy's is the role
	conditions   []condition
	hasVariables bool // in its resources
}

// kind is what a document is for, which decides what its statements must have.
type kind uint8

const (
	permissions    kind = iota // identity-based policies and all that bounds them: no principal
	trustPolicy                // a role's: a principal, no resource
	resourcePolicy             // a resource's: both
)

// The two versions of the language. Without a Version it is the older one, in which ${...} is plain text.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads an identity-based policy; permissions boundaries, session policies and service control policies are
// written the same way. It is strict: an unknown or repeated element, a value that AWS would not take and anything this
// engine would have to ignore is refused. The name is what decisions report.
//
// Its error is a fault.Validation whose message is that of IAM's MalformedPolicyDocument, then what is wrong and where.
// It wraps all the Problems of the document.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func Parse(name string, document []byte) (*Policy, error) { return parse(permissions, name, document) }

// ParseTrust is Parse for a role's trust policy: it has Principal in place of Resource, and actions of STS only.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-trust-policy.html
func ParseTrust(name string, document []byte) (*Policy, error) {
	return parse(trustPolicy, name, document)
}

// ParseResource is Parse for a resource's own policy, which has Principal or NotPrincipal besides.
func ParseResource(name string, document []byte) (*Policy, error) {
	return parse(resourcePolicy, name, document)
}

// Problem is something in a document that makes it no policy.
type Problem struct {
	Message      string // what IAM says
	Path         string // which element it is: "Statement[1].Condition.StringLike", "" for the whole document
	Line, Column int    // where it begins, from 1; columns are characters
	Detail       string // what is wrong with it
}

// Error returns all of it in one line.
func (p *Problem) Error() string {
	where := p.Path
	if where == "" {
		where = "the document"
	}
	return fmt.Sprintf("%s (%s, line %d, column %d: %s)", p.Message, where, p.Line, p.Column, p.Detail)
}

// Problems is every Problem of a document in its order; after one that breaks its JSON none is looked for.
type Problems []Problem

// Error counts them: what they are is in the message of the fault that wraps them, and in each.
func (p Problems) Error() string { return strconv.Itoa(len(p)) + " problems" }

// What IAM says of a malformed document, as far as is known.
const (
	syntaxErrors   = "Syntax errors in policy."
	legacyParsing  = "The policy failed legacy parsing"
	noActions      = "Policy statement must contain actions."
	noResources    = "Policy statement must contain resources."
	noVendor       = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	twoColons      = "Actions/Condition can contain only one colon."
	sidCharacters  = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
	sidsUnique     = "Statement IDs (SID) in a single policy must be unique."
	noPrincipal    = "Policy document should not specify a principal."
	resourceVendor = "Resource vendor must be fully qualified and cannot contain regexes."
	onlySTS        = "AssumeRole policy may only specify STS AssumeRole actions."
)

// maxProblems bounds what is reported of one document.
const maxProblems = 100

// reader reads a document token by token, so that every problem has its place.
type reader struct {
	kind      kind
	document  []byte
	dec       *jsontext.Decoder
	problems  Problems
	version   string
	variables bool
}

func parse(k kind, name string, document []byte) (*Policy, error) {
	r := &reader{kind: k, document: document, version: version2008}
	p := &Policy{Name: name, kind: k}
	if len(document) > MaxDocument {
		r.report(syntaxErrors, "", 0, "has %d bytes, at most %d are allowed", len(document), MaxDocument)
	} else {
		r.dec = jsontext.NewDecoder(bytes.NewReader(document))
		if raw, ok := r.read(); ok {
			r.compile(p, raw)
		}
	}
	if len(r.problems) > 0 {
		return nil, fault.Wrap(r.problems, fault.Validation, "%s", r.problems[0].Error())
	}
	p.version = r.version
	p.makeIndex()
	return p, nil
}

// report adds a problem at a byte of the document.
func (r *reader) report(message, path string, at int, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		return
	}
	before := r.document[:min(at, len(r.document))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	r.problems = append(r.problems, Problem{
		Message: shorten(message), Path: shorten(path), Line: bytes.Count(before, []byte{'\n'}) + 1, Column: utf8.RuneCount(line) + 1,
		Detail: shorten(fmt.Sprintf(format, args...)),
	})
}

// shorten bounds what is repeated of a document.
func shorten(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// text is a string of the document and where it stands.
type text struct {
	value string
	at    int
}

// element is a member of an object that is a string or a list of them, or an object of such.
type element struct {
	name   string // "Action" or "NotAction"
	path   string
	at     int
	values []text
}

// rawStatement is a statement as it was written, before Version decides what its strings mean.
type rawStatement struct {
	path       string
	at         int
	sid        *text
	effect     *text
	action     *element
	resource   *element
	principal  *rawPrincipal
	conditions []rawCondition
}

type rawPrincipal struct {
	name, path string
	at         int
	everyone   bool
	members    []element
}

type rawCondition struct {
	operator text
	key      text
	path     string
	values   []text
}

// next returns where the next token begins.
func (r *reader) next() int {
	at := int(r.dec.InputOffset())
	for at < len(r.document) && strings.IndexByte(" \t\r\n,:", r.document[at]) >= 0 {
		at++
	}
	return at
}

// broken reports an error of the decoder. It returns false, as all that read on do once the JSON is broken.
func (r *reader) broken(err error, path string) bool {
	at := int(r.dec.InputOffset())
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		at = int(syntax.ByteOffset)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.report(syntaxErrors, path, len(r.document), "the document ends too early")
	case errors.Is(err, jsontext.ErrDuplicateName):
		r.report(syntaxErrors, path, at, "a name stands twice in one object")
	default:
		r.report(syntaxErrors, path, at, "not valid JSON%s", missing(r.document, at))
	}
	return false
}

// missing says which character most likely is not there before the byte where JSON broke.
func missing(document []byte, at int) string {
	if at < len(document) && document[at] == '"' {
		return ": a comma or a colon is missing before this"
	}
	return ""
}

// skip passes over a value that is not what it should be, and reports that.
func (r *reader) skip(path, want string) bool {
	at := r.next()
	if err := r.dec.SkipValue(); err != nil {
		return r.broken(err, path)
	}
	r.report(syntaxErrors, path, at, "must be %s", want)
	return true
}

// object reads an object and calls member for each name; member reads the value.
func (r *reader) object(path string, member func(name text) bool) bool {
	if k := r.dec.PeekKind(); k != '{' {
		return r.skip(path, "an object")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(err, path)
	}
	for {
		t, at, ok := r.token(path)
		switch {
		case !ok:
			return false
		case t.Kind() == '}':
			return true
		case !member(text{t.String(), at}):
			return false
		}
	}
}

// token reads one token and tells where it begins. It is good until the next one is read.
func (r *reader) token(path string) (t jsontext.Token, at int, ok bool) {
	at = r.next()
	t, err := r.dec.ReadToken()
	return t, at, err == nil || r.broken(err, path)
}

// str reads a string; into is nil after what is none.
func (r *reader) str(path string, into **text) bool {
	if r.dec.PeekKind() != '"' {
		return r.skip(path, "a string")
	}
	t, at, ok := r.token(path)
	if ok {
		*into = &text{t.String(), at}
	}
	return ok
}

// list reads one value or a list of them. Numbers and booleans are taken, as their text, only where scalars is set:
// quotation marks are optional for them in conditions.
func (r *reader) list(path string, scalars bool, into *[]text) bool {
	value := func() bool {
		k := r.dec.PeekKind()
		if k != '"' && (!scalars || k != '0' && k != 't' && k != 'f') {
			return r.skip(path, "a string or a list of strings")
		}
		t, at, ok := r.token(path)
		if ok {
			*into = append(*into, text{t.String(), at})
		}
		return ok
	}
	if r.dec.PeekKind() != '[' {
		return value()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(err, path)
	}
	for r.dec.PeekKind() != ']' {
		if !value() {
			return false
		}
	}
	_, err := r.dec.ReadToken()
	return err == nil || r.broken(err, path)
}

// read reads the document's statements; ok is false where it is no JSON.
func (r *reader) read() (statements []rawStatement, ok bool) {
	var version, id *text
	found := false
	ok = r.object("", func(name text) bool {
		switch name.value {
		case "Version":
			return r.str(name.value, &version)
		case "Id":
			return r.str(name.value, &id)
		case "Statement":
			found = true
			return r.statements(&statements)
		}
		r.report(syntaxErrors, "", name.at, "unknown element %q", name.value)
		return r.pass("")
	})
	if !ok {
		return nil, false
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		r.report(syntaxErrors, "", r.next(), "there is something after its end")
	}
	if version != nil {
		r.version = version.value
		if r.version != version2012 && r.version != version2008 {
			r.report(syntaxErrors, "Version", version.at, "must be %q or %q, not %q", version2012, version2008, r.version)
		}
	}
	r.variables = r.version == version2012
	if !found && len(r.problems) == 0 {
		r.report(syntaxErrors, "", 0, "Statement is missing")
	}
	return statements, true
}

// pass passes over a value that has been reported.
func (r *reader) pass(path string) bool {
	if err := r.dec.SkipValue(); err != nil {
		return r.broken(err, path)
	}
	return true
}

func (r *reader) statements(into *[]rawStatement) bool {
	if r.dec.PeekKind() != '[' {
		return r.statement(into)
	}
	at := r.next()
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(err, "Statement")
	}
	for r.dec.PeekKind() != ']' {
		if !r.statement(into) {
			return false
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(err, "Statement")
	}
	if len(*into) == 0 {
		r.report(syntaxErrors, "Statement", at, "must not be an empty list")
	}
	return true
}

func (r *reader) statement(into *[]rawStatement) bool {
	s := rawStatement{path: "Statement[" + strconv.Itoa(len(*into)) + "]", at: r.next()}
	problems := len(r.problems)
	ok := r.object(s.path, func(name text) bool {
		path := s.path + "." + name.value
		switch name.value {
		case "Sid":
			return r.str(path, &s.sid)
		case "Effect":
			return r.str(path, &s.effect)
		case "Action", "NotAction":
			return r.element(&s.action, name, path, s.path)
		case "Resource", "NotResource":
			return r.element(&s.resource, name, path, s.path)
		case "Principal", "NotPrincipal":
			return r.principal(&s, name, path)
		case "Condition":
			return r.conditions(path, &s.conditions)
		}
		r.report(syntaxErrors, s.path, name.at, "unknown element %q", name.value)
		return r.pass(s.path)
	})
	if len(r.problems) > problems {
		s.at = -1 // what is missing in it may only have been of the wrong type
	}
	*into = append(*into, s)
	return ok
}

// element reads Action, Resource and their opposites, of which a statement has one.
func (r *reader) element(into **element, name text, path, of string) bool {
	e := &element{name: name.value, path: path, at: name.at}
	if *into != nil {
		r.report(syntaxErrors, of, name.at, "has both %s and %s", (*into).name, name.value)
	}
	*into = e
	return r.list(path, false, &e.values)
}

// principal reads Principal and NotPrincipal: "*", or an object of lists.
func (r *reader) principal(s *rawStatement, name text, path string) bool {
	if s.principal != nil {
		r.report(syntaxErrors, s.path, name.at, "has both Principal and NotPrincipal")
	}
	p := &rawPrincipal{name: name.value, path: path, at: name.at}
	s.principal = p
	if r.dec.PeekKind() == '"' {
		var value *text
		if !r.str(path, &value) {
			return false
		}
		if p.everyone = value.value == "*"; !p.everyone {
			r.report(syntaxErrors, path, value.at, "must be \"*\" or an object")
		}
		return true
	}
	return r.object(path, func(kind text) bool {
		e := element{name: kind.value, path: path + "." + kind.value, at: kind.at}
		switch kind.value {
		case "AWS", "Service", "Federated", "CanonicalUser":
		default:
			r.report(syntaxErrors, path, kind.at, "%q is not a type of principal", kind.value)
			return r.pass(path)
		}
		ok := r.list(e.path, false, &e.values)
		p.members = append(p.members, e)
		return ok
	})
}

func (r *reader) conditions(path string, into *[]rawCondition) bool {
	return r.object(path, func(operator text) bool {
		at := path + "." + operator.value
		return r.object(at, func(key text) bool {
			c := rawCondition{operator: operator, key: key, path: at}
			ok := r.list(at+"."+key.value, true, &c.values)
			*into = append(*into, c)
			return ok
		})
	})
}

// compile fills p with statements.
func (r *reader) compile(p *Policy, raw []rawStatement) {
	p.statements = make([]statement, 0, len(raw))
	sids := make(map[string]bool)
	for i := range raw {
		s := r.statementOf(&raw[i])
		if s.sid != "" && sids[s.sid] {
			r.report(sidsUnique, raw[i].path+".Sid", raw[i].sid.at, "%q stands twice", s.sid)
		}
		sids[s.sid] = true
		p.conditional = p.conditional || s.hasVariables || len(s.conditions) > 0
		p.statements = append(p.statements, s)
	}
}

// absent reports an element that raw lacks.
func (r *reader) absent(message string, raw *rawStatement, name string) {
	if raw.at >= 0 {
		r.report(message, raw.path, raw.at, "%s is missing", name)
	}
}

func (r *reader) statementOf(raw *rawStatement) statement {
	var s statement
	if raw.sid != nil {
		s.sid = raw.sid.value
		for i := 0; i < len(s.sid); i++ {
			if !isAlnum(s.sid[i]) {
				r.report(sidCharacters, raw.path+".Sid", raw.sid.at, "%q must be letters and digits only", s.sid)
				break
			}
		}
	}
	switch e := raw.effect; {
	case e == nil:
		r.absent(syntaxErrors, raw, "Effect")
	case e.value == "Allow":
		s.effect = Allow
	case e.value == "Deny":
		s.effect = ExplicitDeny
	default:
		message := syntaxErrors
		if strings.EqualFold(e.value, "Allow") || strings.EqualFold(e.value, "Deny") {
			message = legacyParsing
		}
		r.report(message, raw.path+".Effect", e.at, "must be \"Allow\" or \"Deny\", not %q", e.value)
	}
	r.principalsOf(&s, raw)
	r.actionsOf(&s, raw)
	r.resourcesOf(&s, raw)
	for i := range raw.conditions {
		if c, ok := r.conditionOf(&raw.conditions[i]); ok {
			s.conditions = append(s.conditions, c)
		}
	}
	return s
}

func (r *reader) principalsOf(s *statement, raw *rawStatement) {
	p := raw.principal
	switch {
	case p == nil && r.kind != permissions:
		r.absent("Missing required field Principal", raw, "Principal")
		return
	case p == nil:
		return
	case r.kind == permissions: // its principal is whom it is attached to
		r.report(noPrincipal, p.path, p.at, "an identity-based policy must not name a principal")
		return
	case r.kind == trustPolicy && p.name == "NotPrincipal":
		r.report("Has prohibited field NotPrincipal", p.path, p.at, "a trust policy must say whom it trusts")
		return
	}
	s.principals = &principals{not: p.name == "NotPrincipal", everyone: p.everyone}
	found := p.everyone
	for _, member := range p.members {
		for _, v := range member.values {
			found = true
			if !s.principals.add(member.name, v.value) {
				r.report(fmt.Sprintf("Invalid principal in policy: %q:%q", member.name, v.value), member.path, v.at, "%q is not a principal of that type", v.value)
			}
		}
	}
	if !found && raw.at >= 0 {
		r.report(syntaxErrors, p.path, p.at, "names nobody")
	}
}

func (r *reader) actionsOf(s *statement, raw *rawStatement) {
	if raw.action == nil {
		r.absent(noActions, raw, "Action")
		return
	}
	s.notAction = raw.action.name == "NotAction"
	for _, a := range raw.action.values {
		if message, detail := checkAction(a.value); message != "" {
			r.report(message, raw.action.path, a.at, "%q %s", a.value, detail)
			continue
		}
		if service, _, ok := strings.Cut(a.value, ":"); r.kind == trustPolicy && (!ok || !strings.EqualFold(service, "sts")) {
			r.report(onlySTS, raw.action.path, a.at, "%q is not an action of STS", a.value)
		}
		s.actions = append(s.actions, wildcards(strings.ToLower(a.value)))
	}
	if len(raw.action.values) == 0 && raw.at >= 0 {
		r.report(noActions, raw.action.path, raw.action.at, "must not be an empty list")
	}
}

func (r *reader) resourcesOf(s *statement, raw *rawStatement) {
	switch {
	case r.kind == trustPolicy && raw.resource != nil:
		r.report("Has prohibited field "+raw.resource.name, raw.resource.path, raw.resource.at, "a trust policy's resource is its role")
		return
	case r.kind == trustPolicy:
		s.anyResource = true
		return
	case raw.resource == nil:
		r.absent(noResources, raw, "Resource")
		return
	}
	s.notResource = raw.resource.name == "NotResource"
	for _, v := range raw.resource.values {
		if message, detail := checkResource(v.value); message != "" {
			r.report(message, raw.resource.path, v.at, "%q %s", v.value, detail)
			continue
		}
		p, err := parsePattern(v.value, r.variables)
		if err != nil {
			r.report(syntaxErrors, raw.resource.path, v.at, "%v", err)
			continue
		}
		s.hasVariables = s.hasVariables || p.variable
		s.resources = append(s.resources, p)
		if rest := r.completion(v.value); rest != "" {
			p, _ = parsePattern(v.value+rest, r.variables) // it has been parsed without rest
			s.resources = append(s.resources, p)
		}
	}
	if len(raw.resource.values) == 0 && raw.at >= 0 {
		r.report(noResources, raw.resource.path, raw.resource.at, "must not be an empty list")
	}
}

// completion returns what an ARN in an identity-based policy lacks: a star for each of its six parts that is not there. As it
// is written it counts too, since a star in it may stand for several parts.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html ("incomplete ARN")
func (r *reader) completion(resource string) string {
	if r.kind != permissions || strings.HasSuffix(resource, "*") { // which stands for all that follows
		return ""
	}
	parts := 1
	for _, rest, found := cutColon(resource, r.variables); found; _, rest, found = cutColon(rest, r.variables) {
		parts++
	}
	return strings.Repeat(":*", max(0, 6-parts))
}

// checkAction takes "*" and "service:Name", the name with wildcards, and "*" for every service. It returns what IAM says
// and what is wrong, or nothing.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
func checkAction(action string) (message, detail string) {
	if action == "*" {
		return "", ""
	}
	service, name, ok := strings.Cut(action, ":")
	switch {
	case !ok || service == "":
		return noVendor, "must be \"*\" or a service and an action, like \"bedrock:InvokeModel\""
	case strings.Contains(name, ":"):
		return twoColons, "has more than one colon"
	case name == "":
		return syntaxErrors, "names no action of the service"
	}
	for i := 0; i < len(service) && service != "*"; i++ {
		if c := service[i]; !isAlnum(c) && c != '-' && c != '.' {
			return "Vendor " + service + " is not valid", "has a character that no service's name has"
		}
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlnum(c) && c != '*' && c != '?' && c != '-' && c != '_' {
			return syntaxErrors, "has a character that no action's name has"
		}
	}
	return "", ""
}

// checkResource takes "*" and ARNs, which may have wildcards but in the service, and may end before their sixth part: see completion.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
func checkResource(resource string) (message, detail string) {
	if resource != "" && strings.Trim(resource, "*") == "" {
		return "", ""
	}
	rest, ok := strings.CutPrefix(resource, "arn:")
	if !ok {
		return "Resource " + resource + ` must be in ARN format or "*".`, `must be an ARN or "*"`
	}
	partition, rest, ok := strings.Cut(rest, ":")
	if !strings.HasPrefix(partition, "aws") && !strings.ContainsAny(partition, "*?") {
		return fmt.Sprintf("Partition %q is not valid for resource %q.", partition, resource), "is of no partition, like \"aws\""
	}
	service, _, _ := strings.Cut(rest, ":")
	if !ok || service == "" || strings.ContainsAny(service, "*?$") {
		return resourceVendor, "must name one service, without wildcards"
	}
	return "", ""
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
