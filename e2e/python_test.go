package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// python is the interpreter that has a module; without one the test is skipped or fails, see missing.
func python(t *testing.T, module string) string {
	t.Helper()
	name := os.Getenv("PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "no Python: %v; PYTHON names one", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	if r := command(t, nil, path, "-c", "import "+module); r.code != 0 {
		missing(t, "%s has no %s (see requirements.txt; PYTHON names another): %s", name, module, lastLine(r.stderr))
	}
	return path
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// shell runs a script of testdata in a folder of its own, where it leaves files, and returns that folder.
func shell(t *testing.T, name, script string, env ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	r := command(t, append(env, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "PYTHONUTF8=1"), "sh", "-c", "cd '"+folder+"'\n"+script)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", name, r.code, r.stdout, r.stderr)
	}
	return folder
}

// awsScript starts a server and runs testdata/NAME.sh on it with the AWS CLI. The script has, besides env, OUTCROP (the
// program), DATA (the server's data folder), AWS (the CLI's folder), and YESTERDAY and OVERMORROW around its calls.
func awsScript(t *testing.T, name, config string, env ...string) (s *server, folder string) {
	t.Helper()
	aws := awsCommand(t)
	script, err := os.ReadFile("testdata/" + name + ".sh")
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, options{noRoot: true, config: config})
	outcrop, err := program()
	if err != nil {
		t.Fatal(err)
	}
	days := around()
	return s, shell(t, name+".sh", string(script), append(env, "OUTCROP="+outcrop, "DATA="+s.data, "AWS="+aws, "YESTERDAY="+*days.Start, "OVERMORROW="+*days.End)...)
}

// printed is what a command wrote into a file, without white space around it.
func printed(t *testing.T, folder, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// decode reads what a command printed.
func decode[T any](t *testing.T, folder, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v: %s", name, err, text)
	}
	return v
}

