package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func ask(text string) []rt.Message {
	return []rt.Message{{Role: rt.ConversationRoleUser, Content: []rt.ContentBlock{&rt.ContentBlockMemberText{Value: text}}}}
}

// header is the answer's HTTP header.
func header(m middleware.Metadata) http.Header {
	if r, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok {
		return r.Header
	}
	return http.Header{}
}

// content is the message of an answer, cut into its text and its tool uses.
func content(t testing.TB, out *bedrockruntime.ConverseOutput) (text string, tools []rt.ToolUseBlock) {
	t.Helper()
	m, ok := out.Output.(*rt.ConverseOutputMemberMessage)
	if !ok || m.Value.Role != rt.ConversationRoleAssistant {
		t.Fatalf("the output is %#v", out.Output)
	}
	for _, b := range m.Value.Content {
		switch b := b.(type) {
		case *rt.ContentBlockMemberText:
			text += b.Value
		case *rt.ContentBlockMemberToolUse:
			tools = append(tools, b.Value)
		}
	}
	return text, tools
}

// identifiers are all the ways to name what Claude 3 Haiku is behind, with what the ledger must call each.
type identifier struct{ name, model, arn string }

func identifiers(s *server, ctx context.Context) []identifier {
	app := s.profile(ctx, "us-east-1", "team haiku", modelARN("us-east-1", haiku), map[string]string{"Project": "Alpha"})
	return []identifier{
		{"foundation model id", haiku, modelARN("us-east-1", haiku)},
		{"foundation model ARN", modelARN("us-east-1", haiku), modelARN("us-east-1", haiku)},
		{"system profile id", haikuProfile, systemARN("us-east-1", haikuProfile)},
		{"system profile ARN", systemARN("us-east-1", haikuProfile), systemARN("us-east-1", haikuProfile)},
		{"application profile ARN", app, app},
		{"application profile id", id(app), app},
	}
}

func TestConverse(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	ids := identifiers(s, ctx)
	named := s.profile(ctx, "us-east-1", "by-its-name", modelARN("us-east-1", haiku), map[string]string{"Project": "Beta"})
	ids = append(ids, identifier{"application profile name", "by-its-name", named})
	type expected struct {
		identifier
		usage *rt.TokenUsage
	}
	byID := map[string]expected{}
	for _, i := range ids {
		t.Run(i.name, func(t *testing.T) {
			out, err := s.runtime("us-east-1").Converse(ctx, &bedrockruntime.ConverseInput{
				ModelId: &i.model, Messages: ask("Say hello."), System: []rt.SystemContentBlock{&rt.SystemContentBlockMemberText{Value: "You are terse."}},
				InferenceConfig: &rt.InferenceConfiguration{MaxTokens: aws.Int32(64), Temperature: aws.Float32(0.2)},
			})
			if err != nil {
				t.Fatal(err)
			}
			text, _ := content(t, out)
			u := out.Usage
			if text == "" || *u.InputTokens <= 0 || *u.OutputTokens <= 0 || *u.OutputTokens > 64 || *u.TotalTokens != *u.InputTokens+*u.OutputTokens {
				t.Errorf("text %q, usage %d + %d = %d", text, *u.InputTokens, *u.OutputTokens, *u.TotalTokens)
			}
			if out.StopReason != rt.StopReasonEndTurn && out.StopReason != rt.StopReasonMaxTokens {
				t.Errorf("stopped for %q", out.StopReason)
			}
			if out.Metrics == nil || out.Metrics.LatencyMs == nil {
				t.Error("no latency")
			}
			requestID, ok := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
			if !ok {
				t.Fatal("no request id")
			}
			byID[requestID] = expected{i, u}
		})
	}
	if t.Failed() {
		return
	}
	for _, c := range s.settled(len(ids)) {
		want, ok := byID[c.ID]
		if !ok {
			t.Errorf("nobody made the call %+v", c)
			continue
		}
		if c.Status != "completed" || c.Estimated || c.Unrated || c.Operation != "Converse" || c.Region != "us-east-1" || c.ModelID != haiku || c.ResourceARN != want.arn ||
			c.Principal != "arn:aws:iam::"+account+":root" || c.InputTokens != int64(*want.usage.InputTokens) || c.OutputTokens != int64(*want.usage.OutputTokens) {
			t.Errorf("%s: the ledger says %+v", want.name, c)
		}
		if project := map[string]string{ids[4].arn: "Alpha", named: "Beta"}[want.arn]; c.Tags["Project"] != project {
			t.Errorf("%s: Project is %q in the ledger", want.name, c.Tags["Project"])
		}
	}
}

