// Package costexplorer is the front end of AWS Cost Explorer (ce, 2017-10-25) over the ledger's rollups: reports, forecasts,
// and which tags are cost allocation tags. An account sees its own costs, of all Regions, whatever Region its
// request is signed for. Costs are there for every hour since the first call.
package costexplorer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"outcrop/cost"
	"outcrop/fault"
	"outcrop/wire"
)

// Ledger is what the service reads: costs, and what is known of tags. It writes the status of tags only.
type Ledger interface {
	cost.Rollups
	cost.Allocations
}

type service struct {
	ledger    Ledger
	clock     func() time.Time
	maxGroups int // of a page
	maxValues int
}

func newService(ledger Ledger, clock func() time.Time) *service {
	return &service{ledger: ledger, clock: clock, maxGroups: maxGroups, maxValues: maxValues}
}

// New makes the service.
func New(ledger Ledger, clock func() time.Time) *wire.Service {
	s := newService(ledger, clock)
	return &wire.Service{
		Name:         "costexplorer",
		SigningName:  "ce",
		Protocol:     wire.AWSJSON11,
		TargetPrefix: "AWSInsightsIndexService",
		CapitalError: true,
		Exception:    exceptions.Of,
		Ops: []wire.Op{
			op("GetCostAndUsage", s.getCostAndUsage),
			op("GetCostAndUsageWithResources", s.getCostAndUsageWithResources),
			op("GetCostForecast", s.getCostForecast),
			op("GetUsageForecast", s.getUsageForecast),
			op("GetTags", s.getTags),
			op("GetDimensionValues", s.getDimensionValues),
			op("GetCostCategories", s.getCostCategories),
			op("ListCostAllocationTags", s.listCostAllocationTags),
			op("UpdateCostAllocationTagsStatus", s.updateCostAllocationTagsStatus),
		},
	}
}

// op is a row: the service has one kind. The handlers are given the account and nothing else of the call, so that no
// answer can depend on the Region or the host of a request.
func op[In, Out any](name string, fn func(ctx context.Context, account string, in *In) (*Out, error)) wire.Op {
	return wire.Handle(wire.Row{Name: name, Action: "ce:" + name}, nil, func(ctx context.Context, c *wire.Call, in *In) (*Out, error) {
		return fn(ctx, c.Caller.Account, in)
	})
}

func (s *service) getCostAndUsage(ctx context.Context, account string, in *GetCostAndUsageInput) (*GetCostAndUsageOutput, error) {
	return s.costAndUsage(ctx, account, "GetCostAndUsage", in)
}

func (s *service) getCostAndUsageWithResources(ctx context.Context, account string, in *GetCostAndUsageWithResourcesInput) (*GetCostAndUsageOutput, error) {
	return s.costAndUsage(ctx, account, "GetCostAndUsageWithResources", &GetCostAndUsageInput{
		TimePeriod: in.TimePeriod, Granularity: in.Granularity, Filter: in.Filter, Metrics: in.Metrics, GroupBy: in.GroupBy,
		BillingViewArn: in.BillingViewArn, NextPageToken: in.NextPageToken,
	})
}

