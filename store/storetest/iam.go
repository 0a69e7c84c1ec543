package storetest

import (
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"outcrop/iam"
)

// IAM is the specification of iam.Store. open returns an empty store, which it closes at the end of the test.
func IAM(t *testing.T, open func(*testing.T) iam.Store) {
	const account = "123456789012"
	at := time.Date(2026, 11, 23, 11, 35, 12, 345e6, time.UTC)
	account1 := iam.Account{ID: account, CreatedAt: at}
	alice := iam.User{Account: account, Name: "Alice", ID: "AIDAALICE", CreatedAt: at}
	bob := iam.User{Account: account, Name: "bob", ID: "AIDABOB", CreatedAt: at.Add(time.Second)}
	rootKey := iam.AccessKey{ID: "AKIAROOT", Account: account, Secret: []byte{0, 1, 255}, Active: true, CreatedAt: at}
	aliceKey := iam.AccessKey{ID: "AKIAALICE", Account: account, User: "Alice", Secret: []byte("sealed"), CreatedAt: at}
	bearer := iam.BearerKey{ID: "ACCAALICE", Alias: "Alice-at-" + account, Account: account, User: "Alice", Hash: []byte{255, 0, 1}, Active: true, CreatedAt: at, ExpiresAt: at.AddDate(0, 0, 30)}
	bearer2 := iam.BearerKey{ID: "ACCAALICE2", Alias: "Alice+1-at-" + account, Account: account, User: "Alice", Hash: []byte("hash"), CreatedAt: at}
	allow := iam.UserPolicy{Account: account, User: "Alice", Name: "allow", Document: "{\"é\":\n1}", UpdatedAt: at}
	deny := iam.UserPolicy{Account: account, User: "Alice", Name: "deny", Document: "{}", UpdatedAt: at}

	full := iam.Changes{
		PutAccounts: []iam.Account{account1},
		PutUsers:    []iam.User{bob, alice},
		PutKeys:     []iam.AccessKey{rootKey, aliceKey},
		PutBearers:  []iam.BearerKey{bearer2, bearer},
		PutPolicies: []iam.UserPolicy{deny, allow},
	}
	load := func(t *testing.T, s iam.Store) *iam.State {
		t.Helper()
		st, err := s.Principals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Revision(t.Context(), "iam")
		if err != nil {
			t.Fatal(err)
		}
		if n != st.Revision {
			t.Fatalf("Revision is %d, the state's %d", n, st.Revision)
		}
		return st
	}
	change := func(t *testing.T, s iam.Store, c iam.Changes) *iam.State {
		t.Helper()
		before := load(t, s).Revision
		if err := s.ChangePrincipals(t.Context(), before, c); err != nil {
			t.Fatal(err)
		}
		st := load(t, s)
		if st.Revision != before+1 {
			t.Fatalf("the revision went from %d to %d, want one more", before, st.Revision)
		}
		return st
	}

	t.Run("Empty", func(t *testing.T) {
		if st := load(t, open(t)); !reflect.DeepEqual(st, &iam.State{}) {
			t.Errorf("an empty store has %+v", st)
		}
	})

	t.Run("EverythingComesBackInOrder", func(t *testing.T) {
		st := change(t, open(t), full)
		want := &iam.State{
			Revision: 1,
			Accounts: []iam.Account{account1},
			Users:    []iam.User{alice, bob},
			Keys:     []iam.AccessKey{aliceKey, rootKey},
			Bearers:  []iam.BearerKey{bearer, bearer2},
			Policies: []iam.UserPolicy{allow, deny},
		}
		if !reflect.DeepEqual(st, want) {
			t.Errorf("got  %+v\nwant %+v", st, want)
		}
	})

	t.Run("PutReplaces", func(t *testing.T) {
		s := open(t)
		change(t, s, full)
		k, p := aliceKey, allow
		k.Active, k.Secret = true, []byte("other")
		p.Document, p.UpdatedAt = "{ }", at.Add(time.Hour)
		b := bearer
		b.Active, b.ExpiresAt = false, time.Time{}
		st := change(t, s, iam.Changes{PutKeys: []iam.AccessKey{k}, PutBearers: []iam.BearerKey{b}, PutPolicies: []iam.UserPolicy{p}})
		if !reflect.DeepEqual(st.Keys, []iam.AccessKey{k, rootKey}) || !reflect.DeepEqual(st.Bearers, []iam.BearerKey{b, bearer2}) || !reflect.DeepEqual(st.Policies, []iam.UserPolicy{p, deny}) {
			t.Errorf("got %+v", st)
		}
	})

	t.Run("DeletesComeFirst", func(t *testing.T) {
		s := open(t)
		change(t, s, full)
		st := change(t, s, iam.Changes{
			DeleteKeys:     []string{aliceKey.ID, "AKIANOSUCH"},
			DeleteBearers:  []string{bearer.ID, bearer2.ID, "ACCANOSUCH"},
			DeletePolicies: []iam.UserPolicy{{Account: account, User: "Alice", Name: "allow"}, {Account: account, User: "Alice", Name: "deny"}},
			DeleteUsers:    []iam.User{{Account: account, Name: "Alice"}},
			PutKeys:        []iam.AccessKey{aliceKey},
		})
		want := &iam.State{Revision: 2, Accounts: []iam.Account{account1}, Users: []iam.User{bob}, Keys: []iam.AccessKey{aliceKey, rootKey}}
		if !reflect.DeepEqual(st, want) {
			t.Errorf("got  %+v\nwant %+v", st, want)
		}
	})

	t.Run("StaleChangesNothing", func(t *testing.T) {
		s := open(t)
		before := change(t, s, full)
		for _, revision := range []int64{before.Revision - 1, before.Revision + 1} {
			err := s.ChangePrincipals(t.Context(), revision, iam.Changes{DeleteKeys: []string{rootKey.ID}})
			if !errors.Is(err, iam.ErrStale) {
				t.Fatalf("at revision %d: %v, want ErrStale", revision, err)
			}
		}
		if st := load(t, s); !reflect.DeepEqual(st, before) {
			t.Errorf("got  %+v\nwant %+v", st, before)
		}
	})

	t.Run("FailureChangesNothing", func(t *testing.T) {
		s := open(t)
		before := change(t, s, full)
		other := alice
		other.Name, other.ID = "ALICE", "AIDAOTHER" // the name is taken in another case
		err := s.ChangePrincipals(t.Context(), before.Revision, iam.Changes{DeleteKeys: []string{rootKey.ID}, PutUsers: []iam.User{other}})
		if err == nil {
			t.Fatal("a second user of the same name was accepted")
		}
		if st := load(t, s); !reflect.DeepEqual(st, before) {
			t.Errorf("got  %+v\nwant %+v", st, before)
		}
	})

	t.Run("AliasesAreUnique", func(t *testing.T) {
		s := open(t)
		before := change(t, s, full)
		other := bearer
		other.ID = "ACCAOTHER"
		if err := s.ChangePrincipals(t.Context(), before.Revision, iam.Changes{PutBearers: []iam.BearerKey{other}}); err == nil {
			t.Fatal("a second API key of the same alias was accepted")
		}
		if st := load(t, s); !reflect.DeepEqual(st, before) {
			t.Errorf("got  %+v\nwant %+v", st, before)
		}
	})

	t.Run("OneOfManyWins", func(t *testing.T) {
		s := open(t)
		revision := change(t, s, full).Revision
		const writers = 8
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				k := rootKey
				k.ID += string(rune('A' + i))
				errs[i] = s.ChangePrincipals(t.Context(), revision, iam.Changes{PutKeys: []iam.AccessKey{k}})
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, iam.ErrStale):
				t.Error(err)
			}
		}
		if st := load(t, s); won != 1 || len(st.Keys) != 3 || st.Revision != revision+1 {
			t.Errorf("%d writers won; %d keys, revision %d", won, len(st.Keys), st.Revision)
		}
	})
}
