package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	control "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The three Regions behind a geography's profile, the first of which is the caller's.
var three = []string{"us-east-1", "us-east-2", "us-west-2"}

const (
	threeProfile = "inference-profile/us.amazon.nova-lite-v1:0"
	firstToken   = time.Second // for which the gateway waits
)

// scenario is one way in which Regions fail while calls go on.
type scenario struct {
	name    string
	policy  string // the profile's outcrop:routing; "" is none
	sick    []string
	what    string // for the table
	fault   func(w *world)
	heal    func(w *world)
	flaps   bool // fault and heal take turns, a second each
	dead    bool // the sick Regions are of no use: calls must leave them
	allDead bool
	cuts    bool // streams that have begun are broken
	short   bool // it runs without SCENARIOS, too
}

func (w *world) each(f func(*region)) {
	for _, name := range w.sick {
		f(w.regions[name])
	}
}

func kill(w *world)   { w.each((*region).kill) }
func revive(w *world) { w.each((*region).start) }
func behave(how string) func(*world) {
	return func(w *world) { w.each(func(r *region) { r.behave(how) }) }
}

// shared is a policy that sends every Region a third, so that what a Region gets back can be measured.
const shared = "weighted"

var scenarios = []scenario{
	{name: "killed", what: "kill -9", policy: shared, sick: three[1:2], fault: kill, heal: revive, dead: true, short: true},
	{name: "source-killed", what: "kill -9 of the caller's own Region, policy default", sick: three[:1], fault: kill, heal: revive, dead: true},
	{name: "hung", what: "SIGSTOP: connections open, nothing is read", policy: shared, sick: three[1:2], dead: true, short: true,
		fault: func(w *world) { w.each(func(r *region) { r.freeze(true) }) }, heal: func(w *world) { w.each(func(r *region) { r.freeze(false) }) }},
	{name: "silent", what: "takes calls, never answers", policy: shared, sick: three[1:2], fault: behave(isSilent), heal: behave(isWell), dead: true},
	{name: "429", what: "429", policy: shared, sick: three[1:2], fault: behave(isThrottled), heal: behave(isWell), dead: true},
	{name: "429-retry-after", what: "429 with Retry-After: 2", policy: shared, sick: three[1:2], fault: behave(isWaiting), heal: behave(isWell), dead: true},
	{name: "500", what: "500", policy: shared, sick: three[1:2], fault: behave(isFailing), heal: behave(isWell), dead: true, short: true},
	{name: "cut-before", what: "the connection breaks before the first event", policy: shared, sick: three[1:2], fault: behave(cutsBefore), heal: behave(isWell), dead: true},
	{name: "cut-after", what: "streams break after their first events", policy: shared, sick: three[1:2], fault: behave(cutsAfter), heal: behave(isWell), cuts: true},
	{name: "slow", what: "20 times as slow", policy: shared, sick: three[1:2], fault: behave(isSlow), heal: behave(isWell)},
	{name: "flapping", what: "kill -9 and start, a second each", policy: shared, sick: three[1:2], fault: kill, heal: revive, flaps: true},
	{name: "one-left", what: "kill -9 of two", policy: shared, sick: three[1:], fault: kill, heal: revive, dead: true, short: true},
	{name: "all-dead", what: "kill -9 of all", policy: shared, sick: three, fault: kill, heal: revive, dead: true, allDead: true, short: true},
}

// lengths are how long the phases of a scenario take.
type lengths struct {
	before, during, after time.Duration
	rate                  float64 // calls a second
}

func (l lengths) total() time.Duration { return l.before + l.during + l.after }

// world is three Regions, a gateway before them and a profile.
type world struct {
	scenario
	lengths
	t       *testing.T
	regions map[string]*region
	gateway *server
	client  *bedrockruntime.Client
	profile string
}