// events reads a ConverseStream to its end: the kinds of its events, with runs of deltas as one, and their content.
type streamed struct {
	kinds      []string
	text       string
	tool       string // the name of the tool that was called
	toolInput  string
	stopReason rt.StopReason
	usage      *rt.TokenUsage
	err        error
}

func read(stream *bedrockruntime.ConverseStreamEventStream) (s streamed) {
	defer stream.Close()
	for e := range stream.Events() {
		var kind string
		switch e := e.(type) {
		case *rt.ConverseStreamOutputMemberMessageStart:
			kind = "messageStart"
		case *rt.ConverseStreamOutputMemberContentBlockStart:
			kind = "contentBlockStart"
			if tool, ok := e.Value.Start.(*rt.ContentBlockStartMemberToolUse); ok {
				s.tool = *tool.Value.Name
			}
		case *rt.ConverseStreamOutputMemberContentBlockDelta:
			kind = "contentBlockDelta"
			switch d := e.Value.Delta.(type) {
			case *rt.ContentBlockDeltaMemberText:
				s.text += d.Value
			case *rt.ContentBlockDeltaMemberToolUse:
				s.toolInput += *d.Value.Input
			}
		case *rt.ConverseStreamOutputMemberContentBlockStop:
			kind = "contentBlockStop"
		case *rt.ConverseStreamOutputMemberMessageStop:
			kind = "messageStop"
			s.stopReason = e.Value.StopReason
		case *rt.ConverseStreamOutputMemberMetadata:
			kind = "metadata"
			s.usage = e.Value.Usage
		default:
			kind = "unknown"
		}
		if len(s.kinds) == 0 || kind != "contentBlockDelta" || s.kinds[len(s.kinds)-1] != kind {
			s.kinds = append(s.kinds, kind)
		}
	}
	s.err = stream.Err()
	return s
}

// textOrder is the order of ConverseStream's events for one block of text, which has no start: runs of deltas as one.
var textOrder = []string{"messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}

func TestConverseStream(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	for _, i := range identifiers(s, ctx) {
		t.Run(i.name, func(t *testing.T) {
			out, err := s.runtime("us-east-1").ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &i.model, Messages: ask("Say hello.")})
			if err != nil {
				t.Fatal(err)
			}
			got := read(out.GetStream())
			if got.err != nil || !slices.Equal(got.kinds, textOrder) {
				t.Errorf("events %v, error %v", got.kinds, got.err)
			}
			if got.text == "" || got.stopReason != rt.StopReasonEndTurn || got.usage == nil || *got.usage.OutputTokens <= 0 || *got.usage.TotalTokens != *got.usage.InputTokens+*got.usage.OutputTokens {
				t.Errorf("text %q, stopped for %q, usage %+v", got.text, got.stopReason, got.usage)
			}
		})
	}
}

// weather is a tool with an input that has to be there.
func weather(choice rt.ToolChoice) *rt.ToolConfiguration {
	return &rt.ToolConfiguration{ToolChoice: choice, Tools: []rt.Tool{&rt.ToolMemberToolSpec{Value: rt.ToolSpecification{
		Name: aws.String("get_weather"), Description: aws.String("Weather for a city"),
		InputSchema: &rt.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{
			"type": "object", "required": []string{"city", "days"},
			"properties": map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer", "minimum": 1, "maximum": 7}},
		})},
	}}}}
}

