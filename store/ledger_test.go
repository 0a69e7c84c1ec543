package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/store"
	"outcrop/store/storetest"
)

func TestLedger(t *testing.T) {
	storetest.Ledger(t, func(t *testing.T) storetest.LedgerEngine {
		s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
