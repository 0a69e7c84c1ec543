package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// An answer is one of a vendor's in its own format.
type answer struct {
	whole  string
	events []string // of a stream: of openai and anthropic the data of its events, of converse NAME and a space before it
}

// write answers with a, in the framing of the vendor's API.
func (a *answer) write(w http.ResponseWriter, format string, stream bool) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, a.whole)
		return
	}
	if format != "converse" {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range a.events {
			writeSSE(w, e)
		}
		if format == "openai" {
			writeSSE(w, "[DONE]")
		}
		return
	}
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	for _, e := range a.events {
		name, payload, _ := strings.Cut(e, " ")
		writeFrame(w, name, payload)
	}
}

// invoked answers an InvokeModel with a, which is in the model's own format.
func (a *answer) invoked(w http.ResponseWriter, stream bool) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, a.whole)
		return
	}
	m := teller{w: w, native: &[3]string{}}
	m.begin()
	for _, e := range a.events {
		m.event(e)
	}
}

// writeSSE writes one event, named as its type is, which is what Anthropic's are.
func writeSSE(w io.Writer, data string) {
	if _, rest, ok := strings.Cut(data, `{"type":"`); ok && strings.HasPrefix(data, `{"type":"`) {
		name, _, _ := strings.Cut(rest, `"`)
		io.WriteString(w, "event: "+name+"\n")
	}
	io.WriteString(w, "data: "+data+"\n\n")
}

func writeFrame(w io.Writer, name, payload string) {
	var b bytes.Buffer
	kind, header := "event", ":event-type"
	if strings.HasSuffix(name, "Exception") {
		kind, header = "exception", ":exception-type"
	}
	err := eventstream.NewEncoder().Encode(&b, eventstream.Message{
		Headers: eventstream.Headers{
			{Name: header, Value: eventstream.StringValue(name)},
			{Name: ":content-type", Value: eventstream.StringValue("application/json")},
			{Name: ":message-type", Value: eventstream.StringValue(kind)},
		},
		Payload: []byte(payload),
	})
	if err == nil {
		_, _ = w.Write(b.Bytes())
	}
}

// responseAnswer is an answer of OpenAI's Responses: items are its output, status is how it ended, events what a stream has
// between its beginning and its end.
func responseAnswer(items, status string, events ...string) *answer {
	end, _, _ := strings.Cut(strings.TrimPrefix(status, `"status":"`), `"`)
	whole := `{"id":"resp_1","object":"response","model":"m",` + status + `,"output":[` + items + `],"usage":{"input_tokens":170,"input_tokens_details":{"cached_tokens":40},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":190}}`
	a := &answer{whole: whole, events: []string{`{"type":"response.created","response":{"id":"resp_1","object":"response","model":"m","status":"in_progress","output":[]}}`}}
	a.events = append(append(a.events, events...), `{"type":"response.`+end+`","response":`+whole+`}`)
	return a
}

// textItem and textEvents are a message of a Responses answer.
const textItem = `{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"ANSWER-MARK","annotations":[]}]}`

func textEvents(index string) []string {
	at := `"item_id":"msg_1","output_index":` + index + `,"content_index":0`
	return []string{`{"type":"response.output_item.added","output_index":` + index + `,"item":{"type":"message","id":"msg_1","role":"assistant","status":"in_progress","content":[]}}`,
		`{"type":"response.content_part.added",` + at + `,"part":{"type":"output_text","text":"","annotations":[]}}`,
		`{"type":"response.output_text.delta",` + at + `,"delta":"ANSWER-MARK"}`, `{"type":"response.output_text.done",` + at + `,"text":"ANSWER-MARK"}`,
		`{"type":"response.content_part.done",` + at + `,"part":{"type":"output_text","text":"ANSWER-MARK","annotations":[]}}`,
		`{"type":"response.output_item.done","output_index":` + index + `,"item":` + textItem + `}`}
}

