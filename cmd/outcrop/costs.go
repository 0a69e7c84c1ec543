package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --zone works where the machine knows none

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/cost"
)

// watchEvery is how often --watch looks.
const watchEvery = 2 * time.Second

func costsCommand() *cobra.Command {
	var o costsOptions
	cmd := folderFlags(&cobra.Command{
		Use: "costs", Args: cobra.NoArgs,
		Short: "Show what calls cost: by tag, profile, caller, model, Region, over time",
		Long: "Show what calls cost, to the nano-dollar and up to now: by tag, profile, caller, model, Region, over time.\n\n" +
			"--by and --where take these names:\n\n" +
			"  profile, profile-arn, model, region (of the caller), service, operation, usage-type\n" +
			"  caller (its ARN), session (of a role), caller-tag:KEY (a tag of the user, role or session)\n" +
			"  tag:KEY (of the profile), metadata:KEY (of the call: requestMetadata)\n\n" +
			"A time is a day (2026-11-24), a month (2026-11), an hour (2026-11-24T15:00:00Z), or a while ago (12h, 7d).",
		Example: "  outcrop costs\n" +
			"  outcrop costs --by tag:Project --every day --since 7d\n" +
			"  outcrop costs --by caller --by metadata:feature --where profile=shared\n" +
			"  outcrop costs --by tag:Project --since 2026-10 --until 2026-11 --tagged now --csv",
	}, func(ctx context.Context, f *folder, _ []string) error { return o.run(ctx, f, os.Stdout) })
	flags := cmd.Flags()
	flags.StringArrayVar(&o.by, "by", nil, "what to tell apart, as tag:Project; up to three times (default profile, and nothing with --every)")
	flags.StringArrayVar(&o.where, "where", nil, "only costs with this NAME=VALUE, as profile=team-alpha or tag:Project=Alpha; all of them, if given several times")
	flags.StringVar(&o.every, "every", "", "over time: hour, day or month")
	flags.StringVar(&o.since, "since", "", "from this time on (default: this month's beginning)")
	flags.StringVar(&o.until, "until", "", "before this time (default: now)")
	flags.StringVar(&o.zone, "zone", "UTC", "time zone whose days and months are meant, as Europe/Berlin or Local")
	flags.StringVar(&o.tagged, "tagged", "then", "with the profiles' tags as of each call (then), as they are now (now), or as of a time")
	flags.IntVar(&o.top, "top", 20, "rows of the table, the dearest; the others are summed up; 0 is all")
	flags.BoolVar(&o.json, "json", false, "print JSON, every row")
	flags.BoolVar(&o.csv, "csv", false, "print CSV, every row")
	flags.BoolVar(&o.watch, "watch", false, "show it anew as it changes, until stopped")
	cmd.AddCommand(tagHistoryCommand())
	return cmd
}

// costsOptions is the flags of `outcrop costs`.
type costsOptions struct {
	by, where                         []string
	every, since, until, zone, tagged string
	top                               int
	json, csv, watch                  bool

	ticks <-chan time.Time // when to look again; nil is every watchEvery
}

// costsReport is what the flags ask for, at one moment.
type costsReport struct {
	query   cost.Query
	tagged  string
	names   []string // of by
	by      []cost.Dimension
	filter  func(*cost.Charges) bool
	periods []cost.Period
	total   cost.Sum
}

