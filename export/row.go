package export

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/ledger"
)

// row is one line of an export: what was charged, and what the columns of either format need beside it. It is used again for the
// next line.
type row struct {
	*cost.Charges
	start, end  time.Time // of the billing period
	until       time.Time // the end of the row's own time
	model       string    // as people call it: "Claude 3 Haiku"; the id where the catalog does not know it
	provider    string    // "Anthropic"; "" where the catalog does not know it
	meter       string    // "Input tokens"
	place       string    // the Region's name: "US East (N. Virginia)"
	session     string    // the name of a role's session
	tags        []tag     // that reports show: the profile's, the caller's and the call's, by one key each
	profileTags int       // of tags, how many are the profile's
}

type tag = ledger.Tag

// rows makes rows.
type rows struct {
	catalog *catalog.Catalog
	daily   bool
	tagging cost.Tagging
	places  map[string]string
	row     func(*cost.Charges) *row
}

func newRows(cat *catalog.Catalog, period time.Time, daily bool, inactive map[string]bool) *rows {
	m := &rows{catalog: cat, daily: daily, tagging: cost.Tagging{Inactive: inactive}, places: map[string]string{}}
	for _, r := range catalog.Regions() {
		m.places[r.ID] = strings.ReplaceAll(r.Name, "ã", "a") // as AWS's price lists write São Paulo: some tools take ASCII alone
	}
	r := &row{start: period, end: cost.Month.Next(period)}
	m.row = func(c *cost.Charges) *row {
		m.fill(r, c)
		return r
	}
	return m
}

func (m *rows) fill(r *row, c *cost.Charges) {
	r.Charges = c
	if m.daily {
		r.until = cost.Day.Next(c.Start)
	} else {
		r.until = cost.Hour.Next(c.Start)
	}
	r.model, r.provider = c.Resource.ModelID, ""
	if model, ok := m.catalog.Model(c.Resource.ModelID); ok {
		r.model, r.provider = model.Name, model.Provider
	}
	r.meter = cost.Meter(c.UsageType)
	r.place = cmp.Or(m.places[c.Region], c.Region)
	r.session, _ = m.tagging.Tag(c, cost.SessionNameKey)
	r.tags, r.profileTags = r.tags[:0], 0
	m.tagging.Keys(c, func(key string) {
		for i := range r.tags {
			if r.tags[i].Key == key { // of the profile: nothing else has a key that could be
				return
			}
		}
		value, _ := m.tagging.Tag(c, key)
		r.tags = append(r.tags, tag{Key: key, Value: value})
	})
	for _, t := range r.tags {
		if !cost.OfCaller(t.Key) {
			r.profileTags++
		}
	}
}

// quantity is what is paid for, in thousandths of unit.
func (r *row) quantity() (thousandths int64, unit string) {
	if r.Pieces != 0 || r.Unit != "" {
		return r.Pieces * 1000, r.Unit
	}
	return r.Quantity, ""
}

// list is what the row costs by the list, in nano-USD.
func (r *row) list() int64 { return r.Nano + r.Discount }

// price is an amount of US dollars a unit: n / 10^scale.
type price struct {
	n     uint64
	scale int
}

// priceScale is how many digits behind the point a price has at most.
const priceScale = 18

var (
	half   = big.NewInt(1)
	powers = func() (p [priceScale + 1]*big.Int) {
		for i := range p {
			p[i] = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(i)), nil)
		}
		return p
	}()
)

// unitPrice is the shortest decimal that gives nano back, when thousandths of the unit are multiplied by it and the product is
// rounded to nano-USD. Of one call it is the price that was multiplied; of several the sum of what was rounded may be that of another
// one, which differs in digits that nobody pays. Where prices changed within the row's time it is their mean. ok is false where there
// is none.
func unitPrice(nano, thousandths int64) (p price, ok bool) {
	switch {
	case nano == 0:
		return price{}, true
	case nano < 0 || thousandths <= 0:
		return price{}, false
	}
	// With scale d, n is the nearest to nano * 10^d / (thousandths * 10^6), and right where
	// |2 * n * thousandths * 10^6 - 2 * nano * 10^d| <= 10^d.
	unit := new(big.Int).Mul(big.NewInt(thousandths), powers[6])
	whole, product, rest := big.NewInt(nano), new(big.Int), new(big.Int)
	for d := range priceScale + 1 {
		product.Mul(whole, powers[d])
		n, _ := new(big.Int).QuoRem(product, unit, rest)
		if rest.Lsh(rest, 1).Cmp(unit) >= 0 {
			n.Add(n, half)
		}
		rest.Mul(n, unit)
		rest.Sub(rest, product).Abs(rest).Lsh(rest, 1)
		if rest.Cmp(powers[d]) <= 0 || d == priceScale {
			return price{n.Uint64(), d}, n.IsUint64()
		}
	}
	return price{}, false
}

func (p price) String() string {
	if p.n > math.MaxInt64 {
		return new(big.Rat).SetFrac(new(big.Int).SetUint64(p.n), powers[p.scale]).FloatString(p.scale)
	}
	return catalog.Decimal(int64(p.n), p.scale)
}

// hour is a moment as both formats write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// id tells the row from every other one of its period, and is the same in every export of it.
func (r *row) id() string {
	hash := sha256.New()
	text := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		hash.Write(n[:])
		hash.Write([]byte(s))
	}
	tags := func(tags []tag) {
		for _, t := range tags {
			text(t.Key)
			text(t.Value)
		}
		text("\n")
	}
	for _, s := range [...]string{stamp(r.Start), stamp(r.until), r.Account, r.Region, r.Service, r.UsageType, r.Operation, r.Resource.ARN, r.Principal} {
		text(s)
	}
	tags(r.Tags)
	tags(r.PrincipalTags)
	tags(r.Metadata)
	if r.Correction {
		text("correction")
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(hash.Sum(nil)[:20]))
}

// resourceType is what kind of resource was called, by its ARN.
func (r *row) resourceType() string {
	switch arn := r.Resource.ARN; {
	case strings.Contains(arn, ":application-inference-profile/"):
		return "Application Inference Profile"
	case strings.Contains(arn, ":inference-profile/"):
		return "Inference Profile"
	case strings.Contains(arn, "foundation-model/"):
		return "Foundation Model"
	}
	return "Model"
}

// description says in words what the row is.
func (r *row) description() string {
	s := r.model + ", " + r.meter + ", " + r.place
	if r.Correction {
		s = "Correction: " + s
	}
	switch {
	case r.Unrated > 0 && r.Unrated == r.Sum.Charges:
		s += " (no price known)"
	case r.Unrated > 0:
		s += " (in part without a known price)"
	}
	return s
}

// object is pairs as a JSON object, "" for none.
func object(pairs []tag) string {
	if len(pairs) == 0 {
		return ""
	}
	b := []byte{'{'}
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, p.Key) // broken UTF-8 becomes U+FFFD
		b = append(b, ':')
		b, _ = jsontext.AppendQuote(b, p.Value)
	}
	return string(append(b, '}'))
}
