package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// node is the interpreter for the scripts of js, once their packages are installed; without one the test is skipped or
// fails, see missing.
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
		missing(t, "no packages for the scripts of js: %v; `make e2e` installs them where npm is", err)
	}
	return path
}

const (
	embedder  = "amazon.titan-embed-text-v2:0"
	throttler = "anthropic.claude-3-sonnet-20240229-v1:0"
	cutter    = "anthropic.claude-3-5-sonnet-20240620-v1:0"
	citer     = "amazon.nova-lite-v1:0"
)

// faulty is a configuration with models that answer, one that always has too much to do, one that breaks off, and one behind
// Bedrock, at ENDPOINT, that cites.
const faulty = `
upstreams:
  - {name: cites, provider: bedrock, api_key_env: CITER_KEY, bedrock: {endpoint: ENDPOINT}, models: {"` + citer + `": "*"}}
  - {name: works, provider: simulated, models: {"` + haiku + `": it, "` + embedder + `": it}}
  - {name: throttles, provider: simulated, models: {"` + throttler + `": it}, simulated: {faults: {throttle: 1.0}}}
  - {name: cuts, provider: simulated, models: {"` + cutter + `": it}, simulated: {faults: {cut: 1.0}}}
`

// cites answers Converse and ConverseStream as a model does that has found its words in a search result. What it is asked must
// hold the search result, and in a later turn what it has cited.
func cites(t *testing.T) http.HandlerFunc {
	const citation = `{"title":"Rivers","source":"https://rivers.example","sourceContent":[{"text":"The Seine runs through Paris."}],"location":{"searchResultLocation":{"searchResultIndex":0,"start":0,"end":1}}}`
	const usage = `"usage":{"inputTokens":30,"outputTokens":8,"totalTokens":38}`
	return func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Messages []struct{ Content []map[string]json.RawMessage }
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &asked)
		}
		if err != nil || len(asked.Messages) == 0 || asked.Messages[0].Content[0]["searchResult"] == nil || asked.Messages[0].Content[1]["document"] == nil ||
			len(asked.Messages) > 1 && asked.Messages[1].Content[0]["citationsContent"] == nil {
			t.Errorf("asked %s: %v", body, err)
		}
		if !strings.HasSuffix(r.URL.Path, "-stream") {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"output":{"message":{"role":"assistant","content":[{"citationsContent":{"content":[{"text":"The Seine."}],"citations":[`+citation+`]}}]}},"stopReason":"end_turn",`+usage+`}`)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		encoder := eventstream.NewEncoder()
		for _, e := range [][2]string{
			{"messageStart", `{"role":"assistant"}`}, {"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"The Seine."}}`},
			{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"citation":` + citation + `}}`}, {"contentBlockStop", `{"contentBlockIndex":0}`},
			{"messageStop", `{"stopReason":"end_turn"}`}, {"metadata", `{` + usage + `}`},
		} {
			m := eventstream.Message{Payload: []byte(e[1])}
			m.Headers.Set(":message-type", eventstream.StringValue("event"))
			m.Headers.Set(":event-type", eventstream.StringValue(e[0]))
			m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
			if err := encoder.Encode(w, m); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestJavaScript runs the scripts of js, which check the answers for themselves and print what each call was told. The
// ledger must say the same.
func TestJavaScript(t *testing.T) {
	interpreter := node(t)
	for _, c := range []struct {
		name, script, argument string
		apiKey                 bool // else a signature
	}{
		{"AWS SDK over HTTP 2", "aws-sdk.mjs", "", false},
		{"AWS SDK over HTTP 1", "aws-sdk.mjs", "http1", false},
		{"AWS SDK with an API key", "aws-sdk.mjs", "", true},
		{"Anthropic's for Bedrock", "anthropic.mjs", "bedrock", false},
		{"Anthropic's for Bedrock with an API key", "anthropic.mjs", "bedrock", true},
		{"Anthropic's with an API key", "anthropic.mjs", "", true},
		{"OpenAI's with a signature", "openai.mjs", "", false},
		{"OpenAI's with an API key", "openai.mjs", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			behind := httptest.NewServer(cites(t))
			t.Cleanup(behind.Close)
			s := start(t, options{config: strings.Replace(faulty, "ENDPOINT", strconv.Quote(behind.URL), 1), env: []string{"CITER_KEY=ABSKexample"}})
			ctx := deadline(t)
			env := []string{"ENDPOINT=" + s.url, "AWS_ENDPOINT_URL=" + s.url, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "PROFILE_NAME=team-haiku"}
			for _, p := range []struct{ variable, name, model string }{
				{"PROFILE", "team-haiku", haiku},
				{"EMBEDDINGS", "team-search", embedder},
				{"THROTTLED", "team-busy", throttler},
				{"CUT", "team-broken", cutter},
				{"CITED", "team-library", citer},
			} {
				env = append(env, p.variable+"="+s.profile(ctx, "us-east-1", p.name, modelARN("us-east-1", p.model), map[string]string{"Team": p.name}))
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
			r := command(t, env, interpreter, filepath.Join("js", c.script), c.argument)
			var told []call
			if err := json.Unmarshal([]byte(r.stdout), &told); err != nil || r.code != 0 || len(told) == 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			for i, got := range s.settled(len(told)) {
				want := told[i]
				if got.Operation != want.Operation || got.ResourceARN != want.ResourceARN || got.Status != want.Status ||
					got.Principal != principal || got.Region != "us-east-1" || got.Tags["Team"] != got.ResourceName {
					t.Errorf("call %d by %s: the client was told %+v, the ledger says %+v", i, principal, want, got)
				} else if got.Status == "failed" {
					if got.Reason == "" {
						t.Errorf("call %d failed without a reason: %+v", i, got)
					}
				} else if got.StopReason != want.StopReason || got.InputTokens != want.InputTokens || got.OutputTokens != want.OutputTokens ||
					got.Estimated || got.Unrated || got.NanoUSD <= 0 {
					t.Errorf("call %d: the client was told %+v, the ledger says %+v", i, want, got)
				}
			}
		})
	}
}
