// Package cost is money: Rater turns the usage of a call into charges, and the reports turn the ledger's rollups into
// answers (Cost Explorer, the CLI, the console).
//
// Money is integer nano-USD everywhere (1 USD is 1e9). It is rounded once, when a charge is made, and only added up
// after that; FormatUSD writes it at the edge. There are no floats.
package cost

import (
	"maps"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/ledger"
)

// Rater rates usage with the prices of a catalog. It is safe for concurrent use.
type Rater struct {
	catalog atomic.Pointer[catalog.Catalog]

	// The usage types of what has been called: a map that is replaced whole, so that Rate reads it without a lock.
	types atomic.Pointer[map[typesKey]*usageTypes]
	mu    sync.Mutex // held to replace it
}

// Use is what one call used, and what its price hangs on.
type Use struct {
	converse.Usage
	Model    *catalog.Model
	Scope    string        // the price's: "region", "global" or a geography
	Region   string        // the source Region: AWS prices by it, wherever the call was served
	Tier     string        // the service tier that the call was served in, "" or "default" being the one that is sold by default
	Upstream string        // that served it, "" where none is known
	Account  string        // that called
	At       time.Time     // when the call began; it chooses the price's version
	Took     time.Duration // from its beginning to its end; 0 where it is not known
	Lost     bool          // an attempt that gave no answer: the request and its time are the call's
}

type typesKey struct {
	name   string // the model's UsageName
	region string
	tier   string // "" is the default
	global bool
	long   bool // long context
}

// usageTypes are AWS's names for the five kinds of token of one model, called from one Region.
type usageTypes struct{ input, output, cacheRead, cacheWrite, cacheWrite1h string }

// maxTypes bounds the map of usage types, which grows with the Regions that callers name. What does not fit is put
// together again for each call.
const maxTypes = 1 << 13

// NewRater returns a Rater that uses the prices of c.
func NewRater(c *catalog.Catalog) *Rater {
	r := &Rater{}
	r.catalog.Store(c)
	r.types.Store(&map[typesKey]*usageTypes{})
	return r
}

// Catalog returns the catalog whose prices are used now.
func (r *Rater) Catalog() *catalog.Catalog { return r.catalog.Load() }

// Replace makes c the catalog whose prices are used from now on.
func (r *Rater) Replace(c *catalog.Catalog) { r.catalog.Store(c) }

// Rate returns what u costs: one charge for each kind of token that was used, in the order input, output, cache read,
// cache write (5 minutes), cache write (1 hour), and nil when nothing was used.
//
// What is not paid by the token comes first, one charge a kind. A model that is sold by it alone has no charges for tokens.
//
// A kind of usage without a known price gives an Unrated charge with its quantity. So does a product that does not fit
// an int64, and so does every kind in a tier of which no price is known: the default's is not its own. A negative count is
// no usage.
//
// A charge is what is paid: the negotiated amount where there is one, or the list's less the discount that holds. What the
// list says beyond it is its Discount. Each of the two is rounded once.
func (r *Rater) Rate(u *Use) []ledger.Charge {
	tier := u.Tier
	if tier == "default" {
		tier = ""
	}
	write1h := max(u.CacheWrite1hInputTokens, 0)
	write := u.CacheWriteInputTokens - write1h
	n := 0
	for _, tokens := range [...]int64{u.InputTokens, u.OutputTokens, u.CacheReadInputTokens, write, write1h} {
		if tokens > 0 {
			n++
		}
	}
	if u.Units != (converse.Units{}) {
		n += 3
	}
	if n == 0 {
		return nil
	}
	cat := r.catalog.Load()
	call := catalog.Call{Model: u.Model.ID, Scope: u.Scope, Region: u.Region, Tier: tier, Upstream: u.Upstream, Account: u.Account, At: u.At}
	t := cat.Terms(&call)
	long := t.List != nil && t.List.Long != nil && u.InputTokens+u.CacheReadInputTokens+u.CacheWriteInputTokens > t.List.LongAbove
	p := begin(&t, long)
	names := r.usageTypes(u.Model, u.Scope, u.Region, tier, long)
	if p.counts(requests) {
		n++
	}
	charges := p.appendUnits(make([]ledger.Charge, 0, n), u)
	if p.list.GPU != nil {
		if u.Lost {
			return charges
		}
		return append(charges, p.gpuTime(u))
	}
	if len(charges) > 0 {
		sold := t.List // also where this tier has no price
		if sold == nil && tier != "" {
			sold, _ = cat.Price(u.Model.ID, u.Scope, u.Region, u.At)
		}
		if sold != nil && len(sold.Units) > 0 && sold.Input == nil && sold.Output == nil {
			return charges // what is sold by the piece alone has no price for tokens, and needs none
		}
	}
	cacheRead, contractRead := p.list.CacheRead, p.contract.CacheRead
	if cacheRead == nil && p.list.CacheWrite == nil && p.list.CacheWrite1h == nil {
		// A model that is not sold with a cache has no price for it. Servers of one's own cache prefixes all the same and
		// say so: to whom the model is sold without a discount, what was read is input.
		cacheRead = p.list.Input
		if contractRead == nil {
			contractRead = p.contract.Input
		}
	}
	for _, of := range [...]struct {
		usageType      string
		tokens         int64
		list, contract *int64
	}{
		{names.input, u.InputTokens, p.list.Input, p.contract.Input},
		{names.output, u.OutputTokens, p.list.Output, p.contract.Output},
		{names.cacheRead, u.CacheReadInputTokens, cacheRead, contractRead},
		{names.cacheWrite, write, p.list.CacheWrite, p.contract.CacheWrite},
		{names.cacheWrite1h, write1h, p.list.CacheWrite1h, p.contract.CacheWrite1h},
	} {
		if of.tokens > 0 {
			charges = append(charges, p.charge(of.usageType, of.tokens, of.list, p.list.Per, of.contract, p.contract.Per))
		}
	}
	return charges
}