// checkWeather checks an input against the schema of weather.
func checkWeather(t testing.TB, input []byte) {
	t.Helper()
	var in struct {
		City *string `json:"city"`
		Days *int    `json:"days"`
	}
	if err := json.Unmarshal(input, &in); err != nil || in.City == nil || in.Days == nil || *in.Days < 1 || *in.Days > 7 {
		t.Errorf("the tool's input is %s (%v)", input, err)
	}
}

func TestToolUse(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	r := s.runtime("us-east-1")
	model := s.profile(ctx, "us-east-1", "tools", modelARN("us-east-1", haiku), nil)
	question := ask("What is the weather in Paris?")
	out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: question, ToolConfig: weather(&rt.ToolChoiceMemberAny{})})
	if err != nil {
		t.Fatal(err)
	}
	_, tools := content(t, out)
	if out.StopReason != rt.StopReasonToolUse || len(tools) != 1 || *tools[0].Name != "get_weather" || *tools[0].ToolUseId == "" {
		t.Fatalf("stopped for %q, tools %+v", out.StopReason, tools)
	}
	input, err := tools[0].Input.MarshalSmithyDocument()
	if err != nil {
		t.Fatal(err)
	}
	checkWeather(t, input)

	// And the result back.
	dialogue := append(question, out.Output.(*rt.ConverseOutputMemberMessage).Value, rt.Message{
		Role: rt.ConversationRoleUser,
		Content: []rt.ContentBlock{&rt.ContentBlockMemberToolResult{Value: rt.ToolResultBlock{
			ToolUseId: tools[0].ToolUseId, Content: []rt.ToolResultContentBlock{&rt.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"celsius": 20})}},
		}}},
	})
	out, err = r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: dialogue, ToolConfig: weather(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if text, tools := content(t, out); text == "" || len(tools) != 0 || out.StopReason != rt.StopReasonEndTurn {
		t.Errorf("after the result: text %q, tools %v, stopped for %q", text, tools, out.StopReason)
	}

	// Streamed, the input comes in pieces that make JSON together.
	stream, err := r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId: &model, Messages: question, ToolConfig: weather(&rt.ToolChoiceMemberTool{Value: rt.SpecificToolChoice{Name: aws.String("get_weather")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := read(stream.GetStream())
	end := []string{"contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
	if got.err != nil || len(got.kinds) < 6 || got.kinds[0] != "messageStart" || !slices.Equal(got.kinds[len(got.kinds)-5:], end) {
		t.Errorf("events %v, error %v", got.kinds, got.err)
	}
	if got.tool != "get_weather" || got.stopReason != rt.StopReasonToolUse {
		t.Errorf("tool %q, stopped for %q", got.tool, got.stopReason)
	}
	checkWeather(t, []byte(got.toolInput))
}

func TestInference(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	r := s.runtime("us-east-1")
	model := aws.String(haiku)

	t.Run("maxTokens", func(t *testing.T) {
		out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: ask("Tell me a long story."), InferenceConfig: &rt.InferenceConfiguration{MaxTokens: aws.Int32(3)}})
		if err != nil {
			t.Fatal(err)
		}
		if out.StopReason != rt.StopReasonMaxTokens || *out.Usage.OutputTokens > 3 {
			t.Errorf("stopped for %q after %d tokens", out.StopReason, *out.Usage.OutputTokens)
		}
	})
	t.Run("several turns", func(t *testing.T) {
		one, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: ask("Say hello.")})
		if err != nil {
			t.Fatal(err)
		}
		more := append(ask("Say hello."), one.Output.(*rt.ConverseOutputMemberMessage).Value)
		more = append(more, ask("And again, in French.")...)
		two, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: more})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := content(t, two); text == "" || *two.Usage.InputTokens <= *one.Usage.InputTokens {
			t.Errorf("text %q; %d tokens in, after %d", text, *two.Usage.InputTokens, *one.Usage.InputTokens)
		}
	})
	t.Run("image", func(t *testing.T) {
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
			t.Fatal(err)
		}
		plain, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: ask("What is this?")})
		if err != nil {
			t.Fatal(err)
		}
		messages := ask("What is this?")
		messages[0].Content = append(messages[0].Content, &rt.ContentBlockMemberImage{Value: rt.ImageBlock{
			Format: rt.ImageFormatPng, Source: &rt.ImageSourceMemberBytes{Value: picture.Bytes()},
		}})
		out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: messages})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := content(t, out); text == "" || *out.Usage.InputTokens <= *plain.Usage.InputTokens {
			t.Errorf("text %q; %d tokens in, %d without the picture", text, *out.Usage.InputTokens, *plain.Usage.InputTokens)
		}
	})
	for _, c := range []struct {
		name string
		in   bedrockruntime.ConverseInput
		says string
	}{
		{"a model that is not there", bedrockruntime.ConverseInput{ModelId: aws.String("anthropic.claude-nine"), Messages: ask("hi")}, "The provided model identifier is invalid."},
		{"a profile of another Region", bedrockruntime.ConverseInput{ModelId: aws.String("eu." + haiku), Messages: ask("hi")}, "The provided model identifier is invalid."},
		{"a temperature beyond 1", bedrockruntime.ConverseInput{ModelId: model, Messages: ask("hi"), InferenceConfig: &rt.InferenceConfiguration{Temperature: aws.Float32(1.5)}},
			"1 validation error detected: Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Converse(ctx, &c.in)
			if !is[*rt.ValidationException](err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

const anthropicBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":300,"messages":[{"role":"user","content":"Say hello."}]}`

// TestInvokeModel sends Anthropic's own bodies. The headers are those that AWS answers with, beyond its service model.
func TestInvokeModel(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	r := s.runtime("us-east-1")
	for _, i := range identifiers(s, ctx) {
		t.Run(i.name, func(t *testing.T) {
			out, err := r.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &i.model, ContentType: aws.String("application/json"), Body: []byte(anthropicBody)})
			if err != nil {
				t.Fatal(err)
			}
			var m struct {
				Type, Role string
				Content    []struct{ Type, Text string }
				StopReason string `json:"stop_reason"`
				Usage      struct {
					Input  int64 `json:"input_tokens"`
					Output int64 `json:"output_tokens"`
				}
			}
			if err := json.Unmarshal(out.Body, &m); err != nil {
				t.Fatal(err)
			}
			if m.Type != "message" || m.Role != "assistant" || len(m.Content) != 1 || m.Content[0].Type != "text" || m.Content[0].Text == "" || m.StopReason != "end_turn" || m.Usage.Input <= 0 || m.Usage.Output <= 0 {
				t.Errorf("the answer is %s", out.Body)
			}
			if *out.ContentType != "application/json" {
				t.Errorf("the content type is %q", *out.ContentType)
			}
			h := header(out.ResultMetadata)
			if h.Get("X-Amzn-Bedrock-Input-Token-Count") != strconv.FormatInt(m.Usage.Input, 10) || h.Get("X-Amzn-Bedrock-Output-Token-Count") != strconv.FormatInt(m.Usage.Output, 10) {
				t.Errorf("the headers are %v, the usage %+v", h, m.Usage)
			}
			if _, err := strconv.ParseInt(h.Get("X-Amzn-Bedrock-Invocation-Latency"), 10, 64); err != nil {
				t.Errorf("the latency in the headers: %v", err)
			}
		})
	}

	t.Run("stream", func(t *testing.T) {
		out, err := r.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(haiku), ContentType: aws.String("application/json"), Body: []byte(anthropicBody)})
		if err != nil {
			t.Fatal(err)
		}
		type event struct {
			Type    string
			Message struct {
				Usage struct {
					Input int64 `json:"input_tokens"`
				}
			}
			Delta struct{ Text string }
			Usage struct {
				Output int64 `json:"output_tokens"`
			}
			Metrics *struct{ InputTokenCount, OutputTokenCount, InvocationLatency, FirstByteLatency *int64 } `json:"amazon-bedrock-invocationMetrics"`
		}
		var events []event
		stream := out.GetStream()
		defer stream.Close()
		for e := range stream.Events() {
			chunk, ok := e.(*rt.ResponseStreamMemberChunk)
			if !ok {
				t.Fatalf("an event is %T", e)
			}
			var ev event
			if err := json.Unmarshal(chunk.Value.Bytes, &ev); err != nil {
				t.Fatal(err)
			}
			events = append(events, ev)
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		var kinds []string
		text, output := "", int64(0)
		for _, e := range events {
			if e.Type == "ping" || e.Type == "content_block_delta" && kinds[len(kinds)-1] == e.Type {
				text += e.Delta.Text
				continue
			}
			text += e.Delta.Text
			kinds = append(kinds, e.Type)
			if e.Type == "message_delta" {
				output = e.Usage.Output
			}
			if e.Metrics != nil && e.Type != "message_stop" {
				t.Errorf("metrics in %s", e.Type)
			}
		}
		if want := []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}; !slices.Equal(kinds, want) {
			t.Fatalf("the events are %v", kinds)
		}
		m := events[len(events)-1].Metrics
		if text == "" || m == nil || m.InputTokenCount == nil || m.OutputTokenCount == nil || m.InvocationLatency == nil || m.FirstByteLatency == nil {
			t.Fatalf("text %q, metrics %+v", text, m)
		}
		// What went in is only estimated when the answer begins; an upstream tells it at the end.
		if events[0].Message.Usage.Input <= 0 || *m.InputTokenCount <= 0 || *m.OutputTokenCount != output || output <= 0 {
			t.Errorf("%d and %d tokens in the metrics, %d and %d in the events", *m.InputTokenCount, *m.OutputTokenCount, events[0].Message.Usage.Input, output)
		}
	})

	// What the SDK for Go says of a body when it is not told: AWS refuses it in these words.
	t.Run("no content type", func(t *testing.T) {
		_, err := r.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(haiku), Body: []byte(anthropicBody)})
		if !is[*rt.ValidationException](err) || !strings.Contains(err.Error(), "The provided Content Type is invalid or not supported for this model") {
			t.Errorf("%v", err)
		}
	})
}

