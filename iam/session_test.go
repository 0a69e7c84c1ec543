package iam_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
)

const (
	trustAccount = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}`
	roleARN      = "arn:aws:iam::123456789012:role/team/caller"
	emptyHash    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// A world is a directory at a time that the test sets, with a user alice who may do everything and a role that she may assume.
type world struct {
	directory
	t     testing.TB
	now   time.Time
	alice iam.Caller
	guard *iam.Guard
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)}
	w.directory = open(t, func() time.Time { return w.now })
	w.guard = iam.NewGuard(iam.GuardConfig{Clock: func() time.Time { return w.now }})
	ctx := t.Context()
	must(t, w.EnsureRoot(ctx, account, "", ""))
	_, err := w.CreateUser(ctx, account, "alice")
	must(t, err)
	must(t, w.PutUserPolicy(ctx, account, "alice", "all", []byte(allowAll)))
	key, err := w.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	w.role("caller", "/team/", trustAccount, allowAll)
	w.alice = w.is(&iam.SessionCredentials{Credentials: key})
	return w
}

func (w *world) role(name, path, trust, may string, tags ...iam.Tag) {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.CreateEntity(ctx, iam.Entity{Account: account, Kind: iam.RoleKind, Name: name, Path: path, Trust: trust, Tags: tags, MaxSession: 2 * time.Hour})
	must(w.t, err)
	must(w.t, w.PutInline(ctx, account, iam.RoleKind, name, "may", may))
}

// sign signs a request as the SDK for Go does.
func (w *world) sign(c *iam.SessionCredentials, service string) *http.Request {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://h/", nil)
	r.RemoteAddr = "203.0.113.7:51234"
	must(w.t, v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token}, r, emptyHash, service, "us-east-1", w.now))
	return r
}

func (w *world) authenticate(c *iam.SessionCredentials) (iam.Caller, error) {
	return w.Authenticator().Authenticate(w.sign(c, "bedrock"), iam.Claim{}, nil, "id")
}

func (w *world) is(c *iam.SessionCredentials) iam.Caller {
	w.t.Helper()
	caller, err := w.authenticate(c)
	must(w.t, err)
	return caller
}

// assume is AssumeRole with all that goes before it.
func (w *world) assume(c *iam.Caller, r iam.AssumeRequest) (*iam.SessionCredentials, error) {
	access, err := w.MayAssume(c, "sts:AssumeRole", &r, nil)
	if err != nil {
		return nil, err
	}
	if err := w.guard.Check(w.t.Context(), "id", c, access); err != nil {
		return nil, err
	}
	return w.AssumeRole(c, &r)
}

func (w *world) may(c *iam.Caller, action, resource string, with policy.Context) error {
	return w.guard.Check(w.t.Context(), "id", c, []iam.Access{{Action: action, Resource: resource, Context: with}})
}

// TestAssumeRole: who a session is, and until when.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func TestAssumeRole(t *testing.T) {
	w := newWorld(t)
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "ci-7"})
	must(t, err)
	if !strings.HasPrefix(got.ID, "ASIA") || len(got.ID) != 20 || got.Expires != w.now.Add(time.Hour) || got.Packed != nil {
		t.Errorf("%+v", got)
	}
	c := w.is(got)
	o, err := w.Roster(t.Context(), account)
	must(t, err)
	role, err := o.Entity(iam.RoleKind, "caller")
	must(t, err)
	if c.Account != account || c.ARN != "arn:aws:sts::123456789012:assumed-role/caller/ci-7" || c.ARN != got.ARN || c.ID != role.ID+":ci-7" || c.ID != got.CallerID ||
		c.UserName != "" || c.Root || c.Role != roleARN || c.SessionName != "ci-7" || c.AccessKeyID != got.ID || !c.Issued.Equal(w.now) {
		t.Errorf("%+v", c)
	}
	must(t, w.may(&c, "bedrock:InvokeModel", profileARN, nil))

	for name, change := range map[string]func(*iam.SessionCredentials){
		"no token":      func(c *iam.SessionCredentials) { c.Token = "" },
		"another token": func(c *iam.SessionCredentials) { c.Token = "AAAA" + c.Token[4:] },
		"cut":           func(c *iam.SessionCredentials) { c.Token = c.Token[:len(c.Token)-4] },
		"not base64":    func(c *iam.SessionCredentials) { c.Token = "*" },
		"too long":      func(c *iam.SessionCredentials) { c.Token = strings.Repeat("A", 9000) },
		"another key":   func(c *iam.SessionCredentials) { c.ID = "ASIA" + strings.Repeat("A", 16) },
		"a long-term key": func(c *iam.SessionCredentials) {
			key, err := w.CreateAccessKey(t.Context(), account, "alice")
			must(t, err)
			c.Credentials = key
		},
	} {
		bad := *got
		change(&bad)
		_, err := w.authenticate(&bad)
		if !fault.Is(err, fault.UnrecognizedClient) || fault.From(err).Message != "The security token included in the request is invalid." {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Authenticator().Precheck(w.sign(&bad, "bedrock")); !fault.Is(err, fault.UnrecognizedClient) {
			t.Errorf("%s: before the body: %v", name, err)
		}
	}
	wrong := *got
	wrong.Secret += "x"
	if _, err := w.authenticate(&wrong); !fault.Is(err, fault.InvalidSignature) {
		t.Errorf("another secret: %v", err)
	}
	twice := w.sign(got, "bedrock")
	twice.Header.Add("X-Amz-Security-Token", got.Token)
	if _, err := w.Authenticator().Authenticate(twice, iam.Claim{}, nil, "id"); !fault.Is(err, fault.UnrecognizedClient) {
		t.Errorf("two tokens: %v", err)
	}

	// Another process on the same store and key file knows it too; one with another key file does not.
	other := reopen(t, w.dir, func() time.Time { return w.now })
	if c, err := other.Authenticator().Authenticate(w.sign(got, "bedrock"), iam.Claim{}, nil, "id"); err != nil || c.ARN != got.ARN {
		t.Errorf("another process: %v %v", c.ARN, err)
	}

	w.now = got.Expires.Add(-time.Second)
	w.is(got)
	w.now = got.Expires
	_, err = w.authenticate(got)
	wantFault(t, err, fault.ExpiredToken, "The security token included in the request is expired")
}

// A role was used last when one of its sessions was, not when it was assumed; after the next start what was written down of it is
// known. Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/API_RoleLastUsed.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_manage.html
func TestRoleLastUse(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.role("other", "/", trustAccount, allowAll)
	id := func(name string) string {
		t.Helper()
		o, err := w.Roster(ctx, account)
		must(t, err)
		e, err := o.Entity(iam.RoleKind, name)
		must(t, err)
		return e.ID
	}
	role := id("caller")
	check := func(d directory, want time.Time) {
		t.Helper()
		got, ok := d.LastUse(role)
		if ok != !want.IsZero() || ok && got != (iam.KeyUse{Key: role, Time: want, Service: "bedrock", Region: "us-east-1"}) {
			t.Errorf("%+v, %t, want %v", got, ok, want)
		}
	}
	s, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "ci-7"})
	must(t, err)
	check(w.directory, time.Time{})
	wrong := *s
	wrong.Secret += "x"
	if _, err := w.authenticate(&wrong); err == nil {
		t.Error("a wrong secret is taken")
	}
	check(w.directory, time.Time{})
	first := w.now
	w.is(s)
	check(w.directory, first)
	must(t, w.SaveUses(ctx))
	w.now = w.now.Add(10 * time.Minute)
	must(t, w.PutInline(ctx, account, iam.RoleKind, "caller", "more", allowAll)) // another snapshot, another credential of the session
	w.is(s)
	check(w.directory, w.now)
	clock := func() time.Time { return w.now }
	check(reopen(t, w.dir, clock), first)
	must(t, w.Close(ctx))
	check(reopen(t, w.dir, clock), w.now)
	if use, ok := w.LastUse(id("other")); ok {
		t.Errorf("a role that nobody assumed was used: %+v", use)
	}
}

// TestSessionEnds: a session is as good as its role is now.
func TestSessionEnds(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "ci"})
	must(t, err)
	w.is(got)
	must(t, w.PutInline(ctx, account, iam.RoleKind, "caller", "may", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:Get*","Resource":"*"}}`))
	c := w.is(got)
	must(t, w.may(&c, "bedrock:GetInferenceProfile", profileARN, nil))
	wantFault(t, w.may(&c, "bedrock:InvokeModel", profileARN, nil), fault.AccessDenied,
		"User: arn:aws:sts::123456789012:assumed-role/caller/ci is not authorized to perform: bedrock:InvokeModel on resource: "+profileARN+" because no identity-based policy allows the bedrock:InvokeModel action")

	// A role of the same name is another role.
	must(t, w.DeleteInline(ctx, account, iam.RoleKind, "caller", "may"))
	must(t, w.DeleteEntity(ctx, account, iam.RoleKind, "caller"))
	_, err = w.authenticate(got)
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
	w.role("caller", "/team/", trustAccount, allowAll)
	_, err = w.authenticate(got)
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")

	// Revoking as the console of AWS does it:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
	old, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "ci"})
	must(t, err)
	w.now = w.now.Add(time.Minute)
	must(t, w.PutInline(ctx, account, iam.RoleKind, "caller", "AWSRevokeOlderSessions", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+w.now.Format(time.RFC3339)+`"}}}}`))
	c = w.is(old)
	if err := w.may(&c, "bedrock:InvokeModel", profileARN, nil); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("revoked: %v", err)
	}
	young, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "ci"})
	must(t, err)
	c = w.is(young)
	must(t, w.may(&c, "bedrock:InvokeModel", profileARN, nil))
}

