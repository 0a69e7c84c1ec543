package openai

import (
	"strings"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/wire"
)

// problem is what the API calls a kind of fault: its status, and the type and code of its envelope, "" where that has null.
type problem struct {
	status     int
	kind, code string
}

// problems has every kind that a caller of this API can meet.
// Source: https://platform.openai.com/docs/guides/error-codes, and the classes of the client
// (https://github.com/openai/openai-node, src/core/error.ts), which tries again after 408, 409, 429 and 500 and above.
var problems = map[fault.Kind]problem{
	fault.Internal:            {500, serverError, ""},
	fault.Validation:          {400, invalidRequest, ""},
	fault.NotFound:            {404, invalidRequest, "model_not_found"},
	fault.AccessDenied:        {403, invalidRequest, "insufficient_permissions"},
	fault.Conflict:            {409, invalidRequest, ""},
	fault.QuotaExceeded:       {400, invalidRequest, ""},
	fault.Throttled:           {429, "requests", "rate_limit_exceeded"},
	fault.Unavailable:         {503, serverError, "server_overloaded"},
	fault.ModelError:          {500, serverError, ""},
	fault.ModelTimeout:        {504, serverError, "timeout"},
	fault.ModelNotReady:       {503, serverError, "server_overloaded"},
	fault.ModelStream:         {500, serverError, ""},
	fault.TooLarge:            {413, invalidRequest, ""},
	fault.Serialization:       {400, invalidRequest, ""},
	fault.UnknownOperation:    {404, invalidRequest, "unknown_url"},
	fault.MissingToken:        {401, invalidRequest, ""},
	fault.IncompleteSignature: {401, invalidRequest, "invalid_api_key"},
	fault.InvalidSignature:    {401, invalidRequest, "invalid_api_key"},
	fault.UnrecognizedClient:  {401, invalidRequest, "invalid_api_key"},
	fault.ExpiredToken:        {401, invalidRequest, "invalid_api_key"},
	fault.InvalidAPIKey:       {401, invalidRequest, "invalid_api_key"},
	fault.TooManyFailures:     {429, "requests", "rate_limit_exceeded"},
}

const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
)

func exception(k fault.Kind) (wire.Exception, bool) {
	p, ok := problems[k]
	return wire.Exception{Code: p.code, Status: p.status}, ok
}

// appendError appends the API's envelope, which is also the data that ends a broken stream of Chat Completions.
func appendError(dst []byte, f *wire.Failure) []byte {
	message := strings.ReplaceAll(f.Message, "additionalModelRequestFields.", "") // which are members of the body here
	if f.Kind == fault.MissingToken {
		message = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
	}
	dst = converse.AppendQuote(append(dst, `{"error":{"message":`...), message)
	dst = converse.AppendQuote(append(dst, `,"type":`...), problems[f.Kind].kind)
	param := ""
	if f.Kind == fault.Validation { // else it is no member of the request's
		param = f.Member
	}
	dst = orNull(append(dst, `,"param":`...), param)
	dst = orNull(append(dst, `,"code":`...), f.Code)
	return append(dst, `}}`...)
}

func orNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `null`...)
	}
	return converse.AppendQuote(dst, s)
}