// counting counts the answers of each version of HTTP.
type counting struct {
	http.RoundTripper
	http2, other atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		if resp.ProtoMajor == 2 {
			c.http2.Add(1)
		} else {
			c.other.Add(1)
		}
	}
	return resp, err
}

// TestHTTP2 speaks HTTP/2 in clear text with prior knowledge, as the AWS SDK for JavaScript does with the runtime.
func TestHTTP2(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	counted := &counting{RoundTripper: inMemory{transport}}
	cfg := s.aws("us-east-1")
	cfg.HTTPClient = &http.Client{Transport: counted}
	r := bedrockruntime.NewFromConfig(cfg)
	app := s.profile(ctx, "us-east-1", "h2", modelARN("us-east-1", haiku), nil)
	out, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &app, Messages: ask("Say hello.")})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := content(t, out); text == "" {
		t.Error("no text")
	}
	stream, err := r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &app, Messages: ask("Say hello.")})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(stream.GetStream()); got.err != nil || !slices.Equal(got.kinds, textOrder) {
		t.Errorf("events %v, error %v", got.kinds, got.err)
	}
	// It signs :authority in place of host, too.
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/model/"+escape(app)+"/converse", strings.NewReader(converseBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	signAuthority(req, []byte(converseBody), "us-east-1")
	resp, err := counted.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("with :authority signed: %s %s", resp.Status, resp.Header.Get("X-Amzn-Errortype"))
	}
	if counted.http2.Load() != 3 || counted.other.Load() != 0 {
		t.Errorf("%d answers over HTTP/2, %d over another", counted.http2.Load(), counted.other.Load())
	}
}

