package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"outcrop/fault"
	upstreamclient "outcrop/upstream/client"
	"outcrop/upstream/upstreamtest"
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
		"account":            {"account_id: '12'\n", `line 1: account_id: 12: must be 12 digits in quotes`},
		"account number":     {"region: us-east-1\naccount_id: 000000000017\n", `line 2: account_id: 000000000017: must be 12 digits in quotes`},
		"account unquoted":   {"account_id: 123456789012\n", ""},
		"region":             {"region: tokyo\n", "region"},
		"level":              {"log: {level: loud}\n", "log.level"},
		"sync":               {"ledger: {sync: never}\n", "ledger.sync"},
		"sync and intents":   {"ledger: {sync: interval, sync_intents: true}\n", "sync_intents"},
		"half of TLS":        {"tls: {cert_file: a}\n", "go together"},
		"no provider":        {"upstreams: [{name: a}]\n", "upstreams[0] (a): provider is missing"},
		"unknown provider":   {"upstreams: [{name: a, provider: magic}]\n", `provider: "magic" is none of openai, anthropic, bedrock, simulated`},
		"id in braces":       {"upstreams: [{name: a, provider: simulated, models: {a.b-v1:0: x}}]\n", `put a model id with a colon in quotes: {"a.b-v1:0": x}`},
		"Responses":          {"upstreams: [{name: a, provider: openai, base_url: 'http://127.0.0.1:1/v1', api: responses}]\n", ""},
		"chat":               {"upstreams: [{name: a, provider: openai, base_url: 'http://127.0.0.1:1/v1', api: chat}]\n", ""},
		"another API":        {"upstreams: [{name: a, provider: openai, base_url: 'http://127.0.0.1:1/v1', api: assistants}]\n", `api: "assistants" is none of chat, responses`},
		"an API elsewhere":   {"upstreams: [{name: a, provider: anthropic, api: responses}]\n", "api: only provider openai has it"},
		"no URL":             {"upstreams: [{name: a, provider: openai, base_url: 'localhost:8080'}]\n", "base_url"},
		"two names":          {"upstreams: [{name: a, provider: simulated}, {name: a, provider: simulated}]\n", `the name "a" is taken`},
		"two keys":           {"upstreams: [{name: a, provider: openai, base_url: 'http://x/v1', api_key_env: A, api_key_file: b}]\n", "exclude each other"},
		"server of none":     {"upstreams: [{name: a, provider: simulated, max_connections: 3}]\n", "upstreams[0] (a): provider simulated has no server"},
		"unknown timeout":    {"upstreams:\n  - name: a\n    provider: bedrock\n    timeouts:\n      first_tokens: 1s\n", `line 5: unknown key "first_tokens" in upstreams[0].timeouts; did you mean "first_token"?`},
		"unknown server key": {"upstreams:\n  - name: a\n    provider: bedrock\n    max_connection: 1\n", `line 4: unknown key "max_connection" in upstreams[0]; did you mean "max_connections"?`},
		"no timeout":         {"upstreams: [{name: a, provider: bedrock, timeouts: {total: never}}]\n", `upstreams[0].timeouts.total: "never" is not a time`},
		"negative timeout":   {"upstreams: [{name: a, provider: bedrock, timeouts: {total: -1s}}]\n", "upstreams[0] (a): timeouts.total: -1s is negative"},
		"negative limit":     {"upstreams: [{name: a, provider: bedrock, max_connections: -1}]\n", "max_connections: -1 is negative"},
		"drain":              {"upstreams: [{name: a, provider: simulated, drain: 0s}]\n", ""},
		"no drain":           {"upstreams: [{name: a, provider: simulated, drain: never}]\n", `upstreams[0].drain: "never" is not a time`},
		"negative drain":     {"upstreams: [{name: a, provider: simulated, drain: -1s}]\n", "upstreams[0] (a): drain: -1s is negative"},
		"header":             {"upstreams: [{name: a, provider: bedrock, headers: {Authorization: x}}]\n", "headers: Authorization: a key belongs into api_key_env"},
		"secret header":      {"upstreams: [{name: a, provider: bedrock, headers_env: {Host: X}}]\n", "headers: Host is set for each request"},
		"header twice":       {"upstreams: [{name: a, provider: bedrock, headers: {X-A: x}, headers_env: {x-a: X}}]\n", "headers_env: x-a stands in headers too"},
		"header in two ways": {"upstreams: [{name: a, provider: bedrock, headers: {X-A: x, x-a: y}}]\n", "headers: X-A and x-a are the same header"},
		"header from nobody": {"upstreams: [{name: a, provider: bedrock, headers_env: {X-A: ''}}]\n", "headers_env: X-A: the name of an environment variable is missing"},
		"proxy":              {"upstreams: [{name: a, provider: bedrock, proxy: 'proxy.example.com:3128'}]\n", "proxy: "},
		"no proxy":           {"upstreams: [{name: a, provider: bedrock, proxy: none}]\n", ""},
		"half a certificate": {"upstreams: [{name: a, provider: bedrock, tls: {key_file: a}}]\n", "tls: cert_file and key_file go together"},
		"TLS without TLS":    {"upstreams: [{name: a, provider: openai, base_url: 'http://127.0.0.1:1/v1', tls: {ca_file: a}}]\n", "tls: http://127.0.0.1:1/v1 is not https"},
		"unverified":         {"upstreams: [{name: a, provider: anthropic, tls: {insecure_skip_verify: true}}]\n", "tls.insecure_skip_verify: only a server on this machine"},
		"unverified Region":  {"upstreams: [{name: a, provider: bedrock, bedrock: {endpoint: 'https://b.{region}.example.com'}, tls: {insecure_skip_verify: true}}]\n", "tls.insecure_skip_verify: only a server on this machine"},
		"unverified here":    {"upstreams: [{name: a, provider: openai, base_url: 'https://[::1]:8443/v1', tls: {insecure_skip_verify: true}}]\n", ""},
		"verified, or not":   {"upstreams: [{name: a, provider: openai, base_url: 'https://localhost/v1', tls: {insecure_skip_verify: true, ca_file: a}}]\n", "excludes ca_file"},
		"TLS of Regions":     {"upstreams: [{name: a, provider: bedrock, bedrock: {endpoint: 'https://b.{region}.example.com'}, tls: {ca_file: a}}]\n", ""},
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
		var blocks []string
		for _, after := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ := strings.Cut(after, "```")
			blocks = append(blocks, block)
		}
		if len(blocks) < 5 {
			t.Fatalf("%s has %d examples", page, len(blocks))
		}
		example, choice, server, judged, vendors := blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
		routed := Config{}
		if err := decodeConfig([]byte(judged), &routed); !strings.HasPrefix(fmt.Sprint(err), "listen:") || routed.Routing != defaults().Routing { // nothing but this section is there
			t.Errorf("%s: routing: %v, %+v", page, err, routed.Routing)
		}
		chosen := Config{}
		if _ = decodeConfig([]byte(choice), &chosen); len(chosen.Upstreams) != 1 || *chosen.Upstreams[0].Weight != 3 || chosen.Upstreams[0].Probe == nil {
			t.Errorf("%s: an upstream's routing: %+v", page, chosen.Upstreams)
		}
		others := defaults()
		if err := decodeConfig([]byte(vendors), &others); err != nil || len(others.Upstreams) != 2 || others.Upstreams[1].Bedrock == nil {
			t.Fatalf("%s: the vendors' upstreams: %v", page, err)
		}
		for b, i := reflect.ValueOf(*others.Upstreams[1].Bedrock), 0; i < b.NumField(); i++ {
			if b.Field(i).IsZero() {
				t.Errorf("%s does not show %s of bedrock", page, b.Type().Field(i).Name)
			}
		}
		reached := defaults()
		if err := decodeConfig([]byte(server), &reached); err != nil || len(reached.Upstreams) != 1 {
			t.Fatalf("%s: how an upstream is reached: %v", page, err)
		}
		if u, want := reached.Upstreams[0], (upstreamclient.Config{}).WithDefaults(); u.Timeouts.Connect != want.ConnectTimeout || u.Timeouts.FirstToken != want.FirstToken ||
			u.Timeouts.BetweenTokens != want.BetweenTokens || u.MaxIdleConnections != want.MaxIdleConns {
			t.Errorf("%s shows other time limits than the program has", page)
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
	if d := again.Upstreams[0].Simulated.Latency.PerToken.Distribution; d != "fixed" || strings.Contains(string(text), "distribution: \"\"") {
		t.Errorf("the default distribution is not printed:\n%s", text)
	}
	if again.Shutdown.Drain != 90*time.Second || again.Upstreams[0].Simulated.Latency.FirstToken.Value != 5*time.Millisecond || again.Upstreams[0].Simulated.Seed != 3 {
		t.Errorf("%+v", again)
	}
}

