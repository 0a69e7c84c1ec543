package invoke_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/routing"
	"outcrop/upstream"
)

func policy(t testing.TB, s string) *routing.Policy {
	t.Helper()
	p, err := routing.ParsePolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func refuse(e *fault.Error) scripted {
	return func(context.Context, *upstream.Request) (converse.Stream, error) { return nil, e }
}

func answers(context.Context, *upstream.Request) (converse.Stream, error) {
	return events(nil, whole(12, 5)...), nil
}

// counting counts what f is asked.
func counting(n *atomic.Int64, f scripted) scripted {
	return func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
		n.Add(1)
		return f(ctx, r)
	}
}

// TestFailover: the source Region has trouble, and another answers every call. How often the source is asked on depends on
// the trouble.
func TestFailover(t *testing.T) {
	const calls = 30
	for name, c := range map[string]struct {
		source scripted
		asked  int64
	}{
		"throttled, and says for how long": {refuse(&fault.Error{Kind: fault.Throttled, RetryAfter: time.Hour}), 1},
		"cannot be reached":                {refuse(fault.New(fault.Unavailable, "no")), 5},
		"answers 500":                      {refuse(&fault.Error{Kind: fault.ModelError, OriginalStatus: 500}), 5},
		"is loading the model":             {refuse(fault.New(fault.ModelNotReady, "no")), 5},
		"does not begin in time":           {refuse(fault.New(fault.ModelTimeout, "no")), 5},
	} {
		t.Run(name, func(t *testing.T) {
			var source, other atomic.Int64
			r := newRig(t, up("east", []string{"us-east-1"}, counting(&source, c.source)), up("west", []string{"us-west-2"}, counting(&other, answers)))
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } }) // nothing heals
			for range calls {
				call := r.call("us."+haiku, true)
				s, err := r.Stream(t.Context(), call)
				if err == nil {
					_, err = converse.Collect(s.Events)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if source.Load() != c.asked || other.Load() != calls {
				t.Errorf("the source was asked %d times, want %d; the other %d times", source.Load(), c.asked, other.Load())
			}
		})
	}
}

// TestModelAndServer: what a server says of one model is no reason to leave its other models alone; a server that cannot be
// reached is.
func TestModelAndServer(t *testing.T) {
	const other = "amazon.nova-lite-v1:0"
	for name, c := range map[string]struct {
		err    *fault.Error
		server bool
	}{
		"503":                {upstream.Classify(&upstream.Refusal{Upstream: "east", Status: 503, Message: "no healthy deployment"}), false},
		"529":                {upstream.Classify(&upstream.Refusal{Upstream: "east", Status: 529, Type: "overloaded_error"}), false},
		"500":                {upstream.Classify(&upstream.Refusal{Upstream: "east", Status: 500}), false},
		"connection refused": {upstream.Unreachable(context.Background(), "east", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
		"connection lost":    {upstream.Broken(context.Background(), "east", false, io.ErrUnexpectedEOF), true},
	} {
		t.Run(name, func(t *testing.T) {
			var healthy, sick atomic.Int64
			east := func(ctx context.Context, q *upstream.Request) (converse.Stream, error) {
				if q.ModelID == other {
					healthy.Add(1)
					return answers(ctx, q)
				}
				sick.Add(1)
				return nil, c.err
			}
			r := newRig(t, up("east", []string{"us-east-1"}, east), up("west", []string{"us-west-2"}, answers))
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } }) // nothing heals
			for range 8 {
				if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Do(t.Context(), r.call("us."+other, false)); err != nil {
				t.Fatal(err)
			}
			if sick.Load() != 5 || (healthy.Load() == 0) != c.server {
				t.Errorf("the model that fails was asked %d times, the other %d times", sick.Load(), healthy.Load())
			}
		})
	}
}

// TestAllOut: a call whose targets are all known to be down tries the next one too when the first says no at once, and is not
// kept waiting a second time when it was long in saying so.
func TestAllOut(t *testing.T) {
	for name, c := range map[string]struct {
		err      *fault.Error
		attempts int
	}{
		"refused":                {fault.Wrap(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, fault.Unavailable, "no"), 2},
		"no connection in time":  {fault.Wrap(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, fault.Unavailable, "no"), 1},
		"does not begin in time": {fault.New(fault.ModelTimeout, "no"), 1},
		"503 at once":            {fault.Wrap(errors.New("busy"), fault.Unavailable, "no"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, up("a", []string{"us-east-1"}, refuse(c.err)), up("b", []string{"us-west-2"}, refuse(c.err)))
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } }) // nothing heals
			for range 8 {
				if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); !fault.Is(err, c.err.Kind) {
					t.Fatal(err)
				}
			}
			call := r.call("us."+haiku, false)
			call.Header = map[string][]string{}
			if _, err := r.Do(t.Context(), call); !fault.Is(err, c.err.Kind) || call.Header["X-Outcrop-Attempts"][0] != strconv.Itoa(c.attempts) {
				t.Errorf("%v after %v attempts, want %d", err, call.Header["X-Outcrop-Attempts"], c.attempts)
			}
		})
	}
}

// TestThrottledIsLeftAlone: a second attempt does not go to who has asked to be left alone.
func TestThrottledIsLeftAlone(t *testing.T) {
	var west atomic.Int64
	r := newRig(t, up("east", []string{"us-east-1"}, refuse(&fault.Error{Kind: fault.ModelError, OriginalStatus: 500})),
		up("west", []string{"us-west-2"}, counting(&west, refuse(&fault.Error{Kind: fault.Throttled, RetryAfter: time.Hour}))))
	now := time.Now()
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } })
	for range 4 {
		if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err == nil {
			t.Fatal("it is answered")
		}
	}
	if west.Load() != 1 {
		t.Errorf("it was asked %d times", west.Load())
	}
}

