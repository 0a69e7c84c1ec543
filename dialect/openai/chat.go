package openai

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// Chat is a request of Chat Completions.
type Chat struct {
	Model        string
	Stream       bool
	IncludeUsage bool   // stream_options.include_usage
	Tier         string // service_tier, "" for the default
	Functions    bool   // tools came as functions, the older form: the answer calls them so too

	// Request is the same in Converse. It is nil where Converse has no place for something that the body asks for, or
	// Bedrock's rules for a conversation do not allow it, and Unfit then says what, in a fault.Validation. A server that speaks Chat Completions itself may still take the body.
	Request *converse.Request
	Unfit   error
}

// ParseChat reads the body of POST /chat/completions. A body that is wrong gives a fault.Validation in OpenAI's words with
// the member's path in Resource, or a fault.Serialization where it is no JSON. The result refers to body.
//
//   - Messages that follow one another in one role become one turn, and those of the roles tool and function are the
//     user's, since Converse's turns alternate. Those of the roles system and developer come first, wherever they stand.
//     Text that is blank is left out: Bedrock takes none.
//   - Pictures, recordings and files are taken as data, not from elsewhere. A part's cache_control or
//     prompt_cache_breakpoint becomes a cachePoint.
//   - max_completion_tokens is max_tokens, and metadata is requestMetadata.
//   - A temperature beyond 1, where Converse's ends, response_format json_object and every member that Converse has none
//     for go to AdditionalModelRequestFields, unless its value is the default, which some clients send with every request.
//   - tool_choice "none" leaves the tools out, unless the messages use them: to the model it is the same. It then is an
//     additional field. Tools that tool_choice does not allow are left out.
//   - Left out are hints whose loss changes no answer: user, safety_identifier, the prompt_cache members (these name a
//     cache, and prefixes are found by what they hold), store (nothing is kept here), a picture's detail, the schema's
//     strict, which Bedrock always is, and what earlier answers have beside their text, thinking and tool
//     calls: clients add members of their own to them.
func ParseChat(body []byte) (*Chat, error) {
	c := &Chat{}
	t := &translation{}
	r := &reader{}
	if err := r.begin(body); err != nil {
		return nil, err
	}
	messages := false
	err := r.object(func(name string) (err error) {
		if known, err := r.sampling(t, name); known {
			return err
		}
		switch name {
		case "model":
			return r.str(&c.Model)
		case "messages":
			messages = true
			return r.messages(t)
		case "stream":
			return r.boolean(&c.Stream)
		case "stream_options":
			return r.object(func(name string) error {
				if name == "include_usage" {
					return r.boolean(&c.IncludeUsage)
				}
				return r.skipValue()
			})
		case "max_tokens", "max_completion_tokens":
			n, err := r.count(1<<31 - 1)
			t.config.MaxTokens = &n
			return err
		case "stop":
			return r.stop(t)
		case "n":
			n, err := r.count(128)
			if err == nil && n != 1 {
				err = r.lacks("There is one answer to a request.")
			}
			return err
		case "tools":
			return r.tools(t)
		case "functions":
			c.Functions = true
			return r.array(func(int) error {
				s := &converse.ToolSpec{}
				if err := r.object(func(name string) error { return r.tool(name, s) }); err != nil {
					return err
				}
				return r.addTool(t, s)
			})
		case "tool_choice":
			return r.toolChoice(t)
		case "function_call":
			if r.kind() == '"' {
				return r.toolChoice(t)
			}
			var f string
			err := r.object(func(string) error { return r.str(&f) })
			t.choice = "tool:" + f
			return err
		case "response_format":
			return r.textFormat(t)
		case "logprobs":
			var want bool
			if err := r.boolean(&want); err != nil || !want {
				return err
			}
			return r.lacks("Log probabilities are not available.")
		case "frequency_penalty", "presence_penalty":
			start := r.i
			v, err := r.number(-2, 2)
			if v != 0 {
				t.additional(name, r.b[start:r.i])
			}
			return err
		case "logit_bias":
			raw, err := r.value()
			if len(raw) > len("{}") {
				t.additional(name, raw)
			}
			return err
		case "verbosity":
			return r.verbosity(t)
		case "modalities":
			return r.array(func(int) error {
				var m string
				if err := r.str(&m); err != nil || m == "text" {
					return err
				}
				return r.lacks("The answer is text.")
			})
		case "audio", "web_search_options", "moderation":
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
	case !messages:
		return nil, r.missing("messages")
	}
	c.Tier = t.tier
	if c.Unfit = r.unfit; c.Unfit == nil {
		c.Request, c.Unfit, err = t.finish()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ParseRequest reads an InvokeModel body of a model that takes Chat Completions: ParseChat's, where the path has named the
// model.
func ParseRequest(body []byte) (*converse.Request, error) {
	c, err := ParseChat(body)
	if err != nil {
		return nil, err
	}
	return c.Request, c.Unfit
}

func (r *reader) verbosity(t *translation) error {
	var v string
	if err := r.str(&v); err != nil || v == "medium" {
		return err
	}
	t.additional("verbosity", converse.AppendQuote(nil, v))
	return nil
}

func (r *reader) stop(t *translation) error {
	if r.kind() == '"' {
		t.config.StopSequences = make([]string, 1)
		return r.str(&t.config.StopSequences[0])
	}
	return r.array(func(i int) error {
		var s string
		if i == 2500 { // as many as Converse takes
			return r.bad("Invalid 'stop': array too long.")
		}
		err := r.str(&s)
		t.config.StopSequences = append(t.config.StopSequences, s)
		return err
	})
}

// tools reads the tools of Chat Completions.
func (r *reader) tools(t *translation) error {
	return r.array(func(int) error {
		s := &converse.ToolSpec{}
		kind, function := "function", false
		unfit := r.unfit
		err := r.object(func(name string) error {
			switch name {
			case "type":
				return r.str(&kind)
			case "function":
				function = true
				return r.object(func(name string) error { return r.tool(name, s) })
			}
			return r.cannot("There is no equivalent.")
		})
		switch {
		case err != nil:
			return err
		case kind != "function":
			r.unfit = unfit // which the tool's own members may have set
			return r.lacks("The only tools are functions.")
		case !function:
			return r.missing("function")
		}
		return r.addTool(t, s)
	})
}

// message is one message of Chat Completions.
type message struct {
	role, name, callID string
	thought            string
	content            []converse.ContentBlock
	refusal            *string // in the place of content, or behind it
	calls              []converse.ContentBlock
	called             bool   // the older function_call
	other              string // a member that is not known
}

func (r *reader) messages(t *translation) error {
	last := "" // the id of the latest function_call
	return r.array(func(i int) error {
		m := message{}
		if err := r.object(func(name string) error { return r.messageMember(&m, i, name) }); err != nil {
			return err
		}
		if m.refusal != nil {
			m.content = append(m.content, converse.ContentBlock{Text: m.refusal})
		}
		if m.called {
			last = m.calls[len(m.calls)-1].ToolUse.ToolUseID
		}
		switch m.role {
		case "system", "developer":
			for _, b := range m.content {
				switch {
				case b.Text != nil:
					t.instruct(*b.Text)
				case b.CachePoint != nil:
					t.System = append(t.System, converse.SystemBlock{CachePoint: b.CachePoint})
				default:
					return r.bad("Invalid value for '%s.content': the role '%s' takes text only.", r.where(), m.role)
				}
			}
		case "user":
			for _, b := range m.content {
				t.add(converse.RoleUser, b)
			}
		case "assistant":
			if m.thought != "" {
				t.add(converse.RoleAssistant, thinking(m.thought, ""))
			}
			for _, b := range append(m.content, m.calls...) {
				t.add(converse.RoleAssistant, b)
			}
		case "tool", "function":
			id := m.callID
			if m.role == "function" {
				id = last
			}
			if id == "" {
				return r.missing("tool_call_id")
			}
			m.name = "" // the tool's, which its call has told
			if err := r.result(t, id, m.content); err != nil {
				return err
			}
		case "":
			return r.missing("role")
		default:
			return r.bad("Invalid value: '%.64s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", m.role)
		}
		if m.name != "" {
			r.lacksMember("name", "Those who take part have no names.")
		}
		if m.other != "" && m.role != "assistant" { // an answer comes back with what its client has added to it
			r.lacksMember(m.other, "There is no equivalent.")
		}
		return nil
	})
}

func thinking(text, signature string) converse.ContentBlock {
	return converse.ContentBlock{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: text, Signature: signature}}}
}

// result adds a tool's result.
func (r *reader) result(t *translation, id string, content []converse.ContentBlock) error {
	res := &converse.ToolResult{ToolUseID: outbound.ToolUseID(id), Content: []converse.ToolResultContent{}}
	for _, b := range content {
		switch {
		case b.Text != nil && *b.Text != "", b.Image != nil, b.Document != nil:
			res.Content = append(res.Content, converse.ToolResultContent{Text: b.Text, Image: b.Image, Document: b.Document})
		case b.Audio != nil:
			return r.lacks("A tool's result holds no recording.")
		}
	}
	t.add(converse.RoleUser, converse.ContentBlock{ToolResult: res})
	return nil
}

func (r *reader) messageMember(m *message, i int, name string) error {
	switch name {
	case "role":
		return r.str(&m.role)
	case "name":
		return r.str(&m.name)
	case "tool_call_id":
		return r.str(&m.callID)
	case "content": // of two the last counts, as with OpenAI
		m.content = nil
		return r.content(&m.content)
	case "refusal":
		m.refusal = new(string)
		return r.str(m.refusal)
	case "reasoning_content", "reasoning": // vLLM's names for thinking
		return r.str(&m.thought)
	case "tool_calls":
		return r.array(func(int) error {
			var id, kind string
			var u converse.ToolUse
			if err := r.object(func(name string) error {
				switch name {
				case "id":
					return r.str(&id)
				case "function":
					return r.object(func(name string) error { return r.call(&u, name) })
				case "type":
					return r.str(&kind)
				}
				return r.skipValue() // index, of a stream's delta, and what a client has added
			}); err != nil {
				return err
			}
			if kind != "" && kind != "function" {
				return r.lacks("The only tools are functions.")
			}
			if id == "" {
				return r.missing("id")
			}
			return r.addCall(m, id, &u)
		})
	case "function_call":
		m.called = true
		var u converse.ToolUse
		if err := r.object(func(name string) error { return r.call(&u, name) }); err != nil {
			return err
		}
		return r.addCall(m, "call_"+strconv.Itoa(i), &u)
	case "audio":
		return r.cannot("An answer's recording is not kept here.")
	}
	m.other = name
	return r.skipValue()
}

// call reads a member of a tool call's function.
func (r *reader) call(u *converse.ToolUse, name string) error {
	switch name {
	case "name":
		return r.str(&u.Name)
	case "arguments":
		var s string
		err := r.str(&s)
		u.Input = arguments(s)
		return err
	}
	return r.skipValue() // what a client has added: parsed_arguments
}

func (r *reader) addCall(m *message, id string, u *converse.ToolUse) error {
	if !toolName(u.Name) {
		return r.bad("Invalid '%s.function.name': expected a string of 1 to 64 of a-z, A-Z, 0-9, _ and -.", r.where())
	}
	if u.Input == nil {
		u.Input = jsontext.Value("{}")
	}
	u.ToolUseID = outbound.ToolUseID(id)
	m.calls = append(m.calls, converse.ContentBlock{ToolUse: u})
	return nil
}

// content reads a string or a list of parts, those of either API.
func (r *reader) content(to *[]converse.ContentBlock) error {
	switch r.kind() {
	case '"':
		var s string
		err := r.str(&s)
		*to = append(*to, converse.ContentBlock{Text: &s})
		return err
	case '[':
		return r.array(func(int) error { return r.part(to) })
	}
	return r.expected("one of a string or array of objects")
}

// part reads a part of a message's content.
func (r *reader) part(to *[]converse.ContentBlock) error {
	var kind, format, data, filename string
	var text *string
	var image *converse.Image
	var cache *converse.CachePoint
	referred := false
	var read func(name string) error
	read = func(name string) error {
		switch name {
		case "type":
			return r.str(&kind)
		case "text", "refusal":
			text = new(string)
			return r.str(text)
		case "image_url", "url":
			if r.kind() == '{' {
				return r.object(read)
			}
			var err error
			referred = true
			image, err = r.image()
			return err
		case "detail":
			return r.skipValue()
		case "input_audio", "file":
			return r.object(read)
		case "data", "file_data":
			return r.str(&data)
		case "format":
			return r.str(&format)
		case "filename":
			return r.str(&filename)
		case "file_id", "file_url":
			referred = true
			return r.cannot("Files are not fetched from elsewhere: send the data itself.")
		case "cache_control", "prompt_cache_breakpoint":
			cache = &converse.CachePoint{Type: "default"}
			return r.object(func(name string) error {
				if name != "ttl" {
					return r.skipValue()
				}
				if err := r.str(&cache.TTL); err != nil || cache.TTL == "5m" || cache.TTL == "1h" {
					return err
				}
				return r.bad("Invalid value: '%.64s'. Supported values are: '5m' and '1h'.", cache.TTL)
			})
		case "annotations", "logprobs", "parsed": // of an answer that comes back
			return r.skipValue()
		}
		return r.cannot("There is no equivalent.")
	}
	if err := r.object(read); err != nil {
		return err
	}
	var b converse.ContentBlock
	var err error
	switch kind {
	case "text", "input_text", "output_text", "refusal":
		if text == nil {
			return r.missing("text")
		}
		b.Text = text
	case "image_url", "input_image":
		if image == nil {
			if referred { // and noted
				return nil
			}
			return r.missing("image_url")
		}
		b.Image = image
	case "input_audio":
		b, err = r.audio(format, data)
	case "file", "input_file":
		if referred {
			return nil
		}
		b.Document, err = r.document(filename, data)
	case "":
		return r.missing("type")
	default:
		return r.lacks("Parts of that type have no equivalent.")
	}
	if err != nil {
		return err
	}
	*to = append(*to, b)
	if cache != nil && (b.Text == nil || *b.Text != "") {
		*to = append(*to, converse.ContentBlock{CachePoint: cache})
	}
	return nil
}

// Answers.

// AppendResponse appends r as a chat.completion. The thinking is the message's reasoning_content, as vLLM and DeepSeek have
// it. Chat Completions has no place for the seal on it, for sealed thinking, and for where a text is cited from.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	return appendCompletion(dst, a, r, false)
}

// AppendResponse is AppendResponse in the form that the request asked for.
func (c *Chat) AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	return appendCompletion(dst, a, r, c.Functions)
}

