package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestARegistryWithPlainConstructorsAcceptsAnUploadForItsPackageAlone(t *testing.T) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	store := memory.New()
	_, err = store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) {
		p.Issuer, p.Package = ci.URL(), domain.Package{Ecosystem: "generic", Name: "demo"}
	}), 1)
	require.NoError(t, err)
	registry, err := newRegistry(t.Context(), ci.URL(), store, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	idToken, err := ci.Sign(ci.GitHubClaims().With("aud", "registry.example"))
	require.NoError(t, err)
	call := func(method, path, authorization, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("Authorization", authorization)
		recorder := httptest.NewRecorder()
		registry.ServeHTTP(recorder, request)
		return recorder
	}

	exchanged := call(http.MethodPost, "/exchange", "", idToken)
	require.Equal(t, http.StatusOK, exchanged.Code, exchanged.Body)
	var answer struct{ Token string }
	require.NoError(t, json.Unmarshal(exchanged.Body.Bytes(), &answer))

	uploaded := call(http.MethodPut, "/packages/demo", answer.Token, "")
	require.Equal(t, http.StatusOK, uploaded.Code)
	require.Equal(t, "generic/demo published by run 1234567890\n", uploaded.Body.String())
	require.Equal(t, http.StatusForbidden, call(http.MethodPut, "/packages/other", answer.Token, "").Code)
	require.Equal(t, http.StatusUnauthorized, call(http.MethodPut, "/packages/demo", answer.Token+"x", "").Code)
	require.Equal(t, http.StatusBadRequest, call(http.MethodPost, "/exchange", "", idToken).Code)
}
