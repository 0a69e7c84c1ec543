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
	doors     map[*door]int       // how many answers of each came whole
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

// answers is how many have begun.
func (k *killed) answers() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.begun)
}

func (k *killed) complete(d *door, id string, input, output int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doors[d]++
	k.completed[id] = [2]int64{input, output}
}

// door is one way to ask a model.
type door struct {
	path  func(model string) string
	body  func(model string) string
	usage func(answer []byte) (input, output int64, whole bool) // what a whole answer told
}

// tokens is how Bedrock, Messages and Responses tell usage, each in its own names.
type tokens struct {
	Input     int64 `json:"inputTokens"`
	Output    int64 `json:"outputTokens"`
	Input2    int64 `json:"input_tokens"`
	Output2   int64 `json:"output_tokens"`
	Prompt    int64 `json:"prompt_tokens"`
	Completed int64 `json:"completion_tokens"`
}

func (u *tokens) told() (input, output int64) {
	return u.Input + u.Input2 + u.Prompt, u.Output + u.Output2 + u.Completed
}

// framed looks for the event in which a stream of Bedrock tells its usage. A stream is whole with it, even if the connection
// breaks right after.
func framed(usage func(event string, payload []byte) *tokens) func([]byte) (int64, int64, bool) {
	return func(answer []byte) (input, output int64, whole bool) {
		decoder, frames := eventstream.NewDecoder(), bytes.NewReader(answer)
		for {
			m, err := decoder.Decode(frames, nil)
			if err != nil {
				return input, output, whole // the end, or a torn frame
			}
			if e := m.Headers.Get(":event-type"); e != nil {
				if u := usage(e.String(), m.Payload); u != nil {
					input, output = u.told()
					whole = true
				}
			}
		}
	}
}

// serverSent does so with server-sent events. What follows the last empty line is torn.
func serverSent(usage func(data []byte) *tokens) func([]byte) (int64, int64, bool) {
	return func(answer []byte) (input, output int64, whole bool) {
		events := bytes.Split(answer, []byte("\n\n"))
		for _, e := range events[:len(events)-1] {
			if _, data, ok := bytes.Cut(e, []byte("data: ")); ok {
				if u := usage(data); u != nil {
					input, output = u.told()
					whole = true
				}
			}
		}
		return input, output, whole
	}
}

const killText = "Say hello, and then tell me at some length what a clear view of one's costs is good for."

// streams are the doors that stream.
var streams = []door{
	{
		path: func(model string) string { return "/model/" + escape(model) + "/converse-stream" },
		body: func(string) string {
			return `{"messages":[{"role":"user","content":[{"text":"` + killText + `"}]}],"inferenceConfig":{"maxTokens":60}}`
		},
		usage: framed(func(event string, payload []byte) *tokens {
			var m struct{ Usage tokens }
			if event != "metadata" || json.Unmarshal(payload, &m) != nil {
				return nil
			}
			return &m.Usage
		}),
	},
	{
		path: func(model string) string { return "/model/" + escape(model) + "/invoke-with-response-stream" },
		body: func(string) string {
			return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":40,"messages":[{"role":"user","content":"` + killText + `"}]}`
		},
		usage: framed(func(event string, payload []byte) *tokens {
			var chunk struct{ Bytes []byte }
			var m struct {
				Metrics *struct {
					Input  int64 `json:"inputTokenCount"`
					Output int64 `json:"outputTokenCount"`
				} `json:"amazon-bedrock-invocationMetrics"`
			}
			if event != "chunk" || json.Unmarshal(payload, &chunk) != nil || json.Unmarshal(chunk.Bytes, &m) != nil || m.Metrics == nil {
				return nil
			}
			return &tokens{Input: m.Metrics.Input, Output: m.Metrics.Output}
		}),
	},
	{
		path: func(string) string { return "/anthropic/v1/messages" },
		body: func(model string) string {
			return `{"model":"` + model + `","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"` + killText + `"}]}`
		},
		usage: serverSent(func(data []byte) *tokens {
			var m struct {
				Type  string
				Usage tokens
			}
			if json.Unmarshal(data, &m) != nil || m.Type != "message_delta" {
				return nil
			}
			return &m.Usage
		}),
	},
	{
		path: func(string) string { return "/openai/v1/chat/completions" },
		body: func(model string) string {
			return `{"model":"` + model + `","max_tokens":30,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"` + killText + `"}]}`
		},
		usage: serverSent(func(data []byte) *tokens {
			var m struct{ Usage *tokens }
			if json.Unmarshal(data, &m) != nil {
				return nil
			}
			return m.Usage
		}),
	},
	{
		path: func(string) string { return "/openai/v1/responses" },
		body: func(model string) string {
			return `{"model":"` + model + `","max_output_tokens":70,"stream":true,"input":"` + killText + `"}`
		},
		usage: serverSent(func(data []byte) *tokens {
			var m struct {
				Type     string
				Response struct{ Usage tokens }
			}
			if json.Unmarshal(data, &m) != nil || m.Type != "response.completed" && m.Type != "response.incomplete" {
				return nil
			}
			return &m.Response.Usage
		}),
	},
}