// TestCallersWhoLeave: that callers leave says nothing of a server, however its answer breaks then.
func TestCallersWhoLeave(t *testing.T) {
	var leave context.CancelFunc
	r := newRig(t, up("east", nil, func(context.Context, *upstream.Request) (converse.Stream, error) {
		leave()
		return nil, fault.New(fault.Unavailable, "no")
	}))
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave = cancel
		if _, err := r.Do(ctx, r.call(haiku, false)); err == nil {
			t.Fatal("it is answered")
		}
	}
	if s := r.Targets()[0]; s.Health != routing.Well || !s.Failure.At.IsZero() || s.Outstanding != 0 {
		t.Errorf("%+v", s)
	}
}

// TestPanic: a provider, or a consumer, that panics leaves neither an open entry nor a call that is counted as under way.
func TestPanic(t *testing.T) {
	for name, c := range map[string]struct {
		up   scripted
		take func()
	}{
		"the provider": {func(context.Context, *upstream.Request) (converse.Stream, error) { panic("a bug") }, func() {}},
		"its stream": {func(context.Context, *upstream.Request) (converse.Stream, error) {
			return func(yield func(converse.Event, error) bool) { yield(start(), nil); panic("a bug") }, nil
		}, func() {}},
		"the consumer": {answers, func() { panic("a bug") }},
	} {
		for _, hedge := range []string{"off", "10m"} {
			if hedge != "off" && name != "the consumer" {
				continue // of these attempts in a race see TestHedgePanic
			}
			t.Run(name+", hedge "+hedge, func(t *testing.T) {
				r := newRig(t, up("east", []string{"us-east-1"}, c.up), up("west", []string{"us-west-2"}, answers))
				r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge="+hedge) })
				func() {
					defer func() {
						if recover() == nil {
							t.Error("the panic is gone")
						}
					}()
					s, err := r.Stream(t.Context(), r.call("us."+haiku, true))
					if err != nil {
						t.Fatal(err)
					}
					for range s.Events {
						c.take()
					}
				}()
				es := r.entries(t)
				if len(es) != 1 || es[0].Status != ledger.Failed || es[0].Reason != "panic" || es[0].Upstream != "east" || !es[0].Estimated {
					t.Errorf("%+v", es)
				}
				for _, s := range r.Targets() {
					if s.Outstanding != 0 || s.ServerWork != 0 {
						t.Errorf("%d calls are left at %s", s.Outstanding, s.Upstream)
					}
				}
			})
		}
	}
}

// rebuilt is the rig's Invoker with another configuration.
func rebuilt(r *rig, change func(*invoke.Config)) *invoke.Invoker {
	c := r.Invoker.Config
	c.Routing = nil
	change(&c)
	return invoke.New(c)
}

// TestRetryBudget: while one Region answers nothing but errors that no breaker stops, the other has at most its budget of
// second attempts; what is above it is told to the caller.
func TestRetryBudget(t *testing.T) {
	var first, second atomic.Int64
	r := newRig(t, up("east", []string{"us-east-1"}, counting(&first, refuse(&fault.Error{Kind: fault.ModelError, OriginalStatus: 500}))), up("west", []string{"us-west-2"}, counting(&second, answers)))
	now := time.Now()
	cfg := routing.Defaults
	cfg.Breaker.Failures, cfg.Breaker.Volume, cfg.Ejection.Share = 1<<30, 1<<30, 0
	cfg.Budget.Floor = 10
	r.Invoker = rebuilt(r, func(c *invoke.Config) {
		c.Clock = func() time.Time { return now }
		c.Routing = routing.New(cfg, now)
	})
	failed := 0
	for range 40 {
		if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
			if !fault.Is(err, fault.ModelError) {
				t.Fatal(err)
			}
			failed++
		}
	}
	// Each call earns a fifth: after the 12th the floor is used up, and from the 13th on one in five may fall to the other.
	if first.Load() != 40 || second.Load() != 18 || failed != 22 {
		t.Errorf("%d first attempts, %d second ones, %d failed", first.Load(), second.Load(), failed)
	}
}

