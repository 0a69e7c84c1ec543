package iam

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"
)

type suite struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Region    string `json:"region"`
	Service   string `json:"service"`
	Date      string `json:"date"`
	Cases     []struct {
		Name  string `json:"name"`
		Creq  string `json:"creq"`
		Authz string `json:"authz"`
		Sreq  string `json:"sreq"`
	} `json:"cases"`
}

// parse reads a request of the suite. Some of its request lines hold what no HTTP parser takes, so net/http's cannot
// be used; header lines that go on in the next line are joined by a space, as net/textproto does.
func parse(t testing.TB, text string) (*http.Request, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	r := &http.Request{Method: method, RequestURI: strings.TrimSuffix(rest, " HTTP/1.1"), Header: http.Header{}, ContentLength: int64(len(body))}
	last := ""
	for _, line := range lines[1:] {
		if line[0] == ' ' {
			values := r.Header[last]
			values[len(values)-1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = textproto.CanonicalMIMEHeaderKey(name)
		r.Header[last] = append(r.Header[last], strings.TrimSpace(value))
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	return r, []byte(body)
}

func TestSuite(t *testing.T) {
	raw, err := os.ReadFile("testdata/aws4.json")
	if err != nil {
		t.Fatal(err)
	}
	var s suite
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Cases) < 30 {
		t.Fatalf("only %d cases", len(s.Cases))
	}
	at := stamp{text: s.Date}
	if at.time, err = time.Parse(timeFormat, s.Date); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Cases {
		t.Run(c.Name, func(t *testing.T) {
			r, body := parse(t, c.Sreq)
			auth, err := parseAuthorization(c.Authz, r.Header)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			w := &workspace{}
			if !w.canonicalRequest(r, auth.signedHeaders, []byte(hex.EncodeToString(sum[:]))) {
				t.Fatal("no canonical request")
			}
			if string(w.buf) != c.Creq {
				t.Errorf("canonical request\n%s\nwant\n%s", w.buf, c.Creq)
			}
			sc, err := parseCredential(auth.credential, at)
			if err != nil {
				t.Fatal(err)
			}
			if want := (scope{s.AccessKey, s.Date[:8], s.Region, s.Service}); sc != want {
				t.Errorf("scope %+v, want %+v", sc, want)
			}
			key := &credential{secret: s.SecretKey}
			for range 2 { // the second time with the key that the first has left
				if _, ok := key.verify(r, body, &auth, &sc, at); !ok {
					t.Error("the signature does not match")
				}
			}
			auth.signature = "0" + auth.signature[1:]
			if auth.signature[0] == c.Authz[strings.Index(c.Authz, "Signature=")+len("Signature=")] {
				auth.signature = "1" + auth.signature[1:]
			}
			if _, ok := key.verify(r, body, &auth, &sc, at); ok {
				t.Error("a wrong signature matches")
			}
		})
	}
}

func TestSigningKeysAreBounded(t *testing.T) {
	var k signingKeys
	day := func(i int) *scope {
		return &scope{date: time.Unix(int64(i)*86400, 0).UTC().Format("20060102"), region: "us-east-1", service: "bedrock"}
	}
	for i := range 3 * maxSigningKeys {
		k.add(derive("secret", day(i)))
	}
	if n := len(*k.list.Load()); n != maxSigningKeys {
		t.Errorf("%d keys are kept, want %d", n, maxSigningKeys)
	}
	if k.find(day(3*maxSigningKeys-1)) == nil || k.find(day(0)) != nil {
		t.Error("the newest key is gone, or the oldest is still there")
	}
}

// TestParseBasic holds parseBasic against time.Parse, at every value that a field can have and with every byte changed.
func TestParseBasic(t *testing.T) {
	same := func(s string) {
		want, err := time.Parse(timeFormat, s)
		got, ok := parseBasic(s)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Fatalf("%q: %v %t, want %v %v", s, got, ok, want, err)
		}
	}
	for _, base := range []string{"20240229T235959Z", "20261123T113512Z", "00000101T000000Z", "99991231T000000Z"} {
		for _, field := range []int{4, 6, 9, 11, 13} {
			for n := range 100 {
				same(base[:field] + string([]byte{'0' + byte(n/10), '0' + byte(n%10)}) + base[field+2:])
			}
		}
		for i := range len(base) {
			for c := range 256 {
				same(base[:i] + string([]byte{byte(c)}) + base[i+1:])
			}
			same(base[:i])
			same(base[:i] + "0" + base[i:])
		}
	}
	same("20230229T000000Z")
	same("19000229T000000Z")
	same("20000229T000000Z")
}

func TestRegionForm(t *testing.T) {
	for _, s := range []string{"us-east-1", "us-gov-west-1", "us-isob-east-1", "cn-northwest-1", "eusc-de-east-1", "ap-southeast-14"} {
		if !isRegion(s) {
			t.Errorf("%q is not taken", s)
		}
	}
	for _, s := range []string{"", "us", "us-1", "us-east", "us--east-1", "-us-east-1", "US-EAST-1", "us_east_1", "us-east-1 ", strings.Repeat("us-", 20) + "1"} {
		if isRegion(s) {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestPresigned: the signatures of AWS's generators of short-term keys, with a session token and without.
func TestPresigned(t *testing.T) {
	raw, err := os.ReadFile("testdata/bearer.json")
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		SecretAccessKey string `json:"secret_access_key"`
		Cases           []struct{ Name, Key string }
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Cases {
		text, err := base64.StdEncoding.DecodeString(k.Key[len(shortTermPrefix):])
		if err != nil {
			t.Fatal(err)
		}
		p, ok := parsePresigned(string(text[len(shortTermURL) : len(text)-len(shortTermVersion)]))
		if !ok {
			t.Fatalf("%s cannot be read", k.Name)
		}
		at := stamp{text: p.date}
		sc, err := parseCredential(p.credential, at)
		if err != nil {
			t.Fatal(err)
		}
		c := &credential{secret: keys.SecretAccessKey}
		for range 2 { // the second time with the key that was kept
			if !c.verifyPresigned(&p, &sc, at) {
				t.Errorf("%s: the signature does not match", k.Name)
			}
		}
	}
}
