package resourcegroupstaggingapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/profile"
	"outcrop/store"
	"outcrop/wire"
)

const (
	account = "123456789012"
	model   = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
)

// callers takes the User-Agent for the name of who calls: the signature is another test's.
type callers struct{ people *iam.Directory }

func (callers) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (a callers) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	in, name := account, r.UserAgent()
	if name == "other" {
		in, name = "999999999999", ""
	}
	for _, c := range a.people.Principals(in, "us-east-1") {
		if c.UserName == name {
			return c, nil
		}
	}
	return iam.Caller{}, fault.New(fault.UnrecognizedClient, "nobody is called %s", name)
}

type rig struct {
	t        *testing.T
	handler  http.Handler
	profiles *profile.Service
	people   *iam.Directory
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cat, err := catalog.Load()
	must(err)
	db, err := store.Open(ctx, filepath.Join(dir, "outcrop.db"))
	must(err)
	t.Cleanup(func() { db.Close() })
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	must(err)
	people, err := iam.Open(ctx, iam.Config{Store: db, Sealer: sealer})
	must(err)
	must(people.EnsureRoot(ctx, account, "", ""))
	must(people.EnsureRoot(ctx, "999999999999", "", ""))
	profiles, err := profile.Open(ctx, profile.Config{Store: db.Profiles(), Catalog: cat, Clock: time.Now})
	must(err)
	guard := iam.NewGuard(iam.GuardConfig{})
	s, err := wire.NewServer(wire.Config{Services: []*wire.Service{New(profiles, guard)}, Authenticator: callers{people}, Guard: guard, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	return &rig{t, s, profiles, people}
}

// make makes a profile with tags "k=v k=v" and returns its ARN.
func (r *rig) make(in, name, tags string) string {
	r.t.Helper()
	req := profile.CreateRequest{Name: name, Source: model}
	for _, kv := range strings.Fields(tags) {
		k, v, _ := strings.Cut(kv, "=")
		req.Tags = append(req.Tags, profile.Tag{Key: k, Value: v})
	}
	p, err := r.profiles.Create(r.t.Context(), in, "us-east-1", req)
	if err != nil {
		r.t.Fatal(err)
	}
	return p.ARN
}

// ask sends a request as boto3 does, and decodes the answer.
func (r *rig) ask(who, operation, body string, out any) (status int) {
	r.t.Helper()
	q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	q.Header.Set("Content-Type", "application/x-amz-json-1.1")
	q.Header.Set("X-Amz-Target", "ResourceGroupsTaggingAPI_20170126."+operation)
	q.Header.Set("User-Agent", who)
	q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/tagging/aws4_request, SignedHeaders=host, Signature=00")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		r.t.Fatalf("%s: %v: %s", operation, err, text)
	}
	return w.Code
}

// An answer of the service, and its exception. Source: botocore's resourcegroupstaggingapi model of 2017-01-26
type answer struct {
	PaginationToken        string
	ResourceTagMappingList []struct {
		ResourceARN string
		Tags        []struct{ Key, Value string }
	}
	TagKeys, TagValues []string
	FailedResourcesMap map[string]struct {
		ErrorCode, ErrorMessage string
		StatusCode              int
	}
	Type    string `json:"__type"`
	Message string
}

func (a *answer) arns() (out []string) {
	for _, r := range a.ResourceTagMappingList {
		out = append(out, r.ResourceARN)
	}
	return out
}

// Source: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
func TestGetResources(t *testing.T) {
	r := newRig(t)
	alpha := r.make(account, "alpha", "team=growth env=prod")
	beta := r.make(account, "beta", "team=ops env=prod")
	gamma := r.make(account, "gamma", "team=growth env=dev Team=x")
	r.make(account, "untagged", "")
	foreign := r.make("999999999999", "foreign", "team=growth env=prod")
	for _, tt := range []struct {
		body string
		want []string
	}{
		{`{}`, []string{alpha, beta, gamma}},
		{`{"TagFilters":[{"Key":"team"}]}`, []string{alpha, beta, gamma}},
		{`{"TagFilters":[{"Key":"Team"}]}`, []string{gamma}},
		{`{"TagFilters":[{"Key":"team","Values":["growth"]}]}`, []string{alpha, gamma}},
		{`{"TagFilters":[{"Key":"team","Values":["growth","ops"]}]}`, []string{alpha, beta, gamma}},
		{`{"TagFilters":[{"Key":"team","Values":["growth"]},{"Key":"env","Values":["prod"]}]}`, []string{alpha}},
		{`{"TagFilters":[{"Key":"team","Values":["Growth"]}]}`, nil},
		{`{"ResourceTypeFilters":["bedrock"]}`, []string{alpha, beta, gamma}},
		{`{"ResourceTypeFilters":["ec2:instance","bedrock:application-inference-profile"]}`, []string{alpha, beta, gamma}},
		{`{"ResourceTypeFilters":["bedrock:agent"]}`, nil},
		{fmt.Sprintf(`{"ResourceARNList":[%q,%q]}`, beta, foreign), []string{beta}},
	} {
		var a answer
		if status := r.ask("", "GetResources", tt.body, &a); status != 200 || a.PaginationToken != "" {
			t.Errorf("%s: %d %+v", tt.body, status, a)
		}
		slices.Sort(tt.want)
		if !slices.Equal(a.arns(), tt.want) {
			t.Errorf("%s: %v, want %v", tt.body, a.arns(), tt.want)
		}
	}
	var a answer
	r.ask("", "GetResources", fmt.Sprintf(`{"ResourceARNList":[%q]}`, alpha), &a)
	if got := fmt.Sprint(a.ResourceTagMappingList[0].Tags); got != "[{env prod} {team growth}]" {
		t.Errorf("tags %s", got)
	}

	var pages []string
	for token := ""; ; {
		var a answer
		r.ask("", "GetResources", fmt.Sprintf(`{"ResourcesPerPage":2,"PaginationToken":%q}`, token), &a)
		pages = append(pages, fmt.Sprint(len(a.arns())))
		if token = a.PaginationToken; token == "" {
			break
		}
	}
	if got := strings.Join(pages, " "); got != "2 1" {
		t.Errorf("pages of %s", got)
	}
	for _, body := range []string{`{"ResourcesPerPage":0}`, `{"ResourcesPerPage":101}`, `{"TagsPerPage":99}`, `{"TagsPerPage":501}`, `{"PaginationToken":"x"}`,
		`{"TagFilters":[{"Values":["a"]}]}`, fmt.Sprintf(`{"ResourceARNList":[%q],"ResourcesPerPage":5}`, alpha), `{"ExcludeCompliantResources":true}`} {
		var a answer
		if status := r.ask("", "GetResources", body, &a); status != 400 || a.Type != "InvalidParameterException" || a.Message == "" {
			t.Errorf("%s: %d %+v", body, status, a)
		}
	}
}

func TestKeysAndValues(t *testing.T) {
	r := newRig(t)
	r.make(account, "alpha", "team=growth env=prod")
	r.make(account, "beta", "team=ops empty=")
	r.make("999999999999", "foreign", "secret=1 team=theirs")
	for _, tt := range []struct {
		operation, body string
		want            []string
	}{
		{"GetTagKeys", `{}`, []string{"empty", "env", "team"}},
		{"GetTagValues", `{"Key":"team"}`, []string{"growth", "ops"}},
		{"GetTagValues", `{"Key":"empty"}`, []string{""}},
		{"GetTagValues", `{"Key":"secret"}`, nil},
	} {
		var a answer
		status := r.ask("", tt.operation, tt.body, &a)
		if got := append(a.TagKeys, a.TagValues...); status != 200 || !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %d %v, want %v", tt.operation, tt.body, status, got, tt.want)
		}
	}
	found := map[string]bool{"": true}
	for i := range 2*valuesPerPage + 5 {
		found[fmt.Sprintf("%05d", i)] = true
	}
	n, token, pages := 0, "", 0
	for {
		texts, next, err := page(found, token)
		if err != nil {
			t.Fatal(err)
		}
		n, pages, token = n+len(texts), pages+1, next
		if token == "" {
			break
		}
	}
	if n != len(found) || pages != 3 {
		t.Errorf("%d of %d in %d pages", n, len(found), pages)
	}
}

