package anthropic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/api/anthropic"
	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/store"
	"outcrop/upstream"
	"outcrop/wire"
)

const (
	account = "000000000000"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

// scripted is an upstream whose answer a test writes. It keeps what it was asked.
type scripted struct {
	events []converse.Event
	err    error // after the events
	mu     sync.Mutex
	asked  *upstream.Request
}

func (s *scripted) Send(_ context.Context, r *upstream.Request) (converse.Stream, error) {
	s.mu.Lock()
	s.asked = r
	s.mu.Unlock()
	if len(s.events) == 0 {
		return nil, s.err
	}
	return func(yield func(converse.Event, error) bool) {
		for _, e := range s.events {
			if !yield(e, nil) {
				return
			}
		}
		if s.err != nil {
			yield(converse.Event{}, s.err)
		}
	}, nil
}

func (*scripted) Close() error { return nil }

// rig is the service on a real directory, store, ledger and catalog, behind the server that serves it.
type rig struct {
	*httptest.Server
	people   *iam.Directory
	profiles *profile.Service
	store    *store.Store
	ledger   *ledger.Ledger
	key      string // an API key of alice, who may call models
}

func newRig(t *testing.T, up upstream.Provider) *rig {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	st, err := store.Open(ctx, filepath.Join(dir, "outcrop.db"))
	must(err)
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	must(err)
	d, err := iam.Open(ctx, iam.Config{Store: st, Sealer: sealer})
	must(err)
	must(d.EnsureRoot(ctx, account, "", ""))
	_, err = d.CreateUser(ctx, account, "alice")
	must(err)
	must(d.PutUserPolicy(ctx, account, "alice", "p", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:CallWithBearerToken","bedrock:InvokeModel*","bedrock:CountTokens","bedrock:List*"],"Resource":"*"}]}`)))
	_, key, err := d.CreateBearerKey(ctx, account, "alice", 0)
	must(err)
	cat, err := catalog.Load()
	must(err)
	rater := cost.NewRater(cat)
	l, err := ledger.New(ctx, ledger.Config{Dir: filepath.Join(dir, "journal"), Index: st, Recover: invoke.Recovered(cat, rater)})
	must(err)
	profiles, err := profile.Open(ctx, profile.Config{Store: st.Profiles(), Catalog: cat})
	must(err)
	guard := iam.NewGuard(iam.GuardConfig{})
	services, err := wire.NewServer(wire.Config{
		Services: []*wire.Service{anthropic.New(invoke.New(invoke.Config{
			Profiles: profiles, Guard: guard, Ledger: l, Rater: rater, Upstreams: []*upstream.Upstream{{Name: "a", Provider: up}}, Clock: time.Now,
		}), profiles, cat)},
		Authenticator: d.Authenticator(), Guard: guard, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	r := &rig{Server: httptest.NewServer(services), people: d, profiles: profiles, store: st, ledger: l, key: key}
	t.Cleanup(func() {
		r.Server.Close()
		if err := errors.Join(l.Close(context.Background()), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// post sends a body as the SDK does. Headers are name, value, ...; an empty value takes one away.
func (r *rig) post(t *testing.T, path, body string, headers ...string) (status int, h http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Anthropic-Version": {"2023-06-01"}, "X-Api-Key": {r.key}}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := r.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// The answer of https://docs.claude.com/en/api/messages-streaming (Basic streaming request).
func hello() []converse.Event {
	return []converse.Event{
		{Kind: converse.MessageStart, Role: converse.RoleAssistant},
		{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello", More: true},
		{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "!"},
		{Kind: converse.BlockStop},
		{Kind: converse.MessageStop, StopReason: converse.StopEndTurn},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 25, OutputTokens: 15}},
	}
}

const ask = `{"model":"` + haiku + `","max_tokens":256,"messages":[{"role":"user","content":"Hello"}]`

// TestMessages holds a whole answer against the shape of https://docs.claude.com/en/api/messages.
func TestMessages(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	up.events = hello()
	status, h, body := r.post(t, "/anthropic/v1/messages", ask+`}`)
	var got struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		Role       string `json:"role"`
		Model      string `json:"model"`
		StopReason string `json:"stop_reason"`
		Content    []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		Usage struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	if !strings.HasPrefix(got.ID, "msg_") || got.Type != "message" || got.Role != "assistant" || got.Model != "claude-3-haiku-20240307" ||
		got.StopReason != "end_turn" || len(got.Content) != 1 || got.Content[0].Type != "text" || got.Content[0].Text != "Hello!" || got.Usage.Input != 25 || got.Usage.Output != 15 {
		t.Errorf("got %s", body)
	}
	if id := h.Get("request-id"); len(id) != 36 || id != h.Get("x-amzn-requestid") || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	if h.Get("X-Outcrop-Served-Region") != "us-east-1" || h.Get("X-Outcrop-Upstream") != "a" || h.Get("X-Outcrop-Attempts") != "1" {
		t.Errorf("headers %v", h)
	}
	// It is in the ledger like every other call.
	if err := r.ledger.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range r.store.Calls(t.Context(), account, time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e.Intent.ID.String() != h.Get("request-id") || e.Operation != "Messages" || e.Principal != "arn:aws:iam::"+account+":user/alice" ||
			!strings.HasPrefix(e.AccessKeyID, "ACCA") || e.Region != "us-east-1" || e.Usage.InputTokens != 25 || e.Usage.OutputTokens != 15 {
			t.Errorf("%+v", e)
		}
	}
	if n != 1 {
		t.Errorf("%d calls in the ledger", n)
	}
}

// TestStream: the events, their names and their order are those of https://docs.claude.com/en/api/messages-streaming.
func TestStream(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	up.events = hello()
	status, h, body := r.post(t, "/anthropic/v1/messages?beta=true", ask+`,"stream":true}`)
	if h.Get("X-Outcrop-Served-Region") != "us-east-1" || h.Get("X-Outcrop-Upstream") != "a" || h.Get("X-Outcrop-Attempts") != "1" {
		t.Errorf("headers %v", h)
	}
	if status != 200 || h.Get("Content-Type") != "text/event-stream; charset=utf-8" || h.Get("request-id") == "" {
		t.Fatalf("%d %v %s", status, h, body)
	}
	want := []struct{ name, data string }{
		{"message_start", `"role":"assistant","content":[],"stop_reason":null`},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"!"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":25,`},
		{"message_stop", `{"type":"message_stop"}`},
	}
	frames := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
	if len(frames) != len(want) {
		t.Fatalf("%d events: %s", len(frames), body)
	}
	for i, f := range frames {
		data, ok := strings.CutPrefix(f, "event: "+want[i].name+"\ndata: ")
		exact := strings.HasSuffix(want[i].data, "}") && i > 0
		if !ok || !strings.Contains(data, want[i].data) || exact && data != want[i].data || !jsontext.Value(data).IsValid() {
			t.Errorf("event %d is %q", i, f)
		}
	}
}

// TestRequest: what a body and its headers say reaches the upstream.
func TestRequest(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	up.events = hello()
	status, _, body := r.post(t, "/anthropic/v1/messages", ask+`,"system":"Be brief.","temperature":0.5,"stop_sequences":["x"],"thinking":{"type":"enabled","budget_tokens":1024},"anthropic_beta":["a-1"],
		"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"auto"},"metadata":{"user_id":"u"}}`, "Anthropic-Beta", "b-2, a-1,c-3")
	if status != 200 {
		t.Fatal(body)
	}
	q := up.asked.Body
	var extra struct {
		Beta     []string `json:"anthropic_beta"`
		Thinking struct {
			Budget int `json:"budget_tokens"`
		} `json:"thinking"`
		Metadata struct {
			User string `json:"user_id"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(q.AdditionalModelRequestFields, &extra); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(extra.Beta) != "[a-1 b-2 c-3]" || extra.Thinking.Budget != 1024 || extra.Metadata.User != "u" {
		t.Errorf("additional fields %s", q.AdditionalModelRequestFields)
	}
	if *q.InferenceConfig.MaxTokens != 256 || *q.InferenceConfig.Temperature != 0.5 || q.InferenceConfig.StopSequences[0] != "x" || *q.System[0].Text != "Be brief." ||
		*q.Messages[0].Content[0].Text != "Hello" || q.ToolConfig.Tools[0].ToolSpec.Name != "f" || q.ToolConfig.ToolChoice.Auto == nil || up.asked.Stream {
		t.Errorf("asked %+v", q)
	}
}

// TestErrors: types and statuses are those of https://docs.claude.com/en/api/errors; the texts of what is wrong with a
// body are those that the API was seen to give.
func TestErrors(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	bob := func() string {
		if _, err := r.people.CreateUser(t.Context(), account, "bob"); err != nil {
			t.Fatal(err)
		}
		_, key, err := r.people.CreateBearerKey(t.Context(), account, "bob", 1)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}()
	const path = "/anthropic/v1/messages"
	for _, c := range []struct {
		name, path, body string
		headers          []string
		up               error // what the upstream says
		status           int
		kind, message    string
	}{
		{name: "no key", headers: []string{"X-Api-Key", ""}, status: 401, kind: "authentication_error", message: "x-api-key header is required"},
		{name: "a wrong key", headers: []string{"X-Api-Key", "sk-ant-api03-x"}, status: 401, kind: "authentication_error", message: "Authentication failed: Please make sure your API Key is valid."},
		{name: "Authorization comes first", headers: []string{"Authorization", "Bearer x"}, status: 401, kind: "authentication_error", message: "Authentication failed: Please make sure your API Key is valid."},
		{name: "the key as a bearer token", headers: []string{"X-Api-Key", "", "Authorization", "Bearer " + r.key}, up: fault.New(fault.Throttled, "Too many requests."), status: 429, kind: "rate_limit_error", message: "Too many requests."},
		{name: "denied", headers: []string{"X-Api-Key", bob}, status: 403, kind: "permission_error",
			message: "User: arn:aws:iam::000000000000:user/bob is not authorized to perform: bedrock:CallWithBearerToken on resource: * because no identity-based policy allows the bedrock:CallWithBearerToken action"},
		{name: "no JSON", body: `{`, status: 400, kind: "invalid_request_error", message: "The request body is not valid JSON."},
		{name: "no object", body: `[]`, status: 400, kind: "invalid_request_error", message: "body: Input should be a valid dictionary"},
		{name: "empty", body: ` `, status: 400, kind: "invalid_request_error", message: "The request body is not valid JSON."},
		{name: "no model", body: `{}`, status: 400, kind: "invalid_request_error", message: "model: Field required"},
		{name: "model null", body: `{"model":null}`, status: 400, kind: "invalid_request_error", message: "model: Input should be a valid string"},
		{name: "model empty", body: `{"model":""}`, status: 400, kind: "invalid_request_error", message: "model: String should have at least 1 character"},
		{name: "no messages", body: `{"model":"` + haiku + `"}`, status: 400, kind: "invalid_request_error", message: "messages: Field required"},
		{name: "no max_tokens", body: `{"model":"` + haiku + `","messages":[]}`, status: 400, kind: "invalid_request_error", message: "max_tokens: Field required"},
		{name: "stream", body: ask + `,"stream":"yes"}`, status: 400, kind: "invalid_request_error", message: "stream: Input should be a valid boolean"},
		{name: "a type", body: ask + `,"stop_sequences":"x"}`, status: 400, kind: "invalid_request_error", message: "stop_sequences: Input should be a valid list"},
		{name: "a deep type", body: `{"model":"` + haiku + `","max_tokens":1,"messages":[{"role":1}]}`, status: 400, kind: "invalid_request_error", message: "messages.0.role: Input should be a valid string"},
		{name: "a role", body: `{"model":"` + haiku + `","max_tokens":1,"messages":[{"role":"x","content":"a"}]}`, status: 400, kind: "invalid_request_error", message: "messages.0.role: Input should be 'user' or 'assistant'"},
		{name: "an unknown model", body: `{"model":"claude-none","max_tokens":1,"messages":[{"role":"user","content":"a"}]}`, status: 404, kind: "not_found_error", message: "model: claude-none"},
		{name: "nothing there", path: "/anthropic/v1/complete", status: 404, kind: "not_found_error", message: "No operation matches POST /anthropic/v1/complete."},
		{name: "overloaded", up: fault.New(fault.Unavailable, "Later."), status: 529, kind: "overloaded_error", message: "Later."},
		{name: "a timeout", body: ask + `,"stream":true}`, up: fault.New(fault.ModelTimeout, "Too slow."), status: 504, kind: "timeout_error", message: "Too slow."},
		{name: "a mistake", up: errors.New("secret"), status: 500, kind: "api_error", message: "The system encountered an unexpected error during processing. Try your request again."},
	} {
		t.Run(c.name, func(t *testing.T) {
			up.err = c.up
			if c.path == "" {
				c.path = path
			}
			if c.body == "" {
				c.body = ask + `}`
			}
			status, h, body := r.post(t, c.path, strings.TrimSpace(c.body), c.headers...)
			want := fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":%q}`, c.kind, c.message, h.Get("request-id"))
			if status != c.status || body != want || h.Get("Content-Type") != "application/json" || h.Get("request-id") == "" {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, want)
			}
		})
	}
}

// TestStreamBreaks: what goes wrong after the first event is the last one.
// Source: https://docs.claude.com/en/api/messages-streaming (Error events)
func TestStreamBreaks(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	up.events, up.err = hello()[:2], fault.New(fault.ModelStream, "It broke.")
	status, h, body := r.post(t, "/anthropic/v1/messages", ask+`,"stream":true}`)
	want := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"It broke.\"},\"request_id\":\"" + h.Get("request-id") + "\"}\n\n"
	if status != 200 || !strings.HasSuffix(body, want) || strings.Count(body, "event: ") != 4 {
		t.Errorf("%d %s", status, body)
	}
}

// speaker is an upstream that takes the API's own bodies.
type speaker struct{ scripted }

func (*speaker) Speaks(n *upstream.Native) bool { return n.Format == "anthropic" }

var _ upstream.Speaker = (*speaker)(nil)

// counter is one that counts.
type counter struct{ scripted }

func (*counter) CountTokens(_ context.Context, r *upstream.Request) (int64, error) {
	return int64(len(r.Native.Body)), nil
}

// TestPassedOn: a body goes as it is to an upstream that speaks the format, also one that cannot be read here, and so does
// the answer.
func TestPassedOn(t *testing.T) {
	up := &speaker{}
	r := newRig(t, up)
	const unread = `{"model":"` + haiku + `","max_tokens":1,"messages":[{"role":"user","content":[{"type":"hologram","depth":3}]}]`
	up.events = []converse.Event{
		{Kind: converse.Chunk, Native: []byte(`{"type":"message","id":"msg_1","content":[{"type":"hologram"}]}`), Name: "application/json"},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 25, OutputTokens: 15}},
	}
	status, _, body := r.post(t, "/anthropic/v1/messages", unread+`}`, "Anthropic-Beta", "holo-2026-01-01")
	if status != 200 || body != `{"type":"message","id":"msg_1","content":[{"type":"hologram"}]}` {
		t.Errorf("%d %s", status, body)
	}
	if up.asked == nil {
		t.Fatal("it was not asked")
	}
	if n := up.asked.Native; up.asked.Body != nil || n.Format != "anthropic" || string(n.Body) != unread+`}` || n.Header["Anthropic-Beta"] != "holo-2026-01-01" || n.Operation != "Messages" {
		t.Errorf("asked %+v", up.asked)
	}
	up.events = []converse.Event{
		{Kind: converse.Chunk, Native: []byte(`{"message":{},"type":"message_start"}`), Name: "message_start"},
		{Kind: converse.Chunk, Native: []byte("{\n}"), Name: "ping", More: true},
		{Kind: converse.Metadata, Native: []byte(`{"type":"message_stop"}`), Name: "message_stop", Usage: converse.Usage{InputTokens: 25, OutputTokens: 15}},
	}
	const want = "event: message_start\ndata: {\"message\":{},\"type\":\"message_start\"}\n\nevent: ping\ndata: {\ndata: }\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	status, _, body = r.post(t, "/anthropic/v1/messages", unread+`,"stream":true}`)
	if status != 200 || body != want || !up.asked.Stream {
		t.Errorf("%d %q", status, body)
	}
	// Metadata without an event of its own says nothing more.
	up.events = append(up.events[:2:2], converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 25, OutputTokens: 15}})
	if _, _, body = r.post(t, "/anthropic/v1/messages", unread+`,"stream":true}`); body != want[:strings.Index(want, "event: message_stop")] {
		t.Errorf("%q", body)
	}
}

