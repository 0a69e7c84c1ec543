package anthropic

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

// server is a Messages API that is not there. It reads requests as strictly as the real one does ("Create a Message" and
// "Token counting" in Anthropic's API reference) and answers in its forms ("Streaming messages").
type server struct {
	behaviour upstreamtest.Behaviour
}

type messagesRequest struct {
	Model         string         `json:"model"`
	MaxTokens     *int           `json:"max_tokens"`
	Messages      []turn         `json:"messages"`
	System        []block        `json:"system"`
	Stream        bool           `json:"stream"`
	Temperature   *float64       `json:"temperature"`
	TopP          *float64       `json:"top_p"`
	StopSequences []string       `json:"stop_sequences"`
	Tools         []tool         `json:"tools"`
	ToolChoice    *choice        `json:"tool_choice"`
	Thinking      jsontext.Value `json:"thinking"`
}

type turn struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

type block struct {
	Type      string         `json:"type"`
	Text      string         `json:"text"`
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Input     jsontext.Value `json:"input"`
	ToolUseID string         `json:"tool_use_id"`
	Content   []block        `json:"content"`
}

type tool struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	InputSchema jsontext.Value `json:"input_schema"`
}

type choice struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// check refuses what the API refuses.
func (q *messagesRequest) check(counting bool) string {
	switch {
	case q.Model == "":
		return "model: Field required"
	case counting && (q.MaxTokens != nil || q.Stream || q.Temperature != nil):
		return "max_tokens: Extra inputs are not permitted"
	case !counting && q.MaxTokens == nil:
		return "max_tokens: Field required"
	case len(q.Messages) == 0:
		return "messages: at least one message is required"
	case q.ToolChoice != nil && len(q.Tools) == 0:
		return "tool_choice: may only be specified while providing tools"
	}
	open := map[string]bool{}
	for i, m := range q.Messages {
		if m.Role != "user" && m.Role != "assistant" || len(m.Content) == 0 {
			return fmt.Sprintf("messages.%d: no such turn", i)
		}
		calls := map[string]bool{}
		for j, b := range m.Content {
			switch {
			case b.Type == "text" && b.Text != "":
			case b.Type == "tool_use" && b.ID != "" && b.Name != "" && b.Input.Kind() == '{':
				calls[b.ID] = true
			case b.Type == "tool_result" && open[b.ToolUseID]:
				delete(open, b.ToolUseID)
			default:
				return fmt.Sprintf("messages.%d.content.%d: no such block", i, j)
			}
		}
		if len(open) > 0 {
			return fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after", i-1)
		}
		open = calls
	}
	for i, t := range q.Tools {
		if t.Name == "" || t.InputSchema.Kind() != '{' {
			return fmt.Sprintf("tools.%d: no such tool", i)
		}
	}
	return ""
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, typ, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}`, typ, message)
	}
	counting := r.URL.Path == "/v1/messages/count_tokens"
	switch {
	case r.Method != http.MethodPost, r.URL.Path != "/v1/messages" && !counting:
		fail(404, "not_found_error", "Not Found")
		return
	case r.Header.Get("X-Api-Key") != "sk-ant-very-secret":
		fail(401, "authentication_error", "invalid x-api-key")
		return
	case r.Header.Get("Anthropic-Version") != "2023-06-01":
		fail(400, "invalid_request_error", "anthropic-version: header is required")
		return
	}
	body, err := io.ReadAll(r.Body)
	var q messagesRequest
	if err == nil {
		err = json.Unmarshal(body, &q, json.RejectUnknownMembers(true))
	}
	if err != nil {
		fail(400, "invalid_request_error", err.Error())
		return
	}
	if bad := q.check(counting); bad != "" {
		fail(400, "invalid_request_error", bad)
		return
	}
	if s.behaviour.Refuses(w, func(status int) {
		if status == http.StatusTooManyRequests {
			fail(status, "rate_limit_error", "This request would exceed your organization's rate limit")
		} else {
			fail(status, "api_error", "Internal server error")
		}
	}) {
		return
	}
	if counting {
		io.WriteString(w, `{"input_tokens":19}`)
		return
	}
	pieces, tool := s.behaviour.Pieces(), ""
	if c := q.ToolChoice; c != nil && (c.Type == "any" || c.Type == "tool") {
		pieces, tool = []string{"", `{"city"`, `: "Par`, `is"}`}, q.Tools[0].Name
	}
	if q.Stream {
		s.stream(r.Context(), w, pieces, tool)
	} else {
		s.whole(r.Context(), w, pieces, tool)
	}
}

func quoted(s string) string { b, _ := jsontext.AppendQuote(nil, s); return string(b) }

func (s *server) stream(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	send := func(name, rest string) {
		fmt.Fprintf(w, "event: %s\ndata: {\"type\":\"%s\"%s}\n\n", name, name, rest)
		w.(http.Flusher).Flush()
	}
	send("message_start", `,"message":{"id":"msg_01","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":16,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":1}}`)
	start, head, stop := `{"type":"text","text":""}`, `{"type":"text_delta","text":`, "end_turn"
	if tool != "" {
		start, head, stop = `{"type":"tool_use","id":"toolu_01","name":`+quoted(tool)+`,"input":{}}`, `{"type":"input_json_delta","partial_json":`, "tool_use"
	}
	send("content_block_start", `,"index":0,"content_block":`+start)
	send("ping", "")
	for i, p := range pieces {
		if s.behaviour.Ends(ctx, w, i) {
			return
		}
		send("content_block_delta", `,"index":0,"delta":`+head+quoted(p)+`}`+strings.Repeat(" ", i))
	}
	send("content_block_stop", `,"index":0`)
	send("message_delta", `,"delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":7}`)
	send("message_stop", "")
}

func (s *server) whole(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	content, stop := `{"type":"text","text":`+quoted(strings.Join(pieces, ""))+`}`, "end_turn"
	if tool != "" {
		content, stop = `{"type":"tool_use","id":"toolu_01","name":`+quoted(tool)+`,"input":`+strings.Join(pieces, "")+`}`, "tool_use"
	}
	body := `{"id":"msg_01","type":"message","role":"assistant","model":"claude","content":[` + content + `],"stop_reason":"` + stop + `","stop_sequence":null,"usage":{"input_tokens":16,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":7,"service_tier":"standard"}}`
	s.behaviour.Whole(ctx, w, body)
}

// open makes a provider for h.
func open(t testing.TB, h http.Handler, change func(*Config)) *Provider {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := Config{Name: "claude-eu", BaseURL: s.URL, APIKey: "sk-ant-very-secret"}
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
