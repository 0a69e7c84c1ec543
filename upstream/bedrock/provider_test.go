package bedrock

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/upstreamtest"
)

func TestProvider(t *testing.T) {
	upstreamtest.Run(t, func(t *testing.T, b upstreamtest.Behaviour) upstream.Provider {
		return open(t, &service{behaviour: b}, nil)
	})
}

func TestServer(t *testing.T) {
	upstreamtest.RunServer(t, upstreamtest.Server{
		Open: func(t *testing.T, u string, c client.Config) upstream.Provider {
			p, err := New(t.Context(), Config{Name: "aws", Endpoint: u, Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""), Client: c})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		ContentType: streamType, Start: string(encode("event", ":event-type", "messageStart", `{"role":"assistant"}`)), Text: string(encode("event", ":event-type", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hel"}}`)),
		End: string(encode("event", ":event-type", "contentBlockStop", `{"contentBlockIndex":0}`)) + string(encode("event", ":event-type", "messageStop", `{"stopReason":"end_turn"}`)) +
			string(encode("event", ":event-type", "metadata", `{"usage":{"inputTokens":8,"outputTokens":10,"totalTokens":18}}`)),
		Whole:   `{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":8,"outputTokens":10,"totalTokens":18}}`,
		Refusal: `{"message":"no"}`,
	})
}

// request is one in a format of Bedrock's own.
func request(format, operation, model, body string) *upstream.Request {
	return &upstream.Request{
		ID: "r", Model: model, ModelID: model, Region: "us-east-1", Stream: strings.HasSuffix(operation, "Stream"),
		Native: &upstream.Native{Format: format, Operation: operation, Body: []byte(body)},
	}
}

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replay answers with a recorded body.
func replay(contentType string, header map[string]string, body []byte) *service {
	return &service{answer: func(w http.ResponseWriter, r *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}}
}

const streamType = "application/vnd.amazon.eventstream"

// The recordings in testdata are answers of Amazon Bedrock as opentelemetry-python-contrib has them in its tests of botocore
// (tests/cassettes): converse-stream-nova.bin is test_converse_stream_with_content_tool_call, without most of its text;
// invoke-stream-claude.bin and invoke-stream-titan.bin are test_invoke_model_with_response_stream_with_content.

func TestRecordedConverseStream(t *testing.T) {
	body := recorded(t, "converse-stream-nova.bin")
	r := upstreamtest.Request(true, nil)
	es, err := read(open(t, replay(streamType, nil, body), nil).Send(t.Context(), r))
	if err != nil {
		t.Fatal(err)
	}
	if err := conversetest.CheckOrder(es); err != nil {
		t.Error(err)
	}
	var got []string
	for _, e := range es {
		got = append(got, fmt.Sprint(e.Kind, e.Index, e.ToolName, e.ToolUseID, e.Text, e.StopReason))
	}
	want := []string{
		fmt.Sprint(converse.MessageStart, 0), fmt.Sprint(converse.BlockDelta, 0, "", "", "<thinking"), fmt.Sprint(converse.BlockDelta, 0, "", "", ">"),
		fmt.Sprint(converse.BlockDelta, 0, "", "", " The"), fmt.Sprint(converse.BlockDelta, 0, "", "", " User"), fmt.Sprint(converse.BlockStop, 0),
		fmt.Sprint(converse.BlockStart, 1, "get_current_weather", "tooluse_JZ11QcxSQ3m3xacMQKVIKw"), fmt.Sprint(converse.BlockDelta, 1, "", "", `{"location":"Seattle"}`), fmt.Sprint(converse.BlockStop, 1),
		fmt.Sprint(converse.BlockStart, 2, "get_current_weather", "tooluse_-hxBEEwGRc-VQqC2i7SFqg"), fmt.Sprint(converse.BlockDelta, 2, "", "", `{"location":"San Francisco"}`), fmt.Sprint(converse.BlockStop, 2),
		fmt.Sprint(converse.MessageStop, 0, "", "", "", "tool_use"), fmt.Sprint(converse.Metadata, 0),
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || strings.Join(strings.Fields(got[i]), " ") != strings.Join(strings.Fields(want[i]), " ") {
			t.Fatalf("event %d:\n%q\nwant\n%q", i, got, want)
		}
	}
	if last := es[len(es)-1]; last.Usage != (converse.Usage{InputTokens: 415, OutputTokens: 202}) || last.Estimated {
		t.Errorf("%+v", last)
	}

	// The same answer for the front door of Converse: every event as it came.
	es, err = read(open(t, replay(streamType, nil, body), nil).Send(t.Context(), request("converse", "ConverseStream", nova, `{}`)))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	for i, e := range es {
		again.Write(encode("event", ":event-type", e.Name, string(e.Native)))
		if last := i == len(es)-1; last != (e.Kind == converse.Metadata) || !last && e.Kind != converse.Chunk {
			t.Errorf("event %d: kind %d", i, e.Kind)
		}
	}
	// The SDK writes headers in another order than AWS: the payloads are what is to be equal.
	if got, want := payloads(t, again.Bytes()), payloads(t, body); !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if last := es[len(es)-1]; last.Usage != (converse.Usage{InputTokens: 415, OutputTokens: 202}) || last.Estimated {
		t.Errorf("%+v", last)
	}
	if e := es[len(es)-2]; e.StopReason != "tool_use" || e.Usage.OutputTokens == 0 {
		t.Errorf("%+v", e)
	}
}

// payloads are the names and payloads of a stream's frames.
func payloads(t *testing.T, b []byte) (list []string) {
	f := newFrames(bytes.NewReader(b), 1<<20)
	for {
		m, ok, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			list = append(list, m.name+" "+string(m.payload))
		} else if err := f.fill(); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordedInvokeStream(t *testing.T) {
	for _, c := range []struct {
		file, model string
		chunks      int
		last        string
		usage       converse.Usage
	}{
		{"invoke-stream-claude.bin", "anthropic.claude-v2", 14, `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":14,"outputTokenCount":10,"invocationLatency":1321,"firstByteLatency":439}}`, converse.Usage{InputTokens: 14, OutputTokens: 10}},
		{"invoke-stream-titan.bin", "amazon.titan-text-lite-v1", 0, "", converse.Usage{InputTokens: 5, OutputTokens: 10}},
	} {
		t.Run(c.file, func(t *testing.T) {
			body := recorded(t, c.file)
			es, err := read(open(t, replay(streamType, nil, body), nil).Send(t.Context(), request("", "InvokeModelWithResponseStream", c.model, `{}`)))
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, e := range es {
				got = append(got, string(e.Native))
			}
			for _, p := range payloads(t, body) {
				var chunk struct {
					Bytes string `json:"bytes"`
				}
				if err := json.Unmarshal([]byte(strings.TrimPrefix(p, "chunk ")), &chunk); err != nil {
					t.Fatal(err)
				}
				b, err := base64.StdEncoding.DecodeString(chunk.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, string(b))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q\nwant\n%q", got, want)
			}
			last := es[len(es)-1]
			if len(es) != c.chunks+1 || last.Kind != converse.Metadata || last.Usage != c.usage || last.Estimated || c.last != "" && string(last.Native) != c.last {
				t.Errorf("%d events, the last %+v", len(es), last)
			}
			if c.chunks > 3 { // what would be settled if the answer were cut here: "Okay, I"
				if u := es[4].Usage; u.InputTokens != 14 || u.OutputTokens < 1 || u.OutputTokens > 4 {
					t.Errorf("%+v after %q", u, es[4].Native)
				}
			}
		})
	}
}

// TestMessages: to Anthropic's own door the recorded chunks are events with their names.
func TestMessages(t *testing.T) {
	r := request("anthropic", "Messages", "anthropic.claude-v2", `{"model":"p","stream":true,"messages":[]}`)
	r.Stream = true
	es, err := read(open(t, replay(streamType, nil, recorded(t, "invoke-stream-claude.bin")), nil).Send(t.Context(), r))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range es {
		var event struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(e.Native, &event); err != nil || event.Type == "" || e.Name != event.Type {
			t.Errorf("event %d is named %q: %s", i, e.Name, e.Native)
		}
	}
	if last := es[len(es)-1]; last.Name != "message_stop" || last.Usage != (converse.Usage{InputTokens: 14, OutputTokens: 10}) || last.Estimated {
		t.Errorf("the last is %+v", last)
	}
}

// TestUnits: what is paid by the piece is counted in answers that say nothing of tokens. The bodies are those of the user
// guide's chapters on the models.
func TestUnits(t *testing.T) {
	const png = "iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAIAAADwf7zU" // the head of one of 1024 x 1024
	for name, c := range map[string]struct {
		model, body, answer string
		asked               converse.Units
		guessed             bool
		header              map[string]string
		want                converse.Usage
		estimated           bool
	}{
		"Titan": {model: "amazon.titan-image-generator-v2:0", body: `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a river"}}`, answer: `{"images":["` + png + `","` + png + `"],"error":null}`,
			asked: converse.Units{Images: 2, ImageType: "T2I-512-Standard"}, want: converse.Usage{Units: converse.Units{Images: 2, ImageType: "T2I-1024-Standard"}}},
		"tokens told as well": {model: "stability.sd3-5-large-v1:0", body: `{"prompt":"a river"}`, answer: `{"seeds":[1],"finish_reasons":[null],"images":["` + png + `"]}`, header: map[string]string{"X-Amzn-Bedrock-Input-Token-Count": "4"},
			asked: converse.Units{Images: 1, ImageType: "output-image"}, want: converse.Usage{InputTokens: 4, Units: converse.Units{Images: 1, ImageType: "output-image"}}},
		"all filtered": {model: "amazon.nova-canvas-v1:0", body: `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"x"}}`, answer: `{"images":[],"error":"filtered"}`, asked: converse.Units{Images: 1, ImageType: "T2I-1024-Standard"}},
		"another answer": {model: "amazon.nova-canvas-v1:0", body: `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"x"}}`, answer: `{"pictures":1}`, asked: converse.Units{Images: 1, ImageType: "T2I-1024-Standard"},
			want: converse.Usage{Units: converse.Units{Images: 1, ImageType: "T2I-1024-Standard"}}, estimated: true},
		"rerank":                 {model: "amazon.rerank-v1:0", body: `{"query":"q","documents":["a"]}`, answer: `{"results":[{"index":0,"relevance_score":0.9}]}`, asked: converse.Units{SearchUnits: 1}, want: converse.Usage{Units: converse.Units{SearchUnits: 1}}},
		"rerank, long documents": {model: "amazon.rerank-v1:0", body: `{"query":"q","documents":["a"]}`, answer: `{"results":[]}`, asked: converse.Units{SearchUnits: 2}, guessed: true, want: converse.Usage{Units: converse.Units{SearchUnits: 2}}, estimated: true},
		"an embedded picture":    {model: "amazon.titan-embed-image-v1", body: `{"inputImage":"` + png + `"}`, answer: `{"embedding":[0.1],"message":null}`, asked: converse.Units{InputImages: 1}, want: converse.Usage{Units: converse.Units{InputImages: 1}}},
		"and its text": {model: "amazon.titan-embed-image-v1", body: `{"inputText":"a river","inputImage":"` + png + `"}`, answer: `{"embedding":[0.1],"inputTextTokenCount":3}`, asked: converse.Units{InputImages: 1},
			want: converse.Usage{InputTokens: 3, Units: converse.Units{InputImages: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("", "InvokeModel", c.model, c.body)
			r.Native.Units, r.Native.UnitsGuessed = c.asked, c.guessed
			es, err := read(open(t, replay("application/json", c.header, []byte(c.answer)), nil).Send(t.Context(), r))
			if err != nil {
				t.Fatal(err)
			}
			if len(es) != 2 || string(es[0].Native) != c.answer || es[1].Usage != c.want || es[1].Estimated != c.estimated {
				t.Errorf("%+v, want %+v, estimated %t", es, c.want, c.estimated)
			}
		})
	}
}

// TestInvokeModel has answers of the same recordings, and what they would tell without their headers.
func TestInvokeModel(t *testing.T) {
	counts := func(in, out string) map[string]string {
		h := map[string]string{"X-Amzn-Bedrock-Input-Token-Count": in, "X-Amzn-Bedrock-Invocation-Latency": "1131"}
		if out != "" {
			h["X-Amzn-Bedrock-Output-Token-Count"] = out
		}
		return h
	}
	const (
		claude = `{"id":"msg_bdrk_01NCxHHwwdtMc7wioSxo2wBC","type":"message","role":"assistant","model":"claude-2.0","content":[{"type":"text","text":"Okay, I said \"This is a test\""}],"stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":14,"output_tokens":10}}`
		llama  = `{"generation":" post. This is a test post. This is","prompt_token_count":5,"generation_token_count":10,"stop_reason":"length"}`
		cohere = `{"response_id":"379ed018/aa2df2bf-edc8-483f-8cd0-d22d04ba34ba","text":"This is a test. How are you doing today","generation_id":"2d74c447-266d-4286-8425-a92ad7fc0cbc","chat_history":[{"role":"USER","message":"Say this is a test"},{"role":"CHATBOT","message":"This is a test. How are you doing today"}],"finish_reason":"MAX_TOKENS"}`
		embed  = `{"id":"836a33cc-61ec-4e65-afaf-c4628171a315","embeddings":[[0.0135,-0.0272]],"response_type":"embeddings_floats","texts":["Say this is a test"]}`
		// Source: https://docs.claude.com/en/docs/build-with-claude/prompt-caching#1-hour-cache-duration
		cached = `{"type":"message","content":[],"usage":{"input_tokens":3,"cache_read_input_tokens":20,"cache_creation_input_tokens":248,"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100},"output_tokens":50}}`
		// Source: https://platform.openai.com/docs/api-reference/chat/object
		openai = `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":7}}}`
		// Source: https://docs.aws.amazon.com/nova/latest/userguide/using-invoke-api.html
		novaBody = `{"output":{"message":{"role":"assistant","content":[{"text":"It"}]}},"stopReason":"max_tokens","usage":{"inputTokens":5,"outputTokens":10,"totalTokens":15,"cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":1}}`
		// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html
		titan = `{"inputTextTokenCount":5,"results":[{"tokenCount":9,"outputText":"\nHello!","completionReason":"FINISH"}]}`
	)
	for name, c := range map[string]struct {
		header    map[string]string
		body      string
		usage     converse.Usage
		estimated bool
	}{
		"claude":                {counts("14", "10"), claude, converse.Usage{InputTokens: 14, OutputTokens: 10}, false},
		"claude, no headers":    {nil, claude, converse.Usage{InputTokens: 14, OutputTokens: 10}, false},
		"llama":                 {counts("5", "10"), llama, converse.Usage{InputTokens: 5, OutputTokens: 10}, false},
		"llama, no headers":     {nil, llama, converse.Usage{InputTokens: 5, OutputTokens: 10}, false},
		"cohere":                {counts("5", "10"), cohere, converse.Usage{InputTokens: 5, OutputTokens: 10}, false},
		"cohere, no headers":    {nil, cohere, converse.Usage{InputTokens: 3, OutputTokens: 10}, true},
		"embeddings":            {counts("5", ""), embed, converse.Usage{InputTokens: 5}, false},
		"embeddings, no header": {nil, embed, converse.Usage{InputTokens: 3}, true},
		"nova, no headers":      {nil, novaBody, converse.Usage{InputTokens: 5, OutputTokens: 10, CacheReadInputTokens: 2, CacheWriteInputTokens: 1}, false},
		"titan, no headers":     {nil, titan, converse.Usage{InputTokens: 5, OutputTokens: 9}, false},
		"openai, no headers":    {nil, openai, converse.Usage{InputTokens: 12, OutputTokens: 10, CacheReadInputTokens: 7}, false},
		"cache": {map[string]string{
			"X-Amzn-Bedrock-Input-Token-Count": "3", "X-Amzn-Bedrock-Output-Token-Count": "50",
			"X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "20", "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "248",
		}, cached, converse.Usage{InputTokens: 3, OutputTokens: 50, CacheReadInputTokens: 20, CacheWriteInputTokens: 248, CacheWrite1hInputTokens: 100}, false},
		"cache, no headers": {nil, cached, converse.Usage{InputTokens: 3, OutputTokens: 50, CacheReadInputTokens: 20, CacheWriteInputTokens: 248, CacheWrite1hInputTokens: 100}, false},
		// Counts that no answer has are not told.
		"negative headers":      {counts("-1", "10"), claude, converse.Usage{InputTokens: 14, OutputTokens: 10}, false},
		"huge headers":          {counts("14", "9223372036854775807"), claude, converse.Usage{InputTokens: 14, OutputTokens: 10}, false},
		"negative, no headers":  {nil, `{"generation":"abcd efgh","prompt_token_count":-5,"generation_token_count":10}`, converse.Usage{InputTokens: 3, OutputTokens: 2}, true},
		"huge, no headers":      {nil, `{"content":[{"text":"abcd efgh"}],"usage":{"input_tokens":5,"output_tokens":9223372036854775807}}`, converse.Usage{InputTokens: 3, OutputTokens: 2}, true},
		"nothing told":          {nil, `{"content":[{"text":"abcd efgh"}],"usage":{}}`, converse.Usage{InputTokens: 3, OutputTokens: 2}, true},
		"an output alone":       {nil, `{"content":[{"text":"abcd efgh"}],"usage":{"output_tokens":-1}}`, converse.Usage{InputTokens: 3, OutputTokens: 2}, true},
		"negative titan result": {nil, `{"inputTextTokenCount":5,"results":[{"tokenCount":-9,"outputText":"abcd efgh"},{"tokenCount":3}]}`, converse.Usage{InputTokens: 5, OutputTokens: 3}, false},
		"picture":               {nil, `{"images":["iVBORw0KGgo="]}`, converse.Usage{InputTokens: 3}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("", "InvokeModel", "some.model-v1", `{"prompt":"Say a test"}`)
			es, err := read(open(t, replay("application/json", c.header, []byte(c.body)), nil).Send(t.Context(), r))
			if err != nil {
				t.Fatal(err)
			}
			if len(es) != 2 || es[0].Kind != converse.Chunk || string(es[0].Native) != c.body || es[0].Name != "application/json" || !es[0].More {
				t.Fatalf("%+v", es)
			}
			if es[1].Kind != converse.Metadata || es[1].Usage != c.usage || es[1].Estimated != c.estimated || es[1].More {
				t.Errorf("%+v, want %+v", es[1], c.usage)
			}
		})
	}
}

// TestUsageBeforeAnException: what Bedrock told of the usage stands, whatever goes wrong behind it.
func TestUsageBeforeAnException(t *testing.T) {
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	oops := encode("exception", ":exception-type", "modelStreamErrorException", `{"message":"broke"}`)
	chunk := func(s string) []byte {
		return event("chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(s))+`"}`)
	}
	asked := upstreamtest.Request(true, nil)
	for name, c := range map[string]struct {
		request *upstream.Request
		body    []byte
	}{
		"ConverseStream": {asked, join(event("messageStart", `{"role":"assistant"}`), event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hi"}}`),
			event("messageStop", `{"stopReason":"end_turn"}`), event("metadata", `{"usage":{"inputTokens":7,"outputTokens":9,"totalTokens":16}}`), oops)},
		"InvokeModelWithResponseStream": {request("", "InvokeModelWithResponseStream", "some.model-v1", `{"prompt":"Say a test"}`),
			join(chunk(`{"text":"Hi"}`), chunk(`{"text":"","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9}}`), oops)},
	} {
		stream, err := open(t, replay(streamType, nil, c.body), nil).Send(t.Context(), c.request)
		if err != nil {
			t.Fatal(name, err)
		}
		var last converse.Event
		for last, err = range stream {
			if err != nil {
				break
			}
		}
		if want := (converse.Usage{InputTokens: 7, OutputTokens: 9}); !fault.Is(err, fault.ModelStream) || last.Kind != converse.Metadata || last.Usage != want || last.Estimated {
			t.Errorf("%s: %+v, %v", name, last, err)
		}
	}
}

