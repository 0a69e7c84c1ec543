package cost

import "strconv"

// FormatUSD writes nano-USD as US dollars, exactly and without trailing zeros, as Cost Explorer writes amounts:
// 1_234_500 is "0.0012345", 0 is "0".
func FormatUSD(nano int64) string { return decimal(nano, 9) }

// FormatThousands writes a count in thousands, exactly and without trailing zeros: 1234 is "1.234".
func FormatThousands(n int64) string { return decimal(n, 3) }

// decimal writes n x 10^-places.
func decimal(n int64, places int) string {
	u := uint64(n)
	if n < 0 {
		u = -u
	}
	var digits [32]byte
	d := strconv.AppendUint(digits[:0], u, 10)
	b := make([]byte, 0, 32)
	if n < 0 {
		b = append(b, '-')
	}
	if len(d) > places {
		b = append(b, d[:len(d)-places]...)
		d = d[len(d)-places:]
	} else {
		b = append(b, '0')
	}
	for len(d) > 0 && d[len(d)-1] == '0' {
		d = d[:len(d)-1]
		places--
	}
	if len(d) == 0 {
		return string(b)
	}
	b = append(b, '.')
	for range places - len(d) {
		b = append(b, '0')
	}
	return string(append(b, d...))
}
