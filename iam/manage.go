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
)

// The quotas of IAM. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxKeys    = 2 // access keys of a user, or of root
	maxBearers = 2 // long-term API keys of a user
)

// Credentials is an access key's id and its secret, as its owner is given them, once.
type Credentials struct {
	ID     string
	Secret string
}

// change decides on what an account has now and applies what decide returns, again when another process was faster. It then
// serves the new state.
func (d *Directory) change(ctx context.Context, account string, decide func(*Roster) (Changes, error)) error {
	return d.apply(ctx, func(s *snapshot) (Changes, error) {
		o := s.rosters[account]
		if o == nil {
			return Changes{}, noAccount(account)
		}
		return decide(o)
	})
}

func noAccount(id string) error {
	return fault.New(fault.NotFound, "The account %s cannot be found.", id)
}

// apply is change of any account, and of none. Changes of one process wait for each other, so that only another process can
// make one stale.
func (d *Directory) apply(ctx context.Context, decide func(*snapshot) (Changes, error)) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	for range 16 {
		if err := context.Cause(ctx); err != nil { // nobody waits for it any more
			return err
		}
		s, err := d.read(ctx)
		if err != nil {
			return err
		}
		c, err := decide(s)
		if err != nil {
			return err
		}
		err = d.store.ChangePrincipals(ctx, s.state.Revision, c)
		if err == nil {
			return d.Refresh(context.WithoutCancel(ctx)) // it counts from now on, whether its caller has gone or not
		}
		if !errors.Is(err, ErrStale) {
			return fmt.Errorf("change principals: %w", err)
		}
	}
	return fault.New(fault.Stale, "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.")
}

// read returns what there is now.
func (d *Directory) read(ctx context.Context) (*snapshot, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return d.current.Load(), nil
}

// Roster returns what an account has as it is now.
func (d *Directory) Roster(ctx context.Context, account string) (*Roster, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	if o := d.current.Load().rosters[account]; o != nil {
		return o, nil
	}
	return nil, noAccount(account)
}

// Served returns what an account has as it is served at this moment: what another process changed a moment ago may be missing.
// It is nil for an account that there is not.
func (d *Directory) Served(account string) *Roster { return d.current.Load().rosters[account] }

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
	s, err := d.read(ctx)
	if err != nil {
		return err
	}
	if done, err := d.hasRoot(s.state, account, id, secret); err != nil || done {
		return err
	}
	return d.apply(ctx, func(s *snapshot) (Changes, error) {
		var c Changes
		st := s.state
		if done, err := d.hasRoot(st, account, id, secret); err != nil || done {
			return c, err
		}
		now := d.now()
		if !slices.ContainsFunc(st.Accounts, func(a Account) bool { return a.ID == account }) {
			c.Put.Accounts = []Account{{ID: account, CreatedAt: now}}
		}
		root := Credentials{ID: id, Secret: secret}
		if id == "" {
			root = newCredentials("AKIA")
		}
		for _, k := range st.Keys {
			if k.Account == account && k.Owner == "" && k.ID != root.ID {
				c.Delete.Keys = append(c.Delete.Keys, k)
			}
		}
		c.Put.Keys = []AccessKey{d.sealed(root, account, "", now)}
		return c, nil
	})
}

// RotateRoot gives the root of account a new access key in the place of those it has.
func (d *Directory) RotateRoot(ctx context.Context, account string) (Credentials, error) {
	root := newCredentials("AKIA")
	err := d.change(ctx, account, func(o *Roster) (Changes, error) {
		c := Changes{Put: Rows{Keys: []AccessKey{d.sealed(root, account, "", d.now())}}}
		for _, k := range o.keys[""] {
			c.Delete.Keys = append(c.Delete.Keys, *k)
		}
		return c, nil
	})
	return root, err
}

// hasRoot reports whether the root key is already as EnsureRoot would make it.
func (d *Directory) hasRoot(st *State, account, id, secret string) (bool, error) {
	have := false
	others := false
	for _, k := range st.Keys {
		switch {
		case k.Account == account && k.Owner == "":
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

// RootCredentials reveals the root access key of account, an active one where there are two.
func (d *Directory) RootCredentials(ctx context.Context, account string) (id, secret string, err error) {
	o, err := d.Roster(ctx, account)
	if err != nil {
		return "", "", err
	}
	var key *AccessKey
	for _, k := range o.keys[""] {
		if key == nil || k.Active && !key.Active {
			key = k
		}
	}
	if key == nil {
		return "", "", fault.New(fault.NotFound, "The account %s has no root access key.", account)
	}
	secret, err = d.sealer.Open(key.Secret, key.ID)
	return key.ID, secret, err
}

// Accounts lists the accounts of the installation.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) {
	s, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	return s.state.Accounts, nil
}

// owner finds the user that a key is, or is to be, of: "" is the account's root, which is nil.
func (o *Roster) owner(user string) (*Entity, error) {
	if user == "" {
		return nil, nil
	}
	return o.Entity(UserKind, user)
}

func (e *Entity) idOrRoot() string {
	if e == nil {
		return ""
	}
	return e.ID
}

// CreateAccessKey makes an access key for a user, or for root where user is "". Its secret is not shown again.
func (d *Directory) CreateAccessKey(ctx context.Context, account, user string) (Credentials, error) {
	cred := newCredentials("AKIA")
	err := d.change(ctx, account, func(o *Roster) (Changes, error) {
		u, err := o.owner(user)
		if err != nil {
			return Changes{}, err
		}
		if len(o.keys[u.idOrRoot()]) >= MaxKeys {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", MaxKeys)
		}
		return Changes{Put: Rows{Keys: []AccessKey{d.sealed(cred, account, u.idOrRoot(), d.now())}}}, nil
	})
	if err != nil {
		return Credentials{}, err
	}
	return cred, nil
}

// key finds an access key of a user, or of root where user is "".
func (o *Roster) key(user, id string) (AccessKey, error) {
	u, err := o.owner(user)
	if err != nil {
		return AccessKey{}, err
	}
	for _, k := range o.keys[u.idOrRoot()] {
		if k.ID == id {
			return *k, nil
		}
	}
	return AccessKey{}, fault.New(fault.NotFound, "The Access Key with id %s cannot be found.", id)
}

// DeleteAccessKey deletes an access key of a user, or of root where user is "".
func (d *Directory) DeleteAccessKey(ctx context.Context, account, user, id string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		k, err := o.key(user, id)
		return Changes{Delete: Rows{Keys: []AccessKey{k}}}, err
	})
}

