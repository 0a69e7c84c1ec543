// Package titan translates between converse and the formats of Amazon Titan's text and embedding models as Amazon
// Bedrock's InvokeModel carries them. It reads and writes JSON only.
//
// Sources: "Amazon Titan Text models", "Amazon Titan Embeddings G1 - Text" and "Amazon Titan Multimodal Embeddings G1" in
// the Amazon Bedrock user guide, and recorded exchanges.
package titan

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/dialect/outbound"
)

type request struct {
	InputText *string        `json:"inputText"`
	Config    *config        `json:"textGenerationConfig"`
	Rest      jsontext.Value `json:",embed"`
}

type config struct {
	MaxTokens     *int           `json:"maxTokenCount"`
	Temperature   *float64       `json:"temperature"`
	TopP          *float64       `json:"topP"`
	StopSequences []string       `json:"stopSequences"`
	Rest          jsontext.Value `json:",embed"`
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// ParseRequest reads an InvokeModel body of a Titan Text model into a converse.Request. A body that Bedrock would not take
// gives a fault.Validation in Bedrock's words.
//
// A prompt in Titan's template becomes the turns that it holds, so that a model which writes its own template does not
// see two; any other is one text of the user. Members that are not known go into AdditionalModelRequestFields, under
// textGenerationConfig where they stand there.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &converse.Request{}
	system, turns := parsePrompt(*q.InputText)
	if system != "" {
		r.System = []converse.SystemBlock{{Text: &system}}
	}
	r.Messages = turns
	extra := bytes.TrimSpace(q.Rest)
	if c := q.Config; c != nil {
		if c.MaxTokens != nil || c.Temperature != nil || c.TopP != nil || len(c.StopSequences) > 0 {
			r.InferenceConfig = &converse.InferenceConfig{MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, StopSequences: c.StopSequences}
		}
		if len(c.Rest) > 2 {
			head := append([]byte(`{"textGenerationConfig":`), c.Rest...)
			if len(extra) > 2 {
				extra = append(append(head, ','), extra[1:]...)
			} else {
				extra = append(head, '}')
			}
		}
	}
	if len(extra) > 2 {
		r.AdditionalModelRequestFields = bytes.Clone(extra)
	}
	return r, nil
}

func (q *request) check() error {
	var bad []string
	switch {
	case q.InputText == nil:
		bad = append(bad, "#: required key [inputText] not found")
	case *q.InputText == "":
		bad = append(bad, "#/inputText: expected minLength: 1, actual: 0")
	}
	if c := q.Config; c != nil {
		if c.MaxTokens != nil && *c.MaxTokens < 1 {
			bad = append(bad, fmt.Sprintf("#/textGenerationConfig/maxTokenCount: %d is not greater or equal to 1", *c.MaxTokens))
		}
		bad = append(bad, checker.Within("#/textGenerationConfig/temperature", c.Temperature, 0, 1)...)
		bad = append(bad, checker.Within("#/textGenerationConfig/topP", c.TopP, 0, 1)...)
	}
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}

// AppendRequest appends r as an InvokeModel body. upstream names the server in refusals, which are of kind
// fault.Validation and name the member by its path in the Converse request. The body is the same for every model and
// for a stream, which the operation asks for.
//
//   - The conversation is written in Titan's template; the texts of a turn, and those of the system prompt, are joined by a
//     line break.
//   - AdditionalModelRequestFields are merged into the top level, and those of its textGenerationConfig into that one. A
//     member that AppendRequest has written itself is refused. Left out are anthropic_beta and anthropic_version, which
//     name features of another vendor's API.
//   - Cache points are left out, since no Titan model caches; requestMetadata is for Bedrock's logs, not for the model.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	if r.ToolConfig != nil {
		return nil, refuse(upstream, "toolConfig")
	}
	if path := outbound.Beyond(r); path != "" {
		return nil, refuse(upstream, path)
	}
	text, err := prompt(r, upstream)
	if err != nil {
		return nil, err
	}
	params, rest, err := additional(r, upstream)
	if err != nil {
		return nil, err
	}
	dst = append(dst, `{"inputText":`...)
	dst = converse.AppendQuote(dst, text)
	dst = parameters.AppendObject(dst, "textGenerationConfig", r.InferenceConfig, params)
	dst = append(dst, rest...)
	return append(dst, '}'), nil
}

// refuse says that the upstream cannot express the member at path.
func refuse(upstream, path string) error {
	return outbound.Refuse(upstream, "Amazon Titan's format", path)
}

var parameters = outbound.Parameters{MaxTokens: "maxTokenCount", Temperature: "temperature", TopP: "topP", StopSequences: "stopSequences"}

// additional returns the additional fields as they follow the request's own members, each with a comma before it:
// those of textGenerationConfig and those of the top level.
func additional(r *converse.Request, upstream string) (params, rest []byte, err error) {
	err = outbound.Additional(r, func(name string, v jsontext.Value) error {
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "inputText":
			return outbound.Owned(upstream, name)
		case "textGenerationConfig":
			return outbound.Members("additionalModelRequestFields.textGenerationConfig", v, func(name string, v jsontext.Value) error {
				if parameters.Set(r.InferenceConfig, name) {
					return outbound.Owned(upstream, "textGenerationConfig."+name)
				}
				params = outbound.AppendMember(params, name, v)
				return nil
			})
		}
		rest = outbound.AppendMember(rest, name, v)
		return nil
	})
	return params, rest, err
}
