package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/archive"
	"outcrop/converse"
	"outcrop/ledger"
)

// Calls returns settled calls of account ("" for every account, one after the other) that began at since or later, in the
// order in which they began, at most limit of them (0 for all). The Entry is the caller's only until the next one. The names of resources are
// those of the newest call of each. Their charges are those of now: corrections are in them.
//
// Calls that were archived are read from their files. One that is missing or is not as it was written ends them with an error.
func (s *Store) Calls(ctx context.Context, account string, since time.Time, limit int) iter.Seq2[*ledger.Entry, error] {
	return func(yield func(*ledger.Entry, error) bool) {
		tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			yield(nil, err)
			return
		}
		defer tx.Rollback() // nothing was written
		span := span{account: account, from: math.MinInt64, to: math.MaxInt64}
		if !since.IsZero() {
			span.from = since.UnixMicro()
		}
		var (
			w       = s.words(ctx, tx)
			n       = 0
			stopped = false
		)
		give := func(e *ledger.Entry) (bool, error) {
			n++
			stopped = !yield(e, nil)
			return !stopped && n != limit, nil
		}
		if account != "" {
			_, err = w.eachCall(span, give)
		} else {
			for more := true; more && err == nil; {
				if span.account, err = nextAccount(ctx, tx, span.account, "call", "archive"); err != nil || span.account == "" {
					break
				}
				more, err = w.eachCall(span, give)
			}
		}
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// Call returns the call of account with an id, nil when there is none. A request id of ours says when the call began; for any other all
// calls are gone through.
func (s *Store) Call(ctx context.Context, account string, id uuid.UUID) (found *ledger.Entry, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written
	w := s.words(ctx, tx)
	search := func(p span) error {
		_, err := w.eachCall(p, func(e *ledger.Entry) (bool, error) {
			if e.Intent.ID == id {
				found = e
			}
			return found == nil, nil
		})
		return err
	}
	if id.Version() == 7 {
		ms := int64(0)
		for _, b := range id[:6] {
			ms = ms<<8 | int64(b)
		}
		if err := search(span{account, ms * 1000, (ms + 1) * 1000}); err != nil || found != nil {
			return found, err
		}
	}
	return found, search(span{account, math.MinInt64, math.MaxInt64})
}

// nextAccount returns the first account after one that has rows in one of tables; "" for none. Each table's key begins with
// the account.
func nextAccount(ctx context.Context, tx *sql.Tx, after string, tables ...string) (next string, err error) {
	for _, t := range tables {
		var a sql.NullString
		if err := tx.QueryRowContext(ctx, `SELECT MIN(account) FROM `+t+` WHERE account > $1`, after).Scan(&a); err != nil {
			return "", err
		}
		if a.Valid && (next == "" || a.String < next) {
			next = a.String
		}
	}
	return next, nil
}

// span is a stretch of an account's calls: those that began at from or later and before to, in microseconds from 1970.
type span struct {
	account  string
	from, to int64
}

// maxWords bounds what words keeps of each kind.
const maxWords = 10_000

// words reads what rows have only the numbers of, each number once while there is room.
type words struct {
	store *Store
	ctx   context.Context
	tx    *sql.Tx

	tagsets map[int64][]ledger.Tag
	endings map[int64]*ledger.Settlement
	rates   map[int64]rateKey
	names   map[string]string // of resources
}

func (s *Store) words(ctx context.Context, tx *sql.Tx) *words {
	return &words{
		store: s, ctx: ctx, tx: tx,
		tagsets: map[int64][]ledger.Tag{}, endings: map[int64]*ledger.Settlement{}, rates: map[int64]rateKey{}, names: map[string]string{},
	}
}

// word returns what known has of k, or else what the row of text, a query for k, is scanned into.
func word[K comparable, V any](w *words, known map[K]V, k K, text string, scan func(*sql.Row) (V, error)) (V, error) {
	v, ok := known[k]
	if ok {
		return v, nil
	}
	v, err := scan(w.tx.QueryRowContext(w.ctx, text, k))
	if err != nil {
		return v, err
	}
	if len(known) >= maxWords {
		clear(known)
	}
	known[k] = v
	return v, nil
}

func (w *words) tagset(id int64) ([]ledger.Tag, error) {
	tags, err := word(w, w.tagsets, id, `SELECT tags FROM tagset WHERE id = $1`, func(row *sql.Row) ([]ledger.Tag, error) {
		var text []byte
		if err := row.Scan(&text); err != nil {
			return nil, err
		}
		tags, err := decodeTagset(text)
		return append([]ledger.Tag(nil), tags...), err // nil where there are none, as in an Intent
	})
	if err != nil {
		err = fmt.Errorf("tag set %d: %w", id, err)
	}
	return tags, err
}

// ending returns a Settlement with what the ending has of it.
func (w *words) ending(id int64) (*ledger.Settlement, error) {
	s, err := word(w, w.endings, id, `SELECT status, estimated, service, upstream, served, attempts, stop_reason FROM call_ending WHERE id = $1`, func(row *sql.Row) (*ledger.Settlement, error) {
		var (
			s      ledger.Settlement
			status string
		)
		err := row.Scan(&status, &s.Estimated, &s.Service, &s.Upstream, &s.Served, &s.Attempts, &s.StopReason)
		if err == nil {
			s.Status, err = ledger.ParseStatus(status)
		}
		return &s, err
	})
	if err != nil {
		err = fmt.Errorf("ending %d: %w", id, err)
	}
	return s, err
}

func (w *words) rate(id int64) (rateKey, error) {
	r, err := word(w, w.rates, id, `SELECT usage_type, price, unrated FROM charge_rate WHERE id = $1`, func(row *sql.Row) (r rateKey, err error) {
		return r, row.Scan(&r.usageType, &r.price, &r.unrated)
	})
	if err != nil {
		err = fmt.Errorf("rate %d: %w", id, err)
	}
	return r, err
}

// name returns the name of a resource as of its newest call.
func (w *words) name(arn string) (string, error) {
	return word(w, w.names, arn, `SELECT COALESCE((SELECT name FROM resource WHERE arn = $1), '')`, func(row *sql.Row) (name string, err error) {
		return name, row.Scan(&name)
	})
}

// charges reads what appendCharges wrote.
func (w *words) charges(text []byte) ([]ledger.Charge, error) {
	var rows [][]int64
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, err
	}
	var charges []ledger.Charge
	for _, r := range rows {
		if len(r) != 3 && len(r) != 4 {
			return nil, errors.New("a charge has not its three or four parts")
		}
		rate, err := w.rate(r[0])
		if err != nil {
			return nil, err
		}
		c := ledger.Charge{UsageType: rate.usageType, Quantity: r[1], Nano: r[2], Price: rate.price, Unrated: rate.unrated}
		if len(r) > 3 {
			c.Discount = r[3]
		}
		charges = append(charges, c)
	}
	return charges, nil
}

