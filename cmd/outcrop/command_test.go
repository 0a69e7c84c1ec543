package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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
				if !strings.Contains(text, "export AWS_ENDPOINT_URL=http://127.0.0.1:") || strings.Contains(text, ":4141") {
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