// plain is a short answer in each format.
var plain = map[string]*answer{
	"responses": responseAnswer(textItem, `"status":"completed"`, textEvents("0")...),
	"openai": {
		whole: `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`,
		events: []string{`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi."},"finish_reason":null}]}`,
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`},
	},
	"anthropic": {
		whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":2}}`,
		events: []string{`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi."}}`,
			`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}`, `{"type":"message_stop"}`},
	},
	"converse": {
		whole: `{"output":{"message":{"role":"assistant","content":[{"text":"Hi."}]}},"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":2,"totalTokens":11},"metrics":{"latencyMs":1}}`,
		events: []string{`messageStart {"role":"assistant"}`, `contentBlockDelta {"delta":{"text":"Hi."},"contentBlockIndex":0}`, `contentBlockStop {"contentBlockIndex":0}`,
			`messageStop {"stopReason":"end_turn"}`, `metadata {"usage":{"inputTokens":9,"outputTokens":2,"totalTokens":11},"metrics":{"latencyMs":1}}`},
	},
}

// plainAnswer answers whatever is asked.
func plainAnswer(c *column, stream bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/invoke") { // of a body that goes on as it came the answer comes back as it is
			if strings.Contains(r.URL.Path, "/anthropic.") { // Messages of Anthropic's door too, whose answers are read
				a := *plain["anthropic"]
				a.whole = strings.Replace(a.whole, "{", `{"answer":"as it is",`, 1)
				a.events = slices.Clone(a.events)
				a.events[0] = strings.Replace(a.events[0], "{", `{"answer":"as it is",`, 1)
				a.invoked(w, stream)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if !stream {
				io.WriteString(w, `{"answer":"as it is"}`)
				return
			}
			w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
			writeFrame(w, "chunk", `{"bytes":"eyJhbnN3ZXIiOiJhcyBpdCBpcyJ9"}`)
			return
		}
		plain[c.format].write(w, c.format, stream)
	}
}

// An outcome is something that an answer may hold, or a way in which it may end.
type outcome struct {
	name    string
	ask     string             // the feature whose request is sent; "" is the plain one
	answers map[string]*answer // by the upstream's format; the format has no form of what is not here

	// Of the simulated models, what becomes of the request so that they answer so: pairs for a strings.Replacer. "" is that
	// they never do.
	simulated []string

	// The words that the caller is told by inbound; "" for all others. Of an inbound with none the format has no form.
	told map[string][]string
}

// chatAnswer, messageAnswer and converseAnswer put the parts of an answer into their formats, whole and streamed.
func chatAnswer(message, finish, usage string, deltas ...string) *answer {
	a := &answer{whole: `{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",` + message + `},"finish_reason":` + finish + `}],"usage":` + usage + `}`}
	for _, d := range deltas {
		a.events = append(a.events, `{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":`+d+`,"finish_reason":null}]}`)
	}
	finish, matched, _ := strings.Cut(finish, ",")
	if matched != "" {
		finish += "," + matched
	}
	a.events = append(a.events, `{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":`+finish+`}]}`,
		`{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":`+usage+`}`)
	return a
}

func messageAnswer(content, stop string, events ...string) *answer {
	const input = `"input_tokens":100,"cache_read_input_tokens":40,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10}`
	a := &answer{whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + content + `],` + stop + `,"usage":{` + input + `,"output_tokens":20}}`}
	a.events = append(a.events, `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{`+input+`,"output_tokens":1}}}`)
	a.events = append(a.events, events...)
	a.events = append(a.events, `{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{`+stop+`},"usage":{"output_tokens":20}}`, `{"type":"message_stop"}`)
	return a
}

func converseAnswer(content, stop string, events ...string) *answer {
	const usage = `"usage":{"inputTokens":100,"outputTokens":20,"totalTokens":190,"cacheReadInputTokens":40,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"5m","inputTokens":20},{"ttl":"1h","inputTokens":10}]},"metrics":{"latencyMs":1}`
	a := &answer{whole: `{"output":{"message":{"role":"assistant","content":[` + content + `]}},"stopReason":"` + stop + `",` + usage + `}`}
	a.events = append(append([]string{`messageStart {"role":"assistant"}`}, events...), `contentBlockStop {"contentBlockIndex":0}`, `messageStop {"stopReason":"`+stop+`"}`, `metadata {`+usage+`}`)
	return a
}

const chatUsage = `{"prompt_tokens":170,"completion_tokens":20,"total_tokens":190,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":7}}`