// source is rows of one kind in the order of their keys.
type source[T any] struct {
	next  func() (*T, error) // io.EOF after the last
	close func() error
}

// liveCalls reads the rows of call, without their corrections.
func (w *words) liveCalls(p span) (source[ledger.Entry], error) {
	// There are too many origins to keep. One that is missing is an error of Scan.
	return live(w, `SELECT c.`+strings.ReplaceAll(callColumns, ", ", ", c.")+`, o.account, o.region, o.operation, o.principal, o.access_key, o.resource, o.model_id, o.scope, o.tagset
		FROM call AS c LEFT JOIN call_origin AS o ON o.id = c.origin WHERE c.account = $1 AND c.began >= $2 AND c.began < $3 ORDER BY c.began, c.id`, p, w.scanCall)
}

// liveCorrections reads the rows of correction.
func (w *words) liveCorrections(p span) (source[archive.Correction], error) {
	return live(w, `SELECT account, began, call, number, made, author, reason, back, charges, nano FROM correction
		WHERE account = $1 AND began >= $2 AND began < $3 ORDER BY began, call, number`, p, w.scanCorrection)
}

func live[T any](w *words, text string, p span, scan func(*sql.Rows) (*T, error)) (source[T], error) {
	rows, err := w.tx.QueryContext(w.ctx, text, p.account, p.from, p.to) //nolint:rowserrcheck // next does, at the end
	if err != nil {
		return source[T]{}, err
	}
	return source[T]{
		next: func() (*T, error) {
			if !rows.Next() {
				return nil, cmp.Or(rows.Err(), io.EOF)
			}
			return scan(rows)
		},
		close: rows.Close,
	}, nil
}

