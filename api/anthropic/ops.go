// Package anthropic is the front end of Anthropic's Messages API, as Amazon Bedrock has it at /anthropic/v1/messages: for
// clients that speak to Anthropic, with a base URL that ends in /anthropic and an API key of Bedrock's, or a signature.
//
// Every inference checks its access in package invoke, because only there is it known which profile and which models a
// model's name stands for.
package anthropic

import (
	"bytes"
	"context"
	"iter"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	dialect "outcrop/dialect/anthropic"
	"outcrop/invoke"
	"outcrop/profile"
	"outcrop/upstream"
	"outcrop/wire"
)

// maxBody is Anthropic's own bound. Source: https://docs.claude.com/en/api/errors (Request size limits)
const maxBody = 32 << 20

// New returns the service on v; profiles and cat say which models there are.
func New(v *invoke.Invoker, profiles *profile.Service, cat *catalog.Catalog) *wire.Service {
	s := &service{v, profiles, cat}
	return &wire.Service{
		Name: "anthropic", SigningName: "bedrock", Endpoint: "bedrock-runtime", AlsoSigned: []string{"bedrock-mantle"}, Protocol: wire.ForeignJSON,
		Foreign:   &wire.Foreign{Prefixes: []string{"/anthropic/"}, RequestID: "Request-Id", KeyHeader: "X-Api-Key", AppendError: appendError},
		Exception: exceptions.Of,
		Ops: []wire.Op{
			wire.Either(row("Messages", "messages", "bedrock:InvokeModel"), nil, s.messages),
			wire.Handle(row("CountTokens", "messages/count_tokens", "bedrock:CountTokens"), nil, s.countTokens),
			wire.Handle(modelsRow("ListModels", ""), accessModels[listModelsInput], s.listModels),
			wire.Handle(modelsRow("GetModel", "/{model_id}"), accessModels[getModelInput], s.getModel),
		},
	}
}

func row(name, path, action string) wire.Row {
	return wire.Row{Name: name, Method: "POST", Path: "/anthropic/v1/" + path, Action: action, Checked: "invoke", Data: true, MaxBody: maxBody}
}

func modelsRow(name, path string) wire.Row {
	return wire.Row{Name: name, Method: "GET", Path: "/anthropic/v1/models" + path, Action: "bedrock:ListFoundationModels"}
}

type service struct {
	invoker  *invoke.Invoker
	profiles *profile.Service
	catalog  *catalog.Catalog
}

// input is a body and the headers that change what it means: those of the API, and Bedrock's. The version that the header
// anthropic-version names says nothing: there is one format.
type input struct {
	Betas string `json:"-" header:"Anthropic-Beta"` // names with commas between them
	invoke.Headers
	Body []byte `json:"-" payload:"blob"`
}

