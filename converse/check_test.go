package converse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

func ptr[T any](v T) *T { return &v }

func text(s string) ContentBlock { return ContentBlock{Text: &s} }

func use(id string) ContentBlock {
	return ContentBlock{ToolUse: &ToolUse{ToolUseID: id, Name: "f", Input: jsontext.Value(`{}`)}}
}

func result(id string) ContentBlock {
	return ContentBlock{ToolResult: &ToolResult{ToolUseID: id, Content: []ToolResultContent{{Text: ptr("1")}}}}
}

func user(b ...ContentBlock) Message      { return Message{RoleUser, b} }
func assistant(b ...ContentBlock) Message { return Message{RoleAssistant, b} }

// The texts are Amazon Bedrock's, as they stand in the reports of those who met them: github.com/langchain-ai/langchainjs
// issue 6724 (alternation), github.com/agno-agi/agno issue 6698 (missing results), github.com/Just-Curieous/Curie issue 16
// (too many results), github.com/langgenius/dify issue 7328 (toolConfig),
// github.com/aws-samples/sample-multi-agent-orchestration-chat-on-agentcore issue 15 (an empty error).
func TestCheck(t *testing.T) {
	tools := &ToolConfig{Tools: []Tool{{ToolSpec: &ToolSpec{Name: "f"}}}}
	for name, c := range map[string]struct {
		messages []Message
		tools    *ToolConfig
		want     string // part of the refusal, "" for none
	}{
		"one turn":         {[]Message{user(text("hi"))}, nil, ""},
		"three turns":      {[]Message{user(text("hi")), assistant(text("hello")), user(text("bye"))}, nil, ""},
		"prefill":          {[]Message{user(text("hi")), assistant(text("hel"))}, nil, ""},
		"several blocks":   {[]Message{user(text("a"), text("b"))}, nil, ""},
		"nothing":          {nil, nil, "A conversation must start with a user message. Try again with a conversation that starts with a user message."},
		"assistant begins": {[]Message{assistant(text("hi"))}, nil, "A conversation must start with a user message. Try again with a conversation that starts with a user message."},
		"twice the user":   {[]Message{user(text("a")), user(text("b"))}, nil, "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again."},
		"no content":       {[]Message{user(text("a")), assistant()}, nil, "The content field in the Message object at messages.1 is empty. Add a ContentBlock object to the content field and try again."},
		"blank":            {[]Message{user(text("a"), text(" \n"))}, nil, "The text field in the ContentBlock object at messages.0.content.1 is blank. Add text to the text field, and try again."},
		"tool call":        {[]Message{user(text("a")), assistant(use("1"), use("2")), user(result("2"), result("1"))}, tools, ""},
		"open tool call":   {[]Message{user(text("a")), assistant(use("1"))}, tools, ""},
		"no toolConfig":    {[]Message{user(text("a")), assistant(use("1")), user(result("1"))}, nil, "The toolConfig field must be defined when using toolUse and toolResult content blocks."},
		"missing results":  {[]Message{user(text("a")), assistant(use("t1"), use("t2"), use("t3")), user(result("t2"))}, tools, "Expected toolResult blocks at messages.2.content for the following Ids: t1, t3"},
		"no results":       {[]Message{user(text("a")), assistant(use("t1")), user(text("b"))}, tools, "Expected toolResult blocks at messages.2.content for the following Ids: t1"},
		"another result":   {[]Message{user(text("a")), assistant(use("t1")), user(result("t9"))}, tools, "Expected toolResult blocks at messages.2.content for the following Ids: t1"},
		"many results":     {[]Message{user(text("a")), assistant(use("t1")), user(result("t1"), result("t2"))}, tools, "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn."},
		"result first":     {[]Message{user(result("t1"))}, tools, "The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks of previous turn."},
		"empty error":      {[]Message{user(text("a")), assistant(use("t1")), user(ContentBlock{ToolResult: &ToolResult{ToolUseID: "t1", Status: "error"}})}, tools, "The content field at messages.2.content.0.toolResult cannot be empty when status value is error."},
		"empty result":     {[]Message{user(text("a")), assistant(use("t1")), user(ContentBlock{ToolResult: &ToolResult{ToolUseID: "t1", Content: []ToolResultContent{}}})}, tools, ""},
		"user calls":       {[]Message{user(use("1"))}, tools, "messages.0.content.0"},
		"assistant result": {[]Message{user(text("a")), assistant(result("1"))}, tools, "messages.1.content.0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Request{Messages: c.messages, ToolConfig: c.tools}
			err := r.Check()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			f := fault.From(err)
			if f == nil || f.Kind != fault.Validation {
				t.Fatalf("%v, want a Validation fault", err)
			}
			if f.Message != c.want && (!strings.HasPrefix(c.want, "messages.") || !strings.Contains(f.Message, c.want)) {
				t.Errorf("%q\nwant %q", f.Message, c.want)
			}
		})
	}
}

