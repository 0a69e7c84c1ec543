package converse

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTokenLen(t *testing.T) {
	for _, c := range []struct {
		text   string
		tokens []string
	}{
		{"", nil},
		{"Hello, world!", []string{"Hello", ",", " world", "!"}},
		{"internationalization", []string{"internat", "ionaliza", "tion"}},
		{" 1234567", []string{" 123", "456", "7"}},
		{"a\n\n  b", []string{"a", "\n\n ", " b"}},
		{"日本語 です", []string{"日", "本", "語", " で", "す"}},
		{"Grüße", []string{"Grüße"}},
		{"\xff\xfe", []string{"\xff", "\xfe"}},
		{" ", []string{" "}},
		{"x  ", []string{"x", "  "}},
	} {
		var got []string
		for s := c.text; s != ""; {
			n := TokenLen(s)
			got = append(got, s[:n])
			s = s[n:]
		}
		if len(got) != len(c.tokens) {
			t.Errorf("%q: %q, want %q", c.text, got, c.tokens)
			continue
		}
		for i := range got {
			if got[i] != c.tokens[i] {
				t.Errorf("%q: %q, want %q", c.text, got, c.tokens)
				break
			}
		}
		if n := EstimateTokens(c.text); n != int64(len(c.tokens)) {
			t.Errorf("%q: %d tokens, want %d", c.text, n, len(c.tokens))
		}
	}
}

// TestEstimateAgainstTokenizers holds the estimate to what the package promises: within 30 percent of published
// tokenizers. The counts are those of gpt-tokenizer 4.0.0 (o200k_base, cl100k_base), llama3-tokenizer-js 1.2.0 and
// mistral-tokenizer-js 1.0.0, each without marks of begin and end, and @anthropic-ai/tokenizer 0.0.4 (Claude 2's, the last that
// was published).
func TestEstimateAgainstTokenizers(t *testing.T) {
	for file, counts := range map[string]map[string]float64{
		"english.txt":  {"o200k": 563, "cl100k": 562, "llama3": 562, "mistral": 618, "claude": 577},
		"japanese.txt": {"o200k": 875, "cl100k": 1124, "llama3": 837, "mistral": 1218, "claude": 1169},
		"go.txt":       {"o200k": 831, "cl100k": 843, "llama3": 843, "mistral": 1068, "claude": 966},
		"json.txt":     {"o200k": 1090, "cl100k": 1116, "llama3": 1116, "mistral": 1533, "claude": 1099},
	} {
		text, err := os.ReadFile("testdata/tokens/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range counts {
			off := float64(EstimateTokens(string(text)))/want - 1
			t.Logf("%s, %s: %+.0f %%", file, name, 100*off)
			if off < -0.3 || off > 0.3 {
				t.Errorf("%s: %.0f %% off what %s counts", file, 100*off, name)
			}
		}
	}
}

func BenchmarkEstimateTokens(b *testing.B) {
	b.SetBytes(int64(len(prompt)))
	for b.Loop() {
		EstimateTokens(prompt)
	}
}

func FuzzTokenLen(f *testing.F) {
	for _, s := range []string{"Hello, world", " \n\t x", "日本", "\xf0\x9f", "a1 b2", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		valid := utf8.ValidString(s)
		for s != "" {
			n := TokenLen(s)
			if n < 1 || n > len(s) {
				t.Fatalf("%q: a token of %d bytes", s, n)
			}
			if valid && !utf8.ValidString(s[:n]) {
				t.Fatalf("%q is cut inside a character", s[:n])
			}
			s = s[n:]
		}
	})
}

// webp makes the header of a WebP file of one of its three kinds (https://developers.google.com/speed/webp/docs/riff_container).
func webp(kind string, w, h uint32) []byte {
	b := make([]byte, 30)
	copy(b, "RIFF")
	copy(b[8:], "WEBP")
	copy(b[12:], kind)
	switch kind {
	case "VP8 ":
		copy(b[23:], "\x9d\x01\x2a")
		binary.LittleEndian.PutUint16(b[26:], uint16(w))
		binary.LittleEndian.PutUint16(b[28:], uint16(h))
	case "VP8L":
		b[20] = 0x2f
		binary.LittleEndian.PutUint32(b[21:], (w-1)|(h-1)<<14)
	case "VP8X":
		b[24], b[25], b[26] = byte(w-1), byte((w-1)>>8), byte((w-1)>>16)
		b[27], b[28], b[29] = byte(h-1), byte((h-1)>>8), byte((h-1)>>16)
	}
	return b
}

// TestImageSize reads what the standard library's encoders write. The tokens are those of Anthropic's documentation,
// "Vision": width x height / 750.
func TestImageSize(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 1000, 600))
	encoded := func(encode func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, b := range map[string][]byte{
		"png":       encoded(func(b *bytes.Buffer) error { return png.Encode(b, m) }),
		"jpeg":      encoded(func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) }),
		"gif":       encoded(func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) }),
		"webp VP8":  webp("VP8 ", 1000, 600),
		"webp VP8L": webp("VP8L", 1000, 600),
		"webp VP8X": webp("VP8X", 1000, 600),
	} {
		i := &Image{Source: ImageSource{Bytes: EncodeBase64(b)}}
		if w, h := i.Size(); w != 1000 || h != 600 {
			t.Errorf("%s: %d x %d, want 1000 x 600", name, w, h)
		}
		if n := i.EstimateTokens(); n != 800 {
			t.Errorf("%s: %d tokens, want 800", name, n)
		}
	}
	for _, c := range []struct {
		w, h   uint32
		tokens int64
	}{{1, 1, 1}, {3136, 1200, 1568 * 600 / 750}, {16000, 16000, 1600}} {
		if n := (&Image{Source: ImageSource{Bytes: EncodeBase64(webp("VP8X", c.w, c.h))}}).EstimateTokens(); n != c.tokens {
			t.Errorf("%d x %d: %d tokens, want %d", c.w, c.h, n, c.tokens)
		}
	}
	if n := (&Image{Source: ImageSource{S3Location: &S3Location{URI: "s3://bucket/a.png"}}}).EstimateTokens(); n != 1600 {
		t.Errorf("a picture elsewhere: %d tokens, want 1600", n)
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n0123456789012345"))
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x02\xff\xc0\x00\x11\x08\x01\xe0\x02\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &Image{Source: ImageSource{Bytes: EncodeBase64(b)}}
		if n := m.EstimateTokens(); n < 1 || n > 1600 {
			t.Errorf("%d tokens", n)
		}
	})
}

// TestEstimateBodyTokens: a picture in base64 is one picture, not its letters.
func TestEstimateBodyTokens(t *testing.T) {
	text := `{"messages":[{"role":"user","content":"` + strings.Repeat("Say hello. ", 1000) + `"}]}`
	kana := `{"content":"` + strings.Repeat("吾輩は猫である。", 500) + `"}`
	for _, c := range []struct {
		body string
		want int64
	}{
		{"", 0}, {"{}", 1}, {text, int64(len(text)+3) / 4}, {kana, int64(len(kana)+3) / 4},
		{`{"url":"data:image/png;base64,` + strings.Repeat("iVBORw0K", 1<<17) + `"}`, tokensUnknown + 3},
		{strings.Repeat("A", 1<<20), tokensUnknown},
	} {
		if got := EstimateBodyTokens([]byte(c.body)); got != c.want {
			t.Errorf("%.40s...: %d, want %d", c.body, got, c.want)
		}
	}
}
