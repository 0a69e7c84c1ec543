package wire

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"outcrop/fault"
	"outcrop/iam"
)

// keys takes one API key, and says what iam says of others.
type keys struct{ gate }

func (keys) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	switch r.Header.Get("Authorization") {
	case "":
		return iam.Caller{}, fault.New(fault.MissingToken, "Missing Authentication Token")
	case "Bearer good":
		return iam.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:user/alice", Region: "us-east-1", Service: "bedrock", BearerTokenType: iam.LongTerm}, nil
	}
	return iam.Caller{}, fault.New(fault.InvalidAPIKey, "Authentication failed: Please make sure your API Key is valid.")
}

func (k keys) Precheck(r *http.Request) (iam.Claim, error) {
	_, err := k.Authenticate(r, iam.Claim{}, nil, "")
	return iam.Claim{}, err
}

// TestKeyHeader: a service's own header for keys is that service's alone.
func TestKeyHeader(t *testing.T) {
	door := foreignService(speak)
	door.Foreign.KeyHeader = "X-Api-Key"
	type listIn struct {
		Marks string `json:"-" header:"X-Marks"`
	}
	type listOut struct {
		Marks string `json:"marks"`
	}
	list := Handle(Row{Name: "List", Method: "POST", Path: "/list", Action: "bedrock:List"}, nil,
		func(_ context.Context, _ *Call, in *listIn) (*listOut, error) { return &listOut{in.Marks}, nil })
	other := restService("other", "", Handle(Row{Name: "Other", Method: "POST", Path: "/other", Action: "other:Other"}, nil,
		func(context.Context, *Call, *listIn) (*listOut, error) { return nil, nil }))
	other.SigningName = "other"
	s := newTestServer(t, nil, restService("bedrock", "", list), door, other)
	s.auth = keys{}
	for _, c := range []struct {
		path, auth, key string
		status          int
		want            string
	}{
		{"/foreign/speak", "", "good", 200, "hello"},
		{"/foreign/speak", "Bearer good", "", 200, "hello"},
		{"/foreign/speak", "Bearer good", "bad", 200, "hello"},
		{"/foreign/speak", "", "", 401, `{"error":{"code":"no_key","message":"Missing Authentication Token","id":"`},
		{"/foreign/speak", "", "bad", 400, `{"error":{"code":"invalid_api_key","message":"Authentication failed: Please make sure your API Key is valid.","id":"`},
		{"/foreign/speak", "Bearer bad", "good", 400, `{"error":{"code":"invalid_api_key",`},
		{"/list", "Bearer good", "", 200, `{"marks":""}`},
		{"/other", "Bearer good", "", 403, `{"message":"Missing Authentication Token"}`}, // a key is Bedrock's alone
		{"/list", "", "good", 403, `{"message":"Missing Authentication Token"}`},
		// As seen in https://github.com/ai4s-research/open-science/issues/53.
		{"/list", "Bearer bad", "", 403, `{"Message":"Authentication failed: Please make sure your API Key is valid."}`},
	} {
		var headers []string
		if c.key != "" {
			headers = append(headers, "X-Api-Key", c.key)
		}
		w := send(t, s, "POST", c.path, c.auth, "hello", headers...)
		if body := w.Body.String(); w.Code != c.status || len(body) < len(c.want) || body[:len(c.want)] != c.want {
			t.Errorf("%s %q %q: %d %s, want %d %s", c.path, c.auth, c.key, w.Code, body, c.status, c.want)
		}
		if kind := w.Header().Get("X-Amzn-Errortype"); w.Code == 403 && c.auth == "Bearer bad" && kind != "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.coral.service/" {
			t.Errorf("the type is %q", kind)
		}
	}
	// A list in several lines is one list.
	r := httptest.NewRequest(http.MethodPost, "/list", http.NoBody)
	r.Header = http.Header{"Authorization": {"Bearer good"}, "X-Marks": {"a, b", "c"}}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Body.String() != `{"marks":"a, b,c"}` {
		t.Error(w.Body)
	}
}
