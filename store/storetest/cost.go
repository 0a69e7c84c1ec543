package storetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/cost"
	"outcrop/ledger"
)

// CostEngine is what the suite of cost.Rollups needs of an engine: the ledger's index fills what the rollups read.
type CostEngine interface {
	cost.Rollups
	cost.Invoices
	ledger.Index
	Correct(ctx context.Context, all []ledger.Corrected) error
	VerifyLedger(ctx context.Context) error
	Calls(ctx context.Context, account string, since time.Time, limit int) iter.Seq2[*ledger.Entry, error]
}

// Cost is the specification of cost.Rollups. open returns an empty engine, which it closes at the end of the test.
func Cost(t *testing.T, open func(*testing.T) CostEngine) {
	t.Run("Empty", func(t *testing.T) {
		e := open(t)
		for _, b := range []cost.Bucket{cost.Whole, cost.Hour, cost.Day, cost.Month} {
			q := cost.Query{Account: costAccount, Start: day(2024, 1, 1), End: day(2025, 1, 1), Bucket: b}
			if got := readCharges(t, e, q); len(got) != 0 {
				t.Errorf("bucket %d: got %v", b, got)
			}
			if got := readCallers(t, e, q); len(got) != 0 {
				t.Errorf("bucket %d: got %v", b, got)
			}
		}
	})

	entries := costEntries()
	filled := func(t *testing.T) CostEngine {
		e := open(t)
		Fill(t, e, entries)
		return e
	}

	// Every bucket over times that begin and end on and off its bounds, against sums made one call at a time.
	times := []time.Time{
		day(1970, 1, 1), day(2024, 1, 1), day(2024, 1, 1).Add(time.Hour), day(2024, 2, 1), day(2024, 2, 29).Add(23 * time.Hour),
		day(2024, 3, 15).Add(7 * time.Hour), day(2100, 1, 1),
	}
	check := func(t *testing.T, e CostEngine, entries []ledger.Entry, each int) { // of so many times one
		t.Helper()
		n := 0
		if err := e.VerifyLedger(t.Context()); err != nil {
			t.Error(err)
		}
		for _, b := range []cost.Bucket{cost.Whole, cost.Hour, cost.Day, cost.Month} {
			for i, start := range times {
				for _, end := range times[i:] { // also those without any time
					if n++; n%each > 0 {
						continue
					}
					q := cost.Query{Account: costAccount, Start: start, End: end, Bucket: b}
					equal(t, fmt.Sprintf("charges, bucket %d, %v to %v", b, start, end), readCharges(t, e, q), wantCharges(entries, q))
					q.AmountsOnly = true
					equal(t, fmt.Sprintf("amounts, bucket %d, %v to %v", b, start, end), readCharges(t, e, q), amountsOf(wantCharges(entries, q)))
					q.AmountsOnly, q.Split = false, true
					equal(t, fmt.Sprintf("splits, bucket %d, %v to %v", b, start, end), readCharges(t, e, q), wantCharges(entries, q))
					equal(t, fmt.Sprintf("callers, bucket %d, %v to %v", b, start, end), readCallers(t, e, q), wantCallers(entries, q))
				}
			}
		}
	}
	t.Run("Sums", func(t *testing.T) { check(t, filled(t), entries, 1) })

	// Whatever order calls come in, and however far days and months have been added up when they come, or are corrected: the
	// sums are the same.
	t.Run("Orders", func(t *testing.T) {
		r := rand.New(rand.NewPCG(18, 18))
		for name, order := range map[string]func(a, b ledger.Entry) int{
			"as they began":  func(a, b ledger.Entry) int { return a.Intent.Time.Compare(b.Intent.Time) },
			"the last first": func(a, b ledger.Entry) int { return b.Intent.Time.Compare(a.Intent.Time) },
			"any":            func(ledger.Entry, ledger.Entry) int { return r.IntN(3) - 1 },
		} {
			t.Run(name, func(t *testing.T) {
				e, at := open(t), ledger.Position(0)
				apply := func(entries []ledger.Entry) {
					t.Helper()
					for i := range entries {
						if err := e.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: at, To: at + 1, Entries: entries[i : i+1]}); err != nil {
							t.Fatal(err)
						}
						at++
					}
				}
				in := slices.SortedStableFunc(slices.Values(entries), order)
				half := len(in) / 2
				apply(in[:half])
				check(t, e, in[:half], 5)
				apply(in[half:])
				// One that is new in each of many hours.
				for h := range 26 { // of two days, and of two months
					more := in[0]
					more.Account, more.Intent.ID, more.Intent.Time = costAccount, uuid.UUID{1, 15: byte(h)}, day(2024, 4, 30).Add(time.Duration(h)*time.Hour)
					more.Settlement.ID = more.Intent.ID
					apply([]ledger.Entry{more})
					in = append(in, more)
				}
				check(t, e, in, 3)
				for i := range in {
					if c := &in[i]; len(c.Charges) > 0 && i%3 == 0 {
						charges := slices.Clone(c.Charges)
						charges[0].Nano, charges[0].UsageType = charges[0].Nano/2, []string{"USE1-X-output-tokens", "USE1-Y-output-tokens"}[i%2]
						if fix := c.Correct(charges, day(2024, 6, 1), "test"); fix != nil {
							before := *c
							if err := e.Correct(t.Context(), []ledger.Corrected{{Entry: &before, Correction: fix}}); err != nil {
								t.Fatal(err)
							}
							c.Charges, c.Corrections = charges, append(slices.Clone(c.Corrections), *fix)
						}
					}
				}
				check(t, e, in, 3)
			})
		}
	})

	t.Run("Account", func(t *testing.T) {
		e := filled(t)
		for _, account := range []string{otherAccount, "999999999999", ""} {
			q := cost.Query{Account: account, Start: day(2023, 1, 1), End: day(2025, 1, 1), Bucket: cost.Month}
			equal(t, "charges of "+account, readCharges(t, e, q), wantCharges(entries, q))
			q.Split = true
			equal(t, "splits of "+account, readCharges(t, e, q), wantCharges(entries, q))
			equal(t, "callers of "+account, readCallers(t, e, q), wantCallers(entries, q))
		}
	})

	// A profile has the name of its newest call, also to whoever has read another one before.
	t.Run("Renamed", func(t *testing.T) {
		e := open(t)
		in := slices.Clone(entries[:1])
		q := cost.Query{Account: in[0].Account, Start: day(2023, 1, 1), End: day(2025, 1, 1), Bucket: cost.Month}
		for i, name := range []string{in[0].ResourceName, "renamed", "雪"} {
			in[0].ResourceName = name
			in[0].Intent.ID, in[0].Settlement.ID = uuid.UUID{2, 15: byte(i)}, uuid.UUID{2, 15: byte(i)}
			if err := e.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: ledger.Position(i), To: ledger.Position(i + 1), Entries: in}); err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for c, err := range e.Charges(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				names[c.Resource.Name] = true
			}
			for c, err := range e.Callers(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				names[c.Resource.Name] = true
			}
			if len(names) != 1 || !names[name] {
				t.Errorf("the names are %v, want %q", names, name)
			}
		}
	})

	// What there is to bill is what was charged, in an order that stays; with corrections, what was charged up to the month's end
	// and what was corrected after it add up to it.
	t.Run("Invoice", func(t *testing.T) {
		e := filled(t)
		read := func(q cost.Query, corrections, late bool) map[string]cost.Sum {
			t.Helper()
			got, order := map[string]cost.Sum{}, []string{}
			var last time.Time
			for c, err := range e.Invoice(t.Context(), q, corrections) {
				if err != nil {
					t.Fatal(err)
				}
				if at := cost.Day.Start(c.Start); at.Before(last) {
					t.Errorf("a row of %v comes after one of %v", c.Start, last)
				} else {
					last = at
				}
				order = append(order, fmt.Sprint(chargeKey(c), c.Correction))
				if c.Correction == late {
					k := chargeKey(c)
					if _, ok := got[k]; ok {
						t.Errorf("two rows of %s", k)
					}
					got[k] = c.Sum
				}
			}
			i := 0
			for c, err := range e.Invoice(t.Context(), q, corrections) {
				if err != nil || fmt.Sprint(chargeKey(c), c.Correction) != order[i] {
					t.Fatalf("row %d is another one the second time: %v", i, err)
				}
				i++
			}
			return got
		}
		months := []time.Time{day(2023, 12, 1), day(2024, 1, 1), day(2024, 2, 1), day(2024, 3, 1), day(2024, 4, 1)}
		each := func(check func(q cost.Query)) {
			for i, start := range months[1:] {
				for _, b := range []cost.Bucket{cost.Hour, cost.Day} {
					check(cost.Query{Account: costAccount, Start: months[i], End: start, Bucket: b, Split: true})
				}
			}
		}
		each(func(q cost.Query) {
			equal(t, fmt.Sprintf("to bill, %v", q), read(q, false, false), wantCharges(entries, q))
			equal(t, fmt.Sprintf("with corrections, %v", q), read(q, true, false), wantCharges(entries, q))
		})

		// Every second call is corrected, and corrected again: once in its month or on the first of the next, once a year later.
		now := slices.Clone(entries)
		closed := slices.Clone(entries)
		for _, at := range []func(time.Time) time.Time{func(t time.Time) time.Time { return cost.Month.Next(t).Add(-time.Microsecond) }, cost.Month.Next, func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }} {
			n := 0
			var all []ledger.Corrected
			for c, err := range e.Calls(t.Context(), "", time.Time{}, 0) {
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.Intent.ID == c.Intent.ID })
				made := at(c.Intent.Time)
				if n++; n%2 == 0 || len(c.Charges) == 0 || len(c.Corrections) > 0 && made.Before(c.Corrections[len(c.Corrections)-1].Time) {
					continue
				}
				charges := slices.Clone(c.Charges)
				charges[0].Nano += int64(7 * n)
				if n%3 == 0 {
					charges[0].UsageType += "-flex"
				}
				all = append(all, ledger.Corrected{Entry: c, Correction: c.Correct(charges, made, "test")})
				now[i].Charges = charges
				if made.Before(cost.Month.Next(c.Intent.Time)) {
					closed[i].Charges = charges
				}
			}
			if err := e.Correct(t.Context(), all); err != nil || len(all) == 0 {
				t.Fatal(err, len(all))
			}
		}
		several := 0
		each(func(q cost.Query) {
			whole, before := wantCharges(now, q), wantCharges(closed, q)
			equal(t, fmt.Sprintf("corrected, %v", q), read(q, false, false), whole)
			equal(t, fmt.Sprintf("as the month ended, %v", q), read(q, true, false), before)
			late := map[string]cost.Sum{}
			for k, s := range whole {
				late[k] = s
			}
			for k, s := range before {
				l := late[k]
				late[k] = cost.Sum{Nano: l.Nano - s.Nano, Quantity: l.Quantity - s.Quantity, Charges: l.Charges - s.Charges, Unrated: l.Unrated - s.Unrated, Estimated: l.Estimated - s.Estimated}
			}
			maps.DeleteFunc(late, func(_ string, s cost.Sum) bool { return s == cost.Sum{} })
			several += len(late)
			equal(t, fmt.Sprintf("after it, %v", q), read(q, true, true), late)
		})
		if several == 0 {
			t.Error("no row was corrected after its month")
		}
		for range 20 { // a consumer that stops
			for _, err := range e.Invoice(t.Context(), cost.Query{Account: costAccount, Start: day(2024, 1, 1), End: day(2024, 2, 1), Bucket: cost.Hour}, true) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	})

	// A consumer that stops leaves the engine usable, as often as it likes: connections are few.
	t.Run("StopEarly", func(t *testing.T) {
		e := filled(t)
		q := cost.Query{Account: costAccount, Start: day(2023, 1, 1), End: day(2025, 1, 1), Bucket: cost.Month}
		for range 20 {
			for _, err := range e.Charges(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			for _, err := range e.Callers(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		equal(t, "after stops", readCharges(t, e, q), wantCharges(entries, q))
	})

	t.Run("Cancelled", func(t *testing.T) {
		e := filled(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		q := cost.Query{Account: costAccount, Start: day(2023, 1, 1), End: day(2025, 1, 1)}
		rows, errs := 0, 0
		for _, err := range e.Charges(ctx, q) {
			if err == nil {
				rows++
			} else {
				errs++
			}
		}
		if rows != 0 || errs != 1 {
			t.Errorf("got %d rows and %d errors, want one error", rows, errs)
		}
	})
}

const (
	costAccount  = "000000000000"
	otherAccount = "111111111111"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// costEntries are settled calls whose charges cross every kind of bound: hours, days, months and a leap day, two
// accounts, profiles whose tags changed, calls that failed without charges, unrated and estimated ones.
func costEntries() []ledger.Entry {
	r := rand.New(rand.NewPCG(7, 7))
	var times []time.Time
	for _, t := range []time.Time{day(2024, 1, 1), day(2024, 2, 1), day(2024, 2, 29), day(2024, 3, 1), day(2024, 3, 15)} {
		times = append(times, t, t.Add(-time.Nanosecond), t.Add(time.Hour-time.Nanosecond), t.Add(time.Hour), t.Add(23*time.Hour+59*time.Minute))
	}
	for range 40 {
		times = append(times, day(2024, 1, 1).Add(time.Duration(r.Int64N(int64(90*24*time.Hour)))))
	}
	resources := []cost.Resource{
		{ARN: "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/aaaaaaaaaaaa", Name: "team-alpha", ModelID: "anthropic.claude-3-haiku-20240307-v1:0"},
		{ARN: "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/bbbbbbbbbbbb", Name: "チーム-beta", ModelID: "amazon.nova-2-lite-v1:0"},
		{ARN: "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-lite-v1:0", ModelID: "amazon.nova-2-lite-v1:0"},
	}
	tags := [][]ledger.Tag{
		{{Key: "Environment", Value: "prod"}, {Key: "Project", Value: "Alpha"}},
		{{Key: "Project", Value: "Alpha"}},
		{{Key: "Project", Value: ""}, {Key: "quote\"[],", Value: "a,b\\\"c\n雪"}},
		nil,
	}
	// Calls know of no clock but UTC, whatever zone their times are told in; one whose clocks change, too.
	zones := []*time.Location{time.UTC, time.FixedZone("behind", -9*3600-1800), time.FixedZone("ahead", 13*3600+2700)}
	if zone, err := time.LoadLocation("America/New_York"); err == nil {
		times = append(times, day(2024, 3, 10).Add(6*time.Hour+59*time.Minute), day(2024, 3, 10).Add(7*time.Hour))
		zones = append(zones, zone)
	}
	var entries []ledger.Entry
	for i, at := range times {
		at = at.In(zones[i%len(zones)])
		res := resources[i%len(resources)]
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "cost suite ", i)), Time: at, Account: costAccount,
				Principal: "arn:aws:iam::000000000000:user/" + []string{"alice", "bob"}[i%2], AccessKeyID: "AKIAEXAMPLE",
				Region: []string{"us-east-1", "ap-northeast-1"}[i%2], Operation: []string{"Converse", "ConverseStream"}[i/2%2],
				ResourceARN: res.ARN, ResourceName: res.Name, ModelID: res.ModelID, Scope: "region",
			},
			Settlement: ledger.Settlement{
				Time: at.Add(time.Second), Status: ledger.Completed, Service: "Amazon Bedrock",
				Usage: converse.Usage{InputTokens: r.Int64N(1000), OutputTokens: 1 + r.Int64N(500), CacheReadInputTokens: int64(i % 2), CacheWriteInputTokens: 2 * int64(i%2)},
			},
		}
		e.Settlement.ID = e.Intent.ID
		e.PrincipalTags = [][]ledger.Tag{nil, {{Key: "team", Value: "red"}}, {{Key: "Project", Value: "Alpha"}, {Key: "team", Value: "雪"}}}[i/3%3]
		e.Metadata = [][]ledger.Tag{{{Key: "task", Value: "a\"b"}}, nil, {{Key: "task", Value: ""}, {Key: "team", Value: "x"}}}[i/2%3]
		if res.Name != "" {
			e.Tags = tags[r.IntN(len(tags))]
		}
		if i%7 == 3 {
			e.Status, e.Usage, e.Reason = ledger.Failed, converse.Usage{}, "throttled"
		} else {
			e.Charges = []ledger.Charge{{UsageType: "USE1-X-output-tokens", Quantity: e.Usage.OutputTokens, Nano: r.Int64N(1e9), Price: "p@1"}}
			if e.Usage.InputTokens > 0 {
				e.Charges = append(e.Charges, ledger.Charge{UsageType: "USE1-X-input-tokens", Quantity: e.Usage.InputTokens, Nano: 0, Unrated: true})
			}
			e.Estimated = i%5 == 1
		}
		if i%11 == 10 {
			e.Account = otherAccount
			e.Principal = strings.Replace(e.Principal, costAccount, otherAccount, 1)
			e.ResourceARN = strings.Replace(e.ResourceARN, costAccount, otherAccount, 1)
		}
		entries = append(entries, e)
	}
	return entries
}