func (o *costsOptions) run(ctx context.Context, f *folder, out *os.File) error {
	if o.json && o.csv {
		return errors.New("--json and --csv: want one of them")
	}
	if o.top < 0 {
		return fmt.Errorf("--top %d is negative", o.top)
	}
	var shown []byte
	ticks := o.ticks
	if ticks == nil {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		ticks = tick.C
	}
	for {
		r, err := o.report(ctx, f, time.Now())
		if err != nil {
			if o.watch && shown != nil && ctx.Err() != nil { // stopped while it looked
				return nil
			}
			return err
		}
		var text bytes.Buffer
		switch {
		case o.json:
			err = r.writeJSON(&text)
		case o.csv:
			err = r.writeCSV(&text)
		default:
			d := newDrawing(out)
			d.out = &text
			err = r.writeTable(d, o.top)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(text.Bytes(), shown) {
			if _, terminal := terminalWidth(out); o.watch && terminal {
				fmt.Fprint(out, "\x1b[H\x1b[2J")
			} else if shown != nil && !o.json {
				fmt.Fprintln(out)
			}
			shown = text.Bytes()
			if _, err := out.Write(shown); err != nil {
				return err
			}
		}
		if !o.watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
	}
}

// report reads what o asks for at now.
func (o *costsOptions) report(ctx context.Context, f *folder, now time.Time) (*costsReport, error) {
	zone, err := time.LoadLocation(o.zone)
	if err != nil {
		return nil, fmt.Errorf("--zone %s: %w", o.zone, err)
	}
	r := &costsReport{query: cost.Query{Account: f.account, Zone: zone, End: cost.Hour.Next(now)}, tagged: "as of each call"}
	r.query.Start = cost.Month.StartIn(now, zone)
	if o.until != "" {
		if r.query.End, err = parseCalendar("until", o.until, now, zone); err != nil {
			return nil, err
		}
		if !r.query.Start.Before(r.query.End) {
			r.query.Start = cost.Month.StartIn(r.query.End.Add(-time.Hour), zone)
		}
	}
	if o.since != "" {
		if r.query.Start, err = parseCalendar("since", o.since, now, zone); err != nil {
			return nil, err
		}
	}
	if !r.query.Start.Before(r.query.End) {
		return nil, fmt.Errorf("there is no time from %s to %s", r.query.Start.Format(time.RFC3339), r.query.End.Format(time.RFC3339))
	}
	switch o.every {
	case "":
	case "hour":
		r.query.Bucket = cost.Hour
	case "day":
		r.query.Bucket = cost.Day
	case "month":
		r.query.Bucket = cost.Month
	default:
		return nil, fmt.Errorf("--every %s: want hour, day or month", o.every)
	}
	var tagging cost.Tagging
	if o.tagged != "then" {
		at := now
		if o.tagged != "now" {
			if at, err = parseCalendar("tagged", o.tagged, now, zone); err != nil {
				return nil, err
			}
		}
		history, err := f.store.TagHistory(ctx, f.account)
		if err != nil {
			return nil, err
		}
		tagging.Profiles, r.tagged = cost.AsOf(history, at), "as of "+o.tagged
	}

	r.names = o.by
	if len(o.by) == 0 && o.every == "" {
		r.names = []string{"profile"}
	}
	if len(r.names) > 3 {
		return nil, errors.New("--by can be given up to three times")
	}
	for _, name := range r.names {
		d, split, err := dimensionOf(&tagging, name)
		if err != nil {
			return nil, fmt.Errorf("--by %s: %w", name, err)
		}
		r.by, r.query.Split = append(r.by, d), r.query.Split || split
	}
	if len(o.where) > 0 {
		var all []func(*cost.Charges) bool
		for _, w := range o.where {
			name, value, ok := strings.Cut(w, "=")
			if !ok {
				return nil, fmt.Errorf("--where %s: want NAME=VALUE", w)
			}
			d, split, err := dimensionOf(&tagging, name)
			if err != nil {
				return nil, fmt.Errorf("--where %s: %w", w, err)
			}
			r.query.Split = r.query.Split || split
			all = append(all, func(c *cost.Charges) bool { return d(c) == value })
		}
		r.filter = func(c *cost.Charges) bool {
			return !slices.ContainsFunc(all, func(is func(*cost.Charges) bool) bool { return !is(c) })
		}
	}
	for p, err := range cost.Report(ctx, f.store, r.query, r.filter, r.by...) {
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(p.Groups, func(a, b cost.Group) int { return cmp.Compare(b.Nano, a.Nano) })
		for i := range p.Groups {
			r.total.Add(p.Groups[i].Sum)
		}
		r.periods = append(r.periods, p)
	}
	return r, nil
}

// parseCalendar reads a time as people write it: see costsCommand. Hours are cut: costs are added up by them.
func parseCalendar(flag, s string, now time.Time, zone *time.Location) (time.Time, error) {
	if t, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return cost.Day.StartIn(t.Add(12*time.Hour), zone), nil
	}
	if t, err := time.ParseInLocation("2006-01", s, zone); err == nil {
		return cost.Month.StartIn(t.Add(12*time.Hour), zone), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Truncate(time.Hour), nil
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(s, "d")); err == nil && strings.HasSuffix(s, "d") && n >= 0 && n < 100_000 {
		y, m, d := now.In(zone).Date()
		return cost.Day.StartIn(time.Date(y, m, d-n, 12, 0, 0, 0, zone), zone), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d).Truncate(time.Hour), nil
	}
	return time.Time{}, fmt.Errorf("--%s %s: want a day (2026-11-24), a month (2026-11), an hour (2026-11-24T15:00:00Z), or a while ago (12h, 7d)", flag, s)
}

