package llama

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

type request struct {
	Prompt      *string        `json:"prompt"`
	Images      *[]string      `json:"images"` // base64
	MaxTokens   *int           `json:"max_gen_len"`
	Temperature *float64       `json:"temperature"`
	TopP        *float64       `json:"top_p"`
	Rest        jsontext.Value `json:",embed"`
}

// maxImages is the most pictures of a request, Converse's own limit.
const maxImages = 20

// ParseRequest reads an InvokeModel body into a converse.Request. A body that Bedrock would not take gives a
// fault.Validation in Bedrock's words.
//
//   - A prompt in a template of the family becomes the turns that it holds, and an answer that it begins the last of them.
//     A server that applies its own template does then not apply it twice. Any other prompt is one text of the user.
//   - Tools in the form of Llama 3.1's template become a toolConfig, and calls and results toolUse and toolResult. Their
//     ids are made up, since the format has none.
//   - A picture stands where the prompt says <|image|>, and before the last text of the user where it says so nowhere.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	images, err := q.images()
	if err != nil {
		return nil, err
	}
	r := conversation(*q.Prompt, images)
	if r == nil {
		one := []converse.ContentBlock{}
		for _, m := range images {
			one = append(one, converse.ContentBlock{Image: m})
		}
		one = append(one, converse.ContentBlock{Text: q.Prompt})
		r = &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: one}}}
	}
	if q.MaxTokens != nil || q.Temperature != nil || q.TopP != nil {
		r.InferenceConfig = &converse.InferenceConfig{MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP}
	}
	return r, nil
}

// check finds what is wrong with the body, in the words of Bedrock's schema checker, which reports all it finds.
func (q *request) check() error {
	var bad []string
	switch {
	case q.Prompt == nil:
		bad = append(bad, "#: required key [prompt] not found")
	case strings.TrimSpace(*q.Prompt) == "": // one of white space alone asks nothing either
		bad = append(bad, "#/prompt: expected minLength: 1, actual: 0")
	}
	if q.MaxTokens != nil && *q.MaxTokens < 1 {
		bad = append(bad, "#/max_gen_len: "+strconv.Itoa(*q.MaxTokens)+" is not greater or equal to 1")
	}
	bad = append(bad, checker.Within("#/temperature", q.Temperature, 0, 1)...)
	bad = append(bad, checker.Within("#/top_p", q.TopP, 0, 1)...)
	if q.Images != nil && len(*q.Images) > maxImages {
		bad = append(bad, "#/images: expected maximum item count: "+strconv.Itoa(maxImages)+", found: "+strconv.Itoa(len(*q.Images)))
	}
	bad = append(bad, checker.Extraneous("#", q.Rest)...)
	if len(bad) > 0 {
		return checker.Refuse(strings.Join(bad, ""))
	}
	return nil
}

// images decodes the pictures, whose format their own first bytes tell.
func (q *request) images() ([]*converse.Image, error) {
	if q.Images == nil {
		return nil, nil
	}
	marks := strings.Count(*q.Prompt, imageMark)
	if n := len(*q.Images); n > 0 && marks > 0 && marks != n {
		return nil, checker.Refuse("#/images: expected item count: " + strconv.Itoa(marks) + ", found: " + strconv.Itoa(n))
	}
	var out []*converse.Image
	for i, s := range *q.Images {
		text := converse.Base64(s)
		var begin [16]byte
		n, _ := text.ReadAt(begin[:], 0) // it may be short
		m := &converse.Image{Format: imageFormat(begin[:n]), Source: converse.ImageSource{Bytes: text}}
		if !text.Valid() || m.Format == "" {
			return nil, checker.Refuse("#/images/" + strconv.Itoa(i) + ": the string is not an image in base64")
		}
		out = append(out, m)
	}
	return out, nil
}

func imageFormat(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "png"
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "jpeg"
	case bytes.HasPrefix(b, []byte("GIF8")):
		return "gif"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "webp"
	}
	return ""
}

// conversation makes the turns of a prompt those of a request. It returns nil for a prompt that is in no template, and
// for turns that are no conversation.
func conversation(prompt string, images []*converse.Image) *converse.Request {
	turns, ok := readPrompt(prompt)
	if !ok {
		return nil
	}
	b := builder{r: &converse.Request{}, images: images, marked: len(images) > 0 && strings.Contains(prompt, imageMark)}
	for _, t := range turns {
		if !b.add(t) {
			return nil
		}
	}
	if len(b.images) > 0 && !b.front() || b.r.Check() != nil {
		return nil
	}
	return b.r
}

