package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"outcrop/iam"
)

// Record is an event as it is kept. Its hash is the SHA-256 of the hash before it, its number (8 bytes, big-endian) and
// Event.
type Record struct {
	Seq     int64 // from 1, without gaps, for the whole installation
	Time    time.Time
	Account string // "" for a stranger
	Region  string
	Event   []byte // JSON
	Hash    [sha256.Size]byte
	Keys    []Key // what it is found by; not read back
}

// Head says which records there are: those from First to Last. What was dropped for its age ended with the hash Before.
type Head struct {
	First, Last  int64 // Last is First-1 where there is none
	Before, Hash [sha256.Size]byte
	Seal         []byte // of all this, so that no one without the key can write another
}

// owner is what heads are sealed for.
const owner = "audit"

func (h *Head) text() string {
	return strings.Join([]string{strconv.FormatInt(h.First, 10), hex.EncodeToString(h.Before[:]), strconv.FormatInt(h.Last, 10), hex.EncodeToString(h.Hash[:])}, " ")
}

func (h *Head) seal(s *iam.Sealer) { h.Seal = s.Seal(h.text(), owner) }

// Reseal seals h anew, with the first key of s.
func (h *Head) Reseal(s *iam.Sealer) error {
	err := h.check(s)
	if err == nil {
		h.seal(s)
	}
	return err
}

var errSeal = errors.New("the head of the audit record is not the one that was sealed: it was altered, or another key file sealed it")

// check says whether h is as it was sealed.
func (h *Head) check(s *iam.Sealer) error {
	text, err := s.Open(h.Seal, owner)
	if err != nil || text != h.text() {
		return errSeal
	}
	return nil
}

// next is the hash of the record that follows one with the hash before.
func next(before [sha256.Size]byte, seq int64, event []byte) [sha256.Size]byte {
	d := sha256.New()
	d.Write(before[:])
	d.Write(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	d.Write(event)
	return [sha256.Size]byte(d.Sum(nil))
}

// fill makes what is kept of an event besides its text and its place in the chain.
func (r *Record) fill(e *Event) error {
	var err error
	if r.Time, err = e.when(); err != nil {
		return err
	}
	r.Account, r.Region, r.Keys = e.RecipientAccountID, e.Region, e.keys()
	return nil
}

// Trail is everything that is recorded, as of one moment.
type Trail struct {
	Head    *Head // nil where nothing was ever recorded
	Records iter.Seq2[*Record, error]
	Indexed func(*Record) (int, error) // how many of the record's Keys it is really found by
	Keys    int64                      // by how many keys records are found, all together
}

// Tampered is what Verify says of a record that is not what was recorded.
type Tampered struct {
	Seq  int64 // the first bad record
	What string
}

// Error says what is wrong, and with which record.
func (t *Tampered) Error() string {
	return fmt.Sprintf("audit record %d %s", t.Seq, t.What)
}

// Verify proves that t is what was recorded: each record follows from the one before, none is missing, and each is found by
// what stands in it. The error is a *Tampered that names the first record for which this is not so, where it is about one.
//
// Who has both the database and the key file can write another past. Against that, and against a database that was put back
// to an earlier state, helps a head that was noted elsewhere: known, with the number of a record and its hash, may be given.
func Verify(t *Trail, sealer *iam.Sealer, known *Head) error {
	if t.Head == nil {
		return errors.New("there is no audit record: nothing was ever recorded, or all of it was taken away")
	}
	if err := t.Head.check(sealer); err != nil {
		return err
	}
	seq, hash := t.Head.First, t.Head.Before
	met := known == nil || known.Last == seq-1 && known.Hash == hash
	var keys int64
	for r, err := range t.Records {
		if err != nil {
			return err
		}
		if r.Seq != seq {
			return &Tampered{seq, "is missing"}
		}
		if hash = next(hash, seq, r.Event); hash != r.Hash {
			return &Tampered{seq, "is not what was recorded, or does not follow the one before it"}
		}
		e, err := decode(r.Event)
		want := Record{}
		if err == nil {
			err = want.fill(e)
		}
		if err != nil {
			return &Tampered{seq, "cannot be read: " + err.Error()}
		}
		if !want.Time.Equal(r.Time) || want.Account != r.Account || want.Region != r.Region {
			return &Tampered{seq, "is filed under another time, account or Region than its own"}
		}
		r.Keys = want.Keys
		found, err := t.Indexed(r)
		if err != nil {
			return err
		}
		if found != len(want.Keys) {
			return &Tampered{seq, "is not found by all that stands in it"}
		}
		keys += int64(found)
		if known != nil && known.Last == seq {
			if known.Hash != hash {
				return &Tampered{seq, "has another hash than the one that was noted"}
			}
			met = true
		}
		seq++
	}
	if seq <= t.Head.Last {
		return &Tampered{seq, "is missing"}
	}
	if seq-1 > t.Head.Last {
		return &Tampered{t.Head.Last + 1, "was added"}
	}
	if !bytes.Equal(hash[:], t.Head.Hash[:]) {
		return &Tampered{t.Head.Last, "is not the last that was recorded: it, or records before it with all that follow, were written anew"}
	}
	if keys != t.Keys {
		return fmt.Errorf("audit records are found by %d keys, and hold %d", t.Keys, keys)
	}
	if !met {
		return fmt.Errorf("the record does not reach the noted head %d, or begins after it", known.Last)
	}
	return nil
}

// Noted is a head as people note it, "17:9f86d0…": the number of the last record and its hash.
func (h *Head) Noted() string {
	return strconv.FormatInt(h.Last, 10) + ":" + hex.EncodeToString(h.Hash[:])
}

// ParseNoted reads what Noted wrote.
func ParseNoted(s string) (*Head, error) {
	seq, text, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	hash, err2 := hex.DecodeString(text)
	if err != nil || err2 != nil || n < 0 || len(hash) != sha256.Size {
		return nil, fmt.Errorf("%q is not a head as `outcrop audit verify` prints it", s)
	}
	return &Head{Last: n, Hash: [sha256.Size]byte(hash)}, nil
}
