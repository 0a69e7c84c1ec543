package iam

import (
	"cmp"
	"strconv"
	"strings"

	"outcrop/iam"
	"outcrop/policy"
	"outcrop/wire"
)

// What is authorized: the operation on the ARN of what it names, with its tags and its permissions boundary in the context.
// What is not there is asked for as the ARN that it would have, so that a caller learns nothing of what they may not see.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html

// entity is the access to an entity.
func (a *api) entity(c *wire.Call, kind iam.Kind, name string) iam.Access {
	if o := a.people.Served(c.Caller.Account); o != nil {
		if e, err := o.Entity(kind, name); err == nil {
			with := resourceTags(e.Tags)
			if e.Boundary != "" {
				with["iam:PermissionsBoundary"] = []string{e.Boundary}
			}
			return iam.Access{Resource: e.ARN(), Context: with}
		}
	}
	return iam.Access{Resource: "arn:aws:iam::" + c.Caller.Account + ":" + string(kind) + "/" + name, Context: policy.Context{}}
}

func resourceTags(tags []iam.Tag) policy.Context {
	with := policy.Context{}
	for _, t := range tags {
		with["aws:ResourceTag/"+t.Key] = []string{t.Value}
		with["iam:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return with
}

func requestTags(with policy.Context, tags []iam.Tag) policy.Context {
	var keys []string
	for _, t := range tags {
		with["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys = append(keys, t.Key)
	}
	if keys != nil {
		with["aws:TagKeys"] = keys
	}
	return with
}

// may is the access to the entity that an input names.
func may[In any, P aimed[In]](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		kind, name := P(in).target()
		return []iam.Access{a.entity(c, kind, name)}, nil
	}
}

func (a *api) mayUpdateUser(c *wire.Call, in *updateUserInput) ([]iam.Access, error) {
	return a.moved(c, iam.UserKind, in.UserName, in.NewUserName, in.NewPath), nil
}

func (a *api) mayUpdateGroup(c *wire.Call, in *updateGroupInput) ([]iam.Access, error) {
	return a.moved(c, iam.GroupKind, in.GroupName, in.NewGroupName, in.NewPath), nil
}

// moved is the access to an entity that gets another name, another path, or both: to what it is and to what it will be. Else
// whoever may change one user could make it any other, and what is allowed by name or path would be had by renaming.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html
func (a *api) moved(c *wire.Call, kind iam.Kind, name, newName, newPath string) []iam.Access {
	from, path := a.entity(c, kind, name), "/"
	if o := a.people.Served(c.Caller.Account); o != nil {
		if e, err := o.Entity(kind, name); err == nil {
			name, path = e.Name, e.Path
		}
	}
	to := from
	to.Resource = "arn:aws:iam::" + c.Caller.Account + ":" + string(kind) + cmp.Or(newPath, path) + cmp.Or(newName, name)
	if to.Resource == from.Resource {
		return []iam.Access{from}
	}
	return []iam.Access{from, to}
}

func mayTag[In any, P interface {
	aimed[In]
	tags() []iam.Tag
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		kind, name := P(in).target()
		access := a.entity(c, kind, name)
		requestTags(access.Context, P(in).tags())
		return []iam.Access{access}, nil
	}
}

func mayUntag[In any, P interface {
	aimed[In]
	keys() []string
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		kind, name := P(in).target()
		access := a.entity(c, kind, name)
		access.Context["aws:TagKeys"] = P(in).keys()
		return []iam.Access{access}, nil
	}
}

func mayAttach[In any, P interface {
	aimed[In]
	arn() string
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		kind, name := P(in).target()
		access := a.entity(c, kind, name)
		access.Context["iam:PolicyARN"] = []string{P(in).arn()}
		return []iam.Access{access}, nil
	}
}

func mayBound[In any, P interface {
	aimed[In]
	boundary() string
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		kind, name := P(in).target()
		access := a.entity(c, kind, name)
		access.Context["iam:PermissionsBoundary"] = []string{P(in).boundary()}
		return []iam.Access{access}, nil
	}
}

// creation is the access to an entity that is to be; with tags it is tagging too.
func creation(c *wire.Call, kind, path, name, boundary string, tags []iam.Tag) []iam.Access {
	arn, with := "arn:aws:iam::"+c.Caller.Account+":"+kind+cmp.Or(path, "/")+name, requestTags(policy.Context{}, tags)
	if boundary != "" {
		with["iam:PermissionsBoundary"] = []string{boundary}
	}
	access := []iam.Access{{Resource: arn, Context: with}}
	if len(tags) > 0 {
		access = append(access, iam.Access{Action: "iam:Tag" + strings.ToUpper(kind[:1]) + kind[1:], Resource: arn, Context: with})
	}
	return access
}

func (a *api) mayCreateUser(c *wire.Call, in *createUserInput) ([]iam.Access, error) {
	return creation(c, "user", in.Path, in.UserName, in.PermissionsBoundary, in.tags()), nil
}

func (a *api) mayCreateGroup(c *wire.Call, in *createGroupInput) ([]iam.Access, error) {
	return creation(c, "group", in.Path, in.GroupName, "", nil), nil
}

func (a *api) mayCreateRole(c *wire.Call, in *createRoleInput) ([]iam.Access, error) {
	return creation(c, "role", in.Path, in.RoleName, in.PermissionsBoundary, in.tags()), nil
}

func (a *api) mayCreatePolicy(c *wire.Call, in *createPolicyInput) ([]iam.Access, error) {
	return creation(c, "policy", in.Path, in.PolicyName, "", in.tags()), nil
}

func (a *api) mayList(kind iam.Kind) wire.Access[listInput] {
	return func(c *wire.Call, in *listInput) ([]iam.Access, error) {
		return []iam.Access{{Resource: "arn:aws:iam::" + c.Caller.Account + ":" + string(kind) + prefix(in.PathPrefix)}}, nil
	}
}

// mayListPolicies asks for what AWS asks for: a path, which is no ARN.
func (a *api) mayListPolicies(_ *wire.Call, in *listPoliciesInput) ([]iam.Access, error) {
	return []iam.Access{{Resource: "policy path " + prefix(in.PathPrefix)}}, nil
}

// managed is the access to a managed policy.
func (a *api) managed(c *wire.Call, arn string) iam.Access {
	with := policy.Context{}
	if o := a.people.Served(c.Caller.Account); o != nil {
		if p, err := o.Policy(arn); err == nil {
			with = resourceTags(p.Tags)
		}
	}
	return iam.Access{Resource: arn, Context: with}
}

func mayPolicy[In any, P interface {
	*In
	arn() string
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		return []iam.Access{a.managed(c, P(in).arn())}, nil
	}
}

func (a *api) mayTagPolicy(c *wire.Call, in *policyTagsInput) ([]iam.Access, error) {
	access := a.managed(c, in.PolicyArn)
	requestTags(access.Context, in.tags())
	return []iam.Access{access}, nil
}

func (a *api) mayUntagPolicy(c *wire.Call, in *policyTagKeysInput) ([]iam.Access, error) {
	access := a.managed(c, in.PolicyArn)
	access.Context["aws:TagKeys"] = in.TagKeys
	return []iam.Access{access}, nil
}

// mayOf is the access to a user, or to root where name is "".
func (a *api) mayOf(c *wire.Call, name string) iam.Access {
	if name == "" {
		return iam.Access{Resource: c.Caller.ARN, Context: policy.Context{}}
	}
	return a.entity(c, iam.UserKind, name)
}

func (a *api) mayOwn(c *wire.Call, in *optionalUser) ([]iam.Access, error) {
	return mayOfOwn[optionalUser](a)(c, in)
}

func mayOfOwn[In any, P interface {
	*In
	of(*wire.Call) (string, error)
}](a *api) wire.Access[In] {
	return func(c *wire.Call, in *In) ([]iam.Access, error) {
		name, err := P(in).of(c)
		if err != nil {
			return nil, err
		}
		return []iam.Access{a.mayOf(c, name)}, nil
	}
}

func (a *api) mayKey(c *wire.Call, in *keyIDInput) ([]iam.Access, error) {
	if o := a.people.Served(c.Caller.Account); o != nil {
		if user, ok := o.KeyOwner(in.AccessKeyID); ok && user != nil {
			return []iam.Access{a.entity(c, iam.UserKind, user.Name)}, nil
		}
	}
	return []iam.Access{{Resource: "access key " + in.AccessKeyID}}, nil
}

func (a *api) mayCreateCredential(c *wire.Call, in *createCredentialInput) ([]iam.Access, error) {
	access := a.entity(c, iam.UserKind, in.UserName)
	access.Context["iam:ServiceSpecificCredentialServiceName"] = []string{in.ServiceName}
	if in.CredentialAgeDays != nil {
		access.Context["iam:ServiceSpecificCredentialAgeDays"] = []string{strconv.Itoa(int(*in.CredentialAgeDays))}
	}
	return []iam.Access{access}, nil
}

func (a *api) mayListCredentials(c *wire.Call, in *listCredentialsInput) ([]iam.Access, error) {
	if in.AllUsers {
		return []iam.Access{{Resource: "arn:aws:iam::" + c.Caller.Account + ":user/"}}, nil
	}
	return mayOfOwn[listCredentialsInput](a)(c, in)
}
