package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"outcrop/cost"
	"outcrop/ledger"
)

var _ cost.Invoices = (*Store)(nil)

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
	scan := newChargeScan(q.Account, true)
	var late *lateCorrections
	for from := q.Start; from.Before(q.End); {
		end := cost.Day.Next(from)
		if end.After(q.End) {
			end = q.End
		}
		if corrections {
			if late, err = readLate(ctx, tx, q.Account, from, end, q.Bucket); err != nil {
				return err
			}
		}
		more, err := eachRow(ctx, tx, selectSplits, func(rows *sql.Rows) (bool, error) {
			bucket, err := scan.scan(rows)
			if err != nil {
				return false, err
			}
			c := &scan.charges
			c.Start = hour(bucket * size)
			late.takeOut(c)
			return nothing(c.Sum) || yield(c), nil
		}, q.Account, hours(from), hours(end), size)
		if err != nil || !more || !late.each(yield) {
			return err
		}
		from = end
	}
	return nil
}

// nothing reports whether s has no figures.
func nothing(s cost.Sum) bool {
	s.Unit = ""
	return s == cost.Sum{}
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

// readLate reads what was corrected of the calls from start to end after their month, added up by bucket.
func readLate(ctx context.Context, tx *sql.Tx, account string, start, end time.Time, by cost.Bucket) (*lateCorrections, error) {
	closed := cost.Month.Next(start)
	which := `SELECT * FROM call WHERE account = $1 AND (began, id) IN
		(SELECT began, call FROM correction WHERE account = $1 AND began >= $2 AND began < $3 AND made >= $4)`
	args := []any{account, start.UnixMicro(), end.UnixMicro(), closed.UnixMicro()}
	var any bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM correction WHERE account = $1 AND began >= $2 AND began < $3 AND made >= $4)`, args...).Scan(&any); err != nil || !any {
		return nil, err
	}
	known, err := readMetadataValues(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	late := &lateCorrections{sums: map[partKey]*lateSum{}}
	var wrong error
	err = eachCallOf(ctx, tx, which, args, func(e *ledger.Entry) bool {
		var before []ledger.Charge
		if before, wrong = e.ChargesAt(closed); wrong != nil {
			return false
		}
		late.add(e, e.Charges, by, known, 1)
		late.add(e, before, by, known, -1)
		return true
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
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
		k := partOf(&c)
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

// partOf is what tells c from other rows, in texts.
func partOf(c *cost.Charges) partKey {
	return partKey{
		chargeKey: chargeKey{c.Account, hours(c.Start), c.Resource.ARN, c.UsageType, c.Operation, c.Region, c.Service, string(appendTags(nil, c.Tags))},
		principal: c.Principal, owned: string(appendTags(nil, c.PrincipalTags)), metadata: string(appendTags(nil, c.Metadata)),
	}
}

func (k partKey) compare(o partKey) int {
	if k.hour != o.hour {
		return int(max(-1, min(1, k.hour-o.hour)))
	}
	return slices.CompareFunc(
		[]string{k.resource, k.usageType, k.operation, k.region, k.service, k.tags, k.principal, k.owned, k.metadata},
		[]string{o.resource, o.usageType, o.operation, o.region, o.service, o.tags, o.principal, o.owned, o.metadata}, strings.Compare)
}

// takeOut makes c what it was before it was corrected.
func (l *lateCorrections) takeOut(c *cost.Charges) {
	if l == nil {
		return
	}
	late := l.sums[partOf(c)]
	if late == nil {
		return
	}
	late.seen = true
	late.charges.Resource = c.Resource
	c.Sum = late.from(c.Sum, c.UsageType, -1)
}

// from is sum with s added to it, times sign.
func (s *lateSum) from(sum cost.Sum, usageType string, sign int64) cost.Sum {
	sum.Count(usageType, sum.Quantity+sum.Pieces+sign*s.quantity)
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
