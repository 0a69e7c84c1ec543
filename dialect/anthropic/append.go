package anthropic

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// defaultMaxTokens is the max_tokens of a request that has none, since Messages demands one. It is what Bedrock's Converse
// itself gives Claude models, whatever their limit (github.com/BerriAI/litellm issue 41529, a recorded call).
const defaultMaxTokens = 4096

// form is which of the three bodies is read or written.
type form uint8

const (
	invokeModel form = iota // Bedrock's InvokeModel
	messagesAPI             // POST /v1/messages
	countTokens             // POST /v1/messages/count_tokens
)

// AppendRequest appends r as an InvokeModel body of Amazon Bedrock. The model and the wish for a stream are no part of it.
// upstream names the server in refusals, which are of kind fault.Validation and name the member by its path in the Converse
// request.
//
//   - A cache point becomes cache_control of the block, the tool or the system block before it.
//   - A tool result's json goes in as text, and so do documents of the formats txt, md, csv and html.
//   - The characters "." and ":" of a tool use's id, which Converse allows and Messages does not, become "_", in the call
//     and in its result.
//   - outputConfig becomes output_config.format; its name, a label, is left out, and its description goes into the schema.
//   - AdditionalModelRequestFields are merged into the top level, and those of tools, tool_choice and output_config into
//     these; OpenAI's parallel_tool_calls false is tool_choice's disable_parallel_tool_use. A member that AppendRequest has
//     written itself is refused, and so are tools that Anthropic runs itself (web_search and others): Converse has no form
//     for what they answer.
//   - requestMetadata is for Bedrock's logs, not for the model.
//   - Without maxTokens, max_tokens is 4096: Bedrock's own default.
func AppendRequest(dst []byte, r *converse.Request, _ string, _ bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, form: invokeModel}
	if err := w.additional(r); err != nil {
		return nil, err
	}
	w.raw(`{"anthropic_version":"bedrock-2023-05-31"`)
	if len(w.betas) > 0 {
		w.raw(`,"anthropic_beta":`)
		w.strings(w.betas)
	}
	return w.request(r)
}

// AppendMessages appends r as the body of POST /v1/messages of Anthropic's own API, by the rules of AppendRequest. betas is
// what the header anthropic-beta has to name: the anthropic_beta of AdditionalModelRequestFields.
func AppendMessages(dst []byte, r *converse.Request, model string, stream bool, upstream string) (body []byte, betas []string, err error) {
	w := writer{b: dst, upstream: upstream, form: messagesAPI}
	if err := w.additional(r); err != nil {
		return nil, nil, err
	}
	w.raw(`{"model":`)
	w.str(model)
	if stream {
		w.raw(`,"stream":true`)
	}
	body, err = w.request(r)
	return body, w.betas, err
}

// AppendCountTokens appends r as the body of POST /v1/messages/count_tokens, which takes the members that make up the
// prompt and no other. betas is as in AppendMessages.
func AppendCountTokens(dst []byte, r *converse.Request, model, upstream string) (body []byte, betas []string, err error) {
	w := writer{b: dst, upstream: upstream, form: countTokens}
	if err := w.additional(r); err != nil {
		return nil, nil, err
	}
	w.raw(`{"model":`)
	w.str(model)
	body, err = w.request(r)
	return body, w.betas, err
}

// AppendNative appends body, a Messages request in Bedrock's form or in Anthropic's own, as the body of POST /v1/messages:
// every member as it is but for model and stream, which are set anew, and anthropic_version and anthropic_beta, which are
// headers there. betas is as in AppendMessages.
func AppendNative(dst, body []byte, model string, stream bool) (out []byte, betas []string, err error) {
	return appendNative(writer{b: dst, form: messagesAPI}, body, model, stream)
}

// AppendNativeCount is AppendNative for POST /v1/messages/count_tokens: members that are no part of the prompt are left out.
func AppendNativeCount(dst, body []byte, model string) (out []byte, betas []string, err error) {
	return appendNative(writer{b: dst, form: countTokens}, body, model, false)
}

