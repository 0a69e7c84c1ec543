package routing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// EjectionConfig says when a target is left out because the others of its set do so much better.
type EjectionConfig struct {
	Share     float64       // of a set that may be left out at once, from 0 to 1
	ErrorRate float64       // by which its own is above the others'
	Latency   float64       // times the others' median
	Time      time.Duration // that it is left out
}

// What a target is judged by at least, and those that it is compared with: calls of the last ten seconds, samples of latency
// since it was left out last.
const (
	fewCalls   = 10
	fewSamples = 5
	manyCalls  = 30                     // that are enough to judge by the last few seconds alone
	lately     = 3                      // seconds
	leastGap   = 100 * time.Millisecond // that a slow target is above the others at least
	judgeEvery = time.Second
)

// Member is one target of a Set, as the Set's route has it.
type Member struct {
	*Target
	Region  string  // that it counts as being in
	Source  bool    // it is the Region of the caller
	Weight  float64 // of its upstream; 0 is 1
	Standby bool    // its upstream is asked only when no other answers
	Price   int64   // what it would cost there, for Cost; in any unit that all members share, and below 0 when it is not known
}

// Set is the targets of one route. It is safe for concurrent use.
type Set struct {
	policy  Policy
	members []member
	judged  atomic.Int64 // when the outliers were last looked for
}

type member struct {
	Member
	rank   int // lower goes first, whatever the load
	weight float64
	key    uint64

	ejected atomic.Int64 // until when
	back    atomic.Int64 // the last ejected of which it is known that it is over
	samples atomic.Int64 // of latency when it was ejected, or was back
}

// NewSet makes a Set of ms, which are in the order that decides where nothing else does. They are of one Table. A nil
// policy is the default.
func NewSet(p *Policy, ms []Member) *Set {
	s := &Set{members: make([]member, len(ms))}
	if p != nil {
		s.policy = *p
	}
	var prices []int64
	for _, m := range ms {
		if m.Price >= 0 {
			prices = append(prices, m.Price)
		}
	}
	slices.Sort(prices)
	prices = slices.Compact(prices)
	for i, m := range ms {
		rank := 0 // as Default
		if !m.Source {
			rank = 1
		}
		weight := cmp.Or(m.Weight, 1)
		switch s.policy.Mode {
		case Latency:
			rank = 0
		case Priority:
			if listed := s.policy.rank(m.Region); listed < len(s.policy.Regions) {
				rank = listed
			} else {
				rank += listed
			}
		case Weighted:
			rank = 0
			if weight *= s.policy.weight(m.Region); weight <= 0 {
				rank, weight = 1, 1
			}
		case Cost:
			at := len(prices)
			if m.Price >= 0 {
				at, _ = slices.BinarySearch(prices, m.Price)
			}
			rank += 2 * at
		}
		if m.Standby {
			rank += standby
		}
		s.members[i].Member, s.members[i].rank, s.members[i].weight = m, rank, weight
		s.members[i].key = mix(m.hash, mulA^uint64(Key(0).Add(m.Region)))
	}
	return s
}

// standby is above every rank of those that are not on standby.
const standby = 1 << 20

// Policy is the set's.
func (s *Set) Policy() *Policy { return &s.policy }

// Standing is how well a target is, the best first: it is what a plan's order is by, before anything else.
type Standing uint8

// The standings.
const (
	Ready     Standing = iota
	WarmingUp          // it was out, and has not its whole share yet
	Ejected            // the others do much better
	IsDown             // a breaker is open
	Throttles          // it has refused calls for their rate
)

// Reason is what put a target before those of its standing that come after it.
type Reason uint8

// The reasons.
const (
	OnlyOne       Reason = iota
	ByAffinity           // calls that begin alike were sent there
	BySource             // it is in the caller's Region
	ByLoad               // it has less to do than another, in calls under way times the time each takes
	ByLatency            // it is the fastest to begin
	ByPriority           // it is listed before
	ByWeight             // it was drawn
	ByPrice              // it costs the least
	ByReturn             // it is the first that may be asked again
	ByAffinityNow        // calls that begin alike would be sent to another, which has too much to do
	ToLearn              // nothing is known of how fast it is, and one call is to find out
)

