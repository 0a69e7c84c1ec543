package cohere

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

// chat is a body of Command R. Members whose meaning Converse has no place for stay in Rest.
type chat struct {
	Message     *string        `json:"message"`
	History     []turn         `json:"chat_history"`
	Documents   jsontext.Value `json:"documents"`
	Preamble    string         `json:"preamble"`
	MaxTokens   *int           `json:"max_tokens"`
	Temperature *float64       `json:"temperature"`
	P           *float64       `json:"p"`
	Stop        []string       `json:"stop_sequences"`
	Tools       []tool         `json:"tools"`
	ToolResults []toolResult   `json:"tool_results"`
	Rest        jsontext.Value `json:",embed"`
}

type turn struct {
	Role        string         `json:"role"`
	Message     string         `json:"message"`
	ToolCalls   []call         `json:"tool_calls"`
	ToolResults []toolResult   `json:"tool_results"`
	Rest        jsontext.Value `json:",embed"`
}

type call struct {
	Name       string         `json:"name"`
	Parameters jsontext.Value `json:"parameters"`
	Rest       jsontext.Value `json:",embed"`
}

type toolResult struct {
	Call    call           `json:"call"`
	Outputs jsontext.Value `json:"outputs"`
	Rest    jsontext.Value `json:",embed"`
}

type tool struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Parameters  jsontext.Value `json:"parameter_definitions"`
	Rest        jsontext.Value `json:",embed"`
}

// The elements of the lists are held against their schema as they are read, at once: each takes many times the memory of
// a body's "{},".

func (t *turn) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain turn // without this method
	if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	switch t.Role {
	case "USER", "CHATBOT", "SYSTEM", "TOOL":
	case "":
		return checker.Refuse(path + ": required key [role] not found")
	default:
		return checker.Refuse(path + "/role: " + t.Role + " is not a valid enum value")
	}
	return unknown(path, t.Rest)
}

func (c *call) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain call
	if err := json.UnmarshalDecode(d, (*plain)(c)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	if c.Name == "" {
		return checker.Refuse(path + ": required key [name] not found")
	}
	if len(c.Parameters) == 0 || c.Parameters.Kind() == 'n' {
		c.Parameters = jsontext.Value(`{}`)
	}
	if k := c.Parameters.Kind(); k != '{' {
		return checker.Refuse(path + "/parameters: expected type: JSONObject, found: " + checker.KindName(k))
	}
	return unknown(path, c.Rest, "generation_id") // which Cohere's own answers have carried
}

func (t *toolResult) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain toolResult
	if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	if t.Call.Name == "" {
		return checker.Refuse(path + ": required key [call] not found")
	}
	if err := objects(path+"/outputs", t.Outputs); err != nil {
		return err
	}
	return unknown(path, t.Rest)
}

func (t *tool) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain tool
	if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
		return err
	}
	path := "#" + string(d.StackPointer())
	if t.Name == "" {
		return checker.Refuse(path + ": required key [name] not found")
	}
	return unknown(path, t.Rest)
}

// objects checks that list is a list of objects, or nothing.
func objects(path string, list jsontext.Value) error {
	if k := list.Kind(); len(list) > 0 && k != '[' && k != 'n' {
		return checker.Refuse(path + ": expected type: JSONArray, found: " + checker.KindName(k))
	}
	return eachElement(list, func(i int, v jsontext.Value) error {
		if k := v.Kind(); k != '{' {
			return checker.Refuse(path + "/" + strconv.Itoa(i) + ": expected type: JSONObject, found: " + checker.KindName(k))
		}
		return nil
	})
}

func unknown(path string, rest jsontext.Value, known ...string) error {
	if found := checker.Extraneous(path, rest, known...); len(found) > 0 {
		return checker.Refuse(found...)
	}
	return nil
}

// passed are the members of a chat that Converse has no place for: the user guide's, and then those of Cohere's API v1.
var passed = []string{
	"search_queries_only", "prompt_truncation", "k", "frequency_penalty", "presence_penalty", "seed", "return_prompt", "raw_prompting",
	"force_single_step", "response_format", "citation_quality", "safety_mode",
}

