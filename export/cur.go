package export

import (
	"slices"
	"strings"
)

// serviceCode is what AWS's reports call the service where they have one word for it.
const serviceCode = "AmazonBedrock"

// curTokens is AWS's unit of tokens.
const curTokens = "1K tokens"

// curColumns are those of AWS's Cost and Usage Report 2.0 with resource ids, split cost allocation data and IAM principals, in
// the order of their names, which is AWS's.
// Source: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html
//
// Amounts are floating point numbers there: each is the one nearest to its nano-USD, so that CAST(... AS DECIMAL(18,9)) gives
// them back. Reservations, savings plans, taxes, cost categories and the splitting of containers are nothing that there is: null.
var curColumns = func() []column {
	account := func(r *row) string { return r.Account }
	paid := func(r *row, v *value) { v.float(r.Nano, 9) }
	rate := func(nano func(*row) int64) func(*row) string {
		return func(r *row) string {
			n, _ := r.quantity()
			if p, ok := unitPrice(nano(r), n); ok {
				return p.String()
			}
			return ""
		}
	}
	paidRate := rate(func(r *row) int64 { return r.Nano })
	pricingUnit := func(r *row) string {
		if _, unit := r.quantity(); unit != "" {
			return unit
		}
		return curTokens
	}
	region := func(r *row) string { return r.Region }
	usageType := func(r *row) string { return r.UsageType }
	operation := func(r *row) string { return r.Operation }
	none := func(kind kind, names ...string) (columns []column) {
		for _, n := range names {
			columns = append(columns, column{name: n, kind: kind})
		}
		return columns
	}
	all := []column{
		fixed("bill_bill_type", "Anniversary"),
		fixed("bill_billing_entity", "AWS"),
		{"bill_billing_period_end_date", localTime, func(r *row, v *value) { v.time(r.end) }},
		{"bill_billing_period_start_date", localTime, func(r *row, v *value) { v.time(r.start) }},
		fixed("bill_invoicing_entity", maker),
		str("bill_payer_account_id", account),
		str("bill_payer_account_name", account),
		{"cost_category", pairs, nil},
		{"discount", pairs, nil},
		str("identity_line_item_id", (*row).id),
		str("identity_time_interval", func(r *row) string { return stamp(r.Start) + "/" + stamp(r.until) }),
		{"line_item_blended_cost", double, paid},
		str("line_item_blended_rate", paidRate),
		fixed("line_item_currency_code", currency),
		str("line_item_iam_principal", func(r *row) string { return r.Principal }),
		fixed("line_item_legal_entity", maker),
		str("line_item_line_item_description", (*row).description),
		fixed("line_item_line_item_type", "Usage"),
		{"line_item_net_unblended_cost", double, paid},
		str("line_item_net_unblended_rate", paidRate),
		str("line_item_operation", operation),
		fixed("line_item_product_code", serviceCode),
		str("line_item_resource_id", func(r *row) string { return r.Resource.ARN }),
		{"line_item_unblended_cost", double, paid},
		str("line_item_unblended_rate", paidRate),
		str("line_item_usage_account_id", account),
		str("line_item_usage_account_name", account),
		{"line_item_usage_amount", double, func(r *row, v *value) {
			n, _ := r.quantity()
			v.float(n, 3)
		}},
		{"line_item_usage_end_date", localTime, func(r *row, v *value) { v.time(r.until) }},
		{"line_item_usage_start_date", localTime, func(r *row, v *value) { v.time(r.Start) }},
		str("line_item_usage_type", usageType),
		fixed("pricing_currency", currency),
		{"pricing_public_on_demand_cost", double, func(r *row, v *value) { v.float(r.list(), 9) }},
		str("pricing_public_on_demand_rate", rate((*row).list)),
		fixed("pricing_term", "OnDemand"),
		str("pricing_unit", pricingUnit),
		{"product", pairs, func(r *row, v *value) {
			v.set, v.pairs = true, appendPairs(v.pairs[:0], "feature", "On-demand Inference", "inference_type", r.meter, "model", r.model,
				"product_name", r.Service, "provider", r.provider, "region", r.Region, "servicename", r.Service)
		}},
		str("product_location", func(r *row) string { return r.place }),
		fixed("product_location_type", "AWS Region"),
		str("product_operation", operation),
		str("product_pricing_unit", pricingUnit),
		fixed("product_product_family", "Amazon Bedrock"),
		str("product_region_code", region),
		fixed("product_servicecode", serviceCode),
		str("product_sku", usageType),
		str("product_usagetype", usageType),
		{"resource_tags", pairs, func(r *row, v *value) {
			v.set, v.pairs = true, v.pairs[:0]
			for _, t := range r.tags[:r.profileTags] {
				key := curKey("user:" + t.Key)
				if !slices.ContainsFunc(v.pairs, func(o tag) bool { return o.Key == key }) {
					v.pairs = append(v.pairs, tag{Key: key, Value: t.Value})
				}
			}
		}},
		{"tags", pairs, func(r *row, v *value) {
			v.set, v.pairs = true, v.pairs[:0]
			for i, t := range r.tags {
				if i < r.profileTags {
					t.Key = "resourceTag/" + t.Key
				}
				v.pairs = append(v.pairs, t)
			}
		}},
	}
	all = slices.Concat(all,
		none(text, "bill_invoice_id", "line_item_availability_zone", "line_item_tax_type", "line_item_user_identifier",
			"pricing_lease_contract_length", "pricing_offering_class", "pricing_purchase_option", "pricing_rate_code", "pricing_rate_id",
			"product_comment", "product_fee_code", "product_fee_description", "product_from_location", "product_from_location_type",
			"product_from_region_code", "product_instance_family", "product_instance_type", "product_instancesku", "product_to_location",
			"product_to_location_type", "product_to_region_code",
			"reservation_availability_zone", "reservation_end_time", "reservation_modification_status", "reservation_normalized_units_per_reservation",
			"reservation_number_of_reservations", "reservation_reservation_a_r_n", "reservation_start_time", "reservation_subscription_id",
			"reservation_total_reserved_normalized_units", "reservation_total_reserved_units", "reservation_units_per_reservation",
			"savings_plan_end_time", "savings_plan_instance_type_family", "savings_plan_offering_type", "savings_plan_payment_option",
			"savings_plan_purchase_term", "savings_plan_region", "savings_plan_savings_plan_a_r_n", "savings_plan_start_time",
			"split_line_item_parent_resource_id"),
		none(double, "discount_bundled_discount", "discount_total_discount", "line_item_normalization_factor", "line_item_normalized_usage_amount",
			"reservation_amortized_upfront_cost_for_usage", "reservation_amortized_upfront_fee_for_billing_period", "reservation_effective_cost",
			"reservation_net_amortized_upfront_cost_for_usage", "reservation_net_amortized_upfront_fee_for_billing_period", "reservation_net_effective_cost",
			"reservation_net_recurring_fee_for_usage", "reservation_net_unused_amortized_upfront_fee_for_billing_period", "reservation_net_unused_recurring_fee",
			"reservation_net_upfront_value", "reservation_recurring_fee_for_usage", "reservation_unused_amortized_upfront_fee_for_billing_period",
			"reservation_unused_normalized_unit_quantity", "reservation_unused_quantity", "reservation_unused_recurring_fee", "reservation_upfront_value",
			"savings_plan_amortized_upfront_commitment_for_billing_period", "savings_plan_net_amortized_upfront_commitment_for_billing_period",
			"savings_plan_net_recurring_commitment_for_billing_period", "savings_plan_net_savings_plan_effective_cost",
			"savings_plan_recurring_commitment_for_billing_period", "savings_plan_savings_plan_effective_cost", "savings_plan_savings_plan_rate",
			"savings_plan_total_commitment_to_date", "savings_plan_used_commitment",
			"split_line_item_actual_usage", "split_line_item_net_split_cost", "split_line_item_net_unused_cost", "split_line_item_public_on_demand_split_cost",
			"split_line_item_public_on_demand_unused_cost", "split_line_item_reserved_usage", "split_line_item_split_cost", "split_line_item_split_usage",
			"split_line_item_split_usage_ratio", "split_line_item_unused_cost"))
	slices.SortFunc(all, func(a, b column) int { return strings.Compare(a.name, b.name) })
	return all
}()

// appendPairs appends pairs whose values are not empty.
func appendPairs(p []tag, kv ...string) []tag {
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] != "" {
			p = append(p, tag{Key: kv[i], Value: kv[i+1]})
		}
	}
	return p
}

// curKey is the key of a tag as AWS's reports have it for Athena: an underscore before each capital, which becomes small, and in
// the place of all that is neither letter nor digit; never two of them, and none at either end. "user:CostCenter" is
// "user_cost_center".
// Source: https://docs.aws.amazon.com/cur/latest/userguide/cur-ate-run.html
func curKey(key string) string {
	b := make([]byte, 0, len(key)+4)
	underscore := func() {
		if len(b) > 0 && b[len(b)-1] != '_' {
			b = append(b, '_')
		}
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'A' && c <= 'Z':
			underscore()
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		default:
			underscore()
		}
	}
	return strings.TrimSuffix(string(b), "_")
}
