// Package llama translates between converse and the format of Meta's Llama models as Amazon Bedrock's InvokeModel
// carries it: one prompt in the family's chat template, one text back. It reads and writes JSON only.
// Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html.
//
// The templates are those of Llama 2, 3 and 4 (github.com/meta-llama/llama-models, models/*/prompt_format.md). Tools are
// written as the chat template of Llama 3.1 and of its successors does it, into the system turn, and a call is the JSON
// object {"name": ..., "parameters": ...} in place of a text. The dates that the template may carry are left out: they
// would make two equal requests different.
package llama

import (
	"slices"
	"strings"
)

// family is what a model of the family reads.
type family struct {
	*template      // nil for Llama 2, whose template is another
	tools     bool // since 3.1
	images    bool // 3.2's larger models, and since 4
}

// familyOf tells the family by the model's identifier on Bedrock, such as us.meta.llama3-1-70b-instruct-v1:0. A model of
// one's own has another name; it is taken for a Llama 3.1 or later without pictures, as most are.
func familyOf(model string) family {
	has := func(part string) bool { return strings.Contains(model, part) }
	switch {
	case has("llama2"):
		return family{}
	case has("llama4"):
		return family{template: &llama4, tools: true, images: true}
	case has("llama3-2-11b"), has("llama3-2-90b"):
		return family{template: &llama3, tools: true, images: true}
	case has("llama3-8b"), has("llama3-70b"):
		return family{template: &llama3}
	}
	return family{template: &llama3, tools: true}
}

// template is the marks between the turns of a prompt.
type template struct {
	header, headerEnd   string // around the role
	turnEnd, messageEnd string // messageEnd: of a call whose result follows
	marks               []string
}

const (
	begin      = "<|begin_of_text|>"
	imageMark  = "<|image|>"
	pythonMark = "<|python_tag|>" // before a call, now and then
)

var llama3 = template{
	header: "<|start_header_id|>", headerEnd: "<|end_header_id|>", turnEnd: "<|eot_id|>", messageEnd: "<|eom_id|>",
	marks: []string{begin, "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", pythonMark, imageMark},
}

var llama4 = template{
	header: "<|header_start|>", headerEnd: "<|header_end|>", turnEnd: "<|eot|>", messageEnd: "<|eom|>",
	marks: []string{begin, "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>", "<|step|>", "<|python_start|>", "<|python_end|>",
		imageMark, "<|image_start|>", "<|image_end|>", "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>"},
}

// The marks of Llama 2. Its <s> means nothing inside a turn, and is HTML besides.
const (
	inst, instEnd     = "[INST]", "[/INST]"
	sys, sysEnd       = "<<SYS>>", "<</SYS>>"
	sequence, textEnd = "<s>", "</s>"
)

var marks2 = []string{inst, instEnd, sys, sysEnd, textEnd}

// mark returns a mark of the template that stands in text, where the model would take it for the template's own, or "".
func (f family) mark(text string) string {
	marks := marks2
	if f.template != nil {
		if !strings.Contains(text, "<|") {
			return ""
		}
		marks = f.marks
	}
	if i := slices.IndexFunc(marks, func(m string) bool { return strings.Contains(text, m) }); i >= 0 {
		return marks[i]
	}
	return ""
}

// Roles of a turn. The role ipython is that of a tool's result.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
	roleTool      = "ipython"
)

// maxTurns bounds the turns that are read out of a prompt: each takes many times the memory of its few bytes. A prompt of
// more is one text.
const maxTurns = 10_000

// turn is one turn of a prompt as it is read.
type turn struct {
	role, text string
}

// readPrompt reads a prompt in one of the templates. It reports false for any other.
func readPrompt(prompt string) ([]turn, bool) {
	rest := space(prompt)
	turns := space(strings.TrimPrefix(rest, begin))
	switch {
	case strings.HasPrefix(turns, llama3.header):
		return llama3.read(turns)
	case strings.HasPrefix(turns, llama4.header):
		return llama4.read(turns)
	}
	return read2(space(strings.TrimPrefix(rest, sequence)))
}

// space leaves out the white space before s.
func space(s string) string { return strings.TrimLeft(s, " \t\r\n") }

// read reads the turns of Llama 3 or 4. What Meta writes, two line breaks and the text as it is, is read to the letter;
// the looser form of AWS's own examples, with line breaks around the texts and the marks, is trimmed. Every mark is
// looked for in what lies before the next header only, so that the work grows with the prompt and not with its square.
func (t *template) read(rest string) ([]turn, bool) {
	var turns []turn
	for rest != "" {
		if len(turns) >= maxTurns {
			return nil, false
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, t.header); !ok {
			return nil, false
		}
		one := rest
		next := strings.Index(rest, t.header)
		if next >= 0 {
			one = rest[:next]
		}
		rest = rest[len(one):]
		role, text, ok := strings.Cut(one, t.headerEnd)
		if !ok {
			return nil, false
		}
		text, after, closed := strings.Cut(text, t.turnEnd)
		if !closed {
			text, after, closed = strings.Cut(text, t.messageEnd)
		}
		if strings.TrimSpace(after) != "" || !closed && next >= 0 {
			return nil, false
		}
		if exact, ok := strings.CutPrefix(text, "\n\n"); ok {
			text = exact
		} else {
			text = strings.TrimSpace(text)
		}
		switch role = strings.TrimSpace(role); {
		case role != roleSystem && role != roleUser && role != roleAssistant && role != roleTool:
			return nil, false
		case !closed && role != roleAssistant:
			return nil, false
		case !closed && strings.TrimSpace(text) == "": // the answer's place
		default:
			turns = append(turns, turn{role, text})
		}
	}
	return turns, true
}

// read2 reads the turns of Llama 2: [INST] <<SYS>>\nsystem\n<</SYS>>\n\nuser [/INST] answer </s><s>[INST] ... Turns
// that end without </s>, as some clients write them, are read as well.
func read2(rest string) ([]turn, bool) {
	var turns []turn
	for rest != "" {
		if len(turns) >= maxTurns {
			return nil, false
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, inst); !ok {
			return nil, false
		}
		user, after, ok := strings.Cut(rest, instEnd)
		if !ok || strings.Contains(user, inst) {
			return nil, false
		}
		if system, text, ok := strings.Cut(space(user), sysEnd); ok && len(turns) == 0 {
			if system, ok = strings.CutPrefix(system, sys); !ok {
				return nil, false
			}
			turns = append(turns, turn{roleSystem, between(system, "\n", "\n")})
			user = between(text, "\n\n", " ")
		} else {
			user = between(user, " ", " ")
		}
		turns = append(turns, turn{roleUser, user})
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
		case next < 0 && strings.TrimSpace(answer) == "": // the answer's place
			return turns, true
		case closed:
			answer = between(answer, " ", " ")
		case next >= 0:
			answer = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(answer), sequence))
		default: // an answer that is begun
			answer = strings.TrimPrefix(answer, " ")
		}
		turns = append(turns, turn{roleAssistant, answer})
	}
	return turns, len(turns) > 0
}

// between takes before and after off s where both are there, and all white space around it where not.
func between(s, before, after string) string {
	if inner, ok := strings.CutPrefix(s, before); ok {
		if inner, ok := strings.CutSuffix(inner, after); ok {
			return inner
		}
	}
	return strings.TrimSpace(s)
}
