package bedrock

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// credible says that counts can be numbers of tokens.
func credible(counts ...int64) bool {
	return !slices.ContainsFunc(counts, func(n int64) bool { return n < 0 || n > outbound.MaxTokens })
}

// tokenUsage is Converse's TokenUsage.
type tokenUsage struct {
	InputTokens           *int64 `json:"inputTokens"`
	OutputTokens          *int64 `json:"outputTokens"`
	CacheReadInputTokens  int64  `json:"cacheReadInputTokens"`
	CacheWriteInputTokens int64  `json:"cacheWriteInputTokens"`
	CacheDetails          []struct {
		TTL         string `json:"ttl"`
		InputTokens int64  `json:"inputTokens"`
	} `json:"cacheDetails"`
}

// usage returns what u tells; ok is false where u is nil, lacks what every usage has, or has a count that cannot be.
func (u *tokenUsage) usage() (out converse.Usage, ok bool) {
	if u == nil || u.InputTokens == nil || u.OutputTokens == nil || !credible(*u.InputTokens, *u.OutputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens) {
		return out, false
	}
	out = converse.Usage{
		InputTokens: *u.InputTokens, OutputTokens: *u.OutputTokens,
		CacheReadInputTokens: u.CacheReadInputTokens, CacheWriteInputTokens: u.CacheWriteInputTokens,
	}
	for _, d := range u.CacheDetails {
		if d.TTL == "1h" && credible(d.InputTokens) {
			out.CacheWrite1hInputTokens = min(out.CacheWrite1hInputTokens+d.InputTokens, out.CacheWriteInputTokens)
		}
	}
	return out, true
}

// bodyUsage is where InvokeModel's bodies and chunks tell their usage: Bedrock's own member, which it adds to the last
// chunk of a stream, and the members that the models' families have. Cached tokens are no part of the input in any of
// them but OpenAI's.
type bodyUsage struct {
	Metrics *struct {
		Input      int64 `json:"inputTokenCount"`
		Output     int64 `json:"outputTokenCount"`
		CacheRead  int64 `json:"cacheReadInputTokenCount"`
		CacheWrite int64 `json:"cacheWriteInputTokenCount"`
	} `json:"amazon-bedrock-invocationMetrics"`

	familyUsage
	Message  struct{ familyUsage } `json:"message"`  // Anthropic's message_start
	Metadata struct{ familyUsage } `json:"metadata"` // Nova's last event

	// Meta Llama's.
	PromptTokens     *int64 `json:"prompt_token_count"`
	GenerationTokens *int64 `json:"generation_token_count"`

	// Titan's, text and embeddings.
	InputTextTokens *int64 `json:"inputTextTokenCount"`
	Results         []struct {
		TokenCount int64 `json:"tokenCount"`
	} `json:"results"`
}