// plain is the door that does not.
var plain = door{
	path: func(model string) string { return "/model/" + escape(model) + "/converse" },
	body: func(string) string { return converseBody },
	usage: func(answer []byte) (input, output int64, whole bool) {
		var m struct{ Usage tokens }
		if json.Unmarshal(answer, &m) != nil {
			return 0, 0, false
		}
		input, output = m.Usage.told()
		return input, output, true
	},
}

// once makes one call and notes how far it came. It reports whether the server still lives, by the connection.
func (k *killed) once(ctx context.Context, client *http.Client, base, model string, d *door) bool {
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	r, err := sign(ctx, "POST", base+d.path(model), "bedrock", "us-east-1", []byte(d.body(model)), root, time.Now())
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
	body, err := io.ReadAll(resp.Body)
	if input, output, whole := d.usage(body); whole {
		k.complete(d, id, input, output)
	}
	return err == nil
}

// load calls without pause, so many streams at a time and a few calls that do not stream, over every kind of call, until ctx
// ends or the server is gone.
func (k *killed) load(ctx context.Context, base string, models []string) {
	const streaming, others = 64, 4
	transport := &http.Transport{MaxIdleConnsPerHost: streaming + others}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := range streaming + others {
		all.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				d := &plain
				if i < streaming {
					d = &streams[n%len(streams)]
				}
				if !k.once(ctx, client, base, models[n/len(streams)%len(models)], d) {
					return
				}
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
	k := &killed{doors: map[*door]int{}, begun: map[string]bool{}, completed: map[string][2]int64{}}
	for n := range kills {
		// A random moment: from the first requests, when the last start's recovery is barely over, to a busy server, which a
		// slow machine reaches later. One time in four while it is stopping in good order, one in eight while it starts.
		// Either way of syncing loses nothing by it.
		o := options{data: first.data, config: killConfig, killed: true}
		if n%2 == 0 {
			o.config += "ledger: {sync: interval}\n"
		}
		if n%8 == 1 {
			s, _ := launch(t, o)
			time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
			s.cmd.Process.Kill()
			<-s.ended
			continue
		}
		s := start(t, o)
		load, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.load(load, s.url, models)
		}()
		for target := k.answers() + random.IntN(400); k.answers() < target; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		if n%4 == 3 {
			s.cmd.Process.Signal(os.Interrupt)
			time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		}
		s.cmd.Process.Kill()
		<-s.ended
		stop()
		<-done
		if (n+1)%100 == 0 {
			t.Logf("%d kills: %d requests, %d answers begun, %d whole", n+1, k.sent, len(k.begun), len(k.completed))
		}
	}
	last := start(t, options{data: first.data, config: killConfig})
	if code := last.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	counts := k.check(t, last)
	t.Logf("%d requests, %d answers begun, %d whole, %d refused; in the ledger: %v", k.sent, len(k.begun), len(k.completed), len(k.refused), counts)
	if len(k.completed) < kills || len(k.doors) <= len(streams) || counts["recovered"] == 0 {
		t.Errorf("too little happened to prove anything: %d whole answers, of %d kinds, %d recovered", len(k.completed), len(k.doors), counts["recovered"])
	}
	for _, r := range k.refused[:min(5, len(k.refused))] {
		t.Errorf("a call was refused: %s", r)
	}
}
