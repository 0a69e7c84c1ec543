package invoke_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/store"
	"outcrop/upstream"
)

const (
	account = "000000000000"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
)

// scripted is an upstream whose answers a test writes.
type scripted func(ctx context.Context, r *upstream.Request) (converse.Stream, error)

func (f scripted) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	return f(ctx, r)
}
func (scripted) Close() error { return nil }

// events is a stream of es, then of err when it is not nil.
func events(err error, es ...converse.Event) converse.Stream {
	return func(yield func(converse.Event, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(converse.Event{}, err)
		}
	}
}

func start() converse.Event {
	return converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant}
}

func text(s string) converse.Event {
	return converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: s}
}

func end(in, out int64) []converse.Event {
	return []converse.Event{
		{Kind: converse.BlockStop},
		{Kind: converse.MessageStop, StopReason: converse.StopEndTurn},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: in, OutputTokens: out}},
	}
}

func whole(in, out int64) []converse.Event {
	return append([]converse.Event{start(), text("hello")}, end(in, out)...)
}

// rig is an Invoker on a real store, ledger and catalog.
type rig struct {
	*invoke.Invoker
	store  *store.Store
	ledger *ledger.Ledger
}

func newRig(t testing.TB, ups ...*upstream.Upstream) *rig {
	t.Helper()
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return newRigOf(t, cat, ups...)
}

// newRigOf is newRig with another catalog.
func newRigOf(t testing.TB, cat *catalog.Catalog, ups ...*upstream.Upstream) *rig {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	st, err := store.Open(ctx, filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	rater := cost.NewRater(cat)
	l, err := ledger.New(ctx, ledger.Config{Dir: filepath.Join(dir, "journal"), Index: st, Recover: invoke.Recovered(cat, rater)})
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := profile.Open(ctx, profile.Config{Store: st.Profiles(), Catalog: cat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(context.Background()), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return &rig{store: st, ledger: l, Invoker: invoke.New(invoke.Config{
		Profiles: profiles, Guard: iam.NewGuard(iam.GuardConfig{}), Ledger: l, Rater: rater, Upstreams: ups,
		Clock: time.Now, Drain: 200 * time.Millisecond,
	})}
}

func (r *rig) call(model string, stream bool) *invoke.Call {
	hello := "hello there"
	op := "Converse"
	if stream {
		op = "ConverseStream"
	}
	return &invoke.Call{
		ID: uuid.New(), Start: time.Now(), Operation: op, ModelID: model, Stream: stream,
		Caller: &iam.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", Root: true, Region: "us-east-1"},
		Body:   &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: &hello}}}}},
	}
}

// entries is what the ledger has, once it has caught up; the totals are proved on the way.
func (r *rig) entries(t *testing.T) []ledger.Entry {
	t.Helper()
	if err := r.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.store.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
	var es []ledger.Entry
	for e, err := range r.store.Calls(t.Context(), account, time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, *e)
	}
	return es
}

func up(name string, regions []string, f scripted) *upstream.Upstream {
	u := &upstream.Upstream{Name: name, Provider: f}
	if regions != nil {
		u.Regions = map[string]bool{}
		for _, r := range regions {
			u.Regions[r] = true
		}
	}
	return u
}

