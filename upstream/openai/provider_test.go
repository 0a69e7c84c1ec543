package openai

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/upstreamtest"
)

func TestProvider(t *testing.T) {
	for _, flavour := range []string{"llama.cpp", "vLLM", "OpenAI"} {
		t.Run(flavour, func(t *testing.T) {
			upstreamtest.Run(t, func(t *testing.T, b upstreamtest.Behaviour) upstream.Provider {
				return open(t, &server{flavour: flavour, behaviour: b}, nil)
			})
		})
	}
}

func TestServer(t *testing.T) {
	upstreamtest.RunServer(t, upstreamtest.Server{
		Open: func(t *testing.T, u string, c client.Config) upstream.Provider {
			p, err := New(Config{Name: "gpu-a", BaseURL: u, APIKey: "sk-very-secret", Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		ContentType: "text/event-stream", Start: open1, Text: text1, End: stop1 + tell1 + done1,
		Whole:   `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}`,
		Refusal: `{"error":{"message":"no"}}`,
	})
}

// TestBaseURL: with or without a path and its last slash, requests go where they should.
func TestBaseURL(t *testing.T) {
	var path string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.RequestURI
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	for base, want := range map[string]string{"": "", "/": "", "/v1": "/v1", "/v1/": "/v1", "/a%20b/v1": "/a%20b/v1"} {
		p, err := New(Config{Name: "gpu-a", BaseURL: s.URL + base})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), upstreamtest.Request(true, nil)); !fault.Is(err, fault.Throttled) || path != want+"/chat/completions" {
			t.Errorf("%q: asked for %s: %v", base, path, err)
		}
		if _, err := p.Embed(t.Context(), &upstream.Request{Model: "m", Embedding: &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: "a"}}}}); !fault.Is(err, fault.Throttled) || path != want+"/embeddings" {
			t.Errorf("%q: asked for %s: %v", base, path, err)
		}
		p.Close()
	}
}

// TestEmbed: the answers are those of OpenAI's API reference, "Create embeddings", cut to two dimensions.
func TestEmbed(t *testing.T) {
	const two = `{"object":"list","data":[{"object":"embedding","index":1,"embedding":[0.5,-1]},{"object":"embedding","embedding":[0.0023064255,-0.009327292],"index":0}],"model":"text-embedding-ada-002"`
	request := &upstream.Request{ID: "r", Model: "text-embedding-ada-002", Embedding: &converse.EmbeddingRequest{
		Dimensions: 2, Inputs: []converse.EmbeddingInput{{Text: "The food was delicious"}, {Text: "and the waiter..."}},
	}}
	for _, c := range []struct {
		name, answer string
		status       int
		want         fault.Kind
		usage        int64
		estimated    bool
	}{
		{"two", two + `,"usage":{"prompt_tokens":8,"total_tokens":8}}`, 200, 0, 8, false},
		{"no usage", two + `}`, 200, 0, 0, true},
		{"one too few", `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, 200, fault.ModelError, 0, false},
		{"no JSON", `<html>`, 200, fault.ModelError, 0, false},
		{"cut", two, 200, fault.ModelError, 0, false},
		{"refused", `{"error":{"message":"'$.input' is invalid.","type":"invalid_request_error","param":null,"code":null}}`, 400, fault.Validation, 0, false},
		{"throttled", `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, 429, fault.Throttled, 0, false},
		{"too long", strings.Repeat(" ", 5000), 200, fault.ModelError, 0, false},
	} {
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			const asked = `{"model":"text-embedding-ada-002","input":["The food was delicious","and the waiter..."],"encoding_format":"float","dimensions":2}`
			if err != nil || string(b) != asked || r.URL.Path != "/v1/embeddings" || r.Header.Get("Authorization") != "Bearer sk-very-secret" || r.Header.Get("X-Request-Id") != "r" {
				t.Errorf("%s: asked %s for %s with %v", c.name, r.URL, b, r.Header)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.answer)
		}), func(c *Config) { c.MaxAnswerBytes = 4000 })
		out, err := p.Embed(t.Context(), request)
		if c.want != 0 {
			if !fault.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if fmt.Sprint(out.Float) != "[[0.0023064255 -0.009327292] [0.5 -1]]" || out.Usage.InputTokens != c.usage || out.Estimated != c.estimated {
			t.Errorf("%s: %+v", c.name, out)
		}
	}
	p := open(t, http.NotFoundHandler(), nil)
	if _, err := p.Embed(t.Context(), &upstream.Request{Model: "m", Embedding: &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Image: "data:image/png;base64,AAAA"}}}}); !fault.Is(err, fault.Validation) {
		t.Errorf("a picture: %v", err)
	}
	if _, err := p.Send(t.Context(), &upstream.Request{Model: "m", Native: &upstream.Native{Format: "titan"}}); !fault.Is(err, fault.Validation) {
		t.Errorf("a body of another format: %v", err)
	}
}

