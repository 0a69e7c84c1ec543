package converse

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// shape is one of the service model's. testdata/service_model.json has those of ConverseStream's input, which has every
// member of Converse's: botocore 1.43.11, bedrock-runtime 2023-09-30.
type shape struct {
	Type       string
	Members    map[string]string
	Member     string // of a list
	Key, Value string // of a map
	Required   []string
	Union      bool
	Document   bool
	Min, Max   *float64
	Pattern    string
	Enum       []string
}

func serviceModel(t *testing.T) (shapes map[string]*shape) {
	t.Helper()
	b, err := os.ReadFile("testdata/service_model.json")
	if err == nil {
		err = json.Unmarshal(b, &shapes, json.MatchCaseInsensitiveNames(true))
	}
	if err != nil {
		t.Fatal(err)
	}
	return shapes
}

// TestEveryMember: a request with every member, and every arm of every union, is written as it was read: so an upstream
// that takes it as Converse gets all of it.
func TestEveryMember(t *testing.T) {
	shapes := serviceModel(t)
	for n := range 12 { // as many as the largest union has arms
		s := &sampler{shapes: shapes, n: n}
		want := s.value("ConverseStreamRequest")
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var r Request
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if err := r.Unknown(); err != nil {
			t.Error(err)
		}
		out, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(out, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nwas written\n%s", b, out)
		}
		if n == 0 && len(r.Messages[0].Content) != len(shapes["ContentBlock"].Members) {
			t.Errorf("%d blocks", len(r.Messages[0].Content))
		}
	}
}

// sampler makes values of shapes. A list of unions has every arm; of a single union it takes the n-th.
type sampler struct {
	shapes map[string]*shape
	n      int
}

func (s *sampler) arms(name string) []string { return slices.Sorted(maps.Keys(s.shapes[name].Members)) }

func (s *sampler) value(name string) any {
	of := s.shapes[name]
	switch {
	case of.Document:
		return map[string]any{"a": []any{1.5, "x", nil, true}}
	case of.Union:
		arms := s.arms(name)
		return s.arm(name, arms[s.n%len(arms)])
	case of.Type == "structure":
		v := map[string]any{}
		for member, of := range of.Members {
			v[member] = s.value(of)
		}
		return v
	case of.Type == "list" && s.shapes[of.Member].Union:
		v := []any{}
		for _, arm := range s.arms(of.Member) {
			v = append(v, s.arm(of.Member, arm))
		}
		return v
	case of.Type == "list":
		return []any{s.value(of.Member)}
	case of.Type == "map":
		return map[string]any{"key": s.value(of.Value)}
	case of.Type == "blob":
		return "AAEC"
	case of.Type == "boolean":
		return s.n%2 == 0
	case of.Type == "integer":
		return float64(s.n + 1)
	case of.Type == "float":
		return 0.5
	case len(of.Enum) > 0:
		return of.Enum[s.n%len(of.Enum)]
	}
	return "text"
}

func (s *sampler) arm(name, arm string) any {
	return map[string]any{arm: s.value(s.shapes[name].Members[arm])}
}

// TestServiceModel walks the whole input: every member is there, with the constraints that the model gives it, and there is
// no other. What differs is listed with its reason.
func TestServiceModel(t *testing.T) {
	w := &walk{t: t, shapes: serviceModel(t), seen: map[string]bool{}, differs: map[string]string{
		"inferenceConfig.maxTokens":   "max",           // an Integer's own bound
		"requestMetadata":             "min key each",  // api/bedrockruntime checks them, for the header's sake too, and repeats no value
		"promptVariables":             "type",          // likewise, a map of unions
		"ReasoningTextBlock.text":     "required type", // absent is empty: thinking whose text its provider keeps to himself
		"JsonSchemaDefinition.schema": "type",          // an empty string is no schema
	}}
	w.structure("", "ConverseStreamRequest", reflect.TypeFor[Request]())
	if len(w.seen) < 50 {
		t.Errorf("%d structures were seen", len(w.seen))
	}
}

type walk struct {
	t       *testing.T
	shapes  map[string]*shape
	seen    map[string]bool
	differs map[string]string
}

