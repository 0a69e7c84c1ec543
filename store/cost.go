package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/cost"
	"outcrop/ledger"
)

var (
	_ cost.Rollups     = (*Store)(nil)
	_ cost.Allocations = (*Store)(nil)
)

// Charges implements cost.Rollups.
func (s *Store) Charges(ctx context.Context, q cost.Query) iter.Seq2[*cost.Charges, error] {
	return func(yield func(*cost.Charges, error) bool) {
		var (
			c         = cost.Charges{Account: q.Account}
			resources *resourceNames
			last      *line
			stopped   bool // by the consumer, who is not called again
		)
		r := chargeRollup
		if q.Split {
			r = splitRollup
		}
		if q.AmountsOnly {
			r.sums = r.sums[:3]
		}
		err := s.eachSums(ctx, q, &r, func(tx *sql.Tx, start time.Time, rows *sumRows) (bool, error) {
			if resources == nil {
				var err error
				if resources, err = s.names.resourcesOf(ctx, tx); err != nil {
					return false, err
				}
			}
			lines, err := s.names.findLines(ctx, tx, rows.column(0))
			if err != nil {
				return false, err
			}
			var parties []*party
			if q.Split {
				if parties, err = s.names.findParties(ctx, tx, rows.column(1)); err != nil {
					return false, err
				}
			}
			c.Start = start
			for i, l := range lines {
				if l != last { // rows of a line come together
					c.Region, c.Service, c.UsageType, c.Operation, c.Resource, c.Tags = l.region, l.service, l.usageType, l.operation, resources.get(l.resource), l.tags
					last = l
				}
				if q.Split {
					p := parties[i]
					c.Principal, c.PrincipalTags, c.Metadata = p.principal, p.tags, p.metadata
				}
				sum := rows.sums(i)
				c.Sum = cost.Sum{Nano: sum[1], Charges: sum[2]}
				if !q.AmountsOnly {
					c.Unrated, c.Estimated, c.Discount = sum[3], sum[4], sum[5]
				}
				c.Count(l.unit, sum[0])
				if stopped = !yield(&c, nil); stopped {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read charges: %w", err))
		}
	}
}

// Callers implements cost.Rollups.
func (s *Store) Callers(ctx context.Context, q cost.Query) iter.Seq2[*cost.Calls, error] {
	return func(yield func(*cost.Calls, error) bool) {
		var (
			c         = cost.Calls{Account: q.Account}
			resources *resourceNames
			stopped   bool
		)
		err := s.eachSums(ctx, q, &callerRollup, func(tx *sql.Tx, start time.Time, rows *sumRows) (bool, error) {
			if resources == nil {
				var err error
				if resources, err = s.names.resourcesOf(ctx, tx); err != nil {
					return false, err
				}
			}
			callers, err := s.names.findCallers(ctx, tx, rows.column(0))
			if err != nil {
				return false, err
			}
			c.Start = start
			for i, w := range callers {
				sum := rows.sums(i)
				c.Principal, c.Resource = w.principal, resources.get(w.resource)
				c.Calls, c.Input, c.Output, c.Nano = sum[0], sum[1], sum[2], sum[3]
				if stopped = !yield(&c, nil); stopped {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read callers: %w", err))
		}
	}
}

// parts are the rows of r that q is the sum of.
func (r *rollup) parts(ctx context.Context, tx *sql.Tx, q cost.Query) ([]stretch, error) {
	var first, last, rolled sql.NullInt64
	table := r.name + "_hour"
	if err := tx.QueryRowContext(ctx, `SELECT (SELECT MIN(hour) FROM `+table+` WHERE account = $1), (SELECT MAX(hour) FROM `+table+` WHERE account = $1),
		(SELECT hour FROM rolled WHERE account = $1)`, q.Account).Scan(&first, &last, &rolled); err != nil || !first.Valid {
		return nil, err
	}
	widest := byMonth
	switch q.Bucket {
	case cost.Hour:
		widest = byHour
	case cost.Day:
		widest = byDay
	}
	// There is nothing before the first hour and behind the last one, so a period that one of them is in may be had whole.
	from, to := max(hours(q.Start), widest.start(widest.of(first.Int64))), min(hours(q.End), max(last.Int64+1, rolled.Int64))
	return cover(from, to, rolled.Int64, widest), nil
}

// eachRow gives the rows of a query to fn until there are no more or fn returns false.
func eachRow(ctx context.Context, tx *sql.Tx, text string, fn func(*sql.Rows) (bool, error), args ...any) (more bool, err error) {
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if more, err := fn(rows); err != nil || !more {
			return false, err
		}
	}
	return true, rows.Err()
}

// hour is the start of the hour with number n, hours the number of the hour that t is in: they count from 1970.
func hour(n int64) time.Time { return time.Unix(n*3600, 0).UTC() }

func hours(t time.Time) int64 { return t.Unix() / 3600 }

// decodeTagset reads what appendTags wrote: [["key","value"],...] sorted by key.
func decodeTagset(raw []byte) ([]ledger.Tag, error) {
	var pairs [][2]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, err
	}
	tags := make([]ledger.Tag, len(pairs))
	for i, p := range pairs {
		tags[i] = ledger.Tag{Key: p[0], Value: p[1]}
	}
	return tags, nil
}
