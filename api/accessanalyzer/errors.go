package accessanalyzer

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the service calls each kind of fault. Source: its service model, 2019-11-01.
var exceptions = wire.Exceptions{
	fault.Internal:     {Code: "InternalServerException", Status: 500},
	fault.Validation:   {Code: "ValidationException", Status: 400},
	fault.TooLarge:     {Code: "ValidationException", Status: 400},
	fault.AccessDenied: {Code: "AccessDeniedException", Status: 403},
	fault.Throttled:    {Code: "ThrottlingException", Status: 429},
}
