package cost

import (
	"cmp"
	"context"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"outcrop/fault"
)

// Dimension is what a report groups by: it reads one value of a row.
type Dimension func(*Charges) string

// The dimensions of a row.
var (
	ByAccount   Dimension = func(c *Charges) string { return c.Account }
	ByRegion    Dimension = func(c *Charges) string { return c.Region }
	ByService   Dimension = func(c *Charges) string { return c.Service }
	ByUsageType Dimension = func(c *Charges) string { return c.UsageType }
	ByOperation Dimension = func(c *Charges) string { return c.Operation }
	ByResource  Dimension = func(c *Charges) string { return c.Resource.ARN }

	// ByName groups by the name that people know: the profile's, or the model id of what was called without one.
	ByName Dimension = func(c *Charges) string { return c.Resource.Label() }
)

// Label returns the profile's name, or the model's id where there is no profile.
func (r *Resource) Label() string {
	if r.Name != "" {
		return r.Name
	}
	return r.ModelID
}

// Group is the charges that have the same values in the dimensions of a report.
type Group struct {
	Keys []string // one for each dimension
	Sum
}

// Period is one calendar period of a report, cut to the time asked for.
type Period struct {
	Start  time.Time
	End    time.Time // exclusive
	Groups []Group   // sorted by their keys; without dimensions one group without keys, or none when nothing was charged
}

// Report reads the charges of q that filter accepts (all of them when it is nil) and adds them up by calendar period
// and dimension. It yields every period of the time asked for, in order, also those in which nothing was charged. An
// error ends it. A consumer may stop early: what comes after is not read.
func Report(ctx context.Context, r Rollups, q Query, filter func(*Charges) bool, by ...Dimension) iter.Seq2[Period, error] {
	return func(yield func(Period, error) bool) {
		if !q.Start.Before(q.End) {
			return
		}
		var (
			sums = map[string]*Group{}
			p    = Period{Start: q.Start.In(q.zone()), End: q.periodEnd(q.Start)}
			key  []byte
		)
		flush := func() bool {
			if !p.Start.Truncate(time.Hour).Equal(p.Start) || !p.End.Truncate(time.Hour).Equal(p.End) {
				yield(Period{}, fault.New(fault.Validation, "Days of %s do not begin on the hour of UTC, by which costs are added up.", q.zone()))
				return false
			}
			sorted := slices.SortedFunc(maps.Values(sums), func(a, b *Group) int { return slices.CompareFunc(a.Keys, b.Keys, strings.Compare) })
			p.Groups = make([]Group, len(sorted))
			for i, g := range sorted {
				p.Groups[i] = *g
			}
			clear(sums)
			if !yield(p, nil) {
				return false
			}
			p = Period{Start: p.End, End: q.periodEnd(p.End)}
			return true
		}
		for row, err := range q.charges(ctx, r) {
			if err != nil {
				yield(Period{}, err)
				return
			}
			for !row.Start.Before(p.End) && p.End.Before(q.End) {
				if !flush() {
					return
				}
			}
			if filter != nil && !filter(row) {
				continue
			}
			key = key[:0]
			for _, d := range by {
				v := d(row)
				key = binary.AppendUvarint(key, uint64(len(v)))
				key = append(key, v...)
			}
			g := sums[string(key)]
			if g == nil {
				g = &Group{Keys: make([]string, len(by))}
				for i, d := range by {
					g.Keys[i] = d(row)
				}
				sums[string(key)] = g
			}
			g.Add(row.Sum)
		}
		for p.Start.Before(q.End) {
			if !flush() {
				return
			}
		}
	}
}

// charges reads the rows of q. The days and months of rollups are those of UTC: where others are meant, each is asked for by
// itself, and is whole days and some hours.
func (q Query) charges(ctx context.Context, r Rollups) iter.Seq2[*Charges, error] {
	if q.Zone == nil || q.Bucket < Day {
		return r.Charges(ctx, q)
	}
	return func(yield func(*Charges, error) bool) {
		for start := q.Start; start.Before(q.End); start = q.periodEnd(start) {
			for row, err := range r.Charges(ctx, Query{Account: q.Account, Start: start, End: q.periodEnd(start), Split: q.Split, AmountsOnly: q.AmountsOnly}) {
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// periodEnd is the end of the period that begins at start, or of the query where that comes first.
func (q *Query) periodEnd(start time.Time) time.Time {
	if q.Bucket != Whole {
		if end := q.Bucket.NextIn(start, q.zone()); end.Before(q.End) {
			return end
		}
	}
	return q.End.In(q.zone())
}

func (q *Query) zone() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}

// Callers adds up who called in the time of q: one entry a principal and, with byResource, a resource. It is sorted by
// cost, the highest first, then by principal and resource.
func Callers(ctx context.Context, r Rollups, q Query, byResource bool) ([]Calls, error) {
	q.Bucket = Whole
	type key struct{ principal, resource string }
	sums := map[key]*Calls{}
	for row, err := range r.Callers(ctx, q) {
		if err != nil {
			return nil, err
		}
		k := key{principal: row.Principal}
		c := Calls{Start: q.Start, Account: row.Account, Principal: row.Principal}
		if byResource {
			k.resource, c.Resource = row.Resource.ARN, row.Resource
		}
		sum := sums[k]
		if sum == nil {
			sum = &c
			sums[k] = sum
		}
		sum.Calls += row.Calls
		sum.Input += row.Input
		sum.Output += row.Output
		sum.Nano += row.Nano
	}
	out := make([]Calls, 0, len(sums))
	for c := range maps.Values(sums) {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Calls) int {
		return cmp.Or(cmp.Compare(b.Nano, a.Nano), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Resource.ARN, b.Resource.ARN))
	})
	return out, nil
}
