package routing

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// field is a set of targets, each an upstream in a Region of its own: r0, which is the source, r1, ...
type field struct {
	*Table
	*Set
	now     time.Time
	targets []*Target
}

func newField(t testing.TB, n int, policy string, change func(i int, m *Member)) *field {
	p, err := ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	f := &field{now: time.Now()}
	f.Table = New(config(uint64(n)), f.now)
	ms := make([]Member, n)
	for i := range ms {
		region := fmt.Sprintf("r%d", i)
		f.targets = append(f.targets, f.Target(Name{"u" + region, region, "m"}))
		ms[i] = Member{Target: f.targets[i], Region: region, Source: i == 0, Price: -1}
		if change != nil {
			change(i, &ms[i])
		}
	}
	f.Set = NewSet(p, ms)
	return f
}

func (f *field) plan(key Key) []Step { return f.Plan(nil, f.now, key, true) }

// order is a plan's targets as digits.
func (f *field) order(key Key) string {
	var b strings.Builder
	for _, s := range f.plan(key) {
		fmt.Fprint(&b, s.Index)
	}
	return b.String()
}

// serve has target i answer n calls whose first event takes d, one after another, without time going by.
func (f *field) serve(i, n int, d time.Duration) {
	for range n {
		a, _ := f.targets[i].Begin(f.now.Add(-d), Try{Stream: true, Forced: true})
		a.First(f.now)
		a.End(f.now, Answered, 0, "")
	}
}

func (f *field) fail(i, n int, o Outcome) {
	for range n {
		a, _ := f.targets[i].Begin(f.now, Try{Stream: true, Forced: true})
		a.End(f.now, o, 0, "")
	}
}

func (f *field) busy(i, n int) {
	for range n {
		f.targets[i].Begin(f.now, Try{Stream: true, Forced: true})
	}
}

func TestModes(t *testing.T) {
	later := func(f *field) { f.now = f.now.Add(time.Minute) }
	for name, c := range map[string]struct {
		policy string
		n      int
		change func(i int, m *Member)
		state  func(f *field)
		want   string // one of these orders
		reason Reason // of the first
	}{
		"the source first":                  {policy: "default", n: 2, want: "01", reason: BySource},
		"the source first, however busy":    {policy: "default", n: 2, state: func(f *field) { f.busy(0, 9) }, want: "01", reason: BySource},
		"then the less busy":                {policy: "default", n: 3, state: func(f *field) { f.busy(1, 9) }, want: "021", reason: BySource},
		"then the one with less work":       {policy: "default", n: 3, state: func(f *field) { later(f); f.serve(1, 3, time.Second); f.serve(2, 3, 10*time.Second); f.busy(1, 2) }, want: "012", reason: BySource},
		"the source is down":                {policy: "default", n: 2, state: func(f *field) { f.fail(0, 5, Unreachable) }, want: "10", reason: OnlyOne},
		"the source is throttled":           {policy: "default", n: 2, state: func(f *field) { f.fail(0, 1, Throttled) }, want: "10", reason: OnlyOne},
		"down before throttled":             {policy: "default", n: 3, state: func(f *field) { f.fail(0, 1, Throttled); f.fail(1, 5, Failed) }, want: "210", reason: OnlyOne},
		"all are out, the first back first": {policy: "default", n: 2, state: func(f *field) { f.fail(1, 5, Failed); f.now = f.now.Add(time.Millisecond); f.fail(0, 5, Failed) }, want: "10", reason: ByReturn},
		"one failure is none":               {policy: "default", n: 2, state: func(f *field) { f.fail(0, 4, Unreachable) }, want: "01", reason: BySource},
		"on trial in its place":             {policy: "default", n: 2, state: func(f *field) { f.fail(0, 5, Unreachable); f.now = f.now.Add(time.Second) }, want: "01", reason: BySource},
		"the fastest": {policy: "latency", n: 3, state: func(f *field) {
			later(f)
			f.serve(0, 9, 30*time.Millisecond)
			f.serve(1, 9, 20*time.Millisecond)
			f.serve(2, 9, 10*time.Millisecond)
		}, want: "210", reason: ByLatency},
		"as listed":                  {policy: "priority r2 r1", n: 4, want: "2103", reason: ByPriority},
		"as listed, then as default": {policy: "priority r3", n: 2, want: "01", reason: BySource},
		"the cheapest": {policy: "cost", n: 4, change: func(i int, m *Member) { m.Price = []int64{3, 1, -1, 2}[i] },
			want: "1302", reason: ByPrice},
		"as cheap as the source": {policy: "cost", n: 3, change: func(i int, m *Member) { m.Price = []int64{2, 9, 2}[i] },
			want: "021", reason: ByPrice},
		"standby is the last":  {policy: "default", n: 3, change: func(i int, m *Member) { m.Standby = i == 0 }, state: func(f *field) { f.busy(2, 9) }, want: "120", reason: ByLoad},
		"also of the cheapest": {policy: "cost", n: 3, change: func(i int, m *Member) { m.Price, m.Standby = int64(i), i == 0 }, want: "120", reason: ByPrice},
		"weight 0 is the last": {policy: "weighted r1=1 r0=0", n: 2, want: "10", reason: ByWeight},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // whatever the dice say
				f := newField(t, c.n, c.policy, c.change)
				if c.state != nil {
					c.state(f)
				}
				p := f.plan(0)
				got := ""
				for _, s := range p {
					got += fmt.Sprint(s.Index)
					if why := s.Why(); why == "" || strings.Contains(why, "%!") {
						t.Errorf("why: %q", why)
					}
				}
				if got != c.want || p[0].Reason != c.reason {
					t.Fatalf("order %s, reason %d; want %s, %d", got, p[0].Reason, c.want, c.reason)
				}
			}
		})
	}
}

