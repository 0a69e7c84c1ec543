package wire

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/iam"
)

// notebook is a Recorder that keeps what it is given, as it would be written.
type notebook struct {
	pages    []page
	ready    error // what Ready says
	failing  error // what Record says
	onRecord func()
	omitted  int // how often Omit was called
}

type page struct {
	class audit.Class
	audit.Event
}

func (n *notebook) Ready() error { return n.ready }

func (n *notebook) Record(_ context.Context, e *audit.Event, class audit.Class) error {
	if n.onRecord != nil {
		n.onRecord()
	}
	n.pages = append(n.pages, page{class, *e})
	return n.failing
}

func (n *notebook) Omit() { n.omitted++ }

type recordedInput struct {
	ID          string              `json:"-" uri:"id"`
	Kind        string              `json:"-" query:"kind"`
	Mode        string              `json:"-" header:"X-Mode"`
	Name        *string             `json:"Name" max:"10"`
	Secret      string              `json:"Secret" sensitive:"true"`
	Password    string              `json:"Password"`
	Blob        []byte              `json:"Blob"`
	Tags        []recordedTag       `json:"Tags"`
	Map         map[string][]string `json:"Map"`
	Filter      jsontext.Value      `json:"Filter"`
	On          *bool               `json:"On"`
	Count       int                 `json:"Count"`
	AwaitNested *recordedTag        `json:"AwaitNested"`
}

type recordedTag struct {
	Key   string `json:"Key"`
	Value string `json:"Value" sensitive:"true"`
}

type recordedOutput struct {
	Arn string       `json:"Arn"`
	Key recordedKey  `json:"AccessKey"`
	At  time.Time    `json:"At"`
	No  *recordedKey `json:"No"`
}

type recordedKey struct {
	ID     string `json:"AccessKeyId"`
	Secret string `json:"SecretAccessKey"`
	Token  string `json:"SessionToken"`
}

