package anthropic

import (
	"testing"

	"outcrop/converse"
	dialect "outcrop/dialect/anthropic"
)

// TestNothingIsHeldBack: when no other event is ready, all that those before have made is on its way.
func TestNothingIsHeldBack(t *testing.T) {
	seen, more := 0, false
	events := func(yield func(converse.Event, error) bool) {
		for i, e := range []converse.Event{
			{Kind: converse.MessageStart, Role: converse.RoleAssistant},
			{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello"},
			{Kind: converse.BlockStop, More: true},
			{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, // which waits for the usage: it makes none of Anthropic's
			{Kind: converse.Metadata, More: true},
		} {
			before := seen
			if !yield(e, nil) {
				return
			}
			if i == 3 && (seen == before || more) {
				t.Errorf("%d events were written, and another was announced: %t", seen, more)
			}
		}
	}
	for e, err := range new(input).stream(events, &dialect.StreamEncoder{API: true}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		more = e.More()
	}
	if !more {
		t.Error("the end is not announced")
	}
}
