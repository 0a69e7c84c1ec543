// Package openai translates between converse and OpenAI's Chat Completions, the format that OpenAI, vLLM, SGLang,
// llama.cpp, Ollama and most model servers speak. It reads and writes JSON only; upstream/openai carries it.
//
// What Chat Completions cannot say is refused by name, never dropped, except for hints whose loss changes no answer:
// cachePoint (these servers cache prefixes by themselves), the signature over readable thinking (only its own provider
// can check it), performanceConfig "standard" and serviceTier "default" (what is asked for anyway) and requestMetadata
// (for Bedrock's logs, not for the model).
package openai

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// AppendRequest appends r as the body of POST /chat/completions. upstream names the server in refusals, which are of
// kind fault.Validation and name the member by its path in the Converse request.
//
//   - System blocks become one system message, and the text blocks of a turn without pictures one string, joined by a
//     line break: what llama.cpp and vLLM make of parts, and understood by servers that take strings only.
//   - A tool result becomes a message of role tool, before the rest of its turn. It holds text only, so JSON goes in as
//     text, status "error" as the words "Error: " before it, and its pictures follow in the user's message.
//   - Thinking of earlier turns goes back as reasoning_content.
//   - outputConfig becomes response_format, strict, since Bedrock promises output of that form.
//   - AdditionalModelRequestFields are merged into the top level, verbatim. A member that AppendRequest has written
//     itself, or that changes how many answers come back or in which framing, is refused. Left out are anthropic_beta
//     and anthropic_version, which name features of another vendor's API.
//   - maxTokens is sent as max_tokens. A model that wants max_completion_tokens takes it as an additional field.
func AppendRequest(dst []byte, r *converse.Request, model string, stream bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "OpenAI's Chat Completions"}
	w.raw(`{"model":`)
	w.str(model)
	w.raw(`,"messages":[`)
	if err := w.system(r.System); err != nil {
		return nil, err
	}
	for i := range r.Messages {
		if err := w.message(i, &r.Messages[i]); err != nil {
			return nil, err
		}
	}
	w.raw(`]`)
	if stream {
		w.raw(`,"stream":true,"stream_options":{"include_usage":true}`)
	}
	w.b = parameters.Append(w.b, r.InferenceConfig)
	noParallel, additional, err := w.additional(r)
	if err != nil {
		return nil, err
	}
	if err := w.tools(r.ToolConfig, noParallel); err != nil {
		return nil, err
	}
	if err := w.output(r.OutputConfig); err != nil {
		return nil, err
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	if stream {
		if err := w.fieldPaths(r.AdditionalModelResponseFieldPaths); err != nil {
			return nil, err
		}
	}
	w.b = append(w.b, additional...)
	w.raw(`}`)
	return w.b, nil
}

// EstimateSize returns about how many bytes AppendRequest will append, so that a caller can allocate once.
func EstimateSize(r *converse.Request) int {
	n := 256 + len(r.AdditionalModelRequestFields)
	for i := range r.System {
		if t := r.System[i].Text; t != nil {
			n += converse.QuotedSize(*t)
		}
	}
	for i := range r.Messages {
		n += 64
		for j := range r.Messages[i].Content {
			switch b := &r.Messages[i].Content[j]; {
			case b.Text != nil:
				n += converse.QuotedSize(*b.Text)
			case b.Image != nil:
				n += 64 + len(b.Image.Source.Bytes)
			case b.ToolUse != nil:
				n += 128 + len(b.ToolUse.Input)*5/4
			default:
				n += 256
			}
		}
	}
	if r.ToolConfig != nil {
		for i := range r.ToolConfig.Tools {
			if s := r.ToolConfig.Tools[i].ToolSpec; s != nil {
				n += 128 + len(s.Description) + len(s.InputSchema.JSON)
			}
		}
	}
	return n
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
	format   string // what the server speaks
	messages int    // written so far; of Responses, items
	sealed   bool   // of Responses: sealed reasoning is among them
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return outbound.Refuse(w.upstream, w.format, path)
}

