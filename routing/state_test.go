package routing

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// config is Defaults with numbers that are random, and the same in every run.
func config(seed uint64) Config {
	c := Defaults
	c.Rand = rand.New(rand.NewPCG(seed, 1)).Uint64
	return c
}

// TestBreaker walks a breaker through an outage, in the time of a bubble.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := New(config(1), time.Now())
		a := tb.Target(Name{"a", "us-east-1", "m"})
		b := tb.Target(Name{"a", "us-east-1", "n"}) // another model of the same server
		c := tb.Target(Name{"a", "us-west-2", "m"}) // another server of the same upstream
		try := func(tg *Target, o Outcome) Refusal {
			at, r := tg.Begin(time.Now(), Try{})
			at.End(time.Now(), o, 0, "test")
			return r
		}
		hung, _ := a.Begin(time.Now(), Try{})
		time.Sleep(time.Second)
		for i := range 4 {
			if try(a, Unreachable) != Granted {
				t.Fatalf("out after %d failures", i)
			}
		}
		if try(a, Answered) != Granted {
			t.Fatal("out before its time")
		}
		for range 5 { // the answer between has begun the count anew
			if try(a, Unreachable) != Granted {
				t.Fatal("out before its time")
			}
		}
		if try(a, Answered) != IsOut || try(b, Answered) != IsOut {
			t.Error("a server that cannot be reached is asked on")
		}
		if try(c, Answered) != Granted {
			t.Error("another server of the upstream is not asked")
		}
		if s := a.status(time.Now()); s.Health != Out || s.OutUntil != time.Now().Add(500*time.Millisecond) || s.Failure.What != "test" {
			t.Errorf("status %+v", s)
		}
		// It stays open for 500 ms, then twice as long after each trial that fails, up to 4 s.
		for _, open := range []time.Duration{500, 1000, 2000, 4000, 4000} {
			time.Sleep(open*time.Millisecond - 1)
			if try(a, Answered) != IsOut {
				t.Errorf("asked before %d ms", open)
			}
			time.Sleep(time.Nanosecond)
			first, r1 := a.Begin(time.Now(), Try{})
			_, r2 := b.Begin(time.Now(), Try{})
			if r1 != Granted || r2 != IsOut {
				t.Errorf("after %d ms: trials %v and %v, want one", open, r1, r2)
			}
			first.End(time.Now(), Unreachable, 0, "")
		}
		// A trial that is given up leaves its place to the next. Two that go well close it.
		time.Sleep(4 * time.Second)
		if try(a, Abandoned) != Granted || try(a, Answered) != Granted || a.status(time.Now()).Health != OnTrial {
			t.Error("half open")
		}
		if try(b, Answered) != Granted || a.status(time.Now()).Health != Well {
			t.Error("not closed")
		}
		// What hung since before the outage ends now, and says nothing.
		for range 10 {
			stale := hung
			stale.target.place.outstanding.Add(1)
			stale.target.outstanding[0].Add(1)
			stale.End(time.Now(), Unreachable, 0, "")
		}
		hung.End(time.Now(), Slow, 0, "")
		if try(a, Answered) != Granted {
			t.Error("opened by what was sent before the outage")
		}
		if n := a.status(time.Now()); n.Outstanding != 0 || n.ServerWork != 0 {
			t.Errorf("%d and %d calls are left", n.Outstanding, n.ServerWork)
		}
	})
}

// TestLongTrial: a trial that does not begin holds its place for as long as a server may be silent, and no longer: each such time
// another call tries whether the target is well again, and what the long one came to then counts still.
func TestLongTrial(t *testing.T) {
	for name, silence := range map[string]time.Duration{"30 s": 30 * time.Second, "for ever": 0} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			cfg := config(1)
			cfg.Silence = silence
			tg := New(cfg, now).Target(Name{"u", "", "m"})
			begin := func(want Refusal) Attempt {
				t.Helper()
				a, r := tg.Begin(now, Try{})
				if r != want {
					t.Fatalf("%v, want %v", r, want)
				}
				return a
			}
			for range 5 {
				a := begin(Granted)
				a.End(now, Failed, 0, "test")
			}
			now = now.Add(time.Second)
			long := begin(Granted)
			now = now.Add(30*time.Second - 1)
			begin(IsOut)
			now = now.Add(1)
			if silence == 0 {
				begin(IsOut)
				return
			}
			next := begin(Granted)
			begin(IsOut) // it has the place now
			next.End(now, Answered, 0, "")
			if tg.status(now).Health == Well {
				t.Fatal("closed by one trial")
			}
			long.End(now, Answered, 0, "")
			if s := tg.status(now); s.Health != Well || s.Outstanding != 0 {
				t.Errorf("%+v", s)
			}
			if n := tg.health.trials.Load(); n != 0 {
				t.Errorf("%d trials are under way", n)
			}
		})
	}
}

