package profile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/profile"
	"outcrop/store"
)

const (
	account = "000000000000"
	tokyo   = "ap-northeast-1"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
	sonnet  = "anthropic.claude-3-5-sonnet-20240620-v1:0"

	haikuTokyo = "arn:aws:bedrock:ap-northeast-1::foundation-model/" + haiku
)

var facts = sync.OnceValues(catalog.Load)

// world is a service on a real store, with a clock that goes on by one microsecond a reading.
type world struct {
	*profile.Service
	file  string
	store *store.Store
	cat   *catalog.Catalog
}

func open(t testing.TB, file string, served func(region, modelID string) bool) *world {
	t.Helper()
	cat, err := facts()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Date(2026, 11, 23, 12, 0, 0, 999, time.FixedZone("", 9*3600))
	svc, err := profile.Open(t.Context(), profile.Config{
		Store: s.Profiles(), Catalog: cat, Served: served, Clock: func() time.Time { now = now.Add(time.Microsecond); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &world{svc, file, s, cat}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "outcrop.db"), nil)
}

func (w *world) create(t testing.TB, r profile.CreateRequest) *profile.Profile {
	t.Helper()
	if r.Source == "" {
		r.Source = haikuTokyo
	}
	p, err := w.Create(t.Context(), account, tokyo, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantFault checks an error's kind and its words, of which parts are given.
func wantFault(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("error %v, want kind %v", err, kind)
		return
	}
	for _, part := range parts {
		if !strings.Contains(fault.From(err).Message, part) {
			t.Errorf("error %q does not say %q", fault.From(err).Message, part)
		}
	}
}

func TestCreateGet(t *testing.T) {
	w := newWorld(t)
	p := w.create(t, profile.CreateRequest{
		Name: "custom-bedrock-profile", Description: "Project Alpha - Claude 3 Haiku", Tags: []profile.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: ""}},
	})
	if !regexp.MustCompile(`^[a-z0-9]{12}$`).MatchString(p.ID) {
		t.Errorf("id %q", p.ID)
	}
	if want := "arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/" + p.ID; p.ARN != want {
		t.Errorf("ARN %s, want %s", p.ARN, want)
	}
	if p.CreatedAt.Location() != time.UTC || p.CreatedAt.Nanosecond()%1000 != 0 || p.UpdatedAt != p.CreatedAt {
		t.Errorf("created %v, updated %v", p.CreatedAt, p.UpdatedAt)
	}
	if p.Type != profile.Application || p.ModelID != haiku || p.Geo != "" || !slices.Equal(p.Models, []string{haikuTokyo}) {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Tags, []profile.Tag{{Key: "a", Value: ""}, {Key: "b", Value: "2"}}) {
		t.Errorf("tags %v", p.Tags)
	}
	for _, identifier := range []string{p.ID, p.ARN, "custom-bedrock-profile"} {
		got, err := w.Get(account, tokyo, identifier)
		if err != nil || got.ARN != p.ARN || got.Description != "Project Alpha - Claude 3 Haiku" {
			t.Errorf("Get(%s) = %+v, %v", identifier, got, err)
		}
	}
	for _, tc := range []struct{ account, region, identifier string }{
		{account, tokyo, "zzzzzzzzzzzz"},
		{account, tokyo, "no-such-name"},
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/zzzzzzzzzzzz"},
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/" + p.ID},     // not a system-defined one
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/us.x"},        // no such one
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/us." + haiku}, // not offered from there
		{account, tokyo, "arn:aws-cn:bedrock:ap-northeast-1:000000000000:application-inference-profile/" + p.ID},
		{account, tokyo, "us." + haiku},
		{account, "us-east-1", p.ID},
		{account, "us-east-1", p.ARN},
		{account, "us-east-1", p.Name},
		{"111111111111", tokyo, p.ID},
		{"111111111111", tokyo, p.ARN},
		{"111111111111", tokyo, p.Name},
		{"111111111111", tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/apac." + haiku},
		{account, tokyo, "arn:nonsense"},
		{account, tokyo, ""},
	} {
		got, err := w.Get(tc.account, tc.region, tc.identifier)
		if got != nil {
			t.Errorf("Get(%s, %s, %s) = %+v", tc.account, tc.region, tc.identifier, got)
		}
		wantFault(t, err, fault.NotFound, tc.identifier)
	}
}

func TestSystemProfiles(t *testing.T) {
	w := newWorld(t)
	for _, identifier := range []string{"us.meta.llama3-1-70b-instruct-v1:0", "arn:aws:bedrock:us-east-1:058264544288:inference-profile/us.meta.llama3-1-70b-instruct-v1:0"} {
		// As AWS answered in us-east-1 on 2025-12-08.
		p, err := w.Get("058264544288", "us-east-1", identifier)
		if err != nil {
			t.Fatal(err)
		}
		if p.ARN != "arn:aws:bedrock:us-east-1:058264544288:inference-profile/us.meta.llama3-1-70b-instruct-v1:0" || p.Type != profile.SystemDefined ||
			p.Name != "US Meta Llama 3.1 70B Instruct" || len(p.Models) != 3 ||
			p.Description != "Routes requests to Meta Llama 3.1 70B Instruct in us-east-1, us-east-2 and us-west-2." {
			t.Errorf("%+v", p)
		}
		wantFault(t, w.Delete(t.Context(), "058264544288", "us-east-1", identifier), fault.Validation, identifier)
	}
	system := arn.SystemProfile("us-east-1", account, "us.meta.llama3-1-70b-instruct-v1:0")
	wantFault(t, w.Tag(t.Context(), account, "us-east-1", system, []profile.Tag{{Key: "a"}}), fault.Validation)
	wantFault(t, w.Untag(t.Context(), account, "us-east-1", system, []string{"a"}), fault.Validation)
	_, err := w.Tags(account, "us-east-1", system)
	wantFault(t, err, fault.Validation)
}

func TestCreateSources(t *testing.T) {
	w := newWorld(t)
	const opus46 = "anthropic.claude-opus-4-6-v1"
	for _, tc := range []struct {
		region, source string
		models         []string // "" of an error
		geo            string
		kind           fault.Kind
	}{
		{region: "us-east-1", source: "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + sonnet, geo: "us",
			models: []string{"arn:aws:bedrock:us-east-1::foundation-model/" + sonnet, "arn:aws:bedrock:us-west-2::foundation-model/" + sonnet}},
		// Guides print it without an account.
		{region: "us-east-1", source: "arn:aws:bedrock:us-east-1::inference-profile/us." + sonnet, geo: "us",
			models: []string{"arn:aws:bedrock:us-east-1::foundation-model/" + sonnet, "arn:aws:bedrock:us-west-2::foundation-model/" + sonnet}},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/global." + opus46, geo: "global",
			models: []string{"arn:aws:bedrock:::foundation-model/" + opus46, "arn:aws:bedrock:ap-northeast-1::foundation-model/" + opus46}},
		{region: "us-gov-west-1", source: "arn:aws-us-gov:bedrock:us-gov-west-1:000000000000:inference-profile/us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", geo: "us-gov",
			models: []string{"arn:aws-us-gov:bedrock:us-gov-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"}},

		// Another Region's, another partition's, another account's, no account's.
		{region: "us-east-1", source: haikuTokyo, kind: fault.Validation},
		{region: tokyo, source: "arn:aws:bedrock:::foundation-model/" + haiku, kind: fault.Validation},
		{region: tokyo, source: "arn:aws-cn:bedrock:ap-northeast-1::foundation-model/" + haiku, kind: fault.Validation},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1:000000000000:foundation-model/" + haiku, kind: fault.Validation},
		{region: "us-east-1", source: "arn:aws:bedrock:us-east-1:111111111111:inference-profile/us." + sonnet, kind: fault.Validation},
		{region: "us-east-1", source: "arn:aws:bedrock:us-west-2:000000000000:inference-profile/us." + sonnet, kind: fault.Validation},
		// Only through profiles, only as provisioned throughput, not there, not offered from there.
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1::foundation-model/" + opus46, kind: fault.Validation},
		{region: "us-east-1", source: "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-premier-v1:0:8k", kind: fault.Validation},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1::foundation-model/meta.llama3-1-70b-instruct-v1:0", kind: fault.Validation},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/us." + sonnet, kind: fault.Validation},
		// No such thing: the operation's one use of ResourceNotFound.
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-99", kind: fault.NotFound},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1:000000000000:inference-profile/apac.anthropic.claude-99", kind: fault.NotFound},
		// What guides print as a placeholder.
		{region: "us-east-1", source: "arn:aws:bedrock:region::foundation-model/fm-identifier", kind: fault.Validation},
		{region: tokyo, source: "arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/abcdef123456", kind: fault.Validation},
		{region: tokyo, source: "arn:aws:s3:ap-northeast-1::foundation-model/" + haiku, kind: fault.Validation},
		{region: tokyo, source: haiku, kind: fault.Validation},
	} {
		p, err := w.Create(t.Context(), account, tc.region, profile.CreateRequest{Name: "n", Source: tc.source})
		switch {
		case tc.models == nil && tc.kind == fault.Validation:
			wantFault(t, err, fault.Validation, "copyFrom must be a valid inference profile model source ARN.")
		case tc.models == nil:
			wantFault(t, err, tc.kind, tc.source)
		case err != nil:
			t.Errorf("%s: %v", tc.source, err)
		case !slices.Equal(p.Models, tc.models) || p.Geo != tc.geo:
			t.Errorf("%s: %q, %v", tc.source, p.Geo, p.Models)
		}
		if t.Failed() {
			t.Fatalf("source %s in %s", tc.source, tc.region)
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	r := profile.CreateRequest{Name: "n", Description: "d", Token: "t-1", Tags: []profile.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}}
	p := w.create(t, r)
	slices.Reverse(r.Tags) // the same set
	for range 2 {
		if again := w.create(t, r); again.ARN != p.ARN {
			t.Errorf("a retry made %s", again.ARN)
		}
	}
	// A retry is recognised whatever became of the tags since.
	if err := w.Tag(t.Context(), account, tokyo, p.ARN, []profile.Tag{{Key: "c", Value: "3"}}); err != nil {
		t.Fatal(err)
	}
	if again := w.create(t, r); again.ARN != p.ARN {
		t.Errorf("a retry made %s", again.ARN)
	}
	for name, change := range map[string]func(*profile.CreateRequest){
		"name":        func(r *profile.CreateRequest) { r.Name = "m" },
		"description": func(r *profile.CreateRequest) { r.Description = "" },
		"source": func(r *profile.CreateRequest) {
			r.Source = "arn:aws:bedrock:ap-northeast-1::foundation-model/" + sonnet
		},
		"tags":    func(r *profile.CreateRequest) { r.Tags = r.Tags[:1] },
		"a value": func(r *profile.CreateRequest) { r.Tags = []profile.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "3"}} },
		// The same bytes, cut elsewhere.
		"cuts": func(r *profile.CreateRequest) { r.Name, r.Description = "nd", "" },
	} {
		other := r
		other.Source = haikuTokyo
		change(&other)
		_, err := w.Create(t.Context(), account, tokyo, other)
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("another %s with the same token: %v", name, err)
		}
	}
	// Another account or Region has its own tokens.
	if q, err := w.Create(t.Context(), "111111111111", tokyo, profile.CreateRequest{Name: "m", Source: haikuTokyo, Token: "t-1"}); err != nil || q.ID == p.ID {
		t.Errorf("another account: %+v, %v", q, err)
	}
	if err := w.Delete(t.Context(), account, tokyo, p.ID); err != nil {
		t.Fatal(err)
	}
	if again := w.create(t, r); again.ARN == p.ARN {
		t.Error("a token outlived its profile")
	}
	// Without a token every request is its own.
	r.Token = ""
	if a, b := w.create(t, r), w.create(t, r); a.ARN == b.ARN {
		t.Error("two requests without a token made one profile")
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	a := w.create(t, profile.CreateRequest{Name: "twin"})
	b := w.create(t, profile.CreateRequest{Name: "twin"}) // duplicate names are legal
	for what, err := range map[string]error{
		"Get":     second(w.Get(account, tokyo, "twin")),
		"Resolve": second(w.Resolve(account, tokyo, "twin")),
		"Delete":  w.Delete(t.Context(), account, tokyo, "twin"),
	} {
		t.Log(what)
		wantFault(t, err, fault.Validation, "twin", a.ARN, b.ARN)
	}
	// Ids come before names.
	c := w.create(t, profile.CreateRequest{Name: a.ID})
	if got, err := w.Get(account, tokyo, a.ID); err != nil || got.ARN != a.ARN {
		t.Errorf("Get(%s) = %+v, %v", a.ID, got, err)
	}
	if r, err := w.Resolve(account, tokyo, a.ID); err != nil || r.ARN != a.ARN {
		t.Errorf("Resolve(%s) = %+v, %v", a.ID, r, err)
	}
	// With one of two gone the name is unique again.
	if err := w.Delete(t.Context(), account, tokyo, a.ARN); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Get(account, tokyo, "twin"); err != nil || got.ARN != b.ARN {
		t.Errorf("Get(twin) = %+v, %v", got, err)
	}
	if got, err := w.Get(account, tokyo, a.ID); err != nil || got.ARN != c.ARN {
		t.Errorf("the name %s = %+v, %v", a.ID, got, err)
	}
	if err := w.Delete(t.Context(), account, tokyo, "twin"); err != nil {
		t.Errorf("delete by name: %v", err)
	}
	wantFault(t, second(w.Get(account, tokyo, "twin")), fault.NotFound)
	wantFault(t, w.Delete(t.Context(), account, tokyo, "twin"), fault.NotFound)
	// Names are not prefixes or patterns, and their case counts.
	wantFault(t, second(w.Get(account, tokyo, strings.ToUpper(a.ID))), fault.NotFound)
	// A name on very many profiles is still a short error.
	for range 12 {
		w.create(t, profile.CreateRequest{Name: "crowd"})
	}
	err := second(w.Get(account, tokyo, "crowd"))
	wantFault(t, err, fault.Validation, "12 inference profiles", "and 2 more")
	if n := strings.Count(err.Error(), "arn:"); n != 10 {
		t.Errorf("%d ARNs in %v", n, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTags(t *testing.T) {
	w := newWorld(t)
	p := w.create(t, profile.CreateRequest{Name: "n", Tags: []profile.Tag{{Key: "CostAllocateTag", Value: "custom"}}})
	ctx := t.Context()
	tags := func(t *testing.T) []profile.Tag {
		t.Helper()
		tags, err := w.Tags(account, tokyo, p.ARN)
		if err != nil {
			t.Fatal(err)
		}
		return tags
	}
	// Set and overwrite, in one request; sorted by key.
	if err := w.Tag(ctx, account, tokyo, p.ARN, []profile.Tag{{Key: "Project", Value: "Alpha"}, {Key: "CostAllocateTag", Value: ""}}); err != nil {
		t.Fatal(err)
	}
	if got := tags(t); !slices.Equal(got, []profile.Tag{{Key: "CostAllocateTag", Value: ""}, {Key: "Project", Value: "Alpha"}}) {
		t.Errorf("tags %v", got)
	}
	r, err := w.Resolve(account, tokyo, p.ID)
	if err != nil || len(r.Profile.Tags) != 2 {
		t.Errorf("the route has the tags %v, %v", r.Profile.Tags, err)
	}
	if len(p.Tags) != 1 {
		t.Error("a profile that was handed out has changed")
	}
	if err := w.Untag(ctx, account, tokyo, p.ARN, []string{"CostAllocateTag", "not there"}); err != nil {
		t.Fatal(err)
	}
	if got := tags(t); !slices.Equal(got, []profile.Tag{{Key: "Project", Value: "Alpha"}}) {
		t.Errorf("tags %v", got)
	}
	if got, _ := w.Get(account, tokyo, p.ID); got.UpdatedAt != p.UpdatedAt {
		t.Errorf("tagging moved UpdatedAt to %v", got.UpdatedAt)
	}

	// Refusals leave the tags as they are.
	wantFault(t, w.Tag(ctx, account, tokyo, p.ARN, []profile.Tag{{Key: "x"}, {Key: "x"}}), fault.Validation, "x")
	wantFault(t, w.Tag(ctx, account, tokyo, p.ARN, []profile.Tag{{Key: "aws:x"}}), fault.Validation, "aws:x")
	wantFault(t, w.Tag(ctx, account, tokyo, p.ARN, []profile.Tag{{Key: "AWS:x"}}), fault.Validation, "AWS:x")
	_, err = w.Create(ctx, account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo, Tags: []profile.Tag{{Key: "aws:x"}}})
	wantFault(t, err, fault.Validation, "aws:x")
	_, err = w.Create(ctx, account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo, Tags: []profile.Tag{{Key: "x"}, {Key: "x", Value: "y"}}})
	wantFault(t, err, fault.Validation, "x")
	for _, resource := range []string{
		"arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/zzzzzzzzzzzz",
		"arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/" + p.ID,
		"arn:aws:bedrock:ap-northeast-1:111111111111:application-inference-profile/" + p.ID,
		"arn:aws:bedrock:ap-northeast-1:000000000000:guardrail/abc",
	} {
		wantFault(t, w.Tag(ctx, account, tokyo, resource, []profile.Tag{{Key: "x"}}), fault.NotFound, resource)
		wantFault(t, w.Untag(ctx, account, tokyo, resource, []string{"x"}), fault.NotFound, resource)
		wantFault(t, second(w.Tags(account, tokyo, resource)), fault.NotFound, resource)
	}
	// Tags are set by ARN, not by id or name.
	for _, resource := range []string{p.ID, p.Name} {
		wantFault(t, w.Tag(ctx, account, tokyo, resource, []profile.Tag{{Key: "x"}}), fault.Validation)
	}
	if got := tags(t); len(got) != 1 {
		t.Errorf("tags %v", got)
	}

	// 50, of which one is there already.
	var many []profile.Tag
	for i := range 49 {
		many = append(many, profile.Tag{Key: fmt.Sprintf("k%02d", i)})
	}
	one := profile.Tag{Key: "one more"}
	err = w.Tag(ctx, account, tokyo, p.ARN, append(slices.Clone(many), one))
	wantFault(t, err, fault.TooManyTags, p.ARN)
	if got := fault.From(err).Resource; got != p.ARN {
		t.Errorf("resource %q", got)
	}
	if got := tags(t); len(got) != 1 {
		t.Errorf("%d tags after a refusal", len(got))
	}
	if err := w.Tag(ctx, account, tokyo, p.ARN, many); err != nil {
		t.Errorf("50 tags: %v", err)
	}
	if err := w.Tag(ctx, account, tokyo, p.ARN, many); err != nil {
		t.Errorf("the same again: %v", err)
	}
	wantFault(t, w.Tag(ctx, account, tokyo, p.ARN, []profile.Tag{one}), fault.TooManyTags)
	_, err = w.Create(ctx, account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo, Tags: append(many, one, profile.Tag{Key: "two more"})})
	wantFault(t, err, fault.TooManyTags)
	if _, err = w.Create(ctx, account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo, Tags: append(many, one)}); err != nil {
		t.Errorf("50 tags at creation: %v", err)
	}
}

