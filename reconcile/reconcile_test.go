package reconcile

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/ledger"
)

const (
	nova  = "amazon.nova-2-lite-v1:0"
	alpha = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/alpha0000001"
	beta  = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/beta00000001"
)

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func testCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// call is a settled call of the ledger with the charges given.
func call(profile string, at time.Time, charges ...ledger.Charge) *ledger.Entry {
	id := uuid.New()
	return &ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: at, Account: "000000000000", Region: "us-east-1", Operation: "Converse", Principal: "arn:aws:iam::000000000000:user/app",
			ResourceARN: profile, ResourceName: profile[len(profile)-12 : len(profile)-7], ModelID: nova, Scope: "us",
		},
		Settlement: ledger.Settlement{ID: id, Time: at.Add(time.Second), Status: ledger.Completed, Upstream: "aws", Charges: charges},
	}
}

// tokens is a charge at so many nano-dollars a token.
func tokens(usageType string, n, rate int64) ledger.Charge {
	return ledger.Charge{UsageType: usageType, Quantity: n, Nano: n * rate, Price: "p"}
}

// Usage types of AWS's price list.
const (
	inTokens     = "USE1-Nova2.0Lite-input-tokens"
	outTokens    = "USE1-Nova2.0Lite-output-tokens"
	readTokens   = "USE1-Nova2.0Lite-cache-read-input-token-count"
	globalTokens = "USE1-Nova2.0Lite-input-tokens-cross-region-global"
	flexTokens   = "USE1-Nova2.0Lite-input-tokens-flex"
)

// billLine is a line of CUR 2.0, by column.
type billLine map[string]string

// used is a line of usage of an hour, in thousands of tokens.
func used(profile string, at time.Time, usageType, thousands, usd string) billLine {
	at = at.Truncate(time.Hour)
	return billLine{
		"identity_line_item_id": uuid.NewString(), "bill_payer_account_id": "123456789012", "line_item_usage_account_id": "123456789012",
		"line_item_line_item_type": "Usage", "line_item_usage_start_date": at.Format("2006-01-02T15:04:05.000Z"),
		"line_item_usage_end_date": at.Add(time.Hour).Format("2006-01-02T15:04:05.000Z"), "line_item_product_code": "AmazonBedrock",
		"line_item_usage_type": usageType, "line_item_operation": "InvokeModelInference", "line_item_resource_id": profile,
		"line_item_usage_amount": thousands, "line_item_unblended_cost": usd, "line_item_net_unblended_cost": usd, "line_item_currency_code": "USD",
		"line_item_iam_principal": "arn:aws:sts::123456789012:assumed-role/gateway/outcrop", "pricing_unit": "1K tokens",
		"product": `{"product_name":"Amazon Bedrock","region":"us-east-1"}`,
	}
}

func (l billLine) with(pairs ...string) billLine {
	for i := 0; i < len(pairs); i += 2 {
		l[pairs[i]] = pairs[i+1]
	}
	return l
}

// curCSV writes lines as CUR 2.0.
func curCSV(lines []billLine) []byte {
	names := []string{
		"bill_payer_account_id", "identity_line_item_id", "line_item_currency_code", "line_item_iam_principal", "line_item_line_item_description",
		"line_item_line_item_type", "line_item_net_unblended_cost", "line_item_operation", "line_item_product_code", "line_item_resource_id",
		"line_item_unblended_cost", "line_item_usage_account_id", "line_item_usage_amount", "line_item_usage_end_date", "line_item_usage_start_date",
		"line_item_usage_type", "pricing_unit", "product", "resource_tags",
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(names)
	for _, l := range lines {
		row := make([]string, len(names))
		for i, n := range names {
			row[i] = l[n]
		}
		w.Write(row)
	}
	w.Flush()
	return b.Bytes()
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text)
	z.Close()
	return b.Bytes()
}

