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
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ErrMalformed is wrapped by the error of a body that is no answer of these models.
var ErrMalformed = errors.New("not an answer in Cohere's format")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// lenient reads what a caller or a model server wrote, who may name a member twice.
var lenient = jsontext.AllowDuplicateNames(true)

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
	return outbound.Refuse(w.upstream, w.format, path)
}

// parameters are the names that the two formats share.
var parameters = outbound.Parameters{MaxTokens: "max_tokens", Temperature: "temperature", TopP: "p", StopSequences: "stop_sequences"}

// service refuses what no body of these formats can ask for.
func (w *writer) service(r *converse.Request) error {
	if path := outbound.Beyond(r); path != "" {
		return w.refuse(path)
	}
	return nil
}

// additional merges r's additional fields into the top level, verbatim. Refused are the members that the request's own
// say, and those that change how many answers come back or in which framing. Left out are anthropic_beta and
// anthropic_version, which name features of another vendor's API.
func (w *writer) additional(r *converse.Request, owned ...string) error {
	return outbound.Additional(r, func(name string, v jsontext.Value) error {
		mine := slices.Contains(owned, name) || parameters.Set(r.InferenceConfig, name)
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "model", "stream", "messages", "message", "chat_history", "prompt", "preamble", "tools", "tool_choice", "tool_results", "num_generations":
			mine = true
		}
		if mine {
			return outbound.Owned(w.upstream, name)
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	})
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