// TestUpstreamFaults checks what becomes of an upstream's failures. Sources: the exceptions that the service model gives
// each operation; a failure after the first event is an exception inside the stream.
func TestUpstreamFaults(t *testing.T) {
	simulated := func(fault string) string {
		return "upstreams:\n  - name: sim\n    provider: simulated\n    simulated:\n      latency:\n        per_token: {value: 1ms}\n      faults: {" + fault + ": 1.0}\n"
	}
	modelFailed := func(err error) bool {
		return is[*rt.ModelErrorException](err) || is[*rt.ServiceUnavailableException](err) || is[*rt.InternalServerException](err)
	}
	for _, c := range []struct {
		fault          string
		is             func(error) bool
		afterTheEvents bool
	}{
		{fault: "throttle", is: is[*rt.ThrottlingException]},
		{fault: "error", is: modelFailed},
		{fault: "reset", is: modelFailed},
		{fault: "cut", is: modelFailed, afterTheEvents: true},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s := start(t, options{config: simulated(c.fault)})
			ctx := deadline(t)
			r := s.runtime("us-east-1")
			app := s.profile(ctx, "us-east-1", "faulty", modelARN("us-east-1", haiku), nil)
			if _, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &app, Messages: ask("Say hello.")}); !c.is(err) {
				t.Errorf("Converse: %v", err)
			}
			if _, err := r.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &app, ContentType: aws.String("application/json"), Body: []byte(anthropicBody)}); !c.is(err) {
				t.Errorf("InvokeModel: %v", err)
			}
			// Each stream has a client of its own: streams of one client at one time share a decoder (smithy-go v1.28.8).
			stream, err := r.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &app, Messages: ask("Tell me a long story.")})
			invoked, errInvoke := s.runtime("us-east-1").InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &app, ContentType: aws.String("application/json"), Body: []byte(anthropicBody)})
			if c.afterTheEvents {
				if err != nil || errInvoke != nil {
					t.Fatalf("the streams did not begin: %v, %v", err, errInvoke)
				}
				got := read(stream.GetStream())
				if !is[*rt.ModelStreamErrorException](got.err) || len(got.kinds) == 0 || got.kinds[0] != "messageStart" || slices.Contains(got.kinds, "metadata") {
					t.Errorf("ConverseStream: events %v, then %v", got.kinds, got.err)
				}
				chunks := 0
				events := invoked.GetStream()
				defer events.Close()
				for range events.Events() {
					chunks++
				}
				if !is[*rt.ModelStreamErrorException](events.Err()) || chunks == 0 {
					t.Errorf("InvokeModelWithResponseStream: %d events, then %v", chunks, events.Err())
				}
			} else if !c.is(err) || !c.is(errInvoke) {
				t.Errorf("ConverseStream: %v; InvokeModelWithResponseStream: %v", err, errInvoke)
			}
			for _, e := range s.settled(4) {
				if e.Status != "failed" || e.Reason == "" {
					t.Errorf("the ledger says %+v", e)
				}
				// What an upstream has begun to answer is never free.
				if c.afterTheEvents && (!e.Estimated || e.InputTokens <= 0 || e.NanoUSD <= 0) {
					t.Errorf("a call that was cut cost nothing: %+v", e)
				}
			}
		})
	}
}