// awsCommand returns a folder with the aws command of the Python that has it.
func awsCommand(t *testing.T) (folder string) {
	t.Helper()
	interpreter, folder := python(t, "awscli"), t.TempDir()
	aws := filepath.Join(folder, "aws")
	write(t, aws, "#!/bin/sh\nexec '"+interpreter+"' -m awscli \"$@\"\n")
	if err := os.Chmod(aws, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestCLI runs the commands of testdata/cli.sh with the AWS CLI.
func TestCLI(t *testing.T) {
	_, dir := awsScript(t, "cli", "")

	type created struct{ InferenceProfileArn, Status string }
	type profile struct {
		InferenceProfileName, InferenceProfileArn, InferenceProfileId, Description, Type, Status, CreatedAt string
		Models                                                                                              []struct{ ModelArn string }
	}
	type list struct{ InferenceProfileSummaries []profile }
	type tags struct{ Tags []struct{ Key, Value string } }
	const sonnet = "anthropic.claude-3-5-sonnet-20240620-v1:0"
	want := map[string]struct{ file, description, model string }{
		"custom-bedrock-profile":      {"create-custom.json", "custom-bedrock-profile", sonnet},
		"project-alpha-claude-sonnet": {"create-project.json", "Project Alpha - Claude 3.5 Sonnet", sonnet},
		"marketing-team-claude-haiku": {"create-department.json", "Marketing Team - Claude 3 Haiku for content generation", haiku},
		"dev-claude-haiku":            {"create-dev.json", "", haiku},
		"prod-claude-sonnet":          {"create-prod.json", "", sonnet},
	}
	all := decode[list](t, dir, "list.json").InferenceProfileSummaries
	if len(all) != len(want) {
		t.Errorf("%d profiles are listed", len(all))
	}
	for _, p := range append(all, decode[profile](t, dir, "get-by-name.json"), decode[profile](t, dir, "get-by-arn.json")) {
		w, ok := want[p.InferenceProfileName]
		if !ok {
			t.Errorf("nobody made %+v", p)
			continue
		}
		c := decode[created](t, dir, w.file)
		if c.Status != "ACTIVE" || p.InferenceProfileArn != c.InferenceProfileArn || p.InferenceProfileId != id(c.InferenceProfileArn) || p.Description != w.description ||
			p.Type != "APPLICATION" || p.Status != "ACTIVE" || p.CreatedAt == "" || len(p.Models) != 1 || p.Models[0].ModelArn != modelARN("ap-northeast-1", w.model) {
			t.Errorf("made %+v, read %+v", c, p)
		}
	}
	if p := decode[profile](t, dir, "get-by-name.json"); p.InferenceProfileName != "custom-bedrock-profile" {
		t.Errorf("got by name: %+v", p)
	}
	for file, want := range map[string]map[string]string{
		"tags.json":       {"Project": "Alpha", "Department": "Engineering", "CostCenter": "CC-1001", "Environment": "Production"},
		"tags-after.json": {"Project": "Beta", "owner": "me"},
	} {
		got := map[string]string{}
		for _, tag := range decode[tags](t, dir, file).Tags {
			got[tag.Key] = tag.Value
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v", file, got)
		}
	}
	answer := decode[struct {
		Output struct {
			Message struct{ Content []struct{ Text string } }
		}
		Usage struct{ InputTokens, OutputTokens, TotalTokens int64 }
	}](t, dir, "converse.json")
	if len(answer.Output.Message.Content) != 1 || answer.Output.Message.Content[0].Text == "" || answer.Usage.TotalTokens != answer.Usage.InputTokens+answer.Usage.OutputTokens {
		t.Errorf("the answer is %+v", answer)
	}
	invoked := decode[struct {
		Type  string
		Usage struct {
			Input  int32 `json:"input_tokens"`
			Output int32 `json:"output_tokens"`
		}
	}](t, dir, "invoke-answer.json")
	if invoked.Type != "message" || invoked.Usage.Output <= 0 {
		t.Errorf("invoke-model gave %+v", invoked)
	}

	type costs struct {
		GroupDefinitions []struct{ Type, Key string }
		ResultsByTime    []struct {
			TimePeriod struct{ Start, End string }
			Groups     []struct {
				Keys    []string
				Metrics map[string]struct{ Amount, Unit string }
			}
		}
	}
	then := decode[costs](t, dir, "costs-then.json")
	if len(then.ResultsByTime) != 1 || then.ResultsByTime[0].TimePeriod.Start != "2024-01-01" || then.ResultsByTime[0].TimePeriod.End != "2024-01-31" ||
		len(then.ResultsByTime[0].Groups) != 0 || len(then.GroupDefinitions) != 2 || then.GroupDefinitions[1].Key != "Project" {
		t.Errorf("the month's costs are %+v", then)
	}
	sums := map[string]*big.Rat{}
	for _, r := range decode[costs](t, dir, "costs-now.json").ResultsByTime {
		for _, g := range r.Groups {
			amount, ok := new(big.Rat).SetString(g.Metrics["BlendedCost"].Amount)
			if !ok {
				t.Fatalf("the amount of %v is %+v", g.Keys, g.Metrics)
			}
			sums[strings.Join(g.Keys, "|")] = amount
		}
	}
	wantCosts := map[string]*big.Rat{
		// $3 a million tokens in, $15 out.
		service + "|Project$Beta": big.NewRat(3*answer.Usage.InputTokens+15*answer.Usage.OutputTokens, 1_000_000),
		service + "|Project$":     usd(invoked.Usage.Input, invoked.Usage.Output),
	}
	if !same(sums, wantCosts) {
		t.Errorf("these days' costs are%s\nwant%s", show(sums), show(wantCosts))
	}

	for file, want := range map[string]string{
		"costs-resources.json": `"name": "project-alpha-claude-sonnet"`, "forecast.txt": "(DataUnavailableException) when calling the GetCostForecast operation: Insufficient amount of historical data.",
		"cost-tags.json": `"TagKey": "outcrop:model"`, "cost-tags-update.json": `"TagKeysNotFoundException"`, "cost-tags-again.json": `"Errors": []`, "tags-now.json": `"Gamma"`,
	} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %v, want %s", file, text, err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "tags-inactive.json")); err != nil || strings.Contains(string(text), "Project") {
		t.Errorf("an inactive tag is listed: %s, %v", text, err)
	}

	if left := decode[list](t, dir, "list-after.json").InferenceProfileSummaries; len(left) != 0 {
		t.Errorf("left over: %+v", left)
	}
	gone, err := os.ReadFile(filepath.Join(dir, "gone.txt"))
	if err != nil || !strings.Contains(string(gone), "ResourceNotFoundException") {
		t.Errorf("after its deletion: %s, %v", gone, err)
	}
}

// TestCLIUsers runs the commands of testdata/iam.sh with the AWS CLI.
func TestCLIUsers(t *testing.T) {
	_, dir := awsScript(t, "iam", "")
	user := decode[struct {
		User struct {
			UserName, Arn string
			Tags          []struct{ Key, Value string }
		}
	}](t, dir, "user.json").User
	if user.Arn != "arn:aws:iam::000000000000:user/alice" || len(user.Tags) != 1 || user.Tags[0].Value != "growth" {
		t.Errorf("made %+v", user)
	}
	document := decode[struct {
		PolicyDocument struct {
			Statement []struct{ Resource string }
		}
	}](t, dir, "policy.json").PolicyDocument
	if len(document.Statement) != 1 || document.Statement[0].Resource != "arn:aws:iam::*:user/${aws:username}" {
		t.Errorf("the policy is %+v", document)
	}
	if names := decode[[]string](t, dir, "aws.json"); !slices.Contains(names, "AdministratorAccess") || !slices.Contains(names, "AmazonBedrockReadOnly") {
		t.Errorf("AWS's policies are %v", names)
	}
	credential := decode[struct {
		ServiceSpecificCredential struct{ ServiceName, ServiceCredentialSecret, Status string }
	}](t, dir, "credential.json").ServiceSpecificCredential
	if credential.ServiceName != "bedrock.amazonaws.com" || !strings.HasPrefix(credential.ServiceCredentialSecret, "ABSK") || credential.Status != "Active" {
		t.Errorf("the credential is %+v", credential)
	}
	if keys := decode[struct {
		AccessKeyMetadata []struct{ UserName, Status string }
	}](t, dir, "keys.json").AccessKeyMetadata; len(keys) != 1 || keys[0].UserName != "alice" || keys[0].Status != "Active" {
		t.Errorf("the keys are %+v", keys)
	}
	for file, want := range map[string]string{
		"users.txt":  "own-keys,arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess",
		"denied.txt": "(AccessDenied) when calling the ListUsers operation: User: arn:aws:iam::000000000000:user/alice is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::000000000000:user/ because no identity-based policy allows the iam:ListUsers action",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %v", file, text, err)
		}
	}
}

