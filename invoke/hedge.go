package invoke

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"outcrop/converse"
	"outcrop/routing"
)

// hedgeDelay is how long the first event of the attempt that begins is waited for alone; 0 is for ever.
func (r *run) hedgeDelay(t *turns) time.Duration {
	h := r.way.set.Policy().Hedge
	if h == (routing.Hedge{}) || r.attempts > 1 || t.at == len(t.plan) {
		return 0
	}
	return r.served.target.HedgeDelay(h, r.call.Stream)
}

// race is two attempts at one call beside one another. The first event decides: whose it is commits, and the other is
// ended. What that may have cost is charged beside it.
type race struct {
	*run
	runners [2]runner
	wait    sync.WaitGroup
}

// runner is one attempt in its own goroutine.
type runner struct {
	candidate *candidate
	attempt   routing.Attempt
	life      lifetime // ends with the run's, or before
	unbind    func() bool
	items     chan item            // closed when there are no more
	taken     chan struct{}        // an item has been dealt with: what it points to may change
	vectors   *converse.Embeddings // once the first item is there
}

type item struct {
	event converse.Event
	err   error
}

// start sends the i-th attempt.
func (r *race) start(i int, c *candidate, a routing.Attempt) *runner {
	x := &r.runners[i]
	x.candidate, x.attempt = c, a
	x.items, x.taken = make(chan item), make(chan struct{})
	x.unbind = r.life.AfterFunc(x.life.end)
	r.wait.Go(func() {
		defer close(x.items)
		defer func() { // nobody else is above this goroutine
			if p := recover(); p != nil {
				err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				if !x.put(converse.Event{}, err) {
					r.troubled(c, err)
				}
			}
		}()
		stream, err := r.send(&x.life, c, &x.vectors)
		if err != nil {
			x.put(converse.Event{}, err)
			return
		}
		for e, err := range stream {
			if !x.put(e, err) {
				return
			}
		}
	})
	return x
}

// put hands an item over, and reports whether another is wanted.
func (x *runner) put(e converse.Event, err error) bool {
	select {
	case x.items <- item{e, err}:
	case <-x.life.Done():
		return false
	}
	select {
	case <-x.taken:
		return true
	case <-x.life.Done():
		return false
	}
}

// decide starts the attempt that has begun, and another when d has passed without an event. It returns the stream of the
// one that commits, or of the last one that failed, which is the run's from then on.
func (r *race) decide(t *turns, d time.Duration) converse.Stream {
	first := r.start(0, r.served, r.trying)
	r.trying = routing.Attempt{} // it is the race's until one has won
	var second *runner
	timer := time.NewTimer(d)
	defer timer.Stop()
	r.watch(t, first)
	for {
		var others chan item // nil as long as there is no second
		if second != nil {
			others = second.items
		}
		var won, other *runner
		var i item
		var open bool
		select {
		case <-timer.C:
			if r.unwanted() {
				continue
			}
			was := *t
			t.slow = true // who is down is not asked beside another; should that fail, it may be
			c, a, ok := r.next(t, true)
			t.slow = was.slow
			if !ok {
				*t = was // whom the first falls to, should it fail
				continue
			}
			second = r.start(1, c, a)
			r.watch(t, first, second)
			continue
		case i, open = <-first.items:
			won, other = first, second
		case i, open = <-others:
			won, other = second, first
		}
		if err := won.life.begin(); err != nil {
			i.err = err // it came too late
		} else if !open {
			i.err = errUnfinished
		}
		switch {
		case i.err == nil && other != nil:
			other.life.end()
			other.attempt.End(r.Clock(), routing.Outrun, 0, "")
			r.lost = append(r.lost, lostAttempt{other.candidate, "another began before it"})
			return r.commit(won, i)
		case other == nil:
			return r.commit(won, i)
		}
		// One has failed, and the other is all there is.
		t.slow = t.slow || late(i.err)
		r.ended(&won.attempt, i.err)
		r.troubled(won.candidate, i.err)
		r.lose(won.candidate, i.err)
		first, second = other, nil
		timer.Stop()
		r.watch(t, first)
	}
}

// watch begins the vigils over runners, or ends them where nobody is left to ask in their place: two that run beside one another
// may both be awaited.
func (r *race) watch(t *turns, xs ...*runner) {
	for _, x := range xs {
		if !t.other() {
			_ = x.life.begin() // if it has been given up just now, its next item says so
			continue
		}
		r.attend(t, &x.life, x.candidate, &x.attempt)
	}
}

// commit makes x the run's attempt. head is its first item.
func (r *race) commit(x *runner, head item) converse.Stream {
	r.serve(x.candidate, x.attempt)
	r.run.vectors = x.vectors
	x.attempt = routing.Attempt{}
	return func(yield func(converse.Event, error) bool) {
		for i, open := head, true; open; i, open = <-x.items {
			if !yield(i.event, i.err) {
				return
			}
			select {
			case x.taken <- struct{}{}:
			case <-x.life.Done():
			}
		}
	}
}

// end ends what runs still, and waits for it.
func (r *race) end() {
	for i := range r.runners {
		if x := &r.runners[i]; x.candidate != nil {
			x.unbind()
			x.life.end()
			x.attempt.End(r.Clock(), routing.Abandoned, 0, "")
		}
	}
	r.wait.Wait()
}
