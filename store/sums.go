package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"outcrop/cost"
)

// sumRows is some rows of a rollup, one behind the other: of each the number of its period, its keys, and its sums.
type sumRows struct {
	grain   grain
	keys    int // of a row
	width   int // of a row, in numbers
	numbers []int64
	scratch []int64
}

// column returns a key of each row. It is overwritten by the next one.
func (r *sumRows) column(key int) []int64 {
	r.scratch = r.scratch[:0]
	for at := 1 + key; at < len(r.numbers); at += r.width {
		r.scratch = append(r.scratch, r.numbers[at])
	}
	return r.scratch
}

// sums returns the sums of row i.
func (r *sumRows) sums(i int) []int64 { return r.numbers[i*r.width+1+r.keys : (i+1)*r.width] }

// The rows of a report are read while those before them are added up: readAhead pieces of pieceRows each.
const (
	readAhead = 3
	pieceRows = 256
)

// eachSums gives the sums of r in q to fn, some at a time, each time of one bucket and those in the order of time, until it
// returns false. It is one transaction: fn may read in it what the rows refer to. A key comes more than once in a bucket
// that is of several periods.
func (s *Store) eachSums(ctx context.Context, q cost.Query, r *rollup, fn func(tx *sql.Tx, start time.Time, rows *sumRows) (more bool, err error)) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // of a pool: nothing of it fails here that has not failed before
	// A transaction that ends with ctx ends behind the back of who reads in it: it ends here, when nobody does any more.
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written; the error of ending it says nothing

	parts, err := r.parts(ctx, tx, q)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	read, free := make(chan *sumRows), make(chan *sumRows, readAhead)
	for range readAhead {
		free <- &sumRows{keys: len(r.keys), width: 1 + len(r.keys) + len(r.sums)}
	}
	var failed error // of the reader, when read is closed
	go func() {
		defer close(read)
		for _, p := range parts {
			if failed = r.readInto(ctx, conn, q, p, free, read); failed != nil {
				return
			}
		}
	}()
	defer func() {
		stop()
		for range read { // until the reader has ended
		}
	}()
	for rows := range read {
		all := rows.numbers
		for rest := all; len(rest) > 0; rest = rest[len(rows.numbers):] {
			// Those of the first one's bucket, as far as they go.
			start, n := rows.bucket(&q, rest[0]), rows.width
			for n < len(rest) && (rest[n] == rest[n-rows.width] || rows.bucket(&q, rest[n]).Equal(start)) {
				n += rows.width
			}
			rows.numbers = rest[:n]
			if more, err := fn(tx, start, rows); err != nil || !more {
				return err
			}
		}
		rows.numbers = all[:0]
		free <- rows
	}
	return failed
}

// bucket returns the start of the bucket that a period is in.
func (r *sumRows) bucket(q *cost.Query, period int64) time.Time {
	if q.Bucket == cost.Whole {
		return q.Start
	}
	return q.Bucket.Start(hour(r.grain.start(period)))
}

// readInto reads the rows of one part. It fills those of free and sends them to into, until ctx ends.
//
// It reads from the driver itself: the locks, conversions and copies of database/sql are half again what a row costs. The
// connection is held for one piece at a time, so that names can be read between them.
func (r *rollup) readInto(ctx context.Context, conn *sql.Conn, q cost.Query, p stretch, free <-chan *sumRows, into chan<- *sumRows) (err error) {
	columns := slices.Concat(r.keys, r.sums)
	dated := q.Bucket != cost.Whole && p.to-p.from > 1 // otherwise the period of each row is known, or does not matter
	if dated {
		columns = slices.Insert(columns, 0, p.grain.String())
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + r.name + "_" + p.grain.String() +
		" WHERE account = $1 AND " + p.grain.String() + " >= $2 AND " + p.grain.String() + " < $3 ORDER BY " + p.grain.String()
	var rows driver.Rows
	query := func(c any) (err error) {
		d, ok := c.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("%T cannot be asked", c)
		}
		rows, err = d.QueryContext(context.WithoutCancel(ctx), text, []driver.NamedValue{{Ordinal: 1, Value: q.Account}, {Ordinal: 2, Value: p.from}, {Ordinal: 3, Value: p.to}})
		return err
	}
	if err := conn.Raw(query); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Raw(func(any) error { return rows.Close() })) }()
	row := make([]driver.Value, len(columns))
	for more := true; more; {
		var piece *sumRows
		select {
		case piece = <-free:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		piece.grain = p.grain
		if err := conn.Raw(func(any) error {
			for range pieceRows {
				if err := rows.Next(row); errors.Is(err, io.EOF) {
					more = false
					return nil
				} else if err != nil {
					return err
				}
				if !dated {
					piece.numbers = append(piece.numbers, p.from)
				}
				for i, v := range row {
					n, ok := v.(int64)
					if !ok {
						return fmt.Errorf("%v in %s of %s_%s is no number", v, columns[i], r.name, p.grain)
					}
					piece.numbers = append(piece.numbers, n)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		select {
		case into <- piece:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
