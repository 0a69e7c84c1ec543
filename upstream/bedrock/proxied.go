package bedrock

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"outcrop/upstream/http1"
)

// proxied is net/http's Transport, which knows how to speak to proxies, with http1's time limits.
type proxied struct {
	*http.Transport
	answer, idle time.Duration
}

func newProxied(c *Config) *proxied {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &proxied{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: c.ConnectTimeout,
			TLSClientConfig:     c.TLS,
			Protocols:           &protocols,
			DisableCompression:  true, // it would hold back the pieces of a stream
			MaxIdleConns:        c.MaxIdleConns,
			MaxIdleConnsPerHost: c.MaxIdleConns,
			IdleConnTimeout:     keepIdle,
			ReadBufferSize:      16 << 10,
			WriteBufferSize:     16 << 10,
		},
		answer: c.AnswerTimeout,
		idle:   c.IdleTimeout,
	}
}

// RoundTrip implements http.RoundTripper as http1.Transport does.
func (p *proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	b := &proxiedBody{timeout: p.idle}
	b.ctx, b.cancel = context.WithCancelCause(r.Context())
	b.timer = time.AfterFunc(p.answer, func() { b.cancel(os.ErrDeadlineExceeded) })
	resp, err := p.Transport.RoundTrip(r.WithContext(b.ctx))
	if err != nil {
		b.end()
		return nil, b.failed(err)
	}
	b.ReadCloser, resp.Body = resp.Body, b
	return resp, nil
}

type proxiedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
}

var _ http1.Body = (*proxiedBody)(nil)

func (b *proxiedBody) SetReadTimeout(d time.Duration) { b.timeout = d }

func (b *proxiedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.failed(err)
	}
	return n, err
}

func (b *proxiedBody) failed(err error) error {
	if cause := context.Cause(b.ctx); errors.Is(cause, os.ErrDeadlineExceeded) {
		return cause
	}
	return err
}

func (b *proxiedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (b *proxiedBody) end() {
	b.timer.Stop()
	b.cancel(nil)
}