func (w *words) scanCall(rows *sql.Rows) (*ledger.Entry, error) {
	var (
		e                                                    ledger.Entry
		account, reason                                      string
		tier                                                 sql.NullString
		id, charges, metadata, used                          sql.RawBytes
		began, origin, ending, ended, latency, first, nano   int64
		estimated, most, in, out, read, written, writtenHour int64
		tagset                                               int64
		owned                                                sql.NullInt64
	)
	i, s := &e.Intent, &e.Settlement
	if err := rows.Scan(&account, &began, &id, &origin, &ending, &ended, &latency, &first, &reason, &estimated, &most,
		&in, &out, &read, &written, &writtenHour, &charges, &nano, &metadata, &tier, &used, &owned,
		&i.Account, &i.Region, &i.Operation, &i.Principal, &i.AccessKeyID, &i.ResourceARN, &i.ModelID, &i.Scope, &tagset); err != nil {
		return nil, err
	}
	number, err := uuid.FromBytes(id)
	if err != nil {
		return nil, err
	}
	wrong := func(err error) (*ledger.Entry, error) { return nil, fmt.Errorf("call %s: %w", number, err) }
	if i.Tags, err = w.tagset(tagset); err != nil {
		return wrong(err)
	}
	if i.ResourceName, err = w.name(i.ResourceARN); err != nil {
		return wrong(err)
	}
	settlement, err := w.ending(ending)
	if err != nil {
		return wrong(err)
	}
	if i.Account != account {
		return wrong(fmt.Errorf("its origin is of account %q, the row says %q", i.Account, account))
	}
	*s = *settlement
	i.ID, s.ID = number, number
	i.Time, s.Time = time.UnixMicro(began).UTC(), time.UnixMicro(ended).UTC()
	i.Tier, i.EstimatedInputTokens, i.MaxOutputTokens = tier.String, estimated, most
	s.Reason, s.Latency, s.FirstEvent = reason, time.Duration(latency)*time.Microsecond, time.Duration(first)*time.Microsecond
	s.Usage = converse.Usage{InputTokens: in, OutputTokens: out, CacheReadInputTokens: read, CacheWriteInputTokens: written, CacheWrite1hInputTokens: writtenHour}
	if owned.Valid {
		if i.PrincipalTags, err = w.tagset(owned.Int64); err != nil {
			return wrong(err)
		}
	}
	if metadata != nil {
		if i.Metadata, err = decodeTagset(metadata); err != nil {
			return wrong(fmt.Errorf("metadata: %w", err))
		}
	}
	if used != nil {
		var u units
		if err := json.Unmarshal(used, &u); err != nil {
			return wrong(fmt.Errorf("units: %w", err))
		}
		s.Usage.Units = converse.Units(u)
	}
	if s.Charges, err = w.charges(charges); err != nil {
		return wrong(fmt.Errorf("charges: %w", err))
	}
	if n, _ := s.Cost(); n != nano {
		return wrong(fmt.Errorf("its charges are %d nano-USD, the row says %d", n, nano))
	}
	return &e, nil
}

func (w *words) scanCorrection(rows *sql.Rows) (*archive.Correction, error) {
	var (
		c                 archive.Correction
		began, made, nano int64
		id, back, charges []byte
	)
	err := rows.Scan(&c.Account, &began, &id, &c.Number, &made, &c.By, &c.Reason, &back, &charges, &nano)
	if err == nil {
		c.Call, err = uuid.FromBytes(id)
	}
	if err != nil {
		return nil, err
	}
	c.Began, c.Time = time.UnixMicro(began).UTC(), time.UnixMicro(made).UTC()
	if c.Back, err = w.charges(back); err == nil {
		c.Charges, err = w.charges(charges)
	}
	if err == nil && c.Nano() != nano {
		err = fmt.Errorf("it makes %d nano-USD, the row says %d", c.Nano(), nano)
	}
	if err != nil {
		return nil, fmt.Errorf("call %s: correction %d: %w", c.Call, c.Number, err)
	}
	return &c, nil
}

// merged is the rows of one kind wherever they are: in the table, and in files, which are opened when their time has come.
type merged[T any] struct {
	span
	sources []head[T]
	files   []*part // that are not open yet, by what they begin with
	open    func(*part) (source[T], error)
	key     func(*T) rowKey
	last    rowKey
}

// head is a source with the row that is next in it.
type head[T any] struct {
	source[T]
	row *T
	key rowKey
}

// rowKey is the key of a row of call or correction, but for the account. A call's number is 0.
type rowKey struct {
	began  int64
	id     uuid.UUID
	number int
}

func (a rowKey) compare(b rowKey) int {
	return cmp.Or(cmp.Compare(a.began, b.began), bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.number, b.number))
}

func callKey(e *ledger.Entry) rowKey {
	return rowKey{began: e.Intent.Time.UnixMicro(), id: e.Intent.ID}
}

func correctionKey(c *archive.Correction) rowKey {
	return rowKey{c.Began.UnixMicro(), c.Call, c.Number}
}

// add puts the next row of h among the others, or closes h.
func (m *merged[T]) add(h head[T]) error {
	for {
		var err error
		if h.row, err = h.next(); errors.Is(err, io.EOF) {
			return h.close()
		}
		if err != nil {
			return errors.Join(err, h.close())
		}
		if h.key = m.key(h.row); h.key.began >= m.to {
			return h.close()
		}
		if h.key.began >= m.from {
			m.sources = append(m.sources, h)
			return nil
		}
	}
}