func (s *service) costAndUsage(ctx context.Context, account, operation string, in *GetCostAndUsageInput) (*GetCostAndUsageOutput, error) {
	tagging, err := s.tagging(ctx, account, in.BillingViewArn)
	if err != nil {
		return nil, err
	}
	bucket := buckets[in.Granularity]
	now := s.clock()
	start, end, err := parseInterval(in.TimePeriod, bucket == cost.Hour, now)
	if err != nil {
		return nil, err
	}
	metrics, err := parseMetrics(operation, in.Metrics)
	if err != nil {
		return nil, err
	}
	by, prefixes, split, err := groupBy(in.GroupBy, tagging)
	if err != nil {
		return nil, err
	}
	filter, err := compileFilter(in.Filter, tagging)
	if err != nil {
		return nil, err
	}
	request := *in
	request.NextPageToken = ""
	sum, err := digest(account, operation, &request)
	if err != nil {
		return nil, err
	}
	from, err := parsePage(in.NextPageToken, sum)
	if err != nil {
		return nil, err
	}
	if in.NextPageToken != "" {
		if from.Start == nil || from.After != nil && len(from.After) != len(by) {
			return nil, errInvalidToken
		}
		t := time.Unix(*from.Start, 0).UTC()
		if t.Before(start) || !t.Before(end) {
			return nil, errInvalidToken
		}
		start = t.Truncate(time.Hour)
	}

	names := map[string]string{} // of the resources that were seen
	for i, g := range in.GroupBy {
		if g.Type == byDimension && g.Key == "RESOURCE_ID" {
			by[i] = func(c *cost.Charges) string {
				names[c.Resource.ARN] = c.Resource.Name
				return c.Resource.ARN
			}
		}
	}

	out := &GetCostAndUsageOutput{GroupDefinitions: in.GroupBy}
	query := cost.Query{Account: account, Start: start, End: end, Bucket: bucket, Split: split || filter.split, AmountsOnly: true}
	var next *page
	given := 0
	for p, err := range cost.Report(ctx, s.ledger, query, filter.accepts, by...) {
		if err != nil {
			return nil, err
		}
		if given >= s.maxGroups {
			next = &page{Start: new(p.Start.Unix())}
			break
		}
		result := ResultByTime{TimePeriod: interval(p.Start, p.End, bucket), Estimated: p.End.After(now)}
		if len(by) == 0 {
			var total cost.Sum
			if len(p.Groups) > 0 {
				total = p.Groups[0].Sum
			}
			result.Total = amounts(metrics, &total)
			given++
		} else {
			groups := p.Groups
			for i := range groups {
				for j, prefix := range prefixes {
					groups[i].Keys[j] = prefix + groups[i].Keys[j]
				}
			}
			if from.After != nil {
				i, found := slices.BinarySearchFunc(groups, from.After, func(g cost.Group, keys []string) int { return slices.Compare(g.Keys, keys) })
				if found {
					i++
				}
				groups, from.After = groups[i:], nil
			}
			if room := s.maxGroups - given; len(groups) > room {
				groups = groups[:room]
				next = &page{Start: new(p.Start.Unix()), After: groups[room-1].Keys}
			}
			for i := range groups {
				result.Groups = append(result.Groups, Group{Keys: groups[i].Keys, Metrics: amounts(metrics, &groups[i].Sum)})
			}
			given += max(1, len(groups))
		}
		out.ResultsByTime = append(out.ResultsByTime, result)
		if next != nil {
			break
		}
	}
	if next != nil {
		if out.NextPageToken, err = next.token(sum); err != nil {
			return nil, err
		}
	}
	out.DimensionValueAttributes = groupAttributes(in.GroupBy, out.ResultsByTime, names)
	return out, nil
}

// groupAttributes tells what is known of the keys of a page beyond themselves, in the order of the values.
func groupAttributes(groups []GroupDefinition, results []ResultByTime, names map[string]string) []DimensionValuesWithAttributes {
	var out []DimensionValuesWithAttributes
	for i, g := range groups {
		if g.Type != byDimension || g.Key != "LINKED_ACCOUNT" && g.Key != "RESOURCE_ID" {
			continue
		}
		seen := map[string]bool{}
		for _, r := range results {
			for _, group := range r.Groups {
				seen[group.Keys[i]] = true
			}
		}
		for _, v := range slices.Sorted(maps.Keys(seen)) {
			if a := attributes(g.Key, v, names); len(a) > 0 {
				out = append(out, DimensionValuesWithAttributes{Value: v, Attributes: a})
			}
		}
	}
	return out
}

