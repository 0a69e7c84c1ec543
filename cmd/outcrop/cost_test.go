package main

import (
	"encoding/base64"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// allocated is what the process allocates while f runs, at the least of a few runs: the server's own rounds, of the
// indexer or of looking for changes, are not f's. pause is for the indexer to be done with the run before.
func allocated(tb testing.TB, runs int, pause time.Duration, f func()) (objects, size float64) {
	tb.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or what the pools hold goes
	f()
	for i := range runs {
		time.Sleep(pause)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		n, b := float64(after.Mallocs-before.Mallocs), float64(after.TotalAlloc-before.TotalAlloc)
		if i == 0 || n < objects {
			objects = n
		}
		if i == 0 || b < size {
			size = b
		}
	}
	return objects, size
}

// streamRoute is a way of a streamed answer through the server.
type streamRoute struct {
	name, path, body string
	upstream         func(*rig) *scripted
	stream           func(tb testing.TB, words int) [][]byte
}

const (
	converseText = `{"messages":[{"role":"user","content":[{"text":"Why?"}]}],"inferenceConfig":{"maxTokens":4000}}`
	messagesText = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":4000,"messages":[{"role":"user","content":"Why?"}]}`
	chatText     = `{"model":"` + openaiModel + `","stream":true,"max_tokens":4000,"messages":[{"role":"user","content":"Why?"}]}`
)

var streamRoutes = []streamRoute{
	{"Converse/openai", "/model/" + openaiModel + "/converse-stream", converseText, theOpenAI, func(_ testing.TB, n int) [][]byte { return openaiStream(n) }},
	{"Converse/anthropic", "/model/" + anthropicModel + "/converse-stream", converseText, theAnthropic, func(_ testing.TB, n int) [][]byte { return anthropicStream(n) }},
	{"Converse/bedrock", "/model/" + bedrockModel + "/converse-stream", converseText, theBedrock, converseFrames},
	{"InvokeModel/anthropic", "/model/" + anthropicModel + "/invoke-with-response-stream", messagesText, theAnthropic, func(_ testing.TB, n int) [][]byte { return anthropicStream(n) }},
	{"InvokeModel/bedrock", "/model/" + bedrockClaude + "/invoke-with-response-stream", messagesText, theBedrock, chunkFrames},
	{"InvokeModel/openai", "/model/" + openaiModel + "/invoke-with-response-stream", `{"max_tokens":4000,"messages":[{"role":"user","content":"Why?"}]}`, theOpenAI, func(_ testing.TB, n int) [][]byte { return openaiStream(n) }},
	{"ChatCompletions/openai", "/openai/v1/chat/completions", chatText, theOpenAI, func(_ testing.TB, n int) [][]byte { return openaiStream(n) }},
}

func theOpenAI(r *rig) *scripted    { return r.openai }
func theAnthropic(r *rig) *scripted { return r.anthropic }
func theBedrock(r *rig) *scripted   { return r.bedrock }

// BenchmarkStreamAllocs is what one more event of a streamed answer allocates, in the whole way through the server: the
// slope between a short and a long stream. In bursts the upstream writes as fast as it can, else each event waits until
// the one before has reached the caller.
func BenchmarkStreamAllocs(b *testing.B) {
	r := newRig(b)
	for _, c := range streamRoutes {
		for _, paced := range []bool{false, true} {
			name := c.name + "/burst"
			if paced {
				name = c.name + "/paced"
			}
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					objects, size := r.perEvent(b, &c, paced, 4)
					b.ReportMetric(objects, "allocs/event")
					b.ReportMetric(size, "B/event")
				}
				b.ReportMetric(0, "ns/op") // it is of the upstream's pace
			})
		}
	}
}

// perEvent measures one route.
func (r *rig) perEvent(tb testing.TB, c *streamRoute, paced bool, runs int) (objects, size float64) {
	const short, long = 32, 232 // a paced one is over before the next look at the database
	up, k := c.upstream(r), r.dial(tb)
	request := r.request(tb, c.path, c.body)
	measure := func(words int) (float64, float64) {
		up.script, up.next, k.next = c.stream(tb, words), nil, nil
		pause := time.Duration(0)
		if paced {
			pause = 400 * time.Millisecond
			up.next = make(chan struct{}, 1)
			k.next = up.next
		}
		return allocated(tb, runs, pause, func() {
			if err := k.ask(request); err != nil {
				tb.Fatal(err)
			}
		})
	}
	a, x := measure(short)
	b, y := measure(long)
	return (b - a) / (long - short), (y - x) / (long - short)
}

// TestStreamAllocates: an event of a stream allocates nothing of its own. What is there by the hundred, such as the blocks of
// the texts, stays below.
func TestStreamAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties the pools")
	}
	r := newRig(t)
	for _, c := range streamRoutes {
		if objects, size := r.perEvent(t, &c, false, 5); objects > 0.1 || size > 400 {
			t.Errorf("%s: %.3f allocations and %.0f bytes an event", c.name, objects, size)
		}
	}
}

