// Package upstreamtest is the specification of upstream.Provider: every provider's test runs it.
package upstreamtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
	"outcrop/upstream"
)

// Behaviour is how the model behind a provider is to behave in one test of the suite.
type Behaviour uint8

// The behaviours.
const (
	Answers      Behaviour = iota // it answers with some text, and with a tool call when it must
	Slow                          // it pauses between the tokens of an answer of many
	Throttles                     // it refuses with a rate limit
	Fails                         // its server fails
	BreaksBefore                  // the connection breaks before the answer begins
	BreaksAfter                   // the answer breaks after its first events
)

// Run runs the suite. open makes a provider whose model behaves as told; the provider is closed by the suite.
func Run(t *testing.T, open func(*testing.T, Behaviour) upstream.Provider) {
	s := suite{open}
	t.Run("Answers", s.answers)
	t.Run("Tools", s.tools)
	t.Run("Errors", s.errors)
	t.Run("Cancel", s.cancel)
	t.Run("Stop", s.stop)
}

type suite struct {
	open func(*testing.T, Behaviour) upstream.Provider
}

func (s *suite) provider(t *testing.T, b Behaviour) upstream.Provider {
	p := s.open(t, b)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func text(s string) converse.ContentBlock { return converse.ContentBlock{Text: &s} }

// Request is a request of the suite: one turn of the user, with what change adds.
func Request(stream bool, change func(*converse.Request)) *upstream.Request {
	body := &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{text("Say hello to the weather in Paris.")}}}}
	if change != nil {
		change(body)
	}
	return &upstream.Request{ID: "5f0c1cbb-2a54-4a0e-9a39-5f7dbb1e0001", Model: "model", ModelID: "meta.llama3-1-8b-instruct-v1:0", Region: "us-east-1", Stream: stream, Body: body}
}

// Ask sends the suite's request and returns all that came of it.
func Ask(t testing.TB, p upstream.Provider, stream bool) (es []converse.Event, err error) {
	t.Helper()
	s, err := p.Send(t.Context(), Request(stream, nil))
	if err != nil {
		return nil, err
	}
	for e, err := range s {
		if err != nil {
			return es, err
		}
		es = append(es, e)
	}
	return es, conversetest.CheckOrder(es)
}

// Text is the text of an answer.
func Text(es []converse.Event) string { return joined(es, converse.TextDelta) }

// both runs fn for an answer in a stream and for a whole one.
func both(t *testing.T, fn func(t *testing.T, stream bool)) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%t", stream), func(t *testing.T) { fn(t, stream) })
	}
}

// read sends r and reads its whole answer, holding it against conversetest.CheckOrder.
func read(t *testing.T, p upstream.Provider, r *upstream.Request) ([]converse.Event, error) {
	t.Helper()
	before, err := json.Marshal(r.Body, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := p.Send(t.Context(), r)
	if err != nil {
		return nil, err
	}
	var es []converse.Event
	for e, err := range stream {
		if err != nil {
			return es, err
		}
		es = append(es, e)
	}
	if err := conversetest.CheckOrder(es); err != nil {
		t.Errorf("%v\n%+v", err, es)
	}
	if after, err := json.Marshal(r.Body, json.Deterministic(true)); err != nil || string(after) != string(before) {
		t.Errorf("the provider changed the request, which a later attempt sends again: %v", err)
	}
	return es, nil
}

const stopSequences = "stopSequences"

func (s *suite) answers(t *testing.T) {
	p := s.provider(t, Answers)
	temperature, most := 0.5, 200
	for name, change := range map[string]func(*converse.Request){
		"one turn": nil,
		"system":   func(r *converse.Request) { r.System = []converse.SystemBlock{{Text: ptr("Be brief.")}} },
		"several turns": func(r *converse.Request) {
			r.Messages = append(r.Messages, converse.Message{Role: converse.RoleAssistant, Content: []converse.ContentBlock{text("Hello.")}},
				converse.Message{Role: converse.RoleUser, Content: []converse.ContentBlock{text("And again."), text("Please.")}})
		},
		"parameters": func(r *converse.Request) {
			r.InferenceConfig = &converse.InferenceConfig{MaxTokens: &most, Temperature: &temperature}
		},
		stopSequences: func(r *converse.Request) {
			r.InferenceConfig = &converse.InferenceConfig{StopSequences: []string{"\x00never\x00"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, stream bool) {
				es, err := read(t, p, Request(stream, change))
				if name == stopSequences && fault.Is(err, fault.Validation) && strings.Contains(fault.From(err).Message, stopSequences) {
					return // not every format has them, and then they are refused by name
				}
				if err != nil {
					t.Fatal(err)
				}
				last := es[len(es)-1]
				if last.Usage.InputTokens <= 0 || last.Usage.OutputTokens <= 0 {
					t.Errorf("usage %+v", last.Usage)
				}
				if joined(es, converse.TextDelta) == "" {
					t.Error("no text")
				}
			})
		})
	}
}