// TestTrust: who may assume a role. In one account a trust policy that names the user needs nothing else; one that names the
// account needs the user's own policies to allow it too, and across accounts both must.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func TestTrust(t *testing.T) {
	const (
		assume   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}}`
		deny     = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}`
		other    = "999999999999"
		external = `,"Condition":{"StringEquals":{"sts:ExternalId":"e-1"}}`
	)
	trust := func(principal, actions, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":[` + actions + `]` + condition + `}}`
	}
	const (
		alone = `"sts:AssumeRole"`
		all   = `"sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"`
		theo  = `{"AWS":"arn:aws:iam::123456789012:root"}`
		bob   = `{"AWS":"arn:aws:iam::123456789012:user/bob"}`
	)
	tagged := iam.AssumeRequest{Tags: []iam.Tag{{Key: "team", Value: "growth"}}}
	for _, tt := range []struct {
		name         string
		caller       string // the account that bob is in
		own          string // bob's policy
		trust        string
		request      iam.AssumeRequest
		want         bool
		deniedAction string
	}{
		{"account and own policy", account, assume, trust(theo, alone, ""), iam.AssumeRequest{}, true, ""},
		{"account, no own policy", account, "", trust(theo, alone, ""), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"named, no own policy", account, "", trust(bob, alone, ""), iam.AssumeRequest{}, true, ""},
		{"named, own deny", account, deny, trust(bob, alone, ""), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"not named", account, assume, trust(`{"AWS":"arn:aws:iam::123456789012:user/carol"}`, alone, ""), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"another account's, both", other, assume, trust(`{"AWS":"999999999999"}`, alone, ""), iam.AssumeRequest{}, true, ""},
		{"another account's, named, no own policy", other, "", trust(`{"AWS":"arn:aws:iam::999999999999:user/bob"}`, alone, ""), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"another account's, named, both", other, assume, trust(`{"AWS":"arn:aws:iam::999999999999:user/bob"}`, alone, ""), iam.AssumeRequest{}, true, ""},
		{"another account's, not named", other, assume, trust(theo, alone, ""), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"external id", account, assume, trust(theo, alone, external), iam.AssumeRequest{ExternalID: "e-1"}, true, ""},
		{"another external id", account, assume, trust(theo, alone, external), iam.AssumeRequest{ExternalID: "e-2"}, false, "sts:AssumeRole"},
		{"no external id", account, assume, trust(theo, alone, external), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"tags", account, assume, trust(theo, all, ""), tagged, true, ""},
		{"tags that the trust policy does not take", account, assume, trust(theo, alone, ""), tagged, false, "sts:TagSession"},
		{"a tag as the policy wants it", account, assume, trust(theo, all, `,"Condition":{"StringEquals":{"aws:RequestTag/team":"growth"}}`), tagged, true, ""},
		{"a tag as it does not", account, assume, trust(theo, all, `,"Condition":{"StringEquals":{"aws:RequestTag/team":"ops"}}`), tagged, false, "sts:AssumeRole"},
		{"source identity", account, assume, trust(theo, all, `,"Condition":{"StringEquals":{"sts:SourceIdentity":"bob"}}`), iam.AssumeRequest{SourceIdentity: "bob"}, true, ""},
		{"source identity that the trust policy does not take", account, assume, trust(theo, alone, ""), iam.AssumeRequest{SourceIdentity: "bob"}, false, "sts:SetSourceIdentity"},
		{"session name", account, assume, trust(theo, alone, `,"Condition":{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}`), iam.AssumeRequest{Session: "bob"}, true, ""},
		{"another session name", account, assume, trust(theo, alone, `,"Condition":{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}`), iam.AssumeRequest{Session: "eve"}, false, "sts:AssumeRole"},
		{"as long as may be", account, assume, trust(theo, alone, `,"Condition":{"NumericLessThanEquals":{"sts:DurationSeconds":"900"}}`), iam.AssumeRequest{Duration: 15 * time.Minute}, true, ""},
		{"longer, said", account, assume, trust(theo, alone, `,"Condition":{"NumericLessThanEqualsIfExists":{"sts:DurationSeconds":"900"}}`), iam.AssumeRequest{Duration: time.Hour}, false, "sts:AssumeRole"},
		{"longer, not said", account, assume, trust(theo, alone, `,"Condition":{"NumericLessThanEqualsIfExists":{"sts:DurationSeconds":"900"}}`), iam.AssumeRequest{}, false, "sts:AssumeRole"},
		{"no such role", account, assume, "", iam.AssumeRequest{}, false, "sts:AssumeRole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			must(t, w.EnsureRoot(ctx, other, "", ""))
			_, err := w.CreateUser(ctx, tt.caller, "bob")
			must(t, err)
			if tt.own != "" {
				must(t, w.PutUserPolicy(ctx, tt.caller, "bob", "own", []byte(tt.own)))
			}
			key, err := w.CreateAccessKey(ctx, tt.caller, "bob")
			must(t, err)
			if tt.trust != "" {
				w.role("target", "/", tt.trust, allowAll)
			}
			bob := w.is(&iam.SessionCredentials{Credentials: key})
			r := tt.request
			r.Role = "arn:aws:iam::123456789012:role/target"
			if r.Session == "" {
				r.Session = "s1"
			}
			_, err = w.assume(&bob, r)
			if tt.want {
				must(t, err)
				return
			}
			wantFault(t, err, fault.AccessDenied, "User: arn:aws:iam::"+tt.caller+":user/bob is not authorized to perform: "+tt.deniedAction+" on resource: arn:aws:iam::123456789012:role/target")
		})
	}
	w := newWorld(t)
	root := w.Principals(account, "us-east-1")[0]
	_, err := w.assume(&root, iam.AssumeRequest{Role: roleARN, Session: "s1"})
	wantFault(t, err, fault.AccessDenied, "Roles may not be assumed by root accounts.")
}

