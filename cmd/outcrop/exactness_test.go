package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/upstream"
)

// What follows finds out what calls cost a second time: from the texts of price lists, what the upstreams have told and nothing
// else, by exact rational numbers, as docs/prices.md and docs/routing.md say. Nothing of package cost or of the resolved
// catalog is in it.

// consumed is what was used of one call or attempt.
type consumed struct {
	input, output, read, write5m, write1h int64
	images, pictures, searches            int64
	imageType                             string
}

func (u consumed) usage() converse.Usage {
	return converse.Usage{
		InputTokens: u.input, OutputTokens: u.output, CacheReadInputTokens: u.read, CacheWriteInputTokens: u.write5m + u.write1h, CacheWrite1hInputTokens: u.write1h,
		Units: converse.Units{Images: u.images, ImageType: u.imageType, InputImages: u.pictures, SearchUnits: u.searches},
	}
}

// charged is one charge.
type charged struct {
	kind           string
	quantity       int64
	nano, discount int64
	unrated, lost  bool
	upstreams      bool // by a price of the upstream that served it
}

// book is price lists, the later over the former.
type book struct {
	prices    map[string][]catalog.PriceFact // by model
	discounts []catalog.DiscountFact
	exchange  []catalog.ExchangeFact
}

func (b *book) lay(f *catalog.Facts) {
	place := func(p *catalog.PriceFact) string {
		return strings.Join([]string{p.Scope, p.Region, p.Tier, p.Upstream, strconv.FormatBool(p.Contract != ""), p.Effective}, "|")
	}
	for _, p := range f.Prices {
		b.prices[p.Model] = append(slices.DeleteFunc(b.prices[p.Model], func(o catalog.PriceFact) bool { return place(&o) == place(&p) }), p)
	}
	b.discounts = append(b.discounts, f.Discounts...)
	b.exchange = append(b.exchange, f.Exchange...)
}

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("no number: " + text)
	}
	return r
}

