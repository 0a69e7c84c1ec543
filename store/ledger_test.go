package store_test

import (
	"path/filepath"
	"testing"

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
