package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestNewRefusesAConfigurationThatLacksSomething(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*setup)
	}{
		{"no Exchange", func(c *setup) { c.Exchange = nil }},
		{"no Tokens", func(c *setup) { c.Tokens = nil }},
		{"no Publishers", func(c *setup) { c.Publishers = nil }},
		{"no Logger", func(c *setup) { c.Logger = nil }},
		{"no Now", func(c *setup) { c.Now = nil }},
		{"no Audience", func(c *setup) { c.Audience = "" }},
		{"no Issuer", func(c *setup) { c.Issuer = "" }},
		{"Issuer with a trailing slash", func(c *setup) { c.Issuer += "/" }},
		{"Issuer over http", func(c *setup) { c.Issuer = "http://crates.io" }},
		{"Issuer that is no URL", func(c *setup) { c.Issuer = "crates.io" }},
		{"RequestTimeout below zero", func(c *setup) { c.RequestTimeout = -time.Second }},
	}
	good := newRegistry(t).cfg
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.change(&cfg)
			_, err := cfg.api()
			require.Error(t, err)
		})
	}
	_, err := httpapi.New(httpapi.Config{})
	require.Error(t, err)
	_, err = httpapi.New(httpapi.Config{Logger: good.Logger, Dialects: []httpapi.Dialect{nil}})
	require.Error(t, err)
}

func TestWithoutAuthenticatorsTheirEndpointsAreClosedAndSayHowToOpenThem(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(c *setup) { c.Authenticator, c.RegistryAuthenticator = nil, nil })
	for setting, requests := range map[string][]call{
		"TRUSTPUB_ADMIN_TOKEN": {
			jsonTo(http.MethodPost, configsPath, configBody(t, nil)).bearer(adminToken),
			bare(http.MethodGet, configsPath), bare(http.MethodDelete, configsPath+"/1").bearer(""),
		},
		"TRUSTPUB_REGISTRY_TOKEN": {
			formTo("/oauth/introspect", "token="+accessToken).bearer(registryToken), formTo("/oauth/introspect", ""),
		},
	} {
		for _, q := range requests {
			response := r.do(t, q)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
			body := response.Body
			require.Contains(t, body, setting)
			require.Contains(t, body, "not_enabled")
		}
	}
	require.Equal(t, http.StatusOK, r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`)).StatusCode)
}

func TestABearerTokenIsLongAndPrintableAndItsErrorDoesNotShowIt(t *testing.T) {
	t.Parallel()
	actor := application.Actor{ID: "admin"}
	for _, token := range []string{
		"", strings.Repeat("x", 31), strings.Repeat("x", 32) + " ", strings.Repeat("x", 32) + "\n", "x " + strings.Repeat("x", 32), strings.Repeat("é", 32), strings.Repeat("\x00", 32),
	} {
		_, err := httpapi.BearerToken(token, actor)
		require.Error(t, err)
		if token != "" {
			require.NotContains(t, err.Error(), token)
		}
	}
	_, err := httpapi.BearerToken(strings.Repeat("x", 32), application.Actor{})
	require.Error(t, err)
	_, err = httpapi.BearerToken(strings.Repeat("x", 32), actor)
	require.NoError(t, err)
}

func TestABearerTokenIsAcceptedInItsSchemeInAnyCase(t *testing.T) {
	t.Parallel()
	authenticator, err := httpapi.BearerToken(adminToken, application.Actor{ID: "admin"})
	require.NoError(t, err)
	for header, want := range map[string]bool{
		"Bearer " + adminToken: true, "bearer " + adminToken: true, "BEARER   " + adminToken: true,
		adminToken: false, "Basic " + adminToken: false, "Bearer" + adminToken: false, "Bearer\t" + adminToken: false,
		"Bearer " + adminToken + " x": false, "Bearer " + adminToken[1:]: false, "Bearer " + strings.ToUpper(adminToken): false, "": false,
	} {
		actor, err := authenticator.Authenticate(bare(http.MethodGet, "/").with("Authorization", header).http())
		if want {
			require.NoError(t, err)
			require.Equal(t, application.Actor{ID: "admin"}, actor)
			continue
		}
		require.Equal(t, domain.KindUnauthenticated, domain.KindOf(err), header)
		require.Empty(t, actor)
	}
}
