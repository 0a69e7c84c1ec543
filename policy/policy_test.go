package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"outcrop/fault"
	"outcrop/policy"
)

func parse(t testing.TB, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("p", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	profileARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef123456"
	modelARN   = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
)

// statement makes a document of version 2012-10-17 from one statement's members.
func statement(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

// Sources: the user guide's pages on the elements, below
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
func TestParseErrors(t *testing.T) {
	const rest = `"Effect":"Allow","Action":"*","Resource":"*"`
	condition := func(c string) string { return statement(rest + `,"Condition":` + c) }
	tests := []struct{ doc, want string }{
		{``, "Syntax errors in policy. (the document, line 1, column 1: the document ends too early)"},
		{`{`, "Syntax errors in policy. (the document, line 1, column 2: the document ends too early)"},
		{`[]`, "Syntax errors in policy. (the document, line 1, column 1: must be an object)"},
		{`{"Version":"2012-10-17",}`, "Syntax errors in policy. (the document, line 1, column 24: not valid JSON)"},
		{`{"Version":"2012-10-17"}`, "Syntax errors in policy. (the document, line 1, column 1: Statement is missing)"},
		{statement(rest) + "x", "Syntax errors in policy. (the document, line 1, column 86: there is something after its end)"},
		{`{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}`, "Syntax errors in policy. (the document, line 1, column 25: a name stands twice in one object)"},
		{`{"Version":"2020-01-01","Statement":[{` + rest + `}]}`, `Syntax errors in policy. (Version, line 1, column 12: must be "2012-10-17" or "2008-10-17", not "2020-01-01")`},
		{`{"Version":2012,"Statement":[{` + rest + `}]}`, "Syntax errors in policy. (Version, line 1, column 12: must be a string)"},
		{`{"Id":["x"],"Statement":[{` + rest + `}]}`, "Syntax errors in policy. (Id, line 1, column 7: must be a string)"},
		{`{"version":"2012-10-17","Statement":[{` + rest + `}]}`, `Syntax errors in policy. (the document, line 1, column 2: unknown element "version")`},
		{`{"Statement":[]}`, "Syntax errors in policy. (Statement, line 1, column 14: must not be an empty list)"},
		{`{"Statement":"x"}`, "Syntax errors in policy. (Statement[0], line 1, column 14: must be an object)"},
		{`{"Statement":[{` + rest + `},[]]}`, "Syntax errors in policy. (Statement[1], line 1, column 62: must be an object)"},
		{statement(`"Action":"*","Resource":"*"`), "Syntax errors in policy. (Statement[0], line 1, column 38: Effect is missing)"},
		{statement(`"Effect":"allow","Action":"*","Resource":"*"`), `The policy failed legacy parsing (Statement[0].Effect, line 1, column 48: must be "Allow" or "Deny", not "allow")`},
		{statement(`"Effect":"Allow","Resource":"*"`), "Policy statement must contain actions. (Statement[0], line 1, column 38: Action is missing)"},
		{statement(`"Effect":"Allow","Action":"*"`), "Policy statement must contain resources. (Statement[0], line 1, column 38: Resource is missing)"},
		{statement(rest + `,"NotAction":"*"`), "Syntax errors in policy. (Statement[0], line 1, column 84: has both Action and NotAction)"},
		{statement(rest + `,"NotResource":"*"`), "Syntax errors in policy. (Statement[0], line 1, column 84: has both Resource and NotResource)"},
		{statement(rest + `,"Principal":"*"`), "Policy document should not specify a principal. (Statement[0].Principal, line 1, column 84: an identity-based policy must not name a principal)"},
		{statement(rest + `,"NotPrincipal":"*"`), "Policy document should not specify a principal. (Statement[0].NotPrincipal, line 1, column 84: an identity-based policy must not name a principal)"},
		{statement(rest + `,"Conditions":{}`), `Syntax errors in policy. (Statement[0], line 1, column 84: unknown element "Conditions")`},
		{statement(rest + `,"Sid":"a b"`), `Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]* (Statement[0].Sid, line 1, column 90: "a b" must be letters and digits only)`},
		{`{"Statement":[{"Sid":"a",` + rest + `},{"Sid":"a",` + rest + `}]}`, `Statement IDs (SID) in a single policy must be unique. (Statement[1].Sid, line 1, column 79: "a" stands twice)`},
		{statement(`"Effect":"Allow","Action":[],"Resource":"*"`), "Policy statement must contain actions. (Statement[0].Action, line 1, column 56: must not be an empty list)"},
		{statement(`"Effect":"Allow","Action":{},"Resource":"*"`), "Syntax errors in policy. (Statement[0].Action, line 1, column 65: must be a string or a list of strings)"},
		{statement(`"Effect":"Allow","Action":["a:B",1],"Resource":"*"`), "Syntax errors in policy. (Statement[0].Action, line 1, column 72: must be a string or a list of strings)"},
		{statement(`"Effect":"Allow","Action":"InvokeModel","Resource":"*"`), `Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. (Statement[0].Action, line 1, column 65: "InvokeModel" must be "*" or a service and an action, like "bedrock:InvokeModel")`},
		{statement(`"Effect":"Allow","NotAction":"bedrock:","Resource":"*"`), `Syntax errors in policy. (Statement[0].NotAction, line 1, column 68: "bedrock:" names no action of the service)`},
		{statement(`"Effect":"Allow","Action":"bed*:X","Resource":"*"`), `Vendor bed* is not valid (Statement[0].Action, line 1, column 65: "bed*:X" has a character that no service's name has)`},
		{statement(`"Effect":"Allow","Action":"bedrock:a b","Resource":"*"`), `Syntax errors in policy. (Statement[0].Action, line 1, column 65: "bedrock:a b" has a character that no action's name has)`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"bucket"`), `Resource bucket must be in ARN format or "*". (Statement[0].Resource, line 1, column 80: "bucket" must be an ARN or "*")`},
		{statement(`"Effect":"Allow","Action":"*","NotResource":""`), `Resource  must be in ARN format or "*". (Statement[0].NotResource, line 1, column 83: "" must be an ARN or "*")`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"ARN:aws:s3:::b"`), `Resource ARN:aws:s3:::b must be in ARN format or "*". (Statement[0].Resource, line 1, column 80: "ARN:aws:s3:::b" must be an ARN or "*")`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username"`), "Syntax errors in policy. (Statement[0].Resource, line 1, column 80: a ${ is not closed with })"},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${}"`), "Syntax errors in policy. (Statement[0].Resource, line 1, column 80: ${} is not a variable: it must name a condition key, like ${aws:username})"},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username, x}"`), "Syntax errors in policy. (Statement[0].Resource, line 1, column 80: the default value in ${aws:username, x} must stand in single quotes)"},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username, 'a'b''}"`), "Syntax errors in policy. (Statement[0].Resource, line 1, column 80: the default value in ${aws:username, 'a'b''} must not hold a single quote)"},
		{condition(`[]`), "Syntax errors in policy. (Statement[0].Condition, line 1, column 96: must be an object)"},
		{condition(`{"StringEquals":"x"}`), "Syntax errors in policy. (Statement[0].Condition.StringEquals, line 1, column 112: must be an object)"},
		{condition(`{"StringEqual":{"aws:username":"x"}}`), "Syntax errors in policy. (Statement[0].Condition.StringEqual, line 1, column 97: unknown condition operator)"},
		{condition(`{"stringequals":{"aws:username":"x"}}`), "Syntax errors in policy. (Statement[0].Condition.stringequals, line 1, column 97: unknown condition operator)"},
		{condition(`{"ForSomeValues:StringEquals":{"aws:username":"x"}}`), "Syntax errors in policy. (Statement[0].Condition.ForSomeValues:StringEquals, line 1, column 97: unknown condition operator)"},
		{condition(`{"NullIfExists":{"aws:username":"true"}}`), "Syntax errors in policy. (Statement[0].Condition.NullIfExists, line 1, column 97: Null takes neither IfExists nor a set operator)"},
		{condition(`{"ForAnyValue:Null":{"aws:username":"true"}}`), "Syntax errors in policy. (Statement[0].Condition.ForAnyValue:Null, line 1, column 97: Null takes neither IfExists nor a set operator)"},
		{condition(`{"StringEquals":{"aws:username":null}}`), "Syntax errors in policy. (Statement[0].Condition.StringEquals.aws:username, line 1, column 128: must be a string or a list of strings)"},
		{condition(`{"NumericEquals":{"a:b":"1e3"}}`), `Syntax errors in policy. (Statement[0].Condition.NumericEquals.a:b, line 1, column 120: "1e3" is not a number)`},
		{condition(`{"NumericEquals":{"a:b":"${aws:EpochTime}"}}`), `Syntax errors in policy. (Statement[0].Condition.NumericEquals.a:b, line 1, column 120: "${aws:EpochTime}" is not a number)`},
		{condition(`{"NumericEquals":{"a:b":"inf"}}`), `Syntax errors in policy. (Statement[0].Condition.NumericEquals.a:b, line 1, column 120: "inf" is not a number)`},
		{condition(`{"DateEquals":{"a:b":"yesterday"}}`), `The policy failed legacy parsing (Statement[0].Condition.DateEquals.a:b, line 1, column 117: "yesterday" is not a date in ISO 8601 or a number of seconds since 1970)`},
		{condition(`{"Bool":{"a:b":"yes"}}`), `Syntax errors in policy. (Statement[0].Condition.Bool.a:b, line 1, column 111: "yes" is not "true" or "false")`},
		{condition(`{"Null":{"a:b":"yes"}}`), `Syntax errors in policy. (Statement[0].Condition.Null.a:b, line 1, column 111: "yes" is not "true" or "false")`},
		{condition(`{"BinaryEquals":{"a:b":"*"}}`), `Syntax errors in policy. (Statement[0].Condition.BinaryEquals.a:b, line 1, column 119: "*" is not base64)`},
		{condition(`{"IpAddress":{"a:b":"203.0.113.*"}}`), `Syntax errors in policy. (Statement[0].Condition.IpAddress.a:b, line 1, column 116: "203.0.113.*" is not an IP address or a CIDR range)`},
		{condition(`{"IpAddress":{"a:b":["10.0.0.0/33"]}}`), `Syntax errors in policy. (Statement[0].Condition.IpAddress.a:b, line 1, column 117: "10.0.0.0/33" is not an IP address or a CIDR range)`},
		{condition(`{"ArnLike":{"a:b":"arn:aws:s3:*"}}`), `Syntax errors in policy. (Statement[0].Condition.ArnLike.a:b, line 1, column 114: "arn:aws:s3:*" is not an ARN pattern: it has 4 parts between colons, an ARN has 6)`},
		{condition(`{"ArnLike":{"a:b":"arn:aws:s3:::${aws:username"}}`), "Syntax errors in policy. (Statement[0].Condition.ArnLike.a:b, line 1, column 114: a ${ is not closed with })"},
		{`{"Statement":"` + strings.Repeat("x", 131072) + `"}`, "Syntax errors in policy. (the document, line 1, column 1: has 131088 bytes, at most 131072 are allowed)"},
	}
	for _, tt := range tests {
		_, err := policy.Parse("p", []byte(tt.doc))
		if err == nil {
			t.Errorf("%.200s: no error, want %s", tt.doc, tt.want)
			continue
		}
		if e := fault.From(err); e.Kind != fault.Validation || e.Message != tt.want {
			t.Errorf("%.200s:\ngot  %v %s\nwant %s", tt.doc, e.Kind, e.Message, tt.want)
		}
	}
}

