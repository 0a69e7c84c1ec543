// Package titan translates between converse and the formats of Amazon Titan's text and embedding models as Amazon
// Bedrock's InvokeModel carries them. It reads and writes JSON only.
//
// Sources: "Amazon Titan Text models", "Amazon Titan Embeddings G1 - Text" and "Amazon Titan Multimodal Embeddings G1" in
// the Amazon Bedrock user guide, and recorded exchanges.
package titan

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/fault"
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
		for _, n := range []struct {
			name  string
			value *float64
		}{{"temperature", c.Temperature}, {"topP", c.TopP}} {
			switch {
			case n.value == nil:
			case *n.value < 0:
				bad = append(bad, fmt.Sprintf("#/textGenerationConfig/%s: %v is not greater or equal to 0", n.name, *n.value))
			case *n.value > 1:
				bad = append(bad, fmt.Sprintf("#/textGenerationConfig/%s: %v is not less or equal to 1", n.name, *n.value))
			}
		}
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
	refuse := func(path string) ([]byte, error) {
		return nil, fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks Amazon Titan's format, which has no equivalent. Remove it and try again.", path, upstream)
	}
	switch {
	case r.ToolConfig != nil:
		return refuse("toolConfig")
	case r.OutputConfig != nil && r.OutputConfig.TextFormat != nil:
		return refuse("outputConfig.textFormat")
	case r.ServiceTier != nil && r.ServiceTier.Type != "" && r.ServiceTier.Type != "default":
		return refuse("serviceTier." + r.ServiceTier.Type)
	case r.PerformanceConfig != nil && r.PerformanceConfig.Latency != "" && r.PerformanceConfig.Latency != "standard":
		return refuse("performanceConfig.latency." + r.PerformanceConfig.Latency)
	case len(r.GuardrailConfig) > 0:
		return refuse("guardrailConfig")
	case len(r.PromptVariables) > 0:
		return refuse("promptVariables")
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
	dst = appendConfig(dst, r.InferenceConfig, params)
	dst = append(dst, rest...)
	return append(dst, '}'), nil
}

// appendConfig appends the parameters, and after them rest: further members, each with a comma before it.
func appendConfig(dst []byte, c *converse.InferenceConfig, rest []byte) []byte {
	open := false
	member := func(name string) {
		if open {
			dst = append(dst, ',')
		} else {
			dst = append(dst, `,"textGenerationConfig":{`...)
		}
		open = true
		dst = append(dst, name...)
	}
	if c != nil {
		if c.MaxTokens != nil {
			member(`"maxTokenCount":`)
			dst = strconv.AppendInt(dst, int64(*c.MaxTokens), 10)
		}
		if c.Temperature != nil {
			member(`"temperature":`)
			dst = jsontext.AppendFloat(dst, *c.Temperature, 64)
		}
		if c.TopP != nil {
			member(`"topP":`)
			dst = jsontext.AppendFloat(dst, *c.TopP, 64)
		}
		if len(c.StopSequences) > 0 {
			member(`"stopSequences":[`)
			for i, s := range c.StopSequences {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = converse.AppendQuote(dst, s)
			}
			dst = append(dst, ']')
		}
	}
	if len(rest) > 0 {
		member(string(rest[1:]))
	}
	if open {
		dst = append(dst, '}')
	}
	return dst
}

// additional returns the additional fields as they follow the request's own members, each with a comma before it:
// those of textGenerationConfig and those of the top level.
func additional(r *converse.Request, upstream string) (params, rest []byte, err error) {
	if len(r.AdditionalModelRequestFields) == 0 {
		return nil, nil, nil
	}
	c := r.InferenceConfig
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	owned := func(name string) error {
		return fault.New(fault.Validation, "additionalModelRequestFields.%s: upstream %q takes it from the request's own members. Remove it and try again.", name, upstream)
	}
	add := func(to []byte, name string, v jsontext.Value) []byte {
		to = append(to, ',')
		to = converse.AppendQuote(to, name)
		to = append(to, ':')
		return append(to, v...)
	}
	err = each("additionalModelRequestFields", r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "inputText":
			return owned(name)
		case "textGenerationConfig":
			return each("additionalModelRequestFields.textGenerationConfig", v, func(name string, v jsontext.Value) error {
				switch {
				case name == "maxTokenCount" && c.MaxTokens != nil, name == "temperature" && c.Temperature != nil,
					name == "topP" && c.TopP != nil, name == "stopSequences" && len(c.StopSequences) > 0:
					return owned("textGenerationConfig." + name)
				}
				params = add(params, name, v)
				return nil
			})
		}
		rest = add(rest, name, v)
		return nil
	})
	return params, rest, err
}

// each calls f with each member of v, which stands at path and must be an object.
func each(path string, v jsontext.Value, f func(name string, v jsontext.Value) error) error {
	bad := func() error { return fault.New(fault.Validation, "%s is not a JSON object.", path) }
	d := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return bad()
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return bad()
		}
		name := t.String()
		value, err := d.ReadValue()
		if err != nil {
			return bad()
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return bad()
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return bad()
	}
	return nil
}
