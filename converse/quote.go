package converse

import (
	"math/bits"
	"unicode/utf8"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendQuote appends s to dst as a JSON string. Invalid UTF-8 becomes U+FFFD, as a model's output may end in half a
// character. It does what jsontext.AppendQuote does at a fraction of its cost on long plain text: every prompt and
// every piece of an answer passes here once or twice.
func AppendQuote(dst []byte, s string) []byte {
	return append(AppendEscaped(append(dst, '"'), s), '"')
}

// AppendEscaped is AppendQuote within quotes that are there already.
func AppendEscaped(dst []byte, s string) []byte {
	for {
		n := plainPrefix(s)
		dst = append(dst, s[:n]...)
		s = s[n:]
		if s == "" {
			return dst
		}
		switch c := s[0]; {
		case c >= utf8.RuneSelf:
			n = 1
			for n < len(s) && s[n] >= utf8.RuneSelf {
				n++
			}
			if run := s[:n]; utf8.ValidString(run) {
				dst = append(dst, run...)
			} else {
				for _, r := range run { // each byte that is part of no character is one U+FFFD
					dst = utf8.AppendRune(dst, r)
				}
			}
			s = s[n:]
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[1:]
	}
}

// Unquote returns what raw, a JSON string with its quotes, says. Where it is no UTF-8, or has half a pair of escapes, there
// is U+FFFD in that place and an error besides.
func Unquote(raw []byte) (string, error) {
	b, err := jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw)
	return unsafe.String(unsafe.SliceData(b), len(b)), err // b is nobody's any more, and a prompt is not copied twice
}

// QuotedSize returns how many bytes AppendQuote appends of s, if s is valid UTF-8.
func QuotedSize(s string) int {
	n := len(s) + 2
	for {
		s = s[plainPrefix(s):]
		if s == "" {
			return n
		}
		switch c := s[0]; {
		case c >= utf8.RuneSelf:
		case c == '"', c == '\\', c == '\n', c == '\t', c == '\r':
			n++
		default:
			n += len(`\u0000`) - 1
		}
		s = s[1:]
	}
}

// plainPrefix returns how many leading bytes of s are ASCII and stand for themselves in a JSON string. It looks at eight
// bytes at a time: the high bit of each byte of hit says that the byte is none of these. A borrow can set a bit only
// above a true one, and the lowest is the one used.
func plainPrefix[S string | []byte](s S) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		hit := (x | (x - 0x20*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}
