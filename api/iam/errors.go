package iam

import (
	"outcrop/fault"
	"outcrop/wire"
)

// exceptions are what the service calls each kind of fault.
// Sources: botocore's iam model of 2010-05-08; https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html for those
// that are no operation's own.
var exceptions = wire.Exceptions{
	fault.Internal:        {Code: "ServiceFailure", Status: 500},
	fault.Validation:      {Code: "ValidationError", Status: 400},
	fault.NotFound:        {Code: "NoSuchEntity", Status: 404},
	fault.AccessDenied:    {Code: "AccessDenied", Status: 403},
	fault.Conflict:        {Code: "EntityAlreadyExists", Status: 409},
	fault.QuotaExceeded:   {Code: "LimitExceeded", Status: 409},
	fault.InUse:           {Code: "DeleteConflict", Status: 409},
	fault.Stale:           {Code: "ConcurrentModification", Status: 409},
	fault.MalformedPolicy: {Code: "MalformedPolicyDocument", Status: 400},
	fault.InvalidInput:    {Code: "InvalidInput", Status: 400},
	fault.Throttled:       {Code: "Throttling", Status: 400},
	fault.Unavailable:     {Code: "ServiceUnavailable", Status: 503},
}
