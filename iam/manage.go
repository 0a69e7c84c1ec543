package iam

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"outcrop/fault"
	"outcrop/policy"
)

// The quotas of IAM. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxUsers      = 5000 // of an account
	maxKeys       = 2    // of a user
	maxBearers    = 2    // of a user
	maxPolicySize = 2048 // of all inline policies of a user, without white space
)

// Credentials is an access key's id and its secret, as its owner is given them, once.
type Credentials struct {
	ID     string
	Secret string
}

// change decides on the stored state as it is now and applies what decide returns, again when another process was
// faster. It then serves the new state.
func (d *Directory) change(ctx context.Context, decide func(*State) (Changes, error)) error {
	for range 16 {
		st, err := d.store.Principals(ctx)
		if err != nil {
			return fmt.Errorf("load principals: %w", err)
		}
		c, err := decide(st)
		if err != nil {
			return err
		}
		err = d.store.ChangePrincipals(ctx, st.Revision, c)
		if err == nil {
			return d.Refresh(ctx)
		}
		if !errors.Is(err, ErrStale) {
			return fmt.Errorf("change principals: %w", err)
		}
	}
	return fault.New(fault.Conflict, "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.")
}

// read returns the state as it is now.
func (d *Directory) read(ctx context.Context) (*State, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return d.current.Load().state, nil
}

// EnsureRoot makes sure that account exists and has a root access key. With an empty id a key is made if there is
// none, and one that is there stays. With an id and a secret (from the environment) they become root's only key,
// whatever there was before; they stay when they are not given again later.
func (d *Directory) EnsureRoot(ctx context.Context, account, id, secret string) error {
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return fault.New(fault.Validation, "An account id has 12 digits, %q has not.", account)
	}
	if id != "" || secret != "" {
		if err := checkRoot(id, secret); err != nil {
			return err
		}
	}
	st, err := d.read(ctx)
	if err != nil {
		return err
	}
	if done, err := d.hasRoot(st, account, id, secret); err != nil || done {
		return err
	}
	return d.change(ctx, func(st *State) (Changes, error) {
		var c Changes
		if done, err := d.hasRoot(st, account, id, secret); err != nil || done {
			return c, err
		}
		now := d.now()
		if !st.hasAccount(account) {
			c.PutAccounts = []Account{{ID: account, CreatedAt: now}}
		}
		root := Credentials{ID: id, Secret: secret}
		if id == "" {
			root = newCredentials()
		}
		for _, k := range st.Keys {
			if k.Account == account && k.User == "" && k.ID != root.ID {
				c.DeleteKeys = append(c.DeleteKeys, k.ID)
			}
		}
		c.PutKeys = []AccessKey{d.sealed(root, account, "", now)}
		return c, nil
	})
}

// hasRoot reports whether the root key is already as EnsureRoot would make it.
func (d *Directory) hasRoot(st *State, account, id, secret string) (bool, error) {
	have := false
	others := false
	for _, k := range st.Keys {
		switch {
		case k.Account == account && k.User == "":
			if id == "" {
				have = true
				continue
			}
			if k.ID != id {
				others = true
				continue
			}
			s, err := d.sealer.Open(k.Secret, k.ID)
			if err != nil {
				return false, err
			}
			have = s == secret && k.Active
		case k.ID == id:
			return false, fault.New(fault.Conflict, "The root access key %s is already the key of a user.", id)
		}
	}
	return have && !others, nil
}

// checkRoot takes root credentials as installations choose them: less strict than those that are made here.
func checkRoot(id, secret string) error {
	if len(id) < 3 || len(id) > 128 || strings.IndexFunc(id, func(r rune) bool { return r > unicode.MaxASCII || !isNameByte(byte(r)) }) >= 0 {
		return fault.New(fault.Validation, "The root access key id must be 3 to 128 letters, digits and any of +=,.@_-.")
	}
	if strings.ContainsAny(id, ",=") {
		return fault.New(fault.Validation, "The root access key id must not hold a comma or an equals sign.") // they end it in an Authorization header
	}
	if len(secret) < 8 || len(secret) > 128 || strings.IndexFunc(secret, func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII }) >= 0 {
		return fault.New(fault.Validation, "The root secret access key must be 8 to 128 printable ASCII characters without spaces.")
	}
	return nil
}

