// Package iam is the front end of AWS Identity and Access Management: users, groups, roles, policies, keys.
package iam

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/wire"
)

// New returns the service.
func New(people *iam.Directory) *wire.Service {
	a := &api{people}
	row := func(name string) wire.Row { return wire.Row{Name: name, Action: "iam:" + name} }
	return &wire.Service{
		Name: "iam", SigningName: "iam", Protocol: wire.AWSQuery,
		Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(row("CreateUser"), a.mayCreateUser, a.createUser),
			wire.Handle(row("GetUser"), a.mayOwn, a.getUser),
			wire.Handle(row("UpdateUser"), a.mayUpdateUser, a.updateUser),
			wire.Handle(row("DeleteUser"), may[userName](a), deleteEntity[userName](a)),
			wire.Handle(row("ListUsers"), a.mayList(iam.UserKind), a.listUsers),
			wire.Handle(row("CreateGroup"), a.mayCreateGroup, a.createGroup),
			wire.Handle(row("GetGroup"), may[groupPageInput](a), a.getGroup),
			wire.Handle(row("UpdateGroup"), a.mayUpdateGroup, a.updateGroup),
			wire.Handle(row("DeleteGroup"), may[groupName](a), deleteEntity[groupName](a)),
			wire.Handle(row("ListGroups"), a.mayList(iam.GroupKind), a.listGroups),
			wire.Handle(row("AddUserToGroup"), may[memberInput](a), a.addMember),
			wire.Handle(row("RemoveUserFromGroup"), may[memberInput](a), a.removeMember),
			wire.Handle(row("ListGroupsForUser"), may[userPageInput](a), a.groupsOf),
			wire.Handle(row("CreateRole"), a.mayCreateRole, a.createRole),
			wire.Handle(row("GetRole"), may[roleName](a), a.getRole),
			wire.Handle(row("UpdateRole"), may[updateRoleInput](a), a.updateRole),
			wire.Handle(row("UpdateRoleDescription"), may[updateRoleDescriptionInput](a), a.updateRoleDescription),
			wire.Handle(row("DeleteRole"), may[roleName](a), deleteEntity[roleName](a)),
			wire.Handle(row("ListRoles"), a.mayList(iam.RoleKind), a.listRoles),
			wire.Handle(row("UpdateAssumeRolePolicy"), may[trustInput](a), a.setTrust),
			wire.Handle(row("ListInstanceProfilesForRole"), may[rolePageInput](a), a.instanceProfiles),

			wire.Handle(row("TagUser"), mayTag[userTagsInput](a), tagEntity[userTagsInput](a)),
			wire.Handle(row("TagRole"), mayTag[roleTagsInput](a), tagEntity[roleTagsInput](a)),
			wire.Handle(row("UntagUser"), mayUntag[userTagKeysInput](a), untagEntity[userTagKeysInput](a)),
			wire.Handle(row("UntagRole"), mayUntag[roleTagKeysInput](a), untagEntity[roleTagKeysInput](a)),
			wire.Handle(row("ListUserTags"), may[userPageInput](a), listTags[userPageInput](a)),
			wire.Handle(row("ListRoleTags"), may[rolePageInput](a), listTags[rolePageInput](a)),

			wire.Handle(row("PutUserPolicy"), may[putUserPolicyInput](a), putInline[putUserPolicyInput](a)),
			wire.Handle(row("PutGroupPolicy"), may[putGroupPolicyInput](a), putInline[putGroupPolicyInput](a)),
			wire.Handle(row("PutRolePolicy"), may[putRolePolicyInput](a), putInline[putRolePolicyInput](a)),
			wire.Handle(row("GetUserPolicy"), may[userPolicyInput](a), getInline[userPolicyInput](a)),
			wire.Handle(row("GetGroupPolicy"), may[groupPolicyInput](a), getInline[groupPolicyInput](a)),
			wire.Handle(row("GetRolePolicy"), may[rolePolicyInput](a), getInline[rolePolicyInput](a)),
			wire.Handle(row("DeleteUserPolicy"), may[userPolicyInput](a), deleteInline[userPolicyInput](a)),
			wire.Handle(row("DeleteGroupPolicy"), may[groupPolicyInput](a), deleteInline[groupPolicyInput](a)),
			wire.Handle(row("DeleteRolePolicy"), may[rolePolicyInput](a), deleteInline[rolePolicyInput](a)),
			wire.Handle(row("ListUserPolicies"), may[userPageInput](a), listInline[userPageInput](a)),
			wire.Handle(row("ListGroupPolicies"), may[groupPageInput](a), listInline[groupPageInput](a)),
			wire.Handle(row("ListRolePolicies"), may[rolePageInput](a), listInline[rolePageInput](a)),

			wire.Handle(row("AttachUserPolicy"), mayAttach[userAttachInput](a), attach[userAttachInput](a)),
			wire.Handle(row("AttachGroupPolicy"), mayAttach[groupAttachInput](a), attach[groupAttachInput](a)),
			wire.Handle(row("AttachRolePolicy"), mayAttach[roleAttachInput](a), attach[roleAttachInput](a)),
			wire.Handle(row("DetachUserPolicy"), mayAttach[userAttachInput](a), detach[userAttachInput](a)),
			wire.Handle(row("DetachGroupPolicy"), mayAttach[groupAttachInput](a), detach[groupAttachInput](a)),
			wire.Handle(row("DetachRolePolicy"), mayAttach[roleAttachInput](a), detach[roleAttachInput](a)),
			wire.Handle(row("ListAttachedUserPolicies"), may[userAttachedInput](a), listAttached[userAttachedInput](a)),
			wire.Handle(row("ListAttachedGroupPolicies"), may[groupAttachedInput](a), listAttached[groupAttachedInput](a)),
			wire.Handle(row("ListAttachedRolePolicies"), may[roleAttachedInput](a), listAttached[roleAttachedInput](a)),
			wire.Handle(row("PutUserPermissionsBoundary"), mayBound[userBoundaryInput](a), putBoundary[userBoundaryInput](a)),
			wire.Handle(row("PutRolePermissionsBoundary"), mayBound[roleBoundaryInput](a), putBoundary[roleBoundaryInput](a)),
			wire.Handle(row("DeleteUserPermissionsBoundary"), may[userName](a), deleteBoundary[userName](a)),
			wire.Handle(row("DeleteRolePermissionsBoundary"), may[roleName](a), deleteBoundary[roleName](a)),

			wire.Handle(row("CreatePolicy"), a.mayCreatePolicy, a.createPolicy),
			wire.Handle(row("GetPolicy"), mayPolicy[policyARN](a), a.getPolicy),
			wire.Handle(row("DeletePolicy"), mayPolicy[policyARN](a), a.deletePolicy),
			wire.Handle(row("ListPolicies"), a.mayListPolicies, a.listPolicies),
			wire.Handle(row("CreatePolicyVersion"), mayPolicy[createVersionInput](a), a.createVersion),
			wire.Handle(row("GetPolicyVersion"), mayPolicy[versionInput](a), a.getVersion),
			wire.Handle(row("DeletePolicyVersion"), mayPolicy[versionInput](a), a.deleteVersion),
			wire.Handle(row("SetDefaultPolicyVersion"), mayPolicy[versionInput](a), a.setDefaultVersion),
			wire.Handle(row("ListPolicyVersions"), mayPolicy[policyPageInput](a), a.listVersions),
			wire.Handle(row("ListEntitiesForPolicy"), mayPolicy[listEntitiesInput](a), a.listEntities),
			wire.Handle(row("TagPolicy"), a.mayTagPolicy, a.tagPolicy),
			wire.Handle(row("UntagPolicy"), a.mayUntagPolicy, a.untagPolicy),
			wire.Handle(row("ListPolicyTags"), mayPolicy[policyPageInput](a), a.listPolicyTags),

			wire.Handle(row("CreateAccessKey"), a.mayOwn, a.createKey),
			wire.Handle(row("DeleteAccessKey"), mayOfOwn[keyInput](a), a.deleteKey),
			wire.Handle(row("UpdateAccessKey"), mayOfOwn[updateKeyInput](a), a.updateKey),
			wire.Handle(row("ListAccessKeys"), mayOfOwn[optionalUserPageInput](a), a.listKeys),
			wire.Handle(row("GetAccessKeyLastUsed"), a.mayKey, a.lastUsed),
			wire.Handle(row("CreateServiceSpecificCredential"), a.mayCreateCredential, a.createCredential),
			wire.Handle(row("ListServiceSpecificCredentials"), a.mayListCredentials, a.listCredentials),
			wire.Handle(row("ResetServiceSpecificCredential"), mayOfOwn[credentialInput](a), a.resetCredential),
			wire.Handle(row("UpdateServiceSpecificCredential"), mayOfOwn[updateCredentialInput](a), a.updateCredential),
			wire.Handle(row("DeleteServiceSpecificCredential"), mayOfOwn[credentialInput](a), a.deleteCredential),

			wire.Handle(row("ListMFADevices"), mayOfOwn[optionalUserPageInput](a), noneOf[mfaDevicesOutput](a)),
			wire.Handle(row("ListSigningCertificates"), mayOfOwn[optionalUserPageInput](a), noneOf[certificatesOutput](a)),
			wire.Handle(row("ListSSHPublicKeys"), mayOfOwn[optionalUserPageInput](a), noneOf[sshKeysOutput](a)),
			wire.Handle(row("ListVirtualMFADevices"), nil, a.virtualMFADevices),
			wire.Handle(row("DeleteLoginProfile"), a.mayOwn, a.deletePassword),

			wire.Handle(row("GetAccountAuthorizationDetails"), nil, a.details),
			wire.Handle(row("GetAccountSummary"), nil, a.summary),
			wire.Handle(row("ListAccountAliases"), nil, a.aliases),
			wire.Handle(row("SimulateCustomPolicy"), nil, a.simulateCustom),
			wire.Handle(row("SimulatePrincipalPolicy"), a.maySimulate, a.simulatePrincipal),
			wire.Handle(row("GetContextKeysForCustomPolicy"), nil, a.customKeys),
			wire.Handle(row("GetContextKeysForPrincipalPolicy"), a.mayPrincipalKeys, a.principalKeys),
		},
	}
}

