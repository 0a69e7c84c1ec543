package cohere

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/checker"
)

// maxInputs is the most texts or pictures of one call.
const maxInputs = 96

var (
	purposes = []string{"search_document", "search_query", "classification", "clustering", "image"}
	types    = []string{"float", "int8", "uint8", "binary", "ubinary"}
	cuts     = []string{"NONE", "START", "END", "LEFT", "RIGHT"} // START and END are v3's, LEFT and RIGHT v4's
)

type embed struct {
	Texts      []string       `json:"texts"`
	Images     []string       `json:"images"`
	Inputs     []content      `json:"inputs"`
	InputType  *string        `json:"input_type"`
	Types      []string       `json:"embedding_types"`
	Truncate   string         `json:"truncate"`
	Dimensions int            `json:"output_dimension"`
	MaxTokens  int            `json:"max_tokens"`
	Rest       jsontext.Value `json:",embed"`
}

type content struct {
	Content []part `json:"content"`
}

// part is a text or a picture. The user guide writes the picture as a string, Cohere's API as an object of its url.
type part struct {
	Type  string         `json:"type"`
	Text  string         `json:"text"`
	Image jsontext.Value `json:"image_url"`
}

// UnmarshalJSONFrom refuses a part without a type at once: it takes many times the memory of a body's "{},".
func (p *part) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain part // without this method
	if err := json.UnmarshalDecode(d, (*plain)(p)); err != nil {
		return err
	}
	if p.Type == "" {
		return checker.Refuse("#" + string(d.StackPointer()) + ": required key [type] not found")
	}
	return nil
}

