package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	maxBatch = 10_000 // calls

	// A lone call is indexed after gather. After a batch comes a pause, the longer the more calls it had: a call in a
	// batch of hundreds costs the index a fraction of what it costs alone, and costs are still seen within a second.
	gather       = 10 * time.Millisecond
	minPause     = 100 * time.Millisecond
	pausePerCall = time.Millisecond
	maxPause     = 400 * time.Millisecond

	minApplyDelay = 50 * time.Millisecond
	maxApplyDelay = 5 * time.Second
)

// indexer is one goroutine that reads what is durable in the journal, joins settlements with their intents, and applies
// them to the index. What it reads is decided by positions alone, so it does the same after a crash as it did before.
type indexer struct {
	index       Index
	node, epoch string
	logger      *slog.Logger

	journal *journal
	ctx     context.Context
	cancel  context.CancelFunc
	woken   chan struct{} // there are new settlements; buffered
	urged   chan struct{} // and somebody waits for them; buffered
	closing chan struct{}
	ended   chan struct{}

	// The goroutine's own.
	strays  bool     // the epoch began with segments of another, whose first ones are gone: not every settlement has its intent
	applied Position // the index's, 0 before the first batch
	pos     Position // the next record to read
	open    map[uuid.UUID]call
	names   *names
	segment segment // the one that reader reads
	file    file
	reader  *reader
	entries []Entry

	mu      sync.Mutex
	done    Position // settlements before it are in the index
	waiting []waiter
	failed  error
}

type waiter struct {
	pos  Position
	done chan struct{}
}

func newIndexer(cfg *Config, r *recovered) *indexer {
	x := &indexer{
		index: cfg.Index, node: r.epoch.Node, epoch: r.epoch.Epoch, logger: cfg.Logger,
		woken: make(chan struct{}, 1), urged: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
		strays:  r.applied == 0 && r.from > 0,
		applied: r.applied, pos: r.from, open: r.open, names: newNames(), done: r.from,
	}
	if r.from < r.end {
		x.wake() // what the last process left
	}
	return x
}

func (x *indexer) start(j *journal) {
	x.journal = j
	x.ctx, x.cancel = context.WithCancel(context.Background())
	go x.run()
}

// wake says that there are new settlements. It does not block.
func (x *indexer) wake() { signal(x.woken) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flush returns when the settlements before pos are in the index.
func (x *indexer) flush(ctx context.Context, pos Position) error {
	x.mu.Lock()
	if x.done >= pos {
		x.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	x.waiting = append(x.waiting, waiter{pos, done})
	x.mu.Unlock()
	signal(x.urged)
	select {
	case <-done:
		return nil
	case <-x.ended:
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.done >= pos {
			return nil
		}
		return errClosed
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), x.err())
	}
}

func (x *indexer) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.failed
}

// close lets the indexer catch up, as long as ctx allows, and waits for it.
func (x *indexer) close(ctx context.Context) error {
	close(x.closing)
	select {
	case <-x.ended:
	case <-ctx.Done():
		x.cancel()
		<-x.ended
	}
	x.cancel()
	_, end := x.journal.durable()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done < end {
		return fmt.Errorf("indexer: the last calls are not in the index; they will be at the next start: %w", cmp.Or(x.failed, context.Cause(ctx)))
	}
	return nil
}

func (x *indexer) run() {
	defer close(x.ended)
	defer x.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now() // when the next batch may begin
	for last := false; !last; {
		select {
		case <-x.woken:
			timer.Reset(max(gather, time.Until(next)))
			select {
			case <-timer.C:
			case <-x.urged:
			case <-x.closing:
			}
		case <-x.urged:
		case <-x.closing:
			last = true
		}
		calls := x.catchUp()
		next = time.Now().Add(min(minPause+time.Duration(calls)*pausePerCall, maxPause))
	}
}

// catchUp indexes what is durable and returns how many calls that were.
func (x *indexer) catchUp() (calls int) {
	for delay := minApplyDelay; ; {
		segs, to := x.journal.durable()
		err := x.read(segs, to)
		if n := len(x.entries); n > 0 {
			if !x.apply() {
				return calls
			}
			calls += n
			x.forget()
		}
		if err == nil {
			x.progress()
			if x.pos >= to {
				return calls
			}
			continue
		}
		x.leave()
		x.note(err)
		stop := x.ctx.Done()
		var damage *corrupt
		if errors.As(err, &damage) {
			stop = x.closing // it does not pass
		}
		select {
		case <-stop:
			return calls
		case <-time.After(delay):
			delay = min(2*delay, maxApplyDelay)
		}
	}
}

