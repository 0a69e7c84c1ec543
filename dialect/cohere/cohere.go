// Package cohere translates between converse and the formats of Cohere's models as Amazon Bedrock's InvokeModel carries
// them. It reads and writes JSON only.
//
//   - Chat, of Command R and R+: ParseRequest, AppendResponse, StreamEncoder; AppendRequest.
//   - Generate, of the older Command and Command Light: ParsePrompt, AppendGenerations, GenerationEncoder; AppendPrompt.
//   - Embed, v3 and v4: ParseEmbedding, AppendEmbeddings; AppendEmbeddingRequest, ParseEmbeddings. It does not stream.
//
// Decoder reads the answers to the first two. Bedrock reports the tokens of an answer that is not streamed in the headers
// X-Amzn-Bedrock-Input-Token-Count and X-Amzn-Bedrock-Output-Token-Count alone (an embedding's in the first), never in the
// body: without them a Decoder's usage is an estimate. A stream's last chunk has them in amazon-bedrock-invocationMetrics.
//
// Sources: "Cohere models" in the Amazon Bedrock user guide, Cohere's API reference v1, and recorded exchanges, which the
// tests name.
package cohere

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
var ErrMalformed = errors.New("not an answer in Cohere's format")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// lenient reads what a caller or a model server wrote, who may name a member twice.
var lenient = jsontext.AllowDuplicateNames(true)

// extraneous lists the members of rest that are not among the known as violations at path.
func extraneous(path string, rest jsontext.Value, known ...string) []string {
	var found []string
	_ = eachMember(rest, func(name string, _ jsontext.Value) error {
		if !slices.Contains(known, name) {
			found = append(found, path+": extraneous key ["+name+"] is not permitted")
		}
		return nil
	})
	return found
}

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

// eachElement calls f with each element of list, in order. An empty text, or null, has none. The value is valid until f
// returns.
func eachElement(list jsontext.Value, f func(i int, v jsontext.Value) error) error {
	if list.Kind() != '[' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(list), lenient)
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for i := 0; d.PeekKind() != ']'; i++ {
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := f(i, v); err != nil {
			return err
		}
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

// compact writes v without white space, so that equal values are equal texts wherever a writer puts its spaces.
func compact(v jsontext.Value) jsontext.Value {
	v = v.Clone()
	if v.Compact(lenient) != nil {
		return nil
	}
	return v
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
	format   string // for refusals
	began    bool   // the object at hand has a member
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

// member begins a member of the top level.
func (w *writer) member(name string) {
	if w.began {
		w.raw(`,"`)
	} else {
		w.raw(`{"`)
	}
	w.began = true
	w.raw(name)
	w.raw(`":`)
}

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

// inference writes the parameters, whose names the two formats share.
func (w *writer) inference(c *converse.InferenceConfig) {
	if c == nil {
		return
	}
	if c.MaxTokens != nil {
		w.member("max_tokens")
		w.b = strconv.AppendInt(w.b, int64(*c.MaxTokens), 10)
	}
	if c.Temperature != nil {
		w.member("temperature")
		w.b = jsontext.AppendFloat(w.b, *c.Temperature, 64)
	}
	if c.TopP != nil {
		w.member("p")
		w.b = jsontext.AppendFloat(w.b, *c.TopP, 64)
	}
	if len(c.StopSequences) > 0 {
		w.member("stop_sequences")
		w.raw(`[`)
		for i, s := range c.StopSequences {
			if i > 0 {
				w.raw(`,`)
			}
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

// additional merges r's additional fields into the top level, verbatim. Refused are the members that the request's own
// say, and those that change how many answers come back or in which framing. Left out are anthropic_beta and
// anthropic_version, which name features of another vendor's API.
func (w *writer) additional(r *converse.Request, owned ...string) error {
	c := r.InferenceConfig
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	var refused error
	err := eachMember(r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
		mine := slices.Contains(owned, name)
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "model", "stream", "messages", "message", "chat_history", "prompt", "preamble", "tools", "tool_choice", "tool_results", "num_generations":
			mine = true
		case "max_tokens":
			mine = c.MaxTokens != nil
		case "temperature":
			mine = c.Temperature != nil
		case "p":
			mine = c.TopP != nil
		case "stop_sequences":
			mine = len(c.StopSequences) > 0
		}
		if mine {
			refused = fault.New(fault.Validation, "additionalModelRequestFields.%s: upstream %q takes it from the request's own members. Remove it and try again.", name, w.upstream)
			return refused
		}
		w.member(name)
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

// finishWord is a stop reason in the words that the user guide lists. It has none for a stop sequence.
func finishWord(reason string) string {
	switch reason {
	case converse.StopMaxTokens:
		return "MAX_TOKENS"
	case converse.StopContentFiltered, converse.StopGuardrailIntervened:
		return "ERROR_TOXIC"
	case converse.StopContextWindowExceeded:
		return "ERROR_LIMIT"
	}
	return "COMPLETE"
}
