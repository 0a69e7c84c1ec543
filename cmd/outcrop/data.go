package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"outcrop/iam"
	"outcrop/store"
)

// The data folder:
//
//	outcrop.db    profiles, principals, keys (sealed), the ledger's index, the audit record
//	outcrop.key   the key that seals secrets; OUTCROP_KEY_FILE moves it
//	journal/      the ledger's journal
//	archive/      calls of old days, in Parquet files
//	lock          held by the server that uses the folder
//	endpoint      the URL that server answers at while it runs, for `outcrop env`

// openFolder opens the database and the key of dir. With create, which is for the holder of the folder's lock, it makes
// and migrates what is missing; the key file only while the database has no secret that another key sealed. Without, a
// folder that no server has made ready is a store.ErrNotReady.
func openFolder(ctx context.Context, dir string, create bool) (*store.Store, *iam.Sealer, error) {
	db := filepath.Join(dir, "outcrop.db")
	open := store.OpenExisting
	if create {
		if err := makeFolder(dir); err != nil {
			return nil, nil, err
		}
		open = store.Open
	}
	st, err := open(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	state, err := st.Principals(ctx)
	if err == nil && !create && len(state.Accounts) == 0 {
		err = fmt.Errorf("%s has no account: %w", db, store.ErrNotReady)
	}
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	create = create && len(state.Keys) == 0
	sealer, err := iam.OpenSealer(keyFile(dir), create)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, sealer, nil
}

// keyFile is where the key that seals the secrets of dir is.
func keyFile(dir string) string {
	if file := os.Getenv("OUTCROP_KEY_FILE"); file != "" {
		return file
	}
	return filepath.Join(dir, "outcrop.key")
}

// A command waits for a server that starts at the same time: for patience until there is one, and for maxStart while it
// makes its folder ready, which on a slow machine takes its time.
const (
	patience = 5 * time.Second
	maxStart = time.Minute
)

// awaitFolder is openFolder without create, for a folder that a server may be making at this moment.
func awaitFolder(ctx context.Context, dir string) (st *store.Store, sealer *iam.Sealer, err error) {
	await(ctx, dir, func() bool {
		st, sealer, err = openFolder(ctx, dir, false)
		return !errors.Is(err, store.ErrNotReady)
	})
	if errors.Is(err, store.ErrNotReady) {
		err = fmt.Errorf("%s is not ready; start `outcrop serve` with the same --data or --config first (%w)", dir, err)
	}
	return st, sealer, err
}

// await asks done again and again until it says yes, ctx ends, or there is no server in dir that may still do it.
func await(ctx context.Context, dir string, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, maxStart)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(began) > patience && !served(dir) {
			return
		}
	}
}

// served says whether the process that last locked dir is still there. To try the lock itself could keep a server from it.
func served(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	_ = p.Release() // it is not ours to wait for
	return !errors.Is(err, os.ErrProcessDone)
}

// removeEndpoint takes back where the folder's server answers.
func removeEndpoint(dir string) error {
	if err := os.Remove(filepath.Join(dir, "endpoint")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFolder makes dir and the folders above it that are missing. Their names are on the disk when it returns: what is in a folder is
// safe only when the folder's own name is.
func makeFolder(dir string) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeFolder(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(above)
}

// lockFolder makes this process the one server of dir until the file is closed or the process ends.
func lockFolder(dir string) (*os.File, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := tryLock(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !ok {
		owner, _ := os.ReadFile(f.Name())
		f.Close()
		who := strings.TrimSpace(string(owner))
		if who == "" {
			who = "unknown"
		}
		return nil, fmt.Errorf("the data folder %s is in use by another Outcrop server (process %s); stop it or use another --data", dir, who)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// dataFolder is the one that a flag or the configuration names, else the default.
func dataFolder(flag string, c *Config) (string, error) {
	dir := flag
	if dir == "" {
		dir = c.Data
	}
	if dir == "" {
		return defaultData()
	}
	return filepath.Abs(dir)
}

// account is the account that a management command is about: the configured one where the folder has it, else the only
// one that it has.
func account(ctx context.Context, people *iam.Directory, configured string) (string, error) {
	accounts, err := people.Accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range accounts {
		if a.ID == configured {
			return a.ID, nil
		}
	}
	if len(accounts) == 1 {
		return accounts[0].ID, nil
	}
	return "", fmt.Errorf("the data folder has no account %s; name the server's configuration with --config", configured)
}
