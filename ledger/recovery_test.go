package ledger

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
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
		disk := memory{segmentName(0): b}
		first := &recovered{segs: []segment{{0, segmentName(0)}}}
		if first.findEnd(disk, discard) != nil || first.findOpen(disk) != nil {
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
		next := segment{first.synced, segmentName(first.synced)}
		disk[next.path] = append(appendHeader(nil, header{"node", "epoch", next.base}), first.tail...)
		segs := []segment{next}
		if next.base > 0 {
			segs = []segment{{0, segmentName(0)}, next}
		}
		second := &recovered{segs: segs}
		if err := second.findEnd(disk, discard); err != nil {
			t.Fatal(err)
		}
		if err := second.findOpen(disk); err != nil {
			t.Fatal(err)
		}
		if second.end != first.end || !reflect.DeepEqual(second.orphans, first.orphans) {
			t.Fatalf("at first it ends at %d with %d open calls, then at %d with %d", first.end, len(first.orphans), second.end, len(second.orphans))
		}
	})
}

// memory is files to read.
type memory map[string][]byte

type memoryFile struct {
	file
	*bytes.Reader
}

func (m memory) open(path string) (file, error) {
	return memoryFile{Reader: bytes.NewReader(m[path])}, nil
}
func (memory) create(string) (file, error) { return nil, errors.ErrUnsupported }
func (memory) rename(string, string) error { return errors.ErrUnsupported }
func (memory) remove(string) error         { return errors.ErrUnsupported }
func (memory) syncDir(string) error        { return errors.ErrUnsupported }

func (f memoryFile) ReadAt(b []byte, off int64) (int, error) { return f.Reader.ReadAt(b, off) }
func (f memoryFile) Size() (int64, error)                    { return f.Reader.Size(), nil }
func (f memoryFile) Close() error                            { return nil }

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