func write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if strings.HasSuffix(name, ".gz") {
		text = zipped(text)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func compare(t testing.TB, cfg Config, entries []*ledger.Entry, paths ...string) *Report {
	t.Helper()
	if cfg.Catalog == nil {
		cfg.Catalog = testCatalog(t)
	}
	cfg.Rater = cost.NewRater(cfg.Catalog)
	c := New(cfg)
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Read(t.Context(), paths...); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := c.Entry(e); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// told are the reasons of a report, as "reason amount tokens".
func told(r *Report) string {
	var s []string
	for _, of := range r.Reasons {
		s = append(s, fmt.Sprintf("%s %s %d", of.Reason, of.Amount, of.Tokens))
	}
	return strings.Join(s, ", ")
}

// TestReasons: each kind of difference is found for what it is. Amounts are worked out by hand: input is 300 nano-dollars a token here, output 2500,
// a cache read 75.
func TestReasons(t *testing.T) {
	in := func(n int64) ledger.Charge { return tokens(inTokens, n, 300) }
	for name, tc := range map[string]struct {
		cfg     Config
		entries []*ledger.Entry
		lines   []billLine
		want    string
		drift   string
	}{
		"the same": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000), tokens(outTokens, 200, 2500)), call(alpha, noon.Add(time.Minute), in(500))},
			lines:   []billLine{used(alpha, noon, inTokens, "1.5", "0.00045"), used(alpha, noon, outTokens, "0.2", "0.0005")},
			drift:   "0",
		},
		"another rate": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, inTokens, "1.000", "0.00033")},
			want:    "price 0.00003 0", drift: "0.00003",
		},
		"rounding": {
			entries: []*ledger.Entry{call(alpha, noon, ledger.Charge{UsageType: inTokens, Quantity: 3, Nano: 1, Price: "p"}, ledger.Charge{UsageType: outTokens, Quantity: 1, Nano: 2500, Price: "p"})},
			lines:   []billLine{used(alpha, noon, inTokens, "0.003", "0.0000000012"), used(alpha, noon, outTokens, "1.0E-3", "2.5E-6")},
			want:    "rounding 0.0000000002 0", drift: "0.0000000002",
		},
		"the ledger has a discount, the bill the list": {
			entries: []*ledger.Entry{call(alpha, noon, ledger.Charge{UsageType: inTokens, Quantity: 1000, Nano: 270_000, Discount: 30_000, Price: "p"})},
			lines: []billLine{
				used(alpha, noon, inTokens, "1", "0.0003"),
				used(alpha, noon, inTokens, "0", "-0.00003").with("line_item_line_item_type", "EdpDiscount"),
			},
			want: "discount 0 0", drift: "0",
		},
		"net costs": {
			cfg:     Config{Net: true},
			entries: []*ledger.Entry{call(alpha, noon, ledger.Charge{UsageType: inTokens, Quantity: 1000, Nano: 270_000, Discount: 30_000, Price: "p"})},
			lines:   []billLine{used(alpha, noon, inTokens, "1", "0.0003").with("line_item_net_unblended_cost", "0.00027")},
			drift:   "0",
		},
		"more there than here": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, inTokens, "1.4", "0.00042")},
			want:    "usage 0.00012 400", drift: "0.00012",
		},
		"less there than here, at another rate": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, inTokens, "0.6", "0.000240")},
			want:    "price 0.00006 0, usage -0.00012 -400", drift: "-0.00006",
		},
		"only there": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, inTokens, "1", "0.0003"), used(beta, noon, inTokens, "2", "0.0006")},
			want:    "only-there 0.0006 2000", drift: "0.0006",
		},
		"by others than the gateway": {
			cfg:     Config{Principals: []string{"arn:aws:sts::*:assumed-role/gateway/*"}},
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines: []billLine{
				used(alpha, noon, inTokens, "1", "0.0003"),
				used(alpha, noon, inTokens, "0.5", "0.00015").with("line_item_iam_principal", "arn:aws:iam::123456789012:user/alice"),
			},
			want: "around 0.00015 500", drift: "0.00015",
		},
		"only here": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), call(beta, noon, in(10))},
			lines:   []billLine{used(alpha, noon.Add(time.Hour), inTokens, "1", "0.0003")},
			want:    "only-here -0.000003 -10", drift: "-0.000003",
		},
		"not there yet": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), call(alpha, noon.Add(3*time.Hour), in(10))},
			lines:   []billLine{used(alpha, noon, inTokens, "1", "0.0003")},
			want:    "not-yet -0.000003 -10", drift: "-0.000003",
		},
		"an estimate": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), func() *ledger.Entry {
				e := call(alpha, noon, in(100))
				e.Estimated, e.Status = true, ledger.Recovered
				return e
			}()},
			lines: []billLine{used(alpha, noon, inTokens, "1.04", "0.000312")},
			want:  "estimate -0.000018 -60", drift: "-0.000018",
		},
		"a lost attempt": {
			entries: []*ledger.Entry{func() *ledger.Entry {
				e := call(alpha, noon, in(1000), tokens(inTokens+cost.LostAttempt, 1000, 300))
				e.Estimated = true
				return e
			}()},
			lines: []billLine{used(alpha, noon, inTokens, "1", "0.0003")},
			want:  "estimate -0.0003 -1000", drift: "-0.0003",
		},
		"no price here": {
			entries: []*ledger.Entry{call(alpha, noon, ledger.Charge{UsageType: inTokens, Quantity: 1000, Unrated: true})},
			lines:   []billLine{used(alpha, noon, inTokens, "1", "0.0003")},
			want:    "unrated 0.0003 0", drift: "0.0003",
		},
		"counted as read from the cache": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000), tokens(readTokens, 50, 75))},
			lines:   []billLine{used(alpha, noon, inTokens, "0.6", "0.00018"), used(alpha, noon, readTokens, "0.45", "0.00003375")},
			want:    "cache-class -0.00009 400", drift: "-0.00009",
		},
		"another tier": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, flexTokens, "1", "0.00015")},
			want:    "tier -0.00015 1000", drift: "-0.00015",
		},
		"another scope": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, globalTokens, "1", "0.00027")},
			want:    "scope -0.00003 1000", drift: "-0.00003",
		},
		"from another Region": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, "USW2-Nova2.0Lite-input-tokens", "1", "0.00031")},
			want:    "region 0.00001 1000", drift: "0.00001",
		},
		"over midnight": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), func() *ledger.Entry {
				e := call(alpha, time.Date(2026, 11, 3, 23, 59, 58, 0, time.UTC), in(70))
				e.Settlement.Time = time.Date(2026, 11, 4, 0, 0, 3, 0, time.UTC)
				return e
			}(), call(alpha, noon.AddDate(0, 0, 1), in(500))},
			lines: []billLine{used(alpha, noon, inTokens, "1", "0.0003"), used(alpha, noon.AddDate(0, 0, 1), inTokens, "0.57", "0.000171")},
			want:  "day-boundary 0 0", drift: "0",
		},
		"through what the profile stands for": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), call(beta, noon, in(500))},
			lines:   []billLine{used("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-2-lite-v1:0", noon, inTokens, "1.5", "0.00045")},
			want:    "resource 0 0", drift: "0",
		},
		"profiles by another ARN": {
			cfg:     Config{Profiles: map[string]string{"arn:aws:bedrock:us-east-1:999999999999:application-inference-profile/atAWS0000001": "alpha"}},
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used("arn:aws:bedrock:us-east-1:999999999999:application-inference-profile/atAWS0000001", noon, inTokens, "1", "0.0003")},
			drift:   "0",
		},
		"by model": {
			cfg:     Config{ByModel: true},
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), call(beta, noon, in(500))},
			lines:   []billLine{used("", noon, inTokens, "1.5", "0.00045")},
			drift:   "0",
		},
		"served by others": {
			cfg: Config{Upstreams: []string{"aws"}},
			entries: []*ledger.Entry{call(alpha, noon, in(1000)), func() *ledger.Entry {
				e := call(alpha, noon, in(10))
				e.Upstream = "vllm"
				return e
			}()},
			lines: []billLine{used(alpha, noon, inTokens, "1", "0.0003")},
			want:  "served-elsewhere -0.000003 -10", drift: "-0.000003",
		},
		"lines that are no usage": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines: []billLine{
				used(alpha, noon, inTokens, "1", "0.0003"),
				used("", noon, "", "", "0.0001").with("line_item_line_item_type", "Tax"),
				used("", noon, "", "", "-1").with("line_item_line_item_type", "Credit"),
				used("", noon, "", "", "-0.25").with("line_item_line_item_type", "Refund"),
				used("", noon, "USE1-Nova2.0Lite-ProvisionedThroughput-NoCommit-ModelUnits", "1", "5"),
				used("", noon, "BoxUsage:t3.micro", "1", "99").with("line_item_product_code", "AmazonEC2", "product", "{}", "line_item_operation", "RunInstances"),
			},
			want: "tax 0.0001 0, credit -1 0, refund -0.25 0, not-inference 5 0", drift: "3.7501",
		},
		"a model by a name that the catalog does not have": {
			entries: []*ledger.Entry{call(alpha, noon, in(1000))},
			lines:   []billLine{used(alpha, noon, "USE1-NovaTwoLight-input-tokens", "1.2", "0.00036")},
			want:    "usage 0.00006 200", drift: "0.00006",
		},
		"a model that the catalog has no more": {
			entries: []*ledger.Entry{func() *ledger.Entry {
				e := call(alpha, noon, tokens("USE1-Gone1.0-output-tokens-flex", 1000, 300))
				e.ModelID = "gone.model-v1:0"
				return e
			}()},
			lines: []billLine{used("", noon, "USE1-Gone1.0-output-tokens-flex", "1", "0.0003")},
			want:  "resource 0 0", drift: "0",
		},
		"through the marketplace": { // in millions, with the model in the product's name only
			entries: []*ledger.Entry{func() *ledger.Entry {
				e := call(alpha, noon, tokens("USE1-Claude4.5Sonnet-cache-write-1h-input-token-count-cross-region-global", 2000, 6000))
				e.ModelID = "anthropic.claude-sonnet-4-5-20250929-v1:0"
				return e
			}()},
			lines: []billLine{used(alpha, noon, "USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units", "0.002", "0.012").with(
				"line_item_product_code", "1abcdefgh2ijklmnop3qrstuv", "pricing_unit", "Units", "product", `{"product_name":"Claude Sonnet 4.5 (Amazon Bedrock Edition)"}`)},
			drift: "0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := compare(t, tc.cfg, tc.entries, write(t, "cur.csv", curCSV(tc.lines)))
			if got := told(r); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
			if got := r.Drift.String(); got != tc.drift {
				t.Errorf("drift %s, want %s", got, tc.drift)
			}
		})
	}
}

