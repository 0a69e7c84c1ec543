package iam_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// limited is a directory that tells each source of five failures a minute, on a store that counts, with the vectors' key.
type limited struct {
	*iam.Directory
	*iam.Authenticator
	vs    *vectors
	store *counting
	now   time.Time
	log   strings.Builder
}

func newLimited(t *testing.T) *limited {
	t.Helper()
	l := &limited{}
	l.vs, l.now = readVectors(t)
	sealer, err := iam.OpenSealer(filepath.Join(t.TempDir(), "key"), true)
	must(t, err)
	l.store = &counting{State: iam.State{Revision: 1, Rows: iam.Rows{
		Accounts: []iam.Account{{ID: account}},
		Keys:     []iam.AccessKey{{ID: l.vs.AccessKeyID, Account: account, Active: true, Secret: sealer.Seal(l.vs.SecretAccessKey, l.vs.AccessKeyID)}},
	}}}
	l.Directory, err = iam.Open(t.Context(), iam.Config{
		Store: l.store, Sealer: sealer, Clock: func() time.Time { return l.now }, Logger: slog.New(slog.NewTextHandler(&l.log, nil)), FailureLimit: 5, FailureWindow: time.Minute,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	must(t, err)
	l.Authenticator = l.Directory.Authenticator()
	return l
}

// ask sends the request list from an address, changed as said, and returns the kind of its refusal.
func (l *limited) ask(t *testing.T, from string, change func(*vector)) (fault.Kind, *fault.Error) {
	t.Helper()
	v := l.vs.get(t, "client-list")
	if change != nil {
		change(v)
	}
	r := v.request(t)
	r.RemoteAddr = from
	_, err := l.Authenticate(r, iam.Claim{}, v.Body, "id")
	if err == nil {
		return fault.Internal, nil
	}
	return fault.From(err).Kind, fault.From(err)
}

func unknownKey(v *vector) {
	v.set("Authorization", strings.Replace(v.header("Authorization"), "Credential=AKIA", "Credential=AKIB", 1))
}

func wrongSignature(v *vector) {
	v.set("Authorization", v.header("Authorization")[:len(v.header("Authorization"))-4]+"0000")
}

// What fails from one source is told why so many times in the window, and then only that there was too much of it. What does
// not fail is never refused for it.
func TestFailureLimit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*vector)
		want   fault.Kind
	}{
		"no such key":        {unknownKey, fault.UnrecognizedClient},
		"a wrong signature":  {wrongSignature, fault.InvalidSignature},
		"no credentials":     {func(v *vector) { v.set("Authorization", "") }, fault.MissingToken},
		"half a header":      {func(v *vector) { v.set("Authorization", "AWS4-HMAC-SHA256 Credential=a") }, fault.IncompleteSignature},
		"an API key":         {func(v *vector) { v.set("Authorization", "Bearer ABSKeDp5") }, fault.InvalidAPIKey},
		"a session's token":  {func(v *vector) { v.set("X-Amz-Security-Token", "dG9rZW4=") }, fault.UnrecognizedClient},
		"a short-term's key": {func(v *vector) { v.set("Authorization", "Bearer bedrock-api-key-x") }, fault.InvalidAPIKey},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimited(t)
				const here, there = "192.0.2.1:1000", "192.0.2.2:1000"
				for range 5 {
					if k, err := l.ask(t, here, c.change); k != c.want {
						t.Fatalf("the first five: %v", err)
					}
				}
				asked := l.store.asked
				for range 100 {
					if k, err := l.ask(t, here, c.change); k != fault.TooManyFailures || err.Message != "Rate exceeded" || err.RetryAfter != 12*time.Second {
						t.Fatalf("the others: %v, again after %v", err, err.RetryAfter)
					}
				}
				if l.store.asked != asked {
					t.Errorf("a source without failures left had the store asked %d times", l.store.asked-asked)
				}
				if _, err := l.ask(t, here, nil); err != nil {
					t.Errorf("a good request from there: %v", err)
				}
				if k, err := l.ask(t, there, c.change); k != c.want {
					t.Errorf("another source: %v", err)
				}
				if n := strings.Count(l.log.String(), "source=192.0.2.1"); n != 1 {
					t.Errorf("the log tells it %d times: %s", n, &l.log)
				}

				// They come back one by one.
				l.now = l.now.Add(12 * time.Second)
				for i, want := range []fault.Kind{c.want, fault.TooManyFailures} {
					if k, err := l.ask(t, here, c.change); k != want {
						t.Errorf("request %d after 12 seconds: %v", i, err)
					}
				}
				l.now = l.now.Add(time.Minute)
				for range 5 {
					if k, err := l.ask(t, here, c.change); k != c.want {
						t.Errorf("after a minute: %v", err)
					}
				}
				if k, _ := l.ask(t, here, c.change); k != fault.TooManyFailures {
					t.Errorf("after a minute and five more: %v", k)
				}
			})
		})
	}
}

