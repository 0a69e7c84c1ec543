package openai

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// maxEmbeddingInputs is as many as OpenAI takes at once.
// Source: https://platform.openai.com/docs/api-reference/embeddings/create
const maxEmbeddingInputs = 2048

// ParseEmbedding reads the body of POST /embeddings; Model is the member model. Types is "base64" where the answer's vectors
// are to be base64 of little-endian float32, as OpenAI's own clients ask, else empty. Its errors are ParseChat's. Tokens in
// place of text are refused: which tokenizer made them is not known. user is left out.
func ParseEmbedding(body []byte) (*converse.EmbeddingRequest, error) {
	q := &converse.EmbeddingRequest{}
	r := &reader{}
	if err := r.begin(body); err != nil {
		return nil, err
	}
	input := false
	text := func() error {
		var s string
		if err := r.str(&s); err != nil {
			return err
		}
		if s == "" {
			return r.bad("Invalid '%s': input cannot be an empty string.", r.where())
		}
		q.Inputs = append(q.Inputs, converse.EmbeddingInput{Text: s})
		return nil
	}
	err := r.object(func(name string) error {
		switch name {
		case "model":
			return r.str(&q.Model)
		case "input":
			input = true
			if r.kind() == '"' {
				return text()
			}
			return r.array(func(i int) error {
				if k := r.kind(); k == '0' || k == '[' {
					return r.cannot("Send text: tokens mean something to the tokenizer alone that made them.")
				}
				if i == maxEmbeddingInputs {
					return r.bad("Invalid 'input': array too long. Expected an array with maximum length %d.", maxEmbeddingInputs)
				}
				return text()
			})
		case "dimensions":
			n, err := r.count(1 << 20)
			q.Dimensions = n
			return err
		case "encoding_format":
			var f string
			if err := r.str(&f); err != nil {
				return err
			}
			switch f {
			case "float":
			case "base64":
				q.Types = []string{"base64"}
			default:
				return r.bad("Invalid value: '%.64s'. Supported values are: 'float' and 'base64'.", f)
			}
			return nil
		case "user":
			return r.skipValue()
		}
		return r.cannot("There is no equivalent.")
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		return nil, err
	case !input:
		return nil, r.missing("input")
	case r.unfit != nil:
		return nil, r.unfit
	case len(q.Inputs) == 0:
		return nil, badAt("input", "Invalid 'input': input cannot be an empty array.")
	}
	return q, nil
}

// AppendEmbeddings appends out, which has a Float for each of r's inputs, as the answer to r.
func AppendEmbeddings(dst []byte, r *converse.EmbeddingRequest, out *converse.Embeddings) []byte {
	packed := len(r.Types) == 1 && r.Types[0] == "base64"
	dst = append(dst, `{"object":"list","data":[`...)
	var raw []byte
	for i, v := range out.Float {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"embedding":`...)
		if packed {
			raw = raw[:0]
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			}
			dst = append(base64.StdEncoding.AppendEncode(append(dst, '"'), raw), `"}`...)
			continue
		}
		dst = append(dst, '[')
		for j, x := range v {
			if j > 0 {
				dst = append(dst, ',')
			}
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) { // what JSON cannot say
				x = 0
			}
			dst = jsontext.AppendFloat(dst, float64(x), 32)
		}
		dst = append(dst, `]}`...)
	}
	dst = append(dst, `],"model":`...)
	dst = converse.AppendQuote(dst, r.Model)
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, out.Usage.InputTokens, 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, out.Usage.InputTokens, 10)
	return append(dst, `}}`...)
}

// AppendEmbeddingRequest appends r as the body of POST /embeddings of the server that upstream names. What that API has no
// member for is a fault.Validation that names it. Purpose is a hint there, and Normalize true what OpenAI's models do.
func AppendEmbeddingRequest(dst []byte, r *converse.EmbeddingRequest, model, upstream string) ([]byte, error) {
	refuse := func(what string) ([]byte, error) {
		return nil, fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks OpenAI's embeddings, which have no equivalent. Remove it and try again.", what, upstream)
	}
	switch {
	case r.Normalize != nil && !*r.Normalize:
		return refuse("embeddings that are not normalized")
	case r.Truncate != "" && r.Truncate != "NONE":
		return refuse("truncate " + r.Truncate)
	case r.MaxTokens != 0:
		return refuse("max_tokens")
	}
	for _, t := range r.Types {
		if t != "float" && t != "base64" {
			return refuse("embeddings of the type " + t)
		}
	}
	dst = append(dst, `{"model":`...)
	dst = converse.AppendQuote(dst, model)
	dst = append(dst, `,"input":[`...)
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if in.Image != "" || len(in.Parts) > 0 {
			return refuse("embeddings of pictures")
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = converse.AppendQuote(dst, in.Text)
	}
	dst = append(dst, `],"encoding_format":"float"`...)
	if r.Dimensions > 0 {
		dst = append(dst, `,"dimensions":`...)
		dst = strconv.AppendInt(dst, int64(r.Dimensions), 10)
	}
	return append(dst, '}'), nil
}

// ParseEmbeddings reads the answer to AppendEmbeddingRequest. It fails with an error that wraps ErrMalformed, or with *Error
// where the body is one. Usage that is not told is left 0 with Estimated set, for the caller to fill in.
func ParseEmbeddings(body []byte) (*converse.Embeddings, error) {
	type vector struct {
		Index     *int      `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	var a struct {
		Data  converse.PerInput[vector] `json:"data"`
		Usage *struct {
			Prompt *float64 `json:"prompt_tokens"`
		} `json:"usage"`
		Error *struct{} `json:"error"`
	}
	if !converse.PlausibleEmbeddings(body) {
		return nil, malformed("it has more values than an answer has")
	}
	if err := json.Unmarshal(body, &a); err != nil {
		var d Decoder
		if d.parse(body) == nil && d.part.err != nil {
			return nil, d.part.err
		}
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if a.Error != nil {
		return nil, ParseError(body)
	}
	out := &converse.Embeddings{Float: make([][]float32, len(a.Data))}
	for i := range a.Data {
		at := i
		if n := a.Data[i].Index; n != nil {
			at = *n
		}
		if at < 0 || at >= len(out.Float) || out.Float[at] != nil || len(a.Data[i].Embedding) == 0 {
			return nil, malformed("embedding %d is missing, empty or there twice", i)
		}
		out.Float[at] = a.Data[i].Embedding
	}
	if a.Usage != nil {
		out.Usage.InputTokens, _ = outbound.Tokens(a.Usage.Prompt)
	}
	out.Estimated = out.Usage.InputTokens == 0
	return out, nil
}
