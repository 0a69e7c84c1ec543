package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// node is the interpreter of JavaScript for the scripts of js, once their packages are installed.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "no Node.js: %v", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("js/node_modules/.package-lock.json"); err != nil { // npm writes it last
		missing(t, "no packages: %v; npm ci --prefix e2e/js installs them", err)
	}
	return path
}

// faulty is a configuration with a model that answers, one that always refuses for the load, and one that breaks off.
const faulty = `
upstreams:
  - {name: works, provider: simulated, models: {` + haiku + `: haiku, ` + embedder + `: embedder}}
  - {name: throttles, provider: simulated, models: {` + throttles + `: model}, simulated: {faults: {throttle: 1.0}}}
  - {name: cuts, provider: simulated, models: {` + cuts + `: model}, simulated: {faults: {cut: 1.0}}}
`

const (
	embedder  = "amazon.titan-embed-text-v2:0"
	throttles = "anthropic.claude-3-sonnet-20240229-v1:0"
	cuts      = "anthropic.claude-3-5-sonnet-20240620-v1:0"
)

// TestJavaScript runs the scripts of js, which check the answers for themselves and print what each call was told. The
// ledger must say the same.
func TestJavaScript(t *testing.T) {
	interpreter := node(t)
	const withKey, signed = true, false
	for _, c := range []struct {
		name   string
		apiKey bool
		args   []string
	}{
		{"AWS SDK over HTTP 2", signed, []string{"aws-sdk.mjs"}},
		{"AWS SDK over HTTP 1", signed, []string{"aws-sdk.mjs", "http1"}},
		{"AWS SDK with an API key", withKey, []string{"aws-sdk.mjs"}},
		{"Anthropic's for Bedrock", signed, []string{"anthropic.mjs", "bedrock"}},
		{"Anthropic's for Bedrock with an API key", withKey, []string{"anthropic.mjs", "bedrock"}},
		{"Anthropic's with an API key", withKey, []string{"anthropic.mjs"}},
		{"OpenAI's", signed, []string{"openai.mjs"}},
		{"OpenAI's with an API key", withKey, []string{"openai.mjs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{config: faulty})
			ctx := deadline(t)
			profile := func(name, model string) string {
				return s.profile(ctx, "us-east-1", name, modelARN("us-east-1", model), map[string]string{"Project": name})
			}
			const name = "javascript"
			arns := map[string]string{"PROFILE": profile(name, haiku), "EMBEDDINGS": profile("embeddings", embedder), "THROTTLED": profile("throttled", throttles), "CUT": profile("cut", cuts)}
			env := []string{"ENDPOINT=" + s.url, "AWS_ENDPOINT_URL=" + s.url, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "NODE_NO_WARNINGS=1", "PROFILE_NAME=" + name}
			for k, v := range arns {
				env = append(env, k+"="+v)
			}
			principal := "arn:aws:iam::" + account + ":root"
			if c.apiKey {
				var key struct{ UserName, ServiceCredentialSecret string }
				if err := json.Unmarshal([]byte(s.manage("keys", "create", "--bearer", "--json")), &key); err != nil {
					t.Fatal(err)
				}
				principal = "arn:aws:iam::" + account + ":user/" + key.UserName
				env = append(env, "AWS_BEARER_TOKEN_BEDROCK="+key.ServiceCredentialSecret)
			} else {
				env = append(env, "AWS_ACCESS_KEY_ID="+rootID, "AWS_SECRET_ACCESS_KEY="+rootSecret)
			}
			c.args[0] = filepath.Join("js", c.args[0])
			r := command(t, env, interpreter, c.args...)
			var told []call
			if err := json.Unmarshal([]byte(r.stdout), &told); err != nil || r.code != 0 || len(told) == 0 {
				t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
			}
			for i, got := range s.settled(len(told)) {
				want := told[i]
				failed := want.Status == "failed"
				if got.Status != want.Status || got.Operation != want.Operation || got.Principal != principal || got.Region != "us-east-1" || got.Unrated ||
					got.Tags["Project"] == "" || got.Tags["Project"] != got.ResourceName ||
					failed && got.Reason == "" ||
					!failed && (got.Estimated || got.StopReason != want.StopReason || got.InputTokens != want.InputTokens || got.OutputTokens != want.OutputTokens || got.NanoUSD <= 0 ||
						got.ResourceARN != arns["PROFILE"] && !(got.Operation == "Embeddings" && got.ResourceARN == arns["EMBEDDINGS"])) {
					t.Errorf("call %d: the client was told %+v, the ledger says %+v", i, want, got)
				}
			}
			if strings.TrimSpace(r.stderr) != "" {
				t.Logf("%s", r.stderr)
			}
		})
	}
}
