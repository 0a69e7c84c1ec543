package openai

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// scanner reads a JSON text that is there in full. It takes what jsontext's Decoder takes with AllowDuplicateNames and
// AllowInvalidUTF8, at a third of its cost: where a reader stands is kept by the functions that read, not by a state
// beside them.
type scanner struct {
	b []byte
	i int // what is before it has been read
}

// syntaxError is the offset of the first byte that cannot be.
type syntaxError int

func (e syntaxError) Error() string { return "no JSON at byte " + strconv.Itoa(int(e)) }

func (s *scanner) bad() error { return syntaxError(s.i) }

// peek skips white space and returns the byte after it, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// enter reads a bracket that was peeked at. It returns whether the object or array has a member, and skips its closing
// bracket when it has none.
func (s *scanner) enter(closing byte) bool {
	s.i++
	if s.peek() == closing {
		s.i++
		return false
	}
	return true
}

// more reads what follows a member: a comma, or the closing bracket.
func (s *scanner) more(closing byte) (bool, error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case closing:
		s.i++
		return false, nil
	}
	return false, s.bad()
}

// name reads a member's name and the colon behind it. The name is as it stands between the quotes, escapes included.
func (s *scanner) name() ([]byte, error) {
	raw, _, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if s.peek() != ':' {
		return nil, s.bad()
	}
	s.i++
	return raw[1 : len(raw)-1], nil
}

// nameText is name, as what it says.
func (s *scanner) nameText() (string, error) {
	raw, err := s.name()
	if err != nil || bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), err
	}
	return unquote([]byte(`"`+string(raw)+`"`), false), nil
}

// quoted reads a string and returns it with its quotes. plain says that it is ASCII without escapes.
func (s *scanner) quoted() (raw []byte, plain bool, err error) {
	if s.peek() != '"' {
		return nil, false, s.bad()
	}
	b, start, i := s.b, s.i, s.i+1
	plain = true
	for {
		for i < len(b) && stringBytes[b[i]] == isPlain {
			i++
		}
		s.i = i
		if i == len(b) {
			return nil, false, s.bad()
		}
		switch stringBytes[b[i]] {
		case isQuote:
			s.i++
			return b[start:s.i], plain, nil
		case isHigh:
			i++
		case isEscape:
			n := escapeLength(b[i:])
			if n == 0 {
				return nil, false, s.bad()
			}
			i += n
		default:
			return nil, false, s.bad()
		}
		plain = false
	}
}

// escapeLength returns how many bytes the escape at the start of b has, 0 when it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// What a byte is inside a string.
const (
	isControl = iota
	isPlain
	isQuote
	isEscape
	isHigh
)

var stringBytes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c == '"':
			t[c] = isQuote
		case c == '\\':
			t[c] = isEscape
		case c >= 0x80:
			t[c] = isHigh
		case c >= 0x20:
			t[c] = isPlain
		}
	}
	return t
}()

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// text reads a string and returns what it says.
func (s *scanner) text() (string, error) {
	raw, plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	return unquote(raw, plain), nil
}

// unquote returns what a string says. What is no UTF-8, or half a pair of escapes, becomes U+FFFD.
func unquote(raw []byte, plain bool) string {
	if body := raw[1 : len(raw)-1]; plain || bytes.IndexByte(body, '\\') < 0 && utf8.Valid(body) {
		return string(body)
	}
	s, _ := converse.Unquote(raw) // an error here is invalid UTF-8, which has been replaced
	return s
}

// appendUnquoted appends what a string says, or returns the bytes between its quotes where they are that.
func appendUnquoted(dst, raw []byte, plain bool) []byte {
	if body := raw[1 : len(raw)-1]; plain || bytes.IndexByte(body, '\\') < 0 && utf8.Valid(body) {
		return body
	}
	dst, _ = jsontext.AppendUnquote(dst, raw) // an error here is invalid UTF-8, which has been replaced
	return dst
}

// maxDepth is how deeply what is skipped may be nested: jsontext's own limit.
const maxDepth = 10_000

// value reads a value of any kind and returns it as it stands.
func (s *scanner) value() ([]byte, error) {
	s.peek()
	start := s.i
	err := s.skip(maxDepth)
	return s.b[start:s.i], err
}

// skip reads a value of any kind, nested no deeper than depth.
func (s *scanner) skip(depth int) (err error) {
	c := s.peek()
	if depth == 0 && (c == '{' || c == '[') {
		return s.bad()
	}
	switch c {
	case '{':
		for more := s.enter('}'); more; {
			if _, err = s.name(); err != nil {
				return err
			}
			if err = s.skip(depth - 1); err != nil {
				return err
			}
			if more, err = s.more('}'); err != nil {
				return err
			}
		}
		return nil
	case '[':
		for more := s.enter(']'); more; {
			if err = s.skip(depth - 1); err != nil {
				return err
			}
			if more, err = s.more(']'); err != nil {
				return err
			}
		}
		return nil
	case '"':
		_, _, err = s.quoted()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return s.bad()
	}
	s.i += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.at('-') {
		s.i++
	}
	if s.at('0') {
		s.i++
	} else if !s.digits() {
		return s.bad()
	}
	if s.at('.') {
		s.i++
		if !s.digits() {
			return s.bad()
		}
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		if !s.digits() {
			return s.bad()
		}
	}
	return nil
}

func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

// digits reads digits and returns whether there was one.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	return s.i > start
}
