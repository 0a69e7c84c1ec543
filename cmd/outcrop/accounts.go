package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"outcrop/fault"
	"outcrop/iam"
)

func accountsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "accounts", Short: "Manage the accounts, and the guardrails that bound them"}
	var asJSON bool
	create := folderFlags(&cobra.Command{Use: "create ID", Short: "Make an account of 12 digits, and print its root access key", Args: cobra.ExactArgs(1)},
		func(ctx context.Context, f *folder, args []string) error {
			accounts, err := f.people.Accounts(ctx)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(accounts, func(a iam.Account) bool { return a.ID == args[0] }) {
				return fault.New(fault.Conflict, "The account %s already exists.", args[0])
			}
			if err := f.people.EnsureRoot(ctx, args[0], "", ""); err != nil {
				return err
			}
			id, secret, err := f.people.RootCredentials(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(struct{ AccountId, AccessKeyId, SecretAccessKey string }{args[0], id, secret})
			}
			fmt.Printf("AccountId        %s\nAccessKeyId      %s\nSecretAccessKey  %s\n", args[0], id, secret)
			return nil
		})
	create.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(create,
		folderFlags(&cobra.Command{Use: "list", Short: "List the accounts", Args: cobra.NoArgs},
			func(ctx context.Context, f *folder, _ []string) error {
				accounts, err := f.people.Accounts(ctx)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ACCOUNT\tCREATED\tGUARDRAILS")
				for _, a := range accounts {
					o, err := f.people.Roster(ctx, a.ID)
					if err != nil {
						return err
					}
					fmt.Fprintf(w, "%s\t%s\t%d\n", a.ID, a.CreatedAt.UTC().Format(time.RFC3339), len(o.Guardrails()))
				}
				return w.Flush()
			}),
		guardrailCommand(),
	)
	return cmd
}

func guardrailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "guardrail", Short: "Bound everyone in an account, its root too, by policies: AWS's service control policies",
		Long: "Bound everyone in an account, its root too, by policies: what AWS Organizations calls service control policies. They allow nothing\n" +
			"by themselves. The first comes with " + iam.FullAccess + ", so that a policy need only say what is denied; delete that one, and only what the\n" +
			"others allow is allowed.",
	}
	var account string
	of := func(f *folder) string {
		if account != "" {
			return account
		}
		return f.account
	}
	cmd.PersistentFlags().StringVar(&account, "account", "", "the account (default: that of the server's configuration)")
	cmd.AddCommand(
		folderFlags(&cobra.Command{Use: "put NAME FILE", Short: "Bound the account by a policy, or replace it", Args: cobra.ExactArgs(2)},
			func(ctx context.Context, f *folder, args []string) error {
				doc, err := os.ReadFile(args[1])
				if err != nil {
					return err
				}
				return f.people.PutGuardrail(ctx, of(f), args[0], string(doc))
			}),
		folderFlags(&cobra.Command{Use: "delete NAME", Short: "Take a policy away; after the last one nothing bounds the account", Args: cobra.ExactArgs(1)},
			func(ctx context.Context, f *folder, args []string) error {
				return f.people.DeleteGuardrail(ctx, of(f), args[0])
			}),
		folderFlags(&cobra.Command{Use: "list", Short: "Print the policies", Args: cobra.NoArgs},
			func(ctx context.Context, f *folder, _ []string) error {
				o, err := f.people.Roster(ctx, of(f))
				if err != nil {
					return err
				}
				for _, g := range o.Guardrails() {
					if err := printJSON(struct{ Name, Document string }{g.Name, g.Document}); err != nil {
						return err
					}
				}
				return nil
			}),
	)
	return cmd
}
