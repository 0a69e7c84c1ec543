package iam

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"outcrop/arn"
	"outcrop/fault"
)

// The two kinds of Amazon Bedrock's API keys, as the condition key bedrock:BearerTokenType names them.
//
// A long-term key belongs to a user; CreateBearerKey makes it. A short-term key is a presigned URL: whoever has an access
// key makes one without asking anybody, and it carries that access key's permissions for up to twelve hours in one Region.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-how.html
const (
	ShortTerm = "SHORT_TERM"
	LongTerm  = "LONG_TERM"
)

// Source of the form of a short-term key: AWS's generators of them, https://github.com/aws/aws-bedrock-token-generator-python,
// -js and -java. A long-term key is "ABSK" and the base64 of "alias:secret".
const (
	shortTermPrefix  = "bedrock-api-key-"
	shortTermHost    = "bedrock.amazonaws.com"
	shortTermURL     = shortTermHost + "/?"
	shortTermVersion = "&Version=1" // appended to the signed URL
	longTermPrefix   = "ABSK"

	maxBearer    = 16 << 10 // of a token as it is sent; session tokens make short-term keys long
	maxShortTerm = 12 * time.Hour
)

const (
	msgInvalidKey = "Authentication failed: Please make sure your API Key is valid."
	msgExpiredKey = "Bearer Token has expired"
)

var (
	errInvalidKey = fault.New(fault.InvalidAPIKey, msgInvalidKey)
	errExpiredKey = fault.New(fault.InvalidAPIKey, msgExpiredKey)
	errNotForIAM  = fault.New(fault.UnrecognizedClient, msgInvalidToken)
)

// apiKey is an API key that has been found good.
type apiKey struct {
	caller  *Caller // without Region, Service, BearerTokenType and origin
	kind    string  // ShortTerm or LongTerm
	region  string
	open    bool      // region is only the default
	expires time.Time // zero: never
	used    *lastUse  // of the access key, or the role, that signed a short-term key
	seen    *snapshot // what it was found good in, or an older one
}

// longTermKey is a BearerKey ready to compare with.
type longTermKey struct {
	caller  Caller // without Region, Service, BearerTokenType and origin
	active  bool
	hash    []byte
	expires time.Time
}

// bearer verifies the API key that r brings. Whatever is wrong with one is said in the same words, but that it has
// expired, which only its owner learns.
func (a *Authenticator) bearer(r *http.Request, token string) (*apiKey, error) {
	if len(token) > maxBearer {
		return nil, errInvalidKey
	}
	var k *apiKey
	var err error
	seen := a.dir.current.Load() // before the key is looked for
	if encoded, ok := strings.CutPrefix(token, shortTermPrefix); ok {
		k, err = a.shortTerm(r, encoded)
	} else if encoded, ok := strings.CutPrefix(token, longTermPrefix); ok {
		k, err = a.longTerm(r, encoded)
	} else {
		return nil, errInvalidKey
	}
	if err != nil {
		return nil, err
	}
	if a.expired(k) {
		return nil, errExpiredKey
	}
	k.seen = seen
	switch host := hostRegion(r.Host); {
	case host != "" && k.region != "" && host != k.region:
		return nil, errInvalidKey // a short-term key is one Region's
	case k.region == "" && host != "":
		k.region = host
	case k.region == "":
		k.region, k.open = a.dir.region, true
	}
	return k, nil
}

func (a *Authenticator) expired(k *apiKey) bool {
	return !k.expires.IsZero() && !a.dir.clock().Before(k.expires)
}

// holds reports whether k is as good as it was when it was verified.
func (a *Authenticator) holds(k *apiKey) bool {
	return k.seen == a.dir.current.Load() && !a.expired(k)
}

// callerOf is who brings k in r.
func (k *apiKey) callerOf(from origin) Caller {
	c := *k.caller
	c.Region, c.Service, c.BearerTokenType, c.open = k.region, "bedrock", k.kind, k.open
	c.origin = from
	return c
}

// Locate makes Region that of the ARN that a call names, where nothing else has said the Region: a client whose only
// credential is a long-term API key tells its Region by the host's name alone, and there may be but one host. What is no ARN
// with a Region changes nothing.
func (c *Caller) Locate(resource string) {
	if !c.open {
		return
	}
	if a, err := arn.Parse(resource); err == nil && isRegion(a.Region) {
		c.Region = a.Region
	}
}

// longTerm verifies the base64 of "alias:secret".
func (a *Authenticator) longTerm(r *http.Request, encoded string) (*apiKey, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errInvalidKey
	}
	alias, secret, ok := strings.Cut(string(text), ":")
	if !ok {
		return nil, errInvalidKey
	}
	hash := hashSecret(secret)
	k := a.dir.current.Load().longTerm(alias, hash)
	if k == nil {
		// It may have been made a moment ago by another process, under an alias that another key had before. A wrong
		// secret therefore takes as long as an alias that there is not.
		if err := a.recheck(r); err != nil {
			return nil, err
		}
		k = a.dir.current.Load().longTerm(alias, hash)
	}
	if k == nil || !k.active {
		return nil, errInvalidKey
	}
	return &apiKey{caller: &k.caller, kind: LongTerm, expires: k.expires}, nil
}

