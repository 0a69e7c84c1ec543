package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func envCommand() *cobra.Command {
	var region string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the export lines that point an AWS client at the server, for eval",
		Long:  "Print the export lines that point an AWS client at the server:\n\n  eval \"$(outcrop env)\"\n\nThe credentials are the account's root credentials. A server that is just starting is waited for, a few seconds.",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&region, "region", "", "the Region to print (default: the configuration's)")
	return folderFlags(cmd, func(ctx context.Context, f *folder, _ []string) error {
		url, err := endpoint(ctx, f.dir, &f.config)
		if err != nil {
			return err
		}
		// After the endpoint: a server that starts may replace the root key first.
		id, secret, err := f.people.RootCredentials(ctx, f.account)
		if err != nil {
			return err
		}
		if region == "" {
			region = f.config.Region
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
	})
}

// endpoint is where the folder's server says that it answers. When none says so in time, it is where one would by its
// configuration.
func endpoint(ctx context.Context, dir string, c *Config) (string, error) {
	var url string
	var err error
	await(ctx, dir, func() bool {
		var text []byte
		text, err = os.ReadFile(filepath.Join(dir, "endpoint"))
		url = strings.TrimSpace(string(text))
		return url != "" || err != nil && !errors.Is(err, fs.ErrNotExist) // empty: it is being written
	})
	if url != "" || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return url, err
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "0" {
		return "", fmt.Errorf("no server runs on %s, and its configuration leaves the port open: start it first", dir)
	}
	return c.url(c.Listen), nil
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
