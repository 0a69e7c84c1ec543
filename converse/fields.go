package converse

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// Fields gathers additionalModelResponseFields from a vendor's answer.
type Fields struct {
	Paths []string // additionalModelResponseFieldPaths: JSON pointers (RFC 6901), as Check has seen them

	found []jsontext.Value // by path, nil where it has led nowhere yet
}

// Look takes from v, the answer or a chunk of it, what the paths lead to. Of what several chunks have, the latest counts,
// unless it is a null.
func (f *Fields) Look(v jsontext.Value) {
	if len(f.Paths) == 0 {
		return
	}
	if f.found == nil {
		f.found = make([]jsontext.Value, len(f.Paths))
	}
	for i, path := range f.Paths {
		if !strings.HasPrefix(path, "/") {
			continue
		}
		if at, ok := follow(v, reference(path)); ok && (f.found[i] == nil || at.Kind() != 'n') {
			f.found[i] = at.Clone()
		}
	}
}

// Value returns what was found: one object, in which each value stands at its path. A path that leads nowhere is left out,
// as Bedrock ignores it; nil is none that leads anywhere.
func (f *Fields) Value() jsontext.Value {
	if f.found == nil {
		return nil
	}
	tree := map[string]any{}
	for i := range f.found {
		if f.found[i] != nil {
			put(tree, reference(f.Paths[i]), f.found[i])
		}
	}
	if len(tree) == 0 {
		return nil
	}
	b, err := json.Marshal(tree, json.Deterministic(true), lenient)
	if err != nil {
		return nil // the values were read as JSON
	}
	return b
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// checkFieldPaths refuses what is no JSON pointer, or leads to the whole answer: "Converse and ConverseStream reject an
// empty JSON Pointer or incorrectly structured JSON Pointer with a 400 error code", says the service model.
func checkFieldPaths(paths []string) error {
	for i, path := range paths {
		ok := strings.HasPrefix(path, "/")
		for rest := path; ok; {
			var found bool
			if _, rest, found = strings.Cut(rest, "~"); !found {
				break
			}
			ok = strings.HasPrefix(rest, "0") || strings.HasPrefix(rest, "1")
		}
		if !ok {
			return fault.New(fault.Validation, "The value at additionalModelResponseFieldPaths.%d is not a valid JSON Pointer. Provide a JSON Pointer that begins with / and try again.", i)
		}
	}
	return nil
}

// reference takes a JSON pointer apart.
func reference(path string) []string {
	at := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range at {
		at[i] = unescape.Replace(at[i])
	}
	return at
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// follow goes down v, without a copy of what it passes by. What it returns is a part of v.
func follow(v jsontext.Value, at []string) (jsontext.Value, bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(v), lenient) // which reads a Buffer's bytes where they are
	for _, name := range at {
		if !enter(d, name) {
			return nil, false
		}
	}
	found, err := d.ReadValue()
	return found, err == nil
}

// enter brings d to that member of the object, or element of the array, that comes next.
func enter(d *jsontext.Decoder, name string) bool {
	index := -1
	t, err := d.ReadToken()
	switch {
	case err != nil:
		return false
	case t.Kind() == '[':
		if index, err = strconv.Atoi(name); err != nil || strconv.Itoa(index) != name || index < 0 {
			return false
		}
	case t.Kind() != '{':
		return false
	}
	for i := 0; ; i++ {
		switch k := d.PeekKind(); {
		case k == '}', k == ']', k == 0:
			return false
		case index >= 0:
			if i == index {
				return true
			}
		default:
			member, err := d.ReadToken()
			if err != nil {
				return false
			}
			if member.String() == name {
				return true
			}
		}
		if d.SkipValue() != nil {
			return false
		}
	}
}

// put puts value into the tree, unless it is in there with what is around it.
func put(tree map[string]any, at []string, value jsontext.Value) {
	for _, name := range at[:len(at)-1] {
		switch below := tree[name].(type) {
		case map[string]any:
			tree = below
		case nil:
			made := map[string]any{}
			tree[name] = made
			tree = made
		default:
			return
		}
	}
	tree[at[len(at)-1]] = value
}
