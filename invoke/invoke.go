// Package invoke is the data plane: one inference request in a straight line.
//
// Resolve what the caller named, authorize it, write the intent, try the targets in the order of package routing until the
// first event, stream, and settle exactly once however the call ends. The first event commits the target: before it a
// retryable error moves on to the next, after it the error is the caller's. A call leaves its profile's destinations never:
// see Invoker.provider.
package invoke

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/routing"
	"outcrop/upstream"
)

// Config is what an Invoker is made of. Every field but Routing, Policy, Logger, RefuseUnpriced and Drain is required.
type Config struct {
	Profiles  *profile.Service
	Guard     *iam.Guard
	Ledger    *ledger.Ledger
	Rater     *cost.Rater
	Upstreams []*upstream.Upstream
	Routing   *routing.Table  // nil is one of the defaults
	Policy    *routing.Policy // of routes that have none; nil is the default
	Clock     func() time.Time
	Logger    *slog.Logger

	// RefuseUnpriced refuses calls of which no price is known. Otherwise they are recorded as unrated.
	RefuseUnpriced bool

	// Drain is how long an upstream that does not say it itself is read on for its usage after its caller has gone, before
	// the call is cut and settled with an estimate. 0 is DefaultDrain.
	Drain time.Duration
}

// DefaultDrain is long enough for the rest of a common answer and short enough not to pay for a long one in vain.
const DefaultDrain = 5 * time.Second

// Invoker serves inference. It is safe for concurrent use.
type Invoker struct {
	Config
	running  running
	ways     ways
	troubles troubles
}

// New makes an Invoker.
func New(c Config) *Invoker {
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Routing == nil {
		c.Routing = routing.New(routing.Defaults, c.Clock())
	}
	v := &Invoker{Config: c}
	c.Routing.Watch(v.changed)
	return v
}

// Abort cuts every call that is still running. Each settles with what is known of it, then returns. It is for the end of
// the process, when the time to drain is over.
func (v *Invoker) Abort() { v.running.abort() }

// Call is one inference request, as a front end gives it.
type Call struct {
	ID        uuid.UUID
	Start     time.Time // when the request arrived
	Caller    *iam.Caller
	Operation string // as its API names it: Converse, InvokeModelWithResponseStream, ChatCompletions, ...
	ModelID   string // what the caller named: id, ARN or name
	Stream    bool
	Tier      string // the service tier that is asked for; "" means Body's ServiceTier, or the default

	// Guardrail is the guardrail that is asked for, as Body or Native's headers ask for it. Policies see it.
	Guardrail converse.Guardrail

	// Metadata is what the caller says of the call, at most 16 pairs; nil means Body's RequestMetadata. It is kept with the
	// call's entry in the ledger.
	Metadata map[string]string

	// What is asked for, in the canonical form and in the caller's own; at least one of the two.
	Body      *converse.Request
	Embedding *converse.EmbeddingRequest // in place of Body
	Native    *upstream.Native

	// Unread says why there is neither Body nor Embedding, only Native: the answer to the caller where no upstream speaks
	// Native's format.
	Unread error

	// Header is the answer's headers, by canonical name. Where the call was served is written there before its first event
	// or its error. It may be nil.
	Header map[string][]string

	// Read, where it is set, fills in the fields above once the model is known and the caller has been allowed to call
	// it: what a body means is its model's vendor's to say.
	Read func(m *catalog.Model) error
}

// Answer is the outcome of a call that is not streamed.
type Answer struct {
	*converse.Response
	Embeddings *converse.Embeddings // the answer to a Call's Embedding, unless Native is
	ModelID    string               // the foundation model that answered
	Latency    time.Duration        // from the request's arrival to its settlement
}

// action is the IAM action of an inference: there is none for Converse by name.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html
func (c *Call) action() string {
	if c.Operation == "CountTokens" {
		return "bedrock:CountTokens"
	}
	if c.Stream {
		return "bedrock:InvokeModelWithResponseStream"
	}
	return "bedrock:InvokeModel"
}

// tier is the service tier that the call asks for, "" for the default.
func (c *Call) tier() string {
	t := c.Tier
	if t == "" && c.Body != nil {
		t = c.Body.Tier()
	}
	if t == "default" {
		return ""
	}
	return t
}

