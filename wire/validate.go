package wire

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"outcrop/fault"
)

// The constraints of a type are compiled once, to a tree that follows the type (and circles where the type does). A
// request walks it with reflect.Values; a request without a violation allocates nothing.
//
// The wording is that of AWS's framework. Seen, among many: "Value at 'body' failed to satisfy constraint: Member must
// have length less than or equal to 25000000" (Bedrock, https://github.com/langchain-ai/langchain-aws/issues/419);
// "Value '...' at 'tags.6.member.value' failed to satisfy constraint: Member must satisfy regular expression pattern:
// ..." (IAM, https://github.com/SWO-GS/auto-tag/issues/90); "Value '{...}' at '...inputPathsMap' failed to satisfy
// constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 256, Member must have
// length greater than or equal to 1, Member must satisfy regular expression pattern: ...]" (EventBridge).

// structRules are the rules of a structure or union.
type structRules struct {
	union  string // what AWS calls a union, "ContentBlock"; "" for a structure
	names  string // of a union's members, for its message
	other  int    // the index of the field with a union's members that are not known, 0 without one
	fields []fieldRule
}

// fieldRule is what is checked of one member.
type fieldRule struct {
	index     int
	name      string       // as paths have it
	inline    *structRules // an embedded structure: its members are on the outer one's path
	required  bool
	sensitive bool
	kind      ruleKind
	limits    limits       // of the value itself; of a list or map its count
	each      *limits      // of each string in a list, each value of a map
	key       *limits      // of each key of a map
	sub       *structRules // of a structure, or of each structure in a list
}

type ruleKind uint8

const (
	anyValue ruleKind = iota // nothing but its presence
	textValue
	intValue
	floatValue
	blobValue
	listValue
	mapValue
	structValue
	rawValue // JSON text that is held against a structure
)

// typed is a member that keeps its JSON text. It is decoded into what Typed returns, a pointer to a new structure, to be
// checked.
type typed interface{ Typed() any }

// limits are the constraints on a scalar or on a count.
type limits struct {
	min, max *bound
	pattern  *pattern
	enum     []string
}

func (l *limits) none() bool {
	return l.min == nil && l.max == nil && l.pattern == nil && l.enum == nil
}

type bound struct {
	text string
	n    float64
}

// rulesOf compiles t's rules, nil when it has none.
func rulesOf(t reflect.Type) (*structRules, error) {
	c := compiler{made: map[reflect.Type]*structRules{}}
	r := c.structure(t)
	return r, errors.Join(c.errs...)
}

type compiler struct {
	made map[reflect.Type]*structRules
	errs []error
}

func (c *compiler) structure(t reflect.Type) *structRules {
	if r, ok := c.made[t]; ok {
		return r
	}
	r := &structRules{}
	c.made[t] = r // before its members: a type may hold itself
	if t == timeType {
		return r
	}
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			r.union = f.Tag.Get("union")
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "" {
			r.fields = append(r.fields, fieldRule{index: i, inline: c.structure(f.Type)})
			continue
		}
		if f.Tag.Get("json") == ",embed" {
			r.other = i
			continue
		}
		if f.IsExported() {
			rule := c.field(t, i)
			names = append(names, rule.name)
			r.fields = append(r.fields, rule)
		}
	}
	if r.union != "" {
		r.names = strings.Join(names, ", ")
	}
	r.fields = slices.DeleteFunc(r.fields, func(f fieldRule) bool {
		return r.union == "" && !f.required && f.limits.none() && f.each == nil && f.key == nil && f.sub == nil && f.inline == nil
	})
	return r
}

