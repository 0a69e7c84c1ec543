package jamba

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// request is a Jamba body. Members that Converse has no place for stay in Rest.
type request struct {
	Messages    []message      `json:"messages"`
	MaxTokens   *int           `json:"max_tokens"`
	Temperature *float64       `json:"temperature"`
	TopP        *float64       `json:"top_p"`
	Stop        stops          `json:"stop"`
	N           *int           `json:"n"`
	Tools       []tool         `json:"tools"`
	Stream      jsontext.Value `json:"stream"` // what the path says
	Rest        jsontext.Value `json:",embed"`
}

type message struct {
	Role       string         `json:"role"`
	Content    string         `json:"content"`
	ToolCalls  []toolCall     `json:"tool_calls"`
	ToolCallID string         `json:"tool_call_id"`
	Rest       jsontext.Value `json:",embed"`
}

type toolCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type tool struct {
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
		Strict      *bool          `json:"strict"`
		Rest        jsontext.Value `json:",embed"`
	} `json:"function"`
}

// stops is a string or a list of them.
type stops []string

func (s *stops) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return json.UnmarshalDecode(d, (*[]string)(s))
	}
	var one string
	err := json.UnmarshalDecode(d, &one)
	*s = stops{one}
	return err
}

// The elements of the lists are held against their schema as they are read, at once: each takes many times the memory of
// a body's "{},".

func (m *message) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain message // without this method
	if err := json.UnmarshalDecode(d, (*plain)(m)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	switch m.Role {
	case "user", "system", "assistant":
	case "tool":
		if m.ToolCallID == "" {
			return checker.Refuse(path + ": required key [tool_call_id] not found")
		}
	case "":
		return checker.Refuse(path + ": required key [role] not found")
	default:
		return checker.Refuse(path + "/role: " + m.Role + " is not a valid enum value")
	}
	if len(m.ToolCalls) > 0 && m.Role != "assistant" {
		return checker.Refuse(path + ": extraneous key [tool_calls] is not permitted")
	}
	return unknown(path, m.Rest)
}

// unknown refuses members that are not known at path.
func unknown(path string, rest jsontext.Value) error {
	if found := checker.Extraneous(path, rest); len(found) > 0 {
		return checker.Refuse(found...)
	}
	return nil
}

func (c *toolCall) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain toolCall
	if err := json.UnmarshalDecode(d, (*plain)(c)); err != nil {
		return err
	}
	if c.ID == "" || c.Function.Name == "" {
		return checker.Refuse("#" + string(d.StackPointer()) + ": required keys [id, function] not found")
	}
	return nil
}

func (t *tool) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain tool
	if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	if t.Function.Name == "" {
		return checker.Refuse(path + ": required key [function] not found")
	}
	return unknown(path+"/function", t.Function.Rest)
}

// ParseRequest reads a Jamba body. A body that Bedrock would not take gives a fault.Validation in Bedrock's words.
//
//   - Messages of the role system at the head become system blocks. Messages of one role that follow one another become one
//     turn; a message of the role tool is a result in a turn of the user.
//   - n of 1 asks for nothing; more than one answer, a temperature beyond 1, where Converse's ends, frequency_penalty, presence_penalty, documents, response_format and
//     every member that is not known here go into AdditionalModelRequestFields, so that nothing is lost on the way to an
//     upstream that knows them.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	if err := json.Unmarshal(body, &q, lenient); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &converse.Request{}
	for i := range q.Messages {
		m := &q.Messages[i]
		if m.Role == "system" {
			if len(r.Messages) > 0 {
				return nil, checker.Refuse("#/messages/" + strconv.Itoa(i) + "/role: system is not a valid enum value")
			}
			if m.Content != "" { // Converse takes no empty one
				r.System = append(r.System, converse.SystemBlock{Text: &m.Content})
			}
			continue
		}
		addMessage(r, m)
	}
	var extra converse.Object
	if t := q.Temperature; t != nil && *t > 1 { // Converse's ends at 1
		extra.Add("temperature", jsontext.AppendFloat(nil, *t, 64))
		q.Temperature = nil
	}
	r.InferenceConfig = inferenceConfig(q.MaxTokens, q.Temperature, q.TopP, q.Stop)
	if q.N != nil && *q.N != 1 {
		extra.Add("n", strconv.AppendInt(nil, int64(*q.N), 10))
	}
	if err := converse.EachMember(q.Rest, func(name string, v jsontext.Value) error {
		extra.Add(name, v)
		return nil
	}); err != nil {
		return nil, checker.NotRead(err)
	}
	r.AdditionalModelRequestFields = extra.Value()
	if len(q.Tools) > 0 {
		r.ToolConfig = &converse.ToolConfig{}
	}
	for i := range q.Tools {
		f := &q.Tools[i].Function
		s := &converse.ToolSpec{Name: f.Name, Description: f.Description, Strict: f.Strict}
		switch f.Parameters.Kind() {
		case '{':
			s.InputSchema.JSON = f.Parameters
		case jsontext.KindInvalid, 'n':
			s.InputSchema.JSON = jsontext.Value(`{"type":"object","properties":{}}`)
		default:
			return nil, checker.Refuse("#/tools/" + strconv.Itoa(i) + "/function/parameters: expected type: JSONObject, found: " + checker.KindName(f.Parameters.Kind()))
		}
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, converse.Tool{ToolSpec: s})
	}
	return r, nil
}

