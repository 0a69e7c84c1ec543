package openai

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// Responses is a request of the Responses API.
type Responses struct {
	Model  string
	Stream bool
	Tier   string // service_tier, "" for the default

	// As in Chat.
	Request *converse.Request
	Unfit   error

	echo [numEchoes]jsontext.Value // what the answer repeats
}

// The members of a request that its answer repeats, and what it says where there was none.
const (
	echoInstructions = iota
	echoMaxOutputTokens
	echoMaxToolCalls
	echoMetadata
	echoParallel
	echoPromptCacheKey
	echoReasoning
	echoSafetyIdentifier
	echoServiceTier
	echoTemperature
	echoText
	echoToolChoice
	echoTools
	echoTopP
	echoUser
	numEchoes
)

var echoes = [numEchoes]struct{ name, absent string }{
	echoInstructions: {"instructions", "null"}, echoMaxOutputTokens: {"max_output_tokens", "null"}, echoMaxToolCalls: {"max_tool_calls", "null"},
	echoMetadata: {"metadata", "{}"}, echoParallel: {"parallel_tool_calls", "true"}, echoPromptCacheKey: {"prompt_cache_key", "null"},
	echoReasoning: {"reasoning", `{"effort":null,"summary":null}`}, echoSafetyIdentifier: {"safety_identifier", "null"},
	echoServiceTier: {"service_tier", `"default"`}, echoTemperature: {"temperature", "1.0"},
	echoText: {"text", `{"format":{"type":"text"}}`}, echoToolChoice: {"tool_choice", `"auto"`}, echoTools: {"tools", "[]"},
	echoTopP: {"top_p", "1.0"}, echoUser: {"user", "null"},
}

