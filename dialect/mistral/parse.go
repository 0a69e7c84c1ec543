package mistral

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

// IsChat reports whether an InvokeModel body is one of chat completion: it has messages. It reads no further than them.
func IsChat(body []byte) bool {
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.String() == "messages" {
			return true
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// ParseRequest reads an InvokeModel body of either format into a converse.Request. A body that Bedrock would not take
// gives a fault.Validation in Bedrock's words.
//
//   - A prompt in the instruct template becomes the turns that it holds, and an answer that it begins the last of them. A
//     server that applies its own template does then not apply it twice. Any other prompt is one text of the user.
//   - Messages that follow one another in one role become one turn, and those of the role tool are the user's: Converse's
//     turns alternate.
//   - top_k, and in chat completion every member that is not known here, goes to AdditionalModelRequestFields.
//   - tool_choice "none" leaves the tools out, unless the messages use them: to the model it is the same. It then stays an
//     additional field.
func ParseRequest(body []byte) (*converse.Request, error) {
	if IsChat(body) {
		return parseChat(body)
	}
	return parseText(body)
}

// inference is the members that both formats have.
type inference struct {
	MaxTokens   *int     `json:"max_tokens"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
}

func (q *inference) config(stop []string) *converse.InferenceConfig {
	if len(stop) == 0 {
		if stop = nil; q.MaxTokens == nil && q.Temperature == nil && q.TopP == nil {
			return nil
		}
	}
	return &converse.InferenceConfig{MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP, StopSequences: stop}
}

// check finds what is wrong, in the words of Bedrock's schema checker.
func (q *inference) check() (bad []string) {
	if q.MaxTokens != nil && *q.MaxTokens < 1 {
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(*q.MaxTokens)+" is not greater or equal to 1")
	}
	bad = append(bad, checker.Within("#/temperature", q.Temperature, 0, 1)...)
	return append(bad, checker.Within("#/top_p", q.TopP, 0, 1)...)
}

type textRequest struct {
	inference
	Prompt *string        `json:"prompt"`
	Stop   []string       `json:"stop"`
	TopK   jsontext.Value `json:"top_k"`
	Rest   jsontext.Value `json:",embed"`
}

// maxStops is the most stop sequences of a request, as Converse has it.
const maxStops = 2500

func parseText(body []byte) (*converse.Request, error) {
	var q textRequest
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	var bad []string
	switch {
	case q.Prompt == nil:
		bad = append(bad, "#: required key [prompt] not found")
	case strings.TrimSpace(*q.Prompt) == "": // one of white space alone asks nothing either
		bad = append(bad, "#/prompt: expected minLength: 1, actual: 0")
	}
	bad = append(bad, q.check()...)
	if k := q.TopK.Kind(); k != '0' && k != 0 && k != 'n' {
		bad = append(bad, "#/top_k: expected type: Integer, found: "+checker.KindName(k))
	}
	if len(q.Stop) > maxStops {
		bad = append(bad, "#/stop: expected maximum item count: "+strconv.Itoa(maxStops)+", found: "+strconv.Itoa(len(q.Stop)))
	}
	if bad = append(bad, checker.Extraneous("#", q.Rest)...); len(bad) > 0 {
		return nil, checker.Refuse(strings.Join(bad, ""))
	}
	r := conversation(*q.Prompt)
	if r == nil {
		r = &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: q.Prompt}}}}}
	}
	r.InferenceConfig = q.config(q.Stop)
	if q.TopK.Kind() == '0' {
		r.AdditionalModelRequestFields = append(append(jsontext.Value(`{"top_k":`), q.TopK...), '}')
	}
	return r, nil
}

// conversation makes the turns of a prompt those of a request. It returns nil for a prompt that is not in the template,
// and for turns that are no conversation.
func conversation(prompt string) *converse.Request {
	turns, ok := readPrompt(prompt)
	if !ok {
		return nil
	}
	r := &converse.Request{Messages: make([]converse.Message, len(turns))}
	for i := range turns {
		role := converse.RoleUser
		if i%2 == 1 {
			role = converse.RoleAssistant
		}
		r.Messages[i] = converse.Message{Role: role, Content: []converse.ContentBlock{{Text: &turns[i]}}}
	}
	if r.Check() != nil {
		return nil
	}
	return r
}

type chatRequest struct {
	inference
	Messages   list[message]  `json:"messages"`
	Tools      list[tool]     `json:"tools"`
	ToolChoice jsontext.Value `json:"tool_choice"`
	Stop       stops          `json:"stop"`
	Rest       jsontext.Value `json:",embed"`
}

type message struct {
	Role    string         `json:"role"`
	Content content        `json:"content"`
	Calls   list[call]     `json:"tool_calls"`
	CallID  string         `json:"tool_call_id"`
	Name    string         `json:"name"` // of the tool; the id tells it as well
	Rest    jsontext.Value `json:",embed"`
}

type call struct {
	ID       string         `json:"id"`
	Type     jsontext.Value `json:"type"`  // "function"; there is no other
	Index    jsontext.Value `json:"index"` // the place in the list says it
	Rest     jsontext.Value `json:",embed"`
	Function struct {
		Name      string         `json:"name"`
		Arguments jsontext.Value `json:"arguments"`
	} `json:"function"`
}

type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
		Strict      *bool          `json:"strict"`
		Rest        jsontext.Value `json:",embed"`
	} `json:"function"`
	Rest jsontext.Value `json:",embed"`
}

// content is a string or a list of parts.
type content struct{ parts list[part] }

type part struct {
	Type  string         `json:"type"`
	Text  *string        `json:"text"`
	Image jsontext.Value `json:"image_url"` // a URL, or an object that holds it
	Rest  jsontext.Value `json:",embed"`
}

// item is an entry of a list. lacks names the member that it cannot do without, and is asked for at once: an entry
// takes many times the memory of a body's "{},".
type item interface{ lacks() string }

func (m message) lacks() string { return unless(m.Role != "", "role") }
func (c call) lacks() string    { return unless(c.Function.Name != "", "function") }
func (t tool) lacks() string    { return unless(t.Function.Name != "", "function") }
func (p part) lacks() string    { return unless(p.Type != "", "type") }

func unless(there bool, name string) string {
	if there {
		return ""
	}
	return name
}

type list[T item] []T

func (l *list[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if k := d.PeekKind(); k != '[' {
		if k == 'n' {
			return d.SkipValue()
		}
		return json.UnmarshalDecode(d, (*[]T)(l)) // says what was expected
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if len(*l) == maxItems {
			return checker.Refuse("#" + string(d.StackPointer().Parent()) + ": expected maximum item count: " + strconv.Itoa(maxItems))
		}
		var v T
		if err := json.UnmarshalDecode(d, &v); err != nil {
			return err
		}
		if name := v.lacks(); name != "" {
			return checker.Refuse("#" + string(d.StackPointer()) + ": required key [" + name + "] not found")
		}
		*l = append(*l, v)
	}
	_, err := d.ReadToken()
	return err
}

func (c *content) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		t, err := d.ReadToken()
		if s := t.String(); err == nil && s != "" {
			c.parts = list[part]{{Type: "text", Text: &s}}
		}
		return err
	case 'n':
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, &c.parts)
}

// stops is one stop sequence or a list of them.
type stops []string

func (s *stops) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		t, err := d.ReadToken()
		*s = stops{t.String()}
		return err
	}
	return json.UnmarshalDecode(d, (*[]string)(s))
}

func parseChat(body []byte) (*converse.Request, error) {
	var q chatRequest
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	bad := q.check()
	if len(q.Messages) == 0 {
		bad = append(bad, "#/messages: expected minimum item count: 1, found: 0")
	}
	if len(q.Stop) > maxStops {
		bad = append(bad, "#/stop: expected maximum item count: "+strconv.Itoa(maxStops)+", found: "+strconv.Itoa(len(q.Stop)))
	}
	if len(bad) > 0 {
		return nil, checker.Refuse(strings.Join(bad, ""))
	}
	r := &converse.Request{InferenceConfig: q.config(q.Stop)}
	uses := false
	for i := range q.Messages {
		if err := addMessage(r, i, &q.Messages[i]); err != nil {
			return nil, err
		}
		uses = uses || len(q.Messages[i].Calls) > 0 || q.Messages[i].Role == "tool"
	}
	if k := q.Rest.Kind(); k == '{' && len(q.Rest) > 2 {
		r.AdditionalModelRequestFields = q.Rest.Clone()
	}
	if err := q.tools(r, uses); err != nil {
		return nil, err
	}
	return r, nil
}

// addMessage adds message i to the turns of r.
func addMessage(r *converse.Request, i int, m *message) error {
	at := "#/messages/" + strconv.Itoa(i)
	bad := checker.Extraneous(at, m.Rest)
	if m.Role != "assistant" && len(m.Calls) > 0 {
		bad = append(bad, at+": extraneous key [tool_calls] is not permitted")
	}
	if m.Role != "tool" && m.Name != "" {
		bad = append(bad, at+": extraneous key [name] is not permitted")
	}
	if m.Role != "tool" && m.CallID != "" {
		bad = append(bad, at+": extraneous key [tool_call_id] is not permitted")
	}
	for j := range m.Calls {
		bad = append(bad, checker.Extraneous(at+"/tool_calls/"+strconv.Itoa(j), m.Calls[j].Rest)...)
	}
	for j := range m.Content.parts {
		bad = append(bad, checker.Extraneous(at+"/content/"+strconv.Itoa(j), m.Content.parts[j].Rest)...)
	}
	if len(bad) > 0 {
		return checker.Refuse(strings.Join(bad, ""))
	}
	blocks := make([]converse.ContentBlock, 0, len(m.Content.parts)+len(m.Calls))
	for j := range m.Content.parts {
		b, err := block(at+"/content/"+strconv.Itoa(j), &m.Content.parts[j])
		if err != nil {
			return err
		}
		if b.Image != nil && m.Role != "user" {
			return checker.Refuse(at + "/content/" + strconv.Itoa(j) + "/type: image_url is not a valid enum value")
		}
		blocks = append(blocks, b)
	}
	role := converse.RoleUser
	switch m.Role {
	case "system":
		if len(r.Messages) > 0 {
			return checker.Refuse(at + "/role: a system message must come first")
		}
		for j := range blocks {
			if *blocks[j].Text != "" { // Converse takes no empty one
				r.System = append(r.System, converse.SystemBlock{Text: blocks[j].Text})
			}
		}
		return nil
	case "user":
	case "assistant":
		role = converse.RoleAssistant
		for j := range m.Calls {
			c := &m.Calls[j]
			if c.ID == "" {
				return checker.Refuse(at + "/tool_calls/" + strconv.Itoa(j) + ": required key [id] not found")
			}
			input, ok := arguments(c.Function.Arguments)
			if !ok {
				return checker.Refuse(at + "/tool_calls/" + strconv.Itoa(j) + "/function/arguments: the string is not JSON")
			}
			blocks = append(blocks, converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: c.ID, Name: c.Function.Name, Input: input}})
		}
	case "tool":
		if m.CallID == "" {
			return checker.Refuse(at + ": required key [tool_call_id] not found")
		}
		t := &converse.ToolResult{ToolUseID: m.CallID, Content: []converse.ToolResultContent{}}
		for j := range blocks {
			t.Content = append(t.Content, converse.ToolResultContent{Text: blocks[j].Text})
		}
		blocks = []converse.ContentBlock{{ToolResult: t}}
	default:
		return checker.Refuse(at + "/role: " + m.Role[:min(len(m.Role), 100)] + " is not a valid enum value")
	}
	if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == role {
		r.Messages[n-1].Content = append(r.Messages[n-1].Content, blocks...)
		return nil
	}
	r.Messages = append(r.Messages, converse.Message{Role: role, Content: blocks})
	return nil
}

func block(at string, p *part) (b converse.ContentBlock, err error) {
	switch p.Type {
	case "text":
		if p.Text == nil {
			return b, checker.Refuse(at + ": required key [text] not found")
		}
		b.Text = p.Text
	case "image_url":
		var u struct {
			URL string `json:"url"`
		}
		if k := p.Image.Kind(); k == '"' {
			err = json.Unmarshal(p.Image, &u.URL)
		} else if k == '{' {
			err = json.Unmarshal(p.Image, &u, jsontext.AllowDuplicateNames(true))
		}
		if b.Image = image(u.URL); err != nil || b.Image == nil {
			return b, checker.Refuse(at + "/image_url: the image is not a data URL in base64 of a png, jpeg, gif or webp")
		}
	default:
		return b, checker.Refuse(at + "/type: " + p.Type[:min(len(p.Type), 100)] + " is not a valid enum value")
	}
	return b, nil
}

// image reads a data URL, data:image/png;base64,..., or returns nil.
func image(url string) *converse.Image {
	head, data, ok := strings.Cut(url, ";base64,")
	format, known := strings.CutPrefix(head, "data:image/")
	if format == "jpg" {
		format = "jpeg"
	}
	if !ok || !known || format != "png" && format != "jpeg" && format != "gif" && format != "webp" {
		return nil
	}
	b := converse.Base64(data)
	if len(b) == 0 || !b.Valid() {
		return nil
	}
	return &converse.Image{Format: format, Source: converse.ImageSource{Bytes: b}}
}

// arguments reads the arguments of a call: the text of an object, or the object itself.
func arguments(v jsontext.Value) (jsontext.Value, bool) {
	if v.Kind() == '"' {
		var s string
		if json.Unmarshal(v, &s) != nil {
			return nil, false
		}
		if v = jsontext.Value(s); strings.TrimSpace(s) == "" {
			v = nil
		}
	}
	if len(v) == 0 || v.Kind() == 'n' {
		return jsontext.Value(`{}`), true
	}
	return v, v.IsValid(jsontext.AllowDuplicateNames(true))
}

// tools reads the tools and the choice of one of them. uses says that the messages call tools.
func (q *chatRequest) tools(r *converse.Request, uses bool) error {
	tc := &converse.ToolConfig{}
	for i := range q.Tools {
		t := &q.Tools[i]
		at := "#/tools/" + strconv.Itoa(i)
		if t.Type != "function" && t.Type != "" {
			return checker.Refuse(at + "/type: " + t.Type[:min(len(t.Type), 100)] + " is not a valid enum value")
		}
		if bad := append(checker.Extraneous(at, t.Rest), checker.Extraneous(at+"/function", t.Function.Rest)...); len(bad) > 0 {
			return checker.Refuse(strings.Join(bad, ""))
		}
		schema := t.Function.Parameters
		switch schema.Kind() {
		case '{':
		case 0, 'n':
			schema = jsontext.Value(`{"type":"object","properties":{}}`)
		default:
			return checker.Refuse(at + "/function/parameters: expected type: JSONObject, found: " + checker.KindName(schema.Kind()))
		}
		tc.Tools = append(tc.Tools, converse.Tool{ToolSpec: &converse.ToolSpec{
			Name: t.Function.Name, Description: t.Function.Description, Strict: t.Function.Strict, InputSchema: converse.ToolInputSchema{JSON: schema},
		}})
	}
	none, err := q.choice(tc)
	switch {
	case err != nil:
		return err
	case len(tc.Tools) == 0:
		return nil
	case none && !uses:
		return nil
	case none:
		fields := converse.Object(r.AdditionalModelRequestFields)
		fields.Add("tool_choice", jsontext.Value(`"none"`))
		r.AdditionalModelRequestFields = fields.Value()
	}
	r.ToolConfig = tc
	return nil
}

// choice reads tool_choice into tc. none is the choice of no tool at all.
func (q *chatRequest) choice(tc *converse.ToolConfig) (none bool, err error) {
	switch q.ToolChoice.Kind() {
	case 0, 'n':
		return false, nil
	case '"':
		var s string
		if err := json.Unmarshal(q.ToolChoice, &s); err != nil {
			return false, checker.NotRead(err)
		}
		switch s {
		case "auto":
			tc.ToolChoice = &converse.ToolChoice{Auto: &struct{}{}}
		case "any", "required":
			tc.ToolChoice = &converse.ToolChoice{Any: &struct{}{}}
		case "none":
			return true, nil
		default:
			return false, checker.Refuse("#/tool_choice: " + s[:min(len(s), 100)] + " is not a valid enum value")
		}
		return false, nil
	case '{':
		var c struct {
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		}
		if err := json.Unmarshal(q.ToolChoice, &c, jsontext.AllowDuplicateNames(true)); err != nil {
			return false, checker.NotRead(err)
		}
		tc.ToolChoice = &converse.ToolChoice{Tool: &converse.SpecificTool{Name: c.Function.Name}}
		return false, nil
	}
	return false, checker.Refuse("#/tool_choice: expected type: String, found: " + checker.KindName(q.ToolChoice.Kind()))
}
