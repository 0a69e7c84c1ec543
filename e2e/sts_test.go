package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bt "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
)

// TestCLISessions runs the commands of testdata/sts.sh with the AWS CLI.
func TestCLISessions(t *testing.T) {
	s, dir := awsScript(t, "sts", "")
	read := func(name string) string { return printed(t, dir, name) }
	const session = "arn:aws:sts::000000000000:assumed-role/caller/ci-7"
	if me := decode[struct{ Arn, UserId string }](t, dir, "identity.json"); me.Arn != session || !strings.HasPrefix(me.UserId, "AROA") || !strings.HasSuffix(me.UserId, ":ci-7") {
		t.Errorf("the session is %+v", me)
	}
	if me := decode[struct{ Arn string }](t, dir, "own-identity.json"); me.Arn != "arn:aws:iam::000000000000:user/ci" {
		t.Errorf("with a session token of its own the user is %+v", me)
	}
	if got := decode[struct{ PackedPolicySize int }](t, dir, "session.json"); got.PackedPolicySize < 1 || got.PackedPolicySize > 100 {
		t.Errorf("packed policy size %d", got.PackedPolicySize)
	}
	if used := decode[struct{ Region, LastUsedDate string }](t, dir, "used.json"); used.Region != "us-east-1" || used.LastUsedDate == "" {
		t.Errorf("the role was used last %+v", used)
	}
	growth, ops, role := read("growth.arn"), read("ops.arn"), read("role.arn")
	denied := func(who, action, resource string) string {
		return "User: " + who + " is not authorized to perform: " + action + " on resource: " + resource
	}
	for file, want := range map[string]string{
		"root.txt":           "(AccessDenied) when calling the AssumeRole operation: Roles may not be assumed by root accounts.",
		"external.txt":       denied("arn:aws:iam::000000000000:user/ci", "sts:AssumeRole", role),
		"untagged.txt":       denied("arn:aws:iam::000000000000:user/ci", "sts:AssumeRole", role),
		"long.txt":           "(ValidationError) when calling the AssumeRole operation: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
		"other-team.txt":     denied(session, "bedrock:InvokeModel", ops) + " because no identity-based policy allows the bedrock:InvokeModel action",
		"bare.txt":           denied(session, "bedrock:InvokeModel", modelARN("us-east-1", haiku)) + " because no identity-based policy allows the bedrock:InvokeModel action",
		"iam.txt":            "(AccessDenied) when calling the ListUsers operation",
		"forged.txt":         "(InvalidClientTokenId)",
		"own-iam.txt":        "(InvalidClientTokenId)",
		"guardrail.txt":      denied(session, "bedrock:InvokeModel", growth) + " with an explicit deny in a service control policy",
		"root-guardrail.txt": denied("arn:aws:iam::000000000000:root", "bedrock:InvokeModel", growth) + " with an explicit deny in a service control policy",
		"guardrails.txt":     "FullAWSAccess",
		"tagged.json":        growth,
		"tag.json":           `"FailedResourcesMap": {}`,
		"keys.json":          `"env"`,

		"instance-profiles.json": `"InstanceProfiles": []`,
		"gone.txt":               "(InvalidClientTokenId)",
		"team-values.json":       `"growth"`,
		"who.json":               `"iamPrincipal/Team$growth"`,
		"who.csv":                ",ci-7,growth,0.0",
	} {
		if got := read(file); !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", file, got, want)
		}
	}
	if strings.Contains(read("tagged.json"), ops) {
		t.Error("the tag filter finds the other team's profile")
	}
	calls := s.settled(1)
	if len(calls) != 1 || calls[0].Principal != session || calls[0].ResourceARN != growth {
		t.Errorf("the ledger has %+v", calls)
	}
}

