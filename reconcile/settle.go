package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"outcrop/catalog"
)

// class is what a price hangs on.
type class struct {
	model      string // as usage types abbreviate it
	region     string // the source Region's code
	kind       string // of token, or what else is counted
	tier       string // "" is the default
	global     bool
	long       bool
	unreadable bool // kind is a whole usage type, and nothing else is set
}

func (c class) compare(o class) int {
	return cmp.Or(cmp.Compare(c.model, o.model), cmp.Compare(c.region, o.region), cmp.Compare(c.kind, o.kind), cmp.Compare(c.tier, o.tier),
		cmp.Compare(b2i(c.global), b2i(o.global)), cmp.Compare(b2i(c.long), b2i(o.long)))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// String names c for people.
func (c class) String() string {
	s := c.kind
	if c.model != "" {
		s = c.model + " " + s
	}
	if c.region != "" {
		s = c.region + " " + s
	}
	if c.tier != "" {
		s += " " + c.tier
	}
	if c.long {
		s += " long-context"
	}
	if c.global {
		s += " global"
	}
	return s
}

// What the ledger has is kept apart by what is known of it, in the order in which it is held against the bill: the surest first.
const (
	measured  = iota
	midnight  // the call ended on the next day
	unrated   // no price was known
	estimated // the ledger's own estimate
	late      // after the newest that AWS's files have
	buckets
)

// pool is charges of the ledger.
type pool struct {
	quantity, charges int64
	nano, list        int64 // what they cost, and what they would by the list
}

func (p *pool) add(o pool) {
	p.quantity, p.charges, p.nano, p.list = p.quantity+o.quantity, p.charges+o.charges, p.nano+o.nano, p.list+o.list
}

// take takes n of p's quantity out of it, with its part of all else: all of it with the last.
func (p *pool) take(n int64) pool {
	if n >= p.quantity {
		all := *p
		*p = pool{}
		return all
	}
	part := pool{n, max(1, share(p.charges, n, p.quantity)), share(p.nano, n, p.quantity), share(p.list, n, p.quantity)}
	p.quantity, p.charges, p.nano, p.list = p.quantity-n, max(0, p.charges-part.charges), p.nano-part.nano, p.list-part.list
	return part
}

// share is v x n / of.
func share(v, n, of int64) int64 {
	if v < 0 {
		return -share(-v, n, of)
	}
	s, _ := catalog.Ratio(v, n, 1, of)
	return s
}

// bill is lines of AWS.
type bill struct {
	quantity, lines int64
	cost            big.Int
}

func (b *bill) take(n int64) (cost *big.Int, lines int64) {
	cost = new(big.Int).Set(&b.cost)
	if n < b.quantity {
		lines = max(1, share(b.lines, n, b.quantity))
		cost.Mul(cost, big.NewInt(n))
		cost.Quo(cost, big.NewInt(b.quantity))
	} else {
		lines = b.lines
	}
	b.quantity, b.lines = b.quantity-n, max(0, b.lines-lines)
	b.cost.Sub(&b.cost, cost)
	return cost, lines
}

// cell is one class on one day through one profile.
type cell struct {
	ours      [buckets]pool
	elsewhere pool // of ours: AWS did not serve it
	theirs    bill
	around    bill // of theirs: not by the gateway

	here, there int64 // the quantities of ours and theirs before anything is taken
}

func (c *cell) quantity() (n int64) {
	for i := range c.ours {
		n += c.ours[i].quantity
	}
	return n
}

// part is what was taken of the ledger's.
type part struct {
	pool
	unrated int64 // of its quantity
}

func (c *cell) take(n int64) (p part) {
	for i := range c.ours {
		of := min(n, c.ours[i].quantity)
		if of <= 0 {
			continue
		}
		p.add(c.ours[i].take(of))
		if i == unrated {
			p.unrated += of
		}
		n -= of
	}
	return p
}

// booking is what a group differs by for one reason.
type booking struct {
	amount  big.Int // AWS less the ledger
	tokens  int64   // likewise; or what moved
	details []string
	more    int
}

// maxDetails bounds the evidence of one booking.
const maxDetails = 5

func (b *booking) tell(detail string) {
	switch {
	case detail == "" || slices.Contains(b.details, detail):
	case len(b.details) < maxDetails:
		b.details = append(b.details, detail)
	default:
		b.more++
	}
}

// group is one profile on one day.
type group struct {
	key     groupKey
	cells   map[class]*cell
	booked  [reasons]*booking
	ours    big.Int // all that the ledger has
	theirs  big.Int // and AWS
	callers map[string]*bill
	arn     string // AWS's, where it is not the key
	lines   int64  // of theirs
	calls   int64  // of ours
}

type groupKey struct {
	profile string
	day     int32 // since 1970, UTC
}

func (g *group) cell(c class) *cell {
	of := g.cells[c]
	if of == nil {
		of = &cell{}
		g.cells[c] = of
	}
	return of
}

func (g *group) book(r Reason, amount *big.Int, tokens int64, detail string) {
	if amount.Sign() == 0 && tokens == 0 {
		return
	}
	b := g.booking(r)
	b.amount.Add(&b.amount, amount)
	b.tokens += tokens
	b.tell(detail)
}

func (g *group) booking(r Reason) *booking {
	if g.booked[r] == nil {
		g.booked[r] = &booking{}
	}
	return g.booked[r]
}

// tell keeps evidence.
func (g *group) tell(r Reason, detail string) { g.booking(r).tell(detail) }

func (g *group) classes() []class { return slices.SortedFunc(maps.Keys(g.cells), class.compare) }

// differ books what n of a class cost more there than here.
func (g *group) differ(of class, n int64, p part, cost *big.Int, lines int64) {
	ours := attoOf(p.nano)
	diff := new(big.Int).Sub(cost, ours)
	if diff.Sign() == 0 {
		return
	}
	if p.unrated > 0 && n > 0 {
		free := new(big.Int).Mul(cost, big.NewInt(p.unrated))
		free.Quo(free, big.NewInt(n))
		g.book(Unrated, free, 0, of.String())
		diff.Sub(diff, free)
	}
	// The ledger rounds each charge to nano-dollars, AWS each line to no more than that.
	may := attoOf(p.charges + 2*lines + 2)
	may.Rsh(may, 1)
	list := new(big.Int).Sub(attoOf(p.list), ours) // what its discounts are
	switch {
	case diff.Sign() == 0:
	case diff.CmpAbs(may) <= 0:
		g.book(Rounding, diff, 0, "")
	case list.Sign() != 0 && new(big.Int).Sub(diff, list).CmpAbs(may) <= 0:
		g.book(Discount, list, 0, of.String()+": AWS has the list price")
		g.book(Rounding, diff.Sub(diff, list), 0, "")
	default:
		g.book(Price, diff, 0, fmt.Sprintf("%s: AWS %s, ledger %s a million", of, rate(cost, n), rate(ours, n-p.unrated)))
	}
}

// rate is the price of a million, rounded to six digits behind the point.
func rate(cost *big.Int, n int64) string {
	if n <= 0 {
		return "-"
	}
	v := new(big.Int).Mul(cost, big.NewInt(1_000_000))
	v = divide(v, big.NewInt(n))
	return decimal(divide(v, pow10(places-6)), 6)
}

// adopt gives AWS's usage of a model by a name that the catalog does not have the name that the ledger has: a profile has one model.
func (g *group) adopt() {
	model := ""
	for of := range g.cells {
		switch {
		case of.model == "" || g.cells[of].quantity() == 0 && g.cells[of].elsewhere == (pool{}):
		case model == "":
			model = of.model
		case model != of.model:
			return
		}
	}
	if model == "" {
		return
	}
	for _, of := range g.classes() {
		if of.model != "" || of.unreadable {
			continue
		}
		from := g.cells[of]
		delete(g.cells, of)
		of.model = model
		to := g.cell(of)
		to.theirs.add(&from.theirs)
		to.around.add(&from.around)
	}
}

// match holds what both have of the same class against each other.
func (g *group) match() {
	for _, of := range g.classes() {
		c := g.cells[of]
		c.here, c.there = c.quantity(), c.theirs.quantity
		if c.elsewhere != (pool{}) {
			g.book(Elsewhere, attoOf(-c.elsewhere.nano), -c.elsewhere.quantity, "")
			c.elsewhere = pool{}
		}
		if c.around.lines > 0 {
			n := c.around.quantity
			cost, _ := c.around.take(n)
			g.book(Around, cost, n, of.String())
		}
		if n := min(c.here, c.there); n > 0 {
			p := c.take(n)
			cost, lines := c.theirs.take(n)
			g.differ(of, n, p, cost, lines)
		}
	}
}

// pass is one way in which the same tokens may be two classes.
type pass func(class) class

// cached stands for all kinds of input.
const cached = "input or cache"

var passes = []pass{
	func(c class) class {
		switch c.kind {
		case "input", "cache_read", "cache_write", "cache_write_1h":
			c.kind = cached
		}
		return c
	},
	func(c class) class { c.tier = ""; return c },
	func(c class) class { c.global = false; return c },
	func(c class) class { c.long = false; return c },
	func(c class) class { c.region = ""; return c },
	func(c class) class { return class{model: c.model, kind: c.kind, unreadable: c.unreadable} },
}

// unlike is the reason for which two classes are two.
func unlike(ours, theirs class) Reason {
	switch {
	case ours.kind != theirs.kind:
		return CacheClass
	case ours.global != theirs.global:
		return Scope
	case ours.tier != theirs.tier:
		return Tier
	case ours.long != theirs.long:
		return LongContext
	}
	return Region
}

// moves finds tokens that are of another class there than here.
func (g *group) moves() {
	for _, alike := range passes {
		g.pairs(g, alike, func(ours, theirs class, n int64) {
			c := g.cells[ours]
			p := c.take(n)
			cost, _ := g.cells[theirs].theirs.take(n)
			g.book(unlike(ours, theirs), cost.Sub(cost, attoOf(p.nano)), n, fmt.Sprintf("%d tokens: ledger %s, AWS %s", n, ours, theirs))
		})
	}
}

// pairs gives do what is over of ours in g and of theirs in o, where the classes are alike.
func (g *group) pairs(o *group, alike pass, do func(ours, theirs class, n int64)) {
	over := map[class][]class{}
	for _, of := range o.classes() {
		if o.cells[of].theirs.quantity > 0 {
			over[alike(of)] = append(over[alike(of)], of)
		}
	}
	if len(over) == 0 {
		return
	}
	for _, ours := range g.classes() {
		left := g.cells[ours].quantity()
		for _, theirs := range over[alike(ours)] {
			if n := min(left, o.cells[theirs].theirs.quantity); n > 0 {
				do(ours, theirs, n)
				left -= n
			}
		}
	}
}

// give moves n of ours in g to o, where AWS has them: the move itself is nothing in the sum of both.
func (g *group) give(o *group, r Reason, ours, theirs class, n int64, p part, detail string) {
	amount := attoOf(p.nano)
	g.book(r, new(big.Int).Neg(amount), -n, detail)
	o.book(r, amount, n, detail)
	cost, lines := o.cells[theirs].theirs.take(n)
	if ours == theirs {
		o.differ(theirs, n, p, cost, lines)
		return
	}
	o.book(unlike(ours, theirs), cost.Sub(cost, amount), 0, fmt.Sprintf("%d tokens: ledger %s, AWS %s", n, ours, theirs))
}

// nextDay finds calls over midnight that AWS has on the next day.
func (g *group) nextDay(o *group) {
	for _, of := range g.classes() {
		there := o.cells[of]
		p := &g.cells[of].ours[midnight]
		if there == nil {
			continue
		}
		if n := min(p.quantity, there.theirs.quantity); n > 0 {
			g.give(o, DayBoundary, of, of, n, part{pool: p.take(n)}, of.String())
		}
	}
}

// through finds tokens that AWS has through o and the ledger through g.
func (g *group) through(o *group) {
	exact := func(c class) class { return c }
	for _, alike := range append([]pass{exact}, passes...) {
		g.pairs(o, alike, func(ours, theirs class, n int64) {
			g.give(o, Resource, ours, theirs, n, g.cells[ours].take(n), "ledger "+g.key.profile+", AWS "+o.key.profile)
		})
	}
}

// rest books what is over.
func (g *group) rest() {
	for _, of := range g.classes() {
		c := g.cells[of]
		for i := range c.ours {
			p := &c.ours[i]
			if *p == (pool{}) {
				continue
			}
			r := Usage
			switch {
			case i == late:
				r = NotYet
			case i == estimated:
				r = Estimate
			case c.there == 0:
				r = OnlyHere
			}
			g.book(r, attoOf(-p.nano), -p.quantity, g.counts(r, of, c))
			*p = pool{}
		}
		if c.theirs.lines == 0 && c.theirs.cost.Sign() == 0 && c.theirs.quantity == 0 {
			continue
		}
		r, n := Usage, c.theirs.quantity
		if c.here == 0 {
			r = OnlyThere
		}
		cost, _ := c.theirs.take(n)
		g.book(r, cost, n, g.counts(r, of, c))
		if r == OnlyThere {
			for _, who := range g.who() {
				g.tell(r, who)
			}
		}
	}
}

func (g *group) counts(r Reason, of class, c *cell) string {
	switch r {
	case Usage:
		return fmt.Sprintf("%s: AWS %d, ledger %d", of, c.there, c.here)
	default:
		return of.String()
	}
}

// who are the callers that AWS names.
func (g *group) who() (who []string) {
	for _, arn := range slices.Sorted(maps.Keys(g.callers)) {
		who = append(who, "by "+arn+": "+strconv.FormatInt(g.callers[arn].quantity, 10)+" tokens")
	}
	return who
}

// maxCallers bounds the callers of a group that are told apart.
const maxCallers = 32

func (g *group) called(by string, n int64) {
	if by == "" {
		return
	}
	b := g.callers[by]
	if b == nil {
		if g.callers == nil {
			g.callers = map[string]*bill{}
		}
		if len(g.callers) >= maxCallers {
			by = "(others)"
		}
		if b = g.callers[by]; b == nil {
			b = &bill{}
			g.callers[by] = b
		}
	}
	b.quantity += n
}