// TestOperatorsCorrections: what people corrected in the ledger is no usage, whoever served the call.
func TestOperatorsCorrections(t *testing.T) {
	corrected := call(alpha, noon, tokens(inTokens, 1000, 300), cost.CorrectionCharge("us-east-1", -250_000))
	adjusted := call(alpha, noon.Truncate(24*time.Hour), cost.CorrectionCharge("us-east-1", -12_500_000_000))
	adjusted.Status, adjusted.Upstream, adjusted.Operation, adjusted.Principal = ledger.Adjusted, "", "Correction", ""
	only := call(beta, noon, cost.CorrectionCharge("us-east-1", 1))
	only.Status = ledger.Adjusted
	bill := write(t, "cur.csv", curCSV([]billLine{used(alpha, noon, inTokens, "1", "0.0003")}))
	for _, upstreams := range [][]string{nil, {"aws"}} {
		r := compare(t, Config{Upstreams: upstreams}, []*ledger.Entry{adjusted, corrected, only}, bill)
		if r.Ledger.String() != r.AWS.String() || len(r.Reasons) != 0 || len(r.Rows) != 1 {
			t.Errorf("upstreams %v: %s", upstreams, told(r))
		}
		if want := "left out: 3 corrections that people made in the ledger, -12.500249999 USD"; !slices.Contains(r.Notes, want) {
			t.Errorf("upstreams %v: notes %q, want %q among them", upstreams, r.Notes, want)
		}
	}
}

