// Package routing decides in which order the targets of a call are tried, and remembers how they do.
//
// A Table has the live state of every target: an upstream, in a Region, for a model. What calls learn of a target comes in
// by Attempts; Set.Plan puts a route's targets in order by a Policy, with the reason for each. A plan is always a
// permutation of the Set's members: routing invents no target.
//
// The package does no I/O, reads no clock and starts nothing: every method is told what time it is.
package routing

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config is how targets are judged. It begins as Defaults.
type Config struct {
	Breaker  BreakerConfig
	Budget   BudgetConfig
	Ejection EjectionConfig

	WarmUp       time.Duration // from when a target is well again until it has its whole share
	Throttle     time.Duration // how long a target rests that refused a call for its rate and did not say how long; it doubles
	MaxThrottle  time.Duration // and no longer than this
	AffinityLoad float64       // calls that begin alike stay together up to so many times the mean of work under way
	Silence      time.Duration // for which a server says nothing to anybody before its waiting calls go elsewhere; 0 is for ever

	Rand func() uint64 // of 64 random bits, safe for concurrent use; nil is math/rand/v2's
}

// Defaults is the Config for servers of which nothing is known.
var Defaults = Config{
	Breaker:      BreakerConfig{Failures: 5, Rate: 0.5, Volume: 20, Open: 500 * time.Millisecond, MaxOpen: 4 * time.Second, Trials: 1, Successes: 2},
	Budget:       BudgetConfig{Ratio: 0.2, Floor: 100},
	Ejection:     EjectionConfig{Share: 0.5, ErrorRate: 0.2, Latency: 5, Time: 10 * time.Second},
	WarmUp:       3 * time.Second,
	Throttle:     time.Second,
	MaxThrottle:  8 * time.Second,
	AffinityLoad: 1.4,
	Silence:      30 * time.Second,
}

// Table is the state of all targets. It is safe for concurrent use.
type Table struct {
	cfg   Config
	start time.Time // what times are counted from
	watch func(Change)

	mu      sync.Mutex
	targets map[Name]*Target
	places  map[Name]*Place    // without Model
	budgets map[string]*budget // by upstream
}

// New makes an empty Table; now is the time it begins at.
func New(c Config, now time.Time) *Table {
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	c.Breaker.lapse = c.Silence
	return &Table{
		cfg: c, start: now,
		targets: map[Name]*Target{}, places: map[Name]*Place{}, budgets: map[string]*budget{},
	}
}

// Change is that a target is to be left alone from now on, or is well again.
type Change struct {
	Name               // without Model it is a server, with all its models
	To   Standing      // IsDown: its breaker has opened. Ejected: the others of a Set do much better. Ready: its breaker has closed
	Wait time.Duration // of IsDown, until the first trial; of Ejected, until it is over
}

// Watch makes f be told of every change, on the goroutine of the call that brought it about. It is set before the first.
func (t *Table) Watch(f func(Change)) { t.watch = f }

func (t *Table) changed(n Name, to turn) {
	switch {
	case t.watch == nil:
	case to == opens:
		t.watch(Change{n, IsDown, t.cfg.Breaker.Open})
	case to == closes:
		t.watch(Change{n, Ready, 0})
	}
}

// since is now as the package counts it: nanoseconds, always above 0.
func (t *Table) since(now time.Time) int64 { return max(int64(now.Sub(t.start)), 0) + 1 }

// moment is the time that since counts as at.
func (t *Table) moment(at int64) time.Time { return t.start.Add(time.Duration(at - 1)) }

// Name is what a target is called.
type Name struct {
	Upstream string
	Region   string // "" for an upstream that is one server, whatever Region it stands for
	Model    string // the Bedrock id
}

// Target returns the target of that name, and makes it when it is new. Targets are kept for ever: there are as many as the
// configuration's upstreams have models that were called.
func (t *Table) Target(n Name) *Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.targets[n]; known != nil {
		return known
	}
	b := t.budgets[n.Upstream]
	if b == nil {
		b = &budget{}
		t.budgets[n.Upstream] = b
	}
	tg := &Target{Name: n, table: t, place: t.placeOf(n.Upstream, n.Region), budget: b, hash: uint64(Key(0).Add(n.Upstream).Add(n.Region))}
	t.targets[n] = tg
	return tg
}

// Place returns the server of an upstream; region is "" for an upstream that is one.
func (t *Table) Place(upstream, region string) *Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.placeOf(upstream, region)
}

func (t *Table) placeOf(upstream, region string) *Place {
	n := Name{Upstream: upstream, Region: region}
	p := t.places[n]
	if p == nil {
		p = &Place{Name: n, table: t}
		t.places[n] = p
	}
	return p
}

