package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"outcrop/upstream"
	"outcrop/upstream/anthropic"
	"outcrop/upstream/bedrock"
	"outcrop/upstream/openai"
	"outcrop/upstream/simulated"
)

// upstreams makes the providers that c names, or the simulated one that stands behind everything.
func upstreams(ctx context.Context, c *Config, log *slog.Logger) ([]*upstream.Upstream, error) {
	if len(c.Upstreams) == 0 {
		p, err := simulated.New(simulated.Config{Name: "simulated"})
		if err != nil {
			return nil, err
		}
		return []*upstream.Upstream{{Name: "simulated", Provider: p}}, nil
	}
	var us []*upstream.Upstream
	for i := range c.Upstreams {
		uc := &c.Upstreams[i]
		u := uc.place()
		key, err := uc.apiKey()
		if err == nil {
			u.Provider, err = uc.provider(ctx, key, log)
		}
		if err != nil {
			for _, made := range us {
				err = errors.Join(err, made.Provider.Close())
			}
			return nil, err
		}
		us = append(us, u)
	}
	return us, nil
}

// place is the upstream without its provider: what it serves, and where.
func (u *UpstreamConfig) place() *upstream.Upstream {
	p := &upstream.Upstream{Name: u.Name, Models: u.Models, Drain: u.Drain, Regional: u.Provider == "bedrock"}
	if w := u.Weight; w != nil {
		p.Weight, p.Standby = *w, *w == 0
	}
	if len(u.Regions) > 0 {
		p.Regions = map[string]bool{}
		for _, r := range u.Regions {
			p.Regions[r] = true
		}
	}
	return p
}

// provider makes the upstream's provider. None connects yet.
func (u *UpstreamConfig) provider(ctx context.Context, key string, log *slog.Logger) (upstream.Provider, error) {
	server, err := u.server()
	if err != nil {
		return nil, err
	}
	switch u.Provider {
	case "openai":
		c := openai.Config{Name: u.Name, BaseURL: u.BaseURL, APIKey: key, Client: server}
		if u.API == "responses" {
			c.API = openai.Responses
		}
		return openai.New(c)
	case "anthropic":
		return anthropic.New(anthropic.Config{Name: u.Name, BaseURL: u.BaseURL, APIKey: key, Client: server})
	case "bedrock":
		b := u.Bedrock
		if b == nil {
			b = &BedrockConfig{}
		}
		return bedrock.New(ctx, bedrock.Config{
			Name: u.Name, Endpoint: b.Endpoint, APIKey: key, AWSProfile: b.AWSProfile, Profiles: b.Profiles, Client: server, Logger: log,
			AssumeRole: bedrock.Role{ARN: b.AssumeRole.ARN, ExternalID: b.AssumeRole.ExternalID, SessionName: b.AssumeRole.SessionName},
		})
	case "simulated":
		return simulated.New(u.simulated())
	}
	return nil, fmt.Errorf("upstream %s: no provider %q", u.Name, u.Provider) // check() has refused it
}
