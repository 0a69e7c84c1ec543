package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

type tagShape struct {
	Key   *string `json:"key" required:"true" min:"1" max:"128" pattern:"^[a-zA-Z0-9\\s._:/=+@-]*$"`
	Value *string `json:"value" required:"true" max:"256"`
}

type sourceShape struct {
	_ struct{} `union:"ModelSource"`

	CopyFrom *string `json:"copyFrom,omitempty" min:"1" max:"2048" pattern:"^arn:aws(|-us-gov):bedrock:.*$"`
	Other    *int    `json:"other,omitempty"`
}

type createShape struct {
	ID          string            `json:"-" uri:"inferenceProfileIdentifier" max:"20"`
	MaxResults  *int32            `json:"-" query:"maxResults" min:"1" max:"1000"`
	Name        string            `json:"inferenceProfileName" required:"true" min:"1" max:"64" pattern:"^([0-9a-zA-Z][ _-]?)+$"`
	Description string            `json:"description" max:"10" sensitive:"true"`
	Source      *sourceShape      `json:"modelSource" required:"true"`
	Tags        []tagShape        `json:"tags" max:"3"`
	TagKeys     []string          `json:"tagKeys" min:"1" max:"3" each.min:"1" each.max:"128" each.pattern:"^[a-z]*$"`
	Metadata    map[string]string `json:"requestMetadata" min:"1" max:"2" key.min:"1" key.max:"4" each.max:"4" each.enum:"v,w"`
	Secrets     map[string]string `json:"secrets" key.max:"1" sensitive:"true"`
	Type        string            `json:"TypeEquals" enum:"SYSTEM_DEFINED,APPLICATION"`
	Temperature *float64          `json:"temperature" min:"0" max:"1"`
	Bytes       []byte            `json:"bytes" max:"2"`
	Short       *string           `json:"short" min:"2"`
	Raw         jsontext.Value    `json:"rawJSON"`
	Nested      *createShape      `json:"nested"`
}

func mustShape(t testing.TB, v any) *shape {
	t.Helper()
	s, err := shapeOf(reflect.TypeOf(v), input)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check decodes body and validates it.
func check[In any](t testing.TB, body string, change func(*In)) string {
	t.Helper()
	in := new(In)
	if err := json.Unmarshal([]byte(body), in); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(in)
	}
	err := mustShape(t, *in).validate(reflect.ValueOf(in).Elem())
	if err == nil {
		return ""
	}
	f := fault.From(err)
	if f.Kind != fault.Validation {
		t.Fatalf("kind %v", f.Kind)
	}
	return f.Message
}

