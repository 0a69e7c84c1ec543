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
