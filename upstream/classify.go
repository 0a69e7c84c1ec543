package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"outcrop/fault"
)

// Refusal is a foreign server's answer that is not a result, stripped of its format.
type Refusal struct {
	Upstream   string        // the upstream's name, for the log
	Status     int           // its HTTP status, or what the error object inside a stream says, 0 when neither does
	Message    string        // its own words; shown to the caller only where the request is at fault
	Type, Code string        // its own names for the error, where it has any
	RetryAfter time.Duration // its Retry-After, 0 when it gave none
}

// Error is for the log.
func (r *Refusal) Error() string {
	s := "upstream " + r.Upstream + " answered status " + strconv.Itoa(r.Status)
	for _, part := range []string{r.Type, r.Code, Clip(r.Message)} {
		if part != "" {
			s += ": " + part
		}
	}
	return s
}

// Texts of faults that a caller sees. Where AWS documents or shows a text for the exception, it is that one.
const (
	textThrottled   = "Too many requests, please wait before trying again."
	textUnavailable = "The service is unable to process your request at this time. Try again later."
	textModelError  = "The request failed due to an error while processing the model."
	textTimeout     = "The request took too long to process. Processing time exceeded the model timeout length."
	textNotReady    = "The model specified in the request is not ready to serve inference requests."
	textStream      = "An error occurred while streaming the response. Retry your request."
)

// Classify returns the fault that r is. Only a refusal that blames the request passes the server's own words on: any
// other may speak of the operator's account or machines.
//
//	400 413 422 and other 4xx   Validation      "The model returned the following errors: ..."
//	400 "Your credit balance is too low ...", "You have reached your specified API usage limits ..."
//	                            Unavailable     Anthropic, when the operator's money or spend limit is at its end
//	401 403 404 405 407 3xx     ModelError      the operator's configuration is at fault; another target may do
//	402 409 423 425 502 503 529 Unavailable
//	408 504                     ModelTimeout
//	429                         Throttled       with Retry-After
//	503 "Loading model"         ModelNotReady   llama.cpp while it starts
//	500 "input is not supported" Validation     llama.cpp for a picture or a sound that its model cannot take
//	500 and other 5xx           ModelError
//	none                        by Type and Code, as in the body of an error inside a stream; else ModelError
func Classify(r *Refusal) *fault.Error {
	status := r.Status
	if status == 0 || status == 200 {
		status = statusOf(r.Type, r.Code)
	}
	e := &fault.Error{Cause: r, OriginalStatus: status, RetryAfter: r.RetryAfter}
	switch {
	case status == 401, status == 403, status == 404, status == 405, status == 407, status < 400 && status != 0:
		e.Kind, e.Message = fault.ModelError, textModelError
	case status == 408, status == 504:
		e.Kind, e.Message = fault.ModelTimeout, textTimeout
	case status == 429:
		e.Kind, e.Message = fault.Throttled, textThrottled
	case status == 500 && strings.Contains(strings.ToLower(r.Message), "input is not supported"):
		e.Kind, e.Message = fault.Validation, "The model returned the following errors: "+Clip(r.Message)
	case status == 400 && (strings.HasPrefix(r.Message, "Your credit balance is too low") || strings.HasPrefix(r.Message, "You have reached your specified ")):
		e.Kind, e.Message = fault.Unavailable, textUnavailable
	case status == 503 && strings.Contains(strings.ToLower(r.Message), "loading model"):
		e.Kind, e.Message = fault.ModelNotReady, textNotReady
	case status == 402, status == 409, status == 423, status == 425, status == 502, status == 503, status == 529:
		e.Kind, e.Message = fault.Unavailable, textUnavailable
	case status >= 400 && status < 500:
		e.Kind, e.Message = fault.Validation, "The model returned the following errors: "+Clip(r.Message)
	default:
		e.Kind, e.Message = fault.ModelError, textModelError
	}
	return e
}

// statusOf gives the HTTP status that an error's names stand for, 0 where they are not known.
func statusOf(typ, code string) int {
	for _, name := range []string{code, typ} {
		switch name {
		case "invalid_request_error", "BadRequestError", "context_length_exceeded", "exceed_context_size_error":
			return 400
		case "authentication_error", "invalid_api_key":
			return 401
		case "permission_error":
			return 403
		case "not_found_error", "NotFoundError", "model_not_found":
			return 404
		case "billing_error":
			return 402
		case "request_too_large":
			return 413
		case "rate_limit_error", "rate_limit_exceeded", "RateLimitError", "insufficient_quota", "tokens", "requests":
			return 429
		case "overloaded_error", "unavailable_error", "service_unavailable":
			return 503
		case "timeout_error", "timeout":
			return 504
		case "server_error", "internal_error", "InternalServerError", "api_error":
			return 500
		}
	}
	return 0
}