type api struct{ people *iam.Directory }

// prefix is the prefix of paths that a caller asks for: all of them where it is not given.
func prefix(s string) string { return cmp.Or(s, "/") }

// of is the user that an input names, or who calls: "" is root.
func (n *optionalUser) of(c *wire.Call) (string, error) {
	switch {
	case n.UserName != nil:
		return *n.UserName, nil
	case c.Caller.UserName == "" && !c.Caller.Root:
		return "", fault.New(fault.Validation, "Must specify userName when calling with non-User credentials")
	}
	return c.Caller.UserName, nil
}

// page cuts what a caller asks for out of items, which are in the order of their keys: those behind the marker, at most so many.
func page[T any](items []T, key func(T) string, p *paging) ([]T, paged, error) {
	if p.Marker != "" {
		b, err := base64.RawURLEncoding.DecodeString(p.Marker)
		if err != nil {
			return nil, paged{}, fault.New(fault.Validation, "Invalid Marker.")
		}
		last := string(b)
		from := slices.IndexFunc(items, func(v T) bool { return mark(key(v)) == last }) + 1
		if from == 0 { // it has been deleted since
			from = slices.IndexFunc(items, func(v T) bool { return key(v) > last })
		}
		if from < 0 {
			from = len(items)
		}
		items = items[from:]
	}
	most := p.most()
	if len(items) <= most {
		return items, paged{}, nil
	}
	return items[:most], more(key(items[most-1])), nil
}

