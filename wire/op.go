// Package wire is the AWS protocols, once: rest-json, json-1.1, query/XML and the event stream, as tables of typed
// operations. It names the request, bounds the body, finds the row, authenticates, decodes, validates, authorizes,
// calls, encodes, and writes any error in the caller's protocol, before, after or inside a stream. It knows no domain.
//
// An api/<service> package declares a Service: its table of Ops made with Handle and Stream. A row without an IAM
// action does not start (NewServer returns an error).
//
// Struct tags of inputs and outputs:
//
//	json:"name"      a member of the body; unknown members are ignored, as AWS ignores them
//	uri:"name"       the path label {name}, decoded (In)
//	query:"name"     a query parameter (In)
//	header:"Name"    a header (In and Out); an empty value is not sent
//	payload:"blob"   the whole body as []byte (In and Out)
//	status:""        an int member that, when not 0, is the HTTP status (Out)
//
// and the constraints that Validate checks: required:"true", min:"n", max:"n" (of the value for numbers, of the length
// in characters for strings, of the count for lists and maps), pattern:"re" (searched for, as Smithy defines it:
// anchor it where it must match whole), enum:"a,b", sensitive:"true" (the value is left out of messages).
package wire

import (
	"context"
	"iter"
	"net/http"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// Protocol is how a service speaks.
type Protocol uint8

// The protocols. rpc-v2-cbor will be the next.
const (
	RestJSON  Protocol = iota + 1 // AWS restJson1
	AWSJSON11                     // AWS JSON 1.1: POST / with X-Amz-Target
	AWSQuery                      // AWS query: form in, XML out
)

// Service is one AWS service's front end.
type Service struct {
	Name         string // for logs, as aws-sdk-go-v2 names its client: "bedrockruntime"
	SigningName  string // the service in the signature's scope: "bedrock"
	Protocol     Protocol
	TargetPrefix string // AWSJSON11: X-Amz-Target is TargetPrefix.Operation
	Version      string // AWSQuery: the API version, "2011-06-15"
	Namespace    string // AWSQuery: the XML namespace
	ErrorURI     string // RestJSON: what follows the code and ":" in x-amzn-ErrorType, "http://internal.amazon.com/coral/com.amazon.bedrock/"
	Ops          []Op

	// Exception says what the service calls a kind of fault. A kind that the service has no exception for answers
	// with ok false and is written as the service's internal error. Kinds of the protocol itself (Serialization,
	// UnknownOperation, the credentials' kinds) are wire's own and never asked for.
	Exception func(fault.Kind) (e Exception, ok bool)
}

// Exception is a service's name and status for a fault.
type Exception struct {
	Code   string // "ValidationException"
	Status int
}

// Row is what is fixed of an operation.
type Row struct {
	Name    string // "GetInferenceProfile"
	Method  string // RestJSON: "GET"
	Path    string // RestJSON: "/inference-profiles/{inferenceProfileIdentifier}"; a label takes one escaped segment
	Status  int    // of a success; 0 is 200
	Action  string // the IAM action: "bedrock:GetInferenceProfile"; required
	Checked string // the package that calls Guard.Check itself, because what is accessed is known only there ("invoke"); "" means that wire does
	MaxBody int64  // bound of the request's body in bytes; 0 is 1 MiB
}

// Call is one request on its way through: what a handler may know of it.
type Call struct {
	ID     string // the request id, a UUID: x-amzn-requestid
	Start  time.Time
	Caller iam.Caller
	Row    *Row
	Header http.Header // the response's headers, for what is not a member of Out

	request *http.Request
	event   requestEvent
}

// Access gives what In wants to access, to be allowed before the handler runs. A nil Access function means the
// action on resource "*".
type Access[In any] func(*Call, *In) ([]iam.Access, error)

// Op is a row with its function; made by Handle or Stream.
type Op struct {
	Row
	serve  func(*Server, *Service, *Call, http.ResponseWriter, []byte)
	stream bool
}

// Event is one event of an output stream.
type Event interface {
	EventType() string            // the value of :event-type, "contentBlockDelta"
	AppendJSON(dst []byte) []byte // appends the payload, a JSON object
	More() bool                   // another event is ready: the flush may wait for it
}

// Handle makes an Op of a function from In to Out. The function returns a *fault.Error for what the caller should
// read; any other error is internal.
func Handle[In, Out any](row Row, access Access[In], fn func(context.Context, *Call, *In) (*Out, error)) Op {
	panic("wire: not written yet")
}

// Stream makes an Op whose answer is an event stream. The stream's first item decides: an error becomes a plain HTTP
// error, an event commits status 200, after which an error becomes an exception frame. Headers that the function set
// in Call.Header before it returned are sent with the status.
func Stream[In any, E Event](row Row, access Access[In], fn func(context.Context, *Call, *In) (iter.Seq2[E, error], error)) Op {
	panic("wire: not written yet")
}

type requestEvent struct{}

// Server serves Services on one endpoint.
type Server struct{}
