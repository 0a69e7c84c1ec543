package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"outcrop/cost"
	"outcrop/ledger"
	"outcrop/profile"
)

// TestSplitBounds: callers who say something new on every call cost the rollups so many rows and no more, whatever is in
// memory, and what is charged is still all there.
func TestSplitBounds(t *testing.T) {
	for _, forget := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "outcrop.db")
		s := open(t, path)
		began := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		const batches, calls = 4, 25
		n := 0
		for b := range batches {
			if b == 2 { // another process goes on where this one stopped
				s = open(t, path)
			}
			s.BoundMetadata(2, 3)
			if forget {
				s.ForgetNumbers()
			}
			var entries []ledger.Entry
			for range calls {
				n++
				e := ledger.Entry{
					Intent: ledger.Intent{
						ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)), Time: began, Account: "000000000000", Principal: "p", ResourceARN: "r", Operation: "Converse",
						Metadata: []ledger.Tag{{Key: "request", Value: fmt.Sprint(n)}, {Key: "team", Value: []string{"a", "b"}[n%2]}, {Key: "zzz", Value: "late"}},
					},
					Settlement: ledger.Settlement{Status: ledger.Completed, Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: 10, Price: "p"}}},
				}
				e.Settlement.ID = e.Intent.ID
				entries = append(entries, e)
			}
			if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: ledger.Position(100 * b), To: ledger.Position(100 * (b + 1)), Entries: entries}); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyLedger(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int64{}
		for c, err := range s.Charges(t.Context(), cost.Query{Account: "000000000000", Start: began, End: began.Add(time.Hour), Split: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprint(c.Metadata)] += c.Nano
		}
		want := map[string]int64{
			"[{request 1} {team b}]": 10, "[{request 2} {team a}]": 10, "[{request 3} {team b}]": 10,
			"[{request (other)} {team a}]": 490, "[{request (other)} {team b}]": 480,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("forget %v: got %v, want %v", forget, got, want)
		}
	}
}

// TestTagStatuses: what was set stays, and is dated when it changes only.
func TestTagStatuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
	at := func(n int) time.Time { return time.Date(2026, 11, 24, n, 0, 0, 0, time.UTC) }
	for _, set := range [][]cost.TagStatus{
		{{Key: "b", Active: false, Changed: at(1)}, {Key: "a", Active: true, Changed: at(1)}},
		{{Key: "b", Active: false, Changed: at(2)}, {Key: "a", Active: false, Changed: at(2)}},
		{{Key: "a", Active: true, Changed: at(3)}},
	} {
		if err := s.SetTagStatuses(t.Context(), "1", set); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetTagStatuses(t.Context(), "2", []cost.TagStatus{{Key: "c", Changed: at(1)}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.TagStatuses(t.Context(), "1")
	want := []cost.TagStatus{{Key: "a", Active: true, Changed: at(3)}, {Key: "b", Active: false, Changed: at(1)}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got := cost.Inactive(got); !reflect.DeepEqual(got, map[string]bool{"b": true}) {
		t.Errorf("inactive are %v", got)
	}
}

// TestMigrateSplit: what was recorded before there were splits is split when the database is opened, by what the calls say.
func TestMigrateSplit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcrop.db")
	s := open(t, path)
	var entries []ledger.Entry
	for i := range 3000 {
		at := time.Date(2026, 11, 24, i%50, 0, 0, 0, time.UTC)
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), Time: at, Account: []string{"000000000000", "111111111111"}[i%2], Principal: fmt.Sprint("p", i%7),
				ResourceARN: fmt.Sprint("r", i%3), Operation: "Converse", Region: "us-east-1", Tags: []ledger.Tag{{Key: "Project", Value: fmt.Sprint(i % 2)}},
			},
			Settlement: ledger.Settlement{Status: ledger.Completed, Estimated: i%5 == 0, Charges: []ledger.Charge{
				{UsageType: "u", Quantity: 1, Nano: int64(i), Price: "p"}, {UsageType: "v", Quantity: 2, Unrated: true}, {UsageType: "u", Quantity: 3, Nano: 5, Price: "p"},
			}},
		}
		e.Settlement.ID = e.Intent.ID
		switch i % 4 {
		case 1:
			e.Metadata = []ledger.Tag{{Key: "a \"quoted\"\n雪", Value: "\u2028</b>\\"}, {Key: "empty", Value: ""}}
		case 2:
			e.Metadata = []ledger.Tag{{Key: "request", Value: fmt.Sprint(i)}} // 750 of one account
		case 3:
			e.Metadata = []ledger.Tag{{Key: "request", Value: fmt.Sprint(i)}, {Key: "team", Value: "x"}}
		}
		if i%100 == 0 {
			e.Charges = nil
		}
		entries = append(entries, e)
	}
	s.BoundMetadata(2, 500) // what was not folded then is now, where it is more than there may be
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 13); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Calls that come now find the parties that the migration made.
	again := entries[1]
	again.Intent.ID, again.Settlement.ID = uuid.UUID{1}, uuid.UUID{1}
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: 10, To: 20, Entries: []ledger.Entry{again}}); err != nil {
		t.Fatal(err)
	}
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for c, err := range s.Charges(t.Context(), cost.Query{Account: again.Account, Start: again.Intent.Time, End: again.Intent.Time.Add(time.Hour), Split: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(c.Metadata, again.Metadata) && c.Principal == again.Principal && c.Resource.ARN == again.ResourceARN && c.UsageType == "u" {
			rows++
		}
	}
	if rows != 1 {
		t.Errorf("%d rows are like the call's, want 1: parties are there twice", rows)
	}
}

