package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/archive"
	"outcrop/ledger"
	"outcrop/store"
)

// archiveCalls are calls of an account on days, so many on each; every third costs something and is corrected.
func archiveCalls(account string, days, each int) (calls []ledger.Entry, fixes []ledger.Corrected) {
	for i := range days * each {
		id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, account, i))
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: id, Time: time.Date(2026, 11, 1, 0, 0, i%each, 0, time.UTC).AddDate(0, 0, i/each), Account: account, Principal: "arn:aws:iam::" + account + ":user/a",
				Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:" + account, ResourceName: "name", ModelID: "m", Scope: "region",
				Tags: []ledger.Tag{{Key: "Project", Value: fmt.Sprint(i % 3)}},
			},
			Settlement: ledger.Settlement{ID: id, Time: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: "a"},
		}
		if i%4 == 0 {
			e.Metadata = []ledger.Tag{{Key: "k", Value: fmt.Sprint(i % 9)}}
		}
		if i%3 == 0 {
			e.Charges = []ledger.Charge{{UsageType: "USE1-M-input-tokens", Quantity: 10, Nano: int64(i + 1), Price: "p"}}
			before := e
			fix := e.Correct([]ledger.Charge{{UsageType: "USE1-M-input-tokens", Quantity: 10, Nano: 7, Price: "q"}}, time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC), "rerate")
			fixes = append(fixes, ledger.Corrected{Entry: &before, Correction: fix})
		}
		calls = append(calls, e)
	}
	return calls, fixes
}

func readEntries(t *testing.T, s *store.Store) (all []ledger.Entry) {
	t.Helper()
	for e, err := range s.Calls(t.Context(), "", time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, *e)
	}
	return all
}

// copyFolder copies what a process that is killed at this moment leaves: the files as they are, and no lock of anybody's.
func copyFolder(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	if err := os.CopyFS(to, skipping{os.DirFS(from)}); err != nil {
		t.Fatal(err)
	}
	return to
}

// skipping leaves out SQLite's shared memory, which dies with its process.
type skipping struct{ fs.FS }

func (s skipping) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), "-shm") }), err
}