// ParseResponses reads the body of POST /responses. Its errors are ParseChat's, and so is what becomes of members that both
// APIs have. The result refers to body.
//
//   - Nothing is kept, whatever store says, and the answer says store false: what refers to an earlier response or to a
//     stored conversation, prompt or item is Unfit, and so are the background and truncation by the server.
//   - Items that follow one another in one role become one turn. A reasoning item becomes thinking; the encrypted_content
//     that AppendResponse gave it is the seal on it.
//   - reasoning.effort and text.verbosity go to AdditionalModelRequestFields under the names that Chat Completions has for
//     them, reasoning_effort and verbosity.
//   - Left out are, besides ParseChat's hints, reasoning.summary, and of include what only says how much to repeat.
func ParseResponses(body []byte) (*Responses, error) {
	q := &Responses{}
	t := &translation{}
	r := &reader{}
	if err := r.begin(body); err != nil {
		return nil, err
	}
	var instructions string
	input := false
	err := r.object(func(name string) (err error) {
		for i := range echoes {
			if echoes[i].name == name {
				start := r.i
				defer func() {
					if err == nil {
						q.echo[i] = jsontext.Value(r.b[start:r.i:r.i])
					}
				}()
			}
		}
		if known, err := r.sampling(t, name); known {
			return err
		}
		switch name {
		case "model":
			return r.str(&q.Model)
		case "stream":
			return r.boolean(&q.Stream)
		case "instructions":
			return r.str(&instructions)
		case "input":
			input = true
			if r.kind() != '"' {
				return r.array(func(int) error { return r.item(t) })
			}
			var s string
			err := r.str(&s)
			t.add(converse.RoleUser, converse.ContentBlock{Text: &s})
			return err
		case "max_output_tokens":
			n, err := r.count(1<<31 - 1)
			t.config.MaxTokens = &n
			return err
		case "tools":
			return r.array(func(int) error { return r.flatTool(t) })
		case "tool_choice":
			return r.toolChoice(t)
		case "text":
			return r.object(func(name string) error {
				switch name {
				case "format":
					return r.textFormat(t)
				case "verbosity":
					return r.verbosity(t)
				}
				return r.cannot("There is no equivalent.")
			})
		case "reasoning":
			return r.object(func(name string) error {
				switch name {
				case "effort":
					return r.keep(t, "reasoning_effort")
				case "summary", "generate_summary":
					return r.skipValue()
				}
				return r.cannot("There is no equivalent.")
			})
		case "include":
			return r.array(func(int) error {
				var what string
				if err := r.str(&what); err != nil || what != "message.output_text.logprobs" {
					return err
				}
				return r.lacks("Log probabilities are not available.")
			})
		case "stream_options": // padding against eavesdroppers, which is never sent
			return r.skipValue()
		case "max_tool_calls": // of tools that run in the server, of which there are none
			return r.skipValue()
		case "background":
			return r.only("false", "A response is made while its caller waits.")
		case "truncation":
			return r.only(`"disabled"`, "What is too long is not cut.")
		case "previous_response_id", "conversation", "prompt":
			return r.cannot("Nothing is stored here: send the whole input.")
		case "context_management", "moderation":
			return r.cannot("It is not available.")
		}
		return r.keep(t, name)
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		return nil, err
	case !input:
		return nil, r.missing("input")
	}
	if strings.TrimSpace(instructions) != "" {
		t.System = append([]converse.SystemBlock{{Text: &instructions}}, t.System...)
	}
	for _, v := range q.echo {
		if v != nil && !v.IsValid() {
			return nil, badAt("", "A member of the request comes twice.")
		}
	}
	q.Tier = t.tier
	if q.Unfit = r.unfit; q.Unfit == nil {
		q.Request, q.Unfit, err = t.finish()
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// only takes one value and notes that there is no place for another.
func (r *reader) only(value, why string) error {
	raw, err := r.value()
	if err != nil || string(raw) == value {
		return err
	}
	return r.lacks(why)
}

// flatTool reads a tool of Responses, whose members stand beside its type.
func (r *reader) flatTool(t *translation) error {
	s := &converse.ToolSpec{}
	kind := ""
	unfit := r.unfit
	if err := r.object(func(name string) error {
		if name == "type" {
			return r.str(&kind)
		}
		return r.tool(name, s)
	}); err != nil {
		return err
	}
	switch kind {
	case "function":
		return r.addTool(t, s)
	case "":
		return r.missing("type")
	}
	r.unfit = unfit // which the tool's own members may have set
	return r.lacks("The only tools are functions.")
}

// item reads one item of the input.
func (r *reader) item(t *translation) error {
	var kind, role, callID, seal, other string
	var thought joined
	var content, output []converse.ContentBlock
	var u converse.ToolUse
	unfit := r.unfit
	if err := r.object(func(name string) error {
		switch name {
		case "type":
			return r.str(&kind)
		case "role":
			return r.str(&role)
		case "content":
			if r.kind() == '[' {
				return r.array(func(int) error { return r.itemPart(&content, &thought) })
			}
			return r.content(&content)
		case "summary":
			var summary []converse.ContentBlock
			err := r.array(func(int) error { return r.itemPart(&summary, &thought) })
			return err
		case "encrypted_content":
			return r.str(&seal)
		case "call_id":
			return r.str(&callID)
		case "name", "arguments":
			return r.call(&u, name)
		case "output":
			return r.content(&output)
		case "id", "status", "phase":
			return r.skipValue()
		}
		other = name
		return r.skipValue()
	}); err != nil {
		return err
	}
	if other != "" && (role == "user" || role == "system" || role == "developer" || kind == "function_call_output") {
		r.lacksMember(other, "There is no equivalent.") // an answer comes back with what its client has added to it
	}
	switch kind {
	case "message", "":
		if kind == "" && role == "" { // an item_reference, whose type may be left out
			return r.reference()
		}
		return r.itemMessage(t, role, content)
	case "item_reference":
		return r.reference()
	case "function_call":
		var m message
		if callID == "" {
			return r.missing("call_id")
		}
		if err := r.addCall(&m, callID, &u); err != nil {
			return err
		}
		t.add(converse.RoleAssistant, m.calls[0])
		return nil
	case "function_call_output":
		if callID == "" {
			return r.missing("call_id")
		}
		return r.result(t, callID, output)
	case "reasoning":
		return r.reasoning(t, thought.String(), seal)
	}
	r.unfit = unfit // which members of an item that is not known may have set
	return r.lacks("Items of the type '" + shorten(kind) + "' have no equivalent.")
}

// reference refuses an item that is stored elsewhere, also for a server of the format: see AppendNativeResponses.
func (r *reader) reference() error {
	return r.bad("Unsupported parameter: '%s'. Items are not stored here: send them whole.", r.where())
}

// itemPart reads a part of an item: of a message, or of thinking.
func (r *reader) itemPart(to *[]converse.ContentBlock, thought *joined) error {
	start := r.i
	var kind, text string
	if err := r.object(func(name string) error {
		if name == "type" {
			return r.str(&kind)
		}
		if name == "text" {
			return r.str(&text)
		}
		return r.skipValue()
	}); err != nil {
		return err
	}
	switch kind {
	case "reasoning_text", "summary_text":
		if !thought.empty() {
			thought.add("\n")
		}
		thought.add(text)
		return nil
	}
	r.i = start
	return r.part(to)
}

func (r *reader) itemMessage(t *translation, role string, content []converse.ContentBlock) error {
	switch role {
	case "user", "assistant":
		for _, b := range content {
			t.add(role, b)
		}
	case "system", "developer":
		for _, b := range content {
			switch {
			case b.Text != nil:
				t.instruct(*b.Text)
			case b.CachePoint != nil:
				t.System = append(t.System, converse.SystemBlock{CachePoint: b.CachePoint})
			default:
				return r.bad("Invalid value for '%s.content': the role '%s' takes text only.", r.where(), role)
			}
		}
	case "":
		return r.missing("role")
	default:
		return r.bad("Invalid value: '%.64s'. Supported values are: 'assistant', 'system', 'developer', and 'user'.", role)
	}
	return nil
}

// The encrypted_content of a reasoning item is the seal that the model's provider put on the thinking, or sealed thinking
// itself, in base64. It is opaque to the caller, who sends it back.
const (
	sealedSignature = "signature:"
	sealedThinking  = "redacted:"
)

func (r *reader) reasoning(t *translation, thought, seal string) error {
	switch {
	case seal == "":
	case strings.HasPrefix(seal, sealedSignature):
		t.add(converse.RoleAssistant, thinking(thought, seal[len(sealedSignature):]))
		return nil
	case strings.HasPrefix(seal, sealedThinking):
		raw, err := base64.StdEncoding.DecodeString(seal[len(sealedThinking):])
		if err != nil {
			return r.bad("Invalid '%s.encrypted_content': it was changed.", r.where())
		}
		t.add(converse.RoleAssistant, converse.ContentBlock{ReasoningContent: &converse.Reasoning{RedactedContent: raw}})
		return nil
	default: // OpenAI's own: nobody else can read it
		return r.lacks("The thinking was sealed elsewhere.")
	}
	if thought != "" {
		t.add(converse.RoleAssistant, thinking(thought, ""))
	}
	return nil
}

func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// AppendResponse appends r as a response.
func (q *Responses) AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	w := ResponsesEncoder{AnswerInfo: *a, q: q, stop: r.StopReason}
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.Text != nil:
			w.kind, w.text = converse.TextDelta, append(w.text[:0], *b.Text...)
		case b.CitationsContent != nil:
			w.kind, w.text = converse.TextDelta, append(w.text[:0], citedText(b.CitationsContent)...)
		case b.ToolUse != nil:
			w.kind, w.text = converse.ToolInputDelta, append(w.text[:0], argumentsText(b.ToolUse.Input)...)
			w.callID, w.name = b.ToolUse.ToolUseID, b.ToolUse.Name
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText != nil:
			w.kind, w.text = converse.ReasoningDelta, append(w.text[:0], b.ReasoningContent.ReasoningText.Text...)
			w.seal = append(w.seal[:0], b.ReasoningContent.ReasoningText.Signature...)
		case b.ReasoningContent != nil:
			w.kind, w.text = converse.RedactedDelta, w.text[:0]
			w.seal = append(w.seal[:0], b.ReasoningContent.RedactedContent...)
		default:
			continue // no provider makes another
		}
		if i < len(r.Content)-1 {
			w.keepItem("completed")
		} else {
			w.keepItem(w.status()) // where the answer was cut
		}
	}
	return w.appendResponse(dst, w.status(), &r.Usage, nil)
}

