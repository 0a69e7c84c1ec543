package iam

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/arn"
	"outcrop/fault"
	"outcrop/policy"
)

// PolicySource is a policy document with the name that a Simulation reports it by.
type PolicySource struct {
	Name     string
	Document string
}

// Sources returns the policies of an entity as a Simulation takes them: those of a user's groups too, and those that bound the account.
// There is no boundary where the entity has none, and no guardrail where the account has none.
func (o *Roster) Sources(e *Entity) (c SimulationConfig) {
	managed := func(p *ManagedPolicy) PolicySource {
		s := PolicySource{Name: p.Name}
		if v, err := o.Version(p, p.Default); err == nil {
			s.Document = v.Document
		}
		return s
	}
	for _, from := range append([]*Entity{e}, o.Groups(e)...) {
		for _, p := range o.Inline(from) {
			c.Identity = append(c.Identity, PolicySource{p.Name, p.Document})
		}
		for _, p := range o.Attached(from) {
			c.Identity = append(c.Identity, managed(p))
		}
	}
	if p := o.arns[e.Boundary]; p != nil {
		c.Boundary = []PolicySource{managed(p)}
	}
	for _, g := range o.guardrails {
		c.Guardrail = append(c.Guardrail, PolicySource{g.Name, g.Document})
	}
	return c
}

// PrincipalContext is the context keys that say who a user or a role is.
func (e *Entity) PrincipalContext() policy.Context {
	with := policy.Context{
		"aws:PrincipalArn": {e.ARN()}, "aws:PrincipalAccount": {e.Account}, "aws:userid": {e.ID}, "aws:PrincipalType": {"User"},
	}
	switch e.Kind {
	case UserKind:
		with["aws:username"] = []string{e.Name}
	case RoleKind:
		with["aws:PrincipalType"] = []string{"AssumedRole"}
	}
	for _, t := range principalTags(e.Tags) {
		with[t.name] = t.values
	}
	return with
}

// Simulation asks policies what they would decide.
type Simulation struct {
	set     policy.Set
	sources []PolicySource // by the place of a policy among all, which is its name in set; the account's guardrails are the first
	missing []string
	caller  *policy.Principal
	keys    simulatedKeys
}

// simulatedKeys is the context of a Simulation, by the keys' names in lower case: unlike a policy.Context it is not searched
// for each condition.
type simulatedKeys map[string]simulatedKey

type simulatedKey struct {
	name   string
	values []string
}

// Lookup implements policy.Keys.
func (k simulatedKeys) Lookup(key string) (name string, values []string) {
	found, ok := k[key]
	if !ok {
		found = k[strings.ToLower(key)]
	}
	return found.name, found.values
}

// SimulationConfig is what a Simulation is made of.
type SimulationConfig struct {
	Guardrail []PolicySource // none: nothing bounds the account
	Identity  []PolicySource
	Boundary  []PolicySource // none: no boundary
	Resource  *PolicySource  // of the resource: a policy that names principals; it needs a Caller
	Caller    string         // the ARN of who asks, for Resource
	Context   policy.Context // no two keys differ in case only
}

// NewSimulation reads the policies. One that cannot be read is a fault.InvalidInput that names it.
func NewSimulation(c SimulationConfig) (*Simulation, error) {
	s := &Simulation{keys: make(simulatedKeys, len(c.Context))}
	for name, values := range c.Context {
		s.keys[strings.ToLower(name)] = simulatedKey{name, values}
	}
	read := func(src PolicySource, parse func(string, []byte) (*policy.Policy, error)) (*policy.Policy, error) {
		p, err := parse(strconv.Itoa(len(s.sources)), []byte(src.Document))
		if err != nil {
			return nil, fault.Wrap(err, fault.InvalidInput, "%s: %s", src.Name, fault.From(err).Message)
		}
		s.sources = append(s.sources, src)
		return p, nil
	}
	for _, layer := range []struct {
		sources []PolicySource
		to      *[]*policy.Policy
	}{{c.Guardrail, &s.set.Guardrail}, {c.Identity, &s.set.Identity}, {c.Boundary, &s.set.Boundary}} {
		for _, src := range layer.sources {
			p, err := read(src, policy.Parse)
			if err != nil {
				return nil, err
			}
			*layer.to = append(*layer.to, p)
		}
	}
	if c.Caller != "" {
		a, err := arn.Parse(c.Caller)
		if err != nil || a.Account == "" {
			return nil, fault.New(fault.InvalidInput, "The caller's ARN %s is not valid.", c.Caller)
		}
		s.caller = &policy.Principal{Account: a.Account, ARN: c.Caller}
	}
	if c.Resource != nil {
		if s.caller == nil {
			return nil, fault.New(fault.InvalidInput, "A resource policy needs the ARN of a caller.")
		}
		p, err := read(*c.Resource, policy.ParseResource)
		if err != nil {
			return nil, err
		}
		s.set.Resource = []*policy.Policy{p}
	}
	for _, src := range s.sources {
		s.missing = append(s.missing, documentKeys(src.Document)...)
	}
	s.missing = slices.DeleteFunc(distinct(s.missing), func(k string) bool {
		_, ok := s.keys[strings.ToLower(k)]
		return ok
	})
	return s, nil
}

