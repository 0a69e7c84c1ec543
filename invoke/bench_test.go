package invoke_test

import (
	"context"
	"testing"

	"outcrop/converse"
	"outcrop/upstream"
)

// BenchmarkDo is one call with an upstream that answers at once: all that invoke, the ledger and the rating add.
func BenchmarkDo(b *testing.B) {
	answer := whole(12, 5)
	r := newRig(b, up("a", nil, func(context.Context, *upstream.Request) (converse.Stream, error) { return events(nil, answer...), nil }))
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			// A caller's context can end, as that of a request can.
			ctx, cancel := context.WithCancel(context.Background())
			if _, err := r.Do(ctx, r.call(haiku, false)); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
}
