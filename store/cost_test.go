package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/cost"
	"outcrop/ledger"
	"outcrop/store/storetest"
)

func TestCost(t *testing.T) {
	storetest.Cost(t, func(t *testing.T) storetest.CostEngine { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}

// TestCostArchived: calls in files count in every report, and what there is to bill has their corrections.
func TestCostArchived(t *testing.T) {
	notRaced(t)
	storetest.Cost(t, func(t *testing.T) storetest.CostEngine {
		return archiving{open(t, filepath.Join(t.TempDir(), "outcrop.db"))}
	})
}

// TestReadAhead: rows that are read while others are added up are all there, once each. Who stops, or is cancelled, or panics,
// among them leaves no reader behind: there are four connections.
func TestReadAhead(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
	const callers, hours = 2000, 3
	start := time.Date(2024, 2, 29, 22, 0, 0, 0, time.UTC)
	nano := func(hour, caller int) int64 { return int64(1_000_000*hour + caller + 1) }
	var entries []ledger.Entry
	for h := range hours {
		for c := range callers {
			id := uuid.UUID{13: byte(h), 14: byte(c >> 8), 15: byte(c)}
			at := start.Add(time.Duration(h) * time.Hour)
			entries = append(entries, ledger.Entry{
				Intent:     ledger.Intent{ID: id, Time: at, Account: "000000000000", Principal: fmt.Sprint("arn:p", c), Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:r", ModelID: "m"},
				Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: nano(h, c), Price: "p"}}},
			})
		}
	}
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	q := cost.Query{Account: "000000000000", Start: start, End: start.Add(hours * time.Hour), Split: true}
	for _, q.Bucket = range []cost.Bucket{cost.Whole, cost.Hour, cost.Day, cost.Month} {
		got := map[string]int64{}
		for c, err := range s.Charges(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprint(c.Start.Unix(), c.Principal)] += c.Nano
		}
		want := map[string]int64{}
		for _, e := range entries {
			bucket := start
			if q.Bucket != cost.Whole {
				bucket = q.Bucket.Start(e.Intent.Time)
			}
			want[fmt.Sprint(bucket.Unix(), e.Principal)] += e.Charges[0].Nano
		}
		if !maps.Equal(got, want) {
			t.Errorf("by %v: %d sums, want %d, or they differ", q.Bucket, len(got), len(want))
		}
	}

	for _, after := range []int{1, 255, 256, 257, 1000, 3000} {
		n := 0
		for _, err := range s.Charges(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == after {
				break
			}
		}
		n = 0
		for _, err := range s.Callers(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == after {
				break
			}
		}
		func() {
			defer func() {
				if p := recover(); p != after {
					t.Errorf("recovered %v, want %d", p, after)
				}
			}()
			n := 0
			for range s.Charges(t.Context(), q) {
				if n++; n == after {
					panic(after)
				}
			}
		}()
	}
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		var failed error
		for _, err := range s.Charges(ctx, q) {
			if failed != nil {
				t.Fatal("it goes on behind an error")
			}
			if failed = err; err == nil {
				n++
				cancel()
			}
		}
		cancel()
		// What had been read comes, and that is less than half.
		if !errors.Is(failed, context.Canceled) || n > callers*hours/2 {
			t.Errorf("%d rows, then: %v", n, failed)
		}
	}
}
