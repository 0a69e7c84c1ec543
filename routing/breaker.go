package routing

import (
	"sync"
	"sync/atomic"
	"time"
)

// BreakerConfig says when a target that fails is left alone, and how it comes back.
type BreakerConfig struct {
	Failures  int           // in a row, that open it
	Rate      float64       // or this share of the calls of the last ten seconds, from 0 to 1,
	Volume    int           // when there were at least so many
	Open      time.Duration // how long it stays open at first; each time in a row twice as long
	MaxOpen   time.Duration // and no longer than this
	Trials    int           // calls at once that try whether it is well again
	Successes int           // of them that close it

	lapse time.Duration // after which a trial that has not begun leaves its place to another; 0 is never
}

// The states of a breaker.
const (
	closed uint32 = iota
	open
	halfOpen
)

// breaker watches one target or one server. Plan reads its state without a lock.
type breaker struct {
	state  atomic.Uint32
	until  atomic.Int64 // open: the end of it
	trials atomic.Int32 // under way
	tried  atomic.Int64 // when the latest of them began
	healed atomic.Int64 // when it was last closed, 0 when it was never open
	broken atomic.Int32 // streams that broke after their first event, since an answer last came to its end

	mu        sync.Mutex
	window    window
	streak    int   // failures in a row
	since     int64 // when it was last opened
	times     int   // that it was opened without closing
	successes int   // of trials
}

// admits reports whether a call may be sent now, and whether it would be a trial.
func (b *breaker) admits(c *BreakerConfig, now int64) (ok, trial bool) {
	switch b.state.Load() {
	case closed:
		return true, false
	case open:
		return now >= b.until.Load(), true
	}
	// A whole answer may take minutes, and a trial for which there is no other target waits as long as there is time.
	return int(b.trials.Load()) < c.Trials || c.lapse > 0 && now-b.tried.Load() >= int64(c.lapse), true
}

// take is admits, and holds a trial's place until release.
func (b *breaker) take(c *BreakerConfig, now int64) (ok, trial bool) {
	if b.state.Load() == closed {
		return true, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok, trial = b.admits(c, now); !ok || !trial {
		return ok, false
	}
	if b.state.Load() == open {
		b.state.Store(halfOpen)
		b.successes = 0
	}
	b.trials.Add(1)
	b.tried.Store(now)
	return true, true
}

func (b *breaker) release() { b.trials.Add(-1) }

// turn is what a call's outcome has made of a breaker.
type turn uint8

const (
	stays  turn = iota
	opens       // that was closed
	closes      // that was not
)

// record takes in how a call ended that was sent at began. What was sent before the breaker opened says nothing of what
// came after: calls that hung then end long after the target is well again. A failure after the call's first event, which
// came at first and was recorded then, is counted in its place; 0 is none. Such failures are in a row until an answer comes
// to its end: that others have begun meanwhile says nothing of how they end. They decide where calls are too few for the share.
func (b *breaker) record(c *BreakerConfig, began, first, now int64, ok bool) turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if began < b.since {
		return stays
	}
	broken := int32(0)
	if first != 0 && !ok {
		b.window.takeBack(first)
		broken = b.broken.Add(1)
	}
	b.window.add(now, ok)
	if b.state.Load() == closed {
		if ok {
			b.streak = 0
			return stays
		}
		b.streak++
		good, bad := b.window.sum(now, wholeWindow)
		if b.streak >= c.Failures || good+bad < c.Volume && int(broken) >= c.Failures || good+bad >= c.Volume && float64(bad) >= c.Rate*float64(good+bad) {
			b.open(c, now)
			return opens
		}
		return stays
	}
	if !ok {
		if b.state.Load() == halfOpen {
			b.open(c, now)
		}
		return stays
	}
	if b.state.Load() == open { // sent although it was open: there was nowhere else to go
		b.state.Store(halfOpen)
		b.successes = 0
	}
	if b.successes++; b.successes < c.Successes {
		return stays
	}
	b.state.Store(closed)
	b.healed.Store(now)
	b.streak, b.times, b.window = 0, 0, window{}
	b.broken.Store(0)
	return closes
}

// ended takes in that an answer has come to its end.
func (b *breaker) ended() {
	if b.broken.Load() != 0 {
		b.broken.Store(0)
	}
}

// open opens b for longer than the last time. mu is held.
func (b *breaker) open(c *BreakerConfig, now int64) {
	d := c.Open
	for range min(b.times, 30) {
		if d *= 2; d >= c.MaxOpen {
			d = c.MaxOpen
			break
		}
	}
	b.times++
	b.since = now
	b.broken.Store(0)
	b.until.Store(now + int64(d))
	b.state.Store(open)
}

// rate returns the share of failures among the calls of the last seconds, wholeWindow at most, and how many these were.
func (b *breaker) rate(now int64, seconds int) (share float64, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	good, bad := b.window.sum(now, seconds)
	if calls = good + bad; calls > 0 {
		share = float64(bad) / float64(calls)
	}
	return share, calls
}

const wholeWindow = 10

// window counts what went well and what did not in the last ten seconds, second by second.
type window struct {
	seconds [wholeWindow]struct{ good, bad uint32 }
	last    int64 // the second that was counted last
}

func (w *window) add(now int64, ok bool) {
	w.advance(now)
	s := &w.seconds[w.last%int64(len(w.seconds))]
	if ok {
		s.good++
	} else {
		s.bad++
	}
}

// advance forgets the seconds that are too old.
func (w *window) advance(now int64) {
	second := now / int64(time.Second)
	for i := max(w.last+1, second-int64(len(w.seconds))+1); i <= second; i++ {
		w.seconds[i%int64(len(w.seconds))] = struct{ good, bad uint32 }{}
	}
	w.last = max(w.last, second)
}

// takeBack forgets that something went well at a moment.
func (w *window) takeBack(at int64) {
	second := at / int64(time.Second)
	if s := &w.seconds[second%wholeWindow]; second > w.last-wholeWindow && s.good > 0 {
		s.good--
	}
}

// sum counts those of the last seconds, the one that has begun among them.
func (w *window) sum(now int64, seconds int) (good, bad int) {
	w.advance(now)
	for i := range int64(seconds) {
		s := &w.seconds[(w.last-i+wholeWindow)%wholeWindow]
		good += int(s.good)
		bad += int(s.bad)
	}
	return good, bad
}

// BudgetConfig bounds how much second attempts may add to what an upstream is asked: every call earns a part of one for the
// upstream that it would fall to. All upstreams together have so many at most as all calls have earned, beside the floors.
// Source of the defaults: https://twitter.github.io/finagle/docs/com/twitter/finagle/service/RetryBudget$.html
type BudgetConfig struct {
	Ratio float64 // of the calls of the last ten seconds that would fall to it
	Floor int     // and so many more in ten seconds
}

// budget counts for one upstream: good are the calls that would fall to it, bad those that did.
type budget struct {
	mu    sync.Mutex
	calls window
}

// earn counts a call that would fall to the upstream.
func (b *budget) earn(now int64) {
	b.mu.Lock()
	b.calls.add(now, true)
	b.mu.Unlock()
}

// spend reports whether one more attempt after another target's is within c, and counts it then.
func (b *budget) spend(c *BudgetConfig, now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	earned, spent := b.calls.sum(now, wholeWindow)
	if float64(spent+1) > c.Ratio*float64(earned)+float64(c.Floor) {
		return false
	}
	b.calls.add(now, false)
	return true
}