// word is what an upstream calls a service tier or a reason to stop, for the ledger: "other" where it can be no such name.
func word(s string) string {
	const most = 64
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.:/ ", r)
	}
	if len(s) > most || strings.ContainsFunc(s, odd) {
		return "other"
	}
	return s
}

// Do serves a call to its end and returns the whole answer once it is settled on disk.
func (v *Invoker) Do(ctx context.Context, c *Call) (*Answer, error) {
	r, err := v.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := converse.Collect(r.events)
	if fault.Is(err, fault.ModelStream) {
		// Who asked for a whole answer knows of no stream: Converse and InvokeModel have no such exception.
		broken := *fault.From(err)
		broken.Kind = fault.ModelError
		err = &broken
	}
	if err != nil {
		return nil, err
	}
	return &Answer{Response: resp, Embeddings: r.vectors, ModelID: r.route.Model.ID, Latency: r.latency}, nil
}

// Streaming is a call that is being streamed.
type Streaming struct {
	// Events must be ranged over: until then the call is open in the ledger. Metadata is yielded only after the call is
	// settled on disk, so that whoever has read the whole answer can find what it cost.
	Events  converse.Stream
	ModelID string // the foundation model that answers
	run     *run
}

// Latency is the time from the request's arrival to its settlement; known from the Metadata event on.
func (s *Streaming) Latency() time.Duration { return s.run.latency }

// FirstEvent is the time from the request's arrival to the first event; known from then on.
func (s *Streaming) FirstEvent() time.Duration { return s.run.first }

// Stream serves a call as a stream. What is wrong before any upstream is tried is returned at once; what goes wrong
// later is an item of the stream, the first one when no event was seen.
func (v *Invoker) Stream(ctx context.Context, c *Call) (*Streaming, error) {
	r, err := v.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Streaming{Events: r.events, ModelID: r.route.Model.ID, run: r}, nil
}

// run is one call on its way.
type run struct {
	*Invoker
	ctx   context.Context // the caller's
	call  *Call
	id    string // the call's, as text
	route *profile.Route
	way   *way
	life  lifetime // of what is asked of upstreams

	settled  bool
	latency  time.Duration
	first    time.Duration
	served   *candidate // of the latest attempt; there is always one
	attempts int
	trying   routing.Attempt // at served
	lost     []lostAttempt
	usage    converse.Usage
	told     bool   // usage is the upstream's own
	whole    bool   // usage is of the whole answer, told or estimated
	tier     string // that the call is served in, as far as it is known: what was asked for, until an upstream says another
	refused  bool   // no upstream worked on the call
	partial  int64  // estimated tokens of the output seen, but for that in chunks, which tell their usage
	stop     string
	vectors  *converse.Embeddings
}

// Speaks reports whether any upstream passes n on as it is. n needs no Body for that.
func (v *Invoker) Speaks(n *upstream.Native) bool {
	return slices.ContainsFunc(v.Upstreams, func(u *upstream.Upstream) bool { return speaks(u.Provider, n) })
}

// speaks reports whether p passes n, which may be nil, on as it is.
func speaks(p upstream.Provider, n *upstream.Native) bool {
	s, ok := p.(upstream.Speaker)
	return ok && n != nil && s.Speaks(n)
}

