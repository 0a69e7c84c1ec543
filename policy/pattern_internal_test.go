package policy

import (
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a:b/c", true}, {"?", "", false}, {"?", ":", true}, {"a", "a", true}, {"a", "A", false},
		{"arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:us-east-1::foundation-model/x.y", true},
		{"arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:::foundation-model/x.y", true},
		{"arn:aws:bedrock:*:*:application-inference-profile/*", "arn:aws:bedrock:us-east-1:1:inference-profile/x", false},
		{"*a*b", "aabab", true}, {"*a*b", "aaba", false}, {"a**b", "ab", true}, {"a?*b", "ab", false}, {"*?", "", false}, {"**?*", "x", true}, {"?", "日", true}, {"??", "日", false}, {"*??", "日", false}, {"*?", "日本", true}, {"日?", "日本", true},
		{"s3:Get*", "s3:GetObject", true}, {"[a]", "a", false}, {"[a]", "[a]", true}, {`\*`, `*`, false}, {`\*`, `\x`, true},
	} {
		if got := glob(tc.pattern, tc.s); got != tc.want {
			t.Errorf("glob(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
	// A matcher that went back over every star would not end in this lifetime.
	if glob(strings.Repeat("*a", 40)+"b", strings.Repeat("a", 4000)) {
		t.Error("a pattern that ends in b matched a string without one")
	}
}

// globRegexp is the same pattern as a regular expression, for comparison.
func globRegexp(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for _, c := range pattern {
		switch c {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"*a?b*", "xxaxbyy"}, {"**", ""}, {"a*b*c", "abbc"}, {"é?", "éx"}, {"arn:*:x", "arn:a:b:x"}, {"*??", "€"}, {"日*?", "日本"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 2000 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return // documents and requests are UTF-8
		}
		want := globRegexp(pattern).MatchString(s)
		if got := glob(pattern, s); got != want {
			t.Errorf("glob(%q, %q) = %v, the regular expression says %v", pattern, s, got, want)
		}
		if got := glob(pattern, []byte(s)); got != want {
			t.Errorf("of bytes, glob(%q, %q) = %v, the regular expression says %v", pattern, s, got, want)
		}
		// The same in pieces, as patterns with variables are matched: what stands for one is text.
		if strings.Contains(pattern, "$") {
			return
		}
		p, err := parsePattern(pattern+"${a:b}", true)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.match(s+"end*", &Request{Context: Context{"a:b": {"end*"}}}, false); got != want {
			t.Errorf("in pieces, glob(%q, %q) = %v, the regular expression says %v", pattern, s, got, want)
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, s := range [][2]string{{"Alice", "aLICE"}, {"K", "\u212a"}, {"ſ", "s"}, {"ß", "SS"}, {"Σ", "ς"}, {"\xff", "\xff"}, {"a", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		n, ok := cutPrefix(a, b, true)
		if got, want := ok && n == len(a), strings.EqualFold(a, b); got != want && utf8.ValidString(a) && utf8.ValidString(b) {
			t.Errorf("%q and %q: %v, strings.EqualFold says %v", a, b, got, want)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range [][2]string{{"10", "9"}, {"-0", "0"}, {"1.50", "1.5"}, {"-1.5", "-1.25"}, {".5", "0.5"}, {"9007199254740993", "9007199254740992"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok1 := parseNumber(a)
		y, ok2 := parseNumber(b)
		if !ok1 || !ok2 {
			return
		}
		u, ok1 := new(big.Rat).SetString(a)
		v, ok2 := new(big.Rat).SetString(b)
		if !ok1 || !ok2 {
			t.Fatalf("%q or %q is taken, and no number", a, b)
		}
		if got, want := x.compare(y), u.Cmp(v); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Errorf("%q and %q: %d, want %d", a, b, got, want)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"2026-11-23T11:35:12Z", "2026-11-23T13:35:12.25+02:00", "1795433712", "-5", "2026-11-23", "2026-11", "2026", "2026-11-23T11:35Z", "2026-02-30", "2024-02-29T24:00Z", "0000-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s)
		for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
			want, err := time.Parse(layout, s)
			if err != nil || strings.Contains(s, ",") || layout[:min(len(layout), 13)] == "2006-01-02T15" && (len(s) < 14 || s[13] != ':') {
				continue // Go takes a comma before a fraction, and hours of one digit
			}
			if !ok || got.seconds != want.Unix() || got.nanoseconds != want.Nanosecond() {
				t.Errorf("%q: %+v %v, want %v", s, got, ok, want)
			}
		}
	})
}
