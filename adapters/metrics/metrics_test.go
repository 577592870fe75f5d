package metrics_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/metrics"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func newMetrics(t *testing.T) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(metrics.Config{Now: func() time.Time { return now }})
	require.NoError(t, err)
	return m
}

// scrape returns what Prometheus would read.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	body, err := io.ReadAll(recorder.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, recorder.Code, string(body))
	return string(body)
}

// host is a host's own auditor.
type host struct{ events []application.Event }

func (h *host) Record(_ context.Context, event application.Event) { h.events = append(h.events, event) }

func TestEveryEventIsCountedOnceAndReachesTheHostsAuditor(t *testing.T) {
	claims := trustpubtest.NewClaims(t)
	down := domain.Unavailable(domain.CodeStoreUnavailable, errors.New("10.0.0.1 is down"), "The database can't answer.")
	tests := []struct {
		name  string
		event application.Event
		want  string
	}{
		{"an exchange", application.Event{Action: application.ActionExchange, Claims: claims, Protocol: "oauth", TokenHash: "ab"}, `trustpub_exchanges_total{code="ok",protocol="oauth",provider="github"} 1`},
		{"a refusal before the ID token was verified", application.Event{Action: application.ActionExchange, Protocol: "npm", Err: domain.Refuse(domain.CodeExpired, "It expired.")}, `trustpub_exchanges_total{code="expired",protocol="npm",provider="unknown"} 1`},
		{"a refusal after it was", application.Event{Action: application.ActionExchange, Claims: claims, Protocol: "pypi", Err: fmt.Errorf("save: %w", domain.Refuse(domain.CodeAlreadyUsed, "It was used."))}, `trustpub_exchanges_total{code="already_used",protocol="pypi",provider="github"} 1`},
		{"a fault of the database", application.Event{Action: application.ActionExchange, Claims: claims, Protocol: "pypi", Err: down}, `trustpub_exchanges_total{code="store_unavailable",protocol="pypi",provider="github"} 1`},
		{"a fault that has no code", application.Event{Action: application.ActionExchange, Protocol: "pypi", Err: errors.New("10.0.0.1 is odd")}, `trustpub_exchanges_total{code="internal_error",protocol="pypi",provider="unknown"} 1`},
		{"an exchange without HTTP", application.Event{Action: application.ActionExchange, Claims: claims}, `trustpub_exchanges_total{code="ok",protocol="unknown",provider="github"} 1`},
		{"how long an exchange took", application.Event{Action: application.ActionExchange, Protocol: "npm", Duration: 250 * time.Millisecond}, `trustpub_exchange_duration_seconds_sum{protocol="npm"} 0.25`},
		{"a revocation", application.Event{Action: application.ActionRevoke}, `trustpub_revocations_total{action="revoke",code="ok"} 1`},
		{"a revocation of what was found in public", application.Event{Action: application.ActionRevokeLeaked}, `trustpub_revocations_total{action="revoke_leaked",code="ok"} 1`},
		{"a revocation that failed", application.Event{Action: application.ActionRevoke, Err: down}, `trustpub_revocations_total{action="revoke",code="store_unavailable"} 1`},
		{"a config that was created", application.Event{Action: application.ActionCreateConfig}, `trustpub_config_changes_total{action="create_config",code="ok"} 1`},
		{"a config that was not deleted", application.Event{Action: application.ActionDeleteConfig, Err: &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is none."}}, `trustpub_config_changes_total{action="delete_config",code="not_found"} 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, host := newMetrics(t), &host{}
			m.Auditor(host).Record(t.Context(), tt.event)

			text := scrape(t, m)

			require.Contains(t, text, tt.want+"\n")
			require.NotContains(t, text, "10.0.0.1")
			require.Len(t, host.events, 1)
			require.Equal(t, tt.event.Action, host.events[0].Action)
			require.Equal(t, tt.event.Err, host.events[0].Err)
		})
	}
}

func TestAnActionThatIsUnheardOfIsPassedOnAndNotCounted(t *testing.T) {
	m, host := newMetrics(t), &host{}
	before := scrape(t, m)

	m.Auditor(host).Record(t.Context(), application.Event{Action: "new"})

	require.Len(t, host.events, 1)
	require.Equal(t, before, scrape(t, m))
}

func TestNothingOfTheWorkloadIsALabelButItsProvider(t *testing.T) {
	m := newMetrics(t)
	m.Auditor(&host{}).Record(t.Context(), application.Event{
		Action: application.ActionExchange, Claims: trustpubtest.NewClaims(t), TokenHash: strings.Repeat("ab", 32), Actor: "somebody",
		Packages: []domain.Package{{Ecosystem: "cargo", Name: "demo"}},
	})

	text := scrape(t, m)

	for _, private := range []string{"octo-org", trustpubtest.Issuer, "abab", "somebody", "demo"} {
		require.NotContains(t, text, private)
	}
}

