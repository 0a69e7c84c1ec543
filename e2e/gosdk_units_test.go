package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// picture is the head of a PNG of that size.
func picture(width, height uint32) string {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, width), height)
	return base64.StdEncoding.EncodeToString(append(b, 8, 2, 0, 0, 0, 1, 2, 3, 4))
}

// paidByPiece are bodies and answers as the user guide documents them (model-parameters-titan-image, the Nova user guide's
// image-gen-req-resp-structure, model-parameters-diffusion-3-5-large, model-parameters-stability-stable-image-ultra... and
// rerank-api-additional; titan-embed-mm), and what AWS charges for them.
var paidByPiece = []struct {
	model, region string
	body, answer  string
	usageType     string
	pieces        int64
	usd           string // of all pieces
	out           call   // the counts
}{
	{
		"amazon.titan-image-generator-v2:0", "us-east-1",
		`{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"A river","negativeText":"boats"},"imageGenerationConfig":{"quality":"standard","numberOfImages":2,"height":512,"width":512,"cfgScale":8.0,"seed":42}}`,
		`{"images":["` + picture(512, 512) + `","` + picture(512, 512) + `"],"error":null}`,
		"USE1-TitanImageGeneratorG1v2-T2I-512-Standard", 2, "0.016", call{Images: 2, ImageType: "T2I-512-Standard"},
	},
	{
		"amazon.nova-canvas-v1:0", "us-east-1",
		`{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"A river"},"imageGenerationConfig":{"width":1024,"height":1024,"quality":"premium","cfgScale":6.5,"seed":12,"numberOfImages":1}}`,
		`{"images":["` + picture(1024, 1024) + `"]}`,
		"USE1-NovaCanvas-T2I-1024-Premium", 1, "0.06", call{Images: 1, ImageType: "T2I-1024-Premium"},
	},
	{
		"stability.sd3-5-large-v1:0", "us-west-2",
		`{"prompt":"A river","mode":"text-to-image","aspect_ratio":"1:1","output_format":"png","seed":0}`,
		`{"seeds":[2130420379],"finish_reasons":[null],"images":["` + picture(1024, 1024) + `"]}`,
		"USW2-StableDiffusion3.5Large-output-image", 1, "0.08", call{Images: 1, ImageType: "output-image"},
	},
	{
		"amazon.rerank-v1:0", "us-west-2",
		`{"query":"What is the capital of the United States?","documents":["Carson City is the capital city of the American state of Nevada.","Washington, D.C. is the capital of the United States."],"top_n":1}`,
		`{"results":[{"index":1,"relevance_score":0.9871293}]}`,
		"USW2-AmazonRerank-v1-searchunits", 1, "0.001", call{SearchUnits: 1},
	},
	{
		"cohere.rerank-v3-5:0", "us-west-2",
		`{"query":"river","documents":["` + strings.Join(slices.Repeat([]string{"a"}, 101), `","`) + `"],"top_n":3,"api_version":2}`,
		`{"results":[{"index":0,"relevance_score":0.5}]}`,
		"USW2-Rerank3.5-searchunits", 2, "0.004", call{SearchUnits: 2},
	},
	{
		"amazon.titan-embed-image-v1:0", "us-east-1",
		`{"inputText":"A river","inputImage":"` + picture(256, 256) + `","embeddingConfig":{"outputEmbeddingLength":256}}`,
		`{"embedding":[0.01,-0.02],"inputTextTokenCount":3}`,
		"USE1-TitanEmbeddingsG1-Image-input-image", 1, "0.00006", call{InputImages: 1, InputTokens: 3},
	},
}

// TestPaidByPiece: bodies that nobody here translates go to Bedrock and back as they are, through a profile, and what is
// paid by the picture or the query is counted, rated, recorded and reported as that.
func TestPaidByPiece(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := url.PathUnescape(r.URL.EscapedPath())
		body, _ := io.ReadAll(r.Body)
		for _, c := range paidByPiece {
			if path == "/model/"+c.model+"/invoke" {
				if string(body) != c.body {
					t.Errorf("%s was sent %s", c.model, body)
				}
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Amzn-Bedrock-Invocation-Latency", "2345")
				io.WriteString(w, c.answer)
				return
			}
		}
		t.Errorf("asked for %s", path)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer behind.Close()
	s := start(t, options{
		config: "upstreams:\n  - name: aws\n    provider: bedrock\n    bedrock: {endpoint: " + strconv.Quote(behind.URL) + "}\n",
		env:    []string{"AWS_ACCESS_KEY_ID=" + rootID, "AWS_SECRET_ACCESS_KEY=" + rootSecret},
	})
	ctx := deadline(t)
	quantities, costs := map[string]*big.Rat{}, map[string]*big.Rat{}
	for i, c := range paidByPiece {
		profile := s.profile(ctx, c.region, "piece-"+strconv.Itoa(i), modelARN(c.region, c.model), map[string]string{"Project": "Pieces"})
		out, err := s.runtime(c.region).InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &profile, Body: []byte(c.body), ContentType: aws.String("application/json"), Accept: aws.String("application/json")})
		if err != nil {
			t.Fatalf("%s: %v", c.model, err)
		}
		if string(out.Body) != c.answer {
			t.Errorf("%s answered %s", c.model, out.Body)
		}
		if h := header(out.ResultMetadata); c.out.InputTokens == 0 && h.Get("X-Amzn-Bedrock-Input-Token-Count") != "" {
			t.Errorf("%s: %s tokens", c.model, h.Get("X-Amzn-Bedrock-Input-Token-Count"))
		}
		quantities[c.usageType] = big.NewRat(c.pieces, 1)
		costs[c.usageType], _ = new(big.Rat).SetString(c.usd)
	}
	// The text beside the embedded picture: 3 tokens, told in thousands, for 0.8 USD a million.
	quantities["USE1-TitanEmbeddingsG1-Image-input-tokens"], costs["USE1-TitanEmbeddingsG1-Image-input-tokens"] = big.NewRat(3, 1000), big.NewRat(24, 10_000_000)

	for i, got := range s.settled(len(paidByPiece)) {
		c := paidByPiece[i]
		want := c.out
		if got.Status != "completed" || got.Estimated || got.Unrated || got.ModelID != c.model || got.ResourceName != fmt.Sprintf("piece-%d", i) ||
			got.Images != want.Images || got.ImageType != want.ImageType || got.InputImages != want.InputImages || got.SearchUnits != want.SearchUnits || got.InputTokens != want.InputTokens || got.OutputTokens != 0 {
			t.Errorf("%s: %+v", c.model, got)
		}
	}
	if got := s.grouped(ctx, "UsageQuantity", nil, byDimension("USAGE_TYPE")); !same(got, quantities) {
		t.Errorf("quantities are%s\nwant%s", show(got), show(quantities))
	}
	if got := s.grouped(ctx, "UnblendedCost", nil, byDimension("USAGE_TYPE")); !same(got, costs) {
		t.Errorf("costs are%s\nwant%s", show(got), show(costs))
	}
	if text := s.manage("calls"); !strings.Contains(text, "2 images") || !strings.Contains(text, "2 search units") || !strings.Contains(text, "3 + 1 image") {
		t.Errorf("outcrop calls says\n%s", text)
	}
	s.manage("verify")
}
