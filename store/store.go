// Package store is all SQL: one file a domain, one SQL text for every engine. SQLite is the embedded engine.
//
// There are two pools on one database file, many readers and one writer. Every change of what is served from memory
// (profiles, principals, keys) bumps the revision of its domain in the same transaction, so that any process on the
// same database notices it (Revision) and swaps its snapshot.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // also the driver "sqlite": pure Go
	sqlite3 "modernc.org/sqlite/lib"

	"outcrop/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database.
type Store struct {
	read  *sql.DB
	write *sql.DB
	index ledgerIndex
	names names
	audit auditIndex

	archive string       // the folder of what has left the database
	onStep  func(string) // of tests: what archiving does next
}

// ErrNotReady is in the error of OpenExisting when the file is missing or older than this version: a server makes it so.
var ErrNotReady = errors.New("no server of this version has made or migrated it")

// Open opens, creates and migrates the database in the file path. The folder must exist, and only one process at a time
// may do this: migrations know no other.
func Open(ctx context.Context, path string) (*Store, error) {
	// SQLite gives the files beside the database (-wal, -shm) the mode of the database itself.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return open(path, "journal_mode(WAL)", func(s *Store, p *goose.Provider) error {
		// A server that knows less than the tables hold would write what they do not mean.
		if have, want, err := s.versions(ctx, p); err != nil {
			return err
		} else if have > want {
			return newer(have, want)
		}
		_, err := p.Up(ctx)
		return err
	})
}

// versions returns which version of the schema the database has, 0 for none, and which is this program's.
func (s *Store) versions(ctx context.Context, p *goose.Provider) (have, want int64, err error) {
	for _, source := range p.ListSources() {
		want = max(want, source.Version)
	}
	var tables int
	if err := s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_schema WHERE name = $1`, goose.DefaultTablename).Scan(&tables); err != nil || tables == 0 {
		return 0, want, err
	}
	err = s.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+goose.DefaultTablename).Scan(&have)
	return have, want, err
}

func newer(have, want int64) error {
	return fmt.Errorf("a newer version of the program made it: schema version %d, this program's is %d", have, want)
}

// OpenExisting opens a database that Open has made, beside the process that did. It changes nothing: a schema of another
// version is an error.
func OpenExisting(ctx context.Context, path string) (*Store, error) {
	// A database that is not in WAL mode yet is being made: whoever touched it now would stand in the way.
	if wal, err := inWAL(path); err != nil {
		return nil, err
	} else if !wal {
		return nil, fmt.Errorf("open %s: %w", path, ErrNotReady)
	}
	return open(path, "", func(s *Store, p *goose.Provider) error {
		have, want, err := s.versions(ctx, p)
		if err != nil {
			return err
		}
		switch {
		case have == 0:
			return ErrNotReady
		case have < want:
			return fmt.Errorf("schema version %d, this program's is %d: %w", have, want, ErrNotReady)
		case have > want:
			return newer(have, want)
		}
		return nil
	})
}

// inWAL reports whether the file is a SQLite database in WAL mode: its header says so. https://sqlite.org/fileformat.html
func inWAL(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var header [20]byte
	_, err = io.ReadFull(f, header[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return header[18] == 2 && header[19] == 2, err
}

// uriPath escapes what ends the path of a URI, and what escapes. Source: https://www.sqlite.org/uri.html#the_uri_path
var uriPath = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")

// open connects both pools and has prepare bring or hold the schema to this version.
func open(path, pragma string, prepare func(*Store, *goose.Provider) error) (*Store, error) {
	// busy_timeout is first: the connection must wait for a lock before it may switch to WAL.
	pragmas := []string{"busy_timeout(10000)"}
	if pragma != "" {
		pragmas = append(pragmas, pragma)
	}
	q := url.Values{"_pragma": append(pragmas, "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)", "cache_size(-4000)")}
	// FULL: a commit is on the disk when it returns. Profiles and principals exist nowhere else, and the journal forgets
	// what the index has.
	q.Set("_txlock", "immediate")
	dsn := "file:" + uriPath.Replace(filepath.ToSlash(path)) + "?" + q.Encode()
	s := &Store{archive: filepath.Join(filepath.Dir(path), "archive"), index: ledgerIndex{maxNumbers: defaultMaxNumbers, maxValues: defaultMaxValues, maxKeys: defaultMaxKeys}}
	var err error
	if s.write, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	s.read.SetMaxIdleConns(1) // each connection has a page cache of its own: 4 MB when it has read much
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub)
	if err == nil {
		err = prepare(s, p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

// Close closes both pools.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// change runs fn in one write transaction, rolled back when fn fails. The commit is on the disk when it returns. A
// database that cannot be written at the moment is a fault.Unavailable.
func (s *Store) change(ctx context.Context, fn func(*sql.Tx) error) error {
	return unavailable(s.transact(ctx, fn))
}

// unavailable makes a fault of what passes without anybody's changing the request: the disk is full or fails, or another
// process holds the database for longer than is waited.
func unavailable(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff { // without what extends it: https://sqlite.org/rescode.html
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fault.Wrap(err, fault.Unavailable, "The database cannot be written at the moment. Try again later.")
	}
	return err
}

func (s *Store) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// bump notes in tx that what domain serves from memory has changed.
func bump(ctx context.Context, tx *sql.Tx, domain string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO revision (domain, number) VALUES ($1, 1)
		ON CONFLICT (domain) DO UPDATE SET number = revision.number + 1`, domain)
	return err
}

// Revision returns the number of changes of domain ("profile", "iam") since the database was made.
func (s *Store) Revision(ctx context.Context, domain string) (int64, error) {
	var n int64
	err := s.read.QueryRowContext(ctx, `SELECT number FROM revision WHERE domain = $1`, domain).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}
