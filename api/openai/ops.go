// Package openai is the front end of OpenAI's API, as Amazon Bedrock has it at /openai/v1 (bedrock-runtime) and /v1
// (bedrock-mantle): Chat Completions, Responses, embeddings and the list of models, for clients that speak to OpenAI, with
// a base URL that ends so and an API key of Bedrock's, or a signature.
//
// A model is named by its id, or by an inference profile's id, ARN or name. What runs a model checks its access in package
// invoke, because only there is it known what that stands for.
package openai

import (
	"context"
	"iter"
	"strings"

	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	dialect "outcrop/dialect/openai"
	"outcrop/fault"
	"outcrop/invoke"
	"outcrop/profile"
	"outcrop/upstream"
	"outcrop/wire"
)

// maxBody is that of Bedrock's own operations.
const maxBody = 25_000_000

// New returns the service on v; profiles and cat say which models there are.
func New(v *invoke.Invoker, profiles *profile.Service, cat *catalog.Catalog) *wire.Service {
	s := &service{v, profiles, cat}
	out := &wire.Service{
		Name: "openai", SigningName: "bedrock", Endpoint: "bedrock-mantle", AlsoSigned: []string{"bedrock-mantle"}, Protocol: wire.ForeignJSON,
		Foreign:   &wire.Foreign{RequestID: "X-Request-Id", AppendError: appendError},
		Exception: exception,
	}
	for _, prefix := range []string{"/openai/v1/", "/v1/"} {
		run := func(name, path string) wire.Row {
			return wire.Row{Name: name, Method: "POST", Path: prefix + path, Action: "bedrock:InvokeModel", Checked: "invoke", Data: true, MaxBody: maxBody}
		}
		out.Foreign.Prefixes = append(out.Foreign.Prefixes, prefix)
		out.Ops = append(out.Ops,
			wire.Either(run("ChatCompletions", "chat/completions"), nil, s.chat),
			wire.Either(run("Responses", "responses"), nil, s.responses),
			wire.Handle(run("Embeddings", "embeddings"), nil, s.embeddings),
			wire.Handle(wire.Row{Name: "ListModels", Method: "GET", Path: prefix + "models", Action: "bedrock:ListFoundationModels"}, accessModels[struct{}], s.models),
			wire.Handle(wire.Row{Name: "GetModel", Method: "GET", Path: prefix + "models/{model}", Action: "bedrock:ListFoundationModels"}, accessModels[getModelInput], s.model),
		)
	}
	return out
}

type service struct {
	invoker  *invoke.Invoker
	profiles *profile.Service
	catalog  *catalog.Catalog
}

// input is a body in one of the API's formats, and Bedrock's headers.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html
type input struct {
	invoke.Headers
	Body []byte `json:"-" payload:"blob"`
}

// told is err, a call's, as its caller understands it.
func (in *input) told(err error) error { return invoke.Blame(in.Named(err)) }

// output is a whole answer.
type output struct {
	Body []byte `json:"-" payload:"blob"`
}

// call makes the call for model, but for what is asked of it in Converse's form: an upstream that speaks format takes the
// body as it is.
func (in *input) call(c *wire.Call, format, model, tier string) (*invoke.Call, error) {
	if model == "" {
		return nil, &fault.Error{Kind: fault.Validation, Message: "you must provide a model parameter", Resource: "model"}
	}
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, err
	}
	ic := &invoke.Call{
		ID: id, Start: c.Start, Caller: &c.Caller, Operation: c.Row.Name, ModelID: model, Tier: tier, Header: c.Header,
		Native: &upstream.Native{Format: format, Operation: c.Row.Name, Body: in.Body, ContentType: "application/json", Header: in.Sent()},
	}
	return ic, in.Enter(ic)
}

// ask makes r, which is nil where Converse has no place for something, what ic asks for.
func (in *input) ask(ic *invoke.Call, r *converse.Request, unfit error) {
	if ic.Body, ic.Unread = r, unfit; r != nil {
		in.Ask(ic, r)
	}
}

func info(ic *invoke.Call, prefix string) converse.AnswerInfo {
	return converse.AnswerInfo{ID: prefix + strings.ReplaceAll(ic.ID.String(), "-", ""), Created: ic.Start}
}

func (s *service) chat(ctx context.Context, c *wire.Call, in *input) (*output, iter.Seq2[*event, error], error) {
	q, err := dialect.ParseChat(in.Body)
	if err != nil {
		return nil, nil, err
	}
	ic, err := in.call(c, "openai-chat", q.Model, q.Tier)
	if err != nil {
		return nil, nil, err
	}
	ic.Stream = q.Stream
	in.ask(ic, q.Request, q.Unfit)
	info := info(ic, "chatcmpl-")
	if !q.Stream {
		return s.whole(ctx, in, ic, func(a *invoke.Answer) []byte {
			info.Model = a.ModelID
			return q.AppendResponse(nil, &info, a.Response)
		})
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, nil, known(in.told(err), ic.ModelID)
	}
	info.Model = st.ModelID
	enc := q.NewStream(info)
	return nil, in.stream(st.Events, &event{}, "[DONE]", func(e *converse.Event, passed bool, emit func(string, []byte)) {
		if !passed || e.Estimated { // the usage that was asked for, and that the server did not tell
			enc.Encode(e, func(chunk []byte) { emit("", chunk) })
		}
	}), nil
}

