package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/ledger"
)

var _ ledger.Index = (*Store)(nil)

// ledgerIndex is what Apply keeps between batches: statements, and the numbers of what calls have in common.
type ledgerIndex struct {
	mu       sync.Mutex // one Apply at a time
	prepared bool

	insertCalls                       inserter
	chargeSums, splitSums, callerSums rollupWriter
	rolledHour, nextHour              *sql.Stmt // see batch.rolledTo and batch.roll

	newestArchived *sql.Stmt // the newest day that has calls in the archive

	tagsetIDs, originIDs, endingIDs, rateIDs, lineIDs, callerIDs, partyIDs dictionary
	numbers                                                                numbers
	maxNumbers                                                             int // how many may be in memory before a batch
	maxValues, maxKeys                                                     int // see batch.said
}

// numbers is what is in memory of the dictionaries. It may lack anything, and is begun anew when it is full or when a
// transaction failed whose numbers it has.
type numbers struct {
	tagsets   map[string]int64 // by their text
	origins   map[originKey]*origin
	endings   map[endingKey]int64
	rates     map[rateKey]int64
	lines     map[lineKey]int64
	parties   map[partyKey]int64
	said      map[string]*vocabulary // by account
	resources map[string]*resource   // by ARN, as they stand in the table
}

// defaultMaxNumbers are some 20 MB of common ones. A batch adds at most a few for each of its calls.
const defaultMaxNumbers = 20_000

func newNumbers() numbers {
	return numbers{
		tagsets: map[string]int64{}, origins: map[originKey]*origin{}, endings: map[endingKey]int64{}, rates: map[rateKey]int64{},
		lines: map[lineKey]int64{}, parties: map[partyKey]int64{}, said: map[string]*vocabulary{}, resources: map[string]*resource{},
	}
}

func (n *numbers) size() int {
	size := len(n.tagsets) + len(n.origins) + len(n.endings) + len(n.rates) + len(n.lines) + len(n.parties) + len(n.resources)
	for _, v := range n.said {
		size += v.size
	}
	return size
}

// resource is what calls say of one: the account in its row is that of the first call, for a model's ARN is that of every account.
type resource struct{ name, modelID string }

// originKey is a row of call_origin, endingKey one of call_ending, rateKey one of charge_rate, lineKey one of charge_line.
type originKey struct {
	account, region, operation, principal, accessKey, resource, modelID, scope string
	tagset                                                                     int64
}

type endingKey struct {
	status                    ledger.Status
	estimated                 bool
	service, upstream, served string
	attempts                  int
	stopReason                string
}

type rateKey struct {
	usageType, price string
	unrated          bool
}

type lineKey struct {
	region, service, usageType, operation, resource string
	tagset                                          int64
}

// partyKey is a row of party: the sets are numbers of tagset.
type partyKey struct {
	principal      string
	tags, metadata int64
}

// origin is the number of an originKey with what else follows from it.
type origin struct {
	id       int64
	caller   int64 // caller.id
	tagset   int64
	resource *resource
}

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
	err := s.change(ctx, func(tx *sql.Tx) error {
		moved, err := move(ctx, tx, b)
		if err != nil || !moved {
			return err
		}
		work := s.newBatch(ctx, tx)
		entries := b.Entries
		archived, err := work.archivedCalls(entries)
		if err != nil {
			return err
		}
		if len(archived) > 0 {
			entries = slices.DeleteFunc(slices.Clone(entries), func(e ledger.Entry) bool {
				_, ok := archived[e.Intent.ID]
				return ok
			})
		}
		if err := work.number(entries); err != nil {
			return err
		}
		if known {
			err = work.insertNew()
		} else {
			err = work.insert()
		}
		if err != nil {
			return err
		}
		return work.addUp()
	})
	if err != nil {
		s.index.numbers = newNumbers() // some may be of rows that are not there
	}
	return err
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

// batch is one transaction of Apply at work.
type batch struct {
	*ledgerIndex
	store   *Store
	ctx     context.Context
	tx      *sql.Tx
	tagsets map[tagsetKey]int64
	rolled  map[string]int64 // see rolledTo
	calls   []call
	charges []charge // of all calls
	text    []byte
	args    []any

	corrected map[string]map[uuid.UUID]int // how many corrections of calls are in a file of the archive
}

func (s *Store) newBatch(ctx context.Context, tx *sql.Tx) *batch {
	return &batch{ledgerIndex: &s.index, store: s, ctx: ctx, tx: tx, tagsets: map[tagsetKey]int64{}, rolled: map[string]int64{}}
}

