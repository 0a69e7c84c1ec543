package reconcile

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"

	"github.com/google/uuid"
)

// joinRow is a call, of the ledger or of AWS's logs.
type joinRow struct {
	id      uuid.UUID
	theirs  bool
	around  bool // of theirs: not by the gateway
	profile string
	caller  string
	day     int32
	lines   []joinLine
}

// joinLine is what a call used of one kind.
type joinLine struct {
	kind, bucket uint8
	pool         // of theirs: its nano is what it would cost by the ledger's prices, or unpriced
}

// joiner brings calls with the same id together. They lie in parts by their ids, in memory while they are few, else in one file for each part: a part
// is small enough to be looked at whole.
type joiner struct {
	dir   string // where folder is made
	names []string
	known map[string]uint64
	parts [joinParts]joinPart
	held  int // bytes in memory
	most  int // of it
	buf   []byte
	rows  int64
}

type joinPart struct {
	buf  []byte
	file *os.File
}

const (
	joinParts = 64
	joinHeld  = 64 << 20
	maxNames  = 500_000
)

func newJoiner(dir string) *joiner {
	return &joiner{dir: dir, known: map[string]uint64{}, most: joinHeld}
}

func (j *joiner) name(s string) (uint64, error) {
	n, ok := j.known[s]
	if !ok {
		if len(j.names) >= maxNames {
			return 0, fmt.Errorf("more than %d profiles and callers: compare fewer days at a time", maxNames)
		}
		n = uint64(len(j.names))
		s = string([]byte(s))
		j.names, j.known[s] = append(j.names, s), n
	}
	return n, nil
}

func (j *joiner) add(r *joinRow) error {
	profile, err := j.name(r.profile)
	if err != nil {
		return err
	}
	caller, err := j.name(r.caller)
	if err != nil {
		return err
	}
	b := append(j.buf[:0], r.id[:]...)
	b = append(b, byte(b2i(r.theirs)|b2i(r.around)<<1))
	b = binary.AppendUvarint(b, profile)
	b = binary.AppendUvarint(b, caller)
	b = binary.AppendVarint(b, int64(r.day))
	b = binary.AppendUvarint(b, uint64(len(r.lines)))
	for _, l := range r.lines {
		b = append(b, l.kind, l.bucket)
		for _, n := range [...]int64{l.quantity, l.charges, l.nano, l.list} {
			b = binary.AppendVarint(b, n)
		}
	}
	j.buf = b
	p := &j.parts[r.id[15]%joinParts]
	p.buf = append(p.buf, b...)
	j.held += len(b)
	j.rows++
	if j.held < j.most {
		return nil
	}
	return j.flush()
}

// flush lays all that is in memory on disk.
func (j *joiner) flush() error {
	for i := range j.parts {
		p := &j.parts[i]
		if p.file == nil {
			f, err := os.CreateTemp(j.dir, "outcrop-reconcile-*")
			if err != nil {
				return err
			}
			// Nobody else needs its name: where the system lets a file go that is open, nothing is left whatever happens.
			os.Remove(f.Name()) //nolint:errcheck // close tries again
			p.file = f
		}
		if _, err := p.file.Write(p.buf); err != nil {
			return err
		}
		p.buf = p.buf[:0]
	}
	j.held = 0
	return nil
}

func (j *joiner) close() (err error) {
	for i := range j.parts {
		if f := j.parts[i].file; f != nil {
			err = errors.Join(err, f.Close())
			if e := os.Remove(f.Name()); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
			j.parts[i].file = nil
		}
	}
	return err
}

