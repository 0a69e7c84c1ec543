package openai

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ResponsesDecoder is Decoder for answers of the Responses API: Append for each event of a stream, or once for a whole
// response, then Finish. The zero value is ready.
//
// Thinking is the text of a reasoning item, or its summary, and its seal (encrypted_content) the signature, which
// AppendResponsesRequest knows again; a reasoning item that has nothing to read is sealed thinking. Items of tools that the
// server runs by itself, which AppendResponsesRequest never asks for, have no form in Converse.
type ResponsesDecoder struct {
	Decoder

	event event
	ended bool
	parts bool // the item at hand has come in pieces
	item  int  // the output_index of the open tool call
}

// event is an event of a stream, or a whole response.
type event struct {
	kind         string
	delta        string
	output       int // output_index
	summary      int // summary_index
	item         []byte
	response     []byte
	responseAt   int // where that stands
	code         string
	message      string
	isResponse   bool // the whole text is one
	modelAt, end int  // of a whole response
}

// responseItem is an item of the output.
type responseItem struct {
	Type      string `json:"type"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	Sealed    string `json:"encrypted_content"`
	Content   []struct {
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	} `json:"content"`
	Summary []struct {
		Text string `json:"text"`
	} `json:"summary"`
}

// responseObject is what an answer says of itself.
type responseObject struct {
	Status string `json:"status"`
	Error  *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Incomplete *struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Tier   string         `json:"service_tier"`
	Output []responseItem `json:"output"`
	Usage  *struct {
		Input   *float64 `json:"input_tokens"`
		Output  *float64 `json:"output_tokens"` // those of the reasoning included
		Details struct {
			Cached  float64 `json:"cached_tokens"`
			Written float64 `json:"cache_write_tokens"`
		} `json:"input_tokens_details"`
	} `json:"usage"`
}

// Ended reports whether the last event of the stream has come.
func (d *ResponsesDecoder) Ended() bool { return d.ended }

// Append is Decoder's.
func (d *ResponsesDecoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	if err := d.read(data); err != nil {
		return dst, err
	}
	e := &d.event
	switch e.kind {
	case "response.output_text.delta", "response.refusal.delta":
		if e.delta != "" {
			d.parts = true
			dst = d.piece(d.block(dst, converse.TextDelta), converse.TextDelta, e.delta)
		}
	case "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		if e.delta != "" {
			d.parts = true
			dst = d.piece(d.block(dst, converse.ReasoningDelta), converse.ReasoningDelta, e.delta)
		}
	case "response.reasoning_summary_part.added":
		if e.summary > 0 && d.open == converse.ReasoningDelta {
			dst = d.piece(dst, converse.ReasoningDelta, "\n\n")
		}
	case "response.output_item.added":
		item, err := d.readItem()
		if err != nil {
			return dst, err
		}
		dst, d.parts = d.close(dst), false
		if item.Type == "function_call" {
			d.item = e.output
			dst = d.beginCall(dst, item)
		}
	case "response.function_call_arguments.delta":
		if d.open != converse.ToolInputDelta || d.item != e.output {
			return dst, malformed("arguments of item %d, which is not open", e.output)
		}
		if e.delta != "" {
			d.parts = true
			dst = d.piece(dst, converse.ToolInputDelta, e.delta)
		}
	case "response.output_item.done":
		item, err := d.readItem()
		if err != nil {
			return dst, err
		}
		dst, d.parts = d.endItem(dst, item, d.parts), false
	case "response.completed", "response.incomplete":
		var r responseObject
		if err := d.readResponse(&r); err != nil {
			return dst, err
		}
		d.ended = true
		if !d.started { // a server that tells it all at once
			return d.wholeItems(dst, &r)
		}
	case "":
		var r responseObject
		if err := d.readResponse(&r); err != nil {
			return dst, err
		}
		return d.wholeItems(dst, &r)
	}
	return dst, nil
}

// Meter is Decoder's. The place of a model is that of the response that an event holds.
func (d *ResponsesDecoder) Meter(data []byte) (Piece, error) {
	if err := d.read(data); err != nil {
		return Piece{}, err
	}
	e := &d.event
	p := Piece{Type: e.kind}
	d.started = true
	switch {
	case e.kind == "":
		p.ModelAt, p.ModelEnd = e.modelAt, e.end
		var r responseObject
		if err := d.readResponse(&r); err != nil {
			return Piece{}, err
		}
		for i := range r.Output {
			d.countItem(&r.Output[i])
		}
	case e.response != nil:
		if at, end := place(e.response); end > 0 {
			p.ModelAt, p.ModelEnd = e.responseAt+at, e.responseAt+end
		}
		if d.ended = e.kind == "response.completed" || e.kind == "response.incomplete"; d.ended {
			return p, d.readResponse(new(responseObject))
		}
	case strings.HasSuffix(e.kind, ".delta"):
		p.Content = true
		d.count(e.delta)
	case e.kind == "response.output_item.added":
		if !converse.Plausible(e.item) {
			return Piece{}, malformed("it has more parts than an answer has")
		}
		var item responseItem
		if json.Unmarshal(e.item, &item, lenient) == nil && item.Type == "function_call" {
			p.Content, d.tools = true, true
			d.count(item.Name)
		}
	}
	return p, nil
}

func (d *ResponsesDecoder) countItem(item *responseItem) {
	d.tools = d.tools || item.Type == "function_call"
	d.count(item.Name)
	d.count(item.Arguments)
	for _, c := range item.Content {
		d.count(c.Text)
		d.count(c.Refusal)
	}
	for _, s := range item.Summary {
		d.count(s.Text)
	}
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// read reads data into d.event. What is an error gives an *Error.
func (d *ResponsesDecoder) read(data []byte) error {
	d.event = event{}
	e := &d.event
	d.in = scanner{b: data}
	defer func() { d.in.b = nil }() // it is the caller's
	if d.in.peek() != '{' {
		return malformed("it is no JSON object: %.60q", data)
	}
	var failure []byte
	err := d.object(func(name []byte, kind byte) (err error) {
		switch {
		case string(name) == "type" && kind == '"':
			e.kind, err = d.in.text()
		case string(name) == "delta" && kind == '"':
			e.delta, err = d.in.text()
		case string(name) == "code" && kind == '"':
			e.code, err = d.in.text()
		case string(name) == "message" && kind == '"':
			e.message, err = d.in.text()
		case string(name) == "output_index" && kind == '0':
			e.output, err = d.index32()
		case string(name) == "summary_index" && kind == '0':
			e.summary, err = d.index32()
		case string(name) == "item" && kind == '{':
			e.item, err = d.in.value()
		case string(name) == "response" && kind == '{':
			e.responseAt = d.in.i
			e.response, err = d.in.value()
		case string(name) == "error" && kind != 'n':
			failure, err = d.in.value()
		case string(name) == "output" && kind == '[':
			e.isResponse = true
			err = d.skip()
		case string(name) == "model" && kind == '"':
			e.modelAt = d.in.i
			_, _, err = d.in.quoted()
			e.end = d.in.i
		default:
			err = d.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return malformed("%v", err)
	case e.isResponse:
		e.kind, e.response = "", data
		return nil
	case failure != nil: // also beside the type error: {"type":"error","error":{...}}
		return ParseError(data)
	case e.kind == "error":
		return refused(e.code, e.message)
	case e.kind == "response.failed":
		return d.readResponse(new(responseObject))
	case e.kind == "":
		return malformed("it is no response: %.60q", data)
	}
	return nil
}

func (d *ResponsesDecoder) index32() (int, error) {
	raw, err := d.in.value()
	n, _ := strconv.Atoi(string(raw))
	return n, err
}

// refused is an error that came inside an answer whose status was 200.
func refused(code, message string) *Error {
	e := &Error{Code: code, Message: message}
	for _, kind := range []string{"invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download_image"} {
		if strings.HasPrefix(code, kind) { // the request's own fault
			e.Status = 400
		}
	}
	return e
}

// place returns where the model's name stands in a response, its quotes included.
func place(b []byte) (at, end int) {
	s := scanner{b: b}
	s.peek()
	for more := s.enter('}'); more; {
		name, err := s.name()
		if err != nil {
			return at, end
		}
		if s.peek(); string(name) == "model" && s.at('"') {
			at = s.i
			if _, _, err = s.quoted(); err == nil {
				end = s.i
			}
		} else {
			err = s.skip(maxDepth)
		}
		if err != nil {
			return 0, 0
		}
		if more, err = s.more('}'); err != nil {
			return 0, 0
		}
	}
	return at, end
}

func (d *ResponsesDecoder) readItem() (*responseItem, error) {
	item := new(responseItem)
	if !converse.Plausible(d.event.item) {
		return nil, malformed("it has more parts than an answer has")
	}
	if err := json.Unmarshal(d.event.item, item, lenient); err != nil {
		return nil, malformed("%v", err)
	}
	return item, known(item)
}

func known(item *responseItem) error {
	switch item.Type {
	case "message", "reasoning":
	case "function_call":
		if item.Name == "" || item.CallID == "" {
			return malformed("a function call without its call_id or its name")
		}
	default:
		return malformed("an item of the type %.60q", item.Type)
	}
	return nil
}

// readResponse reads the response at hand, and takes over what it says of the usage and the end.
func (d *ResponsesDecoder) readResponse(r *responseObject) error {
	if !converse.Plausible(d.event.response) {
		return malformed("it has more parts than an answer has")
	}
	if err := json.Unmarshal(d.event.response, r, lenient); err != nil {
		return malformed("%v", err)
	}
	if u := r.Usage; u != nil {
		if n, ok := outbound.Tokens(u.Input); ok && n > 0 {
			cached, _ := outbound.Tokens(&u.Details.Cached)
			written, _ := outbound.Tokens(&u.Details.Written)
			tellInput(&d.usage, n, cached, written)
		}
		if n, ok := outbound.Tokens(u.Output); ok {
			d.usage.Output, d.usage.OutputTokens = true, n
		}
	}
	d.tier = tierOf(r.Tier)
	d.Fields.Look(d.event.response)
	switch {
	case r.Status == "failed", d.event.kind == "response.failed":
		e := &Error{Type: "server_error", Message: "the model server gave no reason"}
		if r.Error != nil {
			e = refused(r.Error.Code, r.Error.Message)
		}
		return e
	case r.Status == "completed":
		d.finish = "stop"
	case r.Status == "incomplete":
		d.finish = "stop"
		if r.Incomplete != nil {
			switch r.Incomplete.Reason {
			case "max_output_tokens":
				d.finish = "length"
			case "content_filter":
				d.finish = "content_filter"
			}
		}
	default: // cancelled; queued and in_progress, which only those in the background are
		return malformed("a response of the status %.60q", r.Status)
	}
	return nil
}

// wholeItems appends the items of a whole response.
func (d *ResponsesDecoder) wholeItems(dst []converse.Event, r *responseObject) ([]converse.Event, error) {
	for i := range r.Output {
		item := &r.Output[i]
		if err := known(item); err != nil {
			return dst, err
		}
		dst = d.endItem(d.close(dst), item, false)
	}
	return dst, nil
}

func (d *ResponsesDecoder) beginCall(dst []converse.Event, item *responseItem) []converse.Event {
	dst = d.start(dst)
	d.open, d.tools = converse.ToolInputDelta, true
	d.call = callID{index: -1, id: item.CallID, name: item.Name}
	return d.nameCall(dst)
}

// endItem appends what has not come of an item in pieces, and ends it.
func (d *ResponsesDecoder) endItem(dst []converse.Event, item *responseItem, pieces bool) []converse.Event {
	switch item.Type {
	case "function_call":
		if d.open != converse.ToolInputDelta {
			dst = d.beginCall(d.close(dst), item)
		}
		if !pieces && item.Arguments != "" {
			dst = d.piece(dst, converse.ToolInputDelta, item.Arguments)
		}
	case "message":
		for _, c := range item.Content {
			if text := c.Text + c.Refusal; !pieces && text != "" {
				dst = d.piece(d.block(dst, converse.TextDelta), converse.TextDelta, text)
			}
		}
	case "reasoning":
		var texts []string
		for _, c := range item.Content {
			texts = append(texts, c.Text)
		}
		if len(texts) == 0 {
			for _, s := range item.Summary {
				texts = append(texts, s.Text)
			}
		}
		if text := strings.Join(texts, "\n\n"); !pieces && text != "" {
			dst = d.piece(d.block(dst, converse.ReasoningDelta), converse.ReasoningDelta, text)
		}
		if item.Sealed != "" {
			kind := converse.SignatureDelta
			if d.open != converse.ReasoningDelta {
				kind = converse.RedactedDelta
				dst = d.block(dst, kind)
			}
			dst = append(dst, converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: kind, Text: seal + item.Sealed})
		}
	}
	return d.close(dst)
}
