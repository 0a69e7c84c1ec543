package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
	"outcrop/iam"
)

// gate stands where iam does: it takes the access key for the caller's name, and "denied" for one that may nothing.
type gate struct{}

func (gate) Precheck(r *http.Request) (iam.Claim, error) {
	auth := r.Header.Get("Authorization")
	if auth == "" {
		return iam.Claim{}, fault.New(fault.MissingToken, "Missing Authentication Token")
	}
	if strings.Contains(auth, "Credential=TOOMANY/") {
		return iam.Claim{}, &fault.Error{Kind: fault.TooManyFailures, Message: "Rate exceeded", RetryAfter: 2500 * time.Millisecond}
	}
	if strings.Contains(auth, "Credential=UNKNOWN/") {
		return iam.Claim{}, fault.New(fault.UnrecognizedClient, "The security token included in the request is invalid.")
	}
	return iam.Claim{}, nil
}

func (g gate) Authenticate(r *http.Request, _ iam.Claim, body []byte, requestID string) (iam.Caller, error) {
	if _, err := g.Precheck(r); err != nil {
		return iam.Caller{}, err
	}
	auth := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(auth, "Credential=")
	parts := strings.Split(rest, "/")
	if len(parts) < 5 {
		return iam.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:user/bearer", Region: "us-east-1"}, nil
	}
	return iam.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:user/" + parts[0], ID: "AIDA" + parts[0], Region: parts[2], Service: parts[3]}, nil
}

func (gate) Check(_ context.Context, _ string, c *iam.Caller, access []iam.Access) error {
	for _, a := range access {
		if strings.HasSuffix(c.ARN, "/denied") {
			return fault.New(fault.AccessDenied, "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", c.ARN, a.Action, a.Resource, a.Action)
		}
	}
	return nil
}

func signed(service string) string { return signedAs("alice", service) }

func signedAs(key, service string) string {
	return "AWS4-HMAC-SHA256 Credential=" + key + "/20260102/us-east-1/" + service + "/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
}

var exceptionsForTest = map[fault.Kind]Exception{
	fault.Internal:     {"InternalServerException", 500},
	fault.Validation:   {"ValidationException", 400},
	fault.NotFound:     {"ResourceNotFoundException", 404},
	fault.AccessDenied: {"AccessDeniedException", 403},
	fault.Throttled:    {"ThrottlingException", 429},
	fault.TooManyTags:  {"TooManyTagsException", 400},
	fault.ModelError:   {"ModelErrorException", 424},
	fault.ModelStream:  {"ModelStreamErrorException", 424},
}

func exceptionForTest(k fault.Kind) (Exception, bool) {
	e, ok := exceptionsForTest[k]
	return e, ok
}

const bedrockURI = "http://internal.amazon.com/coral/com.amazon.bedrock/"

func restService(name, endpoint string, ops ...Op) *Service {
	return &Service{Name: name, SigningName: "bedrock", Endpoint: endpoint, Protocol: RestJSON, ErrorURI: bedrockURI, Exception: exceptionForTest, Ops: ops}
}

