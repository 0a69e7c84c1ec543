package simulated

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/upstreamtest"
)

func open(t *testing.T, c Config) *Provider {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProvider(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T, b upstreamtest.Behaviour) upstream.Provider {
		return open(t, map[upstreamtest.Behaviour]Config{
			upstreamtest.Answers:      {},
			upstreamtest.Slow:         {Latency: Latency{PerToken: Distribution{Value: 20 * time.Millisecond}}},
			upstreamtest.Throttles:    {Faults: Faults{Throttle: 1}},
			upstreamtest.Fails:        {Faults: Faults{Error: 1}},
			upstreamtest.BreaksBefore: {Faults: Faults{Reset: 1}},
			upstreamtest.BreaksAfter:  {Faults: Faults{Cut: 1}},
		}[b])
	})
}

func answer1(t *testing.T, p *Provider, r *upstream.Request) *converse.Response {
	t.Helper()
	s, err := p.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := converse.Collect(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDeterministic(t *testing.T) {
	a, b, other := open(t, Config{Seed: 1}), open(t, Config{Seed: 1}), open(t, Config{Seed: 2})
	whole := *answer1(t, a, upstreamtest.Request(false, nil)).Content[0].Text
	for range 3 {
		if got := *answer1(t, b, upstreamtest.Request(true, nil)).Content[0].Text; got != whole {
			t.Errorf("%q\nand %q", got, whole)
		}
	}
	if got := *answer1(t, other, upstreamtest.Request(true, nil)).Content[0].Text; got == whole {
		t.Error("another seed gives the same answer")
	}
	if !strings.Contains(whole, "weather") || !strings.Contains(strings.ToLower(whole), "paris") {
		t.Errorf("the answer says nothing of the prompt: %q", whole)
	}
}

func TestLimits(t *testing.T) {
	p := open(t, Config{})
	free := answer1(t, p, upstreamtest.Request(false, nil))
	for _, stream := range []bool{false, true} {
		most := 7
		r := answer1(t, p, upstreamtest.Request(stream, func(r *converse.Request) { r.InferenceConfig = &converse.InferenceConfig{MaxTokens: &most} }))
		if r.StopReason != converse.StopMaxTokens || r.Usage.OutputTokens != 7 || converse.EstimateTokens(*r.Content[0].Text) != 7 {
			t.Errorf("maxTokens 7: %q, %+v, %q", r.StopReason, r.Usage, *r.Content[0].Text)
		}
		if !strings.HasPrefix(*free.Content[0].Text, *r.Content[0].Text) {
			t.Errorf("%q does not begin %q", *r.Content[0].Text, *free.Content[0].Text)
		}
		r = answer1(t, p, upstreamtest.Request(stream, func(r *converse.Request) {
			r.InferenceConfig = &converse.InferenceConfig{StopSequences: []string{"Simulated answer", "weather"}}
		}))
		if r.StopReason != converse.StopStopSequence || r.StopSequence != "weather" || strings.Contains(*r.Content[0].Text, "weather") {
			t.Errorf("stop sequence: %q %q %q", r.StopReason, r.StopSequence, *r.Content[0].Text)
		}
	}
	if free.StopReason != converse.StopEndTurn {
		t.Errorf("stop reason %q", free.StopReason)
	}
}

func TestFaultShares(t *testing.T) {
	p := open(t, Config{Seed: 3, Faults: Faults{Throttle: 0.25, Error: 0.25}})
	counts := map[fault.Kind]int{}
	const calls = 4000
	for range calls {
		s, err := p.Send(t.Context(), upstreamtest.Request(false, nil))
		if err == nil {
			_, err = converse.Collect(s)
		}
		if err != nil {
			counts[fault.From(err).Kind]++
		}
	}
	// Five standard deviations of a binomial with p = 0.25 are 137.
	for _, k := range []fault.Kind{fault.Throttled, fault.ModelError} {
		if n := counts[k]; n < calls/4-137 || n > calls/4+137 {
			t.Errorf("%v: %d of %d, want a quarter", k, n, calls)
		}
	}
	for _, c := range []Config{{Faults: Faults{Throttle: 0.6, Cut: 0.6}}, {Faults: Faults{Error: -1}}, {Latency: Latency{PerToken: Distribution{Kind: "gamma"}}}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// TestLatency reads a slow answer on a clock of its own.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Latency: Latency{FirstToken: Distribution{Value: 300 * time.Millisecond}, PerToken: Distribution{Value: 20 * time.Millisecond}}})
		for _, stream := range []bool{false, true} {
			began := time.Now()
			r := answer1(t, p, upstreamtest.Request(stream, nil))
			if took, want := time.Since(began), 300*time.Millisecond+time.Duration(r.Usage.OutputTokens-1)*20*time.Millisecond; took != want {
				t.Errorf("stream %t: %v, want %v", stream, took, want)
			}
		}
		p = open(t, Config{Faults: Faults{Timeout: 1}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Send(ctx, upstreamtest.Request(true, nil)); !fault.Is(err, fault.ModelTimeout) {
			t.Errorf("%v, want a timeout", err)
		}
	})
}

// TestUnsupported: nothing that a caller sends is dropped in silence.
func TestUnsupported(t *testing.T) {
	p := open(t, Config{})
	doc := []byte(`{}`)
	for field, b := range map[string]converse.ContentBlock{
		"messages.0.content.0.document": {Document: doc}, "messages.0.content.0.video": {Video: doc}, "messages.0.content.0.audio": {Audio: doc},
		"messages.0.content.0.guardContent": {GuardContent: doc}, "messages.0.content.0.citationsContent": {CitationsContent: doc},
		"messages.0.content.0.searchResult":            {SearchResult: doc},
		"messages.0.content.0.image.source.s3Location": {Image: &converse.Image{Source: converse.ImageSource{S3Location: &converse.S3Location{}}}},
	} {
		_, err := p.Send(t.Context(), upstreamtest.Request(false, func(r *converse.Request) { r.Messages[0].Content[0] = b }))
		if !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// satisfies holds a value against the part of JSON Schema that the cases below use. It is written from the
// specification (https://json-schema.org/draft/2020-12), apart from the generator.
func satisfies(t *testing.T, root, schema any, v any) bool {
	t.Helper()
	s, ok := schema.(map[string]any)
	if !ok {
		return schema == true
	}
	if ref, ok := s["$ref"].(string); ok {
		at := root
		for _, p := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[p]
		}
		return satisfies(t, root, at, v)
	}
	if c, ok := s["const"]; ok && c != v {
		return false
	}
	if e, ok := s["enum"].([]any); ok && !slices.Contains(e, v) {
		return false
	}
	for _, all := range elements(s["allOf"]) {
		if !satisfies(t, root, all, v) {
			return false
		}
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		if of := elements(s[key]); of != nil && !slices.ContainsFunc(of, func(o any) bool { return satisfies(t, root, o, v) }) {
			return false
		}
	}
	kinds, ok := s["type"].([]any)
	if k, one := s["type"].(string); one {
		kinds, ok = []any{k}, true
	}
	if ok && !slices.ContainsFunc(kinds, func(k any) bool { return isA(k.(string), v) }) {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for _, r := range elements(s["required"]) {
			if _, ok := v[r.(string)]; !ok {
				return false
			}
		}
		props, _ := s["properties"].(map[string]any)
		for k, m := range v {
			if p, ok := props[k]; ok && !satisfies(t, root, p, m) {
				return false
			}
		}
	case []any:
		if n, ok := s["minItems"].(float64); ok && len(v) < int(n) {
			return false
		}
		if n, ok := s["maxItems"].(float64); ok && len(v) > int(n) {
			return false
		}
		if items, ok := s["items"]; ok {
			for _, m := range v {
				if !satisfies(t, root, items, m) {
					return false
				}
			}
		}
	case string:
		if n, ok := s["minLength"].(float64); ok && len([]rune(v)) < int(n) {
			return false
		}
		if n, ok := s["maxLength"].(float64); ok && len([]rune(v)) > int(n) {
			return false
		}
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			return false
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				return false
			}
		}
	case float64:
		if n, ok := s["minimum"].(float64); ok && v < n {
			return false
		}
		if n, ok := s["maximum"].(float64); ok && v > n {
			return false
		}
		if n, ok := s["exclusiveMinimum"].(float64); ok && v <= n {
			return false
		}
		if n, ok := s["exclusiveMaximum"].(float64); ok && v >= n {
			return false
		}
		if n, ok := s["multipleOf"].(float64); ok && math.Abs(v/n-math.Round(v/n)) > 1e-9 {
			return false
		}
	}
	return true
}

func elements(v any) []any { l, _ := v.([]any); return l }

func isA(kind string, v any) bool {
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && v == float64(int64(v))
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	}
	return false
}

func TestInstance(t *testing.T) {
	for _, schema := range []string{
		`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`,
		`{"type":"object","properties":{"unit":{"enum":["celsius","fahrenheit"]},"days":{"type":"integer","minimum":1,"maximum":7}},"required":["unit","days"]}`,
		`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"array","items":{"type":"number","exclusiveMinimum":2,"maximum":3},"minItems":3}},"required":["b"]}},"required":["a"]}`,
		`{"$defs":{"p":{"type":"object","properties":{"x":{"type":"integer","multipleOf":5}},"required":["x"]}},"type":"array","items":{"$ref":"#/$defs/p"},"minItems":2,"maxItems":2}`,
		`{"type":["string","null"],"minLength":40,"maxLength":50}`,
		`{"type":"string","maxLength":3}`,
		`{"type":"string","format":"date-time"}`,
		`{"anyOf":[{"type":"null"},{"type":"boolean"}]}`,
		`{"oneOf":[{"const":"a"},{"const":"b"}]}`,
		`{"allOf":[{"type":"object","properties":{"x":{"const":1}},"required":["x"]},{"required":["y"]}],"properties":{"y":{"type":"boolean"}}}`,
		`{"type":"number","minimum":-5,"maximum":-2}`,
		`{"type":"number","exclusiveMinimum":2,"exclusiveMaximum":2.01}`,
		`{"type":"number","maximum":-1e9}`,
		`{"type":"number","minimum":0.25,"maximum":0.95,"multipleOf":0.1}`,
		`{"type":"integer","exclusiveMinimum":6,"exclusiveMaximum":8}`,
		`{"type":"integer","minimum":1,"multipleOf":2.5,"maximum":20}`,
		`{"type":"string","pattern":"^[A-Z]{2}-[0-9]{4}$"}`,
		`{"type":"string","pattern":"^(arn|urn):[a-z]+(:[a-z0-9]*)?$","minLength":12,"maxLength":40}`,
		`{"type":"string","pattern":"\\d+"}`,
		`{"$defs":{"colour":{"enum":["red","blue"]},"named":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]},"aged":{"properties":{"age":{"type":"integer"}},"required":["age"]}},
			"type":"object","properties":{"c":{"allOf":[{"$ref":"#/$defs/colour"}]},"p":{"allOf":[{"$ref":"#/$defs/named"},{"$ref":"#/$defs/aged"}]}},"required":["c","p"]}`,
		`{"type":"object","properties":{"a":{"type":"boolean"},"b":{"type":"integer"},"c":{"type":"null"}},"required":["a"],"anyOf":[{"required":["b"]},{"required":["c"]}]}`,
		`{"type":"object","oneOf":[{"properties":{"kind":{"const":"x"}},"required":["kind"]},{"properties":{"kind":{"const":"y"}}}],"properties":{"n":{"type":"integer"}},"required":["n"]}`,
		`{"$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"]}},"$ref":"#/$defs/node"}`,
		`{"type":"integer","minimum":3,"maximum":3}`,
		`true`,
	} {
		var s any
		if err := json.Unmarshal([]byte(schema), &s); err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(50) {
			raw := instance(jsontext.Value(schema), rand.New(rand.NewPCG(seed, 1)), []string{"weather", "paris"})
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("%s: %s: %v", schema, raw, err)
			}
			if !satisfies(t, s, s, v) {
				t.Errorf("%s does not satisfy %s", raw, schema)
				break
			}
		}
	}
}

