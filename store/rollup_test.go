package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
		widest := span(r.IntN(3))
		got := map[int64]int{} // how often an hour is read
		last := int64(0)
		parts := cover(a, b, rolled, widest)
		for _, p := range parts {
			if p.span > widest || p.from >= p.to {
				t.Fatalf("%d to %d, rolled %d, by %v: %v", a-base, b-base, rolled-base, widest, parts)
			}
			from, to := p.span.start(p.from), p.span.start(p.to)
			if from < last {
				t.Fatalf("%d to %d, rolled %d, by %v: %v are not in order", a-base, b-base, rolled-base, widest, parts)
			}
			if p.span > byHour {
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
		want         []part
	}{
		{at(2024, 2, 1, 0), at(2024, 2, 29, 15), at(2024, 2, 29, 13), []part{{byMonth, january + 1, january + 2}, {byHour, at(2024, 2, 29, 13), at(2024, 2, 29, 15)}}},
		{at(2024, 1, 1, 0), at(2025, 1, 1, 0), at(2025, 6, 1, 0), []part{{byMonth, january, january + 12}}},
		{at(2024, 2, 28, 0), at(2024, 4, 1, 0), at(2025, 6, 1, 0), []part{{byDay, at(2024, 2, 28, 0) / 24, at(2024, 3, 1, 0) / 24}, {byMonth, january + 2, january + 3}}},
		{at(2024, 2, 1, 1), at(2024, 2, 3, 2), at(2024, 2, 1, 5), []part{{byHour, at(2024, 2, 1, 1), at(2024, 2, 3, 2)}}},
	} {
		if got := cover(c.a, c.b, c.rolled, byMonth); !slices.Equal(got, c.want) {
			t.Errorf("%d to %d, rolled %d: got %v, want %v", c.a, c.b, c.rolled, got, c.want)
		}
	}
}
