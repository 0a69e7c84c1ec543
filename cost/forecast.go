package cost

import (
	"math"
	"time"
)

// Bounds of a Model.
const (
	ModelDays = 8 * 7 // days that are over that it is made of, at most: spending changes, and old days say little of new ones
	minDays   = 3
)

// A Model foretells days by those that are over. Each weekday is taken to be like those of its name before it: their mean, and
// the deviations of all of them from their means say how far off it may be. A week has its rhythm, and little else can be
// said of spending with reason: there is no trend in it. With fewer than two of each weekday all days are alike.
//
// Deviations are taken to be of one size and independent, so that those of many days nearly cancel out, and that of the mean
// itself, which is an estimate from few days, counts for each day again. Bounds are Student's.
type Model struct {
	mean  [7]float64 // of a day, by weekday
	of    [7]float64 // how many days each is made of
	alike bool       // all days are: there is one mean, of all days
	sigma float64    // of a day
	free  float64    // degrees of freedom of sigma
}

// NewModel makes a model of days that follow one another, the first of which is of weekday first; of the last ModelDays, if
// there are more. ok is false when there are too few to say anything: 3 are needed.
func NewModel(first time.Weekday, days []float64) (m *Model, ok bool) {
	if n := len(days) - ModelDays; n > 0 {
		first, days = time.Weekday((int(first)+n)%7), days[n:]
	}
	if len(days) < minDays {
		return nil, false
	}
	m = &Model{alike: len(days) < 2*7}
	sum := m.of
	for i, v := range days {
		d := m.kind(first, i)
		sum[d] += v
		m.of[d]++
	}
	kinds := 0
	for d := range sum {
		if m.of[d] > 0 {
			m.mean[d] = sum[d] / m.of[d]
			kinds++
		}
	}
	squares := 0.0
	for i, v := range days {
		off := v - m.mean[m.kind(first, i)]
		squares += off * off
	}
	m.free = float64(len(days) - kinds)
	m.sigma = math.Sqrt(squares / m.free)
	return m, true
}

// kind is of which kind the day i days after one of weekday first is.
func (m *Model) kind(first time.Weekday, i int) int {
	if m.alike {
		return 0
	}
	return (int(first) + i) % 7
}

// Sum foretells the sum of n days that follow one another, the first of which is of weekday first, and how far off it may be:
// in level percent of all cases by less than within.
func (m *Model) Sum(first time.Weekday, n, level int) (mean, within float64) {
	var days [7]float64
	for i := range n {
		days[m.kind(first, i)]++
	}
	variance := 0.0 // in that of a day
	for d, k := range days {
		if k > 0 {
			mean += k * m.mean[d]
			variance += k + k*k/m.of[d]
		}
	}
	return mean, studentQuantile(0.5+float64(level)/200, m.free) * m.sigma * math.Sqrt(variance)
}

// studentQuantile is the p quantile, p above 0.5, of Student's distribution with n degrees of freedom.
// Source: G. W. Hill, Algorithm 396, Communications of the ACM 13 (1970).
func studentQuantile(p, n float64) float64 {
	two := 2 * (1 - p) // tails
	switch n {
	case 1:
		return 1 / math.Tan(two*math.Pi/2)
	case 2:
		return math.Sqrt(2/(two*(2-two)) - 2)
	}
	a := 1 / (n - 0.5)
	b := 48 / (a * a)
	c := ((20700*a/b-98)*a-16)*a + 96.36
	d := ((94.5/(b+c)-3)/b + 1) * math.Sqrt(a*math.Pi/2) * n
	y := math.Pow(d*two, 2/n)
	if y > 0.05+a {
		x := -math.Sqrt2 * math.Erfinv(2*p-1) // the normal quantile of the lower tail
		y = x * x
		if n < 5 {
			c += 0.3 * (n - 4.5) * (x + 0.6)
		}
		c = (((0.05*d*x-5)*x-7)*x-2)*x + b + c
		y = (((((0.4*y+6.3)*y+36)*y+94.5)/c-y-3)/b + 1) * x
		y = math.Expm1(a * y * y)
	} else {
		y = ((1/(((n+6)/(n*y)-0.089*d-0.822)*(n+2)*3)+0.5/(n+4))*y-1)*(n+1)/(n+2) + 1/y
	}
	return math.Sqrt(n * y)
}
