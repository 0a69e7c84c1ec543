package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/ledger"
	"outcrop/store"
)

func pricesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "prices", Short: "Show and import prices, and rate calls anew"}
	cmd.AddCommand(pricesShowCommand(), pricesImportCommand(), pricesImportsCommand(), pricesWithdrawCommand(), pricesRerateCommand())
	return cmd
}

// prices is the catalog of a server on this folder.
func (f *folder) prices(ctx context.Context) (*catalog.Catalog, error) {
	imports, _, err := f.store.PriceImports(ctx)
	if err != nil {
		return nil, err
	}
	return f.config.catalog(imports...)
}

func pricesShowCommand() *cobra.Command {
	var data, config, at, scope, region string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show MODEL",
		Short: "Show what a model costs",
		Long: `Show what a model costs as a server rates it: by scope ("region" is a call in its own Region, the others are geographies),
source Region ("*" is every other), service tier, upstream and contract, with the ids that the ledger's charges have. What was
imported into the data folder counts, where there is one.

Amounts are US dollars for a million tokens, a piece, or an hour of GPUs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := parseMoment("at", at)
			if err != nil {
				return err
			}
			if when.IsZero() {
				when = time.Now()
			}
			c, err := loadConfig(config)
			if err != nil {
				return err
			}
			dir, err := dataFolder(data, &c)
			if err != nil {
				return err
			}
			var imports []cost.PriceImport
			if _, err := os.Stat(filepath.Join(dir, "outcrop.db")); err == nil || data != "" {
				f, err := openManaged(cmd.Context(), data, config)
				if err != nil {
					return err
				}
				imports, _, err = f.store.PriceImports(cmd.Context())
				if err = errors.Join(err, f.store.Close()); err != nil {
					return err
				}
			}
			cat, err := c.catalog(imports...)
			if err != nil {
				return err
			}
			lines, err := priceLines(cat, args[0], scope, region, when)
			if err != nil {
				return err
			}
			if asJSON {
				for i := range lines {
					if err := printJSON(&lines[i]); err != nil {
						return err
					}
				}
				return nil
			}
			return printPrices(cmd.OutOrStdout(), lines)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data folder of the server")
	f.StringVar(&config, "config", "", "configuration file of the server")
	f.StringVar(&at, "at", "", "a time, a day, or how long ago (default: now)")
	f.StringVar(&scope, "scope", "", "only this scope: region, global or a geography")
	f.StringVar(&region, "region", "", "only calls from this source Region")
	f.BoolVar(&asJSON, "json", false, "print JSON lines, with amounts in nano-USD")
	return cmd
}

// priceLine is a price as `outcrop prices show --json` prints it, one a line.
type priceLine struct {
	Scope        string           `json:"scope"`
	Region       string           `json:"region"` // "*" for every other
	Price        string           `json:"price"`
	Input        *int64           `json:"input_nano_usd,omitzero"`
	Output       *int64           `json:"output_nano_usd,omitzero"`
	CacheRead    *int64           `json:"cache_read_nano_usd,omitzero"`
	CacheWrite   *int64           `json:"cache_write_nano_usd,omitzero"`
	CacheWrite1h *int64           `json:"cache_write_1h_nano_usd,omitzero"`
	Tokens       int64            `json:"tokens,omitzero"` // that the amounts are for
	Above        int64            `json:"above_input_tokens,omitzero"`
	Units        map[string]int64 `json:"unit_nano_usd,omitempty"`
	GPUHour      int64            `json:"gpu_hour_nano_usd,omitzero"` // of all GPUs that answer
	GPUCalls     int64            `json:"gpu_calls,omitzero"`         // that share them
	Inferred     bool             `json:"inferred,omitzero"`
}

func lineOf(p *catalog.Price, scope, region string) priceLine {
	l := priceLine{
		Scope: scope, Region: region, Price: p.ID, Input: p.Input, Output: p.Output, CacheRead: p.CacheRead, CacheWrite: p.CacheWrite,
		CacheWrite1h: p.CacheWrite1h, Units: p.Units, Inferred: p.Inferred,
	}
	if p.Input != nil || p.Output != nil {
		l.Tokens = p.Per
	}
	if p.GPU != nil {
		l.GPUHour, l.GPUCalls = p.GPU.PerHour, p.GPU.Calls
	}
	return l
}

// priceLines lists what the model costs. Scopes and Regions of which all prices are those of another have no lines of their own,
// unless they are asked for.
func priceLines(cat *catalog.Catalog, model, scope, region string, at time.Time) (lines []priceLine, err error) {
	if _, ok := cat.Model(model); !ok {
		ids := map[string]bool{}
		for _, m := range cat.AllModels() {
			ids[m.ID] = true
		}
		return nil, fmt.Errorf("the catalog has no model %q%s", model, nearest(model, ids))
	}
	if why, ok := cat.Unpriced(model); ok {
		return nil, fmt.Errorf("no price of %s is known: %s", model, why)
	}
	scopes := cat.Scopes(model)
	if scope != "" {
		scopes = []string{scope}
	}
	seen := map[string]bool{}
	slices.SortStableFunc(scopes, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, s := range scopes {
		regions := append([]string{"*"}, cat.Regions(model, s)...)
		if region != "" {
			regions = []string{region}
		}
		for _, r := range regions {
			for _, p := range cat.Rates(model, s, r, at) {
				if seen[p.ID] {
					continue
				}
				seen[p.ID] = true
				l := lineOf(p, s, r)
				lines = append(lines, l)
				if p.Long != nil {
					l = lineOf(p.Long, s, r)
					l.Above = p.LongAbove
					lines = append(lines, l)
				}
			}
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("no price of %s is known for that", model)
	}
	return lines, nil
}

// rank puts a model's in-Region prices first: other scopes fall back to them.
func rank(scope string) int {
	if scope == catalog.InRegion {
		return 0
	}
	return 1
}

func printPrices(out io.Writer, lines []priceLine) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCOPE\tREGION\tINPUT\tOUTPUT\tCACHE READ\tWRITE 5M\tWRITE 1H\tOTHER\tPRICE")
	amount := func(nano *int64, per int64) string {
		if nano == nil {
			return "-"
		}
		n, ok := catalog.Ratio(*nano, 1_000_000, 1, per)
		if !ok {
			return "?"
		}
		return cost.FormatUSD(n)
	}
	for i := range lines {
		l := &lines[i]
		var other []string
		if l.Above > 0 {
			other = append(other, fmt.Sprintf("above %d", l.Above))
		}
		for _, unit := range slices.Sorted(maps.Keys(l.Units)) {
			other = append(other, unit+" "+cost.FormatUSD(l.Units[unit]))
		}
		if l.GPUCalls > 0 {
			other = append(other, fmt.Sprintf("an hour %s, shared by %d", cost.FormatUSD(l.GPUHour), l.GPUCalls))
		}
		if l.Inferred {
			other = append(other, "inferred")
		}
		per := max(l.Tokens, 1)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Scope, l.Region, amount(l.Input, per), amount(l.Output, per), amount(l.CacheRead, per),
			amount(l.CacheWrite, per), amount(l.CacheWrite1h, per), cmp.Or(strings.Join(other, ", "), "-"), l.Price)
	}
	return w.Flush()
}

// maxPriceList bounds a file of prices: AWS's list of all Regions has some 20 MB.
const maxPriceList = 256 << 20

func pricesImportCommand() *cobra.Command {
	var dry bool
	var names map[string]string
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{
		Use:   "import FILE...",
		Short: "Import prices into the data folder",
		Long: `Import prices into the data folder. A server that runs on it rates by them within a second; calls that are settled keep what they
were charged, see "outcrop prices rerate".

A FILE is one of
  - a price list of AWS, JSON or CSV, of AmazonBedrock, AmazonBedrockService or AmazonBedrockFoundationModels, of one Region or of
    all; or what "aws pricing get-products" printed
  - a catalogue file, JSON or YAML, with prices, discounts and exchange alone
  - a table, CSV, with the columns model, scope, effective, input, output and so on

Several files are one import. They say the same as before for what they leave out.`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, f *folder, args []string) error {
		return importPrices(ctx, f, args, names, dry, cmd.OutOrStdout())
	})
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what would be imported")
	cmd.Flags().StringToStringVar(&names, "map", nil, "NAME=MODEL: which model a price list means by a name that the catalog does not have")
	return cmd
}

func importPrices(ctx context.Context, f *folder, files []string, names map[string]string, dry bool, out io.Writer) error {
	imports, _, err := f.store.PriceImports(ctx)
	if err != nil {
		return err
	}
	cat, err := f.config.catalog(imports...)
	if err != nil {
		return err
	}
	list, err := catalog.NewPriceList(cat, names)
	if err != nil {
		return fmt.Errorf("--map: %w", err)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	all := &catalog.Facts{Date: today}
	var sources []string
	for _, name := range files {
		text, err := readBounded(name, maxPriceList)
		if err != nil {
			return err
		}
		sources = append(sources, filepath.Base(name))
		if catalog.IsPriceList(text) {
			if err := list.Read(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		facts, err := ownPrices(name, text, today)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all.Prices = append(all.Prices, facts.Prices...)
		all.Discounts = append(all.Discounts, facts.Discounts...)
		all.Exchange = append(all.Exchange, facts.Exchange...)
	}
	all.Prices = append(all.Prices, list.Facts(today).Prices...)
	printImport(out, list, all)
	if len(all.Prices)+len(all.Discounts)+len(all.Exchange) == 0 {
		fmt.Fprintln(out, "nothing is new: nothing is imported")
		return nil
	}
	text, err := all.Text()
	if err != nil {
		return err
	}
	one := cost.PriceImport{Time: time.Now(), Source: strings.Join(sources, ", "), Facts: text}
	if len(imports) > 0 {
		one.Number = imports[len(imports)-1].Number
	}
	one.Number++
	if _, err := f.config.catalog(append(imports, one)...); err != nil { // a server must be able to start with it
		return err
	}
	if dry {
		fmt.Fprintln(out, "dry run: nothing is imported")
		return nil
	}
	number, err := f.store.ImportPrices(ctx, &one)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "import %d holds from now on\n", number)
	return nil
}

// readBounded reads a file of at most so many bytes.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: larger than %d bytes", name, most)
	}
	return text, err
}

// ownPrices reads prices in forms of our own.
func ownPrices(name string, text []byte, today string) (*catalog.Facts, error) {
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		return catalog.ParsePriceTable(text, today)
	}
	var facts *catalog.Facts
	if bytes.HasPrefix(bytes.TrimLeft(text, " \r\n\t"), []byte("{")) {
		var err error
		if facts, err = catalog.ParseFacts(text); err != nil {
			return nil, err
		}
	} else {
		facts = &catalog.Facts{}
		if err := yaml.UnmarshalWithOptions(text, facts, yaml.Strict()); err != nil {
			return nil, err
		}
	}
	if len(facts.Models)+len(facts.Profiles)+len(facts.Unpriced) > 0 {
		return nil, errors.New("models, profiles and unpriced belong into catalog.files of the configuration: only prices, discounts and exchange are imported")
	}
	return facts, nil
}

// shownPrices is how many prices an import shows.
const shownPrices = 40

func printImport(out io.Writer, list *catalog.PriceList, all *catalog.Facts) {
	if n := list.Rows(); n > 0 {
		fmt.Fprintf(out, "%d rows of price lists\n", n)
	}
	counts := func(what string, m map[string]int) {
		for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) }) {
			fmt.Fprintf(out, "  %s: %s (%d)\n", what, k, m[k])
		}
	}
	counts("left out", list.Skipped)
	counts("no model of the catalog; name it with --map", list.Unknown)
	for _, c := range list.Conflicts {
		fmt.Fprintf(out, "  two amounts, the higher counts: %s\n", c)
	}
	fmt.Fprintf(out, "%d prices, %d discounts, %d rates of exchange are new or changed\n", len(all.Prices), len(all.Discounts), len(all.Exchange))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range all.Prices {
		if i == shownPrices {
			fmt.Fprintf(w, "  and %d more\n", len(all.Prices)-shownPrices)
			break
		}
		p := &all.Prices[i]
		fmt.Fprintf(w, "  %s\t%s\n", p.ID(), p.Amounts())
	}
	w.Flush()
}

func pricesImportsCommand() *cobra.Command {
	return folderFlags(&cobra.Command{Use: "imports", Short: "List the imports of prices", Args: cobra.NoArgs}, func(ctx context.Context, f *folder, _ []string) error {
		imports, _, err := f.store.PriceImports(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "IMPORT\tTIME\tPRICES\tSTATE\tSOURCE")
		for i := range imports {
			p := &imports[i]
			facts, err := catalog.ParseFacts(p.Facts)
			if err != nil {
				return fmt.Errorf("import %d: %w", p.Number, err)
			}
			state := "holds"
			if !p.Withdrawn.IsZero() {
				state = "withdrawn " + p.Withdrawn.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\n", p.Number, p.Time.Format(time.RFC3339), len(facts.Prices), state, p.Source)
		}
		return w.Flush()
	})
}

func pricesWithdrawCommand() *cobra.Command {
	return folderFlags(&cobra.Command{
		Use: "withdraw IMPORT", Short: "Stop rating by an import of prices", Args: cobra.ExactArgs(1),
		Long: "Stop rating by an import of prices. Calls that were rated by it keep what they were charged, see \"outcrop prices rerate\".",
	}, func(ctx context.Context, f *folder, args []string) error {
		var number int64
		if _, err := fmt.Sscan(args[0], &number); err != nil {
			return fmt.Errorf("%q is no number of an import; `outcrop prices imports` lists them", args[0])
		}
		return f.store.WithdrawPrices(ctx, number, time.Now())
	})
}

func pricesRerateCommand() *cobra.Command {
	var since, until, model string
	var dry, unrated bool
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{
		Use:   "rerate --since TIME",
		Short: "Rate calls anew by the prices of now, with corrections",
		Long: `Rate the account's settled calls anew, each by what the prices say now of the time of the call. A call whose charges are others then
gets a correction: what was charged is taken back, and what it should have been takes its place. The call's own record stays as it
is; every total moves by the correction, at the hour of the call. To run it again changes nothing more.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, f *folder, _ []string) error {
		if since == "" {
			return errors.New("--since is missing: from which time on, as 2026-12-01 or 72h")
		}
		from, err := parseMoment("since", since)
		if err != nil {
			return err
		}
		to, err := parseMoment("until", until)
		if err != nil {
			return err
		}
		cat, err := f.prices(ctx)
		if err != nil {
			return err
		}
		r := rerating{rater: cost.NewRater(cat), store: f.store, account: f.account, from: from, to: to, model: model, unrated: unrated, dry: dry, now: time.Now, by: ranBy(cmd)}
		if err := r.run(ctx); err != nil {
			return err
		}
		return r.print(cmd.OutOrStdout())
	})
	fl := cmd.Flags()
	fl.StringVar(&since, "since", "", "calls that began at this time or later: a time, a day, or how long ago")
	fl.StringVar(&until, "until", "", "and before this one (default: all)")
	fl.StringVar(&model, "model", "", "only calls of this model")
	fl.BoolVar(&unrated, "unrated", false, "only calls with usage of which no price was known")
	fl.BoolVar(&dry, "dry-run", false, "only show what would change")
	return cmd
}

