// Package mistral translates between converse and the two formats of Mistral AI's models as Amazon Bedrock's InvokeModel
// carries them. It reads and writes JSON only.
//
//   - Text completion (Mistral 7B, Mixtral, Mistral Small 24.02): one prompt in the instruct template, one text back.
//     Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html.
//   - Chat completion (Mistral Large 24.02 and 24.07, Pixtral Large): messages and tools, much as OpenAI has them.
//     Source: .../model-parameters-mistral-chat-completion.html.
//
// A body with messages is of the second; see IsChat. Mistral's models since Mistral Large 3 speak OpenAI's own Chat
// Completions there, which is package dialect/openai.
package mistral

import (
	"strings"
)

// chat reports whether a model speaks chat completion, by its identifier on Bedrock.
func chat(model string) bool {
	for _, part := range []string{"mistral-7b", "mixtral-8x7b", "mistral-small-2402"} {
		if strings.Contains(model, part) {
			return false
		}
	}
	return true
}

// The marks of the instruct template. Its <s> means nothing inside a turn, and is HTML besides.
const (
	inst, instEnd     = "[INST]", "[/INST]"
	sequence, textEnd = "<s>", "</s>"
)

// mark returns a mark of the template that stands in text, where the model would take it for the template's own, or "".
func mark(text string) string {
	for _, m := range []string{inst, instEnd, textEnd} {
		if strings.Contains(text, m) {
			return m
		}
	}
	return ""
}

// maxItems bounds the turns that are read out of a prompt, and the entries of a list: each takes many times the memory of
// its few bytes. A prompt of more turns is one text.
const maxItems = 10_000

// readPrompt reads a prompt in the instruct template, <s>[INST] user [/INST] answer</s> [INST] user [/INST], into its
// turns, which the user's and the model's take by turns. It reports false for any other prompt. Each mark is looked for in
// what lies before the next turn only, so that the work grows with the prompt and not with its square.
func readPrompt(prompt string) (turns []string, ok bool) {
	rest := space(strings.TrimPrefix(space(prompt), sequence))
	for rest != "" {
		if len(turns) >= maxItems {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(rest, inst); !ok {
			return nil, false
		}
		user, after, ok := strings.Cut(rest, instEnd)
		if !ok || strings.Contains(user, inst) {
			return nil, false
		}
		turns = append(turns, between(user, " ", " "))
		answer := after
		next := strings.Index(after, inst)
		if next >= 0 {
			answer = after[:next]
		}
		rest = after[len(answer):]
		answer, tail, closed := strings.Cut(answer, textEnd)
		switch {
		case space(strings.TrimPrefix(space(tail), sequence)) != "":
			return nil, false
		case next < 0 && space(answer) == "": // the answer's place
			return turns, true
		case closed:
			answer = between(answer, " ", "")
		case next >= 0: // a turn that was not closed, as some clients write it
			answer = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(answer), sequence))
		default: // an answer that is begun
			answer = strings.TrimPrefix(answer, " ")
		}
		turns = append(turns, answer)
	}
	return turns, len(turns) > 0
}

// space leaves out the white space before s.
func space(s string) string { return strings.TrimLeft(s, " \t\r\n") }

// between takes before and after off s where both are there, and all white space around it where not.
func between(s, before, after string) string {
	if inner, ok := strings.CutPrefix(s, before); ok {
		if inner, ok := strings.CutSuffix(inner, after); ok {
			return inner
		}
	}
	return strings.TrimSpace(s)
}
