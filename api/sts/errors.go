package sts

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the service calls each kind of fault; the query protocol's codes have no "Exception", but for one.
// Sources: botocore's sts model of 2011-06-15; https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html for those
// that are no operation's own.
var exceptions = wire.Exceptions{
	fault.Internal:             {Code: "InternalFailure", Status: 500},
	fault.Validation:           {Code: "ValidationError", Status: 400},
	fault.InvalidInput:         {Code: "ValidationError", Status: 400},
	fault.QuotaExceeded:        {Code: "ValidationError", Status: 400}, // of tags, which are counted elsewhere too
	fault.AccessDenied:         {Code: "AccessDenied", Status: 403},
	fault.MalformedPolicy:      {Code: "MalformedPolicyDocument", Status: 400},
	fault.PackedPolicy:         {Code: "PackedPolicyTooLarge", Status: 400},
	fault.InvalidIdentityToken: {Code: "InvalidIdentityToken", Status: 400},
	fault.ExpiredIdentityToken: {Code: "ExpiredTokenException", Status: 400},
	fault.RejectedClaim:        {Code: "IDPRejectedClaim", Status: 403},
	fault.ProviderUnreachable:  {Code: "IDPCommunicationError", Status: 400},
	fault.Throttled:            {Code: "Throttling", Status: 400},
	fault.Unavailable:          {Code: "ServiceUnavailable", Status: 503},
}