// TestRequest: what goes over the wire.
func TestRequest(t *testing.T) {
	for _, stream := range []bool{false, true} {
		var got *http.Request
		var body []byte
		answer := &server{flavour: "vLLM"}
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Clone(context.Background())
			body, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			answer.ServeHTTP(w, r)
		}), nil)
		es, err := upstreamtest.Ask(t, p, stream)
		if err != nil {
			t.Fatal(err)
		}
		accept := map[bool]string{false: "application/json", true: "text/event-stream"}[stream]
		for name, want := range map[string]string{
			"Authorization": "Bearer sk-very-secret", "Content-Type": "application/json", "Accept": accept,
			"X-Request-Id": "5f0c1cbb-2a54-4a0e-9a39-5f7dbb1e0001", "X-Idempotency-Key": "", "Accept-Encoding": "",
		} {
			if v := got.Header.Get(name); v != want {
				t.Errorf("%s: %q, want %q", name, v, want)
			}
		}
		if got.Method != "POST" || got.URL.Path != "/v1/chat/completions" || got.ContentLength != int64(len(body)) {
			t.Errorf("%s %s, %d bytes", got.Method, got.URL, got.ContentLength)
		}
		var q struct{ Model string }
		if err := json.Unmarshal(body, &q, json.MatchCaseInsensitiveNames(true)); err != nil || q.Model != "model" {
			t.Errorf("%s: %v", body, err)
		}
		if last := es[len(es)-1]; last.Usage != (converse.Usage{InputTokens: 16, CacheReadInputTokens: 4, OutputTokens: 7}) || last.Estimated {
			t.Errorf("usage %+v, estimated %t", last.Usage, last.Estimated)
		}
	}
}

// TestRefused: real refusals become the right fault, and the key is in none.
func TestRefused(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		status  int
		header  map[string]string
		body    string
		want    fault.Kind
		message string // a part of it
		retry   time.Duration
	}{
		"llama.cpp loads":     {503, nil, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`, fault.ModelNotReady, "", 0},
		"llama.cpp context":   {400, nil, `{"error":{"code":400,"message":"request (4010 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":4010,"n_ctx":2048}}`, fault.Validation, "The model returned the following errors: request (4010 tokens) exceeds", 0},
		"vLLM context":        {400, nil, `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}`, fault.Validation, "maximum context length is 4096", 0},
		"no such model":       {404, nil, `{"error":{"message":"The model does not exist.","type":"NotFoundError","param":null,"code":404}}`, fault.ModelError, "", 0},
		"no such path":        {404, nil, `{"detail":"Not Found"}`, fault.ModelError, "", 0},
		"the key":             {401, nil, `{"error":{"message":"Incorrect API key provided: sk-very-secret. You can find your API key at ...","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, fault.ModelError, "", 0},
		"a header in a 400":   {400, nil, `{"error":{"message":"api-key sk-very-secret-too is odd"}}`, fault.Validation, "api-key *** is odd", 0},
		"the key in a 400":    {400, nil, `{"error":{"message":"header Authorization: Bearer sk-very-secret is odd"}}`, fault.Validation, "Bearer *** is odd", 0},
		"seconds":             {429, map[string]string{"Retry-After": "7"}, `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`, fault.Throttled, "Too many requests", 7 * time.Second},
		"milliseconds":        {429, map[string]string{"Retry-After": "7", "Retry-After-Ms": "6123"}, `{}`, fault.Throttled, "", 6123 * time.Millisecond},
		"a date":              {503, map[string]string{"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT"}, ``, fault.Unavailable, "", 30 * time.Second},
		"a date gone by":      {503, map[string]string{"Retry-After": "Fri, 02 Jan 2026 03:04:00 GMT"}, ``, fault.Unavailable, "", 0},
		"too long":            {429, map[string]string{"Retry-After": "1e99"}, ``, fault.Throttled, "", time.Hour},
		"no time":             {429, map[string]string{"Retry-After": "soon"}, ``, fault.Throttled, "", 0},
		"a proxy's page":      {502, nil, "<html><h1>502 Bad Gateway</h1>", fault.Unavailable, "", 0},
		"a redirect":          {307, map[string]string{"Location": "http://127.0.0.1:1/"}, ``, fault.ModelError, "", 0},
		"no content":          {204, nil, ``, fault.ModelError, "", 0},
		"a body without end":  {500, nil, strings.Repeat("x", 1<<20), fault.ModelError, "", 0},
		"a result as refusal": {500, nil, `{"choices":[{"message":{"content":"hi"}}]}`, fault.ModelError, "", 0},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream=%t", name, stream), func(t *testing.T) {
				p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for k, v := range c.header {
						w.Header().Set(k, v)
					}
					w.WriteHeader(c.status)
					io.WriteString(w, c.body)
				}), func(cfg *Config) {
					cfg.Clock, cfg.Client = func() time.Time { return date }, cfg.Client.Secret("sk-very-secret-too")
				})
				es, err := upstreamtest.Ask(t, p, stream)
				f := fault.From(err)
				if f == nil || f.Kind != c.want || !strings.Contains(f.Message, c.message) || f.RetryAfter != c.retry || f.OriginalStatus != c.status || len(es) > 0 {
					t.Errorf("%+v after %d events\nwant %v %q %v", f, len(es), c.want, c.message, c.retry)
				}
				if f != nil && strings.Contains(f.Error(), "sk-very-secret") {
					t.Errorf("the key is in %q", f.Error())
				}
			})
		}
	}
}

