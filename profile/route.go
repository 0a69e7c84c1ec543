package profile

import (
	"errors"
	"maps"
	"strings"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/fault"
)

// ErrUnknownModel is wrapped by the error of Resolve for what stands for nothing. Bedrock calls that invalid; other vendors'
// APIs have a word for it.
var ErrUnknownModel = errors.New("nothing is known by that name")

func unknownModel() error { return fault.Wrap(ErrUnknownModel, fault.Validation, msgInvalidModel) }

// Resolve returns what modelID means to a caller of account in region: an application profile's ARN, id or unique
// name; a system-defined profile's id or ARN; a foundation model's id or ARN. The Route is shared and never changed.
func (s *Service) Resolve(account, region, modelID string) (*Route, error) {
	id := modelID
	if strings.HasPrefix(modelID, "arn:") {
		a, err := arn.Parse(modelID)
		if err != nil || a.Service != "bedrock" || a.Partition != arn.Partition(region) || a.Region != region {
			return nil, unknownModel()
		}
		kind, name := a.Split()
		switch {
		case kind == "application-inference-profile" && a.Account == account:
			if e, ok := s.space(spaceKey{account, region}).byID[name]; ok {
				return e.routed()
			}
			return nil, unknownModel()
		case kind == "inference-profile" && a.Account == account:
			if r := s.systemRoute(account, region, name); r != nil {
				return r, nil
			}
			return nil, unknownModel()
		case kind == "foundation-model" && a.Account == "":
			id = name
		default:
			return nil, unknownModel()
		}
		return s.modelRoute(region, id)
	}
	sp := s.space(spaceKey{account, region})
	if e, ok := sp.byID[id]; ok {
		return e.routed()
	}
	if r := s.systemRoute(account, region, id); r != nil {
		return r, nil
	}
	if _, ok := s.catalog.Model(id); ok {
		return s.modelRoute(region, id)
	}
	e, err := sp.named(id)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, unknownModel()
	}
	return e.routed()
}

func (e *entry) routed() (*Route, error) {
	if e.route == nil {
		return nil, fault.New(fault.NotFound, msgEndOfLife)
	}
	return e.route, nil
}

// entry makes the route of an application profile.
func (s *Service) entry(p *Profile) *entry {
	m, ok := s.catalog.Model(p.ModelID)
	if !ok {
		return &entry{profile: p}
	}
	r := newRoute(p, m, s.destinations(p))
	var err error
	if r.Policy, err = policyOf(p.Tags); err != nil {
		// Create and Tag refuse such a one: it is older than they are, or newer.
		s.log.Error("the routing of an inference profile cannot be read; it is the default", "profile", p.ARN, "error", err)
	}
	return &entry{profile: p, route: r}
}

// destinations is the Regions in which a call of the application profile p may be served.
func (s *Service) destinations(p *Profile) []string {
	switch p.Geo {
	case "":
		return []string{p.Region}
	case catalog.Global:
		// Its model ARNs do not name the Regions; those of the catalog may grow.
		return s.catalog.Destinations(catalog.Global+"."+p.ModelID, p.Region)
	}
	// What was copied: a geography's destinations never change.
	var regions []string
	for _, model := range p.Models {
		if a, err := arn.Parse(model); err == nil {
			regions = append(regions, a.Region)
		}
	}
	return regions
}

// systemRoute returns the route of a system-defined profile, nil when there is none of that id in region.
func (s *Service) systemRoute(account, region, id string) *Route {
	k := routeKey{account, region, id}
	if r, ok := (*s.routes.Load())[k]; ok {
		return r
	}
	p := s.system(account, region, id)
	if p == nil {
		return nil
	}
	m, _ := s.catalog.Model(p.ModelID) // the loader has checked that it is there
	r := newRoute(p, m, s.catalog.Destinations(id, region))
	s.keep(k, r)
	return r
}