// decide answers r by identity-based policies alone.
func decide(r policy.Request, identity ...*policy.Policy) policy.Decision {
	s := policy.Set{Identity: identity}
	return s.Decide(&r)
}

// lookup is a Context as Keys.
type lookup policy.Context

func (l lookup) Lookup(key string) (string, []string) {
	for name, values := range l {
		if strings.EqualFold(name, key) {
			return name, values
		}
	}
	return "", nil
}

// effect is the decision of one policy as a word. It is the same wherever the keys are; of two that differ in case
// only one may be outside the Context.
func effect(t testing.TB, p *policy.Policy, r policy.Request) policy.Effect {
	t.Helper()
	want := decide(r, p)
	for _, part := range []bool{false, true} { // all that can be is in Keys, or some of it
		moved := policy.Request{Action: r.Action, Resource: r.Resource, Context: policy.Context{}}
		keys := lookup{}
		for name, values := range r.Context {
			if other, _ := keys.Lookup(name); other != "" || len(values) == 0 || part && len(name)%2 == 0 {
				moved.Context[name] = values
			} else {
				keys[name] = values
			}
		}
		moved.Keys = keys
		if got := decide(moved, p); got != want {
			t.Errorf("%+v: %v, want %v", moved, got, want)
		}
		for name := range keys { // the Context's own wins
			moved.Context[name] = r.Context[name]
			keys[name] = []string{"another"}
		}
		if got := decide(moved, p); got != want {
			t.Errorf("%+v: %v, want %v", moved, got, want)
		}
	}
	return want.Effect
}

func TestActions(t *testing.T) {
	tests := []struct {
		element, pattern, action string
		want                     bool
	}{
		// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html: the prefix
		// and the action name are case insensitive; * and ? are wildcards.
		{"Action", "*", "bedrock:InvokeModel", true},
		{"Action", "bedrock:*", "bedrock:InvokeModel", true},
		{"Action", "bedrock:*", "bedrock-agent:InvokeModel", false},
		{"Action", "bedrock:invokemodel", "bedrock:InvokeModel", true},
		{"Action", "BEDROCK:InvokeModel", "bedrock:InvokeModel", true},
		{"Action", "bedrock:Invoke", "bedrock:InvokeModel", false},
		{"Action", "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", false},
		{"Action", "bedrock:invoke*", "bedrock:InvokeModelWithResponseStream", true},
		{"Action", "bedrock:*Profile*", "bedrock:ListInferenceProfiles", true},
		{"Action", "bedrock:*Profile", "bedrock:ListInferenceProfiles", false},
		{"Action", "bedrock:?etInferenceProfile", "bedrock:GetInferenceProfile", true},
		{"Action", "bedrock:??etInferenceProfile", "bedrock:GetInferenceProfile", false},
		// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html
		{"NotAction", "iam:*", "bedrock:InvokeModel", true},
		{"NotAction", "bedrock:invoke*", "bedrock:InvokeModel", false},
	}
	for _, tt := range tests {
		p := parse(t, statement(fmt.Sprintf(`"Effect":"Allow",%q:%q,"Resource":"*"`, tt.element, tt.pattern)))
		if p.Conditional() {
			t.Errorf("%s is conditional", tt.pattern)
		}
		if got := effect(t, p, policy.Request{Action: tt.action, Resource: "*"}); (got == policy.Allow) != tt.want {
			t.Errorf("%s %s on %s: %v", tt.element, tt.pattern, tt.action, got)
		}
	}
}

