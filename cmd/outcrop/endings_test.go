package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outcrop/converse"
	"outcrop/ledger"
)

// The answer of a model whose calls end in one of many ways: six pieceCount of ten words and a full stop each. Words as common
// as these are one token each of every published tokenizer, and so is the full stop.
const (
	pieceCount = 6
	piece      = " the house on the hill has a door and a window."
	pieceWords = 12
)

// nativeText has, for InvokeModel's formats, a whole answer and a chunk of a stream with %s where its text stands, and the
// members with which its last chunk tells how it ended. Of the documents named at inbounds.
var nativeText = map[string][3]string{
	"InvokeModel: Anthropic Claude": {`{"type":"message","role":"assistant","content":[{"type":"text","text":"%s"}],"stop_reason":"end_turn"}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}`, `{"type":"message_stop"}`},
	"Anthropic Messages": {`{"type":"message","role":"assistant","content":[{"type":"text","text":"%s"}],"stop_reason":"end_turn"}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}`, `{"type":"message_stop"}`},
	"InvokeModel: Amazon Nova": {`{"output":{"message":{"content":[{"text":"%s"}],"role":"assistant"}},"stopReason":"end_turn"}`,
		`{"contentBlockDelta":{"delta":{"text":"%s"},"contentBlockIndex":0}}`, `{"messageStop":{"stopReason":"end_turn"}}`},
	"InvokeModel: Amazon Titan Text":        {`{"results":[{"outputText":"%s","completionReason":"FINISH"}]}`, `{"outputText":"%s","index":0,"completionReason":null}`, `{"outputText":"","index":0,"completionReason":"FINISH"}`},
	"InvokeModel: Meta Llama":               {`{"generation":"%s","stop_reason":"stop"}`, `{"generation":"%s","stop_reason":null}`, `{"generation":"","stop_reason":"stop"}`},
	"InvokeModel: Mistral, text completion": {`{"outputs":[{"text":"%s","stop_reason":"stop"}]}`, `{"outputs":[{"text":"%s","stop_reason":null}]}`, `{"outputs":[{"text":"","stop_reason":"stop"}]}`},
	"InvokeModel: Mistral, chat completion": {`{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"stop_reason":"stop"}]}`, `{"choices":[{"index":0,"message":{"content":"%s"},"stop_reason":null}]}`,
		`{"choices":[{"index":0,"message":{"content":""},"stop_reason":"stop"}]}`},
	"InvokeModel: Cohere Command R": {`{"text":"%s","finish_reason":"COMPLETE"}`, `{"event_type":"text-generation","is_finished":false,"text":"%s"}`, `{"event_type":"stream-end","is_finished":true,"finish_reason":"COMPLETE"}`},
	"InvokeModel: Cohere Command":   {`{"generations":[{"text":"%s","finish_reason":"COMPLETE"}]}`, `{"index":0,"is_finished":false,"text":"%s"}`, `{"index":0,"is_finished":true,"finish_reason":"COMPLETE"}`},
	"InvokeModel: AI21 Jamba": {`{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}`,
		`{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}`},
	"InvokeModel: DeepSeek-R1": {`{"choices":[{"text":"%s","stop_reason":"stop"}]}`, `{"choices":[{"text":"%s","stop_reason":null}]}`, `{"choices":[{"text":"","stop_reason":"stop"}]}`},
	"InvokeModel: OpenAI and others": {`{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`},
}

// teller is a model's server that writes its answer piece by piece.
type teller struct {
	w      http.ResponseWriter
	format string     // openai, responses, anthropic, converse
	native *[3]string // of an answer in a format of InvokeModel
	stream bool
	tells  string // usage that is told with every piece, as Chat Completions has it
}

func (m *teller) flush() { _ = http.NewResponseController(m.w).Flush() }

func (m *teller) event(e string) {
	switch {
	case m.native != nil:
		writeFrame(m.w, "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(e))+`"}`)
	case m.format == "converse":
		name, payload, _ := strings.Cut(e, " ")
		writeFrame(m.w, name, payload)
	default:
		writeSSE(m.w, e)
	}
	m.flush()
}

func (m *teller) begin() {
	switch {
	case m.native != nil || m.format == "converse":
		m.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	default:
		m.w.Header().Set("Content-Type", "text/event-stream")
	}
	switch m.format {
	case "responses":
		for _, e := range append(plain["responses"].events[:1:1], textEvents("0")[:2]...) {
			m.event(e)
		}
	case "anthropic":
		m.event(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":100,"cache_read_input_tokens":40,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},"output_tokens":1}}}`)
		m.event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	case "converse":
		if m.native == nil {
			m.event(`messageStart {"role":"assistant"}`)
		}
	}
}

