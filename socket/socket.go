// Package socket reads and writes connections by system calls that the Go scheduler is not told of.
//
// A socket that is not blocking never waits in read(2) or write(2), so there is nothing to tell. Package net tells it of
// each, and the first of them after an idle moment wakes the runtime's monitor thread, which then looks every 20 us
// whether a thread is stuck: at one call or one event at a time that is a sixth of the gateway's processor time.
//
// It is so on Linux. Elsewhere, and under the race detector, which learns from package syscall's calls what happened
// before what, the calls are the usual ones.
package socket
