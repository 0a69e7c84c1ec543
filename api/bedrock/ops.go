// Package bedrock is the front end of Amazon Bedrock's control plane: inference profiles, their tags, and the
// foundation models.
package bedrock

import (
	"context"
	"maps"
	"slices"
	"strings"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
	"outcrop/profile"
	"outcrop/wire"
)

// New returns the service.
func New(svc *profile.Service, cat *catalog.Catalog) *wire.Service {
	a := &api{svc, cat}
	return &wire.Service{
		Name: "bedrock", SigningName: "bedrock", Protocol: wire.RestJSON,
		ErrorURI:  "http://internal.amazon.com/coral/com.amazon.bedrock/",
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(wire.Row{Name: "CreateInferenceProfile", Method: "POST", Path: "/inference-profiles", Status: 201, Action: "bedrock:CreateInferenceProfile"}, a.accessCreate, a.create),
			wire.Handle(wire.Row{Name: "GetInferenceProfile", Method: "GET", Path: "/inference-profiles/{inferenceProfileIdentifier}", Action: "bedrock:GetInferenceProfile"}, a.accessProfile, a.get),
			wire.Handle(wire.Row{Name: "ListInferenceProfiles", Method: "GET", Path: "/inference-profiles", Action: "bedrock:ListInferenceProfiles"}, nil, a.list),
			wire.Handle(wire.Row{Name: "DeleteInferenceProfile", Method: "DELETE", Path: "/inference-profiles/{inferenceProfileIdentifier}", Action: "bedrock:DeleteInferenceProfile"}, a.accessProfile, a.delete),
			wire.Handle(wire.Row{Name: "TagResource", Method: "POST", Path: "/tagResource", Action: "bedrock:TagResource"}, a.accessTag, a.tag),
			wire.Handle(wire.Row{Name: "UntagResource", Method: "POST", Path: "/untagResource", Action: "bedrock:UntagResource"}, a.accessUntag, a.untag),
			wire.Handle(wire.Row{Name: "ListTagsForResource", Method: "POST", Path: "/listTagsForResource", Action: "bedrock:ListTagsForResource"}, a.accessTags, a.tags),
			wire.Handle(wire.Row{Name: "ListFoundationModels", Method: "GET", Path: "/foundation-models", Action: "bedrock:ListFoundationModels"}, nil, a.listModels),
			wire.Handle(wire.Row{Name: "GetFoundationModel", Method: "GET", Path: "/foundation-models/{modelIdentifier}", Action: "bedrock:GetFoundationModel"}, a.accessModel, a.getModel),
		},
	}
}

type api struct {
	profiles *profile.Service
	catalog  *catalog.Catalog
}

// What is authorized. See the service authorization reference of Amazon Bedrock: a creation on the profile to be, and
// on what it copies (user guide, inference-profiles-prereq); with tags it is tagging too; everything else on what it
// names.

func (a *api) accessCreate(c *wire.Call, in *createInferenceProfileInput) ([]iam.Access, error) {
	c.Caller.Locate(*in.ModelSource.CopyFrom)
	with := profile.RequestKeys(tagsOf(in.Tags))
	profiles := arn.ApplicationProfile(c.Caller.Region, c.Caller.Account, "*")
	access := []iam.Access{{Resource: profiles, Context: with}}
	// Another account's ARN is no valid source, which create says.
	if source, err := arn.Parse(*in.ModelSource.CopyFrom); err == nil && (source.Account == "" || source.Account == c.Caller.Account) {
		access = append(access, iam.Access{Resource: *in.ModelSource.CopyFrom, Context: with})
	}
	if len(in.Tags) > 0 {
		access = append(access, iam.Access{Action: "bedrock:TagResource", Resource: profiles, Context: with})
	}
	return access, nil
}

func (a *api) accessProfile(c *wire.Call, in *identifierInput) ([]iam.Access, error) {
	return []iam.Access{a.named(c, in.Identifier)}, nil
}

func (a *api) accessTag(c *wire.Call, in *tagResourceInput) ([]iam.Access, error) {
	access := a.named(c, *in.ARN)
	access.Context = merge(access.Context, profile.RequestKeys(tagsOf(in.Tags)))
	return []iam.Access{access}, nil
}

