package cohere

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// AppendRequest appends r as the body of a chat with Command R. upstream names the server in refusals, which are of kind
// fault.Validation and name the member by its path in the Converse request. model and stream do not appear: on Bedrock the
// path says both, and a body that does is refused there.
//
//   - System blocks become the preamble and the text blocks of a turn its message, joined by a line break.
//   - The turns before the last are chat_history, where results are a turn of the role TOOL. Results that end the
//     conversation are tool_results beside an empty message; with force_single_step among the additional fields, and where
//     nothing but the calls stands between the user's message and them, they stand beside that message instead.
//   - A result's content becomes outputs, as ParseRequest reads them: {"text":"..."} for a text, a JSON object as it is, any
//     other JSON as {"result":...}, and {"status":"error"} before them for a call that failed.
//   - A tool's schema becomes parameter_definitions. What those cannot say is put into the description; see schemaMark.
//     "$schema" is left out: it says nothing to a model.
//   - Documents whose text is at hand (txt, md, csv, html) become documents of a title and a snippet.
//   - Left out are hints whose loss changes no answer: cachePoint, toolChoice auto, performanceConfig "standard",
//     serviceTier "default", requestMetadata.
func AppendRequest(dst []byte, r *converse.Request, _ string, _ bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "Cohere's chat"}
	h, err := w.history(r.Messages, singleStep(r))
	if err != nil {
		return nil, err
	}
	w.member("message")
	w.str(h.message)
	if len(h.turns) > 0 {
		w.member("chat_history")
		w.b = appendTurns(w.b, h.turns)
	}
	if err := w.preamble(r.System); err != nil {
		return nil, err
	}
	if len(h.documents) > 0 {
		w.member("documents")
		for i, d := range h.documents {
			w.element(i)
			w.raw(`{"title":`)
			w.str(d.title)
			w.raw(`,"snippet":`)
			w.str(d.snippet)
			w.raw(`}`)
		}
		w.raw(`]`)
	}
	w.b = parameters.Append(w.b, r.InferenceConfig)
	if err := w.tools(r.ToolConfig); err != nil {
		return nil, err
	}
	if len(h.results) > 0 {
		w.member("tool_results")
		w.b = appendResults(w.b, h.results)
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	var owned []string
	if len(h.documents) > 0 {
		owned = append(owned, "documents")
	}
	if err := w.additional(r, owned...); err != nil {
		return nil, err
	}
	return append(w.b, '}'), nil
}

// past is a conversation as a chat's body has it.
type past struct {
	turns     []pastTurn
	message   string
	results   []pastResult
	documents []document
}

type pastTurn struct {
	role, message string
	calls         []*converse.ToolUse
	results       []pastResult
}

type pastResult struct {
	call    *converse.ToolUse
	outputs []byte // JSON, between brackets
}

type document struct{ title, snippet string }

// singleStep reports whether the additional fields ask for a single step and the conversation ends as one does: a user's
// message, calls alone, results alone.
func singleStep(r *converse.Request) bool {
	var f struct {
		Single jsontext.Value `json:"force_single_step"`
	}
	n := len(r.Messages)
	if n < 3 || json.Unmarshal(r.AdditionalModelRequestFields, &f, lenient) != nil || f.Single.Kind() != 't' {
		return false
	}
	only := func(m *converse.Message, ok func(b *converse.ContentBlock) bool) bool {
		return !slices.ContainsFunc(m.Content, func(b converse.ContentBlock) bool { return !ok(&b) })
	}
	return only(&r.Messages[n-3], func(b *converse.ContentBlock) bool { return b.ToolResult == nil }) &&
		only(&r.Messages[n-2], func(b *converse.ContentBlock) bool { return b.ToolUse != nil }) &&
		only(&r.Messages[n-1], func(b *converse.ContentBlock) bool { return b.ToolResult != nil })
}

