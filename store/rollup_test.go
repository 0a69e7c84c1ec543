package store

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/cost"
	"outcrop/ledger"
)

// TestSpans: the numbers of days and months follow the calendar of package time, hour by hour and over leap days.
func TestSpans(t *testing.T) {
	begin, end := time.Date(1966, 12, 30, 0, 0, 0, 0, time.UTC), time.Date(2101, 1, 2, 0, 0, 0, 0, time.UTC)
	h := begin.Unix() / 3600
	days, months := byDay.of(h), byMonth.of(h)
	if days != begin.Unix()/86400 || months != -37 {
		t.Fatalf("it begins with day %d and month %d", days, months)
	}
	for at := begin; at.Before(end); at, h = at.Add(time.Hour), h+1 {
		if at != begin {
			if at.Hour() == 0 {
				days++
				if at.Day() == 1 {
					months++
				}
			}
		}
		if d, m := byDay.of(h), byMonth.of(h); d != days || m != months || byHour.of(h) != h {
			t.Fatalf("%v is in day %d and month %d, want %d and %d", at, d, m, days, months)
		}
		if at.Hour() == 0 && byDay.start(days) != h || at.Hour() == 0 && at.Day() == 1 && byMonth.start(months) != h {
			t.Fatalf("the day or month of %v does not begin then", at)
		}
	}
}

// TestCover: the parts of a time have each of its hours once and no other, and are in order.
func TestCover(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	base := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Unix() / 3600
	pick := func() int64 {
		h := base + r.Int64N(100*24)
		switch r.IntN(4) {
		case 0:
			return byDay.start(byDay.of(h))
		case 1:
			return byMonth.start(byMonth.of(h))
		}
		return h
	}
	for range 20_000 {
		a, b, rolled := pick(), pick(), pick()
		widest := grain(r.IntN(3))
		got := map[int64]int{} // how often an hour is read
		last := int64(0)
		parts := cover(a, b, rolled, widest)
		for _, p := range parts {
			if p.grain > widest || p.from >= p.to {
				t.Fatalf("%d to %d, rolled %d, by %v: %v", a-base, b-base, rolled-base, widest, parts)
			}
			from, to := p.grain.start(p.from), p.grain.start(p.to)
			if from < last {
				t.Fatalf("%d to %d, rolled %d, by %v: %v are not in order", a-base, b-base, rolled-base, widest, parts)
			}
			if p.grain > byHour {
				to = min(to, rolled) // what is not added to it yet is not in it
			}
			last = to
			for h := from; h < to; h++ {
				got[h]++
			}
		}
		for h := a; h < b; h++ {
			if got[h] != 1 {
				t.Fatalf("%d to %d, rolled %d, by %v: %v have hour %d %d times", a-base, b-base, rolled-base, widest, parts, h-base, got[h])
			}
		}
		if len(got) != max(0, int(b-a)) {
			t.Fatalf("%d to %d, rolled %d, by %v: %v have %d hours", a-base, b-base, rolled-base, widest, parts, len(got))
		}
		if len(parts) > 6 { // hours, days, months, days, hours, and those that are open
			t.Fatalf("%d to %d, rolled %d, by %v: %v", a-base, b-base, rolled-base, widest, parts)
		}
	}
}

// TestCoverMonths: a month that has not ended is one row a key and the hours that are open, and a year the months of it.
func TestCoverMonths(t *testing.T) {
	at := func(y int, m time.Month, d, h int) int64 {
		return time.Date(y, m, d, h, 0, 0, 0, time.UTC).Unix() / 3600
	}
	january := int64(54 * 12)
	for _, c := range []struct {
		a, b, rolled int64
		want         []stretch
	}{
		{at(2024, 2, 1, 0), at(2024, 2, 29, 15), at(2024, 2, 29, 13), []stretch{{byMonth, january + 1, january + 2}, {byHour, at(2024, 2, 29, 13), at(2024, 2, 29, 15)}}},
		{at(2024, 1, 1, 0), at(2025, 1, 1, 0), at(2025, 6, 1, 0), []stretch{{byMonth, january, january + 12}}},
		{at(2024, 2, 28, 0), at(2024, 4, 1, 0), at(2025, 6, 1, 0), []stretch{{byDay, at(2024, 2, 28, 0) / 24, at(2024, 3, 1, 0) / 24}, {byMonth, january + 2, january + 3}}},
		{at(2024, 2, 1, 1), at(2024, 2, 3, 2), at(2024, 2, 1, 5), []stretch{{byHour, at(2024, 2, 1, 1), at(2024, 2, 3, 2)}}},
	} {
		if got := cover(c.a, c.b, c.rolled, byMonth); !slices.Equal(got, c.want) {
			t.Errorf("%d to %d, rolled %d: got %v, want %v", c.a, c.b, c.rolled, got, c.want)
		}
	}
}

