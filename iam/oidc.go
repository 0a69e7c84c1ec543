package iam

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"outcrop/fault"
	"outcrop/policy"
)

// IssuerConfig is an OpenID Connect identity provider whose tokens AssumeRoleWithWebIdentity takes.
type IssuerConfig struct {
	URL       string   // the claim iss of its tokens, letter by letter: https://token.actions.githubusercontent.com
	Audiences []string // a token must be for one of these: its claim azp, where it has that, else aud
	JWKSFile  string   // its public keys, a JWKS; "" reads them from the provider, found as OpenID Connect Discovery says
	CAFile    string   // PEM: the authorities that its server's certificate may be from; "" is the system's
}

// Issuers are the identity providers of an installation. What they say counts in every account whose roles name them.
type Issuers struct {
	clock func() time.Time
	byURL map[string]*issuer
}

type issuer struct {
	IssuerConfig
	verifier *oidc.IDTokenVerifier
	keys     keySource
}

// A keySource is an oidc.KeySet that knows why it had no key.
type keySource interface {
	oidc.KeySet
	unreachable(err error) bool // the error of VerifySignature is not the token's
}

// Identity is who a token is about, proved.
type Identity struct {
	Issuer         string // the claim iss
	Provider       string // as trust policies name it: the issuer without https://; of Google accounts.google.com too
	Subject        string
	Audience       string // whom the token is for: its claim azp, else that of aud which is configured
	Tags           []Tag  // of the session, which the token may have
	Transitive     []string
	SourceIdentity string

	claims policy.Context // by the names of condition keys
}

// The algorithms that AWS takes, and EdDSA.
var signingAlgorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

const (
	fetchTimeout  = 5 * time.Second
	fetchEvery    = time.Second // at most: whoever sends tokens with unknown keys makes the provider be asked
	keepFetched   = time.Hour   // the longest that keys count which a provider may have taken back
	keepRead      = time.Minute // likewise, of a file
	maxRedirects  = 5
	maxFetched    = 1 << 20 // bytes of an answer
	maxTokenClaim = 1 << 10 // a claim that is longer is no condition key
)

// NewIssuers reads the files that the configuration names; providers are asked when the first token comes. clock is nil for
// time.Now.
func NewIssuers(configs []IssuerConfig, clock func() time.Time) (*Issuers, error) {
	if clock == nil {
		clock = time.Now
	}
	is := &Issuers{clock: clock, byURL: map[string]*issuer{}}
	providers := map[string]bool{}
	for _, c := range configs {
		i := &issuer{IssuerConfig: c}
		u, err := url.Parse(c.URL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return nil, fmt.Errorf("%q is not the URL of an issuer", c.URL)
		case c.JWKSFile == "" && !unforged(u):
			return nil, fmt.Errorf("%s: keys are read over https only; or give its jwks_file", c.URL)
		case len(c.Audiences) == 0 || slices.Contains(c.Audiences, ""):
			return nil, fmt.Errorf("%s: audiences are missing", c.URL)
		case providers[u.Host+u.Path]: // which is all that roles call it by
			return nil, fmt.Errorf("%s stands twice", c.URL)
		case c.JWKSFile != "":
			keys := &fileKeys{path: c.JWKSFile, clock: clock}
			if err := keys.read(); err != nil {
				return nil, err
			}
			i.keys = keys
		default:
			client, err := fetcher(c.CAFile)
			if err != nil {
				return nil, err
			}
			i.keys = &remoteKeys{issuer: c.URL, client: client, clock: clock}
		}
		i.verifier = oidc.NewVerifier(c.URL, i.keys, &oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: signingAlgorithms, Now: clock})
		is.byURL[c.URL], providers[u.Host+u.Path] = i, true
	}
	return is, nil
}