// The stages before the body count as well, once for a request.
func TestFailureLimitPrecheck(t *testing.T) {
	l := newLimited(t)
	v := l.vs.get(t, "client-list")
	v.set("Authorization", "")
	for i := range 7 {
		_, err := l.Precheck(v.request(t))
		if want := map[bool]fault.Kind{true: fault.MissingToken, false: fault.TooManyFailures}[i < 5]; !fault.Is(err, want) {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

// A source is an address, or a subscriber's network, as trusted proxies tell it.
func TestFailureSources(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   func(i int) (remote, forwarded string)
		common bool
	}{
		{"ports of one address", func(i int) (string, string) { return fmt.Sprintf("192.0.2.1:%d", 1000+i), "" }, true},
		{"addresses", func(i int) (string, string) { return fmt.Sprintf("192.0.2.%d:1000", i), "" }, false},
		{"an address in two forms", func(i int) (string, string) { return [...]string{"192.0.2.1:1000", "[::ffff:192.0.2.1]:1000"}[i%2], "" }, true},
		{"addresses of one network", func(i int) (string, string) { return fmt.Sprintf("[2001:db8:0:1::%x]:1000", i), "" }, true},
		{"networks", func(i int) (string, string) { return fmt.Sprintf("[2001:db8:0:%x::1]:1000", i), "" }, false},
		{"clients of a proxy that is trusted", func(i int) (string, string) { return "10.1.2.3:1000", fmt.Sprintf("192.0.2.%d", i) }, false},
		{"what a client of one says of itself", func(i int) (string, string) { return "10.1.2.3:1000", fmt.Sprintf("192.0.2.%d, 192.0.2.200", i) }, true},
		{"what a stranger says of itself", func(i int) (string, string) { return "192.0.2.1:1000", fmt.Sprintf("198.51.100.%d", i) }, true},
	} {
		l := newLimited(t)
		refused := false
		for i := range 20 {
			remote, forwarded := c.from(i)
			k, _ := l.ask(t, remote, func(v *vector) { v.set("Authorization", ""); v.set("X-Forwarded-For", forwarded) })
			refused = refused || k == fault.TooManyFailures
		}
		if refused != c.common {
			t.Errorf("%s: counted together %v, want %v", c.name, refused, c.common)
		}
	}
}

// Who asks with a session or an API key that has ended reads so, however often: only that makes a client begin another. A user's
// session that calls IAM was proved as well.
func TestFailureLimitProved(t *testing.T) {
	w := newWorld(t)
	sealer, err := iam.OpenSealer(filepath.Join(w.dir, "outcrop.key"), false)
	must(t, err)
	d, err := iam.Open(t.Context(), iam.Config{Store: w.store, Sealer: sealer, Clock: func() time.Time { return w.now }, FailureLimit: 2, FailureWindow: time.Minute})
	must(t, err)
	ended, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "s"})
	must(t, err)
	_, key, err := d.CreateBearerKey(t.Context(), account, "alice", 1)
	must(t, err)
	w.now = w.now.Add(25 * time.Hour)
	user, err := w.GetSessionToken(&w.alice, 0)
	must(t, err)
	for range 5 {
		if _, err := d.Authenticator().Authenticate(w.sign(ended, "bedrock"), iam.Claim{}, nil, "id"); !fault.Is(err, fault.ExpiredToken) {
			t.Fatal(err)
		}
		_, err = d.Authenticator().Authenticate(withKey("h", key), iam.Claim{}, nil, "id")
		wantFault(t, err, fault.InvalidAPIKey, expiredKey)
		_, err = d.Authenticator().Authenticate(w.sign(user, "iam"), iam.Claim{}, nil, "id")
		wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
	}
}
