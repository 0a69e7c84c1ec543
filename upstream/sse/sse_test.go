package sse

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// all reads the events of a body to its end.
func all(r *Reader) (out []string, err error) {
	for {
		if data, ok := r.Next(); ok {
			out = append(out, string(data))
			continue
		}
		if err := r.Fill(); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, err
		}
	}
}

// TestReader: section 9.2.6, "Interpreting an event stream", of the HTML standard, and what servers do that it does not
// know: a last event without its blank line counts. An event without data is none there either.
func TestReader(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string
	}{
		{"", nil},
		{"\n\n\n", nil},
		{"data: a\n\n", []string{"a"}},
		{"data:a\n\ndata:  b\n\n", []string{"a", " b"}},
		{"data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"data: YHOO\ndata: +2\ndata: 10\n\n", []string{"YHOO\n+2\n10"}}, // the standard's own example
		{": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", []string{"first event", "second event", " third event"}},
		{"data\n\ndata: \n\ndata:\n\n", []string{"", ""}}, // a field without a colon is passed over
		{"event: message_start\ndata: {}\n\nevent: ping\n\n", []string{"{}"}},
		{"retry: 10\n:keep-alive\ndata: a\n:in between\ndata: b\n\n", []string{"a\nb"}},
		{"error: {\"code\":500}\n\ndata: a\n\n", []string{`{"code":500}`, "a"}}, // llama.cpp before 2025
		{"data: a\n\ndata: b", []string{"a", "b"}},
		{"data: a\n\ndata: b\n", []string{"a", "b"}},
		{"data: " + strings.Repeat("x", 100_000) + "\n\ndata: y\n\n", []string{strings.Repeat("x", 100_000), "y"}},
	} {
		for how, src := range map[string]io.Reader{
			"at once": strings.NewReader(c.body), "by bytes": iotest.OneByteReader(strings.NewReader(c.body)), "with its end": iotest.DataErrReader(strings.NewReader(c.body)),
		} {
			r := NewReader(src, 1<<20)
			got, err := all(r)
			r.Release()
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%.60q %s: %.200q, %v, want %.200q", c.body, how, got, err, c.want)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		most int64
		want error
	}{
		"the body":         {strings.Repeat("data: a\n\n", 100), 899, ErrTooLong},
		"a body that fits": {strings.Repeat("data: a\n\n", 100), 900, nil},
		"an event":         {"data: " + strings.Repeat("x", MaxEvent), 1 << 30, ErrTooLong},
		"many lines":       {strings.Repeat("data: x\n", MaxEvent/8), 1 << 30, ErrTooLong},
		"a comment":        {":" + strings.Repeat("x", MaxEvent), 1 << 30, ErrTooLong},
	} {
		r := NewReader(strings.NewReader(c.body), c.most)
		if _, err := all(r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		r.Release()
	}
}

// TestBroken: what came before a break is given before the break is told.
func TestBroken(t *testing.T) {
	broken := errors.New("reset")
	r := NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), 1<<20)
	defer r.Release()
	if got, err := all(r); !errors.Is(err, broken) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDrain(t *testing.T) {
	src := strings.NewReader("data: a\n\n" + strings.Repeat("x\n", 50_000))
	r := NewReader(src, 1<<20)
	defer r.Release()
	if err := r.Fill(); err != nil {
		t.Fatal(err)
	}
	if data, ok := r.Next(); !ok || string(data) != "a" {
		t.Fatalf("%q", data)
	}
	if r.Drain(); src.Len() > 0 {
		t.Errorf("%d bytes are left", src.Len())
	}
}

// FuzzReader: however a body is cut into reads, its events are the same, and they are those of a plain reading of the
// specification.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: a\ndata: b\r\n\r\ndata: c\ndata: d\n\n: e\n\ndata"))
	f.Add([]byte("data:a\r\n\r\nerror: b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<19 {
			return // the bounds have their own test
		}
		var want, event []string
		for _, line := range bytes.Split(append(bytes.Clone(body), "\n\n"...), []byte("\n")) {
			line = bytes.TrimSuffix(line, []byte("\r"))
			if len(line) == 0 && event != nil {
				want, event = append(want, strings.Join(event, "\n")), nil
			}
			for _, field := range []string{"data:", "error:"} {
				if v, ok := strings.CutPrefix(string(line), field); ok {
					event = append(event, strings.TrimPrefix(v, " "))
				}
			}
		}
		for how, src := range map[string]io.Reader{"whole": bytes.NewReader(body), "byte": iotest.OneByteReader(bytes.NewReader(body))} {
			r := NewReader(src, 1<<20)
			got, err := all(r)
			r.Release()
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v by the %s, want %q", got, err, how, want)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	body := strings.Repeat("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" hello\"}}\n\n", 100)
	src := strings.NewReader(body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		src.Reset(body)
		r := NewReader(src, 1<<20)
		if n, err := all100(r); n != 100 || err != nil {
			b.Fatal(n, err)
		}
		r.Release()
	}
}

func all100(r *Reader) (n int, err error) {
	for {
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		if err := r.Fill(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
