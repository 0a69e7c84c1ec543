package bedrock

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/profile"
	"outcrop/store"
	"outcrop/wire"
)

const account = "000000000000"

// door stands in for signatures only: the request says who calls from where. The Guard behind it is the real one.
type door struct {
	guard *iam.Guard

	mu     sync.Mutex
	access []iam.Access // of the last request
	denied string       // an action that nobody may do
}

func (*door) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (d *door) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	return iam.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account, Root: true, Region: r.Header.Get("X-Region"), Service: "bedrock"}, nil
}

func (d *door) Check(ctx context.Context, requestID string, c *iam.Caller, access []iam.Access) error {
	d.mu.Lock()
	d.access = access
	denied := d.denied
	d.mu.Unlock()
	for _, a := range access {
		if a.Action == denied {
			return fault.New(fault.AccessDenied, "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", c.ARN, a.Action, a.Resource, a.Action)
		}
	}
	return d.guard.Check(ctx, requestID, c, access)
}

type world struct {
	*httptest.Server
	door     *door
	profiles *profile.Service
	catalog  *catalog.Catalog
}

var facts = sync.OnceValues(catalog.Load)

func open(t *testing.T) *world { return reaching(t, nil) }

// reaching is open with upstreams that serve what reach says, nil for everything.
func reaching(t *testing.T, reach func(region, modelID string) bool) *world {
	t.Helper()
	cat, err := facts()
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Date(2026, 11, 23, 12, 0, 0, 317261000, time.UTC)
	svc, err := profile.Open(t.Context(), profile.Config{Store: db.Profiles(), Catalog: cat, Reachable: reach, Clock: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{door: &door{guard: iam.NewGuard(iam.GuardConfig{})}, profiles: svc, catalog: cat}
	server, err := wire.NewServer(wire.Config{
		Services: []*wire.Service{New(svc, cat)}, Authenticator: w.door, Guard: w.door, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewServer(server)
	t.Cleanup(w.Close)
	return w
}

// send makes one request, as SDKs do: with the path escaped as it is given.
func (w *world) send(t *testing.T, region, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Region", region)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/"+region+"/bedrock/aws4_request, SignedHeaders=host, Signature=00")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestExchanges plays the conversations in testdata. A file has requests and what is to come back:
//
//	> REGION METHOD PATH
//	body
//	< STATUS [EXCEPTION]
//	body
//
// In an answer ${name:pattern} takes what is there, which must match the pattern; ${name} stands for it from then on,
// ${name!} for it escaped in a path. JSON is compared by value, the order of members aside. A line of dots in an answer
// ends the comparison: the lines before must all be in the body. Lines that begin with # are comments.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := open(t)
			vars := map[string]string{}
			var keep []string
			for line := range strings.Lines(string(b)) {
				if !strings.HasPrefix(line, "#") {
					keep = append(keep, line)
				}
			}
			for _, part := range strings.Split("\n"+strings.Join(keep, ""), "\n> ")[1:] {
				request, answer, ok := strings.Cut(part, "\n< ")
				if !ok {
					t.Fatalf("no answer to %s", part)
				}
				line, body, _ := strings.Cut(expand(request, vars), "\n")
				f := strings.Fields(line)
				if len(f) != 3 {
					t.Fatalf("request line %q", line)
				}
				resp, got := w.send(t, f[0], f[1], f[2], strings.TrimSpace(body))
				checkAnswer(t, line, resp, got, answer, vars)
				if t.Failed() {
					t.Fatalf("after %s", line)
				}
			}
		})
	}
}

var variable = regexp.MustCompile(`\$\{(\w+)(!?)(?::([^}]*))?\}`)

func expand(s string, vars map[string]string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		sub := variable.FindStringSubmatch(m)
		v, ok := vars[sub[1]]
		switch {
		case !ok:
			return m
		case sub[2] == "!":
			return url.PathEscape(v)
		}
		return v
	})
}

