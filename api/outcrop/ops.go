// Package outcrop serves what AWS has no operation for: where calls go, and why. It is signed, authorized and answered like
// the rest, with IAM actions of its own; a signature for bedrock, and an API key, are as good as one for outcrop.
package outcrop

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/profile"
	"outcrop/wire"
)

// Config is what New needs; everything is required.
type Config struct {
	Invoker  *invoke.Invoker
	Profiles *profile.Service
	Catalog  *catalog.Catalog
	People   *iam.Directory
	Clock    func() time.Time
}

// New returns the service.
func New(c Config) *wire.Service {
	// What others may do is asked here without being recorded as denied: nobody has tried it.
	a := &api{c, iam.NewGuard(iam.GuardConfig{Clock: c.Clock})}
	return &wire.Service{
		Name: "outcrop", SigningName: "outcrop", AlsoSigned: []string{"bedrock"}, Protocol: wire.RestJSON,
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(wire.Row{Name: "ListRoutes", Method: "GET", Path: "/outcrop/routes", Action: "outcrop:ListRoutes"}, nil, a.listRoutes),
			wire.Handle(wire.Row{Name: "GetRoute", Method: "GET", Path: "/outcrop/routes/{profile}", Action: "outcrop:GetRoute"}, a.accessRoute, a.getRoute),
			wire.Handle(wire.Row{Name: "ExplainProfile", Method: "GET", Path: "/outcrop/explain/{profile}", Action: "outcrop:ExplainProfile"}, a.accessExplain, a.explain),
		},
	}
}

type api struct {
	Config
	ask *iam.Guard
}

func (a *api) listRoutes(_ context.Context, c *wire.Call, _ *listRoutesInput) (*Routes, error) {
	out := &Routes{Targets: []Target{}}
	seen := map[string]bool{}
	regions := map[string][]string{}
	for _, u := range a.Invoker.Upstreams {
		regions[u.Name] = slices.Sorted(maps.Keys(u.Regions))
	}
	for _, s := range a.Invoker.Targets() {
		t := Target{
			Upstream: s.Upstream, Regions: regions[s.Upstream], ModelID: s.Model, Health: s.Health.String(), OutUntil: s.OutUntil, ThrottledUntil: s.ThrottledUntil,
			InFlight: s.Outstanding, ServerInFlight: s.ServerWork, FirstEvent: millis(s.Streamed), Whole: millis(s.Whole),
			ErrorRate: s.ErrorRate, Calls: s.Calls,
		}
		if s.Region != "" { // a server of its own in each Region
			t.Regions = []string{s.Region}
		}
		if !s.Failure.At.IsZero() {
			t.LastFailure = &Failure{s.Failure.At, s.Failure.What}
		}
		seen[s.Upstream] = true
		out.Targets = append(out.Targets, t)
	}
	for _, u := range a.Invoker.Upstreams {
		if !seen[u.Name] {
			out.Unused = append(out.Unused, u.Name)
		}
	}
	for _, u := range a.Profiles.Unserved() {
		if p := u.Profile; p.Account == c.Caller.Account {
			out.Unserved = append(out.Unserved, Unserved{p.ARN, p.Name, p.ModelID, u.Regions, u.All})
		}
	}
	return out, nil
}

// accessRoute and accessExplain are the access to what the name stands for. What is not there is asked for as the ARN that
// it would have, so that a caller learns nothing of what they may not see.
func (a *api) accessRoute(c *wire.Call, in *profileInput) ([]iam.Access, error) {
	return []iam.Access{a.named(c, in.Profile)}, nil
}

func (a *api) accessExplain(c *wire.Call, in *explainInput) ([]iam.Access, error) {
	return []iam.Access{a.named(c, in.Profile)}, nil
}

func (a *api) named(c *wire.Call, name string) iam.Access {
	c.Caller.Locate(name)
	route, err := a.Profiles.Resolve(c.Caller.Account, c.Caller.Region, name)
	switch {
	case err == nil:
		return iam.Access{Resource: route.ARN, Context: route.Authorize[0].Context}
	case strings.HasPrefix(name, "arn:"):
		return iam.Access{Resource: name}
	}
	return iam.Access{Resource: arn.ApplicationProfile(c.Caller.Region, c.Caller.Account, name)}
}

