package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"outcrop/iam"
	"outcrop/store"
)

// The data folder:
//
//	outcrop.db    profiles, principals, keys (sealed), the ledger's index
//	outcrop.key   the key that seals secrets; OUTCROP_KEY_FILE moves it
//	journal/      the ledger's journal
//	lock          held by the server that uses the folder
//	endpoint      the URL that server answers at, for `outcrop env`

// openFolder makes dir when it is missing and opens its database. create false refuses a folder that holds none. The key
// file is made with create too, but only while the database has no secret that another key sealed.
func openFolder(ctx context.Context, dir string, create bool) (*store.Store, *iam.Sealer, error) {
	db := filepath.Join(dir, "outcrop.db")
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, err
		}
	} else if _, err := os.Stat(db); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s holds no Outcrop data: start a server with --data %s first", dir, dir)
	}
	st, err := store.Open(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	key := os.Getenv("OUTCROP_KEY_FILE")
	if key == "" {
		key = filepath.Join(dir, "outcrop.key")
	}
	if create {
		state, err := st.Principals(ctx)
		if err != nil {
			return nil, nil, errors.Join(err, st.Close())
		}
		create = len(state.Keys) == 0
	}
	sealer, err := iam.OpenSealer(key, create)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, sealer, nil
}

// lockFolder makes this process the one server of dir until the file is closed or the process ends.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
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
