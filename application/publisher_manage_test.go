package application_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestListShowsAPackagesConfigsToWhoMayManageThem(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer)
	for _, workflow := range []string{"a.yml", "b.yml", "c.yml"} {
		_, err := r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.WorkflowFilename = workflow }))
		require.NoError(t, err)
	}

	page, err := r.ListConfigs(t.Context(), ferris, application.ListQuery{Package: cargo("demo"), After: 1, Limit: 1})

	require.NoError(t, err)
	require.Len(t, page.Configs, 1)
	require.Equal(t, "b.yml", page.Configs[0].(domain.GitHubConfig).WorkflowFilename())
	require.Equal(t, 3, page.Total)
	require.True(t, page.More)
}

func TestListRefuses(t *testing.T) {
	tests := []struct {
		name    string
		actor   application.Actor
		pkg     domain.Package
		prepare func(*registry)
		kind    domain.Kind
		code    domain.Code
	}{
		{"no package, which would list all", ferris, domain.Package{}, nil, domain.KindInvalid, domain.CodeInvalidConfig},
		{"a bad package", ferris, cargo("a b"), nil, domain.KindInvalid, domain.CodeInvalidConfig},
		{"nobody authenticated", application.Actor{}, cargo("demo"), nil, domain.KindUnauthenticated, domain.CodeUnauthenticated},
		{"somebody else", application.Actor{ID: "mallory"}, cargo("demo"), nil, domain.KindForbidden, domain.CodeForbidden},
		{"a package of somebody else", ferris, cargo("foreign"), nil, domain.KindForbidden, domain.CodeForbidden},
		{"a store that is down", ferris, cargo("demo"), func(r *registry) { r.store.fails["ListConfigs"] = errDown }, domain.KindUnavailable, domain.CodeStoreUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t, trustpubtest.Issuer)
			if tt.prepare != nil {
				tt.prepare(r)
			}

			page, err := r.ListConfigs(t.Context(), tt.actor, application.ListQuery{Package: tt.pkg, Limit: 10})

			requireError(t, err, tt.kind, tt.code)
			require.Zero(t, page)
		})
	}
}

func TestDeleteRemovesTheConfigAndIsAudited(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer)
	config, err := r.CreateConfig(t.Context(), ferris, params())
	require.NoError(t, err)
	r.auditor.events = nil

	require.NoError(t, r.DeleteConfig(t.Context(), ferris, application.Selection{ID: config.Common().ID}))

	require.Zero(t, r.stored(t, cargo("demo")))
	require.Equal(t, application.Event{
		Action: application.ActionDeleteConfig, Actor: "ferris", Packages: []domain.Package{cargo("demo")}, Provider: "github", ConfigID: config.Common().ID,
	}, r.auditor.only(t))

	requireError(t, r.DeleteConfig(t.Context(), ferris, application.Selection{ID: config.Common().ID}), domain.KindNotFound, domain.CodeNotFound)
}

func TestDeleteRefusesAndLeavesTheConfig(t *testing.T) {
	tests := []struct {
		name  string
		actor application.Actor
		fails string
		kind  domain.Kind
		code  domain.Code
	}{
		{"nobody authenticated", application.Actor{}, "", domain.KindUnauthenticated, domain.CodeUnauthenticated},
		{"somebody else", application.Actor{ID: "mallory"}, "", domain.KindForbidden, domain.CodeForbidden},
		{"a store that can't read", ferris, "Config", domain.KindUnavailable, domain.CodeStoreUnavailable},
		{"a store that can't delete", ferris, "DeleteConfig", domain.KindUnavailable, domain.CodeStoreUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t, trustpubtest.Issuer)
			config, err := r.CreateConfig(t.Context(), ferris, params())
			require.NoError(t, err)
			r.auditor.events = nil
			if tt.fails != "" {
				r.store.fails[tt.fails] = errDown
			}

			err = r.DeleteConfig(t.Context(), tt.actor, application.Selection{ID: config.Common().ID})

			requireError(t, err, tt.kind, tt.code)
			require.Equal(t, 1, r.stored(t, cargo("demo")))
			require.Equal(t, tt.code, domain.CodeOf(r.auditor.only(t).Err))
		})
	}
}

func TestNobodyUnauthenticatedLearnsWhichConfigsExist(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer)
	_, err := r.CreateConfig(t.Context(), ferris, params())
	require.NoError(t, err)
	r.ownership.asked = 0

	for _, id := range []int64{1, 2} {
		err := r.DeleteConfig(t.Context(), application.Actor{}, application.Selection{ID: id})
		requireError(t, err, domain.KindUnauthenticated, domain.CodeUnauthenticated)
	}
	require.Zero(t, r.ownership.asked)
}
