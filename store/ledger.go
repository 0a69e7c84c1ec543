package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/ledger"
)

var _ ledger.Index = (*Store)(nil)

// ledgerIndex is what Apply keeps between batches.
type ledgerIndex struct {
	mu        sync.Mutex // one Apply at a time
	prepared  bool
	calls     inserter
	charges   inserter
	callers   inserter
	tagsets   map[string]int64    // by their text
	resources map[string]resource // by ARN, as they stand in the table
}

// maxCached bounds each of the maps; a full one is begun anew.
const maxCached = 20_000

type resource struct{ account, name, modelID string }

// errKnown ends a transaction that found calls which the index has already.
var errKnown = errors.New("calls are in the index already")

// Position implements ledger.Index.
func (s *Store) Position(ctx context.Context, node, epoch string) (ledger.Position, error) {
	var p ledger.Position
	err := s.write.QueryRowContext(ctx, `SELECT position FROM journal WHERE node = $1 AND epoch = $2`, node, epoch).Scan(&p)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return p, err
}

// Apply implements ledger.Index.
func (s *Store) Apply(ctx context.Context, b *ledger.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A statement that can be cancelled costs a goroutine; a batch is bounded anyway.
	ctx = context.WithoutCancel(ctx)
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.prepare(ctx, s.write); err != nil {
		return err
	}
	err := s.apply(ctx, b, false)
	if errors.Is(err, errKnown) {
		err = s.apply(ctx, b, true)
	}
	if err != nil {
		return fmt.Errorf("apply batch %s/%s/%x: %w", b.Node, b.Epoch, int64(b.From), err)
	}
	return nil
}

// apply is one transaction. Unless known is set it takes all calls for new and fails with errKnown when one is not.
func (s *Store) apply(ctx context.Context, b *ledger.Batch, known bool) error {
	x := &s.index
	work := batch{index: x, tagsets: map[string]int64{}, resources: map[string]resource{}}
	err := s.change(ctx, func(tx *sql.Tx) error {
		moved, err := move(ctx, tx, b)
		if err != nil || !moved {
			return err
		}
		entries := b.Entries
		if err := work.names(ctx, tx, entries); err != nil {
			return err
		}
		if known {
			entries, err = work.insertNew(ctx, tx, entries)
		} else {
			err = work.insert(ctx, tx, entries)
		}
		if err != nil {
			return err
		}
		return work.addUp(ctx, tx, entries)
	})
	if err != nil {
		return err
	}
	// Only now is it certain that these rows exist.
	if len(x.tagsets) > maxCached {
		clear(x.tagsets)
	}
	if len(x.resources) > maxCached {
		clear(x.resources)
	}
	maps.Copy(x.tagsets, work.tagsets)
	maps.Copy(x.resources, work.resources)
	return nil
}

// move takes the journal's position from b.From to b.To. It returns false when b is the batch that did so last.
func move(ctx context.Context, tx *sql.Tx, b *ledger.Batch) (bool, error) {
	if b.From < 0 || b.To <= b.From {
		return false, fmt.Errorf("a batch from %x to %x", int64(b.From), int64(b.To))
	}
	var (
		r   sql.Result
		err error
	)
	if b.From == 0 {
		r, err = tx.ExecContext(ctx, `INSERT INTO journal (node, epoch, began, position) VALUES ($1, $2, 0, $3)
			ON CONFLICT (node, epoch) DO NOTHING`, b.Node, b.Epoch, b.To)
	} else {
		r, err = tx.ExecContext(ctx, `UPDATE journal SET began = $3, position = $4
			WHERE node = $1 AND epoch = $2 AND position = $3`, b.Node, b.Epoch, b.From, b.To)
	}
	if err != nil {
		return false, err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		return n == 1, err
	}
	var began, position ledger.Position
	err = tx.QueryRowContext(ctx, `SELECT began, position FROM journal WHERE node = $1 AND epoch = $2`, b.Node, b.Epoch).Scan(&began, &position)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if began == b.From && position == b.To {
		return false, nil
	}
	return false, fmt.Errorf("the batch begins at %x and ends at %x, the index stands at %x", int64(b.From), int64(b.To), int64(position))
}

