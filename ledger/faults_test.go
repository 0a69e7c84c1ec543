package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Fate is how a step of the disk goes.
type Fate int

// The fates.
const (
	Done       Fate = iota
	NotDone         // an error, and nothing happened
	LostAnswer      // an error, but it happened
	Half            // of a write: an error, and half of it happened; of other steps: as NotDone
)

// ErrFault is what a step that goes wrong returns.
var ErrFault = errors.New("a fault of the disk")

// Disk is the operating system's with faults in it. It also knows what would be left after a power cut.
type Disk struct {
	Fate        func(op, name string) Fate // asked before each step, one at a time; nil for none
	BeforeSync  func()                     // called before each sync of a file; nil for none
	BeforeWrite func(alone bool)           // likewise, of each write

	mu      sync.Mutex
	off     bool
	names   map[string]*content // as the process sees them
	durable map[string]*content // as the last sync of the folder left them
	since   []func(map[string]*content)
}

// content is of a file. What a failed sync should have written is lost for good: the operating system forgets that it
// was not written, and a later sync succeeds without it.
type content struct {
	name  string
	disk  []byte // what a power cut leaves at least
	since []written
}

// written is what the disk may or may not have.
type written struct {
	at int64
	b  []byte
}

func (w written) onto(b []byte) []byte {
	if n := int(w.at) + len(w.b) - len(b); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	copy(b[w.at:], w.b)
	return b
}

// Install makes c use d.
func (d *Disk) Install(c *Config) { c.disk = d }

// Lock calls fn while no step is asked for.
func (d *Disk) Lock(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
}

// fate of a step. The caller holds mu.
func (d *Disk) fate(op, path string) Fate {
	switch {
	case d.off:
		return NotDone
	case d.Fate == nil:
		return Done
	}
	return d.Fate(op, filepath.Base(path))
}

