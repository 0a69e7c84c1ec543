package cost_test

import (
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/ledger"
)

func TestParseUSD(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1e9, "-12.50": -12_500_000_000, "+0.25": 250_000_000, "0.000000001": 1, "-0.000000001": -1, "999999999.999999999": 999_999_999_999_999_999,
	} {
		if got, err := cost.ParseUSD(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", ".5", "1.", "1e3", "1/3", "0x1", "0.0000000001", "1000000000", "1,5", " 1", "1 ", "--1", "NaN", "1_0", "１"} {
		if got, err := cost.ParseUSD(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

// TestRerateCorrected: what an operator corrected stays, by the same amount, while what was used is rated anew.
func TestRerateCorrected(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	model, ok := cat.Model("anthropic.claude-3-haiku-20240307-v1:0")
	if !ok {
		t.Fatal("no model")
	}
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	r := cost.NewRater(cat)
	e := ledger.Entry{Intent: ledger.Intent{Time: at, Region: "us-east-1", ModelID: model.ID, Scope: "region"}, Settlement: ledger.Settlement{Status: ledger.Completed}}
	e.Usage.InputTokens = 1000
	right := r.Rate(&cost.Use{Usage: e.Usage, Model: model, Scope: e.Scope, Region: e.Region, At: at})
	wrong := right[0]
	wrong.Nano, wrong.Price = wrong.Nano+1, "old"
	ours := cost.CorrectionCharge("us-east-1", -5)
	if ours.UsageType != "USE1-Correction" || !cost.IsCorrection(ours.UsageType) || cost.IsCorrection(wrong.UsageType) {
		t.Errorf("a correction is %+v", ours)
	}
	e.Charges = []ledger.Charge{wrong, ours}
	charges, why, ok := r.Rerate(&e)
	if !ok || len(charges) != 2 || charges[0] != right[0] || charges[1] != ours {
		t.Errorf("rated anew it costs %+v, %q, %v", charges, why, ok)
	}
	e.Status, e.Charges, e.Usage.InputTokens = ledger.Adjusted, []ledger.Charge{ours}, 0
	if charges, _, ok := r.Rerate(&e); !ok || e.Correct(charges, at, "rerate") != nil {
		t.Errorf("a correction of a period becomes %+v", charges)
	}
}
