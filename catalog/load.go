package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"outcrop/arn"
)

// Load reads the embedded data.
func Load() (*Catalog, error) {
	f, err := Embedded()
	if err != nil {
		return nil, err
	}
	return New(f)
}

// New checks f and makes a catalog of it: every reference must lead somewhere, and everything must be there once.
func New(f *Facts) (*Catalog, error) {
	date, err := f.day()
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c := &Catalog{
		Date: date, models: map[string]*Model{}, profiles: map[string]*Profile{}, byModel: map[string][]*Profile{},
		bySource: map[string][]*Profile{}, tariffs: map[tariffKey]*tariffs{}, unpriced: map[string]string{},
	}
	if err := f.checkRegions(); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := c.addModels(f.Models); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := c.addProfiles(f.Profiles); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := c.addPrices(f); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	for _, p := range c.profiles {
		if p.CreatedAt.IsZero() {
			p.CreatedAt = c.Date
		}
		if p.UpdatedAt.IsZero() {
			p.UpdatedAt = p.CreatedAt
		}
	}
	return c, nil
}

// modelID is what the service model of Amazon Bedrock says of a foundation model's id (BedrockModelId).
var modelID = regexp.MustCompile(`^[a-z0-9-]{1,63}[.]([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}$`)

func (c *Catalog) addModels(facts []ModelFact) error {
	usage := map[string]string{} // name -> model
	for _, f := range facts {
		m := &Model{
			ID: f.ID, Name: f.Name, Provider: f.Provider, InputModalities: f.Input, OutputModalities: f.Output, Streaming: f.Streaming,
			OnDemand: f.OnDemand, Provisioned: f.Provisioned, Regions: f.Regions, Status: f.Status,
			ContextTokens: f.ContextTokens, MaxOutputTokens: f.MaxOutputTokens, UsageName: f.UsageName, Inferred: len(f.Inferred) > 0,
		}
		if f.ID == "" || f.Name == "" || f.Provider == "" || len(f.Input) == 0 || len(f.Output) == 0 {
			return fmt.Errorf("model %q lacks a field: id, name, provider, input and output must be there", f.ID)
		}
		if !modelID.MatchString(f.ID) {
			return fmt.Errorf("model %q: not the form of a model id, such as acme.chat-v1:0", f.ID)
		}
		if _, ok := c.models[f.ID]; ok {
			return fmt.Errorf("model %s is there twice", f.ID)
		}
		if f.Status != "ACTIVE" && f.Status != "LEGACY" {
			return fmt.Errorf("model %s: status %q", f.ID, f.Status)
		}
		if f.OnDemand && f.Provisioned {
			return fmt.Errorf("model %s is both on demand and provisioned only", f.ID)
		}
		if !slices.IsSorted(f.Regions) {
			return fmt.Errorf("model %s: regions are not sorted", f.ID)
		}
		for _, d := range []struct {
			from string
			to   *time.Time
		}{{f.Legacy, &m.Legacy}, {f.ExtendedAccess, &m.ExtendedAccess}, {f.EndOfLife, &m.EndOfLife}} {
			var err error
			if *d.to, err = day(d.from); err != nil {
				return fmt.Errorf("model %s: %w", f.ID, err)
			}
		}
		if m.UsageName == "" {
			m.UsageName = usageName(f.Name)
		}
		if other, ok := usage[m.UsageName]; ok {
			return fmt.Errorf("models %s and %s have the same usage name %s", other, f.ID, m.UsageName)
		}
		usage[m.UsageName] = f.ID
		c.models[f.ID] = m
		c.order.models = append(c.order.models, f.ID)
	}
	return nil
}

