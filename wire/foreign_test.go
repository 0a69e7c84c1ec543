package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"outcrop/fault"
)

// word is an event of a foreign stream.
type word struct {
	name, data string
	more       bool
}

func (w *word) EventType() string            { return w.name }
func (w *word) More() bool                   { return w.more }
func (w *word) AppendJSON(dst []byte) []byte { return append(dst, w.data...) }
func (w *word) Fail(f *Failure) {
	w.name, w.data = "error", fmt.Sprintf("%s %d %s", f.Code, f.Status, f.Message)
}

type silentWord struct{ word }

func (*silentWord) Fail() {} // not a FailingEvent's

type foreignIn struct {
	Body []byte `json:"-" payload:"blob"`
}

type foreignOut struct {
	Body []byte `json:"-" payload:"blob"`
}

func foreignService(ops ...Op) *Service {
	return &Service{
		Name: "foreign", SigningName: "bedrock", AlsoSigned: []string{"bedrock-mantle"}, Protocol: ForeignJSON,
		Exception: func(k fault.Kind) (Exception, bool) {
			switch k {
			case fault.ModelNotReady: // has no word
				return Exception{}, false
			case fault.UnknownOperation:
				return Exception{"unknown_url", 404}, true
			case fault.MissingToken:
				return Exception{"no_key", 401}, true
			case fault.Internal:
				return Exception{"server_error", 500}, true
			}
			return Exception{k.String(), 400}, true
		},
		Foreign: &Foreign{
			Prefixes: []string{"/foreign/"}, RequestID: "X-Request-Id",
			AppendError: func(dst []byte, f *Failure) []byte {
				return fmt.Appendf(dst, `{"error":{"code":%q,"message":%q,"id":%q}}`, f.Code, f.Message, f.RequestID)
			},
		},
		Ops: ops,
	}
}

// speak answers "stream" with a stream and anything else with itself.
var speak = Either(Row{Name: "Speak", Method: "POST", Path: "/foreign/speak", Action: "bedrock:InvokeModel"}, nil,
	func(_ context.Context, _ *Call, in *foreignIn) (*foreignOut, iter.Seq2[*word, error], error) {
		body := string(in.Body)
		switch {
		case body == "refuse":
			return nil, nil, fault.New(fault.Validation, "no")
		case body == "unready":
			return nil, nil, fault.New(fault.ModelNotReady, "secret")
		case !strings.HasPrefix(body, "stream"):
			return &foreignOut{in.Body}, nil, nil
		}
		return nil, func(yield func(*word, error) bool) {
			if body == "stream nothing" {
				yield(nil, fault.New(fault.Throttled, "slowly"))
				return
			}
			w := &word{name: "first", data: `{"a":1}`, more: true}
			if !yield(w, nil) {
				return
			}
			w.name, w.data, w.more = "", "two\nlines", false
			if !yield(w, nil) {
				return
			}
			switch body {
			case "stream breaks":
				yield(nil, fault.New(fault.ModelStream, "cut"))
			case "stream bug":
				yield(nil, errors.New("secret"))
			default:
				w.data = "[DONE]"
				yield(w, nil)
			}
		}, nil
	})

