// Package jamba translates between converse and the formats of AI21's models as Amazon Bedrock's InvokeModel carries them.
// It reads and writes JSON only.
//
//   - Chat completion, of the Jamba models: ParseRequest, AppendResponse, StreamEncoder; AppendRequest.
//   - Text completion, of the older Jurassic-2, which does not stream: ParsePrompt, AppendCompletions; AppendPrompt.
//
// Decoder reads the answers to both. Jamba's have their usage in the body. Jurassic-2's do not: Bedrock reports it in the
// headers X-Amzn-Bedrock-Input-Token-Count and X-Amzn-Bedrock-Output-Token-Count alone, and without them a Decoder estimates
// it. A stream ends in a chunk that is nothing but amazon-bedrock-invocationMetrics.
//
// Sources: "AI21 Labs models" in the Amazon Bedrock user guide, AI21's own client (github.com/AI21Labs/ai21-python), and
// recorded exchanges, which the tests name.
package jamba

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// ErrMalformed is wrapped by the error of a body that is no answer of these models.
var ErrMalformed = errors.New("not an answer in AI21's format")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// lenient reads what a caller or a model server wrote, who may name a member twice.
var lenient = jsontext.AllowDuplicateNames(true)

// eachMember calls f with each member of object, in order. It fails where object is none; an empty text has no members.
// The value is valid until f returns.
func eachMember(object jsontext.Value, f func(name string, v jsontext.Value) error) error {
	if len(bytes.TrimSpace(object)) == 0 {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(object), lenient)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errNoObject
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := f(name, v); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errNoObject
	}
	return nil
}

var errNoObject = errors.New("not a JSON object")

// fields collects members into one JSON object.
type fields struct{ b []byte }

func (f *fields) add(name string, v jsontext.Value) {
	if len(f.b) == 0 {
		f.b = append(f.b, '{')
	} else {
		f.b[len(f.b)-1] = ','
	}
	f.b = converse.AppendQuote(f.b, name)
	f.b = append(append(append(f.b, ':'), v...), '}')
}

func (f *fields) addAll(object jsontext.Value) error {
	return eachMember(object, func(name string, v jsontext.Value) error {
		f.add(name, v)
		return nil
	})
}

func inferenceConfig(maxTokens *int, temperature, topP *float64, stop []string) *converse.InferenceConfig {
	if maxTokens == nil && temperature == nil && topP == nil && len(stop) == 0 {
		return nil
	}
	return &converse.InferenceConfig{MaxTokens: maxTokens, Temperature: temperature, TopP: topP, StopSequences: stop}
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
	format   string // for refusals
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

// element begins element i of a list.
func (w *writer) element(i int) {
	if i == 0 {
		w.raw(`[`)
	} else {
		w.raw(`,`)
	}
}

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks %s, which has no equivalent. Remove it and try again.", path, w.upstream, w.format)
}

// at is the path of a content block.
func at(message, block int) string {
	return "messages." + strconv.Itoa(message) + ".content." + strconv.Itoa(block)
}

// inference writes the parameters by the names that a format has for them, in this order: the most tokens, temperature, top
// p, stop sequences.
func (w *writer) inference(c *converse.InferenceConfig, names [4]string) {
	if c == nil {
		return
	}
	name := func(i int) {
		w.raw(`,"`)
		w.raw(names[i])
		w.raw(`":`)
	}
	if c.MaxTokens != nil {
		name(0)
		w.b = strconv.AppendInt(w.b, int64(*c.MaxTokens), 10)
	}
	if c.Temperature != nil {
		name(1)
		w.b = jsontext.AppendFloat(w.b, *c.Temperature, 64)
	}
	if c.TopP != nil {
		name(2)
		w.b = jsontext.AppendFloat(w.b, *c.TopP, 64)
	}
	if len(c.StopSequences) > 0 {
		name(3)
		for i, s := range c.StopSequences {
			w.element(i)
			w.str(s)
		}
		w.raw(`]`)
	}
}

// service refuses what no body of these formats can ask for. An upstream that has another way to say it, as Bedrock's
// InvokeModel has in its headers, takes it out of the request first.
func (w *writer) service(r *converse.Request) error {
	switch {
	case r.OutputConfig != nil && r.OutputConfig.TextFormat != nil:
		return w.refuse("outputConfig.textFormat")
	case r.ServiceTier != nil && r.ServiceTier.Type != "default" && r.ServiceTier.Type != "":
		return w.refuse("serviceTier." + r.ServiceTier.Type)
	case r.PerformanceConfig != nil && r.PerformanceConfig.Latency != "standard" && r.PerformanceConfig.Latency != "":
		return w.refuse("performanceConfig.latency." + r.PerformanceConfig.Latency)
	case len(r.GuardrailConfig) > 0:
		return w.refuse("guardrailConfig")
	case len(r.PromptVariables) > 0:
		return w.refuse("promptVariables")
	}
	return nil
}

// additional merges r's additional fields into the top level, verbatim. Refused are those owned, which the request's own
// members say or which change how many answers come back or in which framing, and the parameters in names that the request
// sets. Left out are anthropic_beta and anthropic_version, which name features of another vendor's API.
func (w *writer) additional(r *converse.Request, names [4]string, owned ...string) error {
	if c := r.InferenceConfig; c != nil {
		for i, set := range []bool{c.MaxTokens != nil, c.Temperature != nil, c.TopP != nil, len(c.StopSequences) > 0} {
			if set {
				owned = append(owned, names[i])
			}
		}
	}
	var refused error
	err := eachMember(r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
		if name == "anthropic_beta" || name == "anthropic_version" {
			return nil
		}
		if slices.Contains(owned, name) {
			refused = fault.New(fault.Validation, "additionalModelRequestFields.%s: upstream %q takes it from the request's own members. Remove it and try again.", name, w.upstream)
			return refused
		}
		w.raw(`,`)
		w.str(name)
		w.raw(`:`)
		w.b = append(w.b, v...)
		return nil
	})
	if err != nil && refused == nil {
		return fault.New(fault.Validation, "additionalModelRequestFields is not a JSON object.")
	}
	return err
}

// memberOf names the member of the union that is set, for a refusal.
func memberOf(b *converse.ContentBlock) string {
	switch {
	case b.Text != nil:
		return "text"
	case b.Image != nil:
		return "image"
	case b.ToolUse != nil:
		return "toolUse"
	case b.ToolResult != nil:
		return "toolResult"
	case b.ReasoningContent != nil:
		return "reasoningContent"
	case len(b.Document) > 0:
		return "document"
	case len(b.Video) > 0:
		return "video"
	case len(b.Audio) > 0:
		return "audio"
	case len(b.GuardContent) > 0:
		return "guardContent"
	case len(b.CitationsContent) > 0:
		return "citationsContent"
	case len(b.SearchResult) > 0:
		return "searchResult"
	}
	return "an empty content block"
}
