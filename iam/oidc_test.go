package iam_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"outcrop/fault"
	"outcrop/iam"
)

// A provider is an identity provider as GitHub Actions or the API server of Kubernetes is one.
type provider struct {
	t       testing.TB
	server  *httptest.Server
	keys    atomic.Pointer[jose.JSONWebKeySet] // what it serves
	fetches atomic.Int64
	keysAt  string // the jwks_uri; "" is its own
	moved   string // where discovery is redirected to; "" is nowhere
	broken  atomic.Bool
	private map[string]any // by key id
}

func newProvider(t testing.TB) *provider {
	p := &provider{t: t, private: map[string]any{}}
	p.keys.Store(&jose.JSONWebKeySet{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if p.broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		if p.moved != "" {
			w.Header().Set("Location", p.moved)
			w.WriteHeader(http.StatusFound)
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"id_token_signing_alg_values_supported":["RS256"]}`, p.server.URL, cmp.Or(p.keysAt, p.server.URL+"/keys"))
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		if p.broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		w.Write(p.jwks())
	})
	p.server = httptest.NewTLSServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) jwks() []byte {
	text, err := json.Marshal(p.keys.Load())
	must(p.t, err)
	return text
}

// ca is the file of the authority of its certificate.
func (p *provider) ca() string {
	file := filepath.Join(p.t.TempDir(), "ca.pem")
	must(p.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}), 0o600))
	return file
}

// add makes a key and publishes it.
func (p *provider) add(id string, private any, public any) {
	p.private[id] = private
	set := jose.JSONWebKeySet{Keys: append(slices.Clone(p.keys.Load().Keys), jose.JSONWebKey{Key: public, KeyID: id})}
	p.keys.Store(&set)
}

func (p *provider) addRSA(id string) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(p.t, err)
	p.add(id, k, k.Public())
}

func (p *provider) sign(alg jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	p.t.Helper()
	opts := (&jose.SignerOptions{}).WithHeader("kid", id).WithType("JWT")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	must(p.t, err)
	text, err := json.Marshal(claims)
	must(p.t, err)
	jws, err := s.Sign(text)
	must(p.t, err)
	token, err := jws.CompactSerialize()
	must(p.t, err)
	return token
}

func (p *provider) token(id string, claims map[string]any) string {
	p.t.Helper()
	return p.sign(jose.RS256, p.private[id], id, claims)
}

// The claims are those of a token of GitHub Actions.
// Source: https://docs.github.com/en/actions/reference/security/oidc
func claimsAt(issuer string, now time.Time) map[string]any {
	return map[string]any{
		"iss": issuer, "sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": "sts.amazonaws.com", "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
		"repository": "octo-org/octo-repo", "amr": []string{"authenticated", "x"}, "run_attempt": 2,
	}
}

func TestIssuers(t *testing.T) {
	p := newProvider(t)
	p.addRSA("one")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	p.add("two", ec, ec.Public())
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	now := time.Date(2026, 11, 23, 11, 35, 12, 0, time.UTC)
	is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: p.server.URL, Audiences: []string{"other", "sts.amazonaws.com"}, CAFile: p.ca()}}, func() time.Time { return now })
	must(t, err)
	ctx := t.Context()
	good := claimsAt(p.server.URL, now)
	with := func(name string, value any) map[string]any {
		c := maps.Clone(good)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	host := strings.TrimPrefix(p.server.URL, "https://")
	for name, token := range map[string]string{
		"RS256": p.token("one", good), "ES256": p.sign(jose.ES256, ec, "two", good), "several audiences": p.token("one", with("aud", []string{"a", "sts.amazonaws.com"})),
		"without a key id": p.sign(jose.RS256, p.private["one"], "", good),
	} {
		id, err := is.Verify(ctx, token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if id.Provider != host || id.Subject != good["sub"] || id.Audience != "sts.amazonaws.com" || id.Issuer != p.server.URL {
			t.Errorf("%s: %+v", name, id)
		}
		c := id.Claims()
		for key, want := range map[string][]string{
			":sub": {"repo:octo-org/octo-repo:ref:refs/heads/main"}, ":aud": {"sts.amazonaws.com"}, ":amr": {"authenticated", "x"}, ":repository": {"octo-org/octo-repo"}, ":run_attempt": nil,
		} {
			if !slices.Equal(c[host+key], want) {
				t.Errorf("%s: %s is %v, want %v", name, key, c[host+key], want)
			}
		}
	}
	// A token with an authorized party is for that one.
	party := with("azp", "other")
	id, err := is.Verify(ctx, p.token("one", party))
	if err != nil || id.Audience != "other" || !slices.Equal(id.Claims()[host+":aud"], []string{"other"}) {
		t.Errorf("an authorized party: %+v %v", id, err)
	}
	forged := strings.Split(p.token("one", good), ".")
	other := strings.Split(p.token("one", with("sub", "someone else")), ".")
	for _, tt := range []struct {
		name, token string
		kind        fault.Kind
	}{
		{"nonsense", "a.b", fault.InvalidIdentityToken},
		{"three parts of nonsense", "a.b.c", fault.InvalidIdentityToken},
		{"another payload", forged[0] + "." + other[1] + "." + forged[2], fault.InvalidIdentityToken},
		{"no algorithm", "eyJhbGciOiJub25lIn0." + forged[1] + ".", fault.InvalidIdentityToken},
		{"a stranger's key", p.sign(jose.RS256, stranger, "one", good), fault.InvalidIdentityToken},
		{"the public key as a secret", p.sign(jose.HS256, p.jwks(), "one", good), fault.InvalidIdentityToken},
		{"another issuer", p.token("one", with("iss", "https://example.com")), fault.InvalidIdentityToken},
		{"almost the issuer", p.token("one", with("iss", p.server.URL+"/")), fault.InvalidIdentityToken},
		{"another audience", p.token("one", with("aud", "x")), fault.InvalidIdentityToken},
		{"another authorized party", p.token("one", with("azp", "x")), fault.InvalidIdentityToken},
		{"no audience", p.token("one", with("aud", nil)), fault.InvalidIdentityToken},
		{"no subject", p.token("one", with("sub", nil)), fault.InvalidIdentityToken},
		{"no time of issue", p.token("one", with("iat", nil)), fault.InvalidIdentityToken},
		{"expired", p.token("one", with("exp", now.Add(-time.Second).Unix())), fault.ExpiredIdentityToken},
		{"no expiry", p.token("one", with("exp", nil)), fault.ExpiredIdentityToken},
		{"not yet", p.token("one", with("nbf", now.Add(10*time.Minute).Unix())), fault.InvalidIdentityToken},
	} {
		if id, err := is.Verify(ctx, tt.token); !fault.Is(err, tt.kind) || id != nil {
			t.Errorf("%s: %v %v, want %v", tt.name, id, err, tt.kind)
		}
	}

	// A key that is new is found; strangers do not make the provider be asked again and again.
	now = now.Add(time.Minute)
	p.addRSA("three")
	if _, err := is.Verify(ctx, p.token("three", good)); err != nil {
		t.Errorf("a new key: %v", err)
	}
	before := p.fetches.Load()
	for range 20 {
		if _, err := is.Verify(ctx, p.sign(jose.RS256, stranger, "nosuch", good)); !fault.Is(err, fault.InvalidIdentityToken) {
			t.Errorf("a stranger: %v", err)
		}
	}
	if n := p.fetches.Load() - before; n > 0 {
		t.Errorf("20 tokens of strangers within a second had the keys read %d times", n)
	}
	now = now.Add(time.Minute)
	p.broken.Store(true)
	if _, err := is.Verify(ctx, p.sign(jose.RS256, stranger, "nosuch", good)); !fault.Is(err, fault.ProviderUnreachable) {
		t.Errorf("keys that cannot be read: %v", err)
	}
	if _, err := is.Verify(ctx, p.token("one", good)); err != nil {
		t.Errorf("a key that is known, when the provider is away: %v", err)
	}
}

// A provider that is away when the first token comes is found later.
func TestIssuerAway(t *testing.T) {
	p := newProvider(t)
	p.addRSA("one")
	p.broken.Store(true)
	now := time.Now()
	is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: p.server.URL, Audiences: []string{"sts.amazonaws.com"}, CAFile: p.ca()}}, func() time.Time { return now })
	must(t, err)
	token := p.token("one", claimsAt(p.server.URL, now))
	for range 2 {
		if _, err := is.Verify(t.Context(), token); !fault.Is(err, fault.ProviderUnreachable) {
			t.Errorf("%v", err)
		}
	}
	p.broken.Store(false)
	now = now.Add(2 * time.Second)
	if _, err := is.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}

// Keys that came over http could be anybody's.
func TestIssuerOverHTTP(t *testing.T) {
	for name, change := range map[string]func(*provider){
		"keys":      func(p *provider) { p.keysAt = "http://keys.example.com/keys" },
		"no keys":   func(p *provider) { p.keysAt = "keys" },
		"discovery": func(p *provider) { p.moved = "http://keys.example.com/.well-known/openid-configuration" },
		"loop":      func(p *provider) { p.moved = p.server.URL + "/.well-known/openid-configuration" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.addRSA("one")
			change(p)
			// What answers at keys.example.com says what the provider itself says.
			forger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/keys" {
					w.Write(p.jwks())
					return
				}
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.server.URL, p.server.URL+"/keys")
			}))
			defer forger.Close()
			transport := http.DefaultTransport.(*http.Transport)
			dial := transport.DialContext
			defer func() { transport.DialContext = dial }()
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr == "keys.example.com:80" {
					addr = forger.Listener.Addr().String()
				}
				return dial(ctx, network, addr)
			}
			is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: p.server.URL, Audiences: []string{"sts.amazonaws.com"}, CAFile: p.ca()}}, nil)
			must(t, err)
			if id, err := is.Verify(t.Context(), p.token("one", claimsAt(p.server.URL, time.Now()))); !fault.Is(err, fault.ProviderUnreachable) || id != nil {
				t.Errorf("%v %v", id, err)
			}
		})
	}
}

// A key that the provider has taken back counts for a while only, whoever calls.
func TestIssuerTakesBack(t *testing.T) {
	p := newProvider(t)
	p.addRSA("one")
	p.addRSA("two")
	file := filepath.Join(t.TempDir(), "keys.json")
	must(t, os.WriteFile(file, p.jwks(), 0o600))
	now := time.Now()
	is, err := iam.NewIssuers([]iam.IssuerConfig{
		{URL: p.server.URL, Audiences: []string{"sts.amazonaws.com"}, CAFile: p.ca()}, {URL: "https://cluster.local", Audiences: []string{"sts.amazonaws.com"}, JWKSFile: file},
	}, func() time.Time { return now })
	must(t, err)
	verify := func(key, issuer string) error {
		_, err := is.Verify(t.Context(), p.token(key, claimsAt(issuer, now)))
		return err
	}
	for _, issuer := range []string{p.server.URL, "https://cluster.local"} {
		must(t, verify("one", issuer))
	}
	kept := jose.JSONWebKeySet{Keys: p.keys.Load().Keys[1:]}
	p.keys.Store(&kept)
	must(t, os.WriteFile(file, p.jwks(), 0o600))
	now = now.Add(time.Minute)
	wantFault(t, verify("one", "https://cluster.local"), fault.InvalidIdentityToken, "The ID Token provided is not valid.")
	must(t, verify("two", "https://cluster.local"))
	must(t, verify("one", p.server.URL))
	now = now.Add(time.Hour)
	wantFault(t, verify("one", p.server.URL), fault.InvalidIdentityToken, "The ID Token provided is not valid.")
	must(t, verify("two", p.server.URL))
	must(t, os.Remove(file))
	if err := verify("two", "https://cluster.local"); !fault.Is(err, fault.ProviderUnreachable) {
		t.Errorf("without its file: %v", err)
	}
}

func TestIssuerFile(t *testing.T) {
	p := newProvider(t)
	p.addRSA("one")
	file := filepath.Join(t.TempDir(), "keys.json")
	must(t, os.WriteFile(file, p.jwks(), 0o600))
	now := time.Now()
	is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: "https://cluster.local", Audiences: []string{"sts.amazonaws.com"}, JWKSFile: file}}, func() time.Time { return now })
	must(t, err)
	claims := claimsAt("https://cluster.local", now)
	_, err = is.Verify(t.Context(), p.token("one", claims))
	must(t, err)
	p.addRSA("two")
	now = now.Add(2 * time.Second)
	if _, err := is.Verify(t.Context(), p.token("two", claims)); !fault.Is(err, fault.InvalidIdentityToken) {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(file, p.jwks(), 0o600))
	now = now.Add(2 * time.Second)
	_, err = is.Verify(t.Context(), p.token("two", claims))
	must(t, err)
	must(t, os.Remove(file))
	now = now.Add(2 * time.Second)
	p.addRSA("three")
	if _, err := is.Verify(t.Context(), p.token("three", claims)); !fault.Is(err, fault.ProviderUnreachable) {
		t.Errorf("%v", err)
	}
	if n := p.fetches.Load(); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// Google's tokens are for a service account, and say in aud for what.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html (OIDC federation)
func TestIssuerGoogle(t *testing.T) {
	p := newProvider(t)
	p.addRSA("one")
	file := filepath.Join(t.TempDir(), "keys.json")
	must(t, os.WriteFile(file, p.jwks(), 0o600))
	now := time.Now()
	const issuer = "https://accounts.google.com"
	for _, audience := range []string{"sts.amazonaws.com", "1234"} {
		is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: issuer, Audiences: []string{audience}, JWKSFile: file}}, func() time.Time { return now })
		must(t, err)
		claims := claimsAt(issuer, now)
		claims["azp"] = "1234"
		id, err := is.Verify(t.Context(), p.token("one", claims))
		must(t, err)
		c := id.Claims()
		if got := fmt.Sprint(c["accounts.google.com:aud"], c["accounts.google.com:oaud"]); got != "[1234] [sts.amazonaws.com]" || id.Audience != "1234" {
			t.Errorf("%s: %s %+v", audience, got, id)
		}
		if who := id.Caller(iam.Caller{}, roleARN); who.Provider != "accounts.google.com" {
			t.Errorf("%+v", who)
		}
	}
}

func TestIssuerConfig(t *testing.T) {
	dir := t.TempDir()
	bad, private := filepath.Join(dir, "bad"), filepath.Join(dir, "private")
	must(t, os.WriteFile(bad, []byte("{}"), 0o600))
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	text, err := json.Marshal(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k, KeyID: "k"}}})
	must(t, err)
	must(t, os.WriteFile(private, text, 0o600))
	good := filepath.Join(dir, "good")
	text, err = json.Marshal(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "k"}}})
	must(t, err)
	must(t, os.WriteFile(good, text, 0o600))
	aud := []string{"a"}
	for _, tt := range []struct {
		configs []iam.IssuerConfig
		want    string
	}{
		{[]iam.IssuerConfig{{URL: "github", Audiences: aud}}, "is not the URL of an issuer"},
		{[]iam.IssuerConfig{{URL: "https://a?b", Audiences: aud}}, "is not the URL of an issuer"},
		{[]iam.IssuerConfig{{URL: "http://a", Audiences: aud}}, "keys are read over https only"},
		{[]iam.IssuerConfig{{URL: "https://a"}}, "audiences are missing"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud}, {URL: "https://a", Audiences: aud}}, "stands twice"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud}, {URL: "http://a", Audiences: aud, JWKSFile: good}}, "stands twice"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud, JWKSFile: filepath.Join(dir, "nosuch")}}, "no such file"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud, JWKSFile: bad}}, "has no keys"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud, JWKSFile: private}}, "is not a public key"},
		{[]iam.IssuerConfig{{URL: "https://a", Audiences: aud, CAFile: bad}}, "holds no certificate"},
	} {
		if _, err := iam.NewIssuers(tt.configs, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// TestWebIdentity: what a trust policy asks of a token, and what a token says of the session.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html
func TestWebIdentity(t *testing.T) {
	w := newWorld(t)
	p := newProvider(t)
	p.addRSA("one")
	is, err := iam.NewIssuers([]iam.IssuerConfig{{URL: p.server.URL, Audiences: []string{"sts.amazonaws.com"}, CAFile: p.ca()}}, func() time.Time { return w.now })
	must(t, err)
	host := strings.TrimPrefix(p.server.URL, "https://")
	trust := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + host + `"},
			"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],"Condition":` + condition + `}}`
	}
	good := claimsAt(p.server.URL, w.now)
	var signer iam.Caller
	assume := func(role string, claims map[string]any) (*iam.SessionCredentials, error) {
		t.Helper()
		id, err := is.Verify(t.Context(), p.token("one", claims))
		must(t, err)
		r := &iam.AssumeRequest{Role: "arn:aws:iam::123456789012:role/" + role, Session: "run", Tags: id.Tags, Transitive: id.Transitive, SourceIdentity: id.SourceIdentity}
		c := id.Caller(signer, r.Role)
		access, err := w.MayAssume(&c, "sts:AssumeRoleWithWebIdentity", r, id.Claims())
		must(t, err)
		if err := w.guard.Check(t.Context(), "id", &c, access); err != nil {
			return nil, err
		}
		return w.AssumeRole(&c, r)
	}
	w.role("ci", "/", trust(`{"StringEquals":{"`+host+`:aud":"sts.amazonaws.com"},"StringLike":{"`+host+`:sub":"repo:octo-org/octo-repo:*"}}`), allowAll)
	w.role("prod", "/", trust(`{"StringLike":{"`+host+`:sub":"repo:octo-org/octo-repo:environment:prod"}}`), allowAll)
	got, err := assume("ci", good)
	must(t, err)
	c := w.is(got)
	if c.ARN != "arn:aws:sts::123456789012:assumed-role/ci/run" || c.Provider != "arn:aws:iam::123456789012:oidc-provider/"+host {
		t.Errorf("%+v", c)
	}
	must(t, w.may(&c, "bedrock:InvokeModel", "*", nil))
	// Who signs the call with other credentials is nobody else for that, and the subject of a token is no user's name.
	w.role("alices", "/", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/alice"},"Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}}`, allowAll)
	w.role("named", "/", trust(`{"StringLike":{"aws:username":"*"}}`), allowAll)
	w.role("unnamed", "/", trust(`{"Null":{"aws:username":"true","aws:PrincipalArn":"true","aws:PrincipalAccount":"true","aws:userid":"true"}}`), allowAll)
	signer = w.alice
	for _, role := range []string{"ci", "unnamed"} {
		if _, err := assume(role, good); err != nil {
			t.Errorf("signed, %s: %v", role, err)
		}
	}
	for _, role := range []string{"alices", "named"} {
		_, err := assume(role, good)
		wantFault(t, err, fault.AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	signer = iam.Caller{}
	for _, role := range []string{"prod", "team/caller", "nosuch", "named"} {
		_, err := assume(role, good)
		wantFault(t, err, fault.AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}

	for claim, values := range map[string][]any{
		"https://aws.amazon.com/source_identity": {"", "a b", "x", strings.Repeat("x", 65), 7, nil, []string{"octocat"}},
		"https://aws.amazon.com/tags": {
			nil, "team", map[string]any{}, map[string]any{"principal_tags": "team"},
			map[string]any{"principal_tags": map[string]any{"team": []string{"growth", "ops"}}}, map[string]any{"principal_tags": map[string]any{"team": []string{}}},
			map[string]any{"principal_tags": map[string]any{"team": 7}}, map[string]any{"principal_tags": map[string]any{"team": []any{nil}}},
			map[string]any{"principal_tags": map[string]any{"": "growth"}}, map[string]any{"principal_tags": map[string]any{"te*m": "growth"}},
			map[string]any{"principal_tags": map[string]any{"team": "a\nb"}}, map[string]any{"principal_tags": map[string]any{"team": strings.Repeat("x", 257)}},
			map[string]any{"principal_tags": map[string]any{strings.Repeat("x", 129): "growth"}},
		},
	} {
		for _, v := range values {
			bad := maps.Clone(good)
			bad[claim] = v
			if id, err := is.Verify(t.Context(), p.token("one", bad)); !fault.Is(err, fault.RejectedClaim) || id != nil {
				t.Errorf("%s %v: %v %v", claim, v, id, err)
			}
		}
	}

	tagged := maps.Clone(good)
	tagged["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"team": []string{"growth"}}, "transitive_tag_keys": []string{"team"}}
	tagged["https://aws.amazon.com/source_identity"] = "octocat"
	got, err = assume("ci", tagged)
	must(t, err)
	if got.SourceIdentity != "octocat" {
		t.Errorf("%+v", got)
	}
	must(t, w.PutInline(t.Context(), account, iam.RoleKind, "ci", "may", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"growth","aws:SourceIdentity":"octocat","aws:FederatedProvider":"arn:aws:iam::123456789012:oidc-provider/`+host+`"}}}}`))
	c = w.is(got)
	must(t, w.may(&c, "bedrock:InvokeModel", "*", nil))
}