// TestTagHistory: every change of a profile's tags is dated, and none goes back in time.
func TestTagHistory(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
	ps := s.Profiles()
	at := func(n int) time.Time { return time.Date(2026, 11, 24, n, 0, 0, 0, time.UTC) }
	p := &profile.Profile{Account: "000000000000", Region: "us-east-1", ID: "aaaaaaaaaaaa", CreatedAt: at(1), Tags: []profile.Tag{{Key: "Project", Value: "Alpha"}}}
	if _, _, err := ps.Insert(t.Context(), p, 10); err != nil {
		t.Fatal(err)
	}
	edit := func(now time.Time, tags ...profile.Tag) {
		t.Helper()
		if _, _, err := ps.EditTags(t.Context(), p.Account, p.Region, p.ID, now, func([]profile.Tag) ([]profile.Tag, error) { return tags, nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit(at(3), profile.Tag{Key: "Project", Value: "Beta"})
	edit(at(2)) // the clock was set back
	if _, err := ps.Delete(t.Context(), p.Account, p.Region, p.ID, at(5)); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/aaaaaaaaaaaa"
	alpha, beta := []ledger.Tag{{Key: "Project", Value: "Alpha"}}, []ledger.Tag{{Key: "Project", Value: "Beta"}}
	want := []cost.Tagged{
		{ARN: arn, Since: at(1), Tags: alpha}, {ARN: arn, Since: at(3), Tags: beta}, {ARN: arn, Since: at(3).Add(time.Microsecond), Tags: []ledger.Tag{}},
		{ARN: arn, Since: at(5), Deleted: true},
	}
	got, err := s.TagHistory(t.Context(), p.Account)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, %v\nwant %v", got, err, want)
	}
	for _, c := range []struct {
		at   time.Time
		want []ledger.Tag
	}{{at(0), alpha}, {at(1), alpha}, {at(2), alpha}, {at(3), beta}, {at(4), []ledger.Tag{}}, {at(6), []ledger.Tag{}}} {
		if tags := cost.AsOf(got, c.at)[arn]; !reflect.DeepEqual(tags, c.want) {
			t.Errorf("as of %v: %v, want %v", c.at, tags, c.want)
		}
	}
	if other, err := s.TagHistory(t.Context(), "111111111111"); err != nil || len(other) != 0 {
		t.Errorf("another account's history is %v, %v", other, err)
	}
}
