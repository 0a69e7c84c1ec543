package store_test

import (
	"path/filepath"
	"testing"

	"outcrop/profile"
	"outcrop/profile/profiletest"
)

func TestProfiles(t *testing.T) {
	profiletest.Run(t, func(t *testing.T) (profile.Store, func() profile.Store) {
		file := filepath.Join(t.TempDir(), "outcrop.db")
		again := func() profile.Store { return open(t, file).Profiles() }
		return again(), again
	})
}