// TestEvidence: what is told with a reason names what it rests on.
func TestEvidence(t *testing.T) {
	r := compare(t, Config{}, []*ledger.Entry{call(alpha, noon, tokens(inTokens, 1000, 300))}, write(t, "cur.csv.gz", curCSV([]billLine{
		used(alpha, noon, inTokens, "1", "0.00033"),
		used(beta, noon, inTokens, "2", "0.0006").with("line_item_iam_principal", "arn:aws:iam::123456789012:user/alice"),
	})))
	if len(r.Rows) != 2 || r.Rows[0].Name != "alpha" || r.Rows[0].Profile != alpha {
		t.Fatalf("%+v", r.Rows)
	}
	if got, want := strings.Join(r.Rows[0].Items[0].Details, "; "), "USE1 Nova2.0Lite input: AWS 0.33, ledger 0.3 a million"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := strings.Join(r.Rows[1].Items[0].Details, "; "), "USE1 Nova2.0Lite input; by arn:aws:iam::123456789012:user/alice: 2000 tokens"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSumsAreWhole: of any bill and any ledger the reasons amount to the whole difference, which is that of the inputs, to the last digit.
func TestSumsAreWhole(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	cat := testCatalog(t)
	types := []string{
		inTokens, outTokens, readTokens, globalTokens, flexTokens, "USW2-Nova2.0Lite-input-tokens", "USE1-Nova2.0Lite-cache-write-input-token-count",
		"USE1-Nova2.0Lite-input-tokens-priority-cross-region-global", "USE1-NovaCanvas-T2I-1024-Standard", "USE1-Guardrail-TextUnits", "",
		"USE1-Claude4Sonnet-input-tokens-long-context-cross-region-global",
		"USE1-Strange-input-tokens", "USE1-NovaSonic-speech-input-tokens", "APN1-MP:APN1_OutputTokenCount-Units",
	}
	profiles := []string{alpha, beta, "", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-2-lite-v1:0", "odd"}
	lineTypes := []string{"Usage", "Usage", "Usage", "Usage", "Tax", "Credit", "EdpDiscount", "Refund", "Fee", "SavingsPlanRecurringFee"}
	pick := func(s []string) string { return s[rnd.IntN(len(s))] }
	for range 300 {
		var (
			entries []*ledger.Entry
			lines   []billLine
			want    = new(big.Rat)
		)
		for range 1 + rnd.IntN(20) {
			text := fmt.Sprintf("%d.%0*d", rnd.IntN(3), 1+rnd.IntN(17), rnd.IntN(1000))
			if rnd.IntN(8) == 0 {
				text = "-" + text
			}
			usd, ok := new(big.Rat).SetString(text)
			if !ok {
				t.Fatal(text)
			}
			want.Add(want, usd)
			lines = append(lines, used(pick(profiles), noon.Add(time.Duration(rnd.IntN(72))*time.Hour), pick(types), fmt.Sprintf("%d.%03d", rnd.IntN(4), rnd.IntN(1000)), text).
				with("line_item_line_item_type", pick(lineTypes)))
		}
		lines = append(lines, used(alpha, noon, inTokens, "0", "0"), used(alpha, noon.Add(72*time.Hour), inTokens, "0", "0"))
		for range rnd.IntN(20) {
			e := call(pick(profiles[:2]), noon.Add(time.Duration(rnd.IntN(72*3600))*time.Second))
			for range 1 + rnd.IntN(3) {
				e.Charges = append(e.Charges, ledger.Charge{
					UsageType: pick(types[:8]), Quantity: rnd.Int64N(4000), Nano: rnd.Int64N(1e9), Discount: rnd.Int64N(3) * 1000, Unrated: rnd.IntN(6) == 0,
				})
				l := &e.Charges[len(e.Charges)-1]
				if l.Unrated {
					l.Nano, l.Discount = 0, 0
				}
				if rnd.IntN(8) == 0 {
					l.UsageType += cost.LostAttempt
				}
				want.Sub(want, big.NewRat(l.Nano, 1e9))
			}
			e.Estimated = rnd.IntN(4) == 0
			e.Settlement.Time = e.Intent.Time.Add(time.Duration(rnd.IntN(20)) * time.Hour)
			e.Upstream = pick([]string{"aws", "vllm"})
			entries = append(entries, e)
		}
		cfg := Config{Catalog: cat, ByModel: rnd.IntN(4) == 0}
		if rnd.IntN(2) == 0 {
			cfg.Upstreams = []string{"aws"}
		}
		r := compare(t, cfg, entries, write(t, "cur.csv", curCSV(lines)))
		sum, rows := new(big.Rat), new(big.Rat)
		for _, of := range r.Reasons {
			sum.Add(sum, rat(t, of.Amount.String()))
		}
		for i := range r.Rows {
			of := new(big.Rat)
			for _, item := range r.Rows[i].Items {
				of.Add(of, rat(t, item.Amount.String()))
			}
			if of.Cmp(rat(t, r.Rows[i].Drift.String())) != 0 {
				t.Errorf("seed %d: %s differs by %s, its reasons by %s", seed, r.Rows[i].Profile, r.Rows[i].Drift, of.FloatString(18))
			}
			rows.Add(rows, of)
		}
		if sum.Cmp(want) != 0 || rows.Cmp(want) != 0 || rat(t, r.Drift.String()).Cmp(want) != 0 {
			t.Fatalf("seed %d: reasons %s, rows %s, drift %s, want %s", seed, sum.FloatString(18), rows.FloatString(18), r.Drift, want.FloatString(18))
		}
	}
}

func rat(t *testing.T, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatal(s)
	}
	return r
}

// curRow is a row of CUR 2.0 as Data Exports writes Parquet: texts, doubles, times in milliseconds, maps.
type curRow struct {
	Account   string            `parquet:"line_item_usage_account_id,dict"`
	Type      string            `parquet:"line_item_line_item_type,dict"`
	Start     time.Time         `parquet:"line_item_usage_start_date,timestamp(millisecond)"`
	End       *time.Time        `parquet:"line_item_usage_end_date,timestamp(millisecond),optional"`
	Code      string            `parquet:"line_item_product_code,dict"`
	UsageType string            `parquet:"line_item_usage_type,dict"`
	Operation string            `parquet:"line_item_operation"`
	Resource  *string           `parquet:"line_item_resource_id,optional,snappy"`
	Amount    float64           `parquet:"line_item_usage_amount"`
	Cost      float64           `parquet:"line_item_unblended_cost"`
	Principal string            `parquet:"line_item_iam_principal"`
	Unit      string            `parquet:"pricing_unit"`
	Product   map[string]string `parquet:"product"`
	Tags      map[string]string `parquet:"resource_tags"`
}

// TestParquet: Parquet says what CSV says.
func TestParquet(t *testing.T) {
	var (
		lines   []billLine
		rows    []curRow
		entries []*ledger.Entry
	)
	for i := range 3000 {
		at := noon.Add(time.Duration(i%48) * time.Hour)
		of, usageType, product := alpha, inTokens, "Amazon Bedrock"
		if i%3 == 0 {
			of = ""
		}
		unit := "1K tokens"
		if i%5 == 0 {
			usageType, product, unit = "USE1-MP:USE1_InputTokenCount_Global-Units", "Claude Sonnet 4.5 (Amazon Bedrock Edition)", "Units"
		}
		amount := float64(i%977) / 1000
		paid := amount * 0.0003
		l := used(of, at, usageType, fmt.Sprint(amount), fmt.Sprint(paid)).with("pricing_unit", unit, "product", `{"region":"x","product_name":"`+product+`"}`)
		lines = append(lines, l)
		end := at.Add(time.Hour)
		row := curRow{
			Account: l["line_item_usage_account_id"], Type: "Usage", Start: at, End: &end, Code: l["line_item_product_code"], UsageType: usageType,
			Operation: "InvokeModelInference", Amount: amount, Cost: paid, Principal: l["line_item_iam_principal"], Unit: unit,
			Product: map[string]string{"product_name": product, "region": "x", "location": "US East (N. Virginia)"},
		}
		if of != "" {
			row.Resource = &of
		}
		if i%7 == 0 {
			row.Tags = map[string]string{"user_project": "alpha", "user_team": "b"}
		}
		rows = append(rows, row)
		entries = append(entries, call(alpha, at, tokens(inTokens, int64(i), 300)))
	}
	for name, opts := range map[string][]parquet.WriterOption{
		"plain":                    nil,
		"small row groups":         {parquet.MaxRowsPerRowGroup(700), parquet.PageBufferSize(500)},
		"pages of version 1, gzip": {parquet.DataPageVersion(1), parquet.Compression(&parquet.Gzip)},
		"zstd":                     {parquet.Compression(&parquet.Zstd)},
	} {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[curRow](&b, opts...)
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := compare(t, Config{}, entries, write(t, "cur.csv", curCSV(lines)))
		got := compare(t, Config{}, entries, write(t, "cur.snappy.parquet", b.Bytes()))
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("%s:\n%.600s\nwant\n%.600s", name, g, w)
		}
	}
}

