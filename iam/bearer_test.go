package iam_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
	"outcrop/store"
)

// Seen in https://github.com/ai4s-research/open-science/issues/53 and https://github.com/BerriAI/litellm (its tests of
// Bedrock's errors).
const (
	invalidKey = "Authentication failed: Please make sure your API Key is valid."
	expiredKey = "Bearer Token has expired"
)

// bearers are the keys that AWS's generators made: testdata/bearer.py.
type bearers struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	Time            string `json:"time"`
	Cases           []struct {
		Name    string `json:"name"`
		Region  string `json:"region"`
		Expires int    `json:"expires"` // seconds
		Session bool   `json:"session"`
		Key     string `json:"key"`
	} `json:"cases"`
}

func readBearers(t testing.TB) (*bearers, time.Time) {
	t.Helper()
	raw, err := os.ReadFile("testdata/bearer.json")
	must(t, err)
	b := &bearers{}
	must(t, json.Unmarshal(raw, b))
	if len(b.Cases) != 6 {
		t.Fatalf("%d cases", len(b.Cases))
	}
	at, err := time.Parse("20060102T150405Z", b.Time)
	must(t, err)
	return b, at
}

// withKey is a request to host with an API key.
func withKey(host, key string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/model/x/converse", nil)
	r.Host, r.RemoteAddr = host, "203.0.113.7:51234"
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// bring authenticates as a server does: before the body and after it.
func bring(d directory, r *http.Request) (iam.Caller, error) {
	a := d.Authenticator()
	said, err := a.Precheck(r)
	if err != nil {
		return iam.Caller{}, err
	}
	return a.Authenticate(r, said, []byte("{}"), "id")
}

func TestShortTermKeys(t *testing.T) {
	b, at := readBearers(t)
	now := at
	d := open(t, func() time.Time { return now })
	must(t, d.EnsureRoot(t.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	for _, c := range b.Cases {
		t.Run(c.Name, func(t *testing.T) {
			now = at
			caller, err := bring(d, withKey("127.0.0.1:4141", c.Key))
			if c.Session {
				wantFault(t, err, fault.InvalidAPIKey, invalidKey) // nobody was given a session token
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if caller.Locate("arn:aws:bedrock:ap-south-1::foundation-model/x"); !caller.Root || caller.Account != account || caller.Region != c.Region || caller.Service != "bedrock" || caller.BearerTokenType != "SHORT_TERM" || caller.AccessKeyID != b.AccessKeyID {
				t.Errorf("%+v", caller)
			}
			hosts := map[string]bool{
				"bedrock-runtime." + c.Region + ".amazonaws.com": true, "bedrock." + c.Region + ".example.com:4141": true,
				"bedrock-runtime.ap-northeast-1.amazonaws.com": false, "other.ap-northeast-1.example.com": true, "localhost": true,
			}
			for host, good := range hosts {
				if _, err := bring(d, withKey(host, c.Key)); (err == nil) != good {
					t.Errorf("%s: %v", host, err)
				}
			}
			now = at.Add(time.Duration(c.Expires)*time.Second - 1)
			if _, err := bring(d, withKey("h", c.Key)); err != nil {
				t.Errorf("in its last moment: %v", err)
			}
			now = now.Add(1)
			_, err = bring(d, withKey("h", c.Key))
			wantFault(t, err, fault.InvalidAPIKey, expiredKey)
			now = at.Add(-5 * time.Minute)
			if _, err := bring(d, withKey("h", c.Key)); err != nil {
				t.Errorf("five minutes early: %v", err)
			}
			now = now.Add(-1)
			_, err = bring(d, withKey("h", c.Key))
			wantFault(t, err, fault.InvalidAPIKey, invalidKey)
		})
	}
}

// The access key that a short-term key was made with is used by it: nobody else sees that it is needed.
func TestLastUseOfShortTermKeys(t *testing.T) {
	b, at := readBearers(t)
	now := at
	d := open(t, func() time.Time { return now })
	must(t, d.EnsureRoot(t.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	c := b.Cases[0]
	now = at.Add(time.Minute)
	if _, err := bring(d, withKey("h", c.Key+"x")); err == nil {
		t.Error("a key that is no key is taken")
	}
	if use, ok := d.LastUse(b.AccessKeyID); ok {
		t.Errorf("it was used before: %+v", use)
	}
	_, err := bring(d, withKey("h", c.Key))
	must(t, err)
	if use, ok := d.LastUse(b.AccessKeyID); !ok || use != (iam.KeyUse{Key: b.AccessKeyID, Time: now, Service: "bedrock", Region: c.Region}) {
		t.Errorf("%+v, %t", use, ok)
	}
}

// Whatever of a short-term key is changed, it is not one any more.
func TestShortTermKeyTampered(t *testing.T) {
	b, at := readBearers(t)
	now := at
	d := open(t, func() time.Time { return now })
	must(t, d.EnsureRoot(t.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	good := strings.TrimPrefix(b.Cases[0].Key, "bedrock-api-key-")
	text, err := base64.StdEncoding.DecodeString(good)
	must(t, err)
	again := func(old, new string) string {
		changed := strings.Replace(string(text), old, new, 1)
		if changed == string(text) {
			t.Fatalf("no %q in it", old)
		}
		return "bedrock-api-key-" + base64.StdEncoding.EncodeToString([]byte(changed))
	}
	if _, err := bring(d, withKey("h", b.Cases[0].Key)); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{
		"the signature":        again("b126", "b127"),
		"no signature":         again("&X-Amz-Signature=b126077495a7e92357d0c7174a483c54115a342e8af7eb3f703907f44d5f2638", ""),
		"two signatures":       again("&Version", "&X-Amz-Signature=0&Version"),
		"the action":           again("CallWithBearerToken", "CallWithBearerTokens"),
		"no action":            again("Action=CallWithBearerToken&", ""),
		"another parameter":    again("&Version", "&Evil=1&Version"),
		"two actions":          again("&Version", "&Action=CallWithBearerToken&Version"),
		"the lifetime":         again("43200", "43199"),
		"more than 12 hours":   again("43200", "43201"),
		"no lifetime":          again("43200", ""),
		"a negative lifetime":  again("43200", "-1"),
		"a lifetime in words":  again("43200", "long"),
		"a long number":        again("43200", "99999999999999999999"),
		"the time":             again("T113512Z", "T113513Z"),
		"another day's scope":  again("%2F20261123%2F", "%2F20261122%2F"),
		"no time":              again("X-Amz-Date", "X-Amz-Fate"),
		"another Region":       again("us-east-1", "us-west-2"),
		"no Region":            again("us-east-1", ""),
		"another service":      again("%2Fbedrock%2F", "%2Fsts%2F"),
		"another access key":   again("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPL2"),
		"another algorithm":    again("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
		"more signed headers":  again("SignedHeaders=host", "SignedHeaders=host%3Bx-a"),
		"another host":         again("bedrock.amazonaws.com", "bedrock.example.com"),
		"a scheme":             again("bedrock.amazonaws.com", "https://bedrock.amazonaws.com"),
		"a path":               again("com/?", "com/a?"),
		"another version":      again("Version=1", "Version=2"),
		"no version":           again("&Version=1", ""),
		"a session token":      again("&Version", "&X-Amz-Security-Token=a&Version"),
		"a broken escape":      again("%2F", "%2"),
		"another prefix":       "bedrock-api-keys-" + good,
		"no prefix":            good,
		"base64 cut off":       "bedrock-api-key-" + good[:len(good)-1],
		"not base64":           "bedrock-api-key-*",
		"nothing":              "",
		"only the prefix":      "bedrock-api-key-",
		"a very long key":      "bedrock-api-key-" + strings.Repeat("A", 1<<20),
		"a question mark more": again("/?", "/??"),
	} {
		_, err := bring(d, withKey("h", key))
		if e := fault.From(err); err == nil || e.Kind != fault.InvalidAPIKey || e.Message != invalidKey {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key that is out of date and was never good is not told that it was.
	now = at.AddDate(0, 0, 1)
	_, err = bring(d, withKey("h", again("b126", "b127")))
	wantFault(t, err, fault.InvalidAPIKey, invalidKey)
}

// A short-term key ends with the access key that signed it.
func TestShortTermKeyOfInactiveKey(t *testing.T) {
	b, at := readBearers(t)
	d := open(t, func() time.Time { return at })
	must(t, d.EnsureRoot(t.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	r := withKey("h", b.Cases[0].Key)
	a := d.Authenticator()
	said, err := a.Precheck(r)
	must(t, err)
	must(t, d.EnsureRoot(t.Context(), account, "AKIAANOTHER", "another-secret"))
	_, err = a.Authenticate(r, said, nil, "id") // the body has come since
	wantFault(t, err, fault.InvalidAPIKey, invalidKey)
}

func TestLongTermKeys(t *testing.T) {
	at := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	now := at
	d := open(t, func() time.Time { return now })
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	u, err := d.CreateUser(ctx, account, "Alice")
	must(t, err)
	key, token, err := d.CreateBearerKey(ctx, account, "alice", 30)
	must(t, err)
	want := iam.BearerKey{ID: key.ID, Alias: "Alice-at-123456789012", Account: account, Owner: u.ID, Active: true, CreatedAt: at, ExpiresAt: at.AddDate(0, 0, 30)}
	if fmt.Sprint(key) != fmt.Sprint(want) || !regexp.MustCompile(`^ACCA[A-Z2-7]{17}$`).MatchString(key.ID) {
		t.Errorf("got  %+v\nwant %+v", key, want)
	}
	// The form that leak scanners know: https://github.com/gitleaks/gitleaks (aws-amazon-bedrock-api-key-long-lived).
	if !regexp.MustCompile(`^ABSK[A-Za-z0-9+/]{109,269}={0,2}$`).MatchString(token) {
		t.Errorf("the key is %q", token)
	}
	c, err := bring(d, withKey("127.0.0.1:4141", token))
	must(t, err)
	if c.ARN != u.ARN() || c.ID != u.ID || c.UserName != "Alice" || c.Root || c.Account != account || c.AccessKeyID != key.ID || c.Region != "us-east-1" || c.Service != "bedrock" || c.BearerTokenType != "LONG_TERM" {
		t.Errorf("%+v", c)
	}
	for host, region := range map[string]string{
		"bedrock-runtime.eu-west-1.amazonaws.com": "eu-west-1", "bedrock.us-gov-west-1.example.com:4141": "us-gov-west-1", "bedrock-runtime": "us-east-1",
		"bedrock-runtime.example.com": "us-east-1", "www.eu-west-1.example.com": "us-east-1", "bedrock-runtime.eu-west-1": "us-east-1", "": "us-east-1", "[::1]:80": "us-east-1",
	} {
		if c, err := bring(d, withKey(host, token)); err != nil || c.Region != region {
			t.Errorf("%q: %q %v, want %q", host, c.Region, err, region)
		}
	}
	for _, l := range []struct{ host, resource, region string }{
		{"localhost", "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdef123456", "eu-west-1"},
		{"localhost", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", "eu-west-1"},
		{"localhost", "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0", "us-east-1"}, {"localhost", "arn:aws:bedrock:x y:1:z", "us-east-1"},
		{"localhost", "eu.amazon.nova-lite-v1:0", "us-east-1"}, {"localhost", "", "us-east-1"},
		{"bedrock-runtime.eu-west-2.example.com", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", "eu-west-2"},
	} {
		c, err := bring(d, withKey(l.host, token))
		must(t, err)
		if c.Locate(l.resource); c.Region != l.region {
			t.Errorf("%s at %s: %q, want %q", l.resource, l.host, c.Region, l.region)
		}
	}
	text, err := base64.StdEncoding.DecodeString(token[4:])
	must(t, err)
	other := func(text string) string { return "ABSK" + base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, token := range map[string]string{
		"another secret": other(string(text) + "x"), "a shorter one": other(string(text[:len(text)-1])), "no secret": other("Alice-at-123456789012:"),
		"no colon": other("Alice-at-123456789012"), "another alias": other("bob-at-123456789012:" + strings.SplitN(string(text), ":", 2)[1]),
		"the alias in another case": other("alice-at-123456789012:" + strings.SplitN(string(text), ":", 2)[1]),
		"not base64":                "ABSK*", "nothing": "ABSK", "another prefix": "absk" + token[4:],
	} {
		_, err := bring(d, withKey("h", token))
		if e := fault.From(err); err == nil || e.Kind != fault.InvalidAPIKey || e.Message != invalidKey {
			t.Errorf("%s: %v", name, err)
		}
	}

	must(t, d.SetBearerKeyStatus(ctx, account, "Alice", key.ID, false))
	_, err = bring(d, withKey("h", token))
	wantFault(t, err, fault.InvalidAPIKey, invalidKey)
	must(t, d.SetBearerKeyStatus(ctx, account, "Alice", key.ID, true))

	now = at.AddDate(0, 0, 30).Add(-1)
	_, err = bring(d, withKey("h", token))
	must(t, err)
	now = now.Add(1)
	_, err = bring(d, withKey("h", token))
	wantFault(t, err, fault.InvalidAPIKey, expiredKey)
	now = at

	// Two a user, told apart by their aliases; without days a key does not expire.
	second, secondToken, err := d.CreateBearerKey(ctx, account, "Alice", 0)
	must(t, err)
	if second.Alias != "Alice+1-at-123456789012" || !second.ExpiresAt.IsZero() {
		t.Errorf("%+v", second)
	}
	_, _, err = d.CreateBearerKey(ctx, account, "Alice", 0)
	wantFault(t, err, fault.QuotaExceeded, "Cannot exceed quota for ServiceSpecificCredentialsPerUser: 2")
	o, err := d.Roster(ctx, account)
	must(t, err)
	u2, err := o.Entity(iam.UserKind, "ALICE")
	must(t, err)
	listed := o.Bearers(u2)
	if len(listed) != 2 || listed[0].Hash != nil || listed[1].Hash != nil || listed[0].ID > listed[1].ID {
		t.Errorf("%+v", listed)
	}

	// A user keeps the keys to the end, and a key's alias is free again when it is gone.
	wantFault(t, d.DeleteUser(ctx, account, "Alice"), fault.InUse, "Cannot delete entity, must remove referenced objects first.")
	must(t, d.DeleteBearerKey(ctx, account, "Alice", key.ID))
	wantFault(t, d.DeleteBearerKey(ctx, account, "Alice", key.ID), fault.NotFound, "No such credential "+key.ID+" exists")
	wantFault(t, d.SetBearerKeyStatus(ctx, account, "Alice", key.ID, true), fault.NotFound, "No such credential "+key.ID+" exists")
	_, err = bring(d, withKey("h", token))
	wantFault(t, err, fault.InvalidAPIKey, invalidKey)
	now = at.AddDate(200, 0, 0)
	_, err = bring(d, withKey("h", secondToken))
	must(t, err)
	must(t, d.DeleteBearerKey(ctx, account, "Alice", second.ID))
	must(t, d.DeleteUser(ctx, account, "Alice"))
}

func TestCreateBearerKeyRefuses(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, _, err := d.CreateBearerKey(ctx, account, "nobody", 1)
	wantFault(t, err, fault.NotFound, "The user with name nobody cannot be found.")
	// Source of the bounds: botocore's iam model, credentialAgeDays.
	for _, days := range []int{-1, 36601} {
		if _, _, err := d.CreateBearerKey(ctx, account, "nobody", days); !fault.Is(err, fault.Validation) {
			t.Errorf("%d days: %v", days, err)
		}
	}
	// The alias that alice's second key would have is another user's.
	for _, name := range []string{"alice", "alice+1"} {
		_, err := d.CreateUser(ctx, account, name)
		must(t, err)
	}
	for i, want := range []string{"alice-at-", "alice+1-at-", "alice+2-at-"} {
		k, _, err := d.CreateBearerKey(ctx, account, []string{"alice", "alice+1", "alice"}[i], 0)
		must(t, err)
		if k.Alias != want+account {
			t.Errorf("alias %s, want %s", k.Alias, want)
		}
	}
}

// A key that another process has made is known at once, also under an alias that had another secret before.
func TestBearerKeyOfAnotherProcess(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	first, token, err := d.CreateBearerKey(ctx, account, "alice", 0)
	must(t, err)
	other := reopen(t, d.dir, nil)
	_, err = bring(other, withKey("h", token))
	must(t, err)
	must(t, d.DeleteBearerKey(ctx, account, "alice", first.ID))
	again, token, err := d.CreateBearerKey(ctx, account, "alice", 0)
	must(t, err)
	if again.Alias != first.Alias {
		t.Fatalf("aliases %s and %s", first.Alias, again.Alias)
	}
	c, err := bring(other, withKey("h", token))
	must(t, err)
	if c.AccessKeyID != again.ID {
		t.Errorf("%+v", c)
	}
}

func TestGuardBearer(t *testing.T) {
	const invoke = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}}`
	call := func(kind string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:CallWithBearerToken","Resource":"*","Condition":{"StringEquals":{"bedrock:bearerTokenType":"` + kind + `"}}}}`
	}
	const user = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: "
	const notBearer = user + "bedrock:CallWithBearerToken on resource: * because no identity-based policy allows the bedrock:CallWithBearerToken action"
	tests := []struct {
		name     string
		policies []string
		want     string // the denial
	}{
		{"both", []string{invoke, call("LONG_TERM")}, ""},
		{"only the call", []string{invoke}, notBearer},
		{"the other type", []string{invoke, call("SHORT_TERM")}, notBearer},
		{"only the bearer", []string{call("LONG_TERM")}, user + "bedrock:InvokeModel on resource: " + modelARN + " because no identity-based policy allows the bedrock:InvokeModel action"},
		{"nothing", nil, notBearer},
		{"denied", []string{invoke, call("LONG_TERM"), `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:CallWithBearerToken","Resource":"*"}}`},
			user + "bedrock:CallWithBearerToken on resource: * with an explicit deny in an identity-based policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, signed := alice(t, tt.policies...)
			_, token, err := d.CreateBearerKey(t.Context(), account, "alice", 0)
			must(t, err)
			c, err := bring(d, withKey("h", token))
			must(t, err)
			var recorded []string
			g := iam.NewGuard(iam.GuardConfig{RecordAllowed: true, Record: func(d iam.Decision) {
				recorded = append(recorded, d.Access.Action+" "+map[bool]string{true: "allowed", false: "denied"}[d.Effect == policy.Allow])
			}})
			access := []iam.Access{{Action: "bedrock:InvokeModel", Resource: modelARN}}
			err = g.Check(t.Context(), "id", &c, access)
			if tt.want == "" {
				must(t, err)
				if fmt.Sprint(recorded) != "[bedrock:CallWithBearerToken allowed bedrock:InvokeModel allowed]" {
					t.Error(recorded)
				}
			} else {
				wantFault(t, err, fault.AccessDenied, tt.want)
			}
			// Nobody who signs needs it.
			if err := g.Check(t.Context(), "id", &signed, access); strings.Contains(fmt.Sprint(err), "Bearer") {
				t.Error(err)
			}
		})
	}
}

// Neither a key nor its secret is ever in the log, whatever is wrong with it.
func TestKeysAreNotLogged(t *testing.T) {
	b, at := readBearers(t)
	var log bytes.Buffer
	dir := t.TempDir()
	s, err := store.Open(t.Context(), filepath.Join(dir, "outcrop.db"))
	must(t, err)
	defer s.Close()
	sealer, err := iam.OpenSealer(filepath.Join(dir, "outcrop.key"), true)
	must(t, err)
	people, err := iam.Open(t.Context(), iam.Config{Store: s, Sealer: sealer, Clock: func() time.Time { return at.AddDate(0, 0, 2) },
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(t, err)
	must(t, people.EnsureRoot(t.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	for _, key := range []string{b.Cases[0].Key, "ABSK" + base64.StdEncoding.EncodeToString([]byte("a-at-1:hush-hush")), "hush-hush"} {
		if _, err := bring(directory{Directory: people}, withKey("h", key)); err == nil {
			t.Error("it was taken")
		}
		if said := log.String(); !strings.Contains(said, "not authenticated") || strings.Contains(said, key) || strings.Contains(said, "hush") {
			t.Errorf("the log says %s", said)
		}
	}
}

func FuzzBearer(f *testing.F) {
	b, at := readBearers(f)
	d := open(f, func() time.Time { return at })
	must(f, d.EnsureRoot(f.Context(), account, b.AccessKeyID, b.SecretAccessKey))
	good := map[string]bool{}
	for _, c := range b.Cases {
		text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.Key, "bedrock-api-key-"))
		must(f, err)
		f.Add(string(text))
		good[canonicalKey(string(text))] = !c.Session
	}
	f.Add("bedrock.amazonaws.com/?Action=CallWithBearerToken&Version=1")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "X-Amz-Credential=") != strings.Count(text, "X-Amz-Credential="+b.AccessKeyID+"%2F") {
			t.Skip() // looks for unknown ids are slow on purpose
		}
		_, err := bring(d, withKey("h", "bedrock-api-key-"+base64.StdEncoding.EncodeToString([]byte(text))))
		var e *fault.Error
		if err != nil && (!errors.As(err, &e) || e.Kind != fault.InvalidAPIKey) {
			t.Fatal(err)
		}
		if err == nil && !good[canonicalKey(text)] {
			t.Fatalf("taken: %q", text)
		}
	})
}

// canonicalKey is the text of a short-term key with its parameters in one order and spelling.
func canonicalKey(text string) string {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	_, r.URL.RawQuery, _ = strings.Cut(text, "?")
	return r.URL.Query().Encode()
}

func BenchmarkBearer(b *testing.B) {
	keys, at := readBearers(b)
	d := open(b, func() time.Time { return at })
	must(b, d.EnsureRoot(b.Context(), account, keys.AccessKeyID, keys.SecretAccessKey))
	_, err := d.CreateUser(b.Context(), account, "alice")
	must(b, err)
	_, token, err := d.CreateBearerKey(b.Context(), account, "alice", 0)
	must(b, err)
	for name, key := range map[string]string{"ShortTerm": keys.Cases[0].Key, "LongTerm": token} {
		b.Run(name, func(b *testing.B) {
			r := withKey("h", key)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bring(d, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
