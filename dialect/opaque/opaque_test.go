package opaque

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"outcrop/converse"
)

const (
	titan  = "amazon.titan-image-generator-v2:0"
	canvas = "amazon.nova-canvas-v1:0"
	sd35   = "stability.sd3-5-large-v1:0"
	sdxl   = "stability.stable-diffusion-xl-v1"
)

var images = []string{"IMAGE"}

// picture is the head of a PNG of that size, in base64.
func picture(width, height uint32) string {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, width), height)
	return base64.StdEncoding.EncodeToString(append(b, 8, 2, 0, 0, 0, 1, 2, 3, 4))
}

// TestImages has the bodies of the user guide's chapters on the models, of the form that they are in there.
func TestImages(t *testing.T) {
	config := func(task, config string) string {
		return `{"taskType":"` + task + `","textToImageParams":{"text":"a river"},"imageGenerationConfig":{` + config + `}}`
	}
	for _, c := range []struct {
		name, model, body string
		asked             converse.Units
		answer            string
		made              converse.Units
		told              bool
	}{
		{"Titan", titan, config("TEXT_IMAGE", `"quality":"standard","numberOfImages":3,"height":512,"width":512,"cfgScale":8.0,"seed":0`), converse.Units{Images: 3, ImageType: "T2I-512-Standard"},
			fmt.Sprintf(`{"images":["%[1]s","%[1]s","%[1]s"],"error":null}`, picture(512, 512)), converse.Units{Images: 3, ImageType: "T2I-512-Standard"}, true},
		{"Titan, a filtered one", titan, config("TEXT_IMAGE", `"quality":"premium","numberOfImages":2`), converse.Units{Images: 2, ImageType: "T2I-1024-Premium"},
			`{"images":["` + picture(1024, 1024) + `"],"error":"Some images were filtered."}`, converse.Units{Images: 1, ImageType: "T2I-1024-Premium"}, true},
		{"Titan, all filtered", titan, config("TEXT_IMAGE", `"numberOfImages":2`), converse.Units{Images: 2, ImageType: "T2I-1024-Standard"}, `{"images":[],"error":"filtered"}`, converse.Units{}, true},
		{"Titan, the size of its input", titan, `{"taskType":"INPAINTING","inPaintingParams":{"image":"iVBORw0KGgo="}}`, converse.Units{Images: 1, ImageType: "I2I-1024-Standard"},
			`{"images":["` + picture(512, 384) + `"]}`, converse.Units{Images: 1, ImageType: "I2I-512-Standard"}, true},
		{"Canvas", canvas, config("TEXT_IMAGE", `"width":1024,"height":1024,"quality":"premium","cfgScale":7,"seed":1,"numberOfImages":1`), converse.Units{Images: 1, ImageType: "T2I-1024-Premium"},
			`{"images":["` + picture(1024, 1024) + `"]}`, converse.Units{Images: 1, ImageType: "T2I-1024-Premium"}, true},
		{"Canvas, large", canvas, config("TEXT_IMAGE", `"width":2048,"height":1024`), converse.Units{Images: 1, ImageType: "T2I-2048-Standard"},
			`{"images":["` + picture(2048, 1024) + `"]}`, converse.Units{Images: 1, ImageType: "T2I-2048-Standard"}, true},
		{"Canvas, background", canvas, `{"taskType":"BACKGROUND_REMOVAL","backgroundRemovalParams":{"image":"x"}}`, converse.Units{Images: 1, ImageType: "I2I-1024-Standard"},
			`{"images":["` + picture(1600, 1200) + `"]}`, converse.Units{Images: 1, ImageType: "I2I-2048-Standard"}, true},
		{"Stable Diffusion 3.5", sd35, `{"prompt":"a river","mode":"text-to-image","aspect_ratio":"1:1","output_format":"jpeg","seed":0}`, converse.Units{Images: 1, ImageType: "output-image"},
			`{"seeds":[2130420379],"finish_reasons":[null],"images":["` + picture(1024, 1024) + `"]}`, converse.Units{Images: 1, ImageType: "output-image"}, true},
		{"Stable Diffusion 3.5, filtered", sd35, `{"prompt":"x"}`, converse.Units{Images: 1, ImageType: "output-image"},
			`{"seeds":[0],"finish_reasons":["Filter reason: prompt"],"images":[null]}`, converse.Units{}, true},
		{"Stable Diffusion XL", sdxl, `{"text_prompts":[{"text":"a river","weight":1}],"cfg_scale":10,"samples":2,"seed":0,"steps":50}`, converse.Units{Images: 2, ImageType: "output-image"},
			`{"result":"success","artifacts":[{"seed":1,"base64":"` + picture(1024, 1024) + `","finishReason":"SUCCESS"},{"seed":2,"base64":"` + picture(1024, 1024) + `","finishReason":"CONTENT_FILTERED"},{"seed":3,"base64":"","finishReason":"ERROR"}]}`,
			converse.Units{Images: 2, ImageType: "output-image"}, true},
		{"no JSON", titan, `{`, converse.Units{Images: 1, ImageType: "T2I-1024-Standard"}, `{"images":["`, converse.Units{Images: 1, ImageType: "T2I-1024-Standard"}, false},
		{"no pictures", sd35, `[]`, converse.Units{Images: 1, ImageType: "output-image"}, `{"message":"later"}`, converse.Units{Images: 1, ImageType: "output-image"}, false},
		{"absurd", titan, config("TEXT_IMAGE", `"numberOfImages":1e300,"width":-1,"height":1e300`), converse.Units{Images: 1, ImageType: "T2I-1024-Standard"},
			`{"images":["not base64","" ,7,null]}`, converse.Units{Images: 1, ImageType: "T2I-1024-Standard"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, exact := Asked(c.model, images, []byte(c.body))
			if asked != c.asked || !exact {
				t.Errorf("asked for %+v, exact %t; want %+v", asked, exact, c.asked)
			}
			if made, ok := Made(c.model, asked, []byte(c.answer)); made != c.made || ok != c.told {
				t.Errorf("made %+v, told %t; want %+v, %t", made, ok, c.made, c.told)
			}
		})
	}
}

