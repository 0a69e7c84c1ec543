package anthropic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/upstreamtest"
)

func TestProvider(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T, b upstreamtest.Behaviour) upstream.Provider {
		return open(t, &server{behaviour: b}, nil)
	})
}

func TestServer(t *testing.T) {
	upstreamtest.RunServer(t, upstreamtest.Server{
		Open: func(t *testing.T, u string, c client.Config) upstream.Provider {
			p, err := New(Config{Name: "claude-eu", BaseURL: u, APIKey: "sk-ant-very-secret", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		ContentType: "text/event-stream", Start: begin1, Text: text1, End: tell1 + over1,
		Whole:   `{"type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}`,
		Refusal: refusal("invalid_request_error", "no"),
	})
}

// TestRequest: what goes over the wire.
func TestRequest(t *testing.T) {
	for _, how := range []string{"whole", "stream", "count"} {
		t.Run(how, func(t *testing.T) {
			var got *http.Request
			var body []byte
			p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Clone(context.Background())
				body, _ = io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				(&server{}).ServeHTTP(w, r)
			}), func(c *Config) { c.BaseURL += "/" })
			r := upstreamtest.Request(how == "stream", func(r *converse.Request) {
				r.AdditionalModelResponseFieldPaths = []string{"/stop_reason", "/delta/stop_reason"}
				r.AdditionalModelRequestFields = jsontext.Value(`{"anthropic_beta":["context-1m-2025-08-07","interleaved-thinking-2025-05-14"]}`)
			})
			path, want := "/v1/messages", `"max_tokens":4096,`
			if how == "count" {
				path, want = "/v1/messages/count_tokens", ""
				if n, err := p.CountTokens(t.Context(), r); n != 19 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			} else {
				s, err := p.Send(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := converse.Collect(s)
				if err != nil || answer.Usage != (converse.Usage{InputTokens: 16, CacheReadInputTokens: 4, OutputTokens: 7}) || answer.Estimated {
					t.Errorf("%+v, %v", answer, err)
				}
				fields := map[string]string{"whole": `{"stop_reason":"end_turn"}`, "stream": `{"delta":{"stop_reason":"end_turn"}}`}[how]
				if string(answer.Fields) != fields {
					t.Errorf("fields %s, want %s", answer.Fields, fields)
				}
			}
			accept := "application/json"
			if how == "stream" {
				accept, want = "text/event-stream", `"stream":true,`+want
			}
			for name, want := range map[string]string{
				"X-Api-Key": "sk-ant-very-secret", "Anthropic-Version": "2023-06-01", "Anthropic-Beta": "context-1m-2025-08-07,interleaved-thinking-2025-05-14",
				"Content-Type": "application/json", "Accept": accept, "X-Request-Id": "5f0c1cbb-2a54-4a0e-9a39-5f7dbb1e0001",
				"Authorization": "", "X-Idempotency-Key": "", "Accept-Encoding": "",
			} {
				if v := got.Header.Get(name); v != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
			if got.Method != "POST" || got.URL.Path != path || got.ContentLength != int64(len(body)) {
				t.Errorf("%s %s, %d bytes", got.Method, got.URL, got.ContentLength)
			}
			want = `{"model":"model",` + want + `"messages":[{"role":"user","content":[{"type":"text","text":"Say hello to the weather in Paris."}]}]}`
			if string(body) != want {
				t.Errorf("%s\nwant %s", body, want)
			}
		})
	}
}

func refusal(typ, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}`, typ, message)
}

// TestRefused: the errors of "Errors" and "Rate limits" in Anthropic's API reference, and of what stands before it, become
// the right fault, and the key is in none.
func TestRefused(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		status  int
		retry   string
		body    string
		want    fault.Kind
		message string // a part of it
		after   time.Duration
	}{
		"a bad request":      {400, "", refusal("invalid_request_error", "messages.0.content: Input should be a valid list"), fault.Validation, "The model returned the following errors: messages.0.content: Input", 0},
		"a long prompt":      {400, "", refusal("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), fault.Validation, "prompt is too long", 0},
		"no credit":          {400, "", refusal("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), fault.Unavailable, "", 0},
		"a spend limit":      {400, "", refusal("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-08-01 at 00:00 UTC."), fault.Unavailable, "", 0},
		"the key":            {401, "", refusal("authentication_error", "invalid x-api-key"), fault.ModelError, "", 0},
		"the key in a 400":   {400, "", refusal("invalid_request_error", "header x-api-key: sk-ant-very-secret is odd"), fault.Validation, "x-api-key: *** is odd", 0},
		"billing":            {402, "", refusal("billing_error", "payment failed"), fault.Unavailable, "", 0},
		"no permission":      {403, "", refusal("permission_error", "no"), fault.ModelError, "", 0},
		"no such model":      {404, "", refusal("not_found_error", "model: claude-does-not-exist"), fault.ModelError, "", 0},
		"a conflict":         {409, "", refusal("conflict_error", "no"), fault.Unavailable, "", 0},
		"too large":          {413, "", refusal("request_too_large", "Request exceeds the maximum size"), fault.Validation, "Request exceeds the maximum size", 0},
		"seconds":            {429, "7", refusal("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute"), fault.Throttled, "Too many requests", 7 * time.Second},
		"a date":             {429, "Fri, 02 Jan 2026 03:04:35 GMT", ``, fault.Throttled, "", 30 * time.Second},
		"a date gone by":     {429, "Fri, 02 Jan 2026 03:04:00 GMT", ``, fault.Throttled, "", 0},
		"too long a time":    {429, "1e99", ``, fault.Throttled, "", time.Hour},
		"no time":            {429, "soon", ``, fault.Throttled, "", 0},
		"a failure":          {500, "", refusal("api_error", "Internal server error"), fault.ModelError, "", 0},
		"a timeout":          {504, "", refusal("timeout_error", "timed out"), fault.ModelTimeout, "", 0},
		"overloaded":         {529, "", refusal("overloaded_error", "Overloaded"), fault.Unavailable, "", 0},
		"a proxy's page":     {502, "", "<html><h1>502 Bad Gateway</h1>", fault.Unavailable, "", 0},
		"a redirect":         {307, "", ``, fault.ModelError, "", 0},
		"no content":         {204, "", ``, fault.ModelError, "", 0},
		"a body without end": {500, "", strings.Repeat("x", 1<<20), fault.ModelError, "", 0},
	} {
		for _, how := range []string{"whole", "stream", "count"} {
			t.Run(name+", "+how, func(t *testing.T) {
				p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.retry != "" {
						w.Header().Set("Retry-After", c.retry)
					}
					w.WriteHeader(c.status)
					io.WriteString(w, c.body)
				}), func(cfg *Config) { cfg.Clock = func() time.Time { return date } })
				var err error
				if how == "count" {
					_, err = p.CountTokens(t.Context(), upstreamtest.Request(false, nil))
				} else {
					_, err = upstreamtest.Ask(t, p, how == "stream")
				}
				f := fault.From(err)
				if f == nil || f.Kind != c.want || !strings.Contains(f.Message, c.message) || f.RetryAfter != c.after || f.OriginalStatus != c.status {
					t.Errorf("%+v\nwant %v %q %v", f, c.want, c.message, c.after)
				}
				if f != nil && strings.Contains(f.Error(), "sk-ant-very-secret") {
					t.Errorf("the key is in %q", f.Error())
				}
			})
		}
	}
}

const (
	begin1 = "event: message_start\n" + `data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}` + "\n\n" +
		"event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n" + "event: ping\n" + `data: {"type": "ping"}` + "\n\n"
	text1 = "event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}` + "\n\n"
	text2 = "event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}    }` + "\n\n"
	tell1 = "event: content_block_stop\n" + `data: {"type":"content_block_stop","index":0}` + "\n\n" +
		"event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}` + "\n\n"
	over1 = "event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n"
)

