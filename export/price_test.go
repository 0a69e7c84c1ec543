package export

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// One call at a price of the price lists gives that price, in US dollars a thousand tokens; several with rounded charges
// give one that gives their sum back.
func TestUnitPrice(t *testing.T) {
	for _, c := range []struct {
		nano, tokens int64
		want         string
	}{
		{0, 0, "0"}, {0, 17, "0"}, // 17 tokens of what is free, or has no price
		{30_000, 10, "0.003"},                // $3 a million
		{2_001_000, 667, "0.003"},            //
		{75_000_000_000, 1_000_000, "0.075"}, // $75
		{37_500, 1000, "0.0000375"},          // $0.0375
		{16_200, 20, "0.00081"},              //
		{40_000_000, 1000, "0.04"},           // one picture at $0.04
		{1_000_000_001, 3_000, "0.3333333337"},
	} {
		if p, ok := unitPrice(c.nano, c.tokens); !ok || p.String() != c.want {
			t.Errorf("%d nano-USD of %d: %s, %v, want %s", c.nano, c.tokens, p, ok, c.want)
		}
	}
	for _, c := range [][2]int64{{-1, 1}, {1, 0}, {1, -1}} {
		if p, ok := unitPrice(c[0], c[1]); ok {
			t.Errorf("%d of %d: %s", c[0], c[1], p)
		}
	}
}

// givesBack checks that thousandths times the price is nano, rounded to nano-USD, and that no shorter decimal is.
func givesBack(t *testing.T, nano, thousandths int64) {
	t.Helper()
	p, ok := unitPrice(nano, thousandths)
	if !ok {
		t.Fatalf("%d of %d: no price", nano, thousandths)
	}
	within := func(n *big.Int, scale int) bool {
		d := new(big.Rat).SetFrac(new(big.Int).Mul(n, big.NewInt(thousandths)), new(big.Int).Mul(powers[scale], big.NewInt(1000)))
		d.Sub(d.Mul(d, big.NewRat(1e9, 1)), new(big.Rat).SetInt64(nano))
		return d.Abs(d).Cmp(big.NewRat(1, 2)) <= 0
	}
	if n := new(big.Int).SetUint64(p.n); !within(n, p.scale) && p.scale < priceScale {
		t.Errorf("%d of %d: %s does not give it back", nano, thousandths, p)
	}
	if p.scale > 0 {
		n := new(big.Int).Quo(new(big.Int).SetUint64(p.n), big.NewInt(10))
		for range 2 {
			if within(n, p.scale-1) {
				t.Errorf("%d of %d: %s is not the shortest", nano, thousandths, p)
			}
			n.Add(n, big.NewInt(1))
		}
	}
}

func TestUnitPriceGivesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 20_000 {
		tokens := 1 + r.Int64N(1<<r.IntN(36))
		givesBack(t, 1+r.Int64N(tokens*75_000), tokens) // up to $75 a million
	}
}

func FuzzUnitPrice(f *testing.F) {
	f.Add(int64(37), int64(1))
	f.Fuzz(func(t *testing.T, nano, thousandths int64) {
		if nano > 0 && thousandths > 0 && nano/thousandths < 1e9 { // below $1,000,000 a piece
			givesBack(t, nano, thousandths)
		}
	})
}

// Keys as AWS's documentation and columns have them.
func TestCURKey(t *testing.T) {
	for key, want := range map[string]string{
		"user:CostCenter": "user_cost_center", "user:environment": "user_environment", "user:karpenter.sh/nodepool": "user_karpenter_sh_nodepool",
		"savingsPlan/SavingsPlanARN": "savings_plan_savings_plan_a_r_n", "product/location": "product_location",
		"user:a--b_": "user_a_b", "user:雪": "user", "": "",
	} {
		if got := curKey(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

// Cells that a spreadsheet would compute are texts to it; numbers stay numbers.
func TestFields(t *testing.T) {
	for _, c := range []struct {
		kind kind
		v    value
		want string
	}{
		{text, value{text: `=cmd|"/c calc"!A0`}, `"'=cmd|""/c calc""!A0"`}, {text, value{text: "+1"}, `"'+1"`}, {text, value{text: "-1"}, `"'-1"`},
		{text, value{text: "@SUM(A1)"}, `"'@SUM(A1)"`}, {text, value{text: "\ta"}, "\"'\ta\""}, {text, value{text: "a=1,\nb"}, "\"a=1,\nb\""}, {text, value{text: "000000000000"}, `"000000000000"`},
		{amount, value{n: -1_500_000_001}, "-1.500000001"}, {amount, value{}, "0.0"}, {quantity, value{n: 1_234_000}, "1234.0"}, {count, value{n: -3}, "-3"},
		{double, value{n: 5, scale: 3}, "0.005"}, {unit, value{price: price{375, 7}}, "0.0000375"},
		{pairs, value{}, ""}, {pairs, value{pairs: []tag{{Key: "a", Value: "=\"1\""}, {Key: "b"}}}, `"{""a"":""=\""1\"""",""b"":""""}"`},
	} {
		if got := string(appendField(nil, c.kind, &c.v)); got != c.want {
			t.Errorf("%v: %s, want %s", c.v, got, c.want)
		}
	}
}

// What a column has no room for is an error.
func TestTooLarge(t *testing.T) {
	for kind, v := range map[kind]value{amount: {n: 1e18}, quantity: {n: -1e18}} {
		if got, err := leafValue(&column{name: "X", kind: kind}, &v); err == nil || !strings.Contains(err.Error(), "X") {
			t.Errorf("%s: %v, %v", kind, got, err)
		}
	}
}

func TestCheck(t *testing.T) {
	good := Export{Name: "finance-2.x_1", Format: Focus, Output: CSV}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "../x", "a/b", ".x", "-x", "a b", strings.Repeat("x", 129), "x\n"} {
		if bad := (Export{Name: name, Format: CUR, Output: CSV}); bad.Check() == nil {
			t.Errorf("%q is a name", name)
		}
	}
	for _, bad := range []Export{{Name: "x", Format: "xls", Output: CSV}, {Name: "x", Format: CUR, Output: "xml"}, {Name: "x"}} {
		if bad.Check() == nil {
			t.Errorf("%+v is good", bad)
		}
	}
	for s, ok := range map[string]bool{"2026-11": true, "2026-13": false, "2026-11-01": false, "26-11": false, "": false} {
		if _, err := ParsePeriod(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
