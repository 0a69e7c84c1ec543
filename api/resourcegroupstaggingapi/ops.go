// Package resourcegroupstaggingapi is the front end of the AWS Resource Groups Tagging API (tagging, 2017-01-26) over what has
// tags here and belongs to no IAM: application inference profiles, those of the Region that a request is signed for.
package resourcegroupstaggingapi

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"outcrop/arn"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/profile"
	"outcrop/wire"
)

// The bounds of a page. Source: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
const (
	defaultResources = 50
	maxResources     = 100
	minTags, maxTags = 100, 500
	valuesPerPage    = 1000 // of GetTagKeys and GetTagValues, for which AWS documents none
)

// New returns the service. Each resource that is tagged is asked of guard by itself, as its own service would.
func New(profiles *profile.Service, guard wire.Guard) *wire.Service {
	a := &api{profiles, guard}
	row := func(name string) wire.Row { return wire.Row{Name: name, Action: "tag:" + name} }
	return &wire.Service{
		Name: "resourcegroupstaggingapi", SigningName: "tagging", Protocol: wire.AWSJSON11,
		TargetPrefix: "ResourceGroupsTaggingAPI_20170126", Exception: exceptions.Of, CapitalError: true,
		Ops: []wire.Op{
			wire.Handle(row("GetResources"), nil, a.resources),
			wire.Handle(row("GetTagKeys"), nil, a.tagKeys),
			wire.Handle(row("GetTagValues"), nil, a.tagValues),
			wire.Handle(row("TagResources"), nil, a.tag),
			wire.Handle(row("UntagResources"), nil, a.untag),
		},
	}
}

type api struct {
	profiles *profile.Service
	guard    wire.Guard
}

// exceptions are the service's names for faults, those of its model; a denial has the common name.
var exceptions = wire.Exceptions{
	fault.Internal:         {Code: "InternalServiceException", Status: 500},
	fault.Validation:       {Code: "InvalidParameterException", Status: 400},
	fault.InvalidNextToken: {Code: "InvalidParameterException", Status: 400},
	fault.TooLarge:         {Code: "InvalidParameterException", Status: 400},
	fault.AccessDenied:     {Code: "AccessDeniedException", Status: 400},
	fault.Throttled:        {Code: "ThrottledException", Status: 400},
}

// tagged returns the profiles with tags, by ARN.
func (a *api) tagged(c *wire.Call) ([]*profile.Profile, error) {
	var out []*profile.Profile
	for token := ""; ; {
		page, next, err := a.profiles.List(c.Caller.Account, c.Caller.Region, profile.Application, 1000, token)
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			if len(p.Tags) > 0 {
				out = append(out, p)
			}
		}
		if token = next; token == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b *profile.Profile) int { return strings.Compare(a.ARN, b.ARN) })
	return out, nil
}

func (a *api) resources(_ context.Context, c *wire.Call, in *getResourcesInput) (*getResourcesOutput, error) {
	perPage, tagsPerPage, err := in.check()
	if err != nil {
		return nil, err
	}
	after, err := openToken(in.PaginationToken)
	if err != nil {
		return nil, err
	}
	all, err := a.tagged(c)
	if err != nil {
		return nil, err
	}
	out, tags := &getResourcesOutput{Resources: []resource{}}, 0
	for _, p := range all {
		if p.ARN <= after || !in.selects(p) {
			continue
		}
		if last := len(out.Resources) - 1; last+1 == perPage || tags+len(p.Tags) > tagsPerPage {
			out.PaginationToken = token(out.Resources[last].ARN)
			break
		}
		tags += len(p.Tags)
		r := resource{ARN: p.ARN, Tags: make([]tag, len(p.Tags))}
		for i, t := range p.Tags {
			r.Tags[i] = tag(t)
		}
		out.Resources = append(out.Resources, r)
	}
	return out, nil
}

// selects reports whether the request is about p.
func (in *getResourcesInput) selects(p *profile.Profile) bool {
	if len(in.ARNs) > 0 && !slices.Contains(in.ARNs, p.ARN) {
		return false
	}
	if len(in.Types) > 0 && !slices.Contains(in.Types, "bedrock") && !slices.Contains(in.Types, "bedrock:application-inference-profile") {
		return false
	}
	for _, f := range in.Filters { // all of them; of one's values any
		if !slices.ContainsFunc(p.Tags, func(t profile.Tag) bool {
			return t.Key == f.Key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
		}) {
			return false
		}
	}
	return true
}