type familyUsage struct {
	Usage *struct {
		// Anthropic's.
		Input         int64 `json:"input_tokens"`
		Output        int64 `json:"output_tokens"`
		CacheRead     int64 `json:"cache_read_input_tokens"`
		CacheWrite    int64 `json:"cache_creation_input_tokens"`
		CacheCreation struct {
			OneHour int64 `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`

		// Nova's.
		InputTokens      int64 `json:"inputTokens"`
		OutputTokens     int64 `json:"outputTokens"`
		CacheReadTokens  int64 `json:"cacheReadInputTokenCount"`
		CacheWriteTokens int64 `json:"cacheWriteInputTokenCount"`

		// OpenAI's, which AI21 Jamba, Mistral, DeepSeek and others have as well.
		Prompt        int64 `json:"prompt_tokens"`
		Completion    int64 `json:"completion_tokens"`
		PromptDetails struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
}

// largestCounted bounds the bodies that are read for their usage: larger ones are pictures.
const largestCounted = 1 << 20

// tally is what is known of the usage of an answer in a model's own format.
type tally struct {
	converse.Usage
	told  bool   // the usage is Bedrock's, or the model's own
	said  int64  // estimated tokens of the output seen
	guess int64  // of the input, until it is told
	stop  string // why the model stopped, in Converse's words; "" until it says

	guessed bool // the units are a guess: nothing else is estimated
}

// chunk reads one chunk of a stream. last says that Bedrock has added its metrics: it does to the last one.
func (t *tally) chunk(b []byte) (last bool) {
	t.said += outputTokens(b)
	if says(b) {
		t.stop = cmp.Or(stopReason(b), t.stop)
	}
	if last = bytes.Contains(b, []byte(`"amazon-bedrock-invocationMetrics"`)); last || bytes.Contains(b, []byte(`"usage"`)) {
		t.body(b)
	}
	return last
}

// soFar is the usage as far as it is known: what is not told yet is estimated.
func (t *tally) soFar() converse.Usage {
	u := t.Usage
	if t.untold() {
		u.InputTokens = t.guess
	}
	u.OutputTokens = max(u.OutputTokens, t.said)
	return u
}

// untold says that nothing is known of the input.
func (t *tally) untold() bool {
	return t.InputTokens+t.CacheReadInputTokens+t.CacheWriteInputTokens == 0
}

// body reads what a body or a chunk tells. A later one adds to what an earlier one told.
func (t *tally) body(b []byte) {
	var in bodyUsage
	if len(b) > largestCounted || json.Unmarshal(b, &in) != nil {
		return
	}
	for i, f := range [...]familyUsage{in.familyUsage, in.Metadata.familyUsage, in.Message.familyUsage} {
		u := f.Usage
		if u == nil || !credible(u.Input, u.InputTokens, u.Prompt, u.Output, u.OutputTokens, u.Completion, u.CacheRead, u.CacheReadTokens,
			u.PromptDetails.Cached, u.CacheWrite, u.CacheWriteTokens, u.CacheCreation.OneHour) {
			continue
		}
		t.InputTokens = max(t.InputTokens, u.Input, u.InputTokens, u.Prompt-u.PromptDetails.Cached)
		t.OutputTokens = max(t.OutputTokens, u.Output, u.OutputTokens, u.Completion)
		t.CacheReadInputTokens = max(t.CacheReadInputTokens, u.CacheRead, u.CacheReadTokens, u.PromptDetails.Cached)
		t.CacheWriteInputTokens = max(t.CacheWriteInputTokens, u.CacheWrite, u.CacheWriteTokens)
		t.CacheWrite1hInputTokens = max(t.CacheWrite1hInputTokens, u.CacheCreation.OneHour)
		t.told = t.told || i < 2 && t.Usage != (converse.Usage{}) // what message_start says of the output is of no use
	}
	if in.PromptTokens != nil && in.GenerationTokens != nil && credible(*in.PromptTokens, *in.GenerationTokens) {
		t.InputTokens, t.OutputTokens, t.told = *in.PromptTokens, *in.GenerationTokens, true
	}
	if in.InputTextTokens != nil && credible(*in.InputTextTokens) {
		t.InputTokens, t.told = *in.InputTextTokens, true
		for _, r := range in.Results {
			if credible(r.TokenCount) {
				t.OutputTokens = min(t.OutputTokens+r.TokenCount, outbound.MaxTokens)
			}
		}
	}
	if m := in.Metrics; m != nil && credible(m.Input, m.Output, m.CacheRead, m.CacheWrite) {
		t.InputTokens, t.OutputTokens, t.told = m.Input, m.Output, true
		t.CacheReadInputTokens, t.CacheWriteInputTokens = m.CacheRead, m.CacheWrite
	}
}

// header reads the counts that InvokeModel answers in headers. They are in no document of AWS's, but in every recorded
// answer of a model that counts tokens, for instance in those of dd-trace-js and openllmetry. They say nothing of the
// time to live of what was written to the cache: that is in the body.
func (t *tally) header(h http.Header) {
	var u converse.Usage
	for _, count := range []struct {
		name string
		to   *int64
	}{{"Input", &u.InputTokens}, {"Output", &u.OutputTokens}, {"Cache-Read-Input", &u.CacheReadInputTokens}, {"Cache-Write-Input", &u.CacheWriteInputTokens}} {
		text := h.Get("X-Amzn-Bedrock-" + count.name + "-Token-Count")
		if text == "" && count.to != &u.InputTokens { // embeddings have no output
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !credible(n) {
			return
		}
		*count.to = n
	}
	t.Usage, t.told = u, true
}

// outputTokens estimates what a model has written in an answer or a chunk of one, whatever its format.
func outputTokens(b []byte) int64 { return textTokens(b, false) }

// textTokens is converse's estimate of each string and each tool's input that stands in b under a name by which the
// families call such, and of the tools' names: of an answer, or also those of a prompt.
func textTokens(b []byte, prompt bool) (n int64) {
	counts := false
	for {
		s, rest, ok := nextString(b)
		if !ok {
			return n
		}
		b = bytes.TrimLeft(rest, " \n\t\r")
		if len(b) == 0 || b[0] != ':' {
			if counts {
				n += estimate(s)
			}
			continue
		}
		switch string(s) {
		case "text", "partial_json", "thinking", "outputText", "generation", "content", "completion", "reasoning", "reasoning_content", "name":
			counts = true
		case "input", "arguments": // text, or the object itself
			counts = true
			if object := bytes.TrimLeft(b[1:], " \n\t\r"); len(object) > 0 && object[0] == '{' {
				if end := objectLen(object); end > len("{}") {
					n += converse.EstimateTokens(string(object[:end]))
					b = object[end:]
				}
			}
		case "prompt", "inputText", "message", "texts", "system", "preamble":
			counts = prompt
		default:
			counts = false
		}
	}
}

// estimate estimates the inside of a JSON string.
func estimate(inside []byte) int64 {
	if bytes.IndexByte(inside, '\\') < 0 {
		return converse.EstimateTokens(string(inside))
	}
	var short, plain [128]byte // a piece fits in
	quoted := append(append(append(short[:0], '"'), inside...), '"')
	text, err := jsontext.AppendUnquote(plain[:0], quoted)
	if err != nil && len(text) == 0 {
		text = inside
	}
	return converse.EstimateTokens(string(text))
}

// objectLen returns the length of the JSON object that b begins with, 0 where it does not end.
func objectLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			_, rest, ok := nextString(b[i:])
			if !ok {
				return 0
			}
			i = len(b) - len(rest) - 1
		}
	}
	return 0
}

// nextString returns the inside of the next JSON string in b and what follows it.
func nextString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '"')
	if i < 0 {
		return nil, nil, false
	}
	b = b[i+1:]
	for end := 0; ; end++ {
		i := bytes.IndexByte(b[end:], '"')
		if i < 0 {
			return nil, nil, false
		}
		end += i
		escapes := 0
		for end-escapes > 0 && b[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return b[:end], b[end+1:], true
		}
	}
}
