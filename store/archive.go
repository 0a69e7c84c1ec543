package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"time"

	"github.com/google/uuid"

	"outcrop/archive"
	"outcrop/ledger"
)

// The archive is the folder beside the database that calls and corrections of old days have gone to:
//
//	archive/account=000000000000/day=2026-11-23/calls-000001.parquet
//	archive/account=000000000000/day=2026-11-23/corrections-000001.parquet
//
// A row is in the database or in one file of the archive, never in both and never in neither, whatever happens when:
//
//  1. rows of one day of one account are read, and written to a file of another name, which is synced;
//  2. the file is read again from the disk, and held against the rows;
//  3. in one transaction: the rows are still the same, the file's row is written into the table archive, the rows are
//     deleted, the file gets its name, and the folders are synced; then it is committed.
//
// A file is thus of a bounded size, and so is the transaction. What a crash leaves before the commit is a file that the table archive
// does not know: it is not read, and the next one of its name takes its place. Late calls and corrections of a day that
// is archived are rows like any other, and go to files of their own: the day's next parts.

const (
	callsKind       = "calls"
	correctionsKind = "corrections"

	// What one file has at most: it is in memory whole when it is made and when it is read, and its rows are deleted at once.
	maxPartRows  = 10_000
	maxPartBytes = 16 << 20 // of texts
)

const dayMicros = 24 * 3600 * 1_000_000

// dayOf is the number of the day that a microsecond is in, also before 1970.
func dayOf(micro int64) int64 {
	if micro < 0 {
		return (micro+1)/dayMicros - 1
	}
	return micro / dayMicros
}

// part is a row of archive: one file.
type part struct {
	account, kind       string
	day, number         int64
	sha256              []byte
	size, entries, nano int64
	first, last, made   int64
}

// path is where the file is, below the archive's folder.
func (p *part) path() string {
	day := time.Unix(p.day*24*3600, 0).UTC().Format(time.DateOnly)
	return filepath.Join("account="+p.account, "day="+day, fmt.Sprintf("%s-%06d.parquet", p.kind, p.number))
}

// readParts returns the files of a kind that have rows of p, in the order of what they begin with.
func readParts(ctx context.Context, tx *sql.Tx, p span, kind string) (parts []*part, err error) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if p.from > from {
		from = dayOf(p.from)
	}
	if p.to < to {
		to = dayOf(p.to - 1)
	}
	_, err = eachRow(ctx, tx, `SELECT account, kind, day, part, sha256, size, entries, nano, first, last, made FROM archive
		WHERE account = $1 AND kind = $2 AND day >= $3 AND day <= $4 AND first < $5 AND last >= $6 ORDER BY first, part`, func(rows *sql.Rows) (bool, error) {
		f := &part{}
		parts = append(parts, f)
		return true, rows.Scan(&f.account, &f.kind, &f.day, &f.number, &f.sha256, &f.size, &f.entries, &f.nano, &f.first, &f.last, &f.made)
	}, p.account, kind, from, to, p.to, p.from)
	return parts, err
}

// read returns the bytes of the file when they are those that were written.
func (s *Store) readPart(p *part) (_ []byte, err error) {
	name := filepath.Join(s.archive, p.path())
	defer func() {
		if err != nil {
			if path, ok := errors.AsType[*fs.PathError](err); ok { // whose name is told already
				err = path.Err
			}
			err = fmt.Errorf("archive: %w", &DamagedFile{name, err})
		}
	}()
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != p.size {
		return nil, fmt.Errorf("it has %d bytes, and %d were written", info.Size(), p.size)
	}
	b := make([]byte, p.size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], p.sha256) {
		return nil, fmt.Errorf("its SHA-256 is %x, and was %x", sum, p.sha256)
	}
	return b, nil
}

// DamagedFile says that a file of the archive is missing or is not as it was written.
type DamagedFile struct {
	Path  string
	Cause error
}

func (e *DamagedFile) Error() string { return e.Path + ": " + e.Cause.Error() }

func (e *DamagedFile) Unwrap() error { return e.Cause }

// openCalls reads the calls of a file of the archive. Names are those of the newest call, as of calls in the database.
func (w *words) openCalls(p *part) (source[ledger.Entry], error) {
	return openPart(w, p, archive.ReadCalls, callKey, func(e *ledger.Entry) (account string, nano int64, err error) {
		nano, _ = e.Cost()
		name, err := w.name(e.ResourceARN)
		if name != "" {
			e.ResourceName = name
		}
		return e.Account, nano, err
	})
}

