package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/ledger"
)

const pricedModel = "anthropic.claude-3-haiku-20240307-v1:0"

// haikuCall is a settled call with a usage of 1000 and 10 tokens, whose charges are given.
func haikuCall(n byte, at time.Time, charges ...ledger.Charge) ledger.Entry {
	id := uuid.UUID{15: n}
	return ledger.Entry{
		Intent: ledger.Intent{ID: id, Time: at, Account: rootAccount, Region: "us-east-1", Operation: "Converse", ModelID: pricedModel, Scope: "region", ResourceARN: "arn"},
		Settlement: ledger.Settlement{
			ID: id, Time: at.Add(time.Second), Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: "a", Latency: time.Second,
			Usage: converse.Usage{InputTokens: 1000, OutputTokens: 10}, Charges: charges,
		},
	}
}

// nanoOf is what the folder's calls cost, by their id's last byte, as `outcrop calls --json` has it.
func nanoOf(t *testing.T, dir string) map[byte]int64 {
	t.Helper()
	out, err := printed(t, "calls", "--json", "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	costs := map[byte]int64{}
	for line := range strings.Lines(out) {
		var l struct {
			ID   uuid.UUID `json:"id"`
			Nano int64     `json:"nano_usd"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		costs[l.ID[15]] = l.Nano
	}
	return costs
}

// TestPrices is the life of a price book: what is imported is shown and rates calls anew, by corrections that every total
// follows; what is withdrawn is taken back likewise.
func TestPrices(t *testing.T) {
	const kind = "USE1-Claude3Haiku-"
	november, december := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	listed := []ledger.Charge{
		{UsageType: kind + "input-tokens", Quantity: 1000, Nano: 250_000, Price: pricedModel + "/region/*@2026-08-06"},
		{UsageType: kind + "output-tokens", Quantity: 10, Nano: 12_500, Price: pricedModel + "/region/*@2026-08-06"},
	}
	other := haikuCall(4, december, ledger.Charge{UsageType: "USE1-Gone-input-tokens", Quantity: 1000, Nano: 7, Price: "gone"})
	other.ModelID = "gone.model-v1:0"
	dir := folderOf(t,
		haikuCall(1, november, listed...),
		haikuCall(2, december, listed...),
		haikuCall(3, december.Add(time.Hour), ledger.Charge{UsageType: kind + "input-tokens", Quantity: 1000, Unrated: true}, ledger.Charge{UsageType: kind + "output-tokens", Quantity: 10, Unrated: true}),
		other)
	must := func(want string, args ...string) {
		t.Helper()
		text, err := run(t.Context(), append(args, "--data", dir)...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, want) {
			t.Errorf("%q says\n%s, want %q in it", args, text, want)
		}
	}
	costs := func(first, second, third int64) {
		t.Helper()
		if got := nanoOf(t, dir); got[1] != first || got[2] != second || got[3] != third || got[4] != 7 {
			t.Errorf("the calls cost %v, want %d, %d, %d and 7", got, first, second, third)
		}
		if _, err := printed(t, "verify", "--data", dir); err != nil {
			t.Error(err)
		}
	}

	facts := file(t, "prices.yaml", `
date: 2026-12-01
prices:
  - {model: "`+pricedModel+`", scope: region, effective: 2026-12-01, usd_per_million: {input: "0.5", output: "2.5"}}
discounts:
  - {name: edp, percent: "10", effective: 2026-12-01}
`)
	must("dry run: nothing is imported", "prices", "import", "--dry-run", facts)
	must("import 1 holds from now on", "prices", "import", facts)
	must(pricedModel+"/region/*@2026-12-01+import-1", "prices", "show", pricedModel, "--at", "2026-12-02")
	must(pricedModel+"/region/*@2026-08-06", "prices", "show", pricedModel, "--at", "2026-11-30")

	must("2 of 4 calls would be corrected", "prices", "rerate", "--since", "2026-11-01", "--dry-run")
	costs(262_500, 262_500, 0)
	must("1 of 1 calls corrected", "prices", "rerate", "--since", "2026-11-01", "--unrated")
	costs(262_500, 262_500, 472_500) // 0.9 of 525,000
	must("left as they are: 1 calls: the catalog has no model gone.model-v1:0", "prices", "rerate", "--since", "2026-11-01")
	costs(262_500, 472_500, 472_500)
	must("0 of 4 calls corrected", "prices", "rerate", "--since", "2026-11-01")
	must("0 of 1 calls corrected", "prices", "rerate", "--since", "2026-11-01", "--until", "2026-12-01")

	if _, err := run(t.Context(), "prices", "withdraw", "1", "--data", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), "prices", "withdraw", "1", "--data", dir); err == nil {
		t.Error("withdrawn twice")
	}
	must("2 of 3 calls corrected", "prices", "rerate", "--since", "2026-12-01")
	costs(262_500, 262_500, 262_500)

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no time":         {[]string{"rerate"}, "--since is missing"},
		"no such model":   {[]string{"show", "anthropic.claude-3-haiku"}, "did you mean"},
		"models":          {[]string{"import", file(t, "m.json", `{"date":"2026-12-01","models":[{"id":"a.b"}]}`)}, "only prices, discounts and exchange"},
		"an unknown key":  {[]string{"import", file(t, "k.yaml", "date: 2026-12-01\nprice: []\n")}, "price"},
		"an unknown geo":  {[]string{"import", file(t, "g.csv", "model,scope,effective,input\n"+pricedModel+",mars,2026-12-01,1\n")}, `scope "mars"`},
		"no number":       {[]string{"withdraw", "x"}, "no number"},
		"a name of none":  {[]string{"import", "--map", "a=b", facts}, "no such model"},
		"no file":         {[]string{"import", "nowhere.json"}, "nowhere.json"},
		"an unknown tier": {[]string{"show", pricedModel, "--scope", "mars"}, "no price"},
	} {
		if _, err := run(t.Context(), append(append([]string{"prices"}, c.args...), "--data", dir)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestUnknownPrices: a server that is told so refuses what it cannot price, until a price is imported.
func TestUnknownPrices(t *testing.T) {
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", rigKey)
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", rigSecret)
	c, dir := defaults(), t.TempDir()
	c.Listen, c.Prices.Unknown = "127.0.0.1:0", "refuse"
	s := running(t, c, dir, io.Discard)
	ask := func(tier string) (status int, text string) {
		t.Helper()
		body := []byte(`{"messages":[{"role":"user","content":[{"text":"hello"}]}],"serviceTier":{"type":"` + tier + `"}}`)
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/model/"+pricedModel+"/converse", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: rigKey, SecretAccessKey: rigSecret}, q, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		answer, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(answer)
	}
	if status, text := ask("default"); status != http.StatusOK {
		t.Fatalf("a call with a price: %d %s", status, text)
	}
	if status, text := ask("flex"); status != http.StatusBadRequest || !strings.Contains(text, "in service tier flex") {
		t.Errorf("a call without a price: %d %s", status, text)
	}
	table := file(t, "flex.csv", "model,scope,tier,effective,input,output\n"+pricedModel+",region,flex,2026-01-01,0.125,0.625\n")
	if _, err := run(t.Context(), "prices", "import", table, "--data", dir); err != nil {
		t.Fatal(err)
	}
	for { // until the server has noticed; the test's own time ends it
		status, text := ask("flex")
		if status == http.StatusOK {
			break
		}
		if status != http.StatusBadRequest || t.Context().Err() != nil {
			t.Fatalf("after the import: %d %s", status, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
