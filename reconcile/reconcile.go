// Package reconcile holds the ledger against what AWS says: the lines of its bill (Cost and Usage Reports), or its logs of model
// invocations. It says by how much the two differ, for each profile and day, and why, as far as there is evidence for it. What the reasons amount
// to is, to the last digit, the whole difference.
//
// AWS's side is read first (Read), then the ledger's (Entry); Report has the answer. Memory grows with profiles, days and usage types, not with lines or
// calls; only the calls of invocation logs are told apart, on disk where they are many.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/ledger"
)

// Config says what is compared, and how.
type Config struct {
	Catalog *catalog.Catalog
	Rater   *cost.Rater // values what logs have and the ledger has not

	// Whole days of UTC; zero is what AWS's files cover.
	Since, Until time.Time

	// Upstreams are those that AWS bills; nil is all. Calls that others served are no part of its bill.
	Upstreams []string

	// Principals are the gateway's own at AWS, patterns with *; nil when that is not to be told.
	Principals []string

	// Accounts are the AWS accounts whose lines count; nil is all.
	Accounts []string

	// Profiles are AWS's inference profiles by ARN -> the ledger's: an ARN, its last part, or a name.
	Profiles map[string]string

	ByModel bool   // add up by model, whatever the profile
	Net     bool   // of bills: net costs, with discounts in them
	Temp    string // folder for what does not fit memory; "" is the system's
}

// maxCells bounds what is told apart: a profile, a day and a usage type make one cell, of some 500 bytes.
const maxCells = 500_000

// source is the kind of AWS's files.
type source uint8

const (
	unknown source = iota
	billed
	logged
)

// Comparison is one comparison. It is for one goroutine.
type Comparison struct {
	cfg    Config
	names  *catalog.Names
	zones  map[string]string // Regions by their codes
	mapped map[string]bool   // values of Config.Profiles

	memo      []byte // what theirs is looked up by
	source    source
	groups    map[groupKey]*group
	cells     int
	resources map[string]*resource
	theirs    map[string]*theirUsage // usage types of bills
	ourClass  map[ourUsage]class
	skipped   map[string]int64
	strange   map[string]bool // names of models that the catalog does not have, the first few

	from, to  time.Time // of the usage in AWS's files
	monthly   bool      // AWS's lines are of whole months
	noID      int64     // lines of usage without a resource
	sealed    bool
	calls     *joiner
	duplicate int64
	unvalued  int64

	// What people corrected in the ledger, there and in its own exports: AWS knows nothing of it.
	ourCorrections, theirCorrections corrections
}

type resource struct {
	arn, name string // ours; "" where the ledger does not know it
	kinds     [len(logKinds)]pool
}

type theirUsage struct {
	class   class
	usage   catalog.UsageType
	models  []string
	profile string // the key of what it went through
	none    bool   // no call of a model
}

type ourUsage struct{ usageType, region, model string }

// New returns an empty comparison.
func New(cfg Config) *Comparison {
	c := &Comparison{
		cfg: cfg, names: cfg.Catalog.Names(), zones: map[string]string{"EUW1": "eu-west-1"}, mapped: map[string]bool{}, groups: map[groupKey]*group{},
		resources: map[string]*resource{}, theirs: map[string]*theirUsage{}, ourClass: map[ourUsage]class{}, skipped: map[string]int64{}, strange: map[string]bool{},
	}
	for _, r := range catalog.Regions() {
		c.zones[r.Code] = r.ID
	}
	profiles := make(map[string]string, len(cfg.Profiles))
	for theirs, ours := range cfg.Profiles {
		ours = resourceKey(ours)
		profiles[resourceKey(theirs)], c.mapped[ours] = ours, true
	}
	c.cfg.Profiles = profiles
	return c
}

// Close removes what was laid on disk.
func (c *Comparison) Close() error {
	if c.calls == nil {
		return nil
	}
	return c.calls.close()
}

