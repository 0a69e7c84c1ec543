package iam_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

const allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

func root(t testing.TB, d *iam.Directory) (id, secret string) {
	t.Helper()
	id, secret, err := d.RootCredentials(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return id, secret
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureRoot(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	revision := func() int64 {
		n, err := d.store.Revision(ctx, "iam")
		must(t, err)
		return n
	}
	if _, _, err := d.RootCredentials(ctx, account); !fault.Is(err, fault.NotFound) {
		t.Errorf("before the first start: %v", err)
	}

	must(t, d.EnsureRoot(ctx, account, "", ""))
	id, secret := root(t, d.Directory)
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(id) || !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).MatchString(secret) {
		t.Errorf("%q, %q", id, secret)
	}
	n := revision()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	if id2, secret2 := root(t, d.Directory); id2 != id || secret2 != secret || revision() != n {
		t.Error("the second start changed the root key")
	}

	// The environment's credentials replace what there was, and stay.
	must(t, d.EnsureRoot(ctx, account, "admin", "correct-battery"))
	if id2, secret2 := root(t, d.Directory); id2 != "admin" || secret2 != "correct-battery" {
		t.Errorf("%q, %q", id2, secret2)
	}
	n = revision()
	must(t, d.EnsureRoot(ctx, account, "admin", "correct-battery"))
	must(t, d.EnsureRoot(ctx, account, "", ""))
	if id2, _ := root(t, d.Directory); id2 != "admin" || revision() != n {
		t.Error("the same credentials again changed the root key")
	}
	must(t, d.EnsureRoot(ctx, account, "admin", "another-secret"))
	if _, secret2 := root(t, d.Directory); secret2 != "another-secret" {
		t.Errorf("%q", secret2)
	}

	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	for _, bad := range []struct {
		account, id, secret string
		kind                fault.Kind
	}{
		{"12345678901", "", "", fault.Validation},
		{"12345678901x", "", "", fault.Validation},
		{account, "ab", "long-enough", fault.Validation},
		{account, "a/b/c", "long-enough", fault.Validation},
		{account, "a,bc", "long-enough", fault.Validation},
		{account, "abé", "long-enough", fault.Validation},
		{account, "admin", "short", fault.Validation},
		{account, "admin", "with a space", fault.Validation},
		{account, "admin", "", fault.Validation},
		{account, "", "long-enough", fault.Validation},
		{account, key.ID, "long-enough", fault.Conflict},
	} {
		if err := d.EnsureRoot(ctx, bad.account, bad.id, bad.secret); !fault.Is(err, bad.kind) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if id, secret := root(t, d.Directory); id != "admin" || secret != "another-secret" {
		t.Error("a refused change changed something")
	}
}

func TestUsersAndKeys(t *testing.T) {
	at := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	d := open(t, func() time.Time { return at })
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))

	u, err := d.CreateUser(ctx, account, "Alice")
	must(t, err)
	if u.Name != "Alice" || u.ARN() != "arn:aws:iam::123456789012:user/Alice" || !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(u.ID) || !u.CreatedAt.Equal(at) {
		t.Errorf("%+v", u)
	}
	// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
	_, err = d.CreateUser(ctx, account, "alice")
	wantFault(t, err, fault.Conflict, "User with name alice already exists.")
	for name, message := range map[string]string{
		"":                      "1 validation error detected: Value '' at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1",
		"a b":                   "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
		"a/b":                   "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
		"é":                     "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
		strings.Repeat("a", 65): "1 validation error detected: Value '" + strings.Repeat("a", 65) + "' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64",
	} {
		_, err := d.CreateUser(ctx, account, name)
		wantFault(t, err, fault.Validation, message)
	}
	_, err = d.CreateUser(ctx, account, "a+=,.@-_Z9"+strings.Repeat("a", 54))
	must(t, err)
	_, err = d.CreateUser(ctx, "999999999999", "alice")
	wantFault(t, err, fault.NotFound, "The account 999999999999 cannot be found.")

	first, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(first.ID) || !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).MatchString(first.Secret) {
		t.Errorf("%+v", first)
	}
	second, err := d.CreateAccessKey(ctx, account, "Alice")
	must(t, err)
	_, err = d.CreateAccessKey(ctx, account, "Alice")
	wantFault(t, err, fault.QuotaExceeded, "Cannot exceed quota for AccessKeysPerUser: 2")
	_, err = d.CreateAccessKey(ctx, account, "bob")
	wantFault(t, err, fault.NotFound, "The user with name bob cannot be found.")

	keys, err := listKeys(d, "Alice")
	must(t, err)
	if len(keys) != 2 {
		t.Fatalf("%+v", keys)
	}
	for _, k := range keys {
		if k.Secret != nil || !k.Active || k.Owner != u.ID || k.ID != first.ID && k.ID != second.ID {
			t.Errorf("%+v", k)
		}
	}
	must(t, d.SetAccessKeyStatus(ctx, account, "Alice", first.ID, false))
	keys, err = listKeys(d, "Alice")
	must(t, err)
	for _, k := range keys {
		if k.Active != (k.ID != first.ID) {
			t.Errorf("%+v", k)
		}
	}

	wantFault(t, d.DeleteUser(ctx, account, "Alice"), fault.InUse, "Cannot delete entity, must delete access keys first.")
	rootID, _ := root(t, d.Directory)
	wantFault(t, d.DeleteAccessKey(ctx, account, "Alice", rootID), fault.NotFound, "The Access Key with id "+rootID+" cannot be found.")
	must(t, d.DeleteAccessKey(ctx, account, "Alice", first.ID))
	must(t, d.DeleteAccessKey(ctx, account, "Alice", second.ID))
	wantFault(t, d.DeleteAccessKey(ctx, account, "Alice", second.ID), fault.NotFound, "The Access Key with id "+second.ID+" cannot be found.")

	must(t, d.PutUserPolicy(ctx, account, "Alice", "p", []byte(allowAll)))
	wantFault(t, d.DeleteUser(ctx, account, "Alice"), fault.InUse, "Cannot delete entity, must delete policies first.")
	must(t, d.DeleteInline(ctx, account, iam.UserKind, "alice", "p"))
	wantFault(t, d.DeleteInline(ctx, account, iam.UserKind, "alice", "p"), fault.NotFound, "The user policy with name p cannot be found.")
	must(t, d.DeleteUser(ctx, account, "alice"))
	wantFault(t, d.DeleteUser(ctx, account, "alice"), fault.NotFound, "The user with name alice cannot be found.")
	o, err := d.Roster(ctx, account)
	must(t, err)
	if users := o.Entities(iam.UserKind, "/"); len(users) != 1 {
		t.Errorf("%+v", users)
	}
}