// history takes the conversation apart.
func (w *writer) history(messages []converse.Message, single bool) (past, error) {
	var h past
	calls := map[string]*converse.ToolUse{} // of the turn before, by id
	for i := range messages {
		m := &messages[i]
		t, err := w.turn(i, m, calls, &h)
		if err != nil {
			return h, err
		}
		clear(calls)
		for _, u := range t.calls {
			calls[u.ToolUseID] = u
		}
		last := i == len(messages)-1
		switch {
		case m.Role == converse.RoleAssistant && last:
			return h, w.refuse("messages." + strconv.Itoa(i) + ".role assistant at the end")
		case m.Role == converse.RoleAssistant && single && i == len(messages)-2:
		case m.Role == converse.RoleAssistant:
			t.role = "CHATBOT"
			h.turns = append(h.turns, t)
		case last && (t.message == "" || len(t.results) == 0):
			h.results = t.results
			if !single {
				h.message = t.message
			}
		case last:
			h.turns = append(h.turns, pastTurn{role: "TOOL", results: t.results})
			h.message = t.message
		case single && i == len(messages)-3:
			h.message = t.message
		default:
			if len(t.results) > 0 {
				h.turns = append(h.turns, pastTurn{role: "TOOL", results: t.results})
			}
			if t.message != "" || len(t.results) == 0 {
				h.turns = append(h.turns, pastTurn{role: "USER", message: t.message})
			}
		}
	}
	return h, nil
}

// turn reads one turn; its documents are added to h. calls are those of the turn before.
func (w *writer) turn(i int, m *converse.Message, calls map[string]*converse.ToolUse, h *past) (pastTurn, error) {
	var t pastTurn
	var texts []string
	for j := range m.Content {
		switch b := &m.Content[j]; {
		case b.Text != nil:
			texts = append(texts, *b.Text)
		case b.ToolUse != nil && m.Role == converse.RoleAssistant:
			if b.ToolUse.Type != "" {
				return t, w.refuse(outbound.At(i, j) + ".toolUse.type")
			}
			if k := b.ToolUse.Input.Kind(); k != '{' && len(b.ToolUse.Input) > 0 {
				return t, w.refuse(outbound.At(i, j) + ".toolUse.input that is no JSON object")
			}
			t.calls = append(t.calls, b.ToolUse)
		case b.ToolResult != nil && m.Role == converse.RoleUser:
			at := outbound.At(i, j) + ".toolResult"
			u := calls[b.ToolResult.ToolUseID]
			if u == nil {
				return t, fault.New(fault.Validation, "%s.toolUseId: no toolUse of the turn before has the id %s.", at, b.ToolResult.ToolUseID)
			}
			outputs, err := w.outputs(at, b.ToolResult)
			if err != nil {
				return t, err
			}
			t.results = append(t.results, pastResult{u, outputs})
		case b.CachePoint != nil:
		case len(b.Document) > 0 && m.Role == converse.RoleUser:
			d, err := w.document(outbound.At(i, j)+".document", b.Document)
			if err != nil {
				return t, err
			}
			h.documents = append(h.documents, d)
		default:
			return t, w.refuse(outbound.At(i, j) + "." + b.Member())
		}
	}
	t.message = strings.Join(texts, "\n")
	return t, nil
}

func (w *writer) outputs(path string, t *converse.ToolResult) ([]byte, error) {
	var b []byte
	next := func() {
		if len(b) > 0 {
			b = append(b, ',')
		}
	}
	if t.Status == "error" {
		b = append(b, errorStatus...)
	}
	for k := range t.Content {
		next()
		switch c := &t.Content[k]; {
		case c.Text != nil:
			b = append(converse.AppendQuote(append(b, `{"text":`...), *c.Text), '}')
		case c.JSON.Kind() == '{':
			b = append(b, c.JSON...)
		case len(c.JSON) > 0:
			b = append(append(append(b, `{"result":`...), c.JSON...), '}')
		default:
			return nil, w.refuse(path + ".content." + strconv.Itoa(k) + "." + c.Member())
		}
	}
	return b, nil
}