// Step is one target of a plan, with the figures that it was judged by.
type Step struct {
	Index       int // of the Set's members
	Standing    Standing
	Trial       bool // a breaker lets single calls through
	Reason      Reason
	Outstanding int
	Latency     time.Duration // mean to the first event, 0 when it is not known
	Wait        time.Duration // until it may be asked again: of Ejected, IsDown and Throttles

	rank  int
	score float64
	until int64
}

// Why says in words why the step stands where it stands.
func (p *Step) Why() string {
	wait := p.Wait.Round(time.Millisecond)
	switch p.Standing {
	case WarmingUp:
		return "warming up after an outage"
	case Ejected:
		return fmt.Sprintf("left out for %v: the others do much better", wait)
	case IsDown:
		return fmt.Sprintf("down: its breaker is open for %v", wait)
	case Throttles:
		return fmt.Sprintf("throttled for %v", wait)
	}
	why := [...]string{
		OnlyOne: "the only one of its kind", ByAffinity: "calls that begin alike go there", BySource: "in the caller's Region",
		ByLoad: "less to do than another", ByLatency: "the fastest to begin", ByPriority: "listed before", ByWeight: "drawn by weight",
		ByPrice: "the cheapest", ByReturn: "the first to come back", ByAffinityNow: "the one that calls like it go to has too much to do",
		ToLearn: "to find out how fast it is",
	}[p.Reason]
	if p.Trial {
		why += ", on trial"
	}
	if p.Latency == 0 {
		return fmt.Sprintf("%s (%d under way)", why, p.Outstanding)
	}
	return fmt.Sprintf("%s (%d under way, first event in %v)", why, p.Outstanding, p.Latency.Round(100*time.Microsecond))
}

// Plan appends the set's members to dst, each once, in the order in which a call is to try them. It allocates nothing when
// dst has room.
func (s *Set) Plan(dst []Step, now time.Time, key Key, stream bool) []Step {
	if len(s.members) == 0 {
		return dst
	}
	t := s.members[0].table
	at, k := t.since(now), kind(stream)
	if len(s.members) > 1 {
		s.judge(at)
	}
	if s.policy.NoAffinity {
		key = 0
	}
	from := len(dst)
	least := 0.0
	for i := range s.members {
		dst = append(dst, s.members[i].step(i, t, at, k))
		if l := float64(dst[len(dst)-1].Latency); l > 0 && (least == 0 || l < least) {
			least = l
		}
	}
	steps := dst[from:]
	for i := range steps {
		p := &steps[i]
		m := &s.members[p.Index]
		if p.Standing >= IsDown {
			p.score, p.rank, p.Reason = float64(p.until), 0, ByReturn
			continue
		}
		switch s.policy.Mode {
		case Latency:
			p.score, p.Reason = m.pace(p, k, least)
		case Weighted:
			p.score, p.Reason = m.draw(uint64(key), t.cfg.Rand), ByWeight
		default:
			if key != 0 {
				p.score = m.draw(uint64(key), nil)
			}
		}
	}
	slices.SortStableFunc(steps, compareSteps)
	for i := 0; i < len(steps); {
		j := i + 1
		for j < len(steps) && steps[j].Standing == steps[i].Standing && steps[j].rank == steps[i].rank {
			j++
		}
		if steps[i].Standing < IsDown {
			s.arrange(t, steps[i:j], key, least)
		}
		i = j
	}
	return dst
}

func compareSteps(a, b Step) int {
	return cmp.Or(cmp.Compare(a.Standing, b.Standing), cmp.Compare(a.rank, b.rank), cmp.Compare(a.score, b.score))
}

