//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// process is a program that bench started.
type process struct {
	cmd  *exec.Cmd
	addr string // host:port where it listens
	out  *bufio.Reader
	log  string // file with its standard error
}

// launch starts cmd, on the gateways' processor or beside the load. It must be called on the main thread.
func (b *bench) launch(cmd *exec.Cmd, name string, isGateway bool) (p *process, err error) {
	p = &process{cmd: cmd, log: filepath.Join(b.folder, name+".log")}
	stderr, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(stdout)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	// Each runs as it would by default, whatever this shell has set.
	cmd.Env = slices.DeleteFunc(cmd.Env, func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return k == "GOMAXPROCS" || k == "GOGC" || k == "GOMEMLIMIT" || k == "GODEBUG"
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if isGateway && b.gatewayCPU >= 0 {
		ours, err := affinity()
		if err != nil {
			return nil, err
		}
		if err := setAffinity([]int{b.gatewayCPU}); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, setAffinity(ours)) }()
	}
	return p, cmd.Start()
}

// listening reads p's output up to the line that says where it listens.
func (p *process) listening() (addr string, err error) {
	type result struct {
		addr string
		err  error
	}
	found := make(chan result, 1)
	go func() {
		for {
			line, err := p.out.ReadString('\n')
			if _, url, ok := strings.Cut(line, "listening on http://"); ok {
				found <- result{addr: strings.TrimSpace(url)}
				_, _ = io.Copy(io.Discard, p.out)
				return
			}
			if err != nil {
				found <- result{err: errors.New("ended before it listened: " + p.complaint())}
				return
			}
		}
	}()
	select {
	case r := <-found:
		return r.addr, r.err
	case <-time.After(30 * time.Second):
		return "", errors.New("does not listen after 30 s: " + p.complaint())
	}
}

// complaint is the end of what p wrote to its standard error.
func (p *process) complaint() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-2000):]))
}

func (p *process) pid() int {
	if p == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// freeze stops p, or lets it go on, so that only what is measured runs.
func (p *process) freeze(stop bool) {
	if p == nil {
		return
	}
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	_ = p.cmd.Process.Signal(sig)
}

// stop ends p, by force after ten seconds.
func (p *process) stop() error {
	if p.cmd.Process == nil {
		return nil
	}
	p.freeze(false)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !force.Stop() {
		return fmt.Errorf("%s did not end within 10 s of SIGTERM", filepath.Base(p.cmd.Path))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // ours end by the signal
	}
	return err
}

// affinity lists the processors that the calling thread may use.
func affinity() ([]int, error) {
	var mask [16]uint64
	n, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if errno != 0 {
		return nil, fmt.Errorf("sched_getaffinity: %w", errno)
	}
	var cpus []int
	for i := range int(n) * 8 {
		if mask[i/64]&(1<<(i%64)) != 0 {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// setAffinity binds the calling thread, and what it starts, to processors.
func setAffinity(cpus []int) error {
	var mask [16]uint64
	for _, c := range cpus {
		mask[c/64] |= 1 << (c % 64)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))); errno != 0 {
		return fmt.Errorf("sched_setaffinity: %w", errno)
	}
	return nil
}

const tick = 10 * time.Millisecond // of /proc: USER_HZ is 100 on every Linux

// cpuTime is the user and system time of a process so far; pid 0 has none.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything. After it: state is field 3, utime 14, stime 15 (proc(5)).
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick
}

// kernelTime is the time of each of the kernel's own threads so far: those that sync a file for a process that does not
// wait for it in a system call are not in the process's own time. Every gateway is charged with all of it.
func kernelTime() map[int]time.Duration {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	times := map[int]time.Duration{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			// The flags are field 9 of proc(5), and the name in parentheses is field 2; PF_KTHREAD is 0x00200000.
			if f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])); len(f) > 6 {
				if flags, _ := strconv.ParseInt(f[6], 10, 64); flags&0x00200000 != 0 {
					times[pid] = cpuTime(pid)
				}
			}
		}
	}
	return times
}

// kernelSince is what the threads of now have used since then. One that has ended meanwhile is not in it.
func kernelSince(then, now map[int]time.Duration) (sum time.Duration) {
	for pid, t := range now {
		sum += max(0, t-then[pid])
	}
	return sum
}

// machineBusy is the time that all processors together were not idle.
func machineBusy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum time.Duration
	for i, s := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice already
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(s, 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// onlineCPUs is how many processors the machine has in use.
func onlineCPUs() int {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 1
	}
	return max(1, bytes.Count(text, []byte("\ncpu")))
}

// still waits until a process has used no processor time that shows for 300 ms, at most ten seconds, and says how long
// that took.
func still(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	begin := time.Now()
	last, calm := cpuTime(pid), 0
	for calm < 3 && time.Since(begin) < 10*time.Second {
		time.Sleep(100 * time.Millisecond)
		if now := cpuTime(pid); now > last {
			last, calm = now, 0
		} else {
			calm++
		}
	}
	return time.Since(begin)
}

// resetPeak sets a process's peak resident size back to its present one.
func resetPeak(pid int) {
	if pid != 0 {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

func peak(pid int) float64     { return memory(pid, "VmHWM:") }
func resident(pid int) float64 { return memory(pid, "VmRSS:") }

// memory reads a line of /proc/PID/status, in MiB.
func memory(pid int, name string) float64 {
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), name)
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}
