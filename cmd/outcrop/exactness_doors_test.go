package main

import (
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
)

// usageReplacer puts u into an answer of the test of formats, in which 100 tokens of input, 40 that were read from the cache, 20
// written for five minutes and 10 for an hour, and 20 of output are told.
func usageReplacer(u consumed) *strings.Replacer {
	all := u.input + u.read + u.write5m + u.write1h
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	return strings.NewReplacer(
		`"input_tokens":100`, `"input_tokens":`+n(u.input), `"cache_read_input_tokens":40`, `"cache_read_input_tokens":`+n(u.read),
		`"cache_creation_input_tokens":30`, `"cache_creation_input_tokens":`+n(u.write5m+u.write1h), `"ephemeral_5m_input_tokens":20`, `"ephemeral_5m_input_tokens":`+n(u.write5m),
		`"ephemeral_1h_input_tokens":10`, `"ephemeral_1h_input_tokens":`+n(u.write1h), `"output_tokens":20`, `"output_tokens":`+n(u.output),
		`"inputTokens":100`, `"inputTokens":`+n(u.input), `"outputTokens":20`, `"outputTokens":`+n(u.output), `"totalTokens":190`, `"totalTokens":`+n(all+u.output),
		`"cacheReadInputTokens":40`, `"cacheReadInputTokens":`+n(u.read), `"cacheWriteInputTokens":30`, `"cacheWriteInputTokens":`+n(u.write5m+u.write1h),
		`{"ttl":"5m","inputTokens":20}`, `{"ttl":"5m","inputTokens":`+n(u.write5m)+`}`, `{"ttl":"1h","inputTokens":10}`, `{"ttl":"1h","inputTokens":`+n(u.write1h)+`}`,
		`"prompt_tokens":170`, `"prompt_tokens":`+n(all), `"input_tokens":170`, `"input_tokens":`+n(all), `"completion_tokens":20`, `"completion_tokens":`+n(u.output),
		`"total_tokens":190`, `"total_tokens":`+n(all+u.output), `"cached_tokens":40`, `"cached_tokens":`+n(u.read),
		`"reasoning_tokens":7`, `"reasoning_tokens":0`, // of the output
	)
}

// TestExactDoors: through every door, and to every kind of upstream, what was told of usage is charged to the nano-dollar.
func TestExactDoors(t *testing.T) {
	rounds := 3
	if s := os.Getenv("OUTCROP_EXACTNESS_CALLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds = max(1, n/2000)
	}
	built, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	prices := &book{prices: map[string][]catalog.PriceFact{}}
	prices.lay(built)
	text := outcomes[0]
	r := rand.New(rand.NewPCG(6, 6))
	draw := func(stream bool) (u consumed) {
		u = consumed{input: 1 + r.Int64N(5000), output: 1 + r.Int64N(900)}
		if r.IntN(20) == 0 {
			u.input += 200_000
		}
		switch r.IntN(4) {
		case 0:
			u.read = r.Int64N(9000)
		case 1:
			u.write5m, u.write1h = r.Int64N(3000), r.Int64N(3000)
		case 2:
			u.read, u.write5m, u.write1h = r.Int64N(9000), r.Int64N(3000), r.Int64N(3000)
		}
		return u
	}
	calls := 0
	for _, c := range startColumns(t) {
		if c.vendor == nil {
			continue // what a simulated model uses is its own to say
		}
		want, charges, doors := new(big.Int), int64(0), map[string]*big.Int{}
		for range rounds {
			for i := range inbounds {
				in := &inbounds[i]
				for _, stream := range []bool{false, true} {
					u := draw(stream)
					status, _, told := c.exactly(t, in, &u, stream, &text)
					if status != http.StatusOK {
						t.Fatalf("%s to %s (stream=%t): status %d, %s", in.name, c.title, stream, status, told)
					}
					calls++
					m := &exactModel{model: in.model, scope: "region", region: "us-east-1"}
					for _, l := range prices.rate(m, gatewayAccount, "", "", time.Now(), u, 0, false) {
						want.Add(want, big.NewInt(l.nano))
						charges++
						if doors[in.model] == nil {
							doors[in.model] = new(big.Int)
						}
						doors[in.model].Add(doors[in.model], big.NewInt(l.nano))
					}
				}
			}
		}
		if err := c.gateway.ledger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.gateway.store.VerifyLedger(t.Context()); err != nil {
			t.Error(err)
		}
		now := time.Now()
		q := cost.Query{Account: gatewayAccount, Start: now.Add(-24 * time.Hour).Truncate(time.Hour), End: now.Add(24 * time.Hour).Truncate(time.Hour)}
		got, n := new(big.Int), int64(0)
		var tagging cost.Tagging
		for p, err := range cost.Report(t.Context(), c.gateway.store, q, nil, tagging.By(cost.ModelKey)) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range p.Groups {
				got.Add(got, big.NewInt(g.Nano))
				n += g.Charges
				if w := doors[g.Keys[0]]; w == nil || w.Cmp(big.NewInt(g.Nano)) != 0 {
					t.Errorf("%s: model %s has %d nano-USD, want %v", c.title, g.Keys[0], g.Nano, w)
				}
			}
		}
		if got.Cmp(want) != 0 || n != charges {
			t.Errorf("%s: %v nano-USD in %d charges, want %v in %d", c.title, got, n, want, charges)
		}
		t.Logf("%s: %v nano-USD in %d charges", c.title, got, n)
	}
	t.Logf("%d calls over HTTP", calls)
}

// exactly asks through one door for an answer that uses u, of which it leaves what the upstream's format can tell.
func (c *column) exactly(t *testing.T, in *inbound, u *consumed, stream bool, text *outcome) (status int, h http.Header, told []byte) {
	t.Helper()
	verbatim := c.name == "bedrock" && in.path == "invoke" && !c.other
	if c.name == "openai" { // which does not tell what was written
		u.input, u.write5m, u.write1h = u.input+u.write5m+u.write1h, 0, 0
	}
	if verbatim && !strings.HasPrefix(in.model, "anthropic.") { // which tell for how long of no write
		u.write5m, u.write1h = u.write5m+u.write1h, 0
	}
	replace := usageReplacer(*u)
	of := func(a *answer) *answer {
		now := &answer{whole: replace.Replace(a.whole)}
		for _, e := range a.events {
			now.events = append(now.events, replace.Replace(e))
		}
		return now
	}
	_, status, h, told = c.ask(t, in, in.body(t, "", stream), stream, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/invoke") && strings.Contains(r.URL.Path, "/anthropic."):
			of(text.answers["anthropic"]).invoked(w, stream)
		case strings.Contains(r.URL.Path, "/invoke") && !stream:
			for name, n := range map[string]int64{"Input": u.input, "Output": u.output, "Cache-Read-Input": u.read, "Cache-Write-Input": u.write5m} {
				w.Header().Set("X-Amzn-Bedrock-"+name+"-Token-Count", strconv.FormatInt(n, 10))
			}
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"answer":"as it is"}`)
		case strings.Contains(r.URL.Path, "/invoke"):
			m := teller{w: w, native: &[3]string{}}
			m.begin()
			m.event(fmt.Sprintf(`{"answer":"as it is","amazon-bedrock-invocationMetrics":{"inputTokenCount":%d,"outputTokenCount":%d,"cacheReadInputTokenCount":%d,"cacheWriteInputTokenCount":%d}}`, u.input, u.output, u.read, u.write5m))
		default:
			of(text.answers[c.format]).write(w, c.format, stream)
		}
	})
	return status, h, told
}