// newWorld starts it.
func newWorld(t *testing.T, s scenario, l lengths) *world {
	w := &world{scenario: s, lengths: l, t: t, regions: map[string]*region{}}
	var config strings.Builder
	config.WriteString("upstreams:\n")
	for _, name := range three {
		r := startRegion(t, name)
		w.regions[name] = r
		fmt.Fprintf(&config, "  - name: %s\n    provider: openai\n    base_url: http://%s/v1\n    regions: [%[1]s]\n    timeouts: {connect: 1s, first_token: %[3]v, between_tokens: 2s}\n", name, r.address, firstToken)
	}
	w.gateway = start(t, options{config: config.String()})
	w.profile = w.gateway.routed("fleet", threeProfile, s.policy)
	w.client = w.gateway.runtime(three[0])
	return w
}

// routed makes an application profile of a model or a system-defined profile, with a routing policy unless that is "".
func (s *server) routed(name, of, policy string) (arn string) {
	s.t.Helper()
	source := "arn:aws:bedrock:" + three[0] + ":" + account + ":" + of
	if strings.HasPrefix(of, "foundation-model/") {
		source = "arn:aws:bedrock:" + three[0] + "::" + of
	}
	in := &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: &name,
		ModelSource:          &control.InferenceProfileModelSourceMemberCopyFrom{Value: source},
	}
	if policy != "" {
		in.Tags = []control.Tag{{Key: aws.String("outcrop:routing"), Value: &policy}}
	}
	out, err := s.bedrock(three[0]).CreateInferenceProfile(deadline(s.t), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.InferenceProfileArn
}

// sent is one call of the load.
type sent struct {
	at       time.Duration // since the load began
	first    time.Duration // to the first event; of a whole answer, to its end
	total    time.Duration
	stream   bool
	begun    bool   // an event was seen
	region   string // that answered
	attempts int    // as the gateway says; 0 when it does not
	fault    string // the error's code; "" for none
	text     string // the error
}

// load calls at a constant rate, whatever comes back, one whole answer and one stream in turn, until ctx ends.
func (w *world) load(ctx context.Context, began time.Time) []sent {
	var mu sync.Mutex
	var all []sent
	var calls sync.WaitGroup
	every := time.Duration(float64(time.Second) / w.rate)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		if late := time.Until(began.Add(time.Duration(i) * every)); late > 0 {
			select {
			case <-time.After(late):
			case <-ctx.Done():
				continue
			}
		}
		calls.Go(func() {
			c := w.call(began, i)
			mu.Lock()
			all = append(all, c)
			mu.Unlock()
		})
	}
	calls.Wait()
	return all
}

// call sends the call of that number.
func (w *world) call(began time.Time, i int) (c sent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), patience)
	defer cancel()
	at := time.Now()
	c.at, c.stream = at.Sub(began), i%2 == 1
	prompt := ask(fmt.Sprintf("Question %d: who are you?", i))
	var err error
	var meta middleware.Metadata
	if c.stream {
		var out *bedrockruntime.ConverseStreamOutput
		if out, err = w.client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &w.profile, Messages: prompt}); err == nil {
			meta = out.ResultMetadata
			events := out.GetStream()
			for e := range events.Events() {
				if !c.begun {
					c.begun, c.first = true, time.Since(at)
				}
				if d, ok := e.(*rt.ConverseStreamOutputMemberContentBlockDelta); ok && c.region == "" {
					if text, ok := d.Value.Delta.(*rt.ContentBlockDeltaMemberText); ok {
						c.region = text.Value
					}
				}
			}
			err = errors.Join(events.Err(), events.Close())
		}
	} else {
		var out *bedrockruntime.ConverseOutput
		if out, err = w.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &w.profile, Messages: prompt}); err == nil {
			meta = out.ResultMetadata
			c.region, _, _ = strings.Cut(out.Output.(*rt.ConverseOutputMemberMessage).Value.Content[0].(*rt.ContentBlockMemberText).Value, " ")
			c.first = time.Since(at)
		}
	}
	c.total = time.Since(at)
	said := header(meta)
	if err != nil {
		c.fault, c.text = "no answer", err.Error()
		if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && resp.Response != nil {
			said = resp.Response.Header
		}
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			c.fault = api.ErrorCode()
		}
	}
	c.attempts, _ = strconv.Atoi(said.Get("X-Outcrop-Attempts"))
	return c
}

