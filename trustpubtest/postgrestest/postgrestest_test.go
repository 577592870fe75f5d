package postgrestest_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// childVariable tells this test binary to be the test process that gets killed.
const childVariable = "POSTGRESTEST_CHILD"

func TestMain(m *testing.M) { postgrestest.Main(m) }

func get[T any](tb testing.TB, db *sql.DB, query string) T {
	tb.Helper()
	var value T
	require.NoError(tb, db.QueryRowContext(tb.Context(), query).Scan(&value))
	return value
}

func TestEveryDatabaseIsEmptyAndAnother(t *testing.T) {
	first := postgrestest.Open(t, postgrestest.NewDatabase(t))
	_, err := first.ExecContext(t.Context(), `create table t ()`)
	require.NoError(t, err)

	second := postgrestest.Open(t, postgrestest.NewDatabase(t))

	require.NotEqual(t, get[string](t, first, `select current_database()`), get[string](t, second, `select current_database()`))
	require.Zero(t, get[int](t, second, `select count(*) from pg_class where relname = 't'`))
}

func TestTheServerOfTheEnvironmentIsUsedAndLeftAsItWas(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"cluster_name": "mine"}})
	t.Setenv("TEST_DATABASE_URL", server.URL())
	own := postgrestest.Open(t, server.URL())
	const databases = `select count(*) from pg_database`
	before := get[int](t, own, databases)

	t.Run("a test with a database", func(t *testing.T) {
		db := postgrestest.Open(t, postgrestest.NewDatabase(t))
		require.Equal(t, "mine", get[string](t, db, `show cluster_name`))
		require.Equal(t, before+1, get[int](t, own, databases))
	})

	require.Equal(t, before, get[int](t, own, databases))
}

func TestAPausedServerAnswersWhenItIsResumed(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db := postgrestest.Open(t, server.URL())
	db.SetMaxOpenConns(1)
	pid := get[int](t, db, `select pg_backend_pid()`)
	require.NoError(t, server.Pause())
	// A signal is delivered when its process next runs.
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	}, 10*time.Second, time.Millisecond, "the connection's process runs on")

	require.NoError(t, server.Resume())

	require.Equal(t, pid, get[int](t, db, `select pg_backend_pid()`))
}

func TestAKilledServerIsGoneUntilItIsRestartedWithItsData(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db := postgrestest.Open(t, server.URL())
	_, err := db.ExecContext(t.Context(), `create table t as select 7 as n`)
	require.NoError(t, err)
	require.ErrorContains(t, server.Restart(), "runs")

	require.NoError(t, server.Kill())
	require.Error(t, db.PingContext(t.Context()))
	require.NoError(t, server.Restart())

	require.Equal(t, 7, get[int](t, db, `select n from t`))
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	ended := make(chan struct{})
	fake := &recorder{TB: t}
	go func() {
		defer close(ended)
		postgrestest.NewServer(fake, postgrestest.Options{Parameters: map[string]string{"no_such_parameter": "1"}})
	}()
	<-ended

	require.Contains(t, fake.fatal, "no_such_parameter")
}

func TestTheNewestOfSeveralServersIsTakenAndOneOnPATHGoesFirst(t *testing.T) {
	folder := t.TempDir()
	install := func(bin string, programs ...string) string {
		require.NoError(t, os.MkdirAll(bin, 0o750))
		for _, program := range programs {
			require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"), 0o700))
		}
		return bin
	}
	installed := filepath.Join(folder, "postgresql", "*", "bin", "initdb")
	t.Setenv("PATH", folder)

	_, err := postgrestest.FindBinaries(installed)
	require.ErrorContains(t, err, "apt-get install -y postgresql")
	require.ErrorContains(t, err, "TEST_DATABASE_URL")

	install(filepath.Join(folder, "postgresql", "9.6", "bin"), "initdb", "postgres")
	newest := install(filepath.Join(folder, "postgresql", "17", "bin"), "initdb", "postgres")
	install(filepath.Join(folder, "postgresql", "18", "bin"), "initdb") // The client's package alone.
	found, err := postgrestest.FindBinaries(installed)
	require.NoError(t, err)
	require.Equal(t, newest, found)

	own := install(filepath.Join(folder, "own"), "initdb", "postgres")
	t.Setenv("PATH", own)
	found, err = postgrestest.FindBinaries(installed)
	require.NoError(t, err)
	require.Equal(t, own, found)
}

// recorder is a test that records its end.
type recorder struct {
	testing.TB

	fatal string
}

func (r *recorder) Fatal(args ...any) {
	r.fatal = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestAKilledTestProcessLeavesNoServer(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		server := postgrestest.NewServer(t, postgrestest.Options{})
		fmt.Println("server", server.Socket())
		time.Sleep(time.Minute)
		return
	}
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	process.Env = append(os.Environ(), childVariable+"=1")
	output, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	var socket string
	lines := bufio.NewScanner(output)
	for socket == "" && lines.Scan() {
		socket, _ = strings.CutPrefix(lines.Text(), "server ")
	}
	require.FileExists(t, socket)
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(socket)) })

	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())

	require.Eventually(t, func() bool {
		_, err := os.Stat(socket)
		return os.IsNotExist(err)
	}, 10*time.Second, 10*time.Millisecond, "the server still has its socket")
}
