package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Fate is how a step of the disk goes.
type Fate int

// The fates.
const (
	Done       Fate = iota
	NotDone         // an error, and nothing happened
	LostAnswer      // an error, but it happened
	Half            // of a write: an error, and half of it happened
)

// ErrFault is what a step that goes wrong returns.
var ErrFault = errors.New("a fault of the disk")

// Disk is the operating system's with faults in it. It also knows what would be left after a power cut.
type Disk struct {
	Fate func(op, name string) Fate // asked before each step; nil for none

	mu      sync.Mutex
	synced  map[string]int64 // bytes that a sync has confirmed, by path
	renames [][2]string      // that no sync of the folder has confirmed
	off     bool
}

// Install makes c use d.
func (d *Disk) Install(c *Config) { c.disk = d }

func (d *Disk) step(op, path string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fate := Done
	if d.off {
		fate = NotDone
	} else if d.Fate != nil {
		fate = d.Fate(op, filepath.Base(path))
	}
	if fate == NotDone {
		return ErrFault
	}
	if err := do(); err != nil {
		return err
	}
	if fate == LostAnswer {
		return ErrFault
	}
	return nil
}

// PowerCut stops the disk and takes from it what was not synced.
func (d *Disk) PowerCut() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	for i := len(d.renames) - 1; i >= 0; i-- {
		if err := os.Rename(d.renames[i][1], d.renames[i][0]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for path, size := range d.synced {
		if !strings.HasSuffix(path, segmentExt) {
			continue
		}
		if err := os.Truncate(path, size); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *Disk) create(path string) (f file, err error) {
	err = d.step("create", path, func() (err error) {
		if f, err = (osDisk{}).create(path); err == nil {
			f = &faultyFile{f, d, &path, 0}
			if d.synced == nil {
				d.synced = map[string]int64{}
			}
			d.synced[path] = 0
		}
		return err
	})
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

func (d *Disk) open(path string) (file, error) { return (osDisk{}).open(path) }

func (d *Disk) rename(from, to string) error {
	return d.step("rename", to, func() error {
		if err := (osDisk{}).rename(from, to); err != nil {
			return err
		}
		d.renames = append(d.renames, [2]string{from, to})
		d.synced[to] = d.synced[from]
		delete(d.synced, from)
		return nil
	})
}

func (d *Disk) remove(path string) error {
	return d.step("remove", path, func() error { return (osDisk{}).remove(path) })
}

func (d *Disk) syncDir(path string) error {
	return d.step("syncDir", path, func() error {
		d.renames = nil
		return (osDisk{}).syncDir(path)
	})
}

type faultyFile struct {
	file
	d    *Disk
	path *string
	size int64
}

// name follows a rename: the journal renames each file once, before it is used.
func (f *faultyFile) name() string {
	if osf, ok := f.file.(osFile); ok && strings.HasSuffix(*f.path, ".tmp") {
		for final := range f.d.synced {
			a, err1 := os.Stat(final)
			b, err2 := osf.Stat()
			if err1 == nil && err2 == nil && os.SameFile(a, b) {
				*f.path = final
			}
		}
	}
	return *f.path
}

func (f *faultyFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	fate := Done
	if f.d.off {
		fate = NotDone
	} else if f.d.Fate != nil {
		fate = f.d.Fate("write", filepath.Base(f.name()))
	}
	switch fate {
	case NotDone:
		return 0, ErrFault
	case Half:
		n, err := f.file.Write(b[:len(b)/2])
		f.size += int64(n)
		return n, errors.Join(ErrFault, err)
	}
	n, err := f.file.Write(b)
	f.size += int64(n)
	if fate == LostAnswer {
		err = errors.Join(ErrFault, err)
	}
	return n, err
}

// Sync does not hold the lock, as a disk does not: others write meanwhile.
func (f *faultyFile) Sync() error {
	f.d.mu.Lock()
	fate, size := Done, f.size
	if f.d.off {
		fate = NotDone
	} else if f.d.Fate != nil {
		fate = f.d.Fate("sync", filepath.Base(f.name()))
	}
	f.d.mu.Unlock()
	if fate == NotDone {
		return ErrFault
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.off {
		return ErrFault
	}
	f.d.synced[f.name()] = size
	if fate == LostAnswer {
		return ErrFault
	}
	return nil
}
