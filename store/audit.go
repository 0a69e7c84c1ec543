package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"outcrop/audit"
)

var _ audit.Store = (*Store)(nil)

// auditIndex is what AppendEvents keeps between batches.
type auditIndex struct {
	mu                        sync.Mutex // one AppendEvents at a time
	prepared                  bool
	insertRecords, insertKeys inserter
}

func (x *auditIndex) prepare(ctx context.Context, db *sql.DB) (err error) {
	if x.prepared {
		return nil
	}
	if x.insertRecords, err = prepareInsert(ctx, db, "audit_record", "seq, time, account, region, event, hash", ""); err != nil {
		return err
	}
	x.insertKeys, err = prepareInsert(ctx, db, "audit_key", "account, region, attribute, value, time, seq", "")
	x.prepared = err == nil
	return err
}

// AppendEvents implements audit.Store.
func (s *Store) AppendEvents(ctx context.Context, link func(*audit.Head) ([]audit.Record, *audit.Head, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A statement that can be cancelled costs a goroutine; a batch is bounded anyway.
	ctx = context.WithoutCancel(ctx)
	x := &s.audit
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		was, err := auditHead(ctx, tx)
		if err != nil {
			return err
		}
		records, h, err := link(was)
		if err != nil {
			return err
		}
		var rows, keys []any
		for i := range records {
			r := &records[i]
			rows = append(rows, r.Seq, r.Time.Unix(), r.Account, r.Region, string(r.Event), r.Hash[:])
			for _, k := range r.Keys {
				keys = append(keys, r.Account, r.Region, k.Attribute, k.Value, r.Time.Unix(), r.Seq)
			}
		}
		if err := x.insertRecords.all(ctx, tx, rows, 6); err != nil {
			return err
		}
		if err := x.insertKeys.all(ctx, tx, keys, 6); err != nil {
			return err
		}
		return putAuditHead(ctx, tx, h)
	})
}

// all inserts rows of so many values each.
func (ins *inserter) all(ctx context.Context, tx *sql.Tx, values []any, width int) error {
	for len(values) > 0 {
		n := ins.size(len(values) / width)
		if _, err := ins.exec(ctx, tx, n, values[:n*width]); err != nil {
			return err
		}
		values = values[n*width:]
	}
	return nil
}

// DropEvents implements audit.Store.
func (s *Store) DropEvents(ctx context.Context, limit int, choose func(*audit.Head, []audit.Record) (int, *audit.Head, error)) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		was, err := auditHead(ctx, tx)
		if err != nil {
			return err
		}
		oldest, err := auditRecords(ctx, tx, `SELECT seq, time, account, region, event, hash FROM audit_record ORDER BY seq LIMIT $1`, limit)
		if err != nil {
			return err
		}
		n, h, err := choose(was, oldest)
		if err != nil || h == nil {
			return err
		}
		for i := range oldest[:n] {
			r := &oldest[i]
			if _, err := tx.ExecContext(ctx, `DELETE FROM audit_record WHERE seq = $1`, r.Seq); err != nil {
				return err
			}
			for _, k := range r.Keys {
				if _, err := tx.ExecContext(ctx, `DELETE FROM audit_key WHERE account = $1 AND region = $2 AND attribute = $3 AND value = $4 AND time = $5 AND seq = $6`,
					r.Account, r.Region, k.Attribute, k.Value, r.Time.Unix(), r.Seq); err != nil {
					return err
				}
			}
		}
		return putAuditHead(ctx, tx, h)
	})
}

// LookupEvents implements audit.Store.
func (s *Store) LookupEvents(ctx context.Context, q audit.Query) ([]audit.Record, error) {
	var where strings.Builder
	args := []any{q.Account, q.Region}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	// f is what is searched: the index of times, or of keys.
	from := "audit_record AS r"
	f := "r"
	if q.Key != nil {
		from, f = "audit_key AS k JOIN audit_record AS r ON r.seq = k.seq", "k"
		where.WriteString(" AND k.attribute = " + arg(q.Key.Attribute) + " AND k.value = " + arg(q.Key.Value))
	}
	if !q.From.IsZero() {
		where.WriteString(" AND " + f + ".time >= " + arg(q.From.Unix()))
	}
	if !q.To.IsZero() {
		where.WriteString(" AND " + f + ".time <= " + arg(q.To.Unix()))
	}
	if q.After != nil {
		where.WriteString(" AND (" + f + ".time, " + f + ".seq) < (" + arg(q.After.Time.Unix()) + ", " + arg(q.After.Seq) + ")")
	}
	query := "SELECT r.seq, r.time, r.account, r.region, r.event, r.hash FROM " + from +
		" WHERE " + f + ".account = $1 AND " + f + ".region = $2" + where.String() + " ORDER BY " + f + ".time DESC, " + f + ".seq DESC LIMIT " + arg(q.Limit)
	return auditRecords(ctx, s.read, query, args...)
}

