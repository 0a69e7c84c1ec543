package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/cost"
	"outcrop/reconcile"
)

// reconcileOptions is the flags of `outcrop reconcile`.
type reconcileOptions struct {
	since, until       string
	upstreams, gateway []string
	accounts, profiles []string
	byModel, net       bool
	all, json, csv     bool
	failOver           string
	except             []string

	// What check reads from them, and from the configuration.
	from, to  time.Time
	limit     reconcile.Amount
	percent   bool // limit is a part of AWS's sum, in hundredths
	excepted  []reconcile.Reason
	profileOf map[string]string // AWS's -> ours
}

func reconcileCommand() *cobra.Command {
	var o reconcileOptions
	var names strings.Builder
	for _, r := range reconcile.Reasons() {
		fmt.Fprintf(&names, "  %-17s %s\n", r, r.Meaning())
	}
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{
		Use: "reconcile FILE|FOLDER...", Args: cobra.MinimumNArgs(1),
		Short: "Compare the ledger with AWS's bill, or with its logs of invocations, and say why they differ",
		Long: `Compare the account's ledger with what AWS says: a Cost and Usage Report (CUR 2.0 of Data Exports, or a legacy one: CSV, with gzip or
without, or Parquet), or the logs of model invocations that Bedrock delivers to S3 or CloudWatch. By how much the two differ is shown for each profile and
day, with the reasons; what these amount to is the whole difference, to the last digit. Nothing is written.

The reasons:

` + names.String() + `
The exit status is 1 where --fail-over says so, and 2 where nothing could be compared.`,
		Example: "  outcrop reconcile ./cur/\n" +
			"  outcrop reconcile --since 2026-11-01 --until 2026-12-01 --fail-over 1% --except tax,credit,not-yet example-00001.snappy.parquet\n" +
			"  outcrop reconcile --gateway 'arn:aws:sts::*:assumed-role/gateway/*' ./cur/\n" +
			"  outcrop reconcile --json AWSLogs/123456789012/BedrockModelInvocationLogs/",
	}, func(ctx context.Context, f *folder, args []string) error {
		if err := o.check(f); err != nil {
			return err
		}
		report, err := o.run(ctx, f, args)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		switch {
		case o.json:
			err = writeReportJSON(out, report)
		case o.csv:
			err = writeReportCSV(out, report)
		default:
			err = o.writeReport(out, report)
		}
		if err != nil {
			return err
		}
		return o.verdict(cmd.ErrOrStderr(), report)
	})
	fl := cmd.Flags()
	fl.StringVar(&o.since, "since", "", "from this day (UTC) on (default: the first that AWS's files have)")
	fl.StringVar(&o.until, "until", "", "before this day (default: the one after the last that they have)")
	fl.StringSliceVar(&o.upstreams, "upstream", nil, "upstreams that AWS bills (default: those of provider bedrock in the configuration; where there are none, all)")
	fl.StringSliceVar(&o.gateway, "gateway", nil, "the gateway's own principals at AWS, as arn:aws:sts::*:assumed-role/gateway/*; calls of others are told apart")
	fl.StringSliceVar(&o.accounts, "aws-account", nil, "only these accounts of AWS's files (default: all)")
	fl.StringArrayVar(&o.profiles, "profile", nil, "AWS-ARN=PROFILE: which profile of the ledger an inference profile of AWS stands for; those of the configuration's upstreams are known")
	fl.BoolVar(&o.byModel, "by-model", false, "compare models, whatever the profile")
	fl.BoolVar(&o.net, "net", false, "compare with the bill's net costs, in which its discounts are")
	fl.BoolVar(&o.all, "all", false, "show the days, too, on which nothing differs")
	fl.BoolVar(&o.json, "json", false, "print JSON, with all digits and all evidence")
	fl.BoolVar(&o.csv, "csv", false, "print CSV, a row for each profile, day and reason")
	fl.StringVar(&o.failOver, "fail-over", "", "exit with status 1 when the reasons, without their signs, amount to more: US dollars, as 0.50, or a part of AWS's sum, as 1%")
	fl.StringSliceVar(&o.except, "except", nil, "reasons that do not count for --fail-over")
	// 1 says that the two differ: whatever else is wrong is 2.
	other := func(err error) error {
		if _, ok := errors.AsType[exitStatus](err); err == nil || ok {
			return err
		}
		return exitStatus{2, err}
	}
	args, compare := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, names []string) error { return other(args(cmd, names)) }
	cmd.RunE = func(cmd *cobra.Command, names []string) error { return other(compare(cmd, names)) }
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return other(err) })
	return cmd
}

