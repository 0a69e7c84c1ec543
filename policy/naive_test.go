package policy_test

// A second evaluator, written from the IAM user guide and not from this package: slow, plain, and without an index.
// TestAgainstNaive holds the two against one another over random policies and requests.

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"outcrop/policy"
)

type naiveStatement struct {
	Sid          string                         `json:",omitempty"`
	Effect       string                         //
	Principal    map[string][]string            `json:",omitempty"`
	NotPrincipal map[string][]string            `json:",omitempty"`
	Action       []string                       `json:",omitempty"`
	NotAction    []string                       `json:",omitempty"`
	Resource     []string                       `json:",omitempty"`
	NotResource  []string                       `json:",omitempty"`
	Condition    map[string]map[string][]string `json:",omitempty"`
}

type naivePolicy struct {
	Version   string
	Statement []naiveStatement

	name     string
	resource bool // it is a resource's own
	trust    bool // or a role's
}

var naiveVariable = regexp.MustCompile(`\$\{[^}]*\}`)

type naiveRequest struct {
	action, resource string
	context          map[string][]string
	principal        *policy.Principal
}

// naiveSet is the layers in the order of policy.Layer: guardrail, resource, identity, boundary, session.
type naiveSet [policy.Session + 1][]*naivePolicy

// decide is the flow chart of reference_policies_evaluation-logic.html.
func (s *naiveSet) decide(r *naiveRequest) policy.Decision {
	var allowed [policy.Session + 1]policy.Decision
	for layer := policy.Guardrail; layer <= policy.Session; layer++ { // 1. deny evaluation, over all of them
		allowed[layer] = policy.Decision{Layer: layer, Statement: -1}
		for _, p := range s[layer] {
			for i := range p.Statement {
				st := &p.Statement[i]
				grant, about := p.applies(st, r)
				if !about {
					continue
				}
				d := policy.Decision{Effect: policy.Allow, Layer: layer, Policy: p.name, Statement: i, Sid: st.Sid, Grant: grant}
				if st.Effect == "Deny" {
					d.Effect, d.Grant = policy.ExplicitDeny, policy.NoGrant
					return d
				}
				if best := allowed[layer]; best.Effect != policy.Allow || grant > best.Grant {
					allowed[layer] = d
				}
			}
		}
	}
	is := func(l policy.Layer) bool { return allowed[l].Effect == policy.Allow }
	if len(s[policy.Guardrail]) > 0 && !is(policy.Guardrail) { // 2.
		return allowed[policy.Guardrail]
	}
	for _, p := range s[policy.Resource] { // a role's trust policy must allow
		if p.trust && !is(policy.Resource) {
			return allowed[policy.Resource]
		}
	}
	grant := allowed[policy.Resource].Grant // 3.
	if grant == policy.ToCaller {
		return allowed[policy.Resource]
	}
	if !is(policy.Identity) && grant != policy.ToRole { // 4.
		return allowed[policy.Identity]
	}
	for _, bound := range []policy.Layer{policy.Boundary, policy.Session} { // 5., 6.
		if len(s[bound]) > 0 && !is(bound) {
			return allowed[bound]
		}
	}
	if !is(policy.Identity) {
		return allowed[policy.Resource]
	}
	d := allowed[policy.Identity]
	d.Grant = grant
	return d
}

func (p *naivePolicy) applies(st *naiveStatement, r *naiveRequest) (policy.Grant, bool) {
	grant := policy.NoGrant
	if st.Principal != nil {
		if grant = naiveGrant(st.Principal, r.principal); grant == policy.NoGrant {
			return 0, false
		}
	}
	if st.NotPrincipal != nil {
		g := naiveGrant(st.NotPrincipal, r.principal)
		if st.Effect == "Deny" && g == policy.ToAccount && strings.HasSuffix(r.principal.ARN, ":root") {
			g = policy.ToCaller
		}
		if g == policy.ToCaller || st.Effect == "Allow" && g != policy.NoGrant {
			return 0, false
		}
		grant = policy.ToCaller
	}
	actions, not := st.Action, false
	if st.NotAction != nil {
		actions, not = st.NotAction, true
	}
	found := false
	action := []rune(strings.ToLower(r.action))
	for _, a := range actions {
		found = found || naiveGlob([]rune(strings.ToLower(a)), action)
	}
	if found == not {
		return 0, false
	}
	if !p.trust {
		resources, not := st.Resource, false
		if st.NotResource != nil {
			resources, not = st.NotResource, true
		}
		if !p.resource { // an ARN that is not complete stands for all that it begins
			for _, res := range resources {
				text := res
				if p.Version == "2012-10-17" {
					text = naiveVariable.ReplaceAllString(res, "")
				}
				if colons := strings.Count(text, ":"); colons < 5 {
					resources = append(resources[:len(resources):len(resources)], res+strings.Repeat(":*", 5-colons))
				}
			}
		}
		found, resource := false, []rune(r.resource)
		for _, res := range resources {
			tokens, state := p.substitute(res, r)
			switch state {
			case "none":
			case "several":
				found = found || (st.Effect == "Deny") != not
			default:
				found = found || naiveGlob(tokens, resource)
			}
		}
		if found == not {
			return 0, false
		}
	}
	for operator, keys := range st.Condition {
		for key, values := range keys {
			if !p.met(st, operator, key, values, r) {
				return 0, false
			}
		}
	}
	return grant, true
}