// TestHostileSchema: what a schema makes us do is bounded, however it is written. Without bounds the second would be read
// 2,000 times and the third written 1,024 times, 2 GB each.
func TestHostileSchema(t *testing.T) {
	big := strings.Repeat("x", 2<<20)
	nested := func(inner string) string { return `{"type":"array","minItems":32,"items":` + inner + `}` }
	for name, schema := range map[string]string{
		"itself":     `{"$ref":"#"}`,
		"long":       `{"$comment":"` + big + `","type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"}},"required":["a","b","c"]}`,
		"wide":       nested(nested(`{"const":"` + big + `"}`)),
		"all":        `{"allOf":[` + strings.Repeat(`{"$ref":"#"},`, 31) + `{"$ref":"#"}]}`,
		"any":        `{"anyOf":[` + strings.Repeat(`{"$ref":"#"},`, 31) + `{"$ref":"#"}]}`,
		"long words": `{"type":"string","minLength":1000000000}`,
		"pattern":    `{"type":"string","pattern":"((((a{9}){9}){9}){9})*","minLength":1000000}`,
		"overflow":   `{"type":"number","minimum":1.7e308,"multipleOf":1e308}`,
	} {
		v := instance(jsontext.Value(schema), rand.New(rand.NewPCG(1, 2)), []string{"word"})
		if !v.IsValid() || len(v) > maxBytes+3<<20 {
			t.Errorf("%s: %d bytes, valid %t", name, len(v), v.IsValid())
		}
	}
}