// TestOneEstimate: an answer whose usage nobody tells counts as the same, whether it is passed on as it comes or translated,
// in pieces or whole.
func TestOneEstimate(t *testing.T) {
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	chunk := func(s string) []byte {
		return event("chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(s))+`"}`)
	}
	// The rule is converse's: a word to eight letters with the space before it, a mark, an ideograph are one token each. The
	// thought is three, the text eight with its line break, the tool's name three, its input {"city":"東京"} ten.
	const want = 3 + 8 + 3 + 10
	const thought, text, input = `Let me look`, `Say \"hello\"\nto \u6771\u4eac`, `{\"city\":\"\u6771\u4eac\"}`
	converseStream := join(event("messageStart", `{"role":"assistant"}`),
		event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"`+thought+`"}}}`),
		event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2lnbmF0dXJl"}}}`),
		event("contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"`+text+`"}}`),
		event("contentBlockStart", `{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"get_weather"}}}`),
		event("contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"`+input+`"}}}`),
		event("messageStop", `{"stopReason":"tool_use"}`))
	messages := join(chunk(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`),
		chunk(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"`+thought+`"}}`),
		chunk(`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2lnbmF0dXJl"}}`),
		chunk(`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"`+text+`"}}`),
		chunk(`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"get_weather","input":{}}}`),
		chunk(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"`+input+`"}}`),
		chunk(`{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`))
	const wholeConverse = `{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"` + thought + `","signature":"c2lnbmF0dXJl"}}},{"text":"` + text +
		`"},{"toolUse":{"toolUseId":"t","name":"get_weather","input":{"city":"東京"}}}]}},"stopReason":"tool_use"}`
	const wholeMessage = `{"type":"message","content":[{"type":"thinking","thinking":"` + thought + `","signature":"c2lnbmF0dXJl"},{"type":"text","text":"` + text +
		`"},{"type":"tool_use","id":"t","name":"get_weather","input":{"city":"東京"}}],"stop_reason":"tool_use"}`
	translated, passed := upstreamtest.Request(true, nil), upstreamtest.Request(true, nil)
	passed.Native = &upstream.Native{Format: "converse", Operation: "ConverseStream", Body: []byte(`{"messages":[]}`)}
	whole := upstreamtest.Request(false, nil)
	for name, c := range map[string]struct {
		request *upstream.Request
		mime    string
		answer  []byte
	}{
		"translated":                       {translated, streamType, converseStream},
		"passed on":                        {passed, streamType, converseStream},
		"passed on, of InvokeModel":        {request("anthropic", "InvokeModelWithResponseStream", "anthropic.claude-3-haiku-20240307-v1:0", `{}`), streamType, messages},
		"whole":                            {whole, "application/json", []byte(wholeConverse)},
		"whole, passed on, of InvokeModel": {request("anthropic", "InvokeModel", "anthropic.claude-3-haiku-20240307-v1:0", `{}`), "application/json", []byte(wholeMessage)},
		"spaces between, passed on, whole": {request("anthropic", "InvokeModel", "anthropic.claude-3-haiku-20240307-v1:0", `{}`), "application/json", []byte(strings.ReplaceAll(strings.ReplaceAll(wholeMessage, `":"`, `" : "`), `{"city" : "`, `{"city":"`))},
	} {
		es, err := read(open(t, replay(c.mime, nil, c.answer), nil).Send(t.Context(), c.request))
		if err != nil {
			t.Fatal(name, err)
		}
		if last := es[len(es)-1]; last.Kind != converse.Metadata || !last.Estimated || last.Usage.OutputTokens != want {
			t.Errorf("%s: %d tokens, estimated %t, want %d", name, last.Usage.OutputTokens, last.Estimated, want)
		}
	}
}