func day(t time.Time) int32 { return int32(floorDiv(t.Unix(), 86400)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func dayStart(d int32) time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// outside reports whether a time is none that is compared.
func (c *Comparison) outside(t time.Time) bool {
	return !c.cfg.Since.IsZero() && t.Before(c.cfg.Since) || !c.cfg.Until.IsZero() && !t.Before(c.cfg.Until)
}

// cover widens what AWS's files cover.
func (c *Comparison) cover(from, to time.Time) {
	if c.from.IsZero() || from.Before(c.from) {
		c.from = from
	}
	if to.After(c.to) {
		c.to = to
	}
}

// Period returns the days that are compared, and until when AWS's files have usage. Read comes before it.
func (c *Comparison) Period() (since, until, covered time.Time) {
	since, until = c.cfg.Since, c.cfg.Until
	if since.IsZero() && !c.from.IsZero() {
		since = dayStart(day(c.from))
	}
	if until.IsZero() && !c.to.IsZero() {
		until = dayStart(day(c.to.Add(-1)) + 1)
	}
	return since, until, c.to
}

func (c *Comparison) group(k groupKey) *group {
	g := c.groups[k]
	if g == nil {
		g = &group{key: k, cells: map[class]*cell{}}
		c.groups[k] = g
	}
	return g
}

func (c *Comparison) cell(g *group, of class) (*cell, error) {
	at := g.cells[of]
	if at == nil {
		if c.cells++; c.cells > maxCells {
			return nil, fmt.Errorf("more than %d profiles, days and usage types: compare fewer days at a time", maxCells)
		}
		at = g.cell(of)
	}
	return at, nil
}

// resourceKey is an ARN without its account, which a gateway and AWS may have different ones of.
func resourceKey(s string) string {
	a, err := arn.Parse(s)
	if err != nil {
		return s
	}
	a.Account = ""
	return a.String()
}

// abbreviation is how usage types name the models that ids may be, or other where they are of several names, or none.
func (c *Comparison) abbreviation(ids []string, other string) string {
	name := ""
	for _, id := range ids {
		m, ok := c.cfg.Catalog.Model(id)
		if !ok || name != "" && m.UsageName != name {
			return other
		}
		name = m.UsageName
	}
	return cmp.Or(name, other)
}

// modelsOf are the models behind a resource at AWS, as far as its ARN tells.
func (c *Comparison) modelsOf(resource string) []string {
	a, err := arn.Parse(resource)
	if err != nil {
		return nil
	}
	switch kind, id := a.Split(); kind {
	case "foundation-model":
		return c.names.Models(id)
	case "inference-profile":
		id, _, _ = strings.Cut(id, "/")
		if p, ok := c.cfg.Catalog.Profile(id); ok {
			return []string{p.ModelID}
		}
	}
	return nil
}

// profileOf is the key of what AWS's usage went through.
func (c *Comparison) profileOf(resource, region, model string, models []string) string {
	if c.cfg.ByModel {
		return cmp.Or(model, resource)
	}
	key := resourceKey(resource)
	if ours, ok := c.cfg.Profiles[key]; ok {
		return ours
	}
	if key == "" {
		if len(models) == 1 && region != "" {
			return arn.FoundationModel(region, models[0])
		}
		return strings.TrimSpace("(no resource) " + model)
	}
	return key
}

// ours is the key of what a call of the ledger went through.
func (c *Comparison) ours(e *ledger.Entry) string {
	if c.cfg.ByModel {
		return c.abbreviation([]string{e.ModelID}, e.ModelID)
	}
	key := resourceKey(e.ResourceARN)
	for _, name := range [...]string{key, key[strings.LastIndexByte(key, '/')+1:], e.ResourceName} {
		if name != "" && c.mapped[name] {
			key = name
			break
		}
	}
	return key
}

// classOf reads a usage type of the ledger.
func (c *Comparison) classOf(e *ledger.Entry, usageType string) class {
	k := ourUsage{usageType, e.Region, e.ModelID}
	if of, ok := c.ourClass[k]; ok {
		return of
	}
	code := catalog.RegionCode(e.Region)
	model := c.abbreviation([]string{e.ModelID}, "")
	of := class{kind: strings.TrimSuffix(usageType, cost.LostAttempt), unreadable: true}
	// A Region of one's own has a code that is none of AWS's.
	if rest, ok := strings.CutPrefix(of.kind, code+"-"+model); ok && model != "" {
		if u, why := catalog.ParseUsageType("OWN1-m" + rest); u.Model == "m" {
			of = class{model: model, region: code, kind: u.Kind}
			of.tier, of.global, of.long = cmp.Or(u.Tier, other(why)), u.Global, u.Long
		}
	}
	if u, why := catalog.ParseUsageType(of.kind); of.unreadable && u.Kind != "" && model == "" { // a model that the catalog has no more
		of = class{model: c.abbreviation(c.names.Models(u.Model), u.Model), region: u.Region, kind: u.Kind, tier: cmp.Or(u.Tier, other(why)), global: u.Global, long: u.Long}
	}
	if len(c.ourClass) < maxCells {
		c.ourClass[k] = of
	}
	return of
}

// other is what stands in a usage type behind its kind and is not known: it takes the place of a tier.
func other(why string) string {
	for _, before := range [...]string{"tokens-", "tokens of "} {
		if rest, ok := strings.CutPrefix(why, before); ok {
			return rest
		}
	}
	return ""
}

// seal ends AWS's side.
func (c *Comparison) seal() {
	if c.sealed {
		return
	}
	c.sealed = true
	if !c.monthly {
		return
	}
	groups := c.groups
	c.groups, c.cells = map[groupKey]*group{}, 0
	for _, k := range slices.SortedFunc(maps.Keys(groups), groupKey.compare) {
		from := groups[k]
		to := c.group(groupKey{k.profile, c.period(dayStart(k.day))})
		to.theirs.Add(&to.theirs, &from.theirs)
		to.lines, to.arn = to.lines+from.lines, cmp.Or(to.arn, from.arn)
		for of, cell := range from.cells {
			at := to.cell(of)
			at.theirs.add(&cell.theirs)
			at.around.add(&cell.around)
		}
		for by, b := range from.callers {
			to.called(by, b.quantity)
		}
		for r, b := range from.booked {
			if b == nil {
				continue
			}
			to.book(Reason(r), &b.amount, b.tokens, "")
			for _, d := range b.details {
				to.tell(Reason(r), d)
			}
		}
		c.cells += len(from.cells)
	}
}

func (b *bill) add(o *bill) {
	b.quantity, b.lines = b.quantity+o.quantity, b.lines+o.lines
	b.cost.Add(&b.cost, &o.cost)
}

func (k groupKey) compare(o groupKey) int {
	return cmp.Or(cmp.Compare(k.day, o.day), cmp.Compare(k.profile, o.profile))
}

// period is the day that t is compared by: that on which its month begins where AWS's lines are of months.
func (c *Comparison) period(t time.Time) int32 {
	if c.monthly {
		return day(cost.Month.Start(t))
	}
	return day(t)
}

// corrections are lines that are left out, and what they come to.
type corrections struct {
	lines  int64
	amount big.Int
}

func (c *corrections) add(amount *big.Int) {
	c.lines++
	c.amount.Add(&c.amount, amount)
}

// Entry adds a settled call of the ledger. Those of other days are passed over, and so is what people corrected.
func (c *Comparison) Entry(e *ledger.Entry) error {
	c.seal()
	since, until, covered := c.Period()
	at := e.Intent.Time
	if c.source == unknown {
		return errors.New("nothing of AWS's was read")
	}
	if at.Before(since) || !at.Before(until) || len(e.Charges) == 0 {
		return nil
	}
	if e.Status == ledger.Adjusted { // its charges are corrections, and it is no call
		for i := range e.Charges {
			c.ourCorrections.add(attoOf(e.Charges[i].Nano))
		}
		return nil
	}
	key := groupKey{c.ours(e), c.period(at)}
	r := c.resources[key.profile]
	if r == nil {
		if len(c.resources) >= maxCells {
			return fmt.Errorf("more than %d profiles", maxCells)
		}
		r = &resource{}
		c.resources[key.profile] = r
	}
	if c.cfg.ByModel {
		r.arn, r.name = key.profile, ""
	} else {
		r.arn, r.name = e.ResourceARN, e.ResourceName
	}
	isLost := func(l ledger.Charge) bool { return strings.HasSuffix(l.UsageType, cost.LostAttempt) }
	anyLost := slices.ContainsFunc(e.Charges, isLost)
	elsewhere := c.cfg.Upstreams != nil && !slices.Contains(c.cfg.Upstreams, e.Upstream)
	var lines []joinLine
	for i := range e.Charges {
		l := &e.Charges[i]
		if cost.IsCorrection(l.UsageType) {
			c.ourCorrections.add(attoOf(l.Nano))
			continue
		}
		of := c.classOf(e, l.UsageType)
		p := pool{l.Quantity, 1, l.Nano, l.Nano + l.Discount}
		lost := isLost(*l)
		in := measured
		switch {
		case elsewhere && !lost:
			in = buckets
		case !at.Before(covered):
			in = late
		case lost || e.Estimated && !anyLost:
			in = estimated
		case l.Unrated:
			in = unrated
		case day(e.Settlement.Time) > day(at):
			in = midnight
		}
		if c.source == logged {
			kind := slices.Index(logKinds[:], of.kind)
			if kind < 0 {
				c.skipped["charges of the ledger for what logs do not count"]++
				continue
			}
			lines = append(lines, joinLine{uint8(kind), uint8(in), p})
			r.kinds[kind].add(p)
			continue
		}
		g := c.group(key)
		cell, err := c.cell(g, of)
		if err != nil {
			return err
		}
		g.calls++
		cell.hold(in, p)
		g.ours.Add(&g.ours, attoOf(p.nano))
	}
	if c.source == logged && len(lines) > 0 {
		return c.calls.add(&joinRow{id: e.Intent.ID, profile: key.profile, day: key.day, lines: lines})
	}
	return nil
}

// hold adds charges of the ledger.
func (c *cell) hold(in int, p pool) {
	if in == buckets {
		c.elsewhere.add(p)
	} else {
		c.ours[in].add(p)
	}
}

// settle books all that the groups hold.
func (c *Comparison) settle() {
	order := slices.SortedFunc(maps.Keys(c.groups), groupKey.compare)
	for _, k := range order {
		if c.source == billed {
			c.groups[k].adopt()
		}
		c.groups[k].match()
	}
	for _, k := range order {
		c.groups[k].moves()
	}
	for _, k := range order {
		if o := c.groups[groupKey{k.profile, k.day + 1}]; o != nil {
			c.groups[k].nextDay(o)
		}
	}
	// What AWS has through something that the ledger knows nothing of on that day, and the ledger through something that AWS knows nothing of. Logs
	// have what the caller named: there is nothing to find.
	for i := 0; i < len(order) && c.source == billed; {
		n := i
		for n < len(order) && order[n].day == order[i].day {
			n++
		}
		var here, there []*group
		for _, k := range order[i:n] {
			switch g := c.groups[k]; {
			case g.calls > 0 && g.lines == 0:
				here = append(here, g)
			case g.calls == 0 && g.lines > 0:
				there = append(there, g)
			}
		}
		for _, o := range there {
			for _, g := range here {
				g.through(o)
			}
		}
		i = n
	}
	for _, k := range order {
		c.groups[k].rest()
	}
}

// Report is the outcome.
type Report struct {
	Source       string
	Since, Until time.Time
	Covered      time.Time // until when AWS's files have usage
	Monthly      bool      // days are those on which months begin
	Ledger, AWS  Amount
	Drift        Amount // AWS less the ledger
	Reasons      []Sum  // what the drift is made of; those that amount to nothing and moved nothing are left out
	Rows         []Row  // by day, then by profile
	Notes        []string
}

// Sum is what a reason amounts to.
type Sum struct {
	Reason Reason
	Amount Amount
	Tokens int64 // AWS's less the ledger's, or those that moved
}

// Row is one profile on one day.
type Row struct {
	Day               time.Time
	Profile, Name     string // the ledger's ARN and name where it knows it, else AWS's ARN
	Ledger, AWS       Amount
	Drift             Amount
	Items             []Item
	LedgerLines, Bill int64
}

// Item is a part of a row's drift.
type Item struct {
	Sum
	Details []string // evidence, as far as it is kept
	More    int      // what was not
}

// Report compares.
func (c *Comparison) Report(ctx context.Context) (*Report, error) {
	c.seal()
	if c.source == unknown {
		return nil, errors.New("nothing of AWS's was read")
	}
	r := &Report{Source: "Cost and Usage Report", Monthly: c.monthly}
	r.Since, r.Until, r.Covered = c.Period()
	if c.source == logged {
		byID, err := c.join(ctx)
		if err != nil {
			return nil, err
		}
		r.Source = "invocation logs, call by call"
		if !byID {
			r.Source = "invocation logs, by sums"
		}
	}
	c.settle()
	var total, ours, theirs, all big.Int
	var sums [reasons]booking
	for _, k := range slices.SortedFunc(maps.Keys(c.groups), groupKey.compare) {
		g := c.groups[k]
		row := Row{
			Day: dayStart(k.day), Profile: k.profile, Ledger: amountOf(&g.ours), AWS: amountOf(&g.theirs), LedgerLines: g.calls, Bill: g.lines,
			Drift: Amount{new(big.Int).Sub(&g.theirs, &g.ours)},
		}
		if known := c.resources[k.profile]; known != nil {
			row.Profile, row.Name = known.arn, known.name
		} else {
			row.Profile = cmp.Or(g.arn, k.profile)
		}
		var of big.Int
		for reason, b := range g.booked {
			if b == nil {
				continue
			}
			row.Items = append(row.Items, Item{Sum{Reason(reason), amountOf(&b.amount), b.tokens}, b.details, b.more})
			of.Add(&of, &b.amount)
			sums[reason].amount.Add(&sums[reason].amount, &b.amount)
			sums[reason].tokens += b.tokens
			sums[reason].more++
		}
		if of.Cmp(row.Drift.value()) != 0 {
			return nil, fmt.Errorf("%s on %s differs by %s, the reasons by %s", row.Profile, row.Day.Format(time.DateOnly), row.Drift, amountOf(&of))
		}
		r.Rows = append(r.Rows, row)
		ours.Add(&ours, &g.ours)
		theirs.Add(&theirs, &g.theirs)
		all.Add(&all, &of)
	}
	r.Ledger, r.AWS = amountOf(&ours), amountOf(&theirs)
	r.Drift = amountOf(total.Sub(&theirs, &ours))
	for reason := range sums {
		if sums[reason].more > 0 {
			r.Reasons = append(r.Reasons, Sum{Reason(reason), amountOf(&sums[reason].amount), sums[reason].tokens})
		}
	}
	r.Notes = c.notes()
	return r, nil
}

func (c *Comparison) notes() (notes []string) {
	if c.monthly {
		notes = append(notes, "AWS's lines are of whole months: so is the comparison")
	}
	if c.noID > 0 {
		notes = append(notes, fmt.Sprintf("%d lines of usage name no resource: calls without a profile, or an export without resource ids; compare by model where that is all of it", c.noID))
	}
	if c.duplicate > 0 {
		notes = append(notes, fmt.Sprintf("%d calls are in the logs twice and count once", c.duplicate))
	}
	if c.unvalued > 0 {
		notes = append(notes, fmt.Sprintf("%d calls of the logs have no known price and count as 0", c.unvalued))
	}
	for _, name := range slices.Sorted(maps.Keys(c.strange)) {
		notes = append(notes, fmt.Sprintf("the catalog has no model that AWS calls %q", name))
	}
	for _, why := range slices.Sorted(maps.Keys(c.skipped)) {
		notes = append(notes, fmt.Sprintf("left out: %d %s", c.skipped[why], why))
	}
	for _, of := range [...]struct {
		*corrections
		what string
	}{{&c.ourCorrections, "corrections that people made in the ledger"}, {&c.theirCorrections, "lines of such corrections in the files"}} {
		if of.lines > 0 {
			notes = append(notes, fmt.Sprintf("left out: %d %s, %s USD", of.lines, of.what, amountOf(&of.amount)))
		}
	}
	return notes
}

// glob reports whether s is of pattern, in which * stands for anything.
func glob(pattern, s string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !more {
		return s == pattern
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], next
	}
}