const (
	open1 = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	text1 = `data: {"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}` + "\n\n"
	text2 = `data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}` + "\n\n"
	stop1 = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	tell1 = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}` + "\n\n"
	done1 = "data: [DONE]\n\n"
)

// events is a server that answers every request with s as a stream.
func events(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, s)
	}
}

// TestStreams: streams that are whole in their ways, and broken in theirs.
func TestStreams(t *testing.T) {
	whole := open1 + text1 + text2 + stop1 + tell1 + done1
	for name, s := range map[string]string{
		"whole":            whole,
		"CRLF":             strings.ReplaceAll(whole, "\n", "\r\n"),
		"no space":         strings.ReplaceAll(whole, "data: ", "data:"),
		"no [DONE]":        strings.TrimSuffix(whole, done1),
		"no last newline":  strings.TrimSuffix(strings.TrimSuffix(whole, done1), "\n\n"),
		"no newline there": strings.TrimSuffix(whole, "\n\n"),
		"comments":         ": OPENROUTER PROCESSING\n\n:\n\n" + open1 + ": ping\n\nevent: message\nid: 7\nretry: 10\n" + text1 + text2 + stop1 + tell1 + done1,
		"data in two":      open1 + text1 + strings.Replace(text2, `"index"`, "\ndata: \"index\"", 1) + stop1 + tell1 + done1,
		"after [DONE]":     whole + text1 + ": bye\n\n",
		"usage with stop":  open1 + text1 + text2 + strings.Replace(stop1, `}]}`, `}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`, 1) + done1,
		"null between":     open1 + text1 + strings.ReplaceAll(open1, `""`, "null") + text2 + stop1 + tell1 + done1,
	} {
		for _, size := range []int{0, 1, 7} { // bytes a write, 0 for all at once
			t.Run(fmt.Sprintf("%s by %d", name, size), func(t *testing.T) {
				p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
				}), nil)
				es, err := upstreamtest.Ask(t, p, true)
				if err != nil {
					t.Fatal(err)
				}
				last := es[len(es)-1]
				if upstreamtest.Text(es) != "Hello" || es[len(es)-2].StopReason != converse.StopEndTurn || last.Usage != (converse.Usage{InputTokens: 3, OutputTokens: 2}) || last.Estimated {
					t.Errorf("%+v", es)
				}
			})
		}
	}
	t.Run("no usage", func(t *testing.T) {
		es, err := upstreamtest.Ask(t, open(t, events(open1+text1+text2+stop1+done1), nil), true)
		if err != nil {
			t.Fatal(err)
		}
		last := es[len(es)-1]
		if want := upstreamtest.Request(true, nil).Body.EstimateInputTokens(); !last.Estimated || last.Usage.InputTokens != want || last.Usage.OutputTokens < 1 {
			t.Errorf("%+v, want an estimate of %d tokens in", last, want)
		}
	})
	for name, c := range map[string]struct {
		stream string
		before fault.Kind // when nothing was yielded
		after  fault.Kind // when something was
	}{
		"nothing":              {"", fault.Unavailable, fault.ModelStream},
		"the greeting":         {open1, fault.Unavailable, fault.ModelStream},
		"half an event":        {`data: {"choices":[{"delta`, fault.ModelError, fault.ModelStream},
		"no JSON":              {"data: {\"choices\"}\n\n" + text1 + done1, fault.ModelError, fault.ModelStream},
		"HTML":                 {"data: <html>\n\n", fault.ModelError, fault.ModelStream},
		"a rate limit":         {"data: {\"error\":{\"message\":\"Rate limit reached\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}\n\n" + done1, fault.Throttled, fault.Throttled},
		"a bad request":        {"data: {\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"invalid_request_error\"}}\n\n", fault.Validation, fault.Validation},
		"a failure":            {"data: {\"error\":{\"message\":\"EngineCore died\",\"type\":\"InternalServerError\",\"code\":500}}\n\n" + done1, fault.ModelError, fault.ModelStream},
		"llama.cpp's old form": {"error: {\"code\":500,\"message\":\"slot\",\"type\":\"server_error\"}\n\n", fault.ModelError, fault.ModelStream},
		"an abort":             {"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"abort\"}]}\n\n" + done1, fault.ModelError, fault.ModelStream},
		"an endless line":      {"data: " + strings.Repeat("x", 3<<20), fault.ModelError, fault.ModelStream},
		"an endless comment":   {":" + strings.Repeat("x", 3<<20), fault.ModelError, fault.ModelStream},
	} {
		for _, started := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, started=%t", name, started), func(t *testing.T) {
				stream, want := c.stream, c.before
				if started {
					stream, want = open1+text1+stream, c.after
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
	t.Run("only [DONE]", func(t *testing.T) {
		if es, err := upstreamtest.Ask(t, open(t, events(done1), nil), true); !fault.Is(err, fault.ModelError) {
			t.Errorf("%+v, %v, want a ModelError", es, err)
		}
	})
	t.Run("too much in all", func(t *testing.T) {
		es, err := upstreamtest.Ask(t, open(t, events(open1+strings.Repeat(text1, 5000)), func(c *Config) { c.MaxAnswerBytes = 100_000 }), true)
		if !fault.Is(err, fault.ModelStream) || len(es) == 0 {
			t.Errorf("%d events, %v, want a ModelStream error", len(es), err)
		}
	})
}

// TestWhole: answers that are not streamed, also to those who asked for a stream.
func TestWhole(t *testing.T) {
	answer := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, body)
		}
	}
	const good = `{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`
	for _, stream := range []bool{false, true} { // some servers never stream with tools
		es, err := upstreamtest.Ask(t, open(t, answer("application/json; charset=utf-8", good), nil), stream)
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
		"no choice":       {`{"choices":[]}`, fault.ModelError},
		"half":            {good[:60], fault.ModelError},
		"HTML":            {`<html>`, fault.ModelError},
		"an error":        {`{"error":{"message":"busy","type":"overloaded_error"}}`, fault.Unavailable},
		"a bad request":   {`{"error":{"message":"no","type":"invalid_request_error"}}`, fault.Validation},
		"too long":        {good + strings.Repeat(" ", 1<<20), fault.ModelError},
	} {
		es, err := upstreamtest.Ask(t, open(t, answer("application/json", c.body), func(cfg *Config) { cfg.MaxAnswerBytes = 1 << 20 }), false)
		if !fault.Is(err, c.want) || len(es) > 0 {
			t.Errorf("%s: %+v, %v, want %v", name, es, err, c.want)
		}
	}
}