// Fill applies settled calls to an empty index, in several batches.
func Fill(t testing.TB, e ledger.Index, entries []ledger.Entry) {
	t.Helper()
	at := ledger.Position(0)
	for part := range slices.Chunk(entries, max(9, len(entries)/20)) {
		b := &ledger.Batch{Node: "node", Epoch: "epoch", From: at, To: at + 100, Entries: part}
		if err := e.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		at = b.To
	}
}

// Rows by what tells them apart, as text.
func chargeKey(c *cost.Charges) string {
	return fmt.Sprintf("%v %q %q %q %q %q %q %q %q %q %q", c.Start, c.Account, c.Region, c.Service, c.UsageType, c.Operation, c.Resource, c.Tags,
		c.Principal, c.PrincipalTags, c.Metadata)
}

func callerKey(c *cost.Calls) string {
	return fmt.Sprintf("%v %q %q %q", c.Start, c.Account, c.Principal, c.Resource)
}

// amountsOf is sums as a query of amounts only has them.
func amountsOf(sums map[string]cost.Sum) map[string]cost.Sum {
	for k, s := range sums {
		s.Discount, s.Unrated, s.Estimated = 0, 0, 0
		sums[k] = s
	}
	return sums
}

func readCharges(t *testing.T, r cost.Rollups, q cost.Query) map[string]cost.Sum {
	t.Helper()
	got := map[string]cost.Sum{}
	var last time.Time
	for c, err := range r.Charges(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Start.Before(last) {
			t.Errorf("a row of %v comes after one of %v", c.Start, last)
		}
		last = c.Start
		k := chargeKey(c)
		sum := got[k]
		sum.Add(c.Sum)
		got[k] = sum
	}
	return got
}

