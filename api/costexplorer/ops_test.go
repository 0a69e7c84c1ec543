package costexplorer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/ledger"
	"outcrop/store"
	"outcrop/store/storetest"
	"outcrop/wire"
)

// now is when the exchanges of testdata take place.
var now = time.Date(2024, 2, 10, 12, 30, 0, 0, time.UTC)

const account = "000000000000"

// calls reads testdata/calls.json: what the exchanges are about.
func calls(t testing.TB) []ledger.Entry {
	t.Helper()
	var list []struct {
		Time                  time.Time
		Account, User, Region string
		Operation             string
		Resource, Name, Model string
		Tags                  [][2]string
		Charges               []ledger.Charge
	}
	readJSON(t, "calls.json", &list)
	var entries []ledger.Entry
	for i, c := range list {
		id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "call ", i))
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: id, Time: c.Time, Account: c.Account, Principal: "arn:aws:iam::" + c.Account + ":user/" + c.User, Region: c.Region, Operation: c.Operation,
				ResourceARN: c.Resource, ResourceName: c.Name, ModelID: c.Model, Scope: "region",
			},
			Settlement: ledger.Settlement{ID: id, Time: c.Time, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: c.Charges},
		}
		for _, kv := range c.Tags {
			e.Tags = append(e.Tags, ledger.Tag{Key: kv[0], Value: kv[1]})
		}
		entries = append(entries, e)
	}
	return entries
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// filled is a store with entries in its index.
func filled(t *testing.T, entries []ledger.Entry) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	storetest.Fill(t, s, entries)
	return s
}

// door lets everybody in as the account that stands where the access key id is, and notes what is asked for.
type door struct{ accesses []iam.Access }

func (*door) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (d *door) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(credential, "/")
	return iam.Caller{Account: parts[0], Region: parts[2], ARN: "arn:aws:iam::" + parts[0] + ":root", Service: "ce"}, nil
}

func (d *door) Check(_ context.Context, _ string, _ *iam.Caller, accesses []iam.Access) error {
	d.accesses = append(d.accesses, accesses...)
	return nil
}

// client speaks to a server with the service in it.
type client struct {
	server *wire.Server
	door   *door
}

func newClient(t *testing.T, r Ledger) *client {
	t.Helper()
	c := &client{door: new(door)}
	var err error
	c.server, err = wire.NewServer(wire.Config{
		Services: []*wire.Service{New(r, func() time.Time { return now })}, Authenticator: c.door, Guard: c.door,
		Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) post(account, region, operation string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSInsightsIndexService."+operation)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+account+"/20240210/"+region+"/ce/aws4_request, SignedHeaders=host, Signature=0")
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	return w
}

// TestExchanges runs the requests of testdata over HTTP. The answers there were worked out by hand from calls.json and
// AWS's documents.
func TestExchanges(t *testing.T) {
	c := newClient(t, filled(t, calls(t)))
	for _, file := range []string{"get_cost_and_usage.json", "get_tags.json", "get_dimension_values.json", "errors.json"} {
		var exchanges []struct {
			Note, Operation, Account, Region string
			Request                          jsontext.Value
			Status                           int
			Response                         any
		}
		readJSON(t, file, &exchanges)
		for _, x := range exchanges {
			t.Run(strings.TrimSuffix(file, ".json")+"/"+x.Note, func(t *testing.T) {
				if x.Account == "" {
					x.Account = account
				}
				if x.Region == "" {
					x.Region = "us-east-1"
				}
				c.door.accesses = nil
				w := c.post(x.Account, x.Region, x.Operation, x.Request)
				if w.Code != x.Status {
					t.Errorf("status %d, want %d", w.Code, x.Status)
				}
				var got any
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatalf("%v: %s", err, w.Body)
				}
				if !reflect.DeepEqual(got, x.Response) {
					want, err := json.Marshal(x.Response, jsontext.WithIndent(" "), json.Deterministic(true))
					if err != nil {
						t.Fatal(err)
					}
					have, err := json.Marshal(got, jsontext.WithIndent(" "), json.Deterministic(true))
					if err != nil {
						t.Fatal(err)
					}
					t.Errorf("got %s\nwant %s", have, want)
				}
				if len(c.door.accesses) != 1 || c.door.accesses[0].Action != "ce:"+x.Operation || c.door.accesses[0].Resource != "*" {
					t.Errorf("asked for %+v", c.door.accesses)
				}
			})
		}
	}
}

// TestUnits: what is not counted in tokens has the unit that its quantity has in reports.
func TestUnits(t *testing.T) {
	entries := many(1)
	entries[0].Charges = []ledger.Charge{
		{UsageType: "USE1-Claude3Haiku-input-tokens", Quantity: 1, Nano: 1}, {UsageType: "USE1-Llama3.1-8BInstruct-gpu-time", Quantity: 1, Nano: 1},
		{UsageType: "USW2-AmazonRerank-v1-searchunits", Quantity: 1, Nano: 1},
	}
	var got GetDimensionValuesOutput
	w := newClient(t, filled(t, entries)).post(account, "us-east-1", "GetDimensionValues", []byte(`{"TimePeriod":{"Start":"2024-01-01","End":"2024-01-07"},"Dimension":"USAGE_TYPE"}`))
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	units := map[string]string{}
	for _, v := range got.DimensionValues {
		units[v.Value] = v.Attributes["unit"]
	}
	want := map[string]string{"USE1-Claude3Haiku-input-tokens": "1K tokens", "USE1-Llama3.1-8BInstruct-gpu-time": "Milliseconds", "USW2-AmazonRerank-v1-searchunits": "Search Units"}
	if !maps.Equal(units, want) {
		t.Errorf("%v, want %v", units, want)
	}
}

// many is n groups in each of two days: one profile each, named by its number.
func many(n int) []ledger.Entry {
	var entries []ledger.Entry
	for d := range 2 {
		for i := range n {
			id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "many ", d, i))
			entries = append(entries, ledger.Entry{
				Intent: ledger.Intent{
					ID: id, Time: time.Date(2024, 1, 5+2*d, 1, 0, 0, 0, time.UTC), Account: account, Principal: "arn:aws:iam::000000000000:root",
					Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/p",
					ResourceName: "p", ModelID: "m", Tags: []ledger.Tag{{Key: "N", Value: fmt.Sprintf("%06d", i)}},
				},
				Settlement: ledger.Settlement{ID: id, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: int64(1 + i)}}},
			})
		}
	}
	return entries
}