// AppendInvokeModel appends body, a request of Anthropic's own API, as an InvokeModel body of Amazon Bedrock: every member as
// it is but for model and stream, which the path says there, and anthropic_version, which is Bedrock's. betas is the value of
// the header anthropic-beta: Bedrock takes the names in the body.
func AppendInvokeModel(dst, body []byte, betas string) ([]byte, error) {
	w := writer{b: append(dst, `{"anthropic_version":"bedrock-2023-05-31"`...), form: invokeModel}
	if err := w.native(body); err != nil {
		return nil, err
	}
	for _, name := range strings.FieldsFunc(betas, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if !slices.Contains(w.betas, name) {
			w.betas = append(w.betas, name)
		}
	}
	if len(w.betas) > 0 {
		w.raw(`,"anthropic_beta":`)
		w.strings(w.betas)
	}
	w.raw(`}`)
	return w.b, nil
}

func appendNative(w writer, body []byte, model string, stream bool) ([]byte, []string, error) {
	w.raw(`{"model":`)
	w.str(model)
	if stream {
		w.raw(`,"stream":true`)
	}
	if err := w.native(body); err != nil {
		return nil, nil, err
	}
	w.raw(`}`)
	return w.b, w.betas, nil
}

// native writes the members of body but those that are said elsewhere, and keeps the betas.
func (w *writer) native(body []byte) error {
	malformed := fault.New(fault.Validation, "Malformed input request, please reformat your input and try again.")
	if jsontext.Value(body).Kind() != '{' {
		return malformed
	}
	err := converse.EachMember(body, func(name string, v jsontext.Value) error {
		switch name {
		case "model", "stream", "anthropic_version":
			return nil
		case "anthropic_beta":
			if v.Kind() == 'n' {
				return nil
			}
			return w.beta(name, v)
		case "messages", "system", "tools", "tool_choice", "output_config":
		default:
			if w.form == countTokens && !inPrompt(name) {
				return nil
			}
		}
		w.b = outbound.AppendMember(w.b, name, v)
		return nil
	}, lenient)
	if errors.Is(err, converse.ErrNotObject) {
		return malformed
	}
	return err
}

// inPrompt says which members besides those that every request has the token counting takes.
func inPrompt(name string) bool {
	switch name {
	case "thinking", "output_format", "cache_control", "context_management", "mcp_servers":
		return true
	}
	return false
}

// EstimateSize returns about how many bytes AppendRequest will append, so that a caller can allocate once.
func EstimateSize(r *converse.Request) int {
	text := int(r.Size().Text)
	n := 512 + text + text/16 + len(r.AdditionalModelRequestFields)
	for i := range r.Messages {
		n += 64
		for j := range r.Messages[i].Content {
			n += 64
			if m := r.Messages[i].Content[j].Image; m != nil {
				n += len(m.Source.Bytes)
			}
		}
	}
	return n
}

// writer appends the parts of a request.
type writer struct {
	b        []byte
	upstream string
	form     form

	// cacheable says that what was written last is an object that can have a cache_control.
	cacheable bool

	// Of the additional fields: what is merged into members that are written here, and the rest.
	betas     []string
	extra     []byte // tools, each with a comma before it
	choice    toolChoice
	rawChoice jsontext.Value // the same as it came
	output    []byte         // members of output_config, each with a comma before it
	rest      []byte         // members of the top level, likewise
	most      bool           // max_tokens is among them
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }
func (w *writer) str(s string) { w.b = converse.AppendQuote(w.b, s) }

func (w *writer) strings(list []string) {
	w.raw(`[`)
	for i, s := range list {
		if i > 0 {
			w.raw(`,`)
		}
		w.str(s)
	}
	w.raw(`]`)
}

// format is what refusals call it.
const format = "Anthropic's Messages"

// refuse says that the upstream cannot express the member at path.
func (w *writer) refuse(path string) error {
	return outbound.Refuse(w.upstream, format, path)
}

// request writes what is the same in every form, and the end.
func (w *writer) request(r *converse.Request) ([]byte, error) {
	if w.form != countTokens {
		w.inference(r.InferenceConfig)
	}
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
		if err := w.content("messages."+strconv.Itoa(i)+".content.", r.Messages[i].Content); err != nil {
			return nil, err
		}
		w.raw(`]}`)
	}
	w.raw(`]`)
	if err := w.tools(r.ToolConfig); err != nil {
		return nil, err
	}
	if err := w.outputConfig(r.OutputConfig); err != nil {
		return nil, err
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	w.b = append(w.b, w.rest...)
	w.raw(`}`)
	return w.b, nil
}

