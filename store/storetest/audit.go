package storetest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"outcrop/audit"
)

// Audit is the specification of audit.Store. open returns an empty store, which it closes at the end of the test.
func Audit(t *testing.T, open func(*testing.T) audit.Store) {
	const account, other = "111122223333", "444455556666"
	at := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	record := func(seq int64, after time.Duration, account, region, name, user string) audit.Record {
		return audit.Record{
			Seq: seq, Time: at.Add(after), Account: account, Region: region, Event: []byte(`{"é":"` + name + `"}`), Hash: [32]byte{byte(seq), 31: 1},
			Keys: []audit.Key{{Attribute: audit.ByEventName, Value: name}, {Attribute: audit.ByUsername, Value: user}},
		}
	}
	records := []audit.Record{
		record(1, 0, account, "us-east-1", "CreateUser", "alice"),
		record(2, time.Second, account, "us-east-1", "DeleteUser", "Alice"),
		record(3, time.Second, account, "us-east-1", "CreateUser", "bob"),
		record(4, 2*time.Second, other, "us-east-1", "CreateUser", "alice"),
		record(5, 2*time.Second, account, "eu-west-1", "CreateUser", "alice"),
		record(6, time.Second, account, "us-east-1", "CreateUser", "alice"), // a clock was put back
		record(7, 3*time.Second, "", "", "Unknown", ""),
	}
	head := audit.Head{First: 1, Last: 7, Before: [32]byte{}, Hash: records[6].Hash, Seal: []byte{0, 255}}
	write := func(t *testing.T, s audit.Store) {
		t.Helper()
		err := s.AppendEvents(t.Context(), func(h *audit.Head) ([]audit.Record, *audit.Head, error) {
			if h != nil {
				t.Errorf("an empty store has the head %+v", h)
			}
			return records, &head, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	current := func(t *testing.T, s audit.Store) (h *audit.Head) {
		t.Helper()
		stop := errors.New("stop")
		err := s.AppendEvents(t.Context(), func(is *audit.Head) ([]audit.Record, *audit.Head, error) {
			h = is
			return nil, nil, stop
		})
		if !errors.Is(err, stop) {
			t.Fatalf("the error of link comes back as %v", err)
		}
		return h
	}
	found := func(t *testing.T, s audit.Store, q audit.Query) []int64 {
		t.Helper()
		if q.Limit == 0 {
			q.Limit = 10
		}
		rs, err := s.LookupEvents(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []int64
		for _, r := range rs {
			want := records[r.Seq-1]
			want.Keys = nil
			if !reflect.DeepEqual(r, want) {
				t.Errorf("got  %+v\nwant %+v", r, want)
			}
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}

	t.Run("Lookup", func(t *testing.T) {
		s := open(t)
		write(t, s)
		key := func(attribute, value string) *audit.Key { return &audit.Key{Attribute: attribute, Value: value} }
		for _, c := range []struct {
			name string
			q    audit.Query
			want []int64
		}{
			{"all of a Region, newest first", audit.Query{Account: account, Region: "us-east-1"}, []int64{6, 3, 2, 1}},
			{"another Region", audit.Query{Account: account, Region: "eu-west-1"}, []int64{5}},
			{"another account", audit.Query{Account: other, Region: "us-east-1"}, []int64{4}},
			{"nobody's", audit.Query{Account: "999999999999", Region: "us-east-1"}, nil},
			{"a name", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByEventName, "CreateUser")}, []int64{6, 3, 1}},
			{"a name in another case", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByEventName, "createuser")}, nil},
			{"a user", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByUsername, "alice")}, []int64{6, 1}},
			{"a value of another attribute", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByUsername, "CreateUser")}, nil},
			{"from", audit.Query{Account: account, Region: "us-east-1", From: at.Add(time.Second)}, []int64{6, 3, 2}},
			{"to", audit.Query{Account: account, Region: "us-east-1", To: at}, []int64{1}},
			{"from and to with a name", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByEventName, "CreateUser"), From: at.Add(time.Second), To: at.Add(time.Second)}, []int64{6, 3}},
			{"the first page", audit.Query{Account: account, Region: "us-east-1", Limit: 2}, []int64{6, 3}},
			{"the second page", audit.Query{Account: account, Region: "us-east-1", Limit: 2, After: &audit.Place{Time: at.Add(time.Second), Seq: 3}}, []int64{2, 1}},
			{"the second page of a name", audit.Query{Account: account, Region: "us-east-1", Key: key(audit.ByEventName, "CreateUser"), After: &audit.Place{Time: at.Add(time.Second), Seq: 6}}, []int64{3, 1}},
		} {
			if got := found(t, s, c.q); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		}
	})

	t.Run("TheHeadComesBack", func(t *testing.T) {
		s := open(t)
		if h := current(t, s); h != nil {
			t.Errorf("an empty store has the head %+v", h)
		}
		write(t, s)
		if h := current(t, s); !reflect.DeepEqual(h, &head) {
			t.Errorf("got %+v, want %+v", h, head)
		}
	})

	t.Run("FailureChangesNothing", func(t *testing.T) {
		s := open(t)
		write(t, s)
		err := s.AppendEvents(t.Context(), func(*audit.Head) ([]audit.Record, *audit.Head, error) {
			return []audit.Record{record(8, 0, account, "us-east-1", "X", "x"), record(7, 0, account, "us-east-1", "Y", "y")}, &audit.Head{First: 1, Last: 8}, nil
		})
		if err == nil {
			t.Fatal("two records with one number were taken")
		}
		if h := current(t, s); !reflect.DeepEqual(h, &head) {
			t.Errorf("the head is %+v", h)
		}
		if got := found(t, s, audit.Query{Account: account, Region: "us-east-1", Key: &audit.Key{Attribute: audit.ByEventName, Value: "X"}}); got != nil {
			t.Errorf("found %v", got)
		}
	})

	t.Run("Drop", func(t *testing.T) {
		s := open(t)
		write(t, s)
		kept := head
		kept.First, kept.Before = 4, records[2].Hash
		err := s.DropEvents(t.Context(), 5, func(h *audit.Head, oldest []audit.Record) (int, *audit.Head, error) {
			if !reflect.DeepEqual(h, &head) || len(oldest) != 5 || string(oldest[4].Event) != string(records[4].Event) {
				t.Errorf("asked with %+v and %d records", h, len(oldest))
			}
			for i := range oldest {
				oldest[i].Keys = records[i].Keys
			}
			return 3, &kept, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if h := current(t, s); !reflect.DeepEqual(h, &kept) {
			t.Errorf("the head is %+v", h)
		}
		if got := found(t, s, audit.Query{Account: account, Region: "us-east-1"}); !reflect.DeepEqual(got, []int64{6}) {
			t.Errorf("kept %v", got)
		}
		if got := found(t, s, audit.Query{Account: account, Region: "us-east-1", Key: &audit.Key{Attribute: audit.ByEventName, Value: "CreateUser"}}); !reflect.DeepEqual(got, []int64{6}) {
			t.Errorf("kept %v", got)
		}
		for _, choose := range []func(*audit.Head, []audit.Record) (int, *audit.Head, error){
			func(*audit.Head, []audit.Record) (int, *audit.Head, error) { return 0, nil, nil },
			func(*audit.Head, []audit.Record) (int, *audit.Head, error) { return 0, nil, errors.New("no") },
		} {
			if err := s.DropEvents(t.Context(), 5, choose); err != nil && !strings.Contains(err.Error(), "no") {
				t.Error(err)
			}
			if h := current(t, s); !reflect.DeepEqual(h, &kept) {
				t.Errorf("the head is %+v", h)
			}
		}
	})
}
