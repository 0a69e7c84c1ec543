package lint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"outcrop/policy"
	"outcrop/policy/guard"
	"outcrop/policy/lint"
)

// found is findings as "CODE path".
func found(findings []lint.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code+" "+f.Locations[0].String())
	}
	return out
}

const (
	head = `{"Version":"2012-10-17","Statement":[`
	app  = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghij12"
)

func statement(members string) string { return head + "{" + members + "}]}" }

// conditioned is a statement with that condition.
func conditioned(effect, condition string) string {
	return statement(`"Effect":"` + effect + `","Action":"bedrock:InvokeModel*","Resource":"*","Condition":` + condition)
}

// Each code with a document that earns it and nothing else. Source of what AWS's codes mean, and of most documents:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html
func TestCodes(t *testing.T) {
	const fine = `"Action":"bedrock:InvokeModel*","Resource":"*"`
	ok := `"Effect":"Allow",` + fine
	for _, c := range []struct {
		name string
		kind lint.Kind
		text string
		want []string
	}{
		{"nothing", lint.Identity, statement(ok), nil},
		{"no JSON", lint.Identity, `{"Version": x}`, []string{"JSON_SYNTAX_ERROR "}},
		{"too early an end", lint.Identity, `{"Version":"2012-10-17"`, []string{"JSON_SYNTAX_ERROR "}},
		{"a name twice", lint.Identity, statement(ok + `,"Effect":"Deny"`), []string{"JSON_SYNTAX_ERROR "}},
		{"something behind", lint.Identity, statement(ok) + "x", []string{"REFUSED "}},
		{"a list of policies", lint.Identity, `[]`, []string{"DATA_TYPE_MISMATCH "}},
		{"a number for a version", lint.Identity, `{"Version":2012,"Statement":[{` + ok + `}]}`, []string{"DATA_TYPE_MISMATCH Version"}},
		{"an unknown version", lint.Identity, `{"Version":"2012-10-18","Statement":[{` + ok + `}]}`, []string{"INVALID_VERSION Version"}},
		{"no version", lint.Identity, `{"Statement":[{` + ok + `}]}`, []string{"MISSING_VERSION "}},
		{"no statement", lint.Identity, `{"Version":"2012-10-17"}`, []string{"MISSING_STATEMENT "}},
		{"one statement is no list", lint.Identity, `{"Version":"2012-10-17","Statement":{` + fine + `}}`, []string{"MISSING_EFFECT Statement"}},
		{"an unknown element", lint.Identity, statement(ok + `,"Resources":"*"`), []string{"INVALID_POLICY_ELEMENT Statement[0].Resources"}},
		{"an unknown effect", lint.Identity, statement(`"Effect":"allow",` + fine), []string{"INVALID_EFFECT Statement[0].Effect"}},
		{"no action", lint.Identity, statement(`"Effect":"Allow","Resource":"*"`), []string{"MISSING_ACTION Statement[0]"}},
		{"no resource", lint.Identity, statement(`"Effect":"Allow","Action":"*"`), []string{"MISSING_RESOURCE Statement[0]"}},
		{"both", lint.Identity, statement(ok + `,"NotResource":"*"`), []string{"UNSUPPORTED_ELEMENT_COMBINATION Statement[0].NotResource"}},
		{"a principal", lint.Identity, statement(ok + `,"Principal":"*"`), []string{"UNSUPPORTED_PRINCIPAL Statement[0].Principal"}},
		{"a guardrail's principal", lint.ServiceControl, statement(ok + `,"Principal":"*"`), []string{"SCP_SYNTAX_ERROR_PRINCIPAL Statement[0].Principal"}},
		{"no principal", lint.ResourceBased, statement(ok), []string{"MISSING_PRINCIPAL Statement[0]"}},
		{"an empty Sid", lint.Identity, statement(ok + `,"Sid":""`), []string{"EMPTY_SID_VALUE Statement[0].Sid"}},
		{"a Sid with a space", lint.Identity, statement(ok + `,"Sid":"a b"`), []string{"UNSUPPORTED_SID Statement[0].Sid"}},
		{"a Sid twice", lint.Identity, head + `{"Sid":"a",` + ok + `},{"Sid":"a","Effect":"Deny",` + fine + `}]}`, []string{"UNIQUE_SIDS_REQUIRED Statement[1].Sid"}},
		{"a statement twice", lint.Identity, head + `{"Sid":"a",` + ok + `},{"Sid":"b","Effect":"Allow","Action":["BEDROCK:invokemodel*"],"Resource":["*"]}]}`, []string{"REDUNDANT_STATEMENT Statement[0]"}},

		{"an unknown action", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModels","Resource":"*"`), []string{"INVALID_ACTION Statement[0].Action"}},
		{"an operation that is no action", lint.Identity, statement(`"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:Converse"],"Resource":"*"`), []string{"INVALID_ACTION Statement[0].Action[1]"}},
		{"an unknown service", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock-runtime:InvokeModel","Resource":"*"`), []string{"INVALID_SERVICE_IN_ACTION Statement[0].Action"}},
		{"another service of AWS's", lint.Identity, statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"`), nil},
		{"no service", lint.Identity, statement(`"Effect":"Allow","Action":"InvokeModel","Resource":"*"`), []string{"REFUSED "}},
		{"a star for a service", lint.Identity, statement(`"Effect":"Deny","Action":"*:InvokeModel*","Resource":"*"`), []string{"WILDCARD_IN_SERVICE_NAME Statement[0].Action"}},
		{"a variable in an action", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:${aws:username}","Resource":"*"`), []string{"VARIABLE_UNSUPPORTED_IN_ELEMENT Statement[0].Action"}},
		{"an action twice", lint.Identity, statement(`"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:Invoke*"],"Resource":"*"`), []string{"REDUNDANT_ACTION Statement[0].Action[0]"}},
		{"no actions", lint.Identity, statement(`"Effect":"Allow","Action":[],"Resource":"*"`), []string{"REFUSED ", "EMPTY_ARRAY_ACTION Statement[0].Action"}},

		{"no ARN", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"my-app-profile"`), []string{"INVALID_ARN_PREFIX Statement[0].Resource"}},
		{"four fields", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1"`), []string{"MISSING_ARN_FIELD Statement[0].Resource"}},
		{"an unknown partition", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:amazon:bedrock:us-east-1::foundation-model/*"`), []string{"INVALID_PARTITION Statement[0].Resource"}},
		{"a service in capitals", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:Bedrock:us-east-1::foundation-model/*"`), []string{"INVALID_ARN_SERVICE_CASE Statement[0].Resource"}},
		{"an unknown service's ARN", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrok:us-east-1::foundation-model/*"`), []string{"INVALID_SERVICE Statement[0].Resource"}},
		{"eleven digits", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:12345678901:inference-profile/*"`), []string{"INVALID_ARN_ACCOUNT Statement[0].Resource"}},
		{"no account", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1::application-inference-profile/*"`), []string{"INVALID_ARN_ACCOUNT Statement[0].Resource"}},
		{"a model's account", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:foundation-model/*"`), []string{"ARN_ACCOUNT_NOT_ALLOWED Statement[0].Resource"}},
		{"a user's Region", lint.Identity, statement(`"Effect":"Deny","Action":"iam:GetUser","Resource":"arn:aws:iam:us-east-1:123456789012:user/*"`), []string{"ARN_REGION_NOT_ALLOWED Statement[0].Resource"}},
		{"a profile without a Region", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock::123456789012:inference-profile/*"`), []string{"MISSING_ARN_REGION Statement[0].Resource"}},
		{"a global model without a Region", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:::foundation-model/*"`), nil},
		{"an unknown type", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:inference-profiles/*"`), []string{"INVALID_ARN_RESOURCE Statement[0].Resource"}},
		{"a resource twice", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":["*","` + app + `"]`), []string{"REDUNDANT_RESOURCE Statement[0].Resource[1]"}},
		{"a type that the action has not", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":["arn:aws:bedrock:*::foundation-model/*","arn:aws:bedrock:us-east-1:123456789012:guardrail/*"]`), []string{"RESOURCE_WITHOUT_ACTION Statement[0].Resource[1]"}},
		{"an action without resources", lint.Identity, statement(`"Effect":"Allow","Action":["bedrock:GetInferenceProfile","bedrock:ListInferenceProfiles"],"Resource":"` + app + `"`), []string{"ACTION_WITHOUT_RESOURCE Statement[0].Action[1]"}},
		// As in AWS's AWSOrganizationsServiceTrustPolicy, IAMAuditRootUserCredentials and SecurityAudit.
		{"lists of a path", lint.Identity, statement(`"Effect":"Allow","Action":"iam:ListRoles","Resource":"arn:aws:iam::*:role/aws-service-role/*"`), nil},
		{"the root user", lint.Identity, statement(`"Effect":"Deny","Action":"iam:*","NotResource":"arn:aws:iam::*:root"`), nil},
		{"a service that was", lint.Identity, statement(`"Effect":"Allow","Action":"codestar:Verify*","Resource":"*"`), nil},
		{"no resources", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":[]`), []string{"REFUSED ", "EMPTY_ARRAY_RESOURCE Statement[0].Resource"}},

		{"no brace", lint.Identity, statement(`"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username"`), []string{"MISSING_BRACE_IN_VARIABLE Statement[0].Resource"}},
		{"no quotes", lint.Identity, statement(`"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username, none}"`), []string{"MISSING_QUOTE_IN_VARIABLE Statement[0].Resource"}},
		{"a space", lint.Identity, statement(`"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws: username}"`), []string{"UNSUPPORTED_SPACE_IN_VARIABLE Statement[0].Resource"}},
		{"a variable that is none", lint.Identity, conditioned("Deny", `{"StringNotEquals":{"aws:ResourceTag/team":["${aws:PrincipalTags/team}","${aws:PrincipalTag/team}"]}}`), []string{"UNKNOWN_VARIABLE Statement[0].Condition.StringNotEquals.aws:ResourceTag/team[0]"}},
		{"a tag's variable without the tag", lint.Identity, statement(`"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:PrincipalTag, 'none'}"`), []string{"UNKNOWN_VARIABLE Statement[0].Resource"}},
		{"an empty variable", lint.Identity, statement(`"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${}"`), []string{"EMPTY_VARIABLE Statement[0].Resource"}},
		{"a variable in 2008", lint.Identity, `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username}"}]}`, []string{"VARIABLE_UNSUPPORTED_IN_VERSION Statement[0].Resource"}},
		{"a variable in a date", lint.Identity, conditioned("Deny", `{"DateLessThan":{"aws:CurrentTime":"${aws:TokenIssueTime}"}}`), []string{"INVALID_VARIABLE_FOR_OPERATOR Statement[0].Condition.DateLessThan.aws:CurrentTime"}},

		{"an unknown operator", lint.Identity, conditioned("Deny", `{"StringEqual":{"aws:username":"a"}}`), []string{"INVALID_CONDITION_OPERATOR Statement[0].Condition.StringEqual"}},
		{"Null and IfExists", lint.Identity, conditioned("Deny", `{"NullIfExists":{"aws:username":"true"}}`), []string{"NULL_WITH_IF_EXISTS Statement[0].Condition.NullIfExists"}},
		{"no operators", lint.Identity, conditioned("Deny", `{}`), []string{"EMPTY_OBJECT_CONDITION Statement[0].Condition"}},
		{"no values", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:username":[]}}`), []string{"EMPTY_ARRAY_CONDITION Statement[0].Condition.StringEquals.aws:username"}},
		{"an unknown key", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:usernam":"a"}}`), []string{"INVALID_GLOBAL_CONDITION_KEY Statement[0].Condition.StringEquals.aws:usernam"}},
		{"an unknown key of Bedrock", lint.Identity, conditioned("Deny", `{"ArnLike":{"bedrock:InferenceProfile":"`+app+`"}}`), []string{"INVALID_SERVICE_CONDITION_KEY Statement[0].Condition.ArnLike.bedrock:InferenceProfile"}},
		{"a key of another service", lint.Identity, conditioned("Deny", `{"StringEquals":{"s3:prefix":"a"}}`), nil},
		{"no key", lint.Identity, conditioned("Deny", `{"StringEquals":{"username":"a"}}`), []string{"INVALID_CONDITION_KEY_FORMAT Statement[0].Condition.StringEquals.username"}},
		{"a key in another case", lint.Identity, conditioned("Deny", `{"StringEquals":{"AWS:UserName":"a"}}`), nil},
		{"a key twice", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:username":"a","aws:UserName":"b"}}`), []string{"DUPLICATE_KEYS_WITH_DIFFERENT_CASE Statement[0].Condition.StringEquals.aws:UserName"}},
		{"a tag without its key", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:PrincipalTag/":"a"}}`), []string{"MISSING_TAG_KEY_IN_CONDITION Statement[0].Condition.StringEquals.aws:PrincipalTag/"}},
		{"a string operator on a boolean", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:SecureTransport":"false"}}`), []string{"TYPE_MISMATCH Statement[0].Condition.StringEquals"}},
		{"a string operator on an ARN", lint.Identity, conditioned("Deny", `{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a"}}`), nil},
		{"several values without a qualifier", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:TagKeys":"a"}}`), []string{"MISSING_QUALIFIER Statement[0].Condition.StringEquals.aws:TagKeys"}},
		{"ForAllValues of one value", lint.Identity, conditioned("Allow", `{"ForAllValues:StringEquals":{"aws:username":"a"}}`), []string{"FORALLVALUES_WITH_SINGLE_VALUED_KEY Statement[0].Condition.ForAllValues:StringEquals"}},
		{"ForAllValues of none", lint.Identity, conditioned("Allow", `{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}`), []string{"FORALLVALUES_WITHOUT_NULL Statement[0].Condition.ForAllValues:StringEquals"}},
		{"ForAllValues of some", lint.Identity, conditioned("Allow", `{"ForAllValues:StringEquals":{"aws:TagKeys":"a"},"Null":{"aws:TagKeys":"false"}}`), nil},
		{"ForAllValues beside a tag", lint.Identity, conditioned("Allow", `{"ForAllValues:StringEquals":{"aws:TagKeys":"a"},"StringEquals":{"aws:RequestTag/a":"b"}}`), nil},
		{"ForAllValues beside a tag that may be missing", lint.Identity, conditioned("Allow", `{"ForAllValues:StringEquals":{"aws:TagKeys":"a"},"StringEqualsIfExists":{"aws:RequestTag/a":"b"}}`), []string{"FORALLVALUES_WITHOUT_NULL Statement[0].Condition.ForAllValues:StringEquals"}},
		{"two booleans", lint.Identity, conditioned("Deny", `{"Bool":{"aws:SecureTransport":["true","false"]}}`), []string{"INVALID_CONDITION_MULTIPLE_BOOLEAN Statement[0].Condition.Bool.aws:SecureTransport"}},
		{"no boolean", lint.Identity, conditioned("Deny", `{"Bool":{"aws:SecureTransport":"no"}}`), []string{"REFUSED ", "TYPE_MISMATCH_BOOLEAN Statement[0].Condition.Bool.aws:SecureTransport"}},
		{"no date", lint.Identity, conditioned("Deny", `{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`), []string{"REFUSED ", "TYPE_MISMATCH_DATE Statement[0].Condition.DateLessThan.aws:CurrentTime"}},
		{"a year", lint.Identity, conditioned("Deny", `{"DateLessThan":{"aws:CurrentTime":"2021"}}`), []string{"INVALID_DATE_VALUE Statement[0].Condition.DateLessThan.aws:CurrentTime"}},
		{"no address", lint.Identity, conditioned("Deny", `{"IpAddress":{"aws:SourceIp":"10.0.0.300"}}`), []string{"REFUSED ", "TYPE_MISMATCH_IP_RANGE Statement[0].Condition.IpAddress.aws:SourceIp"}},
		{"bits behind the mask", lint.Identity, conditioned("Deny", `{"IpAddress":{"aws:SourceIp":"203.0.113.7/24"}}`), []string{"IMPROVE_IP_RANGE Statement[0].Condition.IpAddress.aws:SourceIp"}},
		{"no number", lint.Identity, conditioned("Deny", `{"NumericLessThan":{"aws:MultiFactorAuthAge":"an hour"}}`), []string{"REFUSED ", "TYPE_MISMATCH_NUMBER Statement[0].Condition.NumericLessThan.aws:MultiFactorAuthAge"}},
		{"a star without Like", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:username":"a*"}}`), []string{"WILDCARD_WITHOUT_LIKE_OPERATOR Statement[0].Condition.StringEquals.aws:username"}},
		{"a star that is meant", lint.Identity, conditioned("Deny", `{"StringEquals":{"aws:username":"a${*}"}}`), nil},

		{"PassRole", lint.Identity, statement(`"Effect":"Allow","Action":"iam:PassRole","Resource":"*"`), []string{"PASS_ROLE_WITH_STAR_IN_RESOURCE Statement[0].Action"}},
		{"PassRole to a service", lint.Identity, statement(`"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ecs.amazonaws.com"}}`), nil},
		{"all", lint.Identity, statement(`"Effect":"Allow","Action":"*","Resource":"*"`), []string{"PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE Statement[0].Action"}},
		{"all but", lint.Identity, statement(`"Effect":"Allow","NotAction":"bedrock:*","Resource":"*"`), []string{"PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION Statement[0].NotAction"}},
		{"all but these", lint.Identity, statement(`"Effect":"Allow","NotAction":"bedrock:*","NotResource":"` + app + `"`), []string{"PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE Statement[0].NotAction"}},
		{"all in a guardrail", lint.ServiceControl, statement(`"Effect":"Allow","Action":"*","Resource":"*"`), nil},

		{"trust", lint.Trust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::123456789012:root"}`), nil},
		{"a trust policy's resource", lint.Trust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Principal":{"AWS":"arn:aws:iam::123456789012:root"}`), []string{"ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE Statement[0].Resource"}},
		{"trust in nobody's opposite", lint.Trust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:root"}`), []string{"ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL Statement[0].NotPrincipal"}},
		{"an unknown principal", lint.Trust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Aws":"arn:aws:iam::123456789012:root"}`), []string{"INVALID_PRINCIPAL_KEY Statement[0].Principal.Aws"}},
		{"a part of a principal", lint.Trust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"*.amazonaws.com"}`), []string{"UNSUPPORTED_WILDCARD_IN_PRINCIPAL Statement[0].Principal.Service"}},
		{"all but a principal", lint.ResourceBased, statement(ok + `,"NotPrincipal":{"AWS":"123456789012"}`), []string{"ALLOW_WITH_NOT_PRINCIPAL Statement[0].NotPrincipal"}},

		// Ours. What they say of decisions TestTold holds against the engine.
		{"a name", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/my-app-profile"`), []string{"PROFILE_NAME_IN_ARN Statement[0].Resource"}},
		{"the beginning of a name", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/my-*"`), []string{"PROFILE_NAME_IN_ARN Statement[0].Resource"}},
		{"an id", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":["` + app + `","arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x*"]`), nil},
		{"a system's id", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"`), nil},
		{"a profile alone", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"` + app + `"`), []string{"ALLOW_PROFILE_WITHOUT_MODELS Statement[0].Resource"}},
		{"a way around", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":["` + app + `","arn:aws:bedrock:*::foundation-model/*"]`), []string{"MODELS_WITHOUT_PROFILE_CONDITION Statement[0].Resource[1]"}},
		{"a way around, the key being optional", lint.Identity, head + `{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"` + app + `"},
			{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"ArnLikeIfExists":{"bedrock:InferenceProfileArn":"` + app + `"}}}]}`, []string{"MODELS_WITHOUT_PROFILE_CONDITION Statement[1].Resource"}},
		{"a way around that is closed to the wrong ones", lint.Identity, head + `{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":["` + app + `","arn:aws:bedrock:*::foundation-model/*"]},
			{"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"Null":{"bedrock:InferenceProfileArn":"false"}}}]}`, []string{"MODELS_WITHOUT_PROFILE_CONDITION Statement[0].Resource[1]"}},
		{"models have no tags", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":["arn:aws:bedrock:*:*:application-inference-profile/*","arn:aws:bedrock:*::foundation-model/*"],"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`),
			[]string{"ALLOW_PROFILE_WITHOUT_MODELS Statement[0].Resource[0]"}},
		// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html, which shows all of them allowed together.
		{"nobody is held to a profile", lint.Identity, statement(`"Effect":"Allow","Action":["bedrock:InvokeModel*","bedrock:CreateInferenceProfile"],"Resource":["arn:aws:bedrock:*::foundation-model/*","arn:aws:bedrock:*:*:inference-profile/*","arn:aws:bedrock:*:*:application-inference-profile/*"]`), nil},
		{"a name for an ARN", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"StringNotEquals":{"bedrock:InferenceProfileArn":"my-app-profile"}}`),
			[]string{"PROFILE_NAME_IN_ARN Statement[0].Condition.StringNotEquals.bedrock:InferenceProfileArn"}},
		{"a way around that is closed", lint.Identity, head + `{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":["` + app + `","arn:aws:bedrock:*::foundation-model/*"]},
			{"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"Null":{"bedrock:InferenceProfileArn":"true"}}}]}`, nil},
		{"always", lint.Identity, conditioned("Deny", `{"StringNotEquals":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}`),
			[]string{"CONDITION_ALWAYS_MET Statement[0].Condition.StringNotEquals", "WILDCARD_WITHOUT_LIKE_OPERATOR Statement[0].Condition.StringNotEquals.bedrock:InferenceProfileArn"}},
		{"not always", lint.Identity, conditioned("Deny", `{"StringNotEquals":{"bedrock:InferenceProfileArn":["arn:aws:bedrock:*:*:application-inference-profile/*","`+app+`"]}}`),
			[]string{"WILDCARD_WITHOUT_LIKE_OPERATOR Statement[0].Condition.StringNotEquals.bedrock:InferenceProfileArn[0]"}},
		{"never", lint.Identity, conditioned("Allow", `{"StringEquals":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}`),
			[]string{"CONDITION_NEVER_MET Statement[0].Condition.StringEquals", "WILDCARD_WITHOUT_LIKE_OPERATOR Statement[0].Condition.StringEquals.bedrock:InferenceProfileArn"}},
		{"ArnNotEquals takes stars", lint.Identity, conditioned("Deny", `{"ArnNotEquals":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}`), nil},
		{"everything by a missing key", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"ArnNotLike":{"bedrock:InferenceProfileArn":"` + app + `"}}`),
			[]string{"DENY_HITS_OTHER_OPERATIONS Statement[0].Condition.ArnNotLike"}},
		{"lists by NotResource", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:*","NotResource":"` + app + `"`), []string{"DENY_HITS_LISTS Statement[0].NotResource"}},
		{"streams", lint.Identity, statement(`"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*"`), []string{"DENY_MISSES_STREAMS Statement[0].Action"}},
		{"a global profile in its Region", lint.Identity, head + `{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0"},
			{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:us-east-1::foundation-model/*","Condition":{"Null":{"bedrock:InferenceProfileArn":"false"}}}]}`, []string{"GLOBAL_PROFILE_WITHOUT_MODEL Statement[0].Resource"}},
		{"a global model in a Region", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:::foundation-model/*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`),
			[]string{"REGION_WITHOUT_UNSPECIFIED Statement[0].Condition.StringEquals.aws:RequestedRegion"}},
		{"a global model in no Region", lint.Identity, statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:::foundation-model/*","Condition":{"StringEquals":{"aws:RequestedRegion":"unspecified"}}`), nil},
	} {
		findings := lint.Policy(c.kind, []byte(c.text))
		if got := found(findings); !slices.Equal(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
		for _, f := range findings {
			if strings.Contains(f.Details, "%!") || !strings.HasPrefix(f.LearnMore, "https://docs.aws.amazon.com/") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
	}
}

// TestPlaces: two findings of the AWS CLI's, where it shows them.
// Source: https://docs.aws.amazon.com/cli/latest/reference/accessanalyzer/validate-policy.html (Examples)
func TestPlaces(t *testing.T) {
	const text = `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "",
            "Effect": "Allow",
            "Principal": {
                "Federated": "cognito-identity.amazonaws.com"
            },
            "Action": [
                "sts:AssumeRoleWithWebIdentity"
            ]
        }
    ]
}`
	got := lint.Policy(lint.Trust, []byte(text))
	if len(got) != 1 || got[0].Code != "EMPTY_SID_VALUE" || got[0].Severity != lint.Suggestion || got[0].Details != "Add a value to the empty string in the Sid element." ||
		got[0].LearnMore != "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-suggestion-empty-sid-value" {
		t.Fatalf("found %+v", got)
	}
	l := got[0].Locations[0]
	if l.String() != "Statement[0].Sid" || l.Start != (lint.Position{Line: 5, Column: 19, Offset: strings.Index(text, `""`)}) || l.End != (lint.Position{Line: 5, Column: 21, Offset: strings.Index(text, `""`) + 2}) {
		t.Errorf("at %v: %+v", l, l)
	}
	// Characters count, not bytes.
	wide := strings.Replace(text, `"Effect": "Allow"`, `"Effect": "許可" , "Id": 1`, 1)
	for _, f := range lint.Policy(lint.Trust, []byte(wide)) {
		if f.Code != "INVALID_POLICY_ELEMENT" {
			continue
		}
		if at := f.Locations[0].Start; at.Column != 29 || string([]rune(wide)[at.Offset:at.Offset+4]) != `"Id"` {
			t.Errorf("Id is at %+v", at)
		}
		return
	}
	t.Error("no INVALID_POLICY_ELEMENT")
}

func read(t testing.TB, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMark: editors write a byte order mark that nobody sees.
func TestMark(t *testing.T) {
	got := lint.Policy(lint.Identity, []byte("\ufeff"+statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*"`)))
	if len(got) != 1 || got[0].Code != "JSON_SYNTAX_ERROR" || !strings.Contains(got[0].Advice, "byte order mark") {
		t.Errorf("found %+v", got)
	}
}

// TestComma: the documentation of a construct library shows this policy, in which a comma is missing.
func TestComma(t *testing.T) {
	got := lint.Policy(lint.Identity, read(t, "comma.json"))
	if len(got) != 1 || got[0].Details != "Fix the JSON syntax error at index 207 line 9 column 6." || !strings.Contains(got[0].Advice, "comma") {
		t.Errorf("found %+v", got)
	}
}

// The policy of a notebook that teaches inference profiles, as it prints it.
func TestNotebook(t *testing.T) {
	text := read(t, "notebook.json")
	want := []string{
		"PROFILE_NAME_IN_ARN Statement[0].Resource[0]", "ALLOW_PROFILE_WITHOUT_MODELS Statement[0].Resource[0]", "DENY_MISSES_STREAMS Statement[1].Action",
		"CONDITION_ALWAYS_MET Statement[1].Condition.StringNotEquals", "PROFILE_NAME_IN_ARN Statement[1].Condition.StringNotEquals.bedrock:InferenceProfileArn",
		"WILDCARD_WITHOUT_LIKE_OPERATOR Statement[1].Condition.StringNotEquals.bedrock:InferenceProfileArn",
	}
	if got := found(lint.Policy(lint.Identity, text)); !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
	const nova = "amazon.nova-2-lite-v1:0"
	corrected, err := lint.Correct(text, func(name string) (guard.Profile, bool) {
		return guard.Profile{ARN: app, Models: []string{nova}}, name == "my-app-profile"
	})
	if err != nil || len(corrected.Missing) > 0 {
		t.Fatalf("%+v, %v", corrected, err)
	}
	if got := lint.Policy(lint.Identity, corrected.Document); len(got) > 0 {
		t.Errorf("the corrected policy has %+v", got)
	}
	before, after := decider(t, text), decider(t, corrected.Document)
	other := strings.Replace(app, "abcdefghij12", "zyxwvutsrq98", 1)
	model := "arn:aws:bedrock:us-east-1::foundation-model/" + nova
	for _, action := range []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"} {
		for _, c := range []struct {
			resource, through string
			want              bool
		}{{app, app, true}, {model, app, true}, {model, "", false}, {other, other, false}, {model, other, false}} {
			if got := after(action, c.resource, c.through); got != c.want {
				t.Errorf("corrected: %s on %s through %q is %v", action, c.resource, c.through, got)
			}
			if before(action, c.resource, c.through) {
				t.Errorf("as it was: %s on %s through %q is allowed", action, c.resource, c.through)
			}
		}
	}
	// Without the ARN it says what is to be looked up, and until then that is an error.
	corrected, err = lint.Correct(text, nil)
	if err != nil || !slices.Equal(corrected.Missing, []string{"my-app-profile"}) || !lint.Failed(lint.Policy(lint.Identity, corrected.Document)) {
		t.Fatalf("%+v, %v", corrected, err)
	}
	filled := strings.ReplaceAll(string(corrected.Document), "ID-OF-my-app-profile", "abcdefghij12")
	if got := lint.Policy(lint.Identity, []byte(filled)); len(got) > 0 || !decider(t, []byte(filled))("bedrock:InvokeModel", app, app) {
		t.Errorf("with the id: %+v", got)
	}
}

// decider asks a document.
func decider(t testing.TB, text []byte) func(action, resource, through string) bool {
	p, err := policy.Parse("p", text)
	if err != nil {
		t.Fatal(err)
	}
	set := policy.Set{Identity: []*policy.Policy{p}}
	return func(action, resource, through string) bool {
		with := policy.Context{}
		if through != "" {
			with["bedrock:InferenceProfileArn"] = []string{through}
		}
		d := set.Decide(&policy.Request{Action: action, Resource: resource, Context: with})
		return d.Effect == policy.Allow
	}
}

// TestCorrectKeeps: what is not about calling models stays, and what is about more is not touched.
func TestCorrectKeeps(t *testing.T) {
	const cost = `{"Sid":"Costs","Effect":"Allow","Action":"ce:GetCostAndUsage","Resource":"*"}`
	corrected, err := lint.Correct([]byte(head+cost+`,{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"`+app+`"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !decider(t, corrected.Document)("ce:GetCostAndUsage", "*", "") || decider(t, corrected.Document)("ce:GetTags", "*", "") {
		t.Errorf("%s", corrected.Document)
	}
	for _, text := range []string{
		statement(`"Effect":"Allow","Action":"bedrock:*","Resource":"` + app + `"`), // more than calls
		statement(`"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*"`),  // no profile
		statement(`"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*"`), "{",
	} {
		if c, err := lint.Correct([]byte(text), nil); err == nil {
			t.Errorf("%s is corrected to %s", text, c.Document)
		}
	}
}

// TestCorrectAllowsNoMore: a correction takes nothing for a permission that is none, and drops nothing that holds back.
func TestCorrectAllowsNoMore(t *testing.T) {
	beta := strings.Replace(app, "abcdefghij12", "zyxwvutsrq98", 1)
	const model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
	calls := `"Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"]`
	allow := func(resource string) string { return `{"Effect":"Allow",` + calls + `,"Resource":` + resource + `}` }
	bare := `{"Effect":"Deny",` + calls + `,"Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"StringNotEquals":{"bedrock:InferenceProfileArn":"` + app + `"}}}`
	for name, text := range map[string]string{
		"a network":          statement(`"Effect":"Allow",` + calls + `,"Resource":"` + app + `","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`),
		"a tag":              statement(`"Effect":"Allow",` + calls + `,"Resource":"arn:aws:bedrock:*:*:application-inference-profile/*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}`),
		"all profiles but":   statement(`"Effect":"Allow",` + calls + `,"NotResource":"` + app + `"`),
		"all models but":     head + allow(`"`+app+`"`) + `,{"Effect":"Allow",` + calls + `,"Resource":"` + model + `","Condition":{"ArnNotLike":{"bedrock:InferenceProfileArn":"` + beta + `"}}}]}`,
		"not without MFA":    head + allow(`"*"`) + `,{"Effect":"Deny",` + calls + `,"Resource":"*","Condition":{"ArnNotEquals":{"bedrock:InferenceProfileArn":"` + beta + `"},"Bool":{"aws:MultiFactorAuthPresent":"false"}}},{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"` + model + `"}]}`,
		"nothing":            head + allow(`"`+app+`"`) + `,{"Effect":"Deny",` + calls + `,"Resource":"*"}]}`,
		"two that exclude":   head + allow(`"`+beta+`"`) + `,` + bare + `]}`,
		"a custom model":     head + allow(`["`+app+`","arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghij12"]`) + `]}`,
		"no name":            statement(`"Effect":"Allow",` + calls + `,"Resource":"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a'; rm -rf ~ #"`),
		"an ARN behind it":   statement(`"Effect":"Allow",` + calls + `,"Resource":"` + app + `,arn:aws:bedrock:*::foundation-model/*"`),
		"the start of names": statement(`"Effect":"Allow",` + calls + `,"Resource":"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/team-*"`),
		"no Region":          statement(`"Effect":"Allow",` + calls + `,"Resource":"arn:aws:bedrock::123456789012:application-inference-profile/abcdefghij12"`),
	} {
		if c, err := lint.Correct([]byte(text), nil); err == nil {
			t.Errorf("%s: %s is corrected to %s", name, text, c.Document)
		}
	}

	correct := func(text string) func(action, resource, through string) bool {
		t.Helper()
		c, err := lint.Correct([]byte(text), nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return decider(t, c.Document)
	}
	const invoke, stream = "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"
	ask := correct(head + allow(`["`+app+`","`+beta+`"]`) + `,{"Effect":"Deny",` + calls + `,"Resource":"` + beta + `"}]}`)
	if !ask(invoke, app, app) || ask(invoke, beta, beta) {
		t.Error("a profile that is denied is allowed")
	}
	ask = correct(head + allow(`["`+app+`","arn:aws:bedrock:*::foundation-model/*"]`) + `,{"Effect":"Deny",` + calls + `,"Resource":"arn:aws:bedrock:*::foundation-model/amazon.*"}]}`)
	if ask(invoke, model, app) || !ask(invoke, strings.Replace(model, "amazon.nova", "meta.llama", 1), app) {
		t.Error("a model that is denied is allowed")
	}
	ask = correct(statement(`"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"` + app + `"`))
	if !ask(invoke, app, app) || ask(stream, app, app) || ask(stream, model, app) {
		t.Error("streams are allowed where only calls were")
	}
	ask = correct(head + allow(`"*"`) + `,` + strings.Replace(bare, `,"bedrock:InvokeModelWithResponseStream"`, "", 1) + `]}`)
	if !ask(invoke, app, app) || !ask(stream, model, app) || ask(stream, model, "") || ask(invoke, beta, beta) {
		t.Error("what a denial excepts is what is meant, where everything is allowed")
	}
	ask = correct(head + strings.Replace(bare, `,"bedrock:InvokeModelWithResponseStream"`, "", 1) + `]}`)
	if ask(invoke, app, app) || ask(invoke, model, app) {
		t.Error("a document that denies only is corrected to one that allows")
	}
	ask = correct(head + allow(`"*"`) + `,{"Effect":"Deny",` + calls + `,"Resource":"*","Condition":{"StringNotEquals":{"bedrock:InferenceProfileArn":"my-app-profile"}}}]}`)
	if placed := "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ID-OF-my-app-profile"; !ask(invoke, placed, placed) || ask(invoke, app, app) {
		t.Error("a name in the condition")
	}
}

// TestFacts: the table is whole, and has what is served.
func TestFacts(t *testing.T) {
	for _, action := range []string{
		"bedrock:CallWithBearerToken", "bedrock:CountTokens", "bedrock:CreateInferenceProfile", "bedrock:ListTagsForResource", "ce:GetCostAndUsage", "ce:GetTags",
		"iam:CreateServiceSpecificCredential", "sts:AssumeRole", "sts:GetCallerIdentity", "sts:TagSession", "tag:GetResources", "cloudtrail:LookupEvents",
		"budgets:ViewBudget", "access-analyzer:ValidatePolicy", "outcrop:ExplainProfile",
	} {
		if got := lint.Policy(lint.Identity, []byte(statement(`"Effect":"Allow","Action":"`+action+`","Resource":"*"`))); len(got) > 0 {
			t.Errorf("%s: %+v", action, got)
		}
	}
}

// FuzzPolicy: what package policy refuses is an error, and every place is in the document.
func FuzzPolicy(f *testing.F) {
	for _, name := range []string{"comma.json", "notebook.json"} {
		f.Add(uint8(0), read(f, name))
	}
	cases, _ := filepath.Glob("../testdata/*.json")
	for _, name := range cases {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var c struct{ Identity, Resource []json.RawMessage }
		if json.Unmarshal(text, &c) == nil {
			for _, p := range c.Identity {
				f.Add(uint8(lint.Identity), []byte(p))
			}
			for _, p := range c.Resource {
				f.Add(uint8(lint.ResourceBased), []byte(p))
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		k := lint.Kind(kind % 5)
		findings := lint.Policy(k, text)
		parse := policy.Parse
		switch k {
		case lint.Trust:
			parse = policy.ParseTrust
		case lint.ResourceBased, lint.ResourceControl:
			parse = policy.ParseResource
		}
		if _, err := parse("", text); err != nil && !lint.Failed(findings) {
			t.Errorf("%v is not found", err)
		}
		length := utf8.RuneCount(text)
		for _, f := range findings {
			for _, l := range f.Locations {
				if l.Start.Offset < 0 || l.Start.Offset > l.End.Offset || l.End.Offset > length || l.Start.Line < 1 || l.Start.Column < 0 {
					t.Errorf("%s is at %+v of %d", f.Code, l, length)
				}
			}
			_ = f.Locations[0].String()
		}
		if c, err := lint.Correct(text, nil); err == nil {
			if _, err := policy.Parse("", c.Document); err != nil {
				t.Fatalf("the correction is refused: %v\n%s", err, c.Document)
			}
			ask := decider(t, c.Document)
			for _, action := range guard.Calls {
				if ask(action, "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "") {
					t.Errorf("the correction allows %s without a profile:\n%s", action, c.Document)
				}
			}
		}
	})
}