// TestHedge lets the first target hang or fail: what the other answers is the call's, and what the first may have cost is
// charged beside it.
func TestHedge(t *testing.T) {
	hang := func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	hangLater := func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		return func(yield func(converse.Event, error) bool) {
			<-ctx.Done()
			yield(converse.Event{}, ctx.Err())
		}, nil
	}
	// waiting answers as f once the other has been asked.
	type gate = chan struct{}
	waiting := func(g gate, f scripted) scripted {
		return func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
			select {
			case <-g:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return f(ctx, r)
		}
	}
	opening := func(g gate, f scripted) scripted {
		return func(ctx context.Context, r *upstream.Request) (converse.Stream, error) { close(g); return f(ctx, r) }
	}
	timeout := refuse(fault.New(fault.ModelTimeout, "no"))
	var invoker atomic.Pointer[invoke.Invoker]
	throttled := func(v *invoke.Invoker) bool {
		return slices.ContainsFunc(v.Targets(), func(s routing.Status) bool { return !s.ThrottledUntil.IsZero() })
	}
	for name, c := range map[string]struct {
		east, west func(gate) scripted
		err        fault.Kind
		by         string
		lost       int64
	}{
		"the first hangs":                   {func(gate) scripted { return hang }, func(gate) scripted { return answers }, 0, "west", 1},
		"the first hangs with its events":   {func(gate) scripted { return hangLater }, func(gate) scripted { return answers }, 0, "west", 1},
		"the second hangs":                  {func(g gate) scripted { return waiting(g, answers) }, func(g gate) scripted { return opening(g, hang) }, 0, "east", 1},
		"the first fails beside the second": {func(g gate) scripted { return waiting(g, timeout) }, func(g gate) scripted { return opening(g, answers) }, 0, "west", 1},
		"the second fails":                  {func(g gate) scripted { return waiting(g, answers) }, func(g gate) scripted { return opening(g, timeout) }, 0, "east", 1},
		"the second is refused": {func(g gate) scripted {
			return func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
				<-g
				for !throttled(invoker.Load()) { // else it may begin before the refusal has come
					time.Sleep(time.Millisecond)
				}
				return answers(ctx, r)
			}
		}, func(g gate) scripted { return opening(g, refuse(fault.New(fault.Throttled, "no"))) }, 0, "east", -1},
		"both fail": {func(g gate) scripted { return waiting(g, timeout) }, func(g gate) scripted { return opening(g, timeout) }, fault.ModelTimeout, "", 1},
	} {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, stream %t", name, stream), func(t *testing.T) {
				g := make(gate)
				var running atomic.Int64
				watched := func(f scripted) scripted {
					return func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
						running.Add(1)
						defer running.Add(-1)
						return f(ctx, r)
					}
				}
				r := newRig(t, up("east", []string{"us-east-1"}, watched(c.east(g))), up("west", []string{"us-west-2"}, watched(c.west(g))))
				r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=1ms") })
				invoker.Store(r.Invoker)
				call := r.call("us."+haiku, stream)
				var err error
				if stream {
					var s *invoke.Streaming
					if s, err = r.Stream(t.Context(), call); err == nil {
						_, err = converse.Collect(s.Events)
					}
				} else {
					_, err = r.Do(t.Context(), call)
				}
				if c.err == 0 && err != nil || c.err != 0 && !fault.Is(err, c.err) {
					t.Fatalf("error %v", err)
				}
				if n := running.Load(); n != 0 {
					t.Errorf("%d attempts run on", n)
				}
				es := r.entries(t)
				if len(es) != 1 {
					t.Fatalf("%d entries", len(es))
				}
				e := es[0]
				lost := max(c.lost, 0)
				want := 250*12 + 1250*5 + 250*6*lost
				if c.err != 0 {
					want = 250 * 6 * (1 + lost)
				}
				nano, unrated := e.Cost()
				if c.by != "" && e.Upstream != c.by || e.Attempts != 2 || nano != want || unrated || e.Estimated != (c.err != 0 || lost > 0) {
					t.Errorf("served by %q, %d attempts, %d nano-USD, want %d, estimated %t, reason %q", e.Upstream, e.Attempts, nano, want, e.Estimated, e.Reason)
				}
				if lost > 0 && !strings.Contains(e.Reason, "was lost") {
					t.Errorf("reason %q", e.Reason)
				}
				for _, s := range r.Routing.Status(time.Now()) {
					if s.Outstanding != 0 || s.ServerWork != 0 {
						t.Errorf("%d and %d calls are left at %s", s.Outstanding, s.ServerWork, s.Upstream)
					}
				}
			})
		}
	}
}

// TestHedgeEndsTheLoser as soon as another has begun, and not when that has ended; and a second attempt has no hedge.
func TestHedgeEndsTheLoser(t *testing.T) {
	ended := make(chan struct{})
	var third atomic.Int64
	r := newRig(t, up("first", []string{"us-east-1"}, func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}), up("second", []string{"us-west-2"}, func(context.Context, *upstream.Request) (converse.Stream, error) {
		return func(yield func(converse.Event, error) bool) {
			if !yield(start(), nil) {
				return
			}
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("the loser runs on beside the winner")
			}
			for _, e := range end(12, 5) {
				if !yield(e, nil) {
					return
				}
			}
		}, nil
	}))
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=1ms") })
	if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
		t.Fatal(err)
	}

	standby := up("third", nil, counting(&third, answers))
	standby.Standby = true
	r = newRig(t, up("first", []string{"us-east-1"}, refuse(fault.New(fault.Unavailable, "no"))), up("second", []string{"us-west-2"}, func(ctx context.Context, q *upstream.Request) (converse.Stream, error) {
		time.Sleep(20 * time.Millisecond)
		return answers(ctx, q)
	}), standby)
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=1ms") })
	if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil || third.Load() != 0 {
		t.Errorf("%v, %d hedges of a second attempt", err, third.Load())
	}
}

// TestHedgeIsNoFailure: a call whose first target fails at last falls to one that is known to be down, as it does without a hedge:
// that there was nobody to ask beside the first is no reason to give up.
func TestHedgeIsNoFailure(t *testing.T) {
	for name, c := range map[string]struct {
		err *fault.Error
		by  string
	}{
		"it refuses":                {&fault.Error{Kind: fault.ModelError, OriginalStatus: 500}, "second"},
		"it does not begin in time": {fault.New(fault.ModelTimeout, "no"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			first := func(context.Context, *upstream.Request) (converse.Stream, error) {
				time.Sleep(30 * time.Millisecond) // many times the hedge
				return nil, c.err
			}
			r := newRig(t, up("first", []string{"us-east-1"}, first), up("second", []string{"us-west-2"}, answers))
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) {
				cfg.Clock, cfg.Policy = func() time.Time { return now }, policy(t, "default hedge=1ms")
				cfg.Routing = routing.New(routing.Defaults, now)
			})
			down := r.Routing.Target(routing.Name{Upstream: "second", Model: haiku})
			for range 5 {
				a, _ := down.Begin(now, routing.Try{})
				a.End(now, routing.Failed, 0, "test")
			}
			call := r.call("us."+haiku, false)
			call.Header = map[string][]string{}
			_, err := r.Do(t.Context(), call)
			if c.by == "" {
				if !fault.Is(err, c.err.Kind) || call.Header["X-Outcrop-Attempts"][0] != "1" {
					t.Errorf("%v, %v", err, call.Header)
				}
			} else if err != nil || call.Header["X-Outcrop-Upstream"][0] != c.by {
				t.Errorf("%v, %v", err, call.Header)
			}
		})
	}
}

