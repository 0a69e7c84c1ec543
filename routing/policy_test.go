package routing

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	hundred := 100.0 // divided at run time, as the parser does
	for text, want := range map[string]Policy{
		"default":                          {},
		"latency":                          {Mode: Latency},
		"cost affinity=off":                {Mode: Cost, NoAffinity: true},
		"default affinity=on hedge=off":    {},
		"weighted":                         {Mode: Weighted},
		"priority us-west-2 us-east-1":     {Mode: Priority, Regions: []Share{{Region: "us-west-2"}, {Region: "us-east-1"}}},
		"weighted us-east-1=3 us-west-2=0": {Mode: Weighted, Regions: []Share{{"us-east-1", 3}, {"us-west-2", 0}}},
		"  latency   hedge=p95 ":           {Mode: Latency, Hedge: Hedge{Quantile: 0.95}},
		"default hedge=300ms":              {Hedge: Hedge{After: 300 * time.Millisecond}},
		"default hedge=p99.9":              {Hedge: Hedge{Quantile: 99.9 / hundred}},
	} {
		p, err := ParsePolicy(text)
		if err != nil || !reflect.DeepEqual(*p, want) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
	for text, says := range map[string]string{
		"":                                 "empty",
		"fastest":                          `"fastest" is none of default`,
		"Default":                          "is none of",
		"priority":                         "needs Regions",
		"priority us-east-1 us-east-1":     "us-east-1 stands twice",
		"priority us-east-1=3":             "no weights",
		"default us-east-1":                "default takes no Regions",
		"cost us-east-1":                   "cost takes no Regions",
		"weighted us-east-1":               "needs a weight",
		"weighted us-east-1=-1":            "needs a weight",
		"weighted us-east-1=1000001":       "needs a weight",
		"weighted us-east-1=0":             "above 0",
		"weighted =3":                      "is none of affinity=on",
		"default affinity=maybe":           "is none of affinity=on",
		"default affinity":                 "is none of affinity=on",
		"default hedge":                    "is none of affinity=on",
		"default hedge=":                   "hedge=:",
		"default hedge=p49":                "from p50",
		"default hedge=pNaN":               "from p50",
		"default hedge=-1s":                "from 1ms",
		"default hedge=11m":                "from 1ms",
		"default hedge=p95 hedge=300ms":    "hedge stands twice",
		"default affinity=on affinity=off": "affinity stands twice",
	} {
		if p, err := ParsePolicy(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v; want an error that says %q", text, p, err, says)
		}
	}
}

// FuzzParsePolicy: what is read is written so that it is read the same, in characters that a tag's value may have.
func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"default", "weighted us-east-1=3 us-west-2=1 hedge=p99.9", "priority a b affinity=off hedge=1m0.5s", "cost hedge=p0x1p6"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(s)
		if err != nil {
			return
		}
		text := p.String()
		again, err := ParsePolicy(text)
		if err != nil || again.String() != text || again.Mode != p.Mode || !reflect.DeepEqual(again.Regions, p.Regions) || again.NoAffinity != p.NoAffinity {
			t.Errorf("%q is %+v, written %q, read as %+v, %v", s, p, text, again, err)
		}
	})
}
