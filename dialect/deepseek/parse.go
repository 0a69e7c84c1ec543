package deepseek

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

type request struct {
	Prompt      *string        `json:"prompt"`
	MaxTokens   *int           `json:"max_tokens"`
	Temperature *float64       `json:"temperature"`
	TopP        *float64       `json:"top_p"`
	Stop        []string       `json:"stop"`
	Rest        jsontext.Value `json:",embed"`
}

// Bounds of the format, from AWS's page.
const (
	maxMaxTokens = 32768
	maxStops     = 10
)

// ParseRequest reads an InvokeModel body into a converse.Request. A body that Bedrock would not take gives a
// fault.Validation in Bedrock's words.
//
// A prompt in the model's template becomes the turns that it holds, thinking apart, and an answer that it begins the last
// of them. A server that applies its own template does then not apply it twice. Any other prompt is one text of the user.
func ParseRequest(body []byte) (*converse.Request, error) {
	var q request
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := conversation(*q.Prompt)
	if r == nil {
		r = &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: q.Prompt}}}}}
	}
	if q.MaxTokens != nil || q.Temperature != nil || q.TopP != nil || len(q.Stop) > 0 {
		r.InferenceConfig = &converse.InferenceConfig{MaxTokens: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP}
		if len(q.Stop) > 0 {
			r.InferenceConfig.StopSequences = q.Stop
		}
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
	switch {
	case q.MaxTokens == nil:
	case *q.MaxTokens < 1:
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(*q.MaxTokens)+" is not greater or equal to 1")
	case *q.MaxTokens > maxMaxTokens:
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(*q.MaxTokens)+" is not less or equal to "+strconv.Itoa(maxMaxTokens))
	}
	bad = append(bad, checker.Within("#/temperature", q.Temperature, 0, 1)...)
	bad = append(bad, checker.Within("#/top_p", q.TopP, 0, 1)...)
	if len(q.Stop) > maxStops {
		bad = append(bad, "#/stop: expected maximum item count: "+strconv.Itoa(maxStops)+", found: "+strconv.Itoa(len(q.Stop)))
	}
	bad = append(bad, checker.Extraneous("#", q.Rest)...)
	if len(bad) > 0 {
		return checker.Refuse(strings.Join(bad, ""))
	}
	return nil
}

// conversation makes the turns of a prompt those of a request. It returns nil for a prompt that is not in the template,
// and for turns that are no conversation.
func conversation(prompt string) *converse.Request {
	system, turns, ok := readPrompt(prompt)
	if !ok {
		return nil
	}
	r := &converse.Request{}
	if system != "" {
		r.System = []converse.SystemBlock{{Text: &system}}
	}
	for i := range turns {
		t := &turns[i]
		m := converse.Message{Role: converse.RoleUser}
		if t.assistant {
			m.Role = converse.RoleAssistant
		}
		if t.thinking != "" {
			m.Content = append(m.Content, converse.ContentBlock{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: t.thinking}}})
		}
		if t.text != "" {
			m.Content = append(m.Content, converse.ContentBlock{Text: &t.text})
		}
		r.Messages = append(r.Messages, m)
	}
	if r.Check() != nil {
		return nil
	}
	return r
}
