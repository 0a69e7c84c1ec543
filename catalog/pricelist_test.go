package catalog

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParseUsage: usage types as AWS's price lists have them.
func TestParseUsage(t *testing.T) {
	for usageType, want := range map[string]UsageType{
		"USE1-Nova2.0Lite-input-tokens":                                     {Model: "Nova2.0Lite", Kind: "input"},
		"USE1-Nova2.0Lite-output-tokens-cross-region-global":                {Model: "Nova2.0Lite", Kind: "output", Global: true},
		"USE1-Nova2.0Lite-cache-read-input-token-count-cross-region-global": {Model: "Nova2.0Lite", Kind: "cache_read", Global: true},
		"USE1-Nova2.0Lite-input-tokens-priority-cross-region-global":        {Model: "Nova2.0Lite", Kind: "input", Tier: "priority", Global: true},
		"USE1-Nova2.0Lite-input-tokens-cross-region-global-batch":           {Model: "Nova2.0Lite", Kind: "input", Tier: "batch", Global: true},
		"USE1-Nova2.0Pro-text-input-tokens-priority-cross-region-global":    {Model: "Nova2.0Pro", Kind: "input", Tier: "priority", Global: true},
		"USE1-Claude4Sonnet-input-tokens-long-context-cross-region-global":  {Model: "Claude4Sonnet", Kind: "input", Long: true, Global: true},
		"USE1-Llama4-Maverick-17B-input-tokens-batch":                       {Model: "Llama4-Maverick-17B", Kind: "input", Tier: "batch"},
		"EU-Qwen3-VL-235B-A22B-output-tokens":                               {Model: "Qwen3-VL-235B-A22B", Kind: "output"},
		"USE1-GPT-OSS-Safeguard-20B-input-tokens-flex":                      {Model: "GPT-OSS-Safeguard-20B", Kind: "input", Tier: "flex"},
		"USW2-moonshotai.kimi-k3-mantle-input-tokens-global-flex":           {Model: "moonshotai.kimi-k3", Kind: "input", Tier: "flex", Global: true, Mantle: true},
		"USW2-moonshotai.kimi-k3-mantle-cache-read-tokens-standard":         {Model: "moonshotai.kimi-k3", Kind: "cache_read", Mantle: true},
		"USW2-MP:USW2_InputTokenCount-Units":                                {Kind: "input", Market: true},
		"USW2-MP:USW2_OutputTokenCount_Global-Units":                        {Kind: "output", Global: true, Market: true},
		"USW2-MP:USW2_InputTokenCount_Global_Batch-Units":                   {Kind: "input", Global: true, Tier: "batch", Market: true},
		"USW2-MP:USW2_CacheWrite1hInputTokenCount_Global-Units":             {Kind: "cache_write_1h", Global: true, Market: true},
		"USE1-MP:USE1_CacheReadInputTokenCount-Units":                       {Kind: "cache_read", Market: true},
		"USW2-MP:USW2_cache_write_tokens_1h_standard-Units":                 {Kind: "cache_write_1h", Market: true},
		"USW2-MP:USW2_cache_write_tokens_standard-Units":                    {Kind: "cache_write", Market: true},
		"USW2-MP:USW2_input_tokens_long_ctx_global_standard-Units":          {Kind: "input", Long: true, Global: true, Market: true},
		"USE1-NovaCanvas-T2I-1024-Standard":                                 {Model: "NovaCanvas", Kind: "T2I-1024-Standard"},
		"USE1-cohere.rerank-english-v3-search-units":                        {Model: "cohere.rerank-english-v3", Kind: "searchunits"},
		"APN1-TitanEmbeddingsG1-Image-input-image":                          {Model: "TitanEmbeddingsG1-Image", Kind: "input-image"},
	} {
		want.Region, _, _ = strings.Cut(usageType, "-")
		if got, why := ParseUsageType(usageType); got != want || why != "" {
			t.Errorf("%s: %+v (%s), want %+v", usageType, got, why, want)
		}
	}
	for _, usageType := range []string{
		"", "USE1", "USE1-Guardrail-AutomatedReasoningPolicyUnitsConsumed", "USW2-MP:USW2_Reserved_1Month_InputTPM_Geo-Units", "USW2-Ray-V2-Medfps-HDRes",
		"USE1-Nova2.0Omni-input-audio-token-count", "USE1-NovaSonic-speech-input-tokens", "USE1-Claude3-5Haiku-input-tokens-latency-optimized",
		"USE1-NovaPro-cache-write-input-token-count-custom-model", "USW2-MP:USW2_OutputTokenCount_LatencyOptimized-Units",
		"USW2-moonshotai.kimi-k3-mantle-cache-write-tokens-30m-standard",
	} {
		if got, why := ParseUsageType(usageType); why == "" {
			t.Errorf("%s is taken: %+v", usageType, got)
		}
	}
}

