package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/store/storetest"
)

func TestCost(t *testing.T) {
	storetest.Cost(t, func(t *testing.T) storetest.CostEngine { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}

// TestCostArchived: calls in files count in every report, and what there is to bill has their corrections.
func TestCostArchived(t *testing.T) {
	notRaced(t)
	storetest.Cost(t, func(t *testing.T) storetest.CostEngine {
		return archiving{open(t, filepath.Join(t.TempDir(), "outcrop.db"))}
	})
}
