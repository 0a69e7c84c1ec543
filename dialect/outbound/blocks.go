package outbound

import "outcrop/converse"

// Blocks puts the events of an answer in Converse's order while it comes: MessageStart, then one block after the other. The
// zero value is of an answer that has not begun.
type Blocks struct {
	Started bool               // any event was appended
	Open    converse.DeltaKind // what the open block is made of, 0 for none; of thinking, its signature included, ReasoningDelta
	Signed  bool               // the open block has its signature
	index   int                // of the open block, or of the next one
}

// Start appends MessageStart, unless it has been.
func (b *Blocks) Start(dst []converse.Event) []converse.Event {
	if b.Started {
		return dst
	}
	b.Started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
}

// Delta appends a piece of the open block, or of a new one where that is of another kind. Empty text is none.
func (b *Blocks) Delta(dst []converse.Event, kind converse.DeltaKind, text string) []converse.Event {
	if text == "" {
		return dst
	}
	block := kind
	if kind == converse.SignatureDelta {
		block = converse.ReasoningDelta
	}
	dst = b.Start(dst)
	if b.Open != block {
		dst = b.Close(dst)
		b.Open = block
	}
	b.Signed = b.Signed || kind == converse.SignatureDelta
	return append(dst, converse.Event{Kind: converse.BlockDelta, Index: b.index, Delta: kind, Text: text})
}

// Tool begins the block of a tool call, whose input comes by Delta.
func (b *Blocks) Tool(dst []converse.Event, id, name string) []converse.Event {
	dst = b.Close(b.Start(dst))
	b.Open = converse.ToolInputDelta
	return append(dst, converse.Event{Kind: converse.BlockStart, Index: b.index, ToolUseID: id, ToolName: name})
}

// Close ends the open block, if there is one.
func (b *Blocks) Close(dst []converse.Event) []converse.Event {
	if b.Open == 0 {
		return dst
	}
	dst = append(dst, converse.Event{Kind: converse.BlockStop, Index: b.index})
	b.Open, b.Signed = 0, false
	b.index++
	return dst
}
