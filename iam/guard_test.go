package iam_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
)

// signAndAuthenticate makes the Caller of key in us-east-1. It signs the one simple request that it needs by itself.
func signAndAuthenticate(t testing.TB, d directory, key iam.Credentials) iam.Caller {
	t.Helper()
	c, err := authenticate(d, key, time.Now().UTC())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func authenticate(d directory, key iam.Credentials, at time.Time) (iam.Caller, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.RemoteAddr = "h", "203.0.113.7:51234"
	date := at.Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("User-Agent", "aws-cli/2.0")
	scope := date[:8] + "/us-east-1/bedrock/aws4_request"
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	k := []byte("AWS4" + key.Secret)
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + sum("GET\n/\n\nhost:h\nx-amz-date:"+date+"\n\nhost;x-amz-date\n"+sum(""))
	for _, s := range append(strings.Split(scope, "/"), toSign) {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(s))
		k = m.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-date, Signature=%x", key.ID, scope, k))
	return d.Authenticator().Authenticate(r, iam.Claim{}, nil, "id")
}

func alice(t testing.TB, policies ...string) (directory, iam.Caller) {
	t.Helper()
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	_, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	for i, p := range policies {
		must(t, d.PutUserPolicy(ctx, account, "alice", fmt.Sprint("policy-", i), []byte(p)))
	}
	return d, signAndAuthenticate(t, d, key)
}

const (
	profileARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef123456"
	modelARN   = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
)

func TestInactiveKey(t *testing.T) {
	d := open(t, nil)
	ctx := t.Context()
	must(t, d.EnsureRoot(ctx, account, "", ""))
	u, err := d.CreateUser(ctx, account, "alice")
	must(t, err)
	key, err := d.CreateAccessKey(ctx, account, "alice")
	must(t, err)
	c := signAndAuthenticate(t, d, key)
	if c.ARN != u.ARN() || c.ID != u.ID || c.UserName != "alice" || c.Root || c.Account != account || c.AccessKeyID != key.ID || c.Region != "us-east-1" || c.Service != "bedrock" {
		t.Errorf("%+v", c)
	}
	must(t, d.SetAccessKeyStatus(ctx, account, "alice", key.ID, false))
	_, err = authenticate(d, key, time.Now().UTC())
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
	must(t, d.SetAccessKeyStatus(ctx, account, "alice", key.ID, true))
	signAndAuthenticate(t, d, key)
}

// Each resource of a Check has its own account, and a foundation model has none.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceaccount
func TestResourceAccount(t *testing.T) {
	profile, model := iam.Access{Action: "bedrock:InvokeModel", Resource: profileARN}, iam.Access{Action: "bedrock:InvokeModel", Resource: modelARN}
	other := iam.Access{Action: "iam:GetPolicy", Resource: "arn:aws:iam::aws:policy/AdministratorAccess"}
	for _, tt := range []struct {
		condition string
		denied    string // of profile, model and other, the resource at which it ends
	}{
		{`"StringEquals":{"aws:ResourceAccount":"123456789012"}`, modelARN},
		{`"StringEqualsIfExists":{"aws:ResourceAccount":"${aws:PrincipalAccount}"}`, ""},
		{`"StringEqualsIfExists":{"AWS:resourceaccount":"999999999999"}`, profileARN},
		{`"Null":{"aws:ResourceAccount":"true"}`, profileARN},
	} {
		_, c := alice(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+tt.condition+`}}}`)
		err := iam.NewGuard(iam.GuardConfig{}).Check(t.Context(), "request-1", &c, []iam.Access{profile, model, other})
		switch denied := (*iam.Denial)(nil); {
		case tt.denied == "":
			must(t, err)
		case !errors.As(err, &denied) || denied.Access.Resource != tt.denied:
			t.Errorf("%s: %v, want an end at %s", tt.condition, err, tt.denied)
		}
	}
}

// The words of denials: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func TestGuard(t *testing.T) {
	const (
		allowProfile = `{"Version":"2012-10-17","Statement":[{"Sid":"P","Effect":"Allow","Action":"bedrock:Invoke*","Resource":"arn:aws:bedrock:*:123456789012:application-inference-profile/*"}]}`
		allowModel   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"ArnLike":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}}}`
		denyModel    = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"unspecified"}}}}`
	)
	through := policy.Context{"bedrock:InferenceProfileArn": {profileARN}}
	both := []iam.Access{{Action: "bedrock:InvokeModel", Resource: profileARN}, {Action: "bedrock:InvokeModel", Resource: modelARN, Context: through}}
	global := append(both[:2:2], iam.Access{Action: "bedrock:InvokeModel", Resource: "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0",
		Context: policy.Context{"bedrock:InferenceProfileArn": {profileARN}, "aws:RequestedRegion": {"unspecified"}}})
	const user = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: "
	tests := []struct {
		name     string
		policies []string
		access   []iam.Access
		message  string // "" is allowed
		record   []policy.Decision
	}{
		{"nothing is allowed", nil, both, user + "bedrock:InvokeModel on resource: " + profileARN + " because no identity-based policy allows the bedrock:InvokeModel action", []policy.Decision{{Layer: policy.Identity, Statement: -1}}},
		{"one of two is allowed", []string{allowProfile}, both, user + "bedrock:InvokeModel on resource: " + modelARN + " because no identity-based policy allows the bedrock:InvokeModel action",
			[]policy.Decision{{Effect: policy.Allow, Layer: policy.Identity, Policy: "policy-0", Sid: "P"}, {Layer: policy.Identity, Statement: -1}}},
		{"both are allowed", []string{allowProfile, allowModel}, both, "", []policy.Decision{{Effect: policy.Allow, Layer: policy.Identity, Policy: "policy-0", Sid: "P"}, {Effect: policy.Allow, Layer: policy.Identity, Policy: "policy-1"}}},
		{"the model by itself", []string{allowProfile, allowModel}, []iam.Access{{Action: "bedrock:InvokeModel", Resource: modelARN}}, user + "bedrock:InvokeModel on resource: " + modelARN + " because no identity-based policy allows the bedrock:InvokeModel action", []policy.Decision{{Layer: policy.Identity, Statement: -1}}},
		{"outside any Region", []string{allowProfile, allowModel, denyModel}, global, user + "bedrock:InvokeModel on resource: arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0 with an explicit deny in an identity-based policy",
			[]policy.Decision{{Effect: policy.Allow, Layer: policy.Identity, Policy: "policy-0", Sid: "P"}, {Effect: policy.Allow, Layer: policy.Identity, Policy: "policy-1"}, {Effect: policy.ExplicitDeny, Layer: policy.Identity, Policy: "policy-2"}}},
		{"another account", []string{allowAll}, []iam.Access{{Action: "bedrock:GetInferenceProfile", Resource: strings.Replace(profileARN, account, "999999999999", 1)}}, user + "bedrock:GetInferenceProfile on resource: " + strings.Replace(profileARN, account, "999999999999", 1) + " because no resource-based policy allows the bedrock:GetInferenceProfile action", []policy.Decision{{Layer: policy.Resource, Statement: -1}}},
		{"nothing to access", nil, nil, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, c := alice(t, tt.policies...)
			for _, all := range []bool{false, true} {
				var got []iam.Decision
				g := iam.NewGuard(iam.GuardConfig{Record: func(d iam.Decision) { got = append(got, d) }, RecordAllowed: all})
				err := g.Check(t.Context(), "request-1", &c, tt.access)
				if tt.message == "" {
					must(t, err)
				} else {
					wantFault(t, err, fault.AccessDenied, tt.message)
				}
				want := tt.record
				if !all {
					want = nil
					if n := len(tt.record); n > 0 && tt.message != "" {
						want = tt.record[n-1:]
					}
				}
				if len(got) != len(want) {
					t.Fatalf("recorded %+v, want %+v", got, want)
				}
				for i, d := range got {
					a := tt.access[i+len(tt.record)-len(want)]
					if d.Decision != want[i] || d.RequestID != "request-1" || d.Caller.ARN != c.ARN || d.Time.IsZero() || d.Access.Resource != a.Resource || d.Access.Action != a.Action {
						t.Errorf("recorded %+v, want %+v of %+v", d, want[i], a)
					}
				}
			}
		})
	}
}

