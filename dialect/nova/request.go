package nova

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
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
	w.b = parameters.AppendObject(w.b, "inferenceConfig", r.InferenceConfig, inference)
	if err := w.tools(r.ToolConfig); err != nil {
		return nil, err
	}
	if path := outbound.Beyond(r); path != "" {
		return nil, w.refuse(path)
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
	return outbound.Refuse(w.upstream, "Amazon Nova's format", path)
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

var parameters = outbound.Parameters{MaxTokens: "maxTokens", Temperature: "temperature", TopP: "topP", StopSequences: "stopSequences"}

// additional returns the additional fields as they follow the request's own members, each with a comma before it:
// those of inferenceConfig and those of the top level.
func (w *writer) additional(r *converse.Request) (inference, rest []byte, err error) {
	err = outbound.Additional(r, func(name string, v jsontext.Value) error {
		switch name {
		case "anthropic_beta", "anthropic_version":
			return nil
		case "schemaVersion", "messages", "system", "toolConfig":
			return outbound.Owned(w.upstream, name)
		case "inferenceConfig":
			return outbound.Members("additionalModelRequestFields.inferenceConfig", v, func(name string, v jsontext.Value) error {
				same := name
				switch name { // its older names
				case "max_new_tokens":
					same = "maxTokens"
				case "top_p":
					same = "topP"
				}
				if parameters.Set(r.InferenceConfig, same) {
					return outbound.Owned(w.upstream, "inferenceConfig."+name)
				}
				inference = outbound.AppendMember(inference, name, v)
				return nil
			})
		}
		rest = outbound.AppendMember(rest, name, v)
		return nil
	})
	return inference, rest, err
}
