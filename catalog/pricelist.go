package catalog

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// PriceList reads AWS price lists into facts. Its offers are AmazonBedrock, AmazonBedrockService and
// AmazonBedrockFoundationModels: JSON or CSV offer files, of one Region or of all, and answers of GetProducts.
// Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-files.html
//
// The lists name models in three ways: abbreviated in the usage type ("USE1-Nova2.0Lite-input-tokens"), by their id there
// ("USW2-moonshotai.kimi-k3-mantle-input-tokens-standard"), and what is sold through the marketplace by its service's name only ("Claude Opus 4.5 (Amazon
// Bedrock Edition)", "USW2-MP:USW2_input_tokens_standard-Units").
type PriceList struct {
	Skipped   map[string]int // why rows were left out -> how many
	Unknown   map[string]int // names of models that the catalog does not have -> rows
	Conflicts []string       // two amounts for the same: the higher counts

	catalog *Catalog
	names   map[string]string // a model as a list names it -> id
	models  *Names
	facts   map[string]*PriceFact
	sound   map[string]bool // models whose tokens of sound or pictures have a price of their own
	mantle  map[string]bool // amounts that are of the other endpoint's list
	rows    int
}

// NewPriceList returns a PriceList for the models of c. names says which model is meant by a name in a list, where the
// catalog's own names do not tell.
func NewPriceList(c *Catalog, names map[string]string) (*PriceList, error) {
	l := &PriceList{
		Skipped: map[string]int{}, Unknown: map[string]int{}, catalog: c, names: names,
		models: c.Names(), facts: map[string]*PriceFact{}, sound: map[string]bool{}, mantle: map[string]bool{},
	}
	for name, id := range names {
		if _, ok := c.models[id]; !ok {
			return nil, fmt.Errorf("%s=%s: the catalog has no such model", name, id)
		}
	}
	return l, nil
}

// Rows is how many prices were read.
func (l *PriceList) Rows() int { return l.rows }

// IsPriceList reports whether text is a price list of AWS, in any of its forms.
func IsPriceList(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \r\n\t")
	if bytes.HasPrefix(text, []byte(`"FormatVersion"`)) {
		return true
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		return false
	}
	var f offerFile
	return json.Unmarshal(text, &f) == nil && (f.Products != nil || f.PriceList != nil)
}

// offerFile is what is read of an offer file, or of GetProducts.
type offerFile struct {
	OfferCode string `json:"offerCode"`
	Products  map[string]struct {
		Attributes listAttributes `json:"attributes"`
	} `json:"products"`
	Terms struct {
		OnDemand map[string]map[string]listTerm `json:"OnDemand"`
	} `json:"terms"`
	PriceList []string `json:"PriceList"`
}

type listAttributes struct {
	UsageType string `json:"usagetype"`
	Model     string `json:"model"`
	Service   string `json:"servicename"`
	Region    string `json:"regionCode"`
}

type listTerm struct {
	Effective  string `json:"effectiveDate"`
	Dimensions map[string]struct {
		Unit  string            `json:"unit"`
		Begin string            `json:"beginRange"`
		Price map[string]string `json:"pricePerUnit"`
	} `json:"priceDimensions"`
}

// Read adds the rows of a list.
func (l *PriceList) Read(text []byte) error {
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \r\n\t")
	if bytes.HasPrefix(text, []byte("{")) {
		return l.readJSON(text)
	}
	return l.readCSV(text)
}

func (l *PriceList) readJSON(text []byte) error {
	var f offerFile
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	for _, p := range f.PriceList {
		var one struct {
			Product struct {
				Attributes listAttributes `json:"attributes"`
			} `json:"product"`
			Terms struct {
				OnDemand map[string]listTerm `json:"OnDemand"`
			} `json:"terms"`
		}
		if err := json.Unmarshal([]byte(p), &one); err != nil {
			return fmt.Errorf("PriceList: %w", err)
		}
		l.addTerms(&one.Product.Attributes, one.Terms.OnDemand)
	}
	for _, sku := range slices.Sorted(maps.Keys(f.Products)) {
		p := f.Products[sku]
		l.addTerms(&p.Attributes, f.Terms.OnDemand[sku])
	}
	if l.rows == 0 {
		return errors.New("a price list without on-demand prices")
	}
	return nil
}

