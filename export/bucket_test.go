package export_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"outcrop/export"
)

const accessKey, secretKey = "AKIAEXPORT", "secret"

// s3 is a server that speaks as much of S3 as exports need: it takes what is signed and is what the signature says.
type s3 struct {
	mu      sync.Mutex
	objects map[string]string
	types   map[string]string
	puts    []string
	cut     int // puts that break off
	wrong   []string
	secret  string // that it knows
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.wrong = append(s.wrong, err.Error())
		return
	}
	if err := s.signed(r, body); err != nil {
		s.wrong = append(s.wrong, err.Error())
		http.Error(w, `<Error><Code>SignatureDoesNotMatch</Code></Error>`, http.StatusForbidden)
		return
	}
	key := r.URL.Path
	if bucket, _, host := strings.Cut(r.Host, ".s3."); host {
		key = "/" + bucket + key
	}
	switch text, ok := s.objects[key]; {
	case r.Method == http.MethodPut:
		if len(s.puts) == 3 && s.cut > 0 {
			s.cut--
			panic(http.ErrAbortHandler)
		}
		s.objects[key], s.types[key] = string(body), r.Header.Get("Content-Type")
		s.puts = append(s.puts, key)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		if r.Method == http.MethodGet {
			io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		}
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if r.Method == http.MethodGet {
			io.WriteString(w, text)
		}
	}
}

// signed signs the request anew with the SDK's own signer and compares.
func (s *s3) signed(r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if got := r.Header.Get("X-Amz-Content-Sha256"); got != payload {
		return fmt.Errorf("%s %s: the body's hash is given as %q", r.Method, r.URL, got)
	}
	if r.ContentLength != int64(len(body)) || len(r.TransferEncoding) > 0 || r.Header.Get("Content-Encoding") != "" {
		return fmt.Errorf("%s %s: length %d, %v, %s", r.Method, r.URL, r.ContentLength, r.TransferEncoding, r.Header.Get("Content-Encoding"))
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	again := httptest.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	_, names, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	again.ContentLength = 0
	for _, name := range strings.Split(names, ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: s.secret}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), credentials, again, payload, "s3", "eu-west-1", at)
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); err == nil && got != want {
		err = fmt.Errorf("%s %s: signed %s, want %s", r.Method, r.URL, got, want)
	}
	return err
}

// bucket is a target on a new server.
func bucket(t *testing.T, to string) (*s3, export.Target) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	s := &s3{objects: map[string]string{}, types: map[string]string{}, secret: secretKey}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	target, err := export.Open(t.Context(), to, export.BucketOptions{Endpoint: server.URL, Region: "eu-west-1", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, target
}

// A bucket gets what a folder gets, the manifest last; again, it gets nothing; and what broke off is sent again.
func TestBucket(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 200)
	s, target := bucket(t, "s3://bills/a/b")
	s.cut = 1
	dir := t.TempDir()
	e := export.Export{Name: "x", Format: export.Focus, Output: export.Parquet, Account: account}
	write := func(to export.Target) *export.Result {
		t.Helper()
		r, err := e.Write(t.Context(), st, cat, november, december, to)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := write(target)
	if first.Manifest != "s3://bills/a/b/x/metadata/BILLING_PERIOD=2026-11/x-Manifest.json" {
		t.Errorf("the manifest is %s", first.Manifest)
	}
	write(open(t, dir))
	var manifest string
	for name, text := range tree(t, dir) {
		key := "/bills/a/b" + name
		kind := "application/vnd.apache.parquet"
		if strings.HasSuffix(key, ".json") {
			manifest, kind = key, "application/json"
			text = strings.ReplaceAll(text, `"x/data/`, `"s3://bills/a/b/x/data/`)
			text = strings.ReplaceAll(text, `"key": "s3://bills/a/b/`, `"key": "`)
		}
		if s.objects[key] != text || s.types[key] != kind {
			t.Errorf("%s is %d bytes of %s, in the folder %d", key, len(s.objects[key]), s.types[key], len(text))
		}
	}
	if len(s.objects) != first.Files+1 || s.puts[len(s.puts)-1] != manifest || slices.Index(s.puts, manifest) != len(s.puts)-1 {
		t.Errorf("%d objects, put in the order %q", len(s.objects), s.puts)
	}
	before := len(s.puts)
	if r := write(target); r.Written != 0 || len(s.puts) != before {
		t.Errorf("again: %+v, %d puts", r, len(s.puts)-before)
	}
	lost := slices.Sorted(maps.Keys(s.objects))[2]
	delete(s.objects, lost)
	if r := write(target); r.Written != 1 || s.objects[lost] == "" {
		t.Errorf("after one was deleted: %+v", r)
	}
	if len(s.wrong) > 0 {
		t.Errorf("the server did not understand: %q", s.wrong)
	}
}

// A refusal says what was asked for.
func TestBucketRefuses(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 30)
	s, target := bucket(t, "s3://bills")
	s.secret = "another"
	e := export.Export{Name: "x", Format: export.CUR, Output: export.CSV, Account: account}
	_, err := e.Write(t.Context(), st, cat, november, december, target)
	if err == nil || !strings.Contains(err.Error(), "s3://bills/x/metadata/") || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || len(s.objects) > 0 {
		t.Errorf("%v, %d objects", err, len(s.objects))
	}
}

func TestOpen(t *testing.T) {
	for to, o := range map[string]export.BucketOptions{"": {}, "gs://x/y": {}, "s3://": {}, "s3:///x": {}, "s3://b/../c": {}, "folder": {Region: "eu-west-1"}} {
		if target, err := export.Open(t.Context(), to, o); err == nil {
			t.Errorf("%q with %+v opens %v", to, o, target)
		}
	}
}
