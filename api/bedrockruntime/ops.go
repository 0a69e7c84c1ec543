// Package bedrockruntime is the front end of Amazon Bedrock's runtime: Converse, ConverseStream, InvokeModel and
// InvokeModelWithResponseStream.
//
// Every operation checks its access in package invoke, because only there is it known which profile and which models a
// modelId stands for.
package bedrockruntime

import (
	"context"
	"iter"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/dialect/anthropic"
	"outcrop/fault"
	"outcrop/invoke"
	"outcrop/wire"
)

// New returns the service on v.
func New(v *invoke.Invoker) *wire.Service {
	s := &service{v}
	return &wire.Service{
		Name: "bedrockruntime", SigningName: "bedrock", Protocol: wire.RestJSON,
		ErrorURI:  "http://internal.amazon.com/coral/com.amazon.bedrock/",
		Exception: exception,
		Ops: []wire.Op{
			wire.Handle(row("Converse", "converse", "bedrock:InvokeModel"), nil, s.converse),
			wire.Stream(row("ConverseStream", "converse-stream", "bedrock:InvokeModelWithResponseStream"), nil, s.converseStream),
			wire.Handle(row("InvokeModel", "invoke", "bedrock:InvokeModel"), nil, s.invokeModel),
			wire.Stream(row("InvokeModelWithResponseStream", "invoke-with-response-stream", "bedrock:InvokeModelWithResponseStream"), nil, s.invokeModelStream),
		},
	}
}

func row(name, suffix, action string) wire.Row {
	return wire.Row{Name: name, Method: "POST", Path: "/model/{modelId}/" + suffix, Action: action, Checked: "invoke", MaxBody: maxBody}
}

type service struct{ invoker *invoke.Invoker }

func call(c *wire.Call, modelID string, body *converse.Request, stream bool) (*invoke.Call, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, err
	}
	return &invoke.Call{ID: id, Start: c.Start, Caller: &c.Caller, Operation: c.Row.Name, ModelID: modelID, Stream: stream, Body: body}, nil
}

