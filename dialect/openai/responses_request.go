package openai

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// AppendResponsesRequest appends r as the body of POST /responses, by the rules of AppendRequest but for these:
//
//   - System blocks become the instructions. Every block of a turn is an item of its own or a part of one, in its order.
//   - Nothing is to be stored: store is false. Where reasoning is asked for, or sealed reasoning goes back, the answer is asked
//     for its seal, encrypted_content: without it a server that stores nothing forgets what it has thought. Other models
//     refuse to be asked.
//   - Sealed thinking goes back as the reasoning item that it came in, thinking without OpenAI's seal as its text.
//   - Documents are files. Their context and the wish for citations have no equivalent, and neither have stop sequences.
//   - strict is always written, because it is true there where it is left out.
//   - Of AdditionalModelRequestFields those that Chat Completions calls otherwise are translated: reasoning_effort, verbosity,
//     response_format json_object, max_tokens and max_completion_tokens.
func AppendResponsesRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "OpenAI's Responses"}
	more, err := w.responsesFields(r)
	if err != nil {
		return nil, err
	}
	w.raw(`{"model":`)
	w.str(model)
	w.raw(`,"store":false`)
	if stream {
		w.raw(`,"stream":true`)
	}
	if err := w.instructions(r.System); err != nil {
		return nil, err
	}
	w.raw(`,"input":[`)
	for i := range r.Messages {
		if err := w.items(i, &r.Messages[i]); err != nil {
			return nil, err
		}
	}
	w.raw(`]`)
	if c := r.InferenceConfig; c != nil {
		if len(c.StopSequences) > 0 {
			return nil, w.refuse("inferenceConfig.stopSequences")
		}
		if c.MaxTokens != nil {
			w.raw(`,"max_output_tokens":`)
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
	}
	if err := w.functions(r.ToolConfig, more.noParallel); err != nil {
		return nil, err
	}
	if err := w.textFormat(r.OutputConfig, more.text); err != nil {
		return nil, err
	}
	if len(more.reasoning) > 0 {
		w.raw(`,"reasoning":`)
		w.b = append(w.b, more.reasoning...)
	}
	if (w.sealed || len(more.reasoning) > 0) && !more.include {
		w.raw(`,"include":["reasoning.encrypted_content"]`)
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	w.b = append(w.b, more.rest...)
	w.raw(`}`)
	return w.b, nil
}

// seal begins the signature of thinking, and the sealed thinking, that is an encrypted_content: what another provider has
// sealed is of no use here.
const seal = "openai:"

// item begins an item of the input.
func (w *writer) item(kind string) {
	if w.messages > 0 {
		w.raw(`,`)
	}
	w.messages++
	w.raw(`{"type":"` + kind + `"`)
}

func (w *writer) instructions(blocks []converse.SystemBlock) error {
	texts := make([]string, 0, 4)
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Text != nil:
			texts = append(texts, *b.Text)
		case b.CachePoint != nil:
		default:
			return w.refuse("system." + strconv.Itoa(i) + ".guardContent")
		}
	}
	if len(texts) > 0 {
		w.raw(`,"instructions":`)
		w.joined(len(texts), func(i int) string { return texts[i] })
	}
	return nil
}

// items writes one turn.
func (w *writer) items(i int, m *converse.Message) error {
	open, parts := false, 0 // a message, and what it holds
	part := func(kind string) {
		if !open {
			w.item("message")
			w.raw(`,"role":"` + m.Role + `","content":[`)
			open, parts = true, 0
		}
		if parts++; parts > 1 {
			w.raw(`,`)
		}
		w.raw(`{"type":"` + kind + `"`)
	}
	end := func() {
		if open {
			w.raw(`]}`)
		}
		open = false
	}
	user := m.Role == converse.RoleUser
	for j := range m.Content {
		b := &m.Content[j]
		var err error
		switch {
		case b.CachePoint != nil:
		case b.Text != nil && user:
			part("input_text")
			w.member("text", *b.Text)
		case b.Text != nil:
			part("output_text")
			w.member("text", *b.Text)
		case b.Image != nil && user:
			part("input_image")
			err = w.inputImage(outbound.At(i, j)+".image", b.Image)
		case b.Document != nil && user:
			part("input_file")
			err = w.inputFile(outbound.At(i, j)+".document", b.Document)
		case b.ToolUse != nil && !user:
			end()
			if b.ToolUse.Type != "" {
				return w.refuse(outbound.At(i, j) + ".toolUse.type")
			}
			w.item("function_call")
			w.member("call_id", b.ToolUse.ToolUseID)
			w.member("name", b.ToolUse.Name)
			input := string(b.ToolUse.Input)
			if input == "" {
				input = "{}"
			}
			w.member("arguments", input)
			w.raw(`}`)
			continue
		case b.ToolResult != nil && user:
			end()
			if err := w.functionOutput(i, j, b.ToolResult); err != nil {
				return err
			}
			continue
		case b.ReasoningContent != nil && !user:
			end()
			if err := w.reasoning(outbound.At(i, j)+".reasoningContent", b.ReasoningContent); err != nil {
				return err
			}
			continue
		default:
			return w.refuse(outbound.At(i, j) + "." + b.Member())
		}
		if err != nil {
			return err
		}
		if b.CachePoint == nil {
			w.raw(`}`)
		}
	}
	end()
	return nil
}