// ended is an answer of a text in each format that ends in some way.
func ended(chat, message, reason string) map[string]*answer {
	status := map[string]string{"max_tokens": `"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}`, "content_filtered": `"status":"incomplete","incomplete_details":{"reason":"content_filter"}`}[reason]
	return map[string]*answer{
		"responses": responseAnswer(textItem, cmp.Or(status, `"status":"completed"`), textEvents("0")...),
		"openai":    chatAnswer(`"content":"ANSWER-MARK"`, chat, chatUsage, `{"role":"assistant","content":"ANSWER-MARK"}`),
		"anthropic": messageAnswer(`{"type":"text","text":"ANSWER-MARK"}`, message, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ANSWER-MARK"}}`),
		"converse": converseAnswer(`{"text":"ANSWER-MARK"}`, reason, `contentBlockDelta {"delta":{"text":"ANSWER-MARK"},"contentBlockIndex":0}`),
	}
}

// The names by which the tables below call the formats: words of the inbounds' names.
var outcomes = []outcome{
	{name: "text", answers: ended(`"stop"`, `"stop_reason":"end_turn","stop_sequence":null`, "end_turn"), simulated: []string{}, told: map[string][]string{"": {"ANSWER-MARK"}}},
	{name: "call of a tool", ask: "tools", simulated: []string{},
		answers: map[string]*answer{
			"responses": responseAnswer(`{"type":"function_call","id":"fc_1","call_id":"call_9","name":"get_weather","arguments":"{\"city\":\"CITY-MARK\"}","status":"completed"}`, `"status":"completed"`,
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_1","call_id":"call_9","name":"get_weather","arguments":"","status":"in_progress"}}`,
				`{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":0,"delta":"{\"city\":\"CITY-MARK\"}"}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"fc_1","call_id":"call_9","name":"get_weather","arguments":"{\"city\":\"CITY-MARK\"}","status":"completed"}}`),
			"openai": chatAnswer(`"content":null,"tool_calls":[{"id":"call_9","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"CITY-MARK\"}"}}]`, `"tool_calls"`, chatUsage,
				`{"role":"assistant","tool_calls":[{"index":0,"id":"call_9","type":"function","function":{"name":"get_weather","arguments":""}}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":\"CITY-MARK\"}"}}]}`),
			"anthropic": messageAnswer(`{"type":"tool_use","id":"call_9","name":"get_weather","input":{"city":"CITY-MARK"}}`, `"stop_reason":"tool_use","stop_sequence":null`,
				`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"call_9","name":"get_weather","input":{}}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"CITY-MARK\"}"}}`),
			"converse": converseAnswer(`{"toolUse":{"toolUseId":"call_9","name":"get_weather","input":{"city":"CITY-MARK"}}}`, "tool_use",
				`contentBlockStart {"start":{"toolUse":{"toolUseId":"call_9","name":"get_weather"}},"contentBlockIndex":0}`, `contentBlockDelta {"delta":{"toolUse":{"input":"{\"city\":\"CITY-MARK\"}"}},"contentBlockIndex":0}`),
		},
		told: map[string][]string{"": {"get_weather", "CITY-MARK"}}},
	{name: "thinking",
		answers: map[string]*answer{
			"responses": responseAnswer(`{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"THOUGHT-MARK"}]},`+textItem, `"status":"completed"`, slices.Concat([]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}`,
				`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"THOUGHT-MARK"}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"THOUGHT-MARK"}]}}`}, textEvents("1"))...),
			"openai": chatAnswer(`"reasoning_content":"THOUGHT-MARK","content":"ANSWER-MARK"`, `"stop"`, chatUsage, `{"role":"assistant","reasoning_content":"THOUGHT-MARK"}`, `{"content":"ANSWER-MARK"}`),
			"anthropic": messageAnswer(`{"type":"thinking","thinking":"THOUGHT-MARK","signature":"U0lHTg=="},{"type":"text","text":"ANSWER-MARK"}`, `"stop_reason":"end_turn","stop_sequence":null`,
				`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"THOUGHT-MARK"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"U0lHTg=="}}`),
			"converse": converseAnswer(`{"reasoningContent":{"reasoningText":{"text":"THOUGHT-MARK","signature":"U0lHTg=="}}},{"text":"ANSWER-MARK"}`, "end_turn",
				`contentBlockDelta {"delta":{"reasoningContent":{"text":"THOUGHT-MARK"}},"contentBlockIndex":0}`, `contentBlockDelta {"delta":{"reasoningContent":{"signature":"U0lHTg=="}},"contentBlockIndex":0}`),
		},
		told: map[string][]string{"": {"THOUGHT-MARK"}, "Titan": nil, "Llama": nil, "Mistral": nil, "Cohere": nil, "Jamba": nil}},
	{name: "its signature", answers: map[string]*answer{}, // those of thinking, see init
		told: map[string][]string{"Converse": {"U0lHTg=="}, "Anthropic": {"U0lHTg=="}, "Nova": {"U0lHTg=="}}},
	{name: "redacted thinking",
		answers: map[string]*answer{
			"anthropic": messageAnswer(`{"type":"redacted_thinking","data":"U0VBTEVE"},{"type":"text","text":"ANSWER-MARK"}`, `"stop_reason":"end_turn","stop_sequence":null`,
				`{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"U0VBTEVE"}}`),
			"converse": converseAnswer(`{"reasoningContent":{"redactedContent":"U0VBTEVE"}},{"text":"ANSWER-MARK"}`, "end_turn", `contentBlockDelta {"delta":{"reasoningContent":{"redactedContent":"U0VBTEVE"}},"contentBlockIndex":0}`),
		},
		told: map[string][]string{"Converse": {"U0VBTEVE"}, "Anthropic": {"U0VBTEVE"}, "Nova": {"U0VBTEVE"}}},
	{name: "citations", ask: "citations asked for",
		answers: map[string]*answer{
			"anthropic": messageAnswer(`{"type":"text","text":"ANSWER-MARK","citations":[{"type":"char_location","cited_text":"SOURCE-MARK","document_index":0,"document_title":"doc","start_char_index":1,"end_char_index":4}]}`, `"stop_reason":"end_turn","stop_sequence":null`,
				`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":[]}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ANSWER-MARK"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"SOURCE-MARK","document_index":0,"document_title":"doc","start_char_index":1,"end_char_index":4}}}`),
			"converse": converseAnswer(`{"citationsContent":{"content":[{"text":"ANSWER-MARK"}],"citations":[{"title":"doc","sourceContent":[{"text":"SOURCE-MARK"}],"location":{"documentChar":{"documentIndex":0,"start":1,"end":4}}}]}}`, "end_turn",
				`contentBlockDelta {"delta":{"text":"ANSWER-MARK"},"contentBlockIndex":0}`,
				`contentBlockDelta {"delta":{"citation":{"title":"doc","sourceContent":[{"text":"SOURCE-MARK"}],"location":{"documentChar":{"documentIndex":0,"start":1,"end":4}}}},"contentBlockIndex":0}`),
		},
		told: map[string][]string{"Converse": {"SOURCE-MARK", "documentChar"}, "Anthropic": {"SOURCE-MARK", "char_location"}}},
	{name: "end: the most tokens", ask: "most tokens", simulated: []string{"77", "3"},
		answers: ended(`"length"`, `"stop_reason":"max_tokens","stop_sequence":null`, "max_tokens"),
		told: map[string][]string{"Converse": {`"stopReason":"max_tokens"`}, "Nova": {`"stopReason":"max_tokens"`}, "Anthropic": {`"stop_reason":"max_tokens"`}, "Titan": {`"completionReason":"LENGTH"`},
			"Llama": {`"stop_reason":"length"`}, "Mistral, text": {`"stop_reason":"length"`}, "Mistral, chat": {`_reason":"length"`}, "DeepSeek": {`"stop_reason":"length"`}, "Cohere": {`"finish_reason":"MAX_TOKENS"`},
			"Jamba": {`"finish_reason":"length"`}, "OpenAI and": {`"finish_reason":"length"`}, "Chat": {`"finish_reason":"length"`}, "Responses": {`"reason":"max_output_tokens"`}}},
	{name: "end: a stop sequence", ask: "stop sequences", simulated: []string{"STOP-MARK", "asked"},
		answers: ended(`"stop","stop_reason":"STOP-MARK"`, `"stop_reason":"stop_sequence","stop_sequence":"STOP-MARK"`, "stop_sequence"),
		told: map[string][]string{"Converse": {`"stopReason":"stop_sequence"`}, "Nova": {`"stopReason":"stop_sequence"`}, "Anthropic": {`"stop_reason":"stop_sequence"`}, "Titan": {`"completionReason":"STOP_CRITERIA_MET"`},
			"Mistral, text": {`"stop_reason":"stop"`}, "Mistral, chat": {`_reason":"stop"`}, "DeepSeek": {`"stop_reason":"stop"`}, "Cohere": {`"finish_reason":"COMPLETE"`},
			"Jamba": {`"finish_reason":"stop"`}, "OpenAI and": {`"finish_reason":"stop"`}, "Chat": {`"finish_reason":"stop"`}}},
	{name: "end: filtered",
		answers: ended(`"content_filter"`, `"stop_reason":"refusal","stop_sequence":null`, "content_filtered"),
		told: map[string][]string{"Converse": {`"stopReason":"content_filtered"`}, "Nova": {`"stopReason":"content_filtered"`}, "Anthropic": {`"stop_reason":"refusal"`}, "Titan": {`"completionReason":"CONTENT_FILTERED"`},
			"Cohere": {`"finish_reason":"ERROR_TOXIC"`}, "OpenAI and": {`"finish_reason":"content_filter"`}, "Chat": {`"finish_reason":"content_filter"`}, "Responses": {`"reason":"content_filter"`}}},
	{name: "usage, cached tokens apart", answers: ended(`"stop"`, `"stop_reason":"end_turn","stop_sequence":null`, "end_turn"), simulated: []string{}},
}

