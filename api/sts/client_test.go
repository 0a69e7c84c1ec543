package sts_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"outcrop/api/sts"
	"outcrop/iam"
	"outcrop/store"
	"outcrop/wire"
)

const (
	account = "123456789012"
	all     = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["sts:AssumeRole","sts:TagSession"]},
		{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/cluster.local"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cluster.local:sub":"system:serviceaccount:ml:caller"}}}]}`
	roleARN = "arn:aws:iam::123456789012:role/caller"
)

// rig is the service behind a real server, asked by the SDK's client.
type rig struct {
	t      *testing.T
	people *iam.Directory
	url    string
	key    *rsa.PrivateKey // the identity provider's
	now    time.Time
}

func newRig(t *testing.T) *rig {
	ctx, dir := t.Context(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(ctx, filepath.Join(dir, "outcrop.db"))
	must(err)
	t.Cleanup(func() { s.Close() })
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	must(err)
	r := &rig{t: t, now: time.Now()}
	clock := func() time.Time { return r.now }
	r.people, err = iam.Open(ctx, iam.Config{Store: s, Sealer: sealer, Clock: clock})
	must(err)
	must(r.people.EnsureRoot(ctx, account, "", ""))
	_, err = r.people.CreateEntity(ctx, iam.Entity{Account: account, Kind: iam.RoleKind, Name: "caller", Trust: trust})
	must(err)
	must(r.people.PutInline(ctx, account, iam.RoleKind, "caller", "all", all))
	r.key, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	jwks, err := json.Marshal(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: r.key.Public(), KeyID: "k"}}})
	must(err)
	must(os.WriteFile(filepath.Join(dir, "jwks"), jwks, 0o600))
	issuers, err := iam.NewIssuers([]iam.IssuerConfig{{URL: "https://cluster.local", Audiences: []string{"sts.amazonaws.com"}, JWKSFile: filepath.Join(dir, "jwks")}}, clock)
	must(err)
	guard, auth := iam.NewGuard(iam.GuardConfig{Clock: clock}), r.people.Authenticator()
	server, err := wire.NewServer(wire.Config{
		Services:      []*wire.Service{sts.New(r.people, guard, issuers), {Name: "other", SigningName: "other", Protocol: wire.AWSQuery, Version: "1", Namespace: "n", Exception: sts.New(nil, nil, nil).Exception}},
		Authenticator: auth, Guard: guard, Clock: clock, Logger: slog.New(slog.DiscardHandler), Anonymous: auth.Anonymous,
	})
	must(err)
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	r.url = h.URL
	return r
}

// user makes a user with a policy and returns a client that calls as that user.
func (r *rig) user(name, document string) *client.Client {
	r.t.Helper()
	ctx := r.t.Context()
	if _, err := r.people.CreateUser(ctx, account, name); err != nil {
		r.t.Fatal(err)
	}
	if document != "" {
		if err := r.people.PutUserPolicy(ctx, account, name, "p", []byte(document)); err != nil {
			r.t.Fatal(err)
		}
	}
	key, err := r.people.CreateAccessKey(ctx, account, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.as(credentials.NewStaticCredentialsProvider(key.ID, key.Secret, ""))
}

func (r *rig) as(who aws.CredentialsProvider) *client.Client {
	return client.New(client.Options{Region: "us-east-1", BaseEndpoint: &r.url, Credentials: who, Retryer: aws.NopRetryer{}})
}

func (r *rig) with(c *types.Credentials) *client.Client {
	return r.as(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
}

func code(t *testing.T, err error, want string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestAssumeRole(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	alice := r.user("alice", all)
	got, err := alice.AssumeRole(ctx, &client.AssumeRoleInput{
		RoleArn: aws.String(roleARN), RoleSessionName: aws.String("s1"), DurationSeconds: aws.Int32(900), Policy: aws.String(all),
		PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}},
		Tags:       []types.Tag{{Key: aws.String("team"), Value: aws.String("")}}, TransitiveTagKeys: []string{"team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *got.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/caller/s1" || !strings.HasSuffix(*got.AssumedRoleUser.AssumedRoleId, ":s1") || got.PackedPolicySize == nil || //nolint:staticcheck // clients that read it are there
		int(*got.SessionTokenSize) != len(*got.Credentials.SessionToken) || *got.SessionTokenUtilization < 1 || *got.SessionTokenUtilization > 100 ||
		got.Credentials.Expiration.Sub(r.now) > 15*time.Minute || got.Credentials.Expiration.Sub(r.now) < 14*time.Minute || got.SourceIdentity != nil {
		t.Errorf("%+v", got)
	}
	me, err := r.with(got.Credentials).GetCallerIdentity(ctx, nil)
	if err != nil || *me.Arn != *got.AssumedRoleUser.Arn || *me.UserId != *got.AssumedRoleUser.AssumedRoleId || *me.Account != account {
		t.Errorf("%+v, %v", me, err)
	}
	_, err = r.with(got.Credentials).GetSessionToken(ctx, nil)
	code(t, err, "AccessDenied")
	saved := r.now
	r.now = r.now.Add(15 * time.Minute)
	_, err = r.with(got.Credentials).GetCallerIdentity(ctx, nil)
	code(t, err, "SignatureDoesNotMatch") // the client's clock is no longer ours
	r.now = saved

	in := func(change func(*client.AssumeRoleInput)) *client.AssumeRoleInput {
		i := &client.AssumeRoleInput{RoleArn: aws.String(roleARN), RoleSessionName: aws.String("s1")}
		change(i)
		return i
	}
	for want, inputs := range map[string][]*client.AssumeRoleInput{
		"ValidationError": {
			in(func(i *client.AssumeRoleInput) { i.RoleSessionName = aws.String("a b") }),
			in(func(i *client.AssumeRoleInput) { i.RoleSessionName = aws.String("a") }),
			in(func(i *client.AssumeRoleInput) { i.DurationSeconds = aws.Int32(899) }),
			in(func(i *client.AssumeRoleInput) { i.DurationSeconds = aws.Int32(43201) }),
			in(func(i *client.AssumeRoleInput) { i.DurationSeconds = aws.Int32(3601) }),
			in(func(i *client.AssumeRoleInput) { i.ExternalId = aws.String("é") }),
			in(func(i *client.AssumeRoleInput) {
				i.Tags = []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("y")}}
			}),
		},
		"MalformedPolicyDocument": {in(func(i *client.AssumeRoleInput) { i.Policy = aws.String("{}") })},
		"PackedPolicyTooLarge":    {in(func(i *client.AssumeRoleInput) { i.Policy = aws.String(all + strings.Repeat(" ", 2048)) })},
		"AccessDenied": {
			in(func(i *client.AssumeRoleInput) { i.RoleArn = aws.String("arn:aws:iam::123456789012:role/nosuch") }),
			in(func(i *client.AssumeRoleInput) { i.SourceIdentity = aws.String("alice") }),
			in(func(i *client.AssumeRoleInput) {
				i.SerialNumber, i.TokenCode = aws.String("arn:aws:iam::123456789012:mfa/alice"), aws.String("123456")
			}),
		},
	} {
		for n, i := range inputs {
			_, err := alice.AssumeRole(ctx, i)
			if code(t, err, want); t.Failed() {
				t.Fatalf("%s %d", want, n)
			}
		}
	}
	_, err = r.user("bob", "").AssumeRole(ctx, in(func(*client.AssumeRoleInput) {}))
	code(t, err, "AccessDenied")
	if err != nil && !strings.Contains(err.Error(), "User: arn:aws:iam::123456789012:user/bob is not authorized to perform: sts:AssumeRole on resource: "+roleARN) {
		t.Error(err)
	}
}

func TestGetSessionToken(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	alice := r.user("alice", "") // it needs no policy
	got, err := alice.GetSessionToken(ctx, &client.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	me, err := r.with(got.Credentials).GetCallerIdentity(ctx, nil)
	if err != nil || *me.Arn != "arn:aws:iam::123456789012:user/alice" {
		t.Errorf("%+v, %v", me, err)
	}
	bad := *got.Credentials
	bad.SessionToken = aws.String("AAAA")
	_, err = r.with(&bad).GetCallerIdentity(ctx, nil)
	code(t, err, "InvalidClientTokenId")
}

func TestGetAccessKeyInfo(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	alice := r.user("alice", all)
	id, _, err := r.people.RootCredentials(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	got, err := alice.GetAccessKeyInfo(ctx, &client.GetAccessKeyInfoInput{AccessKeyId: &id})
	if err != nil || *got.Account != account {
		t.Errorf("%+v, %v", got, err)
	}
	if err := r.people.EnsureRoot(ctx, "999999999999", "", ""); err != nil {
		t.Fatal(err)
	}
	foreign, _, err := r.people.RootCredentials(ctx, "999999999999")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{foreign, "AKIAIOSFODNN7EXAMPLE"} {
		_, err = alice.GetAccessKeyInfo(ctx, &client.GetAccessKeyInfoInput{AccessKeyId: &id})
		code(t, err, "AccessDenied")
	}
	_, err = r.user("bob", "").GetAccessKeyInfo(ctx, &client.GetAccessKeyInfoInput{AccessKeyId: &id})
	code(t, err, "AccessDenied")
}

// The request is not signed: what is sent is what counts.
func TestAssumeRoleWithWebIdentity(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	nobody := r.as(aws.AnonymousCredentials{})
	token := func(change func(map[string]any)) *string {
		claims := map[string]any{"iss": "https://cluster.local", "aud": []string{"sts.amazonaws.com"}, "sub": "system:serviceaccount:ml:caller", "iat": r.now.Unix(), "exp": r.now.Add(time.Hour).Unix()}
		change(claims)
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: r.key, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := s.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return &out
	}
	assume := func(token *string, role string) (*client.AssumeRoleWithWebIdentityOutput, error) {
		return nobody.AssumeRoleWithWebIdentity(ctx, &client.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("pod-1"), WebIdentityToken: token})
	}
	good := token(func(map[string]any) {})
	got, err := assume(good, roleARN)
	if err != nil {
		t.Fatal(err)
	}
	if *got.SubjectFromWebIdentityToken != "system:serviceaccount:ml:caller" || *got.Audience != "sts.amazonaws.com" || *got.Provider != "arn:aws:iam::123456789012:oidc-provider/cluster.local" ||
		*got.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/caller/pod-1" || got.PackedPolicySize != nil { //nolint:staticcheck // clients that read it are there
		t.Errorf("%+v", got)
	}
	me, err := r.with(got.Credentials).GetCallerIdentity(ctx, nil)
	if err != nil || *me.Arn != *got.AssumedRoleUser.Arn {
		t.Errorf("%+v, %v", me, err)
	}
	_, err = assume(token(func(c map[string]any) { c["exp"] = r.now.Add(-time.Minute).Unix() }), roleARN)
	code(t, err, "ExpiredTokenException")
	_, err = assume(token(func(c map[string]any) { c["aud"] = "x" }), roleARN)
	code(t, err, "InvalidIdentityToken")
	_, err = assume(token(func(c map[string]any) { c["sub"] = "system:serviceaccount:ml:other" }), roleARN)
	code(t, err, "AccessDenied")
	_, err = assume(good, "arn:aws:iam::123456789012:role/nosuch")
	code(t, err, "AccessDenied")
	_, err = assume(good, "nonsense-that-is-no-arn-at-all")
	code(t, err, "AccessDenied")

	// Nothing else is to be had without credentials.
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := nobody.GetCallerIdentity(ctx, nil); return err },
		func(ctx context.Context) error {
			_, err := nobody.AssumeRole(ctx, &client.AssumeRoleInput{RoleArn: aws.String(roleARN), RoleSessionName: aws.String("s1")})
			return err
		},
		func(ctx context.Context) error { _, err := nobody.GetSessionToken(ctx, nil); return err },
	} {
		if err := call(ctx); err == nil {
			t.Error("nobody may do it")
		} else if !strings.Contains(err.Error(), "Missing") {
			t.Error(err)
		}
	}
}
