package accessanalyzer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/wire"
)

// model is the part of botocore's service model that is served here.
type model struct {
	SigningName string
	HTTP        struct {
		Method, RequestURI string
		ResponseCode       int
	}
	Errors map[string]int
	Shapes map[string]struct {
		Type     string
		Union    bool
		Enum     []string
		Required []string
		Members  map[string]struct{ Shape, Location, LocationName string }
		Member   struct{ Shape string }
	}
}

func readModel(t *testing.T) (m model) {
	text, err := os.ReadFile("testdata/model.json")
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// check holds a value of an answer against its shape.
func (m *model) check(t *testing.T, shape, at string, v any) {
	s := m.Shapes[shape]
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "structure" || s.Union && len(v) != 1 {
			t.Errorf("%s is %v", at, v)
		}
		for _, name := range s.Required {
			if v[name] == nil {
				t.Errorf("%s has no %s", at, name)
			}
		}
		for name, member := range v {
			if of, ok := s.Members[name]; !ok {
				t.Errorf("%s has a member %s", at, name)
			} else {
				m.check(t, of.Shape, at+"."+name, member)
			}
		}
	case []any:
		if s.Type != "list" {
			t.Errorf("%s is a list", at)
		}
		for i, e := range v {
			m.check(t, s.Member.Shape, at+"["+strconv.Itoa(i)+"]", e)
		}
	case string:
		if s.Type != "string" || len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			t.Errorf("%s is %q", at, v)
		}
	case float64:
		if s.Type != "integer" || v != float64(int(v)) {
			t.Errorf("%s is %v", at, v)
		}
	default:
		t.Errorf("%s is %v", at, v)
	}
}

// door lets everybody in, and nobody do anything whose User-Agent is "stranger".
type door struct{}

func (door) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (door) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	return iam.Caller{Account: "123456789012", ARN: r.UserAgent()}, nil
}

func (door) Check(_ context.Context, _ string, c *iam.Caller, access []iam.Access) error {
	if c.ARN == "stranger" || len(access) != 1 || access[0].Action != "access-analyzer:ValidatePolicy" || access[0].Resource != "*" {
		return fault.New(fault.AccessDenied, "no: %v", access)
	}
	return nil
}

type rig struct {
	*testing.T
	model  model
	server http.Handler
}

func newRig(t *testing.T) *rig {
	s, err := wire.NewServer(wire.Config{Services: []*wire.Service{New()}, Authenticator: door{}, Guard: door{}, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, readModel(t), s}
}

func (r *rig) send(who, query string, body map[string]any) (status int, answer map[string]any) {
	r.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.Fatal(err)
	}
	q := httptest.NewRequest(r.model.HTTP.Method, r.model.HTTP.RequestURI+query, strings.NewReader(string(text)))
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", who)
	q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/"+r.model.SigningName+"/aws4_request, SignedHeaders=host, Signature=00")
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, q)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code == r.model.HTTP.ResponseCode {
		r.model.check(r.T, "ValidatePolicyResponse", "", answer)
	} else if code, _, _ := strings.Cut(w.Header().Get("X-Amzn-Errortype"), ":"); r.model.Errors[code] != w.Code {
		r.Errorf("%d is %s", w.Code, code)
	}
	return w.Code, answer
}

func codes(answer map[string]any) (out []string) {
	findings, _ := answer["findings"].([]any)
	for _, f := range findings {
		code, _ := f.(map[string]any)["issueCode"].(string)
		out = append(out, code)
	}
	return out
}

