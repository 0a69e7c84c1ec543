package bedrock

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestControlHost: the names are those of https://docs.aws.amazon.com/general/latest/gr/bedrock.html.
func TestControlHost(t *testing.T) {
	for host, want := range map[string]string{
		"bedrock-runtime.us-east-1.amazonaws.com":      "bedrock.us-east-1.amazonaws.com",
		"bedrock-runtime-fips.us-east-1.amazonaws.com": "bedrock-fips.us-east-1.amazonaws.com",
		"127.0.0.1:4141":           "127.0.0.1:4141",
		"gateway.example.com:8443": "gateway.example.com:8443",
	} {
		if got := controlHost(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestList(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); auth != "Bearer "+testKey || r.Header.Get("X-Team") != "research" {
			t.Errorf("sent %v", r.Header)
		}
		switch r.URL.RequestURI() {
		case "/aws/foundation-models?byProvider=Meta":
			w.Write([]byte(`{"modelSummaries":[{"modelId":"a.b"}],"more":1}`))
		case "/aws/inference-profiles":
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/")
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(`{"message":"User is not authorized"}`))
		case "/aws/large":
			w.Write([]byte(`{"modelSummaries":[]` + strings.Repeat(" ", 2000) + `}`))
		default:
			w.WriteHeader(http.StatusBadGateway)
			w.Write([]byte(`<html>`))
		}
	}))
	defer server.Close()
	c := Config{Name: "aws", Endpoint: server.URL + "/aws/", APIKey: testKey, MaxAnswerBytes: 1000}
	c.Client.Header = http.Header{"x-team": {"research"}}
	p, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var out struct {
		Summaries []struct {
			ID string `json:"modelId"`
		} `json:"modelSummaries"`
	}
	if err := p.List(t.Context(), "us-east-1", "/foundation-models", url.Values{"byProvider": {"Meta"}}, &out); err != nil || len(out.Summaries) != 1 || out.Summaries[0].ID != "a.b" {
		t.Errorf("%+v %v", out, err)
	}
	for path, want := range map[string]string{
		"/inference-profiles": "upstream aws: GET /inference-profiles in us-east-1: AccessDeniedException: User is not authorized",
		"/nothing":            "upstream aws: GET /nothing in us-east-1: 502 Bad Gateway",
		"/large":              "upstream aws: GET /large in us-east-1: the answer is too large",
	} {
		if err := p.List(t.Context(), "us-east-1", path, nil, &out); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