// Place is one server: what all models of an upstream in a Region share. A server that cannot be reached takes all its
// models with it, a model that fails only itself.
type Place struct {
	Name
	table       *Table
	health      breaker
	outstanding atomic.Int32
	heard       atomic.Int64 // when it gave its last sign of life
	stirs       atomic.Bool  // it has given one since then, nobody noted when
}

// Probe takes in how a probe of the server went that was sent at began.
func (p *Place) Probe(began, now time.Time, err error) {
	at := p.table.since(now)
	if err == nil {
		p.heard.Store(at)
	}
	p.record(p.table.since(began), 0, at, err == nil)
}

// record is breaker.record, and tells of the change.
func (p *Place) record(began, first, now int64, ok bool) {
	p.table.changed(p.Name, p.health.record(&p.table.cfg.Breaker, began, first, now, ok))
}

// Target is one model at one server.
type Target struct {
	Name
	table  *Table
	place  *Place
	budget *budget
	hash   uint64 // of its server

	health      breaker
	outstanding [2]atomic.Int32 // by kind
	latency     [2]latency      // of whole answers, and of streams: they have nothing to do with one another
	throttled   atomic.Int64    // until when

	mu       sync.Mutex
	throttle time.Duration // the rest that it was given last, 0 after it has answered
	outrun   int64         // when the first of the attempts began that were outrun since its server was heard of; 0 is none
	failure  Failure
}

// Failure is what went wrong last.
type Failure struct {
	At   time.Time
	What string
}

// Try is what kind of attempt one is.
type Try struct {
	Stream bool
	Again  bool    // it comes after another, or beside it
	Forced bool    // to be sent whatever the breakers say: there is nowhere else to go
	Next   *Target // of a first attempt: where the call falls to should it fail; nil is nowhere
}

// Refusal is why an attempt may not be made.
type Refusal uint8

// The refusals.
const (
	Granted  Refusal = iota
	IsOut            // a breaker is open, or its trials are under way
	NoBudget         // the upstream has had its share of second attempts
)

// Attempt is one call at one target. It must be ended. The zero Attempt is over.
type Attempt struct {
	target      *Target
	began       int64
	stream      bool
	again       bool  // as Try has it
	first       int64 // when its first event came, 0 before
	model, home bool  // holds a trial's place of the target, of its server
}

// Begin counts an attempt that is about to be sent.
func (t *Target) Begin(now time.Time, y Try) (Attempt, Refusal) {
	at, cfg := t.table.since(now), &t.table.cfg
	a := Attempt{target: t, began: at, stream: y.Stream, again: y.Again}
	there, home := t.place.health.take(&cfg.Breaker, at)
	ok := there
	if a.home = home; there {
		ok, a.model = t.health.take(&cfg.Breaker, at)
	}
	if !ok && !y.Forced {
		a.release()
		return Attempt{}, IsOut
	}
	switch {
	case y.Again && !t.budget.spend(&cfg.Budget, at):
		a.release()
		return Attempt{}, NoBudget
	case !y.Again && y.Next != nil:
		y.Next.budget.earn(at)
	}
	t.outstanding[kind(y.Stream)].Add(1)
	t.place.outstanding.Add(1)
	return a, Granted
}

// release gives back the places of trials.
func (a *Attempt) release() {
	if a.model {
		a.target.health.release()
	}
	if a.home {
		a.target.place.health.release()
	}
	a.model, a.home = false, false
}

// First takes in that the attempt's first event has come: the target is well.
func (a *Attempt) First(now time.Time) {
	t := a.target
	if t == nil || a.first != 0 {
		return
	}
	at := t.table.since(now)
	a.first = at
	t.mu.Lock()
	t.latency[kind(a.stream)].add(at, time.Duration(at-a.began))
	t.throttle = 0
	t.mu.Unlock()
	a.well(at)
}

func (a *Attempt) well(at int64) {
	t := a.target
	t.place.heard.Store(at)
	// What calls waited for while it was out says nothing of what they will wait for now.
	if t.record(a.began, 0, at, true) == closes {
		t.forget()
	}
	t.place.record(a.began, 0, at, true)
	a.release()
}

// record is breaker.record, and tells of the change.
func (t *Target) record(began, first, now int64, ok bool) turn {
	to := t.health.record(&t.table.cfg.Breaker, began, first, now, ok)
	t.table.changed(t.Name, to)
	return to
}

// Heard takes in that more of an answer that has begun has come. It costs next to nothing.
func (a *Attempt) Heard() {
	if t := a.target; t != nil && !t.place.stirs.Load() {
		t.place.stirs.Store(true)
	}
}

// How long a call that has another target waits at a silent server, in times of what the target takes to begin in 99 of
// 100 cases; and while that is not known, in times of Config.Silence.
const (
	patience     = 10
	firstMeeting = 4
	trialShare   = 10 // of Config.Silence is what a trial waits at least
	leaverShare  = 3  // of that is what those waited at least whose leaving says something of the target
)

