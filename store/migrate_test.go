package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"outcrop/converse"
	"outcrop/iam"
	"outcrop/ledger"
	"outcrop/store"
)

// databaseOf makes a database as migration version left it, with what the statements put into it.
func databaseOf(t *testing.T, version int64, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "outcrop.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=foreign_keys(ON)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.100s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMigrateLedger opens a database that the build before migration 5 made of oldCalls: testdata/ledger_0004.sql is what
// it wrote. Nothing of it may change, and what is applied afterwards is added to it.
func TestMigrateLedger(t *testing.T) {
	rows, err := os.ReadFile("testdata/ledger_0004.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := databaseOf(t, 4, string(rows))
	if s, err := store.OpenExisting(t.Context(), path); err == nil {
		s.Close()
		t.Fatal("OpenExisting opened it as it was")
	} else if !errors.Is(err, store.ErrNotReady) {
		t.Fatal(err)
	}

	s := open(t, path)
	check := func(want ...ledger.Entry) {
		t.Helper()
		if err := s.VerifyLedger(t.Context()); err != nil {
			t.Error(err)
		}
		var got []ledger.Entry
		for e, err := range s.Calls(t.Context(), "", time.Time{}, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, *e)
		}
		if len(got) != len(want) {
			t.Fatalf("there are %d calls, want %d", len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("call %d is\n%+v, want\n%+v", i, got[i], want[i])
			}
		}
	}
	calls := oldCalls()
	check(calls...)
	if at, err := s.Position(t.Context(), "node", "epoch"); err != nil || at != 20 {
		t.Errorf("the position is %d, %v, want 20", at, err)
	}

	// Known calls are known, and a new one, which may have metadata, finds what it has in common with them.
	more := calls[0]
	more.Intent.ID, more.Settlement.ID = uuid.UUID{99}, uuid.UUID{99}
	more.Metadata = []ledger.Tag{{Key: "team", Value: "a"}}
	again := append(slices.Clone(calls), more)
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "node", Epoch: "another", To: 5, Entries: again}); err != nil {
		t.Fatal(err)
	}
	check(slices.Insert(calls, 1, more)...)
}

// oldCalls is in the order in which they began. It changes only with what was captured of it.
func oldCalls() []ledger.Entry {
	at := time.Date(2026, 11, 22, 23, 59, 59, 123456000, time.UTC)
	call := func(n byte, account string, change func(*ledger.Entry)) ledger.Entry {
		id := uuid.UUID{1, 2, 3, 15: n}
		began := at.Add(time.Duration(n) * 20 * time.Minute)
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: id, Time: began, Account: account, Principal: "arn:aws:iam::" + account + ":user/alice", AccessKeyID: "AKIAIOSFODNN7EXAMPLE",
				Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abcdefghijkl",
				ResourceName: "チーム", ModelID: "anthropic.claude-3-haiku-20240307-v1:0", Scope: "region",
				Tags:                 []ledger.Tag{{Key: "Cost\"Center", Value: "1, [2]"}, {Key: "Project", Value: "雪"}},
				EstimatedInputTokens: 250, MaxOutputTokens: 1024,
			},
			Settlement: ledger.Settlement{
				ID: id, Time: began.Add(1500 * time.Millisecond), Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: "gpu-a", Served: "us-east-1",
				Attempts: 1, StopReason: converse.StopEndTurn, Latency: 1500 * time.Millisecond, FirstEvent: 100 * time.Millisecond,
				Usage: converse.Usage{InputTokens: 250, OutputTokens: 100, CacheReadInputTokens: 7, CacheWriteInputTokens: 5, CacheWrite1hInputTokens: 3},
				Charges: []ledger.Charge{
					{UsageType: "USE1-Claude3Haiku-input-tokens", Quantity: 250, Nano: 62500, Price: "aws@2026-10-01"},
					{UsageType: "USE1-Claude3Haiku-output-tokens", Quantity: 100, Nano: 125000, Price: "aws@2026-10-01"},
				},
			},
		}
		change(&e)
		return e
	}
	const first, second = "000000000000", "111111111111"
	return []ledger.Entry{
		call(0, first, func(*ledger.Entry) {}),
		call(1, first, func(e *ledger.Entry) {
			e.Operation, e.Tags, e.AccessKeyID, e.Attempts = "ConverseStream", nil, "AKIAI44QH8DHBEXAMPLE", 2
		}),
		call(2, first, func(e *ledger.Entry) { // no price was known for one of two lines of a usage type
			e.Charges[1] = ledger.Charge{UsageType: e.Charges[0].UsageType, Quantity: 9, Unrated: true}
			e.Estimated, e.Reason, e.StopReason = true, "the upstream reported no usage", "max_tokens"
		}),
		call(3, first, func(e *ledger.Entry) { // of another price
			e.Charges = append(e.Charges[1:], ledger.Charge{UsageType: e.Charges[0].UsageType, Quantity: 250, Nano: 1 << 60, Price: "aws@2026-11-01"})
		}),
		call(4, first, func(e *ledger.Entry) {
			e.Status, e.Reason, e.Charges, e.Usage, e.Upstream, e.Served, e.StopReason, e.FirstEvent = ledger.Failed, "it said \"no\"", nil, converse.Usage{}, "", "", "", 0
		}),
		call(1, second, func(e *ledger.Entry) {
			e.Intent.ID[0], e.Settlement.ID[0] = 9, 9
			e.Status, e.Estimated, e.Reason = ledger.Recovered, true, "the process ended before the call did"
			e.Region, e.Scope, e.Served = "eu-west-1", "eu", "eu-central-1"
		}),
		call(5, second, func(e *ledger.Entry) {
			e.Status, e.Principal = ledger.Cancelled, "arn:aws:iam::"+second+":root"
			e.ResourceARN, e.ResourceName, e.ModelID, e.Tags = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "", "amazon.nova-lite-v1:0", nil
		}),
	}
}

