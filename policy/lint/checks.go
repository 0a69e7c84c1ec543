package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/policy"
)

// compared bounds how many values of one list are compared with each other.
const compared = 300

// renamed is what operations are authorized as that have no action of their own name.
// Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
var renamed = map[string]string{"converse": "InvokeModel", "conversestream": "InvokeModelWithResponseStream"}

func (l *linter) actions(s *statement) {
	for _, n := range s.actions {
		if v := variable(n.text); v != "" {
			l.found("VARIABLE_UNSUPPORTED_IN_ELEMENT", l.at(n), "", v)
			continue
		}
		prefix, name, ok := strings.Cut(n.text, ":")
		if !ok {
			continue // "*", or what package policy refuses
		}
		if strings.ContainsAny(prefix, "*?") {
			l.found("WILDCARD_IN_SERVICE_NAME", l.at(n), "")
			continue
		}
		prefix = strings.ToLower(prefix)
		switch of := known().Services[prefix]; {
		case !known().names[prefix]:
			l.found("INVALID_SERVICE_IN_ACTION", l.at(n), l.nearService(prefix), prefix)
		case of != nil && name != "" && !strings.Contains(name, ":") && !of.has(name):
			advice := ""
			if as, ok := renamed[strings.ToLower(name)]; ok && prefix == "bedrock" {
				advice = fmt.Sprintf("Did you mean bedrock:%s? The API called %s authorizes against the IAM action bedrock:%[1]s.", as, name)
			} else if near := l.closest(name, of.actions...); near != "" {
				advice = strings.Replace(near, "mean ", "mean "+prefix+":", 1)
			}
			l.found("INVALID_ACTION", l.at(n), advice, n.text)
		}
	}
	l.redundant(s.actions, "REDUNDANT_ACTION", strings.ToLower)
}

func (l *linter) nearService(name string) string {
	if name == "bedrock-runtime" {
		return "Did you mean bedrock? What calls models is authorized as bedrock:InvokeModel."
	}
	return l.closest(name, known().served...)
}

// redundant tells of values that others of their list cover.
func (l *linter) redundant(values []*node, code string, as func(string) string) {
	values = values[:min(len(values), compared)]
	var at []Location
	example := ""
	for i, v := range values {
		for j, w := range values {
			// Of two that cover each other the later one is redundant.
			if i == j || !covers(as(w.text), as(v.text)) || j > i && covers(as(v.text), as(w.text)) {
				continue
			}
			at = append(at, l.at(v)...)
			if example == "" {
				example = v.text
			}
			break
		}
	}
	switch {
	case len(at) == 0:
	case code == "REDUNDANT_ACTION":
		l.found(code, at, "", len(at), example)
	default:
		l.found(code, at, "", len(at))
	}
}

// variable returns the first ${...} of a text, "" for none.
func variable(text string) string {
	_, rest, ok := strings.Cut(text, "${")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "}")
	return "${" + name + "}"
}

// filled is a pattern with a star for each variable, and nothing but text for ${*}, ${?} and ${$}.
func filled(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, ok := strings.Cut(rest, "}")
		switch {
		case !ok:
			return b.String()
		case name == "*" || name == "?" || name == "$":
			b.WriteByte('.')
		default:
			b.WriteByte('*')
		}
		text = after
	}
}

// texted checks the variables of a text in which they may stand. It reports whether they are well formed.
func (l *linter) texted(n *node) bool {
	for rest := n.text; ; {
		_, inside, ok := strings.Cut(rest, "${")
		if !ok {
			return true
		}
		if !l.variables {
			l.found("VARIABLE_UNSUPPORTED_IN_VERSION", l.at(n), "")
			return false
		}
		name, after, closed := strings.Cut(inside, "}")
		key, fallback, has := strings.Cut(name, ",")
		fallback = strings.TrimSpace(fallback)
		code := ""
		switch {
		case !closed:
			code = "MISSING_BRACE_IN_VARIABLE"
		case strings.TrimSpace(name) == "":
			code = "EMPTY_VARIABLE"
		case strings.ContainsAny(key, " \t"):
			code = "UNSUPPORTED_SPACE_IN_VARIABLE"
		case has && (len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\''):
			code = "MISSING_QUOTE_IN_VARIABLE"
		}
		if code != "" {
			l.found(code, l.at(n), "")
			return false
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			if _, bare, ok := typeOf(globalKeys, key); bare || !ok {
				l.found("UNKNOWN_VARIABLE", l.at(n), l.closest(key, globalNames...), key)
			}
		}
		rest = after
	}
}