func (w *words) openCorrections(p *part) (source[archive.Correction], error) {
	return openPart(w, p, archive.ReadCorrections, correctionKey, func(c *archive.Correction) (string, int64, error) {
		return c.Account, c.Nano(), nil
	})
}

// openPart reads a file of the archive, and holds its rows against what the table archive says of them.
func openPart[T any](w *words, p *part, open func([]byte) (*archive.Reader[T], error), key func(*T) rowKey, look func(*T) (account string, nano int64, err error)) (source[T], error) {
	b, err := w.store.readPart(p)
	if err != nil {
		return source[T]{}, err
	}
	r, err := open(b)
	if err != nil {
		return source[T]{}, fmt.Errorf("archive: %s: %w", p.path(), err)
	}
	var entries, nano int64
	next := func() (*T, error) {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			if entries != p.entries || nano != p.nano {
				return nil, fmt.Errorf("it has %d rows of %d nano-USD, and %d of %d were written", entries, nano, p.entries, p.nano)
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		account, n, err := look(row)
		if began := key(row).began; err == nil && (account != p.account || began < p.first || began > p.last) {
			err = errors.New("it has a row that is of another account or time")
		}
		entries, nano = entries+1, nano+n
		return row, err
	}
	return source[T]{
		next: func() (*T, error) {
			row, err := next()
			if err != nil && !errors.Is(err, io.EOF) {
				err = fmt.Errorf("archive: %s: %w", p.path(), err)
			}
			return row, err
		},
		close: r.Close,
	}, nil
}

// maxTries is how often rows of old days may change before a file of them is written.
const maxTries = 20

// errMoved says that what was read for a file is not what there is to delete: another file or other rows came between.
var errMoved = errors.New("the rows have changed")

// Archive moves the calls, and corrections of calls, that began on days before the one that the time before is in (UTC) from the database to files of
// the archive. What is archived already stays as it is. It tells each of every file that is done; an error of each ends it.
//
// Totals and reports are as before: they are made of sums that stay. Calls reads the files.
func (s *Store) Archive(ctx context.Context, before, now time.Time, each func(archive.Moved) error) (sum archive.Moved, err error) {
	end := dayOf(before.UnixMicro()) * dayMicros
	if err := s.removeUnfinished(); err != nil {
		return sum, err
	}
	for _, k := range []struct{ kind, table string }{{callsKind, "call"}, {correctionsKind, "correction"}} {
		for account := ""; ; {
			if account, err = s.nextAccount(ctx, account, k.table); err != nil || account == "" {
				break
			}
			for tries := 0; ; {
				did, err := s.archivePart(ctx, account, k.kind, k.table, end, now)
				if tries++; errors.Is(err, errMoved) && tries < maxTries {
					continue
				}
				tries = 0
				if err != nil {
					return sum, fmt.Errorf("archive: %w", err)
				}
				if did == nil {
					break
				}
				sum.Add(*did)
				if each != nil {
					if err := each(*did); err != nil {
						return sum, err
					}
				}
			}
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (s *Store) nextAccount(ctx context.Context, after string, tables ...string) (next string, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		next, err = nextAccount(ctx, tx, after, tables...)
		return err
	})
	return next, err
}

// view runs fn in one read transaction.
func (s *Store) view(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	return fn(tx)
}

// unfinished is what the names of files begin with that are being written.
const unfinished = ".new-"

// removeUnfinished removes what was being written when a process ended. Of another process at work it takes the file away: that one then
// fails, and its rows stay.
func (s *Store) removeUnfinished() error {
	names, err := filepath.Glob(filepath.Join(s.archive, unfinished+"*"))
	for _, name := range names {
		if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// archivePart moves the first rows of a table that began before end into a file, as many as one may have. It returns nil when there are none.
func (s *Store) archivePart(ctx context.Context, account, kind, table string, end int64, now time.Time) (*archive.Moved, error) {
	p := part{account: account, kind: kind, made: now.UnixMicro()}
	var (
		name string
		keys [2]rowKey // the first and the last
		done = &archive.Moved{Files: 1}
		err  error
	)
	if kind == callsKind {
		name, keys, err = writePart(ctx, s, &p, end, (*words).liveCalls, callKey, archive.WriteCalls, archive.ReadCalls, func(e *ledger.Entry) (size int, nano int64) {
			nano, _ = e.Cost()
			size = len(e.Reason) + len(e.Charges)*100
			for _, t := range e.Metadata {
				size += len(t.Key) + len(t.Value)
			}
			return size, nano
		})
		done.Calls = p.entries
	} else {
		name, keys, err = writePart(ctx, s, &p, end, (*words).liveCorrections, correctionKey, archive.WriteCorrections, archive.ReadCorrections, func(c *archive.Correction) (size int, nano int64) {
			return len(c.Reason) + (len(c.Back)+len(c.Charges))*100, c.Nano()
		})
		done.Corrections = p.entries
	}
	if err != nil || name == "" {
		return nil, err
	}
	done.Path, done.Bytes = p.path(), p.size
	if err := s.change(ctx, func(tx *sql.Tx) error { return s.commitPart(ctx, tx, &p, table, keys, name) }); err != nil {
		if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return nil, err
	}
	s.step("committed")
	return done, nil
}

// writePart writes the first rows of p's account and kind before end, of one day, to a file, and proves it. It returns the file's name, "" where there
// are no rows, and fills p.
func writePart[T any](ctx context.Context, s *Store, p *part, end int64, live func(*words, span) (source[T], error), key func(*T) rowKey,
	write func(io.Writer, []T) error, read func([]byte) (*archive.Reader[T], error), measure func(*T) (size int, nano int64)) (name string, keys [2]rowKey, err error) {
	var rows []T
	if err := s.view(ctx, func(tx *sql.Tx) error {
		w := s.words(ctx, tx)
		src, err := live(w, span{p.account, math.MinInt64, end})
		if err != nil {
			return err
		}
		size := 0
		for len(rows) < maxPartRows && size < maxPartBytes {
			row, err := src.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(err, src.close())
			}
			k := key(row)
			if len(rows) == 0 {
				p.day, keys[0], p.first = dayOf(k.began), k, k.began
			} else if dayOf(k.began) != p.day {
				break
			}
			n, nano := measure(row)
			size, p.nano = size+n, p.nano+nano
			keys[1], p.last = k, k.began
			rows = append(rows, *row)
		}
		if err := src.close(); err != nil || len(rows) == 0 {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(part), 0) + 1 FROM archive WHERE account = $1 AND kind = $2 AND day = $3`, p.account, p.kind, p.day).Scan(&p.number)
	}); err != nil || len(rows) == 0 {
		return "", keys, err
	}
	p.entries = int64(len(rows))
	s.step("read")
	if err := os.MkdirAll(s.archive, 0o700); err != nil {
		return "", keys, err
	}
	f, err := os.CreateTemp(s.archive, unfinished)
	if err != nil {
		return "", keys, err
	}
	name = f.Name()
	sum := sha256.New()
	err = write(io.MultiWriter(f, sum), rows)
	if err == nil {
		s.step("written")
		err = f.Sync()
	}
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			p.size = info.Size()
		}
	}
	p.sha256 = sum.Sum(nil)
	if err = errors.Join(err, f.Close()); err == nil {
		s.step("synced")
		err = prove(name, p, rows, read)
	}
	if err != nil {
		return "", keys, errors.Join(err, os.Remove(name))
	}
	return name, keys, nil
}

// prove reads a file that was just written and holds it against its rows: they are to be deleted.
func prove[T any](name string, p *part, rows []T, read func([]byte) (*archive.Reader[T], error)) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], p.sha256) {
		return fmt.Errorf("%s is not what was written: its SHA-256 is %x, and not %x", name, sum, p.sha256)
	}
	r, err := read(b)
	if err != nil {
		return err
	}
	for i := range rows {
		row, err := r.Next()
		if err != nil {
			return errors.Join(fmt.Errorf("row %d of %s: %w", i, name, err), r.Close())
		}
		if !reflect.DeepEqual(row, &rows[i]) {
			return errors.Join(fmt.Errorf("row %d of %s is %+v, and %+v was written", i, name, row, &rows[i]), r.Close())
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%s has more rows than were written", name), err, r.Close())
	}
	return r.Close()
}

// commitPart is the transaction that puts the file name in the place of its rows.
func (s *Store) commitPart(ctx context.Context, tx *sql.Tx, p *part, table string, keys [2]rowKey, name string) error {
	id, number := "id", "0"
	if p.kind == correctionsKind {
		id, number = "call", "number"
	}
	which := ` FROM ` + table + ` WHERE account = $1 AND (began, ` + id + `, ` + number + `) >= ($2, $3, $4) AND (began, ` + id + `, ` + number + `) <= ($5, $6, $7)
		AND began >= $2 AND began <= $5` // the last two are what the engine seeks by
	args := []any{p.account, keys[0].began, keys[0].id[:], keys[0].number, keys[1].began, keys[1].id[:], keys[1].number}
	// No row is ever changed, and none goes but into a part: with the part's number still free, and as many rows as were read, they are those.
	var entries int64
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*)`+which, args...).Scan(&entries); err != nil {
		return err
	}
	if entries != p.entries {
		return errMoved
	}
	r, err := tx.ExecContext(ctx, `INSERT INTO archive (account, kind, day, part, sha256, size, entries, nano, first, last, made)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (account, kind, day, part) DO NOTHING`,
		p.account, p.kind, p.day, p.number, p.sha256, p.size, p.entries, p.nano, p.first, p.last, p.made)
	if err := oneRow(r, err, errMoved); err != nil {
		return err
	}
	if r, err = tx.ExecContext(ctx, `DELETE`+which, args...); err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != p.entries {
		return errors.Join(fmt.Errorf("%d rows were deleted, and %d were written", n, p.entries), err)
	}
	s.step("deleted")
	if err := s.place(name, p); err != nil {
		return err
	}
	s.step("placed")
	return nil
}

// place gives the file its name, on the disk too. What has the name already is not in the table archive: it is what a crash left, or what a
// database that was lost knew of, and is kept beside it where it is another.
func (s *Store) place(name string, p *part) error {
	to := filepath.Join(s.archive, p.path())
	day := filepath.Dir(to)
	if err := os.MkdirAll(day, 0o700); err != nil {
		return err
	}
	switch old, err := os.Open(to); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		sum := sha256.New()
		_, err := io.Copy(sum, old)
		if err = errors.Join(err, old.Close()); err != nil {
			return err
		}
		if known := sum.Sum(nil); !bytes.Equal(known, p.sha256) {
			if err := os.Rename(to, to+".stray-"+hex.EncodeToString(known[:4])); err != nil {
				return err
			}
		}
	}
	if err := os.Rename(name, to); err != nil {
		return err
	}
	for _, dir := range []string{day, filepath.Dir(day), s.archive, filepath.Dir(s.archive)} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" { // it has no such thing: names are in the file system's own journal
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// step is where tests look at what a crash would leave.
func (s *Store) step(name string) {
	if s.onStep != nil {
		s.onStep(name)
	}
}

// archivedCalls says which of entries are in the archive: they come again when a journal begins a new epoch. It seeks only calls of days that are
// archived, which hardly ever come.
func (w *batch) archivedCalls(entries []ledger.Entry) (known map[uuid.UUID]struct{}, err error) {
	var newest sql.NullInt64
	if err := w.tx.StmtContext(w.ctx, w.newestArchived).QueryRowContext(w.ctx).Scan(&newest); err != nil || !newest.Valid { //nolint:sqlclosecheck // ends with its transaction
		return nil, err
	}
	type accountDay struct {
		account string
		day     int64
	}
	asked := map[accountDay]struct{}{}
	for i := range entries {
		e := &entries[i]
		d := accountDay{e.Account, dayOf(e.Intent.Time.UnixMicro())}
		if _, ok := asked[d]; ok || d.day > newest.Int64 {
			continue
		}
		asked[d] = struct{}{}
		parts, err := readParts(w.ctx, w.tx, span{e.Account, d.day * dayMicros, (d.day + 1) * dayMicros}, callsKind)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			b, err := w.store.readPart(p)
			if err != nil {
				return nil, err
			}
			ids, err := archive.CallIDs(b)
			if err != nil {
				return nil, fmt.Errorf("archive: %s: %w", p.path(), err)
			}
			for k := range entries {
				if id := entries[k].Intent.ID; entries[k].Account == p.account {
					if _, ok := ids[id]; ok {
						if known == nil {
							known = map[uuid.UUID]struct{}{}
						}
						known[id] = struct{}{}
					}
				}
			}
		}
	}
	return known, nil
}

// archivedCorrections says how many corrections of calls are in the archive, of the calls of an account that began at one time.
func (w *batch) archivedCorrections(e *ledger.Entry) (n int, err error) {
	at := e.Intent.Time.UnixMicro()
	parts, err := readParts(w.ctx, w.tx, span{e.Account, at, at + 1}, correctionsKind)
	for _, p := range parts {
		if w.corrected == nil {
			w.corrected = map[string]map[uuid.UUID]int{}
		}
		numbers, ok := w.corrected[p.path()]
		if !ok {
			clear(w.corrected) // calls come in the order of their times: one file is enough
			numbers = map[uuid.UUID]int{}
			src, err := w.store.words(w.ctx, w.tx).openCorrections(p)
			if err != nil {
				return 0, err
			}
			for {
				c, err := src.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return 0, errors.Join(err, src.close())
				}
				numbers[c.Call] = max(numbers[c.Call], c.Number)
			}
			if err := src.close(); err != nil {
				return 0, err
			}
			w.corrected[p.path()] = numbers
		}
		n = max(n, numbers[e.Intent.ID])
	}
	return n, err
}
