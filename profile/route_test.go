package profile_test

import (
	"path/filepath"
	"slices"
	"testing"

	"outcrop/fault"
	"outcrop/profile"
)

func TestResolve(t *testing.T) {
	w := newWorld(t)
	const (
		opus46 = "anthropic.claude-opus-4-6-v1"
		prefix = "arn:aws:bedrock:"
	)
	fm := func(region, model string) string { return prefix + region + "::foundation-model/" + model }
	single := w.create(t, profile.CreateRequest{Name: "single"})
	geo := w.create(t, profile.CreateRequest{Name: "geo", Source: prefix + tokyo + ":" + account + ":inference-profile/apac." + haiku})
	global := w.create(t, profile.CreateRequest{Name: "global", Source: prefix + tokyo + ":" + account + ":inference-profile/global." + opus46})

	apac := []string{tokyo, "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"} // the source first
	geoAccess := func(profile string) []string {
		access := []string{profile + " " + tokyo}
		for _, r := range apac {
			access = append(access, fm(r, haiku)+" "+r)
		}
		return access
	}
	globalAccess := func(profile string) []string {
		return []string{profile + " " + tokyo, fm(tokyo, opus46) + " " + tokyo, "arn:aws:bedrock:::foundation-model/" + opus46 + " unspecified"}
	}
	for _, tc := range []struct {
		modelIDs []string
		profile  string // its ARN
		scope    string
		model    string
		targets  []string // nil: 33 Regions, the source first
		access   []string
	}{
		{[]string{haiku, fm(tokyo, haiku)}, "", "region", haiku, []string{tokyo}, []string{fm(tokyo, haiku) + " " + tokyo}},
		{[]string{single.ARN, single.ID, "single"}, single.ARN, "region", haiku, []string{tokyo},
			[]string{single.ARN + " " + tokyo, fm(tokyo, haiku) + " " + tokyo}},
		{[]string{geo.ARN, geo.ID, "geo"}, geo.ARN, "apac", haiku, apac, geoAccess(geo.ARN)},
		{[]string{"apac." + haiku, prefix + tokyo + ":" + account + ":inference-profile/apac." + haiku},
			prefix + tokyo + ":" + account + ":inference-profile/apac." + haiku, "apac", haiku, apac,
			geoAccess(prefix + tokyo + ":" + account + ":inference-profile/apac." + haiku)},
		{[]string{global.ARN, global.ID, "global"}, global.ARN, "global", opus46, nil, globalAccess(global.ARN)},
		{[]string{"global." + opus46, prefix + tokyo + ":" + account + ":inference-profile/global." + opus46},
			prefix + tokyo + ":" + account + ":inference-profile/global." + opus46, "global", opus46, nil,
			globalAccess(prefix + tokyo + ":" + account + ":inference-profile/global." + opus46)},
	} {
		for _, modelID := range tc.modelIDs {
			for range 2 { // made, then kept
				r, err := w.Resolve(account, tokyo, modelID)
				if err != nil {
					t.Errorf("%s: %v", modelID, err)
					continue
				}
				want := tc.profile
				if want == "" {
					want = fm(tokyo, haiku)
				}
				if r.ARN != want || (r.Profile == nil) != (tc.profile == "") || r.Profile != nil && r.Profile.ARN != want ||
					r.Scope != tc.scope || r.Source != tokyo || r.Model == nil || r.Model.ID != tc.model {
					t.Errorf("%s: %+v", modelID, r)
				}
				var targets, access []string
				for _, g := range r.Targets {
					targets = append(targets, g.Region)
					if g.ModelID != tc.model {
						t.Errorf("%s: target %+v", modelID, g)
					}
				}
				for _, a := range r.Authorize {
					access = append(access, a.ARN+" "+a.Region)
				}
				if tc.targets != nil && !slices.Equal(targets, tc.targets) || tc.targets == nil && (len(targets) != 33 || targets[0] != tokyo) {
					t.Errorf("%s: targets %v", modelID, targets)
				}
				if !slices.Equal(access, tc.access) {
					t.Errorf("%s: access\n%v, want\n%v", modelID, access, tc.access)
				}
			}
		}
	}
	// Ids as AWS refuses them.
	const invalid = "The provided model identifier is invalid."
	for _, tc := range []struct{ account, region, modelID string }{
		{account, "us-east-1", single.ARN}, // a right ARN sent to the wrong Region
		{account, "us-east-1", single.ID},
		{"111111111111", tokyo, single.ARN},
		{"111111111111", tokyo, single.ID},
		{"111111111111", tokyo, "single"},
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/zzzzzzzzzzzz"},
		{account, tokyo, "us." + haiku}, // not offered from there
		{account, tokyo, prefix + "us-east-1:" + account + ":inference-profile/us." + haiku},
		{account, "us-east-1", prefix + "us-east-1:111111111111:inference-profile/us." + haiku},
		{account, "us-east-1", prefix + "us-east-1::inference-profile/us." + haiku},
		{account, tokyo, fm("us-east-1", haiku)},
		{account, tokyo, "arn:aws:bedrock:::foundation-model/" + opus46},
		{account, tokyo, "arn:aws-cn:bedrock:ap-northeast-1::foundation-model/" + haiku},
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:foundation-model/" + haiku},
		{account, tokyo, fm(tokyo, "no.model")},
		{account, tokyo, "no.model"},
		{account, tokyo, "arn:aws:bedrock:ap-northeast-1:000000000000:provisioned-model/abcdefghijkl"},
		{account, tokyo, "arn:aws:sagemaker:ap-northeast-1:000000000000:endpoint/x"},
		{account, tokyo, "arn:"},
		{account, tokyo, ""},
	} {
		r, err := w.Resolve(tc.account, tc.region, tc.modelID)
		if r != nil {
			t.Errorf("Resolve(%s, %s, %s) = %+v", tc.account, tc.region, tc.modelID, r)
		}
		wantFault(t, err, fault.Validation, invalid)
	}
	// Profile-only models, word for word as AWS says it, curly apostrophe and all.
	for _, modelID := range []string{opus46, fm(tokyo, opus46)} {
		_, err := w.Resolve(account, tokyo, modelID)
		want := "Invocation of model ID anthropic.claude-opus-4-6-v1 with on-demand throughput isn\u2019t supported. Retry your request with the ID or ARN of an inference profile that contains this model."
		if !fault.Is(err, fault.Validation) || fault.From(err).Message != want {
			t.Errorf("%s: %v", modelID, err)
		}
	}
	// A source that is not among its destinations.
	r, err := w.Resolve(account, "us-east-2", "us."+sonnet)
	if err != nil {
		t.Fatal(err)
	}
	if want := []profile.Target{{Region: "us-east-1", ModelID: sonnet}, {Region: "us-west-2", ModelID: sonnet}}; !slices.Equal(r.Targets, want) {
		t.Errorf("targets %v", r.Targets)
	}
	if want := fm("us-east-2", sonnet); len(r.Authorize) != 4 || r.Authorize[1].ARN != want || r.Authorize[1].Region != "us-east-2" {
		t.Errorf("access %v", r.Authorize)
	}
	// After deletion nothing is left of a profile.
	if err := w.Delete(t.Context(), account, tokyo, single.ID); err != nil {
		t.Fatal(err)
	}
	for _, modelID := range []string{single.ARN, single.ID, "single"} {
		_, err := w.Resolve(account, tokyo, modelID)
		wantFault(t, err, fault.Validation, invalid)
	}
}

