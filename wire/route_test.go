package wire

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

type named struct {
	Operation string `json:"operation"`
	ID        string `json:"id,omitempty"`
	Version   string `json:"version,omitempty"`
}

type noInput struct{}

type idInput struct {
	ID string `json:"-" uri:"id"`
}

type twoInput struct {
	ID      string `json:"-" uri:"id"`
	Version string `json:"-" uri:"version"`
}

func answerName(_ context.Context, c *Call, _ *noInput) (*named, error) {
	return &named{Operation: c.Row.Name}, nil
}

func answerID(_ context.Context, c *Call, in *idInput) (*named, error) {
	return &named{Operation: c.Row.Name, ID: in.ID}, nil
}

func answerTwo(_ context.Context, c *Call, in *twoInput) (*named, error) {
	return &named{Operation: c.Row.Name, ID: in.ID, Version: in.Version}, nil
}

// realTable has the routes of the services as their models have them (botocore: bedrock 2023-04-20, bedrock-runtime
// 2023-09-30, ce 2017-10-25, sts 2011-06-15), and one of agents' kind with two labels.
func realTable(t testing.TB) *Server {
	row := func(name, method, path string) Row {
		return Row{Name: name, Method: method, Path: path, Action: "bedrock:" + name}
	}
	return newTestServer(t, nil,
		restService("bedrock", "bedrock",
			Handle(row("CreateInferenceProfile", "POST", "/inference-profiles"), nil, answerName),
			Handle(row("GetInferenceProfile", "GET", "/inference-profiles/{id}"), nil, answerID),
			Handle(row("ListInferenceProfiles", "GET", "/inference-profiles"), nil, answerName),
			Handle(row("DeleteInferenceProfile", "DELETE", "/inference-profiles/{id}"), nil, answerID),
			Handle(row("TagResource", "POST", "/tagResource"), nil, answerName),
			Handle(row("ListFoundationModels", "GET", "/foundation-models"), nil, answerName),
			Handle(row("GetFoundationModel", "GET", "/foundation-models/{id}"), nil, answerID),
			Handle(row("GetVersion", "GET", "/things/{id}/versions/{version}"), nil, answerTwo),
			Handle(row("GetLatest", "GET", "/things/{id}/versions/latest"), nil, answerID)),
		restService("bedrockruntime", "bedrock-runtime",
			Handle(row("Converse", "POST", "/model/{id}/converse"), nil, answerID),
			Handle(row("InvokeModel", "POST", "/model/{id}/invoke"), nil, answerID),
			Stream(row("InvokeModelWithResponseStream", "POST", "/model/{id}/invoke-with-response-stream"), nil, func(context.Context, *Call, *idInput) (iter.Seq2[*testEvent, error], error) {
				return func(func(*testEvent, error) bool) {}, nil
			})),
		&Service{Name: "costexplorer", SigningName: "ce", Protocol: AWSJSON11, TargetPrefix: "AWSInsightsIndexService", Exception: exceptionForTest,
			Ops: []Op{Handle(Row{Name: "GetCostAndUsage", Action: "ce:GetCostAndUsage"}, nil, answerName)}},
		&Service{Name: "sts", SigningName: "sts", Protocol: AWSQuery, Version: "2011-06-15", Namespace: "n", Exception: exceptionForTest,
			Ops: []Op{Handle(Row{Name: "GetCallerIdentity", Action: "sts:GetCallerIdentity"}, nil, func(context.Context, *Call, *noInput) (*noInput, error) { return nil, nil })}})
}