// more says that a page ends with the item of that key, and that others follow.
func more(key string) paged {
	return paged{IsTruncated: true, Marker: base64.RawURLEncoding.EncodeToString([]byte(mark(key)))}
}

// mark is a key as a marker tells it. A caller can send no more than 320 characters back, so the end of a long key is its hash.
func mark(key string) string {
	const most = 320 / 4 * 3
	if len(key) <= most {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:most-len(sum)] + string(sum[:])
}

// most is how many items a page has: a hundred where the caller does not say.
func (p *paging) most() int {
	if p.MaxItems != nil {
		return int(*p.MaxItems)
	}
	return 100
}

// each makes a list of what one makes of each item.
func each[T, Out any](items []T, one func(T) Out) []Out {
	out := make([]Out, len(items))
	for i, v := range items {
		out[i] = one(v)
	}
	return out
}

func nameOf(e *iam.Entity) string { return e.Name }

// Users, groups and roles.

func (a *api) createUser(ctx context.Context, c *wire.Call, in *createUserInput) (*userOutput, error) {
	e, err := a.people.CreateEntity(ctx, iam.Entity{
		Account: c.Caller.Account, Kind: iam.UserKind, Name: in.UserName, Path: in.Path, Boundary: in.PermissionsBoundary, Tags: in.tags(),
	})
	return &userOutput{wholeUser(&e)}, err
}

