package routing

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// latency is how long a target takes to its first event: a moving mean, which is read without a lock, and a distribution.
// Its changes are under the target's lock.
type latency struct {
	mean  atomic.Uint64 // float64 of nanoseconds; 0 is not known
	at    atomic.Int64  // of the last sample
	count atomic.Int64  // samples ever
	known atomic.Int64  // samples that the mean is of

	buckets [80]uint16 // of samples from 2^(i/4) ms, roughly
	total   int        // in the buckets
}

const (
	meanTime   = float64(10 * time.Second) // how fast the mean follows when samples are rare
	leastShare = 0.1                       // of a sample in the mean, when they are not
	idleTime   = float64(20 * time.Second) // how fast what is known of an idle target fades, so that it is asked again
	maxTotal   = 512                       // samples that the distribution remembers, about
	recentTime = int64(20 * time.Second)   // for how long what was heard says how a target does now
)

func (l *latency) add(now int64, d time.Duration) {
	l.follow(now, d)
	l.sample(d)
}

// follow moves the mean.
func (l *latency) follow(now int64, d time.Duration) {
	mean := l.last()
	if mean == 0 {
		mean = float64(d)
	} else {
		share := max(leastShare, 1-math.Exp(-float64(now-l.at.Load())/meanTime))
		mean += share * (float64(d) - mean)
	}
	l.mean.Store(math.Float64bits(max(mean, 1)))
	l.at.Store(now)
	l.count.Add(1)
	l.known.Add(1)
}

// sample adds to the distribution.
func (l *latency) sample(d time.Duration) {
	l.buckets[bucket(d)]++
	if l.total++; l.total >= maxTotal {
		l.total = 0
		for i := range l.buckets {
			l.buckets[i] /= 2
			l.total += int(l.buckets[i])
		}
	}
}

// last returns the mean as it was heard, 0 when it is not known.
func (l *latency) last() float64 { return math.Float64frombits(l.mean.Load()) }

// now returns the mean, 0 when it is not known. It fades while nothing is heard.
func (l *latency) now(now int64) float64 {
	mean := l.last()
	if idle := now - l.at.Load(); mean > 0 && idle > int64(time.Second) {
		mean *= math.Exp(-float64(idle) / idleTime)
	}
	return mean
}

// heard returns the mean as it was heard, however long ago, 0 when it is of too few samples. It is what targets are compared by:
// a mean that fades is a wish to ask again, and says nothing of how fast a target is.
func (l *latency) heard() float64 {
	if l.known.Load() < fewSamples {
		return 0
	}
	return l.last()
}

// recent is heard, and 0 when nothing was heard of late.
func (l *latency) recent(now int64) float64 {
	if now-l.at.Load() > recentTime {
		return 0
	}
	return l.heard()
}

// forget makes the mean unknown.
func (l *latency) forget() {
	l.mean.Store(0)
	l.known.Store(0)
}

// bucket is the place of d among the buckets: four for each doubling.
func bucket(d time.Duration) int {
	ms := uint64(max(d, 0) / time.Millisecond)
	if ms < 4 {
		return int(ms)
	}
	e := bits.Len64(ms) - 1 // ms has its highest bit there; the two below it choose among four
	return min(e*4-4+int(ms>>(e-2)&3), len(latency{}.buckets)-1)
}

// bound is the upper end of bucket i.
func bound(i int) time.Duration {
	if i++; i < 4 {
		return time.Duration(i) * time.Millisecond
	}
	return time.Duration((4+uint64(i)%4)<<(i/4-1)) * time.Millisecond
}

// quantile returns the time within which share of the samples were, 0 when there are too few to say.
func (l *latency) quantile(share float64) time.Duration {
	const few = 20
	if l.total < few {
		return 0
	}
	return l.within(share)
}

// within is quantile of any number of samples, 0 of none.
func (l *latency) within(share float64) time.Duration {
	if l.total == 0 {
		return 0
	}
	left := int(math.Ceil(share * float64(l.total)))
	for i, n := range l.buckets {
		if left -= int(n); left <= 0 {
			return bound(i)
		}
	}
	return bound(len(l.buckets) - 1)
}
