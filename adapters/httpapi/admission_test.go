package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// exchanges are requests of every protocol that exchange an ID token.
var exchanges = map[string]call{
	"cratesio":           jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`),
	"cratesio with POST": jsonTo(http.MethodPost, tokensPath, `{"jwt":"x"}`),
	"oauth":              formTo("/oauth/token", "subject_token=x"),
	"npm":                npmExchange("demo"),
	"npm with a scope":   npmExchange("@octo%2fdemo"),
	"pypi":               pypiMint("x"),
	"pypi for GitHub":    jsonTo(http.MethodPost, pypiGitHubMintPath, `{"token":"x"}`),
	"rubygems":           gemExchange("x"),
}

// others are requests that exchange nothing.
var others = map[string]call{
	"revocation":        bare(http.MethodDelete, tokensPath).bearer(unknownToken),
	"oauth revocation":  formTo("/oauth/revoke", "token=x"),
	"introspection":     formTo("/oauth/introspect", "token=x").bearer(registryToken),
	"publishers":        bare(http.MethodGet, configsPath+"?crate=serde").bearer(adminToken),
	"audience":          bare(http.MethodGet, "/_/oidc/audience"),
	"a path of nothing": bare(http.MethodGet, "/api/v1/trusted_publishing/nothing"),
}

// probes are requests of operators.
var probes = map[string]call{
	"healthz": bare(http.MethodGet, "/healthz"),
	"readyz":  bare(http.MethodGet, "/readyz"),
	"openapi": bare(http.MethodGet, "/openapi.json"),
}

// waiter is an Exchanger that is at work until it is let go.
type waiter struct {
	entered chan struct{}
	letGo   chan struct{}
}

func newWaiter() waiter { return waiter{make(chan struct{}, 100), make(chan struct{})} }

func (w waiter) Exchange(ctx context.Context, _ application.ExchangeRequest) (application.Issued, error) {
	w.entered <- struct{}{}
	select {
	case <-w.letGo:
	case <-ctx.Done():
	}
	return application.Issued{}, domain.Refuse(domain.CodeNoPublisher, "Nobody trusts it.")
}

// occupy sends n exchanges, and returns when all are at work.
func (r *registry) occupy(t *testing.T, w waiter, n int) {
	t.Helper()
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() { r.send(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`)) })
	}
	for range n {
		<-w.entered
	}
	t.Cleanup(func() {
		close(w.letGo)
		wait.Wait()
	})
}

func TestRequestsBeyondThoseAtWorkAre503AtOnceInTheirProtocol(t *testing.T) {
	t.Parallel()
	w := newWaiter()
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange, cfg.MaxRequests = w, 3 })
	r.occupy(t, w, 3)

	for name, q := range exchanges {
		t.Run(name, func(t *testing.T) {
			response := r.do(t, q)
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			require.Equal(t, "5", response.Header.Get("Retry-After"))
			require.Contains(t, response.Body, "overloaded")
			require.Contains(t, response.Body, "Try again")
		})
	}
	for name, q := range others {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, http.StatusServiceUnavailable, r.send(t, q).StatusCode)
		})
	}
	for name, q := range probes {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, http.StatusOK, r.do(t, q).StatusCode, "operators always get in")
		})
	}
}

func TestThereIsRoomAgainWhenARequestIsDoneOrPanicked(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) { cfg.MaxRequests = 1 })
	for range 3 {
		require.Equal(t, http.StatusInternalServerError, r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+panicJWT+`"}`)).StatusCode)
		require.Equal(t, http.StatusBadRequest, r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`)).StatusCode)
		require.Equal(t, http.StatusNotFound, r.do(t, others["a path of nothing"]).StatusCode)
	}
	require.Equal(t, http.StatusOK, r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`)).StatusCode)
}

func TestABodyThatIsStillComingTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) { cfg.MaxRequests = 1 })
	address := r.start(t, nil)
	for range 20 {
		conn := dial(t, address)
		_, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", tokensPath)
		require.NoError(t, err)
		conn = dial(t, address)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nGithub-Public-Key-Identifier: key\r\nGithub-Public-Key-Signature: signed\r\nContent-Length: 1000000\r\n\r\n[", scanningPath)
		require.NoError(t, err)
	}
	response, err := http.Get("http://" + address + "/_/oidc/audience")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
}

func TestABodyIsNotWaitedForWhereThereIsNoRoom(t *testing.T) {
	t.Parallel()
	w := newWaiter()
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange, cfg.MaxRequests = w, 1 })
	r.occupy(t, w, 1)
	body, writer := io.Pipe() // Nothing ever comes.
	t.Cleanup(func() { _ = writer.Close() })
	request := jsonTo(http.MethodPut, tokensPath, "x").http()
	request.Body, request.ContentLength = body, 10

	require.Equal(t, http.StatusServiceUnavailable, serve(r.api, request).Code)
}

