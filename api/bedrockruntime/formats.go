package bedrockruntime

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/dialect/anthropic"
	"outcrop/dialect/cohere"
	"outcrop/dialect/deepseek"
	"outcrop/dialect/jamba"
	"outcrop/dialect/llama"
	"outcrop/dialect/mistral"
	"outcrop/dialect/nova"
	"outcrop/dialect/openai"
	"outcrop/dialect/titan"
	"outcrop/fault"
)

// encoder turns the events of an answer into the chunks of its vendor's stream.
type encoder interface {
	Info() *converse.AnswerInfo // to be completed before Metadata is encoded
	Encode(e *converse.Event, emit func(chunk []byte))
}

// format is what InvokeModel's body means for some models: the functions of a dialect. The zero format is of bodies that
// nobody here reads: they go to an upstream that speaks it, or nowhere.
type format struct {
	name   string // as upstream.Native has it
	parse  func(body []byte) (*converse.Request, error)
	answer func(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte
	stream func(a converse.AnswerInfo) encoder // nil where Bedrock does not stream the format

	parseEmbedding   func(body []byte) (*converse.EmbeddingRequest, error)
	answerEmbeddings func(dst []byte, r *converse.EmbeddingRequest, out *converse.Embeddings) []byte
}

// formats are by the beginning of a model's id, the longest first.
var formats = []struct {
	prefix string
	format
}{
	{"anthropic.", format{name: "anthropic", parse: anthropic.ParseRequest, answer: anthropic.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &anthropic.StreamEncoder{AnswerInfo: a} }}},
	{"amazon.nova-canvas", format{}}, {"amazon.nova-reel", format{}}, {"amazon.nova-sonic", format{}}, {"amazon.nova-2-sonic", format{}},
	{"amazon.nova-2-multimodal-embeddings", format{}}, {"amazon.rerank", format{}}, {"cohere.rerank", format{}}, {"twelvelabs.", format{}},
	{"amazon.nova-", format{name: "nova", parse: nova.ParseRequest, answer: nova.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &nova.StreamEncoder{AnswerInfo: a} }}},
	{"amazon.titan-text-", format{name: "titan", parse: titan.ParseRequest, answer: titan.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &titan.StreamEncoder{AnswerInfo: a} }}},
	{"amazon.titan-embed-", format{name: "titan-embed", parseEmbedding: titan.ParseEmbedding, answerEmbeddings: titan.AppendEmbeddings}},
	{"meta.llama", format{name: "llama", parse: llama.ParseRequest, answer: llama.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &llama.StreamEncoder{AnswerInfo: a} }}},
	{"mistral.mistral-7b", mistralText}, {"mistral.mixtral", mistralText}, {"mistral.mistral-small-2402", mistralText},
	{"mistral.mistral-large-2402", mistralText}, {"mistral.mistral-large-2407", mistralChat}, {"mistral.pixtral", mistralChat},
	{"cohere.command-r", format{name: "cohere", parse: cohere.ParseRequest, answer: cohere.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &cohere.StreamEncoder{AnswerInfo: a} }}},
	{"cohere.command-", format{name: "cohere-text", parse: cohere.ParsePrompt, answer: cohere.AppendGenerations,
		stream: func(a converse.AnswerInfo) encoder { return &cohere.GenerationEncoder{AnswerInfo: a} }}},
	{"cohere.embed-", format{name: "cohere-embed", parseEmbedding: cohere.ParseEmbedding, answerEmbeddings: cohere.AppendEmbeddings}},
	{"ai21.jamba", format{name: "jamba", parse: jamba.ParseRequest, answer: jamba.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &jamba.StreamEncoder{AnswerInfo: a} }}},
	{"ai21.j2-", format{name: "jurassic", parse: jamba.ParsePrompt, answer: jamba.AppendCompletions}},
	{"deepseek.r1", format{name: "deepseek", parse: deepseek.ParseRequest, answer: deepseek.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &deepseek.StreamEncoder{AnswerInfo: a} }}},
}

var (
	mistralText = format{name: "mistral", parse: mistral.ParseRequest, answer: mistral.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &mistral.StreamEncoder{AnswerInfo: a} }}
	// Of the models that came to Bedrock with OpenAI's format: OpenAI's own, Qwen, Gemma, DeepSeek V3 and many more.
	chat = format{name: "openai-chat", parse: openai.ParseRequest, answer: openai.AppendResponse,
		stream: func(a converse.AnswerInfo) encoder { return &openai.StreamEncoder{AnswerInfo: a} }}
	mistralChat = format{name: "mistral", parse: mistral.ParseRequest, answer: mistral.AppendChatResponse,
		stream: func(a converse.AnswerInfo) encoder { return &mistral.ChatStreamEncoder{AnswerInfo: a} }}
)

// formatOf returns the format of m's InvokeModel bodies, as this one body shows it where a model has two. A body that
// says that it is Anthropic Messages is taken as such for every model: AWS takes it for Anthropic's own.
func formatOf(m *catalog.Model, body []byte) *format {
	if bytes.Contains(body, []byte(`"anthropic_version"`)) && hasMember(body, "anthropic_version") {
		return &formats[0].format
	}
	for i := range formats {
		f := &formats[i].format
		if !strings.HasPrefix(m.ID, formats[i].prefix) {
			continue
		}
		switch {
		case f.name == "mistral" && mistral.IsChat(body):
			return &mistralChat
		case f.name == "cohere-text" && cohere.Pieces(body):
			pieces := *f
			pieces.stream = func(a converse.AnswerInfo) encoder { return &cohere.GenerationEncoder{AnswerInfo: a, Pieces: true} }
			return &pieces
		}
		return f
	}
	if slices.Contains(m.OutputModalities, "TEXT") && slices.Contains(m.InputModalities, "TEXT") {
		return &chat
	}
	return &format{}
}

// hasMember reports whether body is an object with that member; one of a value within it is none.
func hasMember(body []byte, name string) bool {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		if t, err := d.ReadToken(); err != nil || t.String() == name {
			return err == nil
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// errOpaque is the answer for a body that nobody here reads and no upstream passes on.
func errOpaque(m *catalog.Model) error {
	return fault.New(fault.Validation, "No upstream of this server takes InvokeModel bodies of model %s. Use Converse, or an upstream of provider bedrock.", m.ID)
}