func (w *writer) member(name, value string) {
	w.raw(`,"` + name + `":`)
	w.str(value)
}

func (w *writer) inputImage(path string, m *converse.Image) error {
	if m.Source.S3Location != nil {
		return w.refuse(path + ".source.s3Location")
	}
	w.raw(`,"detail":"auto","image_url":"data:image/`)
	w.raw(m.Format)
	w.raw(`;base64,`)
	w.b = append(w.b, m.Source.Bytes...)
	w.raw(`"`)
	return nil
}

func (w *writer) inputFile(path string, raw converse.Raw[converse.Document]) error {
	var d converse.Document
	if err := json.Unmarshal(raw, &d); err != nil {
		return fault.Wrap(err, fault.Validation, "%s is malformed.", path)
	}
	data := d.Source.Bytes
	switch {
	case d.Context != "":
		return w.refuse(path + ".context")
	case d.Citations != nil && d.Citations.Enabled != nil && *d.Citations.Enabled:
		return w.refuse(path + ".citations")
	case d.Source.S3Location != nil:
		return w.refuse(path + ".source.s3Location")
	case d.Source.Content != nil:
		return w.refuse(path + ".source.content")
	case d.Source.Text != nil:
		data = []byte(*d.Source.Text)
	}
	format := d.Format
	if format == "" {
		format = "txt"
	}
	mime := ""
	for m, f := range documentTypes {
		if f == format {
			mime = m
		}
	}
	if mime == "" {
		return w.refuse(path + ".format " + format)
	}
	w.member("filename", d.Name+"."+format)
	w.raw(`,"file_data":"data:` + mime + `;base64,`)
	w.b = base64.StdEncoding.AppendEncode(w.b, data)
	w.raw(`"`)
	return nil
}

// functionOutput writes a tool's result: as one string where it is all text, which every server takes, else in parts.
func (w *writer) functionOutput(i, j int, t *converse.ToolResult) error {
	if t.Type != "" {
		return w.refuse(outbound.At(i, j) + ".toolResult.type")
	}
	w.item("function_call_output")
	w.member("call_id", t.ToolUseID)
	w.raw(`,"output":`)
	texts := make([]string, 0, len(t.Content))
	for k := range t.Content {
		switch c := &t.Content[k]; {
		case c.Text != nil:
			texts = append(texts, *c.Text)
		case len(c.JSON) > 0:
			v := c.JSON.Clone()
			if v.Compact() != nil { // only what was never read by a decoder
				return fault.New(fault.Validation, "%s.toolResult.content.%d.json is not valid JSON.", outbound.At(i, j), k)
			}
			texts = append(texts, string(v))
		}
	}
	if t.Status == "error" {
		if len(texts) == 0 {
			texts = append(texts, "")
		}
		texts[0] = "Error: " + texts[0]
	}
	if len(t.Content) <= len(texts) {
		w.joined(len(texts), func(i int) string { return texts[i] })
		w.raw(`}`)
		return nil
	}
	w.raw(`[`)
	for n, s := range texts {
		if n > 0 {
			w.raw(`,`)
		}
		w.raw(`{"type":"input_text"`)
		w.member("text", s)
		w.raw(`}`)
	}
	n := len(texts)
	for k := range t.Content {
		c := &t.Content[k]
		path := outbound.At(i, j) + ".toolResult.content." + strconv.Itoa(k) + "."
		if c.Text != nil || len(c.JSON) > 0 {
			continue
		}
		if n++; n > 1 {
			w.raw(`,`)
		}
		var err error
		switch {
		case c.Image != nil:
			w.raw(`{"type":"input_image"`)
			err = w.inputImage(path+"image", c.Image)
		case len(c.Document) > 0:
			w.raw(`{"type":"input_file"`)
			err = w.inputFile(path+"document", c.Document)
		default:
			err = w.refuse(path + c.Member())
		}
		if err != nil {
			return err
		}
		w.raw(`}`)
	}
	w.raw(`]}`)
	return nil
}