func (c *compiler) field(t reflect.Type, i int) fieldRule {
	f := t.Field(i)
	fail := func(err error) {
		c.errs = append(c.errs, fmt.Errorf("%v.%s: %w", t, f.Name, err))
	}
	r := fieldRule{
		index: i, name: pathName(f),
		required: f.Tag.Get("required") == "true", sensitive: f.Tag.Get("sensitive") == "true",
	}
	own, err := parseLimits(f.Tag, "")
	if err != nil {
		fail(err)
	}
	each, err := parseLimits(f.Tag, "each.")
	if err != nil {
		fail(err)
	}
	key, err := parseLimits(f.Tag, "key.")
	if err != nil {
		fail(err)
	}
	r.limits = own
	if !each.none() {
		r.each = &each
	}
	if !key.none() {
		r.key = &key
	}
	ft := f.Type
	if ft.Kind() == reflect.Pointer {
		ft = ft.Elem()
	}
	switch ft.Kind() {
	case reflect.String:
		r.kind = textValue
	case reflect.Int, reflect.Int32, reflect.Int64:
		r.kind = intValue
	case reflect.Float32, reflect.Float64:
		r.kind = floatValue
	case reflect.Slice:
		switch elem := ft.Elem(); {
		case ft == valueType:
		case ft.Implements(reflect.TypeFor[typed]()):
			r.kind = rawValue
			r.sub = c.structure(reflect.TypeOf(reflect.Zero(ft).Interface().(typed).Typed()).Elem())
		case elem.Kind() == reflect.Uint8:
			r.kind = blobValue
		case elem.Kind() == reflect.Struct:
			r.kind, r.sub = listValue, c.structure(elem)
		default:
			r.kind = listValue
			if r.each != nil && elem.Kind() != reflect.String {
				fail(fmt.Errorf("each.* is of strings, not of %v", elem))
			}
		}
	case reflect.Map:
		r.kind = mapValue
		if (r.each != nil || r.key != nil) && ft != reflect.TypeFor[map[string]string]() {
			fail(fmt.Errorf("each.* and key.* are of a map[string]string, not of %v", ft))
		}
		if ft.Elem().Kind() == reflect.Struct {
			fail(errors.New("the structures in a map are not checked"))
		}
	case reflect.Struct:
		if ft != timeType {
			r.kind, r.sub = structValue, c.structure(ft)
		}
	}
	bad := false
	switch r.kind {
	case anyValue, structValue, rawValue:
		bad = !own.none() || r.each != nil || r.key != nil
	case textValue:
		bad = r.each != nil || r.key != nil
	case intValue, floatValue, blobValue:
		bad = own.pattern != nil || own.enum != nil || r.each != nil || r.key != nil
	case listValue:
		bad = own.pattern != nil || own.enum != nil || r.key != nil
	case mapValue:
		bad = own.pattern != nil || own.enum != nil
	}
	if bad {
		fail(fmt.Errorf("a constraint that means nothing for a %v", f.Type))
	}
	return r
}

// pathName is the member's name in a message. In a body it is its own with a small first letter ('timePeriod.start'); a
// label has the name of its member; the others the name of the Go field.
func pathName(f reflect.StructField) string {
	name, ok := bodyName(f)
	if !ok {
		if name, ok = f.Tag.Lookup("uri"); !ok {
			name = f.Name
		}
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// parseLimits reads the constraints of one prefix from a tag.
func parseLimits(tag reflect.StructTag, prefix string) (limits, error) {
	var l limits
	var errs []error
	for _, b := range []struct {
		name string
		to   **bound
	}{{"min", &l.min}, {"max", &l.max}} {
		if s, ok := tag.Lookup(prefix + b.name); ok {
			n, err := strconv.ParseFloat(s, 64)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s%s: %w", prefix, b.name, err))
			}
			*b.to = &bound{s, n}
		}
	}
	if s, ok := tag.Lookup(prefix + "pattern"); ok {
		p, err := compilePattern(s)
		if err != nil {
			errs = append(errs, err)
		}
		l.pattern = p
	}
	if s, ok := tag.Lookup(prefix + "enum"); ok {
		l.enum = strings.Split(s, ",")
	}
	return l, errors.Join(errs...)
}

// A pattern is a regular expression, with a table beside it when it says no more than which ASCII characters a whole
// string is made of: most do, and a table is some twenty times as fast.
type pattern struct {
	text  string // for messages: without the anchors that AWS's models leave to be understood
	re    *regexp.Regexp
	table *[4]uint64
	empty bool // the table takes the empty string
}

// unicodeEscape is how the patterns of AWS's models write a character, and Go's do not.
var unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

func compilePattern(text string) (*pattern, error) {
	s := unicodeEscape.ReplaceAllString(text, `\x{$1}`)
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, err
	}
	p := &pattern{text: text, re: re}
	if strings.HasPrefix(s, "^") && strings.HasSuffix(s, "$") && !strings.HasSuffix(s, `\$`) {
		p.text = text[1 : len(text)-1]
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if tree.Op != syntax.OpConcat || len(tree.Sub) != 3 || tree.Sub[0].Op != syntax.OpBeginText || tree.Sub[2].Op != syntax.OpEndText {
		return p, nil
	}
	repeat := tree.Sub[1]
	if repeat.Op != syntax.OpPlus && repeat.Op != syntax.OpStar || repeat.Sub[0].Op != syntax.OpCharClass {
		return p, nil
	}
	var table [4]uint64
	ranges := repeat.Sub[0].Rune
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i+1] >= utf8.RuneSelf {
			return p, nil
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			table[r/64] |= 1 << (r % 64)
		}
	}
	p.table, p.empty = &table, repeat.Op == syntax.OpStar
	return p, nil
}