// TestEndings drives calls to every ending and holds the one entry that each must leave against what was used.
func TestEndings(t *testing.T) {
	refuse := func(k fault.Kind) scripted {
		return func(context.Context, *upstream.Request) (converse.Stream, error) { return nil, fault.New(k, "no") }
	}
	broke := func(context.Context, *upstream.Request) (converse.Stream, error) {
		return nil, &fault.Error{Kind: fault.Unavailable, Unanswered: true}
	}
	answer := func(err error, es ...converse.Event) scripted {
		return func(context.Context, *upstream.Request) (converse.Stream, error) { return events(err, es...), nil }
	}
	for name, c := range map[string]struct {
		ups       []*upstream.Upstream
		model     string
		stream    bool
		err       fault.Kind // of the call; the zero kind is none
		fails     bool
		status    ledger.Status
		usage     converse.Usage
		estimated bool
		lost      int64 // attempts that are charged beside the last, each with its input of 6 tokens
		attempts  int
		by        string
		region    string
	}{
		"answered": {ups: []*upstream.Upstream{up("a", nil, answer(nil, whole(12, 5)...))}, status: ledger.Completed,
			usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, attempts: 1, by: "a", region: "us-east-1"},
		"streamed": {ups: []*upstream.Upstream{up("a", nil, answer(nil, whole(12, 5)...))}, stream: true, status: ledger.Completed,
			usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, attempts: 1, by: "a", region: "us-east-1"},
		"the second upstream answers": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.Unavailable)), up("b", nil, answer(nil, whole(12, 5)...))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, attempts: 2, by: "b", region: "us-east-1"},
		"an error before the first event moves on": {ups: []*upstream.Upstream{up("a", nil, answer(fault.New(fault.ModelStream, "cut"))), up("b", nil, answer(nil, whole(12, 5)...))},
			stream: true, status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, lost: 1, estimated: true, attempts: 2, by: "b", region: "us-east-1"},
		"another Region of the profile answers": {model: "us." + haiku,
			ups:    []*upstream.Upstream{up("east", []string{"us-east-1"}, refuse(fault.Throttled)), up("west", []string{"us-west-2"}, answer(nil, whole(12, 5)...))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, attempts: 2, by: "west", region: "us-west-2"},
		"an error after the first event is the caller's": {ups: []*upstream.Upstream{up("a", nil, answer(fault.New(fault.ModelStream, "cut"), start(), text("abcd efgh"))), up("b", nil, answer(nil, whole(1, 1)...))},
			stream: true, fails: true, err: fault.ModelStream, status: ledger.Failed, usage: converse.Usage{InputTokens: 6, OutputTokens: 2}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"an error behind the usage": {ups: []*upstream.Upstream{up("a", nil, func(context.Context, *upstream.Request) (converse.Stream, error) {
			return func(yield func(converse.Event, error) bool) {
				_ = yield(start(), nil) && yield(text("abcd efgh"), nil) &&
					yield(converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 12, OutputTokens: 5}}, fault.New(fault.ModelStream, "cut"))
			}, nil
		})}, stream: true, fails: true, err: fault.ModelStream, status: ledger.Failed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, attempts: 1, by: "a", region: "us-east-1"},
		"an answer without its end": {ups: []*upstream.Upstream{up("a", nil, answer(nil, start(), text("abcd efgh")))},
			stream: true, fails: true, err: fault.ModelStream, status: ledger.Failed, usage: converse.Usage{InputTokens: 6, OutputTokens: 2}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"a passed-on answer that is cut before its input is told": {ups: []*upstream.Upstream{up("a", nil, answer(fault.New(fault.ModelStream, "cut"),
			converse.Event{Kind: converse.Chunk, Native: []byte(`{"choices":[]}`), Usage: converse.Usage{OutputTokens: 3}}))},
			stream: true, fails: true, err: fault.ModelStream, status: ledger.Failed, usage: converse.Usage{InputTokens: 6, OutputTokens: 3}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"a whole answer counts as its caller has read": {ups: []*upstream.Upstream{up("a", nil, answer(nil, start(), text("hello from far"), converse.Event{Kind: converse.BlockStop},
			converse.Event{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 6, OutputTokens: 3}, Estimated: true}))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 6, OutputTokens: 3}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"the request's own fault is not tried again": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.Validation)), up("b", nil, answer(nil, whole(1, 1)...))},
			fails: true, err: fault.Validation, status: ledger.Failed, attempts: 1, by: "a", region: "us-east-1"},
		"nobody answers": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.Unavailable)), up("b", nil, refuse(fault.Throttled))},
			fails: true, err: fault.Throttled, status: ledger.Failed, attempts: 2, by: "b", region: "us-east-1"},
		"an answer that cannot be read may have cost": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.ModelError))},
			fails: true, err: fault.ModelError, status: ledger.Failed, usage: converse.Usage{InputTokens: 6}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"a server's error has cost nothing": {ups: []*upstream.Upstream{up("a", nil, func(context.Context, *upstream.Request) (converse.Stream, error) {
			return nil, &fault.Error{Kind: fault.ModelError, OriginalStatus: 500}
		})}, fails: true, err: fault.ModelError, status: ledger.Failed, attempts: 1, by: "a", region: "us-east-1"},
		"one server is asked once, whatever the Regions": {model: "us." + haiku, ups: []*upstream.Upstream{up("a", nil, refuse(fault.Throttled))},
			fails: true, err: fault.Throttled, status: ledger.Failed, attempts: 1, by: "a", region: "us-east-1"},
		"a timeout moves on, and may have used the input": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.ModelTimeout)), up("b", nil, answer(nil, whole(12, 5)...))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, lost: 1, estimated: true, attempts: 2, by: "b", region: "us-east-1"},
		"so does an answer that cannot be read": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.ModelError)), up("b", nil, refuse(fault.ModelTimeout)), up("c", nil, answer(nil, whole(12, 5)...))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, lost: 2, estimated: true, attempts: 3, by: "c", region: "us-east-1"},
		"of two timeouts both may have used the input": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.ModelTimeout)), up("b", nil, refuse(fault.ModelTimeout))},
			fails: true, err: fault.ModelTimeout, status: ledger.Failed, usage: converse.Usage{InputTokens: 6}, lost: 1, estimated: true, attempts: 2, by: "b", region: "us-east-1"},
		"a connection that is lost behind the request may have used the input": {ups: []*upstream.Upstream{up("a", nil, broke), up("b", nil, answer(nil, whole(12, 5)...))},
			status: ledger.Completed, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}, lost: 1, estimated: true, attempts: 2, by: "b", region: "us-east-1"},
		"also the last one": {ups: []*upstream.Upstream{up("a", nil, broke)},
			fails: true, err: fault.Unavailable, status: ledger.Failed, usage: converse.Usage{InputTokens: 6}, estimated: true, attempts: 1, by: "a", region: "us-east-1"},
		"a timeout, then a refusal": {ups: []*upstream.Upstream{up("a", nil, refuse(fault.ModelTimeout)), up("b", nil, refuse(fault.Throttled))},
			fails: true, err: fault.Throttled, status: ledger.Failed, lost: 1, estimated: true, attempts: 2, by: "b", region: "us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.ups) > 1 {
				c.ups[len(c.ups)-1].Standby = true // after the others, whatever the dice say
			}
			r := newRig(t, c.ups...)
			model := c.model
			if model == "" {
				model = haiku
			}
			call := r.call(model, c.stream)
			call.Header = map[string][]string{}
			var err error
			if c.stream {
				var s *invoke.Streaming
				if s, err = r.Stream(t.Context(), call); err == nil {
					_, err = converse.Collect(s.Events)
				}
			} else {
				_, err = r.Do(t.Context(), call)
			}
			if (err != nil) != c.fails || c.fails && !fault.Is(err, c.err) {
				t.Fatalf("error %v, want fails %t with %v", err, c.fails, c.err)
			}
			es := r.entries(t)
			if len(es) != 1 {
				t.Fatalf("%d entries, want one", len(es))
			}
			e := es[0]
			if e.Intent.ID != call.ID || e.Status != c.status || e.Usage != c.usage || e.Estimated != c.estimated || e.Attempts != c.attempts || e.Upstream != c.by || e.Served != c.region {
				t.Errorf("entry: status %v usage %+v estimated %t attempts %d upstream %q served %q reason %q", e.Status, e.Usage, e.Estimated, e.Attempts, e.Upstream, e.Served, e.Reason)
			}
			// Claude 3 Haiku: 0.25 USD and 1.25 USD a million tokens are 250 and 1250 nano-USD each.
			if nano, unrated := e.Cost(); nano != 250*(c.usage.InputTokens+6*c.lost)+1250*c.usage.OutputTokens || unrated {
				t.Errorf("cost %d (unrated %t), want %d", nano, unrated, 250*(c.usage.InputTokens+6*c.lost)+1250*c.usage.OutputTokens)
			}
			lost := int64(0)
			for _, charge := range e.Charges {
				if charge.UsageType == "USE1-Claude3Haiku-input-tokens-lost-attempt" {
					lost += charge.Quantity
				}
			}
			if lost != 6*c.lost {
				t.Errorf("%d tokens are charged for attempts that were lost, want %d: %+v", lost, 6*c.lost, e.Charges)
			}
			wantHeader := map[string][]string{"X-Outcrop-Served-Region": {c.region}, "X-Outcrop-Upstream": {c.by}, "X-Outcrop-Attempts": {strconv.Itoa(c.attempts)}}
			if !reflect.DeepEqual(call.Header, wantHeader) {
				t.Errorf("header %v, want %v", call.Header, wantHeader)
			}
		})
	}
}

