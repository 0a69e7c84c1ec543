package ledger

// TailSize returns how many bytes of records the disk has not confirmed.
func (l *Ledger) TailSize() int {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	return len(l.journal.tail)
}

// Waiting returns whether somebody waits for a sync that has not begun.
func (l *Ledger) Waiting() bool {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	return l.journal.next != nil
}

// SettlementSize returns how many bytes s takes in the journal.
func SettlementSize(s *Settlement) int { return len(appendSettlement(nil, s)) }

// IntentSize returns how many bytes in takes in the journal.
func IntentSize(in *Intent) int { return len(appendIntent(nil, in)) }

// SegmentEnd returns where the whole records at the start of a segment's file end, without the mark of a clean stop.
func SegmentEnd(b []byte) int {
	_, end, err := parseHeader(b)
	for at := end; err == nil; {
		var n int
		var typ byte
		typ, _, n, err = parseFrame(b[at:])
		if at += n; err == nil && typ != typeMark {
			end = at
		}
	}
	return end
}
