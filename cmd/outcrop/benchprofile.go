package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"outcrop/arn"
	"outcrop/wire"
)

func benchProfileCommand() *cobra.Command {
	var b profileBench
	cmd := &cobra.Command{
		Use:   "bench-profile A B",
		Short: "Send the same prompt through two profiles in turns and compare how fast they answer",
		Long: `Send the same prompt through two profiles (names, ids or ARNs; model ids too) in turns, so that both meet the same minutes,
and compare the time to the first token and to the end of the answer: as figures, as pictures, and what the calls cost by the
server's ledger. One call through each goes ahead and is not counted in the times.

Like any client it takes its endpoint and credentials from the environment:

  eval "$(outcrop env)"
  outcrop bench-profile team-a us.anthropic.claude-3-haiku-20240307-v1:0

An ARN is called in its own Region, anything else in --region.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.out, b.progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return b.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.prompt, "prompt", "What is cloud computing?", "the prompt")
	f.IntVar(&b.calls, "calls", 20, "calls through each profile")
	f.IntVar(&b.concurrency, "concurrency", 1, "calls under way at once")
	f.IntVar(&b.maxTokens, "max-tokens", 200, "the longest answer, in tokens")
	f.BoolVar(&b.stream, "stream", true, "stream the answers; without, there is no time to the first token")
	f.StringVar(&b.region, "region", "", "the Region to call (default: AWS_REGION)")
	f.BoolVar(&b.json, "json", false, "print one JSON object, times in milliseconds")
	return cmd
}

// profileBench is one comparison.
type profileBench struct {
	prompt, region                string
	calls, concurrency, maxTokens int
	stream, json                  bool
	out, progress                 io.Writer

	client *client
}

// side is one of the two profiles.
type side struct {
	asked  string // as the user names it
	name   string // of the profile; of a model its id
	arn    string // what its calls cost is under this; "" when it could not be asked
	region string

	mu           sync.Mutex
	first, total []time.Duration // of the calls that went well
	errors       int
	said         string // the first error
	in, out      int64  // tokens, of the call that went ahead too

	before, after spent
	cost          string // of the run in USD, "" where it is not known
	note          string // about the cost
}

// sample is one call that went well.
type sample struct {
	first, total time.Duration
	usage        tokenUsage
}

type tokenUsage struct {
	Input      int64 `json:"inputTokens"`
	Output     int64 `json:"outputTokens"`
	CacheRead  int64 `json:"cacheReadInputTokens"`
	CacheWrite int64 `json:"cacheWriteInputTokens"`
}

func (b *profileBench) run(ctx context.Context, args []string) error {
	if b.calls < 1 || b.concurrency < 1 || b.maxTokens < 1 {
		return errors.New("--calls, --concurrency and --max-tokens must be at least 1")
	}
	if err := b.connect(); err != nil {
		return err
	}
	defer b.client.http.CloseIdleConnections()
	sides := [2]*side{}
	for i, asked := range args {
		s, err := b.find(ctx, asked)
		if err != nil {
			return fmt.Errorf("%s: %w", asked, err)
		}
		sides[i] = s
	}
	for _, s := range sides {
		if err := b.spent(ctx, s, &s.before); err != nil {
			s.note = "not known: " + err.Error()
		}
	}
	for _, s := range sides { // connections are made and caches filled by calls that are not counted
		o, err := b.call(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.asked, err)
		}
		s.count(o.usage)
	}
	if err := b.measure(ctx, sides); err != nil {
		return err
	}
	b.costs(ctx, sides)
	if b.json {
		return b.printJSON(sides)
	}
	b.print(sides)
	for _, s := range sides {
		if len(s.total) == 0 {
			return fmt.Errorf("%s: no call went well: %s", s.asked, s.said)
		}
	}
	return nil
}

// connect reads what `outcrop env` prints from the environment.
func (b *profileBench) connect() (err error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: b.concurrency}
	if b.client, err = environmentClient(&http.Client{Transport: transport, Timeout: 10 * time.Minute}); err != nil {
		return err
	}
	b.region = cmp.Or(b.region, environmentRegion())
	if b.region == "" {
		return errors.New("which Region? Name one with --region or AWS_REGION")
	}
	return nil
}

// find asks the server what the user's name for a profile or model means.
func (b *profileBench) find(ctx context.Context, asked string) (*side, error) {
	s := &side{asked: asked, name: asked, region: b.region}
	if a, err := arn.Parse(asked); err == nil && a.Region != "" {
		s.region = a.Region
	}
	var p struct {
		Name string `json:"inferenceProfileName"`
		ARN  string `json:"inferenceProfileArn"`
	}
	if !strings.Contains(asked, ":foundation-model/") {
		err := b.client.call(ctx, "GET", "/inference-profiles/"+url.PathEscape(asked), "bedrock", s.region, nil, nil, &p)
		if err == nil {
			s.name, s.arn = p.Name, p.ARN
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
	var m struct {
		Details struct {
			ID  string `json:"modelId"`
			ARN string `json:"modelArn"`
		} `json:"modelDetails"`
	}
	if b.client.call(ctx, "GET", "/foundation-models/"+url.PathEscape(asked), "bedrock", s.region, nil, nil, &m) == nil {
		s.name, s.arn = m.Details.ID, m.Details.ARN
	}
	return s, nil // the first call through it says what is wrong, if anything is
}

// measure sends the calls: A B, B A, A B, ... so that neither is always first.
func (b *profileBench) measure(ctx context.Context, sides [2]*side) error {
	work := make(chan *side)
	var workers sync.WaitGroup
	bar := newBar(b.progress, "calling", 2*b.calls)
	var mu sync.Mutex
	done := 0
	for range b.concurrency {
		workers.Go(func() {
			for s := range work {
				o, err := b.call(ctx, s)
				s.add(o, err)
				mu.Lock()
				done++
				n := done
				mu.Unlock()
				bar.set(n)
			}
		})
	}
	for i := 0; i < 2*b.calls && ctx.Err() == nil; i++ {
		work <- sides[(i+i/2)%2]
	}
	close(work)
	workers.Wait()
	bar.end()
	return ctx.Err()
}

func (s *side) add(o sample, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.errors++; s.said == "" {
			s.said = err.Error()
		}
		return
	}
	s.first, s.total = append(s.first, o.first), append(s.total, o.total)
	s.count(o.usage)
}

func (s *side) count(u tokenUsage) {
	s.in += u.Input + u.CacheRead + u.CacheWrite
	s.out += u.Output
}

// call sends the prompt once.
func (b *profileBench) call(ctx context.Context, s *side) (sample, error) {
	path, body := "/model/"+url.PathEscape(s.asked), map[string]any{
		"messages":        []any{map[string]any{"role": "user", "content": []any{map[string]any{"text": b.prompt}}}},
		"inferenceConfig": map[string]any{"maxTokens": b.maxTokens},
	}
	began := time.Now()
	if !b.stream {
		var answer struct {
			Usage tokenUsage `json:"usage"`
		}
		err := b.client.call(ctx, "POST", path+"/converse", "bedrock", s.region, nil, body, &answer)
		return sample{total: time.Since(began), usage: answer.Usage}, err
	}
	resp, err := b.client.send(ctx, "POST", path+"/converse-stream", "bedrock", s.region, nil, body)
	if err != nil {
		return sample{}, err
	}
	defer resp.Body.Close()
	var o sample
	ended := false
	for r := bufio.NewReader(resp.Body); ; {
		m, err := wire.ReadMessage(r)
		if errors.Is(err, io.EOF) && ended {
			o.total = time.Since(began)
			return o, nil
		}
		switch {
		case err != nil:
			return o, fmt.Errorf("the stream broke: %w", err)
		case m.Text(":message-type") != "event":
			return o, fmt.Errorf("%s: %s", m.Text(":exception-type"), m.Payload)
		}
		switch m.Text(":event-type") {
		case "contentBlockDelta":
			if o.first == 0 {
				o.first = time.Since(began)
			}
		case "metadata":
			var e struct {
				Usage tokenUsage `json:"usage"`
			}
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				return o, err
			}
			o.usage, ended = e.Usage, true
		}
	}
}

// spent is what Cost Explorer has under one ARN.
type spent struct {
	usd      *big.Rat
	thousand *big.Rat // tokens, in thousands
}

// spent asks Cost Explorer, which answers from the ledger.
func (b *profileBench) spent(ctx context.Context, s *side, into *spent) error {
	if s.arn == "" {
		return errors.New("its ARN could not be read")
	}
	start, end := window()
	var out struct {
		ResultsByTime []struct {
			Total map[string]struct{ Amount string }
		}
	}
	err := b.client.call(ctx, "POST", "/", "ce", "us-east-1", target("AWSInsightsIndexService.GetCostAndUsage"), map[string]any{
		"TimePeriod":  map[string]string{"Start": start.Format(time.DateOnly), "End": end.Format(time.DateOnly)},
		"Granularity": "DAILY", "Metrics": []string{"UnblendedCost", "UsageQuantity"},
		"Filter": map[string]any{"Dimensions": map[string]any{"Key": "RESOURCE_ID", "Values": []string{s.arn}}},
	}, &out)
	if err != nil {
		return err
	}
	*into = spent{new(big.Rat), new(big.Rat)}
	for _, r := range out.ResultsByTime {
		for name, sum := range map[string]*big.Rat{"UnblendedCost": into.usd, "UsageQuantity": into.thousand} {
			amount, ok := new(big.Rat).SetString(cmp.Or(r.Total[name].Amount, "0"))
			if !ok {
				return fmt.Errorf("Cost Explorer answered %s %q", name, r.Total[name].Amount)
			}
			sum.Add(sum, amount)
		}
	}
	return nil
}

// costs fills in what the run cost: what the ledger has more under each ARN than before.
func (b *profileBench) costs(ctx context.Context, sides [2]*side) {
	const settled = 10 * time.Second // costs are there within one
	for i, s := range sides {
		if s.before.usd == nil {
			continue
		}
		own := s.in + s.out
		if sides[0].arn == sides[1].arn {
			if i == 1 {
				s.note = "the same as A's: see there"
				continue
			}
			own += sides[1].in + sides[1].out
		}
		want := big.NewRat(own, 1000)
		var used *big.Rat
		for deadline := time.Now().Add(settled); ; {
			if err := b.spent(ctx, s, &s.after); err != nil {
				s.note = "not known: " + err.Error()
				break
			}
			used = new(big.Rat).Sub(s.after.thousand, s.before.thousand)
			if used.Cmp(want) >= 0 || time.Now().After(deadline) || ctx.Err() != nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if s.note != "" {
			continue
		}
		usd := new(big.Rat).Sub(s.after.usd, s.before.usd)
		s.cost = decimal(usd)
		switch c := used.Cmp(want); {
		case c > 0:
			s.note = fmt.Sprintf("with %s thousand tokens more than these calls were told of: others called it, or calls failed", decimal(used.Sub(used, want)))
		case c < 0:
			s.note = "not all of it: the ledger's index is behind"
		case usd.Sign() == 0 && own > 0:
			s.note = "free, or no price of it is known"
		}
	}
}

// decimal writes an amount without the zeros at its end.
func decimal(r *big.Rat) string {
	s := r.FloatString(12)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// print writes the comparison for people.
func (b *profileBench) print(sides [2]*side) {
	p := newDrawing(b.out)
	for i, s := range sides {
		fmt.Fprintf(b.out, "%s  %s  %s\n", p.paint(i, string("AB"[i])), s.name, cmp.Or(s.arn, s.asked))
	}
	times := []struct {
		title string
		of    func(*side) []time.Duration
	}{{"Time to first token", func(s *side) []time.Duration { return s.first }}, {"Time to the answer's end", func(s *side) []time.Duration { return s.total }}}
	if !b.stream {
		times = times[1:]
	}
	for _, t := range times {
		x, y := distribute(t.of(sides[0])), distribute(t.of(sides[1]))
		fmt.Fprintf(b.out, "\n%s, in ms\n", t.title)
		w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\tp50\tp90\tp99\tmean\tmin\tmax\tn\terrors\t")
		for i, d := range []distribution{x, y} {
			fmt.Fprintf(w, "%c\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t\n", "AB"[i], ms(d.P50), ms(d.P90), ms(d.P99), ms(d.Mean), ms(d.Min), ms(d.Max), d.N, sides[i].errors)
		}
		w.Flush()
		if x.N > 0 && y.N > 0 {
			fmt.Fprintln(b.out)
			p.ridges(t.of(sides[0]), t.of(sides[1]))
			fmt.Fprintln(b.out, compare(t.of(sides[0]), t.of(sides[1])).text())
		}
	}
	if b.calls < 100 {
		fmt.Fprintf(b.out, "\nOf fewer than 100 calls p99 is the slowest one.\n")
	}
	fmt.Fprintln(b.out, "\nCost of the run, by the ledger, with the call that went ahead")
	for i, s := range sides {
		text := s.note
		if s.cost != "" {
			text = s.cost + " USD"
			if s.note != "" {
				text += " (" + s.note + ")"
			}
		}
		fmt.Fprintf(b.out, "  %c  %d tokens in, %d out: %s\n", "AB"[i], s.in, s.out, text)
	}
	for i, s := range sides {
		if s.errors > 0 {
			fmt.Fprintf(b.out, "\n%c: %d of %d calls failed, the first: %s\n", "AB"[i], s.errors, b.calls, s.said)
		}
	}
}

// sideReport is a side in JSON.
type sideReport struct {
	Asked      string        `json:"asked"`
	Name       string        `json:"name"`
	ARN        string        `json:"arn,omitzero"`
	Region     string        `json:"region"`
	FirstToken *distribution `json:"first_token_ms,omitzero"`
	Total      distribution  `json:"total_ms"`
	Errors     int           `json:"errors"`
	Error      string        `json:"first_error,omitzero"`
	Input      int64         `json:"input_tokens"`
	Output     int64         `json:"output_tokens"`
	CostUSD    string        `json:"cost_usd,omitzero"`
	CostNote   string        `json:"cost_note,omitzero"`
}

func (b *profileBench) printJSON(sides [2]*side) error {
	report := struct {
		Prompt      string        `json:"prompt"`
		Calls       int           `json:"calls"`
		Concurrency int           `json:"concurrency"`
		Stream      bool          `json:"stream"`
		A           sideReport    `json:"a"`
		B           sideReport    `json:"b"`
		FirstToken  *medianChange `json:"first_token_b_minus_a_ms,omitzero"`
		Total       *medianChange `json:"total_b_minus_a_ms,omitzero"`
	}{Prompt: b.prompt, Calls: b.calls, Concurrency: b.concurrency, Stream: b.stream}
	for i, s := range sides {
		r := sideReport{Asked: s.asked, Name: s.name, ARN: s.arn, Region: s.region, Total: distribute(s.total), Errors: s.errors, Error: s.said,
			Input: s.in, Output: s.out, CostUSD: s.cost, CostNote: s.note}
		if b.stream {
			d := distribute(s.first)
			r.FirstToken = &d
		}
		*[]*sideReport{&report.A, &report.B}[i] = r
	}
	if len(sides[0].total) > 0 && len(sides[1].total) > 0 {
		report.Total = compare(sides[0].total, sides[1].total)
		if b.stream {
			report.FirstToken = compare(sides[0].first, sides[1].first)
		}
	}
	text, err := json.Marshal(&report, jsontext.WithIndent("  "))
	if err == nil {
		_, err = b.out.Write(append(text, '\n'))
	}
	return err
}
