package application_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func npm(name string) domain.Package { return domain.Package{Ecosystem: "npm", Name: name} }

// newEcosystems returns a world in which the workload is trusted with packages of two
// ecosystems, and exchanges ID tokens for those of one; empty is any.
func newEcosystems(t *testing.T, ecosystem string) *world {
	t.Helper()
	w := newWorld(t)
	for _, pkg := range []domain.Package{cargo("demo"), cargo("other"), npm("demo"), npm("@octo/demo")} {
		w.trustConfig(t, func(p *domain.GitHubConfigParams) { p.Package = pkg })
	}
	cfg := w.exchangeConfig(t)
	cfg.Ecosystem = ecosystem
	service, err := application.NewExchangeService(cfg)
	require.NoError(t, err)
	w.exchange = service
	return w
}

func (w *world) trustConfig(t *testing.T, change func(*domain.GitHubConfigParams)) {
	t.Helper()
	_, err := w.store.Store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t, change), application.MaxConfigsPerPackage)
	require.NoError(t, err)
}

func TestATokenCoversThePackagesOfTheServicesEcosystemAndOfTheRequest(t *testing.T) {
	tests := []struct {
		name      string
		ecosystem string
		request   application.ExchangeRequest
		want      []domain.Package
	}{
		{"any", "", application.ExchangeRequest{}, []domain.Package{cargo("demo"), cargo("other"), npm("@octo/demo"), npm("demo")}},
		{"one ecosystem", "cargo", application.ExchangeRequest{}, []domain.Package{cargo("demo"), cargo("other")}},
		{"another ecosystem", "npm", application.ExchangeRequest{}, []domain.Package{npm("@octo/demo"), npm("demo")}},
		{"one package", "npm", application.ExchangeRequest{Package: npm("demo")}, []domain.Package{npm("demo")}},
		{"one package of any ecosystem", "", application.ExchangeRequest{Package: cargo("demo")}, []domain.Package{cargo("demo")}},
		{"a scope in the ecosystem", "cargo", application.ExchangeRequest{Packages: []domain.Package{cargo("other")}}, []domain.Package{cargo("other")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newEcosystems(t, tt.ecosystem)
			tt.request.IDToken = "jwt"

			issued, err := w.exchange.Exchange(t.Context(), tt.request)

			require.NoError(t, err)
			require.Equal(t, tt.want, issued.Token.Packages())
		})
	}
}

func TestConfigsOfAnotherEcosystemOrPackageNeverCount(t *testing.T) {
	tests := []struct {
		name      string
		ecosystem string
		request   application.ExchangeRequest
		code      domain.Code
	}{
		{"an ecosystem that nothing is of", "pypi", application.ExchangeRequest{}, domain.CodeNoPublisher},
		{"the ecosystem in another case", "NPM", application.ExchangeRequest{}, domain.CodeNoPublisher},
		{"a package of another ecosystem", "npm", application.ExchangeRequest{Package: cargo("demo")}, domain.CodeNoPublisher},
		{"a package of that name in another ecosystem", "npm", application.ExchangeRequest{Package: npm("other")}, domain.CodeNoPublisher},
		{"a package in another case", "cargo", application.ExchangeRequest{Package: cargo("Demo")}, domain.CodeNoPublisher},
		{"a scope of another ecosystem", "npm", application.ExchangeRequest{Packages: []domain.Package{cargo("demo")}}, domain.CodeInvalidScope},
		{"a scope outside the package", "npm", application.ExchangeRequest{Package: npm("demo"), Packages: []domain.Package{npm("@octo/demo")}}, domain.CodeInvalidScope},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newEcosystems(t, tt.ecosystem)
			tt.request.IDToken = "jwt"

			issued, err := w.exchange.Exchange(t.Context(), tt.request)

			require.Equal(t, tt.code, domain.CodeOf(err), "%v", err)
			require.Zero(t, issued)
			require.Zero(t, w.store.saves)
		})
	}
}

func TestARefusalIsThatOfThePackagesOwnConfigs(t *testing.T) {
	w := newWorld(t)
	w.trustConfig(t, func(p *domain.GitHubConfigParams) { p.Package, p.WorkflowFilename = npm("demo"), "npm.yml" })
	w.trustConfig(t, func(p *domain.GitHubConfigParams) { p.Package, p.OwnerID = npm("other"), 66 })
	w.trustConfig(t, func(p *domain.GitHubConfigParams) { p.Package, p.Environment = cargo("demo"), new("secret-place") })
	cfg := w.exchangeConfig(t)
	cfg.Ecosystem = "npm"
	service, err := application.NewExchangeService(cfg)
	require.NoError(t, err)
	tests := []struct {
		name string
		pkg  domain.Package
		code domain.Code
	}{
		{"the ecosystem's nearest", domain.Package{}, domain.CodeWorkflowMismatch},
		{"the one package's", npm("demo"), domain.CodeWorkflowMismatch},
		{"the other package's, which is farther", npm("other"), domain.CodeOwnerIDMismatch},
		{"a package without configs", npm("unheard-of"), domain.CodeNoPublisher},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := service.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt", Package: tt.pkg})

			requireError(t, err, domain.KindRefused, tt.code)
			require.NotContains(t, domain.MessageOf(err), "secret-place")
		})
	}
}

func TestARenamedRepositoryIsToldSoByThePackagesOwnConfigsAlone(t *testing.T) {
	w := newWorld(t)
	w.trustConfig(t, func(p *domain.GitHubConfigParams) {
		p.Package, p.Repository, p.Pinned = cargo("demo"), "old-name", map[string]string{"repository_id": "1296269"}
	})
	w.knows(t, "renamed", repository("new-name", "1296269"))

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "renamed", Package: cargo("other")})
	requireError(t, err, domain.KindRefused, domain.CodeNoPublisher)
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "renamed", Package: cargo("demo")})
	requireError(t, err, domain.KindRefused, domain.CodeRepositoryRenamed)
}
