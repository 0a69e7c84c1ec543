package policy

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

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

	statements  []statement
	conditional bool
}

// Conditional reports whether the policy's decisions may depend on Request.Context: it has a Condition or a variable.
// Where no policy has any, the caller need not build a context.
func (p *Policy) Conditional() bool { return p.conditional }

type statement struct {
	sid          string
	effect       Effect
	actions      []pattern
	notAction    bool
	resources    []pattern
	notResource  bool
	conditions   []condition
	hasVariables bool // in its resources
}

// The two versions of the language. Without a Version it is the older one, in which ${...} is plain text.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads an identity-based policy. It is strict: an unknown or repeated element, a value that AWS would not take
// and anything this engine would have to ignore is a fault.Validation that says where it stands, for example
// "Statement[1].Condition.StringLike: ...". The name is what decisions report.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func Parse(name string, doc []byte) (*Policy, error) {
	if len(doc) > MaxDocument {
		return nil, malformed("", "the document has %d bytes, at most %d are allowed", len(doc), MaxDocument)
	}
	r := reader{dec: jsontext.NewDecoder(bytes.NewReader(doc))}
	raw, err := r.document()
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, malformed("", "there is something after the end of the document")
	}
	return raw.compile(name)
}

// malformed is every error of Parse. where is a path like "Statement[0].Effect"; "" is the whole document.
func malformed(where, format string, args ...any) error {
	if where != "" {
		format = strings.ReplaceAll(where, "%", "%%") + ": " + format
	}
	return fault.New(fault.Validation, "Malformed policy document: "+format, args...)
}

// rawPolicy is a document as it was written, before Version decides what its strings mean.
type rawPolicy struct {
	version    string
	statements []rawStatement
}

type rawStatement struct {
	where                string
	sid, effect          string
	action, notAction    []string
	resource, notRes     []string
	hasAction, hasNotAct bool
	hasRes, hasNotRes    bool
	hasEffect            bool
	conditions           []rawCondition
}

type rawCondition struct {
	where, operator, key string
	values               []string
}

// reader reads a document token by token, so that every error has its place.
type reader struct{ dec *jsontext.Decoder }

// token reads one token, a syntax error as a fault.
func (r *reader) token(where string) (jsontext.Token, error) {
	t, err := r.dec.ReadToken()
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return t, malformed(where, "the document ends too early, at byte %d", r.dec.InputOffset())
	case errors.Is(err, jsontext.ErrDuplicateName):
		return t, malformed(where, "a name stands twice in one object, at byte %d", r.dec.InputOffset())
	}
	return t, malformed(where, "not valid JSON at byte %d", r.dec.InputOffset())
}

// object reads an object and calls member for each name; member reads the value.
func (r *reader) object(where string, member func(name string) error) error {
	t, err := r.token(where)
	if err != nil {
		return err
	}
	if t.Kind() != '{' {
		return malformed(where, "must be an object")
	}
	for {
		t, err := r.token(where)
		if err != nil {
			return err
		}
		if t.Kind() == '}' {
			return nil
		}
		if err := member(t.String()); err != nil {
			return err
		}
	}
}

func (r *reader) str(where string) (string, error) {
	t, err := r.token(where)
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", malformed(where, "must be a string")
	}
	return t.String(), nil
}

