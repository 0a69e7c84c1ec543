package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/cost"
	"outcrop/fault"
	"outcrop/wire"
)

func demoCommand() *cobra.Command {
	var data, listen string
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the main job done: profiles, calls, a stream, and what they cost",
		Long: "Start a server on an embedded store with simulated models, make the profiles of three teams, call models through\n" +
			"them over HTTP like any AWS client, stream an answer, and print what it cost by tag, profile and caller.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := data
			if dir == "" {
				tmp, err := os.MkdirTemp("", "outcrop-demo-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(tmp)
				dir = tmp
			}
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			c := defaults()
			c.Listen = listen
			s, err := New(cmd.Context(), c, dir, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			up := make(chan string, 1)
			served := make(chan error, 1)
			go func() { served <- s.Run(ctx, func(url string) { up <- url }) }()
			var failed error
			select {
			case err := <-served:
				return errors.Join(err, s.Close())
			case url := <-up:
				d := &demo{server: s, url: url, out: cmd.OutOrStdout(), progress: cmd.ErrOrStderr()}
				if failed = d.run(ctx); failed == nil {
					d.next(dir, exit, data != "")
					if !exit {
						fmt.Fprintln(d.out, "\nThe server stays up. Ctrl-C ends it.")
						<-ctx.Done()
					}
				}
			}
			stop()
			if failed != nil && cmd.Context().Err() != nil {
				failed = nil // Ctrl-C in the middle of the demonstration is no failure of it
			}
			return errors.Join(failed, <-served, s.Close())
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder (default: a temporary one, removed at the end)")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on")
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the report")
	return cmd
}

// demo is one run of the demonstration.
type demo struct {
	server   *server
	url      string
	out      io.Writer
	progress io.Writer
	teams    []team
	callers  []caller
	before   int // calls that an earlier demonstration left in the ledger
}

// team is a team with its profile.
type team struct {
	profile, description, region, source string
	tags                                 [][2]string
	arn                                  string
}

// caller is somebody who calls.
type caller struct {
	name string
	*client
}

// The three teams, with the tags of a usual FinOps scheme.
func teams() []team {
	tags := func(project, department, center, environment string) [][2]string {
		return [][2]string{{"Project", project}, {"Department", department}, {"CostCenter", center}, {"Environment", environment}}
	}
	return []team{
		{profile: "project-alpha-claude-sonnet", description: "Project Alpha - Claude 3.5 Sonnet", region: "ap-northeast-1",
			source: "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0",
			tags:   tags("Alpha", "Engineering", "CC-1001", "Production")},
		{profile: "marketing-team-claude-haiku", description: "Marketing Team - Claude 3 Haiku for content generation", region: "ap-northeast-1",
			source: "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
			tags:   tags("Campaigns", "Marketing", "CC-2001", "Production")},
		{profile: "support-nova-lite", description: "Support - Nova 2 Lite across US Regions", region: "us-east-1",
			source: "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-2-lite-v1:0",
			tags:   tags("Helpdesk", "Support", "CC-3001", "Staging")},
	}
}

const (
	demoCalls     = 90
	systemProfile = "us.amazon.nova-2-lite-v1:0"
	systemRegion  = "us-east-1"
)

var prompts = []string{
	"Explain inference profiles in one sentence.",
	"Summarise this quarter's cloud spend for the board.",
	"Draft a release note for the new billing page.",
	"List 3 differences between Japanese and American baseball.",
	"What are the benefits of application inference profiles?",
}

func (d *demo) run(ctx context.Context) error {
	d.teams = teams()
	defer d.deleteKeys(context.WithoutCancel(ctx))
	var err error
	if d.before, err = d.settled(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"callers", d.people}, {"profiles", d.profiles}, {"calls", d.calls}, {"stream", d.stream}, {"report", d.report},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("demo: %s: %w", step.name, err)
		}
	}
	return nil
}