func (d *Disk) step(op, path string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fate := d.fate(op, path)
	if fate == NotDone || fate == Half {
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

// change changes names, at once for the process, on the disk with the folder's next sync or before. The caller holds mu.
func (d *Disk) change(op func(map[string]*content)) {
	if d.names == nil {
		d.names, d.durable = map[string]*content{}, map[string]*content{}
	}
	op(d.names)
	d.since = append(d.since, op)
}

// Off makes every later step fail, as if the process were killed.
func (d *Disk) Off() { d.Lock(func() { d.off = true }) }

// On ends what Off began.
func (d *Disk) On() { d.Lock(func() { d.off = false }) }

// PowerCut stops the disk and leaves in the folder what was synced, and of the rest what chance leaves: names changed up
// to a moment, unsynced bytes up to a place or with a hole in them.
func (d *Disk) PowerCut(r *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	for _, op := range d.since[:r.IntN(len(d.since)+1)] {
		op(d.durable)
	}
	for path := range d.names {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for path, c := range d.durable {
		b := c.left(r)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// left is what a power cut leaves of c: what was synced, the rest up to a place, and where the disk did not keep the order
// a hole in that, in which there is what was before.
func (c *content) left(r *rand.Rand) []byte {
	b := bytes.Clone(c.disk)
	all := 0
	for _, w := range c.since {
		all += len(w.b)
	}
	for keep, i := r.IntN(all+1), 0; keep > 0; i++ {
		w := c.since[i]
		w.b = w.b[:min(len(w.b), keep)]
		keep -= len(w.b)
		b = w.onto(b)
	}
	if all > 0 && len(b) > 0 && r.IntN(2) == 0 {
		first := len(b)
		for _, w := range c.since {
			first = min(first, int(w.at))
		}
		from := first + r.IntN(len(b)-first+1)
		to := from + r.IntN(len(b)-from+1)
		n := 0
		if from < len(c.disk) {
			n = copy(b[from:to], c.disk[from:])
		}
		clear(b[from+n : to])
	}
	return b
}

func (d *Disk) create(path string) (f file, err error) {
	err = d.step("create", path, func() (err error) {
		if f, err = (osDisk{}).create(path); err == nil {
			c := &content{name: path}
			d.change(func(m map[string]*content) { m[path] = c })
			f = &faultyFile{f, d, c}
		}
		return err
	})
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

func (d *Disk) open(path string) (f file, err error) {
	err = d.step("open", path, func() (err error) {
		if f, err = (osDisk{}).open(path); err == nil {
			f = &faultyFile{f, d, &content{name: path}}
		}
		return err
	})
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

func (d *Disk) rename(from, to string) error {
	return d.step("rename", to, func() error {
		if err := (osDisk{}).rename(from, to); err != nil {
			return err
		}
		d.names[from].name = to
		d.change(func(m map[string]*content) {
			m[to] = m[from]
			delete(m, from)
		})
		return nil
	})
}

func (d *Disk) remove(path string) error {
	return d.step("remove", path, func() error {
		if err := (osDisk{}).remove(path); err != nil {
			return err
		}
		d.change(func(m map[string]*content) { delete(m, path) })
		return nil
	})
}

// syncDir does not trouble the real disk: it is the memory of a power cut that counts.
func (d *Disk) syncDir(path string) error {
	return d.step("syncDir", path, func() error {
		d.durable, d.since = maps.Clone(d.names), nil
		return nil
	})
}

type faultyFile struct {
	file
	d *Disk
	c *content
}

func (f *faultyFile) writeAt(b []byte, off int64, alone bool) (int, error) {
	if f.d.BeforeWrite != nil {
		f.d.BeforeWrite(alone)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	fate := f.d.fate("write", f.c.name)
	switch fate {
	case NotDone:
		return 0, ErrFault
	case Half:
		b = b[:len(b)/2]
	}
	n, err := f.file.writeAt(b, off, alone)
	f.c.since = append(f.c.since, written{off, bytes.Clone(b[:n])})
	if fate != Done {
		err = errors.Join(ErrFault, err)
	}
	return n, err
}

func (f *faultyFile) ReadAt(b []byte, off int64) (n int, err error) {
	f.d.mu.Lock()
	fate := f.d.fate("read", f.c.name)
	f.d.mu.Unlock()
	if fate != Done {
		return 0, ErrFault
	}
	return f.file.ReadAt(b, off)
}

// Sync does not hold the lock while it waits, as a disk does not: others write meanwhile, and that is not in it.
func (f *faultyFile) Sync() error {
	f.d.mu.Lock()
	n := len(f.c.since)
	f.d.mu.Unlock()
	if f.d.BeforeSync != nil {
		f.d.BeforeSync()
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.off {
		return ErrFault
	}
	fate := f.d.fate("sync", f.c.name)
	if fate == Done || fate == LostAnswer {
		for _, w := range f.c.since[:n] {
			f.c.disk = w.onto(f.c.disk)
		}
	}
	f.c.since = f.c.since[n:]
	if fate != Done {
		return ErrFault
	}
	return nil
}

// The disk that the other tests rely on.
func TestDisk(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(30) {
		dir := t.TempDir()
		var fate Fate
		d := &Disk{Fate: func(string, string) Fate { return fate }}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		f, err := d.create(filepath.Join(dir, "a"))
		must(err)
		size := int64(0)
		write := func(s string) {
			n, err := f.writeAt([]byte(s), size, false)
			size += int64(n)
			must(err)
		}
		write("kept ")
		must(f.Sync())
		must(d.syncDir(dir))
		write("lost ")
		fate = NotDone
		if f.Sync() == nil {
			t.Fatal("the fate of a sync is not heeded")
		}
		fate = Done
		write("late")
		must(f.Sync())
		must(d.rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
		must(d.PowerCut(rand.New(rand.NewPCG(seed, 0))))
		must(f.Close())
		files, err := os.ReadDir(dir)
		must(err)
		for _, e := range files {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			must(err)
			seen[fmt.Sprintf("%s %q", e.Name(), b)] = true
		}
	}
	want := map[string]bool{`a "kept \x00\x00\x00\x00\x00late"`: true, `b "kept \x00\x00\x00\x00\x00late"`: true}
	if !maps.Equal(seen, want) {
		t.Errorf("power cuts leave %v, want %v", seen, want)
	}
}
