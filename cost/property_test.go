package cost

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/converse"
)

const haiku = "anthropic.claude-3-haiku-20240307-v1:0"

// decimal draws an amount from 0 to a thousand dollars with up to nine places, and its exact value.
func decimal(r *rand.Rand) (string, *big.Rat) {
	places := r.IntN(10)
	n := r.Int64N(1000 * pow10(places))
	s := catalog.Decimal(n, places)
	v, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return s, v
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// halfEven is nano-dollars of v dollars, rounded half to even, by exact rationals.
func halfEven(v *big.Rat) int64 {
	nano := new(big.Rat).Mul(v, big.NewRat(1_000_000_000, 1))
	floor := new(big.Int).Div(nano.Num(), nano.Denom())
	rest := new(big.Rat).Sub(nano, new(big.Rat).SetInt(floor))
	if c := rest.Cmp(big.NewRat(1, 2)); c > 0 || c == 0 && floor.Bit(0) == 1 {
		floor.Add(floor, big.NewInt(1))
	}
	return floor.Int64()
}

// TestRateAgainstRationals rates a million random kinds of usage by random price books and holds every charge against exact rationals:
// what is paid and what the list says are each rounded once, and nothing else is.
func TestRateAgainstRationals(t *testing.T) {
	uses := 200_000 // of five kinds each
	if testing.Short() {
		uses = 20_000
	}
	const perBook = 20_000
	base, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(5, 6))
	for done := 0; done < uses; done += perBook {
		var amounts, negotiated [5]*big.Rat
		kinds := [5]string{"input", "output", "cache_read", "cache_write", "cache_write_1h"}
		price := func(to *[5]*big.Rat, all bool) string {
			text := ""
			for i, k := range kinds {
				if !all && r.IntN(2) == 0 {
					continue
				}
				var s string
				s, to[i] = decimal(r)
				text += fmt.Sprintf(`,%q:%q`, k, s)
			}
			return "{" + text[min(1, len(text)):] + "}"
		}
		list := price(&amounts, true)
		facts := `{"date":"2026-12-01","prices":[{"model":"` + haiku + `","scope":"region","effective":"2026-12-01","usd_per_million":` + list + `}`
		if r.IntN(2) == 0 {
			if contract := price(&negotiated, false); contract != "{}" {
				facts += `,{"model":"` + haiku + `","scope":"region","contract":"c","effective":"2026-12-01","usd_per_million":` + contract + `}`
			}
		}
		facts += `],"discounts":[`
		pays := big.NewRat(1, 1)
		if r.IntN(3) > 0 {
			millionths := 1 + r.Int64N(1_000_000)
			pays = big.NewRat(1_000_000-millionths, 1_000_000)
			facts += `{"name":"d","percent":"` + catalog.Decimal(millionths, 4) + `","effective":"2026-12-01"}`
		}
		over, err := catalog.ParseFacts([]byte(facts + "]}"))
		if err != nil {
			t.Fatalf("%v: %s", err, facts)
		}
		all, err := base.Overlay(over)
		if err != nil {
			t.Fatal(err)
		}
		cat, err := catalog.New(all)
		if err != nil {
			t.Fatalf("%v: %s", err, facts)
		}
		rater := NewRater(cat)
		model, _ := cat.Model(haiku)
		use := Use{Model: model, Scope: "region", Region: "us-east-1", At: at}
		for range perBook {
			var tokens [5]int64
			for i := range tokens {
				tokens[i] = r.Int64N(1 << (1 + r.IntN(24)))
			}
			use.Usage = converse.Usage{
				InputTokens: tokens[0], OutputTokens: tokens[1], CacheReadInputTokens: tokens[2],
				CacheWriteInputTokens: tokens[3] + tokens[4], CacheWrite1hInputTokens: tokens[4],
			}
			charges := rater.Rate(&use)
			for i, n := range tokens {
				if n == 0 {
					continue
				}
				c := charges[0]
				charges = charges[1:]
				count := big.NewRat(n, 1_000_000)
				full := halfEven(new(big.Rat).Mul(amounts[i], count))
				var paid int64
				if negotiated[i] != nil {
					paid = halfEven(new(big.Rat).Mul(negotiated[i], count))
				} else {
					paid = halfEven(new(big.Rat).Mul(new(big.Rat).Mul(amounts[i], count), pays))
				}
				if c.Unrated || c.Quantity != n || c.Nano != paid || c.Nano+c.Discount != full {
					t.Fatalf("%s: %d tokens make %+v, want %d of %d by the list; %s", kinds[i], n, c, paid, full, facts)
				}
			}
			if len(charges) > 0 {
				t.Fatalf("left over: %+v", charges)
			}
		}
	}
}