func naiveGrant(element map[string][]string, who *policy.Principal) policy.Grant {
	best := policy.NoGrant
	for kind, values := range element {
		for _, v := range values {
			g := policy.NoGrant
			switch {
			case kind == "AWS" && v == "*":
				g = policy.ToCaller
			case who == nil:
			case kind == "AWS" && who.Account != "" && (v == who.Account || v == "arn:aws:iam::"+who.Account+":root"):
				g = policy.ToAccount
			case kind == "AWS" && who.Role != "" && v == who.Role:
				g = policy.ToRole
			case kind == "AWS" && who.ID != "" && v == who.ID:
				g = policy.ToCaller
				if who.Role != "" {
					g = policy.ToRole
				}
			case kind == "AWS" && who.ARN != "" && v == who.ARN,
				kind == "Service" && v == who.Service, kind == "Federated" && v == who.Federated, kind == "CanonicalUser" && v == who.CanonicalUser:
				g = policy.ToCaller
			}
			best = max(best, g)
		}
	}
	return best
}

// Wildcards in a pattern of runes; what a variable stands for is shifted out of their way.
const shifted = 1 << 24

// naiveGlob is the definition of the wildcards, as a table.
func naiveGlob(pattern, s []rune) bool {
	var buffers [2][200]bool                                  // no word of the generator is longer
	row, next := buffers[0][:len(s)+1], buffers[1][:len(s)+1] // row[j]: pattern[:i] matches s[:j]
	row[0] = true
	for _, c := range pattern {
		for j := range next {
			switch c {
			case '*':
				next[j] = row[j] || j > 0 && next[j-1]
			case '?':
				next[j] = j > 0 && row[j-1]
			default:
				next[j] = j > 0 && row[j-1] && c&^shifted == s[j-1]
			}
		}
		row, next = next, row
	}
	return row[len(s)]
}

// values returns the values of all keys of r that are key but for their case.
func (r *naiveRequest) values(key string) [][]string {
	var out [][]string
	for k, v := range r.context {
		if strings.EqualFold(k, key) {
			out = append(out, v)
		}
	}
	return out
}

// substitute replaces variables. state is "none" where one has no value, "several" where keys that differ in case have
// different ones.
func (p *naivePolicy) substitute(s string, r *naiveRequest) (tokens []rune, state string) {
	literal := func(s string) {
		for _, c := range s {
			tokens = append(tokens, c|shifted)
		}
	}
	tokens = make([]rune, 0, 100)
	for s != "" {
		if p.Version != "2012-10-17" || !strings.HasPrefix(s, "${") {
			c, n := utf8.DecodeRuneInString(s)
			tokens = append(tokens, c)
			s = s[n:]
			continue
		}
		inside, rest, _ := strings.Cut(s[2:], "}")
		s = rest
		if strings.Contains("*?$", inside) {
			literal(inside)
			continue
		}
		key, fallback, has := strings.Cut(inside, ", ")
		all := r.values(key)
		for _, v := range all {
			if !slices.Equal(v, all[0]) && state == "" {
				state = "several"
			}
		}
		switch {
		case state == "several":
		case len(all) > 0 && len(all[0]) == 1:
			literal(all[0][0])
		case has:
			literal(strings.Trim(fallback, "'"))
		default:
			state = "none"
		}
	}
	return tokens, state
}