func (a *api) accessUntag(c *wire.Call, in *untagResourceInput) ([]iam.Access, error) {
	access := a.named(c, *in.ARN)
	access.Context = merge(access.Context, policy.Context{"aws:TagKeys": in.Keys})
	return []iam.Access{access}, nil
}

func (a *api) accessTags(c *wire.Call, in *resourceInput) ([]iam.Access, error) {
	return []iam.Access{a.named(c, *in.ARN)}, nil
}

func (a *api) accessModel(c *wire.Call, in *getFoundationModelInput) ([]iam.Access, error) {
	if strings.HasPrefix(in.Identifier, "arn:") {
		c.Caller.Locate(in.Identifier)
		return []iam.Access{{Resource: in.Identifier}}, nil
	}
	return []iam.Access{{Resource: arn.FoundationModel(c.Caller.Region, in.Identifier)}}, nil
}

// named is the access to the profile that identifier names, with its tags. What is not there is asked for as the ARN it
// would have, so that a caller learns nothing of what they may not see.
func (a *api) named(c *wire.Call, identifier string) iam.Access {
	c.Caller.Locate(identifier)
	p, err := a.profiles.Get(c.Caller.Account, c.Caller.Region, identifier)
	switch {
	case err == nil:
		return iam.Access{Resource: p.ARN, Context: p.ConditionKeys()}
	case strings.HasPrefix(identifier, "arn:"):
		return iam.Access{Resource: identifier}
	}
	if _, ok := a.catalog.Profile(identifier); ok {
		return iam.Access{Resource: arn.SystemProfile(c.Caller.Region, c.Caller.Account, identifier)}
	}
	return iam.Access{Resource: arn.ApplicationProfile(c.Caller.Region, c.Caller.Account, identifier)}
}

func merge(a, b policy.Context) policy.Context {
	if a == nil {
		return b
	}
	maps.Copy(a, b)
	return a
}

// The operations.