func init() {
	for i := range outcomes {
		if outcomes[i].name == "its signature" {
			outcomes[i].answers = map[string]*answer{"anthropic": outcomes[i-1].answers["anthropic"], "converse": outcomes[i-1].answers["converse"]}
		}
	}
}

// words returns what the caller with in is told of o.
func (o *outcome) words(in *inbound, c *column, stream bool) []string {
	if o.name == "usage, cached tokens apart" {
		return usageWords(in, c, stream)
	}
	for name, words := range o.told {
		if name != "" && strings.Contains(in.name, name) {
			return words
		}
	}
	return o.told[""]
}

// usageWords are the counts as each format has them: those of the upstream's answers above.
func usageWords(in *inbound, c *column, stream bool) []string {
	u := converse.Usage{InputTokens: 100, OutputTokens: 20, CacheReadInputTokens: 40, CacheWriteInputTokens: 30, CacheWrite1hInputTokens: 10}
	if c.name == "openai" { // which does not tell what was written
		u = converse.Usage{InputTokens: 130, OutputTokens: 20, CacheReadInputTokens: 40}
	}
	all := u.InputTokens + u.CacheReadInputTokens + u.CacheWriteInputTokens
	switch {
	case strings.HasSuffix(in.path, "/messages"):
		w := []string{fmt.Sprintf(`"input_tokens":%d`, u.InputTokens), `"cache_read_input_tokens":40`, fmt.Sprintf(`"cache_creation_input_tokens":%d`, u.CacheWriteInputTokens), `"output_tokens":20`}
		if u.CacheWriteInputTokens > 0 {
			w = append(w, `"ephemeral_1h_input_tokens":10`)
		}
		return w
	case strings.HasSuffix(in.path, "/chat/completions"):
		return []string{fmt.Sprintf(`"prompt_tokens":%d`, all), `"completion_tokens":20`, `"cached_tokens":40`}
	case strings.HasSuffix(in.path, "/responses"):
		return []string{fmt.Sprintf(`"input_tokens":%d`, all), `"output_tokens":20`, `"cached_tokens":40`}
	case in.path == "converse":
		w := []string{fmt.Sprintf(`"inputTokens":%d`, u.InputTokens), `"outputTokens":20`, `"cacheReadInputTokens":40`}
		if u.CacheWriteInputTokens > 0 {
			w = append(w, `"cacheWriteInputTokens":30`, `"1h"`)
		}
		return w
	case stream:
		return []string{fmt.Sprintf(`"inputTokenCount":%d`, u.InputTokens), `"outputTokenCount":20`, `"cacheReadInputTokenCount":40`, fmt.Sprintf(`"cacheWriteInputTokenCount":%d`, u.CacheWriteInputTokens)}
	}
	return []string{fmt.Sprintf("Input-Token-Count: %d", u.InputTokens), "Output-Token-Count: 20", "Cache-Read-Input-Token-Count: 40", fmt.Sprintf("Cache-Write-Input-Token-Count: %d", u.CacheWriteInputTokens)}
}

