package policy

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// condition is one operator on one key with the values it is compared with: "StringLike": {"aws:username": ["a*"]}.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
type condition struct {
	operator operator
	set      setOperator
	ifExists bool
	key      string
	operands []operand
}

// setOperator says how a key with several values is compared. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
type setOperator uint8

const (
	noSet        setOperator = iota
	forAnyValue              // one of the request's values must match
	forAllValues             // every one must; true where there is none
)

// comparison is the kind of an operator: how one value of the request is compared with one operand.
type comparison uint8

const (
	stringEquals comparison = iota + 1
	stringFold
	stringLike
	number
	date
	boolean
	binary
	ipAddress
	arnLike
	null
)

// operator is a comparison with its sense.
type operator struct {
	kind   comparison
	negate bool // true where nothing matches
	order  order
}

// order is what numbers and dates are compared for; the zero value is equality.
type order uint8

const (
	equal order = iota
	less
	lessEqual
	greater
	greaterEqual
)

var operators = map[string]operator{
	"StringEquals":              {kind: stringEquals},
	"StringNotEquals":           {kind: stringEquals, negate: true},
	"StringEqualsIgnoreCase":    {kind: stringFold},
	"StringNotEqualsIgnoreCase": {kind: stringFold, negate: true},
	"StringLike":                {kind: stringLike},
	"StringNotLike":             {kind: stringLike, negate: true},
	"NumericEquals":             {kind: number},
	"NumericNotEquals":          {kind: number, negate: true},
	"NumericLessThan":           {kind: number, order: less},
	"NumericLessThanEquals":     {kind: number, order: lessEqual},
	"NumericGreaterThan":        {kind: number, order: greater},
	"NumericGreaterThanEquals":  {kind: number, order: greaterEqual},
	"DateEquals":                {kind: date},
	"DateNotEquals":             {kind: date, negate: true},
	"DateLessThan":              {kind: date, order: less},
	"DateLessThanEquals":        {kind: date, order: lessEqual},
	"DateGreaterThan":           {kind: date, order: greater},
	"DateGreaterThanEquals":     {kind: date, order: greaterEqual},
	"Bool":                      {kind: boolean},
	"BinaryEquals":              {kind: binary},
	"IpAddress":                 {kind: ipAddress},
	"NotIpAddress":              {kind: ipAddress, negate: true},
	"ArnEquals":                 {kind: arnLike}, // the two behave identically
	"ArnLike":                   {kind: arnLike},
	"ArnNotEquals":              {kind: arnLike, negate: true},
	"ArnNotLike":                {kind: arnLike, negate: true},
	"Null":                      {kind: null},
}

// operand is one value of a condition, read as its operator needs it.
type operand struct {
	text   pattern      // strings, and booleans that are variables
	parts  []pattern    // ARNs: the six parts, or one that is the whole ARN: a variable or a star
	number decimal      // numbers
	time   moment       // dates
	yes    bool         // booleans, and Null: the key must be absent
	bytes  string       // binary, decoded
	prefix netip.Prefix // IP addresses
}

// Operator is a condition operator taken apart: "ForAllValues:StringNotLikeIfExists".
type Operator struct {
	Type     string // of the values it compares: "String", "Numeric", "Date", "Bool", "Binary", "IpAddress", "Arn", "Null"
	Wild     bool   // * and ? in a value stand for any characters
	Negated  bool   // met where nothing matches, and by a key that is not there
	IfExists bool
	Any, All bool // ForAnyValue, ForAllValues

	operator operator
}

var operatorTypes = map[comparison]string{
	stringEquals: "String", stringFold: "String", stringLike: "String", number: "Numeric", date: "Date", boolean: "Bool", binary: "Binary",
	ipAddress: "IpAddress", arnLike: "Arn", null: "Null",
}

// ParseOperator takes the name of a condition operator apart; ok is false where there is none of that name.
func ParseOperator(name string) (o Operator, ok bool) {
	if name, o.Any = strings.CutPrefix(name, "ForAnyValue:"); !o.Any {
		name, o.All = strings.CutPrefix(name, "ForAllValues:")
	}
	name, o.IfExists = strings.CutSuffix(name, "IfExists")
	o.operator, ok = operators[name]
	o.Type, o.Negated = operatorTypes[o.operator.kind], o.operator.negate
	o.Wild = o.operator.kind == stringLike || o.operator.kind == arnLike
	return o, ok
}

