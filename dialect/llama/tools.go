package llama

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// What the chat template of Llama 3.1 says around the tools, word for word, with its missing spaces. It puts them into the
// system turn or into the first turn of the user; the first is what this package writes, and it reads both.
const (
	toolsEnvironment = "Environment: ipython\n"
	toolsFormat      = `Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.` + "\n\n"
	toolsInSystem    = "You have access to the following functions. To call a function, please respond with JSON for a function call." + toolsFormat
	toolsInUser      = "Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given prompt.\n\n" + toolsFormat
)

// function is one tool as the template shows it.
type function struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description,omitzero"`
		Parameters  jsontext.Value `json:"parameters,omitzero"`
	} `json:"function"`
}

// toolText returns the tool as the template shows it: JSON, indented by four, and an empty line.
func toolText(s *converse.ToolSpec) (string, error) {
	f := function{Type: "function"}
	f.Function.Name, f.Function.Description, f.Function.Parameters = s.Name, s.Description, s.InputSchema.JSON
	b, err := json.Marshal(&f, jsontext.AllowDuplicateNames(true), jsontext.WithIndent("    "))
	return string(b) + "\n\n", err
}

// cutTools takes the tools off a turn's text: what stands before and after them, joined, is the text that is left.
func cutTools(text, head string) (tools []converse.Tool, rest string, ok bool) {
	before, after, ok := strings.Cut(text, head)
	if !ok {
		return nil, text, false
	}
	for {
		// Each tool ends with an empty line, and nothing within its JSON is one.
		one, next, ok := strings.Cut(after, "\n\n")
		var f function
		if !ok || !strings.HasPrefix(one, "{") || json.Unmarshal([]byte(one), &f, jsontext.AllowDuplicateNames(true)) != nil ||
			f.Type != "function" || !toolName(f.Function.Name) || f.Function.Parameters.Kind() != '{' {
			return tools, before + after, len(tools) > 0
		}
		schema := f.Function.Parameters.Clone()
		if schema.Compact(jsontext.AllowDuplicateNames(true)) != nil {
			return nil, text, false
		}
		tools = append(tools, converse.Tool{ToolSpec: &converse.ToolSpec{
			Name: f.Function.Name, Description: f.Function.Description, InputSchema: converse.ToolInputSchema{JSON: schema},
		}})
		after = next
	}
}

// toolName reports whether s can be a tool's name in Converse.
func toolName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// readCall reads a text that is one call and nothing else.
func readCall(text string, known func(name string) bool) (name string, input jsontext.Value, ok bool) {
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimPrefix(text, pythonMark))
	if !strings.HasPrefix(text, "{") {
		return "", nil, false
	}
	var c struct {
		Type       string         `json:"type"` // "function", now and then
		Name       string         `json:"name"`
		Parameters jsontext.Value `json:"parameters"`
		Rest       jsontext.Value `json:",embed"`
	}
	if json.Unmarshal([]byte(text), &c, jsontext.AllowInvalidUTF8(true)) != nil || len(c.Rest) > 2 || c.Parameters.Kind() != '{' || !known(c.Name) {
		return "", nil, false
	}
	return c.Name, bytes.Clone(c.Parameters), true
}

// appendCall appends the begin of a call up to its parameters, which follow, and a brace after them.
func appendCall(dst []byte, name string) []byte {
	dst = append(dst, `{"name": `...)
	dst = converse.AppendQuote(dst, name)
	return append(dst, `, "parameters": `...)
}

// callID names the nth call of a conversation, in which the format gives none a name.
func callID(n int) string { return "call_" + strconv.Itoa(n) }