// step is what is known of a member now.
func (m *member) step(i int, t *Table, now int64, kind int) Step {
	p := Step{Index: i, rank: m.rank, Outstanding: int(m.place.outstanding.Load()), Latency: time.Duration(m.latency[kind].now(now))}
	ok, trial, until := m.admits(now)
	p.Trial = trial && ok
	ejected, throttled := m.ejected.Load(), m.throttled.Load()
	healed := max(m.health.healed.Load(), m.place.health.healed.Load())
	if ejected <= now {
		healed = max(healed, ejected)
	}
	switch {
	case throttled > now:
		p.Standing, p.until = Throttles, throttled
	case !ok:
		p.Standing, p.until = IsDown, until
	case ejected > now:
		p.Standing, p.until = Ejected, ejected
	case healed > 0 && now < healed+int64(t.cfg.WarmUp):
		// Its share grows from a tenth to the whole.
		if share := max(0.1, float64(now-healed)/float64(t.cfg.WarmUp)); unit(t.cfg.Rand()) >= share {
			p.Standing = WarmingUp
		}
	}
	p.Wait = time.Duration(max(p.until-now, 0))
	return p
}

// pace is the place of m, of which p is known, in the order of Latency. least is the fastest's, 0 where none is known. What is
// not known, or has faded, one call at a time finds out: were they all to, they would all wait for what may be slow.
func (m *member) pace(p *Step, kind int, least float64) (float64, Reason) {
	underWay := m.outstanding[kind].Load()
	switch mean := m.latency[kind].last(); {
	case mean > 0 && underWay > 0:
		return mean, ByLatency
	case mean > 0:
		return float64(p.Latency), ByLatency
	case underWay == 0:
		return 0, ToLearn
	case least == 0: // none is known: to each its part
		return float64(underWay), ToLearn
	}
	return math.MaxFloat64, ToLearn
}

// draw is the time that m takes in a race of exponential clocks of the members' weights: the least wins, so often as its
// weight has it. With a key the outcome is always the same, and the loss of one member moves only what was its own.
func (m *member) draw(key uint64, random func() uint64) float64 {
	if key != 0 {
		key = mix(key, m.key)
	} else {
		key = random()
	}
	return -math.Log(1-unit(key)) / m.weight
}

// unit makes a number from 0 up to but not 1 of random bits.
func unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

// arrange orders steps that differ in nothing but their load: by two choices at random, or around the one that the key
// leads to. least stands for a latency that is not known.
func (s *Set) arrange(t *Table, steps []Step, key Key, least float64) {
	mode := s.policy.Mode
	switch {
	case mode == Latency:
		return
	case mode == Weighted && key == 0:
		return
	case key != 0 && len(steps) > 1:
		s.yield(t, steps)
	default:
		for i := range steps {
			if n := len(steps) - i; n > 1 {
				r := t.cfg.Rand()
				a := i + int(uint32(r)%uint32(n))
				b := i + int(uint32(r>>32)%uint32(n-1))
				if b >= a {
					b++
				}
				if steps[b].load(least) < steps[a].load(least) {
					a = b
				}
				steps[i], steps[a] = steps[a], steps[i]
			}
			steps[i].Reason = ByLoad
		}
		steps[len(steps)-1].Reason = OnlyOne
	}
	// What put the group before others says more than what chose within it, of whose there may be one.
	for i := range steps {
		if p := &steps[i]; p.Reason == OnlyOne {
			m := &s.members[p.Index]
			switch {
			case mode == Priority && s.policy.rank(m.Region) < len(s.policy.Regions):
				p.Reason = ByPriority
			case mode == Cost && m.Price >= 0:
				p.Reason = ByPrice
			case m.Source && mode != Weighted:
				p.Reason = BySource
			}
		}
	}
}

// load is what a call waits for, roughly, that comes now.
func (p *Step) load(least float64) float64 {
	return float64(p.Outstanding+1) * cmp.Or(float64(p.Latency), least, 1)
}

