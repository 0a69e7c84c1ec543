package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// Class is how much an event matters to the call that it is of.
type Class uint8

const (
	// Plain events are of what changes nothing: they are written down soon, and nobody waits for it.
	Plain Class = iota
	// Durable events are of changes and refusals: they are on disk when Record returns.
	Durable
	// Stranger is durable, and of somebody who could not prove to be anybody. Of those only so many are recorded.
	Stranger
)

// Config is what a Log is made of.
type Config struct {
	Store  Store
	Sealer *iam.Sealer
	Clock  func() time.Time
	Logger *slog.Logger

	// Retention is how long records are kept; 0 is for ever. Those that are older are dropped within an hour.
	Retention time.Duration

	// File gets each event as a line of JSON, once it is in the store; "" has none. It is opened anew each time, so that
	// it may be moved away.
	File string
}

// Bounds of what waits to be written.
const (
	maxQueue     = 16 << 20 // bytes, of all events that wait
	maxBatch     = 256      // records of one transaction
	patience     = 5 * time.Second
	retry        = 200 * time.Millisecond
	dropEvery    = time.Hour
	dropAtOnce   = 500
	storeTimeout = time.Minute
)

// errUnrecorded is what callers read while nothing can be recorded.
var errUnrecorded = &fault.Error{Kind: fault.Unavailable, Message: "The audit record cannot be written. Try again later.", RetryAfter: time.Second}

// Log writes events down: one goroutine takes all that have come since its last transaction into the next one. An event
// that could not be written is tried again until it is; meanwhile Ready and what waits fail, so that no change goes by
// unrecorded. Close ends it.
type Log struct {
	cfg Config

	mu      sync.Mutex
	queue   []*entry
	bytes   int           // of queue and of what is being written
	room    chan struct{} // closed when bytes has become less; nil when nobody waits
	failing error         // why the last attempt failed
	closed  bool

	work chan struct{} // something is in the queue, or the log is closed
	done chan struct{} // the writer has ended
	last Head          // the writer's own: what it wrote last
	next Head          // likewise: what the attempt that failed would have written, or has

	strangers strangers
}

// entry is one event that waits.
type entry struct {
	record  Record
	written chan struct{} // closed when it is on disk; nil where nobody waits
}

// Open begins a Log.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l := &Log{cfg: cfg, work: make(chan struct{}, 1), done: make(chan struct{})}
	// Without a head a record that was taken away whole would look like one that never was.
	if err := l.append(ctx, nil); err != nil && !errors.Is(err, errSeal) {
		return nil, fmt.Errorf("open the audit record: %w", err)
	} else if err != nil {
		l.failed(err)
	}
	go l.run()
	return l, nil
}

// Ready returns a fault.Unavailable while events cannot be written down: nothing may be changed then.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing != nil {
		return errUnrecorded
	}
	return nil
}

// Record writes e down, which is the Log's from then on. It sets the event's version, time, id, type and category. Of a
// Plain event the error is that there was no room for it in time; of others that it is not on disk, though it may be later.
func (l *Log) Record(ctx context.Context, e *Event, class Class) error {
	now := l.cfg.Clock().UTC()
	if class == Stranger {
		left, ok := l.strangers.admit(now, iam.SourceOf(e.SourceIP))
		if !ok {
			return nil
		}
		e.Additional.NotRecorded = left
	}
	r, err := e.record(now)
	if err != nil {
		return l.lost(e, class, err)
	}
	en := &entry{record: *r}
	if class != Plain {
		en.written = make(chan struct{})
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	if err := l.enqueue(en, timeout.C); err != nil || class == Plain {
		return l.lost(e, class, err)
	}
	select {
	case <-en.written:
		return nil
	case <-ctx.Done(): // nobody reads the answer; the event is written all the same
		return context.Cause(ctx)
	case <-l.done:
		select { // by its last transaction
		case <-en.written:
			return nil
		default:
			return errUnrecorded
		}
	case <-timeout.C:
		return errUnrecorded
	}
}

// lost returns err. Of a stranger's event that could not be taken it counts the stranger, and those whom the event would have told of.
func (l *Log) lost(e *Event, class Class, err error) error {
	if err != nil && class == Stranger {
		l.strangers.leaveOut(e.Additional.NotRecorded + 1)
	}
	return err
}

// Omit counts a stranger of whom no event is recorded.
func (l *Log) Omit() { l.strangers.leaveOut(1) }

// tellOmitted records how many strangers were left out where no event of another stranger has told it.
func (l *Log) tellOmitted() {
	now := l.cfg.Clock().UTC()
	n := l.strangers.omitted()
	if n == 0 {
		return
	}
	e := &Event{
		UserIdentity: IdentityOf(&iam.Caller{}), Source: "unknown.amazonaws.com", Name: "Unknown", ErrorCode: "ThrottlingException", ErrorMessage: "Rate exceeded",
		Additional: Additional{NotRecorded: n},
	}
	r, err := e.record(now)
	if err == nil {
		none := make(chan time.Time)
		close(none) // the writer cannot wait for room that it makes itself
		err = l.enqueue(&entry{record: *r}, none)
	}
	if err != nil {
		l.strangers.leaveOut(n)
	}
}

// enqueue waits for room until timeout.
func (l *Log) enqueue(en *entry, timeout <-chan time.Time) error {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return errUnrecorded
		}
		if l.bytes == 0 || l.bytes+len(en.record.Event) <= maxQueue {
			l.bytes += len(en.record.Event)
			l.queue = append(l.queue, en)
			l.mu.Unlock()
			l.wake()
			return nil
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-timeout:
			return errUnrecorded
		}
	}
}

