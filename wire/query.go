package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The query protocol: a form comes in, XML goes out. A list is Name.member.1, Name.member.2, ... and
// <Name><member>...</member></Name>; a structure's members follow its name after a dot, or stand in its element; a map, which
// only goes out, is <entry><key>...</key><value>...</value></entry>. A time is written in whole seconds, as IAM and STS do.
//
// What is nil, and a zero value whose json tag says omitzero, is not written; everything else is, an empty string too.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html

var (
	xmlType    = []string{"text/xml"}
	json11Type = []string{"application/x-amz-json-1.1"}
)

// A node is how a type travels.
type node struct {
	kind   nodeKind
	elem   *node   // of a list or a map
	fields []field // of a structure
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	timeNode
	listNode
	mapNode
	structNode
)

type field struct {
	member
	omit bool
	node *node
}

// queryNode makes the node of a structure; made has those that are made already, since a type may hold itself.
func queryNode(t reflect.Type, d direction, made map[reflect.Type]*node) (*node, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n := made[t]; n != nil {
		return n, nil
	}
	n := &node{}
	made[t] = n
	var err error
	switch {
	case isScalar(t):
	case t == timeType && d == output:
		n.kind = timeNode
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		n.kind = listNode
		n.elem, err = queryNode(t.Elem(), d, made)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && d == output:
		n.kind = mapNode
		n.elem, err = queryNode(t.Elem(), d, made)
	case t.Kind() == reflect.Struct && t != timeType:
		n.kind = structNode
		for _, f := range reflect.VisibleFields(t) {
			name, ok := bodyName(f)
			if !ok || !f.IsExported() {
				continue
			}
			sub, err := queryNode(f.Type, d, made)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			n.fields = append(n.fields, field{member{name, f.Index, f.Type}, strings.Contains(f.Tag.Get("json"), ",omitzero"), sub})
		}
	default:
		err = fmt.Errorf("the query protocol does not carry a %v yet", t)
	}
	return n, err
}

// formValues is what came, with its names in order.
type formValues struct {
	values url.Values
	names  []string
}

func readForm(values url.Values) *formValues {
	return &formValues{values, slices.Sorted(maps.Keys(values))}
}

// has reports whether name, or anything below it, is there.
func (f *formValues) has(name string) bool {
	if _, ok := f.values[name]; ok {
		return true
	}
	i, _ := slices.BinarySearch(f.names, name+".")
	return i < len(f.names) && strings.HasPrefix(f.names[i], name+".")
}

// fill puts what stands under name into v. The structure of the whole form has the name "".
func (f *formValues) fill(v reflect.Value, n *node, name string) error {
	if v.Kind() == reflect.Pointer && n.kind != scalarNode {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch n.kind {
	case listNode:
		v.Set(reflect.MakeSlice(v.Type(), 0, 1)) // an empty list comes as "Name="
		for i := 1; ; i++ {
			at := name + ".member." + strconv.Itoa(i)
			if !f.has(at) {
				return nil
			}
			v.Grow(1)
			v.SetLen(i)
			if err := f.fill(v.Index(i-1), n.elem, at); err != nil {
				return err
			}
		}
	case structNode:
		if name != "" {
			name += "."
		}
		for i := range n.fields {
			m := &n.fields[i]
			if at := name + m.name; f.has(at) {
				if err := f.fill(v.FieldByIndex(m.index), m.node, at); err != nil {
					return err
				}
			}
		}
	default:
		if vs := f.values[name]; len(vs) > 0 {
			return setScalar(v, name, vs[0])
		}
	}
	return nil
}

// encodeXML writes <XResponse><XResult>members</XResult><ResponseMetadata>... There is no result of an operation without an
// output, whose Out is struct{}.
func (x *exchange) encodeXML(b *bytes.Buffer, out reflect.Value) {
	name := x.op.Name
	b.WriteString("<" + name + `Response xmlns="` + x.service.Namespace + `">`)
	if x.op.out.typ != reflect.TypeFor[struct{}]() {
		x.op.out.tree.write(b, out, name+"Result")
	}
	b.WriteString("<ResponseMetadata><RequestId>" + x.ID + "</RequestId></ResponseMetadata></" + name + "Response>\n")
}

// write writes v as the element name.
func (n *node) write(b *bytes.Buffer, v reflect.Value, name string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	b.WriteString("<" + name + ">")
	switch n.kind {
	case timeNode:
		b.Write(v.Interface().(time.Time).UTC().AppendFormat(b.AvailableBuffer(), "2006-01-02T15:04:05Z"))
	case listNode:
		for i := range v.Len() {
			n.elem.write(b, v.Index(i), "member")
		}
	case mapNode:
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			b.WriteString("<entry><key>")
			xml.EscapeText(b, []byte(k.String())) // a bytes.Buffer takes everything
			b.WriteString("</key>")
			n.elem.write(b, v.MapIndex(k), "value")
			b.WriteString("</entry>")
		}
	case structNode:
		for i := range n.fields {
			m := &n.fields[i]
			if fv := v.FieldByIndex(m.index); !m.omit || !fv.IsZero() {
				m.node.write(b, fv, m.name)
			}
		}
	default:
		text, _ := scalarText(v)
		xml.EscapeText(b, []byte(text))
	}
	b.WriteString("</" + name + ">")
}