func TestGuardRoot(t *testing.T) {
	d := open(t, nil)
	must(t, d.EnsureRoot(t.Context(), account, "admin", "the-secret"))
	c := signAndAuthenticate(t, d, iam.Credentials{ID: "admin", Secret: "the-secret"})
	g := iam.NewGuard(iam.GuardConfig{})
	must(t, g.Check(t.Context(), "id", &c, []iam.Access{
		{Action: "bedrock:InvokeModel", Resource: profileARN}, {Action: "bedrock:InvokeModel", Resource: modelARN}, {Action: "bedrock:ListInferenceProfiles", Resource: "*"},
		{Action: "iam:CreateUser", Resource: "arn:aws:iam::" + account + ":user/bob"},
	}))
	err := g.Check(t.Context(), "id", &c, []iam.Access{{Action: "iam:CreateUser", Resource: "arn:aws:iam::999999999999:user/bob"}})
	wantFault(t, err, fault.AccessDenied, "User: arn:aws:iam::123456789012:root is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::999999999999:user/bob because no resource-based policy allows the iam:CreateUser action")
}

// The keys that come with every request.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func TestGuardContext(t *testing.T) {
	at := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	for _, tt := range []struct {
		operator, key, value string
		want                 bool
	}{
		{"StringEquals", "aws:username", "alice", true},
		{"StringEquals", "aws:PrincipalAccount", account, true},
		{"StringEquals", "aws:PrincipalType", "User", true},
		{"ArnEquals", "aws:PrincipalArn", "arn:aws:iam::123456789012:user/alice", true},
		{"StringLike", "aws:userid", "AIDA*", true},
		{"Bool", "aws:ViaAWSService", "false", true},
		{"Bool", "aws:PrincipalIsAWSService", "false", true},
		{"StringEquals", "aws:RequestedRegion", "us-east-1", true},
		{"StringEquals", "aws:RequestedRegion", "us-west-2", false},
		{"DateEquals", "aws:CurrentTime", "2026-11-23T11:35:12Z", true},
		{"DateLessThan", "aws:CurrentTime", "2026-11-23T11:35:12Z", false},
		{"NumericEquals", "aws:EpochTime", fmt.Sprint(at.Unix()), true},
		{"DateEquals", "aws:EpochTime", "2026-11-23T11:35:12Z", true},
		{"IpAddress", "aws:SourceIp", "203.0.113.0/24", true},
		{"IpAddress", "aws:SourceIp", "192.0.2.0/24", false},
		{"NotIpAddress", "aws:SourceIp", "203.0.113.0/24", false},
		{"Bool", "aws:SecureTransport", "false", true},
		{"StringLike", "aws:UserAgent", "aws-cli/*", true},
		{"Null", "aws:PrincipalOrgID", "true", true},
		{"Null", "aws:MultiFactorAuthPresent", "true", true},
		{"StringEquals", "AWS:UserName", "alice", true},
		{"StringLike", "aws:PrincipalArn", "*/${aws:username}", true},
	} {
		t.Run(tt.operator+" "+tt.key+" "+tt.value, func(t *testing.T) {
			_, c := alice(t, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{%q:{%q:%q}}}}`, tt.operator, tt.key, tt.value))
			g := iam.NewGuard(iam.GuardConfig{Clock: func() time.Time { return at }})
			err := g.Check(t.Context(), "id", &c, []iam.Access{{Action: "bedrock:InvokeModel", Resource: "*"}})
			if (err == nil) != tt.want || err != nil && !fault.Is(err, fault.AccessDenied) {
				t.Errorf("%v", err)
			}
		})
	}

	// What an access says by itself wins.
	_, c := alice(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}}`)
	g := iam.NewGuard(iam.GuardConfig{})
	access := []iam.Access{{Action: "a:B", Resource: "*", Context: policy.Context{"aws:RequestedRegion": {"eu-west-1"}}}}
	must(t, g.Check(t.Context(), "id", &c, access))
	// What one access says is forgotten at the next.
	if err := g.Check(t.Context(), "id", &c, append(access, iam.Access{Action: "a:C", Resource: "*"})); err == nil {
		t.Error("the second access saw the context of the first")
	}
}

