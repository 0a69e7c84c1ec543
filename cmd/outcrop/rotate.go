package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"outcrop/iam"
	"outcrop/store"
)

func rotateRootCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rotate-root", Short: "Give root another access key, and take away those it has", Args: cobra.NoArgs,
		Long: "Give the account's root another access key, and take away those it has. With them, and with the sessions that GetSessionToken gave\n" +
			"for them, nobody gets in from this moment on. Where calls must not be interrupted, make a second key beside the first with\n" +
			"`aws iam create-access-key`, and delete the first when nobody uses it any more.",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return folderFlags(cmd, func(ctx context.Context, f *folder, _ []string) error {
		if given, _, err := rootOfEnvironment(); err != nil {
			return err
		} else if given != "" {
			return errors.New("OUTCROP_ROOT_ACCESS_KEY_ID says root's key: change it there, and start the server again")
		}
		root, err := f.people.RotateRoot(ctx, f.account)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(struct{ AccessKeyId, SecretAccessKey string }{root.ID, root.Secret})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "AccessKeyId      %s\nSecretAccessKey  %s\n", root.ID, root.Secret)
		return err
	})
}

func rotateSealingCommand() *cobra.Command {
	var data, config string
	cmd := &cobra.Command{
		Use: "rotate-sealing", Short: "Seal every secret with another key, while the server is stopped", Args: cobra.NoArgs,
		Long: "Put another key into the key file, and seal every secret and the head of the audit record with it, while the server is stopped. Sessions that\n" +
			"were given before end with it. Whatever interrupts it, run it again: until all is done the key file has both keys, and a server\n" +
			"starts with it. A key file with two keys is taken as it is, so that the first may be one that you have made.\n\n" +
			"Copies of the database that were made before need the key file as it was. Who has had that file and such a copy knows the secrets:\n" +
			"replace them as well. A key file that several data folders use opens only this one afterwards: give the others one of their own before.",
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder of the server")
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the server")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		c, err := loadConfig(config)
		if err != nil {
			return err
		}
		dir, err := dataFolder(data, &c)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		st, err := store.OpenExisting(ctx, filepath.Join(dir, "outcrop.db"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		lock, err := lockFolder(dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
		sealer, err := iam.BeginRotation(keyFile(dir))
		if err != nil {
			return err
		}
		people, err := iam.Open(ctx, iam.Config{Store: st, Sealer: sealer})
		if err != nil {
			return err
		}
		account, err := account(ctx, people, c.AccountID)
		if err != nil {
			return err
		}
		f := &folder{dir, c, st, sealer, people, account}
		return f.recorded(cmd, args, func() error {
			if err := st.Reseal(ctx, sealer); err != nil {
				return err
			}
			if err := iam.EndRotation(keyFile(dir)); err != nil {
				return fmt.Errorf("everything is sealed with the new key, the first in %s; take the second out: %w", keyFile(dir), err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "everything is sealed with the new key in", keyFile(dir))
			return err
		})
	}
	return cmd
}