// ran is what came of a scenario.
type ran struct {
	*world
	calls          []sent
	reached        map[string][3]int // calls that reached each Region, by phase
	sickAt, healAt time.Duration     // when the phases really began
	healing        time.Duration     // when the first of the sick began to be well again
}

// run plays the scenario.
func (w *world) run() *ran {
	r := &ran{world: w, reached: map[string][3]int{}}
	began := time.Now()
	ctx, stop := context.WithTimeout(w.t.Context(), w.total())
	defer stop()
	done := make(chan []sent)
	go func() { done <- w.load(ctx, began) }()
	last := map[string]int{}
	mark := func(phase int) {
		for _, name := range three {
			n := w.regions[name].calls()
			phases := r.reached[name]
			phases[phase], last[name] = n-last[name], n
			r.reached[name] = phases
		}
	}
	time.Sleep(time.Until(began.Add(w.before)))
	mark(0)
	r.sickAt = time.Since(began)
	end := began.Add(w.before + w.during)
	w.fault(w)
	if w.flaps {
		for up := true; time.Until(end) > time.Second; up = !up {
			time.Sleep(time.Second)
			if up {
				w.heal(w)
			} else {
				w.fault(w)
			}
		}
	}
	time.Sleep(time.Until(end))
	mark(1)
	r.healing = time.Since(began)
	w.heal(w)
	r.healAt = time.Since(began)
	r.calls = <-done
	mark(2)
	slices.SortFunc(r.calls, func(a, b sent) int { return int(a.at - b.at) })
	return r
}

// between are the calls that were sent within a time.
func (r *ran) between(from, to time.Duration) []sent {
	i, _ := slices.BinarySearchFunc(r.calls, from, func(c sent, t time.Duration) int { return int(c.at - t) })
	j, _ := slices.BinarySearchFunc(r.calls, to, func(c sent, t time.Duration) int { return int(c.at - t) })
	return r.calls[i:j]
}

func (r *ran) isSick(region string) bool { return slices.Contains(r.sick, region) }

// share is the part of calls that f holds for, 0 of none.
func share(calls []sent, f func(*sent) bool) float64 {
	n := 0
	for i := range calls {
		if f(&calls[i]) {
			n++
		}
	}
	return float64(n) / float64(max(len(calls), 1))
}

// touched says that a call went to a sick Region, whoever answered it.
func (r *ran) touched(c *sent) bool { return c.attempts > 1 || c.fault != "" || r.isSick(c.region) }

// Shares are taken of the calls of two seconds: of one there are too few to tell one in a hundred from chance.
const (
	window = 2 * time.Second
	step   = 100 * time.Millisecond
)

// ejected is the time from the fault until the sick Regions get less than 1% each of the calls, in any two seconds.
func (r *ran) ejected() (time.Duration, bool) {
	at := r.sickAt
	for t := r.sickAt; t+window <= r.healAt; t += step {
		if share(r.between(t, t+window), r.touched) >= 0.01*float64(len(r.sick)) {
			at = t + step
		}
	}
	return at - r.sickAt, at+window <= r.healAt
}

// recovered is the time from the healing until the sick Regions have 80% of the share that they had, in two seconds.
func (r *ran) recovered() (time.Duration, bool) {
	was := share(r.between(0, r.sickAt), func(c *sent) bool { return r.isSick(c.region) })
	for t := r.healAt; t+window <= r.total(); t += step {
		if share(r.between(t, t+window), func(c *sent) bool { return r.isSick(c.region) }) >= 0.8*was {
			return t - r.healAt, true
		}
	}
	return 0, false
}