// dimensionOf finds what the names of --by and --where stand for. split says that it is of who called.
func dimensionOf(tagging *cost.Tagging, name string) (d cost.Dimension, split bool, err error) {
	tag := func(key string) (cost.Dimension, bool, error) { return tagging.By(key), cost.OfCaller(key), nil }
	switch name {
	case "profile":
		return cost.ByName, false, nil
	case "profile-arn":
		return cost.ByResource, false, nil
	case "model":
		return tag(cost.ModelKey)
	case "region":
		return cost.ByRegion, false, nil
	case "service":
		return cost.ByService, false, nil
	case "operation":
		return cost.ByOperation, false, nil
	case "usage-type":
		return cost.ByUsageType, false, nil
	case "caller":
		return tag(cost.PrincipalKey)
	case "session":
		return tag(cost.SessionNameKey)
	}
	kind, key, _ := strings.Cut(name, ":")
	switch {
	case key == "":
	case kind == "tag":
		return tag(key)
	case kind == "caller-tag":
		return tag(cost.PrincipalTagPrefix + key)
	case kind == "metadata":
		return tag(cost.MetadataPrefix + key)
	}
	return nil, false, errors.New("want profile, profile-arn, model, region, service, operation, usage-type, caller, session, caller-tag:KEY, tag:KEY or metadata:KEY")
}

// costLine is a row as --json and --csv have it.
type costLine struct {
	Start     time.Time         `json:"start"`
	End       time.Time         `json:"end"`
	Keys      map[string]string `json:"keys,omitempty"`
	USD       string            `json:"usd"`
	NanoUSD   int64             `json:"nano_usd"`
	Tokens    int64             `json:"tokens"`
	Pieces    int64             `json:"pieces"`
	Unit      string            `json:"unit,omitempty"` // of pieces
	Charges   int64             `json:"charges"`
	Unrated   int64             `json:"unrated_charges"`
	Estimated int64             `json:"estimated_charges"`
}

func (r *costsReport) line(start, end time.Time, keys []string, s *cost.Sum) costLine {
	l := costLine{
		Start: start, End: end, USD: cost.FormatUSD(s.Nano), NanoUSD: s.Nano, Tokens: s.Quantity, Pieces: s.Pieces, Unit: s.Unit, Charges: s.Charges,
		Unrated: s.Unrated, Estimated: s.Estimated,
	}
	if len(keys) > 0 {
		l.Keys = make(map[string]string, len(keys))
		for i, k := range keys {
			l.Keys[r.names[i]] = k
		}
	}
	return l
}

// writeJSON writes one document on one line: with --watch there is one for every change.
func (r *costsReport) writeJSON(w io.Writer) error {
	doc := struct {
		By     []string   `json:"by"`
		Tagged string     `json:"tagged"`
		Rows   []costLine `json:"rows"`
		Total  costLine   `json:"total"`
	}{r.names, r.tagged, []costLine{}, r.line(r.query.Start, r.query.End, nil, &r.total)}
	for _, p := range r.periods {
		for i := range p.Groups {
			doc.Rows = append(doc.Rows, r.line(p.Start, p.End, p.Groups[i].Keys, &p.Groups[i].Sum))
		}
	}
	text, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func (r *costsReport) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := []string{"start", "end"}
	for _, n := range r.names {
		head = append(head, spreadsheet(n))
	}
	c.Write(append(head, "usd", "tokens", "pieces", "unit", "charges", "unrated_charges", "estimated_charges")) //nolint:errcheck // told by Error
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, p := range r.periods {
		for i := range p.Groups {
			g := &p.Groups[i]
			cells := []string{p.Start.Format(time.RFC3339), p.End.Format(time.RFC3339)}
			for _, k := range g.Keys {
				cells = append(cells, spreadsheet(k))
			}
			c.Write(append(cells, //nolint:errcheck // as well
				cost.FormatUSD(g.Nano), number(g.Quantity), number(g.Pieces), g.Unit, number(g.Charges), number(g.Unrated), number(g.Estimated)))
		}
	}
	c.Flush()
	return c.Error()
}

