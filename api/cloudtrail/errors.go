package cloudtrail

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are CloudTrail's names for faults: those of LookupEvents in its model, and the common ones. All are 400 but what
// is the server's fault, as in every service of this protocol. What is wrong with a request beyond the range of its times,
// its size and its token is wrong with its attributes.
var exceptions = wire.Exceptions{
	fault.Validation:       {Code: "InvalidLookupAttributesException", Status: 400},
	fault.TooLarge:         {Code: "InvalidLookupAttributesException", Status: 400},
	fault.DataUnavailable:  {Code: "InvalidTimeRangeException", Status: 400},
	fault.LimitExceeded:    {Code: "InvalidMaxResultsException", Status: 400},
	fault.InvalidNextToken: {Code: "InvalidNextTokenException", Status: 400},
	fault.NotFound:         {Code: "InvalidEventCategoryException", Status: 400},
	fault.AccessDenied:     {Code: "AccessDeniedException", Status: 400},
	fault.Throttled:        {Code: "ThrottlingException", Status: 400},
}