// people makes two users beside root, who may only run inference.
func (d *demo) people(ctx context.Context) error {
	account := d.server.config.AccountID
	id, secret, err := d.server.people.RootCredentials(ctx, account)
	if err != nil {
		return err
	}
	h := &http.Client{Timeout: time.Minute}
	d.callers = []caller{{"root", &client{d.url, aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, h}}}
	const invoke = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":"*"}]}`
	for _, name := range []string{"alice", "ci-runner"} {
		if _, err := d.server.people.CreateUser(ctx, account, name); err != nil && !fault.Is(err, fault.Conflict) {
			return err // a Conflict: there is one already, of an earlier demonstration
		}
		if err := d.server.people.PutUserPolicy(ctx, account, name, "outcrop-demo", []byte(invoke)); err != nil {
			return err
		}
		key, err := d.server.people.CreateAccessKey(ctx, account, name)
		if err != nil {
			return err
		}
		d.callers = append(d.callers, caller{name, &client{d.url, aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, h}})
	}
	fmt.Fprintf(d.out, "A server with simulated models listens on %s; account %s, callers root, alice, ci-runner.\n\n", d.url, account)
	return nil
}

// deleteKeys deletes the users' keys, which nobody knows after this run: a user has room for few.
func (d *demo) deleteKeys(ctx context.Context) {
	for _, c := range d.callers {
		if c.name == "root" {
			continue
		}
		if err := d.server.people.DeleteAccessKey(ctx, d.server.config.AccountID, c.name, c.credentials.AccessKeyID); err != nil {
			fmt.Fprintln(d.progress, "demo: the access key of", c.name, "stays:", words(err))
		}
	}
}

// profiles makes the teams' profiles, or finds those of an earlier demonstration by their tokens.
func (d *demo) profiles(ctx context.Context) error {
	for i := range d.teams {
		t := &d.teams[i]
		type tag struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		}
		var tags []tag
		var shown []string
		for _, kv := range t.tags {
			tags = append(tags, tag{kv[0], kv[1]})
			shown = append(shown, kv[0]+"="+kv[1])
		}
		var made struct {
			ARN string `json:"inferenceProfileArn"`
		}
		err := d.callers[0].call(ctx, "POST", "/inference-profiles", "bedrock", t.region, nil, map[string]any{
			"inferenceProfileName": t.profile, "description": t.description, "modelSource": map[string]string{"copyFrom": t.source}, "tags": tags,
			"clientRequestToken": "outcrop-demo-" + t.profile,
		}, &made)
		if err != nil {
			return err
		}
		t.arn = made.ARN
		fmt.Fprintf(d.out, "Profile  %-28s %s\n         %s\n", t.profile, strings.Join(shown, " "), t.arn)
	}
	fmt.Fprintln(d.out)
	return nil
}