func TestShiftDecimal(t *testing.T) {
	for _, tc := range []struct {
		s    string
		by   int
		want string
	}{
		{"0.0003300000", 3, "0.33"}, {"0.0000000000", 3, "0"}, {"4.4000000000", 0, "4.4"}, {"2.0", -3, "0.002"}, {"0.00000033", 6, "0.33"},
		{"15", 3, "15000"}, {"0.0000000001", 3, "0.0000001"}, {"0.0000000001", 0, ""}, {"1e-5", 3, ""}, {"-1", 0, ""}, {"", 0, ""}, {".5", 0, ""}, {"1000000000", 3, ""},
	} {
		if got, ok := shiftDecimal(tc.s, tc.by); got != tc.want && ok || ok != (tc.want != "") {
			t.Errorf("%s by %d: %q, %v, want %q", tc.s, tc.by, got, ok, tc.want)
		}
	}
}

// readLists reads files of testdata/pricelist, whose rows are of AWS's public lists of September and October 2026.
func readLists(t *testing.T, names map[string]string, files ...string) *PriceList {
	t.Helper()
	l, err := NewPriceList(mustLoad(t), names)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("testdata/pricelist", name))
		if err != nil {
			t.Fatal(err)
		}
		if !IsPriceList(text) {
			t.Errorf("%s is no price list", name)
		}
		if err := l.Read(text); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestPriceList: what AWS's lists and the catalog both have is the same; what is new of it is read.
