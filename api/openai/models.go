package openai

import (
	"context"
	"strings"

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

func accessModels(*wire.Call, *struct{}) ([]iam.Access, error) {
	return []iam.Access{{Resource: "*"}, {Action: "bedrock:ListInferenceProfiles", Resource: "*"}}, nil
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
				m := model{ID: p.ID, Created: p.CreatedAt.Unix(), OwnedBy: p.Account, Name: p.Name, Type: kind}
				if kind == profile.Application {
					m.ID = p.ARN
				} else if f, ok := s.catalog.Model(p.ModelID); ok {
					m.OwnedBy = strings.ToLower(f.Provider)
				}
				m.Object = "model"
				out.Data = append(out.Data, m)
			}
			if token = next; token == "" {
				break
			}
		}
	}
	for _, f := range s.catalog.AllModels() {
		if s.profiles.OnDemand(region, f) {
			out.Data = append(out.Data, model{ID: f.ID, Object: "model", OwnedBy: strings.ToLower(f.Provider), Name: f.Name, Type: "FOUNDATION_MODEL"})
		}
	}
	return out, nil
}
