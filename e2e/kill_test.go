package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// killed is what the callers of TestKill know of their calls.
type killed struct {
	mu        sync.Mutex
	sent      int                 // requests that were sent
	begun     map[string]bool     // ids of answers of which the header came
	completed map[string][2]int64 // ids of answers that came whole, with the tokens they told
	refused   []string            // answers that are no success
}

func (k *killed) begin(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun[id] = true
}

func (k *killed) complete(id string, input, output int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.completed[id] = [2]int64{input, output}
}

type tokens struct {
	Usage struct {
		Input  int64 `json:"inputTokens"`
		Output int64 `json:"outputTokens"`
	} `json:"usage"`
}

// once makes one call and notes how far it came. It reports whether the server still lives, by the connection.
func (k *killed) once(ctx context.Context, client *http.Client, base, model string, stream bool) bool {
	address := base + "/model/" + escape(model) + "/converse"
	if stream {
		address += "-stream"
	}
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	r, err := sign(ctx, "POST", address, "bedrock", "us-east-1", []byte(converseBody), root, time.Now())
	if err != nil {
		return false
	}
	k.mu.Lock()
	k.sent++
	k.mu.Unlock()
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	id := resp.Header.Get("X-Amzn-Requestid")
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.refused = append(k.refused, fmt.Sprintf("%s %s: %s", id, resp.Status, body))
		return err == nil
	}
	k.begin(id)
	var used tokens
	body, err := io.ReadAll(resp.Body)
	if !stream {
		if err == nil && json.Unmarshal(body, &used) == nil {
			k.complete(id, used.Usage.Input, used.Usage.Output)
		}
		return err == nil
	}
	// A stream is whole with its last event, even if the connection breaks right after it.
	decoder, frames := eventstream.NewDecoder(), bytes.NewReader(body)
	for {
		m, decodeErr := decoder.Decode(frames, nil)
		if decodeErr != nil {
			break // the end, or a torn frame
		}
		if e := m.Headers.Get(":event-type"); e != nil && e.String() == "metadata" && json.Unmarshal(m.Payload, &used) == nil {
			k.complete(id, used.Usage.Input, used.Usage.Output)
		}
	}
	return err == nil
}

// load calls without pause, over every kind of call, until ctx ends or the server is gone.
func (k *killed) load(ctx context.Context, base string, callers int, models []string) {
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := i; ctx.Err() == nil && k.once(ctx, client, base, models[n%len(models)], n/len(models)%2 == 1); n++ {
			}
		})
	}
	all.Wait()
}

// check compares the ledger of a stopped server with what the callers know.
func (k *killed) check(t *testing.T, s *server) (counts map[string]int) {
	t.Helper()
	s.manage("verify")
	counts = map[string]int{}
	seen := map[string]int{}
	var nano int64
	for _, c := range s.calls() {
		seen[c.ID]++
		counts[c.Status]++
		nano += c.NanoUSD
		used, whole := k.completed[c.ID]
		switch {
		case seen[c.ID] > 1:
			t.Errorf("%s stands %d times in the ledger", c.ID, seen[c.ID])
		case whole && (c.Status != "completed" || c.Estimated || c.Unrated || c.InputTokens != used[0] || c.OutputTokens != used[1] || c.NanoUSD <= 0):
			t.Errorf("the caller has the whole answer, with %d tokens in and %d out; the ledger says %+v", used[0], used[1], c)
		case c.Status == "recovered" && (!c.Estimated || c.Reason == "" || c.InputTokens <= 0):
			t.Errorf("a recovered call is not marked: %+v", c)
		}
	}
	for id := range k.completed {
		if seen[id] == 0 {
			t.Errorf("%s was answered whole and is not in the ledger", id)
		}
	}
	unknown := len(seen)
	for id := range k.begun {
		if seen[id] == 0 {
			t.Errorf("%s was begun and is not in the ledger", id)
		}
		unknown--
	}
	// Of the rest the callers saw nothing: no more of them than of requests without an answer.
	if lost := k.sent - len(k.begun) - len(k.refused); unknown > lost {
		t.Errorf("the ledger has %d calls that no caller knows, and only %d requests were left without an answer", unknown, lost)
	}
	// Cost Explorer's total is made of other rows than the calls are.
	again := start(t, options{data: s.data, config: killConfig})
	total := again.grouped(deadline(t), "UnblendedCost", nil)[""]
	if want := big9(nano); total == nil || total.Cmp(want) != 0 {
		t.Errorf("Cost Explorer's total is %v, the calls' %v", total, want)
	}
	return counts
}

const killConfig = `
upstreams:
  - name: sim
    provider: simulated
    simulated:
      latency:
        first_token: {distribution: lognormal, value: 10ms, sigma: 0.5}
        per_token: {value: 1ms}
`

// TestKill kills the server under load, again and again, on one data folder. However it dies: every call of which a
// caller has the whole answer has exactly one settled entry with the tokens that the caller was told; every other call
// of which a caller saw the beginning is settled, or closed by recovery and marked so; no call stands twice; totals are
// the sums of their rows.
func TestKill(t *testing.T) {
	kills := 100
	if text := os.Getenv("KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KILLS is %q", text)
		}
		kills = n
	}
	first := start(t, options{config: killConfig})
	ctx := t.Context()
	models := []string{
		first.profile(ctx, "us-east-1", "killed", modelARN("us-east-1", haiku), map[string]string{"Project": "Alpha"}),
		first.profile(ctx, "us-east-1", "killed too", systemARN("us-east-1", haikuProfile), map[string]string{"Project": "Beta"}),
		haiku, haikuProfile,
	}
	if code := first.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", kills, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := &killed{begun: map[string]bool{}, completed: map[string][2]int64{}}
	for n := range kills {
		s := start(t, options{data: first.data, config: killConfig, killed: true})
		load, stop := context.WithCancel(ctx)
		callers, done := 16+random.IntN(17), make(chan struct{})
		go func() {
			defer close(done)
			k.load(load, s.url, callers, models)
		}()
		// A random moment: from the first requests, when the last start's recovery is barely over, to a busy server. One
		// time in four while it is stopping in good order.
		time.Sleep(time.Duration(random.Int64N(int64(600 * time.Millisecond))))
		if n%4 == 3 {
			s.cmd.Process.Signal(os.Interrupt)
			time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		}
		s.cmd.Process.Kill()
		<-s.ended
		stop()
		<-done
	}
	last := start(t, options{data: first.data, config: killConfig})
	if code := last.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	counts := k.check(t, last)
	t.Logf("%d requests, %d answers begun, %d whole, %d refused; in the ledger: %v", k.sent, len(k.begun), len(k.completed), len(k.refused), counts)
	if len(k.completed) < 10*kills || counts["recovered"] == 0 {
		t.Errorf("too little happened to prove anything: %d whole answers, %d recovered", len(k.completed), counts["recovered"])
	}
	for _, r := range k.refused[:min(5, len(k.refused))] {
		t.Errorf("a call was refused: %s", r)
	}
}