// TestSearch: a unit is a query over up to 100 documents; see the user guide's "Pricing and search units".
func TestSearch(t *testing.T) {
	documents := func(n int, text string) string {
		return `{"query":"What is the capital of the United States?","documents":["` + strings.TrimSuffix(strings.Repeat(text+`","`, n), `","`) + `"],"top_n":3,"api_version":2}`
	}
	const results = `{"results":[{"index":3,"relevance_score":0.98},{"index":0,"relevance_score":0.2}]}`
	for _, c := range []struct {
		name, body, answer string
		units              int64
		exact, told        bool
	}{
		{"one", documents(1, "Carson City is the capital of Nevada."), results, 1, true, false},
		{"a hundred", documents(100, "a"), results, 1, true, false},
		{"350", documents(350, "a"), results, 4, true, false},
		{"long ones", documents(60, strings.Repeat("river ", 700)), results, 2, false, false},
		{"objects", `{"query":"q","documents":[{"text":"a"},{"text":"b"}],"api_version":2}`, results, 1, true, false},
		{"none", `{}`, results, 1, true, false},
		{"Cohere tells", documents(60, strings.Repeat("river ", 700)), `{"id":"x","results":[],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":3}}}`, 3, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, exact := Asked("cohere.rerank-v3-5:0", []string{"TEXT"}, []byte(c.body))
			made, told := Made("cohere.rerank-v3-5:0", asked, []byte(c.answer))
			if exact != c.exact || made != (converse.Units{SearchUnits: c.units}) || told != c.told {
				t.Errorf("%+v, exact %t, told %t", made, exact, told)
			}
		})
	}
}

// TestEmbedded: pictures that have a price of their own.
func TestEmbedded(t *testing.T) {
	for _, c := range []struct {
		model, body string
		want        int64
	}{
		{"amazon.titan-embed-image-v1", `{"inputText":"a river","inputImage":"iVBORw0KGgo=","embeddingConfig":{"outputEmbeddingLength":384}}`, 1},
		{"amazon.titan-embed-image-v1", `{"inputText":"a river"}`, 0},
		{"amazon.nova-2-multimodal-embeddings-v1:0", `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}}}`, 1},
		{"amazon.nova-2-multimodal-embeddings-v1:0", `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"text":{"value":"a river"}}}`, 0},
		{"cohere.embed-english-v3", `{"images":["data:image/png;base64,iVBORw0KGgo="],"input_type":"image"}`, 1},
		{"cohere.embed-v4:0", `{"images":["data:image/png;base64,iVBORw0KGgo="],"input_type":"image"}`, 0}, // by the token
		{"twelvelabs.marengo-embed-2-7-v1:0", `{"inputType":"image","mediaSource":{"base64String":"iVBORw0KGgo="}}`, 1},
		{"amazon.titan-embed-image-v1", `[`, 0},
	} {
		if got, exact := Asked(c.model, []string{"EMBEDDING"}, []byte(c.body)); got != (converse.Units{InputImages: c.want}) || !exact {
			t.Errorf("%s %s: %+v", c.model, c.body, got)
		}
	}
	if got, _ := Asked("anthropic.claude-3-haiku-20240307-v1:0", []string{"TEXT"}, []byte(`{"images":["x"]}`)); got != (converse.Units{}) {
		t.Errorf("a chat model: %+v", got)
	}
}

func FuzzMade(f *testing.F) {
	f.Add(`{"taskType":"TEXT_IMAGE","imageGenerationConfig":{"numberOfImages":2}}`, `{"images":["`+picture(512, 512)+`",null]}`)
	f.Add(`{"samples":3}`, `{"artifacts":[{"base64":"aGVsbG8=","finishReason":"SUCCESS"}]}`)
	f.Add(`{"query":"q","documents":["a"]}`, `{"meta":{"billed_units":{"search_units":2}}}`)
	f.Fuzz(func(t *testing.T, body, answer string) {
		for _, model := range []string{titan, canvas, sd35, "cohere.rerank-v3-5:0", "amazon.titan-embed-image-v1"} {
			output := images
			if strings.Contains(model, "rerank") || strings.Contains(model, "embed") {
				output = []string{"EMBEDDING"}
			}
			asked, _ := Asked(model, output, []byte(body))
			made, _ := Made(model, asked, []byte(answer))
			for _, u := range []converse.Units{asked, made} {
				if u.Images < 0 || u.InputImages < 0 || u.SearchUnits < 0 || (u.Images == 0) != (u.ImageType == "") || u.Images > most+int64(len(answer)) {
					t.Errorf("%s: %+v", model, u)
				}
			}
		}
	})
}
