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

// The sums are made by the engine, by every dimension at once: there are few combinations of them even when there are
// many calls. $4 is the hours of a bucket. Texts are joined to the sums, not to the rows; a sum whose
// texts are missing is an error of Scan, not money less.
const (
	selectCharges = `SELECT g.bucket, l.region, l.service, l.usage_type, l.operation, l.resource,
		COALESCE(r.name, ''), COALESCE(r.model_id, ''), l.tagset, t.tags, g.quantity, g.nano, g.charges, g.unrated, g.estimated, g.discount
	FROM (SELECT hour / $4 AS bucket, line,
			CAST(SUM(quantity) AS BIGINT) AS quantity, CAST(SUM(nano) AS BIGINT) AS nano, CAST(SUM(calls) AS BIGINT) AS charges,
			CAST(SUM(unrated) AS BIGINT) AS unrated, CAST(SUM(estimated) AS BIGINT) AS estimated, CAST(SUM(discount) AS BIGINT) AS discount
		FROM charge_hour WHERE account = $1 AND hour >= $2 AND hour < $3
		GROUP BY bucket, line) AS g
	LEFT JOIN charge_line AS l ON l.id = g.line
	LEFT JOIN resource AS r ON r.arn = l.resource
	LEFT JOIN tagset AS t ON t.id = l.tagset
	ORDER BY g.bucket`

	selectSplits = `SELECT g.bucket, l.region, l.service, l.usage_type, l.operation, l.resource,
		COALESCE(r.name, ''), COALESCE(r.model_id, ''), l.tagset, t.tags, g.quantity, g.nano, g.charges, g.unrated, g.estimated, g.discount,
		p.principal, p.tags, o.tags, p.metadata, m.tags
	FROM (SELECT hour / $4 AS bucket, line, party,
			CAST(SUM(quantity) AS BIGINT) AS quantity, CAST(SUM(nano) AS BIGINT) AS nano, CAST(SUM(calls) AS BIGINT) AS charges,
			CAST(SUM(unrated) AS BIGINT) AS unrated, CAST(SUM(estimated) AS BIGINT) AS estimated, CAST(SUM(discount) AS BIGINT) AS discount
		FROM split_hour WHERE account = $1 AND hour >= $2 AND hour < $3
		GROUP BY bucket, line, party) AS g
	LEFT JOIN charge_line AS l ON l.id = g.line
	LEFT JOIN resource AS r ON r.arn = l.resource
	LEFT JOIN tagset AS t ON t.id = l.tagset
	LEFT JOIN party AS p ON p.id = g.party
	LEFT JOIN tagset AS o ON o.id = p.tags
	LEFT JOIN tagset AS m ON m.id = p.metadata
	ORDER BY g.bucket, g.line, g.party`

	selectCalls = `SELECT g.bucket, c.principal, c.resource, COALESCE(r.name, ''), COALESCE(r.model_id, ''),
		g.calls, g.input, g.output, g.nano
	FROM (SELECT hour / $4 AS bucket, caller,
			CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(input) AS BIGINT) AS input,
			CAST(SUM(output) AS BIGINT) AS output, CAST(SUM(nano) AS BIGINT) AS nano
		FROM caller_hour WHERE account = $1 AND hour >= $2 AND hour < $3
		GROUP BY bucket, caller) AS g
	LEFT JOIN caller AS c ON c.id = g.caller
	LEFT JOIN resource AS r ON r.arn = c.resource
	ORDER BY g.bucket`

	chargeHours = `SELECT (SELECT MIN(hour) FROM charge_hour WHERE account = $1), (SELECT MAX(hour) FROM charge_hour WHERE account = $1)`
	callerHours = `SELECT (SELECT MIN(hour) FROM caller_hour WHERE account = $1), (SELECT MAX(hour) FROM caller_hour WHERE account = $1)`
)

