package openai

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
)

// chatRequestOf is a request in Chat Completions itself, as its front door gives it. It has what Converse has no place for.
func chatRequestOf(stream bool, body string) *upstream.Request {
	return &upstream.Request{
		ID: "5f0c1cbb-2a54-4a0e-9a39-5f7dbb1e0001", Model: "gpt-4o-mini", ModelID: "openai.gpt-oss-20b-1:0", Region: "us-east-1", Stream: stream,
		Native: &upstream.Native{Format: "openai-chat", Operation: "ChatCompletions", Body: []byte(body), ContentType: "application/json"},
	}
}

// passed sends r and returns what of the answer is for the caller, piece by piece, and its end.
func passed(t *testing.T, p *Provider, r *upstream.Request) (pieces []string, last converse.Event, err error) {
	t.Helper()
	answer, err := p.Send(t.Context(), r)
	if err != nil {
		return nil, last, err
	}
	for e, err := range answer {
		if err != nil {
			return pieces, last, err
		}
		if e.Kind != converse.Chunk && e.Kind != converse.Metadata || last.Kind != 0 {
			t.Errorf("%+v", e)
		}
		if e.Native != nil {
			pieces = append(pieces, string(e.Native))
		}
		if e.Kind == converse.Metadata {
			last = e
		}
	}
	return pieces, last, nil
}

// TestNative: a body and its answer pass as they are, but for the model's name and the usage of a stream. The chunks are
// those of OpenAI's API reference ("The chat completion chunk object").
func TestNative(t *testing.T) {
	chunk := func(model, rest string) string {
		return `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"` + model + `","service_tier":"default","system_fingerprint":"fp_44709d6fcb",` + rest + `}`
	}
	rests := []string{
		`"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"`,
		`"choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel","logprob":-0.1}]},"finish_reason":null}],"usage":null`,
		`"choices":[{"index":1,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null`,
		`"choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}],"usage":null`,
		`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null`,
		`"choices":[{"index":1,"delta":{"content":"!"},"logprobs":null,"finish_reason":null}],"usage":null`,
		`"choices":[{"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null`,
	}
	const counted = `"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}`
	told := converse.Usage{InputTokens: 16, CacheReadInputTokens: 4, OutputTokens: 9}
	var stream string
	var mine []string
	for _, r := range rests {
		stream += "data: " + chunk("gpt-4o-mini-2024-07-18", r) + "\n\n"
		mine = append(mine, chunk("openai.gpt-oss-20b-1:0", r))
	}
	usage := "data: " + chunk("gpt-4o-mini-2024-07-18", counted) + "\n\n"
	const body = `"messages":[{"role":"user","name":"bob","content":"Hi"}],"n":2,"logprobs":true,"seed":1`
	for _, c := range []struct {
		name, ask, sent, answer string
		pieces                  []string
		usage                   converse.Usage
		estimated               bool
	}{
		{"usage not asked for", `{"model":"p",` + body + `,"stream":true}`, `{"model":"gpt-4o-mini","stream":true,` + body + `,"stream_options":{"include_usage":true}}`, stream + usage + done1, mine, told, false},
		{"usage asked for", `{"model":"p",` + body + `,"stream":true,"stream_options":{"include_usage":true}}`, `{"model":"gpt-4o-mini","stream":true,` + body + `,"stream_options":{"include_usage":true}}`, stream + usage + done1, append(mine[:len(mine):len(mine)], chunk("openai.gpt-oss-20b-1:0", counted)), told, false},
		{"usage not told", `{"model":"p",` + body + `,"stream":true}`, `{"model":"gpt-4o-mini","stream":true,` + body + `,"stream_options":{"include_usage":true}}`, stream + done1, mine, converse.Usage{InputTokens: 26, OutputTokens: converse.EstimateTokens("Hel") + converse.EstimateTokens("Hi") + converse.EstimateTokens("lo") + converse.EstimateTokens("!")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent string
			p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				sent = r.URL.Path + " " + string(b)
				events(c.answer)(w, r)
			}), nil)
			pieces, last, err := passed(t, p, chatRequestOf(true, c.ask))
			if err != nil {
				t.Fatal(err)
			}
			if sent != "/v1/chat/completions "+c.sent {
				t.Errorf("sent %s\nwant %s", sent, c.sent)
			}
			if fmt.Sprint(pieces) != fmt.Sprint(c.pieces) {
				t.Errorf("passed on\n%s\nwant\n%s", strings.Join(pieces, "\n"), strings.Join(c.pieces, "\n"))
			}
			if c.estimated {
				c.usage.InputTokens = int64(len(c.ask)+3) / 4
			}
			if last.Usage != c.usage || last.Estimated != c.estimated {
				t.Errorf("usage %+v, estimated %t; want %+v", last.Usage, last.Estimated, c.usage)
			}
		})
	}
	t.Run("whole", func(t *testing.T) {
		const answer = ` {"id":"chatcmpl-1","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","annotations":[]},"logprobs":{},"finish_reason":"stop"},{"index":1,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29},"new":1}`
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, answer)
		}), nil)
		pieces, last, err := passed(t, p, chatRequestOf(false, `{`+body+`}`))
		if err != nil || len(pieces) != 1 || pieces[0] != strings.Replace(answer, "gpt-4o-mini-2024-07-18", "openai.gpt-oss-20b-1:0", 1) {
			t.Errorf("%s, %v", pieces, err)
		}
		if last.Usage != (converse.Usage{InputTokens: 20, OutputTokens: 9}) || last.Estimated {
			t.Errorf("usage %+v, estimated %t", last.Usage, last.Estimated)
		}
	})
	// A server that only greets has shown nothing: another may be asked. Behind a piece of the answer it is the caller's.
	for name, c := range map[string]struct {
		answer string
		kind   fault.Kind
		pieces int
	}{
		"a greeting":  {"data: " + chunk("m", rests[0]) + "\n\n", fault.Unavailable, 0},
		"a piece":     {"data: " + chunk("m", rests[0]) + "\n\ndata: " + chunk("m", rests[1]) + "\n\n", fault.ModelStream, 2},
		"an error":    {"data: {\"error\":{\"message\":\"Rate limit reached\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}\n\n", fault.Throttled, 0},
		"nothing":     {done1, fault.ModelError, 0},
		"no JSON":     {"data: <html>\n\n", fault.ModelError, 0},
		"the failure": {"data: " + chunk("m", rests[1]) + "\n\ndata: {\"error\":{\"message\":\"died\",\"code\":500}}\n\n", fault.ModelStream, 1},
	} {
		pieces, _, err := passed(t, open(t, events(c.answer), nil), chatRequestOf(true, `{`+body+`}`))
		if !fault.Is(err, c.kind) || len(pieces) != c.pieces {
			t.Errorf("%s: %d pieces, then %v", name, len(pieces), err)
		}
	}
	if _, err := open(t, events(""), nil).Send(t.Context(), chatRequestOf(false, `{`)); !fault.Is(err, fault.Serialization) {
		t.Errorf("no JSON: %v", err)
	}
}
