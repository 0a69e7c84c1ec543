package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"outcrop/routing"
	upstreamclient "outcrop/upstream/client"
)

// prober asks one upstream's server at times whether it is there. A probe carries nothing of any call.
type prober struct {
	name      string
	url       *url.URL
	client    *upstreamclient.Client
	transport http.RoundTripper
	every     time.Duration
	place     *routing.Place
	log       *slog.Logger
	failing   bool
}

// probers makes those that c asks for. None asks yet.
func probers(c *Config, table *routing.Table, log *slog.Logger) ([]*prober, error) {
	var ps []*prober
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if u.Probe == nil {
			continue
		}
		server, err := u.server()
		if err != nil {
			return nil, err
		}
		server.MaxConns = 0 // a probe waits for no call
		p := &prober{name: u.Name, every: u.Probe.Interval, place: table.Place(u.Name, ""), log: log}
		if p.url, err = url.Parse(u.BaseURL); err == nil {
			p.url, err = p.url.Parse(u.Probe.Path)
		}
		if err == nil {
			p.client, err = upstreamclient.New(server)
		}
		if err == nil {
			p.transport, err = p.client.Transport(p.url)
		}
		if err != nil {
			return nil, fmt.Errorf("upstream %s: probe: %w", u.Name, err)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context) {
	defer func() { _ = p.client.Close() }() // it never fails
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		began := time.Now()
		err := p.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		p.place.Probe(began, time.Now(), err)
		if err != nil && !p.failing {
			p.log.Warn("probes of an upstream fail", "upstream", p.name, "error", err)
		} else if err == nil && p.failing {
			p.log.Warn("probes of an upstream go well again", "upstream", p.name)
		}
		p.failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *prober) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.every)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return err
	}
	maps.Copy(r.Header, p.client.Config().Header)
	r.Header.Set("User-Agent", "outcrop")
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection serves the next one too
	if resp.StatusCode >= 500 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if err == io.EOF {
		err = nil
	}
	return err
}
