package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/fault"
	"outcrop/store"
)

// run runs the program's command in this process and returns what it printed.
func run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// TestEnvWhileServeStarts: `outcrop serve & eval "$(outcrop env)"`, on a folder that does not exist and on one that does.
func TestEnvWhileServeStarts(t *testing.T) {
	for range 3 {
		dir := filepath.Join(t.TempDir(), "data")
		for start := range 2 {
			ctx, stop := context.WithCancel(t.Context())
			var server sync.WaitGroup
			server.Go(func() {
				if _, err := run(ctx, "serve", "--listen", "127.0.0.1:0", "--data", dir); err != nil {
					t.Errorf("start %d: serve: %v", start, err)
				}
			})
			var clients sync.WaitGroup
			var mu sync.Mutex
			said := map[string]bool{}
			for range 4 {
				clients.Go(func() {
					text, err := run(ctx, "env", "--data", dir)
					if err != nil {
						t.Errorf("start %d: env: %v", start, err)
					}
					mu.Lock()
					defer mu.Unlock()
					said[text] = true
				})
			}
			clients.Wait()
			stop()
			server.Wait()
			if len(said) != 1 {
				t.Errorf("start %d: env said different things: %v", start, said)
			}
			for text := range said {
				if !strings.Contains(text, "export AWS_ENDPOINT_URL=http://127.0.0.1:") || strings.Contains(text, ":4141\n") {
					t.Errorf("start %d: env said %q", start, text)
				}
			}
		}
	}
}

func TestNoServer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop() // so that nothing is waited for
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := run(ctx, "users", "list", "--data", dir); !errors.Is(err, store.ErrNotReady) || !strings.Contains(err.Error(), "outcrop serve") {
		t.Errorf("a folder that is not there: %v", err)
	}
	for listen, want := range map[string]string{
		"127.0.0.1:4141": "https://127.0.0.1:4141", "0.0.0.0:80": "https://127.0.0.1:80", ":80": "https://127.0.0.1:80",
		"[::]:80": "https://127.0.0.1:80", "[::1]:80": "https://[::1]:80", "gateway.example:80": "https://gateway.example:80", "127.0.0.1:0": "",
	} {
		c := defaults()
		c.Listen, c.TLS.CertFile = listen, "server.pem"
		if got, err := endpoint(ctx, dir, &c); got != want || (err == nil) != (want != "") {
			t.Errorf("listen %s: %q, %v; want %q", listen, got, err, want)
		}
	}
}

// TestDemoTwice: the second demonstration on a folder finds what the first has made.
func TestDemoTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var arn string
	for i := range 3 {
		out, err := run(t.Context(), "demo", "--exit", "--data", dir)
		if err != nil {
			t.Fatalf("demonstration %d: %v", i+1, err)
		}
		_, rest, _ := strings.Cut(out, "arn:aws:bedrock:")
		now, _, _ := strings.Cut(rest, "\n")
		if now == "" || arn != "" && now != arn {
			t.Errorf("demonstration %d: profile %q, before %q", i+1, now, arn)
		}
		arn = now
	}
}

// TestDemoNext: what a demonstration that has ended tells to type needs a server, and one on the folder where it is kept.
func TestDemoNext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	kept := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct{ args, want []string }{
		{nil, []string{" serve\n", " env)\"\n", "--model-id anthropic."}},
		{[]string{"--data", kept}, []string{" serve --data " + kept + "\n", " env --data " + kept + ")\"\n", "--model-id project-alpha-claude-sonnet "}},
	} {
		out, err := run(t.Context(), append([]string{"demo", "--exit"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("demo --exit %v does not say %q:\n%s", c.args, want, out)
			}
		}
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"keys", "list"}, "outcrop keys list USER"},
		{[]string{"users", "put-policy", "alice"}, "outcrop users put-policy USER NAME FILE"},
		{[]string{"check-config"}, "outcrop check-config FILE"},
		{[]string{"serve", "now"}, "outcrop serve"},
	} {
		if _, err := run(t.Context(), c.args...); err == nil || !strings.Contains(err.Error(), "usage: "+c.want) {
			t.Errorf("%v: %v; want the usage, %s", c.args, err, c.want)
		}
	}
}

