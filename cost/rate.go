// Package cost is money: Rater turns the usage of a call into charges, and the reports turn the ledger's rollups into
// answers (Cost Explorer, the CLI, the console).
//
// Money is integer nano-USD everywhere (1 USD is 1e9). It is rounded once, when a charge is made, and only added up
// after that; FormatUSD writes it at the edge. There are no floats.
package cost

import (
	"maps"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/ledger"
)

// Rater rates usage with the prices of a catalog. It is safe for concurrent use.
type Rater struct {
	catalog *catalog.Catalog

	// The usage types of what has been called: a map that is replaced whole, so that Rate reads it without a lock.
	types atomic.Pointer[map[typesKey]*usageTypes]
	mu    sync.Mutex // held to replace it
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

// longContext is the most tokens of input, cached ones included, that a call may have at the usual price where
// there is another for more: see catalog.Price.
const longContext = 200_000

// maxTypes bounds the map of usage types, which grows with the Regions that callers name. What does not fit is put
// together again for each call.
const maxTypes = 1 << 13

// NewRater returns a Rater that uses the prices of c.
func NewRater(c *catalog.Catalog) *Rater {
	r := &Rater{catalog: c}
	r.types.Store(&map[typesKey]*usageTypes{})
	return r
}

// Rate returns what u costs: one charge for each kind of token that was used, in the order input, output, cache read,
// cache write (5 minutes), cache write (1 hour), and nil when nothing was used. scope is the price's scope ("region",
// "global" or a geography) and sourceRegion the Region that was called: AWS prices by the source Region, wherever the
// call was served. tier is the service tier that the call was served in, "" or "default" being the one that is sold by
// default. at is when the call began; it chooses the price's version.
//
// What is not paid by the token comes first, one charge a kind. A model that is sold by it alone has no charges for tokens.
//
// A kind of usage without a known price gives an Unrated charge with its quantity. So does a product that does not fit
// an int64, and so does every kind in another tier than the default: the catalog knows no prices of tiers, and the
// default's is not theirs. A negative count is no usage.
func (r *Rater) Rate(u converse.Usage, model *catalog.Model, scope, sourceRegion, tier string, at time.Time) []ledger.Charge {
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
	var none catalog.Price
	price, ok := r.catalog.Price(model.ID, scope, sourceRegion, at)
	if !ok {
		price = &none
	}
	byPiece := len(price.Units) > 0 && price.Input == nil && price.Output == nil
	if tier != "" {
		price = &none
	}
	long := price.Long != nil && u.InputTokens+u.CacheReadInputTokens+u.CacheWriteInputTokens > longContext
	if long {
		price = price.Long
	}
	cacheRead := price.CacheRead
	if cacheRead == nil && price.CacheWrite == nil && price.CacheWrite1h == nil {
		// A model that is not sold with a cache has no price for it. Servers of one's own cache prefixes all the same and
		// say so: to whom the model is sold without a discount, what was read is input.
		cacheRead = price.Input
	}
	t := r.usageTypes(model, scope, sourceRegion, tier, long)
	charges := make([]ledger.Charge, 0, n)
	charges = appendUnits(charges, u.Units, model, scope, sourceRegion, price)
	if len(charges) > 0 && byPiece {
		return charges // what is sold by the piece alone has no price for tokens, and needs none
	}
	charges = appendCharge(charges, t.input, u.InputTokens, price.Input, price.ID)
	charges = appendCharge(charges, t.output, u.OutputTokens, price.Output, price.ID)
	charges = appendCharge(charges, t.cacheRead, u.CacheReadInputTokens, cacheRead, price.ID)
	charges = appendCharge(charges, t.cacheWrite, write, price.CacheWrite, price.ID)
	charges = appendCharge(charges, t.cacheWrite1h, write1h, price.CacheWrite1h, price.ID)
	return charges
}

// Blend returns what the model costs by and large when region is called, for whoever compares Regions: in nano-USD, a million
// tokens of which three are read for each one that is written. ok is false where a price is not known, as of what is not
// paid by the token.
func (r *Rater) Blend(model *catalog.Model, scope, region string, at time.Time) (nano int64, ok bool) {
	p, ok := r.catalog.Price(model.ID, scope, region, at)
	if !ok || p.Input == nil {
		return 0, false
	}
	in, out := *p.Input, int64(0)
	if p.Output != nil { // embeddings have none
		out = *p.Output
	}
	return in/4*3 + out/4, true
}

// LostAttempt is what the usage types of charges end in that are for an attempt whose answer nobody got: see
// docs/routing.md.
const LostAttempt = "-lost-attempt"

// What usage types end in.
const (
	inputImage   = "input-image"
	searchUnits  = "searchunits"
	globalSuffix = "-cross-region-global"
)

// appendUnits appends the charges of what is not paid by the token. Their usage types are AWS's, as far as they are known:
// "USE1-NovaCanvas-T2I-1024-Standard", "USE1-TitanEmbeddingsG1-Image-input-image", "USW2-AmazonRerank-v1-searchunits".
func appendUnits(charges []ledger.Charge, u converse.Units, model *catalog.Model, scope, region string, price *catalog.Price) []ledger.Charge {
	for _, of := range [...]struct {
		name  string
		count int64
	}{{u.ImageType, u.Images}, {inputImage, u.InputImages}, {searchUnits, u.SearchUnits}} {
		if of.count <= 0 {
			continue
		}
		c := ledger.Charge{UsageType: catalog.RegionCode(region) + "-" + model.UsageName + "-" + of.name, Quantity: of.count, Unrated: true}
		if scope == catalog.Global {
			c.UsageType += globalSuffix
		}
		if each, ok := price.Units[of.name]; ok {
			if hi, nano := bits.Mul64(uint64(of.count), uint64(each)); hi == 0 && nano <= math.MaxInt64 {
				c.Nano, c.Price, c.Unrated = int64(nano), price.ID, false
			}
		}
		charges = append(charges, c)
	}
	return charges
}

func appendCharge(charges []ledger.Charge, usageType string, tokens int64, nanoPerMillion *int64, price string) []ledger.Charge {
	if tokens <= 0 {
		return charges
	}
	c := ledger.Charge{UsageType: usageType, Quantity: tokens, Unrated: true}
	if nanoPerMillion != nil {
		if nano, ok := rate(tokens, *nanoPerMillion); ok {
			c.Nano, c.Price, c.Unrated = nano, price, false
		}
	}
	return append(charges, c)
}

// rate returns tokens x nanoPerMillion / 1e6, rounded half to even. ok is false when an argument is negative or the
// result does not fit.
func rate(tokens, nanoPerMillion int64) (nano int64, ok bool) {
	if tokens < 0 || nanoPerMillion < 0 {
		return 0, false
	}
	const million = 1_000_000
	hi, lo := bits.Mul64(uint64(tokens), uint64(nanoPerMillion))
	if hi >= million {
		return 0, false
	}
	q, rem := bits.Div64(hi, lo, million)
	if q >= math.MaxInt64 {
		return 0, false
	}
	if rem > million/2 || rem == million/2 && q&1 == 1 {
		q++
	}
	return int64(q), true
}

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
		suffix += "-long-context"
	}
	if k.global {
		suffix += globalSuffix
	}
	t := &usageTypes{
		input:        prefix + "-input-tokens" + suffix,
		output:       prefix + "-output-tokens" + suffix,
		cacheRead:    prefix + "-cache-read-input-token-count" + suffix,
		cacheWrite:   prefix + "-cache-write-input-token-count" + suffix,
		cacheWrite1h: prefix + "-cache-write-1h-input-token-count" + suffix,
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
