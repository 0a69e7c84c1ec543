package costexplorer

import (
	"strings"

	"outcrop/cost"
	"outcrop/fault"
)

// unitTokens is the unit of a quantity of tokens, as in AWS's price lists of Bedrock.
const unitTokens = "1K tokens"

// metric is one of the service's metrics.
type metric struct {
	name   string // as it stands in an answer
	number func(*cost.Sum) int64
	format func(*cost.Sum) (amount, unit string)
}

// The metrics. Every metric of cost is what is paid: discounts and negotiated rates are in the ledger's charges, and nothing
// is reserved or spread over accounts. No quantity is normalized (that is for sizes of instances).
var metrics = func() []metric {
	nano := func(s *cost.Sum) int64 { return s.Nano }
	usd := func(s *cost.Sum) (string, string) { return cost.FormatUSD(s.Nano), "USD" }
	quantity := func(s *cost.Sum) (string, string) {
		if s.Charges == 0 {
			return "0", "N/A" // AWS's answer for no usage, which has no unit
		}
		unit := unitTokens
		switch {
		case s.Pieces > 0 && s.Quantity > 0:
			unit = cost.MixedUnits
		case s.Pieces > 0:
			unit = s.Unit
		}
		return cost.FormatThousands(thousandths(s)), unit
	}
	return []metric{
		{"AmortizedCost", nano, usd},
		{"BlendedCost", nano, usd},
		{"NetAmortizedCost", nano, usd},
		{"NetUnblendedCost", nano, usd},
		{"NormalizedUsageAmount", func(*cost.Sum) int64 { return 0 }, func(*cost.Sum) (string, string) { return "0", "N/A" }},
		{"UnblendedCost", nano, usd},
		{"UsageQuantity", thousandths, quantity},
	}
}()

// thousandths is the quantity, in thousandths of its unit. Of several units AWS adds up the plain numbers: "If you return
// the UsageQuantity metric, the service aggregates all usage numbers without taking the units into account."
// Source: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
func thousandths(s *cost.Sum) int64 { return s.Quantity + 1000*s.Pieces }

// parseMetrics reads names of metrics, each once, in the order given. AWS takes BLENDED_COST for BlendedCost and answers
// with the latter.
func parseMetrics(operation string, names []string) ([]*metric, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.Validation, "Metrics is required for %s requests.", operation)
	}
	var out []*metric
	seen := map[string]bool{}
	for _, name := range names {
		m := findMetric(name)
		if m == nil {
			var valid []string
			for _, m := range metrics {
				valid = append(valid, m.name)
			}
			return nil, fault.New(fault.Validation, "Metric %s is invalid. Valid values are %s", name, strings.Join(valid, ", "))
		}
		if !seen[m.name] {
			seen[m.name] = true
			out = append(out, m)
		}
	}
	return out, nil
}

func findMetric(name string) *metric {
	plain := name
	if name == strings.ToUpper(name) {
		plain = strings.ReplaceAll(name, "_", "")
	}
	for i := range metrics {
		if m := &metrics[i]; m.name == name || plain != name && strings.EqualFold(m.name, plain) {
			return m
		}
	}
	return nil
}

// amounts writes metrics of a sum.
func amounts(ms []*metric, s *cost.Sum) Metrics {
	out := make(Metrics, len(ms))
	for i, m := range ms {
		out[i].Name = m.name
		out[i].Amount, out[i].Unit = m.format(s)
	}
	return out
}