// each gives the rows of a part to do, in the order in which they came.
func (j *joiner) each(part int, do func(r *joinRow) error) error {
	p := &j.parts[part]
	var in *bufio.Reader
	if p.file != nil {
		if _, err := p.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		in = bufio.NewReaderSize(io.MultiReader(p.file, bytes.NewReader(p.buf)), 256<<10)
	} else {
		in = bufio.NewReader(bytes.NewReader(p.buf))
	}
	var failed error
	signed := func() int64 {
		n, err := binary.ReadVarint(in)
		failed = cmp.Or(failed, err)
		return n
	}
	number := func() uint64 {
		n, err := binary.ReadUvarint(in)
		failed = cmp.Or(failed, err)
		return n
	}
	one := func() byte {
		b, err := in.ReadByte()
		failed = cmp.Or(failed, err)
		return b
	}
	for {
		var r joinRow
		if _, err := io.ReadFull(in, r.id[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		flags := one()
		r.theirs, r.around = flags&1 != 0, flags&2 != 0
		profile, caller := number(), number()
		r.day = int32(signed())
		n := number()
		if failed == nil && (max(profile, caller) >= uint64(len(j.names)) || n > 1<<16) {
			failed = errors.New("what was laid on disk is damaged")
		}
		for range n {
			if failed != nil {
				break
			}
			l := joinLine{kind: one(), bucket: one()}
			l.quantity, l.charges, l.nano, l.list = signed(), signed(), signed(), signed()
			r.lines = append(r.lines, l)
		}
		if failed != nil {
			return failed
		}
		r.profile, r.caller = j.names[profile], j.names[caller]
		if err := do(&r); err != nil {
			return err
		}
	}
}

// join brings the calls of the logs and of the ledger together: call by call where any id is on both sides, else only by profile and day.
func (c *Comparison) join(ctx context.Context) (byID bool, err error) {
	for part := range joinParts {
		ours := map[uuid.UUID]bool{}
		if err := c.calls.each(part, func(r *joinRow) error {
			if !r.theirs {
				ours[r.id] = true
			}
			return nil
		}); err != nil {
			return false, err
		}
		if len(ours) == 0 {
			continue
		}
		err := c.calls.each(part, func(r *joinRow) error {
			if r.theirs && ours[r.id] {
				return errFound
			}
			return nil
		})
		if byID = errors.Is(err, errFound); byID {
			break
		}
		if err != nil {
			return false, err
		}
	}
	for part := range joinParts {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := c.joinPart(part, byID); err != nil {
			return false, err
		}
	}
	if !byID {
		c.valueSums()
	}
	return byID, nil
}

var errFound = errors.New("found")

func (c *Comparison) joinPart(part int, byID bool) error {
	here, there := map[uuid.UUID]*joinRow{}, map[uuid.UUID]*joinRow{}
	if err := c.calls.each(part, func(r *joinRow) error {
		of := here
		if r.theirs {
			of = there
		}
		if of[r.id] != nil {
			c.duplicate++
			return nil
		}
		of[r.id] = r
		return nil
	}); err != nil {
		return err
	}
	order := func(rows map[uuid.UUID]*joinRow) []uuid.UUID {
		return slices.SortedFunc(maps.Keys(rows), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	}
	for _, id := range order(there) {
		if err := c.joinCall(here[id], there[id], byID); err != nil {
			return err
		}
	}
	for _, id := range order(here) {
		if there[id] == nil {
			if err := c.joinCall(here[id], nil, byID); err != nil {
				return err
			}
		}
	}
	return nil
}

// joinCall books a call; where it is by sums, it is only added up.
func (c *Comparison) joinCall(ours, theirs *joinRow, byID bool) error {
	one := &group{cells: map[class]*cell{}} // the call alone
	at := func(r *joinRow) *group { return c.group(groupKey{r.profile, r.day}) }
	if ours != nil {
		g := at(ours)
		g.calls++
		for i := range ours.lines {
			l := &ours.lines[i]
			g.ours.Add(&g.ours, attoOf(l.nano))
			to := one
			if !byID {
				to = g
			}
			to.cell(class{kind: logKinds[l.kind]}).hold(int(l.bucket), l.pool)
		}
	}
	if theirs == nil {
		if byID {
			bookCall(ours.id, "", one, at(ours), false)
		}
		return c.bound()
	}
	g := at(theirs)
	g.lines++
	var tokens int64
	valued := true
	for i := range theirs.lines {
		l := &theirs.lines[i]
		to := one
		if !byID {
			to = g
		}
		cell := to.cell(class{kind: logKinds[l.kind]})
		b := &cell.theirs
		if theirs.around {
			b = &cell.around
		}
		b.quantity += l.quantity
		b.lines++
		tokens += l.quantity
		paid := attoOf(max(l.nano, 0))
		if p := cell.sum(); byID && p.quantity > 0 {
			paid = valueAt(p, l.quantity)
		} else if l.nano == unpriced {
			var known bool
			if paid, known = c.average(theirs.profile, l); !known {
				valued = false
			}
		}
		b.cost.Add(&b.cost, paid)
		if byID {
			g.theirs.Add(&g.theirs, paid)
		}
	}
	if !valued {
		c.unvalued++
	}
	if theirs.around {
		g.tell(Around, "by "+theirs.caller)
	} else {
		g.called(theirs.caller, tokens)
	}
	if !byID {
		return c.bound()
	}
	if ours != nil {
		if from := at(ours); from != g {
			// The call itself moved; what differs of it is booked where AWS has it.
			r := DayBoundary
			if ours.profile != theirs.profile {
				r = Resource
			}
			var all big.Int
			var n int64
			for _, l := range ours.lines {
				all.Add(&all, attoOf(l.nano))
				n += l.quantity
			}
			from.book(r, new(big.Int).Neg(&all), -n, "call "+ours.id.String())
			g.book(r, &all, n, "call "+ours.id.String())
		}
	}
	bookCall(theirs.id, theirs.caller, one, g, ours != nil)
	return c.bound()
}

func (c *Comparison) bound() error {
	if len(c.groups) > maxCells {
		return fmt.Errorf("more than %d profiles and days: compare fewer days at a time", maxCells)
	}
	return nil
}

// bookCall settles a call alone, and books what comes of it in g. both says that it is known on both sides, whatever was counted of it.
func bookCall(id uuid.UUID, caller string, one, g *group, both bool) {
	one.match()
	one.moves()
	one.rest()
	for r, b := range one.booked {
		if b == nil {
			continue
		}
		detail := "call " + id.String()
		if (Reason(r) == OnlyThere || Reason(r) == Around) && caller != "" {
			detail = "by " + caller
		}
		if Reason(r) == Rounding || Reason(r) == NotYet {
			detail = ""
		}
		reason := Reason(r)
		if both && (reason == OnlyHere || reason == OnlyThere) {
			reason = Usage
		}
		g.book(reason, &b.amount, b.tokens, detail)
	}
}

// sum is all that the ledger has of a cell.
func (c *cell) sum() (p pool) {
	for i := range c.ours {
		p.add(c.ours[i])
	}
	p.add(c.elsewhere)
	return p
}

// valueAt is what n tokens cost at the rate of p.
func valueAt(p pool, n int64) *big.Int {
	v := attoOf(p.nano)
	v.Mul(v, big.NewInt(n))
	return v.Quo(v, big.NewInt(p.quantity))
}

// average is what a line costs at the mean rate of what the ledger has through the same profile.
func (c *Comparison) average(profile string, l *joinLine) (*big.Int, bool) {
	r := c.resources[profile]
	if r == nil || r.kinds[l.kind].quantity == 0 {
		return new(big.Int), false
	}
	return valueAt(r.kinds[l.kind], l.quantity), true
}

// valueSums gives AWS's sums the ledger's rates: logs have no money.
func (c *Comparison) valueSums() {
	for _, g := range c.groups {
		for _, cell := range g.cells {
			p := cell.sum()
			for _, b := range [...]*bill{&cell.theirs, &cell.around} {
				if p.quantity > 0 {
					b.cost.Set(valueAt(p, b.quantity))
				}
				g.theirs.Add(&g.theirs, &b.cost)
			}
		}
	}
}
