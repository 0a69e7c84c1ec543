//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measure is one line of the summary: a figure of a run of a workload.
type measure struct {
	name, unit string
	workload   string
	of         func(sample) float64
	added      bool // less what the upstream takes without a gateway
	most       bool // the most of all rounds, not their median
}

var measures = []measure{
	{name: "CPU a request, 1 connection", unit: "µs", workload: "one", of: func(s sample) float64 { return s.CPUAll }},
	{name: "CPU a request, 32 connections", unit: "µs", workload: "many", of: func(s sample) float64 { return s.CPUAll }},
	{name: "with the kernel's threads, 1 connection", unit: "µs", workload: "one", of: func(s sample) float64 { return s.CPUAll + s.Kernel }},
	{name: "with the kernel's threads, 32 connections", unit: "µs", workload: "many", of: func(s sample) float64 { return s.CPUAll + s.Kernel }},
	{name: "CPU a request at 2,000 a second", unit: "µs", workload: "rate", of: func(s sample) float64 { return s.CPUAll }},
	{name: "CPU a streamed event, as fast as it goes", unit: "µs", workload: "burst", of: func(s sample) float64 { return s.CPUAll }},
	{name: "CPU a streamed event, one each 10 ms", unit: "µs", workload: "paced", of: func(s sample) float64 { return s.CPUAll }},
	{name: "added p50, 1 connection", unit: "µs", workload: "one", of: func(s sample) float64 { return s.P50 }, added: true},
	{name: "added p50 at 2,000 a second", unit: "µs", workload: "rate", of: func(s sample) float64 { return s.P50 }, added: true},
	{name: "added p99 at 2,000 a second", unit: "µs", workload: "rate", of: func(s sample) float64 { return s.P99 }, added: true},
	{name: "added to the first token, p50", unit: "µs", workload: "paced", of: func(s sample) float64 { return s.First50 }, added: true},
	{name: "added to the first token, p99", unit: "µs", workload: "paced", of: func(s sample) float64 { return s.First99 }, added: true},
	{name: "peak memory, 32 connections", unit: "MiB", workload: "many", of: func(s sample) float64 { return s.PeakMiB }, most: true},
	{name: "peak memory at 2,000 a second", unit: "MiB", workload: "rate", of: func(s sample) float64 { return s.PeakMiB }, most: true},
}

// line is a measure's outcome.
type line struct {
	Name   string             `json:"name"`
	Unit   string             `json:"unit"`
	Values map[string]float64 `json:"values"` // by gateway
	Ratios map[string]ratio   `json:"ratios"` // Outcrop's, to each of the others
}

// ratio is the median of the rounds' ratios, and their least and most.
type ratio struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// report is everything that one run found out.
type report struct {
	Time     time.Time  `json:"time"`
	Machine  string     `json:"machine"`
	Rounds   int        `json:"rounds"`
	Pinned   bool       `json:"pinned"`
	Gateways []*gateway `json:"gateways"`
	Lines    []line     `json:"summary"`
	Work     []workload `json:"workloads"`
	Samples  []sample   `json:"samples"`
}

func summarize(b *bench, samples []sample, pick func(kind, name string) bool) *report {
	r := &report{Time: time.Now().UTC().Truncate(time.Second), Machine: machine(), Pinned: b.gatewayCPU >= 0, Gateways: b.gateways, Samples: samples}
	for _, w := range workloads {
		if pick("workload", w.Name) {
			r.Work = append(r.Work, w)
		}
	}
	for _, s := range samples {
		r.Rounds = max(r.Rounds, s.Round)
	}
	for _, m := range measures {
		if pick("workload", m.workload) {
			if l := m.line(b.gateways, samples, r.Rounds); len(l.Values) > 0 {
				r.Lines = append(r.Lines, l)
			}
		}
	}
	return r
}

func (m *measure) line(gateways []*gateway, samples []sample, rounds int) line {
	l := line{Name: m.name, Unit: m.unit, Values: map[string]float64{}, Ratios: map[string]ratio{}}
	values := map[string][]float64{} // by gateway, then by round
	for _, g := range gateways {
		if g.Name == "direct" {
			continue
		}
		for round := 1; round <= rounds; round++ {
			i, direct := find(samples, g.Name, m.workload, round), 0.0
			if m.added {
				d := find(samples, "direct", m.workload, round)
				if d < 0 {
					continue
				}
				direct = m.of(samples[d])
			}
			if i >= 0 {
				values[g.Name] = append(values[g.Name], m.of(samples[i])-direct)
			}
		}
	}
	for name, v := range values {
		if l.Values[name] = median(v); m.most {
			l.Values[name] = slices.Max(v)
		}
	}
	for name, v := range values {
		ours := values["outcrop"]
		if name == "outcrop" || len(ours) != len(v) {
			continue
		}
		var ratios []float64
		for i := range v {
			if v[i] > 0 && ours[i] > 0 { // an added latency may drown in the noise
				ratios = append(ratios, ours[i]/v[i])
			}
		}
		if len(ratios) > 0 {
			l.Ratios[name] = ratio{median(ratios), slices.Min(ratios), slices.Max(ratios)}
		}
	}
	return l
}

