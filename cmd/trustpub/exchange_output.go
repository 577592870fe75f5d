package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// output is where an access token is given out to.
type output interface {
	give(ctx context.Context, token string) error
	io.Closer
}

// openOutput returns the output that the flags ask for, ready to be used.
func openOutput(stdout io.Writer, flags exchangeFlags, environment map[string]string) (output, error) {
	switch {
	case len(flags.command) > 0:
		return newChild(flags.command, flags.name, environment)
	case flags.envFile != "":
		return openTokenFile(flags.envFile, flags.name+"=")
	case flags.githubOutput:
		return openTokenFile(environment["GITHUB_OUTPUT"], "token=")
	}
	return printed{stdout}, nil
}

// printed is a token on standard output.
type printed struct{ out io.Writer }

func (p printed) give(_ context.Context, token string) error {
	_, err := fmt.Fprintln(p.out, token)
	return err
}

func (printed) Close() error { return nil }

// tokenFile is a token in a line at the end of a file, after a prefix.
type tokenFile struct {
	file   *os.File
	prefix string
}

// openTokenFile opens the file to append to it. One that is made is for its owner
// only; one that is there keeps its rights.
func openTokenFile(path, prefix string) (*tokenFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600) //nolint:gosec // The job says where.
	if err != nil {
		return nil, fmt.Errorf("open the file for the access token: %w", err)
	}
	return &tokenFile{file, prefix}, nil
}

func (t *tokenFile) give(_ context.Context, token string) error {
	line := t.prefix + token + "\n"
	isWhole, err := t.endsInLine()
	if err != nil {
		return fmt.Errorf("read the file for the access token: %w", err)
	}
	if !isWhole {
		line = "\n" + line
	}
	_, err = t.file.WriteString(line)
	if err != nil {
		return fmt.Errorf("write the access token: %w", err)
	}
	return nil
}

// endsInLine tells whether the file ends where a line ends. To append to one that does
// not would change what it says last.
func (t *tokenFile) endsInLine() (bool, error) {
	info, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return true, nil
	}
	last := make([]byte, 1)
	_, err = t.file.ReadAt(last, info.Size()-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return last[0] == '\n', nil
}

func (t *tokenFile) Close() error { return t.file.Close() }