func (m *teller) say(n int) {
	for range n {
		switch {
		case m.native != nil:
			m.event(fmt.Sprintf(m.native[1], piece))
		case m.format == "openai":
			m.event(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"` + piece + `"},"finish_reason":null}]` + m.tells + `}`)
		case m.format == "responses":
			m.event(`{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"` + piece + `"}`)
		case m.format == "anthropic":
			m.event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + piece + `"}}`)
		default:
			m.event(`contentBlockDelta {"delta":{"text":"` + piece + `"},"contentBlockIndex":0}`)
		}
	}
}

const (
	messageUsage  = `"input_tokens":100,"cache_read_input_tokens":40,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10}`
	converseUsage = `{"inputTokens":100,"outputTokens":20,"totalTokens":190,"cacheReadInputTokens":40,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"5m","inputTokens":20},{"ttl":"1h","inputTokens":10}]}`
)

// end ends a stream, with its usage or without.
func (m *teller) end(usage bool) {
	m.stop(usage)
	switch {
	case m.native != nil:
	case m.format == "openai":
		m.event("[DONE]")
	case m.format == "responses":
		m.event(`{"type":"response.completed","response":` + responseText(usage) + `}`)
	case m.format == "anthropic":
		m.event(`{"type":"message_stop"}`)
	}
}

// stop tells why the model has stopped, with its usage or without. In the format of Responses the event does that with which
// the stream ends.
func (m *teller) stop(usage bool) {
	switch {
	case m.native != nil:
		last := m.native[2]
		if usage {
			last = last[:len(last)-1] + `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":100,"outputTokenCount":20,"cacheReadInputTokenCount":40,"cacheWriteInputTokenCount":30,"invocationLatency":1,"firstByteLatency":1}}`
		}
		m.event(last)
	case m.format == "openai":
		m.event(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
		if usage {
			m.event(`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":` + chatUsage + `}`)
		}
	case m.format == "responses":
	case m.format == "anthropic":
		m.event(`{"type":"content_block_stop","index":0}`)
		if usage {
			m.event(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":20}}`)
		} else {
			m.event(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null}}`)
		}
	default:
		m.event(`contentBlockStop {"contentBlockIndex":0}`)
		m.event(`messageStop {"stopReason":"end_turn"}`)
		if usage {
			m.event(`metadata {"usage":` + converseUsage + `,"metrics":{"latencyMs":1}}`)
		}
	}
}

// responseText is the whole answer in the form of Responses, with its usage or without.
func responseText(usage bool) string {
	whole := strings.ReplaceAll(plain["responses"].whole, "ANSWER-MARK", strings.Repeat(piece, pieceCount))
	if !usage {
		whole, _, _ = strings.Cut(whole, `,"usage"`)
		whole += "}"
	}
	return whole
}

// whole is an answer that is not streamed, with its usage or without.
func (m *teller) whole(usage bool) string {
	m.w.Header().Set("Content-Type", "application/json")
	text := strings.Repeat(piece, pieceCount)
	counts := ""
	switch {
	case m.native != nil:
		if usage {
			for name, n := range map[string]string{"Input": "100", "Output": "20", "Cache-Read-Input": "40", "Cache-Write-Input": "30"} {
				m.w.Header().Set("X-Amzn-Bedrock-"+name+"-Token-Count", n)
			}
		}
		return fmt.Sprintf(m.native[0], text)
	case m.format == "openai":
		if usage {
			counts = `,"usage":` + chatUsage
		}
		return `{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}]` + counts + `}`
	case m.format == "responses":
		return responseText(usage)
	case m.format == "anthropic":
		if usage {
			counts = `,"usage":{` + messageUsage + `,"output_tokens":20}`
		}
		return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"` + text + `"}],"stop_reason":"end_turn","stop_sequence":null` + counts + `}`
	}
	if usage {
		counts = `,"usage":` + converseUsage
	}
	return `{"output":{"message":{"role":"assistant","content":[{"text":"` + text + `"}]}},"stopReason":"end_turn","metrics":{"latencyMs":1}` + counts + `}`
}

// refuse answers with an error of the vendor's API.
func (m *teller) refuse(status int) {
	m.w.Header().Set("Content-Type", "application/json")
	body := `{"error":{"message":"no","type":"server_error","code":null}}`
	switch {
	case m.native != nil || m.format == "converse":
		m.w.Header().Set("X-Amzn-Errortype", map[int]string{429: "ThrottlingException", 400: "ValidationException"}[status])
		if status >= 500 {
			m.w.Header().Set("X-Amzn-Errortype", "InternalServerException")
		}
		body = `{"message":"no"}`
	case m.format == "anthropic":
		body = `{"type":"error","error":{"type":"` + map[int]string{429: "rate_limit_error", 400: "invalid_request_error", 500: "api_error"}[status] + `","message":"no"}}`
	}
	m.w.WriteHeader(status)
	io.WriteString(m.w, body)
}

