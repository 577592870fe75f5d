package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/netutil"

	"github.com/trustpub/trustpub/adapters/httpapi"
)

// abuses are what a client may do to a server with many connections at a time. Each
// works on one connection until that breaks or the test is over.
var abuses = map[string]func(conn net.Conn) error{
	"slow headers": func(conn net.Conn) error {
		return drip(conn, "PUT "+tokensPath+" HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n")
	},
	"slow bodies": func(conn net.Conn) error {
		return drip(conn, "PUT "+tokensPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 30000\r\n\r\n", " ")
	},
	"endless chunked bodies": func(conn net.Conn) error {
		return drip(conn, "PUT "+tokensPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n")
	},
	"endless chunked bodies of a size": func(conn net.Conn) error {
		return drip(conn, "PUT "+tokensPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n")
	},
	"huge headers": func(conn net.Conn) error {
		return drip(conn, "PUT "+tokensPath+" HTTP/1.1\r\nHost: x\r\nX-A: ", strings.Repeat("x", 4<<10))
	},
	"nothing at all": func(conn net.Conn) error {
		_, err := io.Copy(io.Discard, conn)
		return err
	},
}

// drip sends a beginning, and then a piece every few milliseconds until it fails.
func drip(conn net.Conn, beginning, piece string) error {
	_, err := io.WriteString(conn, beginning)
	for err == nil {
		time.Sleep(5 * time.Millisecond)
		_, err = io.WriteString(conn, piece)
	}
	return err
}

func TestAValidClientIsServedWhileOthersAbuseTheServer(t *testing.T) {
	t.Parallel()
	for name, abuse := range abuses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, func(cfg *setup) { cfg.MaxRequests = 4 })
			address := r.start(t, func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = time.Second, time.Second })
			var abusers sync.WaitGroup
			for range 50 {
				conn := dial(t, address)
				abusers.Go(func() { _ = abuse(conn) })
				t.Cleanup(func() { _ = conn.Close() })
			}
			served := 0
			for began := time.Now(); time.Since(began) < 1500*time.Millisecond; served++ {
				exchangeAt(t, address, "x", http.StatusBadRequest)
			}
			exchangeAt(t, address, goodJWT, http.StatusOK)
			require.Positive(t, served)
		})
	}
}

// exchangeAt sends an ID token on a connection of its own.
func exchangeAt(t *testing.T, address, idToken string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+address+tokensPath, strings.NewReader(`{"jwt":"`+idToken+`"}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, want, response.StatusCode)
}

func TestAValidClientIsServedBesideTwoThousandIdleConnections(t *testing.T) {
	t.Parallel()
	address := newRegistry(t).start(t, nil)
	for range 2000 {
		dial(t, address)
	}
	exchangeAt(t, address, goodJWT, http.StatusOK)
}

func TestConnectionsBeyondTheLimitWaitUntilAnotherIsClosed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := httpapi.NewServer(r.api)
	done := make(chan error, 1)
	go func() { done <- server.Serve(netutil.LimitListener(listener, 2)) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	address := listener.Addr().String()
	first := dial(t, address)
	dial(t, address)
	third := dial(t, address)
	_, err = fmt.Fprint(third, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = third.Read(make([]byte, 1))
	require.Error(t, err, "nobody answers")

	require.NoError(t, first.Close())
	require.NoError(t, third.SetReadDeadline(time.Now().Add(20*time.Second)))
	require.Equal(t, http.StatusOK, readReply(t, third).StatusCode)
}

func TestACompressedBombIsNotUnpacked(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	_, err := io.CopyN(packer, strings.NewReader(strings.Repeat(" ", 16<<20)), 16<<20)
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	require.Less(t, bomb.Len(), 32<<10, "the packed body is no larger than one may be")
	for _, encoding := range []string{"gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "gzip, identity"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			for name, q := range withBody(t) {
				q.body = bomb.String()
				response := newRegistry(t).send(t, q.with("Content-Encoding", encoding))
				require.Equal(t, http.StatusUnsupportedMediaType, response.StatusCode, name)
			}
		})
	}
}

// Where a proxy and a server read the length of a request differently, what is the body
// to one is another request to the other (RFC 9112 section 11.2).
func TestARequestWithAnAmbiguousLengthIsRefusedAndNothingAfterItIsRead(t *testing.T) {
	t.Parallel()
	smuggled := `{"jwt":"` + goodJWT + `"}`
	smuggled = fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tokensPath, len(smuggled), smuggled)
	tests := []struct{ name, headers string }{
		{"two lengths", "Content-Length: 0\r\nContent-Length: 5\r\n"},
		{"two lengths in one", "Content-Length: 0, 5\r\n"},
		{"a length with a sign", "Content-Length: +0\r\n"},
		{"a length below zero", "Content-Length: -1\r\n"},
		{"a length in hexadecimal", "Content-Length: 0x0\r\n"},
		{"a length beyond all bounds", "Content-Length: 99999999999999999999\r\n"},
		{"two transfer encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"},
		{"another transfer encoding", "Transfer-Encoding: gzip, chunked\r\n"},
		{"a misspelt transfer encoding", "Transfer-Encoding: xchunked\r\n"},
		{"a length and chunks that are none", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"},
		{"a length, and chunks that end before it", "Content-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"},
		{"a space before the colon", "Content-Length : 0\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			conn := dial(t, r.start(t, func(s *http.Server) { s.ReadTimeout = time.Second }))
			_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n%s", tokensPath, tt.headers, smuggled)
			require.NoError(t, err)
			response := readReply(t, conn)
			require.GreaterOrEqual(t, response.StatusCode, 400)
			require.Less(t, response.StatusCode, 502)
			require.True(t, response.Close, "the connection is of no more use")
			require.Zero(t, r.store.tokens)
		})
	}
}