func TestTheTimeOfARequestBeginsAfterItsBody(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) { cfg.RequestTimeout = time.Hour })
	var left time.Duration
	r.cfg.Exchange = contextKeeper{func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}}
	var err error
	r.api, err = r.cfg.api()
	require.NoError(t, err)
	body, writer := io.Pipe()
	const late = 300 * time.Millisecond
	go func() {
		time.Sleep(late)
		_, _ = io.WriteString(writer, `{"jwt":"x"}`)
		_ = writer.Close()
	}()
	request := jsonTo(http.MethodPut, tokensPath, "x").http()
	request.Body, request.ContentLength = body, -1
	began := time.Now()
	serve(r.api, request)

	require.GreaterOrEqual(t, time.Since(began), late)
	require.Greater(t, left, time.Hour-late)
}

func TestWhatIsTurnedAwayIsToldOnceASecondAndNotOneByOne(t *testing.T) {
	t.Parallel()
	w := newWaiter()
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange, cfg.MaxRequests = w, 1 })
	r.occupy(t, w, 1)
	for range 10 {
		r.send(t, exchanges["pypi"])
	}
	r.now = r.now.Add(time.Second)
	r.send(t, exchanges["pypi"])

	var told []any
	for _, line := range r.lines(t) {
		if line["msg"] == "requests are turned away" {
			require.Equal(t, "WARN", line["level"])
			told = append(told, line["requests"])
			continue
		}
		require.Equal(t, "DEBUG", line["level"])
	}
	require.Equal(t, []any{1.0, 10.0}, told)
}

// perAddress counts, and lets nobody in.
type perAddress struct {
	mu   sync.Mutex
	keys []string
}

func (p *perAddress) Take(key string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key)
	return 1200 * time.Millisecond, false
}

func TestExchangesAreLimitedByAddressInEveryProtocolAndNothingElseIs(t *testing.T) {
	t.Parallel()
	limit := &perAddress{}
	r := newRegistry(t, func(cfg *setup) { cfg.AddressLimit = limit })
	for name, q := range exchanges {
		t.Run(name, func(t *testing.T) {
			response := r.do(t, q)
			require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
			require.Equal(t, "2", response.Header.Get("Retry-After"), "whole seconds, and no moment too early")
			require.Contains(t, response.Body, "rate_limited")
		})
	}
	require.Len(t, limit.keys, len(exchanges))
	for name, q := range others {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, http.StatusTooManyRequests, r.do(t, q).StatusCode)
		})
	}
	for name, q := range probes {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, http.StatusOK, r.do(t, q).StatusCode)
		})
	}
	require.Len(t, limit.keys, len(exchanges))
}

func TestTheAddressOfAClientIsNobodysWordButATrustedProxys(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name      string
		trusted   []netip.Prefix
		peer      string
		forwarded []string
		want      string
		limited   string // By which key; empty is want.
	}{
		{"no header", nil, "192.0.2.1:1", nil, "192.0.2.1", ""},
		{"header without trust", nil, "192.0.2.1:1", []string{"198.51.100.1"}, "192.0.2.1", ""},
		{"header from a loopback peer without trust", nil, "127.0.0.1:1", []string{"198.51.100.1"}, "127.0.0.1", ""},
		{"header from a private peer that is not named", proxies, "192.168.0.1:1", []string{"198.51.100.1"}, "192.168.0.1", ""},
		{"header from a loopback peer that is not named", proxies, "127.0.0.1:1", []string{"198.51.100.1"}, "127.0.0.1", ""},
		{"header from a link-local peer that is not named", proxies, "169.254.0.1:1", []string{"198.51.100.1"}, "169.254.0.1", ""},
		{"trusted proxy without header", proxies, "10.0.0.1:1", nil, "10.0.0.1", ""},
		{"trusted proxy", proxies, "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1", ""},
		{"trusted proxies", proxies, "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1", ""},
		{"what the client wrote stands left of it", proxies, "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1", ""},
		{"the client claims to be a proxy", proxies, "10.0.0.1:1", []string{"203.0.113.9, 10.0.0.7, 198.51.100.1, 10.0.0.2"}, "198.51.100.1", ""},
		{"the client wrote a header of its own", proxies, "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1", ""},
		{"the client wrote no address", proxies, "10.0.0.1:1", []string{"nonsense, 198.51.100.1"}, "198.51.100.1", ""},
		{"the proxy wrote no address", proxies, "10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1", ""},
		{"IPv6", nil, "[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"IPv6 behind a trusted proxy", proxies, "[fd00::1]:1", []string{"2001:db8:1:2::9"}, "2001:db8:1:2::9", "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", proxies, "10.0.0.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			limit := &perAddress{}
			r := newRegistry(t, func(cfg *setup) { cfg.AddressLimit, cfg.TrustedProxies = limit, tt.trusted })
			request := exchanges["pypi"].http()
			request.RemoteAddr = tt.peer
			for _, value := range tt.forwarded {
				request.Header.Add("X-Forwarded-For", value)
			}
			request.Header.Set("X-Real-Ip", "203.0.113.9")
			request.Header.Set("Forwarded", "for=203.0.113.9")
			serve(r.api, request)

			lines := r.lines(t)
			require.Equal(t, tt.want, lines[len(lines)-1]["remote_ip"])
			want := tt.limited
			if want == "" {
				want = tt.want
			}
			require.Equal(t, []string{want}, limit.keys)
			require.NotContains(t, r.logs.String(), "203.0.113.9")
		})
	}
}

// serve sends a request that is more than a call can say.
func serve(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}