// TestTwoChoices: of many, the least loaded takes what two choices give it, and the most loaded never goes first.
func TestTwoChoices(t *testing.T) {
	f := newField(t, 5, "default", func(_ int, m *Member) { m.Source = true })
	for i := range 5 {
		f.busy(i, 2*i)
	}
	first := [5]int{}
	const n = 20_000
	for range n {
		first[f.plan(0)[0].Index]++
	}
	// The i-th of five is the better of two different ones when the other is one of the 4-i worse: 2(4-i)/(5*4).
	for i, got := range first {
		if want := float64(n*(4-i)) / 10; float64(got) < want*0.9 || float64(got) > want*1.1+1 {
			t.Errorf("target %d was first %d times, want about %.0f", i, got, want)
		}
	}
}

// TestLatencyLearns: in the mode latency, targets of which nothing is known yet, or nothing any more, are found out, by one call
// at a time; then the fastest has nearly all. Streams and whole answers are learnt of apart.
func TestLatencyLearns(t *testing.T) {
	f := newField(t, 3, "latency", nil)
	f.now = f.now.Add(time.Hour)
	times := []time.Duration{2 * time.Second, 20 * time.Millisecond, 30 * time.Millisecond}
	first := [3]int{}
	for range 1000 { // ten a second
		f.now = f.now.Add(100 * time.Millisecond)
		i := f.plan(0)[0].Index
		first[i]++
		f.serve(i, 1, times[i])
	}
	// A mean of 2 s fades to 20 ms within 92 s, one of 30 ms within 8 s; then one call asks again.
	if first[0] < 1 || first[0] > 3 || first[2] < 2 || first[1] < 900 {
		t.Errorf("first: %v", first)
	}

	f = newField(t, 3, "latency", nil)
	f.now = f.now.Add(time.Hour)
	f.serve(0, 1, 2*time.Second)
	started := [3]int{}
	for range 30 { // none of which has begun yet
		i := f.plan(0)[0].Index
		started[i]++
		f.busy(i, 1)
	}
	if started != [3]int{28, 1, 1} {
		t.Errorf("of calls that wait: %v; those of which nothing is known are to have one each", started)
	}
	if p := f.Plan(nil, f.now, 0, false); p[0].Index != 0 || p[0].Reason != ToLearn {
		t.Errorf("streams tell of whole answers: %s", p[0].Why())
	}

	f = newField(t, 3, "latency", nil)
	started = [3]int{}
	for range 30 {
		i := f.plan(0)[0].Index
		started[i]++
		f.busy(i, 1)
	}
	if started != [3]int{10, 10, 10} {
		t.Errorf("nothing is known of any: %v", started)
	}

	f = newField(t, 2, "latency", nil)
	f.now = f.now.Add(time.Hour)
	f.serve(0, 5, 20*time.Millisecond)
	f.serve(1, 5, 200*time.Millisecond)
	f.now = f.now.Add(500 * time.Millisecond)
	f.serve(0, 5, 20*time.Millisecond)
	started = [3]int{}
	for range 300 {
		f.now = f.now.Add(200 * time.Millisecond)
		f.serve(0, 1, 20*time.Millisecond)
		if i := f.plan(0)[0].Index; i == 1 {
			started[1]++
			f.busy(1, 1) // and does not begin
		}
	}
	if started[1] != 1 {
		t.Errorf("%d calls ask a target again that does not answer", started[1])
	}
}

