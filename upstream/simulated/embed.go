package simulated

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"unicode"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
)

// Embed implements upstream.Embedder. A vector counts the words of its input, each in a dimension that its letters
// choose and with a sign likewise, and has length 1: the same text is the same vector, texts that share words are near
// one another, others are not. Pictures count as one word.
func (p *Provider) Embed(ctx context.Context, r *upstream.Request) (*converse.Embeddings, error) {
	q := r.Embedding
	size := q.Dimensions
	if size == 0 {
		size = dimensions(r.ModelID)
	}
	if size > maxDimensions {
		return nil, fault.New(fault.Validation, "The simulated model has no more than %d dimensions.", maxDimensions)
	}
	out := &converse.Embeddings{}
	types := q.Types
	if len(types) == 0 {
		types = []string{"float"}
	}
	for i := range q.Inputs {
		if err := ctx.Err(); err != nil {
			return nil, fault.Wrap(err, fault.ModelTimeout, "The simulated model's answer was cut short by its caller.")
		}
		v := vector(&q.Inputs[i], size, q.Normalize == nil || *q.Normalize)
		for _, t := range types {
			switch t {
			case "float", "base64":
				out.Float = append(out.Float, v)
			case "int8":
				out.Int8 = append(out.Int8, each(v, func(f float32) int8 { return int8(max(-127, min(127, math.Round(float64(f)*127)))) }))
			case "uint8":
				out.Uint8 = append(out.Uint8, each(v, func(f float32) uint8 { return uint8(max(0, min(255, math.Round(float64(f)*127)+128))) }))
			case "binary":
				out.Binary = append(out.Binary, each(bits(v), func(b uint8) int8 { return int8(int(b) - 128) }))
			case "ubinary":
				out.Ubinary = append(out.Ubinary, bits(v))
			default:
				return nil, fault.New(fault.Validation, "The simulated model does not make embeddings of type %s.", t)
			}
		}
		n := (&converse.EmbeddingRequest{Inputs: q.Inputs[i : i+1]}).EstimateInputTokens()
		out.Tokens = append(out.Tokens, n)
		out.Usage.InputTokens += n
		out.Texts = append(out.Texts, q.Inputs[i].Text)
	}
	return out, nil
}

const maxDimensions = 4096

// dimensions is what the models have when nobody asks for less.
func dimensions(model string) int {
	switch {
	case strings.Contains(model, "titan-embed-text-v1"), strings.Contains(model, "titan-embed-g1"), strings.Contains(model, "embed-v4"):
		return 1536
	case strings.Contains(model, "nova-2-multimodal"):
		return 3072
	}
	return 1024
}

func vector(in *converse.EmbeddingInput, size int, normalize bool) []float32 {
	v := make([]float32, size)
	count := func(word string) {
		h := fnv.New64a()
		fmt.Fprint(h, word)
		n := h.Sum64()
		if n&1 == 0 {
			v[n>>1%uint64(size)]++
		} else {
			v[n>>1%uint64(size)]--
		}
	}
	var add func(in *converse.EmbeddingInput)
	add = func(in *converse.EmbeddingInput) {
		for word := range strings.FieldsFuncSeq(strings.ToLower(in.Text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			count(word)
		}
		if in.Image != "" {
			count(in.Image)
		}
		for i := range in.Parts {
			add(&in.Parts[i])
		}
	}
	if add(in); normalize {
		var sum float64
		for _, f := range v {
			sum += float64(f) * float64(f)
		}
		if sum == 0 { // no word at all
			v[0], sum = 1, 1
		}
		for i := range v {
			v[i] = float32(float64(v[i]) / math.Sqrt(sum))
		}
	}
	return v
}

func each[A, B any](v []A, f func(A) B) []B {
	out := make([]B, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}

// bits has one bit for each dimension that is not negative, the first in the highest bit.
func bits(v []float32) []uint8 {
	b := make([]uint8, (len(v)+7)/8)
	for i, f := range v {
		if f >= 0 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return b
}