// TestHedgePanic: an attempt that panics in a race fails like another, and takes neither the other nor the process with it.
func TestHedgePanic(t *testing.T) {
	for name, panics := range map[string]func() scripted{
		"before the answer": func() scripted {
			return func(context.Context, *upstream.Request) (converse.Stream, error) { panic("a bug") }
		},
		"within it": func() scripted {
			return func(context.Context, *upstream.Request) (converse.Stream, error) {
				return func(func(converse.Event, error) bool) { panic("a bug") }, nil
			}
		},
		"once it has lost": func() scripted {
			return func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) { <-ctx.Done(); panic("a bug") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := newRig(t, up("east", []string{"us-east-1"}, panics()), up("west", []string{"us-west-2"}, answers))
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) {
				cfg.Policy = policy(t, "default hedge=1ms")
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
				t.Fatal(err)
			}
			if es := r.entries(t); len(es) != 1 || es[0].Status != ledger.Completed || es[0].Upstream != "west" {
				t.Errorf("%+v", es)
			}
			if !strings.Contains(log.String(), "a bug") {
				t.Errorf("the log does not say it: %s", &log)
			}
		})
	}
}

// TestHedgeForNobody: once its caller has gone no second target is asked beside the first.
func TestHedgeForNobody(t *testing.T) {
	var west atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	r := newRig(t, up("east", []string{"us-east-1"}, func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		cancel()
		<-ctx.Done() // its drain, which is longer than the time until the hedge
		return nil, ctx.Err()
	}), up("west", []string{"us-west-2"}, counting(&west, answers)))
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=20ms") })
	if _, err := r.Do(ctx, r.call("us."+haiku, false)); err == nil {
		t.Error("it is answered")
	}
	if es := r.entries(t); len(es) != 1 || es[0].Status != ledger.Cancelled || es[0].Attempts != 1 || west.Load() != 0 {
		t.Errorf("%d hedges, %+v", west.Load(), es)
	}
}

// TestGoneAndRefused: what no upstream has worked on is not charged because its caller has gone meanwhile.
func TestGoneAndRefused(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := newRig(t, up("east", nil, func(context.Context, *upstream.Request) (converse.Stream, error) {
		cancel()
		return nil, fault.New(fault.Throttled, "no")
	}))
	if _, err := r.Do(ctx, r.call(haiku, false)); !fault.Is(err, fault.Throttled) {
		t.Error(err)
	}
	es := r.entries(t)
	if len(es) != 1 {
		t.Fatalf("%d entries", len(es))
	}
	if nano, unrated := es[0].Cost(); es[0].Status != ledger.Cancelled || nano != 0 || unrated || es[0].Estimated || es[0].Usage != (converse.Usage{}) {
		t.Errorf("%+v", es[0])
	}
}

// TestHedgeNative: what an event points to is valid until the next one, in a race too; and a consumer that stops early ends
// both attempts.
func TestHedgeNative(t *testing.T) {
	var released sync.WaitGroup
	chunks := func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		released.Add(1)
		return func(yield func(converse.Event, error) bool) {
			defer released.Done()
			b := make([]byte, 1)
			for i := range byte(100) {
				b[0] = i
				if !yield(converse.Event{Kind: converse.Chunk, Native: b}, nil) {
					return
				}
			}
			yield(converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 1}}, nil)
		}, nil
	}
	r := newRig(t, up("east", []string{"us-east-1"}, func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}), up("west", []string{"us-west-2"}, chunks))
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=1ms") })
	for _, stop := range []int{-1, 3} {
		s, err := r.Stream(t.Context(), r.call("us."+haiku, true))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for e, err := range s.Events {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Native...)
			if len(got) == stop {
				break
			}
		}
		for i, b := range got {
			if int(b) != i {
				t.Fatalf("chunk %d is %d", i, b)
			}
		}
		if want := max(stop, 0); stop < 0 && len(got) != 100 || stop > 0 && len(got) != want {
			t.Errorf("%d chunks", len(got))
		}
		released.Wait()
	}
}

// TestOrder: the profile's tag decides who is asked first, and an upstream that serves several Regions counts as in the
// first of them, unless it has a server in each.
func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		ups    []*upstream.Upstream
		want   string // upstream/Region of the attempts
	}{
		"default":  {"", []*upstream.Upstream{up("w", []string{"us-west-2"}, nil), up("e", []string{"us-east-1"}, nil)}, "e/us-east-1 w/us-west-2"},
		"priority": {"priority us-west-2 us-east-1", []*upstream.Upstream{up("e", []string{"us-east-1"}, nil), up("w", []string{"us-west-2"}, nil)}, "w/us-west-2 e/us-east-1"},
		"named before all": {"priority us-east-1", []*upstream.Upstream{up("all", []string{"us-east-1"}, nil), {Name: "one", Regions: map[string]bool{"us-east-1": true}, Models: map[string]string{haiku: "claude"}}, up("w", []string{"us-west-2"}, nil)},
			"one/us-east-1 w/us-west-2 all/us-east-1"},
		"one server":        {"", []*upstream.Upstream{up("a", nil, nil)}, "a/us-east-1"},
		"one server, moved": {"priority us-west-2", []*upstream.Upstream{up("a", nil, nil)}, "a/us-west-2"},
		"a server in each":  {"", []*upstream.Upstream{{Name: "aws", Regional: true}}, "aws/us-east-1 aws/us-west-2"},
		"each, and standby": {"weighted us-west-2=1 us-east-1=0", []*upstream.Upstream{{Name: "aws", Regional: true}, {Name: "s", Standby: true}}, "aws/us-west-2 aws/us-east-1 s/us-west-2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, u := range c.ups {
				u.Provider = scripted(func(_ context.Context, r *upstream.Request) (converse.Stream, error) {
					got = append(got, u.Name+"/"+r.Region)
					return nil, fault.New(fault.ModelNotReady, "no")
				})
			}
			r := newRig(t, c.ups...)
			model := "us." + haiku
			if c.policy != "" {
				p, err := r.Profiles.Create(t.Context(), account, "us-east-1", profile.CreateRequest{
					Name: "p", Source: "arn:aws:bedrock:us-east-1:" + account + ":inference-profile/" + model, Tags: []profile.Tag{{Key: profile.RoutingTag, Value: c.policy}},
				})
				if err != nil {
					t.Fatal(err)
				}
				model = p.ID
			}
			if _, err := r.Do(t.Context(), r.call(model, false)); !fault.Is(err, fault.ModelNotReady) {
				t.Fatal(err)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
		})
	}
}