func TestWeights(t *testing.T) {
	for _, key := range []bool{false, true} {
		f := newField(t, 3, "weighted r0=1 r1=3 r2=1", func(i int, m *Member) { m.Weight = []float64{1, 1, 2}[i] })
		first, second := [3]int{}, [3]int{}
		const n = 30_000
		for i := range n {
			var k Key
			if key {
				k = Key(0).Add(fmt.Sprint(i))
			}
			p := f.plan(k)
			first[p[0].Index]++
			if p[0].Index == 1 {
				second[p[1].Index]++
			}
		}
		for i, want := range []float64{n / 6, n / 2, n / 3} {
			if got := float64(first[i]); got < want*0.95 || got > want*1.05 {
				t.Errorf("keys %t: target %d was first %v times, want about %v", key, i, got, want)
			}
		}
		// Of those that are left, by weight again.
		if got, want := float64(second[2]), float64(first[1])*2/3; got < want*0.95 || got > want*1.05 {
			t.Errorf("keys %t: target 2 was second %v times, want about %v", key, got, want)
		}
	}
}

// TestAffinity: a key leads to one target; when that is lost only its own keys move, each to where it would go next; and
// a target that has too much to do passes keys on.
func TestAffinity(t *testing.T) {
	f := newField(t, 4, "weighted", nil)
	const n = 400
	var before [n]string
	for i := range before {
		before[i] = f.order(Key(0).Add("profile").Add(fmt.Sprint(i)))
		if again := f.order(Key(0).Add("profile").Add(fmt.Sprint(i))); again != before[i] {
			t.Fatalf("key %d: %s, then %s", i, before[i], again)
		}
	}
	f.fail(2, 5, Unreachable)
	moved := 0
	for i := range before {
		if got, want := f.order(Key(0).Add("profile").Add(fmt.Sprint(i))), strings.Replace(before[i], "2", "", 1)+"2"; got != want {
			t.Errorf("key %d: %s without target 2, want %s", i, got, want)
		}
		if before[i][0] == '2' {
			moved++
		}
	}
	if moved < n/5 || moved > n/3 {
		t.Errorf("%d of %d keys were target 2's", moved, n)
	}

	// One key alone, with calls that do not end: nobody has more than its bounded part.
	f = newField(t, 4, "weighted", nil)
	key := Key(0).Add("the same beginning")
	for i := range 400 {
		p := f.plan(key)
		if most := f.Table.cfg.AffinityLoad*float64(i+1)/4 + 1; float64(p[0].Outstanding+1) > most {
			t.Fatalf("call %d goes to a target with %d under way, more than %.1f", i, p[0].Outstanding, most)
		}
		f.busy(p[0].Index, 1)
	}
	// Its part is by weight.
	f = newField(t, 3, "weighted r0=2 r1=1 r2=1", nil)
	to := f.plan(key)[0].Index
	for range 400 {
		f.busy(f.plan(key)[0].Index, 1)
	}
	part := f.Table.cfg.AffinityLoad * 400 * []float64{2, 1, 1}[to] / 4
	if n := float64(f.targets[to].status(f.now).Outstanding); n < part-2 || n > part+2 {
		t.Errorf("target %d has %v of 400, want about %v", to, n, part)
	}
	// Calls that begin otherwise, or when affinity is off, are not kept together.
	f = newField(t, 4, "weighted affinity=off", nil)
	seen := map[int]bool{}
	for range 100 {
		seen[f.plan(key)[0].Index] = true
	}
	if len(seen) != 4 {
		t.Errorf("affinity=off: %d of 4 targets", len(seen))
	}
}

