package iam

import (
	"fmt"
	"strings"
	"testing"
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
		for k := range m {
			size += len(k)
		}
	}
	if size > 2*maxOpenedSize || size < maxOpenedSize {
		t.Errorf("%d bytes of tokens are kept", size)
	}
	if o.find(token(1)) != nil || o.find(token(19999)) == nil {
		t.Error("the oldest is there, or the youngest is not")
	}
}

// FuzzOpenSession: no token of a stranger's is taken.
func FuzzOpenSession(f *testing.F) {
	sealer, err := newSealer(make([]byte, keySize))
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
