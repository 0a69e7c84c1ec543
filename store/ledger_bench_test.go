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

// BenchmarkApply is the price of a call in an index that has 300,000 already, by the size of the batches. cpu-ns/row is
// what counts: a commit is mostly waiting for the disk.
func BenchmarkApply(b *testing.B) {
	for _, teams := range []int{3, 300} {
		b.Run(fmt.Sprintf("teams=%d", teams), func(b *testing.B) {
			s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "outcrop.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			rows := 0
			apply := func(b *testing.B, entries []ledger.Entry) {
				if err := s.Apply(b.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: ledger.Position(rows), To: ledger.Position(rows + len(entries)), Entries: entries}); err != nil {
					b.Fatal(err)
				}
				rows += len(entries)
			}
			next := func(entries []ledger.Entry) []ledger.Entry {
				for i := range entries {
					entries[i] = benchEntry(rows+i, teams)
				}
				return entries
			}
			for batch := make([]ledger.Entry, 10_000); rows < 300_000; {
				apply(b, next(batch))
			}
			for _, size := range []int{1, 10, 100, 1000} {
				b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
					batch := make([]ledger.Entry, size)
					var cpu time.Duration
					n := 0
					b.ReportAllocs()
					for b.Loop() {
						b.StopTimer()
						next(batch)
						b.StartTimer()
						before := processCPU(b)
						apply(b, batch)
						cpu += processCPU(b) - before
						n += size
					}
					b.ReportMetric(float64(cpu.Nanoseconds())/float64(n), "cpu-ns/row")
					b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
				})
			}
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

// benchEntry is one of the calls of some teams with ten users each, 1000 a second. Ids grow with time, as request ids do.
func benchEntry(n, teams int) ledger.Entry {
	team, user := n%teams, n/teams%10
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(n)<<16)
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15)
	at := time.Unix(1.8e9, 0).Add(time.Duration(n) * time.Millisecond).UTC()
	return ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: at, Account: "000000000000", Principal: fmt.Sprintf("arn:aws:iam::000000000000:user/user-%d-%d", team, user), AccessKeyID: "AKIAIOSFODNN7EXAMPLE",
			Region: "us-east-1", Operation: "Converse", ResourceARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefgh%04d", team),
			ResourceName: fmt.Sprint("team-", team), ModelID: "anthropic.claude-3-haiku-20240307-v1:0", Scope: "region",
			Tags:                 benchTags(team),
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

// benchTags is the tags of a team. Its calls share them, as the ledger's entries do.
var benchTags = func() func(int) []ledger.Tag {
	sets := map[int][]ledger.Tag{}
	return func(team int) []ledger.Tag {
		if sets[team] == nil {
			sets[team] = []ledger.Tag{
				{Key: "CostCenter", Value: fmt.Sprint(1000 + team)}, {Key: "Department", Value: "Research"}, {Key: "Environment", Value: "prod"},
				{Key: "Project", Value: fmt.Sprint("project-", team)},
			}
		}
		return sets[team]
	}
}()
