package openai

import (
	"testing"

	"outcrop/converse"
)

// TestNothingIsHeldBack: when no other event is ready, all that those before have made is on its way.
func TestNothingIsHeldBack(t *testing.T) {
	seen, more := 0, false
	events := func(yield func(converse.Event, error) bool) {
		for i, e := range []converse.Event{
			{Kind: converse.MessageStart, Role: converse.RoleAssistant},
			{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello", More: true},
			{Kind: converse.BlockStop}, // it makes none of the encoder's here
			{Kind: converse.Metadata, More: true},
		} {
			if !yield(e, nil) {
				return
			}
			if i == 2 && (seen != 2 || more) {
				t.Errorf("%d events were written, and another was announced: %t", seen, more)
			}
		}
	}
	encode := func(e *converse.Event, _ bool, emit func(string, []byte)) {
		if e.Kind != converse.BlockStop {
			emit("", []byte("{}"))
		}
	}
	for e, err := range new(input).stream(events, &event{}, "[DONE]", encode) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		more = e.More()
	}
	if seen != 4 || !more {
		t.Errorf("%d events, the end is announced: %t", seen, more)
	}
}