// rolledStore has a call an hour from the evening of 28 February 2024 on, one batch each.
func rolledStore(t *testing.T, hours int) (*Store, time.Time) {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	start := time.Date(2024, 2, 28, 20, 30, 0, 0, time.UTC)
	for i := range hours {
		id := uuid.UUID{15: byte(i), 14: byte(i >> 8)}
		e := ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: start.Add(time.Duration(i) * time.Hour), Account: "000000000000", Principal: "arn:p", Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:r", ModelID: "m", Scope: "region"},
			Settlement: ledger.Settlement{ID: id, Time: start, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: int64(i) + 1, Price: "p"}}},
		}
		if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: ledger.Position(i), To: ledger.Position(i + 1), Entries: []ledger.Entry{e}}); err != nil {
			t.Fatal(err)
		}
	}
	return s, start
}

// TestRolled: hours are added to days and months when they are over, and whatever is wrong there is found.
func TestRolled(t *testing.T) {
	s, _ := rolledStore(t, 60) // to 2 March, 7:30
	one := func(text string) (n int64) {
		t.Helper()
		if err := s.read.QueryRowContext(t.Context(), text).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	leap := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC).Unix() / 86400
	march := time.Date(2024, 3, 2, 7, 0, 0, 0, time.UTC).Unix() / 3600
	if n := one(`SELECT hour FROM rolled`); n != march-openHours {
		t.Errorf("days and months have the hours before %v, want before %v", hour(n), hour(march-openHours))
	}
	for text, want := range map[string]int64{
		`SELECT SUM(calls) FROM charge_day WHERE day = ` + itoa(leap):        24,
		`SELECT SUM(nano) FROM split_day WHERE day = ` + itoa(leap):          (5 + 28) * 24 / 2,
		`SELECT SUM(calls) FROM caller_month WHERE month = ` + itoa(54*12+1): 28,
		`SELECT SUM(calls) FROM split_month WHERE month = ` + itoa(54*12+2):  24 + 6,
		`SELECT COUNT(*) FROM charge_month`:                                  2,
	} {
		if got := one(text); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ change, back, want string }{
		{`UPDATE charge_day SET nano = nano + 1 WHERE day = ` + itoa(leap), `UPDATE charge_day SET nano = nano - 1 WHERE day = ` + itoa(leap), "charge_day: account 000000000000, day 2024-02-29"},
		{`UPDATE split_month SET calls = 0 WHERE month = 649`, `UPDATE split_month SET calls = 28 WHERE month = 649`, "split_month: account 000000000000, month 2024-02"},
		{`UPDATE caller_day SET day = 0 WHERE day = ` + itoa(leap), `UPDATE caller_day SET day = ` + itoa(leap) + ` WHERE day = 0`, "caller_day: account 000000000000, day 1970-01-01"},
		{`UPDATE rolled SET hour = hour - 1`, `UPDATE rolled SET hour = hour + 1`, "charge_day: account 000000000000, day 2024-03-02"},
		{`UPDATE rolled SET account = '1'`, `UPDATE rolled SET account = '000000000000'`, "rolled: account 000000000000"},
	}
	for _, c := range cases {
		for i, text := range []string{c.change, c.back} {
			if _, err := s.write.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyLedger(t.Context()); i == 0 && (err == nil || !strings.Contains(err.Error(), c.want)) || i == 1 && err != nil {
				t.Errorf("%s: %v, want %q", text, err, c.want)
			}
		}
	}
	for _, c := range cases {
		if _, err := s.write.ExecContext(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		// It is mended, each row with a record, and nothing is left to mend.
		const account = "000000000000"
		records := one(`SELECT COUNT(*) FROM repair`)
		moved, err := s.RepairRolled(t.Context(), account, &Repair{By: "op", Reason: c.change})
		if err != nil {
			t.Fatal(err)
		}
		if n := one(`SELECT COUNT(*) FROM repair`) - records; int64(moved) != n || moved == 0 {
			t.Errorf("%s: %d rows moved, and %d are in the record", c.change, moved, n)
		}
		if err := s.VerifyLedger(t.Context()); err != nil {
			t.Errorf("%s, repaired: %v", c.change, err)
		}
	}
}

// TestClockSetForward: a call from a clock that is a year ahead makes all that come after it late, and no sum wrong.
func TestClockSetForward(t *testing.T) {
	s, start := rolledStore(t, 30)
	at := ledger.Position(30)
	add := func(n byte, when time.Time) {
		t.Helper()
		id := uuid.UUID{0: 1, 15: n}
		e := ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: when, Account: "000000000000", Principal: "arn:p", Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:r", ModelID: "m", Scope: "region"},
			Settlement: ledger.Settlement{ID: id, Time: when, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: 1000, Price: "p"}}},
		}
		if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: at, To: at + 1, Entries: []ledger.Entry{e}}); err != nil {
			t.Fatal(err)
		}
		at++
	}
	add(1, start.AddDate(1, 0, 0))
	for i := range 20 { // until all is added up
		add(byte(2+i), start.AddDate(1, 0, 0))
	}
	add(100, start.Add(30*time.Hour)) // the clock is right again
	add(101, start.Add(-24*time.Hour))
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
	for _, bucket := range []cost.Bucket{cost.Whole, cost.Hour, cost.Day, cost.Month} {
		var nano int64
		for c, err := range s.Charges(t.Context(), cost.Query{Account: "000000000000", Start: start.AddDate(0, -1, 0).Truncate(time.Hour), End: start.AddDate(0, 6, 0).Truncate(time.Hour), Bucket: bucket}) {
			if err != nil {
				t.Fatal(err)
			}
			nano += c.Nano
		}
		if want := int64(30*31/2 + 2000); nano != want {
			t.Errorf("by %v: %d, want %d", bucket, nano, want)
		}
	}
}