func appendCompletion(dst []byte, a *converse.AnswerInfo, r *converse.Response, functions bool) []byte {
	dst = appendHead(dst, a, "chat.completion")
	dst = append(dst, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	start := len(dst)
	calls, thoughts := 0, 0
	dst = append(dst, '"')
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.Text != nil:
			dst = appendInner(dst, *b.Text)
		case b.CitationsContent != nil:
			dst = appendInner(dst, citedText(b.CitationsContent))
		case b.ToolUse != nil:
			calls++
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText != nil:
			thoughts++
		}
	}
	if dst = append(dst, '"'); calls > 0 && len(dst) == start+2 {
		dst = append(dst[:start], `null`...)
	}
	dst = append(dst, `,"refusal":null`...)
	if thoughts > 0 {
		dst = append(dst, `,"reasoning_content":"`...)
		for i := range r.Content {
			if b := r.Content[i].ReasoningContent; b != nil && b.ReasoningText != nil {
				dst = appendInner(dst, b.ReasoningText.Text)
			}
		}
		dst = append(dst, '"')
	}
	first := true
	for i := range r.Content {
		u := r.Content[i].ToolUse
		if u == nil || functions && !first { // the older form has room for one
			continue
		}
		switch {
		case functions:
			dst = append(dst, `,"function_call":{"name":`...)
		case first:
			dst = append(dst, `,"tool_calls":[{"id":`...)
		default:
			dst = append(dst, `,{"id":`...)
		}
		if !functions {
			dst = converse.AppendQuote(dst, u.ToolUseID)
			dst = append(dst, `,"type":"function","function":{"name":`...)
		}
		first = false
		dst = converse.AppendQuote(dst, u.Name)
		dst = append(dst, `,"arguments":`...)
		dst = converse.AppendQuote(dst, argumentsText(u.Input))
		if dst = append(dst, '}'); !functions {
			dst = append(dst, '}')
		}
	}
	if calls > 0 && !functions {
		dst = append(dst, ']')
	}
	dst = append(dst, `},"logprobs":null,"finish_reason":"`...)
	dst = append(dst, finishReason(r.StopReason, functions)...)
	dst = append(dst, `"}],"usage":`...)
	dst = appendChatUsage(dst, &r.Usage)
	return append(dst, '}')
}

