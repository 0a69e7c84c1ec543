package lint

import (
	"errors"
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

// Correct returns the policy that lets models be called through the profiles that an identity-based document names, and
// in no other way. What it says of anything else is kept as it is. Find returns the profile of a name; nil knows none.
// There is a correction only for what has to do with profiles, where the statements that are about calling models are
// about nothing else.
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
	out := &Correction{}
	var kept []jsontext.Value
	var profiles []guard.Profile
	models := map[string]bool{}
	for _, s := range l.statements {
		if !s.invokes() {
			kept = append(kept, l.doc.text[s.node.start:s.node.end])
			continue
		}
		if s.notAction || slices.ContainsFunc(s.actions, func(n *node) bool {
			return !strings.HasPrefix(strings.ToLower(n.text), invokeModel)
		}) {
			return nil, errNoCorrection
		}
		named := s.resources
		if c, ok := s.on(profileKey); ok {
			named = slices.Concat(named, c.value.list())
		}
		for _, n := range named {
			p, ok := parseProfile(n.text)
			switch {
			case !ok && s.allows() && strings.Contains(n.text, "foundation-model/"):
				_, id, _ := strings.Cut(n.text, "foundation-model/")
				models[id] = true
			case !ok:
			case p.named():
				profiles = append(profiles, out.look(&p, find))
			default:
				profiles = append(profiles, guard.Profile{ARN: n.text})
			}
		}
	}
	if len(profiles) == 0 {
		return nil, errNoCorrection
	}
	// Which models are behind a profile is the profile's to say, unless the document has named some.
	ids := []string{"*"}
	if len(models) > 0 && !models["*"] {
		ids = ids[:0]
		for id := range models {
			ids = append(ids, id)
		}
	}
	for i := range profiles {
		if len(profiles[i].Models) == 0 {
			profiles[i].Models = ids
		}
	}
	partition, _, _ := strings.Cut(strings.TrimPrefix(profiles[0].ARN, "arn:"), ":")
	written, err := guard.Write(guard.Config{Profiles: profiles, Partition: partition})
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
	if parse(Identity, out.Document) != nil { // for what is kept, or for an ARN that is none
		return nil, errNoCorrection
	}
	return out, nil
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
