package iam

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"
)

// What is kept of sessions is bounded, and the one that is used all the time stays.
func TestOpenedSessions(t *testing.T) {
	var o openedSessions
	token := func(i int) string { return fmt.Sprint(i, "-", strings.Repeat("x", 1000)) }
	o.add(&openedSession{token: token(0)})
	for i := 1; i < 20000; i++ {
		o.add(&openedSession{token: token(i)})
		if i%1000 == 0 && o.find(token(0)) == nil {
			t.Fatalf("after %d the first is gone", i)
		}
	}
	size := 0
	for _, m := range []map[string]*openedSession{o.young, o.old} {
		for _, s := range m {
			size += s.cost()
		}
	}
	if size > 2*maxOpenedSize || size < maxOpenedSize {
		t.Errorf("%d bytes are kept", size)
	}
	if o.find(token(1)) != nil || o.find(token(19999)) == nil {
		t.Error("the oldest is there, or the youngest is not")
	}
}

// A short token may say much: that is what counts.
func TestOpenedSessionCost(t *testing.T) {
	sealer, err := newSealer([][]byte{make([]byte, keySize)})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Account: "123456789012", Owner: "AROA", Name: "n"}
	said := 0
	for i := range MaxTags {
		tag := [2]string{fmt.Sprint(i, strings.Repeat("k", 100)), strings.Repeat("語", 256)}
		s.Tags = append(s.Tags, tag)
		said += len(tag[0]) + len(tag[1])
	}
	packed, err := s.pack()
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.seal(sealer, "ASIA", packed)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) > said/10 {
		t.Fatalf("a token of %d bytes is not short for %d bytes of tags", len(token), said)
	}
	got, ok := openSession(sealer, "ASIA", token)
	if cost := (&openedSession{session: *got, token: token}).cost(); !ok || cost < 2*said { // as they were read, and as condition keys
		t.Errorf("%d bytes of tags are counted as %d", said, cost)
	}
}

// A session that is not used any more does not keep the state of everything as it was when it was.
func TestSessionKeepsNoSnapshot(t *testing.T) {
	sealer, err := newSealer([][]byte{make([]byte, keySize)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d := &Directory{sealer: sealer, clock: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
	a, r := d.Authenticator(), httptest.NewRequest(http.MethodGet, "http://h/", nil)
	load := func() weak.Pointer[snapshot] {
		s, err := d.prepare(&State{Rows: Rows{Accounts: []Account{{ID: "123456789012"}}, Entities: []Entity{{Account: "123456789012", Kind: RoleKind, Name: "r", Path: "/", ID: "AROA"}}}}, d.current.Load())
		if err != nil {
			t.Fatal(err)
		}
		d.current.Store(s)
		return weak.Make(s)
	}
	old := load()
	issued, err := d.issue(&session{Account: "123456789012", Owner: "AROA", Name: "n"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.sessionCredential(r, issued.ID, issued.Token)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.sessionCredential(r, issued.ID, issued.Token); err != nil || again != first {
		t.Errorf("the credential is made again: %v", err)
	}
	load()
	runtime.GC()
	if old.Value() != nil {
		t.Error("the snapshot before the last is still there")
	}
	if d.opened.find(issued.Token) == nil {
		t.Error("the session is not")
	}
	if again, err := a.sessionCredential(r, issued.ID, issued.Token); err != nil || again == first {
		t.Errorf("a change of principals does not count: %v", err)
	}
}

// FuzzOpenSession: no token of a stranger's is taken.
func FuzzOpenSession(f *testing.F) {
	sealer, err := newSealer([][]byte{make([]byte, keySize)})
	if err != nil {
		f.Fatal(err)
	}
	s := &session{Account: "123456789012", Owner: "AROA", Name: "n", bounds: bounds{Policy: "{}", Tags: [][2]string{{"a", "b"}}}}
	packed, err := s.pack()
	if err != nil {
		f.Fatal(err)
	}
	token, err := s.seal(sealer, "ASIA", packed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ASIA", token)
	f.Add("ASIB", token)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, text string) {
		got, ok := openSession(sealer, id, text)
		if ok && id != "ASIA" || !ok && id == "ASIA" && text == token {
			t.Fatalf("%q %q is taken: %v", id, text, ok)
		}
		if ok && (got.Name != "n" || got.Policy != "{}" || got.Tags[0] != [2]string{"a", "b"}) {
			t.Errorf("%+v", got)
		}
	})
}