// TestCountTokens: https://docs.claude.com/en/api/messages-count-tokens
func TestCountTokens(t *testing.T) {
	const body = `{"model":"` + haiku + `","messages":[{"role":"user","content":"Hello, world"}]}`
	up := &counter{}
	for name, c := range map[string]struct {
		up   upstream.Provider
		body string
		want string
	}{
		"estimated":      {&scripted{}, body, `{"input_tokens":7}`}, // 4 for the turn, and Hello / , / world
		"counted":        {up, body, fmt.Sprintf(`{"input_tokens":%d}`, len(body))},
		"no messages":    {up, `{"model":"` + haiku + `"}`, `"message":"messages: Field required"`},
		"nothing to ask": {up, `{`, `"message":"The request body is not valid JSON."`},
	} {
		r := newRig(t, c.up)
		if _, _, got := r.post(t, "/anthropic/v1/messages/count_tokens", c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if status, _, got := r.post(t, "/anthropic/v1/messages/count_tokens", c.body, "X-Api-Key", ""); status != 401 {
			t.Errorf("%s: without a key: %d %s", name, status, got)
		}
		for e := range r.store.Calls(t.Context(), account, time.Time{}, 0) {
			t.Errorf("%s: counting is in the ledger: %+v", name, e)
		}
	}
}

// TestTooLarge: the bound is that of https://docs.claude.com/en/api/errors, and nothing of such a body is read.
func TestTooLarge(t *testing.T) {
	r := newRig(t, &scripted{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/anthropic/v1/messages", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	body, w := io.Pipe()
	defer w.Close()
	req.Body, req.ContentLength = body, 32<<20+1
	req.Header.Set("X-Api-Key", r.key)
	req.Header.Set("Expect", "100-continue")
	resp, err := r.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 413 || !strings.Contains(string(text), `{"type":"error","error":{"type":"request_too_large",`) {
		t.Errorf("%d %s %v", resp.StatusCode, text, err)
	}
}

// get asks for one of the lists.
func (r *rig) get(t *testing.T, path string, headers ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", r.key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestModels walks the list as the SDK's pager does: https://docs.claude.com/en/api/models-list
func TestModels(t *testing.T) {
	r := newRig(t, &scripted{})
	p, err := r.profiles.Create(t.Context(), account, "us-east-1", profile.CreateRequest{Name: "team-a", Source: "arn:aws:bedrock:us-east-1::foundation-model/" + haiku})
	if err != nil {
		t.Fatal(err)
	}
	type list struct {
		Data []struct {
			Type        string    `json:"type"`
			ID          string    `json:"id"`
			DisplayName string    `json:"display_name"`
			CreatedAt   time.Time `json:"created_at"`
		} `json:"data"`
		FirstID string `json:"first_id"`
		LastID  string `json:"last_id"`
		HasMore bool   `json:"has_more"`
	}
	page := func(query string) (l list) {
		t.Helper()
		status, body := r.get(t, "/anthropic/v1/models"+query)
		if err := json.Unmarshal([]byte(body), &l); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		if n := len(l.Data); n > 0 && (l.FirstID != l.Data[0].ID || l.LastID != l.Data[n-1].ID) || n == 0 && l.FirstID+l.LastID != "" {
			t.Errorf("%s: from %q to %q", query, l.FirstID, l.LastID)
		}
		return l
	}
	all := page("?limit=1000")
	seen := map[string]bool{}
	for _, m := range all.Data {
		if m.Type != "model" || m.DisplayName == "" || m.CreatedAt.IsZero() || seen[m.ID] {
			t.Errorf("%+v", m)
		}
		seen[m.ID] = true
	}
	if all.HasMore || all.Data[0].ID != p.ARN || all.Data[0].DisplayName != "team-a" || !seen[haiku] || !seen["us."+haiku] || seen["amazon.titan-embed-text-v2:0"] {
		t.Errorf("%d models, the first is %+v", len(all.Data), all.Data[0])
	}
	n := 0
	for after := ""; ; {
		l := page("?limit=7&after_id=" + url.QueryEscape(after))
		for i := range l.Data {
			if l.Data[i].ID != all.Data[n+i].ID {
				t.Errorf("at %d: %s, want %s", n+i, l.Data[i].ID, all.Data[n+i].ID)
			}
		}
		n += len(l.Data)
		if after = l.LastID; !l.HasMore {
			break
		}
	}
	if n != len(all.Data) {
		t.Errorf("%d models in pages, %d at once", n, len(all.Data))
	}
	if l := page(""); len(l.Data) != 20 || !l.HasMore {
		t.Errorf("a page has %d", len(l.Data))
	}
	if l := page("?limit=2&before_id=" + url.QueryEscape(all.Data[5].ID)); len(l.Data) != 2 || l.Data[0].ID != all.Data[3].ID || !l.HasMore {
		t.Errorf("before the sixth: %+v", l)
	}
	if l := page("?before_id=" + url.QueryEscape(all.Data[2].ID) + "&after_id=" + url.QueryEscape(all.Data[4].ID)); len(l.Data) != 0 || l.HasMore {
		t.Errorf("between nothing: %+v", l)
	}
	for path, want := range map[string]string{
		"/anthropic/v1/models/" + haiku:                 `{"type":"model","id":"` + haiku + `","display_name":"Claude 3 Haiku","created_at":"1970-01-01T00:00:00Z",`,
		"/anthropic/v1/models/" + url.PathEscape(p.ARN): `{"type":"model","id":"` + p.ARN + `","display_name":"team-a",`,
		"/anthropic/v1/models/team-a":                   `{"type":"model","id":"` + p.ARN + `"`,
		"/anthropic/v1/models/claude-none":              `{"type":"error","error":{"type":"not_found_error","message":"model: claude-none"}`,
		"/anthropic/v1/models?limit=0":                  `{"type":"error","error":{"type":"invalid_request_error",`,
		"/anthropic/v1/models?after_id=x":               `{"type":"error","error":{"type":"invalid_request_error","message":"after_id: `,
		"/anthropic/v1/models?before_id=x":              `{"type":"error","error":{"type":"invalid_request_error","message":"before_id: `,
	} {
		if _, body := r.get(t, path); !strings.HasPrefix(body, want) {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}
	if status, body := r.get(t, "/anthropic/v1/models", "X-Api-Key", "x"); status != 401 {
		t.Errorf("a wrong key: %d %s", status, body)
	}
}