// events is a server that answers every request with s as a stream.
func events(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, s)
	}
}

// TestStreams: streams that are whole in their ways, and broken in theirs.
func TestStreams(t *testing.T) {
	whole := begin1 + text1 + text2 + tell1 + over1
	for name, s := range map[string]string{
		"whole":              whole,
		"CRLF":               strings.ReplaceAll(whole, "\n", "\r\n"),
		"no message_stop":    begin1 + text1 + text2 + tell1,
		"no last line":       strings.TrimSuffix(whole, "\n\n"),
		"comments":           ":\n\n" + begin1 + ": wait\n\nid: 7\nretry: 10\n" + text1 + text2 + tell1 + over1,
		"after message_stop": whole + text1,
	} {
		for _, size := range []int{0, 1, 7} { // bytes a write, 0 for all at once
			t.Run(fmt.Sprintf("%s by %d", name, size), func(t *testing.T) {
				es, err := upstreamtest.Ask(t, open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for rest := s; rest != ""; {
						n := len(rest)
						if size > 0 {
							n = min(n, size)
						}
						io.WriteString(w, rest[:n])
						rest = rest[n:]
						if size > 0 {
							w.(http.Flusher).Flush()
						}
					}
				}), nil), true)
				if err != nil {
					t.Fatal(err)
				}
				last := es[len(es)-1]
				if upstreamtest.Text(es) != "Hello" || es[len(es)-2].StopReason != converse.StopEndTurn || last.Usage != (converse.Usage{InputTokens: 25, OutputTokens: 15}) || last.Estimated {
					t.Errorf("%+v", es)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		stream string
		before fault.Kind // when nothing was yielded
		after  fault.Kind // when something was
	}{
		"nothing":            {"", fault.Unavailable, fault.ModelStream},
		"half an event":      {`data: {"type":"content_blo`, fault.ModelError, fault.ModelStream},
		"no JSON":            {"data: {\"type\"}\n\n" + over1, fault.ModelError, fault.ModelStream},
		"HTML":               {"data: <html>\n\n", fault.ModelError, fault.ModelStream},
		"overloaded":         {"event: error\ndata: " + refusal("overloaded_error", "Overloaded") + "\n\n", fault.Unavailable, fault.Unavailable},
		"a rate limit":       {"event: error\ndata: " + refusal("rate_limit_error", "slow") + "\n\n", fault.Throttled, fault.Throttled},
		"a bad request":      {"event: error\ndata: " + refusal("invalid_request_error", "no") + "\n\n", fault.Validation, fault.Validation},
		"a failure":          {"event: error\ndata: " + refusal("api_error", "Internal server error") + "\n\n", fault.ModelError, fault.ModelStream},
		"a server's tool":    {`data: {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result"}}` + "\n\n", fault.ModelError, fault.ModelStream},
		"an endless line":    {"data: " + strings.Repeat("x", 3<<20), fault.ModelError, fault.ModelStream},
		"an endless comment": {":" + strings.Repeat("x", 3<<20), fault.ModelError, fault.ModelStream},
	} {
		for _, started := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, started=%t", name, started), func(t *testing.T) {
				stream, want := begin1+c.stream, c.before
				if started {
					stream, want = begin1+text1+c.stream, c.after
				}
				es, err := upstreamtest.Ask(t, open(t, events(stream), nil), true)
				if !fault.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				if started != (upstreamtest.Text(es) == "Hel") || !started && len(es) > 0 {
					t.Errorf("%+v before %v", es, err)
				}
			})
		}
	}
	t.Run("only message_stop", func(t *testing.T) {
		if es, err := upstreamtest.Ask(t, open(t, events(over1), nil), true); !fault.Is(err, fault.ModelError) {
			t.Errorf("%+v, %v, want a ModelError", es, err)
		}
	})
	t.Run("too much in all", func(t *testing.T) {
		es, err := upstreamtest.Ask(t, open(t, events(begin1+strings.Repeat(text1, 5000)), func(c *Config) { c.MaxAnswerBytes = 100_000 }), true)
		if !fault.Is(err, fault.ModelStream) || len(es) == 0 {
			t.Errorf("%d events, %v, want a ModelStream error", len(es), err)
		}
	})
}