func (l *Log) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// Close writes what waits, or tries it once more, and ends the Log. Waiting for that ends with ctx.
func (l *Log) Close(ctx context.Context) error {
	l.tellOmitted()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wake()
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.queue); n > 0 {
		return fmt.Errorf("%d audit events could not be written: %w", n, l.failing)
	}
	return nil
}

// run is the writer. Between what it writes it drops what is old: however busy the log is, it does both.
func (l *Log) run() {
	defer close(l.done)
	tick := time.NewTicker(dropEvery)
	defer tick.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	old := true // there may be records to drop
	for {
		l.mu.Lock()
		batch, closed := l.queue[:min(len(l.queue), maxBatch)], l.closed
		l.mu.Unlock()
		switch {
		case len(batch) > 0:
			if !l.write(batch) {
				return // Close tells what is left
			}
		case closed:
			return
		}
		select {
		case <-tick.C:
			old = true
		case <-minute.C:
			l.tellOmitted()
		default:
		}
		if old {
			old = l.drop()
		}
		if len(batch) > 0 || old {
			continue
		}
		select {
		case <-l.work:
		case <-tick.C:
			old = true
		case <-minute.C:
			l.tellOmitted()
		}
	}
}

// write writes batch, again and again until it is written. It gives up when the log was closed and it fails once more.
func (l *Log) write(batch []*entry) bool {
	for {
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		err := l.append(ctx, batch)
		cancel()
		if err == nil {
			l.wrote(batch)
			return true
		}
		l.failed(err)
		if closed {
			return false
		}
		time.Sleep(retry)
	}
}

// failed notes why events cannot be written, and logs it once.
func (l *Log) failed(err error) {
	l.mu.Lock()
	first := l.failing == nil
	l.failing = err
	l.mu.Unlock()
	if first {
		l.cfg.Logger.Error("the audit record cannot be written; changes are refused until it can", "error", err)
	}
}

// wrote tells who waits for batch, the first of the queue, and what waits for room.
func (l *Log) wrote(batch []*entry) {
	l.appendFile(batch)
	l.mu.Lock()
	recovered := l.failing != nil
	l.failing = nil
	if l.queue = l.queue[len(batch):]; len(l.queue) == 0 {
		l.queue = nil // what was in it is not held
	}
	for _, en := range batch {
		l.bytes -= len(en.record.Event)
		if en.written != nil {
			close(en.written)
		}
	}
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	l.mu.Unlock()
	if recovered {
		l.cfg.Logger.Warn("the audit record is written again")
	}
}

// append chains batch to what is there. Where the answer to the attempt before was lost, that may have written it: then the
// head is the one that it made.
func (l *Log) append(ctx context.Context, batch []*entry) error {
	var written Head
	err := l.cfg.Store.AppendEvents(ctx, func(h *Head) ([]Record, *Head, error) {
		written = Head{First: 1}
		if h != nil {
			if err := h.check(l.cfg.Sealer); err != nil {
				return nil, nil, err
			}
			if h.Last < l.last.Last {
				return nil, nil, fmt.Errorf("the audit record ends with %d and has ended with %d: the database was put back", h.Last, l.last.Last)
			}
			written = *h
		} else if l.last.Last > 0 {
			return nil, nil, errors.New("the audit record was taken away")
		}
		if l.next.Last > 0 && written.Last == l.next.Last && written.Hash == l.next.Hash {
			return nil, &written, nil
		}
		records := make([]Record, len(batch))
		for i, en := range batch {
			written.Last++
			written.Hash = next(written.Hash, written.Last, en.record.Event)
			records[i] = en.record
			records[i].Seq, records[i].Hash = written.Last, written.Hash
		}
		written.seal(l.cfg.Sealer)
		return records, &written, nil
	})
	if err != nil {
		l.next = written
		return err
	}
	l.last, l.next = written, Head{}
	return nil
}

