package outbound

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// TestMetadata: what is believed of a server's counts, and what is estimated.
func TestMetadata(t *testing.T) {
	const prompt = 100 // the estimate of the input
	for _, c := range []struct {
		name  string
		told  []string // invocationMetrics, one after the other
		said  string
		want  converse.Usage
		guess bool
	}{
		{"all told", []string{`{"inputTokenCount":8,"outputTokenCount":2}`}, "Hello", converse.Usage{InputTokens: 8, OutputTokens: 2}, false},
		{"fractions", []string{`{"inputTokenCount":28.0,"outputTokenCount":3e1}`}, "Hello", converse.Usage{InputTokens: 28, OutputTokens: 30}, false},
		{"nothing told", nil, "Hello world", converse.Usage{InputTokens: prompt, OutputTokens: 2}, true},
		{"what cannot be", []string{`{"inputTokenCount":-3,"outputTokenCount":"many"}`, `{"inputTokenCount":1e300,"outputTokenCount":4294967297}`}, "Hello", converse.Usage{InputTokens: prompt, OutputTokens: 1}, true},
		{"no prompt has no tokens", []string{`{"inputTokenCount":0,"outputTokenCount":2}`}, "Hello", converse.Usage{InputTokens: prompt, OutputTokens: 2}, true},
		{"but for what the cache has", []string{`{"inputTokenCount":0,"outputTokenCount":2,"cacheReadInputTokenCount":50}`}, "Hello", converse.Usage{OutputTokens: 2, CacheReadInputTokens: 50}, false},
		{"what was said was not for nothing", []string{`{"inputTokenCount":8,"outputTokenCount":0}`}, "Hello", converse.Usage{InputTokens: 8, OutputTokens: 1}, true},
		{"nothing said", []string{`{"inputTokenCount":8,"outputTokenCount":0}`}, "", converse.Usage{InputTokens: 8}, false},
		{"the last word", []string{`{"inputTokenCount":8,"outputTokenCount":1}`, `{"inputTokenCount":9,"outputTokenCount":7,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":5}`}, "Hello",
			converse.Usage{InputTokens: 9, OutputTokens: 7, CacheReadInputTokens: 4, CacheWriteInputTokens: 5}, false},
		{"a zero is not the last word", []string{`{"inputTokenCount":8,"outputTokenCount":7}`, `{"inputTokenCount":0,"outputTokenCount":0}`}, "Hello", converse.Usage{InputTokens: 8, OutputTokens: 7}, false},
		{"an estimate is of the whole prompt", []string{`{"outputTokenCount":7,"cacheReadInputTokenCount":50}`}, "Hello", converse.Usage{InputTokens: prompt, OutputTokens: 7}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Usage
			u.Say(c.said)
			for _, told := range c.told {
				var counts Counts
				if err := json.Unmarshal([]byte(told), &counts); err != nil {
					t.Fatal(err)
				}
				u.Tell(counts)
			}
			m := u.Metadata(func() int64 { return prompt })
			if m.Kind != converse.Metadata || m.Usage != c.want || m.Estimated != c.guess {
				t.Errorf("%+v, estimated %t; want %+v, %t", m.Usage, m.Estimated, c.want, c.guess)
			}
		})
	}
}

// TestAdditional: the fields come in order, as they are written, and what is no object is refused.
func TestAdditional(t *testing.T) {
	merge := func(fields string) (string, error) {
		var dst []byte
		err := Additional(&converse.Request{AdditionalModelRequestFields: jsontext.Value(fields)}, func(name string, v jsontext.Value) error {
			if name == "prompt" {
				return Owned("gpu-a", name)
			}
			dst = AppendMember(dst, name, v)
			return nil
		})
		return string(dst), err
	}
	for fields, want := range map[string]string{
		"":                               "",
		"{}":                             "",
		`{"top_k":5,"x":{"y":[1, 2]}}`:   `,"top_k":5,"x":{"y":[1, 2]}`,
		`{"a\",\"messages\":[],\"b": 1}`: `,"a\",\"messages\":[],\"b":1`,
		`{"a":1,"a":2}`:                  `,"a":1,"a":2`,
	} {
		if got, err := merge(fields); got != want || err != nil {
			t.Errorf("%s becomes %s, %v; want %s", fields, got, err, want)
		}
	}
	for fields, want := range map[string]string{
		`[1]`: "not a JSON object", `"x"`: "not a JSON object", `{"a":1`: "not a JSON object", `{"a":1}{}`: "not a JSON object", `{"a":}`: "not a JSON object",
		`{"a":1,"prompt":"x"}`: `additionalModelRequestFields.prompt: upstream "gpu-a" takes it`,
	} {
		_, err := merge(fields)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Validation || !strings.Contains(f.Message, want) {
			t.Errorf("%s: %v, want a Validation of %q", fields, err, want)
		}
	}
}

// TestParameters: those that are set, by the format's names, at the top level and as an object.
func TestParameters(t *testing.T) {
	n, f := 7, 0.5
	p := Parameters{MaxTokens: "max", Temperature: "temp", StopSequences: "stop"}
	all := &converse.InferenceConfig{MaxTokens: &n, Temperature: &f, TopP: &f, StopSequences: []string{"a", `"`}}
	const want = `"max":7,"temp":0.5,"stop":["a","\""]`
	if got := string(p.Append(nil, all)); got != ","+want {
		t.Errorf("%s", got)
	}
	if got := string(p.AppendObject([]byte("x"), "config", all, []byte(`,"k":1`))); got != `x,"config":{`+want+`,"k":1}` {
		t.Errorf("%s", got)
	}
	if got := string(p.AppendObject([]byte("x"), "config", nil, nil)); got != "x" {
		t.Errorf("%s", got)
	}
	for name, set := range map[string]bool{"max": true, "temp": true, "stop": true, "": false, "maxTokens": false} {
		if p.Set(all, name) != set || p.Set(&converse.InferenceConfig{}, name) || p.Set(nil, name) {
			t.Errorf("%q is set: %t", name, !set)
		}
	}
}

func TestToolUseID(t *testing.T) {
	long := strings.Repeat("a", 60) + "tail#1.2:3-4_5"
	for id, want := range map[string]string{"": "", "call_1": "call_1", "functions.get weather:0": "functions.get_weather:0", "日": "___", long: strings.Repeat("a", 50) + "tail_1.2:3-4_5"} {
		if got := ToolUseID(id); got != want {
			t.Errorf("%q becomes %q, want %q", id, got, want)
		}
	}
}