// TestCallerGone leaves a stream after its first event: the upstream is read on for its usage, and when it does not tell
// within the drain, the call is settled with an estimate.
func TestCallerGone(t *testing.T) {
	for name, c := range map[string]struct {
		tells  bool
		cancel bool // by the request's context rather than by the consumer
		usage  converse.Usage
	}{
		"usage comes in time, consumer stopped":  {tells: true, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}},
		"usage comes in time, request cancelled": {tells: true, cancel: true, usage: converse.Usage{InputTokens: 12, OutputTokens: 5}},
		"usage does not come":                    {usage: converse.Usage{InputTokens: 6, OutputTokens: 2}},
		"usage does not come, request cancelled": {cancel: true, usage: converse.Usage{InputTokens: 6, OutputTokens: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var released sync.WaitGroup
			released.Add(1)
			gone := make(chan struct{})
			r := newRig(t, up("a", nil, func(ctx context.Context, _ *upstream.Request) (converse.Stream, error) {
				return func(yield func(converse.Event, error) bool) {
					defer released.Done()
					if !yield(start(), nil) || !yield(text("abcd efgh"), nil) {
						t.Error("the upstream was cut although its usage was still to come")
						return
					}
					if c.cancel {
						<-gone
					}
					if !c.tells {
						<-ctx.Done()
						yield(converse.Event{}, ctx.Err())
						return
					}
					for _, e := range end(12, 5) {
						if !yield(e, nil) {
							return
						}
					}
				}, nil
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := r.Stream(ctx, r.call(haiku, true))
			if err != nil {
				t.Fatal(err)
			}
			for e, err := range s.Events {
				if err != nil {
					break // a cancelled request may still be told why
				}
				if e.Kind != converse.BlockDelta {
					continue
				}
				if !c.cancel {
					break
				}
				cancel()
				close(gone)
			}
			released.Wait()
			es := r.entries(t)
			if len(es) != 1 {
				t.Fatalf("%d entries, want one", len(es))
			}
			if es[0].Status != ledger.Cancelled || es[0].Reason != "caller went away" || es[0].Usage != c.usage || es[0].Estimated == c.tells {
				t.Errorf("status %v usage %+v estimated %t reason %q", es[0].Status, es[0].Usage, es[0].Estimated, es[0].Reason)
			}
		})
	}
}

// TestNothingIsWritten: what is refused before any upstream is called leaves no entry.
func TestNothingIsWritten(t *testing.T) {
	r := newRig(t, up("east", []string{"us-east-1"}, func(context.Context, *upstream.Request) (converse.Stream, error) {
		t.Error("an upstream was called")
		return nil, errors.New("no")
	}))
	for name, c := range map[string]struct {
		change func(*invoke.Call)
		kind   fault.Kind
	}{
		"unknown model":                    {func(c *invoke.Call) { c.ModelID = "nonsense" }, fault.Validation},
		"no text model":                    {func(c *invoke.Call) { c.ModelID = "amazon.titan-embed-text-v2:0" }, fault.Validation},
		"unknown, to one who may not call": {func(c *invoke.Call) { c.ModelID, c.Caller.Root = "nonsense", false }, fault.AccessDenied},
		"not allowed":                      {func(c *invoke.Call) { c.Caller.Root = false }, fault.AccessDenied},
		"no upstream":                      {func(c *invoke.Call) { c.Caller.Region = "us-west-2" }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			call := r.call(haiku, false)
			c.change(call)
			if _, err := r.Do(t.Context(), call); !fault.Is(err, c.kind) {
				t.Errorf("error %v, want %v", err, c.kind)
			}
		})
	}
	if es := r.entries(t); len(es) != 0 {
		t.Errorf("%d entries, want none", len(es))
	}
}

// TestMetadata: the entry has what the front end read, or else what the request itself has.
func TestMetadata(t *testing.T) {
	header, body := map[string]string{"c": "3", "a": "", "b": "2"}, map[string]string{"z": "9"}
	fromHeader, fromBody := []ledger.Tag{{Key: "a", Value: ""}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}, []ledger.Tag{{Key: "z", Value: "9"}}
	r := newRig(t, up("a", nil, func(context.Context, *upstream.Request) (converse.Stream, error) {
		return events(nil, whole(12, 5)...), nil
	}))
	want := map[uuid.UUID][]ledger.Tag{}
	for _, c := range []struct {
		header, body map[string]string
		want         []ledger.Tag
	}{
		{nil, nil, nil}, {header, nil, fromHeader}, {nil, body, fromBody}, {header, body, fromHeader}, {nil, map[string]string{}, nil},
	} {
		call := r.call(haiku, false)
		call.Metadata, call.Body.RequestMetadata = c.header, c.body
		if _, err := r.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		want[call.ID] = c.want
	}
	for _, e := range r.entries(t) {
		if !slices.Equal(e.Metadata, want[e.Intent.ID]) {
			t.Errorf("metadata %v, want %v", e.Metadata, want[e.Intent.ID])
		}
		delete(want, e.Intent.ID)
	}
	if len(want) > 0 {
		t.Errorf("%d calls have no entry", len(want))
	}
}

// speaking is an upstream that takes every body as it is.
type speaking struct{ scripted }

func (speaking) Speaks(*upstream.Native) bool { return true }

// TestPieces: a call that is paid by the picture and whose answer is not known is settled with the pictures it asked for, as
// an estimate; one that was refused has used nothing.
func TestPieces(t *testing.T) {
	asked := converse.Units{Images: 3, ImageType: "T2I-512-Standard"}
	for _, c := range []struct {
		name      string
		send      scripted
		used      converse.Usage
		nano      int64
		estimated bool
	}{
		{"took too long", func(context.Context, *upstream.Request) (converse.Stream, error) {
			return nil, fault.New(fault.ModelTimeout, "The model took too long.")
		}, converse.Usage{Units: asked}, 24_000_000, true},
		{"refused", func(context.Context, *upstream.Request) (converse.Stream, error) {
			return nil, fault.New(fault.Validation, "No.")
		}, converse.Usage{}, 0, false},
		{"made fewer", func(context.Context, *upstream.Request) (converse.Stream, error) {
			made := converse.Usage{Units: converse.Units{Images: 1, ImageType: "T2I-512-Standard"}}
			return events(nil, converse.Event{Kind: converse.Chunk, Native: []byte(`{}`), Usage: made}, converse.Event{Kind: converse.Metadata, Usage: made}), nil
		}, converse.Usage{Units: converse.Units{Images: 1, ImageType: "T2I-512-Standard"}}, 8_000_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, &upstream.Upstream{Name: "aws", Provider: speaking{c.send}})
			call := r.call("amazon.titan-image-generator-v2:0", false)
			call.Operation, call.Body, call.Unread = "InvokeModel", nil, errors.New("not read")
			call.Native = &upstream.Native{Operation: "InvokeModel", Body: []byte(`{"taskType":"TEXT_IMAGE"}`), Units: asked}
			_, _ = r.Do(t.Context(), call)
			es := r.entries(t)
			if len(es) != 1 {
				t.Fatalf("%d entries", len(es))
			}
			nano, unrated := es[0].Cost()
			if es[0].Usage != c.used || nano != c.nano || unrated || es[0].Estimated != c.estimated {
				t.Errorf("%+v, %d nano-USD, unrated %t, estimated %t", es[0].Usage, nano, unrated, es[0].Estimated)
			}
		})
	}
}