func (s *service) getTags(ctx context.Context, account string, in *GetTagsInput) (*GetTagsOutput, error) {
	request := *in
	request.NextPageToken = ""
	l := list{
		operation: "GetTags", request: &request, view: in.BillingViewArn, period: in.TimePeriod, filter: in.Filter, search: in.SearchString,
		sortBy: in.SortBy, maxResults: in.MaxResults, token: in.NextPageToken,
		split: in.TagKey == "" || cost.OfCaller(in.TagKey),
		values: func(t *cost.Tagging, c *cost.Charges, add func(string)) {
			if in.TagKey == "" {
				t.Keys(c, add)
				return
			}
			value, _ := t.Tag(c, in.TagKey)
			add(value)
		},
	}
	found, total, next, err := s.list(ctx, account, &l)
	if err != nil {
		return nil, err
	}
	return &GetTagsOutput{Tags: found, ReturnSize: len(found), TotalSize: total, NextPageToken: next}, nil
}

func (s *service) getDimensionValues(ctx context.Context, account string, in *GetDimensionValuesInput) (*GetDimensionValuesOutput, error) {
	d, err := filterDimension(in.Dimension)
	if err != nil {
		return nil, err
	}
	request := *in
	request.NextPageToken = ""
	names := map[string]string{}
	l := list{
		operation: "GetDimensionValues", request: &request, view: in.BillingViewArn, period: in.TimePeriod, filter: in.Filter, search: in.SearchString,
		sortBy: in.SortBy, maxResults: in.MaxResults, token: in.NextPageToken,
		values: func(_ *cost.Tagging, c *cost.Charges, add func(string)) {
			if d.name == "RESOURCE_ID" {
				names[c.Resource.ARN] = c.Resource.Name
			}
			add(d.by(c))
		},
	}
	if in.Context != "" && in.Context != "COST_AND_USAGE" {
		// There are no reservations and no savings plans: nothing has a value in their contexts.
		if len(in.SortBy) > 0 {
			return nil, fault.New(fault.Validation, "SortBy is supported for the context COST_AND_USAGE only.")
		}
		l.values = func(*cost.Tagging, *cost.Charges, func(string)) {}
	}
	found, total, next, err := s.list(ctx, account, &l)
	if err != nil {
		return nil, err
	}
	out := &GetDimensionValuesOutput{ReturnSize: len(found), TotalSize: total, NextPageToken: next}
	for _, v := range found {
		out.DimensionValues = append(out.DimensionValues, DimensionValuesWithAttributes{Value: v, Attributes: attributes(d.name, v, names)})
	}
	return out, nil
}

// list is what GetTags and GetDimensionValues have in common: the distinct values of something in a time.
type list struct {
	operation  string
	request    any // without its token
	view       string
	period     *DateInterval
	filter     []byte
	search     string
	sortBy     []SortDefinition
	maxResults *int
	token      string
	split      bool                                                     // values is of who called
	values     func(t *cost.Tagging, c *cost.Charges, add func(string)) // adds each value that a row has
}

// list returns one page of values, how many there are in all, and the token of the next page. They are sorted as
// strings, or by a metric where SortBy asks for it.
func (s *service) list(ctx context.Context, account string, l *list) (found []string, total int, token string, err error) {
	fail := func(err error) ([]string, int, string, error) { return nil, 0, "", err }
	tagging, err := s.tagging(ctx, account, l.view)
	if err != nil {
		return fail(err)
	}
	start, end, err := parseInterval(l.period, true, s.clock())
	if err != nil {
		return fail(err)
	}
	filter, err := compileFilter(l.filter, tagging)
	if err != nil {
		return fail(err)
	}
	limit, order, err := l.order(s.maxValues)
	if err != nil {
		return fail(err)
	}
	sum, err := digest(account, l.operation, l.request)
	if err != nil {
		return fail(err)
	}
	from, err := parsePage(l.token, sum)
	if err != nil {
		return fail(err)
	}

	sums := map[string]*cost.Sum{}
	search := strings.ToLower(l.search)
	for row, err := range s.ledger.Charges(ctx, cost.Query{Account: account, Start: start, End: end, Bucket: cost.Whole, Split: l.split || filter.split, AmountsOnly: true}) {
		if err != nil {
			return fail(err)
		}
		if filter.accepts != nil && !filter.accepts(row) {
			continue
		}
		l.values(tagging, row, func(v string) {
			t := sums[v]
			if t == nil {
				if !strings.Contains(strings.ToLower(v), search) {
					return
				}
				t = new(cost.Sum)
				sums[v] = t
			}
			t.Add(row.Sum)
		})
	}
	found = slices.Sorted(maps.Keys(sums))
	total = len(found)
	if order != nil {
		slices.SortStableFunc(found, func(a, b string) int { return order(sums[a], sums[b]) })
	}
	if l.token != "" {
		if len(from.After) != 1 {
			return fail(errInvalidToken)
		}
		i, ok := slices.BinarySearch(found, from.After[0])
		if ok {
			i++
		}
		found = found[i:]
	}
	if len(found) > limit {
		found = found[:limit]
		if order == nil { // AWS gives no token with SortBy
			if token, err = (page{After: found[limit-1:]}).token(sum); err != nil {
				return fail(err)
			}
		}
	}
	return found, total, token, nil
}

