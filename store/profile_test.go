package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/profile"
	"outcrop/profile/profiletest"
	"outcrop/store"
)

func TestProfiles(t *testing.T) {
	profiletest.Run(t, func(t *testing.T) (profile.Store, func() profile.Store) {
		file := filepath.Join(t.TempDir(), "outcrop.db")
		open := func() profile.Store {
			s, err := store.Open(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s.Profiles()
		}
		return open(), open
	})
}
