package converse

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/go-json-experiment/json"
)

// FuzzBase64: what is valid is what encoding/base64 decodes, line breaks apart; every part of it can be read; and JSON takes
// what it takes as a []byte.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "=", "====", "A", "AB==", "ABC=", "A===", "AB=C", "AAAA====", "AAAAABC=", "AAAA\nAAAA", "AAAAAAAAAA=A", "-_-_", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/"} {
		f.Add([]byte(s), 0, 3)
		f.Add([]byte(s), 49, 60)
	}
	f.Fuzz(func(t *testing.T, text []byte, from, n int) {
		want, err := base64.StdEncoding.DecodeString(string(text))
		valid := err == nil && !bytes.ContainsAny(text, "\r\n")
		if got := Base64(text).Valid(); got != valid {
			t.Fatalf("%q: valid %t", text, got)
		}
		quoted := AppendQuote(nil, string(text))
		var b Base64
		var plain []byte
		if err, plainErr := json.Unmarshal(quoted, &b), json.Unmarshal(quoted, &plain); (err == nil) != (plainErr == nil) || (err == nil) && string(b) != string(text) {
			t.Fatalf("%s: %q, %v; a []byte: %v", quoted, b, err, plainErr)
		}
		if !valid {
			return
		}
		if again, err := json.Marshal(b); err != nil || !bytes.Equal(again, []byte(`"`+string(text)+`"`)) {
			t.Fatalf("%q: written as %s, %v", text, again, err)
		}
		if from < 0 || n < 0 || n > 1<<16 {
			return
		}
		p := make([]byte, n)
		m, _ := Base64(text).ReadAt(p, int64(from))
		part := want[min(from, len(want)):]
		if part = part[:min(n, len(part))]; !bytes.Equal(p[:m], part) {
			t.Fatalf("%q from %d: %x, want %x", text, from, p[:m], part)
		}
		if !bytes.Equal(EncodeBase64(want), text) && text[len(text)-1] != '=' { // the bits before a padding may be any
			t.Fatalf("%x: %q", want, EncodeBase64(want))
		}
	})
}

func TestQuotedSize(t *testing.T) {
	for _, s := range []string{"", "plain", "a\"b\\c\nd\re\tf\x00g\x1f", "café \u2028 \U0001f600", "a very long text of more than eight bytes\x7f"} {
		if got, want := QuotedSize(s), len(AppendQuote(nil, s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
