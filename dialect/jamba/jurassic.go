package jamba

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/dialect/outbound"
)

// prompt is a Jurassic-2 body.
type prompt struct {
	Prompt      *string        `json:"prompt"`
	MaxTokens   *int           `json:"maxTokens"`
	Temperature *float64       `json:"temperature"`
	TopP        *float64       `json:"topP"`
	Stop        []string       `json:"stopSequences"`
	NumResults  *int           `json:"numResults"`
	Rest        jsontext.Value `json:",embed"`
}

// ParsePrompt reads a Jurassic-2 body. The prompt is one text of the user: these models have no template for turns. The
// penalties, minTokens, topKReturn, and a numResults that is not 1 go into AdditionalModelRequestFields.
func ParsePrompt(body []byte) (*converse.Request, error) {
	var q prompt
	if err := json.Unmarshal(body, &q, lenient); err != nil {
		return nil, checker.NotRead(err)
	}
	var bad []string
	if q.Prompt == nil {
		bad = append(bad, "#: required key [prompt] not found")
	}
	var extra converse.Object
	if q.NumResults != nil && *q.NumResults != 1 {
		extra.Add("numResults", strconv.AppendInt(nil, int64(*q.NumResults), 10))
	}
	bad = append(bad, checker.Extraneous("#", q.Rest, "countPenalty", "presencePenalty", "frequencyPenalty", "minTokens", "topKReturn")...)
	if err := converse.EachMember(q.Rest, func(name string, v jsontext.Value) error {
		extra.Add(name, v)
		return nil
	}); err != nil {
		return nil, checker.NotRead(err)
	}
	if q.MaxTokens != nil && *q.MaxTokens < 0 {
		bad = append(bad, "#/maxTokens: "+strconv.Itoa(*q.MaxTokens)+" is not greater or equal to 0")
	}
	bad = append(bad, checker.Within("#/temperature", q.Temperature, 0, 1)...)
	bad = append(bad, checker.Within("#/topP", q.TopP, 0, 1)...)
	if len(bad) > 0 {
		return nil, checker.Refuse(bad...)
	}
	return &converse.Request{
		Messages:                     []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: q.Prompt}}}},
		InferenceConfig:              inferenceConfig(q.MaxTokens, q.Temperature, q.TopP, q.Stop),
		AdditionalModelRequestFields: extra.Value(),
	}, nil
}

var promptNames = outbound.Parameters{MaxTokens: "maxTokens", Temperature: "temperature", TopP: "topP", StopSequences: "stopSequences"}

// AppendPrompt appends r as a Jurassic-2 body, as AppendRequest does for Jamba. These models take one text: a conversation of
// more turns than one, system blocks and tools are refused. They do not stream.
func AppendPrompt(dst []byte, r *converse.Request, _ string, _ bool, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "AI21's text completion"}
	text, beyond := outbound.OneText(r)
	if beyond != "" {
		return nil, w.refuse(beyond)
	}
	w.raw(`{"prompt":`)
	w.str(text)
	w.b = promptNames.Append(w.b, r.InferenceConfig)
	if err := w.service(r); err != nil {
		return nil, err
	}
	if err := w.additional(r, &promptNames, "prompt", "numResults"); err != nil {
		return nil, err
	}
	return append(w.b, '}'), nil
}

// AppendCompletions appends r as the answer of a Jurassic-2 model. Bedrock gives every answer the id 1234. The tokens of the
// prompt and of the text, with their probabilities, are not known: the lists are empty. The prompt, which the answer repeats,
// needs a.Request.
func AppendCompletions(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	texts, _ := contentOf(r)
	text := ""
	if q := a.Request; q != nil && len(q.Messages) == 1 && len(q.Messages[0].Content) == 1 && q.Messages[0].Content[0].Text != nil {
		text = *q.Messages[0].Content[0].Text
	}
	dst = converse.AppendQuote(append(dst, `{"id":1234,"prompt":{"text":`...), text)
	dst = append(dst, `,"tokens":[]},"completions":[{"data":{"text":`...)
	dst = converse.AppendQuote(dst, strings.Join(texts, "\n"))
	dst = append(dst, `,"tokens":[]},"finishReason":{"reason":`...)
	switch r.StopReason {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		dst = strconv.AppendInt(append(dst, `"length","length":`...), r.Usage.OutputTokens, 10)
	case converse.StopStopSequence:
		dst = converse.AppendQuote(append(dst, `"stop","sequence":`...), r.StopSequence)
	default:
		dst = append(dst, `"endoftext"`...)
	}
	return append(dst, `}}]}`...)
}
