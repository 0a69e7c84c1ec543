// Package accessanalyzer is the front end of AWS IAM Access Analyzer (access-analyzer, 2019-11-01) as far as it needs no
// analyzer: ValidatePolicy.
package accessanalyzer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"outcrop/fault"
	"outcrop/policy/lint"
	"outcrop/wire"
)

// New returns the service.
func New() *wire.Service {
	return &wire.Service{
		Name: "accessanalyzer", SigningName: "access-analyzer", Protocol: wire.RestJSON, Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(wire.Row{Name: "ValidatePolicy", Method: "POST", Path: "/policy/validation", Action: "access-analyzer:ValidatePolicy"}, nil, validatePolicy),
		},
	}
}

// maxPage is how many findings one answer has at most, and without maxResults.
const maxPage = 100

// trustPolicy is the resource type whose policy is a role's trust policy.
const trustPolicy = "AWS::IAM::AssumeRolePolicyDocument"

func validatePolicy(_ context.Context, _ *wire.Call, in *validatePolicyInput) (*validatePolicyOutput, error) {
	kind := map[string]lint.Kind{
		"IDENTITY_POLICY": lint.Identity, "RESOURCE_POLICY": lint.ResourceBased, "SERVICE_CONTROL_POLICY": lint.ServiceControl,
		"RESOURCE_CONTROL_POLICY": lint.ResourceControl,
	}[in.Type]
	if in.Resource != "" {
		if in.Type != "RESOURCE_POLICY" {
			return nil, fault.New(fault.Validation, "validatePolicyResourceType is only supported with the policy type RESOURCE_POLICY.")
		}
		if in.Resource == trustPolicy {
			kind = lint.Trust
		}
	}
	digest := sha256.Sum256([]byte(in.Type + "\x00" + in.Resource + "\x00" + *in.Document))
	from, ok := parseToken(in.NextToken, digest)
	if !ok {
		return nil, fault.New(fault.Validation, "nextToken is not valid for this request.")
	}
	limit := maxPage
	if in.MaxResults != nil {
		limit = min(*in.MaxResults, maxPage)
	}
	all := lint.Policy(kind, []byte(*in.Document))
	from = min(from, len(all))
	to := min(from+limit, len(all))
	out := &validatePolicyOutput{Findings: make([]finding, 0, to-from)}
	for _, f := range all[from:to] {
		out.Findings = append(out.Findings, findingOf(&f))
	}
	if to < len(all) {
		out.NextToken = token(to, digest)
	}
	return out, nil
}

// A token says where the next page begins, of which request. There is nothing in it to hide.
const tokenSize = 8 + 16

func token(from int, digest [sha256.Size]byte) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(from))
	return base64.RawURLEncoding.EncodeToString(append(b, digest[:tokenSize-8]...))
}

func parseToken(s string, digest [sha256.Size]byte) (from int, ok bool) {
	if s == "" {
		return 0, true
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != tokenSize || string(b[8:]) != string(digest[:tokenSize-8]) {
		return 0, false
	}
	n := binary.BigEndian.Uint64(b)
	return int(n), n <= 1<<20
}

func findingOf(f *lint.Finding) finding {
	out := finding{Details: f.Details, Type: string(f.Severity), Code: f.Code, LearnMore: f.LearnMore, Locations: make([]location, 0, len(f.Locations))}
	if f.Advice != "" {
		out.Details += " " + f.Advice
	}
	for _, l := range f.Locations {
		o := location{Path: make([]pathElement, 0, len(l.Path)), Span: span{position(l.Start), position(l.End)}}
		for _, e := range l.Path {
			o.Path = append(o.Path, pathElement(e))
		}
		out.Locations = append(out.Locations, o)
	}
	return out
}
