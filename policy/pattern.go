package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a string of a policy: text with wildcards and, since version 2012-10-17, variables.
type pattern struct {
	prefix string // where it is text and wildcards only: what stands before the first wildcard
	glob   string // and the rest

	pieces   []piece // else its pieces
	variable bool    // one of the pieces is a variable
}

// piece is a part of a pattern of which, once variables are known, only a star has no fixed length.
type piece struct {
	kind pieceKind
	text string // literal: what to match; variable: the condition key

	fallback    string // variable: its default value
	hasFallback bool
}

type pieceKind uint8

const (
	literal  pieceKind = iota
	star               // any run of characters
	anyOne             // any one character
	variable           // the value of a condition key
)

// wildcards makes a pattern of text in which * and ? are wildcards and nothing else is special.
func wildcards(text string) pattern {
	i := strings.IndexAny(text, "*?")
	if i < 0 {
		i = len(text)
	}
	return pattern{prefix: text[:i], glob: text[i:]}
}

// parsePattern reads text in which * and ? are wildcards; with variables, also ${key}, ${key, 'default'} and the
// escapes ${*}, ${?} and ${$}. Its error says what is wrong with a variable. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func parsePattern(text string, variables bool) (pattern, error) {
	if !variables || !strings.Contains(text, "${") {
		return wildcards(text), nil
	}
	pieces, err := split(text, true)
	return newPattern(pieces), err
}

// parseLiteral is parsePattern where * and ? stand for themselves.
func parseLiteral(text string, variables bool) (pattern, error) {
	if !variables {
		return newPattern([]piece{{text: text}}), nil
	}
	pieces, err := split(text, false)
	return newPattern(pieces), err
}

func newPattern(pieces []piece) pattern {
	p := pattern{pieces: pieces}
	for i := range pieces {
		p.variable = p.variable || pieces[i].kind == variable
	}
	return p
}

// split cuts text into pieces. It never returns an empty list, so that an empty text is not taken for a glob.
func split(text string, wild bool) ([]piece, error) {
	var out []piece
	add := func(s string) {
		if n := len(out); n > 0 && out[n-1].kind == literal {
			out[n-1].text += s
			return
		}
		out = append(out, piece{text: s})
	}
	add("")
	for len(text) > 0 {
		special := "${"
		i := strings.Index(text, special)
		if wild {
			if j := strings.IndexAny(text, "*?"); j >= 0 && (i < 0 || j < i) {
				add(text[:j])
				kind := star
				if text[j] == '?' {
					kind = anyOne
				}
				out = append(out, piece{kind: kind})
				text = text[j+1:]
				continue
			}
		}
		if i < 0 {
			add(text)
			break
		}
		add(text[:i])
		text = text[i+len(special):]
		end := variableEnd(text)
		if end < 0 {
			return nil, errors.New("a ${ is not closed with }")
		}
		name := text[:end]
		text = text[end+1:]
		if name == "*" || name == "?" || name == "$" {
			add(name)
			continue
		}
		v, err := parseVariable(name)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// variableEnd finds the } that closes a variable: not one inside the quotes of its default value.
func variableEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			quoted = !quoted
		case s[i] == '}' && !quoted:
			return i
		}
	}
	return -1
}

// parseVariable reads what stands inside ${}: a condition key and, after a comma, its default in single quotes.
func parseVariable(s string) (piece, error) {
	key, fallback, hasFallback := strings.Cut(s, ",")
	key = strings.TrimSpace(key)
	if key == "" || strings.ContainsAny(key, "{}*?$'") {
		return piece{}, fmt.Errorf("${%s} is not a variable: it must name a condition key, like ${aws:username}", s)
	}
	p := piece{kind: variable, text: key, hasFallback: hasFallback}
	if hasFallback {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return piece{}, fmt.Errorf("the default value in ${%s} must stand in single quotes", s)
		}
		p.fallback = fallback[1 : len(fallback)-1]
		if strings.Contains(p.fallback, "'") {
			return piece{}, fmt.Errorf("the default value in ${%s} must not hold a single quote", s)
		}
	}
	return p, nil
}

// resolution says what the variables of a pattern stand for; where they differ, the greater one counts.
type resolution uint8

const (
	resolved   resolution = iota // each has a value or a default
	ambiguous                    // one names keys that differ in case only and in their values
	unresolved                   // one has neither a value nor a default
)

// resolve looks up every variable of p.
func (p *pattern) resolve(r *Request) resolution {
	worst := resolved
	if !p.variable {
		return worst
	}
	for i := range p.pieces {
		pc := &p.pieces[i]
		if pc.kind != variable {
			continue
		}
		if !r.agrees(pc.text) {
			worst = max(worst, ambiguous)
		} else if _, ok := pc.value(r); !ok {
			worst = unresolved
		}
	}
	return worst
}

