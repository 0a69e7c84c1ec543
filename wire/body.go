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
	"outcrop/jsonvalues"
)

// defaultMaxBody bounds a request whose row says nothing.
const defaultMaxBody = 1 << 20

// maxValues bounds the JSON values of a body, and with them what decoding it costs. A value and its comma are two tokens, and
// no model reads more than a million.
const maxValues = 1 << 19

// BoundValues refuses a JSON text that would cost too much to decode, with a fault.TooLarge. The server asks it of every body; a
// handler asks it of a text that came inside one as a blob or a string, before it decodes that.
func BoundValues(text []byte) error {
	if !jsonvalues.AtMost(text, maxValues) {
		return fault.New(fault.TooLarge, "The request body has more than %d values.", maxValues)
	}
	return nil
}

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

// hold counts a body of n bytes, if it is large, in the place of the one that was counted before, if there is room for it.
func (x *exchange) hold(n int64) bool {
	if n <= largeBody+1 {
		return true
	}
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

// A piece is where a large body is read to until most of it has come.
type piece [64 << 10]byte

var pieces = sync.Pool{New: func() any { return new(piece) }}

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
	if n < 0 && x.unread && limit > bodyRate {
		x.setPatience(x.server.intake.patienceFor(limit))
	}
	buf := bodies.Get().(*bodyBuffer)
	var err error
	if buf.b, err = x.receive(buf.b[:0], n, limit); err != nil {
		return nil, err
	}
	x.bodyArrived()
	x.body = buf.b
	return buf, nil
}

// receive reads the body to its end into b, which is empty, or into a buffer of its own. n is its length, below zero where
// that was not told.
//
// A stranger's word for a length takes no more memory than has come of the body, and no byte is copied more than once: what
// b has no room for is read into pieces until half of it is there, and then goes into a buffer of its length.
func (x *exchange) receive(b []byte, n, limit int64) ([]byte, error) {
	const each = int64(len(piece{}))
	body, ended := x.request.Body, false
	read := func(p []byte) (int64, error) {
		m, err := body.Read(p)
		if ended = err == io.EOF; !ended && err != nil {
			return 0, x.bodyBroken(err)
		}
		return int64(m), nil
	}
	switch {
	case n >= 0 && int64(cap(b)) > n:
	case n >= 0 && n < each:
		b = make([]byte, 0, max(n+1, 512)) // the last byte is for seeing the end
	default:
		var begun []*piece // full, but for the last
		defer func() {
			for _, p := range begun {
				pieces.Put(p)
			}
		}()
		got := int64(0)
		for !ended && (n < 0 || 2*got <= n) {
			if got == int64(len(begun))*each {
				if !x.hold(got + each) {
					return nil, tooMany()
				}
				begun = append(begun, pieces.Get().(*piece))
			}
			m, err := read(begun[len(begun)-1][got%each:])
			if err != nil {
				return nil, err
			}
			if got += m; got > limit {
				return nil, tooLarge(limit)
			}
		}
		size := max(n, got) + 1
		if !x.hold(size) {
			return nil, tooMany()
		}
		b = make([]byte, 0, size)
		for i, p := range begun {
			b = append(b, p[:min(each, got-int64(i)*each)]...)
			pieces.Put(p)
		}
		begun = nil
	}
	for !ended {
		if len(b) == cap(b) { // which no server lets happen
			return nil, x.bodyBroken(errors.New("the body is longer than its length"))
		}
		m, err := read(b[len(b):cap(b)])
		if err != nil {
			return nil, err
		}
		if b = b[:len(b)+int(m)]; int64(len(b)) > limit {
			return nil, tooLarge(limit)
		}
	}
	return b, nil
}

func tooMany() error {
	return &fault.Error{Kind: fault.Unavailable, Message: "Too many large requests are being served. Try again later.", RetryAfter: budgetRetry}
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