// order reads SortBy and MaxResults, which counts only together with it. order is nil without SortBy.
func (l *list) order(most int) (limit int, order func(a, b *cost.Sum) int, err error) {
	limit = most
	if len(l.sortBy) == 0 {
		return limit, nil, nil
	}
	if len(l.sortBy) > 1 {
		return 0, nil, fault.New(fault.Validation, "Only one value for SortBy is allowed")
	}
	if l.search != "" || l.token != "" {
		return 0, nil, fault.New(fault.Validation, "When using SortBy, NextPageToken and SearchString aren't supported.")
	}
	if l.maxResults != nil {
		if limit = *l.maxResults; limit < 1 || limit > most {
			return 0, nil, fault.New(fault.Validation, "MaxResults must be between 1 and %d", most)
		}
	}
	ms, err := parseMetrics(l.operation, []string{l.sortBy[0].Key})
	if err != nil {
		return 0, nil, err
	}
	sign := -1 // the dearest first, unless asked otherwise
	if l.sortBy[0].SortOrder == "ASCENDING" {
		sign = 1
	}
	return limit, func(a, b *cost.Sum) int { return sign * cmp.Compare(ms[0].number(a), ms[0].number(b)) }, nil
}

// The billing views that an account has: its primary one, where costs have the tags that profiles had when they were called,
// and one where all costs of a profile have the tags that it has now.
const (
	primaryView   = "primary"
	taggedNowView = "tagged-now"
)

// tagging is how tags are seen in a billing view.
func (s *service) tagging(ctx context.Context, account, view string) (*cost.Tagging, error) {
	name := primaryView
	if view != "" {
		var ok bool
		if name, ok = strings.CutPrefix(view, "arn:aws:billing::"+account+":billingview/"); !ok || name != primaryView && name != taggedNowView {
			return nil, fault.New(fault.NotFound, "The specified ARN in the request doesn't exist.")
		}
	}
	statuses, err := s.ledger.TagStatuses(ctx, account)
	if err != nil {
		return nil, err
	}
	t := &cost.Tagging{Inactive: cost.Inactive(statuses)}
	if name == taggedNowView {
		history, err := s.ledger.TagHistory(ctx, account)
		if err != nil {
			return nil, err
		}
		t.Profiles = cost.AsOf(history, s.clock())
	}
	return t, nil
}

// getCostCategories finds none: there are no cost categories.
func (s *service) getCostCategories(ctx context.Context, account string, in *GetCostCategoriesInput) (*GetCostCategoriesOutput, error) {
	l := list{
		operation: "GetCostCategories", request: in, view: in.BillingViewArn, period: in.TimePeriod, filter: in.Filter, search: in.SearchString,
		sortBy: in.SortBy, maxResults: in.MaxResults, token: in.NextPageToken,
		values: func(*cost.Tagging, *cost.Charges, func(string)) {},
	}
	if _, _, _, err := s.list(ctx, account, &l); err != nil {
		return nil, err
	}
	out := &GetCostCategoriesOutput{CostCategoryNames: []string{}}
	if in.CostCategoryName != "" {
		out.CostCategoryValues = []string{}
	}
	return out, nil
}