// appendFile writes batch to the file. The store is the record; the file is for whoever reads along.
func (l *Log) appendFile(batch []*entry) {
	if l.cfg.File == "" {
		return
	}
	var lines []byte
	for _, en := range batch {
		lines = append(append(lines, en.record.Event...), '\n')
	}
	f, err := os.OpenFile(l.cfg.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(lines)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.cfg.Logger.Error("events are missing in the audit file", "file", l.cfg.File, "events", len(batch), "error", err)
	}
}

// drop drops some of what is older than the retention, and reports whether there may be more.
func (l *Log) drop() (more bool) {
	if l.cfg.Retention <= 0 {
		return false
	}
	before := l.cfg.Clock().Add(-l.cfg.Retention).Truncate(time.Second) // as records have it
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := l.cfg.Store.DropEvents(ctx, dropAtOnce, func(h *Head, oldest []Record) (int, *Head, error) {
		if h == nil {
			return 0, nil, nil
		}
		if err := h.check(l.cfg.Sealer); err != nil {
			return 0, nil, err
		}
		kept := *h
		n := 0
		for ; n < len(oldest) && oldest[n].Time.Before(before); n++ {
			r := &oldest[n]
			// Whatever was altered is kept, and what follows it, for Verify to name it.
			if r.Seq != kept.First || next(kept.Before, r.Seq, r.Event) != r.Hash {
				return 0, nil, &Tampered{kept.First, "is not what was recorded: it is not dropped"}
			}
			e, err := decode(r.Event)
			if err != nil {
				return 0, nil, err
			}
			r.Keys = e.keys()
			kept.First, kept.Before = r.Seq+1, r.Hash
		}
		if n == 0 {
			return 0, nil, nil
		}
		more = n == dropAtOnce
		kept.seal(l.cfg.Sealer)
		return n, &kept, nil
	})
	if err != nil {
		l.cfg.Logger.Error("old audit records are not dropped", "error", err)
		return false // until the next time
	}
	return more
}

// strangers bounds what is recorded of those who could not prove to be anybody: whoever knocks a thousand times a second
// must not fill the disk, nor hide others behind the noise.
type strangers struct {
	mu           sync.Mutex
	minute, hour knocks
	left         int64 // out, since it was told last
}

// knocks are those that were recorded since a moment.
type knocks struct {
	begin   time.Time
	all     int
	sources map[iam.Source]int
}

// How many are recorded. The hour's are what bounds the disk: 2,000 an hour, kept for 90 days, are some gigabytes.
const (
	strangersOfMinute, ofSourceInMinute = 600, 20
	strangersOfHour, ofSourceInHour     = 2000, 100
)

// admit says whether to record a stranger from source, and with it how many were not since the last time.
func (s *strangers) admit(now time.Time, source iam.Source) (notRecorded int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minute.since(now.Truncate(time.Minute))
	s.hour.since(now.Truncate(time.Hour))
	if s.minute.full(source, strangersOfMinute, ofSourceInMinute) || s.hour.full(source, strangersOfHour, ofSourceInHour) {
		s.left++
		return 0, false
	}
	for _, k := range []*knocks{&s.minute, &s.hour} {
		k.all++
		k.sources[source]++
	}
	notRecorded, s.left = s.left, 0
	return notRecorded, true
}

func (k *knocks) since(begin time.Time) {
	if k.sources == nil || !begin.Equal(k.begin) {
		*k = knocks{begin: begin, sources: map[iam.Source]int{}}
	}
}

func (k *knocks) full(source iam.Source, all, ofSource int) bool {
	return k.all >= all || k.sources[source] >= ofSource
}

// omitted returns how many were left out since it was told last, and takes it for told.
func (s *strangers) omitted() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, s.left = s.left, 0
	return n
}

// leaveOut counts n who are left out.
func (s *strangers) leaveOut(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left += n
}
