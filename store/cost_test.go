package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/store/storetest"
)

func TestCost(t *testing.T) {
	storetest.Cost(t, func(t *testing.T) storetest.CostEngine { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}
