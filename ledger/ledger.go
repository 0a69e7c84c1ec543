package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"outcrop/fault"
)

// Config is what a Ledger needs. Zero values of the numbers mean the defaults.
type Config struct {
	Dir   string // the journal's folder, made when it is missing; nothing else may be in it
	Node  string // this machine's name among those that share the index; by default the name the journal began with: the host's
	Index Index  // where settled calls go

	// Recover says how a call ended that a crash left open: what it may have used and the charges for it. ID, Time,
	// Status and Estimated are set by the ledger, and Reason where it is empty.
	Recover func(*Intent) Settlement

	Clock  func() time.Time // time.Now by default
	Logger *slog.Logger     // slog.Default() by default

	SyncInterval time.Duration // how long an intent may wait for its sync; 5 ms by default
	SyncIntents  bool          // Open waits until the intent is on disk: one sync more a call
	Unsynced     bool          // Settle does not wait for the disk either: what it wrote is synced within SyncInterval
	SegmentSize  int64         // bytes of records in a file of the journal; 64 MiB by default

	disk disk
}

// maxReason bounds a settlement's reason, the one field that strangers write; the rest of it is cut off.
const maxReason = 1024

// Ledger records calls. It is safe for concurrent use.
type Ledger struct {
	cfg     Config
	lock    *os.File
	syncer  *syncer
	journal *journal
	indexer *indexer
	records sync.Pool    // of *[]byte
	calls   atomic.Int64 // between Open and the end of Settle

	mu     sync.Mutex
	open   map[uuid.UUID]struct{}
	closed bool
}

