package iam

import (
	"context"
	"slices"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/wire"
)

// maxDetails is how many bytes of documents a page of details has before it ends: as AWS says of MaxItems, fewer may come.
const maxDetails = 512 << 10

// details lists everything that the account has, in the order of the filters, page by page.
func (a *api) details(ctx context.Context, c *wire.Call, in *detailsInput) (*detailsOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	wants := func(filter string) bool { return in.Filter == nil || slices.Contains(in.Filter, filter) }
	type item struct {
		key  string
		size int // of its documents
		add  func(*detailsOutput)
	}
	var items []item
	entities := func(n, filter string, kind iam.Kind, add func(*detailsOutput, *iam.Entity)) {
		if wants(filter) {
			for _, e := range o.Entities(kind, "/") {
				size := len(e.Trust)
				for _, p := range o.Inline(e) {
					size += len(p.Document)
				}
				items = append(items, item{n + e.Name, size, func(out *detailsOutput) { add(out, e) }})
			}
		}
	}
	entities("1", "User", iam.UserKind, func(out *detailsOutput, e *iam.Entity) {
		out.UserDetailList = append(out.UserDetailList, UserDetail{
			User: wholeUser(e), UserPolicyList: inlineOut(o.Inline(e)), GroupList: each(o.Groups(e), nameOf), AttachedManagedPolicies: attachedOut(o.Attached(e)),
		})
	})
	entities("2", "Group", iam.GroupKind, func(out *detailsOutput, e *iam.Entity) {
		out.GroupDetailList = append(out.GroupDetailList, GroupDetail{Group: groupOut(e), GroupPolicyList: inlineOut(o.Inline(e)), AttachedManagedPolicies: attachedOut(o.Attached(e))})
	})
	entities("3", "Role", iam.RoleKind, func(out *detailsOutput, e *iam.Entity) {
		r := a.wholeRole(e)
		out.RoleDetailList = append(out.RoleDetailList, RoleDetail{
			roleHead: r.roleHead, roleRest: r.roleRest, RolePolicyList: inlineOut(o.Inline(e)), AttachedManagedPolicies: attachedOut(o.Attached(e)),
		})
	})
	for _, m := range o.Policies(wants("LocalManagedPolicy"), wants("AWSManagedPolicy")) {
		size := 0
		for _, v := range o.Versions(m) {
			size += len(v.Document)
		}
		items = append(items, item{"4" + m.ARN(), size, func(out *detailsOutput) {
			out.Policies = append(out.Policies, ManagedPolicyDetail{
				policyHead: wholePolicy(o, m).policyHead,
				PolicyVersionList: each(o.Versions(m), func(v *iam.PolicyVersion) PolicyVersion {
					out := versionOut(v, v.Number == m.Default)
					out.Document = encoded(v.Document)
					return out
				}),
			})
		}})
	}
	items, p, err := page(items, func(i item) string { return i.key }, &in.paging)
	out := &detailsOutput{paged: p}
	size := 0
	for n, i := range items {
		if size += i.size; n > 0 && size > maxDetails {
			out.paged = more(items[n-1].key)
			break
		}
		i.add(out)
	}
	return out, err
}

// summary counts what the account has, and says what it may have.
func (a *api) summary(ctx context.Context, c *wire.Call, _ *nothing) (*summaryOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	own := o.Policies(true, false)
	versions := 0
	for _, p := range own {
		versions += len(o.Versions(p))
	}
	rootKeys := 0
	if len(o.Keys(nil)) > 0 {
		rootKeys = 1
	}
	return &summaryOutput{map[string]int{
		"Users": len(o.Entities(iam.UserKind, "/")), "UsersQuota": iam.MaxEntities[iam.UserKind],
		"Groups": len(o.Entities(iam.GroupKind, "/")), "GroupsQuota": iam.MaxEntities[iam.GroupKind],
		"Roles": len(o.Entities(iam.RoleKind, "/")), "RolesQuota": iam.MaxEntities[iam.RoleKind],
		"Policies": len(own), "PoliciesQuota": iam.MaxPolicies, "PolicyVersionsInUse": versions, "VersionsPerPolicyQuota": iam.MaxVersions,
		"PolicySizeQuota": iam.MaxManagedSize, "UserPolicySizeQuota": iam.MaxInlineSize[iam.UserKind], "GroupPolicySizeQuota": iam.MaxInlineSize[iam.GroupKind],
		"RolePolicySizeQuota": iam.MaxInlineSize[iam.RoleKind], "AttachedPoliciesPerUserQuota": iam.MaxAttached, "AttachedPoliciesPerGroupQuota": iam.MaxAttached,
		"AttachedPoliciesPerRoleQuota": iam.MaxAttached, "GroupsPerUserQuota": iam.MaxGroupsPerUser, "AccessKeysPerUserQuota": iam.MaxKeys,
		"AccountAccessKeysPresent": rootKeys, "AccountMFAEnabled": 0, "MFADevices": 0, "MFADevicesInUse": 0,
	}}, nil
}

// aliases lists none: an account has no other name here. Terraform asks for them.
func (a *api) aliases(context.Context, *wire.Call, *paging) (*aliasesOutput, error) {
	return &aliasesOutput{}, nil
}

// noneOf lists what no user has here: there is no console, and nothing to log in to. Terraform asks for each before it deletes a user
// with all that the user has (force_destroy).
func noneOf[Out any](a *api) func(context.Context, *wire.Call, *optionalUserPageInput) (*Out, error) {
	return func(ctx context.Context, c *wire.Call, in *optionalUserPageInput) (*Out, error) {
		_, err := a.userOf(ctx, c, &in.optionalUser)
		return new(Out), err
	}
}

// userOf is the name of the user that an input names, who must be there; "" is root.
func (a *api) userOf(ctx context.Context, c *wire.Call, in *optionalUser) (string, error) {
	name, err := in.of(c)
	if err == nil && name != "" {
		_, _, err = a.find(ctx, c, iam.UserKind, name)
	}
	return name, err
}

func (a *api) virtualMFADevices(context.Context, *wire.Call, *virtualMFADevicesInput) (*virtualMFADevicesOutput, error) {
	return &virtualMFADevicesOutput{}, nil
}

// deletePassword finds none to delete.
func (a *api) deletePassword(ctx context.Context, c *wire.Call, in *optionalUser) (*struct{}, error) {
	name, err := a.userOf(ctx, c, in)
	if err == nil {
		err = fault.New(fault.NotFound, "Login Profile for User %s cannot be found.", name)
	}
	return nil, err
}
