package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCLIGuard runs the commands of testdata/guard.sh with the AWS CLI.
func TestCLIGuard(t *testing.T) {
	notebook, err := filepath.Abs("../policy/lint/testdata/notebook.json")
	if err != nil {
		t.Fatal(err)
	}
	_, dir := awsScript(t, "guard", "", "NOTEBOOK="+notebook)
	read := func(name string) string { return printed(t, dir, name) }
	var codes []string
	for _, f := range decode[struct{ Findings []struct{ IssueCode string } }](t, dir, "findings.json").Findings {
		codes = append(codes, f.IssueCode)
	}
	for _, want := range []string{"PROFILE_NAME_IN_ARN", "CONDITION_ALWAYS_MET", "WILDCARD_WITHOUT_LIKE_OPERATOR"} {
		if !slices.Contains(codes, want) {
			t.Errorf("the server finds %v", codes)
		}
	}
	corrected := decode[struct{ CorrectedPolicy string }](t, dir, "corrected.json").CorrectedPolicy
	if !strings.Contains(corrected, ":application-inference-profile/") || strings.Contains(corrected, "my-app-profile") {
		t.Errorf("corrected:\n%s", corrected)
	}
	if got := read("scp-findings.txt"); got != "0" {
		t.Errorf("the guardrail has %s findings", got)
	}
	for _, name := range []string{"named", "tagged", "bound"} {
		if got := read(name + "-mine.txt"); !strings.Contains(got, `"stopReason"`) {
			t.Errorf("%s: the own profile: %s", name, got)
		}
		for _, what := range []string{"other", "bare", "system"} {
			if got := read(name + "-" + what + ".txt"); !strings.Contains(got, "(AccessDeniedException)") || !strings.Contains(got, "with an explicit deny in a") {
				t.Errorf("%s: %s: %s", name, what, got)
			}
		}
	}
}