func TestKey(t *testing.T) {
	long := strings.Repeat("x", keyed)
	seen := map[Key]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"a\x00"}, {"abcdefgh"}, {"abcdefgh\x00"}, {"hgfedcba"}, {long}, {long[1:]}} {
		k := Key(0)
		for _, p := range parts {
			k = k.Add(p)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[k] = fmt.Sprint(parts)
	}
	// The same in every process and release: nodes that share a load must agree.
	if k := Key(0).Add("arn:aws:bedrock").Add("You are helpful."); k != 0x5da1e86dfcebef6b {
		t.Errorf("key %#x", uint64(k))
	}
}

func TestWarmUp(t *testing.T) {
	f := newField(t, 2, "default", nil)
	f.fail(0, 5, Unreachable)
	f.now = f.now.Add(time.Second)
	f.serve(0, 2, time.Millisecond)
	// Its share grows from a tenth to the whole within 3 s.
	for _, c := range []struct {
		after time.Duration
		share float64
	}{{0, 0.1}, {1500 * time.Millisecond, 0.5}, {2700 * time.Millisecond, 0.9}, {3 * time.Second, 1}} {
		at, first := f.now.Add(c.after), 0
		const n = 20_000
		for range n {
			if f.Plan(nil, at, 0, true)[0].Index == 0 {
				first++
			}
		}
		if got := float64(first) / n; got < c.share-0.02 || got > c.share+0.02 {
			t.Errorf("after %v: a share of %v, want %v", c.after, got, c.share)
		}
	}
}

// TestEjection: outliers among the others are left out for a time, and never more than the stated share.
func TestEjection(t *testing.T) {
	for name, c := range map[string]struct {
		state func(f *field)
		out   int // of four
		later int // when their time is over, and there is nothing new
	}{
		"alike": {func(f *field) { each(f, func(i int) { f.serve(i, 20, time.Second) }) }, 0, 0},
		"one is slow": {func(f *field) {
			each(f, func(i int) { f.serve(i, 20, 200*time.Millisecond) })
			f.serve(1, 60, 2*time.Second)
		}, 1, 0},
		"one is slow, in little": {func(f *field) {
			each(f, func(i int) { f.serve(i, 20, time.Millisecond) })
			f.serve(1, 60, 50*time.Millisecond)
		}, 0, 0},
		"one fails a third": {func(f *field) {
			each(f, func(i int) { f.serve(i, 20, time.Second) })
			for range 5 {
				f.fail(1, 2, Failed)
				f.serve(1, 1, time.Second)
			}
		}, 1, 0},
		"all fail a third": {func(f *field) {
			each(f, func(i int) {
				for range 7 {
					f.serve(i, 2, time.Second)
					f.fail(i, 1, Failed)
				}
			})
		}, 0, 0},
		"too few calls to say": {func(f *field) { f.serve(0, 1, 10*time.Millisecond); f.serve(1, 4, 10*time.Second) }, 0, 0},
		"two fail too much, one may be out": {func(f *field) {
			f.members = f.members[:3]
			each(f, func(i int) {
				for n := range 60 {
					if i < 2 && n%2 == 0 && n%20 < 18 { // 45%, which no breaker minds
						f.fail(i, 1, Failed)
					} else {
						f.serve(i, 1, time.Second)
					}
				}
			})
		}, 1, 0},
		"three are slow, two may be out": {func(f *field) {
			f.serve(0, 20, 10*time.Millisecond)
			f.serve(1, 20, 100*time.Second)
			f.serve(2, 20, 10*time.Second)
			f.serve(3, 20, time.Second)
		}, 2, 1}, // the third, for whom there was no room
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 4, "weighted", nil)
			f.now = f.now.Add(time.Hour)
			c.state(f)
			count := func() (n int) {
				for i, s := range f.plan(0) {
					if s.Standing == Ejected {
						n++
						if i < len(f.members)-c.out {
							t.Error("one that is left out goes before others")
						}
					}
				}
				return n
			}
			for range 2 { // and nobody joins them
				if n := count(); n != c.out {
					t.Errorf("%d are left out, want %d", n, c.out)
				}
				f.now = f.now.Add(judgeEvery)
			}
			f.now = f.now.Add(8*time.Second + time.Millisecond)
			c.out = c.later
			if n := count(); n != c.later {
				t.Errorf("%d are left out later, want %d", n, c.later)
			}
		})
	}
}

