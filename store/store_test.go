package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outcrop/store"
)

// open opens the database in the file path, and closes it at the end of the test.
func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestOpenExisting: it opens what Open has made, and neither makes nor migrates anything.
// A folder may be called as its owner likes: what means something in a URI means nothing in its name.
func TestOpenPath(t *testing.T) {
	within := t.TempDir()
	for _, name := range []string{"c#", "why?", "100%", "a%20b", "a b+c&d=e;f", "データ"} {
		path := filepath.Join(within, name, "outcrop.db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s, err = store.OpenExisting(t.Context(), path); err != nil {
			t.Errorf("%s, again: %v", name, err)
		} else {
			s.Close()
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(within); err != nil || len(left) != 6 {
		t.Errorf("something lies beside the folders: %v, %v", left, err)
	}
}

func TestOpenExisting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcrop.db")
	refused := func(when string, ready bool) {
		t.Helper()
		s, err := store.OpenExisting(t.Context(), path)
		if err == nil {
			t.Errorf("%s: opened", when)
			s.Close()
		} else if errors.Is(err, store.ErrNotReady) == ready {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("missing", false)
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("empty", false)

	exec := func(query string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err == nil {
			_, err = db.ExecContext(t.Context(), query)
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA journal_mode=WAL")
	refused("in WAL mode without a schema", false)

	made, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	s, err := store.OpenExisting(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Principals(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000000, 1)")
	refused("newer", true)
	if s, err := store.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "a newer version of the program made it") {
		t.Errorf("a server opened what a newer one has made: %v, %v", s, err)
	}
	exec("DELETE FROM goose_db_version WHERE version_id > 1")
	refused("older", false)
}

// A database that is no database any more, or has holes, is not taken for an empty one.
func TestMalformed(t *testing.T) {
	for name, damage := range map[string]func(b []byte){
		"its beginning": func(b []byte) { copy(b, "not a database, not a database!!") },
		"its pages":     func(b []byte) { clear(b[100 : len(b)/2]) },
	} {
		path := filepath.Join(t.TempDir(), "outcrop.db")
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damage(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := store.Open(t.Context(), path); err == nil {
			t.Errorf("%s: it was opened", name)
			s.Close()
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not name it: %v", name, err)
		}
	}
}
