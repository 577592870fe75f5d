package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/internal/program"
)

// TestMain is also the servers that the program starts of itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "-serve-") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestAnExchangeIsMeasuredFromEndToEnd(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"-db", "sqlite", "-n", "20", "-rounds", "1", "-connections", "1,4"}, nil, &out, os.Stderr))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3, out.String())
	require.Regexp(t, `^ *trustpub +4 +[1-9]`, lines[2])
}

func TestAnIDTokenThatWasUsedIsARefusal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwts")
	require.NoError(t, run(t.Context(), []string{"-write", file, "-n", "1", "-rounds", "1", "-connections", "1"}, nil, &strings.Builder{}, os.Stderr))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, text...), 0o600))

	var out strings.Builder
	err = run(t.Context(), []string{"-db", "sqlite", "-jwts", file, "-n", "2", "-rounds", "1", "-connections", "1"}, nil, &out, os.Stderr)

	require.ErrorContains(t, err, "400 already_used")
	require.Contains(t, out.String(), "refused: 1 × 400 already_used")
}

func TestWhatCannotBeMeasuredIsSaid(t *testing.T) {
	for args, want := range map[string]string{
		"-mode x":                          "use exchange, introspect or verify",
		"-connections 0":                   "use numbers above zero",
		"-connections 1,x":                 "use numbers above zero",
		"-n 0":                             "must be above zero",
		"-rate -1":                         "must not be below zero",
		"-url http://127.0.0.1:1":          "-url needs -jwts",
		"-db sqlite -baseline":             "-baseline needs servers on PostgreSQL",
		"-jwts /nonexistent":               "no such file",
		"-mode introspect -url x -jwts -":  "-registry-token",
		"-url https://x -jwts -":           "http://HOST:PORT",
		"-db sqlite -prefill 1 -n 1":       "need servers on PostgreSQL",
		"-db mysql -n 1 -rounds 1 -rate 1": "use postgres or sqlite",
	} {
		err := run(t.Context(), strings.Fields(args), strings.NewReader(strings.Repeat("a.b.c\n", 300000)), &strings.Builder{}, &strings.Builder{})
		require.ErrorContains(t, err, want, args)
	}
}

func TestQuantilesAreThoseOfTheNearestRank(t *testing.T) {
	var o outcome
	require.Zero(t, o.quantile(0.5))
	for i := range 100 {
		o.latencies = append(o.latencies, time.Duration(i+1))
	}
	require.Equal(t, []time.Duration{1, 50, 99, 100}, []time.Duration{o.quantile(0), o.quantile(0.5), o.quantile(0.99), o.quantile(1)})
	o.latencies = o.latencies[:3]
	require.Equal(t, []time.Duration{2, 3}, []time.Duration{o.quantile(0.5), o.quantile(0.99)})
}

func TestMediansAreThoseOfTheRounds(t *testing.T) {
	m := medians([]result{
		{perSecond: 3, p50: 1, memory: 5, refusals: map[string]int{"a": 1}},
		{perSecond: 1, p50: 9, memory: 9, refusals: map[string]int{"a": 2, "b": 1}},
		{perSecond: 2, p50: 4, memory: 7},
	})
	require.Equal(t, result{perSecond: 2, p50: 4, memory: 9, refusals: map[string]int{"a": 3, "b": 1}}, m)
}

func get(path string) func([]byte, int) []byte {
	return func(buffer []byte, _ int) []byte {
		return append(buffer, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"...)
	}
}

func TestAtAFixedRateWaitingCountsAsLatency(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }))
	defer server.Close()
	p := plan{addresses: []string{server.Listener.Addr().String()}, connections: 1, n: 5, rate: 1000, request: get("/")}

	o := drive(t.Context(), p)

	require.Equal(t, 5, o.succeeded)
	require.GreaterOrEqual(t, o.quantile(1), 5*50*time.Millisecond-4*time.Millisecond, "the last was due after 4 ms, and answered after 250")
	p.rate = 0
	require.Less(t, drive(t.Context(), p).quantile(0.5), 5*50*time.Millisecond)
}

func TestAnswersAreCountedByWhatTheySay(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/envelope":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"detail":"d","code":"expired"}]}`))
		case "/oauth":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"error":"temporarily_unavailable"}`))
		case "/text":
			w.WriteHeader(http.StatusInternalServerError)
		case "/close":
			w.Header().Set("Connection", "close")
		case "/cut":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/envelope": "400 expired", "/oauth": "503 temporarily_unavailable", "/text": "500 (no JSON)", "/cut": "no answer: read: unexpected EOF",
	} {
		o := drive(t.Context(), plan{addresses: []string{server.Listener.Addr().String()}, connections: 2, n: 3, request: get(path)})
		require.Equal(t, map[string]int{want: 3}, o.refusals, path)
	}
	o := drive(t.Context(), plan{addresses: []string{server.Listener.Addr().String()}, connections: 1, n: 3, request: get("/close")})
	require.Equal(t, 3, o.succeeded, "a connection that was closed is opened again")
}

func TestAServerThatIsNotThereIsNoAnswer(t *testing.T) {
	address, err := program.FreeAddress(t.Context())
	require.NoError(t, err)
	o := drive(t.Context(), plan{addresses: []string{address}, connections: 1, n: 1, request: get("/")})
	require.Zero(t, o.succeeded)
	require.Len(t, o.refusals, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Empty(t, drive(ctx, plan{addresses: []string{address}, connections: 1, n: 9, request: get("/")}).refusals)
}

func TestCPUTimeIsThatOfTheProcess(t *testing.T) {
	before, err := cpuOf([]int{selfPID})
	require.NoError(t, err)
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
	}
	after, err := cpuOf([]int{selfPID})
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, 50*time.Millisecond)
	family, err := cpuOfFamily(selfPID)
	require.NoError(t, err)
	require.GreaterOrEqual(t, family, after)
	_, err = cpuOf([]int{1 << 30})
	require.Error(t, err)
	memory, err := peakMemory([]int{selfPID})
	require.NoError(t, err)
	require.Greater(t, memory, 1.0)
}

func TestPgbenchsReportIsRead(t *testing.T) {
	b, err := readBench("latency average = 0.467 ms\ninitial connection time = 3 ms\ntps = 2141.5 (without initial connection time)\n")
	require.NoError(t, err)
	require.Equal(t, bench{perSecond: 2141.5, mean: 467 * time.Microsecond}, b)
	_, err = readBench("tps = 1\n")
	require.Error(t, err)
}

func TestPortsAreFree(t *testing.T) {
	address, err := program.FreeAddress(t.Context())
	require.NoError(t, err)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}

func TestRatiosCompareWhatHasTheSameConnections(t *testing.T) {
	var out strings.Builder
	require.NoError(t, writeRatios(&out, options{baseline: true, connections: []int{1, 8}}, []result{
		{what: rowTrustpub, connections: 8, perSecond: 900, p50: 30, server: 400, database: 200},
		{what: rowPgbench, connections: 1, perSecond: 1, p50: 1},
		{what: rowPgbench, connections: 8, perSecond: 1000, p50: 20},
		{what: rowRS256, connections: 8, server: 100},
		{what: rowEcho, connections: 8, server: 50},
	}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, []string{"1", "0.00", "0.00", "-", "-", "-"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"8", "0.90", "1.50", "4.00", "6.00", "8.00"}, strings.Fields(lines[2]))
}
