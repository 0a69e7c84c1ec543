package bedrock

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/fault"
	"outcrop/upstream"
)

// A refusal is an exception of Bedrock's.
type refusal struct {
	Name            string // such as ThrottlingException; inside a stream such as throttlingException
	Status          int    // of the HTTP answer; 200 inside a stream
	RequestID       string
	RetryAfter      time.Duration
	Message         string
	OriginalStatus  int
	OriginalMessage string
	ResourceName    string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("Amazon Bedrock answered %d %s: %s (request id %s)", r.Status, r.Name, upstream.Clip(r.Message), r.RequestID)
}

// read takes the members of the exception's JSON body.
func (r *refusal) read(body []byte) {
	var b struct {
		Message         string `json:"message"`
		Upper           string `json:"Message"` // what stands before the service writes it so
		Type            string `json:"__type"`
		OriginalStatus  int    `json:"originalStatusCode"`
		OriginalMessage string `json:"originalMessage"`
		ResourceName    string `json:"resourceName"`
	}
	if json.Unmarshal(body, &b) != nil {
		b.Message = string(bytes.ToValidUTF8(body, []byte("?")))
	}
	r.Message, r.OriginalStatus, r.OriginalMessage, r.ResourceName = b.Message, b.OriginalStatus, b.OriginalMessage, b.ResourceName
	if r.Message == "" {
		r.Message = b.Upper
	}
	// What AWS would have signed holds the session's token, and a log is no place for that.
	r.Message, _, _ = strings.Cut(r.Message, "The Canonical String for this request")
	if r.Name == "" {
		r.Name = b.Type
	}
}

// exceptionName strips what may stand around an exception's name: "aws.protocoltests#Name:http://...".
// Source: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
func exceptionName(s string) string {
	s, _, _ = strings.Cut(s, ":")
	if _, after, ok := strings.Cut(s, "#"); ok {
		s = after
	}
	return strings.TrimSpace(s)
}

// refused turns an answer that is not 200 into its fault.
func (x *exchange) refused(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(x.body, maxErrorBody)) // what came of it is enough
	r := &refusal{
		Name: resp.Header.Get("X-Amzn-Errortype"), Status: resp.StatusCode,
		RequestID: resp.Header.Get("X-Amzn-Requestid"), RetryAfter: upstream.RetryAfter(resp.Header, x.p.cfg.Clock()),
	}
	r.read(b)
	r.Name = exceptionName(r.Name)
	return x.fault(r)
}