// answer says what becomes of outcome o of an answer from c to in.
func (c *column) answer(t *testing.T, in *inbound, o *outcome) string {
	members, asked := in.features[o.ask]
	if !asked && o.ask != "" {
		return noForm
	}
	if c.name == "bedrock" && in.path == "invoke" && !c.other {
		return c.verbatim(t, in)
	}
	a := o.answers[c.format]
	if c.vendor == nil && o.simulated == nil || c.vendor != nil && a == nil {
		return noForm
	}
	if len(o.words(in, c, false)) == 0 {
		return noForm
	}
	for _, stream := range []bool{false, true} {
		body := in.body(t, members, stream)
		if c.vendor == nil {
			body = strings.NewReplacer(o.simulated...).Replace(body)
		}
		arrived, status, h, told := c.ask(t, in, body, stream, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/invoke") { // Messages of Anthropic's door
				o.answers["anthropic"].invoked(w, stream)
				return
			}
			a.write(w, c.format, stream)
		})
		if arrived == nil && o.ask != "" && status == http.StatusBadRequest {
			return noForm // what would be answered so cannot be asked for, as the request's row says
		}
		text := readable(t, h, told)
		if c.vendor == nil {
			if status != http.StatusOK || !c.simulatedSays(in, o, text, stream) {
				t.Errorf("simulated to %s: %s (stream=%t): status %d, %s", in.name, o.name, stream, status, text)
			}
			continue
		}
		for _, w := range o.words(in, c, stream) {
			if status != http.StatusOK || !strings.Contains(text, w) {
				t.Errorf("%s to %s: %s (stream=%t): there is no %s in status %d, %s", c.title, in.name, o.name, stream, w, status, text)
				return lost
			}
		}
	}
	return arrives
}

