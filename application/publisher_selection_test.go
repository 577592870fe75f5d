package application_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestDeleteRemovesTheConfigThatTheSelectionNames(t *testing.T) {
	tests := []struct {
		name      string
		selection application.Selection
	}{
		{"by its kind", application.Selection{ID: 2, Kind: domain.KindGitLabConfig}},
		{"by its package", application.Selection{ID: 2, Package: cargo("demo")}},
		{"by both", application.Selection{ID: 2, Kind: domain.KindGitLabConfig, Package: cargo("demo")}},
		{"a config of claims by its kind", application.Selection{ID: 3, Kind: domain.KindClaimsConfig}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newThreeKinds(t)

			require.NoError(t, r.DeleteConfig(t.Context(), ferris, tt.selection))

			_, err := r.store.Store.Config(t.Context(), tt.selection.ID)
			requireError(t, err, domain.KindNotFound, domain.CodeNotFound)
			require.Equal(t, 2, r.stored(t, cargo("demo")))
		})
	}
}

func TestASelectionThatDoesNotFitIsNotFoundAndTellsNothing(t *testing.T) {
	tests := []struct {
		name      string
		selection application.Selection
	}{
		{"a GitHub config as one of GitLab", application.Selection{ID: 1, Kind: domain.KindGitLabConfig}},
		{"a GitHub config as one of claims", application.Selection{ID: 1, Kind: domain.KindClaimsConfig}},
		{"a GitLab config as one of GitHub", application.Selection{ID: 2, Kind: domain.KindGitHubConfig}},
		{"a config of claims by its provider", application.Selection{ID: 3, Kind: "buildkite"}},
		{"a config of claims as one of GitHub", application.Selection{ID: 3, Kind: domain.KindGitHubConfig}},
		{"another package", application.Selection{ID: 2, Package: cargo("other")}},
		{"a package of another ecosystem", application.Selection{ID: 2, Package: npm("demo")}},
		{"the package in another case", application.Selection{ID: 2, Package: cargo("Demo")}},
		{"the kind, but another package", application.Selection{ID: 2, Kind: domain.KindGitLabConfig, Package: cargo("other")}},
		{"the package, but another kind", application.Selection{ID: 2, Kind: domain.KindGitHubConfig, Package: cargo("demo")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newThreeKinds(t)
			require.NoError(t, r.store.Store.DeleteConfig(t.Context(), 4))
			unknown := tt.selection
			unknown.ID = 4
			for _, actor := range []application.Actor{ferris, {ID: "mallory"}} {
				err := r.DeleteConfig(t.Context(), actor, tt.selection)
				event := r.auditor.only(t)

				requireError(t, err, domain.KindNotFound, domain.CodeNotFound)
				require.Empty(t, event.Provider)
				require.Empty(t, event.Packages)
				require.Equal(t, domain.MessageOf(domain.ConfigNotFound(tt.selection.ID)), domain.MessageOf(err))
				err = r.DeleteConfig(t.Context(), actor, unknown)
				requireError(t, err, domain.KindNotFound, domain.CodeNotFound)
				require.Equal(t, domain.MessageOf(domain.ConfigNotFound(4)), domain.MessageOf(err), "an ID that no config has sounds the same")
				r.auditor.events = nil
			}
			require.Zero(t, r.ownership.asked, "nobody was asked whose package it is")
			require.Equal(t, 3, r.stored(t, cargo("demo")))
		})
	}
}

func TestASelectionThatFitsIsStillForItsOwnersAlone(t *testing.T) {
	r := newThreeKinds(t)

	err := r.DeleteConfig(t.Context(), application.Actor{ID: "mallory"}, application.Selection{ID: 2, Kind: domain.KindGitLabConfig, Package: cargo("demo")})

	requireError(t, err, domain.KindForbidden, domain.CodeForbidden)
	require.Equal(t, 3, r.stored(t, cargo("demo")))
}

// newThreeKinds returns a registry in which cargo/demo has a config of each kind,
// numbered 1 to 3, and cargo/other has one, numbered 4.
func newThreeKinds(t *testing.T) *registry {
	t.Helper()
	r := newManyProviders(t)
	for _, p := range []domain.ConfigParams{
		params(), gitlabParams(), claimsParams(), params(func(p *domain.GitHubConfigParams) { p.Package = cargo("other") }),
	} {
		_, err := r.CreateConfig(t.Context(), ferris, p)
		require.NoError(t, err)
	}
	r.auditor.events, r.ownership.asked = nil, 0
	return r
}