// What another account's trust policy says, and whether there is one, is not to be told from a refusal, nor from its record.
func TestTrustTellsNothing(t *testing.T) {
	const other = "999999999999"
	w := newWorld(t)
	ctx := t.Context()
	must(t, w.EnsureRoot(ctx, other, "", ""))
	_, err := w.CreateUser(ctx, other, "bob")
	must(t, err)
	must(t, w.PutUserPolicy(ctx, other, "bob", "all", []byte(allowAll)))
	key, err := w.CreateAccessKey(ctx, other, "bob")
	must(t, err)
	bob := w.is(&iam.SessionCredentials{Credentials: key})
	w.role("denies", "/", `{"Version":"2012-10-17","Statement":[{"Sid":"secret","Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`, allowAll)
	w.role("unreadable", "/", trustAccount, allowAll)
	st, err := w.store.Principals(ctx)
	must(t, err)
	for _, e := range st.Entities {
		if e.Name == "unreadable" {
			e.Trust = `{"Version":"2030-01-01"}`
			must(t, w.store.ChangePrincipals(ctx, st.Revision, iam.Changes{Put: iam.Rows{Entities: []iam.Entity{e}}}))
		}
	}
	must(t, w.Refresh(ctx))
	refusal := func(c *iam.Caller, role string) policy.Decision {
		t.Helper()
		_, err := w.assume(c, iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/" + role, Session: "s1"})
		d, ok := errors.AsType[*iam.Denial](err)
		if !ok {
			t.Fatalf("%s: %v", role, err)
		}
		return d.Decision
	}
	want := refusal(&bob, "nosuch")
	for _, role := range []string{"denies", "unreadable", "team/caller"} {
		if got := refusal(&bob, role); got != want {
			t.Errorf("%s: %+v, of a role that there is not %+v", role, got, want)
		}
	}
	if got := refusal(&w.alice, "denies"); got.Effect != policy.ExplicitDeny || got.Sid != "secret" { // her own account's
		t.Errorf("%+v", got)
	}
	if got := refusal(&w.alice, "unreadable"); got.Effect != policy.ImplicitDeny {
		t.Errorf("%+v", got)
	}
}

// A trust policy means whoever had a name when it was written, by whatever name he goes later, and nobody who gets the name.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html: "that ARN transforms to the
// user's unique principal ID when you save the policy. This helps mitigate the risk of someone escalating their privileges by
// removing and recreating the user."
func TestTrustOfRecreated(t *testing.T) {
	const other = "999999999999"
	for _, in := range []string{account, other} {
		t.Run(in, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			must(t, w.EnsureRoot(ctx, other, "", ""))
			bob := func(name string) iam.Caller {
				_, err := w.CreateUser(ctx, in, name)
				must(t, err)
				must(t, w.PutUserPolicy(ctx, in, name, "all", []byte(allowAll)))
				key, err := w.CreateAccessKey(ctx, in, name)
				must(t, err)
				return w.is(&iam.SessionCredentials{Credentials: key})
			}
			trusted := bob("bob")
			w.role("target", "/", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::`+in+`:user/bob"]},"Action":"sts:AssumeRole"}]}`, allowAll)
			r := iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/target", Session: "s1"}
			_, err := w.assume(&trusted, r)
			must(t, err)

			must(t, w.MoveEntity(ctx, in, iam.UserKind, "bob", "robert", "/x/"))
			second := bob("bob")
			if _, err := w.assume(&second, r); !fault.Is(err, fault.AccessDenied) {
				t.Errorf("who got the name of who was renamed: %v", err)
			}
			key, err := w.CreateAccessKey(ctx, in, "robert")
			must(t, err)
			trusted = w.is(&iam.SessionCredentials{Credentials: key})
			_, err = w.assume(&trusted, r)
			must(t, err)

			o, err := w.Roster(ctx, in)
			must(t, err)
			robert, err := o.Entity(iam.UserKind, "robert")
			must(t, err)
			for _, k := range o.Keys(robert) {
				must(t, w.DeleteAccessKey(ctx, in, "robert", k.ID))
			}
			must(t, w.DeleteInline(ctx, in, iam.UserKind, "robert", "all"))
			must(t, w.DeleteUser(ctx, in, "robert"))
			third := bob("robert")
			must(t, w.MoveEntity(ctx, in, iam.UserKind, "robert", "", "/x/"))
			if _, err := w.assume(&third, r); !fault.Is(err, fault.AccessDenied) {
				t.Errorf("who got the name of who was deleted: %v", err)
			}
			o, err = w.Roster(ctx, account)
			must(t, err)
			role, err := o.Entity(iam.RoleKind, "target")
			must(t, err)
			if want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + trusted.ID + `"]},"Action":"sts:AssumeRole"}]}`; role.Trust != want {
				t.Errorf("the trust policy is %s, want %s", role.Trust, want)
			}
		})
	}

	// A role that trusts itself goes; its name is another's then.
	w := newWorld(t)
	ctx := t.Context()
	self := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/a"},"Action":"sts:AssumeRole"}}`
	w.role("a", "/", self, allowAll)
	w.role("b", "/", self, allowAll)
	must(t, w.DeleteInline(ctx, account, iam.RoleKind, "a", "may"))
	must(t, w.DeleteEntity(ctx, account, iam.RoleKind, "a"))
	w.role("a", "/", trustAccount, allowAll)
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/a", Session: "s1"})
	must(t, err)
	c := w.is(got)
	if _, err := w.assume(&c, iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/b", Session: "s1"}); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("who got the name of a role that was deleted: %v", err)
	}
}

// TestSessionTags: those of the session come before the role's, and the transitive ones go on.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
func TestSessionTags(t *testing.T) {
	w := newWorld(t)
	w.role("first", "/", trustAccount, allowAll, iam.Tag{Key: "team", Value: "role's"}, iam.Tag{Key: "kind", Value: "role's"})
	w.role("second", "/", trustAccount, allowAll)
	arn := func(name string) string { return "arn:aws:iam::123456789012:role/" + name }
	has := func(c *iam.Caller, key, value string) {
		t.Helper()
		trust, err := policy.ParseTrust("t", []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalTag/`+key+`":"`+value+`"}}}}`))
		must(t, err)
		if err := w.guard.Check(t.Context(), "id", c, []iam.Access{{Action: "sts:AssumeRole", Resource: roleARN, Trust: trust}}); err != nil {
			t.Errorf("%s has no tag %s=%s", c.ARN, key, value)
		}
	}
	got, err := w.assume(&w.alice, iam.AssumeRequest{
		Role: arn("first"), Session: "s1", SourceIdentity: "alice", Tags: []iam.Tag{{Key: "Team", Value: "growth"}, {Key: "cost", Value: "7"}}, Transitive: []string{"team"},
	})
	must(t, err)
	if got.Packed == nil || *got.Packed < 1 || *got.Packed > 5 || got.SourceIdentity != "alice" {
		t.Errorf("%+v", got)
	}
	first := w.is(got)
	has(&first, "team", "growth")
	has(&first, "cost", "7")
	has(&first, "kind", "role's")
	if first.SourceIdentity != "alice" {
		t.Errorf("source identity %q", first.SourceIdentity)
	}

	got, err = w.assume(&first, iam.AssumeRequest{Role: arn("second"), Session: "s2"})
	must(t, err)
	second := w.is(got)
	has(&second, "Team", "growth")
	if second.SourceIdentity != "alice" || second.ARN != "arn:aws:sts::123456789012:assumed-role/second/s2" {
		t.Errorf("%+v", second)
	}
	trust, err := policy.ParseTrust("t", []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"Null":{"aws:PrincipalTag/cost":"true","aws:PrincipalTag/kind":"true"}}}}`))
	must(t, err)
	must(t, w.guard.Check(t.Context(), "id", &second, []iam.Access{{Action: "sts:AssumeRole", Resource: roleARN, Trust: trust}}))
	got, err = w.assume(&second, iam.AssumeRequest{Role: roleARN, Session: "s3"}) // what is passed on is passed on again
	must(t, err)
	third := w.is(got)
	has(&third, "team", "growth")

	for _, tt := range []struct {
		caller  *iam.Caller
		request iam.AssumeRequest
		kind    fault.Kind
		message string
	}{
		{&first, iam.AssumeRequest{Tags: []iam.Tag{{Key: "TEAM", Value: "x"}}}, fault.InvalidInput, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."},
		{&w.alice, iam.AssumeRequest{Transitive: []string{"team"}}, fault.InvalidInput, "The specified transitive tag key must be included in the requested tags."},
		{&w.alice, iam.AssumeRequest{Tags: []iam.Tag{{Key: "a", Value: "x"}, {Key: "A", Value: "y"}}}, fault.InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{&first, iam.AssumeRequest{SourceIdentity: "bob"}, fault.AccessDenied, "User: arn:aws:sts::123456789012:assumed-role/first/s1 is not authorized to perform: sts:SetSourceIdentity on resource: " + arn("second")},
		{&first, iam.AssumeRequest{Duration: 2 * time.Hour}, fault.InvalidInput, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
		{&w.alice, iam.AssumeRequest{Duration: 2*time.Hour + time.Second}, fault.InvalidInput, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
	} {
		r := tt.request
		r.Role, r.Session = arn("second"), "s9"
		_, err := w.assume(tt.caller, r)
		wantFault(t, err, tt.kind, tt.message)
	}
}

// TestSessionPolicies: they bound a session and give it nothing.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
func TestSessionPolicies(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	reading := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["bedrock:Get*","s3:*"],"Resource":"*"}}`
	managed, err := w.CreatePolicy(ctx, iam.ManagedPolicy{Account: account, Name: "calls"}, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:Invoke*","Resource":"*"}}`)
	must(t, err)
	must(t, w.PutInline(ctx, account, iam.RoleKind, "caller", "may", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}}`))
	for _, tt := range []struct {
		name     string
		request  iam.AssumeRequest
		get, run bool
	}{
		{"none", iam.AssumeRequest{}, true, true},
		{"inline", iam.AssumeRequest{Policy: reading}, true, false},
		{"managed", iam.AssumeRequest{Policies: []string{managed.ARN()}}, false, true},
		{"both", iam.AssumeRequest{Policy: reading, Policies: []string{managed.ARN()}}, true, true},
		{"AWS's", iam.AssumeRequest{Policies: []string{"arn:aws:iam::aws:policy/AmazonBedrockReadOnly"}}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.request
			r.Role, r.Session = roleARN, "s1"
			got, err := w.assume(&w.alice, r)
			must(t, err)
			if (got.Packed != nil) != (r.Policy != "" || r.Policies != nil) {
				t.Errorf("packed %v", got.Packed)
			}
			c := w.is(got)
			for action, want := range map[string]bool{"bedrock:GetInferenceProfile": tt.get, "bedrock:InvokeModel": tt.run, "s3:ListBuckets": false} {
				err := w.may(&c, action, "*", nil)
				if (err == nil) != want {
					t.Errorf("%s: %v", action, err)
				}
				if err != nil && action != "s3:ListBuckets" && !strings.HasSuffix(fault.From(err).Message, "because no session policy allows the "+action+" action") {
					t.Errorf("%s: %v", action, err)
				}
			}
		})
	}
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "s1", Policies: []string{managed.ARN()}})
	must(t, err)
	c := w.is(got)
	must(t, w.may(&c, "bedrock:InvokeModel", "*", nil))
	_, err = w.CreatePolicyVersion(ctx, account, managed.ARN(), reading, true)
	must(t, err)
	c = w.is(got)
	if w.may(&c, "bedrock:InvokeModel", "*", nil) == nil {
		t.Error("a managed policy's new version does not count")
	}
	must(t, w.DeletePolicyVersion(ctx, account, managed.ARN(), 1))
	must(t, w.DeletePolicy(ctx, account, managed.ARN()))
	c = w.is(got)
	if w.may(&c, "bedrock:GetInferenceProfile", "*", nil) == nil {
		t.Error("without its policy the session may do more")
	}

	random := func(n int) string {
		b := make([]byte, n)
		rand.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	var many []iam.Tag
	for i := range 50 {
		many = append(many, iam.Tag{Key: fmt.Sprint("key", i), Value: random(150)})
	}
	long := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:*","Resource":"` + strings.Repeat("a", 2100) + `"}}`
	for _, tt := range []struct {
		name    string
		request iam.AssumeRequest
		kind    fault.Kind
	}{
		{"malformed", iam.AssumeRequest{Policy: "{}"}, fault.MalformedPolicy},
		{"too long", iam.AssumeRequest{Policy: strings.Replace(long, `"a`, `"arn:aws:s3:::a`, 1)}, fault.PackedPolicy},
		{"no such policy", iam.AssumeRequest{Policies: []string{"arn:aws:iam::123456789012:policy/nosuch"}}, fault.InvalidInput},
		{"another account's policy", iam.AssumeRequest{Policies: []string{"arn:aws:iam::999999999999:policy/calls"}}, fault.InvalidInput},
		{"too many", iam.AssumeRequest{Policies: make([]string, 11)}, fault.InvalidInput},
		{"too much together", iam.AssumeRequest{Tags: many}, fault.PackedPolicy},
	} {
		r := tt.request
		r.Role, r.Session = roleARN, "s1"
		if _, err := w.assume(&w.alice, r); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.kind)
		}
	}
}

