package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	outcropapi "outcrop/api/outcrop"
	"outcrop/arn"
	"outcrop/cost"
)

// remote is what the commands that ask a running server have in common.
type remote struct {
	data, config, region string
	json                 bool
}

func (r *remote) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&r.data, "data", "", "data folder of the server")
	cmd.Flags().StringVar(&r.config, "config", "", "configuration file of the server")
	cmd.Flags().StringVar(&r.region, "region", "", "the profile's Region (default: its ARN's, else AWS_REGION's or the configuration's)")
	cmd.Flags().BoolVar(&r.json, "json", false, "print JSON")
	cmd.Long = cmd.Short + ".\n\nThe server that is asked is the one that AWS_ENDPOINT_URL names, with the credentials of the environment; where that\n" +
		"is not set, or --data or --config is given, the one that runs on the data folder, as its account's root."
	return cmd
}

// get asks the server for path.
func (r *remote) get(ctx context.Context, path, profile string, query url.Values, out any) error {
	c, region, err := r.connect(ctx)
	if err != nil {
		return err
	}
	if a, err := arn.Parse(profile); err == nil && r.region == "" && a.Region != "" {
		region = a.Region
	}
	if profile != "" {
		path += "/" + url.PathEscape(profile)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, "GET", path, "outcrop", region, nil, nil, out)
}

// connect finds the server, and the Region that is meant.
func (r *remote) connect(ctx context.Context) (c *client, region string, err error) {
	h := &http.Client{Timeout: time.Minute}
	if os.Getenv("AWS_ENDPOINT_URL") != "" && r.data == "" && r.config == "" {
		c, err = environmentClient(h)
		return c, cmp.Or(r.region, environmentRegion(), defaults().Region), err
	}
	f, err := openManaged(ctx, r.data, r.config)
	if err != nil {
		return nil, "", err
	}
	c = &client{http: h}
	if c.url, err = endpoint(ctx, f.dir, &f.config); err == nil {
		c.credentials.AccessKeyID, c.credentials.SecretAccessKey, err = f.people.RootCredentials(ctx, f.account)
	}
	return c, cmp.Or(r.region, f.config.Region), errors.Join(err, f.store.Close())
}

func routesCommand() *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use: "routes [PROFILE]", Short: "Show the live state of every target, or the order in which a profile's would be tried, and why", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				var all outcropapi.Routes
				if err := r.get(cmd.Context(), "/outcrop/routes", "", nil, &all); err != nil {
					return err
				}
				if r.json {
					return printJSON(all)
				}
				return printTargets(cmd.OutOrStdout(), &all, time.Now())
			}
			var route outcropapi.Route
			if err := r.get(cmd.Context(), "/outcrop/routes", args[0], nil, &route); err != nil {
				return err
			}
			if r.json {
				return printJSON(route)
			}
			printIdentity(cmd.OutOrStdout(), &route.Identity)
			return printRouting(cmd.OutOrStdout(), &route.Routing)
		},
	})
}

func printTargets(out io.Writer, all *outcropapi.Routes, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "UPSTREAM\tREGIONS\tMODEL\tHEALTH\tIN FLIGHT\tFIRST EVENT\tWHOLE ANSWER\tERRORS, 10 S\tLAST FAILURE")
	for _, t := range all.Targets {
		health := t.Health
		switch {
		case t.ThrottledUntil.After(now):
			health += ", throttled for " + t.ThrottledUntil.Sub(now).Round(100*time.Millisecond).String()
		case t.OutUntil.After(now):
			health += " for " + t.OutUntil.Sub(now).Round(100*time.Millisecond).String()
		}
		last := "-"
		if f := t.LastFailure; f != nil {
			last = f.What + ", " + now.Sub(f.Time).Round(time.Second).String() + " ago"
		}
		errs := "-"
		if t.Calls > 0 {
			errs = fmt.Sprintf("%.1f%% of %d", 100*t.ErrorRate, t.Calls)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.Upstream, cmp.Or(strings.Join(t.Regions, ","), "all"), t.ModelID, health, t.InFlight, known(t.FirstEvent), known(t.Whole), errs, last)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(all.Unused) > 0 {
		fmt.Fprintf(out, "\nNo call has led to these upstreams yet: %s\n", strings.Join(all.Unused, ", "))
	}
	some := 0
	for i := range all.Unserved {
		u := &all.Unserved[i]
		if !u.All {
			some++
			continue
		}
		fmt.Fprintf(out, "\nNo upstream serves %s, every call through it fails: %s\n  %s\n", u.ModelID, u.Name, u.ARN)
	}
	if some > 0 {
		fmt.Fprintf(out, "\nProfiles of which some destinations have no upstream: %d; outcrop routes PROFILE names them.\n", some)
	}
	return nil
}

