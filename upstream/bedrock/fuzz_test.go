package bedrock

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"outcrop/converse"
	"outcrop/upstream"
)

// FuzzFrames holds the reader of event streams against the AWS SDK's: of a stream as it is, and of one that begins with a
// frame whose headers and payload are given and whose lengths and checksums are right.
func FuzzFrames(f *testing.F) {
	for _, name := range []string{"converse-stream-nova.bin", "invoke-stream-claude.bin", "invoke-stream-titan.bin"} {
		f.Add([]byte{}, []byte{}, recorded(f, name))
	}
	frame := encode("exception", ":exception-type", "throttlingException", `{"message":"Too many requests"}`)
	f.Add(frame[preludeLength:len(frame)-4-31], frame[len(frame)-4-31:len(frame)-4], []byte{})
	f.Add([]byte("\x01a\x00\x01b\x02\x01\x01c\x03\x01\x02\x01d\x04\x01\x02\x03\x04\x01e\x06\x00\x01x\x01f\x08\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("{}"), []byte{})
	f.Fuzz(func(t *testing.T, headers, payload, rest []byte) {
		b := rest
		if len(headers) > 0 {
			b = binary.BigEndian.AppendUint32(nil, uint32(frameOverhead+len(headers)+len(payload)))
			b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
			b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
			b = append(append(b, headers...), payload...)
			b = append(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), rest...)
		}
		in := newFrames(bytes.NewReader(b), 1<<20)
		defer in.release()
		theirs, decoder := bytes.NewReader(b), eventstream.NewDecoder()
		for {
			got, ok, err := in.next()
			if err == nil && !ok {
				if err = in.fill(); err == nil {
					continue
				}
			}
			want, wantErr := decoder.Decode(theirs, nil)
			switch {
			case err != nil && wantErr != nil:
				return
			case err != nil:
				// The SDK takes headers that are cut short and names that are empty. What it reads and would write again as
				// it was must be read here too.
				var again bytes.Buffer
				end := len(b) - theirs.Len()
				if eventstream.NewEncoder().Encode(&again, want) == nil && bytes.HasSuffix(b[:end], again.Bytes()) &&
					!slices.ContainsFunc(want.Headers, func(h eventstream.Header) bool { return h.Name == "" }) {
					t.Fatalf("%v, the SDK reads %q", err, want.Payload)
				}
				return
			case wantErr != nil:
				t.Fatalf("%q, the SDK: %v", got.payload, wantErr)
			case !bytes.Equal(got.payload, want.Payload):
				t.Fatalf("%q, the SDK reads %q", got.payload, want.Payload)
			}
			if v, ok := want.Headers.Get(":message-type").(eventstream.StringValue); ok && string(v) != got.kind && count(want.Headers, ":message-type") == 1 {
				t.Fatalf("type %q, the SDK reads %q", got.kind, v)
			}
		}
	})
}

func count(hs eventstream.Headers, name string) (n int) {
	for _, h := range hs {
		if h.Name == name {
			n++
		}
	}
	return n
}

// FuzzDecoder feeds payloads of every kind of event: nothing panics, and a stream's last event is Metadata or an error.
func FuzzDecoder(f *testing.F) {
	f.Add("contentBlockDelta", []byte(`{"contentBlockIndex":0,"delta":{"text":"a"},"p":"x"}`), uint8(0))
	f.Add("contentBlockStart", []byte(`{"contentBlockIndex":1,"start":{"toolUse":{"name":"f","toolUseId":"t"}}}`), uint8(0))
	f.Add("metadata", []byte(`{"usage":{"inputTokens":1,"cacheDetails":[{"ttl":"1h","inputTokens":1}]}}`), uint8(1))
	f.Add("chunk", []byte(`{"bytes":"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjF9fQ=="}`), uint8(2))
	f.Add("messageStop", []byte(`{"stopReason":"end_turn"}`), uint8(1))
	f.Fuzz(func(t *testing.T, name string, payload []byte, mode uint8) {
		x := &exchange{p: &Provider{}, req: &upstream.Request{}}
		x.ask.converse, x.ask.native = mode%3 != 2, mode%3 != 0
		d := decoder{x: x}
		e, ok, err := d.decode(frame{kind: "event", name: name, payload: payload})
		if err != nil && ok {
			t.Fatal("an event and an error")
		}
		if ok && (e.Kind == 0 || e.Kind == converse.Metadata) {
			t.Fatalf("%+v", e)
		}
		if d.ended && d.last.Kind != converse.Metadata {
			t.Fatalf("%+v", d.last)
		}
		if i, text, ok := new(decoder).textDelta(payload); ok && name == "contentBlockDelta" && mode%3 == 0 {
			x.ask.native = false
			slow, same, err := (&decoder{x: x}).event(frame{name: name, payload: append([]byte(" "), payload...)})
			if err == nil && (!same || slow.Index != i || slow.Text != text) && bytes.Count(payload, []byte(`"`)) == 8 {
				t.Fatalf("%d %q, by reflection %+v", i, text, slow)
			}
		}
	})
}