// TestCallerGoesAway leaves calls in the middle. Each is settled, as cancelled, with what the upstream still tells within
// upstream_drain; what it does not tell is estimated, never free.
func TestCallerGoesAway(t *testing.T) {
	in := bedrockruntime.ConverseStreamInput{ModelId: aws.String(haiku), Messages: ask("Tell me a long story."), InferenceConfig: &rt.InferenceConfiguration{MaxTokens: aws.Int32(20)}}
	for _, c := range []struct {
		name, config string
		estimated    bool
	}{
		{"the upstream ends soon", "upstream_drain: 30s\n" + slow("5ms", "30s"), false},
		{"the upstream does not end", "upstream_drain: 50ms\n" + slow("1h", "30s"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{config: c.config})
			ctx := deadline(t)
			begun(t, s).Close()
			got := s.settled(1)[0]
			if got.Status != "cancelled" || got.Estimated != c.estimated || got.InputTokens <= 0 || got.NanoUSD <= 0 {
				t.Errorf("the ledger says %+v", got)
			}
			if c.estimated {
				return
			}
			// The whole answer was paid for: as much as one that is read to its end.
			out, err := s.runtime("us-east-1").ConverseStream(ctx, &in)
			if err != nil {
				t.Fatal(err)
			}
			if u := read(out.GetStream()).usage; u == nil || int64(*u.InputTokens) != got.InputTokens || int64(*u.OutputTokens) != got.OutputTokens {
				t.Errorf("the ledger has %d tokens in and %d out; the same answer read to its end %+v", got.InputTokens, got.OutputTokens, u)
			}
		})
	}

	t.Run("before the upstream answers", func(t *testing.T) {
		arrived, left := make(chan struct{}), make(chan struct{})
		silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // only then does the server notice that its caller leaves
			close(arrived)
			<-r.Context().Done()
			close(left)
		}))
		t.Cleanup(silent.Close)
		s := start(t, options{config: "upstream_drain: 50ms\nupstreams:\n  - name: silent\n    provider: openai\n    base_url: " + silent.URL + "/v1\n    models: {\"*\": \"*\"}\n"})
		ctx, cancel := context.WithCancel(deadline(t))
		gone := make(chan error, 1)
		go func() {
			_, err := s.runtime("us-east-1").Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask("Say hello.")})
			gone <- err
		}()
		<-arrived
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
		select {
		case <-left:
		case <-time.After(patience):
			t.Error("the upstream is still being waited for")
		}
		if got := s.settled(1)[0]; got.Status != "cancelled" || !got.Estimated || got.NanoUSD <= 0 {
			t.Errorf("the ledger says %+v", got)
		}
	})
}

