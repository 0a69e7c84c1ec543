package mistral

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// AppendRequest appends r as a body for model, whose identifier tells which of the two formats it speaks. upstream names
// the server in refusals, which are of kind fault.Validation and name the member by its path in the Converse request.
//
//   - Text completion has one text a turn and nothing else: no system prompt, no tools, no pictures. A text that holds a
//     mark of the template is refused, for the model would read a turn's end in what the user says. A last turn of the
//     assistant is the begin of the answer.
//   - In chat completion system blocks become one message, and the text blocks of a turn without pictures one string. A
//     tool result becomes a message of the role tool, before the rest of its turn; it holds text only, so JSON goes in as
//     text, and status "error" as the words "Error: " before it. A tool that must be called is the only one sent.
//   - Text blocks are joined by a line break.
//   - AdditionalModelRequestFields are merged into the top level, verbatim.
//
// A cachePoint and requestMetadata are left out, whose loss changes no answer.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	_ = stream // the operation says it, not the body
	w := writer{b: dst, upstream: upstream, format: "Mistral AI's text completion"}
	write := w.prompt
	if chat(model) {
		w.format = "Mistral AI's chat completion"
		write = w.chat
	}
	if path := outbound.Beyond(r); path != "" {
		return nil, w.refuse(path)
	}
	w.raw(`{`)
	if err := write(r); err != nil {
		return nil, err
	}
	w.b = parameters.Append(w.b, r.InferenceConfig)
	if err := w.additional(r, chat(model)); err != nil {
		return nil, err
	}
	w.raw(`}`)
	return w.b, nil
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
	format   string // for refusals
	messages int
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

// text appends s within quotes that are open.
func (w *writer) text(s string) { w.b = converse.AppendEscaped(w.b, s) }

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return outbound.Refuse(w.upstream, w.format, path)
}

// prompt writes the conversation in the instruct template.
func (w *writer) prompt(r *converse.Request) error {
	for i := range r.System {
		if r.System[i].CachePoint == nil {
			return w.refuse("system." + strconv.Itoa(i))
		}
	}
	if r.ToolConfig != nil {
		return w.refuse("toolConfig")
	}
	w.raw(`"prompt":"` + sequence)
	for i := range r.Messages {
		m := &r.Messages[i]
		switch {
		case m.Role == converse.RoleAssistant:
			w.raw(` `)
		case i > 0:
			w.raw(` ` + inst + ` `)
		default:
			w.raw(inst + ` `)
		}
		texts := 0
		for j := range m.Content {
			switch b := &m.Content[j]; {
			case b.Text != nil:
				if k := mark(*b.Text); k != "" {
					return fault.New(fault.Validation, "The text at %s.text holds %s, which is a mark in the prompt of the model at upstream %q. Remove it and try again.", outbound.At(i, j), k, w.upstream)
				}
				if texts > 0 {
					w.text("\n")
				}
				texts++
				w.text(*b.Text)
			case b.CachePoint != nil:
			default:
				return w.refuse(outbound.At(i, j) + "." + b.Member())
			}
		}
		switch {
		case m.Role != converse.RoleAssistant:
			w.raw(` ` + instEnd)
		case i < len(r.Messages)-1:
			w.raw(textEnd)
		}
	}
	w.raw(`"`)
	return nil
}

func (w *writer) chat(r *converse.Request) error {
	w.raw(`"messages":[`)
	if err := w.system(r.System); err != nil {
		return err
	}
	for i := range r.Messages {
		write := w.user
		if r.Messages[i].Role == converse.RoleAssistant {
			write = w.assistant
		}
		if err := write(i, r.Messages[i].Content); err != nil {
			return err
		}
	}
	w.raw(`]`)
	return w.tools(r.ToolConfig)
}

func (w *writer) begin(role string) {
	if w.messages > 0 {
		w.raw(`,`)
	}
	w.messages++
	w.raw(`{"role":"` + role + `"`)
}

func (w *writer) system(blocks []converse.SystemBlock) error {
	n := 0
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Text != nil:
			if n == 0 {
				w.begin("system")
				w.raw(`,"content":"`)
			} else {
				w.text("\n")
			}
			n++
			w.text(*b.Text)
		case b.CachePoint != nil:
		default:
			return w.refuse("system." + strconv.Itoa(i) + ".guardContent")
		}
	}
	if n > 0 {
		w.raw(`"}`)
	}
	return nil
}

func (w *writer) user(i int, content []converse.ContentBlock) error {
	pictures, others := false, false
	for j := range content {
		switch b := &content[j]; {
		case b.ToolResult != nil:
			if err := w.toolResult(outbound.At(i, j)+".toolResult", b.ToolResult); err != nil {
				return err
			}
		case b.CachePoint == nil:
			others = true
			pictures = pictures || b.Image != nil
		}
	}
	if !others {
		return nil
	}
	w.begin("user")
	w.raw(`,"content":`)
	if !pictures {
		if err := w.texts(i, content); err != nil {
			return err
		}
		w.raw(`}`)
		return nil
	}
	n := 0
	for j := range content {
		b := &content[j]
		if b.Text == nil && b.Image == nil {
			if b.ToolResult == nil && b.CachePoint == nil {
				return w.refuse(outbound.At(i, j) + "." + b.Member())
			}
			continue
		}
		if n == 0 {
			w.raw(`[`)
		} else {
			w.raw(`,`)
		}
		n++
		if b.Text != nil {
			w.raw(`{"type":"text","text":`)
			w.str(*b.Text)
			w.raw(`}`)
			continue
		}
		switch b.Image.Format {
		case "png", "jpeg", "gif", "webp":
		default:
			return fault.New(fault.Validation, "%s.image.format: %q is not one of png, jpeg, gif, webp.", outbound.At(i, j), b.Image.Format)
		}
		if b.Image.Source.S3Location != nil {
			return w.refuse(outbound.At(i, j) + ".image.source.s3Location")
		}
		w.raw(`{"type":"image_url","image_url":{"url":"data:image/` + b.Image.Format + `;base64,`)
		w.b = append(w.b, b.Image.Source.Bytes...)
		w.raw(`"}}`)
	}
	w.raw(`]}`)
	return nil
}