// unforged reports whether nobody on the way can change what u answers.
func unforged(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// Verify says who token is about. Its errors are faults of the kinds for identity tokens, in AWS's words where they are known.
func (is *Issuers) Verify(ctx context.Context, token string) (*Identity, error) {
	invalid := func(cause error, format string, args ...any) error {
		return fault.Wrap(cause, fault.InvalidIdentityToken, format, args...)
	}
	// Nothing of this is proved: it says whose keys are to prove it.
	var said struct {
		Issuer string `json:"iss"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, invalid(nil, "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &said)
	}
	if err != nil {
		return nil, invalid(err, "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	i := is.byURL[said.Issuer]
	if i == nil {
		return nil, invalid(nil, "No OpenIDConnect provider found in your account for %s", printable(said.Issuer))
	}
	proved, err := i.verifier.Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case err == nil:
	case errors.As(err, &expired):
		return nil, fault.Wrap(err, fault.ExpiredIdentityToken, "Token expired: current date/time %d must be before the expiration date/time %d", is.clock().Unix(), expired.Expiry.Unix())
	case i.keys.unreachable(err):
		return nil, fault.Wrap(err, fault.ProviderUnreachable, "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	default:
		return nil, invalid(err, "The ID Token provided is not valid.")
	}
	var claims map[string]any
	if err := proved.Claims(&claims); err != nil {
		return nil, invalid(err, "The ID Token provided is not valid.")
	}
	_, provider, _ := strings.Cut(said.Issuer, "://")
	meant := proved.Audience
	party, _ := claims["azp"].(string)
	if party != "" { // where there are both, it is taken for aud: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html
		if meant = []string{party}; provider == google {
			meant = append(meant, proved.Audience...)
		}
	}
	at := slices.IndexFunc(i.Audiences, func(a string) bool { return slices.Contains(meant, a) })
	switch {
	case proved.Subject == "":
		return nil, invalid(nil, "Missing a required claim: sub")
	case proved.IssuedAt.IsZero():
		return nil, invalid(nil, "Missing a required claim: iat")
	case at < 0:
		return nil, invalid(nil, "Incorrect token audience")
	}
	id := &Identity{Issuer: said.Issuer, Provider: provider, Subject: proved.Subject, Audience: cmp.Or(party, i.Audiences[at])}
	if err := id.read(claims); err != nil {
		return nil, err
	}
	if provider == google {
		id.claims[provider+":oaud"] = proved.Audience
	}
	return id, nil
}

// google needs no provider to be made, and is named by its name. Its tokens are for the service account that azp names; what aud
// says is the condition key oaud.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html (OIDC federation)
const google = "accounts.google.com"

// What tags and source identities may be made of. Sources: the models of AWS's STS for AssumeRole, which takes both
var (
	tagKey         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$`)
	tagValue       = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`)
	sourceIdentity = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// read takes the claims that become condition keys, of text or lists of text, and those that AWS gives a meaning of their own.
// Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html (OIDC federation) and
// .../id_session-tags.html (session tags in tokens)
func (id *Identity) read(claims map[string]any) error {
	const own = "https://aws.amazon.com/"
	id.claims = policy.Context{}
	for name, v := range claims {
		if name == "aud" || strings.HasPrefix(name, own) {
			continue
		}
		if texts := textsOf(v); len(texts) > 0 {
			id.claims[id.Provider+":"+name] = texts
		}
	}
	id.claims[id.Provider+":aud"] = []string{id.Audience}
	rejected := func(claim string) error {
		return fault.New(fault.RejectedClaim, "The claim %s%s of the token is not valid.", own, claim)
	}
	if v, ok := claims[own+"source_identity"]; ok {
		id.SourceIdentity, _ = v.(string)
		if !sourceIdentity.MatchString(id.SourceIdentity) {
			return rejected("source_identity")
		}
	}
	said, ok := claims[own+"tags"]
	if !ok {
		return nil
	}
	tags, _ := said.(map[string]any)
	principal, ok := tags["principal_tags"].(map[string]any)
	for key, v := range principal {
		if list, isList := v.([]any); isList && len(list) == 1 {
			v = list[0]
		}
		value, isText := v.(string)
		ok = ok && isText && tagKey.MatchString(key) && tagValue.MatchString(value)
		id.Tags = append(id.Tags, Tag{key, value})
	}
	if !ok {
		return rejected("tags")
	}
	slices.SortFunc(id.Tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	if transitive, ok := tags["transitive_tag_keys"]; ok {
		id.Transitive = textsOf(transitive)
	}
	return nil
}

// textsOf returns a claim that is text, or a list of text.
func textsOf(v any) (texts []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if s, ok := v.(string); ok && len(s) <= maxTokenClaim {
			texts = append(texts, s)
		}
	}
	return texts
}

// Claims returns what the token says, by the names of condition keys: token.actions.githubusercontent.com:sub.
func (id *Identity) Claims() policy.Context { return id.claims }

// Caller is who calls with the token, asking for the role of that ARN: somebody without an account, whom only the role's trust
// policy can allow anything. Of c only what it says of the request itself counts: who signed it besides is nothing to the role.
func (id *Identity) Caller(c Caller, role string) Caller {
	c = Caller{Region: c.Region, Service: c.Service, origin: c.origin}
	account := ""
	if parts := strings.SplitN(role, ":", 6); len(parts) == 6 {
		account = parts[4]
	}
	c.UserName, c.Provider = id.Subject, "arn:aws:iam::"+account+":oidc-provider/"+id.Provider
	if id.Provider == google {
		c.Provider = id.Provider
	}
	return c
}

// fileKeys are the keys of a file, which is read again when a token is by none of them, and when it was read long ago.
type fileKeys struct {
	path  string
	clock func() time.Time

	mu   sync.Mutex
	set  jose.JSONWebKeySet
	last time.Time // when it was read
}

func (k *fileKeys) read() error {
	f, err := os.Open(k.path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFetched))
	if err != nil {
		return err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("%s is not a JWKS: %w", k.path, err)
	}
	for i := range set.Keys {
		if key := &set.Keys[i]; !key.Valid() || !key.IsPublic() {
			return fmt.Errorf("%s: key %d is not a public key", k.path, i)
		}
	}
	if len(set.Keys) == 0 {
		return fmt.Errorf("%s has no keys", k.path)
	}
	k.set, k.last = set, k.clock()
	return nil
}

// VerifySignature implements oidc.KeySet.
func (k *fileKeys) VerifySignature(_ context.Context, token string) ([]byte, error) {
	var algorithms []jose.SignatureAlgorithm
	for _, a := range signingAlgorithms {
		algorithms = append(algorithms, jose.SignatureAlgorithm(a))
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clock().Sub(k.last) >= keepRead {
		if err := k.read(); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnreachable, err)
		}
	}
	for again := range 2 {
		if again == 1 {
			if k.clock().Sub(k.last) < fetchEvery {
				break
			}
			k.last = k.clock()
			if err := k.read(); err != nil {
				return nil, fmt.Errorf("%w: %w", errUnreachable, err)
			}
		}
		for i := range k.set.Keys {
			key := &k.set.Keys[i]
			if id := jws.Signatures[0].Header.KeyID; id != "" && key.KeyID != "" && key.KeyID != id {
				continue
			}
			if payload, err := jws.Verify(key); err == nil {
				return payload, nil
			}
		}
	}
	return nil, errors.New("it is signed by none of the issuer's keys")
}

func (k *fileKeys) unreachable(err error) bool {
	return strings.Contains(err.Error(), errUnreachable.Error())
}

// remoteKeys are the keys that the provider serves. They are kept for a while, and read again when a token is by none of them.
type remoteKeys struct {
	issuer string
	client *http.Client
	clock  func() time.Time

	mu    sync.Mutex
	set   *oidc.RemoteKeySet // nil until the provider has been found
	tried time.Time          // when it was looked for last
	asked error              // what came of asking it last
}

// errUnreachable says that it is not the token's fault.
var errUnreachable = errors.New("the identity provider's keys cannot be read")

// VerifySignature implements oidc.KeySet.
func (k *remoteKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	set, err := k.keys(ctx)
	if err != nil {
		return nil, err
	}
	return set.VerifySignature(ctx, token)
}

// keys finds the provider, as OpenID Connect Discovery says.
func (k *remoteKeys) keys(ctx context.Context) (*oidc.RemoteKeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set != nil && k.clock().Sub(k.tried) < keepFetched {
		return k.set, nil
	}
	if k.asked != nil && k.clock().Sub(k.tried) < fetchEvery {
		return nil, k.asked
	}
	with := oidc.ClientContext(context.WithoutCancel(ctx), k.client)
	provider, err := oidc.NewProvider(with, k.issuer)
	var found struct {
		JWKS string `json:"jwks_uri"`
	}
	if err == nil {
		err = provider.Claims(&found)
	}
	if err == nil {
		if u, bad := url.Parse(found.JWKS); bad != nil || !unforged(u) {
			err = fmt.Errorf("its jwks_uri %q is not one of https", printable(found.JWKS))
		}
	}
	k.set, k.tried, k.asked = nil, k.clock(), nil
	if err != nil {
		k.asked = fmt.Errorf("%w: %w", errUnreachable, err)
		return nil, k.asked
	}
	client := *k.client
	client.Transport = &paced{next: k.client.Transport, keys: k}
	k.set = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), &client), found.JWKS)
	return k.set, nil
}

// unreachable tells by the words of package oidc, which keeps those of a KeySet but not the error.
func (k *remoteKeys) unreachable(err error) bool {
	if strings.Contains(err.Error(), errUnreachable.Error()) {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Contains(err.Error(), "fetching keys") && k.asked != nil
}

// paced asks for keys no more often than fetchEvery: whatever is signed by a key that they have not is not the provider's.
type paced struct {
	next http.RoundTripper
	keys *remoteKeys
	last time.Time // under keys.mu
}

// RoundTrip implements http.RoundTripper.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	k := p.keys
	k.mu.Lock()
	now := k.clock()
	early := !p.last.IsZero() && now.Sub(p.last) < fetchEvery
	if !early {
		p.last = now
	}
	k.mu.Unlock()
	if early {
		return nil, errors.New("the keys were read a moment ago")
	}
	resp, err := p.next.RoundTrip(r)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		resp, err = nil, errors.New(resp.Status)
	}
	k.mu.Lock()
	k.asked = err
	k.mu.Unlock()
	return resp, err
}

// fetcher is a client that reads bounded answers in bounded time.
func fetcher(caFile string) (*http.Client, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	transport = transport.Clone()
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	follow := func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || !unforged(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &http.Client{Transport: bounded{transport}, Timeout: fetchTimeout, CheckRedirect: follow}, nil
}

type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxFetched), resp.Body}
	}
	return resp, err
}
