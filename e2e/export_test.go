package e2e

import (
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// TestExports: what is exported adds up, in another program, to what Cost Explorer answers, and is FOCUS by its own validator. A
// discount makes what is paid another amount than the list's.
func TestExports(t *testing.T) {
	interpreter := os.Getenv("FOCUS_PYTHON")
	if interpreter == "none" {
		t.Skip("there is no Python 3.12 for focus-validator")
	}
	if interpreter == "" {
		interpreter = "python3"
	}
	if r := command(t, nil, interpreter, "-c", "import focus_validator, duckdb"); r.code != 0 {
		missing(t, "%s has no focus-validator (see requirements-focus.txt; FOCUS_PYTHON names another): %s", interpreter, lastLine(r.stderr))
	}
	dir := t.TempDir()
	s := start(t, options{config: `catalog: {date: "2026-01-01", discounts: [{name: deal, percent: "12.5", effective: "2026-01-01"}]}
exports: [{name: focus, format: focus, to: "` + dir + `"}]
`})
	ctx := deadline(t)
	text := func(s string) []rt.Message {
		return []rt.Message{{Role: rt.ConversationRoleUser, Content: []rt.ContentBlock{&rt.ContentBlockMemberText{Value: s}}}}
	}
	projects := map[string]string{"Alpha": "us-east-1", "=Beta+1": "sa-east-1", "": "us-east-1"}
	for project, region := range projects {
		model := modelARN(region, haiku)
		if project != "" {
			model = s.profile(ctx, region, "p-"+region, model, map[string]string{"Project": project, "CostCenter": "CC-1"})
		}
		for i := range 7 {
			in := &bedrockruntime.ConverseInput{ModelId: aws.String(model), Messages: text(strings.Repeat("words ", 1+i*i)), RequestMetadata: map[string]string{"feature": "chat"}}
			if _, err := s.runtime(region).Converse(ctx, in); err != nil {
				t.Fatal(err)
			}
		}
	}
	byProject := s.grouped(ctx, "UnblendedCost", nil, byTag("Project"))
	eventually(t, "the ledger's index has every call", func() bool {
		byProject = s.grouped(ctx, "UnblendedCost", nil, byTag("Project"))
		return len(byProject) == 3 && s.grouped(ctx, "UsageQuantity", nil)[""].Sign() > 0
	})

	// The tests may run over midnight, on the last of a month.
	first, last := (*around().Start)[:7], (*around().End)[:7]
	periods := []string{"--period", first}
	if last != first {
		periods = append(periods, "--period", last)
	}
	for _, args := range [][]string{{"--format", "focus", "--name", "focus"}, {"--format", "focus", "--output", "csv", "--name", "focus-csv"}, {"--format", "cur", "--name", "cur", "--granularity", "day"}} {
		args = slices.Concat([]string{"export", "--data", s.data, "--config", s.config, "--to", dir}, args, periods)
		if r := outcrop(t, nil, args...); r.code != 0 {
			t.Fatalf("%q: %s", args, r.stderr)
		}
	}

	r := command(t, nil, interpreter, "testdata/focus/validate.py", dir)
	if r.code != 0 {
		t.Fatalf("validate.py: %s%s", r.stdout, r.stderr)
	}
	var said struct {
		Sums           map[string][][2]string
		Passed, Failed []string
		Output         string
	}
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	amounts := func(of string) map[string]*big.Rat {
		sums := map[string]*big.Rat{}
		for _, row := range said.Sums[of] {
			amount, ok := new(big.Rat).SetString(row[1])
			if !ok {
				t.Fatalf("%s: %q", of, row)
			}
			sums[row[0]] = amount
		}
		return sums
	}
	asked := map[string]map[string]*big.Rat{"usage types": s.grouped(ctx, "UnblendedCost", nil, byDimension("USAGE_TYPE")), "callers": {}}
	for _, of := range []string{"focus", "focus-csv", "cur"} {
		asked[of] = map[string]*big.Rat{}
	}
	for key, amount := range byProject {
		for _, of := range []string{"focus", "focus-csv", "cur"} {
			asked[of][strings.TrimPrefix(key, "Project$")] = amount
		}
	}
	for key, amount := range s.grouped(ctx, "UnblendedCost", nil, byTag("outcrop:principal")) {
		asked["callers"][strings.TrimPrefix(key, "outcrop:principal$")] = amount
	}
	for _, of := range slices.Sorted(maps.Keys(asked)) {
		if got := amounts(of); !same(got, asked[of]) {
			t.Errorf("%s: the files add up to%s\nCost Explorer says%s", of, show(got), show(asked[of]))
		}
	}

	// Of these two the rule InvoiceId-C-003-C wants one: null without an invoice, not null with one. Each is held against every row.
	if passed, failed := said.Passed, said.Failed; len(passed) < 300 || !slices.Contains(passed, "InvoiceId-C-003-C") || len(failed) != 1 || failed[0] != "InvoiceId-C-005-C" {
		t.Errorf("focus-validator: %d rules passed; failed: %q\n%s", len(passed), failed, said.Output)
	}
	if _, err := os.Stat(filepath.Join(dir, "focus", "metadata")); err != nil {
		t.Error(err)
	}
}