// TestWhole: answers that are not streamed, also to those who asked for a stream.
func TestWhole(t *testing.T) {
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, body)
		}
	}
	const good = `{"type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}`
	for _, stream := range []bool{false, true} {
		es, err := upstreamtest.Ask(t, open(t, answer(good), nil), stream)
		if err != nil || upstreamtest.Text(es) != "Hello" || es[len(es)-1].Usage.OutputTokens != 2 {
			t.Errorf("stream=%t: %+v, %v", stream, es, err)
		}
		for i := range es {
			if es[i].More != (i+1 < len(es)) {
				t.Errorf("event %d of %d: More is %t", i, len(es), es[i].More)
			}
		}
	}
	for name, c := range map[string]struct {
		body string
		want fault.Kind
	}{
		"nothing":         {``, fault.ModelError},
		"an empty object": {`{}`, fault.ModelError},
		"an event":        {`{"type":"ping"}`, fault.ModelError},
		"no content":      {`{"type":"message","content":[]}`, fault.ModelError},
		"half":            {good[:60], fault.ModelError},
		"a broken end":    {strings.Replace(good, `"text":"Hello"}`, `"text":"Hello"},{"type":"mcp_tool_use"}`, 1), fault.ModelError},
		"HTML":            {`<html>`, fault.ModelError},
		"an error":        {refusal("overloaded_error", "Overloaded"), fault.Unavailable},
		"too long":        {good + strings.Repeat(" ", 1<<20), fault.ModelError},
	} {
		es, err := upstreamtest.Ask(t, open(t, answer(c.body), func(cfg *Config) { cfg.MaxAnswerBytes = 1 << 20 }), false)
		if !fault.Is(err, c.want) || len(es) > 0 {
			t.Errorf("%s: %+v, %v, want %v", name, es, err, c.want)
		}
	}
	guess := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Outcrop-Token-Count", "estimate")
		_, _ = io.WriteString(w, `{"input_tokens":15}`)
	})
	if _, err := open(t, guess, nil).CountTokens(t.Context(), upstreamtest.Request(false, nil)); !errors.Is(err, upstream.ErrEstimate) {
		t.Errorf("an estimate of another Outcrop's is an exact count: %v", err)
	}
	if _, err := open(t, answer(`{"tokens":1}`), nil).CountTokens(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.ModelError) {
		t.Errorf("a count of nothing: %v", err)
	}
}

