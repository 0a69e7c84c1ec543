package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bt "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
)

// small makes dir a disk of its own, of so many megabytes.
func small(t *testing.T, dir string, megabytes int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", megabytes)); err != nil {
		t.Skipf("a disk cannot be mounted here: %v", err) // it takes a privilege: ledger's TestDiskFull and TestIndexFull do without
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// fill leaves no room on the disk of dir.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, ballast))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// free undoes it.
func free(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, ballast)); err != nil {
		t.Fatal(err)
	}
}

// held is a server of OpenAI's chat completions whose streams stop in the middle until they are released. sent is how many it
// has ended.
func held(t *testing.T) (url string, release func(), sent *atomic.Int32) {
	gate := make(chan struct{})
	sent = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		const usage = `"usage":{"prompt_tokens":20,"completion_tokens":6,"total_tokens":26}`
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],%s}`, usage)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(choices, more string) {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[%s]%s}\n\n", choices, more)
			http.NewResponseController(w).Flush()
		}
		send(`{"index":0,"delta":{"role":"assistant","content":"onehalf"}}`, "")
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
		send(`{"index":0,"delta":{"content":"otherhalf"}}`, "")
		send(`{"index":0,"delta":{},"finish_reason":"stop"}`, "")
		send("", ","+usage)
		io.WriteString(w, "data: [DONE]\n\n")
		http.NewResponseController(w).Flush()
		sent.Add(1)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", sync.OnceFunc(func() { close(gate) }), sent
}

// stream is an answer as far as it has come.
type stream struct {
	id, status string // once it has begun
	mu         sync.Mutex
	text       bytes.Buffer
	ended      chan struct{}
	err        error // once it has ended
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *stream) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text.Bytes())
}

// ask asks through d and reads on in the background.
func (s *server) ask(ctx context.Context, d *door, model string) *stream {
	s.t.Helper()
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	r, err := sign(ctx, "POST", s.url+d.path(model), "bedrock", "us-east-1", []byte(d.body(model)), root, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	a := &stream{ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		resp, err := httpClient.Do(r)
		if err != nil {
			a.err = err
			return
		}
		a.id, a.status = resp.Header.Get("X-Amzn-Requestid"), resp.Status+" "+resp.Header.Get("X-Amzn-Errortype")
		_, a.err = io.Copy(a, resp.Body)
		resp.Body.Close()
	}()
	return a
}

// createUser calls IAM.
func (s *server) createUser(ctx context.Context, name string) (status int, text string) {
	s.t.Helper()
	form := "Action=CreateUser&Version=2010-05-08&UserName=" + name
	r, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form))
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	if err := v4.NewSigner().SignHTTP(ctx, root, r, hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now()); err != nil {
		s.t.Fatal(err)
	}
	resp, err := httpClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// wait waits for the answer's end.
func (s *stream) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("an answer does not end: %q", s.bytes())
	}
}

// refusals is how each door tells that the ledger cannot record: what its clients read as a passing trouble of the server.
var refusals = map[*door][]string{
	&plain:      {"503 Service Unavailable ServiceUnavailableException", `{"message":"The usage ledger cannot record calls at the moment.`},
	&streams[0]: {"503 Service Unavailable ServiceUnavailableException", `{"message":"The usage ledger cannot record calls at the moment.`},
	&streams[1]: {"503 Service Unavailable ServiceUnavailableException", `{"message":"The usage ledger cannot record calls at the moment.`},
	&streams[2]: {"529 ", `{"type":"error","error":{"type":"overloaded_error","message":"The usage ledger cannot record calls at the moment.`},
	&streams[3]: {"503 Service Unavailable", `{"error":{"message":"The usage ledger cannot record calls at the moment.`},
	&streams[4]: {"503 Service Unavailable", `{"error":{"message":"The usage ledger cannot record calls at the moment.`},
}

