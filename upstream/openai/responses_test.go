package openai

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/upstreamtest"
)

// responsesServer is a server of the Responses API that is not there. It reads requests strictly, and answers in the forms of
// OpenAI's API reference ("Create a model response", "Streaming events").
type responsesServer struct{ behaviour upstreamtest.Behaviour }

type responsesRequest struct {
	Model        string          `json:"model"`
	Store        *bool           `json:"store"`
	Stream       bool            `json:"stream"`
	Instructions string          `json:"instructions"`
	Input        []responsesItem `json:"input"`
	MaxTokens    *int            `json:"max_output_tokens"`
	Temperature  *float64        `json:"temperature"`
	Tools        []struct {
		Type        string         `json:"type"`
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
		Strict      *bool          `json:"strict"`
	} `json:"tools"`
	ToolChoice jsontext.Value `json:"tool_choice"`
}

type responsesItem struct {
	Type    string `json:"type"`
	Role    string `json:"role"`
	Content []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	} `json:"content"`
	CallID    string         `json:"call_id"`
	Name      string         `json:"name"`
	Arguments string         `json:"arguments"`
	Output    jsontext.Value `json:"output"`
}

func (q *responsesRequest) check() string {
	calls := map[string]bool{}
	for i, it := range q.Input {
		switch it.Type {
		case "message":
			want := map[string]string{"user": "input_text", "assistant": "output_text"}[it.Role]
			for _, c := range it.Content {
				if c.Type != want || c.Text == nil {
					return fmt.Sprintf("Invalid value: '%s' of input[%d]", c.Type, i)
				}
			}
			if want == "" || len(it.Content) == 0 {
				return fmt.Sprintf("input[%d] is malformed", i)
			}
		case "function_call":
			if it.CallID == "" || it.Name == "" || !jsontext.Value(it.Arguments).IsValid() {
				return fmt.Sprintf("input[%d] is malformed", i)
			}
			calls[it.CallID] = true
		case "function_call_output":
			if !calls[it.CallID] || it.Output.Kind() != '"' {
				return "No tool call found for function call output with call_id " + it.CallID
			}
		default:
			return "Invalid value: '" + it.Type + "'"
		}
	}
	for _, f := range q.Tools {
		if f.Type != "function" || f.Name == "" || f.Parameters.Kind() != '{' || f.Strict == nil {
			return "tools is malformed"
		}
	}
	switch {
	case q.Model == "":
		return "you must provide a model parameter"
	case len(q.Input) == 0:
		return "input is empty"
	case q.Store == nil || *q.Store:
		return "store is not false"
	}
	return ""
}