func checkAnswer(t *testing.T, request string, resp *http.Response, got, answer string, vars map[string]string) {
	t.Helper()
	head, want, _ := strings.Cut(answer, "\n")
	f := strings.Fields(head)
	if resp.Status[:3] != f[0] {
		t.Errorf("%s: status %s, want %s\n%s", request, resp.Status, head, got)
	}
	wantType := ""
	if len(f) > 1 {
		wantType = f[1] + ":http://internal.amazon.com/coral/com.amazon.bedrock/"
	}
	if e := resp.Header.Get("X-Amzn-ErrorType"); e != wantType {
		t.Errorf("%s: error type %q, want %q", request, e, wantType)
	}
	if id := resp.Header.Get("X-Amzn-RequestId"); !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(id) {
		t.Errorf("%s: request id %q", request, id)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s: content type %q", request, ct)
	}
	if lines, _, dots := strings.Cut(want, "\n..."); dots {
		for line := range strings.Lines(expand(lines, vars)) {
			if line = strings.TrimSpace(line); !strings.Contains(got, line) {
				t.Errorf("%s: no %s in\n%s", request, line, got)
			}
		}
		return
	}
	want = canonical(t, expand(want, vars))
	have := canonical(t, got)
	var names []string
	var pattern strings.Builder
	pattern.WriteString(`(?s)\A`)
	for {
		at := variable.FindStringSubmatchIndex(want)
		if at == nil {
			break
		}
		pattern.WriteString(regexp.QuoteMeta(want[:at[0]]))
		if at[6] < 0 {
			t.Fatalf("%s: ${%s} has not been taken before", request, want[at[2]:at[3]])
		}
		pattern.WriteString("(" + want[at[6]:at[7]] + ")")
		names = append(names, want[at[2]:at[3]])
		want = want[at[1]:]
	}
	pattern.WriteString(regexp.QuoteMeta(want) + `\z`)
	m := regexp.MustCompile(pattern.String()).FindStringSubmatch(have)
	if m == nil {
		t.Errorf("%s:\n%s\nwant\n%s", request, have, pattern.String())
		return
	}
	for i, name := range names {
		vars[name] = m[i+1]
	}
}

func canonical(t *testing.T, s string) string {
	t.Helper()
	v := jsontext.Value(strings.TrimSpace(s))
	if err := v.Canonicalize(); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return string(v)
}

func TestExceptions(t *testing.T) {
	// The statuses of botocore's bedrock model of 2023-04-20.
	statuses := map[string]int{
		"AccessDeniedException": 403, "ConflictException": 400, "InternalServerException": 500, "ResourceNotFoundException": 404,
		"ServiceQuotaExceededException": 400, "ServiceUnavailableException": 503, "ThrottlingException": 429, "TooManyTagsException": 400,
		"ValidationException": 400,
	}
	// Kinds that are the protocol's own, that only the runtime has, and that only Cost Explorer and IAM have.
	elsewhere := []fault.Kind{
		fault.Serialization, fault.UnknownOperation, fault.MissingToken, fault.IncompleteSignature, fault.InvalidSignature, fault.UnrecognizedClient, fault.ExpiredToken, fault.InvalidAPIKey, fault.TooManyFailures,
		fault.ModelError, fault.ModelTimeout, fault.ModelNotReady, fault.ModelStream, fault.InvalidNextToken, fault.LimitExceeded, fault.DataUnavailable,
		fault.InUse, fault.Stale, fault.MalformedPolicy, fault.InvalidInput,
		fault.PackedPolicy, fault.InvalidIdentityToken, fault.ExpiredIdentityToken, fault.RejectedClaim, fault.ProviderUnreachable,
	}
	used := map[string]bool{}
	for _, k := range fault.Kinds() {
		e, ok := exceptions.Of(k)
		if ok == slices.Contains(elsewhere, k) {
			t.Errorf("%v: %+v, %v", k, e, ok)
		}
		if !ok {
			continue
		}
		used[e.Code] = true
		if k == fault.TooLarge { // refused before the service sees it
			if e.Status != 413 {
				t.Errorf("%v: %+v", k, e)
			}
		} else if e.Status != statuses[e.Code] {
			t.Errorf("%v: %+v, want status %d", k, e, statuses[e.Code])
		}
	}
	for code := range statuses {
		if !used[code] {
			t.Errorf("%s is never used", code)
		}
	}
}

