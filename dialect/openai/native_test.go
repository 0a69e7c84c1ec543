package openai

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// TestAppendNative: every member of OpenAI's API reference ("Create chat completion") goes on as it stands.
func TestAppendNative(t *testing.T) {
	const others = `"messages":[{"role":"developer","content":"a"},{"role":"user","name":"bob","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}]}],` +
		`"n":2,"logprobs":true,"top_logprobs":3,"logit_bias":{"50256":-100},"user":"u","seed":9007199254740993,"store":true,"service_tier":"flex","metadata":{"a":"{}"},` +
		`"prediction":{"type":"content","content":"x"},"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"parallel_tool_calls":false,` +
		`"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{},"strict":true}},"reasoning_effort":"low","web_search_options":{},"x-\u00fc":1e2`
	for _, c := range []struct {
		name, body string
		stream     bool
		want       string
		asked      bool
	}{
		{"whole", `{"model":"arn:aws:x",` + others + `,"stream":false}`, false, `{"model":"gpt",` + others + `}`, false},
		{"no model, as in InvokeModel", `{` + others + `}`, false, `{"model":"gpt",` + others + `}`, false},
		{"a stream", ` { "stream" : true , ` + others + `}`, true, `{"model":"gpt","stream":true,` + others + `,"stream_options":{"include_usage":true}}`, false},
		{"asked for the usage", `{"stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true,"a":1}`, true, `{"model":"gpt","stream":true,"a":1,"stream_options":{"include_usage":true,"include_obfuscation":false}}`, true},
		{"asked for none", `{"stream_options":{"include_usage":false},"stream":true,"a":1}`, true, `{"model":"gpt","stream":true,"a":1,"stream_options":{"include_usage":true}}`, false},
		{"null options", `{"stream_options":null,"stream":true,"a":1}`, true, `{"model":"gpt","stream":true,"a":1,"stream_options":{"include_usage":true}}`, false},
		{"escaped and twice", `{"\u006dodel":"evil","model":"evil","str\u0065am":true,"a":1}`, false, `{"model":"gpt","a":1}`, false},
		{"nothing", `{}`, false, `{"model":"gpt"}`, false},
	} {
		got, asked, err := AppendNative([]byte("x"), []byte(c.body), "gpt", c.stream)
		// The name ü may be written with or without its escape.
		want := "x" + strings.ReplaceAll(c.want, `\u00fc`, "ü")
		if err != nil || string(got) != want || asked != c.asked {
			t.Errorf("%s: %v\n got %s %t\nwant %s %t", c.name, err, got, asked, want, c.asked)
		}
	}
	for _, body := range []string{``, `[]`, `{`, `{"a":}`, `{"a":1} x`, `{"stream_options":{"a":}}`} {
		if _, _, err := AppendNative(nil, []byte(body), "gpt", true); !fault.Is(err, fault.Serialization) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestMeter: what is passed on counts as what is translated, in recorded answers, and the model is found wherever it stands.
func TestMeter(t *testing.T) {
	for _, name := range []string{"llamacpp-text.json", "llamacpp-text.sse", "llamacpp-tool.json", "llamacpp-tool.sse", "openai-text.sse", "vllm-tools.sse"} {
		file, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		chunks := [][]byte{file}
		if strings.HasSuffix(name, ".sse") {
			chunks = nil
			for line := range bytes.Lines(file) {
				if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: ")); ok && string(data) != "[DONE]" {
					chunks = append(chunks, data)
				}
			}
		}
		var read, metered Decoder
		for i, c := range chunks {
			if _, err := read.Append(nil, c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			p, err := metered.Meter(c)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var want struct{ model, choices jsontext.Value }
			if err := members(c, func(name string, value []byte) error {
				switch name {
				case "model":
					want.model = value
				case "choices":
					want.choices = value
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if got := c[p.ModelAt:p.ModelEnd]; string(got) != string(want.model) || len(got) == 0 {
				t.Errorf("%s, chunk %d: the model is %q, want %q", name, i, got, want.model)
			}
			if p.UsageAlone != (string(want.choices) == "[]") {
				t.Errorf("%s, chunk %d: %+v: %s", name, i, p, c)
			}
		}
		none := func() int64 { return 0 }
		u, estimated := read.Usage(none)
		if got, guess := metered.Usage(none); got != u || guess != estimated || u == (converse.Usage{}) {
			t.Errorf("%s: metered %+v %t, read %+v %t", name, got, guess, u, estimated)
		}
		if metered.StopReason() != read.stopReason() || !metered.Started() || !metered.Finished() {
			t.Errorf("%s: metered %q, read %q", name, metered.StopReason(), read.stopReason())
		}
		if len(chunks) > 1 && metered.tally == 0 {
			t.Errorf("%s: nothing to estimate from", name)
		}
	}
	// Several answers are all output.
	var d Decoder
	const two = `{"choices":[{"index":0,"message":{"content":"one two three"},"finish_reason":"stop"},{"index":1,"message":{"content":"four five six"},"finish_reason":"length"}]}`
	if _, err := d.Meter([]byte(two)); err != nil {
		t.Fatal(err)
	}
	u, estimated := d.Usage(func() int64 { return 7 })
	if want := converse.EstimateTokens("one two threefour five six"); u.OutputTokens != want || u.InputTokens != 7 || !estimated {
		t.Errorf("%+v %t, want %d out", u, estimated, want)
	}
	for _, bad := range []string{`{"error":{"message":"no","code":500}}`, `<html>`, `{"choices":[{"finish_reason":"abort"}]}`} {
		if _, err := (&Decoder{}).Meter([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// FuzzMeter: no chunk makes Meter panic, and a place that it tells lies in the chunk.
func FuzzMeter(f *testing.F) {
	f.Add([]byte(`{"model":"m","choices":[{"delta":{"content":"a"}}]}`), []byte(`{"model":"m","choices":[{"delta":{"content":"bc"}}]}`))
	f.Add([]byte(`{"choices":[{"delta":{"content":"a"}}],"model":"m"}`), []byte(`{"choices":[{"delta":{"content":"bc"}}],"model":"m"}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var d Decoder
		for _, c := range [][]byte{a, b} {
			p, err := d.Meter(c)
			if err != nil || p.ModelEnd == 0 {
				continue
			}
			if p.ModelAt < 0 || p.ModelEnd > len(c) || p.ModelAt >= p.ModelEnd || c[p.ModelAt] != '"' || c[p.ModelEnd-1] != '"' {
				t.Fatalf("%+v of %q", p, c)
			}
		}
	})
}

// FuzzAppendNative: what comes out is JSON where what went in was, and is for the model.
func FuzzAppendNative(f *testing.F) {
	f.Add([]byte(`{"model":"m","stream_options":{"a":1},"b":{}}`), true)
	f.Fuzz(func(t *testing.T, body []byte, stream bool) {
		out, _, err := AppendNative(nil, body, "gpt", stream)
		if err != nil {
			return
		}
		lenient := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
		if !jsontext.Value(out).IsValid(lenient...) || !bytes.HasPrefix(out, []byte(`{"model":"gpt"`)) {
			t.Fatalf("%q becomes %q", body, out)
		}
	})
}
