package guard_test

import (
	"strings"
	"testing"

	"outcrop/policy"
	"outcrop/policy/guard"
	"outcrop/policy/lint"
)

const (
	account = "123456789012"
	alpha   = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghij12"
	beta    = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/zyxwvutsrq98"
	system  = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
	nova    = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
	nowhere = "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0"
	claude  = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
)

// everything is the policy of somebody who could do all: what a boundary, a guardrail or a Deny must still hold back.
const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// asker writes the policy, lints it, and returns who asks it: beside a policy that allows everything, or by itself.
func asker(t *testing.T, c guard.Config, besides bool) func(action, resource string, with ...string) bool {
	t.Helper()
	document, err := guard.Write(c)
	if err != nil {
		t.Fatal(err)
	}
	kind := lint.Identity
	if c.Kind == guard.ServiceControl {
		kind = lint.ServiceControl
	}
	if found := lint.Policy(kind, document); len(found) > 0 {
		t.Errorf("what is written has %+v\n%s", found, document)
	}
	all, err := policy.Parse("all", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("guard", document)
	if err != nil {
		t.Fatal(err)
	}
	var set policy.Set
	switch c.Kind {
	case guard.Identity:
		set.Identity = []*policy.Policy{p}
		if besides {
			set.Identity = append(set.Identity, all)
		}
	case guard.Boundary:
		set.Identity, set.Boundary = []*policy.Policy{all}, []*policy.Policy{p}
	case guard.ServiceControl:
		set.Identity, set.Guardrail = []*policy.Policy{all}, []*policy.Policy{all, p}
	}
	return func(action, resource string, with ...string) bool {
		r := policy.Request{Action: "bedrock:" + action, Resource: resource, Context: policy.Context{}}
		for i := 0; i < len(with); i += 2 {
			r.Context[with[i]] = append(r.Context[with[i]], with[i+1])
		}
		return set.Decide(&r).Effect == policy.Allow
	}
}

const through = "bedrock:InferenceProfileArn"

var invocations = []string{"InvokeModel", "InvokeModelWithResponseStream"}

// A call is allowed where the profile and each model behind it are, which have the profile in their context.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
func TestByARN(t *testing.T) {
	for _, kind := range []guard.Kind{guard.Identity, guard.Boundary, guard.ServiceControl} {
		for _, besides := range []bool{false, true} {
			ask := asker(t, guard.Config{Kind: kind, Profiles: []guard.Profile{{ARN: alpha, Models: []string{"amazon.nova-lite-v1:0"}}}}, besides)
			for _, action := range invocations {
				for _, c := range []struct {
					what, resource string
					with           []string
					want           bool
				}{
					{"the profile", alpha, []string{through, alpha}, true},
					{"the profile, where the key is for models only", alpha, nil, true},
					{"the model behind it", nova, []string{through, alpha}, true},
					{"outside any Region", nowhere, []string{through, alpha}, true},
					{"the bare model", nova, nil, false},
					{"the bare model outside any Region", nowhere, nil, false},
					{"another bare model", claude, nil, false},
					{"another profile", beta, []string{through, beta}, false},
					{"the model behind another profile", nova, []string{through, beta}, false},
					{"a system-defined profile", system, []string{through, system}, false},
					{"its model", nova, []string{through, system}, false},
					{"a custom model", "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghij12", nil, false},
				} {
					if got := ask(action, c.resource, c.with...); got != c.want {
						t.Errorf("kind %d, beside a policy that allows all %v: %s on %s is %v", kind, besides, action, c.what, got)
					}
				}
			}
			if !ask("ListInferenceProfiles", "*") || !ask("GetInferenceProfile", alpha) {
				t.Errorf("kind %d: profiles are not to be found", kind)
			}
			if got, want := ask("DeleteInferenceProfile", alpha), kind != guard.Identity || besides; got != want {
				t.Errorf("kind %d, beside a policy that allows all %v: deleting is %v", kind, besides, got)
			}
		}
	}
}

func TestByTag(t *testing.T) {
	for _, kind := range []guard.Kind{guard.Identity, guard.Boundary, guard.ServiceControl} {
		for _, value := range []string{"", "growth"} {
			ask := asker(t, guard.Config{Kind: kind, Tag: "team", Value: value, Account: account}, true)
			for _, c := range []struct {
				what, action, resource string
				with                   []string
				want                   bool
			}{
				{"the team's profile", "InvokeModel", alpha, []string{"aws:ResourceTag/team", "growth", through, alpha}, true},
				{"its stream", "InvokeModelWithResponseStream", alpha, []string{"aws:ResourceTag/team", "growth", through, alpha}, true},
				{"its model", "InvokeModel", nova, []string{through, alpha}, true},
				{"its model outside any Region", "InvokeModelWithResponseStream", nowhere, []string{through, alpha}, true},
				{"another team's", "InvokeModel", beta, []string{"aws:ResourceTag/team", "risk", through, beta}, false},
				{"nobody's", "InvokeModel", beta, []string{through, beta}, false},
				{"the team's and another's, by the case of the key", "InvokeModel", beta, []string{"aws:ResourceTag/team", "risk", "aws:ResourceTag/Team", "growth", through, beta}, false},
				{"the bare model", "InvokeModel", nova, nil, false},
				{"the bare model's stream", "InvokeModelWithResponseStream", nova, nil, false},
				{"a system-defined profile", "InvokeModel", system, []string{through, system}, false},
				{"the model behind it", "InvokeModel", nova, []string{through, system}, false},

				{"making one for the team", "CreateInferenceProfile", alpha, []string{"aws:RequestTag/team", "growth", "aws:TagKeys", "team"}, true},
				{"tagging it as it is made", "TagResource", alpha, []string{"aws:RequestTag/team", "growth", "aws:TagKeys", "team"}, true},
				{"making one of a model", "CreateInferenceProfile", nova, nil, true},
				{"making one for another", "CreateInferenceProfile", alpha, []string{"aws:RequestTag/team", "risk", "aws:TagKeys", "team"}, false},
				{"making one for nobody", "CreateInferenceProfile", alpha, nil, false},
				{"giving one away", "TagResource", alpha, []string{"aws:ResourceTag/team", "growth", "aws:RequestTag/team", "risk", "aws:TagKeys", "team"}, false},
				{"taking one", "TagResource", beta, []string{"aws:ResourceTag/team", "risk", "aws:RequestTag/team", "growth", "aws:TagKeys", "team"}, false},
				{"taking one by the case of the key", "TagResource", beta, []string{"aws:ResourceTag/team", "risk", "aws:RequestTag/Team", "growth", "aws:TagKeys", "Team"}, false},
				{"another tag", "TagResource", alpha, []string{"aws:ResourceTag/team", "growth", "aws:RequestTag/app", "chat", "aws:TagKeys", "app"}, true},
				{"losing the tag", "UntagResource", alpha, []string{"aws:ResourceTag/team", "growth", "aws:TagKeys", "team"}, false},
				{"losing another tag", "UntagResource", alpha, []string{"aws:ResourceTag/team", "growth", "aws:TagKeys", "app"}, true},
			} {
				with := c.with
				if value == "" {
					with = append([]string{"aws:PrincipalTag/team", "growth"}, with...)
				}
				if got := ask(c.action, c.resource, with...); got != c.want {
					t.Errorf("kind %d, value %q: %s is %v", kind, value, c.what, got)
				}
			}
			if value == "" && (ask("InvokeModel", alpha, "aws:ResourceTag/team", "growth", through, alpha) || ask("InvokeModel", alpha, through, alpha)) {
				t.Errorf("kind %d: a caller without the tag may call", kind)
			}
		}
	}
}

// The denials are not for those who are excepted.
func TestExcept(t *testing.T) {
	ask := asker(t, guard.Config{
		Kind: guard.ServiceControl, Profiles: []guard.Profile{{ARN: alpha}}, Except: []string{"arn:aws:iam::*:role/Platform*"},
	}, true)
	for who, want := range map[string]bool{"arn:aws:iam::123456789012:role/PlatformAdmin": true, "arn:aws:iam::123456789012:user/alice": false} {
		if ask("InvokeModel", nova, "aws:PrincipalArn", who) != want {
			t.Errorf("%s: not %v", who, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []guard.Config{
		{}, {Tag: "team", Profiles: []guard.Profile{{ARN: alpha}}}, {Tag: "te*m", Account: account}, {Tag: "team", Value: "${aws:username}", Account: account},
	} {
		if d, err := guard.Write(c); err == nil {
			t.Errorf("%+v: %s", c, d)
		}
	}
	d, err := guard.Write(guard.Config{Profiles: []guard.Profile{{ARN: strings.Replace(alpha, "arn:aws:", "arn:aws-cn:", 1), Models: []string{"m"}}}, Partition: "aws-cn"})
	if err != nil || !strings.Contains(string(d), "arn:aws-cn:bedrock:*::foundation-model/m") {
		t.Errorf("%s, %v", d, err)
	}
}
