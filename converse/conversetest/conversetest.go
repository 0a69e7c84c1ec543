// Package conversetest is the specification of a converse.Stream, for the tests of those who make one.
package conversetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// Request reads a Converse request.
func Request(t testing.TB, text string) *converse.Request {
	t.Helper()
	var r converse.Request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &r
}

// Marshal writes v as JSON.
func Marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Same holds JSON against JSON, whatever the order of members.
func Same[T ~string | ~[]byte](t testing.TB, got T, want string) {
	t.Helper()
	a, b := jsontext.Value(string(got)), jsontext.Value(want)
	if err := a.Canonicalize(); err != nil {
		t.Errorf("%s: %v", string(got), err)
		return
	}
	if err := b.Canonicalize(); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if string(a) != string(b) {
		t.Errorf("%s\nwant %s", a, b)
	}
}

// CheckOrder holds whole answers against ConverseStream's order: MessageStart; blocks one after the other, numbered from
// 0, a tool's with a BlockStart that has an id (some servers give no name) and the others with a piece at least, each with
// its BlockStop; MessageStop with a reason; Metadata. A piece is not empty, but for a citation.
func CheckOrder(es []converse.Event) error {
	next := 0
	take := func() converse.Event {
		if next == len(es) {
			return converse.Event{}
		}
		next++
		return es[next-1]
	}
	if e := take(); e.Kind != converse.MessageStart || e.Role != converse.RoleAssistant {
		return fmt.Errorf("event 0: %+v, want MessageStart of the assistant", e)
	}
	e := take()
	for block := 0; e.Kind == converse.BlockStart || e.Kind == converse.BlockDelta; block++ {
		tool := e.Kind == converse.BlockStart
		if tool {
			if e.Index != block || e.ToolUseID == "" {
				return fmt.Errorf("event %d: %+v, want the start of block %d", next-1, e, block)
			}
			e = take()
		}
		for e.Kind == converse.BlockDelta {
			if e.Index != block || (e.Delta == converse.ToolInputDelta) != tool || e.Text == "" && e.Delta != converse.CitationDelta {
				return fmt.Errorf("event %d: %+v in block %d", next-1, e, block)
			}
			e = take()
		}
		if e.Kind != converse.BlockStop || e.Index != block {
			return fmt.Errorf("event %d: %+v, want the end of block %d", next-1, e, block)
		}
		e = take()
	}
	if e.Kind != converse.MessageStop || e.StopReason == "" {
		return fmt.Errorf("event %d: %+v, want MessageStop with its reason", next-1, e)
	}
	if e = take(); e.Kind != converse.Metadata || e.More {
		return fmt.Errorf("event %d: %+v, want Metadata with nothing behind it", next-1, e)
	}
	if next != len(es) {
		return errors.New("events after Metadata")
	}
	return nil
}

// Decoder is what every dialect's decoder is.
type Decoder interface {
	Append(dst []converse.Event, data []byte) ([]converse.Event, error)
	Finish(dst []converse.Event, input func() int64) []converse.Event
}

// EstimatedInput is what Decode estimates the input as.
const EstimatedInput = 4242

// Decode decodes chunks as one answer and holds it against CheckOrder.
func Decode(t testing.TB, d Decoder, chunks ...string) []converse.Event {
	t.Helper()
	var es []converse.Event
	for _, c := range chunks {
		var err error
		if es, err = d.Append(es, []byte(c)); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	}
	es = d.Finish(es, func() int64 { return EstimatedInput })
	if err := CheckOrder(es); err != nil {
		t.Errorf("%v\n%+v", err, es)
	}
	return es
}

// Collect makes the one answer of es.
func Collect(t testing.TB, es []converse.Event) *converse.Response {
	t.Helper()
	r, err := converse.Collect(converse.Sequence(es))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
