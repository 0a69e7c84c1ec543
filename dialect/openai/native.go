package openai

import (
	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// A body that came in the format of the server itself goes on as it is, and so does the answer: what is not known here
// survives.

// AppendNative appends body, a request of Chat Completions, as one for model: every member as it stands, but for model and
// stream, which are set anew. A stream is always asked for its usage; asked reports whether the caller wants to see it.
// A body that is no JSON object gives a fault.Serialization.
func AppendNative(dst, body []byte, model string, stream bool) (out []byte, asked bool, err error) {
	dst = appendNativeHead(dst, model, stream)
	var options []byte
	err = members(body, func(name string, value []byte) error {
		switch {
		case name == "model", name == "stream":
		case name == "stream_options" && stream:
			options = value
		default:
			dst = outbound.AppendMember(dst, name, value)
		}
		return nil
	})
	if err != nil || !stream {
		return append(dst, '}'), false, err
	}
	dst = append(dst, `,"stream_options":{"include_usage":true`...)
	if len(options) > 0 && options[0] == '{' {
		err = members(options, func(name string, value []byte) error {
			if name == "include_usage" {
				asked = string(value) == "true"
				return nil
			}
			dst = outbound.AppendMember(dst, name, value)
			return nil
		})
	}
	return append(dst, `}}`...), asked, err
}

func appendNativeHead(dst []byte, model string, stream bool) []byte {
	dst = converse.AppendQuote(append(dst, `{"model":`...), model)
	if stream {
		dst = append(dst, `,"stream":true`...)
	}
	return dst
}

// members calls f with each member of the object b.
func members(b []byte, f func(name string, value []byte) error) error {
	s := scanner{b: b}
	if s.peek() != '{' {
		return notJSON()
	}
	for more := s.enter('}'); more; {
		name, err := s.nameText()
		if err != nil {
			return notJSON()
		}
		value, err := s.value()
		if err != nil {
			return notJSON()
		}
		if err := f(name, value); err != nil {
			return err
		}
		if more, err = s.more('}'); err != nil {
			return notJSON()
		}
	}
	if s.peek() != 0 || s.i < len(s.b) {
		return notJSON()
	}
	return nil
}

// AppendNativeResponses is AppendNative for the Responses API, where a stream always tells its usage. store is set to false:
// here nobody could ask for what is stored. What refers to something stored, and what is made in the background, is
// refused: it would be the upstream's, whoever has stored it.
func AppendNativeResponses(dst, body []byte, model string, stream bool) (out []byte, asked bool, err error) {
	dst = append(appendNativeHead(dst, model, stream), `,"store":false`...)
	err = members(body, func(name string, value []byte) error {
		switch name {
		case "model", "stream", "store":
			return nil
		case "previous_response_id", "conversation", "prompt":
			if string(value) != "null" {
				return badAt(name, "Unsupported parameter: '%s'. Nothing is stored here: send the whole input.", name)
			}
		case "background":
			if string(value) == "true" {
				return badAt(name, "Unsupported parameter: '%s'. A response is made while its caller waits.", name)
			}
		}
		dst = outbound.AppendMember(dst, name, value)
		return nil
	})
	return append(dst, '}'), true, err
}

// Piece is what Meter finds in a chunk of an answer that is passed on, or in a whole one.
type Piece struct {
	Type string // of a stream's event, "" where the format has none

	// Where the name of the model stands, its quotes included: data[ModelAt:ModelEnd]. Both are 0 where there is none.
	ModelAt, ModelEnd int

	Content    bool // it holds text, thinking or a piece of a tool call
	UsageAlone bool // it tells the usage and nothing else: such a chunk comes where stream_options asks for it
}

// Meter reads data, as Append does, for what it says of the usage and the end. What Converse has no form for is no error to
// it, and all of several answers are counted.
func (d *Decoder) Meter(data []byte) (Piece, error) {
	p := &d.part
	if text, ok := d.quick(data); ok {
		d.count(text)
		out := d.piecePlace(len(data))
		out.Content = text != ""
		return out, nil
	}
	d.before, d.after, d.open = d.before[:0], d.after[:0], 0
	d.all = true
	if err := d.parse(data); err != nil {
		return Piece{}, err
	}
	if p.err != nil {
		return Piece{}, p.err
	}
	d.started = d.started || p.answers > 0
	d.takeUsage()
	text, thought := p.text.String(), p.thought.String()
	d.count(text)
	d.count(thought)
	for i := range p.calls {
		d.tools = true
		d.count(p.calls[i].name)
		d.count(p.calls[i].input)
	}
	if text != "" && p.plain {
		d.before = append(d.before, data[:p.textAt]...)
		d.after = append(d.after, data[p.textEnd:]...)
		d.open = converse.TextDelta // what quick takes the next one for
	}
	if err := d.takeFinish(); err != nil {
		return Piece{}, err
	}
	d.place = Piece{ModelAt: p.modelAt, ModelEnd: p.modelEnd}
	if p.modelAt > p.textAt && len(d.before) > 0 { // behind the text: counted from the end
		d.place.ModelAt, d.place.ModelEnd = p.modelAt-len(data), p.modelEnd-len(data)
	}
	out := d.piecePlace(len(data))
	out.Content = text != "" || thought != "" || len(p.calls) > 0
	out.UsageAlone = p.answers == 0 && p.usage != (outbound.Told{})
	return out, nil
}

// piecePlace is where the latest chunk's model stands in one of n bytes.
func (d *Decoder) piecePlace(n int) Piece {
	p := d.place
	if p.ModelAt < 0 {
		p.ModelAt, p.ModelEnd = p.ModelAt+n, p.ModelEnd+n
	}
	return p
}

// count adds to the estimate of the output.
func (d *Decoder) count(text string) {
	if d.usage.OutputTokens == 0 { // a whole answer tells its usage with its text, and then nobody asks for an estimate
		d.tally += converse.EstimateTokens(text)
	}
}

// StopReason returns how the answer ended in Converse's words, "" where the server has not said so yet.
func (d *Decoder) StopReason() string {
	if d.finish == "" {
		return ""
	}
	return d.stopReason()
}
