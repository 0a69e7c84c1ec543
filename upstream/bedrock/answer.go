package bedrock

import (
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/opaque"
	"outcrop/fault"
)

// read reads the whole body of an answer.
func (x *exchange) read() ([]byte, error) {
	limited := io.LimitedReader{R: x.body, N: x.p.cfg.MaxAnswerBytes + 1}
	b, err := io.ReadAll(&limited)
	if err == nil && limited.N == 0 {
		err = errTooLong
	}
	if err != nil {
		return nil, x.failed(err, false)
	}
	return b, nil
}

// whole reads an answer that is not streamed.
func (x *exchange) whole(resp *http.Response) (converse.Stream, error) {
	b, err := x.read()
	if err != nil {
		return nil, err
	}
	var events []converse.Event
	if x.ask.converse {
		if events, err = x.message(b); err != nil {
			return nil, x.failed(err, false)
		}
	} else {
		var t tally
		t.header(resp.Header)
		if !t.told || t.CacheWriteInputTokens > 0 { // the headers do not say for how long that was written
			inBody := tally{said: outputTokens(b)}
			inBody.body(b)
			if t.told {
				t.CacheWrite1hInputTokens = min(inBody.CacheWrite1hInputTokens, t.CacheWriteInputTokens)
			} else {
				t = inBody
			}
		}
		x.units(&t, b)
		chunk := converse.Event{Kind: converse.Chunk, Native: b, Name: resp.Header.Get("Content-Type"), Usage: t.soFar(), StopReason: stopReason(b)}
		events = []converse.Event{chunk, x.metadata(&t)}
	}
	return converse.Sequence(events), nil
}

// serving is the members of Converse's output, and of ConverseStream's last event, that tell how a call was served.
type serving struct {
	Trace             jsontext.Value `json:"trace"`
	PerformanceConfig struct {
		Latency string `json:"latency"`
	} `json:"performanceConfig"`
	ServiceTier struct {
		Type string `json:"type"`
	} `json:"serviceTier"`
}

func (s *serving) served() *converse.Served {
	out := converse.Served{Tier: s.ServiceTier.Type, Latency: s.PerformanceConfig.Latency}
	if s.Trace.Kind() == '{' {
		out.Trace = s.Trace
	}
	if out.Tier == "" && out.Latency == "" && out.Trace == nil {
		return nil
	}
	return &out
}

// servedHeader is served of the headers of an InvokeModel.
func servedHeader(h http.Header) *converse.Served {
	out := converse.Served{Tier: h.Get("X-Amzn-Bedrock-Service-Tier"), Latency: h.Get("X-Amzn-Bedrock-Performanceconfig-Latency")}
	if out.Tier == "" && out.Latency == "" {
		return nil
	}
	return &out
}

// units takes into t what the answer has used beyond tokens.
func (x *exchange) units(t *tally, answer []byte) {
	n := x.req.Native
	if n == nil || n.Units == (converse.Units{}) {
		return
	}
	made, ok := opaque.Made(x.req.ModelID, n.Units, answer)
	guessed := !ok && (n.UnitsGuessed || n.Units.Images > 0)
	if !t.told {
		// What is paid by the piece tells no tokens, and needs none; a picture that is embedded may come with a text.
		t.Usage, t.said = converse.Usage{}, 0
		t.told = n.Units.InputImages == 0 || x.inputTokens() == 0
	}
	t.Units, t.told = made, t.told && !guessed
	t.guessed = guessed
}

// metadata is the event that ends an answer in a model's own format.
func (x *exchange) metadata(t *tally) converse.Event {
	e := converse.Event{Kind: converse.Metadata, Usage: t.Usage, Served: x.served}
	if !t.told {
		if t.untold() && !t.guessed {
			t.guess = x.inputTokens()
		}
		e.Usage, e.Estimated = t.soFar(), true
	}
	return e
}

// inputTokens estimates the request.
func (x *exchange) inputTokens() int64 {
	if x.req.Body != nil {
		return x.req.Body.EstimateInputTokens()
	}
	return textTokens(x.ask.body, true)
}