// check reads the flags.
func (o *reconcileOptions) check(f *folder) error {
	if o.json && o.csv {
		return errors.New("--json and --csv: want one of them")
	}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", o.since, &o.from}, {"until", o.until, &o.to}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.to, err = parseCalendar(t.name, t.text, time.Now(), time.UTC); err != nil {
			return err
		}
		if !cost.Day.Start(*t.to).Equal(*t.to) {
			return fmt.Errorf("--%s %s: want a day, or a month: AWS's days are compared whole", t.name, t.text)
		}
	}
	if !o.from.IsZero() && !o.to.IsZero() && !o.from.Before(o.to) {
		return fmt.Errorf("there is no time from %s to %s", o.from.Format(time.DateOnly), o.to.Format(time.DateOnly))
	}
	for _, name := range o.except {
		i := slices.IndexFunc(reconcile.Reasons(), func(r reconcile.Reason) bool { return r.String() == name })
		if i < 0 {
			return fmt.Errorf("--except %s: there is no such reason; outcrop reconcile --help has them", name)
		}
		o.excepted = append(o.excepted, reconcile.Reason(i))
	}
	if o.failOver != "" {
		text, percent := strings.CutSuffix(o.failOver, "%")
		limit, err := reconcile.ParseAmount(text)
		if err != nil || limit.Cmp(reconcile.Amount{}) < 0 {
			return fmt.Errorf("--fail-over %s: want US dollars as 0.50, or a part as 1%%", o.failOver)
		}
		o.limit, o.percent = limit, percent
	}
	o.profileOf = map[string]string{}
	known := o.upstreams == nil
	for i := range f.config.Upstreams {
		u := &f.config.Upstreams[i]
		if u.Provider != "bedrock" {
			continue
		}
		if known {
			o.upstreams = append(o.upstreams, u.Name)
		}
		if u.Bedrock != nil {
			for ours, theirs := range u.Bedrock.Profiles {
				o.profileOf[theirs] = ours
			}
		}
	}
	for _, p := range o.profiles {
		theirs, ours, ok := strings.Cut(p, "=")
		if !ok || theirs == "" || ours == "" {
			return fmt.Errorf("--profile %s: want AWS-ARN=PROFILE", p)
		}
		o.profileOf[theirs] = ours
	}
	return nil
}

func (o *reconcileOptions) run(ctx context.Context, f *folder, paths []string) (report *reconcile.Report, err error) {
	cat, err := f.prices(ctx)
	if err != nil {
		return nil, err
	}
	c := reconcile.New(reconcile.Config{
		Catalog: cat, Rater: cost.NewRater(cat), Since: o.from, Until: o.to, Upstreams: o.upstreams, Principals: o.gateway, Accounts: o.accounts,
		Profiles: o.profileOf, ByModel: o.byModel, Net: o.net,
	})
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Read(ctx, paths...); err != nil {
		return nil, err
	}
	since, until, _ := c.Period()
	for e, err := range f.store.Calls(ctx, f.account, since, 0) {
		if err != nil {
			return nil, err
		}
		if !e.Intent.Time.Before(until) {
			break // they come in the order of their times
		}
		if err := c.Entry(e); err != nil {
			return nil, err
		}
	}
	return c.Report(ctx)
}

// verdict is the exit status that --fail-over asks for.
func (o *reconcileOptions) verdict(out io.Writer, r *reconcile.Report) error {
	if o.failOver == "" {
		return nil
	}
	var drift reconcile.Amount
	for _, s := range r.Reasons {
		if !slices.Contains(o.excepted, s.Reason) {
			drift = drift.Add(s.Amount.Abs())
		}
	}
	limit := o.limit
	if o.percent {
		limit = r.AWS.Abs().Percent(o.limit)
	}
	if drift.Cmp(limit) <= 0 {
		return nil
	}
	fmt.Fprintf(out, "outcrop: the reasons amount to %s USD, more than %s\n", drift.Rounded(), o.failOver)
	return exitStatus{1, nil}
}

// driftLine is one reason of one profile and day, as --json and --csv have it. Amounts are AWS's less the ledger's, in US dollars.
type driftLine struct {
	Reason  string   `json:"reason"`
	USD     string   `json:"usd"`
	Tokens  int64    `json:"tokens"`
	Details []string `json:"details,omitempty"`
	More    int      `json:"more_details,omitzero"` // that were not kept
}

