package deepseek

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// AppendRequest appends r as a body. upstream names the server in refusals, which are of kind fault.Validation and name
// the member by its path in the Converse request. The model is in the operation's path, and so is whether it streams.
//
//   - System blocks become the text before the first turn. Text blocks, and thinking blocks, of a turn are joined by a line
//     break.
//   - The model takes texts only: no tools, no pictures. A text that holds a mark of the template is refused, for the model
//     would read a turn's end, or another's turn, in what the user says.
//   - A last turn of the assistant is the begin of the answer, which the model then goes on with without thinking.
//   - AdditionalModelRequestFields are merged into the top level, verbatim.
//
// A cachePoint, the signature over thinking and requestMetadata are left out, whose loss changes no answer.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	_, _ = model, stream
	w := writer{b: dst, upstream: upstream}
	if err := w.unsupported(r); err != nil {
		return nil, err
	}
	w.raw(`{"prompt":"` + begin)
	if err := w.system(r.System); err != nil {
		return nil, err
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Role != converse.RoleAssistant {
			w.raw(user)
			if err := w.texts(i, m.Content); err != nil {
				return nil, err
			}
			continue
		}
		w.raw(assistant)
		if err := w.thinking(i, m.Content); err != nil {
			return nil, err
		}
		if err := w.texts(i, m.Content); err != nil {
			return nil, err
		}
		if i < len(r.Messages)-1 {
			w.raw(end)
		}
	}
	if !begun(r) {
		w.text(assistant + think + "\n")
	}
	w.raw(`"`)
	if c := r.InferenceConfig; c != nil {
		w.inference(c)
	}
	if err := w.additional(r); err != nil {
		return nil, err
	}
	w.raw(`}`)
	return w.b, nil
}

// begun reports whether the last turn begins the answer.
func begun(r *converse.Request) bool {
	n := len(r.Messages)
	return n > 0 && r.Messages[n-1].Role == converse.RoleAssistant
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

// text appends s within the prompt's quotes.
func (w *writer) text(s string) {
	n := len(w.b)
	w.b = converse.AppendQuote(w.b, s)
	w.b = append(w.b[:n], w.b[n+1:len(w.b)-1]...)
}

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks the format of DeepSeek-R1, which has no equivalent. Remove it and try again.", path, w.upstream)
}

// said appends a text of the conversation, unless it holds a mark of the template.
func (w *writer) said(path, s string) error {
	if m := mark(s); m != "" {
		return fault.New(fault.Validation, "The text at %s holds %s, which is a mark in the prompt of the model at upstream %q. Remove it and try again.", path, m, w.upstream)
	}
	w.text(s)
	return nil
}

// at is the path of a content block.
func at(message, block int) string {
	return "messages." + strconv.Itoa(message) + ".content." + strconv.Itoa(block)
}

func (w *writer) unsupported(r *converse.Request) error {
	switch {
	case r.ToolConfig != nil:
		return w.refuse("toolConfig")
	case r.OutputConfig != nil && r.OutputConfig.TextFormat != nil:
		return w.refuse("outputConfig.textFormat")
	case len(r.GuardrailConfig) > 0:
		return w.refuse("guardrailConfig")
	case len(r.PromptVariables) > 0:
		return w.refuse("promptVariables")
	case r.ServiceTier != nil && r.ServiceTier.Type != "default" && r.ServiceTier.Type != "":
		return w.refuse("serviceTier." + r.ServiceTier.Type)
	case r.PerformanceConfig != nil && r.PerformanceConfig.Latency != "standard" && r.PerformanceConfig.Latency != "":
		return w.refuse("performanceConfig.latency." + r.PerformanceConfig.Latency)
	}
	return nil
}

func (w *writer) system(blocks []converse.SystemBlock) error {
	n := 0
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Text != nil:
			if n > 0 {
				w.text("\n")
			}
			n++
			if err := w.said("system."+strconv.Itoa(i)+".text", *b.Text); err != nil {
				return err
			}
		case b.CachePoint != nil:
		default:
			return w.refuse("system." + strconv.Itoa(i) + ".guardContent")
		}
	}
	return nil
}

