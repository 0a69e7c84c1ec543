//go:build !linux

package ledger

import "os"

// SyncBlocks returns whether a sync of the journal holds a thread, and with it one of the scheduler's processors, until
// the disk has answered. Where it does, a process with one processor stands still meanwhile.
func SyncBlocks() bool { return true }

// syncer syncs files. Here it is always nil: there is no other way than the usual one.
type syncer struct{}

func newSyncer() *syncer { return nil }

func (*syncer) sync(f *os.File) error { return f.Sync() }
func (*syncer) close() error          { return nil }

func (f osFile) writeAt(b []byte, off int64, _ bool) (int, error) { return f.WriteAt(b, off) }
