package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/store"
)

// childDir in the environment makes the test binary the child of TestKill.
const childDir = "OUTCROP_TEST_LEDGER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child opens and settles calls until it is killed, and says on its standard output what it was told is safe.
func child(dir string) error {
	say := func(format string, args ...any) {
		if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil { // one write, which a pipe keeps whole
			panic(err)
		}
	}
	say("begin")
	st, err := store.Open(context.Background(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		return err
	}
	say("store")
	c := config(dir, st)
	c.SegmentSize = 20_000
	c.SyncIntents = os.Getpid()%2 == 0
	l, err := ledger.New(context.Background(), c)
	if err != nil {
		return err
	}
	say("ledger")
	failed := make(chan error)
	for range 6 {
		go func() {
			for {
				id := uuid.New()
				if err := l.Open(context.Background(), intent(id)); err != nil {
					failed <- err
				}
				say("opened %s", id)
				if rand.IntN(20) == 0 {
					continue // its process ends first
				}
				if err := l.Settle(context.Background(), settlement(id)); err != nil {
					failed <- err
				}
				say("settled %s", id)
			}
		}()
	}
	return <-failed
}

// The process is killed at any moment, also while it recovers from the last time. What it was told is safe is there,
// once; every call that was opened is settled or recovered; and the rollups are the sums of the calls.
func TestKill(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	dir := t.TempDir()
	opened, settled := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for round := range rounds {
		lines := 1 + rand.IntN(3) // in the middle of the start
		if round%4 > 0 {
			lines += rand.IntN(500)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		read := bufio.NewScanner(out)
		n := 0
		for ; read.Scan(); n++ {
			if n+1 == lines {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			what, id, ok := strings.Cut(read.Text(), " ")
			if !ok {
				continue
			}
			u, err := uuid.Parse(id)
			if err != nil {
				t.Fatal(err)
			}
			opened[u] = true
			if what == "settled" {
				settled[u] = true
			}
		}
		_ = cmd.Wait() // it was killed
		if n < lines {
			t.Fatalf("round %d: the child ended by itself after %d lines", round, n)
		}
		if round%8 == 7 || round+1 == rounds {
			checkKilled(t, dir, opened, settled)
		}
	}
	if len(settled) < 10*rounds || len(opened) == len(settled) {
		t.Errorf("only %d calls were opened and %d settled in %d rounds", len(opened), len(settled), rounds)
	}
}

func checkKilled(t *testing.T, dir string, opened, settled map[uuid.UUID]bool) {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w := &world{t: t, dir: dir, store: st}
	w.start(nil)
	w.close()
	got := w.calls()
	for id := range opened {
		switch s := got[id]; {
		case settled[id] && s != ledger.Completed:
			t.Errorf("the settled call %s is %v", id, s)
		case s != ledger.Completed && s != ledger.Recovered:
			t.Errorf("the opened call %s is %v", id, s)
		}
	}
}

// A killed process may have heard of a failed sync and nobody else has. The next one does not build on what that sync
// should have written, though the operating system still shows it.
func TestFailedSyncThenKill(t *testing.T) {
	for round := range 20 {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		var broken bool
		disk := &ledger.Disk{}
		disk.Fate = func(op, _ string) ledger.Fate {
			if broken {
				return ledger.NotDone
			}
			return ledger.Done
		}
		w := newWorld(t, disk.Install)
		want := map[uuid.UUID]ledger.Status{}
		for i := range 10 + r.IntN(10) {
			id := number(i)
			if err := w.Open(t.Context(), intent(id)); err != nil {
				t.Fatal(err)
			}
			if err := w.Settle(t.Context(), settlement(id)); err != nil {
				t.Fatal(err)
			}
			want[id] = ledger.Completed
		}
		late := number(100)
		if err := w.Open(t.Context(), intent(late)); err != nil {
			t.Fatal(err)
		}
		want[late] = ledger.Recovered
		disk.Lock(func() { broken = true })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if w.Settle(ctx, settlement(late)) == nil {
				t.Error("a sync that failed settled a call")
			}
		})
		for w.Healthy() == nil {
			awaitMoment()
		}
		disk.Off()
		cancel()
		wg.Wait()
		w.abandon()

		disk.Lock(func() { broken = false })
		disk.On()
		w.start(disk.Install)
		// The settlement that failed may have reached the file.
		w.flush()
		if s := w.calls()[late]; s == ledger.Completed {
			want[late] = s
		}
		w.want(want)
		after := number(200)
		if err := w.Open(t.Context(), intent(after)); err != nil {
			t.Fatal(err)
		}
		if err := w.Settle(t.Context(), settlement(after)); err != nil {
			t.Fatal(err)
		}
		want[after] = ledger.Completed
		if err := disk.PowerCut(r); err != nil {
			t.Fatal(err)
		}
		w.abandon()
		w.start(nil)
		w.close()
		w.want(want)
	}
}
