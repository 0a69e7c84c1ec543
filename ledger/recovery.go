package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// epoch is which journal the folder holds, kept in the file "epoch" in it. A journal that was copied or restored gets a
// new one, so that the index never takes its records for those that the other journal wrote at the same positions: what
// its segments still hold is offered to the index again, which knows calls by their ids.
type epoch struct {
	Version int      `json:"version"`
	Node    string   `json:"node"`   // the machine's name
	Epoch   string   `json:"epoch"`  // random
	Start   Position `json:"start"`  // where the epoch's first segment began
	Folder  string   `json:"folder"` // identity of the journal's folder; "" where there is none
}

const epochVersion = 1

// readEpoch returns nil when there is none.
func readEpoch(path string) (*epoch, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e epoch
	if err := json.Unmarshal(b, &e, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if e.Version != epochVersion || e.Epoch == "" || e.Node == "" || e.Start < 0 {
		return nil, fmt.Errorf("read %s: not an epoch of this release", path)
	}
	return &e, nil
}

func writeEpoch(d disk, path string, e *epoch) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	temp := path + ".tmp"
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	if _, err = f.writeAt(append(b, '\n'), 0, false); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.rename(temp, path); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// recovered is what the segments tell at a start.
type recovered struct {
	segs    []segment
	epoch   *epoch
	applied Position           // what the index has; 0 when nothing of this epoch
	from    Position           // where the indexer begins to read
	open    map[uuid.UUID]call // the calls open at from
	orphans []*Intent          // the calls open at the end, in the order in which they began
	end     Position

	// What is not known to be on disk: it goes into a new segment, because a sync of the file that it is in would prove
	// nothing after one that failed.
	synced Position
	tail   []byte // from synced to end
}

// call is an open call in the indexer's memory.
type call struct {
	intent *Intent
	pos    Position // of its record
}

// recoverJournal reads what the last process left in cfg.Dir. It changes nothing but the epoch.
func recoverJournal(ctx context.Context, cfg *Config) (*recovered, error) {
	segs, err := listSegments(cfg.Dir)
	if err != nil {
		return nil, err
	}
	r := &recovered{segs: segs}
	if err := r.findEnd(cfg.disk, cfg.Logger); err != nil {
		return nil, err
	}
	if err := r.findEpoch(ctx, cfg); err != nil {
		return nil, err
	}
	return r, r.findOpen(cfg.disk)
}

// findEpoch tells whether the journal is still the one that the index knows, and where the indexer begins.
func (r *recovered) findEpoch(ctx context.Context, cfg *Config) error {
	folder, err := identity(cfg.Dir)
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.Dir, "epoch")
	e, err := readEpoch(path)
	if err != nil {
		return err
	}
	if e != nil {
		if r.applied, err = cfg.Index.Position(ctx, e.Node, e.Epoch); err != nil {
			return fmt.Errorf("ask the index where it stands: %w", err)
		}
	}
	var why string
	switch {
	case e == nil && len(r.segs) > 0:
		why = "its epoch was removed"
	case e == nil:
	case folder != e.Folder:
		why = "it was copied from another folder"
	case cfg.Node != "" && cfg.Node != e.Node:
		why = "the node has another name"
	case r.applied > r.end:
		why = "the index is ahead of it, so it is an older copy"
	default:
		r.epoch = e
	}
	var first Position
	if len(r.segs) > 0 {
		first = r.segs[0].base
	}
	if r.epoch == nil {
		if why != "" {
			cfg.Logger.Warn("ledger: the journal begins a new epoch: " + why)
		}
		var id [16]byte
		rand.Read(id[:]) // never fails
		r.epoch = &epoch{Version: epochVersion, Node: cfg.Node, Epoch: hex.EncodeToString(id[:]), Start: first, Folder: folder}
		if r.epoch.Node == "" && e != nil {
			r.epoch.Node = e.Node
		} else if r.epoch.Node == "" {
			if r.epoch.Node, err = os.Hostname(); err != nil {
				return fmt.Errorf("this machine has no name: %w", err)
			}
		}
		if err := writeEpoch(cfg.disk, path, r.epoch); err != nil {
			return fmt.Errorf("begin an epoch: %w", err)
		}
		r.applied = 0
	}
	r.from = r.applied
	if r.applied == 0 {
		r.from = r.epoch.Start
	}
	if r.from < first {
		return fmt.Errorf("the index has the calls of this journal up to position %x, but the journal begins at %x: the index is an older copy. "+
			"To go on without the calls in between, remove the file %s", int64(r.from), int64(first), path)
	}
	return nil
}

