package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/ledger"
)

// billHeader are columns of CUR 2.0.
const billHeader = "line_item_line_item_type,line_item_usage_start_date,line_item_usage_end_date,line_item_product_code,line_item_usage_type,line_item_resource_id," +
	"line_item_usage_amount,line_item_unblended_cost,line_item_iam_principal,pricing_unit,product\n"

// reconcileFolder has two profiles, one of which AWS bills by another ARN, and a call that another server answered; and a bill.
func reconcileFolder(t *testing.T) (dir, config, bill string) {
	t.Helper()
	var entries []ledger.Entry
	for i, c := range []struct {
		profile, name, upstream string
		tokens, nano            int64
	}{
		{"alpha0000001", "alpha", "aws", 1000, 330_000},
		{"beta00000001", "=beta", "aws", 2000, 660_000},
		{"beta00000001", "=beta", "vllm", 100, 7},
	} {
		id := uuid.UUID{15: byte(i + 1)}
		at := time.Date(2026, 11, 3, 12, i, 0, 0, time.UTC)
		entries = append(entries, ledger.Entry{
			Intent: ledger.Intent{ID: id, Time: at, Account: rootAccount, Operation: "Converse", Region: "us-east-1", Principal: "arn:aws:iam::000000000000:user/u",
				ModelID: "amazon.nova-2-lite-v1:0", Scope: "us", ResourceName: c.name, ResourceARN: "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/" + c.profile},
			Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: c.upstream,
				Charges: []ledger.Charge{{UsageType: "USE1-Nova2.0Lite-input-tokens", Quantity: c.tokens, Nano: c.nano, Price: "p"}}},
		})
	}
	line := func(resource, thousands, usd, who string) string {
		return "Usage,2026-11-03T12:00:00.000Z,2026-11-03T13:00:00.000Z,AmazonBedrock,USE1-Nova2.0Lite-input-tokens," + resource + "," + thousands + "," + usd + "," + who + ",1K tokens,{}\n"
	}
	const at = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/"
	bill = filepath.Join(t.TempDir(), "cur.csv")
	text := billHeader + line(at+"alpha0000001", "1.0", "0.00033", "gw") + line(at+"billedbeta01", "2.0", "0.0008", "gw") +
		"Tax,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,AmazonBedrock,,,1,0.1,,,{}\n"
	if err := os.WriteFile(bill, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(`upstreams:
  - name: aws
    provider: bedrock
    bedrock: {profiles: {beta00000001: "`+at+`billedbeta01"}}
  - name: vllm
    provider: openai
    base_url: http://127.0.0.1:1/v1
    models: {"meta.llama3-1-8b-instruct-v1:0": m}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return folderOf(t, entries...), config, bill
}

// reconciled runs the command and returns what it printed, and its exit status.
func reconciled(t *testing.T, args ...string) (out, errors string, code int) {
	t.Helper()
	cmd := command()
	var o, e bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetArgs(append([]string{"reconcile"}, args...))
	err := cmd.ExecuteContext(t.Context())
	if err != nil {
		fmt.Fprint(&e, words(err))
	}
	return o.String(), e.String(), status(err)
}

// TestReconcile: the bill of AWS beside a ledger with its configuration, as a table, as CSV and as JSON.
func TestReconcile(t *testing.T) {
	dir, config, bill := reconcileFolder(t)
	args := []string{"--data", dir, "--config", config, bill}
	out, _, code := reconciled(t, args...)
	want := `Cost and Usage Report, 2026-11-03 to 2026-11-04 (UTC); AWS's files have usage until 2026-11-03 13:00

DAY         PROFILE        AWS USD  LEDGER USD   DRIFT USD     REASON            TOKENS
2026-11-01  (no resource)  0.1      0            0.1           tax               0       Tax
2026-11-03  =beta          0.0008   0.000660007  0.00014       price             0       USE1 Nova2.0Lite input: AWS 0.4, ledger 0.33 a million
                                                 -0.000000007  served-elsewhere  -100

Without any difference: 1 of 3 profiles and days

REASON            USD           TOKENS
price             0.00014       0       the same usage, at another rate
served-elsewhere  -0.000000007  -100    calls that AWS did not serve
tax               0.1           0       taxes
DRIFT             0.100139993           AWS 0.10113, ledger 0.000990007
`
	if out != want || code != 0 {
		t.Errorf("status %d\n%s\nwant\n%s", code, out, want)
	}

	if out, _, code = reconciled(t, append(args, "--csv")...); code != 0 {
		t.Fatal(out)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("%v: %s", err, out)
	}
	sums := [3]*big.Rat{new(big.Rat), new(big.Rat), new(big.Rat)} // AWS's, the ledger's, the drift
	for _, r := range rows[1:] {
		for i, column := range []int{3, 4, 6} {
			n, ok := new(big.Rat).SetString(r[column])
			if !ok {
				t.Fatal(r)
			}
			sums[i].Add(sums[i], n)
		}
	}
	if got := sums[0].FloatString(9) + " " + sums[1].FloatString(9) + " " + sums[2].FloatString(9); got != "0.101130000 0.000990007 0.100139993" {
		t.Errorf("the columns' sums are %s\n%s", got, out)
	}
	if rows[3][2] != "'=beta" {
		t.Errorf("a name that begins as a formula is %q", rows[3][2])
	}

	if out, _, code = reconciled(t, append(args, "--json", "--all")...); code != 0 {
		t.Fatal(out)
	}
	var doc struct {
		Drift string `json:"drift_usd"`
		Rows  []struct {
			Name  string `json:"name"`
			Drift string `json:"drift_usd"`
		} `json:"rows"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Drift != "0.100139993" || len(doc.Rows) != 3 || doc.Rows[2].Name != "=beta" || doc.Rows[1].Drift != "0" {
		t.Errorf("%v: %+v", err, doc)
	}
}

// TestReconcileStatus: what --fail-over lets pass, and how that differs from what could not be compared.
func TestReconcileStatus(t *testing.T) {
	dir, config, bill := reconcileFolder(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{bill}, 0, ""},
		{[]string{bill, "--fail-over", "0.1"}, 1, "amount to 0.100140007 USD, more than 0.1"},
		{[]string{bill, "--fail-over", "0.100140007"}, 0, ""},
		{[]string{bill, "--fail-over", "0.1", "--except", "tax"}, 0, ""},
		{[]string{bill, "--fail-over", "0.1%", "--except", "tax"}, 1, "more than 0.1%"}, // of 0.10113, which is less than 0.00014
		{[]string{bill, "--fail-over", "0.2%", "--except", "tax,served-elsewhere"}, 0, ""},
		{[]string{bill, "--fail-over", "0", "--except", "tax,price,served-elsewhere"}, 0, ""},
		{nil, 2, "requires at least 1 arg"},
		{[]string{bill + "x"}, 2, "no such file"},
		{[]string{config}, 2, "not a Cost and Usage Report"},
		{[]string{bill, "--fail-over", "-1"}, 2, "want US dollars"},
		{[]string{bill, "--fail-over", "a lot"}, 2, "want US dollars"},
		{[]string{bill, "--except", "luck"}, 2, "no such reason"},
		{[]string{bill, "--csv", "--json"}, 2, "want one of them"},
		{[]string{bill, "--profile", "x"}, 2, "want AWS-ARN=PROFILE"},
		{[]string{bill, "--since", "2026-11-03T12:00:00Z"}, 2, "compared whole"},
		{[]string{bill, "--since", "2026-11-05", "--until", "2026-11-04"}, 2, "no time from"},
		{[]string{bill, "--since", "2026-12"}, 2, "no usage of models"},
		{[]string{bill, "--nonsense"}, 2, "unknown flag"},
	} {
		out, errors, code := reconciled(t, append([]string{"--data", dir, "--config", config}, c.args...)...)
		if code != c.code || !strings.Contains(errors, c.says) {
			t.Errorf("%q: status %d, %q, want %d, %q\n%s", c.args, code, errors, c.code, c.says, out)
		}
	}
}

