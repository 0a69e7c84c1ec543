package checker

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestExtraneous: however many members there are, and however long their names, the answer is short.
func TestExtraneous(t *testing.T) {
	for rest, want := range map[string][]string{
		"":                       nil,
		`{}`:                     nil,
		`{"k":1}`:                nil,
		`{"a":1,"k":{},"b":[2]}`: {"#/x: extraneous key [a] is not permitted", "#/x: extraneous key [b] is not permitted"},
	} {
		if got := Extraneous("#/x", jsontext.Value(rest), "k"); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", rest, got, want)
		}
	}
	many := strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("n", 1000)+`":1,`, 1000), ",")
	got := Extraneous("#", jsontext.Value("{"+many+"}"))
	if len(got) != 10 || len(got[9]) > 200 {
		t.Errorf("%d violations, the last of %d bytes", len(got), len(got[9]))
	}
}

func TestWithin(t *testing.T) {
	for v, want := range map[float64]string{0.01: "", 0.99: "", 0: "#/p: 0 is not greater or equal to 0.01", 1e9: "#/p: 1e+09 is not less or equal to 0.99"} {
		if got := strings.Join(Within("#/p", &v, 0.01, 0.99), ""); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := Within("#/p", nil, 0.01, 0.99); got != nil {
		t.Errorf("%q", got)
	}
}
