// Package wire is the AWS protocols, once: rest-json, json-1.1, query/XML and the event stream, as tables of typed
// operations; and beside them the JSON and the server-sent events of other vendors' APIs (see Foreign). It names the request, finds the row, bounds the body, authenticates, decodes, validates, authorizes,
// calls, encodes, and writes any error in the caller's protocol, before, after or inside a stream. It knows no domain.
//
// An api/<service> package declares a Service: its table of Ops made with Handle and Stream. A row without an IAM
// action does not start (NewServer returns an error).
//
// # Members
//
// The exported fields of an input or output are its members; each carries exactly one of these tags. Those that do not
// travel in the body carry json:"-" as well, or NewServer refuses the table.
//
//	json:"name"      a member of the body; unknown members are ignored, as AWS ignores them
//	uri:"name"       the path label {name}, decoded (In)
//	query:"name"     a query parameter (In)
//	header:"Name"    a header (In and Out); an empty value is not sent
//	payload:"blob"   the whole body as []byte (In and Out)
//	status:""        an int member that, when not 0, is the HTTP status (Out)
//
// An embedded struct's members are the outer one's own. A time.Time in an output's body is RFC 3339 in rest-json (UTC,
// "Z", the fraction kept to microseconds) and seconds since 1970 in json-1.1. In the query protocol the json tag names the form
// parameter and the XML element.
//
// # Constraints
//
// Checked on every input before the handler runs; all violations come back in one message, in AWS's words:
//
//	required:"true"          absent is a violation. null is absent everywhere. Of what is not a pointer the zero value
//	                         is absent too (an empty list or object is not), so a required string that may be empty,
//	                         or a number that may be 0, is a pointer
//	min:"n" max:"n"          of the value for numbers, of the length in characters for strings, of the bytes for
//	                         []byte, of the count for lists and maps
//	pattern:"re"             searched for, as Smithy defines it: anchor it where it must match whole
//	enum:"a,b"               one of these
//	sensitive:"true"         the value is left out of messages
//	each.min, each.max, each.pattern, each.enum    the same of every string in a list, or every value of a map
//	key.min, key.max, key.pattern, key.enum        the same of every key of a map
//
// A struct with a field _ struct{} `union:"Name"`, where Name is what AWS's model calls it, is a union: exactly one of its
// members is set. One that has none, or several, is told when nothing else is wrong. One that keeps members which are not
// known, in a *jsontext.Value tagged json:",embed", may have such a one instead.
package wire

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// Protocol is how a service speaks.
type Protocol uint8

// The protocols. rpc-v2-cbor will be the next.
const (
	RestJSON    Protocol = iota + 1 // AWS restJson1
	AWSJSON11                       // AWS JSON 1.1: POST / with X-Amz-Target
	AWSQuery                        // AWS query: form in, XML out
	ForeignJSON                     // another vendor's API: routes and members as in rest-json, its own errors, server-sent events; see Foreign
)

// Service is one AWS service's front end.
type Service struct {
	Name         string // for logs, as aws-sdk-go-v2 names its client: "bedrockruntime"
	SigningName  string // the service in the signature's scope: "bedrock"
	Endpoint     string // the first label of AWS's host name for it, "bedrock-runtime"; "" is SigningName
	Protocol     Protocol
	TargetPrefix string   // AWSJSON11: X-Amz-Target is TargetPrefix.Operation
	Version      string   // AWSQuery: the API version, "2011-06-15"
	Namespace    string   // AWSQuery: the XML namespace
	ErrorURI     string   // RestJSON: what follows the code and ":" in x-amzn-ErrorType, "http://internal.amazon.com/coral/com.amazon.bedrock/"
	CapitalError bool     // AWSJSON11: the members of its exceptions begin with a capital, {"Message":...}, as Cost Explorer's do
	AlsoSigned   []string // other services that a signature's scope may name: "bedrock-mantle"
	Foreign      *Foreign // ForeignJSON: required
	Ops          []Op

	// Exception says what the service calls a kind of fault. A kind that the service has no exception for answers
	// with ok false and is written as the service's internal error. Kinds of the protocol itself (Serialization,
	// UnknownOperation, the credentials' kinds) are wire's own and never asked for, but of ForeignJSON, which is asked for
	// every kind.
	Exception func(fault.Kind) (e Exception, ok bool)
}