func (a *api) getUser(ctx context.Context, c *wire.Call, in *optionalUser) (*userOutput, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	if name == "" {
		o, err := a.people.Roster(ctx, c.Caller.Account)
		if err != nil {
			return nil, err
		}
		return &userOutput{User{UserID: c.Caller.ID, ARN: c.Caller.ARN, CreateDate: o.CreatedAt()}}, nil
	}
	_, e, err := a.find(ctx, c, iam.UserKind, name)
	if err != nil {
		return nil, err
	}
	return &userOutput{wholeUser(e)}, nil
}

// find finds an entity in the account as it is now.
func (a *api) find(ctx context.Context, c *wire.Call, kind iam.Kind, name string) (*iam.Roster, *iam.Entity, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, nil, err
	}
	e, err := o.Entity(kind, name)
	return o, e, err
}

func (a *api) updateUser(ctx context.Context, c *wire.Call, in *updateUserInput) (*struct{}, error) {
	return nil, a.people.MoveEntity(ctx, c.Caller.Account, iam.UserKind, in.UserName, in.NewUserName, in.NewPath)
}

func (a *api) updateGroup(ctx context.Context, c *wire.Call, in *updateGroupInput) (*struct{}, error) {
	return nil, a.people.MoveEntity(ctx, c.Caller.Account, iam.GroupKind, in.GroupName, in.NewGroupName, in.NewPath)
}

func deleteEntity[In any, P aimed[In]](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.DeleteEntity(ctx, c.Caller.Account, kind, name)
	}
}

// list is a page of the entities of a kind.
func (a *api) list(ctx context.Context, c *wire.Call, kind iam.Kind, in *listInput) ([]*iam.Entity, paged, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, paged{}, err
	}
	return page(o.Entities(kind, prefix(in.PathPrefix)), nameOf, &in.paging)
}

func (a *api) listUsers(ctx context.Context, c *wire.Call, in *listInput) (*listUsersOutput, error) {
	entities, p, err := a.list(ctx, c, iam.UserKind, in)
	return &listUsersOutput{p, each(entities, userOut)}, err
}

func (a *api) listGroups(ctx context.Context, c *wire.Call, in *listInput) (*listGroupsOutput, error) {
	entities, p, err := a.list(ctx, c, iam.GroupKind, in)
	return &listGroupsOutput{p, each(entities, groupOut)}, err
}

func (a *api) listRoles(ctx context.Context, c *wire.Call, in *listInput) (*listRolesOutput, error) {
	entities, p, err := a.list(ctx, c, iam.RoleKind, in)
	return &listRolesOutput{p, each(entities, roleOut)}, err
}

func (a *api) createGroup(ctx context.Context, c *wire.Call, in *createGroupInput) (*groupOutput, error) {
	e, err := a.people.CreateEntity(ctx, iam.Entity{Account: c.Caller.Account, Kind: iam.GroupKind, Name: in.GroupName, Path: in.Path})
	return &groupOutput{groupOut(&e)}, err
}

func (a *api) getGroup(ctx context.Context, c *wire.Call, in *groupPageInput) (*getGroupOutput, error) {
	o, g, err := a.find(ctx, c, iam.GroupKind, in.GroupName)
	if err != nil {
		return nil, err
	}
	members, p, err := page(o.Members(g), nameOf, &in.paging)
	return &getGroupOutput{p, groupOut(g), each(members, userOut)}, err
}

func (a *api) addMember(ctx context.Context, c *wire.Call, in *memberInput) (*struct{}, error) {
	return nil, a.people.AddMember(ctx, c.Caller.Account, in.GroupName, in.UserName)
}

func (a *api) removeMember(ctx context.Context, c *wire.Call, in *memberInput) (*struct{}, error) {
	return nil, a.people.RemoveMember(ctx, c.Caller.Account, in.GroupName, in.UserName)
}

func (a *api) groupsOf(ctx context.Context, c *wire.Call, in *userPageInput) (*listGroupsOutput, error) {
	o, u, err := a.find(ctx, c, iam.UserKind, in.UserName)
	if err != nil {
		return nil, err
	}
	groups, p, err := page(o.Groups(u), nameOf, &in.paging)
	return &listGroupsOutput{p, each(groups, groupOut)}, err
}