// TestResidency draws topologies, failures and policies, and drives calls through them: no attempt may be in a Region that
// AWS does not list for the profile. OUTCROP_RESIDENCY_CASES sets how many calls; a million take some minutes.
func TestResidency(t *testing.T) {
	cases := 20_000
	if raceEnabled {
		cases = 2_000 // the detector makes each ten times as long
	}
	if s := os.Getenv("OUTCROP_RESIDENCY_CASES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		cases = n
	}
	facts, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if err := facts.AddGeography(catalog.Geography{
		Name: "onprem", Sources: []string{"us-east-1", "onprem-tokyo-1"}, Destinations: []string{"onprem-tokyo-1", "onprem-osaka-1"}, Models: []string{haiku},
	}); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.New(facts)
	if err != nil {
		t.Fatal(err)
	}
	base := newRigOf(t, cat)
	handles := newHandles(t, base, cat)
	// What the last gate has refused was not served elsewhere, but would have been without it.
	var log syncBuffer
	base.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	var done, attempts, elsewhere, hedged atomic.Int64
	var allowed sync.Map // id of a call -> the Regions it may be served in
	watch := func(r *upstream.Request) {
		attempts.Add(1)
		h, _ := allowed.Load(r.ID)
		if h == nil || !slices.Contains(h.(*handle).regions, r.Region) || r.ModelID != h.(*handle).model {
			t.Errorf("an attempt for %s in %s: %+v", r.ModelID, r.Region, h)
		} else if r.Region != h.(*handle).source {
			elsewhere.Add(1)
		}
	}
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 18))
			for done.Load() < int64(cases) && !t.Failed() {
				v, now := topology(base, handles, r, watch)
				for range 16 {
					h := handles[r.IntN(len(handles))]
					now.Add(r.Int64N(int64(2 * time.Second)))
					call := base.call(h.name, r.IntN(2) == 0)
					call.Caller = &iam.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", Root: true, Region: h.source}
					allowed.Store(call.ID.String(), h)
					ctx, cancel := context.WithCancel(context.Background())
					if r.IntN(20) == 0 {
						cancel()
					}
					if r.IntN(10) == 0 {
						_, _ = v.CountTokens(ctx, call)
					} else if call.Stream {
						if s, err := v.Stream(ctx, call); err == nil {
							leave := r.IntN(10) == 0
							for range s.Events {
								if leave {
									break
								}
							}
						}
					} else {
						_, _ = v.Do(ctx, call)
					}
					cancel()
					allowed.Delete(call.ID.String())
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for e, err := range base.store.Calls(t.Context(), account, time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(e.Reason, "another began before it") {
			hedged.Add(1)
		}
	}
	if text := log.String(); text != "" {
		t.Errorf("%.2000s", text)
	}
	t.Logf("%d calls, %d attempts, %d of them outside the source Region, %d hedges", done.Load(), attempts.Load(), elsewhere.Load(), hedged.Load())
	if n := done.Load(); attempts.Load() < n || elsewhere.Load() < n/10 {
		t.Error("too few attempts to prove anything")
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// handle is what a caller may name, with the Regions that AWS lists for it.
type handle struct {
	name, source, model string
	regions             []string
}

// newHandles are system-defined profiles of several geographies and Regions, bare models, and application profiles with
// routing of every kind.
func newHandles(t *testing.T, r *rig, cat *catalog.Catalog) []*handle {
	var hs []*handle
	draw := rand.New(rand.NewPCG(5, 5))
	for _, source := range []string{"us-east-1", "us-west-2", "eu-central-1", "ap-northeast-1", "onprem-tokyo-1"} {
		for i, p := range cat.Profiles(source) {
			if i%3 != 0 && p.Geo != "onprem" {
				continue
			}
			m, ok := cat.Model(p.ModelID)
			if !ok || !m.Streaming || !slices.Contains(m.OutputModalities, "TEXT") {
				continue
			}
			h := &handle{p.ID, source, p.ModelID, cat.Destinations(p.ID, source)}
			if !strings.HasPrefix(p.ID, "global.") { // whose ARNs name no Regions
				var shown []string
				for _, model := range cat.ProfileModels(p.ID, source) {
					a, err := arn.Parse(model)
					if err != nil {
						t.Fatal(err)
					}
					shown = append(shown, a.Region)
				}
				h.regions = shown
			}
			hs = append(hs, h)
			a, b := h.regions[draw.IntN(len(h.regions))], h.regions[0]
			policies := []string{"latency", "weighted", "cost hedge=1ms", "default hedge=1ms affinity=off", "priority " + a, "weighted " + a + "=3"}
			if a != b {
				policies = append(policies, "weighted "+a+"=1 "+b+"=3 hedge=1ms", "priority "+a+" "+b+" hedge=p50")
			}
			made, err := r.Profiles.Create(t.Context(), account, source, profile.CreateRequest{
				Name: "p", Source: "arn:aws:bedrock:" + source + ":" + account + ":inference-profile/" + p.ID,
				Tags: []profile.Tag{{Key: profile.RoutingTag, Value: policies[draw.IntN(len(policies))]}},
			})
			if err != nil {
				t.Fatal(err)
			}
			hs = append(hs, &handle{made.ID, source, p.ModelID, h.regions})
		}
		for i, m := range cat.Models(source) {
			if i%7 == 0 && m.Streaming && cat.OnDemand(m.ID, source) && slices.Contains(m.OutputModalities, "TEXT") {
				made, err := r.Profiles.Create(t.Context(), account, source, profile.CreateRequest{Name: "p", Source: arn.FoundationModel(source, m.ID)})
				if err != nil {
					t.Fatal(err)
				}
				hs = append(hs, &handle{m.ID, source, m.ID, []string{source}}, &handle{made.ID, source, m.ID, []string{source}})
			}
		}
	}
	own := 0
	for _, h := range hs {
		if slices.Contains(h.regions, "onprem-osaka-1") {
			own++
		}
	}
	if len(hs) < 40 || own != 4 { // from two Regions, each with an application profile
		t.Fatalf("%d handles, %d of the operator's own", len(hs), own)
	}
	return hs
}

// topology is an Invoker on base's ledger with upstreams at random, each of which fails at random, and its clock.
func topology(base *rig, handles []*handle, r *rand.Rand, watch func(*upstream.Request)) (*invoke.Invoker, *atomic.Int64) {
	regions := map[string]bool{"sa-east-1": true, "nowhere-fast-1": true}
	for _, h := range handles {
		for _, to := range h.regions {
			regions[to] = true
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range regions {
			if !yield(n) {
				return
			}
		}
	})
	var ups []*upstream.Upstream
	for i := range 1 + r.IntN(5) {
		u := &upstream.Upstream{Name: fmt.Sprint("u", i), Regional: r.IntN(2) == 0, Standby: r.IntN(6) == 0, Weight: float64(r.IntN(3))}
		if r.IntN(3) > 0 {
			u.Regions = map[string]bool{}
			for range 1 + r.IntN(len(names)) {
				u.Regions[names[r.IntN(len(names))]] = true
			}
		}
		u.Provider = &moody{watch: watch, mood: r.Uint64N(100)}
		ups = append(ups, u)
	}
	now := new(atomic.Int64)
	start := time.Now()
	return rebuilt(base, func(c *invoke.Config) {
		c.Upstreams = ups
		c.Clock = func() time.Time { return start.Add(time.Duration(now.Load())) }
		c.Drain = time.Millisecond
	}), now
}

// moody fails the more often the higher its mood is, in every way there is.
type moody struct {
	watch func(*upstream.Request)
	mood  uint64
}

func (m *moody) Close() error { return nil }

func (m *moody) Full() bool { return rand.Uint64N(200) < m.mood }

func (m *moody) CountTokens(_ context.Context, r *upstream.Request) (int64, error) {
	m.watch(r)
	if rand.Uint64N(100) < m.mood {
		return 0, fault.New(fault.Unavailable, "no")
	}
	return 1, nil
}

func (m *moody) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	m.watch(r)
	if rand.Uint64N(100) >= m.mood {
		return events(nil, whole(12, 5)...), nil
	}
	kinds := []fault.Kind{fault.Throttled, fault.Unavailable, fault.ModelError, fault.ModelTimeout, fault.ModelNotReady, fault.ModelStream, fault.Internal, fault.Validation}
	err := &fault.Error{Kind: kinds[rand.IntN(len(kinds))], OriginalStatus: 500 * rand.IntN(2), RetryAfter: time.Duration(rand.Int64N(int64(3 * time.Second)))}
	switch rand.IntN(6) {
	case 0:
		return events(err), nil
	case 1:
		return events(err, start(), text("hello")), nil
	case 2: // long enough for a hedge
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
		return nil, err
	}
	return nil, err
}

// TestCountingAsksFew: who cannot count is asked once and not in every Region, who fails is not asked for ever, nor is who hangs
// waited for, and who is down or throttled is not asked at all.
func TestCountingAsksFew(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		state routing.Outcome // of each target, before
		asked int
		n     invoke.Count
	}{
		"it counts":            {nil, routing.Answered, 1, invoke.Count{InputTokens: 4711, Exact: true}},
		"it cannot":            {fault.New(fault.Validation, "no"), routing.Answered, 1, invoke.Count{InputTokens: 6}},
		"it cannot be reached": {fault.New(fault.Unavailable, "no"), routing.Answered, 3, invoke.Count{InputTokens: 6}},
		"it is down":           {nil, routing.Unreachable, 0, invoke.Count{InputTokens: 6}},
		"it throttles":         {nil, routing.Throttled, 0, invoke.Count{InputTokens: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &counter{err: c.err}
			const model = "anthropic.claude-sonnet-4-20250514-v1:0"
			r := newRig(t, &upstream.Upstream{Name: "aws", Provider: u, Regional: true})
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } })
			route, err := r.Profiles.Resolve(account, "us-east-1", "global."+model)
			if err != nil || len(route.Targets) < 10 {
				t.Fatal(err, route)
			}
			for _, to := range route.Targets {
				for range 5 {
					a, _ := r.Routing.Target(routing.Name{Upstream: "aws", Region: to.Region, Model: model}).Begin(now, routing.Try{Forced: true})
					a.End(now, c.state, time.Minute, "")
				}
			}
			if n, err := r.CountTokens(t.Context(), r.call("global."+model, false)); err != nil || n != c.n || u.asked != c.asked {
				t.Errorf("%+v, %v, after asking %d times; want %+v after %d", n, err, u.asked, c.n, c.asked)
			}
			if u.longest > 10*time.Second || u.endless {
				t.Errorf("it may take %v to count; without end: %t", u.longest, u.endless)
			}
		})
	}
}