// ParseRequest reads the body of a chat. A body that Bedrock would not take gives a fault.Validation in Bedrock's words.
//
//   - preamble, and turns of the role SYSTEM at the head of chat_history, become system blocks. Turns of one role that
//     follow one another become one.
//   - Calls have no ids: each gets one that counts up from "tool_0", and a result goes to the first call of its name and
//     parameters. tool_results beside a message, which is how a single step is said, answer calls that the conversation
//     does not show: those go before the results.
//   - An output of the form {"text":"..."} becomes a text, any other stays JSON; {"status":"error"} before the others is the
//     result's status.
//   - Documents of a title and a snippet become document blocks of the last turn; where one has anything else, all go into
//     AdditionalModelRequestFields, and so does every member that Converse has no place for.
//   - parameter_definitions become a JSON Schema; see schemaOf.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q chat
	if err := json.Unmarshal(body, &q, lenient); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &converse.Request{InferenceConfig: inferenceConfig(q.MaxTokens, q.Temperature, q.P, q.Stop)}
	if q.Preamble != "" {
		r.System = append(r.System, converse.SystemBlock{Text: &q.Preamble})
	}
	c := conversation{exact: map[string][]string{}, byName: map[string][]string{}, answered: map[string]bool{}}
	for i := range q.History {
		t := &q.History[i]
		if t.Role == "SYSTEM" {
			if len(c.messages) > 0 {
				return nil, checker.Refuse("#/chat_history/" + strconv.Itoa(i) + "/role: SYSTEM is not a valid enum value")
			}
			if t.Message != "" { // Converse takes no empty one
				r.System = append(r.System, converse.SystemBlock{Text: &t.Message})
			}
			continue
		}
		if err := c.turn("#/chat_history/"+strconv.Itoa(i), t); err != nil {
			return nil, err
		}
	}
	if err := c.last(&q); err != nil {
		return nil, err
	}
	r.Messages = c.messages
	var extra converse.Object
	if err := converse.EachMember(q.Rest, func(name string, v jsontext.Value) error {
		extra.Add(name, v)
		return nil
	}); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := documents(r, &extra, q.Documents); err != nil {
		return nil, err
	}
	r.AdditionalModelRequestFields = extra.Value()
	if len(q.Tools) > 0 {
		r.ToolConfig = &converse.ToolConfig{Tools: make([]converse.Tool, 0, len(q.Tools))}
	}
	for i := range q.Tools {
		t := &q.Tools[i]
		s := &converse.ToolSpec{Name: t.Name}
		var leftover jsontext.Value
		s.Description, leftover = cutSchema(t.Description)
		var err error
		if s.InputSchema.JSON, err = schemaOf("#/tools/"+strconv.Itoa(i)+"/parameter_definitions", t.Parameters, leftover); err != nil {
			return nil, err
		}
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, converse.Tool{ToolSpec: s})
	}
	return r, nil
}

func inferenceConfig(maxTokens *int, temperature, p *float64, stop []string) *converse.InferenceConfig {
	if maxTokens == nil && temperature == nil && p == nil && len(stop) == 0 {
		return nil
	}
	return &converse.InferenceConfig{MaxTokens: maxTokens, Temperature: temperature, TopP: p, StopSequences: stop}
}

// check finds what is wrong with the body as a whole. The ranges are the user guide's.
func (q *chat) check() error {
	var bad []string
	if q.Message == nil {
		bad = append(bad, "#: required key [message] not found")
	}
	bad = append(bad, checker.Extraneous("#", q.Rest, passed...)...)
	bad = append(bad, ranges(q.MaxTokens, q.Temperature, q.P, 1, 0.01, 0.99)...)
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}

// ranges checks the parameters that the formats share: temperature is of 0 to maxTemperature, p of minP to maxP.
func ranges(maxTokens *int, temperature, p *float64, maxTemperature, minP, maxP float64) []string {
	var bad []string
	if maxTokens != nil && *maxTokens < 1 {
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(*maxTokens)+" is not greater or equal to 1")
	}
	bad = append(bad, checker.Within("#/temperature", temperature, 0, maxTemperature)...)
	return append(bad, checker.Within("#/p", p, minP, maxP)...)
}

// conversation makes Converse's turns.
type conversation struct {
	messages []converse.Message
	calls    int // so far, which is the next one's id

	// The calls of the last turn, by name and parameters and by name alone, and which of them have their result.
	exact, byName map[string][]string
	answered      map[string]bool
	open          int // how many have none
}

