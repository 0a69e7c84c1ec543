package ledger

import (
	"bytes"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var discard = slog.New(slog.DiscardHandler)

// A folder with one segment of any content is opened or refused; what is opened stays the same when it is opened again.
func FuzzRecoverSegment(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	head := appendHeader(nil, header{"node", "epoch", 0})
	b := bytes.Clone(head)
	for i := range 6 {
		in, s := randomIntent(r), randomSettlement(r)
		s.ID = in.ID
		b = appendIntent(b, in)
		if i%2 == 0 {
			b = appendMark(appendSettlement(b, s), Position(len(b)-len(head)))
		}
	}
	f.Add(head)
	f.Add(b)
	f.Add(b[:len(b)-20])
	f.Add(append(bytes.Clone(b), make([]byte, 64)...))
	damaged := bytes.Clone(b)
	damaged[len(head)+30] ^= 1
	f.Add(damaged)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		path := filepath.Join(t.TempDir(), segmentName(0))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		open := func() *recovered {
			rc := &recovered{segs: []segment{{0, path}}}
			if rc.findEnd(osDisk{}, discard) != nil || rc.findOpen(osDisk{}) != nil {
				return nil
			}
			return rc
		}
		first := open()
		if first == nil {
			return
		}
		if first.synced < 0 || first.end < first.synced || int64(first.end) > int64(len(b)) || len(first.tail) != int(first.end-first.synced) {
			t.Fatalf("synced %d, end %d, tail %d of %d bytes", first.synced, first.end, len(first.tail), len(b))
		}
		// The next segment holds the tail. Both together are the same journal.
		_, size, err := parseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.tail, b[size+int(first.synced):size+int(first.end)]) {
			t.Fatal("the tail is not what is in the file")
		}
		next := filepath.Join(filepath.Dir(path), segmentName(first.synced))
		if err := os.WriteFile(next, append(appendHeader(nil, header{"node", "epoch", first.synced}), first.tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		segs, err := listSegments(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		second := &recovered{segs: segs}
		if err := second.findEnd(osDisk{}, discard); err != nil {
			t.Fatal(err)
		}
		if err := second.findOpen(osDisk{}); err != nil {
			t.Fatal(err)
		}
		if second.end != first.end || !reflect.DeepEqual(second.orphans, first.orphans) {
			t.Fatalf("at first it ends at %d with %d open calls, then at %d with %d", first.end, len(first.orphans), second.end, len(second.orphans))
		}
	})
}

// A mark is found wherever it is, also where the scan's pieces meet.
func TestMarkAfter(t *testing.T) {
	mark := appendMark(nil, 1000)
	for _, at := range []int{0, 1, 1<<20 - markSize, 1<<20 - markSize + 1, 1<<20 - 1, 1 << 20, 3<<20 - 5} {
		b := bytes.Repeat([]byte{9, 0, 0, 0}, 1<<20)
		copy(b[at:], mark)
		b = b[:at+markSize]
		for pos, want := range map[Position]bool{999: true, 1000: false} {
			if got, err := markAfter(bytes.NewReader(b), 0, int64(len(b)), pos); err != nil || got != want {
				t.Errorf("a mark at %d for %d: %t, %v, want %t", at, pos, got, err, want)
			}
		}
		if got, err := markAfter(bytes.NewReader(b), 0, int64(len(b)-1), 0); err != nil || got {
			t.Errorf("half a mark at %d: %t, %v", at, got, err)
		}
	}
	if _, err := markAfter(brokenReader{}, 0, 100, 0); err == nil {
		t.Error("a disk that cannot be read is a journal without marks")
	}
}

type brokenReader struct{}

func (brokenReader) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestMarkStrict(t *testing.T) {
	mark := appendMark(nil, 100)
	typ, payload, size, err := parseFrame(mark)
	if err != nil || typ != typeMark || size != markSize || len(mark) != markSize {
		t.Fatalf("%q, %d of %d bytes, %v", typ, size, len(mark), err)
	}
	if p, err := decodeMark(payload, 100); err != nil || p != 100 {
		t.Errorf("%d, %v, want 100", p, err)
	}
	for name, payload := range map[string][]byte{
		"ahead": appendMark(nil, 101)[frameSize:], "short": payload[:8], "long": append(bytes.Clone(payload), 0),
		"newer": append([]byte{2}, payload[1:]...), "negative": appendMark(nil, -1)[frameSize:],
	} {
		if p, err := decodeMark(payload, 100); err == nil {
			t.Errorf("%s: taken as %d", name, p)
		}
	}
}
