package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
)

// Tag is one tag of a profile or of a caller as of the call, or one pair of a call's metadata.
type Tag struct{ Key, Value string }

// Intent is what is known of a call before any upstream is called.
type Intent struct {
	ID          uuid.UUID // the request id that the caller sees
	Time        time.Time // UTC
	Account     string    // 12 digits
	Principal   string    // the caller's ARN
	AccessKeyID string
	Region      string // the source Region: the one in the caller's signature
	Operation   string // Converse, ConverseStream, InvokeModel, InvokeModelWithResponseStream

	ResourceARN  string // what the caller named: a profile's ARN or a foundation model's
	ResourceName string // the profile's name at the time of the call; "" for a bare model
	ModelID      string // the foundation model's id
	Scope        string // the price's scope: "region", "global" or a geography ("us", "eu", ...)
	Tier         string // the service tier that was asked for; "" is the default one. The charges' usage types name the one that served
	Tags         []Tag  // the application profile's tags at the time of the call, sorted by key
	Metadata     []Tag  // what the caller says of the call (requestMetadata), sorted by key

	PrincipalTags []Tag // the caller's own tags at the time of the call, those of a session among them, sorted by key

	EstimatedInputTokens int64 // of the request as it came in
	MaxOutputTokens      int64 // the most the answer may have: the caller's maxTokens or the model's limit; 0 unknown
}

// Status is how a call ended.
type Status uint8

// The statuses. A Recovered call is one that a crash left open: what it really used is not known.
const (
	Completed Status = iota + 1 // the answer was whole
	Failed                      // an error was returned, before or after the first event
	Cancelled                   // the caller went away
	Recovered                   // closed by recovery at a later start
	Adjusted                    // no call: an operator's correction of what a profile costs. It is in no journal
)

// String returns the status as it is stored and reported.
func (s Status) String() string {
	switch s {
	case Completed:
		return "completed"
	case Failed:
		return "failed"
	case Cancelled:
		return "cancelled"
	case Recovered:
		return "recovered"
	case Adjusted:
		return "correction"
	}
	return "unknown"
}

// ParseStatus returns the status whose String is text.
func ParseStatus(text string) (Status, error) {
	for s := Completed; s <= Adjusted; s++ {
		if s.String() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown status %q", text)
}

// Charge is one line of what a call costs.
type Charge struct {
	UsageType string // AWS's usage type: "USE1-Claude3Haiku-input-tokens"
	Quantity  int64  // tokens; pictures or search units, where the usage type is of these
	Nano      int64  // nano-USD, rounded half to even once; 0 when Unrated
	Discount  int64  // nano-USD that it would cost more by the list, less where it is negative: a discount, or a negotiated price
	Price     string // the price that rated it, with its version; "" when Unrated
	Unrated   bool   // no price is known for this usage: never the same as free
}

// Settlement is how a call ended and what it used.
type Settlement struct {
	ID        uuid.UUID // the Intent's
	Time      time.Time // when it ended, UTC
	Status    Status
	Estimated bool   // Usage is an estimate, or a charge for an attempt that was lost is one
	Reason    string // why it failed or was estimated: "" for a completed call with the upstream's own counts
	Service   string // what Cost Explorer calls SERVICE: "Amazon Bedrock"

	Upstream   string // the upstream that served it; "" when none was reached
	Served     string // the Region it was served in: the destination
	Attempts   int
	StopReason string
	Latency    time.Duration // from the request's arrival to its end
	FirstEvent time.Duration // from the request's arrival to the first event; 0 when there was none

	Usage   converse.Usage
	Charges []Charge // for Usage; then for attempts that may have cost something and gave no answer
}

// Entry is a settled call. Of one that was corrected, Charges is what it costs now.
type Entry struct {
	Intent
	Settlement
	Corrections []Correction // in the order in which they were made; nil for none
}

// Correction changes what a settled call costs: a row of its own, beside the call's, which stays as it is.
type Correction struct {
	Time    time.Time // when it was made, UTC
	By      string    // who made it, in words for people; "" where that was not recorded
	Reason  string    // "rerate", or what an operator says
	Back    []Charge  // what holds no longer, as it was charged: it counts with its sign turned
	Charges []Charge  // what takes its place
}

// Corrected is a call as it was read from the index, and a correction of it.
type Corrected struct {
	*Entry
	Correction *Correction
}

// ErrCorrected says that a call was corrected since it was read.
var ErrCorrected = errors.New("another correction came first")

// Nano returns by how much the call costs more now, in nano-USD; less where it is negative.
func (c *Correction) Nano() (nano int64) {
	for i := range c.Charges {
		nano += c.Charges[i].Nano
	}
	for i := range c.Back {
		nano -= c.Back[i].Nano
	}
	return nano
}

// Apply returns charges as they are after c, and leaves them as they are. It fails when c takes back what is not there.
func (c *Correction) Apply(charges []Charge) ([]Charge, error) {
	now := slices.Clone(charges)
	for _, line := range c.Back {
		i := slices.Index(now, line)
		if i < 0 {
			return nil, fmt.Errorf("a correction takes back a charge of %s that is not there", line.UsageType)
		}
		now = slices.Delete(now, i, i+1)
	}
	return append(now, c.Charges...), nil
}

// Correct returns the correction that leads from what e costs now to charges, nil when they are the same.
func (e *Entry) Correct(charges []Charge, at time.Time, reason string) *Correction {
	c := &Correction{Time: at, Reason: reason, Charges: slices.Clone(charges)}
	for _, old := range e.Charges {
		if i := slices.Index(c.Charges, old); i >= 0 {
			c.Charges = slices.Delete(c.Charges, i, i+1)
		} else {
			c.Back = append(c.Back, old)
		}
	}
	if len(c.Back)+len(c.Charges) == 0 {
		return nil
	}
	return c
}

// ChargesAt returns e's charges as they stood before the corrections that were made at a time or later.
func (e *Entry) ChargesAt(at time.Time) ([]Charge, error) {
	charges := e.Charges
	for i := len(e.Corrections) - 1; i >= 0 && !e.Corrections[i].Time.Before(at); i-- {
		undo := Correction{Back: e.Corrections[i].Charges, Charges: e.Corrections[i].Back}
		var err error
		if charges, err = undo.Apply(charges); err != nil {
			return nil, err
		}
	}
	return charges, nil
}

// Cost returns the sum of the charges in nano-USD and whether any of them is unrated.
func (s *Settlement) Cost() (nano int64, unrated bool) {
	for i := range s.Charges {
		nano += s.Charges[i].Nano
		unrated = unrated || s.Charges[i].Unrated
	}
	return nano, unrated
}