// The example of the AWS CLI. Source: https://docs.aws.amazon.com/cli/latest/reference/accessanalyzer/validate-policy.html
func TestExample(t *testing.T) {
	r := newRig(t)
	const document = "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": {\n        \"Sid\": \"\",\n        \"Effect\": \"Allow\", \"Action\": \"bedrock:InvokeModel*\", \"Resource\": \"*\"\n    }\n}"
	status, answer := r.send("root", "", map[string]any{"policyDocument": document, "policyType": "IDENTITY_POLICY", "locale": "JA"})
	want := `[map[findingDetails:Add a value to the empty string in the Sid element. findingType:SUGGESTION issueCode:EMPTY_SID_VALUE ` +
		`learnMoreLink:https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-suggestion-empty-sid-value ` +
		`locations:[map[path:[map[value:Statement] map[value:Sid]] span:map[end:map[column:17 line:4 offset:67] start:map[column:15 line:4 offset:65]]]]]]`
	if got := fmt.Sprint(answer["findings"]); status != 200 || got != want {
		t.Errorf("%d %s", status, got)
	}
	if status, answer = r.send("root", "", map[string]any{"policyDocument": "", "policyType": "IDENTITY_POLICY"}); status != 200 || !slices.Equal(codes(answer), []string{"JSON_SYNTAX_ERROR"}) {
		t.Errorf("an empty document: %d %v", status, answer)
	}
	const fine = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*"}}`
	if status, answer = r.send("root", "", map[string]any{"policyDocument": fine, "policyType": "IDENTITY_POLICY"}); status != 200 || answer["findings"] == nil || len(answer) != 1 {
		t.Errorf("nothing wrong: %d %v", status, answer)
	}
}

// The same document is something else as another type of policy.
func TestTypes(t *testing.T) {
	r := newRig(t)
	const trust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::123456789012:root"}}}`
	for _, c := range []struct{ kind, resource, want string }{
		{"RESOURCE_POLICY", "AWS::IAM::AssumeRolePolicyDocument", ""}, {"RESOURCE_POLICY", "", "MISSING_RESOURCE"},
		{"IDENTITY_POLICY", "", "MISSING_RESOURCE UNSUPPORTED_PRINCIPAL"}, {"SERVICE_CONTROL_POLICY", "", "MISSING_RESOURCE SCP_SYNTAX_ERROR_PRINCIPAL"},
		{"RESOURCE_CONTROL_POLICY", "", "MISSING_RESOURCE"},
	} {
		body := map[string]any{"policyDocument": trust, "policyType": c.kind}
		if c.resource != "" {
			body["validatePolicyResourceType"] = c.resource
		}
		if status, answer := r.send("root", "", body); status != 200 || strings.Join(codes(answer), " ") != c.want {
			t.Errorf("%s %s: %d %v", c.kind, c.resource, status, answer)
		}
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	body := map[string]any{"policyDocument": "{}", "policyType": "IDENTITY_POLICY"}
	with := func(name string, v any) map[string]any {
		out := map[string]any{name: v}
		for k, v := range body {
			if _, ok := out[k]; !ok {
				out[k] = v
			}
		}
		return out
	}
	for _, c := range []struct {
		who, query string
		body       map[string]any
		status     int
	}{
		{"root", "", map[string]any{}, 400}, {"root", "", with("policyDocument", nil), 400}, {"root", "", with("policyType", "TRUST_POLICY"), 400},
		{"root", "", with("locale", "EO"), 400}, {"root", "", with("validatePolicyResourceType", "AWS::S3::Bucket"), 400},
		{"root", "?maxResults=0", body, 400}, {"root", "?nextToken=x", body, 400}, {"stranger", "", body, 403},
	} {
		if status, answer := r.send(c.who, c.query, c.body); status != c.status {
			t.Errorf("%s %v: %d %v", c.query, c.body, status, answer)
		}
	}
}

func TestPages(t *testing.T) {
	r := newRig(t)
	var statements []string
	for i := range 250 {
		statements = append(statements, fmt.Sprintf(`{"Sid":"s%d","Effect":"Allow","Action":"bedrock:Invent%d","Resource":"*"}`, i, i))
	}
	body := map[string]any{"policyDocument": `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`, "policyType": "SERVICE_CONTROL_POLICY"}
	for _, c := range []struct {
		query string
		pages int
	}{{"?", 3}, {"?maxResults=90&", 3}, {"?maxResults=1000&", 3}, {"?maxResults=50&", 6}} {
		seen, next, pages := 0, "", 0
		for {
			_, answer := r.send("root", c.query+"nextToken="+url.QueryEscape(next), body)
			seen += len(codes(answer))
			pages++
			if next, _ = answer["nextToken"].(string); next == "" || pages > 9 {
				break
			}
		}
		// The document is larger than a guardrail may be, which is one more.
		if seen != 251 || pages != c.pages {
			t.Errorf("%s: %d findings on %d pages", c.query, seen, pages)
		}
	}
	_, answer := r.send("root", "?maxResults=1", body)
	if status, _ := r.send("root", "?nextToken="+url.QueryEscape(answer["nextToken"].(string)), map[string]any{"policyDocument": "{}", "policyType": "IDENTITY_POLICY"}); status != 400 {
		t.Errorf("another request's token: %d", status)
	}
}

// The tables' constraints are the model's.
func TestModel(t *testing.T) {
	m := readModel(t)
	in := m.Shapes["ValidatePolicyRequest"]
	if !slices.Equal(in.Required, []string{"policyDocument", "policyType"}) || len(in.Members) != 6 {
		t.Errorf("the model has %v", in)
	}
	r := newRig(t)
	for _, kind := range m.Shapes["PolicyType"].Enum {
		if status, _ := r.send("root", "", map[string]any{"policyDocument": "{}", "policyType": kind}); status != 200 {
			t.Errorf("%s: %d", kind, status)
		}
	}
	for _, locale := range m.Shapes["Locale"].Enum {
		if status, _ := r.send("root", "", map[string]any{"policyDocument": "{}", "policyType": "IDENTITY_POLICY", "locale": locale}); status != 200 {
			t.Errorf("%s: %d", locale, status)
		}
	}
	for _, kind := range m.Shapes["ValidatePolicyResourceType"].Enum {
		if status, _ := r.send("root", "", map[string]any{"policyDocument": "{}", "policyType": "RESOURCE_POLICY", "validatePolicyResourceType": kind}); status != 200 {
			t.Errorf("%s: %d", kind, status)
		}
	}
	for _, k := range fault.Kinds() {
		if e, ok := exceptions.Of(k); ok && m.Errors[e.Code] != e.Status {
			t.Errorf("%v is %+v", k, e)
		}
	}
}
