package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"

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

// rehearse does what a start does with what c names: it reads every file and makes every provider, and gives them up again.
// Environment variables are another shell's: those that are not set here are returned, each with what it is for.
func (c *Config) rehearse(ctx context.Context) (unset []string, err error) {
	if _, err := c.certificates(); err != nil {
		return nil, err
	}
	if _, err := c.issuers(); err != nil {
		return nil, err
	}
	if _, err := c.jobs(ctx); err != nil {
		return nil, err
	}
	trial := *c
	trial.Upstreams = slices.Clone(c.Upstreams)
	for i := range trial.Upstreams {
		u := &trial.Upstreams[i]
		at := fmt.Sprintf("upstreams[%d] (%s)", i, u.Name)
		if u.APIKeyEnv != "" && os.Getenv(u.APIKeyEnv) == "" {
			unset = append(unset, fmt.Sprintf("%s: api_key_env: %s", at, u.APIKeyEnv))
			u.APIKeyEnv = ""
		}
		set := map[string]string{}
		for _, header := range slices.Sorted(maps.Keys(u.HeadersEnv)) {
			if env := u.HeadersEnv[header]; os.Getenv(env) == "" {
				unset = append(unset, fmt.Sprintf("%s: headers_env: %s: %s", at, header, env))
			} else {
				set[header] = env
			}
		}
		u.HeadersEnv = set
	}
	us, err := upstreams(ctx, &trial, slog.New(slog.DiscardHandler))
	for _, u := range us {
		err = errors.Join(err, u.Provider.Close())
	}
	return unset, err
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
		c := openai.Config{Name: u.Name, BaseURL: u.BaseURL, APIKey: key, Stored: u.Stored, Client: server}
		if u.API == "responses" {
			c.API = openai.Responses
		}
		return openai.New(c)
	case "anthropic":
		return anthropic.New(anthropic.Config{Name: u.Name, BaseURL: u.BaseURL, APIKey: key, Stored: u.Stored, Client: server})
	case "bedrock":
		b := u.Bedrock
		if b == nil {
			b = &BedrockConfig{}
		}
		return bedrock.New(ctx, bedrock.Config{
			Name: u.Name, Endpoint: b.Endpoint, APIKey: key, AWSProfile: b.AWSProfile, Profiles: b.Profiles, S3Locations: b.S3Locations, Client: server, Logger: log,
			AssumeRole: bedrock.Role{ARN: b.AssumeRole.ARN, ExternalID: b.AssumeRole.ExternalID, SessionName: b.AssumeRole.SessionName},
		})
	case "simulated":
		return simulated.New(u.simulated())
	}
	return nil, fmt.Errorf("upstream %s: no provider %q", u.Name, u.Provider) // check() has refused it
}
