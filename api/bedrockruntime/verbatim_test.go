package bedrockruntime_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"outcrop/ledger"
	"outcrop/upstream/bedrock"
	"outcrop/upstream/simulated"
)

// aws is an Amazon Bedrock that is not there: it remembers what it was sent and answers what it was told to.
type aws struct {
	path, body string
	header     http.Header

	answer string      // of what is not streamed
	events [][2]string // of what is: type and payload of each
	told   http.Header // headers of the answer
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.path, a.body, a.header = r.URL.EscapedPath(), string(body), r.Header.Clone()
	maps.Copy(w.Header(), a.told)
	if !strings.HasSuffix(a.path, "-stream") {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, a.answer)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	for _, e := range a.events {
		var m eventstream.Message
		m.Headers.Set(":event-type", eventstream.StringValue(e[0]))
		m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
		m.Headers.Set(":message-type", eventstream.StringValue("event"))
		m.Payload = []byte(e[1])
		_ = eventstream.NewEncoder().Encode(w, m)
	}
}

// newAWS returns a rig whose upstream is a.
func newAWS(t *testing.T, a *aws) *metadataRig {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	p, err := bedrock.New(t.Context(), bedrock.Config{Name: "aws", Endpoint: server.URL, APIKey: "key", S3Locations: []string{"s3://bucket"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &metadataRig{newRig(t, p, nil), &witness{}}
}

// read decodes an event stream with the AWS SDK's decoder.
func read(t *testing.T, b []byte) (events [][2]string) {
	t.Helper()
	in, d := bytes.NewReader(b), eventstream.NewDecoder()
	for in.Len() > 0 {
		m, err := d.Decode(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		name := m.Headers.Get(":event-type")
		if name == nil {
			t.Fatalf("%v %s", m.Headers, m.Payload)
		}
		events = append(events, [2]string{name.String(), string(m.Payload)})
	}
	return events
}

// A body of another day: white space, members and arms of unions that the service model of today does not have, and what
// no other upstream takes.
const tomorrow = ` { "messages" : [{"role":"user","content":[{"text":"Hi \u00e9"},{"hologram":{"format":"holo"}}],"mood":"good"}],
	"serviceTier":{"type":"reserved","since":1}, "performanceConfig":{"latency":"optimized"},
	"guardrailConfig":{"guardrailIdentifier":"abc123","guardrailVersion":"DRAFT","trace":"enabled","strength":9},
	"toolConfig":{"tools":[{"robot":{"arms":2}}],"toolChoice":{"none":{}}}, "system":[{"anthem":{}}], "reasoningConfig":{"type":"enabled"} } `

// TestVerbatim: of a Converse to Bedrock only the model's name in the path changes, and its answer comes back as it is.
func TestVerbatim(t *testing.T) {
	a := &aws{
		answer: ` {"output":{"message":{"role":"assistant","content":[{"text":"a"},{"hologram":{}}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10,"newTokens":1},` +
			`"metrics":{"latencyMs":1},"trace":{"guardrail":{"actionReason":"x"}},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"default"},"p":"ab"}`,
		events: [][2]string{
			{"messageStart", `{"role":"assistant","p":"abc"}`}, {"contentBlockStart", `{"contentBlockIndex":0,"start":{"hologram":{}}}`},
			{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"hologram":{"x":"1e9"}},"p":""}`}, {"hologramReady", `{}`}, {"contentBlockStop", `{"contentBlockIndex":0}`},
			{"messageStop", `{"stopReason":"malformed_model_output","new":1}`},
			{"metadata", `{"usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10},"metrics":{"latencyMs":1},"trace":{"promptRouter":{}},"serviceTier":{"type":"default"},"p":"x"}`},
		},
	}
	m := newAWS(t, a)
	for _, body := range []string{tomorrow, fmt.Sprintf(converseBody, ""), fmt.Sprintf(converseBody, `,"serviceTier":{"type":"reserved"}`)} {
		for _, operation := range []string{"Converse", "ConverseStream"} {
			suffix, stop := "converse", "guardrail_intervened"
			if operation == "ConverseStream" {
				suffix, stop = "converse-stream", "malformed_model_output"
			}
			w := m.send(signed(t, rootKey, secret, haikuPath+suffix, body, ""), body)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", operation, w.Code, w.Body)
			}
			if want := haikuPath + suffix; a.path != want || a.body != body {
				t.Errorf("%s: sent to %s: %s", operation, a.path, a.body)
			}
			if operation == "Converse" {
				if got := w.Body.String(); got != a.answer {
					t.Errorf("%s answers %s", operation, got)
				}
			} else if got := read(t, w.Body.Bytes()); !slices.Equal(got, a.events) {
				t.Errorf("%s answers %q", operation, got)
			}
			e := m.latest(t, operation)
			if u := e.Usage; u.InputTokens != 7 || u.OutputTokens != 3 || e.Estimated || e.StopReason != stop || e.Status != ledger.Completed {
				t.Errorf("%s: the ledger has %+v", operation, e.Settlement)
			}
			// It was reserved, and has overflown to the default: that is what it is charged as.
			if want := ""; strings.Contains(body, "reserved") {
				want = "reserved"
				if e.Tier != want {
					t.Errorf("%s: the ledger has the tier %q", operation, e.Tier)
				}
			} else if e.Tier != want {
				t.Errorf("%s: the ledger has the tier %q", operation, e.Tier)
			}
			if _, unrated := e.Cost(); unrated || len(e.Charges) != 2 || e.Charges[0].UsageType != "USE1-Claude3Haiku-input-tokens" {
				t.Errorf("%s: charged %+v", operation, e.Charges)
			}
		}
	}
}

// latest is the newest entry of the operation.
func (m *metadataRig) latest(t *testing.T, operation string) ledger.Entry {
	return m.calls(t)[operation]
}

// everything has every member of Converse's input and every arm of its unions, in places where a conversation may have
// them. Source: botocore bedrock-runtime 2023-09-30.
const everything = `{"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}},{"guardContent":{"text":{"text":"","qualifiers":["grounding_source","query","guard_content"]}}},{"guardContent":{"image":{"format":"jpeg","source":{"bytes":"AAEC"}}}}],
"messages":[{"role":"user","content":[{"text":"u"},{"image":{"format":"webp","source":{"bytes":"AAEC"}}},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/key","bucketOwner":"111122223333"}},"error":{"message":"m"}}},
{"document":{"format":"pdf","name":"a","source":{"bytes":"AAEC"},"context":"c","citations":{"enabled":false}}},{"document":{"format":"docx","name":"b","source":{"s3Location":{"uri":"s3://bucket"}}}},
{"document":{"name":"c","source":{"text":"t"},"citations":{"enabled":true}}},{"document":{"name":"d","source":{"content":[{"text":"one"},{"text":"two"}]}}},
{"video":{"format":"three_gp","source":{"bytes":"AAEC"}}},{"video":{"format":"mkv","source":{"s3Location":{"uri":"s3://bucket/key"}}}},{"audio":{"format":"x-aac","source":{"bytes":"AAEC"},"error":{}}},{"audio":{"format":"pcm","source":{"s3Location":{"uri":"s3://bucket/key"}}}},
{"guardContent":{"text":{"text":"g"}}},{"cachePoint":{"type":"default"}},{"searchResult":{"source":"","title":"","content":[{"text":""}],"citations":{"enabled":true}}}]},
{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"AAEC"}},
{"citationsContent":{"content":[{"text":"x"}],"citations":[{"title":"t","source":"s","sourceContent":[{"text":"y"}],"location":{"web":{"url":"https://example.com","domain":"example.com"}}},
{"location":{"documentChar":{"documentIndex":0,"start":0,"end":1}}},{"location":{"documentPage":{"documentIndex":0,"start":0,"end":1}}},{"location":{"documentChunk":{"documentIndex":0,"start":0,"end":1}}},{"location":{"searchResultLocation":{"searchResultIndex":0,"start":0,"end":1}}}]}},
{"toolUse":{"toolUseId":"server_1","name":"web","input":{},"type":"server_tool_use"}},{"toolResult":{"toolUseId":"server_1","content":[],"type":"web_search_tool_result"}},{"toolUse":{"toolUseId":"t1","name":"n","input":{"a":1}}}]},
{"role":"user","content":[{"toolResult":{"toolUseId":"t1","status":"success","content":[{"json":{"a":[]}},{"text":""},{"image":{"format":"gif","source":{"bytes":"AAEC"}}},{"document":{"name":"e","source":{"text":"t"}}},{"video":{"format":"mp4","source":{"bytes":"AAEC"}}},{"searchResult":{"source":"s","title":"t","content":[]}}]}}]}],
"inferenceConfig":{"maxTokens":1,"temperature":1,"topP":0,"stopSequences":["x"]},"toolConfig":{"tools":[{"toolSpec":{"name":"n","description":"d","inputSchema":{"json":{}},"strict":false}},{"systemTool":{"name":"nova_grounding"}},{"cachePoint":{"type":"default"}}],"toolChoice":{"tool":{"name":"n"}}},
"guardrailConfig":{"guardrailIdentifier":"arn:aws:bedrock:us-east-1:111122223333:guardrail/abc","guardrailVersion":"1","trace":"enabled_full","streamProcessingMode":"async"},"additionalModelRequestFields":{"top_k":5},"promptVariables":{"v":{"text":""}},
"additionalModelResponseFieldPaths":["/stop_sequence"],"requestMetadata":{"team":""},"performanceConfig":{"latency":"standard"},"serviceTier":{"type":"priority"},
"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}","name":"n","description":"d"}}}}}`

// TestEverything: whatever the service model allows reaches Bedrock.
func TestEverything(t *testing.T) {
	a := &aws{answer: `{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"model_context_window_exceeded","usage":{"inputTokens":1,"outputTokens":0,"totalTokens":1},"metrics":{"latencyMs":1}}`}
	m := newAWS(t, a)
	for _, choice := range []string{`{"tool":{"name":"n"}}`, `{"any":{}}`, `{"auto":{}}`} {
		body := strings.Replace(everything, `{"tool":{"name":"n"}}`, choice, 1)
		w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body)
		if w.Code != http.StatusOK || w.Body.String() != a.answer || a.body != body {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// TestConstraints: what the service model does not allow is refused before it goes anywhere, with its path.
func TestConstraints(t *testing.T) {
	a := &aws{answer: `{}`}
	m := newAWS(t, a)
	for _, c := range []struct{ valid, invalid, path string }{
		{`"ttl":"1h"`, `"ttl":"2h"`, "'system.2.member.cachePoint.ttl'"},
		{`"grounding_source"`, `"other"`, "'system.3.member.guardContent.text.qualifiers'"},
		{`"format":"jpeg"`, `"format":"gif"`, "'system.4.member.guardContent.image.format'"},
		{`"format":"webp","source":{"bytes":"AAEC"}`, `"format":"webp","source":{"bytes":""}`, "'messages.1.member.content.2.member.image.source.bytes'"},
		{`"format":"webp","source":{"bytes":"AAEC"}`, `"format":"webp","source":{}`, "'messages.1.member.content.2.member.image.source' failed"},
		{`"uri":"s3://bucket/key","bucketOwner"`, `"uri":"https://bucket","bucketOwner"`, "'messages.1.member.content.3.member.image.source.s3Location.uri'"},
		{`"111122223333"}},"error"`, `"1"}},"error"`, "'messages.1.member.content.3.member.image.source.s3Location.bucketOwner'"},
		{`"name":"a"`, `"name":""`, "'messages.1.member.content.4.member.document.name'"},
		{`"citations":{"enabled":false}`, `"citations":{}`, "'messages.1.member.content.4.member.document.citations.enabled'"},
		{`{"content":[{"text":"one"}`, `{"content":[{}`, "DocumentContentBlock object at messages.0.content.6.document.source.content.0 must set"},
		{`"three_gp"`, `"3gp"`, "'messages.1.member.content.8.member.video.format'"},
		{`"x-aac"`, `"aiff"`, "'messages.1.member.content.10.member.audio.format'"},
		{`"source":"","title":"",`, `"source":"",`, "'messages.1.member.content.14.member.searchResult.title'"},
		{`"documentChar":{"documentIndex":0`, `"documentChar":{"documentIndex":-1`, "'messages.2.member.content.3.member.citationsContent.citations.2.member.location.documentChar.documentIndex'"},
		{`"searchResultLocation":{"searchResultIndex":0`, `"searchResultLocation":{"searchResultIndex":-1`, "citations.5.member.location.searchResultLocation.searchResultIndex'"},
		{`"server_tool_use"`, `"tool_use"`, "'messages.2.member.content.4.member.toolUse.type'"},
		{`"toolUseId":"t1","name":"n"`, `"toolUseId":"t 1","name":"n"`, "'messages.2.member.content.6.member.toolUse.toolUseId'"},
		{`"status":"success"`, `"status":"ok"`, "'messages.3.member.content.1.member.toolResult.status'"},
		{`"maxTokens":1`, `"maxTokens":0`, "'inferenceConfig.maxTokens'"},
		{`"temperature":1`, `"temperature":1.1`, "'inferenceConfig.temperature'"},
		{`["x"]`, `[""]`, "'inferenceConfig.stopSequences'"},
		{`"nova_grounding"`, `"nova grounding"`, "'toolConfig.tools.2.member.systemTool.name'"},
		{`guardrail/abc"`, `guardrail/ABC"`, "'guardrailConfig.guardrailIdentifier'"},
		{`"guardrailVersion":"1"`, `"guardrailVersion":"0"`, "'guardrailConfig.guardrailVersion'"},
		{`"trace":"enabled_full"`, `"trace":"ENABLED"`, "'guardrailConfig.trace'"},
		{`"async"`, `"later"`, "'guardrailConfig.streamProcessingMode'"},
		{`["/stop_sequence"]`, `["` + strings.Repeat("/a", 129) + `"]`, "'additionalModelResponseFieldPaths'"},
		{`["/stop_sequence"]`, `["/a"` + strings.Repeat(`,"/a"`, 10) + `]`, "'additionalModelResponseFieldPaths'"},
		{`"latency":"standard"`, `"latency":"fast"`, "'performanceConfig.latency'"},
		{`{"type":"priority"}`, `{"type":"standard"}`, "'serviceTier.type'"},
		{`{"type":"priority"}`, `{}`, "'serviceTier.type'"},
		{`"type":"json_schema"`, `"type":"json"`, "'outputConfig.textFormat.type'"},
		{`"structure":{"jsonSchema"`, `"structure":{"jsonsSchema"`, "'outputConfig.textFormat.structure'"},
	} {
		if strings.Count(everything, c.valid) == 0 {
			t.Fatalf("%s is not there", c.valid)
		}
		body := strings.Replace(everything, c.valid, c.invalid, 1)
		a.body = ""
		w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body)
		if w.Code != http.StatusBadRequest || !strings.HasPrefix(w.Header().Get("X-Amzn-Errortype"), "ValidationException") || !strings.Contains(w.Body.String(), c.path) || a.body != "" {
			t.Errorf("%s: %d %s", c.invalid, w.Code, w.Body)
		}
	}
}

// TestNewArms: where no upstream takes the body as it is, an arm of a union that is not known is refused by its name.
func TestNewArms(t *testing.T) {
	m := newMetadataRig(t)
	user := `{"role":"user","content":[{"text":"a"}]}`
	const tools = `{"tools":[{"toolSpec":{"name":"n","inputSchema":{"json":{}}}}]}`
	for body, want := range map[string]string{
		// As AWS refuses it: see wire's words for a union without a member.
		`{"messages":[{"role":"user","content":[{"text":"a"},{"image_url":{"url":"a"}}]}]}`:                         `ContentBlock object at messages.0.content.1 must set one of the following keys: text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent, citationsContent, searchResult, audio, guardContent.`,
		`{"messages":[{"role":"user","content":[{"text":"a","mood":{}}]}]}`:                                         `ContentBlock object at messages.0.content.0 must set only one of the following keys: text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent, citationsContent, searchResult, audio, guardContent.`,
		`{"messages":[` + user + `],"system":[{"anthem":{}}]}`:                                                      "SystemContentBlock object at system.0 must set one of the following keys: text, cachePoint, guardContent.",
		`{"messages":[` + user + `],"toolConfig":{"tools":[{"robot":{}}]}}`:                                         "Tool object at toolConfig.tools.0 must set one of the following keys: toolSpec, systemTool, cachePoint.",
		`{"messages":[` + user + `],"toolConfig":` + strings.TrimSuffix(tools, "}") + `,"toolChoice":{"none":{}}}}`: "ToolChoice object at toolConfig.toolChoice must set one of the following keys: auto, any, tool.",
		`{"messages":[` + user + `,{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"n","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"hologram":1}]}}]}],"toolConfig":` + tools + `}`://
		"ToolResultContentBlock object at messages.2.content.0.toolResult.content.0 must set one of the following keys: json, text, image, document, video, searchResult.",
	} {
		w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body)
		if w.Code != http.StatusBadRequest || w.Body.String() != `{"message":"`+want+`"}` || m.asked != nil {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	// Members that are not known are ignored, as AWS ignores them.
	body := `{"messages":[{"role":"user","content":[{"text":"a"}],"mood":"good"}],"reasoningConfig":{}}`
	if w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestInvokeModelServing: the headers of InvokeModel go to Bedrock and come back as it answers them.
func TestInvokeModelServing(t *testing.T) {
	message := `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":3}}`
	a := &aws{
		answer: message,
		events: [][2]string{{"chunk", `{"bytes":"eyJhbWF6b24tYmVkcm9jay1pbnZvY2F0aW9uTWV0cmljcyI6eyJpbnB1dFRva2VuQ291bnQiOjcsIm91dHB1dFRva2VuQ291bnQiOjN9fQ=="}`}},
		told:   http.Header{"X-Amzn-Bedrock-Service-Tier": {"flex"}, "X-Amzn-Bedrock-Performanceconfig-Latency": {"standard"}},
	}
	m := newAWS(t, a)
	asked := map[string]string{
		"x-amzn-bedrock-service-tier": "priority", "x-amzn-bedrock-performanceconfig-latency": "optimized", "x-amzn-bedrock-trace": "ENABLED",
		"x-amzn-bedrock-guardrailidentifier": "abc123", "x-amzn-bedrock-guardrailversion": "7",
	}
	for suffix, operation := range map[string]string{"invoke": "InvokeModel", "invoke-with-response-stream": "InvokeModelWithResponseStream"} {
		w := m.send(signedWith(t, rootKey, secret, haikuPath+suffix, messagesBody, asked), messagesBody)
		if w.Code != http.StatusOK || a.path != haikuPath+suffix || a.body != messagesBody {
			t.Fatalf("%s: %d %s; sent to %s: %s", operation, w.Code, w.Body, a.path, a.body)
		}
		for name, want := range asked {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: sent %s %q, want %q", operation, name, got, want)
			}
		}
		h := w.Header()
		if tier, latency := h.Get("X-Amzn-Bedrock-Service-Tier"), h.Get("X-Amzn-Bedrock-PerformanceConfig-Latency"); tier != "flex" || latency != "standard" {
			t.Errorf("%s: answered tier %q, latency %q", operation, tier, latency)
		}
		e := m.latest(t, operation)
		if e.Tier != "priority" || len(e.Charges) != 2 || e.Charges[0].UsageType != "USE1-Claude3Haiku-input-tokens-flex" || !e.Charges[0].Unrated || e.Charges[0].Nano != 0 {
			t.Errorf("%s: the ledger has tier %q, %+v", operation, e.Tier, e.Charges)
		}
	}
	// A body of another family goes as Converse, and the headers with it as members.
	a.answer = `{"output":{"message":{"role":"assistant","content":[{"text":"a"}]}},"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10},"metrics":{"latencyMs":1},"serviceTier":{"type":"flex"}}`
	a.told = nil
	const novaPath = "/model/amazon.nova-lite-v1%3A0/"
	w := m.send(signedWith(t, rootKey, secret, novaPath+"invoke", messagesBody, asked), messagesBody)
	if w.Code != http.StatusOK || a.path != novaPath+"converse" {
		t.Fatalf("%d %s: %s", w.Code, w.Body, a.path)
	}
	for _, want := range []string{`"guardrailConfig":{"guardrailIdentifier":"abc123","guardrailVersion":"7","trace":"enabled"}`, `"serviceTier":{"type":"priority"}`, `"performanceConfig":{"latency":"optimized"}`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is not in %s", want, a.body)
		}
	}
	if h := w.Header(); h.Get("X-Amzn-Bedrock-Service-Tier") != "flex" || h.Get("X-Amzn-Bedrock-PerformanceConfig-Latency") != "optimized" {
		t.Errorf("answered %v", h)
	}
}

// TestSimulatedServing: a simulated model is of every tier, and says so; a guardrail it has not.
func TestSimulatedServing(t *testing.T) {
	p, err := simulated.New(simulated.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := &metadataRig{newRig(t, p, nil), &witness{}}
	for _, tier := range []string{"default", "flex", "priority", "reserved"} {
		body := fmt.Sprintf(converseBody, `,"serviceTier":{"type":"`+tier+`"},"performanceConfig":{"latency":"optimized"}`)
		w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"`+tier+`"}`) {
			t.Errorf("%s: %d %s", tier, w.Code, w.Body)
		}
		e := m.latest(t, "Converse")
		_, unrated := e.Cost()
		if want := strings.TrimPrefix(tier, "default"); e.Tier != want || unrated != (want != "") {
			t.Errorf("%s: the ledger has the tier %q, %+v", tier, e.Tier, e.Charges)
		}
		w = m.send(signed(t, rootKey, secret, haikuPath+"converse-stream", body, ""), body)
		events := read(t, w.Body.Bytes())
		if last := events[len(events)-1]; last[0] != "metadata" || !strings.Contains(last[1], `"serviceTier":{"type":"`+tier+`"}`) {
			t.Errorf("%s: %q", tier, last)
		}
		w = m.send(signedWith(t, rootKey, secret, haikuPath+"invoke", messagesBody, map[string]string{"x-amzn-bedrock-service-tier": tier}), messagesBody)
		if w.Code != http.StatusOK || w.Header().Get("X-Amzn-Bedrock-Service-Tier") != tier {
			t.Errorf("%s: %d %v", tier, w.Code, w.Header())
		}
	}
	body := fmt.Sprintf(converseBody, `,"guardrailConfig":{"guardrailIdentifier":"abc123","guardrailVersion":"1"}`)
	if w := m.send(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "guardrailConfig") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	guarded := map[string]string{"x-amzn-bedrock-guardrailidentifier": "abc123", "x-amzn-bedrock-guardrailversion": "1"}
	if w := m.send(signedWith(t, rootKey, secret, haikuPath+"invoke", messagesBody, guarded), messagesBody); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "the header X-Amzn-Bedrock-GuardrailIdentifier") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
