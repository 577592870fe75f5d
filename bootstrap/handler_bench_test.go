package bootstrap_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// BenchmarkHandler shows what the handler of an exchange takes, HTTP and database aside:
// reading, verifying, matching, minting, the audit record, the request log and metrics.
func BenchmarkHandler(b *testing.B) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = ci.Close() })
	idToken, err := ci.Sign(ci.GitHubClaims().With("exp", time.Now().Add(23*time.Hour).Unix()))
	require.NoError(b, err)
	settings, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS": "github=" + ci.URL()})
	require.NoError(b, err)
	store := memory.New()
	config, err := domain.NewGitHubConfig(demoParams(ci.URL()))
	require.NoError(b, err)
	_, err = store.CreateConfig(b.Context(), config, 5)
	require.NoError(b, err)
	var api *httpapi.API
	app := fx.New(fx.NopLogger, fx.Supply(slog.New(slog.NewJSONHandler(io.Discard, nil))),
		bootstrap.ProvideStore(func() *memory.Store { return store }),
		bootstrap.Module(settings),
		fx.Decorate(func(v application.Verifier) application.Verifier { return freshJTI{v} }),
		fx.Populate(&api))
	require.NoError(b, app.Start(b.Context()))
	b.Cleanup(func() { _ = app.Stop(b.Context()) })
	body := `{"jwt":"` + idToken + `"}`
	do := func() {
		request := httptest.NewRequest(http.MethodPut, "/api/v1/trusted_publishing/tokens", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		api.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusOK {
			b.Fatal(recorder.Body)
		}
	}
	do()
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}