// fail breaks a stream off with an error in its own form.
func (m *teller) fail() {
	switch {
	case m.native != nil || m.format == "converse":
		writeFrame(m.w, "modelStreamErrorException", `{"message":"no","originalStatusCode":500,"originalMessage":"no"}`)
	case m.format == "responses":
		m.event(`{"type":"error","code":"server_error","message":"no","param":null}`)
	case m.format == "anthropic":
		m.event(`{"type":"error","error":{"type":"overloaded_error","message":"no"}}`)
	default:
		m.event(`{"error":{"message":"no","type":"server_error","code":500}}`)
	}
	m.flush()
}

// cut breaks the connection.
func (m *teller) cut() {
	if c, _, err := http.NewResponseController(m.w).Hijack(); err == nil {
		_ = c.Close()
	}
}

// An ending is how a call may end, and what the ledger must have of it.
type ending struct {
	name  string
	ask   string // the feature whose request is sent; "" is the plain one
	stop  string // the stop reason that is recorded, "" is any
	does  func(m *teller, r *http.Request)
	leave bool // the caller goes: of a stream when its first piece is there, of a whole answer when it was asked for
	cut   bool // the upstream is cut at once when its caller has gone

	streams, wholes bool // which answers can end so

	status ledger.Status
	reason string // that is recorded; "*" is any
	told   bool   // the usage is the upstream's
	none   bool   // nothing was generated
	soFar  int64  // the output that the upstream has told of by then, with all of its input; only Chat Completions tells it before the end
	early  bool   // it needs a format that tells the usage before its stream ends
	said   int    // pieceCount that the upstream has said, of which an estimate is made
	ended  bool   // the body ends as it should, and the answer in it does not
	either bool   // it is also complete, where the answer's end came before it was seen that the caller had gone
}

var endings = []ending{
	{name: "normal", streams: true, wholes: true, status: ledger.Completed, told: true,
		does: func(m *teller, _ *http.Request) { m.all(true) }},
	{name: "no usage", streams: true, wholes: true, status: ledger.Completed, reason: "the upstream reported no usage", said: pieceCount,
		does: func(m *teller, _ *http.Request) { m.all(false) }},
	{name: "refused", streams: true, wholes: true, status: ledger.Failed, reason: "*", none: true, does: func(m *teller, _ *http.Request) { m.refuse(400) }},
	{name: "throttled", streams: true, wholes: true, status: ledger.Failed, reason: "*", none: true, does: func(m *teller, _ *http.Request) { m.refuse(429) }},
	{name: "failed", streams: true, wholes: true, status: ledger.Failed, reason: "*", none: true, does: func(m *teller, _ *http.Request) { m.refuse(500) }},
	{name: "error in the stream", streams: true, status: ledger.Failed, reason: "*", said: 3,
		does: func(m *teller, _ *http.Request) { m.begin(); m.say(3); m.fail() }},
	{name: "error behind the usage", streams: true, told: true, early: true, status: ledger.Failed, reason: "*",
		does: func(m *teller, _ *http.Request) { m.begin(); m.say(pieceCount); m.stop(true); m.fail() }},
	{name: "cut in the stream", streams: true, status: ledger.Failed, reason: "*", said: 3,
		does: func(m *teller, _ *http.Request) { m.begin(); m.say(3); m.cut() }},
	{name: "cut in a stream that tells its usage", streams: true, soFar: 15, status: ledger.Failed, reason: "*",
		does: func(m *teller, _ *http.Request) {
			m.tells = `,"usage":` + strings.Replace(chatUsage, `"completion_tokens":20`, `"completion_tokens":15`, 1)
			m.begin()
			m.say(3)
			m.cut()
		}},
	{name: "ended in the stream", streams: true, ended: true, status: ledger.Failed, reason: "*", said: 3,
		does: func(m *teller, _ *http.Request) { m.begin(); m.say(3) }},
	{name: "caller leaves, the usage comes", streams: true, wholes: true, leave: true, status: ledger.Cancelled, reason: "caller went away", told: true, either: true},
	{name: "caller leaves, the upstream is cut", streams: true, wholes: true, leave: true, cut: true, status: ledger.Cancelled, reason: "caller went away", said: 1},
}

