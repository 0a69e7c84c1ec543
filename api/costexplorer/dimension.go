package costexplorer

import (
	"cmp"
	"slices"
	"strings"

	"outcrop/cost"
	"outcrop/fault"
)

// dimension is one name of the model's Dimension that costs can be grouped or filtered by.
type dimension struct {
	name  string
	group bool // may be grouped by
	by    cost.Dimension
	none  bool // by gives AWS's word for a cost that has no such property
}

// dimensions is in the order in which AWS lists the valid values in its messages. RESOURCE_ID is valid here and not in
// AWS's GetCostAndUsage: the cost of one profile is what this server is for. What has no meaning for inference answers
// as AWS does for costs without that property: "NoInstanceType".
var dimensions = []dimension{
	{name: "AZ", group: true, by: constant("NoAZ"), none: true},
	{name: "INSTANCE_TYPE", group: true, by: constant("NoInstanceType"), none: true},
	{name: "LINKED_ACCOUNT", group: true, by: cost.ByAccount},
	{name: "OPERATION", group: true, by: cost.ByOperation},
	{name: "PURCHASE_TYPE", group: true, by: constant("NoPurchaseType"), none: true},
	{name: "SERVICE", group: true, by: cost.ByService},
	{name: "USAGE_TYPE", group: true, by: cost.ByUsageType},
	{name: "USAGE_TYPE_GROUP", by: constant("NoUsageTypeGroup"), none: true},
	{name: "PLATFORM", group: true, by: constant("NoPlatform"), none: true},
	{name: "TENANCY", group: true, by: constant("NoTenancy"), none: true},
	{name: "RECORD_TYPE", group: true, by: constant("Usage")},
	{name: "LEGAL_ENTITY_NAME", group: true, by: constant("NoLegalEntityName"), none: true},
	{name: "INVOICING_ENTITY", group: true, by: constant("NoInvoicingEntity"), none: true},
	{name: "DEPLOYMENT_OPTION", group: true, by: constant("NoDeploymentOption"), none: true},
	{name: "DATABASE_ENGINE", group: true, by: constant("NoDatabaseEngine"), none: true},
	{name: "CACHE_ENGINE", group: true, by: constant("NoCacheEngine"), none: true},
	{name: "INSTANCE_TYPE_FAMILY", group: true, by: constant("NoInstanceTypeFamily"), none: true},
	{name: "REGION", group: true, by: cost.ByRegion},
	{name: "BILLING_ENTITY", group: true, by: constant("NoBillingEntity"), none: true},
	{name: "RESERVATION_ID", group: true, by: constant("NoReservationId"), none: true},
	{name: "RESOURCE_ID", group: true, by: cost.ByResource},
	{name: "SAVINGS_PLANS_TYPE", group: true, by: constant("NoSavingsPlansType"), none: true},
	{name: "SAVINGS_PLAN_ARN", group: true, by: constant("NoSavingsPlanArn"), none: true},
	{name: "OPERATING_SYSTEM", group: true, by: constant("NoOperatingSystem"), none: true},
}

// notAllowed are the names of the model's Dimension that belong to other operations.
var notAllowed = []string{
	"PAYER_ACCOUNT", "LINKED_ACCOUNT_NAME", "SERVICE_CODE", "SCOPE", "SUBSCRIPTION_ID", "RIGHTSIZING_TYPE", "PAYMENT_OPTION",
	"AGREEMENT_END_DATE_TIME_AFTER", "AGREEMENT_END_DATE_TIME_BEFORE", "ANOMALY_TOTAL_IMPACT_ABSOLUTE", "ANOMALY_TOTAL_IMPACT_PERCENTAGE",
}

func constant(s string) cost.Dimension { return func(*cost.Charges) string { return s } }

func findDimension(name string) *dimension {
	for i := range dimensions {
		if dimensions[i].name == name {
			return &dimensions[i]
		}
	}
	return nil
}

// filterDimension finds a dimension to filter by or to list the values of. The texts are AWS's:
// https://github.com/aws/aws-sdk-ruby/issues/1669, https://github.com/aws/aws-sdk/issues/696
func filterDimension(name string) (*dimension, error) {
	if d := findDimension(name); d != nil {
		return d, nil
	}
	if slices.Contains(notAllowed, name) {
		return nil, fault.New(fault.Validation, "Dimension %s is not allowed.", name)
	}
	var names []string
	for _, d := range dimensions {
		names = append(names, d.name)
	}
	return nil, fault.New(fault.Validation, "Dimension not valid. Valid values are %s", strings.Join(names, ", "))
}

// Types of GroupDefinition.
const (
	byDimension    = "DIMENSION"
	byTag          = "TAG"
	byCostCategory = "COST_CATEGORY"
)

// groupBy turns the groups of a request into dimensions, whose values are the keys of AWS's answer behind their prefixes: a
// tag's is "Project$Alpha", and "Project$" for what has no such tag. There are no cost categories: all is in "Name$". The
// texts are AWS's. split says that a key is of who called. Sources: https://github.com/aws/aws-sdk-php/issues/1590, https://github.com/FittedCloud/costreporter/pull/5,
// https://github.com/aws/aws-sdk-java-v2/issues/6144
func groupBy(groups []GroupDefinition, tagging *cost.Tagging) (by []cost.Dimension, prefixes []string, split bool, err error) {
	if len(groups) > 2 {
		return nil, nil, false, fault.New(fault.Validation, "Only two values for GroupBy are allowed")
	}
	for _, g := range groups {
		if g.Type == "" || g.Key == "" {
			return nil, nil, false, fault.New(fault.Validation, "Group Definition is invalid. Both type an key need to be set to a non-empty value.")
		}
		switch g.Type {
		case byDimension:
			d := findDimension(g.Key)
			if d == nil || !d.group {
				var names []string
				for _, d := range dimensions {
					if d.group {
						names = append(names, d.name)
					}
				}
				return nil, nil, false, fault.New(fault.Validation, "Group Definition dimension is invalid. Valid values are %s", strings.Join(names, ", "))
			}
			by, prefixes = append(by, d.by), append(prefixes, "")
		case byTag:
			split = split || cost.OfCaller(g.Key)
			by, prefixes = append(by, tagging.By(g.Key)), append(prefixes, g.Key+"$")
		case byCostCategory:
			by, prefixes = append(by, constant("")), append(prefixes, g.Key+"$")
		default:
			return nil, nil, false, fault.New(fault.Validation, "Group Definition type is invalid.")
		}
	}
	return by, prefixes, split, nil
}

// attributes is what is told of a dimension's value beyond itself. AWS names accounts in "description"; this server
// knows no names of accounts, so the number stands there for scripts that read it. A profile's "name" goes beyond AWS.
func attributes(dimension, value string, names map[string]string) map[string]string {
	switch dimension {
	case "LINKED_ACCOUNT":
		return map[string]string{"description": value}
	case "RESOURCE_ID":
		if name := names[value]; name != "" {
			return map[string]string{"name": name}
		}
	case "USAGE_TYPE":
		return map[string]string{"unit": cmp.Or(cost.Unit(value), unitTokens)}
	}
	return map[string]string{}
}
