// Package arn parses and formats Amazon Resource Names.
package arn

import (
	"fmt"
	"strings"
)

// ARN is the six parts of an Amazon Resource Name, without the leading "arn".
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type ARN struct {
	Partition string // aws, aws-us-gov, aws-cn, aws-iso, aws-iso-b
	Service   string // bedrock
	Region    string // may be empty
	Account   string // 12 digits, or empty for what no account owns
	Resource  string // everything after the fifth colon: "inference-profile/us.x-v1:0"
}

// Parse splits s. It checks the shape (six parts, none but Region and Account empty), not whether the parts exist.
func Parse(s string) (ARN, error) {
	var a ARN
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return a, fmt.Errorf("%q does not start with arn:", s)
	}
	for i, p := range []*string{&a.Partition, &a.Service, &a.Region, &a.Account} {
		if *p, rest, ok = strings.Cut(rest, ":"); !ok {
			return ARN{}, fmt.Errorf("%q has %d parts, want 6", s, i+2)
		}
	}
	a.Resource = rest
	if a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, fmt.Errorf("%q has an empty partition, service or resource", s)
	}
	return a, nil
}

// String joins the parts again.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Split cuts the resource at its first slash: "inference-profile/us.x" is "inference-profile" and "us.x".
// A resource without a slash is all type.
func (a ARN) Split() (kind, id string) {
	kind, id, _ = strings.Cut(a.Resource, "/")
	return kind, id
}

// Partition returns the partition that a Region belongs to; "aws" for what is not known.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-isob-"):
		return "aws-iso-b"
	case strings.HasPrefix(region, "us-iso-"):
		return "aws-iso"
	}
	return "aws"
}

// FoundationModel returns a foundation model's ARN in region. Region "" is the form in which a global profile names
// its model wherever it runs: arn:aws:bedrock:::foundation-model/X.
func FoundationModel(region, modelID string) string {
	return "arn:" + Partition(region) + ":bedrock:" + region + "::foundation-model/" + modelID
}

// SystemProfile returns the ARN of a system-defined inference profile as account sees it in region.
func SystemProfile(region, account, profileID string) string {
	return "arn:" + Partition(region) + ":bedrock:" + region + ":" + account + ":inference-profile/" + profileID
}

// ApplicationProfile returns the ARN of an application inference profile.
func ApplicationProfile(region, account, id string) string {
	return "arn:" + Partition(region) + ":bedrock:" + region + ":" + account + ":application-inference-profile/" + id
}

// Guardrail returns a guardrail's ARN.
func Guardrail(region, account, id string) string {
	return "arn:" + Partition(region) + ":bedrock:" + region + ":" + account + ":guardrail/" + id
}