func TestRequestsBatchesAndSweepsAreObserved(t *testing.T) {
	m := newMetrics(t)
	require.Contains(t, scrape(t, m), `trustpub_sweeps_total{outcome="failure"} 0`+"\n", "an alert needs the zero")

	m.ObserveRequest("/:name", http.MethodGet, http.StatusOK, 20*time.Millisecond)
	m.ObserveRequest("", "OTHER", http.StatusNotFound, time.Millisecond)
	m.ObserveBatch("save_token", 3)
	m.ObserveSweep(application.SweepResult{Removed: 7, Duration: time.Second})
	m.ObserveSweep(application.SweepResult{Removed: 2, Duration: time.Second, Err: errors.New("down")})

	text := scrape(t, m)
	for _, line := range []string{
		`trustpub_http_request_duration_seconds_bucket{method="GET",route="/:name",status="200",le="0.01"} 0`,
		`trustpub_http_request_duration_seconds_bucket{method="GET",route="/:name",status="200",le="0.025"} 1`,
		`trustpub_http_request_duration_seconds_count{method="OTHER",route="none",status="404"} 1`,
		`trustpub_group_commit_batch_size_bucket{operation="save_token",le="2"} 0`,
		`trustpub_group_commit_batch_size_bucket{operation="save_token",le="4"} 1`,
		`trustpub_sweeps_total{outcome="failure"} 1`,
		`trustpub_sweeps_total{outcome="success"} 1`,
		`trustpub_swept_rows_total 9`,
		`trustpub_sweep_duration_seconds_sum 2`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

func TestAKeySetShowsItsAgeOnceItHasKeys(t *testing.T) {
	m := newMetrics(t)
	stats := metrics.KeySetStats{Failed: 2}
	require.NoError(t, m.AddKeySet(trustpubtest.Issuer, func() metrics.KeySetStats { return stats }))

	text := scrape(t, m)
	require.NotContains(t, text, "trustpub_key_set_age_seconds{")
	require.Contains(t, text, `trustpub_key_set_fetches_total{issuer="`+trustpubtest.Issuer+`",outcome="failure"} 2`+"\n")

	stats = metrics.KeySetStats{LoadedAt: now.Add(-90 * time.Second), Fetched: 1, Failed: 2}
	text = scrape(t, m)
	require.Contains(t, text, `trustpub_key_set_age_seconds{issuer="`+trustpubtest.Issuer+`"} 90`+"\n")
	require.Contains(t, text, `trustpub_key_set_fetches_total{issuer="`+trustpubtest.Issuer+`",outcome="success"} 1`+"\n")

	require.ErrorContains(t, m.AddKeySet(trustpubtest.Issuer, func() metrics.KeySetStats { return stats }), trustpubtest.Issuer)
}

func TestAPoolShowsItsConnections(t *testing.T) {
	m := newMetrics(t)
	db, err := sql.Open("sqlite", "file::memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(4)
	require.NoError(t, m.AddPool("writer", db))
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)

	text := scrape(t, m)
	require.Contains(t, text, `trustpub_database_connections{pool="writer",state="in_use"} 1`+"\n")
	require.Contains(t, text, `trustpub_database_connections_max{pool="writer"} 4`+"\n")

	require.NoError(t, conn.Close())
	text = scrape(t, m)
	require.Contains(t, text, `trustpub_database_connections{pool="writer",state="idle"} 1`+"\n")
	require.Contains(t, text, `trustpub_database_waits_total{pool="writer"} 0`+"\n")
	require.Contains(t, text, `trustpub_database_wait_seconds_total{pool="writer"} 0`+"\n")

	require.ErrorContains(t, m.AddPool("writer", db), "writer")
}

func TestTwoMetricsInOneProcessShareNothing(t *testing.T) {
	one, other := newMetrics(t), newMetrics(t)
	one.ObserveBatch("save_token", 1)
	require.Contains(t, scrape(t, one), "save_token")
	require.NotContains(t, scrape(t, other), "save_token")
}

func TestAHostGathersTheMetricsBesideItsOwn(t *testing.T) {
	m, err := metrics.New(metrics.Config{Now: time.Now, Runtime: true})
	require.NoError(t, err)
	families, err := m.Gatherer().Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	require.True(t, names["go_goroutines"])
	require.True(t, names["process_resident_memory_bytes"])

	require.NotContains(t, scrape(t, newMetrics(t)), "go_goroutines", "without Runtime there are none of the process")
}

func TestMetricsNeedAClock(t *testing.T) {
	_, err := metrics.New(metrics.Config{})
	require.ErrorContains(t, err, "Now")
}

func BenchmarkRecord(b *testing.B) {
	m, err := metrics.New(metrics.Config{Now: time.Now})
	require.NoError(b, err)
	auditor := m.Auditor(discard{})
	event := application.Event{Action: application.ActionExchange, Protocol: "oauth", Duration: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		auditor.Record(b.Context(), event)
		m.ObserveRequest("/oauth/token", http.MethodPost, http.StatusOK, time.Millisecond)
	}
}

type discard struct{}

func (discard) Record(context.Context, application.Event) {}
