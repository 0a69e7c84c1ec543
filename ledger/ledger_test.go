package ledger_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/ledger"
	"outcrop/store"
)

// world is a ledger on a database, in two folders that outlive both.
type world struct {
	t     testing.TB
	dir   string
	store *store.Store
	*ledger.Ledger
}

const (
	recoveredNano = 5
	settledNano   = 100
)

func config(dir string, index ledger.Index) ledger.Config {
	return ledger.Config{
		Dir: filepath.Join(dir, "journal"), Node: "node", Index: index, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Recover: func(in *ledger.Intent) ledger.Settlement {
			return ledger.Settlement{
				Service: "Amazon Bedrock", Usage: converse.Usage{InputTokens: in.EstimatedInputTokens},
				Charges: []ledger.Charge{{UsageType: "USE1-x-input-tokens", Quantity: in.EstimatedInputTokens, Nano: recoveredNano, Price: "p"}},
			}
		},
	}
}

func newWorld(t testing.TB, change func(*ledger.Config)) *world {
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.store, err = store.Open(context.Background(), filepath.Join(w.dir, "outcrop.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.start(change)
	return w
}

func (w *world) start(change func(*ledger.Config)) {
	w.t.Helper()
	if err := w.try(change); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) try(change func(*ledger.Config)) error {
	c := config(w.dir, w.store)
	if change != nil {
		change(&c)
	}
	var err error
	w.Ledger, err = ledger.New(context.Background(), c)
	return err
}

func (w *world) close() {
	w.t.Helper()
	if err := w.Close(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// loseIndex begins another database. The ledger is closed.
func (w *world) loseIndex() {
	w.t.Helper()
	path := filepath.Join(w.dir, "outcrop.db")
	err := w.store.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if gone := os.Remove(path + suffix); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	if err == nil {
		w.store, err = store.Open(context.Background(), path)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// abandon ends the ledger as little as can be done without ending the process.
func (w *world) abandon() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.Close(ctx) // it must complain
}

// calls returns the status of every call in the index, and proves the rollups.
func (w *world) calls() map[uuid.UUID]ledger.Status {
	w.t.Helper()
	if err := w.store.VerifyLedger(context.Background()); err != nil {
		w.t.Error(err)
	}
	return w.callsOf("")
}

// callsOf returns the status of every call of account.
func (w *world) callsOf(account string) map[uuid.UUID]ledger.Status {
	w.t.Helper()
	got := map[uuid.UUID]ledger.Status{}
	for e, err := range w.store.Calls(context.Background(), account, time.Time{}, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		if _, ok := got[e.Intent.ID]; ok {
			w.t.Errorf("call %s is there twice", e.Intent.ID)
		}
		got[e.Intent.ID] = e.Status
		switch nano, _ := e.Cost(); {
		case e.Status == ledger.Completed && nano != settledNano, e.Status == ledger.Recovered && (nano != recoveredNano || !e.Estimated || e.Reason == ""):
			w.t.Errorf("call %s: %+v", e.Intent.ID, e.Settlement)
		}
	}
	return got
}

// want proves that the index has exactly these calls.
func (w *world) want(want map[uuid.UUID]ledger.Status) {
	w.t.Helper()
	got := w.calls()
	for id, s := range want {
		if got[id] != s {
			w.t.Errorf("call %s is %v, want %v", id, got[id], s)
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("there are %d calls, want %d", len(got), len(want))
	}
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) segments() []string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.dir, "journal", "*.journal"))
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func number(n int) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func intent(id uuid.UUID) *ledger.Intent {
	return &ledger.Intent{
		ID: id, Time: time.Now().UTC(), Account: "000000000000", Principal: fmt.Sprintf("arn:aws:iam::000000000000:user/u%d", id[15]%3), AccessKeyID: "AKIAEXAMPLE",
		Region: "us-east-1", Operation: "Converse", ResourceARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/p%d", id[15]%4),
		ResourceName: "p", ModelID: "anthropic.claude-3-haiku-20240307-v1:0", Scope: "region",
		Tags: []ledger.Tag{{Key: "CostCenter", Value: "1"}, {Key: "Project", Value: fmt.Sprint("project ", id[15]%5)}}, EstimatedInputTokens: 7, MaxOutputTokens: 4096,
	}
}

func settlement(id uuid.UUID) *ledger.Settlement {
	return &ledger.Settlement{
		ID: id, Time: time.Now().UTC(), Status: ledger.Completed, Service: "Claude 3 Haiku (Amazon Bedrock Edition)", Upstream: "gpu-a", Served: "us-east-1", Attempts: 1,
		StopReason: "end_turn", Latency: 300 * time.Millisecond, FirstEvent: 50 * time.Millisecond, Usage: converse.Usage{InputTokens: 10, OutputTokens: 20},
		Charges: []ledger.Charge{
			{UsageType: "USE1-Claude3Haiku-input-tokens", Quantity: 10, Nano: 40, Price: "2026-10-01"},
			{UsageType: "USE1-Claude3Haiku-output-tokens", Quantity: 20, Nano: 60, Price: "2026-10-01"},
		},
	}
}

func TestLedger(t *testing.T) {
	w := newWorld(t, nil)
	want := map[uuid.UUID]ledger.Status{}
	for i := range 20 {
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 15 {
		s := settlement(number(i))
		if i%5 == 4 {
			s.Status, s.Reason, s.Charges = ledger.Failed, "throttled", nil
		}
		if err := w.Settle(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = s.Status
	}
	w.flush()
	w.want(want)

	// The rest is open when the process ends.
	w.close()
	w.want(want)
	w.start(nil)
	w.flush()
	for i := 15; i < 20; i++ {
		want[number(i)] = ledger.Recovered
	}
	w.want(want)
	if err := w.Healthy(); err != nil {
		t.Error(err)
	}
	w.close()
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	w.start(nil)
	w.close()
	w.want(want)
}

// Many at once, over many segments, which do not stay.
func TestLedgerParallel(t *testing.T) {
	w := newWorld(t, func(c *ledger.Config) { c.SegmentSize = 20_000 })
	const workers, each = 16, 100
	want := map[uuid.UUID]ledger.Status{}
	for i := range workers * each {
		want[number(i)] = ledger.Completed
	}
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			for i := range each {
				id := number(k*each + i)
				if err := w.Open(t.Context(), intent(id)); err != nil {
					t.Error(err)
				}
				if err := w.Settle(t.Context(), settlement(id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.flush()
	w.want(want)
	if n := len(w.segments()); n != 1 {
		t.Errorf("%d segments are left, want the active one", n)
	}
	w.close()
}

// A call that stays open keeps its segment, and those after it.
func TestLedgerLongCall(t *testing.T) {
	small := func(c *ledger.Config) { c.SegmentSize = 2000 }
	w := newWorld(t, small)
	long := number(1000)
	want := map[uuid.UUID]ledger.Status{}
	if err := w.Open(t.Context(), intent(long)); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
		if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = ledger.Completed
	}
	w.flush()
	w.want(want)
	if n := len(w.segments()); n < 10 {
		t.Fatalf("there are %d segments, want all of them", n)
	}
	if err := w.Settle(t.Context(), settlement(long)); err != nil {
		t.Fatal(err)
	}
	want[long] = ledger.Completed
	w.flush()
	w.want(want)
	if n := len(w.segments()); n > 2 {
		t.Errorf("%d segments are left", n)
	}
	w.close()
}

// Mistakes of the caller are errors and change nothing.
func TestLedgerMisuse(t *testing.T) {
	w := newWorld(t, nil)
	id := number(1)
	if err := w.Settle(t.Context(), settlement(id)); err == nil {
		t.Error("a call was settled that was not open")
	}
	if err := w.Open(t.Context(), intent(id)); err != nil {
		t.Fatal(err)
	}
	if err := w.Open(t.Context(), intent(id)); err == nil {
		t.Error("a call was opened twice")
	}
	s := settlement(id)
	s.Status = 0
	if err := w.Settle(t.Context(), s); err == nil {
		t.Error("a call was settled without a status")
	}
	big := settlement(id)
	big.Upstream = strings.Repeat("x", 1<<20)
	if err := w.Settle(t.Context(), big); err == nil {
		t.Error("a record of 1 MiB was taken")
	}
	long := settlement(id)
	long.Reason = strings.Repeat("é", 1<<20) // strangers write it: it is cut, not refused
	if err := w.Settle(t.Context(), long); err != nil {
		t.Error(err)
	}
	if err := w.Settle(t.Context(), settlement(id)); err == nil {
		t.Error("a call was settled twice")
	}
	huge := intent(number(2))
	huge.Principal = strings.Repeat("x", 1<<20)
	if err := w.Open(t.Context(), huge); err == nil {
		t.Error("an intent of 1 MiB was taken")
	}
	w.flush()
	w.want(map[uuid.UUID]ledger.Status{id: ledger.Completed})
	w.close()
	if err := w.Open(t.Context(), intent(number(3))); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Open after Close: %v", err)
	}
	w.start(nil)
	w.close()
	w.want(map[uuid.UUID]ledger.Status{id: ledger.Completed})
}

func TestLedgerLock(t *testing.T) {
	w := newWorld(t, nil)
	second := &world{t: t, dir: w.dir, store: w.store}
	if err := second.try(nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the journal was opened twice: %v", err)
	}
	w.close()
	w.start(nil)
	w.close()
}

// A journal that ends in the middle of a record has lost a call that nobody was told was safe. One that ends in zeros was
// prepared for records that did not come.
func TestTornTail(t *testing.T) {
	whole := func(b []byte, _ int) []byte { return b }
	for name, c := range map[string]struct {
		damage func(records []byte, last int) []byte // of which the last one takes so many bytes
		kept   bool                                  // the last call
		torn   bool
	}{
		"whole":           {whole, true, false},
		"a byte less":     {func(b []byte, last int) []byte { return b[:len(b)-1] }, false, true},
		"cut":             {func(b []byte, last int) []byte { return b[:len(b)-25] }, false, true},
		"only its length": {func(b []byte, last int) []byte { return b[:len(b)-last+4] }, false, true},
		"not written":     {func(b []byte, last int) []byte { return b[:len(b)-last] }, false, false},
		"its middle not written": {func(b []byte, last int) []byte {
			clear(b[len(b)-80 : len(b)-40])
			return b
		}, false, true},
		"its start not written": {func(b []byte, last int) []byte {
			clear(b[len(b)-last:][:100])
			return b
		}, false, true},
		"garbage behind": {func(b []byte, last int) []byte { return append(b, strings.Repeat("garbage", 10)...) }, true, true},
	} {
		for _, zeros := range []int{-1, 0, 1, 8, 9, 10_000, 2 << 20} {
			t.Run(fmt.Sprintf("%s, %d zeros", name, zeros), func(t *testing.T) {
				w := newWorld(t, nil)
				if err := errors.Join(w.Open(t.Context(), intent(number(1))), w.Settle(t.Context(), settlement(number(1)))); err != nil {
					t.Fatal(err)
				}
				w.close()
				w.start(nil)
				second := intent(number(2))
				if err := w.Open(t.Context(), second); err != nil {
					t.Fatal(err)
				}
				w.close()
				segs := w.segments()
				last := segs[len(segs)-1]
				b, err := os.ReadFile(last)
				if err != nil {
					t.Fatal(err)
				}
				end := ledger.SegmentEnd(b)
				if zeros < 0 {
					zeros = len(b) - end // as they were
				}
				if len(b) == end {
					t.Error("the segment has no zeros for records to come")
				}
				// Without the mark of a clean stop it is what a crash leaves.
				b = append(c.damage(b[:end:end], ledger.IntentSize(second)), make([]byte, zeros)...)
				if err := os.WriteFile(last, b, 0o600); err != nil {
					t.Fatal(err)
				}
				want := map[uuid.UUID]ledger.Status{number(1): ledger.Completed, number(3): ledger.Completed}
				if c.kept {
					want[number(2)] = ledger.Recovered
				}
				var log bytes.Buffer
				w.start(func(c *ledger.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				if got := strings.Contains(log.String(), "not wholly written"); got != c.torn {
					t.Errorf("a warning: %t, want %t: %s", got, c.torn, log.String())
				}
				if err := errors.Join(w.Open(t.Context(), intent(number(3))), w.Settle(t.Context(), settlement(number(3)))); err != nil {
					t.Fatal(err)
				}
				w.close()
				w.want(want)
				w.start(nil)
				w.close()
				w.want(want)
			})
		}
	}
}

// Damage where every byte was synced is not passed over.
func TestDamage(t *testing.T) {
	build := func(t *testing.T) *world {
		w := newWorld(t, func(c *ledger.Config) { c.SegmentSize = 1000 })
		if err := w.Open(t.Context(), intent(number(100))); err != nil { // keeps everything
			t.Fatal(err)
		}
		for i := range 10 {
			if err := w.Open(t.Context(), intent(number(i))); err != nil {
				t.Fatal(err)
			}
			if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
				t.Fatal(err)
			}
		}
		w.close()
		return w
	}
	for name, damage := range map[string]func(t *testing.T, segs []string) (file string){
		"a bit": func(t *testing.T, segs []string) string {
			b, err := os.ReadFile(segs[1])
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 4
			if err := os.WriteFile(segs[1], b, 0o600); err != nil {
				t.Fatal(err)
			}
			return segs[1]
		},
		"cut": func(t *testing.T, segs []string) string {
			if err := os.Truncate(segs[1], 300); err != nil {
				t.Fatal(err)
			}
			return segs[1]
		},
		"missing": func(t *testing.T, segs []string) string {
			if err := os.Remove(segs[2]); err != nil {
				t.Fatal(err)
			}
			return segs[1]
		},
		"header": func(t *testing.T, segs []string) string {
			if err := os.WriteFile(segs[1], []byte("outcropj"), 0o600); err != nil {
				t.Fatal(err)
			}
			return segs[1]
		},
		"exchanged": func(t *testing.T, segs []string) string {
			if err := os.Rename(segs[2], segs[1]); err != nil {
				t.Fatal(err)
			}
			return segs[1]
		},
		"strange name": func(t *testing.T, segs []string) string {
			to := filepath.Join(filepath.Dir(segs[1]), "x.journal")
			if err := os.Rename(segs[1], to); err != nil {
				t.Fatal(err)
			}
			return to
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t)
			file := damage(t, w.segments())
			err := w.try(nil)
			if err == nil {
				w.close()
				t.Fatal("it was passed over")
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("the error does not name %s: %v", file, err)
			}
			if name == "a bit" && !strings.Contains(err.Error(), "offset") {
				t.Errorf("the error does not name the offset: %v", err)
			}
		})
	}
}

// What docs/durability.md says to do with a damaged segment: put it aside, with those before it and the epoch. What is behind it
// is there then, and so is all that the index had.
func TestDamageMended(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		w := newWorld(t, func(c *ledger.Config) { c.SegmentSize = 1000 })
		const calls, damaged = 20, 4
		if err := w.Open(t.Context(), intent(number(100))); err != nil { // keeps everything
			t.Fatal(err)
		}
		for i := range calls {
			if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
				t.Fatal(err)
			}
		}
		w.close()
		if !indexed {
			w.loseIndex()
		}
		segs := w.segments()
		b, err := os.ReadFile(segs[damaged])
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(segs[damaged], b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.try(nil); err == nil || !strings.Contains(err.Error(), segs[damaged]) {
			t.Fatalf("the error is %v", err)
		}
		aside := t.TempDir()
		for _, file := range append(segs[:damaged+1:damaged+1], filepath.Join(w.dir, "journal", "epoch")) {
			if err := os.Rename(file, filepath.Join(aside, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
		w.start(nil)
		if err := errors.Join(w.Open(t.Context(), intent(number(50))), w.Settle(t.Context(), settlement(number(50)))); err != nil {
			t.Fatal(err)
		}
		w.close()
		got := w.calls()
		for i := range calls {
			// A call takes some 500 bytes: those of the last segments are whole in them.
			if behind := i > 3*(damaged+1); (indexed || behind) && got[number(i)] != ledger.Completed {
				t.Errorf("indexed %v: call %d of %d is %v", indexed, i, calls, got[number(i)])
			}
		}
		if got[number(50)] != ledger.Completed {
			t.Error("a call after it is not there")
		}
		if !indexed && len(got) > calls {
			t.Error("nothing was lost with the damaged segment")
		}
	}
}

// The last segment is damaged: it is put aside alone.
func TestDamageMendedLast(t *testing.T) {
	w := newWorld(t, nil)
	want := map[uuid.UUID]ledger.Status{}
	for i := range 3 { // a segment each
		if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = ledger.Completed
		w.close()
		w.start(nil)
	}
	w.close()
	segs := w.segments()
	last := segs[len(segs)-1]
	if err := os.Truncate(last, 10); err != nil {
		t.Fatal(err)
	}
	if err := w.try(nil); err == nil || !strings.Contains(err.Error(), last) {
		t.Fatalf("the error is %v", err)
	}
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	if err := errors.Join(w.Open(t.Context(), intent(number(50))), w.Settle(t.Context(), settlement(number(50)))); err != nil {
		t.Fatal(err)
	}
	want[number(50)] = ledger.Completed
	w.close()
	w.want(want)
}

// The database is lost, and the journal still has every call: they are in the new one.
func TestIndexLost(t *testing.T) {
	w := newWorld(t, nil)
	want := map[uuid.UUID]ledger.Status{}
	for i := range 20 {
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
		if want[number(i)] = ledger.Recovered; i%4 > 0 {
			want[number(i)] = ledger.Completed
			if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.close()
	w.loseIndex()
	w.start(nil)
	w.close()
	w.want(want)
}

// The journal is lost, and the index has every call: they stay, and others follow.
func TestJournalLost(t *testing.T) {
	w := newWorld(t, nil)
	want := map[uuid.UUID]ledger.Status{}
	for i := range 20 {
		if i == 10 {
			w.close()
			if err := os.RemoveAll(filepath.Join(w.dir, "journal")); err != nil {
				t.Fatal(err)
			}
			w.start(nil)
		}
		if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = ledger.Completed
	}
	w.close()
	w.want(want)
}

// With Unsynced nobody waits for the disk's sync when a call ends; but for a disk that fails, everybody does.
func TestUnsynced(t *testing.T) {
	var stall sync.RWMutex
	var full atomic.Bool
	disk := &ledger.Disk{Fate: func(op, _ string) ledger.Fate {
		if full.Load() && (op == "write" || op == "create") {
			return ledger.NotDone
		}
		return ledger.Done
	}}
	disk.BeforeSync = func() { stall.RLock(); stall.RUnlock() } //nolint:staticcheck // it waits
	w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.Unsynced = true })
	want := map[uuid.UUID]ledger.Status{}
	stall.Lock()
	for i := range 100 {
		if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = ledger.Completed
	}
	if got := w.calls(); len(got) > 0 {
		t.Errorf("the index has %d calls that are not on disk", len(got))
	}
	stall.Unlock()
	w.flush()
	w.want(want)

	late := number(200)
	if err := w.Open(t.Context(), intent(late)); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	settled := make(chan error)
	go func() { settled <- w.Settle(context.Background(), settlement(late)) }()
	for w.Healthy() == nil {
		awaitMoment()
	}
	select {
	case err := <-settled:
		t.Fatalf("a call was settled on a full disk: %v", err)
	default:
	}
	full.Store(false)
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	want[late] = ledger.Completed
	w.close()
	w.want(want)
}

// copyFolder is what an administrator does.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestEpochs(t *testing.T) {
	some := func(w *world, from, to int, want map[uuid.UUID]ledger.Status) {
		for i := from; i < to; i++ {
			if err := w.Open(t.Context(), intent(number(i))); err != nil {
				t.Fatal(err)
			}
			if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
				t.Fatal(err)
			}
			want[number(i)] = ledger.Completed
		}
	}
	epoch := func(w *world) string {
		b, err := os.ReadFile(filepath.Join(w.dir, "journal", "epoch"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	journal := func(w *world) string { return filepath.Join(w.dir, "journal") }

	t.Run("Same", func(t *testing.T) {
		w, want := newWorld(t, nil), map[uuid.UUID]ledger.Status{}
		some(w, 0, 10, want)
		before := epoch(w)
		w.close()
		w.start(func(c *ledger.Config) { c.Node = "" }) // the name it began with
		some(w, 10, 20, want)
		w.close()
		if epoch(w) != before {
			t.Error("a restart began an epoch")
		}
		w.want(want)
	})

	// The copy goes on beside the original, into the same index.
	t.Run("Copied", func(t *testing.T) {
		w, want := newWorld(t, nil), map[uuid.UUID]ledger.Status{}
		some(w, 0, 10, want)
		w.close()
		c := &world{t: t, dir: t.TempDir(), store: w.store}
		copyFolder(t, journal(w), journal(c))
		w.start(nil)
		c.start(nil)
		some(w, 10, 20, want)
		some(c, 20, 35, want) // at the same positions
		w.close()
		c.close()
		w.want(want)
	})

	t.Run("RestoredJournal", func(t *testing.T) {
		w, want := newWorld(t, nil), map[uuid.UUID]ledger.Status{}
		some(w, 0, 10, want)
		w.close()
		kept := t.TempDir()
		copyFolder(t, journal(w), kept+"/j")
		w.start(nil)
		some(w, 10, 20, want)
		w.close()
		// In place, so that the folder is the same one.
		for _, name := range w.segments() {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := os.ReadDir(kept + "/j")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(kept, "j", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(journal(w), e.Name()), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.start(nil)
		some(w, 20, 40, want)
		w.close()
		w.want(want)
	})

	// The index was restored from yesterday's copy: what the journal no longer has is lost, and that is said.
	t.Run("RestoredIndex", func(t *testing.T) {
		small := func(c *ledger.Config) { c.SegmentSize = 2000 }
		w := newWorld(t, small)
		lost, want := map[uuid.UUID]ledger.Status{}, map[uuid.UUID]ledger.Status{}
		some(w, 0, 50, lost)
		w.flush()
		w.close()
		w.loseIndex()
		path := filepath.Join(journal(w), "epoch")
		if err := w.try(small); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("50 calls are lost and the error is %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.start(small)
		some(w, 50, 100, want)
		w.close()
		got := w.calls()
		for id := range want {
			if got[id] != ledger.Completed {
				t.Errorf("call %s is %v", id, got[id])
			}
		}
	})

	t.Run("Renamed", func(t *testing.T) {
		w, want := newWorld(t, nil), map[uuid.UUID]ledger.Status{}
		some(w, 0, 10, want)
		w.close()
		w.start(func(c *ledger.Config) { c.Node = "other" })
		some(w, 10, 20, want)
		w.close()
		w.want(want)
	})

	// A new epoch begins with segments whose first ones are gone, and with settlements whose intents are gone.
	t.Run("Strays", func(t *testing.T) {
		small := func(c *ledger.Config) { c.SegmentSize = 1500 }
		w, want := newWorld(t, small), map[uuid.UUID]ledger.Status{}
		for i := range 40 { // each call is settled two segments later
			if err := w.Open(t.Context(), intent(number(i))); err != nil {
				t.Fatal(err)
			}
			if i >= 8 {
				if err := w.Settle(t.Context(), settlement(number(i-8))); err != nil {
					t.Fatal(err)
				}
				want[number(i-8)] = ledger.Completed
			}
			if i == 30 {
				w.flush()
			}
		}
		w.close()
		for i := 32; i < 40; i++ {
			want[number(i)] = ledger.Recovered
		}
		w.start(func(c *ledger.Config) { small(c); c.Node = "other" })
		w.close()
		w.want(want)
	})
}

// doubtful is an index on which every step fails, in turn before and after it was done.
type doubtful struct {
	ledger.Index
	mu    sync.Mutex
	steps int
	wrong func(step int) ledger.Fate
}

func (d *doubtful) fate() ledger.Fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps++
	return d.wrong(d.steps)
}

func (d *doubtful) Position(ctx context.Context, node, epoch string) (ledger.Position, error) {
	if d.fate() != ledger.Done {
		return 0, ledger.ErrFault
	}
	return d.Index.Position(ctx, node, epoch)
}

func (d *doubtful) Apply(ctx context.Context, b *ledger.Batch) error {
	switch d.fate() {
	case ledger.NotDone:
		return ledger.ErrFault
	case ledger.LostAnswer:
		if err := d.Index.Apply(ctx, b); err != nil {
			return err
		}
		return ledger.ErrFault
	}
	return d.Index.Apply(ctx, b)
}

// Each step of the index fails twice, not done or done with the answer lost; then everything is there once.
func TestIndexInDoubt(t *testing.T) {
	for _, fates := range [][2]ledger.Fate{
		{ledger.NotDone, ledger.NotDone}, {ledger.NotDone, ledger.LostAnswer}, {ledger.LostAnswer, ledger.NotDone}, {ledger.LostAnswer, ledger.LostAnswer},
	} {
		for step := 1; step <= 6; step++ {
			d := &doubtful{wrong: func(n int) ledger.Fate {
				if n == step || n == step+1 {
					return fates[n-step]
				}
				return ledger.Done
			}}
			w := newWorld(t, func(c *ledger.Config) { d.Index, c.Index = c.Index, d })
			want := map[uuid.UUID]ledger.Status{}
			for round := range 3 {
				for i := round * 5; i < round*5+5; i++ {
					if err := w.Open(t.Context(), intent(number(i))); err != nil {
						t.Fatal(err)
					}
					if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
						t.Fatal(err)
					}
					want[number(i)] = ledger.Completed
				}
				w.flush()
				w.want(want)
			}
			if err := w.Healthy(); err != nil {
				t.Error(err)
			}
			w.close()
			w.start(nil)
			w.close()
			w.want(want)
		}
	}
}

// The process ends while the answer of the index is out.
func TestIndexInDoubtAtTheEnd(t *testing.T) {
	for _, fate := range []ledger.Fate{ledger.NotDone, ledger.LostAnswer} {
		var broken atomic.Bool
		d := &doubtful{wrong: func(int) ledger.Fate {
			if broken.Load() {
				return fate
			}
			return ledger.Done
		}}
		w := newWorld(t, func(c *ledger.Config) { d.Index, c.Index = c.Index, d })
		broken.Store(true)
		want := map[uuid.UUID]ledger.Status{}
		for i := range 20 {
			if err := w.Open(t.Context(), intent(number(i))); err != nil {
				t.Fatal(err)
			}
			if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
				t.Fatal(err)
			}
			want[number(i)] = ledger.Completed
		}
		ctx, cancel := context.WithCancel(t.Context())
		flushed := make(chan error)
		go func() { flushed <- w.Flush(ctx) }()
		for w.Healthy() == nil {
			awaitMoment()
		}
		cancel()
		if err := <-flushed; !errors.Is(err, context.Canceled) || !errors.Is(err, ledger.ErrFault) {
			t.Errorf("Flush: %v", err)
		}
		if err := w.Healthy(); !errors.Is(err, ledger.ErrFault) {
			t.Errorf("Healthy: %v", err)
		}
		if err := w.Close(ctx); !errors.Is(err, ledger.ErrFault) {
			t.Errorf("Close: %v", err)
		}
		w.start(nil)
		w.close()
		w.want(want)
	}
}

// Each step of the disk fails twice, in every way. Whatever happens, what was acknowledged is there once; a call whose
// Open was refused may have left an intent that recovery closes; and after the faults everything works.
func TestDiskInDoubt(t *testing.T) {
	ways := [][2]ledger.Fate{
		{ledger.NotDone, ledger.NotDone}, {ledger.LostAnswer, ledger.LostAnswer}, {ledger.NotDone, ledger.LostAnswer}, {ledger.LostAnswer, ledger.Half}, {ledger.Half, ledger.NotDone},
	}
	var (
		mu   sync.Mutex
		seen = map[string]int{}
	)
	t.Run("Ways", func(t *testing.T) {
		for _, fates := range ways {
			t.Run(fmt.Sprint(fates), func(t *testing.T) {
				t.Parallel()
				first := newWorld(t, nil) // for its database: what each step adds is told apart by number
				first.close()
				for step, more := 1, true; more; step++ {
					faults := diskInDoubt(t, first.store, step, fates, func(op string) {
						mu.Lock()
						defer mu.Unlock()
						seen[op]++
					})
					more = faults == 2
				}
				first.calls() // proves the rollups
			})
		}
	})
	for _, op := range []string{"create", "write", "sync", "rename", "syncDir", "remove"} {
		if seen[op] == 0 {
			t.Errorf("no %s ever failed", op)
		}
	}
}

// stepAccount tells the calls of one step from those of the others, which are in the same database.
func stepAccount(step int) string { return fmt.Sprintf("%012d", step) }

func diskInDoubt(t *testing.T, st *store.Store, step int, fates [2]ledger.Fate, seen func(op string)) (faults int) {
	start, now := false, 0
	disk := &ledger.Disk{}
	disk.Fate = func(op, _ string) ledger.Fate {
		if !start {
			return ledger.Done
		}
		now++
		if n := now - step; n == 0 || n == 1 {
			faults++
			seen(op)
			return fates[n]
		}
		return ledger.Done
	}
	w := &world{t: t, dir: t.TempDir(), store: st}
	w.start(func(c *ledger.Config) { disk.Install(c); c.SegmentSize = 1800; c.SyncInterval = time.Hour })
	disk.Lock(func() { start = true })
	const calls = 9
	acknowledged, tried := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for i := range calls {
		id := number(step*calls + i)
		tried[id] = true
		in := intent(id)
		in.Account = stepAccount(step)
		if err := w.Open(t.Context(), in); err != nil {
			if !fault.Is(err, fault.Unavailable) {
				t.Fatalf("Open: %v", err)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if err := w.Settle(t.Context(), settlement(id)); err != nil { // waits for the repair
			t.Fatalf("step %d: Settle: %v", step, err)
		}
		acknowledged[id] = true
	}
	w.flush()
	for w.Healthy() != nil { // a new segment may be under repair
		time.Sleep(time.Millisecond)
	}
	disk.Lock(func() { start = false })
	w.abandon()
	w.start(nil)
	w.close()
	for id, s := range w.callsOf(stepAccount(step)) {
		switch {
		case acknowledged[id] && s != ledger.Completed, !acknowledged[id] && s != ledger.Recovered, !tried[id]:
			t.Errorf("step %d: call %s is %v", step, id, s)
		}
		delete(acknowledged, id)
	}
	if len(acknowledged) > 0 {
		t.Errorf("step %d: %d acknowledged calls are lost", step, len(acknowledged))
	}
	return faults
}

// The disk is full: new calls are refused, those under way are kept, and both go on when there is room.
func TestDiskFull(t *testing.T) {
	var (
		full    atomic.Bool
		repairs atomic.Int32
	)
	disk := &ledger.Disk{Fate: func(op, _ string) ledger.Fate {
		if full.Load() && (op == "write" || op == "create") {
			if op == "create" {
				repairs.Add(1)
			}
			return ledger.Half
		}
		return ledger.Done
	}}
	w := newWorld(t, disk.Install)
	want := map[uuid.UUID]ledger.Status{}
	const calls = 10
	for i := range calls {
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
	}
	full.Store(true)
	for i := range 3 {
		if err := w.Open(t.Context(), intent(number(100+i))); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("Open on a full disk: %v", err)
		}
	}
	if w.Healthy() == nil {
		t.Error("the ledger thinks that it is well")
	}
	// One caller gives up; its settlement is kept all the same.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	if err := w.Settle(ctx, settlement(number(0))); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Settle on a full disk: %v", err)
	}
	cancel()
	want[number(0)] = ledger.Completed
	var wg sync.WaitGroup
	for i := 1; i < calls; i++ {
		want[number(i)] = ledger.Completed
		wg.Go(func() {
			if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
				t.Error(err)
			}
		})
	}
	for before := repairs.Load(); repairs.Load() < before+3; {
		awaitMoment()
	}
	full.Store(false)
	wg.Wait()
	for w.Open(t.Context(), intent(number(50))) != nil {
		time.Sleep(time.Millisecond)
	}
	if err := w.Settle(t.Context(), settlement(number(50))); err != nil {
		t.Error(err)
	}
	want[number(50)] = ledger.Completed
	w.flush()
	w.want(want)
	if err := w.Healthy(); err != nil {
		t.Error(err)
	}
	w.close()
	w.start(nil)
	w.close()
	w.want(want)
}

// The disk is full until the end.
func TestDiskFullAtTheEnd(t *testing.T) {
	var full atomic.Bool
	disk := &ledger.Disk{Fate: func(op, _ string) ledger.Fate {
		if full.Load() {
			return ledger.NotDone
		}
		return ledger.Done
	}}
	w := newWorld(t, disk.Install)
	if err := w.Open(t.Context(), intent(number(1))); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	settled := make(chan error)
	go func() { settled <- w.Settle(t.Context(), settlement(number(1))) }()
	for w.Healthy() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := w.Close(t.Context()); !errors.Is(err, ledger.ErrFault) {
		t.Errorf("Close: %v", err)
	}
	if err := <-settled; !fault.Is(err, fault.Unavailable) {
		t.Errorf("Settle: %v", err)
	}
	w.start(nil)
	w.close()
	w.want(map[uuid.UUID]ledger.Status{number(1): ledger.Recovered})
}

// A disk that answers late fills memory no further than its bound.
func TestSlowDisk(t *testing.T) {
	var stall sync.RWMutex
	disk := &ledger.Disk{}
	disk.BeforeSync = func() { stall.RLock(); stall.RUnlock() } //nolint:staticcheck // it waits
	w := newWorld(t, disk.Install)
	stall.Lock()
	big := strings.Repeat("x", 100_000)
	opened, refused := 0, 0
	for i := range 100 { // 10 MB
		in := intent(number(i))
		in.ResourceName = big
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := w.Open(ctx, in); err == nil {
			opened++
		} else if refused++; !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		cancel()
		if refused > 2 {
			break
		}
	}
	if opened < 70 || opened > 84 { // of 8 MiB
		t.Errorf("%d intents of 100 kB were taken while the disk stood still", opened)
	}
	stall.Unlock()
	want := map[uuid.UUID]ledger.Status{}
	for i := range opened {
		want[number(i)] = ledger.Completed
		if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	w.want(want)
}

// With SyncIntents a refused intent may be on disk: it is not taken for a call that a crash left open.
func TestSyncIntentsRefused(t *testing.T) {
	var stall sync.RWMutex
	disk := &ledger.Disk{}
	entered := make(chan struct{}, 1)
	disk.BeforeSync = func() {
		select {
		case entered <- struct{}{}:
		default:
		}
		stall.RLock()
		stall.RUnlock() //nolint:staticcheck // it waits
	}
	w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.SyncIntents = true })
	<-entered
	stall.Lock()
	first := make(chan error)
	go func() { first <- w.Open(context.Background(), intent(number(1))) }()
	<-entered // it leads the sync that does not end
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	// As the leader of the next group it would wait; so somebody else is.
	second := make(chan error)
	go func() { second <- w.Open(context.Background(), intent(number(2))) }()
	for !w.Waiting() {
		awaitMoment()
	}
	if err := w.Open(ctx, intent(number(3))); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Open: %v", err)
	}
	stall.Unlock()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	w.abandon()
	w.start(nil)
	w.close()
	w.want(map[uuid.UUID]ledger.Status{number(1): ledger.Recovered, number(2): ledger.Recovered, number(3): ledger.Failed})
}

// The power fails at any moment, under load: every acknowledged settlement is there.
func TestPowerCut(t *testing.T) {
	for round := range 40 {
		r := rand.New(rand.NewPCG(uint64(round), 0))
		var steps int64
		cut := make(chan struct{})
		at, faulty := int64(20+r.IntN(400)), round%4 > 1
		chance := rand.New(rand.NewPCG(uint64(round), 1))
		disk := &ledger.Disk{}
		w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.SegmentSize = 5000; c.SyncIntents = round%2 == 0 })
		disk.Lock(func() {
			disk.Fate = func(op, _ string) ledger.Fate {
				if steps++; steps == at {
					close(cut)
				}
				if faulty && chance.IntN(30) == 0 {
					return ledger.Fate(1 + chance.IntN(3))
				}
				return ledger.Done
			}
		})
		var mu sync.Mutex
		opened, settled := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for k := range 8 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := number(k<<32 | i)
					if w.Open(ctx, intent(id)) != nil {
						_ = w.Flush(ctx) // waits for a repair
						continue
					}
					mu.Lock()
					opened[id] = true
					mu.Unlock()
					if w.Settle(ctx, settlement(id)) == nil {
						mu.Lock()
						settled[id] = true
						mu.Unlock()
					}
				}
			})
		}
		<-cut
		if err := disk.PowerCut(r); err != nil {
			t.Fatal(err)
		}
		cancel()
		wg.Wait()
		w.abandon()
		w.start(nil)
		w.close()
		got := w.calls()
		for id := range settled {
			if got[id] != ledger.Completed {
				t.Errorf("round %d: the acknowledged call %s is %v", round, id, got[id])
			}
		}
		for id := range opened {
			if round%2 == 0 && got[id] == 0 {
				t.Errorf("round %d: the opened call %s left no trace", round, id)
			}
		}
	}
}