// TestFull fills the disk under the server: that of the journal, that of the database, and one that both are on. What cannot be
// recorded is refused in the words of the caller's API; what runs is held back, not cut; nothing that was answered is lost; and
// when there is room again all goes on without a start.
func TestFull(t *testing.T) {
	for _, c := range []struct {
		name              string
		journal, database bool
	}{{"journal", true, false}, {"database", false, true}, {"both", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			small(t, data, 16)
			full := data
			if c.journal != c.database { // each has a disk of its own
				small(t, filepath.Join(data, "journal"), 16)
				if c.journal {
					full = filepath.Join(data, "journal")
				}
			}
			upstream, release, sent := held(t)
			config := "upstreams:\n  - name: held\n    provider: openai\n    base_url: " + upstream + "\n    models: {\"*\": \"*\"}\n"
			s := start(t, options{data: data, config: config})
			t.Cleanup(release) // or the server does not stop
			ctx := deadline(t)
			control := s.bedrock("us-east-1")
			model := s.profile(ctx, "us-east-1", "full", modelARN("us-east-1", haiku), nil)
			whole := map[string]bool{} // ids of the answers that came whole
			call := func() *stream {
				a := s.ask(ctx, &plain, model)
				a.wait(t)
				if strings.HasPrefix(a.status, "200") {
					whole[a.id] = true
				} else if !strings.HasPrefix(a.status, "503") {
					t.Fatalf("%s: %s", a.status, a.bytes())
				}
				return a
			}
			call()
			var running []*stream
			var doors []*door
			const streaming = 16
			for i := range streaming {
				d := &streams[[]int{0, 2, 3, 4}[i%4]] // the other's text is in base64
				running, doors = append(running, s.ask(ctx, d, model)), append(doors, d)
			}
			for _, a := range running {
				eventually(t, "a stream begins", func() bool { return bytes.Contains(a.bytes(), []byte("onehalf")) })
			}

			fill(t, full)
			if c.journal {
				// The journal has room that it took before. The last call that it takes may have to wait with its end.
				eventually(t, "a call is refused", func() bool {
					a := s.ask(ctx, &plain, model)
					select {
					case <-a.ended:
					case <-time.After(time.Second):
						running, doors = append(running, a), append(doors, &plain)
						return false
					}
					if strings.HasPrefix(a.status, "200") {
						whole[a.id] = true
					}
					return strings.HasPrefix(a.status, "503")
				})
				for d, want := range refusals {
					a := s.ask(ctx, d, model)
					a.wait(t)
					if text := string(a.bytes()); !strings.HasPrefix(a.status, want[0]) || !strings.HasPrefix(text, want[1]) {
						t.Errorf("%s is refused with %s: %s", d.path("MODEL"), a.status, text)
					}
				}
				if status, err := s.get("/readyz"); err != nil || status != http.StatusServiceUnavailable {
					t.Errorf("/readyz: %d, %v", status, err)
				}
			}
			made := map[string]bool{}
			if c.database {
				change := func() error {
					name := fmt.Sprint("made ", len(made))
					_, err := control.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
						InferenceProfileName: &name, ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN("us-east-1", haiku)},
					})
					if err == nil {
						made[name] = true
					}
					return err
				}
				// The database's log has room that it took before.
				var err error
				eventually(t, "a change is refused", func() bool { err = change(); return err != nil })
				for range 2 { // the first one, and when it is known
					if code(err) != "ServiceUnavailableException" {
						t.Errorf("a change is refused with %v", err)
					}
					err = change()
				}
				if status, text := s.createUser(ctx, "late"); status != http.StatusServiceUnavailable || !strings.Contains(text, "<Code>ServiceUnavailable</Code>") {
					t.Errorf("a change of IAM is refused with %d: %s", status, text)
				}
				if _, err := control.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{}); err != nil {
					t.Errorf("a read: %v", err)
				}
			}
			if c.database && !c.journal {
				for range 20 {
					if a := call(); !whole[a.id] {
						t.Fatalf("a call while the database has no room: %s %s", a.status, a.bytes())
					}
				}
				eventually(t, "/readyz tells", func() bool {
					status, err := s.get("/readyz")
					return err == nil && status == http.StatusServiceUnavailable
				})
			}

			// The streams end only when they are recorded.
			release()
			eventually(t, "the upstream has answered", func() bool { return int(sent.Load()) == streaming })
			for i, a := range running {
				if !c.journal {
					a.wait(t)
				} else if _, _, told := doors[i].usage(a.bytes()); told {
					t.Errorf("a stream has ended while it could not be recorded: %q", a.bytes())
				}
			}

			free(t, full)
			for i, a := range running {
				a.wait(t)
				if input, output, told := doors[i].usage(a.bytes()); !told || a.err != nil || input != 20 || output != 6 {
					t.Errorf("a stream ended with %q, %v", a.bytes(), a.err)
				}
				whole[a.id] = true
			}
			eventually(t, "calls are taken again", func() bool { return strings.HasPrefix(call().status, "200") })
			eventually(t, "changes are taken again", func() bool {
				name := "again"
				_, err := control.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
					InferenceProfileName: &name, ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN("us-east-1", haiku)},
				})
				return err == nil
			})
			eventually(t, "the server is ready", func() bool {
				status, err := s.get("/readyz")
				return err == nil && status == http.StatusOK
			})
			if code := s.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			s.manage("verify")
			s.manage("audit", "verify")
			seen := map[string]int{}
			for _, l := range s.calls() {
				if seen[l.ID]++; whole[l.ID] && (l.Status != "completed" || l.InputTokens != 20 || l.OutputTokens != 6) || !whole[l.ID] && l.NanoUSD != 0 {
					t.Errorf("the ledger says %+v", l)
				}
			}
			for id := range whole {
				if seen[id] != 1 {
					t.Errorf("%s was answered whole and is in the ledger %d times", id, seen[id])
				}
			}
			record := s.manage("audit", "export")
			for name := range made {
				if !strings.Contains(record, name+`"`) {
					t.Errorf("%q was made and is not in the audit record", name)
				}
			}
			t.Logf("%d calls answered, %d changes made", len(whole), len(made))
		})
	}
}