func find(samples []sample, gateway, workload string, round int) int {
	return slices.IndexFunc(samples, func(s sample) bool {
		return s.Gateway == gateway && s.Workload == workload && s.Round == round
	})
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return math.NaN()
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

func (r *report) errors() (n int) {
	for _, s := range r.Samples {
		n += s.Errors
	}
	return n
}

func (r *report) has(name string) bool {
	return slices.ContainsFunc(r.Gateways, func(g *gateway) bool { return g.Name == name })
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "## Outcrop, a bare httputil.ReverseProxy and nginx before the same upstream\n\n%s; %d interleaved rounds", r.Machine, r.Rounds)
	if r.Pinned {
		fmt.Fprint(w, "; gateways on one processor, the load and the fake upstream on the rest")
	} else {
		fmt.Fprint(w, "; nothing pinned, there is one processor")
	}
	fmt.Fprint(w, ".\n\n")
	columns := slices.DeleteFunc([]string{"outcrop", "revproxy", "nginx"}, func(n string) bool { return !r.has(n) })
	var against []string
	if r.has("outcrop") {
		against = slices.DeleteFunc([]string{"revproxy", "nginx"}, func(n string) bool { return !r.has(n) })
	}
	header := []string{"", "unit"}
	header = append(header, columns...)
	for _, n := range against {
		header = append(header, "× "+n, "rounds")
	}
	row(w, header)
	row(w, slices.Repeat([]string{"---"}, len(header)))
	for _, l := range r.Lines {
		cells := []string{l.Name, l.Unit}
		for _, n := range columns {
			cells = append(cells, number(l.Values[n]))
		}
		for _, n := range against {
			if q, ok := l.Ratios[n]; ok {
				cells = append(cells, fmt.Sprintf("**%.2f**", q.Median), fmt.Sprintf("%.2f–%.2f", q.Least, q.Most))
			} else {
				cells = append(cells, "–", "")
			}
		}
		row(w, cells)
	}
	idle := []string{"memory after the start", "MiB"}
	for _, n := range columns {
		for _, g := range r.Gateways {
			if g.Name == n {
				idle = append(idle, number(g.IdleMiB))
			}
		}
	}
	row(w, append(idle, slices.Repeat([]string{""}, 2*len(against))...))

	fmt.Fprint(w, "\n### Every workload (medians)\n\n")
	row(w, []string{"workload", "gateway", "answers/s", "p50 µs", "p99 µs", "CPU µs", "all-in µs", "kernel µs", "busy %", "load %", "foreign %", "peak MiB", "errors"})
	row(w, slices.Repeat([]string{"---"}, 13))
	for _, work := range r.Work {
		for _, g := range r.Gateways {
			of := func(f func(sample) float64) string {
				var v []float64
				for _, s := range r.Samples {
					if s.Gateway == g.Name && s.Workload == work.Name {
						v = append(v, f(s))
					}
				}
				return number(median(v))
			}
			if find(r.Samples, g.Name, work.Name, 1) < 0 {
				continue
			}
			errors := 0
			for _, s := range r.Samples {
				if s.Gateway == g.Name && s.Workload == work.Name {
					errors += s.Errors
				}
			}
			row(w, []string{work.Name + ": " + work.What, g.Name, of(func(s sample) float64 { return s.Rate }), of(func(s sample) float64 { return s.P50 }),
				of(func(s sample) float64 { return s.P99 }), of(func(s sample) float64 { return s.CPU }), of(func(s sample) float64 { return s.CPUAll }),
				of(func(s sample) float64 { return s.Kernel }), of(func(s sample) float64 { return 100 * s.Busy }), of(func(s sample) float64 { return 100 * s.Load }),
				of(func(s sample) float64 { return 100 * s.Foreign }), of(func(s sample) float64 { return s.PeakMiB }), fmt.Sprint(errors)})
		}
	}
	fmt.Fprintln(w)
	for _, g := range r.Gateways {
		if g.Audit != "" {
			fmt.Fprintf(w, "Ledger: %s.\n", g.Audit)
		}
	}
	r.warn(w)
}

// warn says what makes the figures doubtful.
func (r *report) warn(w io.Writer) {
	for _, l := range r.Lines {
		if q, ok := l.Ratios["revproxy"]; ok && strings.HasPrefix(l.Name, "CPU") && q.Most > 1.25*q.Least {
			fmt.Fprintf(w, "Doubtful: the rounds of %q disagree (%.2f to %.2f); run it again on a quiet machine, with more rounds.\n", l.Name, q.Least, q.Most)
		}
	}
	noisy := 0
	for _, s := range r.Samples {
		if s.Foreign > disturbed {
			noisy++
		}
	}
	if noisy > 0 {
		fmt.Fprintf(w, "Doubtful: in %d of %d runs other processes took more than a tenth of the machine.\n", noisy, len(r.Samples))
	}
}

func row(w io.Writer, cells []string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.Abs(v) < 100 && v != math.Trunc(v):
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// machine says where the figures come from.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d processors, Linux, %s", model, onlineCPUs(), runtime.Version())
}

func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
