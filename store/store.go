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
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite": pure Go
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database.
type Store struct {
	read  *sql.DB
	write *sql.DB
	index ledgerIndex
}

// Open opens, creates and migrates the database in the file path. The folder must exist.
func Open(ctx context.Context, path string) (*Store, error) {
	// SQLite gives the files beside the database (-wal, -shm) the mode of the database itself.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// busy_timeout is first: the connection must wait for a lock before it may switch to WAL.
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(ON)", "temp_store(MEMORY)", "cache_size(-4000)"}}
	// NORMAL: the index can be rebuilt from the journal, which is synced; what a power cut takes from here is applied
	// again. What is not in the journal (profiles, principals) is written through writeDurable.
	q.Set("_txlock", "immediate")
	dsn := "file:" + filepath.ToSlash(path) + "?" + q.Encode()
	s := &Store{}
	if s.write, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	s.read.SetMaxIdleConns(1) // each connection has a page cache of its own: 4 MB when it has read much
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes both pools.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// writeDurable runs fn in one write transaction, rolled back when fn fails, and syncs the commit to the disk before it
// returns.
// PRAGMA synchronous cannot change inside a transaction, and the writer is one connection.
func (s *Store) writeDurable(ctx context.Context, fn func(*sql.Tx) error) error {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous=FULL"); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous=NORMAL")
	tx, err := conn.BeginTx(ctx, nil)
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
