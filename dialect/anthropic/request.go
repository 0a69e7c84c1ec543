// Package anthropic translates between converse and Anthropic's Messages format as Amazon Bedrock's InvokeModel carries
// it: bodies with "anthropic_version": "bedrock-2023-05-31". It reads and writes JSON only.
package anthropic

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/fault"
)

// version is the values of anthropic_version: Bedrock's own, and the dates of Anthropic's API, which its SDK for Bedrock
// sends since 2026 as its anthropic-version header says. The format that is read is the same.
var version = regexp.MustCompile(`^(bedrock-)?20[0-9]{2}-[01][0-9]-[0-3][0-9]$`)

// request is a Messages body. Members whose type depends on the sender are read by their own types below.
type request struct {
	Version      *string        `json:"anthropic_version"`
	Beta         jsontext.Value `json:"anthropic_beta"`
	MaxTokens    *int           `json:"max_tokens"`
	Messages     messages       `json:"messages"`
	System       *content       `json:"system"`
	Stop         []string       `json:"stop_sequences"`
	Temperature  *float64       `json:"temperature"`
	TopP         *float64       `json:"top_p"`
	Tools        []tool         `json:"tools"`
	ToolChoice   *toolChoice    `json:"tool_choice"`
	OutputConfig *outputConfig  `json:"output_config"`
	OutputFormat *outputFormat  `json:"output_format"`
	Model        jsontext.Value `json:"model"`  // of InvokeModel the path's, here refused
	Stream       jsontext.Value `json:"stream"` // likewise
	Rest         jsontext.Value `json:",embed"`

	betas []string // of the header
}

// maxMessages is the most turns of a request; see "messages" in Anthropic's API reference.
const maxMessages = 100_000

type messages []message

type message struct {
	Role    string         `json:"role"`
	Content content        `json:"content"`
	Rest    jsontext.Value `json:",embed"`
}

// content is a string or a list of blocks.
type content struct {
	set    bool
	blocks []block
}

type block struct {
	Type         string         `json:"type"`
	Text         *prose         `json:"text"`
	Source       *source        `json:"source"`
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Input        jsontext.Value `json:"input"`
	ToolUseID    string         `json:"tool_use_id"`
	Content      *content       `json:"content"`
	IsError      *bool          `json:"is_error"`
	Thinking     string         `json:"thinking"`
	Signature    string         `json:"signature"`
	Data         string         `json:"data"`
	Title        string         `json:"title"`
	Context      string         `json:"context"`
	Citations    jsontext.Value `json:"citations"`
	CacheControl *cacheControl  `json:"cache_control"`
	Rest         jsontext.Value `json:",embed"`
}

// source is where a picture or a document is from, or of a search result the name of that.
type source struct {
	name      *string
	Type      string         `json:"type"`
	MediaType string         `json:"media_type"`
	Data      quoted         `json:"data"`
	Content   *content       `json:"content"`
	Rest      jsontext.Value `json:",embed"`
}

// quoted is a string that stays in the body, for it may be a picture. Its place is noted while the body is decoded, and
// locate finds it.
type quoted struct {
	at, end int64
	raw     []byte // with its quotes; nil where there is none
}

// UnmarshalJSONFrom goes over a string.
func (q *quoted) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil || v.Kind() == 'n' {
		return err
	}
	if v.Kind() != '"' {
		return json.Unmarshal(v, new(string)) // says what was expected
	}
	q.end = d.InputOffset()
	q.at = q.end - int64(len(v))
	return nil
}

