// Package checker has the words of Bedrock's schema checker, which is the first to see an InvokeModel body, whoever's
// format it is in: "Malformed input request: #/texts: expected type: JSONArray, found: String, please reformat your input
// and try again."
package checker

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// Refuse returns the fault.Validation of a body that does not fit its model's schema. The checker reports all that it
// finds, one after the other: "#: required key [prompt] not found#: extraneous key [messages] is not permitted".
func Refuse(violations ...string) error {
	return fault.New(fault.Validation, "%s", "Malformed input request: "+strings.Join(violations, "")+", please reformat your input and try again.")
}

// Within returns the violation of a number that is not of least to most, none for nil. path is the checker's, as
// "#/temperature".
func Within(path string, v *float64, least, most float64) (violations []string) {
	text := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	switch {
	case v == nil:
	case *v < least:
		return []string{path + ": " + text(*v) + " is not greater or equal to " + text(least)}
	case *v > most:
		return []string{path + ": " + text(*v) + " is not less or equal to " + text(most)}
	}
	return nil
}

// Extraneous returns the violations of the members of rest, those of the object at path that have no place of their own,
// but for the known. It names the first ten of them, and of each name the first 100 bytes.
func Extraneous(path string, rest jsontext.Value, known ...string) (violations []string) {
	if len(rest) <= len("{}") {
		return nil
	}
	_ = converse.EachMember(rest, func(name string, _ jsontext.Value) error {
		if len(violations) < 10 && !slices.Contains(known, name) {
			violations = append(violations, path+": extraneous key ["+name[:min(len(name), 100)]+"] is not permitted")
		}
		return nil
	}) // it was read as an object
	return violations
}

// NotRead puts an error of the JSON decoder in the checker's words. A *fault.Error in it, of a member that reads itself,
// is returned as it is.
func NotRead(err error) error {
	var e *json.SemanticError
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &e) && errors.Is(e.Err, json.ErrUnknownName):
		return Refuse("#" + string(e.JSONPointer.Parent()) + ": extraneous key [" + e.JSONPointer.LastToken() + "] is not permitted")
	case errors.As(err, &e) && e.GoType != nil && e.JSONKind == '"' && e.GoType == bytesType:
		return Refuse("#" + string(e.JSONPointer) + ": the value is not valid base64")
	case errors.As(err, &e) && e.GoType != nil && e.JSONKind != 0:
		return Refuse("#" + string(e.JSONPointer) + ": expected type: " + TypeName(e.GoType) + ", found: " + KindName(e.JSONKind))
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return Refuse("Unexpected end of input")
	}
	return fault.Wrap(err, fault.Validation, "Malformed input request, please reformat your input and try again.")
}

var bytesType = reflect.TypeFor[[]byte]()

// TypeName is what the checker calls the JSON type that a Go type is read from.
func TypeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == bytesType {
		return "String" // base64
	}
	switch t.Kind() {
	case reflect.String:
		return "String"
	case reflect.Bool:
		return "Boolean"
	case reflect.Int:
		return "Integer"
	case reflect.Float64:
		return "Number"
	case reflect.Slice:
		return "JSONArray"
	}
	return "JSONObject"
}

// KindName is what the checker calls a JSON value.
func KindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "String"
	case '0':
		return "Number"
	case 't', 'f':
		return "Boolean"
	case '[':
		return "JSONArray"
	case '{':
		return "JSONObject"
	}
	return "Null"
}