func (a *api) createRole(ctx context.Context, c *wire.Call, in *createRoleInput) (*roleOutput, error) {
	e := iam.Entity{
		Account: c.Caller.Account, Kind: iam.RoleKind, Name: in.RoleName, Path: in.Path, Boundary: in.PermissionsBoundary, Tags: in.tags(),
		Trust: in.Trust, Description: in.Description,
	}
	if s := seconds(in.MaxSessionDuration); s != nil {
		e.MaxSession = *s
	}
	e, err := a.people.CreateEntity(ctx, e)
	return &roleOutput{a.wholeRole(&e)}, err
}

func seconds(n *int32) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

func (a *api) getRole(ctx context.Context, c *wire.Call, in *roleName) (*roleOutput, error) {
	_, e, err := a.find(ctx, c, iam.RoleKind, in.RoleName)
	if err != nil {
		return nil, err
	}
	return &roleOutput{a.wholeRole(e)}, nil
}

func (a *api) updateRole(ctx context.Context, c *wire.Call, in *updateRoleInput) (*updateRoleOutput, error) {
	_, err := a.people.UpdateRole(ctx, c.Caller.Account, in.RoleName, in.Description, seconds(in.MaxSessionDuration))
	return nil, err
}

// instanceProfiles lists none: no role is an EC2 instance's here. Terraform asks before it deletes any role.
func (a *api) instanceProfiles(ctx context.Context, c *wire.Call, in *rolePageInput) (*instanceProfilesOutput, error) {
	_, _, err := a.find(ctx, c, iam.RoleKind, in.RoleName)
	return &instanceProfilesOutput{}, err
}

func (a *api) updateRoleDescription(ctx context.Context, c *wire.Call, in *updateRoleDescriptionInput) (*roleOutput, error) {
	e, err := a.people.UpdateRole(ctx, c.Caller.Account, in.RoleName, in.Description, nil)
	return &roleOutput{a.wholeRole(&e)}, err
}

func (a *api) setTrust(ctx context.Context, c *wire.Call, in *trustInput) (*struct{}, error) {
	return nil, a.people.SetTrust(ctx, c.Caller.Account, in.RoleName, in.PolicyDocument)
}

// Tags.

func tagEntity[In any, P interface {
	aimed[In]
	tags() []iam.Tag
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.TagEntity(ctx, c.Caller.Account, kind, name, P(in).tags())
	}
}

func untagEntity[In any, P interface {
	aimed[In]
	keys() []string
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.UntagEntity(ctx, c.Caller.Account, kind, name, P(in).keys())
	}
}

// An aimedPage names an entity and asks for a page of what it has.
type aimedPage[In any] interface {
	aimed[In]
	page() *paging
}

func listTags[In any, P aimedPage[In]](a *api) func(context.Context, *wire.Call, *In) (*listTagsOutput, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*listTagsOutput, error) {
		kind, name := P(in).target()
		_, e, err := a.find(ctx, c, kind, name)
		if err != nil {
			return nil, err
		}
		return tagPage(e.Tags, P(in).page())
	}
}

func tagPage(tags []iam.Tag, p *paging) (*listTagsOutput, error) {
	tags, out, err := page(tags, func(t iam.Tag) string { return t.Key }, p)
	return &listTagsOutput{out, tagsOut(tags)}, err
}

// Inline policies.

func putInline[In any, P interface {
	aimed[In]
	inline() string
	document() string
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.PutInline(ctx, c.Caller.Account, kind, name, P(in).inline(), P(in).document())
	}
}

// An aimedInline names an entity and one of its inline policies.
type aimedInline[In any] interface {
	aimed[In]
	inline() string
}

func getInline[In any, P aimedInline[In]](a *api) func(context.Context, *wire.Call, *In) (*inlineOutput, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*inlineOutput, error) {
		kind, name := P(in).target()
		o, e, err := a.find(ctx, c, kind, name)
		if err != nil {
			return nil, err
		}
		p, err := o.InlinePolicy(e, P(in).inline())
		if err != nil {
			return nil, err
		}
		out := &inlineOutput{PolicyName: p.Name, PolicyDocument: encoded(p.Document)}
		switch kind {
		case iam.UserKind:
			out.UserName = e.Name
		case iam.GroupKind:
			out.GroupName = e.Name
		case iam.RoleKind:
			out.RoleName = e.Name
		}
		return out, nil
	}
}

