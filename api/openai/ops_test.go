package openai_test

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
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/api/openai"
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
	gpt     = "openai.gpt-oss-20b-1:0"
	titan   = "amazon.titan-embed-text-v2:0"
)

// scripted is an upstream whose answer a test writes. It keeps what it was asked.
type scripted struct {
	events  []converse.Event
	err     error // after the events
	vectors *converse.Embeddings
	speaks  string // the format that it passes on
	mu      sync.Mutex
	asked   *upstream.Request
}

func (s *scripted) ask(r *upstream.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = r
}

func (s *scripted) Send(_ context.Context, r *upstream.Request) (converse.Stream, error) {
	s.ask(r)
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

func (s *scripted) Embed(_ context.Context, r *upstream.Request) (*converse.Embeddings, error) {
	s.ask(r)
	return s.vectors, s.err
}

func (s *scripted) Speaks(n *upstream.Native) bool { return n.Format == s.speaks }

func (*scripted) Close() error { return nil }

var (
	_ upstream.Speaker  = (*scripted)(nil)
	_ upstream.Embedder = (*scripted)(nil)
)

// rig is the service on a real directory, store, ledger and catalog, behind the server that serves it.
type rig struct {
	*httptest.Server
	people   *iam.Directory
	profiles *profile.Service
	store    *store.Store
	ledger   *ledger.Ledger
	key      string // an API key of alice, who may call and list models
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
	r := &rig{people: d, store: st}
	r.key = r.user(t, "alice", `"bedrock:InvokeModel*","bedrock:List*"`)
	cat, err := catalog.Load()
	must(err)
	rater := cost.NewRater(cat)
	r.ledger, err = ledger.New(ctx, ledger.Config{Dir: filepath.Join(dir, "journal"), Index: st, Recover: invoke.Recovered(cat, rater)})
	must(err)
	r.profiles, err = profile.Open(ctx, profile.Config{Store: st.Profiles(), Catalog: cat})
	must(err)
	guard := iam.NewGuard(iam.GuardConfig{})
	v := invoke.New(invoke.Config{
		Profiles: r.profiles, Guard: guard, Ledger: r.ledger, Rater: rater, Upstreams: []*upstream.Upstream{{Name: "a", Provider: up}}, Clock: time.Now,
	})
	services, err := wire.NewServer(wire.Config{
		Services: []*wire.Service{openai.New(v, r.profiles, cat)}, Authenticator: d.Authenticator(), Guard: guard, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	r.Server = httptest.NewServer(services)
	t.Cleanup(func() {
		r.Server.Close()
		if err := errors.Join(r.ledger.Close(context.Background()), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// user makes a user who may do actions and returns an API key of theirs.
func (r *rig) user(t *testing.T, name, actions string) (key string) {
	t.Helper()
	_, err := r.people.CreateUser(t.Context(), account, name)
	if err == nil {
		err = r.people.PutUserPolicy(t.Context(), account, name, "p", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:CallWithBearerToken",`+actions+`],"Resource":"*"}]}`))
	}
	if err == nil {
		_, key, err = r.people.CreateBearerKey(t.Context(), account, name, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (r *rig) send(t *testing.T, method, path, key, body string) (status int, h http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
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

func (r *rig) post(t *testing.T, path, body string) (status int, h http.Header, answer string) {
	t.Helper()
	return r.send(t, http.MethodPost, path, r.key, body)
}

func hello() []converse.Event {
	return []converse.Event{
		{Kind: converse.MessageStart, Role: converse.RoleAssistant},
		{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello", More: true},
		{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "!"},
		{Kind: converse.BlockStop},
		{Kind: converse.MessageStop, StopReason: converse.StopEndTurn},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 25, OutputTokens: 15, CacheReadInputTokens: 5}},
	}
}

const (
	ask   = `{"model":"` + gpt + `","messages":[{"role":"user","content":"Hello"}]`
	input = `{"model":"` + gpt + `","input":"Hello"`
)

// masked hides what differs from call to call: ids, times and the repeated request.
func masked(s string) string {
	s = regexp.MustCompile(`(chatcmpl-|resp_|msg_)[0-9a-f]{32}`).ReplaceAllString(s, "${1}ID")
	s = regexp.MustCompile(`"created(_at)?":[0-9]+`).ReplaceAllString(s, `"created$1":0`)
	return regexp.MustCompile(`"previous_response_id":.*?,"user":null`).ReplaceAllString(s, `"echo":0`)
}

// TestChat: an application profile is named by its id, its ARN and its name, on the paths of bedrock-runtime and of
// bedrock-mantle; each call is in the ledger with the profile's tags.
func TestChat(t *testing.T) {
	up := &scripted{events: hello()}
	r := newRig(t, up)
	p, err := r.profiles.Create(t.Context(), account, "us-east-1", profile.CreateRequest{
		Name: "team-a", Source: "arn:aws:bedrock:us-east-1::foundation-model/" + gpt, Tags: []profile.Tag{{Key: "team", Value: "a"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"chatcmpl-ID","object":"chat.completion","created":0,"model":"` + gpt + `","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":15,"total_tokens":45,"prompt_tokens_details":{"cached_tokens":5}}}`
	names := []string{gpt, p.ID, p.ARN, p.Name}
	for i, path := range []string{"/openai/v1/chat/completions", "/v1/chat/completions", "/openai/v1/chat/completions", "/v1/chat/completions"} {
		status, h, body := r.post(t, path, strings.Replace(ask, gpt, names[i], 1)+`,"max_tokens":7}`)
		if status != 200 || masked(body) != want || h.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s", status, body)
		}
		if id := h.Get("X-Request-Id"); len(id) != 36 || id != h.Get("X-Amzn-Requestid") || !strings.Contains(body, strings.ReplaceAll(id, "-", "")) {
			t.Errorf("request id %q of %s", id, body)
		}
		if h.Get("X-Outcrop-Served-Region") != "us-east-1" || h.Get("X-Outcrop-Upstream") != "a" || h.Get("X-Outcrop-Attempts") != "1" {
			t.Errorf("headers %v", h)
		}
		if q := up.asked; q.Stream || *q.Body.Messages[0].Content[0].Text != "Hello" || *q.Body.InferenceConfig.MaxTokens != 7 {
			t.Errorf("asked %+v", q.Body)
		}
	}
	if err := r.ledger.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, tagged := 0, 0
	for e, err := range r.store.Calls(t.Context(), account, time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e.Operation != "ChatCompletions" || e.Usage.InputTokens != 25 || e.Usage.CacheReadInputTokens != 5 || e.Usage.OutputTokens != 15 {
			t.Errorf("%+v", e)
		}
		if e.ResourceARN == p.ARN && len(e.Tags) == 1 && e.Tags[0].Value == "a" {
			tagged++
		}
	}
	if n != 4 || tagged != 3 {
		t.Errorf("%d calls, %d of the profile", n, tagged)
	}
}

// TestChatStream: server-sent events as https://platform.openai.com/docs/api-reference/chat-streaming has them.
func TestChatStream(t *testing.T) {
	up := &scripted{events: hello()}
	r := newRig(t, up)
	chunk := func(rest string) string {
		return `data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":0,"model":"` + gpt + `","choices":[` + rest + "}\n\n"
	}
	choice := func(delta, finish string) string {
		return `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null`
	}
	want := chunk(choice(`{"role":"assistant","content":"","refusal":null}`, `null`)) + chunk(choice(`{"content":"Hello"}`, `null`)) + chunk(choice(`{"content":"!"}`, `null`)) +
		chunk(choice(`{}`, `"stop"`)) + chunk(`],"usage":{"prompt_tokens":30,"completion_tokens":15,"total_tokens":45,"prompt_tokens_details":{"cached_tokens":5}}`) + "data: [DONE]\n\n"
	status, h, body := r.post(t, "/openai/v1/chat/completions", ask+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if h.Get("X-Outcrop-Served-Region") != "us-east-1" || h.Get("X-Outcrop-Upstream") != "a" || h.Get("X-Outcrop-Attempts") != "1" {
		t.Errorf("headers %v", h)
	}
	if status != 200 || h.Get("Content-Type") != "text/event-stream; charset=utf-8" || masked(body) != want || !up.asked.Stream {
		t.Errorf("%d %v\n%s\nwant\n%s", status, h, masked(body), want)
	}
	// It breaks: the client throws what stands under error.
	up.events, up.err = hello()[:2], fault.New(fault.ModelStream, "It broke.")
	_, _, body = r.post(t, "/openai/v1/chat/completions", ask+`,"stream":true}`)
	if !strings.HasSuffix(body, "\n\ndata: {\"error\":{\"message\":\"It broke.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n") || strings.Count(body, "data: ") != 3 {
		t.Error(body)
	}
}

// TestResponses: the events' names and order are those of https://platform.openai.com/docs/api-reference/responses-streaming.
func TestResponses(t *testing.T) {
	up := &scripted{events: hello()}
	r := newRig(t, up)
	const item = `{"id":"msg_ID_0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello!"}]}`
	const want = `{"id":"resp_ID","object":"response","created_at":0,"status":"completed","background":false,"error":null,"incomplete_details":null,"model":"` + gpt + `","output":[` + item + `],"echo":0,"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":5},"output_tokens":15,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":45}}`
	if status, _, body := r.post(t, "/v1/responses", input+`}`); status != 200 || masked(body) != want {
		t.Errorf("%d %s", status, masked(body))
	}
	names := []string{"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"}
	check := func(names []string, body string) (last string) {
		t.Helper()
		frames := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
		if len(frames) != len(names) {
			t.Fatalf("%d events: %s", len(frames), body)
		}
		for i, f := range frames {
			data, ok := strings.CutPrefix(f, "event: "+names[i]+"\ndata: ")
			if !ok || !strings.HasPrefix(data, fmt.Sprintf(`{"type":%q,"sequence_number":%d,`, names[i], i)) || !jsontext.Value(data).IsValid() {
				t.Errorf("event %d is %q", i, f)
			}
			last = masked(data)
		}
		return last
	}
	_, _, body := r.post(t, "/openai/v1/responses", input+`,"stream":true}`)
	if last := check(names, body); last != `{"type":"response.completed","sequence_number":9,"response":`+want+`}` {
		t.Error(last)
	}
	for kind, code := range map[fault.Kind]string{fault.ModelStream: "server_error", fault.Throttled: "rate_limit_exceeded"} {
		up.events, up.err = hello()[:2], fault.New(kind, "It broke.")
		_, _, body = r.post(t, "/openai/v1/responses", input+`,"stream":true}`)
		last := check(append(names[:5:5], "response.failed"), body)
		if !strings.Contains(last, `"status":"failed","background":false,"error":{"code":"`+code+`","message":"It broke."}`) {
			t.Error(last)
		}
	}
}

func TestEmbeddings(t *testing.T) {
	up := &scripted{vectors: &converse.Embeddings{Float: [][]float32{{0.5, -2, 0}}, Usage: converse.Usage{InputTokens: 8}}}
	r := newRig(t, up)
	for format, vector := range map[string]string{"float": `[0.5,-2,0]`, "base64": `"AAAAPwAAAMAAAAAA"`} {
		status, _, body := r.post(t, "/openai/v1/embeddings", `{"model":"`+titan+`","input":"a","dimensions":256,"encoding_format":"`+format+`"}`)
		if want := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":` + vector + `}],"model":"` + titan + `","usage":{"prompt_tokens":8,"total_tokens":8}}`; status != 200 || body != want {
			t.Errorf("%d %s", status, body)
		}
		if q := up.asked.Embedding; q.Inputs[0].Text != "a" || q.Dimensions != 256 || q.Types != nil {
			t.Errorf("asked %+v", q)
		}
	}
	if status, _, body := r.post(t, "/v1/embeddings", `{"model":"`+gpt+`","input":"a"}`); status != 400 || !strings.Contains(body, "supported embedding model") {
		t.Errorf("%d %s", status, body)
	}
}

// TestPassedOn: a body goes as it is to an upstream that speaks the format, also one that cannot be read here, and so does
// the answer.
func TestPassedOn(t *testing.T) {
	for _, c := range []struct{ format, path, body, end string }{
		{"openai-chat", "/v1/chat/completions", ask + `,"n":2`, "data: [DONE]\n\n"},
		{"openai-responses", "/v1/responses", input + `,"previous_response_id":"resp_0"`, ""},
	} {
		up := &scripted{speaks: c.format}
		r := newRig(t, up)
		up.events = []converse.Event{{Kind: converse.Chunk, Native: []byte(`{"x":1}`), Name: "application/json"}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 1}}}
		if status, _, body := r.post(t, c.path, c.body+`}`); status != 200 || body != `{"x":1}` {
			t.Errorf("%d %s", status, body)
		}
		if n := up.asked.Native; up.asked.Body != nil || n.Format != c.format || string(n.Body) != c.body+`}` {
			t.Errorf("asked %+v", up.asked)
		}
		up.events = []converse.Event{{Kind: converse.Chunk, Native: []byte(`{"x":1}`), More: true}, {Kind: converse.Chunk, Native: []byte(`{"x":2}`), Name: "n"}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 1}}}
		if status, _, body := r.post(t, c.path, c.body+`,"stream":true}`); status != 200 || body != "data: {\"x\":1}\n\nevent: n\ndata: {\"x\":2}\n\n"+c.end {
			t.Errorf("%d %q", status, body)
		}
		up.speaks = ""
		if status, _, body := r.post(t, c.path, c.body+`}`); status != 400 || !strings.Contains(body, `"message":"Unsupported parameter: '`) || !strings.Contains(body, `takes the request as it is: \"a\".`) {
			t.Errorf("%d %s", status, body)
		}
	}
}

// TestUntoldUsage: who asks for the usage at a stream's end gets it, also where the server does not tell it.
func TestUntoldUsage(t *testing.T) {
	up := &scripted{speaks: "openai-chat"}
	r := newRig(t, up)
	for _, told := range []bool{true, false} {
		up.events = []converse.Event{{Kind: converse.Chunk, Native: []byte(`{"x":1}`)}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}, Estimated: !told}}
		for _, options := range []string{"", `,"stream_options":{"include_usage":true}`} {
			_, _, body := r.post(t, "/v1/chat/completions", ask+`,"stream":true`+options+`}`)
			got := strings.Count(body, `"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5`)
			if want := !told && options != ""; (got == 1) != want || !strings.HasSuffix(body, "data: [DONE]\n\n") {
				t.Errorf("told %t, asked %q: %q", told, options, body)
			}
		}
	}
}

func TestModels(t *testing.T) {
	r := newRig(t, &scripted{})
	p, err := r.profiles.Create(t.Context(), account, "us-east-1", profile.CreateRequest{Name: "team-a", Source: "arn:aws:bedrock:us-east-1::foundation-model/" + gpt})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/openai/v1/models", "/v1/models"} {
		status, _, body := r.send(t, "GET", path, r.key, "")
		var got struct {
			Object string `json:"object"`
			Data   []struct {
				ID, Object, Name, Type string
				Created                int64
				OwnedBy                string `json:"owned_by"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(body), &got, json.MatchCaseInsensitiveNames(true)); err != nil || status != 200 || got.Object != "list" {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		found := map[string]string{}
		for _, m := range got.Data {
			if m.Object != "model" || m.OwnedBy == "" || m.Name == "" || found[m.ID] != "" {
				t.Errorf("%+v", m)
			}
			found[m.ID] = m.Type + " of " + m.OwnedBy
		}
		for id, want := range map[string]string{
			p.ARN: "APPLICATION of " + account, gpt: "FOUNDATION_MODEL of openai", "us.anthropic.claude-3-haiku-20240307-v1:0": "SYSTEM_DEFINED of anthropic",
			"eu.anthropic.claude-3-haiku-20240307-v1:0": "", p.ID: "",
		} {
			if found[id] != want {
				t.Errorf("%s is %q, want %q", id, found[id], want)
			}
		}
	}
	// One of them, however it is named and written into the path.
	for path, want := range map[string]string{
		"/openai/v1/models/" + gpt:                                        `{"id":"` + gpt + `","object":"model","created":0,"owned_by":"openai",`,
		"/v1/models/" + url.PathEscape(p.ARN):                             `{"id":"` + p.ARN + `","object":"model","created":` + fmt.Sprint(p.CreatedAt.Unix()) + `,"owned_by":"` + account + `","name":"team-a","type":"APPLICATION"}`,
		"/openai/v1/models/" + p.ARN:                                      `{"id":"` + p.ARN + `"`,
		"/openai/v1/models/" + p.ID:                                       `{"id":"` + p.ARN + `"`,
		"/openai/v1/models/team-a":                                        `{"id":"` + p.ARN + `"`,
		"/v1/models/openai.gpt-oss-20b-1%3A0":                             `{"id":"` + gpt + `"`,
		"/v1/models/arn:aws:bedrock:us-east-1::foundation-model%2F" + gpt: `{"id":"` + gpt + `"`,
		"/v1/models/us.anthropic.claude-3-haiku-20240307-v1:0":            `{"id":"us.anthropic.claude-3-haiku-20240307-v1:0","object":"model",`,
		"/v1/models/gpt-5":                                                "{\"error\":{\"message\":\"The model `gpt-5` does not exist or you do not have access to it.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}",
		"/v1/models/" + strings.Replace(p.ARN, p.ID, "none", 1):           "{\"error\":{\"message\":\"The model `" + strings.Replace(p.ARN, p.ID, "none", 1) + "` does not exist",
	} {
		status, _, body := r.send(t, "GET", path, r.key, "")
		if !strings.HasPrefix(body, want) || (status == 404) != strings.Contains(want, "error") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, body := r.send(t, "GET", "/v1/models/"+gpt, r.user(t, "carol", `"bedrock:InvokeModel*"`), ""); status != 403 {
		t.Errorf("%d %s", status, body)
	}
	for name, actions := range map[string]string{"ListInferenceProfiles": `"bedrock:ListFoundationModels"`, "ListFoundationModels": `"bedrock:ListInferenceProfiles"`} {
		status, _, body := r.send(t, "GET", "/v1/models", r.user(t, name, actions), "")
		if status != 403 || !strings.Contains(body, "is not authorized to perform: bedrock:"+name+" ") {
			t.Errorf("%d %s", status, body)
		}
	}
}

func TestErrors(t *testing.T) {
	up := &scripted{}
	r := newRig(t, up)
	bob := r.user(t, "bob", `"bedrock:List*"`)
	const internal = "The system encountered an unexpected error during processing. Try your request again."
	for _, c := range []struct {
		name, method, path, key, body string
		up                            error
		status                        int
		want                          string
	}{
		{name: "no key", key: "none", status: 401, want: `{"message":"You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).","type":"invalid_request_error","param":null,"code":null}`},
		{name: "a wrong key", key: "sk-proj-x", status: 401, want: `{"message":"Authentication failed: Please make sure your API Key is valid.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}`},
		{name: "denied", key: bob, status: 403, want: `{"message":"User: arn:aws:iam::000000000000:user/bob is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/` + gpt + ` because no identity-based policy allows the bedrock:InvokeModel action","type":"invalid_request_error","param":null,"code":"insufficient_permissions"}`},
		{name: "no model", body: `{"messages":[{"role":"user","content":"a"}]}`, status: 400, want: `{"message":"you must provide a model parameter","type":"invalid_request_error","param":"model","code":null}`},
		{name: "a member", body: `{"model":"m","messages":{}}`, status: 400, want: `{"message":"Invalid type for 'messages': expected an array, but got an object instead.","type":"invalid_request_error","param":"messages","code":null}`},
		{name: "an unknown model", body: strings.Replace(ask, gpt, "gpt-5", 1) + `}`, key: r.key, status: 404, want: "{\"message\":\"The model `gpt-5` does not exist or you do not have access to it.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}"},
		{name: "nothing there", method: "GET", path: "/openai/v1/responses/resp_1", status: 404, want: `{"message":"No operation matches GET /openai/v1/responses/resp_1.","type":"invalid_request_error","param":null,"code":"unknown_url"}`},
		{name: "throttled", up: fault.New(fault.Throttled, "Slowly."), status: 429, want: `{"message":"Slowly.","type":"requests","param":null,"code":"rate_limit_exceeded"}`},
		{name: "a stream that does not begin", body: ask + `,"stream":true}`, up: fault.New(fault.ModelTimeout, "Too slow."), status: 504, want: `{"message":"Too slow.","type":"server_error","param":null,"code":"timeout"}`},
		{name: "a mistake", up: errors.New("secret"), status: 500, want: `{"message":"` + internal + `","type":"server_error","param":null,"code":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			up.err = c.up
			if c.method == "" {
				c.method, c.path = http.MethodPost, "/openai/v1/chat/completions"
			}
			if c.body == "" {
				c.body = ask + `}`
			}
			switch c.key {
			case "":
				c.key = r.key
			case "none":
				c.key = ""
			}
			status, h, body := r.send(t, c.method, c.path, c.key, c.body)
			if status != c.status || body != `{"error":`+c.want+`}` || h.Get("Content-Type") != "application/json" || h.Get("X-Request-Id") == "" {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, c.want)
			}
		})
	}
}