func appendHead(dst []byte, a *converse.AnswerInfo, object string) []byte {
	dst = append(dst, `{"id":`...)
	dst = converse.AppendQuote(dst, a.ID)
	dst = append(append(dst, `,"object":"`...), object...)
	dst = append(dst, `","created":`...)
	dst = strconv.AppendInt(dst, a.Created.Unix(), 10)
	dst = append(dst, `,"model":`...)
	return converse.AppendQuote(dst, a.Model)
}

// appendInner appends s as it stands between a string's quotes.
func appendInner(dst []byte, s string) []byte {
	n := len(dst)
	dst = converse.AppendQuote(dst, s)
	copy(dst[n:], dst[n+1:])
	return dst[:len(dst)-2]
}

// citedText is the text of a block with citations.
func citedText(raw []byte) string {
	var c converse.Citations
	if json.Unmarshal(raw, &c) != nil {
		return "" // no provider makes such a block
	}
	var s strings.Builder
	for _, t := range c.Content {
		if t.Text != nil {
			s.WriteString(*t.Text)
		}
	}
	return s.String()
}

// argumentsText is the text of a tool's input. A string is what the model wrote that is no JSON: see converse.Collect.
func argumentsText(in jsontext.Value) string {
	if in.Kind() == '"' {
		return unquote(in, false)
	}
	return string(in)
}

