package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) {
	testscript.Main(pgMain{m}, map[string]func(){
		"trustpub": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:]))
		},
	})
}

// pgMain runs the tests, and then stops the PostgreSQL that they may have started.
type pgMain struct{ m *testing.M }

func (p pgMain) Run() int { return postgrestest.Run(p.m) }

// Each script runs the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DATABASE_URL", "sqlite:"+filepath.Join(env.WorkDir, "t.db"))
			env.Setenv("TRUSTPUB_PROVIDERS", "github")
			env.Setenv("TRUSTPUB_LOG_LEVEL", "error")
			return nil
		},
	})
}

func TestTheCommandsWorkOnPostgreSQL(t *testing.T) {
	t.Setenv("DATABASE_URL", postgrestest.NewDatabase(t))
	t.Setenv("TRUSTPUB_PROVIDERS", "github")
	t.Setenv("TRUSTPUB_LOG_LEVEL", "error")
	for _, args := range [][]string{
		{"migrate", "up"},
		{"publisher", "add", "github", "--package", "demo", "--repository", "octo-org/octo-repo", "--workflow", "release.yml", "--owner-id", "65"},
		{"publisher", "list"},
		{"publisher", "remove", "1"},
		{"migrate", "down"},
		{"migrate", "down"},
		{"migrate", "down"},
	} {
		require.Zero(t, run(t.Context(), args), "%v", args)
	}
	require.Equal(t, exitFailure, run(t.Context(), []string{"migrate", "down"}), "there is nothing left to revert")
}

func TestTheTourShowsEachStepAndNoSecretOfTheRegistry(t *testing.T) {
	t.Setenv("TRUSTPUB_LISTEN", "127.0.0.1:0")
	root := newRoot()
	out := &lines{}
	root.SetOut(out)
	root.SetArgs([]string{"dev", "--once"})

	require.NoError(t, root.ExecuteContext(t.Context()))

	for _, step := range []string{"1. trust", "2. who asks", "3. checked", "4. minted", "5. used", "6. replayed", "7. revoked"} {
		require.Contains(t, string(*out), step)
	}
	require.NotRegexp(t, `cio_tp_[0-9A-Za-z]{38}`, string(*out))
}

type lines []byte

func (l *lines) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	return len(p), nil
}
