package anthropic

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/profile"
	"outcrop/wire"
)

// model is one thing that a request may name.
type model struct {
	Type           string    `json:"type"` // "model"
	ID             string    `json:"id"`
	DisplayName    string    `json:"display_name"`
	CreatedAt      time.Time `json:"created_at"`       // 1970 where it is not known, as the API says it
	Lifecycle      string    `json:"lifecycle"`        // active or deprecated
	MaxInputTokens *int64    `json:"max_input_tokens"` // null where it is not known
	MaxTokens      *int64    `json:"max_tokens"`       // likewise
}

func accessModels[In any](*wire.Call, *In) ([]iam.Access, error) {
	return []iam.Access{{Resource: "*"}, {Action: "bedrock:ListInferenceProfiles", Resource: "*"}}, nil
}

// describe appends what m is under the id, unless it does not answer with text.
func describe(to []model, id, name string, created time.Time, m *catalog.Model) []model {
	if !slices.Contains(m.OutputModalities, "TEXT") {
		return to
	}
	a := model{Type: "model", ID: id, DisplayName: name, CreatedAt: created, Lifecycle: "active"}
	if m.Status == "LEGACY" {
		a.Lifecycle = "deprecated"
	}
	if m.ContextTokens > 0 {
		a.MaxInputTokens = &m.ContextTokens
	}
	if m.MaxOutputTokens > 0 {
		a.MaxTokens = &m.MaxOutputTokens
	}
	return append(to, a)
}

// profile appends what stands behind p: application profiles are known by their ARNs.
func (s *service) profile(to []model, p *profile.Profile) []model {
	m, ok := s.catalog.Model(p.ModelID)
	switch {
	case !ok: // the catalog does not have it any more
		return to
	case p.Type == profile.Application:
		return describe(to, p.ARN, p.Name, p.CreatedAt, m)
	}
	return describe(to, p.ID, p.Name, p.CreatedAt, m)
}

// foundation appends m where it can be called by its own id.
func (s *service) foundation(to []model, region string, m *catalog.Model) []model {
	if !s.profiles.OnDemand(region, m) {
		return to
	}
	return describe(to, m.ID, m.Name, time.Unix(0, 0).UTC(), m)
}

// allModels lists what the caller may name in his Region and answers with text: the account's application profiles, the
// system-defined ones, and the models that answer to their own ids.
func (s *service) allModels(c *wire.Call) ([]model, error) {
	var out []model
	for _, kind := range []string{profile.Application, profile.SystemDefined} {
		for token := ""; ; {
			page, next, err := s.profiles.List(c.Caller.Account, c.Caller.Region, kind, 0, token)
			if err != nil {
				return nil, err
			}
			for _, p := range page {
				out = s.profile(out, p)
			}
			if token = next; token == "" {
				break
			}
		}
	}
	for _, m := range s.catalog.AllModels() {
		out = s.foundation(out, c.Caller.Region, m)
	}
	return out, nil
}

// A page's bounds. Source: https://docs.claude.com/en/api/models-list
type listModelsInput struct {
	Limit    *int   `json:"-" query:"limit" min:"1" max:"1000"`
	AfterID  string `json:"-" query:"after_id"`
	BeforeID string `json:"-" query:"before_id"`
}

const modelsPage = 20

type modelList struct {
	Data    []model `json:"data"`
	FirstID *string `json:"first_id"`
	HasMore bool    `json:"has_more"`
	LastID  *string `json:"last_id"`
}

func (s *service) listModels(_ context.Context, c *wire.Call, in *listModelsInput) (*modelList, error) {
	all, err := s.allModels(c)
	if err != nil {
		return nil, err
	}
	find := func(id, member string) (int, error) {
		i := slices.IndexFunc(all, func(m model) bool { return m.ID == id })
		if i < 0 {
			return 0, fault.New(fault.Validation, "%s: there is no model of that id.", member)
		}
		return i, nil
	}
	limit := modelsPage
	if in.Limit != nil {
		limit = *in.Limit
	}
	from, to := 0, len(all)
	if in.AfterID != "" {
		if from, err = find(in.AfterID, "after_id"); err != nil {
			return nil, err
		}
		from++
	}
	if in.BeforeID != "" {
		if to, err = find(in.BeforeID, "before_id"); err != nil {
			return nil, err
		}
	}
	out := &modelList{}
	switch rest := max(0, to-from); { // one more is told of in the direction that is asked for
	case rest <= limit:
		to = from + rest
	case in.BeforeID != "" && in.AfterID == "":
		from, out.HasMore = to-limit, true
	default:
		to, out.HasMore = from+limit, true
	}
	out.Data = all[from:to]
	if n := len(out.Data); n > 0 {
		out.FirstID, out.LastID = &out.Data[0].ID, &out.Data[n-1].ID
	} else {
		out.Data = []model{}
	}
	return out, nil
}

type getModelInput struct {
	ID string `json:"-" uri:"model_id"`
}

// getModel describes what a request may name, by whatever name.
func (s *service) getModel(_ context.Context, c *wire.Call, in *getModelInput) (*model, error) {
	c.Caller.Locate(in.ID)
	route, err := s.profiles.Resolve(c.Caller.Account, c.Caller.Region, in.ID)
	if err != nil {
		return nil, known(err, in.ID)
	}
	var found []model
	if route.Profile != nil {
		found = s.profile(nil, route.Profile)
	} else {
		found = s.foundation(nil, c.Caller.Region, route.Model)
	}
	if len(found) == 0 { // it does not answer with text
		return nil, noModel(in.ID)
	}
	return &found[0], nil
}

// noModel says in Anthropic's words that nothing is known by that name.
func noModel(name string) error {
	const most = 200
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "..."
	}
	return fault.New(fault.NotFound, "model: %s", name)
}

// known is noModel where err says the same in Bedrock's words.
func known(err error, name string) error {
	if errors.Is(err, profile.ErrUnknownModel) {
		return noModel(name)
	}
	return err
}
