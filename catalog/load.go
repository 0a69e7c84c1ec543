package catalog

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/arn"
)

//go:embed data/*.json
var data embed.FS

// The files' forms; data/README.md says what each field means. An unknown field, a field given twice and a reference to
// what is not there are errors.
type (
	modelsFile struct {
		Date    string      `json:"date"`
		Sources []string    `json:"sources"`
		Models  []modelFact `json:"models"`
	}
	modelFact struct {
		ID              string   `json:"id"`
		Name            string   `json:"name"`
		UsageName       string   `json:"usage_name"`
		Provider        string   `json:"provider"`
		Input           []string `json:"input"`
		Output          []string `json:"output"`
		Streaming       bool     `json:"streaming"`
		OnDemand        bool     `json:"on_demand"`
		Provisioned     bool     `json:"provisioned"`
		Regions         []string `json:"regions"`
		Status          string   `json:"status"`
		Legacy          string   `json:"legacy"`
		ExtendedAccess  string   `json:"extended_access"`
		EndOfLife       string   `json:"end_of_life"`
		ContextTokens   int64    `json:"context_tokens"`
		MaxOutputTokens int64    `json:"max_output_tokens"`
		Inferred        []string `json:"inferred"`
	}

	profilesFile struct {
		Date     string        `json:"date"`
		Sources  []string      `json:"sources"`
		Profiles []profileFact `json:"profiles"`
	}
	profileFact struct {
		ID          string              `json:"id"`
		Geo         string              `json:"geo"`
		Name        string              `json:"name"`
		Model       string              `json:"model"`
		Description string              `json:"description"`
		CreatedAt   string              `json:"created_at"`
		UpdatedAt   string              `json:"updated_at"`
		Routes      map[string][]string `json:"routes"`
		From        []string            `json:"from"`
		Inferred    bool                `json:"inferred"`
	}

	pricesFile struct {
		Date     string         `json:"date"`
		Sources  []string       `json:"sources"`
		Prices   []priceFact    `json:"prices"`
		Unpriced []unpricedFact `json:"unpriced"`
	}
	priceFact struct {
		Model     string            `json:"model"`
		Scope     string            `json:"scope"`
		Region    string            `json:"region"`
		Effective string            `json:"effective"`
		Tokens    tokensFact        `json:"usd_per_million"`
		Long      tokensFact        `json:"usd_per_million_long"`
		Units     map[string]string `json:"usd_per_unit"`
		Inferred  []string          `json:"inferred"`
	}
	tokensFact struct {
		Input        string `json:"input"`
		Output       string `json:"output"`
		CacheRead    string `json:"cache_read"`
		CacheWrite   string `json:"cache_write"`
		CacheWrite1h string `json:"cache_write_1h"`
	}
	unpricedFact struct {
		Model string `json:"model"`
		Why   string `json:"why"`
	}
)

// Load reads the embedded data.
func Load() (*Catalog, error) {
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, err
	}
	return load(sub)
}