func (p *pattern) match(s string) bool {
	if p.table == nil {
		return p.re.MatchString(s)
	}
	for i := range len(s) {
		if p.table[s[i]/64]&(1<<(s[i]%64)) == 0 {
			return false
		}
	}
	return s != "" || p.empty
}

// validate returns a Validation fault that names every violation in v, a value of the shape's type, a Serialization fault
// when a text in it is not what it should be, or nil.
func (s *shape) validate(v reflect.Value) error {
	if s.rules == nil {
		return nil
	}
	var c checker
	s.rules.check(&c, v)
	switch {
	case c.broken != nil:
		return c.broken
	case c.count > 0:
		return c.fault()
	}
	return c.choice
}

// A message repeats at most so many violations, and no longer values than this; a longer one is left out like a
// sensitive one.
const (
	maxViolations = 50
	maxShown      = 2500
)

// A checker walks one value.
type checker struct {
	broken error // a text that could not be decoded
	choice error // the first union that does not have one member
	count  int
	found  []string
	depth  int
	path   [16]step // the first steps of the path; deeper ones are in more
	more   []step
}

// A step of a path is a member's name or the index of an element.
type step struct {
	name  string
	index int // from 0; names have -1
}

func (c *checker) push(s step) {
	if c.depth < len(c.path) {
		c.path[c.depth] = s
	} else {
		c.more = append(c.more, s)
	}
	c.depth++
}

func (c *checker) pop() {
	c.depth--
	if c.depth >= len(c.path) {
		c.more = c.more[:len(c.more)-1]
	}
}

// where is the path of the current value and one member more: messages.1.member.role.
func (c *checker) where(name string) string {
	path := c.steps(func(s step) string { return strconv.Itoa(s.index+1) + ".member" })
	if name != "" {
		path = append(path, name)
	}
	return strings.Join(path, ".")
}

// steps are the names on the path of the current value, and its indices as index writes them.
func (c *checker) steps(index func(step) string) []string {
	var path []string
	for _, s := range slices.Concat(c.path[:min(c.depth, len(c.path))], c.more) {
		if s.index < 0 {
			path = append(path, s.name)
		} else {
			path = append(path, index(s))
		}
	}
	return path
}

// choose records a union with no member set, or with several.
//
// Bedrock does not tell it as a constraint: {"message":"ContentBlock object at messages.0.content.0 must set one of the
// following keys: text, image, toolUse, toolResult, document, video."}, a ValidationException, also where the one member
// is unknown to it (BerriAI/litellm, tests of its pass-through endpoints; maximhq/bifrost, its tests of empty blocks).
// What it says of several is not known: those words are ours. Smithy has a SerializationException for both.
func (c *checker) choose(r *structRules, set int) {
	if c.choice != nil {
		return
	}
	one := "one"
	if set > 1 {
		one = "only one"
	}
	path := c.steps(func(s step) string { return strconv.Itoa(s.index) })
	c.choice = fault.New(fault.Validation, "%s object at %s must set %s of the following keys: %s.", r.union, strings.Join(path, "."), one, r.names)
}