func (w *writer) begin(role string) {
	if w.messages > 0 {
		w.raw(`,`)
	}
	w.messages++
	w.raw(`{"role":"`)
	w.raw(role)
	w.raw(`"`)
}

// joined writes the quoted texts, joined by a line break. It writes an empty string for none.
func (w *writer) joined(texts int, text func(int) string) {
	w.raw(`"`)
	for i := range texts {
		if i > 0 {
			w.raw(`\n`)
		}
		w.b = converse.AppendEscaped(w.b, text(i))
	}
	w.raw(`"`)
}

func (w *writer) system(blocks []converse.SystemBlock) error {
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
	if len(texts) == 0 {
		return nil
	}
	w.begin("system")
	w.raw(`,"content":`)
	w.joined(len(texts), func(i int) string { return texts[i] })
	w.raw(`}`)
	return nil
}

// message writes one turn, which is one message or, with tool results, several.
func (w *writer) message(i int, m *converse.Message) error {
	if m.Role == converse.RoleAssistant {
		return w.assistant(i, m.Content)
	}
	return w.user(i, m.Content)
}

func (w *writer) user(i int, content []converse.ContentBlock) error {
	texts, pictures, results := 0, 0, 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			texts++
		case b.Image != nil:
			pictures++
		case b.ToolResult != nil:
			results++
			for k := range b.ToolResult.Content {
				if b.ToolResult.Content[k].Image != nil {
					pictures++
				}
			}
		case b.CachePoint != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	if results > 0 {
		for j := range content {
			if t := content[j].ToolResult; t != nil {
				if err := w.toolResult(i, j, t); err != nil {
					return err
				}
			}
		}
	}
	if texts == 0 && pictures == 0 {
		if results == 0 { // an empty turn keeps its place in the alternation
			w.begin("user")
			w.raw(`,"content":""}`)
		}
		return nil
	}
	w.begin("user")
	w.raw(`,"content":`)
	if pictures == 0 {
		w.textBlocks(content)
		w.raw(`}`)
		return nil
	}
	w.raw(`[`)
	first := true
	part := func() {
		if !first {
			w.raw(`,`)
		}
		first = false
	}
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			part()
			w.raw(`{"type":"text","text":`)
			w.str(*b.Text)
			w.raw(`}`)
		case b.Image != nil:
			part()
			if err := w.image(outbound.At(i, j)+".image", b.Image); err != nil {
				return err
			}
		case b.ToolResult != nil:
			for k := range b.ToolResult.Content {
				if m := b.ToolResult.Content[k].Image; m != nil {
					part()
					w.raw(`{"type":"text","text":`)
					w.str("Image from the result of tool call " + b.ToolResult.ToolUseID + ":")
					w.raw(`},`)
					if err := w.image(outbound.At(i, j)+".toolResult.content."+strconv.Itoa(k)+".image", m); err != nil {
						return err
					}
				}
			}
		}
	}
	w.raw(`]}`)
	return nil
}

// textBlocks writes the text blocks of content as one string.
func (w *writer) textBlocks(content []converse.ContentBlock) {
	if len(content) == 1 && content[0].Text != nil {
		w.str(*content[0].Text)
		return
	}
	texts := make([]string, 0, len(content))
	for i := range content {
		if t := content[i].Text; t != nil {
			texts = append(texts, *t)
		}
	}
	w.joined(len(texts), func(i int) string { return texts[i] })
}

func (w *writer) image(path string, m *converse.Image) error {
	switch {
	case m.Source.S3Location != nil:
		return w.refuse(path + ".source.s3Location")
	case m.Error != nil:
		return w.refuse(path + ".error")
	}
	w.raw(`{"type":"image_url","image_url":{"url":"data:image/`)
	switch m.Format {
	case "png", "jpeg", "gif", "webp":
		w.raw(m.Format)
	default:
		return fault.New(fault.Validation, "%s.format: %q is not one of png, jpeg, gif, webp.", path, m.Format)
	}
	w.raw(`;base64,`)
	w.b = append(w.b, m.Source.Bytes...)
	w.raw(`"}}`)
	return nil
}