// TestCLIOwnRegion runs the AWS CLI in a Region that AWS does not have.
func TestCLIOwnRegion(t *testing.T) {
	config, err := os.ReadFile("testdata/onprem.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, dir := awsScript(t, "onprem", string(config))
	type profile struct {
		InferenceProfileArn, InferenceProfileId, Type string
		Models                                        []struct{ ModelArn string }
	}
	list := decode[struct{ InferenceProfileSummaries []profile }](t, dir, "list.json").InferenceProfileSummaries
	made, got := decode[profile](t, dir, "create.json"), decode[profile](t, dir, "get.json")
	if len(list) != 2 || list[0].InferenceProfileId != "onprem.meta.llama3-1-8b-instruct-v1:0" || list[0].Type != "SYSTEM_DEFINED" {
		t.Errorf("listed %+v", list)
	}
	if !strings.HasPrefix(made.InferenceProfileArn, "arn:aws:bedrock:onprem-tokyo-1:000000000000:application-inference-profile/") || got.InferenceProfileArn != made.InferenceProfileArn ||
		len(got.Models) != 2 || got.Models[1].ModelArn != modelARN("onprem-osaka-1", "meta.llama3-1-8b-instruct-v1:0") {
		t.Errorf("made %+v, got %+v", made, got)
	}
	usage := decode[struct {
		Usage struct{ InputTokens, OutputTokens int64 }
	}](t, dir, "converse.json").Usage
	costs := decode[struct {
		ResultsByTime []struct {
			Groups []struct {
				Keys    []string
				Metrics map[string]struct{ Amount string }
			}
		}
	}](t, dir, "cost.json")
	spent := new(big.Rat)
	for _, r := range costs.ResultsByTime {
		for _, g := range r.Groups {
			if amount, ok := new(big.Rat).SetString(g.Metrics["UnblendedCost"].Amount); ok && slices.Equal(g.Keys, []string{"Project$Edge"}) {
				spent.Add(spent, amount)
			}
		}
	}
	// 0.03 and 0.05 USD a million tokens.
	if want := big.NewRat(3*usage.InputTokens+5*usage.OutputTokens, 100_000_000); spent.Cmp(want) != 0 || spent.Sign() == 0 {
		t.Errorf("spent %s, want %s", spent.FloatString(12), want.FloatString(12))
	}
	for _, c := range s.settled(1) {
		if c.Region != "onprem-tokyo-1" || c.ServedRegion != "onprem-tokyo-1" || c.Unrated {
			t.Errorf("%+v", c)
		}
	}
}

// TestBoto3 runs the scripts of testdata with boto3, which check for themselves, on a server with the configuration of the
// same name where there is one.
func TestBoto3(t *testing.T) {
	interpreter := python(t, "boto3")
	scripts, err := filepath.Glob("testdata/*.py")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".py"), func(t *testing.T) {
			config, err := os.ReadFile(strings.TrimSuffix(script, ".py") + ".yaml")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			s := start(t, options{noRoot: true, config: string(config)})
			vars := environment(t, s.data)
			var env []string
			if filepath.Base(script) == "article.py" {
				// Its credentials and its endpoint come from the files of the AWS configuration.
				home := t.TempDir()
				write(t, filepath.Join(home, "config"), "[profile YOUR_AWS_PROFILE]\nregion = us-east-1\nendpoint_url = "+s.url+"\n")
				write(t, filepath.Join(home, "credentials"), "[YOUR_AWS_PROFILE]\naws_access_key_id = "+vars["AWS_ACCESS_KEY_ID"]+"\naws_secret_access_key = "+vars["AWS_SECRET_ACCESS_KEY"]+"\n")
				env = []string{"AWS_CONFIG_FILE=" + filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(home, "credentials")}
			} else {
				for _, k := range slices.Sorted(maps.Keys(vars)) {
					if strings.HasPrefix(k, "AWS_") {
						env = append(env, k+"="+vars[k])
					}
				}
			}
			r := command(t, append(env, "AWS_EC2_METADATA_DISABLED=true", "PYTHONUTF8=1"), interpreter, script)
			if r.code != 0 {
				t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}
