package converse

import (
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// Collect ranges over s to its end and makes the one answer of it. A stream that breaks gives its error and what had
// arrived until then; one that ends without Metadata is a ModelError.
//
// A tool's input that is no JSON, as a model writes it now and then or when maxTokens cuts it short, becomes the string
// of what there is: nothing is lost, and the answer stays JSON. A stop reason of tool_use is then malformed_tool_use, so
// that nobody runs the tool.
func Collect(s Stream) (*Response, error) {
	var (
		r     Response
		cur   = -1 // the block that Content's last entry is
		kind  DeltaKind
		text  []byte // the open block's text, tool input or thinking
		first string // the same while it is one piece: most answers that are not streamed are
		sig   []byte
		tool  ToolUse
		bad   bool // a tool's input is no JSON
		done  bool
	)
	piece := func() string {
		if text != nil {
			return string(text)
		}
		return first
	}
	flush := func() {
		if cur < 0 {
			return
		}
		var b ContentBlock
		switch kind {
		case TextDelta:
			t := piece()
			b.Text = &t
		case ToolInputDelta:
			in := piece()
			if in == "" {
				in = "{}" // a tool without arguments streams no input at all
			}
			t := tool
			t.Input = jsontext.Value(in)
			if !t.Input.IsValid() {
				t.Input, bad = AppendQuote(nil, in), true
			}
			b.ToolUse = &t
		case ReasoningDelta, SignatureDelta:
			b.ReasoningContent = &Reasoning{ReasoningText: &ReasoningText{Text: piece(), Signature: string(sig)}}
		case RedactedDelta:
			b.ReasoningContent = &Reasoning{RedactedContent: []byte(piece())}
		}
		r.Content = append(r.Content, b)
		cur, text, first, sig, tool, kind = -1, nil, "", nil, ToolUse{}, 0
	}
	for e, err := range s {
		if err != nil {
			flush()
			return &r, err
		}
		switch e.Kind {
		case BlockStart:
			flush()
			cur, kind = e.Index, ToolInputDelta
			tool = ToolUse{ToolUseID: e.ToolUseID, Name: e.ToolName}
		case BlockDelta:
			if cur != e.Index {
				flush()
				cur = e.Index
			}
			if e.Delta == SignatureDelta {
				sig = append(sig, e.Text...)
				if kind == 0 {
					kind = SignatureDelta
				}
				continue
			}
			kind = e.Delta
			switch {
			case text != nil:
				text = append(text, e.Text...)
			case first == "":
				first = e.Text
			default:
				text = append(append(make([]byte, 0, 2*(len(first)+len(e.Text))), first...), e.Text...)
			}
		case BlockStop:
			flush()
		case MessageStop:
			flush()
			r.StopReason, r.StopSequence, r.Fields = e.StopReason, e.StopSequence, e.Fields
			if bad && r.StopReason == StopToolUse {
				r.StopReason = StopMalformedToolUse
			}
		case Metadata:
			r.Usage, r.Estimated, done = e.Usage, e.Estimated, true
		}
	}
	flush()
	if !done {
		return &r, fault.New(fault.ModelError, "The model's answer ended before it was complete.")
	}
	return &r, nil
}
