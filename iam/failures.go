package iam

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"outcrop/fault"
)

// Source is where requests come from, as far as they are counted together: an IPv4 address, or the network /64 of an IPv6 address,
// all of whose addresses are one subscriber's to choose from. The zero Source is everything that has no address.
type Source netip.Addr

// SourceOf is the Source of an address as Caller.SourceIP has it.
func SourceOf(ip string) Source {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return Source{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		network, _ := addr.Prefix(64) // there is one of every address
		addr = network.Addr()
	}
	return Source(addr)
}

// failures counts what could not be authenticated, by where it came from. Each source has a number of failures, which come back one
// by one over the window; from one that has none left, what fails is answered so, and costs no look at the store. What does not
// fail is not asked for here: a source is never kept from using a good key, whoever else is behind its address.
type failures struct {
	window, every time.Duration // a failure comes back in every; 0 counts nothing

	mu         sync.Mutex
	young, old map[Source]failing // two generations, each bounded: those that failed last
}

// failing is one source's failures.
type failing struct {
	until time.Time // when all have come back
	told  time.Time // when the log was told last that none was left
}

// maxSources bounds each generation of sources.
const maxSources = 4096

func newFailures(limit int, window time.Duration) failures {
	if limit <= 0 {
		return failures{}
	}
	return failures{window: window, every: max(window/time.Duration(limit), 1)}
}

// find returns what is known of a source. mu is held.
func (f *failures) find(s Source) failing {
	known, ok := f.young[s]
	if !ok {
		known = f.old[s]
	}
	return known
}

// put keeps what is known of a source. mu is held.
func (f *failures) put(s Source, known failing) {
	if _, ok := f.young[s]; !ok && (f.young == nil || len(f.young) == maxSources) {
		f.young, f.old = map[Source]failing{}, f.young
	}
	f.young[s] = known
}

// wait is how long it takes until the source may fail once more; 0 where it may now. mu is held.
func (f *failures) wait(known failing, now time.Time) time.Duration {
	if from := known.until.Add(f.every - f.window); from.After(now) {
		return from.Sub(now)
	}
	return 0
}

// exhausted returns how long the source has no failure left; 0 where it has one.
func (f *failures) exhausted(s Source, now time.Time) time.Duration {
	if f.every == 0 {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wait(f.find(s), now)
}

// count takes a failure from the source and returns 0; where it has none left, how long until it has. tell says that the log
// is to know.
func (f *failures) count(s Source, now time.Time) (wait time.Duration, tell bool) {
	if f.every == 0 {
		return 0, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.find(s)
	if wait = f.wait(known, now); wait == 0 {
		if known.until.Before(now) {
			known.until = now
		}
		known.until = known.until.Add(f.every)
	} else if tell = now.Sub(known.told) >= f.window; tell {
		known.told = now
	}
	f.put(s, known)
	return wait, tell
}

// msgTooMany is what AWS says to whoever asks too often.
const msgTooMany = "Rate exceeded"

// tooMany is what a source reads whose failures are used up.
func tooMany(cause error, wait time.Duration) *fault.Error {
	e := fault.Wrap(cause, fault.TooManyFailures, msgTooMany)
	e.RetryAfter = wait
	return e
}

// failed counts err, by which r was not authenticated, and returns what r's sender reads. A session or an API key that has ended was
// proved: its owner must read that it has, to begin another. So was a user's session that calls IAM, which it may not.
func (a *Authenticator) failed(r *http.Request, err error) error {
	if err == errExpiredKey || err == errNotForIAM {
		return err
	}
	switch fault.From(err).Kind {
	case fault.MissingToken, fault.IncompleteSignature, fault.InvalidSignature, fault.UnrecognizedClient, fault.InvalidAPIKey, fault.TooManyFailures:
	default:
		return err
	}
	ip := a.originOf(r).ip
	wait, tell := a.dir.failures.count(SourceOf(ip), a.dir.clock())
	if tell {
		a.dir.log.Warn("too many requests from one address could not be authenticated; those that cannot are answered so until fewer come", "source", ip, "request", err)
	}
	if wait == 0 || fault.Is(err, fault.TooManyFailures) {
		return err
	}
	return tooMany(err, wait)
}

// recheck looks at the store for what r names and the snapshot does not have; not for a source whose failures are used up.
func (a *Authenticator) recheck(r *http.Request) error {
	if wait := a.dir.failures.exhausted(SourceOf(a.originOf(r).ip), a.dir.clock()); wait > 0 {
		return tooMany(nil, wait)
	}
	return a.dir.waitForRecheck(r.Context())
}
