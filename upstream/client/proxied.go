package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"time"

	"outcrop/upstream/http1"
)

// proxied is net/http's Transport, which knows how to speak to proxies, with http1's time limits and errors.
type proxied struct {
	*http.Transport
	connect, answer time.Duration
}

// newProxied returns the way through a proxy, or through the one that the environment names.
func newProxied(c *Config, through *url.URL) *proxied {
	proxy := http.ProxyFromEnvironment
	if through != nil {
		proxy = http.ProxyURL(through)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &proxied{
		Transport: &http.Transport{
			Proxy:               proxy,
			DialContext:         (&net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: c.ConnectTimeout,
			TLSClientConfig:     c.TLS,
			Protocols:           &protocols,
			DisableCompression:  true, // it would hold back the pieces of a stream
			MaxIdleConns:        c.MaxIdleConns,
			MaxIdleConnsPerHost: c.MaxIdleConns,
			IdleConnTimeout:     c.KeepIdle,
			ReadBufferSize:      16 << 10,
			WriteBufferSize:     16 << 10,
		},
		connect: c.ConnectTimeout,
		answer:  c.FirstToken,
	}
}

var errConnect = &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}

// RoundTrip implements http.RoundTripper as http1.Transport does.
func (p *proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	b := &proxiedBody{}
	b.ctx, b.cancel = context.WithCancelCause(r.Context())
	b.answer = time.AfterFunc(p.answer, func() { b.cancel(os.ErrDeadlineExceeded) })
	// TCP, the proxy's consent and TLS together have to be done in time. net/http may connect more than once.
	connect := time.AfterFunc(p.connect, func() { b.cancel(errConnect) })
	traced := httptrace.WithClientTrace(b.ctx, &httptrace.ClientTrace{
		GetConn: func(string) { connect.Reset(p.connect) },
		GotConn: func(httptrace.GotConnInfo) { connect.Stop() },
	})
	resp, err := p.Transport.RoundTrip(r.WithContext(traced))
	connect.Stop()
	if err != nil {
		err = b.failed(err)
		b.end()
		return nil, err
	}
	b.ReadCloser, resp.Body = resp.Body, b
	return resp, nil
}

type proxiedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	answer  *time.Timer // runs from the request until SetReadTimeout is called
	read    *time.Timer // runs while a Read waits, from then on
	timeout time.Duration
}

var _ http1.Body = (*proxiedBody)(nil)

func (b *proxiedBody) SetReadTimeout(d time.Duration) {
	b.answer.Stop()
	b.timeout = d
}

func (b *proxiedBody) Read(p []byte) (int, error) {
	if b.timeout > 0 {
		if b.read == nil {
			b.read = time.AfterFunc(b.timeout, func() { b.cancel(os.ErrDeadlineExceeded) })
		} else {
			b.read.Reset(b.timeout)
		}
		defer b.read.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.failed(err)
	}
	return n, err
}

// failed gives err the form that it has in http1: what ended the context, or that no connection could be made.
func (b *proxiedBody) failed(err error) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return err
}

func (b *proxiedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (b *proxiedBody) end() {
	b.answer.Stop()
	b.cancel(nil)
}