// CheckValue says why a condition with this operator cannot have the value, nil where it can. Variables says whether
// ${...} is a variable.
func (o Operator) CheckValue(value string, variables bool) error {
	_, _, err := o.operator.operand(value, variables)
	return err
}

// conditionOf compiles raw; ok is false where it has reported why that cannot be.
func (r *reader) conditionOf(raw *rawCondition) (c condition, ok bool) {
	c.key = raw.key.value
	o, ok := ParseOperator(raw.operator.value)
	c.operator, c.ifExists = o.operator, o.IfExists
	switch {
	case o.Any:
		c.set = forAnyValue
	case o.All:
		c.set = forAllValues
	}
	if !ok {
		r.report(syntaxErrors, raw.path, raw.operator.at, "unknown condition operator")
		return c, false
	}
	if c.operator.kind == null && (c.ifExists || c.set != noSet) {
		r.report(syntaxErrors, raw.path, raw.operator.at, "Null takes neither IfExists nor a set operator")
		return c, false
	}
	if c.key == "" || strings.ContainsAny(c.key, "{}*?$") {
		r.report(syntaxErrors, raw.path, raw.key.at, "%q is not a condition key, like \"aws:username\"", c.key)
		return c, false
	}
	for _, v := range raw.values {
		o, message, err := c.operator.operand(v.value, r.variables)
		if err != nil {
			r.report(message, raw.path+"."+c.key, v.at, "%v", err)
			return c, false
		}
		c.operands = append(c.operands, o)
	}
	return c, true
}

// operand reads v as op needs it. Where it cannot, message is what IAM says.
func (op operator) operand(v string, variables bool) (o operand, message string, err error) {
	ok := true
	switch op.kind {
	case stringEquals, stringFold:
		o.text, err = parseLiteral(v, variables)
	case stringLike:
		o.text, err = parsePattern(v, variables)
	case arnLike:
		o.parts, err = parseARN(v, variables)
	case number:
		o.number, ok = parseNumber(v)
	case date:
		if o.time, ok = parseDate(v); !ok {
			message = legacyParsing
		}
	case boolean:
		if o.text, err = parseLiteral(v, variables); !o.text.variable {
			o.yes, ok = parseBool(v)
		}
	case null:
		o.yes, ok = parseBool(v)
	case binary:
		o.bytes, ok = parseBinary(v)
	case ipAddress:
		o.prefix, ok = parsePrefix(v)
	}
	if message == "" {
		message = syntaxErrors
	}
	if !ok {
		err = fmt.Errorf("%q is not %s", v, valueNames[op.kind])
	}
	return o, message, err
}

var valueNames = map[comparison]string{
	number: "a number", date: "a date in ISO 8601 or a number of seconds since 1970", boolean: `"true" or "false"`, null: `"true" or "false"`,
	binary: "base64", ipAddress: "an IP address or a CIDR range",
}

func parseBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

func parseBinary(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err == nil
}

// parsePrefix reads "203.0.113.0/24", or one address as a range of itself. A range of IPv4 addresses that is written as
// one of IPv6 is one of IPv4.
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), err == nil
}

// parseARN cuts a pattern into the six parts of an ARN, each of which is compared by itself: a star does not cross a
// colon, except in the last part. A single variable may be a whole ARN, and "*" is any.
func parseARN(text string, variables bool) ([]pattern, error) {
	whole := variables && strings.HasPrefix(text, "${") && variableEnd(text[2:]) == len(text)-3
	if whole || text == "*" {
		p, err := parsePattern(text, variables)
		return []pattern{p}, err
	}
	parts := make([]pattern, 0, 6)
	for rest := text; ; {
		part, after, found := cutColon(rest, variables)
		if len(parts) == 5 {
			part, found = rest, false
		}
		p, err := parsePattern(part, variables)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		if !found {
			break
		}
		rest = after
	}
	if len(parts) != 6 {
		return nil, fmt.Errorf("%q is not an ARN pattern: it has %d parts between colons, an ARN has 6", text, len(parts))
	}
	return parts, nil
}

// cutColon is strings.Cut at the first colon outside a variable.
func cutColon(s string, variables bool) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		if variables && strings.HasPrefix(s[i:], "${") {
			end := variableEnd(s[i+2:])
			if end < 0 {
				break // parsePattern says so
			}
			i += 2 + end
			continue
		}
		if s[i] == ':' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// holds reports whether the condition of a statement of that effect is met: a Deny's for any, an Allow's for all of the