// listKeys are the access keys of a user as they are now.
func listKeys(d directory, user string) ([]iam.AccessKey, error) {
	o, err := d.Roster(context.Background(), account)
	if err != nil {
		return nil, err
	}
	u, err := o.Entity(iam.UserKind, user)
	if err != nil {
		return nil, err
	}
	return o.Keys(u), nil
}

func TestUserPolicies(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)

	if err := d.PutUserPolicy(ctx, account, "alice", "p", []byte(`{"Statement":{}}`)); !fault.Is(err, fault.MalformedPolicy) {
		t.Errorf("a document that is none: %v", err)
	}
	if err := d.PutUserPolicy(ctx, account, "alice", "p q", []byte(allowAll)); !fault.Is(err, fault.Validation) {
		t.Errorf("a name that is none: %v", err)
	}
	wantFault(t, d.PutUserPolicy(ctx, account, "bob", "p", []byte(allowAll)), fault.NotFound, "The user with name bob cannot be found.")

	must(t, d.PutUserPolicy(ctx, account, "alice", "b", []byte(allowAll)))
	must(t, d.PutUserPolicy(ctx, account, "alice", "a", []byte(allowAll)))
	again := strings.Replace(allowAll, "Allow", "Deny", 1)
	must(t, d.PutUserPolicy(ctx, account, "alice", "b", []byte(again)))
	o, err := d.Roster(ctx, account)
	must(t, err)
	u, err := o.Entity(iam.UserKind, "alice")
	must(t, err)
	list := o.Inline(u)
	if len(list) != 2 || list[0].Name != "a" || list[0].Document != allowAll || list[1].Name != "b" || list[1].Document != again {
		t.Errorf("%+v", list)
	}

	// "You can add as many inline policies as you want to an IAM user ... the total aggregate policy size ... cannot
	// exceed 2,048 characters ... IAM does not count white space".
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	document := func(size int) []byte {
		head, tail := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":["*","arn:aws:s3:::`, `"]}}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	room := 2048 - len(allowAll) - len(again)
	wantFault(t, d.PutUserPolicy(ctx, account, "alice", "c", document(room+1)), fault.QuotaExceeded, "Maximum policy size of 2048 bytes exceeded for user alice")
	must(t, d.PutUserPolicy(ctx, account, "alice", "c", append(document(room), []byte(strings.Repeat(" \n", 1000))...)))
	must(t, d.PutUserPolicy(ctx, account, "alice", "c", document(room)))
}

