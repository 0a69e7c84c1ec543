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

	"github.com/go-json-experiment/json"

	"outcrop/ledger"
)

// Proof is what ProveLedger has gone through.
type Proof struct {
	Accounts, Days, Hours int64
	Calls, Corrections    int64
	Files                 int64 // of the archive
	Differences           int64
}

// Difference is one thing that ProveLedger found wrong.
type Difference struct {
	Account string
	Time    time.Time // the hour; of what concerns a whole day or month, its first
	Table   string    // charge_, split_ or caller_ and hour, day or month; "" where the calls themselves cannot be read
	Row     string    // what the row is of
	Has     string    // its figures, "nothing" where there is no such row
	Want    string    // what the calls and their corrections come to; of a day or a month, its hours or days
	Err     error     // why nothing of the day can be proved, where Table is ""
}

func (d *Difference) String() string {
	if d.Table == "" {
		return fmt.Sprintf("account %s, %s: cannot be proved: %v", d.Account, d.Time.Format(time.DateOnly), d.Err)
	}
	of, said := "hour "+d.Time.Format("2006-01-02T15"), "calls"
	switch {
	case d.Rolled() && strings.HasSuffix(d.Table, byMonth.String()):
		of, said = "month "+d.Time.Format("2006-01"), "days"
	case d.Rolled():
		of, said = "day "+d.Time.Format(time.DateOnly), "hours"
	}
	return fmt.Sprintf("%s: account %s, %s, %s: has %s, the %s say %s", d.Table, d.Account, of, d.Row, d.Has, said, d.Want)
}

// Rolled reports whether it is of a day or a month: these are sums of hours, not of calls.
func (d *Difference) Rolled() bool {
	return d.Table != "" && !strings.HasSuffix(d.Table, byHour.String())
}

// chargeKey, partKey and callerKey are what the rollups tell apart, in texts: dictionaries are not believed either.
type chargeKey struct {
	account                                         string
	hour                                            int64
	resource, usageType, operation, region, service string
	tags                                            string
}

type partKey struct {
	chargeKey
	principal, owned, metadata string
}

type callerKey struct {
	account             string
	hour                int64
	principal, resource string
}

func (k chargeKey) String() string {
	return fmt.Sprintf("%s %s %s %s %s %s", k.resource, k.usageType, k.operation, k.region, k.service, k.tags)
}

func (k partKey) String() string {
	return fmt.Sprintf("%v %s %s %s", k.chargeKey, k.principal, k.owned, k.metadata)
}

func (k callerKey) String() string { return k.principal + " " + k.resource }

func (s *chargeSum) String() string {
	return fmt.Sprintf("quantity %d, nano %d, calls %d, unrated %d, estimated %d, discount %d", s.quantity, s.nano, s.calls, s.unrated, s.estimated, s.discount)
}

func (s *callerSum) String() string {
	return fmt.Sprintf("calls %d, input %d, output %d, nano %d", s.calls, s.input, s.output, s.nano)
}

// VerifyLedger is ProveLedger with the first differences as its error.
func (s *Store) VerifyLedger(ctx context.Context) error {
	var first []string
	p, err := s.ProveLedger(ctx, func(d *Difference) error {
		if len(first) < 10 {
			first = append(first, d.String())
		}
		return nil
	})
	if err == nil && p.Differences > 0 {
		err = fmt.Errorf("%d rows of the rollups are not the sums of the calls: %s", p.Differences, strings.Join(first, "; "))
	}
	return err
}

