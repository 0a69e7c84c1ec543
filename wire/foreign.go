package wire

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"outcrop/fault"
)

// Foreign is what a service of ForeignJSON has of its own where the AWS protocols fix it. An API of that kind has the
// same table, limits, identity, authorization and request event as every other. Its streams are server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), one for each Event.
type Foreign struct {
	// Prefixes are where the API lives: "/openai/". What is asked for below them and not served is told so in its
	// envelope.
	Prefixes []string

	// RequestID is the header in which the API's clients look for the request id, "X-Request-Id". X-Amzn-Requestid is
	// sent as well.
	RequestID string

	// KeyHeader is a header in which the API's clients may send an API key, "X-Api-Key". One in Authorization, and a
	// signature, come first.
	KeyHeader string

	// AppendError appends the API's error envelope: the body of an answer with the status f.Status.
	AppendError func(dst []byte, f *Failure) []byte
}

// Failure is an error as its caller may read it.
type Failure struct {
	Exception // what the service calls it
	Kind      fault.Kind
	Message   string // of an internal error no more than that it is one
	RequestID string
	Member    string // the request's member that is wrong, where that is known: fault.Error.Resource
}

// FailingEvent is the Event of a ForeignJSON stream. When the stream breaks after its first event, Fail turns the one
// that was yielded last into the event that says so, the last that is written.
type FailingEvent interface {
	Event
	Fail(f *Failure)
}

// failure is what a foreign caller reads of err. It keeps err for the request event.
func (x *exchange) failure(err error) *Failure {
	ft, e, _, message := x.explain(err)
	return &Failure{Exception: e, Kind: ft.Kind, Message: message, RequestID: x.ID, Member: ft.Resource}
}

// foreignException finds what f, which is foreign, calls a kind. newTable has made sure that it has a word for Internal.
func (f *front) foreignException(k fault.Kind) (e Exception, shown bool) {
	if e, ok := f.Exception(k); ok {
		return e, k != fault.Internal
	}
	e, _ = f.Exception(fault.Internal)
	return e, false
}

// foreign finds the API that path belongs to, nil where there is none.
func (t *table) foreign(path string) *front {
	for _, f := range t.fronts {
		if f.Foreign != nil && slices.ContainsFunc(f.Foreign.Prefixes, func(p string) bool { return strings.HasPrefix(path, p) }) {
			return f
		}
	}
	return nil
}

// takeKey puts the API key where every other protocol has it.
func (f *Foreign) takeKey(h http.Header) {
	if key := h[f.KeyHeader]; len(key) == 1 && len(h["Authorization"]) == 0 {
		h["Authorization"] = []string{"Bearer " + key[0]}
	}
}

var (
	sseType = []string{"text/event-stream; charset=utf-8"}
	noCache = []string{"no-cache"}
)

var dataLines = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ")

// appendSSE appends e as a server-sent event.
func appendSSE(dst []byte, e Event) []byte {
	if name := e.EventType(); name != "" && !strings.ContainsAny(name, "\r\n") { // no name of an upstream's is a line of ours
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	dst = append(dst, "data: "...)
	start := len(dst)
	dst = e.AppendJSON(dst)
	// A line break would end the data: each line is a field of its own. A return is one too.
	if bytes.IndexByte(dst[start:], '\n') >= 0 || bytes.IndexByte(dst[start:], '\r') >= 0 {
		dst = append(dst[:start], dataLines.Replace(string(dst[start:]))...)
	}
	return append(dst, "\n\n"...)
}