// writeTable writes a row for each group, with a bar where there is room for one, and the total.
func (r *costsReport) writeTable(d *drawing, top int) error {
	const moment = "2006-01-02 15:04"
	fmt.Fprintf(d.out, "%s to %s (%s)", r.query.Start.In(r.query.Zone).Format(moment), r.query.End.In(r.query.Zone).Format(moment), r.query.Zone)
	if slices.ContainsFunc(r.names, func(n string) bool { return strings.HasPrefix(n, "tag:") }) {
		fmt.Fprintf(d.out, ", tags %s", r.tagged)
	}
	fmt.Fprint(d.out, "\n\n")
	type row struct {
		cells []string // its names
		sum   cost.Sum
	}
	var (
		rows []row
		most int64
		head []string
	)
	layout := map[cost.Bucket]string{cost.Hour: "2006-01-02 15:04 -07:00", cost.Day: time.DateOnly, cost.Month: "2006-01"}[r.query.Bucket]
	if layout != "" {
		head = append(head, strings.ToUpper(r.query.Bucket.String()))
	}
	for _, n := range r.names {
		head = append(head, strings.ToUpper(printable(n)))
	}
	for _, p := range r.periods {
		var period []string
		if layout != "" {
			period = []string{p.Start.In(r.query.Zone).Format(layout)}
			if len(p.Groups) == 0 {
				p.Groups = []cost.Group{{Keys: make([]string, len(r.names))}}
			}
		}
		var rest cost.Sum
		for i := range p.Groups {
			g := &p.Groups[i]
			if top > 0 && len(p.Groups) > top && i >= top {
				rest.Add(g.Sum)
				continue
			}
			cells := slices.Clone(period)
			for _, k := range g.Keys {
				cells = append(cells, cmp.Or(printable(k), "-"))
			}
			rows = append(rows, row{cells, g.Sum})
		}
		if n := len(p.Groups) - top; top > 0 && n > 0 {
			others := "(1 other)"
			if n > 1 {
				others = fmt.Sprintf("(%d others)", n)
			}
			cells := append(slices.Clone(period), others)
			for range len(r.names) - 1 {
				cells = append(cells, "")
			}
			rows = append(rows, row{cells, rest})
		}
	}
	for i := range rows {
		most = max(most, rows[i].sum.Nano)
	}
	total := row{make([]string, max(1, len(head))), r.total}
	total.cells[0] = "TOTAL"
	rows = append(rows, total)

	head = append(head, "USD", "SHARE", "TOKENS")
	table := [][]string{head}
	for i := range rows {
		s := &rows[i].sum
		about, share := "", "" // what is estimated is marked
		if s.Estimated > 0 {
			about = "~"
		}
		if r.total.Nano > 0 {
			share = strconv.FormatFloat(100*float64(s.Nano)/float64(r.total.Nano), 'f', 1, 64) + "%"
		}
		table = append(table, append(rows[i].cells, usd(s.Nano, s.Unrated > 0, about), share, strconv.FormatInt(s.Quantity, 10)))
	}
	lines, width := alignTable(table), 0
	for _, l := range lines {
		width = max(width, cellWidth(l))
	}
	room := min(d.width-width-2, 40)
	for i, l := range lines {
		if n := i - 1; n >= 0 && n < len(rows)-1 && room >= 8 {
			if b := bar8(rows[n].sum.Nano, most, room); b != "" {
				l += strings.Repeat(" ", width+columnGap-cellWidth(l)) + d.paint(0, b)
			}
		}
		fmt.Fprintln(d.out, l)
	}
	if r.total.Unrated > 0 {
		fmt.Fprintf(d.out, "\nCharges without a known price, which are not in the sums: %d\n", r.total.Unrated)
	}
	return nil
}

// bar8 is a bar of n in most, columns wide for all of it, in eighths of a column; at least one for what is not nothing.
func bar8(n, most int64, columns int) string {
	if n <= 0 || most <= 0 {
		return ""
	}
	eighths := max(1, int(float64(n)/float64(most)*float64(8*columns)+0.5))
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return b
}

// printable is s for a terminal: what strangers have named may have signs in it that a terminal obeys.
func printable(s string) string {
	if q := strconv.Quote(s); len(q) > len(s)+2 {
		return q
	}
	return s
}

// tagHistoryCommand is `outcrop costs tag-history`.
func tagHistoryCommand() *cobra.Command {
	var asJSON bool
	cmd := folderFlags(&cobra.Command{Use: "tag-history [PROFILE]", Args: cobra.MaximumNArgs(1), Short: "Print which tags profiles had when; PROFILE is an ARN or its last part"},
		func(ctx context.Context, f *folder, args []string) error {
			history, err := f.store.TagHistory(ctx, f.account)
			if err != nil {
				return err
			}
			table := [][]string{{"SINCE", "PROFILE", "TAGS"}}
			for i := range history {
				h := &history[i]
				if len(args) > 0 && h.ARN != args[0] && !strings.HasSuffix(h.ARN, "/"+args[0]) {
					continue
				}
				if asJSON {
					if err := printJSON(tagLine{h.Since, h.ARN, mapOf(h.Tags), h.Deleted}); err != nil {
						return err
					}
					continue
				}
				tags := cmp.Or(pairs(h.Tags), "-")
				if h.Deleted {
					tags = "(deleted)"
				}
				table = append(table, []string{h.Since.Format(time.RFC3339), h.ARN, tags})
			}
			if asJSON {
				return nil
			}
			return writeTable(os.Stdout, table)
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

// tagLine is an entry of the history as --json prints it.
type tagLine struct {
	Since   time.Time         `json:"since"`
	ARN     string            `json:"resource_arn"`
	Tags    map[string]string `json:"tags,omitempty"`
	Deleted bool              `json:"deleted,omitzero"`
}