// TestMigrateIAM opens a database from before migration 10. Who had keys and policies has them still.
func TestMigrateIAM(t *testing.T) {
	path := databaseOf(t, 9,
		`INSERT INTO iam_account VALUES ('123456789012', 1000)`,
		`INSERT INTO iam_user VALUES ('123456789012', 'Alice', 'AIDA1', 2000)`,
		`INSERT INTO iam_access_key VALUES ('AKIAROOT', '123456789012', '', x'00ff', 1, 3000), ('AKIAALICE', '123456789012', 'Alice', x'01', 0, 4000), ('AKIAGONE', '123456789012', 'gone', x'01', 1, 4000)`,
		`INSERT INTO iam_user_policy VALUES ('123456789012', 'Alice', 'p', '{}', 5000)`,
		`INSERT INTO iam_bearer_key VALUES ('ACCA1', 'Alice-at-123456789012', '123456789012', 'Alice', x'02', 1, 6000, 7000), ('ACCA2', 'Alice+1-at-123456789012', '123456789012', 'Alice', x'03', 1, 6000, NULL)`,
		`INSERT INTO revision VALUES ('iam', 5)`,
	)
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	const account = "123456789012"
	want := &iam.State{Revision: 5, Rows: iam.Rows{
		Accounts: []iam.Account{{ID: account, CreatedAt: at(1)}},
		Entities: []iam.Entity{{Account: account, Kind: iam.UserKind, Name: "Alice", Path: "/", ID: "AIDA1", CreatedAt: at(2)}},
		Keys: []iam.AccessKey{
			{ID: "AKIAALICE", Account: account, Owner: "AIDA1", Secret: []byte{1}, CreatedAt: at(4)},
			{ID: "AKIAROOT", Account: account, Secret: []byte{0, 255}, Active: true, CreatedAt: at(3)},
		},
		Bearers: []iam.BearerKey{
			{ID: "ACCA1", Alias: "Alice-at-" + account, Account: account, Owner: "AIDA1", Hash: []byte{2}, Active: true, CreatedAt: at(6), ExpiresAt: at(7)},
			{ID: "ACCA2", Alias: "Alice+1-at-" + account, Account: account, Owner: "AIDA1", Hash: []byte{3}, Active: true, CreatedAt: at(6)},
		},
		Inline: []iam.InlinePolicy{{Owner: "AIDA1", Name: "p", Document: "{}", UpdatedAt: at(5)}},
	}}
	got, err := open(t, path).Principals(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}
