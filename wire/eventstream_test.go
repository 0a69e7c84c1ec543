package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type vector struct {
	ID      string                       `json:"id"`
	Bytes   []byte                       `json:"bytes"`
	Headers map[string][2]jsontext.Value `json:"headers"`
	Payload []byte                       `json:"payload"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/eventstream_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) != 92 {
		t.Fatalf("%d vectors", len(vs))
	}
	return vs
}

// headerValue is what a vector says of a header: [type, value].
func headerValue(t *testing.T, v [2]jsontext.Value) any {
	t.Helper()
	decode := func(to any) {
		if err := json.Unmarshal(v[1], to); err != nil {
			t.Fatal(err)
		}
	}
	var n int64
	switch string(v[0]) {
	case "0":
		return true
	case "1":
		return false
	case "2":
		decode(&n)
		return int8(n)
	case "3":
		decode(&n)
		return int16(n)
	case "4":
		decode(&n)
		return int32(n)
	case "5":
		decode(&n)
		return n
	case "6":
		var b []byte
		decode(&b)
		return b
	case "7":
		var s string
		decode(&s)
		return s
	case "8":
		decode(&n)
		return time.UnixMilli(n).UTC()
	}
	t.Fatalf("type %s", v[0])
	return nil
}

// Smithy's frames: each is decoded, cut short everywhere, and refused with any byte changed.
func TestDecodeMessage(t *testing.T) {
	for _, v := range vectors(t) {
		m, rest, err := DecodeMessage(append(bytes.Clone(v.Bytes), "tail"...))
		if err != nil || string(rest) != "tail" {
			t.Errorf("%s: %v, rest %q", v.ID, err, rest)
			continue
		}
		want := map[string]any{}
		for name, value := range v.Headers {
			want[name] = headerValue(t, value)
		}
		got := map[string]any{}
		for _, h := range m.Headers {
			got[h.Name] = h.Value
		}
		if !reflect.DeepEqual(got, want) || !bytes.Equal(m.Payload, v.Payload) {
			t.Errorf("%s:\n got %v %q\nwant %v %q", v.ID, got, m.Payload, want, v.Payload)
		}
		for n := range len(v.Bytes) {
			if _, _, err := DecodeMessage(v.Bytes[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d: %v", v.ID, n, err)
			}
			bad := bytes.Clone(v.Bytes)
			bad[n] ^= 1
			if _, _, err := DecodeMessage(bad); err == nil {
				t.Errorf("%s with byte %d changed is taken", v.ID, n)
			}
		}
	}
}

// frameOf makes a frame by the letter of the specification, independent of the encoder.
func frameOf(headers, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func TestDecodeHeaders(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers string
		want    any // nil: refused
	}{
		{"true", "\x01a\x00", true},
		{"false", "\x01a\x01", false},
		{"uuid", "\x01a\x09" + "0123456789abcdef", [16]byte([]byte("0123456789abcdef"))},
		{"byte, negative", "\x01a\x02\xff", int8(-1)},
		{"short, negative", "\x01a\x03\xff\xfe", int16(-2)},
		{"timestamp before 1970", "\x01a\x08\xff\xff\xff\xff\xff\xff\xff\xff", time.UnixMilli(-1).UTC()},
		{"empty string", "\x01a\x07\x00\x00", ""},
		{"unknown type", "\x01a\x0a", nil},
		{"no name", "\x00\x00", nil},
		{"name beyond the end", "\x05a\x00", nil},
		{"no type", "\x01a", nil},
		{"value beyond the end", "\x01a\x04\x00\x00", nil},
		{"string beyond the end", "\x01a\x07\x00\x05abc", nil},
		{"no length", "\x01a\x07\x00", nil},
		{"string not UTF-8", "\x01a\x07\x00\x01\xff", nil},
		{"name not UTF-8", "\x01\xff\x00", nil},
	} {
		m, _, err := DecodeMessage(frameOf([]byte(c.headers), nil))
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: taken as %v", c.name, m.Headers)
			}
			continue
		}
		if err != nil || len(m.Headers) != 1 || !reflect.DeepEqual(m.Headers[0].Value, c.want) {
			t.Errorf("%s: %v %v, want %v", c.name, m.Headers, err, c.want)
		}
	}
}

func TestMessageBounds(t *testing.T) {
	prelude := func(total, headers uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, total)
		b = binary.BigEndian.AppendUint32(b, headers)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	for _, c := range []struct {
		name           string
		total, headers uint32
		want           string
	}{
		{"too short", 15, 0, "too short"},
		{"headers longer than the message", 20, 5, "too short"},
		{"headers", 16 + MaxHeaders + 1, MaxHeaders + 1, "headers"},
		{"payload", 16 + MaxPayload + 1, 0, "payload"},
		{"overflow", 10, 0xfffffff8, "headers"},
		{"largest", 0xffffffff, 0, "payload"},
	} {
		if _, _, err := DecodeMessage(prelude(c.total, c.headers)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := ReadMessage(bytes.NewReader(prelude(c.total, c.headers))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, read: %v", c.name, err)
		}
	}
	// The largest that is allowed.
	if _, _, err := DecodeMessage(prelude(16+MaxHeaders+MaxPayload, MaxHeaders)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the largest: %v", err)
	}
}

func TestReadMessage(t *testing.T) {
	a, b := frameOf([]byte("\x01a\x00"), []byte("one")), frameOf(nil, nil)
	r := bytes.NewReader(append(append(bytes.Clone(a), b...), a[:20]...))
	if m, err := ReadMessage(r); err != nil || string(m.Payload) != "one" {
		t.Errorf("first: %v %v", m, err)
	}
	if m, err := ReadMessage(r); err != nil || len(m.Payload) != 0 {
		t.Errorf("second: %v %v", m, err)
	}
	if _, err := ReadMessage(r); err != io.ErrUnexpectedEOF {
		t.Errorf("a cut one: %v", err)
	}
	if _, err := ReadMessage(r); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	if _, err := ReadMessage(bytes.NewReader(a[:12])); err != io.ErrUnexpectedEOF {
		t.Errorf("a prelude alone: %v", err)
	}
}

// The encoder's frame, byte for byte, against one made by the letter of the specification in AWS's header order.
func TestEncodeFrame(t *testing.T) {
	payload := `{"role":"assistant"}`
	headers := "\x0b:event-type\x07\x00\x0cmessageStart" + "\x0d:content-type\x07\x00\x10application/json" + "\x0d:message-type\x07\x00\x05event"
	before := []byte("what is there already")
	got := beginFrame(before, ":event-type", "messageStart", "event")
	got = endFrame(append(got, payload...), len(before))
	want := append(bytes.Clone(before), frameOf([]byte(headers), []byte(payload))...)
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		b := beginFrame(buf, ":event-type", "contentBlockDelta", "event")
		endFrame(append(b, `{"delta":{"text":"a word"},"contentBlockIndex":0}`...), 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Bytes)
	}
	f.Add(frameOf([]byte("\x01a\x09"+"0123456789abcdef"), []byte("x")))
	for _, s := range []string{"AAAAHQAAAAD9Uo0z", ""} { // a prelude alone; nothing
		b, _ := base64.StdEncoding.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := DecodeMessage(b)
		if fixed := fixChecksums(b); err != nil && fixed != nil {
			b = fixed // or hardly any input would get past them
			m, rest, err = DecodeMessage(b)
		}
		if err != nil {
			if m.Headers != nil || m.Payload != nil {
				t.Error("an error, and yet a message")
			}
			return
		}
		used := len(b) - len(rest)
		if used < frameOverhead || len(m.Payload) > MaxPayload || !bytes.Equal(b[used:], rest) {
			t.Errorf("%d bytes used of %d", used, len(b))
		}
		read, err := ReadMessage(bytes.NewReader(b))
		if err != nil || !reflect.DeepEqual(read.Headers, m.Headers) || !bytes.Equal(read.Payload, m.Payload) {
			t.Errorf("read otherwise than decoded: %v", err)
		}
	})
}

// fixChecksums makes the checksums of b right if its lengths are.
func fixChecksums(b []byte) []byte {
	if len(b) < frameOverhead {
		return nil
	}
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	total := int64(binary.BigEndian.Uint32(b))
	if total < frameOverhead || total > int64(len(b)) {
		return nil
	}
	binary.BigEndian.PutUint32(b[total-4:], crc32.ChecksumIEEE(b[:total-4]))
	return b
}
