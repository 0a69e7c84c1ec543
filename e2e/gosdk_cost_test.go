package e2e

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/costexplorer"
	et "github.com/aws/aws-sdk-go-v2/service/costexplorer/types"
)

// service is the SERVICE of every model, also of those that AWS sells under names of their own: docs/divergences.md.
const service = "Amazon Bedrock"

// around is the days around now: the tests may run over midnight.
func around() *et.DateInterval {
	now := time.Now().UTC()
	return &et.DateInterval{Start: aws.String(now.AddDate(0, 0, -1).Format(time.DateOnly)), End: aws.String(now.AddDate(0, 0, 2).Format(time.DateOnly))}
}

func byDimension(key string) et.GroupDefinition {
	return et.GroupDefinition{Type: et.GroupDefinitionTypeDimension, Key: &key}
}

func byTag(key string) et.GroupDefinition {
	return et.GroupDefinition{Type: et.GroupDefinitionTypeTag, Key: &key}
}

// grouped asks for a metric of all calls and returns it by the keys of each group, joined with "|", of all days
// together.
func (s *server) grouped(ctx context.Context, metric string, filter *et.Expression, by ...et.GroupDefinition) map[string]*big.Rat {
	s.t.Helper()
	sums := map[string]*big.Rat{}
	in := &costexplorer.GetCostAndUsageInput{TimePeriod: around(), Granularity: et.GranularityDaily, Metrics: []string{metric}, GroupBy: by, Filter: filter}
	for {
		out, err := s.costs().GetCostAndUsage(ctx, in)
		if err != nil {
			s.t.Fatal(err)
		}
		add := func(keys []string, metrics map[string]et.MetricValue) {
			amount, ok := new(big.Rat).SetString(aws.ToString(metrics[metric].Amount))
			if !ok {
				s.t.Fatalf("the amount of %v is %+v", keys, metrics)
			}
			if metric != "UsageQuantity" && *metrics[metric].Unit != "USD" {
				s.t.Fatalf("the unit of %v is %s", keys, *metrics[metric].Unit)
			}
			key := strings.Join(keys, "|")
			if sums[key] == nil {
				sums[key] = new(big.Rat)
			}
			sums[key].Add(sums[key], amount)
		}
		for _, r := range out.ResultsByTime {
			for _, g := range r.Groups {
				add(g.Keys, g.Metrics)
			}
			if len(by) == 0 {
				add(nil, r.Total)
			}
		}
		if out.NextPageToken == nil {
			return sums
		}
		in.NextPageToken = out.NextPageToken
	}
}

// usd is what Claude 3 Haiku costs: $0.25 a million tokens in, $1.25 a million out.
func usd(input, output int32) *big.Rat {
	in := new(big.Rat).Mul(big.NewRat(25, 100), big.NewRat(int64(input), 1_000_000))
	return in.Add(in, new(big.Rat).Mul(big.NewRat(125, 100), big.NewRat(int64(output), 1_000_000)))
}

// same compares sums exactly.
func same(a, b map[string]*big.Rat) bool {
	return maps.EqualFunc(a, b, func(x, y *big.Rat) bool { return x.Cmp(y) == 0 })
}

func show(sums map[string]*big.Rat) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		b.WriteString("\n  " + k + " = " + sums[k].FloatString(12))
	}
	return b.String()
}

