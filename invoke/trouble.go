package invoke

import (
	"slices"
	"sync"
	"time"

	"outcrop/fault"
	"outcrop/ledger"
	"outcrop/routing"
)

// troubles keeps the log short while targets fail. A failure of a kind that a target has not had lately is told at once;
// then there is a line a minute, with how many there were beside it.
type troubles struct {
	mu sync.Mutex
	of map[trouble]*told // there are as many as the table has targets, times a few kinds
}

// trouble is one kind of failure of one target.
type trouble struct {
	routing.Name
	what string
}

type told struct {
	at   time.Time // of the last line
	more int       // since then
}

// tellEvery is the time between two lines on the same trouble.
const tellEvery = time.Minute

// tell counts a failure, and reports whether to write it down: with more that were not.
func (ts *troubles) tell(t trouble, now time.Time) (more int, ok bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.of == nil {
		ts.of = map[trouble]*told{}
	}
	last := ts.of[t]
	switch {
	case last == nil:
		ts.of[t] = &told{at: now}
		return 0, true
	case now.Sub(last.at) < tellEvery:
		last.more++
		return 0, false
	}
	more = last.more
	*last = told{at: now}
	return more, true
}

// over returns how many failures of n, or of all models of that server, were not written down. The next is told at once.
func (ts *troubles) over(n routing.Name) (more int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t, last := range ts.of {
		if t.Upstream == n.Upstream && t.Region == n.Region && (n.Model == "" || t.Model == n.Model) {
			more += last.more
			delete(ts.of, t)
		}
	}
	return more
}

// troubled takes in that an attempt at c has failed with err, and another may be made.
func (r *run) troubled(c *candidate, err error) {
	if more, ok := r.troubles.tell(trouble{c.target.Name, fault.From(err).Kind.String()}, r.Clock()); ok {
		r.Logger.Warn("attempt failed", "request_id", r.id, "upstream", c.Name, "region", c.region, "model", c.target.Model, "failed_since_last_line", more, "error", err)
	}
}

// unrated writes down that a call used what has no known price.
func (r *run) unrated(s *ledger.Settlement) {
	c := s.Charges[slices.IndexFunc(s.Charges, func(c ledger.Charge) bool { return c.Unrated })]
	if more, ok := r.troubles.tell(trouble{routing.Name{Model: r.route.Model.ID}, "unrated"}, r.Clock()); ok {
		r.Logger.Warn("usage without a known price is recorded as unrated", "request_id", r.id, "model", r.route.Model.ID, "region", r.route.Source,
			"scope", r.route.Scope, "usage_type", c.UsageType, "quantity", c.Quantity, "calls_since_last_line", more)
	}
}

// changed writes down that a target is left alone, or is asked again.
func (v *Invoker) changed(c routing.Change) {
	where := []any{"upstream", c.Upstream}
	if c.Region != "" {
		where = append(where, "region", c.Region)
	}
	if c.Model != "" {
		where = append(where, "model", c.Model)
	}
	switch c.To {
	case routing.IsDown:
		v.Logger.Warn("target is down: calls go elsewhere, single ones try it", append(where, "first_trial_after", c.Wait)...)
	case routing.Ready:
		// Whoever is told that it is down is told that it is back: at the level of warn, which is the default, too.
		v.Logger.Warn("target is well again", append(where, "failed_since_last_line", v.troubles.over(c.Name))...)
	case routing.Ejected:
		// Every profile leaves it out for itself, and again as long as it does not do better.
		if _, ok := v.troubles.tell(trouble{c.Name, "left out"}, v.Clock()); ok {
			v.Logger.Warn("target is left out: the others do much better", append(where, "for", c.Wait)...)
		}
	}
}