// ResponsesEncoder turns the events of one answer into the events of a Responses stream.
type ResponsesEncoder struct {
	converse.AnswerInfo
	q *Responses

	buf      []byte
	sequence int64
	stop     string

	open   bool
	block  int                // its index in Converse
	kind   converse.DeltaKind // of the open item: text, tool input, thinking or sealed thinking
	text   []byte             // of the open item so far
	seal   []byte             // on the open item's thinking, or the sealed thinking itself
	callID string
	name   string
	items  []byte // those that are done, each behind a comma
	count  int
}

// NewStream makes the encoder of the stream that the request asked for.
func (q *Responses) NewStream(a converse.AnswerInfo) *ResponsesEncoder {
	return &ResponsesEncoder{AnswerInfo: a, q: q}
}

// Encode calls emit with the name and the JSON of each event that e makes. The bytes are valid until emit returns.
func (w *ResponsesEncoder) Encode(e *converse.Event, emit func(name string, event []byte)) {
	switch e.Kind {
	case converse.MessageStart:
		for _, name := range []string{"response.created", "response.in_progress"} {
			b := append(w.begin(name), `,"response":`...)
			w.emit(name, w.appendResponse(b, "in_progress", nil, nil), emit)
		}
	case converse.BlockStart:
		w.openItem(e, converse.ToolInputDelta, emit)
	case converse.BlockDelta:
		w.delta(e, emit)
	case converse.MessageStop:
		w.stop = e.StopReason
		w.closeItem(w.status(), emit)
	case converse.Metadata:
		name := "response." + w.status()
		b := append(w.begin(name), `,"response":`...)
		w.emit(name, w.appendResponse(b, w.status(), &e.Usage, nil), emit)
	}
}