func (s *responsesServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, typ, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":null,"code":null}}`, message, typ)
	}
	body, err := io.ReadAll(r.Body)
	var q responsesRequest
	if err == nil {
		err = json.Unmarshal(body, &q, json.RejectUnknownMembers(true))
	}
	if r.URL.Path != "/v1/responses" || r.Method != http.MethodPost {
		fail(404, "invalid_request_error", "Invalid URL")
		return
	}
	bad := q.check()
	if err != nil {
		bad = err.Error()
	}
	if bad != "" {
		fail(400, "invalid_request_error", bad)
		return
	}
	if s.behaviour.Refuses(w, func(status int) {
		if status == http.StatusTooManyRequests {
			fail(status, "tokens", "Rate limit reached")
		} else {
			fail(status, "server_error", "The server had an error while processing your request.")
		}
	}) {
		return
	}
	pieces, tool := s.behaviour.Pieces(), ""
	if string(q.ToolChoice) == `"required"` {
		pieces, tool = []string{`{"city"`, `: "`, `Paris`, `"}`}, q.Tools[0].Name
	}
	text := quoted(strings.Join(pieces, ""))
	item := `{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":` + text + `,"annotations":[]}]}`
	begun, delta := `{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}`, "response.output_text.delta"
	if tool != "" {
		item = `{"id":"fc_1","type":"function_call","call_id":"call_1","name":` + quoted(tool) + `,"arguments":` + text + `}`
		begun, delta = strings.Replace(item, text, `""`, 1), "response.function_call_arguments.delta"
	}
	response := func(status, output, usage string) string {
		return `{"id":"resp_1","object":"response","created_at":1741290958,"status":"` + status + `","error":null,"incomplete_details":null,"model":"gpt-4.1-2025-04-14","output":[` + output + `],"store":false,"usage":` + usage + `}`
	}
	whole := response("completed", item, `{"input_tokens":20,"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":27}`)
	if !q.Stream {
		s.behaviour.Whole(r.Context(), w, whole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	send := func(kind, rest string) {
		fmt.Fprintf(w, "event: %s\ndata: {\"type\":%q,%s}\n\n", kind, kind, rest)
		w.(http.Flusher).Flush()
	}
	send("response.created", `"response":`+response("in_progress", "", "null"))
	send("response.in_progress", `"response":`+response("in_progress", "", "null"))
	send("response.output_item.added", `"output_index":0,"item":`+begun)
	for i, p := range pieces {
		if s.behaviour.Ends(r.Context(), w, i) {
			return
		}
		send(delta, `"output_index":0,"content_index":0,"delta":`+quoted(p))
	}
	send("response.output_item.done", `"output_index":0,"item":`+item)
	send("response.completed", `"response":`+whole)
}

func asResponses(c *Config) { c.API = Responses }

func TestResponses(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T, b upstreamtest.Behaviour) upstream.Provider {
		return open(t, &responsesServer{b}, asResponses)
	})
}

func TestResponsesServer(t *testing.T) {
	upstreamtest.RunServer(t, upstreamtest.Server{
		Open: func(t *testing.T, u string, c client.Config) upstream.Provider {
			p, err := New(Config{Name: "gpu-a", BaseURL: u, APIKey: "sk-very-secret", Client: c, API: Responses})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		ContentType: "text/event-stream",
		Start:       "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"output\":[]}}\n\n",
		Text:        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"Hel\"}\n\n",
		End:         "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n",
		Whole:       `{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hello"}]}]}`,
		Refusal:     `{"error":{"message":"no"}}`,
	})
}

// TestResponsesRecorded plays what OpenAI's documents say that it answers, whole and passed on.
func TestResponsesRecorded(t *testing.T) {
	for name, want := range map[string]converse.Usage{
		"responses-text.sse": {InputTokens: 37, OutputTokens: 11},
		"responses-tool.sse": {InputTokens: 291, OutputTokens: 23},
	} {
		file, err := os.ReadFile("../../dialect/openai/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		es, err := upstreamtest.Ask(t, open(t, events(string(file)), asResponses), true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if last := es[len(es)-1]; last.Usage != want || last.Estimated {
			t.Errorf("%s: %+v, want %+v", name, last, want)
		}
		// The same as a caller of Responses gets it: every event under its name, and the model under the caller's.
		var sent string
		p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			sent = string(b)
			events(string(file))(w, r)
		}), asResponses)
		r := chatRequestOf(true, `{"model":"p","input":"Hi","store":true,"stream":true,"tools":[{"type":"web_search"}]}`)
		r.Native.Format, r.Native.Operation = "openai-responses", "Responses"
		s, err := p.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		var last converse.Event
		for e, err := range s {
			if err != nil {
				t.Fatal(err)
			}
			if e.Native != nil {
				got += "event: " + e.Name + "\ndata: " + string(e.Native) + "\n\n"
			}
			last = e
		}
		if want := strings.ReplaceAll(string(file), "gpt-4.1-2025-04-14", "openai.gpt-oss-20b-1:0"); got != want {
			t.Errorf("%s: passed on\n%s\nwant\n%s", name, got, want)
		}
		if last.Kind != converse.Metadata || last.Usage != want || last.Estimated || last.Name != "response.completed" {
			t.Errorf("%s: %+v", name, last)
		}
		if sent != `{"model":"gpt-4o-mini","stream":true,"store":false,"input":"Hi","tools":[{"type":"web_search"}]}` {
			t.Errorf("sent %s", sent)
		}
	}
	file, err := os.ReadFile("../../dialect/openai/testdata/responses-reasoning.json")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(file) }), asResponses)
	r := chatRequestOf(false, `{"model":"p","input":"How much wood would a woodchuck chuck?"}`)
	r.Native.Format = "openai-responses"
	pieces, last, err := passed(t, p, r)
	if err != nil || len(pieces) != 1 || pieces[0] != strings.Replace(string(file), "o1-2024-12-17", "openai.gpt-oss-20b-1:0", 1) {
		t.Errorf("%s, %v", pieces, err)
	}
	if last.Usage != (converse.Usage{InputTokens: 17, CacheReadInputTokens: 64, OutputTokens: 1035}) {
		t.Errorf("%+v", last)
	}
	r.Native.Body = []byte(`{"input":"a","previous_response_id":"resp_1"}`)
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Validation) {
		t.Errorf("an earlier response: %v", err)
	}
	r.Native.Format = "openai-chat" // which is translated, or not at all
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "OpenAI's Responses") {
		t.Errorf("Chat Completions: %v", err)
	}
}

