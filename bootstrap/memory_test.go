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
	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// lookUps is how many look-ups of configs a server's metrics count.
func (s *server) lookUps(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(s.metrics(t)) {
		if number, ok := strings.CutPrefix(line, `trustpub_group_commit_batch_size_sum{operation="find_configs"} `); ok {
			return strings.TrimSpace(number)
		}
	}
	return "0"
}

func TestAServerSparesLookUpsAndNoticesEveryChangeAtOnce(t *testing.T) {
	ci := startIssuer(t)
	database := map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)}
	a, b := startServer(t, settingsFor(t, ci, database)), startServer(t, settingsFor(t, ci, database))
	exchange := func() answer { return a.exchange(t, sign(t, ci, ci.GitHubClaims())) }
	scope := func() any {
		token, _ := exchange().member(t, "token").(string)
		return b.introspect(t, token).member(t, "scope")
	}
	b.configure(t, demoConfig)
	for range 2 { // The first pins the config, which is a change of it.
		require.Equal(t, "publish:cargo/demo", scope())
	}
	require.Equal(t, "2", a.lookUps(t))
	for range 5 {
		require.Equal(t, "publish:cargo/demo", scope())
	}
	require.Equal(t, "2", a.lookUps(t))

	b.configure(t, strings.Replace(demoConfig, `"demo"`, `"other"`, 1))
	require.Equal(t, "publish:cargo/demo publish:cargo/other", scope())
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, configsPath+"/1", adminToken, "", "").status)
	require.Equal(t, "publish:cargo/other", scope())
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, configsPath+"/2", adminToken, "", "").status)
	require.Equal(t, "no_publisher", exchange().code(t))
}

// counter is what a host puts in front of a store, and counts what goes through it.
type counter struct {
	application.ConfigFinder
	application.TokenStore

	calls int
}

func (c *counter) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	c.calls++
	return c.ConfigFinder.FindConfigs(ctx, claims)
}

func (c *counter) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	c.calls++
	return c.TokenStore.SaveToken(ctx, token, jti, pins)
}

// suspending is a host's type around the store.
type suspending struct {
	*postgres.Store

	suspended map[string]bool
}

func (s suspending) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	if s.suspended[claims.Source()] {
		return nil, nil
	}
	return s.Store.FindConfigs(ctx, claims)
}

func TestWhatAHostsTypeAroundTheStoreDoesIsNotPassedBy(t *testing.T) {
	ci := startIssuer(t)
	host := suspending{suspended: map[string]bool{}}
	api := startHost(t, ci, fx.Decorate(func(db *bootstrap.Database) *bootstrap.Database {
		changed := *db
		host.Store, _ = db.Store.(*postgres.Store)
		changed.Store = host
		return &changed
	}))
	for range 3 {
		require.Equal(t, http.StatusOK, put(api, sign(t, ci, ci.GitHubClaims())).Code)
	}

	host.suspended["octo-org/octo-repo"] = true

	require.Contains(t, put(api, sign(t, ci, ci.GitHubClaims())).Body.String(), "no_publisher")
}

// startHost starts a server on PostgreSQL that a host has changed, in which the demo package
// trusts ci.
func startHost(t *testing.T, ci *issuer.Issuer, change fx.Option) http.Handler {
	t.Helper()
	settings := settingsFor(t, ci, map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)})
	var api *httpapi.API
	app := fx.New(fx.NopLogger, bootstrap.Server(settings, slog.New(slog.DiscardHandler), bootstrap.ListenerEvents{}), change, fx.Populate(&api))
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Stop(context.Background())) })
	made := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, configsPath, strings.NewReader(demoConfig))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+adminToken)
	api.ServeHTTP(made, request)
	require.Equal(t, http.StatusOK, made.Code, made.Body)
	return api
}

func TestWhatAHostHasPutInFrontOfTheStoreIsNotPassedBy(t *testing.T) {
	var c counter
	for name, inFront := range map[string]fx.Option{
		"of the look-up": fx.Decorate(func(next application.ConfigFinder) application.ConfigFinder {
			c = counter{ConfigFinder: next}
			return &c
		}),
		"of what keeps tokens": fx.Decorate(func(next application.TokenStore) application.TokenStore {
			c = counter{TokenStore: next}
			return &c
		}),
	} {
		t.Run("in front "+name, func(t *testing.T) {
			ci := startIssuer(t)
			api := startHost(t, ci, inFront)

			for range 5 {
				require.Equal(t, http.StatusOK, put(api, sign(t, ci, ci.GitHubClaims())).Code)
			}

			require.Equal(t, 5, c.calls)
		})
	}
}