// TestArchiveKilled looks at what is left when the process ends at every step of archiving: each call is there, once, as it was, and
// every total is theirs; and the next process ends what this one has begun.
func TestArchiveKilled(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "outcrop.db"))
	calls, fixes := archiveCalls("111111111111", 2, 40)
	others, _ := archiveCalls("222222222222", 1, 5)
	if err := errors.Join(
		s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: slices.Concat(calls, others)}),
		s.Correct(t.Context(), fixes),
	); err != nil {
		t.Fatal(err)
	}
	want := readEntries(t, s)
	const before = 4 // November: all but what is later
	end, now := time.Date(2026, 11, before, 23, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

	var left []string
	steps := map[string]int{}
	s.OnStep(func(step string) {
		steps[step]++
		left = append(left, copyFolder(t, dir))
	})
	moved, err := s.Archive(t.Context(), end, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.OnStep(nil)
	// Two days of calls of one account, one of another, two of corrections.
	if moved.Files != 5 || moved.Calls != int64(len(want)) || moved.Corrections != int64(len(fixes)) {
		t.Errorf("%+v was moved, of %d calls and %d corrections", moved, len(want), len(fixes))
	}
	for _, step := range []string{"read", "written", "synced", "deleted", "placed", "committed"} {
		if steps[step] != moved.Files {
			t.Errorf("there were %d steps %q, want one a file", steps[step], step)
		}
	}
	for i, dir := range append(left, dir) {
		s := s
		if i < len(left) {
			s = open(t, filepath.Join(dir, "outcrop.db"))
		}
		same := func(when string) {
			t.Helper()
			if err := s.VerifyLedger(t.Context()); err != nil {
				t.Errorf("after step %d, %s: %v", i, when, err)
			}
			if got := readEntries(t, s); !reflect.DeepEqual(got, want) {
				t.Errorf("after step %d, %s: there are %d calls, want %d, or others", i, when, len(got), len(want))
			}
		}
		same("as it was left")
		again, err := s.Archive(t.Context(), end, now.Add(time.Hour), nil)
		if err != nil {
			t.Fatal(err)
		}
		same("archived again")
		if i == len(left) && again.Files != 0 {
			t.Errorf("what is archived was archived again: %+v", again)
		}
		if n := rowsOf(t, dir, "call") + rowsOf(t, dir, "correction"); n != 0 {
			t.Errorf("after step %d: %d rows are left", i, n)
		}
		files, names := 0, ""
		if err := filepath.WalkDir(filepath.Join(dir, "archive"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files, names = files+1, names+" "+filepath.Base(path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if files != moved.Files {
			t.Errorf("after step %d there are the files%s, want %d", i, names, moved.Files)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// database opens the file behind a store, for what no store would do.
func database(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "outcrop.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func rowsOf(t *testing.T, dir, table string) (n int) {
	t.Helper()
	if err := database(t, dir).QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func change(t *testing.T, dir, text string, args ...any) {
	t.Helper()
	r, err := database(t, dir).ExecContext(t.Context(), text, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n == 0 {
		t.Fatalf("%s changed nothing", text)
	}
}

// TestArchiveDamage: a file that is missing, cut off or changed is named, by reading as by proving, and is never taken for no calls; other days are
// proved all the same.
func TestArchiveDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "outcrop.db"))
	calls, _ := archiveCalls("111111111111", 2, 30)
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: calls}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Archive(t.Context(), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "archive", "account=111111111111", "day=2026-11-01", "calls-000001.parquet")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"missing":   func() error { return os.Remove(name) },
		"cut off":   func() error { return os.WriteFile(name, whole[:len(whole)-1], 0o600) },
		"longer":    func() error { return os.WriteFile(name, append(slices.Clone(whole), 0), 0o600) },
		"a bit off": func() error { b := slices.Clone(whole); b[len(b)/2] ^= 1; return os.WriteFile(name, b, 0o600) },
	} {
		t.Run(what, func(t *testing.T) {
			if err := do(); err != nil {
				t.Fatal(err)
			}
			var found []store.Difference
			p, err := s.ProveLedger(t.Context(), func(d *store.Difference) error { found = append(found, *d); return nil })
			if err != nil || len(found) != 1 || p.Differences != 1 || p.Days != 2 || p.Calls != 30 {
				t.Errorf("%+v, %v: %v; want one difference, and the other day's calls", p, err, found)
			} else if damage, ok := errors.AsType[*store.DamagedFile](found[0].Err); !ok || damage.Path != name || found[0].Time.Day() != 1 {
				t.Errorf("the difference is %v", &found[0])
			}
			n := 0
			var last error
			for _, err := range s.Calls(t.Context(), "", time.Time{}, 0) {
				if n, last = n+1, err; err != nil {
					break
				}
			}
			if last == nil || !strings.Contains(last.Error(), name) {
				t.Errorf("reading it gives %v after %d calls", last, n)
			}
			// Whether a call of that day is known cannot be told: it is not counted, and not lost.
			if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "another", To: 1, Entries: calls[:1]}); err == nil {
				t.Error("a call of that day was taken for a new one")
			}
			if _, err := s.RepairHour(t.Context(), "111111111111", calls[0].Intent.Time, &store.Repair{}); err == nil {
				t.Error("the day's sums were mended without its calls")
			}
			if err := os.WriteFile(name, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyLedger(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestArchiveStray: a file that has the name of the next one, and is not known, is kept beside it.
func TestArchiveStray(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "outcrop.db"))
	calls, _ := archiveCalls("111111111111", 1, 3)
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: calls}); err != nil {
		t.Fatal(err)
	}
	day := filepath.Join(dir, "archive", "account=111111111111", "day=2026-11-01")
	name := filepath.Join(day, "calls-000001.parquet")
	if err := errors.Join(os.MkdirAll(day, 0o700), os.WriteFile(name, []byte("of another database"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Archive(t.Context(), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	stray, err := filepath.Glob(name + ".stray-*")
	if err != nil || len(stray) != 1 {
		t.Fatalf("stray files: %v, %v", stray, err)
	}
	if b, err := os.ReadFile(stray[0]); err != nil || string(b) != "of another database" {
		t.Errorf("it has %q, %v", b, err)
	}
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestArchiveStops: an error of whoever is told of files ends it after a whole file.
func TestArchiveStops(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
	calls, _ := archiveCalls("111111111111", 3, 10)
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: calls}); err != nil {
		t.Fatal(err)
	}
	full := errors.New("enough")
	moved, err := s.Archive(t.Context(), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), func(m archive.Moved) error {
		if m.Calls != 10 || m.Path == "" {
			t.Errorf("told of %+v", m)
		}
		return full
	})
	if !errors.Is(err, full) || moved.Files != 1 {
		t.Errorf("%+v, %v", moved, err)
	}
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Archive(ctx, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), nil); err == nil {
		t.Error("it went on without anybody who waits")
	}
}

// TestArchiveSpace: the pages of what was archived are used again by what comes.
func TestArchiveSpace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "outcrop.db"))
	calls, _ := archiveCalls("111111111111", 2, 20_000)
	days := [][]ledger.Entry{calls[:20_000], calls[20_000:]}
	pages := func() (n, free int) {
		db := database(t, dir)
		if err := errors.Join(db.QueryRowContext(t.Context(), `PRAGMA page_count`).Scan(&n), db.QueryRowContext(t.Context(), `PRAGMA freelist_count`).Scan(&free)); err != nil {
			t.Fatal(err)
		}
		return n, free
	}
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: days[0]}); err != nil {
		t.Fatal(err)
	}
	before, _ := pages()
	moved, err := s.Archive(t.Context(), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, free := pages()
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: 1, To: 2, Entries: days[1]}); err != nil {
		t.Fatal(err)
	}
	after, _ := pages()
	t.Logf("%d calls: %d bytes in %d files; of %d pages %d were free then, and the next day's calls made them %d", moved.Calls, moved.Bytes, moved.Files, before, free, after)
	if free < before*8/10 || after > before*11/10 {
		t.Errorf("the database had %d pages, %d of them free when its calls were archived, and %d after as many more", before, free, after)
	}
}

