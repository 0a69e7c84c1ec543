package iam

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/policy"
	"outcrop/wire"
)

// simulated is the type of a policy that decided, as AWS's answers have it: its model has a list of others.
const simulated = "IAM Policy"

func (a *api) maySimulate(_ *wire.Call, in *principalInput) ([]iam.Access, error) {
	return []iam.Access{{Resource: in.PolicySourceARN}}, nil
}

func (a *api) mayPrincipalKeys(_ *wire.Call, in *principalKeysInput) ([]iam.Access, error) {
	return []iam.Access{{Resource: in.PolicySourceARN}}, nil
}

// given names the documents of a list as AWS does.
func given(list string, documents []string) []iam.PolicySource {
	out := make([]iam.PolicySource, len(documents))
	for i, d := range documents {
		out[i] = iam.PolicySource{Name: list + "." + strconv.Itoa(i+1), Document: d}
	}
	return out
}

func (a *api) simulateCustom(_ context.Context, _ *wire.Call, in *customInput) (*simulateOutput, error) {
	return in.run(iam.SimulationConfig{Identity: given("PolicyInputList", in.Policies), Context: policy.Context{}})
}

func (a *api) simulatePrincipal(ctx context.Context, c *wire.Call, in *principalInput) (*simulateOutput, error) {
	o, e, err := a.source(ctx, c, in.PolicySourceARN)
	if err != nil {
		return nil, err
	}
	if in.CallerARN == "" && e.Kind != iam.GroupKind {
		in.CallerARN = in.PolicySourceARN
	}
	cfg := o.Sources(e)
	cfg.Identity = append(cfg.Identity, given("PolicyInputList", in.Policies)...)
	cfg.Context = policy.Context{}
	if e.Kind != iam.GroupKind {
		cfg.Context = e.PrincipalContext()
	}
	return in.run(cfg)
}

// source finds the entity whose policies are asked about.
func (a *api) source(ctx context.Context, c *wire.Call, arn string) (*iam.Roster, *iam.Entity, error) {
	o, err := a.people.Roster(ctx, c.Caller.Account)
	if err != nil {
		return nil, nil, err
	}
	e, err := o.Find(arn)
	return o, e, err
}

// run decides each action on each resource, of the page that is asked for, by the policies and the context of cfg and of in.
func (in *simulateInput) run(cfg iam.SimulationConfig) (*simulateOutput, error) {
	with := cfg.Context
	names := make(map[string]string, len(with)+len(in.ContextEntries)) // by themselves in lower case
	for k := range with {
		names[strings.ToLower(k)] = k
	}
	for _, e := range in.ContextEntries {
		lower := strings.ToLower(e.Name)
		delete(with, names[lower])
		names[lower], with[e.Name] = e.Name, e.Values
	}
	cfg.Caller = in.CallerARN
	if in.Boundary != nil {
		cfg.Boundary = given("PermissionsBoundaryPolicyInputList", in.Boundary)
	}
	if in.ResourcePolicy != "" {
		cfg.Resource = &iam.PolicySource{Name: "ResourcePolicy", Document: in.ResourcePolicy}
	}
	s, err := iam.NewSimulation(cfg)
	if err != nil {
		return nil, err
	}
	for _, action := range in.ActionNames {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(action, "*?") {
			return nil, fault.New(fault.InvalidInput, "Invalid Entity Action: %s", action)
		}
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	// There may be many questions: only those of the page are put.
	total, from := len(in.ActionNames)*len(resources), 0
	if in.Marker != "" {
		if from, err = strconv.Atoi(in.Marker); err != nil || from < 0 || from > total {
			return nil, fault.New(fault.Validation, "Invalid Marker.")
		}
	}
	to := min(from+min(in.most(), s.Questions()), total)
	p := paged{}
	if to < total {
		p = paged{IsTruncated: true, Marker: strconv.Itoa(to)}
	}
	questions := make([]int, to-from)
	for i := range questions {
		questions[i] = from + i
	}
	return &simulateOutput{p, each(questions, func(i int) EvaluationResult {
		action, resource := in.ActionNames[i/len(resources)], resources[i%len(resources)]
		d := s.Decide(action, resource)
		out := EvaluationResult{EvalActionName: action, EvalResourceName: resource, EvalDecision: d.Effect.String(), MissingContextValues: d.Missing}
		if m := d.Matched; m != nil {
			out.MatchedStatements = []Statement{{SourcePolicyID: m.Policy, SourcePolicyType: simulated, StartPosition: Position(m.Start), EndPosition: Position(m.End)}}
		}
		if d.Guarded != nil {
			out.OrganizationsDecisionDetail = &OrganizationsDecisionDetail{*d.Guarded}
		}
		if d.Bounded != nil {
			out.PermissionsBoundaryDecisionDetail = &PermissionsBoundaryDecisionDetail{*d.Bounded}
		}
		return out
	})}, nil
}

func (a *api) customKeys(_ context.Context, _ *wire.Call, in *customKeysInput) (*contextKeysOutput, error) {
	keys, err := iam.ContextKeys(given("PolicyInputList", in.Policies))
	return &contextKeysOutput{keys}, err
}

func (a *api) principalKeys(ctx context.Context, c *wire.Call, in *principalKeysInput) (*contextKeysOutput, error) {
	o, e, err := a.source(ctx, c, in.PolicySourceARN)
	if err != nil {
		return nil, err
	}
	of := o.Sources(e)
	keys, err := iam.ContextKeys(slices.Concat(of.Guardrail, of.Identity, of.Boundary, given("PolicyInputList", in.Policies)))
	return &contextKeysOutput{keys}, err
}