func (c *conversation) add(role string, b converse.ContentBlock) {
	if n := len(c.messages); n == 0 || c.messages[n-1].Role != role {
		c.messages = append(c.messages, converse.Message{Role: role})
	}
	m := &c.messages[len(c.messages)-1]
	m.Content = append(m.Content, b)
}

func (c *conversation) turn(path string, t *turn) error {
	role := converse.RoleUser
	if t.Role == "CHATBOT" {
		role = converse.RoleAssistant
	}
	if len(t.ToolCalls) > 0 && role != converse.RoleAssistant {
		return checker.Refuse(path + ": extraneous key [tool_calls] is not permitted")
	}
	if len(t.ToolResults) > 0 && t.Role != "TOOL" {
		return checker.Refuse(path + ": extraneous key [tool_results] is not permitted")
	}
	if t.Role != "TOOL" { // what has no result by now gets none
		c.forget()
	}
	if t.Message != "" || len(t.ToolCalls) == 0 && len(t.ToolResults) == 0 {
		c.add(role, converse.ContentBlock{Text: &t.Message})
	}
	if err := c.call(path+"/tool_calls", t.ToolCalls); err != nil {
		return err
	}
	return c.results(path, t.ToolResults)
}

// last adds the turn that the top level is.
func (c *conversation) last(q *chat) error {
	text := func() {
		if *q.Message != "" || len(q.ToolResults) == 0 {
			c.add(converse.RoleUser, converse.ContentBlock{Text: q.Message})
		}
	}
	if c.open > 0 || len(q.ToolResults) == 0 {
		if err := c.results("#", q.ToolResults); err != nil {
			return err
		}
		text()
		return nil
	}
	c.forget()
	text() // a single step: what the user asked, what the model called for it, what came of that
	calls := make([]call, len(q.ToolResults))
	for i := range q.ToolResults {
		calls[i] = q.ToolResults[i].Call
	}
	if err := c.call("#/tool_results", calls); err != nil {
		return err
	}
	return c.results("#", q.ToolResults)
}

// forget closes the calls of the last turn.
func (c *conversation) forget() {
	clear(c.exact)
	clear(c.byName)
	clear(c.answered)
	c.open = 0
}

// maxCalls bounds the calls of one conversation, each of which takes much more memory than it does in the body.
const maxCalls = 10_000

func (c *conversation) call(path string, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	if c.calls+len(calls) > maxCalls {
		return checker.Refuse(path + ": expected maximum item count: " + strconv.Itoa(maxCalls) + ", found: " + strconv.Itoa(c.calls+len(calls)))
	}
	for i := range calls {
		id := "tool_" + strconv.Itoa(c.calls)
		c.calls++
		key := calls[i].key()
		c.exact[key] = append(c.exact[key], id)
		c.byName[calls[i].Name] = append(c.byName[calls[i].Name], id)
		c.add(converse.RoleAssistant, converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: id, Name: calls[i].Name, Input: calls[i].Parameters}})
	}
	c.open = len(calls)
	return nil
}

// key is equal for calls that are.
func (c *call) key() string {
	v := c.Parameters.Clone()
	_ = v.Canonicalize(lenient) // it was read as JSON; numbers that have no canonical form are told apart by their text
	return c.Name + "\x00" + string(v)
}

func (c *conversation) results(path string, results []toolResult) error {
	for i := range results {
		t := &results[i]
		id := c.take(c.exact, t.Call.key())
		if id == "" {
			id = c.take(c.byName, t.Call.Name)
		}
		if id == "" {
			return checker.Refuse(path + "/tool_results/" + strconv.Itoa(i) + "/call: " + t.Call.Name + " was not called in the turn before")
		}
		c.open--
		r := &converse.ToolResult{ToolUseID: id, Content: []converse.ToolResultContent{}}
		if err := eachElement(t.Outputs, func(j int, v jsontext.Value) error {
			if j == 0 && string(compact(v)) == errorStatus {
				r.Status = "error"
			} else {
				r.Content = append(r.Content, output(v))
			}
			return nil
		}); err != nil {
			return checker.NotRead(err)
		}
		c.add(converse.RoleUser, converse.ContentBlock{ToolResult: r})
	}
	return nil
}

// errorStatus is the output that says that a tool has failed. The format has no other place for it.
const errorStatus = `{"status":"error"}`

