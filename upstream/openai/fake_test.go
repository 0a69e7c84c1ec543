package openai

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/upstream/upstreamtest"
)

// server is a model server that is not there. It reads requests as strictly as real ones do and answers in the forms of
// one of them.
type server struct {
	flavour   string // "llama.cpp", "vLLM" or "OpenAI"
	behaviour upstreamtest.Behaviour
}

type chatRequest struct {
	Model         string        `json:"model"`
	Messages      []chatMessage `json:"messages"`
	Stream        bool          `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens   *int           `json:"max_tokens"`
	Temperature *float64       `json:"temperature"`
	TopP        *float64       `json:"top_p"`
	Stop        []string       `json:"stop"`
	Tools       []chatTool     `json:"tools"`
	ToolChoice  jsontext.Value `json:"tool_choice"`
}

type chatMessage struct {
	Role       string         `json:"role"`
	Content    jsontext.Value `json:"content"`
	ToolCallID string         `json:"tool_call_id"`
	ToolCalls  []struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

type chatTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
	} `json:"function"`
}

// check refuses what OpenAI's API reference does not allow.
func (q *chatRequest) check() string {
	open := map[string]bool{}
	for i, m := range q.Messages {
		switch {
		case m.Role == "system" && i == 0, m.Role == "user" && m.Content != nil, m.Role == "assistant":
		case m.Role == "tool" && open[m.ToolCallID]:
			continue
		default:
			return fmt.Sprintf("messages[%d] is not allowed here", i)
		}
		open = map[string]bool{}
		for _, c := range m.ToolCalls {
			if c.Type != "function" || c.ID == "" || c.Function.Name == "" || !jsontext.Value(c.Function.Arguments).IsValid() {
				return fmt.Sprintf("messages[%d].tool_calls is malformed", i)
			}
			open[c.ID] = true
		}
	}
	switch {
	case len(q.Messages) == 0:
		return "messages is empty"
	case q.Model == "":
		return "you must provide a model parameter"
	case q.Stream != (q.StreamOptions != nil && q.StreamOptions.IncludeUsage):
		return "stream_options does not fit stream"
	}
	for _, t := range q.Tools {
		if t.Type != "function" || t.Function.Name == "" || t.Function.Parameters.Kind() != '{' {
			return "tools is malformed"
		}
	}
	return ""
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, typ, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if s.flavour == "OpenAI" {
			fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":null,"code":null}}`, message, typ)
		} else {
			fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"type":%q}}`, status, message, typ)
		}
	}
	if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
		fail(404, "not_found_error", "File Not Found")
		return
	}
	body, err := io.ReadAll(r.Body)
	var q chatRequest
	if err == nil {
		err = json.Unmarshal(body, &q, json.RejectUnknownMembers(true))
	}
	if err != nil {
		fail(400, "invalid_request_error", err.Error())
		return
	}
	if bad := q.check(); bad != "" {
		fail(400, "invalid_request_error", bad)
		return
	}
	if s.behaviour.Refuses(w, func(status int) {
		if status == http.StatusTooManyRequests {
			fail(status, "rate_limit_error", "Rate limit reached")
		} else {
			fail(status, "server_error", "CUDA out of memory")
		}
	}) {
		return
	}
	pieces, tool := s.behaviour.Pieces(), ""
	if c := string(q.ToolChoice); c != "" && c != `"auto"` && c != `"none"` {
		pieces, tool = []string{`{"city"`, `: "`, `Paris`, `"}`}, q.Tools[0].Function.Name
	}
	if q.Stream {
		s.stream(r.Context(), w, pieces, tool)
	} else {
		s.whole(r.Context(), w, pieces, tool)
	}
}

const usage = `{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":4}}`

// chunk is one event's data.
func (s *server) chunk(delta, finish string) string {
	if finish == "" {
		finish = "null"
	} else {
		finish = `"` + finish + `"`
	}
	switch s.flavour {
	case "llama.cpp":
		return `{"choices":[{"finish_reason":` + finish + `,"index":0,"delta":` + delta + `}],"created":1795439810,"id":"chatcmpl-GE5g","model":"gemma","system_fingerprint":"b0","object":"chat.completion.chunk"}`
	case "OpenAI":
		return `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null,"obfuscation":"` + strings.Repeat("x", len(delta)%7) + `"}`
	}
	return `{"id":"chatcmpl-5b0c","object":"chat.completion.chunk","created":1754000000,"model":"qwen","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]}`
}

func quoted(s string) string { b, _ := jsontext.AppendQuote(nil, s); return string(b) }

func (s *server) stream(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	w.Header().Set("Content-Type", "text/event-stream")
	if s.flavour == "vLLM" {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	}
	send := func(data string) {
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	if s.flavour == "OpenAI" {
		fmt.Fprint(w, ": keep-alive\n\n")
	}
	send(s.chunk(map[string]string{"llama.cpp": `{"role":"assistant","content":null}`, "vLLM": `{"role":"assistant","content":""}`, "OpenAI": `{"role":"assistant","content":"","refusal":null}`}[s.flavour], ""))
	for i, p := range pieces {
		if s.behaviour.Ends(ctx, w, i) {
			return
		}
		switch {
		case tool == "":
			send(s.chunk(`{"content":`+quoted(p)+`}`, ""))
		case i == 0 && s.flavour == "vLLM":
			send(s.chunk(`{"tool_calls":[{"id":"chatcmpl-tool-a1","type":"function","index":0,"function":{"name":`+quoted(tool)+`}}]}`, ""))
			send(s.chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(p)+`}}]}`, ""))
		case i == 0:
			send(s.chunk(`{"tool_calls":[{"index":0,"id":"call_a1","type":"function","function":{"name":`+quoted(tool)+`,"arguments":`+quoted(p)+`}}]}`, ""))
		default:
			send(s.chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(p)+`}}]}`, ""))
		}
	}
	finish := "stop"
	if tool != "" {
		finish = "tool_calls"
	}
	last := `{}`
	if s.flavour == "vLLM" {
		last = `{"content":""}`
	}
	send(s.chunk(last, finish))
	send(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":` + usage + `}`)
	send("[DONE]")
}

func (s *server) whole(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	message, finish := `{"role":"assistant","content":`+quoted(strings.Join(pieces, ""))+`,"refusal":null}`, "stop"
	if tool != "" {
		message = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_a1","type":"function","function":{"name":` + quoted(tool) + `,"arguments":` + quoted(strings.Join(pieces, "")) + `}}]}`
		finish = "tool_calls"
	}
	body := `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":` + message + `,"logprobs":null,"finish_reason":"` + finish + `"}],"usage":` + usage + `}`
	s.behaviour.Whole(ctx, w, body)
}

// open makes a provider for h.
func open(t testing.TB, h http.Handler, change func(*Config)) *Provider {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := Config{Name: "gpu-a", BaseURL: s.URL + "/v1", APIKey: "sk-very-secret"}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}