// promptRoute is a way of a large prompt through the server.
type promptRoute struct {
	name, path string
	body       func(prompt) string
	upstream   func(*rig) *scripted
	answer     string
	held       float64 // how often a picture is held: once as it came, and once more in another body where it goes on in one
}

// prompt is what a request holds beside the usual: a text, or a picture in base64.
type prompt struct{ text, picture string }

func (p prompt) converse() string {
	if p.picture != "" {
		return `{"messages":[{"role":"user","content":[{"text":"What is this?"},{"image":{"format":"png","source":{"bytes":"` + p.picture + `"}}}]}]}`
	}
	return `{"messages":[{"role":"user","content":[{"text":"` + p.text + `"}]}]}`
}

func (p prompt) messages() string {
	if p.picture != "" {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + p.picture + `"}}]}]}`
	}
	return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"` + p.text + `"}]}`
}

func (p prompt) chat() string {
	if p.picture != "" {
		return `{"model":"` + openaiModel + `","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + p.picture + `"}}]}]}`
	}
	return `{"model":"` + openaiModel + `","messages":[{"role":"user","content":"` + p.text + `"}]}`
}

const (
	plainChat      = `{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"So."}}],"object":"chat.completion","usage":{"completion_tokens":2,"prompt_tokens":9000,"total_tokens":9002},"id":"chatcmpl-1"}`
	messagesAnswer = `{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"So."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9000,"output_tokens":2}}`
	plainConverse  = `{"output":{"message":{"role":"assistant","content":[{"text":"So."}]}},"stopReason":"end_turn","usage":{"inputTokens":9000,"outputTokens":2,"totalTokens":9002},"metrics":{"latencyMs":10}}`
)

var promptRoutes = []promptRoute{
	{"Converse/openai", "/model/" + openaiModel + "/converse", prompt.converse, theOpenAI, plainChat, 2},
	{"Converse/anthropic", "/model/" + anthropicModel + "/converse", prompt.converse, theAnthropic, messagesAnswer, 2},
	{"Converse/bedrock", "/model/" + bedrockModel + "/converse", prompt.converse, theBedrock, plainConverse, 1},
	{"InvokeModel/anthropic", "/model/" + anthropicModel + "/invoke", prompt.messages, theAnthropic, messagesAnswer, 2},
	{"InvokeModel/bedrock", "/model/" + bedrockClaude + "/invoke", prompt.messages, theBedrock, messagesAnswer, 1},
	{"ChatCompletions/openai", "/openai/v1/chat/completions", prompt.chat, theOpenAI, plainChat, 2},
}

// largePrompts are 100 KB of text with escapes and characters of several bytes, and a picture of 10 MB.
func largePrompts() map[string]prompt {
	picture := make([]byte, 10<<20)
	copy(picture, "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x04\x00\x00\x00\x04\x00\x08\x02\x00\x00\x00")
	for i := 29; i < len(picture); i++ {
		picture[i] = byte(i * i >> 3)
	}
	return map[string]prompt{
		"text":    {text: strings.Repeat(`What does \"café\" mean?\nSay it in one line. `, 2000)},
		"picture": {picture: base64.StdEncoding.EncodeToString(picture)},
	}
}

// BenchmarkPrompt is what a large prompt allocates, by the length of its body, in the whole way through the server. What
// a call of a few bytes costs is in it: some 20 KB.
func BenchmarkPrompt(b *testing.B) {
	r := newRig(b)
	for kind, p := range largePrompts() {
		for _, c := range promptRoutes {
			b.Run(c.name+"/"+kind, func(b *testing.B) {
				for b.Loop() {
					body := c.body(p)
					_, size := r.perPrompt(b, &c, body, 3)
					b.ReportMetric(size/float64(len(body)), "copies/body")
					b.ReportMetric(float64(len(body)), "B/body")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// TestPromptCopies: a large prompt is held as often as its route says and no more. A text is decoded besides, since it is
// checked and counted.
func TestPromptCopies(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties the pools")
	}
	r := newRig(t)
	for kind, p := range largePrompts() {
		for _, c := range promptRoutes {
			most, runs := c.held, 4
			if kind == "text" {
				most++
				runs = 20 // that are short, and may all be beside one round of the indexer
			}
			body := c.body(p)
			const beside = 48 << 10 // of the call, which a few bytes cost too
			if _, size := r.perPrompt(t, &c, body, runs); size > most*float64(len(body))+beside {
				t.Errorf("%s, a %s: %.2f times the body's %d bytes", c.name, kind, size/float64(len(body)), len(body))
			}
		}
	}
}

// perPrompt measures one route.
func (r *rig) perPrompt(tb testing.TB, c *promptRoute, body string, runs int) (objects, size float64) {
	up, k := c.upstream(r), r.dial(tb)
	up.script, up.next = [][]byte{[]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(c.answer)) + "\r\n\r\n" + c.answer)}, nil
	request := r.request(tb, c.path, body)
	return allocated(tb, runs, 0, func() {
		if err := k.ask(request); err != nil {
			tb.Fatal(err)
		}
	})
}