// violation records one. value is its quoted value, "null", or "" when that is left out.
func (c *checker) violation(name, value, constraint string) {
	c.count++
	if len(c.found) == maxViolations {
		return
	}
	if value != "" {
		value += " "
	}
	c.found = append(c.found, "Value "+value+"at '"+c.where(name)+"' failed to satisfy constraint: "+constraint)
}

func (c *checker) fault() error {
	noun := "errors"
	if c.count == 1 {
		noun = "error"
	}
	m := fmt.Sprintf("%d validation %s detected: %s", c.count, noun, strings.Join(c.found, "; "))
	return fault.New(fault.Validation, "%s", m)
}

func (r *structRules) check(c *checker, v reflect.Value) {
	set := 0
	for i := range r.fields {
		f := &r.fields[i]
		fv := v.Field(f.index)
		if f.inline != nil {
			f.inline.check(c, fv)
			continue
		}
		if absent(fv) {
			if f.required {
				c.violation(f.name, "null", "Member must not be null")
			}
			continue
		}
		set++
		f.check(c, fv)
	}
	if r.union != "" && set != 1 && !(set == 0 && r.other > 0 && !v.Field(r.other).IsNil()) {
		c.choose(r, set)
	}
}

// absent reports whether a member was not sent, or sent as null.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map:
		return v.IsNil()
	case reflect.Slice:
		return v.IsNil() || v.Type() == valueType && string(v.Bytes()) == "null"
	case reflect.String:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

func (f *fieldRule) check(c *checker, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	l := &f.limits
	switch f.kind {
	case textValue:
		s := v.String()
		if !l.holds(s) {
			f.text(c, s)
		}
	case intValue:
		if n := v.Int(); l.min != nil && float64(n) < l.min.n || l.max != nil && float64(n) > l.max.n {
			f.number(c, float64(n), strconv.FormatInt(n, 10))
		}
	case floatValue:
		if n := v.Float(); l.min != nil && n < l.min.n || l.max != nil && n > l.max.n {
			f.number(c, n, javaFloat(n))
		}
	case blobValue:
		f.length(c, v, v.Len())
	case listValue:
		f.length(c, v, v.Len())
		if f.each != nil {
			for i := range v.Len() {
				if !f.each.holds(v.Index(i).String()) {
					c.violation(f.name, f.shown(v), "Member must satisfy constraint: "+f.each.list())
					break
				}
			}
		}
		if f.sub != nil && len(f.sub.fields) > 0 {
			c.push(step{f.name, -1})
			for i := range v.Len() {
				c.push(step{"", i})
				f.sub.check(c, v.Index(i))
				c.pop()
			}
			c.pop()
		}
	case mapValue:
		f.length(c, v, v.Len())
		if f.key != nil || f.each != nil {
			f.entries(c, v)
		}
	case structValue:
		c.push(step{f.name, -1})
		f.sub.check(c, v)
		c.pop()
	case rawValue:
		to := v.Interface().(typed).Typed()
		if err := readBody(v.Bytes(), to); err != nil {
			if c.broken == nil {
				c.broken = fault.Wrap(err, fault.Serialization, "%s: %s", c.where(f.name), fault.From(err).Message)
			}
			return
		}
		c.push(step{f.name, -1})
		f.sub.check(c, reflect.ValueOf(to).Elem())
		c.pop()
	}
}