// calls sends Converse through the teams' profiles and through a system-defined one, from every caller, eight at a time.
func (d *demo) calls(ctx context.Context) error {
	type job struct {
		by            caller
		model, region string
		prompt        string
	}
	var jobs []job
	for i := range demoCalls {
		j := job{by: d.callers[i%len(d.callers)], model: systemProfile, region: systemRegion, prompt: prompts[i%len(prompts)]}
		if n := i / len(d.callers) % (len(d.teams) + 1); n < len(d.teams) {
			j.model, j.region = d.teams[n].arn, d.teams[n].region
		}
		jobs = append(jobs, j)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	work := make(chan job)
	var workers sync.WaitGroup
	bar := newBar(d.progress, "calling models", len(jobs))
	for range 8 {
		workers.Go(func() {
			for j := range work {
				var answer struct {
					Usage struct {
						TotalTokens int64 `json:"totalTokens"`
					} `json:"usage"`
				}
				err := j.by.call(ctx, "POST", "/model/"+url.PathEscape(j.model)+"/converse", "bedrock", j.region, nil, conversation(j.prompt), &answer)
				if err == nil && answer.Usage.TotalTokens == 0 {
					err = errors.New("an answer without usage")
				}
				if err != nil {
					cancel(err)
					continue
				}
				bar.set(int(done.Add(1)))
			}
		})
	}
	for _, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		work <- j
	}
	close(work)
	workers.Wait()
	bar.end()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

func conversation(prompt string) any {
	return map[string]any{
		"system":          []any{map[string]any{"text": "You are a helpful assistant for a platform team."}},
		"messages":        []any{map[string]any{"role": "user", "content": []any{map[string]any{"text": prompt}}}},
		"inferenceConfig": map[string]any{"maxTokens": 200},
	}
}

// stream shows one answer as it comes.
func (d *demo) stream(ctx context.Context) error {
	t := d.teams[0]
	resp, err := d.callers[1].send(ctx, "POST", "/model/"+url.PathEscape(t.arn)+"/converse-stream", "bedrock", t.region, nil, conversation(prompts[0]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintf(d.out, "Streaming through %s:\n  ", t.profile)
	body := bufio.NewReader(resp.Body)
	ended := false
	for {
		m, err := wire.ReadMessage(body)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m.Text(":message-type") != "event" {
			return fmt.Errorf("%s: %s", m.Text(":exception-type"), m.Payload)
		}
		switch m.Text(":event-type") {
		case "contentBlockDelta":
			var e struct {
				Delta struct {
					Text string `json:"text"`
				} `json:"delta"`
			}
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				return err
			}
			fmt.Fprint(d.out, strings.ReplaceAll(e.Delta.Text, "\n", "\n  "))
		case "metadata":
			var e struct {
				Usage struct {
					Input  int64 `json:"inputTokens"`
					Output int64 `json:"outputTokens"`
				} `json:"usage"`
			}
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				return err
			}
			fmt.Fprintf(d.out, "\n  (%d tokens in, %d out)\n\n", e.Usage.Input, e.Usage.Output)
			ended = true
		}
	}
	if !ended {
		return errors.New("the stream ended without its usage")
	}
	return nil
}

// costAndUsage is what the demonstration reads of Cost Explorer's GetCostAndUsage.
type costAndUsage struct {
	ResultsByTime []struct {
		Groups []struct {
			Keys    []string
			Metrics map[string]struct{ Amount, Unit string }
		}
	}
	DimensionValueAttributes []struct {
		Value      string
		Attributes map[string]string
	}
}

// report asks Cost Explorer what the calls cost, as a FinOps team would, and the ledger by whom.
func (d *demo) report(ctx context.Context) error {
	began := time.Now()
	by := func(kind, key string) (costAndUsage, error) {
		var out costAndUsage
		start, end := window()
		err := d.callers[0].call(ctx, "POST", "/", "ce", "us-east-1", target("AWSInsightsIndexService.GetCostAndUsage"), map[string]any{
			"TimePeriod":  map[string]string{"Start": start.Format(time.DateOnly), "End": end.Format(time.DateOnly)},
			"Granularity": "MONTHLY", "Metrics": []string{"UnblendedCost", "UsageQuantity"},
			"GroupBy": []any{map[string]string{"Type": kind, "Key": key}},
		}, &out)
		return out, err
	}
	// Costs are there within a second; wait for the last of them, but not for ever.
	want := demoCalls + 1
	for {
		n, err := d.settled(ctx)
		if err != nil {
			return err
		}
		if n-d.before >= want {
			break
		}
		if time.Since(began) > 10*time.Second {
			return fmt.Errorf("%d of %d calls are in the ledger's index after %v", n-d.before, want, time.Since(began))
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintf(d.out, "%d calls, all priced %d ms after the last one ended.\n", want, time.Since(began).Milliseconds())

	tags, err := by("TAG", "Project")
	if err != nil {
		return err
	}
	d.table("Cost by tag Project", "PROJECT", tags, func(key string) string {
		if _, v, _ := strings.Cut(key, "$"); v != "" {
			return v
		}
		return "(no tag)"
	})
	profiles, err := by("DIMENSION", "RESOURCE_ID")
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, a := range profiles.DimensionValueAttributes {
		names[a.Value] = a.Attributes["name"]
	}
	d.table("Cost by profile", "PROFILE", profiles, func(arn string) string {
		if n := names[arn]; n != "" {
			return n
		}
		_, id, _ := strings.Cut(arn, "/")
		return id
	})
	callers, err := d.byCaller(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nCost by caller\n")
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tCALLS\tTOKENS IN\tTOKENS OUT\tUSD\t  CALLER")
	for _, c := range callers {
		fmt.Fprintf(w, "\t%d\t%d\t%d\t%s\t  %s\n", c.Calls, c.Input, c.Output, cost.FormatUSD(c.Nano), c.Principal)
	}
	return w.Flush()
}

// table prints the groups of an answer, of all its periods together.
func (d *demo) table(title, column string, a costAndUsage, name func(string) string) {
	fmt.Fprintf(d.out, "\n%s\n", title)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  %s\tUSD\t1K TOKENS\n", column)
	for _, r := range a.ResultsByTime {
		for _, g := range r.Groups {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", name(g.Keys[0]), g.Metrics["UnblendedCost"].Amount, g.Metrics["UsageQuantity"].Amount)
		}
	}
	w.Flush()
}

// window is the time of the report: the demonstration may run across midnight.
func window() (start, end time.Time) {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	return day.AddDate(0, 0, -1), day.AddDate(0, 0, 1)
}

// byCaller reads the ledger's figures by caller, which Cost Explorer has no dimension for.
func (d *demo) byCaller(ctx context.Context) ([]cost.Calls, error) {
	start, end := window()
	return cost.Callers(ctx, d.server.store, cost.Query{Account: d.server.config.AccountID, Start: start, End: end}, false)
}

// settled is how many calls the ledger's index has.
func (d *demo) settled(ctx context.Context) (int, error) {
	callers, err := d.byCaller(ctx)
	var n int64
	for _, c := range callers {
		n += c.Calls
	}
	return int(n), err
}

// next prints what a user types next: on this server; or, when it ends in a moment, on another on its folder where that is
// kept, else on one of his own.
func (d *demo) next(dir string, ends, kept bool) {
	program := "outcrop"
	if exe, err := os.Executable(); err == nil {
		program = exe
		if strings.Contains(exe, "go-build") {
			program = "go run ./cmd/outcrop"
		}
	}
	t := d.teams[0]
	folder, model := " --data "+shellQuote(dir), t.profile
	if ends && !kept {
		folder, model = "", strings.TrimPrefix(t.source, "arn:aws:bedrock:"+t.region+"::foundation-model/")
	}
	if ends {
		fmt.Fprintf(d.out, "\nNext, a server that stays:\n\n  %s serve%s\n", program, folder)
	}
	start, end := window()
	fmt.Fprintf(d.out, `
In another terminal:

  eval "$(%s env%s)"
  aws bedrock list-inference-profiles --region %s --type-equals APPLICATION
  aws bedrock-runtime converse --region %s --model-id %s \
    --messages '[{"role":"user","content":[{"text":"Say hello."}]}]'
  aws ce get-cost-and-usage --time-period Start=%s,End=%s --granularity DAILY \
    --metrics UnblendedCost --group-by Type=TAG,Key=Project
`, program, folder, t.region, t.region, model, start.Format(time.DateOnly), end.Format(time.DateOnly))
}

// bar is a progress bar on a terminal, and one line at the end elsewhere.
type bar struct {
	mu       sync.Mutex
	out      io.Writer
	title    string
	total    int
	n        int
	terminal bool
}

func newBar(out io.Writer, title string, total int) *bar {
	b := &bar{out: out, title: title, total: total}
	if f, ok := out.(*os.File); ok {
		if st, err := f.Stat(); err == nil {
			b.terminal = st.Mode()&os.ModeCharDevice != 0
		}
	}
	return b
}

// set shows that n of the total are done; a lower number than before is late news.
func (b *bar) set(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n <= b.n {
		return
	}
	b.n = n
	if b.terminal {
		const width = 40
		full := width * n / b.total
		fmt.Fprintf(b.out, "\r%s [%s%s] %d/%d", b.title, strings.Repeat("#", full), strings.Repeat(".", width-full), n, b.total)
	}
}

func (b *bar) end() {
	if b.terminal {
		fmt.Fprint(b.out, "\n\n")
		return
	}
	fmt.Fprintf(b.out, "%s: %d/%d\n", b.title, b.n, b.total)
}
