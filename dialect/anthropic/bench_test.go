package anthropic

import (
	"fmt"
	"strings"
	"testing"

	"outcrop/converse"
)

// BenchmarkParseRequest is an InvokeModel body on its way in.
func BenchmarkParseRequest(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			body := fmt.Appendf(nil, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":"Answer in one sentence.","messages":[{"role":"user","content":[{"type":"text","text":%q}]}]}`, strings.Repeat("The quick brown fox jumps over the lazy dog.\n", size/45))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRequest(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStreamEncoder is one piece of text on its way out.
func BenchmarkStreamEncoder(b *testing.B) {
	var s StreamEncoder
	n := 0
	emit := func(event []byte) { n += len(event) }
	s.Encode(&converse.Event{Kind: converse.MessageStart}, emit)
	e := &converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " hello"}
	b.ReportAllocs()
	for b.Loop() {
		s.Encode(e, emit)
	}
	if n == 0 {
		b.Fatal("no event")
	}
}

// BenchmarkDecoder is one piece of text on its way in.
func BenchmarkDecoder(b *testing.B) {
	for name, text := range map[string]string{"plain": " hello", "escaped": `\n\nI\"m`} {
		b.Run(name, func(b *testing.B) {
			var d Decoder
			if _, err := d.Append(nil, []byte(text0)); err != nil {
				b.Fatal(err)
			}
			event := []byte(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + text + `"}          }`)
			es := make([]converse.Event, 0, 2)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if es, err = d.Append(es[:0], event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendMessages is a request on its way out.
func BenchmarkAppendMessages(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			text := strings.Repeat("The quick brown fox jumps over the lazy dog.\n", size/45)
			r := &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: &text}}}}}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := AppendMessages(make([]byte, 0, EstimateSize(r)), r, "claude", true, "up"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
