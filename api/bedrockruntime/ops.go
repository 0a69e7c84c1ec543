// Package bedrockruntime is the front end of Amazon Bedrock's runtime: Converse, ConverseStream, InvokeModel,
// InvokeModelWithResponseStream and CountTokens.
//
// Every operation checks its access in package invoke, because only there is it known which profile and which models a
// modelId stands for.
package bedrockruntime

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/dialect/opaque"
	"outcrop/fault"
	"outcrop/invoke"
	"outcrop/upstream"
	"outcrop/wire"
)

// New returns the service on v.
func New(v *invoke.Invoker) *wire.Service {
	s := &service{v}
	return &wire.Service{
		Name: "bedrockruntime", SigningName: "bedrock", Protocol: wire.RestJSON,
		ErrorURI:  "http://internal.amazon.com/coral/com.amazon.bedrock/",
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(row("Converse", "converse", "bedrock:InvokeModel"), nil, s.converse),
			wire.Stream(row("ConverseStream", "converse-stream", "bedrock:InvokeModelWithResponseStream"), nil, s.converseStream),
			wire.Handle(row("InvokeModel", "invoke", "bedrock:InvokeModel"), nil, s.invokeModel),
			wire.Handle(row("CountTokens", "count-tokens", "bedrock:CountTokens"), nil, s.countTokens),
			wire.Stream(row("InvokeModelWithResponseStream", "invoke-with-response-stream", "bedrock:InvokeModelWithResponseStream"), nil, s.invokeModelStream),
		},
	}
}

func row(name, suffix, action string) wire.Row {
	return wire.Row{Name: name, Method: "POST", Path: "/model/{modelId}/" + suffix, Action: action, Checked: "invoke", Data: true, MaxBody: maxBody}
}

type service struct{ invoker *invoke.Invoker }

func call(c *wire.Call, modelID string, body *converse.Request, stream bool) (*invoke.Call, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, err
	}
	ic := &invoke.Call{ID: id, Start: c.Start, Caller: &c.Caller, Operation: c.Row.Name, ModelID: modelID, Stream: stream, Body: body, Header: c.Header}
	if body != nil && body.ServiceTier != nil {
		ic.Tier = body.ServiceTier.Type
	}
	if body != nil && len(body.GuardrailConfig) > 0 {
		if err := json.Unmarshal(body.GuardrailConfig, &ic.Guardrail); err != nil {
			return nil, err
		}
	}
	return ic, nil
}

