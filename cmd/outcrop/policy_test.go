package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outcrop/api/accessanalyzer"
	"outcrop/api/bedrock"
	"outcrop/api/bedrockruntime"
	"outcrop/api/costexplorer"
	iamapi "outcrop/api/iam"
	outcropapi "outcrop/api/outcrop"
	"outcrop/api/sts"
	"outcrop/invoke"
	"outcrop/policy/lint"
	"outcrop/wire"
)

func TestPolicyLint(t *testing.T) {
	status := func(err error) int {
		if e, ok := errors.AsType[exitStatus](err); ok {
			return e.status
		}
		if err != nil {
			t.Error(err)
		}
		return 0
	}
	dir := filepath.Join("..", "..", "policy", "lint", "testdata")
	out, err := run(t.Context(), "policy", "lint", filepath.Join(dir, "comma.json"))
	if want := `comma.json:9:7: ERROR JSON_SYNTAX_ERROR
  Fix the JSON syntax error at index 207 line 9 column 6.
  A comma or a colon is missing before this.
  | "bedrock:TagResource",
  | ^
`; status(err) != 1 || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = run(t.Context(), "policy", "lint", filepath.Join(dir, "notebook.json"))
	for _, want := range []string{
		"notebook.json:11:9: ERROR PROFILE_NAME_IN_ARN Statement[0].Resource[0]\n", "an id of 12 characters, a-z and 0-9, never its name",
		"notebook.json:19:9: ERROR CONDITION_ALWAYS_MET Statement[1].Condition.StringNotEquals\n", "The statement denies all that it names",
		`  | "StringNotEquals": {` + "\n" + `  | ^^^^^^^^^^^^^^^^^` + "\n",
		"What it means to do, this policy does:", "Put the id of the profile my-app-profile in place of ID-OF-my-app-profile",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said", want)
		}
	}
	if status(err) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	fine := filepath.Join(t.TempDir(), "fine.json")
	long := `{"Version":"2012-10-17","Statement":{"Sid":"","Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":["*"` + strings.Repeat(" ", 300) + "]}}"
	for text, want := range map[string]string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*"}}`: ": nothing to find\n",
		long: "SUGGESTION EMPTY_SID_VALUE",
	} {
		if err := os.WriteFile(fine, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err = run(t.Context(), "policy", "lint", fine); status(err) != 0 || !strings.Contains(out, want) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if _, err = run(t.Context(), "policy", "lint", "--type", "user", fine); err == nil || !strings.Contains(err.Error(), "identity, scp, resource or trust") {
		t.Errorf("an unknown type: %v", err)
	}
	if _, err = run(t.Context(), "policy", "lint", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there")
	}
}

// TestPolicyLintShows: a document of a stranger's steers no terminal, and no shell that what is printed is copied into.
func TestPolicyLintShows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	const name = "x'; touch /tmp/x #"
	text := "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\\u001b[2J\",\"\u202eAction\":\"\u009b2J\",\"Action\":\"bedrock:InvokeModel*\",\n" +
		`"Resource":"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/` + name + `"}]}`
	for _, text := range []string{text, "\x1b[2J" + text} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t.Context(), "policy", "lint", file)
		if _, failed := errors.AsType[exitStatus](err); !failed || strings.ContainsAny(out, "\x1b\u202e\u009b") {
			t.Errorf("%v\n%q", err, out)
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "aws bedrock") && strings.Contains(line, name) {
				t.Errorf("a command to copy: %s", line)
			}
		}
	}
}

// TestActionsKnown: what operations are authorized as is no unknown action to the linter.
func TestActionsKnown(t *testing.T) {
	n := 0
	for _, s := range []*wire.Service{
		bedrock.New(nil, nil), bedrockruntime.New(&invoke.Invoker{}), costexplorer.New(nil, nil), iamapi.New(nil), sts.New(nil, nil, nil), accessanalyzer.New(),
		outcropapi.New(outcropapi.Config{}),
	} {
		for _, op := range s.Ops {
			n++
			document := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"` + op.Action + `","Resource":"*"}}`
			for _, f := range lint.Policy(lint.Identity, []byte(document)) {
				if f.Severity == lint.Error {
					t.Errorf("%s: %s", op.Action, f.Details)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d operations", n)
	}
}

// TestGuardRefused: nothing is made where a part of it cannot be.
func TestGuardRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := New(t.Context(), defaults(), dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for args, want := range map[string]string{
		"": "which profiles", "nobody": "no application inference profile nobody", "--tag team --type user": "identity, boundary or scp", "--value growth": "--value goes with --tag",
		"--tag team --attach user/alice": "--attach goes with --create", "--tag team --type scp --create P": "print it instead",
		"--tag team --create P --attach alice": "want user/NAME", "--tag team --create P --attach user/alice": "cannot be found", "--tag team --type boundary --create P --attach group/g": "a group has no permissions boundary",
		"--tag te*m": "no *",
	} {
		if _, err := run(t.Context(), append(append([]string{"guard"}, strings.Fields(args)...), "--data", dir)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("guard %s: %v", args, err)
		}
	}
	o, err := s.people.Roster(t.Context(), s.config.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	if made := o.Policies(true, false); len(made) > 0 {
		t.Errorf("made %v", made)
	}
}
