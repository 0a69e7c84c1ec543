package openai

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// sameAsJSONText reads the first value of data as jsontext does, and the text of a string.
func sameAsJSONText(t *testing.T, data []byte) {
	t.Helper()
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	want, wantErr := dec.ReadValue()
	s := scanner{b: data}
	got, err := s.value()
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
		t.Fatalf("%.200q: %.200q, %v; jsontext has %.200q, %v", data, got, err, want, wantErr)
	}
	if err != nil || want.Kind() != '"' {
		return
	}
	s.i = 0
	text, err := s.text()
	unquoted, _ := jsontext.AppendUnquote(nil, want)
	if err != nil || text != string(unquoted) {
		t.Fatalf("%q says %q, %v; want %q", want, text, err, unquoted)
	}
}

func TestScanner(t *testing.T) {
	for _, s := range []string{
		``, ` `, `{}`, `[]`, `{"a":1}`, ` { "a" : [ 1 , 2 ] , "a" : { } } x`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{1:2}`, `[1,]`, `[,1]`, `[1 2]`, `[`, `{`, `{"a":1`, `[1}`, `}`, `,`, `:`,
		`0`, `-0`, `00`, `01`, `1.`, `1.5`, `.5`, `-`, `+1`, `1e5`, `1E+5`, `1e-`, `1e`, `-1.5e-10`, `[1e5]`, `1x`, `NaN`,
		`true`, `tru`, `trueish`, `false`, `null`, `nul`, `True`,
		`""`, `"`, `"a`, `"a\"b"`, `"\\"`, `"\`, `"\x"`, `"\/\b\f\n\r\t"`, `"\u0041"`, `"\u00"`, `"\u00g0"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00x"`, `"\uD83D\u0041"`,
		"\"a\tb\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\"é😀\"", "\"\xff\"", "\"\xe6\x97\"", "\"\xed\xa0\x80\"", "\"é\\né\"",
		"\ufeff{}", "\v1", "\u00a01", "//\n1",
		strings.Repeat("[", 10_000) + "1" + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001), strings.Repeat("[", 1<<20),
	} {
		sameAsJSONText(t, []byte(s))
	}
}

// FuzzScanner: whatever a server sends is read as jsontext reads it.
func FuzzScanner(f *testing.F) {
	for _, name := range []string{"llamacpp-text.json", "llamacpp-tool.json"} {
		f.Add([]byte(file(f, name)))
	}
	f.Add([]byte(`{"a":[1,-2.5e+3,"\u00e9\ud83d\ude00\n",true,false,null,{}],"":[[]]}`))
	f.Add([]byte("\"\xff\\ud83d\""))
	f.Fuzz(sameAsJSONText)
}
