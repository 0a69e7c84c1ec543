package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestServe(t *testing.T) {
	s := start(t, options{})
	if ok, _ := regexp.MatchString(`^http://127\.0\.0\.1:[1-9][0-9]*$`, s.url); !ok {
		t.Errorf("it listens on %q", s.url)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, err := s.get(path); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	if !strings.Contains(s.err.String(), s.data) {
		t.Errorf("the data folder is not told: %q", s.err)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("after SIGTERM the exit code is %d", code)
	}
	if out := s.out.String(); out != "outcrop: listening on "+s.url+"\n" {
		t.Errorf("it printed %q", out)
	}

	// The same folder again: the profiles are still there, and so is root.
	again := start(t, options{data: s.data, noRoot: true})
	if _, err := again.bedrock("us-east-1").ListInferenceProfiles(deadline(t), &bedrock.ListInferenceProfilesInput{}); err != nil {
		t.Errorf("root after a restart: %v", err)
	}
	if err := again.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := again.wait(); code != 0 {
		t.Errorf("after SIGINT the exit code is %d", code)
	}
}

func TestDefaultFolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the XDG folders are Linux's")
	}
	home := t.TempDir()
	s := start(t, options{data: filepath.Join(home, "outcrop"), command: []string{"serve", "--listen", "127.0.0.1:0"}, env: []string{"XDG_DATA_HOME=" + home}})
	if !strings.Contains(s.err.String(), s.data) {
		t.Errorf("the data folder is not told: %q", s.err)
	}
	if !strings.Contains(s.manage("env"), s.url) {
		t.Error("the data is elsewhere")
	}
}

