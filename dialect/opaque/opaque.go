// Package opaque counts what the models that are not paid by the token alone are asked for and make: pictures, rerankings,
// embeddings of pictures. Nobody here translates their bodies, which go to Amazon Bedrock as they come; only what is paid for
// is read.
//
// Sources: "Amazon Titan Image Generator G1 models", "Amazon Nova Canvas", "Stability AI models", "Rerank models" and the
// embeddings' chapters of the Amazon Bedrock user guide; "Amazon Bedrock pricing" for what the prices tell apart.
package opaque

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// lenient reads what callers and model servers wrote.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// most bounds the counts that are believed.
const most = 1 << 20

// Asked returns what an InvokeModel body of model asks for beyond tokens; output is the model's output modalities. exact is
// false where a number depends on how the model cuts texts into tokens. Of a body that cannot be read, which Bedrock will
// refuse, it is what the least one asks for.
func Asked(model string, output []string, body []byte) (u converse.Units, exact bool) {
	switch {
	case slices.Contains(output, "IMAGE"):
		return askedImages(model, body), true
	case strings.Contains(model, ".rerank"):
		return askedSearch(body)
	case slices.Contains(output, "EMBEDDING"):
		return converse.Units{InputImages: embeddedImages(model, body)}, true
	}
	return u, true
}

// Made returns what was made of asked, as the answer tells it. ok is false for an answer that does not tell: then it is what
// was asked for.
func Made(model string, asked converse.Units, answer []byte) (u converse.Units, ok bool) {
	switch {
	case asked.Images > 0:
		return madeImages(model, asked, answer)
	case asked.SearchUnits > 0: // Cohere counts them itself, where Bedrock lets it tell
		var a struct {
			Meta struct {
				Billed struct {
					SearchUnits *float64 `json:"search_units"`
				} `json:"billed_units"`
			} `json:"meta"`
		}
		if json.Unmarshal(answer, &a, lenient) == nil {
			if n := a.Meta.Billed.SearchUnits; n != nil && *n >= 1 && *n <= most {
				asked.SearchUnits = int64(*n)
				return asked, true
			}
		}
	}
	return asked, false
}

// tiered reports whether a model's pictures have prices by task, size and quality, and up to how many pixels a picture is of
// the smaller size.
func tiered(model string) (small int, sizes [2]string) {
	switch {
	case strings.HasPrefix(model, "amazon.nova-canvas"):
		return 1024 * 1024, [2]string{"1024", "2048"}
	case strings.HasPrefix(model, "amazon.titan-image-generator"):
		return 512 * 512, [2]string{"512", "1024"}
	}
	return 0, sizes
}

// imageType is what the usage types of a picture end in: "T2I-1024-Standard".
func imageType(model, task, quality string, pixels int) string {
	small, sizes := tiered(model)
	if small == 0 {
		return converse.OutputImage
	}
	kind, size, grade := "I2I", sizes[0], "Standard"
	if task == "TEXT_IMAGE" || task == "" {
		kind = "T2I"
	}
	if pixels > small {
		size = sizes[1]
	}
	if quality == "premium" {
		grade = "Premium"
	}
	return kind + "-" + size + "-" + grade
}

func askedImages(model string, body []byte) converse.Units {
	var q struct {
		TaskType string `json:"taskType"`
		Config   struct {
			Number  float64 `json:"numberOfImages"`
			Quality string  `json:"quality"`
			Width   float64 `json:"width"`
			Height  float64 `json:"height"`
		} `json:"imageGenerationConfig"`
		Samples float64 `json:"samples"` // Stable Diffusion XL's
	}
	_ = json.Unmarshal(body, &q, lenient)
	n := int64(1)
	for _, v := range [...]float64{q.Config.Number, q.Samples} {
		if v > 1 && v <= most {
			n = int64(v)
		}
	}
	side := func(v float64) int {
		if v >= 1 && v <= 1<<15 {
			return int(v)
		}
		return 1024 // the default of both models
	}
	return converse.Units{Images: n, ImageType: imageType(model, q.TaskType, q.Config.Quality, side(q.Config.Width)*side(q.Config.Height))}
}