func (in *input) betas() []string {
	return strings.FieldsFunc(in.Betas, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// told is err, a call's, as its caller understands it.
func (in *input) told(err error) error { return invoke.Blame(in.Named(err)) }

// output is a whole answer.
type output struct {
	Body []byte `json:"-" payload:"blob"`
}

// call makes the call that m asks for. unread says why m has no Request, nil where it has one: an upstream that speaks the
// format may take the body all the same.
func (in *input) call(c *wire.Call, m *dialect.Messages, unread error) (*invoke.Call, error) {
	if m == nil {
		return nil, unread
	}
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, err
	}
	ic := &invoke.Call{
		ID: id, Start: c.Start, Caller: &c.Caller, Operation: c.Row.Name, ModelID: m.Model, Stream: m.Stream, Header: c.Header,
		Native: &upstream.Native{Format: "anthropic", Operation: c.Row.Name, Body: in.Body, ContentType: "application/json", Header: in.Sent()},
	}
	if err := in.Enter(ic); err != nil {
		return nil, err
	}
	if in.Betas != "" {
		if ic.Native.Header == nil {
			ic.Native.Header = make(map[string]string, 1)
		}
		ic.Native.Header["Anthropic-Beta"] = in.Betas
	}
	if unread == nil {
		unread = m.Check()
	}
	if ic.Unread = unread; unread == nil {
		ic.Body = m.Request
		in.Ask(ic, ic.Body)
	}
	return ic, nil
}

func (s *service) messages(ctx context.Context, c *wire.Call, in *input) (*output, iter.Seq2[*event, error], error) {
	m, err := dialect.ParseMessages(in.Body, in.betas())
	ic, err := in.call(c, m, err)
	if err != nil {
		return nil, nil, err
	}
	info := converse.AnswerInfo{ID: messageID(ic.ID), Created: ic.Start}
	if !ic.Stream {
		a, err := s.invoker.Do(ctx, ic)
		if err != nil {
			return nil, nil, known(in.told(err), ic.ModelID)
		}
		if a.Native != nil {
			return &output{a.Native}, nil, nil
		}
		info.Model = modelName(a.ModelID)
		return &output{dialect.AppendResponse(nil, &info, a.Response)}, nil, nil
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, nil, known(in.told(err), ic.ModelID)
	}
	info.Model = modelName(st.ModelID)
	if ic.Body != nil {
		info.InputTokens = ic.Body.Size().InputTokens()
	}
	return nil, in.stream(st.Events, &dialect.StreamEncoder{AnswerInfo: info, API: true}), nil
}

// counted is the answer of count_tokens.
type counted struct {
	InputTokens int64 `json:"input_tokens"`
}

func (s *service) countTokens(ctx context.Context, c *wire.Call, in *input) (*counted, error) {
	in.Headers = invoke.Headers{} // what is only counted no guardrail looks at, and none serves
	m, err := dialect.ParseCountTokens(in.Body, in.betas())
	ic, err := in.call(c, m, err)
	if err != nil {
		return nil, err
	}
	n, err := s.invoker.CountTokens(ctx, ic)
	if err != nil {
		return nil, known(err, ic.ModelID)
	}
	c.Header.Set("X-Outcrop-Token-Count", n.Method())
	return &counted{n.InputTokens}, nil
}

// stream encodes the events of an answer, or passes on those that are of the format already. What an event makes waits for
// the next while another is ready, which may be one that makes nothing.
func (in *input) stream(events converse.Stream, enc *dialect.StreamEncoder) iter.Seq2[*event, error] {
	return func(yield func(*event, error) bool) {
		var out event
		waiting, gone, passed := false, false, false
		send := func(more bool) {
			if out.more = more; waiting && !gone {
				gone = !yield(&out, nil)
			}
			waiting = false
		}
		put := func(name string, text []byte) {
			send(true)
			out.name, out.json, waiting = name, append(out.json[:0], text...), true
		}
		encode := func(text []byte) { put(nameOf(text), text) }
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
			case !passed: // else Metadata, of which nothing is said
				enc.Encode(&e, encode)
			}
			if !e.More {
				send(false)
			}
			if gone {
				return
			}
		}
		send(true) // the end follows at once
	}
}

// event is one server-sent event. One value serves a whole stream.
type event struct {
	name string
	json []byte
	more bool
}

// nameOf returns the name of an event that the dialect has written: the type that its JSON begins with.
func nameOf(json []byte) string {
	const head = `{"type":"`
	rest := json[min(len(head), len(json)):]
	return names[string(rest[:max(0, bytes.IndexByte(rest, '"'))])]
}

var names = func() map[string]string {
	m := map[string]string{}
	for _, n := range []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"} {
		m[n] = n
	}
	return m
}()

// EventType returns the event's name.
func (e *event) EventType() string { return e.name }

// More reports whether another event is ready.
func (e *event) More() bool { return e.more }

// AppendJSON appends the event's data.
func (e *event) AppendJSON(dst []byte) []byte { return append(dst, e.json...) }

// Fail makes e the event that says why the stream ends.
func (e *event) Fail(f *wire.Failure) {
	e.name, e.json, e.more = "error", appendError(e.json[:0], f), false
}

// messageID is the id of a message: AWS prefixes Bedrock's own with msg_bdrk_.
func messageID(id uuid.UUID) string {
	return "msg_bdrk_" + strings.ReplaceAll(id.String(), "-", "")[:24]
}

var modelVersion = regexp.MustCompile(`(-v[0-9]+)?(:[0-9a-z]+)*$`)

// modelName is what an answer calls the model that gave it: anthropic.claude-3-haiku-20240307-v1:0 is
// claude-3-haiku-20240307, as it is to Anthropic; a model of another vendor has its Bedrock id.
func modelName(id string) string {
	if name, ok := strings.CutPrefix(id, "anthropic."); ok {
		return modelVersion.ReplaceAllString(name, "")
	}
	return id
}
