package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/cost"
	"outcrop/ledger"
)

// moment is a time in RFC 3339, in whatever zone its offset says.
func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// periods returns how many nano-USD are in each period of the rollups, by its beginning.
func periods(t *testing.T, w *world, b cost.Bucket, layout string) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	q := cost.Query{Account: "000000000000", Start: moment(t, "1960-01-01T00:00:00Z"), End: moment(t, "2200-01-01T00:00:00Z"), Bucket: b}
	for c, err := range w.store.Charges(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		got[c.Start.Format(layout)] += c.Nano
	}
	return got
}

// What the wall clock says is when a call began, and a call is in the period in which it began, by the calendar of UTC:
// whatever the clock and the host's zone did between its beginning and its end, or between two calls, or while the server
// was down. Nothing is lost by it or counted twice, and the positions in the journal, which no clock makes, stay in order.
func TestCalendar(t *testing.T) {
	type call struct{ began, ended string } // ended "": it is open when the process ends, and the clock is at restart then
	for _, c := range []struct {
		name    string
		zone    string // the host's; "" for UTC
		calls   []call
		restart string // where the clock is at the start after a crash
		hours   []string
	}{
		{name: "the end of a month", calls: []call{
			{"2026-01-31T23:59:59.999999999Z", "2026-02-01T00:00:03Z"}, {"2026-02-01T00:00:00Z", "2026-02-01T00:00:01Z"}, {"2026-04-30T23:00:00Z", "2026-05-01T01:00:00Z"},
		}, hours: []string{"2026-01-31T23", "2026-02-01T00", "2026-04-30T23"}},
		{name: "the end of a year", calls: []call{{"2026-12-31T23:59:59.5Z", "2027-01-01T00:00:00.5Z"}, {"2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"}},
			hours: []string{"2026-12-31T23", "2027-01-01T00"}},
		{name: "a leap day", calls: []call{
			{"2028-02-28T23:59:59Z", "2028-02-29T00:00:01Z"}, {"2028-02-29T00:00:00Z", "2028-02-29T00:00:01Z"}, {"2028-02-29T23:59:59Z", "2028-03-01T00:00:01Z"}, {"2028-03-01T00:00:00Z", "2028-03-01T00:00:01Z"},
		}, hours: []string{"2028-02-28T23", "2028-02-29T00", "2028-02-29T23", "2028-03-01T00"}},
		{name: "a century without a leap day", calls: []call{{"2100-02-28T23:59:59Z", "2100-03-01T00:00:01Z"}, {"2100-03-01T00:00:00Z", "2100-03-01T00:00:01Z"}},
			hours: []string{"2100-02-28T23", "2100-03-01T00"}},
		{name: "clocks go back in the host's zone: the hour that comes twice is two", zone: "Europe/Berlin", calls: []call{
			{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:05+02:00"}, {"2026-10-25T02:59:59+02:00", "2026-10-25T02:00:01+01:00"}, {"2026-10-25T02:30:00+01:00", "2026-10-25T02:30:05+01:00"},
		}, hours: []string{"2026-10-25T00", "2026-10-25T00", "2026-10-25T01"}},
		{name: "clocks go forward in the host's zone", zone: "America/New_York", calls: []call{
			{"2026-03-08T01:59:59-05:00", "2026-03-08T03:00:01-04:00"}, {"2026-03-08T03:00:00-04:00", "2026-03-08T03:00:01-04:00"},
		}, hours: []string{"2026-03-08T06", "2026-03-08T07"}},
		{name: "a day of the host's zone is two of UTC", zone: "Asia/Tokyo", calls: []call{{"2026-06-01T08:59:59+09:00", "2026-06-01T09:00:01+09:00"}, {"2026-06-01T09:00:00+09:00", "2026-06-01T09:00:01+09:00"}},
			hours: []string{"2026-05-31T23", "2026-06-01T00"}},
		{name: "a zone of half an hour", zone: "Asia/Kolkata", calls: []call{{"2026-06-01T05:29:59+05:30", "2026-06-01T05:30:01+05:30"}, {"2026-06-01T05:30:00+05:30", "2026-06-01T05:30:01+05:30"}},
			hours: []string{"2026-05-31T23", "2026-06-01T00"}},
		{name: "the clock goes back an hour in the middle of a call", calls: []call{{"2026-06-01T00:10:00Z", "2026-05-31T23:10:05Z"}, {"2026-05-31T23:10:06Z", "2026-05-31T23:10:07Z"}},
			hours: []string{"2026-06-01T00", "2026-05-31T23"}},
		{name: "the clock goes back a day between calls, over a month's end", calls: []call{
			{"2026-06-01T00:10:00Z", "2026-06-01T00:10:05Z"}, {"2026-05-31T00:10:06Z", "2026-05-31T00:10:07Z"}, {"2026-06-01T00:11:00Z", "2026-06-01T00:11:00Z"},
		}, hours: []string{"2026-06-01T00", "2026-05-31T00", "2026-06-01T00"}},
		{name: "the clock goes forward a day in the middle of a call", calls: []call{{"2026-06-01T00:10:00Z", "2026-06-02T00:10:05Z"}, {"2026-06-02T00:10:06Z", "2026-06-02T00:10:07Z"}},
			hours: []string{"2026-06-01T00", "2026-06-02T00"}},
		{name: "the clock goes forward ten years and comes back", calls: []call{
			{"2026-06-01T00:10:00Z", "2026-06-01T00:10:05Z"}, {"2036-06-01T00:10:06Z", "2036-06-01T00:10:07Z"}, {"2026-06-01T00:10:10Z", "2026-06-01T00:10:11Z"},
		}, hours: []string{"2026-06-01T00", "2036-06-01T00", "2026-06-01T00"}},
		{name: "a clock without a battery begins in 1970", calls: []call{{"1970-01-01T00:00:09Z", "2026-06-01T00:10:05Z"}, {"2026-06-01T00:10:06Z", "2026-06-01T00:10:07Z"}},
			hours: []string{"1970-01-01T00", "2026-06-01T00"}},
		{name: "the clock is a day behind at the start after a crash", calls: []call{{"2026-06-01T00:10:00Z", "2026-06-01T00:10:05Z"}, {"2026-06-01T00:10:06Z", ""}}, restart: "2026-05-31T00:00:00Z",
			hours: []string{"2026-06-01T00", "2026-06-01T00"}},
		{name: "the clock is a month ahead at the start after a crash", calls: []call{{"2026-06-01T00:10:00Z", ""}, {"2026-06-01T00:10:06Z", "2026-06-01T00:10:07Z"}}, restart: "2026-07-02T00:00:00Z",
			hours: []string{"2026-06-01T00", "2026-06-01T00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.zone != "" {
				zone, err := time.LoadLocation(c.zone)
				if err != nil {
					t.Fatal(err)
				}
				defer func(was *time.Location) { time.Local = was }(time.Local)
				time.Local = zone
			}
			var clock atomic.Pointer[time.Time]
			set := func(text string) time.Time {
				at := moment(t, text).In(time.Local)
				clock.Store(&at)
				return at
			}
			set(c.calls[0].began)
			change := func(cfg *ledger.Config) { cfg.Clock = func() time.Time { return *clock.Load() } }
			w := newWorld(t, change)
			want := map[uuid.UUID]ledger.Status{}
			hours, days, months := map[string]int64{}, map[string]int64{}, map[string]int64{}
			var open []ledger.Intent
			for i, call := range c.calls {
				in, s := intent(number(i)), settlement(number(i))
				in.Time = set(call.began)
				if err := w.Open(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				nano := int64(settledNano)
				if want[in.ID] = ledger.Completed; call.ended == "" {
					want[in.ID], nano = ledger.Recovered, recoveredNano
					open = append(open, *in)
				} else {
					s.Time = set(call.ended)
					if err := w.Settle(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
				hours[c.hours[i]] += nano
				days[c.hours[i][:len("2006-01-02")]] += nano
				months[c.hours[i][:len("2006-01")]] += nano
				if i == 0 {
					w.flush() // what follows is another batch
				}
			}
			if len(open) > 0 {
				w.abandon()
				set(c.restart)
				w.start(change)
			}
			w.flush()
			prove := func() {
				t.Helper()
				w.want(want)
				for b, p := range map[cost.Bucket]struct {
					layout string
					want   map[string]int64
				}{cost.Hour: {"2006-01-02T15", hours}, cost.Day: {"2006-01-02", days}, cost.Month: {"2006-01", months}} {
					if got := periods(t, w, b, p.layout); !maps.Equal(got, p.want) {
						t.Errorf("by %v: %v, want %v", b, got, p.want)
					}
				}
			}
			prove()
			// Calls are listed as they began, not as they were recorded.
			var listed []time.Time
			for e, err := range w.store.Calls(t.Context(), "", time.Time{}, 0) {
				if err != nil {
					t.Fatal(err)
				}
				listed = append(listed, e.Intent.Time)
				if e.Status == ledger.Recovered && !e.Settlement.Time.Equal(moment(t, c.restart)) {
					t.Errorf("a call was recovered at %v", e.Settlement.Time)
				}
			}
			if !slices.IsSortedFunc(listed, time.Time.Compare) {
				t.Errorf("calls are listed in the order %v", listed)
			}
			w.close()

			// The times are the journal's: an index that is made anew has the same periods.
			if segments := w.segments(); len(segments) != 1 || filepath.Base(segments[0]) != fmt.Sprintf("%016x.journal", 0) {
				return // those before are gone
			}
			w.loseIndex()
			w.start(change)
			w.flush()
			prove()
			w.close()
		})
	}
}
