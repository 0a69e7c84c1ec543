package costexplorer

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exception is the service's names for faults: those of its model (2017-10-25) and ValidationException, which it answers
// without having it there. All are 400, as in every service of this protocol. BillExpirationException has no kind: no
// figure here ever expires.
func exception(k fault.Kind) (wire.Exception, bool) {
	switch k {
	case fault.Validation, fault.TooLarge:
		return wire.Exception{Code: "ValidationException", Status: 400}, true
	case fault.AccessDenied:
		return wire.Exception{Code: "AccessDeniedException", Status: 400}, true
	case fault.NotFound:
		return wire.Exception{Code: "ResourceNotFoundException", Status: 400}, true
	case fault.Throttled, fault.QuotaExceeded, fault.LimitExceeded:
		return wire.Exception{Code: "LimitExceededException", Status: 400}, true
	case fault.Conflict:
		return wire.Exception{Code: "RequestChangedException", Status: 400}, true
	case fault.InvalidNextToken:
		return wire.Exception{Code: "InvalidNextTokenException", Status: 400}, true
	case fault.DataUnavailable:
		return wire.Exception{Code: "DataUnavailableException", Status: 400}, true
	}
	return wire.Exception{}, false
}
