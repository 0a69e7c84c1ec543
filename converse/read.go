package converse

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ReadJSON reads the body of Converse in its common form, at less than half the cost of reflection. What is not of that form
// is not read: an error of any kind, a null, a member that is rare or not known, a name with an escape. ReadJSON then
// returns false, r holds rubbish, and json.Unmarshal into a new Request has the word. Where ReadJSON returns true the
// two agree.
func (r *Request) ReadJSON(body []byte) bool {
	d := reader{b: body}
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "messages":
			d.once(&seen, 0)
			r.Messages = list(&d, (*reader).message)
		case "system":
			d.once(&seen, 1)
			r.System = list(&d, (*reader).systemBlock)
		case "inferenceConfig":
			d.once(&seen, 2)
			r.InferenceConfig = d.inferenceConfig()
		case "toolConfig":
			d.once(&seen, 3)
			r.ToolConfig = d.toolConfig()
		case "additionalModelRequestFields":
			d.once(&seen, 4)
			r.AdditionalModelRequestFields = d.object()
		default:
			return false
		}
	}
	return d.peek() == 0 && d.i == len(body) && !d.failed
}

func (d *reader) message(m *Message) {
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "role":
			d.once(&seen, 0)
			m.Role = d.text()
		case "content":
			d.once(&seen, 1)
			m.Content = list(d, (*reader).contentBlock)
		default:
			d.fail()
		}
	}
}

func (d *reader) contentBlock(b *ContentBlock) {
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "text":
			d.once(&seen, 0)
			b.Text = d.textPointer()
		case "toolUse":
			d.once(&seen, 1)
			b.ToolUse = d.toolUse()
		case "toolResult":
			d.once(&seen, 2)
			b.ToolResult = d.toolResult()
		case "image":
			d.once(&seen, 3)
			d.reflect(&b.Image)
		case "cachePoint":
			d.once(&seen, 4)
			d.reflect(&b.CachePoint)
		case "reasoningContent":
			d.once(&seen, 5)
			d.reflect(&b.ReasoningContent)
		default:
			d.fail()
		}
	}
}

func (d *reader) systemBlock(b *SystemBlock) {
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "text":
			d.once(&seen, 0)
			b.Text = d.textPointer()
		case "cachePoint":
			d.once(&seen, 1)
			d.reflect(&b.CachePoint)
		default:
			d.fail()
		}
	}
}

func (d *reader) toolUse() *ToolUse {
	var seen names
	u := new(ToolUse)
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "toolUseId":
			d.once(&seen, 0)
			u.ToolUseID = d.text()
		case "name":
			d.once(&seen, 1)
			u.Name = d.text()
		case "input":
			d.once(&seen, 2)
			u.Input = d.object()
		default:
			d.fail()
		}
	}
	return u
}

func (d *reader) toolResult() *ToolResult {
	var seen names
	r := new(ToolResult)
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "toolUseId":
			d.once(&seen, 0)
			r.ToolUseID = d.text()
		case "content":
			d.once(&seen, 1)
			r.Content = list(d, (*reader).toolResultContent)
		case "status":
			d.once(&seen, 2)
			r.Status = d.text()
		default:
			d.fail()
		}
	}
	return r
}

func (d *reader) toolResultContent(c *ToolResultContent) {
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "json":
			d.once(&seen, 0)
			c.JSON = d.object()
		case "text":
			d.once(&seen, 1)
			c.Text = d.textPointer()
		case "image":
			d.once(&seen, 2)
			d.reflect(&c.Image)
		default:
			d.fail()
		}
	}
}

func (d *reader) toolConfig() *ToolConfig {
	var seen names
	c := new(ToolConfig)
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "tools":
			d.once(&seen, 0)
			c.Tools = list(d, (*reader).tool)
		case "toolChoice":
			d.once(&seen, 1)
			d.reflect(&c.ToolChoice)
		default:
			d.fail()
		}
	}
	return c
}

func (d *reader) tool(t *Tool) {
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "toolSpec":
			d.once(&seen, 0)
			t.ToolSpec = d.toolSpec()
		case "cachePoint":
			d.once(&seen, 1)
			d.reflect(&t.CachePoint)
		default:
			d.fail()
		}
	}
}

func (d *reader) toolSpec() *ToolSpec {
	var seen, inner names
	s := new(ToolSpec)
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "name":
			d.once(&seen, 0)
			s.Name = d.text()
		case "description":
			d.once(&seen, 1)
			s.Description = d.text()
		case "inputSchema":
			d.once(&seen, 2)
			for more := d.open('{'); more; more = d.more('}') {
				if string(d.name()) != "json" {
					d.fail()
				}
				d.once(&inner, 0)
				s.InputSchema.JSON = d.object()
			}
		default:
			d.fail()
		}
	}
	return s
}

func (d *reader) inferenceConfig() *InferenceConfig {
	c := &struct { // one allocation for what all pointers point to
		InferenceConfig
		maxTokens         int
		temperature, topP float64
	}{}
	var seen names
	for more := d.open('{'); more; more = d.more('}') {
		switch name := d.name(); string(name) {
		case "maxTokens":
			d.once(&seen, 0)
			c.maxTokens, c.MaxTokens = d.integer(), &c.maxTokens
		case "temperature":
			d.once(&seen, 1)
			c.temperature, c.Temperature = d.float(), &c.temperature
		case "topP":
			d.once(&seen, 2)
			c.topP, c.TopP = d.float(), &c.topP
		case "stopSequences":
			d.once(&seen, 3)
			c.StopSequences = list(d, func(d *reader, s *string) { *s = d.text() })
		default:
			d.fail()
		}
	}
	return &c.InferenceConfig
}

