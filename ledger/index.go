package ledger

import "context"

// Position is a place in a node's journal: how many bytes of records were written before it since the journal's first
// day, over all its segments. It only grows.
type Position int64

// Batch is a run of settled calls, in the order of their settlements.
type Batch struct {
	Node    string // which machine's journal
	Epoch   string // which journal on that machine: a copied or restored data folder gets a new one
	From    Position
	To      Position // the next batch's From
	Entries []Entry  // may be empty: a run of intents only
}

// Index is where settled calls are queried. store implements it.
type Index interface {
	// Position returns the To of the last batch applied for (node, epoch), 0 when there is none.
	Position(ctx context.Context, node, epoch string) (Position, error)

	// Apply adds b's rows and rollups and moves the position to b.To, all in one transaction, which is durable when
	// Apply returns: the journal may then forget these calls. It is idempotent: the batch that was applied last
	// changes nothing when it comes again and is no error, so that an Apply whose answer was lost can be repeated.
	// Any other batch that does not begin at the position is an error. A call whose id is in the index already, as
	// after a journal began a new epoch, is not counted again.
	Apply(ctx context.Context, b *Batch) error
}