// RootCredentials reveals the root access key of account.
func (d *Directory) RootCredentials(ctx context.Context, account string) (id, secret string, err error) {
	st, err := d.read(ctx)
	if err != nil {
		return "", "", err
	}
	for _, k := range st.Keys {
		if k.Account == account && k.User == "" {
			secret, err := d.sealer.Open(k.Secret, k.ID)
			return k.ID, secret, err
		}
	}
	return "", "", fault.New(fault.NotFound, "The account %s has no root access key.", account)
}

// Accounts lists the accounts of the installation.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) {
	st, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	return st.Accounts, nil
}

// CreateUser makes a user in an account that exists. Names are kept as they are given, and are not distinguished by
// case.
func (d *Directory) CreateUser(ctx context.Context, account, name string) (User, error) {
	u := User{Account: account, Name: name, ID: newID("AIDA", 17), CreatedAt: d.now()}
	if err := checkName("userName", name, 64); err != nil {
		return u, err
	}
	err := d.change(ctx, func(st *State) (Changes, error) {
		if !st.hasAccount(account) {
			return Changes{}, fault.New(fault.NotFound, "The account %s cannot be found.", account)
		}
		n := 0
		for i := range st.Users {
			if st.Users[i].Account != account {
				continue
			}
			if strings.EqualFold(st.Users[i].Name, name) {
				return Changes{}, fault.New(fault.Conflict, "User with name %s already exists.", name)
			}
			n++
		}
		if n >= maxUsers {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for UsersPerAccount: %d", maxUsers)
		}
		return Changes{PutUsers: []User{u}}, nil
	})
	return u, err
}

// DeleteUser deletes a user that has neither keys nor policies any more.
func (d *Directory) DeleteUser(ctx context.Context, account, name string) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		u, err := st.user(account, name)
		if err != nil {
			return Changes{}, err
		}
		if len(of(u, st.Keys)) > 0 {
			return Changes{}, fault.New(fault.Conflict, "Cannot delete entity, must delete access keys first.")
		}
		if len(of(u, st.Bearers)) > 0 {
			return Changes{}, fault.New(fault.Conflict, "Cannot delete entity, must delete service specific credentials first.")
		}
		if len(of(u, st.Policies)) > 0 {
			return Changes{}, fault.New(fault.Conflict, "Cannot delete entity, must delete policies first.")
		}
		return Changes{DeleteUsers: []User{*u}}, nil
	})
}

// ListUsers returns the users of account, by name.
func (d *Directory) ListUsers(ctx context.Context, account string) ([]User, error) {
	st, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []User
	for _, u := range st.Users {
		if u.Account == account {
			out = append(out, u)
		}
	}
	return out, nil
}

// CreateAccessKey makes an access key for a user. Its secret is not shown again.
func (d *Directory) CreateAccessKey(ctx context.Context, account, user string) (Credentials, error) {
	cred := newCredentials()
	err := d.change(ctx, func(st *State) (Changes, error) {
		u, err := st.user(account, user)
		if err != nil {
			return Changes{}, err
		}
		if len(of(u, st.Keys)) >= maxKeys {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		return Changes{PutKeys: []AccessKey{d.sealed(cred, account, u.Name, d.now())}}, nil
	})
	if err != nil {
		return Credentials{}, err
	}
	return cred, nil
}

// DeleteAccessKey deletes a user's access key.
func (d *Directory) DeleteAccessKey(ctx context.Context, account, user, id string) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		k, err := st.key(account, user, id)
		if err != nil {
			return Changes{}, err
		}
		return Changes{DeleteKeys: []string{k.ID}}, nil
	})
}

// SetAccessKeyStatus makes a user's access key active or inactive. Requests signed with an inactive one are refused.
func (d *Directory) SetAccessKeyStatus(ctx context.Context, account, user, id string, active bool) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		k, err := st.key(account, user, id)
		if err != nil {
			return Changes{}, err
		}
		changed := *k
		changed.Active = active
		return Changes{PutKeys: []AccessKey{changed}}, nil
	})
}

// ListAccessKeys returns a user's access keys, by id, without their secrets.
func (d *Directory) ListAccessKeys(ctx context.Context, account, user string) ([]AccessKey, error) {
	out, err := list(ctx, d, account, user, func(st *State) []AccessKey { return st.Keys })
	for i := range out {
		out[i].Secret = nil
	}
	return out, err
}