// What is wanted is AWS's wording; see the sources at the head of validate.go and section 1 of the Bedrock captures:
// "1 validation error detected: Value 'X' at 'modelId' failed to satisfy constraint: Member must satisfy regular
// expression pattern: ...".
func TestValidate(t *testing.T) {
	const good = `"inferenceProfileName":"n","modelSource":{"copyFrom":"arn:aws:bedrock:x"}`
	long := strings.Repeat("x", 65)
	one := func(s string) string { return "1 validation error detected: " + s }
	for _, c := range []struct{ body, want string }{
		{`{` + good + `}`, ""},
		{`{` + good + `,"tags":[{"key":"a","value":""}],"tagKeys":["a","bc"],"requestMetadata":{"k":"v"},"temperature":1,"bytes":"YWI=","TypeEquals":"APPLICATION"}`, ""},
		{`{` + good + `,"tags":null,"tagKeys":null,"temperature":null,"description":null,"rawJSON":null,"nested":null}`, ""},
		{`{}`, `2 validation errors detected: Value null at 'inferenceProfileName' failed to satisfy constraint: Member must not be null; Value null at 'modelSource' failed to satisfy constraint: Member must not be null`},
		{`{"inferenceProfileName":null,"modelSource":{"copyFrom":"arn:aws:bedrock:x"}}`, one(`Value null at 'inferenceProfileName' failed to satisfy constraint: Member must not be null`)},
		{`{"inferenceProfileName":"` + long + `","modelSource":{"copyFrom":"arn:aws:bedrock:x"}}`, one(`Value '` + long + `' at 'inferenceProfileName' failed to satisfy constraint: Member must have length less than or equal to 64`)},
		// Length is in characters, not in bytes.
		{`{` + good + `,"description":"` + strings.Repeat("é", 10) + `","short":"👍👍","requestMetadata":{"éééé":"v"}}`, ""},
		{`{` + good + `,"short":"👍"}`, one(`Value '👍' at 'short' failed to satisfy constraint: Member must have length greater than or equal to 2`)},
		{`{"inferenceProfileName":"` + strings.Repeat("é", 64) + `","modelSource":{"copyFrom":"arn:aws:bedrock:x"}}`, one(`Value '` + strings.Repeat("é", 64) + `' at 'inferenceProfileName' failed to satisfy constraint: Member must satisfy regular expression pattern: ([0-9a-zA-Z][ _-]?)+`)},
		{`{"inferenceProfileName":"-","modelSource":{"copyFrom":""}}`, `3 validation errors detected: Value '-' at 'inferenceProfileName' failed to satisfy constraint: Member must satisfy regular expression pattern: ([0-9a-zA-Z][ _-]?)+; ` +
			`Value '' at 'modelSource.copyFrom' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'modelSource.copyFrom' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws(|-us-gov):bedrock:.*`},
		{`{` + good + `,"description":"far too long for that"}`, one(`Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 10`)},
		{`{"inferenceProfileName":"n","modelSource":{}}`, `ModelSource object at modelSource must set one of the following keys: copyFrom, other.`},
		{`{"inferenceProfileName":"n","modelSource":{"copyFrom":"arn:aws:bedrock:x","other":1}}`, `ModelSource object at modelSource must set only one of the following keys: copyFrom, other.`},
		{`{` + good + `,"tags":[{"key":"a","value":"b"},{"key":"","value":"b"},{}]}`, `3 validation errors detected: Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; ` +
			`Value null at 'tags.3.member.key' failed to satisfy constraint: Member must not be null; Value null at 'tags.3.member.value' failed to satisfy constraint: Member must not be null`},
		{`{` + good + `,"tags":[{"key":"a","value":"b"},{"key":"b","value":"b"},{"key":"c","value":"b"},{"key":"d","value":"b"}]}`, one(`Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 3`)},
		{`{` + good + `,"tagKeys":[]}`, one(`Value '[]' at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal to 1`)},
		{`{` + good + `,"tagKeys":["a","","B"]}`, one(`Value '[a, , B]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [a-z]*]`)},
		{`{` + good + `,"requestMetadata":{"b":"v","a":"w","c":"v"}}`, one(`Value '{a=w, b=v, c=v}' at 'requestMetadata' failed to satisfy constraint: Member must have length less than or equal to 2`)},
		{`{` + good + `,"requestMetadata":{"abcde":"x"}}`, `2 validation errors detected: Value '{abcde=x}' at 'requestMetadata' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 1]; ` +
			`Value '{abcde=x}' at 'requestMetadata' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 4, Member must satisfy enum value set: [v, w]]`},
		{`{` + good + `,"secrets":{"ab":"hidden"}}`, one(`Value at 'secrets' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1]`)},
		{`{` + good + `,"TypeEquals":"OTHER"}`, one(`Value 'OTHER' at 'typeEquals' failed to satisfy constraint: Member must satisfy enum value set: [SYSTEM_DEFINED, APPLICATION]`)},
		{`{` + good + `,"temperature":1.5}`, one(`Value '1.5' at 'temperature' failed to satisfy constraint: Member must have value less than or equal to 1`)},
		{`{` + good + `,"temperature":2}`, one(`Value '2.0' at 'temperature' failed to satisfy constraint: Member must have value less than or equal to 1`)},
		{`{` + good + `,"temperature":-0.1}`, one(`Value '-0.1' at 'temperature' failed to satisfy constraint: Member must have value greater than or equal to 0`)},
		{`{` + good + `,"bytes":"YWJj"}`, one(`Value at 'bytes' failed to satisfy constraint: Member must have length less than or equal to 2`)},
		{`{` + good + `,"nested":{"inferenceProfileName":"n","modelSource":{"copyFrom":"x"}}}`, one(`Value 'x' at 'nested.modelSource.copyFrom' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws(|-us-gov):bedrock:.*`)},
	} {
		if got := check[createShape](t, c.body, nil); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.body, got, c.want)
		}
	}
	over := int32(1001)
	got := check(t, `{`+good+`}`, func(in *createShape) { in.ID, in.MaxResults = strings.Repeat("i", 21), &over })
	if want := `2 validation errors detected: Value '` + strings.Repeat("i", 21) + `' at 'inferenceProfileIdentifier' failed to satisfy constraint: Member must have length less than or equal to 20; ` +
		`Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000`; got != want {
		t.Errorf("members outside the body\n got %s\nwant %s", got, want)
	}
}

