package bedrock

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"outcrop/upstream"
)

// The event stream tests of Smithy that are for clients, which this package is: see wire/testdata. A message of no type, an
// event of no type, and types that are not strings are refused; exceptions and errors are the upstream's.
func TestSmithyMessages(t *testing.T) {
	raw, err := os.ReadFile("../../wire/testdata/eventstream_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Bytes   []byte `json:"bytes"`
		Payload []byte `json:"payload"`
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	refused, told, read := 0, 0, 0
	for _, v := range vectors {
		if v.Type != "response" {
			continue
		}
		in := newFrames(bytes.NewReader(v.Bytes), 1<<20)
		if err := in.fill(); err != nil {
			t.Fatal(err)
		}
		f, ok, err := in.next()
		if err != nil || !ok || !bytes.Equal(f.payload, v.Payload) {
			t.Errorf("%s: %q %v %v", v.ID, f.payload, ok, err)
		}
		d := decoder{x: &exchange{p: &Provider{}, req: &upstream.Request{}}}
		d.x.ask.converse, d.x.ask.native = true, true
		_, ok, err = d.decode(f)
		var r *refusal
		switch {
		case strings.Contains(v.ID, "MessageType"), strings.Contains(v.ID, "EventType"):
			refused++
			if !errors.Is(err, errFrame) {
				t.Errorf("%s: %v", v.ID, err)
			}
		case strings.Contains(v.ID, "UnexpectedError"):
			told++
			if !errors.As(err, &r) || r.Name != "internal-error" || r.Message != "An unknown error occurred." {
				t.Errorf("%s: %v", v.ID, err)
			}
		case strings.Contains(v.ID, "Error"):
			told++
			if !errors.As(err, &r) || r.Name != "error" || r.Message != "foo" {
				t.Errorf("%s: %v", v.ID, err)
			}
		default:
			read++
			if err != nil || !ok {
				t.Errorf("%s: %v %v", v.ID, ok, err)
			}
		}
		in.release()
	}
	if refused != 8 || told < 4 || read < 30 {
		t.Errorf("%d refused, %d errors, %d events", refused, told, read)
	}
}
