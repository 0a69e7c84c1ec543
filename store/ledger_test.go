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

// TestLedgerForgetful: what is in memory is only ever a short cut.
func TestLedgerForgetful(t *testing.T) {
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
	storetest.Ledger(t, func(t *testing.T) storetest.LedgerEngine {
		return archiving{open(t, filepath.Join(t.TempDir(), "outcrop.db"))}
	})
}
