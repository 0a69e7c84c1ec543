package cost

import (
	"slices"
	"strings"

	"outcrop/converse"
	"outcrop/ledger"
)

// Rerate returns what e costs by the prices of now, with each charge that is as it was left as it is. ok is false, and why says the reason, where
// that cannot be said: its charges then stay.
//
// What a call used, the tier that served it and the attempts that were lost are those of its record; only prices are new.
// What has a price stays with it when the prices of now have none.
//
// What an operator corrected stays corrected by the same amount.
func (r *Rater) Rerate(e *ledger.Entry) (charges []ledger.Charge, why string, ok bool) {
	if len(e.Charges) == 0 || e.Status == ledger.Adjusted {
		return e.Charges, "", true
	}
	model, known := r.Catalog().Model(e.ModelID)
	if !known {
		return nil, "the catalog has no model " + e.ModelID, false
	}
	var own, lost, corrected []ledger.Charge
	for _, c := range e.Charges {
		if IsCorrection(c.UsageType) {
			corrected = append(corrected, c)
		} else if strings.HasSuffix(c.UsageType, LostAttempt) {
			lost = append(lost, c)
		} else {
			own = append(own, c)
		}
	}
	use := Use{
		Usage: e.Usage, Model: model, Scope: e.Scope, Region: e.Region, Tier: servedTier(own, e.Tier), Upstream: e.Upstream, Account: e.Account,
		At: e.Intent.Time, Took: e.Latency,
	}
	if e.Status == ledger.Recovered {
		use.Took = 0
	}
	if len(own) > 0 {
		charges = r.Rate(&use)
	}
	use.Tier, use.Upstream, use.Lost = e.Tier, "", true
	again, whole := r.rerateLost(lost, use)
	if !whole {
		again = lost
	}
	charges = append(append(charges, again...), corrected...)
	unrated := func(c ledger.Charge) bool { return c.Unrated }
	for _, c := range charges {
		if c.Unrated && slices.ContainsFunc(e.Charges, func(old ledger.Charge) bool { return !old.Unrated && old.UsageType == c.UsageType }) {
			return nil, "no price of " + c.UsageType + " is known now", false
		}
	}
	if slices.ContainsFunc(charges, unrated) && !slices.ContainsFunc(e.Charges, unrated) {
		return nil, "the prices of now do not have all that it used", false
	}
	return charges, "", true
}

// tokenKinds are what stands in usage types behind the model, in the order of a call's charges.
var tokenKinds = [...]string{"-input-tokens", "-output-tokens", "-cache-read-input-token-count", "-cache-write-input-token-count", "-cache-write-1h-input-token-count"}

// tokenKind returns which of tokenKinds a usage type is of, and what stands behind it; -1 for none.
func tokenKind(usageType string) (kind int, rest string) {
	for i, k := range tokenKinds {
		if at := strings.LastIndex(usageType, k); at >= 0 {
			return i, usageType[at+len(k):]
		}
	}
	return -1, ""
}

// servedTier reads the service tier that served a call from its charges; where they do not tell, it is the one that was
// asked for.
func servedTier(charges []ledger.Charge, asked string) string {
	for _, c := range charges {
		kind, rest := tokenKind(c.UsageType)
		if i := strings.LastIndex(c.UsageType, "-"+gpuTime); kind < 0 && i >= 0 {
			kind, rest = 0, c.UsageType[i+len(gpuTime)+1:]
		}
		if kind >= 0 {
			return strings.Trim(strings.Replace(strings.Replace(rest, globalSuffix, "", 1), longSuffix, "", 1), "-")
		}
	}
	return asked
}

// rerateLost rates the charges of lost attempts anew, each attempt for itself. whole is false where they do not tell what was
// counted, or were rated by the price of an upstream: which one it was is not in the record.
func (r *Rater) rerateLost(lost []ledger.Charge, use Use) (charges []ledger.Charge, whole bool) {
	last := len(tokenKinds)
	attempt := func() {
		for _, c := range r.Rate(&use) {
			c.UsageType += LostAttempt
			charges = append(charges, c)
		}
	}
	for i, c := range lost {
		kind, _ := tokenKind(c.UsageType)
		if kind < 0 || strings.Contains(c.Price, ";upstream=") {
			return nil, false
		}
		if kind <= last { // the kinds of one attempt come in their order
			if i > 0 {
				attempt()
			}
			use.Usage = converse.Usage{}
		}
		last = kind
		switch kind {
		case 0:
			use.InputTokens = c.Quantity
		case 1:
			use.OutputTokens = c.Quantity
		case 2:
			use.CacheReadInputTokens = c.Quantity
		case 3:
			use.CacheWriteInputTokens += c.Quantity
		case 4:
			use.CacheWriteInputTokens += c.Quantity
			use.CacheWrite1hInputTokens = c.Quantity
		}
	}
	if len(lost) > 0 {
		attempt()
	}
	return charges, true
}