// TestFailover puts a failing upstream before one that works, and before a profile's second Region.
func TestFailover(t *testing.T) {
	s := start(t, options{config: `
upstreams:
  - name: broken
    provider: simulated
    regions: [us-east-1]
    simulated:
      faults: {error: 1.0}
  - name: works
    provider: simulated
    regions: [us-west-2]
`})
	ctx := deadline(t)
	r := s.runtime("us-east-1")
	app := s.profile(ctx, "us-east-1", "two Regions", systemARN("us-east-1", haikuProfile), nil)
	if _, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &app, Messages: ask("Say hello.")}); err != nil {
		t.Errorf("through a profile with two Regions: %v", err)
	}
	if _, err := r.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask("Say hello.")}); err == nil {
		t.Error("the model in its own Region has answered, whose upstream is broken")
	}
	for _, c := range s.settled(2) {
		if c.ResourceARN == app && (c.Status != "completed" || c.Region != "us-east-1" || c.ServedRegion != "us-west-2") {
			t.Errorf("the ledger says %+v", c)
		}
	}
}

// TestBodyLimit sends what is just too large for a model: AWS's bound for a body is 25,000,000 bytes.
func TestBodyLimit(t *testing.T) {
	s := start(t, options{})
	_, err := s.runtime("us-east-1").InvokeModel(deadline(t), &bedrockruntime.InvokeModelInput{ModelId: aws.String(haiku), Body: make([]byte, 25_000_001)})
	var status interface{ HTTPStatusCode() int }
	if !is[*rt.ValidationException](err) || !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusRequestEntityTooLarge && status.HTTPStatusCode() != http.StatusBadRequest {
		t.Errorf("%v", err)
	}
}
