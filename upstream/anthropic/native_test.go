package anthropic

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/upstreamtest"
)

// asMessages is a request whose caller speaks Messages, in Bedrock's form of it.
func asMessages(stream bool, body string) *upstream.Request {
	r := upstreamtest.Request(stream, nil)
	r.Native = &upstream.Native{Format: "anthropic", Operation: "InvokeModel", Body: []byte(body)}
	return r
}

// piece is a Chunk or the Metadata of an answer that is passed on, with its bytes copied.
type piece struct {
	kind         converse.EventKind
	name, native string
	stop         string
	usage        converse.Usage
	estimated    bool
}

func pieces(t *testing.T, p *Provider, r *upstream.Request) (out []piece, err error) {
	t.Helper()
	s, err := p.Send(t.Context(), r)
	if err != nil {
		return nil, err
	}
	for e, err := range s {
		if err != nil {
			return out, err
		}
		out = append(out, piece{e.Kind, e.Name, string(e.Native), e.StopReason, e.Usage, e.Estimated})
	}
	return out, nil
}

// TestNativeRequest: what the caller has said reaches the server, also what nobody here knows.
func TestNativeRequest(t *testing.T) {
	const rest = `"max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"metadata":{"user_id":"u"},"tools":[{"type":"web_search_20250305","name":"web_search"}],"thinking":{"type":"adaptive"},"of_tomorrow":[1, 2]`
	for _, c := range []struct{ name, body, want string }{
		{"whole", `{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","b"],` + rest + `}`, `{"model":"model",` + rest + `}`},
		{"stream", `{"model":"arn:aws:bedrock:us-east-1:1:application-inference-profile/a","stream":true,` + rest + ` , "anthropic_beta":["a","b"]}`, `{"model":"model","stream":true,` + rest + `}`},
		{"count", `{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","b"],` + rest + `}`,
			`{"model":"model","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}],"thinking":{"type":"adaptive"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var beta, got string
			p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				beta, got = r.Header.Get("Anthropic-Beta"), string(b)
				io.WriteString(w, `{"type":"message","input_tokens":5}`)
			}), nil)
			r := asMessages(c.name == "stream", c.body)
			r.Body = nil
			r.Native.Header = map[string]string{"Anthropic-Beta": "c, d"}
			var err error
			if c.name == "count" {
				_, err = p.CountTokens(t.Context(), r)
			} else {
				_, err = p.Send(t.Context(), r)
			}
			if (c.name != "stream") != (err == nil) { // to a stream this is no answer
				t.Error(err)
			}
			if got != c.want || beta != "a,b,c, d" {
				t.Errorf("%s, betas %s\nwant %s", got, beta, c.want)
			}
		})
	}
	var calls int
	p := open(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }), nil)
	for _, body := range []string{``, `[]`, `{"a"`, `{"a":1}}`, `{"anthropic_beta":"a\nb"}`, `{"a":1} x`} {
		if _, err := p.Send(t.Context(), asMessages(false, body)); !fault.Is(err, fault.Validation) {
			t.Errorf("%s: %v", body, err)
		}
	}
	other := asMessages(false, `{}`)
	other.Native.Format, other.Body = "titan", nil
	_, err := p.Send(t.Context(), other)
	_, countErr := p.CountTokens(t.Context(), other)
	for _, err := range []error{err, countErr} {
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, `"claude-eu"`) {
			t.Errorf("a body that nobody translates: %v", err)
		}
	}
	if calls > 0 {
		t.Error("the server was asked")
	}
}

// TestOtherFormat: a body of another format goes out in translation.
func TestOtherFormat(t *testing.T) {
	r := asMessages(true, `{"inputText":"Hi"}`)
	r.Native.Format = "titan"
	s, err := open(t, &server{}, nil).Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := converse.Collect(s); err != nil || *a.Content[0].Text != "The weather in\n Paris says \"hello\"." {
		t.Errorf("%+v, %v", a, err)
	}
}

const hiBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`

// TestNativeStream: the events come through byte by byte, those that Converse has no form for too.
func TestNativeStream(t *testing.T) {
	const start = `{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":3,"output_tokens":1}}}`
	middle := []string{
		`{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}`,
		`{"type": "ping"}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\"}"}   }`,
		`{"type":"content_block_stop","index":0  }`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","content":[{"type":"web_search_result"}]}}`,
		`{"type":"content_block_start","index":2,"content_block":{"citations":[],"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location"}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"one two"}}`,
		`{"type":"of_tomorrow","index":"x"}`,
	}
	const end, over = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":125,"output_tokens":15}}`, `{"type":"message_stop"   }`
	body := func(events ...string) string {
		var b strings.Builder
		for _, e := range events {
			b.WriteString("event: x\ndata: " + e + "\n\n")
		}
		return b.String()
	}
	all := slices.Concat([]string{start}, middle, []string{end, over})
	got, err := pieces(t, open(t, events(body(all...)), nil), asMessages(true, hiBody))
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d pieces of %d, %v", len(got), len(all), err)
	}
	for i, p := range got {
		last := i == len(all)-1
		if p.native != all[i] || (p.kind == converse.Metadata) != last || !last && p.kind != converse.Chunk || p.estimated {
			t.Errorf("%d: %+v, want %s", i, p, all[i])
		}
	}
	if got[0].name != "message_start" || got[8].name != "content_block_delta" || got[11].name != "message_stop" {
		t.Errorf("%+v", got)
	}
	if got[9].stop != "" || got[10].stop != converse.StopEndTurn {
		t.Errorf("stop reasons of %+v", got)
	}
	if u := got[9].usage; u.InputTokens != 25 || u.CacheReadInputTokens != 3 || u.OutputTokens < 2 || u.OutputTokens >= 15 {
		t.Errorf("so far %+v", u)
	}
	if u := got[11].usage; u != (converse.Usage{InputTokens: 125, CacheReadInputTokens: 3, OutputTokens: 15}) {
		t.Errorf("in the end %+v", u)
	}

	overloaded := refusal("overloaded_error", "Overloaded")
	for _, c := range []struct {
		name   string
		events []string
		pieces int
		want   fault.Kind // Internal is none
	}{
		{"overloaded after message_start", []string{start, overloaded}, 0, fault.Unavailable},
		{"overloaded later", []string{start, middle[0], overloaded}, 2, fault.Unavailable},
		{"cut at once", []string{start}, 0, fault.Unavailable},
		{"cut later", []string{start, middle[0]}, 2, fault.ModelStream},
		{"no JSON", []string{start, middle[0], "x"}, 2, fault.ModelStream},
		{"no message", []string{over}, 0, fault.ModelError},
		{"no message_stop", []string{start, middle[7], end}, 4, fault.Internal},
		{"no stop reason", []string{start, middle[7], over}, 3, fault.Internal},
		{"no usage", []string{`{"type":"message_start"}`, middle[7], `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, over}, 4, fault.Internal},
	} {
		r := asMessages(true, hiBody)
		if c.name == "no usage" {
			r.Body = nil
		}
		got, err := pieces(t, open(t, events(body(c.events...)), nil), r)
		if len(got) != c.pieces || c.want == fault.Internal != (err == nil) || err != nil && !fault.Is(err, c.want) {
			t.Errorf("%s: %d pieces, %v, want %d, %v", c.name, len(got), err, c.pieces, c.want)
		}
		if err == nil {
			last := got[len(got)-1]
			if last.kind != converse.Metadata || last.estimated != (c.name != "no message_stop") || last.usage.OutputTokens == 0 || last.usage.InputTokens < 20 {
				t.Errorf("%s: %+v", c.name, last)
			}
		}
	}
}

func TestNativeWhole(t *testing.T) {
	const answer = `{"id":"msg_1","type":"message","content":[{"type":"web_search_tool_result","content":[]},{"type":"text","text":"one two","citations":[{"type":"of_tomorrow"}]}],"stop_reason":"pause_turn","usage":{"input_tokens":3,"output_tokens":2}}`
	serve := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, body)
		}
	}
	usage := converse.Usage{InputTokens: 3, OutputTokens: 2}
	got, err := pieces(t, open(t, serve(answer), nil), asMessages(false, hiBody))
	if want := []piece{{converse.Chunk, "application/json", answer, "end_turn", usage, false}, {converse.Metadata, "", "", "", usage, false}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	got, err = pieces(t, open(t, serve(`{"type":"message","content":[{"type":"text","text":"one two"}]}`), nil), asMessages(false, hiBody))
	if err != nil || len(got) != 2 || !got[1].estimated || got[1].usage.OutputTokens != 2 || got[1].usage.InputTokens == 0 {
		t.Errorf("without usage: %+v, %v", got, err)
	}
	for _, body := range []string{``, `{}`, `[]`, `{"type":"ping"}`, `<html>`} {
		if got, err := pieces(t, open(t, serve(body), nil), asMessages(false, hiBody)); !fault.Is(err, fault.ModelError) || len(got) > 0 {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	// A server that never streams: its answer becomes events all the same.
	s, err := open(t, serve(`{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}`), nil).Send(t.Context(), asMessages(true, hiBody))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := converse.Collect(s); err != nil || *a.Content[0].Text != "Hi" || a.Usage != usage {
		t.Errorf("%+v, %v", a, err)
	}
}