// list reads one value or a list of them. Numbers and booleans are taken, as their text, only where scalars is set:
// quotation marks are optional for them in conditions.
func (r *reader) list(where string, scalars bool) ([]string, error) {
	value := func(t jsontext.Token) (string, error) {
		switch t.Kind() {
		case '"':
			return t.String(), nil
		case '0', 't', 'f':
			if scalars {
				return t.String(), nil
			}
		}
		return "", malformed(where, "must be a string or a list of strings")
	}
	t, err := r.token(where)
	if err != nil {
		return nil, err
	}
	if t.Kind() != '[' {
		s, err := value(t)
		if err != nil {
			return nil, err
		}
		return []string{s}, nil
	}
	var out []string
	for {
		t, err := r.token(where)
		if err != nil {
			return nil, err
		}
		if t.Kind() == ']' {
			if len(out) == 0 {
				return nil, malformed(where, "must not be an empty list")
			}
			return out, nil
		}
		s, err := value(t)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
}

func (r *reader) document() (*rawPolicy, error) {
	p := &rawPolicy{version: version2008}
	found := false
	err := r.object("", func(name string) error {
		var err error
		switch name {
		case "Version":
			p.version, err = r.str(name)
		case "Id":
			_, err = r.str(name)
		case "Statement":
			found = true
			err = r.statements(p)
		default:
			err = malformed("", "unknown element %q", name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, malformed("", "Statement is missing")
	}
	return p, nil
}

func (r *reader) statements(p *rawPolicy) error {
	if r.dec.PeekKind() != '[' {
		return r.statement(p)
	}
	if _, err := r.token("Statement"); err != nil {
		return err
	}
	for r.dec.PeekKind() != ']' {
		if err := r.statement(p); err != nil {
			return err
		}
	}
	if _, err := r.token("Statement"); err != nil {
		return err
	}
	if len(p.statements) == 0 {
		return malformed("Statement", "must not be an empty list")
	}
	return nil
}

func (r *reader) statement(p *rawPolicy) error {
	s := rawStatement{where: "Statement[" + strconv.Itoa(len(p.statements)) + "]"}
	err := r.object(s.where, func(name string) error {
		where := s.where + "." + name
		var err error
		switch name {
		case "Sid":
			s.sid, err = r.str(where)
		case "Effect":
			s.hasEffect = true
			s.effect, err = r.str(where)
		case "Action":
			s.hasAction = true
			s.action, err = r.list(where, false)
		case "NotAction":
			s.hasNotAct = true
			s.notAction, err = r.list(where, false)
		case "Resource":
			s.hasRes = true
			s.resource, err = r.list(where, false)
		case "NotResource":
			s.hasNotRes = true
			s.notRes, err = r.list(where, false)
		case "Condition":
			s.conditions, err = r.conditions(where)
		case "Principal", "NotPrincipal":
			// The principal of an identity-based policy is whom it is attached to.
			err = malformed(where, "an identity-based policy must not name a principal")
		default:
			err = malformed(s.where, "unknown element %q", name)
		}
		return err
	})
	p.statements = append(p.statements, s)
	return err
}

func (r *reader) conditions(where string) ([]rawCondition, error) {
	var out []rawCondition
	err := r.object(where, func(operator string) error {
		at := where + "." + operator
		return r.object(at, func(key string) error {
			values, err := r.list(at+"."+key, true)
			out = append(out, rawCondition{where: at, operator: operator, key: key, values: values})
			return err
		})
	})
	return out, err
}

func (raw *rawPolicy) compile(name string) (*Policy, error) {
	if raw.version != version2012 && raw.version != version2008 {
		return nil, malformed("Version", "must be %q or %q, not %q", version2012, version2008, raw.version)
	}
	variables := raw.version == version2012
	p := &Policy{Name: name, statements: make([]statement, 0, len(raw.statements))}
	sids := make(map[string]bool)
	for i := range raw.statements {
		s, err := raw.statements[i].compile(variables)
		if err != nil {
			return nil, err
		}
		if s.sid != "" && sids[s.sid] {
			return nil, malformed(raw.statements[i].where+".Sid", "%q stands twice, statement ids must be unique", s.sid)
		}
		sids[s.sid] = true
		p.conditional = p.conditional || s.hasVariables || len(s.conditions) > 0
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func (raw *rawStatement) compile(variables bool) (statement, error) {
	s := statement{sid: raw.sid, notAction: raw.hasNotAct, notResource: raw.hasNotRes}
	for i := 0; i < len(raw.sid); i++ {
		if c := raw.sid[i]; !isAlnum(c) {
			return s, malformed(raw.where+".Sid", "%q must be letters and digits only", raw.sid)
		}
	}
	switch {
	case !raw.hasEffect:
		return s, malformed(raw.where, "Effect is missing")
	case raw.effect == "Allow":
		s.effect = Allow
	case raw.effect == "Deny":
		s.effect = ExplicitDeny
	default:
		return s, malformed(raw.where+".Effect", "must be \"Allow\" or \"Deny\", not %q", raw.effect)
	}

	actions, at := raw.action, raw.where+".Action"
	switch {
	case raw.hasAction && raw.hasNotAct:
		return s, malformed(raw.where, "has both Action and NotAction")
	case raw.hasNotAct:
		actions, at = raw.notAction, raw.where+".NotAction"
	case !raw.hasAction:
		return s, malformed(raw.where, "Action is missing")
	}
	for _, a := range actions {
		if err := checkAction(at, a); err != nil {
			return s, err
		}
		s.actions = append(s.actions, wildcards(a))
	}

	resources, at := raw.resource, raw.where+".Resource"
	switch {
	case raw.hasRes && raw.hasNotRes:
		return s, malformed(raw.where, "has both Resource and NotResource")
	case raw.hasNotRes:
		resources, at = raw.notRes, raw.where+".NotResource"
	case !raw.hasRes:
		return s, malformed(raw.where, "Resource is missing")
	}
	for _, res := range resources {
		if strings.Trim(res, "*") != "" && !strings.HasPrefix(res, "arn:") || res == "" {
			return s, malformed(at, "%q must be an ARN or \"*\"", res)
		}
		pt, err := parsePattern(at, res, variables)
		if err != nil {
			return s, err
		}
		s.hasVariables = s.hasVariables || pt.variable
		s.resources = append(s.resources, pt)
	}

	for _, c := range raw.conditions {
		compiled, err := c.compile(variables)
		if err != nil {
			return s, err
		}
		s.conditions = append(s.conditions, compiled)
	}
	return s, nil
}

// checkAction takes "*" and "service:Name", the name with wildcards.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
func checkAction(where, action string) error {
	if action == "*" {
		return nil
	}
	service, name, ok := strings.Cut(action, ":")
	if !ok || service == "" || name == "" {
		return malformed(where, "%q must be \"*\" or a service and an action, like \"bedrock:InvokeModel\"", action)
	}
	for i := 0; i < len(service); i++ {
		if c := service[i]; !isAlnum(c) && c != '-' {
			return malformed(where, "%q has a character that no service's name has", action)
		}
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlnum(c) && c != '*' && c != '?' && c != '-' && c != '_' {
			return malformed(where, "%q has a character that no action's name has", action)
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