func deleteInline[In any, P aimedInline[In]](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.DeleteInline(ctx, c.Caller.Account, kind, name, P(in).inline())
	}
}

func listInline[In any, P aimedPage[In]](a *api) func(context.Context, *wire.Call, *In) (*listNamesOutput, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*listNamesOutput, error) {
		kind, name := P(in).target()
		o, e, err := a.find(ctx, c, kind, name)
		if err != nil {
			return nil, err
		}
		names := each(o.Inline(e), func(p *iam.InlinePolicy) string { return p.Name })
		names, p, err := page(names, func(s string) string { return s }, P(in).page())
		return &listNamesOutput{p, names}, err
	}
}

// Managed policies of entities, and what bounds them.

func attach[In any, P interface {
	aimed[In]
	arn() string
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.Attach(ctx, c.Caller.Account, kind, name, P(in).arn())
	}
}

func detach[In any, P interface {
	aimed[In]
	arn() string
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.Detach(ctx, c.Caller.Account, kind, name, P(in).arn())
	}
}

func arnOf(p *iam.ManagedPolicy) string { return p.ARN() }

// below are the policies whose paths begin with prefix.
func below(policies []*iam.ManagedPolicy, prefix string) []*iam.ManagedPolicy {
	return slices.DeleteFunc(slices.Clone(policies), func(p *iam.ManagedPolicy) bool { return !strings.HasPrefix(p.Path, prefix) })
}

func listAttached[In any, P interface {
	aimedPage[In]
	prefix() string
}](a *api) func(context.Context, *wire.Call, *In) (*listAttachedOutput, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*listAttachedOutput, error) {
		kind, name := P(in).target()
		o, e, err := a.find(ctx, c, kind, name)
		if err != nil {
			return nil, err
		}
		policies, p, err := page(below(o.Attached(e), P(in).prefix()), arnOf, P(in).page())
		return &listAttachedOutput{p, attachedOut(policies)}, err
	}
}

func putBoundary[In any, P interface {
	aimed[In]
	boundary() string
}](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.SetBoundary(ctx, c.Caller.Account, kind, name, P(in).boundary())
	}
}

func deleteBoundary[In any, P aimed[In]](a *api) func(context.Context, *wire.Call, *In) (*struct{}, error) {
	return func(ctx context.Context, c *wire.Call, in *In) (*struct{}, error) {
		kind, name := P(in).target()
		return nil, a.people.SetBoundary(ctx, c.Caller.Account, kind, name, "")
	}
}

// Managed policies.

func (a *api) createPolicy(ctx context.Context, c *wire.Call, in *createPolicyInput) (*policyOutput, error) {
	p, err := a.people.CreatePolicy(ctx, iam.ManagedPolicy{
		Account: c.Caller.Account, Name: in.PolicyName, Path: in.Path, Description: in.Description, Tags: in.tags(),
	}, in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	return a.getPolicy(ctx, c, &policyARN{p.ARN()})
}

// findPolicy finds a managed policy in the account as it is now.
func (a *api) findPolicy(ctx context.Context, c *wire.Call, arn string) (*iam.Roster, *iam.ManagedPolicy, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, nil, err
	}
	p, err := o.Policy(arn)
	return o, p, err
}

func (a *api) getPolicy(ctx context.Context, c *wire.Call, in *policyARN) (*policyOutput, error) {
	o, p, err := a.findPolicy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &policyOutput{wholePolicy(o, p)}, nil
}

func (a *api) deletePolicy(ctx context.Context, c *wire.Call, in *policyARN) (*struct{}, error) {
	return nil, a.people.DeletePolicy(ctx, c.Caller.Account, in.PolicyArn)
}

func (a *api) listPolicies(ctx context.Context, c *wire.Call, in *listPoliciesInput) (*listPoliciesOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	policies := below(o.Policies(in.Scope != "AWS", in.Scope != "Local"), prefix(in.PathPrefix))
	policies = slices.DeleteFunc(policies, func(p *iam.ManagedPolicy) bool {
		attached, bounded := o.UsedBy(p)
		switch in.PolicyUsageFilter {
		case "PermissionsPolicy":
			return len(attached) == 0
		case "PermissionsBoundary":
			return len(bounded) == 0
		}
		return in.OnlyAttached && len(attached) == 0
	})
	policies, p, err := page(policies, arnOf, &in.paging)
	return &listPoliciesOutput{p, each(policies, func(p *iam.ManagedPolicy) Policy { return policyOut(o, p) })}, err
}