// TestRefusedParts: what the simulation does not read is refused also where it stands deeper, and an answer of nothing
// has no block.
func TestRefusedParts(t *testing.T) {
	p := open(t, Config{Name: "sim"})
	for field, change := range map[string]func(*converse.Request){
		"guardrailConfig": func(r *converse.Request) { r.GuardrailConfig = converse.Raw[converse.Guardrail](`{}`) },
		"promptVariables": func(r *converse.Request) { r.PromptVariables = jsontext.Value(`{}`) },
		"additionalModelRequestFields.tools": func(r *converse.Request) {
			r.AdditionalModelRequestFields = jsontext.Value(`{"top_k":1,"tools":[{"type":"bash_20250124"}]}`)
		},
		"messages.0.content.0.toolResult.content.1.document": func(r *converse.Request) {
			r.Messages[0].Content[0] = converse.ContentBlock{ToolResult: &converse.ToolResult{Content: []converse.ToolResultContent{{JSON: jsontext.Value(`1`)}, {Document: []byte(`{}`)}}}}
		},
	} {
		if _, err := p.Send(t.Context(), upstreamtest.Request(false, change)); !fault.Is(err, fault.Validation) || !strings.Contains(fmt.Sprint(err), field) || !strings.Contains(fmt.Sprint(err), `"sim"`) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for schema, bad := range map[string]bool{`{"type":"object"}`: false, `{"type":`: true, `[]`: true, ``: true} {
		var format converse.TextFormat
		format.Structure.JSONSchema = &converse.JSONSchema{Schema: schema}
		_, err := p.Send(t.Context(), upstreamtest.Request(false, func(r *converse.Request) {
			r.OutputConfig = &converse.OutputConfig{TextFormat: &format}
		}))
		if bad != (fault.Is(err, fault.Validation) && strings.Contains(err.Error(), "jsonSchema.schema is not a JSON object")) {
			t.Errorf("schema %q: %v", schema, err)
		}
	}
	r := answer1(t, p, upstreamtest.Request(true, func(r *converse.Request) {
		r.InferenceConfig = &converse.InferenceConfig{StopSequences: []string{"You asked"}}
	}))
	if len(r.Content) != 0 || r.StopReason != converse.StopStopSequence || r.Usage.OutputTokens != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := p.Send(t.Context(), upstreamtest.Request(false, func(r *converse.Request) { r.Messages = nil })); err != nil {
		t.Error(err)
	}
}

// FuzzInstance: whatever a stranger sends as a schema, the answer is one bounded JSON value.
func FuzzInstance(f *testing.F) {
	for _, s := range []string{`{}`, `true`, `false`, `[]`, `null`, `{"$ref":"#"}`, `{"$ref":"#/a/b"}`, `{"type":"array","minItems":1e9}`, `{"type":"string","minLength":1e9}`,
		`{"allOf":[{"$ref":"#"}]}`, `{"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"required":["a","b"]}`, `{"minimum":1e308,"maximum":-1e308,"multipleOf":1e-300}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := instance(jsontext.Value(s), rand.New(rand.NewPCG(1, 2)), []string{"word"})
		if !v.IsValid() {
			t.Errorf("%q gives %q", s, v)
		}
		if len(v) > 8<<20 {
			t.Errorf("%d bytes", len(v))
		}
	})
}
