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
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ErrMalformed is wrapped by the error of a body that is no answer of these models.
var ErrMalformed = errors.New("not an answer in AI21's format")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// lenient reads what a caller or a model server wrote, who may name a member twice.
var lenient = jsontext.AllowDuplicateNames(true)

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
	return outbound.Refuse(w.upstream, w.format, path)
}

// service refuses what no body of these formats can ask for.
func (w *writer) service(r *converse.Request) error {
	if path := outbound.Beyond(r); path != "" {
		return w.refuse(path)
	}
	return nil
}

// additional merges r's additional fields into the top level, verbatim. Refused are those owned, which the request's own
// members say or which change how many answers come back or in which framing, and the parameters that the request sets.
// Left out are anthropic_beta and anthropic_version, which name features of another vendor's API.
func (w *writer) additional(r *converse.Request, parameters *outbound.Parameters, owned ...string) error {
	return outbound.Additional(r, func(name string, v jsontext.Value) error {
		switch {
		case outbound.OfAnthropic(name):
			return nil
		case slices.Contains(owned, name) || parameters.Set(r.InferenceConfig, name):
			return outbound.Owned(w.upstream, name)
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	})
}
