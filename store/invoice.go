package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"outcrop/cost"
	"outcrop/ledger"
)

var _ cost.Invoices = (*Store)(nil)

// selectParts is what was charged in the hours from $2 to before $3, by buckets of $4 hours and by party, in an order that stays. Texts are joined
// to the sums, not to the rows; a sum whose texts are missing is an error of Scan, not money less.
const selectParts = `SELECT g.bucket, l.region, l.service, l.usage_type, l.operation, l.resource,
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

// Invoice implements cost.Invoices. It goes day by day, so that what the engine has to sort and what is in memory of corrections is
// of one day.
func (s *Store) Invoice(ctx context.Context, q cost.Query, corrections bool) iter.Seq2[*cost.Charges, error] {
	return func(yield func(*cost.Charges, error) bool) {
		stopped := false
		err := s.invoice(ctx, q, corrections, func(c *cost.Charges) bool {
			stopped = !yield(c, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read what there is to bill: %w", err))
		}
	}
}

func (s *Store) invoice(ctx context.Context, q cost.Query, corrections bool, yield func(*cost.Charges) bool) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	size := int64(1)
	if q.Bucket == cost.Day {
		size = 24
	}
	scan := newChargeScan(q.Account)
	var late *lateCorrections
	for from := q.Start; from.Before(q.End); {
		end := cost.Day.Next(from)
		if end.After(q.End) {
			end = q.End
		}
		if corrections {
			if late, err = s.readLate(ctx, tx, q.Account, from, end, q.Bucket); err != nil {
				return err
			}
		}
		more, err := eachRow(ctx, tx, selectParts, func(rows *sql.Rows) (bool, error) {
			bucket, err := scan.scan(rows)
			if err != nil {
				return false, err
			}
			c := &scan.charges
			c.Start = hour(bucket * size)
			late.takeOut(c)
			return none(c.Sum) || yield(c), nil
		}, q.Account, hours(from), hours(end), size)
		if err != nil || !more || !late.each(yield) {
			return err
		}
		from = end
	}
	return nil
}

// none reports whether s has no figures.
func none(s cost.Sum) bool {
	s.Unit = ""
	return s == cost.Sum{}
}

// chargeScan reads the rows of selectParts.
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

func newChargeScan(account string) *chargeScan {
	r := &chargeScan{charges: cost.Charges{Account: account}, tags: tagsets{}}
	c := &r.charges
	r.into = []any{&r.bucket, &c.Region, &c.Service, &c.UsageType, &c.Operation, &c.Resource.ARN, &c.Resource.Name, &c.Resource.ModelID,
		&r.of[0], &r.raw[0], &r.amount, &c.Nano, &c.Sum.Charges, &c.Unrated, &c.Estimated, &c.Discount,
		&c.Principal, &r.of[1], &r.raw[1], &r.of[2], &r.raw[2]}
	r.sets = []*[]ledger.Tag{&c.Tags, &c.PrincipalTags, &c.Metadata}
	return r
}

func (r *chargeScan) scan(rows *sql.Rows) (bucket int64, err error) {
	if err := rows.Scan(r.into...); err != nil {
		return 0, err
	}
	r.charges.Count(cost.Unit(r.charges.UsageType), r.amount)
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

// lateCorrections is what was corrected of the calls of a day after their month was over. Nil is nothing.
type lateCorrections struct {
	sums map[partKey]*lateSum
	keys []partKey // sorted
}

type lateSum struct {
	chargeSum              // by how much it was corrected
	charges   cost.Charges // whose
	seen      bool         // there is a row of it
}

// anyLate finds whether there may be corrections since $4 of what began from $2 to before $3, the hours from $5 to before $6, and day $7: of
// calls, here or in the archive, or an operator's of a whole period.
const anyLate = `SELECT EXISTS (SELECT 1 FROM correction WHERE account = $1 AND began >= $2 AND began < $3 AND made >= $4)
	OR EXISTS (SELECT 1 FROM archive WHERE account = $1 AND kind = '` + correctionsKind + `' AND day = $7 AND made >= $4)
	OR EXISTS (SELECT 1 FROM charge_hour AS h JOIN charge_line AS l ON l.id = h.line
		WHERE h.account = $1 AND h.hour >= $5 AND h.hour < $6 AND l.usage_type LIKE '%' || $8)`

// readLate reads what was corrected of the calls from start to end, which are of one day, after their month, added up by bucket.
func (s *Store) readLate(ctx context.Context, tx *sql.Tx, account string, start, end time.Time, by cost.Bucket) (*lateCorrections, error) {
	closed := cost.Month.Next(start)
	var any bool
	if err := tx.QueryRowContext(ctx, anyLate, account, start.UnixMicro(), end.UnixMicro(), closed.UnixMicro(), hours(start), hours(end), byDay.of(hours(start)),
		cost.OperatorCorrection).Scan(&any); err != nil || !any {
		return nil, err
	}
	known, err := readMetadataValues(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	late := &lateCorrections{sums: map[partKey]*lateSum{}}
	if _, err := s.words(ctx, tx).eachCall(span{account, start.UnixMicro(), end.UnixMicro()}, func(e *ledger.Entry) (bool, error) {
		var before []ledger.Charge // nothing, of an operator's correction that came late
		switch {
		case e.Status == ledger.Adjusted && !e.Settlement.Time.Before(closed):
		case len(e.Corrections) == 0 || e.Corrections[len(e.Corrections)-1].Time.Before(closed):
			return true, nil
		default:
			var err error
			if before, err = e.ChargesAt(closed); err != nil {
				return false, err
			}
		}
		late.add(e, e.Charges, by, known, 1)
		late.add(e, before, by, known, -1)
		return true, nil
	}); err != nil {
		return nil, err
	}
	maps.DeleteFunc(late.sums, func(_ partKey, s *lateSum) bool { return s.chargeSum == chargeSum{} })
	late.keys = slices.SortedFunc(maps.Keys(late.sums), partKey.compare)
	return late, nil
}

// add adds charges of e, times sign.
func (l *lateCorrections) add(e *ledger.Entry, charges []ledger.Charge, by cost.Bucket, known vocabularies, sign int64) {
	of := *e
	of.Charges = charges
	c := cost.Charges{
		Start: by.Start(e.Intent.Time), Account: e.Account, Region: e.Region, Service: e.Service, Operation: e.Operation,
		Resource: cost.Resource{ARN: e.ResourceARN, Name: e.ResourceName, ModelID: e.ModelID}, Tags: e.Tags,
		Principal: e.Principal, PrincipalTags: e.PrincipalTags, Metadata: known.fold(e.Account, e.Metadata),
	}
	var keys []partKey
	for i := range charges {
		c.UsageType = charges[i].UsageType
		k := lateOf(&c)
		if l.sums[k] == nil {
			l.sums[k] = &lateSum{charges: c}
		}
		keys = append(keys, k)
	}
	m := newSums[chargeKey, partKey, callerKey]()
	m.add(&of, make([]chargeKey, len(keys)), keys, callerKey{})
	for k, s := range m.splits {
		to := &l.sums[k].chargeSum
		*to = chargeSum{to.quantity + sign*s.quantity, to.nano + sign*s.nano, to.calls + sign*s.calls, to.unrated + sign*s.unrated, to.estimated + sign*s.estimated, to.discount + sign*s.discount}
	}
}

// lateOf is what tells c from other rows, in texts.
func lateOf(c *cost.Charges) partKey {
	return partKey{
		chargeKey: chargeKey{c.Account, hours(c.Start), c.Resource.ARN, c.UsageType, c.Operation, c.Region, c.Service, string(appendTags(nil, c.Tags))},
		principal: c.Principal, owned: string(appendTags(nil, c.PrincipalTags)), metadata: string(appendTags(nil, c.Metadata)),
	}
}

func (k partKey) compare(o partKey) int {
	return cmp.Or(cmp.Compare(k.hour, o.hour), slices.Compare(
		[]string{k.resource, k.usageType, k.operation, k.region, k.service, k.tags, k.principal, k.owned, k.metadata},
		[]string{o.resource, o.usageType, o.operation, o.region, o.service, o.tags, o.principal, o.owned, o.metadata}))
}

// takeOut makes c what it was before it was corrected.
func (l *lateCorrections) takeOut(c *cost.Charges) {
	if l == nil {
		return
	}
	late := l.sums[lateOf(c)]
	if late == nil {
		return
	}
	late.seen = true
	late.charges.Resource = c.Resource
	c.Sum = late.from(c.Sum, c.UsageType, -1)
}

// from is sum with s added to it, times sign.
func (s *lateSum) from(sum cost.Sum, usageType string, sign int64) cost.Sum {
	sum.Count(cost.Unit(usageType), sum.Quantity+sum.Pieces+sign*s.quantity)
	sum.Nano += sign * s.nano
	sum.Discount += sign * s.discount
	sum.Charges += sign * s.calls
	sum.Unrated += sign * s.unrated
	sum.Estimated += sign * s.estimated
	return sum
}

// each yields what nothing is left of, as it was, and then the corrections, until yield returns false.
func (l *lateCorrections) each(yield func(*cost.Charges) bool) bool {
	if l == nil {
		return true
	}
	for _, k := range l.keys {
		if s := l.sums[k]; !s.seen {
			c := s.charges
			if c.Sum = s.from(cost.Sum{}, c.UsageType, -1); !yield(&c) {
				return false
			}
		}
	}
	for _, k := range l.keys {
		s := l.sums[k]
		c := s.charges
		c.Correction = true
		if c.Sum = s.from(cost.Sum{}, c.UsageType, 1); !yield(&c) {
			return false
		}
	}
	return true
}
