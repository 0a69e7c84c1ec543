//go:build !linux

// Bench needs Linux: it reads processor time from /proc and pins processes to processors.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux, for /proc and for pinning processes to processors")
	os.Exit(1)
}