// TestPages: every group comes once, over pages that are full but for the last, and a token is good for its own request
// and account only.
func TestPages(t *testing.T) {
	const groups, n = 10, 22 // groups of a page, and of a day
	s := newService(filled(t, many(n)), func() time.Time { return now })
	s.maxGroups, s.maxValues = groups, 4
	in := &GetCostAndUsageInput{
		TimePeriod: &DateInterval{Start: "2024-01-04", End: "2024-01-09"}, Granularity: "DAILY", Metrics: []string{"UnblendedCost"},
		GroupBy: []GroupDefinition{{Type: "TAG", Key: "N"}},
	}
	seen := map[string]int{}
	var periods []string
	pages := 0
	for {
		out, err := s.getCostAndUsage(t.Context(), account, in)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		given := 0
		for _, r := range out.ResultsByTime {
			if len(periods) == 0 || periods[len(periods)-1] != r.TimePeriod.Start {
				periods = append(periods, r.TimePeriod.Start)
			}
			given += max(1, len(r.Groups))
			for _, g := range r.Groups {
				seen[r.TimePeriod.Start+g.Keys[0]]++
			}
		}
		if given > groups || out.NextPageToken != "" && given != groups {
			t.Errorf("page %d has %d groups", pages, given)
		}
		if out.NextPageToken == "" {
			break
		}
		in.NextPageToken = out.NextPageToken
		if pages == 1 {
			changed := *in
			changed.Granularity = "MONTHLY"
			if _, err := s.getCostAndUsage(t.Context(), account, &changed); !fault.Is(err, fault.Conflict) {
				t.Errorf("another request with the token: %v", err)
			}
			if _, err := s.getCostAndUsage(t.Context(), "111111111111", in); !fault.Is(err, fault.Conflict) {
				t.Errorf("another account with the token: %v", err)
			}
		}
	}
	if want := []string{"2024-01-04", "2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08"}; !reflect.DeepEqual(periods, want) {
		t.Errorf("got periods %v, want %v", periods, want)
	}
	if len(seen) != 2*n || pages != 5 {
		t.Errorf("got %d groups on %d pages, want %d on 5", len(seen), pages, 2*n)
	}
	for k, times := range seen {
		if times != 1 {
			t.Fatalf("%s comes %d times", k, times)
		}
	}

	// A period that fills its page to the last place: the next page begins with the next period.
	in = &GetCostAndUsageInput{
		TimePeriod: &DateInterval{Start: "2024-01-05", End: "2024-01-08"}, Granularity: "DAILY", Metrics: []string{"UnblendedCost"},
		GroupBy: []GroupDefinition{{Type: "TAG", Key: "N"}},
		Filter:  jsontext.Value(`{"Tags":{"Key":"N","MatchOptions":["STARTS_WITH"],"Values":["00000"]}}`),
	}
	var sizes [][]int
	for range 4 {
		out, err := s.getCostAndUsage(t.Context(), account, in)
		if err != nil {
			t.Fatal(err)
		}
		var size []int
		for _, r := range out.ResultsByTime {
			size = append(size, len(r.Groups))
		}
		sizes = append(sizes, size)
		if in.NextPageToken = out.NextPageToken; in.NextPageToken == "" {
			break
		}
	}
	if want := [][]int{{groups}, {0, groups - 1}, {1}}; !reflect.DeepEqual(sizes, want) {
		t.Errorf("got pages of %v groups, want %v", sizes, want)
	}

	// Periods without groups are paged too: hours, with a page that ends where the count of seconds begins.
	in = &GetCostAndUsageInput{TimePeriod: &DateInterval{Start: "1969-12-31T04:00:00Z", End: "1970-01-02T00:00:00Z"}, Granularity: "HOURLY", Metrics: []string{"BlendedCost"}}
	total := 0
	for range 10 {
		out, err := s.getCostAndUsage(t.Context(), account, in)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.ResultsByTime) > groups {
			t.Errorf("a page of %d hours", len(out.ResultsByTime))
		}
		total += len(out.ResultsByTime)
		if in.NextPageToken = out.NextPageToken; in.NextPageToken == "" {
			break
		}
	}
	if want := 20 + 24; total != want {
		t.Errorf("got %d hours, want %d", total, want)
	}

	// Tag values are paged too.
	tags := &GetTagsInput{TimePeriod: in.TimePeriod, TagKey: "N"}
	tags.TimePeriod = &DateInterval{Start: "2024-01-01", End: "2024-02-01"}
	values := map[string]bool{}
	for range n {
		out, err := s.getTags(t.Context(), account, tags)
		if err != nil {
			t.Fatal(err)
		}
		if out.TotalSize != n || out.ReturnSize != len(out.Tags) || len(out.Tags) > s.maxValues {
			t.Fatalf("got %d of %d tags, %d said", len(out.Tags), out.TotalSize, out.ReturnSize)
		}
		for _, v := range out.Tags {
			values[v] = true
		}
		if tags.NextPageToken = out.NextPageToken; tags.NextPageToken == "" {
			break
		}
	}
	if len(values) != n {
		t.Errorf("got %d values, want %d", len(values), n)
	}
}