func (p *naivePolicy) met(st *naiveStatement, operator, key string, operands []string, r *naiveRequest) bool {
	all := r.values(key)
	if len(all) == 0 {
		all = [][]string{nil}
	}
	for _, values := range all {
		if m := p.metBy(st, operator, values, operands, r); m == (st.Effect == "Deny") {
			return m
		}
	}
	return st.Effect != "Deny"
}

func (p *naivePolicy) metBy(st *naiveStatement, operator string, values, operands []string, r *naiveRequest) bool {
	set, base, ok := strings.Cut(operator, ":")
	if !ok {
		set, base = "", operator
	}
	base, ifExists := strings.CutSuffix(base, "IfExists")
	if base == "Null" {
		return slices.ContainsFunc(operands, func(o string) bool { return (strings.ToLower(o) == "true") == (len(values) == 0) })
	}
	if set != "" && slices.Equal(values, []string{""}) {
		values = nil // "or if the key values resolve to a null data set, such as an empty string"
	}
	negated := strings.Contains(base, "Not")
	if len(values) == 0 {
		return ifExists || set == "ForAllValues" || set == "" && negated
	}
	usesVariables := strings.HasPrefix(base, "String") || strings.HasPrefix(base, "Arn") || base == "Bool"
	matchOne := func(v string) (found bool) {
		for _, o := range operands {
			tokens := []rune(o)
			if usesVariables {
				var state string
				if tokens, state = p.substitute(o, r); state != "" {
					continue
				}
			}
			found = found || naiveCompare(strings.Replace(base, "Not", "", 1), v, o, tokens)
		}
		return found
	}
	if usesVariables {
		for _, o := range operands {
			if _, state := p.substitute(o, r); state == "several" && (st.Effect == "Deny" || negated) {
				return st.Effect == "Deny"
			}
		}
	}
	switch set {
	case "ForAnyValue":
		return slices.ContainsFunc(values, func(v string) bool { return matchOne(v) != negated })
	case "ForAllValues":
		return !slices.ContainsFunc(values, func(v string) bool { return matchOne(v) == negated })
	}
	return slices.ContainsFunc(values, matchOne) != negated
}

// naiveCompare is one positive operator: String, Numeric, Date, Bool, Binary, IpAddress, Arn.
func naiveCompare(operator, v, operand string, tokens []rune) bool {
	plain := func() string {
		out := make([]rune, len(tokens))
		for i, c := range tokens {
			out[i] = c &^ shifted
		}
		return string(out)
	}
	switch operator {
	case "StringEquals":
		return v == plain()
	case "StringEqualsIgnoreCase":
		return strings.EqualFold(v, plain())
	case "StringLike":
		return naiveGlob(tokens, []rune(v))
	case "ArnEquals", "ArnLike":
		return naiveArn(tokens, v, operand)
	case "Bool":
		return (strings.EqualFold(v, "true") || strings.EqualFold(v, "false")) && strings.EqualFold(v, plain())
	case "BinaryEquals":
		return v == operand || base64.StdEncoding.EncodeToString([]byte(v)) == operand
	case "IpAddress":
		if !strings.Contains(operand, "/") {
			ip := net.ParseIP(v)
			return ip != nil && ip.Equal(net.ParseIP(operand))
		}
		_, block, err := net.ParseCIDR(operand)
		ip := net.ParseIP(v)
		return err == nil && ip != nil && block.Contains(ip)
	}
	var sign int
	var ok bool
	if strings.HasPrefix(operator, "Numeric") {
		sign, ok = naiveNumbers(v, operand)
	} else {
		sign, ok = naiveDates(v, operand)
	}
	if !ok {
		return false
	}
	switch {
	case strings.Contains(operator, "LessThan"):
		return sign < 0 || strings.HasSuffix(operator, "Equals") && sign == 0
	case strings.Contains(operator, "GreaterThan"):
		return sign > 0 || strings.HasSuffix(operator, "Equals") && sign == 0
	}
	return sign == 0
}