func load(dir fs.FS) (*Catalog, error) {
	var (
		models   modelsFile
		profiles profilesFile
		prices   pricesFile
	)
	c := &Catalog{
		models: map[string]*Model{}, profiles: map[string]*Profile{}, byModel: map[string][]*Profile{},
		bySource: map[string][]*Profile{}, tariffs: map[tariffKey]*tariff{}, unpriced: map[string]string{},
	}
	for _, f := range []struct {
		name string
		into any
		date *string
		add  func() error
	}{
		{"models.json", &models, &models.Date, func() error { return c.addModels(models.Models) }},
		{"profiles.json", &profiles, &profiles.Date, func() error { return c.addProfiles(profiles.Profiles) }},
		{"prices.json", &prices, &prices.Date, func() error { return c.addPrices(prices.Prices, prices.Unpriced) }},
	} {
		b, err := fs.ReadFile(dir, f.name)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, f.into, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("catalog: %s: %w", f.name, err)
		}
		date, err := day(*f.date)
		if err == nil && date.IsZero() {
			err = errors.New("no date")
		}
		if err != nil {
			return nil, fmt.Errorf("catalog: %s: %w", f.name, err)
		}
		if date.After(c.Date) {
			c.Date = date
		}
		if err := f.add(); err != nil {
			return nil, fmt.Errorf("catalog: %s: %w", f.name, err)
		}
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

func (c *Catalog) addModels(facts []modelFact) error {
	usage := map[string]string{} // name -> model
	for _, f := range facts {
		m := &Model{
			ID: f.ID, Name: f.Name, Provider: f.Provider, InputModalities: f.Input, OutputModalities: f.Output, Streaming: f.Streaming,
			OnDemand: f.OnDemand, Provisioned: f.Provisioned, Regions: f.Regions, Status: f.Status,
			ContextTokens: f.ContextTokens, MaxOutputTokens: f.MaxOutputTokens, UsageName: f.UsageName, Inferred: len(f.Inferred) > 0,
		}
		if f.ID == "" || f.Name == "" || f.Provider == "" || len(f.Input) == 0 || len(f.Output) == 0 {
			return fmt.Errorf("model %q lacks a field", f.ID)
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
		if err := knownRegions(f.Regions); err != nil {
			return fmt.Errorf("model %s: %w", f.ID, err)
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

func (c *Catalog) addProfiles(facts []profileFact) error {
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
			if err := knownRegions([]string{source}); err != nil {
				return fmt.Errorf("profile %s: %w", f.ID, err)
			}
			if len(dests) == 0 {
				return fmt.Errorf("profile %s from %s has no destinations", f.ID, source)
			}
			if err := knownRegions(dests); err != nil {
				return fmt.Errorf("profile %s from %s: %w", f.ID, source, err)
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
	list := dests[0]
	if n := len(dests); n > 1 {
		list = strings.Join(dests[:n-1], ", ") + " and " + dests[n-1]
	}
	return strings.Replace(p.description, destinations, list, 1)
}

func (c *Catalog) addPrices(facts []priceFact, unpriced []unpricedFact) error {
	geos := map[string]bool{InRegion: true}
	for _, p := range c.profiles {
		geos[p.Geo] = true
	}
	type rowKey struct{ model, scope, region string } // region "" is every Region
	rows := map[rowKey][]*Price{}
	own := map[tariffKey][]string{} // the Regions with prices of their own
	for _, f := range facts {
		if _, ok := c.models[f.Model]; !ok {
			return fmt.Errorf("price of %q: no such model", f.Model)
		}
		if !geos[f.Scope] {
			return fmt.Errorf("price of %s: scope %q", f.Model, f.Scope)
		}
		if f.Region != "" {
			if err := knownRegions([]string{f.Region}); err != nil {
				return fmt.Errorf("price of %s: %w", f.Model, err)
			}
		}
		effective, err := day(f.Effective)
		if err != nil {
			return fmt.Errorf("price of %s: %w", f.Model, err)
		}
		if effective.IsZero() {
			return fmt.Errorf("price of %s has no date", f.Model)
		}
		id := f.Model + "/" + f.Scope + "/" + cmp.Or(f.Region, "*") + "@" + f.Effective
		p, err := f.Tokens.price()
		if err != nil {
			return fmt.Errorf("price %s: %w", id, err)
		}
		if p == nil && len(f.Units) > 0 {
			p = &Price{}
		}
		if p == nil {
			return fmt.Errorf("price %s has no amount", id)
		}
		for of, usd := range f.Units {
			nano, err := parseNano(usd)
			if err != nil {
				return fmt.Errorf("price %s: %w", id, err)
			}
			if of == "" {
				return fmt.Errorf("price %s: a unit without a name", id)
			}
			if p.Units == nil {
				p.Units = make(map[string]int64, len(f.Units))
			}
			p.Units[of] = nano
		}
		if p.Long, err = f.Long.price(); err != nil {
			return fmt.Errorf("price %s: %w", id, err)
		}
		p.ID, p.Effective, p.Inferred = id, effective, len(f.Inferred) > 0
		if p.Long != nil {
			p.Long.ID, p.Long.Effective, p.Long.Inferred = id+"#long", effective, p.Inferred
		}
		k := rowKey{f.Model, f.Scope, f.Region}
		if slices.ContainsFunc(rows[k], func(q *Price) bool { return q.ID == id }) {
			return fmt.Errorf("price %s is there twice", id)
		}
		if f.Region != "" && len(rows[k]) == 0 {
			t := tariffKey{f.Model, f.Scope}
			own[t] = append(own[t], f.Region)
		}
		rows[k] = append(rows[k], p)
	}
	for _, versions := range rows {
		slices.SortFunc(versions, func(a, b *Price) int { return b.Effective.Compare(a.Effective) })
	}
	for _, u := range unpriced {
		if _, ok := c.models[u.Model]; !ok || u.Why == "" {
			return fmt.Errorf("unpriced %q: no such model, or no reason", u.Model)
		}
		if _, ok := c.unpriced[u.Model]; ok {
			return fmt.Errorf("unpriced %s is there twice", u.Model)
		}
		c.unpriced[u.Model] = u.Why
	}
	// Resolve every fallback now, so that a call needs one look-up. See Price for the order.
	for _, model := range c.order.models {
		for scope := range geos {
			t := &tariff{rest: rows[rowKey{model, scope, ""}]}
			if len(t.rest) == 0 && scope != InRegion {
				t.rest = rows[rowKey{model, InRegion, ""}]
				for _, r := range own[tariffKey{model, InRegion}] {
					t.set(r, rows[rowKey{model, InRegion, r}])
				}
			}
			for _, r := range own[tariffKey{model, scope}] {
				t.set(r, rows[rowKey{model, scope, r}])
			}
			if len(t.rest) > 0 || len(t.regions) > 0 {
				c.tariffs[tariffKey{model, scope}] = t
			}
		}
	}
	return nil
}

func (t *tariff) set(region string, versions []*Price) {
	if t.regions == nil {
		t.regions = map[string][]*Price{}
	}
	t.regions[region] = versions
}

// price converts the amounts; nil when there is none.
func (f tokensFact) price() (*Price, error) {
	p, found := &Price{}, false
	for _, a := range []struct {
		usd string
		to  **int64
	}{
		{f.Input, &p.Input}, {f.Output, &p.Output}, {f.CacheRead, &p.CacheRead}, {f.CacheWrite, &p.CacheWrite},
		{f.CacheWrite1h, &p.CacheWrite1h},
	} {
		if a.usd == "" {
			continue
		}
		nano, err := parseNano(a.usd)
		if err != nil {
			return nil, err
		}
		*a.to, found = &nano, true
	}
	if !found {
		return nil, nil
	}
	return p, nil
}

// parseNano reads an amount of US dollars, "0.3125", exactly: at most 9 decimals, no sign, no exponent.
func parseNano(usd string) (int64, error) {
	whole, frac, point := strings.Cut(usd, ".")
	if whole == "" || point && frac == "" || len(whole) > 9 || len(frac) > 9 {
		return 0, fmt.Errorf("amount %q", usd)
	}
	var n int64
	for _, d := range whole + frac + strings.Repeat("0", 9-len(frac)) {
		if d < '0' || d > '9' {
			return 0, fmt.Errorf("amount %q", usd)
		}
		n = n*10 + int64(d-'0')
	}
	return n, nil
}

func day(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, s)
}

func knownRegions(ids []string) error {
	for _, id := range ids {
		if _, ok := regionByID[id]; !ok {
			return fmt.Errorf("no Region %q", id)
		}
	}
	return nil
}
