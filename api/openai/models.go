package openai

import (
	"context"
	"errors"
	"strings"

	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/profile"
	"outcrop/wire"
)

// model is one thing that a request may name. Name and type are not OpenAI's.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // seconds since 1970; of a foundation model 0, which is not known
	OwnedBy string `json:"owned_by"`
	Name    string `json:"name"`
	Type    string `json:"type"` // FOUNDATION_MODEL, SYSTEM_DEFINED or APPLICATION
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

type getModelInput struct {
	ID string `json:"-" uri:"model"`
}

func accessModels[In any](*wire.Call, *In) ([]iam.Access, error) {
	return []iam.Access{{Resource: "*"}, {Action: "bedrock:ListInferenceProfiles", Resource: "*"}}, nil
}

// profile describes p. Application profiles are known by their ARNs.
func (s *service) profile(p *profile.Profile) model {
	m := model{ID: p.ID, Object: "model", Created: p.CreatedAt.Unix(), OwnedBy: p.Account, Name: p.Name, Type: p.Type}
	if p.Type == profile.Application {
		m.ID = p.ARN
	} else if f, ok := s.catalog.Model(p.ModelID); ok {
		m.OwnedBy = strings.ToLower(f.Provider)
	}
	return m
}

func foundation(m *catalog.Model) model {
	return model{ID: m.ID, Object: "model", OwnedBy: strings.ToLower(m.Provider), Name: m.Name, Type: "FOUNDATION_MODEL"}
}

// models lists what the caller may name in his Region: the account's application profiles by their ARNs, the system-defined
// ones, and the models that answer to their own ids.
func (s *service) models(_ context.Context, c *wire.Call, _ *struct{}) (*modelList, error) {
	out := &modelList{Object: "list", Data: []model{}}
	region := c.Caller.Region
	for _, kind := range []string{profile.Application, profile.SystemDefined} {
		for token := ""; ; {
			page, next, err := s.profiles.List(c.Caller.Account, region, kind, 0, token)
			if err != nil {
				return nil, err
			}
			for _, p := range page {
				out.Data = append(out.Data, s.profile(p))
			}
			if token = next; token == "" {
				break
			}
		}
	}
	for _, m := range s.catalog.AllModels() {
		if s.profiles.OnDemand(region, m) {
			out.Data = append(out.Data, foundation(m))
		}
	}
	return out, nil
}

// model describes what a request may name, by whatever name: also a profile's id or unique name, or a model's ARN.
func (s *service) model(_ context.Context, c *wire.Call, in *getModelInput) (*model, error) {
	c.Caller.Locate(in.ID)
	route, err := s.profiles.Resolve(c.Caller.Account, c.Caller.Region, in.ID)
	if err != nil {
		return nil, known(err, in.ID)
	}
	m := foundation(route.Model)
	if route.Profile != nil {
		m = s.profile(route.Profile)
	}
	return &m, nil
}

// known says in OpenAI's words that nothing is known by that name, where err says so in Bedrock's.
func known(err error, name string) error {
	if !errors.Is(err, profile.ErrUnknownModel) {
		return err
	}
	const most = 200
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "..."
	}
	return fault.New(fault.NotFound, "The model `%s` does not exist or you do not have access to it.", name)
}