func (w *walk) structure(path, name string, typ reflect.Type) {
	if w.seen[name] {
		return
	}
	w.seen[name] = true
	s := w.shapes[name]
	fields := map[string]reflect.StructField{}
	union, open := "", false
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch f.Name {
		case "_":
			union = f.Tag.Get("union")
		case "Other":
			open = true
		default:
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[tag] = f
		}
	}
	if !s.Union && (union != "" || open) || s.Union && union != name && name != "CitationSourceContent" { // which CitedText is as well
		w.t.Errorf("%s (%s): the union %q", path, name, union)
	}
	for member, of := range s.Members {
		f, ok := fields[member]
		delete(fields, member)
		at := strings.TrimPrefix(path+"."+member, ".")
		if !ok {
			w.t.Errorf("%s (%s) is missing", at, name+"."+member)
			continue
		}
		required := false
		for _, r := range s.Required {
			required = required || r == member
		}
		w.member(at, name+"."+member, of, f, required)
	}
	for member := range fields {
		w.t.Errorf("%s.%s (%s) is not in the model", path, member, name)
	}
}

func (w *walk) member(at, name, of string, f reflect.StructField, required bool) {
	s, typ := w.shapes[of], f.Type
	allowed := " " + w.differs[at] + " " + w.differs[name] + " " + w.differs[of] + " "
	bad := func(what, format string, args ...any) {
		if !strings.Contains(allowed, " "+what+" ") {
			w.t.Errorf("%s (%s, %s): %s: "+format, append([]any{at, name, of, what}, args...)...)
		}
	}
	if got := f.Tag.Get("required") == "true"; got != required {
		bad("required", "%t, want %t", got, required)
	}
	if required && typ.Kind() == reflect.Bool {
		bad("type", "false is absent")
	}
	if required && typ.Kind() == reflect.String && s.Min == nil && s.Enum == nil {
		bad("type", "an empty string is absent")
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if raw, ok := reflect.Zero(typ).Interface().(interface{ Typed() any }); ok {
		w.structure(at, of, reflect.TypeOf(raw.Typed()).Elem())
		return
	}
	switch {
	case s.Document:
		if typ.String() != "jsontext.Value" {
			bad("type", "%v for a document", typ)
		}
	case s.Type == "structure" && typ.Kind() == reflect.Struct:
		w.structure(at, of, typ)
	case s.Type == "list" && typ.Kind() == reflect.Slice:
		w.limits(s, f.Tag, "", bad)
		if e := w.shapes[s.Member]; e.Type == "string" {
			w.limits(e, f.Tag, "each.", bad)
		} else {
			w.structure(at, s.Member, typ.Elem())
		}
	case s.Type == "map" && typ.Kind() == reflect.Map:
		w.limits(s, f.Tag, "", bad)
		w.limits(w.shapes[s.Key], f.Tag, "key.", func(_, format string, args ...any) { bad("key", format, args...) })
		w.limits(w.shapes[s.Value], f.Tag, "each.", func(_, format string, args ...any) { bad("each", format, args...) })
	case s.Type == "string" && typ.Kind() == reflect.String, s.Type == "integer" && typ.Kind() == reflect.Int,
		s.Type == "float" && typ.Kind() == reflect.Float64, s.Type == "boolean" && typ.Kind() == reflect.Bool, s.Type == "blob" && (typ.String() == "[]uint8" || typ == reflect.TypeFor[Base64]()):
		w.limits(s, f.Tag, "", bad)
	default:
		bad("type", "%v for a %s", typ, s.Type)
	}
}

func (w *walk) limits(s *shape, tag reflect.StructTag, prefix string, bad func(what, format string, args ...any)) {
	number := func(what string, want *float64) {
		got, err := strconv.ParseFloat(tag.Get(prefix+what), 64)
		switch {
		case want != nil && what == "min" && *want == 0 && err != nil && (s.Type == "string" || s.Type == "list" || s.Type == "blob"):
		case want == nil && err == nil, want != nil && (err != nil || got != *want):
			bad(what, "%q", tag.Get(prefix+what))
		}
	}
	number("min", s.Min)
	number("max", s.Max)
	if got := tag.Get(prefix + "pattern"); strings.TrimSuffix(strings.TrimPrefix(got, "^"), "$") != s.Pattern {
		bad("pattern", "%q, want %q", got, s.Pattern)
	}
	if got := tag.Get(prefix + "enum"); got != strings.Join(s.Enum, ",") {
		bad("enum", "%q, want %q", got, s.Enum)
	}
}