// texts writes the text blocks of message i, and refuses what it cannot write.
func (w *writer) texts(i int, content []converse.ContentBlock) error {
	n := 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			if n > 0 {
				w.text("\n")
			}
			n++
			if err := w.said(at(i, j)+".text", *b.Text); err != nil {
				return err
			}
		case b.CachePoint != nil, b.ReasoningContent != nil:
		default:
			return w.refuse(at(i, j) + "." + member(b))
		}
	}
	return nil
}

// thinking writes what the assistant thought before message i.
func (w *writer) thinking(i int, content []converse.ContentBlock) error {
	n := 0
	for j := range content {
		c := content[j].ReasoningContent
		if c == nil {
			continue
		}
		path := at(i, j) + ".reasoningContent"
		if c.ReasoningText == nil {
			return w.refuse(path + ".redactedContent")
		}
		if n == 0 {
			w.raw(think)
		}
		n++
		w.text("\n")
		path += ".reasoningText.text"
		if strings.Contains(c.ReasoningText.Text, thinkEnd) {
			return w.refuse(thinkEnd + " within " + path)
		}
		if err := w.said(path, c.ReasoningText.Text); err != nil {
			return err
		}
	}
	if n > 0 {
		w.text("\n" + thinkEnd + "\n\n")
	}
	return nil
}

func (w *writer) inference(c *converse.InferenceConfig) {
	if c.MaxTokens != nil {
		w.raw(`,"max_tokens":`)
		w.b = strconv.AppendInt(w.b, int64(*c.MaxTokens), 10)
	}
	if c.Temperature != nil {
		w.raw(`,"temperature":`)
		w.b = jsontext.AppendFloat(w.b, *c.Temperature, 64)
	}
	if c.TopP != nil {
		w.raw(`,"top_p":`)
		w.b = jsontext.AppendFloat(w.b, *c.TopP, 64)
	}
	for i, s := range c.StopSequences {
		if i == 0 {
			w.raw(`,"stop":[`)
		} else {
			w.raw(`,`)
		}
		w.b = converse.AppendQuote(w.b, s)
	}
	if len(c.StopSequences) > 0 {
		w.raw(`]`)
	}
}

// member names the member of the union that is set, for a refusal.
func member(b *converse.ContentBlock) string {
	switch {
	case b.Image != nil:
		return "image"
	case b.ToolUse != nil:
		return "toolUse"
	case b.ToolResult != nil:
		return "toolResult"
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

// additional merges the additional fields into the top level.
func (w *writer) additional(r *converse.Request) error {
	if len(r.AdditionalModelRequestFields) == 0 {
		return nil
	}
	bad := fault.New(fault.Validation, "additionalModelRequestFields is not a JSON object.")
	d := jsontext.NewDecoder(bytes.NewReader(r.AdditionalModelRequestFields))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return bad
	}
	c := r.InferenceConfig
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return bad
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return bad
		}
		owned := false
		switch name {
		case "prompt":
			owned = true
		case "max_tokens":
			owned = c != nil && c.MaxTokens != nil
		case "temperature":
			owned = c != nil && c.Temperature != nil
		case "top_p":
			owned = c != nil && c.TopP != nil
		case "stop":
			owned = c != nil && len(c.StopSequences) > 0
		}
		if owned {
			return fault.New(fault.Validation, "additionalModelRequestFields.%s: upstream %q takes it from the request's own members. Remove it and try again.", name, w.upstream)
		}
		w.raw(`,`)
		w.b = converse.AppendQuote(w.b, name)
		w.raw(`:`)
		w.b = append(w.b, v...)
	}
	if _, err := d.ReadToken(); err != nil {
		return bad
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return bad
	}
	return nil
}
