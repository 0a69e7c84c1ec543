// Package anthropic is the front end of Anthropic's Messages API, as Amazon Bedrock has it at /anthropic/v1/messages: for
// clients that speak to Anthropic, with a base URL that ends in /anthropic and an API key of Bedrock's, or a signature.
//
// Every operation checks its access in package invoke, because only there is it known which profile and which models a
// model's name stands for.
package anthropic

import (
	"context"
	"iter"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"outcrop/converse"
	dialect "outcrop/dialect/anthropic"
	"outcrop/invoke"
	"outcrop/wire"
)

// maxBody is Anthropic's own bound. Source: https://docs.claude.com/en/api/errors (Request size limits)
const maxBody = 32 << 20

// New returns the service on v.
func New(v *invoke.Invoker) *wire.Service {
	s := &service{v}
	return &wire.Service{
		Name: "anthropic", SigningName: "bedrock", Endpoint: "bedrock-runtime", AlsoSigned: []string{"bedrock-mantle"}, Protocol: wire.ForeignJSON,
		Foreign:   &wire.Foreign{Prefixes: []string{"/anthropic/"}, RequestID: "Request-Id", KeyHeader: "X-Api-Key", AppendError: appendError},
		Exception: exception,
		Ops: []wire.Op{
			wire.Either(row("Messages", "messages", "bedrock:InvokeModel"), nil, s.messages),
		},
	}
}

func row(name, path, action string) wire.Row {
	return wire.Row{Name: name, Method: "POST", Path: "/anthropic/v1/" + path, Action: action, Checked: "invoke", MaxBody: maxBody}
}

type service struct{ invoker *invoke.Invoker }

// input is a body and the headers that change what it means. The version that the header anthropic-version names says
// nothing: there is one format.
type input struct {
	Betas string `json:"-" header:"Anthropic-Beta"` // names with commas between them
	Body  []byte `json:"-" payload:"blob"`
}

func (in *input) betas() []string {
	return strings.FieldsFunc(in.Betas, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// output is a whole answer.
type output struct {
	Body []byte `json:"-" payload:"blob"`
}

func (s *service) messages(ctx context.Context, c *wire.Call, in *input) (*output, iter.Seq2[*event, error], error) {
	m, err := dialect.ParseMessages(in.Body, in.betas())
	if err != nil {
		return nil, nil, err
	}
	if err := m.Check(); err != nil {
		return nil, nil, err
	}
	ic, err := call(c, m)
	if err != nil {
		return nil, nil, err
	}
	info := converse.AnswerInfo{ID: messageID(ic.ID), Created: c.Start}
	if !m.Stream {
		a, err := s.invoker.Do(ctx, ic)
		if err != nil {
			return nil, nil, err
		}
		info.Model = modelName(a.ModelID)
		return &output{dialect.AppendResponse(nil, &info, a.Response)}, nil, nil
	}
	st, err := s.invoker.Stream(ctx, ic)
	if err != nil {
		return nil, nil, err
	}
	info.Model, info.InputTokens = modelName(st.ModelID), m.Size().InputTokens()
	return nil, stream(st, &dialect.StreamEncoder{AnswerInfo: info, API: true}), nil
}

func call(c *wire.Call, m *dialect.Messages) (*invoke.Call, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return nil, err
	}
	return &invoke.Call{ID: id, Start: c.Start, Caller: &c.Caller, Operation: c.Row.Name, ModelID: m.Model, Stream: m.Stream, Body: m.Request}, nil
}

// stream encodes the events of an answer. One of them may be two of Anthropic's: each waits for the next, to know whether
// there is one.
func stream(st *invoke.Streaming, enc *dialect.StreamEncoder) iter.Seq2[*event, error] {
	return func(yield func(*event, error) bool) {
		var out event
		gone := false
		for e, err := range st.Events {
			if err != nil {
				yield(nil, err)
				return
			}
			out.json, out.more = out.json[:0], true
			enc.Encode(&e, func(text []byte) {
				if len(out.json) > 0 && !gone {
					gone = !yield(&out, nil)
				}
				out.json = append(out.json[:0], text...)
			})
			if out.more = e.More; len(out.json) > 0 && !gone {
				gone = !yield(&out, nil)
			}
			if gone {
				return
			}
		}
	}
}

// event is one server-sent event. One value serves a whole stream.
type event struct {
	json []byte
	more bool
}

const eventHead = `{"type":"`

// EventType returns the event's name, which is the type that its JSON begins with.
func (e *event) EventType() string {
	rest, ok := strings.CutPrefix(string(e.json), eventHead)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// More reports whether another event is ready.
func (e *event) More() bool { return e.more }

// AppendJSON appends the event's data.
func (e *event) AppendJSON(dst []byte) []byte { return append(dst, e.json...) }

// Fail makes e the event that says why the stream ends.
func (e *event) Fail(f *wire.Failure) { e.json, e.more = appendError(e.json[:0], f), false }

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