// check finds what is wrong with the body as a whole. The ranges are the user guide's.
func (q *request) check() error {
	var bad []string
	switch {
	case q.Messages == nil:
		bad = append(bad, "#: required key [messages] not found")
	case len(q.Messages) == 0:
		bad = append(bad, "#/messages: expected minimum item count: 1, found: 0")
	}
	if q.MaxTokens != nil && *q.MaxTokens < 0 {
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(*q.MaxTokens)+" is not greater or equal to 0")
	}
	bad = append(bad, checker.Within("#/temperature", q.Temperature, 0, 2)...)
	bad = append(bad, checker.Within("#/top_p", q.TopP, 0, 1)...)
	if q.N != nil && (*q.N < 1 || *q.N > 16) {
		bad = append(bad, "#/n: "+strconv.Itoa(*q.N)+" is not of 1 to 16")
	}
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}

func addMessage(r *converse.Request, m *message) {
	role := converse.RoleUser
	if m.Role == "assistant" {
		role = converse.RoleAssistant
	}
	if n := len(r.Messages); n == 0 || r.Messages[n-1].Role != role {
		r.Messages = append(r.Messages, converse.Message{Role: role})
	}
	t := &r.Messages[len(r.Messages)-1]
	if m.Role == "tool" {
		t.Content = append(t.Content, converse.ContentBlock{ToolResult: &converse.ToolResult{
			ToolUseID: m.ToolCallID, Content: []converse.ToolResultContent{{Text: &m.Content}}}})
		return
	}
	if m.Content != "" || len(m.ToolCalls) == 0 {
		t.Content = append(t.Content, converse.ContentBlock{Text: &m.Content})
	}
	for i := range m.ToolCalls {
		c := &m.ToolCalls[i]
		in := jsontext.Value(c.Function.Arguments)
		if len(bytes.TrimSpace(in)) == 0 {
			in = jsontext.Value(`{}`)
		} else if !in.IsValid(lenient) {
			in = converse.AppendQuote(nil, c.Function.Arguments)
		}
		t.Content = append(t.Content, converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: c.ID, Name: c.Function.Name, Input: in}})
	}
}

var chatNames = outbound.Parameters{MaxTokens: "max_tokens", Temperature: "temperature", TopP: "top_p", StopSequences: "stop"}

// AppendRequest appends r as the body of a chat with Jamba. upstream names the server in refusals, which are of kind
// fault.Validation and name the member by its path in the Converse request. model and stream do not appear: on Bedrock the
// path says both.
//
//   - System blocks become one system message, and the text blocks of a turn one string, joined by a line break.
//   - A tool result becomes a message of role tool, before the rest of its turn: JSON as its text, status "error" as the
//     words "Error: " before it.
//   - Left out are hints whose loss changes no answer: cachePoint, toolChoice auto, performanceConfig "standard",
//     serviceTier "default", requestMetadata.
func AppendRequest(dst []byte, r *converse.Request, _ string, _ bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "AI21's chat completion"}
	w.raw(`{"messages":`)
	n := 0
	begin := func(role string) {
		w.element(n)
		n++
		w.raw(`{"role":"` + role + `"`)
	}
	var system []string
	for i := range r.System {
		switch b := &r.System[i]; {
		case b.Text != nil:
			system = append(system, *b.Text)
		case b.CachePoint != nil:
		default:
			return nil, w.refuse("system." + strconv.Itoa(i) + ".guardContent")
		}
	}
	if len(system) > 0 {
		begin("system")
		w.raw(`,"content":`)
		w.str(strings.Join(system, "\n"))
		w.raw(`}`)
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		t, err := w.turn(i, m)
		if err != nil {
			return nil, err
		}
		for _, res := range t.results {
			begin("tool")
			w.raw(`,"content":`)
			w.str(res.text)
			w.raw(`,"tool_call_id":`)
			w.str(res.id)
			w.raw(`}`)
		}
		if len(t.results) > 0 && len(t.texts) == 0 {
			continue
		}
		begin(m.Role)
		w.raw(`,"content":`)
		if len(t.texts) == 0 && len(t.calls) > 0 {
			w.raw(`null`)
		} else {
			w.str(strings.Join(t.texts, "\n"))
		}
		if len(t.calls) > 0 {
			w.raw(`,"tool_calls":`)
			w.b = appendCalls(w.b, t.calls)
		}
		w.raw(`}`)
	}
	if n == 0 {
		w.raw(`[`)
	}
	w.raw(`]`)
	w.b = chatNames.Append(w.b, r.InferenceConfig)
	if err := w.tools(r.ToolConfig); err != nil {
		return nil, err
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	if err := w.additional(r, &chatNames, "model", "messages", "stream", "n", "tools", "tool_choice"); err != nil {
		return nil, err
	}
	return append(w.b, '}'), nil
}