// TestStopReasons: why a model stopped is told in the body, by each family in its own words.
// Sources: the recordings above, and the chapters on the models' responses in the Amazon Bedrock user guide.
func TestStopReasons(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"message","content":[{"type":"tool_use","id":"t","name":"x","input":{"stop_reason":"max_tokens"}}],"stop_reason":"tool_use","usage":{}}`: "tool_use",
		`{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":10}}`:                                 "max_tokens",
		`{"type":"message","stop_reason":"refusal"}`: "content_filtered",
		`{"generation":" post. This is a test post. This is","prompt_token_count":5,"generation_token_count":10,"stop_reason":"length"}`:                           "max_tokens",
		`{"generation":" a","prompt_token_count":null,"generation_token_count":2,"stop_reason":null}`:                                                              "",
		`{"text":"This is","chat_history":[{"role":"USER","message":"Say"}],"finish_reason":"MAX_TOKENS"}`:                                                         "max_tokens",
		`{"generations":[{"id":"x","text":" a","finish_reason":"COMPLETE"}],"id":"y","prompt":"a"}`:                                                                "end_turn",
		`{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],"usage":{}}`:                 "end_turn",
		`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`:                                                                                   "",
		`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`:                                                                                        "tool_use",
		`{"output":{"message":{"role":"assistant","content":[{"text":"It"}]}},"stopReason":"max_tokens","usage":{"inputTokens":5,"outputTokens":10}}`:              "max_tokens",
		`{"messageStop":{"stopReason":"end_turn"}}`:                                                                                                                "end_turn",
		`{"inputTextTokenCount":5,"results":[{"tokenCount":9,"outputText":"\nHello!","completionReason":"FINISH"}]}`:                                               "end_turn",
		`{"outputText":"a","index":0,"totalOutputTextTokenCount":188,"completionReason":"CONTENT_FILTERED"}`:                                                       "content_filtered",
		`{"inputTextTokenCount":28.0,"results":[{"tokenCount":197.0,"outputText":"a","completionReason":"FINISH"}],"amazon-bedrock-guardrailAction":"INTERVENED"}`: "guardrail_intervened",
		`{"outputs":[{"text":" a","stop_reason":"length"}]}`:                                                                                                       "max_tokens",
		`{"choices":[{"text":"a","stop_reason":"stop"}]}`:                                                                                                          "end_turn",
		`{"id":1,"prompt":{"text":"a"},"completions":[{"data":{"text":"a"},"finishReason":{"reason":"length","length":9}}]}`:                                       "max_tokens",
		`{"type":"message","stop_reason":"pause_turn"}`:                                                                                                            "pause_turn",
		`{"results":[{"index":0,"relevance_score":0.9}]}`:                                                                                                          "",
		`{"images":["iVBORw0KGgo="]}`:           "",
		`{"text":"\"stop_reason\":\"length\""}`: "",
		`{"choices":"none","stop_reason":7}`:    "",
		`[`:                                     "",
	} {
		es, err := read(open(t, replay("application/json", nil, []byte(body)), nil).Send(t.Context(), request("", "InvokeModel", "some.model-v1", `{}`)))
		if err != nil {
			t.Fatal(body, err)
		}
		if es[0].StopReason != want {
			t.Errorf("%s: %q, want %q", body, es[0].StopReason, want)
		}
		told := ""
		frame := encode("event", ":event-type", "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(body))+`"}`)
		last := encode("event", ":event-type", "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(`{"text":"","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9}}`))+`"}`)
		es, err = read(open(t, replay(streamType, nil, join(frame, last)), nil).Send(t.Context(), request("", "InvokeModelWithResponseStream", "some.model-v1", `{}`)))
		for _, e := range es {
			told = e.StopReason
		}
		if err != nil || told != want {
			t.Errorf("in a stream, %s: %q, want %q: %v", body, told, want, err)
		}
	}
}

// TestS3Locations: Bedrock would read what a request names in S3 as this server. The bodies are those of the service model's
// S3Location, of Amazon Nova's and of TwelveLabs' chapters in the user guide.
func TestS3Locations(t *testing.T) {
	native := func(body string) *upstream.Request {
		r := upstreamtest.Request(false, nil)
		r.Native = &upstream.Native{Format: "converse", Operation: "Converse", Body: []byte(body)}
		return r
	}
	image := func(uri string) string {
		return `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"` + uri + `","bucketOwner":"111122223333"}}}}]}]}`
	}
	translated := upstreamtest.Request(false, func(r *converse.Request) {
		r.Messages[0].Content = append(r.Messages[0].Content, converse.ContentBlock{Image: &converse.Image{Format: "png", Source: converse.ImageSource{S3Location: &converse.S3Location{URI: "s3://secret/a.png"}}}})
	})
	for name, c := range map[string]struct {
		request *upstream.Request
		refused bool
	}{
		"none":               {native(`{"messages":[{"role":"user","content":[{"text":"what is \"s3Location\"?"}]}]}`), false},
		"allowed":            {native(image("s3://media/cats/1.png")), false},
		"an object":          {native(image("s3://one/a.png")), false},
		"beside it":          {native(image("s3://media/catsuits/1.png")), true},
		"another bucket":     {native(image("s3://secret/a.png")), true},
		"escaped":            {native(strings.Replace(image("s3://secret/a.png"), "s3Location", `s3L\u006fcation`, 1)), true},
		"escaped, all of it": {native(strings.Replace(image("s3://secret/a.png"), `"s3Location`, `"\u00733L\u006fcation`, 1)), true},
		"capital":            {native(strings.Replace(image("s3://secret/a.png"), "s3Location", "S3Location", 1)), true},
		"capital, Cohere's":  {native(`{"texts":["a"],"S3Uri":"S3://secret/a"}`), true},
		"metadata":           {native(`{"requestMetadata":{"s3Uri":"s3://secret/a"},"messages":[]}`), false},
		"two":                {native(image(`s3://media/cats/1.png","uri":"s3://secret/a.png`)), true},
		"behind another":     {native(strings.Replace(image("s3://media/cats/1.png"), `}]}`, `},{"document":{"name":"d","source":{"s3Location":{"uri":"s3://secret/d"}}}}]}`, 1)), true},
		"a tool's own":       {native(`{"messages":[{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"x","input":{"s3Location":{"uri":"s3://secret/a"}}}}]}]}`), false},
		"translated":         {translated, true},
		"Nova":               {request("nova", "InvokeModel", nova, `{"messages":[{"role":"user","content":[{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://secret/v.mp4"}}}}]}]}`), true},
		"TwelveLabs":         {request("", "InvokeModel", "twelvelabs.pegasus-1-2-v1:0", `{"inputPrompt":"a","mediaSource":{"s3Location":{"uri":"s3://secret/v.mp4","bucketOwner":"111122223333"}}}`), true},
		"TwelveLabs, bytes":  {request("", "InvokeModel", "twelvelabs.pegasus-1-2-v1:0", `{"inputPrompt":"a","mediaSource":{"base64String":"AAEC"}}`), false},
	} {
		asked := false
		s := &service{answer: func(w http.ResponseWriter, _ *http.Request) {
			asked = true
			refuse(w, 400, "ValidationException", "enough")
		}}
		_, err := open(t, s, func(c *Config) { c.S3Locations = []string{"s3://media/cats", "s3://one/a.png"} }).Send(t.Context(), c.request)
		if !fault.Is(err, fault.Validation) || asked == c.refused || c.refused && !strings.Contains(err.Error(), "the upstream aws reads no such object") {
			t.Errorf("%s: asked %t, %v", name, asked, err)
		}
	}
	if _, err := New(t.Context(), Config{Name: "aws", S3Locations: []string{"media"}}); err == nil {
		t.Error("a location that is none is taken")
	}
}

