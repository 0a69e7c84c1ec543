package upstream

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// EachReference calls f with each member of body, a request in any vendor's JSON, whose name stands for something that the
// vendor fetches or has stored, and stops at f's first error. The members of what a tool takes, is called with or answers
// are the tool's, and so is metadata the caller's: what they are named means nothing. prefixes are what the names begin with:
// a body without any is not read, unless a name may be hidden in escapes or in UTF-16 or UTF-32, which some vendors may read.
// One that has one and is no JSON is refused, and so is one in these. path is the member's in body, "input.0.file_id".
//
// What is fetched so is fetched with this server's credentials, whoever asks: so a provider refuses it unless its
// configuration says that all who may call may have it.
func EachReference(body []byte, prefixes []string, is func(name string) bool, f func(name, path string, v jsontext.Value) error) error {
	has := func(s string) bool { return bytes.Contains(body, []byte(s)) }
	if !slices.ContainsFunc(prefixes, has) && !has(`\u00`) && !wide(body) {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for depth := 0; ; {
		t, err := d.ReadToken()
		if err != nil {
			return malformed(err)
		}
		switch t.Kind() {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			if kind, n := d.StackIndex(d.StackDepth()); kind != '{' || n%2 == 0 { // no name
				break
			}
			switch name := t.String(); {
			case is(name):
				path := d.StackPointer()
				v, err := d.ReadValue()
				if err != nil {
					return malformed(err)
				}
				if err := f(name, Clip(strings.Join(slices.Collect(path.Tokens()), ".")), v); err != nil {
					return err
				}
			case opaque[name] > 0 && depth >= opaque[name] && d.PeekKind() == '{':
				if err := d.SkipValue(); err != nil {
					return malformed(err)
				}
			}
		}
		if depth == 0 {
			return nil
		}
	}
}

// wide reports whether body may be JSON in UTF-16 or UTF-32: its first character or the mark before it has a byte of zeros, or
// it begins with UTF-16's mark. Source: https://www.rfc-editor.org/rfc/rfc4627#section-3
func wide(body []byte) bool {
	head := body[:min(4, len(body))]
	return bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

func malformed(err error) error {
	return fault.Wrap(err, fault.Validation, "The request is malformed: it is no JSON object.")
}

// Stored refuses what r names of what is stored at the upstream called name, in terms of OpenAI's or Anthropic's API: in its
// own body, if native, else among its additional fields. Whoever has stored it, the upstream's key reads it.
func (r *Request) Stored(native bool, name string) error {
	switch {
	case native:
		return stored(r.Native.Body, "", name)
	case r.Body != nil:
		return stored(r.Body.AdditionalModelRequestFields, "additionalModelRequestFields.", name)
	}
	return nil
}

func stored(body []byte, at, name string) error {
	refuse := func(_, path string, v jsontext.Value) error {
		if v.Kind() == 'n' {
			return nil
		}
		f := fault.New(fault.Validation, "%s%s: the upstream %s reads nothing that is stored there for its callers. Send the data itself.", at, path, name)
		f.Resource = path
		return f
	}
	files := func(member string) bool {
		return member == "file_id" || member == "file_ids" || member == "vector_store_ids"
	}
	if err := EachReference(body, []string{`"file_id`, `"vector_store_ids`}, files, refuse); err != nil {
		return err
	}
	places := func(member string) bool {
		return member == "container" || member == "container_id" || member == "skills"
	}
	return EachReference(body, []string{`"container`, `"skills`}, places, func(member, path string, v jsontext.Value) error {
		if member == "container" && v.Kind() == '{' && isNew(v) || member == "skills" && ownSkills(v) {
			return nil
		}
		return refuse(member, path, v)
	})
}

// isNew says that v, what a request says of the container that code runs in, asks for a new one with nothing in it but the
// vendor's own skills. One that has an id keeps the files of the calls before.
// Source: https://docs.claude.com/en/docs/build-with-claude/skills-guide,
// https://developers.openai.com/api/docs/guides/tools-code-interpreter
func isNew(v jsontext.Value) bool {
	var c struct {
		ID     jsontext.Value `json:"id"`
		Skills jsontext.Value `json:"skills"`
	}
	if json.Unmarshal(v, &c, jsontext.AllowInvalidUTF8(true)) != nil {
		return false
	}
	none := func(v jsontext.Value) bool { return v == nil || v.Kind() == 'n' }
	return none(c.ID) && (none(c.Skills) || ownSkills(c.Skills))
}

// ownSkills says that v names no skill that somebody has uploaded: its skills are the vendor's, come with the request, or lie
// where the caller runs them. Whose an uploaded one is, its vendor does not ask.
// Source: https://docs.claude.com/en/docs/build-with-claude/skills-guide, https://developers.openai.com/api/docs/guides/tools-skills
func ownSkills(v jsontext.Value) bool {
	var skills []struct {
		Type string `json:"type"`
		ID   string `json:"skill_id"`
	}
	if json.Unmarshal(v, &skills, jsontext.AllowInvalidUTF8(true)) != nil {
		return false
	}
	for _, s := range skills {
		switch {
		case s.Type == "anthropic", s.ID == "" && s.Type != "skill_reference", s.Type == "skill_reference" && strings.HasPrefix(s.ID, "openai-"):
		default:
			return false
		}
	}
	return true
}

// opaque are the members whose insides are a tool's or the caller's own, and how deep they stand at least: a body's own input is
// what is asked of the model.
var opaque = map[string]int{
	"input": 2, "json": 2, "inputSchema": 2, "input_schema": 2, "parameters": 2, "arguments": 2, "schema": 2,
	"requestMetadata": 1, "metadata": 1,
}
