package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"outcrop/catalog"
)

const own = `
geographies:
  - name: onprem
    label: On-premises
    sources: [onprem-tokyo-1, us-east-1]
    destinations: [onprem-tokyo-1, onprem-osaka-1]
    models:
      - meta.llama3-1-8b-instruct-v1:0
      - acme.chat-v1:0
catalog:
  date: 2026-11-20
  models:
    - {id: "acme.chat-v1:0", name: Acme Chat, provider: Acme, input: [TEXT], output: [TEXT], streaming: true, on_demand: true, regions: [onprem-tokyo-1], status: ACTIVE}
  prices:
    - {model: "acme.chat-v1:0", scope: onprem, effective: 2026-01-01, usd_per_million: {input: 0.10, output: "0.40"}}
`

// serving runs a server of the configuration's text until the test ends.
func serving(t *testing.T, text string) (url string) {
	t.Helper()
	c := defaults()
	if err := decodeConfig([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c.Listen = "127.0.0.1:0"
	s, err := New(t.Context(), c, filepath.Join(t.TempDir(), "data"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	up, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(url string) { up <- url }) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return <-up
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// status is what the program would exit with.
func status(err error) int {
	if e, ok := errors.AsType[exitStatus](err); ok {
		return e.status
	}
	if err != nil {
		return 1
	}
	return 0
}

// TestOwnCatalog: geographies and facts of the configuration survive check-config, and make a catalog.
func TestOwnCatalog(t *testing.T) {
	c := defaults()
	if err := decodeConfig([]byte(own), &c); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again := defaults()
	if err := decodeConfig(text, &again); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, c := range []*Config{&c, &again} {
		cat, err := c.catalog()
		if err != nil {
			t.Fatal(err)
		}
		p, ok := cat.Price("acme.chat-v1:0", "onprem", "us-east-1", cat.Date)
		if !ok || *p.Input != 100_000_000 || *p.Output != 400_000_000 {
			t.Errorf("the price: %+v", p)
		}
		if p, ok := cat.Profile("onprem.acme.chat-v1:0"); !ok || p.Name != "On-premises Acme Chat" || !slices.Equal(p.Routes["us-east-1"], []string{"onprem-tokyo-1", "onprem-osaka-1"}) {
			t.Errorf("the profile: %+v", p)
		}
	}
}

func TestOwnCatalogRefuses(t *testing.T) {
	missing := file(t, "facts.json", `{"date":"2026-12-01","profiles":[{"id":"us.a.b","geo":"us","name":"B","model":"a.b","description":"{destinations}","routes":{"us-east-1":["us-east-1"]}}]}`)
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":    {"geographies:\n  - name: a\n    destination: [x-y-1]\n", `line 3: unknown key "destination" in geographies[0]; did you mean "destinations"?`},
		"unknown fact":   {"catalog:\n  date: 2026-01-01\n  prices:\n    - {modell: a}\n", `line 4: unknown key "modell" in catalog.prices[0]; did you mean "model"?`},
		"unknown amount": {"catalog:\n  date: 2026-01-01\n  prices:\n    - {model: a.b, usd_per_million: {inputs: 1}}\n", `unknown key "inputs" in catalog.prices[0].usd_per_million; did you mean "input"?`},
		"a model":        {"geographies: [{name: lab, destinations: [lab-one-1], models: [meta.llama3-1-8b-instruct-v1]}]\n", `geographies[0] (lab): models: the catalog has no model "meta.llama3-1-8b-instruct-v1"; did you mean "meta.llama3-1-8b-instruct-v1:0"?`},
		"AWS's name":     {"geographies: [{name: us, destinations: [us-east-1], models: ['meta.llama3-1-8b-instruct-v1:0']}]\n", `geographies[0] (us): name: there are profiles of a geography "us" already`},
		"no date":        {"catalog: {prices: [{model: 'meta.llama3-1-8b-instruct-v1:0', scope: region, effective: 2026-01-01, usd_per_million: {input: 1}}]}\n", "catalog: no date"},
		"no file":        {"catalog: {files: [nowhere.json]}\n", "catalog.files: stat nowhere.json"},
		"a bad file":     {"catalog: {files: ['" + missing + "']}\n", `no model "a.b"`},
		"an exponent":    {"catalog: {date: 2026-01-01, prices: [{model: 'meta.llama3-1-8b-instruct-v1:0', scope: region, effective: 2026-01-01, usd_per_unit: {x: 0.00000001}}]}\n", "want a decimal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t.Context(), "check-config", file(t, "outcrop.yaml", c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestDoubts(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"nothing": {"", nil},
		"simulated everywhere": {own, []string{
			"catalog: models: acme.chat-v1:0 has no price in its Region: its usage is shown as unrated there",
		}},
		"names": {own + `
upstreams:
  - {name: a, provider: simulated, regions: [onprem-tokyo-1, onprem-osak-1, us-esat-1], models: {"*": "*", "acme.chat-v1": x}}
`, []string{
			`upstreams[0] (a): regions: "onprem-osak-1" is no Region of AWS, and no geography or catalog entry names it; did you mean "onprem-osaka-1"?`,
			`upstreams[0] (a): regions: "us-esat-1" is no Region of AWS, and no geography or catalog entry names it; did you mean "us-east-1"?`,
			`upstreams[0] (a): models: the catalog has no model "acme.chat-v1": nobody can call it; did you mean "acme.chat-v1:0"?`,
			`geographies[0] (onprem): destinations: no upstream serves "onprem-osaka-1"; did you mean "onprem-osak-1"?`,
			"catalog: models: acme.chat-v1:0 has no price in its Region: its usage is shown as unrated there",
		}},
		"sources": {`
geographies:
  - {name: lab, sources: [office-kyoto-1, ap-notheast-1, lab-two-1, lab-one-1], destinations: [lab-one-1], models: ["meta.llama3-1-8b-instruct-v1:0"]}
upstreams:
  - {name: a, provider: simulated, regions: [lab-one-1, lab-tow-1]}
`, []string{
			`upstreams[0] (a): regions: "lab-tow-1" is no Region of AWS, and no geography or catalog entry names it; did you mean "lab-two-1"?`,
			`geographies[0] (lab): sources: "ap-notheast-1" is no Region of AWS, and no upstream names it; did you mean "ap-northeast-1"?`,
			`geographies[0] (lab): sources: "lab-two-1" is no Region of AWS, and no upstream names it; did you mean "lab-tow-1"?`,
		}},
		"models": {own + `
upstreams:
  - {name: a, provider: simulated, regions: [onprem-tokyo-1]}
  - {name: b, provider: simulated, regions: [onprem-osaka-1], models: {"acme.chat-v1:0": x}}
`, []string{
			"geographies[0] (onprem): no upstream serves meta.llama3-1-8b-instruct-v1:0 in onprem-osaka-1",
			"catalog: models: acme.chat-v1:0 has no price in its Region: its usage is shown as unrated there",
		}},
		"a cross-Region id": {`
upstreams:
  - {name: aws, provider: bedrock, regions: [us-east-1], models: {"anthropic.claude-3-haiku-20240307-v1:0": "us.anthropic.claude-3-haiku-20240307-v1:0", "meta.llama3-1-8b-instruct-v1:0": "xx.meta.llama3-1-8b-instruct-v1:0", "anthropic.claude-opus-4-6-v1": "global.anthropic.claude-opus-4-6-v1"}}
`, []string{
			`upstreams[0] (aws): models: "anthropic.claude-3-haiku-20240307-v1:0" is called as "us.anthropic.claude-3-haiku-20240307-v1:0", for which AWS chooses among us-east-1, us-west-2: calls that have to stay in one Region, or in some of these, do not go there`,
			`upstreams[0] (aws): models: "meta.llama3-1-8b-instruct-v1:0" is called as "xx.meta.llama3-1-8b-instruct-v1:0", of which the catalog does not know in which Regions AWS serves it: no call goes there`,
		}},
		"an old price": {"catalog: {date: 2026-11-20, prices: [{model: 'meta.llama3-1-8b-instruct-v1:0', scope: region, effective: 2026-01-01, usd_per_million: {input: 1, output: 1}}]}\n", []string{
			"catalog: prices: the price of meta.llama3-1-8b-instruct-v1:0 in scope region from 2026-01-01 no longer holds: meta.llama3-1-8b-instruct-v1:0/region/*@2026-08-06 has taken its place",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := defaults()
			if err := decodeConfig([]byte(tc.text), &c); err != nil {
				t.Fatal(err)
			}
			cat, err := c.catalog()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.doubts(cat); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// TestCatalogDocumented: the examples of the pages are configurations, without doubts but for what a page leaves out, and show
// every key of a geography.
func TestCatalogDocumented(t *testing.T) {
	for _, page := range []string{"catalog.md", "catalog.ja.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```yaml\n")[1:]
		if len(blocks) != 2 {
			t.Fatalf("%s has %d examples", page, len(blocks))
		}
		for _, block := range blocks {
			example, _, _ := strings.Cut(block, "```")
			c := defaults()
			if err := decodeConfig([]byte(example), &c); err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			c.Catalog.Files = nil // the page's file is not there
			cat, err := c.catalog()
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			if doubts := c.doubts(cat); len(doubts) > 0 {
				t.Errorf("%s: %v", page, doubts)
			}
			for _, g := range c.Geographies {
				for v, i := reflect.ValueOf(g), 0; i < v.NumField(); i++ {
					if v.Field(i).IsZero() {
						t.Errorf("%s does not show %s of a geography", page, v.Type().Field(i).Name)
					}
				}
			}
		}
	}
}

// TestCatalogDiffFile: a catalogue is the same as itself; what is written of a newer one, laid over, leaves no difference.
func TestCatalogDiffFile(t *testing.T) {
	printed, err := run(t.Context(), "catalog", "print")
	if err != nil {
		t.Fatal(err)
	}
	same := file(t, "same.json", printed)
	if out, err := run(t.Context(), "catalog", "diff", same); err != nil || out != "no differences\n" {
		t.Errorf("%v: %s", err, out)
	}
	c := defaults()
	if err := decodeConfig([]byte(own), &c); err != nil {
		t.Fatal(err)
	}
	facts, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if facts, err = facts.Overlay(&catalog.Facts{Date: "2026-12-01", Models: c.Catalog.Models,
		Prices: []catalog.PriceFact{{Model: "acme.chat-v1:0", Scope: "region", Effective: "2026-12-01", Tokens: catalog.TokensFact{Input: "1", Output: "1"}}}}); err != nil {
		t.Fatal(err)
	}
	text, err := facts.Text()
	if err != nil {
		t.Fatal(err)
	}
	newer, overlay := file(t, "newer.json", string(text)), filepath.Join(t.TempDir(), "overlay.json")
	out, err := run(t.Context(), "catalog", "diff", newer, "--write", overlay)
	if status(err) != 1 || !strings.Contains(out, "new   model  acme.chat-v1:0") || !strings.HasSuffix(out, "2 new, 0 gone, 0 changed\n") {
		t.Errorf("%v:\n%s", err, out)
	}
	config := file(t, "outcrop.yaml", fmt.Sprintf("catalog: {files: ['%s']}\n", overlay))
	if out, err := run(t.Context(), "catalog", "diff", newer, "--config", config); err != nil {
		t.Errorf("with what was written: %v\n%s", err, out)
	}
	// The other way round they are gone; and in JSON.
	out, err = run(t.Context(), "catalog", "diff", same, "--config", config, "--json")
	if want := `{"kind":"model","id":"acme.chat-v1:0","what":"gone"}` + "\n" + `{"kind":"price","id":"acme.chat-v1:0/region/*@2026-12-01","what":"gone"}` + "\n"; status(err) != 1 || out != want {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, args := range [][]string{
		{}, {same, same}, {"nowhere.json"}, {same, "--upstream", "aws"}, {same, "--region", "us-east-1"}, {"--upstream", "aws"}, {newer, "--write", overlay},
		{file(t, "bad.json", `{"date":"2026-12-01","model":[]}`)}, {same, "--config", "nowhere.yaml"}, {same, "--jsn"},
	} {
		if _, err := run(t.Context(), append([]string{"catalog", "diff"}, args...)...); status(err) != 2 {
			t.Errorf("catalog diff %v: %v", args, err)
		}
	}
}

// TestCatalogDiffAccount takes another server for the AWS account: one that has this catalogue, and one that has more.
func TestCatalogDiffAccount(t *testing.T) {
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", "ROOTKEYFORTEST")
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", "a-secret-for-the-test")
	t.Setenv("AWS_ACCESS_KEY_ID", "ROOTKEYFORTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-the-test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	config := file(t, "outcrop.yaml", fmt.Sprintf("upstreams:\n  - {name: same, provider: bedrock, bedrock: {endpoint: '%s'}}\n  - {name: more, provider: bedrock, regions: [us-east-1, onprem-tokyo-1], bedrock: {endpoint: '%s'}}\n"+
		"  - {name: none, provider: simulated}\n  - {name: nobody, provider: bedrock, bedrock: {endpoint: 'http://127.0.0.1:1'}}\n", serving(t, ""), serving(t, own)))
	diff := func(args ...string) (string, int) {
		out, err := run(t.Context(), append([]string{"catalog", "diff", "--config", config}, args...)...)
		return out, status(err)
	}
	if out, code := diff("--upstream", "same"); code != 0 {
		t.Errorf("%d:\n%s", code, out)
	}
	var everywhere []string
	for _, r := range catalog.Regions() {
		everywhere = append(everywhere, r.ID)
	}
	if out, code := diff("--upstream", "same", "--region", strings.Join(everywhere, ",")); code != 0 {
		t.Errorf("in every Region: %d:\n%s", code, out)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	out, code := diff("--upstream", "more", "--write", overlay)
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if want := []string{
		"WHAT KIND ID DIFFERENCE", "new model acme.chat-v1:0", "new profile onprem.acme.chat-v1:0", "new profile onprem.meta.llama3-1-8b-instruct-v1:0", "",
		"3 new, 0 gone, 0 changed",
	}; code != 1 || !slices.Equal(lines, want) {
		t.Errorf("%d:\n%s", code, out)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	config = file(t, "outcrop.yaml", string(text)+fmt.Sprintf("catalog: {files: ['%s']}\n", overlay))
	if out, code := diff("--upstream", "more"); code != 0 {
		t.Errorf("with what was written: %d:\n%s", code, out)
	}
	if out, code := diff("--upstream", "same", "--region", "us-east-1"); code != 1 || !strings.Contains(out, "routes.us-east-1: -onprem-osaka-1 -onprem-tokyo-1") {
		t.Errorf("the account that has less: %d:\n%s", code, out)
	}
	for _, args := range [][]string{{"--upstream", "none"}, {"--upstream", "sam"}, {"--upstream", "nobody"}, {"--upstream", "same", "--region", "tokyo"}} {
		if out, code := diff(args...); code != 2 {
			t.Errorf("%v: %d:\n%s", args, code, out)
		}
	}
}
