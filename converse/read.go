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
// two agree. Of what r holds then, pictures refer to the body.
func (r *Request) ReadJSON(body []byte) bool {
	d := reader{b: body}
	for name := range d.members {
		switch string(name) {
		case "messages":
			r.Messages = list(&d, (*reader).message)
		case "system":
			r.System = list(&d, (*reader).systemBlock)
		case "inferenceConfig":
			r.InferenceConfig = d.inferenceConfig()
		case "toolConfig":
			r.ToolConfig = d.toolConfig()
		case "additionalModelRequestFields":
			r.AdditionalModelRequestFields = d.object()
		default:
			return false
		}
	}
	return d.peek() == 0 && d.i == len(body) && !d.failed
}

func (d *reader) message(m *Message) {
	for name := range d.members {
		switch string(name) {
		case "role":
			m.Role = d.text()
		case "content":
			m.Content = list(d, (*reader).contentBlock)
		default:
			d.fail()
		}
	}
}

func (d *reader) contentBlock(b *ContentBlock) {
	for name := range d.members {
		switch string(name) {
		case "text":
			b.Text = d.textPointer()
		case "toolUse":
			b.ToolUse = d.toolUse()
		case "toolResult":
			b.ToolResult = d.toolResult()
		case "image":
			b.Image = d.image()
		case "cachePoint":
			d.reflect(&b.CachePoint)
		case "reasoningContent":
			d.reflect(&b.ReasoningContent)
		default:
			d.fail()
		}
	}
}

func (d *reader) image() *Image {
	m := new(Image)
	for name := range d.members {
		switch string(name) {
		case "format":
			m.Format = d.text()
		case "source":
			for name := range d.members {
				if string(name) != "bytes" {
					d.fail()
				}
				m.Source.Bytes = d.base64()
			}
		default:
			d.fail()
		}
	}
	return m
}

func (d *reader) systemBlock(b *SystemBlock) {
	for name := range d.members {
		switch string(name) {
		case "text":
			b.Text = d.textPointer()
		case "cachePoint":
			d.reflect(&b.CachePoint)
		default:
			d.fail()
		}
	}
}

func (d *reader) toolUse() *ToolUse {
	u := new(ToolUse)
	for name := range d.members {
		switch string(name) {
		case "toolUseId":
			u.ToolUseID = d.text()
		case "name":
			u.Name = d.text()
		case "input":
			u.Input = d.object()
		default:
			d.fail()
		}
	}
	return u
}

func (d *reader) toolResult() *ToolResult {
	r := new(ToolResult)
	for name := range d.members {
		switch string(name) {
		case "toolUseId":
			r.ToolUseID = d.text()
		case "content":
			r.Content = list(d, (*reader).toolResultContent)
		case "status":
			r.Status = d.text()
		default:
			d.fail()
		}
	}
	return r
}

func (d *reader) toolResultContent(c *ToolResultContent) {
	for name := range d.members {
		switch string(name) {
		case "json":
			c.JSON = d.object()
		case "text":
			c.Text = d.textPointer()
		case "image":
			c.Image = d.image()
		default:
			d.fail()
		}
	}
}

func (d *reader) toolConfig() *ToolConfig {
	c := new(ToolConfig)
	for name := range d.members {
		switch string(name) {
		case "tools":
			c.Tools = list(d, (*reader).tool)
		case "toolChoice":
			d.reflect(&c.ToolChoice)
		default:
			d.fail()
		}
	}
	return c
}

func (d *reader) tool(t *Tool) {
	for name := range d.members {
		switch string(name) {
		case "toolSpec":
			t.ToolSpec = d.toolSpec()
		case "cachePoint":
			d.reflect(&t.CachePoint)
		default:
			d.fail()
		}
	}
}

func (d *reader) toolSpec() *ToolSpec {
	s := new(ToolSpec)
	for name := range d.members {
		switch string(name) {
		case "name":
			s.Name = d.text()
		case "description":
			s.Description = d.text()
		case "inputSchema":
			for name := range d.members {
				if string(name) != "json" {
					d.fail()
				}
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
	for name := range d.members {
		switch string(name) {
		case "maxTokens":
			c.maxTokens, c.MaxTokens = d.integer(), &c.maxTokens
		case "temperature":
			c.temperature, c.Temperature = d.float(), &c.temperature
		case "topP":
			c.topP, c.TopP = d.float(), &c.topP
		case "stopSequences":
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

// members goes over an object and yields the name of each member, whose value the loop reads. A name that comes twice is an
// error.
func (d *reader) members(yield func(name []byte) bool) {
	var seen [8][]byte // the most that any object of the common form has
	n := 0
	for more := d.open('{'); more; more = d.more('}') {
		name := d.name()
		for _, earlier := range seen[:n] {
			if string(earlier) == string(name) {
				d.fail()
			}
		}
		if n == len(seen) {
			d.fail()
			return
		}
		seen[n] = name
		n++
		if !yield(name) {
			return
		}
	}
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
			text, err := Unquote(d.b[d.i-len(raw)-2 : d.i])
			if err != nil {
				d.fail()
			}
			return text
		}
		out.WriteByte(c)
		rest = rest[n+2:]
	}
}

// base64 reads a string of base64, which refers to the body.
func (d *reader) base64() Base64 {
	raw, plain := d.quoted()
	if !plain || !Base64(raw).Valid() {
		d.fail()
		return nil
	}
	return Base64(raw[:len(raw):len(raw)])
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
