// Package outbound is what the dialects have in common where they face a model's server: the words in which a writer refuses
// what its format cannot say, the merging of additional fields, and how far a decoder believes the usage that it is told.
package outbound

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// Refuse returns the fault.Validation of a request that the format of the server called upstream cannot express. path is
// that of the member in the Converse request.
func Refuse(upstream, format, path string) error {
	return fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks %s, which has no equivalent. Remove it and try again.", path, upstream, format)
}

// At is the path of a content block.
func At(message, block int) string {
	return "messages." + strconv.Itoa(message) + ".content." + strconv.Itoa(block)
}

// Beyond returns the path of the first member of r that asks for what a body without a schema for its answer and without
// classes of service cannot, "" where there is none. An upstream that has another way to say it, as Bedrock's InvokeModel
// has in its headers, takes it out of the request first.
func Beyond(r *converse.Request) string {
	switch t := r.ServiceTier; {
	case r.OutputConfig != nil && r.OutputConfig.TextFormat != nil:
		return "outputConfig.textFormat"
	case t != nil && t.Type != "default" && t.Type != "":
		return "serviceTier." + t.Type
	}
	return BedrockOnly(r)
}

// BedrockOnly returns the path of the first member of r that asks for what no vendor's body can: only Bedrock itself has
// it. It returns "" where there is none.
func BedrockOnly(r *converse.Request) string {
	switch p := r.PerformanceConfig; {
	case p != nil && p.Latency != "standard" && p.Latency != "":
		return "performanceConfig.latency." + p.Latency
	case len(r.GuardrailConfig) > 0:
		return "guardrailConfig"
	case len(r.PromptVariables) > 0:
		return "promptVariables"
	}
	return ""
}

// OneText returns what r says for a format that takes one text and nothing else: the texts of the one turn, joined by a line
// break. Where r has more, beyond is the path of the first member that the format has no place for.
func OneText(r *converse.Request) (text, beyond string) {
	for i := range r.System {
		switch b := &r.System[i]; {
		case b.Text != nil:
			return "", "system." + strconv.Itoa(i) + ".text"
		case len(b.GuardContent) > 0:
			return "", "system." + strconv.Itoa(i) + ".guardContent"
		}
	}
	if len(r.Messages) > 1 {
		return "", "messages.1"
	}
	var texts []string
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			switch b := &r.Messages[i].Content[j]; {
			case b.Text != nil:
				texts = append(texts, *b.Text)
			case b.CachePoint != nil:
			default:
				return "", At(i, j) + "." + b.Member()
			}
		}
	}
	if r.ToolConfig != nil {
		return "", "toolConfig"
	}
	return strings.Join(texts, "\n"), ""
}

// Schema returns the schema that c wants the answer to follow, and its text, a JSON object. It returns nil where c wants
// none, and a fault.Validation, of what is no object or in the words of Refuse, for what is no schema. c may be nil.
func Schema(c *converse.OutputConfig, upstream, format string) (s *converse.JSONSchema, object jsontext.Value, err error) {
	if c == nil || c.TextFormat == nil {
		return nil, nil, nil
	}
	s = c.TextFormat.Structure.JSONSchema
	if c.TextFormat.Type != "json_schema" || s == nil {
		return nil, nil, Refuse(upstream, format, "outputConfig.textFormat."+c.TextFormat.Type)
	}
	if object, err = s.Object(); err != nil {
		return nil, nil, err
	}
	return s, object, nil
}

// additionalPath is where the additional fields stand in a Converse request.
const additionalPath = "additionalModelRequestFields"

// Additional calls f with each of r's additional fields. It stops at the first error of f, and fails with a
// fault.Validation where they are no JSON object.
func Additional(r *converse.Request, f func(name string, v jsontext.Value) error) error {
	if len(r.AdditionalModelRequestFields) == 0 {
		return nil
	}
	return Members(additionalPath, r.AdditionalModelRequestFields, f)
}

// Translated is Additional for a server that does not speak the format that the fields may be from: what another vendor
// calls top_k is called so, and what one vendor alone has is refused in the words of Refuse, unless it is false or null,
// which asks for nothing. Any other field keeps its name: a server may know more than is known here.
func Translated(r *converse.Request, upstream, format string, f func(name string, v jsontext.Value) error) error {
	refuse := func(name string, v jsontext.Value) error {
		if k := v.Kind(); k == 'f' || k == 'n' {
			return nil
		}
		return Refuse(upstream, format, additionalPath+"."+name)
	}
	return Additional(r, func(name string, v jsontext.Value) error {
		switch name {
		case "k": // Cohere's
			return f("top_k", v)
		case "inferenceConfig": // Nova's
			return Members(additionalPath+".inferenceConfig", v, func(name string, v jsontext.Value) error {
				if name == "topK" {
					return f("top_k", v)
				}
				return refuse("inferenceConfig."+name, v)
			})
		case "reasoningConfig", "textGenerationConfig", // of Nova and Titan
			"search_queries_only", "prompt_truncation", "return_prompt", "raw_prompting", "force_single_step", "citation_quality", "safety_mode",
			"num_generations", "return_likelihoods", "truncate", // of Cohere
			"numResults", "minTokens", "countPenalty", "presencePenalty", "frequencyPenalty": // of Jurassic-2
			return refuse(name, v)
		}
		return f(name, v)
	})
}