var partitions = []string{"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"}

func everything(pattern string) bool { return pattern != "" && strings.Trim(pattern, "*") == "" }

// maxARN is the longest ARN that is looked into.
const maxARN = 2048

func (l *linter) resources(s *statement) {
	before := len(l.findings)
	for _, n := range s.resources {
		if everything(n.text) || len(n.text) > maxARN {
			continue
		}
		if l.texted(n) {
			l.arn(n)
		}
	}
	sound := len(l.findings) == before // else what is meant is not known
	l.redundant(s.resources, "REDUNDANT_RESOURCE", func(r string) string { return r })
	if sound && !s.notAction && !s.notRes {
		l.matched(s)
	}
}

// arn checks the form of a resource's ARN.
func (l *linter) arn(n *node) {
	text := filled(n.text)
	parts := strings.SplitN(text, ":", 6)
	if parts[0] != "arn" {
		l.found("INVALID_ARN_PREFIX", l.at(n), "")
		return
	}
	if len(parts) < 6 {
		l.found("MISSING_ARN_FIELD", l.at(n), "", 6)
		return
	}
	wild := func(s string) bool { return strings.ContainsAny(s, "*?") }
	if p := parts[1]; !wild(p) && !slices.Contains(partitions, p) {
		l.found("INVALID_PARTITION", l.at(n), "", parts[2], p, strings.Join(partitions, ", "))
		return
	}
	name := parts[2]
	switch {
	case wild(name) || name == "":
		return // package policy says so
	case strings.ToLower(name) != name:
		l.found("INVALID_ARN_SERVICE_CASE", l.at(n), "", name)
		return
	case !known().names[name]:
		l.found("INVALID_SERVICE", l.at(n), l.nearService(name), name)
		return
	}
	if a := parts[4]; a != "" && a != "aws" && !wild(a) && (len(a) != 12 || strings.Trim(a, "0123456789") != "") {
		l.found("INVALID_ARN_ACCOUNT", l.at(n), "", a)
		return
	}
	of := known().Services[name]
	if of == nil || len(of.Resources) == 0 || l.kind == ResourceControl {
		return
	}
	var region, account, noRegion, noAccount bool // what a type with this resource part has
	named := false
	for _, t := range known().forms[name] { // also of other services' types: sts has IAM's root user
		form := strings.SplitN(t.ARN, ":", 6)
		if !meet(form[5], parts[5]) {
			continue
		}
		named = true
		region, noRegion = region || form[3] != "", noRegion || form[3] == "" || strings.HasPrefix(form[5], "foundation-model/")
		account, noAccount = account || form[4] != "", noAccount || form[4] == ""
	}
	switch {
	case !named:
		kind, _, _ := strings.Cut(parts[5], "/")
		advice := ""
		if kind != parts[5] {
			advice = l.closest(kind, of.resources...)
		}
		l.found("INVALID_ARN_RESOURCE", l.at(n), advice)
	case parts[3] != "" && !wild(parts[3]) && !region:
		l.found("ARN_REGION_NOT_ALLOWED", l.at(n), "", name)
	case parts[3] == "" && !noRegion:
		l.found("MISSING_ARN_REGION", l.at(n), "", name)
	case parts[4] != "" && !everything(parts[4]) && !account:
		l.found("ARN_ACCOUNT_NOT_ALLOWED", l.at(n), "", name)
	case parts[4] == "" && !noAccount:
		l.found("INVALID_ARN_ACCOUNT", l.at(n), "This resource belongs to an account: put its number, or *, before the last colon.", "")
	}
}

// asked is what an action of a statement is asked for on.
type asked struct {
	node  *node
	whole bool     // one action, without a wildcard
	none  bool     // that has no resource
	arns  []string // the patterns of the types of its resources
}