// TestSilence: a server that says nothing any more is given up.
func TestSilence(t *testing.T) {
	short := 50 * time.Millisecond
	hang := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for _, stream := range []bool{false, true} {
		p := open(t, http.HandlerFunc(hang), func(c *Config) { c.Client.FirstToken = short })
		if _, err := upstreamtest.Ask(t, p, stream); !fault.Is(err, fault.ModelTimeout) {
			t.Errorf("before the answer, stream=%t: %v, want a ModelTimeout", stream, err)
		}
	}
	p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events(open1+text1)(w, r)
		w.(http.Flusher).Flush()
		hang(w, r)
	}), func(c *Config) { c.Client.BetweenTokens = short })
	if es, err := upstreamtest.Ask(t, p, true); !fault.Is(err, fault.ModelTimeout) || upstreamtest.Text(es) != "Hel" {
		t.Errorf("in the answer: %+v, %v, want a ModelTimeout", es, err)
	}
	p = open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"choices":[`)
		w.(http.Flusher).Flush()
		hang(w, r)
	}), func(c *Config) { c.Client.FirstToken = 4 * short })
	if _, err := upstreamtest.Ask(t, p, false); !fault.Is(err, fault.ModelTimeout) {
		t.Errorf("in a whole answer: %v, want a ModelTimeout", err)
	}
}

// TestInexpressible: a request that the format has no words for reaches no server.
func TestInexpressible(t *testing.T) {
	var calls atomic.Int32
	p := open(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }), nil)
	_, err := p.Send(t.Context(), upstreamtest.Request(false, func(r *converse.Request) {
		r.Messages[0].Content = append(r.Messages[0].Content, converse.ContentBlock{Document: []byte(`{}`)})
	}))
	if f := fault.From(err); f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, "messages.0.content.1.document") || !strings.Contains(f.Message, `"gpu-a"`) {
		t.Errorf("%v", err)
	}
	if calls.Load() > 0 {
		t.Error("the server was asked")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{
		{BaseURL: ""}, {BaseURL: "127.0.0.1:8080/v1"}, {BaseURL: "ftp://host/v1"}, {BaseURL: "http://"}, {BaseURL: "http://key@host/v1"},
		{BaseURL: "http://host/v1?key=x"}, {BaseURL: "http://host/v1#x"}, {BaseURL: "http://ho st/"}, {BaseURL: "http://host/v1", APIKey: "a b"},
		{BaseURL: "http://host/v1", APIKey: "key\n"}, {BaseURL: "http://host/v1", APIKey: "schlüssel"},
		{BaseURL: "http://host/v1", Client: client.Config{MaxConns: -1}},
	} {
		c.Name = "gpu-a"
		p, err := New(c)
		if err == nil {
			p.Close()
			t.Errorf("%+v is accepted", c)
		} else if !strings.Contains(err.Error(), "gpu-a") || c.APIKey != "" && strings.Contains(err.Error(), c.APIKey) {
			t.Errorf("%v", err)
		}
	}
}

// TestCaptures plays what a real llama.cpp sent.
func TestCaptures(t *testing.T) {
	for name, want := range map[string]converse.Usage{
		"llamacpp-text.sse": {InputTokens: 5, CacheReadInputTokens: 9, OutputTokens: 12},
		"llamacpp-tool.sse": {InputTokens: 5, CacheReadInputTokens: 289, OutputTokens: 31},
	} {
		b, err := os.ReadFile("../../dialect/openai/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		es, err := upstreamtest.Ask(t, open(t, events(string(b)), nil), true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := es[len(es)-1].Usage; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestTier: a wish for a tier that the server does not answer, as those do that know none, was not granted.
func TestTier(t *testing.T) {
	for answer, want := range map[string]string{
		``:                       "default",
		`"service_tier":null,`:   "default",
		`"service_tier":"flex",`: "flex",
	} {
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{`+answer+`"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
		}), nil)
		r := upstreamtest.Request(false, nil)
		r.Body.ServiceTier = &converse.ServiceTier{Type: "flex"}
		stream, err := p.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for e, err := range stream {
			if err != nil {
				t.Fatal(err)
			}
			if e.Served != nil {
				got = e.Served.Tier
			}
		}
		if got != want {
			t.Errorf("%q: served in %q, want %q", answer, got, want)
		}
	}
}
