package openai

import (
	"encoding/base64"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// reader reads the body of a request. It keeps the path to where it stands, for its errors: they name the member as
// OpenAI's do, "messages[0].content", and hold that path in Resource, for the envelope's param.
type reader struct {
	scanner
	path  []step
	unfit error // the first thing in the body that Converse has no place for
}

// What a request needs is bounded, for an entry of a list takes many times the memory of a body's "{},", and a nested value
// stack.
const (
	maxNesting = 32
	maxEntries = 10_000
)

// step is a member's name, or where that is empty an index.
type step struct {
	name  string
	index int
}

// begin checks what holds for the whole body.
func (r *reader) begin(body []byte) error {
	if !utf8.Valid(body) {
		return notJSON()
	}
	r.b = body
	if r.peek() != '{' {
		return notJSON()
	}
	return nil
}

// end checks that nothing follows.
func (r *reader) end() error {
	if r.peek() != 0 || r.i < len(r.b) {
		return notJSON()
	}
	return nil
}

// notJSON says it in OpenAI's words.
func notJSON() error {
	return fault.New(fault.Serialization, "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)")
}

// where is the path as text.
func (r *reader) where() string {
	var b []byte
	for _, s := range r.path {
		if s.name == "" {
			b = append(strconv.AppendInt(append(b, '['), int64(s.index), 10), ']')
			continue
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, s.name...)
	}
	const most = 200
	return strings.ToValidUTF8(string(b[:min(len(b), most)]), "")
}

// bad is an error of the value at hand.
func (r *reader) bad(format string, args ...any) error {
	return badAt(r.where(), format, args...)
}

func badAt(param, format string, args ...any) error {
	f := fault.New(fault.Validation, format, args...)
	f.Resource = param
	return f
}

// missing says that the object at hand lacks a member.
func (r *reader) missing(name string) error {
	if w := r.where(); w != "" {
		name = w + "." + name
	}
	return badAt(name, "Missing required parameter: '%s'.", name)
}

// cannot notes that Converse has no place for the value at hand, and skips it. The request may still go to a server that
// speaks its format.
func (r *reader) cannot(why string) error {
	if r.unfit == nil {
		r.unfit = r.bad("Unsupported parameter: '%s'. %s", r.where(), why)
	}
	return r.skipValue()
}

// kind is the first byte of the value at hand; of a number it is '0'.
func (r *reader) kind() byte {
	c := r.peek()
	if c == '-' || isDigit(c) {
		return '0'
	}
	return c
}

func (r *reader) skipValue() error {
	if r.skip(maxDepth) != nil {
		return notJSON()
	}
	return nil
}

// value reads a value as it stands. It refers to the body.
func (r *reader) value() ([]byte, error) {
	raw, err := r.scanner.value()
	if err != nil {
		return nil, notJSON()
	}
	return raw[:len(raw):len(raw)], nil
}

// expected says that the value at hand is of another type than what.
func (r *reader) expected(what string) error {
	if r.peek() == 0 {
		return notJSON()
	}
	return r.bad("Invalid type for '%s': expected %s, but got %s instead.", r.where(), what, kindName(r.kind()))
}

func kindName(kind byte) string {
	switch kind {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

// object reads an object and calls f at each member's value, which f must consume. A null is absent everywhere: f does not
// see it.
func (r *reader) object(f func(name string) error) error {
	if r.kind() != '{' {
		return r.expected("an object")
	}
	if len(r.path) == maxNesting {
		return r.bad("Invalid '%s': nested too deeply.", r.where())
	}
	for more := r.enter('}'); more; {
		name, err := r.nameText()
		if err != nil {
			return notJSON()
		}
		r.path = append(r.path, step{name: name})
		if r.kind() == 'n' {
			err = r.skipValue()
		} else {
			err = f(name)
		}
		if err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
		if more, err = r.more('}'); err != nil {
			return notJSON()
		}
	}
	return nil
}

// array reads an array and calls f at each element, which f must consume.
func (r *reader) array(f func(i int) error) error {
	if r.kind() != '[' {
		return r.expected("an array")
	}
	if len(r.path) == maxNesting {
		return r.bad("Invalid '%s': nested too deeply.", r.where())
	}
	i := 0
	for more := r.enter(']'); more; i++ {
		if i == maxEntries {
			return r.bad("Invalid '%s': array too long. Expected an array with maximum length %d.", r.where(), maxEntries)
		}
		r.path = append(r.path, step{index: i})
		err := f(i)
		if err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
		if more, err = r.more(']'); err != nil {
			return notJSON()
		}
	}
	return nil
}

func (r *reader) str(to *string) error {
	if r.kind() != '"' {
		return r.expected("a string")
	}
	s, err := r.text()
	if err != nil {
		return notJSON()
	}
	*to = s
	return nil
}

func (r *reader) boolean(to *bool) error {
	k := r.kind()
	if k != 't' && k != 'f' {
		return r.expected("a boolean")
	}
	*to = k == 't'
	return r.skipValue()
}

func (r *reader) number(least, most float64) (float64, error) {
	if r.kind() != '0' {
		return 0, r.expected("a number")
	}
	raw, err := r.value()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || v < least || v > most {
		return 0, r.bad("Invalid '%s': expected a value between %v and %v, but got %.40s instead.", r.where(), least, most, raw)
	}
	return v, nil
}

// count reads an integer from 1 to most.
func (r *reader) count(most int) (int, error) {
	if r.kind() != '0' {
		return 0, r.expected("an integer")
	}
	raw, err := r.value()
	if err != nil {
		return 0, err
	}
	v, err := strconv.Atoi(string(raw))
	if err != nil || v < 1 || v > most {
		return 0, r.bad("Invalid '%s': expected an integer between 1 and %d, but got %.40s instead.", r.where(), most, raw)
	}
	return v, nil
}

// translation is a request on its way into Converse.
type translation struct {
	converse.Request
	config converse.InferenceConfig
	extra  []byte   // the members of additionalModelRequestFields, each behind a comma
	choice string   // none, auto, required or the name of a tool behind "tool:"
	only   []string // the tools that tool_choice leaves; nil leaves all
	tier   string   // service_tier, "" for the default
}

// add appends a block to the turn of role: what follows in one role is one turn. Text that is blank is no block, as
// Bedrock takes none.
func (t *translation) add(role string, b converse.ContentBlock) {
	if b.Text != nil && strings.TrimSpace(*b.Text) == "" {
		return
	}
	if n := len(t.Messages); n == 0 || t.Messages[n-1].Role != role {
		t.Messages = append(t.Messages, converse.Message{Role: role})
	}
	m := &t.Messages[len(t.Messages)-1]
	m.Content = append(m.Content, b)
}

func (t *translation) instruct(text string) {
	if strings.TrimSpace(text) != "" {
		t.System = append(t.System, converse.SystemBlock{Text: &text})
	}
}

// additional adds a member that Converse has none for.
func (t *translation) additional(name string, value []byte) {
	t.extra = outbound.AppendMember(t.extra, name, value)
}

// keep adds the member at hand to the additional fields as it stands.
func (r *reader) keep(t *translation, name string) error {
	raw, err := r.value()
	if err == nil {
		t.additional(name, raw)
	}
	return err
}

// sampling reads a member that both of OpenAI's formats have and that is about how the model writes.
func (r *reader) sampling(t *translation, name string) (known bool, err error) {
	switch name {
	case "temperature":
		v, err := r.number(0, 2)
		if v <= 1 {
			t.config.Temperature = &v
		} else if err == nil { // Converse's ends at 1
			t.additional(name, jsontext.AppendFloat(nil, v, 64))
		}
		return true, err
	case "top_p":
		v, err := r.number(0, 1)
		t.config.TopP = &v
		return true, err
	case "parallel_tool_calls":
		var v bool
		if err := r.boolean(&v); err != nil || v {
			return true, err
		}
		t.additional(name, []byte("false"))
		return true, nil
	case "metadata":
		return true, r.metadata(t)
	case "service_tier":
		var v string
		if err := r.str(&v); err != nil {
			return true, err
		}
		switch v {
		case "auto", "default":
			return true, nil
		case "flex", "priority", "reserved":
			t.ServiceTier = &converse.ServiceTier{Type: v}
		case "scale":
			t.additional(name, []byte(`"scale"`))
		default: // a server that ignores it would serve what then has no price
			return true, r.bad("Invalid value: '%.64s'. Supported values are: 'auto', 'default', 'flex', 'scale', 'priority', and 'reserved'.", v)
		}
		t.tier = v
		return true, nil
	case "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "store":
		return true, r.skipValue() // hints: see ParseChat
	case "top_logprobs":
		if raw, err := r.value(); err != nil || string(raw) == "0" {
			return true, err
		}
		return true, r.lacks("Log probabilities are not available.")
	}
	return false, nil
}

// lacks is cannot for a value that has been read.
func (r *reader) lacks(why string) error {
	if r.unfit == nil {
		r.unfit = r.bad("Unsupported parameter: '%s'. %s", r.where(), why)
	}
	return nil
}

// lacksMember is lacks for a member of the object at hand.
func (r *reader) lacksMember(name, why string) {
	r.path = append(r.path, step{name: name})
	_ = r.lacks(why)
	r.path = r.path[:len(r.path)-1]
}

// metadata reads what becomes Converse's requestMetadata. Bedrock takes 16 members of 256 characters out of a set; what it
// would not take has no place.
func (r *reader) metadata(t *translation) error {
	t.RequestMetadata = map[string]string{}
	return r.object(func(name string) error {
		var v string
		if err := r.str(&v); err != nil {
			return err
		}
		if len(t.RequestMetadata) == 16 || name == "" || !metadataText(name) || !metadataText(v) {
			return r.lacks("Metadata has at most 16 members here, their names and values at most 256 characters of a-z A-Z 0-9 and \" :_@$#=/+,-.\".")
		}
		t.RequestMetadata[name] = v
		return nil
	})
}

func metadataText(s string) bool {
	if len(s) > 256 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte(" \t\n\r\f\v:_@$#=/+,-.", c) < 0 {
			return false
		}
	}
	return true
}

// tool reads the members of a function: those of a tool's function in Chat Completions, of a tool in Responses.
func (r *reader) tool(name string, s *converse.ToolSpec) error {
	switch name {
	case "name":
		return r.str(&s.Name)
	case "description":
		return r.str(&s.Description)
	case "parameters":
		if r.kind() != '{' {
			return r.expected("an object")
		}
		raw, err := r.value()
		s.InputSchema.JSON = raw
		return err
	case "strict":
		var v bool
		if err := r.boolean(&v); err != nil {
			return err
		}
		if v {
			s.Strict = &v
		}
		return nil
	}
	return r.cannot("There is no equivalent in a tool's description.")
}

// addTool adds a tool that has been read.
func (r *reader) addTool(t *translation, s *converse.ToolSpec) error {
	if !toolName(s.Name) {
		return r.bad("Invalid '%s.name': expected a string of 1 to 64 of a-z, A-Z, 0-9, _ and -.", r.where())
	}
	if s.InputSchema.JSON == nil {
		s.InputSchema.JSON = jsontext.Value(`{"type":"object","properties":{}}`) // a function without parameters
	} else if !s.InputSchema.JSON.IsValid() {
		return r.bad("Invalid '%s.parameters': a member comes twice.", r.where())
	}
	if t.ToolConfig == nil {
		t.ToolConfig = &converse.ToolConfig{}
	}
	t.ToolConfig.Tools = append(t.ToolConfig.Tools, converse.Tool{ToolSpec: s})
	return nil
}

func toolName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && c != '-' && !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// toolChoice reads tool_choice in the form of either API: a word, {"type":"function","function":{"name":"f"}} or with the
// name at its top, or the choice among some of the tools.
func (r *reader) toolChoice(t *translation) error {
	if r.kind() == '"' {
		if err := r.str(&t.choice); err != nil {
			return err
		}
		switch t.choice {
		case "none", "auto", "required":
			return nil
		}
		return r.bad("Invalid value: '%.64s'. Supported values are: 'none', 'auto', and 'required'.", t.choice)
	}
	var kind, name, mode string
	var only []string
	function := func(member string) error {
		if member == "name" {
			return r.str(&name)
		}
		return r.skipValue()
	}
	var read func(member string) error
	read = func(member string) error {
		switch member {
		case "type":
			return r.str(&kind)
		case "mode":
			return r.str(&mode)
		case "function":
			return r.object(function)
		case "allowed_tools":
			return r.object(read)
		case "tools":
			outer := kind
			err := r.array(func(int) error {
				name = ""
				err := r.object(read)
				only = append(only, name)
				return err
			})
			kind, name = outer, ""
			return err
		}
		return function(member)
	}
	if err := r.object(read); err != nil {
		return err
	}
	switch {
	case kind == "function" && name != "":
		t.choice = "tool:" + name
	case kind == "allowed_tools" && (mode == "auto" || mode == "required"):
		t.choice, t.only = mode, only
	default:
		return r.lacks("Only functions can be called.")
	}
	return nil
}

// textFormat reads response_format of Chat Completions, where the schema stands in json_schema, and text.format of
// Responses, where it stands beside the type.
func (r *reader) textFormat(t *translation) error {
	start := r.i
	var kind string
	s := &converse.JSONSchema{}
	var read func(name string) error
	read = func(name string) error {
		switch name {
		case "type":
			return r.str(&kind)
		case "json_schema":
			return r.object(read)
		case "name":
			return r.str(&s.Name)
		case "description":
			return r.str(&s.Description)
		case "schema":
			if r.kind() != '{' {
				return r.expected("an object")
			}
			raw, err := r.value()
			s.Schema = string(raw)
			return err
		}
		return r.skipValue() // strict: Bedrock's always is
	}
	if err := r.object(read); err != nil {
		return err
	}
	switch kind {
	case "text":
	case "json_object":
		t.additional("response_format", []byte(`{"type":"json_object"}`))
	case "json_schema":
		if s.Schema == "" {
			return r.missing("json_schema.schema")
		}
		t.OutputConfig = &converse.OutputConfig{TextFormat: &converse.TextFormat{Type: "json_schema", Structure: converse.TextFormatStructure{JSONSchema: s}}}
	case "":
		return r.missing("type")
	default: // a server's own: vLLM's structural_tag
		t.additional("response_format", r.b[start:r.i])
	}
	return nil
}

// finish makes a Request of what was read. It is held against Bedrock's rules for a conversation, which are narrower than
// OpenAI's: unfit says which one it breaks.
func (t *translation) finish() (q *converse.Request, unfit, err error) {
	q = &t.Request
	if c := &t.config; c.MaxTokens != nil || c.Temperature != nil || c.TopP != nil || len(c.StopSequences) > 0 {
		q.InferenceConfig = c
	}
	if err := t.chooseTools(); err != nil {
		return nil, nil, err
	}
	if len(t.extra) > 0 {
		q.AdditionalModelRequestFields = append(t.extra, '}')
		q.AdditionalModelRequestFields[0] = '{'
		if !q.AdditionalModelRequestFields.IsValid() {
			return nil, nil, fault.New(fault.Validation, "A member of the request comes twice.")
		}
	}
	if len(q.RequestMetadata) == 0 {
		q.RequestMetadata = nil
	}
	if unfit := q.Check(); unfit != nil {
		return nil, unfit, nil
	}
	return q, nil, nil
}

// chooseTools applies tool_choice.
func (t *translation) chooseTools() error {
	c := t.ToolConfig
	if t.choice == "" {
		return nil
	}
	if c == nil {
		if t.choice == "none" || t.choice == "auto" {
			return nil
		}
		return badAt("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	if t.only != nil {
		var left []converse.Tool
		for _, name := range t.only {
			for _, tool := range c.Tools {
				if tool.ToolSpec.Name == name {
					left = append(left, tool)
				}
			}
		}
		if len(left) == 0 {
			return badAt("tool_choice", "Invalid value for 'tool_choice': none of the allowed tools is among 'tools'.")
		}
		c.Tools = left
	}
	switch t.choice {
	case "none":
		// A model that sees no tools calls none. Converse wants them described where the messages use some.
		if !t.usesTools() {
			t.ToolConfig = nil
		} else {
			t.additional("tool_choice", []byte(`"none"`))
		}
	case "auto":
		c.ToolChoice = &converse.ToolChoice{Auto: &struct{}{}}
	case "required":
		c.ToolChoice = &converse.ToolChoice{Any: &struct{}{}}
	default:
		c.ToolChoice = &converse.ToolChoice{Tool: &converse.SpecificTool{Name: strings.TrimPrefix(t.choice, "tool:")}}
	}
	return nil
}

func (t *translation) usesTools() bool {
	for i := range t.Messages {
		for j := range t.Messages[i].Content {
			if b := &t.Messages[i].Content[j]; b.ToolUse != nil || b.ToolResult != nil {
				return true
			}
		}
	}
	return false
}

// arguments is a tool call's input. What a model once wrote that is no JSON becomes the string of it, as in
// converse.Collect.
func arguments(s string) jsontext.Value {
	if strings.TrimSpace(s) == "" {
		return jsontext.Value("{}")
	}
	if v := jsontext.Value(s); v.IsValid() {
		return v
	}
	return converse.AppendQuote(nil, s)
}

// Media.

// dataURL takes "data:image/png;base64,AAAA" apart. data is the base64 as it stands.
func dataURL[T string | []byte](s T) (mime string, data T, ok bool) {
	const longest = 1000 // of what is before the data
	comma := strings.IndexByte(string(s[:min(len(s), longest)]), ',')
	if comma < 0 {
		return "", data, false
	}
	rest, ok := strings.CutPrefix(string(s[:comma]), "data:")
	if !ok {
		return "", data, false
	}
	mime, ok = strings.CutSuffix(rest, ";base64")
	mime, _, _ = strings.Cut(mime, ";") // its parameters
	return strings.ToLower(mime), s[comma+1:], ok
}

// image reads the URL of a picture.
func (r *reader) image() (*converse.Image, error) {
	if r.kind() != '"' {
		return nil, r.expected("a string")
	}
	url, plain, err := r.quoted()
	if err != nil {
		return nil, notJSON()
	}
	mime, data, ok := dataURL(appendUnquoted(nil, url, plain))
	if !ok {
		return nil, r.lacks("Pictures are not fetched from elsewhere: send a data URL, \"data:image/png;base64,...\".")
	}
	format := strings.TrimPrefix(mime, "image/")
	switch format {
	case "png", "jpeg", "gif", "webp":
	case "jpg":
		format = "jpeg"
	default:
		return nil, r.bad("Invalid '%s': the picture's type %.64q is not one of image/png, image/jpeg, image/gif, and image/webp.", r.where(), mime)
	}
	b := converse.Base64(data)
	if len(b) == 0 || !b.Valid() {
		return nil, r.bad("Invalid '%s': the picture is not valid base64.", r.where())
	}
	return &converse.Image{Format: format, Source: converse.ImageSource{Bytes: b}}, nil
}

// media is the JSON of a Converse block with bytes, of which data is the base64.
func (r *reader) media(format, name, data string) ([]byte, error) {
	if _, err := base64.StdEncoding.DecodeString(data); err != nil || data == "" {
		return nil, r.bad("Invalid '%s': its data is not valid base64.", r.where())
	}
	b := append([]byte(`{"format":"`), format...)
	b = append(b, '"')
	if name != "" {
		b = converse.AppendQuote(append(b, `,"name":`...), name)
	}
	b = append(append(b, `,"source":{"bytes":"`...), data...)
	return append(b, `"}}`...), nil
}

// audio makes a block of an input_audio's members.
func (r *reader) audio(format, data string) (b converse.ContentBlock, err error) {
	switch format {
	case "mp3", "wav", "opus", "aac", "flac", "ogg", "m4a", "webm", "pcm":
	default:
		return b, r.bad("Invalid '%s.format': '%.64s' is not one of 'wav' and 'mp3'.", r.where(), format)
	}
	b.Audio, err = r.media(format, "", data)
	return b, err
}

// documentTypes are the formats that Converse's documents have.
var documentTypes = map[string]string{
	"application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
	"application/vnd.ms-excel": "xls",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}

// document makes Converse's document of a file: a data URL, or bare base64 whose type the file's name tells.
func (r *reader) document(filename, data string) ([]byte, error) {
	format := ""
	if mime, rest, ok := dataURL(data); ok {
		format, data = documentTypes[mime], rest
	}
	if format == "" {
		ext := strings.ToLower(strings.TrimPrefix(path.Ext(filename), "."))
		for _, known := range documentTypes {
			if ext == known {
				format = ext
			}
		}
	}
	if format == "" {
		return nil, r.bad("Invalid '%s': the file's type is not one of pdf, csv, doc, docx, xls, xlsx, html, txt, and md. Send a data URL or a filename that tells it.", r.where())
	}
	return r.media(format, documentName(filename), data)
}

// documentName brings a file's name into the form that Bedrock takes: letters, digits, single white space, hyphens,
// parentheses and square brackets, at most 200.
func documentName(filename string) string {
	base := strings.TrimSuffix(filename, path.Ext(filename))
	b := make([]byte, 0, len(base))
	for i := 0; i < len(base) && len(b) < 200; i++ {
		c := base[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte("-()[] ", c) < 0 {
			c = '-'
		}
		if n := len(b); n > 0 && (c == ' ' || c == '-') && b[n-1] == c {
			continue
		}
		b = append(b, c)
	}
	if len(b) == 0 {
		return "document"
	}
	return string(b)
}
