package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// distribution is what is told of a set of times, in milliseconds. Percentiles are by nearest rank: each is a time that was
// measured.
type distribution struct {
	N    int     `json:"n"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

func distribute(times []time.Duration) distribution {
	ts := milliseconds(times)
	if len(ts) == 0 {
		return distribution{}
	}
	slices.Sort(ts)
	sum := 0.0
	for _, t := range ts {
		sum += t
	}
	return distribution{
		N: len(ts), P50: percentile(ts, 50), P90: percentile(ts, 90), P99: percentile(ts, 99),
		Mean: sum / float64(len(ts)), Min: ts[0], Max: ts[len(ts)-1],
	}
}

func milliseconds(times []time.Duration) []float64 {
	ts := make([]float64, len(times))
	for i, t := range times {
		ts[i] = float64(t) / float64(time.Millisecond)
	}
	return ts
}

// percentile is the smallest of sorted that at least p in a hundred do not exceed.
func percentile(sorted []float64, p int) float64 {
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

// ms is a time in milliseconds for people, with three digits that matter.
func ms(t float64) string {
	switch {
	case t >= 100:
		return strconv.FormatFloat(t, 'f', 0, 64)
	case t >= 10:
		return strconv.FormatFloat(t, 'f', 1, 64)
	}
	return strconv.FormatFloat(t, 'f', 2, 64)
}

// medianChange is by how much B's median is later than A's, in milliseconds, with the 95% interval of a bootstrap.
type medianChange struct {
	P50  float64 `json:"p50"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`

	before float64 // A's median
}

// compare draws both sets again and again, with the same luck on every run.
func compare(a, b []time.Duration) *medianChange {
	x, y := milliseconds(a), milliseconds(b)
	luck := rand.New(rand.NewPCG(1, 2))
	median := func(from []float64, room []float64) float64 {
		for i := range room {
			room[i] = from[luck.IntN(len(from))]
		}
		slices.Sort(room)
		return percentile(room, 50)
	}
	draws := min(max(2_000_000/(len(x)+len(y)), 200), 1000) // many calls need fewer
	changes := make([]float64, draws)
	u, v := make([]float64, len(x)), make([]float64, len(y))
	for i := range changes {
		changes[i] = median(y, v) - median(x, u)
	}
	slices.Sort(changes)
	slices.Sort(x)
	slices.Sort(y)
	before := percentile(x, 50)
	return &medianChange{P50: percentile(y, 50) - before, Low: changes[draws*25/1000], High: changes[draws*975/1000], before: before}
}

func (c *medianChange) text() string {
	interval := fmt.Sprintf("95%% interval %s to %s ms", signed(c.Low), signed(c.High))
	if c.Low <= 0 && c.High >= 0 {
		return "No difference of the medians can be told (" + interval + ")."
	}
	way := "later"
	if c.P50 < 0 {
		way = "earlier"
	}
	share := ""
	if c.before > 0 {
		share = fmt.Sprintf(", %.0f%% of A's", 100*math.Abs(c.P50)/c.before)
	}
	return fmt.Sprintf("B's median is %s ms %s%s (%s).", ms(math.Abs(c.P50)), way, share, interval)
}

func signed(t float64) string {
	if t < 0 {
		return "-" + ms(-t)
	}
	return "+" + ms(t)
}

// drawing draws for a terminal, or for what is none: then without colour, 80 columns wide.
type drawing struct {
	out    io.Writer
	width  int
	colour bool
}

const (
	usualWidth = 80
	minWidth   = 24
	maxWidth   = 160
)

func newDrawing(out io.Writer) *drawing {
	p := &drawing{out: out, width: usualWidth}
	if f, ok := out.(*os.File); ok {
		if columns, ok := terminalWidth(f); ok {
			p.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" // https://no-color.org
			p.width = columns
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		p.width = n
	}
	p.width = min(max(p.width, minWidth), maxWidth)
	return p
}

// paint colours text as A's (0) or B's (1).
func (p *drawing) paint(side int, text string) string {
	if !p.colour {
		return text
	}
	return [2]string{"\x1b[36m", "\x1b[35m"}[side] + text + "\x1b[0m"
}

// blocks are filled from below in eighths.
var blocks = []rune(" ▁▂▃▄▅▆▇█")

// ridges draws where the times of A and of B lie, one ridge above the other on one axis, with a mark at each median. What
// is beyond the larger p99 stands in the last column. The axis is logarithmic where the times span more than a factor of 20.
func (p *drawing) ridges(a, b []time.Duration) {
	const gutter, rows = 4, 3
	x, y := distribute(a), distribute(b)
	low, high := min(x.Min, y.Min), max(x.P99, y.P99)
	scale, unscale := func(t float64) float64 { return t }, func(t float64) float64 { return t }
	note := ""
	if low > 0 && high/low > 20 {
		scale, unscale, note = math.Log, math.Exp, "logarithmic"
	}
	if high <= low {
		high = low + 1
	}
	columns := p.width - gutter
	from, to := scale(low), scale(high)
	place := func(t float64) float64 {
		return (min(max(scale(t), from), to) - from) / (to - from) * float64(columns-1)
	}
	for i, times := range [2][]time.Duration{a, b} {
		at := milliseconds(times)
		for j := range at {
			at[j] = place(at[j])
		}
		ridge := density(at, columns)
		top := slices.Max(ridge)
		for row := rows - 1; row >= 0; row-- {
			var line strings.Builder
			for _, d := range ridge {
				filled := int(math.Ceil(d/top*float64(rows*8))) - row*8
				line.WriteRune(blocks[min(max(filled, 0), 8)])
			}
			label := strings.Repeat(" ", gutter)
			if row == 0 {
				label = " " + p.paint(i, string("AB"[i])) + "  "
			}
			fmt.Fprintln(p.out, strings.TrimRight(label+p.paint(i, strings.TrimRight(line.String(), " ")), " "))
		}
		median := [2]distribution{x, y}[i].P50
		mark := strings.Repeat(" ", gutter+int(math.Round(place(median)))) + "▴"
		if text := " p50 " + ms(median); len([]rune(mark))+len(text) <= p.width {
			mark += text
		}
		fmt.Fprintln(p.out, mark)
	}
	// The axis: as many numbers as have room.
	const every = 12
	ticks, numbers := []rune(strings.Repeat("─", columns)), []rune(strings.Repeat(" ", columns))
	for c := 0; c < columns; c += every {
		ticks[c] = '┴'
		for i, r := range ms(unscale(from + (to-from)*float64(c)/float64(columns-1))) {
			if c+i < columns {
				numbers[c+i] = r
			}
		}
	}
	indent := strings.Repeat(" ", gutter)
	fmt.Fprintln(p.out, indent+string(ticks))
	fmt.Fprintln(p.out, strings.TrimRight(indent+string(numbers), " "))
	if note != "" {
		fmt.Fprintln(p.out, indent+"("+note+")")
	}
}

// density spreads points over columns with a Gaussian kernel, as wide as Silverman's rule has it and at least most of a
// column.
func density(at []float64, columns int) []float64 {
	mean, square := 0.0, 0.0
	for _, x := range at {
		mean += x / float64(len(at))
	}
	for _, x := range at {
		square += (x - mean) * (x - mean) / float64(len(at))
	}
	sorted := slices.Sorted(slices.Values(at))
	spread := min(math.Sqrt(square), (percentile(sorted, 75)-percentile(sorted, 25))/1.34)
	width := max(0.9*spread*math.Pow(float64(len(at)), -0.2), 0.7)
	ridge := make([]float64, columns)
	for _, x := range at {
		for c := max(int(x-4*width), 0); c < min(int(x+4*width)+2, columns); c++ {
			z := (float64(c) - x) / width
			ridge[c] += math.Exp(-z * z / 2)
		}
	}
	return ridge
}