func (s *service) converse(ctx context.Context, c *wire.Call, in *ConverseInput) (*ConverseOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	ic, err := s.converseCall(c, in, false)
	if err != nil {
		return nil, err
	}
	a, err := s.invoker.Do(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	if a.Native != nil {
		return &ConverseOutput{native: a.Native}, nil
	}
	out := &ConverseOutput{
		Output:     ConverseOutputUnion{Message: converse.Message{Role: converse.RoleAssistant, Content: a.Content}},
		StopReason: a.StopReason, Usage: tokenUsage(a.Usage), Metrics: Metrics{LatencyMs: a.Latency.Milliseconds()},
		AdditionalModelResponseFields: a.Fields, Serving: served(a.Served, &in.Request),
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
	ic, err := s.converseCall(c, in, true)
	if err != nil {
		return nil, err
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	return func(yield func(*streamEvent, error) bool) {
		out := streamEvent{latency: st.Latency, asked: &in.Request}
		began := false
		for e, err := range st.Events {
			if err != nil {
				if began {
					err = inStream(err, false)
				}
				yield(nil, err)
				return
			}
			out.Event, began = e, true
			if !yield(&out, nil) {
				return
			}
		}
	}, nil
}

// converseCall makes the call of a Converse. It has the caller's own body, where some upstream may take it as it is: so
// members that are newer than this program survive. Both the body and its answer then pass unread but for what is metered.
func (s *service) converseCall(c *wire.Call, in *ConverseInput, stream bool) (*invoke.Call, error) {
	ic, err := call(c, in.ModelID, &in.Request, stream)
	if err != nil {
		return nil, err
	}
	if s.invoker.Speaks(&inConverse) { // else the body's buffer is for another request
		ic.Native = &upstream.Native{Format: inConverse.Format, Operation: ic.Operation, Body: c.Body()}
	}
	if ic.Unread = in.Unknown(); ic.Unread != nil {
		ic.Body, ic.Metadata = nil, in.RequestMetadata
	}
	return ic, nil
}

var inConverse = upstream.Native{Format: "converse"}

// body is an InvokeModel body on its way: what it means is known once its model is.
type body struct {
	*InvokeModelInput
	*format
	call *invoke.Call
}

// invocation makes the call of an InvokeModel body.
func invocation(c *wire.Call, in *InvokeModelInput, stream bool) (*body, error) {
	ic, err := call(c, in.ModelID, nil, stream)
	if err != nil {
		return nil, err
	}
	if err := in.Enter(ic); err != nil {
		return nil, err
	}
	b := &body{InvokeModelInput: in, call: ic}
	ic.Read = b.read
	return b, nil
}

// read finds the body's format and reads it. A body that its dialect cannot read may still go to an upstream that speaks
// the format: Bedrock itself knows members that are newer than this program.
func (b *body) read(m *catalog.Model) error {
	b.format = formatOf(m, b.Body)
	c := b.call
	c.Native = &upstream.Native{
		Format: b.format.name, Operation: c.Operation, Body: b.Body, ContentType: b.ContentType, Accept: b.Accept, Header: b.Sent(),
	}
	if b.format.parse == nil {
		n, exact := opaque.Asked(m.ID, m.OutputModalities, b.Body)
		c.Native.Units, c.Native.UnitsGuessed = n, !exact
	}
	if b.format.name != "" {
		if err := checkTypes(b.InvokeModelInput); err != nil {
			return err
		}
	}
	var err error
	switch {
	case b.parseEmbedding != nil && c.Stream:
		return fault.New(fault.Validation, "The model is unsupported for streaming.")
	case b.parseEmbedding != nil:
		if c.Embedding, err = b.parseEmbedding(b.Body); err == nil {
			c.Embedding.Model = m.ID
		}
	case b.parse == nil:
		err = errOpaque(m)
	case c.Stream && b.stream == nil:
		return fault.New(fault.Validation, "The model is unsupported for streaming.")
	default:
		c.Body, err = b.parse(b.Body)
	}
	if name := c.Native.Service(); name != "" && err == nil && c.Embedding != nil {
		err = fault.New(fault.Validation, "No upstream of this server takes the header %s with bodies of model %s, but one of provider bedrock.", name, m.ID)
	}
	if c.Unread = err; err != nil {
		c.Body, c.Embedding = nil, nil
	}
	if c.Body != nil {
		b.Ask(c, c.Body)
	}
	return nil
}

// info is what the answer says of itself.
func (b *body) info(model string) converse.AnswerInfo {
	a := converse.AnswerInfo{ID: b.call.ID.String(), Model: modelName(model), Created: b.call.Start, Request: b.call.Body}
	if b.name == "anthropic" {
		a.ID = messageID(b.call.ID)
	}
	if b.call.Body != nil {
		a.InputTokens = b.call.Body.Size().InputTokens()
	}
	return a
}

func (s *service) invokeModel(ctx context.Context, c *wire.Call, in *InvokeModelInput) (*InvokeModelOutput, error) {
	b, err := invocation(c, in, false)
	if err != nil {
		return nil, err
	}
	out, err := s.invoked(ctx, b)
	if err != nil {
		return nil, identifier(in.Named(err), in.ModelID)
	}
	return out, nil
}

// serving is how the call was served, as far as told knows it: for headers.
func (b *body) serving(told *converse.Served) (latency, tier string) {
	latency, tier = b.PerformanceConfigLatency, b.ServiceTier
	if told != nil {
		latency, tier = cmp.Or(told.Latency, latency), cmp.Or(told.Tier, tier)
	}
	return latency, tier
}

func (s *service) invoked(ctx context.Context, b *body) (*InvokeModelOutput, error) {
	a, err := s.invoker.Do(ctx, b.call)
	if err != nil {
		return nil, err
	}
	out := &InvokeModelOutput{
		ContentType:               "application/json",
		InputTokenCount:           strconv.FormatInt(a.Usage.InputTokens, 10),
		OutputTokenCount:          strconv.FormatInt(a.Usage.OutputTokens, 10),
		CacheReadInputTokenCount:  strconv.FormatInt(a.Usage.CacheReadInputTokens, 10),
		CacheWriteInputTokenCount: strconv.FormatInt(a.Usage.CacheWriteInputTokens, 10),
		InvocationLatency:         strconv.FormatInt(a.Latency.Milliseconds(), 10),
	}
	out.PerformanceConfigLatency, out.ServiceTier = b.serving(a.Served)
	if a.Usage.Images > 0 || a.Usage.SearchUnits > 0 {
		out.InputTokenCount, out.OutputTokenCount = "", "" // nothing that is counted in tokens
	}
	switch {
	case a.Native != nil:
		out.Body, out.ContentType = a.Native, cmp.Or(a.NativeType, out.ContentType)
	case a.Embeddings != nil:
		a.Embeddings.ID = cmp.Or(a.Embeddings.ID, b.call.ID.String())
		a.Embeddings.Usage = a.Usage
		out.Body = b.answerEmbeddings(nil, b.call.Embedding, a.Embeddings)
		out.OutputTokenCount = ""
	default:
		info := b.info(a.ModelID)
		info.Latency = a.Latency
		out.Body = b.answer(nil, &info, a.Response)
	}
	return out, nil
}

func (s *service) invokeModelStream(ctx context.Context, c *wire.Call, in *InvokeModelStreamInput) (iter.Seq2[*chunk, error], error) {
	b, err := invocation(c, (*InvokeModelInput)(in), true) // they differ in one header's name only
	if err != nil {
		return nil, err
	}
	st, err := s.invoker.Stream(ctx, b.call)
	if err != nil {
		return nil, identifier(in.Named(err), in.ModelID)
	}
	c.Header.Set("X-Amzn-Bedrock-Content-Type", "application/json")
	return func(yield func(*chunk, error) bool) {
		var enc encoder
		var out chunk
		waiting, gone, began := false, false, false
		send := func(more bool) {
			if out.more = more; waiting && !gone {
				gone = !yield(&out, nil)
			}
			waiting = false
		}
		// A chunk waits for the next while another event is ready, which may be one that makes no chunk.
		put := func(text []byte) {
			send(true)
			out.json, waiting = append(out.json[:0], text...), true
		}
		var e converse.Event // one for all, since it is on the heap
		for next, err := range st.Events {
			e = next
			if err == nil && !began { // the headers leave with the first chunk
				began = true
				latency, tier := b.serving(e.Served)
				if latency != "" {
					c.Header.Set("X-Amzn-Bedrock-PerformanceConfig-Latency", latency)
				}
				if tier != "" {
					c.Header.Set("X-Amzn-Bedrock-Service-Tier", tier)
				}
			}
			switch {
			case err != nil:
				if began {
					err = inStream(err, true)
				} else {
					err = in.Named(err)
				}
				if send(true); !gone {
					yield(nil, err)
				}
				return
			case e.Kind == converse.Chunk && e.Name == "ping": // of Anthropic's API; Bedrock's streams have none
			case e.Kind == converse.Chunk:
				put(e.Native)
			case e.Kind == converse.Metadata && e.Native != nil:
				put(e.Native)
				out.json = withMetrics(out.json, &converse.AnswerInfo{Latency: st.Latency(), FirstByte: st.FirstEvent()}, &e.Usage)
			case e.Kind == converse.Metadata && enc == nil: // of an answer in chunks, all of which have been seen
			default:
				if enc == nil {
					enc = b.stream(b.info(st.ModelID))
				}
				if e.Kind == converse.Metadata {
					enc.Info().Latency, enc.Info().FirstByte = st.Latency(), st.FirstEvent()
				}
				enc.Encode(&e, put)
			}
			if !e.More {
				send(false)
			}
			if gone {
				return
			}
		}
		send(true) // the end follows at once
	}, nil
}

func (s *service) countTokens(ctx context.Context, c *wire.Call, in *CountTokensInput) (*CountTokensOutput, error) {
	ic, err := call(c, in.ModelID, nil, false)
	if err != nil {
		return nil, err
	}
	if counted := in.Input.Converse; counted != nil {
		ic.Body = &converse.Request{
			Messages: counted.Messages, System: counted.System, ToolConfig: counted.ToolConfig,
			AdditionalModelRequestFields: counted.AdditionalModelRequestFields,
		}
		if err := ic.Body.Check(); err != nil {
			return nil, err
		}
	} else {
		if err := wire.BoundValues(in.Input.InvokeModel.Body); err != nil { // in base64 it had none that the server could see
			return nil, err
		}
		b := &body{InvokeModelInput: &InvokeModelInput{ModelID: in.ModelID, Body: in.Input.InvokeModel.Body}, call: ic}
		ic.Read = b.read
	}
	n, err := s.invoker.CountTokens(ctx, ic)
	if err != nil {
		return nil, identifier(err, in.ModelID)
	}
	return &CountTokensOutput{InputTokens: n.InputTokens, Method: n.Method()}, nil
}

// withMetrics completes the last chunk of a stream that another API than Bedrock's has sent.
func withMetrics(chunk []byte, a *converse.AnswerInfo, u *converse.Usage) []byte {
	end := bytes.TrimRight(chunk, " \t\r\n")
	if bytes.Contains(chunk, []byte(`"amazon-bedrock-invocationMetrics"`)) || len(end) < 3 || end[len(end)-1] != '}' {
		return chunk
	}
	return append(converse.AppendInvocationMetrics(append(end[:len(end)-1], ','), a, u), '}')
}

// checkTypes refuses media types that no text model takes; a model whose bodies nobody here reads may answer a picture.
func checkTypes(in *InvokeModelInput) error {
	for _, h := range [...]struct{ name, value string }{{"Content", in.ContentType}, {"Accept", in.Accept}} {
		mime, _, _ := strings.Cut(h.value, ";")
		switch strings.TrimSpace(strings.ToLower(mime)) {
		case "", "application/json", "*/*", "application/*":
		default:
			// AWS's words: https://github.com/aws/aws-sdk-ruby/issues/3033; those for Accept are quoted by gateways to Bedrock.
			return fault.New(fault.Validation, "The provided %s Type is invalid or not supported for this model", h.name)
		}
	}
	return nil
}

// check holds a Converse request against what no constraint on a single member can say. What is not offered everywhere is
// its upstream's to refuse.
func check(in *ConverseInput) error {
	if err := converse.CheckMetadata(in.RequestMetadata); err != nil {
		return err
	}
	return in.Request.Check()
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