// Two processes on one database: what one changes, the other serves.
func TestAnotherProcess(t *testing.T) {
	vs, at := readVectors(t)
	clock := func() time.Time { return at }
	server := open(t, clock)
	ctx := t.Context()
	must(t, server.EnsureRoot(ctx, account, "", ""))
	a := server.Authenticator()
	sign := vs.get(t, "client-list")
	authenticate := func() (iam.Caller, error) { return a.Authenticate(sign.request(t), iam.Claim{}, sign.Body, "id") }
	if _, err := authenticate(); !fault.Is(err, fault.UnrecognizedClient) {
		t.Fatal(err)
	}

	// The vectors are signed with a fixed key, which only EnsureRoot can make.
	cli := reopen(t, server.dir, clock)
	must(t, cli.EnsureRoot(ctx, account, vs.AccessKeyID, vs.SecretAccessKey))
	c, err := authenticate() // no Refresh: an unknown key is looked for at once
	must(t, err)
	if c.AccessKeyID != vs.AccessKeyID {
		t.Errorf("%+v", c)
	}

	must(t, cli.EnsureRoot(ctx, account, "other", "other-secret"))
	if _, err := authenticate(); err != nil {
		t.Errorf("a deleted key is served until the next Refresh: %v", err)
	}
	must(t, server.Refresh(ctx))
	if _, err := authenticate(); !fault.Is(err, fault.UnrecognizedClient) {
		t.Errorf("a deleted key after Refresh: %v", err)
	}
}

func TestConcurrentChanges(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	other := reopen(t, d.dir, nil)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			from := d
			if i%2 == 1 {
				from = other
			}
			_, errs[i] = from.CreateAccessKey(ctx, account, "alice")
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !fault.Is(err, fault.QuotaExceeded) {
			t.Error(err)
		}
	}
	keys, err := listKeys(d, "alice")
	must(t, err)
	if made != 2 || len(keys) != 2 {
		t.Errorf("%d made, %d there", made, len(keys))
	}
}

