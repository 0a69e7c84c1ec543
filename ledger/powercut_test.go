package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/store"
)

// life is what a ledger did in a folder until its power failed, and who was told what when: by the steps of its disk.
type life struct {
	dir             string
	power           *ledger.Power
	deaf            func(op, name string) bool
	change          func(*ledger.Config)
	tried           map[uuid.UUID]bool
	opened, settled map[uuid.UUID]int
	unsynced        bool // ledger.Config's
	syncIntents     bool
}

// start opens the database and the ledger in l's folder, with every step taken down.
func (l *life) start(t testing.TB) (*world, error) {
	var err error
	if l.power, err = ledger.NewPower(l.dir); err != nil {
		t.Fatal(err)
	}
	l.power.Deaf = l.deaf
	st, err := store.Open(context.Background(), filepath.Join(l.dir, "outcrop.db"))
	if err != nil {
		l.power.Stop()
		return nil, err
	}
	w := &world{t: t, dir: l.dir, store: st}
	if err := w.try(func(c *ledger.Config) { l.power.Install(c); l.change(c) }); err != nil {
		l.power.Stop()
		return nil, errors.Join(err, st.Close())
	}
	return w, nil
}

// end ends w, in good order or as little as can be without ending the process.
func (l *life) end(w *world, clean bool) {
	w.t.Helper()
	if clean {
		w.close()
	} else {
		w.abandon()
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
	l.power.Stop()
}

// work makes calls, some of which are never settled.
func (l *life) work(w *world, seed uint64, callers, each int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for k := range callers {
		r := rand.New(rand.NewPCG(seed, uint64(k)))
		all.Go(func() {
			for i := range each {
				id := number(int(seed)<<32 | k<<16 | i)
				mu.Lock()
				l.tried[id] = true
				mu.Unlock()
				if err := w.Open(context.Background(), intent(id)); err != nil {
					w.t.Errorf("Open: %v", err)
					return
				}
				at := l.power.Steps()
				mu.Lock()
				l.opened[id] = at
				mu.Unlock()
				if r.IntN(10) == 0 {
					continue
				}
				if err := w.Settle(context.Background(), settlement(id)); err != nil {
					w.t.Errorf("Settle: %v", err)
					return
				}
				at = l.power.Steps()
				mu.Lock()
				l.settled[id] = at
				mu.Unlock()
				if r.IntN(4) == 0 {
					if err := w.Flush(context.Background()); err != nil {
						w.t.Errorf("Flush: %v", err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// lost compares what the index has with what was told until the power failed after step, and says what is wrong.
func (l *life) lost(got map[uuid.UUID]ledger.Status, step int, m ledger.Manner) error {
	safe, written := step, l.power.SyncedBefore(step)
	if m == ledger.Kept {
		written = step // nothing of what the operating system has is lost
	} else if l.unsynced {
		safe = written
	}
	for id, at := range l.settled {
		if at <= safe && got[id] != ledger.Completed {
			return fmt.Errorf("call %s was settled at step %d and is %v", id, at, got[id])
		}
	}
	for id, at := range l.opened {
		if (at <= written || l.syncIntents && at <= step) && got[id] == 0 {
			return fmt.Errorf("call %s was opened at step %d and left no trace", id, at)
		}
	}
	for id := range got {
		if !l.tried[id] {
			return fmt.Errorf("call %s was never made", id)
		}
	}
	return nil
}

// newLife records the work of one process in a new folder.
func newLife(t testing.TB, seed uint64, deaf func(op, name string) bool) *life {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if dir = filepath.Join(dir, "data"); os.Mkdir(dir, 0o700) != nil {
		t.Fatal("the folder cannot be made")
	}
	l := &life{
		dir: dir, deaf: deaf, tried: map[uuid.UUID]bool{}, opened: map[uuid.UUID]int{}, settled: map[uuid.UUID]int{},
		syncIntents: seed%3 == 0, unsynced: seed%3 == 1,
	}
	l.change = func(c *ledger.Config) {
		c.SegmentSize, c.SyncIntents, c.Unsynced = 5000, l.syncIntents, l.unsynced
	}
	w, err := l.start(t)
	if err != nil {
		t.Fatal(err)
	}
	each := 30
	if seed%5 == 4 {
		each = 150 // the database's log is begun anew meanwhile
	}
	l.work(w, seed, 1+int(seed%5), each)
	l.end(w, seed%2 == 0)
	return l
}

// cut fails l's power after step, starts again in what is left, and returns what is wrong then. Once in a few times the power
// fails again meanwhile.
func (l *life) cut(t testing.TB, step int, m ledger.Manner, r *rand.Rand) error {
	if err := l.power.Cut(step, m, r); err != nil {
		t.Fatal(err)
	}
	again := *l
	for r.IntN(3) == 0 {
		w, err := again.start(t)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		again.end(w, true)
		if err := again.power.Cut(r.IntN(again.power.Steps()+1), ledger.Manner(r.IntN(int(ledger.Manners))), r); err != nil {
			t.Fatal(err)
		}
	}
	w, err := again.start(t)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	id := uuid.New()
	err = errors.Join(w.Open(context.Background(), intent(id)), w.Settle(context.Background(), settlement(id)), w.Flush(context.Background()),
		w.store.VerifyLedger(context.Background()))
	got := map[uuid.UUID]ledger.Status{}
	if err == nil {
		got = w.callsOf("")
		if got[id] != ledger.Completed {
			err = errors.New("a call after the start is not there")
		}
		delete(got, id)
	}
	again.end(w, true)
	if err != nil {
		return err
	}
	return l.lost(got, step, m)
}

// powerCuts is how many power cuts a test makes.
func powerCuts(t testing.TB, usual int) int {
	text := os.Getenv("OUTCROP_POWER_CUTS")
	if text == "" {
		if testing.Short() || raceEnabled { // one goroutine does it all; the race detector makes it several times as long
			return usual / 4
		}
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("OUTCROP_POWER_CUTS is %q", text)
	}
	return n
}

// The power fails after any step of the journal's and the database's disk, again and again also while a start recovers. Of
// what was not synced, any part is left. Every call whose settlement was answered is there once, every call that was begun
// is visible, and the totals are the sums of the calls.
func TestPower(t *testing.T) {
	const each = 25
	n := max(1, powerCuts(t, 200)/each)
	var manners [ledger.Manners]int
	for seed := range uint64(n) {
		l := newLife(t, seed, nil)
		r := rand.New(rand.NewPCG(seed, 1))
		for range each {
			step, m := r.IntN(l.power.Steps()+1), ledger.Manner(r.IntN(int(ledger.Manners)))
			manners[m]++
			if err := l.cut(t, step, m, r); err != nil {
				t.Fatalf("life %d, of %d steps: the power failed after step %d, manner %d: %v", seed, l.power.Steps(), step, m, err)
			}
		}
		t.Logf("life %d: %d steps, %d calls settled", seed, l.power.Steps(), len(l.settled))
	}
	t.Logf("%d power cuts in %d lives, by manner %v", n*each, n, manners)
}

// A sync that is left out is found, whichever it is: the test can fail.
func TestPowerPlanted(t *testing.T) {
	for _, c := range []struct{ op, name, what string }{
		{"sync", ".journal", "the group's sync of the active segment"},
		{"sync", "next.tmp", "the sync of a segment before it gets its name"},
		{"names", "journal", "the sync of the journal's folder for a new segment"},
		{"removal", "journal", "the same for a removed one"},
		{"names", "data", "the sync of the data folder for the journal's"},
		{"sync", "epoch.tmp", "the sync of the journal's epoch"},
		{"sync", "outcrop.db-wal", "the sync of the database's log"},
		{"sync", "outcrop.db", "the sync of the database at a checkpoint"},
	} {
		t.Run(c.what, func(t *testing.T) {
			const most = 5000
			for cuts, seed := 0, uint64(0); cuts < most; seed++ {
				l := newLife(t, seed, func(op, name string) bool { return op == c.op && (name == c.name || c.name == filepath.Ext(name)) })
				r := rand.New(rand.NewPCG(seed, 2))
				for range 50 {
					cuts++
					step, m := r.IntN(l.power.Steps()+1), ledger.Manner(r.IntN(int(ledger.Manners)))
					if err := l.cut(t, step, m, r); err != nil {
						t.Logf("found at power cut %d: %v", cuts, err)
						return
					}
				}
			}
			t.Errorf("not found in %d power cuts", most)
		})
	}
}

// There is no room for the database's log, or for what a checkpoint takes out of the log into the database: calls are recorded
// meanwhile, the ledger says so, and they are in the index when there is room.
func TestIndexFull(t *testing.T) {
	for _, name := range []string{"outcrop.db-wal", "outcrop.db"} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			l := &life{dir: dir, change: func(*ledger.Config) {}}
			w, err := l.start(t)
			if err != nil {
				t.Fatal(err)
			}
			defer l.end(w, true)
			var full atomic.Bool
			var refused atomic.Int32
			l.power.SetFull(func(file string) bool {
				if file != name || !full.Load() {
					return false
				}
				refused.Add(1)
				return true
			})
			want := map[uuid.UUID]ledger.Status{}
			call := func() {
				t.Helper()
				id := number(len(want))
				if err := errors.Join(w.Open(t.Context(), intent(id)), w.Settle(t.Context(), settlement(id))); err != nil {
					t.Fatal(err)
				}
				want[id] = ledger.Completed
			}
			call()
			w.flush()
			full.Store(true)
			if name == "outcrop.db" {
				for refused.Load() == 0 { // until the log is long enough for a checkpoint
					call()
					w.flush()
				}
				call()
				w.flush()
				w.want(want)
			} else {
				for range 20 {
					call()
				}
				for refused.Load() < 3 || w.Healthy() == nil {
					awaitMoment()
				}
				if err := w.Recording(); err != nil {
					t.Errorf("calls cannot be recorded: %v", err)
				}
				if got := w.calls(); len(got) != 1 {
					t.Errorf("the index has %d calls, and no room for more than 1", len(got))
				}
			}
			full.Store(false)
			call()
			w.flush()
			w.want(want)
			if err := w.Healthy(); err != nil {
				t.Error(err)
			}
		})
	}
}