// TestServerConfig: what an upstream's keys say reaches its provider, with what the files and the environment hold.
func TestServerConfig(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shown := len(r.TLS.PeerCertificates) > 0; shown != (r.Header.Get("X-Shown") == "yes") {
			t.Errorf("a certificate is shown: %t", shown)
		}
		if r.Header.Get("X-Team") != "research" || r.Header.Get("X-Gateway-Key") != "s3cret" {
			t.Errorf("sent %v", r.Header)
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	private, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	key := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	bad := file("bad.pem", []byte("nothing"))
	t.Setenv("TEST_GATEWAY_KEY", "s3cret")
	for _, provider := range []string{"{provider: openai, base_url: URL/v1", "{provider: anthropic, base_url: URL", "{provider: bedrock, api_key_env: TEST_GATEWAY_KEY, bedrock: {endpoint: URL}"} {
		for _, c := range []struct {
			name, keys string
			want       fault.Kind
			refused    string // when the provider is made
		}{
			{"trusted", "tls: {ca_file: " + ca + "}, headers: {X-Team: research}, headers_env: {X-Gateway-Key: TEST_GATEWAY_KEY}", fault.Throttled, ""},
			{"with a certificate", "tls: {ca_file: " + ca + ", cert_file: " + ca + ", key_file: " + key + "}, headers: {X-Team: research, X-Shown: yes}, headers_env: {X-Gateway-Key: TEST_GATEWAY_KEY}", fault.Throttled, ""},
			{"unverified", "tls: {insecure_skip_verify: true}, headers: {X-Team: research}, headers_env: {X-Gateway-Key: TEST_GATEWAY_KEY}", fault.Throttled, ""},
			{"unknown", "max_idle_connections: 1", fault.Unavailable, ""},
			{"through a proxy that is not there", "proxy: 'http://127.0.0.1:1', tls: {ca_file: " + ca + "}", fault.Unavailable, ""},
			{"no file", "tls: {ca_file: /nowhere}", 0, "tls.ca_file"},
			{"no certificate", "tls: {ca_file: " + bad + "}", 0, "holds no certificate"},
			{"no key", "tls: {cert_file: " + ca + ", key_file: " + bad + "}", 0, "tls.cert_file"},
			{"no variable", "headers_env: {X-Gateway-Key: TEST_NO_SUCH_VARIABLE}", 0, "TEST_NO_SUCH_VARIABLE is not set"},
		} {
			text := "upstreams: [" + strings.Replace(provider, "URL", "'"+s.URL+"'", 1) + ", name: a, " + c.keys + "}]"
			text = strings.Replace(text, "'/v1", "/v1'", 1)
			cfg := defaults()
			if err := decodeConfig([]byte(text), &cfg); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			us, err := upstreams(t.Context(), &cfg, slog.New(slog.DiscardHandler))
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "upstream a") {
					t.Errorf("%s: %v, want %q", text, err, c.refused)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if _, err := us[0].Provider.Send(t.Context(), upstreamtest.Request(true, nil)); !fault.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", text, err, c.want)
			}
			us[0].Provider.Close()
		}
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
// TestCheckConfigAsServe: what check-config takes, serve takes; but that variables may be set only where the server runs.
func TestCheckConfigAsServe(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/outcrop"
	for name, c := range map[string]struct {
		text  string
		want  string // the error; "" is none
		warns string
	}{
		"a certificate":     {text: "tls: {cert_file: no.pem, key_file: no.key}\n", want: "tls: open no.pem"},
		"an authority":      {text: "upstreams: [{name: a, provider: anthropic, tls: {ca_file: no.pem}}]\n", want: "upstream a: tls.ca_file: open no.pem"},
		"one to show":       {text: "upstreams: [{name: a, provider: bedrock, tls: {cert_file: no.pem, key_file: no.key}}]\n", want: "upstream a: tls.cert_file: open no.pem"},
		"a key's file":      {text: "upstreams: [{name: a, provider: anthropic, api_key_file: no.key}]\n", want: "upstream a: api_key_file: open no.key"},
		"an empty key":      {text: "upstreams: [{name: a, provider: anthropic, api_key_file: " + file(t, "empty", "\n") + "}]\n", want: "is empty"},
		"a key in two":      {text: "upstreams: [{name: a, provider: anthropic, api_key_file: " + file(t, "two", "a\nb\n") + "}]\n", want: "upstream a: "},
		"a profile's ARN":   {text: "upstreams: [{name: a, provider: bedrock, bedrock: {profiles: {support: 'arn:aws:bedrock:x'}}}]\n", want: `upstream a: profiles: support: "arn:aws:bedrock:x" is not the ARN of an inference profile`},
		"our profile's ARN": {text: "upstreams: [{name: a, provider: bedrock, bedrock: {profiles: {'arn:aws:bedrock:x': 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc'}}}]\n", want: `upstream a: profiles: "arn:aws:bedrock:x" is not`},
		"a role's ARN":      {text: "upstreams: [{name: a, provider: bedrock, bedrock: {assume_role: {arn: outcrop}}}]\n", want: "upstream a: "},
		"a role":            {text: "upstreams: [{name: a, provider: bedrock, bedrock: {assume_role: {arn: '" + role + "'}}}]\n"},
		"a key's variable":  {text: "upstreams: [{name: a, provider: anthropic, api_key_env: OUTCROP_TEST_UNSET}]\n", warns: "upstreams[0] (a): api_key_env: OUTCROP_TEST_UNSET is not set here"},
		"a key of Bedrock":  {text: "upstreams: [{name: a, provider: bedrock, api_key_env: OUTCROP_TEST_UNSET}]\n", warns: "upstreams[0] (a): api_key_env: OUTCROP_TEST_UNSET is not set here"},
		"a header's":        {text: "upstreams: [{name: a, provider: anthropic, headers_env: {X-A: OUTCROP_TEST_UNSET}}]\n", warns: "upstreams[0] (a): headers_env: X-A: OUTCROP_TEST_UNSET is not set here"},
		"a file after it":   {text: "upstreams: [{name: a, provider: anthropic, api_key_env: OUTCROP_TEST_UNSET, tls: {ca_file: no.pem}}]\n", want: "upstream a: tls.ca_file: open no.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "outcrop.yaml", c.text)
			var out, warnings strings.Builder
			cmd := command()
			cmd.SetArgs([]string{"check-config", path})
			cmd.SetOut(&out)
			cmd.SetErr(&warnings)
			err := cmd.ExecuteContext(t.Context())
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				cfg, err := loadConfig(path)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Listen = "127.0.0.1:0"
				if _, err := New(t.Context(), cfg, t.TempDir(), io.Discard); err == nil {
					t.Error("the server starts with it")
				}
				return
			}
			if err != nil || !strings.Contains(warnings.String(), c.warns) || c.warns == "" && warnings.Len() > 0 {
				t.Errorf("%v, warned of %q, want %q", err, warnings.String(), c.warns)
			}
			if !strings.Contains(out.String(), "- name: a\n") {
				t.Errorf("printed:\n%s", out.String())
			}
		})
	}
}

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