func (v *Invoker) begin(ctx context.Context, c *Call) (*run, error) {
	c.Caller.Locate(c.ModelID)
	route, err := v.Profiles.Resolve(c.Caller.Account, c.Caller.Region, c.ModelID)
	if err != nil {
		return nil, v.unresolved(ctx, c, err)
	}
	id := c.ID.String()
	if err := v.authorize(ctx, c, id, route, c.Tier); err != nil {
		return nil, err
	}
	if c.Read != nil {
		if err := c.Read(route.Model); err != nil {
			return nil, err
		}
	}
	tier := c.tier()
	if tier != "" && tier != c.Tier { // the body alone says it, which is read for those who may call
		if err := v.authorize(ctx, c, id, route, tier); err != nil {
			return nil, err
		}
	}
	if c.Body != nil && !slices.Contains(route.Model.OutputModalities, "TEXT") {
		return nil, fault.New(fault.Validation, "This action doesn't support the model that you provided. Try again with a supported text or chat model.")
	}
	if c.Embedding != nil && !slices.Contains(route.Model.OutputModalities, "EMBEDDING") {
		return nil, fault.New(fault.Validation, "This action doesn't support the model that you provided. Try again with a supported embedding model.")
	}
	if c.Stream && !route.Model.Streaming {
		return nil, fault.New(fault.Validation, "The model is unsupported for streaming. Use Converse or InvokeModel for model %s.", route.Model.ID)
	}
	r := &run{Invoker: v, ctx: ctx, call: c, id: id, route: route, tier: tier}
	if r.way = v.way(route, c.Start); len(r.way.candidates) == 0 {
		return nil, fault.New(fault.Unavailable, "No upstream serves model %s in any Region that this request may use.", route.Model.ID)
	}
	if v.RefuseUnpriced {
		if err := r.unpriced(); err != nil {
			return nil, err
		}
	}
	if c.Body == nil && c.Embedding == nil {
		if !slices.ContainsFunc(r.way.candidates, func(k candidate) bool { return speaks(k.Provider, c.Native) }) {
			return nil, r.way.untranslated(c.Unread)
		}
	}
	intent := ledger.Intent{
		ID: c.ID, Time: c.Start, Account: c.Caller.Account, Principal: c.Caller.ARN, AccessKeyID: c.Caller.AccessKeyID,
		Region: route.Source, Operation: c.Operation, ResourceARN: route.ARN, ModelID: route.Model.ID, Scope: route.Scope, Tier: r.tier,
		EstimatedInputTokens: c.inputTokens(), MaxOutputTokens: route.Model.MaxOutputTokens,
	}
	if p := route.Profile; p != nil {
		intent.ResourceName = p.Name
		intent.Tags = make([]ledger.Tag, len(p.Tags))
		for i, t := range p.Tags {
			intent.Tags[i] = ledger.Tag{Key: t.Key, Value: t.Value}
		}
	}
	for key, value := range c.Caller.Tags() {
		intent.PrincipalTags = append(intent.PrincipalTags, ledger.Tag{Key: key, Value: value})
	}
	slices.SortFunc(intent.PrincipalTags, func(a, b ledger.Tag) int { return strings.Compare(a.Key, b.Key) })
	metadata := c.Metadata
	if metadata == nil && c.Body != nil {
		metadata = c.Body.RequestMetadata
	}
	if len(metadata) > 0 {
		for _, k := range slices.Sorted(maps.Keys(metadata)) {
			intent.Metadata = append(intent.Metadata, ledger.Tag{Key: k, Value: metadata[k]})
		}
	}
	switch {
	case c.Embedding != nil:
		intent.MaxOutputTokens = 0
	case c.Body != nil && c.Body.InferenceConfig != nil && c.Body.InferenceConfig.MaxTokens != nil:
		intent.MaxOutputTokens = int64(*c.Body.InferenceConfig.MaxTokens)
	}
	if err := v.Ledger.Open(ctx, &intent); err != nil {
		return nil, err
	}
	return r, nil
}

// unresolved is the answer for a name or id that stands for nothing, or for several profiles: its words are only for
// those who may call a profile of that name. An ARN is known to whoever sends it.
func (v *Invoker) unresolved(ctx context.Context, c *Call, err error) error {
	if strings.HasPrefix(c.ModelID, "arn:") {
		return err
	}
	a := iam.Access{Action: c.action(), Resource: arn.ApplicationProfile(c.Caller.Region, c.Caller.Account, c.ModelID)}
	if denied := v.Guard.Check(ctx, c.ID.String(), c.Caller, []iam.Access{a}); denied != nil {
		return denied
	}
	return err
}

// authorize asks for what Access says, in a service tier unless that is "".
func (v *Invoker) authorize(ctx context.Context, c *Call, id string, route *profile.Route, tier string) error {
	if c.Caller.Unbounded() {
		return v.Guard.Check(ctx, id, c.Caller, []iam.Access{{Action: c.action(), Resource: route.ARN}})
	}
	guardrail, access := c.guardrail(route.Source), v.Access(route, c.action())
	for i := range access {
		if tier != "" || guardrail != "" {
			access[i].Context = maps.Clone(access[i].Context)
		}
		if tier != "" {
			access[i].Context["bedrock:ServiceTier"] = []string{tier}
		}
		if guardrail != "" {
			access[i].Context["bedrock:GuardrailIdentifier"] = []string{guardrail}
		}
	}
	return v.Guard.Check(ctx, id, c.Caller, access)
}