func TestListPages(t *testing.T) {
	w := newWorld(t)
	var made []string
	for i := range 7 {
		made = append(made, w.create(t, profile.CreateRequest{Name: fmt.Sprint("n", i)}).ARN)
	}
	arns := func(ps []*profile.Profile) (s []string) {
		for _, p := range ps {
			s = append(s, p.ARN)
		}
		return s
	}
	var system []string
	for _, c := range w.cat.Profiles(tokyo) {
		system = append(system, arn.SystemProfile(tokyo, account, c.ID))
	}
	if len(system) < 11 {
		t.Fatalf("%d system-defined profiles", len(system))
	}
	for kind, want := range map[string][]string{
		"": append(slices.Clone(system), made...), profile.Application: made, profile.SystemDefined: system,
	} {
		// One page holds all, and pages of every size put together are the same.
		for _, limit := range []int{0, 1, 2, 3, len(want) - 1, len(want), len(want) + 1, 1000} {
			var got []string
			token := ""
			for pages := 0; ; pages++ {
				page, next, err := w.List(account, tokyo, kind, limit, token)
				if err != nil {
					t.Fatal(err)
				}
				if limit > 0 && len(page) > limit || len(page) == 0 || pages > len(want) {
					t.Fatalf("kind %q, limit %d: page %d of %d", kind, limit, pages, len(page))
				}
				got = append(got, arns(page)...)
				if token = next; token == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("kind %q, limit %d: %v\nwant %v", kind, limit, got, want)
			}
		}
	}
	// A token is bound to what it was made for.
	_, token, err := w.List(account, tokyo, "", 3, "")
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	_, appToken, err := w.List(account, tokyo, profile.Application, 3, "")
	if err != nil || appToken == "" {
		t.Fatal(appToken, err)
	}
	for _, tc := range []struct{ account, region, kind, token string }{
		{"111111111111", tokyo, "", token}, {account, "us-east-1", "", token}, {account, tokyo, profile.SystemDefined, token},
		{account, tokyo, "", appToken}, {account, tokyo, "", token + "A"}, {account, tokyo, "", token[1:]}, {account, tokyo, "", "?"},
		{account, tokyo, "", "AAAA"}, {account, tokyo, "", strings.Repeat("A", 2048)}, {account, tokyo, "", token[:len(token)-2] + "zz"},
	} {
		_, _, err := w.List(tc.account, tc.region, tc.kind, 3, tc.token)
		wantFault(t, err, fault.Validation, "nextToken")
	}
	// What is deleted between pages, the last one seen too, takes nothing else away; what is new comes at the end.
	for _, i := range []int{2, 3, 0} {
		if err := w.Delete(t.Context(), account, tokyo, made[i]); err != nil {
			t.Fatal(err)
		}
	}
	late := w.create(t, profile.CreateRequest{Name: "late"}).ARN
	page, next, err := w.List(account, tokyo, profile.Application, 1000, appToken)
	if want := append(slices.Clone(made[4:]), late); err != nil || next != "" || !slices.Equal(arns(page), want) {
		t.Errorf("%v, %q, %v, want %v", arns(page), next, err, want)
	}
	// Another account sees the system-defined ones as its own, and no application profiles.
	page, _, err = w.List("111111111111", tokyo, "", 0, "")
	if err != nil || len(page) != len(system) || page[0].ARN != arn.SystemProfile(tokyo, "111111111111", page[0].ID) {
		t.Errorf("%d profiles, %v", len(page), err)
	}
	if page, next, err = w.List(account, "nowhere", "", 0, ""); err != nil || len(page) != 0 || next != "" {
		t.Errorf("nowhere: %v, %q, %v", page, next, err)
	}
}