// hashSecret is what is kept of a long-term key's secret, which is random and too long to be guessed: no slow hash is
// needed.
func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

var noHash = make([]byte, sha256.Size)

// longTerm returns the key of that alias and secret, nil where there is none. It takes the same time for both reasons.
func (s *snapshot) longTerm(alias string, hash []byte) *longTermKey {
	k, want := s.bearers[alias], noHash
	if k != nil {
		want = k.hash
	}
	if subtle.ConstantTimeCompare(hash, want) != 1 {
		return nil
	}
	return k
}

// presigned is the parameters of a short-term key that mean something here.
type presigned struct {
	action, algorithm, credential, date, expires, signedHeaders, signature string
	token                                                                  string // of a session
	signed                                                                 string // the query without its signature
}

// parsePresigned reads the query of a short-term key. Every parameter that is known stands once.
func parsePresigned(query string) (p presigned, ok bool) {
	signed := make([]byte, 0, len(query))
	for rest, more := query, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		var to *string
		switch name {
		case "Action":
			to = &p.action
		case "X-Amz-Algorithm":
			to = &p.algorithm
		case "X-Amz-Credential":
			to = &p.credential
		case "X-Amz-Date":
			to = &p.date
		case "X-Amz-Expires":
			to = &p.expires
		case "X-Amz-SignedHeaders":
			to = &p.signedHeaders
		case "X-Amz-Signature":
			to = &p.signature
		case "X-Amz-Security-Token":
			to = &p.token
		}
		if to != nil {
			decoded, err := url.QueryUnescape(value)
			if err != nil || *to != "" {
				return p, false
			}
			*to = decoded
		}
		if to != &p.signature {
			if len(signed) > 0 {
				signed = append(signed, '&')
			}
			signed = append(signed, pair...)
		}
	}
	p.signed = string(signed)
	return p, p.action == "CallWithBearerToken" && p.algorithm == algorithm && p.signedHeaders == "host" && p.signature != ""
}

// shortTerm verifies the base64 of a presigned URL.
func (a *Authenticator) shortTerm(r *http.Request, encoded string) (*apiKey, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errInvalidKey
	}
	query, ok := strings.CutPrefix(string(text), shortTermURL)
	if ok {
		query, ok = strings.CutSuffix(query, shortTermVersion)
	}
	if !ok {
		return nil, errInvalidKey
	}
	p, ok := parsePresigned(query)
	if !ok {
		return nil, errInvalidKey
	}
	at := stamp{text: p.date}
	if at.time, ok = parseBasic(p.date); !ok {
		return nil, errInvalidKey
	}
	seconds, err := strconv.Atoi(p.expires)
	lifetime := time.Duration(seconds) * time.Second
	if err != nil || seconds < 1 || seconds > int(maxShortTerm/time.Second) {
		return nil, errInvalidKey
	}
	sc, err := parseCredential(p.credential, at)
	if err != nil || sc.service != "bedrock" {
		return nil, errInvalidKey
	}
	key, err := a.credential(r, sc.keyID, p.token)
	switch {
	case fault.Is(err, fault.UnrecognizedClient):
		return nil, errInvalidKey
	case fault.Is(err, fault.ExpiredToken): // the key ends with its session
		return nil, errExpiredKey
	case err != nil:
		return nil, err
	}
	if key == nil || !key.active || !key.verifyPresigned(&p, &sc, at) {
		return nil, errInvalidKey
	}
	if at.time.Sub(a.dir.clock()) > maxSkew { // no key is taken that begins to count later
		return nil, errInvalidKey
	}
	expires := at.time.Add(lifetime)
	if !key.expires.IsZero() && key.expires.Before(expires) {
		expires = key.expires
	}
	return &apiKey{caller: &key.caller, kind: ShortTerm, region: sc.region, expires: expires, used: key.used}, nil
}

// emptyHash is the SHA-256 of the empty body that a short-term key signs.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// verifyPresigned is verify for a short-term key, which signs POST / of one host with no body.
func (c *credential) verifyPresigned(p *presigned, sc *scope, at stamp) bool {
	signing, known := c.signingKey(sc)
	w := workspaces.Get().(*workspace)
	w.buf = append(w.buf[:0], "POST\n/\n"...)
	w.canonicalQuery(p.signed)
	w.buf = append(w.buf, "\nhost:"+shortTermHost+"\n\nhost\n"+emptyHash...)
	ok := w.matches(signing, p.signature, sc, at)
	w.release()
	if ok && !known {
		c.signing.add(signing)
	}
	return ok
}

// hostRegion returns the Region that a host's name has where those of Amazon Bedrock have it,
// "bedrock-runtime.eu-west-1.amazonaws.com"; "" where it has none. The domain may be any.
func hostRegion(host string) string {
	if !strings.HasPrefix(host, "bedrock") {
		return ""
	}
	_, rest, _ := strings.Cut(host, ".")
	region, _, ok := strings.Cut(rest, ".")
	if !ok || !isRegion(region) {
		return ""
	}
	return region
}