// ProveLedger proves that the rollups are the sums of the calls and their corrections, no more and no less: of those in the database, and of
// those in files of the archive, each of which must be as it was written; and that days and months are the sums of their hours. What is not so is
// told differ, whose error ends it.
//
// It goes from account to account and from day to day, each day in a transaction of its own, and an account's days and months in another: in memory is
// no more than what an hour of an account has of different rows, and then a month. A ledger that is written to at the same time is proved as it is when each day's turn comes.
func (s *Store) ProveLedger(ctx context.Context, differ func(*Difference) error) (p Proof, err error) {
	told := func(d *Difference) error {
		p.Differences++
		return differ(d)
	}
	words := s.words(ctx, nil)
	for account := ""; ; {
		if account, err = s.nextAccount(ctx, account, ledgerTables...); err != nil || account == "" {
			return p, err
		}
		p.Accounts++
		for day, ok := int64(-1<<40), true; ; day++ {
			if err := s.view(ctx, func(tx *sql.Tx) error {
				if day, ok, err = nextDay(ctx, tx, account, day); err != nil || !ok {
					return err
				}
				words.tx = tx
				w := &proof{words: words, account: account, Proof: &p, differ: told}
				return w.day(day)
			}); err != nil {
				return p, err
			}
			if !ok {
				break
			}
			p.Days++
		}
		if err := s.view(ctx, func(tx *sql.Tx) error {
			if first, ok, err := unrolled(ctx, tx, account); err != nil {
				return err
			} else if ok {
				return told(&Difference{Account: account, Time: hour(first), Table: "rolled", Row: "the account", Has: nothing, Want: "an hour"})
			}
			return compareRolled(ctx, tx, account, func(r *rollup, s grain, n int64, k rowKeys, has, want *rowSums) error {
				return told(&Difference{
					Account: account, Time: hour(s.start(n)), Table: r.name + "_" + s.String(), Row: fmt.Sprint(strings.Join(r.keys, ", "), " ", k[:len(r.keys)]),
					Has: r.format(has), Want: r.format(want),
				})
			})
		}); err != nil {
			return p, err
		}
	}
}

// nothing is what a row has that is not there.
const nothing = "nothing"

// ledgerTables have what there is of an account.
var ledgerTables = func() []string {
	tables := []string{"call", "correction", "archive"}
	for _, r := range rollups {
		for s := byHour; s <= byMonth; s++ {
			tables = append(tables, r.name+"_"+s.String())
		}
	}
	return tables
}()

// nextDay returns the first day, from one on, on which an account has anything.
func nextDay(ctx context.Context, tx *sql.Tx, account string, from int64) (day int64, ok bool, err error) {
	for _, q := range []struct {
		text string
		size int64 // of a day
	}{
		{`SELECT MIN(began) FROM call WHERE account = $1 AND began >= $2`, dayMicros},
		{`SELECT MIN(began) FROM correction WHERE account = $1 AND began >= $2`, dayMicros},
		{`SELECT MIN(hour) FROM charge_hour WHERE account = $1 AND hour >= $2`, 24},
		{`SELECT MIN(hour) FROM split_hour WHERE account = $1 AND hour >= $2`, 24},
		{`SELECT MIN(hour) FROM caller_hour WHERE account = $1 AND hour >= $2`, 24},
		{`SELECT MIN(day) FROM archive WHERE account = $1 AND kind = '` + callsKind + `' AND day >= $2`, 1},
		{`SELECT MIN(day) FROM archive WHERE account = $1 AND kind = '` + correctionsKind + `' AND day >= $2`, 1},
	} {
		var n sql.NullInt64
		if err := tx.QueryRowContext(ctx, q.text, account, max(from, -1<<62/q.size)*q.size).Scan(&n); err != nil {
			return 0, false, err
		}
		if !n.Valid {
			continue
		}
		d := n.Int64 / q.size
		if n.Int64%q.size < 0 {
			d--
		}
		if !ok || d < day {
			day, ok = d, true
		}
	}
	return day, ok, nil
}

// proof is ProveLedger at work on an account.
type proof struct {
	*words
	*Proof
	account string
	known   vocabularies
	differ  func(*Difference) error
	tags    map[*ledger.Tag]string // texts of sets that calls share
}

// day proves the hours of one day.
func (w *proof) day(day int64) error {
	p := span{w.account, day * dayMicros, (day + 1) * dayMicros}
	left, err := w.hoursOf(day)
	if err != nil {
		return err
	}
	if w.known, err = readMetadataValues(w.ctx, w.tx, w.account); err != nil {
		return err
	}
	w.tags = map[*ledger.Tag]string{}
	for _, kind := range []string{callsKind, correctionsKind} {
		parts, err := readParts(w.ctx, w.tx, p, kind)
		if err != nil {
			return err
		}
		w.Files += int64(len(parts))
	}
	want, at := newSums[chargeKey, partKey, callerKey](), int64(0)
	prove := func() error {
		if i := slices.Index(left, at); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
		err := w.hour(at, want)
		want = newSums[chargeKey, partKey, callerKey]()
		return err
	}
	_, err = w.eachCall(p, func(e *ledger.Entry) (bool, error) {
		hour := hourBegan(e)
		if hour != at && len(want.callers) > 0 {
			if err := prove(); err != nil {
				return false, stopped{err}
			}
		}
		at = hour
		w.add(e, &want)
		w.Calls, w.Corrections = w.Calls+1, w.Corrections+int64(len(e.Corrections))
		return true, nil
	})
	if stop, ok := errors.AsType[stopped](err); ok {
		return stop.error
	}
	if err != nil {
		if w.ctx.Err() != nil {
			return err
		}
		// What is wrong with calls is theirs; the next day may be whole.
		return w.differ(&Difference{Account: w.account, Time: time.Unix(day*24*3600, 0).UTC(), Err: err})
	}
	if len(want.callers) > 0 {
		if err := prove(); err != nil {
			return err
		}
	}
	for _, hour := range left { // without calls
		if err := w.hour(hour, newSums[chargeKey, partKey, callerKey]()); err != nil {
			return err
		}
	}
	return nil
}

