package audit_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/store"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

var began = time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.UTC)

// rig is a real store with its key, and a clock.
type rig struct {
	t      *testing.T
	path   string
	store  *store.Store
	sealer *iam.Sealer
	now    atomic.Pointer[time.Time]
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, path: filepath.Join(dir, "outcrop.db")}
	r.now.Store(&began)
	var err error
	if r.store, err = store.Open(t.Context(), r.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	if r.sealer, err = iam.OpenSealer(filepath.Join(dir, "key"), true); err != nil {
		t.Fatal(err)
	}
	return r
}

// copy is a rig with a copy of r's database, which is closed.
func (r *rig) copy(t *testing.T) *rig {
	t.Helper()
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	c := &rig{t: t, path: filepath.Join(t.TempDir(), "outcrop.db"), sealer: r.sealer}
	c.now.Store(r.now.Load())
	if err := os.WriteFile(c.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.store, err = store.OpenExisting(t.Context(), c.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.store.Close() })
	return c
}

func (r *rig) pass(d time.Duration) { r.now.Store(new(r.now.Load().Add(d))) }

func (r *rig) config() audit.Config {
	return audit.Config{Store: r.store, Sealer: r.sealer, Clock: func() time.Time { return *r.now.Load() }, Logger: slog.New(slog.DiscardHandler)}
}