// TestForeign: the frames are those of https://html.spec.whatwg.org/multipage/server-sent-events.html.
func TestForeign(t *testing.T) {
	s := newTestServer(t, nil, restService("bedrock", "", Handle(Row{Name: "List", Method: "GET", Path: "/list", Action: "bedrock:List"}, nil,
		func(context.Context, *Call, *struct{}) (*struct{}, error) { return nil, nil })), foreignService(speak))
	const head = "event: first\ndata: {\"a\":1}\n\ndata: two\ndata: lines\n\n"
	for _, c := range []struct {
		name, auth, path, body string
		status                 int
		kind, want             string
	}{
		{"whole", signed("bedrock"), "/foreign/speak", "hello", 200, "application/json", "hello"},
		{"the other scope", signed("bedrock-mantle"), "/foreign/speak", "hello", 200, "application/json", "hello"},
		{"stream", signed("bedrock"), "/foreign/speak", "stream", 200, "text/event-stream; charset=utf-8", head + "data: [DONE]\n\n"},
		{"broken stream", signed("bedrock"), "/foreign/speak", "stream breaks", 200, "text/event-stream; charset=utf-8", head + "event: error\ndata: model_stream 400 cut\n\n"},
		{"a mistake in a stream", signed("bedrock"), "/foreign/speak", "stream bug", 200, "text/event-stream; charset=utf-8", head + "event: error\ndata: server_error 500 " + internalMessage + "\n\n"},
		{"refused stream", signed("bedrock"), "/foreign/speak", "stream nothing", 400, "application/json", `{"error":{"code":"throttled","message":"slowly","id":"ID"}}`},
		{"refused", signed("bedrock"), "/foreign/speak", "refuse", 400, "application/json", `{"error":{"code":"validation","message":"no","id":"ID"}}`},
		{"no word for it", signed("bedrock"), "/foreign/speak", "unready", 500, "application/json", `{"error":{"code":"server_error","message":"` + internalMessage + `","id":"ID"}}`},
		{"denied", signedAs("denied", "bedrock"), "/foreign/speak", "hello", 400, "application/json", `{"error":{"code":"access_denied","message":"User: arn:aws:iam::000000000000:user/denied is not authorized to perform: bedrock:InvokeModel on resource: * because no identity-based policy allows the bedrock:InvokeModel action","id":"ID"}}`},
		{"nobody", "", "/foreign/speak", "hello", 401, "application/json", `{"error":{"code":"no_key","message":"Missing Authentication Token","id":"ID"}}`},
		{"too much", signed("bedrock"), "/foreign/speak", strings.Repeat("x", 1<<20+1), 400, "application/json", `{"error":{"code":"too_large","message":"1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 1048576","id":"ID"}}`},
		{"unknown path", signed("bedrock-mantle"), "/foreign/other", "", 404, "application/json", `{"error":{"code":"unknown_url","message":"No operation matches POST /foreign/other.","id":"ID"}}`},
		{"unknown path, nobody", "", "/foreign/other", "", 404, "application/json", `{"error":{"code":"unknown_url","message":"No operation matches POST /foreign/other.","id":"ID"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := send(t, s, "POST", c.path, c.auth, c.body)
			id := w.Header().Get("X-Request-Id")
			if id == "" || id != w.Header().Get("X-Amzn-Requestid") {
				t.Errorf("request id %q", id)
			}
			if got := strings.ReplaceAll(w.Body.String(), id, "ID"); w.Code != c.status || got != c.want || w.Header().Get("Content-Type") != c.kind {
				t.Errorf("%d %s\n%s\nwant %d %s\n%s", w.Code, w.Header().Get("Content-Type"), got, c.status, c.kind, c.want)
			}
		})
	}
	if w := send(t, s, "GET", "/list", signed("bedrock-mantle"), ""); w.Code != 404 {
		t.Errorf("a scope that only the foreign service takes opened another: %d %s", w.Code, w.Body)
	}
	if w := send(t, s, "GET", "/other", signed("bedrock"), ""); w.Header().Get("X-Amzn-Errortype") == "" {
		t.Errorf("a path that is no foreign one: %v %s", w.Header(), w.Body)
	}
}

func TestForeignTable(t *testing.T) {
	lost := foreignService()
	lost.Foreign = nil
	mute := foreignService()
	mute.Foreign = &Foreign{}
	wordless := foreignService()
	wordless.Exception = func(fault.Kind) (Exception, bool) { return Exception{}, false }
	rest := restService("rest", "")
	rest.Foreign = &Foreign{}
	for _, c := range []struct {
		s    *Service
		want string
	}{
		{lost, "has a Foreign"}, {rest, "has a Foreign"}, {mute, "AppendError"}, {wordless, "internal error"},
		{foreignService(Stream(Row{Name: "S", Method: "GET", Path: "/s", Action: "a:B"}, nil,
			func(context.Context, *Call, *struct{}) (iter.Seq2[*silentWord, error], error) { return nil, nil })), "FailingEvents"},
	} {
		if _, err := newTable([]*Service{c.s}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// TestAppendSSE: whatever an event holds, its data is its data and its name is a name.
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream: lines end in CRLF, LF or CR.
func TestAppendSSE(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"a", `{"x":1}`, "event: a\ndata: {\"x\":1}\n\n"},
		{"", `{"x":1}`, "data: {\"x\":1}\n\n"},
		{"a", "{\r\"x\":1,\n\"y\":2,\r\n\"z\":3}", "event: a\ndata: {\ndata: \"x\":1,\ndata: \"y\":2,\ndata: \"z\":3}\n\n"},
		{"a\nid: 7", `{}`, "data: {}\n\n"},
		{"a\rdata: b", `{}`, "data: {}\n\n"},
	} {
		if got := string(appendSSE(nil, &word{name: c.name, data: c.data})); got != c.want {
			t.Errorf("%q of %q: %q", c.name, c.data, got)
		}
	}
}