func TestQuota(t *testing.T) {
	w := newWorld(t)
	// Into the store directly: a thousand durable creations are not what is tested.
	cat := w.cat
	if _, ok := cat.Model(haiku); !ok {
		t.Fatal("no model")
	}
	seed(t, w, 999, "")
	p := w.create(t, profile.CreateRequest{Name: "the last", Token: "t"})
	_, err := w.Create(t.Context(), account, tokyo, profile.CreateRequest{Name: "one too many", Source: haikuTokyo})
	wantFault(t, err, fault.QuotaExceeded, "1000")
	if again := w.create(t, profile.CreateRequest{Name: "the last", Token: "t"}); again.ARN != p.ARN {
		t.Errorf("a retry made %s", again.ARN)
	}
	if _, err := w.Create(t.Context(), account, "us-east-1", profile.CreateRequest{Name: "n", Source: "arn:aws:bedrock:us-east-1::foundation-model/" + haiku}); err != nil {
		t.Errorf("another Region: %v", err)
	}
	if page, next, err := w.List(account, tokyo, profile.Application, 0, ""); err != nil || len(page) != 1000 || next != "" {
		t.Errorf("%d on the default page, next %q, %v", len(page), next, err)
	}
	if err := w.Delete(t.Context(), account, tokyo, p.ARN); err != nil {
		t.Fatal(err)
	}
	w.create(t, profile.CreateRequest{Name: "room again"})
}