// TestTokens: a token that was tampered with is refused or harmless.
func TestTokens(t *testing.T) {
	s := newService(filled(t, calls(t)), func() time.Time { return now })
	in := &GetCostAndUsageInput{TimePeriod: &DateInterval{Start: "2024-01-01", End: "2024-02-01"}, Granularity: "DAILY", Metrics: []string{"BlendedCost"}, GroupBy: []GroupDefinition{{Type: "TAG", Key: "Project"}}}
	sum, err := digest(account, "GetCostAndUsage", in)
	if err != nil {
		t.Fatal(err)
	}
	at := func(t time.Time) *int64 { return new(t.Unix()) }
	jan := func(d int) time.Time { return time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC) }
	for _, p := range []page{
		{}, {After: []string{"x"}}, {Start: at(jan(1).Add(-time.Hour))}, {Start: at(jan(32))}, {Start: at(jan(3)), After: []string{"a", "b"}},
	} {
		token, err := p.token(sum)
		if err != nil {
			t.Fatal(err)
		}
		in.NextPageToken = token
		if _, err := s.getCostAndUsage(t.Context(), account, in); !fault.Is(err, fault.InvalidNextToken) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	in.NextPageToken, err = page{Start: at(jan(15)), After: []string{"Project$Alpha"}}.token(sum)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.getCostAndUsage(t.Context(), account, in)
	if err != nil {
		t.Fatal(err)
	}
	if r := out.ResultsByTime[0]; r.TimePeriod.Start != "2024-01-15" || len(r.Groups) != 1 || r.Groups[0].Keys[0] != "Project$Beta" {
		t.Errorf("got %+v", r)
	}
}

// TestException: every kind of fault that concerns this service has its exception, of the model or ValidationException;
// the rest is left to wire.
func TestException(t *testing.T) {
	want := map[fault.Kind]string{
		fault.Validation: "ValidationException", fault.TooLarge: "ValidationException", fault.AccessDenied: "AccessDeniedException",
		fault.NotFound: "ResourceNotFoundException", fault.Throttled: "LimitExceededException", fault.QuotaExceeded: "LimitExceededException",
		fault.LimitExceeded: "LimitExceededException", fault.Conflict: "RequestChangedException", fault.InvalidNextToken: "InvalidNextTokenException",
		fault.DataUnavailable: "DataUnavailableException", fault.InvalidInput: "UnresolvableUsageUnitException",
	}
	for _, k := range fault.Kinds() {
		e, ok := exceptions.Of(k)
		if code, has := want[k]; ok != has || e.Code != code || ok && e.Status != 400 {
			t.Errorf("%v: got %+v %v, want %q", k, e, ok, code)
		}
	}
}

