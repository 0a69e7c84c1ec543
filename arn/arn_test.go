package arn

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	// Examples from the IAM user guide (reference-arns) and from answers of Amazon Bedrock.
	for _, tc := range []struct {
		in   string
		want ARN
	}{
		{"arn:aws:iam::123456789012:user/johndoe", ARN{"aws", "iam", "", "123456789012", "user/johndoe"}},
		{"arn:aws:sns:us-east-1:123456789012:example-sns-topic-name", ARN{"aws", "sns", "us-east-1", "123456789012", "example-sns-topic-name"}},
		{"arn:aws:s3:::amzn-s3-demo-bucket/*", ARN{"aws", "s3", "", "", "amzn-s3-demo-bucket/*"}},
		{"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", ARN{"aws", "bedrock", "us-east-1", "", "foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}},
		{"arn:aws:bedrock:::foundation-model/anthropic.claude-opus-4-6-v1", ARN{"aws", "bedrock", "", "", "foundation-model/anthropic.claude-opus-4-6-v1"}},
		{"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.x.y", ARN{"aws-us-gov", "bedrock", "us-gov-west-1", "123456789012", "inference-profile/us-gov.x.y"}},
		{"arn:aws:rds:eu-west-1:123456789012:db:mysql-db", ARN{"aws", "rds", "eu-west-1", "123456789012", "db:mysql-db"}},
	} {
		got, err := Parse(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tc.in, got, err, tc.want)
		}
		if s := got.String(); s != tc.in {
			t.Errorf("Parse(%q).String() = %q", tc.in, s)
		}
	}
	for _, in := range []string{
		"", "arn", "arn:", "ARN:aws:iam::1:user/x", "aws:bedrock:us-east-1::foundation-model/x", "arn:aws:bedrock:us-east-1:foundation-model/x",
		"arn:aws:bedrock:us-east-1::", "arn::bedrock:us-east-1::x", "arn:aws::us-east-1::x", "custom-bedrock-profile",
	} {
		if got, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, got)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][2]string{
		"inference-profile/us.x-v1:0":    {"inference-profile", "us.x-v1:0"},
		"custom-model/imported/abc":      {"custom-model", "imported/abc"},
		"example-sns-topic-name":         {"example-sns-topic-name", ""},
		"application-inference-profile/": {"application-inference-profile", ""},
	} {
		if kind, id := (ARN{Resource: in}).Split(); [2]string{kind, id} != want {
			t.Errorf("Split(%q) = %q, %q, want %q", in, kind, id, want)
		}
	}
}

func TestBedrockARNs(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{FoundationModel("us-east-1", "x.y-v1:0"), "arn:aws:bedrock:us-east-1::foundation-model/x.y-v1:0"},
		{FoundationModel("", "x.y-v1:0"), "arn:aws:bedrock:::foundation-model/x.y-v1:0"},
		{FoundationModel("us-gov-west-1", "x.y"), "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/x.y"},
		{SystemProfile("ap-northeast-1", "000000000000", "apac.x.y"), "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/apac.x.y"},
		{ApplicationProfile("cn-north-1", "000000000000", "abcdef123456"), "arn:aws-cn:bedrock:cn-north-1:000000000000:application-inference-profile/abcdef123456"},
		{Guardrail("us-gov-west-1", "000000000000", "abcdef123456"), "arn:aws-us-gov:bedrock:us-gov-west-1:000000000000:guardrail/abcdef123456"},
		{Partition("us-iso-east-1"), "aws-iso"},
		{Partition("us-isob-east-1"), "aws-iso-b"},
		{Partition("mx-central-1"), "aws"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
		"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef123456", "arn:::::", "arn:a:b:::/", "arn:aws:s3:::b/k:v",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if a != (ARN{}) {
				t.Errorf("Parse(%q) failed and returned %+v", s, a)
			}
			return
		}
		if got := a.String(); got != s {
			t.Errorf("Parse(%q).String() = %q", s, got)
		}
		if a.Partition == "" || a.Service == "" || a.Resource == "" {
			t.Errorf("Parse(%q) = %+v: an empty part", s, a)
		}
		for _, part := range []string{a.Partition, a.Service, a.Region, a.Account} {
			if strings.Contains(part, ":") {
				t.Errorf("Parse(%q) = %+v: a colon in a part", s, a)
			}
		}
		kind, id := a.Split()
		if kind != a.Resource && kind+"/"+id != a.Resource {
			t.Errorf("Split(%q) = %q, %q", a.Resource, kind, id)
		}
	})
}
