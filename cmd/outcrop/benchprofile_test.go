package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// TestBenchProfile compares two profiles of a server over HTTP. What they cost is the tokens of the calls at the
// configuration's prices, exactly.
func TestBenchProfile(t *testing.T) {
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", "ROOTKEYFORTEST")
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", "a-secret-for-the-test")
	t.Setenv("AWS_ACCESS_KEY_ID", "ROOTKEYFORTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-the-test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ENDPOINT_URL", serving(t, own+`
upstreams:
  - {name: near, provider: simulated, regions: [us-east-1, us-east-2, us-west-2]}
  - {name: far, provider: simulated, regions: [onprem-tokyo-1, onprem-osaka-1], simulated: {latency: {first_token: {value: 30ms}}}}
`))
	const model, ours = "us.meta.llama3-1-8b-instruct-v1:0", "arn:aws:bedrock:us-east-1:000000000000:inference-profile/onprem.acme.chat-v1:0"
	type figures struct {
		N, Errors          int
		P50, P90, P99, Min float64
	}
	type side struct {
		Name, ARN, Region string
		First             *figures `json:"first_token_ms"`
		Total             figures  `json:"total_ms"`
		Errors            int
		Input             int64  `json:"input_tokens"`
		Output            int64  `json:"output_tokens"`
		Cost              string `json:"cost_usd"`
		Note              string `json:"cost_note"`
	}
	bench := func(args ...string) (r struct {
		A, B  side
		First *struct{ P50, Low, High float64 } `json:"first_token_b_minus_a_ms"`
	}) {
		t.Helper()
		out, err := run(t.Context(), append([]string{"bench-profile", "--json", "--calls", "6"}, args...)...)
		if err == nil {
			err = json.Unmarshal([]byte(out), &r, json.MatchCaseInsensitiveNames(true))
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return r
	}
	r := bench(model, ours, "--concurrency", "3")
	if r.A.Name != "US Meta Llama 3.1 8B Instruct" || r.A.ARN != "arn:aws:bedrock:us-east-1:000000000000:inference-profile/"+model || r.B.Name != "On-premises Acme Chat" || r.B.ARN != ours {
		t.Errorf("%+v", r)
	}
	for _, s := range []side{r.A, r.B} {
		if s.First == nil || s.First.N != 6 || s.Total.N != 6 || s.Errors != 0 || s.First.Min <= 0 || s.First.P50 > s.First.P99 || s.Total.Min < s.First.Min || s.Input == 0 || s.Output == 0 || s.Note != "" {
			t.Errorf("%+v", s)
		}
	}
	if r.B.First.Min < 30 { // the simulated model waits that long
		t.Errorf("B's first token came after %v ms", r.B.First.Min)
	}
	// 0.10 and 0.40 USD a million tokens.
	want := new(big.Rat).Add(new(big.Rat).Mul(big.NewRat(r.B.Input, 1e6), big.NewRat(1, 10)), new(big.Rat).Mul(big.NewRat(r.B.Output, 1e6), big.NewRat(4, 10)))
	if got, ok := new(big.Rat).SetString(r.B.Cost); !ok || got.Cmp(want) != 0 {
		t.Errorf("B cost %s, want %s", r.B.Cost, want.FloatString(12))
	}
	if r := bench(model, model, "--stream=false"); r.A.First != nil || r.First != nil || r.A.Total.N != 6 || r.B.Note == "" {
		t.Errorf("not streamed: %+v", r)
	}
	t.Setenv("COLUMNS", "60")
	out, err := run(t.Context(), "bench-profile", model, ours, "--calls", "3")
	if err != nil || strings.Contains(out, "\x1b") || !strings.Contains(out, "Time to first token, in ms") || !strings.Contains(out, "▴ p50") || !strings.Contains(out, " USD\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for name, args := range map[string][]string{"nobody": {model, "nobody"}, "at least 1": {model, ours, "--calls", "0"}} {
		if _, err := run(t.Context(), append([]string{"bench-profile"}, args...)...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v", args, err)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := run(t.Context(), "bench-profile", model, ours); err == nil || !strings.Contains(err.Error(), "outcrop env") {
		t.Errorf("without credentials: %v", err)
	}
}

// TestBenchProfileFailures: calls that fail are counted and told, and are no part of the times.
func TestBenchProfileFailures(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n++; {
		case !strings.HasPrefix(r.URL.Path, "/model/"):
			http.Error(w, `{"message":"no"}`, http.StatusForbidden)
		case n%2 == 0:
			http.Error(w, `{"message":"Too many requests"}`, http.StatusTooManyRequests)
		default:
			io.WriteString(w, `{"usage":{"inputTokens":1,"outputTokens":2}}`)
		}
	}))
	defer server.Close()
	var out bytes.Buffer
	b := profileBench{calls: 4, concurrency: 1, out: &out, progress: io.Discard, client: &client{url: server.URL, http: server.Client()}}
	sides := [2]*side{{asked: "a", region: "us-east-1"}, {asked: "b", region: "us-east-1"}}
	if err := b.measure(context.Background(), sides); err != nil {
		t.Fatal(err)
	}
	if went, failed := len(sides[0].total)+len(sides[1].total), sides[0].errors+sides[1].errors; went != 4 || failed != 4 || sides[0].in+sides[1].in != 4 || sides[0].out+sides[1].out != 8 {
		t.Errorf("%d went well, %d failed", went, failed)
	}
	b.print(sides)
	if !strings.Contains(out.String(), "429 Too Many Requests") {
		t.Errorf("%s", out.String())
	}
}