func (s *service) responses(ctx context.Context, c *wire.Call, in *input) (*output, iter.Seq2[*event, error], error) {
	q, err := dialect.ParseResponses(in.Body)
	if err != nil {
		return nil, nil, err
	}
	ic, err := in.call(c, "openai-responses", q.Model, q.Tier)
	if err != nil {
		return nil, nil, err
	}
	ic.Stream = q.Stream
	in.ask(ic, q.Request, q.Unfit)
	info := info(ic, "resp_")
	if !q.Stream {
		return s.whole(ctx, in, ic, func(a *invoke.Answer) []byte {
			info.Model = a.ModelID
			return q.AppendResponse(nil, &info, a.Response)
		})
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, nil, known(in.told(err), ic.ModelID)
	}
	info.Model = st.ModelID
	enc := q.NewStream(info)
	return nil, in.stream(st.Events, &event{response: enc}, "", func(e *converse.Event, passed bool, emit func(string, []byte)) {
		if !passed {
			enc.Encode(e, emit)
		}
	}), nil
}

// whole serves a call that is not streamed.
func (s *service) whole(ctx context.Context, in *input, ic *invoke.Call, encode func(*invoke.Answer) []byte) (*output, iter.Seq2[*event, error], error) {
	a, err := s.invoker.Do(ctx, ic)
	switch {
	case err != nil:
		return nil, nil, known(in.told(err), ic.ModelID)
	case a.Native != nil:
		return &output{a.Native}, nil, nil
	}
	return &output{encode(a)}, nil, nil
}

func (s *service) embeddings(ctx context.Context, c *wire.Call, in *input) (*output, error) {
	q, err := dialect.ParseEmbedding(in.Body)
	if err != nil {
		return nil, err
	}
	ic, err := in.call(c, "openai-embeddings", q.Model, "")
	if err != nil {
		return nil, err
	}
	if name := ic.Native.Service(); name != "" {
		return nil, fault.New(fault.Validation, "Unsupported header: '%s'. It says nothing of embeddings.", name)
	}
	asked := *q
	asked.Types, asked.Model = nil, "" // numbers, whatever the answer is written as; the model is the call's
	ic.Embedding = &asked
	out, _, err := s.whole(ctx, in, ic, func(a *invoke.Answer) []byte {
		q.Model = a.ModelID
		return dialect.AppendEmbeddings(nil, q, a.Embeddings)
	})
	return out, err
}

// stream encodes the events of an answer, or passes on those that are of the format already, and ends with last unless that
// is empty. What an event makes waits for the next while another is ready, which may be one that makes nothing.
func (in *input) stream(events converse.Stream, out *event, last string, encode func(e *converse.Event, passed bool, emit func(name string, data []byte))) iter.Seq2[*event, error] {
	return func(yield func(*event, error) bool) {
		waiting, gone, passed := false, false, false
		send := func(more bool) {
			if out.more = more; waiting && !gone {
				gone = !yield(out, nil)
			}
			waiting = false
		}
		put := func(name string, data []byte) {
			send(true)
			out.name, out.data, waiting = name, append(out.data[:0], data...), true
		}
		for e, err := range events {
			switch {
			case err != nil:
				if send(true); !gone {
					yield(nil, in.told(err))
				}
				return
			case e.Native != nil:
				passed = true
				put(e.Name, e.Native)
			default: // passed: it is Metadata, the end of what was passed on
				encode(&e, passed, put)
			}
			if !e.More {
				send(false)
			}
			if gone {
				return
			}
		}
		if last != "" {
			put("", []byte(last))
		}
		send(true) // the end follows at once
	}
}

// event is one server-sent event. One value serves a whole stream.
type event struct {
	name string
	data []byte
	more bool

	response *dialect.ResponsesEncoder // of a stream of Responses
}

// EventType returns the event's name; the chunks of Chat Completions have none.
func (e *event) EventType() string { return e.name }

// More reports whether another event is ready.
func (e *event) More() bool { return e.more }

// AppendJSON appends the event's data.
func (e *event) AppendJSON(dst []byte) []byte { return append(dst, e.data...) }

// Fail makes e the event that says why the stream ends.
func (e *event) Fail(f *wire.Failure) {
	e.more = false
	if e.response == nil {
		e.name, e.data = "", appendError(e.data[:0], f)
		return
	}
	code := "server_error" // a response's error has few codes
	if f.Kind == fault.Throttled {
		code = "rate_limit_exceeded"
	}
	e.name, e.data = "response.failed", e.response.AppendFailed(e.data[:0], code, f.Message)
}