func newTestServer(t testing.TB, log *slog.Logger, services ...*Service) *Server {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := NewServer(Config{Services: services, Authenticator: gate{}, Guard: gate{}, Clock: time.Now, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send sends one request to s; the target is what stands in the request line, byte for byte.
func send(t testing.TB, s http.Handler, method, target, auth, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1:4141\r\n\r\n")))
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// errorOf checks what every error must have and returns the exception's name and message.
func errorOf(t testing.TB, w *httptest.ResponseRecorder) (code, message string) {
	t.Helper()
	var body struct {
		Message string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	code, _, _ = strings.Cut(w.Header().Get("X-Amzn-Errortype"), ":")
	checkRequestID(t, w)
	return code, body.Message
}

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func checkRequestID(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	if id := w.Header().Get("x-amzn-requestid"); !uuid7.MatchString(id) {
		t.Errorf("x-amzn-requestid %q is not a UUID of version 4", id)
	}
}

type echoInput struct {
	ID     string `json:"-" uri:"id" required:"true" max:"2048"`
	Size   *int32 `json:"-" query:"maxResults" min:"1" max:"1000"`
	Flag   *bool  `json:"-" query:"flag"`
	Token  string `json:"-" header:"X-Token"`
	Name   string `json:"name,omitempty" max:"64"`
	Number *int   `json:"number,omitempty"`
}

type echoOutput struct {
	ID     string    `json:"id"`
	Size   *int32    `json:"size,omitempty"`
	Name   string    `json:"name,omitempty"`
	Token  string    `json:"-" header:"X-Token"`
	Length int       `json:"-" header:"X-Length"`
	At     time.Time `json:"at,omitzero"`
	Code   int       `json:"-" status:""`
}

func echo(_ context.Context, _ *Call, in *echoInput) (*echoOutput, error) {
	out := &echoOutput{ID: in.ID, Size: in.Size, Name: in.Name, Token: in.Token, Length: len(in.Name)}
	if in.Name == "later" {
		out.Code = http.StatusAccepted
	}
	return out, nil
}

func TestRestJSONBinding(t *testing.T) {
	s := newTestServer(t, nil, restService("bedrock", "",
		Handle(Row{Name: "Echo", Method: "POST", Path: "/echo/{id}", Status: 201, Action: "x:Echo"}, nil, echo)))
	w := send(t, s, "POST", "/echo/a%20b?maxResults=7&maxResults=8&unknown=1", signed("bedrock"), `{"name":"n","unknown":[1,{"a":null}],"number":null}`, "X-Token", "tok")
	if w.Code != 201 || w.Body.String() != `{"id":"a b","size":7,"name":"n"}` {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Token": "tok", "X-Length": "1", "Content-Length": "32"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	checkRequestID(t, w)

	w = send(t, s, "POST", "/echo/a", signed("bedrock"), `{"name":"later"}`)
	if _, ok := w.Header()["X-Token"]; w.Code != 202 || ok {
		t.Errorf("got %d, an empty header is sent: %v", w.Code, ok)
	}
	w = send(t, s, "POST", "/echo/a", signed("bedrock"), "") // no body: no members
	if w.Code != 201 || w.Body.String() != `{"id":"a"}` {
		t.Errorf("without a body: %d %s", w.Code, w.Body)
	}
}

type Scalars struct {
	Int    *int32            `json:"int,omitempty"`
	Long   *int64            `json:"long,omitempty"`
	Float  *float64          `json:"float,omitempty"`
	Bool   *bool             `json:"bool,omitempty"`
	String *string           `json:"string,omitempty"`
	Blob   []byte            `json:"blob,omitempty"`
	List   []string          `json:"list,omitempty"`
	Map    map[string]string `json:"map,omitempty"`
}

type malformedInput struct {
	Scalars
	Query  *int32 `json:"-" query:"query"`
	Header *int32 `json:"-" header:"header"`
	Flag   *bool  `json:"-" query:"flag"`
	Switch *bool  `json:"-" header:"switch"`
}

type empty struct{}

// The cases are those of Smithy's restJson1 malformedRequests tests (request-body, integer, long, float, boolean,
// string, blob, list, map): each answers 400 SerializationException.
func TestMalformedRequests(t *testing.T) {
	reached := false
	s := newTestServer(t, nil, restService("bedrock", "",
		Handle(Row{Name: "Malformed", Method: "POST", Path: "/Malformed", Action: "x:Y"}, nil, func(context.Context, *Call, *malformedInput) (*empty, error) {
			reached = true
			return nil, nil
		})))
	var bodies []string
	bodies = append(bodies, `{[`, `{ "int": 10 }abc`, `abc{ "int": 10 }`, "{\n\"int\": 10 // the integer should be 10\n}", `{"int": 10 /* ten */}`, "{\"int\" :\f10}",
		`{'int': 10}`, `{"int": 10,}`, `[{ "int": 10}]`, `10`, `null`, ` `)
	for _, v := range []string{"-9223372000000000000", "9223372000000000000", "123000000000000000000000", `"123"`, "true", "1.001", "2ABC", "0x42", "Infinity", `"Infinity"`, "-Infinity", "NaN", `"NaN"`} {
		bodies = append(bodies, `{"int":`+v+`}`)
	}
	for _, v := range []string{"-184467440737095500000", "184467440737095500000", `"123"`, "true", "1.001"} {
		bodies = append(bodies, `{"long":`+v+`}`)
	}
	for _, v := range []string{`"123"`, "true", "2ABC", "0x42"} {
		bodies = append(bodies, `{"float":`+v+`}`)
	}
	for _, v := range []string{"True", "TRUE", "y", "Y", "yes", "Yes", "YES", "1", "on", "On", "ON", "False", "FALSE", "n", "N", "no", "No", "NO", "0", "off", "Off", "OFF"} {
		bodies = append(bodies, `{"bool":`+v+`}`, `{"bool":"`+v+`"}`)
	}
	for _, v := range []string{"true", "1", `["a"]`, "{}"} {
		bodies = append(bodies, `{"string":`+v+`}`)
	}
	for _, v := range []string{`blob`, `"xyz"`, `"YmxvYg="`, `["b", "l","o","b"]`, `981081198`, `true`, `[][]`, `-_==`} {
		bodies = append(bodies, `{"blob":`+v+`}`)
	}
	bodies = append(bodies, `{"list":["a", "b", "c" }`, `{"map":{null:"abc"}}`, `{"list":"a"}`, `{"int":1,"int":2}`, "{\"string\":\"\xff\"}")
	for _, b := range bodies {
		w := send(t, s, "POST", "/Malformed", signed("bedrock"), b)
		if code, msg := errorOf(t, w); w.Code != 400 || code != "SerializationException" || msg == "" {
			t.Errorf("body %q: %d %s %q", b, w.Code, code, msg)
		}
	}
	for _, v := range []string{"-9223372000000000000", "9223372000000000000", "123000000000000000000000", "true", "1.001", "2ABC", "0x42", "Infinity", "NaN"} {
		for _, w := range []*httptest.ResponseRecorder{
			send(t, s, "POST", "/Malformed?query="+v, signed("bedrock"), ""),
			send(t, s, "POST", "/Malformed", signed("bedrock"), "", "header", v),
		} {
			if code, _ := errorOf(t, w); w.Code != 400 || code != "SerializationException" {
				t.Errorf("integer %q: %d %s", v, w.Code, code)
			}
		}
	}
	for _, v := range []string{"True", "y", "yes", "1", "on", "False", "n", "0", "off"} {
		for _, w := range []*httptest.ResponseRecorder{
			send(t, s, "POST", "/Malformed?flag="+v, signed("bedrock"), ""),
			send(t, s, "POST", "/Malformed", signed("bedrock"), "", "switch", v),
		} {
			if code, _ := errorOf(t, w); w.Code != 400 || code != "SerializationException" {
				t.Errorf("boolean %q: %d %s", v, w.Code, code)
			}
		}
	}
	if reached {
		t.Error("the handler was called")
	}
	if w := send(t, s, "POST", "/Malformed?query=-2147483648&flag=true", signed("bedrock"), `{"int":2147483647,"long":-9223372036854775808,"float":1e3,"bool":false,"string":"","blob":"YmxvYg==","list":[],"map":{"a":"b"}}`, "switch", "false"); w.Code != 200 || !reached {
		t.Errorf("the well-formed request: %d %s", w.Code, w.Body)
	}
}

func TestSerializationMessage(t *testing.T) {
	for body, want := range map[string]string{
		`{"int":"1"}`:         "STRING_VALUE cannot be converted to Integer (at /int).",
		`{"string":1}`:        "NUMBER_VALUE cannot be converted to String (at /string).",
		`{"list":[true]}`:     "TRUE_VALUE cannot be converted to String (at /list/0).",
		`{"bool":{}}`:         "Start of structure or map found where not expected (at /bool).",
		`{"string":[]}`:       "Start of list found where not expected (at /string).",
		`{"list":["a",null]}`: "NULL_VALUE cannot be converted to String (at /list/1).",
		`{"map":{"a": null}}`: "NULL_VALUE cannot be converted to String (at /map/a).",
		`{"list":[
null]}`: "NULL_VALUE cannot be converted to String (at /list/0).",
		`{"int":1,"int":1}`: "The request body has the member /int twice.",
		`{"int":}`:          "The request body is not valid JSON (at byte 7).",
		`[]`:                "The request body is not a JSON object.",
	} {
		err := readBody([]byte(body), new(malformedInput))
		if f := fault.From(err); err == nil || f.Kind != fault.Serialization || f.Message != want {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestTimestamps(t *testing.T) {
	at := time.Date(2024, 11, 4, 18, 49, 37, 317261999, time.FixedZone("", 3600))
	type out struct {
		At   time.Time  `json:"at"`
		Then *time.Time `json:"then,omitempty"`
		Whom []struct {
			At time.Time `json:"at"`
		} `json:"whom"`
	}
	fn := func(context.Context, *Call, *empty) (*out, error) {
		whole := at.Truncate(time.Second)
		o := &out{At: at, Then: &whole}
		o.Whom = append(o.Whom, struct {
			At time.Time `json:"at"`
		}{time.UnixMilli(1)})
		return o, nil
	}
	s := newTestServer(t, nil,
		restService("bedrock", "", Handle(Row{Name: "When", Method: "GET", Path: "/when", Action: "x:When"}, nil, fn)),
		&Service{Name: "costexplorer", SigningName: "ce", Protocol: AWSJSON11, TargetPrefix: "CE", Exception: exceptionForTest,
			Ops: []Op{Handle(Row{Name: "When", Action: "x:When"}, nil, fn)}})
	w := send(t, s, "GET", "/when", signed("bedrock"), "")
	// The first is a real answer's form: three to six digits of fraction, Z.
	if got, want := w.Body.String(), `{"at":"2024-11-04T17:49:37.317261Z","then":"2024-11-04T17:49:37Z","whom":[{"at":"1970-01-01T00:00:00.001Z"}]}`; got != want {
		t.Errorf("rest-json\n got %s\nwant %s", got, want)
	}
	w = send(t, s, "POST", "/", signed("ce"), "{}", "X-Amz-Target", "CE.When", "Content-Type", "application/x-amz-json-1.1")
	if got, want := w.Body.String(), `{"at":1730742577.317,"then":1730742577,"whom":[{"at":0.001}]}`; got != want {
		t.Errorf("json-1.1\n got %s\nwant %s", got, want)
	}
	if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.1" {
		t.Errorf("content type %q", got)
	}
}

func TestStages(t *testing.T) {
	fail := map[string]error{
		"missing":  fault.New(fault.NotFound, "No <such> \"thing\"."),
		"throttle": &fault.Error{Kind: fault.Throttled, Message: "Too many requests, please wait before trying again.", RetryAfter: 1500 * time.Millisecond},
		"secret":   errors.New("dial tcp 10.0.0.7:5432: password authentication failed"),
		"tags":     &fault.Error{Kind: fault.TooManyTags, Message: "50 tags at most.", Resource: "arn:aws:bedrock:::x"},
		"model":    &fault.Error{Kind: fault.ModelError, Message: "The model failed.", Resource: "m", OriginalStatus: 503},
		"unnamed":  fault.New(fault.DataUnavailable, "not in this service's table"),
	}
	s := newTestServer(t, nil, restService("bedrock", "",
		Handle(Row{Name: "Fail", Method: "GET", Path: "/fail/{id}", Action: "x:Fail"},
			func(_ *Call, in *echoInput) ([]iam.Access, error) {
				if in.ID == "nothing" {
					return nil, nil
				}
				return []iam.Access{{Resource: "arn:aws:bedrock:us-east-1::" + in.ID}}, nil
			},
			func(_ context.Context, _ *Call, in *echoInput) (*empty, error) {
				if in.ID == "panic" {
					panic("a bug")
				}
				return nil, fail[in.ID]
			})))
	const coral = ":http://internal.amazon.com/coral/com.amazon.coral.service/"
	internal := `{"message":"` + internalMessage + `"}`
	for _, c := range []struct {
		target, auth, body string
		status             int
		errorType, want    string
	}{
		{"/fail/missing", "", "", 403, "MissingAuthenticationTokenException" + coral, `{"message":"Missing Authentication Token"}`},
		{"/fail/missing", signedAs("UNKNOWN", "bedrock"), "", 403, "UnrecognizedClientException" + coral, `{"message":"The security token included in the request is invalid."}`},
		{"/fail/missing", signed("s3"), "", 403, "InvalidSignatureException" + coral, `{"message":"Credential should be scoped to correct service: 'bedrock'."}`},
		{"/fail/missing", signedAs("denied", "bedrock"), "", 403, "AccessDeniedException" + coral,
			`{"Message":"User: arn:aws:iam::000000000000:user/denied is not authorized to perform: x:Fail on resource: arn:aws:bedrock:us-east-1::missing because no identity-based policy allows the x:Fail action"}`},
		{"/fail/missing", signed("bedrock"), "", 404, "ResourceNotFoundException:" + bedrockURI, `{"message":"No <such> \"thing\"."}`},
		// Decoding comes before validation, validation before authorization, all of them before the handler.
		{"/fail/missing?maxResults=x", signedAs("denied", "bedrock"), "", 400, "SerializationException" + coral, `{"message":"The value of maxResults is not an integer of 32 bits."}`},
		{"/fail/missing?maxResults=0", signedAs("denied", "bedrock"), "", 400, "ValidationException:" + bedrockURI,
			`{"message":"1 validation error detected: Value '0' at 'size' failed to satisfy constraint: Member must have value greater than or equal to 1"}`},
		{"/fail/throttle", signed("bedrock"), "", 429, "ThrottlingException:" + bedrockURI, `{"message":"Too many requests, please wait before trying again."}`},
		{"/fail/tags", signed("bedrock"), "", 400, "TooManyTagsException:" + bedrockURI, `{"message":"50 tags at most.","resourceName":"arn:aws:bedrock:::x"}`},
		{"/fail/model", signed("bedrock"), "", 424, "ModelErrorException:" + bedrockURI, `{"message":"The model failed.","resourceName":"m","originalStatusCode":503}`},
		{"/fail/secret", signed("bedrock"), "", 500, "InternalServerException:" + bedrockURI, internal},
		{"/fail/unnamed", signed("bedrock"), "", 500, "InternalServerException:" + bedrockURI, internal},
		{"/fail/nothing", signed("bedrock"), "", 500, "InternalServerException:" + bedrockURI, internal},
		{"/fail/panic", signed("bedrock"), "", 500, "InternalServerException:" + bedrockURI, internal},
		{"/fail/ok", signed("bedrock"), "", 200, "", "{}"},
		{"/fail/ok", "Bearer abc", "", 200, "", "{}"},
	} {
		w := send(t, s, "GET", c.target, c.auth, c.body)
		if w.Code != c.status || w.Header().Get("x-amzn-ErrorType") != c.errorType || w.Body.String() != c.want {
			t.Errorf("%s as %q:\n got %d %s %s\nwant %d %s %s", c.target, c.auth, w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body, c.status, c.errorType, c.want)
		}
		checkRequestID(t, w)
		if got := w.Header().Get("Retry-After"); (got == "2") != (c.status == 429) {
			t.Errorf("%s: Retry-After %q", c.target, got)
		}
	}
}

// The forms are those of Smithy's awsJson1_1 error tests and of Cost Explorer's model, whose exceptions have a capital
// Message.
func TestAWSJSON11Errors(t *testing.T) {
	s := newTestServer(t, nil, &Service{Name: "costexplorer", SigningName: "ce", Protocol: AWSJSON11, TargetPrefix: "AWSInsightsIndexService", CapitalError: true,
		Exception: exceptionForTest, Ops: []Op{Handle(Row{Name: "GetTags", Action: "ce:GetTags"}, nil, func(_ context.Context, _ *Call, in *Scalars) (*empty, error) {
			return nil, fault.New(fault.Validation, "Start date (and hour) should be before end date (and hour)")
		})}})
	for _, c := range []struct {
		target, auth, body string
		status             int
		want               string
	}{
		{"AWSInsightsIndexService.GetTags", signed("ce"), "{}", 400, `{"__type":"ValidationException","Message":"Start date (and hour) should be before end date (and hour)"}`},
		{"AWSInsightsIndexService.GetTags", "", "{}", 400, `{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","Message":"Missing Authentication Token"}`},
		{"AWSInsightsIndexService.GetTags", signedAs("TOOMANY", "ce"), "{}", 400, `{"__type":"ThrottlingException","Message":"Rate exceeded"}`},
		{"AWSInsightsIndexService.GetTags", signedAs("denied", "ce"), "{}", 403,
			`{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::000000000000:user/denied is not authorized to perform: ce:GetTags on resource: * because no identity-based policy allows the ce:GetTags action"}`},
		{"AWSInsightsIndexService.GetTags", signed("ce"), `{"int":""}`, 400, `{"__type":"com.amazon.coral.service#SerializationException","Message":"STRING_VALUE cannot be converted to Integer (at /int)."}`},
		{"AWSInsightsIndexService.Nope", signed("ce"), "{}", 400, `{"__type":"com.amazon.coral.service#UnknownOperationException","Message":"No operation AWSInsightsIndexService.Nope is served here."}`},
		{"Nope.GetTags", "", "{}", 400, `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"No operation Nope.GetTags is served here."}`},
	} {
		w := send(t, s, "POST", "/", c.auth, c.body, "X-Amz-Target", c.target, "Content-Type", "application/x-amz-json-1.1")
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s as %q:\n got %d %s\nwant %d %s", c.target, c.auth, w.Code, w.Body, c.status, c.want)
		}
		if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.1" {
			t.Errorf("content type %q", got)
		}
		checkRequestID(t, w)
	}
}

func TestQuery(t *testing.T) {
	type in struct {
		Name  string `json:"RoleSessionName" min:"2" pattern:"^[\\w+=,.@-]*$"`
		Count *int32 `json:"DurationSeconds"`
	}
	type out struct {
		Name  string `json:"Name"`
		Count *int32 `json:"Count"`
	}
	const ns = "https://sts.amazonaws.com/doc/2011-06-15/"
	s := newTestServer(t, nil, &Service{Name: "sts", SigningName: "sts", Protocol: AWSQuery, Version: "2011-06-15", Namespace: ns, Exception: exceptionForTest,
		Ops: []Op{Handle(Row{Name: "Assume", Action: "sts:Assume"}, nil, func(_ context.Context, _ *Call, i *in) (*out, error) {
			return &out{Name: i.Name + "<&", Count: i.Count}, nil
		})}})
	const formType = "application/x-www-form-urlencoded; charset=utf-8"
	for _, c := range []struct {
		method, target, auth, body string
		status                     int
		want                       string // %s is the request id
	}{
		{"POST", "/", signed("sts"), "Action=Assume&Version=2011-06-15&RoleSessionName=a%2Bb&DurationSeconds=900", 200,
			`<AssumeResponse xmlns="` + ns + `"><AssumeResult><Name>a+b&lt;&amp;</Name><Count>900</Count></AssumeResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></AssumeResponse>`},
		{"GET", "/?Action=Assume&Version=2011-06-15&RoleSessionName=ab", signed("sts"), "", 200,
			`<AssumeResponse xmlns="` + ns + `"><AssumeResult><Name>ab&lt;&amp;</Name></AssumeResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></AssumeResponse>`},
		{"POST", "/", "", "Action=Assume&Version=2011-06-15", 403, // no credentials: the form is not read
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Missing Authentication Token</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"POST", "/", signedAs("TOOMANY", "sts"), "Action=Assume&Version=2011-06-15", 400,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"POST", "/", signedAs("UNKNOWN", "sts"), "Action=Assume&Version=2011-06-15", 403,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"POST", "/", signed("sts"), "Action=Nope&Version=2011-06-15", 400,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation Nope for version 2011-06-15</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"GET", "/?Action=Assume&Version=2011-06-15", "", "", 403,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Missing Authentication Token</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"GET", "/?Action=Nope&Version=1", "", "", 400,
			`<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation Nope for version 1</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"POST", "/", signed("sts"), "Action=Assume&Version=2011-06-15&RoleSessionName=x", 400,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>ValidationException</Code><Message>1 validation error detected: Value &#39;x&#39; at &#39;roleSessionName&#39; failed to satisfy constraint: Member must have length greater than or equal to 2</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
		{"POST", "/", signed("sts"), "Action=Assume&DurationSeconds=x", 400,
			`<ErrorResponse xmlns="` + ns + `"><Error><Type>Sender</Type><Code>MalformedQueryString</Code><Message>The value of DurationSeconds is not an integer of 32 bits.</Message></Error><RequestId>%s</RequestId></ErrorResponse>`},
	} {
		headers := []string{}
		if c.method == "POST" {
			headers = append(headers, "Content-Type", formType)
		}
		w := send(t, s, c.method, c.target, c.auth, c.body, headers...)
		want := fmt.Sprintf(c.want, w.Header().Get("x-amzn-requestid")) + "\n"
		if w.Code != c.status || w.Body.String() != want {
			t.Errorf("%s %s %q:\n got %d %s\nwant %d %s", c.method, c.target, c.body, w.Code, w.Body, c.status, want)
		}
		if got := w.Header().Get("Content-Type"); got != "text/xml" {
			t.Errorf("content type %q", got)
		}
		if err := xml.Unmarshal(w.Body.Bytes(), new(struct{ XMLName xml.Name })); err != nil {
			t.Errorf("%v: %s", err, w.Body)
		}
		checkRequestID(t, w)
	}
}

// The forms and answers follow the examples of https://docs.aws.amazon.com/IAM/latest/APIReference/ (API_CreateUser,
// API_ListUsers, API_TagUser, API_GetAccountSummary, API_DeleteUser), and what botocore sends of empty lists.
func TestQueryShapes(t *testing.T) {
	type tag struct {
		Key   string `json:"Key" required:"true"`
		Value string `json:"Value"`
	}
	type entry struct {
		Name   string   `json:"Name"`
		Values []string `json:"Values"`
	}
	type page struct {
		Marker string `json:"Marker"`
	}
	type in struct {
		page
		Tags    []tag    `json:"Tags"`
		Keys    []string `json:"TagKeys" max:"2"`
		Entries []entry  `json:"Entries"`
		Sub     *tag     `json:"Sub"`
	}
	type user struct {
		UserName   string     `json:"UserName"`
		CreateDate time.Time  `json:"CreateDate"`
		LastUsed   *time.Time `json:"LastUsed"`
		Tags       []tag      `json:"Tags,omitzero"`
	}
	type out struct {
		User      *user          `json:"User"`
		Users     []user         `json:"Users,omitzero"`
		Names     []string       `json:"Names,omitzero"`
		Truncated bool           `json:"IsTruncated"`
		Summary   map[string]int `json:"SummaryMap,omitzero"`
	}
	const ns = "https://iam.amazonaws.com/doc/2010-05-08/"
	at := time.Date(2026, 11, 23, 11, 35, 12, 345e6, time.FixedZone("", 3600))
	s := newTestServer(t, nil, &Service{Name: "iam", SigningName: "iam", Protocol: AWSQuery, Version: "2010-05-08", Namespace: ns, Exception: exceptionForTest,
		Ops: []Op{
			Handle(Row{Name: "Echo", Action: "iam:Echo"}, nil, func(_ context.Context, _ *Call, i *in) (*out, error) {
				o := &out{Names: i.Keys}
				for _, t := range i.Tags {
					o.Users = append(o.Users, user{UserName: i.Marker, CreateDate: at, Tags: []tag{t}})
				}
				if i.Sub != nil {
					o.User = &user{UserName: i.Sub.Key + i.Sub.Value, CreateDate: at, LastUsed: &at}
				}
				if i.Entries != nil {
					o.Truncated, o.Summary = true, map[string]int{}
					for _, e := range i.Entries {
						o.Summary[e.Name] = len(e.Values)
					}
				}
				return o, nil
			}),
			Handle(Row{Name: "Delete", Action: "iam:Delete"}, nil, func(context.Context, *Call, *empty) (*struct{}, error) { return nil, nil }),
		}})
	for _, c := range []struct {
		body   string
		status int
		want   string // within the answer
	}{
		{"Action=Echo", 200, "<EchoResult><IsTruncated>false</IsTruncated></EchoResult>"},
		{"Action=Echo&TagKeys=", 200, "<EchoResult><Names></Names><IsTruncated>false</IsTruncated></EchoResult>"},
		{"Action=Echo&TagKeys.member.1=a%3C&TagKeys.member.2=&TagKeys.member.4=never", 200, "<Names><member>a&lt;</member><member></member></Names>"},
		{"Action=Echo&Marker=m&Tags.member.2.Key=c&Tags.member.1.Key=a&Tags.member.1.Value=b", 200,
			"<Users><member><UserName>m</UserName><CreateDate>2026-11-23T10:35:12Z</CreateDate><Tags><member><Key>a</Key><Value>b</Value></member></Tags></member>" +
				"<member><UserName>m</UserName><CreateDate>2026-11-23T10:35:12Z</CreateDate><Tags><member><Key>c</Key><Value></Value></member></Tags></member></Users>"},
		{"Action=Echo&Sub.Key=k&Sub.Value=v", 200, "<User><UserName>kv</UserName><CreateDate>2026-11-23T10:35:12Z</CreateDate><LastUsed>2026-11-23T10:35:12Z</LastUsed></User>"},
		{"Action=Echo&Entries.member.1.Name=b&Entries.member.1.Values.member.1=x&Entries.member.1.Values.member.2=y&Entries.member.2.Name=a", 200,
			"<IsTruncated>true</IsTruncated><SummaryMap><entry><key>a</key><value>0</value></entry><entry><key>b</key><value>2</value></entry></SummaryMap>"},
		{"Action=Echo&Tags.member.1.Value=b", 400, "Value null at &#39;tags.1.member.key&#39; failed to satisfy constraint: Member must not be null"},
		{"Action=Echo&TagKeys.member.1=a&TagKeys.member.2=b&TagKeys.member.3=c", 400, "Member must have length less than or equal to 2"},
		{"Action=Delete", 200, `<DeleteResponse xmlns="` + ns + `"><ResponseMetadata>`},
	} {
		w := send(t, s, "POST", "/", signed("iam"), c.body+"&Version=2010-05-08", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%q:\n got %d %s\nwant %d %s", c.body, w.Code, w.Body, c.status, c.want)
		}
		if err := xml.Unmarshal(w.Body.Bytes(), new(struct{ XMLName xml.Name })); err != nil {
			t.Errorf("%v: %s", err, w.Body)
		}
	}
}

// FuzzForm holds that no form, however its names are made, does more than fill what it names.
func FuzzForm(f *testing.F) {
	type inner struct {
		Name   string   `json:"Name"`
		Values []string `json:"Values"`
		Count  *int32   `json:"Count"`
	}
	type in struct {
		Names []string `json:"Names"`
		Inner []inner  `json:"Inner"`
		One   *inner   `json:"One"`
	}
	tree, err := queryNode(reflect.TypeFor[in](), input, map[reflect.Type]*node{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"Names.member.1=a", "Names=", "Inner.member.1.Values.member.1=x&Inner.member.1.Count=1", "One.Name=a&One=b", "Inner.member.1=x", "Names.member.01=a&Names.member.1.x=b", "One.=&.One=&One..Name=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		var v in
		if err := readForm(values).fill(reflect.ValueOf(&v).Elem(), tree, ""); err != nil {
			if !fault.Is(err, fault.Serialization) {
				t.Fatal(err)
			}
			return
		}
		n := len(v.Names) + len(v.Inner)
		for _, i := range v.Inner {
			n += len(i.Values)
		}
		if n > 2*len(values) { // one name may make an element of a list in an element of a list
			t.Fatalf("%d elements of %d names", n, len(values))
		}
	})
}

func TestBodyBound(t *testing.T) {
	type in struct {
		Body []byte `json:"-" payload:"blob" max:"100000"`
	}
	var kept []byte
	s := newTestServer(t, nil, restService("bedrockruntime", "",
		Handle(Row{Name: "Invoke", Method: "POST", Path: "/invoke", Action: "x:Invoke", MaxBody: 100000}, nil, func(_ context.Context, _ *Call, i *in) (*in, error) {
			kept = i.Body
			return i, nil
		}),
		Handle(Row{Name: "Small", Method: "POST", Path: "/small", Action: "x:Small"}, nil, func(context.Context, *Call, *malformedInput) (*empty, error) { return nil, nil })))
	body := strings.Repeat("x", 100000)
	for _, c := range []struct {
		name   string
		target string
		body   string
		length int64
		status int
		want   string
	}{
		{"as told", "/invoke", body, 100000, 200, body},
		{"length unknown", "/invoke", body, -1, 200, body},
		{"one more", "/invoke", body + "x", 100001, 413, "100000"},
		{"one more, unknown", "/invoke", body + "x", -1, 413, "100000"},
		{"the default", "/small", `{"string":"` + strings.Repeat("x", 1<<20) + `"}`, -1, 413, "1048576"},
		{"empty", "/invoke", "", 0, 200, ""},
	} {
		r := httptest.NewRequest("POST", c.target, io.NopCloser(strings.NewReader(c.body)))
		r.ContentLength = c.length
		r.Header.Set("Authorization", signed("bedrock"))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d %.200s", c.name, w.Code, w.Body)
			continue
		}
		if c.status == 200 {
			if w.Body.String() != c.want {
				t.Errorf("%s: the body came back with %d bytes", c.name, w.Body.Len())
			}
			continue
		}
		code, msg := errorOf(t, w)
		if want := "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to " + c.want; code != "RequestEntityTooLargeException" || msg != want {
			t.Errorf("%s: %s %s", c.name, code, msg)
		}
	}
	// A body of very many values is not decoded, whatever it is; one of a long text is no such body.
	many := `{"list":[` + strings.Repeat(`{},`, 1<<19/2) + `{}]}`
	long := newTestServer(t, nil, restService("bedrockruntime", "", Handle(Row{Name: "Long", Method: "POST", Path: "/long", Action: "x:Long", MaxBody: 2 << 20}, nil,
		func(context.Context, *Call, *malformedInput) (*empty, error) { return nil, nil })))
	for body, want := range map[string]int{many: 413, `{"string":"` + strings.ReplaceAll(many, `"`, `\"`) + `"}`: 200} {
		w := send(t, long, "POST", "/long", signed("bedrock"), body)
		if w.Code != want {
			t.Errorf("%.20s: %d %.200s", body, w.Code, w.Body)
		}
	}
	// A payload is the handler's: no later request may write over it.
	send(t, s, "POST", "/invoke", signed("bedrock"), "the first")
	first := kept
	for range 10 {
		send(t, s, "POST", "/invoke", signed("bedrock"), "ANOTHER!!")
	}
	if string(first) != "the first" {
		t.Errorf("a kept payload has become %q", first)
	}

	// A length that is told and too large is refused before anything is read.
	r := httptest.NewRequest("POST", "/invoke", unread{t})
	r.ContentLength = 100001
	r.Header.Set("Authorization", signed("bedrock"))
	rec := httptest.NewRecorder()
	if s.ServeHTTP(rec, r); rec.Code != 413 {
		t.Errorf("unread: %d", rec.Code)
	}

	w := send(t, s, "POST", "/invoke", signed("bedrock"), "x", "Content-Encoding", "gzip")
	if code, msg := errorOf(t, w); w.Code != 400 || code != "SerializationException" || !strings.Contains(msg, "gzip") {
		t.Errorf("gzip: %d %s %s", w.Code, code, msg)
	}
	r = httptest.NewRequest("POST", "/invoke", io.MultiReader(strings.NewReader("abc"), brokenReader{}))
	r.Header.Set("Authorization", signed("bedrock"))
	rec = httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if code, _ := errorOf(t, rec); rec.Code != 400 || code != "SerializationException" {
		t.Errorf("a broken body: %d %s", rec.Code, code)
	}
}

// TestCallerGone: a call whose caller goes away before the answer is no failure of the server's, and the log has it so.
func TestCallerGone(t *testing.T) {
	var log bytes.Buffer
	ctx, leave := context.WithCancel(t.Context())
	s := newTestServer(t, slog.New(slog.NewJSONHandler(&log, nil)), restService("bedrock", "",
		Handle(Row{Name: "Get", Method: "GET", Path: "/get/{id}", Action: "x:Get"}, nil, func(ctx context.Context, _ *Call, _ *echoInput) (*empty, error) {
			leave()
			return nil, fault.Wrap(ctx.Err(), fault.Internal, "the caller has gone")
		})))
	r := httptest.NewRequestWithContext(ctx, "GET", "/get/a", nil)
	r.Header.Set("Authorization", signed("bedrock"))
	s.ServeHTTP(httptest.NewRecorder(), r)
	var got struct {
		Level, Fault string
		Status       int
	}
	if err := json.Unmarshal(log.Bytes(), &got, json.MatchCaseInsensitiveNames(true)); err != nil || got.Level != "INFO" || got.Fault != "canceled" || got.Status != 499 {
		t.Errorf("%v: %s", err, &log)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRequestEvent(t *testing.T) {
	var log bytes.Buffer
	s := newTestServer(t, slog.New(slog.NewJSONHandler(&log, nil)), restService("bedrock", "",
		Handle(Row{Name: "Get", Method: "GET", Path: "/get/{id}", Action: "x:Get"}, nil, func(_ context.Context, c *Call, in *echoInput) (*empty, error) {
			c.Note(slog.String("target", "a"), slog.Int("attempts", 2))
			switch in.ID {
			case "bad":
				return nil, fault.New(fault.Validation, "bad")
			case "broken":
				return nil, errors.New("disk full")
			case "unnamed":
				return nil, fault.New(fault.DataUnavailable, "no figures")
			}
			return nil, nil
		})))
	for _, c := range []struct {
		target, auth string
		want         map[string]any
	}{
		{"/get/ok", signed("bedrock"), map[string]any{"level": "INFO", "service": "bedrock", "operation": "Get", "caller": "arn:aws:iam::000000000000:user/alice", "region": "us-east-1", "status": 200., "target": "a", "attempts": 2., "fault": nil, "error": nil}},
		{"/get/bad", signed("bedrock"), map[string]any{"level": "INFO", "status": 400., "fault": "validation", "error": nil}},
		{"/get/broken", signed("bedrock"), map[string]any{"level": "ERROR", "status": 500., "fault": "internal", "error": "internal: internal error: disk full"}},
		{"/get/unnamed", signed("bedrock"), map[string]any{"level": "ERROR", "status": 500., "fault": "internal", "error": "internal: bedrock has no exception for this kind: data_unavailable: no figures"}},
		{"/get/ok", "", map[string]any{"level": "INFO", "operation": "Get", "caller": nil, "status": 403., "fault": "missing_token"}},
		{"/nowhere", "", map[string]any{"level": "INFO", "operation": nil, "status": 404., "fault": "unknown_operation"}},
	} {
		log.Reset()
		w := send(t, s, "GET", c.target, c.auth, "")
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%s: %d lines, want one\n%s", c.target, n, &log)
			continue
		}
		got := map[string]any{}
		if err := json.Unmarshal(log.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got["request_id"] != w.Header().Get("x-amzn-requestid") || got["duration"] == nil {
			t.Errorf("%s: %s", c.target, &log)
		}
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("%s: %s is %v, want %v", c.target, k, got[k], v)
			}
		}
	}
}

// A quiet log costs nothing: notes are not even kept.
func TestNoteWithoutLog(t *testing.T) {
	c := Call{quiet: true}
	c.Note(slog.String("a", "b"))
	if len(c.notes) > 0 {
		t.Error("a note was kept that nobody will read")
	}
}

func TestNewServerRefuses(t *testing.T) {
	row := Row{Name: "Get", Method: "GET", Path: "/get/{id}", Action: "x:Get"}
	with := func(f func(*Row)) Row {
		r := row
		f(&r)
		return r
	}
	access := func(*Call, *echoInput) ([]iam.Access, error) { return nil, nil }
	type untagged struct{ Name string }
	type twice struct {
		Name string `json:"name" query:"name"`
	}
	type payloads struct {
		A []byte `json:"-" payload:"blob"`
		B string `json:"b"`
	}
	type badPattern struct {
		ID string `json:"-" uri:"id" pattern:"("`
	}
	type badLimit struct {
		ID string `json:"-" uri:"id"`
		B  []int  `json:"b" pattern:"^a$"`
	}
	type timed struct {
		ID string    `json:"-" uri:"id"`
		At time.Time `json:"at"`
	}
	type noLabel struct {
		ID string `json:"id"`
	}
	get := Handle(row, nil, echo)
	query := func(op Op) *Service {
		return &Service{Name: "sts", SigningName: "sts", Protocol: AWSQuery, Version: "1", Namespace: "n", Exception: exceptionForTest, Ops: []Op{op}}
	}
	for _, c := range []struct {
		name     string
		services []*Service
		want     string
	}{
		{"no action", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Action = "" }), nil, echo))}, "no IAM action"},
		{"no name", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Name = "" }), nil, echo))}, "no name"},
		{"two deciders", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Checked = "invoke" }), access, echo))}, `"invoke" decides`},
		{"a bare Op", []*Service{restService("a", "", Op{Row: row})}, "Handle or Stream"},
		{"same route", []*Service{restService("a", "", get, Handle(with(func(r *Row) { r.Name = "Other" }), nil, echo))}, "already"},
		{"same route in another service", []*Service{restService("a", "", get), restService("b", "", get)}, "a.Get already"},
		{"label without member", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *noLabel) (*empty, error) { return nil, nil }))}, "{id}"},
		{"member without label", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Path = "/get" }), nil, echo))}, "labels"},
		{"bad method", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Method = "FETCH" }), nil, echo))}, "FETCH"},
		{"bad path", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Path = "/get/x{id}" }), nil, echo))}, "whole segment"},
		{"bad status", []*Service{restService("a", "", Handle(with(func(r *Row) { r.Status = 404 }), nil, echo))}, "404"},
		{"untagged member", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *untagged) (*empty, error) { return nil, nil }))}, "untagged.Name"},
		{"two places", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *twice) (*empty, error) { return nil, nil }))}, "query and json"},
		{"payload and body", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *payloads) (*empty, error) { return nil, nil }))}, "whole body"},
		{"bad pattern", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *badPattern) (*empty, error) { return nil, nil }))}, "parsing regexp"},
		{"meaningless constraint", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *badLimit) (*empty, error) { return nil, nil }))}, "means nothing"},
		{"a time in", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *timed) (*empty, error) { return nil, nil }))}, "time"},
		{"bad output", []*Service{restService("a", "", Handle(row, nil, func(context.Context, *Call, *echoInput) (*untagged, error) { return nil, nil }))}, "untagged.Name"},
		{"no exceptions", []*Service{{Name: "a", SigningName: "a", Protocol: RestJSON}}, "Exception"},
		{"no protocol", []*Service{{Name: "a", SigningName: "a", Exception: exceptionForTest}}, "protocol"},
		{"no target", []*Service{{Name: "a", SigningName: "a", Protocol: AWSJSON11, Exception: exceptionForTest}}, "TargetPrefix"},
		{"no version", []*Service{{Name: "a", SigningName: "a", Protocol: AWSQuery, Exception: exceptionForTest}}, "Version"},
		{"a path in query", []*Service{query(Handle(Row{Name: "A", Action: "x:A", Path: "/"}, nil, func(context.Context, *Call, *empty) (*empty, error) { return nil, nil }))}, "only rest-json"},
		{"a header in query", []*Service{query(Handle(Row{Name: "A", Action: "x:A"}, nil, func(context.Context, *Call, *empty) (*echoOutput, error) { return nil, nil }))}, "outside the body"},
		{"a map in query", []*Service{query(Handle(Row{Name: "A", Action: "x:A"}, nil, func(context.Context, *Call, *struct {
			L map[string]string `json:"L"`
		}) (*empty, error) {
			return nil, nil
		}))}, "L:"},
		{"a stream in query", []*Service{query(Stream(Row{Name: "A", Action: "x:A"}, nil, func(context.Context, *Call, *empty) (iter.Seq2[*testEvent, error], error) { return nil, nil }))}, "event streams"},
	} {
		_, err := NewServer(Config{Services: c.services, Authenticator: gate{}, Guard: gate{}, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something with %q", c.name, err, c.want)
		}
	}
	if _, err := NewServer(Config{}); err == nil {
		t.Error("a server without anything")
	}
}

type testEvent struct {
	kind, payload string
	more          bool
}

func (e *testEvent) EventType() string            { return e.kind }
func (e *testEvent) AppendJSON(dst []byte) []byte { return append(dst, e.payload...) }
func (e *testEvent) More() bool                   { return e.more }

type streamInput struct {
	ID string `json:"-" uri:"id" min:"3"`
}

// streamOf serves what seq yields, under /stream/{id}.
func streamOf(t testing.TB, log *slog.Logger, fn func(context.Context, *Call, *streamInput) (iter.Seq2[*testEvent, error], error)) *Server {
	return newTestServer(t, log, restService("bedrockruntime", "bedrock-runtime",
		Stream(Row{Name: "ConverseStream", Method: "POST", Path: "/stream/{id}", Action: "x:Stream"}, nil, fn)))
}

func TestStream(t *testing.T) {
	boom := &fault.Error{Kind: fault.ModelStream, Message: "The stream broke.", OriginalStatus: 500, OriginalMessage: "oops"}
	type frame struct{ kind, name, payload string }
	for _, c := range []struct {
		id     string
		yield  []any // *testEvent or error
		refuse error
		status int
		frames []frame
		body   string // of a plain error
	}{
		{id: "whole", yield: []any{&testEvent{"messageStart", `{"role":"assistant"}`, true}, &testEvent{"contentBlockDelta", `{"delta":{"text":"x"}}`, false}, &testEvent{"metadata", `{}`, false}},
			status: 200, frames: []frame{{"event", "messageStart", `{"role":"assistant"}`}, {"event", "contentBlockDelta", `{"delta":{"text":"x"}}`}, {"event", "metadata", `{}`}}},
		{id: "first item an error", yield: []any{fault.New(fault.Throttled, "wait")}, status: 429, body: `{"message":"wait"}`},
		{id: "refused", refuse: fault.New(fault.Validation, "no"), status: 400, body: `{"message":"no"}`},
		{id: "no", status: 400, body: `{"message":"1 validation error detected: Value 'no' at 'id' failed to satisfy constraint: Member must have length greater than or equal to 3"}`},
		{id: "late error", yield: []any{&testEvent{"messageStart", `{}`, false}, boom, &testEvent{"never", `{}`, false}}, status: 200,
			frames: []frame{{"event", "messageStart", `{}`}, {"exception", "modelStreamErrorException", `{"message":"The stream broke.","originalMessage":"oops","originalStatusCode":500}`}}},
		{id: "late internal error", yield: []any{&testEvent{"messageStart", `{}`, true}, errors.New("secret")}, status: 200,
			frames: []frame{{"event", "messageStart", `{}`}, {"exception", "internalServerException", `{"message":"` + internalMessage + `"}`}}},
		{id: "nothing", status: 200},
		{id: "unkept promise of more", yield: []any{&testEvent{"messageStart", `{}`, true}}, status: 200, frames: []frame{{"event", "messageStart", `{}`}}},
	} {
		s := streamOf(t, nil, func(_ context.Context, call *Call, in *streamInput) (iter.Seq2[*testEvent, error], error) {
			call.Header.Set("X-Extra", "1")
			if c.refuse != nil {
				return nil, c.refuse
			}
			return func(yield func(*testEvent, error) bool) {
				for _, y := range c.yield {
					var e *testEvent
					err, _ := y.(error)
					if err == nil {
						e = y.(*testEvent)
					}
					if !yield(e, err) {
						return
					}
				}
			}, nil
		})
		w := send(t, s, "POST", "/stream/"+strings.ReplaceAll(c.id, " ", "%20"), signed("bedrock"), "")
		checkRequestID(t, w)
		if w.Code != c.status {
			t.Errorf("%s: status %d", c.id, w.Code)
		}
		if c.body != "" {
			if w.Body.String() != c.body || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s", c.id, w.Header().Get("Content-Type"), w.Body)
			}
			continue
		}
		if got := w.Header().Get("Content-Type"); got != "application/vnd.amazon.eventstream" || w.Header().Get("X-Extra") != "1" || w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: headers %v", c.id, w.Header())
		}
		var frames []frame
		decoder := eventstream.NewDecoder() // the SDK's, which shares nothing with the encoder here
		for body := bytes.NewReader(w.Body.Bytes()); body.Len() > 0; {
			m, err := decoder.Decode(body, nil)
			if err != nil {
				t.Fatalf("%s: %v", c.id, err)
			}
			kind := fmt.Sprint(m.Headers.Get(":message-type"))
			name := fmt.Sprint(m.Headers.Get(":" + kind + "-type"))
			frames = append(frames, frame{kind, name, string(m.Payload)})
			// The order of AWS's own frames.
			want := eventstream.Headers{
				{Name: ":" + kind + "-type", Value: eventstream.StringValue(name)},
				{Name: ":content-type", Value: eventstream.StringValue("application/json")},
				{Name: ":message-type", Value: eventstream.StringValue(kind)},
			}
			if !reflect.DeepEqual(m.Headers, want) {
				t.Errorf("%s: headers %v", c.id, m.Headers)
			}
		}
		if !reflect.DeepEqual(frames, c.frames) {
			t.Errorf("%s:\n got %q\nwant %q", c.id, frames, c.frames)
		}
	}
}

// Events that arrived together go out in one write, and one that has none behind it does not wait.
func TestStreamFlush(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		srv := start(streamOf(t, nil, func(context.Context, *Call, *streamInput) (iter.Seq2[*testEvent, error], error) {
			return func(yield func(*testEvent, error) bool) {
				for i := range 6 {
					if !yield(&testEvent{"e", fmt.Sprint(i), i%3 != 2}, nil) {
						return
					}
				}
				big := strings.Repeat("x", maxGathered)
				yield(&testEvent{"e", big, true}, nil)
				yield(&testEvent{"e", "end", false}, nil)
			}, nil
		}))
		defer srv.Close()
		conn, err := net.Dial("tcp", srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /stream/abc HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n", signed("bedrock"))
		// net/http writes one chunk a flush: the chunks tell the writes apart.
		raw := bufio.NewReader(conn)
		for line := ""; line != "\r\n"; {
			if line, err = raw.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		var perChunk []int
		for {
			var n int
			line, err := raw.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscanf(line, "%x", &n); err != nil {
				t.Fatal(err)
			}
			chunk := make([]byte, n+2)
			if _, err := io.ReadFull(raw, chunk); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			frames := 0
			for rest := chunk[:n]; len(rest) > 0; frames++ {
				if _, rest, err = DecodeMessage(rest); err != nil {
					t.Fatal(err)
				}
			}
			perChunk = append(perChunk, frames)
		}
		if want := []int{3, 3, 1, 1}; !reflect.DeepEqual(perChunk, want) {
			t.Errorf("frames in each write: %v, want %v", perChunk, want)
		}
	})
}

// The frames at the end of a stream leave with the end of the answer, not before it.
func TestStreamEnd(t *testing.T) {
	for _, c := range []struct {
		more    []bool
		err     error
		flushes int
	}{
		{[]bool{false, false}, nil, 2},
		{[]bool{false, true, true}, nil, 1},
		{[]bool{true, true}, nil, 0},
		{[]bool{false, true}, fault.New(fault.ModelStream, "broken"), 1},
	} {
		w := &flushes{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("POST", "/stream/abc", nil)
		r.Header.Set("Authorization", signed("bedrock"))
		streamOf(t, nil, func(context.Context, *Call, *streamInput) (iter.Seq2[*testEvent, error], error) {
			return func(yield func(*testEvent, error) bool) {
				for _, more := range c.more {
					if !yield(&testEvent{"e", `{}`, more}, nil) {
						return
					}
				}
				if c.err != nil {
					yield(nil, c.err)
				}
			}, nil
		}).ServeHTTP(w, r)
		frames, want := 0, len(c.more)
		if c.err != nil {
			want++
		}
		for rest := w.Body.Bytes(); len(rest) > 0; frames++ {
			var err error
			if _, rest, err = DecodeMessage(rest); err != nil {
				t.Fatal(err)
			}
		}
		if w.n != c.flushes || frames != want {
			t.Errorf("%v %v: %d frames, %d flushes, want %d and %d", c.more, c.err, frames, w.n, want, c.flushes)
		}
	}
}

// flushes counts them.
type flushes struct {
	*httptest.ResponseRecorder
	n int
}

func (f *flushes) Flush() { f.n++ }

// A caller that goes away is seen by the handler's context, and the sequence is left so that it can release what it
// holds. It is not an internal error.
func TestStreamCallerGone(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		var log lockedBuffer
		left := make(chan error, 1)
		srv := start(streamOf(t, slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context, _ *Call, _ *streamInput) (iter.Seq2[*testEvent, error], error) {
			return func(yield func(*testEvent, error) bool) {
				for yield(&testEvent{"e", `{}`, false}, nil) {
					select {
					case <-ctx.Done():
					case <-time.After(time.Millisecond):
					}
				}
				left <- ctx.Err()
			}, nil
		}))
		r, _ := http.NewRequest("POST", srv.URL+"/stream/abc", nil)
		r.Header.Set("Authorization", signed("bedrock"))
		resp, err := clientOf(t, false).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadMessage(resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		select {
		case err := <-left:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the context says %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the sequence was not left")
		}
		srv.Close() // waits for the handler
		if got := log.String(); !strings.Contains(got, "level=INFO") || !strings.Contains(got, "fault=canceled") || strings.Contains(got, "level=ERROR") {
			t.Errorf("log: %s", got)
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A bug that strikes after the first event cuts the connection: no client must take the answer for a whole one.
func TestStreamPanic(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		srv := start(streamOf(t, nil, func(context.Context, *Call, *streamInput) (iter.Seq2[*testEvent, error], error) {
			return func(yield func(*testEvent, error) bool) {
				yield(&testEvent{"e", `{}`, false}, nil)
				panic("a bug")
			}, nil
		}))
		defer srv.Close()
		r, _ := http.NewRequest("POST", srv.URL+"/stream/abc", nil)
		r.Header.Set("Authorization", signed("bedrock"))
		resp, err := clientOf(t, false).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := ReadMessage(resp.Body); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadMessage(resp.Body); err != io.ErrUnexpectedEOF {
			t.Errorf("the stream ends with %v", err)
		}
	})
}

// FuzzRestJSONBody sends any body to an input of every kind of member: the answer is a success or the caller's fault.
func FuzzRestJSONBody(f *testing.F) {
	type node struct {
		Name  *string        `json:"name,omitempty" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_-]+$"`
		Kind  string         `json:"kind,omitempty" enum:"a,b" sensitive:"true"`
		Doc   jsontext.Value `json:"doc,omitempty"`
		Float *float64       `json:"float,omitempty" min:"0" max:"1"`
	}
	type union struct {
		_ struct{} `union:"Union"`

		Node *node   `json:"node,omitempty"`
		Blob []byte  `json:"blob,omitempty" max:"8"`
		List []union `json:"list,omitempty"`
	}
	type in struct {
		Scalars
		Node  *node             `json:"node,omitempty"`
		Nodes []node            `json:"nodes,omitempty" min:"1" max:"3"`
		Union *union            `json:"union,omitempty"`
		Tags  []string          `json:"tags,omitempty" each.min:"1" each.pattern:"^[a-z]*$"`
		Map   map[string]string `json:"map2,omitempty" key.max:"3" each.max:"3"`
	}
	for _, s := range []string{`{}`, ``, `null`, `{"node":{"name":"x"}}`, `{"union":{"list":[{"blob":"YQ=="},{"node":{}}]}}`, `{"nodes":[null,{"kind":"c"}],"tags":["",null],"map2":{"aaaa":"bbbb"}}`,
		`{"list":["null", null]}`, `{"map":{"a":null}}`, `{"node":{"name":"x","float":1e999,"doc":{"a":[1,2,{"b":null}]}},"int":2147483648}`, `{"list":[[[[[[[`} {
		f.Add([]byte(s))
	}
	s := newTestServer(f, nil, restService("bedrock", "",
		Handle(Row{Name: "Fuzz", Method: "POST", Path: "/fuzz", Action: "x:Fuzz"}, nil, func(_ context.Context, _ *Call, i *in) (*in, error) { return &in{Node: i.Node}, nil })))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/fuzz", bytes.NewReader(body))
		r.Header.Set("Authorization", signed("bedrock"))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 && w.Code/100 != 4 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if !jsontext.Value(w.Body.Bytes()).IsValid() {
			t.Errorf("the answer is not JSON: %s", w.Body)
		}
		var sent struct { // no null stands in a list or a map that was taken
			List  []any          `json:"list"`
			Tags  []any          `json:"tags"`
			Nodes []any          `json:"nodes"`
			Map   map[string]any `json:"map"`
			Map2  map[string]any `json:"map2"`
		}
		if w.Code == 200 && json.Unmarshal(body, &sent) == nil {
			for _, elems := range [][]any{sent.List, sent.Tags, sent.Nodes, slices.Collect(maps.Values(sent.Map)), slices.Collect(maps.Values(sent.Map2))} {
				if slices.Contains(elems, nil) {
					t.Errorf("%s is taken", body)
				}
			}
		}
	})
}

// discard is a ResponseWriter that keeps nothing, so that benchmarks measure this package.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

func benchmark(b *testing.B, s *Server, target, body string) {
	r := httptest.NewRequest("POST", target, nil)
	r.Header.Set("Authorization", signed("bedrock"))
	r.ContentLength = int64(len(body))
	w := &discard{h: http.Header{}}
	rd := strings.NewReader("")
	r.Body = io.NopCloser(rd)
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset(body)
		clear(w.h)
		s.ServeHTTP(w, r)
	}
}

// selfReader reads one body itself. It refuses the others with rubbish left behind.
type selfReader struct {
	ID   string `json:"-" uri:"id"`
	Name string `json:"name" max:"6"`
	Kind string `json:"kind"`
}

func (r *selfReader) ReadJSON(body []byte) bool {
	r.ID, r.Name, r.Kind = "rubbish", "itself", "rubbish"
	if string(body) != `{"name":"read"}` {
		return false
	}
	r.Kind = ""
	return true
}

func TestReader(t *testing.T) {
	var got selfReader
	s := newTestServer(t, nil, restService("bedrock", "", Handle(Row{Name: "Read", Method: "POST", Path: "/read/{id}", Action: "x:Read"}, nil,
		func(_ context.Context, _ *Call, in *selfReader) (*struct{}, error) { got = *in; return nil, nil })))
	for _, c := range []struct {
		body string
		want selfReader
		code string
	}{
		{`{"name":"refused","kind":"k"}`, selfReader{}, "ValidationException"}, // longer than 6
		{`{"name":"other","kind":"k"}`, selfReader{"1", "other", "k"}, ""},
		{`{}`, selfReader{ID: "1"}, ""},
		{``, selfReader{ID: "1"}, ""},
		{`{"name":1}`, selfReader{}, "SerializationException"},
		{`{"name":"read"}`, selfReader{ID: "1", Name: "itself"}, ""},
	} {
		got = selfReader{}
		w := send(t, s, "POST", "/read/1", signed("bedrock"), c.body)
		code := ""
		if w.Code != 200 {
			code, _ = errorOf(t, w)
		}
		if got != c.want || code != c.code {
			t.Errorf("%s: %+v, %s", c.body, got, code)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	s := newTestServer(b, nil, restService("bedrock", "", Handle(Row{Name: "Echo", Method: "POST", Path: "/echo/{id}", Action: "x:Echo"}, nil, echo)))
	benchmark(b, s, "/echo/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Aapplication-inference-profile%2Fabcdefghijkl", `{"name":"custom-bedrock-profile"}`)
}

// BenchmarkStream writes 200 events: the time is of all of them.
func BenchmarkStream(b *testing.B) {
	s := streamOf(b, nil, func(context.Context, *Call, *streamInput) (iter.Seq2[*testEvent, error], error) {
		return func(yield func(*testEvent, error) bool) {
			e := testEvent{"contentBlockDelta", `{"delta":{"text":"a word"},"contentBlockIndex":0}`, false}
			for range 200 {
				if !yield(&e, nil) {
					return
				}
			}
		}, nil
	})
	benchmark(b, s, "/stream/abc", "")
}