// next returns the next row; io.EOF after the last.
func (m *merged[T]) next() (*T, rowKey, error) {
	for {
		least := -1
		for i := range m.sources {
			if least < 0 || m.sources[i].key.compare(m.sources[least].key) < 0 {
				least = i
			}
		}
		if len(m.files) > 0 && (least < 0 || m.files[0].first <= m.sources[least].key.began) {
			f, err := m.open(m.files[0])
			if err != nil {
				return nil, rowKey{}, err
			}
			m.files = m.files[1:]
			if err := m.add(head[T]{source: f}); err != nil {
				return nil, rowKey{}, err
			}
			continue
		}
		if least < 0 {
			return nil, rowKey{}, io.EOF
		}
		h := m.sources[least]
		m.sources[least] = m.sources[len(m.sources)-1]
		m.sources = m.sources[:len(m.sources)-1]
		row, key := h.row, h.key
		if m.last != (rowKey{}) && key.compare(m.last) <= 0 {
			return nil, key, errors.Join(fmt.Errorf("call %s is there twice, or not in its place", key.id), h.close())
		}
		m.last = key
		return row, key, m.add(h)
	}
}

func (m *merged[T]) close() error {
	var errs []error
	for _, h := range m.sources {
		errs = append(errs, h.close())
	}
	m.sources = nil
	return errors.Join(errs...)
}

// callReader reads calls with their corrections.
type callReader struct {
	calls       *merged[ledger.Entry]
	corrections *merged[archive.Correction]
	correction  *archive.Correction // the next one, nil after the last
	of          rowKey
}

// readCalls begins to read the calls of p. What it returns is closed also when there is an error.
func (w *words) readCalls(p span) (*callReader, error) {
	r := &callReader{}
	files, err := readParts(w.ctx, w.tx, p, callsKind)
	if err != nil {
		return r, err
	}
	r.calls = &merged[ledger.Entry]{span: p, files: files, open: w.openCalls, key: callKey}
	if files, err = readParts(w.ctx, w.tx, p, correctionsKind); err != nil {
		return r, err
	}
	r.corrections = &merged[archive.Correction]{span: p, files: files, open: w.openCorrections, key: correctionKey}
	calls, err := w.liveCalls(p)
	if err != nil {
		return r, err
	}
	if err := r.calls.add(head[ledger.Entry]{source: calls}); err != nil {
		return r, err
	}
	corrections, err := w.liveCorrections(p)
	if err != nil {
		return r, err
	}
	if err := r.corrections.add(head[archive.Correction]{source: corrections}); err != nil {
		return r, err
	}
	return r, r.advance()
}

func (r *callReader) advance() (err error) {
	r.correction, r.of, err = r.corrections.next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// next returns the next call; io.EOF after the last.
func (r *callReader) next() (*ledger.Entry, error) {
	e, key, err := r.calls.next()
	end := errors.Is(err, io.EOF)
	if err != nil && !end {
		return nil, err
	}
	for r.correction != nil && (end || cmp.Or(cmp.Compare(r.of.began, key.began), bytes.Compare(r.of.id[:], key.id[:])) <= 0) {
		c := r.correction
		if end || r.of.id != key.id {
			return nil, fmt.Errorf("there is a correction of call %s, and no such call", c.Call)
		}
		if c.Number != len(e.Corrections)+1 {
			return nil, fmt.Errorf("call %s: correction %d comes after %d others", c.Call, c.Number, len(e.Corrections))
		}
		if e.Charges, err = c.Apply(e.Charges); err != nil {
			return nil, fmt.Errorf("call %s: correction %d: %w", c.Call, c.Number, err)
		}
		e.Corrections = append(e.Corrections, c.Correction)
		if err := r.advance(); err != nil {
			return nil, err
		}
	}
	if end {
		return nil, io.EOF
	}
	return e, nil
}

func (r *callReader) close() error {
	var errs []error
	if r.calls != nil {
		errs = append(errs, r.calls.close())
	}
	if r.corrections != nil {
		errs = append(errs, r.corrections.close())
	}
	return errors.Join(errs...)
}

// eachCall gives the calls of p to fn until there are no more or fn returns false.
func (w *words) eachCall(p span, fn func(*ledger.Entry) (bool, error)) (more bool, err error) {
	r, err := w.readCalls(p)
	defer func() { err = errors.Join(err, r.close()) }()
	for err == nil {
		var e *ledger.Entry
		if e, err = r.next(); errors.Is(err, io.EOF) {
			return true, nil
		}
		if err == nil {
			if more, err := fn(e); err != nil || !more {
				return false, err
			}
		}
	}
	return false, err
}
