package ledger

import (
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
	}
	return "unknown"
}

// Charge is one line of what a call costs.
type Charge struct {
	UsageType string // AWS's usage type: "USE1-Claude3Haiku-input-tokens"
	Quantity  int64  // tokens; pictures or search units, where the usage type is of these
	Nano      int64  // nano-USD, rounded half to even once; 0 when Unrated
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

// Entry is a settled call.
type Entry struct {
	Intent
	Settlement
}

// Cost returns the sum of the charges in nano-USD and whether any of them is unrated.
func (s *Settlement) Cost() (nano int64, unrated bool) {
	for i := range s.Charges {
		nano += s.Charges[i].Nano
		unrated = unrated || s.Charges[i].Unrated
	}
	return nano, unrated
}
