package iam

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// KeyUse says where and when an access key was used last.
type KeyUse struct {
	Key     string    // AccessKey.ID
	Time    time.Time // to the minute or better
	Service string    // of the signature's scope: "bedrock"
	Region  string
}

// useEvery is how exact the time of a key's last use is, and how often it is written down.
const useEvery = time.Minute

// lastUse is the last use of an access key, shared by all snapshots that have the key.
type lastUse struct {
	at    atomic.Int64             // seconds since 1970; 0 is never
	place atomic.Pointer[usePlace] // what at goes with, or nearly: two requests at one time may leave one's time and the other's place
	saved atomic.Int64             // at, as it was last written down
}

type usePlace struct{ service, region string }

// note records a use. It costs next to nothing where the last one is less than useEvery ago and of the same service and Region.
func (u *lastUse) note(now time.Time, service, region string) {
	seconds := now.Unix()
	p := u.place.Load()
	same := p != nil && p.service == service && p.region == region
	if same && seconds-u.at.Load() < int64(useEvery/time.Second) {
		return
	}
	if !same {
		u.place.Store(&usePlace{service, region})
	}
	u.at.Store(seconds)
}

// LastUse returns the last use of an access key; ok is false for one that has not been used, or is not there.
func (d *Directory) LastUse(id string) (use KeyUse, ok bool) {
	c := d.current.Load().keys[id]
	if c == nil {
		return use, false
	}
	return c.used.get(id)
}

func (u *lastUse) get(id string) (use KeyUse, ok bool) {
	at, p := u.at.Load(), u.place.Load()
	if at == 0 || p == nil {
		return use, false
	}
	return KeyUse{Key: id, Time: time.Unix(at, 0).UTC(), Service: p.service, Region: p.region}, true
}

// SaveUses writes down which access keys were used since it did so last, unless that is less than a minute ago. It is for one
// caller at a time. What was not written when a process is killed is lost: last uses are for finding keys that nobody needs.
func (d *Directory) SaveUses(ctx context.Context) error {
	if d.clock().Sub(d.usesSaved) < useEvery {
		return nil
	}
	return d.saveUses(ctx)
}

func (d *Directory) saveUses(ctx context.Context) error {
	d.usesSaved = d.clock()
	var uses []KeyUse
	keys := d.current.Load().keys
	for id, c := range keys {
		if use, ok := c.used.get(id); ok && use.Time.Unix() > c.used.saved.Load() {
			uses = append(uses, use)
		}
	}
	if len(uses) == 0 {
		return nil
	}
	if err := d.store.PutKeyUses(ctx, uses); err != nil {
		return fmt.Errorf("write down the last uses of access keys: %w", err)
	}
	for i := range uses {
		keys[uses[i].Key].used.saved.Store(uses[i].Time.Unix())
	}
	return nil
}

// Close writes down which access keys were used. The Directory serves on.
func (d *Directory) Close(ctx context.Context) error { return d.saveUses(ctx) }

// usesOf returns the last use of an access key that goes on from one snapshot to the next.
func (d *Directory) usesOf(last *snapshot, id string) *lastUse {
	if last != nil {
		if c := last.keys[id]; c != nil {
			return c.used
		}
	}
	u := &lastUse{}
	if use, ok := d.storedUses[id]; ok {
		u.place.Store(&usePlace{use.Service, use.Region})
		u.at.Store(use.Time.Unix())
		u.saved.Store(use.Time.Unix())
	}
	return u
}