func (a *api) create(ctx context.Context, c *wire.Call, in *createInferenceProfileInput) (*createInferenceProfileOutput, error) {
	p, err := a.profiles.Create(ctx, c.Caller.Account, c.Caller.Region, profile.CreateRequest{
		Name: *in.Name, Description: value(in.Description), Source: *in.ModelSource.CopyFrom, Token: value(in.ClientRequestToken), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	a.warn(c, p)
	return &createInferenceProfileOutput{ARN: p.ARN, Status: profile.Active}, nil
}

func (a *api) get(_ context.Context, c *wire.Call, in *identifierInput) (*inferenceProfile, error) {
	p, err := a.profiles.Get(c.Caller.Account, c.Caller.Region, in.Identifier)
	if err != nil {
		return nil, err
	}
	out := show(p)
	return &out, nil
}

func (a *api) list(_ context.Context, c *wire.Call, in *listInferenceProfilesInput) (*listInferenceProfilesOutput, error) {
	page, next, err := a.profiles.List(c.Caller.Account, c.Caller.Region, value(in.TypeEquals), value(in.MaxResults), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	out := &listInferenceProfilesOutput{Summaries: make([]inferenceProfile, len(page)), NextToken: next}
	for i, p := range page {
		out.Summaries[i] = show(p)
	}
	return out, nil
}

func (a *api) delete(ctx context.Context, c *wire.Call, in *identifierInput) (*empty, error) {
	return &empty{}, a.profiles.Delete(ctx, c.Caller.Account, c.Caller.Region, in.Identifier)
}

func (a *api) tag(ctx context.Context, c *wire.Call, in *tagResourceInput) (*empty, error) {
	if err := a.profiles.Tag(ctx, c.Caller.Account, c.Caller.Region, *in.ARN, tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(in.Tags, func(t tagInput) bool { return *t.Key == profile.RoutingTag }) {
		if p, err := a.profiles.Get(c.Caller.Account, c.Caller.Region, *in.ARN); err == nil {
			a.warn(c, p)
		}
	}
	return &empty{}, nil
}

// warn says in a header, because AWS's answers have no member for it, that nothing answers in some of p's Regions.
func (a *api) warn(c *wire.Call, p *profile.Profile) {
	if what := a.profiles.Unreached(p); what != "" {
		c.Header.Set("X-Outcrop-Warning", what)
	}
}

func (a *api) untag(ctx context.Context, c *wire.Call, in *untagResourceInput) (*empty, error) {
	return &empty{}, a.profiles.Untag(ctx, c.Caller.Account, c.Caller.Region, *in.ARN, in.Keys)
}

func (a *api) tags(_ context.Context, c *wire.Call, in *resourceInput) (*listTagsForResourceOutput, error) {
	tags, err := a.profiles.Tags(c.Caller.Account, c.Caller.Region, *in.ARN)
	if err != nil {
		return nil, err
	}
	out := &listTagsForResourceOutput{Tags: make([]tagOutput, len(tags))}
	for i, t := range tags {
		out.Tags[i] = tagOutput(t)
	}
	return out, nil
}

func (a *api) listModels(_ context.Context, c *wire.Call, in *listFoundationModelsInput) (*listFoundationModelsOutput, error) {
	out := &listFoundationModelsOutput{Summaries: []foundationModel{}}
	for _, m := range a.catalog.AllModels() {
		if !a.offered(m, c.Caller.Region) {
			continue
		}
		f := a.showModel(m, c.Caller.Region)
		if in.ByProvider != nil && !strings.EqualFold(*in.ByProvider, f.Provider) || // the guides write "anthropic"
			in.ByCustomizationType != nil || // no model can be customized here
			in.ByOutputModality != nil && !slices.Contains(f.OutputModalities, *in.ByOutputModality) ||
			in.ByInferenceType != nil && !slices.Contains(f.InferenceTypes, *in.ByInferenceType) {
			continue
		}
		out.Summaries = append(out.Summaries, f)
	}
	return out, nil
}

func (a *api) getModel(_ context.Context, c *wire.Call, in *getFoundationModelInput) (*getFoundationModelOutput, error) {
	region, id := c.Caller.Region, in.Identifier
	if r, err := arn.Parse(in.Identifier); err == nil {
		if r.Partition != arn.Partition(region) || r.Region != region {
			return nil, errNoModel()
		}
		_, id = r.Split()
	}
	m, ok := a.catalog.Model(id)
	if !ok || !a.offered(m, region) {
		return nil, errNoModel()
	}
	return &getFoundationModelOutput{Details: a.showModel(m, region)}, nil
}

func errNoModel() error {
	return fault.New(fault.NotFound, "Could not resolve the foundation model from the provided model identifier.")
}

// offered reports whether a model is listed in region: AWS lists it there, or an upstream serves it.
func (a *api) offered(m *catalog.Model, region string) bool {
	return a.catalog.Listed(m.ID, region) || a.profiles.OnDemand(region, m)
}

func (a *api) showModel(m *catalog.Model, region string) foundationModel {
	types := []string{}
	if a.profiles.OnDemand(region, m) {
		types = append(types, "ON_DEMAND")
	}
	if m.Provisioned {
		types = append(types, "PROVISIONED")
	}
	if a.catalog.InProfile(m.ID, region) {
		types = append(types, "INFERENCE_PROFILE")
	}
	return foundationModel{
		ARN: arn.FoundationModel(region, m.ID), ID: m.ID, Name: m.Name, Provider: m.Provider,
		InputModalities: m.InputModalities, OutputModalities: m.OutputModalities, Streaming: m.Streaming,
		Customizations: []string{}, InferenceTypes: types,
		Lifecycle: modelLifecycle{Status: m.Status, EndOfLife: m.EndOfLife, Legacy: m.Legacy, ExtendedAccess: m.ExtendedAccess},
	}
}

func show(p *profile.Profile) inferenceProfile {
	models := make([]profileModel, len(p.Models))
	for i, m := range p.Models {
		models[i].ARN = m
	}
	return inferenceProfile{
		Name: p.Name, Description: p.Description, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, ARN: p.ARN,
		Models: models, ID: p.ID, Status: profile.Active, Type: p.Type,
	}
}

func tagsOf(in []tagInput) []profile.Tag {
	tags := make([]profile.Tag, len(in))
	for i, t := range in {
		tags[i] = profile.Tag{Key: *t.Key, Value: *t.Value}
	}
	return tags
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