// counter is an upstream that counts.
type counter struct {
	scripted
	err     error
	asked   int
	longest time.Duration // that it was given
	endless bool          // it was given all the time there is
}

func (c *counter) CountTokens(ctx context.Context, _ *upstream.Request) (int64, error) {
	c.asked++
	end, ok := ctx.Deadline()
	c.longest, c.endless = max(c.longest, time.Until(end)), c.endless || !ok
	return 4711, c.err
}

// TestEmbeddingsHedge: the answer is that of the target which began first.
func TestEmbeddingsHedge(t *testing.T) {
	slow := embedder{func(ctx context.Context) (*converse.Embeddings, error) { <-ctx.Done(); return nil, ctx.Err() }}
	quick := embedder{func(context.Context) (*converse.Embeddings, error) {
		return &converse.Embeddings{Usage: converse.Usage{InputTokens: 7}}, nil
	}}
	const model = "amazon.titan-embed-text-v2:0"
	r := newRig(t, &upstream.Upstream{Name: "slow", Provider: slow}, &upstream.Upstream{Name: "quick", Provider: quick, Standby: true})
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Policy = policy(t, "default hedge=1ms") })
	call := r.call(model, false)
	call.Body, call.Embedding = nil, &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{}}
	a, err := r.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if a.Embeddings == nil || a.Usage.InputTokens != 7 {
		t.Errorf("%+v", a)
	}
	if es := r.entries(t); len(es) != 1 || es[0].Upstream != "quick" || es[0].Status != ledger.Completed || es[0].Attempts != 2 {
		t.Errorf("%+v", es)
	}
}