// message reads Converse's answer. One that goes on as it is is read for its usage and its stop reason alone.
func (x *exchange) message(b []byte) ([]converse.Event, error) {
	var in struct {
		Output struct {
			Message *struct {
				Content jsontext.Value `json:"content"`
			} `json:"message"`
		} `json:"output"`
		StopReason string         `json:"stopReason"`
		Usage      *tokenUsage    `json:"usage"`
		Fields     jsontext.Value `json:"additionalModelResponseFields"`
		serving
	}
	if !converse.Plausible(b) {
		return nil, errParts
	}
	if err := json.Unmarshal(b, &in, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if in.Output.Message == nil {
		return nil, fmt.Errorf("%w: it holds no message", errMalformed)
	}
	last := converse.Event{Kind: converse.Metadata}
	var told bool
	if last.Usage, told = in.Usage.usage(); !told {
		last = x.metadata(&tally{said: outputTokens(in.Output.Message.Content)})
	}
	last.Served = in.served()
	if x.ask.native {
		return []converse.Event{{Kind: converse.Chunk, Native: b, Name: "application/json", StopReason: in.StopReason}, last}, nil
	}
	var content []converse.ContentBlock
	if err := json.Unmarshal(in.Output.Message.Content, &content, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	events := make([]converse.Event, 0, 3*len(content)+3)
	events = append(events, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
	for i := range content {
		delta := func(kind converse.DeltaKind, text string) {
			events = append(events, converse.Event{Kind: converse.BlockDelta, Index: i, Delta: kind, Text: text})
		}
		c := &content[i]
		switch {
		case c.Text != nil:
			delta(converse.TextDelta, *c.Text)
		case c.ToolUse != nil && c.ToolUse.Type == "":
			events = append(events, converse.Event{Kind: converse.BlockStart, Index: i, ToolUseID: c.ToolUse.ToolUseID, ToolName: c.ToolUse.Name})
			delta(converse.ToolInputDelta, string(c.ToolUse.Input))
		case c.ReasoningContent != nil && c.ReasoningContent.ReasoningText != nil:
			t := c.ReasoningContent.ReasoningText
			delta(converse.ReasoningDelta, t.Text)
			if t.Signature != "" {
				delta(converse.SignatureDelta, t.Signature)
			}
		case c.ReasoningContent != nil && c.ReasoningContent.RedactedContent != nil:
			delta(converse.RedactedDelta, string(c.ReasoningContent.RedactedContent))
		case c.CitationsContent != nil:
			var cited struct {
				Content   []converse.CitedText `json:"content"`
				Citations []jsontext.Value     `json:"citations"`
			}
			if err := json.Unmarshal(c.CitationsContent, &cited, jsontext.AllowInvalidUTF8(true)); err != nil {
				return nil, fmt.Errorf("%w: %w", errMalformed, err)
			}
			for _, t := range cited.Content {
				if t.Text != nil {
					delta(converse.TextDelta, *t.Text)
				}
			}
			for _, v := range cited.Citations {
				events = append(events, converse.Event{Kind: converse.BlockDelta, Index: i, Delta: converse.CitationDelta, Fields: v})
			}
		default:
			return nil, x.inexpressible("content block")
		}
		events = append(events, converse.Event{Kind: converse.BlockStop, Index: i})
	}
	events = append(events, converse.Event{Kind: converse.MessageStop, StopReason: in.StopReason, Fields: in.Fields}, last)
	return events, nil
}

// inexpressible is the fault of an answer that holds what only Converse itself can tell: the request came in another
// format. Nothing of an answer is dropped in silence.
func (x *exchange) inexpressible(what string) error {
	return &fault.Error{
		Kind: fault.ModelError, OriginalStatus: http.StatusOK,
		Message: fmt.Sprintf("The upstream %s answered with a %s that the format of this request cannot express. Use Converse.", x.p.cfg.Name, what),
	}
}
