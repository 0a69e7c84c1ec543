package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"outcrop/catalog"
	"outcrop/cost"
	"outcrop/export"
	"outcrop/store"
)

// ExportConfig is one export that the server writes: docs/exports.md.
type ExportConfig struct {
	// Of the export's folder, and what its files' names begin with: letters, digits, and _ . - behind the first.
	Name string `yaml:"name"`

	// focus (FOCUS 1.2) or cur (the columns of AWS's Cost and Usage Report 2.0).
	Format string `yaml:"format"`

	// parquet or csv. Default: parquet.
	Output string `yaml:"output,omitempty"`

	// What a row adds up: hour or day. Default: hour.
	Granularity string `yaml:"granularity,omitempty"`

	// Whose costs. Default: account_id.
	Account string `yaml:"account,omitempty"`

	// A folder, or s3://BUCKET/PREFIX.
	To string `yaml:"to"`

	// How the bucket is reached.
	S3 S3Config `yaml:"s3,omitempty"`

	// How often it is written, from 1m on: at the multiples of it, of UTC. Default: 1h.
	Every time.Duration `yaml:"every,omitempty"`

	// Billing periods (months of UTC) that are written each time: the current one and those before it, up to 24. What has not
	// changed is not written again. Default: 2.
	Periods int `yaml:"periods,omitempty"`
}

// S3Config is a bucket of AWS's, or of a server that speaks its protocol. Requests are signed with the credentials that the AWS SDK
// finds: environment, shared files, web identity, container, instance.
type S3Config struct {
	// Of a server of one's own, as https://minio.example.com. Default: AWS.
	Endpoint string `yaml:"endpoint,omitempty"`
	// Default: that of the environment or the shared files, else us-east-1.
	Region string `yaml:"region,omitempty"`
	// The profile of the shared AWS configuration files.
	AWSProfile string `yaml:"aws_profile,omitempty"`
	// The bucket stands in the path and not in the host's name, as most servers of one's own want it.
	PathStyle bool `yaml:"path_style,omitempty"`
}

// options checks c.
func (c *S3Config) options() (export.BucketOptions, error) {
	if c.Endpoint != "" {
		if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery+u.Fragment != "" || u.User != nil {
			return export.BucketOptions{}, fmt.Errorf("endpoint: %q is not of the form https://HOST:PORT", c.Endpoint)
		}
	}
	return export.BucketOptions{Endpoint: c.Endpoint, Region: c.Region, Profile: c.AWSProfile, PathStyle: c.PathStyle}, nil
}

// export is what c says, for an account where c names none.
func (c *ExportConfig) export(account string) (export.Export, error) {
	e := export.Export{
		Name: c.Name, Format: export.Format(c.Format), Output: export.Output(cmp.Or(c.Output, string(export.Parquet))),
		Account: cmp.Or(c.Account, account), Daily: c.Granularity == "day",
	}
	switch {
	case c.Granularity != "" && c.Granularity != "hour" && c.Granularity != "day":
		return e, fmt.Errorf("granularity: %q is neither hour nor day", c.Granularity)
	case !accountID.MatchString(e.Account):
		return e, fmt.Errorf("account: %q: must be 12 digits in quotes", c.Account)
	}
	return e, e.Check()
}