// recordingServer serves a change, a read and a call of the data plane, each of which counts.
func recordingServer(t *testing.T, n *notebook, data bool, ran *int) *Server {
	t.Helper()
	change := func(_ context.Context, c *Call, in *recordedInput) (*recordedOutput, error) {
		*ran++
		if in.ID == "panic" {
			panic("the handler's")
		}
		if in.ID == "full" {
			return nil, fault.New(fault.Unavailable, "No room")
		}
		return &recordedOutput{Arn: "arn:aws:iam::000000000000:user/bob", Key: recordedKey{"AKIA1", "s3cr3t", "t0k3n"}, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}, nil
	}
	access := func(_ *Call, in *recordedInput) ([]iam.Access, error) {
		return []iam.Access{{Resource: "arn:aws:iam::000000000000:user/" + in.ID}, {Resource: "*"}}, nil
	}
	invoke := func(_ context.Context, c *Call, in *recordedInput) (*recordedOutput, error) {
		*ran++
		if in.ID == "denied" {
			f := fault.New(fault.AccessDenied, "User: %s is not authorized", c.Caller.ARN)
			f.Cause = &iam.Denial{Access: iam.Access{Action: "x:Invoke", Resource: "arn:aws:bedrock:us-east-1::foundation-model/m"}}
			return nil, f
		}
		if in.ID == "throttled" {
			return nil, fault.New(fault.Throttled, "Too many requests")
		}
		return &recordedOutput{Arn: "answer"}, nil
	}
	stream := func(_ context.Context, _ *Call, in *recordedInput) (iter.Seq2[textEvent, error], error) {
		return func(yield func(textEvent, error) bool) {
			if yield("one", nil) && in.ID == "broken" {
				yield("", fault.New(fault.ModelStream, "It broke"))
			}
		}, nil
	}
	s, err := NewServer(Config{
		Services: []*Service{restService("bedrock", "",
			Handle(Row{Name: "PutThing", Method: "POST", Path: "/things/{id}", Action: "x:PutThing"}, access, change),
			Handle(Row{Name: "GetThing", Method: "GET", Path: "/things/{id}", Action: "x:GetThing"}, access, change),
			Handle(Row{Name: "Invoke", Method: "POST", Path: "/model/{id}/invoke", Action: "x:Invoke", Checked: "the handler", Data: true}, nil, invoke),
			Stream(Row{Name: "InvokeStream", Method: "POST", Path: "/model/{id}/stream", Action: "x:Invoke", Checked: "the handler", Data: true}, nil, stream),
		)},
		Authenticator: gate{}, Guard: gate{}, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Recorder: n, RecordData: data, Claimed: func(*http.Request) iam.Caller { return iam.Caller{Account: "000000000000", AccessKeyID: "CLAIMED"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type textEvent string

func (textEvent) EventType() string              { return "text" }
func (e textEvent) AppendJSON(dst []byte) []byte { return append(dst, `{}`...) }
func (textEvent) More() bool                     { return false }

func TestRecord(t *testing.T) {
	const body = `{"Name":"bob","Secret":"s3cr3t","Password":"s3cr3t","Blob":"c2VjcmV0","Tags":[{"Key":"team","Value":"s3cr3t"}],"Map":{"b":["2"],"A":["1","x"]},` +
		`"Filter":{ "Or" : [1] },"On":false,"Count":3,"AwaitNested":{"Key":"k"},"Unknown":"ignored"}`
	const hidden = `"HIDDEN_DUE_TO_SECURITY_REASONS"`
	const parameters = `{"id":"a","kind":"k","x-Mode":"m","name":"bob","secret":` + hidden + `,"password":` + hidden + `,"blob":` + hidden +
		`,"tags":[{"key":"team","value":` + hidden + `}],"map":{"A":["1","x"],"b":["2"]},"filter":{"Or":[1]},"on":false,"count":3,"awaitNested":{"key":"k"}}`
	const elements = `{"arn":"arn:aws:iam::000000000000:user/bob","accessKey":{"accessKeyId":"AKIA1","secretAccessKey":` + hidden + `,"sessionToken":` + hidden + `},"at":"2026-01-02T03:04:05Z"}`
	type want struct {
		class               audit.Class
		name, code, message string
		readOnly            bool
		who                 string // the identity's type
		in, out             string
		resources           string // ARNs
	}
	for _, c := range []struct {
		name, method, target, auth, body string
		data                             bool
		status                           int
		ran                              int
		want                             []want
	}{
		{"a change", "POST", "/things/a?kind=k", signed("bedrock"), body, false, 200, 1,
			[]want{{audit.Durable, "PutThing", "", "", false, "IAMUser", parameters, elements, "arn:aws:iam::000000000000:user/a arn:aws:iam::000000000000:user/bob"}}},
		{"a read", "GET", "/things/a", signed("bedrock"), "", false, 200, 1,
			[]want{{audit.Plain, "GetThing", "", "", true, "IAMUser", `{"id":"a","x-Mode":"m"}`, "", "arn:aws:iam::000000000000:user/a"}}},
		{"a refused change", "POST", "/things/a", signedAs("denied", "bedrock"), "", false, 403, 0,
			[]want{{audit.Durable, "PutThing", "AccessDenied", "User: arn:aws:iam::000000000000:user/denied is not authorized to perform: x:PutThing on resource: arn:aws:iam::000000000000:user/a because no identity-based policy allows the x:PutThing action",
				false, "IAMUser", `{"id":"a","x-Mode":"m"}`, "", "arn:aws:iam::000000000000:user/a"}}},
		{"a refused read", "GET", "/things/a", signedAs("denied", "bedrock"), "", false, 403, 0,
			[]want{{audit.Durable, "GetThing", "AccessDenied", "User: arn:aws:iam::000000000000:user/denied is not authorized to perform: x:GetThing on resource: arn:aws:iam::000000000000:user/a because no identity-based policy allows the x:GetThing action",
				true, "IAMUser", `{"id":"a","x-Mode":"m"}`, "", "arn:aws:iam::000000000000:user/a"}}},
		{"a change that is no valid one", "POST", "/things/a", signed("bedrock"), `{"Name":"longer than ten"}`, false, 400, 0,
			[]want{{audit.Durable, "PutThing", "ValidationException", "1 validation error detected: Value 'longer than ten' at 'name' failed to satisfy constraint: Member must have length less than or equal to 10",
				false, "IAMUser", `{"id":"a","x-Mode":"m","name":"longer than ten"}`, "", ""}}},
		{"one that cannot be read", "POST", "/things/a", signed("bedrock"), `{`, false, 400, 0,
			[]want{{audit.Durable, "PutThing", "SerializationException", "The request body is not valid JSON (at byte 1).", false, "IAMUser", `{"id":"a"}`, "", ""}}},
		{"one that panics", "POST", "/things/panic", signed("bedrock"), "", false, 500, 1,
			[]want{{audit.Durable, "PutThing", "InternalServerException", internalMessage, false, "IAMUser", `{"id":"panic","x-Mode":"m"}`, "", "arn:aws:iam::000000000000:user/panic"}}},
		// Nobody waits for the record of what did not happen: where the disk is full that could take seconds.
		{"one that finds no room", "POST", "/things/full", signed("bedrock"), "", false, 503, 1,
			[]want{{audit.Plain, "PutThing", "ServiceUnavailableException", "No room", false, "IAMUser", `{"id":"full","x-Mode":"m"}`, "", "arn:aws:iam::000000000000:user/full"}}},
		{"a stranger with a body", "POST", "/things/a", signedAs("UNKNOWN", "bedrock"), body, false, 403, 0,
			[]want{{audit.Stranger, "PutThing", "UnrecognizedClientException", "The security token included in the request is invalid.", false, "Unknown", `{"id":"a"}`, "", ""}}},
		{"a stranger without", "GET", "/things/a", "", "", false, 403, 0,
			[]want{{audit.Stranger, "GetThing", "MissingAuthenticationTokenException", "Missing Authentication Token", true, "Unknown", `{"id":"a"}`, "", ""}}},
		{"who signed for another service", "POST", "/things/a", signed("other"), "", false, 403, 0,
			[]want{{audit.Durable, "PutThing", "InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'.", false, "IAMUser", `{"id":"a"}`, "", ""}}},
		{"nothing that there is", "POST", "/nothing", signed("bedrock"), "", false, 404, 0, nil},
		{"a call of the data plane", "POST", "/model/m/invoke", signed("bedrock"), body, false, 200, 1, nil},
		{"one that goes wrong", "POST", "/model/throttled/invoke", signed("bedrock"), body, false, 429, 1, nil},
		{"one that is refused", "POST", "/model/denied/invoke", signed("bedrock"), body, false, 403, 1,
			[]want{{audit.Durable, "Invoke", "AccessDenied", "User: arn:aws:iam::000000000000:user/alice is not authorized", true, "IAMUser", `{"id":"denied"}`, "", "arn:aws:bedrock:us-east-1::foundation-model/m"}}},
		{"a call, where they are recorded", "POST", "/model/m/invoke", signed("bedrock"), body, true, 200, 1,
			[]want{{audit.Plain, "Invoke", "", "", true, "IAMUser", `{"id":"m"}`, "", ""}}},
		{"one that goes wrong, where they are", "POST", "/model/throttled/invoke", signed("bedrock"), body, true, 429, 1,
			[]want{{audit.Plain, "Invoke", "ThrottlingException", "Too many requests", true, "IAMUser", `{"id":"throttled"}`, "", ""}}},
		{"one that is refused, where they are", "POST", "/model/denied/invoke", signed("bedrock"), body, true, 403, 1,
			[]want{{audit.Durable, "Invoke", "AccessDenied", "User: arn:aws:iam::000000000000:user/alice is not authorized", true, "IAMUser", `{"id":"denied"}`, "", "arn:aws:bedrock:us-east-1::foundation-model/m"}}},
		{"a stream", "POST", "/model/m/stream", signed("bedrock"), body, true, 200, 0,
			[]want{{audit.Plain, "InvokeStream", "", "", true, "IAMUser", `{"id":"m"}`, "", ""}}},
		{"a stream that breaks", "POST", "/model/broken/stream", signed("bedrock"), body, true, 200, 0,
			[]want{{audit.Plain, "InvokeStream", "ModelStreamErrorException", "It broke", true, "IAMUser", `{"id":"broken"}`, "", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, ran := &notebook{}, 0
			w := send(t, recordingServer(t, n, c.data, &ran), c.method, c.target, c.auth, c.body, "X-Mode", "m", "User-Agent", "agent/1")
			if w.Code != c.status || ran != c.ran {
				t.Errorf("status %d, the handler ran %d times: %s", w.Code, ran, w.Body)
			}
			if len(n.pages) != len(c.want) {
				t.Fatalf("%d events, want %d: %+v", len(n.pages), len(c.want), n.pages)
			}
			for i, p := range n.pages {
				var arns []string
				for _, r := range p.Resources {
					arns = append(arns, r.ARN)
				}
				got := want{p.class, p.Name, p.ErrorCode, p.ErrorMessage, p.ReadOnly, p.UserIdentity.Type, string(p.RequestParameters), string(p.ResponseElements), strings.Join(arns, " ")}
				if got != c.want[i] {
					t.Errorf("got  %+v\nwant %+v", got, c.want[i])
				}
				if p.Source != "bedrock.amazonaws.com" || p.UserAgent != "agent/1" || p.RequestID != w.Header().Get("X-Amzn-Requestid") || p.RecipientAccountID != "000000000000" {
					t.Errorf("got %+v", p.Event)
				}
				if p.class == audit.Stranger && p.UserIdentity.AccessKeyID != "CLAIMED" || p.class != audit.Stranger && p.Region != "us-east-1" {
					t.Errorf("got %+v", p.Event)
				}
				if d := p.Additional.Decision; (d != nil) != strings.Contains(c.target, "denied") || d != nil && (d.Action != "x:Invoke" || d.Effect != "implicitDeny") {
					t.Errorf("decision %+v", d)
				}
				whole, err := json.Marshal(&p.Event)
				if err != nil || strings.Contains(string(whole), "s3cr3t") || strings.Contains(string(whole), "t0k3n") {
					t.Errorf("%v: a secret is in %s", err, whole)
				}
			}
		})
	}
}

// TestRecordOmits: of a stranger who comes too often there is a number and no event, and a caller who is throttled is none.
func TestRecordOmits(t *testing.T) {
	n, ran := &notebook{}, 0
	s := recordingServer(t, n, false, &ran)
	w := send(t, s, "POST", "/things/a", signedAs("TOOMANY", "bedrock"), "{}")
	if w.Code != 429 || w.Header().Get("X-Amzn-Errortype") != "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/" || w.Header().Get("Retry-After") != "3" || w.Body.String() != `{"message":"Rate exceeded"}` {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if send(t, s, "POST", "/model/throttled/invoke", signed("bedrock"), "{}"); n.omitted != 1 || len(n.pages) != 0 {
		t.Errorf("%d are omitted, %d recorded", n.omitted, len(n.pages))
	}
}

// TestRecordFirst: what is recorded durably is recorded before the caller reads anything.
func TestRecordFirst(t *testing.T) {
	for _, auth := range []string{signed("bedrock"), signedAs("denied", "bedrock"), signedAs("UNKNOWN", "bedrock")} {
		n, ran := &notebook{}, 0
		s := recordingServer(t, n, false, &ran)
		w := &writes{}
		n.onRecord = func() {
			if w.n > 0 {
				t.Errorf("%s: %d writes came before the record", auth, w.n)
			}
		}
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/things/a", http.NoBody)
		r.RequestURI = "/things/a"
		r.Header.Set("Authorization", auth)
		s.ServeHTTP(w, r)
		if len(n.pages) != 1 || w.n == 0 {
			t.Errorf("%d events, %d writes", len(n.pages), w.n)
		}
	}
}

type writes struct {
	h http.Header
	n int
}

func (w *writes) Header() http.Header {
	if w.h == nil {
		w.h = http.Header{}
	}
	return w.h
}
func (w *writes) WriteHeader(int)             { w.n++ }
func (w *writes) Write(b []byte) (int, error) { w.n++; return len(b), nil }

// TestRecordFails: while nothing can be recorded nothing is changed; a change that could not be recorded is not told as if
// it was; a refusal stands, and what only reads goes on.
// Of an operation that needs no credentials everybody who is refused is a stranger, whose record is bounded: whoever has a token of
// a public identity provider may ask as often as he likes.
func TestRecordOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"denied":   {fault.New(fault.AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity"), "AccessDenied 000000000000"},
		"invalid":  {fault.New(fault.Validation, "no"), "ValidationException "},
		"internal": {errors.New("ours"), ""},
		"well":     {nil, "durable"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &notebook{}
			open := func(_ context.Context, c *Call, _ *struct{}) (*struct{}, error) {
				if tt.err == nil || fault.Is(tt.err, fault.AccessDenied) {
					c.Caller.Account = "000000000000"
				}
				return nil, tt.err
			}
			s, err := NewServer(Config{
				Services:      []*Service{{Name: "sts", SigningName: "sts", Protocol: AWSQuery, Version: "1", Namespace: "n", Exception: restService("x", "").Exception, Ops: []Op{Handle(Row{Name: "Assume", Action: "sts:Assume", Open: true, Checked: "the handler"}, nil, open)}}},
				Authenticator: gate{}, Guard: gate{}, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Recorder: n,
				Anonymous: func(*http.Request) iam.Caller { return iam.Caller{Region: "us-east-1"} },
			})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("Action=Assume&Version=1"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			s.ServeHTTP(httptest.NewRecorder(), r)
			got := ""
			for _, p := range n.pages {
				if p.class == audit.Stranger {
					got += p.ErrorCode + " " + p.RecipientAccountID
				} else if p.class == audit.Durable && p.ErrorCode == "" {
					got += "durable"
				}
			}
			if got != tt.want {
				t.Errorf("recorded %q, want %q: %+v", got, tt.want, n.pages)
			}
		})
	}
}

func TestRecordFails(t *testing.T) {
	down := &fault.Error{Kind: fault.Unavailable, Message: "The audit record cannot be written. Try again later.", RetryAfter: time.Second}
	for _, c := range []struct {
		name           string
		ready, failing error
		method, auth   string
		status, ran    int
	}{
		{"a change while it cannot be recorded", down, down, "POST", signed("bedrock"), 503, 0},
		{"a change that could be and then was not", nil, down, "POST", signed("bedrock"), 503, 1},
		{"a change whose recording goes wrong otherwise", nil, errors.New("broken"), "POST", signed("bedrock"), 500, 1},
		{"a refusal", down, down, "POST", signedAs("denied", "bedrock"), 403, 0},
		{"a stranger", down, down, "POST", signedAs("UNKNOWN", "bedrock"), 403, 0},
		{"a read for which there is no room", down, down, "GET", signed("bedrock"), 503, 1},
		{"a read", down, nil, "GET", signed("bedrock"), 200, 1},
	} {
		n, ran := &notebook{ready: c.ready, failing: c.failing}, 0
		w := send(t, recordingServer(t, n, false, &ran), c.method, "/things/a", c.auth, "")
		if w.Code != c.status || ran != c.ran {
			t.Errorf("%s: status %d, the handler ran %d times: %s", c.name, w.Code, ran, w.Body)
		}
		if len(n.pages) != 1 {
			t.Errorf("%s: %d events", c.name, len(n.pages))
		}
	}
}

// The names are AWS's, with what CloudTrail says of them.
func TestReadOnly(t *testing.T) {
	for name, want := range map[string]bool{
		"GetCallerIdentity": true, "ListUsers": true, "LookupEvents": true, "DescribeTrails": true, "SimulateCustomPolicy": true, "ValidatePolicy": true, "CountTokens": true,
		"CreateUser": false, "DeleteUser": false, "PutUserPolicy": false, "TagResource": false, "UntagResource": false, "AttachUserPolicy": false, "UpdateAccessKey": false,
		"AssumeRole": false, "Getaway": false, "Listen": false, "ResetServiceSpecificCredential": false, "SetDefaultPolicyVersion": false, "": false,
	} {
		if got := (&Row{Name: name}).ReadOnly(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !(&Row{Name: "InvokeModel", Data: true}).ReadOnly() {
		t.Error("InvokeModel is recorded as a change")
	}
}