// round rounds half to even.
func round(r *big.Rat) *big.Int {
	q, rest := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	if c := rest.Lsh(rest, 1).Cmp(r.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

var nanos = big.NewRat(1_000_000_000, 1)

// quote is a price as it holds at an instant.
type quote struct {
	*catalog.PriceFact
	rate *big.Rat // of exchange; nil for US dollars
}

// find returns the price of a place: the first of its fallbacks that has begun. Lists hold also before their first day.
func (b *book) find(model, scope, region, tier, upstream string, contract bool, at time.Time) *quote {
	today := at.UTC().Format(time.DateOnly)
	var early *catalog.PriceFact
	for _, place := range [][2]string{{scope, region}, {scope, ""}, {"region", region}, {"region", ""}} {
		var best, first *catalog.PriceFact
		for i := range b.prices[model] {
			p := &b.prices[model][i]
			if p.Scope != place[0] || p.Region != place[1] || p.Tier != tier || p.Upstream != upstream || (p.Contract != "") != contract {
				continue
			}
			if p.Effective <= today && (best == nil || best.Effective < p.Effective) {
				best = p
			}
			if first == nil || p.Effective < first.Effective {
				first = p
			}
		}
		if best != nil {
			return b.quote(best, today)
		}
		early = cmp.Or(early, first)
	}
	if early == nil || upstream != "" || contract {
		return nil
	}
	return b.quote(early, today)
}

func (b *book) quote(p *catalog.PriceFact, today string) *quote {
	q := &quote{PriceFact: p}
	if p.Currency != "" {
		var best, first *catalog.ExchangeFact
		for i := range b.exchange {
			x := &b.exchange[i]
			if x.Currency != p.Currency {
				continue
			}
			if x.Effective <= today && (best == nil || best.Effective < x.Effective) {
				best = x
			}
			if first == nil || x.Effective < first.Effective {
				first = x
			}
		}
		q.rate = rational(cmp.Or(best, first).USD)
	}
	return q
}

// usd is an amount in US dollars; of another currency it is rounded to a billionth.
func (q *quote) usd(dollars, own string) *big.Rat {
	switch {
	case q == nil:
	case dollars != "":
		return rational(dollars)
	case own != "" && q.rate != nil:
		r := rational(own)
		r.Mul(r, q.rate).Mul(r, nanos)
		return new(big.Rat).Quo(new(big.Rat).SetInt(round(r)), nanos)
	}
	return nil
}

// unit is the price of a piece, nil where there is none.
func (q *quote) unit(name string) *big.Rat {
	if q == nil {
		return nil
	}
	return q.usd(q.Units[name], q.OwnUnits[name])
}

// token is the price of one token of a kind.
func (q *quote) token(kind string, long bool) *big.Rat {
	if q == nil {
		return nil
	}
	if q.GPU.TokensPerHour > 0 {
		if kind == "read" {
			return new(big.Rat)
		}
		r := q.usd(q.GPU.PerHour, q.GPU.Own)
		return r.Mul(r, big.NewRat(q.GPU.GPUs, q.GPU.TokensPerHour))
	}
	tokens, own := q.Tokens, q.Own
	if long {
		tokens, own = q.Long, q.OwnLong
	}
	of := func(t catalog.TokensFact) string {
		return map[string]string{"input": t.Input, "output": t.Output, "read": t.CacheRead, "write": t.CacheWrite, "write1h": t.CacheWrite1h}[kind]
	}
	r := q.usd(of(tokens), of(own))
	if r != nil {
		r.Quo(r, big.NewRat(1_000_000, 1))
	}
	return r
}

func (q *quote) long() bool {
	return q != nil && (q.Long != catalog.TokensFact{} || q.OwnLong != catalog.TokensFact{})
}

// rate is the charges for what one call, or attempt, has used. took is its time; 0 is not known.
func (b *book) rate(m *exactModel, account, tier, by string, at time.Time, u consumed, took time.Duration, lost bool) (lines []charged) {
	if u == (consumed{}) {
		return nil
	}
	if tier == "default" {
		tier = ""
	}
	var list, contract *quote
	if by != "" {
		if list = b.find(m.model, m.scope, m.region, tier, by, false, at); list == nil && tier != "" {
			list = b.find(m.model, m.scope, m.region, "", by, false, at)
		}
	}
	upstreams := list != nil
	off := new(big.Rat)
	if !upstreams {
		list = b.find(m.model, m.scope, m.region, tier, "", false, at)
		contract = b.find(m.model, m.scope, m.region, tier, "", true, at)
		for _, d := range b.discounts {
			covers := len(d.Models) == 0 || slices.ContainsFunc(d.Models, func(p string) bool {
				prefix, any := strings.CutSuffix(p, "*")
				return p == m.model || any && strings.HasPrefix(m.model, prefix)
			})
			today := at.UTC().Format(time.DateOnly)
			if covers && (len(d.Accounts) == 0 || slices.Contains(d.Accounts, account)) && d.Effective <= today && (d.Until == "" || today < d.Until) {
				if r := rational(d.Percent); r.Cmp(off) > 0 {
					off = r
				}
			}
		}
	}
	charge := func(kind string, quantity int64, list, contract *big.Rat) {
		l := charged{kind: kind, quantity: quantity, unrated: true, lost: lost, upstreams: upstreams}
		amount := func(price *big.Rat) int64 {
			r := new(big.Rat).Mul(price, new(big.Rat).SetInt64(quantity))
			return round(r.Mul(r, nanos)).Int64()
		}
		switch {
		case contract != nil:
			l.nano, l.unrated = amount(contract), false
		case list != nil:
			paid := new(big.Rat).Sub(big.NewRat(1, 1), new(big.Rat).Quo(off, big.NewRat(100, 1)))
			l.nano, l.unrated = amount(paid.Mul(paid, list)), false
		}
		if list != nil && !l.unrated {
			l.discount = amount(list) - l.nano
		}
		lines = append(lines, l)
	}
	request := int64(0)
	if !lost && (list.unit("requests") != nil || contract.unit("requests") != nil) {
		request = 1
	}
	for _, of := range []struct {
		name  string
		count int64
	}{{u.imageType, u.images}, {"input-image", u.pictures}, {"searchunits", u.searches}, {"requests", request}} {
		if of.count > 0 {
			charge(of.name, of.count, list.unit(of.name), contract.unit(of.name))
		}
	}
	if list != nil && list.GPU.Calls > 0 {
		if !lost {
			ms := (took.Microseconds() + 999) / 1000
			perMS := list.usd(list.GPU.PerHour, list.GPU.Own)
			perMS.Mul(perMS, big.NewRat(list.GPU.GPUs, 3_600_000*list.GPU.Calls))
			if ms == 0 {
				perMS = nil
			}
			charge("gpu", ms, perMS, nil)
		}
		return lines
	}
	if len(lines) > 0 {
		sold := list
		if sold == nil {
			sold = b.find(m.model, m.scope, m.region, "", "", false, at)
		}
		if sold != nil && len(sold.Units) > 0 && sold.Tokens == (catalog.TokensFact{}) {
			return lines // it is sold by the piece
		}
	}
	above := int64(200_000)
	if list != nil && list.LongAbove > 0 {
		above = list.LongAbove
	}
	long := list.long() && u.input+u.read+u.write5m+u.write1h > above
	read, contractRead := list.token("read", long), contract.token("read", long)
	if read == nil && list.token("write", long) == nil && list.token("write1h", long) == nil { // not sold with a cache: what is read is input
		if read = list.token("input", long); contractRead == nil {
			contractRead = contract.token("input", long)
		}
	}
	for _, of := range []struct {
		kind  string
		count int64
	}{{"input", u.input}, {"output", u.output}, {"read", u.read}, {"write", u.write5m}, {"write1h", u.write1h}} {
		switch {
		case of.count <= 0:
		case of.kind == "read":
			charge("read", of.count, read, contractRead)
		default:
			charge(of.kind, of.count, list.token(of.kind, long), contract.token(of.kind, long))
		}
	}
	return lines
}

// exactModel is something that calls name.
type exactModel struct {
	call          string // modelId: an id or an ARN
	model         string
	scope, region string
	account       string
	kind          string // chat, image, rank, embed
	labels        map[string]string
}

// exactCall is what is known of a call beside the server.
type exactCall struct {
	model    *exactModel
	labels   map[string]string // what reports group by, by tag key or dimension
	at       time.Time
	took     time.Duration
	tier     string // that was asked for
	served   string // the tier that it was served in
	by       string // the upstream of the last attempt, "" where a crash left it open
	used     consumed
	lost     []string  // upstreams of attempts that may have cost their input
	recorded []charged // as they are now
}

// prompt is the text of all calls; helloTokens is what it counts as where nobody tells. See TestEndings of package invoke.
const (
	exactPrompt = "hello there"
	helloTokens = 6
	exactPiece  = "abcd efgh"
	pieceTokens = 2
)

func (c *exactCall) rate(b *book) []charged {
	lines := b.rate(c.model, c.model.account, c.served, c.by, c.at, c.used, c.took, false)
	for _, by := range c.lost {
		lines = append(lines, b.rate(c.model, c.model.account, c.tier, by, c.at, consumed{input: helloTokens}, 0, true)...)
	}
	return lines
}

// rerate is what `outcrop prices rerate` makes of the call.
func (c *exactCall) rerate(b *book) {
	if len(c.recorded) == 0 {
		return
	}
	took := c.took
	if c.by == "" {
		took = 0
	}
	var lines []charged
	if slices.ContainsFunc(c.recorded, func(l charged) bool { return !l.lost }) {
		lines = b.rate(c.model, c.model.account, c.served, c.by, c.at, c.used, took, false)
	}
	old := slices.DeleteFunc(slices.Clone(c.recorded), func(l charged) bool { return !l.lost })
	if slices.ContainsFunc(old, func(l charged) bool { return l.upstreams }) {
		lines = append(lines, old...)
	} else {
		for range old { // each is the input of one attempt; prices of upstreams are not looked for
			lines = append(lines, b.rate(c.model, c.model.account, c.tier, "", c.at, consumed{input: helloTokens}, 0, true)...)
		}
	}
	c.recorded = lines
}

// exactSums adds up what was charged: in all, and by the value of each label.
type exactSums struct {
	nano, discount big.Int
	charges        int64
	unrated        int64
	by             map[string]map[string]*big.Int
}

func sumExactly(calls [][]exactCall) *exactSums {
	s := &exactSums{by: map[string]map[string]*big.Int{}}
	var n big.Int
	for _, some := range calls {
		for i := range some {
			c := &some[i]
			kinds := map[string]bool{}
			var nano int64
			for _, l := range c.recorded {
				nano += l.nano
				s.nano.Add(&s.nano, n.SetInt64(l.nano))
				s.discount.Add(&s.discount, n.SetInt64(l.discount))
				kind := fmt.Sprint(l.kind, l.lost)
				if !kinds[kind] {
					kinds[kind] = true
					s.charges++
				}
				if l.unrated && !kinds["unrated"+kind] {
					kinds["unrated"+kind] = true
					s.unrated++
				}
			}
			if len(c.recorded) == 0 {
				continue
			}
			for _, labels := range []map[string]string{c.labels, c.model.labels} {
				for name, value := range labels {
					values := s.by[name]
					if values == nil {
						values = map[string]*big.Int{}
						s.by[name] = values
					}
					if values[value] == nil {
						values[value] = new(big.Int)
					}
					values[value].Add(values[value], n.SetInt64(nano))
				}
			}
		}
	}
	return s
}

// The ways in which an upstream answers.
type reply int

const (
	answers     reply = iota // wholly, and tells its usage
	guesses                  // wholly, and its provider estimates
	refuses                  // before it has worked on the call
	waits                    // until a time limit
	breaks                   // before the first event
	cuts                     // after the first events, with what it told at first
	cutsUntold               // likewise, and told nothing
	replyNumber int   = iota
)

// exactWorker calls, one call after the other, in a time of its own, and is the upstreams that answer.
type exactWorker struct {
	rand   *rand.Rand
	clock  atomic.Int64 // microseconds since 1970
	call   *exactCall
	known  consumed // what the next attempt uses
	script []reply
	cancel func() // the caller goes away while it is answered
	tier   string // that the answer tells
	tries  []try
}

type try struct {
	by string
	reply
	known consumed
}

func (w *exactWorker) now() time.Time { return time.UnixMicro(w.clock.Load()).UTC() }

// exactUpstream is one of the worker's upstreams.
type exactUpstream struct {
	*exactWorker
	name string
}

func (exactUpstream) Close() error                   { return nil }
func (exactUpstream) Speaks(n *upstream.Native) bool { return n.Format == "" }

func (u exactUpstream) next() try {
	t := try{u.name, refuses, u.known}
	if i := len(u.tries); i < len(u.script) {
		t.reply = u.script[i]
	}
	u.exactWorker.tries = append(u.exactWorker.tries, t)
	u.clock.Add(1 + u.rand.Int64N(5_000_000))
	return t
}

func (u exactUpstream) Send(_ context.Context, r *upstream.Request) (converse.Stream, error) {
	t := u.next()
	switch t.reply {
	case refuses:
		return nil, fault.New(fault.Throttled, "too many")
	case waits:
		return nil, fault.New(fault.ModelTimeout, "too long")
	}
	return func(yield func(converse.Event, error) bool) {
		if t.reply == breaks {
			yield(converse.Event{}, fault.New(fault.ModelStream, "broken"))
			return
		}
		usage := t.known.usage()
		begin := converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant, Served: converse.ServedTier(u.tier)}
		if t.reply == cuts {
			begin.Usage = usage
			begin.Usage.OutputTokens = 0
		}
		piece := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: exactPiece}
		end := converse.Event{Kind: converse.Metadata, Usage: usage, Estimated: t.reply == guesses}
		events := []converse.Event{begin, piece, {Kind: converse.BlockStop}, {Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, end}
		if r.Native != nil && r.Body == nil {
			events = []converse.Event{{Kind: converse.Chunk, Native: []byte(`{}`)}, end}
		}
		for i, e := range events {
			if i == 2 && (t.reply == cuts || t.reply == cutsUntold) {
				yield(converse.Event{}, fault.New(fault.ModelStream, "cut"))
				return
			}
			if i == 1 && u.cancel != nil {
				u.cancel()
			}
			if !yield(e, nil) {
				return
			}
		}
	}, nil
}

func (u exactUpstream) Embed(context.Context, *upstream.Request) (*converse.Embeddings, error) {
	t := u.next()
	switch t.reply {
	case answers:
		return &converse.Embeddings{Float: [][]float32{{1}}, Usage: converse.Usage{InputTokens: t.known.input}}, nil
	case waits:
		return nil, fault.New(fault.ModelTimeout, "too long")
	}
	return nil, fault.New(fault.Throttled, "too many")
}

// tokens draws a count: most are small, some are odd, and some go beyond every step of prices.
func (w *exactWorker) tokens() int64 {
	switch w.rand.IntN(20) {
	case 0:
		return 1
	case 1:
		return w.rand.Int64N(1_000_000)
	case 2:
		return 199_999 + w.rand.Int64N(3)
	case 3:
		return 4_999 + w.rand.Int64N(3)
	}
	return 1 + w.rand.Int64N(3000)
}

// draw decides what the next call is.
func (w *exactWorker) draw(models []*exactModel) {
	r := w.rand
	c := w.call
	c.model = models[r.IntN(len(models))]
	c.labels = map[string]string{}
	w.known, w.script, w.cancel, w.tier, w.tries = consumed{}, nil, nil, "", nil
	u := &w.known
	switch c.model.kind {
	case "image":
		u.images, u.imageType = 1+r.Int64N(4), []string{"T2I-1024-Standard", "T2I-2048-Premium", "T2I-512-Standard"}[r.IntN(3)]
	case "rank":
		u.searches = 1 + r.Int64N(30)
	case "embed":
		u.input = w.tokens()
	default:
		u.input, u.output = w.tokens(), w.tokens()
		switch r.IntN(6) { // the patterns of caches
		case 0:
			u.read = w.tokens()
		case 1:
			u.write5m = w.tokens()
		case 2:
			u.write1h = w.tokens()
		case 3:
			u.read, u.write5m, u.write1h = w.tokens(), w.tokens(), w.tokens()
		}
		c.tier = []string{"", "", "", "", "flex", "priority", "batch", "default"}[r.IntN(8)]
		if r.IntN(10) == 0 {
			w.tier = []string{"default", "flex", "priority"}[r.IntN(3)]
		}
	}
	for r.IntN(4) == 0 && len(w.script) < 3 { // attempts before the last one
		w.script = append(w.script, []reply{refuses, waits, breaks}[r.IntN(3)])
	}
	last := answers
	if c.model.kind == "chat" && r.IntN(3) == 0 {
		last = reply(r.IntN(replyNumber))
	}
	w.script = append(w.script, last)
}

// settle finds out what the attempts have used.
func (w *exactWorker) settle() {
	c := w.call
	if len(w.tries) == 0 {
		return
	}
	for i, t := range w.tries[:len(w.tries)-1] {
		if t.reply == waits || t.reply == breaks {
			c.lost = append(c.lost, w.tries[i].by)
		}
	}
	t := w.tries[len(w.tries)-1]
	c.by = t.by
	c.served = c.tier
	switch t.reply {
	case answers, guesses, cuts, cutsUntold:
		if w.tier != "" && c.model.kind == "chat" {
			c.served = w.tier
		}
	}
	switch t.reply {
	case answers, guesses:
		c.used = t.known
	case cuts:
		c.used = t.known
		c.used.output = pieceTokens
	case cutsUntold:
		c.used = consumed{input: helloTokens, output: pieceTokens}
	case waits, breaks:
		c.used = consumed{input: helloTokens}
	}
}

// exactFacts is a price list of a test's own, over the one that is built in. Days count from first.
func exactFacts(first time.Time) *catalog.Facts {
	day := func(n int) string { return first.AddDate(0, 0, n).Format(time.DateOnly) }
	tokens := func(in, out, read, write, write1h string) catalog.TokensFact {
		return catalog.TokensFact{Input: in, Output: out, CacheRead: read, CacheWrite: write, CacheWrite1h: write1h}
	}
	model := func(id, name string, output string) catalog.ModelFact {
		return catalog.ModelFact{
			ID: id, Name: name, Provider: "Acme", Input: []string{"TEXT"}, Output: []string{output}, Streaming: output == "TEXT", OnDemand: true,
			Regions: []string{"eu-central-1", "us-east-1"}, Status: "ACTIVE", ContextTokens: 1_000_000, MaxOutputTokens: 4096,
		}
	}
	const haiku, sonnet, nova, llama = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-2-lite-v1:0", "acme.llama-v1:0"
	return &catalog.Facts{
		Date: day(0),
		Models: []catalog.ModelFact{
			model("acme.chat-v1:0", "Acme Chat", "TEXT"), model("acme.yen-v1:0", "Acme Yen", "TEXT"), model("acme.free-v1:0", "Acme Unknown", "TEXT"), model(llama, "Acme Llama", "TEXT"),
			model("acme.tokens-v1:0", "Acme Tokens", "TEXT"), model("acme.paint-v1:0", "Acme Paint", "IMAGE"), model("acme.rank-v1:0", "Acme Rank", "TEXT"), model("acme.embed-v1:0", "Acme Embed", "EMBEDDING"),
		},
		Prices: []catalog.PriceFact{
			// Versions, tiers and Regions, with digits that do not come out even.
			{Model: haiku, Scope: "region", Effective: day(0), Tokens: tokens("0.25", "1.25", "0.025", "0.3125", "")},
			{Model: haiku, Scope: "region", Effective: day(100), Tokens: tokens("0.2500001", "1.333333333", "0.033333333", "0.3125", "0.500000001")},
			{Model: haiku, Scope: "region", Region: "eu-central-1", Effective: day(50), Tokens: tokens("0.2777", "1.3888", "", "", "")},
			{Model: haiku, Scope: "us", Effective: day(30), Tokens: tokens("0.24", "1.2", "0.024", "0.3", "0.48")},
			{Model: haiku, Scope: "region", Tier: "flex", Effective: day(0), Tokens: tokens("0.125", "0.625", "0.0125", "0.15625", "")},
			{Model: haiku, Scope: "region", Tier: "priority", Effective: day(0), Tokens: tokens("0.4375", "2.1875", "", "", "")},
			{Model: haiku, Scope: "us", Contract: "acme-1", Effective: day(120), Tokens: tokens("0.211111111", "", "0.02", "", "")},
			{Model: sonnet, Scope: "global", Tier: "batch", Effective: day(0), Tokens: tokens("1.5", "7.5", "0.15", "", ""), Long: tokens("3", "11.25", "0.3", "", "")},
			{Model: nova, Scope: "global", Tier: "flex", Effective: day(60), Tokens: tokens("0.15", "1.25", "", "", "")},
			{Model: "acme.chat-v1:0", Scope: "region", Effective: day(0), Tokens: tokens("0.000000001", "0.000999999", "", "", ""), Units: map[string]string{"requests": "0.000012345"}},
			{Model: "acme.yen-v1:0", Scope: "region", Effective: day(10), Currency: "JPY", Own: tokens("15.123457", "61.7", "1.51", "", ""), OwnLong: tokens("31.1", "99.9", "3.3", "", ""), LongAbove: 5_000},
			{Model: llama, Scope: "region", Effective: day(0), Tokens: tokens("0.22", "0.22", "", "", "")},
			{Model: llama, Scope: "region", Upstream: "a", Effective: day(20), GPU: catalog.GPUFact{PerHour: "2.49", GPUs: 8, Calls: 7}},
			{Model: "acme.tokens-v1:0", Scope: "region", Effective: day(0), Tokens: tokens("0.3", "0.3", "", "", "")},
			{Model: "acme.tokens-v1:0", Scope: "region", Upstream: "b", Effective: day(40), GPU: catalog.GPUFact{PerHour: "3.333", GPUs: 3, TokensPerHour: 7_000_001}},
			{Model: "acme.paint-v1:0", Scope: "region", Effective: day(0), Units: map[string]string{"T2I-1024-Standard": "0.04", "T2I-2048-Premium": "0.080000001"}},
			{Model: "acme.rank-v1:0", Scope: "region", Effective: day(0), Units: map[string]string{"searchunits": "0.0019999"}},
			{Model: "acme.embed-v1:0", Scope: "region", Effective: day(0), Tokens: catalog.TokensFact{Input: "0.0199"}},
		},
		Discounts: []catalog.DiscountFact{
			{Name: "edp", Percent: "12.3457", Models: []string{"anthropic.*", "acme.chat-v1:0"}, Effective: day(70)},
			{Name: "all", Percent: "3.1", Accounts: []string{rootAccount}, Effective: day(150), Until: day(250)},
		},
		Exchange: []catalog.ExchangeFact{{Currency: "JPY", USD: "0.0066333", Effective: day(10)}, {Currency: "JPY", USD: "0.0064111", Effective: day(200)}},
	}
}

// TestExactness: what the ledger, Cost Explorer and `outcrop costs` say that calls cost is, to the nano-dollar, what they cost: of every
// kind of ending, cache, tier, length, scope and Region, with contracts and discounts, before and after they are rated anew.
// OUTCROP_EXACTNESS_CALLS is how many.
func TestExactness(t *testing.T) {
	calls := 3_000
	if raceEnabled {
		calls = 1_000
	}
	if s := os.Getenv("OUTCROP_EXACTNESS_CALLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		calls = n
	}
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", rigKey)
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", rigSecret)
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	last := time.Now().UTC().Truncate(time.Hour)
	first := cost.Month.Start(last).AddDate(0, -12, 0)

	// The server's configuration, and its price list.
	own := exactFacts(first)
	text, err := json.Marshal(own)
	if err == nil {
		err = os.WriteFile(filepath.Join(base, "facts.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	config := file(t, "outcrop.yaml", "listen: 127.0.0.1:0\nlog: {level: error}\nupstreams:\n  - {name: a, provider: simulated}\n  - {name: b, provider: simulated}\ncatalog:\n  files: ["+
		strconv.Quote(filepath.Join(base, "facts.json"))+"]\n")
	c, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := c.catalog()
	if err != nil {
		t.Fatal(err)
	}
	built, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	prices := &book{prices: map[string][]catalog.PriceFact{}}
	prices.lay(built)
	prices.lay(own)

	st, _, err := openFolder(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := profile.Open(t.Context(), profile.Config{Store: st.Profiles(), Catalog: cat, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	models := exactModels(t, profiles)
	rater := cost.NewRater(cat)
	book, err := ledger.New(t.Context(), ledger.Config{Dir: filepath.Join(dir, "journal"), Index: st, Recover: invoke.Recovered(cat, rater)})
	if err != nil {
		t.Fatal(err)
	}

	// The calls.
	const workers = 64 // so that many share a sync
	began := time.Now()
	all := make([][]exactCall, workers+1)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			w := &exactWorker{rand: rand.New(rand.NewPCG(uint64(n), 6))}
			w.clock.Store(first.UnixMicro())
			v := invoke.New(invoke.Config{
				Profiles: profiles, Guard: iam.NewGuard(iam.GuardConfig{}), Ledger: book, Rater: rater, Clock: w.now, Drain: time.Minute,
				Upstreams: []*upstream.Upstream{{Name: "a", Provider: exactUpstream{w, "a"}}, {Name: "b", Provider: exactUpstream{w, "b"}}},
			})
			each := (calls + n) / workers
			all[n] = make([]exactCall, each)
			step := last.Sub(first).Microseconds() / int64(each+1)
			for i := range each {
				if at := first.UnixMicro() + int64(i)*step + w.rand.Int64N(step); at > w.clock.Load() {
					w.clock.Store(at)
				}
				w.call = &all[n][i]
				w.draw(models)
				w.do(t, v)
				if t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	// Some that a crash leaves open.
	for i := range calls/200 + 20 {
		m := models[i%len(models)]
		if m.kind != "chat" {
			continue
		}
		in := ledger.Intent{
			ID: uuid.New(), Time: last.Add(-time.Duration(i) * time.Minute), Account: m.account, Principal: "arn:aws:iam::" + m.account + ":user/crashed", Region: m.region, Operation: "ConverseStream",
			ResourceARN: "arn:crashed", ModelID: m.model, Scope: m.scope, Tier: []string{"", "flex"}[i%2], EstimatedInputTokens: int64(1 + 7*i), MaxOutputTokens: 100,
		}
		if err := book.Open(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
		open := exactModel{call: m.call, model: m.model, scope: m.scope, region: m.region, account: m.account, kind: "chat", labels: map[string]string{"REGION": m.region, "Project": ""}}
		all[workers] = append(all[workers], exactCall{
			model: &open, at: in.Time, tier: in.Tier, served: in.Tier, used: consumed{input: in.EstimatedInputTokens}, labels: map[string]string{"OPERATION": in.Operation, cost.PrincipalKey: in.Principal, cost.MetadataPrefix + "feature": ""},
		})
	}
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := book.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	began = time.Now()
	for _, some := range all {
		for i := range some {
			some[i].recorded = some[i].rate(prices)
		}
	}
	t.Logf("%d calls in %v, %.0f a second; rated a second time in %v", calls, took.Round(time.Millisecond), float64(calls)/took.Seconds(), time.Since(began).Round(time.Millisecond))

	// The server finds what the crash left.
	s := running(t, c, dir, t.Output())
	if err := s.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := exactReports{s: s, dir: dir, config: config, first: first, last: last}
	began = time.Now()
	x.check(t, all)
	t.Logf("reports: %d in %v", x.reports, time.Since(began).Round(time.Millisecond))

	// Other prices, and what had none.
	later := &catalog.Facts{Date: last.Format(time.DateOnly), Prices: []catalog.PriceFact{
		{Model: "anthropic.claude-3-haiku-20240307-v1:0", Scope: "us", Effective: first.AddDate(0, 0, 200).Format(time.DateOnly), Tokens: catalog.TokensFact{Input: "0.231", Output: "1.17", CacheRead: "0.02", CacheWrite: "0.29", CacheWrite1h: "0.47"}},
		{Model: "acme.free-v1:0", Scope: "region", Effective: first.Format(time.DateOnly), Tokens: catalog.TokensFact{Input: "0.7", Output: "0.9", CacheRead: "0.07", CacheWrite: "0.8", CacheWrite1h: "1.4"}},
	}}
	if text, err = json.Marshal(later); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	if _, err := run(t.Context(), "prices", "import", file(t, "later.json", string(text)), "--config", config, "--data", dir); err != nil {
		t.Fatal(err)
	}
	said, err := run(t.Context(), "prices", "rerate", "--since", first.Format(time.DateOnly), "--config", config, "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s in %v", strings.TrimSpace(said), time.Since(began).Round(time.Millisecond))
	prices.lay(later)
	changed := 0
	for _, some := range all {
		for i := range some {
			if c := &some[i]; c.model.account == rootAccount {
				old := c.recorded
				c.rerate(prices)
				if !slices.Equal(old, c.recorded) {
					changed++
				}
			}
		}
	}
	if want := fmt.Sprintf("%d of ", changed); changed == 0 || !strings.Contains(said, want) {
		t.Errorf("rated anew: %q, want %q in it", said, want)
	}
	x.check(t, all)
}

// exactModels is what calls name, in two accounts.
func exactModels(t *testing.T, profiles *profile.Service) (all []*exactModel) {
	add := func(region, call, kind string) {
		id, scope := call, "region"
		if i := strings.IndexByte(call, '.'); slices.Contains([]string{"us", "eu", "jp", "apac", "global"}, call[:i]) {
			id, scope = call[i+1:], call[:i]
		}
		for n, account := range []string{rootAccount, "222222222222"} {
			m := &exactModel{call: call, model: id, scope: scope, region: region, account: account, kind: kind, labels: map[string]string{"REGION": region, "Project": ""}}
			all = append(all, m)
			source := "arn:aws:bedrock:" + region + "::foundation-model/" + id
			if scope != "region" {
				source = "arn:aws:bedrock:" + region + ":" + account + ":inference-profile/" + call
			}
			project := []string{"Alpha", "Beta", "雪 \"x\""}[(len(all)/2+n)%3]
			p, err := profiles.Create(t.Context(), account, region, profile.CreateRequest{
				Name: fmt.Sprint("team-", len(all)), Source: source, Tags: []profile.Tag{{Key: "Project", Value: project}, {Key: "CostCenter", Value: fmt.Sprint(100 + len(all)%5)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			own := *m
			own.call, own.labels = p.ARN, map[string]string{"REGION": region, "Project": project}
			all = append(all, &own)
		}
	}
	const haiku, sonnet, nova = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-2-lite-v1:0"
	add("us-east-1", haiku, "chat")
	add("eu-central-1", haiku, "chat")
	add("us-east-1", "us."+haiku, "chat")
	add("eu-central-1", "eu."+haiku, "chat")
	add("ap-northeast-1", "apac."+haiku, "chat")
	add("us-east-1", "us."+sonnet, "chat")
	add("ap-northeast-1", "jp."+sonnet, "chat")
	add("eu-central-1", "global."+sonnet, "chat")
	add("us-east-1", "us."+nova, "chat")
	add("ap-northeast-1", "global."+nova, "chat")
	for _, name := range []string{"chat", "yen", "free", "llama", "tokens"} {
		add("us-east-1", "acme."+name+"-v1:0", "chat")
	}
	add("us-east-1", "acme.paint-v1:0", "image")
	add("eu-central-1", "acme.rank-v1:0", "rank")
	add("us-east-1", "acme.embed-v1:0", "embed")
	return all
}

// do makes the call that was drawn.
func (w *exactWorker) do(t *testing.T, v *invoke.Invoker) {
	c, r := w.call, w.rand
	c.at = w.now()
	user := fmt.Sprint("user/u", r.IntN(7))
	principal := "arn:aws:iam::" + c.model.account + ":" + user
	if r.IntN(3) == 0 {
		principal = "arn:aws:sts::" + c.model.account + ":assumed-role/app/s" + strconv.Itoa(r.IntN(4))
	}
	stream := c.model.kind == "chat" && r.IntN(2) == 0
	call := &invoke.Call{
		ID: uuid.New(), Start: c.at, Operation: map[bool]string{false: "Converse", true: "ConverseStream"}[stream], ModelID: c.model.call, Stream: stream, Tier: c.tier,
		Caller: &iam.Caller{Account: c.model.account, ARN: principal, Root: true, Region: c.model.region},
	}
	feature := ""
	if r.IntN(2) == 0 {
		feature = []string{"chat", "search", "日本"}[r.IntN(3)]
		call.Metadata = map[string]string{"feature": feature}
	}
	hello := exactPrompt
	switch c.model.kind {
	case "chat":
		call.Body = &converse.Request{Messages: []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: &hello}}}}}
	case "embed":
		call.Operation, call.Embedding = "InvokeModel", &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: hello}}}
	default:
		call.Operation = "InvokeModel"
		call.Native = &upstream.Native{Operation: "InvokeModel", Body: []byte(`{"prompt":"hello there"}`)}
		for i, s := range w.script { // what such an attempt may have cost is another test's
			if s != answers {
				w.script[i] = refuses
			}
		}
	}
	if c.model.kind == "embed" { // of "hello there" alone there are other counts
		for i, s := range w.script {
			if s != answers {
				w.script[i] = refuses
			}
		}
	}
	c.labels["OPERATION"], c.labels[cost.PrincipalKey], c.labels[cost.MetadataPrefix+"feature"] = call.Operation, principal, feature
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leaves := r.IntN(10) == 0
	if leaves && r.IntN(2) == 0 {
		w.cancel = cancel
	}
	if stream {
		s, err := v.Stream(ctx, call)
		if err != nil {
			t.Errorf("%s: %v", c.model.call, err)
			return
		}
		for range s.Events {
			if leaves && w.cancel == nil {
				break
			}
		}
	} else if _, err := v.Do(ctx, call); err != nil && len(w.tries) == 0 && !fault.Is(err, fault.Throttled) && !fault.Is(err, fault.Unavailable) {
		t.Errorf("%s: %v", c.model.call, err)
		return
	}
	c.took = w.now().Sub(c.at)
	w.settle()
}

// exactReports asks for reports, of everything that can be told apart.
type exactReports struct {
	s           *server
	dir, config string
	first, last time.Time
	reports     int
}

func (x *exactReports) check(t *testing.T, all [][]exactCall) {
	t.Helper()
	if err := x.s.store.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
	for _, account := range []string{rootAccount, "222222222222"} {
		mine := make([][]exactCall, len(all))
		for i := range all {
			for _, c := range all[i] {
				if c.model.account == account {
					mine[i] = append(mine[i], c)
				}
			}
		}
		want := sumExactly(mine)
		for _, bucket := range []cost.Bucket{cost.Whole, cost.Hour, cost.Day, cost.Month} {
			for _, split := range []bool{false, true} {
				var sum cost.Sum
				q := cost.Query{Account: account, Start: x.first, End: x.last.Add(48 * time.Hour), Bucket: bucket, Split: split}
				for p, err := range cost.Report(t.Context(), x.s.store, q, nil) {
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range p.Groups {
						sum.Add(g.Sum)
					}
				}
				x.reports++
				if want.nano.Cmp(big.NewInt(sum.Nano)) != 0 || want.discount.Cmp(big.NewInt(sum.Discount)) != 0 || sum.Unrated != want.unrated || sum.Charges != want.charges {
					t.Errorf("account %s by %v (split %v): the ledger has %d nano-USD, %d of discounts, %d charges, %d without a price; want %v, %v, %d, %d", account, bucket, split,
						sum.Nano, sum.Discount, sum.Charges, sum.Unrated, &want.nano, &want.discount, want.charges, want.unrated)
				}
			}
		}
		if account == rootAccount {
			t.Logf("account %s: %v nano-USD, discounts of %v, %d charges, %d of them without a price", account, &want.nano, &want.discount, want.charges, want.unrated)
			x.explorer(t, want)
			x.costs(t, want)
		}
	}
}

// explorer asks Cost Explorer: by every dimension and tag, by pairs of them, by month, day and hour.
func (x *exactReports) explorer(t *testing.T, want *exactSums) {
	address := x.s.listener.Addr().String()
	dimension := func(key string) string { return `{"Type":"DIMENSION","Key":"` + key + `"}` }
	tag := func(key string) string { return `{"Type":"TAG","Key":"` + key + `"}` }
	var groups []string
	for _, key := range []string{"SERVICE", "REGION", "USAGE_TYPE", "OPERATION", "RESOURCE_ID", "LINKED_ACCOUNT"} {
		groups = append(groups, dimension(key))
	}
	for _, key := range []string{"Project", "CostCenter", "nobody", cost.PrincipalKey, cost.SessionNameKey, cost.ModelKey, cost.ProfileNameKey, cost.MetadataPrefix + "feature", cost.PrincipalTagPrefix + "team"} {
		groups = append(groups, tag(key))
	}
	others := []string{"AZ", "INSTANCE_TYPE", "PURCHASE_TYPE", "PLATFORM", "TENANCY", "RECORD_TYPE", "LEGAL_ENTITY_NAME", "DEPLOYMENT_OPTION", "DATABASE_ENGINE", "CACHE_ENGINE", "BILLING_ENTITY", "OPERATING_SYSTEM"}
	end := cost.Day.Next(x.last).Format(time.DateOnly)
	ask := func(granularity string, start string, by ...string) map[string]*big.Int {
		x.reports++
		sums := map[string]*big.Int{}
		body := `{"TimePeriod":{"Start":"` + start + `","End":"` + end + `"},"Granularity":"` + granularity + `","Metrics":["UnblendedCost"],"GroupBy":[` + strings.Join(by, ",") + `]`
		for token := ""; ; {
			page := body
			if token != "" {
				page += `,"NextPageToken":` + strconv.Quote(token)
			}
			a := costExplorer(t, address, "GetCostAndUsage", page+"}")
			for _, r := range a.ResultsByTime {
				add := func(key, amount string) {
					if sums[key] == nil {
						sums[key] = new(big.Int)
					}
					sums[key].Add(sums[key], big.NewInt(nanoUSD(t, amount)))
				}
				if len(by) == 0 {
					add("", r.Total["UnblendedCost"].Amount)
				}
				for _, g := range r.Groups {
					add(strings.Join(g.Keys, "\n"), g.Metrics["UnblendedCost"].Amount)
				}
			}
			if token = a.NextPageToken; token == "" {
				return sums
			}
		}
	}
	total := func(granularity string, by ...string) map[string]*big.Int {
		sums, sum := ask(granularity, x.first.Format(time.DateOnly), by...), new(big.Int)
		for _, n := range sums {
			sum.Add(sum, n)
		}
		if sum.Cmp(&want.nano) != 0 {
			t.Errorf("Cost Explorer, %s by %v: %v nano-USD, want %v", granularity, by, sum, &want.nano)
		}
		return sums
	}
	total("MONTHLY")
	total("DAILY")
	for _, key := range others {
		total("MONTHLY", dimension(key))
	}
	for i, g := range groups {
		total("MONTHLY", g)
		total("DAILY", g)
		for _, h := range groups[i+1:] {
			total("MONTHLY", g, h)
		}
	}
	total("HOURLY")
	total("HOURLY", tag("Project"))
	// The values of what the calls were, one by one.
	for key, values := range want.by {
		group, prefix := tag(key), key+"$"
		if key == "REGION" || key == "OPERATION" {
			group, prefix = dimension(key), ""
		}
		got := total("MONTHLY", group)
		for value, n := range values {
			if g := got[prefix+value]; g == nil || g.Cmp(n) != 0 {
				t.Errorf("Cost Explorer, %s = %q: %v nano-USD, want %v", key, value, g, n)
			}
		}
		if len(got) > len(values) {
			t.Errorf("Cost Explorer has values of %s: %v, want %v", key, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(values)))
		}
	}
}

// costs asks `outcrop costs`.
func (x *exactReports) costs(t *testing.T, want *exactSums) {
	names := []string{"profile", "profile-arn", "model", "region", "service", "operation", "usage-type", "caller", "session", "caller-tag:team", "tag:Project", "metadata:feature"}
	ask := func(args ...string) {
		t.Helper()
		x.reports++
		args = append([]string{"costs", "--data", x.dir, "--config", x.config, "--since", x.first.Format(time.DateOnly), "--json"}, args...)
		out, err := printed(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Rows []struct {
				NanoUSD int64 `json:"nano_usd"`
			} `json:"rows"`
			Total struct {
				USD string `json:"usd"`
			} `json:"total"`
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatal(err)
		}
		sum := new(big.Int)
		for _, r := range doc.Rows {
			sum.Add(sum, big.NewInt(r.NanoUSD))
		}
		if sum.Cmp(&want.nano) != 0 || nanoUSD(t, doc.Total.USD) != want.nano.Int64() {
			t.Errorf("%q: rows of %v nano-USD, a total of %s, want %v", args, sum, doc.Total.USD, &want.nano)
		}
	}
	for i, n := range names {
		ask("--by", n)
		ask("--by", n, "--every", []string{"day", "month"}[i%2], "--tagged", []string{"then", "now"}[i/2%2])
		ask("--by", n, "--by", names[(i+5)%len(names)], "--by", names[(i+7)%len(names)])
	}
	ask("--every", "month", "--zone", "America/New_York", "--since", x.first.Add(-24*time.Hour).Format(time.DateOnly))
}
