package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
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
			c       = cost.Charges{Account: q.Account}
			numbers []int64
			stopped bool // by the consumer, who is not called again
		)
		r, into := &chargeRollup, func(k *splitNumbers, sum *chargeSum) []*int64 {
			return []*int64{&k.line, &sum.quantity, &sum.nano, &sum.calls, &sum.unrated, &sum.estimated, &sum.discount}
		}
		if q.Split {
			charge := into
			r, into = &splitRollup, func(k *splitNumbers, sum *chargeSum) []*int64 { return slices.Insert(charge(k, sum), 1, &k.party) }
		}
		err := eachBucket(ctx, s, q, r, (*chargeSum).add, into, func(tx *sql.Tx, start time.Time, keys []splitNumbers, sums []chargeSum) (bool, error) {
			resources, err := s.names.resourcesOf(ctx, tx)
			if err != nil {
				return false, err
			}
			numbers = numbers[:0]
			for _, k := range keys {
				numbers = append(numbers, k.line)
			}
			lines, err := s.names.findLines(ctx, tx, numbers)
			if err != nil {
				return false, err
			}
			var parties []*party
			if q.Split {
				for i, k := range keys {
					numbers[i] = k.party
				}
				if parties, err = s.names.findParties(ctx, tx, numbers); err != nil {
					return false, err
				}
			}
			c.Start = start
			for i, l := range lines {
				c.Region, c.Service, c.UsageType, c.Operation, c.Resource, c.Tags = l.region, l.service, l.usageType, l.operation, resources.get(l.resource), l.tags
				if q.Split {
					p := parties[i]
					c.Principal, c.PrincipalTags, c.Metadata = p.principal, p.tags, p.metadata
				}
				sum := &sums[i]
				c.Sum = cost.Sum{Nano: sum.nano, Discount: sum.discount, Charges: sum.calls, Unrated: sum.unrated, Estimated: sum.estimated}
				c.Count(c.UsageType, sum.quantity)
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
		c, stopped := cost.Calls{Account: q.Account}, false
		err := eachBucket(ctx, s, q, &callerRollup, (*callerSum).add, func(k *int64, sum *callerSum) []*int64 {
			return []*int64{k, &sum.calls, &sum.input, &sum.output, &sum.nano}
		}, func(tx *sql.Tx, start time.Time, keys []int64, sums []callerSum) (bool, error) {
			resources, err := s.names.resourcesOf(ctx, tx)
			if err != nil {
				return false, err
			}
			callers, err := s.names.findCallers(ctx, tx, keys)
			if err != nil {
				return false, err
			}
			c.Start = start
			for i, w := range callers {
				c.Principal, c.Resource = w.principal, resources.get(w.resource)
				c.Calls, c.Input, c.Output, c.Nano = sums[i].calls, sums[i].input, sums[i].output, sums[i].nano
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

// splitNumbers is what tells rows of charges apart in one period: 0 is the party of those that are not split.
type splitNumbers struct{ line, party int64 }

// eachBucket gives the sums of r in q to fn, bucket by bucket in the order of time, until it returns false: each key once in a
// bucket, whichever tables it comes from. It is one transaction. into says where a row's keys and sums go.
func eachBucket[K comparable, S any](ctx context.Context, s *Store, q cost.Query, r *rollup, add func(*S, *S), into func(*K, *S) []*int64,
	fn func(tx *sql.Tx, start time.Time, keys []K, sums []S) (more bool, err error),
) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written; the error of ending it says nothing

	parts, err := r.parts(ctx, tx, q)
	if err != nil {
		return err
	}
	// A bucket that is of one period has each key once; of several they are added up.
	var (
		keys   []K
		sums   []S
		at     map[K]int // in both
		bucket time.Time
		period stretch
	)
	flush := func() (more bool, err error) {
		more, err = fn(tx, bucket, keys, sums)
		keys, sums = keys[:0], sums[:0]
		clear(at)
		return more, err
	}
	for _, p := range parts {
		var (
			k      K
			sum    S
			number int64
		)
		// Scan takes a number into an any as it is; into an int64 it goes by reflection, which is a quarter of what a row costs.
		numbers := append([]*int64{&number}, into(&k, &sum)...)
		scan, values := make([]any, len(numbers)), make([]any, len(numbers))
		for i := range values {
			scan[i] = &values[i]
		}
		text := "SELECT " + p.grain.String() + ", " + strings.Join(append(slices.Clone(r.keys), r.sums...), ", ") + " FROM " + r.name + "_" + p.grain.String() +
			" WHERE account = $1 AND " + p.grain.String() + " >= $2 AND " + p.grain.String() + " < $3 ORDER BY " + p.grain.String()
		more, err := eachRow(ctx, tx, text, func(rows *sql.Rows) (bool, error) {
			if err := rows.Scan(scan...); err != nil {
				return false, err
			}
			for i, v := range values {
				n, ok := v.(int64)
				if !ok {
					return false, fmt.Errorf("%v in %s_%v is no number", v, r.name, p.grain)
				}
				*numbers[i] = n
			}
			if of := (stretch{p.grain, number, number + 1}); of != period {
				period = of
				start := q.Start
				if q.Bucket != cost.Whole {
					start = q.Bucket.Start(hour(p.grain.start(number)))
				}
				if len(keys) > 0 && !start.Equal(bucket) {
					if more, err := flush(); err != nil || !more {
						return false, err
					}
				}
				bucket = start
				if len(keys) > 0 && len(at) == 0 {
					if at == nil {
						at = make(map[K]int, 2*len(keys))
					}
					for i, k := range keys {
						at[k] = i
					}
				}
			}
			if len(at) > 0 {
				i, ok := at[k]
				if ok {
					add(&sums[i], &sum)
					return true, nil
				}
				at[k] = len(keys)
			}
			keys, sums = append(keys, k), append(sums, sum)
			return true, nil
		}, q.Account, p.from, p.to)
		if err != nil || !more {
			return err
		}
	}
	if len(keys) > 0 {
		_, err = flush()
	}
	return err
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