// TestWarmUpAfterEjection: who was left out has its share back little by little, too.
func TestWarmUpAfterEjection(t *testing.T) {
	f := newField(t, 3, "weighted", nil)
	f.now = f.now.Add(time.Hour)
	each(f, func(i int) { f.serve(i, 50, 15*time.Millisecond) })
	f.serve(2, 50, 400*time.Millisecond)
	f.plan(0)
	f.now = f.now.Add(10*time.Second + 10*time.Millisecond)
	first := 0
	for range 3000 {
		if f.plan(0)[0].Index == 2 {
			first++
		}
	}
	if first < 50 || first > 170 {
		t.Errorf("it goes first %d times of 3000, want a tenth of its third", first)
	}
}

// TestAfterEjection: a target that was slow is back for good when it is fast again, and not when it is not.
func TestAfterEjection(t *testing.T) {
	for name, c := range map[string]struct {
		then time.Duration
		out  bool
	}{"fast again": {15 * time.Millisecond, false}, "still slow": {400 * time.Millisecond, true}} {
		f := newField(t, 3, "weighted", nil)
		f.now = f.now.Add(time.Hour)
		out := func() bool {
			for _, s := range f.plan(0) {
				if s.Index == 2 && s.Standing == Ejected {
					return true
				}
			}
			return false
		}
		each(f, func(i int) { f.serve(i, 50, 15*time.Millisecond) })
		f.serve(2, 50, 400*time.Millisecond)
		if !out() {
			t.Fatal("it is not left out")
		}
		f.serve(2, 20, 400*time.Millisecond) // were under way
		f.now = f.now.Add(10*time.Second + time.Millisecond)
		f.plan(0)
		for range 3 {
			for i, d := range []time.Duration{15 * time.Millisecond, 15 * time.Millisecond, c.then} {
				f.serve(i, 3, d)
			}
			f.now = f.now.Add(time.Second)
		}
		if out() != c.out {
			t.Errorf("%s: left out %v", name, !c.out)
		}
	}
}

// TestIdleIsNoReference: a target that is as slow as models are is not left out because another has had next to nothing to do:
// what is known of that one is old, or is of a single short answer.
func TestIdleIsNoReference(t *testing.T) {
	for name, c := range map[string]struct {
		n int           // calls that the other has answered, in a moment of failover
		d time.Duration // each
	}{"as slow, long ago": {20, 2 * time.Second}, "one short answer": {1, 50 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 2, "default", nil)
			f.now = f.now.Add(time.Hour)
			f.serve(0, 50, 2*time.Second)
			f.serve(1, c.n, c.d)
			for second := range 300 {
				f.now = f.now.Add(time.Second)
				if p := f.plan(0); p[0].Index != 0 {
					t.Fatalf("after %d s the source is %s", second, p[1].Why())
				}
				f.serve(0, 5, 2*time.Second)
			}
		})
	}
}

// TestSlowBeforeIdle: a target that has all the calls is left out when it becomes much slower than those behind it were, for as
// long as it takes to find out whether they are still: when they are not, it has its calls back.
func TestSlowBeforeIdle(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		other  time.Duration // that the other takes now
		most   int           // calls of 1,500 that the first may have
		least  int
	}{
		"default, the other is fast":       {"default", 50 * time.Millisecond, 200, 0},
		"priority, the other is fast":      {"priority r0 r1", 50 * time.Millisecond, 200, 0},
		"default, the other is slow, too":  {"default", 2 * time.Second, 1500, 1380},
		"priority, the other is slow, too": {"priority r0 r1", 2 * time.Second, 1500, 1380},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 2, c.policy, nil)
			f.now = f.now.Add(time.Hour)
			f.serve(1, 20, 50*time.Millisecond)
			for range 600 {
				f.now = f.now.Add(time.Second)
				if p := f.plan(0); p[0].Index != 0 {
					t.Fatalf("while all is well the first is %s", p[1].Why())
				}
				f.serve(0, 5, 60*time.Millisecond)
			}
			first := 0
			for range 300 {
				f.now = f.now.Add(time.Second)
				for range 5 {
					if f.plan(0)[0].Index == 0 {
						first++
						f.serve(0, 1, 2*time.Second)
					} else {
						f.serve(1, 1, c.other)
					}
				}
			}
			if first < c.least || first > c.most {
				t.Errorf("the slow one has %d of 1,500 calls, want %d to %d", first, c.least, c.most)
			}
		})
	}
}

func each(f *field, do func(i int)) {
	for i := range f.targets {
		do(i)
	}
}

