package iam

import (
	"context"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/wire"
)

// bedrockService is the service that long-term API keys are for.
const bedrockService = "bedrock.amazonaws.com"

func (a *api) createKey(ctx context.Context, c *wire.Call, in *optionalUser) (*createKeyOutput, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	cred, err := a.people.CreateAccessKey(ctx, c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	out := AccessKey{UserName: name, AccessKeyID: cred.ID, Status: statusOf(true), SecretAccessKey: cred.Secret}
	_, keys, err := a.keysOf(ctx, c, name)
	for _, k := range keys {
		if k.ID == cred.ID {
			out.CreateDate = k.CreatedAt
		}
	}
	return &createKeyOutput{out}, err
}

// keysOf are the access keys of a user, or of root where name is "", and the name as the user has it.
func (a *api) keysOf(ctx context.Context, c *wire.Call, name string) (string, []iam.AccessKey, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", o.Keys(nil), nil
	}
	u, err := o.Entity(iam.UserKind, name)
	if err != nil {
		return "", nil, err
	}
	return u.Name, o.Keys(u), nil
}

func (a *api) deleteKey(ctx context.Context, c *wire.Call, in *keyInput) (*struct{}, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	return nil, a.people.DeleteAccessKey(ctx, c.Caller.Account, name, in.AccessKeyID)
}

func (a *api) updateKey(ctx context.Context, c *wire.Call, in *updateKeyInput) (*struct{}, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	return nil, setStatus(ctx, c, name, in.AccessKeyID, in.Status, a.people.SetAccessKeyStatus)
}

// setStatus makes a key of a user active or inactive. The model has one status more, which time alone gives.
func setStatus(ctx context.Context, c *wire.Call, user, id, status string, set func(_ context.Context, account, user, id string, active bool) error) error {
	if status == "Expired" {
		return fault.New(fault.Validation, "A key cannot be made Expired. Set its status to Active or Inactive.")
	}
	return set(ctx, c.Caller.Account, user, id, status == "Active")
}

func (a *api) listKeys(ctx context.Context, c *wire.Call, in *optionalUserPageInput) (*listKeysOutput, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	name, keys, err := a.keysOf(ctx, c, name)
	if err != nil {
		return nil, err
	}
	keys, p, err := page(keys, func(k iam.AccessKey) string { return k.ID }, &in.paging)
	return &listKeysOutput{p, each(keys, func(k iam.AccessKey) AccessKeyMetadata {
		return AccessKeyMetadata{UserName: name, AccessKeyID: k.ID, Status: statusOf(k.Active), CreateDate: k.CreatedAt}
	})}, err
}

func (a *api) lastUsed(ctx context.Context, c *wire.Call, in *keyIDInput) (*lastUsedOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	user, ok := o.KeyOwner(in.AccessKeyID)
	if !ok {
		// In AWS's words, which say the same of a key that there is not and of another account's.
		return nil, fault.New(fault.AccessDenied, "User: %s is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key %s", c.Caller.ARN, in.AccessKeyID)
	}
	out := &lastUsedOutput{AccessKeyLastUsed: AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}
	if user != nil {
		out.UserName = user.Name
	}
	if use, ok := a.people.LastUse(in.AccessKeyID); ok {
		out.AccessKeyLastUsed = AccessKeyLastUsed{LastUsedDate: &use.Time, ServiceName: use.Service, Region: use.Region}
	}
	return out, nil
}

func (a *api) createCredential(ctx context.Context, c *wire.Call, in *createCredentialInput) (*credentialOutput, error) {
	_, u, err := a.find(ctx, c, iam.UserKind, in.UserName)
	if err != nil {
		return nil, err
	}
	if err := served(in.ServiceName); err != nil {
		return nil, err
	}
	days := 0
	if in.CredentialAgeDays != nil {
		days = int(*in.CredentialAgeDays)
	}
	key, token, err := a.people.CreateBearerKey(ctx, c.Caller.Account, in.UserName, days)
	return &credentialOutput{ServiceSpecificCredential{a.credentialOut(u.Name, &key, key.CreatedAt), token}}, err
}

// served refuses services that have no credentials of their own here.
func served(service string) error {
	if service != bedrockService {
		return fault.New(fault.NotFound, "No such service %s is supported for Service Specific Credentials", service)
	}
	return nil
}

func (a *api) credentialOut(user string, k *iam.BearerKey, now time.Time) CredentialMetadata {
	out := CredentialMetadata{
		UserName: user, Status: statusOf(k.Active), ServiceName: bedrockService, ServiceCredentialAlias: k.Alias, ServiceSpecificCredentialID: k.ID, CreateDate: k.CreatedAt,
	}
	if !k.ExpiresAt.IsZero() {
		out.ExpirationDate = &k.ExpiresAt
		if !now.Before(k.ExpiresAt) {
			out.Status = "Expired"
		}
	}
	return out
}

func (a *api) listCredentials(ctx context.Context, c *wire.Call, in *listCredentialsInput) (*listCredentialsOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	if in.ServiceName != "" {
		if err := served(in.ServiceName); err != nil {
			return nil, err
		}
	}
	users := o.Entities(iam.UserKind, "/")
	if !in.AllUsers {
		name, err := in.of(c)
		if err != nil {
			return nil, err
		}
		users = nil // root has none
		if name != "" {
			u, err := o.Entity(iam.UserKind, name)
			if err != nil {
				return nil, err
			}
			users = []*iam.Entity{u}
		}
	}
	var all []CredentialMetadata
	for _, u := range users {
		for _, k := range o.Bearers(u) {
			all = append(all, a.credentialOut(u.Name, &k, c.Start))
		}
	}
	all, p, err := page(all, func(m CredentialMetadata) string { return m.UserName + " " + m.ServiceSpecificCredentialID }, &in.paging) // no name has a space, or less
	return &listCredentialsOutput{p, all}, err
}

func (a *api) resetCredential(ctx context.Context, c *wire.Call, in *credentialInput) (*credentialOutput, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	_, u, err := a.find(ctx, c, iam.UserKind, name)
	if err != nil {
		return nil, err
	}
	key, token, err := a.people.ResetBearerKey(ctx, c.Caller.Account, name, in.ID)
	return &credentialOutput{ServiceSpecificCredential{a.credentialOut(u.Name, &key, c.Start), token}}, err
}

func (a *api) updateCredential(ctx context.Context, c *wire.Call, in *updateCredentialInput) (*struct{}, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	return nil, setStatus(ctx, c, name, in.ID, in.Status, a.people.SetBearerKeyStatus)
}

func (a *api) deleteCredential(ctx context.Context, c *wire.Call, in *credentialInput) (*struct{}, error) {
	name, err := in.of(c)
	if err != nil {
		return nil, err
	}
	return nil, a.people.DeleteBearerKey(ctx, c.Caller.Account, name, in.ID)
}
