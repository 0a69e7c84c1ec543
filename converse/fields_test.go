package converse

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestFields has the document and the pointers of RFC 6901, section 5.
func TestFields(t *testing.T) {
	const document = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`
	for path, want := range map[string]string{
		"/foo": `{"foo":["bar","baz"]}`, "/foo/0": `{"foo":{"0":"bar"}}`, "/foo/1": `{"foo":{"1":"baz"}}`, "/": `{"":0}`, "/a~1b": `{"a/b":1}`, "/c%d": `{"c%d":2}`, "/e^f": `{"e^f":3}`,
		"/g|h": `{"g|h":4}`, `/i\j`: `{"i\\j":5}`, `/k"l`: `{"k\"l":6}`, "/ ": `{" ":7}`, "/m~0n": `{"m~n":8}`,
		"/foo/2": "", "/foo/-": "", "/foo/-1": "", "/foo/01": "", "/foo/+1": "", "/foo/bar": "", "/foo/0/0": "", "/m~1n": "", "foo": "", "": "",
	} {
		f := Fields{Paths: []string{path}}
		f.Look(jsontext.Value(document))
		if got := string(f.Value()); got != want {
			t.Errorf("%q gives %s, want %s", path, got, want)
		}
	}
}

// FuzzFields: what is found is JSON, whatever a server answers and a caller asks for.
func FuzzFields(f *testing.F) {
	f.Add("/a/0", "/a", []byte(`{"a":[1,{"b":null}]}`), []byte(`{"a":{"0":2}}`))
	f.Add("/a~1b/c", "/a~1b/c/d", []byte(`{"a/b":{"c":{"d":"\ud800"}}}`), []byte(`{"a":`))
	f.Fuzz(func(t *testing.T, one, two string, first, second []byte) {
		paths := []string{one, two}
		if checkFieldPaths(paths) != nil {
			return
		}
		fields := Fields{Paths: paths}
		fields.Look(first)
		fields.Look(second)
		if v := fields.Value(); v != nil && (v.Kind() != '{' || !v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))) {
			t.Errorf("%q gives %q", paths, v)
		}
	})
}