// TestReconcileExport: the ledger beside its own export in AWS's form has no difference, also of what AWS has no usage types for.
func TestReconcileExport(t *testing.T) {
	var entries []ledger.Entry
	for i, charges := range [][]ledger.Charge{
		{{UsageType: "USE1-Nova2.0Lite-input-tokens", Quantity: 1000, Nano: 330_001, Price: "p"}, {UsageType: "USE1-Nova2.0Lite-input-tokens-lost-attempt", Quantity: 7, Nano: 3, Price: "p"}},
		{{UsageType: "USE1-Nova2.0Lite-input-tokens-flex", Quantity: 700, Unrated: true}, {UsageType: "USE1-Nova2.0Lite-output-tokens", Quantity: 9, Nano: 22_501, Discount: 77, Price: "p"}},
		{{UsageType: "USE1-Nova2.0Lite-input-tokens-flex", Quantity: 6, Nano: 8, Price: "p"}},
		{{UsageType: "USE1-Nova2.0Lite-gpu-time-cross-region-global-priority", Quantity: 5, Nano: 865, Price: "p"}, {UsageType: "USE1-Nova2.0Lite-requests", Quantity: 1, Nano: 12_345, Price: "p"}},
	} {
		id := uuid.UUID{15: byte(i + 1)}
		at := time.Date(2026, 11, 3, 23, 59, 59, 0, time.UTC)
		entries = append(entries, ledger.Entry{
			Intent: ledger.Intent{ID: id, Time: at, Account: rootAccount, Operation: "Converse", Region: "us-east-1", Principal: "arn:aws:iam::000000000000:user/u",
				ModelID: "amazon.nova-2-lite-v1:0", Scope: "us", ResourceName: "alpha", ResourceARN: "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/alpha0000001"},
			Settlement: ledger.Settlement{ID: id, Time: at.Add(2 * time.Second), Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: "vllm", Charges: charges},
		})
	}
	dir, to := folderOf(t, entries...), t.TempDir()
	for _, of := range [][]string{{"--call", entries[0].Intent.ID.String(), "--amount", "-0.25"}, {"--profile", "alpha", "--period", "2026-11", "--amount", "0.5"}} {
		if out, err := printed(t, append([]string{"ledger", "correct", "--data", dir, "--reason", "a test"}, of...)...); err != nil {
			t.Fatal(out, err)
		}
	}
	same := func(when, totals string) {
		t.Helper()
		for _, output := range []string{"csv", "parquet"} {
			for _, granularity := range []string{"hour", "day"} {
				name := output + granularity
				if out, err := printed(t, "export", "--data", dir, "--format", "cur", "--output", output, "--granularity", granularity, "--period", "2026-11", "--to", to, "--name", name); err != nil {
					t.Fatal(out, err)
				}
				for _, by := range [][]string{nil, {"--by-model"}} {
					out, errors, code := reconciled(t, append([]string{"--data", dir, "--fail-over", "0", filepath.Join(to, name)}, by...)...)
					if code != 0 || !strings.Contains(out, totals) || strings.Contains(out, "  rounding") {
						t.Errorf("%s, %s %s: status %d\n%s%s", when, name, by, code, out, errors)
					}
					for _, note := range []string{"note: left out: 2 corrections that people made in the ledger, 0.25 USD", "note: left out: 2 lines of such corrections in the files, 0.25 USD"} {
						if !strings.Contains(out, note) {
							t.Errorf("%s, %s %s: no %q in\n%s", when, name, by, note, out)
						}
					}
				}
			}
		}
	}
	same("as rated", "AWS 0.000365723, ledger 0.000365723")

	// What is rated anew counts as it is now: tokens of flex at half of a dollar a million, others at what the catalog says.
	prices := filepath.Join(t.TempDir(), "prices.csv")
	if err := os.WriteFile(prices, []byte("model,scope,tier,effective,input,output\namazon.nova-2-lite-v1:0,us,flex,2026-01-01,0.5,0.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"prices", "import", "--data", dir, prices}, {"prices", "rerate", "--data", dir, "--since", "2026-11-01", "--unrated"}} {
		if out, err := printed(t, args...); err != nil {
			t.Fatal(out, err)
		}
	}
	same("rated anew", "ledger 0.000")
}