// New opens the journal in cfg.Dir, closes the calls that the last process left open, and starts to index. It fails when
// another process uses the journal, when a record in it is damaged that should not be (the error names file and
// offset), or when the index cannot be asked where it stands.
func New(ctx context.Context, cfg Config) (*Ledger, error) {
	if cfg.Index == nil || cfg.Recover == nil || cfg.Dir == "" {
		return nil, errors.New("ledger: Dir, Index and Recover are required")
	}
	if len(cfg.Node) > 255 {
		return nil, errors.New("ledger: the node's name is longer than 255 bytes")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.SyncInterval <= 0 {
		cfg.SyncInterval = 5 * time.Millisecond
	}
	if cfg.SegmentSize <= 0 {
		cfg.SegmentSize = 64 << 20
	}
	var s *syncer
	if cfg.disk == nil {
		s = newSyncer()
		cfg.disk = osDisk{s}
	}
	l, err := start(ctx, &cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: %w", err), s.close())
	}
	l.syncer = s
	return l, nil
}

func start(ctx context.Context, cfg *Config) (_ *Ledger, err error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	// What is in a folder is safe only when the folder's own name is.
	if err := cfg.disk.syncDir(filepath.Dir(cfg.Dir)); err != nil {
		return nil, err
	}
	l := &Ledger{cfg: *cfg, open: map[uuid.UUID]struct{}{}}
	l.records.New = func() any { b := make([]byte, 0, 1024); return &b }
	if l.lock, err = lock(filepath.Join(cfg.Dir, "lock")); err != nil {
		return nil, err
	}
	r, err := recoverJournal(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	l.indexer = newIndexer(cfg, r)
	l.journal = &journal{
		dir: cfg.Dir, disk: cfg.disk, node: r.epoch.Node, epoch: r.epoch.Epoch,
		segmentSize: cfg.SegmentSize, interval: cfg.SyncInterval, unsynced: cfg.Unsynced, logger: cfg.Logger,
		settled: l.indexer.wake, alone: func() bool { return l.calls.Load() <= 1 },
	}
	if err := l.journal.start(r.segs, r.synced, r.tail); err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	if err := l.closeOrphans(ctx, r.orphans); err != nil {
		return nil, errors.Join(fmt.Errorf("close the calls left open: %w", err), l.journal.close(ctx), l.lock.Close())
	}
	l.indexer.start(l.journal)
	return l, nil
}

// Open records that a call begins. When it returns nil, the call will have a settlement: by Settle, or by recovery at
// the next start. The error is a fault.Unavailable when the disk does not take the record, or not before ctx ends; the
// call must not be made then.
func (l *Ledger) Open(ctx context.Context, in *Intent) error {
	l.mu.Lock()
	_, twice := l.open[in.ID]
	l.open[in.ID] = struct{}{}
	l.mu.Unlock()
	if twice {
		return fmt.Errorf("ledger: call %s is open already", in.ID)
	}
	l.calls.Add(1)
	buf := l.records.Get().(*[]byte)
	defer l.records.Put(buf)
	*buf = appendIntent((*buf)[:0], in)
	var (
		appended bool
		err      error
	)
	if n := len(*buf) - frameSize; n > maxRecord {
		err = fmt.Errorf("ledger: the intent of call %s takes %d bytes, more than a record may have", in.ID, n)
	} else {
		appended, err = l.journal.intent(ctx, *buf, l.cfg.SyncIntents)
	}
	if err == nil {
		return nil
	}
	l.calls.Add(-1)
	l.mu.Lock()
	delete(l.open, in.ID)
	l.mu.Unlock()
	if appended { // it would read as a call that a crash left open
		l.journal.withdraw(appendSettlement((*buf)[:0], &Settlement{
			ID: in.ID, Time: l.cfg.Clock().UTC(), Status: Failed, Reason: "the ledger did not record the call in time; it was not made",
		}))
	}
	return err
}

// Settle records how a call ended, exactly once, and returns when that is on disk; with Config.Unsynced, when it is in the
// operating system's hands. The context should outlive the
// caller's; it bounds how long a full or failing disk is waited for. When it ends first the error is a
// fault.Unavailable: the settlement is kept and will be written if the disk recovers before the process ends. It is an
// error to settle a call that is not open.
func (l *Ledger) Settle(ctx context.Context, s *Settlement) error {
	if s.Status < Completed || s.Status > Recovered {
		return fmt.Errorf("ledger: call %s is settled without a status", s.ID)
	}
	buf := l.records.Get().(*[]byte)
	defer l.records.Put(buf)
	var err error
	if *buf, err = appendBounded((*buf)[:0], s); err != nil {
		return err
	}
	l.mu.Lock()
	_, open := l.open[s.ID]
	delete(l.open, s.ID)
	l.mu.Unlock()
	if !open {
		return fmt.Errorf("ledger: call %s is settled but not open", s.ID)
	}
	appended, err := l.journal.settlement(ctx, *buf)
	if appended {
		l.calls.Add(-1)
	} else {
		l.mu.Lock()
		l.open[s.ID] = struct{}{}
		l.mu.Unlock()
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "The usage ledger cannot record calls at the moment. Try again later.")
	}
	return nil
}

// appendBounded appends s as a record with a reason of bounded length.
func appendBounded(b []byte, s *Settlement) ([]byte, error) {
	start := len(b)
	if len(s.Reason) > maxReason {
		c := *s
		c.Reason = strings.ToValidUTF8(s.Reason[:maxReason], "")
		s = &c
	}
	b = appendSettlement(b, s)
	if n := len(b) - start - frameSize; n > maxRecord {
		return b[:start], fmt.Errorf("ledger: the settlement of call %s takes %d bytes, more than a record may have", s.ID, n)
	}
	return b, nil
}

// Flush returns when every call that was settled before it was called is in the index.
func (l *Ledger) Flush(ctx context.Context) error {
	if err := l.journal.syncAll(ctx); err != nil {
		return err
	}
	_, to := l.journal.durable()
	return l.indexer.flush(ctx, to)
}

// Recording says why calls cannot be recorded at the moment; nil when they can.
func (l *Ledger) Recording() error {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	return l.journal.failed
}

// Healthy says why calls cannot be recorded or indexed at the moment; nil when all is well.
func (l *Ledger) Healthy() error {
	return errors.Join(l.Recording(), l.indexer.err())
}

// Close refuses what is new, syncs the journal, lets the indexer catch up as long as ctx allows, and waits for every
// goroutine. What is not indexed by then will be at the next start; the error says so.
func (l *Ledger) Close(ctx context.Context) error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	err := l.journal.close(ctx)
	return errors.Join(err, l.indexer.close(ctx), l.syncer.close(), l.lock.Close())
}