func TestCosts(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	alpha := s.profile(ctx, "us-east-1", "alpha", modelARN("us-east-1", haiku), map[string]string{"Project": "Alpha", "Department": "Engineering"})
	beta := s.profile(ctx, "eu-central-1", "beta", modelARN("eu-central-1", haiku), map[string]string{"Project": "Beta"})

	// What is spent, counted here from what the calls say that they used.
	spent := map[string]map[string]*big.Rat{}
	add := func(by, key string, amount *big.Rat) {
		if spent[by] == nil {
			spent[by] = map[string]*big.Rat{}
		}
		if spent[by][key] == nil {
			spent[by][key] = new(big.Rat)
		}
		spent[by][key].Add(spent[by][key], amount)
	}
	codes := map[string]string{"us-east-1": "USE1", "eu-central-1": "EUC1"}
	count := func(region, resource, project, operation string, u *rt.TokenUsage) {
		t.Helper()
		if u == nil {
			t.Fatal("no usage")
		}
		amount := usd(*u.InputTokens, *u.OutputTokens)
		add("total", "", amount)
		add("service and project", service+"|Project$"+project, amount)
		add("region", region, amount)
		add("operation", operation, amount)
		add("resource", resource, amount)
		add("account", account, amount)
		add("usage type", codes[region]+"-Claude3Haiku-input-tokens", usd(*u.InputTokens, 0))
		add("usage type", codes[region]+"-Claude3Haiku-output-tokens", usd(0, *u.OutputTokens))
		add("thousands", codes[region]+"-Claude3Haiku-input-tokens", big.NewRat(int64(*u.InputTokens), 1000))
		add("thousands", codes[region]+"-Claude3Haiku-output-tokens", big.NewRat(int64(*u.OutputTokens), 1000))
	}
	var last time.Time
	for _, c := range []struct {
		region, model, resource, project string
		stream                           bool
	}{
		{"us-east-1", alpha, alpha, "Alpha", false},
		{"us-east-1", alpha, alpha, "Alpha", true},
		{"us-east-1", "alpha", alpha, "Alpha", false},
		{"us-east-1", haiku, modelARN("us-east-1", haiku), "", false},
		{"us-east-1", haikuProfile, systemARN("us-east-1", haikuProfile), "", true},
		{"eu-central-1", beta, beta, "Beta", false},
		{"eu-central-1", beta, beta, "Beta", true},
	} {
		r := s.runtime(c.region)
		if c.stream {
			out, err := r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &c.model, Messages: ask("Explain inference profiles.")})
			if err != nil {
				t.Fatal(err)
			}
			count(c.region, c.resource, c.project, "ConverseStream", read(out.GetStream()).usage)
		} else {
			out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &c.model, Messages: ask("Explain inference profiles.")})
			if err != nil {
				t.Fatal(err)
			}
			count(c.region, c.resource, c.project, "Converse", out.Usage)
		}
		last = time.Now()
	}

	// The contract: costs are there within one second of the call. A busy machine has more time; what it took is in the log.
	var total map[string]*big.Rat
	for {
		asked := time.Now()
		if total = s.grouped(ctx, "UnblendedCost", nil); same(total, spent["total"]) {
			t.Logf("all costs were there %v after the last call", asked.Sub(last))
			break
		}
		if asked.Sub(last) > patience {
			t.Fatalf("%v after the last call the costs are%s\nspent%s", patience, show(total), show(spent["total"]))
		}
		time.Sleep(20 * time.Millisecond)
	}

	dimension := func(key string, values ...string) *et.Expression {
		return &et.Expression{Dimensions: &et.DimensionValues{Key: et.Dimension(key), Values: values}}
	}
	tag := func(key string, values ...string) *et.Expression {
		return &et.Expression{Tags: &et.TagValues{Key: &key, Values: values}}
	}
	only := func(sums map[string]*big.Rat, keys ...string) map[string]*big.Rat {
		m := maps.Clone(sums)
		maps.DeleteFunc(m, func(k string, _ *big.Rat) bool { return !slices.Contains(keys, k) })
		return m
	}
	for _, c := range []struct {
		name   string
		metric string
		by     []et.GroupDefinition
		filter *et.Expression
		want   map[string]*big.Rat
	}{
		{"by service and tag", "UnblendedCost", []et.GroupDefinition{byDimension("SERVICE"), byTag("Project")}, nil, spent["service and project"]},
		{"blended", "BlendedCost", []et.GroupDefinition{byDimension("SERVICE"), byTag("Project")}, nil, spent["service and project"]},
		{"by Region", "AmortizedCost", []et.GroupDefinition{byDimension("REGION")}, nil, spent["region"]},
		{"by operation", "NetUnblendedCost", []et.GroupDefinition{byDimension("OPERATION")}, nil, spent["operation"]},
		{"by usage type", "UnblendedCost", []et.GroupDefinition{byDimension("USAGE_TYPE")}, nil, spent["usage type"]},
		{"tokens, in thousands", "UsageQuantity", []et.GroupDefinition{byDimension("USAGE_TYPE")}, nil, spent["thousands"]},
		{"by profile", "UnblendedCost", []et.GroupDefinition{byDimension("RESOURCE_ID")}, nil, spent["resource"]},
		{"by account", "UnblendedCost", []et.GroupDefinition{byDimension("LINKED_ACCOUNT")}, nil, spent["account"]},
		{"of a Region", "UnblendedCost", []et.GroupDefinition{byDimension("REGION")}, dimension("REGION", "eu-central-1"), only(spent["region"], "eu-central-1")},
		{"of a service there is not", "UnblendedCost", []et.GroupDefinition{byDimension("REGION")}, dimension("SERVICE", "Amazon Simple Storage Service"), map[string]*big.Rat{}},
		{"of two projects", "UnblendedCost", []et.GroupDefinition{byDimension("SERVICE"), byTag("Project")}, tag("Project", "Alpha", "Beta"),
			only(spent["service and project"], service+"|Project$Alpha", service+"|Project$Beta")},
		{"of a project and not a Region", "UnblendedCost", []et.GroupDefinition{byDimension("RESOURCE_ID")},
			&et.Expression{And: []et.Expression{*tag("Project", "Alpha", "Beta"), {Not: dimension("REGION", "eu-central-1")}}}, only(spent["resource"], alpha)},
		{"of one operation or the other", "UnblendedCost", nil,
			&et.Expression{Or: []et.Expression{*dimension("OPERATION", "Converse"), *dimension("OPERATION", "ConverseStream")}}, spent["total"]},
	} {
		if got := s.grouped(ctx, c.metric, c.filter, c.by...); !same(got, c.want) {
			t.Errorf("%s:%s\nwant%s", c.name, show(got), show(c.want))
		}
	}

	tags := func(key *string) []string {
		out, err := s.costs().GetTags(ctx, &costexplorer.GetTagsInput{TimePeriod: around(), TagKey: key})
		if err != nil {
			t.Fatal(err)
		}
		if int(*out.ReturnSize) != len(out.Tags) || *out.TotalSize != *out.ReturnSize {
			t.Errorf("%d tags; ReturnSize %d, TotalSize %d", len(out.Tags), *out.ReturnSize, *out.TotalSize)
		}
		return slices.Sorted(slices.Values(out.Tags))
	}
	if got := tags(nil); !slices.Equal(got, []string{"Department", "Project"}) {
		t.Errorf("the tag keys are %q", got)
	}
	if got := tags(aws.String("Project")); !slices.Equal(got, []string{"", "Alpha", "Beta"}) {
		t.Errorf("the values of Project are %q", got)
	}
	for d, want := range map[et.Dimension][]string{
		et.DimensionService: {service}, et.DimensionRegion: {"eu-central-1", "us-east-1"}, et.DimensionOperation: {"Converse", "ConverseStream"},
		et.DimensionUsageType: slices.Sorted(maps.Keys(spent["usage type"])),
	} {
		out, err := s.costs().GetDimensionValues(ctx, &costexplorer.GetDimensionValuesInput{TimePeriod: around(), Dimension: d})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range out.DimensionValues {
			got = append(got, *v.Value)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the values of %s are %q, want %q", d, got, want)
		}
	}

	// What the ledger says of each call adds up to the same, to the nano-dollar, and its totals are its rows.
	sum := new(big.Rat)
	for _, c := range s.settled(7) {
		sum.Add(sum, big9(c.NanoUSD))
	}
	if sum.Cmp(spent["total"][""]) != 0 {
		t.Errorf("the calls cost %s, not %s", sum.FloatString(12), spent["total"][""].FloatString(12))
	}
	s.manage("verify")
}