// stopped is an error that is not the calls'.
type stopped struct{ error }

// hoursOf returns the hours of a day that have rows in the rollups.
func (w *proof) hoursOf(day int64) (hours []int64, err error) {
	text := ""
	for i, table := range []string{"charge_hour", "split_hour", "caller_hour"} {
		if i > 0 {
			text += " UNION "
		}
		text += `SELECT hour FROM ` + table + ` WHERE account = $1 AND hour >= $2 AND hour < $3`
	}
	_, err = eachRow(w.ctx, w.tx, text+" ORDER BY hour", func(rows *sql.Rows) (bool, error) {
		var n int64
		err := rows.Scan(&n)
		hours = append(hours, n)
		return true, err
	}, w.account, day*24, (day+1)*24)
	return hours, err
}

// text is appendTags of a set, made once for sets that many calls share.
func (w *proof) text(tags []ledger.Tag) string {
	if len(tags) == 0 {
		return "[]"
	}
	t, ok := w.tags[&tags[0]]
	if !ok {
		if len(w.tags) >= maxWords {
			clear(w.tags)
		}
		t = string(appendTags(nil, tags))
		w.tags[&tags[0]] = t
	}
	return t
}

// add adds a call to the sums of its hour.
func (w *proof) add(e *ledger.Entry, want *sums[chargeKey, partKey, callerKey]) {
	line := chargeKey{account: e.Account, hour: hourBegan(e), resource: e.ResourceARN, operation: e.Operation, region: e.Region, service: e.Service, tags: w.text(e.Tags)}
	party := partKey{principal: e.Principal, owned: w.text(e.PrincipalTags), metadata: string(appendTags(nil, w.known.fold(e.Account, e.Metadata)))}
	lines, parts := make([]chargeKey, len(e.Charges)), make([]partKey, len(e.Charges))
	for i := range e.Charges {
		line.usageType = e.Charges[i].UsageType
		party.chargeKey = line
		lines[i], parts[i] = line, party
	}
	want.add(e, lines, parts, callerKey{e.Account, line.hour, e.Principal, e.ResourceARN})
}

// hour holds the rows of the rollups of one hour against what its calls say.
func (w *proof) hour(hour int64, want sums[chargeKey, partKey, callerKey]) error {
	w.Hours++
	at := time.Unix(hour*3600, 0).UTC()
	err := compareRows(w, "charge_hour", at, want.charges, `SELECT COALESCE(l.resource, ''), COALESCE(l.usage_type, ''), COALESCE(l.operation, ''), COALESCE(l.region, ''), COALESCE(l.service, ''), COALESCE(t.tags, 'line ' || h.line),
			h.quantity, h.nano, h.calls, h.unrated, h.estimated, h.discount
		FROM charge_hour AS h LEFT JOIN charge_line AS l ON l.id = h.line LEFT JOIN tagset AS t ON t.id = l.tagset
		WHERE h.account = $1 AND h.hour = $2`, hour, func(rows *sql.Rows) (k chargeKey, v chargeSum, err error) {
		k.account, k.hour = w.account, hour
		return k, v, rows.Scan(&k.resource, &k.usageType, &k.operation, &k.region, &k.service, &k.tags,
			&v.quantity, &v.nano, &v.calls, &v.unrated, &v.estimated, &v.discount)
	})
	if err != nil {
		return err
	}
	err = compareRows(w, "split_hour", at, want.splits, `SELECT COALESCE(l.resource, ''), COALESCE(l.usage_type, ''), COALESCE(l.operation, ''), COALESCE(l.region, ''), COALESCE(l.service, ''), COALESCE(t.tags, 'line ' || h.line),
			COALESCE(p.principal, ''), COALESCE(o.tags, 'party ' || h.party), COALESCE(m.tags, 'party ' || h.party),
			h.quantity, h.nano, h.calls, h.unrated, h.estimated, h.discount
		FROM split_hour AS h LEFT JOIN charge_line AS l ON l.id = h.line LEFT JOIN tagset AS t ON t.id = l.tagset
		LEFT JOIN party AS p ON p.id = h.party LEFT JOIN tagset AS o ON o.id = p.tags LEFT JOIN tagset AS m ON m.id = p.metadata
		WHERE h.account = $1 AND h.hour = $2`, hour, func(rows *sql.Rows) (k partKey, v chargeSum, err error) {
		k.account, k.hour = w.account, hour
		return k, v, rows.Scan(&k.resource, &k.usageType, &k.operation, &k.region, &k.service, &k.tags, &k.principal, &k.owned, &k.metadata,
			&v.quantity, &v.nano, &v.calls, &v.unrated, &v.estimated, &v.discount)
	})
	if err != nil {
		return err
	}
	return compareRows(w, "caller_hour", at, want.callers, `SELECT COALESCE(c.principal, ''), COALESCE(c.resource, 'caller ' || h.caller), h.calls, h.input, h.output, h.nano
		FROM caller_hour AS h LEFT JOIN caller AS c ON c.id = h.caller WHERE h.account = $1 AND h.hour = $2`, hour, func(rows *sql.Rows) (k callerKey, v callerSum, err error) {
		k.account, k.hour = w.account, hour
		return k, v, rows.Scan(&k.principal, &k.resource, &v.calls, &v.input, &v.output, &v.nano)
	})
}