// AppendFailed appends the event response.failed, which ends a stream that breaks. code is one of those that a response's
// error has, "server_error" or "rate_limit_exceeded".
func (w *ResponsesEncoder) AppendFailed(dst []byte, code, message string) []byte {
	dst = append(dst, `{"type":"response.failed","sequence_number":`...)
	dst = strconv.AppendInt(dst, w.sequence, 10)
	dst = append(dst, `,"response":`...)
	failed := append(converse.AppendQuote([]byte(`{"code":`), code), `,"message":`...)
	failed = append(converse.AppendQuote(failed, message), '}')
	return append(w.appendResponse(dst, "failed", nil, failed), '}')
}

func (w *ResponsesEncoder) delta(e *converse.Event, emit func(string, []byte)) {
	switch e.Delta {
	case converse.TextDelta:
		w.openItem(e, converse.TextDelta, emit)
		w.piece("response.output_text.delta", `,"content_index":0`, `,"logprobs":[]`, e.Text, emit)
	case converse.ReasoningDelta:
		w.openItem(e, converse.ReasoningDelta, emit)
		w.piece("response.reasoning_text.delta", `,"content_index":0`, "", e.Text, emit)
	case converse.ToolInputDelta:
		w.piece("response.function_call_arguments.delta", "", "", e.Text, emit)
	case converse.SignatureDelta:
		w.openItem(e, converse.ReasoningDelta, emit)
		w.seal = append(w.seal, e.Text...)
	case converse.RedactedDelta:
		w.openItem(e, converse.RedactedDelta, emit)
		w.seal = append(w.seal, e.Text...)
	}
}

// piece writes a delta of the open item.
func (w *ResponsesEncoder) piece(name, before, after, text string, emit func(string, []byte)) {
	w.text = append(w.text, text...)
	b := append(w.place(w.begin(name)), before...)
	b = converse.AppendQuote(append(b, `,"delta":`...), text)
	w.emit(name, append(b, after...), emit)
}