// Exception is a service's name and status for a fault.
type Exception struct {
	Code   string // "ValidationException"
	Status int
}

// Exceptions is what a service calls each kind of fault that it has a word for.
type Exceptions map[fault.Kind]Exception

// Of is a Service's Exception.
func (x Exceptions) Of(k fault.Kind) (Exception, bool) {
	e, ok := x[k]
	return e, ok
}

// Row is what is fixed of an operation.
type Row struct {
	Name    string // "GetInferenceProfile"
	Method  string // RestJSON, ForeignJSON: "GET"
	Path    string // likewise: "/inference-profiles/{inferenceProfileIdentifier}"; a label takes one escaped segment, or a whole ARN
	Status  int    // of a success; 0 is 200
	Action  string // the IAM action: "bedrock:GetInferenceProfile"; required
	Checked string // who decides instead of wire, and why: "invoke" (the package that calls Guard.Check itself, because what is accessed is known only there), "nobody: AWS allows it always"; "" means that wire does
	Data    bool   // of the data plane: its calls are recorded as Config.RecordData says, and what they carry never is
	Open    bool   // AWSQuery: who calls need not be known; Checked says who decides instead
	MaxBody int64  // bound of the request's body in bytes; 0 is 1 MiB
}

// Call is one request on its way through: what a handler may know of it.
type Call struct {
	ID     string // the request id, a UUID: x-amzn-requestid
	Start  time.Time
	Caller iam.Caller
	Row    *Row
	Header http.Header // the response's headers, for what is not a member of Out

	body  []byte
	kept  bool // body is the handler's
	notes []slog.Attr
	quiet bool // the request event will not be written: notes are not kept
}

// Body returns the request's body as it came. From then on it is the handler's to keep, and never changed; without a call
// its buffer serves another request.
func (c *Call) Body() []byte {
	c.kept = true
	return c.body
}

// Note adds attributes to the request event, the one line that is logged of the request. It may be called until the
// handler returns, of a stream until its sequence ends; not from two goroutines at once.
func (c *Call) Note(attrs ...slog.Attr) {
	if !c.quiet {
		c.notes = append(c.notes, attrs...)
	}
}

// Access gives what In wants to access, to be allowed before the handler runs. An element without an Action means the
// row's; an empty list is a mistake and is refused. A nil Access function means the row's action on resource "*".
type Access[In any] func(*Call, *In) ([]iam.Access, error)

// Op is a row with its function; made by Handle or Stream.
type Op struct {
	Row
	in, out *shape
	access  bool  // wire asks an Access function
	problem error // what is wrong with In or Out: NewServer reports it
	stream  bool
	fails   bool                  // the stream's events are FailingEvents
	appends bool                  // Out is an Appender
	serve   func(*exchange) error // an error has not been written yet
}

// Appender is an output that writes its own body, for an answer that is made so often that reflection shows. What it
// writes is what its struct tags say.
type Appender interface {
	AppendJSON(dst []byte) []byte // appends the body, a JSON object
}

// Reader is an input that reads its own body, for a request that is made so often that reflection shows. ReadJSON may
// refuse any body, and must refuse one in which anything is wrong or unknown: reflection then reads it from the start,
// and finds the words of the error. What ReadJSON takes it reads as reflection does. It may keep parts of body, which is
// good until the call has been answered.
type Reader interface {
	ReadJSON(body []byte) bool
}

// Event is one event of an output stream. wire is done with it before it takes the next one.
type Event interface {
	EventType() string            // the value of :event-type, "contentBlockDelta"; of ForeignJSON the event's name, "" has none
	AppendJSON(dst []byte) []byte // appends the payload, a JSON object; of ForeignJSON any text
	More() bool                   // another event, or the end of the stream, is ready: the flush may wait for it
}

