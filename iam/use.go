package iam

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// KeyUse says where and when an access key was used last, or any session of a role.
type KeyUse struct {
	Key     string    // AccessKey.ID, or a role's Entity.ID
	Time    time.Time // to the minute or better
	Service string    // of the signature's scope: "bedrock"
	Region  string
}

// useEvery is how exact the time of a key's last use is, and how often it is written down.
const useEvery = time.Minute

// lastUse is the last use of an access key or a role, shared by all snapshots that have it.
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

// LastUse returns the last use of an access key or a role; ok is false for one that has not been used, or is not there.
func (d *Directory) LastUse(id string) (use KeyUse, ok bool) {
	u := d.current.Load().use(id)
	if u == nil {
		return use, false
	}
	return u.get(id)
}

// use returns the last use of an access key or a role; nil where it is not there.
func (s *snapshot) use(id string) *lastUse {
	if c := s.keys[id]; c != nil {
		return c.used
	}
	return s.roles[id]
}

func (u *lastUse) get(id string) (use KeyUse, ok bool) {
	at, p := u.at.Load(), u.place.Load()
	if at == 0 || p == nil {
		return use, false
	}
	return KeyUse{Key: id, Time: time.Unix(at, 0).UTC(), Service: p.service, Region: p.region}, true
}

// SaveUses writes down which access keys and roles were used since it did so last, unless that is less than a minute ago. It is for one
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
	s := d.current.Load()
	add := func(id string, u *lastUse) {
		if use, ok := u.get(id); ok && use.Time.Unix() > u.saved.Load() {
			uses = append(uses, use)
		}
	}
	for id, c := range s.keys {
		add(id, c.used)
	}
	for id, u := range s.roles {
		add(id, u)
	}
	if len(uses) == 0 {
		return nil
	}
	if err := d.store.PutKeyUses(ctx, uses); err != nil {
		return fmt.Errorf("write down the last uses of access keys and roles: %w", err)
	}
	for i := range uses {
		s.use(uses[i].Key).saved.Store(uses[i].Time.Unix())
	}
	return nil
}

// Close writes down which access keys and roles were used. The Directory serves on.
func (d *Directory) Close(ctx context.Context) error { return d.saveUses(ctx) }

// usesOf returns the last use of an access key or a role that goes on from one snapshot to the next.
func (d *Directory) usesOf(last *snapshot, id string) *lastUse {
	if last != nil {
		if u := last.use(id); u != nil {
			return u
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