// compareRows holds the rows of an hour of a rollup against what the calls say, and takes them from there. A second row of the same is
// one too many.
func compareRows[K interface {
	comparable
	fmt.Stringer
}, S comparable, P interface {
	figures[S]
	fmt.Stringer
}](w *proof, table string, at time.Time, want map[K]P, text string, hour int64, scan func(*sql.Rows) (K, S, error)) error {
	differ := func(k K, has, want string) error {
		return w.differ(&Difference{Account: w.account, Time: at, Table: table, Row: k.String(), Has: has, Want: want})
	}
	if _, err := eachRow(w.ctx, w.tx, text, func(rows *sql.Rows) (bool, error) {
		k, v, err := scan(rows)
		if err != nil {
			return false, err
		}
		if p, ok := want[k]; !ok {
			err = differ(k, P(&v).String(), nothing)
		} else if *p != v {
			err = differ(k, P(&v).String(), p.String())
		}
		delete(want, k)
		return true, err
	}, w.account, hour); err != nil {
		return err
	}
	for k, p := range want {
		if err := differ(k, nothing, p.String()); err != nil {
			return err
		}
	}
	return nil
}

// Repair says who mends the rollups, and why.
type Repair struct {
	Number     int64
	Time       time.Time // when, UTC
	By, Reason string

	// Of a row that was mended.
	Table   string // as in Difference
	Account string
	Hour    time.Time // the first one, of a day or a month
	Line    int64     // charge_line.id; of caller_hour, caller.id
	Party   int64     // of split_hour, party.id
	Was, Is string    // its figures, JSON
}

// RepairHour moves the rows of the rollups of one hour of an account to what its calls and their corrections come to, by the difference (its day
// and month stay, see RepairRolled), and
// keeps a record of each row that moved. Calls and corrections are only read; when they cannot be, nothing moves. It returns how many rows moved.
func (s *Store) RepairHour(ctx context.Context, account string, at time.Time, by *Repair) (moved int, err error) {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return 0, err
	}
	x.numbers = newNumbers() // the dictionaries may be what is wrong
	hour := hours(at)
	if err := s.change(ctx, func(tx *sql.Tx) error {
		is, err := s.sumsOf(ctx, tx, span{account, hour * 3600e6, (hour + 1) * 3600e6})
		if err != nil {
			return err
		}
		was, err := readSums(ctx, tx, account, hour)
		if err != nil {
			return err
		}
		w := s.newBatch(ctx, tx)
		n := [3]int{}
		if n[0], err = keepRepairs(w, by, "charge_hour", was.charges, is.charges, periodKey.compare, func(k periodKey) (periodKey, int64) { return k, 0 }); err != nil {
			return err
		}
		if n[1], err = keepRepairs(w, by, "split_hour", was.splits, is.splits, splitKey.compare, func(k splitKey) (periodKey, int64) { return k.periodKey, k.party }); err != nil {
			return err
		}
		if n[2], err = keepRepairs(w, by, "caller_hour", was.callers, is.callers, periodKey.compare, func(k periodKey) (periodKey, int64) { return k, 0 }); err != nil {
			return err
		}
		moved = n[0] + n[1] + n[2]
		return w.moveUpTo(byHour, was, is, func(m rollupSums) error { return w.insertSums(byHour, m) })
	}); err != nil {
		x.numbers = newNumbers()
		return 0, fmt.Errorf("repair %s of account %s: %w", at.Format("2006-01-02T15"), account, err)
	}
	return moved, nil
}

