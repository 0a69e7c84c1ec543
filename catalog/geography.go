package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Geography is an operator's own: for each of its models a system-defined inference profile NAME.MODEL.
type Geography struct {
	Name         string   // what the ids of its profiles begin with: "onprem"
	Label        string   // what their names begin with; "" is Name
	Sources      []string // the Regions that its profiles are offered from; none is Destinations
	Destinations []string // the Regions that answer, in the order in which they are shown
	Models       []string // ids of foundation models
}

var (
	geographyName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)
	geographyLabel = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z ._-]{0,30}[0-9A-Za-z])?$`)
)

// AddGeography adds the profiles of an operator's geography to f. Names that AWS or the catalogue has are refused; so are
// models that f does not have.
func (f *Facts) AddGeography(g Geography) error {
	switch {
	case !geographyName.MatchString(g.Name):
		return fmt.Errorf("name: %q: want a lower-case letter, then at most 19 of a-z, 0-9 and -", g.Name)
	case g.Name == InRegion:
		return fmt.Errorf("name: %q is the scope of prices within a Region", g.Name)
	case g.Label != "" && !geographyLabel.MatchString(g.Label):
		return fmt.Errorf("label: %q: want at most 32 letters, digits, spaces, dots, hyphens and underscores", g.Label)
	case len(g.Destinations) == 0:
		return fmt.Errorf("destinations are missing: the Regions that answer")
	case len(g.Models) == 0:
		return fmt.Errorf("models are missing: the ids of the foundation models that it has profiles of")
	}
	if slices.ContainsFunc(f.Profiles, func(p ProfileFact) bool { return p.Geo == g.Name }) {
		return fmt.Errorf("name: there are profiles of a geography %q already", g.Name)
	}
	sources := g.Sources
	if len(sources) == 0 {
		sources = g.Destinations
	}
	for _, list := range [][]string{sources, g.Destinations} {
		for i, r := range list {
			if !IsRegion(r) {
				return fmt.Errorf("%q is not the name of a Region, such as us-east-1 or onprem-tokyo-1 (at most 20 characters)", r)
			}
			if slices.Contains(list[:i], r) {
				return fmt.Errorf("%s is there twice", r)
			}
		}
	}
	label := g.Label
	if label == "" {
		label = g.Name
	}
	routes := make(map[string][]string, len(sources))
	for _, s := range sources {
		routes[s] = g.Destinations
	}
	for i, id := range g.Models {
		at := slices.IndexFunc(f.Models, func(m ModelFact) bool { return m.ID == id })
		if at < 0 {
			return fmt.Errorf("models: the catalogue has no model %q", id)
		}
		if slices.Contains(g.Models[:i], id) {
			return fmt.Errorf("models: %s is there twice", id)
		}
		m := f.Models[at]
		name := m.Name
		if !strings.HasPrefix(name, m.Provider) && m.Provider != "Amazon" { // as AWS names its own
			name = m.Provider + " " + name
		}
		f.Profiles = append(f.Profiles, ProfileFact{
			ID: g.Name + "." + id, Geo: g.Name, Name: label + " " + name, Model: id, Routes: routes,
			Description: "Routes requests to " + name + " in " + destinations + ".",
		})
	}
	f.own = true
	return nil
}
