package lint

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/policy/guard"
)

// Correction is a policy that does what another one meant.
type Correction struct {
	Document []byte
	Missing  []string // names of profiles whose ARNs are not known: where they belong in Document stands placeholder and the name
}

// placeholder stands in place of an id that has to be looked up.
const placeholder = "ID-OF-"

// mended is what Correct mends.
var mended = []string{
	"PROFILE_NAME_IN_ARN", "CONDITION_ALWAYS_MET", "CONDITION_NEVER_MET", "ALLOW_PROFILE_WITHOUT_MODELS", "MODELS_WITHOUT_PROFILE_CONDITION",
	"DENY_MISSES_STREAMS", "DENY_HITS_OTHER_OPERATIONS", "GLOBAL_PROFILE_WITHOUT_MODEL",
}

var errNoCorrection = errors.New("the document does not say which profiles are meant")

// Correct returns the policy that lets models be called through the profiles that an identity-based document lets them be
// called through, and in no other way. What it says of anything else is kept as it is, and what it denies is denied: a
// correction never allows what the document shows no sign of allowing. Find returns the profile of a name; nil knows none.
// There is a correction only for what has to do with profiles, where the statements that are about calling models are
// about nothing else and allow on no other conditions.
func Correct(text []byte, find func(name string) (guard.Profile, bool)) (*Correction, error) {
	if !slices.ContainsFunc(Policy(Identity, text), func(f Finding) bool { return slices.Contains(mended, f.Code) }) {
		return nil, errNoCorrection
	}
	l := &linter{doc: newDocument(text)}
	root := l.doc.tree()
	if root == nil {
		return nil, errNoCorrection
	}
	l.document(root)
	m := meaning{models: map[string]bool{}}
	var kept []jsontext.Value
	for _, s := range l.statements {
		ok, keep := true, !s.invokes()
		switch {
		case keep:
		case s.notAction || s.notRes || slices.ContainsFunc(s.actions, func(n *node) bool {
			return !strings.HasPrefix(strings.ToLower(n.text), invokeModel)
		}):
			return nil, errNoCorrection
		case s.allows():
			ok = m.allow(s)
		case s.denies():
			ok, keep = m.deny(s)
		default:
			ok = false
		}
		switch {
		case !ok:
			return nil, errNoCorrection
		case keep:
			kept = append(kept, l.doc.text[s.node.start:s.node.end])
		}
	}
	meant := m.profiles()
	out := &Correction{}
	var profiles []guard.Profile
	for _, n := range meant {
		p, ok := parseProfile(profileNamed(n))
		switch {
		case !ok || p.named() && !isName(p.id):
			return nil, errNoCorrection
		case p.named():
			profiles = append(profiles, out.look(&p, find))
		default:
			profiles = append(profiles, guard.Profile{ARN: profileNamed(n)})
		}
	}
	if len(profiles) == 0 {
		return nil, errNoCorrection
	}
	// Which models are behind a profile is the profile's to say, unless the document has named some.
	ids := []string{"*"}
	if len(m.models) > 0 && !m.models["*"] {
		ids = slices.Sorted(maps.Keys(m.models))
	}
	for i := range profiles {
		if len(profiles[i].Models) == 0 {
			profiles[i].Models = ids
		}
	}
	c := guard.Config{Profiles: profiles, Calls: m.calls}
	if !m.allows {
		c.Kind = guard.ServiceControl // it denies only, and so does its correction
	}
	c.Partition, _, _ = strings.Cut(strings.TrimPrefix(profiles[0].ARN, "arn:"), ":")
	written, err := guard.Write(c)
	if err != nil {
		return nil, err
	}
	var d struct {
		Version   string
		Statement []jsontext.Value
	}
	if err := json.Unmarshal(written, &d); err != nil {
		return nil, err
	}
	d.Statement = append(kept, d.Statement...)
	slices.Sort(out.Missing)
	out.Missing = slices.Compact(out.Missing)
	if out.Document, err = json.Marshal(d, jsontext.WithIndent("  ")); err != nil {
		return nil, err
	}
	// What is kept may be wrong in other ways, and an ARN be none. Names that are to be looked up are known to be missing.
	if slices.ContainsFunc(Policy(Identity, out.Document), func(f Finding) bool {
		return f.Severity == Error && !(f.Code == "PROFILE_NAME_IN_ARN" && strings.Contains(f.Details, placeholder))
	}) {
		return nil, errNoCorrection
	}
	return out, nil
}