// text returns what the string says.
func (q *quoted) text() []byte {
	if len(q.raw) < 2 {
		return nil
	}
	if inside := q.raw[1 : len(q.raw)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	s, _ := jsontext.AppendUnquote(nil, q.raw) // which has been decoded
	return s
}

// locate finds what stays in the body.
func locate(body []byte, bs []block) {
	for i := range bs {
		if s := bs[i].Source; s != nil {
			s.Data.raw = body[s.Data.at:s.Data.end]
			if s.Content != nil {
				locate(body, s.Content.blocks)
			}
		}
		if c := bs[i].Content; c != nil {
			locate(body, c.blocks)
		}
	}
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

// tool keeps its own text, for the tools whose type says that Anthropic defines them.
type tool struct {
	raw          jsontext.Value
	Type         string         `json:"type"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	InputSchema  jsontext.Value `json:"input_schema"`
	Strict       *bool          `json:"strict"`
	CacheControl *cacheControl  `json:"cache_control"`
	Rest         jsontext.Value `json:",embed"`
}

type toolChoice struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Parallel *bool  `json:"disable_parallel_tool_use"`
}

type outputFormat struct {
	Type   string         `json:"type"`
	Schema jsontext.Value `json:"schema"`
}

type outputConfig struct {
	Format *outputFormat  `json:"format"`
	Rest   jsontext.Value `json:",embed"`
}

// UnmarshalJSONFrom reads the turns, maxMessages at most.
func (m *messages) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		return json.UnmarshalDecode(d, (*[]message)(m)) // null, or it says what was expected
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	*m = messages{}
	for d.PeekKind() != ']' {
		if len(*m) == maxMessages {
			return invalid("messages", "There is a limit of 100,000 messages in a single request")
		}
		var one message
		if err := json.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		*m = append(*m, one)
	}
	_, err := d.ReadToken()
	return err
}

// UnmarshalJSONFrom reads a string as one block of text.
func (c *content) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*c = content{set: true}
	switch d.PeekKind() {
	case '"':
		s := new(prose)
		if err := s.UnmarshalJSONFrom(d); err != nil {
			return err
		}
		c.blocks = []block{{Type: "text", Text: s}}
		return nil
	case 'n':
		c.set = false
		return d.SkipValue()
	}
	if d.PeekKind() != '[' {
		return json.UnmarshalDecode(d, &c.blocks) // says what was expected
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		var b block
		if err := json.UnmarshalDecode(d, &b); err != nil {
			return err
		}
		if b.Type == "" {
			// At once: a block takes a hundred times the memory of a body's "{},".
			return invalid(dotted(d.StackPointer())+".type", "Field required")
		}
		c.blocks = append(c.blocks, b)
	}
	_, err := d.ReadToken()
	return err
}

// prose is a string that may be long: json's own copies it twice.
type prose string

// UnmarshalJSONFrom reads a string.
func (p *prose) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '"' {
		return json.Unmarshal(v, new(string)) // says what was expected
	}
	s, err := converse.Unquote(v)
	*p = prose(s)
	return err
}

// dotted writes a JSON pointer as the model's refusals do: "/messages/0/content/1" as "messages.0.content.1".
func dotted(p jsontext.Pointer) string {
	return strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", ".")
}

// UnmarshalJSONFrom reads an object, or a search result's string.
func (s *source) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		s.name = new(string)
		return json.UnmarshalDecode(d, s.name)
	}
	type plain source // without this method
	return json.UnmarshalDecode(d, (*plain)(s))
}

// UnmarshalJSONFrom reads a tool and keeps its text.
func (t *tool) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	type plain tool // without this method
	var p plain
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	*t = tool(p)
	if t.Type != "" && t.Type != "custom" {
		t.raw = raw.Clone()
	} else if t.Name == "" { // at once: a tool takes a hundred times the memory of a body's "{},"
		return invalid(dotted(d.StackPointer())+".custom.name", "Field required")
	}
	return nil
}

// ParseRequest reads an InvokeModel body into a converse.Request. A body that Bedrock would not take gives a
// fault.Validation in Bedrock's words. Pictures refer to body.
//
//   - cache_control on a block, a tool or a system block becomes a cachePoint after it, with its ttl; one inside a tool
//     result or a document, which Converse has no place for, comes after that block.
//   - An earlier answer's text with citations becomes citationsContent. Those of a web search hold an index that Anthropic
//     has sealed, which Converse has no place for.
//   - Tools that Anthropic defines ("bash_20250124", "web_search_20250305") have no Converse form. They go into
//     AdditionalModelRequestFields, as Converse's own callers pass them, and so does a tool_choice that means one of them;
//     an upstream that cannot run them refuses that.
//   - anthropic_beta, top_k, thinking, metadata and every member that is not known here go there too, so that nothing is
//     lost on the way to an upstream that knows them.
//   - tool_choice "none" leaves the tools out, unless the messages use them: to the model it is the same. It then is an
//     additional field.
//   - Messages that follow one another in one role are one turn, as Anthropic takes them.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	return q.parse(body, invokeModel)
}

// Messages is a body of Anthropic's own API: a request, and what InvokeModel has elsewhere.
type Messages struct {
	*converse.Request
	Model  string
	Stream bool
}

// ParseMessages reads the body of POST /v1/messages by the rules of ParseRequest. Refusals are in that API's words. betas
// is what the header anthropic-beta names, for anthropic_beta. Of a body that cannot be read, Model and Stream are told
// along with the error where the body says them: a server of the format may know what is not known here.
func ParseMessages(body []byte, betas []string) (*Messages, error) {
	return parseAPI(body, betas, messagesAPI)
}

// ParseCountTokens is ParseMessages for POST /v1/messages/count_tokens, which needs no max_tokens.
func ParseCountTokens(body []byte, betas []string) (*Messages, error) {
	return parseAPI(body, betas, countTokens)
}

func parseAPI(body []byte, betas []string, f form) (*Messages, error) {
	q := request{betas: betas}
	r, err := q.parse(body, f)
	if err == nil { // check has seen to the model and the stream
		m := &Messages{Request: r, Stream: q.Stream.Kind() == 't'}
		return m, json.Unmarshal(q.Model, &m.Model)
	}
	var head struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	if json.Unmarshal(body, &head, jsontext.AllowDuplicateNames(true)) != nil || head.Model == "" {
		return nil, err
	}
	return &Messages{Model: head.Model, Stream: head.Stream}, err
}

func (q *request) parse(body []byte, f form) (*converse.Request, error) {
	if err := json.Unmarshal(body, q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, notRead(err, f)
	}
	if err := q.check(f); err != nil {
		return nil, err
	}
	r := &converse.Request{
		Messages:        make([]converse.Message, 0, len(q.Messages)),
		InferenceConfig: &converse.InferenceConfig{MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP, StopSequences: q.Stop},
	}
	if q.System != nil {
		if err := system(r, q.System.blocks); err != nil {
			return nil, err
		}
	}
	for i := range q.Messages {
		locate(body, q.Messages[i].Content.blocks)
		m := converse.Message{Role: q.Messages[i].Role}
		var err error
		if m.Content, err = blocks("messages."+strconv.Itoa(i)+".content.", q.Messages[i].Content.blocks); err != nil {
			return nil, err
		}
		if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == m.Role {
			r.Messages[n-1].Content = append(r.Messages[n-1].Content, m.Content...)
			continue
		}
		r.Messages = append(r.Messages, m)
	}
	extra := converse.Object(bytes.Clone(bytes.TrimSpace(q.Rest)))
	if len(q.betas) > 0 {
		var all []string
		if len(q.Beta) > 0 && json.Unmarshal(q.Beta, &all) != nil {
			return nil, invalid("anthropic_beta", "Input should be a valid list")
		}
		for _, b := range q.betas {
			if !slices.Contains(all, b) {
				all = append(all, b)
			}
		}
		var err error
		if q.Beta, err = json.Marshal(all); err != nil {
			return nil, fault.Wrap(err, fault.Validation, "anthropic-beta: Input should be a valid string")
		}
	}
	if len(q.Beta) > 0 && q.Beta.Kind() != 'n' {
		extra.Add("anthropic_beta", q.Beta)
	}
	if err := q.tools(r, &extra); err != nil {
		return nil, err
	}
	if err := q.output(r, &extra); err != nil {
		return nil, err
	}
	r.AdditionalModelRequestFields = extra.Value()
	return r, nil
}

// invalid is the form of the model's own refusals.
func invalid(path, text string) error { return fault.New(fault.Validation, "%s", path+": "+text) }

// notRead puts an error of the JSON decoder in the words of who reads the form: Bedrock's schema checker,
// "#/stop_sequences: expected type: JSONArray, found: String", or Anthropic's, "stop_sequences: Input should be a valid list".
func notRead(err error, form form) error {
	var e *json.SemanticError
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return f
	case form != invokeModel && errors.As(err, &e) && e.GoType != nil:
		path := dotted(e.JSONPointer)
		if path == "" {
			path = "body"
		}
		return invalid(path, "Input should be a valid "+pythonName[checker.TypeName(e.GoType)])
	case form != invokeModel:
		return fault.Wrap(err, fault.Validation, "The request body is not valid JSON.")
	}
	return checker.NotRead(err)
}

// pythonName is what Anthropic's checker calls a type of Bedrock's.
var pythonName = map[string]string{
	"String": "string", "Boolean": "boolean", "Integer": "integer", "Number": "number", "JSONArray": "list", "JSONObject": "dictionary",
}

// check finds what is wrong with the body as a whole. The texts of Bedrock's schema checker, which is the first to see
// an InvokeModel body, come all at once; the others are the model's own and come one at a time.
func (q *request) check(f form) error {
	var err error
	if f == invokeModel {
		err = q.checkInvokeModel()
	} else {
		err = q.checkMessages(f)
	}
	if err != nil {
		return err
	}
	if q.MaxTokens != nil && *q.MaxTokens < 1 {
		return invalid("max_tokens", "Input should be greater than or equal to 1")
	}
	if q.Temperature != nil && (*q.Temperature < 0 || *q.Temperature > 1) {
		return invalid("temperature", "range: 0..1")
	}
	if q.TopP != nil && (*q.TopP < 0 || *q.TopP > 1) {
		return invalid("top_p", "range: 0..1")
	}
	if len(q.Messages) == 0 {
		return invalid("messages", "at least one message is required")
	}
	for i := range q.Messages {
		m := &q.Messages[i]
		at := "messages." + strconv.Itoa(i)
		switch {
		case m.Role == "system":
			return invalid("messages", `Unexpected role "system". The Messages API accepts a top-level `+"`system`"+` parameter, not "system" as an input message role.`)
		case m.Role != converse.RoleUser && m.Role != converse.RoleAssistant:
			return invalid(at+".role", "Input should be 'user' or 'assistant'")
		case !m.Content.set:
			return invalid(at+".content", "Field required")
		case len(m.Content.blocks) == 0 && !(m.Role == converse.RoleAssistant && i == len(q.Messages)-1):
			return invalid(at, "all messages must have non-empty content except for the optional final assistant message")
		case len(m.Rest) > 2:
			return extra(at, m.Rest)
		}
	}
	return nil
}

func (q *request) checkInvokeModel() error {
	var bad []string
	missing := func(name string) { bad = append(bad, "#: required key ["+name+"] not found") }
	if q.Messages == nil {
		missing("messages")
	}
	if q.MaxTokens == nil {
		missing("max_tokens")
	}
	switch {
	case q.Version == nil:
		missing("anthropic_version")
	case !version.MatchString(*q.Version):
		bad = append(bad, "#/anthropic_version: "+*q.Version+" is not a valid enum value")
	}
	if len(q.Stream) > 0 {
		bad = append(bad, "#: extraneous key [stream] is not permitted")
	}
	if len(q.Model) > 0 {
		bad = append(bad, "#: extraneous key [model] is not permitted")
	}
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}

// checkMessages holds against each other what only a body of Anthropic's own API has. anthropic_version, which is a header
// there, is taken as well: it says nothing that the format does not.
func (q *request) checkMessages(f form) error {
	switch {
	case len(q.Model) == 0:
		return invalid("model", "Field required")
	case q.Model.Kind() != '"':
		return invalid("model", "Input should be a valid string")
	case len(q.Model) == len(`""`):
		return invalid("model", "String should have at least 1 character")
	case q.Messages == nil:
		return invalid("messages", "Field required")
	case q.MaxTokens == nil && f == messagesAPI:
		return invalid("max_tokens", "Field required")
	}
	switch q.Stream.Kind() {
	case '"', '0', '[', '{':
		return invalid("stream", "Input should be a valid boolean")
	}
	return nil
}

func cachePoint(c *cacheControl) *converse.CachePoint {
	if c == nil {
		return nil
	}
	return &converse.CachePoint{Type: "default", TTL: c.TTL}
}

func system(r *converse.Request, bs []block) error {
	for i := range bs {
		b := &bs[i]
		if b.Type != "text" || b.Text == nil {
			return invalid("system."+strconv.Itoa(i)+".type", "Input should be 'text'")
		}
		if len(b.Rest) > 2 {
			return extra("system."+strconv.Itoa(i), b.Rest)
		}
		if *b.Text != "" { // Converse takes no empty one
			r.System = append(r.System, converse.SystemBlock{Text: (*string)(b.Text)})
		}
		if c := cachePoint(b.CacheControl); c != nil && len(r.System) > 0 {
			r.System = append(r.System, converse.SystemBlock{CachePoint: c})
		}
	}
	return nil
}

// blocks translates the blocks of one turn. path ends in a dot.
func blocks(path string, bs []block) ([]converse.ContentBlock, error) {
	out := make([]converse.ContentBlock, 0, len(bs))
	for i := range bs {
		b := &bs[i]
		at := path + strconv.Itoa(i)
		c, cached, err := oneBlock(at, b)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if p := cachePoint(b.CacheControl); p != nil {
			cached = p
		}
		if cached != nil {
			out = append(out, converse.ContentBlock{CachePoint: cached})
		}
	}
	return out, nil
}

// oneBlock translates one block. cached is the cache point that a block inside it asks for.
func oneBlock(at string, b *block) (c converse.ContentBlock, cached *converse.CachePoint, err error) {
	required := func(name string, missing bool) error {
		if missing {
			return invalid(at+"."+b.Type+"."+name, "Field required")
		}
		return nil
	}
	switch b.Type {
	case "text":
		if err := required("text", b.Text == nil); err != nil {
			return c, nil, err
		}
		if *b.Text == "" {
			return c, nil, invalid("messages", "text content blocks must be non-empty")
		}
		c.Text = (*string)(b.Text)
		if k := b.Citations.Kind(); len(b.Citations) > 0 && k != 'n' {
			var cited converse.Raw[converse.Citations]
			if cited, err = citations(at+".text.citations", *c.Text, b.Citations); cited != nil {
				c.Text, c.CitationsContent = nil, cited
			}
		}
	case "image":
		c.Image, err = image(at, b.Source)
	case "document":
		c.Document, cached, err = document(at, b)
	case "search_result":
		c.SearchResult, cached, err = searchResult(at, b)
	case "tool_use":
		if err := cmp.Or(required("id", b.ID == ""), required("name", b.Name == ""), required("input", len(b.Input) == 0)); err != nil {
			return c, nil, err
		}
		if b.Input.Kind() != '{' {
			return c, nil, invalid(at+".tool_use.input", "Input should be a valid dictionary")
		}
		c.ToolUse = &converse.ToolUse{ToolUseID: b.ID, Name: b.Name, Input: b.Input}
	case "tool_result":
		if err := required("tool_use_id", b.ToolUseID == ""); err != nil {
			return c, nil, err
		}
		t := &converse.ToolResult{ToolUseID: b.ToolUseID, Content: []converse.ToolResultContent{}}
		if b.IsError != nil && *b.IsError {
			t.Status = "error"
		}
		if b.Content != nil {
			for i := range b.Content.blocks {
				n := &b.Content.blocks[i]
				path := at + ".tool_result.content." + strconv.Itoa(i)
				switch n.Type {
				case "text", "image", "document", "search_result":
				default: // a result in a result goes no deeper
					return c, nil, invalid(path, "Input tag '"+n.Type+"' found using 'type' does not match any of the expected tags: 'document', 'image', 'search_result', 'text'")
				}
				inner, point, err := oneBlock(path, n)
				if err != nil {
					return c, nil, err
				}
				if inner.CitationsContent != nil {
					return c, nil, fault.New(fault.Validation, "%s.text.citations: a tool's result has no place for citations here.", path)
				}
				t.Content = append(t.Content, converse.ToolResultContent{Text: inner.Text, Image: inner.Image, Document: inner.Document, SearchResult: inner.SearchResult})
				cached = cmp.Or(cachePoint(n.CacheControl), point, cached)
			}
		}
		c.ToolResult = t
	case "thinking":
		c.ReasoningContent = &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: b.Thinking, Signature: b.Signature}}
	case "redacted_thinking":
		data, err := base64.StdEncoding.DecodeString(b.Data)
		if err != nil || len(data) == 0 {
			return c, nil, invalid(at+".redacted_thinking.data", "Invalid data")
		}
		c.ReasoningContent = &converse.Reasoning{RedactedContent: data}
	default:
		err = invalid(at, "Input tag '"+b.Type+"' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'search_result', 'text', 'thinking', 'tool_result', 'tool_use'")
	}
	switch {
	case err != nil:
	case len(b.Rest) > 2:
		err = extra(at+"."+b.Type, b.Rest)
	case b.Source != nil && len(b.Source.Rest) > 2:
		err = extra(at+"."+b.Type+".source."+b.Source.Type, b.Source.Rest)
	}
	return c, cached, err
}

// extra refuses the first member of rest, which was not expected at path.
func extra(path string, rest jsontext.Value) error {
	d := jsontext.NewDecoder(bytes.NewReader(rest), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err == nil {
		if t, err := d.ReadToken(); err == nil && t.Kind() == '"' {
			return invalid(path+"."+t.String(), "Extra inputs are not permitted")
		}
	}
	return nil
}

// required says what is wrong with a source that is to be an object.
func (s *source) required(at string) error {
	switch {
	case s == nil:
		return invalid(at, "Field required")
	case s.name != nil:
		return invalid(at, "Input should be a valid dictionary")
	}
	return nil
}

func image(at string, s *source) (*converse.Image, error) {
	if err := s.required(at + ".image.source"); err != nil {
		return nil, err
	}
	if s.Type != "base64" {
		return nil, invalid(at+".image.source", "Input tag '"+s.Type+"' found using 'type' does not match any of the expected tags: 'base64'")
	}
	format, ok := strings.CutPrefix(s.MediaType, "image/")
	switch {
	case !ok, format != "png" && format != "jpeg" && format != "gif" && format != "webp":
		return nil, invalid(at+".image.source.base64.media_type", "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
	}
	data := converse.Base64(s.Data.text())
	if len(data) == 0 || !data.Valid() {
		return nil, invalid(at+".image.source.base64.data", "The image was specified using base64, but the data is not valid base64")
	}
	return &converse.Image{Format: format, Source: converse.ImageSource{Bytes: data}}, nil
}

// document makes Converse's document block: {"format","name","source":{"bytes"|"text"|"content"},"context","citations"}.
// cached is the cache point that a text inside it asks for.
func document(at string, b *block) (_ converse.Raw[converse.Document], cached *converse.CachePoint, err error) {
	s := b.Source
	at += ".document.source"
	if err := s.required(at); err != nil {
		return nil, nil, err
	}
	name := b.Title
	if name == "" {
		name = "document" // required there, optional here
	}
	var f converse.Object
	var src converse.Object
	switch {
	case s.Type == "base64" && s.MediaType == "application/pdf":
		f.Add("format", jsontext.Value(`"pdf"`))
		src.Add("bytes", converse.AppendQuote(nil, string(s.Data.text())))
	case s.Type == "text":
		f.Add("format", jsontext.Value(`"txt"`))
		src.Add("text", converse.AppendQuote(nil, string(s.Data.text())))
	case s.Type == "content" && s.Content != nil:
		texts := []byte{'['}
		for i := range s.Content.blocks {
			n := &s.Content.blocks[i]
			in := at + ".content." + strconv.Itoa(i)
			switch {
			case n.Type != "text":
				return nil, nil, invalid(in, "A document's content is text here: a block of the type '"+n.Type+"' has no equivalent")
			case n.Text == nil:
				return nil, nil, invalid(in+".text.text", "Field required")
			case len(n.Rest) > 2:
				return nil, nil, extra(in+".text", n.Rest)
			case i > 0:
				texts = append(texts, ',')
			}
			texts = append(converse.AppendQuote(append(texts, `{"text":`...), string(*n.Text)), '}')
			cached = cmp.Or(cachePoint(n.CacheControl), cached)
		}
		src.Add("content", append(texts, ']'))
	case s.Type == "content":
		return nil, nil, invalid(at+".content.content", "Field required")
	default:
		return nil, nil, invalid(at, "Input tag '"+s.Type+"' found using 'type' does not match any of the expected tags: 'base64', 'content', 'text'")
	}
	f.Add("name", converse.AppendQuote(nil, name))
	f.Add("source", src.Value())
	if b.Context != "" {
		f.Add("context", converse.AppendQuote(nil, b.Context))
	}
	if len(b.Citations) > 0 {
		f.Add("citations", b.Citations)
	}
	return []byte(f.Value()), cached, nil
}

// searchResult makes Converse's searchResult block. cached is the cache point that a text inside it asks for.
func searchResult(at string, b *block) (_ converse.Raw[converse.SearchResult], cached *converse.CachePoint, err error) {
	at += ".search_result."
	switch {
	case b.Source == nil:
		return nil, nil, invalid(at+"source", "Field required")
	case b.Source.name == nil:
		return nil, nil, invalid(at+"source", "Input should be a valid string")
	case b.Title == "":
		return nil, nil, invalid(at+"title", "Field required")
	case b.Content == nil:
		return nil, nil, invalid(at+"content", "Field required")
	}
	r := converse.SearchResult{Source: b.Source.name, Title: &b.Title, Content: []converse.SearchResultText{}}
	for i := range b.Content.blocks {
		n := &b.Content.blocks[i]
		switch in := at + "content." + strconv.Itoa(i); {
		case n.Type != "text":
			return nil, nil, invalid(in+".type", "Input should be 'text'")
		case n.Text == nil:
			return nil, nil, invalid(in+".text", "Field required")
		case len(n.Rest) > 2:
			return nil, nil, extra(in, n.Rest)
		}
		r.Content = append(r.Content, converse.SearchResultText{Text: (*string)(n.Text)})
		cached = cmp.Or(cachePoint(n.CacheControl), cached)
	}
	if len(b.Citations) > 0 && b.Citations.Kind() != 'n' {
		r.Citations = new(converse.CitationsConfig)
		if err := json.Unmarshal(b.Citations, r.Citations, lenient); err != nil {
			return nil, nil, invalid(at+"citations", "Input should be a valid dictionary")
		}
	}
	raw, err := json.Marshal(&r)
	return raw, cached, err
}

// citations makes Converse's citationsContent of a text and where it is from, nil where list is empty.
func citations(at, text string, list jsontext.Value) (converse.Raw[converse.Citations], error) {
	var from []citation
	if err := json.Unmarshal(list, &from, lenient); err != nil {
		return nil, invalid(at, "Input should be a valid list")
	}
	if len(from) == 0 {
		return nil, nil
	}
	out := converse.Citations{Content: []converse.CitedText{{Text: &text}}}
	for i := range from {
		c, ok := from[i].converse()
		if !ok {
			return nil, fault.New(fault.Validation, "%s.%d: a citation of the type '%.64s' has no equivalent here.", at, i, from[i].Type)
		}
		out.Citations = append(out.Citations, c)
	}
	return json.Marshal(&out)
}

func (q *request) tools(r *converse.Request, f *converse.Object) error {
	var typed []byte
	var tc converse.ToolConfig
	for i := range q.Tools {
		t := &q.Tools[i]
		at := "tools." + strconv.Itoa(i)
		if t.Type != "" && t.Type != "custom" {
			typed = append(append(typed, ','), t.raw...)
			continue
		}
		switch {
		case len(t.InputSchema) == 0:
			return invalid(at+".custom.input_schema", "Field required")
		case t.InputSchema.Kind() != '{':
			return invalid(at+".custom.input_schema", "Input should be a valid dictionary")
		case len(t.Rest) > 2:
			return extra(at+".custom", t.Rest)
		}
		tc.Tools = append(tc.Tools, converse.Tool{ToolSpec: &converse.ToolSpec{
			Name: t.Name, Description: t.Description, Strict: t.Strict, InputSchema: converse.ToolInputSchema{JSON: t.InputSchema},
		}})
		if p := cachePoint(t.CacheControl); p != nil {
			tc.Tools = append(tc.Tools, converse.Tool{CachePoint: p})
		}
	}
	switch c := q.ToolChoice; {
	case c == nil:
	case c.Type == "none":
		// A model that sees no tools calls none. Converse wants them described where the messages use some.
		if !usesTools(r.Messages) {
			return nil
		}
		if len(q.Tools) > 0 {
			f.Add("tool_choice", jsontext.Value(`{"type":"none"}`))
		}
	default:
		switch c.Type {
		case "auto":
			tc.ToolChoice = &converse.ToolChoice{Auto: &struct{}{}}
		case "any":
			tc.ToolChoice = &converse.ToolChoice{Any: &struct{}{}}
		case "tool":
			if c.Name == "" {
				return invalid("tool_choice.tool.name", "Field required")
			}
			tc.ToolChoice = &converse.ToolChoice{Tool: &converse.SpecificTool{Name: c.Name}}
		default:
			return invalid("tool_choice", "Input tag '"+c.Type+"' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
		}
		if len(q.Tools) == 0 {
			return invalid("tool_choice", "may only be specified while providing tools")
		}
		ours := len(typed) == 0 || slices.ContainsFunc(tc.Tools, func(t converse.Tool) bool {
			return t.ToolSpec != nil && (c.Type != "tool" || t.ToolSpec.Name == c.Name)
		})
		choice := converse.AppendQuote([]byte(`{"type":`), c.Type)
		if !ours { // a choice among Anthropic's own tools goes where they go
			tc.ToolChoice = nil
			if c.Name != "" {
				choice = converse.AppendQuote(append(choice, `,"name":`...), c.Name)
			}
		}
		one := c.Parallel != nil && *c.Parallel
		if one {
			choice = append(choice, `,"disable_parallel_tool_use":true`...)
		}
		if one || !ours {
			f.Add("tool_choice", append(choice, '}'))
		}
	}
	if len(tc.Tools) > 0 {
		r.ToolConfig = &tc
	}
	if len(typed) > 0 {
		typed[0] = '['
		f.Add("tools", append(typed, ']'))
	}
	return nil
}

// usesTools reports whether a tool has been called in the conversation.
func usesTools(messages []converse.Message) bool {
	return slices.ContainsFunc(messages, func(m converse.Message) bool {
		return slices.ContainsFunc(m.Content, func(b converse.ContentBlock) bool { return b.ToolUse != nil || b.ToolResult != nil })
	})
}

// output reads a wish for output of a JSON schema, in the member that it has now or the one of the beta.
func (q *request) output(r *converse.Request, f *converse.Object) error {
	format, path := q.OutputFormat, "output_format"
	if q.OutputConfig != nil {
		if q.OutputConfig.Format != nil {
			format, path = q.OutputConfig.Format, "output_config.format"
		}
		if len(q.OutputConfig.Rest) > 2 {
			f.Add("output_config", q.OutputConfig.Rest)
		}
	}
	if format == nil {
		return nil
	}
	if format.Type != "json_schema" {
		return invalid(path+".type", "Input should be 'json_schema'")
	}
	if format.Schema.Kind() != '{' {
		return invalid(path+".schema", "Input should be a valid dictionary")
	}
	r.OutputConfig = &converse.OutputConfig{TextFormat: &converse.TextFormat{
		Type:      "json_schema",
		Structure: converse.TextFormatStructure{JSONSchema: &converse.JSONSchema{Schema: string(format.Schema)}},
	}}
	return nil
}
