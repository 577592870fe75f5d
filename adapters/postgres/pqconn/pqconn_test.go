package pqconn_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func get[T any](tb testing.TB, db *sql.DB, query string) T {
	tb.Helper()
	var value T
	require.NoError(tb, db.QueryRowContext(tb.Context(), query).Scan(&value))
	return value
}

// open returns a pool with one connection, which is open.
func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db := postgrestest.Open(t, url)
	db.SetMaxOpenConns(1)
	require.NoError(t, db.PingContext(t.Context()))
	return db
}

func with(url, parameters string) string { return url + "&" + parameters }

func TestTheConnectionSaysWhoseItIs(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	const name = `select application_name from pg_stat_activity where pid = pg_backend_pid()`
	require.Equal(t, "trustpub", get[string](t, open(t, url), name))
	require.Equal(t, "mine", get[string](t, open(t, with(url, "application_name=mine")), name))
}

func TestAURLThatCannotBeReadIsAnError(t *testing.T) {
	for _, url := range []string{"postgres://h:port/x", "postgres://h/x?sslmode=perhaps", "postgres://h/x?connect_timeout=soon", "nonsense"} {
		_, err := pqconn.Open(url, 0)
		require.Error(t, err, url)
	}
}

func TestCommitsAreSynchronousUnlessTheOperatorChoseAnotherKind(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	for set, want := range map[string]string{"off": "on", "on": "on", "local": "local", "remote_write": "remote_write", "remote_apply": "remote_apply"} {
		require.Equal(t, want, get[string](t, open(t, with(url, "synchronous_commit="+set)), `show synchronous_commit`), set)
	}
}

func TestAStatementIsOneRoundTrip(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	var trips int
	url := countTrips(t, server, &trips)
	db := open(t, url)
	before := trips

	var value string
	require.NoError(t, db.QueryRowContext(t.Context(), `select $1::text`, "x").Scan(&value))

	require.Equal(t, 1, trips-before)
}

// countTrips returns the URL of a forwarder to the server. It counts how often the
// server answers to something; there is one connection, and so no race.
func countTrips(t *testing.T, server *postgrestest.Server, trips *int) string {
	t.Helper()
	folder := t.TempDir()
	listener, err := net.Listen("unix", folder+"/.s.PGSQL.5432")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = client.Close() }()
		backend, err := net.Dial("unix", server.Socket())
		if err != nil {
			return
		}
		defer func() { _ = backend.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			_, err = backend.Write(buffer[:n])
			if err != nil {
				return
			}
			n, err = backend.Read(buffer)
			if err != nil {
				return
			}
			*trips++
			_, err = client.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	return "postgres://postgres@/postgres?sslmode=disable&host=" + folder
}

func TestOfSeveralHostsTheOneThatCanBeWrittenToIsUsed(t *testing.T) {
	primary := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"cluster_name": "primary"}})
	standby := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"default_transaction_read_only": "on"}})
	nobody := t.TempDir()
	hosts := strings.Join([]string{nobody, standby.Folder(), primary.Folder()}, ",")

	db := open(t, "postgres://postgres@/postgres?sslmode=disable&target_session_attrs=read-write&host="+hosts)

	require.Equal(t, "primary", get[string](t, db, `show cluster_name`))
}

func TestNoHostThatCanBeWrittenToIsAFailureOfTheNetwork(t *testing.T) {
	standby := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"default_transaction_read_only": "on"}})
	db := postgrestest.Open(t, with(standby.URL(), "target_session_attrs=read-write"))

	err := db.PingContext(t.Context())

	_, ok := errors.AsType[*net.OpError](err)
	require.True(t, ok, "%v", err)
}

func TestARefusalOfTheServerIsNoFailureOfTheNetwork(t *testing.T) {
	db := postgrestest.Open(t, strings.Replace(postgrestest.NewDatabase(t), "/trustpub_", "/no_such_", 1))

	err := db.PingContext(t.Context())

	require.Error(t, err)
	_, ok := errors.AsType[*net.OpError](err)
	require.False(t, ok, "%v", err)
}