// TestNothingRolled: an account whose sums are all gone is told of, and mended.
func TestNothingRolled(t *testing.T) {
	s, _ := rolledStore(t, 3)
	for _, table := range []string{"rolled", "charge_hour", "split_hour", "caller_hour"} {
		if _, err := s.write.ExecContext(t.Context(), `DELETE FROM `+table); err != nil {
			t.Fatal(err)
		}
	}
	wrong := map[time.Time]bool{}
	if _, err := s.ProveLedger(t.Context(), func(d *Difference) error {
		if !d.Rolled() {
			wrong[d.Time] = true
		}
		return nil
	}); err != nil || len(wrong) != 3 {
		t.Fatalf("%d hours are wrong, %v; want 3", len(wrong), err)
	}
	repairAll(t, s, slices.Collect(maps.Keys(wrong))...)
}

// TestRepairNothing: a row that is there, with nothing in it, is put back too: corrections that cancel each other out leave one.
func TestRepairNothing(t *testing.T) {
	s, start := rolledStore(t, 3)
	at := start.Truncate(time.Hour)
	for i, nano := range []int64{500, -500} {
		id := uuid.UUID{0: 7, 15: byte(i)}
		if err := s.Adjust(t.Context(), &ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: at, Account: "000000000000", Region: "us-east-1", Operation: "Correction", ResourceARN: "arn:r", ModelID: "m"},
			Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Adjusted, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "USE1-Correction", Nano: nano, Price: "operator"}}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.write.ExecContext(t.Context(), `DELETE FROM caller_hour WHERE calls = 0`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d rows of corrections, %v", n, err)
	}
	repairAll(t, s, at)
}

// repairAll mends hours, and what days and months have of them; nothing is to be wrong then.
func repairAll(t *testing.T, s *Store, hours ...time.Time) {
	t.Helper()
	by := &Repair{By: "op", Reason: "test"}
	for _, at := range hours {
		if n, err := s.RepairHour(t.Context(), "000000000000", at, by); err != nil || n == 0 {
			t.Fatalf("%v: %d rows moved, %v", at, n, err)
		}
	}
	if _, err := s.RepairRolled(t.Context(), "000000000000", by); err != nil {
		t.Fatal(err)
	}
	if err := s.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestResourceOfSeveralAccounts: a model that is called without a profile has one ARN for all accounts. Its name does not change from call to call.
func TestResourceOfSeveralAccounts(t *testing.T) {
	s, start := rolledStore(t, 0)
	var entries []ledger.Entry
	for i := range 10 {
		id := uuid.UUID{15: byte(i)}
		entries = append(entries, ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: start, Account: []string{"000000000000", "111111111111"}[i%2], Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:aws:bedrock:us-east-1::foundation-model/m", ModelID: "m"},
			Settlement: ledger.Settlement{ID: id, Time: start, Status: ledger.Completed, Service: "Amazon Bedrock"},
		})
		// Each call is another origin, as those with other tags are.
		entries[i].Tags = []ledger.Tag{{Key: "n", Value: strconv.Itoa(i)}}
	}
	if err := s.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Revision(t.Context(), resourceDomain); err != nil || n != 1 {
		t.Errorf("the names of resources changed %d times, %v, want once", n, err)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
