package cloudtrail

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/store"
	"outcrop/wire"
)

const account = "111122223333"

var began = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// door lets everybody in as the account that stands where the access key id is, and notes what is asked for.
type door struct{ accesses []iam.Access }

func (*door) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (d *door) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(credential, "/")
	return iam.Caller{Account: parts[0], Region: parts[2], ARN: "arn:aws:iam::" + parts[0] + ":root", Root: true, Service: "cloudtrail"}, nil
}

func (d *door) Check(_ context.Context, _ string, _ *iam.Caller, accesses []iam.Access) error {
	d.accesses = append(d.accesses, accesses...)
	return nil
}

// filled is a store with events, a second apart, and a server over it.
func filled(t *testing.T, events ...*audit.Event) (*wire.Server, *door) {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	if err != nil {
		t.Fatal(err)
	}
	now := began
	l, err := audit.Open(t.Context(), audit.Config{Store: st, Sealer: sealer, Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := l.Record(t.Context(), e, audit.Plain); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := new(door)
	s, err := wire.NewServer(wire.Config{Services: []*wire.Service{New(st)}, Authenticator: d, Guard: d, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

func post(s *wire.Server, account, region, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost/", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+account+"/20260102/"+region+"/cloudtrail/aws4_request, SignedHeaders=host, Signature=0")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func event(account, region, name string, readOnly bool, user, key, source string, arns ...string) *audit.Event {
	e := &audit.Event{
		UserIdentity: audit.Identity{Type: "IAMUser", ARN: "arn:aws:iam::" + account + ":user/" + user, AccountID: account, AccessKeyID: key, UserName: user},
		Source:       source, Name: name, Region: region, SourceIP: "203.0.113.7", ReadOnly: readOnly, RecipientAccountID: account,
	}
	for _, arn := range arns {
		r, ok := audit.ResourceOf(arn)
		if !ok {
			panic(arn)
		}
		e.Resources = append(e.Resources, r)
	}
	return e
}

// events are what the tests look up: they are called e0, e1... in the tests by their place.
func events() []*audit.Event {
	const profile = "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abc123def456"
	return []*audit.Event{
		event(account, "us-east-1", "CreateUser", false, "alice", "AKIAALICE", "iam.amazonaws.com", "arn:aws:iam::"+account+":user/team/bob"),
		event(account, "us-east-1", "GetUser", true, "alice", "AKIAALICE", "iam.amazonaws.com", "arn:aws:iam::"+account+":user/team/bob"),
		event(account, "us-east-1", "CreateInferenceProfile", false, "bob", "AKIABOB", "bedrock.amazonaws.com", profile),
		event("444455556666", "us-east-1", "CreateUser", false, "alice", "AKIAALICE", "iam.amazonaws.com", "arn:aws:iam::444455556666:user/team/bob"),
		event(account, "eu-west-1", "CreateInferenceProfile", false, "bob", "AKIABOB", "bedrock.amazonaws.com", profile),
		event(account, "us-east-1", "DeleteInferenceProfile", false, "alice", "AKIAALICE2", "bedrock.amazonaws.com", profile),
		event("", "us-east-1", "GetUser", true, "", "", "iam.amazonaws.com"), // a stranger
	}
}

type answer struct {
	Events []struct {
		EventId, EventName, ReadOnly, AccessKeyId, EventSource, Username, CloudTrailEvent string
		EventTime                                                                         float64
		Resources                                                                         []struct{ ResourceType, ResourceName string }
	}
	NextToken string
}

// seconds tell which of events it is.
func places(t *testing.T, w *httptest.ResponseRecorder) (places []int, a answer) {
	t.Helper()
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	for _, e := range a.Events {
		places = append(places, int(e.EventTime)-int(began.Unix()))
	}
	return places, a
}

func TestLookupEvents(t *testing.T) {
	s, d := filled(t, events()...)
	attribute := func(key, value string) string {
		return `{"LookupAttributes":[{"AttributeKey":"` + key + `","AttributeValue":"` + value + `"}]}`
	}
	at := func(i int) int64 { return began.Unix() + int64(i) }
	for _, c := range []struct {
		name, account, region, body string
		want                        []int
	}{
		{"all, newest first", account, "us-east-1", `{}`, []int{5, 2, 1, 0}},
		{"no body", account, "us-east-1", ``, []int{5, 2, 1, 0}},
		{"another Region", account, "eu-west-1", `{}`, []int{4}},
		{"another account", "444455556666", "us-east-1", `{}`, []int{3}},
		{"an account without events", "999999999999", "us-east-1", `{}`, nil},
		{"EventName", account, "us-east-1", attribute("EventName", "CreateUser"), []int{0}},
		{"ReadOnly true", account, "us-east-1", attribute("ReadOnly", "true"), []int{1}},
		{"ReadOnly false", account, "us-east-1", attribute("ReadOnly", "false"), []int{5, 2, 0}},
		{"Username", account, "us-east-1", attribute("Username", "alice"), []int{5, 1, 0}},
		{"ResourceType", account, "us-east-1", attribute("ResourceType", "AWS::IAM::User"), []int{1, 0}},
		{"ResourceName, a name", account, "us-east-1", attribute("ResourceName", "bob"), []int{1, 0}},
		{"ResourceName, an ARN", account, "us-east-1", attribute("ResourceName", "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123def456"), []int{5, 2}},
		{"EventSource", account, "us-east-1", attribute("EventSource", "bedrock.amazonaws.com"), []int{5, 2}},
		{"AccessKeyId", account, "us-east-1", attribute("AccessKeyId", "AKIAALICE"), []int{1, 0}},
		{"another account's resource", "444455556666", "us-east-1", attribute("ResourceName", "arn:aws:iam::111122223333:user/team/bob"), nil},
		{"EventId of none", account, "us-east-1", attribute("EventId", "00000000-0000-4000-8000-000000000000"), nil},
		{"a value that no event has", account, "us-east-1", attribute("ReadOnly", "maybe"), nil},
		{"from a time on, at or after it", account, "us-east-1", fmt.Sprintf(`{"StartTime":%d}`, at(1)), []int{5, 2, 1}},
		{"from within a second on", account, "us-east-1", fmt.Sprintf(`{"StartTime":%d.5}`, at(1)), []int{5, 2}},
		{"up to a time, at or before it", account, "us-east-1", fmt.Sprintf(`{"EndTime":%d.25}`, at(1)), []int{1, 0}},
		{"between", account, "us-east-1", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"alice"}]}`, at(1), at(5)), []int{5, 1}},
		{"one second", account, "us-east-1", fmt.Sprintf(`{"StartTime":%[1]d,"EndTime":%[1]d}`, at(2)), []int{2}},
		{"insights, of which there are none", account, "us-east-1", `{"EventCategory":"insight"}`, nil},
		{"fewer", account, "us-east-1", `{"MaxResults":2}`, []int{5, 2}},
		{"as many as there are", account, "us-east-1", `{"MaxResults":4}`, []int{5, 2, 1, 0}},
	} {
		got, a := places(t, post(s, c.account, c.region, c.body))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if (a.NextToken != "") != (c.name == "fewer") {
			t.Errorf("%s: the token is %q", c.name, a.NextToken)
		}
	}
	for _, a := range d.accesses {
		if a.Action != "cloudtrail:LookupEvents" || a.Resource != "*" {
			t.Errorf("asked for %+v", a)
		}
	}
	if len(d.accesses) == 0 {
		t.Error("nobody was asked")
	}

	_, a := places(t, post(s, account, "us-east-1", attribute("EventName", "CreateUser")))
	e := a.Events[0]
	var whole audit.Event
	if err := json.Unmarshal([]byte(e.CloudTrailEvent), &whole); err != nil {
		t.Fatal(err)
	}
	if e.EventId != whole.ID || e.EventName != "CreateUser" || e.ReadOnly != "false" || e.AccessKeyId != "AKIAALICE" || e.EventSource != "iam.amazonaws.com" || e.Username != "alice" ||
		fmt.Sprint(e.Resources) != "[{AWS::IAM::User arn:aws:iam::111122223333:user/team/bob} {AWS::IAM::User bob}]" || whole.Time != "2026-01-02T15:04:05Z" {
		t.Errorf("got %+v", e)
	}
	if got, _ := places(t, post(s, account, "us-east-1", attribute("EventId", e.EventId))); !slices.Equal(got, []int{0}) {
		t.Errorf("by its id: %v", got)
	}
	if got, _ := places(t, post(s, "444455556666", "us-east-1", attribute("EventId", e.EventId))); got != nil {
		t.Errorf("by its id, another account: %v", got)
	}
}

// TestPages reads 120 events in pages of each size.
func TestPages(t *testing.T) {
	var all []*audit.Event
	for range 120 {
		all = append(all, event(account, "us-east-1", "GetUser", true, "alice", "AKIAALICE", "iam.amazonaws.com"))
	}
	s, _ := filled(t, all...)
	for _, c := range []struct {
		size  string
		pages int
	}{{"", 3}, {`,"MaxResults":50`, 3}, {`,"MaxResults":49`, 3}, {`,"MaxResults":40`, 3}, {`,"MaxResults":1`, 120}} {
		want, pages := 119, 0
		for token := ""; ; {
			got, a := places(t, post(s, account, "us-east-1", `{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"alice"}]`+c.size+token+`}`))
			for _, i := range got {
				if i != want {
					t.Fatalf("page %d has %d, want %d", pages, i, want)
				}
				want--
			}
			if pages++; a.NextToken == "" {
				break
			}
			token = `,"NextToken":"` + a.NextToken + `"`
		}
		if want != -1 || pages != c.pages {
			t.Errorf("%s: %d pages, down to %d", c.size, pages, want)
		}
	}
	// A token continues its own request alone.
	_, a := places(t, post(s, account, "us-east-1", `{"MaxResults":1}`))
	token := `"NextToken":"` + a.NextToken + `"`
	if got, _ := places(t, post(s, account, "us-east-1", `{`+token+`}`)); len(got) != 50 || got[0] != 118 {
		t.Errorf("with another size of the page: %v", got)
	}
	for _, body := range []string{
		`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"alice"}],` + token + `}`, `{"StartTime":1,` + token + `}`, `{"EndTime":1800000000,` + token + `}`,
		`{"NextToken":"` + a.NextToken[:len(a.NextToken)-2] + `"}`, `{"NextToken":"?"}`, `{"NextToken":"` + strings.Repeat("A", 10000) + `"}`,
	} {
		if w := post(s, account, "us-east-1", body); w.Code != 400 || !strings.Contains(w.Body.String(), "InvalidNextTokenException") {
			t.Errorf("%.80s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, other := range [][2]string{{"444455556666", "us-east-1"}, {account, "eu-west-1"}} {
		if w := post(s, other[0], other[1], `{`+token+`}`); w.Code != 400 {
			t.Errorf("%v: %d %s", other, w.Code, w.Body)
		}
	}
}

func TestErrors(t *testing.T) {
	s, _ := filled(t)
	for _, c := range []struct{ body, code, message string }{
		{`{"MaxResults":0}`, "InvalidMaxResultsException", ""},
		{`{"MaxResults":51}`, "InvalidMaxResultsException", ""},
		{`{"MaxResults":-1}`, "InvalidMaxResultsException", ""},
		{`{"StartTime":20,"EndTime":10}`, "InvalidTimeRangeException", "the start time occurs after the end time"},
		{`{"StartTime":1e300}`, "InvalidTimeRangeException", ""},
		{`{"EndTime":-1}`, "InvalidTimeRangeException", ""},
		{`{"EventCategory":"Management"}`, "InvalidEventCategoryException", ""},
		{`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"a"},{"AttributeKey":"EventName","AttributeValue":"b"}]}`, "InvalidLookupAttributesException", "one lookup attribute"},
		{`{"LookupAttributes":[{"AttributeKey":"Color","AttributeValue":"a"}]}`, "InvalidLookupAttributesException", "enum value set"},
		{`{"LookupAttributes":[{"AttributeKey":"Username"}]}`, "InvalidLookupAttributesException", "must not be null"},
		{`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"` + strings.Repeat("a", 2001) + `"}]}`, "InvalidLookupAttributesException", "2000"},
		{`{"StartTime":"yesterday"}`, "SerializationException", ""},
		{`[]`, "SerializationException", ""},
	} {
		w := post(s, account, "us-east-1", c.body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), c.code) || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%.90s: %d %s, want %s", c.body, w.Code, w.Body, c.code)
		}
	}
}

// TestServiceModel holds the shapes against what AWS's own model has of them: testdata/model.json.
func TestServiceModel(t *testing.T) {
	var model struct {
		Source, TargetPrefix, SigningName, Operation, Input, Output string
		Errors                                                      []string
		Shapes                                                      map[string]struct {
			Type, Member string
			Required     []string
			Enum         []string
			Min, Max     *int
			Members      map[string]string
		}
	}
	text, err := os.ReadFile("testdata/model.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &model, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	s := New(nil)
	if s.TargetPrefix != model.TargetPrefix || s.SigningName != model.SigningName || len(s.Ops) != 1 || s.Ops[0].Name != model.Operation {
		t.Errorf("the service is %+v", s)
	}
	var hold func(path, shape string, typ reflect.Type, tag reflect.StructTag)
	hold = func(path, shape string, typ reflect.Type, tag reflect.StructTag) {
		m, ok := model.Shapes[shape]
		if !ok {
			t.Fatalf("%s: the model has no %s", path, shape)
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch m.Type {
		case "structure":
			seen := map[string]bool{}
			for i := range typ.NumField() {
				f := typ.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				member, ok := m.Members[name]
				if !ok {
					t.Errorf("%s.%s is not in the model", path, name)
					continue
				}
				seen[name] = true
				if required := slices.Contains(m.Required, name); required != (f.Tag.Get("required") == "true") {
					t.Errorf("%s.%s: required is %v in the model", path, name, required)
				}
				hold(path+"."+name, member, f.Type, f.Tag)
			}
			if len(seen) != len(m.Members) {
				t.Errorf("%s has %d members, the model's %d", path, len(seen), len(m.Members))
			}
		case "list":
			hold(path+"[]", m.Member, typ.Elem(), "")
		case "string":
			if typ.Kind() != reflect.String {
				t.Errorf("%s is a %v", path, typ)
			}
			if got := tag.Get("enum"); got != strings.Join(m.Enum, ",") && path != "in.EventCategory" { // which has an exception of its own
				t.Errorf("%s is one of %s, in the model of %v", path, got, m.Enum)
			}
			if m.Max != nil && (tag.Get("max") != fmt.Sprint(*m.Max) || tag.Get("min") != fmt.Sprint(*m.Min)) {
				t.Errorf("%s: %s", path, tag)
			}
		case "integer":
			if typ.Kind() != reflect.Int || *m.Min != 1 || *m.Max != maxResults {
				t.Errorf("%s is a %v", path, typ)
			}
		case "timestamp":
			if typ.Kind() != reflect.Float64 && typ != reflect.TypeFor[time.Time]() {
				t.Errorf("%s is a %v", path, typ)
			}
		default:
			t.Errorf("%s: type %s", path, m.Type)
		}
	}
	hold("in", model.Input, reflect.TypeFor[LookupEventsInput](), "")
	hold("out", model.Output, reflect.TypeFor[LookupEventsOutput](), "")

	// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/CommonErrors.html
	common := []string{"AccessDeniedException", "ThrottlingException"}
	for _, k := range fault.Kinds() {
		if e, ok := exceptions.Of(k); ok && (e.Status != 400 || !slices.Contains(model.Errors, e.Code) && !slices.Contains(common, e.Code)) {
			t.Errorf("%v is %+v", k, e)
		}
	}
}