// Owned returns the fault.Validation of an additional field that the request has members of its own for. name is its path
// within the additional fields.
func Owned(upstream, name string) error {
	return fault.New(fault.Validation, additionalPath+".%s: upstream %q takes it from the request's own members. Remove it and try again.", name, upstream)
}

// OfAnthropic reports whether an additional field names features of Anthropic's API, as the bodies of its clients do. The
// servers of other vendors do without.
func OfAnthropic(name string) bool { return name == "anthropic_beta" || name == "anthropic_version" }

// AnthropicServes reports whether an additional field is about what Anthropic's own service does beside running the model: calling
// tools at other servers, running code in containers, staying in a country; and whether its value v asks for any of it. A server of
// another format that passes it over would answer another request.
// Source: https://docs.claude.com/en/api/messages (mcp_servers, container, inference_geo)
func AnthropicServes(name string, v jsontext.Value) (its, asked bool) {
	nothing := ""
	switch name {
	case "mcp_servers":
		nothing = "[]"
	case "inference_geo":
		nothing = `"global"`
	case "container":
	default:
		return false, false
	}
	return true, v.Kind() != 'n' && string(v) != nothing
}

// Members is converse.EachMember, with a fault.Validation for what stands at path and is no JSON object.
func Members(path string, object jsontext.Value, f func(name string, v jsontext.Value) error) error {
	err := converse.EachMember(object, f)
	if errors.Is(err, converse.ErrNotObject) {
		return fault.New(fault.Validation, "%s is not a JSON object.", path)
	}
	return err
}

// AppendMember appends a member to an object that has one already.
func AppendMember(dst []byte, name string, v jsontext.Value) []byte {
	dst = append(dst, ',')
	dst = converse.AppendQuote(dst, name)
	dst = append(dst, ':')
	return append(dst, v...)
}

// Parameters is what a format calls the members of Converse's inferenceConfig, "" what it has no place for.
type Parameters struct{ MaxTokens, Temperature, TopP, StopSequences string }

// Append appends those of c's members that are set, each after a comma, but for those that the format has no place for. c
// may be nil.
func (p *Parameters) Append(dst []byte, c *converse.InferenceConfig) []byte {
	if c == nil {
		return dst
	}
	begin := func(name string) {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
	}
	if c.MaxTokens != nil && p.MaxTokens != "" {
		begin(p.MaxTokens)
		dst = strconv.AppendInt(dst, int64(*c.MaxTokens), 10)
	}
	if c.Temperature != nil && p.Temperature != "" {
		begin(p.Temperature)
		dst = jsontext.AppendFloat(dst, *c.Temperature, 64)
	}
	if c.TopP != nil && p.TopP != "" {
		begin(p.TopP)
		dst = jsontext.AppendFloat(dst, *c.TopP, 64)
	}
	if len(c.StopSequences) > 0 && p.StopSequences != "" {
		begin(p.StopSequences)
		for i, s := range c.StopSequences {
			if i == 0 {
				dst = append(dst, '[')
			} else {
				dst = append(dst, ',')
			}
			dst = converse.AppendQuote(dst, s)
		}
		dst = append(dst, ']')
	}
	return dst
}

// AppendObject appends `,"name":` and the object of those of c's members that are set and of rest, further members which
// begin with a comma each; nothing where there are none.
func (p *Parameters) AppendObject(dst []byte, name string, c *converse.InferenceConfig, rest []byte) []byte {
	start := len(dst)
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	open := len(dst)
	dst = append(p.Append(dst, c), rest...)
	if len(dst) == open {
		return dst[:start]
	}
	dst[open] = '{' // for the first comma
	return append(dst, '}')
}

// Set reports whether c sets the parameter that the format calls name. c may be nil.
func (p *Parameters) Set(c *converse.InferenceConfig, name string) bool {
	if c == nil || name == "" {
		return false
	}
	switch name {
	case p.MaxTokens:
		return c.MaxTokens != nil
	case p.Temperature:
		return c.Temperature != nil
	case p.TopP:
		return c.TopP != nil
	case p.StopSequences:
		return len(c.StopSequences) > 0
	}
	return false
}

// ToolUseID brings a server's id into the form that Converse accepts back, [a-zA-Z0-9_.:-]{1,64}. The server sees
// the changed id in both the call and its result, so they still match. Of no id it makes none.
func ToolUseID(id string) string {
	if len(id) <= 64 && !slices.ContainsFunc([]byte(id), notInID) {
		return id
	}
	b := []byte(id)
	for i, c := range b {
		if notInID(c) {
			b[i] = '_'
		}
	}
	return string(b[max(0, len(b)-64):]) // ids differ at their ends
}

func notInID(c byte) bool {
	return c != '_' && c != '-' && c != '.' && c != ':' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
}