// Each resource is held against the caller's policies by itself, as Bedrock's own operations are.
func TestTagResources(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	alpha, beta := r.make(account, "alpha", "team=growth"), r.make(account, "beta", "team=ops")
	foreign := r.make("999999999999", "foreign", "team=growth")
	if _, err := r.people.CreateUser(ctx, account, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := r.people.PutUserPolicy(ctx, account, "alice", "p", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"tag:*","Resource":"*"},
		{"Effect":"Allow","Action":["bedrock:TagResource","bedrock:UntagResource"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"growth"},"ForAllValues:StringEquals":{"aws:TagKeys":["env","owner"]}}}]}`)); err != nil {
		t.Fatal(err)
	}
	missing := alpha[:len(alpha)-4] + "zzzz"
	list := fmt.Sprintf(`"ResourceARNList":[%q,%q,%q,%q,"arn:aws:s3:::x","nonsense"]`, alpha, beta, foreign, missing)
	want := map[string]string{beta: "AccessDeniedException 403", foreign: "AccessDeniedException 403", missing: "AccessDeniedException 403", "arn:aws:s3:::x": "InvalidParameterException 400", "nonsense": "InvalidParameterException 400"}
	check := func(what, who, body string, want map[string]string) {
		t.Helper()
		operation, _, _ := strings.Cut(what, " ")
		var a answer
		if status := r.ask(who, operation, body, &a); status != 200 {
			t.Fatalf("%s: %d %+v", what, status, a)
		}
		got := map[string]string{}
		for arn, f := range a.FailedResourcesMap {
			if got[arn] = fmt.Sprintf("%s %d", f.ErrorCode, f.StatusCode); f.ErrorMessage == "" {
				t.Errorf("%s: no message for %s", what, arn)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	tags := func(arn string) string {
		all, err := r.profiles.Tags(account, "us-east-1", arn)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	check("TagResources", "alice", `{`+list+`,"Tags":{"env":"prod","owner":""}}`, want)
	if got := tags(alpha); got != "[{env prod} {owner } {team growth}]" {
		t.Errorf("alpha has %s", got)
	}
	if got := tags(beta); got != "[{team ops}]" {
		t.Errorf("beta has %s", got)
	}
	check("TagResources of a key that may not be", "alice", fmt.Sprintf(`{"ResourceARNList":[%q],"Tags":{"cost":"1"}}`, alpha), map[string]string{alpha: "AccessDeniedException 403"})
	check("UntagResources", "alice", `{`+list+`,"TagKeys":["env"]}`, want)
	if got := tags(alpha); got != "[{owner } {team growth}]" {
		t.Errorf("alpha has %s", got)
	}
	check("TagResources as root", "", fmt.Sprintf(`{"ResourceARNList":[%q,%q],"Tags":{"a":"b"}}`, foreign, missing), map[string]string{foreign: "AccessDeniedException 403", missing: "ResourceNotFoundException 404"})
	check("TagResources reserved", "", fmt.Sprintf(`{"ResourceARNList":[%q],"Tags":{"aws:x":"b"}}`, alpha), map[string]string{alpha: "ValidationException 400"})

	if _, err := r.people.CreateUser(ctx, account, "bob"); err != nil {
		t.Fatal(err)
	}
	for operation, body := range map[string]string{"GetResources": `{}`, "GetTagKeys": `{}`, "GetTagValues": `{"Key":"a"}`, "TagResources": fmt.Sprintf(`{"ResourceARNList":[%q],"Tags":{"a":"b"}}`, alpha), "UntagResources": fmt.Sprintf(`{"ResourceARNList":[%q],"TagKeys":["a"]}`, alpha)} {
		var a answer
		if status := r.ask("bob", operation, body, &a); status != 400 || a.Type != "AccessDeniedException" || !strings.Contains(a.Message, "is not authorized to perform: tag:"+operation) {
			t.Errorf("%s: %d %+v", operation, status, a)
		}
	}
}

func TestExceptions(t *testing.T) {
	for _, k := range fault.Kinds() {
		if e, ok := exceptions.Of(k); ok && (e.Status < 400 || !strings.HasSuffix(e.Code, "Exception")) {
			t.Errorf("%v: %+v", k, e)
		}
	}
}
