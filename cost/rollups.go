package cost

import (
	"context"
	"iter"
	"strings"
	"time"

	"outcrop/converse"
	"outcrop/ledger"
)

// Bucket is a calendar period in UTC: what rows are added up by.
type Bucket uint8

// The buckets. Whole is one bucket for all of the time asked for.
const (
	Whole Bucket = iota
	Hour
	Day
	Month
)

// String returns the name of the period: "hour", "day", "month" or "whole".
func (b Bucket) String() string { return [...]string{"whole", "hour", "day", "month"}[min(b, Month)] }

// Start returns the start of the period that t lies in, in UTC. Whole has none: t itself is returned.
func (b Bucket) Start(t time.Time) time.Time { return b.StartIn(t, time.UTC) }

// StartIn is Start by the calendar of zone.
func (b Bucket) StartIn(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	y, m, d := t.Date()
	switch b {
	case Hour:
		return t.Truncate(time.Hour)
	case Day:
		return midnight(y, m, d, zone)
	case Month:
		return midnight(y, m, 1, zone)
	}
	return t
}

// Next returns the end of the period that t lies in, which is the start of the one after it, in UTC. Whole has none: the
// zero time is returned.
func (b Bucket) Next(t time.Time) time.Time { return b.NextIn(t, time.UTC) }

// NextIn is Next by the calendar of zone. Its days are of 23 or 25 hours when clocks change; its hours are those of UTC.
func (b Bucket) NextIn(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	switch b {
	case Hour:
		return b.StartIn(t, zone).Add(time.Hour)
	case Day:
		return midnight(y, m, d+1, zone)
	case Month:
		return midnight(y, m+1, 1, zone)
	}
	return time.Time{}
}

// midnight is when a day begins in zone, which is not always at 0:00: clocks are set at that time too, forward past it or
// back to it. time.Date then gives one of the two times that could be meant.
func midnight(y int, m time.Month, d int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	day := time.Date(y, m, d, 12, 0, 0, 0, zone).Day()
	for t.Day() != day {
		t = t.Add(time.Hour)
	}
	if earlier := t.Add(-time.Hour); earlier.Day() == day {
		return earlier
	}
	return t
}

// Query says which rollups to read.
type Query struct {
	Account string    // 12 digits; nothing of another account is ever read
	Start   time.Time // inclusive, on the hour
	End     time.Time // exclusive, on the hour
	Bucket  Bucket

	// Split tells rows of Charges apart by who called, too, and by what they said of their calls.
	Split bool

	// AmountsOnly leaves Discount, Unrated and Estimated of Charges at 0: there is less to read.
	AmountsOnly bool

	// Zone is whose calendar Report goes by; nil is UTC. Its days must begin on the hour of UTC. Rollups does not know it.
	Zone *time.Location
}

// Resource is what calls were made through: an inference profile or a bare foundation model.
type Resource struct {
	ARN     string
	Name    string // the profile's name as of its newest call; "" for a bare model
	ModelID string // the foundation model behind it
}

// Sum is charges added up. A call has one charge for each kind of token that it used, so the counts are of charges, not
// of calls.
type Sum struct {
	Nano      int64 // nano-USD
	Discount  int64 // nano-USD that it would be more by the list
	Quantity  int64 // tokens
	Pieces    int64 // what else is counted: pictures, search units
	Charges   int64
	Unrated   int64 // of them, those for which no price was known: their Nano is 0 and they are not free
	Estimated int64 // of them, those whose usage is an estimate

	Unit string // of Pieces: AWS's name of it, "" where there are none, MixedUnits where they are of several
}

// MixedUnits is the unit of a sum of what cannot be added up, as AWS calls it.
const MixedUnits = "N/A"

// Unit returns what the pieces of a usage type are, as AWS's price list says; "" where it is of tokens.
func Unit(usageType string) string {
	switch usageType = strings.TrimSuffix(usageType, globalSuffix); {
	case strings.HasSuffix(usageType, "-"+searchUnits):
		return "Search Units"
	case strings.HasSuffix(usageType, "-"+requests):
		return "Requests"
	case strings.HasSuffix(usageType, "-"+gpuTime), strings.Contains(usageType, "-"+gpuTime+"-"):
		return "Milliseconds"
	case strings.HasSuffix(usageType, "-"+inputImage):
		return "Images Processed"
	case strings.HasSuffix(usageType, "-"+converse.OutputImage), strings.Contains(usageType, "-T2I-"), strings.Contains(usageType, "-I2I-"):
		return "image"
	}
	return ""
}