// tagsetKey is where a set lies: the ledger shares equal ones.
type tagsetKey struct {
	first *ledger.Tag
	n     int
}

// call is an entry with its numbers.
type call struct {
	*ledger.Entry
	origin  *origin
	ending  int64
	party   int64
	owned   int64    // the number of the set of the caller's tags
	charges []charge // as the Entry's
}

type charge struct{ rate, line int64 }

// number finds the numbers of entries, and writes the rows of what has none yet.
func (w *batch) number(entries []ledger.Entry) error {
	w.calls = make([]call, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Status < ledger.Completed || e.Status > ledger.Adjusted || e.Intent.ID != e.Settlement.ID {
			return fmt.Errorf("call %s is not a settled one", e.Intent.ID)
		}
		c := call{Entry: e}
		var err error
		if c.origin, err = w.origin(e); err != nil {
			return err
		}
		if c.ending, err = w.ending(&e.Settlement); err != nil {
			return err
		}
		if c.party, c.owned, err = w.party(e); err != nil {
			return err
		}
		begin := len(w.charges)
		for k := range e.Charges {
			ch, err := w.charge(e, c.origin, &e.Charges[k])
			if err != nil {
				return err
			}
			w.charges = append(w.charges, ch)
		}
		c.charges = w.charges[begin:]
		w.calls[i] = c
	}
	return nil
}

func (w *batch) tagset(tags []ledger.Tag) (int64, error) {
	at := tagsetKey{n: len(tags)}
	if len(tags) > 0 {
		at.first = &tags[0]
	}
	if id, ok := w.tagsets[at]; ok {
		return id, nil
	}
	w.text = appendTags(w.text[:0], tags)
	id, ok := w.numbers.tagsets[string(w.text)]
	if !ok {
		text := string(w.text)
		var err error
		if id, err = w.tagsetIDs.id(w.ctx, w.tx, text); err != nil {
			return 0, err
		}
		w.numbers.tagsets[text] = id
	}
	w.tagsets[at] = id
	return id, nil
}

