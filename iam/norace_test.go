//go:build !race

package iam_test

import (
	"testing"

	"outcrop/iam"
)

// The race detector has pools drop what they are given, which is allocated again.

// A session that is in use costs its requests nothing beyond what an access key costs.
func TestSessionAllocates(t *testing.T) {
	w := newWorld(t)
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "s1"})
	must(t, err)
	key, err := w.CreateAccessKey(t.Context(), account, "alice")
	must(t, err)
	a := w.Authenticator()
	count := func(c *iam.SessionCredentials) float64 {
		r := w.sign(c, "bedrock")
		return testing.AllocsPerRun(200, func() {
			if _, err := a.Authenticate(r, iam.Claim{}, nil, "id"); err != nil {
				t.Fatal(err)
			}
		})
	}
	if session, plain := count(got), count(&iam.SessionCredentials{Credentials: key}); session > plain {
		t.Errorf("a session's request allocates %v times, an access key's %v times", session, plain)
	}
}
