package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// mutationsOf is how many bodies each format is sent, and how many answers each is given: OUTCROP_MUTATIONS, or this.
func mutationsOf(t *testing.T) int {
	n := 2000
	if testing.Short() {
		n = 200
	}
	if s := os.Getenv("OUTCROP_MUTATIONS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// A mutator makes texts that are nearly those of a corpus. Equal seeds make equal texts.
type mutator struct {
	*rand.Rand
	corpus []string
	values []string // of the whole corpus, JSON
	names  []string // likewise, quoted
}

// A span is a JSON value in a text, or with name the name of a member before its value.
type span struct {
	start, end int
	name       bool
}

// spans returns the values and names of a text, as far as it is JSON.
func spans(text string) (all []span) {
	d := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var open []int
	for {
		kind := d.PeekKind()
		if kind == 0 {
			return all
		}
		in, n := d.StackIndex(d.StackDepth())
		tok, err := d.ReadToken()
		if err != nil {
			return all
		}
		end := int(d.InputOffset())
		switch kind {
		case '{', '[':
			open = append(open, end-1)
		case '}', ']':
			all = append(all, span{open[len(open)-1], end, false})
			open = open[:len(open)-1]
		case '"':
			start := strings.LastIndexByte(text[:end-1], '"')
			for start > 0 { // an escaped quote is within the string
				escapes := 0
				for start-escapes > 0 && text[start-escapes-1] == '\\' {
					escapes++
				}
				if escapes%2 == 0 {
					break
				}
				start = strings.LastIndexByte(text[:start], '"')
			}
			all = append(all, span{start, end, in == '{' && n%2 == 0})
		default:
			all = append(all, span{end - len(tok.String()), end, false})
		}
	}
}

func newMutator(seed uint64, corpus []string) *mutator {
	m := &mutator{Rand: rand.New(rand.NewPCG(seed, 0x0c0ffee)), corpus: corpus}
	for _, text := range corpus {
		for _, s := range spans(text) {
			if s.name {
				m.names = append(m.names, text[s.start:s.end])
			} else {
				m.values = append(m.values, text[s.start:s.end])
			}
		}
	}
	if len(m.names) == 0 {
		m.names = []string{`"a"`}
	}
	slices.Sort(m.names)
	m.names = slices.Compact(m.names)
	return m
}

// odd are values that readers stumble over.
var odd = []string{
	`null`, `true`, `false`, `""`, `" "`, `"\n"`, `0`, `-1`, `1`, `0.5`, `2147483648`, `-9223372036854775808`, `18446744073709551616`, `1e308`, `1e999`, `-0`, `1.0`, `[]`, `{}`, `[[]]`, `[{}]`, `[null]`, `{"":{}}`,
	`"\u0000"`, `"\ud800"`, `"\ud83d\ude00"`, "\"\xff\xfe\"", `"data:image/png;base64,"`, `"data:;base64,!!"`, `"s3://bucket/key"`, `"` + strings.Repeat("a", 5000) + `"`, `"` + strings.Repeat("あ", 300) + `"`,
	strings.Repeat("[", 40) + strings.Repeat("]", 40), strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300), strings.Repeat("[", 12000), `[` + strings.Repeat(`{},`, 500) + `{}]`, `[` + strings.Repeat(`"a",`, 3000) + `"a"]`,
	`{"type":"text"}`, `{"type":"none"}`, `{"text":null}`, `{"role":"system","content":""}`, `{"text":"a","image":{}}`, `tru`, `01`, `'a'`, `NaN`,
}

// marks are texts that mean something within a prompt.
var marks = []string{"[INST]", "[/INST]", "<s>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<|image|>", "<<SYS>>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "\\nUser:", "\\nBot:", "\\n\\n", "\\u0000", "\\ud800", "\xc3", "JSON Schema: {"}

// next is another text of the corpus, changed in one place or a few.
func (m *mutator) next() string {
	text := m.corpus[m.IntN(len(m.corpus))]
	for range 1 + m.IntN(3) {
		text = m.change(text)
	}
	return text
}

func (m *mutator) change(text string) string {
	all := spans(text)
	if len(all) == 0 || m.IntN(12) == 0 {
		return m.spoil(text)
	}
	s := all[m.IntN(len(all))]
	old := text[s.start:s.end]
	replaced := func(by string) string { return text[:s.start] + by + text[s.end:] }
	if s.name {
		switch m.IntN(4) {
		case 0: // the member is gone, or the text no JSON
			return text[:s.start] + strings.TrimLeft(text[s.end:], ":")
		case 1: // it comes twice
			return replaced(old + ":" + m.value() + "," + old)
		}
		return replaced(m.names[m.IntN(len(m.names))])
	}
	switch m.IntN(7) {
	case 0, 1:
		return replaced(m.value())
	case 2:
		return replaced(odd[m.IntN(len(odd))])
	case 3: // once more
		return replaced(old + "," + old)
	case 4: // gone, with the comma after it
		return text[:s.start] + strings.TrimPrefix(text[s.end:], ",")
	case 5:
		if m.IntN(2) == 0 {
			return replaced("[" + old + "]")
		}
		return replaced(`{` + m.names[m.IntN(len(m.names))] + `:` + old + `}`)
	}
	if i := s.start + 1 + m.IntN(max(1, len(old)-1)); old[0] == '"' && i < s.end {
		return text[:i] + marks[m.IntN(len(marks))] + text[i:]
	}
	return replaced(m.value())
}

func (m *mutator) value() string {
	if m.IntN(3) == 0 || len(m.values) == 0 {
		return odd[m.IntN(len(odd))]
	}
	return m.values[m.IntN(len(m.values))]
}

// spoil changes bytes, whatever they are.
func (m *mutator) spoil(text string) string {
	if text == "" {
		return odd[m.IntN(len(odd))]
	}
	i := m.IntN(len(text))
	switch m.IntN(4) {
	case 0:
		return text[:i]
	case 1:
		return text[:i] + string([]byte{byte(m.Uint32())}) + text[i:]
	case 2:
		return text[:i] + text[i+1:]
	}
	b := []byte(text)
	b[i] ^= 1 << m.IntN(8)
	return string(b)
}

// alarm is a log that notes what must not be in it.
type alarm struct {
	t    *testing.T
	mu   sync.Mutex
	rang int
}

func (a *alarm) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic")) || bytes.Contains(p, []byte("goroutine ")) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.rang++; a.rang <= 5 {
			a.t.Errorf("logged: %s", p)
		}
	}
	return len(p), nil
}