// Unpriced reports whether a call like u, which has used nothing yet, may end with usage of which no price is known: that is
// so unless there are prices for what every such call uses.
func (r *Rater) Unpriced(u *Use) bool {
	tier := u.Tier
	if tier == "default" {
		tier = ""
	}
	t := r.catalog.Load().Terms(&catalog.Call{Model: u.Model.ID, Scope: u.Scope, Region: u.Region, Tier: tier, Upstream: u.Upstream, Account: u.Account, At: u.At})
	p := begin(&t, false)
	return p.list.GPU == nil && p.list.Input == nil && p.contract.Input == nil && len(p.list.Units) == 0 && len(p.contract.Units) == 0
}

// pricing is the amounts that one call is paid by. Neither of the two is nil.
type pricing struct {
	terms          *catalog.Terms
	list, contract *catalog.Price
}

// none is the price of what has none.
var none = catalog.Price{Per: 1}

// begin returns the amounts for a call whose input is long, or not, by the step that the list has.
func begin(t *catalog.Terms, long bool) pricing {
	p := pricing{t, t.List, t.Contract}
	if long {
		p.list = p.list.Long
		if p.contract != nil {
			p.contract = p.contract.Long
		}
	}
	if p.list == nil {
		p.list = &none
	}
	if p.contract == nil {
		p.contract = &none
	}
	return p
}

// wholeShare is all, in millionths.
const wholeShare = 1_000_000

// charge is what quantity of a kind costs: contract per contractPer where that is there, else list per listPer, less the
// discount.
func (p *pricing) charge(usageType string, quantity int64, list *int64, listPer int64, contract *int64, contractPer int64) ledger.Charge {
	c := ledger.Charge{UsageType: usageType, Quantity: quantity, Unrated: true}
	var full int64
	known := list != nil
	if known {
		full, known = catalog.Ratio(quantity, *list, 1, listPer)
	}
	nano, ok, id := full, known, ""
	switch {
	case contract != nil:
		nano, ok = catalog.Ratio(quantity, *contract, 1, contractPer)
		id = p.contract.ID
	case known:
		if p.terms.Off > 0 {
			nano, ok = catalog.Ratio(quantity, *list, wholeShare-p.terms.Off, listPer*wholeShare)
		}
		id = p.terms.ID(p.list)
	}
	if ok {
		c.Nano, c.Price, c.Unrated = nano, id, false
		if known {
			c.Discount = full - nano
		}
	}
	return c
}

// counts reports whether there is a price for a unit.
func (p *pricing) counts(unit string) bool {
	if _, ok := p.list.Units[unit]; ok {
		return true
	}
	_, ok := p.contract.Units[unit]
	return ok
}

// appendUnits appends the charges of what is not paid by the token. Their usage types are AWS's, as far as they are known:
// "USE1-NovaCanvas-T2I-1024-Standard", "USE1-TitanEmbeddingsG1-Image-input-image", "USW2-AmazonRerank-v1-searchunits".
func (p *pricing) appendUnits(charges []ledger.Charge, u *Use) []ledger.Charge {
	request := int64(0)
	if p.counts(requests) && !u.Lost {
		request = 1
	}
	for _, of := range [...]struct {
		name  string
		count int64
	}{{u.ImageType, u.Images}, {inputImage, u.InputImages}, {searchUnits, u.SearchUnits}, {requests, request}} {
		if of.count <= 0 {
			continue
		}
		amount := func(units map[string]int64) *int64 {
			if each, ok := units[of.name]; ok {
				return &each
			}
			return nil
		}
		charges = append(charges, p.charge(u.unitType(of.name), of.count, amount(p.list.Units), 1, amount(p.contract.Units), 1))
	}
	return charges
}