// naiveArn: "Each of the six colon-delimited components of the ARN is checked separately".
func naiveArn(tokens []rune, v, operand string) bool {
	if operand == "*" || strings.HasPrefix(operand, "${") && strings.HasSuffix(operand, "}") && strings.Count(operand, "}") == 1 {
		return naiveGlob(tokens, []rune(v))
	}
	values := strings.SplitN(v, ":", 6)
	var parts [][]rune
	start := 0
	for i, c := range tokens {
		if c == ':' && len(parts) < 5 { // not one that came with a variable
			parts = append(parts, tokens[start:i])
			start = i + 1
		}
	}
	parts = append(parts, tokens[start:])
	if len(values) != 6 || len(parts) != 6 {
		return false
	}
	for i := range parts {
		if !naiveGlob(parts[i], []rune(values[i])) {
			return false
		}
	}
	return true
}

func naiveNumbers(a, b string) (int, bool) {
	if strings.ContainsAny(a, "/eExXpP_+") {
		return 0, false
	}
	x, ok1 := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	return x.Cmp(y), true
}

func naiveDates(a, b string) (int, bool) {
	x, ok1 := naiveDate(a)
	y, ok2 := naiveDate(b)
	return x.Compare(y), ok1 && ok2
}

func naiveDate(s string) (time.Time, bool) {
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil && n < 1e12 && n > -1e12 // far from where time.Unix wraps
}