func (a *api) getRoute(_ context.Context, c *wire.Call, in *profileInput) (*Route, error) {
	route, err := a.Profiles.Resolve(c.Caller.Account, c.Caller.Region, in.Profile)
	if err != nil {
		return nil, err
	}
	return &Route{Identity: identify(route), Routing: a.routed(route)}, nil
}

func identify(r *profile.Route) Identity {
	id := Identity{ARN: r.ARN, ModelID: r.Model.ID, Source: r.Source, Scope: r.Scope}
	if r.Profile != nil {
		id.Name, id.Type = r.Profile.Name, r.Profile.Type
	}
	return id
}

// routed is how a call through r would go at this moment.
func (a *api) routed(r *profile.Route) Routing {
	o := a.Invoker.Order(r)
	out := Routing{Policy: o.Policy, Order: []Choice{}, Unserved: o.Unserved}
	for _, c := range o.Choices {
		out.Order = append(out.Order, Choice{
			Upstream: c.Upstream, Region: c.Region, Model: c.Model, Why: c.Why(), InFlight: c.Outstanding, FirstEvent: millis(c.Latency), Wait: millis(c.Wait),
		})
	}
	return out
}

func (a *api) explain(ctx context.Context, c *wire.Call, in *explainInput) (*Explanation, error) {
	route, err := a.Profiles.Resolve(c.Caller.Account, c.Caller.Region, in.Profile)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Identity: identify(route), Routing: a.routed(route), Callers: []Caller{}}
	if p := route.Profile; p != nil {
		out.CopiedFrom = p.Source
		for _, t := range p.Tags {
			out.Tags = append(out.Tags, Tag(t))
		}
	}
	for _, t := range route.Targets {
		out.Destinations = append(out.Destinations, t.Region)
	}
	for _, r := range route.Authorize {
		out.Resources = append(out.Resources, r.ARN)
	}
	if err := a.People.Refresh(ctx); err != nil { // what an administrator has just changed is what is asked about
		return nil, err
	}
	for _, who := range a.People.Principals(c.Caller.Account, c.Caller.Region) {
		if in.User != nil && who.UserName != *in.User {
			continue
		}
		out.Callers = append(out.Callers, a.may(ctx, c.ID, &who, route))
	}
	if in.User != nil && len(out.Callers) == 0 {
		return nil, fault.New(fault.NotFound, "The user with name %s cannot be found.", *in.User)
	}
	if p, ok := a.Invoker.Rater.Catalog().Price(route.Model.ID, route.Scope, route.Source, a.Clock()); ok {
		out.Price = priceOf(p)
	}
	return out, nil
}

// may is what who may do with the route: each resource behind it is asked for, as when a model is called.
func (a *api) may(ctx context.Context, id string, who *iam.Caller, route *profile.Route) Caller {
	out := Caller{Principal: who.ARN}
	for _, of := range []struct {
		action string
		to     *Permission
	}{{"bedrock:InvokeModel", &out.Invoke}, {"bedrock:InvokeModelWithResponseStream", &out.Stream}} {
		of.to.Allowed = true
		if err := a.ask.Check(ctx, id, who, a.Invoker.Access(route, of.action)); err != nil {
			*of.to = Permission{Why: fault.From(err).Message}
		}
	}
	return out
}

func priceOf(p *catalog.Price) *Price {
	million := func(amount *int64) *int64 {
		if amount == nil {
			return nil
		}
		n, ok := catalog.Ratio(*amount, 1_000_000, 1, p.Per)
		if !ok {
			return nil
		}
		return &n
	}
	out := &Price{
		ID: p.ID, Input: million(p.Input), Output: million(p.Output), CacheRead: million(p.CacheRead), CacheWrite: million(p.CacheWrite),
		CacheWrite1h: million(p.CacheWrite1h), Units: p.Units, Inferred: p.Inferred, Effective: p.Effective,
	}
	if p.GPU != nil {
		out.GPUHour, out.GPUCalls = p.GPU.PerHour, p.GPU.Calls
	}
	return out
}

// millis is d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
