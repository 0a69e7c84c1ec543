package catalog

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// maxNano is the largest amount that parseNano reads: a nano-dollar below a billion dollars.
const maxNano = 1e18 - 1

// parseNano reads an amount of US dollars, "0.3125", exactly: at most 9 decimals, no sign, no exponent.
func parseNano(usd string) (int64, error) {
	whole, frac, point := strings.Cut(usd, ".")
	if whole == "" || point && frac == "" || len(whole) > 9 || len(frac) > 9 {
		return 0, badAmount(usd)
	}
	var n int64
	for _, d := range whole + frac + strings.Repeat("0", 9-len(frac)) {
		if d < '0' || d > '9' {
			return 0, badAmount(usd)
		}
		n = n*10 + int64(d-'0')
	}
	return n, nil
}

func badAmount(usd string) error {
	return fmt.Errorf("amount %q: want a decimal with at most 9 places such as 0.00006, in quotes", usd)
}

// Ratio returns a x b x c / div, exact until it is rounded half to even once. ok is false when an argument is negative, div is
// not above 0, or the result does not fit.
func Ratio(a, b, c, div int64) (n int64, ok bool) {
	if a < 0 || b < 0 || c < 0 || div <= 0 {
		return 0, false
	}
	// The product has 192 bits: w2, w1, w0.
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	carry, w0 := bits.Mul64(lo, uint64(c))
	w2, w1 := bits.Mul64(hi, uint64(c))
	w1, over := bits.Add64(w1, carry, 0)
	w2 += over
	d := uint64(div)
	if w2 != 0 || w1 >= d {
		return 0, false // the quotient has more than 64 bits
	}
	q, rest := bits.Div64(w1, w0, d)
	if q > math.MaxInt64 {
		return 0, false
	}
	if half := d - rest; rest > half || rest == half && q&1 == 1 {
		q++
	}
	if q > math.MaxInt64 {
		return 0, false
	}
	return int64(q), true
}

// Decimal writes n x 10^-places exactly, without trailing zeros: Decimal(1_234_500, 9) is "0.0012345".
func Decimal(n int64, places int) string {
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
