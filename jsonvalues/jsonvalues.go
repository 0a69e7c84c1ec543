// Package jsonvalues bounds what decoding a JSON text can cost. A decoded value may take a hundred times the memory of its
// "{},", so that a bound of the text's bytes alone is none.
package jsonvalues

import "bytes"

// AtMost reports whether b, a JSON text, has about n values at most: it counts the commas, braces and brackets that stand
// outside strings and open or go on, and decodes nothing. What is too short to have more is not looked at. What is no JSON
// has any number of values, which its decoder then refuses.
func AtMost(b []byte, n int) bool {
	if len(b) <= n/2 {
		return true
	}
	count := 0
	for {
		i := bytes.IndexByte(b, '"')
		outside := b
		if i >= 0 {
			outside = b[:i]
		}
		for _, c := range outside {
			if c == ',' || c == '{' || c == '[' {
				count++
			}
		}
		if i < 0 || count > n {
			return count <= n
		}
		if b = afterString(b[i+1:]); b == nil {
			return true
		}
	}
}

// afterString returns what follows the string that b begins inside of, nil where it does not end.
func afterString(b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '"')
		if i < 0 {
			return nil
		}
		escapes := 0
		for escapes < i && b[i-1-escapes] == '\\' {
			escapes++
		}
		if b = b[i+1:]; escapes%2 == 0 {
			return b
		}
	}
}
