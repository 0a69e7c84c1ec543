package upstream

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// EachReference calls f with each member of body, a request in any vendor's JSON, whose name stands for something that the
// vendor fetches or has stored, and stops at f's first error. The members of what a tool takes, is called with or answers
// are the tool's, and so is metadata the caller's: what they are named means nothing. prefix is what the names begin with:
// a body without it is not read, unless a name may be hidden in escapes or in UTF-16 or UTF-32, which some vendors may read.
// One that has it and is no JSON is refused, and so is one in these.
//
// What is fetched so is fetched with this server's credentials, whoever asks: so a provider refuses it unless its
// configuration says that all who may call may have it.
func EachReference(body []byte, prefix string, is func(name string) bool, f func(name string, v jsontext.Value) error) error {
	if !bytes.Contains(body, []byte(prefix)) && !bytes.Contains(body, []byte(`\u00`)) && !wide(body) {
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
				v, err := d.ReadValue()
				if err != nil {
					return malformed(err)
				}
				if err := f(name, v); err != nil {
					return err
				}
			case depth > 1 && opaque[name] && d.PeekKind() == '{':
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
		return stored(r.Native.Body, name)
	case r.Body != nil:
		return stored(r.Body.AdditionalModelRequestFields, name)
	}
	return nil
}

func stored(body []byte, name string) error {
	refuse := func(member string, v jsontext.Value) error {
		if v.Kind() == 'n' {
			return nil
		}
		f := fault.New(fault.Validation, "%s: the upstream %s reads nothing that is stored there for its callers. Send the data itself.", member, name)
		f.Resource = member
		return f
	}
	files := func(member string) bool { return member == "file_id" || member == "file_ids" }
	stores := func(member string) bool { return member == "vector_store_ids" }
	containers := func(member string) bool { return member == "container" || member == "container_id" }
	if err := EachReference(body, `"file_id`, files, refuse); err != nil {
		return err
	}
	if err := EachReference(body, `"vector_store_ids`, stores, refuse); err != nil {
		return err
	}
	return EachReference(body, `"container`, containers, func(member string, v jsontext.Value) error {
		if v.Kind() == '{' && isNew(v) {
			return nil
		}
		return refuse(member, v)
	})
}

// isNew says that v, what a request says of the container that code runs in, asks for a new one with nothing in it but the
// vendor's own skills. One that has an id keeps the files of the calls before, and custom skills are its owner's.
// Source: https://docs.claude.com/en/docs/build-with-claude/skills-guide,
// https://developers.openai.com/api/docs/guides/tools-code-interpreter
func isNew(v jsontext.Value) bool {
	var c struct {
		ID     jsontext.Value `json:"id"`
		Skills []struct {
			Type string `json:"type"`
		} `json:"skills"`
	}
	if json.Unmarshal(v, &c, jsontext.AllowInvalidUTF8(true)) != nil || c.ID != nil && c.ID.Kind() != 'n' {
		return false
	}
	for _, s := range c.Skills {
		if s.Type != "anthropic" {
			return false
		}
	}
	return true
}

// opaque are the members whose insides are a tool's or the caller's own.
var opaque = map[string]bool{
	"input": true, "json": true, "inputSchema": true, "input_schema": true, "parameters": true, "arguments": true, "schema": true,
	"requestMetadata": true, "metadata": true,
}
