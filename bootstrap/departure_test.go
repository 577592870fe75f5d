package bootstrap_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// isToldToLeave sends a request on a connection that is open already, and returns whether
// the answer, which must be good, ends the connection.
func isToldToLeave(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	return response.Close
}

func TestAServerThatStopsServesOnAndAsksItsClientsToLeave(t *testing.T) {
	s := startServer(t, settingsFor(t, nil, nil))
	connections := make([]net.Conn, 2)
	for i := range connections {
		var err error
		connections[i], err = net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		require.NoError(t, err)
		defer func() { _ = connections[i].Close() }()
		require.False(t, isToldToLeave(t, connections[i]))
	}
	http.DefaultClient.CloseIdleConnections()

	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), `"draining"`) }, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // The line is written before the departure begins.

	require.True(t, isToldToLeave(t, connections[0]))
	a := s.call(t, http.MethodGet, "/readyz", "", "", "")
	require.Equal(t, http.StatusServiceUnavailable, a.status, "connections are accepted still")
	require.Equal(t, "draining", a.code(t))
	require.True(t, isToldToLeave(t, connections[1]))

	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits although all have left")
	}
	require.NotContains(t, s.log.String(), `"level":"ERROR"`)
}

func TestAServerWithoutConnectionsStopsAtOnce(t *testing.T) {
	s := startServer(t, settingsFor(t, nil, nil))
	http.DefaultClient.CloseIdleConnections()
	began := time.Now()
	require.NoError(t, s.stop())
	require.Less(t, time.Since(began), 900*time.Millisecond)
}

func TestAConnectionOnWhichNothingHappensIsWaitedForNoLongerThanASecond(t *testing.T) {
	s := startServer(t, settingsFor(t, nil, nil))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.False(t, isToldToLeave(t, conn))
	began := time.Now()
	require.NoError(t, s.stop())
	require.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond)
	require.Less(t, time.Since(began), 5*time.Second)
}
