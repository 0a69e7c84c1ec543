package titan

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// The embedding models take one input a request, each in its own form: Text G1 (v1) a text and no parameters, Text v2 a
// text, Multimodal G1 a text, a picture or both.
type family uint8

const (
	textV2 family = iota
	textV1
	multimodal
)

// familyOf tells the form that model takes. A model that is not known takes the newest.
func familyOf(model string) family {
	switch {
	case strings.Contains(model, "titan-embed-image"):
		return multimodal
	case strings.Contains(model, "titan-embed-text-v1"), strings.Contains(model, "titan-embed-g1-text"):
		return textV1
	}
	return textV2
}

type embeddingRequest struct {
	InputText  *string  `json:"inputText"`
	Dimensions *int     `json:"dimensions"`
	Normalize  *bool    `json:"normalize"`
	Types      []string `json:"embeddingTypes"`

	InputImage *string `json:"inputImage"`
	Config     *struct {
		Length *int `json:"outputEmbeddingLength"`
	} `json:"embeddingConfig"`
}

// ParseEmbedding reads an InvokeModel body of one of the embedding models. A body that Bedrock would not take gives a
// fault.Validation in Bedrock's words. Since the body does not say which model it is for, the parameters that only
// another of the models takes are refused only where they contradict one another.
func ParseEmbedding(body []byte) (*converse.EmbeddingRequest, error) {
	var q embeddingRequest
	if err := json.Unmarshal(body, &q, jsontext.AllowDuplicateNames(true), json.RejectUnknownMembers(true)); err != nil {
		return nil, checker.NotRead(err)
	}
	r := &converse.EmbeddingRequest{Types: q.Types, Normalize: q.Normalize}
	var in converse.EmbeddingInput
	var bad []string
	switch {
	case q.InputText == nil && q.InputImage == nil:
		bad = append(bad, "#: required key [inputText] not found")
	case q.InputText != nil && *q.InputText == "":
		bad = append(bad, "#/inputText: expected minLength: 1, actual: 0")
	case q.InputText != nil:
		in.Text = *q.InputText
	}
	if q.InputImage != nil {
		if in.Image = dataURI(*q.InputImage); in.Image == "" {
			bad = append(bad, "#/inputImage: the value is not a PNG or JPEG image in base64")
		}
	}
	if q.InputImage != nil || q.Config != nil { // Multimodal G1
		for _, p := range []struct {
			name string
			set  bool
		}{{"dimensions", q.Dimensions != nil}, {"normalize", q.Normalize != nil}, {"embeddingTypes", q.Types != nil}} {
			if p.set {
				bad = append(bad, "#: extraneous key ["+p.name+"] is not permitted")
			}
		}
	}
	one := func(path string, n *int, allowed ...int) {
		switch {
		case n == nil:
		case !slices.Contains(allowed, *n):
			bad = append(bad, fmt.Sprintf("#/%s: %d is not a valid enum value", path, *n))
		default:
			r.Dimensions = *n
		}
	}
	one("dimensions", q.Dimensions, 256, 512, 1024)
	if q.Config != nil {
		one("embeddingConfig/outputEmbeddingLength", q.Config.Length, 256, 384, 1024)
	}
	if q.Types != nil && len(q.Types) == 0 {
		bad = append(bad, "#/embeddingTypes: expected minimum item count: 1, found: 0")
	}
	for i, t := range q.Types {
		if t != "float" && t != "binary" {
			bad = append(bad, fmt.Sprintf("#/embeddingTypes/%d: %s is not a valid enum value", i, t))
			break // a list of them can be long
		}
	}
	if len(bad) > 0 {
		return nil, checker.Refuse(bad...)
	}
	r.Inputs = []converse.EmbeddingInput{in}
	return r, nil
}

// dataURI makes a data URI of a picture in base64, by its first bytes. It returns "" for what is not a PNG or a JPEG.
func dataURI(data string) string {
	head, err := base64.StdEncoding.DecodeString(data[:min(len(data), 8)])
	switch {
	case err != nil:
		return ""
	case bytes.HasPrefix(head, []byte("\x89PNG")):
		return "data:image/png;base64," + data
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "data:image/jpeg;base64," + data
	}
	return ""
}

// AppendEmbeddings appends out, the answer to r, as the body of an InvokeModel answer of the model that r names.
func AppendEmbeddings(dst []byte, r *converse.EmbeddingRequest, out *converse.Embeddings) []byte {
	model := familyOf(r.Model)
	if r.Model == "" && len(r.Inputs) > 0 && r.Inputs[0].Image != "" {
		model = multimodal
	}
	dst = append(dst, '{')
	if len(out.Float) > 0 {
		dst = append(dst, `"embedding":`...)
		dst = append(appendFloats(dst, out.Float[0]), ',')
	}
	if model == textV2 {
		dst = append(dst, `"embeddingsByType":{`...)
		if len(out.Binary) > 0 {
			dst = append(dst, `"binary":`...)
			dst = appendBits(dst, out.Binary[0])
		}
		if len(out.Float) > 0 {
			if len(out.Binary) > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `"float":`...)
			dst = appendFloats(dst, out.Float[0])
		}
		dst = append(dst, `},`...)
	}
	dst = append(dst, `"inputTextTokenCount":`...)
	dst = strconv.AppendInt(dst, out.Usage.InputTokens, 10)
	if model == multimodal {
		dst = append(dst, `,"message":null`...)
	}
	return append(dst, '}')
}

func appendFloats(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, f := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendFloat(dst, float64(f), 32)
	}
	return append(dst, ']')
}