// TestFixtures: files as AWS delivers them, by folder.
func TestFixtures(t *testing.T) {
	cat := testCatalog(t)
	rater := cost.NewRater(cat)
	model, _ := cat.Model(nova)
	entry := func(id string, at time.Time, in, out int64) *ledger.Entry {
		usage := converse.Usage{InputTokens: in, OutputTokens: out}
		e := call(alpha, at, rater.Rate(&cost.Use{Usage: usage, Model: model, Scope: "us", Region: "us-east-1", At: at})...)
		e.Intent.ID = uuid.MustParse(id)
		e.Settlement.ID = e.Intent.ID
		return e
	}
	at := time.Date(2026, 11, 3, 0, 38, 2, 0, time.UTC)
	ours := []*ledger.Entry{
		entry("ff4b6c63-5561-4431-93b8-06a817275900", at, 4, 38),
		entry("0f6b1a0e-9a6c-4f0e-8b43-7f7f64d9a001", at.Add(time.Hour), 1000, 200),
	}
	for _, tc := range []struct{ path, source, want string }{
		{"testdata/invocations", "invocation logs, call by call", "usage 0.00000825 3, only-there 0.00000308 2"},
		{"testdata/cloudwatch-export.log", "invocation logs, call by call", ""},
		{"testdata/filter-log-events.json", "invocation logs, call by call", ""},
		{"testdata/cur2", "Cost and Usage Report", "tax 0.00008 0"},
	} {
		r := compare(t, Config{Catalog: cat}, ours, tc.path)
		if r.Source != tc.source {
			t.Errorf("%s: %s, want %s", tc.path, r.Source, tc.source)
		}
		if got := told(r); got != tc.want {
			t.Errorf("%s: %s, want %s; %+v", tc.path, got, tc.want, r)
		}
	}
}

