package bedrock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
	transport, err := x.p.client.Transport(request.URL)
	if err != nil {
		return nil, x.misconfigured(err)
	}
	resp, err := transport.RoundTrip(request)
	if err != nil {
		return nil, upstream.Unreachable(x.ctx, x.p.cfg.Name, err)
	}
	x.body = resp.Body.(http1.Body)
	return resp, nil
}

// signed makes the HTTP request that x asks for.
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
	// The other headers that Post adds are not in the signature, so that a gateway on the way may take them off.
	return x.p.client.Post(x.ctx, request.URL, request.Header, x.ask.body), nil
}

// request makes what is signed of the HTTP request.
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
	for name, values := range x.p.client.Config().Header {
		if strings.HasPrefix(name, "X-Amzn-") { // Bedrock's own are signed
			h[name] = values
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
	return &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: h, ContentLength: int64(len(x.ask.body))}, nil
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
