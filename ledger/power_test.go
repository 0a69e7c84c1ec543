package ledger

import (
	"bytes"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Power is a machine whose power fails. It takes down, in order, what a process does to the files in a folder: the journal's
// through Config, a database's because SQLite's own layer to the operating system is wrapped. Cut then makes of the folder
// what a power cut after any of these steps may leave.
//
// What is promised is what POSIX promises. Bytes are safe when a sync of their file that began after they were written has
// ended; a name is, when its folder was synced. Of everything else chance decides, for each sector of 512 bytes by itself:
// any state that the sector had since the last sync is left, so writes are dropped, torn and out of order. Names are, too.
// No sync reaches the real disk.
type Power struct {
	// Deaf says which syncs are not heard: faults to be found. "sync" is of a file of that name. "names" is of a folder of
	// that name, or the one that SQLite does with the first sync of such a file; "removal" is "names" after a file was removed.
	Deaf func(op, name string) bool

	dir string

	mu    sync.Mutex
	begin map[string][]byte // the files in the beginning, all of them safe
	ops   []powerOp
	names map[string]int // which file has a name, as the process sees it
	files int
	full  func(name string) bool
}

type powerKind byte

const (
	powerWrite powerKind = iota
	powerTruncate
	powerSync
	powerName    // path is file's
	powerRename  // path is to's
	powerRemove  // path is nobody's
	powerSyncDir // names in the folder path are safe
)

type powerOp struct {
	kind    powerKind
	file    int
	path    string
	off     int64
	b       []byte
	since   int      // of a sync: the steps before it are in it
	ledger  bool     // of a sync: of a segment
	folders []string // of a folder that is synced: those in it
}

const sector = 512

// NewPower takes down what is done in dir from now on, until Stop. A process has one for a folder.
func NewPower(dir string) (*Power, error) {
	p := &Power{dir: dir, begin: map[string][]byte{}, names: map[string]int{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || ephemeral(path) {
			return err
		}
		p.begin[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(p.begin)) {
		p.names[path] = p.files
		p.files++
	}
	powered.wrap()
	powered.mu.Lock()
	defer powered.mu.Unlock()
	powered.dirs[dir] = p
	return p, nil
}

// ephemeral files mean nothing after a start: SQLite makes its shared memory anew, and a lock is of a process.
func ephemeral(path string) bool {
	return strings.HasSuffix(path, "-shm") || filepath.Base(path) == "lock"
}

// Stop ends the taking down.
func (p *Power) Stop() {
	powered.mu.Lock()
	defer powered.mu.Unlock()
	delete(powered.dirs, p.dir)
}

// SetFull has full say whether a write of SQLite to the file of a name finds no room.
func (p *Power) SetFull(full func(name string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = full
}

// Install makes c use p.
func (p *Power) Install(c *Config) { c.disk = powerDisk{p} }

// Steps returns how many steps were taken down.
func (p *Power) Steps() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ops)
}

// SyncedBefore returns the last step before which all that was written to the journal is safe when the power fails after step.
func (p *Power) SyncedBefore(step int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := step - 1; i >= 0; i-- {
		if o := p.ops[i]; o.kind == powerSync && o.ledger {
			return o.since
		}
	}
	return 0
}

// note takes down o. The caller holds mu.
func (p *Power) note(o powerOp) { p.ops = append(p.ops, o) }

// named returns the file of path, which may be one that somebody else made. The caller holds mu.
func (p *Power) named(path string) int {
	id, ok := p.names[path]
	if !ok {
		id = p.made(path)
	}
	return id
}

// made gives path to a new file. The caller holds mu.
func (p *Power) made(path string) int {
	id := p.files
	p.files++
	p.names[path] = id
	p.note(powerOp{kind: powerName, file: id, path: path})
	return id
}

func (p *Power) write(file int, b []byte, off int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(powerOp{kind: powerWrite, file: file, off: off, b: bytes.Clone(b)})
}

// beginSync returns the step at which it began.
func (p *Power) beginSync() int { return p.Steps() }

func (p *Power) endSync(file int, name string, since int) {
	if p.Deaf != nil && p.Deaf("sync", name) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(powerOp{kind: powerSync, file: file, since: since, ledger: strings.HasSuffix(name, segmentExt)})
}

// syncDir is of the folder path, for the sake of name.
func (p *Power) syncDir(path, name string) {
	p.mu.Lock()
	op := "names"
	if n := len(p.ops); n > 0 && p.ops[n-1].kind == powerRemove {
		op = "removal"
	}
	p.mu.Unlock()
	if p.Deaf != nil && p.Deaf(op, name) {
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		panic(err)
	}
	o := powerOp{kind: powerSyncDir, path: path}
	for _, e := range entries {
		if e.IsDir() {
			o.folders = append(o.folders, filepath.Join(path, e.Name()))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(o)
}

func (p *Power) remove(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.names, path)
	p.note(powerOp{kind: powerRemove, path: path})
}

// powerFile is a file as the disk and the process know it.
type powerFile struct {
	disk  []byte
	since []powerOp // what a sync has not made safe, with the step of each
	steps []int
}

// settle makes safe what was done before step.
func (f *powerFile) settle(step int) {
	n := 0
	for n < len(f.since) && f.steps[n] < step {
		f.disk = f.since[n].onto(f.disk)
		n++
	}
	f.since, f.steps = f.since[n:], f.steps[n:]
}

func (o *powerOp) onto(b []byte) []byte {
	if o.kind == powerTruncate {
		if int(o.off) <= len(b) {
			return b[:o.off:o.off]
		}
		return append(b, make([]byte, int(o.off)-len(b))...)
	}
	if n := int(o.off) + len(o.b) - len(b); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	copy(b[o.off:], o.b)
	return b
}

// Manner is how much chance decides.
type Manner int

// The manners in which power fails.
const (
	Dropped   Manner = iota // nothing is left that was not safe
	Kept                    // everything is left, as after kill -9
	InOrder                 // what was done up to a moment, the last write torn
	Scattered               // each sector and name by itself; what was never written reads as zeros
	Garbage                 // likewise, but it reads as anything
	Manners
)

// Cut makes the folder what it is when the power fails after step. What was open in it must be closed, and p be stopped.
func (p *Power) Cut(step int, m Manner, r *rand.Rand) error {
	names, files := p.at(step, m, r)
	if err := clearFolder(p.dir); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		if names[path] < 0 {
			continue // a folder
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[names[path]].left(m, r), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// clearFolder removes all files in dir but leaves the folders in it, which keep their identity.
func clearFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path)
	})
}

// at returns the names that are left after step, and the files.
func (p *Power) at(step int, m Manner, r *rand.Rand) (map[string]int, map[int]*powerFile) {
	files := map[int]*powerFile{}
	file := func(id int) *powerFile {
		if files[id] == nil {
			files[id] = &powerFile{}
		}
		return files[id]
	}
	names := map[string]int{}
	for i, path := range slices.Sorted(maps.Keys(p.begin)) { // as NewPower numbered them
		names[path] = i
		file(i).disk = bytes.Clone(p.begin[path])
		names[filepath.Dir(path)] = -1
	}
	names[p.dir] = -1
	if m == InOrder { // of what came after the last sync, what is first
		first := step
		for first > 0 && p.ops[first-1].kind != powerSync && p.ops[first-1].kind != powerSyncDir {
			first--
		}
		step = first + r.IntN(step-first+1)
	}
	var pending []powerOp // of names
	known := maps.Clone(names)
	for i, o := range p.ops[:step] {
		switch o.kind {
		case powerWrite, powerTruncate:
			f := file(o.file)
			f.since, f.steps = append(f.since, o), append(f.steps, i)
		case powerSync:
			file(o.file).settle(o.since)
		case powerName:
			file(o.file)
			if folder := filepath.Dir(o.path); known[folder] == 0 {
				known[folder] = -1
				pending = append(pending, powerOp{kind: powerName, file: -1, path: folder})
			}
			pending = append(pending, o)
		case powerRename, powerRemove:
			pending = append(pending, o)
		case powerSyncDir:
			rest := pending[:0]
			for _, n := range pending {
				if filepath.Dir(n.path) == o.path {
					n.rename(names)
				} else {
					rest = append(rest, n)
				}
			}
			pending = rest
			for _, folder := range o.folders {
				names[folder], known[folder] = -1, -1
			}
		}
	}
	// Where a name is left that was made after another of the same path, the earlier one counts no more: so in order.
	for _, n := range pending {
		if m == Kept || m == InOrder || m >= Scattered && r.IntN(2) == 0 {
			n.rename(names)
		}
	}
	for path := range names {
		if _, ok := names[filepath.Dir(path)]; !ok && path != p.dir {
			delete(names, path) // the folder is not there
		}
	}
	return names, files
}

func (o *powerOp) rename(names map[string]int) {
	switch o.kind {
	case powerName:
		names[o.path] = o.file
	case powerRename: // the disk does both or nothing
		for path, id := range names {
			if id == o.file {
				delete(names, path)
			}
		}
		names[o.path] = o.file
	case powerRemove:
		delete(names, o.path)
	}
}

// left is what is left of f.
func (f *powerFile) left(m Manner, r *rand.Rand) []byte {
	all := bytes.Clone(f.disk)
	sizes := []int{len(all)}
	for _, o := range f.since {
		all = o.onto(all)
		sizes = append(sizes, len(all))
	}
	switch {
	case m == Dropped || len(f.since) == 0:
		return f.disk
	case m == Kept:
		return all
	case m == InOrder: // the last write may be torn
		b := bytes.Clone(f.disk)
		for i, o := range f.since {
			if i+1 == len(f.since) && o.kind == powerWrite {
				o.b = o.b[:torn(o.off, len(o.b), r)]
			}
			if o.kind != powerWrite || len(o.b) > 0 {
				b = o.onto(b)
			}
		}
		return b
	}
	b := make([]byte, sizes[r.IntN(len(sizes))])
	n := copy(b, f.disk)
	if m == Garbage {
		for i := n; i < len(b); i++ {
			b[i] = byte(r.Uint32())
		}
	}
	bias := 1 + r.IntN(3)
	for at := 0; at < len(b); at += sector {
		end := min(at+sector, len(b))
		var states []powerOp // that change this sector
		for _, o := range f.since {
			if o.kind == powerWrite && int(o.off) < end && int(o.off)+len(o.b) > at {
				states = append(states, o)
			}
		}
		keep := 0
		for range bias {
			keep = max(keep, r.IntN(len(states)+1))
		}
		if keep > 0 && at >= n {
			clear(b[at:end]) // the page's other bytes
		} else if keep > 0 && end > n {
			clear(b[n:end])
		}
		for _, o := range states[:keep] {
			from, to := max(at, int(o.off)), min(end, int(o.off)+len(o.b))
			copy(b[from:to], o.b[from-int(o.off):to-int(o.off)])
		}
	}
	return b
}

// torn returns how many of the n bytes written at off are left: up to the end of a sector.
func torn(off int64, n int, r *rand.Rand) int {
	end := off + int64(r.IntN(n+1))
	return int(max(off, min(end/sector*sector, off+int64(n))) - off)
}

// powerDisk is the journal's.
type powerDisk struct{ p *Power }

func (d powerDisk) create(path string) (file, error) {
	f, err := (osDisk{}).create(path)
	if err != nil {
		return nil, err
	}
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	id, ok := d.p.names[path]
	if ok {
		d.p.note(powerOp{kind: powerTruncate, file: id}) // an existing file is emptied
	} else {
		id = d.p.made(path)
	}
	return &poweredFile{f, d.p, id, path}, nil
}

func (d powerDisk) open(path string) (file, error) { return (osDisk{}).open(path) }

func (d powerDisk) rename(from, to string) error {
	if err := (osDisk{}).rename(from, to); err != nil {
		return err
	}
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	id := d.p.names[from]
	delete(d.p.names, from)
	d.p.names[to] = id
	d.p.note(powerOp{kind: powerRename, file: id, path: to})
	return nil
}

func (d powerDisk) remove(path string) error {
	if err := (osDisk{}).remove(path); err != nil {
		return err
	}
	d.p.remove(path)
	return nil
}

func (d powerDisk) syncDir(path string) error {
	d.p.syncDir(path, filepath.Base(path))
	return nil
}

type poweredFile struct {
	file
	p    *Power
	id   int
	path string
}

func (f *poweredFile) writeAt(b []byte, off int64, alone bool) (int, error) {
	n, err := f.file.writeAt(b, off, alone)
	f.p.write(f.id, b[:n], off)
	return n, err
}

func (f *poweredFile) Sync() error {
	since := f.p.beginSync()
	f.p.mu.Lock()
	name := f.path
	for path, id := range f.p.names { // it may have been renamed
		if id == f.id {
			name = path
		}
	}
	f.p.mu.Unlock()
	f.p.endSync(f.id, filepath.Base(name), since)
	return nil
}

// powered is SQLite's layer to the operating system, of all databases in this process: those in the folders of a Power it
// tells that Power of.
var powered = &poweredSystem{dirs: map[string]*Power{}, open: map[uintptr]*poweredHandle{}, methods: map[uintptr]uintptr{}}

type poweredSystem struct {
	once sync.Once

	mu      sync.Mutex
	dirs    map[string]*Power
	open    map[uintptr]*poweredHandle
	methods map[uintptr]uintptr // ours, by the system's
}

type poweredHandle struct {
	p      *Power
	path   string
	id     int
	system uintptr // methods
	isNew  bool    // its first sync is of its name as well
}

// The functions that SQLite calls in place of the system's. They are variables because their address is what SQLite has.
var (
	poweredOpenFn = func(t *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
		return powered.xOpen(t, vfs, name, file, flags, out)
	}
	poweredDeleteFn = func(t *libc.TLS, vfs, name uintptr, sync int32) int32 { return powered.xDelete(t, vfs, name, sync) }
	poweredCloseFn  = func(t *libc.TLS, file uintptr) int32 { return powered.xClose(t, file) }
	poweredWriteFn  = func(t *libc.TLS, file, b uintptr, n int32, off int64) int32 {
		return powered.xWrite(t, file, b, n, off)
	}
	poweredTruncateFn = func(t *libc.TLS, file uintptr, size int64) int32 { return powered.xTruncate(t, file, size) }
	poweredSyncFn     = func(t *libc.TLS, file uintptr, flags int32) int32 { return powered.xSync(t, file, flags) }
)

// pointer is the address of a Go function as the translated C has it, and back.
func pointer[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

func function[F any](p uintptr) F {
	f := &struct{ uintptr }{p}
	return *(*F)(unsafe.Pointer(f))
}

// copied returns a copy of v in memory of C's, in which SQLite's pointers may point.
func copied[T any](t *libc.TLS, v *T) uintptr {
	p := libc.Xmalloc(t, libc.Tsize_t(unsafe.Sizeof(*v)))
	*at[T](p) = *v
	return p
}

func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// wrap takes the place of the system that databases are opened with by default.
func (s *poweredSystem) wrap() {
	s.once.Do(func() {
		t := libc.NewTLS()
		defer t.Close()
		system := at[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(t, 0))
		vfs := copied(t, system)
		ours := at[sqlite3.Tsqlite3_vfs](vfs)
		name, err := libc.CString("power")
		if err != nil {
			panic(err)
		}
		systemOpen = function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](system.FxOpen)
		systemDelete = function[func(*libc.TLS, uintptr, uintptr, int32) int32](system.FxDelete)
		ours.FzName, ours.FxOpen, ours.FxDelete = name, pointer(&poweredOpenFn), pointer(&poweredDeleteFn)
		if rc := sqlite3.Xsqlite3_vfs_register(t, vfs, 1); rc != sqlite3.SQLITE_OK {
			panic("SQLite does not take another system")
		}
	})
}

var (
	systemOpen   func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	systemDelete func(*libc.TLS, uintptr, uintptr, int32) int32
)

// of returns whose file path is; nil for nobody's.
func (s *poweredSystem) of(path string) *Power {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirs[filepath.Dir(path)]
}

func (s *poweredSystem) xOpen(t *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	var p *Power
	path := ""
	if name != 0 {
		path = libc.GoString(name)
		p = s.of(path)
	}
	// As unixOpen in SQLite's os_unix.c has it, whether the file was there before or not.
	isNew := flags&sqlite3.SQLITE_OPEN_CREATE != 0 && flags&(sqlite3.SQLITE_OPEN_WAL|sqlite3.SQLITE_OPEN_MAIN_JOURNAL|sqlite3.SQLITE_OPEN_SUPER_JOURNAL) != 0
	rc := systemOpen(t, vfs, name, file, flags, out)
	if rc != sqlite3.SQLITE_OK || p == nil {
		return rc
	}
	h := &poweredHandle{p: p, path: path, isNew: isNew}
	p.mu.Lock()
	h.id = p.named(path)
	p.mu.Unlock()
	f := at[sqlite3.Tsqlite3_file](file)
	h.system = f.FpMethods
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[file] = h
	if s.methods[h.system] == 0 {
		s.methods[h.system] = copied(t, at[sqlite3.Tsqlite3_io_methods](h.system))
		m := at[sqlite3.Tsqlite3_io_methods](s.methods[h.system])
		m.FxClose, m.FxWrite, m.FxTruncate, m.FxSync = pointer(&poweredCloseFn), pointer(&poweredWriteFn), pointer(&poweredTruncateFn), pointer(&poweredSyncFn)
	}
	f.FpMethods = s.methods[h.system]
	return rc
}

// handle returns what file is, and the system's methods for it.
func (s *poweredSystem) handle(file uintptr) (*poweredHandle, *sqlite3.Tsqlite3_io_methods) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.open[file]
	return h, at[sqlite3.Tsqlite3_io_methods](h.system)
}

