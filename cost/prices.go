package cost

import "time"

// PriceImport is prices that were imported into the data folder: facts that are laid over those of the catalog. It is kept
// for ever, so that what was rated by it can be told.
type PriceImport struct {
	Number    int64 // 1 for the first; what the ids of its prices end in
	Time      time.Time
	Source    string    // for people: the file's name, and what it says of itself
	Facts     []byte    // a catalogue file
	Withdrawn time.Time // since when it is laid over no longer; zero while it is
}