// batch is one Apply at work.
type batch struct {
	index     *ledgerIndex
	tagsets   map[string]int64 // those that the index did not have in memory
	resources map[string]resource
	ids       []int64 // tagset of each entry
	args      []any
}

// names makes sure that the tag sets and resources of entries have their rows.
func (w *batch) names(ctx context.Context, tx *sql.Tx, entries []ledger.Entry) error {
	w.ids = make([]int64, len(entries))
	var (
		text []byte
		last *ledger.Tag // of the set in text: the ledger shares equal sets
		id   int64
	)
	for i := range entries {
		e := &entries[i]
		if e.Status < ledger.Completed || e.Status > ledger.Recovered || e.Intent.ID != e.Settlement.ID {
			return fmt.Errorf("call %s is not a settled one", e.Intent.ID)
		}
		if i == 0 || len(e.Tags) == 0 || &e.Tags[0] != last {
			var err error
			text = appendTags(text[:0], e.Tags)
			if id, err = w.tagset(ctx, tx, text); err != nil {
				return err
			}
			if last = nil; len(e.Tags) > 0 {
				last = &e.Tags[0]
			}
		}
		w.ids[i] = id
		if err := w.resource(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *batch) tagset(ctx context.Context, tx *sql.Tx, text []byte) (int64, error) {
	if id, ok := w.index.tagsets[string(text)]; ok {
		return id, nil
	}
	if id, ok := w.tagsets[string(text)]; ok {
		return id, nil
	}
	tags := string(text)
	// Another node may take the number at the same moment: the transaction then fails and is repeated.
	if _, err := tx.ExecContext(ctx, `INSERT INTO tagset (id, tags) SELECT COALESCE(MAX(id), 0) + 1, $1 FROM tagset WHERE true
		ON CONFLICT (tags) DO NOTHING`, tags); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM tagset WHERE tags = $1`, tags).Scan(&id); err != nil {
		return 0, err
	}
	w.tagsets[tags] = id
	return id, nil
}

func (w *batch) resource(ctx context.Context, tx *sql.Tx, e *ledger.Entry) error {
	r := resource{e.Account, e.ResourceName, e.ModelID}
	have, ok := w.resources[e.ResourceARN]
	if !ok {
		have, ok = w.index.resources[e.ResourceARN]
	}
	if ok && have == r {
		return nil
	}
	w.resources[e.ResourceARN] = r
	_, err := tx.ExecContext(ctx, `INSERT INTO resource (arn, account, name, model_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT (arn) DO UPDATE SET account = excluded.account, name = excluded.name, model_id = excluded.model_id`,
		e.ResourceARN, r.account, r.name, r.modelID)
	return err
}

const callColumns = `id, account, began, ended, region, operation, principal, access_key, resource, model_id, scope, tagset,
	estimated_input, max_output, status, estimated, reason, service, upstream, served, attempts, stop_reason, latency, first_event,
	input, output, cache_read, cache_write, cache_write_1h, charges, nano, unrated`

func appendCall(args []any, e *ledger.Entry, tagset int64) []any {
	nano, unrated := e.Cost()
	in, s := &e.Intent, &e.Settlement
	return append(args, in.ID[:], in.Account, in.Time.UnixMicro(), s.Time.UnixMicro(), in.Region, in.Operation, in.Principal, in.AccessKeyID,
		in.ResourceARN, in.ModelID, in.Scope, tagset, in.EstimatedInputTokens, in.MaxOutputTokens, s.Status.String(), s.Estimated,
		valid(s.Reason), s.Service, s.Upstream, s.Served, int64(s.Attempts), valid(s.StopReason), s.Latency.Microseconds(), s.FirstEvent.Microseconds(),
		s.Usage.InputTokens, s.Usage.OutputTokens, s.Usage.CacheReadInputTokens, s.Usage.CacheWriteInputTokens, s.Usage.CacheWrite1hInputTokens,
		string(appendCharges(nil, s.Charges)), nano, unrated)
}

// valid makes what strangers write fit for a TEXT: PostgreSQL takes neither broken UTF-8 nor NUL.
func valid(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// insert adds the rows of entries, many at a time.
func (w *batch) insert(ctx context.Context, tx *sql.Tx, entries []ledger.Entry) error {
	for i := 0; i < len(entries); {
		n := w.index.calls.size(len(entries) - i)
		w.args = w.args[:0]
		for k := range n {
			w.args = appendCall(w.args, &entries[i+k], w.ids[i+k])
		}
		added, err := w.index.calls.exec(ctx, tx, n, w.args)
		if err != nil {
			return err
		}
		if added != int64(n) {
			return errKnown
		}
		i += n
	}
	return nil
}

// insertNew adds the rows of entries one at a time and returns those that were not there, with ids to match.
func (w *batch) insertNew(ctx context.Context, tx *sql.Tx, entries []ledger.Entry) ([]ledger.Entry, error) {
	var (
		fresh []ledger.Entry
		ids   []int64
	)
	for i := range entries {
		w.args = appendCall(w.args[:0], &entries[i], w.ids[i])
		added, err := w.index.calls.exec(ctx, tx, 1, w.args)
		if err != nil {
			return nil, err
		}
		if added == 1 {
			fresh = append(fresh, entries[i])
			ids = append(ids, w.ids[i])
		}
	}
	w.ids = ids
	return fresh, nil
}

// chargeKey and chargeSum are a row of charge_hour, callerKey and callerSum one of caller_hour.
type chargeKey struct {
	account                                         string
	hour                                            int64
	resource, usageType, operation, region, service string
	tagset                                          int64
}

type chargeSum struct{ quantity, nano, calls, unrated, estimated int64 }

type callerKey struct {
	account             string
	hour                int64
	principal, resource string
}

type callerSum struct{ calls, input, output, nano int64 }

func (a chargeKey) compare(b chargeKey) int {
	return cmp.Or(strings.Compare(a.account, b.account), cmp.Compare(a.hour, b.hour), strings.Compare(a.resource, b.resource),
		strings.Compare(a.usageType, b.usageType), strings.Compare(a.operation, b.operation), strings.Compare(a.region, b.region),
		strings.Compare(a.service, b.service), cmp.Compare(a.tagset, b.tagset))
}

func (a callerKey) compare(b callerKey) int {
	return cmp.Or(strings.Compare(a.account, b.account), cmp.Compare(a.hour, b.hour), strings.Compare(a.principal, b.principal), strings.Compare(a.resource, b.resource))
}

// sums is the rollups of some calls.
type sums struct {
	charges map[chargeKey]chargeSum
	callers map[callerKey]callerSum
}

func newSums() sums { return sums{map[chargeKey]chargeSum{}, map[callerKey]callerSum{}} }

func (m *sums) add(e *ledger.Entry, tagset int64) {
	// The hour in which a call began, also before 1970.
	hour := e.Intent.Time.Truncate(time.Hour).Unix() / 3600
	var nano int64
	for i := range e.Charges {
		c := &e.Charges[i]
		nano += c.Nano
		k := chargeKey{e.Account, hour, e.ResourceARN, c.UsageType, e.Operation, e.Region, e.Service, tagset}
		sum := m.charges[k]
		sum.quantity += c.Quantity
		sum.nano += c.Nano
		// A call with two lines of one usage type is one call.
		same := func(d ledger.Charge) bool { return d.UsageType == c.UsageType }
		if !slices.ContainsFunc(e.Charges[:i], same) {
			sum.calls++
			if e.Estimated {
				sum.estimated++
			}
			if slices.ContainsFunc(e.Charges[i:], func(d ledger.Charge) bool { return same(d) && d.Unrated }) {
				sum.unrated++
			}
		}
		m.charges[k] = sum
	}
	k := callerKey{e.Account, hour, e.Principal, e.ResourceARN}
	sum := m.callers[k]
	sum.calls++
	sum.input += e.Usage.Total() - e.Usage.OutputTokens
	sum.output += e.Usage.OutputTokens
	sum.nano += nano
	m.callers[k] = sum
}

// addUp adds entries to the rollups: in memory first, so that each row is touched once, and in the order of the keys, so
// that nodes that share the tables wait for one another and do not lock each other out.
func (w *batch) addUp(ctx context.Context, tx *sql.Tx, entries []ledger.Entry) error {
	m := newSums()
	for i := range entries {
		m.add(&entries[i], w.ids[i])
	}
	charges := slices.SortedFunc(maps.Keys(m.charges), chargeKey.compare)
	for len(charges) > 0 {
		n := w.index.charges.size(len(charges))
		w.args = w.args[:0]
		for _, k := range charges[:n] {
			s := m.charges[k]
			w.args = append(w.args, k.account, k.hour, k.region, k.service, k.usageType, k.operation, k.resource, k.tagset,
				s.quantity, s.nano, s.calls, s.unrated, s.estimated)
		}
		if _, err := w.index.charges.exec(ctx, tx, n, w.args); err != nil {
			return err
		}
		charges = charges[n:]
	}
	callers := slices.SortedFunc(maps.Keys(m.callers), callerKey.compare)
	for len(callers) > 0 {
		n := w.index.callers.size(len(callers))
		w.args = w.args[:0]
		for _, k := range callers[:n] {
			s := m.callers[k]
			w.args = append(w.args, k.account, k.hour, k.principal, k.resource, s.calls, s.input, s.output, s.nano)
		}
		if _, err := w.index.callers.exec(ctx, tx, n, w.args); err != nil {
			return err
		}
		callers = callers[n:]
	}
	return nil
}

// inserter is a prepared INSERT for several numbers of rows.
type inserter struct{ stmts [3]*sql.Stmt }

// insertSizes are the numbers of rows: with more than about 50 nothing is gained.
var insertSizes = [3]int{50, 8, 1}

func prepareInsert(ctx context.Context, db *sql.DB, into, columns, conflict string) (inserter, error) {
	var (
		ins   inserter
		width = strings.Count(columns, ",") + 1
	)
	for i, rows := range insertSizes {
		var q strings.Builder
		fmt.Fprintf(&q, "INSERT INTO %s (%s) VALUES ", into, columns)
		for p := range rows * width {
			switch {
			case p == 0:
				q.WriteString("(")
			case p%width == 0:
				q.WriteString("), (")
			default:
				q.WriteString(", ")
			}
			// Not $1, $2, ...: SQLite looks the name of a named argument up in a list of them all, for every
			// argument of every execution. An engine that wants numbers gets them here.
			q.WriteString("?")
		}
		q.WriteString(") " + conflict)
		var err error
		if ins.stmts[i], err = db.PrepareContext(ctx, q.String()); err != nil { //nolint:sqlclosecheck // prepared once, closed with the database
			return ins, err
		}
	}
	return ins, nil
}

// size returns how many of left rows go into the next statement.
func (ins *inserter) size(left int) int {
	for _, n := range insertSizes {
		if n <= left {
			return n
		}
	}
	return 0
}

func (ins *inserter) exec(ctx context.Context, tx *sql.Tx, rows int, args []any) (added int64, err error) {
	r, err := tx.StmtContext(ctx, ins.stmts[slices.Index(insertSizes[:], rows)]).ExecContext(ctx, args...) //nolint:sqlclosecheck // ends with its transaction
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// prepare readies the statements. They live as long as db.
func (x *ledgerIndex) prepare(ctx context.Context, db *sql.DB) (err error) {
	if x.prepared {
		return nil
	}
	if x.calls, err = prepareInsert(ctx, db, "call", callColumns, "ON CONFLICT (id) DO NOTHING"); err != nil {
		return err
	}
	if x.charges, err = prepareInsert(ctx, db, "charge_hour",
		"account, hour, region, service, usage_type, operation, resource, tagset, quantity, nano, calls, unrated, estimated",
		`ON CONFLICT (account, hour, resource, usage_type, operation, region, service, tagset) DO UPDATE SET
			quantity = charge_hour.quantity + excluded.quantity, nano = charge_hour.nano + excluded.nano, calls = charge_hour.calls + excluded.calls,
			unrated = charge_hour.unrated + excluded.unrated, estimated = charge_hour.estimated + excluded.estimated`); err != nil {
		return err
	}
	if x.callers, err = prepareInsert(ctx, db, "caller_hour", "account, hour, principal, resource, calls, input, output, nano",
		`ON CONFLICT (account, hour, principal, resource) DO UPDATE SET calls = caller_hour.calls + excluded.calls,
			input = caller_hour.input + excluded.input, output = caller_hour.output + excluded.output, nano = caller_hour.nano + excluded.nano`); err != nil {
		return err
	}
	x.tagsets, x.resources = map[string]int64{}, map[string]resource{}
	x.prepared = true
	return nil
}

// appendTags appends a tag set's text: [["key","value"],...]. Broken UTF-8, which is for those who take tags to refuse, is
// written with U+FFFD: an index that refused it would stand still.
func appendTags(b []byte, tags []ledger.Tag) []byte {
	b = append(b, '[')
	for i, t := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b, _ = jsontext.AppendQuote(b, t.Key)
		b = append(b, ',')
		b, _ = jsontext.AppendQuote(b, t.Value)
		b = append(b, ']')
	}
	return append(b, ']')
}

// appendCharges appends [[usage type, quantity, nano, price, unrated], ...].
func appendCharges(b []byte, charges []ledger.Charge) []byte {
	b = append(b, '[')
	for i := range charges {
		c := &charges[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b, _ = jsontext.AppendQuote(b, c.UsageType) // only of broken UTF-8: then it is written with U+FFFD
		b = append(b, ',')
		b = strconv.AppendInt(b, c.Quantity, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, c.Nano, 10)
		b = append(b, ',')
		b, _ = jsontext.AppendQuote(b, c.Price)
		b = append(b, ',')
		b = strconv.AppendBool(b, c.Unrated)
		b = append(b, ']')
	}
	return append(b, ']')
}

func decodeCharges(text []byte) ([]ledger.Charge, error) {
	var rows [][]jsontext.Value
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, err
	}
	var charges []ledger.Charge
	for _, r := range rows {
		var c ledger.Charge
		into := []any{&c.UsageType, &c.Quantity, &c.Nano, &c.Price, &c.Unrated}
		if len(r) != len(into) {
			return nil, errors.New("a charge has not its five parts")
		}
		for i, v := range r {
			if err := json.Unmarshal(v, into[i]); err != nil {
				return nil, err
			}
		}
		charges = append(charges, c)
	}
	return charges, nil
}

// Calls returns settled calls of account ("" for every account, one after the other) that began at since or later, in the
// order in which they began, at most limit of them (0 for all). The Entry is the caller's only until the next one. The names of resources are
// those of the newest call of each.
func (s *Store) Calls(ctx context.Context, account string, since time.Time, limit int) iter.Seq2[*ledger.Entry, error] {
	return func(yield func(*ledger.Entry, error) bool) {
		tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			yield(nil, err)
			return
		}
		defer tx.Rollback() // nothing was written
		stopped := false
		err = eachCall(ctx, tx, account, since, limit, func(e *ledger.Entry, _ int64) bool {
			stopped = !yield(e, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// eachCall gives the calls of Calls to fn, with their tag sets' ids, until it returns false.
func eachCall(ctx context.Context, tx *sql.Tx, account string, since time.Time, limit int, fn func(*ledger.Entry, int64) bool) error {
	tagsets := map[int64][]ledger.Tag{}
	rows, err := tx.QueryContext(ctx, `SELECT id, tags FROM tagset`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id   int64
			text []byte
		)
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		tags, err := decodeTagset(text)
		if err != nil {
			return fmt.Errorf("tag set %d: %w", id, err)
		}
		tagsets[id] = append([]ledger.Tag(nil), tags...) // nil where there are none, as in an Intent
	}
	if err := rows.Err(); err != nil {
		return err
	}
	text := `SELECT c.` + strings.ReplaceAll(strings.Join(strings.Fields(callColumns), " "), ", ", ", c.") + `, r.name
		FROM call AS c LEFT JOIN resource AS r ON r.arn = c.resource WHERE c.began >= $1`
	args := []any{since.UnixMicro()}
	if since.IsZero() {
		args[0] = int64(-1 << 62)
	}
	if account != "" {
		args = append(args, account)
		text += ` AND c.account = $2`
	}
	text += ` ORDER BY c.account, c.began, c.id`
	if limit > 0 {
		text += ` LIMIT ` + strconv.Itoa(limit)
	}
	_, err = eachRow(ctx, tx, text, func(rows *sql.Rows) (bool, error) {
		var (
			e                                    ledger.Entry
			id, charges                          []byte
			began, ended, latency, first, tagset int64
			status                               string
			name                                 sql.NullString
			nano                                 int64
			unrated                              bool
		)
		in, s := &e.Intent, &e.Settlement
		if err := rows.Scan(&id, &in.Account, &began, &ended, &in.Region, &in.Operation, &in.Principal, &in.AccessKeyID,
			&in.ResourceARN, &in.ModelID, &in.Scope, &tagset, &in.EstimatedInputTokens, &in.MaxOutputTokens, &status, &s.Estimated,
			&s.Reason, &s.Service, &s.Upstream, &s.Served, &s.Attempts, &s.StopReason, &latency, &first,
			&s.Usage.InputTokens, &s.Usage.OutputTokens, &s.Usage.CacheReadInputTokens, &s.Usage.CacheWriteInputTokens, &s.Usage.CacheWrite1hInputTokens,
			&charges, &nano, &unrated, &name); err != nil {
			return false, err
		}
		var err error
		if in.ID, err = uuid.FromBytes(id); err != nil {
			return false, err
		}
		s.ID, in.ResourceName = in.ID, name.String
		in.Time, s.Time = time.UnixMicro(began).UTC(), time.UnixMicro(ended).UTC()
		s.Latency, s.FirstEvent = time.Duration(latency)*time.Microsecond, time.Duration(first)*time.Microsecond
		for s.Status = ledger.Completed; s.Status.String() != status; s.Status++ {
			if s.Status > ledger.Recovered {
				return false, fmt.Errorf("call %s: unknown status %q", in.ID, status)
			}
		}
		var ok bool
		if in.Tags, ok = tagsets[tagset]; !ok {
			return false, fmt.Errorf("call %s: there is no tag set %d", in.ID, tagset)
		}
		if s.Charges, err = decodeCharges(charges); err != nil {
			return false, fmt.Errorf("call %s: charges: %w", in.ID, err)
		}
		if n, u := s.Cost(); n != nano || u != unrated {
			return false, fmt.Errorf("call %s: its charges are %d nano-USD (unrated %t), the row says %d (%t)", in.ID, n, u, nano, unrated)
		}
		return fn(&e, tagset), nil
	}, args...)
	return err
}

// VerifyLedger proves that the rollups are the sums of the calls, no more and no less. The error lists the first
// differences.
func (s *Store) VerifyLedger(ctx context.Context) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	want := newSums()
	if err := eachCall(ctx, tx, "", time.Time{}, 0, func(e *ledger.Entry, tagset int64) bool {
		want.add(e, tagset)
		return true
	}); err != nil {
		return err
	}
	var (
		differences []string
		missing     = "is missing"
	)
	differ := func(row any, has, want any) {
		differences = append(differences, fmt.Sprintf("%+v: %+v, the calls say %+v", row, has, want))
	}
	if _, err := eachRow(ctx, tx, `SELECT account, hour, resource, usage_type, operation, region, service, tagset, quantity, nano, calls, unrated, estimated
		FROM charge_hour`, func(rows *sql.Rows) (bool, error) {
		var (
			k chargeKey
			v chargeSum
		)
		if err := rows.Scan(&k.account, &k.hour, &k.resource, &k.usageType, &k.operation, &k.region, &k.service, &k.tagset,
			&v.quantity, &v.nano, &v.calls, &v.unrated, &v.estimated); err != nil {
			return false, err
		}
		if w := want.charges[k]; w != v {
			differ(k, v, w)
		}
		delete(want.charges, k)
		return true, nil
	}); err != nil {
		return err
	}
	for k, w := range want.charges {
		differ(k, missing, w)
	}
	if _, err := eachRow(ctx, tx, `SELECT account, hour, principal, resource, calls, input, output, nano FROM caller_hour`, func(rows *sql.Rows) (bool, error) {
		var (
			k callerKey
			v callerSum
		)
		if err := rows.Scan(&k.account, &k.hour, &k.principal, &k.resource, &v.calls, &v.input, &v.output, &v.nano); err != nil {
			return false, err
		}
		if w := want.callers[k]; w != v {
			differ(k, v, w)
		}
		delete(want.callers, k)
		return true, nil
	}); err != nil {
		return err
	}
	for k, w := range want.callers {
		differ(k, missing, w)
	}
	if n := len(differences); n > 0 {
		return fmt.Errorf("%d rows of the rollups are not the sums of the calls: %s", n, strings.Join(differences[:min(n, 10)], "; "))
	}
	return nil
}
