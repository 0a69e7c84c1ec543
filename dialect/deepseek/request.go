package deepseek

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
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
	if r.ToolConfig != nil {
		return nil, w.refuse("toolConfig")
	}
	if path := outbound.Beyond(r); path != "" {
		return nil, w.refuse(path)
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
	w.b = parameters.Append(w.b, r.InferenceConfig)
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
func (w *writer) text(s string) { w.b = converse.AppendEscaped(w.b, s) }

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return outbound.Refuse(w.upstream, "the format of DeepSeek-R1", path)
}

// said appends a text of the conversation, unless it holds a mark of the template.
func (w *writer) said(path, s string) error {
	if m := mark(s); m != "" {
		return fault.New(fault.Validation, "The text at %s holds %s, which is a mark in the prompt of the model at upstream %q. Remove it and try again.", path, m, w.upstream)
	}
	w.text(s)
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
			if err := w.said(outbound.At(i, j)+".text", *b.Text); err != nil {
				return err
			}
		case b.CachePoint != nil, b.ReasoningContent != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + b.Member())
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
		path := outbound.At(i, j) + ".reasoningContent"
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

var parameters = outbound.Parameters{MaxTokens: "max_tokens", Temperature: "temperature", TopP: "top_p", StopSequences: "stop"}

// additional merges the additional fields into the top level.
func (w *writer) additional(r *converse.Request) error {
	return outbound.Additional(r, func(name string, v jsontext.Value) error {
		if name == "prompt" || parameters.Set(r.InferenceConfig, name) {
			return outbound.Owned(w.upstream, name)
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	})
}