// outcomeEndings are those of the answers that TestFormats brings back, by the format of the upstream.
func outcomeEndings(format string) (all []ending) {
	stops := map[string]string{"call of a tool": converse.StopToolUse, "end: the most tokens": converse.StopMaxTokens, "end: a stop sequence": converse.StopStopSequence, "end: filtered": converse.StopContentFiltered}
	for i := range outcomes {
		o := &outcomes[i]
		a := o.answers[format]
		if a == nil || format == "responses" && o.ask == "stop sequences" { // which Responses has none of: they are refused
			continue
		}
		all = append(all, ending{name: o.name, ask: o.ask, streams: true, wholes: true, status: ledger.Completed, told: true, stop: cmp.Or(stops[o.name], converse.StopEndTurn),
			does: func(m *teller, _ *http.Request) { a.write(m.w, m.format, m.stream) }})
	}
	return all
}

// all answers with everything.
func (m *teller) all(usage bool) {
	if !m.stream {
		io.WriteString(m.w, m.whole(usage))
		return
	}
	m.begin()
	m.say(pieceCount)
	m.end(usage)
}

// TestEndings lets a call of every format with every upstream end in every way. Each is settled exactly once, with the usage
// that the upstream told or else an estimate that is marked as one, and with the reason.
func TestEndings(t *testing.T) {
	t.Parallel()
	models := map[string]string{}
	for i := range inbounds {
		models[inbounds[i].model] = inbounds[i].model
	}
	for _, other := range []bool{false, true} {
		for _, provider := range []string{"openai", "responses", "anthropic", "bedrock"} {
			for _, cut := range []bool{false, true} {
				models := models
				if other {
					if provider != "bedrock" {
						continue
					}
					models = map[string]string{}
					for i := range inbounds {
						models[inbounds[i].model] = "writer.palmyra-x5-v1:0"
					}
				}
				t.Run(fmt.Sprintf("%s, other=%t, cut=%t", provider, other, cut), func(t *testing.T) {
					t.Parallel()
					testEndings(t, provider, models, other, cut)
				})
			}
		}
	}
}

// expected is a call that was made.
type expected struct {
	*ending
	name   string
	openai bool
	native bool // the upstream is asked in the caller's own format of InvokeModel
	stream bool

	begun   bool // the upstream tells its input when it begins, as Anthropic's do
	unnamed bool
}

