package ledger

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SyncBlocks returns whether a sync of the journal holds a thread, and with it one of the scheduler's processors, until
// the disk has answered. Where it does, a process with one processor stands still meanwhile.
func SyncBlocks() bool {
	s := newSyncer()
	return s == nil || s.close() != nil
}

// syncer has the kernel sync a file while the caller is parked, like one that waits for a connection: no thread waits in
// fdatasync. It is Linux's native AIO (io_submit(2), IOCB_CMD_FDSYNC since 4.18), which containers allow where they
// forbid io_uring. The kernel syncs by the same open file as fdatasync does, so an error of the disk is told here as
// there. A nil syncer calls fdatasync.
type syncer struct {
	mu      sync.Mutex
	context uintptr  // the kernel's, with room for one request
	eventfd *os.File // told when the request is done; the runtime's poller watches it
	wait    syscall.RawConn
	poll    func(uintptr) bool // step, made once

	// The request under way. It is read and its event written within the system calls: in between the kernel knows no
	// address of ours.
	request  iocb
	requests [1]*iocb
	event    ioEvent
	state    syncState
}

type syncState int

const (
	syncNew     syncState = iota
	syncRefused           // the kernel did not take the request: nothing was done
	syncWaiting
	syncDone // event says how it went
)

// iocb is the kernel's struct iocb, see <linux/aio_abi.h>.
type iocb struct {
	_       [2]uint64 // data; key and rw_flags
	opcode  uint16
	_       uint16 // priority
	fd      uint32
	_       [4]uint64 // buf, size, offset, reserved
	flags   uint32
	eventfd uint32
}

// ioEvent is the kernel's struct io_event.
type ioEvent struct {
	data    uint64
	request uint64
	result  int64 // negative: an error's number
	result2 int64
}

const (
	iocbFdatasync = 3 // IOCB_CMD_FDSYNC
	iocbEventfd   = 1 // IOCB_FLAG_RESFD
)

// newSyncer returns nil where the system does not have it or does not allow it.
func newSyncer() *syncer {
	s := &syncer{}
	if _, _, errno := syscall.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&s.context)), 0); errno != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = s.close() // nothing was done with it
		return nil
	}
	s.eventfd = os.NewFile(uintptr(fd), "eventfd")
	s.request = iocb{opcode: iocbFdatasync, flags: iocbEventfd, eventfd: uint32(fd)}
	s.requests[0] = &s.request
	s.poll = s.step
	if s.wait, err = s.eventfd.SyscallConn(); err != nil || !s.works() {
		_ = s.close() // nothing was done with it
		return nil
	}
	return s
}

// works tries it on a file in memory.
func (s *syncer) works() bool {
	fd, err := unix.MemfdCreate("outcrop", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close() // nothing is in it
	// A kernel that takes the request and never tells is not waited for.
	if s.eventfd.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	done, err := s.submit(f)
	return done && err == nil && s.eventfd.SetReadDeadline(time.Time{}) == nil
}

// sync makes f's bytes durable. It leaves out the file's times, which nobody reads.
func (s *syncer) sync(f *os.File) error {
	if s != nil {
		if done, err := s.submit(f); done {
			return err
		}
	}
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// submit has the kernel sync f and returns when it has. When done is false nothing was tried.
func (s *syncer) submit(f *os.File) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == syncWaiting {
		return false, nil // the answer that never came would be taken for this one's
	}
	s.state = syncNew
	s.request.fd = uint32(f.Fd())
	err = s.wait.Read(s.poll)
	switch {
	case s.state == syncDone && s.event.result < 0:
		return true, os.NewSyscallError("fdatasync", syscall.Errno(-s.event.result))
	case s.state == syncDone:
		return true, nil
	case s.state == syncWaiting:
		return true, os.NewSyscallError("fdatasync", err) // nobody knows how it goes
	}
	return false, nil
}

// Neither system call in step waits, so the Go scheduler is not told of them: see writeAt.
//
// step is called until it returns true, at first and whenever the eventfd was told. RawConn.Read forgets what the poller
// knew before the first step: the answer to a request that is made there cannot be missed. The eventfd's counter is not
// read: the poller heeds edges, and each answer is one.
func (s *syncer) step(uintptr) bool {
	if s.state == syncNew {
		n, _, _ := syscall.RawSyscall(unix.SYS_IO_SUBMIT, s.context, 1, uintptr(unsafe.Pointer(&s.requests)))
		if n != 1 {
			s.state = syncRefused
			return true
		}
		s.state = syncWaiting
		return false
	}
	var now unix.Timespec
	n, _, _ := syscall.RawSyscall6(unix.SYS_IO_GETEVENTS, s.context, 0, 1, uintptr(unsafe.Pointer(&s.event)), uintptr(unsafe.Pointer(&now)), 0)
	if n != 1 {
		return false
	}
	s.state = syncDone
	return true
}

// writeAt writes into the page cache. Alone it does so without telling the Go scheduler, whose monitor thread would be
// woken by each such call after an idle moment and cost a sixth of a lone call. Should the disk be so far behind that the
// write waits, the process waits with it: nobody else is kept from anything but the health checks, and they hear what is
// true. With others under way it is the usual write, which holds only this thread.
func (f osFile) writeAt(b []byte, off int64, alone bool) (n int, err error) {
	if !alone {
		return f.WriteAt(b, off)
	}
	fd := f.Fd()
	for n < len(b) {
		m, _, errno := syscall.RawSyscall6(unix.SYS_PWRITE64, fd, uintptr(unsafe.Pointer(&b[n])), uintptr(len(b)-n), uintptr(off)+uintptr(n), 0, 0)
		switch errno {
		case 0:
			if m == 0 { // to try again could go on for ever
				return n, &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
			}
			n += int(m)
		case syscall.EINTR:
		default:
			return n, &os.PathError{Op: "write", Path: f.Name(), Err: errno}
		}
	}
	runtime.KeepAlive(f.File)
	return n, nil
}

// close gives back what the kernel holds. No sync is under way.
func (s *syncer) close() error {
	if s == nil {
		return nil
	}
	var err error
	if s.eventfd != nil {
		err = s.eventfd.Close()
	}
	if _, _, errno := syscall.Syscall(unix.SYS_IO_DESTROY, s.context, 0, 0); errno != 0 {
		err = errors.Join(err, os.NewSyscallError("io_destroy", errno))
	}
	return err
}