// TestPermissionSets: a user who has all the actions that the guides ask for may do all of it, one who has all but one lacks that
// one and nothing else, and one who has a single action may do that alone. The set is the one of the article on application
// inference profiles; printed elsewhere without CreateInferenceProfile, it allows no creation.
func TestPermissionSets(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	const region = "us-east-1"
	kept := s.profile(ctx, region, "kept", modelARN(region, haiku), nil)
	type client = *bedrock.Client
	one := []bt.Tag{{Key: aws.String("Project"), Value: aws.String("Alpha")}}
	deletable := func() string { return s.profile(ctx, region, "doomed", modelARN(region, haiku), nil) }
	operations := []struct {
		action string
		call   func(client) error
	}{
		{"CreateInferenceProfile", func(c client) error {
			_, err := c.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{InferenceProfileName: aws.String("made"), ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN(region, haiku)}})
			return err
		}},
		{"GetInferenceProfile", func(c client) error {
			_, err := c.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: &kept})
			return err
		}},
		{"ListInferenceProfiles", func(c client) error {
			_, err := c.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{})
			return err
		}},
		{"DeleteInferenceProfile", func(c client) error {
			_, err := c.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: aws.String(deletable())})
			return err
		}},
		{"TagResource", func(c client) error {
			_, err := c.TagResource(ctx, &bedrock.TagResourceInput{ResourceARN: &kept, Tags: one})
			return err
		}},
		{"UntagResource", func(c client) error {
			_, err := c.UntagResource(ctx, &bedrock.UntagResourceInput{ResourceARN: &kept, TagKeys: []string{"Project"}})
			return err
		}},
		{"ListTagsForResource", func(c client) error {
			_, err := c.ListTagsForResource(ctx, &bedrock.ListTagsForResourceInput{ResourceARN: &kept})
			return err
		}},
	}
	all := map[string]bool{}
	for _, o := range operations {
		all[o.action] = true
	}
	sets := map[string]map[string]bool{"everything": all, "nothing": {}}
	for _, o := range operations {
		sets["only-"+o.action] = map[string]bool{o.action: true}
		but := map[string]bool{}
		for a := range all {
			but[a] = a != o.action
		}
		sets["but-"+o.action] = but
	}
	for name, may := range sets {
		t.Run(name, func(t *testing.T) {
			actions := []string{`"bedrock:GetFoundationModel"`}
			for a, ok := range may {
				if ok {
					actions = append(actions, `"bedrock:`+a+`"`)
				}
			}
			c := bedrock.NewFromConfig(s.as(s.user(name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[`+strings.Join(actions, ",")+`],"Resource":"*"}]}`), region))
			for _, o := range operations {
				check(t, o.action, o.call(c), may[o.action])
			}
			// A creation with tags is tagging too.
			_, err := c.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{InferenceProfileName: aws.String("tagged"), ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN(region, haiku)}, Tags: one})
			action := "TagResource"
			if !may["CreateInferenceProfile"] {
				action = "CreateInferenceProfile"
			}
			check(t, action, err, may["CreateInferenceProfile"] && may["TagResource"])
			// None of it is calling a model.
			_, err = bedrockruntime.NewFromConfig(s.as(c.Options().Credentials, region)).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &kept, Messages: ask("Hi")})
			check(t, "InvokeModel", err, false)
		})
	}
}

// check holds what became of an operation against whether its action was allowed.
func check(t *testing.T, action string, err error, allowed bool) {
	t.Helper()
	if allowed {
		if err != nil {
			t.Errorf("%s: %v", action, err)
		}
		return
	}
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "AccessDeniedException" || !strings.HasSuffix(e.ErrorMessage(), "because no identity-based policy allows the bedrock:"+action+" action") {
		t.Errorf("%s: %v", action, err)
	}
}

// TestCompelledProfile: a policy that makes one profile compulsory, as notebooks on inference profiles mean it. As they print it,
// with the profile's name in the place of its ARN and with StringNotEquals, a * in it would be a plain star: every call is denied.
func TestCompelledProfile(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	const region = "us-east-1"
	mine := s.profile(ctx, region, "my-app-profile", modelARN(region, haiku), nil)
	other := s.profile(ctx, region, "other", modelARN(region, haiku), nil)
	policy := func(operator, profile string) string {
		return `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":["` + mine + `","arn:aws:bedrock:` + region + `::foundation-model/*"]},
			{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*","Condition":{"` + operator + `":{"bedrock:InferenceProfileArn":"` + profile + `"}}}]}`
	}
	users := map[string]aws.CredentialsProvider{
		"corrected":  s.user("corrected", policy("ArnNotEquals", mine)),
		"as-printed": s.user("as-printed", policy("StringNotEquals", "arn:aws:bedrock:"+region+":*:inference-profile/my-app-profile")),
	}
	for _, c := range []struct {
		user, model string
		allowed     bool
	}{
		{"corrected", mine, true}, {"corrected", other, false}, {"corrected", haiku, false}, {"corrected", haikuProfile, false},
		{"as-printed", mine, false}, {"as-printed", other, false}, {"as-printed", haiku, false},
	} {
		_, err := bedrockruntime.NewFromConfig(s.as(users[c.user], region)).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &c.model, Messages: ask("Hi")})
		if (err == nil) != c.allowed || err != nil && code(err) != "AccessDeniedException" {
			t.Errorf("%s %s: %v", c.user, c.model, err)
		}
	}
}
