package bedrockruntime

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the runtime calls each kind of fault.
// Source: botocore bedrock-runtime 2023-09-30, the error traits of its exceptions.
var exceptions = wire.Exceptions{
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

// inStream is err as a stream may tell it once it has begun. The streams have members for fewer exceptions than their
// operations, and SDKs show neither code nor message of one that is no member: it becomes a modelStreamErrorException
// with the message that it had. timeouts says that the stream has a member for them.
// Source: botocore bedrock-runtime 2023-09-30, ConverseStreamOutput and ResponseStream; only the latter has modelTimeoutException.
func inStream(err error, timeouts bool) error {
	ft := fault.From(err)
	switch ft.Kind {
	case fault.Internal, fault.Validation, fault.TooLarge, fault.Throttled, fault.Unavailable, fault.ModelStream:
		return err
	case fault.ModelTimeout:
		if timeouts {
			return err
		}
	}
	in := fault.Wrap(err, fault.ModelStream, "%s", ft.Message)
	in.OriginalStatus = ft.OriginalStatus
	return in
}