// texts writes the text blocks of message i as one string. Tool results and calls are written elsewhere.
func (w *writer) texts(i int, content []converse.ContentBlock) error {
	w.raw(`"`)
	n := 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			if n > 0 {
				w.text("\n")
			}
			n++
			w.text(*b.Text)
		case b.ToolResult != nil, b.ToolUse != nil, b.CachePoint != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	w.raw(`"`)
	return nil
}

func (w *writer) toolResult(path string, t *converse.ToolResult) error {
	w.begin("tool")
	w.raw(`,"tool_call_id":`)
	w.str(t.ToolUseID)
	w.raw(`,"content":"`)
	if t.Status == "error" {
		w.raw(`Error: `)
	}
	for k := range t.Content {
		if k > 0 {
			w.text("\n")
		}
		at := path + ".content." + strconv.Itoa(k)
		switch c := &t.Content[k]; {
		case c.Text != nil:
			w.text(*c.Text)
		case len(c.JSON) > 0:
			v := c.JSON.Clone()
			if v.Compact(jsontext.AllowDuplicateNames(true)) != nil {
				return fault.New(fault.Validation, "%s.json is not valid JSON.", at)
			}
			w.text(string(v))
		default:
			return w.refuse(at + "." + c.Member())
		}
	}
	w.raw(`"}`)
	return nil
}

func (w *writer) assistant(i int, content []converse.ContentBlock) error {
	for j := range content {
		if b := &content[j]; b.ToolResult != nil || b.ToolUse != nil && b.ToolUse.Type != "" {
			return w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	w.begin("assistant")
	w.raw(`,"content":`)
	if err := w.texts(i, content); err != nil {
		return err
	}
	n := 0
	for j := range content {
		t := content[j].ToolUse
		if t == nil {
			continue
		}
		if n == 0 {
			w.raw(`,"tool_calls":[`)
		} else {
			w.raw(`,`)
		}
		n++
		w.raw(`{"id":`)
		w.str(t.ToolUseID)
		w.raw(`,"type":"function","function":{"name":`)
		w.str(t.Name)
		w.raw(`,"arguments":`)
		if len(t.Input) == 0 {
			w.raw(`"{}"`)
		} else {
			w.str(string(t.Input))
		}
		w.raw(`}}`)
	}
	if n > 0 {
		w.raw(`]`)
	}
	w.raw(`}`)
	return nil
}

func (w *writer) tools(c *converse.ToolConfig) error {
	if c == nil {
		return nil
	}
	only := c.ToolChoice != nil && c.ToolChoice.Tool != nil
	n := 0
	for i := range c.Tools {
		t := c.Tools[i].ToolSpec
		path := "toolConfig.tools." + strconv.Itoa(i)
		switch {
		case c.Tools[i].CachePoint != nil:
			continue
		case t == nil:
			return w.refuse(path + ".systemTool")
		case t.Strict != nil && *t.Strict:
			return w.refuse(path + ".toolSpec.strict")
		case only && t.Name != c.ToolChoice.Tool.Name:
			continue
		}
		if n == 0 {
			w.raw(`,"tools":[`)
		} else {
			w.raw(`,`)
		}
		n++
		w.raw(`{"type":"function","function":{"name":`)
		w.str(t.Name)
		if t.Description != "" {
			w.raw(`,"description":`)
			w.str(t.Description)
		}
		if len(t.InputSchema.JSON) > 0 {
			w.raw(`,"parameters":`)
			w.b = append(w.b, t.InputSchema.JSON...)
		}
		w.raw(`}}`)
	}
	if n == 0 {
		return nil
	}
	w.raw(`]`)
	switch {
	case c.ToolChoice == nil:
	case only, c.ToolChoice.Any != nil:
		w.raw(`,"tool_choice":"any"`)
	case c.ToolChoice.Auto != nil:
		w.raw(`,"tool_choice":"auto"`)
	}
	return nil
}

var parameters = outbound.Parameters{MaxTokens: "max_tokens", Temperature: "temperature", TopP: "top_p", StopSequences: "stop"}

// additional merges the additional fields into the top level.
func (w *writer) additional(r *converse.Request, chat bool) error {
	return outbound.Additional(r, func(name string, v jsontext.Value) error {
		owned := parameters.Set(r.InferenceConfig, name)
		switch name {
		case "prompt", "messages", "tools", "n":
			owned = true
		case "tool_choice": // "none" has no other place
			owned = !chat || r.ToolConfig == nil || r.ToolConfig.ToolChoice != nil
		}
		if owned {
			return outbound.Owned(w.upstream, name)
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	})
}