// serve sends a body through the front end, without a connection.
func (g *gateway) serve(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+g.key)
	w := httptest.NewRecorder()
	g.services.ServeHTTP(w, r)
	return w
}

// workers is how many calls are under way at once: more than processors, since each waits for the disk.
const workers = 16

// flood calls f n times in all, at most workers at once, and checks that it leaves nothing behind: no goroutine, and no
// more than most bytes of memory at any time. It returns the most that were in use.
func flood(t *testing.T, n int, most uint64, f func(worker, i int), settle func()) (peak uint64) {
	t.Helper()
	before := runtime.NumGoroutine()
	var next atomic.Int64
	var top atomic.Uint64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(w, i)
				if i%500 == 0 {
					var s runtime.MemStats
					runtime.ReadMemStats(&s)
					for old := top.Load(); s.HeapInuse > old && !top.CompareAndSwap(old, s.HeapInuse); old = top.Load() {
					}
				}
			}
		})
	}
	wg.Wait()
	settle()
	after := 0
	for range 400 {
		if after = runtime.NumGoroutine(); after <= before {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	if top.Load() > most {
		t.Errorf("%d bytes of memory in use at a time, want %d at most", top.Load(), most)
	}
	return top.Load()
}

// maxMemory is for the whole process: four servers with their stores, the test's own corpus and what sixteen calls need.
const maxMemory = 768 << 20

// TestMutatedBodies sends every format bodies that are nearly right, to every kind of upstream: whatever they are, the
// answer is the caller's to mend or an answer, never a failure of this server.
func TestMutatedBodies(t *testing.T) {
	n := mutationsOf(t)
	log := &alarm{t: t}
	columns := startColumnsLogging(t, log)
	for _, c := range columns {
		if c.vendor != nil {
			c.vendor.answers(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				plainAnswer(c, c.streams(r, body))(w, r)
			})
		}
	}
	var corpus []string
	for i := range inbounds {
		corpus = append(corpus, inbounds[i].bodies(t)...)
	}
	for i := range inbounds {
		in := &inbounds[i]
		t.Run(in.name, func(t *testing.T) {
			var mutators [workers]*mutator
			for w := range mutators {
				mutators[w] = newMutator(uint64(i*workers+w), in.bodies(t))
				other := mutators[(w+workers-1)%workers]
				if other == nil {
					other = newMutator(uint64(w), corpus)
				}
				mutators[w].values = append(mutators[w].values, other.values[:min(len(other.values), 200)]...)
			}
			var answered, refusals atomic.Int64
			start := time.Now()
			peak := flood(t, n, maxMemory, func(w, i int) {
				body := mutators[w].next()
				c := columns[i%len(columns)]
				resp := c.gateway.serve(in.url(i%2 == 0), body)
				switch status := resp.Code; {
				case status == http.StatusOK:
					answered.Add(1)
					// What goes wrong in a stream is told in it: an upstream here never fails.
					if strings.Contains(resp.Body.String(), "internalServerException") || strings.Contains(resp.Body.String(), "api_error") {
						t.Errorf("%s: %q is answered %q", c.title, clipped(body), clipped(resp.Body.String()))
					}
				case status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusForbidden:
					refusals.Add(1)
				default:
					t.Errorf("%s: %q is answered with status %d: %s", c.title, clipped(body), status, clipped(resp.Body.String()))
				}
			}, func() {
				for _, c := range columns {
					if c.vendor != nil {
						c.vendor.CloseClientConnections()
					}
				}
			})
			t.Logf("%d bodies: %d answered, %d refused, %.1f s, at most %d MiB", n, answered.Load(), refusals.Load(), time.Since(start).Seconds(), peak>>20)
			if answered.Load() == 0 || refusals.Load() == 0 {
				t.Error("the bodies are not near to right ones")
			}
		})
		debug.FreeOSMemory()
	}
}

