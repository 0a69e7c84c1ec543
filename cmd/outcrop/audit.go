package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/iam"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Prove or print the record of who did what"}
	cmd.AddCommand(auditVerifyCommand(), auditExportCommand(), auditRestartCommand())
	return cmd
}

// recorded runs a command, and writes it into the audit record where it changes something: as the call of IAM that would do
// the same, by the account's root, which who has the data folder is as good as.
func (f *folder) recorded(cmd *cobra.Command, args []string, run func() error) error {
	e := changeOf(cmd, args)
	if e == nil {
		return run()
	}
	log, err := audit.Open(cmd.Context(), audit.Config{Store: f.store, Sealer: f.sealer, Clock: time.Now, Logger: newLogger(&f.config, cmd.ErrOrStderr()), File: f.config.Audit.File})
	if err != nil {
		return err
	}
	if err = log.Ready(); err == nil {
		err = run()
		f.sign(e, cmd)
		if err != nil {
			failed := fault.From(err)
			e.ErrorCode, e.ErrorMessage = failed.Kind.String(), failed.Message
		}
		err = errors.Join(err, log.Record(context.WithoutCancel(cmd.Context()), e, audit.Durable))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), time.Minute)
	defer cancel()
	return errors.Join(err, log.Close(ctx))
}

// sign says in e who runs cmd.
func (f *folder) sign(e *audit.Event, cmd *cobra.Command) {
	root := iam.Caller{Account: f.account, ARN: "arn:aws:iam::" + f.account + ":root", ID: f.account, Root: true}
	e.UserIdentity, e.RecipientAccountID, e.Region = audit.IdentityOf(&root), f.account, iamRegion
	e.SourceIP, e.UserAgent = "localhost", ranBy(cmd)
}

// ranBy says for people what was run, and by whom where the system knows.
func ranBy(cmd *cobra.Command) string {
	if by, err := user.Current(); err == nil {
		return cmd.CommandPath() + " by " + by.Username
	}
	return cmd.CommandPath()
}

// iamRegion is where CloudTrail has the events of IAM.
const iamRegion = "us-east-1"

// changeOf is the event of a command, without who ran it; nil for one that only reads.
func changeOf(cmd *cobra.Command, args []string) *audit.Event {
	key, names := "AccessKey", []string{"userName", "accessKeyId"}
	if bearer, _ := cmd.Flags().GetBool("bearer"); bearer || len(args) > 1 && isBearer(args[1]) {
		key, names[1] = "ServiceSpecificCredential", "serviceSpecificCredentialId"
	}
	e := &audit.Event{Source: "iam.amazonaws.com"}
	switch cmd.CommandPath() {
	case "outcrop users create":
		e.Name = "CreateUser"
	case "outcrop users delete":
		e.Name = "DeleteUser"
	case "outcrop users put-policy":
		e.Name, names[1] = "PutUserPolicy", "policyName"
	case "outcrop users delete-policy":
		e.Name, names[1] = "DeleteUserPolicy", "policyName"
	case "outcrop keys create":
		e.Name = "Create" + key
	case "outcrop keys delete":
		e.Name = "Delete" + key
	case "outcrop keys activate", "outcrop keys deactivate":
		e.Name = "Update" + key
	case "outcrop keys rotate-root":
		e.Source, e.Name = "outcrop.amazonaws.com", "RotateRootKey"
	case "outcrop keys rotate-sealing":
		e.Source, e.Name = "outcrop.amazonaws.com", "RotateSealingKey"
	case "outcrop prices import":
		e.Source, e.Name, names = "outcrop.amazonaws.com", "ImportPrices", []string{"file"}
	case "outcrop prices withdraw":
		e.Source, e.Name, names = "outcrop.amazonaws.com", "WithdrawPrices", []string{"import"}
	case "outcrop prices rerate":
		e.Source, e.Name = "outcrop.amazonaws.com", "RerateCalls"
	case "outcrop ledger archive":
		return changedLedger(e, cmd, "ArchiveLedger", "before")
	case "outcrop ledger correct":
		return changedLedger(e, cmd, "CorrectLedger", "call", "profile", "period", "amount", "reason")
	case "outcrop ledger repair":
		if dry, _ := cmd.Flags().GetBool("dry-run"); dry {
			return nil
		}
		return changedLedger(e, cmd, "RepairLedger", "reason")
	case "outcrop guard":
		return madeGuard(e, cmd)
	default:
		return nil
	}
	if len(args) == 0 {
		return e
	}
	parameters := map[string]string{}
	for i, name := range names[:min(len(names), len(args))] {
		parameters[name] = args[i]
	}
	if e.Name == "Update"+key {
		parameters["status"] = map[string]string{"activate": "Active", "deactivate": "Inactive"}[cmd.Name()]
	}
	e.RequestParameters, _ = json.Marshal(parameters, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)) // strings always can be
	return e
}