// Flush, Open and Settle run while Close does.
func TestCloseInTheMiddle(t *testing.T) {
	for range 10 {
		w := newWorld(t, func(c *ledger.Config) { c.SegmentSize = 5000 })
		var mu sync.Mutex
		settled := map[uuid.UUID]bool{}
		moment, reached := 1+rand.IntN(1000), make(chan struct{})
		var wg sync.WaitGroup
		for k := range 6 {
			wg.Go(func() {
				for i := range 200 {
					id := number(k*1000 + i)
					if w.Open(t.Context(), intent(id)) != nil {
						return
					}
					if w.Settle(t.Context(), settlement(id)) == nil {
						mu.Lock()
						if settled[id] = true; len(settled) == moment {
							close(reached)
						}
						mu.Unlock()
					}
					if i%50 == 10 {
						_ = w.Flush(t.Context())
					}
				}
			})
		}
		<-reached
		w.close()
		wg.Wait()
		w.start(nil)
		w.close()
		got := w.calls()
		for id := range settled {
			if got[id] != ledger.Completed {
				t.Errorf("call %s is %v", id, got[id])
			}
		}
	}
}

// Nothing of a copy of the batch is needed after Apply.
func TestBatchBounds(t *testing.T) {
	var hold sync.Mutex
	sizes := []int{}
	w := newWorld(t, func(c *ledger.Config) { c.Index = &holding{c.Index, &hold, &sizes} })
	hold.Lock()
	const calls = 12_345
	var wg sync.WaitGroup
	for k := range 64 {
		wg.Go(func() {
			for i := k; i < calls; i += 64 {
				if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	hold.Unlock()
	w.flush()
	if got := len(w.calls()); got != calls {
		t.Errorf("there are %d calls, want %d", got, calls)
	}
	if slices.Max(sizes) != 10_000 {
		t.Errorf("the batches are %v, the largest should be 10000", sizes)
	}
	w.close()
}

type holding struct {
	ledger.Index
	mu    *sync.Mutex
	sizes *[]int
}

func (h *holding) Apply(ctx context.Context, b *ledger.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.sizes = append(*h.sizes, len(b.Entries))
	return h.Index.Apply(ctx, b)
}

// TestVersion1: testdata/version1 is the journal of a process that was killed, of the release before metadata. Two of its
// three calls had ended. The release goes on in it, and what it writes is read with it.
func TestVersion1(t *testing.T) {
	w := &world{t: t, dir: t.TempDir()}
	copyFolder(t, filepath.Join("testdata", "version1"), filepath.Join(w.dir, "journal"))
	var err error
	if w.store, err = store.Open(t.Context(), filepath.Join(w.dir, "outcrop.db")); err != nil {
		t.Fatal(err)
	}
	defer w.store.Close()
	w.start(nil)
	described := intent(number(4))
	described.Time = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)
	described.Metadata = []ledger.Tag{{Key: "team", Value: "growth"}, {Key: "user", Value: ""}}
	if err := w.Open(t.Context(), described); err != nil {
		t.Fatal(err)
	}
	w.abandon()
	w.start(nil)
	w.flush()
	w.want(map[uuid.UUID]ledger.Status{number(1): ledger.Completed, number(2): ledger.Failed, number(3): ledger.Recovered, number(4): ledger.Recovered})
	i := 0
	for e, err := range w.store.Calls(t.Context(), "", time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		i++
		want := *intent(number(i))
		want.Time = time.Date(2026, 11, 23, 12, 0, i, 123456000, time.UTC)
		switch i {
		case 2:
			want.Tags, want.Operation = nil, "InvokeModel"
		case 4:
			want = *described
		}
		if !reflect.DeepEqual(e.Intent, want) {
			t.Errorf("call %d is\n%+v, want\n%+v", i, e.Intent, want)
		}
	}
	w.close()
}
