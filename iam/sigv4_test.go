package iam_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/store"
)

const account = "123456789012"

// vectors are the requests that botocore signed: testdata/generate.py.
type vectors struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	Host            string    `json:"host"`
	Time            string    `json:"time"`
	Cases           []*vector `json:"cases"`
}

type vector struct {
	Name    string      `json:"name"`
	Method  string      `json:"method"`
	Target  string      `json:"target"`
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body"`
	Region  string      `json:"region"`
	Service string      `json:"service"`
	Token   bool        `json:"token"` // signed with a session token
	host    string
}

func readVectors(t testing.TB) (*vectors, time.Time) {
	t.Helper()
	raw, err := os.ReadFile("testdata/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) < 20 {
		t.Fatalf("only %d cases", len(v.Cases))
	}
	for _, c := range v.Cases {
		c.host = v.Host
	}
	at, err := time.Parse("20060102T150405Z", v.Time)
	if err != nil {
		t.Fatal(err)
	}
	return v, at
}

func (vs *vectors) get(t testing.TB, name string) *vector {
	t.Helper()
	for _, v := range vs.Cases {
		if v.Name == name {
			c := *v
			c.Headers = slices.Clone(v.Headers)
			c.Body = bytes.Clone(v.Body)
			return &c
		}
	}
	t.Fatalf("no case %q", name)
	return nil
}

// set replaces a header, or takes it away where value is "".
func (v *vector) set(name, value string) {
	v.Headers = slices.DeleteFunc(v.Headers, func(h [2]string) bool { return strings.EqualFold(h[0], name) })
	if value != "" {
		v.Headers = append(v.Headers, [2]string{name, value})
	}
}

func (v *vector) header(name string) string {
	for _, h := range v.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// wire is the request as HTTP/1.1 bytes.
func (v *vector) wire() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", v.Method, v.Target, v.host)
	length := false
	for _, h := range v.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		length = length || strings.EqualFold(h[0], "Content-Length")
	}
	if !length && len(v.Body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(v.Body))
	}
	b.WriteString("\r\n")
	b.Write(v.Body)
	return b.Bytes()
}

// request is what a server makes of wire.
func (v *vector) request(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(v.wire())))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "203.0.113.7:51234"
	return r
}

type directory struct {
	*iam.Directory
	store *store.Store
	dir   string
}

func open(t testing.TB, clock func() time.Time) directory {
	t.Helper()
	return reopen(t, t.TempDir(), clock)
}

