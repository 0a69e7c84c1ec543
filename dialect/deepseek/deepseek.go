// Package deepseek translates between converse and the format of DeepSeek-R1 as Amazon Bedrock's InvokeModel carries it:
// one prompt in the model's chat template, one text back, which begins with the model's thinking. It reads and writes JSON
// only. Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-deepseek.html; the template is that of
// huggingface.co/deepseek-ai/DeepSeek-R1.
//
// DeepSeek's models since V3.1 speak OpenAI's Chat Completions there, which is package dialect/openai.
//
// The prompt ends with <think> and a line break, so the answer is the thinking, a line break, </think>, an empty line and
// what the model says. The template leaves the thinking of earlier turns out; here it is written, in the same marks,
// because nothing that a caller sends is lost in silence. A caller who wants the template's way sends no thinking back.
package deepseek

import "strings"

// The marks of the template. Thinking has no marks of its own kind: its two are part of the text.
const (
	begin     = "<｜begin▁of▁sentence｜>"
	end       = "<｜end▁of▁sentence｜>"
	user      = "<｜User｜>"
	assistant = "<｜Assistant｜>"

	think, thinkEnd = "<think>", "</think>"
)

// mark returns a mark of the template that stands in text, where the model would take it for the template's own, or "".
func mark(text string) string {
	if !strings.Contains(text, "<｜") {
		return ""
	}
	for _, m := range []string{begin, end, user, assistant} {
		if strings.Contains(text, m) {
			return m
		}
	}
	return ""
}

// maxTurns bounds the turns that are read out of a prompt: each takes many times the memory of its few bytes. A prompt of
// more is one text.
const maxTurns = 10_000

// turn is one turn of a prompt as it is read.
type turn struct {
	assistant      bool
	thinking, text string
}

// readPrompt reads a prompt in the template. It reports false for any other. Each mark is looked for in what lies before
// the next turn only, so that the work grows with the prompt and not with its square.
func readPrompt(prompt string) (system string, turns []turn, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(prompt, " \t\r\n"), begin)
	if !ok {
		return "", nil, false
	}
	system, rest, ok = strings.Cut(rest, user)
	if !ok || mark(system) != "" {
		return "", nil, false
	}
	for len(turns) < maxTurns {
		one, next, more := strings.Cut(rest, user)
		said, answer, answered := strings.Cut(one, assistant)
		if mark(said) != "" {
			return "", nil, false
		}
		turns = append(turns, turn{text: said})
		if answered {
			answer, tail, closed := strings.Cut(answer, end)
			if strings.TrimSpace(tail) != "" || mark(answer) != "" {
				return "", nil, false
			}
			t := turn{assistant: true, text: answer}
			if inner, ok := strings.CutPrefix(answer, think+"\n"); ok {
				if t.thinking, t.text, ok = strings.Cut(inner, thinkEnd); !ok && strings.TrimSpace(t.thinking) != "" {
					return "", nil, false // thinking that is begun and not ended: Converse has no such turn
				}
				t.thinking = strings.TrimSuffix(t.thinking, "\n")
				t.text = trimBreaks(t.text)
			}
			place := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(answer), think)) == ""
			switch {
			case more || closed:
				turns = append(turns, t)
			case place: // the answer's
			default: // an answer that is begun
				turns = append(turns, t)
			}
		}
		if !more {
			return system, turns, true
		}
		if !answered {
			return "", nil, false
		}
		rest = next
	}
	return "", nil, false
}

// trimBreaks takes the line breaks between the thinking and the answer off the answer: two, as the model writes them.
func trimBreaks(s string) string {
	s = strings.TrimPrefix(s, "\n")
	return strings.TrimPrefix(s, "\n")
}
