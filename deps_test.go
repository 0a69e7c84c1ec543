// Package outcrop_test holds the rules of the whole module.
package outcrop_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which of our packages a package may import: the table of ARCHITECTURE.md. A package that is missing here
// fails the test, so that every new room is drawn on the map. A trailing "/*" stands for every package below.
var arrows = map[string][]string{
	"arn":                {},
	"fault":              {},
	"jsonvalues":         {},
	"converse":           {"jsonvalues", "fault"},
	"dialect/checker":    {"converse", "fault"},
	"dialect/outbound":   {"converse", "fault"},
	"dialect/anthropic":  {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/cohere":     {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/deepseek":   {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/jamba":      {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/llama":      {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/mistral":    {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/opaque":     {"converse"},
	"dialect/nova":       {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"dialect/openai":     {"dialect/outbound", "converse", "fault"},
	"dialect/titan":      {"dialect/checker", "dialect/outbound", "converse", "fault"},
	"socket":             {},
	"policy":             {"fault"},
	"policy/guard":       {},
	"policy/lint":        {"policy", "policy/guard", "fault"},
	"routing":            {},
	"catalog":            {"arn", "fault"},
	"ledger":             {"converse", "fault"},
	"upstream":           {"converse", "fault"},
	"upstream/client":    {"upstream", "upstream/http1"},
	"upstream/http1":     {"socket"},
	"upstream/sse":       {},
	"upstream/anthropic": {"upstream", "upstream/client", "upstream/http1", "upstream/sse", "dialect/*", "converse", "fault"},
	"upstream/bedrock":   {"upstream", "upstream/client", "upstream/http1", "dialect/*", "converse", "fault"},
	"upstream/openai":    {"upstream", "upstream/client", "upstream/http1", "upstream/sse", "dialect/*", "converse", "fault"},
	"upstream/simulated": {"upstream", "dialect/*", "converse", "fault"},
	"iam":                {"policy", "arn", "fault"},
	"audit":              {"iam", "arn", "fault"},
	"profile":            {"catalog", "routing", "arn", "fault"},
	"archive":            {"ledger", "converse"},
	"cost":               {"ledger", "catalog", "converse", "fault"},
	"reconcile":          {"cost", "ledger", "catalog", "converse", "arn"},
	"export":             {"cost", "catalog", "ledger"},
	"invoke":             {"profile", "routing", "iam", "policy", "upstream", "ledger", "cost", "catalog", "converse", "arn", "fault"},
	"store":              {"profile", "iam", "audit", "ledger", "archive", "cost", "converse", "arn", "fault"},
	"wire":               {"iam", "audit", "jsonvalues", "fault"},
	"wire/http1":         {"socket"},
	"api/accessanalyzer": {"wire", "policy/lint", "fault"},
	"api/anthropic":      {"wire", "invoke", "upstream", "profile", "catalog", "iam", "dialect/anthropic", "converse", "fault"},
	"api/bedrock":        {"wire", "profile", "catalog", "iam", "policy", "arn", "fault"},
	"api/bedrockruntime": {"wire", "invoke", "upstream", "catalog", "dialect/*", "converse", "fault"},
	"api/cloudtrail":     {"wire", "audit", "fault"},
	"api/costexplorer":   {"wire", "cost", "iam", "ledger", "fault"},
	"api/iam":            {"wire", "iam", "policy", "fault"},
	"api/openai":         {"wire", "invoke", "upstream", "profile", "catalog", "iam", "dialect/openai", "converse", "fault"},
	"api/outcrop":        {"wire", "invoke", "profile", "catalog", "iam", "arn", "fault"},
	"api/sts":            {"wire", "iam", "fault"},
	"cmd/outcrop":        {"*"},

	"api/resourcegroupstaggingapi": {"wire", "profile", "iam", "arn", "fault"},
}

// outside says which packages alone may import a package that shapes what it touches.
var outside = map[string][]string{
	"net/http":     {"wire", "wire/http1", "iam", "upstream", "upstream/client", "upstream/http1", "upstream/openai", "upstream/anthropic", "upstream/bedrock", "cmd/outcrop"},
	"database/sql": {"store"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,CgoFiles", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                 string
			Imports, GoFiles, CgoFiles []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "outcrop/")
		if len(p.GoFiles) == 0 || strings.HasSuffix(name, "test") {
			continue // tests, and conformance suites, which only tests import
		}
		seen[name] = true
		may, ok := arrows[name]
		if !ok {
			t.Errorf("%s is not in the table of packages", name)
			continue
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo", name)
		}
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, "outcrop/"); ok {
				if strings.HasSuffix(ours, "test") {
					t.Errorf("%s imports %s: test code in the product", name, ours)
				}
				if !allowed(may, ours) {
					t.Errorf("%s must not import %s", name, ours)
				}
			}
			if who, ok := outside[imp]; ok && !slices.Contains(who, name) {
				t.Errorf("%s must not import %s", name, imp)
			}
		}
	}
	for name := range arrows {
		if !seen[name] {
			t.Errorf("%s is in the table and does not exist", name)
		}
	}
}

func allowed(may []string, pkg string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		if prefix, ok := strings.CutSuffix(m, "*"); ok {
			return strings.HasPrefix(pkg, prefix)
		}
		return m == pkg
	})
}