// reopen opens what is in dir, as another process does.
func reopen(t testing.TB, dir string, clock func() time.Time) directory {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	sealer, err := iam.OpenSealer(filepath.Join(dir, "outcrop.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	d, err := iam.Open(t.Context(), iam.Config{Store: s, Sealer: sealer, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return directory{Directory: d, store: s, dir: dir}
}

// verifier is a Directory whose root key is the one the vectors were signed with, at the time they were.
func verifier(t testing.TB) (*vectors, directory) {
	t.Helper()
	vs, at := readVectors(t)
	d := open(t, func() time.Time { return at })
	if err := d.EnsureRoot(t.Context(), account, vs.AccessKeyID, vs.SecretAccessKey); err != nil {
		t.Fatal(err)
	}
	return vs, d
}

func check(t *testing.T, v *vector, c iam.Caller, err error) {
	t.Helper()
	if v.Token {
		// The signature is good, but no token was ever given out.
		wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != v.Region || c.Service != v.Service || !c.Root || c.Account != account || c.ARN != "arn:aws:iam::"+account+":root" || c.ID != account {
		t.Errorf("caller %+v", c)
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind, message string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v: %s", kind, message)
	}
	if e := fault.From(err); e.Kind != kind || e.Message != message {
		t.Fatalf("got  %v: %s\nwant %v: %s", e.Kind, e.Message, kind, message)
	}
}

func TestAuthenticateClients(t *testing.T) {
	vs, d := verifier(t)
	a := d.Authenticator()
	type answer struct {
		caller iam.Caller
		err    error
	}
	answers := make(chan answer, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c, err := a.Authenticate(r, iam.Claim{}, body, "id")
		answers <- answer{c, err}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	address := server.Listener.Addr().String()

	for _, v := range vs.Cases {
		t.Run("http1/"+v.Name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(v.wire()); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
			got := <-answers
			check(t, v, got.caller, got.err)
		})
	}

	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	for _, v := range vs.Cases {
		t.Run("http2/"+v.Name, func(t *testing.T) {
			r := &http.Request{
				Method: v.Method, Host: v.host, Header: http.Header{},
				URL: &url.URL{Scheme: "http", Host: address, Opaque: "//" + v.host + v.Target}, // as it is, not encoded again
			}
			if len(v.Body) > 0 {
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(v.Body)), int64(len(v.Body))
			}
			for _, h := range v.Headers {
				r.Header.Add(h[0], h[1])
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Fatalf("it went over %s", resp.Proto)
			}
			got := <-answers
			check(t, v, got.caller, got.err)
		})
	}
}

// Whatever of a signed request is changed, the signature does not match any more.
func TestAuthenticateTampered(t *testing.T) {
	vs, d := verifier(t)
	a := d.Authenticator()
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	changes := map[string]func(*vector) bool{
		"method": func(v *vector) bool { v.Method = "PUT"; return true },
		"path":   func(v *vector) bool { v.Target = "/x" + v.Target; return true },
		"escape in the path": func(v *vector) bool {
			before := v.Target
			v.Target = strings.Replace(v.Target, "%2F", "/", 1)
			return v.Target != before && !strings.Contains(before, "?")
		},
		"query": func(v *vector) bool {
			if strings.Contains(v.Target, "?") {
				v.Target += "&x=1"
			} else {
				v.Target += "?x=1"
			}
			return true
		},
		"body": func(v *vector) bool {
			if len(v.Body) == 0 {
				v.Body = []byte("x")
			} else {
				v.Body[len(v.Body)-1] ^= 1
			}
			return v.header("Content-Length") == ""
		},
		"host": func(v *vector) bool { v.host = "example.com"; return true },
		"signed header": func(v *vector) bool {
			v.set("Content-Type", "text/plain")
			return strings.Contains(v.header("Authorization"), "content-type;")
		},
		"date": func(v *vector) bool {
			before := v.header("X-Amz-Date")
			if before == "" {
				return false
			}
			v.set("X-Amz-Date", before[:13]+"13Z")
			return true
		},
		"region": func(v *vector) bool {
			v.set("Authorization", strings.Replace(v.header("Authorization"), "/"+v.Region+"/", "/eu-west-1/", 1))
			return true
		},
		"service": func(v *vector) bool {
			v.set("Authorization", strings.Replace(v.header("Authorization"), "/"+v.Service+"/", "/iam/", 1))
			return true
		},
		"signature": func(v *vector) bool {
			h := v.header("Authorization")
			v.set("Authorization", h[:len(h)-1]+string('0'+(h[len(h)-1]+1)%10))
			return true
		},
		"signature's case": func(v *vector) bool {
			before, sig, _ := strings.Cut(v.header("Authorization"), "Signature=")
			v.set("Authorization", before+"Signature="+strings.ToUpper(sig))
			return true
		},
		"short signature": func(v *vector) bool {
			h := v.header("Authorization")
			v.set("Authorization", h[:len(h)-2])
			return true
		},
		"repeated signed headers": func(v *vector) bool {
			v.set("Authorization", strings.Replace(v.header("Authorization"), "host;", "host;host;", 1))
			return strings.Contains(v.header("Authorization"), "host;host;")
		},
	}
	for _, v := range vs.Cases {
		for name, change := range changes {
			c := vs.get(t, v.Name)
			if c.Token || !change(c) { // a token that nobody gave out is found before the signature
				continue
			}
			t.Run(v.Name+"/"+name, func(t *testing.T) {
				_, err := a.Authenticate(c.request(t), iam.Claim{}, c.Body, "id")
				wantFault(t, err, fault.InvalidSignature, mismatch)
			})
		}
	}
	t.Run("header that is not signed", func(t *testing.T) {
		v := vs.get(t, "client-list")
		v.set("User-Agent", "another")
		v.set("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793")
		v.set("X-Amz-Cf-Id", "x")
		if _, err := a.Authenticate(v.request(t), iam.Claim{}, nil, "id"); err != nil {
			t.Error(err)
		}
	})
}

// The words are AWS's: the IAM user guide (Troubleshoot signed requests for AWS APIs) and answers of its services.
func TestAuthenticateErrors(t *testing.T) {
	vs, d := verifier(t)
	a := d.Authenticator()
	signature := "Signature=" + strings.Repeat("0", 64)
	auth := func(credential string) string {
		return "AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=host;x-amz-date, " + signature
	}
	good := vs.AccessKeyID + "/20261123/us-east-1/bedrock/aws4_request"
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	const invalidToken = "The security token included in the request is invalid."
	tests := []struct {
		name    string
		change  func(*vector)
		kind    fault.Kind
		message string
	}{
		{"no credentials", func(v *vector) { v.set("Authorization", "") }, fault.MissingToken, "Missing Authentication Token"},
		{"another scheme", func(v *vector) { v.set("Authorization", "Basic dXNlcjpwYXNz") }, fault.MissingToken, "Missing Authentication Token"},
		{"bearer", func(v *vector) { v.set("Authorization", "Bearer bedrock-api-key-x") }, fault.InvalidAPIKey, "Authentication failed: Please make sure your API Key is valid."},
		{"presigned", func(v *vector) {
			v.set("Authorization", "")
			v.Target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0"
		}, fault.IncompleteSignature, "Query-string authentication is not supported; sign the request in its Authorization header."},
		{"both", func(v *vector) { v.Target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256" }, fault.InvalidSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
		{"two headers", func(v *vector) { v.Headers = append(v.Headers, [2]string{"Authorization", auth(good)}) }, fault.IncompleteSignature, "The Authorization header must stand once."},
		{"nothing after the algorithm", func(v *vector) { v.set("Authorization", "AWS4-HMAC-SHA256"); v.set("X-Amz-Date", "") }, fault.IncompleteSignature,
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization=YI2YWea8FSxnksZL2ETHbs5elHm9HQufxTLK0W0ffV0="},
		{"no signature", func(v *vector) { v.set("Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host") }, fault.IncompleteSignature,
			"Authorization header requires 'Signature' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=WHtOF5cSYnsCBjySXlPrT/5ORyW9g45V+x35kxAQHQ0="},
		{"no equals sign", func(v *vector) { v.set("Authorization", "AWS4-HMAC-SHA256 Credential=a, abc, Signature=b") }, fault.IncompleteSignature,
			"Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='."},
		{"date", func(v *vector) { v.set("X-Amz-Date", "201") }, fault.IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"date of another form", func(v *vector) { v.set("X-Amz-Date", "2026-11-23T11:35:12Z") }, fault.IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '2026-11-23T11:35:12Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"expired", func(v *vector) { v.set("X-Amz-Date", "20261123T113011Z") }, fault.InvalidSignature, "Signature expired: 20261123T113011Z is now earlier than 20261123T113012Z (20261123T113512Z - 5 min.)"},
		{"not yet", func(v *vector) { v.set("X-Amz-Date", "20261123T114013Z") }, fault.InvalidSignature, "Signature not yet current: 20261123T114013Z is still later than 20261123T114012Z (20261123T113512Z + 5 min.)"},
		{"as old as may be", func(v *vector) { v.set("X-Amz-Date", "20261123T113012Z") }, fault.InvalidSignature, mismatch},
		{"as new as may be", func(v *vector) { v.set("X-Amz-Date", "20261123T114012Z") }, fault.InvalidSignature, mismatch},
		{"host not signed", func(v *vector) {
			v.set("Authorization", "AWS4-HMAC-SHA256 Credential="+good+", SignedHeaders=x-amz-date, "+signature)
		}, fault.InvalidSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"x-amz header not signed", func(v *vector) { v.set("X-Amz-Target", "A.B") }, fault.InvalidSignature, "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{"request metadata not signed", func(v *vector) { v.set("X-Amzn-Bedrock-Request-Metadata", "{}") }, fault.InvalidSignature, "'X-Amzn-Bedrock-Request-Metadata' must be a 'SignedHeader' in the AWS Authorization."},
		{"algorithm", func(v *vector) {
			v.set("Authorization", strings.Replace(auth(good), "SHA256", "SHA25", 1))
		}, fault.IncompleteSignature, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). "},
		{"short credential", func(v *vector) { v.set("Authorization", auth("a/b/c/d")) }, fault.IncompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c/d'"},
		{"long credential", func(v *vector) { v.set("Authorization", auth(good+"/x")) }, fault.IncompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + good + "/x'"},
		{"region", func(v *vector) { v.set("Authorization", auth(vs.AccessKeyID+"/20261123/Mars/bedrock/aws4_request")) }, fault.InvalidSignature, "Credential should be scoped to a valid region."},
		{"terminator", func(v *vector) { v.set("Authorization", auth(vs.AccessKeyID+"/20261123/us-east-1/bedrock/aws5")) }, fault.InvalidSignature, "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'."},
		{"all of the scope", func(v *vector) { v.set("Authorization", auth("a/b/c//e")) }, fault.InvalidSignature,
			"Credential should be scoped to a valid region. Credential should be scoped to correct service. Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'b' != '20261123', from '20261123T113512Z'."},
		{"unknown key", func(v *vector) { v.set("Authorization", auth("AKIANOBODY/20261123/us-east-1/bedrock/aws4_request")) }, fault.UnrecognizedClient, invalidToken},
		{"wrong signature", func(v *vector) { v.set("Authorization", auth(good)) }, fault.InvalidSignature, mismatch},
		{"token that nobody gave out", func(v *vector) { v.set("X-Amz-Security-Token", "abc") }, fault.UnrecognizedClient, invalidToken},
		{"hash of another body", func(v *vector) { v.set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }, fault.InvalidSignature, mismatch},
		{"unsigned payload", func(v *vector) { v.set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, fault.InvalidSignature, mismatch},
		{"control characters", func(v *vector) { v.set("X-Amz-Date", "a\tb"+strings.Repeat("c", 200)) }, fault.IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got 'a?b" + strings.Repeat("c", 125) + "...'. See http://en.wikipedia.org/wiki/ISO_8601"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := vs.get(t, "root-without-body")
			tt.change(v)
			c, err := a.Authenticate(v.request(t), iam.Claim{}, v.Body, "id")
			wantFault(t, err, tt.kind, tt.message)
			if c.ARN != "" || c.AccessKeyID != "" {
				t.Errorf("a caller beside the error: %+v", c)
			}
			// Before the body has come, everything shows but what the signature decides.
			if said, err := a.Precheck(v.request(t)); tt.message == mismatch {
				if err != nil {
					t.Errorf("the precheck says %v", err)
				}
				_, err = a.Authenticate(v.request(t), said, v.Body, "id")
				wantFault(t, err, tt.kind, tt.message)
			} else {
				wantFault(t, err, tt.kind, tt.message)
			}
		})
	}
}

// A body may take minutes. What was found before it came is asked again where it may have changed.
func TestClaimGrowsOld(t *testing.T) {
	vs, at := readVectors(t)
	now := at
	d := open(t, func() time.Time { return now })
	must(t, d.EnsureRoot(t.Context(), account, vs.AccessKeyID, vs.SecretAccessKey))
	a, v := d.Authenticator(), vs.get(t, "body-1k")
	r := v.request(t)
	said, err := a.Precheck(r)
	must(t, err)

	now = at.Add(5 * time.Minute)
	c, err := a.Authenticate(r, said, v.Body, "id")
	check(t, v, c, err)
	now = at.Add(5*time.Minute + time.Second)
	_, err = a.Authenticate(r, said, v.Body, "id")
	wantFault(t, err, fault.InvalidSignature, "Signature expired: 20261123T113512Z is now earlier than 20261123T113513Z (20261123T114013Z - 5 min.)")
	now = at
	_, err = a.Authenticate(r, said, v.Body[1:], "id")
	if !fault.Is(err, fault.InvalidSignature) {
		t.Errorf("another body: %v", err)
	}
	must(t, d.EnsureRoot(t.Context(), account, "another", "another-secret"))
	_, err = a.Authenticate(r, said, v.Body, "id")
	wantFault(t, err, fault.UnrecognizedClient, "The security token included in the request is invalid.")
}

// The header's parameters may stand in any order, with commas, spaces or both between them.
func TestAuthorizationHeaderForms(t *testing.T) {
	vs, d := verifier(t)
	a := d.Authenticator()
	h := vs.get(t, "root-without-body").header("Authorization")
	fields := strings.Split(strings.TrimPrefix(h, "AWS4-HMAC-SHA256 "), ", ")
	if len(fields) != 3 {
		t.Fatal(h)
	}
	for _, form := range []string{
		"AWS4-HMAC-SHA256 " + fields[2] + "," + fields[0] + "," + fields[1],
		"AWS4-HMAC-SHA256 " + strings.Join(fields, " "),
		"AWS4-HMAC-SHA256   " + strings.Join(fields, " ,\t "),
		"AWS4-HMAC-SHA256 " + strings.Join(fields, ", ") + ",",
		"AWS4-HMAC-SHA256 " + strings.Replace(strings.Join(fields, ", "), "aws4_request", "aws4_request/", 1),
	} {
		v := vs.get(t, "root-without-body")
		v.set("Authorization", form)
		if _, err := a.Authenticate(v.request(t), iam.Claim{}, v.Body, "id"); err != nil {
			t.Errorf("%q: %v", form, err)
		}
	}
}

// What a request says of its caller is told for the record, and nothing of it is taken for proved.
func TestClaimed(t *testing.T) {
	d := open(t, nil)
	must(t, d.EnsureRoot(t.Context(), account, "AKIAROOTOFTHETEST000", "a-secret-of-root"))
	for _, c := range []struct{ header, id, account, region string }{
		{"AWS4-HMAC-SHA256 Credential=AKIAROOTOFTHETEST000/20200101/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature=00", "AKIAROOTOFTHETEST000", account, "eu-west-1"},
		{"AWS4-HMAC-SHA256 Credential=AKIANOBODY/20200101/Mars/bedrock/aws4_request, SignedHeaders=host, Signature=00", "AKIANOBODY", "", ""},
		{"AWS4-HMAC-SHA256 Credential=AKIAROOTOFTHETEST000", "AKIAROOTOFTHETEST000", account, ""},
		{"AWS4-HMAC-SHA256 Credential=A\tb" + strings.Repeat("c", 500) + "/x/y/z/aws4_request", "A", "", ""},
		{"AWS4-HMAC-SHA256 Credential=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY/20200101/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature=00", "", "", "eu-west-1"}, // somebody mixed the two up
		{"Bearer ABSKsecret", "", "", ""},
		{"", "", "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "203.0.113.7:51234"
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		who := d.Authenticator().Claimed(r)
		if who.AccessKeyID != c.id || who.Account != c.account || who.Region != c.region || who.SourceIP() != "203.0.113.7" || who.ARN != "" || who.Root {
			t.Errorf("%.60s: %+v", c.header, who)
		}
		if err := iam.NewGuard(iam.GuardConfig{}).Check(t.Context(), "id", &who, []iam.Access{{Action: "bedrock:GetInferenceProfile", Resource: "*"}}); !fault.Is(err, fault.AccessDenied) {
			t.Errorf("%.60s may act: %v", c.header, err)
		}
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	vs, d := verifier(f)
	a := d.Authenticator()
	base := vs.get(f, "root-without-body")
	good := base.header("Authorization")
	f.Add(good)
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0")
	f.Add("AWS4-HMAC-SHA256 Credential=" + vs.AccessKeyID + "/20261123/us-east-1/bedrock/aws4_request,SignedHeaders=;;:authority;host;content-length,Signature==")
	f.Add("AWS4- ,,,=,==")
	f.Fuzz(func(t *testing.T, header string) {
		// An access key id that is not there may wait for the store: that is not what is looked for here.
		if !strings.Contains(header, vs.AccessKeyID+"/") {
			header = strings.Replace(header, "Credential=", "Credential="+vs.AccessKeyID+"/", 1)
		}
		r := base.request(t)
		r.Header["Authorization"] = []string{header}
		c, err := a.Authenticate(r, iam.Claim{}, nil, "id")
		if (err == nil) != (c.AccessKeyID != "") {
			t.Fatalf("%+v with %v", c, err)
		}
		if err != nil {
			if fault.From(err).Kind == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		// What is taken says what the good header says.
		for _, part := range strings.FieldsFunc(good, func(r rune) bool { return r == ',' || r == ' ' }) {
			if !strings.Contains(header, part) {
				t.Fatalf("%q was taken", header)
			}
		}
	})
}

// FuzzVerify changes a signed request. What is still taken must have the same meaning.
func FuzzVerify(f *testing.F) {
	vs, d := verifier(f)
	a := d.Authenticator()
	base := vs.get(f, "query-repeated")
	baseURL, err := url.ParseRequestURI(base.Target)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(base.Method, base.Target, base.host, "", []byte(nil))
	f.Add("GET", "/x/../inference-profiles?a=1&a=2&a=3&a-b=%30&b=2&c", base.host, "a  b", []byte(nil))
	f.Add("POST", "http://x/inference-profiles?%", "x", "", []byte("x"))
	f.Fuzz(func(t *testing.T, method, target, host, extra string, body []byte) {
		r := base.request(t)
		r.Method, r.RequestURI, r.Host = method, target, host
		r.Header.Set("X-Extra", extra)
		if _, err := a.Authenticate(r, iam.Claim{}, body, "id"); err != nil {
			if fault.From(err).Kind != fault.InvalidSignature {
				t.Fatal(err)
			}
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http would not have let it in
		}
		q, want := u.Query(), baseURL.Query()
		for _, m := range []url.Values{q, want} {
			for k := range m {
				slices.Sort(m[k])
			}
		}
		if method != base.Method || host != base.host || len(body) != 0 || q.Encode() != want.Encode() {
			t.Fatalf("taken: %q %q %q %q", method, target, host, body)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	vs, d := verifier(b)
	a := d.Authenticator()
	bench := func(b *testing.B, v *vector) {
		r := v.request(b)
		b.ReportAllocs()
		for b.Loop() {
			said, err := a.Precheck(r)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := a.Authenticate(r, said, v.Body, "id"); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Converse", func(b *testing.B) { bench(b, vs.get(b, "client-converse-arn")) })
	b.Run("1KB", func(b *testing.B) { bench(b, vs.get(b, "body-1k")) })
	b.Run("100KB", func(b *testing.B) { bench(b, vs.get(b, "long-body")) })
	b.Run("Query", func(b *testing.B) { bench(b, vs.get(b, "query-repeated")) })
}

func BenchmarkPrecheck(b *testing.B) {
	vs, d := verifier(b)
	a, r := d.Authenticator(), vs.get(b, "body-1k").request(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Precheck(r); err != nil {
			b.Fatal(err)
		}
	}
}
