package store_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"outcrop/audit"
	"outcrop/iam"
	"outcrop/store"
)

// Sealing anew is all or nothing: a head that another key sealed leaves the keys as they were.
func TestReseal(t *testing.T) {
	ctx := t.Context()
	s, err := store.Open(ctx, filepath.Join(t.TempDir(), "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sealer, err := iam.OpenSealer(filepath.Join(t.TempDir(), "key"), true)
	if err != nil {
		t.Fatal(err)
	}
	rows := iam.Rows{Accounts: []iam.Account{{ID: "000000000000", CreatedAt: time.UnixMilli(0)}}}
	for _, id := range []string{"AKIA1", "AKIA2"} {
		rows.Keys = append(rows.Keys, iam.AccessKey{ID: id, Account: "000000000000", Secret: sealer.Seal("of "+id, id), CreatedAt: time.UnixMilli(0)})
	}
	if err := s.ChangePrincipals(ctx, 0, iam.Changes{Put: rows}); err != nil {
		t.Fatal(err)
	}
	before, err := s.Principals(ctx)
	if err != nil {
		t.Fatal(err)
	}
	setHead := func(h audit.Head) {
		t.Helper()
		if err := s.AppendEvents(ctx, func(*audit.Head) ([]audit.Record, *audit.Head, error) { return nil, &h, nil }); err != nil {
			t.Fatal(err)
		}
	}
	setHead(audit.Head{First: 1, Seal: []byte("of nobody")})
	if err := s.Reseal(ctx, sealer); err == nil {
		t.Error("a head that nobody sealed is sealed now")
	}
	if after, err := s.Principals(ctx); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("what failed changed something: %+v, %v", after, err)
	}
	setHead(audit.Head{First: 1, Seal: sealer.Seal("1 0000000000000000000000000000000000000000000000000000000000000000 0 0000000000000000000000000000000000000000000000000000000000000000", "audit")})
	if err := s.Reseal(ctx, sealer); err != nil {
		t.Fatal(err)
	}
	after, err := s.Principals(ctx)
	if err != nil || after.Revision != before.Revision+1 {
		t.Errorf("revision %d, %v", after.Revision, err)
	}
	for i, k := range after.Keys {
		if secret, err := sealer.Open(k.Secret, k.ID); secret != "of "+k.ID || err != nil || reflect.DeepEqual(k.Secret, before.Keys[i].Secret) {
			t.Errorf("%s: %q, %v", k.ID, secret, err)
		}
	}
}
