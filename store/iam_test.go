package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/iam"
	"outcrop/store"
	"outcrop/store/storetest"
)

func TestIAM(t *testing.T) {
	storetest.IAM(t, func(t *testing.T) iam.Store {
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
