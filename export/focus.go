package export

import (
	"slices"
	"strings"
)

const (
	currency = "USD"
	maker    = "Outcrop" // who provides the service, and would write an invoice
)

// focusColumns are those of FOCUS 1.2, in the order of their names, with what is ours behind them.
// Source: https://focus.finops.org/focus-specification/v1-2/
//
// All columns are there, also those that are only for providers with availability zones, commitments and reserved capacity, which are
// null: queries name them, and so do conditions of the specification's own rules.
var focusColumns = func() []column {
	arn := func(r *row) string { return r.Resource.ARN }
	account := func(r *row) string { return r.Account }
	paid := func(r *row, v *value) { v.int(r.Nano) }
	list := func(r *row, v *value) { v.int(r.list()) }
	perUnit := func(nano func(*row) int64) func(*row, *value) {
		return func(r *row, v *value) {
			if !r.Correction {
				n, _ := r.quantity()
				v.unit(unitPrice(nano(r), n))
			}
		}
	}
	contracted := perUnit(func(r *row) int64 { return r.Nano })
	all := []column{
		{"AvailabilityZone", text, nil},
		{"BilledCost", amount, paid},
		str("BillingAccountId", account),
		str("BillingAccountName", account), // accounts have no names
		fixed("BillingAccountType", "Account"),
		fixed("BillingCurrency", currency),
		{"BillingPeriodEnd", moment, func(r *row, v *value) { v.time(r.end) }},
		{"BillingPeriodStart", moment, func(r *row, v *value) { v.time(r.start) }},
		fixed("ChargeCategory", "Usage"),
		str("ChargeClass", func(r *row) string {
			if r.Correction {
				return "Correction"
			}
			return ""
		}),
		str("ChargeDescription", (*row).description),
		fixed("ChargeFrequency", "Usage-Based"),
		{"ChargePeriodEnd", moment, func(r *row, v *value) { v.time(r.until) }},
		{"ChargePeriodStart", moment, func(r *row, v *value) { v.time(r.Start) }},
		{"CapacityReservationId", text, nil},
		{"CapacityReservationStatus", text, nil},
		{"CommitmentDiscountCategory", text, nil},
		{"CommitmentDiscountId", text, nil},
		{"CommitmentDiscountName", text, nil},
		{"CommitmentDiscountQuantity", quantity, nil},
		{"CommitmentDiscountStatus", text, nil},
		{"CommitmentDiscountType", text, nil},
		{"CommitmentDiscountUnit", text, nil},
		{"ConsumedQuantity", quantity, func(r *row, v *value) {
			n, unit := r.quantity()
			if unit == "" {
				n *= 1000 // a token, not a thousand
			}
			v.int(n)
		}},
		str("ConsumedUnit", func(r *row) string { return focusUnit(r, "Tokens") }),
		{"ContractedCost", amount, paid},
		{"ContractedUnitPrice", unit, contracted},
		{"EffectiveCost", amount, paid},
		{"InvoiceId", text, nil},
		fixed("InvoiceIssuerName", maker),
		{"ListCost", amount, list},
		{"ListUnitPrice", unit, perUnit((*row).list)},
		fixed("PricingCategory", "Standard"),
		fixed("PricingCurrency", currency),
		{"PricingCurrencyContractedUnitPrice", unit, contracted},
		{"PricingCurrencyEffectiveCost", amount, paid},
		{"PricingCurrencyListUnitPrice", unit, perUnit((*row).list)},
		{"PricingQuantity", quantity, func(r *row, v *value) {
			n, _ := r.quantity()
			v.int(n)
		}},
		str("PricingUnit", func(r *row) string { return focusUnit(r, "1000 Tokens") }),
		fixed("ProviderName", maker),
		str("PublisherName", func(r *row) string {
			if r.provider == "" {
				return maker
			}
			return r.provider
		}),
		str("RegionId", func(r *row) string { return r.Region }),
		str("RegionName", func(r *row) string { return r.place }),
		str("ResourceId", arn),
		str("ResourceName", func(r *row) string { return r.Resource.Name }),
		str("ResourceType", (*row).resourceType),
		fixed("ServiceCategory", "AI and Machine Learning"),
		str("ServiceName", func(r *row) string { return r.Service }),
		fixed("ServiceSubcategory", "Generative AI"),
		str("SkuId", func(r *row) string { return r.UsageType }),
		str("SkuMeter", func(r *row) string { return r.meter }),
		str("SkuPriceDetails", func(r *row) string {
			return object([]tag{{Key: "x_Model", Value: r.model}, {Key: "x_ModelId", Value: r.Resource.ModelID}})
		}),
		str("SkuPriceId", func(r *row) string { return r.UsageType }),
		str("SubAccountId", account),
		str("SubAccountName", account),
		fixed("SubAccountType", "Account"),
		str("Tags", func(r *row) string { return object(r.tags) }),

		{"x_Charges", count, func(r *row, v *value) { v.int(r.Sum.Charges) }},
		{"x_EstimatedCharges", count, func(r *row, v *value) { v.int(r.Estimated) }},
		str("x_Model", func(r *row) string { return r.model }),
		str("x_ModelId", func(r *row) string { return r.Resource.ModelID }),
		str("x_Operation", func(r *row) string { return r.Operation }),
		str("x_Principal", func(r *row) string { return r.Principal }),
		fixed("x_ServiceCode", serviceCode),
		str("x_SessionName", func(r *row) string { return r.session }),
		{"x_UnratedCharges", count, func(r *row, v *value) { v.int(r.Unrated) }},
		str("x_UsageType", func(r *row) string { return r.UsageType }),
	}
	slices.SortStableFunc(all, func(a, b column) int { return strings.Compare(a.name, b.name) }) // as Parquet has them
	return all
}()

// focusUnit is the unit of the row, tokens being that of tokens.
func focusUnit(r *row, tokens string) string {
	switch _, unit := r.quantity(); unit {
	case "":
		return tokens
	case "image":
		return "Images"
	case "Images Processed":
		return "Images"
	default:
		return unit
	}
}
