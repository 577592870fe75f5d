package pqconn_test

import (
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

const kept = `select count(*) from pg_prepared_statements`

// overTCP starts a server that listens on TCP too, at a loopback address that nothing
// else uses, and returns the address.
func overTCP(t *testing.T) string {
	t.Helper()
	const host = "127.57.0.1"
	postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"listen_addresses": host}})
	return host + ":5432"
}

// forward listens on loopback TCP for one connection, which it passes on.
func forward(t *testing.T, address string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	return listener.Addr().String()
}

func TestStatementsAreKeptPreparedWhereTheServerItselfAnswers(t *testing.T) {
	direct := overTCP(t)
	tests := []struct {
		name, url string
		want      int
	}{
		{"on a Unix socket", postgrestest.NewServer(t, postgrestest.Options{}).URL(), 1},
		{"on TCP", "postgres://postgres@" + direct + "/postgres?sslmode=disable", 1},
		{"not behind a proxy on a Unix socket", countTrips(t, postgrestest.NewServer(t, postgrestest.Options{}), new(int)), 0},
		{"not behind a proxy on TCP", "postgres://postgres@" + forward(t, direct) + "/postgres?sslmode=disable", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, test.url)
			for i := range 3 {
				var value string
				require.NoError(t, db.QueryRowContext(t.Context(), `select $1::text`, strconv.Itoa(i)).Scan(&value))
				require.Equal(t, strconv.Itoa(i), value)
			}
			require.Equal(t, test.want, get[int](t, db, kept))
		})
	}
}

func TestTheNumberOfKeptStatementsIsBounded(t *testing.T) {
	db := open(t, postgrestest.NewDatabase(t))
	for i := range 100 {
		var value int
		require.NoError(t, db.QueryRowContext(t.Context(), `select $1::int + `+strconv.Itoa(i), 1).Scan(&value))
		require.Equal(t, i+1, value)
	}
	require.Equal(t, 64, get[int](t, db, kept))
}

func TestAStatementThatAMigrationOutdatedIsPreparedAgain(t *testing.T) {
	db := open(t, postgrestest.NewDatabase(t))
	_, err := db.ExecContext(t.Context(), `create table t (a int); insert into t values (1)`)
	require.NoError(t, err)
	for _, change := range []string{
		`select 1`, `alter table t alter column a type text`, `alter table t add column b int`, `deallocate all`,
	} {
		_, err = db.ExecContext(t.Context(), change)
		require.NoError(t, err)
		var value string
		require.NoError(t, db.QueryRowContext(t.Context(), `select a from t where $1::int = 1`, 1).Scan(&value), change)
		require.Equal(t, "1", value)
	}
}