func TestResources(t *testing.T) {
	context := policy.Context{"aws:username": {"alice"}, "aws:PrincipalTag/team": {"a*b?"}, "a:many": {"x", "y"}, "a:none": {}}
	tests := []struct {
		version, element, pattern, resource string
		want                                bool
	}{
		// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
		{"2012-10-17", "Resource", "*", profileARN, true},
		{"2012-10-17", "Resource", "*", "*", true},
		{"2012-10-17", "Resource", profileARN, profileARN, true},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*:*:application-inference-profile/*", profileARN, true},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*:*:Application-inference-profile/*", profileARN, false},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*/abcdef123456", profileARN, true}, // a star crosses colons and slashes
		{"2012-10-17", "Resource", "arn:aws:bedrock:us-east-?:*", profileARN, true},
		{"2012-10-17", "Resource", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/?", profileARN, false},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*::foundation-model/*", profileARN, false},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*::foundation-model/*", modelARN, true},
		{"2012-10-17", "Resource", "arn:aws:bedrock:*::foundation-model/*", "*", false},
		{"2012-10-17", "NotResource", "arn:aws:bedrock:*::foundation-model/*", profileARN, true},
		{"2012-10-17", "NotResource", "arn:aws:bedrock:*::foundation-model/*", modelARN, false},
		// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
		{"2012-10-17", "Resource", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/alice/x/y", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/bob/x", false},
		{"2012-10-17", "Resource", "arn:aws:s3:::b/${AWS:USERNAME}/*", "arn:aws:s3:::b/alice/x", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::*/${aws:username}", "arn:aws:s3:::x/alice/alice", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::*${aws:username}*alice?", "arn:aws:s3:::alicealicex", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::*${aws:username}*alice?", "arn:aws:s3:::alicealice", false},
		{"2012-10-17", "Resource", "arn:aws:s3:::${aws:PrincipalTag/team, 'company-wide'}", "arn:aws:s3:::a*b?", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::${aws:PrincipalTag/team}", "arn:aws:s3:::axxbx", false}, // its star is a star
		{"2012-10-17", "Resource", "arn:aws:s3:::${aws:PrincipalTag/unit, 'company-wide'}", "arn:aws:s3:::company-wide", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::${aws:PrincipalTag/unit,'}'}", "arn:aws:s3:::}", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::${aws:PrincipalTag/unit}*", "arn:aws:s3:::x", false},
		{"2012-10-17", "NotResource", "arn:aws:s3:::${aws:PrincipalTag/unit}*", "arn:aws:s3:::x", true}, // it matches no resource, so none is excepted
		{"2012-10-17", "Resource", "arn:aws:s3:::${a:many}", "arn:aws:s3:::x", false},
		{"2012-10-17", "Resource", "arn:aws:s3:::${a:none, 'd'}", "arn:aws:s3:::d", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::${*}${?}${$}", "arn:aws:s3:::*?$", true},
		{"2012-10-17", "Resource", "arn:aws:s3:::${*}${?}${$}", "arn:aws:s3:::aaa", false},
		{"2008-10-17", "Resource", "arn:aws:s3:::${aws:username}", "arn:aws:s3:::alice", false},
		{"2008-10-17", "Resource", "arn:aws:s3:::${aws:username}", "arn:aws:s3:::${aws:username}", true},
	}
	for _, tt := range tests {
		doc := fmt.Sprintf(`{"Version":%q,"Statement":{"Effect":"Allow","Action":"*",%q:%q}}`, tt.version, tt.element, tt.pattern)
		if got := effect(t, parse(t, doc), policy.Request{Action: "s3:GetObject", Resource: tt.resource, Context: context}); (got == policy.Allow) != tt.want {
			t.Errorf("%s %s %s on %s: %v", tt.version, tt.element, tt.pattern, tt.resource, got)
		}
	}
}

// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func TestConditions(t *testing.T) {
	context := policy.Context{
		"aws:username": {"alice"}, "aws:PrincipalTag/job": {"iamuser-admin"}, "a:empty": {""}, "a:none": {},
		"a:n": {"10"}, "a:x": {"1.5"}, "a:text": {"ten"}, "a:t": {"2026-11-23T11:35:12Z"}, "a:epoch": {"1795433712"},
		"a:yes": {"true"}, "a:No": {"False"}, "a:b64": {"QmluYXJ5VmFsdWVJbkJhc2U2NA=="},
		"aws:SourceIp": {"203.0.113.7"}, "a:ip6": {"2001:DB8:1234:5678::1"}, "a:mapped": {"::ffff:203.0.113.7"},
		"a:arn": {"arn:aws:sns:us-east-1:123456789012:topic:sub/x"}, "a:user": {"arn:aws:iam::123456789012:user/alice"},
		"aws:TagKeys": {"environment", "webserver"}, "a:one": {"environment"}, "a:star": {"a*c"},
	}
	tests := []struct {
		operator, key, values string
		want                  bool
	}{
		{"StringEquals", "aws:username", `"alice"`, true},
		{"StringEquals", "aws:username", `["bob","alice"]`, true}, // values are alternatives
		{"StringEquals", "AWS:Username", `"alice"`, true},         // keys in any case
		{"StringEquals", "aws:username", `"Alice"`, false},
		{"StringEquals", "aws:username", `"ali*"`, false}, // no wildcards
		{"StringEquals", "a:star", `"a*c"`, true},
		{"StringEquals", "aws:userid", `"alice"`, false},
		{"StringEqualsIfExists", "aws:userid", `"alice"`, true},
		{"StringEqualsIfExists", "aws:username", `"bob"`, false},
		{"StringEquals", "aws:PrincipalTag/JOB", `"iamuser-admin"`, true},
		{"StringNotEquals", "aws:username", `["bob","carol"]`, true},
		{"StringNotEquals", "aws:username", `["bob","alice"]`, false}, // none may match
		{"StringNotEquals", "aws:userid", `"alice"`, true},            // a missing key does not match
		{"StringNotEqualsIfExists", "aws:userid", `"alice"`, true},
		{"StringEqualsIgnoreCase", "aws:username", `"ALICE"`, true},
		{"StringNotEqualsIgnoreCase", "aws:username", `"ALICE"`, false},
		{"StringLike", "aws:username", `"al?c*"`, true},
		{"StringLike", "aws:username", `"AL*"`, false},
		{"StringLike", "aws:username", `"?????"`, true},
		{"StringLike", "a:star", `"a${*}c"`, true},
		{"StringLike", "aws:username", `"a${*}e"`, false},
		{"StringNotLike", "aws:username", `"al*"`, false},
		{"StringNotLike", "aws:username", `"b*"`, true},
		{"StringEquals", "a:user", `"arn:aws:iam::123456789012:user/${aws:username}"`, true},
		{"StringLike", "a:user", `"*/${aws:username}"`, true},
		{"StringEquals", "aws:username", `"${a:nobody, 'alice'}"`, true},
		{"StringEquals", "aws:username", `"${a:nobody}"`, false},
		{"StringNotEquals", "aws:username", `"${a:nobody}"`, true}, // nothing is equal to what has no value
		{"StringEqualsIfExists", "aws:userid", `"${a:nobody}"`, true},

		{"NumericEquals", "a:n", `10`, true},
		{"NumericEquals", "a:n", `"10.0"`, true},
		{"NumericNotEquals", "a:n", `"10"`, false},
		{"NumericNotEquals", "a:none", `"10"`, true},
		{"NumericLessThan", "a:n", `"10"`, false},
		{"NumericLessThanEquals", "a:n", `"10"`, true},
		{"NumericLessThan", "a:x", `"1.6"`, true},
		{"NumericGreaterThan", "a:n", `"9"`, true},
		{"NumericGreaterThan", "a:n", `"-9"`, true},
		{"NumericGreaterThanEquals", "a:n", `"10.5"`, false},
		{"NumericEquals", "a:text", `"10"`, false}, // not a number: it matches nothing
		{"NumericNotEquals", "a:text", `"10"`, true},

		{"DateEquals", "a:t", `"2026-11-23T11:35:12Z"`, true},
		{"DateEquals", "a:t", `"2026-11-23T13:35:12+02:00"`, true},
		{"DateEquals", "a:t", `"1795433712"`, true},
		{"DateEquals", "a:epoch", `"2026-11-23T11:35:12Z"`, true},
		{"DateEquals", "a:t", `"2026-11-23T11:35:12.000Z"`, true},
		{"DateNotEquals", "a:t", `"2026-11-23"`, true},
		{"DateLessThan", "a:t", `"2026-11-24"`, true},
		{"DateLessThan", "a:t", `"2026-11"`, false},
		{"DateLessThanEquals", "a:t", `"2026-11-23T11:35:12Z"`, true},
		{"DateGreaterThan", "a:t", `"2026"`, true},
		{"DateGreaterThan", "a:t", `"2026-11-23T11:35Z"`, true},
		{"DateGreaterThanEquals", "a:t", `"2027"`, false},

		{"Bool", "a:yes", `"true"`, true},
		{"Bool", "a:yes", `true`, true},
		{"Bool", "a:no", `"false"`, true},
		{"Bool", "a:yes", `"false"`, false},
		{"Bool", "aws:SecureTransport", `"false"`, false}, // missing
		{"BoolIfExists", "aws:SecureTransport", `"true"`, true},

		{"BinaryEquals", "a:b64", `"QmluYXJ5VmFsdWVJbkJhc2U2NA=="`, true},
		{"BinaryEquals", "a:b64", `"ASIAIOSFODNN7EXAMPLEUCA="`, false},

		{"IpAddress", "aws:SourceIp", `"203.0.113.0/24"`, true},
		{"IpAddress", "aws:SourceIp", `"203.0.113.7"`, true},
		{"IpAddress", "aws:SourceIp", `["192.0.2.0/24","203.0.113.8/32"]`, false},
		{"IpAddress", "a:ip6", `"2001:DB8:1234:5678::/64"`, true},
		{"IpAddress", "a:ip6", `"0.0.0.0/0"`, false},
		{"IpAddress", "a:mapped", `"203.0.113.0/24"`, true},
		{"IpAddress", "aws:username", `"0.0.0.0/0"`, false},
		{"NotIpAddress", "aws:SourceIp", `"203.0.113.0/24"`, false},
		{"NotIpAddress", "aws:SourceIp", `["192.0.2.0/24","10.0.0.0/8"]`, true},
		{"NotIpAddress", "aws:VpcSourceIp", `"10.0.0.0/8"`, true},

		{"ArnEquals", "a:arn", `"arn:aws:sns:*:123456789012:topic:*"`, true}, // as ArnLike
		{"ArnLike", "a:arn", `"arn:aws:sns:us-east-1:123456789012:topic:sub/x"`, true},
		{"ArnLike", "a:arn", `"arn:aws:*:123456789012:topic:sub:*"`, false}, // a star stays in its part
		{"ArnLike", "a:arn", `"arn:aws:sns:us-east-?:*:*"`, true},
		{"ArnLike", "a:arn", `"arn:*:*:*:*:*"`, true},
		{"ArnLike", "aws:username", `"arn:*:*:*:*:*"`, false},
		{"ArnLike", "a:user", `"arn:aws:iam::*:user/${aws:username}"`, true},
		{"ArnLike", "a:user", `"arn:aws:iam::*:user/${a:nobody}"`, false},
		{"ArnEquals", "a:user", `"${a:user}"`, true},
		{"ArnEquals", "a:arn", `"${a:user}"`, false},
		{"ArnNotLike", "a:arn", `"arn:aws:sns:*:*:*"`, false},
		{"ArnNotEquals", "a:arn", `"arn:aws:sqs:*:*:*"`, true},
		{"ArnNotLike", "a:user", `"arn:aws:iam::*:user/${a:nobody}"`, true},
		{"ArnNotEquals", "aws:SourceArn", `"arn:aws:sqs:*:*:*"`, true},

		{"Null", "aws:TokenIssueTime", `"true"`, true},
		{"Null", "aws:TokenIssueTime", `"false"`, false},
		{"Null", "aws:username", `"false"`, true},
		{"Null", "aws:username", `true`, false},
		{"Null", "a:none", `true`, true},

		{"ForAllValues:StringEquals", "aws:TagKeys", `["environment","webserver","x"]`, true},
		{"ForAllValues:StringEquals", "aws:TagKeys", `["environment"]`, false},
		{"ForAllValues:StringEquals", "a:one", `["environment","webserver"]`, true},
		{"ForAllValues:StringEquals", "a:missing", `["x"]`, true},
		{"ForAllValues:StringEquals", "a:empty", `["x"]`, true},
		{"ForAllValues:StringNotEquals", "aws:TagKeys", `["x","y"]`, true},
		{"ForAllValues:StringNotEquals", "aws:TagKeys", `["x","webserver"]`, false},
		{"ForAllValues:StringLike", "aws:TagKeys", `["*e*"]`, true},
		{"ForAnyValue:StringEquals", "aws:TagKeys", `["webserver"]`, true},
		{"ForAnyValue:StringEquals", "aws:TagKeys", `["x"]`, false},
		{"ForAnyValue:StringEquals", "a:missing", `["x"]`, false},
		{"ForAnyValue:StringEquals", "a:empty", `[""]`, false},
		{"ForAnyValue:StringEqualsIfExists", "a:missing", `["x"]`, true},
		{"ForAnyValue:StringNotEquals", "aws:TagKeys", `["webserver"]`, true},
		{"ForAnyValue:StringNotEquals", "aws:TagKeys", `["webserver","environment"]`, false},
		{"ForAnyValue:StringNotEquals", "a:missing", `["x"]`, false},
		{"StringEquals", "aws:TagKeys", `["webserver"]`, true}, // without a set operator, one match does
		{"StringNotEquals", "aws:TagKeys", `["webserver"]`, false},
		{"StringEquals", "a:empty", `""`, true},
	}
	for _, tt := range tests {
		doc := statement(fmt.Sprintf(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{%q:{%q:%s}}`, tt.operator, tt.key, tt.values))
		p := parse(t, doc)
		if !p.Conditional() {
			t.Errorf("%s is not conditional", doc)
		}
		if got := effect(t, p, policy.Request{Action: "a:B", Resource: "*", Context: context}); (got == policy.Allow) != tt.want {
			t.Errorf("%s %s %s: %v", tt.operator, tt.key, tt.values, got)
		}
	}
}

// Operators and keys are all to be met; so are the operators that stand twice with different modifiers.
func TestConditionsTogether(t *testing.T) {
	p := parse(t, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:x":["1","2"],"a:y":"3"},"NumericLessThan":{"a:z":5}}`))
	for _, tt := range []struct {
		x, y, z string
		want    policy.Effect
	}{
		{"1", "3", "4", policy.Allow}, {"2", "3", "4", policy.Allow}, {"3", "3", "4", policy.ImplicitDeny},
		{"1", "4", "4", policy.ImplicitDeny}, {"1", "3", "5", policy.ImplicitDeny},
	} {
		if got := effect(t, p, policy.Request{Action: "a:B", Resource: "*", Context: policy.Context{"a:x": {tt.x}, "a:y": {tt.y}, "a:z": {tt.z}}}); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func TestEvaluate(t *testing.T) {
	named := func(name, doc string) *policy.Policy {
		p, err := policy.Parse(name, []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	allow := named("allow", `{"Statement":[{"Effect":"Allow","Action":"a:A","Resource":"*"},{"Sid":"Second","Effect":"Allow","Action":["a:B","a:C"],"Resource":"*"}]}`)
	deny := named("deny", `{"Id":"x","Statement":{"Sid":"No","Effect":"Deny","Action":"a:C","Resource":"*"}}`)
	all := named("all", statement(`"Effect":"Allow","Action":"*","Resource":"*"`))
	for _, tt := range []struct {
		policies []*policy.Policy
		action   string
		want     policy.Decision
	}{
		{nil, "a:A", policy.Decision{Layer: policy.Identity, Statement: -1}},
		{[]*policy.Policy{deny}, "a:A", policy.Decision{Layer: policy.Identity, Statement: -1}},
		{[]*policy.Policy{allow, deny}, "a:A", policy.Decision{Effect: policy.Allow, Layer: policy.Identity, Policy: "allow"}},
		{[]*policy.Policy{allow, deny, all}, "a:B", policy.Decision{Effect: policy.Allow, Layer: policy.Identity, Policy: "allow", Statement: 1, Sid: "Second"}},
		{[]*policy.Policy{allow, all, deny}, "a:C", policy.Decision{Effect: policy.ExplicitDeny, Layer: policy.Identity, Policy: "deny", Sid: "No"}},
		{[]*policy.Policy{deny, allow, all}, "a:C", policy.Decision{Effect: policy.ExplicitDeny, Layer: policy.Identity, Policy: "deny", Sid: "No"}},
		{[]*policy.Policy{all}, "z:Z", policy.Decision{Effect: policy.Allow, Layer: policy.Identity, Policy: "all"}},
	} {
		if got := decide(policy.Request{Action: tt.action, Resource: "*"}, tt.policies...); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.action, got, tt.want)
		}
	}
}

// The worked examples of the user guide, each decided as its text says.
func TestExamples(t *testing.T) {
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_aws_deny-ip.html
	denyIP := parse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]},"Bool":{"aws:ViaAWSService":"false"}}}}`)
	allow := parse(t, statement(`"Effect":"Allow","Action":"*","Resource":"*"`))
	for ip, want := range map[string]policy.Effect{"203.0.113.9": policy.Allow, "198.51.100.1": policy.ExplicitDeny} {
		got := decide(policy.Request{Action: "a:B", Resource: "*", Context: policy.Context{"aws:SourceIp": {ip}, "aws:ViaAWSService": {"false"}}}, allow, denyIP)
		if got.Effect != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	// https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
	profiles := parse(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:InvokeModel*"],"Resource":["arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"]},
		{"Effect":"Allow","Action":["bedrock:InvokeModel*"],"Resource":["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"],
		"Condition":{"StringLike":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"}}}]}`)
	model := policy.Request{Action: "bedrock:InvokeModelWithResponseStream", Resource: "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}
	if got := effect(t, profiles, model); got != policy.ImplicitDeny {
		t.Errorf("the bare model: %v", got)
	}
	model.Context = policy.Context{"bedrock:InferenceProfileArn": {"arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"}}
	if got := effect(t, profiles, model); got != policy.Allow {
		t.Errorf("the model through the profile: %v", got)
	}
}

