package policy

import (
	"slices"
	"strings"

	"outcrop/arn"
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
	anyOne             // any one byte
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
// escapes ${*}, ${?} and ${$}. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func parsePattern(where, text string, variables bool) (pattern, error) {
	if !variables || !strings.Contains(text, "${") {
		return wildcards(text), nil
	}
	pieces, err := split(where, text, true)
	return newPattern(pieces), err
}

// parseLiteral is parsePattern where * and ? stand for themselves.
func parseLiteral(where, text string, variables bool) (pattern, error) {
	if !variables {
		return newPattern([]piece{{text: text}}), nil
	}
	pieces, err := split(where, text, false)
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
func split(where, text string, wild bool) ([]piece, error) {
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
			return nil, malformed(where, "a ${ is not closed with }")
		}
		name := text[:end]
		text = text[end+1:]
		if name == "*" || name == "?" || name == "$" {
			add(name)
			continue
		}
		v, err := parseVariable(where, name)
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
func parseVariable(where, s string) (piece, error) {
	key, fallback, hasFallback := strings.Cut(s, ",")
	key = strings.TrimSpace(key)
	if err := checkKey(where, key); err != nil {
		return piece{}, malformed(where, "${%s} is not a variable: it must name a condition key, like ${aws:username}", s)
	}
	p := piece{kind: variable, text: key, hasFallback: hasFallback}
	if hasFallback {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return piece{}, malformed(where, "the default value in ${%s} must stand in single quotes", s)
		}
		p.fallback = fallback[1 : len(fallback)-1]
		if strings.Contains(p.fallback, "'") {
			return piece{}, malformed(where, "the default value in ${%s} must not hold a single quote", s)
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
	if p.pieces == nil {
		if !hasPrefix(s, p.prefix, fold) {
			return false
		}
		rest := s[len(p.prefix):]
		switch {
		case p.glob == "*":
			return true
		case p.glob == "":
			return rest == ""
		case fold:
			return globFold(p.glob, rest)
		}
		return arn.Glob(p.glob, rest)
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
					si++
					ok = true
				}
			default:
				text, known := pc.value(r)
				if known && hasPrefix(s[si:], text, fold) {
					pi++
					si += len(text)
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
		mark++ // the last star takes one byte more
		pi, si = restart, mark
	}
}

func hasPrefix(s, prefix string, fold bool) bool {
	if !fold {
		return strings.HasPrefix(s, prefix)
	}
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// globFold is arn.Glob without regard to the case of ASCII letters: actions have no others.
func globFold(pattern, s string) bool {
	p, i := 0, 0
	restart, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			restart, mark = p, i
		case p < len(pattern) && (pattern[p] == '?' || lower(pattern[p]) == lower(s[i])):
			p++
			i++
		case restart >= 0:
			mark++
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