// Where a policy of a caller's is gone or cannot be read, what it would deny is not known: a trust policy that names the caller is
// not enough then.
func TestTrustOfUnreadable(t *testing.T) {
	const future = `{"Version":"2030-01-01"}`
	ctx := t.Context()
	trusts := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}}`
	}
	target := iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/target", Session: "s2"}
	t.Run("session", func(t *testing.T) {
		w := newWorld(t)
		managed, err := w.CreatePolicy(ctx, iam.ManagedPolicy{Account: account, Name: "calls", Path: "/"}, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}`)
		must(t, err)
		w.role("target", "/", trusts("arn:aws:sts::123456789012:assumed-role/caller/s1"), allowAll)
		got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "s1", Policies: []string{managed.ARN()}})
		must(t, err)
		must(t, w.DeletePolicy(ctx, account, managed.ARN()))
		c := w.is(got)
		if _, err := w.assume(&c, target); !fault.Is(err, fault.AccessDenied) {
			t.Errorf("without its policy the session may do more: %v", err)
		}
	})
	t.Run("user", func(t *testing.T) {
		w := newWorld(t)
		w.role("target", "/", trusts(w.alice.ARN), allowAll)
		_, err := w.assume(&w.alice, target)
		must(t, err)
		key, err := w.CreateAccessKey(ctx, account, "alice")
		must(t, err)
		st, err := w.store.Principals(ctx)
		must(t, err)
		must(t, w.store.ChangePrincipals(ctx, st.Revision, iam.Changes{Put: iam.Rows{Inline: []iam.InlinePolicy{{Owner: w.alice.ID, Name: "new", Document: future}}}}))
		must(t, w.Refresh(ctx))
		c := w.is(&iam.SessionCredentials{Credentials: key})
		if _, err := w.assume(&c, target); !fault.Is(err, fault.AccessDenied) {
			t.Errorf("with a policy that cannot be read: %v", err)
		}
	})
}

// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func TestGetSessionToken(t *testing.T) {
	w := newWorld(t)
	got, err := w.GetSessionToken(&w.alice, 0)
	must(t, err)
	if got.Expires != w.now.Add(12*time.Hour) {
		t.Errorf("%+v", got)
	}
	c := w.is(got)
	if c.ARN != w.alice.ARN || c.ID != w.alice.ID || c.UserName != "alice" || c.Role != "" || c.Issued.IsZero() || c.AccessKeyID != got.ID {
		t.Errorf("%+v", c)
	}
	must(t, w.may(&c, "bedrock:InvokeModel", profileARN, nil))
	_, err = w.Authenticator().Authenticate(w.sign(got, "iam"), iam.Claim{}, nil, "id")
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
	_, err = w.GetSessionToken(&c, 0)
	wantFault(t, err, fault.AccessDenied, "Cannot call GetSessionToken with session credentials")
	_, err = w.assume(&c, iam.AssumeRequest{Role: roleARN, Session: "s1", Duration: 2 * time.Hour}) // it is no chain
	must(t, err)

	// A user's goes on without the access key, as in AWS, and ends with the user.
	ctx := t.Context()
	must(t, w.SetAccessKeyStatus(ctx, account, "alice", w.alice.AccessKeyID, false))
	w.is(got)
	must(t, w.DeleteAccessKey(ctx, account, "alice", w.alice.AccessKeyID))
	w.is(got)
	must(t, w.DeleteInline(ctx, account, iam.UserKind, "alice", "all"))
	must(t, w.DeleteUser(ctx, account, "alice"))
	_, err = w.CreateUser(ctx, account, "alice")
	must(t, err)
	_, err = w.authenticate(got)
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")

	// Root never goes, so its session ends with its access key.
	key, err := w.CreateAccessKey(ctx, account, "")
	must(t, err)
	root := w.is(&iam.SessionCredentials{Credentials: key})
	got, err = w.GetSessionToken(&root, 12*time.Hour)
	must(t, err)
	if c := w.is(got); !c.Root || got.Expires != w.now.Add(time.Hour) {
		t.Errorf("%+v until %v", c, got.Expires)
	}
	must(t, w.SetAccessKeyStatus(ctx, account, "", key.ID, false))
	_, err = w.authenticate(got)
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
	must(t, w.SetAccessKeyStatus(ctx, account, "", key.ID, true))
	w.is(got)
	must(t, w.DeleteAccessKey(ctx, account, "", key.ID))
	_, err = w.authenticate(got)
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
}

