// Package guard writes the policies that make inference profiles compulsory: whoever they bind calls models through the
// profiles named, or through those whose tag is theirs, and in no other way. It is pure.
package guard

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what the policy is for.
type Kind uint8

// The kinds.
const (
	Identity       Kind = iota // allows what it does not deny: attached to users, groups and roles
	Boundary                   // a permissions boundary: as Identity, but bounds only, and lets through what else Bedrock and cost reports have
	ServiceControl             // denies only: it stands beside FullAWSAccess
)

// Profile is an inference profile that may be used.
type Profile struct {
	ARN    string
	Models []string // the ids of the models behind it
}

// Config says what is compulsory: Profiles, or a Tag.
type Config struct {
	Kind     Kind
	Profiles []Profile

	// Tag is the key of a tag: profiles of Account whose value is Value may be used, or where there is no Value, the
	// value of the caller's own tag of that key.
	Tag, Value string
	Account    string // 12 digits; "*" for the account whoever is bound belongs to
	Partition  string // "" is "aws"

	Calls  []string // those that are allowed, of Calls; nil is all of them. What is denied is denied to all
	Except []string // ARN patterns of principals that the denials are not for
}

type statement struct {
	Sid         string
	Effect      string
	Action      []string
	Resource    []string                       `json:",omitempty"`
	NotResource []string                       `json:",omitempty"`
	Condition   map[string]map[string][]string `json:",omitempty"`
}

// Calls are the actions that calls of models are authorized as.
var Calls = []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}

// besides is what a boundary lets through besides. Nothing of IAM: who may take a boundary away is not bounded.
var besides = []string{"bedrock:*", "ce:Get*", "ce:List*", "tag:Get*", "cloudtrail:LookupEvents", "sts:GetCallerIdentity"}

const profileKey = "bedrock:InferenceProfileArn"

// Write returns the policy, indented, in version 2012-10-17.
//
// Calls are authorized on the profile and on each model behind it, the models with the profile in
// bedrock:InferenceProfileArn. So a model is denied where that key is missing or names another profile, and so is every
// other thing that can be invoked. Source: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
func Write(c Config) ([]byte, error) {
	switch {
	case len(c.Profiles) == 0 && c.Tag == "":
		return nil, errors.New("which profiles? Name some, or a tag")
	case len(c.Profiles) > 0 && c.Tag != "":
		return nil, errors.New("profiles are named, or found by a tag: not both")
	case strings.ContainsAny(c.Tag+c.Value, "*?${}"):
		return nil, errors.New("a tag's key and value have no *, ?, $ and braces here")
	}
	if c.Calls == nil {
		c.Calls = Calls
	}
	if c.Partition == "" {
		c.Partition = "aws"
	}
	statements := c.byARN()
	if c.Tag != "" {
		statements = c.byTag()
	}
	var kept []statement
	if c.Kind == Boundary {
		kept = append(kept, statement{Sid: "Besides", Effect: "Allow", Action: besides, Resource: []string{"*"}})
	}
	for _, s := range statements {
		switch {
		case s.Effect == "Allow" && c.Kind != Identity:
			continue
		case s.Effect == "Deny" && len(c.Except) > 0:
			s.and("ArnNotLike", "aws:PrincipalArn", c.Except...)
		}
		kept = append(kept, s)
	}
	return json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", kept}, json.Deterministic(true), jsontext.WithIndent("  "), jsontext.EscapeForHTML(false))
}

// use is what is allowed of a profile.
func (c *Config) use() []string { return append(slices.Clone(c.Calls), "bedrock:GetInferenceProfile") }

// and adds a condition.
func (s *statement) and(operator, key string, values ...string) {
	if s.Condition == nil {
		s.Condition = map[string]map[string][]string{}
	}
	if s.Condition[operator] == nil {
		s.Condition[operator] = map[string][]string{}
	}
	s.Condition[operator][key] = values
}

// models is the ARN pattern of a model, in any Region and, for global profiles, in none.
func (c *Config) models(id string) string {
	return "arn:" + c.Partition + ":bedrock:*::foundation-model/" + id
}

func (c *Config) byARN() []statement {
	var arns, models []string
	for _, p := range c.Profiles {
		arns = append(arns, p.ARN)
		for _, m := range p.Models {
			models = append(models, c.models(m))
		}
	}
	slices.Sort(arns)
	slices.Sort(models)
	arns, models = slices.Compact(arns), slices.Compact(models)
	out := []statement{{Sid: "UseProfiles", Effect: "Allow", Action: c.use(), Resource: arns}}
	behind := statement{Sid: "UseModelsBehindProfiles", Effect: "Allow", Action: c.Calls, Resource: models}
	behind.and("ArnEquals", profileKey, arns...)
	return append(append(out, behind, find), c.denials(arns)...)
}

var find = statement{Sid: "FindProfiles", Effect: "Allow", Action: []string{"bedrock:ListInferenceProfiles"}, Resource: []string{"*"}}

// denials deny all that can be invoked but profiles, and models that are not behind one of them.
func (c *Config) denials(profiles []string) []statement {
	bare := statement{Sid: "NoModelsButBehindProfiles", Effect: "Deny", Action: Calls, Resource: []string{c.models("*")}}
	bare.and("ArnNotLike", profileKey, profiles...)
	return []statement{bare, {
		Sid: "NothingElse", Effect: "Deny", Action: Calls, NotResource: append(slices.Clone(profiles), c.models("*")),
	}}
}

func (c *Config) byTag() []statement {
	value := c.Value
	if value == "" {
		value = "${aws:PrincipalTag/" + c.Tag + "}"
	}
	profiles := []string{"arn:" + c.Partition + ":bedrock:*:" + c.Account + ":application-inference-profile/*"}
	ofResource, ofRequest := "aws:ResourceTag/"+c.Tag, "aws:RequestTag/"+c.Tag
	deny := func(sid, action string) statement {
		return statement{Sid: sid, Effect: "Deny", Action: []string{action}, Resource: profiles}
	}
	own := statement{Sid: "UseOwnProfiles", Effect: "Allow", Action: c.use(), Resource: profiles}
	own.and("StringEquals", ofResource, value)
	behind := statement{Sid: "UseModelsBehindProfiles", Effect: "Allow", Action: c.Calls, Resource: []string{c.models("*")}}
	behind.and("ArnLike", profileKey, profiles...)
	others := statement{Sid: "NoProfilesOfOthers", Effect: "Deny", Action: Calls, Resource: profiles}
	others.and("StringNotEquals", ofResource, value)

	// Whoever may tag could make a profile theirs, or theirs another's.
	create := deny("MakeOwnProfilesOnly", "bedrock:CreateInferenceProfile")
	create.and("StringNotEquals", ofRequest, value)
	give := deny("GiveNoProfileAway", "bedrock:TagResource")
	give.and("ForAnyValue:StringEqualsIgnoreCase", "aws:TagKeys", c.Tag)
	give.and("StringNotEquals", ofRequest, value)
	take := deny("TakeNoProfileOfOthers", "bedrock:TagResource")
	take.and("ForAnyValue:StringEqualsIgnoreCase", "aws:TagKeys", c.Tag)
	take.and("Null", ofResource, "false")
	take.and("StringNotEquals", ofResource, value)
	untag := deny("KeepTheTag", "bedrock:UntagResource")
	untag.and("ForAnyValue:StringEqualsIgnoreCase", "aws:TagKeys", c.Tag)
	return append(append([]statement{own, behind, find}, c.denials(profiles)...), others, create, give, take, untag)
}