func readCallers(t *testing.T, r cost.Rollups, q cost.Query) map[string]cost.Calls {
	t.Helper()
	got := map[string]cost.Calls{}
	var last time.Time
	for c, err := range r.Callers(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Start.Before(last) {
			t.Errorf("a row of %v comes after one of %v", c.Start, last)
		}
		last = c.Start
		k := callerKey(c)
		sum := got[k]
		w := *c
		w.Calls, w.Input, w.Output, w.Nano = w.Calls+sum.Calls, w.Input+sum.Input, w.Output+sum.Output, w.Nano+sum.Nano
		got[k] = w
	}
	return got
}

// included gives the start of the bucket that an entry is in, by the calendar of package time.
func included(e *ledger.Entry, q cost.Query) (time.Time, bool) {
	if e.Account != q.Account || e.Intent.Time.Before(q.Start) || !e.Intent.Time.Before(q.End) {
		return time.Time{}, false
	}
	at := e.Intent.Time.UTC()
	y, m, d := at.Date()
	switch q.Bucket {
	case cost.Hour:
		return time.Date(y, m, d, at.Hour(), 0, 0, 0, time.UTC), true
	case cost.Day:
		return day(y, m, d), true
	case cost.Month:
		return day(y, m, 1), true
	}
	return q.Start, true
}

