package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// TestOwnGeography: who may call through a profile of an operator's own geography is decided like behind one of AWS's: on the
// profile, and on the model in every destination.
func TestOwnGeography(t *testing.T) {
	const region, llama = "onprem-tokyo-1", "meta.llama3-1-8b-instruct-v1:0"
	s := start(t, options{config: `
geographies:
  - {name: onprem, destinations: [onprem-tokyo-1, onprem-osaka-1], models: ["` + llama + `"]}
upstreams:
  - {name: osaka, provider: simulated, regions: [onprem-osaka-1]}
`})
	ctx := deadline(t)
	made, err := s.bedrock(region).CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("edge"),
		ModelSource:          &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:" + region + ":" + account + ":inference-profile/onprem." + llama},
	})
	if err != nil {
		t.Fatal(err)
	}
	hello := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say hello."}}}}
	allow := func(resources ...string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":["` + strings.Join(resources, `","`) + `"]}]}`
	}
	both := allow(*made.InferenceProfileArn, modelARN("onprem-tokyo-1", llama), modelARN("onprem-osaka-1", llama))
	for name, c := range map[string]struct {
		policy string
		denied string // the resource that is missing
	}{
		"everything":   {both, ""},
		"a-wildcard":   {allow("arn:aws:bedrock:onprem-*"), ""},
		"no-osaka":     {allow(*made.InferenceProfileArn, modelARN("onprem-tokyo-1", llama)), modelARN("onprem-osaka-1", llama)},
		"models-alone": {allow("arn:aws:bedrock:*::foundation-model/*"), *made.InferenceProfileArn},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bedrockruntime.NewFromConfig(s.as(s.user(name, c.policy), region)).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: made.InferenceProfileArn, Messages: hello})
			if c.denied == "" && err != nil || c.denied != "" && (err == nil || !strings.Contains(err.Error(), "AccessDeniedException") || !strings.Contains(err.Error(), "on resource: "+c.denied)) {
				t.Errorf("%v, want a denial of %q", err, c.denied)
			}
		})
	}
	// Tokyo has no upstream: Osaka answered.
	for _, c := range s.settled(2) {
		if c.Region != region || c.ServedRegion != "onprem-osaka-1" || c.ResourceARN != *made.InferenceProfileArn {
			t.Errorf("%+v", c)
		}
	}
	if log := s.err.String(); !strings.Contains(log, "no upstream serves") || !strings.Contains(log, "onprem-tokyo-1") {
		t.Errorf("the start does not say that a Region has no upstream:\n%s", log)
	}
}

// TestUnservedAtStart: a server that starts without an upstream of a profile says so in its log.
func TestUnservedAtStart(t *testing.T) {
	config := func(region string) string {
		return "upstreams:\n  - {name: a, provider: simulated, regions: [" + region + "]}\n"
	}
	s := start(t, options{config: config("us-east-1")})
	made, err := s.bedrock("us-east-1").CreateInferenceProfile(deadline(t), &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("lonely"),
		ModelSource:          &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN("us-east-1", haiku)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.err.String(), "lonely") {
		t.Errorf("before: %s", s.err)
	}
	s.stop()
	s = start(t, options{data: s.data, config: config("eu-west-1")})
	eventually(t, "the log names the profile", func() bool {
		log := s.err.String()
		return strings.Contains(log, "no upstream serves the profile") && strings.Contains(log, "lonely") && strings.Contains(log, *made.InferenceProfileArn)
	})
}

// TestCatalogDiffStatus: scripts tell by the exit status whether a catalogue is the same, another, or could not be read.
func TestCatalogDiffStatus(t *testing.T) {
	printed := outcrop(t, nil, "catalog", "print")
	if printed.code != 0 {
		t.Fatal(printed.stderr)
	}
	same, other := filepath.Join(t.TempDir(), "same.json"), filepath.Join(t.TempDir(), "other.json")
	write(t, same, printed.stdout)
	write(t, other, strings.Replace(printed.stdout, `"status": "ACTIVE"`, `"status": "LEGACY"`, 1))
	for name, c := range map[string]struct {
		args []string
		code int
		says bool // something on standard error
	}{
		"same": {[]string{same}, 0, false}, "other": {[]string{other}, 1, false}, "missing": {[]string{other + ".not"}, 2, true}, "flag": {[]string{same, "--nothing"}, 2, true},
		"two": {[]string{same, same}, 2, true},
	} {
		if r := outcrop(t, nil, append([]string{"catalog", "diff"}, c.args...)...); r.code != c.code || (r.stderr != "") != c.says {
			t.Errorf("%s: exit status %d, %q", name, r.code, r.stderr)
		}
	}
}