// TestResponsesFails: a stream that says that it has failed, and one that ends without its end.
func TestResponsesFails(t *testing.T) {
	const greeting = `data: {"type":"response.created","response":{"status":"in_progress","output":[]}}` + "\n\n"
	const text = `data: {"type":"response.output_text.delta","output_index":0,"delta":"Hel"}` + "\n\n"
	const completed = `data: {"type":"response.completed","response":{"status":"completed","output":[]}}` + "\n\n"
	for name, c := range map[string]struct {
		stream string
		kind   fault.Kind
	}{
		"failed":       {greeting + `data: {"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"Slowly."}}}` + "\n\n", fault.Throttled},
		"failed later": {greeting + text + `data: {"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"It broke."}}}` + "\n\n", fault.ModelStream},
		"our fault":    {greeting + `data: {"type":"error","code":"invalid_prompt","message":"Not that.","param":null}` + "\n\n", fault.Validation},
		"greeted":      {greeting, fault.Unavailable},
		"cut":          {greeting + text, fault.ModelStream},
		"no response":  {greeting + "data: <html>\n\n", fault.ModelError},
	} {
		for _, native := range []bool{false, true} {
			p := open(t, events(c.stream), asResponses)
			var err error
			if native {
				r := chatRequestOf(true, `{"input":"a"}`)
				r.Native.Format = "openai-responses"
				_, _, err = passed(t, p, r)
			} else {
				_, err = upstreamtest.Ask(t, p, true)
			}
			if !fault.Is(err, c.kind) {
				t.Errorf("%s, native %t: %v", name, native, err)
			}
		}
	}
	// The usage that a server leaves out is an estimate.
	es, err := upstreamtest.Ask(t, open(t, events(greeting+text+completed), asResponses), true)
	if err != nil {
		t.Fatal(err)
	}
	last := es[len(es)-1]
	if want := upstreamtest.Request(true, nil).Body.EstimateInputTokens(); !last.Estimated || last.Usage.InputTokens != want || last.Usage.OutputTokens < 1 {
		t.Errorf("%+v, want an estimate of %d tokens in", last, want)
	}
	// One that goes on after its end is not waited for.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, greeting+text+completed)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}), asResponses)
	if n, err := count(ctx, p); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
}

func count(ctx context.Context, p *Provider) (n int, err error) {
	s, err := p.Send(ctx, upstreamtest.Request(true, nil))
	if err != nil {
		return 0, err
	}
	for _, err := range s {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