// jobs makes the exports of the configuration.
func (c *Config) jobs(ctx context.Context) ([]export.Job, error) {
	var jobs []export.Job
	names := map[string]bool{}
	for i := range c.Exports {
		x := &c.Exports[i]
		j, err := x.job(ctx, c.AccountID)
		if place := x.To + " " + x.Name; err == nil && names[place] {
			err = errors.New("another export has the same name and place")
		} else {
			names[place] = true
		}
		if err != nil {
			return nil, fmt.Errorf("exports[%d] (%s): %w", i, x.Name, err)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func (c *ExportConfig) job(ctx context.Context, account string) (j export.Job, err error) {
	if j.Export, err = c.export(account); err != nil {
		return j, err
	}
	o, err := c.S3.options()
	if err != nil {
		return j, fmt.Errorf("s3.%w", err)
	}
	j.Every, j.Periods = cmp.Or(c.Every, time.Hour), cmp.Or(c.Periods, 2)
	if j.Every < time.Minute {
		return j, fmt.Errorf("every: %v is below 1m", c.Every)
	}
	if j.Periods < 1 || j.Periods > 24 {
		return j, fmt.Errorf("periods: %d is not from 1 to 24", c.Periods)
	}
	if j.To, err = export.Open(ctx, c.To, o); err != nil {
		return j, fmt.Errorf("to: %w", err)
	}
	return j, nil
}

// schedule is the exports of the configuration, by the prices of rater's catalog.
func (c *Config) schedule(ctx context.Context, st *store.Store, rater *cost.Rater, log *slog.Logger) (*export.Schedule, error) {
	jobs, err := c.jobs(ctx)
	return &export.Schedule{Jobs: jobs, Ledger: st, Catalog: rater.Catalog, Clock: time.Now, Logger: log}, err
}

func exportCommand() *cobra.Command {
	var (
		c       ExportConfig
		periods []string
	)
	cmd := folderFlags(&cobra.Command{
		Use: "export", Args: cobra.NoArgs,
		Short: "Write what calls cost as FOCUS or in the form of AWS's cost reports, to a folder or a bucket",
		Long: "Write what calls cost as FOCUS 1.2 or in the form of AWS's Cost and Usage Report 2.0, as Parquet or CSV, to a folder or an\n" +
			"S3 bucket: a file a day, and a manifest. What is there already and has not changed is left as it is.\n\n" +
			"The server does the same by itself where the configuration has `exports`.",
		Example: "  outcrop export --format focus --to ./bills\n" +
			"  outcrop export --format cur --period 2026-10 --period 2026-11 --to s3://finance/outcrop\n" +
			"  outcrop export --format focus --output csv --granularity day --to s3://bills --endpoint http://127.0.0.1:9000 --path-style",
	}, func(ctx context.Context, f *folder, _ []string) error { return f.export(ctx, &c, periods, time.Now()) })
	flags := cmd.Flags()
	flags.StringVar(&c.Format, "format", "", "focus or cur")
	flags.StringVar(&c.Output, "output", "parquet", "parquet or csv")
	flags.StringVar(&c.Granularity, "granularity", "hour", "what a row adds up: hour or day")
	flags.StringArrayVar(&periods, "period", nil, "a month of UTC, as 2026-11; may be given several times (default: this month)")
	flags.StringVar(&c.To, "to", "", "a folder, or s3://BUCKET/PREFIX")
	flags.StringVar(&c.Name, "name", "", "of the export (default: outcrop-FORMAT)")
	flags.StringVar(&c.S3.Endpoint, "endpoint", "", "of a server that speaks S3 (default: AWS)")
	flags.StringVar(&c.S3.Region, "s3-region", "", "of the bucket")
	flags.StringVar(&c.S3.AWSProfile, "aws-profile", "", "of the shared AWS configuration files, whose credentials are used")
	flags.BoolVar(&c.S3.PathStyle, "path-style", false, "put the bucket's name into the path")
	return cmd
}

// export writes the periods that `outcrop export` was told.
func (f *folder) export(ctx context.Context, c *ExportConfig, periods []string, now time.Time) error {
	if c.Format == "" {
		return errors.New("--format is missing: focus or cur")
	}
	c.Name = cmp.Or(c.Name, "outcrop-"+c.Format)
	e, err := c.export(f.account)
	if err != nil {
		return fmt.Errorf("--%w", err)
	}
	o, err := c.S3.options()
	if err != nil {
		return fmt.Errorf("--%w", err)
	}
	to, err := export.Open(ctx, c.To, o)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	months := []time.Time{now}
	if len(periods) > 0 {
		months = nil
		for _, p := range periods {
			m, err := export.ParsePeriod(p)
			if err != nil {
				return fmt.Errorf("--period: %w", err)
			}
			months = append(months, m)
		}
	}
	cat, err := f.prices(ctx)
	if err != nil {
		return err
	}
	for _, m := range months {
		if err := f.exportPeriod(ctx, &e, cat, m, now, to); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) exportPeriod(ctx context.Context, e *export.Export, cat *catalog.Catalog, month, now time.Time, to export.Target) error {
	r, err := e.Write(ctx, f.store, cat, month, now, to)
	if err != nil {
		return fmt.Errorf("%s: %w", month.Format("2006-01"), err)
	}
	_, err = fmt.Fprintf(os.Stdout, "%s  $%s  %d rows  %d files, %d written\n%s\n", month.Format("2006-01"), cost.FormatUSD(r.Nano), r.Rows, r.Files, r.Written, r.Manifest)
	return err
}
