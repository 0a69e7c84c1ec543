package simulated

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// answer is what the model says, before it is streamed.
type answer struct {
	blocks   []block
	tokens   int
	usage    converse.Usage
	stop     string
	sequence string
}

// block is a text, or with a tool's name the call of a tool with text as its input.
type block struct {
	text     string
	tool, id string
}

// compose makes the answer to r.
func compose(r *converse.Request, model string, seed uint64) *answer {
	c := &composer{request: r, model: model, rand: rand.New(rand.NewPCG(seed, 0x5eed))}
	a := &answer{stop: converse.StopEndTurn}
	if tool := c.tool(); tool != nil {
		a.blocks = append(a.blocks, block{
			tool: tool.Name, id: fmt.Sprintf("tooluse_%016x%06x", c.rand.Uint64(), c.rand.Uint64()>>40),
			text: string(instance(tool.InputSchema.JSON, c.rand, c.words)),
		})
		a.stop = converse.StopToolUse
	} else if schema := c.outputSchema(); schema != nil {
		a.blocks = append(a.blocks, block{text: string(instance(schema, c.rand, c.words))})
	} else {
		a.blocks = append(a.blocks, block{text: c.prose()})
	}
	a.limit(r.InferenceConfig)
	return a
}

// limit ends the answer at the first stop sequence or at the most tokens that the caller wants.
func (a *answer) limit(c *converse.InferenceConfig) {
	most := -1
	if c != nil && c.MaxTokens != nil {
		most = *c.MaxTokens
	}
	if c != nil && a.blocks[0].tool == "" {
		text, at := a.blocks[0].text, -1
		for _, s := range c.StopSequences {
			if i := strings.Index(text, s); s != "" && i >= 0 && (at < 0 || i < at) {
				at, a.sequence = i, s
			}
		}
		if at >= 0 {
			a.blocks[0].text, a.stop = text[:at], converse.StopStopSequence
		}
		if at == 0 {
			a.blocks = nil // a block of nothing is none
		}
	}
	for i := range a.blocks {
		b := &a.blocks[i]
		for at := 0; at < len(b.text); {
			if a.tokens == most {
				b.text, a.stop, a.sequence = b.text[:at], converse.StopMaxTokens, ""
				a.blocks = a.blocks[:i+1]
				return
			}
			at += converse.TokenLen(b.text[at:])
			a.tokens++
		}
	}
}

// composer writes one answer.
type composer struct {
	request *converse.Request
	model   string
	rand    *rand.Rand
	words   []string // what the prompt is about, see keywords
}

// turn returns the last turn.
func (c *composer) turn() converse.Message {
	if n := len(c.request.Messages); n > 0 {
		return c.request.Messages[n-1]
	}
	return converse.Message{}
}

// last returns the texts of the last turn, and its tools' results.
func (c *composer) last() (text string, results []string) {
	m := c.turn()
	var texts strings.Builder
	for i := range m.Content {
		b := &m.Content[i]
		switch {
		case b.Text != nil:
			texts.WriteByte(' ')
			texts.WriteString(*b.Text)
		case b.ToolResult != nil:
			for j := range b.ToolResult.Content {
				switch t := &b.ToolResult.Content[j]; {
				case t.Text != nil:
					results = append(results, *t.Text)
				case t.JSON != nil:
					results = append(results, string(t.JSON))
				}
			}
		}
	}
	return strings.TrimSpace(texts.String()), results
}

// tool returns the tool that the answer calls, nil for an answer in text.
func (c *composer) tool() *converse.ToolSpec {
	text, results := c.last()
	c.words = keywords(text)
	tc := c.request.ToolConfig
	if tc == nil {
		return nil
	}
	var specs []*converse.ToolSpec
	for i := range tc.Tools {
		if s := tc.Tools[i].ToolSpec; s != nil {
			specs = append(specs, s)
		}
	}
	if len(specs) == 0 {
		return nil
	}
	if noTool(c.field("tool_choice")) {
		return nil
	}
	if choice := tc.ToolChoice; choice != nil {
		if choice.Tool != nil {
			for _, s := range specs {
				if s.Name == choice.Tool.Name {
					return s
				}
			}
			return nil
		}
		if choice.Any != nil {
			return bestTool(specs, c.words, true)
		}
	}
	if len(results) > 0 {
		return nil // it has what it asked for
	}
	return bestTool(specs, c.words, false)
}

// bestTool returns the tool whose name and description share the most words with the prompt: one that shares none only
// when it must be some tool.
func bestTool(specs []*converse.ToolSpec, words []string, must bool) *converse.ToolSpec {
	var best *converse.ToolSpec
	most := 0
	for _, s := range specs {
		about := map[string]bool{}
		for _, w := range keywords(strings.NewReplacer("_", " ", "-", " ").Replace(s.Name) + " " + s.Description) {
			about[w] = true
		}
		n := 0
		for _, w := range words {
			if about[w] {
				n++
			}
		}
		if n > most {
			best, most = s, n
		}
	}
	if best == nil && must {
		best = specs[0]
	}
	return best
}