func (w *writer) toolResult(i, j int, t *converse.ToolResult) error {
	w.begin("tool")
	w.raw(`,"tool_call_id":`)
	w.str(t.ToolUseID)
	w.raw(`,"content":`)
	texts := make([]string, 0, 4)
	for k := range t.Content {
		switch c := &t.Content[k]; {
		case c.Text != nil:
			texts = append(texts, *c.Text)
		case len(c.JSON) > 0:
			v := c.JSON
			if bytes.ContainsAny(v, "\n\t ") {
				v = v.Clone()
				if v.Compact() != nil { // only what was never read by a decoder
					return fault.New(fault.Validation, "%s.toolResult.content.%d.json is not valid JSON.", outbound.At(i, j), k)
				}
			}
			texts = append(texts, string(v))
		case c.Image != nil:
			texts = append(texts, "[An image, in the next message.]")
		default:
			return w.refuse(outbound.At(i, j) + ".toolResult.content." + strconv.Itoa(k) + "." + c.Member())
		}
	}
	if t.Status == "error" {
		if len(texts) == 0 {
			texts = append(texts, "")
		}
		texts[0] = "Error: " + texts[0]
	}
	w.joined(len(texts), func(i int) string { return texts[i] })
	w.raw(`}`)
	return nil
}

func (w *writer) assistant(i int, content []converse.ContentBlock) error {
	texts, calls, thoughts := 0, 0, 0
	for j := range content {
		switch b := &content[j]; {
		case b.Text != nil:
			texts++
		case b.ToolUse != nil:
			calls++
			if b.ToolUse.Type != "" {
				return w.refuse(outbound.At(i, j) + ".toolUse.type")
			}
		case b.ReasoningContent != nil:
			if b.ReasoningContent.ReasoningText == nil {
				return w.refuse(outbound.At(i, j) + ".reasoningContent.redactedContent")
			}
			thoughts++
		case b.CachePoint != nil:
		default:
			return w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	w.begin("assistant")
	if thoughts > 0 {
		w.raw(`,"reasoning_content":`)
		ts := make([]string, 0, thoughts)
		for j := range content {
			if r := content[j].ReasoningContent; r != nil {
				ts = append(ts, r.ReasoningText.Text)
			}
		}
		w.joined(len(ts), func(i int) string { return ts[i] })
	}
	w.raw(`,"content":`)
	if texts == 0 && calls > 0 {
		w.raw(`null`)
	} else {
		w.textBlocks(content)
	}
	if calls > 0 {
		w.raw(`,"tool_calls":[`)
		first := true
		for j := range content {
			t := content[j].ToolUse
			if t == nil {
				continue
			}
			if !first {
				w.raw(`,`)
			}
			first = false
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
		w.raw(`]`)
	}
	w.raw(`}`)
	return nil
}

func (w *writer) tools(c *converse.ToolConfig, noParallel bool) error {
	if c == nil {
		return nil
	}
	// One tool that must be called is said as "required" with no other tool beside it: the same to the model, and llama.cpp
	// reads an object for tool_choice as "auto".
	only := c.ToolChoice != nil && c.ToolChoice.Tool != nil
	specs := 0
	for i := range c.Tools {
		t := &c.Tools[i]
		switch {
		case t.ToolSpec != nil:
			if only && t.ToolSpec.Name != c.ToolChoice.Tool.Name {
				continue
			}
		case t.CachePoint != nil:
			continue
		default:
			return w.refuse("toolConfig.tools." + strconv.Itoa(i) + ".systemTool")
		}
		if specs == 0 {
			w.raw(`,"tools":[`)
		} else {
			w.raw(`,`)
		}
		specs++
		w.raw(`{"type":"function","function":{"name":`)
		w.str(t.ToolSpec.Name)
		if t.ToolSpec.Description != "" {
			w.raw(`,"description":`)
			w.str(t.ToolSpec.Description)
		}
		if len(t.ToolSpec.InputSchema.JSON) > 0 {
			w.raw(`,"parameters":`)
			w.b = append(w.b, t.ToolSpec.InputSchema.JSON...)
		}
		if t.ToolSpec.Strict != nil {
			w.raw(`,"strict":`)
			w.b = strconv.AppendBool(w.b, *t.ToolSpec.Strict)
		}
		w.raw(`}}`)
	}
	if specs == 0 {
		return nil
	}
	w.raw(`]`)
	if noParallel {
		w.raw(`,"parallel_tool_calls":false`)
	}
	if c.ToolChoice == nil {
		return nil
	}
	switch {
	case only, c.ToolChoice.Any != nil:
		w.raw(`,"tool_choice":"required"`)
	case c.ToolChoice.Auto != nil:
		w.raw(`,"tool_choice":"auto"`)
	}
	return nil
}

func (w *writer) output(c *converse.OutputConfig) error {
	s, schema, err := outbound.Schema(c, w.upstream, w.format)
	if s == nil {
		return err
	}
	w.raw(`,"response_format":{"type":"json_schema","json_schema":{"name":`)
	w.str(schemaName(s))
	if s.Description != "" {
		w.raw(`,"description":`)
		w.str(s.Description)
	}
	w.raw(`,"schema":`)
	w.b = append(w.b, schema...)
	w.raw(`,"strict":true}}`)
	return nil
}

// schemaName is required there, optional here.
func schemaName(s *converse.JSONSchema) string {
	if s.Name == "" {
		return "response"
	}
	return s.Name
}

// service writes what asks for a class of service and refuses what only Bedrock itself can do.
func (w *writer) service(r *converse.Request) error {
	if t := r.ServiceTier; t != nil {
		switch t.Type {
		case "priority", "flex":
			w.raw(`,"service_tier":"`)
			w.raw(t.Type)
			w.raw(`"`)
		case "default", "":
		default:
			return w.refuse("serviceTier." + t.Type)
		}
	}
	if path := outbound.BedrockOnly(r); path != "" {
		return w.refuse(path)
	}
	return nil
}

var parameters = outbound.Parameters{MaxTokens: "max_tokens", Temperature: "temperature", TopP: "top_p", StopSequences: "stop"}

// fieldPaths refuses the paths of what a stream tells in pieces: the end of it, which is where paths lead to, does not have
// it.
func (w *writer) fieldPaths(paths []string) error {
	for i, path := range paths {
		at := strings.SplitN(path, "/", 5)
		if len(at) < 4 || at[1] != "choices" {
			continue
		}
		switch at[3] {
		case "delta", "message", "logprobs":
			return fault.New(fault.Validation, "The model doesn't support additionalModelResponseFieldPaths.%d in a stream: upstream %q sends %s in pieces. Use Converse, or remove it and try again.", i, w.upstream, path)
		}
	}
	return nil
}

// additional returns the additional fields as they follow the request's own members, each with a comma before it.
func (w *writer) additional(r *converse.Request) (noParallel bool, fields []byte, err error) {
	err = outbound.Translated(r, w.upstream, w.format, func(name string, v jsontext.Value) error {
		switch its, asked := outbound.AnthropicServes(name, v); {
		case asked:
			return w.refuse("additionalModelRequestFields." + name)
		case its, outbound.OfAnthropic(name):
			return nil
		}
		owned := parameters.Set(r.InferenceConfig, name)
		switch name {
		case "model", "messages", "stream", "stream_options", "n", "tools", "functions", "function_call":
			owned = true
		case "max_completion_tokens":
			owned = parameters.Set(r.InferenceConfig, parameters.MaxTokens)
		case "response_format":
			owned = r.OutputConfig != nil
		case "tool_choice":
			none, one, ok := choiceOf(v)
			if !ok || r.ToolConfig == nil || none && r.ToolConfig.ToolChoice != nil {
				owned = true
				break
			}
			if noParallel = one; !none {
				return nil
			}
			v = jsontext.Value(`"none"`) // which toolChoice has no member for
		case "parallel_tool_calls":
			owned = noParallel
		case "service_tier":
			owned = r.ServiceTier != nil
		}
		if owned {
			return outbound.Owned(w.upstream, name)
		}
		fields = outbound.AppendMember(fields, name, v)
		return nil
	})
	return noParallel, fields, err
}