// keys of r that are c's but for their case. So it depends neither on the order of a map nor on which of two tags came
// first.
func (c *condition) holds(r *Request, effect Effect) bool {
	enough := effect == ExplicitDeny
	found := false
	for k, values := range r.Context {
		if !sameKey(k, c.key) {
			continue
		}
		found = true
		if c.meets(values, r, effect) == enough {
			return enough
		}
	}
	if values := r.common(c.key); len(values) > 0 || !found {
		return c.meets(values, r, effect)
	}
	return !enough
}

// meets reports whether the condition is met where values are the key's.
func (c *condition) meets(values []string, r *Request, effect Effect) bool {
	if c.operator.kind == null {
		for i := range c.operands {
			if c.operands[i].yes == (len(values) == 0) {
				return true
			}
		}
		return false
	}
	if c.set != noSet && len(values) == 1 && values[0] == "" {
		values = nil // a set operator takes an empty string for no value
	}
	if len(values) == 0 {
		switch {
		case c.ifExists:
			return true
		case c.set == forAnyValue:
			return false
		case c.set == forAllValues:
			return true
		}
		return c.operator.negate
	}
	// A variable that several keys could stand for widens a Deny and narrows an Allow. One that has no value is equal to
	// nothing and like nothing, so that what is negated is met. Source:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-no-value
	for i := range c.operands {
		if (effect == ExplicitDeny || c.operator.negate) && c.operands[i].resolve(r) == ambiguous {
			return effect == ExplicitDeny
		}
	}
	for _, v := range values {
		meets := c.matchesAny(v, r) != c.operator.negate
		switch c.set {
		case forAllValues:
			if !meets {
				return false
			}
		case forAnyValue:
			if meets {
				return true
			}
		case noSet:
			// Several values without a set operator: one match is a match, so a negated operator needs none.
			if meets != c.operator.negate {
				return meets
			}
		}
	}
	switch c.set {
	case forAllValues:
		return true
	case forAnyValue:
		return false
	}
	return c.operator.negate
}

func (c *condition) matchesAny(v string, r *Request) bool {
	for i := range c.operands {
		o := &c.operands[i]
		if o.resolve(r) == resolved && c.operator.matches(v, o, r) {
			return true
		}
	}
	return false
}

// resolve is pattern.resolve for all of o's patterns.
func (o *operand) resolve(r *Request) resolution {
	worst := o.text.resolve(r)
	for i := range o.parts {
		worst = max(worst, o.parts[i].resolve(r))
	}
	return worst
}

// matches compares one value of the request with one operand. A value that cannot be read as the operator's type
// matches nothing.
func (op operator) matches(v string, o *operand, r *Request) bool {
	switch op.kind {
	case stringEquals, stringLike:
		return o.text.match(v, r, false)
	case stringFold:
		return o.text.match(v, r, true)
	case arnLike:
		return matchARN(v, o.parts, r)
	case number:
		n, ok := parseNumber(v)
		return ok && op.order.holds(n.compare(o.number))
	case date:
		t, ok := parseDate(v)
		return ok && op.order.holds(t.compare(o.time))
	case boolean:
		b, ok := parseBool(v)
		if o.text.variable {
			return ok && o.text.match(v, r, true)
		}
		return ok && b == o.yes
	case binary:
		// The document has the bytes in base64. A request's value, which is text here, may be them or their base64.
		return v == o.bytes || base64.StdEncoding.EncodedLen(len(o.bytes)) == len(v) && isBase64(v, o.bytes)
	case ipAddress:
		a, err := netip.ParseAddr(v)
		return err == nil && (o.prefix.Contains(a.Unmap().WithZone("")) || o.prefix.Contains(a.WithZone("")))
	}
	return false
}

// holds reports whether a comparison's sign (-1, 0, 1) is what is asked for.
func (o order) holds(sign int) bool {
	switch o {
	case less:
		return sign < 0
	case lessEqual:
		return sign <= 0
	case greater:
		return sign > 0
	case greaterEqual:
		return sign >= 0
	}
	return sign == 0
}

func matchARN(v string, parts []pattern, r *Request) bool {
	if len(parts) == 1 {
		return parts[0].match(v, r, false)
	}
	for i := range parts {
		part, rest, found := strings.Cut(v, ":")
		if i == len(parts)-1 {
			part = v
		} else if !found {
			return false
		}
		if !parts[i].match(part, r, false) {
			return false
		}
		v = rest
	}
	return true
}

// Operators returns the names of the condition operators, sorted, without what ParseOperator takes off.
func Operators() []string { return slices.Sorted(maps.Keys(operators)) }
