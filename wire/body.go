package wire

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/fault"
)

// defaultMaxBody bounds a request whose row says nothing.
const defaultMaxBody = 1 << 20

// maxValues bounds the JSON values of a body, and with them what decoding it costs. A value and its comma are two tokens, and
// no model reads more than a million.
const maxValues = 1 << 19

// What a body may cost while it comes.
const (
	bodyPatience  = 30 * time.Second // for any body, and
	bodyRate      = 256 << 10        // a second more for each of so many bytes
	drainPatience = 5 * time.Second  // for the rest of a body that is refused, so that its sender reads the answer
	largeBody     = 1 << 20          // bodies beyond it are counted
	bodyBudget    = 512 << 20        // what they may hold at one time, all of them together
	budgetRetry   = time.Second      // when to come back
)

// intake is the bodies that are on their way in, and the memory of the large ones until they have been answered.
type intake struct {
	patience time.Duration // bodyPatience
	drain    time.Duration // drainPatience
	budget   int64
	held     atomic.Int64

	mu       sync.Mutex
	arriving map[*exchange]struct{}
	stopped  bool
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// StopReading cuts the requests that are still sending their body, now and from now on: they answer that the server is
// unavailable. What has arrived whole goes on. It is for the end, before http.Server.Shutdown, which would wait for them.
func (s *Server) StopReading() {
	in := &s.intake
	in.mu.Lock()
	defer in.mu.Unlock() // no handler returns before its deadline is set: its ResponseWriter is good for so long
	in.stopped = true
	for x := range in.arriving {
		http.NewResponseController(x.w).SetReadDeadline(longAgo)
	}
}

// expectBody begins the time that the request has to send its body.
func (x *exchange) expectBody() {
	n := x.request.ContentLength
	if n < 0 {
		n = 0 // readBody knows the bound, once the operation is known
	}
	x.unread = true
	x.setPatience(x.server.intake.patienceFor(min(n, 1<<30)))
}

func (in *intake) patienceFor(n int64) time.Duration {
	return in.patience + time.Duration(n/bodyRate)*time.Second
}

// setPatience gives the body d from now on, or nothing when reading has stopped. A ResponseWriter that knows no deadlines
// is a test's.
func (x *exchange) setPatience(d time.Duration) {
	in, c := &x.server.intake, http.NewResponseController(x.w)
	c.SetReadDeadline(time.Now().Add(d))
	in.mu.Lock()
	in.arriving[x] = struct{}{}
	stopped := in.stopped
	in.mu.Unlock()
	if stopped {
		c.SetReadDeadline(longAgo)
	}
}

// bodyArrived ends the time. A deadline that passed later would cancel the request's context, since net/http goes on
// reading to see the caller leave.
func (x *exchange) bodyArrived() {
	if !x.unread {
		return
	}
	x.leave()
	x.unread = false
	http.NewResponseController(x.w).SetReadDeadline(time.Time{})
}

func (x *exchange) leave() {
	in := &x.server.intake
	in.mu.Lock()
	delete(in.arriving, x)
	in.mu.Unlock()
}

// releaseBody gives back what the body held, when the request has been answered.
func (x *exchange) releaseBody() {
	if x.unread {
		x.leave()
	}
	if x.held != 0 {
		x.server.intake.held.Add(-x.held)
	}
}

// hold counts a buffer of n bytes in the place of the one that was counted before, if there is room for it.
func (x *exchange) hold(n int64) bool {
	in, more := &x.server.intake, n-x.held
	if in.held.Add(more) > in.budget {
		in.held.Add(-more)
		return false
	}
	x.held = n
	return true
}

// A bodyBuffer is a request's body; pooled.
type bodyBuffer struct{ b []byte }

var bodies = sync.Pool{New: func() any { return new(bodyBuffer) }}

func (b *bodyBuffer) release() {
	if cap(b.b) <= maxPooled {
		bodies.Put(b)
	}
}

// readBody reads the body into x.body, bounded, whether its length was told or not.
func (x *exchange) readBody() (*bodyBuffer, error) {
	if e := x.request.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fault.New(fault.Serialization, "The Content-Encoding %q is not supported. Send the body as it is.", e)
	}
	limit := int64(defaultMaxBody)
	if x.op != nil && x.op.MaxBody > 0 {
		limit = x.op.MaxBody
	}
	n := x.request.ContentLength
	if n > limit {
		return nil, tooLarge(limit)
	}
	most := limit + 1 // the last byte is for seeing the end, or that there is more
	if n >= 0 {
		most = n + 1
	} else if x.unread && limit > bodyRate {
		x.setPatience(x.server.intake.patienceFor(limit))
	}
	buf := bodies.Get().(*bodyBuffer)
	buf.b = buf.b[:0]
	// What a stranger says it will send is not allocated before it comes: the buffer is never more than twice that.
	const step = 64 << 10
	if want := int(min(max(n+1, 512), step)); cap(buf.b) < want {
		buf.b = make([]byte, 0, want)
	}
	for {
		if len(buf.b) == cap(buf.b) {
			size := min(2*int64(cap(buf.b)), max(most, int64(cap(buf.b))+1))
			if size > largeBody+1 && !x.hold(size) {
				return nil, &fault.Error{Kind: fault.Unavailable, Message: "Too many large requests are being served. Try again later.", RetryAfter: budgetRetry}
			}
			grown := make([]byte, len(buf.b), size)
			copy(grown, buf.b)
			buf.b = grown
		}
		m, err := x.request.Body.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+m]
		if int64(len(buf.b)) > limit {
			return nil, tooLarge(limit)
		}
		if err == io.EOF {
			x.bodyArrived()
			x.body = buf.b
			return buf, nil
		}
		if err != nil {
			return nil, x.bodyBroken(err)
		}
	}
}

// bodyBroken says why a body ended too soon.
func (x *exchange) bodyBroken(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.Wrap(err, fault.Serialization, "The request body ended before it was complete.")
	}
	x.server.intake.mu.Lock()
	stopped := x.server.intake.stopped
	x.server.intake.mu.Unlock()
	if stopped {
		f := fault.Wrap(err, fault.Unavailable, "The server is stopping. Try again later.")
		f.RetryAfter = budgetRetry
		return f
	}
	return fault.Wrap(err, fault.Serialization, "The request body did not arrive in time.")
}

// tooLarge says it as AWS does of InvokeModel's body (https://github.com/langchain-ai/langchain-aws/issues/419).
func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to %d", limit)
}