// changedLedger is the event of a command on the ledger: its parameters are the flags that were given.
func changedLedger(e *audit.Event, cmd *cobra.Command, name string, flags ...string) *audit.Event {
	e.Source, e.Name = "outcrop.amazonaws.com", name
	parameters := map[string]string{}
	for _, f := range flags {
		if v := cmd.Flags().Lookup(f).Value.String(); v != "" {
			parameters[f] = v
		}
	}
	e.RequestParameters, _ = json.Marshal(parameters, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)) // strings always can be
	return e
}

// madeGuard is the event of a policy that `outcrop guard` makes and attaches; nil where it only prints one.
func madeGuard(e *audit.Event, cmd *cobra.Command) *audit.Event {
	name, _ := cmd.Flags().GetString("create")
	if name == "" {
		return nil
	}
	e.Name = "CreatePolicy"
	parameters := map[string]any{"policyName": name}
	if attach, _ := cmd.Flags().GetStringArray("attach"); len(attach) > 0 {
		kind, _ := cmd.Flags().GetString("type")
		parameters["attach"], parameters["type"] = attach, kind
	}
	e.RequestParameters, _ = json.Marshal(parameters, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)) // strings always can be
	return e
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

func auditRestartCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = folderFlags(&cobra.Command{
		Use: "restart", Short: "Begin a new audit record where verify finds the one that is there broken", Args: cobra.NoArgs,
		Long: "Begin a new audit record where `outcrop audit verify` finds the one that is there altered, and nothing where it is sound. All that\n" +
			"is recorded is put aside as it is found, into a file in the data folder; the first event of the new record says what was broken, and\n" +
			"has the digest of that file. Keep the file: it is what there is to find out what happened. A server may be running.",
	}, func(ctx context.Context, f *folder, _ []string) error {
		if err := f.sealed(ctx); err != nil {
			return err
		}
		file := filepath.Join(f.dir, "audit-broken-"+time.Now().UTC().Format("20060102T150405Z")+".jsonl")
		out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		e := &audit.Event{Source: "outcrop.amazonaws.com", Name: "RestartAuditRecord"}
		f.sign(e, cmd)
		w := bufio.NewWriter(out)
		said, head, err := audit.Restart(ctx, f.store, f.sealer, time.Now(), e, filepath.Base(file), w, func() error {
			return errors.Join(w.Flush(), out.Sync(), syncFolder(f.dir))
		})
		if err = errors.Join(err, out.Close()); errors.Is(err, audit.ErrSound) {
			return errors.Join(err, os.Remove(file))
		} else if err != nil {
			return err // the file stays: an answer that was lost may have taken away what is in it
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n%d records are put aside in %s\nhead %s\n", said.Broken, said.Records, file, head.Noted())
		return nil
	})
	return cmd
}

// sealed reports, as an error, that the key file opens no access key: to another key file any record is broken.
func (f *folder) sealed(ctx context.Context) error {
	state, err := f.store.Principals(ctx)
	if err != nil {
		return err
	}
	for _, k := range state.Keys {
		if _, err = f.sealer.Open(k.Secret, k.ID); err == nil {
			return nil
		}
	}
	return err
}

// syncFolder makes the names in a folder durable. Windows cannot, and needs not.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
