package ledger_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"outcrop/ledger"
)

// nowhere is an index that forgets, so that the journal alone is measured.
type nowhere struct{}

func (nowhere) Position(context.Context, string, string) (ledger.Position, error) { return 0, nil }
func (nowhere) Apply(context.Context, *ledger.Batch) error                        { return nil }

// A call's two records, the settlement on disk, from as many callers at once.
func BenchmarkOpenSettle(b *testing.B) {
	for _, index := range []string{"journal", "sqlite"} {
		for _, callers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/callers=%d", index, callers), func(b *testing.B) {
				w := newWorld(b, func(c *ledger.Config) {
					if index == "journal" {
						c.Index = nowhere{}
					}
				})
				var next atomic.Int64
				before := processCPU()
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
							id := randomish(n)
							if err := errors.Join(w.Open(context.Background(), intent(id)), w.Settle(context.Background(), settlement(id))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				w.flush()
				b.StopTimer()
				b.ReportMetric(float64((processCPU()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
				w.close()
			})
		}
	}
}

// randomish is an id like those of real calls: their order is not that of the calls.
func randomish(n int) (id uuid.UUID) {
	h := uint64(n) * 0x9e3779b97f4a7c15
	binary.BigEndian.PutUint64(id[:], h)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}