// turn is what one turn of a conversation holds.
type turn struct {
	texts   []string
	calls   []*converse.ToolUse
	results []result
}

type result struct{ id, text string }

func (w *writer) turn(i int, m *converse.Message) (turn, error) {
	var t turn
	for j := range m.Content {
		switch b := &m.Content[j]; {
		case b.Text != nil:
			t.texts = append(t.texts, *b.Text)
		case b.ToolUse != nil && m.Role == converse.RoleAssistant:
			if b.ToolUse.Type != "" {
				return t, w.refuse(outbound.At(i, j) + ".toolUse.type")
			}
			t.calls = append(t.calls, b.ToolUse)
		case b.ToolResult != nil && m.Role == converse.RoleUser:
			text, err := w.resultText(outbound.At(i, j)+".toolResult.content.", b.ToolResult)
			if err != nil {
				return t, err
			}
			t.results = append(t.results, result{b.ToolResult.ToolUseID, text})
		case b.CachePoint != nil:
		default:
			return t, w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	return t, nil
}

func (w *writer) resultText(path string, t *converse.ToolResult) (string, error) {
	var texts []string
	for k := range t.Content {
		path := path + strconv.Itoa(k)
		switch c := &t.Content[k]; {
		case c.Text != nil:
			texts = append(texts, *c.Text)
		case len(c.JSON) > 0:
			v := c.JSON.Clone()
			if v.Compact(lenient) != nil { // only what was never read by a decoder
				return "", fault.New(fault.Validation, "%s.json is not valid JSON.", path)
			}
			texts = append(texts, string(v))
		case c.Image != nil:
			return "", w.refuse(path + ".image")
		case len(c.Document) > 0:
			return "", w.refuse(path + ".document")
		case len(c.Video) > 0:
			return "", w.refuse(path + ".video")
		case len(c.SearchResult) > 0:
			return "", w.refuse(path + ".searchResult")
		default:
			return "", w.refuse(path + ".an empty content block")
		}
	}
	text := strings.Join(texts, "\n")
	if t.Status == "error" {
		text = "Error: " + text
	}
	return text, nil
}

func appendCalls(dst []byte, calls []*converse.ToolUse) []byte {
	for i, u := range calls {
		if i == 0 {
			dst = append(dst, '[')
		} else {
			dst = append(dst, ',')
		}
		in := string(u.Input)
		if in == "" {
			in = "{}"
		}
		dst = appendCall(dst, u.ToolUseID, u.Name, in)
	}
	return append(dst, ']')
}

func appendCall(dst []byte, id, name, arguments string) []byte {
	dst = converse.AppendQuote(append(dst, `{"id":`...), id)
	dst = converse.AppendQuote(append(dst, `,"type":"function","function":{"name":`...), name)
	dst = converse.AppendQuote(append(dst, `,"arguments":`...), arguments)
	return append(dst, `}}`...)
}

func (w *writer) tools(c *converse.ToolConfig) error {
	if c == nil {
		return nil
	}
	specs := 0
	for i := range c.Tools {
		path := "toolConfig.tools." + strconv.Itoa(i)
		s := c.Tools[i].ToolSpec
		switch {
		case c.Tools[i].CachePoint != nil:
			continue
		case s == nil:
			return w.refuse(path + ".systemTool")
		case s.Strict != nil && *s.Strict:
			return w.refuse(path + ".toolSpec.strict")
		}
		if specs == 0 {
			w.raw(`,"tools":`)
		}
		w.element(specs)
		specs++
		w.raw(`{"type":"function","function":{"name":`)
		w.str(s.Name)
		if s.Description != "" {
			w.raw(`,"description":`)
			w.str(s.Description)
		}
		if len(s.InputSchema.JSON) > 0 {
			w.raw(`,"parameters":`)
			w.b = append(w.b, s.InputSchema.JSON...)
		}
		w.raw(`}}`)
	}
	if specs > 0 {
		w.raw(`]`)
	}
	if t := c.ToolChoice; t != nil && t.Any != nil {
		return w.refuse("toolConfig.toolChoice.any")
	} else if t != nil && t.Tool != nil {
		return w.refuse("toolConfig.toolChoice.tool")
	}
	return nil
}

// finishWord is a stop reason in the words of the user guide, which has two, and of AI21's API for calls.
func finishWord(reason string) string {
	switch reason {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "length"
	case converse.StopToolUse:
		return "tool_calls"
	}
	return "stop"
}

// AppendResponse appends r as the answer of a chat. It has no place for thinking.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	texts, calls := contentOf(r)
	dst = converse.AppendQuote(append(dst, `{"id":`...), a.ID)
	dst = append(dst, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	if len(texts) == 0 && len(calls) > 0 {
		dst = append(dst, `null`...)
	} else {
		dst = converse.AppendQuote(dst, strings.Join(texts, "\n"))
	}
	dst = append(dst, `,"tool_calls":`...)
	if len(calls) == 0 {
		dst = append(dst, `null`...)
	} else {
		dst = appendCalls(dst, calls)
	}
	dst = append(append(append(dst, `},"finish_reason":"`...), finishWord(r.StopReason)...), `"}],`...)
	dst = appendUsage(dst, r.Usage.Total()-r.Usage.OutputTokens, r.Usage.OutputTokens)
	dst = converse.AppendQuote(append(dst, `,"model":`...), a.Model)
	dst = strconv.AppendInt(append(dst, `,"meta":{"requestDurationMillis":`...), a.Latency.Milliseconds(), 10)
	return append(dst, `}}`...)
}

func contentOf(r *converse.Response) (texts []string, calls []*converse.ToolUse) {
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.Text != nil:
			texts = append(texts, *b.Text)
		case b.ToolUse != nil:
			calls = append(calls, b.ToolUse)
		}
	}
	return texts, calls
}