// builder makes a request of turns.
type builder struct {
	r      *converse.Request
	images []*converse.Image // not yet placed
	marked bool              // their places are in the texts
	tools  map[string]bool
	calls  int // tool uses so far
	open   bool
}

// add adds a turn. It reports false where it has no place in a conversation.
func (b *builder) add(t turn) bool {
	n := len(b.r.Messages)
	switch t.role {
	case roleSystem:
		if n > 0 {
			return false
		}
		if text, ok := strings.CutPrefix(t.text, toolsEnvironment); ok && b.cutTools(&text, toolsInSystem) {
			t.text = text
		}
		if t.text != "" {
			b.r.System = append(b.r.System, converse.SystemBlock{Text: &t.text})
		}
		return true
	case roleUser:
		if n == 0 {
			b.cutTools(&t.text, toolsInUser)
		}
		// What the user says with a result is of the same turn.
		if n > 0 && b.r.Messages[n-1].Role == converse.RoleUser {
			last := &b.r.Messages[n-1]
			if last.Content[len(last.Content)-1].ToolResult == nil {
				return false
			}
			last.Content = append(last.Content, b.blocks(t.text)...)
			return true
		}
		b.message(converse.RoleUser, b.blocks(t.text)...)
	case roleAssistant:
		c := converse.ContentBlock{Text: &t.text}
		if name, input, ok := readCall(t.text, func(name string) bool { return b.tools[name] }); ok {
			b.calls++
			b.open = true
			c = converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: callID(b.calls), Name: name, Input: input}}
		}
		b.message(converse.RoleAssistant, c)
	case roleTool:
		if !b.open {
			return false
		}
		b.open = false
		b.message(converse.RoleUser, converse.ContentBlock{ToolResult: &converse.ToolResult{
			ToolUseID: callID(b.calls), Content: []converse.ToolResultContent{resultContent(t.text)},
		}})
	}
	return true
}

func (b *builder) message(role string, content ...converse.ContentBlock) {
	b.r.Messages = append(b.r.Messages, converse.Message{Role: role, Content: content})
}

// cutTools takes the tools off text, where head stands before them.
func (b *builder) cutTools(text *string, head string) bool {
	tools, rest, ok := cutTools(*text, head)
	if !ok || b.tools != nil {
		return false
	}
	b.tools = make(map[string]bool, len(tools))
	for i := range tools {
		b.tools[tools[i].ToolSpec.Name] = true
	}
	b.r.ToolConfig = &converse.ToolConfig{Tools: tools}
	// With the tools in the user's turn the template says this in the system's.
	if s := b.r.System; len(s) > 0 && strings.HasPrefix(*s[0].Text, toolsEnvironment) {
		if t := (*s[0].Text)[len(toolsEnvironment):]; t != "" {
			s[0].Text = &t
		} else {
			b.r.System = s[1:]
		}
	}
	*text = rest
	return true
}

// blocks makes the blocks of a user's text, with the pictures at their marks.
func (b *builder) blocks(text string) []converse.ContentBlock {
	if !b.marked {
		return []converse.ContentBlock{{Text: &text}}
	}
	var out []converse.ContentBlock
	for {
		before, after, more := strings.Cut(text, imageMark)
		if before != "" {
			out = append(out, converse.ContentBlock{Text: &before})
		}
		if !more || len(b.images) == 0 {
			return out
		}
		out = append(out, converse.ContentBlock{Image: b.images[0]})
		b.images = b.images[1:]
		text = after
	}
}

// front puts the pictures that have no mark before the last text of the user.
func (b *builder) front() bool {
	for i := len(b.r.Messages) - 1; i >= 0 && !b.marked; i-- {
		m := &b.r.Messages[i]
		if m.Role != converse.RoleUser {
			continue
		}
		var front []converse.ContentBlock
		for _, image := range b.images {
			front = append(front, converse.ContentBlock{Image: image})
		}
		m.Content = append(front, m.Content...)
		return true
	}
	return false
}

// resultContent reads a tool's result, which the template writes as JSON: a text in quotes. Anything else is a text too.
func resultContent(text string) converse.ToolResultContent {
	v := jsontext.Value(text)
	if !v.IsValid(jsontext.AllowDuplicateNames(true)) {
		return converse.ToolResultContent{Text: &text}
	}
	if v.Kind() == '"' {
		var s string
		if json.Unmarshal(v, &s) == nil {
			return converse.ToolResultContent{Text: &s}
		}
	}
	return converse.ToolResultContent{JSON: v}
}
