// Package nova translates between converse and the format of Amazon Nova's understanding models, "messages-v1", as Amazon
// Bedrock's InvokeModel carries it. The format is nearly Converse's own. It reads and writes JSON only.
//
// Sources: "Complete request schema" in the Amazon Nova user guide, "Request and response schema" in that of Nova 2, and
// recorded exchanges.
package nova

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

// schemaVersion is the only version of the format. A body may leave it out.
const schemaVersion = "messages-v1"

type request struct {
	SchemaVersion   *string                `json:"schemaVersion"`
	System          []converse.SystemBlock `json:"system"`
	Messages        []converse.Message     `json:"messages"`
	InferenceConfig *inference             `json:"inferenceConfig"`
	ToolConfig      *converse.ToolConfig   `json:"toolConfig"`
	Rest            jsontext.Value         `json:",embed"`
}

// inference takes the names of the format's first release too, which Bedrock still takes.
type inference struct {
	MaxTokens     *int           `json:"maxTokens"`
	MaxNewTokens  *int           `json:"max_new_tokens"`
	Temperature   *float64       `json:"temperature"`
	TopP          *float64       `json:"topP"`
	TopPOld       *float64       `json:"top_p"`
	StopSequences []string       `json:"stopSequences"`
	Rest          jsontext.Value `json:",embed"`
}

// ParseRequest reads an InvokeModel body into a converse.Request. A body that Bedrock would not take gives a
// fault.Validation in Bedrock's words.
//
//   - A cachePoint beside a block's own member, which is where this format has it, becomes a block after it.
//   - What inferenceConfig holds beyond Converse's own (topK, reasoningConfig), and members of the top level that are not
//     known here (the reasoningConfig of Nova 2), go into AdditionalModelRequestFields, where Converse's callers put them.
//     Members that are not known anywhere else are refused.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	if err := json.Unmarshal(body, &q, strict); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &converse.Request{Messages: q.Messages, ToolConfig: q.ToolConfig}
	for i := range r.Messages {
		r.Messages[i].Content = splitBlocks(r.Messages[i].Content)
	}
	for _, b := range q.System {
		point := b.CachePoint
		if b.Text != nil || b.GuardContent != nil {
			b.CachePoint = nil
			r.System = append(r.System, b)
		}
		if point != nil {
			r.System = append(r.System, converse.SystemBlock{CachePoint: point})
		}
	}
	if r.ToolConfig != nil {
		r.ToolConfig.Tools = splitTools(r.ToolConfig.Tools)
	}
	extra := bytes.TrimSpace(q.Rest)
	if c := q.InferenceConfig; c != nil {
		if c.MaxTokens == nil {
			c.MaxTokens = c.MaxNewTokens
		}
		if c.TopP == nil {
			c.TopP = c.TopPOld
		}
		if c.MaxTokens != nil || c.Temperature != nil || c.TopP != nil || len(c.StopSequences) > 0 {
			r.InferenceConfig = &converse.InferenceConfig{MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, StopSequences: c.StopSequences}
		}
		if len(c.Rest) > 2 {
			head := []byte(`{"inferenceConfig":`)
			head = append(head, c.Rest...)
			if len(extra) > 2 {
				extra = append(append(head, ','), extra[1:]...)
			} else {
				extra = append(head, '}')
			}
		}
	}
	if len(extra) > 2 {
		r.AdditionalModelRequestFields = bytes.Clone(extra)
	}
	return r, nil
}

// splitBlocks takes the cache points out of the blocks that they stand in.
func splitBlocks(blocks []converse.ContentBlock) []converse.ContentBlock {
	joined := 0
	for i := range blocks {
		if b := &blocks[i]; b.CachePoint != nil && members(b) > 0 {
			joined++
		}
	}
	if joined == 0 {
		return blocks
	}
	out := make([]converse.ContentBlock, 0, len(blocks)+joined)
	for _, b := range blocks {
		point := b.CachePoint
		if members(&b) > 0 {
			b.CachePoint = nil
			out = append(out, b)
		}
		if point != nil {
			out = append(out, converse.ContentBlock{CachePoint: point})
		}
	}
	return out
}

