package simulated

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// schema is the part of JSON Schema (2020-12 and draft 7) that instances are made of. What is not here constrains
// nothing. A pattern is met where it is regular and simple, see match.
type schema struct {
	Type        types                     `json:"type"`
	Enum        []jsontext.Value          `json:"enum"`
	Const       jsontext.Value            `json:"const"`
	Properties  map[string]jsontext.Value `json:"properties"`
	Required    []string                  `json:"required"`
	Items       jsontext.Value            `json:"items"`
	PrefixItems []jsontext.Value          `json:"prefixItems"`
	MinItems    int                       `json:"minItems"`
	MaxItems    *int                      `json:"maxItems"`
	MinLength   int                       `json:"minLength"`
	MaxLength   *int                      `json:"maxLength"`
	Minimum     *float64                  `json:"minimum"`
	Maximum     *float64                  `json:"maximum"`
	ExMinimum   jsontext.Value            `json:"exclusiveMinimum"` // a number; a boolean in draft 4
	ExMaximum   jsontext.Value            `json:"exclusiveMaximum"`
	MultipleOf  float64                   `json:"multipleOf"`
	Format      string                    `json:"format"`
	Pattern     string                    `json:"pattern"`
	OneOf       []jsontext.Value          `json:"oneOf"`
	AnyOf       []jsontext.Value          `json:"anyOf"`
	AllOf       []jsontext.Value          `json:"allOf"`
	Ref         string                    `json:"$ref"`
}

// types is "type": one name or a list of them.
type types []string

// UnmarshalJSONFrom reads either form.
func (t *types) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		var s string
		if err := json.UnmarshalDecode(d, &s); err != nil {
			return err
		}
		*t = types{s}
		return nil
	}
	return json.UnmarshalDecode(d, (*[]string)(t))
}

// Bounds on what a stranger's schema may make us do.
const (
	maxDepth = 16
	maxItems = 32
	maxChars = 4096
	maxNodes = 2000
	maxWork  = 32 << 20 // bytes of schemas read, each as often as it is
	maxBytes = 1 << 20  // of the instance
)

// generator makes one instance.
type generator struct {
	root  jsontext.Value
	rand  *rand.Rand
	words []string
	nodes int
	work  int
	size  int // of the parts so far
}

// instance makes a JSON value that satisfies the schema s, from the words of the prompt where it can. A schema that is
// none, or that allows nothing, gives an empty object.
func instance(s jsontext.Value, r *rand.Rand, words []string) jsontext.Value {
	g := &generator{root: s, rand: r, words: words}
	if v := g.value(s, "", 0); v != nil && v.IsValid() {
		return v
	}
	return jsontext.Value("{}")
}

// read reads a schema, within the bound on all that is read.
func (g *generator) read(raw jsontext.Value, to any) bool {
	g.work += len(raw) + 64 // reading nothing takes time too
	return g.work <= maxWork && json.Unmarshal(raw, to) == nil
}

// value makes an instance of the schema s for the member called name; nil when it cannot.
func (g *generator) value(raw jsontext.Value, name string, depth int) jsontext.Value {
	g.nodes++
	if depth > maxDepth || g.nodes > maxNodes || g.work > maxWork || g.size > maxBytes {
		return jsontext.Value("null")
	}
	v := g.any(raw, name, depth)
	if k := v.Kind(); k != '{' && k != '[' { // those are the sums of their parts
		g.size += len(v)
	}
	return v
}

func (g *generator) any(raw jsontext.Value, name string, depth int) jsontext.Value {
	if k := raw.Kind(); k != '{' {
		if k == 't' || len(raw) == 0 { // the schema true, or none: anything
			return g.text(&schema{}, name)
		}
		return nil
	}
	var s schema
	if !g.read(raw, &s) {
		return nil
	}
	return g.make(&s, name, depth)
}