// value returns what a literal or a variable stands for. A key with several values cannot stand in a string.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html ("Policy variables with
// multiple values").
func (p *piece) value(r *Request) (string, bool) {
	if p.kind != variable {
		return p.text, true
	}
	if v := r.get(p.text); len(v) == 1 {
		return v[0], true
	}
	return p.fallback, p.hasFallback
}

// match reports whether s matches p, which must be resolved by r. The value of a variable is text: a star in it
// is a star. With fold, letters match in either case.
func (p *pattern) match(s string, r *Request, fold bool) bool {
	if p.pieces == nil { // which no pattern that is matched with fold is
		rest, ok := strings.CutPrefix(s, p.prefix)
		return ok && (p.glob == "*" || glob(p.glob, rest))
	}
	pi, si := 0, 0
	restart, mark := -1, 0
	for {
		ok := false
		if pi == len(p.pieces) {
			if si == len(s) {
				return true
			}
		} else {
			switch pc := &p.pieces[pi]; pc.kind {
			case star:
				pi++
				restart, mark, ok = pi, si, true
			case anyOne:
				if si < len(s) {
					pi++
					si += character(s[si:])
					ok = true
				}
			default:
				text, known := pc.value(r)
				if n, same := cutPrefix(s[si:], text, fold); known && same {
					pi++
					si += n
					ok = true
				}
			}
		}
		if ok {
			continue
		}
		if restart < 0 || mark >= len(s) {
			return false
		}
		mark += character(s[mark:]) // the last star takes one more
		pi, si = restart, mark
	}
}

// Match reports whether s matches a pattern of * and ?, as the resources of a policy are matched.
func Match(pattern, s string) bool { return glob(pattern, s) }

// glob reports whether s matches pattern, in which * stands for any run of characters (":" and "/" too) and ? for any
// one. It never goes back more than one star.
func glob[S string | []byte](pattern string, s S) bool {
	p, i := 0, 0
	restart, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			restart, mark = p, i
		case p < len(pattern) && pattern[p] == '?':
			p++
			i += character(s[i:])
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case restart >= 0:
			mark += character(s[mark:])
			p, i = restart, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// character returns the length of the first character of s, which is not empty.
func character[S string | []byte](s S) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	return n
}

// cutPrefix reports whether s begins with prefix, and how much of s that is: letters that differ in case only may
// differ in length.
func cutPrefix(s, prefix string, fold bool) (n int, ok bool) {
	if !fold {
		return len(prefix), strings.HasPrefix(s, prefix)
	}
	for len(prefix) > 0 {
		if n == len(s) {
			return 0, false
		}
		a, b := s[n], prefix[0]
		if a < utf8.RuneSelf && b < utf8.RuneSelf {
			if lower(a) != lower(b) {
				return 0, false
			}
			n++
			prefix = prefix[1:]
			continue
		}
		x, xn := utf8.DecodeRuneInString(s[n:])
		y, yn := utf8.DecodeRuneInString(prefix)
		if !sameLetter(x, y) || x == utf8.RuneError && s[n:n+xn] != prefix[:yn] {
			return 0, false
		}
		n += xn
		prefix = prefix[yn:]
	}
	return n, true
}

// sameLetter reports whether x and y differ at most in case, as strings.EqualFold has it.
func sameLetter(x, y rune) bool {
	for f := unicode.SimpleFold(x); x != y; f = unicode.SimpleFold(f) {
		if f == y {
			return true
		}
		if f == x {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// sameKey reports whether a and b are one condition key: they differ at most in case.
func sameKey(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// common returns the values of key in r.Keys, unless r.Context has their name.
func (r *Request) common(key string) []string {
	if r.Keys == nil {
		return nil
	}
	name, values := r.Keys.Lookup(key)
	if len(values) > 0 && len(r.Context) > 0 {
		if _, ok := r.Context[name]; ok {
			return nil
		}
	}
	return values
}

// agrees reports whether all that is known under key, in whatever case, is the same.
func (r *Request) agrees(key string) bool {
	first := r.common(key)
	found := len(first) > 0
	for k, v := range r.Context {
		if !sameKey(k, key) {
			continue
		}
		if found && !slices.Equal(first, v) {
			return false
		}
		first, found = v, true
	}
	return true
}

// get returns the values of key, whatever its case, on which r must agree. The policies of one installation mostly
// write keys as the requests do, so the map's own look-up comes first.
func (r *Request) get(key string) []string {
	if v, ok := r.Context[key]; ok {
		return v
	}
	for k, v := range r.Context {
		if sameKey(k, key) {
			return v
		}
	}
	return r.common(key)
}
