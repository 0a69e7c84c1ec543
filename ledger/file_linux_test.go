package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel's asynchronous sync says of every file what fdatasync(2) says of it.
func TestSyncer(t *testing.T) {
	s := newSyncer()
	if s == nil {
		t.Skip("the system does not allow io_submit")
	}
	open := func(f *os.File, err error) *os.File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	path := filepath.Join(t.TempDir(), "file")
	written := open(os.Create(path))
	if _, err := written.WriteString("some"); err != nil {
		t.Fatal(err)
	}
	closed := open(os.Create(path + "2"))
	closed.Close()
	r, w, err := os.Pipe()
	open(r, err)
	open(w, err)
	for name, c := range map[string]struct {
		f    *os.File
		want error // of fdatasync(2)
	}{
		"written":   {written, nil},
		"read only": {open(os.Open(path)), nil},
		"a folder":  {open(os.Open(filepath.Dir(path))), nil},
		"closed":    {closed, unix.EBADF},
		"a pipe":    {w, unix.EINVAL},
		"a device":  {open(os.OpenFile("/dev/null", os.O_WRONLY, 0)), unix.EINVAL},
	} {
		for _, s := range []*syncer{s, nil} {
			if err := s.sync(c.f); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s, asynchronous %t: %v, want %v", name, s != nil, err, c.want)
			}
		}
		if done, err := s.submit(c.f); done != (c.want == nil) || err != nil {
			t.Errorf("%s: done %t, %v", name, done, err)
		}
	}

	// One after another, whoever comes.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if done, err := s.submit(written); !done || err != nil {
					t.Errorf("done %t, %v", done, err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := s.sync(written); err != nil { // the usual way
		t.Errorf("after close: %v", err)
	}
}

// A disk that did not take the bytes says so, once.
func TestSyncerDiskFails(t *testing.T) {
	s := newSyncer()
	if s == nil {
		t.Skip("the system does not allow io_submit")
	}
	defer s.close()
	for _, s := range []*syncer{s, nil} {
		f := brokenDevice(t)
		if err := s.sync(f); err != nil {
			t.Errorf("nothing was written: %v", err)
		}
		if _, err := f.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := s.sync(f); !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("asynchronous %t: a sync that failed says %v", s != nil, err)
		}
	}
}

// brokenDevice returns a device that takes writes into memory and fails to keep them: a loop device on a file that is
// larger than the file system that it is on.
func brokenDevice(t *testing.T) *os.File {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no loop devices here: ", err)
	}
	defer control.Close()
	dir := t.TempDir()
	if err := unix.Mount("outcrop", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("no right to mount: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	backing, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	if err := backing.Truncate(4 << 20); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Skip("no loop device is free: ", err)
	}
	f, err := os.OpenFile(filepath.Join("/dev", fmt.Sprint("loop", n)), os.O_RDWR, 0)
	if err != nil {
		t.Skip("no loop devices here: ", err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_SET_FD, int(backing.Fd())); err != nil {
		t.Skip("a loop device cannot be set up: ", err)
	}
	t.Cleanup(func() { unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0) })
	return f
}