// madeImages counts the pictures of an answer: the texts in images, or the artifacts of Stable Diffusion XL. Those that a
// filter kept back are not there. The size is that of the first one, for tasks that take it from the picture they begin with.
func madeImages(model string, asked converse.Units, answer []byte) (converse.Units, bool) {
	made, found := asked, false
	made.Images = 0
	err := converse.EachMember(answer, func(name string, v jsontext.Value) error {
		if name != "images" && name != "artifacts" || v.Kind() != '[' {
			return nil
		}
		found = true
		d := jsontext.NewDecoder(bytes.NewBuffer(v), lenient)
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		for d.PeekKind() != ']' {
			e, err := d.ReadValue()
			if err != nil {
				return err
			}
			if name == "artifacts" {
				var a struct {
					Base64 jsontext.Value `json:"base64"`
					Finish string         `json:"finishReason"`
				}
				if json.Unmarshal(e, &a, lenient) != nil || a.Finish == "ERROR" {
					continue
				}
				e = a.Base64
			}
			if e.Kind() != '"' || len(e) <= 2 {
				continue // null: filtered
			}
			if made.Images++; made.Images == 1 {
				if pixels := pixelsOf(e[1 : len(e)-1]); pixels > 0 {
					made.ImageType = resized(model, made.ImageType, pixels)
				}
			}
		}
		return nil
	})
	if err != nil || !found {
		return asked, false
	}
	if made.Images == 0 {
		made.ImageType = ""
	}
	return made, true
}

// resized is an image type for a picture of that many pixels.
func resized(model, typ string, pixels int) string {
	parts := strings.Split(typ, "-")
	small, sizes := tiered(model)
	if small == 0 || len(parts) != 3 {
		return typ
	}
	parts[1] = sizes[0]
	if pixels > small {
		parts[1] = sizes[1]
	}
	return strings.Join(parts, "-")
}

// pixelsOf reads the size of a picture in base64 from its head, 0 where that cannot be read.
func pixelsOf(text []byte) int {
	m := converse.Image{Source: converse.ImageSource{Bytes: text}}
	width, height := m.Size()
	return width * height
}

// A search unit is a query over up to 100 documents, of which one that has more than 512 tokens together with the query
// counts as several.
// Source: "Pricing and search units" in the user guide, and "Rerank models" on the pricing page.
const (
	unitDocuments  = 100
	documentTokens = 512
)

func askedSearch(body []byte) (u converse.Units, exact bool) {
	var q struct {
		Query     string           `json:"query"`
		Documents []jsontext.Value `json:"documents"` // texts, or objects
	}
	_ = json.Unmarshal(body, &q, lenient)
	room := max(1, documentTokens-converse.EstimateTokens(q.Query))
	var chunks int64
	for _, d := range q.Documents {
		chunks += max(1, (converse.EstimateTokens(string(d))+room-1)/room)
	}
	units := func(n int64) int64 { return max(1, (n+unitDocuments-1)/unitDocuments) }
	u.SearchUnits = units(chunks)
	return u, u.SearchUnits == units(int64(len(q.Documents)))
}

// embeddedImages counts the pictures that a body of an embedding model brings, where they have a price of their own. With
// Cohere Embed v4 they are tokens.
func embeddedImages(model string, body []byte) int64 {
	var q struct {
		InputImage string           `json:"inputImage"` // Titan's
		Images     []jsontext.Value `json:"images"`     // Cohere's
		Single     struct {
			Image jsontext.Value `json:"image"`
		} `json:"singleEmbeddingParams"` // Nova's
		InputType string `json:"inputType"` // Marengo's
	}
	_ = json.Unmarshal(body, &q, lenient)
	switch {
	case strings.HasPrefix(model, "cohere.embed-v4"):
	case strings.HasPrefix(model, "cohere.embed-"):
		return int64(min(len(q.Images), most))
	case q.InputImage != "", q.Single.Image.Kind() == '{', q.InputType == "image", q.InputType == "text_image":
		return 1
	}
	return 0
}
