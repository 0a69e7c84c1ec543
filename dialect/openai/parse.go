package openai

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
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
	in := readers.Get().(*reader)
	defer func() {
		d.dec = nil
		readers.Put(in)
	}()
	in.buf = *bytes.NewBuffer(data) // the decoder reads a Buffer in place and changes nothing in it
	in.dec.Reset(&in.buf, lenient...)
	d.dec = &in.dec
	if d.dec.PeekKind() != '{' {
		return malformed("it is no JSON object: %.60q", data)
	}
	err := d.object(func(name string, kind jsontext.Kind) error {
		switch name {
		case "choices":
			if kind == '[' {
				p.choices = true
				return d.array(func(i int, kind jsontext.Kind) error {
					if i > 0 || kind != '{' {
						p.plain = false
						return d.dec.SkipValue()
					}
					return d.choice()
				})
			}
		case "usage":
			if kind == '{' {
				p.plain = false
				return d.readUsage()
			}
		case "error":
			if kind != 'n' {
				return d.readError(kind)
			}
		case "message": // vLLM before 0.10 and a few others: {"object":"error","message":"...","type":"...","code":400}
			if kind == '"' && !p.choices {
				s, err := d.string()
				if p.err == nil {
					p.err, bare = &Error{}, true
				}
				p.err.Message = s
				return err
			}
		case "type", "code":
			if p.err != nil && !p.choices && (kind == '"' || kind == '0') {
				return d.errorMember(p.err, name)
			}
		}
		return d.dec.SkipValue()
	})
	if err != nil {
		return malformed("%v", err)
	}
	if e := p.err; p.choices && e != nil && (bare || e.Message == "" && e.Type == "" && e.Code == "") {
		p.err = nil // beside an answer only an error object that says something is one
	}
	return nil
}

// reader is a JSON decoder over a body, kept from one body to the next.
type reader struct {
	buf bytes.Buffer
	dec jsontext.Decoder
}

var readers = sync.Pool{New: func() any { return new(reader) }}

var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// object reads an object and calls f at each member's value, which f must consume.
func (d *Decoder) object(f func(name string, kind jsontext.Kind) error) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for {
		switch kind := d.dec.PeekKind(); kind {
		case '"':
			raw, err := d.dec.ReadValue()
			if err != nil {
				return err
			}
			if err := f(members[string(raw)], d.dec.PeekKind()); err != nil {
				return err
			}
		default:
			_, err := d.dec.ReadToken()
			return err
		}
	}
}

// members are the names that matter, by themselves as JSON, so that reading one allocates nothing.
var members = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		"choices", "delta", "message", "content", "role", "reasoning_content", "reasoning", "refusal", "tool_calls",
		"function_call", "function", "arguments", "name", "id", "index", "finish_reason", "stop_reason", "matched_stop",
		"usage", "error", "type", "text", "thinking", "code", "prompt_tokens", "completion_tokens", "total_tokens",
		"cached_tokens", "reasoning_tokens", "prompt_tokens_details", "completion_tokens_details",
		"prompt_cache_hit_tokens",
	} {
		m[`"`+name+`"`] = name
	}
	return m
}()

func (d *Decoder) array(f func(i int, kind jsontext.Kind) error) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		kind := d.dec.PeekKind()
		if kind == ']' || kind == 0 {
			_, err := d.dec.ReadToken()
			return err
		}
		if err := f(i, kind); err != nil {
			return err
		}
	}
}