// take returns the first id at key that has no result yet, and marks it.
func (c *conversation) take(ids map[string][]string, key string) string {
	for len(ids[key]) > 0 {
		id := ids[key][0]
		ids[key] = ids[key][1:]
		if !c.answered[id] {
			c.answered[id] = true
			return id
		}
	}
	return ""
}

func output(v jsontext.Value) converse.ToolResultContent {
	if s, ok := onlyStrings(v, "text"); ok {
		return converse.ToolResultContent{Text: &s[0]}
	}
	return converse.ToolResultContent{JSON: v.Clone()}
}

// onlyStrings returns the members of an object that has these, each a string, and no other.
func onlyStrings(object jsontext.Value, names ...string) ([]string, bool) {
	values := make([]string, len(names))
	found := 0
	err := converse.EachMember(object, func(name string, v jsontext.Value) error {
		i := slices.Index(names, name)
		if i < 0 || v.Kind() != '"' {
			return converse.ErrNotObject
		}
		found++
		return json.Unmarshal(v, &values[i])
	})
	return values, err == nil && found == len(names)
}

// documents puts the documents of a chat where Converse has a place for them.
func documents(r *converse.Request, extra *converse.Object, list jsontext.Value) error {
	if err := objects("#/documents", list); err != nil {
		return err
	}
	var blocks []converse.ContentBlock
	other := false
	err := eachElement(list, func(_ int, v jsontext.Value) error {
		s, ok := onlyStrings(v, "title", "snippet")
		if other = other || !ok || s[0] == "" || s[1] == ""; other {
			return nil
		}
		b := converse.AppendQuote([]byte(`{"format":"txt","name":`), s[0])
		b = converse.AppendQuote(append(b, `,"source":{"text":`...), s[1])
		blocks = append(blocks, converse.ContentBlock{Document: append(b, `}}`...)})
		return nil
	})
	if err != nil {
		return checker.NotRead(err)
	}
	if other {
		extra.Add("documents", list)
		return nil
	}
	m := &r.Messages[len(r.Messages)-1]
	m.Content = append(m.Content, blocks...)
	return nil
}

// generate is a body of Command and Command Light.
type generate struct {
	Prompt         *string        `json:"prompt"`
	MaxTokens      *int           `json:"max_tokens"`
	Temperature    *float64       `json:"temperature"`
	P              *float64       `json:"p"`
	Stop           []string       `json:"stop_sequences"`
	Stream         bool           `json:"stream"`
	NumGenerations *int           `json:"num_generations"`
	Likelihoods    string         `json:"return_likelihoods"`
	Rest           jsontext.Value `json:",embed"`
}

// ParsePrompt reads the body of a Command model. The prompt is one text of the user: these models have no template for
// turns. num_generations of 1 and return_likelihoods of "NONE" ask for nothing; any other value, and k, logit_bias,
// truncate and a temperature beyond 1, where Converse's ends, go into AdditionalModelRequestFields. stream is about the answer's framing: see Pieces.
func ParsePrompt(body []byte) (*converse.Request, error) {
	var q generate
	if err := json.Unmarshal(body, &q, lenient); err != nil {
		return nil, checker.NotRead(err)
	}
	var bad []string
	if q.Prompt == nil {
		bad = append(bad, "#: required key [prompt] not found")
	}
	bad = append(bad, checker.Extraneous("#", q.Rest, "k", "logit_bias", "truncate")...)
	bad = append(bad, ranges(q.MaxTokens, q.Temperature, q.P, 5, 0, 1)...)
	if len(bad) > 0 {
		return nil, checker.Refuse(bad...)
	}
	var extra converse.Object
	if t := q.Temperature; t != nil && *t > 1 { // Converse's ends at 1
		extra.Add("temperature", jsontext.AppendFloat(nil, *t, 64))
		q.Temperature = nil
	}
	r := &converse.Request{
		Messages:        []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: q.Prompt}}}},
		InferenceConfig: inferenceConfig(q.MaxTokens, q.Temperature, q.P, q.Stop),
	}
	if q.NumGenerations != nil && *q.NumGenerations != 1 {
		extra.Add("num_generations", strconv.AppendInt(nil, int64(*q.NumGenerations), 10))
	}
	if q.Likelihoods != "" && q.Likelihoods != "NONE" {
		extra.Add("return_likelihoods", converse.AppendQuote(nil, q.Likelihoods))
	}
	if err := converse.EachMember(q.Rest, func(name string, v jsontext.Value) error {
		extra.Add(name, v)
		return nil
	}); err != nil {
		return nil, checker.NotRead(err)
	}
	r.AdditionalModelRequestFields = extra.Value()
	return r, nil
}