func (a *api) tagKeys(_ context.Context, c *wire.Call, in *getTagKeysInput) (*getTagKeysOutput, error) {
	all, err := a.tagged(c)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, p := range all {
		for _, t := range p.Tags {
			found[t.Key] = true
		}
	}
	keys, next, err := page(found, in.PaginationToken)
	return &getTagKeysOutput{next, keys}, err
}

func (a *api) tagValues(_ context.Context, c *wire.Call, in *getTagValuesInput) (*getTagValuesOutput, error) {
	all, err := a.tagged(c)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, p := range all {
		for _, t := range p.Tags {
			if t.Key == in.Key {
				found[t.Value] = true
			}
		}
	}
	values, next, err := page(found, in.PaginationToken)
	return &getTagValuesOutput{next, values}, err
}

// page returns the texts behind a token, in order, and the token of the rest.
func page(found map[string]bool, from string) (texts []string, next string, err error) {
	after, err := openToken(from)
	if err != nil {
		return nil, "", err
	}
	texts = []string{}
	for _, s := range slices.Sorted(maps.Keys(found)) {
		if from != "" && s <= after {
			continue
		}
		if len(texts) == valuesPerPage {
			return texts, token(texts[len(texts)-1]), nil
		}
		texts = append(texts, s)
	}
	return texts, "", nil
}

const tokenPrefix = "after:"

// token is where a page ended.
func token(last string) string { return base64.URLEncoding.EncodeToString([]byte(tokenPrefix + last)) }

func openToken(token string) (last string, err error) {
	if token == "" {
		return "", nil
	}
	text, err := base64.URLEncoding.DecodeString(token)
	last, ok := strings.CutPrefix(string(text), tokenPrefix)
	if err != nil || !ok {
		return "", fault.New(fault.InvalidNextToken, "The specified pagination token is not valid.")
	}
	return last, nil
}

func (a *api) tag(ctx context.Context, c *wire.Call, in *tagResourcesInput) (*failedOutput, error) {
	tags := make([]profile.Tag, 0, len(in.Tags))
	for _, k := range slices.Sorted(maps.Keys(in.Tags)) {
		tags = append(tags, profile.Tag{Key: k, Value: in.Tags[k]})
	}
	return a.each(ctx, c, in.ARNs, "bedrock:TagResource", profile.RequestKeys(tags), func(arn string) error {
		return a.profiles.Tag(ctx, c.Caller.Account, c.Caller.Region, arn, tags)
	})
}

func (a *api) untag(ctx context.Context, c *wire.Call, in *untagResourcesInput) (*failedOutput, error) {
	return a.each(ctx, c, in.ARNs, "bedrock:UntagResource", map[string][]string{"aws:TagKeys": in.Keys}, func(arn string) error {
		return a.profiles.Untag(ctx, c.Caller.Account, c.Caller.Region, arn, in.Keys)
	})
}

// each does it to each resource that the caller may do it to. What fails is told of each by itself; an error of ours ends it.
func (a *api) each(ctx context.Context, c *wire.Call, resources []string, action string, with map[string][]string, do func(arn string) error) (*failedOutput, error) {
	out := &failedOutput{Failed: map[string]failure{}}
	for _, name := range resources {
		if r, err := arn.Parse(name); err != nil || r.Service != "bedrock" {
			out.Failed[name] = failure{"InvalidParameterException", "The specified resource ARN is not valid.", 400}
			continue
		}
		access := iam.Access{Action: action, Resource: name, Context: maps.Clone(with)}
		if p, err := a.profiles.Get(c.Caller.Account, c.Caller.Region, name); err == nil {
			maps.Copy(access.Context, p.ConditionKeys())
		}
		err := a.guard.Check(ctx, c.ID, &c.Caller, []iam.Access{access})
		if err == nil {
			err = do(name)
		}
		if err == nil {
			continue
		}
		f, ok := failureOf(err)
		if !ok {
			return nil, err
		}
		out.Failed[name] = f
	}
	return out, nil
}

// failureOf is err as Bedrock's own operation would tell it.
func failureOf(err error) (failure, bool) {
	f := fault.From(err)
	switch f.Kind {
	case fault.Validation:
		return failure{"ValidationException", f.Message, 400}, true
	case fault.NotFound:
		return failure{"ResourceNotFoundException", f.Message, 404}, true
	case fault.TooManyTags:
		return failure{"TooManyTagsException", f.Message, 400}, true
	case fault.AccessDenied:
		return failure{"AccessDeniedException", f.Message, 403}, true
	case fault.Conflict:
		return failure{"ConflictException", f.Message, 400}, true
	}
	return failure{}, false
}
