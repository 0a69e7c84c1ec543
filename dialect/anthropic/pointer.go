package anthropic

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// pick returns what paths, which are JSON pointers (RFC 6901), lead to in v: one object, in which each stands at its path,
// as Converse's additionalModelResponseFields has them. A path that leads nowhere is left out; nil is none that does.
func pick(paths []string, v jsontext.Value) jsontext.Value {
	if len(paths) == 0 {
		return nil
	}
	found := map[string]any{}
	for _, path := range paths {
		names, ok := strings.CutPrefix(path, "/")
		if !ok {
			continue
		}
		at := strings.Split(names, "/")
		for i := range at {
			at[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(at[i])
		}
		if value, ok := follow(v, at); ok {
			put(found, at, value)
		}
	}
	if len(found) == 0 {
		return nil
	}
	b, err := json.Marshal(found, json.Deterministic(true), lenient)
	if err != nil {
		return nil // the values were read as JSON
	}
	return b
}

func follow(v jsontext.Value, at []string) (jsontext.Value, bool) {
	for _, name := range at {
		switch v.Kind() {
		case '{':
			var members map[string]jsontext.Value
			if json.Unmarshal(v, &members, lenient) != nil {
				return nil, false
			}
			v = members[name]
		case '[':
			var elements []jsontext.Value
			i, err := strconv.Atoi(name)
			if err != nil || json.Unmarshal(v, &elements, lenient) != nil || i < 0 || i >= len(elements) {
				return nil, false
			}
			v = elements[i]
		default:
			return nil, false
		}
	}
	return v, len(v) > 0
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
