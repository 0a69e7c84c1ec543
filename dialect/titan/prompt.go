package titan

import (
	"strconv"
	"strings"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// A conversation is one text in Titan's template, "User: <prompt>\nBot:" of "Amazon Titan Text models" (Amazon Bedrock
// user guide), repeated for every turn. The system prompt stands before it, with an empty line between:
//
//	system
//
//	User: first question
//	Bot: first answer
//	User: second question
//	Bot:
//
// The last turn is the user's, or the beginning of the answer. A line that begins with "User:" or "Bot:" begins a turn, so
// no text of a turn can hold one.
const (
	user = "User:"
	bot  = "Bot:"
)

// maxTurns is more than any Titan model's context holds. A turn takes twenty times the memory of its marks.
const maxTurns = 10_000

// parsePrompt reads prompt as a conversation. What is not in the template, to the letter, is one text of the user.
func parsePrompt(prompt string) (system string, turns []converse.Message) {
	if system, turns, ok := parseTurns(prompt); ok {
		return system, turns
	}
	return "", []converse.Message{turn(converse.RoleUser, prompt)}
}

func turn(role, text string) converse.Message {
	return converse.Message{Role: role, Content: []converse.ContentBlock{{Text: &text}}}
}

func parseTurns(prompt string) (system string, turns []converse.Message, ok bool) {
	if !strings.HasPrefix(prompt, user) {
		if system, prompt, ok = strings.Cut(prompt, "\n\n"+user); !ok || blank(system) || mark(system) >= 0 || strings.HasPrefix(system, bot) {
			return "", nil, false
		}
		prompt = user + prompt
	}
	for prompt != "" {
		role, text, ok := converse.RoleUser, "", len(turns) < maxTurns
		if len(turns)%2 == 1 {
			role = converse.RoleAssistant
			text, ok = strings.CutPrefix(prompt, bot)
		} else if ok {
			text, ok = strings.CutPrefix(prompt, user)
		}
		if !ok {
			return "", nil, false
		}
		prompt = ""
		if end := mark(text); end >= 0 {
			text, prompt = text[:end], text[end+1:]
		}
		if role == converse.RoleAssistant && prompt == "" && blank(text) {
			return system, turns, true // where the model goes on
		}
		if text, ok = strings.CutPrefix(text, " "); !ok || blank(text) {
			return "", nil, false
		}
		turns = append(turns, turn(role, text))
	}
	// An answer that has begun ends the prompt as it is; a user's turn is followed by the bot's mark.
	return system, turns, len(turns)%2 == 0
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// mark returns where the first line of s, but for the very first, begins that begins a turn: the index of the line break
// before it, or -1.
func mark(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		if strings.HasPrefix(s[from:], user) || strings.HasPrefix(s[from:], bot) {
			return from - 1
		}
	}
}

// prompt writes the conversation of r. It refuses what the template cannot hold.
func prompt(r *converse.Request, upstream string) (string, error) {
	ambiguous := func(path string) error {
		return fault.New(fault.Validation, "%s has a line that begins with %q or %q, which is how a prompt to upstream %q begins a turn. Change that line and try again.", path, user, bot, upstream)
	}
	var texts []string
	for i := range r.System {
		switch b := &r.System[i]; {
		case b.Text != nil:
			texts = append(texts, *b.Text)
		case b.CachePoint != nil:
		default:
			return "", refuse(upstream, "system."+strconv.Itoa(i)+".guardContent")
		}
	}
	var p strings.Builder
	if system := strings.Join(texts, "\n"); system != "" {
		if mark("\n"+system) >= 0 {
			return "", ambiguous("system")
		}
		p.WriteString(system + "\n\n")
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		texts = texts[:0]
		for j := range m.Content {
			switch b := &m.Content[j]; {
			case b.Text != nil:
				texts = append(texts, *b.Text)
			case b.CachePoint != nil:
			default:
				return "", refuse(upstream, outbound.At(i, j)+"."+b.Member())
			}
		}
		text := strings.Join(texts, "\n")
		if mark(text) >= 0 {
			return "", ambiguous("messages." + strconv.Itoa(i) + ".content")
		}
		if i > 0 {
			p.WriteByte('\n')
		}
		who := user
		if m.Role == converse.RoleAssistant {
			who = bot
		}
		p.WriteString(who + " " + text)
	}
	if n := len(r.Messages); n == 0 || r.Messages[n-1].Role != converse.RoleAssistant {
		p.WriteString("\n" + bot)
	}
	return p.String(), nil
}