// matched tells of resources that no action of the statement has, and of actions that have none of its resources.
func (l *linter) matched(s *statement) {
	if len(s.actions) == 0 || len(s.resources) == 0 || len(s.actions)*len(s.resources) > compared {
		return
	}
	var actions []asked
	for _, n := range s.actions {
		prefix, name, ok := strings.Cut(n.text, ":")
		prefix = strings.ToLower(prefix)
		of := known().Services[prefix]
		if !ok || of == nil {
			return // an action of which nothing is known
		}
		a := asked{node: n, whole: !strings.ContainsAny(name, "*?")}
		for _, full := range of.expand(name) {
			types := strings.Fields(of.Actions[full].Resources)
			if len(types) == 0 && prefix == "iam" {
				return // what IAM lists is asked for on a path, which its table does not say
			}
			a.none = a.none || len(types) == 0
			for _, t := range types {
				if r := of.Resources[t]; r != nil {
					a.arns = append(a.arns, r.ARN)
				}
			}
		}
		actions = append(actions, a)
	}
	slices.SortFunc(actions, func(a, b asked) int { return a.node.start - b.node.start })
	for i := range actions {
		slices.Sort(actions[i].arns)
		actions[i].arns = slices.Compact(actions[i].arns)
	}
	all := slices.ContainsFunc(s.resources, func(n *node) bool { return everything(n.text) })
	for _, n := range s.resources {
		text := filled(n.text)
		parts := strings.SplitN(text, ":", 6)
		if everything(text) || len(parts) < 6 || known().Services[parts[2]] == nil {
			continue
		}
		if !slices.ContainsFunc(actions, func(a asked) bool { return a.on(text) }) {
			advice := ""
			if slices.ContainsFunc(actions, func(a asked) bool { return a.none }) {
				advice = `An action without resources is asked for on "*".`
			}
			l.found("RESOURCE_WITHOUT_ACTION", l.at(n), advice, n.text)
		}
	}
	if all {
		return
	}
	for _, a := range actions {
		if !a.whole || len(a.arns) == 0 && !a.none {
			continue
		}
		if !slices.ContainsFunc(s.resources, func(n *node) bool { return a.on(filled(n.text)) }) {
			advice := ""
			if a.none {
				advice = `It has no resources: it takes "*".`
			}
			l.found("ACTION_WITHOUT_RESOURCE", l.at(a.node), advice, a.node.text)
		}
	}
}

// on reports whether the action may be asked for on a resource.
func (a *asked) on(pattern string) bool {
	return slices.ContainsFunc(a.arns, func(arn string) bool { return meetARN(arn, pattern) })
}

func (l *linter) conditions(s *statement, n *node) {
	if n == nil || !l.typed(n, "{", "Object") {
		return
	}
	if len(n.members) == 0 {
		l.found("EMPTY_OBJECT_CONDITION", l.at(n), "")
	}
	for i := range n.members {
		m := &n.members[i]
		operator, ok := policy.ParseOperator(m.name)
		at := l.name(n, m)
		switch {
		case !ok:
			l.found("INVALID_CONDITION_OPERATOR", []Location{at}, l.closest(m.name, policy.Operators()...), m.name)
		case operator.Type == "Null" && operator.IfExists:
			l.found("NULL_WITH_IF_EXISTS", []Location{at}, "")
		case operator.Type == "Null" && (operator.Any || operator.All):
			l.found("NULL_WITH_QUALIFIER", []Location{at}, "")
		}
		if !l.typed(m.value, "{", "Object") {
			continue
		}
		if len(m.value.members) == 0 {
			l.found("EMPTY_OBJECT_CONDITION", l.at(m.value), "")
		}
		for j := range m.value.members {
			k := &m.value.members[j]
			s.conditions = append(s.conditions, condition{
				name: m.name, nameAt: at, operator: operator, ok: ok, key: k.name, keyAt: l.name(m.value, k), value: k.value,
			})
			for _, before := range m.value.members[max(0, j-compared):j] {
				if before.name != k.name && strings.EqualFold(before.name, k.name) {
					l.found("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", []Location{l.name(m.value, k)}, "", k.name)
				}
			}
		}
	}
	for i := range s.conditions {
		l.condition(s, &s.conditions[i])
	}
}