// known is a time in milliseconds for people to read, where there is one.
func known(t float64) string {
	if t == 0 {
		return "-"
	}
	return ms(t) + " ms"
}

func printIdentity(out io.Writer, id *outcropapi.Identity) {
	what := map[string]string{"APPLICATION": "application profile", "SYSTEM_DEFINED": "system-defined profile"}[id.Type]
	fmt.Fprintf(out, "%s\n  %s\n  %s of %s, called from %s, priced as %s\n", cmp.Or(id.Name, id.ModelID), id.ARN, cmp.Or(what, "foundation model"), id.ModelID, id.Source, id.Scope)
}

func printRouting(out io.Writer, r *outcropapi.Routing) error {
	fmt.Fprintf(out, "\nRouting: %s\n", r.Policy)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, c := range r.Order {
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\n", i+1, c.Region, c.Upstream, c.Model, c.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Order) == 0 {
		fmt.Fprintln(out, "  No upstream serves this model in any destination: every call fails.")
	} else if len(r.Unserved) > 0 {
		fmt.Fprintf(out, "  No upstream serves this model in %s.\n", strings.Join(r.Unserved, ", "))
	}
	return nil
}

func explainCommand() *cobra.Command {
	var r remote
	var user string
	cmd := r.flags(&cobra.Command{
		Use: "explain PROFILE", Short: "Explain a profile on one page: what it resolves to, who may call it, what it costs, where its calls go", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if user != "" {
				query.Set("user", user)
			}
			var e outcropapi.Explanation
			if err := r.get(cmd.Context(), "/outcrop/explain", args[0], query, &e); err != nil {
				return err
			}
			if r.json {
				return printJSON(e)
			}
			return printExplanation(cmd.OutOrStdout(), &e)
		},
	})
	cmd.Flags().StringVar(&user, "user", "", "say only what this user may do (default: everybody)")
	return cmd
}

func printExplanation(out io.Writer, e *outcropapi.Explanation) error {
	printIdentity(out, &e.Identity)
	if e.CopiedFrom != "" {
		fmt.Fprintf(out, "  copied from %s\n", e.CopiedFrom)
	}
	for i, t := range e.Tags {
		if i == 0 {
			fmt.Fprintln(out, "\nTags")
		}
		fmt.Fprintf(out, "  %s = %s\n", t.Key, t.Value)
	}
	fmt.Fprintf(out, "\nDestinations: %s\n", strings.Join(e.Destinations, ", "))

	fmt.Fprintln(out, "\nWho may call it: bedrock:InvokeModel, and for streams bedrock:InvokeModelWithResponseStream, on each of")
	for _, r := range e.Resources {
		fmt.Fprintf(out, "  %s\n", r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  CALLER\tCALLS\tSTREAMS\tWHY NOT")
	for _, c := range e.Callers {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", c.Principal, yes(c.Invoke.Allowed), yes(c.Stream.Allowed), cmp.Or(c.Invoke.Why, c.Stream.Why, "-"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	printPrice(out, e.Price)
	fmt.Fprintln(out, "\nQuota: none; this version has no quotas.")
	return printRouting(out, &e.Routing)
}

func yes(allowed bool) string {
	if allowed {
		return "yes"
	}
	return "no"
}

func printPrice(out io.Writer, p *outcropapi.Price) {
	if p == nil {
		fmt.Fprintln(out, "\nPrice: not known; calls are recorded as unrated.")
		return
	}
	about := ""
	if p.Inferred {
		about = ", in part by a rule and not from a price list"
	}
	fmt.Fprintf(out, "\nPrice in USD (%s%s)\n", p.ID, about)
	for _, of := range []struct {
		what string
		nano *int64
	}{{"input", p.Input}, {"output", p.Output}, {"cache read", p.CacheRead}, {"cache write", p.CacheWrite}, {"cache write, 1 hour", p.CacheWrite1h}} {
		if of.nano != nil {
			fmt.Fprintf(out, "  %s, a million tokens: %s\n", of.what, cost.FormatUSD(*of.nano))
		}
	}
	if p.GPUCalls > 0 {
		fmt.Fprintf(out, "  the GPUs, an hour: %s, shared by %d calls\n", cost.FormatUSD(p.GPUHour), p.GPUCalls)
	}
	for _, unit := range slices.Sorted(maps.Keys(p.Units)) {
		fmt.Fprintf(out, "  %s, each: %s\n", unit, cost.FormatUSD(p.Units[unit]))
	}
}