// read joins settlements with their intents from pos on, until to or until a batch is full.
func (x *indexer) read(segs []segment, to Position) error {
	for len(x.entries) < maxBatch && x.pos < to {
		i := 0
		for i+1 < len(segs) && segs[i+1].base <= x.pos {
			i++
		}
		limit := to
		if i+1 < len(segs) {
			limit = min(limit, segs[i+1].base)
		}
		if err := x.enter(segs[i]); err != nil {
			return err
		}
		for len(x.entries) < maxBatch {
			pos, offset := x.pos, x.reader.offset()
			typ, payload, err := x.reader.next(limit)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if err := x.take(pos, typ, payload); err != nil {
				return &corrupt{x.segment.path, offset, err}
			}
			x.pos = x.reader.pos
		}
	}
	return nil
}

// enter makes the reader stand at pos in s.
func (x *indexer) enter(s segment) error {
	if x.reader != nil && x.segment == s {
		return nil
	}
	x.leave()
	f, err := x.journal.disk.open(s.path)
	if err != nil {
		return err
	}
	rd, err := newReader(s, f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	rd.seek(x.pos)
	x.segment, x.file, x.reader = s, f, rd
	return nil
}

func (x *indexer) leave() {
	if x.file != nil {
		x.file.Close() // it was only read
	}
	x.file, x.reader = nil, nil
}

// take is one record.
func (x *indexer) take(pos Position, typ byte, payload []byte) error {
	switch typ {
	case typeIntent:
		in, err := decodeIntent(payload, x.names)
		if err != nil {
			return err
		}
		x.open[in.ID] = call{in, pos}
		return nil
	case typeSettlement:
		var s Settlement
		if err := decodeSettlement(payload, x.names, &s); err != nil {
			return err
		}
		c, ok := x.open[s.ID]
		if !ok {
			if !x.strays { // Settle does not let it come so far
				x.logger.Error("ledger: a settlement without its intent is not counted", "call", s.ID)
			}
			return nil
		}
		delete(x.open, s.ID)
		x.entries = append(x.entries, Entry{Intent: *c.intent, Settlement: s})
		return nil
	case typeMark:
		return nil
	}
	return fmt.Errorf("unknown type of record %q", typ)
}

// apply gives the index what was read, again and again until it is there. It returns false when the ledger is closed
// before.
func (x *indexer) apply() bool {
	b := Batch{Node: x.node, Epoch: x.epoch, From: x.applied, To: x.pos, Entries: x.entries}
	for delay := minApplyDelay; ; delay = min(2*delay, maxApplyDelay) {
		err := x.index.Apply(x.ctx, &b)
		if err == nil {
			break
		}
		// It may have been applied though the answer was lost.
		if at, err2 := x.index.Position(x.ctx, x.node, x.epoch); err2 == nil && at == b.To {
			break
		}
		if x.ctx.Err() != nil {
			return false
		}
		x.note(fmt.Errorf("apply %d calls to the index: %w", len(b.Entries), err))
		select {
		case <-x.ctx.Done():
			return false
		case <-time.After(delay):
		}
	}
	x.applied = b.To
	clear(x.entries)
	x.entries = x.entries[:0]
	return true
}

// forget deletes the segments that nobody needs any more: all of their calls are in the index.
func (x *indexer) forget() {
	segs, _ := x.journal.durable()
	if len(segs) < 2 || segs[1].base > x.applied {
		return
	}
	keep := x.applied
	for _, c := range x.open {
		keep = min(keep, c.pos)
	}
	if err := x.journal.forget(keep); err != nil {
		x.logger.Warn("ledger: a segment of the journal that is not needed any more could not be deleted", "error", err)
	}
}

// progress notes that the settlements before pos are in the index.
func (x *indexer) progress() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed != nil {
		x.logger.Info("ledger: calls are indexed again")
	}
	x.done, x.failed = x.pos, nil
	x.waiting = slices.DeleteFunc(x.waiting, func(w waiter) bool {
		if w.pos <= x.done {
			close(w.done)
			return true
		}
		return false
	})
}

func (x *indexer) note(err error) {
	x.logger.Error("ledger: calls are not indexed at the moment; it is tried again", "error", err)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = err
}