// simulatedSays is what can be said of the answers of simulated models, whose words are their own.
func (c *column) simulatedSays(in *inbound, o *outcome, text string, stream bool) bool {
	switch o.name {
	case "text":
		return strings.Contains(text, "asked")
	case "call of a tool":
		return strings.Contains(text, "get_") || strings.Contains(text, "asked") // it may choose not to
	case "usage, cached tokens apart":
		return strings.Contains(text, "okens") || strings.Contains(text, "Token")
	}
	words := o.words(in, c, stream)
	return len(words) == 0 || strings.Contains(text, words[0])
}

// verbatim checks that an answer in the caller's own format comes back as it was given.
func (c *column) verbatim(t *testing.T, in *inbound) string {
	for _, stream := range []bool{false, true} {
		_, status, h, told := c.ask(t, in, in.body(t, "", stream), stream, plainAnswer(c, stream))
		if text := readable(t, h, told); status != http.StatusOK || !strings.Contains(text, `"answer":"as it is"`) {
			t.Errorf("%s to %s (stream=%t): status %d, %s", c.title, in.name, stream, status, text)
			return lost
		}
	}
	return arrives
}

// readable is an answer as JSON texts, one a line, without white space around their marks, and before them the headers.
func readable(t *testing.T, h http.Header, told []byte) string {
	t.Helper()
	var out strings.Builder
	for name, values := range h {
		fmt.Fprintf(&out, "%s: %s\n", name, values[0])
	}
	line := func(b []byte) {
		v := jsontext.Value(bytes.Clone(b))
		if v.Compact(jsontext.AllowDuplicateNames(true)) == nil {
			b = v
		}
		out.Write(append(b, '\n'))
	}
	switch {
	case strings.HasPrefix(h.Get("Content-Type"), "application/vnd.amazon.eventstream"):
		r := bytes.NewReader(told)
		for r.Len() > 0 {
			m, err := eventstream.NewDecoder().Decode(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			var chunk struct {
				Bytes []byte `json:"bytes"`
			}
			if json.Unmarshal(m.Payload, &chunk) == nil && chunk.Bytes != nil {
				m.Payload = chunk.Bytes
			}
			if x := m.Headers.Get(":exception-type"); x != nil {
				out.WriteString(x.String() + " ")
			}
			line(m.Payload)
		}
	case strings.HasPrefix(h.Get("Content-Type"), "text/event-stream"):
		for l := range strings.Lines(string(told)) {
			if data, ok := strings.CutPrefix(l, "data: "); ok {
				line([]byte(strings.TrimSpace(data)))
			}
		}
	default:
		line(told)
	}
	return out.String()
}
