package catalog

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) *Facts {
	t.Helper()
	f, err := ParseFacts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustEmbedded(t testing.TB) *Facts {
	t.Helper()
	f, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	acme  = `{"id":"acme.chat-v1:0","name":"Acme Chat","provider":"Acme","input":["TEXT"],"output":["TEXT"],"streaming":true,"on_demand":true,"regions":["onprem-tokyo-1"],"status":"ACTIVE"}`
	llama = "meta.llama3-1-8b-instruct-v1:0"
)

func TestOverlay(t *testing.T) {
	base := mustEmbedded(t)
	before, err := base.Text()
	if err != nil {
		t.Fatal(err)
	}
	all, err := base.Overlay(mustParse(t, `{"date":"2026-12-01","sources":["us"],
		"models":[`+acme+`,{"id":"`+llama+`","name":"Llama of ours","provider":"Meta","input":["TEXT"],"output":["TEXT"],"on_demand":true,"regions":["us-east-1"],"status":"LEGACY"}],
		"profiles":[{"id":"us.acme.chat-v1:0","geo":"us","name":"US Acme Chat","model":"acme.chat-v1:0","description":"Routes requests to Acme Chat in {destinations}.","routes":{"us-east-1":["us-east-1"]}}],
		"prices":[
			{"model":"acme.chat-v1:0","scope":"us","effective":"2026-11-01","usd_per_million":{"input":"0.1","output":"0.2"}},
			{"model":"anthropic.claude-3-haiku-20240307-v1:0","scope":"region","effective":"2026-08-06","usd_per_million":{"input":"9","output":"9"}},
			{"model":"amazon.nova-micro-v1:0","scope":"region","effective":"2026-12-01","usd_per_million":{"input":"7","output":"7"}},
			{"model":"amazon.nova-2-sonic-v1:0","scope":"region","effective":"2026-11-01","usd_per_million":{"input":"1","output":"1"}}],
		"unpriced":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(all)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Date.Format(time.DateOnly); got != "2026-12-01" {
		t.Errorf("the date is %s", got)
	}
	if m, ok := c.Model("acme.chat-v1:0"); !ok || !c.OnDemand(m.ID, "onprem-tokyo-1") || !c.Listed(m.ID, "us-east-1") || c.OnDemand(m.ID, "us-east-1") {
		t.Errorf("the new model: %+v", m)
	}
	if m, _ := c.Model(llama); m.Name != "Llama of ours" || m.Status != "LEGACY" {
		t.Errorf("the changed model: %+v", m)
	}
	if p, ok := c.Profile("us.acme.chat-v1:0"); !ok || p.CreatedAt.Format(time.DateOnly) != "2026-12-01" {
		t.Errorf("the new profile: %+v", p)
	}
	ids := make([]string, 0, len(c.AllModels()))
	for _, m := range c.AllModels() {
		ids = append(ids, m.ID)
	}
	if !slices.IsSorted(ids) {
		t.Error("models are not listed by id")
	}
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tc := range []struct {
		model, scope, at, id string
		input                int64
	}{
		{"acme.chat-v1:0", "us", "2026-12-02", "acme.chat-v1:0/us/*@2026-11-01+2026-12-01", 100_000_000},
		{"acme.chat-v1:0", InRegion, "2026-12-02", "", 0},
		// In the place of the embedded one of that day.
		{"anthropic.claude-3-haiku-20240307-v1:0", InRegion, "2026-12-02", "anthropic.claude-3-haiku-20240307-v1:0/region/*@2026-08-06+2026-12-01", 9_000_000_000},
		// A change of price: until then the old one holds.
		{"amazon.nova-micro-v1:0", InRegion, "2026-11-30", "amazon.nova-micro-v1:0/region/*@2026-08-06", 35_000_000},
		{"amazon.nova-micro-v1:0", InRegion, "2026-12-01", "amazon.nova-micro-v1:0/region/*@2026-12-01+2026-12-01", 7_000_000_000},
		{"amazon.nova-2-sonic-v1:0", InRegion, "2026-12-02", "amazon.nova-2-sonic-v1:0/region/*@2026-11-01+2026-12-01", 1_000_000_000},
	} {
		p, ok := c.Price(tc.model, tc.scope, "us-east-1", day(tc.at))
		if ok != (tc.id != "") || ok && (p.ID != tc.id || *p.Input != tc.input) {
			t.Errorf("%s in %s on %s: %+v", tc.model, tc.scope, tc.at, p)
		}
	}
	if _, unpriced := c.Unpriced("amazon.nova-2-sonic-v1:0"); unpriced {
		t.Error("a model with a price is unpriced")
	}
	if after, err := base.Text(); err != nil || string(after) != string(before) {
		t.Error("the facts below have changed")
	}
}

func TestOverlayRefuses(t *testing.T) {
	price := func(member string) string {
		return `{"date":"2026-12-01","prices":[{"model":"` + llama + `","scope":"region","effective":"2026-12-01",` + member + `}]}`
	}
	for name, tc := range map[string]struct{ text, want string }{
		"no date":          {`{"models":[]}`, "no date"},
		"an unknown field": {`{"date":"2026-12-01","modles":[]}`, "modles"},
		"a field twice":    {`{"date":"2026-12-01","date":"2026-12-01"}`, "date"},
		"twice":            {`{"date":"2026-12-01","models":[` + acme + `,` + acme + `]}`, "model acme.chat-v1:0 is there twice"},
		"a bad id":         {`{"date":"2026-12-01","models":[` + strings.Replace(acme, "acme.chat", "Acme Chat", 1) + `]}`, "not the form of a model id"},
		"a bad Region":     {`{"date":"2026-12-01","models":[` + strings.Replace(acme, "onprem-tokyo-1", "Tokyo", 1) + `]}`, `no Region "Tokyo"`},
		"a long Region":    {`{"date":"2026-12-01","models":[` + strings.Replace(acme, "onprem-tokyo-1", "onprem-shin-yokohama-1", 1) + `]}`, `no Region "onprem-shin-yokohama-1"`},
		"a usage name":     {`{"date":"2026-12-01","models":[` + strings.Replace(acme, "Acme Chat", "Claude 3 Haiku", 1) + `]}`, "same usage name Claude3Haiku"},
		"a missing model":  {`{"date":"2026-12-01","profiles":[{"id":"us.a.b","geo":"us","name":"B","model":"a.b","description":"{destinations}","routes":{"us-east-1":["us-east-1"]}}]}`, `no model "a.b"`},
		"another scope":    {`{"date":"2026-12-01","prices":[{"model":"` + llama + `","scope":"onprem","effective":"2026-12-01","usd_per_million":{"input":"1"}}]}`, `scope "onprem"`},
		"an exponent":      {price(`"usd_per_unit":{"output-image":"6e-05"}`), `amount "6e-05": want a decimal`},
		"a price twice":    {strings.Replace(price(`"usd_per_million":{"input":"1"}`), `"prices":[`, `"prices":[{"model":"`+llama+`","scope":"region","effective":"2026-12-01","usd_per_million":{"input":"2"}},`, 1), "is there twice"},
		"no price, priced": {`{"date":"2026-12-01","unpriced":[{"model":"` + llama + `","why":"ours"}]}`, "unpriced " + llama + " has prices"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ParseFacts([]byte(tc.text))
			if err == nil {
				if f, err = mustEmbedded(t).Overlay(f); err == nil {
					_, err = New(f)
				}
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestGeography(t *testing.T) {
	f := mustEmbedded(t)
	if err := f.AddGeography(Geography{
		Name: "onprem", Label: "On-premises", Sources: []string{"onprem-tokyo-1", "ap-northeast-1"}, Destinations: []string{"onprem-tokyo-1", "onprem-osaka-1"},
		Models: []string{llama, "amazon.nova-lite-v1:0"},
	}); err != nil {
		t.Fatal(err)
	}
	c, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	const id = "onprem." + llama
	for _, region := range []string{"onprem-tokyo-1", "ap-northeast-1"} {
		offered := c.Profiles(region)
		if !slices.ContainsFunc(offered, func(p *Profile) bool { return p.ID == id }) {
			t.Errorf("not listed in %s", region)
		}
		if got := c.ProfileModels(id, region); !slices.Equal(got, []string{
			"arn:aws:bedrock:onprem-tokyo-1::foundation-model/" + llama, "arn:aws:bedrock:onprem-osaka-1::foundation-model/" + llama,
		}) {
			t.Errorf("models from %s: %v", region, got)
		}
	}
	if got := c.ProfileModels(id, "onprem-osaka-1"); got != nil {
		t.Errorf("offered from a Region that is no source: %v", got)
	}
	if p, _ := c.Profile(id); p.Name != "On-premises Meta Llama 3.1 8B Instruct" || p.Geo != "onprem" {
		t.Errorf("%+v", p)
	}
	if p, _ := c.Profile("onprem.amazon.nova-lite-v1:0"); p.Name != "On-premises Nova Lite" { // as AWS names "APAC Nova Lite"
		t.Errorf("%+v", p)
	}
	if got, want := c.ProfileDescription(id, "ap-northeast-1"), "Routes requests to Meta Llama 3.1 8B Instruct in onprem-tokyo-1 and onprem-osaka-1."; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	// Without a price of the geography it is the one in the Region.
	for _, region := range []string{"onprem-tokyo-1", "ap-northeast-1"} {
		p, ok := c.Price(llama, "onprem", region, c.Date)
		in, _ := c.Price(llama, InRegion, region, c.Date)
		if !ok || p != in {
			t.Errorf("from %s: %+v, in the Region %+v", region, p, in)
		}
	}

	for name, tc := range map[string]struct {
		g    Geography
		want string
	}{
		"AWS's":            {Geography{Name: "eu", Destinations: []string{"lab-one-1"}, Models: []string{llama}}, `a geography "eu" already`},
		"again":            {Geography{Name: "onprem", Destinations: []string{"lab-one-1"}, Models: []string{llama}}, `a geography "onprem" already`},
		"the scope":        {Geography{Name: "region", Destinations: []string{"lab-one-1"}, Models: []string{llama}}, "scope of prices"},
		"a dot":            {Geography{Name: "on.prem", Destinations: []string{"lab-one-1"}, Models: []string{llama}}, "name:"},
		"no destinations":  {Geography{Name: "lab", Models: []string{llama}}, "destinations are missing"},
		"no models":        {Geography{Name: "lab", Destinations: []string{"lab-one-1"}}, "models are missing"},
		"no Region":        {Geography{Name: "lab", Destinations: []string{"lab"}, Models: []string{llama}}, `"lab" is not the name of a Region`},
		"a Region twice":   {Geography{Name: "lab", Destinations: []string{"lab-one-1", "lab-one-1"}, Models: []string{llama}}, "lab-one-1 is there twice"},
		"a model twice":    {Geography{Name: "lab", Destinations: []string{"lab-one-1"}, Models: []string{llama, llama}}, "is there twice"},
		"no such model":    {Geography{Name: "lab", Destinations: []string{"lab-one-1"}, Models: []string{"a.b"}}, `no model "a.b"`},
		"a label":          {Geography{Name: "lab", Label: "Lab\n", Destinations: []string{"lab-one-1"}, Models: []string{llama}}, "label:"},
		"over a partition": {Geography{Name: "lab", Destinations: []string{"us-gov-west-1"}, Sources: []string{"us-east-1"}, Models: []string{llama}}, "another partition"},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustEmbedded(t)
			err := f.AddGeography(Geography{Name: "onprem", Destinations: []string{"onprem-tokyo-1"}, Models: []string{llama}})
			if err != nil {
				t.Fatal(err)
			}
			if err = f.AddGeography(tc.g); err == nil {
				_, err = New(f)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// TestText: what is printed is a catalogue file that says the same.
func TestText(t *testing.T) {
	f := mustEmbedded(t)
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, string(text))
	if ds, over, err := f.Diff(again); err != nil || len(ds) != 0 || len(over.Models)+len(over.Profiles)+len(over.Prices)+len(over.Unpriced) != 0 {
		t.Errorf("%v %+v %+v", err, ds, over)
	}
	if twice, err := again.Text(); err != nil || string(twice) != string(text) {
		t.Error("printed again it is another text")
	}
}

func TestDiff(t *testing.T) {
	older := mustParse(t, `{"date":"2026-01-01",
		"models":[{"id":"a.x","name":"X","provider":"A","input":["TEXT","IMAGE"],"output":["TEXT"],"status":"ACTIVE","inferred":["status"]},
			{"id":"a.y","name":"Y","provider":"A","input":["TEXT"],"output":["TEXT"],"status":"ACTIVE"}],
		"profiles":[{"id":"us.a.x","geo":"us","name":"X","model":"a.x","description":"{destinations}","routes":{"us-east-1":["us-east-1","us-west-2"],"us-west-2":["us-west-2"]}}],
		"prices":[{"model":"a.x","scope":"region","effective":"2026-01-01","usd_per_million":{"input":"1","output":"2"}}]}`)
	newer := mustParse(t, `{"date":"2026-02-01",
		"models":[{"id":"a.x","name":"X","provider":"A","input":["IMAGE","TEXT"],"output":["TEXT"],"status":"LEGACY","legacy":"2026-02-01"},
			{"id":"a.z","name":"Z","provider":"A","input":["TEXT"],"output":["TEXT"],"status":"ACTIVE"}],
		"profiles":[{"id":"us.a.x","geo":"us","name":"X","model":"a.x","description":"{destinations}","routes":{"us-east-1":["us-west-2","us-east-2","us-east-1"]}}]}`)
	ds, over, err := older.Diff(newer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(ds)
	if err != nil {
		t.Fatal(err)
	}
	// The order of modalities and what is inferred make no difference; there are no prices to compare with.
	const want = `[{"kind":"model","id":"a.x","what":"changed","fields":[{"name":"legacy","old":null,"new":"2026-02-01"},{"name":"status","old":"ACTIVE","new":"LEGACY"}]},` +
		`{"kind":"model","id":"a.y","what":"gone"},{"kind":"model","id":"a.z","what":"new"},` +
		`{"kind":"profile","id":"us.a.x","what":"changed","fields":[{"name":"routes.us-east-1","old":["us-east-1","us-west-2"],"new":["us-east-1","us-east-2","us-west-2"]},` +
		`{"name":"routes.us-west-2","old":["us-west-2"],"new":null}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(over.Models) != 2 || over.Models[0].Status != "LEGACY" || over.Models[1].ID != "a.z" || len(over.Profiles) != 1 || len(over.Prices) != 0 || over.Date != "2026-02-01" {
		t.Errorf("to lay over: %+v", over)
	}
}

// TestWith holds the catalogue against answers of AWS: those in testdata are in the form of the service model's shapes.
func TestWith(t *testing.T) {
	text, err := os.ReadFile("testdata/offer-us-east-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers struct {
		ModelSummaries            []OfferedModel   `json:"modelSummaries"`
		InferenceProfileSummaries []OfferedProfile `json:"inferenceProfileSummaries"`
	}
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	base := mustParse(t, `{"date":"2026-01-01",
		"models":[
			{"id":"anthropic.claude-3-sonnet-20240229-v1:0","name":"Claude 3 Sonnet","provider":"Anthropic","input":["TEXT","IMAGE"],"output":["TEXT"],"streaming":true,"on_demand":true,"regions":["us-east-1","us-west-2"],"status":"ACTIVE","context_tokens":200000},
			{"id":"meta.llama3-1-70b-instruct-v1:0","name":"Llama 3.1 70B Instruct","provider":"Meta","input":["TEXT"],"output":["TEXT"],"streaming":true,"status":"ACTIVE"},
			{"id":"old.retired-v1","name":"Retired","provider":"Old","input":["TEXT"],"output":["TEXT"],"on_demand":true,"regions":["us-east-1"],"status":"LEGACY","end_of_life":"2026-03-01"},
			{"id":"old.elsewhere-v1","name":"Elsewhere","provider":"Old","input":["TEXT"],"output":["TEXT"],"on_demand":true,"regions":["us-east-1","us-west-2"],"status":"ACTIVE"},
			{"id":"old.gone-v1","name":"Gone","provider":"Old","input":["TEXT"],"output":["TEXT"],"on_demand":true,"regions":["us-east-1"],"status":"ACTIVE"},
			{"id":"old.unlisted-v1","name":"Unlisted","provider":"Old","input":["TEXT"],"output":["TEXT"],"status":"ACTIVE"}],
		"profiles":[
			{"id":"us.anthropic.claude-3-sonnet-20240229-v1:0","geo":"us","name":"US Anthropic Claude 3 Sonnet","model":"anthropic.claude-3-sonnet-20240229-v1:0","description":"Routes requests to Anthropic Claude 3 Sonnet in {destinations}.",
				"routes":{"us-east-1":["us-east-1","us-west-2"],"us-west-2":["us-east-1","us-west-2"]}},
			{"id":"us.old.retired-v1","geo":"us","name":"R","model":"old.retired-v1","description":"{destinations}","routes":{"us-east-1":["us-east-1"]}}],
		"prices":[]}`)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	theirs := base.With([]Offer{{Region: "us-east-1", Models: answers.ModelSummaries, Profiles: answers.InferenceProfileSummaries}}, now)
	ds, over, err := base.Diff(theirs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range ds {
		line := d.What + " " + d.Kind + " " + d.ID
		for _, f := range d.Fields {
			line += " " + f.Name + ":" + string(f.Old) + ">" + string(f.New)
		}
		got = append(got, line)
	}
	want := []string{
		`changed model anthropic.claude-3-sonnet-20240229-v1:0 legacy:null>"2026-01-30" status:"ACTIVE">"LEGACY"`,
		"new model anthropic.claude-opus-4-6-v1",
		`changed model old.elsewhere-v1 regions:["us-east-1","us-west-2"]>["us-west-2"]`,
		"gone model old.gone-v1",
		"new profile global.anthropic.claude-opus-4-6-v1",
		`changed profile us.anthropic.claude-3-sonnet-20240229-v1:0 routes.us-east-1:["us-east-1","us-west-2"]>["us-east-1","us-east-2","us-west-2"]`,
		"new profile us.meta.llama3-1-70b-instruct-v1:0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	together, err := base.Overlay(over)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(together)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.ProfileDescription("us.meta.llama3-1-70b-instruct-v1:0", "us-east-1"), "Routes requests to Meta Llama 3.1 70B Instruct in us-east-1, us-east-2 and us-west-2."; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	if p, _ := c.Profile("us.meta.llama3-1-70b-instruct-v1:0"); p.UpdatedAt.Format(time.RFC3339Nano) != "2024-11-04T18:04:24.303028Z" {
		t.Errorf("%+v", p)
	}
	if got := c.Destinations("us.anthropic.claude-3-sonnet-20240229-v1:0", "us-west-2"); len(got) != 2 { // that Region was not asked
		t.Errorf("from us-west-2: %v", got)
	}
	if got := c.Destinations("global.anthropic.claude-opus-4-6-v1", "us-east-1"); len(got) != 33 {
		t.Errorf("global: %v", got)
	}
	if m, _ := c.Model("anthropic.claude-3-sonnet-20240229-v1:0"); m.ContextTokens != 200000 || !c.OnDemand(m.ID, "us-east-1") {
		t.Errorf("%+v", m)
	}
}

func FuzzParseFacts(f *testing.F) {
	f.Add([]byte(`{"date":"2026-12-01","models":[` + acme + `]}`))
	f.Add([]byte(`{"date":"2026-12-01","prices":[{"model":"a.b","scope":"region","effective":"2026-12-01","usd_per_million":{"input":"1"}}]}`))
	f.Add([]byte(`{"date":"2026-12-01","profiles":[{"id":"us.a.b","geo":"us","name":"B","model":"a.b","description":"{destinations}","routes":{"us-east-1":["us-east-1"]}}]}`))
	base, err := Embedded()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParseFacts(text)
		if err != nil {
			return
		}
		all, err := base.Overlay(o)
		if err != nil {
			return
		}
		c, err := New(all)
		if err != nil {
			return
		}
		for _, p := range c.AllProfiles() { // what loads can be shown
			for source := range p.Routes {
				if c.ProfileDescription(p.ID, source) == "" || len(c.ProfileModels(p.ID, source)) == 0 {
					t.Errorf("%s from %s says nothing", p.ID, source)
				}
			}
		}
	})
}
