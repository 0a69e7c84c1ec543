package cohere

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// maxEcho bounds what a stream's last chunk repeats of the answer and of the prompt, in bytes of text: Bedrock's parts are
// of 1,000,000 bytes at most, and no answer of these models is as long.
const maxEcho = 128 << 10

// said is the content of an answer as these formats have it. They have no place for thinking.
type said struct {
	text      string
	calls     []*converse.ToolUse
	citations jsontext.Value
}

func contentOf(r *converse.Response) said {
	var s said
	var texts []string
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.Text != nil:
			texts = append(texts, *b.Text)
		case b.ToolUse != nil:
			s.calls = append(s.calls, b.ToolUse)
		}
	}
	s.text = strings.Join(texts, "\n")
	s.citations = citationsOf(r.Fields)
	return s
}

// citationsOf returns the citations among an answer's additional fields, which is where Decoder puts them.
func citationsOf(f jsontext.Value) jsontext.Value {
	var q struct {
		Citations jsontext.Value `json:"citations"`
	}
	if len(f) == 0 || json.Unmarshal(f, &q, lenient) != nil || q.Citations.Kind() != '[' {
		return nil
	}
	return q.Citations
}

// AppendResponse appends r as the answer of a chat. chat_history, which repeats the conversation, needs a.Request.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	s := contentOf(r)
	return appendChat(dst, a, &s, r.StopReason, historyOf(a.Request))
}

// historyOf returns the conversation that r continues. What the format cannot say of it is left out: it is an echo.
func historyOf(r *converse.Request) []pastTurn {
	if r == nil {
		return nil
	}
	var w writer
	h, err := w.history(r.Messages, singleStep(r))
	if err != nil {
		return nil
	}
	if h.message != "" || len(h.results) == 0 {
		h.turns = append(h.turns, pastTurn{role: "USER", message: h.message})
	}
	if len(h.results) > 0 {
		h.turns = append(h.turns, pastTurn{role: "TOOL", results: h.results})
	}
	return h.turns
}

func appendChat(dst []byte, a *converse.AnswerInfo, s *said, reason string, history []pastTurn) []byte {
	dst = converse.AppendQuote(append(dst, `{"response_id":`...), a.ID)
	dst = converse.AppendQuote(append(dst, `,"text":`...), s.text)
	dst = converse.AppendQuote(append(dst, `,"generation_id":`...), a.ID)
	if len(history) > 0 {
		history = append(history, pastTurn{role: "CHATBOT", message: s.text, calls: s.calls})
		dst = appendTurns(append(dst, `,"chat_history":`...), history)
	}
	dst = append(append(append(dst, `,"finish_reason":"`...), finishWord(reason)...), '"')
	if len(s.citations) > 0 {
		dst = append(append(dst, `,"citations":`...), s.citations...)
	}
	if len(s.calls) > 0 {
		dst = appendCalls(append(dst, `,"tool_calls":`...), s.calls)
	}
	return append(dst, '}')
}

// StreamEncoder turns the events of one answer into the chunks of a chat's stream: stream-start, text-generation for each
// piece, citation-generation and tool-calls-generation where there are any, stream-end. Calls come whole, after the text.
// stream-end has the answer once more, but for chat_history, which would not fit into a part.
type StreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	said   said
	text   []byte
	input  []byte // of the open call
	long   bool   // the answer is too long to repeat
	reason string
}

