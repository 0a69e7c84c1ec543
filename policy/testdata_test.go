package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/policy"
)

// documentedCase is a file of testdata: a decision that AWS's documents tell.
type documentedCase struct {
	Source   string `json:"source"`   // the page
	Sentence string `json:"sentence"` // what of it the case follows

	Guardrail []jsontext.Value `json:"guardrail"`
	Trust     []jsontext.Value `json:"trust"`
	Resource  []jsontext.Value `json:"resource"`
	Identity  []jsontext.Value `json:"identity"`
	Boundary  []jsontext.Value `json:"boundary"`
	Session   []jsontext.Value `json:"session"`

	Request struct {
		Action    string              `json:"action"`
		Resource  string              `json:"resource"`
		Context   map[string][]string `json:"context"`
		Principal *struct {
			Account       string `json:"account"`
			ARN           string `json:"arn"`
			Role          string `json:"role"`
			ID            string `json:"id"`
			Service       string `json:"service"`
			Federated     string `json:"federated"`
			CanonicalUser string `json:"canonicalUser"`
		} `json:"principal"`
	} `json:"request"`

	Expect struct {
		Effect    string `json:"effect"`
		Layer     string `json:"layer"`     // that decided, or that does not allow
		Policy    string `json:"policy"`    // "identity[0]"
		Statement *int   `json:"statement"` // nil for an implicit deny
		Sid       string `json:"sid"`
	} `json:"expect"`
}

// TestDocumentedCases decides what AWS's documents tell: one file is one request, the sentence it follows and its page.
func TestDocumentedCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 400 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c documentedCase
			if err := json.UnmarshalRead(bytes.NewReader(raw), &c, json.RejectUnknownMembers(true)); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(c.Source, "https://") || c.Sentence == "" {
				t.Error("no source")
			}
			parsed := func(layer string, documents []jsontext.Value, parse func(string, []byte) (*policy.Policy, error)) (out []*policy.Policy) {
				for i, d := range documents {
					p, err := parse(layer+"["+string(rune('0'+i))+"]", d)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, p)
				}
				return out
			}
			set := policy.Set{
				Guardrail: parsed("guardrail", c.Guardrail, policy.Parse), Identity: parsed("identity", c.Identity, policy.Parse),
				Boundary: parsed("boundary", c.Boundary, policy.Parse), Session: parsed("session", c.Session, policy.Parse),
				Resource: append(parsed("trust", c.Trust, policy.ParseTrust), parsed("resource", c.Resource, policy.ParseResource)...),
			}
			r := policy.Request{Action: c.Request.Action, Resource: c.Request.Resource, Context: c.Request.Context}
			if p := c.Request.Principal; p != nil {
				r.Principal = &policy.Principal{Account: p.Account, ARN: p.ARN, Role: p.Role, ID: p.ID, Service: p.Service, Federated: p.Federated, CanonicalUser: p.CanonicalUser}
			}
			want := policy.Decision{Policy: c.Expect.Policy, Statement: -1, Sid: c.Expect.Sid}
			if c.Expect.Statement != nil {
				want.Statement = *c.Expect.Statement
			}
			got := set.Decide(&r)
			if got.Effect.String() != c.Expect.Effect || got.Layer.String() != c.Expect.Layer || got.Policy != want.Policy || got.Statement != want.Statement || got.Sid != want.Sid {
				t.Errorf("%s\n%q\ngot  %v by %v: %q, statement %d %q\nwant %s by %s: %q, statement %d %q", c.Source, c.Sentence,
					got.Effect, got.Layer, got.Policy, got.Statement, got.Sid, c.Expect.Effect, c.Expect.Layer, want.Policy, want.Statement, want.Sid)
			}
		})
	}
}
