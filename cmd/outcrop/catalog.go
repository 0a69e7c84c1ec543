package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"outcrop/catalog"
	"outcrop/upstream/bedrock"
)

func catalogCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "catalog", Short: "Read and compare the catalog of models, system-defined profiles and prices"}
	cmd.AddCommand(catalogPrintCommand(), catalogDiffCommand())
	return cmd
}

func catalogPrintCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the catalog as one catalogue file",
		Long:  "Print the catalog that this program was built with, with what the configuration's catalog section lays over it, as one catalogue file: JSON.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(config)
			if err != nil {
				return err
			}
			facts, err := c.facts()
			if err != nil {
				return err
			}
			text, err := facts.Text()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the server")
	return cmd
}

// exitStatus ends the program with a status of its own. Its error may be nil: there is nothing more to say then.
type exitStatus struct {
	status int
	error
}

func (e exitStatus) Unwrap() error { return e.error }

func (e exitStatus) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.error.Error()
}

func catalogDiffCommand() *cobra.Command {
	var d catalogDiff
	cmd := &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Compare the catalog with a newer one, or with what an AWS account lists",
		Long: `Compare the catalog (what this program was built with, and what the configuration lays over it) with a catalogue FILE, as
"outcrop catalog print" of a newer release prints one, or with what an AWS account lists: --upstream names an upstream of
provider bedrock in the configuration, whose credentials are used for ListFoundationModels and ListInferenceProfiles.

What is new, gone and changed is printed as a table. A FILE without a section says nothing of it; an account says nothing of
prices, nor of other Regions than those that were asked. Models past the end of their life are not missed in an account.

--write FILE writes what is new or changed as a catalogue file for catalog.files of the configuration. What is gone stays.

Exit status: 0 the same, 1 different, 2 an error.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return exitStatus{2, err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d.out = cmd.OutOrStdout()
			different, err := d.run(cmd.Context(), args)
			switch {
			case err != nil:
				return exitStatus{2, err}
			case different:
				return exitStatus{1, nil}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitStatus{2, err} })
	f := cmd.Flags()
	f.StringVar(&d.config, "config", "", "configuration file of the server")
	f.StringVar(&d.upstream, "upstream", "", "upstream of provider bedrock in the configuration, to compare with what its account lists")
	f.StringSliceVar(&d.regions, "region", nil, "with --upstream: the Regions to ask, separated by commas (default: the upstream's, else the configuration's)")
	f.BoolVar(&d.json, "json", false, "print JSON lines, one for each difference")
	f.StringVar(&d.write, "write", "", "write what is new or changed to this file, which must not exist")
	return cmd
}

// catalogDiff is one comparison.
type catalogDiff struct {
	config, upstream, write string
	regions                 []string
	json                    bool
	out                     io.Writer
}

func (d *catalogDiff) run(ctx context.Context, args []string) (different bool, err error) {
	if (len(args) == 1) == (d.upstream != "") {
		return false, errors.New("compare with what? Name a FILE, or an --upstream")
	}
	if len(d.regions) > 0 && d.upstream == "" {
		return false, errors.New("--region is for --upstream")
	}
	c, err := loadConfig(d.config)
	if err != nil {
		return false, err
	}
	ours, err := c.facts()
	if err != nil {
		return false, err
	}
	var theirs *catalog.Facts
	if d.upstream != "" {
		theirs, err = d.account(ctx, &c, ours)
	} else {
		theirs, err = readFacts(args[0])
	}
	if err != nil {
		return false, err
	}
	differences, overlay, err := ours.Diff(theirs)
	if err != nil {
		return false, err
	}
	if d.write != "" && len(overlay.Models)+len(overlay.Profiles)+len(overlay.Prices)+len(overlay.Unpriced) > 0 {
		if err := writeOverlay(d.write, &c, ours, overlay); err != nil {
			return false, err
		}
	}
	return len(differences) > 0, d.print(differences)
}

// account returns ours as it is when the upstream's account is right.
func (d *catalogDiff) account(ctx context.Context, c *Config, ours *catalog.Facts) (theirs *catalog.Facts, err error) {
	i := slices.IndexFunc(c.Upstreams, func(u UpstreamConfig) bool { return u.Name == d.upstream })
	if i < 0 {
		names := map[string]bool{}
		for _, u := range c.Upstreams {
			names[u.Name] = true
		}
		return nil, fmt.Errorf("--upstream: the configuration has no upstream %q%s", d.upstream, nearest(d.upstream, names))
	}
	u := &c.Upstreams[i]
	if u.Provider != "bedrock" {
		return nil, fmt.Errorf("--upstream: %s is of provider %s; only bedrock has an account to ask", u.Name, u.Provider)
	}
	key, err := u.apiKey()
	if err != nil {
		return nil, err
	}
	provider, err := u.provider(ctx, key, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, provider.Close()) }()
	account, ok := provider.(*bedrock.Provider)
	if !ok {
		return nil, fmt.Errorf("--upstream: %s is not Amazon Bedrock", u.Name)
	}
	regions := d.regions
	if len(regions) == 0 {
		regions = u.Regions
	}
	if len(regions) == 0 {
		regions = []string{c.Region}
	}
	var offers []catalog.Offer
	for _, region := range regions {
		if !catalog.IsRegion(region) {
			return nil, fmt.Errorf("--region: %q is not the name of a Region", region)
		}
		o, err := offerOf(ctx, account, region)
		if err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return ours.With(offers, time.Now()), nil
}

// maxPages bounds how long a list is believed to go on.
const maxPages = 1000

// offerOf asks the account what it lists in region.
func offerOf(ctx context.Context, account *bedrock.Provider, region string) (catalog.Offer, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o := catalog.Offer{Region: region}
	var models struct {
		Summaries []catalog.OfferedModel `json:"modelSummaries"`
	}
	if err := account.List(ctx, region, "/foundation-models", nil, &models); err != nil {
		return o, err
	}
	o.Models = models.Summaries
	query := url.Values{"type": {"SYSTEM_DEFINED"}, "maxResults": {"1000"}}
	for range maxPages {
		var page struct {
			Summaries []catalog.OfferedProfile `json:"inferenceProfileSummaries"`
			Next      string                   `json:"nextToken"`
		}
		if err := account.List(ctx, region, "/inference-profiles", query, &page); err != nil {
			return o, err
		}
		o.Profiles = append(o.Profiles, page.Summaries...)
		if page.Next == "" {
			return o, nil
		}
		query.Set("nextToken", page.Next)
	}
	return o, fmt.Errorf("ListInferenceProfiles in %s has more than %d pages", region, maxPages)
}

// writeOverlay writes overlay as a new file, once it is sure that it can be laid over ours in a server with c.
func writeOverlay(name string, c *Config, ours, overlay *catalog.Facts) error {
	together, err := ours.Overlay(overlay)
	if err == nil {
		_, err = c.complete(together)
	}
	if err != nil {
		return fmt.Errorf("--write: what is new does not fit the catalog: %w", err)
	}
	text, err := overlay.Text()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// print prints the differences.
func (d *catalogDiff) print(ds []catalog.Difference) error {
	if d.json {
		for i := range ds {
			text, err := json.Marshal(&ds[i])
			if err != nil {
				return err
			}
			if _, err := d.out.Write(append(text, '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ds) == 0 {
		fmt.Fprintln(d.out, "no differences")
		return nil
	}
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tKIND\tID\tDIFFERENCE")
	count := map[string]int{}
	for _, x := range ds {
		count[x.What]++
		about := make([]string, len(x.Fields))
		for i, f := range x.Fields {
			about[i] = tell(f)
		}
		if len(about) == 0 {
			about = []string{""}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.What, x.Kind, x.ID, about[0])
		for _, a := range about[1:] {
			fmt.Fprintf(w, "\t\t\t%s\n", a)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%d new, %d gone, %d changed\n", count["new"], count["gone"], count["changed"])
	return nil
}

// tell is a field for people: of a list what came and what went.
func tell(f catalog.Field) string {
	var was, is []string
	if f.Old.Kind() != '[' && f.New.Kind() != '[' || json.Unmarshal(f.Old, &was) != nil || json.Unmarshal(f.New, &is) != nil {
		return f.Name + ": " + unquoted(f.Old) + " -> " + unquoted(f.New)
	}
	var parts []string
	for _, v := range is {
		if !slices.Contains(was, v) {
			parts = append(parts, "+"+v)
		}
	}
	for _, v := range was {
		if !slices.Contains(is, v) {
			parts = append(parts, "-"+v)
		}
	}
	return f.Name + ": " + strings.Join(parts, " ")
}

// unquoted is a value without JSON's quotes where it is a text, and a word for none.
func unquoted(v jsontext.Value) string {
	var s string
	switch {
	case v.Kind() == 'n':
		return "none"
	case json.Unmarshal(v, &s) == nil:
		return s
	}
	return string(v)
}
