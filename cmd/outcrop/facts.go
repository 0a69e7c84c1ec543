package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/upstream"
)

// maxFacts bounds a catalogue file.
const maxFacts = 16 << 20

// readFacts reads a catalogue file.
func readFacts(name string) (*catalog.Facts, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFacts {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFacts)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := catalog.ParseFacts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// facts is what the program was built with, what of imports holds, and what the configuration's catalog section lays over both.
func (c *Config) facts(imports ...cost.PriceImport) (*catalog.Facts, error) {
	all, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	for i := range imports {
		if !imports[i].Withdrawn.IsZero() {
			continue
		}
		f, err := catalog.ParseFacts(imports[i].Facts)
		if err == nil {
			f.Numbered(fmt.Sprintf("import-%d", imports[i].Number))
			all, err = all.Overlay(f)
		}
		if err != nil {
			return nil, fmt.Errorf("import %d of prices (%s): %w", imports[i].Number, imports[i].Source, err)
		}
	}
	for _, name := range c.Catalog.Files {
		f, err := readFacts(name)
		if err == nil {
			if all, err = all.Overlay(f); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("catalog.files: %w", err)
		}
	}
	own := &c.Catalog.Facts
	if own.Empty() {
		return all, nil
	}
	if all, err = all.Overlay(own); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return all, nil
}

// catalog is the catalog of a server with this configuration: its facts and its own geographies.
func (c *Config) catalog(imports ...cost.PriceImport) (*catalog.Catalog, error) {
	all, err := c.facts(imports...)
	if err != nil {
		return nil, err
	}
	return c.complete(all)
}

// complete adds the configuration's geographies to all and makes a catalog of it.
func (c *Config) complete(all *catalog.Facts) (*catalog.Catalog, error) {
	models := make(map[string]bool, len(all.Models))
	for i := range all.Models {
		models[all.Models[i].ID] = true
	}
	for i, g := range c.Geographies {
		at := fmt.Sprintf("geographies[%d] (%s)", i, g.Name)
		for _, id := range g.Models {
			if !models[id] {
				return nil, fmt.Errorf("%s: models: the catalog has no model %q%s", at, id, nearest(id, models))
			}
		}
		if err := all.AddGeography(catalog.Geography(g)); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	return catalog.New(all)
}

// places are the upstreams without their providers: enough to ask what they serve.
func (c *Config) places() []*upstream.Upstream {
	if len(c.Upstreams) == 0 {
		return []*upstream.Upstream{{Name: "simulated"}}
	}
	us := make([]*upstream.Upstream, len(c.Upstreams))
	for i := range c.Upstreams {
		us[i] = c.Upstreams[i].place()
	}
	return us
}

// serves reports whether any of us serves the model in region.
func serves(us []*upstream.Upstream, region, modelID string) bool {
	return slices.ContainsFunc(us, func(u *upstream.Upstream) bool { _, ok := u.Serves(region, modelID); return ok })
}

// doubts are what the configuration says, may say, and probably does not mean, for a person to read: names that nothing else
// knows, and places where nothing answers.
func (c *Config) doubts(cat *catalog.Catalog) []string {
	var doubts []string
	doubt := func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) }

	// A Region that AWS does not have is the operator's own where both sides name it: somebody serves it, and something is
	// offered there.
	models, offered, served, known := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range cat.AllModels() {
		models[m.ID] = true
		for _, r := range m.Regions {
			offered[r] = true
		}
	}
	for _, p := range cat.AllProfiles() {
		for source, destinations := range p.Routes {
			offered[source] = true
			for _, d := range destinations {
				offered[d] = true
			}
		}
	}
	for _, r := range catalog.Regions() {
		known[r.ID] = true
	}
	everywhere := len(c.Upstreams) == 0
	for i := range c.Upstreams {
		everywhere = everywhere || len(c.Upstreams[i].Regions) == 0
		for _, r := range c.Upstreams[i].Regions {
			served[r] = true
		}
	}
	either := maps.Clone(known)
	maps.Copy(either, offered)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		at := fmt.Sprintf("upstreams[%d] (%s)", i, u.Name)
		for _, r := range u.Regions {
			if !known[r] && !offered[r] {
				doubt("%s: regions: %q is no Region of AWS, and no geography or catalog entry names it%s", at, r, nearest(r, either))
			}
		}
		for _, id := range slices.Sorted(maps.Keys(u.Models)) {
			if id != "*" && !models[id] {
				doubt("%s: models: the catalog has no model %q: nobody can call it%s", at, id, nearest(id, models))
			}
			if u.Provider != "bedrock" {
				continue
			}
			if regions, crosses := crossing(cat, u, id); crosses && len(regions) == 0 {
				doubt("%s: models: %q is called as %q, of which the catalog does not know in which Regions AWS serves it: no call goes there", at, id, u.Models[id])
			} else if crosses && slices.ContainsFunc(regions, func(r string) bool { return cat.OnDemand(id, r) }) {
				doubt("%s: models: %q is called as %q, for which AWS chooses among %s: calls that have to stay in one Region, or in some of these, do not go there", at, id, u.Models[id], strings.Join(regions, ", "))
			}
		}
	}
	maps.Copy(known, served)
	places := c.places()
	for i, g := range c.Geographies {
		at := fmt.Sprintf("geographies[%d] (%s)", i, g.Name)
		for _, r := range g.Sources {
			// A place of callers alone needs no upstream and may have any name: only one that looks like another is doubtful.
			if best, dist := closest(r, known); !known[r] && !slices.Contains(g.Destinations, r) && dist >= 0 && dist <= 2 {
				doubt("%s: sources: %q is no Region of AWS, and no upstream names it; did you mean %q?", at, r, best)
			}
		}
		for _, r := range g.Destinations {
			if !everywhere && !known[r] {
				doubt("%s: destinations: no upstream serves %q%s", at, r, nearest(r, served))
				continue
			}
			for _, id := range g.Models {
				if !serves(places, r, id) {
					doubt("%s: no upstream serves %s in %s", at, id, r)
				}
			}
		}
	}
	for _, p := range c.Catalog.Prices {
		if p.Tier+p.Upstream+p.Contract != "" {
			continue
		}
		if price, ok := cat.Price(p.Model, p.Scope, p.Region, time.Now()); ok && price.Effective.Format(time.DateOnly) > p.Effective {
			doubt("catalog: prices: the price of %s in scope %s from %s no longer holds: %s has taken its place", p.Model, p.Scope, p.Effective, price.ID)
		}
	}
	upstreams := map[string]bool{}
	for _, u := range places {
		upstreams[u.Name] = true
	}
	for _, p := range c.Catalog.Prices {
		if p.Upstream != "" && !upstreams[p.Upstream] {
			doubt("catalog: prices: the price of %s is for calls that upstream %q serves, and there is none%s", p.Model, p.Upstream, nearest(p.Upstream, upstreams))
		}
	}
	for _, m := range c.Catalog.Models {
		if _, ok := cat.Price(m.ID, catalog.InRegion, "", time.Now()); !ok {
			if _, said := cat.Unpriced(m.ID); !said {
				doubt("catalog: models: %s has no price in its Region: its usage is shown as unrated there", m.ID)
			}
		}
	}
	return doubts
}

