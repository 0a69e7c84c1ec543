package converse

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// sameQuote holds AppendQuote against jsontext's, byte for byte but for two escapes that it writes the long way.
func sameQuote(t *testing.T, s string) {
	t.Helper()
	got := AppendQuote([]byte("x"), s)
	want, _ := jsontext.AppendQuote([]byte("x"), s) // its error says that s has invalid UTF-8, which it has replaced
	short := strings.NewReplacer(`\\`, `\\`, `\u0008`, `\b`, `\u000c`, `\f`).Replace(string(got))
	if short != string(want) {
		t.Errorf("%q gives %s\nwant %s", s, got, want)
	}
	var back string
	if err := json.Unmarshal(got[1:], &back); err != nil {
		t.Errorf("%q gives %s: %v", s, got, err)
	}
}

func TestAppendQuote(t *testing.T) {
	// Every byte, at every place of a word of eight and of what is left after it.
	for c := range 256 {
		for at := range 20 {
			b := []byte(strings.Repeat("a", 20))
			b[at] = byte(c)
			sameQuote(t, string(b))
		}
	}
	for _, s := range []string{"", "héllo wörld, grüße", "日本語のテキスト", "\u2028\u2029\u007f", "a\xffb\xc3", "\xe6\x97", strings.Repeat("\"\\\n", 50), "\xed\xa0\x80", "😀\xf0\x9f\x98"} {
		sameQuote(t, s)
	}
}

func FuzzAppendQuote(f *testing.F) {
	for _, s := range []string{"plain", "tab\there", "\x80\x81é", `back\slash "quote"`, "12345678\x1f2345678"} {
		f.Add(s)
	}
	f.Fuzz(sameQuote)
}

var prompt = strings.Repeat("Write one sentence about the weather in Paris.\n", 22)[:1024]

func BenchmarkAppendQuote(b *testing.B) {
	dst := make([]byte, 0, 2048)
	b.SetBytes(int64(len(prompt)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendQuote(dst[:0], prompt)
	}
}
