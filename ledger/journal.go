package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"outcrop/fault"
)

const (
	// maxTail bounds what is in memory because the disk has not confirmed it.
	maxTail = 8 << 20

	// flushTail is how much of it may be in memory alone.
	flushTail = 1 << 20

	// fillStep is how many bytes are filled with zeros ahead of the records: a start writes no more than that, and one sync
	// in some hundreds is of so many bytes.
	fillStep = 256 << 10

	minRepairDelay = 5 * time.Millisecond
	maxRepairDelay = time.Second
)

var zeros [fillStep]byte

var errClosed = errors.New("the ledger is closed")

// journal appends records to segments and syncs them in groups.
//
// Whoever needs the disk's word and finds no sync under way syncs for itself: no goroutine is woken when one call runs
// alone. Those who come meanwhile gather in the next group, and the first of them leads it when the sync is over. So a
// group is as large as the disk is slow, and one sync serves all of it.
//
// Everything since the last sync that succeeded is kept in tail. When a write or a sync fails, the journal has failed:
// intents are refused, settlements gather in tail, and repair tries until it can put the tail in a new segment that
// begins where the last good sync ended. A segment that is full is left behind in the same way.
type journal struct {
	dir         string
	disk        disk
	node, epoch string
	segmentSize int64
	interval    time.Duration // how long an intent may wait for its sync
	unsynced    bool          // a settlement may, too
	logger      *slog.Logger
	settled     func()      // called under mu when settlements became durable
	alone       func() bool // whether at most one call is under way

	mu       sync.Mutex
	segs     []segment // the last one is active
	active   file
	head     int64    // the size of the active segment's header
	filled   int64    // the size of the active segment, as far as it is known to be filled with zeros or records
	tail     []byte   // the records from synced to the end
	synced   Position // all before it is on disk
	written  Position // all before it is in the operating system's hands
	marked   Position // the last mark in the active segment tells of it, or the segment begins there
	lastDone Position // the end of the last settlement

	next    *group // gathers; nil when nobody waits for a sync that has not begun
	running *group // is being synced; whoever set it alone may sync, roll or repair

	failed   error
	repaired chan struct{} // closed when failed becomes nil
	closed   bool          // nothing more is taken
	closing  chan struct{} // closed with it
	dead     error         // nothing more is written, and why
	timer    *time.Timer   // syncs intents that no settlement took along
	armed    bool
	waits    time.Time      // since when the oldest intent waits that no sync has begun for; zero when there is none
	owned    sync.WaitGroup // the timer's function and repair
}

// group is some callers that one sync serves.
type group struct{ over chan struct{} }

// wait returns what is closed when the group's sync is over. The caller holds mu.
func (g *group) wait() <-chan struct{} {
	if g.over == nil {
		g.over = make(chan struct{})
	}
	return g.over
}

// finish tells the group. The caller holds mu.
func (g *group) finish() {
	if g.over != nil {
		close(g.over)
	}
}

// start begins a segment at synced, after segs, with what an earlier process left in tail, and makes the journal ready.
func (j *journal) start(segs []segment, synced Position, tail []byte) error {
	j.segs, j.synced, j.written, j.tail = segs, synced, synced, tail
	j.lastDone = j.end()
	j.closing = make(chan struct{})
	j.timer = time.AfterFunc(time.Hour, j.syncIntents)
	j.timer.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.roll()
}

func (j *journal) end() Position { return j.synced + Position(len(j.tail)) }

// intent appends rec and returns when it is in the operating system's hands; with sync, when it is on disk. appended says
// that it will be there although ctx ended first.
func (j *journal) intent(ctx context.Context, rec []byte, sync bool) (appended bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if j.closed {
			return false, fault.Wrap(errClosed, fault.Unavailable, "The service is shutting down.")
		}
		if j.failed != nil {
			return false, refused(j.failed)
		}
		if len(j.tail)+markSize+len(rec) <= maxTail {
			break
		}
		if err := j.commit(ctx, j.end()); err != nil {
			return false, refused(err)
		}
	}
	size, marked := len(j.tail), j.marked
	j.add(rec)
	if err := j.flush(); err != nil {
		// Some of rec may be in the file: the segment that repair begins is without it. Should the process be killed
		// before, and all of it be there, recovery closes a call that was not made.
		j.tail, j.marked = j.tail[:size], marked
		j.fail(err)
		return false, refused(err)
	}
	if sync {
		if err := j.commit(ctx, j.end()); err != nil {
			return true, refused(err)
		}
		return true, nil
	}
	j.syncLater()
	return true, nil
}

func refused(err error) error {
	return fault.Wrap(err, fault.Unavailable, "The usage ledger cannot record calls at the moment. Try again later.")
}

// settlement appends rec and returns when it is on disk; when settlements may wait for their sync, as soon as it is in the
// operating system's hands. appended says that it will be there in any case: an error then only means that ctx ended first.
func (j *journal) settlement(ctx context.Context, rec []byte) (appended bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.tail)+markSize+len(rec) > maxTail {
		if err := j.commit(ctx, j.end()); err != nil {
			return false, err
		}
	}
	if j.closed {
		return false, errClosed
	}
	j.add(rec)
	j.lastDone = j.end()
	if j.failed == nil && (j.unsynced || int(j.end()-j.written) > flushTail) {
		if err := j.flush(); err != nil {
			j.fail(err)
		}
	}
	if j.unsynced && j.failed == nil {
		j.syncLater()
		return true, nil
	}
	return true, j.commit(ctx, j.end())
}

