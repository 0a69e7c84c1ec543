package converse

import (
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// Sequence is the stream of an answer that is there as a whole. It sets the events' More.
func Sequence(events []Event) Stream {
	return func(yield func(Event, error) bool) {
		for i := range events {
			events[i].More = i+1 < len(events)
			if !yield(events[i], nil) {
				return
			}
		}
	}
}

// Collect ranges over s to its end and makes the one answer of it. A stream that breaks gives its error and what had
// arrived until then; one that ends without Metadata is a ModelError.
//
// A tool's input that is no JSON, as a model writes it now and then or when maxTokens cuts it short, becomes the string
// of what there is: nothing is lost, and the answer stays JSON. A stop reason of tool_use is then malformed_tool_use, so
// that nobody runs the tool.
func Collect(s Stream) (*Response, error) {
	c := collector{cur: -1}
	for e, err := range s {
		if err != nil {
			c.err = err // a return from inside the loop would be an allocation for each result
			break
		}
		c.add(&e)
	}
	c.flush()
	if c.err == nil && !c.done {
		c.err = fault.New(fault.ModelError, "The model's answer ended before it was complete.")
	}
	return &c.r, c.err
}

// A collector is an answer that is being put together, in one piece of memory with its first block: most have no other.
type collector struct {
	r     Response
	one   [1]ContentBlock
	words string // what one's Text points to

	cur   int // the block that is open, -1 when there is none
	kind  DeltaKind
	text  []byte // the open block's text, tool input or thinking
	first string // the same while it is one piece: most answers that are not streamed are
	sig   []byte
	cites []byte // the open block's citations, a list in JSON that is not closed yet
	tool  ToolUse
	bad   bool // a tool's input is no JSON
	done  bool
	err   error
}

func (c *collector) add(e *Event) {
	switch e.Kind {
	case BlockStart:
		c.flush()
		c.cur, c.kind = e.Index, ToolInputDelta
		c.tool = ToolUse{ToolUseID: e.ToolUseID, Name: e.ToolName}
	case BlockDelta:
		if c.cur != e.Index {
			c.flush()
			c.cur = e.Index
		}
		if e.Delta == CitationDelta {
			if c.kind = TextDelta; c.cites == nil {
				c.cites = append(c.cites, '[')
			} else {
				c.cites = append(c.cites, ',')
			}
			c.cites = append(c.cites, e.Fields...)
			return
		}
		if e.Delta == SignatureDelta {
			c.sig = append(c.sig, e.Text...)
			if c.kind == 0 {
				c.kind = SignatureDelta
			}
			return
		}
		c.kind = e.Delta
		switch {
		case c.text != nil:
			c.text = append(c.text, e.Text...)
		case c.first == "":
			c.first = e.Text
		default:
			c.text = append(append(make([]byte, 0, 2*(len(c.first)+len(e.Text))), c.first...), e.Text...)
		}
	case BlockStop:
		c.flush()
	case MessageStop:
		c.flush()
		c.r.StopReason, c.r.StopSequence, c.r.Fields = e.StopReason, e.StopSequence, e.Fields
		if c.bad && c.r.StopReason == StopToolUse {
			c.r.StopReason = StopMalformedToolUse
		}
	case Chunk:
		c.r.Native, c.r.NativeType = append(c.r.Native, e.Native...), e.Name
		if e.StopReason != "" {
			c.r.StopReason = e.StopReason
		}
	case Metadata:
		c.r.Usage, c.r.Estimated, c.r.Served, c.done = e.Usage, e.Estimated, e.Served, true
	}
}

func (c *collector) piece() string {
	if c.text != nil {
		return string(c.text)
	}
	return c.first
}

// flush ends the open block.
func (c *collector) flush() {
	if c.cur < 0 {
		return
	}
	var b ContentBlock
	switch c.kind {
	case TextDelta:
		if c.cites != nil {
			cited := append(AppendQuote([]byte(`{"content":[{"text":`), c.piece()), `}],"citations":`...)
			b.CitationsContent = append(append(cited, c.cites...), "]}"...)
			break
		}
		t := &c.words
		if len(c.r.Content) > 0 {
			t = new(string)
		}
		*t = c.piece()
		b.Text = t
	case ToolInputDelta:
		in := c.piece()
		if in == "" {
			in = "{}" // a tool without arguments streams no input at all
		}
		t := c.tool
		t.Input = jsontext.Value(in)
		if !t.Input.IsValid() {
			t.Input, c.bad = AppendQuote(nil, in), true
		}
		b.ToolUse = &t
	case ReasoningDelta, SignatureDelta:
		b.ReasoningContent = &Reasoning{ReasoningText: &ReasoningText{Text: c.piece(), Signature: string(c.sig)}}
	case RedactedDelta:
		b.ReasoningContent = &Reasoning{RedactedContent: []byte(c.piece())}
	}
	if c.r.Content == nil {
		c.r.Content = c.one[:0]
	}
	c.r.Content = append(c.r.Content, b)
	c.cur, c.text, c.first, c.sig, c.cites, c.tool, c.kind = -1, nil, "", nil, nil, ToolUse{}, 0
}
