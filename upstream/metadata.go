package upstream

import "outcrop/converse"

// Metered is a decoder of a vendor's answers, as far as it tells what one has used and how it was served.
type Metered interface {
	Usage(input func() int64) (u converse.Usage, estimated bool) // input is called where the server has not told the input tokens
	Served() *converse.Served
}

// Metadata is the event that ends an answer to r that is passed on as it comes, of which d has read the usage.
func (r *Request) Metadata(d Metered) converse.Event {
	e := converse.Event{Kind: converse.Metadata, Served: d.Served()}
	e.Usage, e.Estimated = d.Usage(r.EstimateInputTokens)
	return e
}
