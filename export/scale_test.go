package export

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/ledger"
)

// generated is a month of n rows.
type generated int

func (generated) TagStatuses(context.Context, string) ([]cost.TagStatus, error) { return nil, nil }

func (n generated) Invoice(_ context.Context, q cost.Query, _ bool) iter.Seq2[*cost.Charges, error] {
	return func(yield func(*cost.Charges, error) bool) {
		hours := int(q.End.Sub(q.Start) / time.Hour)
		for i := range int(n) {
			c := cost.Charges{
				Start: q.Start.Add(time.Duration(i*hours/int(n)) * time.Hour), Account: q.Account, Region: "us-east-1", Service: "Amazon Bedrock",
				UsageType: "USE1-Claude3Haiku-input-tokens", Operation: "Converse", Principal: fmt.Sprintf("arn:aws:sts::000000000000:assumed-role/app/user-%d", i%5000),
				Resource: cost.Resource{ARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/p%d", i%300), Name: fmt.Sprintf("p%d", i%300), ModelID: "anthropic.claude-3-haiku-20240307-v1:0"},
				Tags:     []ledger.Tag{{Key: "CostCenter", Value: fmt.Sprint("CC-", i%40)}, {Key: "Project", Value: fmt.Sprint("P", i%300)}},
				Sum:      cost.Sum{Nano: int64(i) * 250, Quantity: int64(i), Charges: 1},
			}
			if !yield(&c, nil) {
				return
			}
		}
	}
}

// BenchmarkExport encodes a month of a million rows. peak-MB is the heap that the process has of the system when all of it is encoded.
func BenchmarkExport(b *testing.B) {
	facts, err := catalog.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	cat, err := catalog.New(facts)
	if err != nil {
		b.Fatal(err)
	}
	period := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, f := range []Format{Focus, CUR} {
		for _, o := range []Output{Parquet, CSV} {
			b.Run(fmt.Sprint(f, "/", o), func(b *testing.B) {
				const rows = 1_000_000
				for b.Loop() {
					e := Export{Name: "x", Format: f, Output: o, Account: "000000000000"}
					var peak uint64
					to := measured{folder(b.TempDir()), &peak}
					r, err := e.Write(b.Context(), generated(rows), cat, period, period, to)
					if err != nil || r.Rows != rows {
						b.Fatal(err)
					}
					b.ReportMetric(float64(peak)/1e6, "peak-MB")
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// measured is a target that looks at the heap.
type measured struct {
	folder
	peak *uint64
}

func (m measured) Listed(key string) string {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	*m.peak = max(*m.peak, s.HeapSys-s.HeapReleased)
	return m.folder.Listed(key)
}