// fault returns the fault that r is. Bedrock's words are the caller's to see where they are about his request or about the
// model's work. What is about the account that this server calls Bedrock with is not: a credential that has expired, a
// model that the account has no access to or a name that is wrong in the configuration is for the log and for whoever
// runs the server; the caller learns that the service cannot serve him now, and another target may.
func (x *exchange) fault(r *refusal) *fault.Error {
	for _, s := range []*string{&r.Name, &r.RequestID, &r.Message, &r.OriginalMessage, &r.ResourceName} {
		*s = x.p.cfg.Client.Hide(*s)
	}
	name := r.Name
	if name == "" {
		name = nameOf(r.Status)
	}
	// Inside a stream names begin in lower case, and those of frames of the type error may be anything.
	if name != "" {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	message := upstream.Clip(x.ask.unname(r.Message))
	var status int // that upstream.Classify has a text for
	switch strings.TrimSuffix(name, "Exception") {
	case "Validation":
		if operators(r.Message) {
			return x.misconfigured(r)
		}
		return &fault.Error{Kind: fault.Validation, Message: message, OriginalStatus: r.Status, Cause: r}
	case "ModelError":
		return &fault.Error{Kind: fault.ModelError, Message: message, OriginalStatus: cmp.Or(r.OriginalStatus, r.Status), Resource: x.ask.unname(r.ResourceName), Cause: r}
	case "ModelStreamError":
		return &fault.Error{Kind: fault.ModelStream, Message: message, OriginalStatus: r.OriginalStatus, OriginalMessage: upstream.Clip(x.ask.unname(r.OriginalMessage)), Cause: r}
	case "ModelNotReady":
		return &fault.Error{Kind: fault.ModelNotReady, Message: message, OriginalStatus: r.Status, RetryAfter: r.RetryAfter, Cause: r}
	case "Throttling", "TooManyRequests", "ServiceQuotaExceeded":
		status = http.StatusTooManyRequests
	case "ModelTimeout":
		status = http.StatusRequestTimeout
	case "ServiceUnavailable", "InternalServer", "InternalFailure":
		status = http.StatusServiceUnavailable
	case "ExpiredToken":
		x.p.forget()
		return x.misconfigured(r)
	case "AccessDenied", "UnrecognizedClient", "InvalidSignature", "IncompleteSignature", "MissingAuthenticationToken",
		"InvalidClientTokenId", "ResourceNotFound", "OptInRequired", "NotAuthorized", "UnknownOperation":
		return x.misconfigured(r)
	default:
		status = r.Status
	}
	f := upstream.Classify(&upstream.Refusal{Upstream: x.p.cfg.Name, Status: status, RetryAfter: r.RetryAfter, Message: x.ask.unname(r.Message)})
	f.OriginalStatus, f.Cause = r.Status, r
	return f
}

// nameOf is the exception that a status without a name stands for, as from a proxy on the way.
func nameOf(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return "AccessDeniedException"
	case http.StatusNotFound:
		return "ResourceNotFoundException"
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable:
		return "ServiceUnavailableException"
	}
	return ""
}

// operators says that a ValidationException is about the model's name or the account, which the caller has not chosen.
// Source: recorded answers; see also https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
func operators(message string) bool {
	for _, s := range []string{
		"model identifier is invalid", "on-demand throughput isn", "Operation not allowed", "is not authorized to", "inference profile",
	} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// misconfigured is the fault of what only the operator can mend. Where Bedrock has said so it is what every upstream's 401,
// 403 and 404 are, a ModelError: it concerns the model that was asked for, and not the whole server. It is Unavailable where
// nothing could be sent, and of credentials that have expired: the next call has others.
func (x *exchange) misconfigured(cause error) *fault.Error {
	if x.ctx.Err() == nil {
		x.p.cfg.Logger.ErrorContext(x.ctx, "the upstream refuses this server: look at its credentials, its model access and its model names",
			"upstream", x.p.cfg.Name, "region", x.region, "model", x.ask.model, "request_id", x.req.ID, "error", cause)
	}
	status, original := http.StatusServiceUnavailable, 0
	var r *refusal
	if errors.As(cause, &r) {
		if original = r.Status; r.Name != "ExpiredTokenException" {
			status = http.StatusForbidden
		}
	}
	f := upstream.Classify(&upstream.Refusal{Upstream: x.p.cfg.Name, Status: status})
	f.Cause, f.OriginalStatus = fmt.Errorf("upstream %s: %w", x.p.cfg.Name, cause), original
	return f
}

// errMalformed is of an answer that is not what Bedrock answers.
var errMalformed = errors.New("the answer could not be read")

var errParts = fmt.Errorf("%w: it has more parts than an answer has", errMalformed)

// failed returns the fault of an answer that broke off or that cannot be read. started says that the caller has had a
// part of it.
func (x *exchange) failed(err error, started bool) error {
	var r *refusal
	var f *fault.Error
	switch {
	case errors.As(err, &r):
		f = x.fault(r)
	case errors.As(err, &f):
	case errors.Is(err, errMalformed), errors.Is(err, errTooLong), errors.Is(err, errFrame):
		f = upstream.Unreadable(x.p.cfg.Name, x.p.cfg.Client.HideIn(err))
	default:
		return upstream.Broken(x.ctx, x.p.cfg.Name, started, err)
	}
	if started {
		return upstream.InStream(f)
	}
	return f
}
