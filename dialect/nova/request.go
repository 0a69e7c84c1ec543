package nova

import (
	"bytes"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// AppendRequest appends r as an InvokeModel body. upstream names the server in refusals, which are of kind
// fault.Validation and name the member by its path in the Converse request. The body is the same for every model and
// for a stream, which the operation asks for.
//
//   - A cache point is written into the block before it, as the format has it. One among the tools is left out: Nova
//     caches the system prompt and the turns only, and its loss changes no answer.
//   - AdditionalModelRequestFields are merged into the top level, and those of its inferenceConfig (topK) into that one. A
//     member that AppendRequest has written itself is refused. Left out are anthropic_beta and anthropic_version, which
//     name features of another vendor's API.
//   - requestMetadata is for Bedrock's logs, not for the model.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream}
	inference, rest, err := w.additional(r)
	if err != nil {
		return nil, err
	}
	w.raw(`{"schemaVersion":"` + schemaVersion + `"`)
	if err := w.system(r.System); err != nil {
		return nil, err
	}
	w.raw(`,"messages":[`)
	for i := range r.Messages {
		if i > 0 {
			w.raw(`,`)
		}
		w.raw(`{"role":`)
		w.str(r.Messages[i].Role)
		w.raw(`,"content":[`)
		if err := w.content(i, r.Messages[i].Content); err != nil {
			return nil, err
		}
		w.raw(`]}`)
	}
	w.raw(`]`)
	w.inference(r.InferenceConfig, inference)
	if err := w.tools(r.ToolConfig); err != nil {
		return nil, err
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	w.b = append(w.b, rest...)
	w.raw(`}`)
	return w.b, nil
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks Amazon Nova's format, which has no equivalent. Remove it and try again.", path, w.upstream)
}

// object writes v, which stands at path, as Converse does: the formats are the same there.
func (w *writer) object(path string, v any) error {
	b, err := json.Marshal(v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil { // only JSON that was never read by a decoder
		return fault.Wrap(err, fault.Validation, "%s is not valid JSON.", path)
	}
	w.b = append(w.b, b...)
	return nil
}

// cachePoint writes p into the object that was written last, or as one of its own where it is the first.
func (w *writer) cachePoint(p *converse.CachePoint, first bool) {
	if first {
		w.raw(`{`)
	} else {
		w.b = w.b[:len(w.b)-1] // the brace
		w.raw(`,`)
	}
	w.raw(`"cachePoint":{"type":`)
	w.str(p.Type)
	if p.TTL != "" {
		w.raw(`,"ttl":`)
		w.str(p.TTL)
	}
	w.raw(`}}`)
}

func (w *writer) system(blocks []converse.SystemBlock) error {
	if len(blocks) == 0 {
		return nil
	}
	w.raw(`,"system":[`)
	for i := range blocks {
		b := &blocks[i]
		own := b.CachePoint == nil || i == 0 || blocks[i-1].CachePoint != nil
		if own && i > 0 {
			w.raw(`,`)
		}
		switch {
		case b.Text != nil:
			w.raw(`{"text":`)
			w.str(*b.Text)
			w.raw(`}`)
		case b.CachePoint != nil:
			w.cachePoint(b.CachePoint, own)
		default:
			return w.refuse("system." + strconv.Itoa(i) + ".guardContent")
		}
	}
	w.raw(`]`)
	return nil
}

func (w *writer) content(message int, blocks []converse.ContentBlock) error {
	for i := range blocks {
		b := &blocks[i]
		path := func(member string) string {
			return "messages." + strconv.Itoa(message) + ".content." + strconv.Itoa(i) + "." + member
		}
		own := b.CachePoint == nil || i == 0 || blocks[i-1].CachePoint != nil
		if own && i > 0 {
			w.raw(`,`)
		}
		switch {
		case b.Text != nil:
			w.raw(`{"text":`)
			w.str(*b.Text)
			w.raw(`}`)
		case b.CachePoint != nil:
			w.cachePoint(b.CachePoint, own)
		case b.GuardContent != nil:
			return w.refuse(path("guardContent"))
		case b.SearchResult != nil:
			return w.refuse(path("searchResult"))
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText == nil:
			return w.refuse(path("reasoningContent.redactedContent")) // another vendor's: Nova writes none
		case members(b) == 0:
			return w.refuse(path("an empty content block"))
		default:
			if t := b.ToolResult; t != nil {
				for k := range t.Content {
					if t.Content[k].SearchResult != nil {
						return w.refuse(path("toolResult.content." + strconv.Itoa(k) + ".searchResult"))
					}
				}
			}
			if t := b.ToolUse; t != nil && len(t.Input) == 0 {
				filled := *t
				filled.Input = jsontext.Value(`{}`)
				b = &converse.ContentBlock{ToolUse: &filled}
			}
			if err := w.object(path("content"), b); err != nil {
				return err
			}
		}
	}
	return nil
}

// inference writes the parameters, and after them rest: further members, each with a comma before it.
func (w *writer) inference(c *converse.InferenceConfig, rest []byte) {
	open := false
	member := func(name string) {
		if open {
			w.raw(`,`)
		} else {
			w.raw(`,"inferenceConfig":{`)
		}
		open = true
		w.raw(name)
	}
	if c != nil {
		if c.MaxTokens != nil {
			member(`"maxTokens":`)
			w.b = strconv.AppendInt(w.b, int64(*c.MaxTokens), 10)
		}
		if c.Temperature != nil {
			member(`"temperature":`)
			w.b = jsontext.AppendFloat(w.b, *c.Temperature, 64)
		}
		if c.TopP != nil {
			member(`"topP":`)
			w.b = jsontext.AppendFloat(w.b, *c.TopP, 64)
		}
		if len(c.StopSequences) > 0 {
			member(`"stopSequences":[`)
			for i, s := range c.StopSequences {
				if i > 0 {
					w.raw(`,`)
				}
				w.str(s)
			}
			w.raw(`]`)
		}
	}
	if len(rest) > 0 {
		member(string(rest[1:]))
	}
	if open {
		w.raw(`}`)
	}
}

func (w *writer) tools(c *converse.ToolConfig) error {
	if c == nil {
		return nil
	}
	start := len(w.b)
	w.raw(`,"toolConfig":{"tools":[`)
	first := true
	for i := range c.Tools {
		t := &c.Tools[i]
		path := "toolConfig.tools." + strconv.Itoa(i)
		if t.CachePoint != nil {
			continue
		}
		if !first {
			w.raw(`,`)
		}
		first = false
		if s := t.ToolSpec; s != nil && s.Strict != nil {
			if *s.Strict {
				return w.refuse(path + ".toolSpec.strict")
			}
			loose := *s
			loose.Strict = nil // what it is anyway
			t = &converse.Tool{ToolSpec: &loose}
		}
		if err := w.object(path, t); err != nil {
			return err
		}
	}
	if first {
		w.b = w.b[:start]
		return nil
	}
	w.raw(`]`)
	if c.ToolChoice != nil {
		w.raw(`,"toolChoice":`)
		if err := w.object("toolConfig.toolChoice", c.ToolChoice); err != nil {
			return err
		}
	}
	w.raw(`}`)
	return nil
}

// service refuses what a body cannot ask for.
func (w *writer) service(r *converse.Request) error {
	switch {
	case r.OutputConfig != nil && r.OutputConfig.TextFormat != nil:
		return w.refuse("outputConfig.textFormat")
	case r.ServiceTier != nil && r.ServiceTier.Type != "" && r.ServiceTier.Type != "default":
		return w.refuse("serviceTier." + r.ServiceTier.Type)
	case r.PerformanceConfig != nil && r.PerformanceConfig.Latency != "" && r.PerformanceConfig.Latency != "standard":
		return w.refuse("performanceConfig.latency." + r.PerformanceConfig.Latency)
	case len(r.GuardrailConfig) > 0:
		return w.refuse("guardrailConfig")
	case len(r.PromptVariables) > 0:
		return w.refuse("promptVariables")
	}
	return nil
}

// additional returns the additional fields as they follow the request's own members, each with a comma before it:
// those of inferenceConfig and those of the top level.
func (w *writer) additional(r *converse.Request) (inference, rest []byte, err error) {
	c := r.InferenceConfig
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	owned := func(name string) error {
		return fault.New(fault.Validation, "additionalModelRequestFields.%s: upstream %q takes it from the request's own members. Remove it and try again.", name, w.upstream)
	}
	add := func(to []byte, name string, v jsontext.Value) []byte {
		to = append(to, ',')
		to = converse.AppendQuote(to, name)
		to = append(to, ':')
		return append(to, v...)
	}
	if len(r.AdditionalModelRequestFields) == 0 {
		return nil, nil, nil
	}
	err = each("additionalModelRequestFields", r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "schemaVersion", "messages", "system", "toolConfig":
			return owned(name)
		case "inferenceConfig":
			return each("additionalModelRequestFields.inferenceConfig", v, func(name string, v jsontext.Value) error {
				switch {
				case (name == "maxTokens" || name == "max_new_tokens") && c.MaxTokens != nil,
					name == "temperature" && c.Temperature != nil,
					(name == "topP" || name == "top_p") && c.TopP != nil,
					name == "stopSequences" && len(c.StopSequences) > 0:
					return owned("inferenceConfig." + name)
				}
				inference = add(inference, name, v)
				return nil
			})
		}
		rest = add(rest, name, v)
		return nil
	})
	return inference, rest, err
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