func TestServed(t *testing.T) {
	const llama, gpt, opus46 = "meta.llama3-1-8b-instruct-v1:0", "openai.gpt-5.5", "anthropic.claude-opus-4-6-v1"
	w := open(t, filepath.Join(t.TempDir(), "outcrop.db"), func(region, modelID string) bool {
		return region == tokyo && modelID != opus46 || region == "office-1"
	})
	for _, tc := range []struct {
		region, model string
		ok            bool
	}{
		{tokyo, llama, true}, {tokyo, gpt, true}, {"office-1", gpt, true}, {"us-east-1", llama, true}, // AWS has it there
		{"us-east-1", gpt, false}, {tokyo, opus46, false}, {tokyo, "no.model", false},
	} {
		r, err := w.Resolve(account, tc.region, tc.model)
		if (err == nil) != tc.ok {
			t.Errorf("%s in %s: %+v, %v", tc.model, tc.region, r, err)
		}
		p, err := w.Create(t.Context(), account, tc.region, profile.CreateRequest{
			Name: "n", Source: "arn:aws:bedrock:" + tc.region + "::foundation-model/" + tc.model,
		})
		if (err == nil) != tc.ok {
			t.Errorf("a profile on %s in %s: %+v, %v", tc.model, tc.region, p, err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	w := newWorld(b)
	p := w.create(b, profile.CreateRequest{Name: "n"})
	for _, bm := range []struct{ name, modelID string }{
		{"application ARN", p.ARN}, {"application id", p.ID}, {"system id", "global.anthropic.claude-opus-4-6-v1"}, {"model id", haiku},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Resolve(account, tokyo, bm.modelID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestResolveAllocates: the request path promises that a route is found without allocating.
func TestResolveAllocates(t *testing.T) {
	w := newWorld(t)
	p := w.create(t, profile.CreateRequest{Name: "n"})
	for _, modelID := range []string{p.ARN, p.ID, "n", "apac." + haiku, haiku} {
		n := testing.AllocsPerRun(100, func() {
			if _, err := w.Resolve(account, tokyo, modelID); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("Resolve(%s) allocates %v times", modelID, n)
		}
	}
}
