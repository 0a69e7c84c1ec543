package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"outcrop/iam"
)

// A key file that is lost is named, and no command puts another in its place: a new key opens none of the old secrets.
func TestMissingKeyFile(t *testing.T) {
	t.Setenv("OUTCROP_KEY_FILE", "")
	dir := t.TempDir()
	key := filepath.Join(dir, "outcrop.key")
	open := func(create bool) (*iam.Directory, error) {
		st, sealer, err := openFolder(t.Context(), dir, create)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
		return iam.Open(t.Context(), iam.Config{Store: st, Sealer: sealer})
	}
	missing := func(create bool) {
		t.Helper()
		want := "the key file " + key + " is missing; OUTCROP_KEY_FILE says where it is"
		if _, err := open(create); err == nil || err.Error() != want {
			t.Errorf("create %v: %v, want %q", create, err, want)
		}
		if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("create %v: a key file was made (%v)", create, err)
		}
	}

	if _, err := open(true); err != nil {
		t.Fatal(err)
	}
	// No secret is sealed yet: a server may begin again, a management command still makes nothing.
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := open(false); err == nil {
		t.Error("a management command took a folder without a key file")
	}
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a management command made a key file (%v)", err)
	}
	people, err := open(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := people.EnsureRoot(t.Context(), "123456789012", "admin", "the-secret"); err != nil {
		t.Fatal(err)
	}

	kept := filepath.Join(t.TempDir(), "kept.key")
	if err := os.Rename(key, kept); err != nil {
		t.Fatal(err)
	}
	missing(false)
	missing(true)
	t.Setenv("OUTCROP_KEY_FILE", kept)
	for _, create := range []bool{false, true} {
		if _, err := open(create); err != nil {
			t.Errorf("create %v, with the key file named: %v", create, err)
		}
	}
}