func TestRoutes(t *testing.T) {
	s := realTable(t)
	const (
		app = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefghijkl"
		sys = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"
		fm  = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
	)
	once := url.QueryEscape // encodes colons and slashes, as the AWS SDKs do in a label
	twice := func(s string) string { return once(once(s)) }
	colons := func(s string) string { return strings.ReplaceAll(s, "/", "%2F") } // the Anthropic SDK and Claude Code
	slashes := func(s string) string { return strings.ReplaceAll(s, ":", "%3A") }
	lower := func(s string) string { return strings.ToLower(once(s)) }
	raw := func(s string) string { return s }
	forms := map[string]func(string) string{"raw": raw, "encoded": once, "encoded twice": twice, "raw colons": colons, "raw slash": slashes, "lower case": lower}
	for name, form := range forms {
		for _, id := range []string{app, sys, fm, "us.anthropic.claude-3-haiku-20240307-v1:0", "abcdefghijkl"} {
			if name == "lower case" {
				id = strings.ToLower(id)
			}
			for _, c := range []struct{ method, prefix, suffix, op string }{
				{"GET", "/inference-profiles/", "", "GetInferenceProfile"},
				{"DELETE", "/inference-profiles/", "", "DeleteInferenceProfile"},
				{"GET", "/foundation-models/", "", "GetFoundationModel"},
				{"POST", "/model/", "/converse", "Converse"},
				{"POST", "/model/", "/invoke", "InvokeModel"},
			} {
				target := c.prefix + form(id) + c.suffix
				w := send(t, s, c.method, target, signed("bedrock"), "")
				if want := `{"operation":"` + c.op + `","id":"` + id + `"}`; w.Code != 200 || w.Body.String() != want {
					t.Errorf("%s: %s %s\n got %d %s\nwant %s", name, c.method, target, w.Code, w.Body, want)
				}
			}
			if w := send(t, s, "POST", "/model/"+form(id)+"/invoke-with-response-stream", signed("bedrock"), ""); w.Header().Get("Content-Type") != "application/vnd.amazon.eventstream" {
				t.Errorf("%s %s: the stream is %v %s", name, id, w.Header(), w.Body)
			}
		}
	}
	for _, c := range []struct{ method, target, want string }{
		{"GET", "/inference-profiles?type=APPLICATION", `{"operation":"ListInferenceProfiles"}`},
		{"POST", "/inference-profiles", `{"operation":"CreateInferenceProfile"}`},
		{"GET", "/inference-profiles/my%20profile_1", `{"operation":"GetInferenceProfile","id":"my profile_1"}`},
		{"GET", "/inference-profiles/100%25", `{"operation":"GetInferenceProfile","id":"100%"}`},
		{"GET", "/inference-profiles/a%2520b", `{"operation":"GetInferenceProfile","id":"a%20b"}`}, // only colons and slashes are taken for a second encoding
		{"GET", "/things/a/versions/3", `{"operation":"GetVersion","id":"a","version":"3"}`},
		{"GET", "/things/a/versions/latest", `{"operation":"GetLatest","id":"a"}`},
		{"GET", "/things/a%2Fversions%2Fb/versions/3", `{"operation":"GetVersion","id":"a/versions/b","version":"3"}`},
		{"GET", "/things/a%2F{b}/versions/3", `{"operation":"GetVersion","id":"a/{b}","version":"3"}`}, // braces that a client left as they are
		{"POST", "/model/" + app + "/invoke/converse", `{"operation":"Converse","id":"` + app + `/invoke"}`},
	} {
		if w := send(t, s, c.method, c.target, signed("bedrock"), ""); w.Code != 200 || w.Body.String() != c.want {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.target, w.Code, w.Body, c.want)
		}
	}
	for _, c := range []struct{ method, target string }{
		{"GET", "/"}, {"GET", "/inference-profiles/"}, {"GET", "/Inference-Profiles"}, {"GET", "//inference-profiles"}, {"GET", "/inference-profiles/a/b"},
		{"PUT", "/inference-profiles/a"}, {"HEAD", "/inference-profiles"}, {"OPTIONS", "/inference-profiles"}, {"OPTIONS", "*"},
		{"POST", "/model//converse"}, {"POST", "/model/converse"}, {"POST", "/model/a/b/converse"}, {"POST", "/model/a/converse/"}, {"POST", "/model/a/Converse"},
		{"POST", "/model/../inference-profiles"}, {"GET", "/things/a/b/versions/3"}, {"GET", "/things/a"}, {"GET", "/things//versions/1"},
		{"POST", "/model/a%2Fconverse"},
	} {
		w := send(t, s, c.method, c.target, signed("bedrock"), "")
		want := `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0","message":"No operation matches ` + c.method + " " + c.target + `."}`
		if code, _ := errorOf(t, w); w.Code != 404 || code != "UnknownOperationException" || w.Body.String() != want {
			t.Errorf("%s %s: %d %s\nwant %s", c.method, c.target, w.Code, w.Body, want)
		}
	}
}