// modelRoute returns the route of a bare model.
func (s *Service) modelRoute(region, id string) (*Route, error) {
	k := routeKey{"", region, id}
	if r, ok := (*s.routes.Load())[k]; ok {
		return r, nil
	}
	m, ok := s.catalog.Model(id)
	if !ok {
		return nil, unknownModel()
	}
	if !s.OnDemand(region, m) {
		return nil, fault.New(fault.Validation, msgNotOnDemand, id)
	}
	model := arn.FoundationModel(region, id)
	r := &Route{
		Model: m, Scope: catalog.InRegion, Source: region, ARN: model,
		Targets: []Target{{region, id}}, Authorize: []Resource{{ARN: model, Region: region, Context: conditionKeys(nil, m, []string{region}, &Resource{Region: region}, false)}},
	}
	s.keep(k, r)
	return r, nil
}

// keep remembers a route for the calls to come.
func (s *Service) keep(k routeKey, r *Route) {
	s.muRoutes.Lock()
	defer s.muRoutes.Unlock()
	old := *s.routes.Load()
	if len(old) >= maxRoutes {
		return
	}
	next := maps.Clone(old)
	next[k] = r
	s.routes.Store(&next)
}

// newRoute puts a profile's route together; see section "Authorizing inference through a profile" of the
// documentation for the order: the profile, the model in the source Region, the model in every destination, or for a
// global profile the model outside any Region.
func newRoute(p *Profile, m *catalog.Model, destinations []string) *Route {
	r := &Route{
		Profile: p, Model: m, Scope: p.Geo, Source: p.Region, ARN: p.ARN,
		Targets:   make([]Target, 0, len(destinations)),
		Authorize: []Resource{{ARN: p.ARN, Region: p.Region}, {ARN: arn.FoundationModel(p.Region, m.ID), Region: p.Region}},
	}
	if p.Geo == "" {
		r.Scope = catalog.InRegion
	}
	for _, d := range destinations {
		if d == p.Region {
			r.Targets = append(r.Targets, Target{d, m.ID})
		}
	}
	for _, d := range destinations {
		if d == p.Region {
			continue
		}
		r.Targets = append(r.Targets, Target{d, m.ID})
		if p.Geo != catalog.Global {
			r.Authorize = append(r.Authorize, Resource{ARN: arn.FoundationModel(d, m.ID), Region: d})
		}
	}
	if p.Geo == catalog.Global {
		r.Authorize = append(r.Authorize, Resource{ARN: arn.FoundationModel("", m.ID), Region: "unspecified"})
	}
	var regions []string
	for _, t := range r.Targets {
		regions = append(regions, t.Region)
	}
	for i := range r.Authorize {
		r.Authorize[i].Context = conditionKeys(p, m, regions, &r.Authorize[i], i == 0)
	}
	return r
}

// conditionKeys are what policies may ask of r, behind the profile p (nil for a bare model), of calls of m that may be served in
// regions. Source, but for the keys outcrop:..., which AWS has not:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html
func conditionKeys(p *Profile, m *catalog.Model, regions []string, r *Resource, itself bool) map[string][]string {
	keys := map[string][]string{"aws:RequestedRegion": {r.Region}, "outcrop:DestinationRegion": regions, "outcrop:ModelProvider": {m.Provider}}
	if p != nil {
		keys["bedrock:InferenceProfileArn"] = []string{p.ARN}
		if itself {
			maps.Copy(keys, p.ConditionKeys())
		}
	}
	return keys
}

// ConditionKeys are what policies may ask of a profile itself: its tags, of application profiles.
func (p *Profile) ConditionKeys() map[string][]string {
	if p.Type != Application {
		return nil
	}
	keys := make(map[string][]string, len(p.Tags))
	for _, t := range p.Tags {
		keys["aws:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return keys
}

// RequestKeys are what policies may ask of a request that gives a profile tags.
func RequestKeys(tags []Tag) map[string][]string {
	if len(tags) == 0 {
		return nil
	}
	keys, names := make(map[string][]string, len(tags)+1), make([]string, len(tags))
	for i, t := range tags {
		keys["aws:RequestTag/"+t.Key], names[i] = []string{t.Value}, t.Key
	}
	keys["aws:TagKeys"] = names
	return keys
}