func TestDistribution(t *testing.T) {
	var times []time.Duration
	for i := 100; i >= 1; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	if got, want := distribute(times), (distribution{100, 50, 90, 99, 50.5, 1, 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := distribute(times[:1]), (distribution{1, 100, 100, 100, 100, 100, 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := distribute(nil); got != (distribution{}) {
		t.Errorf("%+v", got)
	}
}

func TestCompare(t *testing.T) {
	var a, b []time.Duration
	for i := range 40 {
		a = append(a, time.Duration(100+i%7)*time.Millisecond)
		b = append(b, time.Duration(150+i%7)*time.Millisecond)
	}
	if c := compare(a, b); c.P50 != 50 || c.Low < 46 || c.High > 54 || !strings.HasPrefix(c.text(), "B's median is 50.0 ms later, 49% of A's (95% interval +") {
		t.Errorf("%+v: %s", c, c.text())
	}
	if c := compare(b, a); c.P50 != -50 || !strings.HasPrefix(c.text(), "B's median is 50.0 ms earlier, 33% of A's (95% interval -") {
		t.Errorf("%+v: %s", c, c.text())
	}
	if c := compare(a, a); c.P50 != 0 || !strings.HasPrefix(c.text(), "No difference") {
		t.Errorf("%+v: %s", c, c.text())
	}
}

// TestRidges: the picture keeps to its width whatever the times are, and marks each median where it is.
func TestRidges(t *testing.T) {
	at := func(ms ...int) (times []time.Duration) {
		for _, n := range ms {
			times = append(times, time.Duration(n)*time.Millisecond)
		}
		return times
	}
	for name, c := range map[string]struct{ a, b []time.Duration }{
		"usual":      {at(10, 11, 12, 13, 30), at(20, 21, 22, 23, 24)},
		"one each":   {at(10), at(20)},
		"all equal":  {at(7, 7, 7), at(7, 7, 7)},
		"nothing":    {at(0), at(0)},
		"very wide":  {at(1, 2, 3), at(1000, 5000, 90000)},
		"from zero":  {at(0, 0), at(5000, 90000)},
		"an outlier": {at(10, 10, 10, 10, 10, 10, 10, 10, 10, 10000), at(11)},
	} {
		for _, width := range []int{minWidth, 50, usualWidth, maxWidth} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				var out bytes.Buffer
				(&drawing{out: &out, width: width}).ridges(c.a, c.b)
				lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
				if len(lines) < 10 {
					t.Fatalf("%d lines:\n%s", len(lines), out.String())
				}
				for _, line := range lines {
					if utf8.RuneCountInString(line) > width {
						t.Errorf("wider than %d: %q", width, line)
					}
				}
				for i, row := range []int{2, 6} { // the lowest rows of the ridges, above their marks
					ridge, mark := []rune(lines[row]), utf8.RuneCountInString(lines[row+1][:strings.Index(lines[row+1], "▴")])
					if string(ridge[1]) != string("AB"[i]) || mark >= len(ridge) || ridge[mark] == ' ' {
						t.Errorf("the median of %c is not under its ridge:\n%s", "AB"[i], out.String())
					}
				}
			})
		}
	}
}