// unitType is the usage type of what is counted by the piece.
func (u *Use) unitType(unit string) string {
	t := catalog.RegionCode(u.Region) + "-" + u.Model.UsageName + "-" + unit
	if u.Scope == catalog.Global {
		t += globalSuffix
	}
	return t
}

// gpuTime is the charge for the call's part of the time of GPUs, in milliseconds, of which one that has begun counts. It is
// unrated where the time is not known.
func (p *pricing) gpuTime(u *Use) ledger.Charge {
	const hour = 3_600_000 // milliseconds
	gpu := p.list.GPU
	ms := (max(u.Took.Microseconds(), 0) + 999) / 1000
	usageType := u.unitType(gpuTime)
	if u.Tier != "" && u.Tier != "default" {
		usageType += "-" + u.Tier
	}
	if ms == 0 {
		return ledger.Charge{UsageType: usageType, Unrated: true}
	}
	return p.charge(usageType, ms, &gpu.PerHour, hour*gpu.Calls, nil, 1)
}

// Blend returns what a call like u costs by and large, for whoever compares targets: in nano-USD, a million
// tokens of which three are read for each one that is written. ok is false where a price is not known, as of what is not
// paid by the token.
func (r *Rater) Blend(u *Use) (nano int64, ok bool) {
	t := r.catalog.Load().Terms(&catalog.Call{Model: u.Model.ID, Scope: u.Scope, Region: u.Region, Tier: u.Tier, Upstream: u.Upstream, Account: u.Account, At: u.At})
	p := begin(&t, false)
	const read, written = 750_000, 250_000
	in := p.charge("", read, p.list.Input, p.list.Per, p.contract.Input, p.contract.Per)
	if in.Unrated {
		return 0, false
	}
	// Embeddings write nothing, and have no price for it.
	out := p.charge("", written, p.list.Output, p.list.Per, p.contract.Output, p.contract.Per)
	return in.Nano + out.Nano, true
}

// LostAttempt is what the usage types of charges end in that are for an attempt whose answer nobody got: see
// docs/routing.md.
const LostAttempt = "-lost-attempt"

// OwnUsage says that usageType is one that AWS has none of, GPU time or requests; model is how it abbreviates the model.
func OwnUsage(usageType string) (model string, ok bool) {
	_, body, _ := strings.Cut(usageType, "-")
	m := ownUsage.FindStringSubmatch(body)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// ownUsage is what stands behind the Region: see unitType and gpuTime. A model's abbreviation may have hyphens.
var ownUsage = regexp.MustCompile(`^(.+)-(?:` + gpuTime + `|` + requests + `)(?:` + globalSuffix + `)?(?:-[A-Za-z0-9._-]+)?$`)

// What usage types end in.
const (
	inputImage   = "input-image"
	searchUnits  = "searchunits"
	requests     = "requests"
	gpuTime      = "gpu-time"
	longSuffix   = "-long-context"
	globalSuffix = "-cross-region-global"
)

// usageTypes returns the usage types of model called from region. Their form is that of AWS's price lists and cost
// reports: "USE1-Nova2.0Lite-input-tokens", "USE1-Nova2.0Lite-input-tokens-cross-region-global",
// "USE1-Claude4Sonnet-input-tokens-long-context-cross-region-global", "USE1-Nova2.0Lite-input-tokens-flex-cross-region-global".
func (r *Rater) usageTypes(model *catalog.Model, scope, region, tier string, long bool) *usageTypes {
	k := typesKey{model.UsageName, region, tier, scope == "global", long}
	if t, ok := (*r.types.Load())[k]; ok {
		return t
	}
	prefix, suffix := catalog.RegionCode(region)+"-"+model.UsageName, ""
	if tier != "" {
		suffix = "-" + tier
	}
	if long {
		suffix += longSuffix
	}
	if k.global {
		suffix += globalSuffix
	}
	t := &usageTypes{
		input:        prefix + tokenKinds[0] + suffix,
		output:       prefix + tokenKinds[1] + suffix,
		cacheRead:    prefix + tokenKinds[2] + suffix,
		cacheWrite:   prefix + tokenKinds[3] + suffix,
		cacheWrite1h: prefix + tokenKinds[4] + suffix,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.types.Load()
	if len(old) >= maxTypes {
		return t
	}
	m := make(map[typesKey]*usageTypes, len(old)+1)
	maps.Copy(m, old)
	m[k] = t
	r.types.Store(&m)
	return t
}
