package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestDecodeConfig(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", ""},
		"comments only":      {"# nothing\n", ""},
		"unknown key":        {"listen: 127.0.0.1:1\nacount_id: '123456789012'\n", `line 2: unknown key "acount_id"; did you mean "account_id"?`},
		"unknown key nested": {"upstreams:\n  - name: a\n    provider: openai\n    base_ur: x\n", `line 4: unknown key "base_ur" in upstreams[0]; did you mean "base_url"?`},
		"unknown key deep":   {"upstreams:\n  - name: a\n    provider: simulated\n    simulated:\n      latency:\n        first_tokens: {}\n", `line 6: unknown key "first_tokens" in upstreams[0].simulated.latency; did you mean "first_token"?`},
		"model ids are free": {"upstreams:\n  - name: a\n    provider: openai\n    base_url: http://127.0.0.1:1/v1\n    models:\n      meta.llama3-1-8b-instruct-v1:0: gemma-3-270m\n", ""},
		"duplicate key":      {"listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", "already defined"},
		"wrong type":         {"shutdown:\n  drain: soon\n", "drain"},
		"empty section":      {"log:\n  # level: info\nregion: us-east-1\n", "line 1: log is empty"},
		"two documents":      {"listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", "more than one YAML document"},
		"account":            {"account_id: '12'\n", `line 1: account_id: "12": quote it: 12 digits`},
		"account number":     {"region: us-east-1\naccount_id: 000000000017\n", `line 2: account_id: "000000000017": quote it`},
		"account unquoted":   {"account_id: 123456789012\n", ""},
		"region":             {"region: tokyo\n", "region"},
		"level":              {"log: {level: loud}\n", "log.level"},
		"half of TLS":        {"tls: {cert_file: a}\n", "go together"},
		"no provider":        {"upstreams: [{name: a}]\n", "upstreams[0] (a): provider is missing"},
		"unknown provider":   {"upstreams: [{name: a, provider: magic}]\n", `provider: "magic" is none of openai, anthropic, bedrock, simulated`},
		"no URL":             {"upstreams: [{name: a, provider: openai, base_url: 'localhost:8080'}]\n", "base_url"},
		"two names":          {"upstreams: [{name: a, provider: simulated}, {name: a, provider: simulated}]\n", `the name "a" is taken`},
		"two keys":           {"upstreams: [{name: a, provider: openai, base_url: 'http://x/v1', api_key_env: A, api_key_file: b}]\n", "exclude each other"},
		"shares":             {"upstreams: [{name: a, provider: simulated, simulated: {faults: {cut: 0.7, reset: 0.7}}}]\n", "add up to"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaults()
			err := decodeConfig([]byte(c.text), &cfg)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestDocumented holds the page for users against the type: its example is a configuration, and every key of the type
// stands in it or in the page of the simulated models.
func TestDocumented(t *testing.T) {
	for _, page := range []string{"configuration.md", "configuration.ja.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		_, example, _ := strings.Cut(string(text), "```yaml\n")
		example, _, ok := strings.Cut(example, "```")
		if !ok {
			t.Fatalf("%s has no example", page)
		}
		c := defaults()
		if err := decodeConfig([]byte(example), &c); err != nil {
			t.Errorf("%s: %v", page, err)
		}
		if want := defaults(); c.Shutdown != want.Shutdown || c.Ledger != want.Ledger || c.UpstreamDrain != want.UpstreamDrain || c.Log != want.Log || c.Listen != want.Listen || c.Region != want.Region || c.AccountID != want.AccountID {
			t.Errorf("%s shows other defaults than the program has", page)
		}
		if len(c.Upstreams) != 2 || c.Upstreams[0].Models["*"] != "*" {
			t.Errorf("%s: upstreams %+v", page, c.Upstreams)
		}
	}
}

// TestRoundTrip: what check-config prints is a configuration that means the same.
func TestRoundTrip(t *testing.T) {
	c := defaults()
	if err := decodeConfig([]byte("shutdown: {drain: 1m30s}\nupstreams:\n  - {name: a, provider: simulated, simulated: {seed: 3, latency: {first_token: {value: 5ms}}}}\n"), &c); err != nil {
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
	if again.Shutdown.Drain != 90*time.Second || again.Upstreams[0].Simulated.Latency.FirstToken.Value != 5*time.Millisecond || again.Upstreams[0].Simulated.Seed != 3 {
		t.Errorf("%+v", again)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:4141": "http://127.0.0.1:4141", "a/b+c=": "a/b+c=", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'", "a\nb": "'a\nb'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// FuzzConfig: any file is a configuration or an error.
func FuzzConfig(f *testing.F) {
	f.Add("listen: 127.0.0.1:1\nupstreams:\n- name: a\n")
	f.Add("a: &a [*a]\n")
	f.Add("{")
	f.Fuzz(func(t *testing.T, text string) {
		c := defaults()
		if err := decodeConfig([]byte(text), &c); err == nil {
			if err := c.check(); err != nil {
				t.Errorf("accepted and then refused: %v", err)
			}
		}
	})
}