// make makes an instance of s; nil when it cannot.
func (g *generator) make(s *schema, name string, depth int) jsontext.Value {
	for n := 0; s.Ref != "" || len(s.AllOf) > 0; n++ {
		more := s.AllOf
		if s.Ref != "" {
			more = append(more, g.resolve(s.Ref))
		}
		s.Ref, s.AllOf = "", nil
		if n > maxDepth || len(more) > maxItems {
			return nil // it refers to itself, or goes on for ever
		}
		for _, m := range more {
			if !g.merge(s, m) {
				return nil
			}
		}
	}
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		for _, e := range s.Enum { // one that the prompt names, if any
			if t := strings.ToLower(strings.Trim(string(e), `"`)); slices.Contains(g.words, t) {
				return e
			}
		}
		return s.Enum[g.rand.IntN(len(s.Enum))]
	case len(s.OneOf) > 0:
		return g.choose(s, s.OneOf, name, depth)
	case len(s.AnyOf) > 0:
		return g.choose(s, s.AnyOf, name, depth)
	}
	kind := ""
	for _, t := range s.Type {
		if kind == "" || kind == "null" {
			kind = t
		}
	}
	if kind == "" {
		switch {
		case s.Properties != nil || s.Required != nil:
			kind = "object"
		case s.Items != nil || s.PrefixItems != nil:
			kind = "array"
		case s.Minimum != nil || s.Maximum != nil || s.MultipleOf != 0:
			kind = "number"
		}
	}
	switch kind {
	case "object":
		return g.object(s, depth)
	case "array":
		return g.array(s, name, depth)
	case "integer", "number":
		return g.number(s, kind == "integer")
	case "boolean":
		return jsontext.Value(strconv.FormatBool(g.rand.IntN(2) == 0))
	case "null":
		return jsontext.Value("null")
	}
	return g.text(s, name)
}

// choose makes an instance of s with the first of several schemas that allows one; the null type comes last.
func (g *generator) choose(s *schema, of []jsontext.Value, name string, depth int) jsontext.Value {
	var null jsontext.Value
	for _, branch := range of {
		g.nodes++
		if depth >= maxDepth || g.nodes > maxNodes {
			return jsontext.Value("null")
		}
		one := *s
		one.OneOf, one.AnyOf = nil, nil
		one.Properties, one.Required = maps.Clone(s.Properties), slices.Clone(s.Required)
		if !g.merge(&one, branch) {
			continue
		}
		if v := g.make(&one, name, depth+1); v != nil {
			if v.Kind() != 'n' {
				return v
			}
			null = v
		}
	}
	return null
}

// merge adds what the schema raw demands to s. It reports whether raw is one that allows something.
func (g *generator) merge(s *schema, raw jsontext.Value) bool {
	if raw.Kind() == 't' {
		return true
	}
	var o schema
	if raw.Kind() != '{' || !g.read(raw, &o) {
		return false
	}
	if len(s.Type) == 0 {
		s.Type = o.Type
	} else if len(o.Type) > 0 {
		both := slices.DeleteFunc(slices.Clone(s.Type), func(t string) bool {
			return !slices.Contains(o.Type, t) && !(t == "integer" && slices.Contains(o.Type, "number"))
		})
		if len(both) == 0 && slices.Contains(s.Type, "number") && slices.Contains(o.Type, "integer") {
			both = types{"integer"}
		}
		if len(both) == 0 {
			return false
		}
		s.Type = both
	}
	s.Required = append(s.Required, o.Required...)
	for k, v := range o.Properties {
		if s.Properties == nil {
			s.Properties = map[string]jsontext.Value{}
		}
		s.Properties[k] = v
	}
	least := func(a, b *float64) *float64 { // the greater of two minima
		if a == nil || b != nil && *b > *a {
			return b
		}
		return a
	}
	most := func(a, b *float64) *float64 {
		if a == nil || b != nil && *b < *a {
			return b
		}
		return a
	}
	fewest := func(a, b *int) *int {
		if a == nil || b != nil && *b < *a {
			return b
		}
		return a
	}
	first := func(a, b jsontext.Value) jsontext.Value {
		if a == nil {
			return b
		}
		return a
	}
	s.Minimum, s.Maximum = least(s.Minimum, o.Minimum), most(s.Maximum, o.Maximum)
	s.ExMinimum, s.ExMaximum = first(s.ExMinimum, o.ExMinimum), first(s.ExMaximum, o.ExMaximum)
	s.MinLength, s.MinItems = max(s.MinLength, o.MinLength), max(s.MinItems, o.MinItems)
	s.MaxLength, s.MaxItems = fewest(s.MaxLength, o.MaxLength), fewest(s.MaxItems, o.MaxItems)
	s.MultipleOf, s.Format, s.Pattern = cmp.Or(s.MultipleOf, o.MultipleOf), cmp.Or(s.Format, o.Format), cmp.Or(s.Pattern, o.Pattern)
	s.Const, s.Items = first(s.Const, o.Const), first(s.Items, o.Items)
	if len(s.Enum) == 0 {
		s.Enum = o.Enum
	}
	if len(s.PrefixItems) == 0 {
		s.PrefixItems = o.PrefixItems
	}
	if len(s.OneOf) == 0 {
		s.OneOf = o.OneOf
	}
	if len(s.AnyOf) == 0 {
		s.AnyOf = o.AnyOf
	}
	s.AllOf = append(s.AllOf, o.AllOf...)
	if o.Ref != "" {
		s.AllOf = append(s.AllOf, g.resolve(o.Ref))
	}
	return true
}