// TestFullStart kills the server on a full disk. The next one says why it cannot start, loses nothing by trying, and starts when
// there is room.
func TestFullStart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	small(t, data, 16)
	upstream, release, _ := held(t)
	t.Cleanup(release)
	config := "upstreams:\n  - name: held\n    provider: openai\n    base_url: " + upstream + "\n    models: {\"*\": \"*\"}\n"
	s := start(t, options{data: data, config: config, killed: true})
	ctx := deadline(t)
	whole := map[string]bool{}
	for range 10 {
		a := s.ask(ctx, &plain, haiku)
		a.wait(t)
		whole[a.id] = true
	}
	open := s.ask(ctx, &streams[0], haiku)
	eventually(t, "a stream begins", func() bool { return bytes.Contains(open.bytes(), []byte("onehalf")) })
	fill(t, data)
	s.cmd.Process.Kill()
	<-s.ended
	open.wait(t)

	file := filepath.Join(t.TempDir(), "outcrop.yaml")
	write(t, file, config)
	for range 2 {
		if r := outcrop(t, nil, "serve", "--listen", "127.0.0.1:0", "--data", data, "--config", file); r.code != 1 || !strings.Contains(r.stderr, "full") && !strings.Contains(r.stderr, "no space left") {
			t.Errorf("a start on a full disk: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}
	free(t, data)
	again := start(t, options{data: data, config: config})
	if code := again.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	again.manage("verify")
	again.manage("audit", "verify")
	calls := again.calls()
	for _, l := range calls {
		if whole[l.ID] != (l.Status == "completed") || !whole[l.ID] && (l.ID != open.id || l.Status != "recovered") {
			t.Errorf("the ledger says %+v", l)
		}
	}
	if len(calls) != len(whole)+1 {
		t.Errorf("the ledger has %d calls, want %d", len(calls), len(whole)+1)
	}
}