func wantCharges(entries []ledger.Entry, q cost.Query) map[string]cost.Sum {
	want := map[string]cost.Sum{}
	for i := range entries {
		e := &entries[i]
		start, ok := included(e, q)
		if !ok {
			continue
		}
		for _, ch := range e.Charges {
			row := cost.Charges{Start: start, Account: e.Account, Region: e.Region, Service: e.Service, UsageType: ch.UsageType, Operation: e.Operation,
				Resource: cost.Resource{ARN: e.ResourceARN, Name: e.ResourceName, ModelID: e.ModelID}, Tags: e.Tags}
			if q.Split {
				row.Principal, row.PrincipalTags, row.Metadata = e.Principal, e.PrincipalTags, e.Metadata
			}
			k := chargeKey(&row)
			s := want[k]
			s.Nano += ch.Nano
			s.Quantity += ch.Quantity
			s.Charges++
			if ch.Unrated {
				s.Unrated++
			}
			if e.Estimated {
				s.Estimated++
			}
			want[k] = s
		}
	}
	return want
}

func wantCallers(entries []ledger.Entry, q cost.Query) map[string]cost.Calls {
	want := map[string]cost.Calls{}
	for i := range entries {
		e := &entries[i]
		start, ok := included(e, q)
		if !ok {
			continue
		}
		c := cost.Calls{Start: start, Account: e.Account, Principal: e.Principal, Resource: cost.Resource{ARN: e.ResourceARN, Name: e.ResourceName, ModelID: e.ModelID}}
		k := callerKey(&c)
		if old, ok := want[k]; ok {
			c = old
		}
		c.Calls++
		c.Input += e.Usage.InputTokens + e.Usage.CacheReadInputTokens + e.Usage.CacheWriteInputTokens
		c.Output += e.Usage.OutputTokens
		for _, ch := range e.Charges {
			c.Nano += ch.Nano
		}
		want[k] = c
	}
	return want
}

func equal[V any](t *testing.T, what string, got, want map[string]V) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		g, inGot := got[k]
		w, inWant := want[k]
		if inGot != inWant || !reflect.DeepEqual(g, w) {
			t.Errorf("%s: %s\n got %+v (%v)\nwant %+v (%v)", what, k, g, inGot, w, inWant)
		}
	}
}
