package lint

import (
	"slices"
	"strings"

	"outcrop/policy"
)

// What goes wrong with inference profiles. Each finding is about what the policy says by itself: another policy may give
// what it lacks, so but for names that match nothing these are no Errors.

const (
	profileKey  = "bedrock:InferenceProfileArn"
	invokeModel = "bedrock:invokemodel"
	invokeAsync = "bedrock:invokemodelwithresponsestream"
	anyModel    = "arn:*:bedrock:*::foundation-model/*"
	nowhere     = "arn:aws:bedrock:::foundation-model/" // and the model: how a global profile's is asked for besides
)

func (s *statement) invokes() bool { return s.has(invokeModel) || s.has(invokeAsync) }

// requires reports whether the condition is not met where its key is missing.
func (c *condition) requires() bool {
	switch o := c.operator; {
	case !c.ok || o.IfExists || o.All:
		return false
	case o.Type == "Null":
		return slices.Equal(c.value.strings(), []string{"false"})
	default:
		return !o.Negated || o.Any
	}
}

// hitsMissing reports whether the condition is met where its key is missing.
func (c *condition) hitsMissing() bool {
	if c.ok && c.operator.Type == "Null" {
		return slices.Contains(c.value.strings(), "true")
	}
	return c.ok && !c.requires()
}

// owned reports whether the statement asks for a tag of the resource. Models of AWS's have none.
func (s *statement) owned() bool {
	const tag = "aws:resourcetag/"
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		return strings.HasPrefix(strings.ToLower(c.key), tag) && c.requires()
	})
}

// condition on a key; ok is false where there is none.
func (s *statement) on(key string) (c *condition, ok bool) {
	for i := range s.conditions {
		if c := &s.conditions[i]; c.ok && strings.EqualFold(c.key, key) {
			return c, true
		}
	}
	return nil, false
}

// profileARN is an ARN pattern of an inference profile, taken apart. A profile's name is none of its parts: it stands in
// place of the id where somebody took it for that.
type profileARN struct {
	partition, region, account, kind, id string
}