func (l *linter) condition(s *statement, c *condition) {
	kind := l.key(c)
	if !c.ok {
		return
	}
	o := c.operator
	array := strings.HasPrefix(kind, "ArrayOf")
	of := strings.TrimPrefix(kind, "ArrayOf")
	if of != "" && o.Type != "Null" && !slices.Contains(takes[of], o.Type) {
		l.found("TYPE_MISMATCH", []Location{c.nameAt, c.keyAt}, "", takes[of][0], c.name, c.key)
	}
	switch {
	case kind == "" || o.Type == "Null":
	case array && !o.Any && !o.All:
		l.found("MISSING_QUALIFIER", []Location{c.keyAt}, "", c.key)
	case array && o.All && s.allows() && !s.present(c.key):
		l.found("FORALLVALUES_WITHOUT_NULL", []Location{c.nameAt, c.keyAt}, fmt.Sprintf(`Add "Null": {%q: "false"}.`, c.key), c.key)
	case !array && o.All && s.allows():
		l.found("FORALLVALUES_WITH_SINGLE_VALUED_KEY", []Location{c.nameAt, c.keyAt}, "", c.key)
	}
	if !c.value.scalar() && !l.typed(c.value, "[", "String") {
		return
	}
	values := c.value.list()
	for _, v := range c.value.items {
		if !v.scalar() {
			l.typed(v, `"`, "String")
		}
	}
	if len(values) == 0 && len(c.value.items) == 0 {
		code := "EMPTY_ARRAY_CONDITION"
		switch {
		case o.All:
			code = "EMPTY_ARRAY_CONDITION_FORALLVALUES"
		case o.Any:
			code = "EMPTY_ARRAY_CONDITION_FORANYVALUE"
		case o.IfExists:
			code = "EMPTY_ARRAY_CONDITION_IFEXISTS"
		}
		l.found(code, l.at(c.value), "", c.key)
		return
	}
	if o.Type == "Bool" && len(values) > 1 {
		l.found("INVALID_CONDITION_MULTIPLE_BOOLEAN", l.at(c.value), "")
	}
	stars := 0
	for _, v := range values {
		if l.compared(c, v) {
			stars++
		}
	}
	// No ARN has a star, whatever the installation.
	if stars > 0 && stars == len(values) && of == "ARN" {
		if o.Negated {
			advice := "Use ArnNotLike."
			if s.denies() {
				advice = "The statement denies all that it names, through the right profile too. " + advice
			}
			l.found("CONDITION_ALWAYS_MET", append([]Location{c.nameAt}, l.at(c.value)...), advice, c.name, c.key)
		} else {
			l.found("CONDITION_NEVER_MET", append([]Location{c.nameAt}, l.at(c.value)...), "Use ArnLike.", c.name, c.key)
		}
	}
}

// takes is the operators of each type of key, the one to advise first.
var takes = map[string][]string{
	"String": {"String"}, "ARN": {"Arn", "String"}, "Bool": {"Bool"}, "Numeric": {"Numeric"}, "Date": {"Date", "Numeric"},
	"IpAddress": {"IpAddress"},
}

// present reports whether the statement is met only where a key is there. Whatever has a tag in the request has its key too.
func (s *statement) present(key string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		const tag = "aws:requesttag/"
		return c.requires() && (strings.EqualFold(c.key, key) || strings.EqualFold(key, "aws:TagKeys") && strings.HasPrefix(strings.ToLower(c.key), tag))
	})
}

// key checks a condition's key and returns its type, "" where nothing is known of it.
func (l *linter) key(c *condition) string {
	prefix, _, ok := strings.Cut(c.key, ":")
	at := []Location{c.keyAt}
	if !ok {
		l.found("INVALID_CONDITION_KEY_FORMAT", at, "")
		return ""
	}
	prefix = strings.ToLower(prefix)
	table, names := globalKeys, globalNames
	if prefix != "aws" {
		s := known().Services[prefix]
		if s == nil {
			return "" // another service's, or an identity provider's
		}
		table, names = s.Keys, s.keys
	}
	kind, bare, ok := typeOf(table, c.key)
	switch {
	case bare:
		l.found("MISSING_TAG_KEY_IN_CONDITION", at, "", strings.TrimSuffix(c.key, "/")+"/")
	case ok:
	case strings.EqualFold(c.key, "aws:ARN"):
		l.found("UNSUPPORTED_GLOBAL_CONDITION_KEY", at, "")
	case prefix == "aws":
		l.found("INVALID_GLOBAL_CONDITION_KEY", at, l.closest(c.key, names...), c.key)
	default:
		l.found("INVALID_SERVICE_CONDITION_KEY", at, l.closest(c.key, names...), c.key, prefix)
	}
	return kind
}

var mismatches = map[string]string{
	"Bool": "TYPE_MISMATCH_BOOLEAN", "Null": "TYPE_MISMATCH_BOOLEAN", "Date": "TYPE_MISMATCH_DATE", "IpAddress": "TYPE_MISMATCH_IP_RANGE",
	"Numeric": "TYPE_MISMATCH_NUMBER", "Binary": "TYPE_MISMATCH_STRING",
}

