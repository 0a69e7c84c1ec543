package invoke

import (
	"context"
	"slices"
	"sync"
	"time"

	"outcrop/routing"
	"outcrop/upstream"
)

// lifetime is the context of a call's attempts. It is not the caller's: a caller who leaves must not cost us the usage of
// what was generated for him. It ends with the call, or before it when the drain is over or the Invoker aborts.
//
// It is a part of its run and costs nothing until somebody waits for it: a context.WithCancel for each call, below one
// that all of them share, took ten allocations and a place in a map under one lock.
type lifetime struct {
	mu       sync.Mutex
	ended    bool
	gaveUp   error         // why the attempt under way is over, while the call is not
	done     chan struct{} // made when it is asked for
	watchers []*func()
	drain    time.Duration // how long it lasts once the caller has gone
	clock    *time.Timer   // runs from then on

	// Of the attempt under way, until it has begun.
	attended bool
	attempt  routing.Attempt
	upstream string
	now      func() time.Time
	vigil    *time.Timer
}

var _ context.Context = (*lifetime)(nil)

func (l *lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }
func (l *lifetime) Value(any) any               { return nil }

func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.ended || l.gaveUp != nil {
			close(l.done)
		}
	}
	return l.done
}

func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return context.Canceled
	}
	return l.gaveUp
}

// AfterFunc runs f in its own goroutine once l has ended. stop takes that back; it is false when it comes too late.
// context.AfterFunc and those below it use this method of a context where there is one.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.gaveUp != nil {
		go f()
		return func() bool { return false }
	}
	w := &f
	l.watchers = append(l.watchers, w)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(l.watchers, w)
		if i >= 0 {
			l.watchers = slices.Delete(l.watchers, i, i+1)
		}
		return i >= 0
	}
}

// end ends l. It may be called again.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	if l.clock != nil {
		l.clock.Stop()
	}
	l.relieve()
	if l.gaveUp == nil {
		l.wake()
	}
}

// wake tells those who wait for the end. mu is held.
func (l *lifetime) wake() {
	if l.done != nil {
		close(l.done)
	}
	for _, f := range l.watchers {
		go (*f)()
	}
	l.watchers = nil
}

// next ends the attempt under way: what ended it alone is over.
func (l *lifetime) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.relieve()
	if l.gaveUp != nil && !l.ended {
		l.done = nil // it was closed
	}
	l.gaveUp = nil
}

// attend gives the attempt a at an upstream up, and not the call, unless it begins before: when a.Silence says so, which is
// asked for the first time at half of d. What it finds to have happened before then counts as if it happened then.
func (l *lifetime) attend(now func() time.Time, upstream string, a routing.Attempt, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.gaveUp != nil {
		return
	}
	l.attended, l.now, l.upstream, l.attempt = true, now, upstream, a
	if l.vigil == nil {
		l.vigil = time.AfterFunc(d/2, l.look)
	} else {
		l.vigil.Reset(d / 2)
	}
}

// look is the vigil's. It may come too late for one attempt, and looks at the next one then, which does no harm.
func (l *lifetime) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || !l.attended {
		return
	}
	if left := l.attempt.Silence(l.now()); left > 0 {
		l.vigil.Reset(left)
		return
	}
	l.attended = false
	l.gaveUp = upstream.Timeout(l.upstream, "its server has been silent for too long, and there is another target")
	l.wake()
}

// relieve ends the vigil. mu is held.
func (l *lifetime) relieve() {
	if l.attended {
		l.attended = false
		l.vigil.Stop()
	}
}

// begin says that the attempt's first event has come, or that there is no other target, after which it is not given up; or why
// it was.
func (l *lifetime) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.relieve()
	return l.gaveUp
}

// setDrain sets how long l lasts after endAfter, for a caller who has not gone yet or goes unnoticed by this attempt.
func (l *lifetime) setDrain(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drain = d
}

// endAfter ends l when its drain has passed since the first call of endAfter.
func (l *lifetime) endAfter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended && l.clock == nil {
		l.clock = time.AfterFunc(l.drain, l.end)
	}
}

// running is the calls that have not ended, so that Abort can end them.
type running struct {
	mu      sync.Mutex
	calls   map[*lifetime]struct{}
	aborted bool
}

func (r *running) add(l *lifetime) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.aborted {
		l.end()
		return
	}
	if r.calls == nil {
		r.calls = map[*lifetime]struct{}{}
	}
	r.calls[l] = struct{}{}
}

func (r *running) remove(l *lifetime) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, l)
}

// abort ends every call that runs, and every one that is added later.
func (r *running) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aborted = true
	for l := range r.calls {
		l.end()
	}
}

func (r *running) isAborted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aborted
}
