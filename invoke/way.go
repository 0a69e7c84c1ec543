package invoke

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/converse"
	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
	"outcrop/profile"
	"outcrop/routing"
	"outcrop/upstream"
)

// candidate is one upstream for one target.
type candidate struct {
	*upstream.Upstream
	region string
	model  string // the upstream's name of it
	target *routing.Target
}

// way is what may be tried for the calls of one route: its candidates, as configured, and the order of the moment.
type way struct {
	candidates []candidate
	set        *routing.Set
	built      time.Time
	context    []policy.Context // of each of the route's resources, for who asks whether a call is allowed
}

// provider is the only way from a call to what answers it, and so where residency is kept: nothing is asked in a Region
// that is no destination of the call's route. Candidates come from the route; a candidate that does not is a bug, which
// must cost a call and not a boundary.
func (v *Invoker) provider(route *profile.Route, c *candidate, id string) (upstream.Provider, error) {
	if !slices.ContainsFunc(route.Targets, func(t profile.Target) bool { return t.Region == c.region && t.ModelID == c.target.Model }) {
		v.Logger.Error("a bug: a call was about to leave its destinations; it was refused", "request_id", id, "upstream", c.Name, "region", c.region, "model", c.target.Model, "resource", route.ARN)
		return nil, fault.New(fault.Internal, "an attempt outside the destinations of %s", route.ARN)
	}
	return c.Provider, nil
}

// ways remembers what is behind routes, which are shared by the calls of a profile until that changes.
type ways struct {
	byRoute sync.Map // *profile.Route -> *way
	count   atomic.Int64
}

// maxWays bounds what is remembered. When it is full of routes, of which most are of profiles that have changed since, it
// begins anew.
const maxWays = 1 << 13

// renewed is how long a way stands: the prices in it have dates.
const renewed = time.Hour

// way returns what may be tried for route at now.
func (v *Invoker) way(route *profile.Route, now time.Time) *way {
	if w, ok := v.ways.byRoute.Load(route); ok && now.Sub(w.(*way).built) < renewed {
		return w.(*way)
	}
	w := v.newWay(route, now)
	if v.ways.count.Add(1) > maxWays {
		v.ways.byRoute.Clear()
		v.ways.count.Store(1)
	}
	v.ways.byRoute.Store(route, w)
	return w
}