// TestCheckManyTools: the work grows with the request, not with its square. At the square this would be 4e10 compares.
func TestCheckManyTools(t *testing.T) {
	var uses, results []ContentBlock
	for i := range 200_000 {
		uses = append(uses, use(fmt.Sprintf("u%d", i)))
		results = append(results, result(fmt.Sprintf("u%d", i)))
	}
	r := &Request{Messages: []Message{user(text("a")), assistant(uses...), user(results...)}, ToolConfig: &ToolConfig{}}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestSize: every part of a request that a model reads weighs something, in the cheap measure and in the careful one.
func TestSize(t *testing.T) {
	const filler = 4000
	long := strings.Repeat("word ", filler/5)
	value := []byte(`"` + long + `"`)
	block := func(b ContentBlock) func(*Request) {
		return func(r *Request) { r.Messages[0].Content = append(r.Messages[0].Content, b) }
	}
	res := func(c ToolResultContent) func(*Request) {
		return block(ContentBlock{ToolResult: &ToolResult{ToolUseID: "t", Content: []ToolResultContent{c}}})
	}
	base := func() *Request { return &Request{Messages: []Message{user(text("hi"))}} }
	for name, add := range map[string]func(*Request){
		"text":            block(text(long)),
		"image":           block(ContentBlock{Image: &Image{}}),
		"tool use":        block(ContentBlock{ToolUse: &ToolUse{Name: "f", Input: value}}),
		"thinking":        block(ContentBlock{ReasoningContent: &Reasoning{ReasoningText: &ReasoningText{Text: long}}}),
		"sealed thinking": block(ContentBlock{ReasoningContent: &Reasoning{RedactedContent: []byte(long)}}),
		"document":        block(ContentBlock{Document: value}),
		"video":           block(ContentBlock{Video: value}),
		"audio":           block(ContentBlock{Audio: value}),
		"guard":           block(ContentBlock{GuardContent: value}),
		"citations":       block(ContentBlock{CitationsContent: value}),
		"search result":   block(ContentBlock{SearchResult: value}),
		"result text":     res(ToolResultContent{Text: &long}),
		"result json":     res(ToolResultContent{JSON: value}),
		"result image":    res(ToolResultContent{Image: &Image{}}),
		"result document": res(ToolResultContent{Document: value}),
		"result video":    res(ToolResultContent{Video: value}),
		"result search":   res(ToolResultContent{SearchResult: value}),
		"system":          func(r *Request) { r.System = []SystemBlock{{Text: &long}} },
		"system guard":    func(r *Request) { r.System = []SystemBlock{{GuardContent: value}} },
		"tool":            func(r *Request) { r.ToolConfig = &ToolConfig{Tools: []Tool{{ToolSpec: &ToolSpec{Description: long}}}} },
		"tool schema": func(r *Request) {
			r.ToolConfig = &ToolConfig{Tools: []Tool{{ToolSpec: &ToolSpec{InputSchema: ToolInputSchema{JSON: value}}}}}
		},
		"system tool": func(r *Request) { r.ToolConfig = &ToolConfig{Tools: []Tool{{SystemTool: value}}} },
		"output's schema": func(r *Request) {
			r.OutputConfig = &OutputConfig{TextFormat: &TextFormat{Structure: TextFormatStructure{JSONSchema: &JSONSchema{Schema: string(value)}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := base()
			add(r)
			// 4,000 letters are about 800 words, and a picture that cannot be measured is 1,600 tokens.
			if n := r.Size().InputTokens() - base().Size().InputTokens(); n < 700 || n > 1700 {
				t.Errorf("Size: %d tokens more", n)
			}
			if n := r.EstimateInputTokens() - base().EstimateInputTokens(); n < 700 || n > 1700 {
				t.Errorf("EstimateInputTokens: %d tokens more", n)
			}
		})
	}
}
