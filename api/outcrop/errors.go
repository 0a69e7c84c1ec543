package outcrop

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the service calls each kind of fault: as Amazon Bedrock's control plane does.
var exceptions = wire.Exceptions{
	fault.Internal:     {Code: "InternalServerException", Status: 500},
	fault.Validation:   {Code: "ValidationException", Status: 400},
	fault.NotFound:     {Code: "ResourceNotFoundException", Status: 404},
	fault.AccessDenied: {Code: "AccessDeniedException", Status: 403},
	fault.Throttled:    {Code: "ThrottlingException", Status: 429},
	fault.Unavailable:  {Code: "ServiceUnavailableException", Status: 503},
	fault.TooLarge:     {Code: "ValidationException", Status: 413},
}