func (l *PriceList) addTerms(a *listAttributes, terms map[string]listTerm) {
	for _, t := range slices.Sorted(maps.Keys(terms)) {
		term := terms[t]
		for _, d := range slices.Sorted(maps.Keys(term.Dimensions)) {
			dim := term.Dimensions[d]
			l.add(&listRow{*a, dim.Unit, dim.Begin, dim.Price["USD"], term.Effective})
		}
	}
}

func (l *PriceList) readCSV(text []byte) error {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	column := map[string]int{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(column) == 0 { // what the file says of itself, until the header
			if row[0] == "SKU" {
				for i, name := range row {
					column[plain(name)] = i
				}
			}
			continue
		}
		field := func(name string) string {
			if i, ok := column[name]; ok && i < len(row) {
				return strings.Clone(row[i])
			}
			return ""
		}
		if t := field("termtype"); t != "OnDemand" {
			continue
		}
		if c := field("currency"); c != "USD" {
			l.skip("in " + c)
			continue
		}
		l.add(&listRow{
			listAttributes{field("usagetype"), field("model"), field("servicename"), field("regioncode")},
			field("unit"), field("startingrange"), field("priceperunit"), field("effectivedate"),
		})
	}
	if l.rows == 0 {
		return errors.New("a price list without on-demand prices")
	}
	return nil
}

// listRow is one price of a list.
type listRow struct {
	listAttributes
	unit, begin, usd, effective string
}

func (l *PriceList) skip(why string) { l.Skipped[why]++ }

func (l *PriceList) add(r *listRow) {
	l.rows++
	u, why := ParseUsageType(r.UsageType)
	if why != "" {
		if why == ofSound {
			l.sound[l.model(r, &u)] = true
		}
		l.skip(why)
		return
	}
	if r.begin != "" && r.begin != "0" {
		l.skip("prices by volume")
		return
	}
	id := l.model(r, &u)
	if id == "" {
		return
	}
	if !IsRegion(r.Region) {
		l.skip("no Region")
		return
	}
	effective, _, _ := strings.Cut(r.effective, "T")
	if d, err := day(effective); err != nil || d.IsZero() {
		l.skip("no day from which they hold")
		return
	}
	usd, why := u.amount(r.unit, r.usd)
	if why != "" {
		l.skip(why)
		return
	}
	f := PriceFact{Model: id, Scope: InRegion, Region: r.Region, Tier: u.Tier, Effective: effective}
	if u.Global {
		f.Scope = Global
	}
	key := f.ID()
	if l.facts[key] == nil {
		l.facts[key] = &f
	}
	l.set(l.facts[key], &u, usd)
}

// set writes an amount into its place.
func (l *PriceList) set(f *PriceFact, u *UsageType, usd string) {
	place := f.ID() + " " + u.Kind
	if u.Long {
		place += " long"
	}
	tokens := &f.Tokens
	if u.Long {
		tokens = &f.Long
	}
	at := tokens.at(u.Kind)
	old := f.Units[u.Kind]
	if at != nil {
		old = *at
	}
	put := func(s string) {
		switch {
		case at != nil:
			*at = s
		case f.Units == nil:
			f.Units = map[string]string{u.Kind: s}
		default:
			f.Units[u.Kind] = s
		}
	}
	switch {
	case old == "" || !u.Mantle && l.mantle[place]: // the other endpoint's list counts where there is no other
		put(usd)
		l.mantle[place] = u.Mantle
	case old == usd || u.Mantle && !l.mantle[place]:
	default:
		l.Conflicts = append(l.Conflicts, fmt.Sprintf("%s: %s and %s", place, old, usd))
		a, _ := parseNano(old)
		if b, _ := parseNano(usd); b > a {
			put(usd)
		}
	}
}