// generator makes random policies and requests from small sets of words, so that they meet.
type generator struct {
	*rand.Rand
	seen map[string]int // what was reached, for the coverage at the end
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func some(g *generator, least, most int, of ...string) []string {
	out := []string{}
	for range least + g.IntN(most-least+1) {
		out = append(out, pick(g, of...))
	}
	return out
}

var (
	naiveActions   = []string{"bedrock:InvokeModel", "bedrock:invokemodelWithResponseStream", "bedrock:GetInferenceProfile", "s3:GetObject", "iam:CreateUser", "sts:AssumeRole", "sts:TagSession", "x.y-z:Do"}
	actionPatterns = []string{"*", "*:*", "bedrock:*", "bedrock:Invoke*", "BEDROCK:invokemodel", "bedrock:InvokeModel", "bedrock:?etInferenceProfile", "s3:Get*", "s3:GetObject", "iam:*User", "*:Get*", "x.y-z:do", "bedrock:*Model*", "s3:*"}
	stsPatterns    = []string{"sts:AssumeRole", "sts:*", "sts:Tag*", "STS:assumerole", "sts:?ssumeRole"}
	naiveResources = []string{"*", "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova", "arn:aws:s3:::bucket/alice/x", "arn:aws:s3:::bucket/日本/x", "arn:aws:s3:::bucket/*", "arn:aws:iam::111122223333:role/Admin"}
	resPatterns    = []string{"*", "arn:aws:bedrock:*:*:application-inference-profile/*", "arn:aws:bedrock:*::foundation-model/*", "arn:aws:s3:::bucket/${aws:username}/*", "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'alice'}/?",
		"arn:aws:s3:::bucket/${*}", "arn:aws:s3:::bucket/??/x", "arn:aws:bedrock:us-east-?:*", "arn:aws:s3:::*/${AWS:UserName}*", "arn:aws:iam::111122223333:role/*", "arn:aws:bedrock:*:application-inference-profile/abc", "arn:*:s3:::bucket*", "arn:aws:s3", "arn:aws:bedrock:us-east-1", "arn:aws:s3::${aws:username}"}
	naiveKeys  = []string{"aws:username", "aws:PrincipalTag/team", "aws:TagKeys", "aws:MultiFactorAuthPresent", "s3:max-keys", "aws:CurrentTime", "key", "aws:SourceIp", "aws:SourceArn"}
	strValues  = []string{"", "alice", "Alice", "ALICE", "bob", "a*e", "日本", "${aws:username}", "x", "\u212Aelvin", "kelvin"}
	strOperand = []string{"", "alice", "ALICE", "a*", "*", "?????", "a?i*", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/team, 'bob'}", "a${*}e", "${key}x", "日?", "Kelvin", "b${?}b", "${$}{aws:username}"}
	numValues  = []string{"10", "10.0", "-1.5", "0", "-0", "9007199254740993", "1e3", "ten", "", "010", "9.99"}
	numOperand = []string{"10", "10.00", "-1.5", "0", "9007199254740992", "10.01", "9"}
	datValues  = []string{"2026-11-23T11:35:12Z", "2026-11-23T13:35:12+02:00", "1795433712", "2026-11-23", "2026-11", "2026", "2026-11-23T11:35Z", "yesterday", "", "2026-11-23T11:35:12.5Z", "2026-02-30", "-5"}
	datOperand = []string{"2026-11-23T11:35:12Z", "1795433712", "2026-11-23", "2026-11", "2026", "2026-11-23T11:35Z", "2026-11-23T11:35:12.5Z", "2024-02-29"}
	boolValues = []string{"true", "false", "True", "FALSE", "yes", ""}
	binValues  = []string{"QmluYXJ5", "Binary", "QUI=", "AB", "", "QUIx"}
	ipValues   = []string{"203.0.113.7", "203.0.114.1", "::ffff:203.0.113.7", "2001:db8:1234:5678::1", "2001:DB8::1", "x", "", "10.0.0.1"}
	ipOperand  = []string{"203.0.113.0/24", "203.0.113.7", "0.0.0.0/0", "2001:DB8:1234:5678::/64", "2001:db8::1", "10.0.0.0/8", "::ffff:203.0.113.0/120", "203.0.113.99/24"}
	arnValues  = []string{"arn:aws:iam::111122223333:user/alice", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", "arn:aws:sns:us-east-1:111122223333:topic", "alice", "", "arn:aws:iam::1"}
	arnOperand = []string{"arn:aws:someservice:*:111122223333:finance/*", "arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::111122223333:user/*", "arn:aws:sns:*:*:*", "*", "${key}", "arn:aws:*:us-east-?:*:t*", "arn:aws:iam::*:user/${aws:PrincipalTag/team, 'alice'}"}
	otherCase  = []string{"AWS:USERNAME", "aws:principaltag/TEAM"} // keys that one request may have besides
	// What a key has for values, where it is not given others.
	valuesOf = map[string][]string{"aws:MultiFactorAuthPresent": boolValues, "s3:max-keys": numValues, "aws:CurrentTime": datValues, "key": binValues, "aws:SourceIp": ipValues, "aws:SourceArn": arnValues}
	// What an operator is mostly asked of.
	keysOf     = map[string][]string{"B": {"aws:MultiFactorAuthPresent", "key"}, "N": {"s3:max-keys", "aws:SourceIp"}, "D": {"aws:CurrentTime"}, "I": {"aws:SourceIp"}, "A": {"aws:SourceArn"}, "S": {"aws:username", "AWS:UserName", "aws:PrincipalTag/team", "AWS:tagkeys"}}
	conditions = []struct {
		operator string
		operands []string
	}{
		{"StringEquals", strOperand}, {"StringNotEquals", strOperand}, {"StringEqualsIgnoreCase", strOperand},
		{"StringNotEqualsIgnoreCase", strOperand}, {"StringLike", strOperand}, {"StringNotLike", strOperand},
		{"NumericEquals", numOperand}, {"NumericNotEquals", numOperand}, {"NumericLessThan", numOperand},
		{"NumericLessThanEquals", numOperand}, {"NumericGreaterThan", numOperand}, {"NumericGreaterThanEquals", numOperand},
		{"DateEquals", datOperand}, {"DateNotEquals", datOperand}, {"DateLessThan", datOperand},
		{"DateLessThanEquals", datOperand}, {"DateGreaterThan", datOperand}, {"DateGreaterThanEquals", datOperand},
		{"Bool", []string{"true", "false", "${aws:MultiFactorAuthPresent}", "TRUE"}}, {"BinaryEquals", []string{"QmluYXJ5", "QUI=", "QUIx"}},
		{"IpAddress", ipOperand}, {"NotIpAddress", ipOperand},
		{"ArnEquals", arnOperand}, {"ArnLike", arnOperand}, {"ArnNotEquals", arnOperand}, {"ArnNotLike", arnOperand},
		{"Null", []string{"true", "false", "True"}},
	}
	principalWords = map[string][]string{
		"AWS": {"*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/Admin",
			"arn:aws:sts::111122223333:assumed-role/Admin/s1", "AROAEXAMPLEID23456789", "AIDAEXAMPLEID23456789", "999999999999"},
		"Service": {"ecs.amazonaws.com", "bedrock.amazonaws.com"}, "Federated": {"accounts.google.com"}, "CanonicalUser": {"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
	}
	callers = []*policy.Principal{
		nil, {},
		{Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice", ID: "AIDAEXAMPLEID23456789"},
		{Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/Admin/s1", Role: "arn:aws:iam::111122223333:role/Admin", ID: "AROAEXAMPLEID23456789"},
		{Account: "111122223333", ARN: "arn:aws:iam::111122223333:root"},
		{Account: "999999999999", ARN: "arn:aws:iam::999999999999:user/bob"},
		{Service: "ecs.amazonaws.com"}, {Federated: "accounts.google.com"}, {CanonicalUser: "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
	}
)

func (g *generator) principal() map[string][]string {
	kind := pick(g, "AWS", "AWS", "AWS", "Service", "Federated", "CanonicalUser")
	return map[string][]string{kind: some(g, 1, 2, principalWords[kind]...)}
}

func (g *generator) statement(layer policy.Layer, trust bool, version string) naiveStatement {
	st := naiveStatement{Effect: pick(g, "Allow", "Allow", "Allow", "Deny"), Sid: pick(g, "", "", "S"+strconv.Itoa(g.IntN(1e6)))}
	patterns := actionPatterns
	if trust {
		patterns = stsPatterns
	}
	if g.IntN(5) == 0 {
		st.NotAction = some(g, 1, 2, patterns...)
	} else {
		st.Action = some(g, 1, 3, patterns...)
	}
	switch {
	case trust:
	case g.IntN(5) == 0:
		st.NotResource = some(g, 1, 2, resPatterns...)
	default:
		st.Resource = some(g, 1, 3, resPatterns...)
	}
	if layer == policy.Resource {
		if !trust && g.IntN(4) == 0 {
			st.NotPrincipal = g.principal()
		} else {
			st.Principal = g.principal()
		}
	}
	for range max(0, g.IntN(4)-1) {
		c := conditions[g.IntN(len(conditions))]
		operator := c.operator
		if operator != "Null" {
			operator = pick(g, "", "", "ForAnyValue:", "ForAllValues:") + operator + pick(g, "", "", "IfExists")
		}
		if st.Condition == nil {
			st.Condition = map[string]map[string][]string{}
		}
		if st.Condition[operator] == nil {
			st.Condition[operator] = map[string][]string{}
		}
		operands := c.operands
		if version == "2008-10-17" && (c.operator == "Bool" || strings.HasPrefix(c.operator, "Arn")) {
			operands = operands[:2] // what looks like a variable is none, and neither a boolean nor an ARN
		}
		key := pick(g, naiveKeys...)
		if g.IntN(4) > 0 {
			key = pick(g, keysOf[c.operator[:1]]...)
		}
		st.Condition[operator][key] = some(g, min(1, g.IntN(10)), 3, operands...)
	}
	return st
}

func (g *generator) policy(t *testing.T, layer policy.Layer, n int) (*naivePolicy, *policy.Policy) {
	p := &naivePolicy{Version: pick(g, "2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17"), name: layer.String() + strconv.Itoa(n)}
	p.trust = layer == policy.Resource && g.IntN(3) == 0
	p.resource = layer == policy.Resource && !p.trust
	for range 1 + g.IntN(4) {
		p.Statement = append(p.Statement, g.statement(layer, p.trust, p.Version))
	}
	sids := map[string]bool{}
	for i := range p.Statement {
		if st := &p.Statement[i]; sids[st.Sid] {
			st.Sid = ""
		} else {
			sids[st.Sid] = true
		}
	}
	document, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	parse := policy.Parse
	if layer == policy.Resource {
		if parse = policy.ParseResource; p.trust {
			parse = policy.ParseTrust
		}
	}
	parsed, err := parse(p.name, document)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return p, parsed
}

func (g *generator) set(t *testing.T) (naive naiveSet, set policy.Set) {
	into := map[policy.Layer]*[]*policy.Policy{policy.Guardrail: &set.Guardrail, policy.Resource: &set.Resource, policy.Identity: &set.Identity, policy.Boundary: &set.Boundary, policy.Session: &set.Session}
	for layer, list := range into {
		n := g.IntN(3)
		if layer == policy.Identity {
			n++
		} else if g.IntN(2) == 0 {
			n = 0
		}
		for i := range n {
			p, parsed := g.policy(t, layer, i)
			naive[layer] = append(naive[layer], p)
			*list = append(*list, parsed)
		}
	}
	return naive, set
}

func (g *generator) request() naiveRequest {
	r := naiveRequest{action: pick(g, naiveActions...), resource: pick(g, naiveResources...), context: map[string][]string{}, principal: pick(g, callers...)}
	for _, key := range append(naiveKeys, otherCase...) {
		if g.IntN(3) == 0 || slices.Contains(otherCase, key) && g.IntN(4) > 0 {
			continue
		}
		values := valuesOf[key]
		if values == nil || g.IntN(10) == 0 {
			values = strValues
		}
		r.context[key] = some(g, 1, 1+g.IntN(3)/2, values...)
	}
	if g.IntN(20) == 0 {
		r.context["key"] = nil
	}
	return r
}

// request makes what the engine is asked of r: some of the context is in Keys.
func (g *generator) asked(r *naiveRequest) policy.Request {
	out := policy.Request{Action: r.action, Resource: r.resource, Principal: r.principal, Context: policy.Context{}}
	keys := lookup{}
	for name, values := range r.context {
		if other, _ := keys.Lookup(name); other == "" && len(values) > 0 && g.IntN(2) == 0 {
			keys[name] = values
		} else {
			out.Context[name] = values
		}
	}
	if len(keys) > 0 {
		out.Keys = keys
	}
	return out
}

// note counts what a pair reached.
func (g *generator) note(s *naiveSet, r *naiveRequest, d policy.Decision) {
	g.seen[d.Effect.String()+" by "+d.Layer.String()]++
	if d.Grant > 0 {
		g.seen["grant "+strconv.Itoa(int(d.Grant))]++
	}
	for _, layer := range s {
		for _, p := range layer {
			for i := range p.Statement {
				for operator, keys := range p.Statement[i].Condition {
					for key, operands := range keys {
						state := " missing"
						for _, v := range r.values(key) {
							if len(v) > 0 {
								state = " unmet"
							}
						}
						if m := p.met(&p.Statement[i], operator, key, operands, r); m && state != " missing" {
							state = " met"
						}
						g.seen[operator+state]++
					}
				}
			}
		}
	}
}

// TestAgainstNaive decides OUTCROP_POLICY_PAIRS random pairs of policies and a request with both evaluators.
func TestAgainstNaive(t *testing.T) {
	pairs := 100_000
	if s := os.Getenv("OUTCROP_POLICY_PAIRS"); s != "" {
		var err error
		if pairs, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("OUTCROP_POLICY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), seen: map[string]int{}}
	const requests = 40 // of each set of policies
	for done := 0; done < pairs; done += requests {
		naive, set := g.set(t)
		for i := range requests {
			r := g.request()
			want := naive.decide(&r)
			asked := g.asked(&r)
			if got := set.Decide(&asked); got != want {
				document, _ := json.MarshalIndent(naive, "", " ")
				t.Fatalf("OUTCROP_POLICY_SEED=%d\n%s\n%+v\n got %+v\nwant %+v", seed, document, r, got, want)
			}
			if i%8 == 0 {
				g.note(&naive, &r, want)
			}
		}
	}
	if pairs < 100_000 {
		return // too few to reach everything
	}
	var missing []string
	for _, c := range conditions {
		operators := []string{c.operator}
		if c.operator != "Null" {
			operators = nil
			for _, set := range []string{"", "ForAnyValue:", "ForAllValues:"} {
				operators = append(operators, set+c.operator, set+c.operator+"IfExists")
			}
		}
		for _, operator := range operators {
			for _, state := range []string{" missing", " met", " unmet"} {
				if g.seen[operator+state] == 0 && !(c.operator == "Null" && state == " unmet") {
					missing = append(missing, operator+state)
				}
			}
		}
	}
	for layer := policy.Guardrail; layer <= policy.Session; layer++ {
		missing = append(missing, unseen(g, "explicitDeny by "+layer.String(), "implicitDeny by "+layer.String())...)
	}
	missing = append(missing, unseen(g, "allowed by identity-based policy", "allowed by resource-based policy", "grant 1", "grant 2", "grant 3")...)
	if len(missing) > 0 {
		t.Errorf("OUTCROP_POLICY_SEED=%d: never reached: %q", seed, missing)
	}
	var lines []string
	for what, n := range g.seen {
		lines = append(lines, what+": "+strconv.Itoa(n))
	}
	sort.Strings(lines)
	t.Logf("of every eighth pair:\n%s", strings.Join(lines, "\n"))
}

func unseen(g *generator, what ...string) []string {
	return slices.DeleteFunc(what, func(w string) bool { return g.seen[w] > 0 })
}