func TestPriceList(t *testing.T) {
	l := readLists(t, nil, "AmazonBedrock-us-east-1.json", "AmazonBedrockFoundationModels-us-west-2.json")
	f := l.Facts("2026-11-24")
	got := map[string]string{}
	for i := range f.Prices {
		got[f.Prices[i].ID()] = f.Prices[i].Amounts()
	}
	want := map[string]string{
		"amazon.nova-2-lite-v1:0/global/us-east-1;tier=priority@2026-09-01":             "input 0.525",
		"meta.llama4-maverick-17b-instruct-v1:0/region/us-east-1;tier=batch@2026-09-01": "input 0.12",
		"meta.llama4-maverick-17b-instruct-v1:0/us/us-east-1;tier=batch@2026-09-01":     "input 0.12",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := map[string]int{"Claude Opus 5.5": 1, "moonshotai.kimi-k3": 1}; !maps.Equal(l.Unknown, want) {
		t.Errorf("unknown are %v, want %v", l.Unknown, want)
	}
	if l.Rows() != 23 || len(l.Conflicts) > 0 {
		t.Errorf("%d rows, conflicts %q", l.Rows(), l.Conflicts)
	}
	base, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	f.Numbered("import-1")
	all, err := base.Overlay(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(all)
	if err != nil {
		t.Fatal(err)
	}
	terms := c.Terms(&Call{Model: "amazon.nova-2-lite-v1:0", Scope: "global", Region: "us-east-1", Tier: "priority", At: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)})
	if p := terms.List; p == nil || *p.Input != 525_000_000 || p.Output != nil || p.ID != "amazon.nova-2-lite-v1:0/global/us-east-1;tier=priority@2026-09-01+import-1" {
		t.Errorf("the price is %+v", p)
	}
}

// TestPriceListChanges: a change of one amount keeps the others, in the Region and in the geographies that are offered there.
func TestPriceListChanges(t *testing.T) {
	const row = `"SKU1","JRTCKXETXF","SKU1.JRTCKXETXF.6YS6EN2CT7","OnDemand","","2026-12-01","0","Inf","1M tokens","3.4000000000","USD","AWSMarketplace","Claude Sonnet 4.5 (Amazon Bedrock Edition)","us-west-2","USW2-MP:USW2_InputTokenCount-Units"` + "\n"
	const list = "\ufeff" + `"FormatVersion","v1.0"` + "\n" + `"Disclaimer","This pricing list is for informational purposes only."` + "\n" + `"Publication Date","2026-11-30T20:50:51Z"` + "\n" +
		`"Version","20261130205051"` + "\n" + `"OfferCode","AmazonBedrockFoundationModels"` + "\n" +
		`"SKU","OfferTermCode","RateCode","TermType","PriceDescription","EffectiveDate","StartingRange","EndingRange","Unit","PricePerUnit","Currency","serviceCode","serviceName","Region Code","usageType"` + "\n" + row
	l := readLists(t, nil)
	if !IsPriceList([]byte(list)) {
		t.Fatal("it is no price list")
	}
	if err := l.Read([]byte(list + strings.Replace(row, `"OnDemand"`, `"Reserved"`, 1) + strings.Replace(row, `"USD"`, `"CNY"`, 1) + strings.Replace(row, `"0"`, `"1000"`, 1) + strings.Replace(row, "1M tokens", "Hrs", 1))); err != nil {
		t.Fatal(err)
	}
	f := l.Facts("2026-12-01")
	scopes := map[string]bool{}
	for _, p := range f.Prices {
		scopes[p.Scope] = true
		want := TokensFact{Input: "3.4", Output: "16.5", CacheRead: "0.33", CacheWrite: "4.125", CacheWrite1h: "6.6"}
		if p.Tokens != want || p.Region != "us-west-2" || p.Effective != "2026-12-01" || slices.Contains(p.Inferred, "input") || !slices.Contains(p.Inferred, "output") {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	if !scopes["region"] || !scopes["us"] || scopes["global"] {
		t.Errorf("the scopes are %v", scopes)
	}
	if want := map[string]int{"in CNY": 1, "prices by volume": 1, "by Hrs": 1}; !maps.Equal(l.Skipped, want) {
		t.Errorf("left out are %v, want %v", l.Skipped, want)
	}
	// Another amount for the same: the higher counts, and it is said.
	if err := l.Read([]byte(list + strings.Replace(row, "3.4000000000", "3.5000000000", 1))); err != nil {
		t.Fatal(err)
	}
	if f := l.Facts("2026-12-01"); len(l.Conflicts) != 1 || f.Prices[0].Tokens.Input != "3.5" {
		t.Errorf("conflicts %q, price %+v", l.Conflicts, f.Prices[0])
	}
}

func TestPriceListNames(t *testing.T) {
	if _, err := NewPriceList(mustLoad(t), map[string]string{"X": "no.model"}); err == nil {
		t.Error("a name of no model is taken")
	}
	l := readLists(t, map[string]string{"Claude Opus 5.5": haiku}, "AmazonBedrockFoundationModels-us-west-2.json")
	if n := len(l.Unknown); n != 0 {
		t.Errorf("unknown are %v", l.Unknown)
	}
	for _, bad := range []string{"{}", `{"products":{}}`, `{"products":`, "", `"FormatVersion","v1.0"` + "\n", `{"PriceList":["{"]}`} {
		if err := l.Read([]byte(bad)); err == nil && l.Rows() == 0 {
			t.Errorf("%s is taken", bad)
		}
	}
	// What `aws pricing get-products` prints.
	l = readLists(t, nil)
	if err := l.Read([]byte(`{"FormatVersion":"aws_v1","PriceList":["{\"product\":{\"attributes\":{\"regionCode\":\"us-east-1\",\"usagetype\":\"USE1-Nova2.0Lite-input-tokens-flex\",\"model\":\"Nova 2.0 Lite\"}},\"terms\":{\"OnDemand\":{\"a\":{\"effectiveDate\":\"2026-12-01T00:00:00Z\",\"priceDimensions\":{\"b\":{\"unit\":\"1K tokens\",\"pricePerUnit\":{\"USD\":\"0.0001650000\"}}}}}}}"]}`)); err != nil {
		t.Fatal(err)
	}
	if f := l.Facts("2026-12-01"); len(f.Prices) == 0 || f.Prices[0].Tier != "flex" || f.Prices[0].Tokens.Input != "0.165" {
		t.Errorf("%+v", f.Prices)
	}
}

func TestPriceTable(t *testing.T) {
	f, err := ParsePriceTable([]byte("# negotiated\nmodel,scope,region,contract,currency,effective,input,output,long_input,long_above,unit:requests\n"+
		haiku+",region,,acme,,2026-12-01,0.2,1,,,\n"+haiku+",us,us-east-1,,EUR,2026-12-01,0.3,,0.6,272000,0.001\n"), "2026-12-01")
	if err != nil {
		t.Fatal(err)
	}
	want := []PriceFact{
		{Model: haiku, Scope: "region", Contract: "acme", Effective: "2026-12-01", Tokens: TokensFact{Input: "0.2", Output: "1"}},
		{Model: haiku, Scope: "us", Region: "us-east-1", Currency: "EUR", Effective: "2026-12-01", Own: TokensFact{Input: "0.3"}, OwnLong: TokensFact{Input: "0.6"}, LongAbove: 272000, OwnUnits: map[string]string{"requests": "0.001"}},
	}
	if !reflect.DeepEqual(f.Prices, want) {
		t.Errorf("got  %+v\nwant %+v", f.Prices, want)
	}
	for name, text := range map[string]string{
		"nothing": "", "no scope": "model,effective,input\n", "an unknown column": "model,scope,effective,inputs\na,b,c,d\n", "a column twice": "model,scope,effective,input,input\n",
		"a row too long": "model,scope,effective\na,b,c,d\n", "no number": "model,scope,effective,long_above\na,b,c,many\n",
	} {
		if _, err := ParsePriceTable([]byte(text), "2026-12-01"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzPriceList(f *testing.F) {
	c, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"AmazonBedrock-us-east-1.json", "AmazonBedrockFoundationModels-us-west-2.json"} {
		text, err := os.ReadFile(filepath.Join("testdata/pricelist", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("\"FormatVersion\"\nSKU,TermType,Currency,usageType,Unit,PricePerUnit,EffectiveDate,Region Code,model\na,OnDemand,USD,USE1-Nova2.0Lite-input-tokens,1K tokens,0.1,2026-12-01,us-east-1,Nova 2.0 Lite\n"))
	base, err := Embedded()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := NewPriceList(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.Read(text) != nil {
			return
		}
		// What is read of a list makes a catalog.
		all, err := base.Overlay(l.Facts("2026-12-01"))
		if err == nil {
			_, err = New(all)
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