// at is where the amount of a kind stands; nil for what is no token.
func (f *TokensFact) at(kind string) *string {
	switch kind {
	case "input":
		return &f.Input
	case "output":
		return &f.Output
	case "cache_read":
		return &f.CacheRead
	case "cache_write":
		return &f.CacheWrite
	case "cache_write_1h":
		return &f.CacheWrite1h
	}
	return nil
}

// model returns the id of the model that a row is about.
func (l *PriceList) model(r *listRow, u *UsageType) string {
	service := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(r.Service), "(Amazon Bedrock Edition)"))
	names := []string{u.Model, r.Model}
	if u.Model == "" {
		names = []string{r.Model, service}
	}
	for _, name := range names {
		if id, ok := l.names[name]; ok {
			return id
		}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		ids := l.models.Models(name)
		switch len(ids) {
		case 0:
		case 1:
			return ids[0]
		default:
			l.skip("a name that several models have")
			return ""
		}
	}
	for _, name := range names {
		if name != "" {
			l.Unknown[name]++
			return ""
		}
	}
	l.skip("no model")
	return ""
}

// amount is the price of a million tokens, or of a piece, in US dollars.
func (u *UsageType) amount(unit, usd string) (amount, why string) {
	places, ok := u.Places(unit)
	if !ok {
		return "", "by " + unit
	}
	shift := -places
	if u.Tokens() {
		shift += 6
	}
	amount, ok = shiftDecimal(usd, shift)
	if !ok {
		return "", "amounts finer than a nano-dollar"
	}
	return amount, ""
}

// shiftDecimal is an amount times 10^by, exactly; ok is false when it is none, or does not fit 9 decimals.
func shiftDecimal(s string, by int) (shifted string, ok bool) {
	whole, frac, _ := strings.Cut(s, ".")
	digits := whole + frac
	if whole == "" || len(digits) > 40 {
		return "", false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return "", false
		}
	}
	at := len(whole) + by
	for ; at <= 0; at++ {
		digits = "0" + digits
	}
	for len(digits) < at {
		digits += "0"
	}
	whole, frac = strings.TrimLeft(digits[:at], "0"), strings.TrimRight(digits[at:], "0")
	if whole == "" {
		whole = "0"
	}
	if frac != "" {
		whole += "." + frac
	}
	_, err := parseNano(whole)
	return whole, err == nil
}

// Facts returns what was read as facts of a day, in the order of their ids. In-Region prices are those of the geographies
// that are offered from the Region, too: AWS bills what crosses Regions by its source. What a list does not have of a price is as it
// was, and so is marked as inferred; what changes nothing is left out.
func (l *PriceList) Facts(date string) *Facts {
	f := &Facts{Date: date, own: true}
	for _, id := range slices.Sorted(maps.Keys(l.facts)) {
		p := l.facts[id]
		if p.Tokens == (TokensFact{}) && len(p.Units) == 0 {
			l.skip("long contexts without a usual price")
			continue
		}
		if l.sound[p.Model] { // usage does not tell them apart
			l.skip("tokens of text beside others of sound or pictures")
			continue
		}
		scopes := []string{p.Scope}
		if p.Scope == InRegion {
			for _, profile := range l.catalog.byModel[p.Model] {
				if _, ok := profile.Routes[p.Region]; ok && profile.Geo != Global {
					scopes = append(scopes, profile.Geo)
				}
			}
		}
		for _, scope := range scopes {
			of := *p
			of.Scope, of.Units = scope, maps.Clone(p.Units)
			if l.complete(&of) {
				f.Prices = append(f.Prices, of)
			}
		}
	}
	return f
}

