package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outcrop/cost"
	"outcrop/ledger"
)

// PriceDomain is what Revision counts the changes of imports of prices by.
const PriceDomain = "price"

// PriceImports returns the imports of prices, in their order, and the revision that they are of.
func (s *Store) PriceImports(ctx context.Context) (all []cost.PriceImport, revision int64, err error) {
	// The revision first: a change in between is then noticed as one still to come.
	if revision, err = s.Revision(ctx, PriceDomain); err != nil {
		return nil, 0, err
	}
	rows, err := s.read.QueryContext(ctx, `SELECT number, imported, source, facts, withdrawn FROM price_import ORDER BY number`)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			p         cost.PriceImport
			imported  int64
			withdrawn sql.NullInt64
		)
		if err := rows.Scan(&p.Number, &imported, &p.Source, &p.Facts, &withdrawn); err != nil {
			return nil, 0, err
		}
		p.Time = time.UnixMicro(imported).UTC()
		if withdrawn.Valid {
			p.Withdrawn = time.UnixMicro(withdrawn.Int64).UTC()
		}
		all = append(all, p)
	}
	return all, revision, rows.Err()
}

// ImportPrices adds p and returns its number.
func (s *Store) ImportPrices(ctx context.Context, p *cost.PriceImport) (number int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `INSERT INTO price_import (number, imported, source, facts)
			SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3 FROM price_import RETURNING number`,
			p.Time.UnixMicro(), valid(p.Source), string(p.Facts)).Scan(&number); err != nil {
			return err
		}
		return bump(ctx, tx, PriceDomain)
	})
	return number, err
}

// WithdrawPrices ends an import: from now on it is not laid over the others.
func (s *Store) WithdrawPrices(ctx context.Context, number int64, at time.Time) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE price_import SET withdrawn = $2 WHERE number = $1 AND withdrawn IS NULL`, number, at.UnixMicro())
		if err := oneRow(r, err, fmt.Errorf("there is no import %d, or it is withdrawn already", number)); err != nil {
			return err
		}
		return bump(ctx, tx, PriceDomain)
	})
}

// Correct writes corrections of calls, as Calls gave them, and moves the rollups by them: all in one transaction, or none when one of
// the calls was corrected since it was read (ledger.ErrCorrected).
func (s *Store) Correct(ctx context.Context, all []ledger.Corrected) error {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return err
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		before, after := s.newBatch(ctx, tx), s.newBatch(ctx, tx)
		entries := make([][2]ledger.Entry, len(all))
		for i := range all {
			e, c := all[i].Entry, all[i].Correction
			// Those that are not in the archive are told by their key.
			if n, err := after.archivedCorrections(e); err != nil {
				return err
			} else if n > len(e.Corrections) {
				return ledger.ErrCorrected
			}
			entries[i] = [2]ledger.Entry{*e, *e}
			var err error
			if entries[i][1].Charges, err = c.Apply(e.Charges); err != nil {
				return err
			}
			if err := before.number(entries[i][:1]); err != nil {
				return err
			}
			was := before.sum()
			if err := after.number(entries[i][1:]); err != nil {
				return err
			}
			if err := after.writeCorrection(e, c); err != nil {
				return err
			}
			if err := after.move(was, after.sum()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		x.numbers = newNumbers() // some may be of rows that are not there
	}
	return err
}

func (w *batch) writeCorrection(e *ledger.Entry, c *ledger.Correction) error {
	text := func(charges []ledger.Charge) (string, error) {
		numbers := make([]charge, len(charges))
		for i := range charges {
			var err error
			if numbers[i], err = w.charge(e, w.calls[0].origin, &charges[i]); err != nil {
				return "", err
			}
		}
		return string(appendCharges(nil, charges, numbers)), nil
	}
	back, err := text(c.Back)
	if err != nil {
		return err
	}
	charges, err := text(c.Charges)
	if err != nil {
		return err
	}
	r, err := w.tx.ExecContext(w.ctx, `INSERT INTO correction (account, began, call, number, made, author, reason, back, charges, nano)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (account, began, call, number) DO NOTHING`,
		e.Account, e.Intent.Time.UnixMicro(), e.Intent.ID[:], len(e.Corrections)+1, c.Time.UnixMicro(), valid(c.By), valid(c.Reason), back, charges, c.Nano())
	return oneRow(r, err, ledger.ErrCorrected)
}

// move takes was out of the rollups and puts is in its place.
func (w *batch) move(was, is rollupSums) error { return w.moveUpTo(byMonth, was, is, w.write) }

// moveUpTo is move in the tables of hours to those of widest, which write writes.
func (w *batch) moveUpTo(widest grain, was, is rollupSums, write func(rollupSums) error) error {
	lines, parts, callers := takeOut(is.charges, was.charges), takeOut(is.splits, was.splits), takeOut(is.callers, was.callers)
	if err := write(is); err != nil {
		return err
	}
	for _, k := range lines {
		if err := w.sweep(widest, &chargeRollup, k.account, k.period, k.number); err != nil {
			return err
		}
	}
	for _, k := range parts {
		if err := w.sweep(widest, &splitRollup, k.account, k.period, k.number, k.party); err != nil {
			return err
		}
	}
	for _, k := range callers {
		if err := w.sweep(widest, &callerRollup, k.account, k.period, k.number); err != nil {
			return err
		}
	}
	return nil
}

// figures is the sums of a row of a rollup.
type figures[S any] interface {
	*S
	less(o *S) S
}

func (s *chargeSum) less(o *chargeSum) chargeSum {
	return chargeSum{s.quantity - o.quantity, s.nano - o.nano, s.calls - o.calls, s.unrated - o.unrated, s.estimated - o.estimated, s.discount - o.discount}
}

func (s *callerSum) less(o *callerSum) callerSum {
	return callerSum{s.calls - o.calls, s.input - o.input, s.output - o.output, s.nano - o.nano}
}

// takeOut makes is what it is more than was, and returns the keys that only was had. What only is has stays, also where it is nothing: a row
// of corrections that cancel each other out.
func takeOut[K, S comparable, P figures[S]](is, was map[K]P) (gone []K) {
	var none S
	for k, v := range was {
		to := is[k]
		if to == nil {
			to = new(S)
			is[k] = to
			gone = append(gone, k)
		}
		if *to = to.less(v); *to == none {
			delete(is, k)
		}
	}
	return gone
}

// What a row of a rollup has.
const (
	chargeFigures = "quantity, nano, calls, unrated, estimated, discount"
	callerFigures = "calls, input, output, nano"
)
