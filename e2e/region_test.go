package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// regionEnv makes this program a simulated Region instead of a test: its value is the Region's name, "=", the address to
// listen on, "=", and the file to which it adds a byte for each call that reaches it. The file outlives a kill.
const regionEnv = "OUTCROP_E2E_REGION"

// How a simulated Region behaves.
const (
	isWell      = "well"
	isSilent    = "silent"     // it takes calls and never answers
	isThrottled = "throttled"  // 429
	isWaiting   = "waiting"    // 429 with Retry-After: 2
	isFailing   = "failing"    // 500
	cutsBefore  = "cut-before" // the connection breaks after the status, before the first event
	cutsAfter   = "cut-after"  // it breaks after the first events of a stream; a whole answer is not broken
	isSlow      = "slow"       // everything takes slowdown times as long
)

const slowdown = 20

// The times of a simulated Region that is well: every answer and every stream begins after first and a little more, drawn
// from an exponential distribution with the mean spread, and the events of a stream follow one another after gap.
const (
	first  = 12 * time.Millisecond
	spread = 3 * time.Millisecond
	gap    = 2 * time.Millisecond
)

// serveRegion is the process of a simulated Region: a server of OpenAI's chat completions whose answers begin with the
// Region's name, and PUT /behaviour, which changes how it behaves.
func serveRegion(spec string) error {
	name, rest, _ := strings.Cut(spec, "=")
	address, file, _ := strings.Cut(rest, "=")
	reached, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin) // it ends with the test, however that ends
		os.Exit(1)
	}()
	var behaviour atomic.Value
	behaviour.Store(isWell)
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /behaviour", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		behaviour.Store(string(text))
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		reached.Write([]byte{'.'})
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answerAs(behaviour.Load().(string), name, w, r, bytes.Contains(body, []byte(`"stream":true`)))
	})
	return http.Serve(l, mux)
}

// answerAs answers one call.
func answerAs(behaviour, name string, w http.ResponseWriter, r *http.Request, stream bool) {
	pace := 1.0
	if behaviour == isSlow {
		pace = slowdown
	}
	wait := func(d time.Duration) {
		select {
		case <-time.After(time.Duration(pace * float64(d))):
		case <-r.Context().Done():
		}
	}
	switch behaviour {
	case isSilent:
		<-r.Context().Done()
		return
	case isWaiting:
		w.Header().Set("Retry-After", "2")
		fallthrough
	case isThrottled:
		http.Error(w, `{"error":{"message":"Rate limit reached","type":"rate_limit_error"}}`, http.StatusTooManyRequests)
		return
	case isFailing:
		http.Error(w, `{"error":{"message":"The server had an error","type":"server_error"}}`, http.StatusInternalServerError)
		return
	}
	wait(first + time.Duration(rand.ExpFloat64()*float64(spread)))
	const usage = `"usage":{"prompt_tokens":20,"completion_tokens":6,"total_tokens":26}`
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		if behaviour == cutsBefore {
			io.WriteString(w, `{"id":"c","object":"chat.completion",`)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"%s answers you."},"finish_reason":"stop"}],%s}`, name, usage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(choices, more string) {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[%s]%s}\n\n", choices, more)
		http.NewResponseController(w).Flush()
	}
	if behaviour == cutsBefore {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for i, word := range []string{name, " answers", " you", " in", " five", " pieces."} {
		if i > 0 {
			wait(gap)
		}
		if i == 3 && behaviour == cutsAfter {
			panic(http.ErrAbortHandler)
		}
		send(fmt.Sprintf(`{"index":0,"delta":{"role":"assistant","content":%q}}`, word), "")
	}
	send(`{"index":0,"delta":{},"finish_reason":"stop"}`, "")
	send("", ","+usage)
	io.WriteString(w, "data: [DONE]\n\n")
}

// region is a simulated Region as its test sees it.
type region struct {
	t       testing.TB
	name    string
	address string
	reached string // the file

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it is dead
}

// startRegion starts a Region on a port of its own, which it keeps.
func startRegion(t testing.TB, name string) *region {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, name: name, address: l.Addr().String(), reached: filepath.Join(t.TempDir(), name)}
	l.Close()
	r.start()
	t.Cleanup(r.kill)
	return r
}

// start starts the process and waits until it listens. One that runs already is left alone.
func (r *region) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		r.t.Error(err)
		return
	}
	cmd := exec.Command(self)
	cmd.Env = append(environ(r.t), regionEnv+"="+r.name+"="+r.address+"="+r.reached)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // which ends with this process
		r.t.Error(err)
		return
	}
	if err := cmd.Start(); err != nil {
		r.t.Error(err)
		return
	}
	r.cmd = cmd
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("tcp", r.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			r.t.Errorf("Region %s does not listen: %v", r.name, err)
			return
		}
	}
}

// kill ends the process as kill -9 does.
func (r *region) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Kill()
	r.cmd.Wait()
	r.cmd = nil
}

// freeze stops the process where it stands, or lets it go on.
func (r *region) freeze(stop bool) {
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Error(err)
	}
}

// behave changes how the Region behaves.
func (r *region) behave(how string) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPut, "http://"+r.address+"/behaviour", strings.NewReader(how))
	if err != nil {
		r.t.Error(err)
		return
	}
	resp, err := httpClient.Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	if err != nil {
		r.t.Error(err)
	}
}

// calls is how many calls have reached the Region.
func (r *region) calls() int {
	info, err := os.Stat(r.reached)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		r.t.Error(err)
		return 0
	}
	return int(info.Size())
}