// usageName abbreviates a model's display name as AWS does in usage types. The rule: of a Claude whose family stands
// before its version the version comes first; then what is not a letter, a digit, a dot or a hyphen goes, and where that
// would join two numbers a hyphen stands between them. So "Claude 3 Haiku" is Claude3Haiku, "Claude Opus 4.6" is
// Claude4.6Opus and "Llama 3.1 70B Instruct" is Llama3.1-70BInstruct. Where AWS has another abbreviation
// ("Nova2.0Lite") or two models share a name, the data gives it.
func usageName(name string) string {
	if w := strings.Fields(name); len(w) == 3 && w[0] == "Claude" && digit(w[2][0]) {
		return w[0] + w[2] + w[1]
	}
	var b []byte
	skipped := false
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', digit(c), c == '.', c == '-':
			if skipped && digit(c) && len(b) > 0 && digit(b[len(b)-1]) {
				b = append(b, '-')
			}
			b, skipped = append(b, c), false
		default:
			skipped = true
		}
	}
	return string(b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

const destinations = "{destinations}"

func (c *Catalog) addProfiles(facts []ProfileFact) error {
	for _, f := range facts {
		if _, ok := c.profiles[f.ID]; ok {
			return fmt.Errorf("profile %s is there twice", f.ID)
		}
		if _, ok := c.models[f.Model]; !ok {
			return fmt.Errorf("profile %s: no model %q", f.ID, f.Model)
		}
		if f.ID != f.Geo+"."+f.Model || f.Name == "" {
			return fmt.Errorf("profile %s: geography %q, model %q and name %q do not fit", f.ID, f.Geo, f.Model, f.Name)
		}
		if (f.Geo == Global) == strings.Contains(f.Description, destinations) || f.Description == "" {
			return fmt.Errorf("profile %s: description %q does not fit its geography", f.ID, f.Description)
		}
		p := &Profile{
			ID: f.ID, Geo: f.Geo, Name: f.Name, ModelID: f.Model, Routes: f.Routes, Inferred: f.Inferred, description: f.Description,
		}
		for _, d := range []struct {
			from string
			to   *time.Time
		}{{f.CreatedAt, &p.CreatedAt}, {f.UpdatedAt, &p.UpdatedAt}} {
			if d.from == "" {
				continue
			}
			t, err := time.Parse(time.RFC3339Nano, d.from)
			if err != nil {
				return fmt.Errorf("profile %s: %w", f.ID, err)
			}
			*d.to = t.UTC()
		}
		if f.Geo == Global {
			if len(f.Routes) > 0 {
				return fmt.Errorf("profile %s: a global profile has sources in from, not routes", f.ID)
			}
			p.Routes = make(map[string][]string, len(f.From))
			for _, source := range f.From {
				p.Routes[source] = globalDestinations
			}
		} else if len(f.From) > 0 {
			return fmt.Errorf("profile %s: only a global profile has from", f.ID)
		}
		if len(p.Routes) == 0 {
			return fmt.Errorf("profile %s is offered nowhere", f.ID)
		}
		for source, dests := range p.Routes {
			if len(dests) == 0 {
				return fmt.Errorf("profile %s from %s has no destinations", f.ID, source)
			}
			for _, d := range dests {
				if arn.Partition(d) != arn.Partition(source) {
					return fmt.Errorf("profile %s from %s: %s is in another partition", f.ID, source, d)
				}
			}
			c.bySource[source] = append(c.bySource[source], p)
		}
		c.profiles[f.ID] = p
		c.byModel[f.Model] = append(c.byModel[f.Model], p)
		c.order.profiles = append(c.order.profiles, f.ID)
	}
	return nil
}

// describe fills the description's template.
func (p *Profile) describe(dests []string) string {
	return strings.Replace(p.description, destinations, enumerate(dests), 1)
}

// enumerate names Regions as AWS's descriptions do: "us-east-1, us-east-2 and us-west-2".
func enumerate(regions []string) string {
	n := len(regions)
	if n < 2 {
		return strings.Join(regions, "")
	}
	return strings.Join(regions[:n-1], ", ") + " and " + regions[n-1]
}

func day(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, s)
}
