package converse

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

func streamOf(err error, es ...Event) Stream {
	return func(yield func(Event, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(Event{}, err)
		}
	}
}

func delta(index int, kind DeltaKind, text string) Event {
	return Event{Kind: BlockDelta, Index: index, Delta: kind, Text: text}
}

func TestCollect(t *testing.T) {
	begin := Event{Kind: MessageStart, Role: RoleAssistant}
	usage := Usage{InputTokens: 3, OutputTokens: 5, CacheReadInputTokens: 7}
	end := Event{Kind: Metadata, Usage: usage}
	stop := func(reason string) Event { return Event{Kind: MessageStop, StopReason: reason} }
	blockStop := func(i int) Event { return Event{Kind: BlockStop, Index: i} }
	start := func(i int, id string) Event { return Event{Kind: BlockStart, Index: i, ToolUseID: id, ToolName: "f"} }
	called := func(id, input string) ContentBlock {
		return ContentBlock{ToolUse: &ToolUse{ToolUseID: id, Name: "f", Input: jsontext.Value(input)}}
	}
	thinking := func(s, sig string) ContentBlock {
		return ContentBlock{ReasoningContent: &Reasoning{ReasoningText: &ReasoningText{Text: s, Signature: sig}}}
	}
	for name, c := range map[string]struct {
		events []Event
		want   Response
	}{
		"text in one piece": {
			[]Event{begin, delta(0, TextDelta, "Hello"), blockStop(0), stop(StopEndTurn), end},
			Response{Content: []ContentBlock{text("Hello")}, StopReason: StopEndTurn, Usage: usage},
		},
		"text in pieces": {
			[]Event{begin, delta(0, TextDelta, "He"), delta(0, TextDelta, ""), delta(0, TextDelta, "ll"), delta(0, TextDelta, "o"), blockStop(0), stop(StopMaxTokens), end},
			Response{Content: []ContentBlock{text("Hello")}, StopReason: StopMaxTokens, Usage: usage},
		},
		"empty": {
			[]Event{begin, stop(StopEndTurn), end},
			Response{StopReason: StopEndTurn, Usage: usage},
		},
		"stop sequence and fields": {
			[]Event{begin, delta(0, TextDelta, "a"), blockStop(0), {Kind: MessageStop, StopReason: StopStopSequence, StopSequence: "b", Fields: jsontext.Value(`{"x":1}`)}, end},
			Response{Content: []ContentBlock{text("a")}, StopReason: StopStopSequence, StopSequence: "b", Fields: jsontext.Value(`{"x":1}`), Usage: usage},
		},
		"thinking, text and two calls": {
			[]Event{begin,
				delta(0, ReasoningDelta, "Hm"), delta(0, ReasoningDelta, "m."), delta(0, SignatureDelta, "si"), delta(0, SignatureDelta, "g"), blockStop(0),
				delta(1, TextDelta, "I look."), blockStop(1),
				start(2, "a"), delta(2, ToolInputDelta, `{"x"`), delta(2, ToolInputDelta, `:1}`), blockStop(2),
				start(3, "b"), blockStop(3), stop(StopToolUse), end},
			Response{Content: []ContentBlock{thinking("Hmm.", "sig"), text("I look."), called("a", `{"x":1}`), called("b", `{}`)}, StopReason: StopToolUse, Usage: usage},
		},
		"sealed thinking": {
			[]Event{begin, delta(0, RedactedDelta, "\x00\xff"), blockStop(0), delta(1, SignatureDelta, "only"), blockStop(1), stop(StopEndTurn), end},
			Response{Content: []ContentBlock{{ReasoningContent: &Reasoning{RedactedContent: []byte("\x00\xff")}}, thinking("", "only")}, StopReason: StopEndTurn, Usage: usage},
		},
		"blocks without their ends": {
			[]Event{begin, delta(0, TextDelta, "a"), delta(1, TextDelta, "b"), start(2, "c"), stop(StopToolUse), {Kind: Metadata, Usage: usage, Estimated: true}},
			Response{Content: []ContentBlock{text("a"), text("b"), called("c", `{}`)}, StopReason: StopToolUse, Usage: usage, Estimated: true},
		},
		"a call that is no JSON": {
			[]Event{begin, start(0, "a"), delta(0, ToolInputDelta, `{city: "Par`), blockStop(0), stop(StopToolUse), end},
			Response{Content: []ContentBlock{called("a", `"{city: \"Par"`)}, StopReason: StopMalformedToolUse, Usage: usage},
		},
		"a call cut short": {
			[]Event{begin, start(0, "a"), delta(0, ToolInputDelta, `{"city":"Par`), blockStop(0), stop(StopMaxTokens), end},
			Response{Content: []ContentBlock{called("a", `"{\"city\":\"Par"`)}, StopReason: StopMaxTokens, Usage: usage},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Collect(streamOf(nil, c.events...))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, c.want) {
				a, _ := json.Marshal(got.Content)
				b, _ := json.Marshal(c.want.Content)
				t.Errorf("%+v %s\nwant %+v %s", *got, a, c.want, b)
			}
			if _, err := json.Marshal(got.Content); err != nil {
				t.Errorf("the answer is no JSON: %v", err)
			}
		})
	}
	t.Run("broken", func(t *testing.T) {
		cause := errors.New("gone")
		got, err := Collect(streamOf(cause, begin, delta(0, TextDelta, "Hel")))
		if err != cause || len(got.Content) != 1 || *got.Content[0].Text != "Hel" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("no usage", func(t *testing.T) {
		if _, err := Collect(streamOf(nil, begin, delta(0, TextDelta, "Hel"), blockStop(0), stop(StopEndTurn))); !fault.Is(err, fault.ModelError) {
			t.Errorf("%v, want a ModelError", err)
		}
	})
}

func BenchmarkCollect(b *testing.B) {
	es := []Event{{Kind: MessageStart, Role: RoleAssistant}}
	for range 100 {
		es = append(es, delta(0, TextDelta, " token"))
	}
	es = append(es, Event{Kind: BlockStop}, Event{Kind: MessageStop, StopReason: StopEndTurn}, Event{Kind: Metadata})
	s := streamOf(nil, es...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Collect(s); err != nil {
			b.Fatal(err)
		}
	}
}
