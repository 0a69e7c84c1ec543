package bedrock

import (
	"bytes"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/upstream"
)

// BenchmarkEvent is the cost of one event of a stream, from the bytes of its frame.
func BenchmarkEvent(b *testing.B) {
	delta := encode("event", ":event-type", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":" information"},"p":"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"}`)
	escaped := encode("event", ":event-type", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"\n\n"},"p":"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"}`)
	chunk := encode("event", ":event-type", "chunk", `{"bytes":"eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImluZGV4IjowLCJkZWx0YSI6eyJ0eXBlIjoidGV4dF9kZWx0YSIsInRleHQiOiIgdGhlIHNhbWUgYmxvY2sifX0=","p":"abcdefghijklm"}`)
	for _, c := range []struct {
		name             string
		frame            []byte
		native, converse bool
	}{{"translated", delta, false, true}, {"translated/escaped", escaped, false, true}, {"native", delta, true, true}, {"chunk", chunk, true, false}} {
		b.Run(c.name, func(b *testing.B) {
			x := &exchange{p: &Provider{}, req: &upstream.Request{}, ask: ask{native: c.native, converse: c.converse}}
			d := decoder{x: x}
			src := bytes.NewReader(c.frame)
			in := newFrames(src, 1<<62)
			b.ReportAllocs()
			for b.Loop() {
				src.Reset(c.frame)
				if err := in.fill(); err != nil {
					b.Fatal(err)
				}
				f, ok, err := in.next()
				if !ok || err != nil {
					b.Fatal(err)
				}
				if _, ok, err := d.decode(f); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRequest is the cost of a request until it is sent: its body, its URL, its headers and its signature.
func BenchmarkRequest(b *testing.B) {
	p := open(b, &service{}, func(c *Config) { c.Endpoint = "" })
	text := strings.Repeat("Here are the notes of Tuesday's meeting. ", 25)
	body := &converse.Request{Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{{Text: &text}}}}}
	native := &upstream.Native{Format: "converse", Operation: "Converse", Body: []byte(`{"messages":[{"role":"user","content":[{"text":"` + text + `"}]}]}`)}
	for name, r := range map[string]*upstream.Request{
		"translated": {Model: nova, ModelID: nova, Region: "us-east-1", Body: body},
		"native":     {Model: nova, ModelID: nova, Region: "us-east-1", Body: body, Native: native},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x := &exchange{p: p, ctx: b.Context(), req: r, region: r.Region}
				if err := x.address(); err != nil {
					b.Fatal(err)
				}
				if err := x.compose(); err != nil {
					b.Fatal(err)
				}
				if _, err := x.signed(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
