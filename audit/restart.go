package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/iam"
)

// Restarter is a Store whose record can begin anew.
type Restarter interface {
	// RestartEvents gives restart everything that is recorded, and makes the record and the head that it returns durable in
	// place of all of it: on an error nothing is changed.
	RestartEvents(ctx context.Context, restart func(*Trail) (*Record, *Head, error)) error
}

// ErrSound is what Restart returns where nothing is broken.
var ErrSound = errors.New("every audit record is what was recorded: there is nothing to restart for")

// Restarted is what the first event of a new chain tells of the one before it.
type Restarted struct {
	Broken  string `json:"broken"`  // what Verify said
	File    string `json:"file"`    // where it was put aside
	SHA256  string `json:"sha256"`  // of what was put aside
	Records int64  `json:"records"` // how many
}

// Aside is a line of what is put aside: the head, or a record as it was found. Hashes are hexadecimal.
type Aside struct {
	Head    *AsideHead `json:"head,omitzero"`
	Seq     int64      `json:"seq,omitzero"`
	Time    time.Time  `json:"time,omitzero"`
	Account string     `json:"account,omitempty"`
	Region  string     `json:"region,omitempty"`
	Event   string     `json:"event,omitempty"`
	Hash    string     `json:"hash,omitempty"`
}

// AsideHead is a head as it was found.
type AsideHead struct {
	First  int64  `json:"first"`
	Before string `json:"before"`
	Last   int64  `json:"last"`
	Hash   string `json:"hash"`
	Seal   string `json:"seal"`
}

// maxSeq is above any number that a record gets by being written: beyond it somebody has chosen it.
const maxSeq = 1 << 53

// Restart begins a new chain in place of one that Verify finds broken; ErrSound where it finds none. All that is there is
// written to aside, lines of JSON as found: an Aside each, which must be durable when keep returns. The new chain starts with the digest of that, so that
// it is proved too, and with e, whose request parameters become a Restarted that names file. Numbers go on.
func Restart(ctx context.Context, st Restarter, sealer *iam.Sealer, now time.Time, e *Event, file string, aside io.Writer, keep func() error) (Restarted, *Head, error) {
	said, head := Restarted{File: file}, &Head{}
	err := st.RestartEvents(ctx, func(t *Trail) (*Record, *Head, error) {
		broken := Verify(t, sealer, nil)
		if broken == nil {
			return nil, nil, ErrSound
		}
		if err := ctx.Err(); err != nil { // which Verify may have come upon
			return nil, nil, err
		}
		said.Broken = broken.Error()
		digest := sha256.New()
		put := func(a *Aside) error {
			line, err := json.Marshal(a, json.Deterministic(true))
			if err == nil {
				_, err = io.MultiWriter(aside, digest).Write(append(line, '\n'))
			}
			return err
		}
		var last int64
		if h := t.Head; h != nil {
			if h.check(sealer) == nil {
				last = h.Last
			}
			if err := put(&Aside{Head: &AsideHead{h.First, hex.EncodeToString(h.Before[:]), h.Last, hex.EncodeToString(h.Hash[:]), hex.EncodeToString(h.Seal)}}); err != nil {
				return nil, nil, err
			}
		}
		for r, err := range t.Records {
			if err == nil {
				err = put(&Aside{Seq: r.Seq, Time: r.Time, Account: text(r.Account), Region: text(r.Region), Event: text(string(r.Event)), Hash: hex.EncodeToString(r.Hash[:])})
			}
			if err != nil {
				return nil, nil, err
			}
			said.Records++
			if r.Seq < maxSeq {
				last = max(last, r.Seq)
			}
		}
		if err := keep(); err != nil {
			return nil, nil, err
		}
		*head = Head{First: last + 1, Last: last + 1, Before: [sha256.Size]byte(digest.Sum(nil))}
		said.SHA256 = hex.EncodeToString(head.Before[:])
		var err error
		if e.RequestParameters, err = json.Marshal(&said, json.Deterministic(true)); err != nil {
			return nil, nil, err
		}
		r, err := e.record(now)
		if err != nil {
			return nil, nil, err
		}
		head.Hash = next(head.Before, head.Last, r.Event)
		r.Seq, r.Hash = head.Last, head.Hash
		head.seal(sealer)
		return r, head, nil
	})
	return said, head, err
}
