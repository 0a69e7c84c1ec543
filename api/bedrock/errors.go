package bedrock

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the control plane calls each kind of fault. The statuses are those of botocore's bedrock model of
// 2023-04-20: a conflict and an exceeded quota are 400. A model's own troubles do not occur here.
var exceptions = wire.Exceptions{
	fault.Internal:      {Code: "InternalServerException", Status: 500},
	fault.Validation:    {Code: "ValidationException", Status: 400},
	fault.NotFound:      {Code: "ResourceNotFoundException", Status: 404},
	fault.AccessDenied:  {Code: "AccessDeniedException", Status: 403},
	fault.Conflict:      {Code: "ConflictException", Status: 400},
	fault.QuotaExceeded: {Code: "ServiceQuotaExceededException", Status: 400},
	fault.TooManyTags:   {Code: "TooManyTagsException", Status: 400},
	fault.Throttled:     {Code: "ThrottlingException", Status: 429},
	fault.Unavailable:   {Code: "ServiceUnavailableException", Status: 503},
	fault.TooLarge:      {Code: "ValidationException", Status: 413},
}
