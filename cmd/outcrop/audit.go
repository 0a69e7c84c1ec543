package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"outcrop/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Prove or print the record of who did what"}
	cmd.AddCommand(auditVerifyCommand(), auditExportCommand())
	return cmd
}

func auditVerifyCommand() *cobra.Command {
	var noted string
	cmd := folderFlags(&cobra.Command{
		Use: "verify", Short: "Prove that no audit record was altered, added or taken away", Args: cobra.NoArgs,
		Long: "Prove that no audit record was altered, added or taken away, or name the first for which this is not so.\n\n" +
			"Who has the database and the key file can write another past, and an old copy of the database proves itself. Note the\n" +
			"head that this prints somewhere else, and give it with --head the next time: then the record must still lead there.",
	}, func(ctx context.Context, f *folder, _ []string) error {
		var known *audit.Head
		if noted != "" {
			var err error
			if known, err = audit.ParseNoted(noted); err != nil {
				return err
			}
		}
		return f.store.ReadEvents(ctx, func(t *audit.Trail) error {
			if err := audit.Verify(t, f.sealer, known); err != nil {
				return err
			}
			h := t.Head
			fmt.Printf("every audit record from %d to %d is what was recorded\nhead %s\n", h.First, h.Last, h.Noted())
			return nil
		})
	})
	cmd.Flags().StringVar(&noted, "head", "", "a head that was noted before: the record must lead there")
	return cmd
}

func auditExportCommand() *cobra.Command {
	var since, until string
	cmd := folderFlags(&cobra.Command{
		Use: "export", Short: "Print audit events as lines of JSON, oldest first, of all accounts and Regions", Args: cobra.NoArgs,
	}, func(ctx context.Context, f *folder, _ []string) error {
		from, err := parseMoment("since", since)
		if err != nil {
			return err
		}
		to, err := parseMoment("until", until)
		if err != nil {
			return err
		}
		w := bufio.NewWriter(os.Stdout)
		err = f.store.ReadEvents(ctx, func(t *audit.Trail) error {
			for r, err := range t.Records {
				if err != nil {
					return err
				}
				if !from.IsZero() && r.Time.Before(from) || !to.IsZero() && !r.Time.Before(to) {
					continue
				}
				if _, err := w.Write(append(r.Event, '\n')); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return w.Flush()
	})
	cmd.Flags().StringVar(&since, "since", "", "only events from then on: a time as 2026-01-02T15:04:05Z, a day in UTC, or how long ago, as 24h")
	cmd.Flags().StringVar(&until, "until", "", "only events before then")
	return cmd
}

// parseMoment reads a time, a day, or how long ago it is; "" is the zero time.
func parseMoment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %s: want a time as 2026-01-02T15:04:05Z, a day as 2026-01-02, or how long ago, as 24h", flag, s)
}
