package llama

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// AppendRequest appends r as a body for model, whose identifier tells the template. upstream names the server in refusals,
// which are of kind fault.Validation and name the member by its path in the Converse request.
//
//   - System blocks become one system turn, and the text blocks of a turn one text, joined by a line break.
//   - Tools, calls and results are written as Llama 3.1's template does it: one call a turn, and no text beside it. A result
//     is JSON: its text in quotes, and status "error" as the words "Error: " before it.
//   - A last turn of the assistant is the begin of the answer.
//   - AdditionalModelRequestFields are merged into the top level, verbatim.
//
// A text that holds a mark of the template is refused: the model would read a turn's end, or another's turn, in what the
// user says. A cachePoint and requestMetadata are left out, whose loss changes no answer.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	_ = stream // the operation says it, not the body
	w := writer{b: dst, family: familyOf(model), upstream: upstream}
	if err := w.unsupported(r); err != nil {
		return nil, err
	}
	w.raw(`{"prompt":"`)
	write := w.turns
	if w.template == nil {
		write = w.turns2
	}
	if err := write(r); err != nil {
		return nil, err
	}
	w.raw(`"`)
	for i, m := range w.pictures {
		if i == 0 {
			w.raw(`,"images":["`)
		} else {
			w.raw(`","`)
		}
		w.b = append(w.b, m...)
	}
	if len(w.pictures) > 0 {
		w.raw(`"]`)
	}
	w.b = parameters.Append(w.b, r.InferenceConfig)
	if err := w.additional(r); err != nil {
		return nil, err
	}
	w.raw(`}`)
	return w.b, nil
}

// writer appends the parts of a request.
type writer struct {
	family
	b        []byte
	upstream string
	pictures []converse.Base64
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

// text appends s within the prompt's quotes.
func (w *writer) text(s string) { w.b = converse.AppendEscaped(w.b, s) }

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return outbound.Refuse(w.upstream, "the format of Meta's Llama", path)
}

// said appends a text of the conversation, unless it holds a mark of the template.
func (w *writer) said(path, s string) error {
	if m := w.mark(s); m != "" {
		return fault.New(fault.Validation, "The text at %s holds %s, which is a mark in the prompt of the model at upstream %q. Remove it and try again.", path, m, w.upstream)
	}
	w.text(s)
	return nil
}

func (w *writer) unsupported(r *converse.Request) error {
	switch c := r.ToolConfig; {
	case c == nil:
	case !w.tools:
		return w.refuse("toolConfig")
	case c.ToolChoice != nil && c.ToolChoice.Any != nil:
		return w.refuse("toolConfig.toolChoice.any")
	case c.ToolChoice != nil && c.ToolChoice.Tool != nil:
		return w.refuse("toolConfig.toolChoice.tool")
	}
	if r.InferenceConfig != nil && len(r.InferenceConfig.StopSequences) > 0 {
		return w.refuse("inferenceConfig.stopSequences")
	}
	if path := outbound.Beyond(r); path != "" {
		return w.refuse(path)
	}
	return nil
}

// instructed reports whether there is a system text.
func instructed(blocks []converse.SystemBlock) bool {
	return slices.ContainsFunc(blocks, func(b converse.SystemBlock) bool { return b.CachePoint == nil })
}

// system appends the system texts, joined by a line break.
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

func (w *writer) head(role string) {
	w.raw(w.header)
	w.raw(role)
	w.raw(w.headerEnd)
	w.text("\n\n")
}

// turns writes the conversation in the template of Llama 3 or 4.
func (w *writer) turns(r *converse.Request) error {
	w.raw(begin)
	if instructed(r.System) || r.ToolConfig != nil {
		w.head(roleSystem)
		if err := w.tooling(r.ToolConfig); err != nil {
			return err
		}
		if err := w.system(r.System); err != nil {
			return err
		}
		w.raw(w.turnEnd)
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Role != converse.RoleAssistant {
			if err := w.user(i, m.Content); err != nil {
				return err
			}
			continue
		}
		w.head(roleAssistant)
		if err := w.assistant(i, m.Content); err != nil {
			return err
		}
		if i == len(r.Messages)-1 {
			return nil
		}
		w.raw(w.turnEnd)
	}
	w.head(roleAssistant)
	return nil
}

func (w *writer) tooling(c *converse.ToolConfig) error {
	if c == nil {
		return nil
	}
	w.text(toolsEnvironment + toolsInSystem)
	for i := range c.Tools {
		t := &c.Tools[i]
		path := "toolConfig.tools." + strconv.Itoa(i)
		switch {
		case t.CachePoint != nil:
			continue
		case t.ToolSpec == nil:
			return w.refuse(path + ".systemTool")
		case t.ToolSpec.Strict != nil && *t.ToolSpec.Strict:
			return w.refuse(path + ".toolSpec.strict")
		}
		text, err := toolText(t.ToolSpec)
		if err != nil {
			return fault.Wrap(err, fault.Validation, "%s.toolSpec is not valid JSON.", path)
		}
		if err := w.said(path+".toolSpec", text); err != nil {
			return err
		}
	}
	return nil
}

