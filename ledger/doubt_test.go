package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/store"
)

// awaitMoment is for states that nobody tells of.
func awaitMoment() { runtime.Gosched() }

// Only a call that has the process for itself may hold it up with a write.
func TestAlone(t *testing.T) {
	var last atomic.Bool
	disk := &ledger.Disk{BeforeWrite: func(alone bool) { last.Store(alone) }}
	w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.SyncInterval = time.Hour })
	open := func(i int, alone bool) {
		t.Helper()
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
		if last.Load() != alone {
			t.Errorf("the intent of call %d was written with alone %v", i, !alone)
		}
	}
	settle := func(i int, alone bool) {
		t.Helper()
		if err := w.Settle(t.Context(), settlement(number(i))); err != nil {
			t.Fatal(err)
		}
		if last.Load() != alone {
			t.Errorf("the settlement of call %d was written with alone %v", i, !alone)
		}
	}
	open(1, true)
	open(2, false)
	settle(1, false)
	settle(2, true)
	open(3, true)
	disk.Off()
	if err := w.Open(t.Context(), intent(number(4))); err == nil {
		t.Fatal("an intent was taken by a disk that is off")
	}
	disk.On()
	settle(3, false) // with a new segment
	open(5, true)    // the refused call is not counted
}

// Those who come while the disk is busy share one sync.
func TestGroupCommit(t *testing.T) {
	const calls = 60
	var (
		on      atomic.Bool
		syncs   atomic.Int32
		entered = make(chan struct{}, calls)
		hold    = make(chan struct{})
	)
	disk := &ledger.Disk{BeforeSync: func() {
		if on.Load() {
			syncs.Add(1)
			entered <- struct{}{}
			<-hold
		}
	}}
	w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.SyncInterval = time.Hour })
	want := map[uuid.UUID]ledger.Status{}
	for i := range calls {
		if err := w.Open(t.Context(), intent(number(i))); err != nil {
			t.Fatal(err)
		}
		want[number(i)] = ledger.Completed
	}
	size := w.TailSize()
	on.Store(true)
	var wg sync.WaitGroup
	settle := func(i int) {
		s := settlement(number(i))
		size += ledger.SettlementSize(s)
		wg.Go(func() {
			if err := w.Settle(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	settle(0)
	<-entered
	for i := 1; i < calls; i++ {
		settle(i)
	}
	for w.TailSize() < size {
		awaitMoment()
	}
	close(hold)
	wg.Wait()
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d settlements took %d syncs, want 2: one for the first, one for all others", calls, n)
	}
	w.close()
	w.want(want)
}

// An intent is synced when it has waited for the interval, and not by itself when a settlement took it along.
func TestSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int32
		disk := &ledger.Disk{BeforeSync: func() { syncs.Add(1) }}
		c := config(t.TempDir(), nowhere{})
		disk.Install(&c)
		c.SyncInterval = 5 * time.Millisecond
		l, err := ledger.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		begin := syncs.Load()
		after := func(d time.Duration, want int32, what string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := syncs.Load() - begin; n != want {
				t.Errorf("%d syncs, want %d: %s", n, want, what)
			}
		}
		open := func(n int) {
			t.Helper()
			if err := l.Open(t.Context(), intent(number(n))); err != nil {
				t.Fatal(err)
			}
		}
		open(1)
		after(2*time.Millisecond, 0, "an intent waits")
		if err := l.Settle(t.Context(), settlement(number(1))); err != nil {
			t.Fatal(err)
		}
		after(time.Millisecond, 1, "a settlement does not")
		open(2)
		after(3*time.Millisecond, 1, "the first intent is on disk, the second has waited 3 ms")
		open(3)
		after(3*time.Millisecond, 2, "the second has waited 5 ms")
		after(time.Second, 2, "it took the third along")
		if n := l.TailSize(); n != 0 {
			t.Errorf("%d bytes are not on disk after a second", n)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Every step of a start fails, once and twice, not done or with its answer lost. A start that failed is repeated.
func TestStartInDoubt(t *testing.T) {
	var (
		mu   sync.Mutex
		seen = map[string]int{}
	)
	t.Run("Ways", func(t *testing.T) {
		for _, fates := range [][]ledger.Fate{
			{ledger.NotDone}, {ledger.LostAnswer}, {ledger.NotDone, ledger.NotDone}, {ledger.LostAnswer, ledger.LostAnswer}, {ledger.Half, ledger.LostAnswer},
		} {
			t.Run(fmt.Sprint(fates), func(t *testing.T) {
				t.Parallel()
				first := newWorld(t, nil) // for its database
				first.close()
				all := map[uuid.UUID]ledger.Status{}
				for step, more := 0, true; more; step++ {
					faults := startInDoubt(t, first.store, step, fates, all, func(op string) {
						mu.Lock()
						defer mu.Unlock()
						seen[op]++
					})
					more = faults > 0
				}
				first.want(all)
			})
		}
	})
	for _, op := range []string{"open", "read", "create", "write", "sync", "rename", "syncDir"} {
		if seen[op] == 0 {
			t.Errorf("no %s ever failed", op)
		}
	}
}

func startInDoubt(t *testing.T, st *store.Store, step int, fates []ledger.Fate, all map[uuid.UUID]ledger.Status, seen func(op string)) (faults int) {
	// What a process leaves that was killed: settled calls, some indexed, and open ones.
	w := &world{t: t, dir: t.TempDir(), store: st}
	quick, want := &ledger.Disk{}, map[uuid.UUID]ledger.Status{}
	w.start(func(c *ledger.Config) { quick.Install(c); c.SegmentSize = 1500 })
	for i := range 12 {
		id := number(step*100 + i)
		in := intent(id)
		in.Account = stepAccount(step)
		if err := w.Open(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		want[id] = ledger.Recovered
		if i%4 == 1 {
			continue
		}
		if err := w.Settle(t.Context(), settlement(id)); err != nil {
			t.Fatal(err)
		}
		want[id] = ledger.Completed
	}
	w.abandon()

	n := 0
	disk := &ledger.Disk{Fate: func(op, _ string) ledger.Fate {
		defer func() { n++ }()
		if n < step || n >= step+len(fates) {
			return ledger.Done
		}
		seen(op)
		faults++
		return fates[n-step]
	}}
	for tries := 0; ; tries++ {
		err := w.try(func(c *ledger.Config) { disk.Install(c); c.SegmentSize = 1500; c.Node = fmt.Sprint("node", step%2) })
		if err == nil {
			break
		}
		if !errors.Is(err, ledger.ErrFault) || tries == len(fates) {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	w.close()
	w.start(func(c *ledger.Config) { c.Node = "" })
	w.close()
	if got := w.callsOf(stepAccount(step)); !maps.Equal(got, want) {
		t.Errorf("step %d: the calls are %v, want %v", step, got, want)
	}
	maps.Copy(all, want)
	return faults
}

// A segment that cannot be deleted does not come to stand before a gap.
func TestDeleteFails(t *testing.T) {
	var broken atomic.Bool
	var first string
	disk := &ledger.Disk{Fate: func(op, name string) ledger.Fate {
		if op == "remove" && name == first && broken.Load() {
			return ledger.NotDone
		}
		return ledger.Done
	}}
	w := newWorld(t, func(c *ledger.Config) { disk.Install(c); c.SegmentSize = 1500 })
	first = filepath.Base(w.segments()[0])
	broken.Store(true)
	want := map[uuid.UUID]ledger.Status{}
	round := func(k int) {
		for i := k * 10; i < k*10+10; i++ {
			if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
				t.Fatal(err)
			}
			want[number(i)] = ledger.Completed
		}
		w.flush()
	}
	round(0)
	round(1)
	w.close()
	w.start(nil)
	broken.Store(false)
	round(2)
	if n := len(w.segments()); n > 2 {
		t.Errorf("%d segments are left", n)
	}
	w.close()
	w.want(want)
}

// Starts and stops without a call leave no more files behind than the first of them, and no position moves.
func TestIdleStops(t *testing.T) {
	w := newWorld(t, nil)
	if err := errors.Join(w.Open(t.Context(), intent(number(1))), w.Settle(t.Context(), settlement(number(1))), w.Open(t.Context(), intent(number(2)))); err != nil {
		t.Fatal(err)
	}
	w.close()
	w.start(nil) // closes the call that was open
	w.close()
	w.start(nil)
	w.close()
	before := w.segments()
	for range 3 {
		w.start(nil)
		w.close()
		if got := w.segments(); !slices.Equal(got, before) {
			t.Fatalf("segments %v, before %v", got, before)
		}
	}
	w.want(map[uuid.UUID]ledger.Status{number(1): ledger.Completed, number(2): ledger.Recovered})
}

// A journal that was stopped cleanly is damaged anywhere before its end: that is no torn tail.
func TestDamageInLastSegment(t *testing.T) {
	w := newWorld(t, nil)
	const calls = 6
	for i := range calls {
		if err := errors.Join(w.Open(t.Context(), intent(number(i))), w.Settle(t.Context(), settlement(number(i)))); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	segs := w.segments()
	whole, err := os.ReadFile(segs[len(segs)-1])
	if err != nil {
		t.Fatal(err)
	}
	end := ledger.SegmentEnd(whole)
	for name, damage := range map[string]func(b []byte){
		"a bit":      func(b []byte) { b[0] ^= 0x20 },
		"half of it": func(b []byte) { clear(b[:min(len(b), end/2)]) }, // zeros where records were, and records behind
	} {
		refused, cut := 0, 0
		for at := 0; at < min(end+500, len(whole)); at += 1 + at/50 {
			c := &world{t: t, dir: t.TempDir(), store: w.store}
			journal := filepath.Join(c.dir, "journal")
			copyFolder(t, filepath.Join(w.dir, "journal"), journal)
			file := filepath.Join(journal, filepath.Base(segs[len(segs)-1]))
			b := bytes.Clone(whole)
			damage(b[at:])
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.try(nil); err != nil {
				refused++
				if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "offset") {
					t.Errorf("%s, byte %d: %v", name, at, err)
				}
				if cut > 0 {
					t.Errorf("%s, byte %d is behind what is cut off, and refused: %v", name, at, err)
				}
				continue
			}
			cut++
			c.close()
			if name == "a bit" && at < end || at < end-end/2 {
				t.Errorf("%s, byte %d of %d was taken for a torn tail", name, at, end)
			}
		}
		if refused == 0 || cut == 0 {
			t.Errorf("%s: %d refused, %d cut off", name, refused, cut)
		}
	}
}