// TestRepair: rows of rollups that are wrong in every way are found, and moved to what the calls say, with a record of each; calls of a day that is archived
// count like others. What is right stays untouched.
func TestRepair(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "outcrop.db"))
	const account = "111111111111"
	calls, fixes := archiveCalls(account, 3, 30)
	if err := errors.Join(s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: calls}), s.Correct(t.Context(), fixes)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Archive(t.Context(), time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	const first = 20758 * 24 // the first of November 2026, as hours count
	for what, do := range map[string]func(){
		"figures": func() {
			change(t, dir, `UPDATE charge_hour SET nano = nano + 1, quantity = 0 WHERE hour = $1`, first)
			change(t, dir, `UPDATE caller_hour SET calls = calls + 1`)
		},
		"missing": func() { change(t, dir, `DELETE FROM split_hour WHERE hour >= $1`, first+24) },
		"more": func() {
			change(t, dir, `INSERT INTO charge_hour (account, hour, line, quantity, nano, calls, unrated, estimated) VALUES ($1, $2, 1, 1, 1, 1, 0, 0)`, account, first+100)
			change(t, dir, `INSERT INTO charge_hour (account, hour, line, quantity, nano, calls, unrated, estimated) VALUES ($1, $2, 999, 1, 1, 1, 0, 0)`, account, first)
			change(t, dir, `INSERT INTO caller_hour VALUES ($1, $2, 777, 0, 0, 0, 0)`, account, first+24)
			change(t, dir, `INSERT INTO caller_hour VALUES ('999999999999', $1, 1, 1, 2, 3, 4)`, first)
		},
		"the wrong line": func() { change(t, dir, `UPDATE charge_hour SET line = line + 1000 WHERE hour = $1`, first+24) },
		"words":          func() { change(t, dir, `UPDATE charge_line SET usage_type = usage_type || 'x'`) },
	} {
		t.Run(what, func(t *testing.T) {
			was := readEntries(t, s)
			if err := s.VerifyLedger(t.Context()); err != nil {
				t.Fatal(err)
			}
			do()
			type hour struct {
				account string
				at      time.Time
			}
			wrong := map[hour]int{}
			accounts := map[string]bool{}
			tables := map[string]int{}
			if _, err := s.ProveLedger(t.Context(), func(d *store.Difference) error {
				accounts[d.Account] = true
				if !d.Rolled() {
					wrong[hour{d.Account, d.Time}]++
					tables[d.Table]++
				}
				return nil
			}); err != nil || len(wrong) == 0 {
				t.Fatalf("nothing is found: %v", err)
			}
			at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			moved := 0
			for h := range wrong {
				n, err := s.RepairHour(t.Context(), h.account, h.at, &store.Repair{Time: at, By: "op", Reason: what})
				if err != nil {
					t.Fatal(err)
				}
				moved += n
				if n, err = s.RepairHour(t.Context(), h.account, h.at, &store.Repair{Time: at, By: "op", Reason: "again"}); n != 0 || err != nil {
					t.Errorf("what is right moved %d rows, %v", n, err)
				}
			}
			for account := range accounts { // whose days and months are sums of these hours
				if _, err := s.RepairRolled(t.Context(), account, &store.Repair{Time: at, By: "op", Reason: "days"}); err != nil {
					t.Fatal(err)
				}
				if n, err := s.RepairRolled(t.Context(), account, &store.Repair{Time: at, By: "op", Reason: "again"}); n != 0 || err != nil {
					t.Errorf("what is right moved %d rows, %v", n, err)
				}
			}
			if err := s.VerifyLedger(t.Context()); err != nil {
				t.Error(err)
			}
			if got := readEntries(t, s); !reflect.DeepEqual(got, was) {
				t.Error("the calls have changed")
			}
			kept := 0
			if err := s.Repairs(t.Context(), func(r *store.Repair) error {
				switch r.Reason {
				case what:
					kept++
					if r.By != "op" || !r.Time.Equal(at) || r.Was == r.Is || tables[r.Table] == 0 || wrong[hour{r.Account, r.Hour}] == 0 {
						t.Errorf("the record has %+v", r)
					}
				case "again":
					t.Errorf("the record has %+v", r)
				}
				return nil
			}); err != nil || kept != moved || moved == 0 {
				t.Errorf("%d rows moved, and %d are in the record; %v", moved, kept, err)
			}
		})
	}
}
