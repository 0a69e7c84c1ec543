// Package fault is the one error type of Outcrop.
//
// A domain package names a Kind and a message; it never sees an HTTP status or an AWS exception name. The wire layer
// and each api/<service>/errors.go turn a Kind into what the caller's protocol calls it. Only Message is ever shown to
// a caller; a wrapped cause, and any error that is not a *Error, stays in the server's log and reads as an internal
// error outside.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what went wrong, in the words of the domain.
type Kind uint8

// The kinds. The zero Kind is Internal so that a forgotten kind never leaks a message.
const (
	Internal      Kind = iota // our fault; the message is not shown
	Validation                // the request itself is wrong
	NotFound                  // the named resource does not exist, or is not the caller's to see
	AccessDenied              // authenticated, but a policy says no
	Conflict                  // the request contradicts the present state
	QuotaExceeded             // a limit on the number of resources
	TooManyTags               // a limit on the number of tags of one resource
	Throttled                 // too many requests or tokens for now
	Unavailable               // no upstream can serve this now
	ModelError                // the model or its server failed while working on the request
	ModelTimeout              // the model or its server took too long
	ModelNotReady             // the model is loading
	ModelStream               // a stream broke after its first event
	TooLarge                  // the body exceeds the operation's bound

	// The request could not be read in its protocol.
	Serialization    // malformed JSON, wrong type of a member
	UnknownOperation // no such route, target or action

	// The caller could not be told from the request's credentials.
	MissingToken        // no credentials at all
	IncompleteSignature // an Authorization header without all its parts
	InvalidSignature    // signature, scope or clock do not match
	UnrecognizedClient  // no such access key or token
	ExpiredToken        // credentials that were valid once
	InvalidAPIKey       // an API key (a bearer token) that is not valid, or not any more
	TooManyFailures     // any of these, too often from one place

	// The request asks for something that ended or lies outside what is kept; see Cost Explorer.
	InvalidNextToken // a pagination token that this service did not issue for this request
	LimitExceeded    // more than one call may ask for
	DataUnavailable  // the figures asked for are not there

	// Principals and policies; see IAM.
	InUse           // what would be deleted is still needed by something else
	Stale           // others changed the same at the same time
	MalformedPolicy // a policy document that the language does not take
	InvalidInput    // each member is well-formed, but not what they say together, or of what there is

	// Temporary credentials; see STS.
	PackedPolicy         // the policies and tags of a session are too large together
	InvalidIdentityToken // an identity provider's token that is not valid
	ExpiredIdentityToken // one that was valid once
	RejectedClaim        // one that is valid, but says what cannot be taken
	ProviderUnreachable  // the identity provider's keys cannot be read now

	numKinds
)

var names = [numKinds]string{
	Internal: "internal", Validation: "validation", NotFound: "not_found", AccessDenied: "access_denied", Conflict: "conflict",
	QuotaExceeded: "quota_exceeded", TooManyTags: "too_many_tags", Throttled: "throttled", Unavailable: "unavailable",
	ModelError: "model_error", ModelTimeout: "model_timeout", ModelNotReady: "model_not_ready", ModelStream: "model_stream",
	TooLarge: "too_large", Serialization: "serialization", UnknownOperation: "unknown_operation",
	MissingToken: "missing_token", IncompleteSignature: "incomplete_signature", InvalidSignature: "invalid_signature",
	UnrecognizedClient: "unrecognized_client", ExpiredToken: "expired_token",
	InvalidAPIKey: "invalid_api_key", TooManyFailures: "too_many_failures",
	InvalidNextToken: "invalid_next_token", LimitExceeded: "limit_exceeded", DataUnavailable: "data_unavailable",
	InUse: "in_use", Stale: "stale", MalformedPolicy: "malformed_policy", InvalidInput: "invalid_input",
	PackedPolicy: "packed_policy", InvalidIdentityToken: "invalid_identity_token", ExpiredIdentityToken: "expired_identity_token",
	RejectedClaim: "rejected_claim", ProviderUnreachable: "provider_unreachable",
}

// String returns the kind's name as it stands in logs and in the ledger's reasons, for example "not_found".
func (k Kind) String() string {
	if k < numKinds {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Kinds returns every kind in order, for tests that walk a mapping.
func Kinds() []Kind {
	ks := make([]Kind, numKinds)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// Retryable says that the same request may succeed at another target or a moment later: the request itself is not at
// fault and no effect of it has been seen.
func (k Kind) Retryable() bool {
	switch k {
	case Internal, Throttled, Unavailable, ModelError, ModelTimeout, ModelNotReady, ModelStream:
		return true
	}
	return false
}

// Error is an error of a known kind.
type Error struct {
	Kind    Kind
	Message string // shown to the caller; never a secret, never another account's data

	RetryAfter      time.Duration // for Throttled and Unavailable: when to come back, 0 when not known
	Resource        string        // the resource's name where the exception carries one (TooManyTags, ModelError); of a Validation the member, where that API names it
	OriginalStatus  int           // ModelError, ModelStream: the model server's HTTP status, 0 when there was none
	OriginalMessage string        // ModelStream: the model server's own words
	Unanswered      bool          // Unavailable: the upstream had the whole request and may have worked on it, but no answer came
	Cause           error         // for the log only
}

// New makes an error of kind k whose message is shown to the caller.
func New(k Kind, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Kind: k, Message: format}
	}
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause that stays in the log.
func Wrap(cause error, k Kind, format string, args ...any) *Error {
	e := New(k, format, args...)
	e.Cause = cause
	return e
}

// Error returns kind, message and cause: it is for logs, not for callers.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Kind.String() + ": " + e.Message + ": " + e.Cause.Error()
	}
	return e.Kind.String() + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// From returns err as an *Error: itself where it is or wraps one, else an Internal one with err as its cause.
// It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Message: "internal error", Cause: err}
}

// Is reports whether err is, or wraps, an *Error of kind k.
func Is(err error, k Kind) bool {
	if err == nil {
		return false // the common answer allocates nothing
	}
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}