// streams reports whether c's upstream is asked for a stream.
func (c *column) streams(r *http.Request, body []byte) bool {
	if c.format == "converse" {
		return strings.Contains(r.URL.Path, "stream")
	}
	var asked struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(body, &asked, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) == nil && asked.Stream
}

func clipped(s string) string {
	if len(s) > 700 {
		return fmt.Sprintf("%s... (%d bytes)", s[:700], len(s))
	}
	return s
}

// bodies are the requests of all features.
func (in *inbound) bodies(t testing.TB) []string {
	all := []string{in.body(t, "", false), in.body(t, "", true)}
	for _, f := range features {
		if members, ok := in.features[f.name]; ok {
			all = append(all, in.body(t, members, len(all)%2 == 0))
		}
	}
	return all
}

// TestMutatedAnswers lets every kind of upstream answer nearly right: whatever it says, each call ends, in an answer or in an
// error of the model's, and is settled.
func TestMutatedAnswers(t *testing.T) {
	n := mutationsOf(t)
	log := &alarm{t: t}
	for _, c := range startColumnsLogging(t, log) {
		if c.vendor == nil {
			continue
		}
		t.Run(c.title, func(t *testing.T) {
			var wholes, events []string
			var streams []*answer
			for _, a := range c.answersOf() {
				wholes, events, streams = append(wholes, a.whole), append(events, a.events...), append(streams, a)
			}
			var ins []*inbound // those whose requests come here in this column's format
			for i := range inbounds {
				ins = append(ins, &inbounds[i])
			}
			// Each request tells by its seed which answer is its own.
			c.vendor.answers(func(w http.ResponseWriter, r *http.Request) {
				var seed uint64
				body, _ := io.ReadAll(r.Body)
				if i := bytes.Index(body, []byte("SEED-")); i >= 0 {
					_, _ = fmt.Sscanf(string(body[i:min(len(body), i+30)]), "SEED-%d-", &seed)
				}
				if !c.streams(r, body) {
					m := newMutator(seed, wholes[seed%uint64(len(wholes)):][:1])
					a := answer{whole: m.next()}
					a.write(w, c.format, false)
					return
				}
				m := newMutator(seed, events)
				a := *streams[seed%uint64(len(streams))]
				a.events = slices.Clone(a.events)
				for range 1 + m.IntN(2) {
					i := m.IntN(len(a.events))
					name, payload, named := strings.Cut(a.events[i], " ")
					if c.format != "converse" || !named {
						name, payload = "", a.events[i]
					} else {
						name += " "
					}
					switch m.IntN(6) {
					case 0:
						a.events = slices.Delete(a.events, i, i+1)
					case 1:
						a.events = slices.Insert(a.events, i, a.events[m.IntN(len(a.events))])
					case 2:
						a.events = a.events[:i]
					default:
						one := newMutator(seed, []string{payload})
						one.values = append(one.values, m.values...)
						a.events[i] = name + one.next()
					}
					if len(a.events) == 0 {
						break
					}
				}
				a.writeAs(w, c, r.URL.Path)
			})
			var answered, failed atomic.Int64
			start := time.Now()
			peak := flood(t, n, maxMemory, func(_, i int) {
				in := ins[i%len(ins)]
				resp := c.gateway.serve(in.url(i/len(ins)%2 == 0), strings.Replace(in.body(t, "", i/len(ins)%2 == 0), "hello", "SEED-"+strconv.Itoa(i)+"-", 1))
				switch status := resp.Code; status {
				case http.StatusOK:
					answered.Add(1)
				case http.StatusInternalServerError:
					if !strings.HasPrefix(in.path, "/") { // on other vendors' doors a model's error has that status
						t.Errorf("%s: answer %d: status %d: %s", in.name, i, status, clipped(resp.Body.String()))
					}
					failed.Add(1)
				default:
					failed.Add(1)
				}
			}, c.vendor.CloseClientConnections)
			t.Logf("%d answers: %d passed on, %d told as errors, %.1f s, at most %d MiB", n, answered.Load(), failed.Load(), time.Since(start).Seconds(), peak>>20)
			if entries := c.gateway.entries(t); len(entries) != n {
				t.Errorf("%d calls have %d entries", n, len(entries))
			}
		})
	}
}