// TestTagsAsOfTheCall moves a profile to another project between two calls: each is charged to the project of its time.
func TestTagsAsOfTheCall(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	r := s.runtime("us-east-1")
	arn := s.profile(ctx, "us-east-1", "moved", modelARN("us-east-1", haiku), map[string]string{"Project": "Before"})
	want := map[string]*big.Rat{}
	for _, project := range []string{"Before", "After"} {
		if err := retag(ctx, s, arn, project); err != nil {
			t.Fatal(err)
		}
		out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &arn, Messages: ask("Say hello to " + project)})
		if err != nil {
			t.Fatal(err)
		}
		want["Project$"+project] = usd(*out.Usage.InputTokens, *out.Usage.OutputTokens)
	}
	s.settled(2)
	if got := s.grouped(ctx, "UnblendedCost", nil, byTag("Project")); !same(got, want) {
		t.Errorf("the costs are%s\nwant%s", show(got), show(want))
	}
}

// TestMonth asks for a month as a monthly report does; the period comes back as it was asked for.
func TestMonth(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	out, err := s.costs().GetCostAndUsage(ctx, &costexplorer.GetCostAndUsageInput{
		TimePeriod: &et.DateInterval{Start: aws.String("2024-01-01"), End: aws.String("2024-01-31")}, Granularity: et.GranularityMonthly, Metrics: []string{"BlendedCost"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.ResultsByTime) != 1 || *out.ResultsByTime[0].TimePeriod.Start != "2024-01-01" || *out.ResultsByTime[0].TimePeriod.End != "2024-01-31" {
		t.Errorf("the periods are %+v", out.ResultsByTime)
	}
	for name, in := range map[string]*costexplorer.GetCostAndUsageInput{
		"start after end": {TimePeriod: &et.DateInterval{Start: aws.String("2024-02-01"), End: aws.String("2024-01-01")}, Granularity: et.GranularityDaily, Metrics: []string{"BlendedCost"}},
		"three groups":    {TimePeriod: around(), Granularity: et.GranularityDaily, Metrics: []string{"BlendedCost"}, GroupBy: []et.GroupDefinition{byTag("a"), byTag("b"), byTag("c")}},
		"no such metric":  {TimePeriod: around(), Granularity: et.GranularityDaily, Metrics: []string{"Cheapness"}},
	} {
		if _, err := s.costs().GetCostAndUsage(ctx, in); code(err) != "ValidationException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// big9 is nano-dollars in dollars.
func big9(nano int64) *big.Rat { return big.NewRat(nano, 1_000_000_000) }