// appendUsage appends the usage, whose prompt_tokens has every token of the prompt, cached ones too.
func appendUsage(dst []byte, prompt, completion int64) []byte {
	dst = strconv.AppendInt(append(dst, `"usage":{"prompt_tokens":`...), prompt, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), prompt+completion, 10)
	dst = strconv.AppendInt(append(dst, `,"completion_tokens":`...), completion, 10)
	return append(dst, '}')
}

// StreamEncoder turns the events of one answer into the chunks of a chat's stream: one of the role, one for each piece, one
// of how it ended with the usage, and one of Bedrock's metrics alone. AI21's client tells the last two from the others by
// `"finish_reason":null`, which all others have.
type StreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	calls  int // so far
	reason string
}

// Encode calls emit with the JSON of each chunk that e makes: none, one or two. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.MessageStart:
		b := append(s.choice(`"role":"assistant"`), `},"finish_reason":null}],`...)
		s.emit(append(appendUsage(b, s.InputTokens, 0), '}'), emit)
	case converse.BlockStart:
		b := strconv.AppendInt(s.choice(`"tool_calls":[{"index":`), int64(s.calls), 10)
		s.calls++
		b = converse.AppendQuote(append(b, `,"id":`...), e.ToolUseID)
		b = converse.AppendQuote(append(b, `,"type":"function","function":{"name":`...), e.ToolName)
		s.emit(append(b, `,"arguments":""}}]},"finish_reason":null}]}`...), emit)
	case converse.BlockDelta:
		switch e.Delta {
		case converse.TextDelta:
			b := converse.AppendQuote(s.choice(`"content":`), e.Text)
			s.emit(append(b, `},"finish_reason":null}]}`...), emit)
		case converse.ToolInputDelta:
			b := strconv.AppendInt(s.choice(`"tool_calls":[{"index":`), int64(s.calls-1), 10)
			b = converse.AppendQuote(append(b, `,"function":{"arguments":`...), e.Text)
			s.emit(append(b, `}}]},"finish_reason":null}]}`...), emit)
		}
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		b := append(append(s.choice(`"content":""`), `},"finish_reason":"`...), finishWord(s.reason)...)
		s.emit(append(appendUsage(append(b, `"}],`...), e.Usage.Total()-e.Usage.OutputTokens, e.Usage.OutputTokens), '}'), emit)
		s.emit(append(converse.AppendInvocationMetrics(append(s.buf[:0], '{'), &s.AnswerInfo, &e.Usage), '}'), emit)
	}
}

// choice begins a chunk whose delta begins as given.
func (s *StreamEncoder) choice(delta string) []byte {
	b := converse.AppendQuote(append(s.buf[:0], `{"id":`...), s.ID)
	b = append(b, `,"choices":[{"index":0,"delta":{`...)
	return append(b, delta...)
}

func (s *StreamEncoder) emit(b []byte, emit func([]byte)) {
	s.buf = b
	emit(b)
}