// newWay lists the route's targets, and within each Region the upstreams as configured. An upstream that is one server for
// several Regions is one candidate, in the first of them.
func (v *Invoker) newWay(route *profile.Route, now time.Time) *way {
	targets, p := route.Targets, cmp.Or(route.Policy, v.Policy)
	if p != nil {
		targets = slices.Clone(targets)
		slices.SortStableFunc(targets, func(a, b profile.Target) int { return p.Before(a.Region, b.Region) })
	}
	w := &way{built: now}
	var members []routing.Member
	for _, t := range targets {
		for _, u := range v.Upstreams {
			if !u.Regional && slices.ContainsFunc(w.candidates, func(c candidate) bool { return c.Upstream == u }) {
				continue
			}
			model, ok := v.serves(route, u, t)
			if !ok {
				continue
			}
			n := routing.Name{Upstream: u.Name, Model: t.ModelID}
			if u.Regional {
				n.Region = t.Region
			}
			c := candidate{u, t.Region, model, v.Routing.Target(n)}
			m := routing.Member{Target: c.target, Region: t.Region, Source: t.Region == route.Source, Weight: u.Weight, Standby: u.Standby || v.named(u, t), Price: -1}
			if nano, ok := v.Rater.Blend(&cost.Use{Model: route.Model, Scope: route.Scope, Region: t.Region, Upstream: u.Name, At: now}); ok {
				m.Price = nano
			}
			w.candidates, members = append(w.candidates, c), append(members, m)
		}
	}
	w.set = routing.NewSet(p, members)
	var names []string
	for _, c := range w.candidates {
		if !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	for _, r := range route.Authorize {
		with := maps.Clone(policy.Context(r.Context))
		with["outcrop:Upstream"] = names
		w.context = append(w.context, with)
	}
	return w
}

// serves returns u's own name of the model of t, when it serves that there for the calls of route. Where AWS itself chooses among
// Regions, all of these have to be route's.
func (v *Invoker) serves(route *profile.Route, u *upstream.Upstream, t profile.Target) (name string, ok bool) {
	if name, ok = u.Serves(t.Region, t.ModelID); !ok || !u.Regional {
		return name, ok
	}
	regions, crosses := v.Profiles.Crosses(name, t.Region)
	if !crosses {
		return name, true
	}
	for _, r := range regions {
		if !slices.ContainsFunc(route.Targets, func(t profile.Target) bool { return t.Region == r }) {
			return "", false
		}
	}
	return name, len(regions) > 0
}

// Access is what must be allowed to who calls the route's model by action: the profile and every model ARN behind it, the way
// AWS asks. Its contexts are shared: who adds to one clones it.
func (v *Invoker) Access(route *profile.Route, action string) []iam.Access {
	w := v.way(route, v.Clock())
	access := make([]iam.Access, len(route.Authorize))
	for i := range access {
		access[i] = iam.Access{Action: action, Resource: route.Authorize[i].ARN, Context: w.context[i]}
	}
	return access
}

// named reports whether another upstream than u serves t and names its model in so many words, while u serves it as it serves
// every model: u is then only for when the other does not answer.
func (v *Invoker) named(u *upstream.Upstream, t profile.Target) bool {
	if _, ok := u.Models[t.ModelID]; ok {
		return false
	}
	return slices.ContainsFunc(v.Upstreams, func(o *upstream.Upstream) bool {
		_, ok := o.Models[t.ModelID]
		return ok && !o.Standby && (o.Regions == nil || o.Regions[t.Region])
	})
}

// untranslated is unread, the error of a request that none of w's upstreams takes as it is. One that names the member that
// cannot be translated names them too.
func (w *way) untranslated(unread error) error {
	f := fault.From(unread)
	if f == nil || f.Kind != fault.Validation || f.Resource == "" {
		return unread
	}
	var names []string
	for i := range w.candidates {
		if name := strconv.Quote(w.candidates[i].Name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	named := *f
	named.Message += " No upstream of the model takes the request as it is: " + strings.Join(names, ", ") + "."
	return &named
}

// key stands for how the call begins: the profile, the system prompts and the first message.
func (r *run) key() routing.Key {
	p, b := r.way.set.Policy(), r.call.Body
	if b == nil || p.NoAffinity || p.Mode == routing.Latency {
		return 0
	}
	k := routing.Key(0).Add(r.route.ARN)
	for i := range b.System {
		if t := b.System[i].Text; t != nil {
			k = k.Add(*t)
		}
	}
	if len(b.Messages) > 0 {
		for _, c := range b.Messages[0].Content {
			if c.Text != nil {
				k = k.Add(*c.Text)
			}
		}
	}
	return k
}

// outcome is what an attempt that ended with err says of its target.
func (r *run) outcome(err error) routing.Outcome {
	f := fault.From(err)
	switch {
	case f == nil:
		return routing.Answered
	case r.ctx.Err() != nil, r.running.isAborted(), r.life.Err() != nil:
		return routing.Abandoned
	case !f.Kind.Retryable():
		return routing.Answered // it has looked at the request, at least
	}
	switch f.Kind {
	case fault.Throttled:
		if errors.Is(f, upstream.ErrFull) {
			return routing.Full
		}
		return routing.Throttled
	case fault.ModelTimeout:
		return routing.Slow
	case fault.Unavailable:
		if f.OriginalStatus == 0 {
			return routing.Unreachable
		}
		// A server that answers 503 is there. It says so of the model as a rule: Amazon Bedrock and Anthropic when they have no room
		// for that one, a gateway when nobody behind it serves that one.
	}
	return routing.Failed
}

// ended takes in that an attempt has ended with err, nil when all went well.
func (r *run) ended(a *routing.Attempt, err error) {
	what, wait := "", time.Duration(0)
	if f := fault.From(err); f != nil {
		what, wait = f.Kind.String(), f.RetryAfter
	}
	o := r.outcome(err)
	if o == routing.Full {
		what = "full"
	}
	a.End(r.Clock(), o, wait, what)
}

// turns is a call's way through its plan.
type turns struct {
	plan   []routing.Step
	at     int
	forced bool // nothing would have the call, and it goes where it may all the same
	slow   bool // a target did not begin in time, or could not be connected to in time

	full   []int // steps of the plan that were passed over because they have as many calls as they may
	waited bool  // for a place at one of them
}

// other reports whether there is another target that is not known to be out.
func (t *turns) other() bool {
	return len(t.full) > 0 || t.at < len(t.plan) && t.plan[t.at].Standing < routing.IsDown
}

// step returns the next one, and whether it is one that was passed over before: those come before what is down. What is
// asked beside another does not wait. i is its place in the plan, below 0 when there is none.
func (t *turns) step(beside bool) (i int, again bool) {
	switch {
	case len(t.full) > 0 && !beside && (t.at == len(t.plan) || t.plan[t.at].Standing >= routing.IsDown):
		i = t.full[0]
		t.full = t.full[1:]
		return i, true
	case t.at == len(t.plan):
		return -1, false
	}
	t.at++
	return t.at - 1, false
}

// plan puts the candidates in the order in which they are to be tried.
func (r *run) plan(dst []routing.Step) []routing.Step {
	if len(r.way.candidates) == 1 {
		return append(dst, routing.Step{})
	}
	return r.way.set.Plan(dst, r.Clock(), r.key(), r.call.Stream)
}

// next begins the next attempt, if there is to be one. A call is always sent once. After that it goes where it may do
// better: not to who has asked to be left alone, not to a second server that is known to be down when a first one has kept
// it waiting, and not beyond what an upstream's budget has for second attempts. Who is full is asked when the others have
// been: a call waits for a place once. beside says that another attempt is under way.
func (r *run) next(t *turns, beside bool) (*candidate, routing.Attempt, bool) {
	unread := r.call.Body == nil && r.call.Embedding == nil
	for {
		for {
			i, again := t.step(beside)
			if i < 0 {
				break
			}
			s := &t.plan[i]
			c := &r.way.candidates[s.Index]
			down := s.Standing == routing.IsDown
			if r.attempts > 0 && (s.Standing == routing.Throttles || down && t.slow) || unread && !speaks(c.Provider, r.call.Native) {
				continue
			}
			if len(t.plan) > 1 && !t.forced && isFull(c.Provider) {
				if !again {
					t.full = append(t.full, i)
				}
				if !again || t.waited {
					continue
				}
				t.waited = true
			}
			try := routing.Try{Stream: r.call.Stream, Again: r.attempts > 0, Forced: down || t.forced}
			if t.at < len(t.plan) {
				try.Next = r.way.candidates[t.plan[t.at].Index].target
			}
			a, refusal := c.target.Begin(r.Clock(), try)
			if refusal == routing.Granted {
				r.attempts++
				return c, a, true
			}
		}
		if r.attempts > 0 || t.forced {
			return nil, routing.Attempt{}, false
		}
		t.at, t.forced = 0, true
	}
}

// isFull reports whether a call that is sent to p now waits for another to end.
func isFull(p upstream.Provider) bool {
	b, ok := p.(upstream.Bounded)
	return ok && b.Full()
}

// attend begins the vigil of the attempt a at c: it is given up when its server is silent and there is another target, as
// routing.Attempt.Silence has it. l is what the attempt lasts.
func (r *run) attend(t *turns, l *lifetime, c *candidate, a *routing.Attempt) {
	if d := a.Patience(); d > 0 && t.other() {
		l.attend(r.Clock, c.Name, *a, d)
	}
}

// lostAttempt is one that may have cost something, and whose answer nobody got.
type lostAttempt struct {
	*candidate
	why string
}

// lose keeps an attempt at c that failed with err for the settlement, where it may have cost something.
func (r *run) lose(c *candidate, err error) {
	if f := fault.From(err); !refused(f) {
		r.lost = append(r.lost, lostAttempt{c, f.Kind.String()})
	}
}

// estimate is what an attempt counts as of which nobody told what it used: the input, as estimated, and what was seen of
// the output.
func (c *Call) estimate(partial int64) converse.Usage {
	u := converse.Usage{InputTokens: c.estimateInputTokens(), OutputTokens: partial}
	if n := c.Native; n != nil {
		if n.Units.Images > 0 || n.Units.SearchUnits > 0 {
			u = converse.Usage{} // these are not paid by the token
		}
		u.Units = n.Units
	}
	return u
}
