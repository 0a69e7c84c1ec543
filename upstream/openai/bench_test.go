package openai

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/upstream"
)

// answering is a server that says answer to every request, in as little time as a server can take.
func answering(b *testing.B, answer []byte) (baseURL string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					length := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
						}
						if len(line) == 2 {
							break
						}
					}
					if _, err := r.Discard(length); err != nil {
						return
					}
					c.Write(answer)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/v1"
}

// BenchmarkSend is one call with its answer, the server's part included: a whole answer of 100 tokens, and a stream of
// 100 events that come at once.
func BenchmarkSend(b *testing.B) {
	prompt, most := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 22), 100
	r := &upstream.Request{ID: "6a2f41a3-c54c-4f0b-8d1c-0a5b6c7d8e9f", Model: "m", Body: &converse.Request{
		Messages:        []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: &prompt}}}},
		InferenceConfig: &converse.InferenceConfig{MaxTokens: &most},
	}}
	const usage = `"usage":{"completion_tokens":100,"prompt_tokens":256,"total_tokens":356}`
	whole := fmt.Sprintf(`{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":%q}}],"created":1795439692,"model":"m","object":"chat.completion",%s,"id":"chatcmpl-13OcUvc8CPGeDMNZACQeaHvmWBD5T5nA"}`, strings.Repeat("word ", 100), usage)
	var events strings.Builder
	chunk := func(s string) { fmt.Fprintf(&events, "%x\r\n%s\r\n", len(s), s) }
	const same = `"created":1795439692,"id":"chatcmpl-13OcUvc8CPGeDMNZACQeaHvmWBD5T5nA","model":"m","object":"chat.completion.chunk"`
	for i := range 100 {
		chunk(fmt.Sprintf(`data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" word%d"}}],%s}`+"\n\n", i, same))
	}
	chunk(`data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],` + same + "}\n\n")
	chunk(`data: {"choices":[],` + same + "," + usage + "}\n\n")
	chunk("data: [DONE]\n\n")
	for _, c := range []struct {
		name, kind, answer string
		stream             bool
	}{
		{"whole", "application/json", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(whole), whole), false},
		{"stream", "text/event-stream", "Transfer-Encoding: chunked\r\n\r\n" + events.String() + "0\r\n\r\n", true},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := New(Config{Name: "b", BaseURL: answering(b, []byte("HTTP/1.1 200 OK\r\nContent-Type: "+c.kind+"\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"+c.answer))})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			r := *r
			r.Stream = c.stream
			b.ReportAllocs()
			for b.Loop() {
				events, err := p.Send(b.Context(), &r)
				if err != nil {
					b.Fatal(err)
				}
				var last converse.Event
				for last, err = range events {
					if err != nil {
						b.Fatal(err)
					}
				}
				if last.Usage.OutputTokens != 100 {
					b.Fatalf("%+v", last)
				}
			}
		})
	}
}