// crossing reports whether u, which is AWS, calls the model id by the name of a cross-Region inference profile, and lists the
// Regions where AWS may serve it.
func crossing(cat *catalog.Catalog, u *UpstreamConfig, id string) (regions []string, crosses bool) {
	sources := u.Regions
	if len(sources) == 0 {
		for _, r := range catalog.Regions() {
			sources = append(sources, r.ID)
		}
	}
	for _, from := range sources {
		to, c := cat.Crosses(u.Models[id], from)
		crosses = crosses || c
		regions = append(regions, to...)
	}
	slices.Sort(regions)
	return slices.Compact(regions), crosses
}

// report writes to the log what would otherwise show when somebody calls: doubtful configuration, and profiles with Regions
// where nothing answers. Of the latter, those that still have a Region are told at info.
func (s *server) report(cat *catalog.Catalog) {
	for _, d := range s.config.doubts(cat) {
		s.log.Warn("the configuration is doubtful: " + d)
	}
	const shown = 20
	dead, some := 0, 0
	for _, u := range s.profiles.Unserved() {
		p := u.Profile
		about := []any{"name", p.Name, "arn", p.ARN, "model", p.ModelID, "regions", u.Regions}
		if u.All {
			if dead++; dead <= shown {
				s.log.Warn("no upstream serves the profile: calls through it will fail", about...)
			}
		} else if some++; some <= shown {
			s.log.Info("some of the profile's Regions have no upstream", about...)
		}
	}
	if dead > shown {
		s.log.Warn("more profiles that no upstream serves", "profiles", dead-shown)
	}
	if some > shown {
		s.log.Info("more profiles with Regions that have no upstream", "profiles", some-shown)
	}
}