func (w *batch) origin(e *ledger.Entry) (*origin, error) {
	tagset, err := w.tagset(e.Tags)
	if err != nil {
		return nil, err
	}
	k := originKey{e.Account, e.Region, e.Operation, e.Principal, e.AccessKeyID, e.ResourceARN, e.ModelID, e.Scope, tagset}
	o, ok := w.numbers.origins[k]
	if !ok {
		o = &origin{tagset: tagset}
		if o.id, err = w.originIDs.id(w.ctx, w.tx, k.account, k.region, k.operation, k.principal, k.accessKey, k.resource, k.modelID, k.scope, tagset); err != nil {
			return nil, err
		}
		if o.caller, err = w.callerIDs.id(w.ctx, w.tx, k.principal, k.resource); err != nil {
			return nil, err
		}
		if o.resource = w.numbers.resources[k.resource]; o.resource == nil {
			o.resource = &resource{}
			w.numbers.resources[k.resource] = o.resource
		}
		w.numbers.origins[k] = o
	}
	// The name is that of the newest call.
	if r := (resource{e.ResourceName, e.ModelID}); *o.resource != r {
		*o.resource = r
		if err := bump(w.ctx, w.tx, resourceDomain); err != nil {
			return nil, err
		}
		if _, err := w.tx.ExecContext(w.ctx, `INSERT INTO resource (arn, account, name, model_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (arn) DO UPDATE SET name = excluded.name, model_id = excluded.model_id`,
			e.ResourceARN, e.Account, r.name, r.modelID); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (w *batch) ending(s *ledger.Settlement) (int64, error) {
	k := endingKey{s.Status, s.Estimated, s.Service, s.Upstream, s.Served, s.Attempts, s.StopReason}
	id, ok := w.numbers.endings[k]
	if !ok {
		var err error
		if id, err = w.endingIDs.id(w.ctx, w.tx, k.status.String(), k.estimated, k.service, k.upstream, k.served, int64(k.attempts), valid(k.stopReason)); err != nil {
			return 0, err
		}
		w.numbers.endings[k] = id
	}
	return id, nil
}

func (w *batch) charge(e *ledger.Entry, o *origin, c *ledger.Charge) (charge, error) {
	rate := rateKey{c.UsageType, c.Price, c.Unrated}
	var (
		ch  charge
		ok  bool
		err error
	)
	if ch.rate, ok = w.numbers.rates[rate]; !ok {
		if ch.rate, err = w.rateIDs.id(w.ctx, w.tx, rate.usageType, rate.price, rate.unrated); err != nil {
			return charge{}, err
		}
		w.numbers.rates[rate] = ch.rate
	}
	line := lineKey{e.Region, e.Service, c.UsageType, e.Operation, e.ResourceARN, o.tagset}
	if ch.line, ok = w.numbers.lines[line]; !ok {
		if ch.line, err = w.lineIDs.id(w.ctx, w.tx, line.region, line.service, line.usageType, line.operation, line.resource, line.tagset); err != nil {
			return charge{}, err
		}
		w.numbers.lines[line] = ch.line
	}
	return ch, nil
}

const callColumns = `account, began, id, origin, ending, ended, latency, first_event, reason, estimated_input, max_output,
	input, output, cache_read, cache_write, cache_write_1h, charges, nano, metadata, tier, units, principal_tags`

func (w *batch) appendCall(args []any, c *call) []any {
	in, s := &c.Intent, &c.Settlement
	nano, _ := s.Cost()
	w.text = appendCharges(w.text[:0], s.Charges, c.charges)
	charges := string(w.text)
	var metadata any // NULL costs a call without any nothing
	if len(in.Metadata) > 0 {
		w.text = appendTags(w.text[:0], in.Metadata)
		metadata = string(w.text)
	}
	var tier any // likewise
	if in.Tier != "" {
		tier = valid(in.Tier)
	}
	var used any // likewise
	if s.Usage.Units != (converse.Units{}) {
		used = appendUnits(&s.Usage.Units)
	}
	var owned any // likewise
	if len(in.PrincipalTags) > 0 {
		owned = c.owned
	}
	return append(args, in.Account, in.Time.UnixMicro(), in.ID[:], c.origin.id, c.ending, s.Time.UnixMicro(), s.Latency.Microseconds(), s.FirstEvent.Microseconds(),
		valid(s.Reason), in.EstimatedInputTokens, in.MaxOutputTokens, s.Usage.InputTokens, s.Usage.OutputTokens, s.Usage.CacheReadInputTokens,
		s.Usage.CacheWriteInputTokens, s.Usage.CacheWrite1hInputTokens, charges, nano, metadata, tier, used, owned)
}

// appendCharges appends the text of charges: [[charge_rate.id, quantity, nano],...], with the discount behind where there is one.
func appendCharges(b []byte, charges []ledger.Charge, numbers []charge) []byte {
	b = append(b, '[')
	for i := range charges {
		c := &charges[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, '['), numbers[i].rate, 10)
		b = strconv.AppendInt(append(b, ','), c.Quantity, 10)
		b = strconv.AppendInt(append(b, ','), c.Nano, 10)
		if c.Discount != 0 {
			b = strconv.AppendInt(append(b, ','), c.Discount, 10)
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

// units is the JSON of a call's Units.
type units struct {
	Images      int64  `json:"images,omitzero"`
	ImageType   string `json:"image_type,omitzero"`
	InputImages int64  `json:"input_images,omitzero"`
	SearchUnits int64  `json:"search_units,omitzero"`
}

func appendUnits(u *converse.Units) string {
	text, _ := json.Marshal(units(*u), jsontext.AllowInvalidUTF8(true)) // numbers and a text of our own
	return valid(string(text))
}

// valid makes what strangers write fit for a TEXT: PostgreSQL takes neither broken UTF-8 nor NUL.
func valid(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// insert adds the rows of the calls, many at a time.
func (w *batch) insert() error {
	for left := w.calls; len(left) > 0; {
		n := w.insertCalls.size(len(left))
		w.args = w.args[:0]
		for i := range left[:n] {
			w.args = w.appendCall(w.args, &left[i])
		}
		added, err := w.insertCalls.exec(w.ctx, w.tx, n, w.args)
		if err != nil {
			return err
		}
		if added != int64(n) {
			return errKnown
		}
		left = left[n:]
	}
	return nil
}

// insertNew adds the rows of the calls one at a time and forgets the calls that were there.
func (w *batch) insertNew() error {
	fresh := w.calls[:0]
	for i := range w.calls {
		c := w.calls[i]
		w.args = w.appendCall(w.args[:0], &c)
		added, err := w.insertCalls.exec(w.ctx, w.tx, 1, w.args)
		if err != nil {
			return err
		}
		if added == 1 {
			fresh = append(fresh, c)
		}
	}
	w.calls = fresh
	return nil
}

// chargeSum is the figures of a row of charge_hour, callerSum those of one of caller_hour.
type (
	chargeSum struct{ quantity, nano, calls, unrated, estimated, discount int64 }
	callerSum struct{ calls, input, output, nano int64 }
)

// sums is the rollups of some calls. C is what tells rows of charge_hour apart, S those of split_hour, K those of
// caller_hour: numbers when they are added, texts when they are proved.
type sums[C, S, K comparable] struct {
	charges map[C]*chargeSum
	splits  map[S]*chargeSum
	callers map[K]*callerSum
}

func newSums[C, S, K comparable]() sums[C, S, K] {
	return sums[C, S, K]{map[C]*chargeSum{}, map[S]*chargeSum{}, map[K]*callerSum{}}
}

// add adds a call: charges and splits have the keys of each of its charges, equal for those of one usage type.
func (m *sums[C, S, K]) add(e *ledger.Entry, charges []C, splits []S, caller K) {
	var nano int64
	for i := range e.Charges {
		c := &e.Charges[i]
		nano += c.Nano
		one := chargeSum{quantity: c.Quantity, nano: c.Nano, discount: c.Discount}
		// A call with two lines of one usage type is one call.
		same := func(d ledger.Charge) bool { return d.UsageType == c.UsageType }
		if !slices.ContainsFunc(e.Charges[:i], same) {
			one.calls = 1
			if e.Estimated {
				one.estimated = 1
			}
			if slices.ContainsFunc(e.Charges[i:], func(d ledger.Charge) bool { return same(d) && d.Unrated }) {
				one.unrated = 1
			}
		}
		sumOf(m.charges, charges[i]).add(&one)
		sumOf(m.splits, splits[i]).add(&one)
	}
	sum := sumOf(m.callers, caller)
	if e.Status != ledger.Adjusted {
		sum.calls++
	}
	sum.input += e.Usage.Total() - e.Usage.OutputTokens
	sum.output += e.Usage.OutputTokens
	sum.nano += nano
}

// sumOf is the sum of k in m, a new one where there is none.
func sumOf[K comparable, S any](m map[K]*S, k K) *S {
	sum := m[k]
	if sum == nil {
		sum = new(S)
		m[k] = sum
	}
	return sum
}

func (s *chargeSum) add(o *chargeSum) {
	s.quantity += o.quantity
	s.nano += o.nano
	s.calls += o.calls
	s.unrated += o.unrated
	s.estimated += o.estimated
	s.discount += o.discount
}

func (s *callerSum) add(o *callerSum) {
	s.calls += o.calls
	s.input += o.input
	s.output += o.output
	s.nano += o.nano
}

// hourBegan is the number of the hour in which a call began, also before 1970.
func hourBegan(e *ledger.Entry) int64 { return e.Intent.Time.Truncate(time.Hour).Unix() / 3600 }

// periodKey is the key of a row of charge_hour (number is the line's) or of caller_hour (the caller's), or of those by day or
// month.
type periodKey struct {
	account        string
	period, number int64
}

func (a periodKey) compare(b periodKey) int {
	return cmp.Or(strings.Compare(a.account, b.account), cmp.Compare(a.period, b.period), cmp.Compare(a.number, b.number))
}

// splitKey is the key of a row of split_hour.
type splitKey struct {
	periodKey
	party int64
}

func (a splitKey) compare(b splitKey) int {
	return cmp.Or(a.periodKey.compare(b.periodKey), cmp.Compare(a.party, b.party))
}

// addUp adds the calls to the rollups: in memory first, so that each row is touched once, and in the order of the keys, so
// that nodes that share the tables wait for one another and do not lock each other out.
func (w *batch) addUp() error {
	m := w.sum()
	if err := w.write(m); err != nil {
		return err
	}
	return w.roll(m)
}

// sum is the calls added up.
func (w *batch) sum() rollupSums {
	m := newSums[periodKey, splitKey, periodKey]()
	var (
		keys   []periodKey
		splits []splitKey
	)
	for i := range w.calls {
		c := &w.calls[i]
		k := periodKey{account: c.Account, period: hourBegan(c.Entry)}
		keys, splits = keys[:0], splits[:0]
		for _, ch := range c.charges {
			k.number = ch.line
			keys = append(keys, k)
			splits = append(splits, splitKey{k, c.party})
		}
		k.number = c.origin.caller
		m.add(c.Entry, keys, splits, k)
	}
	return m
}

func insertSums[K comparable, S any](w *batch, ins *inserter, sums map[K]*S, compare func(K, K) int, row func([]any, K, *S) []any) error {
	for left := slices.SortedFunc(maps.Keys(sums), compare); len(left) > 0; {
		n := ins.size(len(left))
		w.args = w.args[:0]
		for _, k := range left[:n] {
			w.args = row(w.args, k, sums[k])
		}
		if _, err := ins.exec(w.ctx, w.tx, n, w.args); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// dictionary gives the rows of a table numbers.
type dictionary struct{ find, add *sql.Stmt }

// prepareDictionary readies the dictionary of a table whose rows are told apart by all of columns.
func prepareDictionary(ctx context.Context, db *sql.DB, table string, columns ...string) (dictionary, error) {
	var (
		d            dictionary
		equal, given []string
		err          error
	)
	for i, c := range columns {
		given = append(given, "$"+strconv.Itoa(i+1))
		equal = append(equal, c+" = "+given[i])
	}
	if d.find, err = db.PrepareContext(ctx, `SELECT id FROM `+table+` WHERE `+strings.Join(equal, " AND ")); err != nil {
		return d, err
	}
	d.add, err = db.PrepareContext(ctx, `INSERT INTO `+table+` (id, `+strings.Join(columns, ", ")+`)
		SELECT COALESCE(MAX(id), 0) + 1, `+strings.Join(given, ", ")+` FROM `+table+` RETURNING id`)
	return d, err
}

// id returns the number of the row with values, which is written if there is none. Another node may write it, or take its
// number, at the same moment: the transaction then fails and is repeated.
func (d *dictionary) id(ctx context.Context, tx *sql.Tx, values ...any) (id int64, err error) {
	err = tx.StmtContext(ctx, d.find).QueryRowContext(ctx, values...).Scan(&id) //nolint:sqlclosecheck // ends with its transaction
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.StmtContext(ctx, d.add).QueryRowContext(ctx, values...).Scan(&id) //nolint:sqlclosecheck // as well
	}
	return id, err
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

// prepare readies the statements, which live as long as db, and forgets the numbers when there are too many of them.
func (x *ledgerIndex) prepare(ctx context.Context, db *sql.DB) (err error) {
	if x.numbers.size() > x.maxNumbers {
		x.numbers = newNumbers()
	}
	if x.prepared {
		return nil
	}
	if x.insertCalls, err = prepareInsert(ctx, db, "call", callColumns, "ON CONFLICT (account, began, id) DO NOTHING"); err != nil {
		return err
	}
	if x.chargeSums, err = chargeRollup.prepare(ctx, db); err != nil {
		return err
	}
	if x.splitSums, err = splitRollup.prepare(ctx, db); err != nil {
		return err
	}
	if x.callerSums, err = callerRollup.prepare(ctx, db); err != nil {
		return err
	}
	if x.rolledHour, err = db.PrepareContext(ctx, rolledHour); err != nil {
		return err
	}
	if x.nextHour, err = db.PrepareContext(ctx, nextHour); err != nil {
		return err
	}
	if x.tagsetIDs, err = prepareDictionary(ctx, db, "tagset", "tags"); err != nil {
		return err
	}
	if x.originIDs, err = prepareDictionary(ctx, db, "call_origin",
		"account", "region", "operation", "principal", "access_key", "resource", "model_id", "scope", "tagset"); err != nil {
		return err
	}
	if x.endingIDs, err = prepareDictionary(ctx, db, "call_ending",
		"status", "estimated", "service", "upstream", "served", "attempts", "stop_reason"); err != nil {
		return err
	}
	if x.rateIDs, err = prepareDictionary(ctx, db, "charge_rate", "usage_type", "price", "unrated"); err != nil {
		return err
	}
	if x.lineIDs, err = prepareDictionary(ctx, db, "charge_line", "region", "service", "usage_type", "operation", "resource", "tagset"); err != nil {
		return err
	}
	if x.callerIDs, err = prepareDictionary(ctx, db, "caller", "principal", "resource"); err != nil {
		return err
	}
	if x.partyIDs, err = prepareDictionary(ctx, db, "party", "principal", "tags", "metadata"); err != nil {
		return err
	}
	if x.newestArchived, err = db.PrepareContext(ctx, `SELECT MAX(day) FROM archive WHERE kind = '`+callsKind+`'`); err != nil {
		return err
	}
	x.numbers = newNumbers()
	x.prepared = true
	return nil
}

// appendTags appends the text of a tag set, or of a call's metadata: [["key","value"],...]. Broken UTF-8, which is for those who take tags to refuse, is
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
