package cost_test

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/cost"
	"outcrop/ledger"
	"outcrop/store"
	"outcrop/store/storetest"
)

const account = "000000000000"

func date(y int, m time.Month, d, h int) time.Time { return time.Date(y, m, d, h, 0, 0, 0, time.UTC) }

// call makes a settled call of alice's or bob's through a profile (a bare model when name is "") with one charge.
func call(i int, at time.Time, user, name, project, usageType string, quantity, nano int64) ledger.Entry {
	id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))
	e := ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: at, Account: account, Principal: "arn:aws:iam::" + account + ":user/" + user, Region: "us-east-1", Operation: "Converse",
			ResourceARN: "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/" + name, ResourceName: name, ModelID: "model-1", Scope: "region",
		},
		Settlement: ledger.Settlement{
			ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock", Usage: converse.Usage{OutputTokens: quantity},
			Charges: []ledger.Charge{{UsageType: usageType, Quantity: quantity, Nano: nano, Unrated: nano == 0}},
		},
	}
	if name == "" {
		e.ResourceARN = "arn:aws:bedrock:us-east-1::foundation-model/model-1"
	}
	if project != "" {
		e.Tags = []ledger.Tag{{Key: "Project", Value: project}}
	}
	return e
}

func rollups(t *testing.T) cost.Rollups {
	t.Helper()
	return filled(t, []ledger.Entry{
		call(0, date(2024, 1, 31, 23), "alice", "chat", "Alpha", "in", 10, 100),
		call(1, date(2024, 2, 1, 0), "alice", "chat", "Alpha", "out", 20, 4000),
		call(2, date(2024, 2, 29, 5), "bob", "chat", "Alpha", "in", 1, 10),
		call(3, date(2024, 2, 29, 6), "bob", "search", "", "in", 5, 50),
		call(4, date(2024, 2, 29, 6), "bob", "", "", "in", 7, 0),
		call(5, date(2024, 4, 1, 0), "alice", "search", "Beta", "in", 2, 20),
	})
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

func collect(t *testing.T, r cost.Rollups, q cost.Query, filter func(*cost.Charges) bool, by ...cost.Dimension) []cost.Period {
	t.Helper()
	var out []cost.Period
	for p, err := range cost.Report(t.Context(), r, q, filter, by...) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func sum(nano, quantity, charges, unrated int64) cost.Sum {
	return cost.Sum{Nano: nano, Quantity: quantity, Charges: charges, Unrated: unrated}
}

func TestReport(t *testing.T) {
	r := rollups(t)
	g := func(s cost.Sum, keys ...string) cost.Group {
		return cost.Group{Keys: append([]string{}, keys...), Sum: s}
	}
	none := []cost.Group{}
	q := func(start, end time.Time, b cost.Bucket) cost.Query {
		return cost.Query{Account: account, Start: start, End: end, Bucket: b}
	}
	for _, tc := range []struct {
		name   string
		q      cost.Query
		filter func(*cost.Charges) bool
		by     []cost.Dimension
		want   []cost.Period
	}{
		{"months, one of them empty, cut on both sides", q(date(2024, 1, 31, 12), date(2024, 4, 1, 1), cost.Month), nil, nil, []cost.Period{
			{date(2024, 1, 31, 12), date(2024, 2, 1, 0), []cost.Group{g(sum(100, 10, 1, 0))}},
			{date(2024, 2, 1, 0), date(2024, 3, 1, 0), []cost.Group{g(sum(4060, 33, 4, 1))}},
			{date(2024, 3, 1, 0), date(2024, 4, 1, 0), none},
			{date(2024, 4, 1, 0), date(2024, 4, 1, 1), []cost.Group{g(sum(20, 2, 1, 0))}},
		}},
		{"days by tag and name", q(date(2024, 2, 28, 0), date(2024, 3, 1, 0), cost.Day), nil, []cost.Dimension{new(cost.Tagging).By("Project"), cost.ByName}, []cost.Period{
			{date(2024, 2, 28, 0), date(2024, 2, 29, 0), none},
			{date(2024, 2, 29, 0), date(2024, 3, 1, 0), []cost.Group{g(sum(0, 7, 1, 1), "", "model-1"), g(sum(50, 5, 1, 0), "", "search"), g(sum(10, 1, 1, 0), "Alpha", "chat")}},
		}},
		{"hours, filtered", q(date(2024, 2, 29, 5), date(2024, 2, 29, 8), cost.Hour), func(c *cost.Charges) bool { return c.Resource.Name == "search" }, []cost.Dimension{cost.ByUsageType}, []cost.Period{
			{date(2024, 2, 29, 5), date(2024, 2, 29, 6), none},
			{date(2024, 2, 29, 6), date(2024, 2, 29, 7), []cost.Group{g(sum(50, 5, 1, 0), "in")}},
			{date(2024, 2, 29, 7), date(2024, 2, 29, 8), none},
		}},
		{"the whole", q(date(2024, 1, 1, 0), date(2024, 5, 1, 0), cost.Whole), nil, []cost.Dimension{cost.ByUsageType}, []cost.Period{
			{date(2024, 1, 1, 0), date(2024, 5, 1, 0), []cost.Group{g(sum(180, 25, 5, 1), "in"), g(sum(4000, 20, 1, 0), "out")}},
		}},
		{"no time at all", q(date(2024, 1, 1, 0), date(2024, 1, 1, 0), cost.Day), nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := collect(t, r, tc.q, tc.filter, tc.by...); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v\nwant %+v", got, tc.want)
			}
		})
	}

	// Keys that would be the same when written one after the other are not the same group.
	split := func(n int) cost.Dimension {
		return func(c *cost.Charges) string {
			if c.UsageType == "out" {
				return []string{"a", "bc"}[n]
			}
			return []string{"ab", "c"}[n]
		}
	}
	if got := collect(t, r, q(date(2024, 1, 1, 0), date(2024, 5, 1, 0), cost.Whole), nil, split(0), split(1)); len(got[0].Groups) != 2 {
		t.Errorf("got %+v, want two groups", got)
	}
}

