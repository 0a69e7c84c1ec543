package openai

import (
	"fmt"
	"strconv"
	"strings"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// parse reads a chunk, or a whole answer, into d.part. Members that it does not know are skipped, and so are members of
// a type it does not expect: servers differ, and what matters is here.
func (d *Decoder) parse(data []byte) error {
	p := &d.part
	calls := p.calls[:0]
	*p = part{plain: true, calls: calls}
	bare := false // the error's members stand at the top
	d.in = scanner{b: data}
	defer func() { d.in.b = nil }() // it is the caller's
	if d.in.peek() != '{' {
		return malformed("it is no JSON object: %.60q", data)
	}
	if !converse.Plausible(data) {
		return malformed("it has more parts than an answer has")
	}
	err := d.object(func(name []byte, kind byte) error {
		switch string(name) {
		case "choices":
			if kind == '[' {
				p.choices = true
				return d.array(func(i int, kind byte) error {
					p.answers = i + 1
					p.plain = p.plain && i == 0 && kind == '{'
					if i > 0 && !d.all || kind != '{' {
						return d.skip()
					}
					return d.choice()
				})
			}
		case "model":
			if kind == '"' {
				p.modelAt = d.in.i
				_, _, err := d.in.quoted()
				p.modelEnd = d.in.i
				return err
			}
		case "usage":
			if kind == '{' {
				p.plain = false
				return d.readUsage()
			}
		case "service_tier":
			if kind == '"' {
				raw, _, err := d.in.quoted()
				if err == nil {
					p.tier = tierOf(raw[1 : len(raw)-1])
				}
				return err
			}
		case "error":
			if kind != 'n' {
				return d.readError(kind)
			}
		case "message": // vLLM before 0.10 and a few others: {"object":"error","message":"...","type":"...","code":400}
			if kind == '"' && !p.choices {
				s, err := d.in.text()
				if p.err == nil {
					p.err, bare = &Error{}, true
				}
				p.err.Message = s
				return err
			}
		case "type", "code":
			if p.err != nil && !p.choices && (kind == '"' || kind == '0') {
				return d.errorMember(p.err, string(name) == "type", kind)
			}
		}
		return d.skip()
	})
	if err != nil {
		return malformed("%v", err)
	}
	if e := p.err; p.choices && e != nil && (bare || e.Message == "" && e.Type == "" && e.Code == "") {
		p.err = nil // beside an answer only an error object that says something is one
	}
	return nil
}

// tierOf is Converse's word for a tier that a server says it has served, "" where it has none.
func tierOf[T string | []byte](told T) string {
	switch string(told) {
	case "default":
		return "default"
	case "flex":
		return "flex"
	case "priority":
		return "priority"
	}
	return ""
}

// object reads an object and calls f at each member's value, which f must consume. kind is the value's first byte; of a
// number it is '0'.
func (d *Decoder) object(f func(name []byte, kind byte) error) error {
	for more := d.in.enter('}'); more; {
		name, err := d.in.name()
		if err != nil {
			return err
		}
		if err := f(name, d.kind()); err != nil {
			return err
		}
		if more, err = d.in.more('}'); err != nil {
			return err
		}
	}
	return nil
}

// array reads an array and calls f at each element, which f must consume.
func (d *Decoder) array(f func(i int, kind byte) error) error {
	i := 0
	for more := d.in.enter(']'); more; i++ {
		err := f(i, d.kind())
		if err != nil {
			return err
		}
		if more, err = d.in.more(']'); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) kind() byte {
	c := d.in.peek()
	if c == '-' || isDigit(c) {
		return '0'
	}
	return c
}

func (d *Decoder) skip() error { return d.in.skip(maxDepth) }

func (d *Decoder) choice() error {
	p := &d.part
	return d.object(func(name []byte, kind byte) (err error) {
		switch string(name) {
		case "delta", "message":
			if kind == '{' {
				return d.message()
			}
		case "finish_reason":
			if kind == '"' {
				if p.finish, err = d.in.text(); p.finish != "" {
					p.plain = false
				}
				return err
			}
		case "stop_reason", "matched_stop":
			if kind == '"' {
				p.plain = false
				p.stopped, err = d.in.text()
				return err
			}
		}
		return d.skip()
	})
}

// message reads a delta of a stream or the message of a whole answer: they have the same members.
func (d *Decoder) message() error {
	p := &d.part
	return d.object(func(name []byte, kind byte) error {
		switch string(name) {
		case "content", "refusal": // a refusal is what the model says in place of the content
			switch kind {
			case '"':
				raw, plain, err := d.in.quoted()
				if err != nil || len(raw) == 2 {
					return err
				}
				if !p.text.empty() {
					p.plain = false
				}
				p.textEnd = d.in.i
				p.textAt = p.textEnd - len(raw)
				p.text.add(d.unquote(raw, plain))
				return nil
			case '[':
				p.plain = false
				return d.parts()
			}
		case "reasoning_content", "reasoning":
			if kind == '"' {
				p.plain = false
				raw, plain, err := d.in.quoted()
				if err == nil && p.thought.empty() { // vLLM has sent both names with the same text
					p.thought.add(d.unquote(raw, plain))
				}
				return err
			}
		case "tool_calls":
			if kind == '[' {
				p.plain = false
				return d.array(func(i int, kind byte) error {
					if kind != '{' {
						return d.skip()
					}
					return d.toolCallPart()
				})
			}
		case "function_call": // the form before tools
			if kind == '{' {
				p.plain = false
				p.calls = append(p.calls, toolPart{index: 0})
				return d.function(&p.calls[len(p.calls)-1])
			}
		}
		return d.skip()
	})
}

// parts reads content in parts, as Mistral's reasoning models give it: [{"type":"text","text":""},{"type":"thinking",
// "thinking":[{"type":"text","text":""}]}].
func (d *Decoder) parts() error {
	return d.array(func(_ int, kind byte) error {
		if kind != '{' {
			return d.skip()
		}
		return d.object(func(name []byte, kind byte) error {
			switch {
			case string(name) == "text" && kind == '"':
				s, err := d.in.text()
				d.part.text.add(s)
				return err
			case string(name) == "thinking" && kind == '[':
				return d.array(func(_ int, kind byte) error {
					if kind != '{' {
						return d.skip()
					}
					return d.object(func(name []byte, kind byte) error {
						if string(name) != "text" || kind != '"' {
							return d.skip()
						}
						s, err := d.in.text()
						d.part.thought.add(s)
						return err
					})
				})
			}
			return d.skip()
		})
	})
}

func (d *Decoder) toolCallPart() error {
	p := &d.part
	p.calls = append(p.calls, toolPart{index: -1})
	t := &p.calls[len(p.calls)-1]
	return d.object(func(name []byte, kind byte) (err error) {
		switch {
		case string(name) == "index" && kind == '0':
			raw, err := d.in.value()
			if n, bad := strconv.Atoi(string(raw)); bad == nil && n >= 0 && n < 1<<20 {
				t.index = n
			}
			return err
		case string(name) == "id" && kind == '"':
			t.id, err = d.in.text()
			return err
		case string(name) == "function" && kind == '{':
			return d.function(t)
		}
		return d.skip()
	})
}

func (d *Decoder) function(t *toolPart) error {
	return d.object(func(name []byte, kind byte) (err error) {
		switch {
		case string(name) == "name" && kind == '"':
			t.name, err = d.in.text()
			return err
		case string(name) == "arguments" && kind == '"':
			raw, plain, err := d.in.quoted()
			if err == nil {
				t.input = d.unquote(raw, plain)
			}
			return err
		case string(name) == "arguments" && kind == '{': // as an object rather than as its text: older Ollama
			raw, err := d.in.value()
			t.input = string(raw)
			return err
		}
		return d.skip()
	})
}

// readUsage reads and normalises the usage. prompt_tokens includes cached tokens, read and written; completion_tokens includes those of
// the reasoning, but for servers (xAI's) whose total shows that they come on top. A count that outbound.Tokens
// does not believe is not told, and neither is a prompt of no tokens: there is none.
func (d *Decoder) readUsage() error {
	prompt, completion := int64(-1), int64(-1)
	var total, cached, written, hit, reasoning int64
	count := func(to *int64) error {
		raw, err := d.in.value()
		n, bad := strconv.ParseFloat(string(raw), 64)
		if bad == nil {
			if tokens, told := outbound.Tokens(&n); told {
				*to = tokens
			}
		}
		return err
	}
	details := func(name []byte, kind byte) error {
		switch {
		case string(name) == "cached_tokens" && kind == '0':
			return count(&cached)
		case string(name) == "cache_write_tokens" && kind == '0':
			return count(&written)
		case string(name) == "reasoning_tokens" && kind == '0':
			return count(&reasoning)
		}
		return d.skip()
	}
	err := d.object(func(name []byte, kind byte) error {
		switch {
		case string(name) == "prompt_tokens" && kind == '0':
			return count(&prompt)
		case string(name) == "completion_tokens" && kind == '0':
			return count(&completion)
		case string(name) == "total_tokens" && kind == '0':
			return count(&total)
		case string(name) == "prompt_cache_hit_tokens" && kind == '0': // DeepSeek
			return count(&hit)
		case (string(name) == "prompt_tokens_details" || string(name) == "completion_tokens_details") && kind == '{':
			return d.object(details)
		}
		return d.skip()
	})
	u := &d.part.usage
	if completion >= 0 {
		if prompt >= 0 && reasoning > 0 && total == prompt+completion+reasoning {
			completion += reasoning
		}
		u.Output, u.OutputTokens = true, completion
	}
	if prompt > 0 {
		if cached == 0 {
			cached = hit
		}
		tellInput(u, prompt, cached, written)
	}
	return err
}

// tellInput takes over the input, of which cached tokens were read from a cache, and written ones written to it.
func tellInput(u *outbound.Told, all, cached, written int64) {
	cached = min(cached, all)
	written = min(written, all-cached)
	u.Input = true
	u.InputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens = all-cached-written, cached, written
}

// readError reads an error, which is an object or, with a few servers, its text.
func (d *Decoder) readError(kind byte) error {
	if d.part.err == nil {
		d.part.err = &Error{}
	}
	e := d.part.err
	if kind == '"' {
		s, err := d.in.text()
		e.Message = s
		return err
	}
	if kind != '{' {
		return d.skip()
	}
	return d.object(func(name []byte, kind byte) (err error) {
		switch {
		case string(name) == "message" && kind == '"':
			e.Message, err = d.in.text()
			return err
		case (string(name) == "type" || string(name) == "code") && (kind == '"' || kind == '0'):
			return d.errorMember(e, string(name) == "type", kind)
		}
		return d.skip()
	})
}

// errorMember reads an error's type or code, a string or a number. A code that is a number is an HTTP status.
func (d *Decoder) errorMember(e *Error, isType bool, kind byte) (err error) {
	var s string
	if kind == '"' {
		s, err = d.in.text()
	} else {
		var raw []byte
		raw, err = d.in.value()
		s = string(raw)
	}
	if err != nil {
		return err
	}
	if isType {
		e.Type = s
		return nil
	}
	e.Code = s
	if n, bad := strconv.Atoi(s); bad == nil && n >= 400 && n < 600 {
		e.Status = n
	}
	return nil
}

// ParseError reads the body of an answer whose status was not 200. Where its error has no message, or it holds none, its
// first 300 bytes are the message.
func ParseError(body []byte) *Error {
	var d Decoder
	e := &Error{}
	if err := d.parse(body); err == nil && d.part.err != nil {
		e = d.part.err
	}
	if e.Message == "" {
		// FastAPI's own refusals, as vLLM and SGLang give them for an unknown path: {"detail":"Not Found"}
		e.Message = strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), 300)]), "\uFFFD"))
	}
	return e
}
