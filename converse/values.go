package converse

import "outcrop/jsonvalues"

// maxValues is more JSON values than a model writes into one answer, with all that its server tells beside them.
const maxValues = 1 << 17

// Plausible reports whether b, the JSON of an upstream's answer or of an event of one, has no more values than an answer can
// have. It is asked before the answer is decoded.
func Plausible(b []byte) bool { return jsonvalues.AtMost(b, maxValues) }
