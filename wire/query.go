package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"reflect"
)

// The query protocol carries scalars in and out: what the operations of today need.
// checkForm and checkXML refuse anything else when the server is made.

var (
	xmlType    = []string{"text/xml"}
	json11Type = []string{"application/x-amz-json-1.1"}
)

func (s *shape) checkForm() error {
	for _, m := range s.body {
		if !isScalar(m.typ) {
			return fmt.Errorf("%s: the query protocol does not read a %v yet", m.name, m.typ)
		}
	}
	return nil
}

func (s *shape) checkXML() error {
	for _, m := range s.body {
		if !isScalar(m.typ) {
			return fmt.Errorf("%s: the query protocol does not write a %v yet", m.name, m.typ)
		}
	}
	return nil
}

func (s *shape) decodeForm(v reflect.Value, form url.Values) error {
	for i := range s.body {
		m := &s.body[i]
		if vs := form[m.name]; len(vs) > 0 {
			if err := setScalar(v.FieldByIndex(m.index), m.name, vs[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// encodeXML writes <XResponse><XResult>members</XResult><ResponseMetadata>...
func (x *exchange) encodeXML(b *bytes.Buffer, out reflect.Value) {
	name := x.op.Name
	b.WriteString("<" + name + `Response xmlns="` + x.service.Namespace + `"><` + name + "Result>")
	for i := range x.op.out.body {
		m := &x.op.out.body[i]
		if text, ok := scalarText(out.FieldByIndex(m.index)); ok && text != "" {
			b.WriteString("<" + m.name + ">")
			xml.EscapeText(b, []byte(text)) // a bytes.Buffer takes everything
			b.WriteString("</" + m.name + ">")
		}
	}
	b.WriteString("</" + name + "Result><ResponseMetadata><RequestId>" + x.ID + "</RequestId></ResponseMetadata></" + name + "Response>\n")
}
