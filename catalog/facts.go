package catalog

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:embed data/*.json
var data embed.FS

// Facts is what catalogue files say, in their form; data/README.md says what each member means. Nothing is resolved or
// checked yet: New does that.
type Facts struct {
	// The day on which the facts were put together, as 2026-11-23.
	Date string `json:"date" yaml:"date,omitempty"`
	// Where the facts are from.
	Sources []string `json:"sources,omitempty" yaml:"sources,omitempty"`
	// Foundation models.
	Models []ModelFact `json:"models,omitempty" yaml:"models,omitempty"`
	// System-defined inference profiles.
	Profiles []ProfileFact `json:"profiles,omitempty" yaml:"profiles,omitempty"`
	// What models cost, from which day on.
	Prices []PriceFact `json:"prices,omitempty" yaml:"prices,omitempty"`
	// Models of which no price is known, and why.
	Unpriced []UnpricedFact `json:"unpriced,omitempty" yaml:"unpriced,omitempty"`
	// What is taken off list prices.
	Discounts []DiscountFact `json:"discounts,omitempty" yaml:"discounts,omitempty"`
	// What other currencies are worth in which prices stand.
	Exchange []ExchangeFact `json:"exchange,omitempty" yaml:"exchange,omitempty"`

	own    bool   // Regions that AWS does not have may stand here
	number string // what its prices' ids end in, where it is not Date
}

// Empty reports whether f says nothing.
func (f *Facts) Empty() bool {
	return f.Date == "" && len(f.Models)+len(f.Profiles)+len(f.Prices)+len(f.Unpriced)+len(f.Discounts)+len(f.Exchange) == 0
}

// Numbered makes the ids of f's prices end in number where they are laid over others, in the place of their date: of
// facts that are laid over one after the other on the same day, each price keeps an id of its own.
func (f *Facts) Numbered(number string) { f.number = number }

// ModelFact is a foundation model.
type ModelFact struct {
	ID              string   `json:"id" yaml:"id"`
	Name            string   `json:"name" yaml:"name"`
	UsageName       string   `json:"usage_name,omitzero" yaml:"usage_name,omitempty"`
	Provider        string   `json:"provider" yaml:"provider"`
	Input           []string `json:"input" yaml:"input"`
	Output          []string `json:"output" yaml:"output"`
	Streaming       bool     `json:"streaming,omitzero" yaml:"streaming,omitempty"`
	OnDemand        bool     `json:"on_demand,omitzero" yaml:"on_demand,omitempty"`
	Provisioned     bool     `json:"provisioned,omitzero" yaml:"provisioned,omitempty"`
	Regions         []string `json:"regions,omitempty" yaml:"regions,omitempty"`
	Status          string   `json:"status" yaml:"status"`
	Legacy          string   `json:"legacy,omitzero" yaml:"legacy,omitempty"`
	ExtendedAccess  string   `json:"extended_access,omitzero" yaml:"extended_access,omitempty"`
	EndOfLife       string   `json:"end_of_life,omitzero" yaml:"end_of_life,omitempty"`
	ContextTokens   int64    `json:"context_tokens,omitzero" yaml:"context_tokens,omitempty"`
	MaxOutputTokens int64    `json:"max_output_tokens,omitzero" yaml:"max_output_tokens,omitempty"`
	Inferred        []string `json:"inferred,omitempty" yaml:"inferred,omitempty"`
}

// ProfileFact is a system-defined inference profile.
type ProfileFact struct {
	ID          string              `json:"id" yaml:"id"`
	Geo         string              `json:"geo" yaml:"geo"`
	Name        string              `json:"name" yaml:"name"`
	Model       string              `json:"model" yaml:"model"`
	Description string              `json:"description" yaml:"description"`
	CreatedAt   string              `json:"created_at,omitzero" yaml:"created_at,omitempty"`
	UpdatedAt   string              `json:"updated_at,omitzero" yaml:"updated_at,omitempty"`
	Routes      map[string][]string `json:"routes,omitempty" yaml:"routes,omitempty"`
	From        []string            `json:"from,omitempty" yaml:"from,omitempty"`
	Inferred    bool                `json:"inferred,omitzero" yaml:"inferred,omitempty"`
}

// PriceFact is what a model costs in a scope, from a day on.
type PriceFact struct {
	Model     string            `json:"model" yaml:"model"`
	Scope     string            `json:"scope" yaml:"scope"`
	Region    string            `json:"region,omitzero" yaml:"region,omitempty"`
	Tier      string            `json:"tier,omitzero" yaml:"tier,omitempty"`
	Upstream  string            `json:"upstream,omitzero" yaml:"upstream,omitempty"`
	Contract  string            `json:"contract,omitzero" yaml:"contract,omitempty"`
	Effective string            `json:"effective" yaml:"effective"`
	Currency  string            `json:"currency,omitzero" yaml:"currency,omitempty"`
	Tokens    TokensFact        `json:"usd_per_million,omitempty" yaml:"usd_per_million,omitempty"`
	Long      TokensFact        `json:"usd_per_million_long,omitempty" yaml:"usd_per_million_long,omitempty"`
	LongAbove int64             `json:"long_above,omitzero" yaml:"long_above,omitempty"`
	Units     map[string]string `json:"usd_per_unit,omitempty" yaml:"usd_per_unit,omitempty"`
	GPU       GPUFact           `json:"gpu,omitzero" yaml:"gpu,omitempty"`

	// The amounts of a price in another currency.
	Own      TokensFact        `json:"per_million,omitempty" yaml:"per_million,omitempty"`
	OwnLong  TokensFact        `json:"per_million_long,omitempty" yaml:"per_million_long,omitempty"`
	OwnUnits map[string]string `json:"per_unit,omitempty" yaml:"per_unit,omitempty"`

	Inferred []string `json:"inferred,omitempty" yaml:"inferred,omitempty"`

	exchanged string // the rate of exchange that its amounts are by
	dated     string // what tells the overlay that it is from: its date, or its number; "" for the embedded data
}

// TokensFact is prices of 1,000,000 tokens each in US dollars, as decimals.
type TokensFact struct {
	Input        string `json:"input,omitzero" yaml:"input,omitempty"`
	Output       string `json:"output,omitzero" yaml:"output,omitempty"`
	CacheRead    string `json:"cache_read,omitzero" yaml:"cache_read,omitempty"`
	CacheWrite   string `json:"cache_write,omitzero" yaml:"cache_write,omitempty"`
	CacheWrite1h string `json:"cache_write_1h,omitzero" yaml:"cache_write_1h,omitempty"`
}

// GPUFact is what GPUs cost that answer a model, and how a call's part of it is found: by the time that it takes, of
// which Calls share the GPUs at once, or by its tokens, of which the GPUs make TokensPerHour. It is one of the two.
type GPUFact struct {
	PerHour       string `json:"usd_per_hour,omitzero" yaml:"usd_per_hour,omitempty"` // of one GPU
	Own           string `json:"per_hour,omitzero" yaml:"per_hour,omitempty"`         // the same in another currency
	GPUs          int64  `json:"gpus,omitzero" yaml:"gpus,omitempty"`
	Calls         int64  `json:"calls,omitzero" yaml:"calls,omitempty"`
	TokensPerHour int64  `json:"tokens_per_hour,omitzero" yaml:"tokens_per_hour,omitempty"`
}

// DiscountFact is taken off list prices, from a day on until another. Of several that hold, the highest counts.
type DiscountFact struct {
	Name      string   `json:"name" yaml:"name"`
	Percent   string   `json:"percent" yaml:"percent"`                       // a decimal with at most 4 places: "12.5"
	Models    []string `json:"models,omitempty" yaml:"models,omitempty"`     // ids, or what they begin with and a *; none is all
	Accounts  []string `json:"accounts,omitempty" yaml:"accounts,omitempty"` // that call; none is all
	Effective string   `json:"effective" yaml:"effective"`                   // the first day
	Until     string   `json:"until,omitzero" yaml:"until,omitempty"`        // the first day on which it holds no longer
}

// ExchangeFact is what one unit of a currency is worth in US dollars, from a day on.
type ExchangeFact struct {
	Currency  string `json:"currency" yaml:"currency"`
	USD       string `json:"usd" yaml:"usd"`
	Effective string `json:"effective" yaml:"effective"`
}

// UnpricedFact is a model of which no price is known.
type UnpricedFact struct {
	Model string `json:"model" yaml:"model"`
	Why   string `json:"why" yaml:"why"`
}

// ID is the price's place: there is one price for each.
func (f *PriceFact) ID() string {
	id := f.Model + "/" + f.Scope + "/" + cmp.Or(f.Region, "*")
	for _, of := range [...]struct{ name, value string }{{"tier", f.Tier}, {"upstream", f.Upstream}, {"contract", f.Contract}} {
		if of.value != "" {
			id += ";" + of.name + "=" + of.value
		}
	}
	return id + "@" + f.Effective
}

// Amounts is what the price says, for people: "input 3, output 15".
func (f *PriceFact) Amounts() string {
	var b strings.Builder
	add := func(name, amount string) {
		if amount != "" {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(name + " " + amount)
		}
	}
	for _, of := range []struct {
		name   string
		tokens TokensFact
	}{{"", f.Tokens}, {"long ", f.Long}, {"", f.Own}, {"long ", f.OwnLong}} {
		add(of.name+"input", of.tokens.Input)
		add(of.name+"output", of.tokens.Output)
		add(of.name+"cache read", of.tokens.CacheRead)
		add(of.name+"cache write", of.tokens.CacheWrite)
		add(of.name+"cache write 1h", of.tokens.CacheWrite1h)
	}
	for _, units := range []map[string]string{f.Units, f.OwnUnits} {
		for _, unit := range slices.Sorted(maps.Keys(units)) {
			add(unit, units[unit])
		}
	}
	add("GPU-hour", cmp.Or(f.GPU.PerHour, f.GPU.Own))
	if f.Currency != "" {
		b.WriteString(" " + f.Currency)
	}
	return b.String()
}

func (f *DiscountFact) id() string { return f.Name + "@" + f.Effective }

func (f *ExchangeFact) id() string { return f.Currency + "@" + f.Effective }

// Embedded returns the facts that the program was built with.
func Embedded() (*Facts, error) {
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, err
	}
	return readFolder(sub)
}

// readFolder puts the embedded data's files together.
func readFolder(dir fs.FS) (*Facts, error) {
	all := &Facts{}
	for _, name := range []string{"models.json", "profiles.json", "prices.json"} {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		f, err := ParseFacts(text)
		if err != nil {
			return nil, fmt.Errorf("catalog: %s: %w", name, err)
		}
		all.Date = max(all.Date, f.Date)
		all.Sources = append(all.Sources, f.Sources...)
		all.Models = append(all.Models, f.Models...)
		all.Profiles = append(all.Profiles, f.Profiles...)
		all.Prices = append(all.Prices, f.Prices...)
		all.Unpriced = append(all.Unpriced, f.Unpriced...)
		all.Discounts = append(all.Discounts, f.Discounts...)
		all.Exchange = append(all.Exchange, f.Exchange...)
	}
	return all, nil
}

// ParseFacts reads one catalogue file: JSON, in which an unknown member and one given twice are errors.
func ParseFacts(text []byte) (*Facts, error) {
	f := &Facts{}
	if err := json.Unmarshal(text, f, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if _, err := f.day(); err != nil {
		return nil, err
	}
	return f, nil
}

// Text writes f as a catalogue file.
func (f *Facts) Text() ([]byte, error) {
	text, err := json.Marshal(f, json.Deterministic(true), jsontext.WithIndent(" "))
	return append(text, '\n'), err
}

func (f *Facts) day() (time.Time, error) {
	date, err := day(f.Date)
	if err == nil && date.IsZero() {
		err = errors.New("no date: the day on which the facts were put together, as 2026-11-23")
	}
	return date, err
}

// Overlay returns f with what o says laid over it, and changes neither. A model or profile of o takes the place of the one
// with its id; a price takes the place of the one of the same model, scope, Region and day, and is another version of it
// otherwise. A model with a price in o is unpriced no longer. In o, Regions may stand that AWS does not have: operators' own.
func (f *Facts) Overlay(o *Facts) (*Facts, error) {
	if _, err := o.day(); err != nil {
		return nil, err
	}
	n := &Facts{Date: max(f.Date, o.Date), Sources: slices.Concat(f.Sources, o.Sources), own: true}
	prices := slices.Clone(o.Prices)
	for i := range prices {
		prices[i].dated = cmp.Or(o.number, o.Date)
	}
	var err error
	if n.Models, err = lay(f.Models, o.Models, "model", func(m *ModelFact) string { return m.ID }); err != nil {
		return nil, err
	}
	slices.SortStableFunc(n.Models, func(a, b ModelFact) int { return strings.Compare(a.ID, b.ID) }) // as they are listed
	if n.Profiles, err = lay(f.Profiles, o.Profiles, "profile", func(p *ProfileFact) string { return p.ID }); err != nil {
		return nil, err
	}
	if n.Prices, err = lay(f.Prices, prices, "price", (*PriceFact).ID); err != nil {
		return nil, err
	}
	if n.Unpriced, err = lay(f.Unpriced, o.Unpriced, "unpriced", func(u *UnpricedFact) string { return u.Model }); err != nil {
		return nil, err
	}
	if n.Discounts, err = lay(f.Discounts, o.Discounts, "discount", (*DiscountFact).id); err != nil {
		return nil, err
	}
	if n.Exchange, err = lay(f.Exchange, o.Exchange, "exchange", (*ExchangeFact).id); err != nil {
		return nil, err
	}
	n.Unpriced = slices.DeleteFunc(n.Unpriced, func(u UnpricedFact) bool {
		return slices.ContainsFunc(prices, func(p PriceFact) bool { return p.Model == u.Model }) &&
			!slices.ContainsFunc(o.Unpriced, func(v UnpricedFact) bool { return v.Model == u.Model }) // New refuses what is both
	})
	return n, nil
}

// lay returns base with each of over in the place of the one with its key, or at the end.
func lay[T any](base, over []T, kind string, key func(*T) string) ([]T, error) {
	all, at, seen := slices.Clone(base), make(map[string]int, len(base)), map[string]bool{}
	for i := range all {
		at[key(&all[i])] = i
	}
	for i := range over {
		k := key(&over[i])
		if seen[k] {
			return nil, fmt.Errorf("%s %s is there twice", kind, k)
		}
		seen[k] = true
		if j, ok := at[k]; ok {
			all[j] = over[i]
		} else {
			all = append(all, over[i])
		}
	}
	return all, nil
}

// checkRegions refuses what is no Region: in the embedded data what AWS does not have, in overlays what has not the form of a
// Region's name.
func (f *Facts) checkRegions() error {
	check := func(of string, regions ...string) error {
		for _, r := range regions {
			if _, known := regionByID[r]; !known && !(f.own && IsRegion(r)) {
				return fmt.Errorf("%s: no Region %q", of, r)
			}
		}
		return nil
	}
	for _, m := range f.Models {
		if err := check("model "+m.ID, m.Regions...); err != nil {
			return err
		}
	}
	for _, p := range f.Profiles {
		if err := check("profile "+p.ID, p.From...); err != nil {
			return err
		}
		for source, destinations := range p.Routes {
			if err := errors.Join(check("profile "+p.ID, source), check("profile "+p.ID+" from "+source, destinations...)); err != nil {
				return err
			}
		}
	}
	for _, p := range f.Prices {
		if p.Region == "" {
			continue
		}
		if err := check("price of "+p.Model, p.Region); err != nil {
			return err
		}
	}
	return nil
}
