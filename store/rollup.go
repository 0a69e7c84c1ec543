package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// rollup is one kind of sums of calls, which is kept by hour, by day and by month, in tables of its own: charge_hour,
// charge_day, charge_month. Its rows are told apart by account, period and keys.
//
// Batches write the hours. When an account's newest calls are openHours away from an hour, that hour is added to its day and
// month; what comes for it afterwards (calls that were long, corrections) is added to all three at once. The table rolled
// says where an account stands. So a call costs no more than its hours, as a rule, every sum can be had from a few
// rows, and at any moment a period is exactly its rows of days or months and the hours since rolled.
type rollup struct {
	name string
	keys []string
	sums []string
}

var (
	chargeRollup = rollup{"charge", []string{"line"}, []string{"quantity", "nano", "calls", "unrated", "estimated", "discount"}}
	splitRollup  = rollup{"split", []string{"line", "party"}, chargeRollup.sums}
	callerRollup = rollup{"caller", []string{"caller"}, []string{"calls", "input", "output", "nano"}}
)

const (
	rolledHour = `SELECT hour FROM rolled WHERE account = $1`

	// nextHour is the first hour with rows from $2 to before $3: calls without charges have callers alone.
	nextHour = `SELECT MIN(hour) FROM (
		SELECT MIN(hour) AS hour FROM charge_hour WHERE account = $1 AND hour >= $2 AND hour < $3 UNION ALL
		SELECT MIN(hour) FROM caller_hour WHERE account = $1 AND hour >= $2 AND hour < $3) AS hours`
)

const (
	// openHours are those before the one of the newest call that stay in the hours alone: calls of then are still ending.
	openHours = 1

	// rollRows is about how many rows of an account one batch writes to days and months: an hour in any case, and more of them
	// while there are fewer. There are more only after a migration, or when an account has been silent.
	rollRows = 20_000
)

// grain is what periods a table of a rollup is by.
type grain int

const (
	byHour grain = iota
	byDay
	byMonth
)

func (s grain) String() string { return [...]string{"hour", "day", "month"}[s] }

// of returns the number of the period that an hour is in. Numbers count from 1970 in UTC.
func (s grain) of(h int64) int64 {
	switch s {
	case byDay:
		return (h - (h%24+24)%24) / 24
	case byMonth:
		t := hour(h)
		return int64(t.Year()-1970)*12 + int64(t.Month()) - 1
	}
	return h
}

// start returns the first hour of a period.
func (s grain) start(n int64) int64 {
	switch s {
	case byDay:
		return n * 24
	case byMonth:
		return hours(time.Date(1970, time.Month(1+n), 1, 0, 0, 0, 0, time.UTC))
	}
	return n
}

// stretch is periods of one grain: from and those after it, before to.
type stretch struct {
	grain    grain
	from, to int64
}

// cover returns the fewest periods, none wider than widest, that hold the hours from a to before b and nothing else. Hours
// before rolled are in days and months too. The parts come in the order of time.
func cover(a, b, rolled int64, widest grain) []stretch {
	var parts []stretch
	add := func(s grain, from, to int64) {
		if from >= to {
			return
		}
		if n := len(parts); n > 0 && parts[n-1].grain == s && parts[n-1].to == from {
			parts[n-1].to = to
			return
		}
		parts = append(parts, stretch{s, from, to})
	}
	if a < rolled && widest > byHour {
		end := b
		if b >= rolled { // a period that has not ended has all there is of it before rolled
			end = widest.start(widest.of(rolled-1) + 1)
		}
		for h := a; h < min(b, rolled); {
			s, n := widest, int64(0)
			for ; s > byHour; s-- {
				if n = s.of(h); s.start(n) == h && s.start(n+1) <= end {
					break
				}
			}
			if s == byHour { // to the next day, which may be one that is not whole
				n = min(byDay.start(byDay.of(h)+1), b, rolled)
				add(byHour, h, n)
				h = n
				continue
			}
			add(s, n, n+1)
			h = s.start(n + 1)
		}
		a = max(a, min(b, rolled))
	}
	add(byHour, a, b)
	return parts
}