// MaxBearerDays is the longest that a long-term API key can be made to last. Source:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateServiceSpecificCredential.html
const MaxBearerDays = 36600

// CreateBearerKey makes a long-term API key for a user, which expires after that many days, or never for 0. token is the
// whole key as clients send it; it is not shown again, and only a hash of its secret is kept.
func (d *Directory) CreateBearerKey(ctx context.Context, account, user string, days int) (key BearerKey, token string, err error) {
	if days < 0 || days > MaxBearerDays {
		return key, "", fault.New(fault.Validation, "1 validation error detected: Value '%d' at 'credentialAgeDays' failed to satisfy constraint: Member must have value between 1 and %d", days, MaxBearerDays)
	}
	b := make([]byte, 44) // 60 characters, as AWS's have
	rand.Read(b)
	secret := base64.StdEncoding.EncodeToString(b)
	err = d.change(ctx, func(st *State) (Changes, error) {
		u, err := st.user(account, user)
		if err != nil {
			return Changes{}, err
		}
		if len(of(u, st.Bearers)) >= maxBearers {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for ServiceSpecificCredentialsPerUser: %d", maxBearers)
		}
		now := d.now()
		key = BearerKey{
			ID: newID("ACCA", 17), Alias: st.newAlias(u), Account: account, User: u.Name, Hash: hashSecret(secret), Active: true, CreatedAt: now,
		}
		if days > 0 {
			key.ExpiresAt = now.AddDate(0, 0, days)
		}
		return Changes{PutBearers: []BearerKey{key}}, nil
	})
	if err != nil {
		return BearerKey{}, "", err
	}
	key.Hash = nil
	return key, longTermPrefix + base64.StdEncoding.EncodeToString([]byte(key.Alias+":"+secret)), nil
}

// DeleteBearerKey deletes a user's long-term API key.
func (d *Directory) DeleteBearerKey(ctx context.Context, account, user, id string) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		k, err := st.bearer(account, user, id)
		if err != nil {
			return Changes{}, err
		}
		return Changes{DeleteBearers: []string{k.ID}}, nil
	})
}

// SetBearerKeyStatus makes a user's long-term API key active or inactive. Calls with an inactive one are refused.
func (d *Directory) SetBearerKeyStatus(ctx context.Context, account, user, id string, active bool) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		k, err := st.bearer(account, user, id)
		if err != nil {
			return Changes{}, err
		}
		changed := *k
		changed.Active = active
		return Changes{PutBearers: []BearerKey{changed}}, nil
	})
}

// ListBearerKeys returns a user's long-term API keys, by id, without the hashes of their secrets.
func (d *Directory) ListBearerKeys(ctx context.Context, account, user string) ([]BearerKey, error) {
	out, err := list(ctx, d, account, user, func(st *State) []BearerKey { return st.Bearers })
	for i := range out {
		out[i].Hash = nil
	}
	return out, err
}

// PutUserPolicy gives a user an inline policy, in place of one of the same name.
func (d *Directory) PutUserPolicy(ctx context.Context, account, user, name string, document []byte) error {
	if err := checkName("policyName", name, 128); err != nil {
		return err
	}
	if _, err := policy.Parse(name, document); err != nil {
		return err
	}
	return d.change(ctx, func(st *State) (Changes, error) {
		u, err := st.user(account, user)
		if err != nil {
			return Changes{}, err
		}
		size := sizeWithoutSpace(string(document))
		for _, p := range of(u, st.Policies) {
			if p.Name != name {
				size += sizeWithoutSpace(p.Document)
			}
		}
		if size > maxPolicySize {
			return Changes{}, fault.New(fault.QuotaExceeded, "Maximum policy size of %d bytes exceeded for user %s", maxPolicySize, u.Name)
		}
		return Changes{PutPolicies: []UserPolicy{{Account: account, User: u.Name, Name: name, Document: string(document), UpdatedAt: d.now()}}}, nil
	})
}

// DeleteUserPolicy takes an inline policy from a user.
func (d *Directory) DeleteUserPolicy(ctx context.Context, account, user, name string) error {
	return d.change(ctx, func(st *State) (Changes, error) {
		p, err := one(st, st.Policies, account, user, name, "The user policy with name %s cannot be found.")
		if err != nil {
			return Changes{}, err
		}
		return Changes{DeletePolicies: []UserPolicy{*p}}, nil
	})
}

