package audit

import (
	"context"
	"time"
)

// Store keeps records. Times are kept to the second, in UTC.
type Store interface {
	// AppendEvents gives link the head as it is, nil where there is none yet, and makes the records that it returns durable
	// together with the head that it returns: all of it, or on an error nothing. Any process may append; they take turns.
	AppendEvents(ctx context.Context, link func(*Head) ([]Record, *Head, error)) error

	// DropEvents gives choose the head and the oldest records, at most limit of them, and makes the head that it returns durable
	// without the first n of them. A head of nil changes nothing.
	DropEvents(ctx context.Context, limit int, choose func(*Head, []Record) (n int, h *Head, err error)) error

	// LookupEvents returns the records that q asks for, the newest first: by time, and by number within a second.
	LookupEvents(ctx context.Context, q Query) ([]Record, error)
}

// Query is what LookupEvents is asked.
type Query struct {
	Account, Region string
	Key             *Key      // nil: all
	From, To        time.Time // both inclusive; zero is open
	After           *Place    // nil: from the newest on
	Limit           int
}

// Place is where a record stands among what LookupEvents returns: it goes on after it.
type Place struct {
	Time time.Time
	Seq  int64
}