func TestCallers(t *testing.T) {
	r := rollups(t)
	q := cost.Query{Account: account, Start: date(2024, 2, 1, 0), End: date(2024, 5, 1, 0)}
	type row struct {
		Principal, Name            string
		Calls, Input, Output, Nano int64
	}
	alice, bob := "arn:aws:iam::"+account+":user/alice", "arn:aws:iam::"+account+":user/bob"
	for _, tc := range []struct {
		byResource bool
		want       []row
	}{
		{false, []row{{alice, "", 2, 0, 22, 4020}, {bob, "", 3, 0, 13, 60}}},
		{true, []row{{alice, "chat", 1, 0, 20, 4000}, {bob, "search", 1, 0, 5, 50}, {alice, "search", 1, 0, 2, 20}, {bob, "chat", 1, 0, 1, 10}, {bob, "model-1", 1, 0, 7, 0}}},
	} {
		calls, err := cost.Callers(t.Context(), r, q, tc.byResource)
		if err != nil {
			t.Fatal(err)
		}
		var got []row
		for _, c := range calls {
			got = append(got, row{c.Principal, c.Resource.Label(), c.Calls, c.Input, c.Output, c.Nano})
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("by resource %v: got %+v\nwant %+v", tc.byResource, got, tc.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, tc := range []struct {
		n    int64
		want string
	}{
		{0, "0"}, {1, "0.000000001"}, {1_234_500, "0.0012345"}, {100_000_000, "0.1"}, {999_999_999, "0.999999999"}, {1_000_000_000, "1"},
		{12_000_000_010, "12.00000001"}, {-1, "-0.000000001"}, {-2_500_000_000, "-2.5"},
		{math.MaxInt64, "9223372036.854775807"}, {math.MinInt64, "-9223372036.854775808"},
	} {
		if got := cost.FormatUSD(tc.n); got != tc.want {
			t.Errorf("FormatUSD(%d) = %q, want %q", tc.n, got, tc.want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "0.001", 20: "0.02", 1000: "1", 1234: "1.234", 8_608_000: "8608"} {
		if got := cost.FormatThousands(n); got != want {
			t.Errorf("FormatThousands(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBucket(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC)
	for _, tc := range []struct {
		b           cost.Bucket
		start, next time.Time
	}{
		{cost.Hour, date(2024, 2, 29, 23), date(2024, 3, 1, 0)}, {cost.Day, date(2024, 2, 29, 0), date(2024, 3, 1, 0)}, {cost.Month, date(2024, 2, 1, 0), date(2024, 3, 1, 0)},
	} {
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("JST", 9*3600)} { // the calendar is UTC's whatever the zone
			if got := tc.b.Start(at.In(zone)); got != tc.start {
				t.Errorf("bucket %d starts at %v, want %v", tc.b, got, tc.start)
			}
			if got := tc.b.Next(at.In(zone)); got != tc.next {
				t.Errorf("bucket %d ends at %v, want %v", tc.b, got, tc.next)
			}
		}
	}
}

// TestCount: what is no token is counted apart, with the unit that AWS's price list has for it, and what cannot be added up
// says so.
func TestCount(t *testing.T) {
	row := func(usageType string, n int64) (s cost.Sum) {
		s.Count(cost.Unit(usageType), n)
		return s
	}
	for usageType, want := range map[string]cost.Sum{
		"USE1-Claude3Haiku-input-tokens":                                         {Quantity: 7},
		"USE1-Nova2.0Lite-output-tokens-cross-region-global":                     {Quantity: 7},
		"USE1-NovaCanvas-T2I-1024-Standard":                                      {Pieces: 7, Unit: "image"},
		"USE1-TitanImageGeneratorG1v2-I2I-512-Premium":                           {Pieces: 7, Unit: "image"},
		"USW2-StableDiffusion3.5Large-output-image":                              {Pieces: 7, Unit: "image"},
		"USE1-TitanEmbeddingsG1-Image-input-image":                               {Pieces: 7, Unit: "Images Processed"},
		"USE1-TitanEmbeddingsG1-Image-input-tokens":                              {Quantity: 7},
		"USE1-NovaMultiModalEmbeddings-input-image-cross-region-global":          {Pieces: 7, Unit: "Images Processed"},
		"USW2-AmazonRerank-v1-searchunits":                                       {Pieces: 7, Unit: "Search Units"},
		"USE1-Claude3Haiku-cache-write-1h-input-token-count-cross-region-global": {Quantity: 7},
	} {
		if got := row(usageType, 7); got != want {
			t.Errorf("%s: %+v, want %+v", usageType, got, want)
		}
	}
	var s cost.Sum
	for _, o := range []struct {
		usageType string
		want      cost.Sum
	}{
		{"USE1-NovaCanvas-T2I-1024-Standard", cost.Sum{Pieces: 2, Unit: "image"}},
		{"USE1-Claude3Haiku-input-tokens", cost.Sum{Pieces: 2, Quantity: 2, Unit: "image"}},
		{"USE1-NovaCanvas-T2I-1024-Premium", cost.Sum{Pieces: 4, Quantity: 2, Unit: "image"}},
		{"USW2-AmazonRerank-v1-searchunits", cost.Sum{Pieces: 6, Quantity: 2, Unit: cost.MixedUnits}},
		{"USE1-NovaCanvas-T2I-1024-Premium", cost.Sum{Pieces: 8, Quantity: 2, Unit: cost.MixedUnits}},
	} {
		if s.Add(row(o.usageType, 2)); s != o.want {
			t.Errorf("with %s: %+v, want %+v", o.usageType, s, o.want)
		}
	}
}