func (s *service) converse(ctx context.Context, c *wire.Call, in *ConverseInput) (*ConverseOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	ic, err := call(c, in.ModelID, &in.Request, false)
	if err != nil {
		return nil, err
	}
	a, err := s.invoker.Do(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	out := &ConverseOutput{
		Output:     ConverseOutputUnion{Message: converse.Message{Role: converse.RoleAssistant, Content: a.Content}},
		StopReason: a.StopReason, Usage: tokenUsage(a.Usage), Metrics: Metrics{LatencyMs: a.Latency.Milliseconds()},
		AdditionalModelResponseFields: a.Fields,
	}
	if out.Output.Message.Content == nil {
		out.Output.Message.Content = []converse.ContentBlock{} // an empty answer is an empty list, never null
	}
	return out, nil
}

func (s *service) converseStream(ctx context.Context, c *wire.Call, in *ConverseInput) (iter.Seq2[*streamEvent, error], error) {
	if err := check(in); err != nil {
		return nil, err
	}
	ic, err := call(c, in.ModelID, &in.Request, true)
	if err != nil {
		return nil, err
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	return func(yield func(*streamEvent, error) bool) {
		out := streamEvent{latency: st.Latency}
		for e, err := range st.Events {
			if err != nil {
				yield(nil, err)
				return
			}
			out.Event = e
			if !yield(&out, nil) {
				return
			}
		}
	}, nil
}

func (s *service) invokeModel(ctx context.Context, c *wire.Call, in *InvokeModelInput) (*InvokeModelOutput, error) {
	body, err := parseBody(in)
	if err != nil {
		return nil, err
	}
	ic, err := call(c, in.ModelID, body, false)
	if err != nil {
		return nil, err
	}
	a, err := s.invoker.Do(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	return &InvokeModelOutput{
		Body:                      anthropic.AppendResponse(nil, messageID(ic.ID), modelName(a.ModelID), a.Response),
		ContentType:               "application/json",
		InputTokenCount:           strconv.FormatInt(a.Usage.InputTokens, 10),
		OutputTokenCount:          strconv.FormatInt(a.Usage.OutputTokens, 10),
		CacheReadInputTokenCount:  strconv.FormatInt(a.Usage.CacheReadInputTokens, 10),
		CacheWriteInputTokenCount: strconv.FormatInt(a.Usage.CacheWriteInputTokens, 10),
		InvocationLatency:         strconv.FormatInt(a.Latency.Milliseconds(), 10),
		PerformanceConfigLatency:  in.PerformanceConfigLatency,
		ServiceTier:               in.ServiceTier,
	}, nil
}

func (s *service) invokeModelStream(ctx context.Context, c *wire.Call, in *InvokeModelStreamInput) (iter.Seq2[*chunk, error], error) {
	body, err := parseBody((*InvokeModelInput)(in)) // they differ in one header's name only
	if err != nil {
		return nil, err
	}
	ic, err := call(c, in.ModelID, body, true)
	if err != nil {
		return nil, err
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	c.Header.Set("X-Amzn-Bedrock-Content-Type", "application/json")
	if in.PerformanceConfigLatency != "" {
		c.Header.Set("X-Amzn-Bedrock-PerformanceConfig-Latency", in.PerformanceConfigLatency)
	}
	if in.ServiceTier != "" {
		c.Header.Set("X-Amzn-Bedrock-Service-Tier", in.ServiceTier)
	}
	return func(yield func(*chunk, error) bool) {
		enc := anthropic.StreamEncoder{ID: messageID(ic.ID), Model: modelName(st.ModelID), InputTokens: body.Size().InputTokens()}
		var out chunk
		gone := false
		for e, err := range st.Events {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Kind == converse.Metadata {
				enc.InvocationLatency, enc.FirstByteLatency = st.Latency().Milliseconds(), st.FirstEvent().Milliseconds()
			}
			// One event may be two of Anthropic's: each waits for the next, to know whether there is one.
			out.json, out.more = out.json[:0], true
			enc.Encode(&e, func(event []byte) {
				if len(out.json) > 0 && !gone {
					gone = !yield(&out, nil)
				}
				out.json = append(out.json[:0], event...)
			})
			if out.more = e.More; len(out.json) > 0 && !gone {
				gone = !yield(&out, nil)
			}
			if gone {
				return
			}
		}
	}, nil
}

// parseBody reads an InvokeModel body. The models that are served today take Anthropic Messages.
func parseBody(in *InvokeModelInput) (*converse.Request, error) {
	if in.GuardrailIdentifier != "" || in.GuardrailVersion != "" {
		return nil, unsupported("guardrails")
	}
	if in.PerformanceConfigLatency == "optimized" {
		return nil, unsupported("the optimized latency of performanceConfig")
	}
	if in.ServiceTier != "" && in.ServiceTier != "default" {
		return nil, unsupported("the service tier " + in.ServiceTier)
	}
	for _, h := range []string{in.ContentType, in.Accept} {
		mime, _, _ := strings.Cut(h, ";")
		switch strings.TrimSpace(strings.ToLower(mime)) {
		case "", "application/json", "*/*", "application/*":
		default:
			// AWS's words: https://github.com/aws/aws-sdk-ruby/issues/3033
			return nil, fault.New(fault.Validation, "The provided Content Type is invalid or not supported for this model")
		}
	}
	return anthropic.ParseRequest(in.Body)
}

// check holds a Converse request against what no constraint can say, and against what is not offered: nothing that a
// caller asks for is dropped in silence.
func check(in *ConverseInput) error {
	switch {
	case in.GuardrailConfig != nil:
		return unsupported("guardrailConfig")
	case in.PromptVariables != nil:
		return unsupported("promptVariables")
	case in.PerformanceConfig != nil && in.PerformanceConfig.Latency == "optimized":
		return unsupported("the optimized latency of performanceConfig")
	case in.ServiceTier != nil && in.ServiceTier.Type != "default":
		return unsupported("the service tier " + in.ServiceTier.Type)
	}
	for k, v := range in.RequestMetadata {
		// The values are the caller's business: a message does not repeat them.
		if len(k) < 1 || len(k) > 256 || len(v) > 256 || !metadata.MatchString(k) || !metadata.MatchString(v) {
			return fault.New(fault.Validation, "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Map keys must have length between 1 and 256, map values at most 256, and both must satisfy regular expression pattern: [a-zA-Z0-9\\s:_@$#=/+,-.]*")
		}
	}
	return in.Request.Check()
}

var metadata = regexp.MustCompile(`^[a-zA-Z0-9\s:_@$#=/+,.-]*$`)

func unsupported(what string) error {
	return fault.New(fault.Validation, "This server does not support %s.", what)
}

// modelID is the service model's pattern of a modelId. It is long and slow to match, so only an identifier that nothing
// answers to is held against it.
const modelID = `(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:(([0-9]{12}:custom-model/[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}/[a-z0-9]{12})|(:foundation-model/[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.:]?[a-z0-9-]{1,63}))|([0-9]{12}:imported-model/[a-z0-9]{12})|([0-9]{12}:provisioned-model/[a-z0-9]{12})|([0-9]{12}:custom-model-deployment/[a-z0-9]{12})|([0-9]{12}:(inference-profile|application-inference-profile)/[a-zA-Z0-9-:.]+)))|([a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.:]?[a-z0-9-]{1,63}))|(([0-9a-zA-Z][_-]?)+)|([a-zA-Z0-9-:.]+)`

var (
	modelIDPattern = regexp.MustCompile(`^(` + modelID + `)$`)
	namePattern    = regexp.MustCompile(`^([0-9a-zA-Z][ _-]?)+$`) // a profile's name, which may stand for its id
)

// identifier gives an identifier that could be none the words of its constraint.
func identifier(err error, id string) error {
	if fault.Is(err, fault.Validation) && !modelIDPattern.MatchString(id) && !namePattern.MatchString(id) {
		return fault.New(fault.Validation, "1 validation error detected: Value '%s' at 'modelId' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", id, modelID)
	}
	return err
}

// messageID is the id of a message in Anthropic's format: AWS prefixes Bedrock's own with msg_bdrk_.
func messageID(id uuid.UUID) string {
	return "msg_bdrk_" + strings.ReplaceAll(id.String(), "-", "")[:24]
}

var modelVersion = regexp.MustCompile(`(-v[0-9]+)?(:[0-9a-z]+)*$`)

// modelName is what the model calls itself in its own format: anthropic.claude-3-haiku-20240307-v1:0 is
// claude-3-haiku-20240307.
func modelName(id string) string {
	if _, rest, ok := strings.Cut(id, "."); ok {
		id = rest
	}
	return modelVersion.ReplaceAllString(id, "")
}