// SetAccessKeyStatus makes an access key of a user, or of root where user is "", active or inactive. Requests signed with an
// inactive one are refused.
func (d *Directory) SetAccessKeyStatus(ctx context.Context, account, user, id string, active bool) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		k, err := o.key(user, id)
		k.Active = active
		return Changes{Put: Rows{Keys: []AccessKey{k}}}, err
	})
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
	secret := newBearerSecret()
	err = d.change(ctx, account, func(o *Roster) (Changes, error) {
		u, err := o.Entity(UserKind, user)
		if err != nil {
			return Changes{}, err
		}
		if len(o.bearers[u.ID]) >= maxBearers {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for ServiceSpecificCredentialsPerUser: %d", maxBearers)
		}
		now := d.now()
		key = BearerKey{
			ID: newID("ACCA", 17), Alias: o.newAlias(u), Account: account, Owner: u.ID, Hash: hashSecret(secret), Active: true, CreatedAt: now,
		}
		if days > 0 {
			key.ExpiresAt = now.AddDate(0, 0, days)
		}
		return Changes{Put: Rows{Bearers: []BearerKey{key}}}, nil
	})
	if err != nil {
		return BearerKey{}, "", err
	}
	key.Hash = nil
	return key, bearerToken(&key, secret), nil
}

// newBearerSecret makes the secret of a long-term API key: 60 characters, as AWS's have.
func newBearerSecret() string {
	b := make([]byte, 44)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// bearerToken is a whole long-term API key.
func bearerToken(k *BearerKey, secret string) string {
	return longTermPrefix + base64.StdEncoding.EncodeToString([]byte(k.Alias+":"+secret))
}

// bearer finds a long-term API key of a user.
func (o *Roster) bearer(user, id string) (BearerKey, error) {
	u, err := o.Entity(UserKind, user)
	if err != nil {
		return BearerKey{}, err
	}
	for _, k := range o.bearers[u.ID] {
		if k.ID == id {
			return *k, nil
		}
	}
	return BearerKey{}, fault.New(fault.NotFound, "No such credential %s exists", id)
}

// ResetBearerKey gives a user's long-term API key another secret; with the old one nobody gets in any more.
func (d *Directory) ResetBearerKey(ctx context.Context, account, user, id string) (key BearerKey, token string, err error) {
	secret := newBearerSecret()
	err = d.change(ctx, account, func(o *Roster) (Changes, error) {
		if key, err = o.bearer(user, id); err != nil {
			return Changes{}, err
		}
		key.Hash = hashSecret(secret)
		return Changes{Put: Rows{Bearers: []BearerKey{key}}}, nil
	})
	if err != nil {
		return BearerKey{}, "", err
	}
	key.Hash = nil
	return key, bearerToken(&key, secret), nil
}

// DeleteBearerKey deletes a user's long-term API key.
func (d *Directory) DeleteBearerKey(ctx context.Context, account, user, id string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		k, err := o.bearer(user, id)
		return Changes{Delete: Rows{Bearers: []BearerKey{k}}}, err
	})
}

// SetBearerKeyStatus makes a user's long-term API key active or inactive. Calls with an inactive one are refused.
func (d *Directory) SetBearerKeyStatus(ctx context.Context, account, user, id string, active bool) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		k, err := o.bearer(user, id)
		k.Active = active
		return Changes{Put: Rows{Bearers: []BearerKey{k}}}, err
	})
}

// newAlias returns the first of alice-at-123456789012, alice+1-at-123456789012, ... that is free. Source for the form:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ServiceSpecificCredential.html (ServiceUserName)
func (o *Roster) newAlias(u *Entity) string {
	taken := map[string]bool{}
	for _, keys := range o.bearers {
		for _, k := range keys {
			taken[k.Alias] = true
		}
	}
	for n := 0; ; n++ {
		alias := u.Name
		if n > 0 {
			alias += "+" + strconv.Itoa(n)
		}
		if alias += "-at-" + u.Account; !taken[alias] {
			return alias
		}
	}
}

func (d *Directory) now() time.Time { return d.clock().UTC().Truncate(time.Millisecond) }

func (d *Directory) sealed(c Credentials, account, owner string, now time.Time) AccessKey {
	return AccessKey{ID: c.ID, Account: account, Owner: owner, Secret: d.sealer.Seal(c.Secret, c.ID), Active: true, CreatedAt: now}
}

// newID returns prefix and n random characters of [A-Z2-7]. Source for the prefixes:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func newID(prefix string, n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

// newCredentials makes an access key, whose id begins with prefix.
func newCredentials(prefix string) Credentials {
	b := make([]byte, 30) // 40 characters
	rand.Read(b)
	return Credentials{ID: newID(prefix, 16), Secret: base64.StdEncoding.EncodeToString(b)}
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
