package bootstrap_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// endpoint is one endpoint of a protocol.
type endpoint struct{ method, path string }

// endpoints are those of each protocol.
var endpoints = map[string][]endpoint{
	"cratesio": {
		{http.MethodPut, "/api/v1/trusted_publishing/tokens"},
		{http.MethodPost, "/api/v1/trusted_publishing/tokens"},
		{http.MethodDelete, "/api/v1/trusted_publishing/tokens"},
		{http.MethodGet, "/api/v1/trusted_publishing/audience"},
		{http.MethodGet, "/api/v1/trusted_publishing/github_configs"},
		{http.MethodPost, "/api/v1/trusted_publishing/github_configs"},
		{http.MethodDelete, "/api/v1/trusted_publishing/github_configs/1"},
		{http.MethodPost, "/api/v1/trusted_publishing/gitlab_configs"},
		{http.MethodPost, "/api/v1/trusted_publishing/configs"},
	},
	"oauth": {
		{http.MethodPost, "/oauth/token"},
		{http.MethodPost, "/oauth/revoke"},
		{http.MethodPost, "/oauth/introspect"},
		{http.MethodGet, "/.well-known/oauth-authorization-server"},
	},
	"npm": {
		{http.MethodPost, "/-/npm/v1/oidc/token/exchange/package/demo"},
		{http.MethodGet, "/-/package/demo/trust"},
		{http.MethodPost, "/-/package/demo/trust"},
		{http.MethodDelete, "/-/package/demo/trust/1"},
	},
	"pypi": {
		{http.MethodGet, "/_/oidc/audience"},
		{http.MethodPost, "/_/oidc/mint-token"},
		{http.MethodPost, "/_/oidc/github/mint-token"},
		{http.MethodPost, "/_/oidc/burn-token"},
	},
	"rubygems": {
		{http.MethodPost, "/api/v1/oidc/trusted_publisher/exchange_token"},
		{http.MethodGet, "/api/v1/gems/demo/trusted_publishers"},
		{http.MethodPost, "/api/v1/gems/demo/trusted_publishers"},
		{http.MethodDelete, "/api/v1/gems/demo/trusted_publishers/1"},
	},
}

func TestAProtocolHasItsEndpointsExactlyWhereItIsSwitchedOn(t *testing.T) {
	tests := []struct {
		name, setting string
		on            []string
	}{
		{"by default", "", []string{"cratesio", "oauth"}},
		{"crates.io's alone", "cratesio", []string{"cratesio"}},
		{"OAuth alone", "oauth", []string{"oauth"}},
		{"npm's alone", "npm", []string{"npm"}},
		{"PyPI's alone", "pypi", []string{"pypi"}},
		{"RubyGems.org's alone", "rubygems", []string{"rubygems"}},
		{"all", "cratesio,oauth,npm,pypi,rubygems", []string{"cratesio", "oauth", "npm", "pypi", "rubygems"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// There is no admin token: the publisher-config endpoints answer 403.
			s := startServer(t, settingsFor(t, nil, map[string]string{"TRUSTPUB_PROTOCOLS": tt.setting, "TRUSTPUB_ADMIN_TOKEN": ""}))
			for name, all := range endpoints {
				for _, e := range all {
					// The request is none that an endpoint accepts, so that one which is
					// there says anything but 404.
					a := s.call(t, e.method, e.path, "", "text/plain", "")
					exists := a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed

					require.Equal(t, slices.Contains(tt.on, name), exists, "%s: %s %s answered %d %s", name, e.method, e.path, a.status, a.body)
				}
			}
			require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, "/healthz", "", "", "").status)
		})
	}
}