// appendBits appends a binary vector as Titan writes it: a 0 or a 1 for each dimension.
func appendBits(dst []byte, v []int8) []byte {
	dst = append(dst, '[')
	for i, n := range v {
		eight := byte(int(n) + 128)
		for bit := 7; bit >= 0; bit-- {
			if i > 0 || bit < 7 {
				dst = append(dst, ',')
			}
			dst = append(dst, '0'+eight>>bit&1)
		}
	}
	return append(dst, ']')
}

// AppendEmbeddingRequest appends r as an InvokeModel body for model. upstream names the server in refusals, which are of
// kind fault.Validation. The purpose is left out, as no Titan model embeds a question other than a document.
func AppendEmbeddingRequest(dst []byte, r *converse.EmbeddingRequest, model, upstream string) ([]byte, error) {
	refuse := func(what string) ([]byte, error) {
		return nil, fault.New(fault.Validation, "The model doesn't support %s: upstream %q speaks the format of %s, which has no equivalent. Remove it and try again.", what, upstream, model)
	}
	form := familyOf(model)
	switch {
	case len(r.Inputs) != 1:
		return nil, fault.New(fault.Validation, "The model embeds one input a request: upstream %q speaks the format of %s. Send %d requests instead.", upstream, model, len(r.Inputs))
	case len(r.Inputs[0].Parts) > 0:
		return refuse("an input of several parts")
	case r.Inputs[0].Image != "" && form != multimodal:
		return refuse("an image")
	case r.Truncate != "" && r.Truncate != "NONE":
		return refuse("truncation")
	case r.MaxTokens != 0:
		return refuse("a maximum number of tokens")
	case r.Dimensions != 0 && form == textV1:
		return refuse("a number of dimensions")
	case r.Normalize != nil && form != textV2:
		return refuse("normalization")
	}
	for _, t := range r.Types {
		if t != "float" && (t != "binary" || form != textV2) {
			return refuse("embeddings of type " + t)
		}
	}
	in := &r.Inputs[0]
	dst = append(dst, '{')
	if in.Text != "" || in.Image == "" {
		dst = append(dst, `"inputText":`...)
		dst = converse.AppendQuote(dst, in.Text)
	}
	if in.Image != "" {
		kind, data, ok := strings.Cut(in.Image, ";base64,")
		if !ok || kind != "data:image/png" && kind != "data:image/jpeg" {
			return refuse("an image that is not a data URI of a PNG or a JPEG")
		}
		if in.Text != "" {
			dst = append(dst, ',')
		}
		dst = append(dst, `"inputImage":`...)
		dst = converse.AppendQuote(dst, data)
	}
	switch {
	case r.Dimensions == 0:
	case form == multimodal:
		dst = append(dst, `,"embeddingConfig":{"outputEmbeddingLength":`...)
		dst = append(strconv.AppendInt(dst, int64(r.Dimensions), 10), '}')
	default:
		dst = append(dst, `,"dimensions":`...)
		dst = strconv.AppendInt(dst, int64(r.Dimensions), 10)
	}
	if r.Normalize != nil {
		dst = append(dst, `,"normalize":`...)
		dst = strconv.AppendBool(dst, *r.Normalize)
	}
	if len(r.Types) > 0 && form == textV2 {
		dst = append(dst, `,"embeddingTypes":[`...)
		for i, t := range r.Types {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = converse.AppendQuote(dst, t)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}'), nil
}

// ParseEmbeddings reads the answer of any of the embedding models. It fails with an error that wraps ErrMalformed, or with
// a fault.ModelError where the answer is the model's own complaint. Where the number of tokens is not told, the answer is
// marked as estimated and its usage left to the caller, who has the input.
func ParseEmbeddings(body []byte) (*converse.Embeddings, error) {
	var v struct {
		Embedding []float32 `json:"embedding"`
		ByType    struct {
			Float  []float32 `json:"float"`
			Binary []int8    `json:"binary"`
		} `json:"embeddingsByType"`
		Tokens  outbound.Count `json:"inputTextTokenCount"`
		Message *string        `json:"message"`
	}
	if jsontext.Value(body).Kind() != '{' {
		return nil, malformed("it is no JSON object: %.60q", body)
	}
	if !converse.PlausibleEmbeddings(body) {
		return nil, malformed("it has more values than an answer has")
	}
	if err := json.Unmarshal(body, &v, lenient); err != nil {
		return nil, malformed("%v", err)
	}
	out := &converse.Embeddings{}
	if len(v.Embedding) == 0 {
		v.Embedding = v.ByType.Float
	}
	if len(v.Embedding) > 0 {
		out.Float = [][]float32{v.Embedding}
	}
	if bits := v.ByType.Binary; len(bits) > 0 {
		packed, err := pack(bits)
		if err != nil {
			return nil, err
		}
		out.Binary = [][]int8{packed}
	}
	if out.Float == nil && out.Binary == nil {
		if v.Message != nil && *v.Message != "" {
			return nil, fault.New(fault.ModelError, "The model could not embed the input: %s", *v.Message)
		}
		return nil, malformed("it holds no embedding")
	}
	out.Usage.InputTokens, out.Estimated = v.Tokens.N, !v.Tokens.Told
	return out, nil
}

// pack brings a 0 or a 1 for each dimension into the form of converse.Embeddings.
func pack(bits []int8) ([]int8, error) {
	if len(bits)%8 != 0 {
		return nil, malformed("a binary embedding of %d dimensions", len(bits))
	}
	packed := make([]int8, 0, len(bits)/8)
	for eight := range slices.Chunk(bits, 8) {
		n := 0
		for _, bit := range eight {
			if bit != 0 && bit != 1 {
				return nil, malformed("a bit of %d in a binary embedding", bit)
			}
			n = n<<1 | int(bit)
		}
		packed = append(packed, int8(n-128))
	}
	return packed, nil
}