// Count sets the quantity of a row: pieces of a unit, which Unit tells, or tokens where that is "".
func (s *Sum) Count(unit string, quantity int64) {
	s.Quantity, s.Pieces, s.Unit = quantity, 0, unit
	if unit != "" {
		s.Quantity, s.Pieces = 0, quantity
	}
}

// Add adds o to s.
func (s *Sum) Add(o Sum) {
	switch {
	case o.Unit == "" || s.Unit == o.Unit:
	case s.Unit == "":
		s.Unit = o.Unit
	default:
		s.Unit = MixedUnits
	}
	s.Pieces += o.Pieces
	s.Nano += o.Nano
	s.Discount += o.Discount
	s.Quantity += o.Quantity
	s.Charges += o.Charges
	s.Unrated += o.Unrated
	s.Estimated += o.Estimated
}

// Charges is charges of one bucket that are alike in everything a report can tell apart.
type Charges struct {
	Start     time.Time // of the bucket, by the calendar: it may lie before Query.Start; Query.Start for Whole
	Account   string
	Region    string // source Region
	Service   string
	UsageType string
	Operation string
	Resource  Resource
	Tags      []ledger.Tag // the profile's as of the calls, sorted by key

	// Of a Query with Split; zero without. Metadata has at most so many keys, and of values those that came first:
	// OtherValue stands for the others.
	Principal     string       // ARN
	PrincipalTags []ledger.Tag // the caller's own as of the calls, sorted by key
	Metadata      []ledger.Tag // sorted by key

	// Correction says that this is by how much others are corrected: see Invoices. Its figures may be negative.
	Correction bool

	Sum
}

// Calls is calls that one principal made through one resource in one bucket. Calls that failed count too.
type Calls struct {
	Start     time.Time // as in Charges
	Account   string
	Principal string // ARN
	Resource  Resource
	Calls     int64
	Input     int64 // tokens, cached ones included
	Output    int64 // tokens
	Nano      int64 // nano-USD
}

// Rollups is the ledger added up by hour, as reports read it. store implements it; the suite in store/storetest is its
// specification.
//
// Rows come in the order of their buckets, and in no order within one, where several may differ in nothing but their
// figures: they are to be added up. The struct that a row comes in is used again for the next one; what it refers to is not.
// An error ends the rows. A query whose End is not after its Start has none.
type Rollups interface {
	// Charges reads what was charged.
	Charges(ctx context.Context, q Query) iter.Seq2[*Charges, error]

	// Callers reads who called.
	Callers(ctx context.Context, q Query) iter.Seq2[*Calls, error]
}

// Invoices is what there is to bill. store implements it; the suite in store/storetest is its specification.
type Invoices interface {
	// Invoice reads the charges of q, whose Bucket is Hour or Day, as Charges does with Split: of one moment, in the order of
	// their days, and within one in an order that is the same every time.
	//
	// With corrections, what was charged and what of it was corrected after its month was over are rows of their own, as in the
	// bills of two months: the former as it stood at the month's end. Those of a day come behind its other rows. A call that is
	// not kept any more is in the rows as it was corrected.
	Invoice(ctx context.Context, q Query, corrections bool) iter.Seq2[*Charges, error]
}

// Meter says what a usage type counts, in AWS's words as far as it has any: "Input tokens".
func Meter(usageType string) string {
	if kind, _ := tokenKind(usageType); kind >= 0 {
		return meters[kind]
	}
	switch Unit(usageType) {
	case "Search Units":
		return "Search units"
	case "Requests":
		return "Requests"
	case "Milliseconds":
		return "GPU time"
	case "Images Processed":
		return "Input images"
	case "image":
		return "Images"
	}
	return "Usage"
}

// meters are the words for tokenKinds.
var meters = [len(tokenKinds)]string{"Input tokens", "Output tokens", "Cache read input tokens", "Cache write input tokens", "Cache write input tokens, 1 hour"}