// TestSent looks at what goes out: the path, the headers and the body.
func TestSent(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/r9j1xkq5zqtd"
	hello := "Hello"
	chat := &converse.Request{Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{{Text: &hello}}}}}
	const chatJSON = `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`
	native := func(r *upstream.Request, change func(*upstream.Request)) *upstream.Request {
		if change != nil {
			change(r)
		}
		return r
	}
	for name, c := range map[string]struct {
		request *upstream.Request
		path    string // as it is escaped
		body    string
		header  map[string]string
	}{
		"converse, translated": {&upstream.Request{Model: nova, ModelID: nova, Region: "us-east-1", Body: chat},
			"/model/amazon.nova-micro-v1%3A0/converse", chatJSON, map[string]string{"Content-Type": "application/json", "Accept": "application/json"}},
		"stream, translated": {&upstream.Request{Model: nova, ModelID: nova, Region: "us-east-1", Stream: true, Body: chat},
			"/model/amazon.nova-micro-v1%3A0/converse-stream", chatJSON, nil},
		"converse, as it came": {request("converse", "Converse", nova, ` {"messages" : [] , "unknown":1}`),
			"/model/amazon.nova-micro-v1%3A0/converse", ` {"messages" : [] , "unknown":1}`, nil},
		"converse, another model": {native(request("converse", "ConverseStream", nova, `{}`), func(r *upstream.Request) { r.Model = "meta.llama3-1-8b-instruct-v1:0" }),
			"/model/meta.llama3-1-8b-instruct-v1%3A0/converse-stream", `{}`, nil},
		"invoke": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) {
			r.Native.Accept, r.Native.ContentType = "application/json", "application/json; charset=utf-8"
			r.Native.Header = map[string]string{"X-Amzn-Bedrock-Trace": "ENABLED", "X-Amzn-Bedrock-Request-Metadata": `{"team":"x"}`, "Cookie": "no"}
		}), "/model/anthropic.claude-v2/invoke", `{"x":1}`, map[string]string{
			"Accept": "application/json", "Content-Type": "application/json; charset=utf-8", "X-Amzn-Bedrock-Trace": "ENABLED",
			"X-Amzn-Bedrock-Request-Metadata": `{"team":"x"}`, "Cookie": "", "X-Amzn-Bedrock-Accept": ""}},
		"invoke stream": {native(request("anthropic", "InvokeModelWithResponseStream", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) { r.Native.Accept = "application/json" }),
			"/model/anthropic.claude-v2/invoke-with-response-stream", `{"x":1}`, map[string]string{"X-Amzn-Bedrock-Accept": "application/json", "Accept": ""}},
		"invoke, in another geography": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) { r.Model = "us.anthropic.claude-v2" }),
			"/model/us.anthropic.claude-v2/invoke", `{"x":1}`, nil},
		"invoke, by a provisioned throughput": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) {
			r.Model = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc123def456"
		}), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aprovisioned-model%2Fabc123def456/invoke", `{"x":1}`, nil},
		"invoke, another family": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) { r.Model, r.Body = nova, chat }),
			"/model/amazon.nova-micro-v1%3A0/converse", chatJSON, nil},
		"invoke, another family of the vendor's": {native(request("titan", "InvokeModel", "amazon.titan-text-lite-v1", `{"x":1}`), func(r *upstream.Request) { r.Model, r.Body = nova, chat }),
			"/model/amazon.nova-micro-v1%3A0/converse", chatJSON, nil},
		"Anthropic's door, with a translation": {native(request("anthropic", "Messages", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) { r.Body = chat }),
			"/model/anthropic.claude-v2/invoke", `{"anthropic_version":"bedrock-2023-05-31","x":1}`, nil},
		"Anthropic's door": {native(request("anthropic", "Messages", "anthropic.claude-v2", ` {"model":"alpha","stream":true,"max_tokens":9, "of_tomorrow":[1, 2],"anthropic_beta":["b"]} `), func(r *upstream.Request) {
			r.Stream, r.Native.Header = true, map[string]string{"Anthropic-Beta": "a, b,c"}
		}), "/model/anthropic.claude-v2/invoke-with-response-stream", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"of_tomorrow":[1, 2],"anthropic_beta":["b","a","c"]}`, map[string]string{"Anthropic-Beta": ""}},
		"Anthropic's door, another vendor's model": {native(request("anthropic", "Messages", nova, `{"x":1}`), func(r *upstream.Request) { r.Body = chat }),
			"/model/amazon.nova-micro-v1%3A0/converse", chatJSON, nil},
		"Anthropic's door, a provisioned throughput": {native(request("anthropic", "Messages", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) {
			r.Model = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc123def456"
		}), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aprovisioned-model%2Fabc123def456/invoke", `{"anthropic_version":"bedrock-2023-05-31","x":1}`, nil},
		"invoke, Messages to another vendor's model": {native(request("anthropic", "InvokeModel", nova, `{"x":1}`), func(r *upstream.Request) { r.Body = chat }),
			"/model/amazon.nova-micro-v1%3A0/converse", chatJSON, nil},
		"a bound profile": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) {
			r.Profile, r.ProfileName = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijkl", "alpha"
		}), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aapplication-inference-profile%2Fr9j1xkq5zqtd/invoke", `{"x":1}`, nil},
		"a bound profile, Converse": {native(request("converse", "Converse", "anthropic.claude-v2", ` {"x":1}`), func(r *upstream.Request) {
			r.Profile, r.ProfileName, r.Body = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijkl", "alpha", chat
		}), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aapplication-inference-profile%2Fr9j1xkq5zqtd/converse", ` {"x":1}`, nil},
		"another profile": {native(request("anthropic", "InvokeModel", "anthropic.claude-v2", `{"x":1}`), func(r *upstream.Request) {
			r.Profile, r.ProfileName = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/other", "beta"
		}), "/model/anthropic.claude-v2/invoke", `{"x":1}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for key, bind := range map[string]string{"name": "alpha", "id": "abcdefghijkl", "ARN": "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijkl"} {
				var asked atomic.Bool
				s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
					asked.Store(true)
					body, _ := io.ReadAll(r.Body)
					if r.URL.EscapedPath() != c.path || string(body) != c.body {
						t.Errorf("bound by %s: %s\n%s\nwant %s\n%s", key, r.URL.EscapedPath(), body, c.path, c.body)
					}
					for k, v := range c.header {
						if r.Header.Get(k) != v {
							t.Errorf("%s: %q, want %q", k, r.Header.Get(k), v)
						}
					}
					refuse(w, 503, "ServiceUnavailableException", "")
				}}
				p := open(t, s, func(c *Config) { c.Profiles = map[string]string{bind: arn} })
				if _, err := p.Send(t.Context(), c.request); !asked.Load() || !fault.Is(err, fault.Unavailable) {
					t.Errorf("asked %t, %v", asked.Load(), err)
				}
			}
		})
	}

	// What cannot go out.
	p := open(t, &service{answer: func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }}, func(c *Config) {
		c.Profiles = map[string]string{"alpha": arn}
		c.Credentials, c.APIKey = nil, "ABSKexample"
	})
	r := request("anthropic", "InvokeModel", "anthropic.claude-v2", `{}`)
	r.Model = nova
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "aws") {
		t.Errorf("a body that nobody can translate: %v", err)
	}
	r = request("converse", "Converse", nova, `{}`)
	r.Profile, r.ProfileName, r.Region = "arn:aws:bedrock:us-west-2:000000000000:application-inference-profile/x", "alpha", "us-west-2"
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a profile that is bound to another Region: %v", err)
	}
	r = request("converse", "Converse", nova, `{}`)
	r.Region = "us-east-1.example.com/"
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a Region that is none: %v", err)
	}
}

