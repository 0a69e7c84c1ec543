// Package ledger is the product's memory of what was used and what it costs.
//
// A call is two records. Open writes the Intent before the upstream is called; Settle writes the Settlement however the
// call ends, and returns only when it is on disk. Both go to the journal, an append-only file of checksummed records on
// this machine with one sync for many calls (journal.go). The indexer (indexer.go) moves settled calls in large batches
// into an Index, exactly once, where they are queried. What a crash left open is closed by recovery at the next start,
// visibly (recovery.go). Nothing is updated in place: a correction is a new entry.
//
// # What is safe when
//
//   - The process is killed, at any moment: nothing is lost. An Intent is in the operating system's hands before Open
//     returns, a Settlement is on disk before Settle returns, or with Config.Unsynced in the system's hands. A call that was open is closed as Recovered.
//   - The power fails: every call whose Settle returned is there. A call that began in the last Config.SyncInterval
//     (5 ms) and was not settled may leave no trace, unless Config.SyncIntents makes Open wait for the disk too. With
//     Config.Unsynced a call that was settled in that time may be missing, or be closed as Recovered.
//   - The disk is full or fails: Open refuses new calls with fault.Unavailable. Settlements of calls under way are kept
//     in memory, at most 8 MiB, and written when the disk takes them; until then Settle waits, as long as its
//     context allows. Nothing is dropped without an error.
//   - A sync fails: what the operating system then says of that file is not believed any more, because a second sync
//     of the same file may succeed without having written anything. Everything since the last good sync is still in
//     memory; it is written to a new segment, and only that segment's own sync counts. The next process does the same
//     with what a killed one left: marks in the journal tell what was known to be on disk.
//   - A segment is damaged: what was on disk by a mark's or a later segment's word is never passed over. New fails and
//     names the file and the offset. Only what follows the last good record and nobody vouched for is cut off, with a
//     warning: it is what a power cut left half written.
//
// Memory is bounded by the calls that are open: what waits for a slow disk is at most 8 MiB, what waits for a slow Index
// stays in the journal.
package ledger
