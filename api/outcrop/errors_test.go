package outcrop

import (
	"testing"

	"outcrop/fault"
)

// Every kind that a domain names here has a word that Amazon Bedrock's control plane has too, or is the internal error.
func TestExceptions(t *testing.T) {
	for _, k := range fault.Kinds() {
		if e, ok := exceptions.Of(k); ok && (e.Status < 400 || e.Status > 599 || e.Code == "") {
			t.Errorf("%v is %+v", k, e)
		}
	}
	for _, k := range []fault.Kind{fault.Internal, fault.Validation, fault.NotFound, fault.AccessDenied, fault.Throttled, fault.Unavailable, fault.TooLarge} {
		if _, ok := exceptions.Of(k); !ok {
			t.Errorf("no word for %v", k)
		}
	}
}