// compared checks one value. It reports whether the value has a wildcard that is none to the operator.
func (l *linter) compared(c *condition, v *node) bool {
	o := c.operator
	texts := o.Type == "String" || o.Type == "Arn" || o.Type == "Bool"
	if variable(v.text) != "" {
		if !texts {
			l.found("INVALID_VARIABLE_FOR_OPERATOR", l.at(v), "")
			return false
		}
		if !l.texted(v) {
			return false
		}
	}
	if err := o.CheckValue(v.text, l.variables); err != nil {
		switch code := mismatches[o.Type]; o.Type {
		case "":
		case "Date":
			l.found(code, l.at(v), "")
		case "Bool", "Null", "IpAddress", "Numeric", "Binary":
			l.found(code, l.at(v), "", c.name)
		}
		return false
	}
	switch o.Type {
	case "Date":
		if len(v.text) == 4 {
			l.found("INVALID_DATE_VALUE", l.at(v), "", v.text)
		}
	case "IpAddress":
		if p, err := netip.ParsePrefix(v.text); err == nil && p.Masked() != p {
			l.found("IMPROVE_IP_RANGE", l.at(v), "", p.Masked().String())
		}
	case "String":
		text := filled(strings.NewReplacer("*", "\x00", "?", "\x00").Replace(v.text))
		if !o.Wild && strings.Contains(text, "\x00") {
			l.found("WILDCARD_WITHOUT_LIKE_OPERATOR", l.at(v), "")
			return true
		}
	}
	return false
}

const passRole = "iam:passrole"

// roles tells of iam:PassRole on more than it should be.
func (l *linter) roles(s *statement) {
	if !s.has(passRole) || slices.ContainsFunc(s.conditions, func(c condition) bool { return strings.EqualFold(c.key, "iam:PassedToService") }) {
		return
	}
	star := s.node.get("Action")
	literal := false
	for _, n := range s.actions {
		literal = literal || strings.EqualFold(n.text, passRole)
	}
	broad := s.notRes
	for _, n := range s.resources {
		broad = broad || !s.notRes && strings.Contains(n.text, "*") && meetARN(filled(n.text), "arn:*:iam::*:role/*")
	}
	if !broad {
		return
	}
	var code string
	switch {
	case s.notAction && s.notRes:
		code, star = "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE", s.node.get("NotAction")
	case s.notAction:
		code, star = "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION", s.node.get("NotAction")
	case literal && s.notRes:
		code = "PASS_ROLE_WITH_NOT_RESOURCE"
	case literal:
		code = "PASS_ROLE_WITH_STAR_IN_RESOURCE"
	case s.notRes:
		code = "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE"
	default:
		code = "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE"
	}
	at := l.at(star)
	for _, name := range []string{"Resource", "NotResource"} {
		if n := s.node.get(name); n != nil {
			at = append(at, l.at(n)...)
			break
		}
	}
	l.found(code, at, "")
}

// has reports whether the statement is about an action, given in lower case.
func (s *statement) has(action string) bool {
	for _, n := range s.actions {
		if policy.Match(strings.ToLower(n.text), action) {
			return !s.notAction
		}
	}
	return s.notAction
}

// redundantStatements tells of statements that say the same.
func (l *linter) redundantStatements() {
	first := map[string]*statement{}
	for _, s := range l.statements {
		var b strings.Builder
		fmt.Fprintf(&b, "%q %v %v", s.effect, s.notAction, s.notRes)
		for i, list := range [][]*node{s.actions, s.resources} {
			var texts []string
			for _, n := range list {
				if i == 0 {
					texts = append(texts, strings.ToLower(n.text))
				} else {
					texts = append(texts, n.text)
				}
			}
			slices.Sort(texts)
			fmt.Fprintf(&b, " %q", texts)
		}
		for _, name := range []string{"Principal", "NotPrincipal", "Condition"} {
			if n := s.node.get(name); n != nil {
				v := jsontext.Value(slices.Clone(l.doc.text[n.start:n.end]))
				if err := v.Canonicalize(); err == nil {
					fmt.Fprintf(&b, " %s %s", name, v)
				}
			}
		}
		key := b.String()
		if before := first[key]; before != nil {
			l.found("REDUNDANT_STATEMENT", append(l.at(before.node), l.at(s.node)...), "")
		} else {
			first[key] = s
		}
	}
}
