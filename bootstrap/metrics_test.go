package bootstrap_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func (s *server) metrics(t *testing.T) string {
	t.Helper()
	a := s.call(t, http.MethodGet, "/metrics", "", "", "")
	require.Equal(t, http.StatusOK, a.status, a.body)
	return a.body
}

func TestAServerCountsWhatItDoes(t *testing.T) {
	for name, database := range map[string]string{"SQLite": "sqlite:" + t.TempDir() + "/t.db", "PostgreSQL": postgrestest.NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			ci := startIssuer(t)
			s := startServer(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": database}))
			s.configure(t, demoConfig)
			idToken := sign(t, ci, ci.GitHubClaims())
			first := s.exchange(t, idToken)
			require.Equal(t, http.StatusOK, first.status, first.body)
			accessToken, _ := first.member(t, "token").(string)
			require.Equal(t, "already_used", s.exchange(t, idToken).code(t))
			require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, tokensPath, accessToken, "", "").status)

			text := s.metrics(t)

			for _, line := range []string{
				`trustpub_exchanges_total{code="ok",protocol="cratesio",provider="github"} 1`,
				`trustpub_exchanges_total{code="already_used",protocol="cratesio",provider="github"} 1`,
				`trustpub_revocations_total{action="revoke",code="ok"} 1`,
				`trustpub_config_changes_total{action="create_config",code="ok"} 1`,
				`trustpub_http_request_duration_seconds_count{method="PUT",route="` + tokensPath + `",status="200"} 1`,
				`trustpub_key_set_fetches_total{issuer="` + ci.URL() + `",outcome="success"} 1`,
				`trustpub_sweeps_total{outcome="failure"} 0`,
			} {
				require.Contains(t, text, line+"\n")
			}
			require.Contains(t, text, `trustpub_database_connections_max{pool="`)
			for _, secret := range []string{idToken, accessToken, adminToken, registryToken} {
				require.NotContains(t, text, secret)
			}
		})
	}
}

// hostAuditor is what a host supplies in place of the log.
type hostAuditor struct{ events []application.Event }

func (h *hostAuditor) Record(_ context.Context, event application.Event) {
	h.events = append(h.events, event)
}

func TestAHostsOwnAuditorGetsEveryEventAndTheyAreCounted(t *testing.T) {
	host := &hostAuditor{}
	var api *httpapi.API
	app := fx.New(fx.NopLogger,
		fx.Supply(slog.New(slog.DiscardHandler)),
		bootstrap.ProvideStore(memory.New),
		bootstrap.Module(settingsFor(t, startIssuer(t), nil)),
		fx.Decorate(func() application.Auditor { return host }),
		fx.Populate(&api),
	)
	require.NoError(t, app.Err())

	request := httptest.NewRequest(http.MethodPut, tokensPath, strings.NewReader(`{"jwt":"x.y.z"}`))
	request.Header.Set("Content-Type", "application/json")
	api.ServeHTTP(httptest.NewRecorder(), request)
	scraped := httptest.NewRecorder()
	api.ServeHTTP(scraped, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))

	require.Len(t, host.events, 1)
	require.Equal(t, "cratesio", host.events[0].Protocol)
	require.Contains(t, scraped.Body.String(), `trustpub_exchanges_total{code="malformed_jwt",protocol="cratesio",provider="unknown"} 1`+"\n")
}
