package lint

import (
	"bytes"
	"sort"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A node is a value of the document with its place. Package policy keeps of a document what it decides by; here every
// part has to be shown.
type node struct {
	kind       jsontext.Kind
	start, end int    // bytes
	text       string // of a string, a number, a boolean
	members    []member
	items      []*node
	path       []PathElement
}

type member struct {
	name       string
	start, end int // of the name
	value      *node
}

// get returns the value of an object's member, nil where it has none of that name.
func (n *node) get(name string) *node {
	if n != nil {
		for i := range n.members {
			if n.members[i].name == name {
				return n.members[i].value
			}
		}
	}
	return nil
}

// list returns the strings, numbers and booleans that a value or a list of values is.
func (n *node) list() []*node {
	switch {
	case n == nil:
		return nil
	case n.scalar():
		return []*node{n}
	}
	var out []*node
	for _, v := range n.items {
		if v.scalar() {
			out = append(out, v)
		}
	}
	return out
}

func (n *node) scalar() bool { return n.kind == '"' || n.kind == '0' || n.kind == 't' || n.kind == 'f' }

// strings returns the texts of list.
func (n *node) strings() []string {
	var out []string
	for _, v := range n.list() {
		out = append(out, v.text)
	}
	return out
}

// document is the text with what places are told by.
type document struct {
	text  []byte
	lines []place // where each line begins
	marks []int   // how many characters begin before each stride of bytes
}

type place struct{ bytes, characters int }

const stride = 256

func newDocument(text []byte) *document {
	d := &document{text: text, lines: []place{{}}}
	n := 0
	for i, c := range text {
		if i%stride == 0 {
			d.marks = append(d.marks, n)
		}
		if begins(c) {
			n++
		}
		if c == '\n' {
			d.lines = append(d.lines, place{i + 1, n})
		}
	}
	d.marks = append(d.marks, n)
	return d
}

// begins reports whether a byte begins a character.
func begins(c byte) bool { return c&0xC0 != 0x80 }

// characters counts those that begin before a byte.
func (d *document) characters(at int) int {
	n := d.marks[at/stride]
	for _, c := range d.text[at/stride*stride : at] {
		if begins(c) {
			n++
		}
	}
	return n
}

// position is where a byte is.
func (d *document) position(at int) Position {
	at = min(max(at, 0), len(d.text))
	i := sort.Search(len(d.lines), func(i int) bool { return d.lines[i].bytes > at }) - 1
	offset := d.characters(at)
	return Position{Line: i + 1, Column: offset - d.lines[i].characters, Offset: offset}
}

// byteAt is where a character begins.
func (d *document) byteAt(offset int) int {
	return sort.Search(len(d.text), func(at int) bool { return d.characters(at+1) > offset })
}

// byteOf is the byte of a line and column, both from 1.
func (d *document) byteOf(line, column int) int {
	return d.byteAt(d.lines[min(max(line, 1), len(d.lines))-1].characters + column - 1)
}

// tree reads the document's value, nil where it is no JSON.
func (d *document) tree() *node {
	dec := jsontext.NewDecoder(bytes.NewReader(d.text))
	return d.value(dec, nil)
}

// next is where the next token begins.
func (d *document) next(dec *jsontext.Decoder) int {
	at := int(dec.InputOffset())
	for at < len(d.text) && strings.IndexByte(" \t\r\n,:", d.text[at]) >= 0 {
		at++
	}
	return at
}

// maxDepth is how deep the tree is: deeper than any policy.
const maxDepth = 16

func (d *document) value(dec *jsontext.Decoder, path []PathElement) *node {
	n := &node{start: d.next(dec), path: path}
	if len(path) > maxDepth {
		n.kind = dec.PeekKind()
		if dec.SkipValue() != nil {
			return nil
		}
		n.end = int(dec.InputOffset())
		return n
	}
	t, err := dec.ReadToken()
	if err != nil {
		return nil
	}
	n.kind = t.Kind()
	switch n.kind {
	case '{':
		for dec.PeekKind() != '}' {
			m := member{start: d.next(dec)}
			name, err := dec.ReadToken()
			if err != nil {
				return nil
			}
			m.name, m.end = name.String(), int(dec.InputOffset())
			if m.value = d.value(dec, under(path, PathElement{Value: &m.name})); m.value == nil {
				return nil
			}
			n.members = append(n.members, m)
		}
	case '[':
		for dec.PeekKind() != ']' {
			i := len(n.items)
			item := d.value(dec, under(path, PathElement{Index: &i}))
			if item == nil {
				return nil
			}
			n.items = append(n.items, item)
		}
	default:
		n.text = t.String()
		n.end = int(dec.InputOffset())
		return n
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil
	}
	n.end = int(dec.InputOffset())
	return n
}

func under(path []PathElement, e PathElement) []PathElement {
	return append(path[:len(path):len(path)], e)
}
