package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Price is what one model costs from one source Region in one scope and service tier: its tokens, in nano-USD per Per
// tokens (1 USD per million is 1e9), and what else it is paid by. A nil pointer means that no such price is known, which is
// not the same as free.
type Price struct {
	ID           string // stable key with its version: "anthropic.claude-3-haiku-20240307-v1:0/region/*@2026-08-06"; of an overlay with its date: "...@2026-08-06+2026-11-23"
	Input        *int64
	Output       *int64
	CacheRead    *int64
	CacheWrite   *int64 // time to live 5 minutes
	CacheWrite1h *int64

	// Per is the tokens that the amounts above are for: 1,000,000, or where GPUs are shared by tokens what they make in an
	// hour.
	Per int64

	// Units is what is not paid by the token costs, in nano-USD a piece, by what its usage types end in: "input-image",
	// "searchunits", "requests", "output-image", or where AWS tells pictures by task, size and quality "T2I-1024-Standard".
	Units map[string]int64

	// GPU is what the time of a call costs on GPUs of one's own; nil where it is not paid by time. Tokens then cost nothing
	// beside it.
	GPU *GPUTime

	Effective time.Time // the first instant that it holds for
	Inferred  bool      // some of it follows a rule and was not read from a price list

	// Long is what a call costs whose whole input, cached tokens included, has more than LongAbove tokens; nil where
	// such calls cost the same.
	Long      *Price
	LongAbove int64

	under []string // ID under each of the catalog's discounts, "" where one is not for this price; nil for none
}

// GPUTime is the cost of GPUs that calls share.
type GPUTime struct {
	PerHour int64 // nano-USD, of all that answer the model together
	Calls   int64 // how many calls share them: each is charged this part of the time that it took
}

// DefaultLongAbove is the step of prices that give none: AWS's for Claude.
const DefaultLongAbove = 200_000

// perMillion is Price.Per where a price does not say otherwise.
const perMillion = 1_000_000

// Call is what the price of a call hangs on.
type Call struct {
	Model    string
	Scope    string // "region", "global" or a geography
	Region   string // the source Region
	Tier     string // the service tier that served it, "" for the default one
	Upstream string // that served it
	Account  string // that called
	At       time.Time
}

// Terms are what a call is paid by.
type Terms struct {
	List     *Price // what everybody pays; nil where it is not known
	Contract *Price // negotiated amounts, which are paid in the place of List's; nil for none
	Off      int64  // millionths that are taken off List's amounts

	discount int // the index of the discount, where Off is above 0
}

// ID is the id of p, which is List or its Long, with that of the discount that Off is by.
func (t *Terms) ID(p *Price) string {
	if t.Off == 0 {
		return p.ID
	}
	return p.under[t.discount]
}

// Terms returns what a call is paid by. See Price for the order in which scopes and Regions are looked at.
//
// A price of the upstream that served the call is all that counts where there is one: that is somebody's own server. It holds
// for every service tier where it names none. Otherwise a tier has the prices that name it, and no others: the default's
// are not its own.
func (c *Catalog) Terms(q *Call) (t Terms) {
	of := c.tariffs[tariffKey{q.Model, q.Scope}]
	if of == nil {
		return t
	}
	if c.upstreams && q.Upstream != "" {
		for _, tier := range [...]string{q.Tier, ""} {
			if p := of.others[variant{tier: tier, upstream: q.Upstream}].begun(q.Region, q.At); p != nil {
				t.List = p
				return t
			}
		}
	}
	list := of.list
	if q.Tier != "" {
		list = of.others[variant{tier: q.Tier}]
	}
	t.List = list.at(q.Region, q.At)
	if c.contracts {
		t.Contract = of.others[variant{tier: q.Tier, contract: true}].begun(q.Region, q.At)
	}
	if t.List != nil && t.List.under != nil {
		for i := range c.discounts { // the highest first
			if d := &c.discounts[i]; t.List.under[i] != "" && d.holds(q.Account, q.At) {
				t.Off, t.discount = d.off, i
				break
			}
		}
	}
	return t
}

