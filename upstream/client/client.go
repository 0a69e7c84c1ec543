// Package client is the way to an upstream's server: how connections to it are made, through which proxy, how many there
// may be, how long it may take to answer, and what is sent with every request. Providers that speak HTTP share it.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"outcrop/upstream"
	"outcrop/upstream/http1"
)

// Config says how a server is reached. The zero value is a sensible default.
type Config struct {
	Header http.Header // sent with every request in the place of the provider's own; see CheckHeader

	// Secrets are values of Header, and the provider's own, that Hide takes out of what the server says.
	Secrets []string

	TLS *tls.Config // nil is the default one

	// Proxy is the URL of the proxy (http, https or socks5), "none", or "" for what the environment says (HTTPS_PROXY,
	// HTTP_PROXY, NO_PROXY), which never concerns a server on this machine.
	Proxy string

	ConnectTimeout time.Duration // for a connection, with TLS and the proxy, and for a place where MaxConns are taken; 0 is 5 s
	FirstToken     time.Duration // from a request's begin until the first token of its answer, or all of one that is not streamed; 0 is 10 min
	BetweenTokens  time.Duration // between two pieces of a streamed answer that has begun; 0 is 2 min
	Total          time.Duration // from a request's begin until its answer's end; 0 is no limit

	MaxConns     int           // requests under way at once, each of which has a connection of its own; 0 is no limit
	MaxIdleConns int           // connections kept for reuse; 0 is 512
	KeepIdle     time.Duration // how long a connection waits for the next request; 0 is 90 s: most servers close it sooner
}

// Secret returns c with one more secret, which may be "".
func (c Config) Secret(s string) Config {
	if s != "" {
		c.Secrets = append(slices.Clone(c.Secrets), s)
		slices.SortStableFunc(c.Secrets, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	}
	return c
}

// Hide returns text without the secrets: a server, or a proxy on the way, may repeat what it was sent, and neither the
// caller nor the log is to see that. Where what was said has been cut, the beginning of a secret is hidden too.
func (c *Config) Hide(text string) string {
	for _, s := range c.Secrets {
		text = hideBeginnings(strings.ReplaceAll(text, s, "***"), s)
	}
	return text
}

// hideBeginnings hides every beginning of secret in text that is longer than what keys of one vendor have in common.
func hideBeginnings(text, secret string) string {
	const common = 8
	if len(secret) <= common {
		return text
	}
	for from := 0; ; {
		i := strings.Index(text[from:], secret[:common])
		if i < 0 {
			return text
		}
		at := from + i
		end := common
		for at+end < len(text) && end < len(secret) && text[at+end] == secret[end] {
			end++
		}
		text = text[:at] + "***" + text[at+end:]
		from = at + len("***")
	}
}

// HideIn returns err, whose text quotes what the server said, with Hide's text.
func (c *Config) HideIn(err error) error {
	if text := c.Hide(err.Error()); text != err.Error() {
		return hidden{err, text}
	}
	return err
}

type hidden struct {
	error
	text string
}

func (h hidden) Error() string { return h.text }
func (h hidden) Unwrap() error { return h.error }

// WithDefaults returns c with every default in the place of its 0.
func (c Config) WithDefaults() Config {
	for _, d := range []struct {
		at *time.Duration
		to time.Duration
	}{{&c.ConnectTimeout, 5 * time.Second}, {&c.FirstToken, 10 * time.Minute}, {&c.BetweenTokens, 2 * time.Minute}, {&c.KeepIdle, 90 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.to
		}
	}
	if c.MaxIdleConns == 0 {
		c.MaxIdleConns = 512
	}
	return c
}

// Check finds what cannot be meant. Its errors name the members as the configuration file does.
func (c *Config) Check() error {
	for name, values := range c.Header {
		if err := CheckHeader(name); err != nil {
			return err
		}
		for _, v := range values {
			// Never with the value, which may be a secret.
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || strings.TrimSpace(v) != v {
				return fmt.Errorf("headers: %s: the value has a line break, another control character, or a space at an end", name)
			}
		}
	}
	for _, d := range []struct {
		name string
		time.Duration
	}{{"connect", c.ConnectTimeout}, {"first_token", c.FirstToken}, {"between_tokens", c.BetweenTokens}, {"total", c.Total}} {
		if d.Duration < 0 {
			return fmt.Errorf("timeouts.%s: %v is negative", d.name, d.Duration)
		}
	}
	if c.MaxConns < 0 {
		return fmt.Errorf("max_connections: %d is negative", c.MaxConns)
	}
	if c.MaxIdleConns < 0 {
		return fmt.Errorf("max_idle_connections: %d is negative", c.MaxIdleConns)
	}
	proxy, err := c.proxy()
	if err == nil && proxy != nil && proxy.Scheme == "https" && c.TLS != nil && c.TLS.ServerName != "" {
		// net/http would look for that name in the proxy's certificate too.
		err = errors.New("proxy: with a proxy of https there can be no tls.server_name")
	}
	return err
}

// proxy returns the URL that c.Proxy is, nil where it is none.
func (c *Config) proxy() (*url.URL, error) {
	if c.Proxy == "" || c.Proxy == "none" {
		return nil, nil
	}
	u, err := url.Parse(c.Proxy)
	if err != nil { // whose text may hold a password
		return nil, errors.New("proxy: it is neither none nor a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h", u.Hostname() == "":
		return nil, fmt.Errorf("proxy: %q is neither none nor of the form http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT", u.Redacted())
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("proxy: %q has a path, a query or a fragment", u.Redacted())
	}
	return u, nil
}

// CheckHeader refuses the names that Config.Header cannot have: those that frame the request, that say who sends it, that
// the provider decides on for each request, or that would make different requests one.
func CheckHeader(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch canonical {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Expect",
		"Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "X-Request-Id", "Anthropic-Version", "X-Amzn-Bedrock-Accept":
		return fmt.Errorf("headers: %s is set for each request and cannot be changed", name)
	case "Idempotency-Key", "X-Idempotency-Key":
		return fmt.Errorf("headers: %s cannot be the same for every request", name)
	case "Authorization":
		return fmt.Errorf("headers: %s: a key belongs into api_key_env or api_key_file", name)
	case "Proxy-Authorization":
		return fmt.Errorf("headers: %s: a proxy's user and password belong into its URL", name)
	}
	if strings.HasPrefix(canonical, "X-Amz-") {
		return fmt.Errorf("headers: %s belongs to the signature", name)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)) // RFC 9110, section 5.6.2
	}) {
		return fmt.Errorf("headers: %q is not the name of a header", name)
	}
	return nil
}