func (a *api) createVersion(ctx context.Context, c *wire.Call, in *createVersionInput) (*versionOutput, error) {
	v, err := a.people.CreatePolicyVersion(ctx, c.Caller.Account, in.PolicyArn, in.PolicyDocument, in.SetAsDefault)
	return &versionOutput{versionOut(&v, in.SetAsDefault)}, err
}

func (a *api) getVersion(ctx context.Context, c *wire.Call, in *versionInput) (*versionOutput, error) {
	o, p, err := a.findPolicy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := o.Version(p, in.number())
	if err != nil {
		return nil, err
	}
	out := versionOut(v, v.Number == p.Default)
	out.Document = encoded(v.Document)
	return &versionOutput{out}, nil
}

func (a *api) deleteVersion(ctx context.Context, c *wire.Call, in *versionInput) (*struct{}, error) {
	return nil, a.people.DeletePolicyVersion(ctx, c.Caller.Account, in.PolicyArn, in.number())
}

func (a *api) setDefaultVersion(ctx context.Context, c *wire.Call, in *versionInput) (*struct{}, error) {
	return nil, a.people.SetDefaultVersion(ctx, c.Caller.Account, in.PolicyArn, in.number())
}

func (a *api) listVersions(ctx context.Context, c *wire.Call, in *policyPageInput) (*listVersionsOutput, error) {
	o, m, err := a.findPolicy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	// The newest comes first.
	order := func(v *iam.PolicyVersion) string { return strconv.Itoa(1<<31 - v.Number) }
	versions, p, err := page(o.Versions(m), order, &in.paging)
	return &listVersionsOutput{p, each(versions, func(v *iam.PolicyVersion) PolicyVersion { return versionOut(v, v.Number == m.Default) })}, err
}

func (a *api) listEntities(ctx context.Context, c *wire.Call, in *listEntitiesInput) (*listEntitiesOutput, error) {
	o, m, err := a.findPolicy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	attached, bounded := o.UsedBy(m)
	found := map[string]*iam.Entity{}
	for usage, entities := range map[string][]*iam.Entity{"PermissionsPolicy": attached, "PermissionsBoundary": bounded} {
		for _, e := range entities {
			if (in.PolicyUsageFilter == "" || in.PolicyUsageFilter == usage) && strings.HasPrefix(e.Path, prefix(in.PathPrefix)) &&
				(in.EntityFilter == "" || strings.EqualFold(in.EntityFilter, string(e.Kind))) {
				found[kindAndName(e)] = e
			}
		}
	}
	entities := each(slices.Sorted(maps.Keys(found)), func(k string) *iam.Entity { return found[k] })
	entities, p, err := page(entities, kindAndName, &in.paging)
	out := &listEntitiesOutput{paged: p}
	for _, e := range entities {
		switch e.Kind {
		case iam.UserKind:
			out.PolicyUsers = append(out.PolicyUsers, PolicyUser{e.Name, e.ID})
		case iam.GroupKind:
			out.PolicyGroups = append(out.PolicyGroups, PolicyGroup{e.Name, e.ID})
		case iam.RoleKind:
			out.PolicyRoles = append(out.PolicyRoles, PolicyRole{e.Name, e.ID})
		}
	}
	return out, err
}

func kindAndName(e *iam.Entity) string { return string(e.Kind) + "/" + e.Name }

func (a *api) tagPolicy(ctx context.Context, c *wire.Call, in *policyTagsInput) (*struct{}, error) {
	return nil, a.people.TagPolicy(ctx, c.Caller.Account, in.PolicyArn, in.tags())
}

func (a *api) untagPolicy(ctx context.Context, c *wire.Call, in *policyTagKeysInput) (*struct{}, error) {
	return nil, a.people.UntagPolicy(ctx, c.Caller.Account, in.PolicyArn, in.TagKeys)
}

func (a *api) listPolicyTags(ctx context.Context, c *wire.Call, in *policyPageInput) (*listTagsOutput, error) {
	_, p, err := a.findPolicy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return tagPage(p.Tags, &in.paging)
}
