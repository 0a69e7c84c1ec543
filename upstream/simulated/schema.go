package simulated

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// schema is the part of JSON Schema (2020-12 and draft 7) that instances are made of. What is not here constrains
// nothing, but for pattern, which is met only in simple cases.
type schema struct {
	Type        types                     `json:"type"`
	Enum        []jsontext.Value          `json:"enum"`
	Const       jsontext.Value            `json:"const"`
	Default     jsontext.Value            `json:"default"`
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
)

// generator makes one instance.
type generator struct {
	root  jsontext.Value
	rand  *rand.Rand
	words []string
	nodes int
}

// instance makes a JSON value that satisfies the schema s, from the words of the prompt where it can. A schema that is
// none, or that allows nothing, gives an empty object.
func instance(s jsontext.Value, r *rand.Rand, words []string) jsontext.Value {
	g := &generator{root: s, rand: r, words: words}
	if v := g.value(s, "", 0); v != nil {
		return v
	}
	return jsontext.Value("{}")
}

// value makes an instance of the schema s for the member called name; nil when it cannot.
func (g *generator) value(raw jsontext.Value, name string, depth int) jsontext.Value {
	g.nodes++
	if depth > maxDepth || g.nodes > maxNodes {
		return jsontext.Value("null")
	}
	if k := raw.Kind(); k != '{' {
		if k == 't' || len(raw) == 0 { // the schema true, or none: anything
			return g.text(&schema{}, name)
		}
		return nil
	}
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil
	}
	if s.Ref != "" {
		target := g.resolve(s.Ref)
		if target == nil {
			return nil
		}
		return g.value(target, name, depth+1)
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
	case len(s.AllOf) > 0:
		g.merge(&s)
	case len(s.OneOf) > 0:
		return g.choose(s.OneOf, name, depth)
	case len(s.AnyOf) > 0:
		return g.choose(s.AnyOf, name, depth)
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
		return g.object(&s, depth)
	case "array":
		return g.array(&s, name, depth)
	case "integer", "number":
		return g.number(&s, kind == "integer")
	case "boolean":
		return jsontext.Value(strconv.FormatBool(g.rand.IntN(2) == 0))
	case "null":
		return jsontext.Value("null")
	}
	return g.text(&s, name)
}

// choose makes an instance of the first of several schemas that allows one; the null type comes last.
func (g *generator) choose(of []jsontext.Value, name string, depth int) jsontext.Value {
	var null jsontext.Value
	for _, s := range of {
		if v := g.value(s, name, depth+1); v != nil {
			if v.Kind() != 'n' {
				return v
			}
			null = v
		}
	}
	return null
}

// merge adds what the schemas of allOf demand to s.
func (g *generator) merge(s *schema) {
	for i, raw := range s.AllOf {
		var o schema
		if i == maxItems || json.Unmarshal(raw, &o) != nil {
			break
		}
		if o.Ref != "" && json.Unmarshal(g.resolve(o.Ref), &o) != nil {
			continue
		}
		s.Type = append(s.Type, o.Type...)
		s.Required = append(s.Required, o.Required...)
		for k, v := range o.Properties {
			if s.Properties == nil {
				s.Properties = map[string]jsontext.Value{}
			}
			s.Properties[k] = v
		}
		if o.Minimum != nil {
			s.Minimum = o.Minimum
		}
		if o.Maximum != nil {
			s.Maximum = o.Maximum
		}
		s.MinLength, s.MinItems = max(s.MinLength, o.MinLength), max(s.MinItems, o.MinItems)
		s.MaxLength, s.MaxItems = cmp.Or(o.MaxLength, s.MaxLength), cmp.Or(o.MaxItems, s.MaxItems)
		s.Items = jsontext.Value(cmp.Or(string(s.Items), string(o.Items)))
	}
	if len(s.Items) == 0 {
		s.Items = nil
	}
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
		if json.Unmarshal(at, &m) != nil {
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

// number makes one within the bounds, on the grid of multipleOf.
func (g *generator) number(s *schema, integer bool) jsontext.Value {
	step := s.MultipleOf
	if !(step > 0) {
		step = 1
		if !integer {
			step = 0.5
		}
	}
	low, high := math.Inf(-1), math.Inf(1)
	if s.Minimum != nil {
		low = *s.Minimum
	}
	if s.Maximum != nil {
		high = *s.Maximum
	}
	if v, ok := bound(s.ExMinimum, s.Minimum); ok {
		low = max(low, v+step/2)
	}
	if v, ok := bound(s.ExMaximum, s.Maximum); ok {
		high = min(high, v-step/2)
	}
	if math.IsInf(low, -1) {
		low = min(1, high)
	}
	if math.IsInf(high, 1) {
		high = low + 20*step
	}
	first, last := math.Ceil(low/step), math.Floor(high/step)
	v := low
	if last >= first {
		v = (first + math.Floor(g.rand.Float64()*min(last-first+1, 1000))) * step
	}
	if integer {
		return jsontext.Value(strconv.FormatFloat(math.Round(v), 'f', 0, 64))
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