// TestSessionContext: the keys that come with a session.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func TestSessionContext(t *testing.T) {
	w := newWorld(t)
	o, err := w.Roster(t.Context(), account)
	must(t, err)
	role, err := o.Entity(iam.RoleKind, "caller")
	must(t, err)
	got, err := w.assume(&w.alice, iam.AssumeRequest{Role: roleARN, Session: "s1", SourceIdentity: "alice", Tags: []iam.Tag{{Key: "team", Value: "growth"}}})
	must(t, err)
	for _, tt := range []struct {
		operator, key, value string
		want                 bool
	}{
		{"ArnEquals", "aws:PrincipalArn", roleARN, true},
		{"ArnEquals", "aws:PrincipalArn", got.ARN, false},
		{"StringEquals", "aws:PrincipalType", "AssumedRole", true},
		{"StringEquals", "aws:PrincipalAccount", account, true},
		{"StringEquals", "aws:userid", role.ID + ":s1", true},
		{"StringEquals", "aws:PrincipalTag/TEAM", "growth", true},
		{"StringEquals", "aws:SourceIdentity", "alice", true},
		{"Null", "aws:username", "true", true},
		{"Null", "aws:FederatedProvider", "true", true},
		{"DateEquals", "aws:TokenIssueTime", "2026-11-23T11:35:12Z", true},
		{"Bool", "aws:MultiFactorAuthPresent", "false", true},
		{"Null", "aws:MultiFactorAuthPresent", "true", false},
	} {
		must(t, w.PutInline(t.Context(), account, iam.RoleKind, "caller", "may", fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{%q:{%q:%q}}}}`, tt.operator, tt.key, tt.value)))
		c := w.is(got)
		if err := w.may(&c, "bedrock:InvokeModel", "*", nil); (err == nil) != tt.want {
			t.Errorf("%s %s %s: %v", tt.operator, tt.key, tt.value, err)
		}
	}
}

// The caller's address and protocol, as proxies tell them.
// Source: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address
func TestTrustedProxies(t *testing.T) {
	dir := open(t, nil)
	ctx := t.Context()
	must(t, dir.EnsureRoot(ctx, account, "", ""))
	sealer, err := iam.OpenSealer(filepath.Join(dir.dir, "outcrop.key"), false)
	must(t, err)
	_, err = dir.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := dir.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	d, err := iam.Open(ctx, iam.Config{Store: dir.store, Sealer: sealer, TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
	}})
	must(t, err)
	g := iam.NewGuard(iam.GuardConfig{})
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		proto        string
		ip           string
		secure       bool
	}{
		{"no proxy", "203.0.113.7:1", nil, "", "203.0.113.7", false},
		{"a stranger who says that he is one", "203.0.113.7:1", []string{"198.51.100.1"}, "https", "203.0.113.7", false},
		{"one proxy", "10.1.2.3:1", []string{"198.51.100.1"}, "https", "198.51.100.1", true},
		{"what the caller himself put before", "10.1.2.3:1", []string{"10.9.9.9, 198.51.100.1"}, "http", "198.51.100.1", false},
		{"two proxies", "10.1.2.3:1", []string{"1.1.1.1, 198.51.100.1", "192.0.2.1"}, "https", "198.51.100.1", true},
		{"two secure proxies", "10.1.2.3:1", []string{"198.51.100.1, 192.0.2.1"}, "https, HTTPS", "198.51.100.1", true},
		{"what the caller himself says of the protocol", "10.1.2.3:1", []string{"198.51.100.1"}, "https, http", "198.51.100.1", false},
		{"a caller among the proxies", "10.1.2.3:1", []string{"10.7.7.7"}, "", "10.7.7.7", false},
		{"with a port", "10.1.2.3:1", []string{"198.51.100.1:1234"}, "", "198.51.100.1", false},
		{"IPv6", "[2001:db8::1]:1", []string{"2a00:1450::5"}, "", "2a00:1450::5", false},
		{"IPv6 with a port", "[2001:db8::1]:1", []string{"[2a00:1450::5]:77"}, "", "2a00:1450::5", false},
		{"IPv4 in IPv6", "[::ffff:10.1.2.3]:1", []string{"::ffff:198.51.100.1"}, "", "198.51.100.1", false},
		{"nonsense", "10.1.2.3:1", []string{"unknown"}, "", "10.1.2.3", false},
		{"nothing said", "10.1.2.3:1", nil, "", "10.1.2.3", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, d.PutUserPolicy(ctx, account, "alice", "p", fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":%q},"Bool":{"aws:SecureTransport":"%v"}}}}`, tt.ip, tt.secure)))
			w := &world{directory: directory{Directory: d}, t: t, now: time.Now()}
			r := w.sign(&iam.SessionCredentials{Credentials: key}, "bedrock")
			r.RemoteAddr = tt.remote
			for _, f := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			if tt.proto != "" {
				r.Header.Set("X-Forwarded-Proto", tt.proto)
			}
			c, err := d.Authenticator().Authenticate(r, iam.Claim{}, nil, "id")
			must(t, err)
			must(t, g.Check(ctx, "id", &c, []iam.Access{{Action: "a:B", Resource: "*"}}))
		})
	}
}
