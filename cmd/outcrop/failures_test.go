package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// What cannot be authenticated is told why so often as the configuration says, in whatever protocol, and then answered as too
// much, with one number in the record for all of it. Good credentials from the same address go on all the while.
func TestAuthFailures(t *testing.T) {
	const id, secret = "ROOTKEYFORFAILURES", "a-secret-for-the-failures"
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", id)
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", secret)
	dir := t.TempDir()
	c := defaults()
	c.Listen, c.AuthFailures.Limit, c.AuthFailures.Window = "127.0.0.1:0", 8, 24*time.Hour
	s, err := New(context.Background(), c, dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.services)
	form, json11 := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, target("AWSInsightsIndexService.GetTags")
	ask := func(by aws.Credentials, service, method, path string, header http.Header, body any) (int, string) {
		t.Helper()
		k := &client{url: h.URL, http: h.Client(), credentials: by}
		resp, err := k.send(t.Context(), method, path, service, "us-east-1", header, body)
		if err != nil {
			var code int
			said := strings.TrimPrefix(err.Error(), method+" "+path+": ")
			if _, bad := fmt.Sscan(said, &code); bad != nil {
				t.Fatal(err)
			}
			return code, said
		}
		defer resp.Body.Close()
		return resp.StatusCode, ""
	}
	good := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	calls := []struct {
		service, method, path string
		header                http.Header
		body                  any
		first, then           int
		says                  string // then
	}{
		{"bedrock", "GET", "/inference-profiles", nil, nil, 403, 429, `{"message":"Rate exceeded"}`},
		{"ce", "POST", "/", json11, map[string]any{"TimePeriod": map[string]string{"Start": "2026-01-01", "End": "2026-02-01"}}, 400, 400, `{"__type":"ThrottlingException","Message":"Rate exceeded"}`},
		{"sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", form, nil, 403, 400, "<Code>Throttling</Code><Message>Rate exceeded</Message>"},
		{"bedrock", "GET", "/openai/v1/models", nil, nil, 401, 429, `"code":"rate_limit_exceeded"`},
	}
	for round := range 10 {
		for _, call := range calls {
			by := []aws.Credentials{{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, {AccessKeyID: id, SecretAccessKey: "wrong"}}[round%2]
			want, says := call.first, ""
			if round >= 2 {
				want, says = call.then, call.says
			}
			if code, said := ask(by, call.service, call.method, call.path, call.header, call.body); code != want || !strings.Contains(said, says) {
				t.Errorf("round %d, %s %s as %s: %d %s, want %d %s", round, call.service, call.path, by.AccessKeyID, code, said, want, says)
			}
		}
		if code, said := ask(good, "bedrock", "GET", "/inference-profiles", nil, nil); code != 200 {
			t.Errorf("a good key after round %d: %d %s", round, code, said)
		}
	}
	h.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var strangers int
	var omitted []int64
	for _, e := range recordedEvents(t, dir) {
		if e.UserIdentity.Type == "Unknown" {
			strangers++
			omitted = append(omitted, e.Additional.NotRecorded)
		}
	}
	if strangers != 9 || !slices.Equal(omitted, []int64{8: 32}) {
		t.Errorf("%d events of strangers; not recorded %v, want 8, and one that tells 32", strangers, omitted)
	}
}