// Pieces reports whether a body that ParsePrompt has accepted asks for a stream in pieces. Without that, a stream of these
// models is one chunk.
func Pieces(body []byte) bool {
	var q struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(body, &q, lenient) == nil && q.Stream
}

// pythonTypes are the types of parameter_definitions, which are Python's, with JSON Schema's for each. The first of each
// is what is written.
var pythonTypes = []struct{ python, json string }{
	{"str", "string"}, {"int", "integer"}, {"float", "number"}, {"bool", "boolean"}, {"list", "array"}, {"dict", "object"},
	{"List", "array"}, {"Dict", "object"},
	{"string", "string"}, {"integer", "integer"}, {"number", "number"}, {"boolean", "boolean"}, {"array", "array"}, {"object", "object"},
}

// anyType is the type of a parameter that has none, or several.
const anyType = "Any"

// schemaMark stands in a description before the part of a JSON Schema that parameter_definitions cannot say: the model
// reads it there, and cutSchema takes it out again.
const schemaMark = "JSON Schema: "

// cutSchema takes apart what withSchema has put together.
func cutSchema(description string) (string, jsontext.Value) {
	i := strings.LastIndex(description, schemaMark)
	if i < 0 || i > 0 && description[i-1] != '\n' {
		return description, nil
	}
	v := jsontext.Value(description[i+len(schemaMark):])
	if v.Kind() != '{' || !v.IsValid(lenient) {
		return description, nil
	}
	return description[:max(0, i-1)], v
}

// schemaOf makes the JSON Schema of parameter_definitions: an object of the parameters, those required that say so. A type
// that is neither Python's nor JSON Schema's ("Optional[str]") goes to the parameter's description. leftover is what the
// tool's description had of the schema.
func schemaOf(path string, definitions, leftover jsontext.Value) (jsontext.Value, error) {
	var properties, schema converse.Object
	var required []string
	err := converse.EachMember(definitions, func(name string, v jsontext.Value) error {
		var p struct {
			Description string         `json:"description"`
			Type        string         `json:"type"`
			Required    bool           `json:"required"`
			Rest        jsontext.Value `json:",embed"`
		}
		if err := json.Unmarshal(v, &p, lenient); err != nil {
			return checker.Refuse(path + "/" + name + ": expected type: JSONObject, found: " + checker.KindName(v.Kind()))
		}
		if err := unknown(path+"/"+name, p.Rest); err != nil {
			return err
		}
		description, rest := cutSchema(p.Description)
		var property converse.Object
		if i := slices.IndexFunc(pythonTypes, func(t struct{ python, json string }) bool { return t.python == p.Type }); i >= 0 {
			property.Add("type", converse.AppendQuote(nil, pythonTypes[i].json))
		} else if p.Type != "" && p.Type != anyType {
			description = strings.TrimPrefix(description+" (of the type "+p.Type+")", " ")
		}
		if description != "" {
			property.Add("description", converse.AppendQuote(nil, description))
		}
		if err := converse.EachMember(rest, func(name string, v jsontext.Value) error {
			property.Add(name, v)
			return nil
		}); err != nil {
			return err
		}
		if len(property) == 0 {
			property = converse.Object(`{}`)
		}
		properties.Add(name, jsontext.Value(property))
		if p.Required {
			required = append(required, name)
		}
		return nil
	})
	if err == converse.ErrNotObject {
		return nil, checker.Refuse(path + ": expected type: JSONObject, found: " + checker.KindName(definitions.Kind()))
	}
	if err != nil {
		return nil, checker.NotRead(err)
	}
	if len(properties) == 0 {
		properties = converse.Object(`{}`)
	}
	schema.Add("type", jsontext.Value(`"object"`))
	schema.Add("properties", jsontext.Value(properties))
	if len(required) > 0 {
		list, _ := json.Marshal(required) // of strings
		schema.Add("required", list)
	}
	if err := converse.EachMember(leftover, func(name string, v jsontext.Value) error {
		schema.Add(name, v)
		return nil
	}); err != nil {
		return nil, checker.NotRead(err)
	}
	return schema.Value(), nil
}
