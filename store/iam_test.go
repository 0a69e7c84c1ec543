package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/iam"
	"outcrop/store/storetest"
)

func TestIAM(t *testing.T) {
	storetest.IAM(t, func(t *testing.T) iam.Store { return open(t, filepath.Join(t.TempDir(), "outcrop.db")) })
}