// A policy that this version cannot read leaves its user with none, not with the rest.
// Changes of one process never find one another in the way, however many there are at a time.
func TestManyChanges(t *testing.T) {
	d := open(t, nil)
	must(t, d.EnsureRoot(t.Context(), account, "", ""))
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for i := range errs {
		wg.Go(func() { _, errs[i] = d.CreateUser(t.Context(), account, fmt.Sprint("u", i)) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
}

func TestUnreadablePolicy(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	u, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	must(t, d.PutUserPolicy(ctx, account, "alice", "allow", []byte(allowAll)))
	c := signAndAuthenticate(t, d, key)
	guard := iam.NewGuard(iam.GuardConfig{})
	access := []iam.Access{{Action: "bedrock:InvokeModel", Resource: "*"}}
	must(t, guard.Check(ctx, "id", &c, access))

	st, err := d.store.Principals(ctx)
	must(t, err)
	must(t, d.store.ChangePrincipals(ctx, st.Revision, iam.Changes{Put: iam.Rows{Inline: []iam.InlinePolicy{{Owner: u.ID, Name: "new", Document: `{"Version":"2030-01-01"}`}}}}))
	must(t, d.Refresh(ctx))
	c = signAndAuthenticate(t, d, key)
	if err := guard.Check(ctx, "id", &c, access); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("%v", err)
	}
}

func TestWrongKeyFile(t *testing.T) {
	d := open(t, nil)
	must(t, d.EnsureRoot(t.Context(), account, "admin", "the-secret"))
	other, err := iam.OpenSealer(filepath.Join(t.TempDir(), "outcrop.key"), true)
	must(t, err)
	_, err = iam.Open(t.Context(), iam.Config{Store: d.store, Sealer: other})
	if err == nil || !strings.Contains(err.Error(), "the secret of admin cannot be opened: the key file is not the one it was sealed with") || strings.Contains(err.Error(), "the-secret") {
		t.Errorf("%v", err)
	}
	st, err := d.store.Principals(t.Context())
	must(t, err)
	for _, k := range st.Keys {
		if strings.Contains(string(k.Secret), "the-secret") {
			t.Error("the secret is stored as it is")
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "outcrop.key")
	if _, err := iam.OpenSealer(path, false); err == nil || err.Error() != "the key file "+path+" is missing; OUTCROP_KEY_FILE says where it is" {
		t.Errorf("a key file that is missing: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v was made, %v", entries, err)
	}
	var wg sync.WaitGroup
	sealers := make([]*iam.Sealer, 8)
	for i := range sealers {
		wg.Go(func() {
			var err error
			if sealers[i], err = iam.OpenSealer(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v beside the key file, %v", entries, err)
	}
	text, err := os.ReadFile(path)
	must(t, err)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		t.Fatalf("%q: %v", text, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "raw"), raw, 0o600))
	fromRaw, err := iam.OpenSealer(filepath.Join(dir, "raw"), false)
	must(t, err)

	// All are one key, and a secret opens only for whom it was sealed.
	sealed := sealers[0].Seal("secret", "AKIA1")
	for _, s := range append(sealers, fromRaw) {
		if got, err := s.Open(sealed, "AKIA1"); got != "secret" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if string(sealed) == string(sealers[0].Seal("secret", "AKIA1")) {
		t.Error("two sealings are alike")
	}
	if got, err := fromRaw.Open(sealed, "AKIA2"); err == nil {
		t.Errorf("it opens for another: %q", got)
	}
	for i := range sealed {
		broken := []byte(string(sealed))
		broken[i] ^= 1
		if got, err := fromRaw.Open(broken, "AKIA1"); err == nil {
			t.Errorf("it opens with byte %d changed: %q", i, got)
		}
		if _, err := fromRaw.Open(sealed[:i], "AKIA1"); err == nil {
			t.Errorf("it opens cut to %d bytes", i)
		}
	}

	// Of two keys the first seals, and both open: so it is while one takes the other's place.
	both, err := iam.BeginRotation(path)
	must(t, err)
	again, err := iam.BeginRotation(path)
	must(t, err)
	if got, err := both.Open(sealed, "AKIA1"); got != "secret" || err != nil || !both.Rotating() || fromRaw.Rotating() {
		t.Errorf("with two keys: %q, %v", got, err)
	}
	key := iam.AccessKey{ID: "AKIA1", Secret: sealed}
	must(t, both.Reseal(&key))
	must(t, iam.EndRotation(path))
	ended, err := iam.OpenSealer(path, false)
	must(t, err)
	for i, s := range []*iam.Sealer{both, again, ended} {
		if got, err := s.Open(key.Secret, "AKIA1"); got != "secret" || err != nil {
			t.Errorf("sealer %d: %q, %v", i, got, err)
		}
	}
	for s, sealed := range map[*iam.Sealer][]byte{ended: sealed, fromRaw: key.Secret} {
		if got, err := s.Open(sealed, "AKIA1"); err == nil {
			t.Errorf("one key opens what the other sealed: %q", got)
		}
	}
	if key := (iam.AccessKey{ID: "AKIA1", Secret: sealed}); ended.Reseal(&key) == nil || !bytes.Equal(key.Secret, sealed) {
		t.Error("what cannot be opened was sealed anew")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v beside the key file, %v", entries, err)
	}
	if _, err := iam.BeginRotation(filepath.Join(dir, "none")); err == nil {
		t.Error("a key file that is missing")
	}

	line := base64.StdEncoding.EncodeToString(raw) + "\n"
	for name, content := range map[string]string{"empty": "", "three": line + line + line, "one and a half": line + line[:20], "short": "c2hvcnQ=", "text": "this is not a key at all, is it?!?"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		if _, err := iam.OpenSealer(filepath.Join(dir, name), true); err == nil || !strings.Contains(err.Error(), "must hold 32 bytes, raw or in base64") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for mode, open := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o604: false, 0o644: false, 0o602: false} {
		must(t, os.Chmod(path, mode))
		_, err := iam.OpenSealer(path, true)
		if open && err != nil || !open && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("mode %04o", mode)) || !strings.Contains(err.Error(), "chmod 600")) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if _, err := iam.OpenSealer(filepath.Join(dir, "no", "such", "folder"), true); err == nil {
		t.Error("a key file in a folder that is not there")
	}
}

// counting is a store that says how often it was asked.
type counting struct {
	iam.State
	mu    sync.Mutex
	asked int
}

func (c *counting) Revision(context.Context, string) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.State.Revision, nil
}

func (c *counting) Principals(context.Context) (*iam.State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.State
	return &st, nil
}

func (c *counting) ChangePrincipals(context.Context, int64, iam.Changes) error { return iam.ErrStale }

func (c *counting) KeyUses(context.Context) ([]iam.KeyUse, error)  { return nil, nil }
func (c *counting) PutKeyUses(context.Context, []iam.KeyUse) error { return nil }

// A key's last use is known at once, and after the next start what was written down of it.
func TestLastUse(t *testing.T) {
	now := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	clock := func() time.Time { return now }
	d := open(t, clock)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	use := func() {
		t.Helper()
		_, err := authenticate(d, key, now)
		must(t, err)
	}
	check := func(d directory, want time.Time) {
		t.Helper()
		got, ok := d.LastUse(key.ID)
		if ok != !want.IsZero() || ok && got != (iam.KeyUse{Key: key.ID, Time: want, Service: "bedrock", Region: "us-east-1"}) {
			t.Errorf("%+v, %t, want %v", got, ok, want)
		}
	}
	check(d, time.Time{})
	first := now
	use()
	check(d, first)
	if _, err := authenticate(d, iam.Credentials{ID: key.ID, Secret: "wrong"}, now.Add(2*time.Minute)); err == nil {
		t.Error("a wrong secret is taken")
	}
	must(t, d.SaveUses(ctx))
	now = now.Add(30 * time.Second)
	use() // within the same minute
	check(d, first)
	now = now.Add(time.Hour)
	use()
	_, err = d.CreateUser(ctx, account, "bob") // another snapshot
	must(t, err)
	check(d, now)
	check(reopen(t, d.dir, clock), first)
	must(t, d.SaveUses(ctx))
	check(reopen(t, d.dir, clock), now)
	saved := now
	now = now.Add(time.Minute - time.Second)
	for range 2 { // the first use in another minute than the last one that is known
		now = now.Add(time.Second)
		use()
	}
	now = saved.Add(time.Minute - time.Second)
	must(t, d.SaveUses(ctx)) // too soon
	check(reopen(t, d.dir, clock), saved)
	must(t, d.Close(ctx)) // whenever
	check(reopen(t, d.dir, clock), saved.Add(time.Minute))
	if _, ok := d.LastUse("AKIANOSUCH"); ok {
		t.Error("a key that there is not was used")
	}
	must(t, d.DeleteAccessKey(ctx, account, "alice", key.ID))
	check(d, time.Time{})
}

func TestStrangersCostLittle(t *testing.T) {
	vs, at := readVectors(t)
	sealer, err := iam.OpenSealer(filepath.Join(t.TempDir(), "key"), true)
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		s := &counting{}
		d, err := iam.Open(t.Context(), iam.Config{Store: s, Sealer: sealer, Clock: func() time.Time { return at }})
		must(t, err)
		a := d.Authenticator()
		v := vs.get(t, "client-list")
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 50 { // each asks again as soon as it is answered
					if _, err := a.Authenticate(v.request(t), iam.Claim{}, v.Body, "id"); !fault.Is(err, fault.UnrecognizedClient) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// In a bubble time passes only while all wait.
		if most := int(time.Since(start)/(100*time.Millisecond)) + 1; s.asked > most {
			t.Errorf("1000 requests in %v asked the store %d times, want at most %d", time.Since(start), s.asked, most)
		}

		// A key made right after a stranger's look works all the same.
		s.mu.Lock()
		s.State = iam.State{Revision: 1, Rows: iam.Rows{Accounts: []iam.Account{{ID: account}}, Keys: []iam.AccessKey{{ID: vs.AccessKeyID, Account: account, Active: true, Secret: sealer.Seal(vs.SecretAccessKey, vs.AccessKeyID)}}}}
		s.mu.Unlock()
		_, err = a.Authenticate(v.request(t), iam.Claim{}, v.Body, "id")
		must(t, err)
	})
}