func splitTools(tools []converse.Tool) []converse.Tool {
	var out []converse.Tool
	for _, t := range tools {
		point := t.CachePoint
		if t.ToolSpec != nil || t.SystemTool != nil {
			t.CachePoint = nil
			out = append(out, t)
		}
		if point != nil {
			out = append(out, converse.Tool{CachePoint: point})
		}
	}
	return out
}

// members counts the members that b has besides a cache point.
func members(b *converse.ContentBlock) int {
	return count(b.Text != nil, b.Image != nil, b.ToolUse != nil, b.ToolResult != nil, b.ReasoningContent != nil, b.Document != nil,
		b.Video != nil, b.Audio != nil, b.GuardContent != nil, b.CitationsContent != nil, b.SearchResult != nil)
}

func count(set ...bool) (n int) {
	for _, s := range set {
		if s {
			n++
		}
	}
	return n
}

// strict reads converse's own types as this format has them. Each part is checked as soon as it is read, so that a body of
// empty objects, each of which takes a hundred times its length, ends with the first.
var strict = json.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, m *converse.Message) error {
			type plain converse.Message
			if err := json.UnmarshalDecode(d, (*plain)(m)); err != nil {
				return err
			}
			switch {
			case m.Role == "":
				return missing(d, "role")
			case m.Role != converse.RoleUser && m.Role != converse.RoleAssistant:
				return at(d, "/role", m.Role+" is not a valid enum value")
			case m.Content == nil:
				return missing(d, "content")
			case len(m.Content) == 0:
				return at(d, "/content", "expected minimum item count: 1, found: 0")
			}
			return nil
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, b *converse.ContentBlock) error {
			type plain converse.ContentBlock
			if err := json.UnmarshalDecode(d, (*plain)(b)); err != nil {
				return err
			}
			return one(d, b.Other, members(b), b.CachePoint != nil)
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, b *converse.SystemBlock) error {
			type plain converse.SystemBlock
			if err := json.UnmarshalDecode(d, (*plain)(b)); err != nil {
				return err
			}
			if b.Text != nil && *b.Text == "" {
				return at(d, "/text", "expected minLength: 1, actual: 0")
			}
			return one(d, b.Other, count(b.Text != nil, b.GuardContent != nil), b.CachePoint != nil)
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, c *converse.ToolResultContent) error {
			type plain converse.ToolResultContent
			if err := json.UnmarshalDecode(d, (*plain)(c)); err != nil {
				return err
			}
			return one(d, c.Other, count(c.JSON != nil, c.Text != nil, c.Image != nil, c.Document != nil, c.Video != nil, c.SearchResult != nil), false)
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *converse.Tool) error {
			type plain converse.Tool
			if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
				return err
			}
			return one(d, t.Other, count(t.ToolSpec != nil, t.SystemTool != nil), t.CachePoint != nil)
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, s *converse.ToolSpec) error {
			type plain converse.ToolSpec
			if err := json.UnmarshalDecode(d, (*plain)(s)); err != nil {
				return err
			}
			switch {
			case s.Name == "":
				return missing(d, "name")
			case s.InputSchema.JSON == nil:
				return missing(d, "inputSchema")
			case s.InputSchema.JSON.Kind() != '{':
				return at(d, "/inputSchema/json", "expected type: JSONObject, found: "+checker.KindName(s.InputSchema.JSON.Kind()))
			}
			return nil
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, m *converse.Image) error {
			type plain converse.Image
			if err := json.UnmarshalDecode(d, (*plain)(m)); err != nil {
				return err
			}
			switch m.Format {
			case "png", "jpeg", "gif", "webp":
			case "":
				return missing(d, "format")
			default:
				return at(d, "/format", m.Format+" is not a valid enum value")
			}
			switch s := &m.Source; {
			case len(s.Bytes) == 0 && s.S3Location == nil:
				return missing(d, "source")
			case len(s.Bytes) > 0 && s.S3Location != nil:
				return at(d, "/source", "2 subschemas matched instead of one")
			case s.S3Location != nil && s.S3Location.URI == "":
				return at(d, "/source/s3Location", "required key [uri] not found")
			}
			return nil
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *converse.ToolUse) error {
			type plain converse.ToolUse
			if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
				return err
			}
			switch {
			case t.ToolUseID == "":
				return missing(d, "toolUseId")
			case t.Name == "":
				return missing(d, "name")
			case t.Input == nil:
				return missing(d, "input")
			}
			return nil
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *converse.ToolResult) error {
			type plain converse.ToolResult
			if err := json.UnmarshalDecode(d, (*plain)(t)); err != nil {
				return err
			}
			switch {
			case t.ToolUseID == "":
				return missing(d, "toolUseId")
			case t.Content == nil:
				return missing(d, "content")
			}
			return nil
		}),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, r *converse.Reasoning) error {
			type plain converse.Reasoning
			if err := json.UnmarshalDecode(d, (*plain)(r)); err != nil {
				return err
			}
			return one(d, nil, count(r.ReasoningText != nil, len(r.RedactedContent) > 0), false)
		}),
	)),
)