// RepairRolled moves the days and months of an account to what their hours come to, which are to be right before, by the difference, and keeps a
// record of each row that moved. It returns how many did.
func (s *Store) RepairRolled(ctx context.Context, account string, by *Repair) (moved int, err error) {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return 0, err
	}
	if err := s.change(ctx, func(tx *sql.Tx) error {
		moved = 0
		w := s.newBatch(ctx, tx)
		if first, ok, err := unrolled(ctx, tx, account); err != nil {
			return err
		} else if ok {
			if _, err := w.rolledTo(account, first); err != nil {
				return err
			}
			moved++
			if err := w.keepRepair(by, "rolled", account, first, 0, 0, nil, map[string]int64{"hour": first}); err != nil {
				return err
			}
		}
		return compareRolled(ctx, tx, account, func(r *rollup, s grain, n int64, k rowKeys, has, want *rowSums) error {
			moved++
			return w.mend(by, r, s, account, n, k, has, want)
		})
	}); err != nil {
		return 0, fmt.Errorf("repair days and months of account %s: %w", account, err)
	}
	return moved, nil
}

// mend moves one row of the days or months.
func (w *batch) mend(by *Repair, r *rollup, s grain, account string, n int64, k rowKeys, has, want *rowSums) error {
	var was, is rowSums
	if has != nil {
		was = *has
	}
	if want != nil {
		is = *want
	}
	table := r.name + "_" + s.String()
	args := []any{account, n}
	where := ""
	for i, name := range r.keys {
		args = append(args, k[i])
		where += fmt.Sprintf(" AND %s = $%d", name, i+3)
	}
	if want == nil {
		if _, err := w.tx.ExecContext(w.ctx, `DELETE FROM `+table+` WHERE account = $1 AND `+s.String()+` = $2`+where, args...); err != nil {
			return err
		}
	} else {
		for i := range r.sums {
			args = append(args, is[i]-was[i])
		}
		if _, err := w.writer(r).into[s].exec(w.ctx, w.tx, 1, args); err != nil {
			return err
		}
	}
	return w.keepRepair(by, table, account, s.start(n), k[0], k[1], r.figures(has), r.figures(want))
}

// sumsOf adds up the calls of p.
func (s *Store) sumsOf(ctx context.Context, tx *sql.Tx, p span) (rollupSums, error) {
	all := newSums[periodKey, splitKey, periodKey]()
	var entries []ledger.Entry
	add := func() error {
		w := s.newBatch(ctx, tx)
		if err := w.number(entries); err != nil {
			return err
		}
		m := w.sum()
		addSums[periodKey, chargeSum](all.charges, m.charges)
		addSums[splitKey, chargeSum](all.splits, m.splits)
		addSums[periodKey, callerSum](all.callers, m.callers)
		entries = entries[:0]
		return nil
	}
	_, err := s.words(ctx, tx).eachCall(p, func(e *ledger.Entry) (bool, error) {
		if entries = append(entries, *e); len(entries) < 1000 {
			return true, nil
		}
		return true, add()
	})
	if err == nil {
		err = add()
	}
	return all, err
}

func addSums[K comparable, S any, P interface {
	*S
	add(o *S)
}](to, from map[K]P) {
	for k, v := range from {
		if to[k] == nil {
			to[k] = new(S)
		}
		to[k].add(v)
	}
}