// insert is the text of an INSERT into the table of s that adds to the rows that are there; what is behind INTO and before
// ON CONFLICT is returned apart, for whom it serves.
func (r *rollup) insert(s grain) (table, columns, conflict string) {
	table = r.name + "_" + s.String()
	keys := append([]string{"account", s.String()}, r.keys...)
	set := make([]string, len(r.sums))
	for i, c := range r.sums {
		set[i] = c + " = " + table + "." + c + " + excluded." + c
	}
	return table, strings.Join(append(keys, r.sums...), ", "), "ON CONFLICT (" + strings.Join(keys, ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// rollText adds an hour ($2) of an account ($1) to period $3 of s.
func (r *rollup) rollText(s grain) string {
	table, columns, conflict := r.insert(s)
	rest := strings.Join(append(slices.Clone(r.keys), r.sums...), ", ")
	return "INSERT INTO " + table + " (" + columns + ") SELECT account, $3, " + rest + " FROM " + r.name + "_hour WHERE account = $1 AND hour = $2 " + conflict
}

// rollupWriter is the statements that write one rollup.
type rollupWriter struct {
	into [byMonth + 1]inserter
	roll [byMonth + 1]*sql.Stmt // none of byHour
}

func (r *rollup) prepare(ctx context.Context, db *sql.DB) (w rollupWriter, err error) {
	for s := byHour; s <= byMonth; s++ {
		table, columns, conflict := r.insert(s)
		if w.into[s], err = prepareInsert(ctx, db, table, columns, conflict); err != nil {
			return w, err
		}
		if s > byHour {
			if w.roll[s], err = db.PrepareContext(ctx, r.rollText(s)); err != nil { //nolint:sqlclosecheck // prepared once, closed with the database
				return w, err
			}
		}
	}
	return w, nil
}

// writer is the statements that write r.
func (x *ledgerIndex) writer(r *rollup) *rollupWriter {
	switch r {
	case &chargeRollup:
		return &x.chargeSums
	case &splitRollup:
		return &x.splitSums
	}
	return &x.callerSums
}

// rolledTo returns the hour since which the hours of account are not in its days and months. An account that is new begins
// with the hour oldest. The hour must not change until the transaction ends: an engine on which several write at once owes
// that the one that has read it fails (serializable), or waits.
func (w *batch) rolledTo(account string, oldest int64) (int64, error) {
	if h, ok := w.rolled[account]; ok {
		return h, nil
	}
	h := oldest
	err := w.tx.StmtContext(w.ctx, w.rolledHour).QueryRowContext(w.ctx, account).Scan(&h) //nolint:sqlclosecheck // ends with its transaction
	if errors.Is(err, sql.ErrNoRows) {
		_, err = w.tx.ExecContext(w.ctx, `INSERT INTO rolled (account, hour) VALUES ($1, $2)`, account, h)
	}
	if err == nil {
		w.rolled[account] = h
	}
	return h, err
}

// rollupSums are the sums of some calls by hour; where late takes them, by day or month.
type rollupSums = sums[periodKey, splitKey, periodKey]

// write adds m to the rollups: to the hours, and to the days and months that have these hours already.
func (w *batch) write(m rollupSums) error {
	// The accounts first and in order: nodes that share the tables then wait for one another, and do not lock each other out.
	oldest := map[string]int64{}
	for k := range m.callers {
		if h, ok := oldest[k.account]; !ok || k.period < h {
			oldest[k.account] = k.period
		}
	}
	for k := range m.charges {
		if h, ok := oldest[k.account]; !ok || k.period < h {
			oldest[k.account] = k.period
		}
	}
	late := false
	for _, account := range slices.Sorted(maps.Keys(oldest)) {
		h, err := w.rolledTo(account, oldest[account])
		if err != nil {
			return err
		}
		late = late || oldest[account] < h
	}
	if err := w.insertSums(byHour, m); err != nil || !late {
		return err
	}
	for s := byDay; s <= byMonth; s++ {
		if err := w.insertSums(s, w.late(m, s)); err != nil {
			return err
		}
	}
	return nil
}

// late is what of m is of hours that have been added to their days and months, by periods of s.
func (w *batch) late(m rollupSums, s grain) rollupSums {
	late := newSums[periodKey, splitKey, periodKey]()
	for k, sum := range m.charges {
		if k.period < w.rolled[k.account] {
			k.period = s.of(k.period)
			sumOf(late.charges, k).add(sum)
		}
	}
	for k, sum := range m.splits {
		if k.period < w.rolled[k.account] {
			k.period = s.of(k.period)
			sumOf(late.splits, k).add(sum)
		}
	}
	for k, sum := range m.callers {
		if k.period < w.rolled[k.account] {
			k.period = s.of(k.period)
			sumOf(late.callers, k).add(sum)
		}
	}
	return late
}

// insertSums adds m to the tables of s.
func (w *batch) insertSums(s grain, m rollupSums) error {
	charge := func(args []any, s *chargeSum) []any {
		return append(args, s.quantity, s.nano, s.calls, s.unrated, s.estimated, s.discount)
	}
	if err := insertSums(w, &w.chargeSums.into[s], m.charges, periodKey.compare, func(args []any, k periodKey, s *chargeSum) []any {
		return charge(append(args, k.account, k.period, k.number), s)
	}); err != nil {
		return err
	}
	if err := insertSums(w, &w.splitSums.into[s], m.splits, splitKey.compare, func(args []any, k splitKey, s *chargeSum) []any {
		return charge(append(args, k.account, k.period, k.number, k.party), s)
	}); err != nil {
		return err
	}
	return insertSums(w, &w.callerSums.into[s], m.callers, periodKey.compare, func(args []any, k periodKey, s *callerSum) []any {
		return append(args, k.account, k.period, k.number, s.calls, s.input, s.output, s.nano)
	})
}

// roll adds hours that have passed to their days and months: those before the newest of m in each of its accounts, but for
// openHours.
func (w *batch) roll(m rollupSums) error {
	newest := map[string]int64{}
	for k := range m.callers { // every call has one
		if h, ok := newest[k.account]; !ok || k.period > h {
			newest[k.account] = k.period
		}
	}
	for _, account := range slices.Sorted(maps.Keys(newest)) {
		to := newest[account] - openHours
		from := w.rolled[account]
		if from >= to {
			continue
		}
		for written := int64(0); written < rollRows; {
			var next sql.NullInt64
			if err := w.tx.StmtContext(w.ctx, w.nextHour).QueryRowContext(w.ctx, account, from, to).Scan(&next); err != nil { //nolint:sqlclosecheck // ends with its transaction
				return err
			}
			if !next.Valid {
				from = to
				break
			}
			for _, r := range []*rollupWriter{&w.chargeSums, &w.splitSums, &w.callerSums} {
				for s := byDay; s <= byMonth; s++ {
					done, err := w.tx.StmtContext(w.ctx, r.roll[s]).ExecContext(w.ctx, account, next.Int64, s.of(next.Int64)) //nolint:sqlclosecheck // as well
					if err != nil {
						return err
					}
					n, err := done.RowsAffected()
					if err != nil {
						return err
					}
					written += n
				}
			}
			from = next.Int64 + 1
		}
		if _, err := w.tx.ExecContext(w.ctx, `UPDATE rolled SET hour = $2 WHERE account = $1`, account, from); err != nil {
			return err
		}
		w.rolled[account] = from
	}
	return nil
}

// sweep removes rows of r that no call has any more: those of keys, whose period is an hour, from the tables of hours to those of widest.
func (w *batch) sweep(widest grain, r *rollup, account string, h int64, keys ...any) error {
	var which, zero strings.Builder
	for i, k := range r.keys {
		fmt.Fprintf(&which, " AND %s = $%d", k, i+3)
	}
	for _, c := range r.sums {
		fmt.Fprintf(&zero, " AND %s = 0", c)
	}
	for s := byHour; s <= widest; s++ {
		if _, err := w.tx.ExecContext(w.ctx, "DELETE FROM "+r.name+"_"+s.String()+" WHERE account = $1 AND "+s.String()+" = $2"+which.String()+zero.String(),
			append([]any{account, s.of(h)}, keys...)...); err != nil {
			return err
		}
	}
	return nil
}

// A rowKeys is the keys of a row of a rollup, rowSums its figures: as many of them as there are.
type (
	rowKeys [2]int64
	rowSums [6]int64
)

// rollups are all there are.
var rollups = []*rollup{&chargeRollup, &splitRollup, &callerRollup}

// compareRolled holds the days and months of an account against the sums of their hours, so far as these have been added to
// them, and tells wrong of each row that differs: period n of s, what it has, and what it should have; nil is no row.
func compareRolled(ctx context.Context, tx *sql.Tx, account string, wrong func(r *rollup, s grain, n int64, k rowKeys, has, want *rowSums) error) error {
	var rolled int64
	if err := tx.QueryRowContext(ctx, rolledHour, account).Scan(&rolled); err != nil {
		return err
	}
	for _, r := range rollups {
		for s := byDay; s <= byMonth; s++ {
			if err := r.compare(ctx, tx, account, s, rolled, func(n int64, k rowKeys, has, want *rowSums) error { return wrong(r, s, n, k, has, want) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// unrolled returns the first hour of an account of which the table rolled has none: that is where it should stand, 0 where no hour
// has a row. ok is false where it has one.
func unrolled(ctx context.Context, tx *sql.Tx, account string) (first int64, ok bool, err error) {
	var known bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (`+rolledHour+`)`, account).Scan(&known); err != nil || known {
		return 0, false, err
	}
	var oldest sql.NullInt64
	err = tx.QueryRowContext(ctx, nextHour, account, int64(-1<<40), int64(1<<40)).Scan(&oldest)
	return oldest.Int64, true, err
}

// compare holds the periods of s against the sums of the next finer ones, one period at a time.
func (r *rollup) compare(ctx context.Context, tx *sql.Tx, account string, s grain, rolled int64, wrong func(n int64, k rowKeys, has, want *rowSums) error) error {
	fine, table := s-1, r.name+"_"+s.String()
	// The periods are those of either table.
	after := "SELECT MIN(" + s.String() + ") FROM " + table + " WHERE account = $1 AND " + s.String() + " >= $2"
	fineAfter := "SELECT MIN(" + fine.String() + ") FROM " + r.name + "_" + fine.String() + " WHERE account = $1 AND " + fine.String() + " >= $3 AND " + fine.String() + " < $4"
	end := int64(1) << 40
	if fine == byHour {
		end = rolled
	}
	for n := s.of(-1 << 25); ; n++ { // from before the first year
		var next, nextFine sql.NullInt64
		if err := tx.QueryRowContext(ctx, "SELECT ("+after+"), ("+fineAfter+")", account, n, fine.of(s.start(n)), end).Scan(&next, &nextFine); err != nil {
			return err
		}
		if nextFine.Valid {
			if of := s.of(fine.start(nextFine.Int64)); !next.Valid || of < next.Int64 {
				next = sql.NullInt64{Int64: of, Valid: true}
			}
		}
		if !next.Valid {
			return nil
		}
		n = next.Int64
		want, err := r.read(ctx, tx, account, fine, fine.of(s.start(n)), min(fine.of(s.start(n+1)), end))
		if err != nil {
			return err
		}
		has, err := r.read(ctx, tx, account, s, n, n+1)
		if err != nil {
			return err
		}
		for k, v := range has {
			if w := want[k]; w == nil || *w != *v {
				if err := wrong(n, k, v, w); err != nil {
					return err
				}
			}
			delete(want, k)
		}
		for k, w := range want {
			if err := wrong(n, k, nil, w); err != nil {
				return err
			}
		}
	}
}

// read adds up the periods of s from one to before another.
func (r *rollup) read(ctx context.Context, tx *sql.Tx, account string, s grain, from, to int64) (map[rowKeys]*rowSums, error) {
	sums := map[rowKeys]*rowSums{}
	var (
		k    rowKeys
		v    rowSums
		into []any
	)
	for i := range r.keys {
		into = append(into, &k[i])
	}
	for i := range r.sums {
		into = append(into, &v[i])
	}
	_, err := eachRow(ctx, tx, "SELECT "+strings.Join(append(slices.Clone(r.keys), r.sums...), ", ")+" FROM "+r.name+"_"+s.String()+
		" WHERE account = $1 AND "+s.String()+" >= $2 AND "+s.String()+" < $3", func(rows *sql.Rows) (bool, error) {
		err := rows.Scan(into...)
		sum := sumOf(sums, k)
		for i := range v {
			sum[i] += v[i]
		}
		return true, err
	}, account, from, to)
	return sums, err
}

// figures is v by the names of its columns, nil for no row.
func (r *rollup) figures(v *rowSums) map[string]int64 {
	if v == nil {
		return nil
	}
	m := make(map[string]int64, len(r.sums))
	for i, c := range r.sums {
		m[c] = v[i]
	}
	return m
}

// format is v for people.
func (r *rollup) format(v *rowSums) string {
	if v == nil {
		return nothing
	}
	var b strings.Builder
	for i, c := range r.sums {
		fmt.Fprintf(&b, ", %s %d", c, v[i])
	}
	return b.String()[2:]
}