// meaning is what statements about calling models mean to allow.
type meaning struct {
	allows  bool
	any     bool            // calls of whatever there is are allowed: the denials say through what
	calls   []string        // the actions that are allowed
	models  map[string]bool // the ids or patterns of models that are named
	allowed []*node         // profiles that are allowed
	excepts [][]*node       // of each denial of all but some profiles: those
}

// allow reads a statement that allows. It reports whether the statement is understood.
func (m *meaning) allow(s *statement) bool {
	m.allows = true
	for _, action := range guard.Calls {
		if s.has(strings.ToLower(action)) && !slices.Contains(m.calls, action) {
			m.calls = append(m.calls, action)
		}
	}
	named := s.resources
	for _, c := range s.conditions {
		if !strings.EqualFold(c.key, profileKey) || !c.requires() || c.operator.Negated {
			return false
		}
		if c.operator.Type != "Null" {
			named = slices.Concat(named, c.value.list())
		}
	}
	for _, n := range named {
		if _, id, ok := strings.Cut(n.text, "foundation-model/"); ok {
			m.models[id] = true
		} else if everything(n.text) {
			m.any = m.any || len(s.conditions) == 0
			m.models["*"] = true
		} else if _, ok := parseProfile(profileNamed(n)); ok {
			m.allowed = append(m.allowed, n)
		} else {
			return false // something else that can be invoked
		}
	}
	return true
}

// deny reads a statement that denies. It reports whether it is understood, and whether it can stay as it is.
func (m *meaning) deny(s *statement) (ok, keep bool) {
	if _, on := s.on(profileKey); !on {
		locks := len(s.conditions) == 0 && slices.ContainsFunc(s.resources, func(n *node) bool { return everything(n.text) })
		return !locks, true
	}
	if slices.ContainsFunc(s.resources, func(n *node) bool {
		return !everything(n.text) && !strings.Contains(n.text, "foundation-model/")
	}) {
		return false, false
	}
	for _, c := range s.conditions {
		if !strings.EqualFold(c.key, profileKey) || !c.hitsMissing() {
			return false, false
		}
		if c.operator.Type != "Null" {
			m.excepts = append(m.excepts, c.value.list())
		}
	}
	return true, false
}

// profiles are those that are allowed and that no denial leaves out, as they are written.
func (m *meaning) profiles() []*node {
	meant := m.allowed
	if len(meant) == 0 && (m.any || !m.allows) && len(m.excepts) > 0 {
		meant = m.excepts[0]
	}
	return slices.DeleteFunc(slices.Clone(meant), func(n *node) bool {
		return slices.ContainsFunc(m.excepts, func(except []*node) bool {
			return !slices.ContainsFunc(except, func(e *node) bool { return covers(profileNamed(e), profileNamed(n)) })
		})
	})
}

// look returns the profile whose name stands in an ARN.
func (c *Correction) look(p *profileARN, find func(string) (guard.Profile, bool)) guard.Profile {
	if find != nil {
		if found, ok := find(p.id); ok {
			return found
		}
	}
	c.Missing = append(c.Missing, p.id)
	id := placeholder + p.id
	if strings.HasPrefix(p.id, placeholder) {
		id = p.id
	}
	return guard.Profile{ARN: "arn:" + p.partition + ":bedrock:" + p.region + ":" + p.account + ":application-inference-profile/" + id}
}