func (s *poweredSystem) xDelete(t *libc.TLS, vfs, name uintptr, sync int32) int32 {
	path := libc.GoString(name)
	p := s.of(path)
	if p == nil {
		return systemDelete(t, vfs, name, sync)
	}
	rc := systemDelete(t, vfs, name, 0)
	if rc == sqlite3.SQLITE_OK && !ephemeral(path) {
		p.remove(path)
		if sync != 0 {
			p.syncDir(filepath.Dir(path), filepath.Base(path))
		}
	}
	return rc
}

func (s *poweredSystem) xClose(t *libc.TLS, file uintptr) int32 {
	h, m := s.handle(file)
	s.mu.Lock()
	delete(s.open, file)
	s.mu.Unlock()
	at[sqlite3.Tsqlite3_file](file).FpMethods = h.system
	return function[func(*libc.TLS, uintptr) int32](m.FxClose)(t, file)
}

func (s *poweredSystem) xWrite(t *libc.TLS, file, b uintptr, n int32, off int64) int32 {
	h, m := s.handle(file)
	h.p.mu.Lock()
	full := h.p.full
	h.p.mu.Unlock()
	if full != nil && full(filepath.Base(h.path)) {
		return sqlite3.SQLITE_FULL
	}
	rc := function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](m.FxWrite)(t, file, b, n, off)
	if rc == sqlite3.SQLITE_OK {
		h.p.write(h.id, libc.GoBytes(b, int(n)), off)
	}
	return rc
}

func (s *poweredSystem) xTruncate(t *libc.TLS, file uintptr, size int64) int32 {
	h, m := s.handle(file)
	rc := function[func(*libc.TLS, uintptr, int64) int32](m.FxTruncate)(t, file, size)
	if rc == sqlite3.SQLITE_OK {
		h.p.mu.Lock()
		defer h.p.mu.Unlock()
		h.p.note(powerOp{kind: powerTruncate, file: h.id, off: size})
	}
	return rc
}

func (s *poweredSystem) xSync(_ *libc.TLS, file uintptr, _ int32) int32 {
	h, _ := s.handle(file)
	h.p.endSync(h.id, filepath.Base(h.path), h.p.beginSync())
	if h.isNew {
		h.isNew = false
		h.p.syncDir(filepath.Dir(h.path), filepath.Base(h.path))
	}
	return sqlite3.SQLITE_OK
}
