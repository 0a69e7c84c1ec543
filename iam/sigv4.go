package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/fault"
)

// Authenticator verifies the Authorization header of a request: AWS Signature Version 4, or an API key of Amazon Bedrock.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html for the signature;
// the errors and the order in which they are found are those that AWS's JSON services were seen to give.
type Authenticator struct {
	dir *Directory
}

// Authenticator makes an Authenticator of the keys in d.
func (d *Directory) Authenticator() *Authenticator { return &Authenticator{dir: d} }

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	maxSkew    = 5 * time.Minute
)

// The messages that more than one place gives.
const (
	msgMissingToken = "Missing Authentication Token"
	msgInvalidToken = "The security token included in the request is invalid."
	msgMismatch     = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

// Authenticate says who signed r, whose whole body is body. It reads the request as it was on the wire: RequestURI,
// Host and Header. said is what Precheck found in r, or the zero Claim where nobody has asked. An error is a *fault.Error
// of one of the credentials' kinds, or an internal one: fault.TooManyFailures where so much of what comes from there fails that nothing else
// is told of it. The request id is for the log only.
func (a *Authenticator) Authenticate(r *http.Request, said Claim, body []byte, requestID string) (Caller, error) {
	c, err := a.authenticate(r, said, body)
	if err != nil {
		a.dir.log.LogAttrs(r.Context(), slog.LevelDebug, "not authenticated", slog.String("request_id", requestID), slog.String("remote", r.RemoteAddr), slog.Any("error", err))
		err = a.failed(r, err)
	}
	return c, err
}

func (a *Authenticator) authenticate(r *http.Request, said Claim, body []byte) (Caller, error) {
	var err error
	switch { // a body may take minutes, in which a key may be taken away
	case said.key != nil:
		if err = a.inTime(said.date); err == nil {
			err = a.findKey(r, &said)
		}
	case said.bearer == nil || !a.holds(said.bearer):
		said, err = a.claim(r)
	}
	if err != nil {
		return Caller{}, err
	}
	if k := said.bearer; k != nil {
		c := k.callerOf(a.originOf(r))
		if k.used != nil { // who looks for keys that nobody needs must not take away the one that API keys are made with
			k.used.note(a.dir.clock(), c.Service, c.Region)
		}
		return c, nil
	}
	signing, ok := said.key.verify(r, body, &said.authorization, &said.scope, said.date)
	if !ok {
		return Caller{}, fault.New(fault.InvalidSignature, msgMismatch)
	}
	c := said.key.caller
	c.Region, c.Service = signing.region, signing.service
	if said.key.used != nil {
		said.key.used.note(said.date.time, c.Service, c.Region)
	}
	if c.Service == "iam" && !c.Issued.IsZero() && c.Role == "" {
		// "You cannot call any IAM API operations unless MFA authentication information is included in the request."
		// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
		return Caller{}, errNotForIAM
	}
	c.origin = a.originOf(r)
	return c, nil
}

// Anonymous is who sends r without credentials: nobody, of whom is known where r came from. What has no scope is in
// Config.Region.
func (a *Authenticator) Anonymous(r *http.Request) Caller {
	return Caller{Region: a.dir.region, origin: a.originOf(r)}
}

// Precheck finds every fault of r's credentials that shows before its body has been read: none at all, an
// Authorization header that cannot be read, a clock too far off, a key that there is not or that is switched off. What
// passes is not authenticated yet; Authenticate takes what was found, so that it is found once.
func (a *Authenticator) Precheck(r *http.Request) (Claim, error) {
	c, err := a.claim(r)
	if err != nil {
		a.dir.log.LogAttrs(r.Context(), slog.LevelDebug, "not authenticated", slog.String("remote", r.RemoteAddr), slog.Any("error", err))
		err = a.failed(r, err)
	}
	return c, err
}

// A Claim is what a request says of who signed it, with the key that it names. Nothing of it is proved.
type Claim struct {
	authorization
	scope  scope
	date   stamp
	key    *credential // active; nil where there is a bearer
	bearer *apiKey     // verified already: it needs no body
}

// keyIDAlphabet is what ids of access keys are made of. Secrets have small letters too, all but one in ten thousand million.
const keyIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// Claimed is what r says of its caller, nothing of which is proved: for the record of a refusal. It has the access key, its
// account where there is such a key, the Region of the signature's scope, and where r came from; it has no ARN and may do
// nothing.
func (a *Authenticator) Claimed(r *http.Request) Caller {
	who := Caller{origin: a.originOf(r)}
	if values := r.Header["Authorization"]; len(values) == 1 {
		said, _ := parseAuthorization(values[0], r.Header)
		sc, _ := parseCredential(said.credential, stamp{text: "00000000"}) // whatever the day
		if k := a.dir.current.Load().keys[sc.keyID]; k != nil {
			who.Account, who.AccessKeyID = k.caller.Account, sc.keyID
		} else if strings.Trim(sc.keyID, keyIDAlphabet) == "" { // else it may be a secret that stands in its place
			who.AccessKeyID = printable(sc.keyID)
		}
		if isRegion(sc.region) {
			who.Region = sc.region
		}
	}
	return who
}

// claim reads everything of the credentials, and finds every fault that shows without the signature being computed.
func (a *Authenticator) claim(r *http.Request) (c Claim, err error) {
	values := r.Header["Authorization"]
	presigned := strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=")
	switch {
	case len(values) == 0 && presigned:
		return c, fault.New(fault.IncompleteSignature, "Query-string authentication is not supported; sign the request in its Authorization header.")
	case len(values) == 0:
		return c, fault.New(fault.MissingToken, msgMissingToken)
	case presigned:
		return c, fault.New(fault.InvalidSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
	case len(values) > 1:
		return c, fault.New(fault.IncompleteSignature, "The Authorization header must stand once.")
	}
	scheme, rest := cutField(values[0])
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		c.bearer, err = a.bearer(r, strings.Trim(rest, " \t"))
		return c, err
	case !strings.HasPrefix(scheme, "AWS4-"):
		return c, fault.New(fault.MissingToken, msgMissingToken)
	}
	c.authorization, err = parseAuthorization(values[0], r.Header)
	if err != nil {
		return c, err
	}
	if c.date, err = requestTime(r.Header); err != nil {
		return c, err
	}
	if err = a.inTime(c.date); err != nil {
		return c, err
	}
	if name := unsignedHeader(c.signedHeaders, r.Header); name != "" {
		return c, fault.New(fault.InvalidSignature, "%s must be a 'SignedHeader' in the AWS Authorization.", name)
	}
	if scheme != algorithm {
		return c, fault.New(fault.IncompleteSignature, "Unsupported AWS 'algorithm': '%s' (only %s for now). ", printable(scheme), algorithm)
	}
	if c.scope, err = parseCredential(c.credential, c.date); err != nil {
		return c, err
	}
	return c, a.findKey(r, &c)
}

// findKey takes the key that c, the claim of r, names as it is now.
func (a *Authenticator) findKey(r *http.Request, c *Claim) error {
	tokens := r.Header["X-Amz-Security-Token"]
	token := ""
	switch len(tokens) {
	case 0:
	case 1:
		token = tokens[0]
	default:
		return fault.New(fault.UnrecognizedClient, msgInvalidToken)
	}
	var err error
	if c.key, err = a.credential(r, c.scope.keyID, token); err != nil {
		return err
	}
	if c.key == nil || !c.key.active {
		return fault.New(fault.UnrecognizedClient, msgInvalidToken)
	}
	return nil
}

// authorization is the parameters of the header, parts of its text.
type authorization struct {
	credential, signedHeaders, signature string
}

// cutField cuts the first field off s. Fields are separated by spaces and commas, in any number.
func cutField(s string) (field, rest string) {
	const separators = " ,\t"
	for s != "" && strings.IndexByte(separators, s[0]) >= 0 {
		s = s[1:]
	}
	field = s
	for i := range len(separators) { // three searches of many bytes at a time
		if end := strings.IndexByte(field, separators[i]); end >= 0 {
			field = field[:end]
		}
	}
	return field, s[len(field):]
}

// parseAuthorization reads the header s, whose first field is the algorithm.
func parseAuthorization(s string, h http.Header) (authorization, error) {
	var a authorization
	for _, rest := cutField(s); ; {
		var field string
		if field, rest = cutField(rest); field == "" {
			break
		}
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return a, fault.New(fault.IncompleteSignature, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '%s'.", digest(field))
		}
		switch name {
		case "Credential":
			a.credential = value
		case "SignedHeaders":
			a.signedHeaders = value
		case "Signature":
			a.signature = value
		}
	}
	if a.credential != "" && a.signature != "" && a.signedHeaders != "" && (len(h["X-Amz-Date"]) > 0 || len(h["Date"]) > 0) {
		return a, nil
	}
	var msg strings.Builder
	for _, p := range []struct{ name, value string }{{"Credential", a.credential}, {"Signature", a.signature}, {"SignedHeaders", a.signedHeaders}} {
		if p.value == "" {
			msg.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if len(h["X-Amz-Date"]) == 0 && len(h["Date"]) == 0 {
		msg.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	return a, fault.New(fault.IncompleteSignature, "%s(Hashed with SHA-256 and encoded with Base64) Authorization=%s", msg.String(), digest(s))
}

// digest is how AWS shows what may hold a secret.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// stamp is the time of a signature, and how the string to sign writes it: "20260102T150405Z".
type stamp struct {
	time time.Time
	text string
}

// requestTime reads X-Amz-Date or else Date.
func requestTime(h http.Header) (stamp, error) {
	var s stamp
	if v := h["X-Amz-Date"]; len(v) > 0 {
		s.text = v[0]
	} else if v := h["Date"]; len(v) > 0 {
		s.text = v[0]
	}
	var ok bool
	if s.time, ok = parseBasic(s.text); ok {
		return s, nil
	}
	var err error
	if s.time, err = time.Parse(timeFormat, s.text); err != nil {
		if s.time, err = http.ParseTime(s.text); err != nil {
			s.time, err = time.Parse(time.RFC1123Z, s.text) // as botocore writes it
		}
		if err != nil {
			return s, fault.New(fault.IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", printable(s.text))
		}
		s.time = s.time.UTC()
		s.text = s.time.Format(timeFormat)
	}
	return s, nil
}

// parseBasic is time.Parse(timeFormat, s), for what every client sends, at a quarter of its cost.
func parseBasic(s string) (time.Time, bool) {
	if len(s) != len(timeFormat) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	number := func(from, to int) (n int) {
		for ; from < to; from++ {
			c := s[from] - '0'
			if c > 9 {
				return -1
			}
			n = 10*n + int(c)
		}
		return n
	}
	year, month, day := number(0, 4), number(4, 6), number(6, 8)
	hour, minute, second := number(9, 11), number(11, 13), number(13, 15)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	real := year >= 0 && month >= 1 && month <= 12 && day >= 1 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60
	return t, real && (day <= 28 || t.Day() == day) // a day that the month has not is one of the next month's
}

// inTime refuses what is too far from now.
func (a *Authenticator) inTime(s stamp) error {
	now := a.dir.clock()
	switch age := now.Sub(s.time); {
	case age > maxSkew:
		return fault.New(fault.InvalidSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)", s.text, now.Add(-maxSkew).UTC().Format(timeFormat), now.UTC().Format(timeFormat))
	case age < -maxSkew:
		return fault.New(fault.InvalidSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)", s.text, now.Add(maxSkew).UTC().Format(timeFormat), now.UTC().Format(timeFormat))
	}
	return nil
}

// unsignedHeader names a header that must be signed and is not. Host, in either spelling, always must; of what a
// request has, the x-amz-* headers, and Bedrock's own, which change what it means. Three of them are covered anyway:
// the date by the string to sign, the content's hash by the hash of the body, a token by its secret. A fourth is added
// on the way, by CloudFront.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (CanonicalHeaders)
func unsignedHeader(signed string, h http.Header) string {
	if !contains(signed, "Host") && !contains(signed, ":authority") {
		return "'Host' or ':authority'"
	}
	for name := range h {
		if len(name) < 6 || name[0] != 'X' || !strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "X-Amzn-Bedrock-") {
			continue
		}
		switch name {
		case "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token", "X-Amz-Cf-Id":
			continue
		}
		if !contains(signed, name) {
			return "'" + printable(name) + "'"
		}
	}
	return ""
}

// contains reports whether name, in any case, is in a list with semicolons.
func contains(list, name string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		if len(item) == len(name) && strings.EqualFold(item, name) {
			return true
		}
	}
	return false
}

// scope is what a Credential names.
type scope struct{ keyID, date, region, service string }

func parseCredential(s string, at stamp) (scope, error) {
	var sc scope
	var end string
	rest, ok := strings.TrimRight(s, "/"), true
	parts := [...]*string{&sc.keyID, &sc.date, &sc.region, &sc.service}
	for _, p := range parts {
		if ok {
			*p, rest, ok = strings.Cut(rest, "/")
		}
	}
	end = rest
	if !ok || strings.Contains(end, "/") {
		return sc, fault.New(fault.IncompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", printable(s))
	}
	if isRegion(sc.region) && sc.service != "" && end == terminator && sc.date == at.text[:8] {
		return sc, nil
	}
	var msg []string
	if !isRegion(sc.region) {
		msg = append(msg, "Credential should be scoped to a valid region.")
	}
	if sc.service == "" {
		msg = append(msg, "Credential should be scoped to correct service.")
	}
	if end != terminator {
		msg = append(msg, "Credential should be scoped with a valid terminator: '"+terminator+"', not '"+printable(end)+"'.")
	}
	if sc.date != at.text[:8] {
		msg = append(msg, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+printable(sc.date)+"' != '"+at.text[:8]+"', from '"+at.text+"'.")
	}
	return sc, fault.New(fault.InvalidSignature, "%s", strings.Join(msg, " "))
}

// isRegion reports whether s has the form of a Region's name: "us-east-1", "us-gov-west-1". Which Regions there are is
// not known here.
func isRegion(s string) bool {
	if len(s) < 4 || len(s) > 32 || s[len(s)-1] < '0' || s[len(s)-1] > '9' || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	dashes := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '-':
			if s[i-1] == '-' {
				return false
			}
			dashes++
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			return false
		}
	}
	return dashes >= 2
}

// printable bounds what of a stranger's text goes into a message, and takes out what could break a log's line.
func printable(s string) string {
	if len(s) > 128 {
		s = s[:128] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}

// signingKeys are the derived keys that good signatures were made with: an access key has one for each day, Region and
// service. The list is replaced whole, newest first, and bounded.
type signingKeys struct {
	list atomic.Pointer[[]*signingKey]
}

const maxSigningKeys = 64

type signingKey struct {
	date, region, service string
	macs                  sync.Pool // of hash.Hash: HMAC-SHA256 with the derived key
}

// find returns the key of sc, nil when there is none.
func (k *signingKeys) find(sc *scope) *signingKey {
	if list := k.list.Load(); list != nil {
		for _, s := range *list {
			if s.date == sc.date && s.region == sc.region && s.service == sc.service {
				return s
			}
		}
	}
	return nil
}

func (k *signingKeys) add(s *signingKey) {
	for {
		old := k.list.Load()
		list := []*signingKey{s}
		if old != nil {
			list = append(list, (*old)[:min(len(*old), maxSigningKeys-1)]...)
		}
		if k.list.CompareAndSwap(old, &list) {
			return
		}
	}
}

// derive makes the signing key of sc. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (Calculate the signature)
func derive(secret string, sc *scope) *signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range []string{sc.date, sc.region, sc.service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	s := &signingKey{date: strings.Clone(sc.date), region: strings.Clone(sc.region), service: strings.Clone(sc.service)}
	s.macs.New = func() any { return hmac.New(sha256.New, key) }
	return s
}

// verify reports whether the signature is the one this key makes of r, and the signing key it was made with. Only keys
// that have made a good signature are kept, so that strangers who know an access key's id cannot push them out.
func (c *credential) verify(r *http.Request, body []byte, a *authorization, sc *scope, at stamp) (*signingKey, bool) {
	signing, known := c.signingKey(sc)
	w := workspaces.Get().(*workspace)
	ok := w.check(signing, r, body, a, sc, at)
	w.release()
	if ok && !known {
		c.signing.add(signing)
	}
	return signing, ok
}

// signingKey returns the signing key of sc; known says that it was kept.
func (c *credential) signingKey(sc *scope) (k *signingKey, known bool) {
	if k = c.signing.find(sc); k != nil {
		return k, true
	}
	return derive(c.secret, sc), false
}

// check writes the canonical request, the string to sign and the signature one after another into the workspace.
func (w *workspace) check(k *signingKey, r *http.Request, body []byte, a *authorization, sc *scope, at stamp) bool {
	sum := sha256.Sum256(body)
	var bodyHash [64]byte
	hex.Encode(bodyHash[:], sum[:])
	if v := r.Header["X-Amz-Content-Sha256"]; len(v) > 0 && (len(v) > 1 || !equalFold(bodyHash[:], v[0])) {
		return false // an unsigned or streamed payload is only for services that take one
	}
	return w.canonicalRequest(r, a.signedHeaders, bodyHash[:]) && w.matches(k, a.signature, sc, at)
}

// matches reports whether signature is k's of the canonical request in w.buf, over which it writes.
func (w *workspace) matches(k *signingKey, signature string, sc *scope, at stamp) bool {
	sum := sha256.Sum256(w.buf)
	b := append(w.buf[:0], algorithm+"\n"...)
	b = append(b, at.text...)
	b = append(b, '\n')
	b = append(b, sc.date...)
	b = append(b, '/')
	b = append(b, sc.region...)
	b = append(b, '/')
	b = append(b, sc.service...)
	b = append(b, "/"+terminator+"\n"...)
	b = hex.AppendEncode(b, sum[:])

	mac := k.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(b)
	b = mac.Sum(b[:0])
	k.macs.Put(mac)
	b = hex.AppendEncode(b, b)
	n := len(b)
	b = append(b, signature...)
	w.buf = b
	return subtle.ConstantTimeCompare(b[n-64:n], b[n:]) == 1
}

// equalFold compares a hash in lower-case hex with one in either case.
func equalFold(lower []byte, s string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range lower {
		c := s[i]
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// origin is what a request says besides its signature: the keys of conditions come from it.
type origin struct {
	ip        string // "" when not known
	userAgent string
	tls       bool
	known     bool
}

// originOf reads what r says. Of what proxies say only that of Config.TrustedProxies counts.
func (a *Authenticator) originOf(r *http.Request) origin {
	o := origin{tls: r.TLS != nil, known: true}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		o.ip = host
	}
	if v := r.Header["User-Agent"]; len(v) > 0 {
		o.userAgent = v[0]
	}
	if trusted := a.dir.proxies; len(trusted) > 0 && isTrusted(trusted, o.ip) {
		o.throughProxy(trusted, r.Header)
	}
	return o
}

// throughProxy takes what a trusted proxy says of who it speaks for. Each proxy adds to the end of X-Forwarded-For whom it heard:
// the last who is no trusted proxy is who called, whatever stands before.
func (o *origin) throughProxy(trusted []netip.Prefix, h http.Header) {
	if v := h["X-Forwarded-Proto"]; len(v) > 0 { // of several some may be the caller's own: all must be secure
		o.tls = !slices.ContainsFunc(strings.Split(strings.Join(v, ","), ","), func(s string) bool { return !strings.EqualFold(strings.TrimSpace(s), "https") })
	}
	heard := strings.Join(h["X-Forwarded-For"], ",")
	for heard != "" && isTrusted(trusted, o.ip) {
		last := heard
		if i := strings.LastIndexByte(heard, ','); i >= 0 {
			last, heard = heard[i+1:], heard[:i]
		} else {
			heard = ""
		}
		last = strings.TrimSpace(last)
		if host, err := netip.ParseAddrPort(last); err == nil { // some add the port
			last = host.Addr().String()
		}
		addr, err := netip.ParseAddr(strings.Trim(last, "[]"))
		if err != nil {
			return
		}
		o.ip = addr.Unmap().WithZone("").String()
	}
}

func isTrusted(trusted []netip.Prefix, ip string) bool {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}
