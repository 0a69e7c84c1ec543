//go:build unix

package store_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"outcrop/converse"
	"outcrop/ledger"
	"outcrop/store"
)

// BenchmarkApply is the price of a call in the index, by the size of the batches. cpu-ns/row is what counts: a commit is
// mostly waiting for the disk.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "outcrop.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			entries := make([]ledger.Entry, size)
			var cpu time.Duration
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range entries {
					entries[i] = benchEntry(rows + i)
				}
				b.StartTimer()
				before := processCPU(b)
				if err := s.Apply(b.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: ledger.Position(rows), To: ledger.Position(rows + size), Entries: entries}); err != nil {
					b.Fatal(err)
				}
				cpu += processCPU(b) - before
				rows += size
			}
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(rows), "cpu-ns/row")
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func processCPU(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchEntry is one of the calls of three teams with ten users, 1000 a second. Ids are in no order, as request ids are.
func benchEntry(n int) ledger.Entry {
	team := n % 3
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	at := time.Unix(1.8e9, 0).Add(time.Duration(n) * time.Millisecond).UTC()
	return ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: at, Account: "000000000000", Principal: fmt.Sprint("arn:aws:iam::000000000000:user/user", n%10), AccessKeyID: "AKIAIOSFODNN7EXAMPLE",
			Region: "us-east-1", Operation: "Converse", ResourceARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijk%d", team),
			ResourceName: fmt.Sprint("team-", team), ModelID: "anthropic.claude-3-haiku-20240307-v1:0", Scope: "region",
			Tags: []ledger.Tag{
				{Key: "CostCenter", Value: fmt.Sprint(1000 + team)}, {Key: "Department", Value: "Research"}, {Key: "Environment", Value: "prod"},
				{Key: "Project", Value: fmt.Sprint("project-", team)},
			},
			EstimatedInputTokens: 250, MaxOutputTokens: 1024,
		},
		Settlement: ledger.Settlement{
			ID: id, Time: at.Add(time.Second), Status: ledger.Completed, Service: "Claude 3 Haiku (Amazon Bedrock Edition)", Upstream: "gpu-a", Served: "us-east-1",
			Attempts: 1, StopReason: converse.StopEndTurn, Latency: time.Second, FirstEvent: 100 * time.Millisecond, Usage: converse.Usage{InputTokens: 250, OutputTokens: 100},
			Charges: []ledger.Charge{
				{UsageType: "USE1-Claude3Haiku-input-tokens", Quantity: 250, Nano: 62500, Price: "2026-10-01"},
				{UsageType: "USE1-Claude3Haiku-output-tokens", Quantity: 100, Nano: 125000, Price: "2026-10-01"},
			},
		},
	}
}