// quantile is a quantile of the times to the first event of the calls that were answered, 0 of none.
func quantile(calls []sent, q float64) time.Duration {
	var times []time.Duration
	for _, c := range calls {
		if c.fault == "" {
			times = append(times, c.first)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

// faults counts the errors by their code: of calls whose answer had not begun, and of streams that had.
func faults(calls []sent) (unbegun, begun map[string]int) {
	unbegun, begun = map[string]int{}, map[string]int{}
	for _, c := range calls {
		switch {
		case c.fault == "":
		case c.begun:
			begun[c.fault]++
		default:
			unbegun[c.fault]++
		}
	}
	return unbegun, begun
}

// attempts is how many attempts there were for each call, as the gateway says, from the fault on. Where every Region is
// dead the ten seconds before it count, too: it is by them that second attempts are bounded, and there is nobody else to
// be spared.
func (r *ran) attempts() float64 {
	from := r.sickAt
	if r.allDead {
		from -= 10 * time.Second
	}
	n, calls := 0, r.between(from, r.total())
	for _, c := range calls {
		n += max(c.attempts, 1)
	}
	return float64(n) / float64(max(len(calls), 1))
}

// survivors is how many calls reached the Regions that were well, for each call that was sent while others were not.
func (r *ran) survivors() float64 {
	n := 0
	for name, phases := range r.reached {
		if !r.isSick(name) {
			n += phases[1]
		}
	}
	return float64(n) / float64(max(len(r.between(r.sickAt, r.healAt)), 1))
}

// row is the scenario's line in the table.
func (r *ran) row() []string {
	well, sick := r.between(r.before/3, r.sickAt), r.between(r.sickAt, r.healAt) // without the start of everything
	added := func(q float64) string {
		if r.allDead || quantile(sick, q) == 0 {
			return "-"
		}
		d := quantile(sick, q) - quantile(well, q)
		return fmt.Sprintf("%+.0f ms", float64(d)/float64(time.Millisecond))
	}
	seconds := func(d time.Duration, ok bool) string {
		if !ok {
			return "never"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	unbegun, begun := faults(r.between(r.sickAt, r.total()))
	ejected, recovered := "-", "-"
	if (r.dead || r.cuts || r.name == "slow") && !r.allDead {
		ejected = seconds(r.ejected())
	}
	if !r.flaps {
		recovered = seconds(r.recovered())
	}
	load := "-"
	if !r.allDead {
		load = fmt.Sprintf("%.2f", r.survivors())
	}
	return []string{
		r.name, strconv.Itoa(len(r.between(r.sickAt, r.total()))), count(unbegun), count(begun), added(0.5), added(0.99),
		ejected, recovered, fmt.Sprintf("%.3f", r.attempts()), load,
	}
}

func count(m map[string]int) string {
	if len(m) == 0 {
		return "0"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}

// picture is each Region's share of the answers over time, a character for half a second.
func (r *ran) picture() string {
	const cell = 500 * time.Millisecond
	var b strings.Builder
	for _, name := range three {
		fmt.Fprintf(&b, "%-10s ", name)
		for t := time.Duration(0); t+cell <= r.total(); t += cell {
			s := share(r.between(t, t+cell), func(c *sent) bool { return c.region == name })
			if s == 0 {
				b.WriteRune('·')
				continue
			}
			b.WriteRune([]rune("▁▂▃▄▅▆▇█")[min(int(s*8), 7)])
		}
		b.WriteString("\n")
	}
	cells := func(d time.Duration) string { return strings.Repeat(" ", max(int(d/cell)-1, 0)) }
	fmt.Fprintf(&b, "%-10s %s^%s^\n", "", cells(r.sickAt+cell), cells(r.healAt-r.sickAt))
	return b.String()
}

// check holds the scenario to what must always be so; with times, to those of the table too.
func (r *ran) check(times bool) {
	t := r.t
	later := r.between(r.sickAt, r.total())
	unbegun, begun := faults(later)
	for _, c := range r.between(0, r.sickAt) {
		if c.fault != "" && c.at+c.total < r.sickAt {
			t.Errorf("while all was well: %s", c.text)
		}
	}
	for i := range later {
		if c := &later[i]; c.fault == "" && c.attempts == 0 {
			t.Error("the answers do not say how many attempts there were")
			break
		}
	}
	if was := share(r.between(0, r.sickAt), func(c *sent) bool { return r.isSick(c.region) }); was < 0.15 {
		t.Errorf("%v had %.0f%% of the calls while all was well: nothing is tested", r.sick, 100*was)
	}
	if len(begun) > 0 && !r.cuts && !r.dead && !r.flaps {
		t.Errorf("streams that had begun were broken: %v", begun)
	}
	if r.allDead {
		down := r.between(r.sickAt+step, r.healing-step)
		if len(down) == 0 {
			t.Fatal("no calls")
		}
		for _, c := range down {
			// What was on its way when the last Region died has been answered by it.
			if c.fault != "ServiceUnavailableException" {
				t.Errorf("%v after the start: %q %s, %d attempts", c.at, c.fault, c.text, c.attempts)
				break
			}
			if limit := firstToken; times && c.total > limit || c.total > 10*limit {
				t.Errorf("the answer that there is none took %v", c.total)
				break
			}
		}
		for code := range unbegun {
			if code != "ServiceUnavailableException" {
				t.Errorf("errors %v", unbegun)
			}
		}
	} else if len(unbegun) > 0 {
		for _, c := range later {
			if c.fault != "" && !c.begun {
				t.Errorf("%d calls failed that had not begun, the first %v after the start (the fault came at %v): %d attempts, %s", unbegunCalls(later), c.at, r.sickAt, c.attempts, c.text)
				break
			}
		}
	}
	// Few calls of which all fail are within the floor of what an upstream may be asked again: docs/routing.md, retry budget.
	if n := r.attempts(); n > 1.2 && (times || !r.allDead) {
		t.Errorf("%.2f attempts for each call", n)
	}
	if !r.allDead {
		if n := r.survivors(); n > 1.2 {
			t.Errorf("the survivors were asked %.2f times for each call", n)
		}
	}
	r.gateway.manage("verify")
	if len(r.between(r.healAt, r.total())) == 0 || r.calls[len(r.calls)-1].fault != "" {
		t.Error("the last call failed")
	}
	if d, ok := r.ejected(); times && r.cuts && (!ok || d > 4*time.Second) { // some calls have to break before it shows, and others do not
		t.Errorf("the Region that breaks streams has 1%% or more of the calls %v after the fault", d)
	}
	if !times || !r.dead {
		return
	}
	if d, ok := r.ejected(); !r.allDead && (!ok || d > 2*time.Second) {
		t.Errorf("the sick Region has 1%% or more of the calls %v after the fault", d)
	}
	if d, ok := r.recovered(); !ok || d > 10*time.Second {
		t.Errorf("it has its share back after %v (%t)", d, ok)
	}
}

// unbegunCalls counts the calls that failed before their answer had begun.
func unbegunCalls(calls []sent) (n int) {
	for _, c := range calls {
		if c.fault != "" && !c.begun {
			n++
		}
	}
	return n
}

// TestRouting plays the scenarios. Without SCENARIOS it plays some of them, shortly, and holds them to what does not
// depend on the machine's speed.
func TestRouting(t *testing.T) {
	which := os.Getenv("SCENARIOS")
	l := lengths{before: 3 * time.Second, during: 3 * time.Second, after: 3 * time.Second, rate: 60}
	if which != "" {
		l = lengths{before: 6 * time.Second, during: 8 * time.Second, after: 14 * time.Second, rate: 200}
		if s := os.Getenv("SCENARIO_RATE"); s != "" {
			var err error
			if l.rate, err = strconv.ParseFloat(s, 64); err != nil || l.rate <= 0 {
				t.Fatalf("SCENARIO_RATE: %q", s)
			}
		}
	}
	wanted := func(name string, short bool) bool {
		return which == "" && short || which == "all" || slices.Contains(strings.Split(which, ","), name)
	}
	var m measured
	for _, s := range scenarios {
		if !wanted(s.name, s.short) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			r := newWorld(t, s, l).run()
			m.scenarios = append(m.scenarios, r)
			t.Logf("%s\n%s", strings.Join(r.row(), " | "), r.picture())
			r.check(which != "")
		})
	}
	if wanted("affinity", true) {
		t.Run("affinity", func(t *testing.T) { m.one, m.all = playAffinity(t) })
	}
	if os.Getenv("UPDATE") != "" {
		if which != "all" {
			t.Fatal("UPDATE needs SCENARIOS=all")
		}
		m.update(t)
	}
}

// measured is what goes into the documentation.
type measured struct {
	scenarios []*ran
	one, all  *warmth
}

// Each language's pages and their words.
var pages = []struct{ file, intro, head, affinity string }{
	{"routing.md", "%.0f calls a second.\n",
		"| scenario | what happens | calls | errors, not begun | errors, begun | added p50 | added p99 | to eject | to recover | attempts a call | asked of survivors, a call |",
		"**Affinity**: conversations of five turns, twelve at once, behind simulated models that cache prompts: one Region reads %.1f%% of the input from its cache, three Regions read %.1f%% (%.0f%% of the former), and the busiest of them has %.2f times its fair share of the calls.\n"},
	{"routing.ja.md", "毎秒 %.0f 回の呼び出し。\n",
		"| シナリオ | 起きること | 呼び出し | エラー、開始前 | エラー、開始後 | p50 の増分 | p99 の増分 | 除外まで | 復帰まで | 試行/呼び出し | 生存 Region への要求/呼び出し |",
		"**アフィニティ**: 5 ターンの会話を同時に 12、プロンプトをキャッシュするシミュレートモデルで。1 つの Region では入力の %.1f%% がキャッシュから読まれ、3 つの Region では %.1f%%（前者の %.0f%%）、最も忙しい Region の呼び出しは公平な割合の %.2f 倍です。\n"},
}

const (
	tableBegin = "<!-- make scenarios: from here -->\n"
	tableEnd   = "<!-- make scenarios: to here -->\n"
)

// update writes the measurements into the documentation.
func (m *measured) update(t *testing.T) {
	if t.Failed() {
		t.Log("what has failed is not written down")
		return
	}
	for _, page := range pages {
		path := filepath.Join("..", "docs", page.file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(text), tableBegin)
		_, after, ended := strings.Cut(rest, tableEnd)
		if !ok || !ended {
			t.Fatalf("%s has no place for the table", path)
		}
		var b strings.Builder
		b.WriteString(before + tableBegin + "\n")
		fmt.Fprintf(&b, page.intro, m.scenarios[0].rate)
		b.WriteString("\n" + page.head + "\n|" + strings.Repeat(" --- |", strings.Count(page.head, "|")-1) + "\n")
		for _, r := range m.scenarios {
			row := r.row()
			fmt.Fprintf(&b, "| %s | %s | %s |\n", row[0], r.what, strings.Join(row[1:], " | "))
		}
		b.WriteString("\n")
		fmt.Fprintf(&b, page.affinity, 100*m.one.share(), 100*m.all.share(), 100*m.all.share()/m.one.share(), m.all.skew(len(three)))
		b.WriteString("\n```\n")
		for _, r := range m.scenarios {
			fmt.Fprintf(&b, "%s\n%s\n", r.name, r.picture())
		}
		b.WriteString("```\n\n" + tableEnd + after)
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