func BenchmarkGuard(b *testing.B) {
	ctx := context.Background()
	through := policy.Context{"bedrock:InferenceProfileArn": {profileARN}}
	access := []iam.Access{
		{Action: "bedrock:InvokeModel", Resource: profileARN}, {Action: "bedrock:InvokeModel", Resource: modelARN, Context: through},
		{Action: "bedrock:InvokeModel", Resource: strings.Replace(modelARN, "us-east-1", "us-west-2", 1), Context: through},
	}
	for _, bench := range []struct{ name, policy string }{
		{"AllowAll", allowAll},
		{"Plain", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:Delete*","Resource":"*"},{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":["arn:aws:bedrock:*:123456789012:application-inference-profile/*","arn:aws:bedrock:*::foundation-model/*"]}]}`},
		{"Conditions", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*:123456789012:application-inference-profile/*"},{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/*","Condition":{"ArnLike":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}}]}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			_, c := alice(b, bench.policy)
			g := iam.NewGuard(iam.GuardConfig{})
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Check(ctx, "id", &c, access); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestPrincipals: what a Guard says of a principal that nobody has authenticated is what it says of the same one's request.
func TestPrincipals(t *testing.T) {
	d, authenticated := alice(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"`+modelARN+`",
		"Condition":{"StringEquals":{"aws:username":"alice","aws:RequestedRegion":"us-east-1"}}}]}`)
	_, err := d.CreateUser(t.Context(), account, "bob")
	must(t, err)
	g := iam.NewGuard(iam.GuardConfig{})
	all := d.Principals(account, "us-east-1")
	if len(all) != 3 || !all[0].Root || all[1].ARN != authenticated.ARN || all[2].UserName != "bob" {
		t.Fatalf("%+v", all)
	}
	for i, want := range [][2]bool{{true, true}, {true, false}, {false, false}} {
		for j, resource := range []string{modelARN, profileARN} {
			access := []iam.Access{{Action: "bedrock:InvokeModel", Resource: resource}}
			err := g.Check(t.Context(), "id", &all[i], access)
			if (err == nil) != want[j] || err != nil && !fault.Is(err, fault.AccessDenied) {
				t.Errorf("%s on %s: %v", all[i].ARN, resource, err)
			}
			if i != 1 {
				continue
			}
			if same := g.Check(t.Context(), "id", &authenticated, access); fmt.Sprint(same) != fmt.Sprint(err) {
				t.Errorf("it says %v, of a request %v", err, same)
			}
		}
	}
	if elsewhere := d.Principals(account, "eu-west-1"); g.Check(t.Context(), "id", &elsewhere[1], []iam.Access{{Action: "bedrock:InvokeModel", Resource: modelARN}}) == nil {
		t.Error("the Region of a principal is not the one that is asked for")
	}
	if strangers := d.Principals("999999999999", "us-east-1"); len(strangers) != 0 {
		t.Errorf("of an account that is not there: %+v", strangers)
	}
}

