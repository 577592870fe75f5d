package pqconn_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestAnUnwatchedContextTellsNothingOfItsEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "kept"), time.Hour)
	unwatched := pqconn.Unwatched(ctx)
	cancel()

	require.Nil(t, unwatched.Done())
	require.NoError(t, unwatched.Err())
	require.Equal(t, "kept", unwatched.Value(key{}))
	want, _ := ctx.Deadline()
	got, ok := unwatched.Deadline()
	require.True(t, ok)
	require.Equal(t, want, got)
}

type key struct{}

// query asks for something in an unwatched context, on a connection of its own.
func query(ctx context.Context, db *sql.DB, statement string, args ...any) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var value any
	return conn.QueryRowContext(pqconn.Unwatched(ctx), statement, args...).Scan(&value)
}

// Ensure that a statement ends with its context, when that is cancelled and when its
// time is over, for the client and on the server.
func TestAnUnwatchedStatementEndsWithItsContext(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	other := open(t, url)
	// A cancellation must reach the very server of the statement.
	several := strings.Replace(url, "host=", "host="+t.TempDir()+",", 1)
	require.NotEqual(t, url, several)
	// Such a role is not shown when its backend began, and may not cancel it by its number.
	_, err := other.ExecContext(t.Context(), `create role stranger; create role logs_in login; grant stranger to logs_in; alter role logs_in set role to stranger`)
	require.NoError(t, err)
	disguised := strings.Replace(url, "postgres@", "logs_in@", 1)
	require.NotEqual(t, url, disguised)
	for _, url := range []string{url, several, disguised} {
		testUnwatchedStatementEnds(t, url, other)
	}
}

func testUnwatchedStatementEnds(t *testing.T, url string, other *sql.DB) {
	t.Helper()
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(200*time.Millisecond, cancel)
			return ctx, cancel
		},
		"out of time": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 200*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := pqconn.Open(url, time.Hour)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			db.SetMaxOpenConns(1)
			backend := get[int](t, db, `select pg_backend_pid()`)
			ctx, cancel := end(t.Context())
			defer cancel()

			began := time.Now()
			err = query(ctx, db, `select pg_sleep($1)`, 60)

			require.Error(t, err)
			require.Less(t, time.Since(began), 20*time.Second)
			require.Eventually(t, func() bool {
				var works bool
				require.NoError(t, other.QueryRowContext(t.Context(),
					`select exists (select from pg_stat_activity where pid = $1 and state = 'active')`, backend).Scan(&works))
				return !works
			}, 20*time.Second, 50*time.Millisecond, "the server goes on with a statement whose client is gone")
			require.Equal(t, 1, get[int](t, db, `select 1`), "the pool goes on")
		})
	}
}

// Ensure that a context which ends after its statement spoils no other statement.
func TestAnUnwatchedStatementThatIsOverIsWatchedNoMore(t *testing.T) {
	db := open(t, postgrestest.NewDatabase(t))
	backend := get[int](t, db, `select pg_backend_pid()`)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, query(ctx, db, `select $1::int`, 1))
		cancel()
		_, err := db.ExecContext(pqconn.Unwatched(t.Context()), `select $1::int`, 1)
		require.NoError(t, err)
	}
	time.Sleep(300 * time.Millisecond) // Longer than the grace that a statement is given.

	require.Equal(t, backend, get[int](t, db, `select pg_backend_pid()`))
}

func TestAFrozenServerHoldsNoUnwatchedStatement(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db, err := pqconn.Open(server.URL(), time.Hour)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, query(t.Context(), db, `select $1::int`, 1))
	require.NoError(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- query(ctx, db, `select $1::int`, 1) }()

	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(20 * time.Second):
		t.Error("the statement hangs although its deadline has long passed")
	}
	require.NoError(t, server.Resume())
	require.NoError(t, query(t.Context(), db, `select $1::int`, 1))
}

// Ensure that behind a pooler, where the server sees the pooler and not its client, a
// statement ends with its context all the same.
func TestAnUnwatchedStatementBehindAPoolerIsCancelled(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	var trips int
	db := open(t, countTrips(t, server, &trips))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()

	err := query(ctx, db, `select pg_sleep($1)`, 60)

	require.Error(t, err)
	require.Less(t, time.Since(began), 20*time.Second)
}
