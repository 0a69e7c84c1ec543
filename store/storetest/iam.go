package storetest

import (
	"errors"
	"reflect"
	"slices"
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
	alice := iam.Entity{
		Account: account, Kind: iam.UserKind, Name: "Alice", Path: "/team/", ID: "AIDAALICE", CreatedAt: at, Boundary: "arn:aws:iam::aws:policy/AmazonBedrockReadOnly",
		Tags: []iam.Tag{{Key: "a", Value: ""}, {Key: "é", Value: "\"x\n"}},
	}
	bob := iam.Entity{Account: account, Kind: iam.UserKind, Name: "bob", Path: "/", ID: "AIDABOB", CreatedAt: at.Add(time.Second)}
	group := iam.Entity{Account: account, Kind: iam.GroupKind, Name: "alice", Path: "/", ID: "AGPAGROUP", CreatedAt: at}
	role := iam.Entity{Account: account, Kind: iam.RoleKind, Name: "alice", Path: "/", ID: "AROAROLE", CreatedAt: at, Trust: "{ }", Description: "to test", MaxSession: 90 * time.Minute}
	member := iam.Member{Group: group.ID, User: alice.ID}
	rootKey := iam.AccessKey{ID: "AKIAROOT", Account: account, Secret: []byte{0, 1, 255}, Active: true, CreatedAt: at}
	aliceKey := iam.AccessKey{ID: "AKIAALICE", Account: account, Owner: alice.ID, Secret: []byte("sealed"), CreatedAt: at}
	bearer := iam.BearerKey{ID: "ACCAALICE", Alias: "Alice-at-" + account, Account: account, Owner: alice.ID, Hash: []byte{255, 0, 1}, Active: true, CreatedAt: at, ExpiresAt: at.AddDate(0, 0, 30)}
	bearer2 := iam.BearerKey{ID: "ACCAALICE2", Alias: "Alice+1-at-" + account, Account: account, Owner: alice.ID, Hash: []byte("hash"), CreatedAt: at}
	allow := iam.InlinePolicy{Owner: alice.ID, Name: "allow", Document: "{\"é\":\n1}", UpdatedAt: at}
	deny := iam.InlinePolicy{Owner: alice.ID, Name: "deny", Document: "{}", UpdatedAt: at}
	managed := iam.ManagedPolicy{Account: account, Name: "Managed", Path: "/p/", ID: "ANPAMANAGED", Description: "d", Default: 3, Last: 4, CreatedAt: at, UpdatedAt: at.Add(time.Hour), Tags: []iam.Tag{{Key: "k", Value: "v"}}}
	v3 := iam.PolicyVersion{Policy: managed.ID, Number: 3, Document: "{}", CreatedAt: at}
	v10 := iam.PolicyVersion{Policy: managed.ID, Number: 10, Document: "{ }", CreatedAt: at}
	attached := iam.Attachment{Owner: alice.ID, Policy: managed.ARN()}
	attached2 := iam.Attachment{Owner: role.ID, Policy: "arn:aws:iam::aws:policy/AdministratorAccess"}

	guardrail := iam.Guardrail{Account: account, Name: "a", Document: "{}", UpdatedAt: at}
	guardrail2 := iam.Guardrail{Account: account, Name: "b", Document: "{ }", UpdatedAt: at}

	full := iam.Changes{Put: iam.Rows{
		Accounts: []iam.Account{account1}, Entities: []iam.Entity{role, bob, group, alice}, Members: []iam.Member{member},
		Keys: []iam.AccessKey{rootKey, aliceKey}, Bearers: []iam.BearerKey{bearer2, bearer}, Inline: []iam.InlinePolicy{deny, allow},
		Managed: []iam.ManagedPolicy{managed}, Versions: []iam.PolicyVersion{v10, v3}, Attachments: []iam.Attachment{attached2, attached},
		Guardrails: []iam.Guardrail{guardrail2, guardrail},
	}}
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
		want := &iam.State{Revision: 1, Rows: iam.Rows{
			Accounts: []iam.Account{account1}, Entities: []iam.Entity{group, alice, bob, role}, Members: []iam.Member{member},
			Keys: []iam.AccessKey{aliceKey, rootKey}, Bearers: []iam.BearerKey{bearer, bearer2}, Inline: []iam.InlinePolicy{allow, deny},
			Managed: []iam.ManagedPolicy{managed}, Versions: []iam.PolicyVersion{v3, v10}, Attachments: []iam.Attachment{attached, attached2},
			Guardrails: []iam.Guardrail{guardrail, guardrail2},
		}}
		if !reflect.DeepEqual(st, want) {
			t.Errorf("got  %+v\nwant %+v", st, want)
		}
	})

	t.Run("PutReplaces", func(t *testing.T) {
		s := open(t)
		change(t, s, full)
		e, k, b, p, m, v, g := alice, aliceKey, bearer, allow, managed, v3, guardrail
		e.Name, e.Path, e.Boundary, e.Tags = "Alicia", "/", "", nil // everything stays with who gets another name
		k.Active, k.Secret = true, []byte("other")
		b.Active, b.ExpiresAt = false, time.Time{}
		p.Document, p.UpdatedAt = "{ }", at.Add(time.Hour)
		m.Default, m.Tags = 10, nil
		v.Document = "{  }"
		g.Document, g.UpdatedAt = "{  }", at.Add(time.Hour)
		st := change(t, s, iam.Changes{Put: iam.Rows{
			Entities: []iam.Entity{e}, Members: []iam.Member{member}, Keys: []iam.AccessKey{k}, Bearers: []iam.BearerKey{b}, Inline: []iam.InlinePolicy{p},
			Managed: []iam.ManagedPolicy{m}, Versions: []iam.PolicyVersion{v}, Attachments: []iam.Attachment{attached},
			Guardrails: []iam.Guardrail{g},
		}})
		want := iam.Rows{
			Accounts: []iam.Account{account1}, Entities: []iam.Entity{group, e, bob, role}, Members: []iam.Member{member},
			Keys: []iam.AccessKey{k, rootKey}, Bearers: []iam.BearerKey{b, bearer2}, Inline: []iam.InlinePolicy{p, deny},
			Managed: []iam.ManagedPolicy{m}, Versions: []iam.PolicyVersion{v, v10}, Attachments: []iam.Attachment{attached, attached2},
			Guardrails: []iam.Guardrail{g, guardrail2},
		}
		if !reflect.DeepEqual(st.Rows, want) {
			t.Errorf("got  %+v\nwant %+v", st.Rows, want)
		}
	})

	t.Run("DeletesComeFirst", func(t *testing.T) {
		s := open(t)
		change(t, s, full)
		st := change(t, s, iam.Changes{
			Delete: iam.Rows{
				Entities: []iam.Entity{{ID: alice.ID}, {ID: "AIDANOSUCH"}}, Members: []iam.Member{member, {Group: group.ID, User: "AIDANOSUCH"}},
				Keys: []iam.AccessKey{{ID: aliceKey.ID}, {ID: "AKIANOSUCH"}}, Bearers: []iam.BearerKey{{ID: bearer.ID}, {ID: bearer2.ID}},
				Inline:  []iam.InlinePolicy{{Owner: alice.ID, Name: "allow"}, {Owner: alice.ID, Name: "deny"}},
				Managed: []iam.ManagedPolicy{{ID: managed.ID}}, Versions: []iam.PolicyVersion{{Policy: managed.ID, Number: 3}, {Policy: managed.ID, Number: 10}},
				Attachments: []iam.Attachment{attached}, Guardrails: []iam.Guardrail{{Account: account, Name: "a"}, {Account: account, Name: "nosuch"}},
			},
			Put: iam.Rows{Keys: []iam.AccessKey{aliceKey}},
		})
		want := iam.Rows{
			Accounts: []iam.Account{account1}, Entities: []iam.Entity{group, bob, role}, Keys: []iam.AccessKey{aliceKey, rootKey}, Attachments: []iam.Attachment{attached2},
			Guardrails: []iam.Guardrail{guardrail2},
		}
		if !reflect.DeepEqual(st.Rows, want) {
			t.Errorf("got  %+v\nwant %+v", st.Rows, want)
		}
	})

	t.Run("StaleChangesNothing", func(t *testing.T) {
		s := open(t)
		before := change(t, s, full)
		for _, revision := range []int64{before.Revision - 1, before.Revision + 1} {
			err := s.ChangePrincipals(t.Context(), revision, iam.Changes{Delete: iam.Rows{Keys: []iam.AccessKey{rootKey}}})
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
		err := s.ChangePrincipals(t.Context(), before.Revision, iam.Changes{Delete: iam.Rows{Keys: []iam.AccessKey{rootKey}}, Put: iam.Rows{Entities: []iam.Entity{other}}})
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
		if err := s.ChangePrincipals(t.Context(), before.Revision, iam.Changes{Put: iam.Rows{Bearers: []iam.BearerKey{other}}}); err == nil {
			t.Fatal("a second API key of the same alias was accepted")
		}
		if st := load(t, s); !reflect.DeepEqual(st, before) {
			t.Errorf("got  %+v\nwant %+v", st, before)
		}
	})

	t.Run("KeyUses", func(t *testing.T) {
		s := open(t)
		before := change(t, s, full)
		first := iam.KeyUse{Key: aliceKey.ID, Time: at, Service: "bedrock", Region: "us-east-1"}
		second := iam.KeyUse{Key: "AKIAGONE", Time: at, Service: "ce", Region: ""}
		later := iam.KeyUse{Key: aliceKey.ID, Time: at.Add(time.Hour), Service: "sts", Region: "eu-west-1"}
		for _, uses := range [][]iam.KeyUse{{first, second}, {later}, nil} {
			if err := s.PutKeyUses(t.Context(), uses); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.KeyUses(t.Context())
		if err != nil || len(got) != 2 || !slices.Contains(got, later) || !slices.Contains(got, second) {
			t.Errorf("%+v, %v", got, err)
		}
		if st := load(t, s); st.Revision != before.Revision {
			t.Errorf("the revision went from %d to %d", before.Revision, st.Revision)
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
				errs[i] = s.ChangePrincipals(t.Context(), revision, iam.Changes{Put: iam.Rows{Keys: []iam.AccessKey{k}}})
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