// Condition keys know no case (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html,
// aws:ResourceTag/tag-key), but tags do: a resource may have two that are one condition key. Neither may hide the other,
// so a Deny takes either and an Allow needs both.
func TestKeysThatDifferInCase(t *testing.T) {
	const tag = "aws:ResourceTag/"
	const team = `arn:aws:a:::${aws:ResourceTag/Project}`
	two := policy.Context{tag + "PROJECT": {"Open"}, tag + "project": {"Secret"}}
	exact := policy.Context{tag + "Project": {"Open"}, tag + "project": {"Secret"}}
	exactSecret := policy.Context{tag + "Project": {"Secret"}, tag + "project": {"Open"}}
	alike := policy.Context{tag + "PROJECT": {"Open"}, tag + "project": {"Open"}}
	other := policy.Context{tag + "Project": {"Open"}, tag + "Projects": {"Secret"}, tag + "Projec": {"Secret"}}
	with := func(c policy.Context, key string, values ...string) policy.Context {
		c = maps.Clone(c)
		c[key] = values
		return c
	}
	user := func(c policy.Context, name string) policy.Context { return with(c, "aws:username", name) }
	when := func(operator, key, value string) string {
		return fmt.Sprintf(`"Action":"*","Resource":"*","Condition":{%q:{%q:%q}}`, operator, key, value)
	}
	on := func(resources string) string { return `"Action":"*",` + resources }
	for _, tt := range []struct {
		name        string
		when        string // the statement but for its effect
		context     policy.Context
		deny, allow bool // whether the statement applies with that effect
	}{
		{"neither exact, one", when("StringEquals", tag+"Project", "Secret"), two, true, false},
		{"neither exact, the other", when("StringEquals", tag+"Project", "Open"), two, true, false},
		{"neither exact, none", when("StringEquals", tag+"Project", "Else"), two, false, false},
		{"one exact, the other", when("StringEquals", tag+"Project", "Secret"), exact, true, false},
		{"one exact, it", when("StringEquals", tag+"Project", "Secret"), exactSecret, true, false},
		{"all alike", when("StringEquals", tag+"Project", "Open"), alike, true, true},
		{"all match", when("StringLike", tag+"Project", "*e*"), two, true, true},
		{"negated, one", when("StringNotEquals", tag+"Project", "Open"), two, true, false},
		{"negated, exact", when("StringNotEquals", tag+"Project", "Open"), exact, true, false},
		{"negated, alike", when("StringNotEquals", tag+"Project", "Open"), alike, false, false},
		{"negated, none", when("StringNotEquals", tag+"Project", "Else"), two, true, true},
		{"if it exists", when("StringEqualsIfExists", tag+"Project", "Secret"), exact, true, false},
		{"one without values", when("Null", tag+"Project", "true"), with(exact, tag+"PROJECT"), true, false},
		{"any value", when("ForAnyValue:StringEquals", tag+"Project", "Secret"), exact, true, false},
		{"all values", when("ForAllValues:StringEquals", tag+"Project", "Open"), exact, true, false},
		{"another key", when("StringEquals", tag+"Project", "Secret"), other, false, false},
		{"another key, its own", when("StringEquals", tag+"Project", "Open"), other, true, true},

		{"variable", when("StringEquals", "aws:username", "${aws:ResourceTag/Project}"), user(exact, "Secret"), true, false},
		{"variable with a default", when("StringEquals", "aws:username", "${aws:ResourceTag/Project, 'Secret'}"), user(exact, "Secret"), true, false},
		{"variable, negated", when("StringNotEquals", "aws:username", "${aws:ResourceTag/Project}"), user(exact, "Open"), true, false},
		{"variable, alike", when("StringEquals", "aws:username", "${aws:ResourceTag/Project}"), user(alike, "Open"), true, true},
		{"variable, alike, another", when("StringEquals", "aws:username", "${aws:ResourceTag/Project}"), user(alike, "Secret"), false, false},
		{"variable in an ARN", when("ArnLike", "aws:PrincipalArn", team), with(exact, "aws:PrincipalArn", "arn:aws:a:::Secret"), true, false},
		{"resource", on(`"Resource":"` + team + `"`), exact, true, false},
		{"resource, alike", on(`"Resource":"` + team + `"`), alike, true, true},
		{"all but a resource", on(`"NotResource":"` + team + `"`), exactSecret, true, false},
		{"all but a resource, alike", on(`"NotResource":"` + team + `"`), alike, false, false},
		{"all but a resource, another", on(`"NotResource":["` + team + `","arn:aws:a:::Open"]`), exact, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := parse(t, statement(`"Effect":"Allow","Action":"*","Resource":"*"`))
			deny := parse(t, statement(`"Effect":"Deny",`+tt.when))
			allow := parse(t, statement(`"Effect":"Allow",`+tt.when))
			for range 1000 {
				r := policy.Request{Action: "a:B", Resource: "arn:aws:a:::Open", Context: maps.Clone(tt.context)}
				if got := decide(r, all, deny); (got.Effect == policy.ExplicitDeny) != tt.deny {
					t.Fatalf("deny: %v", got.Effect)
				}
				if got := effect(t, allow, r); (got == policy.Allow) != tt.allow {
					t.Fatalf("allow: %v", got)
				}
			}
		})
	}
}