func writeReportJSON(out io.Writer, r *reconcile.Report) error {
	type line struct {
		Day     string      `json:"day"`
		ARN     string      `json:"resource"`
		Name    string      `json:"name,omitempty"`
		AWS     string      `json:"aws_usd"`
		Ledger  string      `json:"ledger_usd"`
		Drift   string      `json:"drift_usd"`
		Lines   int64       `json:"aws_lines"`
		Charges int64       `json:"ledger_charges"`
		Reasons []driftLine `json:"reasons"`
	}
	doc := struct {
		Source  string      `json:"source"`
		Since   string      `json:"since"`
		Until   string      `json:"until"`
		Covered time.Time   `json:"aws_until"`
		AWS     string      `json:"aws_usd"`
		Ledger  string      `json:"ledger_usd"`
		Drift   string      `json:"drift_usd"`
		Reasons []driftLine `json:"reasons"`
		Rows    []line      `json:"rows"`
		Notes   []string    `json:"notes"`
	}{
		Source: r.Source, Since: r.Since.Format(time.DateOnly), Until: r.Until.Format(time.DateOnly), Covered: r.Covered,
		AWS: r.AWS.String(), Ledger: r.Ledger.String(), Drift: r.Drift.String(), Reasons: []driftLine{}, Rows: []line{}, Notes: []string{},
	}
	for _, s := range r.Reasons {
		doc.Reasons = append(doc.Reasons, driftLine{s.Reason.String(), s.Amount.String(), s.Tokens, nil, 0})
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		l := line{row.Day.Format(time.DateOnly), row.Profile, row.Name, row.AWS.String(), row.Ledger.String(), row.Drift.String(), row.Bill, row.LedgerLines, []driftLine{}}
		for _, item := range row.Items {
			l.Reasons = append(l.Reasons, driftLine{item.Reason.String(), item.Amount.String(), item.Tokens, item.Details, item.More})
		}
		doc.Rows = append(doc.Rows, l)
	}
	doc.Notes = append(doc.Notes, r.Notes...)
	text, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

func writeReportCSV(out io.Writer, r *reconcile.Report) error {
	w := csv.NewWriter(out)
	w.Write([]string{"day", "resource", "name", "aws_usd", "ledger_usd", "reason", "drift_usd", "tokens", "details"}) //nolint:errcheck // told by Error
	for i := range r.Rows {
		row := &r.Rows[i]
		at := []string{row.Day.Format(time.DateOnly), spreadsheet(row.Profile), spreadsheet(row.Name), row.AWS.String(), row.Ledger.String()}
		if len(row.Items) == 0 {
			w.Write(append(at, "", "0", "0", "")) //nolint:errcheck // as well
		}
		for n, item := range row.Items {
			if n > 0 { // what it is of stands once: columns can be added up
				at[3], at[4] = "0", "0"
			}
			w.Write(append(slices.Clone(at), item.Reason.String(), item.Amount.String(), strconv.FormatInt(item.Tokens, 10), spreadsheet(evidence(&item)))) //nolint:errcheck // as well
		}
	}
	w.Flush()
	return w.Error()
}

// evidence is all that is kept of it, in one cell.
func evidence(item *reconcile.Item) string {
	s := strings.Join(item.Details, "; ")
	if item.More > 0 {
		s += fmt.Sprintf("; and %d more", item.More)
	}
	return s
}

func (o *reconcileOptions) writeReport(out io.Writer, r *reconcile.Report) error {
	fmt.Fprintf(out, "%s, %s to %s (UTC); AWS's files have usage until %s\n\n", r.Source, r.Since.Format(time.DateOnly), r.Until.Format(time.DateOnly),
		r.Covered.Format("2006-01-02 15:04"))
	layout, head := time.DateOnly, "DAY"
	if r.Monthly {
		layout, head = "2006-01", "MONTH"
	}
	table := [][]string{{head, "PROFILE", "AWS USD", "LEDGER USD", "DRIFT USD", "REASON", "TOKENS", ""}}
	same := 0
	for i := range r.Rows {
		row := &r.Rows[i]
		if len(row.Items) == 0 && !o.all {
			same++
			continue
		}
		name := row.Profile
		if row.Name != "" {
			name = row.Name
		}
		cells := []string{row.Day.Format(layout), printable(name), row.AWS.Rounded(), row.Ledger.Rounded()}
		if len(row.Items) == 0 {
			table = append(table, append(cells, "0", "-", "", ""))
		}
		for n, item := range row.Items {
			if n > 0 {
				cells = []string{"", "", "", ""}
			}
			detail := ""
			if len(item.Details) > 0 {
				detail = printable(item.Details[0])
				if more := len(item.Details) - 1 + item.More; more > 0 {
					detail += fmt.Sprintf(" (and %d more)", more)
				}
			}
			table = append(table, append(slices.Clone(cells), item.Amount.Rounded(), item.Reason.String(), strconv.FormatInt(item.Tokens, 10), detail))
		}
	}
	if len(table) > 1 {
		if err := writeTable(out, table); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if same > 0 {
		fmt.Fprintf(out, "Without any difference: %d of %d profiles and days\n\n", same, len(r.Rows))
	}
	table = [][]string{{"REASON", "USD", "TOKENS", ""}}
	for _, s := range r.Reasons {
		table = append(table, []string{s.Reason.String(), s.Amount.Rounded(), strconv.FormatInt(s.Tokens, 10), s.Reason.Meaning()})
	}
	table = append(table, []string{"DRIFT", r.Drift.Rounded(), "", "AWS " + r.AWS.Rounded() + ", ledger " + r.Ledger.Rounded()})
	if err := writeTable(out, table); err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, "note:", printable(n))
	}
	return nil
}
