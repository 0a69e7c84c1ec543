package sts

import (
	"context"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/iam"
	"outcrop/wire"
)

// caller authenticates everybody as itself, and its Check refuses everything: GetCallerIdentity must not ask it.
type caller iam.Caller

func (caller) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (c caller) Authenticate(*http.Request, iam.Claim, []byte, string) (iam.Caller, error) {
	return iam.Caller(c), nil
}

func (caller) Check(context.Context, string, *iam.Caller, []iam.Access) error {
	return fault.New(fault.AccessDenied, "no")
}

func TestGetCallerIdentity(t *testing.T) {
	for _, c := range []struct {
		caller iam.Caller
		want   [3]string // Arn, UserId, Account
	}{
		{iam.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", ID: "000000000000", Root: true}, [3]string{"arn:aws:iam::000000000000:root", "000000000000", "000000000000"}},
		{iam.Caller{Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice", ID: "AIDAEXAMPLE"}, [3]string{"arn:aws:iam::111122223333:user/alice", "AIDAEXAMPLE", "111122223333"}},
	} {
		s, err := wire.NewServer(wire.Config{Services: []*wire.Service{New(nil, nil, nil)}, Authenticator: caller(c.caller), Guard: caller{}, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		// As boto3 1.43 sends it.
		r := httptest.NewRequest("POST", "/", strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=00")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		// The form of the example at https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
		var got struct {
			XMLName xml.Name                              `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
			Result  struct{ Arn, UserId, Account string } `xml:"GetCallerIdentityResult"`
			ID      string                                `xml:"ResponseMetadata>RequestId"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%d %v: %s", w.Code, err, w.Body)
		}
		if c.want != [3]string{got.Result.Arn, got.Result.UserId, got.Result.Account} || got.ID == "" || got.ID != w.Header().Get("x-amzn-requestid") {
			t.Errorf("got %+v, want %v", got, c.want)
		}
	}
}

// Every kind that a domain names has a word here, or is the service's internal error; none is a word of another service's.
func TestExceptions(t *testing.T) {
	for _, k := range fault.Kinds() {
		if e, ok := exceptions.Of(k); ok && (e.Status < 400 || e.Status > 599 || e.Code == "" || strings.HasSuffix(e.Code, "Exception") && k != fault.ExpiredIdentityToken) {
			t.Errorf("%v is %+v", k, e)
		}
	}
	for _, k := range []fault.Kind{fault.Internal, fault.Validation, fault.AccessDenied, fault.Throttled, fault.Unavailable} {
		if _, ok := exceptions.Of(k); !ok {
			t.Errorf("no word for %v", k)
		}
	}
}
