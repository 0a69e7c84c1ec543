package converse

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/jsonvalues"
)

// EmbeddingRequest asks for vectors. It is the canonical form of the vendors' embedding bodies, which Converse has no
// place for. A zero member means the model's default.
type EmbeddingRequest struct {
	Model      string // the model asked for, where a format's answer differs by model (Titan); "" is the newest
	Inputs     []EmbeddingInput
	Purpose    string   // search_document, search_query, classification, clustering, image: Cohere's input_type
	Types      []string // float, int8, uint8, binary, ubinary, base64; none is float
	Dimensions int
	Normalize  *bool  // Titan v2: unit length; its default is true
	Truncate   string // NONE, START, END (Cohere v3), LEFT, RIGHT (v4): what to do with an input that is too long
	MaxTokens  int    // of one input, where the model bounds it (Cohere v4)
}

// EmbeddingInput is one thing to embed: a text, or a picture as a data URI; both together where a model fuses them, the
// text first. Where the order is another, or there are several of either, Parts has them in theirs, each a text or a
// picture, and Text and Image are empty (Cohere v4's interleaved inputs); a format without such a thing refuses it.
type EmbeddingInput struct {
	Text  string
	Image string // "data:image/png;base64,..."
	Parts []EmbeddingInput
}

// Embeddings is the answer: for each requested type one vector an input, in the inputs' order.
type Embeddings struct {
	ID        string // the answer's id in the vendor's own form, where it has one
	Float     [][]float32
	Int8      [][]int8
	Uint8     [][]uint8
	Ubinary   [][]uint8 // a bit a dimension, eight a number, the first in the highest bit
	Binary    [][]int8  // likewise, less 128
	Texts     []string  // the inputs as the model echoed them, where it does
	Tokens    []int64   // of each input, where the vendor tells them apart; else nil
	Usage     Usage     // InputTokens only
	Estimated bool      // the usage is an estimate, the vendor told none
}

// EstimateInputTokens is what the inputs count as when nobody has counted them: texts as EstimateTokens has it, a picture
// like one of unknown size.
func (r *EmbeddingRequest) EstimateInputTokens() int64 {
	var n int64
	for i := range r.Inputs {
		n += r.Inputs[i].estimate()
	}
	return n
}

func (in *EmbeddingInput) estimate() int64 {
	n := EstimateTokens(in.Text)
	if in.Image != "" {
		n += tokensUnknown
	}
	for i := range in.Parts {
		n += in.Parts[i].estimate()
	}
	return n
}

// Bounds of an upstream's answer. No vendor takes so many inputs at once, and so many numbers do not fit into an answer in
// any form that one writes them in; but a list of nothing takes sixteen times the memory of its text.
const (
	maxVectors = 10_000
	maxNumbers = 1 << 23
)

// PlausibleEmbeddings is Plausible for an answer that is full of numbers.
func PlausibleEmbeddings(b []byte) bool { return jsonvalues.AtMost(b, maxNumbers) }

// PerInput is a list that an answer has an element of for each input. It is read as far as there can be inputs.
type PerInput[T any] []T

// UnmarshalJSONFrom reads a list, or a null as none.
func (l *PerInput[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*l = nil
	t, err := d.ReadToken()
	if err != nil || t.Kind() == 'n' {
		return err
	}
	if t.Kind() != '[' {
		return errors.New("it is no list")
	}
	for d.PeekKind() != ']' {
		if len(*l) == maxVectors {
			return errors.New("it has more elements than there are inputs")
		}
		var e T
		if err := json.UnmarshalDecode(d, &e); err != nil {
			return err
		}
		*l = append(*l, e)
	}
	_, err = d.ReadToken()
	return err
}