// complete fills what f lacks with what holds without it, and reports whether f makes a difference.
func (l *PriceList) complete(f *PriceFact) (differs bool) {
	at, err := day(f.Effective)
	if err != nil {
		return false
	}
	var now *Price
	if of := l.catalog.tariffs[tariffKey{f.Model, f.Scope}]; of != nil {
		line := of.list
		if f.Tier != "" {
			line = of.others[variant{tier: f.Tier}]
		}
		now = line.at(f.Region, at)
	}
	if now == nil || now.Effective.After(at) || now.GPU != nil || now.Per != perMillion {
		return true
	}
	fill := func(t *TokensFact, p *Price, name string) {
		for kind, nano := range map[string]*int64{"input": p.Input, "output": p.Output, "cache_read": p.CacheRead, "cache_write": p.CacheWrite, "cache_write_1h": p.CacheWrite1h} {
			to := t.at(kind)
			var was string
			if nano != nil {
				was = Decimal(*nano, 9)
			}
			switch {
			case *to == "" && was != "":
				*to = was
				f.Inferred = append(f.Inferred, name+kind)
			case *to != "":
				differs = differs || *to != was
			}
		}
	}
	fill(&f.Tokens, now, "")
	if now.Long != nil {
		fill(&f.Long, now.Long, "long ")
		if now.LongAbove != DefaultLongAbove {
			f.LongAbove = now.LongAbove
		}
	} else {
		differs = differs || f.Long != (TokensFact{})
	}
	for unit, nano := range now.Units {
		if _, ok := f.Units[unit]; !ok {
			if f.Units == nil {
				f.Units = map[string]string{}
			}
			f.Units[unit] = Decimal(nano, 9)
			f.Inferred = append(f.Inferred, unit)
		}
	}
	for unit, usd := range f.Units {
		nano, ok := now.Units[unit]
		differs = differs || !ok || Decimal(nano, 9) != usd
	}
	slices.Sort(f.Inferred)
	return differs
}

// ParsePriceTable reads prices as a table, CSV: the first row names the columns by the members of catalogue files: model, scope,
// effective (these three must be there), region, tier, upstream, contract, currency, input, output, cache_read, cache_write,
// cache_write_1h, the same with long_ before them, long_above, and unit:NAME for what is not paid by the token. An empty field is as
// if it were not there.
func ParsePriceTable(text []byte, date string) (*Facts, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	r.TrimLeadingSpace, r.Comment = true, '#'
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	for i, name := range header {
		if slices.Contains(header[:i], name) {
			return nil, fmt.Errorf("the column %q is there twice", name)
		}
	}
	for _, must := range []string{"model", "scope", "effective"} {
		if !slices.Contains(header, must) {
			return nil, fmt.Errorf("there is no column %q", must)
		}
	}
	f := &Facts{Date: date, own: true}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		var p PriceFact
		tokens, long := &p.Tokens, &p.Long
		units := func(name, value string) {
			if p.Units == nil {
				p.Units = map[string]string{}
			}
			p.Units[name] = value
		}
		if i := slices.Index(header, "currency"); i >= 0 && row[i] != "" && row[i] != "USD" {
			tokens, long = &p.Own, &p.OwnLong
			units = func(name, value string) {
				if p.OwnUnits == nil {
					p.OwnUnits = map[string]string{}
				}
				p.OwnUnits[name] = value
			}
		}
		for i, name := range header {
			value := strings.TrimSpace(row[i])
			to := map[string]*string{
				"model": &p.Model, "scope": &p.Scope, "region": &p.Region, "tier": &p.Tier, "upstream": &p.Upstream, "contract": &p.Contract,
				"effective": &p.Effective, "currency": &p.Currency,
			}[name]
			if to == nil {
				to = tokens.at(name)
			}
			if to == nil && strings.HasPrefix(name, "long_") {
				to = long.at(strings.TrimPrefix(name, "long_"))
			}
			unit, isUnit := strings.CutPrefix(name, "unit:")
			switch {
			case to != nil:
				*to = value
			case isUnit && value != "":
				units(unit, value)
			case isUnit:
			case name == "long_above":
				if value == "" {
					break
				}
				if p.LongAbove, err = strconv.ParseInt(value, 10, 64); err != nil {
					line, _ := r.FieldPos(i)
					return nil, fmt.Errorf("line %d: long_above: %q is no number", line, value)
				}
			default:
				return nil, fmt.Errorf("the column %q is not one of prices", name)
			}
		}
		f.Prices = append(f.Prices, p)
	}
}
