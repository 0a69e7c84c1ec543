package cost

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/ledger"
)

// priced is a Rater by the embedded catalog and prices of haiku in its Region that are laid over it.
func priced(t testing.TB, prices ...string) *Rater {
	t.Helper()
	base, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range prices {
		all = append(all, `{"model":"`+haiku+`","scope":"region","effective":"2026-12-01",`+p+`}`)
	}
	f, err := catalog.ParseFacts([]byte(`{"date":"2026-12-01","prices":[` + strings.Join(all, ",") + `]}`))
	if err == nil {
		base, err = base.Overlay(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(base)
	if err != nil {
		t.Fatal(err)
	}
	return NewRater(c)
}

var december = time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)

// useOf is a use of haiku in December.
func useOf(t testing.TB, r *Rater, u converse.Usage) *Use {
	t.Helper()
	m, ok := r.Catalog().Model(haiku)
	if !ok {
		t.Fatal("no model")
	}
	return &Use{Usage: u, Model: m, Scope: "region", Region: "us-east-1", At: december}
}

// Amounts are worked out by hand.
func TestTerms(t *testing.T) {
	const kind, id = "USE1-Claude3Haiku-", haiku + "/region/*"
	used := converse.Usage{InputTokens: 1000, OutputTokens: 10}
	for name, tc := range map[string]struct {
		prices []string
		usage  converse.Usage
		change func(*Use)
		want   []ledger.Charge
	}{
		"a request and its tokens": {
			prices: []string{`"usd_per_million":{"input":"1","output":"2"},"usd_per_unit":{"requests":"0.005"}`}, usage: used,
			want: []ledger.Charge{
				{UsageType: kind + "requests", Quantity: 1, Nano: 5_000_000, Price: id + "@2026-12-01+2026-12-01"},
				{UsageType: kind + "input-tokens", Quantity: 1000, Nano: 1_000_000, Price: id + "@2026-12-01+2026-12-01"},
				{UsageType: kind + "output-tokens", Quantity: 10, Nano: 20_000, Price: id + "@2026-12-01+2026-12-01"},
			},
		},
		"requests alone": {
			prices: []string{`"usd_per_unit":{"requests":"0.005"}`}, usage: used,
			want: []ledger.Charge{{UsageType: kind + "requests", Quantity: 1, Nano: 5_000_000, Price: id + "@2026-12-01+2026-12-01"}},
		},
		"a tier": {
			prices: []string{`"tier":"flex","usd_per_million":{"input":"0.125"}`}, usage: used, change: func(u *Use) { u.Tier = "flex" },
			want: []ledger.Charge{
				{UsageType: kind + "input-tokens-flex", Quantity: 1000, Nano: 125_000, Price: id + ";tier=flex@2026-12-01+2026-12-01"},
				{UsageType: kind + "output-tokens-flex", Quantity: 10, Unrated: true},
			},
		},
		"a step of its own": {
			prices: []string{`"usd_per_million":{"input":"1"},"usd_per_million_long":{"input":"2"},"long_above":272000`}, usage: converse.Usage{InputTokens: 272_000, CacheReadInputTokens: 1},
			want: []ledger.Charge{
				{UsageType: kind + "input-tokens-long-context", Quantity: 272_000, Nano: 544_000_000, Price: id + "@2026-12-01+2026-12-01#long"},
				{UsageType: kind + "cache-read-input-token-count-long-context", Quantity: 1, Nano: 2000, Price: id + "@2026-12-01+2026-12-01#long"},
			},
		},
		"up to the step": {
			prices: []string{`"usd_per_million":{"input":"1"},"usd_per_million_long":{"input":"2"},"long_above":272000`}, usage: converse.Usage{InputTokens: 272_000},
			want: []ledger.Charge{{UsageType: kind + "input-tokens", Quantity: 272_000, Nano: 272_000_000, Price: id + "@2026-12-01+2026-12-01"}},
		},
		"a contract for input, above the list": {
			prices: []string{`"contract":"acme","usd_per_million":{"input":"0.3"}`}, usage: used,
			want: []ledger.Charge{
				{UsageType: kind + "input-tokens", Quantity: 1000, Nano: 300_000, Discount: -50_000, Price: id + ";contract=acme@2026-12-01+2026-12-01"},
				{UsageType: kind + "output-tokens", Quantity: 10, Nano: 12_500, Price: id + "@2026-08-06"},
			},
		},
		"a contract without a list": { // the default tier's is not that of the tier
			prices: []string{`"contract":"acme","tier":"flex","usd_per_million":{"input":"0.1","output":"1"}`}, usage: used, change: func(u *Use) { u.Tier = "flex" },
			want: []ledger.Charge{
				{UsageType: kind + "input-tokens-flex", Quantity: 1000, Nano: 100_000, Price: id + ";tier=flex;contract=acme@2026-12-01+2026-12-01"},
				{UsageType: kind + "output-tokens-flex", Quantity: 10, Nano: 10_000, Price: id + ";tier=flex;contract=acme@2026-12-01+2026-12-01"},
			},
		},
		// 8 GPUs at 2.49 an hour, 32 calls at once: 1.5 s are 1500 x 19.92 / 3,600,000 / 32 = 0.000259375.
		"the time of GPUs": {
			prices: []string{`"upstream":"gpu-a","gpu":{"usd_per_hour":"2.49","gpus":8,"calls":32}`}, usage: used,
			change: func(u *Use) { u.Upstream, u.Took = "gpu-a", 1500*time.Millisecond },
			want:   []ledger.Charge{{UsageType: kind + "gpu-time", Quantity: 1500, Nano: 259_375, Price: id + ";upstream=gpu-a@2026-12-01+2026-12-01"}},
		},
		"a millisecond that has begun": {
			prices: []string{`"upstream":"gpu-a","gpu":{"usd_per_hour":"3.6","calls":1}`}, usage: used,
			change: func(u *Use) { u.Upstream, u.Took = "gpu-a", 1001*time.Microsecond },
			want:   []ledger.Charge{{UsageType: kind + "gpu-time", Quantity: 2, Nano: 2000, Price: id + ";upstream=gpu-a@2026-12-01+2026-12-01"}},
		},
		"a time that is not known": {
			prices: []string{`"upstream":"gpu-a","gpu":{"usd_per_hour":"3.6","calls":1}`}, usage: used, change: func(u *Use) { u.Upstream = "gpu-a" },
			want: []ledger.Charge{{UsageType: kind + "gpu-time", Unrated: true}},
		},
		"a lost attempt's time": {
			prices: []string{`"upstream":"gpu-a","gpu":{"usd_per_hour":"3.6","calls":1}`}, usage: used, change: func(u *Use) { u.Upstream, u.Lost = "gpu-a", true },
			want: []ledger.Charge{},
		},
		// 7 USD an hour for 3,000,000 tokens: 1000 are 0.0023333..., 10 are 0.00002333...
		"GPUs by tokens": {
			prices: []string{`"upstream":"gpu-a","gpu":{"usd_per_hour":"7","tokens_per_hour":3000000}`},
			usage:  converse.Usage{InputTokens: 1000, OutputTokens: 10, CacheReadInputTokens: 500}, change: func(u *Use) { u.Upstream = "gpu-a" },
			want: []ledger.Charge{
				{UsageType: kind + "input-tokens", Quantity: 1000, Nano: 2_333_333, Price: id + ";upstream=gpu-a@2026-12-01+2026-12-01"},
				{UsageType: kind + "output-tokens", Quantity: 10, Nano: 23_333, Price: id + ";upstream=gpu-a@2026-12-01+2026-12-01"},
				{UsageType: kind + "cache-read-input-token-count", Quantity: 500, Price: id + ";upstream=gpu-a@2026-12-01+2026-12-01"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := priced(t, tc.prices...)
			u := useOf(t, r, tc.usage)
			if tc.change != nil {
				tc.change(u)
			}
			if got := r.Rate(u); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// entryOf is a settled call whose charges are r's.
func entryOf(t *testing.T, r *Rater, tier, served string, u converse.Usage, lost ...converse.Usage) *ledger.Entry {
	t.Helper()
	use := useOf(t, r, u)
	use.Tier, use.Upstream, use.Took = served, "gpu-a", 1500*time.Millisecond
	e := &ledger.Entry{
		Intent:     ledger.Intent{Time: december, Account: "111111111111", Region: "us-east-1", ModelID: haiku, Scope: "region", Tier: tier},
		Settlement: ledger.Settlement{Status: ledger.Completed, Upstream: "gpu-a", Latency: 1500 * time.Millisecond, Usage: u, Charges: r.Rate(use)},
	}
	for _, l := range lost {
		use.Usage, use.Tier, use.Upstream, use.Lost = l, tier, "gpu-b", true
		for _, c := range r.Rate(use) {
			c.UsageType += LostAttempt
			e.Charges = append(e.Charges, c)
		}
	}
	return e
}

// TestRerate: calls rated by one book and rated anew by another have the charges that they would have had by the other from
// the start; by the same book nothing changes.
func TestRerate(t *testing.T) {
	books := map[string][]string{
		"the list":    nil,
		"dearer":      {`"usd_per_million":{"input":"9","output":"90","cache_read":"1","cache_write":"2","cache_write_1h":"3"}`},
		"with tiers":  {`"tier":"flex","usd_per_million":{"input":"0.1","output":"1"}`, `"tier":"priority","usd_per_million":{"input":"0.5","output":"2"}`},
		"with a step": {`"usd_per_million":{"input":"1","output":"5","cache_read":"1","cache_write":"2","cache_write_1h":"3"},"usd_per_million_long":{"input":"2","output":"10","cache_read":"1","cache_write":"2","cache_write_1h":"3"},"long_above":500`},
		"GPU time":    {`"upstream":"gpu-a","gpu":{"usd_per_hour":"2","calls":4}`},
		"a request":   {`"usd_per_million":{"input":"1","output":"5","cache_read":"1","cache_write":"2","cache_write_1h":"3"},"usd_per_unit":{"requests":"0.1"}`},
	}
	usage := converse.Usage{InputTokens: 1000, OutputTokens: 77, CacheReadInputTokens: 5, CacheWriteInputTokens: 9}
	calls := map[string]func(r *Rater) *ledger.Entry{
		"a call": func(r *Rater) *ledger.Entry { return entryOf(t, r, "", "", usage) },
		"flex": func(r *Rater) *ledger.Entry {
			return entryOf(t, r, "flex", "flex", converse.Usage{InputTokens: 10, OutputTokens: 2})
		},
		"flex as usual": func(r *Rater) *ledger.Entry {
			return entryOf(t, r, "flex", "default", converse.Usage{InputTokens: 10, OutputTokens: 2})
		},
		"attempts lost": func(r *Rater) *ledger.Entry {
			return entryOf(t, r, "", "", usage, converse.Usage{InputTokens: 400}, converse.Usage{InputTokens: 600, OutputTokens: 1})
		},
		"nothing": func(r *Rater) *ledger.Entry { return entryOf(t, r, "", "", converse.Usage{}) },
		"only an effort": func(r *Rater) *ledger.Entry {
			return entryOf(t, r, "", "", converse.Usage{}, converse.Usage{InputTokens: 400})
		},
	}
	for from, old := range books {
		for to, book := range books {
			for name, call := range calls {
				before, after := priced(t, old...), priced(t, book...)
				e, want := call(before), call(after).Charges
				if unrated(want) && !unrated(e.Charges) {
					want = e.Charges // what has a price stays with it
				}
				got, why, ok := after.Rerate(e)
				if !ok {
					got = e.Charges
				}
				if c := e.Correct(got, december, "rerate"); c != nil {
					is, err := c.Apply(e.Charges)
					if err != nil {
						t.Fatal(err)
					}
					e.Charges = is
				}
				if total(e.Charges) != total(want) || len(e.Charges) != len(want) {
					t.Errorf("%s, from %s to %s (%s): got  %+v\nwant %+v", name, from, to, why, e.Charges, want)
				}
				if again, why, ok := after.Rerate(e); ok && e.Correct(again, december, "rerate") != nil {
					t.Errorf("%s, from %s to %s (%s): rated once more: %+v\nwas %+v", name, from, to, why, again, e.Charges)
				}
			}
		}
	}
}

func unrated(charges []ledger.Charge) bool {
	return slices.ContainsFunc(charges, func(c ledger.Charge) bool { return c.Unrated })
}

func total(charges []ledger.Charge) (nano int64) {
	s := ledger.Settlement{Charges: charges}
	nano, _ = s.Cost()
	return nano
}