// one says that of the members of a union n are set and not one, or that it has others. A cache point counts only alone.
func one(d *jsontext.Decoder, others *jsontext.Value, n int, cachePoint bool) error {
	if others != nil {
		return at(d, "", extraneous(*others))
	}
	if n == 1 || n == 0 && cachePoint {
		return nil
	}
	return at(d, "", fmt.Sprintf("%d subschemas matched instead of one", n))
}

// extraneous is the violation of the first of an object's members.
func extraneous(others jsontext.Value) string {
	d := jsontext.NewDecoder(bytes.NewReader(others), jsontext.AllowDuplicateNames(true))
	_, _ = d.ReadToken() // it was read as an object
	name, _ := d.ReadToken()
	return "extraneous key [" + name.String() + "] is not permitted"
}

func missing(d *jsontext.Decoder, key string) error {
	return at(d, "", "required key ["+key+"] not found")
}

// at is a violation of the schema at or, with path, below what d has just read.
func at(d *jsontext.Decoder, path, violation string) error {
	return checker.Refuse("#" + string(d.StackPointer()) + path + ": " + violation)
}

// check finds what is wrong with the body as a whole and reports all of it, as Bedrock does.
func (q *request) check() error {
	var bad []string
	switch {
	case q.Messages == nil:
		bad = append(bad, "#: required key [messages] not found")
	case len(q.Messages) == 0:
		bad = append(bad, "#/messages: expected minimum item count: 1, found: 0")
	}
	if v := q.SchemaVersion; v != nil && *v != schemaVersion {
		bad = append(bad, "#/schemaVersion: "+*v+" is not a valid enum value")
	}
	if t := q.ToolConfig; t != nil {
		if len(t.Tools) == 0 {
			bad = append(bad, "#/toolConfig/tools: expected minimum item count: 1, found: 0")
		}
		if c := t.ToolChoice; c != nil && c.Other != nil {
			bad = append(bad, "#/toolConfig/toolChoice: "+extraneous(*c.Other))
		} else if c != nil && count(c.Auto != nil, c.Any != nil, c.Tool != nil) != 1 {
			bad = append(bad, fmt.Sprintf("#/toolConfig/toolChoice: %d subschemas matched instead of one", count(c.Auto != nil, c.Any != nil, c.Tool != nil)))
		}
	}
	if c := q.InferenceConfig; c != nil {
		for _, n := range []struct {
			name  string
			value *int
		}{{"maxTokens", c.MaxTokens}, {"max_new_tokens", c.MaxNewTokens}} {
			if n.value != nil && *n.value < 1 {
				bad = append(bad, fmt.Sprintf("#/inferenceConfig/%s: %d is not greater or equal to 1", n.name, *n.value))
			}
		}
		for _, n := range []struct {
			name  string
			value *float64
		}{{"temperature", c.Temperature}, {"topP", c.TopP}, {"top_p", c.TopPOld}} {
			bad = append(bad, checker.Within("#/inferenceConfig/"+n.name, n.value, 0, 1)...)
		}
	}
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}