// TestModelBreaker: a model that fails leaves the others of its server alone, and a share of failures is enough.
func TestModelBreaker(t *testing.T) {
	start := time.Now()
	tb := New(Defaults, start)
	a, b := tb.Target(Name{"u", "", "a"}), tb.Target(Name{"u", "", "b"})
	end := func(o Outcome) {
		at, r := a.Begin(start, Try{})
		if r != Granted {
			t.Fatal("out before its time")
		}
		at.End(start, o, 0, "")
	}
	for range 10 { // never two in a row: 20 calls, half of them failures
		end(Answered)
		end(Slow)
	}
	if _, r := a.Begin(start, Try{}); r != IsOut {
		t.Error("half of all fail, and it is asked on")
	}
	if at, r := a.Begin(start, Try{Forced: true}); r != Granted {
		t.Error("nowhere else to go, and it is not asked")
	} else {
		at.First(start)
		at.End(start, Answered, 0, "")
	}
	if at, r := a.Begin(start, Try{}); r != Granted || a.status(start).Health == Well {
		t.Error("a call that was sent all the same and went well is a trial")
	} else {
		at.End(start, Abandoned, 0, "")
	}
	if _, r := b.Begin(start, Try{}); r != Granted {
		t.Error("another model is not asked")
	}
	// Once it is closed, what opened it is over.
	later := start.Add(time.Second)
	for _, o := range []Outcome{Answered, Answered, Failed} {
		at, r := a.Begin(later, Try{})
		if r != Granted {
			t.Fatal("no trial")
		}
		at.End(later, o, 0, "")
	}
	if s := a.status(later); s.Health != Well || s.Calls > 2 {
		t.Errorf("one failure after an outage: %+v", s)
	}
}

// TestBudgetOfUpstream: all models and Regions of an upstream have one budget.
func TestBudgetOfUpstream(t *testing.T) {
	c := config(1)
	c.Budget = BudgetConfig{Ratio: 0, Floor: 2}
	now := time.Now()
	tb := New(c, now)
	for i, want := range []Refusal{Granted, Granted, NoBudget} {
		tg := tb.Target(Name{"u", []string{"us-east-1", "us-west-2", "us-east-2"}[i], []string{"m", "n", "o"}[i]})
		if _, r := tg.Begin(now, Try{Again: true}); r != want {
			t.Errorf("second attempt %d: %v, want %v", i, r, want)
		}
	}
	if _, r := tb.Target(Name{"v", "us-east-1", "m"}).Begin(now, Try{Again: true}); r != Granted {
		t.Error("another upstream's budget is its own")
	}
}

// TestProbe: probes open and close a server's breaker without a call.
func TestProbe(t *testing.T) {
	now := time.Now()
	tb := New(Defaults, now)
	a, p := tb.Target(Name{"u", "", "a"}), tb.Place("u", "")
	for range 5 {
		p.Probe(now, now, errTest)
	}
	if a.status(now).Health != Out {
		t.Error("well after five probes that failed")
	}
	now = now.Add(time.Second)
	p.Probe(now, now, nil)
	p.Probe(now, now, nil)
	if a.status(now).Health != Well {
		t.Error("out after two that went well")
	}
}

type testError struct{}

func (testError) Error() string { return "test" }

var errTest = testError{}

func TestThrottle(t *testing.T) {
	now := time.Now()
	tg := New(Defaults, now).Target(Name{"u", "", "a"})
	throttle := func(wait time.Duration) {
		a, _ := tg.Begin(now, Try{})
		a.End(now, Throttled, wait, "")
	}
	rests := func(want time.Duration) {
		t.Helper()
		if got := tg.status(now).ThrottledUntil; want == 0 && !got.IsZero() || want > 0 && got.Sub(now).Round(time.Microsecond) != want {
			t.Errorf("throttled for %v, want %v", got.Sub(now), want)
		}
	}
	throttle(7 * time.Second)
	rests(7 * time.Second)
	throttle(2 * time.Second) // sooner than the last: that stands
	rests(7 * time.Second)
	now = now.Add(8 * time.Second)
	for _, want := range []time.Duration{1, 2, 4, 8, 8} {
		rests(0)
		throttle(0)
		throttle(0) // under way at the same time
		rests(want * time.Second)
		now = now.Add(want*time.Second + time.Millisecond)
	}
	a, _ := tg.Begin(now, Try{})
	a.First(now)
	a.End(now, Answered, 0, "")
	throttle(0)
	rests(time.Second)
	if tg.status(now).Health != Well {
		t.Error("a target that throttles is there")
	}
}

