package bedrock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"outcrop/upstream"
	"outcrop/upstream/http1"
)

// Role is a role to assume with AWS STS. The zero value is none.
type Role struct {
	ARN         string
	ExternalID  string // that the role's trust policy asks for; "" sends none
	SessionName string // in AWS's own logs; "" is outcrop
}

func (r *Role) check() error {
	if r.ARN == "" && *r != (Role{}) {
		return errors.New("assume_role has no ARN")
	}
	if r.ARN != "" && (!strings.HasPrefix(r.ARN, "arn:") || !strings.Contains(r.ARN, ":role/")) {
		return fmt.Errorf("assume_role: %q is not the ARN of a role", r.ARN)
	}
	return nil
}

// credentials returns the provider of c's credentials. It keeps them until shortly before they end.
func (c *Config) credentials(ctx context.Context) (aws.CredentialsProvider, error) {
	base := c.Credentials
	if base != nil && c.AssumeRole.ARN == "" {
		return cached(base), nil
	}
	options := []func(*config.LoadOptions) error{config.WithDefaultRegion("us-east-1")} // STS answers in every Region
	if c.AWSProfile != "" {
		options = append(options, config.WithSharedConfigProfile(c.AWSProfile))
	}
	if base != nil {
		options = append(options, config.WithCredentialsProvider(base))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("the AWS SDK's configuration: %w", err)
	}
	if c.AssumeRole.ARN == "" {
		return cached(cfg.Credentials), nil
	}
	role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), c.AssumeRole.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = c.AssumeRole.SessionName
		if o.RoleSessionName == "" {
			o.RoleSessionName = "outcrop"
		}
		if c.AssumeRole.ExternalID != "" {
			o.ExternalID = &c.AssumeRole.ExternalID
		}
	})
	return cached(role), nil
}

func cached(p aws.CredentialsProvider) aws.CredentialsProvider {
	if c, ok := p.(*aws.CredentialsCache); ok {
		return c
	}
	return aws.NewCredentialsCache(p)
}

// forget makes the next request ask for new credentials: those that are kept have ended before their time.
func (p *Provider) forget() {
	if c, ok := p.credentials.(*aws.CredentialsCache); ok {
		c.Invalidate()
	}
}

// roundTrip sends what x asks. Its error is the fault of an attempt that got no answer.
func (x *exchange) roundTrip() (*http.Response, error) {
	request, err := x.signed()
	if err != nil {
		return nil, err
	}
	transport := http.RoundTripper(x.p.direct)
	if proxy, err := x.p.proxied.Proxy(request); err != nil {
		return nil, x.misconfigured(fmt.Errorf("the proxy that the environment names: %w", err))
	} else if proxy != nil {
		transport = x.p.proxied
	}
	resp, err := transport.RoundTrip(request)
	if err != nil {
		return nil, upstream.Unreachable(x.ctx, x.p.cfg.Name, err)
	}
	x.body = resp.Body.(http1.Body)
	return resp, nil
}

// signed makes the HTTP request that x asks for.
//
// X-Idempotency-Key, present but empty, is not sent: it tells the transport that the request may go out again when a kept
// connection turns out to be closed before any of the answer came.
func (x *exchange) signed() (*http.Request, error) {
	request, err := x.request()
	if err != nil {
		return nil, x.misconfigured(err)
	}
	if key := x.p.cfg.APIKey; key != "" {
		request.Header["Authorization"] = []string{"Bearer " + key}
	} else {
		credentials, err := x.p.credentials.Retrieve(x.ctx)
		if err == nil {
			sum := sha256.Sum256(x.ask.body)
			err = x.p.signer.SignHTTP(x.ctx, credentials, request, hex.EncodeToString(sum[:]), "bedrock", x.region, x.p.cfg.Clock())
		}
		if x.ctx.Err() != nil {
			return nil, upstream.Unreachable(x.ctx, x.p.cfg.Name, x.ctx.Err())
		}
		if err != nil {
			return nil, x.misconfigured(fmt.Errorf("credentials: %w", err))
		}
	}
	request.Header["X-Idempotency-Key"] = []string{} // once it cannot be signed any more
	return request, nil
}

// request makes the HTTP request, without what says who sends it.
func (x *exchange) request() (*http.Request, error) {
	u, err := x.p.cfg.endpoint(x.region)
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(u.EscapedPath(), "/")
	u.RawPath = base + "/model/" + escape(x.ask.model) + "/" + x.ask.suffix
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, err
	}
	h := make(http.Header, 10)
	for name, value := range x.ask.header {
		if strings.HasPrefix(name, "X-Amzn-Bedrock-") { // nothing else of the caller's is Bedrock's business
			h[name] = []string{value}
		}
	}
	h["Content-Type"] = []string{x.ask.contentType}
	h["User-Agent"] = []string{"outcrop"}
	if x.ask.converse || x.ask.suffix == "count-tokens" {
		h["Accept"] = []string{"application/json"}
	} else if n := x.req.Native; n != nil && n.Accept != "" {
		name := "Accept"
		if x.req.Stream {
			name = "X-Amzn-Bedrock-Accept"
		}
		h[name] = []string{n.Accept}
	}
	body := x.ask.body
	r := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: newBody(body), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return newBody(body), nil },
	}
	return r.WithContext(x.ctx), nil
}

// escape writes s as one segment of a path the way the AWS SDKs do, which the signature is over: with every character
// but the unreserved ones escaped.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// requestBody is a request's body, which can be read but need not be closed.
type requestBody struct{ bytes.Reader }

func newBody(b []byte) io.ReadCloser {
	if len(b) == 0 {
		return http.NoBody
	}
	r := new(requestBody)
	r.Reset(b)
	return r
}

func (*requestBody) Close() error { return nil }