func TestFolderInUse(t *testing.T) {
	s := start(t, options{})
	r := outcrop(t, nil, "serve", "--listen", "127.0.0.1:0", "--data", s.data)
	if r.code == 0 || strings.Contains(r.stdout, "listening") || !strings.Contains(r.stderr, s.data) || !strings.Contains(r.stderr, "in use") {
		t.Errorf("a second server on the folder: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if status, err := s.get("/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("the first server: %d, %v", status, err)
	}
}

func TestAccount(t *testing.T) {
	for _, c := range []struct{ config, account string }{
		{"", "000000000000"},
		{"account_id: \"123456789012\"\n", "123456789012"},
	} {
		s := start(t, options{config: c.config})
		out, err := sts.NewFromConfig(s.aws("us-east-1")).GetCallerIdentity(deadline(t), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Account != c.account || *out.Arn != "arn:aws:iam::"+c.account+":root" {
			t.Errorf("the account is %s, its root %s; want %s", *out.Account, *out.Arn, c.account)
		}
	}
}

// environment evaluates what `outcrop env` prints in a POSIX shell, and returns what the shell then has.
func environment(t testing.TB, data string, env ...string) map[string]string {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	r := command(t, append(env, "OUTCROP="+bin, "DATA="+data), "sh", "-euc", `lines=$("$OUTCROP" env --data "$DATA"); eval "$lines"; env -0`)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	vars := map[string]string{}
	for _, kv := range strings.Split(r.stdout, "\x00") {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	return vars
}

// clear looks for a secret in every file of a folder, and for files that others may read.
func clear(t testing.TB, folder, secret string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s has the secret in clear text", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRootCredentials(t *testing.T) {
	const hostile = `it's"$HOME"\$(false)&more;#*`
	for _, c := range []struct {
		name string
		env  []string
	}{
		{"random", nil},
		{"given", []string{"OUTCROP_ROOT_ACCESS_KEY_ID=" + rootID, "OUTCROP_ROOT_SECRET_ACCESS_KEY=" + rootSecret}},
		{"given, and hard to quote", []string{"OUTCROP_ROOT_ACCESS_KEY_ID=" + rootID, "OUTCROP_ROOT_SECRET_ACCESS_KEY=" + hostile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{noRoot: true, env: c.env})
			vars := environment(t, s.data, "AWS_SESSION_TOKEN=of-another", "AWS_PROFILE=another")
			who := credentials.NewStaticCredentialsProvider(vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"], "")
			if _, err := sts.NewFromConfig(s.as(who, vars["AWS_REGION"])).GetCallerIdentity(deadline(t), &sts.GetCallerIdentityInput{}); err != nil {
				t.Errorf("with %q: %v", vars["AWS_ACCESS_KEY_ID"], err)
			}
			if vars["AWS_ENDPOINT_URL"] != s.url || vars["AWS_SESSION_TOKEN"] != "" || vars["AWS_PROFILE"] != "" {
				t.Errorf("the shell has endpoint %q, token %q, profile %q", vars["AWS_ENDPOINT_URL"], vars["AWS_SESSION_TOKEN"], vars["AWS_PROFILE"])
			}
			for _, kv := range c.env {
				if k, v, _ := strings.Cut(kv, "="); vars["AWS_"+strings.TrimPrefix(k, "OUTCROP_ROOT_")] != v {
					t.Errorf("%s is %q", k, vars["AWS_"+strings.TrimPrefix(k, "OUTCROP_ROOT_")])
				}
			}
			secret := vars["AWS_SECRET_ACCESS_KEY"]
			if len(secret) < 20 {
				t.Fatalf("the secret has %d characters", len(secret))
			}
			clear(t, s.data, secret)
			if strings.Contains(s.out.String()+s.err.String(), secret) {
				t.Error("the secret is in what the server wrote")
			}
			if code := s.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			clear(t, s.data, secret)
			if after := environment(t, s.data); after["AWS_SECRET_ACCESS_KEY"] != secret || after["AWS_ACCESS_KEY_ID"] != vars["AWS_ACCESS_KEY_ID"] {
				t.Error("the credentials changed when the server stopped")
			}
		})
	}

	t.Run("a user's", func(t *testing.T) {
		s := start(t, options{})
		key, err := s.user("alice", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`).Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		clear(t, s.data, key.SecretAccessKey)
	})

	t.Run("half given", func(t *testing.T) {
		if r := outcrop(t, []string{"OUTCROP_ROOT_ACCESS_KEY_ID=" + rootID}, "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()); r.code == 0 || !strings.Contains(r.stderr, "OUTCROP_ROOT_SECRET_ACCESS_KEY") {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
}

func TestKeyFile(t *testing.T) {
	key := filepath.Join(t.TempDir(), "elsewhere.key")
	s := start(t, options{env: []string{"OUTCROP_KEY_FILE=" + key}})
	info, err := os.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v", info.Mode())
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	clear(t, s.data, strings.TrimSpace(string(text)))
	if vars := environment(t, s.data, "OUTCROP_KEY_FILE="+key); vars["AWS_SECRET_ACCESS_KEY"] != rootSecret {
		t.Error("env does not give the credentials with the key file")
	}
	s.stop()

	// Without that key there are no secrets, and no server that makes up new ones.
	r := outcrop(t, nil, "serve", "--listen", "127.0.0.1:0", "--data", s.data)
	if r.code == 0 || r.stderr == "" || strings.Contains(r.stdout, "listening") {
		t.Errorf("a start with another key: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestCheckConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outcrop.yaml")
	for _, c := range []struct {
		name, text string
		says       []string // of the error; none when the file is right
	}{
		{"empty", "", nil},
		{"comments", "# listen: 127.0.0.1:4141\n", nil},
		{"everything", "listen: 127.0.0.1:0\nshutdown:\n  drain: 1s\nupstreams:\n  - name: a\n    provider: openai\n    base_url: http://127.0.0.1:8080/v1\n    models: {\"*\": \"*\"}\n", nil},
		{"unknown key", "listen: 127.0.0.1:0\nlog:\n  levle: info\n", []string{"levle", "3", "level"}}, //nolint:misspell // the slip is what is looked for
		{"unknown key in a list", "upstreams:\n  - name: a\n    provider: simulated\n  - name: b\n    provider: openai\n    base_ulr: http://127.0.0.1:8080/v1\n", []string{"base_ulr", "6", "base_url"}},
		{"unknown key far down", "upstreams:\n  - name: a\n    provider: simulated\n    simulated:\n      fault: {throttle: 0.1}\n", []string{"fault", "5", "faults"}},
		{"wrong value", "log: {level: loud}\n", []string{"log.level", "loud"}},
		{"wrong type", "shutdown: {drain: soon}\n", []string{"soon"}},
		{"two documents", "listen: 127.0.0.1:0\n---\nlisten: 127.0.0.1:1\n", []string{"document"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, file, c.text)
			r := outcrop(t, nil, "check-config", file)
			if c.says == nil {
				if r.code != 0 || !strings.Contains(r.stdout, "account_id: \"000000000000\"") || !strings.Contains(r.stdout, "drain: ") {
					t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				// What it prints is a configuration again, and the same.
				write(t, file, r.stdout)
				if again := outcrop(t, nil, "check-config", file); again.stdout != r.stdout {
					t.Errorf("its own output it reads as\n%s%s\nfirst\n%s", again.stdout, again.stderr, r.stdout)
				}
				return
			}
			for _, args := range [][]string{{"check-config", file}, {"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--config", file}} {
				r := outcrop(t, nil, args...)
				if r.code == 0 {
					t.Errorf("outcrop %s accepts it: %s", args[0], r.stdout)
				}
				for _, want := range append(c.says, file) {
					if !strings.Contains(r.stderr, want) {
						t.Errorf("outcrop %s does not say %q: %s", args[0], want, r.stderr)
					}
				}
			}
		})
	}
}

// slow is a simulated upstream that streams for seconds.
func slow(perToken, drain string) string {
	return "shutdown: {drain: " + drain + "}\nupstreams:\n  - name: slow\n    provider: simulated\n    simulated:\n      latency:\n        per_token: {value: " + perToken + "}\n"
}

// begun starts a stream and waits for its first event.
func begun(t testing.TB, s *server) *bedrockruntime.ConverseStreamEventStream {
	t.Helper()
	out, err := s.runtime("us-east-1").ConverseStream(deadline(t), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(haiku), Messages: ask("Tell me a long story."), InferenceConfig: &rt.InferenceConfiguration{MaxTokens: aws.Int32(20)},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	if _, ok := (<-stream.Events()).(*rt.ConverseStreamOutputMemberMessageStart); !ok {
		t.Fatalf("the stream did not begin: %v", stream.Err())
	}
	return stream
}

// terminate asks the server to stop and waits until it has heard: nothing answers on its port any more.
func (s *server) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	address := strings.TrimPrefix(s.url, "http://")
	eventually(s.t, "the server stops accepting", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func TestDrain(t *testing.T) {
	s := start(t, options{config: slow("50ms", "30s")})
	stream := begun(t, s)
	s.terminate()
	got := read(stream)
	if got.err != nil || len(got.kinds) == 0 || got.kinds[len(got.kinds)-1] != "metadata" {
		t.Errorf("the stream ended after %v: %v", got.kinds, got.err)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	calls := s.calls()
	if len(calls) != 1 || calls[0].Status != "completed" || calls[0].Estimated || got.usage == nil || calls[0].OutputTokens != int64(*got.usage.OutputTokens) {
		t.Errorf("the ledger says %+v; the stream %+v", calls, got.usage)
	}
	s.manage("verify")
}

func TestDrainIsBounded(t *testing.T) {
	s := start(t, options{config: slow("20s", "200ms")})
	stream := begun(t, s)
	s.terminate()
	if got := read(stream); got.err == nil || slices.Contains(got.kinds, "metadata") {
		t.Errorf("the stream ended well, after %v", got.kinds)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// It was closed by this server, not left to the next one's recovery, and what the upstream did is charged.
	calls := s.calls()
	if len(calls) != 1 || calls[0].Status != "failed" && calls[0].Status != "cancelled" || !calls[0].Estimated || calls[0].NanoUSD <= 0 {
		t.Errorf("the ledger says %+v", calls)
	}
	s.manage("verify")
}

func TestSecondSignal(t *testing.T) {
	s := start(t, options{config: slow("20s", "30s"), killed: true})
	stream := begun(t, s)
	defer stream.Close()
	s.terminate()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.wait(); code == 0 || code == -1 {
		t.Errorf("exit code %d", code)
	}
	again := start(t, options{data: s.data})
	calls := again.settled(1)
	if calls[0].Status != "recovered" || !calls[0].Estimated || calls[0].Reason == "" || calls[0].InputTokens <= 0 {
		t.Errorf("the ledger says %+v", calls)
	}
	again.manage("verify")
}

func TestDemo(t *testing.T) {
	t.Run("exit", func(t *testing.T) {
		r := outcrop(t, nil, "demo", "--exit")
		if r.code != 0 {
			t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		for _, want := range []string{
			"Project=Alpha", "Department=Marketing", "CostCenter=CC-3001", "Environment=Production", // tags
			"Cost by tag Project", "Alpha", "(no tag)", "Cost by profile", "project-alpha-claude-sonnet", "marketing-team-claude-haiku", "support-nova-lite",
			"Cost by caller", "user/alice", ":root", `eval "$(`, "aws bedrock ", "aws ce ",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("it does not print %q", want)
			}
		}
		if t.Failed() {
			t.Logf("%s%s", r.stdout, r.stderr)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		data := t.TempDir()
		s, _ := launch(t, options{data: data, noRoot: true, command: []string{"demo", "--data", data}})
		eventually(t, "the demonstration is over", func() bool { return strings.Contains(s.out.String(), "Ctrl-C") })
		vars := environment(t, data)
		who := credentials.NewStaticCredentialsProvider(vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"], "")
		s.url = vars["AWS_ENDPOINT_URL"]
		if _, err := bedrock.NewFromConfig(s.as(who, "us-east-1")).ListInferenceProfiles(deadline(t), &bedrock.ListInferenceProfilesInput{}); err != nil {
			t.Errorf("it does not stay up: %v", err)
		}
		if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := s.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outcrop"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, certFile, string(certificate))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)

	s := start(t, options{config: "tls: {cert_file: " + certFile + ", key_file: " + keyFile + "}\n"})
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", s.url)
	}
	for _, http2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!http2)
		protocols.SetHTTP2(http2)
		transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}
		counted := &counting{RoundTripper: inMemory{transport}}
		cfg := s.aws("us-east-1")
		cfg.HTTPClient = &http.Client{Transport: counted}
		out, err := bedrockruntime.NewFromConfig(cfg).ConverseStream(deadline(t), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(haiku), Messages: ask("Say hello.")})
		if err != nil {
			t.Errorf("HTTP/2 %v: %v", http2, err)
			continue
		}
		if got := read(out.GetStream()); got.err != nil || got.text == "" {
			t.Errorf("HTTP/2 %v: events %v, error %v", http2, got.kinds, got.err)
		}
		if (counted.http2.Load() == 1) != http2 {
			t.Errorf("HTTP/2 %v: %d answers over HTTP/2, %d over another", http2, counted.http2.Load(), counted.other.Load())
		}
		transport.CloseIdleConnections()
	}
}
