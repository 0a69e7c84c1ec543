package cost

import (
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/ledger"
)

func load(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRateFiles runs testdata/*.json: usage in, charges out, worked out by hand from published prices.
func TestRateFiles(t *testing.T) {
	c := load(t)
	rater := NewRater(c)
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var tc struct {
				Note    string
				Model   string
				Scope   string
				Region  string
				Tier    string
				At      time.Time
				Usage   converse.Usage
				Charges []struct {
					UsageType string
					Quantity  int64
					Nano      int64
					Unrated   bool
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &tc, json.RejectUnknownMembers(true)); err != nil {
				t.Fatal(err)
			}
			model, ok := c.Model(tc.Model)
			if !ok {
				t.Fatalf("no model %s", tc.Model)
			}
			got := rater.Rate(&Use{Usage: tc.Usage, Model: model, Scope: tc.Scope, Region: tc.Region, Tier: tc.Tier, At: tc.At})
			if len(got) != len(tc.Charges) {
				t.Fatalf("got %d charges, want %d: %+v", len(got), len(tc.Charges), got)
			}
			for i, want := range tc.Charges {
				g := got[i]
				if g.UsageType != want.UsageType || g.Quantity != want.Quantity || g.Nano != want.Nano || g.Unrated != want.Unrated {
					t.Errorf("charge %d: got %+v, want %+v", i, g, want)
				}
				if g.Unrated != (g.Price == "") {
					t.Errorf("charge %d: unrated is %v with price %q", i, g.Unrated, g.Price)
				}
			}
		})
	}
}

// rational is tokens x price / 1e6 rounded half to even, by another way: exact rationals.
func rational(tokens, price int64) *big.Int {
	r := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(tokens), big.NewInt(price)), big.NewInt(1_000_000))
	floor := new(big.Int).Div(r.Num(), r.Denom()) // the arguments are not negative
	rest := new(big.Rat).Sub(r, new(big.Rat).SetInt(floor))
	switch rest.Cmp(big.NewRat(1, 2)) {
	case 1:
		return floor.Add(floor, big.NewInt(1))
	case 0:
		return floor.Add(floor, new(big.Int).And(floor, big.NewInt(1)))
	}
	return floor
}

func checkRate(t *testing.T, tokens, price int64) {
	t.Helper()
	got, ok := catalog.Ratio(tokens, price, 1, 1_000_000)
	want := rational(tokens, price)
	if fits := want.IsInt64(); ok != fits && !(want.Cmp(big.NewInt(math.MaxInt64)) == 0) {
		t.Fatalf("rate(%d, %d): ok is %v, the exact result is %v", tokens, price, ok, want)
	}
	if ok && want.Cmp(big.NewInt(got)) != 0 {
		t.Fatalf("rate(%d, %d) = %d, the exact result is %v", tokens, price, got, want)
	}
}

func TestRateExact(t *testing.T) {
	edges := []int64{0, 1, 2, 3, 499_999, 500_000, 500_001, 999_999, 1_000_000, 1_500_000, 2_500_000, 1e9, 15e9, math.MaxInt32, 1e15, math.MaxInt64 - 1, math.MaxInt64}
	for _, a := range edges {
		for _, b := range edges {
			checkRate(t, a, b)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		// Every number of bits is as likely as another, so that small and overflowing products both occur.
		checkRate(t, r.Int64()>>r.IntN(63), r.Int64()>>r.IntN(63))
	}
	for _, bad := range [][2]int64{{-1, 5}, {5, -1}} {
		if _, ok := catalog.Ratio(bad[0], bad[1], 1, 1_000_000); ok {
			t.Errorf("rate(%d, %d) is ok", bad[0], bad[1])
		}
	}
}

func FuzzRate(f *testing.F) {
	f.Add(int64(1), int64(500_000))
	f.Add(int64(3), int64(500_000))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, tokens, price int64) {
		if tokens >= 0 && price >= 0 {
			checkRate(t, tokens, price)
		}
	})
}

func TestRateNothing(t *testing.T) {
	c := load(t)
	model, _ := c.Model("anthropic.claude-3-haiku-20240307-v1:0")
	for _, u := range []converse.Usage{{}, {InputTokens: -5, OutputTokens: -1}} {
		if got := NewRater(c).Rate(&Use{Usage: u, Model: model, Scope: "region", Region: "us-east-1", At: time.Now()}); got != nil {
			t.Errorf("%+v: got %+v, want none", u, got)
		}
	}
}

// TestRateUnrated: a model without prices, and a product that no int64 holds, cost nothing visibly.
func TestRateUnrated(t *testing.T) {
	c := load(t)
	rater := NewRater(c)
	unknown := &catalog.Model{ID: "example.no-such-model-v1:0", UsageName: "NoSuchModel"}
	got := rater.Rate(&Use{Usage: converse.Usage{InputTokens: 12, OutputTokens: 3}, Model: unknown, Scope: "global", Region: "eu-central-1", At: time.Now()})
	want := []ledger.Charge{
		{UsageType: "EUC1-NoSuchModel-input-tokens-cross-region-global", Quantity: 12, Unrated: true},
		{UsageType: "EUC1-NoSuchModel-output-tokens-cross-region-global", Quantity: 3, Unrated: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	haiku, _ := c.Model("anthropic.claude-3-haiku-20240307-v1:0")
	got = rater.Rate(&Use{Usage: converse.Usage{OutputTokens: math.MaxInt64}, Model: haiku, Scope: "region", Region: "us-east-1", At: time.Now()})
	if len(got) != 1 || !got[0].Unrated || got[0].Nano != 0 || got[0].Quantity != math.MaxInt64 {
		t.Errorf("overflow: got %+v", got)
	}
}

// TestUsageTypesBounded: Regions without end neither grow the map past its bound nor change what is answered.
func TestUsageTypesBounded(t *testing.T) {
	r := NewRater(load(t))
	m := map[typesKey]*usageTypes{}
	for i := range maxTypes {
		m[typesKey{name: "x", region: string(rune(i))}] = nil
	}
	r.types.Store(&m)
	model := &catalog.Model{UsageName: "Nova2.0Lite"}
	if got, want := r.usageTypes(model, "region", "us-west-2", "", false).input, "USW2-Nova2.0Lite-input-tokens"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(*r.types.Load()); n != maxTypes {
		t.Errorf("the map holds %d", n)
	}
}

func TestRateConcurrently(t *testing.T) {
	c := load(t)
	r := NewRater(c)
	models := c.AllModels()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range models {
				m := models[(i+w)%len(models)]
				got := r.Rate(&Use{Usage: converse.Usage{InputTokens: 1}, Model: m, Scope: "region", Region: "us-east-1", At: time.Now()})
				if want := "USE1-" + m.UsageName + "-input-tokens"; len(got) != 1 || got[0].UsageType != want {
					t.Errorf("%s: got %+v, want %s", m.ID, got, want)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRate(b *testing.B) {
	c := load(b)
	r := NewRater(c)
	model, _ := c.Model("anthropic.claude-3-haiku-20240307-v1:0")
	at := time.Now()
	u := converse.Usage{InputTokens: 250, OutputTokens: 100}
	b.ReportAllocs()
	for b.Loop() {
		r.Rate(&Use{Usage: u, Model: model, Scope: "region", Region: "us-east-1", At: at})
	}
}
