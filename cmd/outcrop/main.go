// Command outcrop serves AWS application inference profiles from your own machines.
//
//	outcrop serve          run the server
//	outcrop demo           see the main job done, with nothing else installed
//	outcrop env            print what a shell needs to talk to the server
//	outcrop check-config   print a configuration file as the server understands it
//	outcrop users, keys    manage principals
//	outcrop calls          print the ledger's entries
//	outcrop costs          show what calls cost
//	outcrop export         write what calls cost for other tools
//	outcrop routes         show where calls go, and why
//	outcrop explain        explain a profile on one page
//	outcrop ledger         prove, correct, mend and archive the ledger
//	outcrop verify         the same as outcrop ledger verify
//	outcrop reconcile      compare the ledger with AWS's bill, or its logs
//	outcrop audit          prove or print the record of who did what
//	outcrop catalog        read and compare the catalog
//	outcrop prices         show and import prices, and rate calls anew
//	outcrop guard          write the policy that makes profiles compulsory
//	outcrop policy lint    find what is wrong in a policy
//	outcrop bench-profile  compare how fast two profiles answer
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"outcrop/fault"
	"outcrop/ledger"
)

func main() {
	// A thread in fdatasync keeps its processor from the scheduler for a while; with only one, everything would wait with
	// it. Where the ledger syncs without holding one, one is cheaper than two that take turns on the same core.
	if runtime.GOMAXPROCS(0) < 2 && ledger.SyncBlocks() {
		runtime.GOMAXPROCS(2)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	// The first signal asks for a clean stop, the second ends the process at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(130)
	}()
	// The heap is a few megabytes of snapshots and buffers: collecting it half as often costs little memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if file := os.Getenv("OUTCROP_CPUPROFILE"); file != "" { // for `make bench`
		f, err := os.Create(file)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "outcrop:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	if err := command().ExecuteContext(ctx); err != nil {
		status := 1
		if e, ok := errors.AsType[exitStatus](err); ok {
			if status = e.status; e.error == nil {
				err = nil
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "outcrop:", words(err))
		}
		os.Exit(status)
	}
}

// words is err for people: without the kind that a fault begins with in logs. Why something is unavailable is for whoever
// runs it to mend, and that is who reads this.
func words(err error) string {
	text := err.Error()
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		said := f.Message
		if f.Kind == fault.Unavailable && f.Cause != nil {
			said += " (" + f.Cause.Error() + ")"
		}
		text = strings.Replace(text, f.Error(), said, 1)
	}
	return text
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "outcrop",
		Short:         "Serve AWS application inference profiles from your own machines",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		root.Version = info.Main.Version // --version, for reports of what went wrong
	}
	root.AddCommand(serveCommand(), demoCommand(), envCommand(), checkConfigCommand(), accountsCommand(), usersCommand(), keysCommand(), callsCommand(), costsCommand(), exportCommand(), reconcileCommand(), routesCommand(), explainCommand(), verifyCommand(), ledgerCommand(), auditCommand(), catalogCommand(), benchProfileCommand(), policyCommand(), guardCommand(), pricesCommand())
	tellUsage(root)
	// --data "$UNSET" means another folder than the default one.
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"listen", "data", "config", "region", "user"} {
			if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
				return fmt.Errorf("--%s is empty: give it a value, or leave it out", name)
			}
		}
		return nil
	}
	return root
}

// tellUsage makes every command that refuses its arguments say which ones it takes; cobra's own words only count them.
func tellUsage(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		tellUsage(sub)
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
}

func serveCommand() *cobra.Command {
	var listen, data, config string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(config)
			if err != nil {
				return err
			}
			if listen != "" {
				c.Listen = listen
			}
			if err := c.check(); err != nil {
				return err
			}
			dir, err := dataFolder(data, &c)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "outcrop: data folder", dir)
			s, err := New(cmd.Context(), c, dir, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			err = s.Run(cmd.Context(), func(url string) { fmt.Fprintln(cmd.OutOrStdout(), "outcrop: listening on", url) })
			return errors.Join(err, s.Close())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on (default 127.0.0.1:4141); port 0 picks a free one")
	cmd.Flags().StringVar(&data, "data", "", "data folder (default: the user's data folder for Outcrop)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (YAML)")
	return cmd
}

func checkConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config FILE",
		Short: "Print a configuration file as the server understands it, with every default",
		Long: "Print a configuration file as the server understands it, with every default. What the server does with it at its start is\n" +
			"done: every file that it names is read, its upstreams are made, its catalog is put together. Only of environment variables\n" +
			"that are not set in this shell it is warned, and of what it probably does not mean: unknown Regions and models, Regions\nwithout an upstream.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			cat, err := c.catalog()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			unset, err := c.rehearse(cmd.Context())
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if c.Data, err = dataFolder("", &c); err != nil {
				return err
			}
			for _, d := range c.doubts(cat) {
				fmt.Fprintln(cmd.ErrOrStderr(), "outcrop: warning:", d)
			}
			for _, u := range unset {
				fmt.Fprintln(cmd.ErrOrStderr(), "outcrop: warning:", u, "is not set here; the server does not start without it")
			}
			text, err := yaml.Marshal(c)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(append(text, '\n'))
			return err
		},
	}
}