// TestBudget holds random traffic latert the rule, counted by hand.
func TestBudget(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	cfg := BudgetConfig{Ratio: 0.2, Floor: 10}
	for range 50 {
		var b budget
		var firsts, later []int64 // seconds
		recent := func(of []int64, now int64) (n int) {
			for _, s := range of {
				if s > now-10 {
					n++
				}
			}
			return n
		}
		for second := int64(0); second < 40; second++ {
			for range r.IntN(40) {
				if now := second*int64(time.Second) + r.Int64N(1e9); r.IntN(3) > 0 {
					b.earn(now)
					firsts = append(firsts, second)
				} else {
					want := float64(recent(later, second)+1) <= 0.2*float64(recent(firsts, second))+10
					if got := b.spend(&cfg, now); got != want {
						t.Fatalf("second %d: again %t, want %t", second, got, want)
					}
					if want {
						later = append(later, second)
					}
				}
			}
			if r.IntN(10) == 0 {
				second += r.Int64N(15) // quiet
			}
		}
	}
}

func TestLatency(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var l latency
	if l.now(1) != 0 || l.quantile(0.5) != 0 {
		t.Error("known before the first sample")
	}
	for i := range 300 {
		d := time.Duration(r.ExpFloat64() * float64(time.Second))
		l.add(int64(i)*int64(time.Millisecond), d)
	}
	var l2 latency
	var all []time.Duration
	for i := range 400 {
		d := time.Duration(r.ExpFloat64() * float64(time.Second))
		l2.add(int64(i), d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99} {
		exact := all[int(q*400)-1]
		if got := l2.quantile(q); got < exact || got > exact*5/4+4*time.Millisecond {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
	// Ten equal samples one after another count as much as is needed to follow a change.
	var c latency
	c.add(0, time.Second)
	for range 40 {
		c.add(1, 2*time.Second)
	}
	if m := time.Duration(c.now(1)); m < 1950*time.Millisecond || m > 2*time.Second {
		t.Errorf("mean %v after a change to 2s", m)
	}
	if m := time.Duration(c.now(1 + int64(20*time.Second))); m < 700*time.Millisecond || m > 800*time.Millisecond {
		t.Errorf("mean %v after 20 s in which nothing was heard, want 2s/e", m)
	}
	for i := range c.buckets {
		if b := bound(i); bucket(b-1) != i || i+1 < len(c.buckets) && bucket(b) != i+1 {
			t.Errorf("bucket %d ends at %v, which is in bucket %d", i, b, bucket(b))
		}
	}
	for range 3 * maxTotal {
		c.add(2, time.Hour*1000)
	}
	if c.total >= maxTotal || c.quantile(0.5) != bound(len(c.buckets)-1) {
		t.Errorf("%d samples, median %v", c.total, c.quantile(0.5))
	}
}

// TestImpatience: callers who leave after a minute find out a server that has stopped answering, although its own limit is longer;
// those who leave soon, or whose like wait as long as a rule, say nothing.
func TestImpatience(t *testing.T) {
	for name, c := range map[string]struct {
		n     int           // answers before
		usual time.Duration // that each took
		wait  time.Duration
		of    time.Duration // Silence
		out   bool
	}{
		"hung":           {40, time.Second, time.Minute, Defaults.Silence, true},
		"impatient":      {40, time.Second, 9 * time.Second, Defaults.Silence, false},
		"slow as usual":  {40, 20 * time.Second, time.Minute, Defaults.Silence, false},
		"not known well": {10, time.Second, time.Minute, Defaults.Silence, false},
		"more is given":  {40, time.Second, time.Minute, 4 * time.Minute, false},
		"for ever":       {40, time.Second, time.Minute, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 2, "default", nil)
			f.Table.cfg.Silence = c.of
			f.now = f.now.Add(time.Hour)
			f.serve(0, c.n, c.usual)
			var waiting []Attempt
			for range 5 {
				a, _ := f.targets[0].Begin(f.now, Try{Stream: true})
				waiting = append(waiting, a)
			}
			f.now = f.now.Add(c.wait)
			for i := range waiting {
				waiting[i].End(f.now, Abandoned, 0, "internal")
			}
			s := f.targets[0].status(f.now)
			if out := s.Health == Out; out != c.out || (f.plan(0)[0].Index != 0) != c.out || (s.Failure.What == "unanswered") != c.out {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestAlwaysOutrun: a target that answers nothing is found out by routing.silence also where no call waits for it for so long,
// because each has another beside it. One of whose server something is heard is not, nor is who is asked beside another, which has had
// more time, nor anybody where silence is for ever.
func TestAlwaysOutrun(t *testing.T) {
	for name, c := range map[string]struct {
		silence time.Duration
		before  time.Duration // that it took before, 0 is never asked
		others  bool          // another model of its server answers
		wins    int           // each so manieth call is its own to answer; 0 is none
		beside  bool          // it is the one that is asked beside another
		out     time.Duration // after that, about
	}{
		"hung":                      {30 * time.Second, time.Second, false, 0, false, 35 * time.Second},
		"hung from the start":       {30 * time.Second, 0, false, 0, false, 35 * time.Second}, // 1.3 s is taken for what calls take
		"hung, and it was slow":     {30 * time.Second, 6 * time.Second, false, 0, false, 70 * time.Second},
		"its server answers others": {30 * time.Second, time.Second, true, 0, false, 0},
		"it wins at times":          {30 * time.Second, time.Second, false, 10, false, 0},
		"it is the one beside":      {30 * time.Second, time.Second, false, 0, true, 0},
		"silence is for ever":       {0, time.Second, false, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			cfg := config(1)
			cfg.Silence, cfg.Budget.Floor = c.silence, 1000
			tb := New(cfg, now)
			tg, other := tb.Target(Name{"u", "", "m"}), tb.Target(Name{"u", "", "n"})
			call := func(tg *Target, d time.Duration, o Outcome) bool {
				a, r := tg.Begin(now, Try{Again: c.beside})
				if now = now.Add(d); o == Answered {
					a.First(now)
				}
				a.End(now, o, 0, "")
				return r == Granted
			}
			for range 50 {
				if c.before > 0 {
					call(tg, c.before, Answered)
				}
			}
			began := now
			for i := range 200 {
				o := Outrun
				if c.wins > 0 && i%c.wins == 0 {
					o = Answered
				}
				if !call(tg, 1300*time.Millisecond, o) {
					if d := now.Sub(began); c.out == 0 || d < c.out-10*time.Second || d > c.out+10*time.Second {
						t.Errorf("out after %v", d)
					}
					return
				}
				if c.others {
					call(other, time.Millisecond, Answered)
				}
			}
			if c.out != 0 {
				t.Error("nothing is heard of it, and it is asked on")
			}
		})
	}
}

// TestStatusOfIdle: who looks at a target that has been idle sees how long it took, and not what that has faded to.
func TestStatusOfIdle(t *testing.T) {
	f := newField(t, 2, "default", nil)
	f.now = f.now.Add(time.Hour)
	f.serve(0, 3, 2*time.Second)
	f.now = f.now.Add(time.Minute)
	if s := f.targets[0].status(f.now); s.Streamed.Round(time.Millisecond) != 2*time.Second || s.Whole != 0 {
		t.Errorf("%v, %v", s.Streamed, s.Whole)
	}
}

// TestAfterOutage: a target that was out for long, with calls that hung and trials that failed, has its share back once it
// has answered and warmed up. Nothing of the outage makes it an outlier among the others.
func TestAfterOutage(t *testing.T) {
	for name, how := range map[string]Outcome{"hung": Slow, "failed": Failed, "unreachable": Unreachable} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 3, "weighted", nil)
			f.now = f.now.Add(time.Hour)
			each(f, func(i int) { f.serve(i, 100, 20*time.Millisecond) })
			var hung []Attempt
			for range 60 {
				a, _ := f.targets[2].Begin(f.now, Try{Stream: true})
				hung = append(hung, a)
			}
			end := func(as []Attempt) {
				for i := range as {
					as[i].End(f.now, how, 0, "test")
				}
			}
			f.now = f.now.Add(time.Second)
			end(hung[:50])
			for range 40 { // 20 s, in which every trial fails
				f.now = f.now.Add(500 * time.Millisecond)
				f.serve(0, 20, 20*time.Millisecond)
				f.serve(1, 20, 20*time.Millisecond)
				if a, refusal := f.targets[2].Begin(f.now, Try{Stream: true}); refusal == Granted {
					f.now = f.now.Add(time.Second)
					end([]Attempt{a})
				}
				f.plan(0)
			}
			for range 10 {
				f.now = f.now.Add(500 * time.Millisecond)
				if a, refusal := f.targets[2].Begin(f.now, Try{Stream: true}); refusal == Granted {
					a.First(f.now.Add(20 * time.Millisecond))
					a.End(f.now.Add(30*time.Millisecond), Answered, 0, "")
				}
			}
			f.now = f.now.Add(time.Second)
			end(hung[50:]) // some ask for patience to the last
			f.now = f.now.Add(3 * time.Second)
			first := 0
			for range 900 {
				p := f.plan(0)
				if p[0].Index == 2 {
					first++
				}
			}
			if s := f.targets[2].status(f.now); first < 250 || s.Health != Well || s.Streamed > time.Second/2 {
				t.Errorf("it goes first %d times of 900; %+v", first, s)
			}
		})
	}
}

// TestBrokenStreams: a stream that breaks is one failure, not a success and a failure.
func TestBrokenStreams(t *testing.T) {
	now := time.Now()
	tg := New(Defaults, now).Target(Name{"u", "", "a"})
	begin := func() Attempt {
		a, r := tg.Begin(now, Try{Stream: true})
		if r != Granted {
			t.Fatal("out before its time")
		}
		a.First(now)
		return a
	}
	for i := range 20 {
		one, other := begin(), begin()
		now = now.Add(100 * time.Millisecond)
		one.End(now, Failed, 0, "")
		if rate, calls := tg.health.rate(tg.table.since(now), wholeWindow); calls != 2*i+2 || rate != 0.5 {
			if i < 9 {
				t.Fatalf("%v of %d calls failed after %d pairs", rate, calls, i+1)
			}
		}
		if out := tg.status(now).Health == Out; out != (i >= 9) {
			t.Fatalf("out %t after %d pairs of which one breaks", out, i+1)
		} else if out {
			return
		}
		other.End(now, Answered, 0, "")
	}
}

// TestStreamsBrokenInARow: a target whose streams all break is found out where calls are too few to take shares of, too, and
// whether one runs at a time or several. Answers that come to their end between them begin the count anew.
func TestStreamsBrokenInARow(t *testing.T) {
	for name, c := range map[string]struct {
		beside int            // streams that begin before one breaks
		ends   func(int) bool // whether a stream ends well after the one of that number
		stream bool
		out    bool
	}{
		"one at a time":              {0, nil, true, true},
		"three at a time":            {3, nil, true, true},
		"whole answers between them": {0, func(int) bool { return true }, false, false},
		"every fifth stream ends":    {0, func(i int) bool { return i%4 == 3 }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			tg := New(Defaults, now).Target(Name{"u", "", "a"})
			begin := func(stream bool) (a Attempt, ok bool) {
				a, r := tg.Begin(now, Try{Stream: stream})
				a.First(now)
				return a, r == Granted
			}
			var under []Attempt
			for range c.beside {
				a, _ := begin(true)
				under = append(under, a)
			}
			for i := range 12 {
				a, ok := begin(true)
				if !ok {
					if !c.out || i != 5 {
						t.Errorf("out after %d", i)
					}
					return
				}
				under = append(under, a)
				now = now.Add(3 * time.Second)
				under[0].End(now, Failed, 0, "")
				under = under[1:]
				if c.ends != nil && c.ends(i) {
					a, _ := begin(c.stream)
					a.End(now, Answered, 0, "")
				}
			}
			if c.out {
				t.Error("every stream breaks, and it is asked on")
			}
		})
	}
}