func (w *writer) inference(c *converse.InferenceConfig) {
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	if !w.most {
		most := defaultMaxTokens
		if c.MaxTokens != nil {
			most = *c.MaxTokens
		}
		w.raw(`,"max_tokens":`)
		w.b = strconv.AppendInt(w.b, int64(most), 10)
	}
	if c.Temperature != nil {
		w.raw(`,"temperature":`)
		w.b = jsontext.AppendFloat(w.b, *c.Temperature, 64)
	}
	if c.TopP != nil {
		w.raw(`,"top_p":`)
		w.b = jsontext.AppendFloat(w.b, *c.TopP, 64)
	}
	if len(c.StopSequences) > 0 {
		w.raw(`,"stop_sequences":`)
		w.strings(c.StopSequences)
	}
}

// cachePoint writes p, which stands at path, into the object before it.
func (w *writer) cachePoint(path string, p *converse.CachePoint) error {
	if !w.cacheable {
		return fault.New(fault.Validation, "The model doesn't support %s: upstream %q marks the block before a cache point, and there is none that can be marked. Remove it and try again.", path, w.upstream)
	}
	w.b = w.b[:len(w.b)-1] // the brace
	w.raw(`,"cache_control":{"type":"ephemeral"`)
	if p.TTL != "" {
		w.raw(`,"ttl":`)
		w.str(p.TTL)
	}
	w.raw(`}}`)
	w.cacheable = false
	return nil
}

// next begins another element of a list, of which n counts them.
func (w *writer) next(n *int) {
	if *n > 0 {
		w.raw(`,`)
	}
	*n++
	w.cacheable = true
}

func (w *writer) text(s string) {
	w.raw(`{"type":"text","text":`)
	w.str(s)
	w.raw(`}`)
}

func (w *writer) system(blocks []converse.SystemBlock) error {
	if len(blocks) == 0 {
		return nil
	}
	w.raw(`,"system":[`)
	w.cacheable = false
	n := 0
	for i := range blocks {
		path := "system." + strconv.Itoa(i)
		switch b := &blocks[i]; {
		case b.Text != nil:
			w.next(&n)
			w.text(*b.Text)
		case b.CachePoint != nil:
			if err := w.cachePoint(path+".cachePoint", b.CachePoint); err != nil {
				return err
			}
		default:
			return w.refuse(path + ".guardContent")
		}
	}
	w.raw(`]`)
	return nil
}

