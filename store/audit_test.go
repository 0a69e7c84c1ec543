package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/audit"
	"outcrop/store/storetest"
)

func TestAudit(t *testing.T) {
	storetest.Audit(t, func(t *testing.T) audit.Store { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}