func finishReason(stop string, functions bool) string {
	switch stop {
	case converse.StopToolUse:
		if functions {
			return "function_call"
		}
		return "tool_calls"
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "length"
	case converse.StopContentFiltered, converse.StopGuardrailIntervened:
		return "content_filter"
	}
	return "stop" // a stop sequence too; there is no word for malformed output
}

// appendChatUsage appends a usage, whose prompt includes what a cache has read or written.
func appendChatUsage(dst []byte, u *converse.Usage) []byte {
	dst = append(dst, `{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, u.Total()-u.OutputTokens, 10)
	dst = append(dst, `,"completion_tokens":`...)
	dst = strconv.AppendInt(dst, u.OutputTokens, 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, u.Total(), 10)
	dst = append(dst, `,"prompt_tokens_details":`...)
	return append(appendCached(dst, u), '}')
}

func appendCached(dst []byte, u *converse.Usage) []byte {
	dst = append(dst, `{"cached_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheReadInputTokens, 10)
	if u.CacheWriteInputTokens > 0 {
		dst = append(dst, `,"cache_write_tokens":`...)
		dst = strconv.AppendInt(dst, u.CacheWriteInputTokens, 10)
	}
	return append(dst, '}')
}

// StreamEncoder turns the events of one answer into the chunks of a stream. The one with the usage, whose choices are
// empty, comes where IncludeUsage asks for it. What AppendResponse has no place for has none here either.
//
// Without API the stream is that of InvokeModelWithResponseStream: the chunk with the finish_reason waits for the usage and
// ends with amazon-bedrock-invocationMetrics.
type StreamEncoder struct {
	converse.AnswerInfo
	IncludeUsage bool
	Functions    bool
	API          bool // the API's own stream

	head   []byte // every chunk up to its delta
	buf    []byte
	tools  int  // begun
	bare   bool // the open tool's input has not begun
	finish string
}

// NewStream makes the encoder of the stream that the request asked for.
func (c *Chat) NewStream(a converse.AnswerInfo) *StreamEncoder {
	return &StreamEncoder{AnswerInfo: a, API: true, IncludeUsage: c.IncludeUsage, Functions: c.Functions}
}

// Encode calls emit with the JSON of each chunk that e makes: none, one or two. The bytes are valid until emit returns.
// What follows the last one, "[DONE]", is the caller's to write.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(chunk []byte)) {
	switch e.Kind {
	case converse.MessageStart:
		s.head = append(appendHead(nil, &s.AnswerInfo, "chat.completion.chunk"), `,"choices":[{"index":0,"delta":`...)
		s.chunk(append(s.begin(), `{"role":"assistant","content":"","refusal":null}`...), "", emit)
	case converse.BlockStart:
		s.bare = true
		if s.tools++; s.Functions && s.tools > 1 {
			return
		}
		b := s.begin()
		if s.Functions {
			b = append(b, `{"function_call":{"name":`...)
		} else {
			b = append(b, `{"tool_calls":[{"index":`...)
			b = strconv.AppendInt(b, int64(s.tools-1), 10)
			b = append(b, `,"id":`...)
			b = converse.AppendQuote(b, e.ToolUseID)
			b = append(b, `,"type":"function","function":{"name":`...)
		}
		b = converse.AppendQuote(b, e.ToolName)
		if b = append(b, `,"arguments":""}`...); !s.Functions {
			b = append(b, `}]`...)
		}
		s.chunk(append(b, '}'), "", emit)
	case converse.BlockDelta:
		b := s.begin()
		switch e.Delta {
		case converse.TextDelta:
			b = append(b, `{"content":`...)
			b = converse.AppendQuote(b, e.Text)
		case converse.ReasoningDelta:
			b = append(b, `{"reasoning_content":`...)
			b = converse.AppendQuote(b, e.Text)
		case converse.ToolInputDelta:
			s.input(e.Text, emit)
			return
		default:
			return
		}
		s.chunk(append(b, '}'), "", emit)
	case converse.BlockStop:
		if s.bare { // a tool without arguments streams no input at all, and clients read JSON
			s.input("{}", emit)
		}
	case converse.MessageStop:
		if s.finish = finishReason(e.StopReason, s.Functions); s.API {
			s.chunk(append(s.begin(), `{}`...), s.finish, emit)
		}
	case converse.Metadata:
		switch {
		case !s.API:
			b := append(append(s.begin(), `{},"logprobs":null,"finish_reason":"`...), s.finish...)
			b = converse.AppendInvocationMetrics(append(b, `"}],`...), &s.AnswerInfo, &e.Usage)
			s.buf = append(b, '}')
			emit(s.buf)
		case s.IncludeUsage:
			b := append(appendHead(s.buf[:0], &s.AnswerInfo, "chat.completion.chunk"), `,"choices":[],"usage":`...)
			s.buf = append(appendChatUsage(b, &e.Usage), '}')
			emit(s.buf)
		}
	}
}

// input writes a piece of the open tool's input.
func (s *StreamEncoder) input(text string, emit func([]byte)) {
	s.bare = false
	b := s.begin()
	switch {
	case !s.Functions:
		b = append(b, `{"tool_calls":[{"index":`...)
		b = strconv.AppendInt(b, int64(s.tools-1), 10)
		b = append(b, `,"function":{"arguments":`...)
		b = append(converse.AppendQuote(b, text), `}}]}`...)
	case s.tools > 1:
		return
	default:
		b = append(b, `{"function_call":{"arguments":`...)
		b = append(converse.AppendQuote(b, text), `}}`...)
	}
	s.chunk(b, "", emit)
}

// begin begins a chunk, up to its delta.
func (s *StreamEncoder) begin() []byte { return append(s.buf[:0], s.head...) }

// chunk ends a chunk behind its delta.
func (s *StreamEncoder) chunk(b []byte, finish string, emit func([]byte)) {
	if finish == "" {
		b = append(b, `,"logprobs":null,"finish_reason":null}]`...)
	} else {
		b = append(append(append(b, `,"logprobs":null,"finish_reason":"`...), finish...), `"}]`...)
	}
	if s.IncludeUsage {
		b = append(b, `,"usage":null`...)
	}
	s.buf = append(b, '}')
	emit(s.buf)
}
