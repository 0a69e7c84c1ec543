// Package export writes what calls cost as files that other tools read: in FOCUS, the FinOps Foundation's format for the bills
// of any provider, and in the form of AWS's Cost and Usage Report 2.0, as Parquet or CSV, into a folder or a bucket.
//
// An export has one file for each day of a billing period that has charges, and a manifest that lists them, laid out as AWS
// Data Exports lays out its own:
//
//	NAME/data/BILLING_PERIOD=2026-11/NAME-00024.snappy.parquet       of 24 November
//	NAME/metadata/BILLING_PERIOD=2026-11/NAME-Manifest.json
//
// The same ledger gives the same bytes. A file that has changed takes the place of the old one at once, and the manifest comes
// last. Files never share a day: whoever reads a period while it is replaced reads every charge once. See
// docs/decisions/0008-exports.md.
package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"regexp"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
)

// Format is what the columns are.
type Format string

// The formats.
const (
	Focus Format = "focus" // FOCUS 1.2
	CUR   Format = "cur"   // AWS's Cost and Usage Report 2.0
)

// Output is how rows are written.
type Output string

// The outputs.
const (
	Parquet Output = "parquet" // compressed with Snappy
	CSV     Output = "csv"     // compressed with gzip
)

// Export says what is written. Its zero value is not valid: see Check.
type Export struct {
	Name    string // of the export's folder, and what its files' names begin with
	Format  Format
	Output  Output
	Account string // 12 digits: whose costs
	Daily   bool   // a row is of a day, not of an hour
}

var exportName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.-]{0,127}$`)

// Check finds what cannot be meant.
func (e *Export) Check() error {
	switch {
	case !exportName.MatchString(e.Name):
		return fmt.Errorf("name: %q is not of up to 128 letters, digits, and _ . - behind the first", e.Name)
	case e.Format != Focus && e.Format != CUR:
		return fmt.Errorf("format: %q is neither focus nor cur", e.Format)
	case e.Output != Parquet && e.Output != CSV:
		return fmt.Errorf("output: %q is neither parquet nor csv", e.Output)
	}
	return nil
}

// ParsePeriod reads a billing period, which is a month in UTC: "2026-11".
func ParsePeriod(s string) (time.Time, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a month, as 2026-11", s)
	}
	return t, nil
}

// Ledger is where the rows come from. Package store's is.
type Ledger interface {
	cost.Invoices
	TagStatuses(ctx context.Context, account string) ([]cost.TagStatus, error)
}

// Result is what one export of one period came to.
type Result struct {
	Manifest string // where it is
	Files    int
	Written  int   // of Files, those that were not there already
	Rows     int64 // of all files
	Nano     int64 // nano-USD, of all rows
}

// Write exports the billing period that begins at period to a target. All rows are of one moment, which is at now. Files that are
// there already, as the manifest says they should be, are left as they are.
func (e *Export) Write(ctx context.Context, from Ledger, cat *catalog.Catalog, period, now time.Time, to Target) (*Result, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	period = cost.Month.Start(period)
	old, err := e.readManifest(ctx, period, to)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "outcrop-export-")
	if err != nil {
		return nil, err
	}
	r, err := e.write(ctx, from, cat, period, now, to, old, scratch)
	return r, errors.Join(err, os.RemoveAll(scratch))
}

func (e *Export) write(ctx context.Context, from Ledger, cat *catalog.Catalog, period, now time.Time, to Target, old *manifest, scratch string) (*Result, error) {
	statuses, err := from.TagStatuses(ctx, e.Account)
	if err != nil {
		return nil, err
	}
	// All of it is read before any of it is sent: a database should not have to remember its past for as long as a network takes.
	m := e.manifest(period, now)
	files, err := e.encode(ctx, from, newRows(cat, period, e.Daily, cost.Inactive(statuses)), period, old, scratch)
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: to.URI(e.manifestKey(period))}
	for i := range files {
		f := &files[i]
		m.add(f, to)
		r.Files++
		r.Rows += f.Rows
		r.Nano += f.nano
		if old.has(f) {
			if size, err := to.Size(ctx, f.Key); err != nil {
				return nil, err
			} else if size == f.Bytes {
				continue
			}
		}
		if err := put(ctx, to, f.Key, f.path); err != nil {
			return nil, err
		}
		r.Written++
	}
	text, err := m.encode()
	if err != nil {
		return nil, err
	}
	if old.same(m) {
		return r, nil
	}
	name := scratch + "/manifest"
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return nil, err
	}
	return r, put(ctx, to, e.manifestKey(period), name)
}

func put(ctx context.Context, to Target, key, name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := to.Put(ctx, key, f); err != nil {
		return fmt.Errorf("write %s: %w", to.URI(key), err)
	}
	return nil
}

// file is one file of an export, as it lies in the scratch folder and as the manifest tells of it.
type file struct {
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"`

	day  int
	nano int64
	path string
}