// TestEmptyArguments: a variable that is not set is not the default.
func TestEmptyArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--listen", ""}, "--listen is empty"},
		{[]string{"serve", "--data="}, "--data is empty"},
		{[]string{"demo", "--exit", "--data", ""}, "--data is empty"},
		{[]string{"users", "list", "--config", ""}, "--config is empty"},
		{[]string{"env", "--region", ""}, "--region is empty"},
		{[]string{"serve", "--listen", "4141"}, `listen: "4141" is not of the form HOST:PORT`},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := run(ctx, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	conflict := fault.New(fault.Conflict, "User with name a already exists.")
	for _, c := range []struct {
		err  error
		want string
	}{
		{conflict, "User with name a already exists."},
		{fmt.Errorf("demo: %w", conflict), "demo: User with name a already exists."},
		{errors.New("conflict: of ours"), "conflict: of ours"},
	} {
		if got := words(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestUSD(t *testing.T) {
	for _, c := range []struct {
		nano    int64
		unrated bool
		about   string
		want    string
	}{
		{0, false, "", "0"}, {1500, false, "", "0.0000015"}, {1500, false, "~", "~0.0000015"},
		{0, true, "", "unrated"}, {1500, true, "", "0.0000015 + unrated"},
	} {
		if got := usd(c.nano, c.unrated, c.about); got != c.want {
			t.Errorf("%d %t: %q, want %q", c.nano, c.unrated, got, c.want)
		}
	}
}

// printed runs the command and returns what it printed to the process's own output.
func printed(t *testing.T, args ...string) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out := os.Stdout
	os.Stdout = w
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	_, err = run(t.Context(), args...)
	os.Stdout = out
	w.Close()
	defer r.Close()
	return <-text, err
}

// TestBearerKeys is the life of an API key, as an administrator sees it beside a server that runs.
func TestBearerKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := defaults()
	c.Listen, c.Region = "127.0.0.1:0", "eu-west-1"
	ctx, stop := context.WithCancel(t.Context())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := New(ctx, c, dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- errors.Join(s.Run(ctx, func(string) {}), s.Close()) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	keys := func(args ...string) string {
		t.Helper()
		out, err := printed(t, append(append([]string{"keys"}, args...), "--data", dir)...)
		if err != nil {
			t.Fatalf("keys %v: %v", args, err)
		}
		return out
	}
	var key struct {
		UserName, ServiceSpecificCredentialId, ServiceCredentialAlias, ServiceCredentialSecret string
		ExpirationDate                                                                         time.Time
	}
	if err := json.Unmarshal([]byte(keys("create", "--bearer", "--days", "30", "--json")), &key); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.UserName, "BedrockAPIKey-") || key.ServiceCredentialAlias != key.UserName+"-at-000000000000" ||
		key.ExpirationDate.Before(time.Now().AddDate(0, 0, 29)) {
		t.Errorf("%+v", key)
	}
	// The Region is the configuration's, unless the host's name has one.
	call := func(host string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/inference-profiles?maxResults=1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+key.ServiceCredentialSecret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for host, want := range map[string]string{"": ":bedrock:eu-west-1:", "bedrock.us-west-2.amazonaws.com": ":bedrock:us-west-2:"} {
		if status, body := call(host); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%q: %d %s", host, status, body)
		}
	}
	if out := keys("list", key.UserName); !strings.Contains(out, key.ServiceSpecificCredentialId+"  API key  Active") || strings.Contains(out, key.ServiceCredentialSecret) {
		t.Error(out)
	}
	keys("deactivate", key.UserName, key.ServiceSpecificCredentialId)
	if out := keys("list", key.UserName); !strings.Contains(out, "Inactive") {
		t.Error(out)
	}
	keys("activate", key.UserName, key.ServiceSpecificCredentialId)
	if out := keys("create", key.UserName, "--bearer"); !strings.Contains(out, "Expires       never") || !strings.Contains(out, "APIKey        ABSK") || !strings.Contains(out, "\nexport AWS_BEARER_TOKEN_BEDROCK=ABSK") {
		t.Error(out)
	}
	keys("delete", key.UserName, key.ServiceSpecificCredentialId)
	if out := keys("list", key.UserName); strings.Contains(out, key.ServiceSpecificCredentialId) {
		t.Error(out)
	}
	for _, args := range [][]string{{"create"}, {"create", key.UserName, "--days", "3"}, {"create", "--bearer", "--days", "-1"}, {"create", "--bearer", "nobody"}} {
		if _, err := printed(t, append(append([]string{"keys"}, args...), "--data", dir)...); err == nil {
			t.Errorf("keys %v went well", args)
		}
	}
	for _, args := range [][]string{{"create", key.UserName, "--bearer", "--days", "0"}, {"create", key.UserName, "--days", "0"}} {
		if _, err := printed(t, append(append([]string{"keys"}, args...), "--data", dir)...); err == nil || !strings.Contains(err.Error(), "--days") {
			t.Errorf("keys %v: %v", args, err)
		}
	}
	if out := keys("create", key.UserName); !strings.Contains(out, "\nexport AWS_ACCESS_KEY_ID=AKIA") || !strings.Contains(out, " AWS_SECRET_ACCESS_KEY=") {
		t.Errorf("how the key is used is not told:\n%s", out)
	}
	if out, err := printed(t, "users", "list", "--data", dir); err != nil || strings.Count(out, "BedrockAPIKey-") != 2 { // the name and the ARN of one
		t.Errorf("%s %v", out, err)
	}
}
