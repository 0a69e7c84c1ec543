package reconcile

// Reason is why the ledger and AWS differ.
type Reason uint8

// The reasons, in the order in which reports have them.
const (
	Price        Reason = iota // the same usage at another rate
	Discount                   // a discount that one side has in the charge and the other has not, or in lines of its own
	Rounding                   // less than what rounding may make of the charges
	Unrated                    // the ledger knew no price
	Usage                      // both have it, of one more than of the other
	CacheClass                 // read, written or not cached: the two count the same tokens as different ones
	Tier                       // the same tokens by another service tier
	Scope                      // the same tokens by the rate of another scope: global or not
	LongContext                // the same tokens by the rate of long contexts or not
	Region                     // the same tokens from another Region
	Resource                   // the same tokens through another profile or model
	DayBoundary                // the same tokens on the next day: the call went over midnight UTC
	Estimate                   // the ledger's own estimate of a call that was interrupted, or of an attempt that was lost
	Elsewhere                  // the ledger's calls that AWS did not serve
	Around                     // calls by others than the gateway
	OnlyThere                  // the ledger has nothing of the kind: calls that were made around it
	OnlyHere                   // AWS has nothing of the kind
	NotYet                     // after the newest that AWS's files have
	Tax                        // lines of the bill that are no usage
	Credit                     //
	Refund                     //
	Fee                        //
	NotInference               // usage of Bedrock that is no call of a model
	reasons
)

// Reasons returns all reasons.
func Reasons() []Reason {
	all := make([]Reason, reasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// String returns the name that reports and flags have for r.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

var reasonNames = [reasons]string{
	Price: "price", Discount: "discount", Rounding: "rounding", Unrated: "unrated", Usage: "usage", CacheClass: "cache-class", Tier: "tier", Scope: "scope",
	LongContext: "long-context", Region: "region", Resource: "resource", DayBoundary: "day-boundary", Estimate: "estimate", Elsewhere: "served-elsewhere",
	Around: "around", OnlyThere: "only-there", OnlyHere: "only-here", NotYet: "not-yet", Tax: "tax", Credit: "credit", Refund: "refund", Fee: "fee",
	NotInference: "not-inference",
}

// Meaning returns what r says, for people.
func (r Reason) Meaning() string {
	if r >= reasons {
		return ""
	}
	return [reasons]string{
		Price: "the same usage, at another rate", Discount: "a discount that is in one side's charges only, or in a line of its own",
		Rounding: "less than rounding may make", Unrated: "the ledger knew no price", Usage: "both have it, one of them more",
		CacheClass: "the same tokens counted as cached, or not, or written", Tier: "the same tokens in another service tier",
		Scope: "the same tokens by the global rate, or not", LongContext: "the same tokens by the rate of long contexts, or not",
		Region: "the same tokens billed from another Region", Resource: "the same tokens billed to another profile or model",
		DayBoundary: "calls over midnight UTC", Estimate: "estimates in the ledger: interrupted calls, lost attempts",
		Elsewhere: "calls that AWS did not serve", Around: "calls by others than the gateway", OnlyThere: "nothing of the kind in the ledger",
		OnlyHere: "nothing of the kind at AWS", NotYet: "after the newest that the files have", Tax: "taxes", Credit: "credits", Refund: "refunds",
		Fee: "fees and subscriptions", NotInference: "Bedrock, but no calls of models",
	}[r]
}
