package profile_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outcrop/catalog"
	"outcrop/fault"
	"outcrop/profile"
)

const (
	own   = "onprem-tokyo-1"
	llama = "meta.llama3-1-8b-instruct-v1:0"
)

// reaching is a service on w's store whose upstreams serve what reach says, with a geography of the operator's own.
func reaching(t *testing.T, w *world, reach func(region, modelID string) bool, destinations ...string) *profile.Service {
	t.Helper()
	f, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if len(destinations) > 0 {
		if err := f.AddGeography(catalog.Geography{Name: "onprem", Sources: []string{own}, Destinations: destinations, Models: []string{llama}}); err != nil {
			t.Fatal(err)
		}
	}
	cat, err := catalog.New(f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := profile.Open(t.Context(), profile.Config{Store: w.store.Profiles(), Catalog: cat, Reachable: reach})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnserved(t *testing.T) {
	w := newWorld(t)
	in := func(regions ...string) func(region, modelID string) bool {
		return func(region, modelID string) bool { return slices.Contains(regions, region) && modelID == llama }
	}
	const source = "arn:aws:bedrock:" + own + ":" + account + ":inference-profile/onprem." + llama
	s := reaching(t, w, in("onprem-osaka-1"), own, "onprem-osaka-1")
	some, err := s.Create(t.Context(), account, own, profile.CreateRequest{Name: "some", Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), account, tokyo, profile.CreateRequest{Name: "none", Source: haikuTokyo}); !fault.Is(err, fault.Validation) ||
		fault.From(err).Message != "The model source "+haikuTokyo+" cannot be served: this server has no upstream for "+haiku+" in "+tokyo+"." {
		t.Errorf("%v", err)
	}
	_, err = s.Create(t.Context(), account, tokyo, profile.CreateRequest{Name: "none", Source: "arn:aws:bedrock:" + tokyo + ":" + account + ":inference-profile/global.anthropic.claude-opus-4-6-v1"})
	wantFault(t, err, fault.Validation, "no upstream for anthropic.claude-opus-4-6-v1 in "+tokyo+", ", " and 28 more Regions.")

	if got, want := s.Unreached(some), "no upstream for "+llama+" in "+own; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := reaching(t, w, in(own, "onprem-osaka-1"), own, "onprem-osaka-1").Unreached(some); got != "" {
		t.Errorf("where all are served: %q", got)
	}

	check := func(s *profile.Service, all bool, regions ...string) {
		t.Helper()
		us := s.Unserved()
		if len(regions) == 0 && !all {
			if len(us) != 0 {
				t.Errorf("%+v", us)
			}
			return
		}
		if len(us) != 1 || us[0].Profile.ARN != some.ARN || us[0].All != all || !slices.Equal(us[0].Regions, regions) {
			t.Errorf("%+v, want %v, all %v", us, regions, all)
		}
	}
	check(s, false, own)
	check(reaching(t, w, in(own, "onprem-osaka-1"), own, "onprem-osaka-1"), false)
	check(reaching(t, w, in("us-east-1"), own, "onprem-osaka-1"), true, own, "onprem-osaka-1")
	check(reaching(t, w, nil), false)

	// A profile keeps the destinations that it was made with, also where its geography has others or is no more.
	for _, s := range []*profile.Service{reaching(t, w, nil), reaching(t, w, nil, "onprem-kobe-1")} {
		r, err := s.Resolve(account, own, "some")
		if err != nil || !slices.Equal(r.Targets, []profile.Target{{Region: own, ModelID: llama}, {Region: "onprem-osaka-1", ModelID: llama}}) || r.Scope != "onprem" {
			t.Errorf("%+v %v", r, err)
		}
	}
}

// TestOwnGeography: a profile of an operator's own geography is got, listed, resolved and copied like AWS's.
func TestOwnGeography(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "outcrop.db"), nil)
	s := reaching(t, w, nil, own, "onprem-osaka-1")
	const id, arn = "onprem." + llama, "arn:aws:bedrock:" + own + ":" + account + ":inference-profile/onprem." + llama
	for _, name := range []string{id, arn} {
		p, err := s.Get(account, own, name)
		if err != nil || p.ARN != arn || p.ID != id || p.Type != profile.SystemDefined || p.Geo != "onprem" {
			t.Errorf("%+v %v", p, err)
		}
		r, err := s.Resolve(account, own, name)
		if err != nil {
			t.Fatal(err)
		}
		var access []string
		for _, a := range r.Authorize {
			access = append(access, a.ARN+" "+a.Region)
		}
		fm := func(region string) string {
			return "arn:aws:bedrock:" + region + "::foundation-model/" + llama + " " + region
		}
		if want := []string{arn + " " + own, fm(own), fm("onprem-osaka-1")}; !slices.Equal(access, want) || r.Scope != "onprem" {
			t.Errorf("%v, want %v", access, want)
		}
	}
	page, _, err := s.List(account, own, profile.SystemDefined, 0, "")
	if err != nil || len(page) != 1 || page[0].ARN != arn {
		t.Errorf("%+v %v", page, err)
	}
	p, err := s.Create(t.Context(), account, own, profile.CreateRequest{Name: "edge", Source: arn})
	if err != nil || !strings.HasPrefix(p.ARN, "arn:aws:bedrock:"+own+":"+account+":application-inference-profile/") || len(p.Models) != 2 {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := s.Get(account, tokyo, id); !fault.Is(err, fault.NotFound) {
		t.Errorf("from a Region that is no source: %v", err)
	}
}