// outputSchema returns the JSON Schema that the text must satisfy, nil for free text.
func (c *composer) outputSchema() jsontext.Value {
	o := c.request.OutputConfig
	if o == nil || o.TextFormat == nil || o.TextFormat.Structure.JSONSchema == nil {
		var any struct {
			Type string `json:"type"`
		}
		if v := c.field("response_format"); v != nil && json.Unmarshal(v, &any) == nil && any.Type == "json_object" {
			return jsontext.Value(`{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}`)
		}
		return nil
	}
	return jsontext.Value(o.TextFormat.Structure.JSONSchema.Schema)
}

// field returns the additional field of that name, nil where there is none.
func (c *composer) field(name string) (value jsontext.Value) {
	_ = converse.EachMember(c.request.AdditionalModelRequestFields, func(n string, v jsontext.Value) error {
		if n == name {
			value = v
		}
		return nil
	})
	return value
}

// noTool reports whether v, an additional tool_choice, says that no tool is to be called, in Anthropic's words or OpenAI's:
// Converse's toolChoice has none for it.
func noTool(v jsontext.Value) bool {
	if v.Kind() == '"' {
		return string(v) == `"none"`
	}
	none := false
	_ = converse.EachMember(v, func(name string, v jsontext.Value) error {
		none = none || name == "type" && string(v) == `"none"`
		return nil
	})
	return none
}

// prose writes some sentences about the last turn.
func (c *composer) prose() string {
	text, results := c.last()
	images := 0
	for _, b := range c.turn().Content {
		if b.Image != nil {
			images++
		}
	}
	var s []string
	if text != "" {
		s = append(s, fmt.Sprintf("You asked: %q.", clip(text, 160)))
	}
	for _, r := range results {
		s = append(s, fmt.Sprintf("The tool answered %s.", clip(strings.TrimSpace(r), 200)))
	}
	if images > 0 {
		s = append(s, fmt.Sprintf("I was shown %d image(s).", images))
	}
	if sys := c.system(); sys != "" {
		s = append(s, fmt.Sprintf("I keep to my instructions (%s).", clip(sys, 80)))
	}
	if turns := len(c.request.Messages); turns > 1 {
		s = append(s, fmt.Sprintf("This is turn %d of our conversation.", (turns+1)/2))
	}
	topics := c.words
	if len(topics) == 0 {
		topics = []string{"that"}
	}
	at := c.rand.IntN(len(topics))
	pick := func() string { // never the same twice in a row, where there is a choice
		at = (at + 1 + c.rand.IntN(max(len(topics)-1, 1))) % len(topics)
		return topics[at]
	}
	forms := []string{
		"First, consider what %s means for the people who depend on it.",
		"A clear view of %s saves more time than it costs.",
		"In practice, %s works best when it is kept simple and measured.",
		"There is a trade-off: %s asks for care where %s asks for speed.",
		"Most teams begin with %s and refine it as they learn.",
		"It helps to separate %s from %s before deciding.",
		"A good next step is to write down what %s should achieve.",
		"To sum up, %s is worth doing well.",
	}
	for _, i := range c.rand.Perm(len(forms))[:4+c.rand.IntN(len(forms)-4)] {
		args := make([]any, strings.Count(forms[i], "%s"))
		for j := range args {
			args[j] = pick()
		}
		s = append(s, fmt.Sprintf(forms[i], args...))
	}
	s = append(s, "(Simulated answer of "+c.model+".)")
	return strings.Join(s, " ")
}

func (c *composer) system() string {
	var s []string
	for i := range c.request.System {
		if t := c.request.System[i].Text; t != nil {
			s = append(s, strings.TrimSpace(*t))
		}
	}
	return strings.Join(s, " ")
}

// clip cuts s to n runes.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		return strings.TrimSpace(string(r[:n])) + "..."
	}
	return s
}

// common are words that say nothing of what a prompt is about.
var common = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`a about all also an and any are as at be been but by can could did do does for from had has have
		hello how i if in into is it its just like list me more my no not now of on one or our out please say should so some tell than
		that the their them then there these they this to up use want was we were what when where which who why will with would you your`) {
		words[w] = true
	}
	return words
}()

// keywords returns the words that text is about, in lower case, each once, in order, at most 12. A run of characters of
// a script without spaces is one word.
func keywords(text string) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' }) {
		w = strings.Trim(w, "'")
		if w == "" || common[w] || seen[w] || len(w) < 3 && w[0] < 0x80 {
			continue
		}
		seen[w] = true
		if out = append(out, w); len(out) == 12 {
			break
		}
	}
	return out
}