// Charges implements cost.Rollups.
func (s *Store) Charges(ctx context.Context, q cost.Query) iter.Seq2[*cost.Charges, error] {
	return func(yield func(*cost.Charges, error) bool) {
		stopped := false // by the consumer, who is not called again
		text := selectCharges
		if q.Split {
			text = selectSplits
		}
		charges := newChargeScan(q.Account, q.Split)
		err := s.rollup(ctx, q, chargeHours, text, func(rows *sql.Rows, start func(int64) time.Time) (bool, error) {
			bucket, err := charges.scan(rows)
			if err != nil {
				return false, err
			}
			charges.charges.Start = start(bucket)
			stopped = !yield(&charges.charges, nil)
			return !stopped, nil
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read charges: %w", err))
		}
	}
}

// chargeScan reads the rows of selectCharges, or of selectSplits.
type chargeScan struct {
	charges cost.Charges // of the last row, without its Start
	bucket  int64
	amount  int64
	of      [3]int64 // numbers of tagset: the profile's, the principal's, the metadata's
	raw     [3]sql.RawBytes
	sets    []*[]ledger.Tag
	into    []any
	tags    tagsets
}

func newChargeScan(account string, split bool) *chargeScan {
	r := &chargeScan{charges: cost.Charges{Account: account}, tags: tagsets{}}
	c := &r.charges
	r.into = []any{&r.bucket, &c.Region, &c.Service, &c.UsageType, &c.Operation, &c.Resource.ARN, &c.Resource.Name, &c.Resource.ModelID,
		&r.of[0], &r.raw[0], &r.amount, &c.Nano, &c.Sum.Charges, &c.Unrated, &c.Estimated, &c.Discount}
	r.sets = []*[]ledger.Tag{&c.Tags}
	if split {
		r.into = append(r.into, &c.Principal, &r.of[1], &r.raw[1], &r.of[2], &r.raw[2])
		r.sets = append(r.sets, &c.PrincipalTags, &c.Metadata)
	}
	return r
}

func (r *chargeScan) scan(rows *sql.Rows) (bucket int64, err error) {
	if err := rows.Scan(r.into...); err != nil {
		return 0, err
	}
	r.charges.Count(r.charges.UsageType, r.amount)
	for i, set := range r.sets {
		if *set, err = r.tags.decode(r.of[i], r.raw[i]); err != nil {
			return 0, err
		}
	}
	return r.bucket, nil
}

// tagsets is the sets that one query has read, by number: each is decoded once.
type tagsets map[int64][]ledger.Tag

func (t tagsets) decode(id int64, text []byte) ([]ledger.Tag, error) {
	tags, ok := t[id]
	if !ok {
		var err error
		if tags, err = decodeTagset(text); err != nil {
			return nil, fmt.Errorf("tag set %d: %w", id, err)
		}
		t[id] = tags
	}
	return tags, nil
}

// Callers implements cost.Rollups.
func (s *Store) Callers(ctx context.Context, q cost.Query) iter.Seq2[*cost.Calls, error] {
	return func(yield func(*cost.Calls, error) bool) {
		var (
			c       = cost.Calls{Account: q.Account}
			bucket  int64
			stopped bool
		)
		err := s.rollup(ctx, q, callerHours, selectCalls, func(rows *sql.Rows, start func(int64) time.Time) (bool, error) {
			err := rows.Scan(&bucket, &c.Principal, &c.Resource.ARN, &c.Resource.Name, &c.Resource.ModelID, &c.Calls, &c.Input, &c.Output, &c.Nano)
			if err != nil {
				return false, err
			}
			c.Start = start(bucket)
			stopped = !yield(&c, nil)
			return !stopped, nil
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read callers: %w", err))
		}
	}
}

// whole is more hours than there are: all of a span is in one bucket.
const whole = 1 << 40

// rollup runs text over the time of q, in one transaction, and gives each row to scan with a function that turns the
// row's bucket into its start; it ends when scan returns false. Hours and days are arithmetic on the hour's number.
// Months are not: they are read one after the other, from the first that has rows to the last.
func (s *Store) rollup(ctx context.Context, q cost.Query, extent, text string, scan func(*sql.Rows, func(int64) time.Time) (bool, error)) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written; the error of ending it says nothing

	var first, last sql.NullInt64
	if err := tx.QueryRowContext(ctx, extent, q.Account).Scan(&first, &last); err != nil {
		return err
	}
	if !first.Valid {
		return nil
	}
	from := max(hours(q.Start), first.Int64)
	to := min(hours(q.End), last.Int64+1)
	size := int64(whole)
	start := func(int64) time.Time { return q.Start }
	switch q.Bucket {
	case cost.Hour:
		size, start = 1, hour
	case cost.Day:
		size, start = 24, func(n int64) time.Time { return hour(n * 24) }
	}
	for from < to {
		end := to
		if q.Bucket == cost.Month {
			month := q.Bucket.Start(hour(from))
			start = func(int64) time.Time { return month }
			end = min(to, hours(q.Bucket.Next(month)))
		}
		more, err := eachRow(ctx, tx, text, func(rows *sql.Rows) (bool, error) { return scan(rows, start) }, q.Account, from, end, size)
		if err != nil || !more {
			return err
		}
		from = end
	}
	return nil
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
