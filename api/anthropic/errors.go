package anthropic

import (
	"strings"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the API calls each kind of fault. It has no words for the kinds that only other services have.
// Source: https://docs.claude.com/en/api/errors, and the types of https://github.com/anthropics/anthropic-sdk-typescript.
var exceptions = wire.Exceptions{
	fault.Internal:            {Code: "api_error", Status: 500},
	fault.Validation:          {Code: "invalid_request_error", Status: 400},
	fault.NotFound:            {Code: "not_found_error", Status: 404},
	fault.AccessDenied:        {Code: "permission_error", Status: 403},
	fault.Conflict:            {Code: "invalid_request_error", Status: 409},
	fault.QuotaExceeded:       {Code: "invalid_request_error", Status: 400},
	fault.Throttled:           {Code: "rate_limit_error", Status: 429},
	fault.Unavailable:         {Code: "overloaded_error", Status: 529},
	fault.ModelError:          {Code: "api_error", Status: 500},
	fault.ModelTimeout:        {Code: "timeout_error", Status: 504},
	fault.ModelNotReady:       {Code: "overloaded_error", Status: 529},
	fault.ModelStream:         {Code: "api_error", Status: 500},
	fault.TooLarge:            {Code: "request_too_large", Status: 413},
	fault.Serialization:       {Code: "invalid_request_error", Status: 400},
	fault.UnknownOperation:    {Code: "not_found_error", Status: 404},
	fault.MissingToken:        {Code: "authentication_error", Status: 401},
	fault.IncompleteSignature: {Code: "authentication_error", Status: 401},
	fault.InvalidSignature:    {Code: "authentication_error", Status: 401},
	fault.UnrecognizedClient:  {Code: "authentication_error", Status: 401},
	fault.ExpiredToken:        {Code: "authentication_error", Status: 401},
	fault.InvalidAPIKey:       {Code: "authentication_error", Status: 401},
	fault.TooManyFailures:     {Code: "rate_limit_error", Status: 429},
}

// appendError appends the API's envelope, which is also the data of the event that ends a broken stream.
func appendError(dst []byte, f *wire.Failure) []byte {
	message := strings.ReplaceAll(f.Message, "additionalModelRequestFields.", "") // which are members of the body here
	if f.Kind == fault.MissingToken {
		message = "x-api-key header is required"
	}
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = converse.AppendQuote(dst, f.Code)
	dst = append(dst, `,"message":`...)
	dst = converse.AppendQuote(dst, message)
	dst = append(dst, `},"request_id":`...)
	dst = converse.AppendQuote(dst, f.RequestID)
	return append(dst, '}')
}