// The error of Check says for the record what was refused, and what decided so; its message, which the caller reads, does not.
func TestDenial(t *testing.T) {
	_, c := alice(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"NoDeletes","Effect":"Deny","Action":"bedrock:Delete*","Resource":"*"}]}`)
	g := iam.NewGuard(iam.GuardConfig{})
	deletion := iam.Access{Action: "bedrock:DeleteInferenceProfile", Resource: profileARN}
	err := g.Check(t.Context(), "id", &c, []iam.Access{{Action: "bedrock:GetInferenceProfile", Resource: profileARN}, deletion})
	d, ok := errors.AsType[*iam.Denial](err)
	if !ok || d.Access.Action != deletion.Action || d.Access.Resource != deletion.Resource || d.Decision.Effect != policy.ExplicitDeny || d.Decision.Policy != "policy-0" || d.Decision.Sid != "NoDeletes" {
		t.Errorf("%v: %+v", err, d)
	}
	if f := fault.From(err); strings.Contains(f.Message, "NoDeletes") || strings.Contains(f.Message, "policy-0") {
		t.Errorf("the caller reads %q", f.Message)
	}
}

// A guardrail bounds everyone in the account, its root too, and gives nothing.
// Source: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
func TestGuardrail(t *testing.T) {
	ctx := t.Context()
	d, _ := alice(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}}`)
	_, err := d.CreateUser(ctx, account, "bob")
	must(t, err)
	must(t, d.EnsureRoot(ctx, "999999999999", "", ""))
	g := iam.NewGuard(iam.GuardConfig{})
	check := func(when string, want map[string]string) {
		t.Helper()
		for _, c := range append(d.Principals(account, "us-east-1"), d.Principals("999999999999", "us-east-1")...) {
			for action, words := range map[string]string{"bedrock:InvokeModel": "", "bedrock:DeleteInferenceProfile": ""} {
				if w, ok := want[c.ARN+" "+action]; ok {
					words = w
				}
				err := g.Check(ctx, "id", &c, []iam.Access{{Action: action, Resource: "*"}})
				switch {
				case words == "" && err != nil, words != "" && err == nil:
					t.Errorf("%s: %s %s: %v, want %q", when, c.ARN, action, err, words)
				case err != nil && !strings.HasSuffix(fault.From(err).Message, words):
					t.Errorf("%s: %s %s: %v, want %q", when, c.ARN, action, err, words)
				}
			}
		}
	}
	const (
		root, user, bob = "arn:aws:iam::123456789012:root ", "arn:aws:iam::123456789012:user/alice ", "arn:aws:iam::123456789012:user/bob "
		call, remove    = "bedrock:InvokeModel", "bedrock:DeleteInferenceProfile"
		noIdentity      = "because no identity-based policy allows the "
		denied          = "with an explicit deny in a service control policy"
		notAllowed      = "because no service control policy allows the "
	)
	bobs := func(want map[string]string) map[string]string {
		for _, action := range []string{call, remove} {
			if _, ok := want[bob+action]; !ok {
				want[bob+action] = noIdentity + action + " action"
			}
		}
		return want
	}
	check("without one", bobs(map[string]string{}))
	must(t, d.PutGuardrail(ctx, account, "no-deletion", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:Delete*","Resource":"*"}}`))
	check("deny", bobs(map[string]string{root + remove: denied, user + remove: denied, bob + remove: denied}))
	must(t, d.DeleteGuardrail(ctx, account, iam.FullAccess))
	check("without FullAWSAccess", map[string]string{
		root + call: notAllowed + call + " action", user + call: notAllowed + call + " action", bob + call: notAllowed + call + " action",
		root + remove: denied, user + remove: denied, bob + remove: denied,
	})
	must(t, d.PutGuardrail(ctx, account, "no-deletion", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:Invoke*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalType":["Account","User"]}}}}`))
	check("allow list", bobs(map[string]string{root + remove: notAllowed + remove + " action", user + remove: notAllowed + remove + " action", bob + remove: notAllowed + remove + " action"}))
	must(t, d.DeleteGuardrail(ctx, account, "no-deletion"))
	check("gone", bobs(map[string]string{}))

	for i := range iam.MaxGuardrails - 1 { // and FullAWSAccess
		must(t, d.PutGuardrail(ctx, account, fmt.Sprint("g", i), allowAll))
	}
	wantFault(t, d.PutGuardrail(ctx, account, "more", allowAll), fault.QuotaExceeded, "An account can have up to 5 service control policies.")
	must(t, d.PutGuardrail(ctx, account, "g0", allowAll))
	wantFault(t, d.DeleteGuardrail(ctx, account, "more"), fault.NotFound, "The service control policy with name more cannot be found.")
	wantFault(t, d.PutGuardrail(ctx, "888888888888", "g0", allowAll), fault.NotFound, "The account 888888888888 cannot be found.")
	if err := d.PutGuardrail(ctx, account, "g0", `{"Version":"2012-10-17","Statement":{"Effect":"Alow","Action":"*","Resource":"*"}}`); !fault.Is(err, fault.MalformedPolicy) {
		t.Errorf("%v", err)
	}
}
