package upstreamtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// What follows is for the server of a vendor that is not there: it writes the vendor's forms, and Behaviour says when.

// Pieces are those in which the text of an answer comes.
func (b Behaviour) Pieces() []string {
	if b == Slow {
		return strings.Split(strings.Repeat("word ", 500), " ")
	}
	return []string{"The", " weather", " in\n", " Paris", " says", " \"hello\"", "."}
}

// Refuses reports whether b gives no answer, and then has done so: refuse writes a refusal of the status, 429 or 500.
func (b Behaviour) Refuses(w http.ResponseWriter, refuse func(status int)) bool {
	switch b {
	case Throttles:
		w.Header().Set("Retry-After", "7")
		refuse(http.StatusTooManyRequests)
	case Fails:
		refuse(http.StatusInternalServerError)
	case BreaksBefore:
		Reset(w)
	default:
		return false
	}
	return true
}

// Whole writes an answer that is not streamed.
func (b Behaviour) Whole(ctx context.Context, w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	switch b {
	case Slow:
		_ = http.NewResponseController(w).Flush()
		<-ctx.Done()
	case BreaksAfter:
		_, _ = io.WriteString(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		Reset(w)
	default:
		_, _ = io.WriteString(w, body)
	}
}

// Ends is called before piece i of a streamed answer. It pauses, or breaks the connection, and reports whether the stream is
// over.
func (b Behaviour) Ends(ctx context.Context, w http.ResponseWriter, i int) bool {
	switch {
	case b == BreaksAfter && i == 3:
		Reset(w)
		return true
	case b == Slow:
		select {
		case <-ctx.Done():
			return true
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// Reset breaks the connection as a server does that is killed.
func Reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