// content writes the blocks of one turn. path ends in a dot.
func (w *writer) content(path string, blocks []converse.ContentBlock) error {
	w.cacheable = false
	n := 0
	for i := range blocks {
		b := &blocks[i]
		at := path + strconv.Itoa(i) + "."
		if b.CachePoint != nil {
			if err := w.cachePoint(at+"cachePoint", b.CachePoint); err != nil {
				return err
			}
			continue
		}
		w.next(&n)
		var err error
		switch {
		case b.Text != nil:
			w.text(*b.Text)
		case b.Image != nil:
			err = w.image(at+"image", b.Image)
		case b.ToolUse != nil:
			err = w.toolUse(at+"toolUse", b.ToolUse)
		case b.ToolResult != nil:
			err = w.toolResult(at+"toolResult", b.ToolResult)
		case b.ReasoningContent != nil:
			w.cacheable = false // thinking takes no cache_control: "Prompt caching" in Anthropic's documentation
			if t := b.ReasoningContent.ReasoningText; t != nil {
				w.raw(`{"type":"thinking","thinking":`)
				w.str(t.Text)
				w.raw(`,"signature":`)
				w.str(t.Signature)
				w.raw(`}`)
			} else {
				w.raw(`{"type":"redacted_thinking","data":"`)
				w.b = base64.StdEncoding.AppendEncode(w.b, b.ReasoningContent.RedactedContent)
				w.raw(`"}`)
			}
		case len(b.Document) > 0:
			err = w.document(at+"document", b.Document)
		case len(b.SearchResult) > 0:
			err = w.searchResult(at+"searchResult", b.SearchResult)
		case len(b.CitationsContent) > 0:
			err = w.cited(at+"citationsContent", b.CitationsContent)
		case len(b.Video) > 0:
			err = w.refuse(at + "video")
		case len(b.Audio) > 0:
			err = w.refuse(at + "audio")
		case len(b.GuardContent) > 0:
			err = w.refuse(at + "guardContent")
		default:
			err = w.refuse(at + "an empty content block")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) image(path string, m *converse.Image) error {
	switch {
	case m.Source.S3Location != nil:
		return w.refuse(path + ".source.s3Location")
	case m.Error != nil:
		return w.refuse(path + ".error")
	}
	switch m.Format {
	case "png", "jpeg", "gif", "webp":
	default:
		return fault.New(fault.Validation, "%s.format: %q is not one of png, jpeg, gif, webp.", path, m.Format)
	}
	w.raw(`{"type":"image","source":{"type":"base64","media_type":"image/`)
	w.raw(m.Format)
	w.raw(`","data":"`)
	w.b = append(w.b, m.Source.Bytes...)
	w.raw(`"}}`)
	return nil
}

// id writes a tool use's id: Messages takes [a-zA-Z0-9_-].
func (w *writer) id(id string) {
	w.str(strings.Map(func(r rune) rune {
		if r == '.' || r == ':' {
			return '_'
		}
		return r
	}, id))
}

func (w *writer) toolUse(path string, t *converse.ToolUse) error {
	if t.Type != "" {
		return w.refuse(path + ".type")
	}
	w.raw(`{"type":"tool_use","id":`)
	w.id(t.ToolUseID)
	w.raw(`,"name":`)
	w.str(t.Name)
	w.raw(`,"input":`)
	if len(t.Input) == 0 {
		w.raw(`{}`)
	}
	w.b = append(w.b, t.Input...)
	w.raw(`}`)
	return nil
}

func (w *writer) toolResult(path string, t *converse.ToolResult) error {
	if t.Type != "" {
		return w.refuse(path + ".type")
	}
	w.raw(`{"type":"tool_result","tool_use_id":`)
	w.id(t.ToolUseID)
	if t.Status == "error" {
		w.raw(`,"is_error":true`)
	}
	w.raw(`,"content":[`)
	n := 0
	for i := range t.Content {
		c := &t.Content[i]
		at := path + ".content." + strconv.Itoa(i) + "."
		if c.Text != nil && *c.Text == "" {
			continue // a result may be empty, a text block may not
		}
		w.next(&n)
		var err error
		switch {
		case c.Text != nil:
			w.text(*c.Text)
		case len(c.JSON) > 0:
			v := c.JSON.Clone()
			if v.Compact() != nil { // only what was never read by a decoder
				return fault.New(fault.Validation, "%sjson is not valid JSON.", at)
			}
			w.text(string(v))
		case c.Image != nil:
			err = w.image(at+"image", c.Image)
		case len(c.Document) > 0:
			err = w.document(at+"document", c.Document)
		case len(c.SearchResult) > 0:
			err = w.searchResult(at+"searchResult", c.SearchResult)
		case len(c.Video) > 0:
			err = w.refuse(at + "video")
		default:
			err = w.refuse(at + "an empty content block")
		}
		if err != nil {
			return err
		}
	}
	w.raw(`]}`)
	return nil
}

func read(path string, v []byte, to any) error {
	if err := json.Unmarshal(v, to); err != nil {
		return fault.Wrap(err, fault.Validation, "%s is malformed.", path)
	}
	return nil
}

func (w *writer) document(path string, v converse.Raw[converse.Document]) error {
	var d converse.Document
	if err := read(path, v, &d); err != nil {
		return err
	}
	w.raw(`{"type":"document","source":`)
	s := &d.Source
	switch {
	case s.S3Location != nil:
		return w.refuse(path + ".source.s3Location")
	case s.Text != nil:
		w.plain(*s.Text)
	case s.Content != nil:
		w.raw(`{"type":"content","content":[`)
		n := 0
		for i := range s.Content {
			if t := s.Content[i].Text; t != nil {
				w.next(&n)
				w.text(*t)
			}
		}
		w.raw(`]}`)
	case d.Format == "pdf":
		w.raw(`{"type":"base64","media_type":"application/pdf","data":"`)
		w.b = base64.StdEncoding.AppendEncode(w.b, s.Bytes)
		w.raw(`"}`)
	case d.Format == "", d.Format == "txt", d.Format == "md", d.Format == "csv", d.Format == "html":
		if !utf8.Valid(s.Bytes) {
			return fault.New(fault.Validation, "%s.source.bytes is not text in UTF-8.", path)
		}
		w.plain(string(s.Bytes))
	default:
		return w.refuse(path + ".format " + d.Format)
	}
	if d.Name != "" {
		w.raw(`,"title":`)
		w.str(d.Name)
	}
	if d.Context != "" {
		w.raw(`,"context":`)
		w.str(d.Context)
	}
	w.raw(`}`)
	w.citations(d.Citations)
	return nil
}

func (w *writer) plain(s string) {
	w.raw(`{"type":"text","media_type":"text/plain","data":`)
	w.str(s)
	w.raw(`}`)
}

func (w *writer) searchResult(path string, v converse.Raw[converse.SearchResult]) error {
	var s converse.SearchResult
	if err := read(path, v, &s); err != nil {
		return err
	}
	w.raw(`{"type":"search_result","source":`)
	w.str(value(s.Source))
	w.raw(`,"title":`)
	w.str(value(s.Title))
	w.raw(`,"content":[`)
	n := 0
	for i := range s.Content {
		w.next(&n)
		w.text(value(s.Content[i].Text))
	}
	w.raw(`]}`)
	w.citations(s.Citations)
	return nil
}

// value is the text that s points to. What is required has one, whoever made the block.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// citations writes the wish for citations into the object before it.
func (w *writer) citations(c *converse.CitationsConfig) {
	if c != nil {
		w.b = w.b[:len(w.b)-1] // the brace
		w.raw(`,"citations":{"enabled":`)
		w.b = strconv.AppendBool(w.b, c.Enabled != nil && *c.Enabled)
		w.raw(`}}`)
	}
}

// cited writes an earlier turn's text with its citations.
func (w *writer) cited(path string, v converse.Raw[converse.Citations]) error {
	var c converse.Citations
	if err := read(path, v, &c); err != nil {
		return err
	}
	w.text(joined(c.Content))
	if len(c.Citations) == 0 {
		return nil
	}
	w.b = w.b[:len(w.b)-1] // the brace
	w.raw(`,"citations":[`)
	for i := range c.Citations {
		if i > 0 {
			w.raw(`,`)
		}
		if err := w.citation(path+".citations."+strconv.Itoa(i), &c.Citations[i]); err != nil {
			return err
		}
	}
	w.raw(`]}`)
	return nil
}

func joined(texts []converse.CitedText) string {
	var b strings.Builder
	for i := range texts {
		if t := texts[i].Text; t != nil {
			b.WriteString(*t)
		}
	}
	return b.String()
}

func (w *writer) citation(path string, c *converse.Citation) error {
	if c.Location == nil {
		return w.refuse(path + " without a location")
	}
	b, ok := appendCitation(w.b, c)
	if !ok || c.Location.Web != nil { // the web would need the index that Anthropic has sealed
		return w.refuse(path + ".location")
	}
	w.b = b
	return nil
}

// appendCitation appends c. ok is false where it has no location, or one that Messages has no form for.
func appendCitation(dst []byte, c *converse.Citation) (_ []byte, ok bool) {
	place := func(kind, index, from, to string, numbers ...*int) {
		dst = append(dst, `{"type":"`+kind+`"`...)
		for i, name := range []string{index, from, to} {
			n := 0
			if numbers[i] != nil {
				n = *numbers[i]
			}
			dst = append(dst, `,"`+name+`":`...)
			dst = strconv.AppendInt(dst, int64(n), 10)
		}
	}
	title := "document_title"
	switch l := c.Location; {
	case l == nil:
		return dst, false
	case l.DocumentChar != nil:
		d := l.DocumentChar
		place("char_location", "document_index", "start_char_index", "end_char_index", d.DocumentIndex, d.Start, d.End)
	case l.DocumentPage != nil:
		d := l.DocumentPage
		place("page_location", "document_index", "start_page_number", "end_page_number", d.DocumentIndex, d.Start, d.End)
	case l.DocumentChunk != nil:
		d := l.DocumentChunk
		place("content_block_location", "document_index", "start_block_index", "end_block_index", d.DocumentIndex, d.Start, d.End)
	case l.SearchResultLocation != nil:
		d := l.SearchResultLocation
		place("search_result_location", "search_result_index", "start_block_index", "end_block_index", d.SearchResultIndex, d.Start, d.End)
		title = "title"
		dst = converse.AppendQuote(append(dst, `,"source":`...), c.Source)
	case l.Web != nil: // found by another search than Anthropic's, which seals an index of its own
		title = "title"
		dst = converse.AppendQuote(append(dst, `{"type":"web_search_result_location","encrypted_index":"","url":`...), l.Web.URL)
	default:
		return dst, false
	}
	dst = append(dst, `,"`+title+`":`...)
	if c.Title == "" {
		dst = append(dst, `null`...)
	} else {
		dst = converse.AppendQuote(dst, c.Title)
	}
	dst = converse.AppendQuote(append(dst, `,"cited_text":`...), joined(c.SourceContent))
	return append(dst, '}'), true
}

func (w *writer) tools(c *converse.ToolConfig) error {
	if c == nil {
		c = &converse.ToolConfig{}
	}
	if len(c.Tools) > 0 || len(w.extra) > 0 {
		if err := w.toolList(c.Tools); err != nil {
			return err
		}
	}
	return w.toolChoice(c.ToolChoice)
}

func (w *writer) toolList(tools []converse.Tool) error {
	w.raw(`,"tools":[`)
	w.cacheable = false
	n := 0
	for i := range tools {
		path := "toolConfig.tools." + strconv.Itoa(i)
		switch t := &tools[i]; {
		case t.ToolSpec != nil:
			w.next(&n)
			w.raw(`{"name":`)
			w.str(t.ToolSpec.Name)
			if t.ToolSpec.Description != "" {
				w.raw(`,"description":`)
				w.str(t.ToolSpec.Description)
			}
			w.raw(`,"input_schema":`)
			if len(t.ToolSpec.InputSchema.JSON) == 0 {
				w.raw(`{"type":"object"}`) // the schema is required there
			}
			w.b = append(w.b, t.ToolSpec.InputSchema.JSON...)
			if t.ToolSpec.Strict != nil {
				w.raw(`,"strict":`)
				w.b = strconv.AppendBool(w.b, *t.ToolSpec.Strict)
			}
			w.raw(`}`)
		case t.CachePoint != nil:
			if err := w.cachePoint(path+".cachePoint", t.CachePoint); err != nil {
				return err
			}
		default:
			return w.refuse(path + ".systemTool")
		}
	}
	if extra := w.extra; len(extra) > 0 {
		if n == 0 {
			extra = extra[1:]
		}
		w.b = append(w.b, extra...)
	}
	w.raw(`]`)
	return nil
}

// toolChoice writes c and what the additional tool_choice adds to it, or where there is no c, that alone.
func (w *writer) toolChoice(c *converse.ToolChoice) error {
	if c == nil {
		if len(w.rawChoice) > 0 {
			w.raw(`,"tool_choice":`)
			w.b = append(w.b, w.rawChoice...)
		} else if w.choice.Parallel != nil {
			w.raw(`,"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`)
		}
		return nil
	}
	kind := "auto"
	switch {
	case c.Any != nil:
		kind = "any"
	case c.Tool != nil:
		kind = "tool"
	}
	w.raw(`,"tool_choice":{"type":"` + kind + `"`)
	if c.Tool != nil {
		w.raw(`,"name":`)
		w.str(c.Tool.Name)
	}
	if w.choice.Type != "" && w.choice.Type != kind || w.choice.Name != "" {
		return outbound.Owned(w.upstream, "tool_choice")
	}
	if p := w.choice.Parallel; p != nil {
		w.raw(`,"disable_parallel_tool_use":`)
		w.b = strconv.AppendBool(w.b, *p)
	}
	w.raw(`}`)
	return nil
}

func (w *writer) outputConfig(c *converse.OutputConfig) error {
	s, schema, err := outbound.Schema(c, w.upstream, format)
	if err != nil {
		return err
	}
	if s != nil {
		w.output = append(w.output, `,"format":{"type":"json_schema","schema":`...)
		w.output = append(append(w.output, described(schema, s.Description)...), '}')
	}
	if len(w.output) > 0 {
		w.raw(`,"output_config":{`)
		w.b = append(w.b, w.output[1:]...)
		w.raw(`}`)
	}
	return nil
}

// described returns schema, an object, with description in it where it has none of its own.
func described(schema jsontext.Value, description string) jsontext.Value {
	schema = bytes.TrimSpace(schema)
	has := description == "" // nothing to put in
	_ = converse.EachMember(schema, func(name string, _ jsontext.Value) error {
		has = has || name == "description"
		return nil
	})
	if has {
		return schema
	}
	v := append(converse.AppendQuote([]byte(`{"description":`), description), ',')
	if rest := bytes.TrimSpace(schema[1:]); rest[0] == '}' {
		v = v[:len(v)-1]
	}
	return append(v, schema[1:]...)
}

// service writes the class of service and refuses what a body cannot ask for.
func (w *writer) service(r *converse.Request) error {
	if t := r.ServiceTier; t != nil && t.Type != "" && t.Type != "default" {
		if t.Type != "priority" || w.form == invokeModel { // with InvokeModel it is a header's to say
			return w.refuse("serviceTier." + t.Type)
		}
		if w.form == messagesAPI {
			w.raw(`,"service_tier":"auto"`) // priority where the account has it: "Service tiers"
		}
	}
	if path := outbound.BedrockOnly(r); path != "" {
		return w.refuse(path)
	}
	return nil
}

// additional sorts the additional fields.
func (w *writer) additional(r *converse.Request) error {
	c := r.InferenceConfig
	if c == nil {
		c = &converse.InferenceConfig{}
	}
	return outbound.Translated(r, w.upstream, format, func(name string, v jsontext.Value) error {
		owned := false
		switch name {
		case "anthropic_version": // AppendRequest and the API's header say which
			return nil
		case "anthropic_beta":
			return w.beta("additionalModelRequestFields.anthropic_beta", v)
		case "tools":
			return w.ownTools(v)
		case "tool_choice":
			if string(v) == `"none"` { // OpenAI's word for it
				v = jsontext.Value(`{"type":"none"}`)
			}
			w.rawChoice = v
			return read("additionalModelRequestFields.tool_choice", v, &w.choice)
		case "parallel_tool_calls": // OpenAI's way to ask for one call at a time
			var many bool
			if err := read("additionalModelRequestFields.parallel_tool_calls", v, &many); err != nil {
				return err
			}
			if one := !many; one && r.ToolConfig != nil { // without tools there are no calls
				w.choice.Parallel = &one
			}
			return nil
		case "output_config":
			return outbound.Members("additionalModelRequestFields.output_config", v, func(name string, v jsontext.Value) error {
				if name == "format" && r.OutputConfig != nil && r.OutputConfig.TextFormat != nil {
					return outbound.Owned(w.upstream, "output_config.format")
				}
				w.output = outbound.AppendMember(w.output, name, v)
				return nil
			})
		case "model", "messages", "system", "stream":
			owned = true
		case "output_format":
			owned = r.OutputConfig != nil && r.OutputConfig.TextFormat != nil
		case "max_tokens":
			owned = c.MaxTokens != nil
			w.most = true
		case "temperature":
			owned = c.Temperature != nil
		case "top_p":
			owned = c.TopP != nil
		case "stop_sequences":
			owned = len(c.StopSequences) > 0
		case "service_tier":
			owned = r.ServiceTier != nil
		}
		if owned {
			return outbound.Owned(w.upstream, name)
		}
		if w.form == countTokens && !inPrompt(name) {
			return nil
		}
		w.rest = outbound.AppendMember(w.rest, name, v)
		return nil
	})
}

// beta reads the anthropic_beta at path, a name or a list of names.
func (w *writer) beta(path string, v jsontext.Value) error {
	if v.Kind() == '"' {
		w.betas = make([]string, 1)
		if err := read(path, v, &w.betas[0]); err != nil {
			return err
		}
	} else if err := read(path, v, &w.betas); err != nil {
		return err
	}
	size := 0
	for _, name := range w.betas {
		size += len(name)
		if size > 4<<10 || !headerName(name) { // it may become a header
			return fault.New(fault.Validation, "%s is not a list of names.", path)
		}
	}
	return nil
}

func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' })
}

// ownTools reads the tools that Anthropic defines: those that the caller runs, each named by its type and a date.
func (w *writer) ownTools(v jsontext.Value) error {
	const path = "additionalModelRequestFields.tools"
	var list []jsontext.Value
	if err := read(path, v, &list); err != nil {
		return err
	}
	for i, raw := range list {
		at := path + "." + strconv.Itoa(i)
		var t struct {
			Type string `json:"type"`
		}
		if err := read(at, raw, &t); err != nil {
			return err
		}
		mine := false
		for _, kind := range []string{"bash_", "computer_", "memory_", "text_editor_"} {
			mine = mine || strings.HasPrefix(t.Type, kind)
		}
		switch {
		case t.Type == "", t.Type == "custom":
			return outbound.Owned(w.upstream, "tools")
		case !mine:
			return fault.New(fault.Validation, "The model doesn't support %s of type %q: Converse has no form for the results of a tool that upstream %q runs itself. Remove it and try again.", at, t.Type, w.upstream)
		}
		w.extra = append(append(w.extra, ','), raw...)
	}
	return nil
}