func (w *writer) reasoning(path string, c *converse.Reasoning) error {
	text, sealed := "", ""
	switch t := c.ReasoningText; {
	case t != nil:
		text = t.Text
		if s, ok := strings.CutPrefix(t.Signature, seal); ok {
			sealed = s
		}
	default:
		s, ok := strings.CutPrefix(string(c.RedactedContent), seal)
		if !ok { // nobody but its provider can read it
			return w.refuse(path + ".redactedContent")
		}
		sealed = s
	}
	w.item("reasoning")
	switch {
	case sealed == "":
		w.raw(`,"summary":[],"content":[{"type":"reasoning_text"`)
		w.member("text", text)
		w.raw(`}]}`)
		return nil
	case text == "":
		w.raw(`,"summary":[]`)
	default:
		w.raw(`,"summary":[{"type":"summary_text"`)
		w.member("text", text)
		w.raw(`}]`)
	}
	w.sealed = true
	w.member("encrypted_content", sealed)
	w.raw(`}`)
	return nil
}

// functions writes the tools. As in Chat Completions, one that must be called stands alone.
func (w *writer) functions(c *converse.ToolConfig, noParallel bool) error {
	if c == nil {
		return nil
	}
	only := c.ToolChoice != nil && c.ToolChoice.Tool != nil
	specs := 0
	for i := range c.Tools {
		t := &c.Tools[i]
		switch {
		case t.CachePoint != nil:
			continue
		case t.ToolSpec == nil:
			return w.refuse("toolConfig.tools." + strconv.Itoa(i) + ".systemTool")
		case only && t.ToolSpec.Name != c.ToolChoice.Tool.Name:
			continue
		}
		if specs++; specs == 1 {
			w.raw(`,"tools":[`)
		} else {
			w.raw(`,`)
		}
		w.raw(`{"type":"function"`)
		w.member("name", t.ToolSpec.Name)
		if t.ToolSpec.Description != "" {
			w.member("description", t.ToolSpec.Description)
		}
		w.raw(`,"parameters":`)
		if len(t.ToolSpec.InputSchema.JSON) > 0 {
			w.b = append(w.b, t.ToolSpec.InputSchema.JSON...)
		} else {
			w.raw(`{"type":"object","properties":{}}`)
		}
		w.raw(`,"strict":`)
		w.b = strconv.AppendBool(w.b, t.ToolSpec.Strict != nil && *t.ToolSpec.Strict)
		w.raw(`}`)
	}
	if specs == 0 {
		return nil
	}
	w.raw(`]`)
	if noParallel {
		w.raw(`,"parallel_tool_calls":false`)
	}
	switch {
	case c.ToolChoice == nil:
	case only, c.ToolChoice.Any != nil:
		w.raw(`,"tool_choice":"required"`)
	case c.ToolChoice.Auto != nil:
		w.raw(`,"tool_choice":"auto"`)
	}
	return nil
}

// textFormat writes the member text: the form of the output, and more members, each behind a comma.
func (w *writer) textFormat(c *converse.OutputConfig, more []byte) error {
	s, schema, err := outbound.Schema(c, w.upstream, w.format)
	if err != nil {
		return err
	}
	if s != nil {
		w.raw(`,"text":{"format":{"type":"json_schema"`)
		w.member("name", schemaName(s))
		if s.Description != "" {
			w.member("description", s.Description)
		}
		w.raw(`,"schema":`)
		w.b = append(w.b, schema...)
		w.raw(`,"strict":true}`)
		w.b = append(append(w.b, more...), '}')
		return nil
	}
	if len(more) > 0 {
		w.raw(`,"text":{`)
		w.b = append(append(w.b, more[1:]...), '}')
	}
	return nil
}