// findEnd tells where the last segment's last whole record ends, and how much of the segment is known to be on disk.
func (r *recovered) findEnd(d disk, logger *slog.Logger) error {
	if len(r.segs) == 0 {
		return nil
	}
	last := r.segs[len(r.segs)-1]
	f, err := d.open(last.path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	rd, err := newReader(last, f)
	if err != nil {
		return err // a segment has its name only when its header is on disk
	}
	first := rd.offset()
	limit := last.base + Position(size-first)
	r.synced, r.end = last.base, last.base
	for {
		pos, offset := rd.pos, rd.offset()
		typ, payload, err := rd.next(limit)
		if err == io.EOF {
			break
		}
		if err == nil {
			if typ == typeMark {
				synced, err := decodeMark(payload, pos)
				if err != nil {
					return &corrupt{last.path, offset, err}
				}
				r.synced = max(r.synced, synced) // one that came along in a tail may be older
			} else {
				r.end = rd.pos
			}
			continue
		}
		var damage *corrupt
		if !errors.As(err, &damage) {
			return err
		}
		if marked, err := markAfter(f, offset, size, pos); err != nil {
			return err
		} else if marked {
			return damage
		}
		if clean, err := zerosAfter(f, offset, size); err != nil {
			return err
		} else if clean {
			break
		}
		logger.Warn("ledger: the journal ends in a record that was not wholly written; it is cut off there",
			"file", damage.path, "offset", damage.offset, "bytes", size-damage.offset, "reason", damage.err)
		break
	}
	// Marks behind the last record, as a clean stop leaves one, have told what they had to: the next segment begins where
	// they stood.
	r.synced = min(r.synced, r.end)
	r.tail = make([]byte, r.end-r.synced)
	if n, err := f.ReadAt(r.tail, first+int64(r.synced-last.base)); n < len(r.tail) {
		return err
	}
	return nil
}

// findOpen reads the segments for the calls that were open at from and those that are open at the end.
func (r *recovered) findOpen(d disk) error {
	open := map[uuid.UUID]call{}
	names := newNames()
	var s Settlement
	for i, seg := range r.segs {
		limit := r.end
		if i+1 < len(r.segs) {
			limit = r.segs[i+1].base
		}
		err := readSegment(d, seg, limit, func(pos Position, typ byte, payload []byte) error {
			if pos == r.from {
				r.open = maps.Clone(open)
			}
			switch typ {
			case typeIntent:
				in, err := decodeIntent(payload, names)
				if err != nil {
					return err
				}
				open[in.ID] = call{in, pos}
				return nil
			case typeSettlement:
				if err := decodeSettlement(payload, names, &s); err != nil {
					return err
				}
				delete(open, s.ID)
				return nil
			case typeMark:
				_, err := decodeMark(payload, pos)
				return err
			}
			return fmt.Errorf("unknown type of record %q", typ)
		})
		if err != nil {
			return err
		}
	}
	if r.from == r.end {
		r.open = maps.Clone(open)
	}
	if r.open == nil {
		return fmt.Errorf("the index stands at position %x of the journal, where no record begins", int64(r.from))
	}
	calls := slices.SortedFunc(maps.Values(open), func(a, b call) int { return cmp.Compare(a.pos, b.pos) })
	for _, c := range calls {
		r.orphans = append(r.orphans, c.intent)
	}
	return nil
}

// readSegment calls fn for each record before limit, which must be the end of one.
func readSegment(d disk, s segment, limit Position, fn func(pos Position, typ byte, payload []byte) error) error {
	f, err := d.open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	rd, err := newReader(s, f)
	if err != nil {
		return err
	}
	for {
		pos, offset := rd.pos, rd.offset()
		typ, payload, err := rd.next(limit)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(pos, typ, payload); err != nil {
			return &corrupt{s.path, offset, err}
		}
	}
}

// closeOrphans appends what cfg.Recover makes of the calls that the last process left open.
func (l *Ledger) closeOrphans(ctx context.Context, orphans []*Intent) error {
	var recs []byte
	for i, in := range orphans {
		s := l.cfg.Recover(in)
		s.ID, s.Time, s.Status, s.Estimated = in.ID, l.cfg.Clock().UTC(), Recovered, true
		if s.Reason == "" {
			s.Reason = "the server stopped before the call was settled"
		}
		var err error
		if recs, err = appendBounded(recs, &s); err != nil {
			return err
		}
		if len(recs) < flushTail && i+1 < len(orphans) {
			continue
		}
		if _, err := l.journal.settlement(ctx, recs); err != nil {
			return err
		}
		recs = recs[:0]
	}
	if n := len(orphans); n > 0 {
		l.cfg.Logger.Warn("ledger: closed the calls that the last process left open", "calls", n)
	}
	return nil
}