// withdraw appends the settlement of an intent that was appended but refused, without waiting for the disk. Where there
// is no room for it, recovery closes the call.
func (j *journal) withdraw(rec []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed || len(j.tail)+markSize+len(rec) > maxTail {
		return
	}
	j.add(rec)
	j.lastDone = j.end()
	j.syncLater()
}

// add appends rec to the tail, after a mark if there was a sync since the last one. The caller holds mu.
func (j *journal) add(rec []byte) {
	if j.marked < j.synced {
		j.tail = appendMark(j.tail, j.synced)
		j.marked = j.synced
	}
	j.tail = append(j.tail, rec...)
}

// syncAll returns when all that is in the journal is on disk.
func (j *journal) syncAll(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.commit(ctx, j.end())
}

// syncLater has what was appended synced within the interval. The caller holds mu.
func (j *journal) syncLater() {
	if j.waits.IsZero() {
		j.waits = time.Now()
	}
	j.arm(j.interval)
}

// arm sets the timer if it does not run. The caller holds mu.
func (j *journal) arm(after time.Duration) {
	if !j.armed {
		j.armed = true
		j.owned.Add(1)
		j.timer.Reset(after)
	}
}

// commit returns when all before pos is on disk. The caller holds mu, which is released meanwhile.
func (j *journal) commit(ctx context.Context, pos Position) error {
	for j.synced < pos {
		var over <-chan struct{}
		switch {
		case j.dead != nil:
			return j.dead
		case j.failed != nil:
			over = j.repaired
		case j.next != nil:
			over = j.next.wait()
		default:
			j.lead()
			continue
		}
		j.mu.Unlock()
		select {
		case <-over:
			j.mu.Lock()
		case <-ctx.Done():
			j.mu.Lock()
			if j.synced < pos {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// lead syncs all that is in the journal when the sync under way, if any, is over. The caller holds mu, which is released
// meanwhile. It does not heed a context: others rely on it.
func (j *journal) lead() {
	g := &group{}
	j.next = g
	j.acquire()
	j.next, j.running = nil, g
	if j.failed == nil && j.dead == nil {
		j.sync()
	}
	j.running = nil
	g.finish()
}

// acquire waits until nobody syncs, rolls or repairs.
func (j *journal) acquire() {
	for j.running != nil {
		over := j.running.wait()
		j.mu.Unlock()
		<-over
		j.mu.Lock()
	}
}

// flush hands the tail to the operating system. The caller holds mu.
func (j *journal) flush() error {
	b := j.tail[j.written-j.synced:]
	if len(b) == 0 {
		return nil
	}
	if _, err := j.active.writeAt(b, j.offset(j.written), j.alone()); err != nil {
		return err
	}
	j.written = j.end()
	return nil
}

// offset is where pos is in the active segment. The caller holds mu.
func (j *journal) offset(pos Position) int64 { return j.head + int64(pos-j.segs[len(j.segs)-1].base) }

// fill writes zeros behind the records if there are few left. A sync of bytes that were there before costs a third less,
// the processor's time and the disk's: the file system has no new size and no new place to write down. The zeros become
// durable with the sync that follows. The caller holds mu and has flushed.
func (j *journal) fill() {
	end := j.offset(j.written)
	if j.filled-end >= fillStep/2 {
		return
	}
	from, to := max(j.filled, end), min(end+fillStep, j.head+j.segmentSize)
	if from >= to {
		return
	}
	if _, err := j.active.writeAt(zeros[:to-from], from, false); err != nil {
		to = math.MaxInt64 // this segment does without: whether records can be written they will tell themselves
	}
	j.filled = to
}

// sync makes all that is in the journal durable, then leaves a full segment behind. The caller is running and holds mu,
// which is released meanwhile.
func (j *journal) sync() {
	if err := j.flush(); err != nil {
		j.fail(err)
		return
	}
	j.fill()
	to, f := j.written, j.active
	j.waits = time.Time{}
	j.mu.Unlock()
	err := f.Sync()
	j.mu.Lock()
	if err != nil {
		j.fail(err)
		return
	}
	j.advance(to)
	if j.failed == nil && int64(to-j.segs[len(j.segs)-1].base) >= j.segmentSize {
		if err := j.roll(); err != nil {
			j.fail(err)
		}
	}
}

// advance notes that all before to is on disk.
func (j *journal) advance(to Position) {
	done := j.lastDone > j.synced
	rest := copy(j.tail, j.tail[to-j.synced:])
	if rest == 0 && cap(j.tail) > flushTail {
		j.tail = nil // a slow moment is over
	}
	j.tail = j.tail[:rest]
	j.synced = to
	if done {
		j.settled()
	}
}

// roll begins a new segment where the last good sync ended, with all of the tail in it. The caller is running (or alone)
// and holds mu, which is released while the disk works.
//
// The new file gets its name only when it holds everything that the old one holds, so whichever of the two a crash
// leaves is whole. When the name is there, the old file's bytes from here on are not read any more.
func (j *journal) roll() error {
	base := j.synced
	s := segment{base, filepath.Join(j.dir, segmentName(base))}
	temp := filepath.Join(j.dir, "next.tmp")
	head := appendHeader(nil, header{node: j.node, epoch: j.epoch, base: base})
	b := append(head, j.tail...)
	to := j.end()
	j.waits = time.Time{}

	j.mu.Unlock()
	f, err := j.disk.create(temp)
	if err == nil {
		if _, err = f.writeAt(b, 0, false); err == nil {
			err = f.Sync()
		}
	}
	j.mu.Lock()
	if err == nil && j.end() > to { // what came meanwhile
		_, err = f.writeAt(j.tail[to-base:], int64(len(b)), false)
	}
	if err == nil {
		err = j.disk.rename(temp, s.path)
	}
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close(), j.disk.remove(temp))
		}
		return fmt.Errorf("begin a segment: %w", err)
	}
	if j.active != nil {
		j.active.Close() // no more is expected of it
	}
	j.active, j.written, j.marked = f, j.end(), base
	j.head, j.filled = int64(len(head)), 0
	n := len(j.segs)
	if n > 0 && j.segs[n-1].base == base {
		n-- // replaced: nothing in it was ever durable
	}
	j.segs = append(slices.Clone(j.segs[:n]), s) // durable has given the old slice away

	j.mu.Unlock()
	err = j.disk.syncDir(j.dir)
	j.mu.Lock()
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	j.advance(to)
	return nil
}

// fail notes that the active segment cannot be relied on beyond synced and begins to repair that. The caller holds mu.
func (j *journal) fail(err error) {
	if j.failed != nil {
		return
	}
	j.logger.Error("ledger: the journal cannot be written; new calls are refused until it can", "error", err)
	j.failed = err
	j.repaired = make(chan struct{})
	j.owned.Add(1)
	go j.repair()
}

// repair tries to roll until it succeeds, or the journal closes and a last try failed too.
func (j *journal) repair() {
	defer j.owned.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	for delay := minRepairDelay; ; delay = min(2*delay, maxRepairDelay) {
		j.acquire()
		if j.dead != nil {
			break
		}
		g := &group{}
		j.running = g
		last := j.closed
		err := j.roll()
		j.running = nil
		g.finish()
		if err == nil {
			j.logger.Info("ledger: the journal can be written again")
			j.failed = nil
			break
		}
		j.failed = err
		if last {
			j.dead = err
			break
		}
		j.mu.Unlock()
		select {
		case <-time.After(delay):
		case <-j.closing:
		}
		j.mu.Lock()
	}
	close(j.repaired)
}

// syncIntents runs when an intent may have waited long enough. Those that a settlement took along do not wait any more.
func (j *journal) syncIntents() {
	defer j.owned.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.armed = false
	if j.waits.IsZero() || j.failed != nil || j.next != nil {
		return
	}
	if left := j.interval - time.Since(j.waits); left > 0 && !j.closed {
		j.arm(left)
		return
	}
	j.lead()
}

// durable returns the segments and the position up to which they may be read.
func (j *journal) durable() ([]segment, Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segs, j.synced
}

// forget deletes the segments that end at or before pos, the oldest first: what is left has no gap, nor has it after a power
// cut, because each is gone for good before the next goes. Only the indexer calls it.
func (j *journal) forget(pos Position) error {
	for {
		segs, _ := j.durable()
		if len(segs) < 2 || segs[1].base > pos {
			return nil
		}
		if err := j.disk.remove(segs[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := j.disk.syncDir(j.dir); err != nil {
			return err
		}
		j.mu.Lock()
		j.segs = j.segs[1:]
		j.mu.Unlock()
	}
}

// seal ends a journal that is wholly on disk with a mark that says so: a start that finds a record before it damaged
// does not take it for one that was being written. The mark is no record: it has no position, and nobody misses one that
// could not be written. The caller is alone and holds mu.
func (j *journal) seal() {
	if j.failed != nil || j.dead != nil || len(j.tail) > 0 || j.marked == j.synced {
		return
	}
	if _, err := j.active.writeAt(appendMark(nil, j.synced), j.offset(j.synced), false); err != nil {
		return
	}
	_ = j.active.Sync()
}

// close refuses what is new, syncs what is there as long as ctx allows, and waits for the journal's goroutines.
func (j *journal) close(ctx context.Context) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	close(j.closing)
	if j.timer.Stop() && j.armed {
		j.armed = false
		j.owned.Done()
	}
	err := j.commit(ctx, j.end())
	j.acquire()
	if err != nil {
		err = fmt.Errorf("journal: %d bytes of records are not on disk: %w", len(j.tail), err)
	} else {
		j.seal()
	}
	if j.dead == nil {
		j.dead = errClosed
	}
	err = errors.Join(err, j.active.Close())
	j.mu.Unlock()
	j.owned.Wait()
	return err
}