// weather is the tool of the suite.
var weather = &converse.ToolConfig{Tools: []converse.Tool{{ToolSpec: &converse.ToolSpec{
	Name: "get_weather", Description: "Weather in a city",
	InputSchema: converse.ToolInputSchema{JSON: jsontext.Value(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`)},
}}}}

func (s *suite) tools(t *testing.T) {
	p := s.provider(t, Answers)
	for name, choice := range map[string]*converse.ToolChoice{
		"any":  {Any: &struct{}{}},
		"this": {Tool: &converse.SpecificTool{Name: "get_weather"}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, stream bool) {
				es, err := read(t, p, Request(stream, func(r *converse.Request) {
					r.ToolConfig = &converse.ToolConfig{Tools: weather.Tools, ToolChoice: choice}
				}))
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(es, func(e converse.Event) bool { return e.Kind == converse.BlockStart })
				if i < 0 || es[i].ToolName != "get_weather" || es[i].ToolUseID == "" {
					t.Fatalf("no call of the tool: %+v", es)
				}
				var input struct {
					City string `json:"city"`
				}
				if err := json.Unmarshal([]byte(joined(es, converse.ToolInputDelta)), &input); err != nil || input.City == "" {
					t.Errorf("input %q: %v", joined(es, converse.ToolInputDelta), err)
				}
				if stop := es[len(es)-2].StopReason; stop != converse.StopToolUse {
					t.Errorf("stop reason %q", stop)
				}
			})
		})
	}
	t.Run("result", func(t *testing.T) {
		both(t, func(t *testing.T, stream bool) {
			es, err := read(t, p, Request(stream, func(r *converse.Request) {
				r.ToolConfig = weather
				r.Messages = append(r.Messages,
					converse.Message{Role: converse.RoleAssistant, Content: []converse.ContentBlock{{ToolUse: &converse.ToolUse{ToolUseID: "t1", Name: "get_weather", Input: jsontext.Value(`{"city":"Paris"}`)}}}},
					converse.Message{Role: converse.RoleUser, Content: []converse.ContentBlock{{ToolResult: &converse.ToolResult{ToolUseID: "t1", Content: []converse.ToolResultContent{{JSON: jsontext.Value(`{"temp":20}`)}}}}}})
			}))
			if err != nil {
				t.Fatal(err)
			}
			if joined(es, converse.TextDelta) == "" {
				t.Error("no text")
			}
		})
	})
}

func (s *suite) errors(t *testing.T) {
	for _, c := range []struct {
		name string
		b    Behaviour
		kind []fault.Kind
	}{
		{"throttled", Throttles, []fault.Kind{fault.Throttled}},
		{"failing", Fails, []fault.Kind{fault.ModelError, fault.Unavailable}},
		{"broken before", BreaksBefore, []fault.Kind{fault.Unavailable, fault.ModelStream}},
		{"broken after", BreaksAfter, []fault.Kind{fault.ModelStream}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, stream bool) {
				es, err := read(t, s.provider(t, c.b), Request(stream, nil))
				if err == nil {
					t.Fatal("no error")
				}
				f := fault.From(err)
				if c.b == BreaksBefore && f.Kind == fault.Unavailable && !f.Unanswered {
					t.Errorf("the server had the request, and nobody would know that it may have cost something: %v", err)
				}
				if !stream && c.b == BreaksAfter && len(es) == 0 {
					return // a whole answer that breaks may be noticed before anything of it is yielded
				}
				if !slices.Contains(c.kind, f.Kind) {
					t.Errorf("%v, want one of %v", err, c.kind)
				}
				if !f.Kind.Retryable() {
					t.Errorf("%v: the request is not at fault", err)
				}
				if c.b == BreaksAfter && stream && len(es) == 0 {
					t.Error("no event before the break")
				}
				if c.b != BreaksAfter && len(es) > 0 {
					t.Errorf("%d events before the error", len(es))
				}
			})
		})
	}
}

// cancel ends a request by its context in the middle of its answer: the stream ends with an error and nothing stays
// behind.
func (s *suite) cancel(t *testing.T) {
	both(t, func(t *testing.T, stream bool) {
		p := s.provider(t, Slow)
		base := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if !stream {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		answer, err := p.Send(ctx, Request(stream, nil))
		if err == nil {
			for e, itemErr := range answer {
				if itemErr != nil {
					err = itemErr
					break
				}
				if e.Kind == converse.BlockDelta {
					cancel()
				}
			}
		}
		if err == nil {
			t.Error("the answer came to its end")
		}
		settled(t, base)
	})
}

// stop leaves the range loop in the middle of an answer.
func (s *suite) stop(t *testing.T) {
	p := s.provider(t, Slow)
	base := runtime.NumGoroutine()
	answer, err := p.Send(t.Context(), Request(true, nil))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range answer {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == converse.BlockDelta {
			break
		}
	}
	settled(t, base)
}

// settled waits until no more goroutines run than before: connections that a peer still closes take a moment.
func settled(t *testing.T, base int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > base+4 { // a fake server's own, and a connection kept for reuse
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), base)
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
}

// joined is the text of the deltas of one kind.
func joined(es []converse.Event, kind converse.DeltaKind) string {
	var b strings.Builder
	for _, e := range es {
		if e.Kind == converse.BlockDelta && e.Delta == kind {
			b.WriteString(e.Text)
		}
	}
	return b.String()
}

func ptr[T any](v T) *T { return &v }
