package policy

import (
	"encoding/base64"
	"strings"
	"time"
)

// decimal is a number as it is written, so that no digit is lost: a sum of bytes or money has more than a float keeps.
type decimal struct {
	negative bool
	whole    string // without leading zeros
	fraction string // without trailing zeros
}

// parseNumber reads an integer or a decimal number: "10", "-1.5".
func parseNumber(s string) (decimal, bool) {
	var d decimal
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" && fraction == "" || !isDigits(whole) || !isDigits(fraction) {
		return d, false
	}
	d.whole, d.fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	d.negative = negative && (d.whole != "" || d.fraction != "")
	return d, true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// compare returns the sign of d - e.
func (d decimal) compare(e decimal) int {
	if d.negative != e.negative {
		if d.negative {
			return -1
		}
		return 1
	}
	sign := len(d.whole) - len(e.whole)
	if sign == 0 {
		if sign = strings.Compare(d.whole, e.whole); sign == 0 {
			sign = strings.Compare(d.fraction, e.fraction)
		}
	}
	if d.negative {
		return -sign
	}
	return sign
}

// moment is a point of time: seconds since 1970 and nanoseconds.
type moment struct {
	seconds     int64
	nanoseconds int
}

func (m moment) compare(n moment) int {
	switch {
	case m.seconds < n.seconds, m.seconds == n.seconds && m.nanoseconds < n.nanoseconds:
		return -1
	case m == n:
		return 0
	}
	return 1
}

// parseDate reads a date in one of the W3C's forms of ISO 8601, https://www.w3.org/TR/NOTE-datetime, or epoch seconds.
// Four digits are a year. A time without a zone is UTC. Unlike time.Parse it allocates nothing for what it does not take.
func parseDate(s string) (moment, bool) {
	if n, ok := parseEpoch(s); ok && len(s) != 4 {
		return moment{seconds: n}, true
	}
	year, s, ok := cutNumber(s, 4)
	month, day, hour, minute, second, nanosecond, offset := 1, 1, 0, 0, 0, 0, 0
	if ok && strings.HasPrefix(s, "-") {
		month, s, ok = cutNumber(s[1:], 2)
	}
	if ok && strings.HasPrefix(s, "-") {
		day, s, ok = cutNumber(s[1:], 2)
		if ok && (strings.HasPrefix(s, "T") || strings.HasPrefix(s, "t")) {
			hour, s, ok = cutNumber(s[1:], 2)
			if ok = ok && strings.HasPrefix(s, ":"); ok {
				minute, s, ok = cutNumber(s[1:], 2)
			}
			if ok && strings.HasPrefix(s, ":") {
				if second, s, ok = cutNumber(s[1:], 2); ok && strings.HasPrefix(s, ".") {
					nanosecond, s, ok = cutFraction(s[1:])
				}
			}
			if ok {
				offset, s, ok = cutZone(s)
			}
		}
	}
	if !ok || s != "" || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return moment{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	if t.Day() != day { // February the 30th
		return moment{}, false
	}
	return moment{t.Unix() - int64(offset), nanosecond}, true
}

// parseEpoch reads seconds since 1970, within some 35,000 years.
func parseEpoch(s string) (int64, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	if digits == "" || len(digits) > 12 || !isDigits(digits) {
		return 0, false
	}
	n := int64(0)
	for i := range len(digits) {
		n = n*10 + int64(digits[i]-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// cutNumber reads exactly that many digits.
func cutNumber(s string, digits int) (n int, rest string, ok bool) {
	if len(s) < digits || !isDigits(s[:digits]) {
		return 0, s, false
	}
	for i := range digits {
		n = n*10 + int(s[i]-'0')
	}
	return n, s[digits:], true
}

// cutFraction reads a fraction of a second, of which nanoseconds count.
func cutFraction(s string) (nanoseconds int, rest string, ok bool) {
	scale := 100_000_000
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		nanoseconds += int(s[i]-'0') * scale
		scale /= 10
	}
	return nanoseconds, s[i:], i > 0
}

// cutZone reads Z, +09:00, +0900 or +09 into seconds east of UTC.
func cutZone(s string) (offset int, rest string, ok bool) {
	if s == "" {
		return 0, "", true
	}
	sign := 1
	switch s[0] {
	case 'Z', 'z':
		return 0, s[1:], true
	case '-':
		sign = -1
	case '+':
	default:
		return 0, s, false
	}
	hours, s, ok := cutNumber(s[1:], 2)
	minutes := 0
	if ok && s != "" {
		minutes, s, ok = cutNumber(strings.TrimPrefix(s, ":"), 2)
	}
	return sign * (hours*3600 + minutes*60), s, ok && hours < 24 && minutes < 60
}

// isBase64 reports whether s is the base64 of data, without writing it down.
func isBase64(s, data string) bool {
	for len(data) > 0 {
		var raw [3]byte
		var encoded [4]byte
		n := copy(raw[:], data)
		base64.StdEncoding.Encode(encoded[:], raw[:n])
		if s[:4] != string(encoded[:]) {
			return false
		}
		s, data = s[4:], data[n:]
	}
	return s == ""
}
