package store

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/cost"
	"outcrop/ledger"
)

// TestInvoiceOfCorrections: what operators corrected of a month, in it or after it, of calls or of the whole, here or in the archive, is to be
// billed once, and comes to what reports say.
func TestInvoiceOfCorrections(t *testing.T) {
	const account = "000000000000"
	s, first := rolledStore(t, 60) // 28 calls of February, of 1 to 28 nano-USD
	february, march := time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	billed, late := int64(28*29/2), int64(0)
	check := func(what string) {
		t.Helper()
		if err := s.VerifyLedger(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, bucket := range []cost.Bucket{cost.Hour, cost.Day} {
			q := cost.Query{Account: account, Start: february, End: march, Bucket: bucket, Split: true}
			for _, apart := range []bool{false, true} {
				got := map[bool]int64{}
				for c, err := range s.Invoice(t.Context(), q, apart) {
					if err != nil {
						t.Fatal(err)
					}
					got[c.Correction] += c.Nano
				}
				if apart && (got[false] != billed || got[true] != late) || !apart && (got[false] != billed+late || got[true] != 0) {
					t.Errorf("%s, by %v, corrections apart %v: %v, want %d and %d", what, bucket, apart, got, billed, late)
				}
			}
			var reported int64
			for c, err := range s.Charges(t.Context(), cost.Query{Account: account, Start: february, End: march, Bucket: cost.Month}) {
				if err != nil {
					t.Fatal(err)
				}
				reported += c.Nano
			}
			if reported != billed+late {
				t.Errorf("%s: reports say %d, want %d", what, reported, billed+late)
			}
		}
	}
	n := byte(0)
	adjust := func(nano int64, made time.Time) uuid.UUID {
		t.Helper()
		n++
		id := uuid.UUID{0: 9, 15: n}
		if err := s.Adjust(t.Context(), &ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: february, Account: account, Region: "us-east-1", Operation: "Correction", ResourceARN: "arn:r", ModelID: "m"},
			Settlement: ledger.Settlement{ID: id, Time: made, Status: ledger.Adjusted, Service: "Amazon Bedrock", Charges: []ledger.Charge{cost.CorrectionCharge("us-east-1", nano)}},
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	correct := func(id uuid.UUID, nano int64, made time.Time) {
		t.Helper()
		e, err := s.Call(t.Context(), account, id)
		if err != nil || e == nil {
			t.Fatal(e, err)
		}
		c := e.Correct(append(slices.Clone(e.Charges), cost.CorrectionCharge("us-east-1", nano)), made, "test")
		if err := s.Correct(t.Context(), []ledger.Corrected{{Entry: e, Correction: c}}); err != nil {
			t.Fatal(err)
		}
	}
	archive := func(what string) {
		t.Helper()
		if m, err := s.Archive(t.Context(), march.AddDate(0, 0, 2), march.AddDate(1, 0, 0), nil); err != nil || m.Files == 0 {
			t.Fatal(what, m, err)
		}
		check(what + ", archived")
	}
	inTime, after := march.Add(-time.Microsecond), march
	check("as they were")
	for round, what := range []string{"at first", "again", "once more"} {
		whole := adjust(-1000, inTime)
		billed -= 1000
		check(what + ", in time")
		of := adjust(300_000, after)
		late += 300_000
		check(what + ", late")
		correct(whole, 20, after.AddDate(0, 1, 0))
		correct(of, -300_000, after.AddDate(0, 2, 0)) // to nothing
		late += 20 - 300_000
		check(what + ", corrections corrected")
		call := uuid.UUID{15: byte(round)} // one a round: corrections are in the order of their times
		if e, err := s.Call(t.Context(), account, call); err != nil || e == nil || !e.Intent.Time.Equal(first.Add(time.Duration(round)*time.Hour)) {
			t.Fatal(e, err)
		}
		correct(call, 7, inTime)
		correct(call, 5_000_000, after)
		billed, late = billed+7, late+5_000_000
		check(what + ", calls")
		archive(what)
	}
}