// Encode calls emit with the JSON of each chunk that e makes: none, one or two. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.MessageStart:
		b := append(s.buf[:0], `{"is_finished":false,"event_type":"stream-start","generation_id":`...)
		s.emit(append(converse.AppendQuote(b, s.ID), '}'), emit)
	case converse.BlockStart:
		s.said.calls = append(s.said.calls, &converse.ToolUse{ToolUseID: e.ToolUseID, Name: e.ToolName})
		s.input = s.input[:0]
	case converse.BlockDelta:
		switch e.Delta {
		case converse.TextDelta:
			if s.long = s.long || len(s.text)+len(e.Text) > maxEcho; !s.long {
				s.text = append(s.text, e.Text...)
			}
			b := append(s.buf[:0], `{"is_finished":false,"event_type":"text-generation","text":`...)
			s.emit(append(converse.AppendQuote(b, e.Text), '}'), emit)
		case converse.ToolInputDelta:
			s.input = append(s.input, e.Text...)
		}
	case converse.BlockStop:
		if n := len(s.said.calls); n > 0 && s.said.calls[n-1].Input == nil {
			in := jsontext.Value(append([]byte(nil), s.input...))
			if len(in) == 0 {
				in = jsontext.Value(`{}`)
			} else if !in.IsValid(lenient) {
				in = converse.AppendQuote(nil, string(in))
			}
			s.said.calls[n-1].Input = in
		}
	case converse.MessageStop:
		s.reason = e.StopReason
		if s.said.citations = citationsOf(e.Fields); len(s.said.citations) > 0 {
			b := append(s.buf[:0], `{"is_finished":false,"event_type":"citation-generation","citations":`...)
			s.emit(append(append(b, s.said.citations...), '}'), emit)
		}
		if len(s.said.calls) > 0 {
			b := append(s.buf[:0], `{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":`...)
			s.emit(append(appendCalls(b, s.said.calls), '}'), emit)
		}
	case converse.Metadata:
		b := append(s.buf[:0], `{"is_finished":true,"event_type":"stream-end",`...)
		if !s.long {
			s.said.text = string(s.text)
			b = append(appendChat(append(b, `"response":`...), &s.AnswerInfo, &s.said, s.reason, nil), ',')
		}
		b = append(append(append(b, `"finish_reason":"`...), finishWord(s.reason)...), `",`...)
		s.emit(append(converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage), '}'), emit)
	}
}

func (s *StreamEncoder) emit(b []byte, emit func([]byte)) {
	s.buf = b
	emit(b)
}

// AppendGenerations appends r as the answer of a Command model. prompt, which it repeats, needs a.Request.
func AppendGenerations(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	s := contentOf(r)
	return append(appendGenerations(dst, a, s.text, r.StopReason), '}')
}

// appendGenerations appends an answer without the brace that ends it.
func appendGenerations(dst []byte, a *converse.AnswerInfo, text, reason string) []byte {
	dst = converse.AppendQuote(append(dst, `{"id":`...), a.ID)
	dst = converse.AppendQuote(append(dst, `,"generations":[{"id":`...), a.ID)
	dst = converse.AppendQuote(append(dst, `,"text":`...), text)
	if reason != "" {
		dst = append(append(append(dst, `,"finish_reason":"`...), generationWord(reason)...), '"')
	}
	dst = append(dst, `}]`...)
	if p, ok := promptOf(a.Request); ok && reason != "" {
		dst = converse.AppendQuote(append(dst, `,"prompt":`...), p)
	}
	return dst
}

// generationWord is finishWord for the Command models, whose list has no ERROR_LIMIT.
func generationWord(reason string) string {
	if reason == converse.StopContextWindowExceeded {
		reason = converse.StopMaxTokens
	}
	return finishWord(reason)
}

// promptOf returns the text of a request that is one.
func promptOf(r *converse.Request) (string, bool) {
	if r == nil || len(r.Messages) != 1 || len(r.Messages[0].Content) != 1 || r.Messages[0].Content[0].Text == nil {
		return "", false
	}
	return *r.Messages[0].Content[0].Text, true
}

// GenerationEncoder is StreamEncoder for a Command model. Where the body asks for pieces (see Pieces) a chunk is a piece of
// text and the last says how it ended; where it does not, the whole answer is one chunk.
type GenerationEncoder struct {
	converse.AnswerInfo
	Pieces bool

	buf    []byte
	text   []byte // not told yet
	reason string
}

// Encode does what StreamEncoder's does.
func (s *GenerationEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	send := func(b []byte) {
		s.buf = b
		emit(b)
	}
	switch e.Kind {
	case converse.BlockDelta:
		switch {
		case e.Delta != converse.TextDelta:
		case s.Pieces:
			b := converse.AppendQuote(append(s.buf[:0], `{"text":`...), e.Text)
			send(append(b, `,"is_finished":false}`...))
		default:
			if len(s.text)+len(e.Text) > maxEcho && len(s.text) > 0 { // longer than a part can be: more chunks than one
				send(append(appendGenerations(s.buf[:0], &s.AnswerInfo, string(s.text), ""), '}'))
				s.text = s.text[:0]
			}
			s.text = append(s.text, e.Text...)
		}
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		b := s.buf[:0]
		if s.Pieces {
			b = append(append(append(b, `{"is_finished":true,"finish_reason":"`...), generationWord(s.reason)...), '"')
		} else {
			if p, ok := promptOf(s.Request); ok && len(p) > maxEcho {
				s.Request = nil
			}
			b = appendGenerations(b, &s.AnswerInfo, string(s.text), s.reason)
		}
		send(append(converse.AppendInvocationMetrics(append(b, ','), &s.AnswerInfo, &e.Usage), '}'))
	}
}
