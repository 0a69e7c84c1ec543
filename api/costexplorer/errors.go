package costexplorer

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are the service's names for faults: those of its model (2017-10-25) and ValidationException, which it answers
// without having it there. All are 400, as in every service of this protocol. BillExpirationException has no kind: no
// figure here ever expires.
var exceptions = wire.Exceptions{
	fault.Validation:       {Code: "ValidationException", Status: 400},
	fault.TooLarge:         {Code: "ValidationException", Status: 400},
	fault.AccessDenied:     {Code: "AccessDeniedException", Status: 400},
	fault.NotFound:         {Code: "ResourceNotFoundException", Status: 400},
	fault.Throttled:        {Code: "LimitExceededException", Status: 400},
	fault.QuotaExceeded:    {Code: "LimitExceededException", Status: 400},
	fault.LimitExceeded:    {Code: "LimitExceededException", Status: 400},
	fault.Conflict:         {Code: "RequestChangedException", Status: 400},
	fault.InvalidNextToken: {Code: "InvalidNextTokenException", Status: 400},
	fault.InvalidInput:     {Code: "UnresolvableUsageUnitException", Status: 400}, // no more is wrong than that units do not go together
	fault.DataUnavailable:  {Code: "DataUnavailableException", Status: 400},
}