// TestBody holds a translated request with every member against the service model's names and forms (botocore
// bedrock-runtime 2023-09-30; its validator takes this JSON).
func TestBody(t *testing.T) {
	text, yes, most, warm := "Hi", true, 64, 0.5
	r := &converse.Request{
		System: []converse.SystemBlock{{Text: &text}, {CachePoint: &converse.CachePoint{Type: "default", TTL: "1h"}}},
		Messages: []converse.Message{
			{Role: "user", Content: []converse.ContentBlock{{Image: &converse.Image{Format: "png", Source: converse.ImageSource{Bytes: converse.EncodeBase64([]byte{0, 255})}}}, {Text: &text}}},
			{Role: "assistant", Content: []converse.ContentBlock{
				{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "hm", Signature: "c2ln"}}},
				{ReasoningContent: &converse.Reasoning{RedactedContent: []byte{1}}},
				{ToolUse: &converse.ToolUse{ToolUseID: "t1", Name: "f", Input: jsontext.Value(`{"a":1}`)}},
			}},
			{Role: "user", Content: []converse.ContentBlock{{ToolResult: &converse.ToolResult{ToolUseID: "t1", Status: "success", Content: []converse.ToolResultContent{{JSON: jsontext.Value(`{"b":2}`)}, {Text: &text}}}}}},
		},
		InferenceConfig: &converse.InferenceConfig{MaxTokens: &most, Temperature: &warm, StopSequences: []string{"|"}},
		ToolConfig: &converse.ToolConfig{
			Tools:      []converse.Tool{{ToolSpec: &converse.ToolSpec{Name: "f", Description: "d", InputSchema: converse.ToolInputSchema{JSON: jsontext.Value(`{"type":"object"}`)}, Strict: &yes}}},
			ToolChoice: &converse.ToolChoice{Auto: &struct{}{}},
		},
		AdditionalModelRequestFields: jsontext.Value(`{"top_k":5}`),
		RequestMetadata:              map[string]string{"team": "x"},
		ServiceTier:                  &converse.ServiceTier{Type: "flex"},
	}
	const want = `{"messages":[` +
		`{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AP8="}}},{"text":"Hi"}]},` +
		`{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"AQ=="}},{"toolUse":{"toolUseId":"t1","name":"f","input":{"a":1}}}]},` +
		`{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"json":{"b":2}},{"text":"Hi"}],"status":"success"}}]}],` +
		`"system":[{"text":"Hi"},{"cachePoint":{"type":"default","ttl":"1h"}}],` +
		`"inferenceConfig":{"maxTokens":64,"temperature":0.5,"stopSequences":["|"]},` +
		`"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}}],"toolChoice":{"auto":{}}},` +
		`"additionalModelRequestFields":{"top_k":5},"requestMetadata":{"team":"x"},"serviceTier":{"type":"flex"}}`
	p := open(t, &service{answer: func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != want {
			t.Errorf("%s\nwant\n%s", body, want)
		}
		w.Header().Set("Content-Type", "application/json")
		// Source: botocore's shapes of Converse's output; the usage with its details is recorded (test_converse_with_prompt_caching).
		fmt.Fprint(w, `{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[`+
			`{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"AQI="}},{"text":"x"},`+
			`{"toolUse":{"toolUseId":"t1","name":"f","input":{"a":1}}}]}},"stopReason":"tool_use","additionalModelResponseFields":{"k":1},`+
			`"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":33,"cacheReadInputTokens":10,"cacheWriteInputTokens":20,"cacheDetails":[{"ttl":"1h","inputTokens":15},{"ttl":"5m","inputTokens":5}]}}`)
	}}, nil)
	es, err := read(p.Send(t.Context(), &upstream.Request{Model: nova, ModelID: nova, Region: "us-east-1", Body: r}))
	if err != nil {
		t.Fatal(err)
	}
	if err := conversetest.CheckOrder(es); err != nil {
		t.Error(err)
	}
	answer, err := converse.Collect(func(yield func(converse.Event, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := (converse.Usage{InputTokens: 1, OutputTokens: 2, CacheReadInputTokens: 10, CacheWriteInputTokens: 20, CacheWrite1hInputTokens: 15}); answer.Usage != u {
		t.Errorf("%+v", answer.Usage)
	}
	b, err := json.Marshal(answer.Content)
	if want := `[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"AQI="}},{"text":"x"},{"toolUse":{"toolUseId":"t1","name":"f","input":{"a":1}}}]`; err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	if answer.StopReason != "tool_use" || string(answer.Fields) != `{"k":1}` {
		t.Errorf("%+v", answer)
	}
}

func TestFaults(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/r9j1xkq5zqtd"
	for _, c := range []struct {
		status  int
		name    string
		message string
		kind    fault.Kind
		shown   string // what the caller sees of it, "" for anything without the operator's secrets
		logged  bool
	}{
		// Words of Bedrock's are recorded or documented: see the troubleshooting page of its user guide.
		{400, "ValidationException", "The maximum tokens you requested exceed the model limit of 10. Try again with a maximum tokens value lower than 10.", fault.Validation, "The maximum tokens you requested exceed the model limit of 10. Try again with a maximum tokens value lower than 10.", false},
		{400, "ValidationException", "The model returned the following errors: " + arn + " no", fault.Validation, "The model returned the following errors: " + nova + " no", false},
		{400, "ValidationException", "The provided model identifier is invalid.", fault.ModelError, "", true},
		{400, "ValidationException", "Invocation of model ID " + arn + " with on-demand throughput isn\u2019t supported. Retry your request with the ID or ARN of an inference profile that contains this model.", fault.ModelError, "", true},
		{400, "ValidationException", "Operation not allowed", fault.ModelError, "", true},
		{429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", fault.Throttled, "", false},
		{400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account.", fault.Throttled, "", false},
		{429, "ModelNotReadyException", "Model is not ready for inference. Wait and try your request again.", fault.ModelNotReady, "Model is not ready for inference. Wait and try your request again.", false},
		{408, "ModelTimeoutException", "Timed out", fault.ModelTimeout, "", false},
		{424, "ModelErrorException", "The system encountered an unexpected error during processing. Try your request again.", fault.ModelError, "The system encountered an unexpected error during processing. Try your request again.", false},
		{500, "InternalServerException", "x", fault.Unavailable, "", false},
		{503, "ServiceUnavailableException", "x", fault.Unavailable, "", false},
		{403, "AccessDeniedException", "User: arn:aws:iam::111122223333:user/gateway is not authorized to perform: bedrock:InvokeModel on resource: " + arn, fault.ModelError, "", true},
		{403, "UnrecognizedClientException", "The security token included in the request is invalid.", fault.ModelError, "", true},
		{403, "ExpiredTokenException", "The security token included in the request is expired", fault.Unavailable, "", true},
		{403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been\n'POST\n/model\n\nx-amz-security-token:" + testSecret + "'", fault.ModelError, "", true},
		{404, "ResourceNotFoundException", "This model version has reached the end of its life.", fault.ModelError, "", true},
		{400, "com.amazon.coral.service#UnknownOperationException", "", fault.ModelError, "", true},
		{407, "", "", fault.ModelError, "", true},
		{502, "", "<html>", fault.Unavailable, "", false},
		{418, "TeapotException", "short and stout", fault.Validation, "The model returned the following errors: short and stout", false},
	} {
		t.Run(fmt.Sprint(c.status, c.name), func(t *testing.T) {
			var log bytes.Buffer
			p := open(t, &service{answer: func(w http.ResponseWriter, r *http.Request) {
				if c.name == "" {
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.message)
					return
				}
				w.Header().Set("Retry-After", "7")
				refuse(w, c.status, c.name, c.message)
			}}, func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				c.Profiles = map[string]string{"alpha": arn}
			})
			for _, stream := range []bool{false, true} {
				r := upstreamtest.Request(stream, nil)
				r.Model, r.ModelID, r.Profile, r.ProfileName = nova, nova, "arn:x/y", "alpha"
				_, err := p.Send(t.Context(), r)
				f := fault.From(err)
				if f == nil || f.Kind != c.kind || c.shown != "" && f.Message != c.shown {
					t.Fatalf("%v", err)
				}
				if f.OriginalStatus != c.status {
					t.Errorf("status %d", f.OriginalStatus)
				}
				if strings.Contains(f.Message, "1111") || strings.Contains(f.Message, "gateway") {
					t.Errorf("the caller sees %q", f.Message)
				}
				if want := c.kind == fault.Throttled; want && f.RetryAfter != 7*time.Second {
					t.Errorf("Retry-After %v", f.RetryAfter)
				}
			}
			if logged := log.Len() > 0; logged != c.logged || strings.Contains(log.String(), testSecret) {
				t.Errorf("logged: %s", &log)
			}
			if c.logged && c.name != "" && !strings.Contains(log.String(), "63dfbcb2-3536-4906-b10d-e5b126b3c0ae") {
				t.Errorf("the log has no request id: %s", &log)
			}
		})
	}
}

// TestSecret has refusals that repeat the API key: neither the caller nor the log reads it.
func TestSecret(t *testing.T) {
	const key = "ABSKc2VjcmV0LXNlY3JldC1zZWNyZXQ="
	said := `{"message":"no ` + key + `","originalMessage":"` + key + `","resourceName":"` + key + `","__type":"` + key + `"}`
	stream := replay(streamType, nil, encode("exception", ":exception-type", "modelStreamErrorException", said))
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"validation":   func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "ValidationException", "no "+key) },
		"unauthorized": func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "UnrecognizedClientException", "no "+key) },
		"model error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(424); _, _ = io.WriteString(w, said) },
		"proxy": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, "<p>Bearer "+key)
		},
		"in a stream": stream.answer,
	} {
		var log bytes.Buffer
		p := open(t, &service{answer: answer}, func(c *Config) {
			c.APIKey, c.Credentials, c.Logger = key, nil, slog.New(slog.NewTextHandler(&log, nil))
		})
		_, err := read(p.Send(t.Context(), upstreamtest.Request(true, nil)))
		if f := fault.From(err); err == nil || strings.Contains(err.Error()+f.Message+f.OriginalMessage+f.Resource+log.String(), key) {
			t.Errorf("%s: %v\n%s", name, err, &log)
		}
	}
}

