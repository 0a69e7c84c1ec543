// Package sts is the front end of the AWS Security Token Service: GetCallerIdentity, which nearly every tool calls
// first.
package sts

import (
	"context"

	"outcrop/fault"
	"outcrop/wire"
)

// New returns the service. It holds nothing: who is calling is known from the request.
func New() *wire.Service {
	return &wire.Service{
		Name: "sts", SigningName: "sts", Protocol: wire.AWSQuery,
		Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Exception: exception,
		Ops: []wire.Op{
			wire.Handle(wire.Row{
				Name: "GetCallerIdentity", Action: "sts:GetCallerIdentity",
				// "No permissions are required to perform this operation. If an administrator attaches a policy to
				// your identity that explicitly denies access [...], you can still perform this operation."
				// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
				Checked: "nobody: AWS allows it always",
			}, nil, getCallerIdentity),
		},
	}
}

// GetCallerIdentityInput has no members.
type GetCallerIdentityInput struct{}

// GetCallerIdentityOutput is who is calling.
type GetCallerIdentityOutput struct {
	Arn     string `json:"Arn"`
	UserID  string `json:"UserId"` // of the account's root: the account
	Account string `json:"Account"`
}

func getCallerIdentity(_ context.Context, c *wire.Call, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	return &GetCallerIdentityOutput{Arn: c.Caller.ARN, UserID: c.Caller.ID, Account: c.Caller.Account}, nil
}

// exceptions are what the service calls each kind of fault; the query protocol's codes have no "Exception".
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
var exceptions = map[fault.Kind]wire.Exception{
	fault.Internal:     {Code: "InternalFailure", Status: 500},
	fault.Validation:   {Code: "ValidationError", Status: 400},
	fault.AccessDenied: {Code: "AccessDenied", Status: 403},
	fault.Throttled:    {Code: "Throttling", Status: 400},
	fault.Unavailable:  {Code: "ServiceUnavailable", Status: 503},
}

func exception(k fault.Kind) (wire.Exception, bool) {
	e, ok := exceptions[k]
	return e, ok
}
