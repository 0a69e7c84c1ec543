package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"outcrop/iam"
)

func envCommand() *cobra.Command {
	var data, config, region string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the export lines that point an AWS client at the server, for eval",
		Long:  "Print the export lines that point an AWS client at the server:\n\n  eval \"$(outcrop env)\"\n\nThe credentials are the account's root credentials.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(config)
			if err != nil {
				return err
			}
			dir, err := dataFolder(data, &c)
			if err != nil {
				return err
			}
			st, sealer, err := openFolder(cmd.Context(), dir, false)
			if err != nil {
				return err
			}
			defer st.Close()
			people, err := iam.Open(cmd.Context(), iam.Config{Store: st, Sealer: sealer})
			if err != nil {
				return err
			}
			account, err := account(cmd.Context(), people, c.AccountID)
			if err != nil {
				return err
			}
			id, secret, err := people.RootCredentials(cmd.Context(), account)
			if err != nil {
				return err
			}
			url, err := endpoint(dir, &c)
			if err != nil {
				return err
			}
			if region == "" {
				region = c.Region
			}
			out := cmd.OutOrStdout()
			for _, kv := range [][2]string{
				{"AWS_ENDPOINT_URL", url}, {"AWS_ACCESS_KEY_ID", id}, {"AWS_SECRET_ACCESS_KEY", secret},
				{"AWS_REGION", region},
				{"AWS_DEFAULT_REGION", region}, // boto3 and the AWS CLI version 1 read only this one
			} {
				fmt.Fprintf(out, "export %s=%s\n", kv[0], shellQuote(kv[1]))
			}
			// What would win over the lines above, or spoil them.
			for _, k := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"} {
				if os.Getenv(k) != "" {
					fmt.Fprintln(out, "unset", k)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder of the server")
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the server")
	cmd.Flags().StringVar(&region, "region", "", "the Region to print (default: the configuration's)")
	return cmd
}

// endpoint is where the folder's server said that it listens, or would by its configuration.
func endpoint(dir string, c *Config) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "endpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return "http://" + c.Listen, nil
	}
	return strings.TrimSpace(string(text)), err
}

// shellQuote quotes s for a POSIX shell where it has to be.
func shellQuote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+/=.:@%,", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