// TestWords: what an upstream calls a tier or a reason to stop can be anything. It is in the ledger as far as it can be a name,
// and never keeps the settlement out of it.
func TestWords(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ tier, stop, usageType, kept string }{
		{"default", "end_turn", "USE1-Claude3Haiku-input-tokens", "end_turn"},
		{"flex", "tool_use", "USE1-Claude3Haiku-input-tokens-flex", "tool_use"},
		{long, long, "USE1-Claude3Haiku-input-tokens-other", "other"},
		{"fl\nex\x00", "a\xff", "USE1-Claude3Haiku-input-tokens-other", "other"},
	} {
		for _, native := range []bool{false, true} {
			r := newRig(t, &upstream.Upstream{Name: "a", Provider: speaking{func(context.Context, *upstream.Request) (converse.Stream, error) {
				last := converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}, Served: &converse.Served{Tier: c.tier}}
				if native {
					return events(nil, converse.Event{Kind: converse.Chunk, Native: []byte("{}"), StopReason: c.stop}, last), nil
				}
				return events(nil, start(), text("a"), converse.Event{Kind: converse.MessageStop, StopReason: c.stop}, last), nil
			}}})
			if _, err := r.Do(t.Context(), r.call(haiku, false)); err != nil {
				t.Fatal(err)
			}
			es := r.entries(t)
			if len(es) != 1 || len(es[0].Charges) != 2 || es[0].Charges[0].UsageType != c.usageType || es[0].StopReason != c.kept || es[0].Usage.OutputTokens != 2 {
				t.Errorf("%.20q, %.20q: %+v", c.tier, c.stop, es)
			}
		}
	}
}
