package pqconn_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
)

func TestEachOfSeveralHostsIsReachedAtItsOwnPort(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url     string
		first, second bool // Whether each of two servers is asked.
	}{
		{"ports beside the hosts, as libpq takes them", "postgres://user:p%40ss@127.0.0.1:PORT1,127.0.0.1:PORT2/db?sslmode=disable", true, true},
		{"the ports alone", "postgres://user@127.0.0.1:PORT1,127.0.0.1:PORT2?sslmode=disable&target_session_attrs=read-write", true, true},
		{"ports in a parameter, as lib/pq takes them", "postgres://user@127.0.0.1,127.0.0.1/db?sslmode=disable&port=PORT1,PORT2", true, true},
		{"one host", "postgres://user@127.0.0.1:PORT2/db?sslmode=disable", false, true},
		{"one host with a comma in the database", "postgres://user@127.0.0.1:PORT1/a,b?sslmode=disable", true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, second := listen(t), listen(t)
			url := strings.NewReplacer("PORT1", first.port, "PORT2", second.port).Replace(test.url)
			db, err := pqconn.Open(url, 0)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })

			require.Error(t, db.PingContext(t.Context()), "nobody there speaks PostgreSQL")

			require.Equal(t, test.first, first.asked(t), "first server")
			require.Equal(t, test.second, second.asked(t), "second server")
		})
	}
}

// listener is a server that hangs up.
type listener struct {
	port     string
	inner    net.Listener
	accepted chan struct{}
}

func listen(t *testing.T) *listener {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address, ok := inner.Addr().(*net.TCPAddr)
	require.True(t, ok)
	l := &listener{strconv.Itoa(address.Port), inner, make(chan struct{}, 100)}
	t.Cleanup(func() { _ = inner.Close() })
	go func() {
		defer close(l.accepted)
		for {
			conn, err := inner.Accept()
			if err != nil {
				return
			}
			l.accepted <- struct{}{}
			_ = conn.Close()
		}
	}()
	return l
}

// asked reports whether anybody connected, and listens no more.
func (l *listener) asked(t *testing.T) bool {
	t.Helper()
	require.NoError(t, l.inner.Close())
	n := 0
	for range l.accepted {
		n++
	}
	return n > 0
}
