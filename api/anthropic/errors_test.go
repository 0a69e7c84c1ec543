package anthropic

import (
	"strings"
	"testing"

	"outcrop/fault"

	"outcrop/wire"
)

// TestExceptions: every kind that a caller of this API can meet has one of the API's types, with its status.
func TestExceptions(t *testing.T) {
	// Source: https://docs.claude.com/en/api/errors. The statuses of timeout_error and of a conflict are those that the
	// SDK has classes for: https://github.com/anthropics/anthropic-sdk-typescript (src/core/error.ts).
	statuses := map[string][]int{
		"invalid_request_error": {400, 409}, "authentication_error": {401}, "permission_error": {403}, "not_found_error": {404},
		"request_too_large": {413}, "rate_limit_error": {429}, "api_error": {500}, "timeout_error": {504}, "overloaded_error": {529},
	}
	elsewhere := map[fault.Kind]bool{ // of the control plane, of Cost Explorer and of IAM
		fault.TooManyTags: true, fault.InvalidNextToken: true, fault.LimitExceeded: true, fault.DataUnavailable: true,
		fault.InUse: true, fault.Stale: true, fault.MalformedPolicy: true, fault.InvalidInput: true,
		fault.PackedPolicy: true, fault.InvalidIdentityToken: true, fault.ExpiredIdentityToken: true, fault.RejectedClaim: true, fault.ProviderUnreachable: true,
	}
	used := map[string]bool{}
	for _, k := range fault.Kinds() {
		e, ok := exceptions.Of(k)
		if ok == elsewhere[k] {
			t.Errorf("%v: has a word: %t", k, ok)
		}
		if !ok {
			continue
		}
		used[e.Code] = true
		good := false
		for _, s := range statuses[e.Code] {
			good = good || s == e.Status
		}
		if !good {
			t.Errorf("%v is %s with status %d", k, e.Code, e.Status)
		}
	}
	if len(used) != len(statuses) {
		t.Errorf("used are %v", used)
	}
}

func TestModelName(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":      "claude-3-haiku-20240307",
		"anthropic.claude-opus-4-6-v1":                "claude-opus-4-6",
		"anthropic.claude-3-haiku-20240307-v1:0:200k": "claude-3-haiku-20240307",
		"meta.llama3-1-8b-instruct-v1:0":              "meta.llama3-1-8b-instruct-v1:0",
	} {
		if got := modelName(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// TestRefusedByName: what an upstream of another vendor cannot be asked for is named as the caller wrote it.
func TestRefusedByName(t *testing.T) {
	said := appendError(nil, &wire.Failure{Message: `additionalModelRequestFields.tools: upstream "a" takes none.`})
	if !strings.Contains(string(said), `"message":"tools: upstream \"a\" takes none."`) {
		t.Errorf("%s", said)
	}
}
