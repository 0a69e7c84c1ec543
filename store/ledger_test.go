package store_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"outcrop/ledger"
	"outcrop/store"
	"outcrop/store/storetest"
)

func TestLedger(t *testing.T) {
	storetest.Ledger(t, func(t *testing.T) storetest.LedgerEngine { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}

// notRaced leaves out, under the race detector, a suite that another test runs under it: it takes minutes there, and these differ in what is
// stored and not in what runs at once. "make suites", a part of "make check", runs them without it.
func notRaced(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("runs without the race detector: make suites")
	}
}

// TestLedgerForgetful: what is in memory is only ever a short cut.
func TestLedgerForgetful(t *testing.T) {
	notRaced(t)
	storetest.Ledger(t, func(t *testing.T) storetest.LedgerEngine {
		s := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
		s.ForgetNumbers()
		return s
	})
}

// archiving archives what it is given, at once.
type archiving struct {
	*store.Store
}

func (a archiving) Apply(ctx context.Context, b *ledger.Batch) error {
	if err := a.Store.Apply(ctx, b); err != nil {
		return err
	}
	_, err := a.Archive(ctx, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), nil)
	return err
}

// TestLedgerArchived: what is in files is as good as what is in the database.
func TestLedgerArchived(t *testing.T) {
	notRaced(t)
	storetest.Ledger(t, func(t *testing.T) storetest.LedgerEngine {
		return archiving{open(t, filepath.Join(t.TempDir(), "outcrop.db"))}
	})
}