// TestWatch: what changes is told once, when it does.
func TestWatch(t *testing.T) {
	now := time.Now()
	tb := New(Defaults, now)
	var got []Change
	tb.Watch(func(c Change) { got = append(got, c) })
	a, server := tb.Target(Name{"u", "r", "m"}), tb.Place("u", "r")
	fail := func(o Outcome) {
		at, _ := a.Begin(now, Try{Forced: true})
		at.End(now, o, 0, "")
	}
	for range 20 { // of which all but the first five are of a target that is out, or its trials
		fail(Failed)
		now = now.Add(300 * time.Millisecond)
	}
	now = now.Add(time.Minute)
	for range 3 {
		fail(Answered)
	}
	for range 6 {
		server.Probe(now, now, errTest)
	}
	now = now.Add(time.Minute)
	for range 3 {
		server.Probe(now, now, nil)
	}
	model, home := Name{"u", "r", "m"}, Name{"u", "r", ""}
	want := []Change{{model, IsDown, 500 * time.Millisecond}, {model, Ready, 0}, {home, IsDown, 500 * time.Millisecond}, {home, Ready, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestSilence: how long a call waits at a server depends on what is known of the target, and on what others hear of it.
func TestSilence(t *testing.T) {
	start := time.Now()
	for name, c := range map[string]struct {
		before func(tg *Target) // until start
		during func(tg *Target) // at start + 1 min
		want   time.Duration    // from then on
		trial  bool             // it was out before, and it is start + 1 s
	}{
		"nothing is known":    {nil, nil, time.Minute, false},
		"it is fast":          {func(tg *Target) { answer(tg, start, 100, time.Second) }, nil, 0, false},
		"it is slow":          {func(tg *Target) { answer(tg, start, 1, time.Minute) }, nil, 10*65536*time.Millisecond - time.Minute, false},
		"on trial, and fast":  {func(tg *Target) { answer(tg, start.Add(-2*time.Minute), 100, time.Millisecond) }, nil, 2 * time.Second, true},
		"on trial, and slow":  {func(tg *Target) { answer(tg, start.Add(-2*time.Minute), 1, 800*time.Millisecond) }, nil, 8*time.Second + 960*time.Millisecond - time.Second, true},
		"on trial, not known": {nil, nil, 11 * time.Second, true},
		"it is slow at times": {func(tg *Target) {
			answer(tg, start, 97, time.Second)
			answer(tg, start, 3, 65*time.Second) // in the distribution that is up to 65.536 s
		}, nil, 10*65536*time.Millisecond - time.Minute, false},
		"another is answered": {func(tg *Target) { answer(tg, start, 1, time.Second) }, func(tg *Target) {
			answer(tg.table.Target(Name{"u", "", "another"}), start.Add(time.Minute), 1, time.Second)
		}, 30 * time.Second, false},
		"another is being answered": {func(tg *Target) { answer(tg, start, 1, time.Second) }, func(tg *Target) {
			a, _ := tg.table.Target(Name{"u", "", "another"}).Begin(start, Try{})
			a.Heard()
		}, 30 * time.Second, false},
		"a probe is answered": {func(tg *Target) { answer(tg, start, 1, time.Second) }, func(tg *Target) {
			tg.table.Place("u", "").Probe(start, start.Add(time.Minute), nil)
		}, 30 * time.Second, false},
		"others give it up, or leave": {func(tg *Target) { answer(tg, start, 1, time.Second) }, func(tg *Target) {
			for _, o := range []Outcome{Slow, Abandoned} {
				a, _ := tg.Begin(start, Try{Stream: true})
				a.End(start.Add(time.Minute), o, 0, "")
			}
		}, 0, false},
		"another fails to reach it": {func(tg *Target) { answer(tg, start, 1, time.Second) }, func(tg *Target) {
			a, _ := tg.Begin(start, Try{})
			a.End(start.Add(time.Minute), Unreachable, 0, "")
		}, 0, false},
		"whole answers tell nothing of streams": {func(tg *Target) {
			a, _ := tg.Begin(start.Add(-time.Hour), Try{})
			a.End(start, Answered, 0, "")
		}, nil, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			tg := New(Defaults, start.Add(-2*time.Hour)).Target(Name{"u", "", "m"})
			if c.before != nil {
				c.before(tg)
			}
			if c.trial {
				for range 5 {
					a, _ := tg.Begin(start.Add(-time.Minute), Try{})
					a.End(start.Add(-time.Minute), Slow, 0, "")
				}
			}
			a, _ := tg.Begin(start, Try{Stream: true})
			if c.during != nil {
				c.during(tg)
			}
			at := start.Add(time.Minute)
			if c.trial {
				at = start.Add(time.Second)
			}
			if got := a.Silence(at); got != c.want {
				t.Errorf("it waits for %v more, want %v", got, c.want)
			}
		})
	}
}

// answer has tg answer n streams that begin after d, and end at now.
func answer(tg *Target, now time.Time, n int, d time.Duration) {
	for range n {
		a, _ := tg.Begin(now.Add(-d), Try{Stream: true})
		a.First(now)
		a.End(now, Answered, 0, "")
	}
}