// ParseEmbedding reads the body of Embed v3 or v4. Both versions' members are taken, since the body does not say which it is
// for; so the bound of 2,048 characters a text, which v3 alone has, is the model's to hold. A picture is the only kind of
// an input_type that v3 calls "image".
func ParseEmbedding(body []byte) (*converse.EmbeddingRequest, error) {
	var q embed
	if err := json.Unmarshal(body, &q, lenient); err != nil {
		return nil, checker.NotRead(err)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &converse.EmbeddingRequest{Purpose: *q.InputType, Types: q.Types, Dimensions: q.Dimensions, Truncate: q.Truncate, MaxTokens: q.MaxTokens}
	for _, t := range q.Texts {
		r.Inputs = append(r.Inputs, converse.EmbeddingInput{Text: t})
	}
	for _, m := range q.Images {
		r.Inputs = append(r.Inputs, converse.EmbeddingInput{Image: m})
	}
	for i := range q.Inputs {
		in, err := input("#/inputs/"+strconv.Itoa(i)+"/content", q.Inputs[i].Content)
		if err != nil {
			return nil, err
		}
		r.Inputs = append(r.Inputs, in)
	}
	return r, nil
}

func (q *embed) check() error {
	var bad []string
	lists := 0
	for _, n := range []int{len(q.Texts), len(q.Images), len(q.Inputs)} {
		if n > 0 {
			lists++
		}
	}
	switch {
	case lists > 0:
	case q.Texts != nil || q.Images != nil || q.Inputs != nil:
		bad = append(bad, "#/texts: expected minimum item count: 1, found: 0")
	default:
		bad = append(bad, "#: required key [texts] not found")
	}
	if q.InputType == nil {
		bad = append(bad, "#: required key [input_type] not found")
	}
	bad = append(bad, checker.Extraneous("#", q.Rest)...)
	if lists > 1 {
		bad = append(bad, "#: only one of [texts, images, inputs] is permitted")
	}
	for _, l := range []struct {
		name string
		n    int
	}{{"texts", len(q.Texts)}, {"images", len(q.Images)}, {"inputs", len(q.Inputs)}} {
		if l.n > maxInputs {
			bad = append(bad, "#/"+l.name+": expected maximum item count: "+strconv.Itoa(maxInputs)+", found: "+strconv.Itoa(l.n))
		}
	}
	enum := func(path, v string, known []string) {
		if !slices.Contains(known, v) {
			bad = append(bad, path+": "+v+" is not a valid enum value")
		}
	}
	if q.InputType != nil {
		enum("#/input_type", *q.InputType, purposes)
	}
	for i, t := range q.Types {
		if i > len(types) {
			bad = append(bad, "#/embedding_types: array items are not unique")
			break
		}
		enum("#/embedding_types/"+strconv.Itoa(i), t, types)
	}
	if q.Truncate != "" {
		enum("#/truncate", q.Truncate, cuts)
	}
	if q.Dimensions < 0 {
		bad = append(bad, "#/output_dimension: "+strconv.Itoa(q.Dimensions)+" is not a valid enum value")
	}
	if q.MaxTokens < 0 {
		bad = append(bad, "#/max_tokens: "+strconv.Itoa(q.MaxTokens)+" is not greater or equal to 0")
	}
	if len(bad) > 0 {
		return checker.Refuse(bad...)
	}
	return nil
}

func input(path string, parts []part) (converse.EmbeddingInput, error) {
	var in converse.EmbeddingInput
	if len(parts) == 0 {
		return in, checker.Refuse(path + ": expected minimum item count: 1, found: 0")
	}
	list := make([]converse.EmbeddingInput, len(parts))
	for i := range parts {
		p := &parts[i]
		switch p.Type {
		case "text":
			list[i].Text = p.Text
		case "image_url":
			var o struct {
				URL string `json:"url"`
			}
			if json.Unmarshal(p.Image, &list[i].Image) != nil && json.Unmarshal(p.Image, &o, lenient) == nil {
				list[i].Image = o.URL
			}
		default:
			return in, checker.Refuse(path + "/" + strconv.Itoa(i) + "/type: " + p.Type + " is not a valid enum value")
		}
		if list[i].Text == "" && list[i].Image == "" {
			return in, checker.Refuse(path + "/" + strconv.Itoa(i) + ": required key [" + p.Type + "] not found")
		}
	}
	switch {
	case len(list) == 1:
		return list[0], nil
	case len(list) == 2 && list[0].Text != "" && list[1].Image != "":
		return converse.EmbeddingInput{Text: list[0].Text, Image: list[1].Image}, nil
	}
	return converse.EmbeddingInput{Parts: list}, nil
}

// AppendEmbeddings appends out as the answer to r: a list of vectors where r names no types, else a list for each.
func AppendEmbeddings(dst []byte, r *converse.EmbeddingRequest, out *converse.Embeddings) []byte {
	kind := "embeddings_floats"
	dst = append(dst, `{"embeddings":`...)
	if len(r.Types) == 0 {
		dst = appendVectors(dst, out.Float, appendFloat)
	} else {
		kind = "embeddings_by_type"
		dst = append(dst, '{')
		for i, t := range r.Types {
			if slices.Contains(r.Types[:i], t) {
				continue
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(converse.AppendQuote(dst, t), ':')
			switch t {
			case "int8":
				dst = appendVectors(dst, out.Int8, appendInt)
			case "uint8":
				dst = appendVectors(dst, out.Uint8, appendInt)
			case "binary":
				dst = appendVectors(dst, out.Binary, appendInt)
			case "ubinary":
				dst = appendVectors(dst, out.Ubinary, appendInt)
			default:
				dst = appendVectors(dst, out.Float, appendFloat)
			}
		}
		dst = append(dst, '}')
	}
	dst = converse.AppendQuote(append(dst, `,"id":`...), out.ID)
	dst = converse.AppendQuote(append(dst, `,"response_type":`...), kind)
	dst = append(dst, `,"texts":[`...)
	if out.Texts != nil {
		for i, t := range out.Texts {
			dst = appendText(dst, i, t)
		}
	} else if n := slices.IndexFunc(r.Inputs, func(in converse.EmbeddingInput) bool { return !onlyText(&in) }); n < 0 {
		for i := range r.Inputs {
			dst = appendText(dst, i, r.Inputs[i].Text)
		}
	}
	return append(dst, `]}`...)
}

func appendText(dst []byte, i int, s string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return converse.AppendQuote(dst, s)
}

func appendVectors[T float32 | int8 | uint8](dst []byte, vectors [][]T, number func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, v := range vectors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		for j, x := range v {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = number(dst, x)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func appendFloat(dst []byte, x float32) []byte {
	if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) { // what JSON cannot say
		return append(dst, '0')
	}
	return jsontext.AppendFloat(dst, float64(x), 32)
}

func appendInt[T int8 | uint8](dst []byte, x T) []byte { return strconv.AppendInt(dst, int64(x), 10) }

func onlyText(in *converse.EmbeddingInput) bool  { return in.Image == "" && len(in.Parts) == 0 }
func onlyImage(in *converse.EmbeddingInput) bool { return in.Image != "" && in.Text == "" }

// AppendEmbeddingRequest appends r as the body of Embed. Texts alone are texts and pictures alone images, which both versions
// take; anything else is v4's inputs. input_type, which must be there, is "search_document" where r does not say, and "image"
// for pictures.
func AppendEmbeddingRequest(dst []byte, r *converse.EmbeddingRequest, _, upstream string) ([]byte, error) {
	w := writer{b: dst, upstream: upstream, format: "Cohere's embed"}
	if r.Normalize != nil {
		return nil, w.refuse("normalize")
	}
	for _, t := range r.Types {
		if !slices.Contains(types, t) {
			return nil, w.refuse("embedding type " + t)
		}
	}
	texts, images := true, true
	for i := range r.Inputs {
		texts = texts && onlyText(&r.Inputs[i])
		images = images && onlyImage(&r.Inputs[i])
	}
	switch {
	case texts:
		w.member("texts")
	case images:
		w.member("images")
	default:
		w.member("inputs")
	}
	w.raw(`[`)
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if i > 0 {
			w.raw(`,`)
		}
		switch {
		case texts:
			w.str(in.Text)
		case images:
			w.str(in.Image)
		default:
			w.content(in)
		}
	}
	w.raw(`]`)
	w.member("input_type")
	switch {
	case r.Purpose != "":
		w.str(r.Purpose)
	case images && !texts:
		w.raw(`"image"`)
	default:
		w.raw(`"search_document"`)
	}
	if len(r.Types) > 0 {
		w.member("embedding_types")
		for i, t := range r.Types {
			w.element(i)
			w.str(t)
		}
		w.raw(`]`)
	}
	if r.Dimensions > 0 {
		w.member("output_dimension")
		w.b = strconv.AppendInt(w.b, int64(r.Dimensions), 10)
	}
	if r.MaxTokens > 0 {
		w.member("max_tokens")
		w.b = strconv.AppendInt(w.b, int64(r.MaxTokens), 10)
	}
	if r.Truncate != "" {
		w.member("truncate")
		w.str(r.Truncate)
	}
	return append(w.b, '}'), nil
}

func (w *writer) content(in *converse.EmbeddingInput) {
	parts := in.Parts
	if len(parts) == 0 {
		parts = []converse.EmbeddingInput{{Text: in.Text}, {Image: in.Image}}
	}
	w.raw(`{"content":`)
	n := 0
	for i := range parts {
		if parts[i].Text != "" {
			w.element(n)
			n++
			w.raw(`{"type":"text","text":`)
			w.str(parts[i].Text)
			w.raw(`}`)
		}
		if parts[i].Image != "" {
			w.element(n)
			n++
			w.raw(`{"type":"image_url","image_url":`)
			w.str(parts[i].Image)
			w.raw(`}`)
		}
	}
	if n == 0 {
		w.raw(`[`)
	}
	w.raw(`]}`)
}

// ParseEmbeddings reads an answer of Embed. On Bedrock the tokens stand in the header X-Amzn-Bedrock-Input-Token-Count
// alone: without that, the usage is 0 and marked as estimated, and the caller estimates it.
func ParseEmbeddings(body []byte) (*converse.Embeddings, error) {
	var a struct {
		ID         string                    `json:"id"`
		Embeddings jsontext.Value            `json:"embeddings"`
		Texts      converse.PerInput[string] `json:"texts"`
		Meta       struct {
			Billed counts `json:"billed_units"`
		} `json:"meta"`
	}
	if !converse.PlausibleEmbeddings(body) {
		return nil, malformed("it has more values than an answer has")
	}
	if err := json.Unmarshal(body, &a, lenient, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, malformed("%v", err)
	}
	out := &converse.Embeddings{ID: a.ID, Texts: a.Texts, Estimated: true}
	if n := a.Meta.Billed.Input.N; n > 0 {
		out.Usage.InputTokens, out.Estimated = n, false
	}
	var err error
	switch a.Embeddings.Kind() {
	case '[':
		err = json.Unmarshal(a.Embeddings, (*converse.PerInput[[]float32])(&out.Float))
	case '{':
		var v struct {
			Float   converse.PerInput[[]float32] `json:"float"`
			Int8    converse.PerInput[[]int8]    `json:"int8"`
			Uint8   converse.PerInput[[]int]     `json:"uint8"` // not []uint8, which would be base64
			Binary  converse.PerInput[[]int8]    `json:"binary"`
			Ubinary converse.PerInput[[]int]     `json:"ubinary"`
		}
		err = json.Unmarshal(a.Embeddings, &v, lenient)
		out.Float, out.Int8, out.Binary = v.Float, v.Int8, v.Binary
		if err == nil {
			out.Uint8, err = bytesOf(v.Uint8)
		}
		if err == nil {
			out.Ubinary, err = bytesOf(v.Ubinary)
		}
	default:
		return nil, malformed("it has no embeddings")
	}
	if err != nil {
		return nil, malformed("%v", err)
	}
	return out, nil
}

func bytesOf(vectors [][]int) ([][]uint8, error) {
	if vectors == nil {
		return nil, nil
	}
	out := make([][]uint8, len(vectors))
	for i, v := range vectors {
		out[i] = make([]uint8, len(v))
		for j, x := range v {
			if x < 0 || x > math.MaxUint8 {
				return nil, fmt.Errorf("a vector of bytes has the number %d", x)
			}
			out[i][j] = uint8(x)
		}
	}
	return out, nil
}
