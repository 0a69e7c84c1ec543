package catalog

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"outcrop/arn"
)

func load(dir fs.FS) (*Catalog, error) {
	f, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	return New(f)
}

func mustLoad(t testing.TB) *Catalog {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReferences checks what holds the three files together; the loader has refused what points nowhere.
func TestReferences(t *testing.T) {
	c := mustLoad(t)
	at := c.Date
	for _, m := range c.AllModels() {
		reachable := m.OnDemand && len(m.Regions) > 0
		for _, r := range m.Regions {
			if m.OnDemand {
				checkPrice(t, c, m.ID, InRegion, r, at)
			}
		}
		if !m.OnDemand && !m.Provisioned && len(m.Regions) > 0 {
			t.Errorf("%s has Regions and cannot be called there", m.ID)
		}
		for _, p := range c.byModel[m.ID] {
			reachable = true
			for source := range p.Routes {
				checkPrice(t, c, m.ID, p.Geo, source, at)
			}
		}
		if _, unpriced := c.Unpriced(m.ID); unpriced {
			for scope := range map[string]bool{InRegion: true, Global: true, "us": true, "eu": true} {
				if p, ok := c.Price(m.ID, scope, "us-east-1", at); ok {
					t.Errorf("%s is listed as unpriced and has the price %s", m.ID, p.ID)
				}
			}
		}
		if reachable && m.MaxOutputTokens > m.ContextTokens && m.ContextTokens > 0 {
			t.Errorf("%s: %d output tokens in a context of %d", m.ID, m.MaxOutputTokens, m.ContextTokens)
		}
		if strings.ContainsAny(m.UsageName, " /:") {
			t.Errorf("%s: usage name %q", m.ID, m.UsageName)
		}
	}
	for k, of := range c.tariffs {
		lines := slices.Collect(maps.Values(of.others))
		if of.list != nil {
			lines = append(lines, of.list)
		}
		var all [][]*Price
		for _, tf := range lines {
			all = append(append(all, tf.rest), mapValues(tf.regions)...)
		}
		for _, versions := range all {
			for _, p := range versions {
				if p.Effective.After(c.Date) {
					t.Errorf("%v: %s holds only after the catalog's date", k, p.ID)
				}
			}
		}
	}
}

func mapValues(m map[string][]*Price) (vs [][]*Price) {
	for _, v := range m {
		vs = append(vs, v)
	}
	return vs
}

func checkPrice(t *testing.T, c *Catalog, model, scope, region string, at time.Time) {
	t.Helper()
	_, unpriced := c.Unpriced(model)
	p, ok := c.Price(model, scope, region, at)
	switch {
	case ok == unpriced:
		t.Errorf("%s in scope %s from %s: priced %v, listed as unpriced %v", model, scope, region, ok, unpriced)
	case ok && p.Output == nil && len(p.Units) == 0:
		t.Errorf("%s has no price of output", p.ID)
	}
}

// TestUnitPrices: from AWS's pricing page and price lists, in US dollars a piece.
func TestUnitPrices(t *testing.T) {
	c := mustLoad(t)
	for _, tc := range []struct{ model, scope, unit, usd string }{
		{"amazon.titan-image-generator-v2:0", InRegion, "T2I-512-Standard", "0.008"},
		{"amazon.titan-image-generator-v2:0", InRegion, "I2I-1024-Premium", "0.012"},
		{"amazon.nova-canvas-v1:0", InRegion, "T2I-1024-Standard", "0.04"},
		{"amazon.nova-canvas-v1:0", "us", "T2I-2048-Premium", "0.08"},
		{"stability.sd3-5-large-v1:0", InRegion, "output-image", "0.08"},
		{"stability.stable-image-ultra-v1:1", InRegion, "output-image", "0.14"},
		{"amazon.rerank-v1:0", InRegion, "searchunits", "0.001"},
		{"cohere.rerank-v3-5:0", InRegion, "searchunits", "0.002"},
		{"amazon.titan-embed-image-v1", InRegion, "input-image", "0.00006"},
	} {
		want, err := parseNano(tc.usd)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := c.Price(tc.model, tc.scope, "us-east-1", c.Date)
		if !ok {
			t.Errorf("%s has no price", tc.model)
		} else if got, ok := p.Units[tc.unit]; !ok || got != want {
			t.Errorf("%s: %s costs %d nano-USD, want %d", tc.model, tc.unit, got, want)
		}
	}
}

func TestPrice(t *testing.T) {
	c := mustLoad(t)
	usd := func(s string) int64 {
		n, err := parseNano(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// From AWS's public price lists and model pages, in US dollars per million tokens.
	for _, tc := range []struct{ model, scope, region, input, output, cacheRead, cacheWrite, cacheWrite1h string }{
		{"anthropic.claude-3-haiku-20240307-v1:0", InRegion, "us-east-1", "0.25", "1.25", "0.025", "0.3125", ""},
		{"anthropic.claude-3-haiku-20240307-v1:0", "us", "us-east-1", "0.25", "1.25", "0.025", "0.3125", ""},
		{"anthropic.claude-3-haiku-20240307-v1:0", InRegion, "us-gov-west-1", "0.3", "1.5", "0.03", "0.375", ""},
		{"anthropic.claude-3-haiku-20240307-v1:0", "us-gov", "us-gov-east-1", "0.3", "1.5", "0.03", "0.375", ""}, // no price of the geography: the Region's
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", InRegion, "ap-northeast-1", "3", "15", "0.3", "3.75", ""},
		{"anthropic.claude-3-opus-20240229-v1:0", "us", "us-east-1", "15", "75", "1.5", "18.75", ""},
		{"anthropic.claude-sonnet-4-5-20250929-v1:0", Global, "ap-northeast-1", "3", "15", "0.3", "3.75", "6"},
		{"anthropic.claude-sonnet-4-5-20250929-v1:0", "jp", "ap-northeast-1", "3.3", "16.5", "0.33", "4.125", "6.6"},
		{"anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov", "us-gov-west-1", "3.6", "18", "0.36", "4.5", "7.2"},
		{"anthropic.claude-sonnet-4-5-20250929-v1:0", InRegion, "us-east-1", "3.3", "16.5", "0.33", "4.125", "6.6"}, // in-Region is not the global price
		{"anthropic.claude-opus-4-5-20251101-v1:0", "eu", "eu-west-1", "5.5", "27.5", "0.55", "6.875", "11"},
		{"amazon.nova-2-lite-v1:0", "us", "us-east-1", "0.33", "2.75", "0.0825", "", ""},
		{"amazon.nova-2-lite-v1:0", Global, "us-east-1", "0.3", "2.5", "0.075", "", ""},
		{"amazon.nova-2-lite-v1:0", "jp", "ap-northeast-1", "0.33", "2.75", "0.0825", "", ""}, // no price of the geography
		{"amazon.nova-lite-v1:0", "eu", "eu-west-1", "0.078", "0.312", "0.0195", "", ""},
		{"amazon.nova-micro-v1:0", InRegion, "us-east-1", "0.035", "0.14", "0.00875", "", ""},
		{"amazon.titan-text-premier-v1:0", InRegion, "us-east-1", "0.5", "1.5", "", "", ""},
		{"meta.llama3-1-70b-instruct-v1:0", "us", "us-east-1", "0.72", "0.72", "", "", ""},
		{"meta.llama3-8b-instruct-v1:0", InRegion, "ap-south-1", "0.36", "0.72", "", "", ""},
		{"meta.llama3-8b-instruct-v1:0", InRegion, "ap-northeast-1", "0.3", "0.6", "", "", ""}, // no price of the Region
	} {
		p, ok := c.Price(tc.model, tc.scope, tc.region, c.Date)
		if !ok {
			t.Errorf("%s %s %s: no price", tc.model, tc.scope, tc.region)
			continue
		}
		for _, a := range []struct {
			what string
			got  *int64
			want string
		}{{"input", p.Input, tc.input}, {"output", p.Output, tc.output}, {"cache read", p.CacheRead, tc.cacheRead},
			{"cache write", p.CacheWrite, tc.cacheWrite}, {"cache write 1h", p.CacheWrite1h, tc.cacheWrite1h}} {
			if (a.got == nil) != (a.want == "") || a.got != nil && *a.got != usd(a.want) {
				t.Errorf("%s: %s is %v, want %q", p.ID, a.what, a.got, a.want)
			}
		}
	}
	if p, ok := c.Price("no.model", InRegion, "us-east-1", c.Date); ok {
		t.Errorf("a model that is not there has the price %s", p.ID)
	}
	if p, ok := c.Price("anthropic.claude-3-haiku-20240307-v1:0", "moon", "us-east-1", c.Date); ok {
		t.Errorf("a scope that is not there has the price %s", p.ID)
	}
	p, _ := c.Price("anthropic.claude-sonnet-4-5-20250929-v1:0", Global, "us-east-1", c.Date)
	if p.ID != "anthropic.claude-sonnet-4-5-20250929-v1:0/global/*@2026-08-06" {
		t.Errorf("the price's id is %s", p.ID)
	}
	if p.Long == nil || *p.Long.Input != usd("6") || *p.Long.Output != usd("22.5") || p.Long.ID == p.ID {
		t.Errorf("the long-context price is %+v", p.Long)
	}
}

func TestProfiles(t *testing.T) {
	c := mustLoad(t)
	// As GetInferenceProfile answered in us-east-1 on 2025-12-08.
	const llama = "us.meta.llama3-1-70b-instruct-v1:0"
	p, ok := c.Profile(llama)
	if !ok {
		t.Fatal("no " + llama)
	}
	if p.Name != "US Meta Llama 3.1 70B Instruct" || p.CreatedAt.Format(time.RFC3339Nano) != "2024-11-01T00:00:00Z" ||
		p.UpdatedAt.Format(time.RFC3339Nano) != "2024-11-04T18:04:24.303028Z" {
		t.Errorf("%+v", p)
	}
	if got, want := c.ProfileDescription(llama, "us-east-1"), "Routes requests to Meta Llama 3.1 70B Instruct in us-east-1, us-east-2 and us-west-2."; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	wantModels := []string{
		"arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-70b-instruct-v1:0",
		"arn:aws:bedrock:us-east-2::foundation-model/meta.llama3-1-70b-instruct-v1:0",
		"arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-70b-instruct-v1:0",
	}
	if got := c.ProfileModels(llama, "us-east-1"); !slices.Equal(got, wantModels) {
		t.Errorf("models %v", got)
	}
	// The user guide's example of destinations that depend on the source.
	for region, want := range map[string][]string{
		"us-east-2": {"us-east-1", "us-east-2", "us-west-2"}, "us-west-2": {"us-east-1", "us-west-2"}, "eu-west-1": nil, "nowhere": nil,
	} {
		got := slices.Sorted(slices.Values(c.Destinations("us.anthropic.claude-3-haiku-20240307-v1:0", region)))
		if !slices.Equal(got, want) {
			t.Errorf("from %s: %v, want %v", region, got, want)
		}
	}
	// A global profile: two ARNs, the one without a Region first, and every commercial Region as a destination.
	const global = "global.anthropic.claude-opus-4-6-v1"
	wantModels = []string{"arn:aws:bedrock:::foundation-model/anthropic.claude-opus-4-6-v1", "arn:aws:bedrock:ca-central-1::foundation-model/anthropic.claude-opus-4-6-v1"}
	if got := c.ProfileModels(global, "ca-central-1"); !slices.Equal(got, wantModels) {
		t.Errorf("models %v, want %v", got, wantModels)
	}
	if got, want := c.ProfileDescription(global, "ca-central-1"), "Routes requests to Anthropic Claude Opus 4.6 globally across all supported AWS Regions."; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	if got := c.Destinations(global, "ca-central-1"); len(got) != 33 || !slices.Contains(got, "sa-east-1") || slices.Contains(got, "us-gov-west-1") {
		t.Errorf("%d destinations: %v", len(got), got)
	}
	for _, region := range []string{"us-gov-west-1", "nowhere"} {
		if got := c.ProfileModels(global, region); got != nil {
			t.Errorf("offered from %s: %v", region, got)
		}
		if got := c.ProfileDescription(global, region); got != "" {
			t.Errorf("described in %s: %q", region, got)
		}
	}
	// A list shows what is callable from that Region: us.* and global.* in us-east-1 only those.
	for _, p := range c.Profiles("us-east-1") {
		if p.Geo != "us" && p.Geo != Global {
			t.Errorf("%s is offered from us-east-1", p.ID)
		}
	}
	if n := len(c.Profiles("us-east-1")); n < 59 { // 59 were listed in 2026
		t.Errorf("%d profiles in us-east-1", n)
	}
	for _, p := range c.Profiles("ap-northeast-1") {
		if !slices.Contains([]string{"apac", "jp", Global}, p.Geo) {
			t.Errorf("%s is offered from ap-northeast-1", p.ID)
		}
	}
	for _, r := range Regions() {
		for _, p := range c.Profiles(r.ID) {
			for _, d := range c.Destinations(p.ID, r.ID) {
				if arn.Partition(d) != arn.Partition(r.ID) {
					t.Errorf("%s from %s to %s", p.ID, r.ID, d)
				}
			}
		}
	}
}

func TestModels(t *testing.T) {
	c := mustLoad(t)
	for _, tc := range []struct {
		id, region          string
		listed, onDemand    bool
		inProfile           bool
		status, name, usage string
	}{
		// What guides and their readers' scripts call, some of it retired by AWS.
		{"anthropic.claude-3-haiku-20240307-v1:0", "ap-northeast-1", true, true, true, "LEGACY", "Claude 3 Haiku", "Claude3Haiku"},
		{"anthropic.claude-3-haiku-20240307-v1:0", "us-east-1", true, true, true, "LEGACY", "Claude 3 Haiku", "Claude3Haiku"},
		{"anthropic.claude-3-sonnet-20240229-v1:0", "us-east-1", true, true, true, "LEGACY", "Claude 3 Sonnet", "Claude3Sonnet"},
		{"anthropic.claude-3-sonnet-20240229-v1:0", "ap-northeast-1", true, true, true, "LEGACY", "Claude 3 Sonnet", "Claude3Sonnet"},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "ap-northeast-1", true, true, true, "LEGACY", "Claude 3.5 Sonnet", "Claude3.5Sonnet"},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "us-east-1", true, true, true, "LEGACY", "Claude 3.5 Sonnet", "Claude3.5Sonnet"},
		{"anthropic.claude-3-5-sonnet-20241022-v2:0", "us-west-2", true, true, true, "LEGACY", "Claude 3.5 Sonnet v2", "Claude3.5Sonnetv2"},
		{"anthropic.claude-3-5-sonnet-20241022-v2:0", "us-east-1", true, false, true, "LEGACY", "Claude 3.5 Sonnet v2", "Claude3.5Sonnetv2"},
		{"anthropic.claude-3-opus-20240229-v1:0", "us-east-1", true, true, true, "LEGACY", "Claude 3 Opus", "Claude3Opus"},
		{"amazon.titan-text-premier-v1:0", "us-east-1", true, true, false, "LEGACY", "Titan Text G1 - Premier", "TitanTextG1-Premier"},
		{"meta.llama3-1-70b-instruct-v1:0", "us-east-1", true, true, true, "ACTIVE", "Llama 3.1 70B Instruct", "Llama3.1-70BInstruct"},
		// Usage types seen in price lists: USE1-Nova2.0Lite-input-tokens, USE1-Claude4.6Opus-output-tokens.
		{"amazon.nova-2-lite-v1:0", "us-east-1", true, false, true, "ACTIVE", "Nova 2 Lite", "Nova2.0Lite"},
		{"anthropic.claude-opus-4-6-v1", "us-east-1", true, false, true, "ACTIVE", "Claude Opus 4.6", "Claude4.6Opus"},
		// Profile-only in us-west-2 although it is listed there.
		{"amazon.nova-lite-v1:0", "us-west-2", true, false, true, "ACTIVE", "Nova Lite", "NovaLite"},
		// On no list of bedrock-runtime, and provisioned only.
		{"openai.gpt-5.5", "us-east-1", false, false, false, "ACTIVE", "GPT-5.5", "GPT-5.5"},
		{"amazon.nova-premier-v1:0:8k", "us-east-1", true, false, false, "ACTIVE", "Nova Premier", "NovaPremier-8k"},
		{"meta.llama3-1-70b-instruct-v1:0", "ap-northeast-1", false, false, false, "ACTIVE", "Llama 3.1 70B Instruct", "Llama3.1-70BInstruct"},
	} {
		m, ok := c.Model(tc.id)
		if !ok {
			t.Errorf("no %s", tc.id)
			continue
		}
		if m.Status != tc.status || m.Name != tc.name || m.UsageName != tc.usage {
			t.Errorf("%s: %s, %q, %q", tc.id, m.Status, m.Name, m.UsageName)
		}
		listed := slices.Contains(c.Models(tc.region), m)
		if listed != tc.listed || c.Listed(tc.id, tc.region) != tc.listed || c.OnDemand(tc.id, tc.region) != tc.onDemand || c.InProfile(tc.id, tc.region) != tc.inProfile {
			t.Errorf("%s in %s: listed %v, on demand %v, in a profile %v", tc.id, tc.region, listed, c.OnDemand(tc.id, tc.region), c.InProfile(tc.id, tc.region))
		}
	}
	// The lifecycle dates of AWS's table.
	m, _ := c.Model("anthropic.claude-3-haiku-20240307-v1:0")
	for got, want := range map[time.Time]string{m.Legacy: "2026-03-10", m.ExtendedAccess: "2026-06-10", m.EndOfLife: "2026-09-10"} {
		if got.Format(time.DateOnly) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !slices.IsSorted(c.order.models) {
		t.Error("models are not listed by id")
	}
}

func TestRegions(t *testing.T) {
	// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-region-billing-codes.html
	for region, want := range map[string]string{
		"us-east-1": "USE1", "us-west-2": "USW2", "ap-northeast-1": "APN1", "ap-south-1": "APS3", "ap-southeast-1": "APS1", "eu-west-1": "EU",
		"eu-central-1": "EUC1", "mx-central-1": "MXC1", "ap-southeast-7": "APS9", "us-gov-east-1": "UGE1", "office-1": "OFFICE-1", "": "",
	} {
		if got := RegionCode(region); got != want {
			t.Errorf("RegionCode(%q) = %q, want %q", region, got, want)
		}
	}
	codes := map[string]string{}
	for _, r := range Regions() {
		if other, ok := codes[r.Code]; ok {
			t.Errorf("%s and %s are both %s", other, r.ID, r.Code)
		}
		codes[r.Code] = r.ID
		if r.Bedrock && arn.Partition(r.ID) != "aws" {
			t.Errorf("%s is not commercial", r.ID)
		}
	}
	if !slices.IsSortedFunc(Regions(), func(a, b Region) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("Regions are not sorted")
	}
}

func TestUsageName(t *testing.T) {
	for name, want := range map[string]string{
		"Claude 3 Haiku": "Claude3Haiku", "Claude Opus 4.6": "Claude4.6Opus", "Claude Mythos Preview": "ClaudeMythosPreview",
		"Llama 3.1 70B Instruct": "Llama3.1-70BInstruct", "Qwen3 32B (dense)": "Qwen3-32Bdense", "A/B+C": "ABC",
	} {
		if got := usageName(name); got != want {
			t.Errorf("usageName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseNano(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "0.3125": 312500000, "15": 15e9, "0.000000001": 1, "999999999.999999999": 999999999999999999} {
		if got, err := parseNano(in); err != nil || got != want {
			t.Errorf("parseNano(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", ".5", "5.", "-1", "+1", "1e3", "0.0000000001", "1,5", "1 ", "1.2.3", "1000000000", "0x1"} {
		if got, err := parseNano(in); err == nil {
			t.Errorf("parseNano(%q) = %d, want an error", in, got)
		}
	}
}

// TestLoadIsStrict changes one thing at a time in a small catalog that loads.
func TestLoadIsStrict(t *testing.T) {
	files := map[string]string{
		"models.json": `{"date":"2026-01-01","sources":[],"models":[
			{"id":"a.x","name":"X 1","provider":"A","input":["TEXT"],"output":["TEXT"],"streaming":true,"on_demand":true,"regions":["eu-west-1","us-east-1"],"status":"ACTIVE"},
			{"id":"a.y","name":"Y 1","provider":"A","input":["TEXT"],"output":["TEXT"],"streaming":true,"status":"LEGACY","legacy":"2025-01-01"}]}`,
		"profiles.json": `{"date":"2026-01-02","sources":[],"profiles":[
			{"id":"us.a.y","geo":"us","name":"US Y","model":"a.y","description":"Routes requests to Y in {destinations}.","routes":{"us-east-1":["us-west-2","us-east-1"]}},
			{"id":"global.a.y","geo":"global","name":"Global Y","model":"a.y","description":"Routes requests to Y globally.","from":["us-east-1"]}]}`,
		"prices.json": `{"date":"2026-01-01","sources":[],"prices":[
			{"model":"a.x","scope":"region","effective":"2026-01-01","usd_per_million":{"input":"2","output":"4"}},
			{"model":"a.x","scope":"region","effective":"2025-01-01","usd_per_million":{"input":"1","output":"2"}},
			{"model":"a.x","scope":"region","region":"eu-west-1","effective":"2025-06-01","usd_per_million":{"input":"3"}},
			{"model":"a.y","scope":"us","effective":"2025-01-01","usd_per_million":{"output":"5"}}],
			"unpriced":[]}`,
	}
	dir := func(file, old, new string) fs.FS {
		m := fstest.MapFS{}
		for name, text := range files {
			if name == file {
				if !strings.Contains(text, old) {
					t.Fatalf("%s has no %s", name, old)
				}
				text = strings.Replace(text, old, new, 1)
			}
			m[name] = &fstest.MapFile{Data: []byte(text)}
		}
		return m
	}
	c, err := load(dir("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if c.Date.Format(time.DateOnly) != "2026-01-02" {
		t.Errorf("date %v", c.Date)
	}
	if got := c.ProfileDescription("us.a.y", "us-east-1"); got != "Routes requests to Y in us-west-2 and us-east-1." {
		t.Errorf("description %q", got)
	}
	// The version that holds at an instant; before all of them, the first. Region prices of their own win, fallbacks
	// do not cross from one geography to another.
	for _, tc := range []struct {
		model, scope, region, at, want string
	}{
		{"a.x", "region", "us-east-1", "2026-05-01", "a.x/region/*@2026-01-01"},
		{"a.x", "region", "us-east-1", "2026-01-01", "a.x/region/*@2026-01-01"},
		{"a.x", "region", "us-east-1", "2025-12-31", "a.x/region/*@2025-01-01"},
		{"a.x", "region", "us-east-1", "2020-01-01", "a.x/region/*@2025-01-01"},
		{"a.x", "region", "eu-west-1", "2026-05-01", "a.x/region/eu-west-1@2025-06-01"},
		{"a.x", "us", "eu-west-1", "2026-05-01", "a.x/region/eu-west-1@2025-06-01"},
		{"a.x", "us", "us-east-1", "2026-05-01", "a.x/region/*@2026-01-01"},
		{"a.y", "us", "us-east-1", "2026-05-01", "a.y/us/*@2025-01-01"},
		{"a.y", "global", "us-east-1", "2026-05-01", ""},
		{"a.y", "region", "us-east-1", "2026-05-01", ""},
	} {
		at, _ := time.Parse(time.DateOnly, tc.at)
		p, ok := c.Price(tc.model, tc.scope, tc.region, at)
		if ok != (tc.want != "") || ok && p.ID != tc.want {
			t.Errorf("%s %s %s at %s: %+v, want %s", tc.model, tc.scope, tc.region, tc.at, p, tc.want)
		}
	}
	for _, tc := range []struct{ file, old, new string }{
		{"models.json", `"streaming":true`, `"streeming":true`},
		{"models.json", `"streaming":true`, `"streaming":true,"streaming":true`},
		{"models.json", `"date":"2026-01-01"`, `"date":""`},
		{"models.json", `"date":"2026-01-01"`, `"date":"01.01.2026"`},
		{"models.json", `"a.y"`, `"a.x"`},
		{"models.json", `"Y 1"`, `"X 1"`}, // the same usage name
		{"models.json", `"provider":"A"`, `"provider":""`},
		{"models.json", `"ACTIVE"`, `"EOL"`},
		{"models.json", `"eu-west-1","us-east-1"`, `"us-east-1","eu-west-1"`},
		{"models.json", `"eu-west-1"`, `"eu-west-9"`},
		{"models.json", `"legacy":"2025-01-01"`, `"legacy":"soon"`},
		{"models.json", `"on_demand":true`, `"on_demand":true,"provisioned":true`},
		{"profiles.json", `"model":"a.y"`, `"model":"a.z"`},
		{"profiles.json", `"geo":"us"`, `"geo":"eu"`},
		{"profiles.json", `"us-west-2"`, `"us-west-9"`},
		{"profiles.json", `"us-west-2"`, `"us-gov-west-1"`},
		{"profiles.json", `["us-west-2","us-east-1"]`, `[]`},
		{"profiles.json", `{"us-east-1":`, `{"us-east-9":`},
		{"profiles.json", `{destinations}`, `places`},
		{"profiles.json", `globally`, `in {destinations}`},
		{"profiles.json", `"from":["us-east-1"]`, `"from":[]`},
		{"profiles.json", `"from":["us-east-1"]`, `"routes":{"us-east-1":["us-east-1"]}`},
		{"profiles.json", `"routes":{`, `"from":["us-east-1"],"routes":{`},
		{"profiles.json", `"id":"global.a.y","geo":"global"`, `"id":"us.a.y","geo":"us"`},
		{"profiles.json", `"description":"Routes requests to Y in {destinations}.",`, `"description":"Routes requests to Y in {destinations}.","created_at":"yesterday",`},
		{"prices.json", `"model":"a.x"`, `"model":"a.z"`},
		{"prices.json", `"scope":"us"`, `"scope":"eu"`},
		{"prices.json", `"region":"eu-west-1"`, `"region":"eu-west-9"`},
		{"prices.json", `"2025-01-01"`, `"2026-01-01"`}, // the same version twice
		{"prices.json", `"effective":"2026-01-01"`, `"effective":""`},
		{"prices.json", `"effective":"2026-01-01"`, `"effective":"2026"`},
		{"prices.json", `"input":"2"`, `"input":2`},
		{"prices.json", `"input":"2"`, `"input":"-2"`},
		{"prices.json", `{"input":"2","output":"4"}`, `{}`},
		{"prices.json", `{"input":"2","output":"4"}`, `{},"usd_per_unit":{}`},
		{"prices.json", `{"input":"2","output":"4"}`, `{},"usd_per_unit":{"output-image":"free"}`},
		{"prices.json", `{"input":"2","output":"4"}`, `{},"usd_per_unit":{"":"1"}`},
		{"prices.json", `{"input":"2","output":"4"}`, `{},"usd_per_unit":{"output-image":"1","output-image":"2"}`},
		{"prices.json", `"unpriced":[]`, `"unpriced":[{"model":"a.z","why":"x"}]`},
		{"prices.json", `"unpriced":[]`, `"unpriced":[{"model":"a.y","why":""}]`},
		{"prices.json", `"unpriced":[]`, `"unpriced":[{"model":"a.y","why":"x"},{"model":"a.y","why":"x"}]`},
	} {
		if _, err := load(dir(tc.file, tc.old, tc.new)); err == nil {
			t.Errorf("%s loads with %s instead of %s", tc.file, tc.new, tc.old)
		}
	}
	if _, err := load(fstest.MapFS{}); err == nil {
		t.Error("loads without files")
	}
}

func BenchmarkPrice(b *testing.B) {
	c := mustLoad(b)
	at := c.Date
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.Price("anthropic.claude-3-haiku-20240307-v1:0", "us", "us-east-1", at); !ok {
			b.Fatal("no price")
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustLoad(b)
	}
}