// Price returns what the model's tokens cost in a scope ("region", "global" or a geography) when called from
// sourceRegion at an instant, in the default service tier and by AWS's list. Of several versions it is the newest that
// holds at that instant, or the first when the instant is before all of them.
//
// The price is the first there is, and has begun, of: the scope's own price for that source Region, the scope's price, the
// in-Region price of that source Region, the in-Region price everywhere. For the models that AWS sells cheaper through their
// global profile (Claude 4.5 and later, Nova 2, GPT-5.6) the in-Region price is the geographies', 10% above the global
// one.
func (c *Catalog) Price(modelID, scope, sourceRegion string, at time.Time) (*Price, bool) {
	of := c.tariffs[tariffKey{modelID, scope}]
	if of == nil {
		return nil, false
	}
	p := of.list.at(sourceRegion, at)
	return p, p != nil
}

// Rates returns every price that may hold for a call of the model in scope from region at an instant, the default tier's list
// price first: those of tiers, upstreams and contracts too.
func (c *Catalog) Rates(modelID, scope, region string, at time.Time) []*Price {
	of := c.tariffs[tariffKey{modelID, scope}]
	if of == nil {
		return nil
	}
	var ps []*Price
	if p := of.list.at(region, at); p != nil {
		ps = append(ps, p)
	}
	for _, v := range slices.SortedFunc(maps.Keys(of.others), variant.compare) {
		p := of.others[v].at(region, at)
		if v.upstream != "" || v.contract {
			p = of.others[v].begun(region, at)
		}
		if p != nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// Scopes returns the scopes in which prices of the model are known, sorted.
func (c *Catalog) Scopes(modelID string) (scopes []string) {
	for k := range c.tariffs {
		if k.model == modelID {
			scopes = append(scopes, k.scope)
		}
	}
	slices.Sort(scopes)
	return scopes
}

// Regions returns the source Regions that have prices of their own for the model in scope, sorted.
func (c *Catalog) Regions(modelID, scope string) []string {
	of := c.tariffs[tariffKey{modelID, scope}]
	if of == nil {
		return nil
	}
	regions := map[string]bool{}
	for _, t := range append(slices.Collect(maps.Values(of.others)), of.list) {
		if t != nil {
			for r := range t.regions {
				regions[r] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(regions))
}

// tariffKey is a model in a scope.
type tariffKey struct{ model, scope string }

// tariffs is what a model costs in a scope.
type tariffs struct {
	list   *tariff // by AWS's list, in the default tier; may be nil
	others map[variant]*tariff
}

// variant is what else a price may be of.
type variant struct {
	tier, upstream string
	contract       bool
}

func (v variant) compare(o variant) int {
	contract := func(v variant) int {
		if v.contract {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(v.tier, o.tier), cmp.Compare(v.upstream, o.upstream), cmp.Compare(contract(v), contract(o)))
}

// tariff is one line of prices: every fallback is already in it.
type tariff struct {
	regions map[string][]*Price // source Regions with prices of their own
	rest    []*Price            // all others
}

// at is the version that holds at an instant; before all of them, it is the first.
func (t *tariff) at(region string, at time.Time) *Price {
	versions := t.versions(region)
	if p := begun(versions, at); p != nil || len(versions) == 0 {
		return p
	}
	return versions[len(versions)-1]
}

// begun is the version that holds at an instant; nil before all of them: what somebody has agreed on, or runs himself, has a
// first day.
func (t *tariff) begun(region string, at time.Time) *Price { return begun(t.versions(region), at) }

func begun(versions []*Price, at time.Time) *Price {
	for _, p := range versions { // newest first
		if !at.Before(p.Effective) {
			return p
		}
	}
	return nil
}

func (t *tariff) versions(region string) []*Price {
	if t == nil {
		return nil
	}
	if versions, ok := t.regions[region]; ok {
		return versions
	}
	return t.rest
}

func (t *tariff) set(region string, versions []*Price) {
	if t.regions == nil {
		t.regions = map[string][]*Price{}
	}
	t.regions[region] = versions
}

// discount is a DiscountFact as calls ask for it.
type discount struct {
	id          string
	off         int64    // millionths
	models      []string // as in the fact
	accounts    []string
	from, until time.Time // until is zero where it does not end
}

func (d *discount) holds(account string, at time.Time) bool {
	return !at.Before(d.from) && (d.until.IsZero() || at.Before(d.until)) && (len(d.accounts) == 0 || slices.Contains(d.accounts, account))
}

func (d *discount) covers(model string) bool {
	return len(d.models) == 0 || slices.ContainsFunc(d.models, func(m string) bool {
		prefix, any := strings.CutSuffix(m, "*")
		return m == model || any && strings.HasPrefix(model, prefix)
	})
}

// priceWord is the form of the names of tiers, upstreams, contracts and discounts: they stand in ids.
var priceWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (c *Catalog) addDiscounts(facts []DiscountFact) error {
	seen := map[string]bool{}
	for i := range facts {
		f := &facts[i]
		d := discount{id: f.id(), models: f.Models, accounts: f.Accounts}
		if !priceWord.MatchString(f.Name) {
			return fmt.Errorf("discount %q: want a name of letters, digits, dots and hyphens", f.Name)
		}
		if seen[d.id] {
			return fmt.Errorf("discount %s is there twice", d.id)
		}
		seen[d.id] = true
		percent, err := parseNano(f.Percent)
		const step = 100_000 // nano-percent in a millionth
		if d.off = percent / step; err != nil || percent%step != 0 || d.off < 1 || d.off > 1_000_000 {
			return fmt.Errorf("discount %s: percent %q: want a decimal above 0 and up to 100 with at most 4 places, in quotes", d.id, f.Percent)
		}
		if d.from, err = day(f.Effective); err == nil {
			d.until, err = day(f.Until)
		}
		if err != nil {
			return fmt.Errorf("discount %s: %w", d.id, err)
		}
		if d.from.IsZero() || !d.until.IsZero() && !d.from.Before(d.until) {
			return fmt.Errorf("discount %s: want a day in effective, and a later one in until or none", d.id)
		}
		for _, m := range f.Models {
			if _, ok := c.models[m]; !ok && !strings.HasSuffix(m, "*") {
				return fmt.Errorf("discount %s: no model %q", d.id, m)
			}
		}
		c.discounts = append(c.discounts, d)
	}
	slices.SortStableFunc(c.discounts, func(a, b discount) int { return cmp.Compare(b.off, a.off) })
	return nil
}

// rowKey is a line of versions of one price. region "" is every Region.
type rowKey struct {
	tariffKey
	variant
	region string
}

func (c *Catalog) addPrices(f *Facts) error {
	if err := c.addDiscounts(f.Discounts); err != nil {
		return err
	}
	geos := map[string]bool{InRegion: true}
	for _, p := range c.profiles {
		geos[p.Geo] = true
	}
	facts, err := inUSD(f.Prices, f.Exchange)
	if err != nil {
		return err
	}
	rows := map[rowKey][]*Price{}
	for i := range facts {
		f := &facts[i]
		if _, ok := c.models[f.Model]; !ok {
			return fmt.Errorf("price of %q: no such model", f.Model)
		}
		if !geos[f.Scope] {
			return fmt.Errorf("price of %s: scope %q", f.Model, f.Scope)
		}
		p, err := f.price()
		if err != nil {
			return fmt.Errorf("price %s: %w", f.ID(), err)
		}
		k := rowKey{tariffKey{f.Model, f.Scope}, variant{f.Tier, f.Upstream, f.Contract != ""}, f.Region}
		if slices.ContainsFunc(rows[k], func(q *Price) bool { return q.Effective.Equal(p.Effective) }) {
			return fmt.Errorf("price %s is there twice", f.ID())
		}
		c.upstreams = c.upstreams || f.Upstream != ""
		c.contracts = c.contracts || f.Contract != ""
		if f.Upstream == "" && f.Contract == "" {
			c.discounted(p, f.Model)
		}
		rows[k] = append(rows[k], p)
	}
	for _, versions := range rows {
		slices.SortFunc(versions, func(a, b *Price) int { return b.Effective.Compare(a.Effective) })
	}
	if err := c.addUnpriced(f.Unpriced, facts); err != nil {
		return err
	}
	c.resolve(rows, geos)
	return nil
}

// resolve makes the tariffs of rows, with every fallback in them, so that a call needs one look-up. See Price for the order.
func (c *Catalog) resolve(rows map[rowKey][]*Price, scopes map[string]bool) {
	for k := range rows {
		in := []string{k.scope}
		if k.scope == InRegion {
			in = slices.Collect(maps.Keys(scopes)) // the others fall back to it
		}
		for _, scope := range in {
			t := c.tariff(tariffKey{k.model, scope}, k.variant)
			if k.region == "" && t.rest != nil || t.regions[k.region] != nil {
				continue // another row was here
			}
			own, region := tariffKey{k.model, scope}, tariffKey{k.model, InRegion}
			versions := merge(rows[rowKey{own, k.variant, k.region}], rows[rowKey{own, k.variant, ""}], rows[rowKey{region, k.variant, k.region}], rows[rowKey{region, k.variant, ""}])
			if k.region == "" {
				t.rest = versions
			} else {
				t.set(k.region, versions)
			}
		}
	}
}

// merge returns the versions of the first line, and from before its first those of the next ones: newest first.
func merge(lines ...[]*Price) (versions []*Price) {
	for _, line := range lines {
		for _, p := range line { // newest first
			if n := len(versions); n == 0 || p.Effective.Before(versions[n-1].Effective) {
				versions = append(versions, p)
			}
		}
	}
	return versions
}

// tariff returns the line of a model, a scope and a variant, and makes it when there is none.
func (c *Catalog) tariff(k tariffKey, v variant) *tariff {
	of := c.tariffs[k]
	if of == nil {
		of = &tariffs{}
		c.tariffs[k] = of
	}
	if v == (variant{}) {
		if of.list == nil {
			of.list = &tariff{}
		}
		return of.list
	}
	if of.others[v] == nil {
		if of.others == nil {
			of.others = map[variant]*tariff{}
		}
		of.others[v] = &tariff{}
	}
	return of.others[v]
}

// discounted gives p its ids under the discounts that are for the model.
func (c *Catalog) discounted(p *Price, model string) {
	for i := range c.discounts {
		if d := &c.discounts[i]; d.covers(model) {
			for _, q := range [...]*Price{p, p.Long} {
				if q == nil {
					continue
				}
				if q.under == nil {
					q.under = make([]string, len(c.discounts))
				}
				q.under[i] = q.ID + ";discount=" + d.id
			}
		}
	}
}

func (c *Catalog) addUnpriced(unpriced []UnpricedFact, facts []PriceFact) error {
	for _, u := range unpriced {
		if _, ok := c.models[u.Model]; !ok || u.Why == "" {
			return fmt.Errorf("unpriced %q: no such model, or no reason", u.Model)
		}
		if _, ok := c.unpriced[u.Model]; ok {
			return fmt.Errorf("unpriced %s is there twice", u.Model)
		}
		if slices.ContainsFunc(facts, func(f PriceFact) bool { return f.Model == u.Model }) {
			return fmt.Errorf("unpriced %s has prices", u.Model)
		}
		c.unpriced[u.Model] = u.Why
	}
	return nil
}

// price is f as calls ask for it. Its amounts are in US dollars.
func (f *PriceFact) price() (*Price, error) {
	for name, value := range map[string]string{"tier": f.Tier, "upstream": f.Upstream, "contract": f.Contract} {
		if value != "" && !priceWord.MatchString(value) {
			return nil, fmt.Errorf("%s %q: want letters, digits, dots and hyphens", name, value)
		}
	}
	if f.Tier == "default" {
		return nil, errors.New("tier: leave it out for the default one")
	}
	if f.Contract != "" && (f.Upstream != "" || f.GPU != (GPUFact{})) {
		return nil, errors.New("a contract is about list prices: it has neither upstream nor gpu")
	}
	p, err := f.Tokens.price()
	if err != nil {
		return nil, err
	}
	if gpu, err := f.GPU.price(); err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	} else if gpu != nil {
		if p != nil {
			return nil, errors.New("tokens are paid by the million or by GPU-hours, not both")
		}
		p = gpu
	}
	if p == nil && len(f.Units) > 0 {
		p = &Price{Per: perMillion}
	}
	if p == nil {
		return nil, errors.New("no amount")
	}
	for of, usd := range f.Units {
		nano, err := parseNano(usd)
		if err != nil {
			return nil, err
		}
		if of == "" {
			return nil, errors.New("a unit without a name")
		}
		if p.Units == nil {
			p.Units = make(map[string]int64, len(f.Units))
		}
		p.Units[of] = nano
	}
	if p.Long, err = f.Long.price(); err != nil {
		return nil, err
	}
	if p.Effective, err = day(f.Effective); err != nil {
		return nil, err
	}
	if p.Effective.IsZero() {
		return nil, errors.New("no date")
	}
	p.ID, p.Inferred = f.ID(), len(f.Inferred) > 0
	if f.dated != "" {
		p.ID += "+" + f.dated
	}
	if f.exchanged != "" {
		p.ID += "=" + f.exchanged
	}
	if f.LongAbove < 0 || f.LongAbove > 0 && p.Long == nil {
		return nil, errors.New("long_above: a number of tokens, beside prices for more of them")
	}
	if p.Long != nil {
		p.LongAbove = cmp.Or(f.LongAbove, DefaultLongAbove)
		p.Long.ID, p.Long.Effective, p.Long.Inferred = p.ID+"#long", p.Effective, p.Inferred
	}
	return p, nil
}

// price converts the amounts; nil when there is none.
func (f TokensFact) price() (*Price, error) {
	p, found := &Price{Per: perMillion}, false
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

// price is what GPU-hours cost, shared by time or by tokens; nil for none.
func (f GPUFact) price() (*Price, error) {
	if f == (GPUFact{}) {
		return nil, nil
	}
	nano, err := parseNano(f.PerHour)
	if err != nil {
		return nil, err
	}
	n := cmp.Or(f.GPUs, 1)
	const most = 1_000_000
	if n < 0 || n > most || f.Calls < 0 || f.Calls > most || f.TokensPerHour < 0 || f.TokensPerHour > most*most || (f.Calls > 0) == (f.TokensPerHour > 0) {
		return nil, errors.New("want gpus, and one of calls (that share them at once) and tokens_per_hour (that they make)")
	}
	all, ok := Ratio(nano, n, 1, 1)
	if !ok {
		return nil, badAmount(f.PerHour)
	}
	if f.Calls > 0 {
		return &Price{Per: perMillion, GPU: &GPUTime{PerHour: all, Calls: f.Calls}}, nil
	}
	// What was read from a cache is not worked on again.
	free := int64(0)
	return &Price{Per: f.TokensPerHour, Input: &all, Output: &all, CacheRead: &free, CacheWrite: &all, CacheWrite1h: &all}, nil
}

// inUSD returns facts with every amount in US dollars: a price in another currency becomes a version for each rate of
// exchange that holds while it does.
func inUSD(facts []PriceFact, rates []ExchangeFact) ([]PriceFact, error) {
	if !slices.ContainsFunc(facts, func(f PriceFact) bool { return f.Currency != "" || f.foreign() }) && len(rates) == 0 {
		return facts, nil
	}
	byCurrency := map[string][]ExchangeFact{}
	for _, r := range rates {
		if !currency.MatchString(r.Currency) || r.Currency == "USD" {
			return nil, fmt.Errorf("exchange: currency %q: want three capitals, as EUR, and not USD", r.Currency)
		}
		if d, err := day(r.Effective); err != nil || d.IsZero() {
			return nil, fmt.Errorf("exchange %s: effective: want a day as 2026-12-01", r.id())
		}
		if n, err := parseNano(r.USD); err != nil || n == 0 {
			return nil, fmt.Errorf("exchange %s: usd: want what one %s is worth, as \"1.0825\"", r.id(), r.Currency)
		}
		if slices.ContainsFunc(byCurrency[r.Currency], func(o ExchangeFact) bool { return o.Effective == r.Effective }) {
			return nil, fmt.Errorf("exchange %s is there twice", r.id())
		}
		byCurrency[r.Currency] = append(byCurrency[r.Currency], r)
	}
	for _, rs := range byCurrency {
		slices.SortFunc(rs, func(a, b ExchangeFact) int { return strings.Compare(a.Effective, b.Effective) })
	}
	days := map[string][]string{} // of the versions of a price
	line := func(f PriceFact) string { f.Effective = ""; return f.ID() }
	for _, f := range facts {
		days[line(f)] = append(days[line(f)], f.Effective)
	}
	var all []PriceFact
	for _, f := range facts {
		if f.Currency == "" || f.Currency == "USD" {
			if f.foreign() {
				return nil, fmt.Errorf("price %s: per_million, per_million_long, per_unit and per_hour need a currency; in US dollars they are usd_per_million and so on", f.ID())
			}
			all = append(all, f)
			continue
		}
		if f.Tokens != (TokensFact{}) || f.Long != (TokensFact{}) || len(f.Units) > 0 || f.GPU.PerHour != "" {
			return nil, fmt.Errorf("price %s: in %s its amounts are per_million, per_million_long, per_unit and per_hour, without usd_", f.ID(), f.Currency)
		}
		end := "" // the day from which another version holds
		for _, d := range days[line(f)] {
			if d > f.Effective && (end == "" || d < end) {
				end = d
			}
		}
		rs := byCurrency[f.Currency]
		first := -1 // the rate that holds when the price begins
		for i := range rs {
			if rs[i].Effective <= f.Effective {
				first = i
			}
		}
		if first < 0 {
			return nil, fmt.Errorf("price %s: exchange has no rate of %s for that day", f.ID(), f.Currency)
		}
		for _, r := range rs[first:] {
			if end != "" && r.Effective >= end {
				break
			}
			v, err := f.exchange(&r)
			if err != nil {
				return nil, fmt.Errorf("price %s: %w", f.ID(), err)
			}
			all = append(all, v)
		}
	}
	return all, nil
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func (f *PriceFact) foreign() bool {
	return f.Own != (TokensFact{}) || f.OwnLong != (TokensFact{}) || len(f.OwnUnits) > 0 || f.GPU.Own != ""
}

// exchange is f in US dollars at a rate. Amounts are rounded to a nano-dollar, half to even.
func (f PriceFact) exchange(r *ExchangeFact) (PriceFact, error) {
	rate, err := parseNano(r.USD)
	if err != nil {
		return f, err
	}
	usd := func(amount string) (string, error) {
		if amount == "" {
			return "", nil
		}
		n, err := parseNano(amount)
		if err != nil {
			return "", err
		}
		n, ok := Ratio(n, rate, 1, 1e9)
		if !ok || n > maxNano {
			return "", badAmount(amount)
		}
		return Decimal(n, 9), nil
	}
	tokens := func(t TokensFact) (TokensFact, error) {
		var err error
		for _, a := range []*string{&t.Input, &t.Output, &t.CacheRead, &t.CacheWrite, &t.CacheWrite1h} {
			var e error
			*a, e = usd(*a)
			err = errors.Join(err, e)
		}
		return t, err
	}
	if f.Tokens, err = tokens(f.Own); err != nil {
		return f, err
	}
	if f.Long, err = tokens(f.OwnLong); err != nil {
		return f, err
	}
	if len(f.OwnUnits) > 0 {
		f.Units = make(map[string]string, len(f.OwnUnits))
		for of, amount := range f.OwnUnits {
			if f.Units[of], err = usd(amount); err != nil {
				return f, err
			}
		}
	}
	if f.GPU.PerHour, err = usd(f.GPU.Own); err != nil {
		return f, err
	}
	f.GPU.Own = ""
	f.Own, f.OwnLong, f.OwnUnits, f.Currency = TokensFact{}, TokensFact{}, nil, ""
	f.Effective, f.exchanged = max(f.Effective, r.Effective), r.id()
	return f, nil
}
