// Command trustpub is the trusted-publishing server: it exchanges the OIDC
// identity token of a CI job for a short-lived access token of a package registry.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
)

// Exit codes.
const (
	exitFailure = 1
	// exitUsage is a bad setting, flag or argument.
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	exit, isExit := errors.AsType[*exitError](err)
	if isExit {
		err = exit.err
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "trustpub:", err)
	}
	if isExit {
		return exit.code
	}
	_, isUsage := errors.AsType[*usageError](err)
	_, isSetting := errors.AsType[*bootstrap.SettingError](err)
	if isUsage || isSetting {
		return exitUsage
	}
	return exitFailure
}

// usageError is a command line that can't be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func newRoot() *cobra.Command {
	root := newGroup("trustpub", "Trusted publishing for any package registry",
		newServe(), newDev(), newMigrate(), newPublisher(), newExchange(), newRevoke(), newVersion())
	root.Long = "trustpub exchanges the OIDC identity token of a CI job for a short-lived access token\nfor the packages that trust exactly that workflow. No long-lived secret exists anywhere."
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	return root
}

// newGroup returns a command that has sub-commands and does nothing itself: without
// one it shows its help, and an unknown one is a mistake.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(commands...)
	return group
}

// usageArgs makes what check finds wrong with the arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil {
			return &usageError{fmt.Errorf("%w (see: %s --help)", err, cmd.CommandPath())}
		}
		return nil
	}
}
