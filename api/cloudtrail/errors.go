package cloudtrail

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exception is CloudTrail's names for faults: those of LookupEvents in its model, and the common ones. All are 400 but what
// is the server's fault, as in every service of this protocol. What is wrong with a request beyond the range of its times,
// its size and its token is wrong with its attributes.
func exception(k fault.Kind) (wire.Exception, bool) {
	switch k {
	case fault.Validation, fault.TooLarge:
		return wire.Exception{Code: "InvalidLookupAttributesException", Status: 400}, true
	case fault.DataUnavailable:
		return wire.Exception{Code: "InvalidTimeRangeException", Status: 400}, true
	case fault.LimitExceeded:
		return wire.Exception{Code: "InvalidMaxResultsException", Status: 400}, true
	case fault.InvalidNextToken:
		return wire.Exception{Code: "InvalidNextTokenException", Status: 400}, true
	case fault.NotFound:
		return wire.Exception{Code: "InvalidEventCategoryException", Status: 400}, true
	case fault.AccessDenied:
		return wire.Exception{Code: "AccessDeniedException", Status: 400}, true
	case fault.Throttled:
		return wire.Exception{Code: "ThrottlingException", Status: 400}, true
	}
	return wire.Exception{}, false
}