// TestStreamFaults has streams that end otherwise than they should.
func TestStreamFaults(t *testing.T) {
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	exception := func(name, payload string) []byte { return encode("exception", ":exception-type", name, payload) }
	start := event("messageStart", `{"role":"assistant"}`)
	delta := event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hello you"}}`)
	stop := event("messageStop", `{"stopReason":"end_turn"}`)
	metadata := event("metadata", `{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`)
	flipped := bytes.Clone(delta)
	flipped[len(flipped)-8] ^= 1
	longer := bytes.Clone(delta) // nobody shall wait for what is not meant
	longer[2] ^= 1
	// Source of the exceptions: botocore's ConverseStreamOutput and ModelStreamErrorException.
	for name, c := range map[string]struct {
		body     []byte
		kind     fault.Kind
		events   int
		original int
	}{
		"throttled at once":     {exception("throttlingException", `{"message":"Too many requests"}`), fault.Throttled, 0, 200},
		"throttled later":       {join(start, delta, exception("throttlingException", `{"message":"Too many requests"}`)), fault.Throttled, 2, 200},
		"validation":            {exception("validationException", `{"message":"no"}`), fault.Validation, 0, 200},
		"model stream":          {join(start, delta, exception("modelStreamErrorException", `{"message":"broke","originalMessage":"why","originalStatusCode":500}`)), fault.ModelStream, 2, 500},
		"model timeout":         {join(start, exception("modelTimeoutException", `{"message":"slow"}`)), fault.ModelTimeout, 1, 200},
		"internal":              {join(start, exception("internalServerException", `{"message":"oops"}`)), fault.Unavailable, 1, 200},
		"service unavailable":   {exception("serviceUnavailableException", `{"message":"oops"}`), fault.Unavailable, 0, 200},
		"error frame":           {join(start, encode("error", ":error-code", "InternalFailure", "")), fault.Unavailable, 1, 200},
		"cut at once":           {nil, fault.Unavailable, 0, 0},
		"after the usage":       {join(start, delta, stop, metadata, exception("internalServerException", `{"message":"oops"}`)), fault.Unavailable, 3, 200},
		"cut":                   {join(start, delta), fault.ModelStream, 2, 200},
		"cut in a frame":        {join(start, delta[:40]), fault.ModelStream, 1, 200},
		"checksum":              {join(start, flipped), fault.ModelStream, 1, 200},
		"prelude's checksum":    {longer, fault.ModelError, 0, 200},
		"checksum at once":      {flipped, fault.ModelError, 0, 200},
		"not an event stream":   {[]byte(`{"message":"hello, I am no event stream at all"}`), fault.ModelError, 0, 200},
		"not JSON":              {event("contentBlockStart", `{`), fault.ModelError, 0, 200},
		"image":                 {join(start, event("contentBlockStart", `{"contentBlockIndex":0,"start":{"image":{"format":"png"}}}`)), fault.ModelStream, 1, 200},
		"tool's result":         {join(start, event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"toolResult":[{"text":"x"}]}}`)), fault.ModelStream, 1, 200},
		"too long":              {join(start, bytes.Repeat(delta, 3000), stop, metadata), fault.ModelStream, -1, 200},
		"message type":          {encode("hello", ":event-type", "messageStart", "{}"), fault.ModelError, 0, 200},
		"complete":              {join(start, delta, stop, metadata), 255, 4, 0},
		"no metadata":           {join(start, delta, stop), 255, 4, 0},
		"unknown event":         {join(start, event("somethingNew", `{}`), delta, stop, metadata), 255, 4, 0},
		"start of a text block": {join(start, event("contentBlockStart", `{"contentBlockIndex":0,"start":{}}`), delta, stop, metadata), 255, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, replay(streamType, nil, c.body), func(c *Config) { c.MaxAnswerBytes = 200 << 10 })
			es, err := read(p.Send(t.Context(), upstreamtest.Request(true, nil)))
			if len(es) != c.events && c.events >= 0 {
				t.Errorf("%d events", len(es))
			}
			if c.kind == 255 {
				if err != nil || es[3].Kind != converse.Metadata || es[3].Usage.OutputTokens != 2 || es[3].Estimated != (name == "no metadata") {
					t.Errorf("%v %+v", err, es)
				}
				return
			}
			if f := fault.From(err); err == nil || f.Kind != c.kind || f.OriginalStatus != c.original {
				t.Errorf("%v, status %d", err, fault.From(err).OriginalStatus)
			}
		})
	}

	// An answer that is passed on as it comes tells nothing of the input before its end: its estimate is made once, by who settles.
	p := open(t, replay(streamType, nil, join(start, delta)), nil)
	r := upstreamtest.Request(true, nil)
	r.Native = &upstream.Native{Format: "converse", Operation: "ConverseStream", Body: []byte(`{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`)}
	es, err := read(p.Send(t.Context(), r))
	if !fault.Is(err, fault.ModelStream) || len(es) != 2 || es[1].Kind != converse.Chunk || es[1].Usage.InputTokens != 0 || es[1].Usage.OutputTokens == 0 {
		t.Errorf("cut, passed on: %v %+v", err, es)
	}

	// Chunks: a metrics member that is not in the last one, and none at all.
	chunk := func(s string) []byte {
		return event("chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(s))+`"}`)
	}
	const metrics = `"amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9}`
	for name, c := range map[string]struct {
		body  []byte
		last  string
		usage converse.Usage
	}{
		// What Anthropic's message_start says of the output is no usage.
		"only a start":  {join(chunk(`{"type":"message_start","message":{"usage":{"input_tokens":14,"output_tokens":1}}}`), chunk(`{"delta":{"text":"abcd efgh"}}`), chunk(`{}`)), "", converse.Usage{InputTokens: 14, OutputTokens: 2}},
		"early metrics": {join(chunk(`{"text":"a"}`), chunk(`{"text":"b",`+metrics+`}`), chunk(`{"text":"c"}`)), `{"text":"c"}`, converse.Usage{InputTokens: 7, OutputTokens: 9}},
		"absurd":        {join(chunk(`{"text":"abcd"}`), chunk(`{"text":"efgh","amazon-bedrock-invocationMetrics":{"inputTokenCount":-7,"outputTokenCount":9}}`)), "*", converse.Usage{InputTokens: 3, OutputTokens: 2}},
		"no metrics":    {join(chunk(`{"text":"abcd"}`), chunk(`{"text":"efgh"}`), chunk(`{"x":1}`)), "", converse.Usage{InputTokens: 3, OutputTokens: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			es, err := read(open(t, replay(streamType, nil, c.body), nil).Send(t.Context(), request("", "InvokeModelWithResponseStream", "some.model-v1", `{"prompt":"Say a test"}`)))
			if err != nil {
				t.Fatal(err)
			}
			var all string
			for _, e := range es {
				all += string(e.Native)
			}
			last := es[len(es)-1]
			if c.last != "*" && string(last.Native) != c.last || last.Usage != c.usage || strings.Count(all, "{") < 3 || last.Kind != converse.Metadata || last.Estimated != (c.last == "" || c.last == "*") {
				t.Errorf("%q %+v", all, last)
			}
		})
	}
	if _, err := read(open(t, replay(streamType, nil, nil), nil).Send(t.Context(), request("", "InvokeModelWithResponseStream", "some.model-v1", `{}`))); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no chunk: %v", err)
	}
	if _, err := read(open(t, replay("application/json", nil, nil), nil).Send(t.Context(), request("", "InvokeModelWithResponseStream", "some.model-v1", `{}`))); !fault.Is(err, fault.ModelError) {
		t.Errorf("not a stream: %v", err)
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestWholeFaults has whole answers that are none.
func TestWholeFaults(t *testing.T) {
	for name, body := range map[string]string{
		"empty": ``, "not JSON": `<html>`, "no message": `{"usage":{}}`, "too long": `{"output":"` + strings.Repeat("x", 1<<20) + `"}`,
		"many blocks":   `{"output":{"message":{"content":[` + strings.Repeat(`{},`, 1<<18) + `{}]}},"stopReason":"end_turn"}`,
		"many results":  `{"output":{"message":{"content":[{"toolResult":{"content":[` + strings.Repeat(`{},`, 1<<18) + `]}}]}},"stopReason":"end_turn"}`,
		"picture":       `{"output":{"message":{"content":[{"image":{"format":"png","source":{"bytes":""}}}]}},"stopReason":"end_turn"}`,
		"server's tool": `{"output":{"message":{"content":[{"toolUse":{"toolUseId":"a","name":"b","input":{},"type":"server_tool_use"}}]}},"stopReason":"end_turn"}`,
	} {
		p := open(t, replay("application/json", nil, []byte(body)), func(c *Config) { c.MaxAnswerBytes = 64 << 10 })
		if strings.HasPrefix(name, "many") {
			p.cfg.MaxAnswerBytes = 1 << 20
		}
		if _, err := p.Send(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.ModelError) || fault.From(err).OriginalStatus != 200 || strings.HasPrefix(name, "many") != errors.Is(err, errParts) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := decoder{x: &exchange{}}
	if _, _, err := d.event(frame{kind: "event", name: "contentBlockDelta", payload: []byte(`{"delta":{"citation":[` + strings.Repeat("1,", 1<<18) + `1]}}`)}); !errors.Is(err, errParts) {
		t.Errorf("many citations: %v", err)
	}
	// What a foreign format cannot express goes on as it is where the format is Converse's.
	const picture = `{"output":{"message":{"content":[{"image":{"format":"png","source":{"bytes":""}}}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1}}`
	es, err := read(open(t, replay("application/json", nil, []byte(picture)), nil).Send(t.Context(), request("converse", "Converse", nova, `{}`)))
	if err != nil || len(es) != 2 || string(es[0].Native) != picture || es[0].StopReason != "end_turn" || es[1].Usage != (converse.Usage{InputTokens: 1, OutputTokens: 1}) {
		t.Errorf("%+v %v", es, err)
	}
}

// TestCitations has an answer that cites its sources, in the shapes of botocore's CitationsContentBlock and CitationsDelta.
func TestCitations(t *testing.T) {
	const one = `{"title":"Report","sourceContent":[{"text":"rain"}],"location":{"documentPage":{"documentIndex":0,"start":1,"end":2}}}`
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	for name, s := range map[string]*service{
		"whole": replay("application/json", nil, []byte(`{"output":{"message":{"role":"assistant","content":[{"citationsContent":{"content":[{"text":"It rains."}],"citations":[`+one+`]}}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2}}`)),
		"stream": replay(streamType, nil, join(event("messageStart", `{"role":"assistant"}`), event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"It rains."}}`),
			event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"citation":`+one+`}}`), event("contentBlockStop", `{"contentBlockIndex":0}`),
			event("messageStop", `{"stopReason":"end_turn"}`), event("metadata", `{"usage":{"inputTokens":1,"outputTokens":2}}`))),
	} {
		es, err := read(open(t, s, nil).Send(t.Context(), upstreamtest.Request(name == "stream", nil)))
		if err != nil {
			t.Fatal(name, err)
		}
		if len(es) != 6 || es[1].Text != "It rains." || es[2].Delta != converse.CitationDelta || string(es[2].Fields) != one {
			t.Errorf("%s: %+v", name, es)
		}
	}
}