// guardrail is what policies call the guardrail that the call asks for: its ARN, and behind a colon its version unless that
// is the draft; "" for none. One that is named by its id is the caller's own, in the Region that is called.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-permissions-id.html
func (c *Call) guardrail(region string) string {
	g := c.Guardrail.Identifier
	if g == "" {
		return ""
	}
	if !strings.HasPrefix(g, "arn:") {
		g = arn.Guardrail(region, c.Caller.Account, g)
	}
	if v := c.Guardrail.Version; v != "" && v != "DRAFT" {
		g += ":" + v
	}
	return g
}

// errGone says that the consumer of a stream stopped before its end.
var errGone = errors.New("the caller went away")

var errUnfinished = fault.New(fault.ModelStream, "The model's answer ended before it was complete.")

// events is the call's stream: it tries the candidates, forwards the events of the one that commits, and settles.
func (r *run) events(yield func(converse.Event, error) bool) {
	defer r.life.end()
	r.running.add(&r.life)
	defer r.running.remove(&r.life)
	defer context.AfterFunc(r.ctx, r.left)()
	// A consumer that panics must not leave the call open.
	defer func() {
		r.trying.End(r.Clock(), routing.Abandoned, 0, "")
		if !r.settled {
			_ = r.settle(ledger.Failed, "panic")
		}
	}()

	var (
		buffer [8]routing.Step
		last   error
	)
	t := turns{plan: r.plan(buffer[:0])}
	for last == nil || !r.unwanted() {
		c, a, ok := r.next(&t, false)
		if !ok {
			break
		}
		if last != nil {
			r.lose(r.served, last)
		}
		r.serve(c, a)
		committed, err := r.attempt(&t, yield)
		if err == nil {
			r.ended(&r.trying, nil)
			return
		}
		r.life.next() // an end of the attempt's own is none of the call's
		r.ended(&r.trying, err)
		last = err
		k := fault.From(err).Kind
		if committed || !k.Retryable() {
			break
		}
		t.slow = t.slow || late(err)
		r.troubled(r.served, err)
	}
	f := fault.From(last)
	r.refused = r.first == 0 && refused(f)
	switch {
	case errors.Is(last, errGone), r.ctx.Err() != nil:
		if err := r.settle(ledger.Cancelled, "caller went away"); err != nil {
			f = fault.From(err)
		}
	case r.running.isAborted():
		_ = r.settle(ledger.Failed, "the server stopped")
		f = fault.New(fault.Unavailable, "The service is stopping. Try again.")
	default:
		if err := r.settle(ledger.Failed, f.Kind.String()); err != nil {
			f = fault.From(err)
		}
	}
	if !errors.Is(last, errGone) {
		r.tell()
		yield(converse.Event{}, f)
	}
}

// unwanted says that nobody waits for another attempt.
func (r *run) unwanted() bool { return r.ctx.Err() != nil || r.running.isAborted() }

// tell writes into the answer's headers where the call is served, or was tried last.
func (r *run) tell() {
	h := r.call.Header
	if h == nil || r.served == nil {
		return
	}
	values := []string{r.served.region, r.served.Name, strconv.Itoa(r.attempts)}
	h["X-Outcrop-Served-Region"], h["X-Outcrop-Upstream"], h["X-Outcrop-Attempts"] = values[:1:1], values[1:2:2], values[2:]
}

// left starts the drain's clock: the caller has gone. It may run beside the call.
func (r *run) left() { r.life.endAfter() }

// serve makes the attempt a at c the run's.
func (r *run) serve(c *candidate, a routing.Attempt) {
	r.served, r.trying = c, a
	drain := r.Drain
	if c.Drain != nil {
		drain = *c.Drain
	}
	r.life.setDrain(drain)
}