// extraFields are the additional fields, sorted.
type extraFields struct {
	reasoning  jsontext.Value
	text       []byte // members of text, each behind a comma
	rest       []byte // members of the request, likewise
	include    bool   // among rest
	noParallel bool
}

// responsesFields sorts r's additional fields.
func (w *writer) responsesFields(r *converse.Request) (f extraFields, err error) {
	if len(r.AdditionalModelRequestFields) == 0 {
		return f, nil
	}
	c := r.InferenceConfig
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	formatted := r.OutputConfig != nil && r.OutputConfig.TextFormat != nil
	owned := func(name string) error { return outbound.Owned(w.upstream, name) }
	object := func(name string, v []byte, each func(name string, v []byte) error) error {
		if len(v) == 0 || v[0] != '{' {
			return fault.New(fault.Validation, "additionalModelRequestFields.%s is not a JSON object.", name)
		}
		return members(v, each)
	}
	if !r.AdditionalModelRequestFields.IsValid() || r.AdditionalModelRequestFields.Kind() != '{' {
		return f, fault.New(fault.Validation, "additionalModelRequestFields is not a JSON object.")
	}
	err = outbound.Translated(r, w.upstream, w.format, func(name string, v jsontext.Value) error {
		switch its, asked := outbound.AnthropicServes(name, v); {
		case asked:
			return w.refuse("additionalModelRequestFields." + name)
		case its, outbound.OfAnthropic(name):
			return nil
		}
		mine := false
		switch name {
		case "model", "input", "instructions", "messages", "stream", "stream_options", "store", "tools", "functions", "function_call", "n",
			"previous_response_id", "conversation", "prompt", "background":
			mine = true
		case "stop":
			return w.refuse("additionalModelRequestFields.stop")
		case "reasoning", "reasoning_effort":
			if f.reasoning != nil {
				return owned(name)
			}
			if f.reasoning = v; name == "reasoning_effort" {
				f.reasoning = append(append([]byte(`{"effort":`), v...), '}')
			}
			return nil
		case "verbosity":
			f.text = outbound.AppendMember(f.text, name, v)
			return nil
		case "response_format":
			var format struct {
				Type string `json:"type"`
			}
			if json.Unmarshal(v, &format) != nil || format.Type != "json_object" && format.Type != "text" || formatted {
				return owned(name)
			}
			f.text = outbound.AppendMember(f.text, "format", v)
			return nil
		case "text":
			return object(name, v, func(name string, v []byte) error {
				if name == "format" && formatted {
					return owned("text.format")
				}
				f.text = outbound.AppendMember(f.text, name, v)
				return nil
			})
		case "tool_choice":
			none, one, ok := choiceOf(v)
			if !ok || r.ToolConfig == nil || none && r.ToolConfig.ToolChoice != nil {
				return owned(name)
			}
			if f.noParallel = f.noParallel || one; none {
				f.rest = outbound.AppendMember(f.rest, name, []byte(`"none"`))
			}
			return nil
		case "parallel_tool_calls":
			if f.noParallel = f.noParallel || string(v) == "false"; string(v) == "false" {
				return nil
			}
		case "service_tier":
			mine = r.ServiceTier != nil
		case "max_tokens", "max_completion_tokens", "max_output_tokens":
			if c.MaxTokens != nil {
				return owned(name) // as the caller has written it
			}
			name = "max_output_tokens"
		case "temperature":
			mine = c.Temperature != nil
		case "top_p":
			mine = c.TopP != nil
		case "include":
			f.include = true
		}
		if mine {
			return owned(name)
		}
		f.rest = outbound.AppendMember(f.rest, name, v)
		return nil
	})
	return f, err
}

// choiceOf reads an additional tool_choice: no tool at all, as either vendor says it, or Anthropic's wish for one call at a
// time.
func choiceOf(v []byte) (none, one, ok bool) {
	if string(v) == `"none"` {
		return true, false, true
	}
	var c struct {
		Type     string `json:"type"`
		Parallel *bool  `json:"disable_parallel_tool_use"`
	}
	if json.Unmarshal(v, &c) != nil {
		return false, false, false
	}
	return c.Type == "none", c.Parallel != nil && *c.Parallel, c.Type == "none" || c.Parallel != nil
}