// A path deeper than any real one is still told in full.
func TestValidateDeepPath(t *testing.T) {
	body := `{"inferenceProfileName":"n","modelSource":{"copyFrom":"arn:aws:bedrock:x"}`
	deep := body + "}"
	var path strings.Builder
	for range 40 {
		deep = body + `,"nested":` + deep + `}`
		path.WriteString("nested.")
	}
	deep = strings.Replace(deep, `"nested":{"inferenceProfileName":"n","modelSource":{"copyFrom":"arn:aws:bedrock:x"}}`, `"nested":{"inferenceProfileName":"n"}`, 1)
	want := "1 validation error detected: Value null at '" + path.String() + "modelSource' failed to satisfy constraint: Member must not be null"
	if got := check[createShape](t, deep, nil); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// However much is wrong, the message stays within bounds, and the count is right.
func TestValidateBounded(t *testing.T) {
	tags := strings.TrimSuffix(strings.Repeat(`{"key":"`+strings.Repeat("!", 2000)+`"},`, 500), ",")
	got := check[createShape](t, `{"inferenceProfileName":"n","modelSource":{"copyFrom":"arn:aws:bedrock:`+strings.Repeat("x", 5000)+`"},"tags":[`+tags+`]}`, nil)
	if !strings.HasPrefix(got, "1502 validation errors detected: Value at 'modelSource.copyFrom' failed to satisfy constraint: Member must have length less than or equal to 2048; ") {
		t.Errorf("%.300s", got)
	}
	if n := strings.Count(got, "failed to satisfy"); n != maxViolations || len(got) > maxViolations*(maxShown+300) {
		t.Errorf("%d violations in %d bytes", n, len(got))
	}
}

func TestPatternTable(t *testing.T) {
	for _, c := range []struct {
		pattern string
		table   bool
		good    []string
		bad     []string
	}{
		{`^[a-zA-Z0-9_-]+$`, true, []string{"a", "aZ_-9"}, []string{"", "a b", "é", "a\n", "\xff", "\x80"}},
		{`^[a-z]*$`, true, []string{"", "abc"}, []string{"A", "a\n"}},
		{`^[^a]*$`, false, []string{"", "é", "b"}, []string{"a", "ba"}},
		{`^\d+$`, true, []string{"0123"}, []string{"", "1a"}},
		{`[a-z]+`, false, []string{"1a1"}, []string{"1", ""}}, // searched for: it need not match whole
		{`^[a-z]+|[0-9]$`, false, []string{"a!", "!1"}, []string{"!"}},
		{`^(?i)[a-z]+$`, false, []string{"A\u212a"}, []string{"1"}},
		{`(?m)^[a-z]+$`, false, []string{"1\na"}, []string{"1"}},
		{`^[a-z]{1,3}$`, false, []string{"abc"}, []string{"abcd", ""}},
		{`^\$$`, false, []string{"$"}, []string{"", "$$"}},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if (p.table != nil) != c.table {
			t.Errorf("%s: a table: %v", c.pattern, p.table != nil)
		}
		for _, s := range append(c.good, c.bad...) {
			want := p.re.MatchString(s)
			if got := p.match(s); got != want {
				t.Errorf("%s on %q: %v, the expression says %v", c.pattern, s, got, want)
			}
		}
		for _, s := range c.good {
			if !p.match(s) {
				t.Errorf("%s does not match %q", c.pattern, s)
			}
		}
		for _, s := range c.bad {
			if p.match(s) {
				t.Errorf("%s matches %q", c.pattern, s)
			}
		}
	}
	for pattern, text := range map[string]string{`^[a-z]+$`: `[a-z]+`, `[a-z]+$`: `[a-z]+$`, `^a\$`: `^a\$`} {
		if p, err := compilePattern(pattern); err != nil || p.text != text {
			t.Errorf("%s is told as %s, want %s (%v)", pattern, p.text, text, err)
		}
	}
}

// converse's types are validated here and nowhere else: that their tags compile, and that the unions hold.
func TestValidateConverse(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{converseRequest(), ""},
		{`{"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"tool","content":[{"text":"a","cachePoint":{"type":"default"}},{}]}],"inferenceConfig":{"maxTokens":0}}`,
			`2 validation errors detected: Value 'tool' at 'messages.2.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant]; ` +
				`Value '0' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1`},
		{`{"messages":[{"role":"user","content":[{"text":"hi","document":null},{"toolUse":{"toolUseId":"a","name":"a","input":null}}]}]}`,
			`1 validation error detected: Value null at 'messages.1.member.content.2.member.toolUse.input' failed to satisfy constraint: Member must not be null`},
		{`{"toolConfig":{"tools":[{"toolSpec":{"name":"a b"}}],"toolChoice":{"auto":{},"any":{}}}}`,
			`2 validation errors detected: Value 'a b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+; ` +
				`Value null at 'toolConfig.tools.1.member.toolSpec.inputSchema' failed to satisfy constraint: Member must not be null`},
		// A union is told when nothing else is wrong; the first one, in Bedrock's words (see choose).
		{`{"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"user","content":[{"text":"a"},{"image_url":{"url":"a"}},{},{}]}]}`, // what image_url is, is not wire's to say
			`ContentBlock object at messages.1.content.2 must set one of the following keys: text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent, citationsContent, searchResult, audio, guardContent.`},
		{`{"messages":[{"role":"user","content":[{"document":{"name":"a","format":"txt","source":{"bytes":"YQ==","text":"a"}}}]}]}`,
			`DocumentSource object at messages.0.content.0.document.source must set only one of the following keys: bytes, s3Location, text, content.`},
		{`{"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}}],"toolChoice":{"auto":{},"any":{}}}}`,
			`ToolChoice object at toolConfig.toolChoice must set only one of the following keys: auto, any, tool.`},
	} {
		if got := check[converse.Request](t, c.body, nil); got != c.want {
			t.Errorf("%.200s\n got %s\nwant %s", c.body, got, c.want)
		}
	}
}