func parseProfile(pattern string) (p profileARN, ok bool) {
	parts := strings.SplitN(pattern, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "bedrock" {
		return p, false
	}
	p.partition, p.region, p.account = parts[1], parts[3], parts[4]
	p.kind, p.id, ok = strings.Cut(parts[5], "/")
	return p, ok && p.id != "" && (p.kind == "application-inference-profile" || p.kind == "inference-profile")
}

// named reports whether the id can be none, of the profiles that AWS and this server make.
// Source: six ids of AWS's, and its pattern of system-defined ones, like us.anthropic.claude-3-haiku-20240307-v1:0.
func (p *profileARN) named() bool {
	switch {
	case strings.Contains(p.id, "$"):
		return false
	case p.kind == "application-inference-profile":
		return strings.Trim(p.id, "abcdefghijklmnopqrstuvwxyz0123456789*?") != "" || !meet(p.id, strings.Repeat("?", 12))
	}
	return !strings.ContainsAny(p.id, "*?.")
}

// isName reports whether a profile can have that name.
// Source: inferenceProfileName in Bedrock's service model, ([0-9a-zA-Z][ _-]?)+
func isName(s string) bool {
	apart := true // the last was no letter or digit
	for _, c := range s {
		between := c == ' ' || c == '_' || c == '-'
		if between && apart || !between && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
		apart = between
	}
	return s != "" && len(s) <= 64
}

// profileNamed is the ARN that a value means: where it is no ARN, but a name, one with the name in place of the id.
func profileNamed(n *node) string {
	if n.kind == '"' && isName(n.text) {
		return "arn:aws:bedrock:*:*:application-inference-profile/" + n.text
	}
	return n.text
}

func (l *linter) profiles() {
	if l.kind == Trust || l.kind == ResourceControl {
		return
	}
	for _, s := range l.statements {
		for _, n := range s.resources {
			l.nameIn(n)
		}
		if c, ok := s.on(profileKey); ok {
			for _, n := range c.value.list() {
				l.nameIn(n)
				if c.operator.Type == "String" && isName(n.text) {
					l.found("PROFILE_NAME_IN_ARN", l.at(n), lookUp(n.text), n.text)
				}
			}
			l.missingKey(s, c)
		}
		l.lists(s)
	}
	l.streams()
	l.global()
	if l.kind == Identity {
		l.models()
	}
}

func (l *linter) nameIn(n *node) {
	p, ok := parseProfile(n.text)
	if !ok || !p.named() {
		return
	}
	advice := lookUp(p.id)
	if p.kind == "inference-profile" {
		advice = "inference-profile/ is a system-defined profile, with an id like us.anthropic.claude-3-haiku-20240307-v1:0. " + advice
	}
	l.found("PROFILE_NAME_IN_ARN", l.at(n), advice, n.text)
}

// lookUp is how the ARN of a profile of that name is found. What cannot be a name is not repeated: the command is one to copy.
func lookUp(name string) string {
	query := "inferenceProfileSummaries[].[inferenceProfileName,inferenceProfileArn]"
	if isName(name) {
		query = "inferenceProfileSummaries[?inferenceProfileName=='" + name + "'].inferenceProfileArn"
	}
	return `Find the ARN: aws bedrock list-inference-profiles --type-equals APPLICATION --query "` + query + `".`
}

// missingKey tells of a Deny that a key's absence meets in requests that never have it.
func (l *linter) missingKey(s *statement, c *condition) {
	if !s.denies() || !c.operator.Negated || c.operator.Any || s.present(profileKey) {
		return
	}
	if s.notAction || slices.ContainsFunc(s.actions, func(n *node) bool {
		prefix, name, ok := strings.Cut(strings.ToLower(n.text), ":")
		if !ok || prefix != "bedrock" {
			return true
		}
		of := known().Services["bedrock"]
		return slices.ContainsFunc(of.expand(name), func(a string) bool { return !slices.Contains(strings.Fields(of.Actions[a].Keys), profileKey) })
	}) {
		l.found("DENY_HITS_OTHER_OPERATIONS", []Location{c.nameAt, c.keyAt},
			"Deny bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream here, and nothing else.", c.key, c.name)
	}
}

// lists tells of a Deny whose NotResource excepts ARNs, which operations that are asked for on "*" do not have.
func (l *linter) lists(s *statement) {
	if !s.denies() || !s.notRes || len(s.resources) == 0 || len(s.conditions) > 0 ||
		slices.ContainsFunc(s.resources, func(n *node) bool { return everything(n.text) }) {
		return
	}
	for _, a := range []string{"ListInferenceProfiles", "ListFoundationModels"} {
		if s.has("bedrock:" + strings.ToLower(a)) {
			l.found("DENY_HITS_LISTS", l.at(s.node.get("NotResource")), "", "bedrock:"+a)
			return
		}
	}
}

// streams tells of models that are denied to calls and not to streams.
func (l *linter) streams() {
	var at *node
	for _, s := range l.statements {
		switch {
		case !s.denies():
		case s.has(invokeAsync):
			return
		case s.has(invokeModel) && at == nil:
			if at = s.node.get("Action"); at == nil {
				at = s.node.get("NotAction")
			}
		}
	}
	if at != nil {
		l.found("DENY_MISSES_STREAMS", l.at(at), "")
	}
}

// about reports whether the statement may be about a resource that matches pattern.
func (s *statement) about(pattern string) bool {
	if s.notRes {
		return !slices.ContainsFunc(s.resources, func(n *node) bool { return covers(filled(n.text), pattern) })
	}
	return slices.ContainsFunc(s.resources, func(n *node) bool { return meetARN(filled(n.text), pattern) })
}

// models tells of profiles that are allowed without the models behind them, and of models that are allowed without them.
func (l *linter) models() {
	var profile, open *node
	behind, closed := false, false
	for _, s := range l.statements {
		if !s.invokes() || s.effect == "" {
			continue
		}
		c, asks := s.on(profileKey)
		if s.denies() {
			closed = closed || asks && c.hitsMissing() && s.about(anyModel)
			continue
		}
		if s.about(anyModel) && !s.owned() {
			behind = true
			if !(asks && c.requires()) && open == nil {
				open = s.node.get("Resource")
				for _, n := range s.resources {
					if meetARN(filled(n.text), anyModel) {
						open = n
						break
					}
				}
			}
		}
		for _, n := range s.resources {
			p, ok := parseProfile(n.text)
			if ok && !s.notRes && profile == nil {
				profile = n
			}
			// Whoever may use each system-defined profile is not held to any.
			closed = closed || ok && p.kind == "inference-profile" && everything(p.id) && !s.notRes
		}
	}
	switch {
	case profile == nil:
	case !behind:
		l.found("ALLOW_PROFILE_WITHOUT_MODELS", l.at(profile),
			`Allow arn:aws:bedrock:*::foundation-model/... too, with the condition "ArnLike": {"bedrock:InferenceProfileArn": the profile's ARN}.`)
	case open != nil && !closed:
		l.found("MODELS_WITHOUT_PROFILE_CONDITION", l.at(open),
			`Allow models with the condition "ArnLike": {"bedrock:InferenceProfileArn": the profile's ARN} only.`)
	}
}

// global tells of what a global profile needs and does not get.
func (l *linter) global() {
	var profile *node
	outside, inside := false, false // a model's ARN without a Region is allowed; with one
	meant := false
	for _, s := range l.statements {
		for _, n := range s.resources {
			p, ok := parseProfile(n.text)
			isGlobal := ok && p.kind == "inference-profile" && strings.HasPrefix(p.id, "global.")
			meant = meant || isGlobal || strings.Contains(n.text, ":::foundation-model/")
			if isGlobal && s.allows() && s.invokes() && profile == nil && !s.notRes {
				profile = n
			}
		}
		if s.allows() && s.invokes() {
			outside = outside || s.about(nowhere+"*")
			inside = inside || s.about(anyModel)
		}
	}
	if profile != nil && inside && !outside {
		l.found("GLOBAL_PROFILE_WITHOUT_MODEL", l.at(profile), "")
	}
	for _, s := range l.statements {
		c, ok := s.on("aws:RequestedRegion")
		if !meant || !ok || !s.invokes() || c.operator.Type != "String" || !s.about(nowhere+"*") || c.operator.Negated != s.denies() {
			continue
		}
		if s.allows() && !slices.ContainsFunc(s.resources, func(n *node) bool { return strings.Contains(n.text, ":::foundation-model/") }) {
			continue // another statement is about it
		}
		if !slices.ContainsFunc(c.value.strings(), func(v string) bool {
			return v == "unspecified" || strings.Contains(v, "${") || c.operator.Wild && policy.Match(v, "unspecified")
		}) {
			l.found("REGION_WITHOUT_UNSPECIFIED", l.at(c.value), "")
		}
	}
}