// answersOf are answers in the format in which c's upstream is asked.
func (c *column) answersOf() []*answer {
	all := []*answer{plain[c.format]}
	for i := range outcomes {
		if a := outcomes[i].answers[c.format]; a != nil {
			all = append(all, a)
		}
	}
	return all
}

// writeAs writes a's events, as chunks where InvokeModel was asked for.
func (a *answer) writeAs(w http.ResponseWriter, c *column, path string) {
	if !strings.Contains(path, "/invoke") {
		a.write(w, c.format, true)
		return
	}
	m := teller{w: w, native: &[3]string{}}
	m.begin()
	for _, e := range a.events {
		_, payload, _ := strings.Cut(e, " ")
		m.event(payload)
	}
}

// embeddings are the formats of requests for embeddings, with bodies of the vendors' documents.
var embeddings = []struct {
	name, path string
	bodies     []string
}{
	{"InvokeModel: Titan Embed Text v2", "/model/amazon.titan-embed-text-v2:0/invoke", []string{
		`{"inputText":"hello"}`, `{"inputText":"hello","dimensions":512,"normalize":false,"embeddingTypes":["float","binary"]}`,
	}},
	{"InvokeModel: Titan Embed Text v1", "/model/amazon.titan-embed-text-v1/invoke", []string{`{"inputText":"hello"}`}},
	{"InvokeModel: Cohere Embed", "/model/cohere.embed-english-v3/invoke", []string{
		`{"texts":["hello","world"],"input_type":"search_document"}`,
		`{"texts":["hello"],"input_type":"classification","truncate":"END","embedding_types":["float","int8","uint8","binary","ubinary"]}`,
	}},
	{"OpenAI Embeddings", "/openai/v1/embeddings", []string{
		`{"model":"amazon.titan-embed-text-v2:0","input":"hello"}`,
		`{"model":"cohere.embed-english-v3","input":["hello","world"],"encoding_format":"base64","user":"u"}`,
		`{"model":"amazon.titan-embed-text-v2:0","input":[15339,1917],"dimensions":256,"encoding_format":"float"}`,
	}},
}

// TestMutatedEmbeddings is TestMutatedBodies for requests for embeddings.
func TestMutatedEmbeddings(t *testing.T) {
	n := mutationsOf(t)
	models := map[string]string{"amazon.titan-embed-text-v2:0": "embed", "amazon.titan-embed-text-v1": "embed", "cohere.embed-english-v3": "embed"}
	log := &alarm{t: t}
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Input any `json:"input"`
		}
		inputs := 1
		if err := json.UnmarshalRead(r.Body, &asked, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			t.Errorf("the upstream is asked what is no JSON: %v", err)
		}
		if list, ok := asked.Input.([]any); ok && len(list) > 0 {
			if _, ok := list[0].(string); ok {
				inputs = len(list)
			}
		}
		var b strings.Builder
		for i := range inputs {
			fmt.Fprintf(&b, `,{"object":"embedding","index":%d,"embedding":[0.5,-0.25,0,1,0.5,-0.25,0,1]}`, i)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"list","model":"embed","data":[%s],"usage":{"prompt_tokens":3,"total_tokens":3}}`, b.String()[1:])
	})
	gateways := []*gateway{
		startGatewayLogging(t, log, func(cfg *Config) {
			cfg.Upstreams = []UpstreamConfig{{Name: "sim", Provider: "simulated", Models: models}}
		}),
		startGatewayLogging(t, log, func(cfg *Config) { cfg.Upstreams = []UpstreamConfig{v.to(t, "openai", models)} }),
	}
	for i := range embeddings {
		in := &embeddings[i]
		t.Run(in.name, func(t *testing.T) {
			var mutators [workers]*mutator
			for w := range mutators {
				mutators[w] = newMutator(uint64(1000+i*workers+w), in.bodies)
			}
			var answered, refusals atomic.Int64
			peak := flood(t, n, maxMemory, func(w, i int) {
				body := mutators[w].next()
				resp := gateways[i%len(gateways)].serve(in.path, body)
				switch status := resp.Code; {
				case status == http.StatusOK:
					answered.Add(1)
				case status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusForbidden:
					refusals.Add(1)
				default:
					t.Errorf("%q is answered with status %d: %s", clipped(body), status, clipped(resp.Body.String()))
				}
			}, v.CloseClientConnections)
			t.Logf("%d bodies: %d answered, %d refused, at most %d MiB", n, answered.Load(), refusals.Load(), peak>>20)
			if answered.Load() == 0 || refusals.Load() == 0 {
				t.Error("the bodies are not near to right ones")
			}
		})
	}
}