// TestStoreFails: an error of the store reads as an internal error and says nothing.
func TestStoreFails(t *testing.T) {
	s := newService(filled(t, calls(t)), func() time.Time { return now })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tp := &DateInterval{Start: "2024-01-01", End: "2024-02-01"}
	if _, err := s.getCostAndUsage(ctx, account, &GetCostAndUsageInput{TimePeriod: tp, Granularity: "DAILY", Metrics: []string{"BlendedCost"}}); err == nil || fault.From(err).Kind != fault.Internal {
		t.Errorf("got %v", err)
	}
	if _, err := s.getTags(ctx, account, &GetTagsInput{TimePeriod: tp}); err == nil || fault.From(err).Kind != fault.Internal {
		t.Errorf("got %v", err)
	}
	if _, err := s.getDimensionValues(ctx, account, &GetDimensionValuesInput{TimePeriod: tp, Dimension: "REGION"}); err == nil || fault.From(err).Kind != fault.Internal {
		t.Errorf("got %v", err)
	}
}

func FuzzExpression(f *testing.F) {
	var exchanges []struct {
		Note, Operation, Account, Region string
		Request                          struct{ Filter jsontext.Value }
		Status                           int
		Response                         any
	}
	for _, file := range []string{"get_cost_and_usage.json", "errors.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		if err := json.Unmarshal(b, &exchanges); err != nil {
			f.Fatal(err)
		}
		for _, x := range exchanges {
			f.Add([]byte(x.Request.Filter))
		}
	}
	deep := strings.Repeat(`{"Not":`, 40) + `{"Tags":{}}` + strings.Repeat("}", 40)
	f.Add([]byte(deep))
	rows := []*cost.Charges{
		{}, {Account: account, Region: "us-east-1", Service: "Amazon Bedrock", UsageType: "USE1-X-input-tokens", Tags: []ledger.Tag{{Key: "Project", Value: "Alpha"}}},
	}
	f.Fuzz(func(t *testing.T, filter []byte) {
		p, err := compileFilter(filter, new(cost.Tagging))
		if err != nil {
			if k := fault.From(err).Kind; k != fault.Validation && k != fault.Serialization {
				t.Fatalf("%v", err)
			}
			return
		}
		if p.accepts == nil {
			return
		}
		not, err := compileFilter(append(append([]byte(`{"Not":`), filter...), '}'), new(cost.Tagging))
		if err != nil { // one deeper than is allowed
			return
		}
		for _, row := range rows {
			if p.accepts(row) == not.accepts(row) {
				t.Fatalf("%s and its negation agree", filter)
			}
		}
	})
}

// TestFilterBounds: deep and wide filters are refused, up to the bounds they work.
func TestFilterBounds(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"Not":`, n-1) + `{"Dimensions":{"Key":"SERVICE","Values":["x"]}}` + strings.Repeat("}", n-1)
	}
	wide := func(n int) string {
		return `{"Or":[` + strings.TrimSuffix(strings.Repeat(`{"Tags":{}},`, n), ",") + `]}`
	}
	for _, tc := range []struct {
		filter string
		ok     bool
	}{{nested(maxDepth), true}, {nested(maxDepth + 1), false}, {wide(maxNodes - 1), true}, {wide(maxNodes), false}, {nested(9_000), false}, {nested(100_000), false}} {
		if _, err := compileFilter([]byte(tc.filter), new(cost.Tagging)); (err == nil) != tc.ok {
			t.Errorf("%.40s... (%d bytes): %v", tc.filter, len(tc.filter), err)
		}
	}
}

func FuzzTimePeriod(f *testing.F) {
	for _, s := range [][2]string{{"2024-01-01", "2024-02-01"}, {"2024-01-01T00:00:00Z", "2024-01-01T01:30:00Z"}, {"", "x"}, {"0000-01-01", "0001-01-01"}, {"9999-12-31", "9999-12-31"}, {"2024-02-10T12:00:00Z", "2024-02-10T12:00:01Z"}} {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	f.Fuzz(func(t *testing.T, s, e string, hourly bool) {
		start, end, err := parseInterval(&DateInterval{Start: s, End: e}, hourly, now)
		if err != nil {
			if fault.From(err).Kind != fault.Validation {
				t.Fatal(err)
			}
			return
		}
		if !start.Before(end) || start.Truncate(time.Hour) != start || end.Truncate(time.Hour) != end || start.After(now) || end.After(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("%q to %q is %v to %v", s, e, start, end)
		}
		// What is answered can be asked again and means the same.
		b := cost.Day
		if hourly {
			b = cost.Hour
		}
		again := interval(start, end, b)
		start2, end2, err := parseInterval(&again, hourly, now)
		if err != nil || start2 != start || end2 != end {
			t.Fatalf("%q to %q is %v to %v, and asked again %v to %v (%v)", s, e, start, end, start2, end2, err)
		}
	})
}