func testEndings(t *testing.T, provider string, models map[string]string, other, cut bool) {
	v := startVendor(t)
	drain := time.Hour
	if cut {
		drain = 0
	}
	g := startGateway(t, func(c *Config) {
		u := v.to(t, provider, models)
		u.Drain = &drain
		c.Upstreams = []UpstreamConfig{u}
		c.Shutdown.Drain = time.Second
	})
	made := map[string]expected{} // by request id
	var unnamed []expected        // those whose callers have never seen one
	for i := range inbounds {
		in := &inbounds[i]
		of := endings
		if _, native := nativeText[in.name]; !native || provider != "bedrock" || other {
			of = slices.Concat(endings, outcomeEndings(map[string]string{"openai": "openai", "responses": "responses", "anthropic": "anthropic", "bedrock": "converse"}[provider]))
		}
		for j := range of {
			e := &of[j]
			if _, ok := in.features[e.ask]; !ok && e.ask != "" {
				continue
			}
			if e.leave && e.cut != cut || !e.leave && cut || e.early && provider == "responses" || e.soFar > 0 && provider != "openai" {
				continue
			}
			for _, stream := range []bool{false, true} {
				if stream && !e.streams || !stream && !e.wholes {
					continue
				}
				m := teller{format: provider, stream: stream}
				if provider == "bedrock" {
					m.format = "converse"
					if n, ok := nativeText[in.name]; ok && !other {
						m.native = &n
					}
				}
				x := expected{ending: e, name: fmt.Sprintf("%s: %s (stream=%t)", in.name, e.name, stream), openai: provider == "openai" || provider == "responses", native: m.native != nil, stream: stream, begun: provider == "anthropic" && stream && e.said > 0}
				id := g.endCall(t, in, v, &x, m)
				if id == "" {
					unnamed = append(unnamed, x)
				} else if _, twice := made[id]; twice {
					t.Errorf("%s: the request id %s comes twice", x.name, id)
				} else {
					made[id] = x
				}
			}
		}
	}
	var entries []*ledger.Entry
	for range 400 { // what a caller has left may still be under way
		if entries = g.entries(t); len(entries) >= len(made)+len(unnamed) {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if len(entries) != len(made)+len(unnamed) {
		t.Errorf("%d calls have %d entries", len(made)+len(unnamed), len(entries))
	}
	for _, e := range entries {
		x, ok := made[e.Intent.ID.String()]
		delete(made, e.Intent.ID.String())
		if !ok {
			if len(unnamed) == 0 {
				t.Errorf("an entry of no call, or of one that has another: %+v", e)
				continue
			}
			x = unnamed[0]
			x.unnamed = true // it may be any of them: they differ in little
		}
		x.check(t, e)
	}
	for id, x := range made {
		t.Errorf("%s: call %s has no entry", x.name, id)
	}
}

// endCall makes one call and lets it end. It returns the call's request id, "" where the caller was never told.
func (g *gateway) endCall(t *testing.T, in *inbound, v *vendor, x *expected, m teller) string {
	t.Helper()
	asked, gone, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	v.answers(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		m := m
		m.w = w
		if !x.leave {
			x.does(&m, r)
			return
		}
		if m.stream {
			m.begin()
			m.say(1)
		}
		close(asked)
		<-gone
		if x.cut {
			<-r.Context().Done() // which it is when this server is cut, and would never be otherwise
			return
		}
		if !m.stream {
			m.all(true)
			return
		}
		m.say(pieceCount - 1)
		m.end(true)
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	id := ""
	if x.leave && !m.stream {
		go func() {
			select {
			case <-asked:
				leave()
				close(gone)
			case <-ctx.Done(): // it was refused
			}
		}()
	}
	resp, err := g.send(ctx, in.url(m.stream), in.body(t, in.features[x.ask], m.stream))
	if err == nil {
		id = resp.Header.Get("X-Amzn-Requestid")
		if x.leave && resp.StatusCode != http.StatusOK {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			t.Errorf("%s: the upstream was not asked: %d %s", x.name, resp.StatusCode, b)
			return id
		}
		if x.leave && m.stream {
			if _, err := io.ReadAtLeast(resp.Body, make([]byte, 1<<16), 1); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
			<-asked
			leave()
			close(gone)
		} else {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		resp.Body.Close()
	} else if !x.leave {
		t.Errorf("%s: %v", x.name, err)
	}
	if x.leave {
		<-over
	}
	return id
}

func (x *expected) check(t *testing.T, e *ledger.Entry) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s; entry: status %v reason %q estimated %t usage %+v", x.name, fmt.Sprintf(format, args...), e.Status, e.Reason, e.Estimated, e.Usage)
	}
	status, reason := x.status, x.reason
	if x.native && x.ended { // a body of whatever format that ends as it should
		status, reason = ledger.Completed, "the upstream reported no usage"
	}
	if x.either && e.Status == ledger.Completed {
		status, reason = ledger.Completed, ""
	}
	if e.Status != status || reason != "*" && e.Reason != reason || reason == "*" && e.Reason == "" {
		bad("want status %v, reason %q", status, reason)
	}
	if x.stop != "" && e.StopReason != x.stop {
		bad("it stopped with %q, want %q", e.StopReason, x.stop)
	}
	switch {
	case x.told:
		hour := int64(10)
		if x.native || x.unnamed { // Bedrock's counts beside a model's own answer say nothing of that time
			hour = e.Usage.CacheWrite1hInputTokens
		}
		want := converse.Usage{InputTokens: 100, OutputTokens: 20, CacheReadInputTokens: 40, CacheWriteInputTokens: 30, CacheWrite1hInputTokens: hour}
		if x.openai {
			want = converse.Usage{InputTokens: 130, OutputTokens: 20, CacheReadInputTokens: 40}
		}
		if e.Usage != want || e.Estimated {
			bad("want the upstream's own usage %+v", want)
		}
	case x.soFar > 0:
		if want := (converse.Usage{InputTokens: 130, OutputTokens: x.soFar, CacheReadInputTokens: 40}); e.Usage != want || !e.Estimated {
			bad("want what the upstream has told, as an estimate: %+v", want)
		}
	case x.none:
		if e.Usage != (converse.Usage{}) || e.Estimated {
			bad("nothing was generated")
		}
	default:
		words := int64(x.said * pieceWords)
		if !x.stream && x.leave {
			words = 0 // nobody has seen any of it
		}
		if x.begun && (e.Usage.InputTokens != 100 || e.Usage.CacheReadInputTokens != 40 || e.Usage.CacheWriteInputTokens != 30 || e.Usage.CacheWrite1hInputTokens != 10) {
			bad("want the input that the upstream told when it began")
		}
		if !e.Estimated || e.Usage.InputTokens == 0 || e.Usage.OutputTokens < words*3/4 || e.Usage.OutputTokens > words*5/4 {
			bad("want an estimate of about %d tokens of output", words)
		}
	}
}