func (r *rig) open(cfg audit.Config) *audit.Log {
	r.t.Helper()
	l, err := audit.Open(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func event(name string) *audit.Event {
	return &audit.Event{
		UserIdentity: audit.Identity{Type: "IAMUser", PrincipalID: "AIDAALICE", ARN: "arn:aws:iam::" + account + ":user/alice", AccountID: account, AccessKeyID: "AKIAALICE", UserName: "alice"},
		Source:       "iam.amazonaws.com", Name: name, Region: region, SourceIP: "203.0.113.7", UserAgent: "test",
		RequestID: "r-" + name, RecipientAccountID: account,
		Resources: []audit.Resource{{ARN: "arn:aws:iam::" + account + ":user/team/bob", AccountID: account, Type: "AWS::IAM::User"}},
	}
}

// fill records n events, a second apart: names are e1, e2...
func (r *rig) fill(n int) {
	r.t.Helper()
	l := r.open(r.config())
	for i := range n {
		if err := l.Record(r.t.Context(), event(fmt.Sprint("e", i+1)), audit.Plain); err != nil {
			r.t.Fatal(err)
		}
		r.pass(time.Second)
	}
	closeLog(r.t, l)
}

func (r *rig) verify(known *audit.Head) error {
	return r.store.ReadEvents(r.t.Context(), func(t *audit.Trail) error { return audit.Verify(t, r.sealer, known) })
}

func (r *rig) head() audit.Head {
	r.t.Helper()
	var h audit.Head
	if err := r.store.ReadEvents(r.t.Context(), func(t *audit.Trail) error { h = *t.Head; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) count() (n int64) {
	r.t.Helper()
	err := r.store.ReadEvents(r.t.Context(), func(t *audit.Trail) error {
		for _, err := range t.Records {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// names are those of the recorded events, in order.
func (r *rig) names() []string {
	r.t.Helper()
	var names []string
	err := r.store.ReadEvents(r.t.Context(), func(t *audit.Trail) error {
		for rec, err := range t.Records {
			if err != nil {
				return err
			}
			var e struct {
				EventName string `json:"eventName"`
			}
			if err := json.Unmarshal(rec.Event, &e); err != nil {
				return err
			}
			names = append(names, e.EventName)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// TestEvent holds one event against the form that CloudTrail documents:
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
func TestEvent(t *testing.T) {
	r := newRig(t)
	l := r.open(r.config())
	e := event("CreateUser")
	e.RequestParameters, e.ResponseElements = []byte(`{"userName":"bob"}`), []byte(`{"user":{"userName":"bob"}}`)
	if err := l.Record(t.Context(), e, audit.Durable); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	found, err := r.store.LookupEvents(t.Context(), audit.Query{Account: account, Region: region, Limit: 10})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d records, %v", len(found), err)
	}
	var got map[string]any
	if err := json.Unmarshal(found[0].Event, &got); err != nil {
		t.Fatal(err)
	}
	id, _ := got["eventID"].(string)
	if len(id) != 36 {
		t.Errorf("eventID %q", id)
	}
	delete(got, "eventID")
	want := `{"awsRegion":"us-east-1","eventCategory":"Management","eventName":"CreateUser","eventSource":"iam.amazonaws.com","eventTime":"2026-01-02T15:04:05Z",` +
		`"eventType":"AwsApiCall","eventVersion":"1.11","managementEvent":true,"readOnly":false,"recipientAccountId":"111122223333","requestID":"r-CreateUser",` +
		`"requestParameters":{"userName":"bob"},"resources":[{"ARN":"arn:aws:iam::111122223333:user/team/bob","accountId":"111122223333","type":"AWS::IAM::User"}],` +
		`"responseElements":{"user":{"userName":"bob"}},"sourceIPAddress":"203.0.113.7","userAgent":"test",` +
		`"userIdentity":{"accessKeyId":"AKIAALICE","accountId":"111122223333","arn":"arn:aws:iam::111122223333:user/alice","principalId":"AIDAALICE","type":"IAMUser","userName":"alice"}}`
	if text, _ := json.Marshal(got); string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		caller iam.Caller
		want   string // the forms of https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
		name   string
	}{
		{iam.Caller{Account: account, ARN: "arn:aws:iam::111122223333:root", ID: account, Root: true, AccessKeyID: "AKIAROOT"},
			`{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"AKIAROOT"}`, "root"},
		{iam.Caller{Account: account, ARN: "arn:aws:iam::111122223333:user/team/alice", ID: "AIDA1", UserName: "alice", AccessKeyID: "AKIA1"},
			`{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::111122223333:user/team/alice","accountId":"111122223333","accessKeyId":"AKIA1","userName":"alice"}`, "alice"},
		{iam.Caller{Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/ci/build-7", ID: "AROA1:build-7", AccessKeyID: "ASIA1"},
			`{"type":"AssumedRole","principalId":"AROA1:build-7","arn":"arn:aws:sts::111122223333:assumed-role/ci/build-7","accountId":"111122223333","accessKeyId":"ASIA1",` +
				`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA1","arn":"arn:aws:iam::111122223333:role/ci","accountId":"111122223333","userName":"ci"}}}`, "build-7"},
		{iam.Caller{Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/ci/build-7", ID: "AROA1:build-7", AccessKeyID: "ASIA1", Role: "arn:aws:iam::111122223333:role/team/ci", Issued: time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC), SourceIdentity: "alice"},
			`{"type":"AssumedRole","principalId":"AROA1:build-7","arn":"arn:aws:sts::111122223333:assumed-role/ci/build-7","accountId":"111122223333","accessKeyId":"ASIA1",` +
				`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA1","arn":"arn:aws:iam::111122223333:role/team/ci","accountId":"111122223333","userName":"ci"},` +
				`"attributes":{"creationDate":"2026-11-23T11:35:12Z","mfaAuthenticated":"false"},"sourceIdentity":"alice"}}`, "build-7"},
		{iam.Caller{Account: account, Provider: "arn:aws:iam::111122223333:oidc-provider/a.example", UserName: "repo:x"},
			`{"type":"WebIdentityUser","principalId":"arn:aws:iam::111122223333:oidc-provider/a.example:repo:x","userName":"repo:x","identityProvider":"arn:aws:iam::111122223333:oidc-provider/a.example"}`, "repo:x"},
		{iam.Caller{Account: account, AccessKeyID: "AKIA1"}, `{"type":"Unknown","accountId":"111122223333","accessKeyId":"AKIA1"}`, ""},
		{iam.Caller{}, `{"type":"Unknown"}`, ""},
	} {
		id := audit.IdentityOf(&c.caller)
		var got, want any
		text, _ := json.Marshal(id)
		_ = json.Unmarshal([]byte(c.want), &want)
		_ = json.Unmarshal(text, &got)
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
		if got := (&audit.Event{UserIdentity: id}).UserName(); got != c.name {
			t.Errorf("%s is looked up as %q, want %q", c.caller.ARN, got, c.name)
		}
	}
}

// Bounds are CloudTrail's: text is cut at 1 KB, elements above 100 KB are left out.
func TestBounds(t *testing.T) {
	r := newRig(t)
	l := r.open(r.config())
	e := event("Large")
	e.UserAgent, e.ErrorMessage = strings.Repeat("é", 1000), "\xff"+strings.Repeat("m", 5000)
	e.RequestParameters = []byte(`{"a":"` + strings.Repeat("x", 100<<10) + `"}`)
	e.ResponseElements = []byte(`{"a":"` + strings.Repeat("x", 99<<10) + `"}`)
	e.Resources = slices.Repeat(e.Resources, 1000)
	if err := l.Record(t.Context(), e, audit.Durable); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	found, err := r.store.LookupEvents(t.Context(), audit.Query{Account: account, Region: region, Limit: 1})
	if err != nil || len(found) != 1 {
		t.Fatal(err)
	}
	var got struct {
		UserAgent, ErrorMessage             string
		RequestParameters, ResponseElements any
		AdditionalEventData                 struct{ Omitted []string }
		Resources                           []any
	}
	if err := json.Unmarshal(found[0].Event, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.UserAgent) != 1024 || len(got.ErrorMessage) > 1030 || got.RequestParameters != nil || got.ResponseElements == nil ||
		!slices.Equal(got.AdditionalEventData.Omitted, []string{"requestParameters"}) || len(got.Resources) > 50 {
		t.Errorf("%d %d %v %v %d", len(got.UserAgent), len(got.ErrorMessage), got.RequestParameters, got.AdditionalEventData, len(got.Resources))
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

// TestTamper changes the database as somebody could who has it but not the key, and who knows how the chain is made.
func TestTamper(t *testing.T) {
	from := newRig(t)
	from.fill(205) // more than are read at once
	if err := from.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, sql string
		want      string
	}{
		{"nothing", `SELECT 1`, ""},
		{"an event is altered", `UPDATE audit_record SET event = replace(event, 'alice', 'mallory') WHERE seq = 7`, "audit record 7 is not what was recorded"},
		{"one byte is", `UPDATE audit_record SET event = event || ' ' WHERE seq = 203`, "audit record 203 is not what was recorded"},
		{"a hash is", `UPDATE audit_record SET hash = zeroblob(32) WHERE seq = 1`, "audit record 1 is not what was recorded"},
		{"one in the middle is removed", `DELETE FROM audit_record WHERE seq = 100`, "audit record 100 is missing"},
		{"and those behind move up", `DELETE FROM audit_record WHERE seq = 100; UPDATE audit_record SET seq = seq - 1 WHERE seq > 100`, "audit record 100 is not what was recorded"},
		{"the first is removed", `DELETE FROM audit_record WHERE seq = 1`, "audit record 1 is missing"},
		{"the last is removed", `DELETE FROM audit_record WHERE seq = 205`, "audit record 205 is missing"},
		{"the tail is cut, and the head with it", `DELETE FROM audit_record WHERE seq > 200; UPDATE audit_head SET last = 200, hash = (SELECT hash FROM audit_record WHERE seq = 200)`, "not the one that was sealed"},
		{"the beginning is cut, as if for its age", `UPDATE audit_head SET first = 11, before = (SELECT hash FROM audit_record WHERE seq = 10); DELETE FROM audit_record WHERE seq <= 10`, "not the one that was sealed"},
		{"two are swapped", `UPDATE audit_record SET seq = 0 WHERE seq = 5; UPDATE audit_record SET seq = 5 WHERE seq = 6; UPDATE audit_record SET seq = 6 WHERE seq = 0`, "audit record 5 is not what was recorded"},
		{"one is added", `INSERT INTO audit_record SELECT 206, time, account, region, event, hash FROM audit_record WHERE seq = 205`, "audit record 206 is not what was recorded"},
		{"one is added before", `INSERT INTO audit_record SELECT -3, time, account, region, event, hash FROM audit_record WHERE seq = 1`, "audit record 1 is missing"},
		{"one is filed elsewhere", `UPDATE audit_record SET account = '999999999999' WHERE seq = 9`, "audit record 9 is filed under another"},
		{"at another time", `UPDATE audit_record SET time = time + 86400 WHERE seq = 9`, "audit record 9 is filed under another"},
		{"one is not found any more", `DELETE FROM audit_key WHERE seq = 3 AND attribute = 'Username'`, "audit record 3 is not found by all"},
		{"one is found by what is not in it", `INSERT INTO audit_key SELECT account, region, attribute, 'mallory', time, seq FROM audit_key WHERE seq = 4 AND attribute = 'Username'`, "found by"},
		{"the head is removed", `DELETE FROM audit_head`, "there is no audit record"},
		{"everything is", `DELETE FROM audit_head; DELETE FROM audit_key; DELETE FROM audit_record`, "there is no audit record"},
		{"a time is none", `UPDATE audit_record SET time = 'soon' WHERE seq = 9`, "audit record 9 is filed under another"},
		{"the head has no numbers", `UPDATE audit_head SET last = 'all', hash = x'00'`, "not the one that was sealed"},
		{"a number is beyond all", `INSERT INTO audit_record SELECT 9223372036854775807, time, account, region, event, hash FROM audit_record WHERE seq = 205`, "audit record 206 is missing"},
		{"an event is none", `UPDATE audit_record SET event = x'ff00fe' WHERE seq = 9`, "audit record 9 is not what was recorded"},
		{"the seal is altered", `UPDATE audit_head SET seal = zeroblob(80)`, "not the one that was sealed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := from.copy(t)
			db, err := sql.Open("sqlite", r.path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), c.sql); err != nil {
				t.Fatal(err)
			}
			err = r.verify(nil)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}

			// What goes on after it hides nothing.
			l := r.open(r.config())
			_ = l.Record(t.Context(), event("after"), audit.Plain)
			_ = l.Close(t.Context())
			broken := r.verify(nil)
			if broken == nil {
				if !strings.Contains(c.name, "everything") {
					t.Error("the next record hides it")
				}
				return
			}

			// A new chain tells of it, and all that was found is kept.
			was := r.count()
			var aside strings.Builder
			kept := false
			said, head, err := audit.Restart(t.Context(), r.store, r.sealer, began, event("restart"), "aside.jsonl", &aside, func() error { kept = true; return nil })
			if err != nil || !kept {
				t.Fatal(err, kept)
			}
			sum := sha256.Sum256([]byte(aside.String()))
			if said != (audit.Restarted{Broken: broken.Error(), File: "aside.jsonl", SHA256: hex.EncodeToString(sum[:]), Records: was}) || head.Before != sum {
				t.Errorf("%+v of %d records, whose digest is %x", said, was, sum)
			}
			if lines := int64(strings.Count(aside.String(), "\n")); lines != was && lines != was+1 { // with a head
				t.Errorf("%d lines of %d records", lines, was)
			}
			if head.First <= 200 { // all have numbers of their own
				t.Errorf("goes on with %d", head.First)
			}
			l = r.open(r.config())
			if err := l.Record(t.Context(), event("after"), audit.Durable); err != nil {
				t.Error(err)
			}
			closeLog(t, l)
			if err := r.verify(head); err != nil {
				t.Error(err)
			}
			if got := r.names(); !slices.Equal(got, []string{"restart", "after"}) {
				t.Errorf("recorded %v", got)
			}
			found, err := r.store.LookupEvents(t.Context(), audit.Query{Account: account, Region: region, Key: &audit.Key{Attribute: audit.ByEventName, Value: "restart"}, Limit: 9})
			if err != nil || len(found) != 1 || !strings.Contains(string(found[0].Event), `"requestParameters":{"broken":"`) {
				t.Errorf("found %d, %v", len(found), err)
			}
			if _, _, err := audit.Restart(t.Context(), r.store, r.sealer, began, event("restart"), "", &aside, func() error { return nil }); !errors.Is(err, audit.ErrSound) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestRewritten writes the chain anew from an altered record on, as package audit would: only the sealed head, or one that
// was noted, tells.
func TestRewritten(t *testing.T) {
	r := newRig(t)
	r.fill(3)
	noted := r.head()

	other := newRig(t)
	other.sealer = r.sealer // who has the key too
	other.fill(2)
	l := other.open(other.config())
	e := event("e3")
	e.UserIdentity.UserName = "mallory"
	if err := l.Record(t.Context(), e, audit.Durable); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if err := other.verify(nil); err != nil {
		t.Fatal(err)
	}
	var tampered *audit.Tampered
	if err := other.verify(&noted); !errors.As(err, &tampered) || tampered.Seq != 3 {
		t.Errorf("against the noted head: %v", err)
	}
	if err := r.verify(&noted); err != nil {
		t.Error(err)
	}
	// A database that was put back to an earlier state.
	short := newRig(t)
	short.sealer = r.sealer
	short.fill(2)
	if err := short.verify(&noted); err == nil {
		t.Error("a record that ends before the noted head passes")
	}
	if back, err := audit.ParseNoted(noted.Noted()); err != nil || back.Last != noted.Last || back.Hash != noted.Hash {
		t.Errorf("%v, %v", back, err)
	}
	for _, s := range []string{"", "3", "3:", "x:00", "-1:" + strings.Repeat("00", 32), "3:" + strings.Repeat("0", 63)} {
		if _, err := audit.ParseNoted(s); err == nil {
			t.Errorf("%q is a head", s)
		}
	}
	// Another key did not seal it.
	r.sealer = newRig(t).sealer
	if err := r.verify(nil); err == nil {
		t.Error("a head passes that another key sealed")
	}
}

func TestRetention(t *testing.T) {
	r := newRig(t)
	r.fill(603) // a second apart, and more than are dropped at once
	noted := r.head()
	r.pass(time.Hour - 3*time.Second) // the last three are kept
	r.drop(nil)
	if got, want := r.names(), []string{"e601", "e602", "e603"}; !slices.Equal(got, want) {
		t.Fatalf("kept %v, want %v", got, want)
	}
	if err := r.verify(&noted); err != nil {
		t.Error(err)
	}
	if h := r.head(); h.First != 601 || h.Last != 603 {
		t.Errorf("the record is from %d to %d", h.First, h.Last)
	}
	r.pass(24 * time.Hour)
	r.drop(nil)
	if got := r.names(); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
	r.fill(2)
	if err := r.verify(&noted); err != nil {
		t.Error(err)
	}
	if h := r.head(); h.First != 604 || h.Last != 605 {
		t.Errorf("the record is from %d to %d", h.First, h.Last)
	}
}

// However much is recorded meanwhile, all that is old is dropped.
func TestRetentionOfBusyLog(t *testing.T) {
	r := newRig(t)
	r.fill(1203)
	r.pass(24 * time.Hour)
	n := 0
	r.drop(func(l *audit.Log) {
		n++
		if err := l.Record(t.Context(), event("new"), audit.Plain); err != nil {
			t.Error(err)
		}
	})
	if h := r.head(); h.First != 1204 || h.Last != 1203+int64(n) {
		t.Errorf("the record is from %d to %d, of which %d are new", h.First, h.Last, n)
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

// dropping is a store that tells when nothing is left to drop.
type dropping struct {
	*store.Store
	before func()
	done   func()
}

func (d *dropping) DropEvents(ctx context.Context, limit int, choose func(*audit.Head, []audit.Record) (int, *audit.Head, error)) error {
	d.before()
	all := false
	err := d.Store.DropEvents(ctx, limit, func(h *audit.Head, oldest []audit.Record) (int, *audit.Head, error) {
		n, kept, err := choose(h, oldest)
		all = n == limit
		return n, kept, err
	})
	if !all {
		d.done()
	}
	return err
}

// drop opens a log that keeps records for an hour until it has dropped what is older. What is meanwhile comes each time before
// it drops.
func (r *rig) drop(meanwhile func(*audit.Log)) {
	r.t.Helper()
	opened, done := make(chan *audit.Log, 1), make(chan struct{})
	var l *audit.Log // the writer's
	cfg := r.config()
	cfg.Retention = time.Hour
	cfg.Store = &dropping{r.store, func() {
		if l == nil {
			l = <-opened
		}
		if meanwhile != nil {
			meanwhile(l)
		}
	}, sync.OnceFunc(func() { close(done) })}
	log := r.open(cfg)
	opened <- log
	<-done
	closeLog(r.t, log)
}

// What was altered is not dropped for its age before anybody could see it.
func TestRetentionKeepsEvidence(t *testing.T) {
	r := newRig(t)
	r.fill(5)
	db, err := sql.Open("sqlite", r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE audit_record SET event = replace(event, 'alice', 'mallory') WHERE seq = 2`); err != nil {
		t.Fatal(err)
	}
	r.pass(24 * time.Hour)
	r.drop(nil)
	if err := r.verify(nil); err == nil || !strings.Contains(err.Error(), "audit record 2 ") {
		t.Errorf("got %v", err)
	}
}

// flaky is a store that fails: before it does anything, or after.
type flaky struct {
	*store.Store
	before, after atomic.Int64 // how many times
}

func (f *flaky) AppendEvents(ctx context.Context, link func(*audit.Head) ([]audit.Record, *audit.Head, error)) error {
	if f.before.Add(-1) >= 0 {
		return errors.New("the disk is gone")
	}
	err := f.Store.AppendEvents(ctx, link)
	if f.after.Add(-1) >= 0 {
		return errors.Join(errors.New("the answer is lost"), err)
	}
	return err
}

// Each attempt fails twice: not done, and done though the answer was lost. Nothing is lost, and nothing is there twice.
func TestStoreFails(t *testing.T) {
	for name, arm := range map[string]func(*flaky){
		"not done":           func(f *flaky) { f.before.Store(2) },
		"done, but not told": func(f *flaky) { f.after.Store(2) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f := &flaky{Store: r.store}
			cfg := r.config()
			cfg.Store = f
			l := r.open(cfg)
			if err := l.Ready(); err != nil {
				t.Fatal(err)
			}
			arm(f)
			if err := l.Record(t.Context(), event("e1"), audit.Durable); err != nil {
				t.Fatal(err)
			}
			if err := l.Record(t.Context(), event("e2"), audit.Durable); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			if got, want := r.names(), []string{"e1", "e2"}; !slices.Equal(got, want) {
				t.Errorf("recorded %v, want %v", got, want)
			}
			if err := r.verify(nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// While nothing can be recorded nothing is promised; what waited is recorded when it can be again.
func TestStoreDown(t *testing.T) {
	r := newRig(t)
	f := &flaky{Store: r.store}
	cfg := r.config()
	cfg.Store = f
	l := r.open(cfg)
	f.before.Store(1 << 40)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Record(ctx, event("e1"), audit.Durable) }()
	for l.Ready() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := l.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready is %v", err)
	}
	cancel() // the caller goes away
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Record is %v", err)
	}
	f.before.Store(0)
	for l.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	closeLog(t, l)
	if got, want := r.names(), []string{"e1"}; !slices.Equal(got, want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
	if err := l.Record(t.Context(), event("late"), audit.Durable); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// Close says what it could not write.
func TestCloseFails(t *testing.T) {
	r := newRig(t)
	f := &flaky{Store: r.store}
	cfg := r.config()
	cfg.Store = f
	l := r.open(cfg)
	f.before.Store(1 << 40)
	if err := l.Record(t.Context(), event("e1"), audit.Plain); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 audit events") {
		t.Errorf("Close is %v", err)
	}
}

// Two processes record into one database: a server, and a command beside it.
func TestTwoLogs(t *testing.T) {
	r := newRig(t)
	beside, err := store.OpenExisting(t.Context(), r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	cfg := r.config()
	cfg.Store = beside
	logs := []*audit.Log{r.open(r.config()), r.open(cfg)}
	const each = 20
	var wg sync.WaitGroup
	for i, l := range logs {
		for j := range 4 {
			wg.Go(func() {
				for k := range each {
					if err := l.Record(t.Context(), event(fmt.Sprint(i, " ", j, " ", k)), audit.Durable); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, l := range logs {
		closeLog(t, l)
	}
	names := r.names()
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != 8*each {
		t.Errorf("%d events are recorded, want %d", n, 8*each)
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

// Who knocks often is recorded only so often, hides no others, and how many were left out is told.
func TestStrangers(t *testing.T) {
	r := newRig(t)
	l := r.open(r.config())
	knock := func(ip string, times int) {
		for range times {
			e := event("knock " + ip)
			e.UserIdentity, e.RecipientAccountID, e.SourceIP, e.Resources = audit.Identity{Type: "Unknown"}, "", ip, nil
			if err := l.Record(t.Context(), e, audit.Stranger); err != nil {
				t.Fatal(err)
			}
		}
	}
	knock("198.51.100.1", 1000)
	knock("198.51.100.2", 3)
	for i := range 700 {
		knock(fmt.Sprintf("192.0.%d.%d", i/256, i%256), 1)
	}
	r.pass(time.Minute)
	knock("198.51.100.1", 1)
	closeLog(t, l)
	counts := map[string]int{}
	var left int64
	err := r.store.ReadEvents(t.Context(), func(tr *audit.Trail) error {
		for rec, err := range tr.Records {
			if err != nil {
				return err
			}
			var e struct {
				SourceIPAddress     string
				AdditionalEventData struct{ NotRecorded int64 }
			}
			if err := json.Unmarshal(rec.Event, &e); err != nil {
				return err
			}
			counts[e.SourceIPAddress]++
			left += e.AdditionalEventData.NotRecorded
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, n := range counts {
		all += n
	}
	if counts["198.51.100.1"] != 21 || counts["198.51.100.2"] != 3 || all != 601 || int64(all)+left != 1704 {
		t.Errorf("recorded %d and %d, in all %d; %d were left out", counts["198.51.100.1"], counts["198.51.100.2"], all, left)
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

// TestStrangersOfAnHour: who knocks all day leaves little behind.
func TestStrangersOfAnHour(t *testing.T) {
	r := newRig(t)
	r.now.Store(new(began.Truncate(time.Hour)))
	l := r.open(r.config())
	gone, leave := context.WithCancel(t.Context())
	leave() // nobody waits for the disk; what is recorded is recorded all the same
	knock := func(ip string) {
		e := event("knock")
		e.UserIdentity, e.RecipientAccountID, e.SourceIP, e.Resources = audit.Identity{Type: "Unknown"}, "", ip, nil
		if err := l.Record(gone, e, audit.Stranger); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	const hours = 2
	for range hours * 60 {
		for i := range 50 { // addresses
			knock(fmt.Sprint("192.0.2.", i))
		}
		r.pass(time.Minute)
	}
	for range 70 * 6 { // minutes
		knock("203.0.113.7")
		r.pass(10 * time.Second)
	}
	closeLog(t, l)
	if got, want := r.head().Last, int64(hours*2000+100+60); got != want {
		t.Errorf("recorded %d, want %d", got, want)
	}
}

// Strangers of whom nothing is recorded are counted, in the next stranger's event or in one of their own: then none is lost, and
// that one comes when the log ends at the latest.
func TestOmit(t *testing.T) {
	r := newRig(t)
	l := r.open(r.config())
	for range 1000 {
		l.Omit()
	}
	e := event("knock")
	e.UserIdentity, e.RecipientAccountID, e.SourceIP, e.Resources = audit.Identity{Type: "Unknown"}, "", "192.0.2.1", nil
	if err := l.Record(t.Context(), e, audit.Stranger); err != nil {
		t.Fatal(err)
	}
	l.Omit()
	closeLog(t, l)
	var got []string
	err := r.store.ReadEvents(t.Context(), func(tr *audit.Trail) error {
		for rec, err := range tr.Records {
			if err != nil {
				return err
			}
			var e audit.Event
			if err := json.Unmarshal(rec.Event, &e); err != nil {
				return err
			}
			got = append(got, fmt.Sprint(e.Name, " ", e.UserIdentity.Type, " ", e.ErrorCode, " ", e.Additional.NotRecorded))
		}
		return nil
	})
	if want := []string{"knock Unknown  1000", "Unknown Unknown ThrottlingException 1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
	if err := r.verify(nil); err != nil {
		t.Error(err)
	}
}

func TestFile(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.File = filepath.Join(t.TempDir(), "audit.jsonl")
	l := r.open(cfg)
	lines := func() []string {
		text, err := os.ReadFile(cfg.File)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	for i, name := range []string{"e1", "e2"} {
		if err := l.Record(t.Context(), event(name), audit.Durable); err != nil {
			t.Fatal(err)
		}
		if got := lines(); len(got) != i+1 || !strings.Contains(got[i], `"eventName":"`+name+`"`) {
			t.Errorf("the file has %q", got)
		}
	}
	if err := os.Rename(cfg.File, cfg.File+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), event("e3"), audit.Durable); err != nil {
		t.Fatal(err)
	}
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"eventName":"e3"`) {
		t.Errorf("the new file has %q", got)
	}
	closeLog(t, l)
	if st, err := os.Stat(cfg.File); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// FuzzRecord records what strangers choose, and proves it.
func FuzzRecord(f *testing.F) {
	f.Add("CreateUser", "agent", "arn:aws:iam::1:user/x", `{"a":1}`)
	f.Add("\xff", "\x00", "arn:::::", "")
	dir := f.TempDir()
	st, err := store.Open(f.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		f.Fatal(err)
	}
	defer st.Close()
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	if err != nil {
		f.Fatal(err)
	}
	l, err := audit.Open(f.Context(), audit.Config{Store: st, Sealer: sealer, Clock: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Retention: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	defer func() {
		if err := l.Close(context.Background()); err != nil {
			f.Error(err)
		}
		if err := st.ReadEvents(context.Background(), func(t *audit.Trail) error { return audit.Verify(t, sealer, nil) }); err != nil {
			f.Error(err)
		}
	}()
	f.Fuzz(func(t *testing.T, name, agent, arn, parameters string) {
		e := event(name)
		e.UserAgent, e.UserIdentity.ARN, e.UserIdentity.UserName = agent, arn, agent
		if json.Valid([]byte(parameters)) {
			e.RequestParameters = []byte(parameters)
		}
		if res, ok := audit.ResourceOf(arn); ok {
			e.Resources = append(e.Resources, res)
		}
		if err := l.Record(t.Context(), e, audit.Plain); err != nil && json.Valid([]byte(parameters)) && !fault.Is(err, fault.Unavailable) {
			t.Skip(err) // JSON that only encoding/json takes: names that stand twice
		}
	})
}

// A resource has a name: an event names none where what was asked for was all of a kind.
func TestResourceOf(t *testing.T) {
	for arn, want := range map[string]bool{
		"arn:aws:iam::000000000000:user/alice": true, "arn:aws:iam::000000000000:user/": false, "arn:aws:iam::000000000000:user/*": false,
		"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0": true, "*": false,
	} {
		if _, ok := audit.ResourceOf(arn); ok != want {
			t.Errorf("%s: %t", arn, ok)
		}
	}
}