// converseRequest is a request of about a kilobyte, as agents send them.
func converseRequest() string {
	words := strings.Repeat("Some words of a conversation. ", 4)
	return fmt.Sprintf(`{"system":[{"text":"%[1]s"}],"messages":[{"role":"user","content":[{"text":"%[1]s"}]},{"role":"assistant","content":[{"text":"%[1]s"},{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather","input":{"city":"Paris"}}}]},`+
		`{"role":"user","content":[{"toolResult":{"toolUseId":"tooluse_1","content":[{"text":"%[1]s"}],"status":"success"}}]}],"inferenceConfig":{"maxTokens":512,"temperature":0.5,"topP":0.9,"stopSequences":["END"]},`+
		`"toolConfig":{"tools":[{"toolSpec":{"name":"get_weather","description":"%[1]s","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}}}]}}`, words)
}

func TestValidateAllocatesNothing(t *testing.T) {
	var in converse.Request
	if err := json.Unmarshal([]byte(converseRequest()), &in); err != nil {
		t.Fatal(err)
	}
	s := mustShape(t, in)
	v := reflect.ValueOf(&in).Elem()
	if n := testing.AllocsPerRun(100, func() {
		if err := s.validate(v); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	var in converse.Request
	if err := json.Unmarshal([]byte(converseRequest()), &in); err != nil {
		b.Fatal(err)
	}
	s := mustShape(b, in)
	v := reflect.ValueOf(&in).Elem()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.validate(v); err != nil {
			b.Fatal(err)
		}
	}
}
