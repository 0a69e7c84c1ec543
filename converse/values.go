package converse

import "bytes"

// maxValues is more JSON values than a model writes into one answer, with all that its server tells beside them.
const maxValues = 1 << 17

// Plausible reports whether b, the JSON of an upstream's answer or of an event of one, has no more values than an answer can
// have. A decoded value may take a hundred times the memory of its "{},", so this is asked first, and costs little: what is
// short needs no look.
func Plausible(b []byte) bool {
	if len(b) <= maxValues/2 {
		return true
	}
	n := 0
	for len(b) > 0 {
		i := bytes.IndexByte(b, '"')
		outside := b
		if i >= 0 {
			outside = b[:i]
		}
		for _, c := range outside {
			if c == ',' || c == '{' || c == '[' {
				n++
			}
		}
		if i < 0 || n > maxValues {
			break
		}
		b = b[i+1:]
		for { // to the end of the string
			if i = bytes.IndexByte(b, '"'); i < 0 {
				return n <= maxValues // it is no JSON, which is for its decoder to say
			}
			escapes := 0
			for escapes < i && b[i-1-escapes] == '\\' {
				escapes++
			}
			b = b[i+1:]
			if escapes%2 == 0 {
				break
			}
		}
	}
	return n <= maxValues
}
