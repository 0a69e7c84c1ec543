package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// A shape is how one input or output type travels: which member comes from where, and what is checked. It is made once,
// when its operation is, so that a request reflects over nothing but values.
type shape struct {
	typ     reflect.Type
	body    []member // members of the body
	labels  []member
	query   []member
	headers []member
	payload []int // the index of the payload member, nil without one
	status  []int // the index of the status member, nil without one
	times   bool  // a time.Time somewhere in the body
	rules   *structRules
	tree    *node // AWSQuery: how it travels in a form or in XML
}

// A member is one field that travels.
type member struct {
	name  string
	index []int
	typ   reflect.Type
}

type direction bool

const (
	input  direction = false
	output direction = true
)

var (
	timeType  = reflect.TypeFor[time.Time]()
	valueType = reflect.TypeFor[jsontext.Value]()
	bytesType = reflect.TypeFor[[]byte]()
)

func shapeOf(t reflect.Type, d direction) (*shape, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is not a struct", t)
	}
	s := &shape{typ: t}
	var errs []error
	s.members(t, nil, d, &errs)
	s.times = holdsTime(t, map[reflect.Type]bool{})
	if d == input {
		if s.times {
			errs = append(errs, fmt.Errorf("%v: a time is not read yet, only written", t))
		}
		r, err := rulesOf(t)
		s.rules = r
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

func (s *shape) members(t reflect.Type, prefix []int, d direction, errs *[]error) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), prefix...), i)
		fail := func(format string, args ...any) {
			*errs = append(*errs, fmt.Errorf("%v.%s: %s", t, f.Name, fmt.Sprintf(format, args...)))
		}
		jsonName, inBody := bodyName(f)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "" {
			s.members(f.Type, index, d, errs)
			continue
		}
		if !f.IsExported() {
			continue
		}
		var places []string
		for _, k := range []string{"uri", "query", "header", "payload", "status"} {
			if _, ok := f.Tag.Lookup(k); ok {
				places = append(places, k)
			}
		}
		if inBody {
			places = append(places, "json")
		}
		switch {
		case len(places) == 0:
			fail("no tag says where the member travels")
			continue
		case len(places) > 1:
			fail(`it travels in %s at once; a member outside the body carries json:"-" as well`, strings.Join(places, " and "))
			continue
		}
		m := member{name: f.Tag.Get(places[0]), index: index, typ: f.Type}
		switch places[0] {
		case "json":
			m.name = jsonName
			s.body = append(s.body, m)
			continue
		case "uri":
			if d == output {
				fail("an output has no labels")
			}
			if f.Type.Kind() != reflect.String {
				fail("a label is a string")
			}
			s.labels = append(s.labels, m)
		case "query":
			if d == output {
				fail("an output has no query")
			}
			s.query = append(s.query, m)
		case "header":
			s.headers = append(s.headers, m)
		case "payload":
			if f.Type != bytesType {
				fail("a payload is a []byte")
			}
			if s.payload != nil {
				fail("a second payload")
			}
			s.payload = index
			continue
		case "status":
			if d == input || f.Type.Kind() != reflect.Int {
				fail("a status is an output's int")
			}
			s.status = index
			continue
		}
		if m.name == "" {
			fail("%s has no name", places[0])
		}
		if !isScalar(f.Type) {
			fail("%s does not carry a %v", places[0], f.Type)
		}
	}
	if s.payload != nil && len(s.body) > 0 && prefix == nil {
		*errs = append(*errs, fmt.Errorf("%v: a payload is the whole body, there can be no json members beside it", t))
	}
}

// bodyName returns the name that f has in a body, and whether it has one.
func bodyName(f reflect.StructField) (string, bool) {
	tag, ok := f.Tag.Lookup("json")
	name, _, _ := strings.Cut(tag, ",")
	return name, ok && tag != "-" && name != ""
}

func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return true
	}
	return false
}

func holdsTime(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsTime(t.Elem(), seen)
	case reflect.Map:
		return holdsTime(t.Elem(), seen)
	case reflect.Struct:
		if t == timeType {
			return true
		}
		for i := range t.NumField() {
			if holdsTime(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// setScalar puts text into v, a scalar or a pointer to one.
func setScalar(v reflect.Value, name, text string) error {
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		v = p.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text { // nothing else, not "1" or "True": Smithy's malformed-boolean cases
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fault.New(fault.Serialization, "The value of %s is not a boolean.", name)
		}
	default:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fault.New(fault.Serialization, "The value of %s is not an integer of %d bits.", name, v.Type().Bits())
		}
		v.SetInt(n)
	}
	return nil
}

// scalarText is the text of v, a scalar or a pointer to one; ok is false for what is absent.
func scalarText(v reflect.Value) (text string, ok bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", false
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	default:
		return strconv.FormatInt(v.Int(), 10), true
	}
}

// The options of each protocol's JSON. Text that is not UTF-8 cannot be read, but is mended where it is written: a model
// may cut a character in two. The variants with times are apart because looking a type up costs every value something.
var (
	writeJSON   = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	writeISO    = json.JoinOptions(writeJSON, json.WithMarshalers(json.MarshalToFunc(writeISOTime)))
	writeEpoch  = json.JoinOptions(writeJSON, json.WithMarshalers(json.MarshalToFunc(writeEpochTime)))
	nothingRead = []byte("{}")
)

// writeISOTime writes what AWS does: 2024-11-04T17:49:37.317261Z, without a fraction where there is none.
func writeISOTime(e *jsontext.Encoder, t time.Time) error {
	b := make([]byte, 0, 40)
	b = append(b, '"')
	b = t.UTC().Truncate(time.Microsecond).AppendFormat(b, time.RFC3339Nano)
	return e.WriteValue(append(b, '"'))
}

// writeEpochTime writes seconds since 1970 with at most three decimals, as json-1.1 has them.
func writeEpochTime(e *jsontext.Encoder, t time.Time) error {
	return e.WriteValue(appendEpoch(make([]byte, 0, 24), t))
}

func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	return b
}