// One endpoint serves all: by the scope's service, X-Amz-Target, the path, the host.
func TestDispatch(t *testing.T) {
	s := realTable(t)
	const formType = "application/x-www-form-urlencoded"
	const ceTarget = "AWSInsightsIndexService.GetCostAndUsage"
	for _, c := range []struct {
		name, method, target, auth, body string
		headers                          []string
		status                           int
		want                             string
	}{
		{name: "json by scope and target", method: "POST", target: "/", auth: signed("ce"), body: "{}", headers: []string{"X-Amz-Target", ceTarget}, status: 200, want: `{"operation":"GetCostAndUsage"}`},
		{name: "json without a scope", method: "POST", target: "/", auth: "Bearer x", body: "{}", headers: []string{"X-Amz-Target", ceTarget}, status: 200, want: `{"operation":"GetCostAndUsage"}`},
		{name: "a target for another scope", method: "POST", target: "/", auth: signed("bedrock"), body: "{}", headers: []string{"X-Amz-Target", ceTarget}, status: 404, want: "UnknownOperationException"},
		{name: "query by scope", method: "POST", target: "/", auth: signed("sts"), body: "Action=GetCallerIdentity&Version=2011-06-15", headers: []string{"Content-Type", formType}, status: 200, want: "<GetCallerIdentityResponse"},
		{name: "the runtime's path", method: "POST", target: "/model/a/converse", auth: "Bearer x", body: "{}", status: 200, want: `"Converse"`},
		{name: "the runtime's host, the control plane's path", method: "GET", target: "/inference-profiles", auth: signed("bedrock"), headers: []string{"Host", "bedrock-runtime.us-east-1.example.com"}, status: 200, want: `"ListInferenceProfiles"`},
		{name: "a service that is not here", method: "GET", target: "/bucket", auth: signed("s3"), status: 404, want: "The service \\\"s3\\\" is not served here."},
		{name: "a query for nobody", method: "POST", target: "/", auth: signed("sns"), body: "Action=Publish", headers: []string{"Content-Type", formType}, status: 400, want: "<Code>InvalidAction</Code>"},
		{name: "no credentials", method: "GET", target: "/inference-profiles", status: 403, want: "Missing Authentication Token"},
		{name: "no credentials, no such path", method: "GET", target: "/nothing", status: 404, want: "UnknownOperationException"},
	} {
		w := send(t, s, c.method, c.target, c.auth, c.body, c.headers...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
}

// A client that speaks rpc-v2-cbor, as boto3's of CloudWatch does, reads that its service is not here.
func TestUnknownCBOR(t *testing.T) {
	w := send(t, realTable(t), "POST", "/service/X/operation/ListMetrics", signed("monitoring"), "\xbf\xff", "Smithy-Protocol", "rpc-v2-cbor")
	const code, message = "com.amazon.coral.service#UnknownOperationException", "The service \"monitoring\" is not served here."
	want := "\xa2\x79\x00\x06__type\x79\x00" + string(rune(len(code))) + code + "\x79\x00\x07message\x79\x00" + string(rune(len(message))) + message
	if w.Code != 404 || w.Body.String() != want || w.Header().Get("Smithy-Protocol") != "rpc-v2-cbor" || w.Header().Get("Content-Type") != "application/cbor" || w.Header().Get("X-Amzn-Requestid") == "" {
		t.Errorf("%d %v %q, want %q", w.Code, w.Header(), w.Body, want)
	}
}

// The host decides only where nothing else does.
func TestHostPreferred(t *testing.T) {
	one := Row{Name: "One", Method: "GET", Path: "/models/{id}", Action: "x:One"}
	two := Row{Name: "Two", Method: "GET", Path: "/models/all", Action: "x:Two"}
	a := restService("one", "one", Handle(one, nil, answerID))
	b := restService("two", "two", Handle(two, nil, answerName))
	s := newTestServer(t, nil, a, b)
	for host, want := range map[string]string{"one.us-east-1.example.com": "One", "two.us-east-1.example.com:4141": "Two", "127.0.0.1:4141": "One", "two": "One"} {
		if w := send(t, s, "GET", "/models/all", "Bearer x", "", "Host", host); !strings.Contains(w.Body.String(), `"operation":"`+want+`"`) {
			t.Errorf("host %s: %s, want %s", host, w.Body, want)
		}
	}
}

func TestScopeService(t *testing.T) {
	for in, want := range map[string]string{
		signed("bedrock"): "bedrock",
		"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ce/aws4_request,SignedHeaders=host,Signature=x":    "ce",
		"AWS4-HMAC-SHA256 SignedHeaders=host, Signature=x, Credential=AKID/20260101/us-east-1/sts/aws4_request": "sts",
		"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ce":                                                "",
		"Bearer abc": "", "": "", "Credential=": "", "Credential=/aws4_request": "",
	} {
		if got := scopeService(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzRoute sends any path: it is found or it is not, and what is found holds its label in full.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/inference-profiles", "/inference-profiles/a", "/model/arn%253Aaws%253Abedrock/converse", "/model/arn:aws:x/y/z/invoke", "/model/%2f/converse", "/things/%/versions/%zz", "//", "/model/%25%33%41/invoke", "*"} {
		f.Add("POST", s)
		f.Add("GET", s)
	}
	s := realTable(f)
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return // net/http refuses it
		}
		x := &exchange{request: &http.Request{Method: method, URL: u, Header: http.Header{}}, server: s}
		if err := s.table.find(x); err != nil {
			if x.op != nil || x.service == nil {
				t.Fatalf("%s %s: %v, and yet %v %v", method, path, err, x.op, x.service)
			}
			return
		}
		for _, l := range x.labels {
			if l.value == "" {
				t.Errorf("%s %s: an empty label", method, path)
			}
		}
		if len(x.labels) != len(x.op.in.labels) {
			t.Errorf("%s %s: %d labels for %s", method, path, len(x.labels), x.op.Name)
		}
	})
}
