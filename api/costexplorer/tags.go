package costexplorer

import (
	"context"
	"slices"
	"strings"
	"time"

	"outcrop/cost"
	"outcrop/fault"
)

// Types and statuses of cost allocation tags.
const (
	awsGenerated = "AWSGenerated"
	userDefined  = "UserDefined"
	active       = "Active"
	inactive     = "Inactive"
)

// zonedFormat is the model's ZonedDateTime.
const zonedFormat = "2006-01-02T15:04:05Z"

// tags are the keys that costs can be allocated by, sorted: those that profiles have or had, those of callers and of metadata
// that costs have, and our own.
func (s *service) tags(ctx context.Context, account string) ([]CostAllocationTag, error) {
	used := map[string]time.Time{} // the start of the last month; zero where there is no cost
	history, err := s.ledger.TagHistory(ctx, account)
	if err != nil {
		return nil, err
	}
	for i := range history {
		for _, t := range history[i].Tags {
			used[t.Key] = time.Time{}
		}
	}
	statuses, err := s.ledger.TagStatuses(ctx, account)
	if err != nil {
		return nil, err
	}
	for i := range statuses {
		used[statuses[i].Key] = time.Time{}
	}
	for _, key := range cost.OwnKeys {
		used[key] = time.Time{}
	}
	var all cost.Tagging
	query := cost.Query{Account: account, Start: time.Unix(0, 0), End: cost.Hour.Next(s.clock()), Bucket: cost.Month, Split: true, AmountsOnly: true}
	for row, err := range s.ledger.Charges(ctx, query) {
		if err != nil {
			return nil, err
		}
		all.Keys(row, func(key string) { used[key] = row.Start })
		for _, key := range cost.OwnKeys {
			if _, ok := all.Tag(row, key); ok {
				used[key] = row.Start
			}
		}
	}
	tags := make([]CostAllocationTag, 0, len(used))
	for key, month := range used {
		t := CostAllocationTag{TagKey: key, Type: userDefined, Status: active}
		if slices.Contains(cost.OwnKeys, key) {
			t.Type = awsGenerated
		}
		if !month.IsZero() {
			t.LastUsedDate = month.Format(zonedFormat)
		}
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b CostAllocationTag) int { return strings.Compare(a.TagKey, b.TagKey) })
	for i := range statuses {
		n, _ := slices.BinarySearchFunc(tags, statuses[i].Key, func(t CostAllocationTag, key string) int { return strings.Compare(t.TagKey, key) })
		if !statuses[i].Active {
			tags[n].Status = inactive
		}
		tags[n].LastUpdatedDate = statuses[i].Changed.Format(zonedFormat)
	}
	return tags, nil
}

func (s *service) listCostAllocationTags(ctx context.Context, account string, in *ListCostAllocationTagsInput) (*ListCostAllocationTagsOutput, error) {
	request := *in
	request.NextToken = ""
	sum, err := digest(account, "ListCostAllocationTags", &request)
	if err != nil {
		return nil, err
	}
	from, err := parsePage(in.NextToken, sum)
	if err != nil {
		return nil, err
	}
	if in.NextToken != "" && len(from.After) != 1 {
		return nil, errInvalidToken
	}
	tags, err := s.tags(ctx, account)
	if err != nil {
		return nil, err
	}
	tags = slices.DeleteFunc(tags, func(t CostAllocationTag) bool {
		return in.Status != "" && t.Status != in.Status || in.Type != "" && t.Type != in.Type ||
			in.TagKeys != nil && !slices.Contains(in.TagKeys, t.TagKey) || in.NextToken != "" && t.TagKey <= from.After[0]
	})
	limit := 100 // the model's default
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	out := &ListCostAllocationTagsOutput{CostAllocationTags: tags}
	if len(tags) > limit {
		out.CostAllocationTags = tags[:limit]
		out.NextToken, err = page{After: []string{tags[limit-1].TagKey}}.token(sum)
	}
	return out, err
}

// updateCostAllocationTagsStatus sets what reports show. A key that nobody has used is an error of its entry only: code and text
// are those of AWS's example, https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_UpdateCostAllocationTagsStatus.html
func (s *service) updateCostAllocationTagsStatus(ctx context.Context, account string, in *UpdateCostAllocationTagsStatusInput) (*UpdateCostAllocationTagsStatusOutput, error) {
	tags, err := s.tags(ctx, account)
	if err != nil {
		return nil, err
	}
	out := &UpdateCostAllocationTagsStatusOutput{Errors: []UpdateCostAllocationTagsStatusError{}}
	var set []cost.TagStatus
	now := s.clock().UTC()
	for _, e := range in.CostAllocationTagsStatus {
		if !slices.ContainsFunc(tags, func(t CostAllocationTag) bool { return t.TagKey == e.TagKey }) {
			out.Errors = append(out.Errors, UpdateCostAllocationTagsStatusError{
				TagKey: e.TagKey, Code: "TagKeysNotFoundException", Message: "Failed to update Cost Allocation Tag: " + e.TagKey,
			})
			continue
		}
		if slices.ContainsFunc(set, func(t cost.TagStatus) bool { return t.Key == e.TagKey }) {
			return nil, fault.New(fault.Validation, "The tag key %s is there more than once.", e.TagKey)
		}
		set = append(set, cost.TagStatus{Key: e.TagKey, Active: e.Status == active, Changed: now})
	}
	return out, s.ledger.SetTagStatuses(ctx, account, set)
}
