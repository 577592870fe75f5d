package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
)

// Exit codes by which shells tell what became of a command.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	// exitSignal is added to the number of the signal that ended it.
	exitSignal = 128
)

// exitError ends the program with an exit code. err is nil when there is nothing to
// say about it.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }
func (e *exitError) Unwrap() error { return e.err }

// child is a command that gets the access token in its environment.
type child struct {
	path        string
	args        []string
	variable    string
	environment []string
}

// newChild looks the command up. The ID token that the job was given explicitly does
// not go on to it. What GitHub Actions gives a job to ask for ID tokens does: a command
// may sign with one of its own, as npm and cosign do, and could read them anyway from
// its parent process.
func newChild(command []string, variable string, environment map[string]string) (*child, error) {
	path, err := exec.LookPath(command[0])
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, &exitError{exitNotFound, fmt.Errorf("run the command: %w", err)}
	case err != nil:
		return nil, &exitError{exitNotExecutable, fmt.Errorf("run the command: %w", err)}
	}
	return &child{path, command[1:], variable, cijob.WithoutIDToken(environment)}, nil
}

// give runs the command to its end, and returns an *exitError when that is no success.
// Signals that come meanwhile go on to it, so that the command decides what to make of
// them, and this process lives on to revoke the token.
func (c *child) give(ctx context.Context, token string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return ctx.Err() // A signal came while there was no command yet.
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), c.path, c.args...) //nolint:gosec // The job says what.
	command.Env = slices.Concat(c.environment, []string{c.variable + "=" + token})
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := command.Start()
	if err != nil {
		return &exitError{exitNotExecutable, fmt.Errorf("run the command: %w", err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = command.Process.Signal(s) // It fails when the command has ended.
		case err = <-ended:
			return outcome(command.ProcessState, err)
		}
	}
}

// outcome returns what the command ended with as a shell has it.
func outcome(state *os.ProcessState, err error) error {
	_, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !isExit:
		return fmt.Errorf("wait for the command: %w", err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &exitError{code: exitSignal + int(status.Signal())}
	}
	return &exitError{code: state.ExitCode()}
}

// Close does nothing: the command has ended.
func (*child) Close() error { return nil }