// document reads a document block whose text is at hand.
func (w *writer) document(path string, v []byte) (document, error) {
	var d struct {
		Format string `json:"format"`
		Name   string `json:"name"`
		Source struct {
			Bytes *string        `json:"bytes"`
			Text  *string        `json:"text"`
			Rest  jsontext.Value `json:",embed"`
		} `json:"source"`
		Rest jsontext.Value `json:",embed"`
	}
	if json.Unmarshal(v, &d, lenient) != nil {
		return document{}, fault.New(fault.Validation, "%s is not a document.", path)
	}
	for _, part := range []struct {
		path string
		rest jsontext.Value
	}{{path, d.Rest}, {path + ".source", d.Source.Rest}} {
		var first string
		_ = converse.EachMember(part.rest, func(name string, _ jsontext.Value) error {
			first = name
			return converse.ErrNotObject
		})
		if first != "" {
			return document{}, w.refuse(part.path + "." + first)
		}
	}
	switch {
	case d.Source.Text != nil:
		return document{d.Name, *d.Source.Text}, nil
	case d.Source.Bytes != nil && slices.Contains([]string{"txt", "md", "csv", "html"}, d.Format):
		b, err := base64.StdEncoding.DecodeString(*d.Source.Bytes)
		if err != nil {
			return document{}, fault.New(fault.Validation, "%s.source.bytes is not base64.", path)
		}
		return document{d.Name, string(b)}, nil
	}
	return document{}, w.refuse(path + ".format " + d.Format)
}