// resolve follows a local reference: #/$defs/name and the like.
func (g *generator) resolve(ref string) jsontext.Value {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := g.root
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if part == "" {
			continue
		}
		var m map[string]jsontext.Value
		if !g.read(at, &m) {
			return nil
		}
		if at, ok = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]; !ok {
			return nil
		}
	}
	return at
}

// object makes the required properties, and the others near the top: deep optional ones could go on for ever.
func (g *generator) object(s *schema, depth int) jsontext.Value {
	names := slices.Clone(s.Required)
	if depth < 2 {
		for k := range s.Properties {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	out := []byte{'{'}
	for _, k := range names {
		v := g.value(s.Properties[k], k, depth+1)
		if v == nil {
			if slices.Contains(s.Required, k) {
				return nil
			}
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, k)
		out = append(append(out, ':'), v...)
	}
	return append(out, '}')
}

func (g *generator) array(s *schema, name string, depth int) jsontext.Value {
	n := max(s.MinItems, 1, len(s.PrefixItems))
	if s.MaxItems != nil {
		n = min(n, *s.MaxItems)
	}
	out := []byte{'['}
	for i := range min(n, maxItems) {
		of := s.Items
		if i < len(s.PrefixItems) {
			of = s.PrefixItems[i]
		}
		v := g.value(of, name, depth+1)
		if v == nil {
			break
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

// number makes one within the bounds, on the grid of multipleOf. Where nothing else is said, numbers are halves.
func (g *generator) number(s *schema, integer bool) jsontext.Value {
	step := s.MultipleOf
	grid := step > 0 || integer
	switch {
	case !(step > 0) && integer:
		step = 1
	case !(step > 0):
		step = 0.5
	case integer && step != math.Trunc(step): // the multiples that are integers
		for k := 1.0; k <= 1000; k++ {
			if step*k == math.Trunc(step*k) {
				step *= k
				break
			}
		}
	}
	low, high := math.Inf(-1), math.Inf(1)
	if s.Minimum != nil {
		low = *s.Minimum
	}
	if s.Maximum != nil {
		high = *s.Maximum
	}
	above, exLow := bound(s.ExMinimum, s.Minimum)
	if exLow = exLow && above >= low; exLow {
		low = above
	}
	below, exHigh := bound(s.ExMaximum, s.Maximum)
	if exHigh = exHigh && below <= high; exHigh {
		high = below
	}
	switch {
	case math.IsInf(low, -1) && math.IsInf(high, 1):
		low, high = 1, 1+20*step
	case math.IsInf(low, -1):
		low = high - 20*step
	case math.IsInf(high, 1):
		high = low + 20*step
	}
	first, last := math.Ceil(low/step), math.Floor(high/step)
	if exLow && first*step <= low {
		first++
	}
	if exHigh && last*step >= high {
		last--
	}
	v := low
	if last >= first {
		v = (first + math.Floor(g.rand.Float64()*min(last-first+1, 1000))) * step
	} else if !grid {
		v = low/2 + high/2
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		v = 0
	}
	if integer {
		return jsontext.Value(strconv.FormatFloat(math.Round(v), 'f', 0, 64))
	}
	if grid { // 3 x 0.1 is 0.30000000000000004
		_, decimals, _ := strings.Cut(strconv.FormatFloat(step, 'f', -1, 64), ".")
		return jsontext.Value(strconv.FormatFloat(v, 'f', len(decimals), 64))
	}
	return jsontext.Value(strconv.FormatFloat(v, 'f', -1, 64))
}

// bound reads exclusiveMinimum or exclusiveMaximum: a number, or in draft 4 a boolean beside the inclusive one.
func bound(ex jsontext.Value, inclusive *float64) (float64, bool) {
	switch ex.Kind() {
	case '0':
		var v float64
		err := json.Unmarshal(ex, &v)
		return v, err == nil
	case 't':
		if inclusive != nil {
			return *inclusive, true
		}
	}
	return 0, false
}

// formats are examples of string formats.
var formats = map[string]string{
	"date-time": "2026-01-15T09:30:00Z", "date": "2026-01-15", "time": "09:30:00Z", "duration": "P1D",
	"email": "user@example.com", "idn-email": "user@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "url": "https://example.com/", "uri-reference": "/", "uuid": "123e4567-e89b-42d3-a456-426614174000",
	"json-pointer": "/a", "regex": ".*",
}

// text makes a string: an example of its format, else words of the prompt, fitted to the length.
func (g *generator) text(s *schema, name string) jsontext.Value {
	t, ok := formats[s.Format]
	if s.Pattern != "" {
		if m, matches := g.match(s); matches {
			t, ok = m, true
		}
	}
	if !ok {
		t = strings.ReplaceAll(name, "_", " ")
		if len(g.words) > 0 {
			// The last word is likelier the thing asked about: "weather in paris".
			t = g.words[len(g.words)-1]
		}
		if t == "" {
			t = "text"
		}
		for len([]rune(t)) < min(s.MinLength, maxChars) {
			t += " " + t
		}
		if r := []rune(t); s.MaxLength != nil && len(r) > *s.MaxLength {
			t = string(r[:max(*s.MaxLength, 0)])
		} else if n := max(s.MinLength, 60); len(r) > n {
			t = string(r[:n])
		}
	}
	out, _ := jsontext.AppendQuote(nil, t)
	return out
}

// match makes a string that satisfies the pattern and the lengths, where it finds one in a few tries. Patterns are
// JavaScript's in JSON Schema; those that Go reads otherwise, or not at all, give none.
func (g *generator) match(s *schema) (string, bool) {
	if len(s.Pattern) > 1000 {
		return "", false
	}
	p, err := syntax.Parse(s.Pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	re, err := regexp.Compile(s.Pattern)
	if err != nil {
		return "", false
	}
	p = p.Simplify()
	for n := range 4 { // repetitions beyond the least, for a length that asks for them
		b := g.matching(nil, p, n*(1+s.MinLength/3), 0)
		if t := string(b); len(b) <= maxChars && re.MatchString(t) && len([]rune(t)) >= s.MinLength && (s.MaxLength == nil || len([]rune(t)) <= *s.MaxLength) {
			return t, true
		}
	}
	return "", false
}

// matching appends a string of p to b, with so many repetitions more than needed where they are free.
func (g *generator) matching(b []byte, p *syntax.Regexp, more, depth int) []byte {
	if depth > 100 || len(b) > maxChars {
		return b
	}
	times := func(n int) []byte {
		for range min(n, maxChars) {
			b = g.matching(b, p.Sub[0], more, depth+1)
		}
		return b
	}
	switch p.Op {
	case syntax.OpLiteral:
		return append(b, string(p.Rune)...)
	case syntax.OpCharClass:
		if len(p.Rune) < 2 {
			return b
		}
		at := 2 * g.rand.IntN(len(p.Rune)/2)
		for i := 0; i < len(p.Rune); i += 2 { // a letter or a digit, if there is one
			if p.Rune[i] <= 'z' && p.Rune[i+1] >= '0' && (at == 0 || g.rand.IntN(2) == 0) {
				at = i
			}
		}
		low, high := max(p.Rune[at], min(p.Rune[at+1], '0')), min(p.Rune[at+1], max(p.Rune[at], 'z'))
		return utf8.AppendRune(b, low+rune(g.rand.IntN(int(high-low)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return append(b, byte('a'+g.rand.IntN(26)))
	case syntax.OpCapture:
		return times(1)
	case syntax.OpStar, syntax.OpQuest:
		if p.Op == syntax.OpQuest {
			return times(min(more, 1))
		}
		return times(more)
	case syntax.OpPlus:
		return times(1 + more)
	case syntax.OpRepeat: // Simplify leaves none
		return times(p.Min)
	case syntax.OpConcat:
		for _, s := range p.Sub {
			b = g.matching(b, s, more, depth+1)
		}
	case syntax.OpAlternate:
		return g.matching(b, p.Sub[g.rand.IntN(len(p.Sub))], more, depth+1)
	}
	return b
}
