package costexplorer

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/profile"
)

const profileARN = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/"

// charged is a call of 2024-01-DAY through the profile id, which cost nano.
func charged(n, day int, id string, nano int64, change func(*ledger.Entry)) ledger.Entry {
	e := ledger.Entry{
		Intent: ledger.Intent{
			ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "charged ", n)), Time: time.Date(2024, 1, day, 12, 0, 0, 0, time.UTC), Account: account,
			Principal: "arn:aws:iam::000000000000:user/alice", Region: "us-east-1", Operation: "Converse",
			ResourceARN: profileARN + id, ResourceName: "shared", ModelID: "anthropic.claude-3-haiku-20240307-v1:0",
		},
		Settlement: ledger.Settlement{Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "USE1-x-input-tokens", Quantity: 1000, Nano: nano, Price: "p"}}},
	}
	e.Settlement.ID = e.Intent.ID
	if change != nil {
		change(&e)
	}
	return e
}

// ask sends a request and returns the answer, which must have a status.
func ask[Out any](t *testing.T, c *client, status int, operation, request string) (out Out) {
	t.Helper()
	w := c.post(account, "us-east-1", operation, []byte(request))
	if w.Code != status {
		t.Fatalf("%s %s: status %d: %s", operation, request, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return out
}

type usage struct {
	ResultsByTime []struct {
		Groups []struct {
			Keys    []string
			Metrics map[string]MetricValue
		}
		Total map[string]MetricValue
	}
}

// groups is the costs of January by what the request asks for, beside its time and metric.
func groups(t *testing.T, c *client, rest string) map[string]string {
	t.Helper()
	out := ask[usage](t, c, 200, "GetCostAndUsage", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"},"Granularity":"MONTHLY","Metrics":["UnblendedCost"]`+rest+`}`)
	got := map[string]string{}
	for _, r := range out.ResultsByTime {
		for _, g := range r.Groups {
			got[strings.Join(g.Keys, " ")] = g.Metrics["UnblendedCost"].Amount
		}
		if v, ok := r.Total["UnblendedCost"]; ok {
			got["total"] = v.Amount
		}
	}
	return got
}

func wantGroups(t *testing.T, c *client, rest string, want map[string]string) {
	t.Helper()
	if got := groups(t, c, rest); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", rest, got, want)
	}
}

// TestSharedProfile: what one profile cost is told apart by who called it, in which session, with which tags, and for what.
// Sources: IAM principal tags have the prefix iamPrincipal/,
// https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/cost-allocation-tags.html
func TestSharedProfile(t *testing.T) {
	role := func(session string) string { return "arn:aws:sts::000000000000:assumed-role/app/" + session }
	c := newClient(t, filled(t, []ledger.Entry{
		charged(1, 5, "p", 1e9, func(e *ledger.Entry) {
			e.Principal, e.PrincipalTags = role("alice@example.com"), []ledger.Tag{{Key: "team", Value: "red"}}
			e.Metadata = []ledger.Tag{{Key: "feature", Value: "Search"}}
		}),
		charged(2, 5, "p", 2e9, func(e *ledger.Entry) {
			e.Principal, e.PrincipalTags = role("bob"), []ledger.Tag{{Key: "team", Value: "blue"}}
			e.Tags = []ledger.Tag{{Key: "Project", Value: "Alpha"}}
		}),
		charged(3, 6, "p", 4e9, func(e *ledger.Entry) { e.Metadata = []ledger.Tag{{Key: "feature", Value: "Chat"}} }),
	}))
	by := func(keys ...string) string {
		var defs []string
		for _, k := range keys {
			defs = append(defs, fmt.Sprintf(`{"Type":"TAG","Key":%q}`, k))
		}
		return `,"GroupBy":[` + strings.Join(defs, ",") + `]`
	}
	wantGroups(t, c, by("iamPrincipal/team"), map[string]string{"iamPrincipal/team$red": "1", "iamPrincipal/team$blue": "2", "iamPrincipal/team$": "4"})
	wantGroups(t, c, by("requestMetadata/feature", "iamPrincipal/team"), map[string]string{
		"requestMetadata/feature$Search iamPrincipal/team$red": "1", "requestMetadata/feature$ iamPrincipal/team$blue": "2", "requestMetadata/feature$Chat iamPrincipal/team$": "4",
	})
	wantGroups(t, c, by("outcrop:sessionName"), map[string]string{"outcrop:sessionName$alice@example.com": "1", "outcrop:sessionName$bob": "2", "outcrop:sessionName$": "4"})
	wantGroups(t, c, by("outcrop:principal"), map[string]string{
		"outcrop:principal$" + role("alice@example.com"): "1", "outcrop:principal$" + role("bob"): "2", "outcrop:principal$arn:aws:iam::000000000000:user/alice": "4",
	})
	wantGroups(t, c, by("outcrop:profileName", "outcrop:model"), map[string]string{"outcrop:profileName$shared outcrop:model$anthropic.claude-3-haiku-20240307-v1:0": "7"})
	for filter, want := range map[string]string{
		`{"Tags":{"Key":"iamPrincipal/team","Values":["red"]}}`:                                                                                      "1",
		`{"Not":{"Tags":{"Key":"iamPrincipal/team","MatchOptions":["ABSENT"]}}}`:                                                                     "3",
		`{"Tags":{"Key":"requestMetadata/feature","Values":["chat"],"MatchOptions":["CASE_INSENSITIVE"]}}`:                                           "4",
		`{"Tags":{"Key":"requestMetadata/feature","Values":["S"],"MatchOptions":["STARTS_WITH"]}}`:                                                   "1",
		`{"Or":[{"Tags":{"Key":"Project","Values":["Alpha"]}},{"Tags":{"Key":"outcrop:principal","Values":["` + role("alice@example.com") + `"]}}]}`: "3",
		`{"Tags":{}}`: "5", // what has no tags of its profile's, whoever called
	} {
		wantGroups(t, c, `,"Filter":`+filter, map[string]string{"total": want})
	}

	tags := ask[GetTagsOutput](t, c, 200, "GetTags", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"}}`)
	if want := []string{"Project", "iamPrincipal/team", "requestMetadata/feature"}; !reflect.DeepEqual(tags.Tags, want) {
		t.Errorf("the keys are %q, want %q", tags.Tags, want)
	}
	tags = ask[GetTagsOutput](t, c, 200, "GetTags", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"},"TagKey":"requestMetadata/feature"}`)
	if want := []string{"", "Chat", "Search"}; !reflect.DeepEqual(tags.Tags, want) {
		t.Errorf("the values are %q, want %q", tags.Tags, want)
	}
}

// TestAllocationTags: keys that were used are listed with what is known of them; an inactive one is in no report, of any time,
// and is back when it is active again.
func TestAllocationTags(t *testing.T) {
	st := filled(t, []ledger.Entry{
		charged(1, 5, "p", 1e9, func(e *ledger.Entry) {
			e.Tags, e.PrincipalTags = []ledger.Tag{{Key: "Project", Value: "Alpha"}, {Key: "Team", Value: "x"}}, []ledger.Tag{{Key: "team", Value: "red"}}
		}),
		charged(2, 5, "p", 2e9, nil),
	})
	if _, _, err := st.Profiles().Insert(t.Context(), &profile.Profile{Account: account, Region: "us-east-1", ID: "unused", CreatedAt: now, Tags: []profile.Tag{{Key: "New"}}}, 10); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, st)
	list := func(request string) (lines []string) {
		t.Helper()
		for token := ""; ; {
			r := strings.TrimSuffix(request, "}")
			if token != "" {
				r += fmt.Sprintf(`,"NextToken":%q`, token)
			}
			out := ask[ListCostAllocationTagsOutput](t, c, 200, "ListCostAllocationTags", r+"}")
			for _, tag := range out.CostAllocationTags {
				lines = append(lines, strings.Join([]string{tag.TagKey, tag.Type, tag.Status, tag.LastUpdatedDate, tag.LastUsedDate}, "|"))
			}
			if token = out.NextToken; token == "" {
				return lines
			}
		}
	}
	const january = "2024-01-01T00:00:00Z"
	all := []string{
		"New|UserDefined|Active||", "Project|UserDefined|Active||" + january, "Team|UserDefined|Active||" + january, "iamPrincipal/team|UserDefined|Active||" + january,
		"outcrop:model|AWSGenerated|Active||" + january, "outcrop:principal|AWSGenerated|Active||" + january, "outcrop:profileName|AWSGenerated|Active||" + january,
		"outcrop:sessionName|AWSGenerated|Active||",
	}
	for _, request := range []string{`{}`, `{"MaxResults":3}`} {
		if got := list(request); !reflect.DeepEqual(got, all) {
			t.Errorf("%s: got %q\nwant %q", request, got, all)
		}
	}
	if got := list(`{"Type":"AWSGenerated","TagKeys":["Project","outcrop:model"]}`); !reflect.DeepEqual(got, all[4:5]) {
		t.Errorf("got %q", got)
	}
	ask[any](t, c, 400, "ListCostAllocationTags", `{"NextToken":"AAAA"}`)

	update := func(entries string) UpdateCostAllocationTagsStatusOutput {
		t.Helper()
		return ask[UpdateCostAllocationTagsStatusOutput](t, c, 200, "UpdateCostAllocationTagsStatus", `{"CostAllocationTagsStatus":[`+entries+`]}`)
	}
	got := update(`{"TagKey":"Project","Status":"Inactive"},{"TagKey":"tagC","Status":"Active"},{"TagKey":"iamPrincipal/team","Status":"Inactive"}`)
	want := []UpdateCostAllocationTagsStatusError{{TagKey: "tagC", Code: "TagKeysNotFoundException", Message: "Failed to update Cost Allocation Tag: tagC"}}
	if !reflect.DeepEqual(got.Errors, want) {
		t.Errorf("got %+v", got.Errors)
	}
	if got := list(`{"Status":"Inactive"}`); !reflect.DeepEqual(got, []string{"Project|UserDefined|Inactive|2024-02-10T12:30:00Z|" + january, "iamPrincipal/team|UserDefined|Inactive|2024-02-10T12:30:00Z|" + january}) {
		t.Errorf("inactive are %q", got)
	}
	project := `,"GroupBy":[{"Type":"TAG","Key":"Project"}]`
	wantGroups(t, c, project, map[string]string{"Project$": "3"})
	wantGroups(t, c, `,"Filter":{"Tags":{"Key":"Project","Values":["Alpha"]}}`, map[string]string{"total": "0"})
	wantGroups(t, c, `,"Filter":{"Tags":{"Key":"Project","MatchOptions":["ABSENT"]}}`, map[string]string{"total": "3"})
	tags := ask[GetTagsOutput](t, c, 200, "GetTags", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"}}`)
	if !reflect.DeepEqual(tags.Tags, []string{"Team"}) {
		t.Errorf("the keys are %q", tags.Tags)
	}
	if got := update(`{"TagKey":"Project","Status":"Active"}`); len(got.Errors) != 0 {
		t.Errorf("got %+v", got.Errors)
	}
	wantGroups(t, c, project, map[string]string{"Project$Alpha": "1", "Project$": "2"})
	ask[any](t, c, 400, "UpdateCostAllocationTagsStatus", `{"CostAllocationTagsStatus":[{"TagKey":"Project","Status":"Active"},{"TagKey":"Project","Status":"Inactive"}]}`)
	ask[any](t, c, 400, "UpdateCostAllocationTagsStatus", `{"CostAllocationTagsStatus":[]}`)
}

// TestTaggedNow: costs of a profile that was tagged later, or in another way, are allocated as it is tagged now in the view of
// that name, and as it was then in the primary one.
func TestTaggedNow(t *testing.T) {
	tagged := func(v string) func(*ledger.Entry) {
		return func(e *ledger.Entry) { e.Tags = []ledger.Tag{{Key: "Project", Value: v}} }
	}
	st := filled(t, []ledger.Entry{
		charged(1, 5, "late", 1e9, nil), charged(2, 6, "late", 2e9, tagged("Alpha")), charged(3, 5, "gone", 4e9, tagged("Beta")),
		charged(4, 5, "older", 8e9, tagged("Gamma")), // deleted before there was a history
	})
	ps := st.Profiles()
	for _, id := range []string{"late", "gone"} {
		if _, _, err := ps.Insert(t.Context(), &profile.Profile{Account: account, Region: "us-east-1", ID: id, CreatedAt: now.AddDate(0, -2, 0)}, 10); err != nil {
			t.Fatal(err)
		}
	}
	for id, v := range map[string]string{"late": "Alpha", "gone": "Delta"} {
		if _, _, err := ps.EditTags(t.Context(), account, "us-east-1", id, now.AddDate(0, 0, -1), func([]profile.Tag) ([]profile.Tag, error) {
			return []profile.Tag{{Key: "Project", Value: v}}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ps.Delete(t.Context(), account, "us-east-1", "gone", now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, st)
	const by = `,"GroupBy":[{"Type":"TAG","Key":"Project"}]`
	view := func(name string) string {
		return by + `,"BillingViewArn":"arn:aws:billing::000000000000:billingview/` + name + `"`
	}
	then := map[string]string{"Project$": "1", "Project$Alpha": "2", "Project$Beta": "4", "Project$Gamma": "8"}
	wantGroups(t, c, by, then)
	wantGroups(t, c, view("primary"), then)
	wantGroups(t, c, view("tagged-now"), map[string]string{"Project$Alpha": "3", "Project$Delta": "4", "Project$Gamma": "8"})
	ask[any](t, c, 400, "GetTags", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"},"BillingViewArn":"arn:aws:billing::111111111111:billingview/tagged-now"}`)
}

// TestSameFigure: by whatever one or two keys costs are grouped, and whatever way they are cut into parts by a filter, they
// add up to the same figure, which is that of the calls.
func TestSameFigure(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var (
		entries []ledger.Entry
		total   int64
		tokens  int64
	)
	set := func(keys ...string) (tags []ledger.Tag) {
		for _, k := range keys {
			if r.IntN(2) == 0 {
				tags = append(tags, ledger.Tag{Key: k, Value: pick("", "a", "A", "b$")})
			}
		}
		return tags
	}
	for n := range 600 {
		entries = append(entries, charged(n, 1+r.IntN(31), pick("p", "q", "r"), 0, func(e *ledger.Entry) {
			e.Intent.Time = e.Intent.Time.Add(time.Duration(r.IntN(48)) * 15 * time.Minute).Add(-12 * time.Hour)
			e.Principal = pick("arn:aws:iam::000000000000:user/a", "arn:aws:sts::000000000000:assumed-role/b/c", "arn:aws:sts::000000000000:assumed-role/b/d")
			e.Region, e.Operation, e.Service = pick("us-east-1", "eu-west-1"), pick("Converse", "InvokeModel"), pick("Amazon Bedrock", "Claude (Amazon Bedrock Edition)")
			e.Tags, e.PrincipalTags, e.Metadata = set("Project", "team"), set("team"), set("team", "x")
			e.Charges = nil
			for range r.IntN(4) {
				c := ledger.Charge{UsageType: pick("u", "v", "w"), Quantity: r.Int64N(1e6), Nano: r.Int64N(1e15) - 1e14, Price: "p"}
				total, tokens = total+c.Nano, tokens+c.Quantity
				e.Charges = append(e.Charges, c)
			}
		}))
	}
	s := newService(filled(t, entries), func() time.Time { return now })
	s.maxGroups = 50 // in pages
	sum := func(view, granularity string, filter string, by ...GroupDefinition) (nano, quantity int64) {
		t.Helper()
		in := &GetCostAndUsageInput{
			TimePeriod: &DateInterval{Start: "2024-01-01", End: "2024-02-01"}, Granularity: granularity, Metrics: []string{"UnblendedCost", "UsageQuantity"},
			GroupBy: by, BillingViewArn: "arn:aws:billing::" + account + ":billingview/" + view,
		}
		if filter != "" {
			in.Filter = jsontext.Value(filter)
		}
		add := func(m Metrics) {
			nano += digits(t, m[0].Amount, 9)
			quantity += digits(t, m[1].Amount, 3)
		}
		for {
			out, err := s.getCostAndUsage(t.Context(), account, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.ResultsByTime {
				if len(by) == 0 {
					add(p.Total)
				}
				for _, g := range p.Groups {
					add(g.Metrics)
				}
			}
			if in.NextPageToken = out.NextPageToken; in.NextPageToken == "" {
				return nano, quantity
			}
		}
	}
	var keys []GroupDefinition
	for _, k := range []string{"Project", "team", "none", "iamPrincipal/team", "requestMetadata/team", "requestMetadata/x", "outcrop:principal", "outcrop:sessionName", "outcrop:model", "outcrop:profileName"} {
		keys = append(keys, GroupDefinition{Type: byTag, Key: k})
	}
	for _, d := range dimensions {
		if d.group && (!d.none || d.name == "AZ") {
			keys = append(keys, GroupDefinition{Type: byDimension, Key: d.name})
		}
	}
	groupings := [][]GroupDefinition{nil}
	for i, a := range keys {
		groupings = append(groupings, []GroupDefinition{a})
		b := keys[(i+1+r.IntN(len(keys)-1))%len(keys)]
		groupings = append(groupings, []GroupDefinition{a, b})
	}
	for i, by := range groupings {
		view, granularity := []string{"primary", "tagged-now"}[i%2], []string{"MONTHLY", "DAILY", "HOURLY"}[i%3]
		if nano, quantity := sum(view, granularity, "", by...); nano != total || quantity != tokens {
			t.Errorf("by %v, %s, %s: %d nano-USD and %d tokens, want %d and %d", by, view, granularity, nano, quantity, total, tokens)
		}
	}
	for _, f := range []string{
		`{"Tags":{"Key":"Project","Values":["a"]}}`, `{"Tags":{"Key":"iamPrincipal/team","MatchOptions":["ABSENT"]}}`,
		`{"Dimensions":{"Key":"REGION","Values":["us-east-1"]}}`, `{"And":[{"Tags":{"Key":"requestMetadata/x","Values":["a"],"MatchOptions":["CASE_INSENSITIVE"]}},{"Dimensions":{"Key":"USAGE_TYPE","Values":["u","v"]}}]}`,
		`{"Or":[{"Tags":{"Key":"outcrop:sessionName","Values":["c"]}},{"Tags":{"Key":"team","Values":["b"],"MatchOptions":["STARTS_WITH"]}}]}`,
	} {
		with, _ := sum("primary", "DAILY", f, GroupDefinition{Type: byTag, Key: "Project"})
		without, _ := sum("primary", "MONTHLY", `{"Not":`+f+`}`)
		if with == 0 || without == 0 || with+without != total {
			t.Errorf("%s: %d with it and %d without, want %d together", f, with, without, total)
		}
	}
}

// digits reads a decimal as a number of units of its nth place.
func digits(t *testing.T, amount string, n int) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(amount, ".")
	var v int64
	if _, err := fmt.Sscan(whole+fraction+strings.Repeat("0", n-len(fraction)), &v); err != nil {
		t.Fatalf("%s: %v", amount, err)
	}
	return v
}

// TestForecast: three weeks and more of days that are like those of a week before, and what they let foretell, by hand.
// now is Saturday 2024-02-10, 12:30.
func TestForecast(t *testing.T) {
	var entries []ledger.Entry
	n := 0
	for day := time.Date(2023, 12, 31, 5, 0, 0, 0, time.UTC); day.Before(now); day = day.AddDate(0, 0, 1) {
		nano := int64(10e9)
		if wd := day.Weekday(); wd == time.Saturday || wd == time.Sunday {
			nano = 1e9
		}
		n++
		entries = append(entries, charged(n, 1, "p", nano, func(e *ledger.Entry) { e.Intent.Time = day }))
		n++
		if day.Weekday() == time.Friday {
			entries = append(entries, charged(n, 1, "fridays", 0, func(e *ledger.Entry) {
				e.Intent.Time, e.Charges = day, []ledger.Charge{{UsageType: "USE1-m-searchunits", Quantity: 3, Nano: 0, Price: "p"}}
			}))
		}
	}
	entries = append(entries, charged(0, 1, "new", 7e9, func(e *ledger.Entry) { e.Intent.Time = now.AddDate(0, 0, -2) }))
	c := newClient(t, filled(t, entries))
	of := func(resource string) string {
		return `,"Filter":{"Dimensions":{"Key":"RESOURCE_ID","Values":["` + profileARN + resource + `"]}}`
	}
	for _, x := range []struct{ operation, request, want string }{
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-09","End":"2024-02-13"},"Granularity":"DAILY","Metric":"UNBLENDED_COST","PredictionIntervalLevel":80` + of("p") + `}`,
			`{"Total":{"Amount":"22","Unit":"USD"},"ForecastResultsByTime":[
			{"TimePeriod":{"Start":"2024-02-09","End":"2024-02-10"},"MeanValue":"10","PredictionIntervalLowerBound":"10","PredictionIntervalUpperBound":"10"},
			{"TimePeriod":{"Start":"2024-02-10","End":"2024-02-11"},"MeanValue":"1","PredictionIntervalLowerBound":"1","PredictionIntervalUpperBound":"1"},
			{"TimePeriod":{"Start":"2024-02-11","End":"2024-02-12"},"MeanValue":"1","PredictionIntervalLowerBound":"1","PredictionIntervalUpperBound":"1"},
			{"TimePeriod":{"Start":"2024-02-12","End":"2024-02-13"},"MeanValue":"10","PredictionIntervalLowerBound":"10","PredictionIntervalUpperBound":"10"}]}`},
		// February from the 10th has 20 days, 6 of them of weekends; March 31, of which 10 are.
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2024-04-01"},"Granularity":"MONTHLY","Metric":"BLENDED_COST"` + of("p") + `}`,
			`{"Total":{"Amount":"366","Unit":"USD"},"ForecastResultsByTime":[
			{"TimePeriod":{"Start":"2024-02-10","End":"2024-03-01"},"MeanValue":"146"},
			{"TimePeriod":{"Start":"2024-03-01","End":"2024-04-01"},"MeanValue":"220"}]}`},
		{"GetUsageForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2024-02-12"},"Granularity":"DAILY","Metric":"USAGE_QUANTITY"` + of("p") + `}`,
			`{"Total":{"Amount":"2","Unit":"1K tokens"},"ForecastResultsByTime":[
			{"TimePeriod":{"Start":"2024-02-10","End":"2024-02-11"},"MeanValue":"1"},{"TimePeriod":{"Start":"2024-02-11","End":"2024-02-12"},"MeanValue":"1"}]}`},
	} {
		var got, want any
		got = ask[any](t, c, 200, x.operation, x.request)
		if err := json.Unmarshal([]byte(x.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %v\nwant %v", x.request, got, want)
		}
	}
	const days = `"TimePeriod":{"Start":"2024-02-10","End":"2024-03-01"},"Granularity":"DAILY"`
	for _, x := range []struct{ operation, request, code, message string }{
		{"GetCostForecast", `{` + days + `,"Metric":"UNBLENDED_COST"` + of("new") + `}`, "DataUnavailableException", "Insufficient amount of historical data."},
		{"GetCostForecast", `{` + days + `,"Metric":"UNBLENDED_COST"` + of("nobody") + `}`, "DataUnavailableException", "Insufficient amount of historical data."},
		{"GetUsageForecast", `{` + days + `,"Metric":"NORMALIZED_USAGE_AMOUNT"}`, "DataUnavailableException", "Insufficient amount of historical data."},
		{"GetUsageForecast", `{` + days + `,"Metric":"USAGE_QUANTITY"}`, "UnresolvableUsageUnitException",
			"Cost Explorer was unable to identify the usage unit. Provide UsageType/UsageTypeGroup filter selections that contain matching units, for example: hours."},
		{"GetCostForecast", `{` + days + `,"Metric":"USAGE_QUANTITY"}`, "ValidationException",
			"Metric USAGE_QUANTITY is invalid. Valid values are AMORTIZED_COST, BLENDED_COST, NET_AMORTIZED_COST, NET_UNBLENDED_COST, UNBLENDED_COST"},
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-08","End":"2024-03-01"},"Granularity":"DAILY","Metric":"UNBLENDED_COST"}`, "ValidationException", "Earliest supported Start is 2024-02-09"},
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2024-06-02"},"Granularity":"DAILY","Metric":"UNBLENDED_COST"}`, "ValidationException", "Latest supported End is 2024-06-01"},
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2025-09-02"},"Granularity":"MONTHLY","Metric":"UNBLENDED_COST"}`, "ValidationException", "Latest supported End is 2025-09-01"},
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2024-02-10"},"Granularity":"DAILY","Metric":"UNBLENDED_COST"}`, "ValidationException", "Start date (and hour) should be before end date (and hour)"},
		{"GetCostForecast", `{"TimePeriod":{"Start":"2024-02-10","End":"2024-02-11"},"Granularity":"HOURLY","Metric":"UNBLENDED_COST"}`, "ValidationException", "Granularity HOURLY is not supported for forecasts. Valid values are DAILY, MONTHLY"},
	} {
		got := ask[map[string]string](t, c, 400, x.operation, x.request)
		if got["__type"] != x.code || got["Message"] != x.message {
			t.Errorf("%s: got %v", x.request, got)
		}
	}
	ask[any](t, c, 400, "GetCostForecast", `{`+days+`,"Metric":"UNBLENDED_COST","PredictionIntervalLevel":50}`)
}

// TestWithResources: the operation that AWS has for costs by resource. Its Filter is required, and the name in its messages is its own.
func TestWithResources(t *testing.T) {
	c := newClient(t, filled(t, calls(t)))
	const request = `"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"},"Granularity":"DAILY","Metrics":["UnblendedCost"],"GroupBy":[{"Type":"DIMENSION","Key":"RESOURCE_ID"}]`
	filter := `,"Filter":{"Dimensions":{"Key":"SERVICE","Values":["Amazon Bedrock"]}}`
	with := ask[any](t, c, 200, "GetCostAndUsageWithResources", `{`+request+filter+`}`)
	if without := ask[any](t, c, 200, "GetCostAndUsage", `{`+request+filter+`}`); !reflect.DeepEqual(with, without) {
		t.Errorf("got %v, want %v", with, without)
	}
	ask[any](t, c, 400, "GetCostAndUsageWithResources", `{`+request+`}`)
	got := ask[map[string]string](t, c, 400, "GetCostAndUsageWithResources", `{"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"},"Granularity":"DAILY"`+filter+`}`)
	if got["Message"] != "Metrics is required for GetCostAndUsageWithResources requests." {
		t.Errorf("got %v", got)
	}
}

// TestCostCategories: there are none, and asking for them is no error.
func TestCostCategories(t *testing.T) {
	c := newClient(t, filled(t, calls(t)))
	const period = `"TimePeriod":{"Start":"2024-01-01","End":"2024-02-01"}`
	for request, want := range map[string]string{
		`{` + period + `}`:                           `{"CostCategoryNames":[],"ReturnSize":0,"TotalSize":0}`,
		`{` + period + `,"CostCategoryName":"Team"}`: `{"CostCategoryNames":[],"CostCategoryValues":[],"ReturnSize":0,"TotalSize":0}`,
	} {
		if w := c.post(account, "us-east-1", "GetCostCategories", []byte(request)); w.Body.String() != want {
			t.Errorf("%s: got %s", request, w.Body)
		}
	}
}