// encoder writes rows in one of the outputs.
type encoder interface {
	write(*row) error
	close() error
}

// encode writes the period's files into scratch. Days of which old has a file and that have no rows any more have one without rows.
func (e *Export) encode(ctx context.Context, from Ledger, rows *rows, period time.Time, old *manifest, scratch string) ([]file, error) {
	var (
		files []file
		open  *writing
		next  = 1 // the first day that is not written
	)
	begin := func(day int) (err error) {
		open, err = e.begin(period, day, scratch)
		return err
	}
	end := func() error {
		f, err := open.end()
		open = nil
		if err == nil {
			files = append(files, f)
		}
		return err
	}
	// until writes empty files for the days before day that need one.
	until := func(day int) error {
		for ; next < day; next++ {
			if old.hasDay(e.dataKey(period, next)) {
				if err := errors.Join(begin(next)); err != nil {
					return err
				}
				if err := end(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	q := cost.Query{Account: e.Account, Start: period, End: cost.Month.Next(period), Bucket: cost.Hour, Split: true}
	if e.Daily {
		q.Bucket = cost.Day
	}
	err := func() error {
		for c, err := range e.invoice(ctx, from, q) {
			if err != nil {
				return err
			}
			if day := c.Start.Day(); open == nil || open.file.day != day {
				if open != nil {
					if err := end(); err != nil {
						return err
					}
				}
				if err := until(day); err != nil {
					return err
				}
				if err := begin(day); err != nil {
					return err
				}
				next = day + 1
			}
			if err := open.add(rows.row(c)); err != nil {
				return err
			}
		}
		if open != nil {
			if err := end(); err != nil {
				return err
			}
		}
		return until(32)
	}()
	if open != nil { // its file is not wanted any more
		_, closed := open.end()
		err = errors.Join(err, closed)
	}
	return files, err
}

// invoice is the rows of q. FOCUS tells corrections of what was billed before apart; AWS's report is written anew with them in it.
func (e *Export) invoice(ctx context.Context, from Ledger, q cost.Query) iter.Seq2[*cost.Charges, error] {
	return from.Invoice(ctx, q, e.Format == Focus)
}

// writing is a file that is being written.
type writing struct {
	file    file
	to      *os.File
	sum     *counter
	encoder encoder
}

func (e *Export) begin(period time.Time, day int, scratch string) (*writing, error) {
	w := &writing{file: file{Key: e.dataKey(period, day), day: day, path: fmt.Sprintf("%s/%02d", scratch, day)}}
	var err error
	if w.to, err = os.OpenFile(w.file.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	hash := sha256.New()
	w.sum = &counter{to: io.MultiWriter(w.to, hash)}
	w.sum.digest = func() string { return hex.EncodeToString(hash.Sum(nil)) }
	if e.Output == Parquet {
		w.encoder = newParquet(w.sum, e.columns(), e.Format)
	} else if w.encoder, err = newCSV(w.sum, e.columns()); err != nil {
		return nil, errors.Join(err, w.to.Close())
	}
	return w, nil
}

func (w *writing) add(r *row) error {
	w.file.Rows++
	w.file.nano += r.Nano
	return w.encoder.write(r)
}

func (w *writing) end() (file, error) {
	err := w.encoder.close()
	w.file.Bytes, w.file.SHA256 = w.sum.n, w.sum.digest()
	return w.file, errors.Join(err, w.to.Close())
}

// counter counts what it passes on.
type counter struct {
	to     io.Writer
	n      int64
	digest func() string
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

func (e *Export) columns() []column {
	if e.Format == CUR {
		return curColumns
	}
	return focusColumns
}

// partition is the name that AWS gives the folders of a billing period. Athena and DuckDB make a column of it.
func partition(period time.Time) string { return "BILLING_PERIOD=" + period.Format("2006-01") }

func (e *Export) dataKey(period time.Time, day int) string {
	suffix := ".snappy.parquet"
	if e.Output == CSV {
		suffix = ".csv.gz"
	}
	return path.Join(e.Name, "data", partition(period), fmt.Sprintf("%s-%05d%s", e.Name, day, suffix))
}

func (e *Export) manifestKey(period time.Time) string {
	return path.Join(e.Name, "metadata", partition(period), e.Name+"-Manifest.json")
}