// send asks c. vectors is where the embeddings go that are the answer.
func (r *run) send(ctx context.Context, c *candidate, vectors **converse.Embeddings) (converse.Stream, error) {
	p, err := r.provider(r.route, c, r.id)
	if err != nil {
		return nil, err
	}
	req := &upstream.Request{
		ID: r.id, Model: c.model, ModelID: r.route.Model.ID, Region: c.region, Stream: r.call.Stream,
		Body: r.call.Body, Embedding: r.call.Embedding, Native: r.call.Native, Unread: r.call.Unread,
	}
	if p := r.route.Profile; p != nil {
		req.Profile, req.ProfileName = r.route.ARN, p.Name
	}
	if req.Embedding != nil {
		return embed(ctx, p, req, vectors)
	}
	return p.Send(ctx, req)
}

// attempt sends the call to r.served, or to another beside it, and forwards the events of the one that commits, which
// r.served is then. committed says that an event was seen. A nil error means that the call is settled and done, also when
// the consumer did not take its last event.
func (r *run) attempt(t *turns, yield func(converse.Event, error) bool) (committed bool, err error) {
	var stream converse.Stream
	if d := r.hedgeDelay(t); d > 0 {
		race := &race{run: r}
		defer race.end()
		stream = race.decide(t, d)
	} else {
		r.attend(t, &r.life, r.served, &r.trying)
		stream, err = r.send(&r.life, r.served, &r.vectors)
	}
	if err != nil {
		return false, err
	}
	gone, done := false, false
	for e, err := range stream {
		if err != nil {
			if committed && e.Kind == converse.Metadata {
				r.usage, r.told, r.whole = e.Usage, !e.Estimated, true
			}
			if gone {
				return true, errGone // what the upstream says now interests nobody
			}
			return committed, err
		}
		if !committed {
			if err := r.life.begin(); err != nil {
				return false, err // it came too late
			}
			committed = true
			now := r.Clock()
			r.first = now.Sub(r.call.Start)
			r.trying.First(now)
			r.tell()
		} else if r.call.Stream {
			r.trying.Heard()
		}
		if e.Served != nil && e.Served.Tier != "" {
			r.tier = word(e.Served.Tier)
		}
		switch e.Kind {
		case converse.MessageStart:
			r.usage = e.Usage
		case converse.BlockStart, converse.BlockDelta:
			r.partial += e.OutputTokens()
		case converse.Chunk:
			r.usage = e.Usage // as far as it is known, should the answer be cut
			r.stop = cmp.Or(word(e.StopReason), r.stop)
		case converse.MessageStop:
			r.stop = word(e.StopReason)
		case converse.Metadata:
			r.usage, r.told, r.whole, done = e.Usage, !e.Estimated, true, true
			r.stop = cmp.Or(word(e.StopReason), r.stop)
			e.More = true // the end follows it at once
			status, reason := ledger.Completed, ""
			if gone || r.ctx.Err() != nil { // who takes a whole answer says it by his context alone
				status, reason = ledger.Cancelled, "caller went away"
			} else if !r.told {
				reason = "the upstream reported no usage"
			}
			if err := r.settle(status, reason); err != nil {
				return true, err
			}
		}
		if !gone && !yield(e, nil) {
			gone = true // read on for the usage, within the drain
			r.left()    // which r.ctx does not say where a write has failed first
		}
		if done {
			return true, nil
		}
	}
	if gone {
		return true, errGone
	}
	return committed, errUnfinished
}

