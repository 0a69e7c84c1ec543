package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outcrop/archive"
	"outcrop/cost"
	"outcrop/ledger"
	"outcrop/store"
)

func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "Prove, correct, mend and archive the ledger"}
	cmd.AddCommand(ledgerVerifyCommand(), ledgerCorrectCommand(), ledgerRepairCommand(), ledgerRepairsCommand(), ledgerArchiveCommand())
	return cmd
}

func verifyCommand() *cobra.Command {
	cmd := ledgerVerifyCommand()
	cmd.Short += " (the same as \"outcrop ledger verify\")"
	return cmd
}

// shownDifferences is how many differences are printed.
const shownDifferences = 100

// prove proves the ledger, prints what differs, and tells differ of it too.
func prove(ctx context.Context, f *folder, out io.Writer, differ func(*store.Difference) error) (store.Proof, error) {
	shown := 0
	p, err := f.store.ProveLedger(ctx, func(d *store.Difference) error {
		if shown++; shown <= shownDifferences {
			if _, err := fmt.Fprintln(out, d); err != nil {
				return err
			}
		}
		return differ(d)
	})
	if err == nil && shown > shownDifferences {
		_, err = fmt.Fprintf(out, "and %d more\n", shown-shownDifferences)
	}
	return p, err
}

// proved says what p went through.
func proved(out io.Writer, p *store.Proof) {
	fmt.Fprintf(out, "%d calls and %d corrections of %d days in %d accounts; %d files of the archive\n", p.Calls, p.Corrections, p.Days, p.Accounts, p.Files)
}

func ledgerVerifyCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{
		Use: "verify", Short: "Prove that the ledger's totals equal the sums of its entries", Args: cobra.NoArgs,
		Long: "Prove that every total, of every hour, equals the sum of the calls of that hour and their corrections: of those in the database, and of\n" +
			"those in files of the archive, each of which must be as it was written. What differs is named. A server may be running.\n\n" +
			"The status is 0 when all is proved, 1 when something differs or cannot be proved, 2 when it could not be looked at.",
	}, func(ctx context.Context, f *folder, _ []string) error {
		p, err := prove(ctx, f, cmd.OutOrStdout(), func(*store.Difference) error { return nil })
		if err != nil {
			return exitStatus{2, err}
		}
		proved(cmd.OutOrStdout(), &p)
		if p.Differences > 0 {
			return exitStatus{1, fmt.Errorf("%d totals are not the sums of their entries, or cannot be proved", p.Differences)}
		}
		fmt.Fprintln(cmd.OutOrStdout(), "every total equals the sum of its entries")
		return nil
	})
	return cmd
}

func ledgerRepairCommand() *cobra.Command {
	var (
		reason string
		dry    bool
		cmd    *cobra.Command
	)
	cmd = folderFlags(&cobra.Command{
		Use: "repair --reason TEXT", Short: "Move totals that verify finds wrong to the sums of their entries", Args: cobra.NoArgs,
		Long: "Prove the ledger, and move each total that is wrong by the difference, in the transaction that writes down who did so, when, why, and what\n" +
			"the total was (\"outcrop ledger repairs\"). Calls and corrections are only read. Where they cannot be read, as those of a file of the archive\n" +
			"that is missing, nothing moves: bring the file back from a backup. At the end everything is proved once more.",
	}, func(ctx context.Context, f *folder, _ []string) error {
		if reason == "" && !dry {
			return errors.New("--reason is missing: the record of repairs says why")
		}
		out := cmd.OutOrStdout()
		type hour struct {
			account string
			at      time.Time
		}
		wrong := map[hour]struct{}{}
		accounts := map[string]struct{}{} // whose days and months are proved anew: they are sums of these hours
		p, err := prove(ctx, f, out, func(d *store.Difference) error {
			if d.Table != "" {
				accounts[d.Account] = struct{}{}
				if !d.Rolled() {
					wrong[hour{d.Account, d.Time}] = struct{}{}
				}
			}
			return nil
		})
		if err != nil {
			return exitStatus{2, err}
		}
		if p.Differences == 0 {
			fmt.Fprintln(out, "every total equals the sum of its entries: nothing is to be mended")
			return nil
		}
		if dry {
			fmt.Fprintf(out, "%d totals would be mended, in %d hours and in the days and months of %d accounts\n", p.Differences, len(wrong), len(accounts))
			return exitStatus{1, nil}
		}
		by := store.Repair{By: ranBy(cmd), Reason: reason, Time: time.Now().UTC()}
		rows := 0
		for _, h := range slices.SortedFunc(maps.Keys(wrong), func(a, b hour) int { return cmp.Or(strings.Compare(a.account, b.account), a.at.Compare(b.at)) }) {
			n, err := f.store.RepairHour(ctx, h.account, h.at, &by)
			if err != nil {
				return exitStatus{2, err}
			}
			rows += n
		}
		for _, account := range slices.Sorted(maps.Keys(accounts)) {
			n, err := f.store.RepairRolled(ctx, account, &by)
			if err != nil {
				return exitStatus{2, err}
			}
			rows += n
		}
		fmt.Fprintf(out, "%d totals are mended; proving the ledger again\n", rows)
		if p, err = prove(ctx, f, out, func(*store.Difference) error { return nil }); err != nil {
			return exitStatus{2, err}
		}
		if p.Differences > 0 {
			return exitStatus{1, fmt.Errorf("%d totals are still wrong, or cannot be proved", p.Differences)}
		}
		fmt.Fprintln(out, "every total equals the sum of its entries")
		return nil
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what is wrong")
	return cmd
}

func ledgerRepairsCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{Use: "repairs", Short: "Print the record of repaired totals, oldest first", Args: cobra.NoArgs},
		func(ctx context.Context, f *folder, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TIME\tBY\tREASON\tTOTAL\tWAS\tIS")
			if err := f.store.Repairs(ctx, func(r *store.Repair) error {
				row := fmt.Sprintf("%s %s %s %d", r.Table, r.Account, r.Hour.Format("2006-01-02T15"), r.Line)
				if r.Party != 0 {
					row += fmt.Sprintf(" %d", r.Party)
				}
				_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Time.Format(time.RFC3339), r.By, r.Reason, row, r.Was, r.Is)
				return err
			}); err != nil {
				return err
			}
			return w.Flush()
		})
	return cmd
}