// Every operator, on what it takes and on what it does not, with and without variables.
var everyOperator = `{"StringEquals":{"aws:username":["bob","${aws:PrincipalTag/name}"]},"StringNotEqualsIgnoreCase":{"aws:username":"${a:none}"},
	"StringLike":{"aws:username":"al?c*"},"ForAllValues:StringNotLike":{"aws:TagKeys":["x*","y?"]},
	"NumericLessThan":{"a:n":["x"]},"NumericNotEquals":{"a:n":9007199254740992,"a:text":1},"DateLessThan":{"aws:EpochTime":"2030-01-01T00:00:00Z","aws:CurrentTime":1900000000},
	"DateNotEquals":{"a:text":"2020-01-01"},"Bool":{"aws:SecureTransport":["false","${aws:PrincipalTag/tls, 'true'}"]},"BinaryEquals":{"a:b64":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="},
	"IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]},"ForAnyValue:ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:username}"},"Null":{"a:none":true},
	"StringEqualsIfExists":{"a:none":"x"}}`

var everyContext = policy.Context{
	"aws:username": {"alice"}, "aws:PrincipalTag/name": {"alice"}, "aws:TagKeys": {"a", "b"}, "a:n": {"9007199254740993"}, "a:text": {"ten"}, "aws:EpochTime": {"1795433712"},
	"aws:CurrentTime": {"2026-11-23T11:35:12Z"}, "aws:SecureTransport": {"true"}, "a:b64": {"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, "aws:SourceIp": {"203.0.113.7"}, "aws:PrincipalArn": {"arn:aws:iam::123456789012:user/alice"},
}

func TestDecideDoesNotAllocate(t *testing.T) {
	resource, err := policy.ParseResource("r", []byte(statement(`"Effect":"Allow","Principal":{"AWS":["123456789012","arn:aws:iam::123456789012:role/x"]},"Action":"*","Resource":"*"`)))
	if err != nil {
		t.Fatal(err)
	}
	conditional := parse(t, statement(`"Effect":"Allow","NotAction":"iam:*","Resource":["arn:aws:bedrock:*:*:application-inference-profile/${a:none}","arn:aws:bedrock:*:*:application-inference-profile/*"],"Condition":`+strings.Replace(everyOperator, `"NumericLessThan":{"a:n":["x"]},`, "", 1)))
	set := policy.Set{
		Guardrail: []*policy.Policy{parse(t, statement(`"Effect":"Deny","Action":"bedrock:Delete*","Resource":"*"`)), parse(t, statement(`"Effect":"Allow","Action":"*","Resource":"*"`))},
		Identity:  []*policy.Policy{fifty(t, "bedrock:invokemodel"), conditional},
		Boundary:  []*policy.Policy{conditional},
		Session:   []*policy.Policy{conditional},
		Resource:  []*policy.Policy{resource},
	}
	r := policy.Request{Action: "bedrock:InvokeModel", Resource: profileARN, Context: everyContext, Keys: lookup{"aws:Something": {"x"}}, Principal: &policy.Principal{Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice"}}
	want := policy.Decision{Effect: policy.Allow, Layer: policy.Identity, Policy: "p", Statement: 0, Grant: policy.ToAccount}
	if got := set.Decide(&r); got != want {
		t.Fatalf("%+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { set.Decide(&r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Trust policies and resources' own must say who; and a document may have many problems, each in its place.
func TestProblems(t *testing.T) {
	const who = `"Principal":{"AWS":"123456789012"},`
	trust := func(members string) string { return statement(`"Effect":"Allow",` + members) }
	for _, tt := range []struct {
		parse func(string, []byte) (*policy.Policy, error)
		doc   string
		want  []policy.Problem
	}{
		// The missing comma of https://github.com/awslabs/generative-ai-cdk-constructs/tree/main/src/cdk-lib/bedrock.
		{policy.Parse, "{\n \"Statement\": {\"Effect\": \"Allow\",\n  \"Action\": [\n   \"bedrock:DeleteInferenceProfile\"\n   \"bedrock:TagResource\"]}}", []policy.Problem{
			{"Syntax errors in policy.", "Statement[0].Action", 5, 4, "not valid JSON: a comma or a colon is missing before this"}}},
		{policy.Parse, "{\n \"Statement\": [\n  {\"Sid\": \"日本 語\", \"Effect\": \"allow\", \"Action\": [\"a\", \"b:C:d\"], \"Resource\": \"*\"},\n  {\"Effect\": \"Deny\", \"Principal\": \"*\", \"Action\": \"a:B\"}]}", []policy.Problem{
			{"Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*", "Statement[0].Sid", 3, 11, `"日本 語" must be letters and digits only`},
			{"The policy failed legacy parsing", "Statement[0].Effect", 3, 29, `must be "Allow" or "Deny", not "allow"`},
			{"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.", "Statement[0].Action", 3, 49, `"a" must be "*" or a service and an action, like "bedrock:InvokeModel"`},
			{"Actions/Condition can contain only one colon.", "Statement[0].Action", 3, 54, `"b:C:d" has more than one colon`},
			{"Policy document should not specify a principal.", "Statement[1].Principal", 4, 22, "an identity-based policy must not name a principal"},
			{"Policy statement must contain resources.", "Statement[1]", 4, 3, "Resource is missing"}}},
		{policy.Parse, statement(`"Effect":"Allow","Action":"*","Resource":["arn:error:s3:::b","arn:aws","arn:aws:*:x"]`), []policy.Problem{
			{`Partition "error" is not valid for resource "arn:error:s3:::b".`, "Statement[0].Resource", 1, 81, `"arn:error:s3:::b" is of no partition, like "aws"`},
			{"Resource vendor must be fully qualified and cannot contain regexes.", "Statement[0].Resource", 1, 100, `"arn:aws" must name one service, without wildcards`},
			{"Resource vendor must be fully qualified and cannot contain regexes.", "Statement[0].Resource", 1, 110, `"arn:aws:*:x" must name one service, without wildcards`}}},
		{policy.ParseTrust, trust(who + `"Action":["sts:AssumeRole","s3:GetObject"],"Resource":"*"`), []policy.Problem{
			{"AssumeRole policy may only specify STS AssumeRole actions.", "Statement[0].Action", 1, 118, `"s3:GetObject" is not an action of STS`},
			{"Has prohibited field Resource", "Statement[0].Resource", 1, 134, "a trust policy's resource is its role"}}},
		{policy.ParseTrust, trust(`"Action":"sts:AssumeRole"`), []policy.Problem{{"Missing required field Principal", "Statement[0]", 1, 38, "Principal is missing"}}},
		{policy.ParseTrust, trust(`"NotPrincipal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`), []policy.Problem{{"Has prohibited field NotPrincipal", "Statement[0].NotPrincipal", 1, 56, "a trust policy must say whom it trusts"}}},
		{policy.ParseTrust, trust(`"Principal":{"AWS":["arn:aws:iam::123456789012:user/*","arn:aws:iam::123456789012:group/x"],"User":"x","Service":"*"},"Action":"sts:AssumeRole"`), []policy.Problem{
			{"Syntax errors in policy.", "Statement[0].Principal", 1, 148, `"User" is not a type of principal`},
			{`Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:user/*"`, "Statement[0].Principal.AWS", 1, 76, `"arn:aws:iam::123456789012:user/*" is not a principal of that type`},
			{`Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:group/x"`, "Statement[0].Principal.AWS", 1, 111, `"arn:aws:iam::123456789012:group/x" is not a principal of that type`},
			{`Invalid principal in policy: "Service":"*"`, "Statement[0].Principal.Service", 1, 169, `"*" is not a principal of that type`}}},
		{policy.ParseTrust, trust(`"Principal":{},"Action":"sts:AssumeRole"`), []policy.Problem{{"Syntax errors in policy.", "Statement[0].Principal", 1, 56, "names nobody"}}},
		{policy.ParseTrust, trust(`"Principal":"123456789012","Action":"sts:AssumeRole"`), []policy.Problem{{"Syntax errors in policy.", "Statement[0].Principal", 1, 68, `must be "*" or an object`}}},
		{policy.ParseResource, trust(who + `"NotPrincipal":"*","Action":"*"`), []policy.Problem{{"Syntax errors in policy.", "Statement[0]", 1, 91, "has both Principal and NotPrincipal"}}},
		{policy.ParseResource, trust(`"Action":"*","Resource":"*"`), []policy.Problem{{"Missing required field Principal", "Statement[0]", 1, 38, "Principal is missing"}}},
	} {
		_, err := tt.parse("p", []byte(tt.doc))
		var got policy.Problems
		if errors.As(err, &got); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.doc, got, tt.want)
			continue
		}
		if e := fault.From(err); e.Kind != fault.Validation || e.Message != got[0].Error() {
			t.Errorf("%s: %v", tt.doc, err)
		}
	}
	// What is repeated of a document, and how many problems are told, is bounded.
	many := strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("日", 300)+`",`, 140), ",")
	_, err := policy.Parse("p", []byte(statement(`"Effect":"Allow","Resource":"*","Action":[`+many+`]`)))
	var got policy.Problems
	if errors.As(err, &got); len(got) != 100 || len(got[99].Detail) > 400 || !utf8.ValidString(got[99].Detail) {
		t.Errorf("%d problems, %q", len(got), got[len(got)-1].Detail)
	}
}

// What AWS takes, this does: observed of IAM, most of it by those who wrote moto's tests of policy documents.
func TestTaken(t *testing.T) {
	const rest = `"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::example_bucket"`
	for _, members := range []string{
		rest + `,"Condition":{}`, rest + `,"Condition":{"DateGreaterThan":{}}`, rest + `,"Condition":{"DateGreaterThan":{"a":[]}}`,
		rest + `,"Condition":{"ForAnyValue:StringEqualsIfExists":{"a":"asf"}}`, rest + `,"Condition":{"DateLessThan":{"a":"-292275054"}}`,
		rest + `,"Condition":{"DateLessThanEquals":{"a":"2016-12-13T21:20:37.593194+00:00"}}`, rest + `,"Condition":{"DateLessThanEquals":{"a":"2016-12-13t02:00:00.593194+23"}}`,
		rest + `,"Sid":""`, `"Effect":"Allow","Action":"s3.s:ListBucket","Resource":"*"`, `"Effect":"Allow","NotAction":"s3:ListBucket","NotResource":"*"`,
		`"Effect":"Allow","Action":"*:*","Resource":"*"`, `"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:fdsasf"`, `"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:invalid-service:us-east-1::example_bucket"`,
		`"Effect":"Allow","Action":"iam:*","Resource":"arn:*:iam::*:user/${aws:username}"`,
	} {
		if _, err := policy.Parse("p", []byte(statement(members))); err != nil {
			t.Errorf("%s: %v", members, err)
		}
	}
	p := parse(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if p.Version() != "2008-10-17" || parse(t, statement(rest)).Version() != "2012-10-17" {
		t.Errorf("version %q", p.Version())
	}
}

// fifty is a policy of fifty statements, of which the one in the middle is about action and profiles.
func fifty(t testing.TB, action string) *policy.Policy {
	var statements []string
	for i := range 50 {
		a := fmt.Sprintf("service%d:Get*", i%7)
		if i == 25 {
			a = action
		} else if i%3 == 0 {
			a = fmt.Sprintf("bedrock:Do%d", i)
		}
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":[%q],"Resource":["arn:aws:bedrock:*:%012d:*","arn:aws:s3:::b%d/*"]}`, a, i, i))
	}
	return parse(t, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		statement(`"Sid":"a","Effect":"Deny","NotAction":["bedrock:*"],"NotResource":["arn:aws:s3:::${aws:username, 'x'}/*"],"Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a*",1,true]}}`),
		statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026"},"IpAddress":{"aws:SourceIp":["::/0","10.1.2.3"]},"ArnLike":{"a:b":"arn:*:${a:b}:*:*:*"},"BinaryEquals":{"a:b":"AA=="},"Null":{"a:c":true},"NumericEquals":{"a:d":-1.5}}`),
		`{"Version":"2008-10-17","Id":"i","Statement":{"Effect":"Allow","Action":"a:B","Resource":"arn:${"}}`,
	} {
		f.Add([]byte(s), "arn:aws:s3:::alice/x", "alice")
		f.Add([]byte(strings.ReplaceAll(s, `"Effect"`, `"Principal":{"AWS":["123456789012","*"],"Service":"x"},"Effect"`)), "arn:aws:s3:::alice/x", "alice")
	}
	f.Fuzz(func(t *testing.T, doc []byte, resource, value string) {
		lines := bytes.Count(doc, []byte{'\n'}) + 1
		for _, parse := range []func(string, []byte) (*policy.Policy, error){policy.Parse, policy.ParseTrust, policy.ParseResource} {
			p, err := parse("p", doc)
			var problems policy.Problems
			if (p == nil) == (err == nil) || err != nil && (!fault.Is(err, fault.Validation) || !errors.As(err, &problems) || len(problems) == 0) {
				t.Fatal(p, err)
			}
			for _, problem := range problems {
				if problem.Line < 1 || problem.Line > lines || problem.Column < 1 || problem.Column > len(doc)+1 || problem.Message == "" || problem.Detail == "" {
					t.Fatalf("%+v of %q", problem, doc)
				}
			}
			if err == nil {
				r := policy.Request{Action: "sts:AssumeRole", Resource: resource, Principal: &policy.Principal{Account: value, ARN: resource, Service: value}}
				(&policy.Set{Resource: []*policy.Policy{p}}).Decide(&r)
			}
		}
		p, err := policy.Parse("p", doc)
		if err != nil {
			return
		}
		if !json.Valid(doc) {
			t.Fatalf("taken, but not JSON: %q", doc)
		}
		r := policy.Request{Action: "s3:GetObject", Resource: resource, Context: policy.Context{"aws:username": {value}, "a:b": {value, resource}, "aws:TagKeys": {value}}}
		d := decide(r, p)
		if (d.Effect == policy.ImplicitDeny) != (d.Statement < 0) {
			t.Fatalf("%+v", d)
		}
		if !p.Conditional() {
			r.Context = nil
			if decide(r, p) != d {
				t.Fatal("the context changed the decision of a policy without conditions")
			}
		}
		// Denying everything beside it always wins, allowing everything beside it never loosens a deny.
		deny, err := policy.Parse("d", []byte(statement(`"Effect":"Deny","Action":"*","Resource":"*"`)))
		if err != nil {
			t.Fatal(err)
		}
		if decide(r, p, deny).Effect != policy.ExplicitDeny {
			t.Fatal("an explicit deny did not win")
		}
	})
}

// One decision over fifty statements: of one policy, of ten, with a wildcard that many share, with conditions.
func BenchmarkDecide(b *testing.B) {
	allow := statement(`"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":["arn:aws:bedrock:*:123456789012:application-inference-profile/*","arn:aws:bedrock:*::foundation-model/*"]`)
	tens := func() (out []*policy.Policy) {
		for i := range 10 {
			var statements []string
			for j := range 5 {
				statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["bedrock:Get%d%d*","s3:Put%d"],"Resource":"arn:aws:bedrock:*:%012d:*"}`, i, j, j, i))
			}
			out = append(out, parse(b, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`))
		}
		return append(out, parse(b, allow))
	}
	abac := parse(b, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*:*:*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"},"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`))
	all := parse(b, statement(`"Effect":"Allow","Action":"*","Resource":"*"`))
	context := policy.Context{"aws:ResourceTag/team": {"red"}, "aws:PrincipalTag/team": {"red"}, "aws:SourceIp": {"203.0.113.7"}}
	for _, bb := range []struct {
		name string
		set  policy.Set
	}{
		{"one statement", policy.Set{Identity: []*policy.Policy{parse(b, allow)}}},
		{"50 statements", policy.Set{Identity: []*policy.Policy{fifty(b, "x:Y"), parse(b, allow)}}},
		{"50 statements of 10 policies", policy.Set{Identity: tens()}},
		{"50 statements and 2 conditions", policy.Set{Identity: []*policy.Policy{fifty(b, "x:Y"), abac}}},
		{"50 statements in each of 4 layers", policy.Set{Identity: []*policy.Policy{fifty(b, "x:Y"), abac}, Boundary: []*policy.Policy{fifty(b, "x:Y"), all}, Session: []*policy.Policy{fifty(b, "x:Y"), all}, Guardrail: []*policy.Policy{fifty(b, "x:Y"), all}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := policy.Request{Action: "bedrock:InvokeModelWithResponseStream", Resource: modelARN, Context: context}
			b.ReportAllocs()
			for b.Loop() {
				if bb.set.Decide(&r).Effect != policy.Allow {
					b.Fatal("not allowed")
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	document := []byte(statement(`"Effect":"Allow","Action":["bedrock:InvokeModel*","bedrock:CreateInferenceProfile"],"Resource":["arn:aws:bedrock:*::foundation-model/*","arn:aws:bedrock:*:*:application-inference-profile/*"],"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse("p", document); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRenamePrincipal(t *testing.T) {
	const bob, id = "arn:aws:iam::123456789012:user/bob", "AIDAQQQQQQQQQQQQQQQQQ"
	for _, tt := range []struct{ document, want string }{
		{`{"Statement":{"Principal":{"AWS":"` + bob + `"}}}`, `{"Statement":{"Principal":{"AWS":"` + id + `"}}}`},
		{`{ "Statement" : [ {}, {"NotPrincipal":{"AWS":["*", "` + bob + `" ,"` + bob + `2"]} } ] }`, `{ "Statement" : [ {}, {"NotPrincipal":{"AWS":["*", "` + id + `" ,"` + bob + `2"]} } ] }`},
		{`{"Statement":[{"Principal":{"AWS":"arn:aws:iam::123456789012:user\/bo\u0062"}},{"Principal":{"AWS":"` + bob + `"}}]}`, `{"Statement":[{"Principal":{"AWS":"` + id + `"}},{"Principal":{"AWS":"` + id + `"}}]}`},
		{`{"Statement":{"Principal":{"Federated":"` + bob + `"},"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + bob + `"}}},"Principal":{"AWS":"` + bob + `"}}`, ""},
		{`{"Id":"` + bob + `","Statement":{"Sid":"` + bob + `","Principal":"*"}}`, ""},
		{`{"Statement":{"Principal":{"AWS":"` + bob + `"}`, ""},
		{"", ""},
	} {
		if tt.want == "" {
			tt.want = tt.document
		}
		if got := policy.RenamePrincipal(tt.document, bob, id); got != tt.want {
			t.Errorf("%s\nis  %s\nwant %s", tt.document, got, tt.want)
		}
	}
}