type embedder struct {
	embed func(context.Context) (*converse.Embeddings, error)
}

func (embedder) Close() error { return nil }
func (embedder) Send(context.Context, *upstream.Request) (converse.Stream, error) {
	return nil, fault.New(fault.Validation, "no")
}
func (e embedder) Embed(ctx context.Context, _ *upstream.Request) (*converse.Embeddings, error) {
	return e.embed(ctx)
}

// limited has as many calls under way as it may, as long as full says so.
type limited struct {
	scripted
	full *atomic.Bool
}

func (l limited) Full() bool { return l.full.Load() }

// TestFull: an upstream that has as many calls as it may is passed over while another has room, waited for when none has, and
// never held to be ill.
func TestFull(t *testing.T) {
	noPlace := refuse(fault.Wrap(upstream.ErrFull, fault.Throttled, "no"))
	for name, c := range map[string]struct {
		east, west scripted
		westFull   bool
		by         string // who answers; "" is nobody
		asked      [2]int64
	}{
		"another has room":            {answers, answers, false, "west", [2]int64{0, 30}},
		"all are full":                {answers, answers, true, "east", [2]int64{30, 0}},
		"all are full for too long":   {noPlace, noPlace, true, "", [2]int64{30, 0}},
		"the other cannot be reached": {answers, refuse(fault.New(fault.Unavailable, "no")), false, "east", [2]int64{30, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			var east, west atomic.Int64
			full, both := new(atomic.Bool), new(atomic.Bool)
			full.Store(true)
			both.Store(c.westFull)
			ups := []*upstream.Upstream{up("east", []string{"us-east-1"}, nil), up("west", []string{"us-west-2"}, nil)}
			ups[0].Provider, ups[1].Provider = limited{counting(&east, c.east), full}, limited{counting(&west, c.west), both}
			r := newRig(t, ups...)
			now := time.Now()
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) { cfg.Clock = func() time.Time { return now } })
			for range 30 {
				call := r.call("us."+haiku, false)
				call.Header = map[string][]string{}
				if _, err := r.Do(t.Context(), call); c.by == "" && !fault.Is(err, fault.Throttled) || c.by != "" && err != nil {
					t.Fatal(err)
				} else if by := call.Header["X-Outcrop-Upstream"]; c.by != "" && by[0] != c.by {
					t.Fatalf("answered by %s, want %s", by, c.by)
				}
			}
			if got := [2]int64{east.Load(), west.Load()}; got != c.asked {
				t.Errorf("asked %v times, want %v", got, c.asked)
			}
			if s := r.Targets()[0]; s.Health != routing.Well || !s.ThrottledUntil.IsZero() || s.Calls > 0 && s.ErrorRate > 0 {
				t.Errorf("of being full it is held to be ill: %+v", s)
			}
		})
	}
}

// TestSilence: a call leaves a server of which nobody hears anything, when there is another, and only then; while other
// calls hear of the server it waits.
func TestSilence(t *testing.T) {
	hang := func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
		<-ctx.Done()
		return nil, upstream.Unreachable(ctx, "east", ctx.Err())
	}
	impatient := func(c *invoke.Config) {
		cfg := routing.Defaults
		cfg.Silence = time.Millisecond
		cfg.Breaker.Open, cfg.Breaker.MaxOpen = time.Hour, time.Hour // what is out stays out, however slow the machine is
		c.Routing = routing.New(cfg, c.Clock())
	}
	t.Run("two targets", func(t *testing.T) {
		r := newRig(t, up("east", []string{"us-east-1"}, hang), up("west", []string{"us-west-2"}, answers))
		r.Invoker = rebuilt(r, impatient)
		for range 6 { // the sixth does not try east: it is out
			if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
				t.Fatal(err)
			}
		}
		es := r.entries(t)
		slices.SortFunc(es, func(a, b ledger.Entry) int { return a.Intent.Time.Compare(b.Intent.Time) })
		for i, e := range es {
			want, lost := 2, true
			if i == 5 {
				want, lost = 1, false
			}
			if e.Upstream != "west" || e.Attempts != want || strings.Contains(e.Reason, "east in us-east-1 was lost: model_timeout") != lost {
				t.Errorf("call %d: served by %s, %d attempts, %q", i, e.Upstream, e.Attempts, e.Reason)
			}
		}
	})
	t.Run("one target", func(t *testing.T) {
		slow := func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
			select {
			case <-time.After(20 * time.Millisecond): // many times what another target would be given
				return answers(ctx, r)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		r := newRig(t, up("east", []string{"us-east-1"}, slow))
		r.Invoker = rebuilt(r, impatient)
		if _, err := r.Do(t.Context(), r.call("us."+haiku, true)); err != nil {
			t.Error(err)
		}
	})
	// A call that is hedged for leaves a silent server, too, also when whoever was to be asked beside it refused.
	for name, c := range map[string]struct {
		policy string
		second scripted
		budget int // second attempts in ten seconds
		by     string
		tries  int // 0 is that it fails in time
	}{
		"hedged later than that":         {"hedge=10m", answers, 9, "second", 2},
		"hedged, and the second refuses": {"hedge=1ms", refuse(fault.New(fault.Throttled, "no")), 9, "third", 3},
		"hedged, and both are silent":    {"hedge=1ms", hang, 9, "third", 3},
		"hedged, and there is no budget": {"hedge=1ms", answers, 0, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			third := up("third", nil, answers)
			third.Standby = true
			r := newRig(t, up("first", []string{"us-east-1"}, hang), up("second", []string{"us-west-2"}, c.second), third)
			r.Invoker = rebuilt(r, func(cfg *invoke.Config) {
				rc := routing.Defaults
				rc.Silence, rc.Budget = 20*time.Millisecond, routing.BudgetConfig{Floor: c.budget}
				cfg.Routing, cfg.Policy = routing.New(rc, cfg.Clock()), policy(t, "default "+c.policy)
			})
			call := r.call("us."+haiku, false)
			call.Header = map[string][]string{}
			_, err := r.Do(t.Context(), call)
			if c.by == "" {
				if !fault.Is(err, fault.ModelTimeout) {
					t.Errorf("%v", err)
				}
			} else if err != nil || call.Header["X-Outcrop-Upstream"][0] != c.by || call.Header["X-Outcrop-Attempts"][0] != fmt.Sprint(c.tries) {
				t.Errorf("%v, %v", err, call.Header)
			}
		})
	}
}

