//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// gateway is one thing to measure.
type gateway struct {
	*process `json:"-"` // nil: nothing between the load and the upstream
	addr     string
	request  func(g *gateway, stream bool, now time.Time) []byte // a whole request
	verify   func(body []byte, stream bool) error
	audit    func(*gateway) (string, error) // after all: is everything recorded that should be?

	Name    string  `json:"name"`
	IdleMiB float64 `json:"idle_mib"`
	Answers int     `json:"answers"` // good ones in all, with warm-up
	Tokens  int     `json:"tokens"`  // of those answers
	Audit   string  `json:"audit,omitempty"`
}

// check sends one request of each kind.
func (g *gateway) check() error {
	for _, stream := range []bool{false, true} {
		k := &conn{client: &client{gateway: g, work: workload{Stream: stream}}}
		deadline := time.Now().Add(15 * time.Second)
		for { // a new key may take a moment to be known
			err := k.exchange(deadline)
			k.drop()
			if err == nil {
				g.Answers++
				g.Tokens += answerSize
				if stream {
					g.Tokens += streamSize - answerSize
				}
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("stream %t: %w", stream, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	return nil
}

// buffers is the pool that httputil.ReverseProxy asks for.
type buffers struct{ sync.Pool }

func (p *buffers) Get() []byte  { return *p.Pool.Get().(*[]byte) }
func (p *buffers) Put(b []byte) { p.Pool.Put(&b) }

// serveReverseProxy is `bench revproxy -to URL`: the least that Go's standard library needs to be a good reverse proxy.
// It flushes event streams at once by itself; asking it to flush everything would cost it a write more an answer.
func serveReverseProxy(args []string) error {
	flags := flag.NewFlagSet("revproxy", flag.ExitOnError)
	to := flags.String("to", "", "upstream `URL`")
	_ = flags.Parse(args)
	target, err := url.Parse(*to)
	if err != nil || target.Host == "" {
		return errors.New("revproxy: -to must be a URL")
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("revproxy: listening on http://%s\n", l.Addr())
	pool := &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}
	return http.Serve(l, &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		BufferPool: pool,
		Transport:  &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: 2 * time.Minute, DisableCompression: true},
	})
}

func (b *bench) startReverseProxy(self string) (*gateway, error) {
	g := &gateway{Name: "revproxy", request: openAI, verify: verifyOpenAI}
	var err error
	if g.process, err = b.launch(exec.CommandContext(context.Background(), self, "revproxy", "-to", "http://"+b.upstream.addr), g.Name, true); err != nil {
		return g, err
	}
	g.addr, err = g.listening()
	return g, err
}

func (b *bench) startNginx(path string) (*gateway, error) {
	g := &gateway{Name: "nginx", request: openAI, verify: verifyOpenAI}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return g, err
	}
	g.addr = l.Addr().String()
	l.Close()
	folder := filepath.Join(b.folder, g.Name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return g, err
	}
	conf := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  client_body_buffer_size 64k;
  keepalive_requests 100000000;
  upstream fake { server %[2]s; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen %[3]s;
    location / {
      proxy_pass http://fake;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`, folder, b.upstream.addr, g.addr)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return g, err
	}
	g.process, err = b.launch(exec.CommandContext(context.Background(), path, "-e", filepath.Join(folder, "error.log"), "-p", folder, "-c", conf), g.Name, true)
	return g, err // check waits until it listens
}

const (
	account    = "000000000000"
	rootID     = "AKIAOUTCROPBENCHROOT"
	rootSecret = "outcrop-bench-root-secret-0123456789abcdef"
)

// policyText is what the user who sends the load may do: the usual two statements for an application inference profile,
// so that both the profile and the model behind it are decided on, one of them under a condition.
const policyText = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],
  "Resource":"arn:aws:bedrock:us-east-1:` + account + `:application-inference-profile/*"},
 {"Effect":"Allow","Action":["bedrock:InvokeModel*"],"Resource":"arn:aws:bedrock:*::foundation-model/*",
  "Condition":{"StringLike":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:us-east-1:` + account + `:application-inference-profile/*"}}},
 {"Effect":"Allow","Action":"ce:GetCostAndUsage","Resource":"*"}]}`

// startOutcrop starts Outcrop before the fake upstream and makes what the load needs: a profile, and a user with a
// policy and a key (root would be let through without a policy being asked).
func (b *bench) startOutcrop(path string) (*gateway, error) {
	g := &gateway{Name: "outcrop", verify: verifyConverse}
	folder := filepath.Join(b.folder, g.Name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return g, err
	}
	data, conf, policy := filepath.Join(folder, "data"), filepath.Join(folder, "outcrop.yaml"), filepath.Join(folder, "policy.json")
	text := fmt.Sprintf(`upstreams:
  - name: fake
    provider: openai
    base_url: http://%s/v1
    regions: [%s]
    models:
      %q: %s
`, b.upstream.addr, region, foundationModel, upstreamModel)
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.WriteFile(policy, []byte(policyText), 0o600)); err != nil {
		return g, err
	}
	cmd := exec.CommandContext(context.Background(), path, "serve", "--listen", "127.0.0.1:0", "--data", data, "--config", conf)
	cmd.Env = append(os.Environ(), "OUTCROP_ROOT_ACCESS_KEY_ID="+rootID, "OUTCROP_ROOT_SECRET_ACCESS_KEY="+rootSecret)
	var err error
	if g.process, err = b.launch(cmd, g.Name, true); err != nil {
		return g, err
	}
	if g.addr, err = g.listening(); err != nil {
		return g, err
	}
	outcrop := func(args ...string) ([]byte, error) {
		out, err := exec.CommandContext(context.Background(), path, append(args, "--data", data, "--config", conf)...).Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return nil, fmt.Errorf("outcrop %s %s: %s", args[0], args[1], bytes.TrimSpace(exit.Stderr))
		}
		return out, err
	}
	if _, err := outcrop("users", "create", "bench"); err != nil {
		return g, err
	}
	if _, err := outcrop("users", "put-policy", "bench", "load", policy); err != nil {
		return g, err
	}
	out, err := outcrop("keys", "create", "bench", "--json")
	if err != nil {
		return g, err
	}
	var key struct{ AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal(out, &key); err != nil {
		return g, err
	}
	user := &signer{key.AccessKeyID, key.SecretAccessKey, region}
	var made struct{ InferenceProfileARN string }
	err = g.call(&signer{rootID, rootSecret, region}, "bedrock", "/inference-profiles", "application/json", "", `{"inferenceProfileName":"bench",`+
		`"modelSource":{"copyFrom":"arn:aws:bedrock:`+region+`::foundation-model/`+foundationModel+`"},`+
		`"tags":[{"key":"Project","value":"Bench"},{"key":"CostCenter","value":"1234"}]}`, &made)
	if err != nil {
		return g, err
	}
	g.request = converse(user, made.InferenceProfileARN)
	g.audit = func(g *gateway) (string, error) { return g.audited(user) }
	return g, nil
}

// call makes one call of the control plane.
func (g *gateway) call(s *signer, service, path, contentType, target, body string, answer any) error {
	k := &conn{client: &client{gateway: &gateway{
		addr: g.addr,
		request: func(g *gateway, _ bool, now time.Time) []byte {
			var extra [][2]string
			if target != "" {
				extra = append(extra, [2]string{"x-amz-target", target})
			}
			return s.request(service, g.addr, path, contentType, extra, []byte(body), now)
		},
		verify: func(body []byte, _ bool) error { return json.Unmarshal(body, answer) },
	}}}
	defer k.drop()
	err := k.exchange(time.Now().Add(10 * time.Second))
	if err != nil {
		return fmt.Errorf("%s%s: %w", path, target, err)
	}
	return nil
}

// audited compares the tokens that Outcrop has charged with those of the answers that the load has seen.
func (g *gateway) audited(user *signer) (string, error) {
	g.freeze(false)
	defer g.freeze(true)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	body := fmt.Sprintf(`{"TimePeriod":{"Start":%q,"End":%q},"Granularity":"MONTHLY","Metrics":["UsageQuantity"],"GroupBy":[{"Type":"DIMENSION","Key":"USAGE_TYPE"}]}`,
		today.AddDate(0, 0, -1).Format(time.DateOnly), today.AddDate(0, 0, 1).Format(time.DateOnly))
	type month struct {
		Groups []struct {
			Keys    []string
			Metrics map[string]struct{ Amount, Unit string }
		}
	}
	var report struct{ ResultsByTime []month }
	var seen string
	for range 20 {
		if err := g.call(user, "ce", "/", "application/x-amz-json-1.1", "AWSInsightsIndexService.GetCostAndUsage", body, &report); err != nil {
			return "", err
		}
		seen = fmt.Sprintf("%+v", report)
		for _, m := range report.ResultsByTime {
			for _, group := range m.Groups {
				for _, metric := range group.Metrics {
					if n, err := strconv.ParseFloat(metric.Amount, 64); err == nil && int(n*1000+.5) == g.Tokens {
						return fmt.Sprintf("all %d output tokens of %d answers are charged", g.Tokens, g.Answers), nil
					}
				}
			}
		}
		time.Sleep(250 * time.Millisecond)
	}
	return "", fmt.Errorf("the answers had %d output tokens, which is not what was charged: %s", g.Tokens, seen)
}