func ledgerCorrectCommand() *cobra.Command {
	var (
		call, profile, period, amount, reason string
		cmd                                   *cobra.Command
	)
	cmd = folderFlags(&cobra.Command{
		Use:   "correct (--call ID | --profile NAME --period PERIOD) --amount USD --reason TEXT",
		Short: "Correct what a call, or a profile in a period, costs",
		Long: "Add an amount, less where it is negative, to what a call costs, or a profile in a period. The call's record stays as it is: the correction is\n" +
			"a row of its own, with who made it, when and why. It is in every report from now on, at the call's hour or the period's first one, with the\n" +
			"usage type REGION-Correction; \"outcrop calls --json\" shows it, and \"outcrop prices rerate\" leaves it alone. A wrong one is corrected by another.",
		Args: cobra.NoArgs,
	}, func(ctx context.Context, f *folder, _ []string) error {
		if reason == "" {
			return errors.New("--reason is missing: the correction's record says why")
		}
		nano, err := cost.ParseUSD(amount)
		if err != nil {
			return fmt.Errorf("--amount: %w", err)
		}
		if nano == 0 {
			return errors.New("--amount: 0 corrects nothing")
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		out := cmd.OutOrStdout()
		switch {
		case call != "" && profile+period == "":
			id, err := uuid.Parse(call)
			if err != nil {
				return fmt.Errorf("--call %s: not a request id: %w", call, err)
			}
			e, err := f.store.Call(ctx, f.account, id)
			switch {
			case err != nil:
				return err
			case e == nil:
				return fmt.Errorf("account %s has no call %s", f.account, id)
			case len(e.Charges) == 0:
				return fmt.Errorf("nothing was charged for call %s; correct what its profile costs", id)
			}
			was, _ := e.Cost()
			c := e.Correct(append(slices.Clone(e.Charges), cost.CorrectionCharge(e.Region, nano)), now, reason)
			c.By = ranBy(cmd)
			if err := f.store.Correct(ctx, []ledger.Corrected{{Entry: e, Correction: c}}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "call %s costs %s USD now, and did %s\n", id, cost.FormatUSD(was+nano), cost.FormatUSD(was))
			return err
		case call == "" && profile != "" && period != "":
			start, end, err := parsePeriod(period)
			if err != nil {
				return err
			}
			e, was, err := f.adjustment(ctx, profile, start, end)
			if err != nil {
				return err
			}
			e.Settlement.Time, e.Reason, e.Charges = now, reason, []ledger.Charge{cost.CorrectionCharge(e.Region, nano)}
			if err := f.store.Adjust(ctx, e); err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "correction %s: %s costs %s USD in %s now, and did %s\n", e.Intent.ID, profile, cost.FormatUSD(was+nano), period, cost.FormatUSD(was))
			return err
		}
		return errors.New("what is to be corrected? Give --call, or --profile and --period")
	})
	fl := cmd.Flags()
	fl.StringVar(&call, "call", "", "the request id of a call")
	fl.StringVar(&profile, "profile", "", "the ARN or name of a profile, or the id of a model that was called without one")
	fl.StringVar(&period, "period", "", "a month, day or hour in UTC: 2026-11, 2026-11-23, 2026-11-23T14")
	fl.StringVar(&amount, "amount", "", "US dollars to add, exactly: 0.25, or -12.50")
	fl.StringVar(&reason, "reason", "", "why")
	return cmd
}

// parsePeriod reads a month, day or hour of UTC.
func parsePeriod(text string) (start, end time.Time, err error) {
	for layout, next := range map[string]func(time.Time) time.Time{"2006-01": cost.Month.Next, time.DateOnly: cost.Day.Next, "2006-01-02T15": cost.Hour.Next} {
		if start, err := time.Parse(layout, text); err == nil {
			return start, next(start), nil
		}
	}
	return start, end, fmt.Errorf("--period %s: want a month as 2026-11, a day as 2026-11-23, or an hour as 2026-11-23T14", text)
}

