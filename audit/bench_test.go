package audit_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"outcrop/audit"
	"outcrop/iam"
	"outcrop/store"
)

// BenchmarkRecord is what one event of many costs the processor, with the database.
func BenchmarkRecord(b *testing.B) {
	dir := b.TempDir()
	st, err := store.Open(b.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	if err != nil {
		b.Fatal(err)
	}
	l, err := audit.Open(b.Context(), audit.Config{Store: st, Sealer: sealer, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := l.Record(b.Context(), event("CreateUser"), audit.Plain); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
