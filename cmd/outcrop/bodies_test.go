package main

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHalfSentBodies: what is said to come takes no memory. Of 64 bodies of 10 MB a fortieth has come.
func TestHalfSentBodies(t *testing.T) {
	r := newRig(t)
	request := r.request(t, "/model/"+openaiModel+"/converse", `{"messages":[{"role":"user","content":[{"text":"`+strings.Repeat("a", 10<<20)+`"}]}]}`)
	const callers, sent = 64, 256 << 10
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what was in the pools goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range callers {
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(request[:sent]); err != nil {
			t.Fatal(err)
		}
	}
	for range 1500 { // until the most has been read
		time.Sleep(20 * time.Millisecond)
		if heap()-before > callers*sent/2 {
			break
		}
	}
	time.Sleep(200 * time.Millisecond)
	if grown := heap() - before; grown < callers*sent/2 || grown > 2*callers*sent {
		t.Errorf("%d bytes are held of %d that have come", grown, callers*sent)
	}
	runtime.KeepAlive(request)
}