// TestTroubles: a target that fails for long is told of at once, when it is left alone and when it is back; beside that once
// a minute.
func TestTroubles(t *testing.T) {
	var log strings.Builder
	var well atomic.Bool
	east := func(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
		if well.Load() {
			return answers(ctx, r)
		}
		return nil, &fault.Error{Kind: fault.ModelError, OriginalStatus: 500}
	}
	r := newRig(t, up("east", []string{"us-east-1"}, east), up("west", []string{"us-west-2"}, answers))
	now := time.Now()
	r.Invoker = rebuilt(r, func(cfg *invoke.Config) {
		cfg.Clock = func() time.Time { return now }
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})) // a server's default
	})
	call := func(n int) {
		for range n {
			now = now.Add(100 * time.Millisecond)
			if _, err := r.Do(t.Context(), r.call("us."+haiku, false)); err != nil {
				t.Fatal(err)
			}
		}
	}
	call(1000) // 100 s
	well.Store(true)
	now = now.Add(time.Minute)
	call(20)
	var got []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(line, "level=")
		level, rest, _ := strings.Cut(line, " ")
		msg, _, _ := strings.Cut(strings.TrimPrefix(rest, "msg=\""), "\"")
		got = append(got, level+" "+msg)
	}
	want := []string{"WARN attempt failed", "WARN target is down: calls go elsewhere, single ones try it", "WARN attempt failed", "WARN target is well again"}
	if !slices.Equal(got, want) || !strings.Contains(log.String(), "failed_since_last_line=") || strings.Count(log.String(), "region=") != 2 {
		t.Errorf("%s", log.String())
	}
}

// TestCostOfDestination: by cost, calls go where the model is cheapest by the price of the Region that would serve it, which is
// not what the call is charged: that is the caller's Region's.
func TestCostOfDestination(t *testing.T) {
	for want, price := range map[string]string{"west": "0.1", "east": "0.9"} { // in the west; in the east it is 0.25
		f, err := catalog.Embedded()
		if err != nil {
			t.Fatal(err)
		}
		f, err = f.Overlay(&catalog.Facts{Date: "2026-11-20", Prices: []catalog.PriceFact{
			{Model: haiku, Scope: "us", Region: "us-west-2", Effective: "2026-11-20", Tokens: catalog.TokensFact{Input: price, Output: price}},
			{Model: haiku, Scope: "us", Region: "us-east-1", Effective: "2026-11-20", Tokens: catalog.TokensFact{Input: "0.25", Output: "0.25"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		cat, err := catalog.New(f)
		if err != nil {
			t.Fatal(err)
		}
		r := newRigOf(t, cat, up("east", []string{"us-east-1"}, answers), up("west", []string{"us-west-2"}, answers))
		now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
		r.Invoker = rebuilt(r, func(cfg *invoke.Config) {
			cfg.Clock, cfg.Policy = func() time.Time { return now }, policy(t, "cost")
		})
		call := r.call("us."+haiku, false)
		call.Start, call.Header = now, map[string][]string{}
		if _, err := r.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if by := call.Header["X-Outcrop-Upstream"][0]; by != want {
			t.Errorf("at %s in us-west-2 the call goes %s", price, by)
		}
	}
}

// TestCrossRegionUpstream: an upstream that is AWS, and is asked for a cross-Region profile there, lets AWS choose the Region. It
// is a target of those calls alone that may go to all of these.
func TestCrossRegionUpstream(t *testing.T) {
	for name, c := range map[string]struct {
		model string // of the call
		as    string // the upstream calls it
		want  string // who answers
	}{
		"in one Region":             {haiku, "us." + haiku, "other"},
		"in one Region, by ARN":     {haiku, "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us." + haiku, "other"},
		"in one Region, by its own": {haiku, haiku, "aws"},
		"in all of them":            {"us." + haiku, "us." + haiku, "aws"},
		"in none of them":           {"us." + haiku, "eu." + haiku, "other"},
		"one that is not known":     {"us." + haiku, "xx." + haiku, "other"},
	} {
		t.Run(name, func(t *testing.T) {
			aws, other := up("aws", []string{"us-east-1"}, answers), up("other", []string{"us-east-1"}, answers)
			aws.Regional, aws.Models, other.Standby = true, map[string]string{haiku: c.as}, true
			r := newRig(t, aws, other)
			call := r.call(c.model, false)
			call.Header = map[string][]string{}
			if _, err := r.Do(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			if by := call.Header["X-Outcrop-Upstream"][0]; by != c.want {
				t.Errorf("%s answers, want %s", by, c.want)
			}
		})
	}
}