func (d *Decoder) string() (string, error) {
	t, err := d.dec.ReadToken()
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

func (d *Decoder) choice() error {
	p := &d.part
	return d.object(func(name string, kind jsontext.Kind) (err error) {
		switch name {
		case "delta", "message":
			if kind == '{' {
				return d.message()
			}
		case "finish_reason":
			if kind == '"' {
				if p.finish, err = d.string(); p.finish != "" {
					p.plain = false
				}
				return err
			}
		case "stop_reason", "matched_stop":
			if kind == '"' {
				p.plain = false
				p.stopped, err = d.string()
				return err
			}
		}
		return d.dec.SkipValue()
	})
}

// message reads a delta of a stream or the message of a whole answer: they have the same members.
func (d *Decoder) message() error {
	p := &d.part
	return d.object(func(name string, kind jsontext.Kind) error {
		switch name {
		case "content", "refusal": // a refusal is what the model says in place of the content
			switch kind {
			case '"':
				raw, err := d.dec.ReadValue()
				if err != nil || len(raw) == 2 {
					return err
				}
				if p.text != "" {
					p.plain = false
				}
				p.textEnd = int(d.dec.InputOffset())
				p.textAt = p.textEnd - len(raw)
				s, err := unquote(raw)
				p.text += s
				return err
			case '[':
				p.plain = false
				return d.parts()
			}
		case "reasoning_content", "reasoning":
			if kind == '"' {
				p.plain = false
				s, err := d.string()
				if p.thought == "" { // vLLM has sent both names with the same text
					p.thought = s
				}
				return err
			}
		case "tool_calls":
			if kind == '[' {
				p.plain = false
				return d.array(func(i int, kind jsontext.Kind) error {
					if kind != '{' {
						return d.dec.SkipValue()
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
		return d.dec.SkipValue()
	})
}

func unquote(raw jsontext.Value) (string, error) {
	for _, c := range raw[1 : len(raw)-1] {
		if c == '\\' || c >= 0x80 {
			b, _ := jsontext.AppendUnquote(nil, raw) // an error here is invalid UTF-8, which has become U+FFFD
			return string(b), nil
		}
	}
	return string(raw[1 : len(raw)-1]), nil
}

// parts reads content in parts, as Mistral's reasoning models give it: [{"type":"text","text":""},{"type":"thinking",
// "thinking":[{"type":"text","text":""}]}].
func (d *Decoder) parts() error {
	return d.array(func(_ int, kind jsontext.Kind) error {
		if kind != '{' {
			return d.dec.SkipValue()
		}
		return d.object(func(name string, kind jsontext.Kind) error {
			switch {
			case name == "text" && kind == '"':
				s, err := d.string()
				d.part.text += s
				return err
			case name == "thinking" && kind == '[':
				return d.array(func(_ int, kind jsontext.Kind) error {
					if kind != '{' {
						return d.dec.SkipValue()
					}
					return d.object(func(name string, kind jsontext.Kind) error {
						if name != "text" || kind != '"' {
							return d.dec.SkipValue()
						}
						s, err := d.string()
						d.part.thought += s
						return err
					})
				})
			}
			return d.dec.SkipValue()
		})
	})
}

func (d *Decoder) toolCallPart() error {
	p := &d.part
	p.calls = append(p.calls, toolPart{index: -1})
	t := &p.calls[len(p.calls)-1]
	return d.object(func(name string, kind jsontext.Kind) (err error) {
		switch {
		case name == "index" && kind == '0':
			raw, err := d.dec.ReadValue()
			if n, bad := strconv.Atoi(string(raw)); bad == nil && n >= 0 && n < 1<<20 {
				t.index = n
			}
			return err
		case name == "id" && kind == '"':
			t.id, err = d.string()
			return err
		case name == "function" && kind == '{':
			return d.function(t)
		}
		return d.dec.SkipValue()
	})
}

func (d *Decoder) function(t *toolPart) error {
	return d.object(func(name string, kind jsontext.Kind) (err error) {
		switch {
		case name == "name" && kind == '"':
			t.name, err = d.string()
			return err
		case name == "arguments" && kind == '"':
			t.input, err = d.string()
			return err
		case name == "arguments" && kind == '{': // as an object rather than as its text: older Ollama
			raw, err := d.dec.ReadValue()
			t.input = string(raw)
			return err
		}
		return d.dec.SkipValue()
	})
}

// maxTokens bounds the counts that are believed, so that no sum of them overflows.
const maxTokens = 1 << 40

// readUsage reads and normalises the usage. prompt_tokens includes cached tokens; completion_tokens includes those of
// the reasoning, but for servers (xAI's) whose total shows that they come on top. A count below zero or above maxTokens
// is not told, and neither is a prompt of no tokens: there is none.
func (d *Decoder) readUsage() error {
	prompt, completion := int64(-1), int64(-1)
	var total, cached, hit, reasoning int64
	count := func(to *int64) error {
		raw, err := d.dec.ReadValue()
		n, bad := strconv.ParseFloat(string(raw), 64)
		if bad == nil && n >= 0 && n <= maxTokens {
			*to = int64(n)
		}
		return err
	}
	details := func(name string, kind jsontext.Kind) error {
		switch {
		case name == "cached_tokens" && kind == '0':
			return count(&cached)
		case name == "reasoning_tokens" && kind == '0':
			return count(&reasoning)
		}
		return d.dec.SkipValue()
	}
	err := d.object(func(name string, kind jsontext.Kind) error {
		switch {
		case name == "prompt_tokens" && kind == '0':
			return count(&prompt)
		case name == "completion_tokens" && kind == '0':
			return count(&completion)
		case name == "total_tokens" && kind == '0':
			return count(&total)
		case name == "prompt_cache_hit_tokens" && kind == '0': // DeepSeek
			return count(&hit)
		case (name == "prompt_tokens_details" || name == "completion_tokens_details") && kind == '{':
			return d.object(details)
		}
		return d.dec.SkipValue()
	})
	u := &d.part.usage
	if completion >= 0 {
		if prompt >= 0 && reasoning > 0 && total == prompt+completion+reasoning {
			completion += reasoning
		}
		u.output, u.OutputTokens = true, completion
	}
	if prompt > 0 {
		if cached == 0 {
			cached = hit
		}
		cached = min(cached, prompt)
		u.input, u.InputTokens, u.CacheReadInputTokens = true, prompt-cached, cached
	}
	return err
}

// readError reads an error, which is an object or, with a few servers, its text.
func (d *Decoder) readError(kind jsontext.Kind) error {
	if d.part.err == nil {
		d.part.err = &Error{}
	}
	e := d.part.err
	if kind == '"' {
		s, err := d.string()
		e.Message = s
		return err
	}
	if kind != '{' {
		return d.dec.SkipValue()
	}
	return d.object(func(name string, kind jsontext.Kind) (err error) {
		switch {
		case name == "message" && kind == '"':
			e.Message, err = d.string()
			return err
		case (name == "type" || name == "code") && (kind == '"' || kind == '0'):
			return d.errorMember(e, name)
		}
		return d.dec.SkipValue()
	})
}

// errorMember reads an error's type or code. A code that is a number is an HTTP status.
func (d *Decoder) errorMember(e *Error, name string) error {
	t, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	if name == "type" {
		e.Type = t.String()
		return nil
	}
	e.Code = t.String()
	if n, bad := strconv.Atoi(e.Code); bad == nil && n >= 400 && n < 600 {
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
