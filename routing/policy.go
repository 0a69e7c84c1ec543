package routing

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode is how the targets that are well are put in order.
type Mode uint8

// The modes.
const (
	Default  Mode = iota // the source Region first, then the least loaded of two at random
	Latency              // the shortest time to the first event
	Priority             // the Regions as they are listed, then as Default
	Weighted             // at random by weights
	Cost                 // the lowest price where it would be served, then as Default
)

var modes = [...]string{Default: "default", Latency: "latency", Priority: "priority", Weighted: "weighted", Cost: "cost"}

// String returns the mode as it stands in a policy.
func (m Mode) String() string { return modes[m] }

// Share is a Region that a policy names.
type Share struct {
	Region string
	Weight int // of Weighted; 0 is only when no other answers
}

// Hedge says when a second target is asked beside the first. The zero Hedge is never.
type Hedge struct {
	After    time.Duration // a fixed time; or
	Quantile float64       // the time in which this share of the first target's calls has had its first event
}

// Policy is how one profile's calls find their target. The zero Policy is the default.
type Policy struct {
	Mode       Mode
	Regions    []Share // of Priority in their order, of Weighted with weights; empty is all Regions alike
	NoAffinity bool    // calls that begin alike are not kept together
	Hedge      Hedge
}

const (
	maxWeight = 1_000_000
	maxHedge  = 10 * time.Minute
)

// ParsePolicy reads a policy, as it stands in the value of a profile's tag: words between spaces, because a tag has
// neither commas nor semicolons.
//
//	policy = mode *(SP region) *(SP option)
//	mode   = "default" / "latency" / "priority" / "weighted" / "cost"
//	region = name of a Region, of priority; name "=" weight, of weighted
//	option = "affinity=on" / "affinity=off" / "hedge=off" / "hedge=p95" / "hedge=300ms"
//
// The error is in words for whoever wrote the tag. Whether a Region is a destination is not known here.
func ParsePolicy(s string) (*Policy, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return nil, errors.New("it is empty; use default, latency, priority, weighted or cost")
	}
	p := &Policy{}
	mode := words[0]
	for m, name := range modes {
		if name == mode {
			p.Mode, mode = Mode(m), ""
		}
	}
	if mode != "" {
		return nil, fmt.Errorf("%q is none of default, latency, priority, weighted, cost", mode)
	}
	given := map[string]bool{}
	for _, w := range words[1:] {
		name, value, valued := strings.Cut(w, "=")
		if given[name] {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		given[name] = true
		var err error
		switch {
		case name == "affinity" && (value == "on" || value == "off"):
			p.NoAffinity = value == "off"
		case name == "hedge" && valued:
			p.Hedge, err = parseHedge(value)
		case name == "" || name == "affinity" || name == "hedge":
			err = fmt.Errorf("%q is none of affinity=on, affinity=off, hedge=off, hedge=p95, hedge=300ms", w)
		default:
			err = p.addRegion(name, value, valued)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.Mode == Priority && len(p.Regions) == 0 {
		return nil, errors.New("priority needs Regions, the first to try first: priority us-west-2 us-east-1")
	}
	total := 0
	for _, r := range p.Regions {
		total += r.Weight
	}
	if p.Mode == Weighted && len(p.Regions) > 0 && total == 0 {
		return nil, errors.New("one weight at least must be above 0")
	}
	return p, nil
}

func parseHedge(s string) (Hedge, error) {
	if s == "off" {
		return Hedge{}, nil
	}
	if share, ok := strings.CutPrefix(s, "p"); ok {
		if q, err := strconv.ParseFloat(share, 64); err == nil && q >= 50 && q <= 99.9 {
			return Hedge{Quantile: q / 100}, nil
		}
		return Hedge{}, fmt.Errorf("hedge=%s: from p50 to p99.9", s)
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Millisecond || d > maxHedge {
		return Hedge{}, fmt.Errorf("hedge=%s: off, a share such as p95, or a time from 1ms to 10m such as 300ms", s)
	}
	return Hedge{After: d}, nil
}

func (p *Policy) addRegion(region, weight string, weighted bool) error {
	share := Share{Region: region}
	switch p.Mode {
	case Priority:
		if weighted {
			return fmt.Errorf("%s=%s: priority has no weights", region, weight)
		}
	case Weighted:
		n, err := strconv.Atoi(weight)
		if err != nil || n < 0 || n > maxWeight {
			return fmt.Errorf("%s: weighted needs a weight from 0 to %d: %s=3", region, maxWeight, region)
		}
		share.Weight = n
	default:
		return fmt.Errorf("%s takes no Regions: %s", p.Mode, region)
	}
	p.Regions = append(p.Regions, share)
	return nil
}

// String returns p as ParsePolicy reads it.
func (p *Policy) String() string {
	var b strings.Builder
	b.WriteString(p.Mode.String())
	for _, r := range p.Regions {
		b.WriteString(" " + r.Region)
		if p.Mode == Weighted {
			b.WriteString("=" + strconv.Itoa(r.Weight))
		}
	}
	if p.NoAffinity {
		b.WriteString(" affinity=off")
	}
	switch h := p.Hedge; {
	case h.After > 0:
		b.WriteString(" hedge=" + h.After.String())
	case h.Quantile > 0:
		b.WriteString(" hedge=p" + strconv.FormatFloat(h.Quantile*100, 'g', 4, 64))
	}
	return b.String()
}

// rank is the place of region in p's list, its length where it is not in it.
func (p *Policy) rank(region string) int {
	for i := range p.Regions {
		if p.Regions[i].Region == region {
			return i
		}
	}
	return len(p.Regions)
}

// weight is region's weight in p; where p names no Regions every one has 1.
func (p *Policy) weight(region string) float64 {
	if len(p.Regions) == 0 {
		return 1
	}
	if i := p.rank(region); i < len(p.Regions) {
		return float64(p.Regions[i].Weight)
	}
	return 0
}

// Before orders Regions by what p says of them before anything is known of their state: below 0 when a goes first. One
// server that stands for several Regions counts as being in the first.
func (p *Policy) Before(a, b string) int {
	switch p.Mode {
	case Priority:
		return p.rank(a) - p.rank(b)
	case Weighted:
		switch wa, wb := p.weight(a), p.weight(b); {
		case wa > wb:
			return -1
		case wa < wb:
			return 1
		}
	}
	return 0
}