// ListUserPolicies returns a user's inline policies, by name.
func (d *Directory) ListUserPolicies(ctx context.Context, account, user string) ([]UserPolicy, error) {
	return list(ctx, d, account, user, func(st *State) []UserPolicy { return st.Policies })
}

func (st *State) hasAccount(id string) bool {
	for i := range st.Accounts {
		if st.Accounts[i].ID == id {
			return true
		}
	}
	return false
}

// user finds a user by name, in any case.
func (st *State) user(account, name string) (*User, error) {
	for i := range st.Users {
		if u := &st.Users[i]; u.Account == account && strings.EqualFold(u.Name, name) {
			return u, nil
		}
	}
	return nil, fault.New(fault.NotFound, "The user with name %s cannot be found.", name)
}

// A belonging is what users have of their own. owner is whose it is, and its id or name.
type belonging interface {
	AccessKey | BearerKey | UserPolicy
	owner() (account, user, id string)
}

func (k AccessKey) owner() (account, user, id string)  { return k.Account, k.User, k.ID }
func (k BearerKey) owner() (account, user, id string)  { return k.Account, k.User, k.ID }
func (p UserPolicy) owner() (account, user, id string) { return p.Account, p.User, p.Name }

// of returns what of all belongs to u.
func of[T belonging](u *User, all []T) []T {
	var out []T
	for i := range all {
		if account, user, _ := all[i].owner(); account == u.Account && user == u.Name {
			out = append(out, all[i])
		}
	}
	return out
}

// one finds what of all belongs to the user and has that id. missing is what is said of an id that there is not, with a %s
// for it.
func one[T belonging](st *State, all []T, account, user, id, missing string) (*T, error) {
	u, err := st.user(account, user)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if a, n, have := all[i].owner(); have == id && a == u.Account && n == u.Name {
			return &all[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, missing, id)
}

func (st *State) key(account, user, id string) (*AccessKey, error) {
	return one(st, st.Keys, account, user, id, "The Access Key with id %s cannot be found.")
}

func (st *State) bearer(account, user, id string) (*BearerKey, error) {
	return one(st, st.Bearers, account, user, id, "The service specific credential with id %s cannot be found.")
}

// list returns what belongs to a user, of the state as it is now.
func list[T belonging](ctx context.Context, d *Directory, account, user string, all func(*State) []T) ([]T, error) {
	st, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	u, err := st.user(account, user)
	if err != nil {
		return nil, err
	}
	return of(u, all(st)), nil
}

// newAlias returns the first of alice-at-123456789012, alice+1-at-123456789012, ... that is free. Source for the form:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ServiceSpecificCredential.html (ServiceUserName)
func (st *State) newAlias(u *User) string {
	for n := 0; ; n++ {
		alias := u.Name
		if n > 0 {
			alias += "+" + strconv.Itoa(n)
		}
		alias += "-at-" + u.Account
		if !slices.ContainsFunc(st.Bearers, func(k BearerKey) bool { return k.Alias == alias }) {
			return alias
		}
	}
}

func (d *Directory) now() time.Time { return d.clock().UTC().Truncate(time.Millisecond) }

func (d *Directory) sealed(c Credentials, account, user string, now time.Time) AccessKey {
	return AccessKey{ID: c.ID, Account: account, User: user, Secret: d.sealer.Seal(c.Secret, c.ID), Active: true, CreatedAt: now}
}

// newID returns prefix and n random characters of [A-Z2-7]. Source for the prefixes:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func newID(prefix string, n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

func newCredentials() Credentials {
	b := make([]byte, 30) // 40 characters
	rand.Read(b)
	return Credentials{ID: newID("AKIA", 16), Secret: base64.StdEncoding.EncodeToString(b)}
}

// checkName takes [\w+=,.@-]+ up to max characters. Source:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
func checkName(member, name string, max int) error {
	if name == "" {
		return fault.New(fault.Validation, "1 validation error detected: Value '' at '%s' failed to satisfy constraint: Member must have length greater than or equal to 1", member)
	}
	for i := 0; i < len(name); i++ {
		if !isNameByte(name[i]) {
			return fault.New(fault.Validation, "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member)
		}
	}
	if len(name) > max {
		return fault.New(fault.Validation, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", printable(name), member, max)
	}
	return nil
}

func isNameByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("_+=,.@-", c) >= 0
}

func sizeWithoutSpace(s string) int {
	n := 0
	for _, r := range s {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