// yield leaves steps, which are in the order that a key leads to, with one first that has not too much to do: not more
// than its part of the whole times AffinityLoad.
// Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", https://arxiv.org/abs/1608.01350
func (s *Set) yield(t *Table, steps []Step) {
	work, weights := 1.0, 0.0
	for i := range steps {
		work += float64(steps[i].Outstanding)
		weights += s.members[steps[i].Index].weight
	}
	for i := range steps {
		p := &steps[i]
		if float64(p.Outstanding+1) > math.Ceil(t.cfg.AffinityLoad*work*s.members[p.Index].weight/weights) {
			continue
		}
		first := *p
		copy(steps[1:i+1], steps[:i])
		first.Reason = ByAffinity
		if i > 0 {
			first.Reason = ByAffinityNow
		}
		steps[0] = first
		break
	}
	for i := range steps[1:] {
		steps[i+1].Reason = ByAffinity
	}
}

// judge leaves out the members that do much worse than the others, a share of the set at most.
func (s *Set) judge(now int64) {
	last := s.judged.Load()
	if last != 0 && now-last < int64(judgeEvery) || !s.judged.CompareAndSwap(last, now) {
		return
	}
	c := &s.members[0].table.cfg.Ejection
	out := 0
	for i := range s.members {
		if s.members[i].ejected.Load() > now {
			out++
		}
	}
	for i := range s.members {
		m := &s.members[i]
		if float64(out+1) > c.Share*float64(len(s.members)) {
			return
		}
		if ok, trial, _ := m.admits(now); !ok || trial {
			continue // its breaker sees to it, and what came of it since is what it is out for
		}
		until := m.ejected.Load()
		if until > now {
			continue
		}
		if m.back.Swap(until) != until { // it is judged by what it does from now on
			m.forget()
			m.samples.Store(m.latency[0].count.Load() + m.latency[1].count.Load())
		}
		if !s.fails(m, c, now) && !s.isSlow(m, 0, c, now) && !s.isSlow(m, 1, c, now) {
			continue
		}
		m.samples.Store(m.latency[0].count.Load() + m.latency[1].count.Load())
		m.ejected.Store(now + int64(c.Time))
		if watch := m.table.watch; watch != nil {
			watch(Change{m.Name, Ejected, c.Time})
		}
		out++
	}
}

// fails reports whether m has so many more errors than the others that it is left out.
func (s *Set) fails(m *member, c *EjectionConfig, now int64) bool {
	for _, of := range [...]struct{ seconds, calls int }{{wholeWindow, fewCalls}, {lately, manyCalls}} {
		own, calls := m.health.rate(now, of.seconds)
		if calls < of.calls {
			continue
		}
		sum, n := 0.0, 0
		for i := range s.members {
			if rate, calls := s.members[i].health.rate(now, of.seconds); &s.members[i] != m && calls >= of.calls {
				sum += rate
				n++
			}
		}
		if n > 0 && own > sum/float64(n)+c.ErrorRate {
			return true
		}
	}
	return false
}

// isSlow reports whether m takes so much longer than the others that it is left out. These are taken as they were when they were
// last asked: of those behind a target that has all the calls there is nothing newer, and they tell how they are now as soon as
// it is left out.
func (s *Set) isSlow(m *member, kind int, c *EjectionConfig, now int64) bool {
	own := m.latency[kind].recent(now)
	if own == 0 || m.latency[0].count.Load()+m.latency[1].count.Load() < m.samples.Load()+fewSamples {
		return false
	}
	var buffer [32]float64
	others := buffer[:0]
	for i := range s.members {
		if l := s.members[i].latency[kind].heard(); &s.members[i] != m && l > 0 {
			others = append(others, l)
		}
	}
	if len(others) == 0 {
		return false
	}
	slices.Sort(others)
	median := others[(len(others)-1)/2]
	return own > c.Latency*median && own > median+float64(leastGap)
}
