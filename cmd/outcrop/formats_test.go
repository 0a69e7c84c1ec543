package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/ledger"
)

var update = flag.Bool("update", false, "rewrite the generated parts of docs/formats.md and docs/formats.ja.md")

// What becomes of a feature of a request or of an answer on its way.
const (
	arrives  = "yes"
	asItIs   = "as is"   // under the caller's own name for it, which the server may not know
	hint     = "hint"    // left out, and changes no answer
	refused  = "refused" // with an error that names it
	noForm   = "–"       // the caller's format, or the upstream, has no way to say it
	lost     = "LOST"
	verbatim = "verbatim" // the whole body goes on as it came
)

// An inbound is one format that clients speak to this server.
type inbound struct {
	name  string
	model string
	path  string // with %s for the model, or "" and the model stands in the body
	base  string // the members of a plain request

	// By feature, the members that ask for it, which replace base's. What is not here the format has no form of. The forms
	// are those of the vendors' documents.
	features map[string]string
}

func (in *inbound) url(stream bool) string {
	switch {
	case in.path != "converse" && in.path != "invoke":
		return in.path
	case in.path == "converse" && stream:
		return "/model/" + in.model + "/converse-stream"
	case in.path == "invoke" && stream:
		return "/model/" + in.model + "/invoke-with-response-stream"
	}
	return "/model/" + in.model + "/" + in.path
}

// body is the request with what members replace, for a stream where the body says so.
func (in *inbound) body(t testing.TB, members string, stream bool) string {
	t.Helper()
	all := map[string]jsontext.Value{}
	for _, part := range []string{in.base, members} {
		if part == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part), &all); err != nil {
			t.Fatalf("%s: %v in %s", in.name, err, part)
		}
	}
	if stream && strings.HasPrefix(in.path, "/") {
		all["stream"] = jsontext.Value("true")
		if strings.HasSuffix(in.path, "/chat/completions") {
			all["stream_options"] = jsontext.Value(`{"include_usage":true}`)
		}
	}
	b, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A feature is something that a request may ask for or hold.
type feature struct {
	name string
	// By an upstream's format, the forms in which it arrives: patterns of matches.
	openai, responses, anthropic, converse []string
	// Left out without harm by upstreams of the format openai, and by simulated models.
	hint bool
	// Words, one of which a refusal has. Of a feature without any a refusal is a defect.
	names []string
	// What the call's entry in the ledger must have among its metadata; such a feature is not for the model.
	kept ledger.Tag
	// The words that the request has of it, which arrive as they are where the form is none of the above.
	words []string
}

// matches reports whether v is of the form p: an object has p's members and maybe more, an array has p's elements in
// their order and maybe others between, "~word" is anything that holds the word, and "!" is that there is no such member.
func matches(p, v any) bool {
	switch p := p.(type) {
	case map[string]any:
		o, ok := v.(map[string]any)
		if !ok {
			return false
		}
		for name, want := range p {
			got, there := o[name]
			if want == "!" {
				if there {
					return false
				}
				continue
			}
			if !there || !matches(want, got) {
				return false
			}
		}
		return true
	case []any:
		a, ok := v.([]any)
		if !ok {
			return false
		}
		for _, e := range a {
			if len(p) > 0 && matches(p[0], e) {
				p = p[1:]
			}
		}
		return len(p) == 0
	case string:
		if word, ok := strings.CutPrefix(p, "~"); ok {
			return holds(v, word)
		}
	}
	return p == v
}

// holds reports whether a string anywhere in v has word in it.
func holds(v any, word string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, word)
	case map[string]any:
		for _, e := range v {
			if holds(e, word) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, word) })
	}
	return false
}

func parse(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	return v
}

// A column is one kind of upstream.
type column struct {
	name   string // its provider
	title  string
	format string // of what arrives: openai, responses, anthropic, converse
	other  bool   // of bedrock: behind every id stands a model of another vendor

	gateway *gateway
	vendor  *vendor
	seen    *recorder
}

func startColumns(t *testing.T) []*column { return startColumnsLogging(t, t.Output()) }

func startColumnsLogging(t *testing.T, log io.Writer) []*column {
	columns := []*column{
		{name: "openai", title: "openai", format: "openai"},
		{name: "openai", title: "openai, Responses", format: "responses"},
		{name: "anthropic", title: "anthropic", format: "anthropic"},
		{name: "bedrock", title: "bedrock, the same model", format: "converse"},
		{name: "bedrock", title: "bedrock, another vendor's", format: "converse", other: true},
		{name: "simulated", title: "simulated", format: "converse"},
	}
	for _, c := range columns {
		models := map[string]string{}
		for i := range inbounds {
			id := inbounds[i].model
			models[id] = id
			if c.other {
				if models[id] = "amazon.nova-pro-v1:0"; strings.HasPrefix(id, "amazon.nova") {
					models[id] = "anthropic.claude-sonnet-4-5-20250929-v1:0"
				}
			}
		}
		if c.name == "simulated" {
			c.gateway = startGatewayLogging(t, log, func(cfg *Config) {
				cfg.Upstreams = []UpstreamConfig{{Name: "sim", Provider: "simulated", Models: models}}
			})
			c.seen = &recorder{Provider: c.gateway.upstream[0].Provider}
			c.gateway.upstream[0].Provider = c.seen
			continue
		}
		c.vendor = startVendor(t)
		c.gateway = startGatewayLogging(t, log, func(cfg *Config) {
			cfg.Upstreams = []UpstreamConfig{c.vendor.to(t, cmp.Or(map[string]string{"responses": "responses"}[c.format], c.name), models)}
		})
	}
	return columns
}