// BaseURL parses a server's address. Paths can be joined to it.
func BaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("base_url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("base_url: %q is not of the form https://HOST[:PORT][/PATH]", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("base_url has a user, a query or a fragment; a key belongs into api_key_env or api_key_file")
	}
	if u.Path == "" {
		u.Path = "/" // JoinPath keeps a path without its slash so
	}
	return u, nil
}

// Client sends requests to one upstream. It holds a pool of connections.
type Client struct {
	cfg     Config
	fixed   *url.URL // the proxy of everything, where the configuration names one
	direct  http.RoundTripper
	proxied http.RoundTripper
	places  chan struct{} // of bounds

	idle []interface{ CloseIdleConnections() }
}

// New checks c and returns its client. It connects to nothing.
func New(c Config) (*Client, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	header := make(http.Header, len(c.Header))
	for name, values := range c.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	c.Header = header
	c = c.WithDefaults()
	fixed, err := c.proxy()
	if err != nil {
		return nil, err
	}
	direct := http1.New(http1.Config{
		TLS:            c.TLS,
		ConnectTimeout: c.ConnectTimeout,
		AnswerTimeout:  c.FirstToken,
		IdleTimeout:    c.KeepIdle,
		MaxIdleConns:   c.MaxIdleConns,
	})
	through := newProxied(&c, fixed)
	k := &Client{cfg: c, fixed: fixed, direct: direct, proxied: through}
	k.idle = append(k.idle, direct, through)
	if c.MaxConns > 0 || c.Total > 0 {
		b := bounds{total: c.Total, patience: c.ConnectTimeout}
		if c.MaxConns > 0 {
			b.places = make(chan struct{}, c.MaxConns)
			k.places = b.places
		}
		k.direct, k.proxied = &bounded{b, direct}, &bounded{b, through}
	}
	return k, nil
}

// Config returns the client's configuration with its defaults.
func (k *Client) Config() *Config { return &k.cfg }

// Transport returns what sends requests to u's server. Its errors are http1.Transport's; its answers' bodies are
// http1.Bodies.
func (k *Client) Transport(u *url.URL) (http.RoundTripper, error) {
	switch {
	case k.cfg.Proxy == "none":
		return k.direct, nil
	case k.fixed != nil:
		return k.proxied, nil
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}) // which never names one for this machine
	if err != nil {
		return nil, fmt.Errorf("the proxy that the environment names: %w", err)
	}
	if proxy != nil {
		return k.proxied, nil
	}
	return k.direct, nil
}

// Loopback says that host is this machine, by its usual name or by address.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Full is upstream.Bounded's.
func (k *Client) Full() bool { return k.places != nil && len(k.places) == cap(k.places) }

// Close closes the connections that wait for reuse.
func (k *Client) Close() error {
	for _, t := range k.idle {
		t.CloseIdleConnections()
	}
	return nil
}

// bounds are what all requests of a client share.
type bounds struct {
	places   chan struct{} // holds one for each request under way; nil is no limit
	patience time.Duration // for a place
	total    time.Duration // 0 is no limit
}

// bounded keeps the bounds. It costs a context and a timer a request, and so stands only where there are bounds.
type bounded struct {
	bounds
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper as http1.Transport does.
func (t *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	b := &boundedBody{places: t.places}
	ctx := r.Context()
	if t.total > 0 {
		ctx, b.cancel = context.WithTimeoutCause(ctx, t.total, os.ErrDeadlineExceeded)
		r = r.WithContext(ctx)
	}
	if err := t.enter(ctx); err != nil {
		if b.cancel != nil {
			b.cancel()
		}
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		b.leave()
		return nil, err
	}
	b.Body = resp.Body.(http1.Body)
	resp.Body = b
	return resp, nil
}

// enter waits for a place.
func (t *bounded) enter(ctx context.Context) error {
	if t.places == nil {
		return nil
	}
	select {
	case t.places <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(t.patience)
	defer late.Stop()
	select {
	case t.places <- struct{}{}:
		return nil
	case <-late.C:
		return upstream.ErrFull
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// boundedBody gives its request's place back when it is closed.
type boundedBody struct {
	http1.Body
	places chan struct{}
	cancel context.CancelFunc
	left   bool
}

func (b *boundedBody) Close() error {
	err := b.Body.Close()
	b.leave()
	return err
}

func (b *boundedBody) leave() {
	if b.left {
		return
	}
	b.left = true
	if b.cancel != nil {
		b.cancel()
	}
	if b.places != nil {
		<-b.places
	}
}