// settle writes how the call ended, once. It uses no context of the caller's: a settlement outlives him.
func (r *run) settle(status ledger.Status, reason string) error {
	if r.settled {
		return nil
	}
	r.settled = true
	now := r.Clock()
	r.latency = now.Sub(r.call.Start)
	s := ledger.Settlement{
		ID: r.call.ID, Time: now, Status: status, Reason: reason, Service: catalog.Service,
		Attempts: r.attempts, StopReason: r.stop,
		Latency: r.latency, FirstEvent: r.first, Usage: r.usage, Estimated: !r.told,
	}
	switch {
	case r.told:
	case r.usage != (converse.Usage{}): // as far as it was known when the answer was cut
		u := &s.Usage
		if !r.whole { // of a whole answer the caller has read the same estimate
			u.OutputTokens = max(u.OutputTokens, r.partial)
		}
		if u.OutputTokens > 0 && u.Total() == u.OutputTokens { // some upstreams tell the input last
			u.InputTokens = r.call.estimateInputTokens()
		}
	case r.refused:
		s.Estimated = false // there is nothing to estimate
	default:
		// Something was generated, or may have been, and nobody told how much: no usage is never free.
		s.Usage = r.call.estimate(r.partial)
	}
	if r.served != nil {
		s.Upstream, s.Served = r.served.Name, r.served.region
	}
	use := r.use(s.Upstream, r.tier)
	use.Usage, use.Took = s.Usage, r.latency
	s.Charges = r.Rater.Rate(&use)
	for _, l := range r.lost {
		s.Estimated = true
		s.Reason = strings.TrimPrefix(s.Reason+"; an attempt at "+l.Name+" in "+l.region+" was lost: "+l.why, "; ")
		use := r.use(l.Name, r.call.tier())
		use.Usage, use.Lost = r.call.estimate(0), true
		for _, c := range r.Rater.Rate(&use) {
			c.UsageType += cost.LostAttempt
			s.Charges = append(s.Charges, c)
		}
	}
	if slices.ContainsFunc(s.Charges, func(c ledger.Charge) bool { return c.Unrated }) {
		r.unrated(&s)
	}
	if err := r.Ledger.Settle(context.WithoutCancel(r.ctx), &s); err != nil {
		r.Logger.Error("settlement failed", "request_id", r.id, "error", err)
		return fault.Wrap(err, fault.Unavailable, "The answer could not be recorded. Try again.")
	}
	return nil
}

// use is what the price of the call hangs on when upstream serves it in tier.
func (r *run) use(upstream, tier string) cost.Use {
	return cost.Use{
		Model: r.route.Model, Scope: r.route.Scope, Region: r.route.Source, Tier: tier, Upstream: upstream, Account: r.call.Caller.Account,
		At: r.call.Start,
	}
}

// unpriced is the error for a call of which an upstream that may serve it has no price, where such calls are refused.
func (r *run) unpriced() error {
	for i := range r.way.candidates {
		use := r.use(r.way.candidates[i].Name, r.tier)
		if !r.Rater.Unpriced(&use) {
			continue
		}
		in := ""
		if r.tier != "" {
			in = " in service tier " + r.tier
		}
		return fault.New(fault.Validation, "No price of model %s is known%s for calls in %s, and this server refuses what it cannot price.", r.route.Model.ID, in, r.route.Source)
	}
	return nil
}

// refused says that f, which came before any event, means that nothing was generated: the upstream was not reached, or
// answered with the status of an error.
func refused(f *fault.Error) bool {
	switch f.Kind {
	case fault.Validation, fault.NotFound, fault.AccessDenied, fault.Throttled, fault.ModelNotReady:
		return true
	case fault.Unavailable:
		return !f.Unanswered
	case fault.ModelError:
		return f.OriginalStatus >= 400
	}
	return false
}

// late says that the failure err was long in coming: nothing began in time, or there was no connection in time.
func late(err error) bool {
	var e interface{ Timeout() bool } // net.Error's
	return fault.Is(err, fault.ModelTimeout) || errors.As(err, &e) && e.Timeout()
}

// Recovered is the settlement of a call that a crash left open: what it really used is not known. Its input is charged
// as estimated when it began; its output, of which there may have been any amount up to the intent's MaxOutputTokens, is
// not invented. The entry says so, and a correction may follow it.
func Recovered(cat *catalog.Catalog, rater *cost.Rater) func(*ledger.Intent) ledger.Settlement {
	return func(in *ledger.Intent) ledger.Settlement {
		s := ledger.Settlement{
			ID: in.ID, Estimated: true, Reason: "the process ended before the call did",
			Service: catalog.Service, Usage: converse.Usage{InputTokens: in.EstimatedInputTokens},
		}
		if m, ok := cat.Model(in.ModelID); ok {
			s.Charges = rater.Rate(&cost.Use{Usage: s.Usage, Model: m, Scope: in.Scope, Region: in.Region, Tier: in.Tier, Account: in.Account, At: in.Time})
		}
		return s
	}
}
