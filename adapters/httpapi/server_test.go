package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestEveryTimeOutAndLimitOfTheServerIsSet(t *testing.T) {
	t.Parallel()
	server := httpapi.NewServer(http.NotFoundHandler())
	require.Positive(t, server.ReadHeaderTimeout)
	require.Positive(t, server.ReadTimeout)
	require.Positive(t, server.IdleTimeout)
	require.Greater(t, server.WriteTimeout, server.ReadTimeout+httpapi.DefaultRequestTimeout, "an answer at the deadline can still be sent")
	require.Positive(t, server.MaxHeaderBytes)
	require.Less(t, httpapi.DefaultRequestTimeout, 4500*time.Millisecond, "publishing clients give up after 5 s")
}

// start serves the API on a real connection, with shorter time-outs where change
// sets them, and returns the address.
func (r *registry) start(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	server := httpapi.NewServer(r.api)
	if change != nil {
		change(server)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

func readReply(t *testing.T, conn net.Conn) reply {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return replyOf(t, response)
}

func TestAClientThatIsSlowWithItsHeadersIsCutOff(t *testing.T) {
	t.Parallel()
	address := newRegistry(t).start(t, func(s *http.Server) { s.ReadHeaderTimeout = 50 * time.Millisecond })
	conn := dial(t, address)
	_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\n", tokensPath)
	require.NoError(t, err)
	_, err = io.ReadAll(conn) // It ends only because the server hangs up.
	require.NoError(t, err)
}

func TestAClientThatIsSlowWithItsBodyGets408AndIsCutOff(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	address := r.start(t, func(s *http.Server) { s.ReadTimeout = 100 * time.Millisecond })
	conn := dial(t, address)
	_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", tokensPath)
	require.NoError(t, err)
	response := readReply(t, conn)
	require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	require.Equal(t, "malformed_request", read(t, response).Errors[0].Code)
	require.True(t, response.Close, "the connection is of no more use")
}

func TestABodyThatBreaksOffIs400AndConsumesNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	conn := dial(t, r.start(t, nil))
	_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jwt\":\"%s\"}", tokensPath, goodJWT)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response := readReply(t, conn)
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Zero(t, r.store.tokens)
}

func TestAHugeBodyIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	const huge = 1 << 30
	for _, header := range []string{fmt.Sprintf("Content-Length: %d", huge), "Transfer-Encoding: chunked"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, newRegistry(t).start(t, nil))
			_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n\r\n", tokensPath, header)
			require.NoError(t, err)
			var sent atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				chunk := strings.Repeat("x", 1<<16)
				if strings.HasPrefix(header, "Transfer") {
					chunk = fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk)
				}
				for sent.Load() < huge {
					n, err := io.WriteString(conn, chunk)
					sent.Add(int64(n))
					if err != nil {
						return // The server hung up.
					}
				}
			}()
			response := readReply(t, conn)
			require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
			require.True(t, response.Close)
			<-done
			require.Less(t, sent.Load(), int64(huge/4), "the server took in no more than what buffers hold")
		})
	}
}

func TestABodyWithATooLargeContentLengthIsNotAskedFor(t *testing.T) {
	t.Parallel()
	conn := dial(t, newRegistry(t).start(t, nil))
	_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", tokensPath, request.MaxBody+1)
	require.NoError(t, err)
	response := readReply(t, conn)
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode, "and not 100")
}

func TestHeadersAboveTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	address := newRegistry(t).start(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/healthz", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", strings.Repeat("x", 64<<10))
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
}

// blocker is an Exchanger that waits for the end of its context.
type blocker struct {
	entered chan struct{}
	ended   chan error
}

func (b blocker) Exchange(ctx context.Context, _ application.ExchangeRequest) (application.Issued, error) {
	close(b.entered)
	<-ctx.Done()
	b.ended <- context.Cause(ctx)
	return application.Issued{}, domain.Unavailable(domain.CodeStoreUnavailable, ctx.Err(), "The registry's database can't answer right now.")
}

func TestARequestThatTheClientAbortsEndsTheUseCaseAndIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	b := blocker{make(chan struct{}), make(chan error, 1)}
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange = b })
	conn := dial(t, r.start(t, nil))
	body := `{"jwt":"x"}`
	_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tokensPath, len(body), body)
	require.NoError(t, err)
	<-b.entered
	require.NoError(t, conn.Close())
	require.ErrorIs(t, <-b.ended, context.Canceled)
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "\n") }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "WARN", r.lines(t)[0]["level"])
}

func TestARequestThatTakesTooLongIs503(t *testing.T) {
	t.Parallel()
	b := blocker{make(chan struct{}), make(chan error, 1)}
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange, cfg.RequestTimeout = b, 10*time.Millisecond })
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`))
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.ErrorIs(t, <-b.ended, context.DeadlineExceeded)
	require.Equal(t, "ERROR", r.lines(t)[0]["level"])
}

func TestNothingBehindARequestWithATransferCodingIsAnswered(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, headers, body string }{
		{"a transfer coding", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"},
		{"a transfer coding and a length, which disagree", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, newRegistry(t).start(t, nil))
			_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n%sGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", tokensPath, test.headers, test.body)
			require.NoError(t, err)
			answers, err := io.ReadAll(conn) // It ends only because the server hangs up.
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(answers), "HTTP/1.1 "), string(answers))
		})
	}
}