func TestAConnectionWhoseServerBecameReadOnlyIsNotUsedAgain(t *testing.T) {
	db := open(t, postgrestest.NewDatabase(t))
	first := get[int](t, db, `select pg_backend_pid()`)
	_, err := db.ExecContext(t.Context(), `do $$ begin raise exception 'injected' using errcode = '22000'; end $$`)
	require.Error(t, err)
	require.Equal(t, first, get[int](t, db, `select pg_backend_pid()`), "another error is no reason")

	_, err = db.ExecContext(t.Context(), `do $$ begin raise exception 'injected' using errcode = '25006'; end $$`)

	require.Error(t, err)
	require.NotEqual(t, first, get[int](t, db, `select pg_backend_pid()`))
}

// Whatever raises it: that a commit was replicated can't be told from its text, which
// is in the server's language.
func TestAWarningMakesASuccessAnError(t *testing.T) {
	const warning = `do $$ begin raise warning 'injected'; end $$`
	db := open(t, postgrestest.NewDatabase(t))

	_, err := db.ExecContext(t.Context(), warning)
	require.ErrorIs(t, err, pqconn.ErrNotDurable)

	_, err = db.ExecContext(t.Context(), `do $$ begin raise notice 'injected'; end $$`)
	require.NoError(t, err, "a notice is no warning, and the next statement another one")
	_, err = db.ExecContext(t.Context(), `create function warn() returns int language plpgsql as $$ begin raise warning 'injected'; return 1; end $$`)
	require.NoError(t, err)
	require.ErrorIs(t, db.QueryRowContext(t.Context(), `select warn()`).Scan(new(int)), pqconn.ErrNotDurable)
	require.Equal(t, 1, get[int](t, db, `select 1`))
}

func TestPreparedStatementsAreRefused(t *testing.T) {
	db := open(t, postgrestest.NewDatabase(t))
	_, err := db.PrepareContext(t.Context(), `select 1`) //nolint:sqlclosecheck // There is none.
	require.ErrorContains(t, err, "not supported")
}

func TestAFrozenServerHoldsNoCallBeyondItsDeadline(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	for _, test := range []struct {
		name string
		do   func(ctx context.Context, db *sql.DB) error
	}{
		{"a new connection", func(ctx context.Context, db *sql.DB) error {
			db.SetMaxIdleConns(0) // The one that is open goes.
			return db.PingContext(ctx)
		}},
		{"a ping", func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }},
		{"a statement", func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, `select 1`)
			return err
		}},
		{"a query", func(ctx context.Context, db *sql.DB) error {
			return db.QueryRowContext(ctx, `select 1`).Scan(new(int))
		}},
		{"a transaction", func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Commit()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The I/O timeout alone would hold the call for much longer than the test waits.
			db, err := pqconn.Open(server.URL(), time.Hour)
			require.NoError(t, err)
			db.SetMaxOpenConns(1)
			require.NoError(t, db.PingContext(t.Context()))
			require.NoError(t, server.Pause())
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- test.do(ctx, db) }()

			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(20 * time.Second):
				t.Error("the call hangs although its deadline has long passed")
			}

			require.NoError(t, server.Resume())
			require.NoError(t, db.PingContext(t.Context()), "the pool goes on")
			require.NoError(t, db.Close())
		})
	}
}

func TestAFrozenServerHoldsNoCallWithoutADeadlineBeyondTheTimeout(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db, err := pqconn.Open(server.URL(), 200*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.PingContext(t.Context()))
	require.NoError(t, server.Pause())
	ended := make(chan error, 1)
	go func() { ended <- db.QueryRowContext(context.WithoutCancel(t.Context()), `select 1`).Scan(new(int)) }()

	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(20 * time.Second):
		t.Error("the call hangs")
	}
	require.NoError(t, server.Resume())
}

// The statement's deadline has passed by then.
func TestAConnectionThatWasIdleIsClosedInOrder(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	db, err := pqconn.Open(url, 0)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = db.ExecContext(ctx, `select 1`)
	require.NoError(t, err)
	time.Sleep(500 * time.Millisecond)

	require.NoError(t, db.Close())
}
