package bedrockruntime

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the runtime calls each kind of fault.
// Source: botocore bedrock-runtime 2023-09-30, the error traits of its exceptions.
var exceptions = map[fault.Kind]wire.Exception{
	fault.Internal:      {Code: "InternalServerException", Status: 500},
	fault.Validation:    {Code: "ValidationException", Status: 400},
	fault.NotFound:      {Code: "ResourceNotFoundException", Status: 404},
	fault.AccessDenied:  {Code: "AccessDeniedException", Status: 403},
	fault.Conflict:      {Code: "ConflictException", Status: 400},
	fault.QuotaExceeded: {Code: "ServiceQuotaExceededException", Status: 400},
	fault.Throttled:     {Code: "ThrottlingException", Status: 429},
	fault.Unavailable:   {Code: "ServiceUnavailableException", Status: 503},
	fault.ModelError:    {Code: "ModelErrorException", Status: 424},
	fault.ModelTimeout:  {Code: "ModelTimeoutException", Status: 408},
	fault.ModelNotReady: {Code: "ModelNotReadyException", Status: 429},
	fault.ModelStream:   {Code: "ModelStreamErrorException", Status: 424},
	fault.TooLarge:      {Code: "ValidationException", Status: 413},
}

func exception(k fault.Kind) (wire.Exception, bool) {
	e, ok := exceptions[k]
	return e, ok
}
