package converse

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"

	"outcrop/fault"
)

// Check applies the rules of a conversation that no constraint on a single member can express, in Amazon Bedrock's
// words. It returns a Validation fault or nil.
func (r *Request) Check() error {
	if len(r.Messages) == 0 || r.Messages[0].Role != RoleUser {
		return fault.New(fault.Validation, "A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	tools := false
	for i := range r.Messages {
		m := &r.Messages[i]
		if i > 0 && m.Role == r.Messages[i-1].Role {
			return fault.New(fault.Validation, "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		}
		if len(m.Content) == 0 {
			return fault.New(fault.Validation, "The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
		}
		for j := range m.Content {
			b := &m.Content[j]
			switch {
			case b.Text != nil:
				if strings.TrimSpace(*b.Text) == "" {
					return fault.New(fault.Validation, "The text field in the ContentBlock object at messages.%d.content.%d is blank. Add text to the text field, and try again.", i, j)
				}
			case b.ToolUse != nil:
				tools = true
				if m.Role != RoleAssistant {
					return fault.New(fault.Validation, "The toolUse block at messages.%d.content.%d is only allowed in a message of the assistant role.", i, j)
				}
			case b.ToolResult != nil:
				tools = true
				if m.Role != RoleUser && b.ToolResult.Type == "" { // one with a type is a tool's that ran at the model's host
					return fault.New(fault.Validation, "The toolResult block at messages.%d.content.%d is only allowed in a message of the user role.", i, j)
				}
				if b.ToolResult.Status == "error" && len(b.ToolResult.Content) == 0 {
					return fault.New(fault.Validation, "The content field at messages.%d.content.%d.toolResult cannot be empty when status value is error.", i, j)
				}
			}
		}
		if err := r.checkResults(i); err != nil {
			return err
		}
	}
	if err := r.checkTools(); err != nil {
		return err
	}
	if err := checkFieldPaths(r.AdditionalModelResponseFieldPaths); err != nil {
		return err
	}
	if r.PromptVariables != nil {
		var variables map[string]struct {
			Text *string `json:"text"`
		}
		err := json.Unmarshal(r.PromptVariables, &variables)
		for _, v := range variables {
			if err == nil && v.Text == nil {
				err = errNoText
			}
		}
		if err != nil { // neither names nor values are repeated: they are sensitive
			return fault.Wrap(err, fault.Validation, "1 validation error detected: Value at 'promptVariables' failed to satisfy constraint: Map value must have exactly one of its members set: [text]")
		}
	}
	if tools && r.ToolConfig == nil {
		return fault.New(fault.Validation, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
	}
	return nil
}

var errNoText = errors.New("a prompt variable without a text")

// checkTools holds the tools against one another and against the choice of one of them.
func (r *Request) checkTools() error {
	if r.ToolConfig == nil {
		return nil
	}
	names := make(map[string]bool, len(r.ToolConfig.Tools))
	for i := range r.ToolConfig.Tools {
		s := r.ToolConfig.Tools[i].ToolSpec
		if s == nil {
			continue
		}
		if names[s.Name] {
			return fault.New(fault.Validation, "The tool name %s at toolConfig.tools.%d.toolSpec is used by another tool. Give each tool a name of its own and try again.", s.Name, i)
		}
		names[s.Name] = true
	}
	if c := r.ToolConfig.ToolChoice; c != nil && c.Tool != nil && !names[c.Tool.Name] {
		return fault.New(fault.Validation, "The tool %s at toolConfig.toolChoice is not among the tools of toolConfig.tools.", c.Tool.Name)
	}
	return nil
}

// checkResults holds message i against the tool uses of the message before it: each must have its result and each
// result its use.
func (r *Request) checkResults(i int) error {
	var uses, results []string
	if i > 0 {
		for j := range r.Messages[i-1].Content {
			if u := r.Messages[i-1].Content[j].ToolUse; u != nil && u.Type == "" {
				uses = append(uses, u.ToolUseID)
			}
		}
	}
	for j := range r.Messages[i].Content {
		if t := r.Messages[i].Content[j].ToolResult; t != nil && t.Type == "" {
			results = append(results, t.ToolUseID)
		}
	}
	if len(uses) == 0 && len(results) == 0 {
		return nil
	}
	if len(results) > len(uses) {
		return fault.New(fault.Validation, "The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", i)
	}
	answered := make(map[string]bool, len(results))
	for _, t := range results {
		answered[t] = true
	}
	var missing []string
	for _, u := range uses {
		if !answered[u] {
			missing = append(missing, u)
		}
	}
	if len(missing) > 0 {
		return fault.New(fault.Validation, "Expected toolResult blocks at messages.%d.content for the following Ids: %s", i, strings.Join(missing, ", "))
	}
	return nil
}

// Unknown refuses, in Bedrock's words, the first block, tool or choice in r that is of a kind which this program does not
// know; nil where all are known. What such a one says cannot be left out, as AWS leaves out other members that it does not
// know, but Bedrock itself may know it.
func (r *Request) Unknown() error {
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			if b.Other != nil {
				return unknown(b, "messages.%d.content.%d", i, j)
			}
			if b.ToolResult == nil {
				continue
			}
			for k := range b.ToolResult.Content {
				if c := &b.ToolResult.Content[k]; c.Other != nil {
					return unknown(c, "messages.%d.content.%d.toolResult.content.%d", i, j, k)
				}
			}
		}
	}
	for i := range r.System {
		if b := &r.System[i]; b.Other != nil {
			return unknown(b, "system.%d", i)
		}
	}
	if c := r.ToolConfig; c != nil {
		for i := range c.Tools {
			if t := &c.Tools[i]; t.Other != nil {
				return unknown(t, "toolConfig.tools.%d", i)
			}
		}
		if t := c.ToolChoice; t != nil && t.Other != nil {
			return unknown(t, "toolConfig.toolChoice")
		}
	}
	return nil
}

// unknown refuses what union points to. The words are those of package wire for a union without a member, or
// with several.
func unknown(union any, at string, index ...any) error {
	v := reflect.ValueOf(union).Elem()
	t := v.Type()
	var keys []string
	one := "one"
	for i := 1; i < t.NumField(); i++ { // the first is the union's name
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			keys = append(keys, name)
			if !v.Field(i).IsZero() { // it has a known member beside the other
				one = "only one"
			}
		}
	}
	return fault.New(fault.Validation, "%s object at %s must set %s of the following keys: %s.", t.Field(0).Tag.Get("union"), fmt.Sprintf(at, index...), one, strings.Join(keys, ", "))
}

// Size is a rough measure of what a model reads of r: the bytes of its texts and tool descriptions, and its images. It
// reads no text, only its length, which is what every call can afford: the gateway measures each one so, for what it
// reserves and, where a crash breaks the call off, for what it charges. EstimateInputTokens is the careful count beside it.
type Size struct {
	Text   int64 // bytes
	Images int64
}

// InputTokens turns the measure into a number of tokens: about four bytes a token, and for an image the 1,600 tokens
// that the largest common ones take.
func (s Size) InputTokens() int64 { return (s.Text+3)/4 + 1600*s.Images }

// Size measures r.
func (r *Request) Size() Size {
	var s Size
	for i := range r.System {
		if t := r.System[i].Text; t != nil {
			s.Text += int64(len(*t))
		}
		s.Text += int64(len(r.System[i].GuardContent))
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			switch {
			case b.Text != nil:
				s.Text += int64(len(*b.Text))
			case b.Image != nil:
				s.Images++
			case b.ToolUse != nil:
				s.Text += int64(len(b.ToolUse.Name) + len(b.ToolUse.Input))
			case b.ToolResult != nil:
				for k := range b.ToolResult.Content {
					c := &b.ToolResult.Content[k]
					if c.Text != nil {
						s.Text += int64(len(*c.Text))
					}
					if c.Image != nil {
						s.Images++
					}
					s.Text += int64(len(c.JSON) + len(c.Document) + len(c.Video) + len(c.SearchResult))
				}
			case b.ReasoningContent != nil:
				if t := b.ReasoningContent.ReasoningText; t != nil {
					s.Text += int64(len(t.Text))
				}
				s.Text += int64(len(b.ReasoningContent.RedactedContent))
			default:
				s.Text += int64(len(b.Document) + len(b.Video) + len(b.Audio) + len(b.GuardContent) + len(b.CitationsContent) + len(b.SearchResult))
			}
		}
	}
	if r.ToolConfig != nil {
		for i := range r.ToolConfig.Tools {
			if t := r.ToolConfig.Tools[i].ToolSpec; t != nil {
				s.Text += int64(len(t.Name) + len(t.Description) + len(t.InputSchema.JSON))
			}
			s.Text += int64(len(r.ToolConfig.Tools[i].SystemTool))
		}
	}
	if o := r.OutputConfig; o != nil && o.TextFormat != nil && o.TextFormat.Structure.JSONSchema != nil {
		s.Text += int64(len(o.TextFormat.Structure.JSONSchema.Schema))
	}
	return s
}

// CheckMetadata holds metadata against the service model's constraints; nil is none. A message does not repeat keys and
// values: they are the caller's business.
func CheckMetadata(m map[string]string) error {
	constraint := ""
	switch {
	case m == nil:
		return nil
	case len(m) < 1:
		constraint = "Member must have length greater than or equal to 1"
	case len(m) > 16:
		constraint = "Member must have length less than or equal to 16"
	}
	for k, v := range m {
		if len(k) < 1 || len(k) > 256 || len(v) > 256 || !metadataText.MatchString(k) || !metadataText.MatchString(v) {
			constraint = `Map keys must have length between 1 and 256, map values at most 256, and both must satisfy regular expression pattern: [a-zA-Z0-9\s:_@$#=/+,-.]*`
		}
	}
	if constraint != "" {
		return fault.New(fault.Validation, "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: %s", constraint)
	}
	return nil
}

var metadataText = regexp.MustCompile(`^[a-zA-Z0-9\s:_@$#=/+,.-]*$`)
