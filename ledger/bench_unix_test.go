//go:build unix

package ledger_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the time that this process has worked: a sync is mostly waiting.
func processCPU() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
