package sts

import (
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// The inputs and outputs, with the constraints of the service model of 2011-06-15.

type getCallerIdentityInput struct{}

// getCallerIdentityOutput is who is calling.
type getCallerIdentityOutput struct {
	Arn     string `json:"Arn"`
	UserID  string `json:"UserId"` // of the account's root: the account
	Account string `json:"Account"`
}

// roleInput is what both operations that assume a role take.
type roleInput struct {
	RoleArn         string             `json:"RoleArn" required:"true" min:"20" max:"2048"`
	RoleSessionName string             `json:"RoleSessionName" required:"true" min:"2" max:"64" pattern:"^[\\w+=,.@-]*$"`
	PolicyArns      []policyDescriptor `json:"PolicyArns"`
	DurationSeconds *int32             `json:"DurationSeconds" min:"900" max:"43200"`
}

type policyDescriptor struct {
	ARN string `json:"arn" required:"true" min:"20" max:"2048"`
}

func (r *roleInput) request() *iam.AssumeRequest {
	out := &iam.AssumeRequest{Role: r.RoleArn, Session: r.RoleSessionName, Duration: seconds(r.DurationSeconds)}
	for _, p := range r.PolicyArns {
		out.Policies = append(out.Policies, p.ARN)
	}
	return out
}

type assumeRoleInput struct {
	roleInput
	Policy            string   `json:"Policy" min:"1" max:"131072" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+$"`
	Tags              []tag    `json:"Tags" max:"50"`
	TransitiveTagKeys []string `json:"TransitiveTagKeys" max:"50" each.min:"1" each.max:"128" each.pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+$"`
	ExternalID        string   `json:"ExternalId" min:"2" max:"1224" pattern:"^[\\w+=,.@:\\/-]*$"`
	SourceIdentity    string   `json:"SourceIdentity" min:"2" max:"64" pattern:"^[\\w+=,.@-]*$"`
	secondFactor
}

// secondFactor is for multi-factor authentication, which there is none of.
type secondFactor struct {
	SerialNumber *string `json:"SerialNumber" min:"9" max:"256"`
	TokenCode    *string `json:"TokenCode" min:"6" max:"6" sensitive:"true"`
}

func (f *secondFactor) check() error {
	if f.SerialNumber == nil && f.TokenCode == nil {
		return nil
	}
	return fault.New(fault.AccessDenied, "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
}

type tag struct {
	Key   string  `json:"Key" required:"true" min:"1" max:"128" pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+$"`
	Value *string `json:"Value" required:"true" max:"256" pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*$"`
}

func (in *assumeRoleInput) request() *iam.AssumeRequest {
	out := in.roleInput.request()
	out.Policy, out.Transitive, out.ExternalID, out.SourceIdentity = in.Policy, in.TransitiveTagKeys, in.ExternalID, in.SourceIdentity
	for _, t := range in.Tags {
		out.Tags = append(out.Tags, iam.Tag{Key: t.Key, Value: *t.Value})
	}
	return out
}

type assumeRoleOutput struct {
	Credentials      credentials     `json:"Credentials"`
	AssumedRoleUser  assumedRoleUser `json:"AssumedRoleUser"`
	PackedPolicySize *int            `json:"PackedPolicySize"`
	tokenSize
	SourceIdentity string `json:"SourceIdentity,omitzero"`
}

type assumeWithWebIdentityInput struct {
	roleInput
	WebIdentityToken string  `json:"WebIdentityToken" required:"true" min:"4" max:"20000" sensitive:"true"`
	ProviderID       *string `json:"ProviderId" min:"4" max:"2048"` // of OAuth 2.0 access tokens, of which none are taken
	Policy           string  `json:"Policy" min:"1" max:"2048" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+$"`
}

func (in *assumeWithWebIdentityInput) request(id *iam.Identity) *iam.AssumeRequest {
	out := in.roleInput.request()
	out.Policy, out.Tags, out.Transitive, out.SourceIdentity = in.Policy, id.Tags, id.Transitive, id.SourceIdentity
	return out
}

type assumeWithWebIdentityOutput struct {
	Credentials                 credentials     `json:"Credentials"`
	SubjectFromWebIdentityToken string          `json:"SubjectFromWebIdentityToken"`
	AssumedRoleUser             assumedRoleUser `json:"AssumedRoleUser"`
	PackedPolicySize            *int            `json:"PackedPolicySize"`
	tokenSize
	Provider       string `json:"Provider"`
	Audience       string `json:"Audience"`
	SourceIdentity string `json:"SourceIdentity,omitzero"`
}

type credentials struct {
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey"`
	SessionToken    string    `json:"SessionToken"`
	Expiration      time.Time `json:"Expiration"`
}

func credentialsOf(c *iam.SessionCredentials) credentials {
	return credentials{AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token, Expiration: c.Expires}
}

// tokenSize is what a session token takes up, which newer models tell in the place of PackedPolicySize.
type tokenSize struct {
	SessionTokenSize        int `json:"SessionTokenSize"`        // bytes
	SessionTokenUtilization int `json:"SessionTokenUtilization"` // percent
}

func sizeOf(c *iam.SessionCredentials) tokenSize {
	return tokenSize{len(c.Token), (100*len(c.Token) + iam.MaxToken - 1) / iam.MaxToken}
}

type assumedRoleUser struct {
	AssumedRoleID string `json:"AssumedRoleId"`
	Arn           string `json:"Arn"`
}

type getSessionTokenInput struct {
	DurationSeconds *int32 `json:"DurationSeconds" min:"900" max:"129600"`
	secondFactor
}

type getSessionTokenOutput struct {
	Credentials credentials `json:"Credentials"`
	tokenSize
}

type getAccessKeyInfoInput struct {
	AccessKeyID string `json:"AccessKeyId" required:"true" min:"16" max:"128" pattern:"^[\\w]*$"`
}

type getAccessKeyInfoOutput struct {
	Account string `json:"Account"`
}
