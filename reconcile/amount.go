package reconcile

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Amount is a sum of US dollars, exact to 10^-18 of one: bills have more digits than the ledger's nano-dollars. The zero value is nothing.
// Amounts are never changed.
type Amount struct{ atto *big.Int }

// places are an Amount's decimals, nanoPlaces those of the ledger's money.
const (
	places     = 18
	nanoPlaces = 9
)

var (
	attoPerNano = big.NewInt(1_000_000_000)
	nothing     = new(big.Int)
)

func amountOf(atto *big.Int) Amount { return Amount{new(big.Int).Set(atto)} }

// Nano returns n nano-dollars.
func Nano(n int64) Amount { return Amount{attoOf(n)} }

// ParseAmount reads US dollars as they stand on a bill: "0.0000012345", "-3", "6.0E-7". What is finer than an Amount is rounded half to even.
func ParseAmount(s string) (Amount, error) {
	v, err := parseDecimal(s, places)
	return Amount{v}, err
}

func attoOf(nano int64) *big.Int {
	v := big.NewInt(nano)
	return v.Mul(v, attoPerNano)
}

func (a Amount) value() *big.Int {
	if a.atto == nil {
		return nothing
	}
	return a.atto
}

// Add returns a + b.
func (a Amount) Add(b Amount) Amount { return Amount{new(big.Int).Add(a.value(), b.value())} }

// Sub returns a - b.
func (a Amount) Sub(b Amount) Amount { return Amount{new(big.Int).Sub(a.value(), b.value())} }

// Abs returns a without its sign.
func (a Amount) Abs() Amount { return Amount{new(big.Int).Abs(a.value())} }

// Cmp compares a and b: -1 where a is less, 0 where they are the same.
func (a Amount) Cmp(b Amount) int { return a.value().Cmp(b.value()) }

// Percent returns n hundredths of a, n being a decimal with so many places.
func (a Amount) Percent(n Amount) Amount {
	v := new(big.Int).Mul(a.value(), n.value())
	return Amount{v.Quo(v, pow10(places+2))}
}

// String returns all digits, without trailing zeros: "-0.0000012345".
func (a Amount) String() string { return decimal(a.value(), places) }

// Rounded returns a rounded to nano-dollars, half to even.
func (a Amount) Rounded() string {
	return decimal(divide(new(big.Int).Set(a.value()), attoPerNano), nanoPlaces)
}

func decimal(v *big.Int, places int) string {
	s := new(big.Int).Abs(v).String()
	if len(s) <= places {
		s = strings.Repeat("0", places+1-len(s)) + s
	}
	whole, frac := s[:len(s)-places], strings.TrimRight(s[len(s)-places:], "0")
	if frac != "" {
		whole += "." + frac
	}
	if v.Sign() < 0 {
		whole = "-" + whole
	}
	return whole
}

// powers are those of ten that amounts of AWS need; pow10's are not to be changed.
var powers = func() (p [64]*big.Int) {
	for i := range p {
		p[i] = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(i)), nil)
	}
	return p
}()

func pow10(n int) *big.Int {
	if n < len(powers) {
		return powers[n]
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// divide is v / by, rounded half to even, in v.
func divide(v, by *big.Int) *big.Int {
	rest := new(big.Int)
	v.QuoRem(v, by, rest)
	sign := int64(rest.Sign())
	if twice := rest.Abs(rest).Lsh(rest, 1).Cmp(by); twice > 0 || twice == 0 && v.Bit(0) == 1 {
		v.Add(v, big.NewInt(sign))
	}
	return v
}

// maxDecimal bounds a number in a file: what is longer is none of AWS's.
const maxDecimal = 64

// parseDecimal returns s x 10^places, rounded half to even. s has a sign, a point and an exponent where it wants to.
func parseDecimal(s string, places int) (*big.Int, error) {
	bad := func() (*big.Int, error) {
		return nil, fmt.Errorf("%q is not a number", s[:min(len(s), maxDecimal)])
	}
	if len(s) > maxDecimal {
		return bad()
	}
	digits, exponent := strings.TrimPrefix(s, "-"), 0
	if len(digits) == len(s) {
		digits = strings.TrimPrefix(s, "+")
	}
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(digits[i+1:]); err != nil || exponent < -99 || exponent > 30 {
			return bad()
		}
		digits = digits[:i]
	}
	whole, frac, point := strings.Cut(digits, ".")
	if whole == "" && frac == "" || point && strings.Contains(frac, ".") {
		return bad()
	}
	all := whole + frac
	small := int64(0) // all of it, where it fits
	for _, d := range []byte(all) {
		if d < '0' || d > '9' {
			return bad()
		}
		small = small*10 + int64(d-'0')
	}
	v := big.NewInt(small)
	if len(all) > 18 {
		v.SetString(all, 10)
	}
	if by := places + exponent - len(frac); by >= 0 {
		v.Mul(v, pow10(by))
	} else {
		divide(v, pow10(-by))
	}
	if strings.HasPrefix(s, "-") {
		v.Neg(v)
	}
	return v, nil
}