// rerating is one run over the calls of an account.
type rerating struct {
	rater          *cost.Rater
	store          *store.Store
	account, model string
	from, to       time.Time
	unrated, dry   bool
	now            func() time.Time
	by             string // who runs it

	calls  int64
	models map[string]*reratedModel
	kept   map[string]int64 // why charges stay -> calls
}

// reratedModel is what changed of one model's calls, in nano-USD.
type reratedModel struct{ calls, before, after int64 }

// correctedAtOnce bounds a transaction: a server waits while one is written.
const correctedAtOnce = 200

func (r *rerating) run(ctx context.Context) error {
	r.models, r.kept = map[string]*reratedModel{}, map[string]int64{}
	var waiting []ledger.Corrected
	flush := func() error {
		if r.dry || len(waiting) == 0 {
			waiting = waiting[:0]
			return nil
		}
		err := r.store.Correct(ctx, waiting)
		waiting = waiting[:0]
		return err
	}
	for e, err := range r.store.Calls(ctx, r.account, r.from, 0) {
		if err != nil {
			return err
		}
		if !r.to.IsZero() && !e.Intent.Time.Before(r.to) {
			break // they come in the order of their times
		}
		before, unrated := e.Cost()
		if r.model != "" && e.ModelID != r.model || r.unrated && !unrated {
			continue
		}
		r.calls++
		charges, why, ok := r.rater.Rerate(e)
		if !ok {
			r.kept[why]++
			continue
		}
		c := e.Correct(charges, r.now().UTC().Truncate(time.Microsecond), "rerate")
		if c == nil {
			continue
		}
		c.By = r.by
		m := r.models[e.ModelID]
		if m == nil {
			m = &reratedModel{}
			r.models[e.ModelID] = m
		}
		m.calls, m.before, m.after = m.calls+1, m.before+before, m.after+before+c.Nano()
		call := *e
		if waiting = append(waiting, ledger.Corrected{Entry: &call, Correction: c}); len(waiting) == correctedAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (r *rerating) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tCORRECTED\tWAS USD\tIS USD\tDIFFERENCE")
	var n int64
	for _, id := range slices.Sorted(maps.Keys(r.models)) {
		m := r.models[id]
		n += m.calls
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", id, m.calls, cost.FormatUSD(m.before), cost.FormatUSD(m.after), cost.FormatUSD(m.after-m.before))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, why := range slices.Sorted(maps.Keys(r.kept)) {
		fmt.Fprintf(out, "left as they are: %d calls: %s\n", r.kept[why], why)
	}
	done := "corrected"
	if r.dry {
		done = "would be corrected"
	}
	fmt.Fprintf(out, "%d of %d calls %s\n", n, r.calls, done)
	return nil
}