// seed puts n profiles into the store as another process would, and refreshes.
func seed(t testing.TB, w *world, n int, suffix string) {
	t.Helper()
	ctx := t.Context()
	for i := range n {
		at := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
		p := &profile.Profile{
			ID: fmt.Sprintf("seed%08d", i), Name: fmt.Sprint("seed ", i), Type: profile.Application, Account: account + suffix, Region: tokyo,
			Source: haikuTokyo, ModelID: haiku, Models: []string{haikuTokyo}, CreatedAt: at, UpdatedAt: at,
		}
		if _, _, err := w.store.Profiles().Insert(ctx, p, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestTwoProcesses(t *testing.T) {
	a := newWorld(t)
	b := open(t, a.file, nil)
	ctx := t.Context()
	first := a.create(t, profile.CreateRequest{Name: "first", Token: "t"})
	wantFault(t, second(b.Get(account, tokyo, first.ID)), fault.NotFound)
	// A retry that reaches the other process is known there before any refresh.
	if again := b.create(t, profile.CreateRequest{Name: "first", Token: "t"}); again.ARN != first.ARN {
		t.Errorf("a retry at the other process made %s", again.ARN)
	}
	if p, err := b.Get(account, tokyo, first.ID); err != nil || p.Name != "first" {
		t.Errorf("after a retry: %+v, %v", p, err)
	}
	unseen := a.create(t, profile.CreateRequest{Name: "unseen"})
	wantFault(t, second(b.Get(account, tokyo, unseen.ID)), fault.NotFound)
	if err := b.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(account, tokyo, unseen.ID); err != nil {
		t.Errorf("after Refresh: %v", err)
	}
	if err := b.Delete(ctx, account, tokyo, unseen.ID); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	// A change takes in the other process's changes before it.
	if err := a.Tag(ctx, account, tokyo, first.ARN, []profile.Tag{{Key: "a", Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Tag(ctx, account, tokyo, first.ARN, []profile.Tag{{Key: "b", Value: "2"}}); err != nil {
		t.Fatal(err)
	}
	if tags, err := b.Tags(account, tokyo, first.ARN); err != nil || len(tags) != 2 {
		t.Errorf("tags %v, %v", tags, err)
	}
	other := a.create(t, profile.CreateRequest{Name: "other"})
	mine := b.create(t, profile.CreateRequest{Name: "mine"})
	for _, id := range []string{other.ID, mine.ID} {
		if _, err := b.Resolve(account, tokyo, id); err != nil {
			t.Errorf("%s at the process that wrote last: %v", id, err)
		}
	}
	// What the other process has deleted is not there, whatever one's snapshot says.
	if err := a.Delete(ctx, account, tokyo, other.ID); err != nil {
		t.Fatal(err)
	}
	wantFault(t, b.Tag(ctx, account, tokyo, other.ARN, []profile.Tag{{Key: "a"}}), fault.NotFound)
	wantFault(t, second(b.Get(account, tokyo, other.ID)), fault.NotFound)
	if err := b.Delete(ctx, account, tokyo, mine.ID); err != nil {
		t.Fatal(err)
	}
	wantFault(t, a.Delete(ctx, account, tokyo, mine.ID), fault.NotFound)
	// A new process sees what there is.
	c := open(t, a.file, nil)
	if page, _, err := c.List(account, tokyo, profile.Application, 0, ""); err != nil || len(page) != 1 || len(page[0].Tags) != 2 {
		t.Errorf("%d profiles, %v", len(page), err)
	}
}

// broken fails as a store may: before the change, or after it.
type broken struct {
	profile.Store
	before, after, load error
}

func (b *broken) Insert(ctx context.Context, p *profile.Profile, limit int) (*profile.Profile, int64, error) {
	if b.before != nil {
		return nil, 0, b.before
	}
	stored, revision, err := b.Store.Insert(ctx, p, limit)
	if b.after != nil {
		return nil, 0, b.after
	}
	return stored, revision, err
}

func (b *broken) Load(ctx context.Context) ([]*profile.Profile, int64, error) {
	if b.load != nil {
		return nil, 0, b.load
	}
	return b.Store.Load(ctx)
}

func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	b := &broken{Store: w.store.Profiles()}
	svc, err := profile.Open(t.Context(), profile.Config{Store: b, Catalog: w.cat})
	if err != nil {
		t.Fatal(err)
	}
	r := profile.CreateRequest{Name: "n", Source: haikuTokyo, Token: "t"}
	b.before = errors.New("disk full")
	if _, err := svc.Create(t.Context(), account, tokyo, r); !errors.Is(err, b.before) || !fault.Is(fault.From(err), fault.Internal) {
		t.Errorf("error %v", err)
	}
	if page, _, _ := svc.List(account, tokyo, profile.Application, 0, ""); len(page) != 0 {
		t.Errorf("a failed creation is listed: %v", page)
	}
	// Done, but the answer was lost: the retry finds it.
	b.before, b.after = nil, errors.New("connection lost")
	if _, err := svc.Create(t.Context(), account, tokyo, r); !errors.Is(err, b.after) {
		t.Errorf("error %v", err)
	}
	b.after = nil
	p, err := svc.Create(t.Context(), account, tokyo, r)
	if err != nil {
		t.Fatal(err)
	}
	if stored, _, _ := w.store.Profiles().Load(t.Context()); len(stored) != 1 || stored[0].ID != p.ID {
		t.Errorf("stored %v", stored)
	}
	if err := svc.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Get(account, tokyo, p.ID); err != nil {
		t.Error(err)
	}
	// A change of another process that cannot be read just now is read later; one's own is seen at once.
	w.create(t, profile.CreateRequest{Name: "other"})
	b.load = errors.New("busy")
	r.Name, r.Token = "mine", ""
	mine, err := svc.Create(t.Context(), account, tokyo, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Get(account, tokyo, mine.ID); err != nil {
		t.Error(err)
	}
	if err := svc.Refresh(t.Context()); !errors.Is(err, b.load) {
		t.Errorf("Refresh: %v", err)
	}
	b.load = nil
	if err := svc.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n", "other", "mine"} {
		if _, err := svc.Get(account, tokyo, name); err != nil {
			t.Error(err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	p := w.create(t, profile.CreateRequest{Name: "n"})
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := w.Resolve(account, tokyo, p.ID)
				if err != nil || r.ARN != p.ARN {
					t.Errorf("%+v, %v", r, err)
					return
				}
				if _, _, err := w.List(account, tokyo, "", 0, ""); err != nil {
					t.Error(err)
					return
				}
				if _, err := w.Resolve(account, tokyo, haiku); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 3 {
		writers.Go(func() {
			q, err := w.Create(t.Context(), account, tokyo, profile.CreateRequest{Name: fmt.Sprint("w", i), Source: haikuTokyo})
			if err != nil {
				t.Error(err)
				return
			}
			if err := w.Tag(t.Context(), account, tokyo, p.ARN, []profile.Tag{{Key: fmt.Sprint("k", i)}}); err != nil {
				t.Error(err)
			}
			if err := w.Delete(t.Context(), account, tokyo, q.ARN); err != nil {
				t.Error(err)
			}
			if err := w.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if tags, err := w.Tags(account, tokyo, p.ARN); err != nil || len(tags) != 3 {
		t.Errorf("tags %v, %v", tags, err)
	}
	if page, _, _ := w.List(account, tokyo, profile.Application, 0, ""); len(page) != 1 {
		t.Errorf("%d profiles are left", len(page))
	}
}

func FuzzNextToken(f *testing.F) {
	w := newWorld(f)
	w.create(f, profile.CreateRequest{Name: "n"})
	w.create(f, profile.CreateRequest{Name: "m"})
	_, token, err := w.List(account, tokyo, profile.Application, 1, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Add("AAAAAAAAAAAAYQ")
	f.Fuzz(func(t *testing.T, s string) {
		page, _, err := w.List(account, tokyo, profile.Application, 0, s)
		switch {
		case err != nil:
			wantFault(t, err, fault.Validation)
		case s == "" && len(page) != 2, s != "" && len(page) != 1:
			t.Errorf("token %q gives %d profiles", s, len(page))
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{0, 900} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			seed(b, w, n, "")
			b.ReportAllocs()
			for b.Loop() {
				p, err := w.Create(b.Context(), account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo})
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Delete(b.Context(), account, tokyo, p.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
