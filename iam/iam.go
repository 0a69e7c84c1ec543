// Package iam knows who is calling and decides, through package policy, whether they may. It holds accounts, users and
// access keys; it verifies AWS Signature Version 4 on the raw request; and Guard.Check decides and records in one call.
package iam

import (
	"time"

	"outcrop/policy"
)

// Caller is an authenticated principal and what its credentials say of the request. It is passed explicitly, never
// hidden in a context.
type Caller struct {
	Account     string // 12 digits
	ARN         string // arn:aws:iam::000000000000:user/alice, or ...:root
	ID          string // the principal's unique id: AIDA... for a user, the account for root
	UserName    string // "" for root
	Root        bool   // the account's root: allowed everything in its own account
	AccessKeyID string
	Region      string // from the signature's scope: the source Region of the call
	Service     string // from the signature's scope: "bedrock", "ce", "sts"

	policies []*policy.Policy // the identity-based policies as of authentication
}

// Access is one thing to be allowed: an action on a resource, with the context keys that only the request's domain
// knows. Guard.Check adds the keys that come with the caller and the request itself (aws:PrincipalArn,
// aws:RequestedRegion unless given here, aws:CurrentTime, aws:SourceIp and so on).
type Access struct {
	Action   string
	Resource string
	Context  policy.Context
}

// Decision is one answer of Guard.Check, as it is recorded.
type Decision struct {
	Time      time.Time
	RequestID string
	Caller    *Caller
	Access    Access
	policy.Decision
}
