package catalog

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const haiku = "anthropic.claude-3-haiku-20240307-v1:0"

// laid is the embedded catalog with facts laid over it; prices are of haiku, in the Region, unless they say otherwise.
func laid(t *testing.T, facts string) (*Catalog, error) {
	t.Helper()
	f, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	facts = strings.ReplaceAll(facts, "{{", `{"model":"`+haiku+`","scope":"region",`)
	over, err := ParseFacts([]byte(`{"date":"2026-12-01",` + strings.ReplaceAll(facts, "}}", "}") + `}`))
	if err != nil {
		return nil, err
	}
	if f, err = f.Overlay(over); err != nil {
		return nil, err
	}
	return New(f)
}

func mustLay(t *testing.T, facts string) *Catalog {
	t.Helper()
	c, err := laid(t, facts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTerms(t *testing.T) {
	c := mustLay(t, `"prices":[
		{{"tier":"flex","effective":"2026-12-01","usd_per_million":{"input":"0.125","output":"0.625"}}},
		{{"tier":"flex","region":"eu-west-1","effective":"2026-12-01","usd_per_million":{"input":"0.2"}}},
		{{"upstream":"gpu-a","effective":"2026-12-01","usd_per_million":{"input":"0.01"}}},
		{{"upstream":"gpu-a","tier":"priority","effective":"2026-12-01","usd_per_million":{"input":"0.02"}}},
		{{"contract":"acme","effective":"2027-01-01","usd_per_million":{"input":"0.2"}}},
		{{"contract":"acme","effective":"2026-12-01","usd_per_million":{"input":"0.22"}}}],
		"discounts":[
		{"name":"edp","percent":"10","effective":"2026-12-01","until":"2027-12-01"},
		{"name":"team","percent":"12.5","models":["anthropic.*"],"accounts":["111111111111"],"effective":"2027-02-01"}]`)
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const id = haiku + "/region/*"
	for name, tc := range map[string]struct {
		call           Call
		list, contract string // ids, List's under its discount
		off            int64
	}{
		"the default":             {Call{Scope: "region", Region: "us-east-1", At: day("2026-11-30")}, haiku + "/region/*@2026-08-06", "", 0},
		"a discount":              {Call{Scope: "region", Region: "us-east-1", At: day("2026-12-01")}, id + "@2026-08-06;discount=edp@2026-12-01", id + ";contract=acme@2026-12-01+2026-12-01", 100_000},
		"a later contract":        {Call{Scope: "region", Region: "us-east-1", At: day("2027-01-01")}, id + "@2026-08-06;discount=edp@2026-12-01", id + ";contract=acme@2027-01-01+2026-12-01", 100_000},
		"the higher discount":     {Call{Scope: "region", Region: "us-east-1", Account: "111111111111", At: day("2027-02-01")}, id + "@2026-08-06;discount=team@2027-02-01", id + ";contract=acme@2027-01-01+2026-12-01", 125_000},
		"of another account":      {Call{Scope: "region", Region: "us-east-1", Account: "222222222222", At: day("2027-02-01")}, id + "@2026-08-06;discount=edp@2026-12-01", id + ";contract=acme@2027-01-01+2026-12-01", 100_000},
		"the last day":            {Call{Scope: "region", Region: "us-east-1", At: day("2027-12-01").Add(-1)}, id + "@2026-08-06;discount=edp@2026-12-01", id + ";contract=acme@2027-01-01+2026-12-01", 100_000},
		"the day after":           {Call{Scope: "region", Region: "us-east-1", At: day("2027-12-01")}, id + "@2026-08-06", id + ";contract=acme@2027-01-01+2026-12-01", 0},
		"a tier":                  {Call{Scope: "region", Region: "us-east-1", Tier: "flex", At: day("2026-12-01")}, id + ";tier=flex@2026-12-01+2026-12-01;discount=edp@2026-12-01", "", 100_000},
		"a tier of a geography":   {Call{Scope: "eu", Region: "us-east-1", Tier: "flex", At: day("2027-12-01")}, id + ";tier=flex@2026-12-01+2026-12-01", "", 0},
		"a tier in a Region":      {Call{Scope: "eu", Region: "eu-west-1", Tier: "flex", At: day("2027-12-01")}, haiku + "/region/eu-west-1;tier=flex@2026-12-01+2026-12-01", "", 0},
		"a tier without a price":  {Call{Scope: "region", Region: "us-east-1", Tier: "priority", At: day("2026-12-01")}, "", "", 0},
		"an upstream":             {Call{Scope: "region", Region: "us-east-1", Upstream: "gpu-a", At: day("2026-12-01")}, id + ";upstream=gpu-a@2026-12-01+2026-12-01", "", 0},
		"its tier":                {Call{Scope: "us", Region: "us-east-1", Upstream: "gpu-a", Tier: "priority", At: day("2026-12-01")}, id + ";tier=priority;upstream=gpu-a@2026-12-01+2026-12-01", "", 0},
		"a tier that it has not":  {Call{Scope: "region", Region: "us-east-1", Upstream: "gpu-a", Tier: "flex", At: day("2026-12-01")}, id + ";upstream=gpu-a@2026-12-01+2026-12-01", "", 0},
		"before an upstream's":    {Call{Scope: "region", Region: "us-east-1", Upstream: "gpu-a", At: day("2026-11-30")}, id + "@2026-08-06", "", 0},
		"a Region's, before it":   {Call{Scope: "eu", Region: "eu-west-1", Tier: "flex", At: day("2026-01-01")}, haiku + "/region/eu-west-1;tier=flex@2026-12-01+2026-12-01", "", 0},
		"an upstream without one": {Call{Scope: "region", Region: "us-east-1", Upstream: "gpu-b", At: day("2027-12-01")}, id + "@2026-08-06", id + ";contract=acme@2027-01-01+2026-12-01", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tc.call.Model = haiku
			got := c.Terms(&tc.call)
			list, contract := "", ""
			if got.List != nil {
				list = got.ID(got.List)
			}
			if got.Contract != nil {
				contract = got.Contract.ID
			}
			if list != tc.list || contract != tc.contract || got.Off != tc.off {
				t.Errorf("list %q, contract %q, off %d; want %q, %q, %d", list, contract, got.Off, tc.list, tc.contract, tc.off)
			}
		})
	}
}

// TestRegionalVersions: a price that is new in one Region takes nothing from the time before it.
func TestRegionalVersions(t *testing.T) {
	c := mustLay(t, `"prices":[{{"region":"us-east-1","effective":"2026-12-01","usd_per_million":{"input":"9"}}},
		{"model":"`+haiku+`","scope":"eu","region":"eu-west-1","effective":"2027-01-01","usd_per_million":{"input":"8"} },
		{"model":"`+haiku+`","scope":"region","effective":"2027-02-01","usd_per_million":{"input":"7"} }]`)
	for _, tc := range []struct{ scope, region, at, id string }{
		{"region", "us-east-1", "2026-11-30", "/region/*@2026-08-06"},
		{"region", "us-east-1", "2026-12-01", "/region/us-east-1@2026-12-01+2026-12-01"},
		{"region", "us-east-1", "2027-03-01", "/region/us-east-1@2026-12-01+2026-12-01"},
		{"region", "us-west-2", "2027-01-31", "/region/*@2026-08-06"},
		{"region", "us-west-2", "2027-02-01", "/region/*@2027-02-01+2026-12-01"},
		{"region", "us-east-1", "2020-01-01", "/region/*@2026-08-06"},
		{"eu", "eu-west-1", "2027-01-01", "/eu/eu-west-1@2027-01-01+2026-12-01"},
		{"eu", "eu-west-1", "2026-12-31", "/eu/*@2026-08-06"},
	} {
		at, err := time.Parse(time.DateOnly, tc.at)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := c.Price(haiku, tc.scope, tc.region, at); !ok || p.ID != haiku+tc.id {
			t.Errorf("%s from %s on %s: %v, want %s", tc.scope, tc.region, tc.at, p, tc.id)
		}
	}
}

// TestCurrency: each rate of exchange makes a version of a price while it holds; amounts are exact but for half a nano-dollar.
func TestCurrency(t *testing.T) {
	c := mustLay(t, `"prices":[
		{{"currency":"JPY","effective":"2026-12-01","per_million":{"input":"37.5","output":"187.5"},"per_unit":{"requests":"0.1"}}},
		{{"currency":"JPY","effective":"2027-03-01","per_million":{"input":"40"}}}],
		"exchange":[{"currency":"JPY","usd":"0.0066","effective":"2026-11-01"},{"currency":"JPY","usd":"0.006666667","effective":"2027-01-15"},
		{"currency":"JPY","usd":"0.01","effective":"2027-04-01"},{"currency":"EUR","usd":"1.1","effective":"2027-04-01"}]`)
	for _, tc := range []struct {
		at    string
		input int64 // by hand: yen x rate, nano-USD
		id    string
	}{
		{"2026-12-01", 247_500_000, "@2026-12-01+2026-12-01=JPY@2026-11-01"},
		{"2027-01-14", 247_500_000, "@2026-12-01+2026-12-01=JPY@2026-11-01"},
		{"2027-01-15", 250_000_012, "@2027-01-15+2026-12-01=JPY@2027-01-15"}, // 37.5 x 0.006666667 = 0.2500000125, half to even
		{"2027-03-01", 266_666_680, "@2027-03-01+2026-12-01=JPY@2027-01-15"},
		{"2027-04-01", 400_000_000, "@2027-04-01+2026-12-01=JPY@2027-04-01"},
	} {
		at, err := time.Parse(time.DateOnly, tc.at)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := c.Price(haiku, "region", "us-east-1", at)
		if !ok || p.Input == nil || *p.Input != tc.input || !strings.HasSuffix(p.ID, tc.id) {
			t.Errorf("%s: %+v, want input %d and an id that ends in %s", tc.at, p, tc.input, tc.id)
		}
	}
	if p, _ := c.Price(haiku, "region", "us-east-1", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); p.Units["requests"] != 660_000 {
		t.Errorf("a request costs %d", p.Units["requests"])
	}
}

func TestPricesRefused(t *testing.T) {
	gpu := func(s string) string { return `"prices":[{{"effective":"2026-12-01","gpu":{` + s + `}}}]` }
	for name, tc := range map[string]struct{ facts, want string }{
		"the default tier":       {`"prices":[{{"tier":"default","effective":"2026-12-01","usd_per_million":{"input":"1"}}}]`, "leave it out"},
		"a tier of two words":    {`"prices":[{{"tier":"a b","effective":"2026-12-01","usd_per_million":{"input":"1"}}}]`, `tier "a b"`},
		"a contract upstream":    {`"prices":[{{"contract":"a","upstream":"b","effective":"2026-12-01","usd_per_million":{"input":"1"}}}]`, "neither upstream nor gpu"},
		"gpu and tokens":         {`"prices":[{{"effective":"2026-12-01","usd_per_million":{"input":"1"},"gpu":{"usd_per_hour":"1","calls":1}}}]`, "not both"},
		"gpu shared by nothing":  {gpu(`"usd_per_hour":"1"`), "one of calls"},
		"gpu shared twice":       {gpu(`"usd_per_hour":"1","calls":1,"tokens_per_hour":5`), "one of calls"},
		"no gpu at all":          {gpu(`"usd_per_hour":"1","calls":1,"gpus":-1`), "one of calls"},
		"gpu without an amount":  {gpu(`"calls":1`), "gpu: amount"},
		"long without a step":    {`"prices":[{{"effective":"2026-12-01","usd_per_million":{"input":"1"},"long_above":5}}]`, "long_above"},
		"twice in a tier":        {`"prices":[{{"tier":"flex","effective":"2026-12-01","usd_per_million":{"input":"1"}}},{{"tier":"flex","effective":"2026-12-01","usd_per_million":{"input":"1"}}}]`, "is there twice"},
		"a currency unsaid":      {`"prices":[{{"effective":"2026-12-01","per_million":{"input":"1"}}}]`, "need a currency"},
		"a currency in dollars":  {`"prices":[{{"currency":"EUR","effective":"2026-12-01","usd_per_million":{"input":"1"}}}]`, "without usd_"},
		"a currency unknown":     {`"prices":[{{"currency":"EUR","effective":"2026-12-01","per_million":{"input":"1"}}}]`, "no rate of EUR"},
		"a rate too late":        {`"prices":[{{"currency":"EUR","effective":"2026-12-01","per_million":{"input":"1"}}}],"exchange":[{"currency":"EUR","usd":"1","effective":"2026-12-02"}]`, "no rate of EUR"},
		"dollars for dollars":    {`"exchange":[{"currency":"USD","usd":"1","effective":"2026-12-02"}]`, "not USD"},
		"a rate of nothing":      {`"exchange":[{"currency":"EUR","usd":"0","effective":"2026-12-02"}]`, "what one EUR is worth"},
		"two rates":              {`"exchange":[{"currency":"EUR","usd":"1","effective":"2026-12-02"},{"currency":"EUR","usd":"2","effective":"2026-12-02"}]`, "is there twice"},
		"a discount of all":      {`"discounts":[{"name":"a","percent":"100.0001","effective":"2026-12-01"}]`, "percent"},
		"a discount of nothing":  {`"discounts":[{"name":"a","percent":"0","effective":"2026-12-01"}]`, "percent"},
		"a discount too fine":    {`"discounts":[{"name":"a","percent":"0.00001","effective":"2026-12-01"}]`, "percent"},
		"a discount without end": {`"discounts":[{"name":"a","percent":"1","effective":"2026-12-01","until":"2026-12-01"}]`, "a later one in until"},
		"a discount of no model": {`"discounts":[{"name":"a","percent":"1","effective":"2026-12-01","models":["x.y"]}]`, `no model "x.y"`},
		"a discount without day": {`"discounts":[{"name":"a","percent":"1","effective":""}]`, "want a day"},
		"a discount's name":      {`"discounts":[{"name":"a;b","percent":"1","effective":"2026-12-01"}]`, "want a name"},
	} {
		if _, err := laid(t, tc.facts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestGPUPrices(t *testing.T) {
	c := mustLay(t, `"prices":[
		{{"upstream":"time","effective":"2026-12-01","gpu":{"usd_per_hour":"2.49","gpus":8,"calls":32}}},
		{{"upstream":"tokens","effective":"2026-12-01","gpu":{"usd_per_hour":"2.49","gpus":8,"tokens_per_hour":9000000}}}]`)
	ps := c.Rates(haiku, "region", "us-east-1", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if len(ps) != 3 || ps[1].GPU == nil || *ps[1].GPU != (GPUTime{PerHour: 19_920_000_000, Calls: 32}) || ps[1].Input != nil {
		t.Fatalf("the price by time: %+v", ps)
	}
	if p := ps[2]; p.GPU != nil || p.Per != 9_000_000 || *p.Input != 19_920_000_000 || *p.Output != *p.Input || *p.CacheWrite != *p.Input || *p.CacheRead != 0 {
		t.Errorf("the price by tokens: %+v", p)
	}
	if got := c.Regions(haiku, "region"); slices.Contains(got, "") {
		t.Errorf("the Regions are %q", got)
	}
}

// TestRatio holds Ratio against exact rationals, over a million random products, of every size.
func TestRatio(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func() int64 { return r.Int64() >> r.IntN(63) }
	half := big.NewRat(1, 2)
	for range 1_000_000 {
		a, b, c, div := pick(), pick(), pick()>>r.IntN(63), pick()>>r.IntN(63)
		if r.IntN(4) == 0 {
			c = 1
		}
		if r.IntN(4) == 0 {
			div = []int64{2, 4, 1_000_000, 3_600_000, 1_000_000_000_000}[r.IntN(5)]
		}
		got, ok := Ratio(a, b, c, div)
		if div == 0 {
			if ok {
				t.Fatalf("Ratio(%d, %d, %d, 0) is ok", a, b, c)
			}
			continue
		}
		product := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		exact := new(big.Rat).SetFrac(product.Mul(product, big.NewInt(c)), big.NewInt(div))
		want := new(big.Int).Div(exact.Num(), exact.Denom())
		rest := new(big.Rat).Sub(exact, new(big.Rat).SetInt(want))
		if cmp := rest.Cmp(half); cmp > 0 || cmp == 0 && want.Bit(0) == 1 {
			want.Add(want, big.NewInt(1))
		}
		if ok != want.IsInt64() || ok && want.Int64() != got {
			t.Fatalf("Ratio(%d, %d, %d, %d) = %d, %v; it is %v", a, b, c, div, got, ok, want)
		}
	}
	for _, bad := range [][4]int64{{-1, 1, 1, 1}, {1, -1, 1, 1}, {1, 1, -1, 1}, {1, 1, 1, 0}, {1, 1, 1, -1}} {
		if _, ok := Ratio(bad[0], bad[1], bad[2], bad[3]); ok {
			t.Errorf("Ratio%v is ok", bad)
		}
	}
}