func appendTurns(dst []byte, turns []pastTurn) []byte {
	dst = append(dst, '[')
	for i := range turns {
		t := &turns[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"role":"`...), t.role...), '"')
		if t.message != "" || len(t.calls) == 0 && len(t.results) == 0 {
			dst = converse.AppendQuote(append(dst, `,"message":`...), t.message)
		} else if t.role == "CHATBOT" {
			dst = append(dst, `,"message":""`...)
		}
		if len(t.calls) > 0 {
			dst = appendCalls(append(dst, `,"tool_calls":`...), t.calls)
		}
		if len(t.results) > 0 {
			dst = appendResults(append(dst, `,"tool_results":`...), t.results)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendCalls(dst []byte, calls []*converse.ToolUse) []byte {
	dst = append(dst, '[')
	for i, u := range calls {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCall(dst, u)
	}
	return append(dst, ']')
}

func appendCall(dst []byte, u *converse.ToolUse) []byte {
	dst = converse.AppendQuote(append(dst, `{"name":`...), u.Name)
	dst = append(dst, `,"parameters":`...)
	switch {
	case len(u.Input) == 0:
		dst = append(dst, `{}`...)
	case u.Input.Kind() == '{':
		dst = append(dst, u.Input...)
	default: // what a model wrote that is no object
		dst = append(append(append(dst, `{"input":`...), u.Input...), '}')
	}
	return append(dst, '}')
}

func appendResults(dst []byte, results []pastResult) []byte {
	dst = append(dst, '[')
	for i := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCall(append(dst, `{"call":`...), results[i].call)
		dst = append(append(append(dst, `,"outputs":[`...), results[i].outputs...), `]}`...)
	}
	return append(dst, ']')
}

func (w *writer) preamble(blocks []converse.SystemBlock) error {
	var texts []string
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
		w.member("preamble")
		w.str(strings.Join(texts, "\n"))
	}
	return nil
}

func (w *writer) tools(c *converse.ToolConfig) error {
	if c == nil {
		return nil
	}
	specs := 0
	for i := range c.Tools {
		path := "toolConfig.tools." + strconv.Itoa(i)
		s := c.Tools[i].ToolSpec
		switch {
		case c.Tools[i].CachePoint != nil:
			continue
		case s == nil:
			return w.refuse(path + ".systemTool")
		case s.Strict != nil && *s.Strict:
			return w.refuse(path + ".toolSpec.strict")
		}
		definitions, leftover, err := w.definitions(path+".toolSpec.inputSchema.json", s.InputSchema.JSON)
		if err != nil {
			return err
		}
		if specs == 0 {
			w.member("tools")
		}
		w.element(specs)
		w.raw(`{"name":`)
		specs++
		w.str(s.Name)
		w.raw(`,"description":`)
		w.str(withSchema(s.Description, leftover))
		w.raw(`,"parameter_definitions":`)
		w.b = append(append(w.b, definitions...), '}')
	}
	if specs > 0 {
		w.raw(`]`)
	}
	if t := c.ToolChoice; t != nil && t.Any != nil {
		return w.refuse("toolConfig.toolChoice.any")
	} else if t != nil && t.Tool != nil {
		return w.refuse("toolConfig.toolChoice.tool")
	}
	return nil
}

// withSchema puts what parameter_definitions cannot say of a schema at the end of a description.
func withSchema(description string, leftover converse.Object) string {
	switch {
	case len(leftover) == 0:
		return description
	case description == "":
		return schemaMark + string(leftover)
	}
	return description + "\n" + schemaMark + string(leftover)
}

// definitions makes the parameter_definitions of a JSON Schema. leftover has the members that they cannot say.
func (w *writer) definitions(path string, schema jsontext.Value) (definitions []byte, leftover converse.Object, err error) {
	var s struct {
		Type       jsontext.Value `json:"type"`
		Properties jsontext.Value `json:"properties"`
		Required   []string       `json:"required"`
		Rest       jsontext.Value `json:",embed"`
	}
	if len(schema) == 0 {
		return []byte(`{}`), leftover, nil
	}
	if json.Unmarshal(schema, &s, lenient) != nil || len(s.Type) > 0 && string(s.Type) != `"object"` {
		return nil, leftover, w.refuse(path + " that is no schema of an object")
	}
	var all converse.Object
	found := 0
	err = converse.EachMember(s.Properties, func(name string, v jsontext.Value) error {
		var p struct {
			Description string         `json:"description"`
			Type        jsontext.Value `json:"type"`
			Rest        jsontext.Value `json:",embed"`
		}
		if json.Unmarshal(v, &p, lenient) != nil {
			return w.refuse(path + ".properties." + name + " that is no object")
		}
		var rest converse.Object
		python := anyType
		for _, t := range pythonTypes {
			if string(p.Type) == `"`+t.json+`"` {
				python = t.python
				break
			}
		}
		if python == anyType && len(p.Type) > 0 {
			rest.Add("type", compact(p.Type))
		}
		if err := converse.EachMember(p.Rest, func(name string, v jsontext.Value) error {
			rest.Add(name, compact(v))
			return nil
		}); err != nil {
			return err
		}
		required := slices.Contains(s.Required, name)
		if required {
			found++
		}
		b := converse.AppendQuote([]byte(`{"description":`), withSchema(p.Description, rest))
		b = append(append(append(b, `,"type":"`...), python...), `","required":`...)
		all.Add(name, append(strconv.AppendBool(b, required), '}'))
		return nil
	})
	if err == converse.ErrNotObject {
		err = w.refuse(path + ".properties that is no object")
	}
	if err != nil {
		return nil, leftover, fault.From(err)
	}
	if found < len(s.Required) { // a name that is no property, or twice there
		list, _ := json.Marshal(s.Required) // of strings
		leftover.Add("required", list)
	}
	if err := converse.EachMember(s.Rest, func(name string, v jsontext.Value) error {
		if name != "$schema" {
			leftover.Add(name, compact(v))
		}
		return nil
	}); err != nil {
		return nil, leftover, fault.From(err)
	}
	if len(all) == 0 {
		all = converse.Object(`{}`)
	}
	return all, leftover, nil
}

// AppendPrompt appends r as the body of a Command model, as AppendRequest does for Command R. These models take one text:
// a conversation of more turns than one, system blocks and tools are refused.
func AppendPrompt(dst []byte, r *converse.Request, _ string, stream bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "Cohere's generate"}
	text, beyond := outbound.OneText(r)
	if beyond != "" {
		return nil, w.refuse(beyond)
	}
	w.member("prompt")
	w.str(text)
	w.b = parameters.Append(w.b, r.InferenceConfig)
	if stream {
		w.member("stream")
		w.raw(`true`)
	}
	if err := w.service(r); err != nil {
		return nil, err
	}
	if err := w.additional(r); err != nil {
		return nil, err
	}
	return append(w.b, '}'), nil
}
