package iam

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// Whoever has many addresses cannot make the server keep more of them than its bound, nor be told of a source that asks all the
// while that it was forgotten.
func TestFailuresAreBounded(t *testing.T) {
	f := newFailures(3, time.Minute)
	now := time.Unix(1e9, 0)
	for range 3 {
		f.count(SourceOf("192.0.2.1"), now)
	}
	for i := range 5 * maxSources {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], 0x20010db8<<32|uint64(i))
		f.count(SourceOf(netip.AddrFrom16(b).String()), now)
		if i%100 == 0 {
			if wait, _ := f.count(SourceOf("192.0.2.1"), now); wait == 0 {
				t.Fatalf("after %d other sources one was forgotten that fails all the while", i)
			}
		}
		if n := len(f.young) + len(f.old); n > 2*maxSources {
			t.Fatalf("%d sources are kept", n)
		}
	}
	if len(f.young)+len(f.old) < maxSources {
		t.Errorf("%d sources are kept", len(f.young)+len(f.old))
	}
	if wait, _ := f.count(SourceOf("192.0.2.1"), now.Add(time.Hour)); wait != 0 {
		t.Errorf("after an hour it waits %v", wait)
	}
}