func (f *fieldRule) entries(c *checker, v reflect.Value) {
	m := v.Interface().(map[string]string)
	badKey, badValue := false, false
	for k, s := range m {
		badKey = badKey || f.key != nil && !f.key.holds(k)
		badValue = badValue || f.each != nil && !f.each.holds(s)
	}
	if badKey {
		c.violation(f.name, f.shown(v), "Map keys must satisfy constraint: "+f.key.list())
	}
	if badValue {
		c.violation(f.name, f.shown(v), "Map value must satisfy constraint: "+f.each.list())
	}
}

// holds reports whether a string keeps all of l. It counts characters only where bytes leave it open.
func (l *limits) holds(s string) bool {
	if l.max != nil && float64(len(s)) > l.max.n && float64(utf8.RuneCountInString(s)) > l.max.n {
		return false
	}
	if l.min != nil && float64(len(s)) < 4*l.min.n && float64(utf8.RuneCountInString(s)) < l.min.n {
		return false
	}
	return (l.pattern == nil || l.pattern.match(s)) && (l.enum == nil || slices.Contains(l.enum, s))
}

// text records each constraint that s breaks.
func (f *fieldRule) text(c *checker, s string) {
	value := ""
	if !f.sensitive && len(s) <= maxShown {
		value = "'" + s + "'"
	}
	l := &f.limits
	n := float64(utf8.RuneCountInString(s))
	if l.max != nil && n > l.max.n {
		c.violation(f.name, value, "Member must have length less than or equal to "+l.max.text)
	}
	if l.min != nil && n < l.min.n {
		c.violation(f.name, value, "Member must have length greater than or equal to "+l.min.text)
	}
	if l.pattern != nil && !l.pattern.match(s) {
		c.violation(f.name, value, "Member must satisfy regular expression pattern: "+l.pattern.text)
	}
	if l.enum != nil && !slices.Contains(l.enum, s) {
		c.violation(f.name, value, "Member must satisfy enum value set: ["+strings.Join(l.enum, ", ")+"]")
	}
}

func (f *fieldRule) number(c *checker, n float64, text string) {
	value := ""
	if !f.sensitive {
		value = "'" + text + "'"
	}
	if l := &f.limits; l.max != nil && n > l.max.n {
		c.violation(f.name, value, "Member must have value less than or equal to "+l.max.text)
	} else {
		c.violation(f.name, value, "Member must have value greater than or equal to "+l.min.text)
	}
}

func (f *fieldRule) length(c *checker, v reflect.Value, n int) {
	if l := &f.limits; l.max != nil && float64(n) > l.max.n {
		c.violation(f.name, f.shown(v), "Member must have length less than or equal to "+l.max.text)
	} else if l.min != nil && float64(n) < l.min.n {
		c.violation(f.name, f.shown(v), "Member must have length greater than or equal to "+l.min.text)
	}
}

// list is all of l's constraints, in the order in which AWS lists them.
func (l *limits) list() string {
	var all []string
	if l.max != nil {
		all = append(all, "Member must have length less than or equal to "+l.max.text)
	}
	if l.min != nil {
		all = append(all, "Member must have length greater than or equal to "+l.min.text)
	}
	if l.pattern != nil {
		all = append(all, "Member must satisfy regular expression pattern: "+l.pattern.text)
	}
	if l.enum != nil {
		all = append(all, "Member must satisfy enum value set: ["+strings.Join(l.enum, ", ")+"]")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// shown is a list of strings, or a map of them, as Java prints it: '[a, b]', '{k=v}'. Others are left out but for
// empty ones.
func (f *fieldRule) shown(v reflect.Value) string {
	if f.sensitive || f.kind == blobValue {
		return ""
	}
	open, end := "[", "]"
	var parts []string
	switch x := v.Interface().(type) {
	case []string:
		parts = x
	case map[string]string:
		open, end = "{", "}"
		for _, k := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, k+"="+x[k])
		}
	default:
		if f.kind == mapValue {
			open, end = "{", "}"
		}
		if v.Len() > 0 {
			return ""
		}
	}
	text := strings.Join(parts, ", ")
	if len(text) > maxShown {
		return ""
	}
	return "'" + open + text + end + "'"
}

// javaFloat prints 2 as "2.0".
func javaFloat(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
