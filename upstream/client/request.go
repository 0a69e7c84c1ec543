package client

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// Post returns the request that posts body to u with h and the configured headers. It takes h over, as whose names are
// canonical; u is shared, and never changed.
//
// X-Idempotency-Key, present but empty, is not sent: it tells the transport that the request may go out again when a kept
// connection turns out to be closed before any of the answer came.
func (k *Client) Post(ctx context.Context, u *url.URL, h http.Header, body []byte) *http.Request {
	h["X-Idempotency-Key"] = []string{}
	maps.Copy(h, k.cfg.Header)
	r := (&http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	r.Header = h
	r.Body, r.ContentLength = newBody(body), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return newBody(body), nil }
	return r
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
