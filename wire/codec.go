package wire

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// decode fills in, a pointer to the operation's input, from the request.
func (x *exchange) decode(in any) error {
	s := x.op.in
	v := reflect.ValueOf(in).Elem()
	if x.service.Protocol == AWSQuery {
		return readForm(x.form).fill(v, s.tree, "")
	}
	switch {
	case s.payload != nil:
		v.FieldByIndex(s.payload).SetBytes(x.body)
	case len(s.body) > 0 && len(x.body) > 0:
		if r, ok := in.(Reader); ok {
			if r.ReadJSON(x.body) {
				break
			}
			v.SetZero()
		}
		if err := readBody(x.body, in); err != nil {
			return err
		}
	}
	for i := range s.labels {
		v.FieldByIndex(s.labels[i].index).SetString(x.labels.get(s.labels[i].name))
	}
	if len(s.query) > 0 && x.request.URL.RawQuery != "" {
		q, err := url.ParseQuery(x.request.URL.RawQuery)
		if err != nil {
			return fault.Wrap(err, fault.Serialization, "The query string could not be read.")
		}
		for i := range s.query {
			m := &s.query[i]
			if vs := q[m.name]; len(vs) > 0 {
				if err := setScalar(v.FieldByIndex(m.index), m.name, vs[0]); err != nil {
					return err
				}
			}
		}
	}
	for i := range s.headers {
		m := &s.headers[i]
		t := x.request.Header.Get(m.name)
		if vs := x.request.Header.Values(m.name); len(vs) > 1 { // one list in several lines: RFC 9110, section 5.3
			t = strings.Join(vs, ",")
		}
		if t != "" {
			if err := setScalar(v.FieldByIndex(m.index), m.name, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// readBody decodes a JSON body. Members that are not known are ignored, as AWS ignores them; a name that comes twice,
// a value of another type than its member's, and a null in a list or map, are refused. A member that is null is absent.
func readBody(body []byte, in any) error {
	// null, and any value but an object, decodes into nothing or fails with a text about Go.
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return fault.New(fault.Serialization, "The request body is not a JSON object.")
	}
	err := json.Unmarshal(body, in)
	if err == nil {
		return refuseNulls(body, in)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fault.Wrap(err, fault.Serialization, "The request body has the member %s twice.", syntax.JSONPointer)
		}
		return fault.Wrap(err, fault.Serialization, "The request body is not valid JSON (at byte %d).", syntax.ByteOffset)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		switch semantic.JSONKind {
		case '{':
			return fault.Wrap(err, fault.Serialization, "Start of structure or map found where not expected (at %s).", semantic.JSONPointer)
		case '[':
			return fault.Wrap(err, fault.Serialization, "Start of list found where not expected (at %s).", semantic.JSONPointer)
		}
		return fault.Wrap(err, fault.Serialization, "%s cannot be converted to %s (at %s).",
			jsonKind(semantic.JSONKind), smithyType(semantic.GoType), semantic.JSONPointer)
	}
	return fault.Wrap(err, fault.Serialization, "The request body could not be read.")
}

// refuseNulls refuses a body with a null in a list or map, which decoding takes for an empty value: AWS's lists and maps
// are dense (https://smithy.io/2.0/spec/type-refinement-traits.html#sparse-trait). The body has been decoded already.
func refuseNulls(body []byte, in any) error {
	for rest := body; ; {
		i := bytes.Index(rest, []byte("null"))
		if i < 0 {
			return nil
		}
		if i > 0 && strings.IndexByte("[,: \t\r\n", rest[i-1]) >= 0 { // as in few words and no base64
			break
		}
		rest = rest[i+len("null"):]
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	if t := findNull(d, reflect.TypeOf(in)); t != nil {
		return fault.New(fault.Serialization, "NULL_VALUE cannot be converted to %s (at %s).", smithyType(t), d.StackPointer())
	}
	return nil
}

// findNull reads one value, which decodes into a t, up to the first null in a list or map, and returns the type that
// stands there; nil when there is none.
func findNull(d *jsontext.Decoder, t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	open := d.PeekKind()
	list, object := open == '[' && t.Kind() == reflect.Slice, open == '{' && (t.Kind() == reflect.Map || t.Kind() == reflect.Struct)
	if !list && !object || t == valueType || reflect.PointerTo(t).Implements(reflect.TypeFor[json.UnmarshalerFrom]()) {
		_ = d.SkipValue() // no error here or below: the body has been decoded once
		return nil
	}
	_, _ = d.ReadToken()
	for k := d.PeekKind(); k != ']' && k != '}' && k != 0; k = d.PeekKind() {
		var name jsontext.Token
		if object {
			name, _ = d.ReadToken()
		}
		var elem reflect.Type // nil for a member that is not known
		if t.Kind() == reflect.Struct {
			elem = bodyMember(t, name.String())
		} else if elem = t.Elem(); d.PeekKind() == 'n' {
			_, _ = d.ReadToken()
			return elem
		}
		if elem == nil {
			_ = d.SkipValue()
		} else if found := findNull(d, elem); found != nil {
			return found
		}
	}
	_, _ = d.ReadToken()
	return nil
}

// bodyMember returns the type of the member of that name in a body that decodes into a t, nil when there is none.
func bodyMember(t reflect.Type, name string) reflect.Type {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "" {
			if m := bodyMember(f.Type, name); m != nil {
				return m
			}
		} else if own, ok := bodyName(f); ok && own == name {
			return f.Type
		}
	}
	return nil
}

// jsonKind names a JSON value as AWS's messages do: "STRING_VALUE cannot be converted to Integer".
func jsonKind(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "NULL_VALUE"
	case 't':
		return "TRUE_VALUE"
	case 'f':
		return "FALSE_VALUE"
	case '"':
		return "STRING_VALUE"
	case '0':
		return "NUMBER_VALUE"
	}
	return "The value"
}

func smithyType(t reflect.Type) string {
	if t == nil {
		return "the member's type"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == bytesType {
		return "Blob"
	}
	switch t.Kind() {
	case reflect.String:
		return "String"
	case reflect.Bool:
		return "Boolean"
	case reflect.Int, reflect.Int32:
		return "Integer"
	case reflect.Int64:
		return "Long"
	case reflect.Float32, reflect.Float64:
		return "Double"
	case reflect.Slice:
		return "List"
	case reflect.Map:
		return "Map"
	}
	return "Structure"
}

// A buffer of an answer is pooled up to this size.
const maxPooled = 1 << 20

var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func releaseAnswer(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		answers.Put(b)
	}
}

var jsonType = []string{"application/json"}

// answer writes out, a pointer to the operation's output.
func (x *exchange) answer(out any) error {
	s, h := x.op.out, x.Header
	v := reflect.ValueOf(out).Elem()
	buf := answers.Get().(*bytes.Buffer)
	defer releaseAnswer(buf)
	body, status := nothingRead, cmp.Or(x.op.Status, http.StatusOK)
	contentType := jsonType
	switch {
	case x.service.Protocol == AWSQuery:
		x.encodeXML(buf, v)
		body, contentType = buf.Bytes(), xmlType
	case s.payload != nil:
		body = v.FieldByIndex(s.payload).Bytes()
	case x.op.appends:
		buf.Write(out.(Appender).AppendJSON(buf.AvailableBuffer()))
		body = buf.Bytes()
	case len(s.body) > 0:
		opts := writeJSON
		if s.times {
			opts = writeISO
			if x.service.Protocol == AWSJSON11 {
				opts = writeEpoch
			}
		}
		if err := json.MarshalWrite(buf, out, opts); err != nil {
			return err
		}
		body = buf.Bytes()
	}
	if x.service.Protocol == AWSJSON11 {
		contentType = json11Type
	}
	h["Content-Type"] = contentType
	for i := range s.headers {
		if t, ok := scalarText(v.FieldByIndex(s.headers[i].index)); ok && t != "" {
			h.Set(s.headers[i].name, t)
		}
	}
	if s.status != nil {
		status = cmp.Or(int(v.FieldByIndex(s.status).Int()), status)
	}
	if err := x.recordAnswer(v); err != nil {
		return err
	}
	x.write(status, body)
	return nil
}

// labels are the path labels of one request: few, and mostly one.
type labels []label

type label struct{ name, value string }

func (ls labels) get(name string) string {
	for i := range ls {
		if ls[i].name == name {
			return ls[i].value
		}
	}
	return ""
}

// decodeLabel decodes one label of an escaped path. Clients send an ARN or an id raw, encoded, or encoded twice: what is
// still encoded after one decoding is decoded once more. No ARN and no id of AWS's holds a percent sign of its own.
func decodeLabel(escaped string) (string, bool) {
	if strings.IndexByte(escaped, '%') < 0 {
		return escaped, true
	}
	s, err := url.PathUnescape(escaped)
	if err != nil {
		return "", false
	}
	if encodedSeparator(s) {
		if t, err := url.PathUnescape(s); err == nil {
			return t, true
		}
	}
	return s, true
}

// encodedSeparator reports whether s holds an encoded colon or slash.
func encodedSeparator(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && (s[i+1] == '3' && s[i+2]|0x20 == 'a' || s[i+1] == '2' && s[i+2]|0x20 == 'f') {
			return true
		}
	}
	return false
}

func setLength(h http.Header, n int) { h["Content-Length"] = []string{strconv.Itoa(n)} }
