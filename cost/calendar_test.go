package cost_test

import (
	"context"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no time zones

	"outcrop/cost"
	"outcrop/fault"
)

// hourly is rollups with one nano-USD in every hour.
type hourly struct{}

func (hourly) Charges(_ context.Context, q cost.Query) iter.Seq2[*cost.Charges, error] {
	return func(yield func(*cost.Charges, error) bool) {
		for t := q.Start.UTC(); t.Before(q.End); {
			next := t.Add(time.Hour)
			if q.Bucket > cost.Hour {
				next = q.Bucket.Next(t)
			}
			if next.After(q.End) {
				next = q.End
			}
			if !yield(&cost.Charges{Start: q.Bucket.Start(t), Sum: cost.Sum{Nano: int64(next.Sub(t) / time.Hour)}}, nil) {
				return
			}
			t = next
		}
	}
}

func (hourly) Callers(context.Context, cost.Query) iter.Seq2[*cost.Calls, error] { return nil }

// TestCalendar: the periods of a report and how many hours are in each, over month ends, leap days and changes of clocks.
// The changes are those of the IANA time zone database.
func TestCalendar(t *testing.T) {
	for _, c := range []struct {
		name, zone, start, end string
		bucket                 cost.Bucket
		want                   string // period=hours ...
	}{
		{"a leap day", "UTC", "2024-02-28T00:00:00Z", "2024-03-02T00:00:00Z", cost.Day, "2024-02-28=24 2024-02-29=24 2024-03-01=24"},
		{"no leap day", "UTC", "2023-02-28T00:00:00Z", "2023-03-02T00:00:00Z", cost.Day, "2023-02-28=24 2023-03-01=24"},
		{"centuries: 2100 has none, 2000 had", "UTC", "2100-02-01T00:00:00Z", "2100-04-01T00:00:00Z", cost.Month, "2100-02-01=672 2100-03-01=744"},
		{"a leap century", "UTC", "2000-02-01T00:00:00Z", "2000-03-01T00:00:00Z", cost.Month, "2000-02-01=696"},
		{"month ends", "UTC", "2024-01-31T23:00:00Z", "2024-05-01T01:00:00Z", cost.Month, "2024-01-31T23=1 2024-02-01=696 2024-03-01=744 2024-04-01=720 2024-05-01=1"},
		{"a year's end", "UTC", "2024-12-31T22:00:00Z", "2025-01-01T02:00:00Z", cost.Day, "2024-12-31T22=2 2025-01-01=2"},
		{"clocks of no concern to UTC", "UTC", "2024-03-31T00:00:00Z", "2024-04-01T00:00:00Z", cost.Day, "2024-03-31=24"},
		{"clocks forward", "Europe/Berlin", "2024-03-29T23:00:00Z", "2024-04-01T22:00:00Z", cost.Day, "2024-03-30=24 2024-03-31=23 2024-04-01=24"},
		{"clocks back", "Europe/Berlin", "2024-10-25T22:00:00Z", "2024-10-28T23:00:00Z", cost.Day, "2024-10-26=24 2024-10-27=25 2024-10-28=24"},
		{"hours when clocks go back", "Europe/Berlin", "2024-10-27T00:00:00Z", "2024-10-27T03:00:00Z", cost.Hour, "2024-10-27T02=1 2024-10-27T02=1 2024-10-27T03=1"},
		{"months of clocks", "America/New_York", "2024-03-01T05:00:00Z", "2024-12-01T05:00:00Z", cost.Month,
			"2024-03-01=743 2024-04-01=720 2024-05-01=744 2024-06-01=720 2024-07-01=744 2024-08-01=744 2024-09-01=720 2024-10-01=744 2024-11-01=721"},
		{"a midnight that is not", "America/Sao_Paulo", "2018-11-03T03:00:00Z", "2018-11-06T02:00:00Z", cost.Day, "2018-11-03=24 2018-11-04T01=23 2018-11-05=24"},
		{"a midnight that is there twice", "America/Havana", "2024-11-02T04:00:00Z", "2024-11-05T05:00:00Z", cost.Day, "2024-11-02=24 2024-11-03=25 2024-11-04=24"},
		{"a last hour that is there twice", "America/Sao_Paulo", "2018-02-16T02:00:00Z", "2018-02-19T03:00:00Z", cost.Day, "2018-02-16=24 2018-02-17=25 2018-02-18=24"},
		{"a day that is not", "Pacific/Apia", "2011-12-29T10:00:00Z", "2012-01-01T10:00:00Z", cost.Day, "2011-12-29=24 2011-12-31=24 2012-01-01=24"},
		{"a leap day far ahead of UTC", "Asia/Tokyo", "2024-02-27T15:00:00Z", "2024-02-29T15:00:00Z", cost.Day, "2024-02-28=24 2024-02-29=24"},
		{"half hours", "Asia/Kolkata", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", cost.Day, "refused"},
		{"half hours that are not asked about", "Asia/Kolkata", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00Z", cost.Whole, "2024-01-01T05:30=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at := func(s string) time.Time {
				v, err := time.Parse(time.RFC3339, s)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			q := cost.Query{Start: at(c.start), End: at(c.end), Bucket: c.bucket, Zone: zone}
			var got []string
			last := q.Start
			for p, err := range cost.Report(t.Context(), hourly{}, q, nil) {
				if err != nil {
					if !fault.Is(err, fault.Validation) {
						t.Fatal(err)
					}
					got = []string{"refused"}
					break
				}
				if !p.Start.Equal(last) {
					t.Errorf("a period begins at %v, the one before it ended at %v", p.Start, last)
				}
				last = p.End
				hours := int64(p.End.Sub(p.Start) / time.Hour)
				if p.Groups[0].Nano != hours {
					t.Errorf("%v to %v has costs of %d hours", p.Start, p.End, p.Groups[0].Nano)
				}
				name := strings.TrimSuffix(strings.TrimSuffix(p.Start.Format("2006-01-02T15:04"), ":00"), "T00")
				got = append(got, name+"="+strconv.FormatInt(hours, 10))
			}
			if want := strings.Fields(c.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