// TestPermutation: whatever happens, a plan has each member once, and nothing else.
func TestPermutation(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	policies := []string{"default", "latency", "priority r3 r1", "weighted", "weighted r1=3 r2=0", "cost", "default affinity=off"}
	for range 300 {
		n := 1 + r.IntN(30)
		f := newField(t, n, policies[r.IntN(len(policies))], func(_ int, m *Member) { m.Price = r.Int64N(3) - 1 })
		for range 20 {
			i := r.IntN(n)
			switch r.IntN(5) {
			case 0:
				f.fail(i, r.IntN(7), Outcome(r.IntN(int(Unreachable)+1)))
			case 1:
				f.serve(i, r.IntN(7), time.Duration(r.Int64N(1e10)))
			case 2:
				f.busy(i, r.IntN(7))
			case 3:
				f.now = f.now.Add(time.Duration(r.Int64N(3e9)))
			}
			seen := make([]bool, n)
			p := f.Plan(make([]Step, 1, 32), f.now, Key(r.Uint64N(2)*r.Uint64()), r.IntN(2) == 0)
			if len(p) != n+1 || p[0] != (Step{}) {
				t.Fatalf("%d steps for %d members", len(p)-1, n)
			}
			for j, s := range p[1:] {
				if seen[s.Index] {
					t.Fatalf("member %d stands twice", s.Index)
				}
				seen[s.Index] = true
				if j > 0 && s.Standing < p[j].Standing {
					t.Fatalf("standing %d after %d", s.Standing, p[j].Standing)
				}
			}
		}
	}
}

func TestPlanAllocates(t *testing.T) {
	for _, policy := range []string{"default", "latency", "weighted", "cost"} {
		f := newField(t, 30, policy, nil)
		var buffer [32]Step
		key := Key(0).Add("key")
		if n := testing.AllocsPerRun(100, func() { f.Plan(buffer[:0], f.now, key, true) }); n != 0 {
			t.Errorf("%s: %v allocations", policy, n)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1, 3, 30} {
		for _, policy := range []string{"default", "latency", "weighted"} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				f := newField(b, n, policy, nil)
				var buffer [32]Step
				b.ReportAllocs()
				for b.Loop() {
					f.Plan(buffer[:0], f.now, 0, true)
				}
			})
		}
	}
}

func BenchmarkAttempt(b *testing.B) {
	f := newField(b, 1, "default", nil)
	b.ReportAllocs()
	for b.Loop() {
		a, _ := f.targets[0].Begin(f.now, Try{})
		a.First(f.now)
		a.End(f.now, Answered, 0, "")
	}
}

// TestLatencyFound: by latency, a target that was never asked, or not for long, is asked by one call, and the calls beside
// that go where the best is known.
func TestLatencyFound(t *testing.T) {
	f := newField(t, 3, "latency", nil)
	f.now = f.now.Add(time.Hour)
	f.serve(0, 30, 100*time.Millisecond)
	f.now = f.now.Add(time.Second)
	var under []Attempt
	for i, want := range []string{"1", "2", "0", "0"} {
		p := f.plan(0)[0].Index
		if fmt.Sprint(p) != want {
			t.Fatalf("call %d goes to %d, want %s", i, p, want)
		}
		a, _ := f.targets[p].Begin(f.now, Try{Stream: true})
		under = append(under, a)
	}
	for i, d := range []time.Duration{30 * time.Second, 50 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond} {
		under[i].First(f.now.Add(d))
		under[i].End(f.now.Add(d), Answered, 0, "")
	}
	f.now = f.now.Add(31 * time.Second)
	if p := f.plan(0); p[0].Index != 2 {
		t.Fatalf("not the fastest first: %+v", p)
	}
	// Nobody has asked the slow one for long: one call finds out, and no herd.
	f.now = f.now.Add(10 * time.Minute)
	f.serve(0, 30, 100*time.Millisecond)
	f.serve(2, 30, 50*time.Millisecond)
	if p := f.plan(0); p[0].Index != 1 {
		t.Fatalf("what is long not known is not asked: %+v", p)
	}
	f.targets[1].Begin(f.now, Try{Stream: true})
	for range 20 {
		if p := f.plan(0)[0].Index; p != 2 {
			t.Fatalf("a second call goes to %d", p)
		}
	}
}