// openItem begins an item of kind for e's block, unless it is open: text and thinking have no start event in
// ConverseStream. It ends the one before, which has waited to know whether it is the last and was cut.
func (w *ResponsesEncoder) openItem(e *converse.Event, kind converse.DeltaKind, emit func(string, []byte)) {
	if w.open && w.block == e.Index {
		return
	}
	w.closeItem("completed", emit)
	w.open, w.block, w.kind, w.text, w.seal = true, e.Index, kind, w.text[:0], w.seal[:0]
	w.callID, w.name = e.ToolUseID, e.ToolName
	b := w.output(w.begin("response.output_item.added"))
	w.emit("response.output_item.added", w.appendItem(append(b, `,"item":`...), "in_progress"), emit)
	if part := w.part(); part != "" {
		b := append(w.place(w.begin("response.content_part.added")), `,"content_index":0,"part":`...)
		w.emit("response.content_part.added", append(append(b, part...), `""}`...), emit)
	}
}

// part is a content part of the open item, up to its text; "" where an item of that kind has none.
func (w *ResponsesEncoder) part() string {
	switch w.kind {
	case converse.TextDelta:
		return `{"type":"output_text","annotations":[],"logprobs":[],"text":`
	case converse.ReasoningDelta:
		return `{"type":"reasoning_text","text":`
	}
	return ""
}

func (w *ResponsesEncoder) closeItem(status string, emit func(string, []byte)) {
	if !w.open {
		return
	}
	w.open = false
	if w.kind == converse.ToolInputDelta && len(w.text) == 0 { // a tool without arguments streams no input at all
		w.piece("response.function_call_arguments.delta", "", "", "{}", emit)
	}
	text := string(w.text)
	done := func(name, head, tail string) {
		b := append(w.place(w.begin(name)), head...)
		w.emit(name, append(converse.AppendQuote(b, text), tail...), emit)
	}
	switch w.kind {
	case converse.TextDelta:
		done("response.output_text.done", `,"content_index":0,"text":`, `,"logprobs":[]`)
	case converse.ReasoningDelta:
		done("response.reasoning_text.done", `,"content_index":0,"text":`, "")
	case converse.ToolInputDelta:
		name := append(converse.AppendQuote([]byte(`,"name":`), w.name), `,"arguments":`...)
		done("response.function_call_arguments.done", string(name), "")
	}
	if part := w.part(); part != "" {
		done("response.content_part.done", `,"content_index":0,"part":`+part, "}")
	}
	b := w.output(w.begin("response.output_item.done"))
	w.emit("response.output_item.done", w.appendItem(append(b, `,"item":`...), status), emit)
	w.keepItem(status)
}

// keepItem makes the item at hand one of the answer's.
func (w *ResponsesEncoder) keepItem(status string) {
	w.items = w.appendItem(append(w.items, ','), status)
	w.count++
	w.text, w.seal = w.text[:0], w.seal[:0]
}

// appendItem appends the item at hand.
func (w *ResponsesEncoder) appendItem(dst []byte, status string) []byte {
	dst = w.appendItemID(append(dst, `{"id":`...))
	switch w.kind {
	case converse.TextDelta:
		dst = append(append(append(dst, `,"type":"message","status":"`...), status...), `","role":"assistant","content":[`...)
	case converse.ToolInputDelta:
		dst = append(append(append(dst, `,"type":"function_call","status":"`...), status...), `","call_id":`...)
		dst = converse.AppendQuote(dst, w.callID)
		dst = append(dst, `,"name":`...)
		dst = converse.AppendQuote(dst, w.name)
		dst = append(dst, `,"arguments":`...)
		return append(converse.AppendQuote(dst, string(w.text)), '}')
	default:
		dst = append(dst, `,"type":"reasoning","summary":[]`...)
		if len(w.seal) > 0 {
			prefix, seal := sealedSignature, string(w.seal)
			if w.kind == converse.RedactedDelta {
				prefix, seal = sealedThinking, base64.StdEncoding.EncodeToString(w.seal)
			}
			dst = converse.AppendQuote(append(dst, `,"encrypted_content":`...), prefix+seal)
		}
		dst = append(dst, `,"content":[`...)
	}
	if part := w.part(); part != "" && status != "in_progress" {
		dst = append(converse.AppendQuote(append(dst, part...), string(w.text)), '}')
	}
	return append(dst, `]}`...)
}