// Simulated is what the policies decide.
type Simulated struct {
	Effect  policy.Effect
	Matched *Matched // the statement that decided; nil for an implicit deny, and where a guardrail denies
	Missing []string // context keys that the policies ask for and the context has not
	Guarded *bool    // whether the account's guardrails allow it; nil without any
	Bounded *bool    // whether the permissions boundary allows it; nil without one
}

// Matched is a statement in the document that it stands in. Lines and columns count from 1.
type Matched struct {
	Policy     string
	Start, End Position
}

// Position is a place in a document.
type Position struct{ Line, Column int }

// Questions returns how many questions may be put at a time: policies may be long, and many, and so may the list of the keys
// that are missing, which comes with each answer.
func (s *Simulation) Questions() int {
	const most = 8 << 20 // bytes of documents that are gone through
	size := 1
	for _, src := range s.sources {
		size += len(src.Document)
	}
	return max(1, most/size)
}

// Decide says whether action may be done on resource, an ARN or "*".
func (s *Simulation) Decide(action, resource string) Simulated {
	r := policy.Request{Action: action, Resource: resource, Keys: s.keys, Principal: s.caller}
	d := s.set.Decide(&r)
	out := Simulated{Effect: d.Effect, Missing: s.missing}
	if i, err := strconv.Atoi(d.Policy); err == nil && d.Statement >= 0 && i >= len(s.set.Guardrail) {
		src := &s.sources[i]
		start, end := statementAt(src.Document, d.Statement)
		out.Matched = &Matched{src.Name, positionAt(src.Document, start), positionAt(src.Document, end)}
	}
	// A layer by itself says whether it allows.
	allows := func(layer []*policy.Policy) *bool {
		if len(layer) == 0 {
			return nil
		}
		alone := policy.Set{Identity: layer}
		allowed := alone.Decide(&r).Effect == policy.Allow
		return &allowed
	}
	out.Guarded, out.Bounded = allows(s.set.Guardrail), allows(s.set.Boundary)
	return out
}

// statementAt finds the statement with that index in a document that package policy has read: from behind what stands before it,
// a bracket, a comma or a colon, as the IAM policy simulator counts it, to its end.
func statementAt(document string, index int) (start, end int) {
	d := jsontext.NewDecoder(bytes.NewReader([]byte(document)))
	behind := func(c byte) int {
		at := int(d.InputOffset())
		return at + strings.IndexByte(document[at:], c) + 1
	}
	if _, err := d.ReadToken(); err != nil { // the object
		return 0, 0
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			break
		}
		if name.String() != "Statement" {
			if d.SkipValue() != nil {
				break
			}
			continue
		}
		start = behind(':')
		if d.PeekKind() == '[' {
			if _, err := d.ReadToken(); err != nil {
				break
			}
			start = int(d.InputOffset())
		}
		for ; ; index-- {
			if d.SkipValue() != nil {
				return 0, 0
			}
			if index == 0 {
				return start, int(d.InputOffset())
			}
			start = behind(',')
		}
	}
	return 0, 0
}

func positionAt(document string, offset int) Position {
	before := document[:offset]
	return Position{Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])}
}

// ContextKeys returns the context keys that policy documents ask for, in conditions and variables. A document that cannot be
// read is a fault.InvalidInput.
func ContextKeys(sources []PolicySource) ([]string, error) {
	var keys []string
	for _, src := range sources {
		if _, err := policy.Parse(src.Name, []byte(src.Document)); err != nil {
			return nil, fault.Wrap(err, fault.InvalidInput, "%s: %s", src.Name, fault.From(err).Message)
		}
		keys = append(keys, documentKeys(src.Document)...)
	}
	return distinct(keys), nil
}

// documentKeys are the keys of a document that package policy has read, in any order and as often as they stand there.
func documentKeys(document string) []string {
	d := jsontext.NewDecoder(strings.NewReader(document))
	var keys []string
	for {
		t, err := d.ReadToken()
		if err != nil {
			return keys // the end
		}
		if t.Kind() != '"' {
			continue
		}
		// A condition's key is a name at .../Condition/OPERATOR/KEY; whatever stands in a variable is one too.
		text := t.String()
		path := strings.Split(string(d.StackPointer()), "/")
		kind, n := d.StackIndex(d.StackDepth())
		if isName := kind == '{' && n%2 == 1; isName && len(path) > 3 && path[len(path)-3] == "Condition" {
			keys = append(keys, text)
		}
		for rest := text; ; {
			_, variable, ok := strings.Cut(rest, "${")
			if !ok {
				break
			}
			if variable, rest, ok = strings.Cut(variable, "}"); !ok {
				break
			}
			name, _, _ := strings.Cut(variable, ",")
			if name = strings.TrimSpace(name); strings.Contains(name, ":") {
				keys = append(keys, name)
			}
		}
	}
}

// distinct sorts keys and leaves out those that differ in case only.
func distinct(keys []string) []string {
	fold := func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
	slices.SortFunc(keys, fold)
	return slices.CompactFunc(keys, strings.EqualFold)
}