// TestAccess checks what each operation asks to be allowed: a row is an action, its resource and the context keys that
// AWS documents for it.
func TestAccess(t *testing.T) {
	w := open(t)
	const (
		region = "us-east-1"
		all    = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/*"
		source = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
	)
	p, err := w.profiles.Create(t.Context(), account, region, profile.CreateRequest{Name: "mine", Source: source, Tags: []profile.Tag{{Key: "Project", Value: "Alpha"}}})
	if err != nil {
		t.Fatal(err)
	}
	tagged := `{"aws:ResourceTag/Project":["Alpha"]}`
	ghost := strings.TrimSuffix(all, "*") + "zzzzzzzzzzzz"
	for _, tc := range []struct {
		method, path, body string
		want               []string // action, resource, context
	}{
		{"POST", "/inference-profiles", `{"inferenceProfileName":"n","modelSource":{"copyFrom":"` + source + `"}}`,
			[]string{"bedrock:CreateInferenceProfile " + all + " null", "bedrock:CreateInferenceProfile " + source + " null"}},
		{"POST", "/inference-profiles", `{"inferenceProfileName":"n","modelSource":{"copyFrom":"` + source + `"},"tags":[{"key":"a","value":"1"},{"key":"b","value":""}]}`,
			[]string{
				"bedrock:CreateInferenceProfile " + all + ` {"aws:RequestTag/a":["1"],"aws:RequestTag/b":[""],"aws:TagKeys":["a","b"]}`,
				"bedrock:CreateInferenceProfile " + source + ` {"aws:RequestTag/a":["1"],"aws:RequestTag/b":[""],"aws:TagKeys":["a","b"]}`,
				"bedrock:TagResource " + all + ` {"aws:RequestTag/a":["1"],"aws:RequestTag/b":[""],"aws:TagKeys":["a","b"]}`,
			}},
		{"GET", "/inference-profiles/" + p.ID, "", []string{"bedrock:GetInferenceProfile " + p.ARN + " " + tagged}},
		{"GET", "/inference-profiles/mine", "", []string{"bedrock:GetInferenceProfile " + p.ARN + " " + tagged}},
		{"GET", "/inference-profiles/" + url.PathEscape(p.ARN), "", []string{"bedrock:GetInferenceProfile " + p.ARN + " " + tagged}},
		{"GET", "/inference-profiles/us.amazon.nova-lite-v1:0", "", []string{"bedrock:GetInferenceProfile arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0 null"}},
		{"GET", "/inference-profiles/apac.amazon.nova-lite-v1:0", "", []string{"bedrock:GetInferenceProfile arn:aws:bedrock:us-east-1:000000000000:inference-profile/apac.amazon.nova-lite-v1:0 null"}},
		{"GET", "/inference-profiles/zzzzzzzzzzzz", "", []string{"bedrock:GetInferenceProfile " + ghost + " null"}},
		{"GET", "/inference-profiles", "", []string{"bedrock:ListInferenceProfiles * null"}},
		{"POST", "/listTagsForResource", `{"resourceARN":"` + p.ARN + `"}`, []string{"bedrock:ListTagsForResource " + p.ARN + " " + tagged}},
		{"POST", "/tagResource", `{"resourceARN":"` + p.ARN + `","tags":[{"key":"a","value":"1"}]}`,
			[]string{"bedrock:TagResource " + p.ARN + ` {"aws:RequestTag/a":["1"],"aws:ResourceTag/Project":["Alpha"],"aws:TagKeys":["a"]}`}},
		{"POST", "/untagResource", `{"resourceARN":"` + p.ARN + `","tagKeys":["a"]}`,
			[]string{"bedrock:UntagResource " + p.ARN + ` {"aws:ResourceTag/Project":["Alpha"],"aws:ResourceTag/a":["1"],"aws:TagKeys":["a"]}`}},
		{"GET", "/foundation-models", "", []string{"bedrock:ListFoundationModels * null"}},
		{"GET", "/foundation-models/amazon.nova-lite-v1:0", "", []string{"bedrock:GetFoundationModel arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0 null"}},
		{"DELETE", "/inference-profiles/" + p.ID, "", []string{"bedrock:DeleteInferenceProfile " + p.ARN + " " + tagged}},
	} {
		if resp, body := w.send(t, region, tc.method, tc.path, tc.body); resp.StatusCode >= 500 {
			t.Errorf("%s %s: %s %s", tc.method, tc.path, resp.Status, body)
		}
		w.door.mu.Lock()
		var got []string
		for _, a := range w.door.access {
			with, err := json.Marshal(a.Context, json.Deterministic(true), json.FormatNilMapAsNull(true))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, a.Action+" "+a.Resource+" "+string(with))
		}
		w.door.mu.Unlock()
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s %s asks for\n%s\nwant\n%s", tc.method, tc.path, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
	// A denial changes nothing and does not tell whether the profile exists.
	w.door.denied = "bedrock:TagResource"
	resp, body := w.send(t, region, "POST", "/inference-profiles", `{"inferenceProfileName":"denied","modelSource":{"copyFrom":"`+source+`"},"tags":[{"key":"a","value":"1"}]}`)
	if resp.StatusCode != 403 || !strings.Contains(body, `"Message":"User: arn:aws:iam::000000000000:root is not authorized to perform: bedrock:TagResource on resource: `+all) {
		t.Errorf("%s %s", resp.Status, body)
	}
	if _, err := w.profiles.Get(account, region, "denied"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a denied creation: %v", err)
	}
	w.door.denied = "bedrock:GetInferenceProfile"
	for _, identifier := range []string{"zzzzzzzzzzzz", "us.amazon.nova-lite-v1:0"} {
		if resp, body := w.send(t, region, "GET", "/inference-profiles/"+identifier, ""); resp.StatusCode != 403 {
			t.Errorf("%s: %s %s", identifier, resp.Status, body)
		}
	}
}

// TestListFoundationModels checks the list against the catalog's facts and the filters against each other.
func TestListFoundationModels(t *testing.T) {
	w := open(t)
	list := func(region, query string) (ids []string, byID map[string]foundationModel) {
		t.Helper()
		resp, body := w.send(t, region, "GET", "/foundation-models"+query, "")
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %s %s", query, resp.Status, body)
		}
		var out listFoundationModelsOutput
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatal(err)
		}
		byID = map[string]foundationModel{}
		for _, m := range out.Summaries {
			ids, byID[m.ID] = append(ids, m.ID), m
		}
		return ids, byID
	}
	for _, region := range []string{"us-east-1", "ap-northeast-1"} {
		all, byID := list(region, "")
		var want []string
		for _, m := range w.catalog.Models(region) {
			want = append(want, m.ID)
		}
		if !slices.Equal(all, want) {
			t.Errorf("%s: %d models, want %d", region, len(all), len(want))
		}
		for query, has := range map[string]func(foundationModel) bool{
			"?byProvider=anthropic":              func(m foundationModel) bool { return m.Provider == "Anthropic" },
			"?byProvider=Mistral%20AI":           func(m foundationModel) bool { return m.Provider == "Mistral AI" },
			"?byOutputModality=EMBEDDING":        func(m foundationModel) bool { return slices.Contains(m.OutputModalities, "EMBEDDING") },
			"?byInferenceType=ON_DEMAND":         func(m foundationModel) bool { return slices.Contains(m.InferenceTypes, "ON_DEMAND") },
			"?byInferenceType=INFERENCE_PROFILE": func(m foundationModel) bool { return slices.Contains(m.InferenceTypes, "INFERENCE_PROFILE") },
			"?byCustomizationType=FINE_TUNING":   func(foundationModel) bool { return false },
			"?byProvider=Meta&byOutputModality=TEXT": func(m foundationModel) bool {
				return m.Provider == "Meta" && slices.Contains(m.OutputModalities, "TEXT")
			},
		} {
			got, _ := list(region, query)
			var want []string
			for _, id := range all {
				if has(byID[id]) {
					want = append(want, id)
				}
			}
			if !slices.Equal(got, want) || region == "us-east-1" && len(want) == 0 && !strings.Contains(query, "FINE_TUNING") {
				t.Errorf("%s %s: %v, want %v", region, query, got, want)
			}
		}
	}
	if ids, _ := list("office-1", ""); len(ids) != 0 {
		t.Errorf("an unknown Region lists %v", ids)
	}
}

func TestDefaultPage(t *testing.T) {
	w := open(t)
	var out listInferenceProfilesOutput
	resp, body := w.send(t, "us-east-1", "GET", "/inference-profiles", "")
	if err := json.Unmarshal([]byte(body), &out); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, err)
	}
	if len(out.Summaries) < 59 || out.NextToken != "" || strings.Contains(body, "nextToken") || strings.Contains(body, "tags") {
		t.Errorf("%d profiles, next token %q", len(out.Summaries), out.NextToken)
	}
	if bytes.Contains([]byte(body), []byte("null")) {
		t.Error("null in a list")
	}
}

// TestWarning: what is known at once of a profile some of whose Regions nobody serves is told in a header.
func TestWarning(t *testing.T) {
	w := reaching(t, func(region, _ string) bool { return region == "us-east-1" })
	const model = "anthropic.claude-3-haiku-20240307-v1:0"
	const warning = "no upstream for " + model + " in us-west-2"
	create := func(name, source string) (string, string) {
		resp, body := w.send(t, "us-east-1", "POST", "/inference-profiles", `{"inferenceProfileName":"`+name+`","modelSource":{"copyFrom":"arn:aws:bedrock:us-east-1:`+source+`"}}`)
		if resp.StatusCode != 201 {
			t.Fatalf("%d: %s", resp.StatusCode, body)
		}
		var p struct{ InferenceProfileARN string }
		if err := json.Unmarshal([]byte(body), &p, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		return p.InferenceProfileARN, resp.Header.Get("X-Outcrop-Warning")
	}
	if _, got := create("whole", ":foundation-model/"+model); got != "" {
		t.Errorf("a profile that is served in all its Regions: %q", got)
	}
	p, got := create("part", account+":inference-profile/us."+model)
	if got != warning {
		t.Errorf("%q, want %q", got, warning)
	}
	for tag, want := range map[string]string{
		`{"key":"outcrop:routing","value":"priority us-west-2"}`: warning,
		`{"key":"team","value":"a"}`:                             "",
	} {
		resp, body := w.send(t, "us-east-1", "POST", "/tagResource", `{"resourceARN":"`+p+`","tags":[`+tag+`]}`)
		if got := resp.Header.Get("X-Outcrop-Warning"); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: %d %s, %q, want %q", tag, resp.StatusCode, body, got, want)
		}
	}
}
