package converse

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotObject is the error of EachMember for a text that is no JSON object.
var ErrNotObject = errors.New("not a JSON object")

// EachMember calls f with each member of object, in order, and stops at the first error of f, which it returns. It returns
// ErrNotObject where object is none; an empty text has no members. A name may come twice: who wrote the object may be
// lax, and what becomes of it is its reader's to say. The options say what more the reader allows. The value is object's own
// text.
func EachMember(object jsontext.Value, f func(name string, v jsontext.Value) error, options ...jsontext.Options) error {
	if len(bytes.TrimSpace(object)) == 0 {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(object), append(options, jsontext.AllowDuplicateNames(true))...) // which reads object where it is
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ErrNotObject
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return ErrNotObject
		}
		name := t.String()
		v, err := d.ReadValue()
		if err != nil {
			return ErrNotObject
		}
		if err := f(name, v); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return ErrNotObject
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return ErrNotObject
	}
	return nil
}

// Object is a JSON object that is put together member by member. The zero value has none; one that has some may be added to.
type Object jsontext.Value

// Add adds a member behind those that there are.
func (o *Object) Add(name string, v jsontext.Value) {
	b := bytes.TrimSpace(*o)
	if len(b) <= len("{}") {
		b = append(b[:0], '{')
	} else {
		b[len(b)-1] = ','
	}
	b = AppendQuote(b, name)
	*o = append(append(append(b, ':'), v...), '}')
}

// Value returns the object, nil where it has no members.
func (o Object) Value() jsontext.Value {
	if len(o) <= len("{}") {
		return nil
	}
	return jsontext.Value(o)
}