// TestServed: how Bedrock served a call is told with the answer's end, whatever format the request came in; of InvokeModel
// its headers tell it, in a stream with the first chunk. The members are those of botocore's ConverseResponse and
// ConverseStreamMetadataEvent.
func TestServed(t *testing.T) {
	const serving = `"trace":{"guardrail":{"actionReason":"No action."}},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"flex"}`
	all := converse.Served{Tier: "flex", Latency: "optimized", Trace: []byte(`{"guardrail":{"actionReason":"No action."}}`)}
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	whole := []byte(`{"output":{"message":{"role":"assistant","content":[{"text":"a"}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":1,"outputTokens":2},` + serving + `}`)
	stream := join(event("messageStart", `{"role":"assistant"}`), event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"a"}}`), event("contentBlockStop", `{"contentBlockIndex":0}`),
		event("messageStop", `{"stopReason":"guardrail_intervened"}`), event("metadata", `{"usage":{"inputTokens":1,"outputTokens":2},`+serving+`}`))
	headers := map[string]string{"X-Amzn-Bedrock-Service-Tier": "flex", "X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}
	said := converse.Served{Tier: "flex", Latency: "optimized"}
	for name, c := range map[string]struct {
		s           *service
		r           *upstream.Request
		first, last *converse.Served
	}{
		"converse, translated":   {replay("application/json", nil, whole), upstreamtest.Request(false, nil), nil, &all},
		"converse, as it came":   {replay("application/json", nil, whole), request("converse", "Converse", nova, `{}`), nil, &all},
		"stream, translated":     {replay(streamType, nil, stream), upstreamtest.Request(true, nil), nil, &all},
		"stream, as it came":     {replay(streamType, nil, stream), request("converse", "ConverseStream", nova, `{}`), nil, &all},
		"invoke":                 {replay("application/json", headers, []byte(`{}`)), request("", "InvokeModel", nova, `{}`), nil, &said},
		"invoke stream":          {replay(streamType, headers, recorded(t, "invoke-stream-claude.bin")), request("", "InvokeModelWithResponseStream", "anthropic.claude-v2", `{}`), &said, &said},
		"nothing, converse":      {replay("application/json", nil, []byte(`{"output":{"message":{"content":[]}},"stopReason":"end_turn","trace":null}`)), upstreamtest.Request(false, nil), nil, nil},
		"nothing, invoke stream": {replay(streamType, nil, recorded(t, "invoke-stream-claude.bin")), request("", "InvokeModelWithResponseStream", "anthropic.claude-v2", `{}`), nil, nil},
	} {
		es, err := read(open(t, c.s, nil).Send(t.Context(), c.r))
		if err != nil {
			t.Fatal(name, err)
		}
		if first, last := es[0].Served, es[len(es)-1].Served; !reflect.DeepEqual(first, c.first) || !reflect.DeepEqual(last, c.last) {
			t.Errorf("%s: first %+v, last %+v", name, first, last)
		}
	}
}

// TestEmbed asks for embeddings in the canonical form. The answers are recorded (test_invoke_model_with_embeddings_model).
func TestEmbed(t *testing.T) {
	const cohere = `{"id":"836a33cc-61ec-4e65-afaf-c4628171a315","embeddings":[[0.0135,-0.0272]],"response_type":"embeddings_floats","texts":["Say this is a test"]}`
	in := &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: "Say this is a test"}}, Purpose: "search_document"}
	for model, c := range map[string]struct{ body, answer string }{
		"cohere.embed-v4:0":            {`{"texts":["Say this is a test"],"input_type":"search_document"}`, cohere},
		"amazon.titan-embed-text-v2:0": {`{"inputText":"Say this is a test"}`, `{"embedding":[0.0135,-0.0272],"inputTextTokenCount":5}`},
	} {
		for _, name := range []string{model, "us." + model, "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc123def456"} {
			p := open(t, &service{answer: func(w http.ResponseWriter, r *http.Request) {
				if b, _ := io.ReadAll(r.Body); string(b) != c.body || !strings.HasSuffix(r.URL.Path, "/invoke") {
					t.Errorf("%s %s", r.URL, b)
				}
				w.Header().Set("X-Amzn-Bedrock-Input-Token-Count", "5")
				fmt.Fprint(w, c.answer)
			}}, nil)
			out, err := p.Embed(t.Context(), &upstream.Request{Model: name, ModelID: model, Region: "us-east-1", Embedding: in})
			if err != nil || !reflect.DeepEqual(out.Float, [][]float32{{0.0135, -0.0272}}) || out.Usage != (converse.Usage{InputTokens: 5}) || out.Estimated {
				t.Errorf("%s: %+v %v", name, out, err)
			}
		}
	}
	p := open(t, replay("application/json", nil, []byte(`[]`)), nil)
	for model, kind := range map[string]fault.Kind{"cohere.embed-v4:0": fault.ModelError, nova: fault.Validation} {
		if _, err := p.Embed(t.Context(), &upstream.Request{Model: model, ModelID: model, Region: "us-east-1", Embedding: in}); !fault.Is(err, kind) {
			t.Errorf("%s: %v", model, err)
		}
	}
}

// TestRepeat says that a request goes out again when its kept connection ends without a byte of an answer, and no other does.
func TestRepeat(t *testing.T) {
	var asked atomic.Int64
	var breaks atomic.Bool
	s := &service{}
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if breaks.Swap(false) {
			upstreamtest.Reset(w)
			return
		}
		(&service{}).ServeHTTP(w, r)
	}
	p := open(t, s, nil)
	for range 2 {
		if _, err := read(p.Send(t.Context(), upstreamtest.Request(false, nil))); err != nil {
			t.Fatal(err)
		}
		breaks.Store(true)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	p = open(t, s, nil) // with no connection
	if _, err := read(p.Send(t.Context(), upstreamtest.Request(false, nil))); !fault.Is(err, fault.Unavailable) || asked.Load() != 4 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}

// TestProxy reaches Bedrock through a proxy, with the same time limits.
func TestProxy(t *testing.T) {
	var model atomic.Pointer[service]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "http://bedrock-runtime.us-east-1.invalid/model/model/converse" && r.RequestURI != "http://bedrock-runtime.us-east-1.invalid/model/model/converse-stream" {
			t.Errorf("the proxy was asked for %s", r.RequestURI)
		}
		model.Load().ServeHTTP(w, r)
	}))
	defer proxy.Close()
	p := open(t, &service{}, func(c *Config) {
		c.Endpoint, c.Client.FirstToken, c.Client.Proxy = "http://bedrock-runtime.{region}.invalid", 100*time.Millisecond, proxy.URL
	})
	for _, stream := range []bool{false, true} {
		model.Store(&service{})
		if es, err := read(p.Send(t.Context(), upstreamtest.Request(stream, nil))); err != nil || conversetest.CheckOrder(es) != nil {
			t.Errorf("%v %+v", err, es)
		}
	}
	model.Store(&service{behaviour: upstreamtest.Slow})
	if _, err := p.Send(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.ModelTimeout) {
		t.Errorf("%v", err)
	}
}

// TestOpenEnd has a server that says everything and does not end: the answer is complete all the same.
func TestOpenEnd(t *testing.T) {
	s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", streamType)
		_, _ = w.Write(recorded(t, "converse-stream-nova.bin"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	es, err := read(open(t, s, nil).Send(ctx, upstreamtest.Request(true, nil)))
	if err != nil || es[len(es)-1].Usage.OutputTokens != 202 || ctx.Err() != nil {
		t.Errorf("%v %v %+v", err, ctx.Err(), es)
	}
}

// pieces is an answer's body that comes as it is cut here.
type pieces [][]byte

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	if (*p)[0] = (*p)[0][n:]; len((*p)[0]) == 0 {
		*p = (*p)[1:]
	}
	return n, nil
}
func (*pieces) Close() error                 { return nil }
func (*pieces) SetReadTimeout(time.Duration) {}

// TestMore says that an event announces another one only where that has come.
func TestMore(t *testing.T) {
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	delta := event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hello you"}}`)
	body := &pieces{
		event("messageStart", `{"role":"assistant"}`), join(delta, delta, delta[:50]), delta[50:],
		// Frames that are no event keep none back.
		join(delta, event("contentBlockStart", `{"contentBlockIndex":1,"start":{}}`)), join(delta, event("somethingNew", `{}`)),
		join(event("contentBlockStop", `{"contentBlockIndex":0}`), event("messageStop", `{"stopReason":"end_turn"}`), event("metadata", `{"usage":{"inputTokens":1,"outputTokens":2}}`)),
	}
	x := &exchange{p: &Provider{cfg: Config{MaxAnswerBytes: 1 << 20}}, ctx: t.Context(), req: &upstream.Request{}, body: body, ask: ask{converse: true}}
	es, err := read(x.stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, false, false, false, true, true, false} {
		if es[i].More != want {
			t.Errorf("event %d: %+v", i, es[i])
		}
	}
}