// readSums reads the rows of the rollups of one hour.
func readSums(ctx context.Context, tx *sql.Tx, account string, hour int64) (rollupSums, error) {
	m := newSums[periodKey, splitKey, periodKey]()
	k := splitKey{periodKey: periodKey{account: account, period: hour}}
	read := func(what, table string, row func(*sql.Rows) error) error {
		_, err := eachRow(ctx, tx, `SELECT `+what+` FROM `+table+` WHERE account = $1 AND hour = $2`, func(rows *sql.Rows) (bool, error) { return true, row(rows) }, account, hour)
		return err
	}
	err := read("line, "+chargeFigures, "charge_hour", func(rows *sql.Rows) error {
		v := &chargeSum{}
		err := rows.Scan(&k.number, &v.quantity, &v.nano, &v.calls, &v.unrated, &v.estimated, &v.discount)
		m.charges[k.periodKey] = v
		return err
	})
	if err == nil {
		err = read("line, party, "+chargeFigures, "split_hour", func(rows *sql.Rows) error {
			v := &chargeSum{}
			err := rows.Scan(&k.number, &k.party, &v.quantity, &v.nano, &v.calls, &v.unrated, &v.estimated, &v.discount)
			m.splits[k] = v
			return err
		})
	}
	if err == nil {
		err = read("caller, "+callerFigures, "caller_hour", func(rows *sql.Rows) error {
			v := &callerSum{}
			err := rows.Scan(&k.number, &v.calls, &v.input, &v.output, &v.nano)
			m.callers[k.periodKey] = v
			return err
		})
	}
	return m, err
}

// keepRepairs writes which rows of a rollup change from was to is.
func keepRepairs[K comparable, S comparable, P interface {
	figures[S]
	row() map[string]int64
}](w *batch, by *Repair, table string, was, is map[K]P, compare func(K, K) int, numbers func(K) (h periodKey, party int64)) (n int, err error) {
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	for _, k := range slices.SortedFunc(maps.Keys(keys), compare) {
		before, after := was[k], is[k]
		if before != nil && after != nil && *before == *after {
			continue
		}
		var rows [2]map[string]int64
		for i, p := range [2]P{before, after} {
			if p != nil {
				rows[i] = p.row()
			}
		}
		h, party := numbers(k)
		if err := w.keepRepair(by, table, h.account, h.period, h.number, party, rows[0], rows[1]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// keepRepair writes which row of a rollup changes, and from what to what: nil is no row.
func (w *batch) keepRepair(by *Repair, table, account string, hour, line, party int64, was, is map[string]int64) error {
	var texts [2]string
	for i, figures := range [2]map[string]int64{was, is} {
		text, err := json.Marshal(figures, json.Deterministic(true), json.FormatNilMapAsNull(true))
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	_, err := w.tx.ExecContext(w.ctx, `INSERT INTO repair (number, made, author, reason, rollup, account, hour, line, party, was, became)
		SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM repair`,
		by.Time.UnixMicro(), valid(by.By), valid(by.Reason), table, account, hour, line, party, texts[0], texts[1])
	return err
}

func (s *chargeSum) row() map[string]int64 {
	return map[string]int64{"quantity": s.quantity, "nano": s.nano, "calls": s.calls, "unrated": s.unrated, "estimated": s.estimated, "discount": s.discount}
}

func (s *callerSum) row() map[string]int64 {
	return map[string]int64{"calls": s.calls, "input": s.input, "output": s.output, "nano": s.nano}
}

// Repairs gives the record of repairs to fn, the oldest first, until it returns an error.
func (s *Store) Repairs(ctx context.Context, fn func(*Repair) error) error {
	return s.view(ctx, func(tx *sql.Tx) error {
		_, err := eachRow(ctx, tx, `SELECT number, made, author, reason, rollup, account, hour, line, party, was, became FROM repair ORDER BY number`, func(rows *sql.Rows) (bool, error) {
			var (
				r        Repair
				made, at int64
			)
			if err := rows.Scan(&r.Number, &made, &r.By, &r.Reason, &r.Table, &r.Account, &at, &r.Line, &r.Party, &r.Was, &r.Is); err != nil {
				return false, err
			}
			r.Time, r.Hour = time.UnixMicro(made).UTC(), hour(at)
			return true, fn(&r)
		})
		return err
	})
}

// Adjust adds an operator's correction of what a resource costs in a period: an entry with the status Adjusted, whose charges count from the time
// of its Intent on. It fails when there is an entry with its id.
func (s *Store) Adjust(ctx context.Context, e *ledger.Entry) error {
	if e.Status != ledger.Adjusted {
		return fmt.Errorf("%s is no correction", e.Intent.ID)
	}
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return err
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		w := s.newBatch(ctx, tx)
		entries := []ledger.Entry{*e}
		if archived, err := w.archivedCalls(entries); err != nil {
			return err
		} else if len(archived) > 0 {
			return errKnown
		}
		if err := w.number(entries); err != nil {
			return err
		}
		if err := w.insert(); err != nil {
			return err
		}
		return w.addUp()
	})
	if err != nil {
		x.numbers = newNumbers() // some may be of rows that are not there
	}
	return err
}