// ask sends a request and returns what arrived at the upstream, nil where nothing did, and what the caller was told.
func (c *column) ask(t *testing.T, in *inbound, body string, stream bool, answer http.HandlerFunc) (arrived []byte, status int, h http.Header, told []byte) {
	t.Helper()
	if c.vendor != nil {
		c.vendor.answers(answer)
	} else {
		c.seen.mu.Lock()
		c.seen.asked = nil
		c.seen.mu.Unlock()
	}
	status, h, told = c.gateway.post(t, in.url(stream), body)
	if c.vendor != nil {
		_, arrived = c.vendor.last()
		return arrived, status, h, told
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	return c.seen.asked, status, h, told
}

// request says what becomes of feature f of a request from in to c.
func (c *column) request(t *testing.T, in *inbound, f *feature) string {
	members, ok := in.features[f.name]
	if !ok {
		return noForm
	}
	outcome := ""
	for _, stream := range []bool{false, true} {
		body := in.body(t, members, stream)
		one := c.outcome(t, in, f, body, stream)
		if outcome != "" && one != outcome {
			t.Errorf("%s to %s: %s: %s, and of a stream %s", in.name, c.title, f.name, outcome, one)
		}
		outcome = one
	}
	return outcome
}

func (c *column) outcome(t *testing.T, in *inbound, f *feature, body string, stream bool) string {
	arrived, status, h, told := c.ask(t, in, body, stream, plainAnswer(c, stream))
	if arrived == nil {
		if status != http.StatusBadRequest {
			t.Errorf("%s to %s: %s: status %d, %s", in.name, c.title, f.name, status, told)
			return lost
		}
		for _, n := range f.names {
			if strings.Contains(string(told), n) {
				return refused
			}
		}
		t.Errorf("%s to %s: %s is refused without its name (one of %q): %s", in.name, c.title, f.name, f.names, told)
		return lost
	}
	if f.kept != (ledger.Tag{}) {
		id := h.Get("X-Amzn-Requestid")
		if !slices.ContainsFunc(c.gateway.entries(t), func(e *ledger.Entry) bool { return e.Intent.ID.String() == id && slices.Contains(e.Metadata, f.kept) }) {
			t.Errorf("%s to %s: %s: it is not with call %s", in.name, c.title, f.name, id)
			return lost
		}
		return arrives
	}
	if c.name == "bedrock" && in.path == "invoke" && !c.other {
		if string(arrived) != body {
			t.Errorf("%s to %s: %s: the body is not as it came: %s", in.name, c.title, f.name, arrived)
			return lost
		}
		return arrives
	}
	format := c.format
	if c.vendor != nil {
		if path, _ := c.vendor.last(); strings.Contains(path, "/invoke") { // Messages of Anthropic's door
			format = "anthropic"
		}
	}
	doc := parse(t, arrived)
	forms := map[string][]string{"openai": f.openai, "responses": f.responses, "anthropic": f.anthropic, "converse": f.converse}[format]
	for _, p := range forms {
		if matches(parse(t, []byte(p)), doc) {
			return arrives
		}
	}
	if len(f.words) > 0 && !slices.ContainsFunc(f.words, func(w string) bool { return !bytes.Contains(arrived, []byte(w)) }) {
		return asItIs
	}
	if f.hint && (c.name == "openai" || c.name == "simulated") {
		return hint
	}
	t.Errorf("%s to %s: %s is lost (status %d).\nsent    %s\narrived %s\ntold    %.300s", in.name, c.title, f.name, status, body, arrived, told)
	return lost
}

// TestFormats sends every feature of every format to every kind of upstream, and brings every kind of answer back. It
// holds docs/formats.md to what it sees; nothing may be lost without an error.
func TestFormats(t *testing.T) {
	t.Parallel()
	columns := startColumns(t)
	var out strings.Builder
	for i := range inbounds {
		in := &inbounds[i]
		known := map[string]bool{}
		fmt.Fprintf(&out, "\n### %s\n\n| |", in.name)
		for _, c := range columns {
			fmt.Fprintf(&out, " %s |", c.title)
		}
		out.WriteString("\n|" + strings.Repeat(" --- |", len(columns)+1) + "\n")
		row := func(name string, cell func(c *column) string) {
			cells := ""
			for _, c := range columns {
				cells += " " + cell(c) + " |"
			}
			if strings.Trim(cells, " |"+noForm) != "" {
				fmt.Fprintf(&out, "| %s |%s\n", name, cells)
			}
		}
		for j := range features {
			f := &features[j]
			known[f.name] = true
			row(f.name, func(c *column) string { return c.request(t, in, f) })
		}
		for j := range outcomes {
			o := &outcomes[j]
			row("answer: "+o.name, func(c *column) string { return c.answer(t, in, o) })
		}
		for name := range in.features {
			if !known[name] {
				t.Errorf("%s has a feature %q that is none", in.name, name)
			}
		}
	}
	generated(t, "../../docs/formats.md", out.String())
	generated(t, "../../docs/formats.ja.md", out.String())
}

const (
	generatedBegin = "<!-- generated by go test ./cmd/outcrop -run TestFormats -update -->\n"
	generatedEnd   = "<!-- end -->\n"
)

// generated holds the generated part of the file at path to text, or rewrites it.
func generated(t *testing.T, path, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(old), generatedBegin)
	_, tail, ended := strings.Cut(rest, generatedEnd)
	if !ok || !ended {
		t.Fatalf("%s has no generated part", path)
	}
	now := head + generatedBegin + text + "\n" + generatedEnd + tail
	switch {
	case now == string(old):
	case *update && !t.Failed():
		if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the program does; run the test with -update and read what changed", path)
	}
}