// TestCredentials walks the ways in which a request is signed.
func TestCredentials(t *testing.T) {
	for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_BEARER_TOKEN_BEDROCK"} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	dir := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	var latest atomic.Pointer[http.Header]
	var seen http.Header
	s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
		latest.Store(&r.Header)
		(&service{}).ServeHTTP(w, r)
	}}
	send := func(t *testing.T, p *Provider) {
		t.Helper()
		latest.Store(nil)
		if _, err := read(p.Send(t.Context(), upstreamtest.Request(false, nil))); err != nil {
			t.Fatal(err)
		}
		seen = *latest.Load()
	}
	none := func(c *Config) { c.Credentials = nil }

	t.Run("none", func(t *testing.T) {
		var log bytes.Buffer
		p := open(t, s, func(c *Config) { c.Credentials, c.Logger = nil, slog.New(slog.NewTextHandler(&log, nil)) })
		if _, err := p.Send(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.Unavailable) || !strings.Contains(log.String(), "credentials") {
			t.Errorf("%v, logged %s", err, &log)
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", testKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
		t.Setenv("AWS_SESSION_TOKEN", "a session")
		send(t, open(t, s, none))
		if seen.Get("X-Amz-Security-Token") != "a session" {
			t.Error(seen)
		}
	})
	t.Run("shared files", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "credentials"), []byte("[bedrock]\naws_access_key_id="+testKey+"\naws_secret_access_key="+testSecret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		send(t, open(t, s, func(c *Config) { c.Credentials, c.AWSProfile = nil, "bedrock" }))
		if !strings.Contains(seen.Get("Authorization"), "Credential="+testKey+"/") || !strings.Contains(seen.Get("Authorization"), "/us-east-1/bedrock/") {
			t.Error(seen)
		}
	})
	t.Run("bearer key", func(t *testing.T) {
		send(t, open(t, s, func(c *Config) { c.Credentials, c.APIKey = nil, "ABSKexample" }))
		if seen.Get("Authorization") != "Bearer ABSKexample" || seen.Get("X-Amz-Date") != "" {
			t.Error(seen)
		}
	})
	t.Run("role", func(t *testing.T) {
		// Source of the answer: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
		var assumed atomic.Int64
		var expired atomic.Bool
		token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			number := assumed.Add(1)
			if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "AssumeRole" || r.Form.Get("RoleArn") != "arn:aws:iam::111122223333:role/bedrock" ||
				r.Form.Get("ExternalId") != "ext-1" || r.Form.Get("RoleSessionName") != "outcrop" || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDBASE/") {
				t.Errorf("%v %v", r.Form, r.Header)
			}
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/bedrock/outcrop</Arn><AssumedRoleId>ARO123EXAMPLE123:outcrop</AssumedRoleId></AssumedRoleUser>`+
				`<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>token-%d</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata></AssumeRoleResponse>`,
				testKey, testSecret, number, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}))
		defer token.Close()
		t.Setenv("AWS_ENDPOINT_URL_STS", token.URL)
		s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
			if expired.Swap(false) {
				refuse(w, 403, "ExpiredTokenException", "The security token included in the request is expired")
				return
			}
			s.answer(w, r)
		}}
		p := open(t, s, func(c *Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider("AKIDBASE", "base", "")
			c.AssumeRole = Role{ARN: "arn:aws:iam::111122223333:role/bedrock", ExternalID: "ext-1"}
		})
		send(t, p)
		send(t, p)
		if assumed.Load() != 1 || seen.Get("X-Amz-Security-Token") != "token-1" {
			t.Errorf("assumed %d times, %v", assumed.Load(), seen)
		}
		expired.Store(true)
		if _, err := p.Send(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
		if send(t, p); assumed.Load() != 2 || seen.Get("X-Amz-Security-Token") != "token-2" {
			t.Errorf("assumed %d times, %v", assumed.Load(), seen)
		}
	})
	t.Run("wrong secret", func(t *testing.T) { // the fake's verifier can fail
		p := open(t, s, func(c *Config) { c.Credentials = credentials.NewStaticCredentialsProvider(testKey, "wrong", "") })
		if _, err := p.Send(t.Context(), upstreamtest.Request(false, nil)); !fault.Is(err, fault.ModelError) || !strings.Contains(err.Error(), "InvalidSignature") {
			t.Errorf("%v", err)
		}
	})
	t.Run("the caller leaves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := open(t, s, nil).Send(ctx, upstreamtest.Request(false, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(&service{})
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	for _, trusted := range []bool{true, false} {
		c := Config{Name: "aws", Endpoint: s.URL, Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, "")}
		if trusted {
			c.Client.TLS = &tls.Config{RootCAs: pool}
		}
		p, err := New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := read(p.Send(t.Context(), upstreamtest.Request(true, nil))); trusted && err != nil || !trusted && !fault.Is(err, fault.Unavailable) {
			t.Errorf("trusted %t: %v", trusted, err)
		}
	}
}

func TestSilence(t *testing.T) {
	p := open(t, &service{behaviour: upstreamtest.Slow}, func(c *Config) { c.Client.FirstToken = 20 * time.Millisecond })
	if _, err := read(p.Send(t.Context(), upstreamtest.Request(false, nil))); !fault.Is(err, fault.ModelTimeout) {
		t.Errorf("%v", err)
	}
	s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", streamType)
		_, _ = w.Write(encode("event", ":event-type", "messageStart", `{"role":"assistant"}`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}}
	p = open(t, s, func(c *Config) { c.Client.FirstToken = 20 * time.Millisecond })
	if es, err := read(p.Send(t.Context(), upstreamtest.Request(true, nil))); !fault.Is(err, fault.ModelTimeout) || len(es) != 1 {
		t.Errorf("%v %+v", err, es)
	}
}

// TestHeaders: configured headers are outside the signature, but for Bedrock's own, which take the place of the caller's.
func TestHeaders(t *testing.T) {
	asked := false
	s := &service{answer: func(w http.ResponseWriter, r *http.Request) {
		asked = true
		if r.Header.Get("X-Team") != "research" || r.Header.Get("X-Amzn-Bedrock-Trace") != "DISABLED" || len(r.Header["X-Amzn-Bedrock-Trace"]) != 1 {
			t.Errorf("sent %v", r.Header)
		}
		if signed := r.Header.Get("Authorization"); strings.Contains(signed, "x-team") || !strings.Contains(signed, "x-amzn-bedrock-trace") {
			t.Errorf("signed %s", signed)
		}
		refuse(w, 429, "ThrottlingException", "Too many requests")
	}}
	p := open(t, s, func(c *Config) {
		c.Client.Header = http.Header{"x-team": {"research"}, "X-Amzn-Bedrock-Trace": {"DISABLED"}}
	})
	r := request("anthropic", "InvokeModel", "anthropic.claude-v2", `{}`)
	r.Native.Header = map[string]string{"X-Amzn-Bedrock-Trace": "ENABLED"}
	if _, err := p.Send(t.Context(), r); !fault.Is(err, fault.Throttled) || !asked {
		t.Error(err)
	}
}

func TestCountTokens(t *testing.T) {
	var body atomic.Value
	p := open(t, &service{answer: func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body.Store(string(b))
		if r.URL.EscapedPath() != "/model/amazon.nova-micro-v1%3A0/count-tokens" {
			t.Error(r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"inputTokens":15}`)
	}}, nil)
	for name, c := range map[string]struct {
		request *upstream.Request
		body    string
	}{
		// Source: botocore's CountTokensRequest; ConverseTokensRequest has no other members.
		"converse":   {request("converse", "Converse", nova, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"inferenceConfig":{"maxTokens":1},"system":[{"text":"b"}]}`), `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"a"}]}],"system":[{"text":"b"}]}}}`},
		"invoke":     {request("nova", "InvokeModel", nova, `{"a":1}`), `{"input":{"invokeModel":{"body":"eyJhIjoxfQ=="}}}`},
		"translated": {&upstream.Request{Model: nova, ModelID: nova, Region: "us-east-1", Body: upstreamtest.Request(false, nil).Body}, `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"Say hello to the weather in Paris."}]}]}}}`},
	} {
		if n, err := p.CountTokens(t.Context(), c.request); err != nil || n != 15 || body.Load() != c.body {
			t.Errorf("%s: %d %v\n%s", name, n, err, body.Load())
		}
	}
	p = open(t, &service{answer: func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 400, "ValidationException", "The provided model doesn't support counting tokens.")
	}}, nil)
	guess := open(t, replay("application/json", map[string]string{"X-Outcrop-Token-Count": "estimate"}, []byte(`{"inputTokens":15}`)), nil)
	if _, err := guess.CountTokens(t.Context(), request("nova", "InvokeModel", nova, `{}`)); !errors.Is(err, upstream.ErrEstimate) {
		t.Errorf("an estimate of another Outcrop's is an exact count: %v", err)
	}
	if _, err := p.CountTokens(t.Context(), request("nova", "InvokeModel", nova, `{}`)); !fault.Is(err, fault.Validation) {
		t.Errorf("%v", err)
	}
	for _, body := range []string{`{}`, `{"inputTokens":-1}`, `{"inputTokens":9223372036854775807}`} {
		p = open(t, replay("application/json", nil, []byte(body)), nil)
		if _, err := p.CountTokens(t.Context(), request("nova", "InvokeModel", nova, `{}`)); !fault.Is(err, fault.ModelError) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestAbsurdUsage has counts that no answer of Converse's has: they are not told, and so estimated.
func TestAbsurdUsage(t *testing.T) {
	event := func(name, payload string) []byte { return encode("event", ":event-type", name, payload) }
	for usage, want := range map[string]converse.Usage{
		`{"inputTokens":-5,"outputTokens":2}`:                           {OutputTokens: 2},
		`{"inputTokens":5,"outputTokens":9223372036854775807}`:          {OutputTokens: 2},
		`{"inputTokens":5,"outputTokens":2,"cacheWriteInputTokens":-9}`: {OutputTokens: 2},
		`{}`:                                 {OutputTokens: 2},
		`null`:                               {OutputTokens: 2},
		`{"inputTokens":0,"outputTokens":0}`: {},
		`{"inputTokens":5,"outputTokens":1,"cacheWriteInputTokens":3,"cacheDetails":[{"ttl":"1h","inputTokens":9}]}`:  {InputTokens: 5, OutputTokens: 1, CacheWriteInputTokens: 3, CacheWrite1hInputTokens: 3},
		`{"inputTokens":5,"outputTokens":1,"cacheWriteInputTokens":3,"cacheDetails":[{"ttl":"1h","inputTokens":-9}]}`: {InputTokens: 5, OutputTokens: 1, CacheWriteInputTokens: 3},
	} {
		estimated := want == converse.Usage{OutputTokens: 2}
		for _, stream := range []bool{false, true} {
			s := replay("application/json", nil, []byte(`{"output":{"message":{"role":"assistant","content":[{"text":"abcd efgh"}]}},"stopReason":"end_turn","usage":`+usage+`}`))
			if stream {
				s = replay(streamType, nil, join(event("messageStart", `{"role":"assistant"}`), event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"abcd efgh"}}`),
					event("messageStop", `{"stopReason":"end_turn"}`), event("metadata", `{"usage":`+usage+`}`)))
			}
			r := upstreamtest.Request(stream, nil)
			if estimated {
				want.InputTokens = r.Body.EstimateInputTokens()
			}
			es, err := read(open(t, s, nil).Send(t.Context(), r))
			if err != nil {
				t.Fatal(usage, err)
			}
			if last := es[len(es)-1]; last.Kind != converse.Metadata || last.Usage != want || last.Estimated != estimated {
				t.Errorf("%s, stream %t: %+v, estimated %t", usage, stream, last.Usage, last.Estimated)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"endpoint":         {Endpoint: "bedrock.example.com"},
		"endpoint's user":  {Endpoint: "https://a:b@example.com"},
		"key and role":     {APIKey: "k", AssumeRole: Role{ARN: "arn:aws:iam::111122223333:role/x"}},
		"key with a space": {APIKey: "a b"},
		"role without ARN": {AssumeRole: Role{ExternalID: "x"}},
		"role":             {AssumeRole: Role{ARN: "arn:aws:iam::111122223333:user/x"}},
		"profiles":         {Profiles: map[string]string{"alpha": "r9j1xkq5zqtd"}},
	} {
		c.Name = "aws-1"
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), "aws-1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct{ endpoint, region, want string }{
		{"", "eu-central-1", "https://bedrock-runtime.eu-central-1.amazonaws.com"},
		{"", "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"},
		{"https://bedrock-runtime-fips.{region}.amazonaws.com", "us-gov-west-1", "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"},
		{"https://vpce-1.example.com/base", "us-east-1", "https://vpce-1.example.com/base"},
	} {
		if u, err := (&Config{Endpoint: c.endpoint}).endpoint(c.region); err != nil || u.String() != c.want {
			t.Errorf("%v %v", u, err)
		}
	}
}

// TestReal asks the real Amazon Bedrock, in the Region of AWS_REGION and with the credentials of the default chain. It costs
// a fraction of a cent.
func TestReal(t *testing.T) {
	region := os.Getenv("AWS_REGION")
	if os.Getenv("OUTCROP_TEST_BEDROCK") != "1" || region == "" {
		t.Skip("set OUTCROP_TEST_BEDROCK=1, AWS_REGION and AWS credentials with access to Amazon Nova Micro to ask the real Amazon Bedrock")
	}
	p, err := New(t.Context(), Config{Name: "aws", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const body = `{"messages":[{"role":"user","content":[{"text":"Say this is a test"}]}],"inferenceConfig":{"maxTokens":10}}`
	for name, r := range map[string]*upstream.Request{
		"translated":        upstreamtest.Request(false, nil),
		"translated stream": upstreamtest.Request(true, nil),
		"converse":          request("converse", "Converse", nova, body),
		"converse stream":   request("converse", "ConverseStream", nova, body),
		"invoke":            request("nova", "InvokeModel", nova, body),
		"invoke stream":     request("nova", "InvokeModelWithResponseStream", nova, body),
	} {
		t.Run(name, func(t *testing.T) {
			r.Model, r.ModelID, r.Region = nova, nova, region
			es, err := read(p.Send(t.Context(), r))
			if err != nil {
				t.Fatal(err)
			}
			if last := es[len(es)-1]; last.Estimated || last.Usage.InputTokens == 0 || last.Usage.OutputTokens == 0 {
				t.Errorf("%+v", last)
			}
			if r.Native == nil {
				if err := conversetest.CheckOrder(es); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