// Patience is the least time after which an attempt may be given up for its server's silence; 0 is for ever. A target on
// trial has less of it, so that an outage does not hold one call after another for as long as it held the first.
func (a *Attempt) Patience() time.Duration {
	d := a.target.table.cfg.Silence
	if a.model || a.home {
		d /= trialShare
	}
	return d
}

// Silence returns how much longer an attempt that has not begun is to wait for its server, should there be another target:
// 0 says that nobody has heard of the server for longer than can be explained. A long answer alone is no reason to leave it:
// it takes what such answers took before, while others hear of it. Unlike other methods it may be called on a copy while the
// attempt goes on.
func (a Attempt) Silence(now time.Time) time.Duration {
	t := a.target
	at := t.table.since(now)
	t.place.noted(at)
	t.mu.Lock()
	limit := a.silence()
	t.mu.Unlock()
	return max(limit-time.Duration(at-max(a.began, t.place.heard.Load())), 0)
}

// silence is how long nobody may hear of the server for. The target's mu is held.
func (a *Attempt) silence() time.Duration {
	usual := a.target.latency[kind(a.stream)].within(0.99) // not the mean, which follows those that were given up, too
	if usual == 0 {
		return firstMeeting * a.Patience()
	}
	return max(a.Patience(), patience*usual)
}

// noted keeps when the server stirred, now at the latest.
func (p *Place) noted(now int64) {
	if p.stirs.Load() && p.stirs.Swap(false) {
		p.heard.Store(now)
	}
}

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes.
const (
	Answered    Outcome = iota // or it was refused for what the request is: the target is well
	Abandoned                  // nobody waits for it any more: nothing is known, unless somebody waited for long
	Outrun                     // likewise: another attempt at the same call has begun before it
	Full                       // it was not sent: as many are under way there as may be at once, which is no failure
	Throttled                  // the rate was too high
	Failed                     // the model failed
	Slow                       // the first event did not come in time
	Unreachable                // the server could not be reached
)

// End says how an attempt ended. wait is how long a throttled target said that it is to be left alone, 0 when it did not
// say. what is for whoever looks at the state.
func (a *Attempt) End(now time.Time, o Outcome, wait time.Duration, what string) {
	t := a.target
	if t == nil {
		return
	}
	at := t.table.since(now)
	t.outstanding[kind(a.stream)].Add(-1)
	t.place.outstanding.Add(-1)
	t.place.noted(at)
	switch o {
	case Answered:
		if a.first == 0 {
			a.well(at)
		} else {
			t.health.ended()
			t.place.health.ended()
		}
	case Abandoned, Outrun:
		if a.first == 0 {
			if a.overdue(at) || o == Outrun && a.unheard(at) {
				o, what = Slow, "unanswered"
				t.record(a.began, 0, at, false)
			}
			a.waited(at, o == Outrun)
		}
	case Throttled:
		a.well(at) // it is there, and answers at once
		t.rest(at, wait)
	case Slow:
		if a.first == 0 {
			a.waited(at, false)
		}
		t.record(a.began, a.first, at, false)
	case Failed:
		t.place.heard.Store(at)
		t.record(a.began, a.first, at, false)
	case Unreachable:
		t.place.record(a.began, a.first, at, false)
	}
	a.release()
	a.target = nil
	if o > Outrun {
		t.mu.Lock()
		t.failure = Failure{now, what}
		t.mu.Unlock()
	}
}

// overdue says that whoever gave the attempt up had waited for long, and for much longer than calls at the target do: it counts
// then as if Silence had given it up. Callers whose patience ends before that, or who have no other target, would else never
// find out a server that has stopped answering. It takes less than Silence does, because nothing is asked twice for it, and a
// breaker opens only after several, none of which the target has answered meanwhile.
func (a *Attempt) overdue(now int64) bool {
	t, d, least := a.target, time.Duration(now-a.began), a.Patience()/leaverShare
	if least == 0 || d < least {
		return false
	}
	t.mu.Lock()
	usual := t.latency[kind(a.stream)].quantile(0.5)
	t.mu.Unlock()
	return usual > 0 && float64(d) > t.table.cfg.Ejection.Latency*float64(usual)
}

// unheard takes in that the attempt was outrun, and says that nobody has heard of its server for as long as Silence allows, though
// it was asked all the time: no single attempt waits so long where each has another beside it, which answers. That says something of
// the target that was asked first. The other, which has less time, is outrun as a rule.
func (a *Attempt) unheard(now int64) bool {
	if a.again || a.Patience() == 0 {
		return false
	}
	t := a.target
	t.mu.Lock()
	defer t.mu.Unlock()
	if heard := t.place.heard.Load(); t.outrun == 0 || heard >= t.outrun {
		t.outrun = max(a.began, heard)
	}
	return now-t.outrun >= int64(a.silence())
}

