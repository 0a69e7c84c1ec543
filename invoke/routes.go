package invoke

import (
	"slices"

	"outcrop/profile"
	"outcrop/routing"
	"outcrop/upstream"
)

// Order is how a stream through one route would be tried at this moment.
type Order struct {
	Policy  string // the routing policy, as it stands in a tag
	Choices []Choice

	// Unserved is the destinations in which no upstream serves the model, in the route's order.
	Unserved []string
}

// Choice is one target of an Order.
type Choice struct {
	Upstream string
	Region   string // in which a call would count as served
	Model    string // the upstream's name of it
	routing.Step
}

// Order returns the order of a route for a call that begins like no other: one that begins like others goes where they
// went. Where targets are alike it is drawn, as for a call.
func (v *Invoker) Order(route *profile.Route) *Order {
	now := v.Clock()
	w := v.way(route, now)
	o := &Order{Policy: w.set.Policy().String()}
	for _, s := range w.set.Plan(nil, now, 0, true) {
		c := &w.candidates[s.Index]
		o.Choices = append(o.Choices, Choice{Upstream: c.Name, Region: c.region, Model: c.model, Step: s})
	}
	for _, t := range route.Targets {
		if !slices.ContainsFunc(v.Upstreams, func(u *upstream.Upstream) bool { _, ok := v.serves(route, u, t); return ok }) {
			o.Unserved = append(o.Unserved, t.Region)
		}
	}
	return o
}

// Targets returns the live state of every target that has been planned for, by name. An upstream that is one server has no
// Region in its name.
func (v *Invoker) Targets() []routing.Status { return v.Routing.Status(v.Clock()) }
