package openai

import (
	"slices"
	"testing"

	"outcrop/fault"
)

// TestProblems: every kind that a caller of this API can meet has its status, and one of the API's types.
func TestProblems(t *testing.T) {
	// Sources: https://platform.openai.com/docs/guides/error-codes; the statuses that are not there (409, 413, 504) are
	// those that the client has classes for or treats as a server's error.
	statuses := map[string][]int{invalidRequest: {400, 401, 403, 404, 409, 413}, "requests": {429}, serverError: {500, 503, 504}}
	elsewhere := map[fault.Kind]bool{ // of the control plane, of Cost Explorer and of IAM
		fault.TooManyTags: true, fault.InvalidNextToken: true, fault.LimitExceeded: true, fault.DataUnavailable: true,
		fault.InUse: true, fault.Stale: true, fault.MalformedPolicy: true, fault.InvalidInput: true,
		fault.PackedPolicy: true, fault.InvalidIdentityToken: true, fault.ExpiredIdentityToken: true, fault.RejectedClaim: true, fault.ProviderUnreachable: true,
	}
	for _, k := range fault.Kinds() {
		e, ok := exception(k)
		if ok == elsewhere[k] {
			t.Errorf("%v: has a word: %t", k, ok)
		}
		if !ok {
			continue
		}
		p := problems[k]
		if !slices.Contains(statuses[p.kind], p.status) || e.Status != p.status || e.Code != p.code {
			t.Errorf("%v is %+v", k, p)
		}
		// The client tries again after these: no request may be wrong then, or it is to learn later what was wrong.
		if again := p.status == 409 || p.status == 429 || p.status >= 500; again != (k.Retryable() || k == fault.Conflict || k == fault.TooManyFailures) {
			t.Errorf("%v is %d, retryable %t", k, p.status, k.Retryable())
		}
	}
}