// user writes a turn of the user: each tool result as a turn of its own, and what else it holds as one.
func (w *writer) user(i int, content []converse.ContentBlock) error {
	others := false
	for j := range content {
		switch b := &content[j]; {
		case b.ToolResult != nil:
			w.head(roleTool)
			if err := w.toolResult(outbound.At(i, j)+".toolResult", b.ToolResult); err != nil {
				return err
			}
			w.raw(w.turnEnd)
		case b.CachePoint == nil:
			others = true
		}
	}
	if !others {
		return nil
	}
	w.head(roleUser)
	texts := 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			if texts > 0 {
				w.text("\n")
			}
			texts++
			if err := w.said(outbound.At(i, j)+".text", *b.Text); err != nil {
				return err
			}
		case b.Image != nil && w.images && b.Image.Source.S3Location == nil:
			w.raw(imageMark)
			w.pictures = append(w.pictures, b.Image.Source.Bytes)
			texts = 0
		case b.ToolResult != nil, b.CachePoint != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + unsaid(b))
		}
	}
	w.raw(w.turnEnd)
	return nil
}

func (w *writer) toolResult(path string, t *converse.ToolResult) error {
	if len(t.Content) == 1 && len(t.Content[0].JSON) > 0 && t.Status != "error" {
		v, err := compact(path+".content.0.json", t.Content[0].JSON)
		if err != nil {
			return err
		}
		return w.said(path+".content.0.json", v)
	}
	var text []byte
	if t.Status == "error" {
		text = append(text, "Error: "...)
	}
	for k := range t.Content {
		if k > 0 {
			text = append(text, '\n')
		}
		at := path + ".content." + strconv.Itoa(k)
		switch c := &t.Content[k]; {
		case c.Text != nil:
			text = append(text, *c.Text...)
		case len(c.JSON) > 0:
			v, err := compact(at+".json", c.JSON)
			if err != nil {
				return err
			}
			text = append(text, v...)
		default:
			return w.refuse(at + "." + c.Member())
		}
	}
	return w.said(path, string(converse.AppendQuote(nil, string(text))))
}

func compact(path string, v jsontext.Value) (string, error) {
	v = v.Clone()
	if v.Compact(jsontext.AllowDuplicateNames(true)) != nil {
		return "", fault.New(fault.Validation, "%s is not valid JSON.", path)
	}
	return string(v), nil
}

// assistant writes what the assistant said in message i: texts, or one call.
func (w *writer) assistant(i int, content []converse.ContentBlock) error {
	texts, calls := 0, 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil && calls == 0:
			if texts > 0 {
				w.text("\n")
			}
			texts++
			if err := w.said(outbound.At(i, j)+".text", *b.Text); err != nil {
				return err
			}
		case b.Text != nil:
			return w.refuse(outbound.At(i, j) + ".text beside a toolUse")
		case b.ToolUse != nil && w.tools && b.ToolUse.Type == "":
			if texts > 0 {
				return w.refuse(outbound.At(i, j) + ".toolUse beside a text")
			}
			if calls > 0 {
				return w.refuse(outbound.At(i, j) + ".toolUse beside another")
			}
			calls++
			input := "{}"
			if len(b.ToolUse.Input) > 0 {
				var err error
				if input, err = compact(outbound.At(i, j)+".toolUse.input", b.ToolUse.Input); err != nil {
					return err
				}
			}
			if err := w.said(outbound.At(i, j)+".toolUse", string(appendCall(nil, b.ToolUse.Name))+input+"}"); err != nil {
				return err
			}
		case b.CachePoint != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + unsaid(b))
		}
	}
	return nil
}

// turns2 writes the conversation in the template of Llama 2.
func (w *writer) turns2(r *converse.Request) error {
	for i := range r.Messages {
		content := r.Messages[i].Content
		if r.Messages[i].Role != converse.RoleAssistant {
			w.raw(sequence + inst + " ")
			if i == 0 && instructed(r.System) {
				w.text(sys + "\n")
				if err := w.system(r.System); err != nil {
					return err
				}
				w.text("\n" + sysEnd + "\n\n")
			}
		} else {
			w.raw(" ")
		}
		texts := 0
		for j := range content {
			switch b := &content[j]; {
			case b.Text != nil:
				if texts > 0 {
					w.text("\n")
				}
				texts++
				if err := w.said(outbound.At(i, j)+".text", *b.Text); err != nil {
					return err
				}
			case b.CachePoint != nil:
			default:
				return w.refuse(outbound.At(i, j) + "." + unsaid(b))
			}
		}
		switch {
		case r.Messages[i].Role != converse.RoleAssistant:
			w.raw(" " + instEnd)
		case i < len(r.Messages)-1:
			w.raw(" " + textEnd)
		}
	}
	return nil
}

// unsaid names what b has that the format has not: of a picture, also the place where it is.
func unsaid(b *converse.ContentBlock) string {
	if b.Image != nil && b.Image.Source.S3Location != nil {
		return "image.source.s3Location"
	}
	return b.Member()
}

var parameters = outbound.Parameters{MaxTokens: "max_gen_len", Temperature: "temperature", TopP: "top_p"}

// additional merges the additional fields into the top level.
func (w *writer) additional(r *converse.Request) error {
	return outbound.Additional(r, func(name string, v jsontext.Value) error {
		if name == "prompt" || name == "images" || parameters.Set(r.InferenceConfig, name) {
			return outbound.Owned(w.upstream, name)
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	})
}