// forget makes the mean latencies unknown.
func (t *Target) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.latency {
		t.latency[i].forget()
	}
}

// waited takes in that the first event has not come until now, where that is news. Of a call that was sent before the target
// was out, or while it was, it is not. sample says whether the time belongs to those in which calls begin: without those that
// were outrun only the fast ones would be left. Of others it is what they were given, of a server that may never answer.
func (a *Attempt) waited(now int64, sample bool) {
	t, d := a.target, time.Duration(now-a.began)
	if a.began < t.health.healed.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := &t.latency[kind(a.stream)]; float64(d) > l.now(now) {
		l.follow(now, d)
		if sample {
			l.sample(d)
		}
	}
}

// rest leaves t alone for wait, or longer each time when it does not say.
func (t *Target) rest(now int64, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait <= 0 {
		if now < t.throttled.Load() {
			return // a call that was under way already when it began to rest
		}
		wait = min(max(2*t.throttle, t.table.cfg.Throttle), t.table.cfg.MaxThrottle)
		t.throttle = wait
	}
	t.throttled.Store(max(t.throttled.Load(), now+int64(wait)))
}

// kind chooses between the latencies of whole answers and of streams.
func kind(stream bool) int {
	if stream {
		return 1
	}
	return 0
}

// HedgeDelay is how long the first event of a call at t is waited for before another target is asked beside it; 0 is for
// ever.
func (t *Target) HedgeDelay(h Hedge, stream bool) time.Duration {
	if h.Quantile == 0 {
		return h.After
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latency[kind(stream)].quantile(h.Quantile)
}

// Health is what the breakers make of a target.
type Health uint8

// The states of health.
const (
	Well Health = iota
	OnTrial
	Out
)

// String returns the state as it is shown.
func (h Health) String() string { return [...]string{Well: "well", OnTrial: "on trial", Out: "out"}[h] }

// Status is the live state of one target.
type Status struct {
	Name
	Health         Health
	OutUntil       time.Time     // of Out
	ThrottledUntil time.Time     // the zero time when it is not throttled
	Outstanding    int           // calls of this model under way
	ServerWork     int           // calls of all models of the server under way
	Streamed       time.Duration // mean time to the first event of a stream, however long ago, 0 when it is not known
	Whole          time.Duration // and of a whole answer
	ErrorRate      float64       // of the last ten seconds: the model's or its server's, whichever is worse
	Calls          int           // in them
	Failure        Failure       // the last, with the zero time where there was none
}

// Status returns the state of every target that has been planned for, by name.
func (t *Table) Status(now time.Time) []Status {
	t.mu.Lock()
	targets := make([]*Target, 0, len(t.targets))
	for _, tg := range t.targets {
		targets = append(targets, tg)
	}
	t.mu.Unlock()
	slices.SortFunc(targets, func(a, b *Target) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Model, b.Model))
	})
	all := make([]Status, len(targets))
	for i, tg := range targets {
		all[i] = tg.status(now)
	}
	return all
}

func (t *Target) status(now time.Time) Status {
	at := t.table.since(now)
	s := Status{
		Name: t.Name, Outstanding: int(t.outstanding[0].Load() + t.outstanding[1].Load()), ServerWork: int(t.place.outstanding.Load()),
		Whole: time.Duration(t.latency[0].last()), Streamed: time.Duration(t.latency[1].last()),
	}
	ok, trial, until := t.admits(at)
	switch {
	case !ok:
		s.Health, s.OutUntil = Out, t.table.moment(until)
	case trial:
		s.Health = OnTrial
	}
	if r := t.throttled.Load(); r > at {
		s.ThrottledUntil = t.table.moment(r)
	}
	s.ErrorRate, s.Calls = t.health.rate(at, wholeWindow)
	if rate, calls := t.place.health.rate(at, wholeWindow); rate > s.ErrorRate || s.Calls == 0 {
		s.ErrorRate, s.Calls = rate, calls
	}
	t.mu.Lock()
	s.Failure = t.failure
	t.mu.Unlock()
	return s
}

// admits is the breakers' answer; until is when it is no longer no, as far as that is known.
func (t *Target) admits(now int64) (ok, trial bool, until int64) {
	c := &t.table.cfg.Breaker
	ok, trial = t.health.admits(c, now)
	there, trialThere := t.place.health.admits(c, now)
	if !ok {
		until = t.health.until.Load()
	}
	if !there {
		until = max(until, t.place.health.until.Load())
	}
	return ok && there, trial || trialThere, until
}
