package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outcrop/routing"
)

// TestProbe: a server that fails its probes is out without a call, and in again when they go well. A probe has the headers of
// calls, and no key.
func TestProbe(t *testing.T) {
	var status, asked atomic.Int64
	status.Store(500)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/health" || r.URL.RawQuery != "deep=1" || r.Header.Get("X-Team") != "research" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
		io.WriteString(w, strings.Repeat("x", 100<<10)) // more than is read
	}))
	defer up.Close()
	t.Setenv("KEY", "secret")
	c := defaults()
	if err := decodeConfig([]byte("upstreams:\n  - name: gpu\n    provider: openai\n    base_url: "+up.URL+"/v1\n    api_key_env: KEY\n    headers: {X-Team: research}\n    probe: {path: /health?deep=1}\n"), &c); err != nil {
		t.Fatal(err)
	}
	table := routing.New(c.Routing.routing(), time.Now())
	target := table.Target(routing.Name{Upstream: "gpu", Model: "m"})
	ps, err := probers(&c, table, slog.New(slog.DiscardHandler))
	if err != nil || len(ps) != 1 || ps[0].every != 5*time.Second {
		t.Fatalf("%d probers, %v", len(ps), err)
	}
	ps[0].every = 50 * time.Millisecond // which a probe has to be answered in, too
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { ps[0].run(ctx); close(done) }()
	until := func(want routing.Health) {
		t.Helper()
		for range 60_000 {
			if table.Status(time.Now())[0].Health == want {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatal("the probes change nothing")
	}
	until(routing.Out)
	status.Store(404) // it is there
	until(routing.Well)
	stop()
	<-done
	if _, r := target.Begin(time.Now(), routing.Try{}); r != routing.Granted || asked.Load() < 7 {
		t.Errorf("%v after %d probes", r, asked.Load())
	}
	up.Close()
	if err := ps[0].ask(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestRoutingConfig(t *testing.T) {
	c := defaults()
	if got := c.Routing.routing(); got.Breaker != routing.Defaults.Breaker || got.Budget != routing.Defaults.Budget || got.Ejection != routing.Defaults.Ejection ||
		got.WarmUp != routing.Defaults.WarmUp || got.Throttle != routing.Defaults.Throttle || got.MaxThrottle != routing.Defaults.MaxThrottle || got.AffinityLoad != routing.Defaults.AffinityLoad ||
		got.Silence != routing.Defaults.Silence {
		t.Errorf("the defaults are %+v", got)
	}
	upstream := func(rest string) string {
		return "upstreams:\n  - {name: a, provider: openai, base_url: \"http://127.0.0.1/v1\", " + rest + "}"
	}
	for text, says := range map[string]string{
		"routing: {breaker: {failures: 0}}":                                   "routing.breaker.failures",
		"routing: {breaker: {rate: 0}}":                                       "routing.breaker.rate",
		"routing: {breaker: {rate: 1.1}}":                                     "routing.breaker.rate",
		"routing: {breaker: {open: 5s, max_open: 1s}}":                        "routing.breaker.max_open",
		"routing: {breaker: {open: 0s}}":                                      "routing.breaker.open",
		"routing: {retry_budget: {ratio: 2}}":                                 "routing.retry_budget.ratio",
		"routing: {retry_budget: {floor: -1}}":                                "routing.retry_budget.floor",
		"routing: {ejection: {latency: 1}}":                                   "routing.ejection.latency",
		"routing: {max_throttle: 1ms}":                                        "routing.max_throttle",
		"routing: {silence: -1s}":                                             "routing.silence",
		"routing: {affinity_load: 0.9}":                                       "routing.affinity_load",
		"routing: {policy: fastest}":                                          "routing.policy",
		"routing: {policy: priority us-east-1}":                               "routing.policy",
		"routing: {breaker: {failure: 3}}":                                    `did you mean "failures"`,
		upstream("weight: -1"):                                                "weight",
		upstream("probe: {path: health}"):                                     "probe.path",
		upstream("probe: {path: /health, interval: 1ms}"):                     "probe.interval",
		"upstreams: [{name: a, provider: simulated, probe: {path: /health}}]": "provider simulated has none",
		"upstreams: [{name: a, provider: anthropic, probe: {path: /health}}]": "base_url is missing",
	} {
		c := defaults()
		if err := decodeConfig([]byte(text), &c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", text, err, says)
		}
	}
	c = defaults()
	if err := decodeConfig([]byte("routing: {retry_budget: {ratio: 0, floor: 0}, ejection: {share: 0}, policy: latency hedge=p95}\n"+upstream("weight: 0")), &c); err != nil {
		t.Fatal(err)
	}
	if r := c.Routing.routing(); r.Budget != (routing.BudgetConfig{}) || r.Ejection.Share != 0 || r.Breaker != routing.Defaults.Breaker {
		t.Errorf("what is set to 0 is %+v", r)
	}
	us, err := upstreams(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil || !us[0].Standby {
		t.Errorf("%v, %+v", err, us)
	}
}
