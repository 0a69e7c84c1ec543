// Package sts is the front end of the AWS Security Token Service: who is calling, and temporary credentials.
package sts

import (
	"context"
	"time"

	"outcrop/iam"
	"outcrop/wire"
)

// New returns the service. It asks guard itself where who calls is known only from a token that issuers prove.
func New(people *iam.Directory, guard wire.Guard, issuers *iam.Issuers) *wire.Service {
	a := &api{people, guard, issuers}
	return &wire.Service{
		Name: "sts", SigningName: "sts", Protocol: wire.AWSQuery,
		Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(wire.Row{
				Name: "GetCallerIdentity", Action: "sts:GetCallerIdentity",
				// "No permissions are required to perform this operation. If an administrator attaches a policy to
				// your identity that explicitly denies access [...], you can still perform this operation."
				// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
				Checked: "nobody: AWS allows it always",
			}, nil, getCallerIdentity),
			wire.Handle(wire.Row{Name: "AssumeRole", Action: assumeRole}, a.mayAssume, a.assume),
			wire.Handle(wire.Row{
				Name: "AssumeRoleWithWebIdentity", Action: assumeWithWebIdentity, Open: true, MaxBody: 64 << 10,
				Checked: "api/sts: the caller is known from the token",
			}, nil, a.assumeWithWebIdentity),
			wire.Handle(wire.Row{
				Name: "GetSessionToken", Action: "sts:GetSessionToken",
				// "No permissions are required for users to perform this operation."
				// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getsessiontoken.html
				Checked: "nobody: AWS allows it always",
			}, nil, a.sessionToken),
			wire.Handle(wire.Row{Name: "GetAccessKeyInfo", Action: "sts:GetAccessKeyInfo"}, nil, a.keyInfo),
		},
	}
}

type api struct {
	people  *iam.Directory
	guard   wire.Guard
	issuers *iam.Issuers
}

const (
	assumeRole            = "sts:AssumeRole"
	assumeWithWebIdentity = "sts:AssumeRoleWithWebIdentity"
)

func getCallerIdentity(_ context.Context, c *wire.Call, _ *getCallerIdentityInput) (*getCallerIdentityOutput, error) {
	return &getCallerIdentityOutput{Arn: c.Caller.ARN, UserID: c.Caller.ID, Account: c.Caller.Account}, nil
}

func (a *api) mayAssume(c *wire.Call, in *assumeRoleInput) ([]iam.Access, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return a.people.MayAssume(&c.Caller, assumeRole, in.request(), nil)
}

func (a *api) assume(_ context.Context, c *wire.Call, in *assumeRoleInput) (*assumeRoleOutput, error) {
	got, err := a.people.AssumeRole(&c.Caller, in.request())
	if err != nil {
		return nil, err
	}
	return &assumeRoleOutput{
		Credentials: credentialsOf(got), AssumedRoleUser: assumedRoleUser{Arn: got.ARN, AssumedRoleID: got.CallerID},
		PackedPolicySize: got.Packed, tokenSize: sizeOf(got), SourceIdentity: got.SourceIdentity,
	}, nil
}

func (a *api) assumeWithWebIdentity(ctx context.Context, c *wire.Call, in *assumeWithWebIdentityInput) (*assumeWithWebIdentityOutput, error) {
	id, err := a.issuers.Verify(ctx, in.WebIdentityToken)
	if err != nil {
		return nil, err
	}
	c.Caller = id.Caller(c.Caller, in.RoleArn)
	defer func() { c.Caller.Account = a.people.AccountOf(in.RoleArn) }() // whose record tells of the call
	r := in.request(id)
	access, err := a.people.MayAssume(&c.Caller, assumeWithWebIdentity, r, id.Claims())
	if err != nil {
		return nil, err
	}
	if err := a.guard.Check(ctx, c.ID, &c.Caller, access); err != nil {
		return nil, err
	}
	got, err := a.people.AssumeRole(&c.Caller, r)
	if err != nil {
		return nil, err
	}
	return &assumeWithWebIdentityOutput{
		Credentials: credentialsOf(got), SubjectFromWebIdentityToken: id.Subject, AssumedRoleUser: assumedRoleUser{Arn: got.ARN, AssumedRoleID: got.CallerID},
		PackedPolicySize: got.Packed, tokenSize: sizeOf(got), Provider: c.Caller.Provider, Audience: id.Audience, SourceIdentity: got.SourceIdentity,
	}, nil
}

func (a *api) sessionToken(_ context.Context, c *wire.Call, in *getSessionTokenInput) (*getSessionTokenOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	got, err := a.people.GetSessionToken(&c.Caller, seconds(in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &getSessionTokenOutput{credentialsOf(got), sizeOf(got)}, nil
}

func (a *api) keyInfo(ctx context.Context, c *wire.Call, in *getAccessKeyInfoInput) (*getAccessKeyInfoOutput, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	account, err := o.KeyAccount(in.AccessKeyID)
	return &getAccessKeyInfoOutput{account}, err
}

func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}
