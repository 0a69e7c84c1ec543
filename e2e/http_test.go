package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A message is a request as it is written, which no SDK would write.
type message struct {
	method, target string
	sign           http.Header // signed with the others; nil signs nothing at all
	hash           string      // the payload's hash in the signature; "" is that of body
	body           []byte
	chunked        bool
	extra          string // lines that are not signed
	trailer        string // lines after the last chunk
}

// exchange writes m on a connection of its own and reads the answer.
func (s *server) exchange(m message) (*http.Response, string) {
	s.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(deadline(s.t), m.method, s.url+m.target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if m.sign != nil {
		r.Header = m.sign.Clone()
		hash := m.hash
		if hash == "" {
			sum := sha256.Sum256(m.body)
			hash = hex.EncodeToString(sum[:])
		}
		who := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
		if err := v4.NewSigner().SignHTTP(deadline(s.t), who, r, hash, "bedrock", "us-east-1", time.Now()); err != nil {
			s.t.Fatal(err)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", m.method, m.target, u.Host)
	if err := r.Header.Write(&b); err != nil {
		s.t.Fatal(err)
	}
	b.WriteString(m.extra)
	if m.chunked {
		b.WriteString("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
		for rest := m.body; len(rest) > 0; {
			n := min(len(rest), 64<<10)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		fmt.Fprintf(&b, "0\r\n%s\r\n", m.trailer)
	} else {
		fmt.Fprintf(&b, "Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(m.body), m.body)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = c.Write(b.Bytes()) // a server that refuses need not read it all
	}()
	w, err := http.ReadResponse(bufio.NewReader(c), r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", m.method, m.target, err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", m.method, m.target, err)
	}
	c.Close()
	<-written
	return w, string(text)
}

// TestStrangeHTTP asks the data plane in ways that the SDKs do not, or that are other services'.
func TestStrangeHTTP(t *testing.T) {
	s := start(t, options{})
	const (
		model     = "/model/anthropic.claude-3-haiku-20240307-v1%3A0"
		mismatch  = "The request signature we calculated does not match the signature you provided."
		body      = `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":5}}`
		anthropic = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`
	)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(body))
	_ = z.Close()
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i+1 < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	most := append([]byte(anthropic), bytes.Repeat([]byte(" "), 25_000_000-len(anthropic))...)
	for _, c := range []struct {
		name    string
		m       message
		status  int
		kind    string // of the exception; "" is a success
		message string // how the exception's begins
	}{
		{"no content type", message{sign: header()}, 200, "", ""},
		{"curl's content type", message{sign: header("Content-Type", "application/x-www-form-urlencoded")}, 200, "", ""},
		{"chunked", message{sign: header(), chunked: true}, 200, "", ""},
		{"chunked, with a trailer", message{sign: header(), chunked: true, extra: "Trailer: Authorization\r\n", trailer: "Authorization: x\r\n"}, 200, "", ""},
		{"compressed", message{sign: header("Content-Encoding", "gzip"), body: zipped.Bytes()}, 400, "SerializationException", "The Content-Encoding"},
		{"aws-chunked", message{sign: header("Content-Encoding", "aws-chunked")}, 400, "SerializationException", "The Content-Encoding"},
		// Only S3 takes what is in place of the body's hash there.
		{"a body that is signed in chunks", message{sign: header("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
			403, "InvalidSignatureException", mismatch},
		{"a body that is not signed, and a trailer", message{sign: header("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), hash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
			403, "InvalidSignatureException", mismatch},
		{"a body that is not signed", message{sign: header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), hash: "UNSIGNED-PAYLOAD"}, 403, "InvalidSignatureException", mismatch},
		{"another body than was signed", message{sign: header(), hash: strings.Repeat("0", 64)}, 403, "InvalidSignatureException", mismatch},
		{"a second Authorization", message{sign: header(), extra: "Authorization: AWS4-HMAC-SHA256 x\r\n"}, 403, "IncompleteSignatureException", ""},
		{"a second signed header", message{sign: header("Content-Type", "application/json"), extra: "Content-Type: application/json\r\n"}, 403, "InvalidSignatureException", mismatch},
		{"not signed", message{chunked: true}, 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"GET", message{method: "GET", sign: header()}, 404, "UnknownOperationException", ""},
		{"HEAD", message{method: "HEAD", sign: header()}, 404, "UnknownOperationException", ""},
		{"a preflight", message{method: "OPTIONS", extra: "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"}, 404, "UnknownOperationException", ""},
		{"an operation that is not served", message{target: model + "/invoke-with-bidirectional-stream", sign: header()}, 404, "UnknownOperationException", "No operation matches POST"},
		{"a stream's Accept", message{target: model + "/converse-stream", sign: header("Accept", "application/json")}, 200, "", ""},
		{"a null in a list", message{sign: header(), body: []byte(`{"messages":[null]}`)}, 400, "SerializationException", "NULL_VALUE cannot be converted"},
		{"an empty content block", message{sign: header(), body: []byte(`{"messages":[{"role":"user","content":[{"image_url":{}}]}]}`)}, 400, "ValidationException",
			"ContentBlock object at messages.0.content.0 must set one of the following keys: text, image, toolUse, toolResult, document, video,"},
		{"InvokeModel: no content type", message{target: model + "/invoke", sign: header(), body: []byte(anthropic)}, 200, "", ""},
		{"InvokeModel: another content type", message{target: model + "/invoke", sign: header("Content-Type", "text/plain"), body: []byte(anthropic)}, 400, "ValidationException",
			"The provided Content Type is invalid or not supported for this model"},
		{"InvokeModel: Accept of a stream", message{target: model + "/invoke", sign: header("Accept", "application/vnd.amazon.eventstream"), body: []byte(anthropic)}, 400, "ValidationException",
			"The provided Accept Type is invalid or not supported for this model"},
		{"InvokeModelWithResponseStream: Accept of a stream", message{target: model + "/invoke-with-response-stream", sign: header("Accept", "application/vnd.amazon.eventstream"), body: []byte(anthropic)}, 200, "", ""},
		{"InvokeModelWithResponseStream: another accept", message{target: model + "/invoke-with-response-stream", sign: header("X-Amzn-Bedrock-Accept", "image/png"), body: []byte(anthropic)}, 400, "ValidationException",
			"The provided Accept Type is invalid or not supported for this model"},
		{"InvokeModel: the longest body", message{target: model + "/invoke", sign: header(), body: most, chunked: true}, 200, "", ""},
		{"InvokeModel: a longer one", message{target: model + "/invoke", sign: header(), body: append(most, ' '), chunked: true}, 413, "ValidationException",
			"1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 25000000"},
	} {
		m := c.m
		if m.method == "" {
			m.method = "POST"
			if m.body == nil {
				m.body = []byte(body)
			}
		}
		if m.target == "" {
			m.target = model + "/converse"
		}
		w, text := s.exchange(m)
		kind, _, _ := strings.Cut(w.Header.Get("X-Amzn-Errortype"), ":")
		if w.StatusCode != c.status || kind != c.kind || w.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %d %s %.300s, want %d %s", c.name, w.StatusCode, kind, text, c.status, c.kind)
		}
		if !strings.Contains(text, `"message":"`+c.message) && c.message != "" {
			t.Errorf("%s: %.300s", c.name, text)
		}
	}
}