// Handle makes an Op of a function from In to Out. The function returns a *fault.Error for what the caller should
// read; any other error is internal. What In holds is the function's to keep.
func Handle[In, Out any](row Row, access Access[In], fn func(context.Context, *Call, *In) (*Out, error)) Op {
	op := newOp[In](row, access)
	op.writes(reflect.TypeFor[Out]())
	op.serve = func(x *exchange) error {
		in, err := prepare(x, access)
		if err != nil {
			return err
		}
		out, err := fn(x.request.Context(), &x.Call, in)
		if err != nil {
			return err
		}
		if out == nil {
			out = new(Out)
		}
		return x.answer(out)
	}
	return op
}

// Stream makes an Op whose answer is an event stream. The stream's first item decides: an error becomes a plain HTTP
// error, an event commits status 200, after which an error becomes an exception frame. Headers that the function set
// in Call.Header before it returned are sent with the status. The sequence is always ranged over, so that it can
// release what it holds, and is left early when the caller has gone.
func Stream[In any, E Event](row Row, access Access[In], fn func(context.Context, *Call, *In) (iter.Seq2[E, error], error)) Op {
	op := newOp[In](row, access)
	op.streams(reflect.TypeFor[E]())
	op.serve = func(x *exchange) error {
		in, err := prepare(x, access)
		if err != nil {
			return err
		}
		seq, err := fn(x.request.Context(), &x.Call, in)
		if err != nil {
			return err
		}
		return serveStream(x, seq)
	}
	return op
}

// Either makes an Op that answers as Handle does or as Stream does, where the caller says in the body which of the two
// he wants: the function returns an output, or else a sequence.
func Either[In, Out any, E Event](row Row, access Access[In], fn func(context.Context, *Call, *In) (*Out, iter.Seq2[E, error], error)) Op {
	op := newOp[In](row, access)
	op.writes(reflect.TypeFor[Out]())
	op.streams(reflect.TypeFor[E]())
	op.serve = func(x *exchange) error {
		in, err := prepare(x, access)
		if err != nil {
			return err
		}
		out, seq, err := fn(x.request.Context(), &x.Call, in)
		switch {
		case err != nil:
			return err
		case seq != nil:
			return serveStream(x, seq)
		case out == nil:
			out = new(Out)
		}
		return x.answer(out)
	}
	return op
}

// writes says that the answer is a value of type out.
func (op *Op) writes(out reflect.Type) {
	var err error
	if op.out, err = shapeOf(out, output); err != nil {
		op.problem = errors.Join(op.problem, err)
	}
	op.appends = reflect.PointerTo(out).Implements(reflect.TypeFor[Appender]())
}

// streams says that the answer is a sequence of events of that type.
func (op *Op) streams(event reflect.Type) {
	op.stream = true
	op.fails = event.Implements(reflect.TypeFor[FailingEvent]())
}

func newOp[In any](row Row, access Access[In]) Op {
	op := Op{Row: row, access: access != nil}
	op.in, op.problem = shapeOf(reflect.TypeFor[In](), input)
	return op
}

// prepare decodes, validates and authorizes.
func prepare[In any](x *exchange, access Access[In]) (*In, error) {
	in := new(In)
	if err := x.decode(in); err != nil {
		return nil, err
	}
	x.noteInput(in)
	if err := x.op.in.validate(reflect.ValueOf(in).Elem()); err != nil {
		return nil, err
	}
	if x.op.Checked != "" {
		return in, x.mayChange()
	}
	wanted := []iam.Access{{Action: x.op.Action, Resource: "*"}}
	if access != nil {
		var err error
		if wanted, err = access(&x.Call, in); err != nil {
			return nil, err
		}
		if len(wanted) == 0 {
			return nil, errors.New("wire: the access function of " + x.op.Name + " names nothing to allow")
		}
		for i := range wanted {
			if wanted[i].Action == "" {
				wanted[i].Action = x.op.Action
			}
		}
	}
	x.noteAccess(wanted)
	if err := x.server.guard.Check(x.request.Context(), x.ID, &x.Caller, wanted); err != nil {
		return nil, err
	}
	return in, x.mayChange()
}