// TestSilence: a server that says nothing any more is given up.
func TestSilence(t *testing.T) {
	short := 50 * time.Millisecond
	hang := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	p := open(t, http.HandlerFunc(hang), func(c *Config) { c.Client.FirstToken = short })
	for _, stream := range []bool{false, true} {
		if _, err := upstreamtest.Ask(t, p, stream); !fault.Is(err, fault.ModelTimeout) {
			t.Errorf("before the answer, stream=%t: %v, want a ModelTimeout", stream, err)
		}
	}
	if _, err := p.CountTokens(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.ModelTimeout) {
		t.Errorf("before the count: %v, want a ModelTimeout", err)
	}
	p = open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events(begin1+text1)(w, r)
		w.(http.Flusher).Flush()
		hang(w, r)
	}), func(c *Config) { c.Client.BetweenTokens = short })
	if es, err := upstreamtest.Ask(t, p, true); !fault.Is(err, fault.ModelTimeout) || upstreamtest.Text(es) != "Hel" {
		t.Errorf("in the answer: %+v, %v, want a ModelTimeout", es, err)
	}
}

// TestInexpressible: a request that the format has no words for reaches no server.
func TestInexpressible(t *testing.T) {
	var calls atomic.Int32
	p := open(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }), nil)
	r := upstreamtest.Request(false, func(r *converse.Request) {
		r.GuardrailConfig = converse.Raw[converse.Guardrail](`{"guardrailIdentifier":"g"}`)
	})
	_, err := p.Send(t.Context(), r)
	_, countErr := p.CountTokens(t.Context(), r)
	for _, err := range []error{err, countErr} {
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, "guardrailConfig") || !strings.Contains(f.Message, `"claude-eu"`) {
			t.Errorf("%v", err)
		}
	}
	if calls.Load() > 0 {
		t.Error("the server was asked")
	}
}

