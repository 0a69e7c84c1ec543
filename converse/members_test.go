package converse

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestObject: members stand in the order they come in, behind those of an object that there was.
func TestObject(t *testing.T) {
	for begun, want := range map[string]string{
		"":              `{"a":1,"\"":[2]}`,
		"{}":            `{"a":1,"\"":[2]}`,
		`{"b":{}}`:      `{"b":{},"a":1,"\"":[2]}`,
		" {\"b\": 0}\n": `{"b": 0,"a":1,"\"":[2]}`,
	} {
		o := Object(begun)
		o.Add("a", jsontext.Value(`1`))
		o.Add(`"`, jsontext.Value(`[2]`))
		if got := string(o.Value()); got != want {
			t.Errorf("%q becomes %s, want %s", begun, got, want)
		}
	}
	for _, none := range []Object{nil, Object(`{}`)} {
		if v := none.Value(); v != nil {
			t.Errorf("%q has the value %s", none, v)
		}
	}
}