// ErrFull is why a request was not sent: as many are under way as may be at once. It says nothing of the server's health.
var ErrFull = errors.New("as many requests as max_connections allows are under way")

// Unreachable returns the fault of an attempt that got no answer: err is the transport's. Once ctx is done it is the
// caller who left, or the deadline that passed, whatever the transport says. A connection that was lost behind the whole
// request makes it Unanswered: the model may have run.
func Unreachable(ctx context.Context, name string, err error) *fault.Error {
	if e := fault.From(context.Cause(ctx)); ctx.Err() != nil && e.Kind != fault.Internal {
		return e // the cause that an upstream's own timer gave
	}
	cause := &unreachable{name, err}
	var timeout net.Error
	switch {
	case errors.Is(err, ErrFull):
		return fault.Wrap(cause, fault.Throttled, textThrottled)
	case errors.Is(ctx.Err(), context.Canceled):
		return &fault.Error{Kind: fault.Internal, Message: "the caller has gone", Cause: context.Canceled}
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout() && !isDial(err):
		return fault.Wrap(cause, fault.ModelTimeout, textTimeout)
	}
	f := fault.Wrap(cause, fault.Unavailable, textUnavailable)
	f.Unanswered = !unsent(err)
	return f
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// unsent says that err came before the server had the whole request: there was no connection, TLS refused it, or it took
// no more of what was written.
func unsent(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) {
		return false
	}
	switch op.Op {
	case "dial", "write", "remote error", "local error": // the last two are crypto/tls's, of alerts
		return true
	}
	return false
}

type unreachable struct {
	name string
	err  error
}

func (u *unreachable) Error() string { return "upstream " + u.name + ": " + u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// Broken returns the fault of an answer that ended before it was complete: err is the transport's. Once ctx is done it is
// Unreachable's, and a silence that was too long a ModelTimeout. Else started, which says that the caller has had a part of
// the answer, makes it a ModelStream; without it another target may be asked, and it is Unanswered.
func Broken(ctx context.Context, name string, started bool, err error) *fault.Error {
	cause := &unreachable{name, err}
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return Unreachable(ctx, name, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout(name, "silent for too long")
	case !started:
		return &fault.Error{Kind: fault.Unavailable, Message: textUnavailable, Unanswered: true, Cause: cause}
	}
	return &fault.Error{Kind: fault.ModelStream, Message: textStream, OriginalStatus: 200, OriginalMessage: "The connection to the model ended early.", Cause: cause}
}

// Unreadable returns the fault of an answer that is not what its format says.
func Unreadable(name string, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.ModelError, Message: "The model returned an answer that could not be read.", OriginalStatus: http.StatusOK,
		Cause: fmt.Errorf("upstream %s: %w", name, err),
	}
}

// maxRetryAfter is the longest wait that a server is believed.
const maxRetryAfter = time.Hour

// RetryAfter reads when a server wants to be asked again: Retry-After in seconds or as a date, or OpenAI's finer
// retry-after-ms. It is 0 without one.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	var d time.Duration
	v := h.Get("Retry-After")
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		d = time.Duration(min(max(ms, 0), 1e9) * float64(time.Millisecond))
	} else if s, err := strconv.ParseFloat(v, 64); err == nil {
		d = time.Duration(min(max(s, 0), 1e6) * float64(time.Second))
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// InStream returns e as it is told after a stream's first event: a fault of the model's side becomes a ModelStream that
// keeps the model's own status; kinds that the stream can express as they are stay.
func InStream(e *fault.Error) *fault.Error {
	switch e.Kind {
	case fault.ModelError, fault.ModelNotReady, fault.Internal:
		return &fault.Error{Kind: fault.ModelStream, Message: textStream, OriginalStatus: e.OriginalStatus, OriginalMessage: e.Message, Cause: e}
	}
	return e
}

// Timeout is the fault of a model that was silent for too long.
func Timeout(name, what string) *fault.Error {
	return fault.Wrap(errors.New("upstream "+name+": "+what), fault.ModelTimeout, textTimeout)
}

// Clip shortens a foreign text to what an error may carry: 1,000 bytes of it, cut at a character.
func Clip(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	n := most
	for n > most-utf8.UTFMax && !utf8.RuneStart(s[n]) { // what is no UTF-8 is cut anywhere
		n--
	}
	return s[:n] + "..."
}