// TestService: what the caller asks for in Bedrock's headers is not in the body that he sent. It is said in Anthropic's
// words, or refused, and never lost on the way.
func TestService(t *testing.T) {
	var sent string
	p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent = string(b)
		io.WriteString(w, `{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1,"service_tier":"standard"}}`)
	}), nil)
	for _, c := range []struct {
		name, value string
		verbatim    bool
		want        string // of what is sent, or of the refusal
	}{
		{"X-Amzn-Bedrock-Service-Tier", "default", true, `"mine":1`},
		{"X-Amzn-Bedrock-Performanceconfig-Latency", "standard", true, `"mine":1`},
		{"X-Amzn-Bedrock-Trace", "ENABLED", true, `"mine":1`},
		{"X-Amzn-Bedrock-Service-Tier", "priority", false, `"service_tier":"auto"`},
		{"X-Amzn-Bedrock-Service-Tier", "flex", false, "serviceTier.flex"},
		{"X-Amzn-Bedrock-Performanceconfig-Latency", "optimized", false, "performanceConfig.latency.optimized"},
		{"X-Amzn-Bedrock-Guardrailidentifier", "abc", false, "guardrailConfig"},
	} {
		n := &upstream.Native{Format: "anthropic", Operation: "InvokeModel", Body: []byte(`{"mine":1,"max_tokens":5,"messages":[{"role":"user","content":"a"}]}`), Header: map[string]string{c.name: c.value}}
		r := upstreamtest.Request(false, func(r *converse.Request) {
			switch c.name { // as api/bedrockruntime tells it
			case "X-Amzn-Bedrock-Service-Tier":
				r.ServiceTier = &converse.ServiceTier{Type: c.value}
			case "X-Amzn-Bedrock-Performanceconfig-Latency":
				r.PerformanceConfig = &converse.Performance{Latency: c.value}
			case "X-Amzn-Bedrock-Guardrailidentifier":
				r.GuardrailConfig = converse.Raw[converse.Guardrail](`{"guardrailIdentifier":"` + c.value + `"}`)
			}
		})
		r.Native, sent = n, ""
		s, err := p.Send(t.Context(), r)
		got := sent
		if err != nil {
			got = err.Error()
		}
		if p.Speaks(n) != c.verbatim || !strings.Contains(got, c.want) || strings.Contains(sent, `"mine"`) != c.verbatim {
			t.Errorf("%s %s: %s", c.name, c.value, got)
		}
		if err != nil {
			continue
		}
		for e := range s {
			if e.Kind == converse.Metadata && (e.Served == nil || e.Served.Tier != "default") {
				t.Errorf("%s %s: served %+v", c.name, c.value, e.Served)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{
		{BaseURL: "127.0.0.1:8080"}, {BaseURL: "ftp://host"}, {BaseURL: "http://"}, {BaseURL: "http://key@host"}, {BaseURL: "http://host/v1"}, {BaseURL: "http://host/v1/"},
		{BaseURL: "http://host?key=x"}, {BaseURL: "http://host#x"}, {BaseURL: "http://ho st/"}, {APIKey: "a b"}, {APIKey: "key\n"}, {APIKey: "schlüssel"},
		{Client: client.Config{Header: http.Header{"x-api-key": {"k"}}}}, {Client: client.Config{Proxy: "proxy"}},
	} {
		c.Name = "claude-eu"
		p, err := New(c)
		if err == nil {
			p.Close()
			t.Errorf("%+v is accepted", c)
		} else if !strings.Contains(err.Error(), "claude-eu") || c.APIKey != "" && strings.Contains(err.Error(), c.APIKey) {
			t.Errorf("%v", err)
		}
	}
}

// TestBetas: those of the configuration are added to those of the request.
func TestBetas(t *testing.T) {
	header := http.Header{"anthropic-beta": {"x", "y,z"}, "X-Team": {"research"}}
	for body, want := range map[string]string{`{"anthropic_beta":["a","b"]}`: "a,b,x,y,z", `{}`: "x,y,z"} {
		var got, team string
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, team = strings.Join(r.Header["Anthropic-Beta"], "|"), r.Header.Get("X-Team")
			w.WriteHeader(http.StatusTooManyRequests)
		}), func(c *Config) { c.Client.Header = header })
		for range 2 {
			if _, err := p.Send(t.Context(), asMessages(false, body)); !fault.Is(err, fault.Throttled) || got != want || team != "research" {
				t.Errorf("%s: betas %q, %v", body, got, err)
			}
		}
	}
	if len(header) != 2 {
		t.Errorf("the configuration's own headers were changed: %v", header)
	}
}