// logLine is a record as Bedrock delivers it to S3.
func logLine(id, model string, at time.Time, who string, in, out, read, written int64) string {
	return fmt.Sprintf(`{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":%q,"accountId":"123456789012","identity":{"arn":%q},"region":"us-east-1",`+
		`"requestId":%q,"operation":"Converse","modelId":%q,"input":{"inputContentType":"application/json","inputBodyJson":{"messages":[]},"inputTokenCount":%d,`+
		`"cacheReadInputTokenCount":%d,"cacheWriteInputTokenCount":%d},"output":{"outputContentType":"application/json","outputBodyJson":{"usage":{"inputTokens":%[5]d}},`+
		`"outputTokenCount":%[8]d},"inferenceRegion":"us-west-2"}`+"\n", at.Format("2006-01-02T15:04:05Z"), who, id, model, in, read, written, out)
}

const gateway = "arn:aws:sts::123456789012:assumed-role/gateway/outcrop"

// TestLogs: calls are held against the logs one by one where their ids are known there, else by sums; on disk it is the same.
func TestLogs(t *testing.T) {
	cat := testCatalog(t)
	rater := cost.NewRater(cat)
	model, _ := cat.Model(nova)
	rate := func(at time.Time, in, out int64) []ledger.Charge {
		return rater.Rate(&cost.Use{Usage: converse.Usage{InputTokens: in, OutputTokens: out}, Model: model, Scope: "us", Region: "us-east-1", At: at})
	}
	var (
		entries []*ledger.Entry
		same    strings.Builder // ids as in the ledger
		foreign strings.Builder // AWS's own
	)
	for i := range 500 {
		at := noon.Add(time.Duration(i) * time.Minute)
		e := call(alpha, at, rate(at, 100, 20)...)
		if i == 7 {
			e.Upstream = "vllm"
		} else {
			id := e.Intent.ID.String()
			in, out, read := int64(100), int64(20), int64(0)
			switch i {
			case 8: // AWS counted 30 of them as read from its cache
				in, read = 70, 30
			case 9: // and more output here
				out = 25
			}
			who := gateway
			same.WriteString(logLine(id, alpha, at, who, in, out, read, 0))
			foreign.WriteString(logLine(uuid.NewString(), alpha, at, who, in, out, read, 0))
		}
		entries = append(entries, e)
	}
	for _, b := range []*strings.Builder{&same, &foreign} {
		b.WriteString(logLine(uuid.NewString(), nova, noon, "arn:aws:iam::123456789012:user/alice", 10, 0, 0, 0))
		b.WriteString(`{"schemaType":"Other"}` + "\n")
	}
	in, out := entries[0].Charges[0].Nano/100, entries[0].Charges[1].Nano/20
	for _, tc := range []struct {
		name, text, source string
		held               int
		want               string
	}{
		{
			"by id", same.String(), "invocation logs, call by call", joinHeld,
			// Read tokens are at the ledger's mean rate of them, of which it has none: they have no value.
			fmt.Sprintf("usage %s 5, cache-class %s 30, served-elsewhere %s -120, only-there %s 10", Nano(5*out), Nano(-30*in), Nano(-100*in-20*out), Nano(10*in)),
		},
		{
			"by sums", foreign.String(), "invocation logs, by sums", joinHeld,
			fmt.Sprintf("usage %s 5, cache-class %s 30, served-elsewhere %s -120, only-there %s 10", Nano(5*out), Nano(-30*in), Nano(-100*in-20*out), Nano(10*in)),
		},
		{
			"on disk", same.String(), "invocation logs, call by call", 100,
			fmt.Sprintf("usage %s 5, cache-class %s 30, served-elsewhere %s -120, only-there %s 10", Nano(5*out), Nano(-30*in), Nano(-100*in-20*out), Nano(10*in)),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			c := New(Config{Catalog: cat, Rater: rater, Upstreams: []string{"aws"}, Temp: dir})
			if err := c.is(logged); err != nil {
				t.Fatal(err)
			}
			c.calls.most = tc.held
			if err := c.Read(t.Context(), write(t, "log.json.gz", []byte(tc.text))); err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := c.Entry(e); err != nil {
					t.Fatal(err)
				}
			}
			r, err := c.Report(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Source != tc.source {
				t.Errorf("%s, want %s", r.Source, tc.source)
			}
			if got := told(r); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
			for _, row := range r.Rows {
				for _, item := range row.Items {
					want := ""
					switch {
					case item.Reason == OnlyThere:
						want = "by arn:aws:iam::123456789012:user/alice"
					case tc.source == "invocation logs, by sums":
					case item.Reason == Usage:
						want = "call " + entries[9].Intent.ID.String()
					case item.Reason == CacheClass:
						want = "call " + entries[8].Intent.ID.String()
					case item.Reason == Elsewhere:
						want = "call " + entries[7].Intent.ID.String()
					}
					if !strings.Contains(strings.Join(item.Details, "; "), want) {
						t.Errorf("%s: %q, want %s", item.Reason, item.Details, want)
					}
				}
			}
			if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "JSON values") }) {
				t.Errorf("notes %q", r.Notes)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestLogMoves: a call that AWS's logs have on the next day, or through another profile, has moved; tokens of which no price is known are at the
// mean of what the ledger has of their profile, or count as nothing.
func TestLogMoves(t *testing.T) {
	night := time.Date(2026, 11, 3, 23, 59, 59, 0, time.UTC)
	late, moved, plain := call(alpha, night, tokens(inTokens, 100, 300)), call(alpha, noon, tokens(inTokens, 10, 300)), call(alpha, noon, tokens(inTokens, 1, 300))
	r := compare(t, Config{}, []*ledger.Entry{plain, moved, late}, write(t, "log.json", []byte(
		logLine(plain.Intent.ID.String(), alpha, noon, gateway, 1, 0, 0, 0)+
			logLine(late.Intent.ID.String(), alpha, night.Add(2*time.Second), gateway, 120, 0, 0, 0)+
			logLine(moved.Intent.ID.String(), beta, noon, gateway, 10, 0, 0, 0)+
			logLine(uuid.NewString(), alpha, noon, gateway, 7, 0, 0, 0)+
			logLine(uuid.NewString(), "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/unknown00001", noon, gateway, 5, 0, 0, 0))))
	if got, want := told(r), "usage 0.000006 20, resource 0 0, day-boundary 0 0, only-there 0.0000021 12"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var rows []string
	for i := range r.Rows {
		rows = append(rows, r.Rows[i].Day.Format("02 ")+r.Rows[i].Name+" "+r.Rows[i].Drift.String())
	}
	if got, want := strings.Join(rows, ", "), "03 alpha -0.0000309, 03  0.000003, 03  0, 04 alpha 0.000036"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !slices.Contains(r.Notes, "1 calls of the logs have no known price and count as 0") {
		t.Errorf("notes %q", r.Notes)
	}
}

// TestRefusals: what cannot be compared is refused, in words.
func TestRefusals(t *testing.T) {
	var lz4 bytes.Buffer
	w := parquet.NewGenericWriter[curRow](&lz4, parquet.Compression(&parquet.Lz4Raw))
	w.Write([]curRow{{Type: "Usage", Start: noon, UsageType: inTokens, Code: "AmazonBedrock", Amount: 1, Cost: 0.0003}})
	w.Close()
	ok := used(alpha, noon, inTokens, "1", "0.0003")
	for name, tc := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":          {nil, "nothing of Amazon Bedrock"},
		"other CSV":        {[]byte("a,b\n1,2\n"), "not a Cost and Usage Report: it has no line_item_line_item_type"},
		"other services":   {curCSV([]billLine{used("", noon, "BoxUsage", "1", "1").with("line_item_product_code", "AmazonEC2", "product", "{}", "line_item_operation", "")}), "no usage of models"},
		"another currency": {curCSV([]billLine{used(alpha, noon, inTokens, "1", "1").with("line_item_currency_code", "JPY")}), `line 2: a line in "JPY"`},
		"a bad cost":       {curCSV([]billLine{ok, used(alpha, noon, inTokens, "1", "NaN")}), `line 3: line_item_unblended_cost: "NaN" is not a number`},
		"a bad time":       {curCSV([]billLine{used(alpha, noon, inTokens, "1", "1").with("line_item_usage_start_date", "yesterday")}), "is not a time"},
		"too many tokens":  {curCSV([]billLine{used(alpha, noon, inTokens, "1E20", "1")}), "too much"},
		"an endless field": {append(curCSV([]billLine{ok}), `"`+strings.Repeat("x", maxRecord+1<<20)...), "a record of more than"},
		"broken JSON":      {[]byte(`{"schemaType":`), "unexpected EOF"},
		"tokens below 0":   {[]byte(strings.Replace(logLine("x", nova, noon, "a", 1, 1, 0, 0), `"inputTokenCount":1`, `"inputTokenCount":-1`, 1)), "a call of -1 tokens"},
		"a gzip cut short": {zipped(curCSV([]billLine{ok, ok}))[:150], "unexpected EOF"},
		"broken Parquet":   {[]byte("PAR1PAR1PAR1PAR1"), "arquet"},
		"a huge footer":    {[]byte("PAR1PAR1\xff\xff\xff\xffPAR1"), "its footer is larger than the file"},
		"Parquet with LZ4": {lz4.Bytes(), "compressed with LZ4_RAW"},
	} {
		c := New(Config{Catalog: testCatalog(t)})
		if err := c.Read(t.Context(), write(t, "f", tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// TestTwice: a file that is there twice counts once.
func TestTwice(t *testing.T) {
	text := curCSV([]billLine{used(alpha, noon, inTokens, "1", "0.0003")})
	r := compare(t, Config{}, []*ledger.Entry{call(alpha, noon, tokens(inTokens, 1000, 300))}, write(t, "a.csv", text), write(t, "b.csv", text))
	if r.Drift.String() != "0" || !slices.Contains(r.Notes, "left out: 1 files that are there twice") {
		t.Errorf("drift %s, notes %q", r.Drift, r.Notes)
	}
}

// TestMonthly: lines of months are held against months.
// TestVersions: of the versions of a billing period that an export has kept one counts.
func TestVersions(t *testing.T) {
	old, now := curCSV([]billLine{used(alpha, noon, inTokens, "1", "0.0003")}), curCSV([]billLine{used(alpha, noon, inTokens, "2", "0.0006")})
	entry := call(alpha, noon, tokens(inTokens, 2000, 300))
	for name, c := range map[string]struct {
		older, newer string // folders
		refused      string
	}{
		"an export that keeps its versions": {older: "data/BILLING_PERIOD=2026-11/2026-11-09T22:19:25.548Z-9aa3", newer: "data/BILLING_PERIOD=2026-11/2026-11-20T02:19:25.548Z-1bb2"},
		"billing_period":                    {older: "data/billing_period=2026-11/20261109T221925Z-9aa3", newer: "data/billing_period=2026-11/20261120T021925Z-1bb2"},
		"a legacy report":                   {older: "20261101-20261201/6eea9ab9", newer: "20261101-20261201/02d3c1f4", refused: "two versions of a billing period"},
		"one that kept none until today":    {older: "data/BILLING_PERIOD=2026-11", newer: "data/BILLING_PERIOD=2026-11/2026-11-20T02:19:25.548Z-1bb2", refused: "two versions of a billing period"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for of, text := range map[string][]byte{c.older: old, c.newer: now} {
				if err := os.MkdirAll(filepath.Join(dir, of), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, of, "cur-00001.csv.gz"), zipped(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.refused != "" {
				cat := testCatalog(t)
				if err := New(Config{Catalog: cat, Rater: cost.NewRater(cat)}).Read(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("error %v, want %q", err, c.refused)
				}
				return
			}
			r := compare(t, Config{}, []*ledger.Entry{entry}, dir)
			if want := "left out: 1 files of older versions of an export"; r.AWS.String() != "0.0006" || len(r.Reasons) != 0 || !slices.Contains(r.Notes, want) {
				t.Errorf("AWS %s, drift for %v, notes %q", r.AWS, r.Reasons, r.Notes)
			}
		})
	}
}

func TestMonthly(t *testing.T) {
	first := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	r := compare(t, Config{}, []*ledger.Entry{call(alpha, noon, tokens(inTokens, 1000, 300)), call(alpha, noon.AddDate(0, 0, 20), tokens(inTokens, 500, 300))},
		write(t, "cur.csv", curCSV([]billLine{used(alpha, first, inTokens, "1.5", "0.00045").with("line_item_usage_end_date", "2026-12-01T00:00:00Z")})))
	if told(r) != "" || r.Drift.String() != "0" || len(r.Rows) != 1 || !r.Rows[0].Day.Equal(first) {
		t.Errorf("%s: %+v", told(r), r)
	}
}

func TestDecimals(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "1": "1", "-0.000000000000000001": "-0.000000000000000001", "6.0E-7": "0.0000006", "1e3": "1000", "+2.50": "2.5", ".5": "0.5",
		"0.0000000000000000005": "0", "0.0000000000000000015": "0.000000000000000002", "-0.0000000000000000025": "-0.000000000000000002",
	} {
		if a, err := ParseAmount(in); err != nil || a.String() != want {
			t.Errorf("%s: %s, %v, want %s", in, a, err, want)
		}
	}
	for _, in := range []string{"", "-", ".", "1.2.3", "NaN", "0x1", "1e", "1e999", "1 ", strings.Repeat("1", 100), "1e-3x"} {
		if a, err := ParseAmount(in); err == nil {
			t.Errorf("%q is %s", in, a)
		}
	}
	if got := Nano(-1_500_000_000).Add(Nano(1)).Rounded(); got != "-1.499999999" {
		t.Error(got)
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true}, {"a*b*c", "aXbYbZc", true},
		{"a*b*c", "acb", false}, {"a*a", "a", false}, {"", "x", false},
	} {
		if glob(tc.pattern, tc.s) != tc.want {
			t.Errorf("%q of %q: want %v", tc.s, tc.pattern, tc.want)
		}
	}
}

// FuzzRead: files of strangers are read or refused.
func FuzzRead(f *testing.F) {
	f.Add(curCSV([]billLine{used(alpha, noon, inTokens, "1", "0.0003"), used("", noon, "USE1-MP:USE1_InputTokenCount_Global-Units", "1", "-1E-5")}))
	f.Add([]byte(logLine("x", nova, noon, "a", 1, 2, 3, 4)))
	f.Add([]byte(`2026-11-24T00:38:02.000Z {"schemaType":"ModelInvocationLog"}`))
	f.Add([]byte(`{"events":[{"message":"{\"schemaType\":\"ModelInvocationLog\"}"}]}`))
	var b bytes.Buffer
	w := parquet.NewGenericWriter[curRow](&b)
	w.Write([]curRow{{Type: "Usage", Start: noon, UsageType: inTokens, Code: "AmazonBedrock", Amount: 1, Cost: 0.0003, Product: map[string]string{"product_name": "x"}}})
	w.Close()
	f.Add(b.Bytes())
	cat := testCatalog(f)
	rater := cost.NewRater(cat)
	f.Fuzz(func(t *testing.T, text []byte) {
		c := New(Config{Catalog: cat, Rater: rater})
		defer c.Close()
		var err error
		if bytes.HasPrefix(text, []byte("PAR1")) {
			if err = c.is(billed); err == nil {
				err = c.readParquet(bytes.NewReader(text), int64(len(text)))
			}
		} else {
			err = c.read(bytes.NewReader(text))
		}
		if err != nil || c.source == unknown {
			return
		}
		if err := c.Entry(call(alpha, noon, tokens(inTokens, 1000, 300))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Report(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