// A reader reads JSON that it knows the form of. Once it has met anything else it has failed: it reads nothing more and
// every loop over it ends.
type reader struct {
	b      []byte
	i      int // how far it has come
	failed bool
}

func (d *reader) fail() { d.failed, d.i = true, len(d.b) }

// peek skips white space and returns the byte after it, 0 at the end.
func (d *reader) peek() byte {
	for ; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take goes over c, or fails.
func (d *reader) take(c byte) {
	if d.peek() != c || d.failed {
		d.fail()
		return
	}
	d.i++
}

// open begins an object or a list, and reports whether it has anything in it.
func (d *reader) open(bracket byte) bool {
	d.take(bracket)
	if d.peek() == bracket+2 { // '}' and ']' both stand two after their partner
		d.i++
		return false
	}
	return !d.failed
}

// more goes to the next member or element, and reports whether there is one.
func (d *reader) more(bracket byte) bool {
	if d.peek() == bracket && !d.failed {
		d.i++
		return false
	}
	d.take(',')
	return !d.failed
}

// names is the names that an object has had, as bits: one that comes twice is an error.
type names uint8

func (d *reader) once(seen *names, bit int) {
	if *seen&(1<<bit) != 0 {
		d.fail()
	}
	*seen |= 1 << bit
}

// name reads a name and the colon after it.
func (d *reader) name() []byte {
	raw, plain := d.quoted()
	if !plain {
		d.fail()
		return nil
	}
	d.take(':')
	return raw
}

// quoted goes over a string and returns what stands between its quotes; plain says that it is its own value.
func (d *reader) quoted() (raw []byte, plain bool) {
	d.take('"')
	start, ascii := d.i, true
	plain = true
	for !d.failed {
		d.i += plainPrefix(d.b[d.i:])
		if d.i == len(d.b) {
			break
		}
		switch c := d.b[d.i]; {
		case c == '"':
			raw = d.b[start:d.i]
			d.i++
			if !ascii && !utf8.Valid(raw) {
				d.fail()
			}
			return raw, plain
		case c == '\\':
			plain = false
			d.i = min(d.i+2, len(d.b))
		case c >= utf8.RuneSelf:
			ascii = false
			for d.i < len(d.b) && d.b[d.i] >= utf8.RuneSelf {
				d.i++
			}
		default: // a control character
			d.fail()
		}
	}
	d.fail()
	return nil, false
}

func (d *reader) text() string {
	raw, plain := d.quoted()
	switch {
	case plain && string(raw) == RoleUser: // what every request has costs no copy
		return RoleUser
	case plain && string(raw) == RoleAssistant:
		return RoleAssistant
	case plain:
		return string(raw)
	}
	var out strings.Builder
	out.Grow(len(raw))
	for rest := raw; ; {
		n := bytes.IndexByte(rest, '\\')
		if n < 0 {
			out.Write(rest)
			return out.String()
		}
		out.Write(rest[:n])
		c := rest[n+1] // quoted has seen it
		switch c {
		case '"', '\\', '/':
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		default: // \u and what is rare
			text, err := jsontext.AppendUnquote(nil, d.b[d.i-len(raw)-2:d.i])
			if err != nil {
				d.fail()
			}
			return string(text)
		}
		out.WriteByte(c)
		rest = rest[n+2:]
	}
}

func (d *reader) textPointer() *string {
	s := d.text()
	return &s
}

// number goes over a number without an exponent.
func (d *reader) number() []byte {
	d.peek()
	start := d.i
	digits := func() int {
		n := 0
		for ; d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9'; d.i++ {
			n++
		}
		return n
	}
	if d.i < len(d.b) && d.b[d.i] == '-' {
		d.i++
	}
	first := d.i
	if n := digits(); n == 0 || n > 1 && d.b[first] == '0' {
		d.fail()
		return nil
	}
	if d.i < len(d.b) && d.b[d.i] == '.' {
		d.i++
		if digits() == 0 {
			d.fail()
			return nil
		}
	}
	return d.b[start:d.i]
}

func (d *reader) integer() int {
	n, err := strconv.Atoi(string(d.number()))
	if err != nil {
		d.fail()
	}
	return n
}

func (d *reader) float() float64 {
	f, err := strconv.ParseFloat(string(d.number()), 64)
	if err != nil {
		d.fail()
	}
	return f
}

// list reads a list, an element at a time.
func list[T any](d *reader, element func(*reader, *T)) []T {
	out := []T{}
	for more := d.open('['); more; more = d.more(']') {
		out = append(out, *new(T))
		element(d, &out[len(out)-1])
	}
	return out
}

// reflect reads a rare object as json does.
func (d *reader) reflect(out any) {
	if raw := d.skip(); d.failed || json.Unmarshal(raw, out) != nil {
		d.fail()
	}
}

// object returns a copy of an object that may hold anything.
func (d *reader) object() jsontext.Value {
	raw := jsontext.Value(d.skip())
	if d.failed || !raw.IsValid() {
		d.fail()
		return nil
	}
	return raw.Clone()
}

// skip goes over an object and returns it. It sees where the object ends if it is good JSON, not whether it is. What is
// nested so deep that json could mind the levels above it is not of the common form.
func (d *reader) skip() []byte {
	if d.peek() != '{' {
		d.fail()
		return nil
	}
	const deepest = 1000
	start := d.i
	for depth := 0; d.i < len(d.b) && depth <= deepest; {
		switch d.b[d.i] {
		case '"':
			d.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if d.i++; depth == 0 {
			return d.b[start:d.i]
		}
	}
	d.fail()
	return nil
}