// auditPage is how many records are read at once.
const auditPage = 200

// ReadEvents gives read everything that is recorded, as of one moment.
func (s *Store) ReadEvents(ctx context.Context, read func(*audit.Trail) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	t, err := auditTrail(ctx, tx)
	if err != nil {
		return err
	}
	return read(t)
}

// RestartEvents implements audit.Restarter.
func (s *Store) RestartEvents(ctx context.Context, restart func(*audit.Trail) (*audit.Record, *audit.Head, error)) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		t, err := auditTrail(ctx, tx)
		if err != nil {
			return err
		}
		r, h, err := restart(t)
		if err != nil {
			return err
		}
		for _, all := range []string{`DELETE FROM audit_key`, `DELETE FROM audit_record`, `DELETE FROM audit_head`} {
			if _, err := tx.ExecContext(ctx, all); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_record (seq, time, account, region, event, hash) VALUES ($1, $2, $3, $4, $5, $6)`,
			r.Seq, r.Time.Unix(), r.Account, r.Region, string(r.Event), r.Hash[:]); err != nil {
			return err
		}
		for _, k := range r.Keys {
			if _, err := tx.ExecContext(ctx, `INSERT INTO audit_key (account, region, attribute, value, time, seq) VALUES ($1, $2, $3, $4, $5, $6)`,
				r.Account, r.Region, k.Attribute, k.Value, r.Time.Unix(), r.Seq); err != nil {
				return err
			}
		}
		return putAuditHead(ctx, tx, h)
	})
}

// auditTrail is everything that is recorded, as tx sees it. However it was altered, it can be read.
func auditTrail(ctx context.Context, tx *sql.Tx) (*audit.Trail, error) {
	t := &audit.Trail{}
	var err error
	if t.Head, err = auditHead(ctx, tx); err != nil {
		return nil, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_key`).Scan(&t.Keys); err != nil {
		return nil, err
	}
	t.Records = func(yield func(*audit.Record, error) bool) {
		const columns = `SELECT seq, CAST(time AS BIGINT), account, region, event, hash FROM audit_record`
		page, err := auditRecords(ctx, tx, columns+` ORDER BY seq LIMIT $1`, auditPage) // from whatever number, if somebody changed it
		for {
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if len(page) < auditPage {
				return
			}
			page, err = auditRecords(ctx, tx, columns+` WHERE seq > $2 ORDER BY seq LIMIT $1`, auditPage, page[len(page)-1].Seq)
		}
	}
	t.Indexed = func(r *audit.Record) (int, error) {
		found := 0
		for _, k := range r.Keys {
			var n int
			err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_key WHERE account = $1 AND region = $2 AND attribute = $3 AND value = $4 AND time = $5 AND seq = $6`,
				r.Account, r.Region, k.Attribute, k.Value, r.Time.Unix(), r.Seq).Scan(&n)
			if err != nil {
				return 0, err
			}
			found += n
		}
		return found, nil
	}
	return t, nil
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func auditRecords(ctx context.Context, q queryer, query string, args ...any) ([]audit.Record, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []audit.Record
	for rows.Next() {
		var r audit.Record
		var at int64
		var hash sql.RawBytes
		if err := rows.Scan(&r.Seq, &at, &r.Account, &r.Region, &r.Event, &hash); err != nil {
			return nil, err
		}
		r.Time = time.Unix(at, 0).UTC()
		copy(r.Hash[:], hash) // of another length it is not the hash of anything
		out = append(out, r)
	}
	return out, rows.Err()
}

// auditHead returns nil where there is none. What is no number or no hash makes another head than the one that was sealed.
func auditHead(ctx context.Context, tx *sql.Tx) (*audit.Head, error) {
	h := &audit.Head{}
	var before, hash []byte
	err := tx.QueryRowContext(ctx, `SELECT CAST(first AS BIGINT), before, CAST(last AS BIGINT), hash, seal FROM audit_head WHERE id = 1`).Scan(&h.First, &before, &h.Last, &hash, &h.Seal)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	copy(h.Before[:], before)
	copy(h.Hash[:], hash)
	return h, nil
}

func putAuditHead(ctx context.Context, tx *sql.Tx, h *audit.Head) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_head (id, first, before, last, hash, seal) VALUES (1, $1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET first = excluded.first, before = excluded.before, last = excluded.last, hash = excluded.hash, seal = excluded.seal`,
		h.First, h.Before[:], h.Last, h.Hash[:], h.Seal)
	return err
}