// appendItemID appends the id of the item at hand, which the response's id and its place make.
func (w *ResponsesEncoder) appendItemID(dst []byte) []byte {
	prefix := "rs_"
	switch w.kind {
	case converse.TextDelta:
		prefix = "msg_"
	case converse.ToolInputDelta:
		prefix = "fc_"
	}
	return converse.AppendQuote(dst, prefix+strings.TrimPrefix(w.ID, "resp_")+"_"+strconv.Itoa(w.count))
}

// begin begins an event.
func (w *ResponsesEncoder) begin(name string) []byte {
	b := append(append(w.buf[:0], `{"type":"`...), name...)
	b = strconv.AppendInt(append(b, `","sequence_number":`...), w.sequence, 10)
	w.sequence++
	return b
}

// output says which item of the output an event is about.
func (w *ResponsesEncoder) output(b []byte) []byte {
	return strconv.AppendInt(append(b, `,"output_index":`...), int64(w.count), 10)
}

// place is output with the item's id.
func (w *ResponsesEncoder) place(b []byte) []byte {
	return w.output(w.appendItemID(append(b, `,"item_id":`...)))
}

func (w *ResponsesEncoder) emit(name string, b []byte, emit func(string, []byte)) {
	w.buf = append(b, '}')
	emit(name, w.buf)
}

// status is how the answer ended.
func (w *ResponsesEncoder) status() string {
	if w.incomplete() != "" {
		return "incomplete"
	}
	return "completed"
}

func (w *ResponsesEncoder) incomplete() string {
	switch finishReason(w.stop, false) {
	case "length":
		return "max_output_tokens"
	case "content_filter":
		return "content_filter"
	}
	return ""
}

// appendResponse appends the response as it is now. usage and failed are nil where there are none.
func (w *ResponsesEncoder) appendResponse(dst []byte, status string, usage *converse.Usage, failed []byte) []byte {
	dst = converse.AppendQuote(append(dst, `{"id":`...), w.ID)
	dst = strconv.AppendInt(append(dst, `,"object":"response","created_at":`...), w.Created.Unix(), 10)
	dst = append(append(append(dst, `,"status":"`...), status...), `","background":false,"error":`...)
	if failed == nil {
		failed = []byte("null")
	}
	dst = append(append(dst, failed...), `,"incomplete_details":`...)
	if why := w.incomplete(); why != "" && status == "incomplete" {
		dst = append(append(append(dst, `{"reason":"`...), why...), `"}`...)
	} else {
		dst = append(dst, `null`...)
	}
	dst = converse.AppendQuote(append(dst, `,"model":`...), w.Model)
	dst = append(dst, `,"output":[`...)
	if len(w.items) > 0 {
		dst = append(dst, w.items[1:]...)
	}
	dst = append(dst, `],"previous_response_id":null,"store":false,"top_logprobs":0,"truncation":"disabled"`...)
	for i := range echoes {
		v := string(w.q.echo[i])
		if v == "" || v == "null" {
			v = echoes[i].absent
		}
		dst = append(append(append(append(dst, `,"`...), echoes[i].name...), `":`...), v...)
	}
	dst = append(dst, `,"usage":`...)
	if usage == nil {
		return append(dst, `null}`...)
	}
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), usage.Total()-usage.OutputTokens, 10)
	dst = appendCached(append(dst, `,"input_tokens_details":`...), usage)
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), usage.OutputTokens, 10)
	dst = append(dst, `,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":`...) // the part is not known; all of it is output
	dst = strconv.AppendInt(dst, usage.Total(), 10)
	return append(dst, `}}`...)
}
