package bedrock

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// says reports whether b may say why the model stopped. The chunks of some families have the member in every one, as null.
func says(b []byte) bool {
	for {
		_, rest, ok := bytes.Cut(b, []byte(`eason"`))
		if !ok {
			return false
		}
		b = bytes.TrimLeft(rest, " \n\t\r:")
		if len(b) > 0 && (b[0] == '"' || b[0] == '{') {
			return true
		}
	}
}

// stopReason returns why the model stopped, as an InvokeModel body or a chunk of one says it, "" where it does not. The
// words are Converse's where it has one for the family's, else the family's own.
//
// Sources: the chapters on the models' request and response in the Amazon Bedrock user guide.
func stopReason(b []byte) string {
	if len(b) > largestCounted {
		return ""
	}
	var in struct {
		reason               // Anthropic's and Llama's; Cohere's
		Nova        string   `json:"stopReason"`
		Titan       string   `json:"completionReason"` // of a chunk
		Guardrail   string   `json:"amazon-bedrock-guardrailAction"`
		Delta       reason   `json:"delta"` // of Anthropic's message_delta
		MessageStop struct { // Nova's
			Reason string `json:"stopReason"`
		} `json:"messageStop"`
		Results     choices `json:"results"`     // Titan's
		Outputs     choices `json:"outputs"`     // Mistral's
		Choices     choices `json:"choices"`     // Mistral's, DeepSeek's, Jamba's, OpenAI's
		Generations choices `json:"generations"` // Cohere Command's
		Completions choices `json:"completions"` // Jurassic-2's
	}
	if json.Unmarshal(b, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	if in.Guardrail == "INTERVENED" {
		return converse.StopGuardrailIntervened
	}
	said := cmp.Or(in.Stop, in.Finish, in.Nova, in.Titan, in.Delta.Stop, in.MessageStop.Reason)
	for _, c := range [...]choices{in.Results, in.Outputs, in.Choices, in.Generations, in.Completions} {
		said = cmp.Or(said, c.Stop, c.Finish, c.Completion, c.Jurassic.Reason)
	}
	if word, ok := stopWords[strings.ToLower(said)]; ok {
		return word
	}
	return said
}

type reason struct {
	Stop   string `json:"stop_reason"`
	Finish string `json:"finish_reason"`
}

// choices is a list of answers, of which the first counts.
type choices struct {
	reason
	Completion string `json:"completionReason"` // Titan's
	Jurassic   struct {
		Reason string `json:"reason"`
	} `json:"finishReason"`
}

// UnmarshalJSONFrom reads any value, and of a list the first element where that is an object.
func (c *choices) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	type object choices // without this method
	if d.PeekKind() == '{' {
		if err := json.UnmarshalDecode(d, (*object)(c)); err != nil {
			return err
		}
	}
	for d.PeekKind() != ']' {
		if err := d.SkipValue(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// stopWords has Converse's words for those of the families, in small letters. No word means two things.
var stopWords = map[string]string{
	"end_turn": converse.StopEndTurn, "stop": converse.StopEndTurn, "complete": converse.StopEndTurn, "finish": converse.StopEndTurn,
	"finished": converse.StopEndTurn, "endoftext": converse.StopEndTurn,
	"max_tokens": converse.StopMaxTokens, "length": converse.StopMaxTokens,
	"stop_sequence": converse.StopStopSequence, "stop_criteria_met": converse.StopStopSequence,
	"tool_use": converse.StopToolUse, "tool_calls": converse.StopToolUse, "tool_call": converse.StopToolUse,
	"content_filtered": converse.StopContentFiltered, "content_filter": converse.StopContentFiltered, "error_toxic": converse.StopContentFiltered,
	"refusal":     converse.StopContentFiltered,
	"error_limit": converse.StopContextWindowExceeded, "model_length": converse.StopContextWindowExceeded,
}