// adjustment is a correction of what a profile costs in a period, without an amount; was is what it costs. It is told apart in reports as what costs most of it: by
// Region, service and tags.
func (f *folder) adjustment(ctx context.Context, profile string, start, end time.Time) (e *ledger.Entry, was int64, err error) {
	var (
		parts []*cost.Charges // what is told apart, added up
		known = map[string]*cost.Charges{}
		arns  = map[string]bool{}
	)
	for c, err := range f.store.Charges(ctx, cost.Query{Account: f.account, Start: start, End: end}) {
		if err != nil {
			return nil, 0, err
		}
		r := &c.Resource
		if profile != r.ARN && profile != r.Name && (profile != r.ModelID || r.Name != "") {
			continue
		}
		was += c.Nano
		arns[r.ARN] = true
		k := fmt.Sprintf("%q", append([]any{r.ARN, c.Region, c.Service}, c.Tags))
		if sum := known[k]; sum != nil {
			sum.Add(c.Sum)
			continue
		}
		kept := *c
		known[k], parts = &kept, append(parts, &kept)
	}
	if len(parts) == 0 {
		return nil, 0, fmt.Errorf("nothing was charged through %s in that period", profile)
	}
	if len(arns) > 1 {
		return nil, 0, fmt.Errorf("%s is the name of several profiles: name one by its ARN: %s", profile, strings.Join(slices.Sorted(maps.Keys(arns)), ", "))
	}
	c := slices.MaxFunc(parts, func(a, b *cost.Charges) int { return cmp.Compare(a.Nano, b.Nano) })
	id := uuid.New()
	ms := start.UnixMilli() // as in ids of calls
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	e = &ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: start, Account: f.account, Region: c.Region, Operation: "Correction",
			ResourceARN: c.Resource.ARN, ResourceName: c.Resource.Name, ModelID: c.Resource.ModelID, Tags: c.Tags,
		},
		Settlement: ledger.Settlement{ID: id, Status: ledger.Adjusted, Service: c.Service},
	}
	return e, was, nil
}

func ledgerArchiveCommand() *cobra.Command {
	var (
		before string
		cmd    *cobra.Command
	)
	cmd = folderFlags(&cobra.Command{
		Use: "archive", Short: "Move calls of old days from the database to Parquet files", Args: cobra.NoArgs,
		Long: "Move the calls, and corrections of calls, of all days before one to Parquet files in the data folder, as a server does by itself with\n" +
			"ledger.retention. Costs stay as they are, and what reads calls reads the files. A server may be running.",
	}, func(ctx context.Context, f *folder, _ []string) error {
		now := time.Now()
		var until time.Time
		switch {
		case before != "":
			var err error
			if until, err = time.Parse(time.DateOnly, before); err != nil {
				return fmt.Errorf("--before %s: want a day as 2026-01-02", before)
			}
			if until.After(now) {
				return fmt.Errorf("--before %s: that day has not come", before)
			}
		case f.config.Ledger.Retention > 0:
			until = now.Add(-f.config.Ledger.Retention)
		default:
			return errors.New("--before is missing: calls of all days before that one are archived. (With --config, ledger.retention says.)")
		}
		out := cmd.OutOrStdout()
		moved, err := f.store.Archive(ctx, until, now, func(m archive.Moved) error {
			_, err := fmt.Fprintf(out, "%s: %d entries, %d bytes\n", m.Path, m.Calls+m.Corrections, m.Bytes)
			return err
		})
		fmt.Fprintf(out, "%d calls and %d corrections are in %d files of %d bytes\n", moved.Calls, moved.Corrections, moved.Files, moved.Bytes)
		return err
	})
	cmd.Flags().StringVar(&before, "before", "", "the first day (UTC) that stays, as 2026-01-02")
	return cmd
}

// archiver moves what is older than the retention out of a server's database.
type archiver struct {
	store     *store.Store
	retention time.Duration
	clock     func() time.Time
	log       *slog.Logger
}

// archiveEvery is how often it looks: there is more to do once a day.
const archiveEvery = time.Hour

func (a *archiver) run(ctx context.Context) {
	tick := time.NewTicker(archiveEvery)
	defer tick.Stop()
	for {
		a.pass(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pass archives what is old enough. After each file it rests for as long as the file took: what is served comes first.
func (a *archiver) pass(ctx context.Context) {
	began := time.Now()
	moved, err := a.store.Archive(ctx, a.clock().Add(-a.retention), a.clock(), func(archive.Moved) error {
		rest := time.NewTimer(time.Since(began))
		defer rest.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
		}
		began = time.Now()
		return nil
	})
	if moved.Files > 0 {
		a.log.Info("calls of old days are archived", "calls", moved.Calls, "corrections", moved.Corrections, "files", moved.Files, "bytes", moved.Bytes)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("archiving failed; the calls stay in the database, and it is tried again within the hour", "error", err)
	}
}
