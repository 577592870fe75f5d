package application_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

const selfManaged = "https://gitlab.example"

// buildkite is a provider that is described by a definition.
var buildkite = domain.Definition{
	Name: "buildkite", Issuer: "https://agent.buildkite.com", Algorithms: []string{"RS256"},
	Required: []domain.ClaimRule{
		{Claim: "organization_slug", Match: domain.MatchIgnoreCase}, {Claim: "pipeline_slug", Match: domain.MatchIgnoreCase},
	},
	Optional: []domain.ClaimRule{{Claim: "build_branch", Match: domain.MatchExact}, {Claim: "step_keys", Match: domain.MatchContains}},
	Pinned:   []string{"pipeline_id"},
}

// newManyProviders returns a registry with GitHub, two GitLabs and Buildkite.
func newManyProviders(t *testing.T, changes ...func(*application.PublisherConfig)) *registry {
	t.Helper()
	r := newRegistry(t)
	cfg := r.config()
	cfg.Issuers = map[string][]string{
		domain.ProviderGitHub: {trustpubtest.Issuer},
		domain.ProviderGitLab: {gitlabIssuer, selfManaged},
		"buildkite":           {buildkite.Issuer},
	}
	cfg.Definitions = []domain.Definition{buildkite}
	for _, change := range changes {
		change(&cfg)
	}
	var err error
	r.PublisherService, err = application.NewPublisherService(cfg)
	require.NoError(t, err)
	return r
}

func gitlabParams(changes ...func(*domain.GitLabConfigParams)) domain.GitLabConfigParams {
	p := domain.GitLabConfigParams{
		Package: cargo("demo"), Issuer: selfManaged, Namespace: "octo-group/tools", Project: "octo-project", WorkflowFilepath: ".gitlab-ci.yml",
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func claimsParams(changes ...func(*domain.ClaimsConfigParams)) domain.ClaimsConfigParams {
	p := domain.ClaimsConfigParams{
		Package: cargo("demo"), Provider: "buildkite",
		Claims: map[string][]string{"organization_slug": {"Octo"}, "pipeline_slug": {"release"}, "step_keys": {"publish"}},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func TestCreateStoresAGitLabConfigForTheIssuerThatIsNamed(t *testing.T) {
	r := newManyProviders(t)

	config, err := r.CreateConfig(t.Context(), ferris, gitlabParams(func(p *domain.GitLabConfigParams) {
		p.ID, p.CreatedAt = 99, time.Unix(0, 0) // A client's, which are not taken over.
		p.Pinned = map[string]string{"namespace_id": "72"}
	}))

	require.NoError(t, err)
	require.Equal(t, int64(1), config.Common().ID)
	require.Equal(t, selfManaged, config.Common().Issuer)
	require.Equal(t, trustpubtest.Now(), config.Common().CreatedAt)
	require.Equal(t, map[string]string{"namespace_id": "72"}, config.Common().Pinned)
	require.Empty(t, r.owners.asked, "a GitLab config needs no owner's ID")
	require.Equal(t, application.Event{
		Action: application.ActionCreateConfig, Actor: "ferris", Packages: []domain.Package{cargo("demo")}, Provider: "gitlab", ConfigID: 1,
	}, r.auditor.only(t))
}

func TestCreateMakesAConfigOfClaimsAsItsDefinitionSays(t *testing.T) {
	r := newManyProviders(t)

	config, err := r.CreateConfig(t.Context(), ferris, claimsParams(func(p *domain.ClaimsConfigParams) {
		p.Key, p.Source = "sha256:evil", "somebody else" // A client's, which are not taken over.
		p.Pinned = map[string]string{"pipeline_id": "evil"}
	}))

	require.NoError(t, err)
	require.Equal(t, buildkite.Issuer, config.Common().Issuer)
	require.Equal(t, "buildkite", config.Common().Provider)
	require.Empty(t, config.Common().Pinned)
	claims := config.(domain.ClaimsConfig)
	require.Equal(t, "organization_slug=octo, pipeline_slug=release", claims.Source())
	require.Equal(t, map[string][]string{"organization_slug": {"octo"}, "pipeline_slug": {"release"}, "step_keys": {"publish"}}, claims.Claims())
	require.Equal(t, "buildkite", r.auditor.only(t).Provider)
	workload, err := buildkite.Workload(domain.RawClaims{"organization_slug": "OCTO", "pipeline_slug": "Release", "step_keys": []any{"test", "publish"}})
	require.NoError(t, err)
	require.Equal(t, workload.Key, config.Common().Key, "exchanges find it")
}

func TestCreateRefusesConfigsOfAnyKind(t *testing.T) {
	tests := []struct {
		name   string
		actor  application.Actor
		params domain.ConfigParams
		kind   domain.Kind
		code   domain.Code
		says   string
	}{
		{
			"several GitLab issuers, none named", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.Issuer = "" }),
			domain.KindInvalid, domain.CodeInvalidConfig, "Several GitLab issuers are enabled here. Name the one that the publisher belongs to: " + gitlabIssuer + ", " + selfManaged,
		},
		{
			"an issuer of GitHub for GitLab", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.Issuer = trustpubtest.Issuer }),
			domain.KindInvalid, domain.CodeInvalidConfig, "is not an enabled GitLab issuer",
		},
		{
			"an issuer of GitLab for GitHub", ferris,
			params(func(p *domain.GitHubConfigParams) { p.Issuer = gitlabIssuer }),
			domain.KindInvalid, domain.CodeInvalidConfig, "is not an enabled GitHub issuer",
		},
		{
			"an issuer of GitHub for claims", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Issuer = trustpubtest.Issuer }),
			domain.KindInvalid, domain.CodeInvalidConfig, `is not an enabled "buildkite" issuer`,
		},
		{
			"an issuer that nobody enabled", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.Issuer = "https://evil.example" }),
			domain.KindInvalid, domain.CodeInvalidConfig, "is not an enabled GitLab issuer",
		},
		{
			"a provider that is not enabled", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Provider = "circleci" }),
			domain.KindInvalid, domain.CodeInvalidConfig, `No "circleci" issuer is enabled here, so no such publisher can be configured. Enabled are: buildkite, github, gitlab.`,
		},
		{
			"no provider", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Provider = "" }),
			domain.KindInvalid, domain.CodeInvalidConfig, "The provider is missing. Name one that is enabled here: buildkite, github, gitlab.",
		},
		{
			"claims for GitHub, which has rules of its own", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Provider = domain.ProviderGitHub }),
			domain.KindInvalid, domain.CodeInvalidConfig, `The provider "github" has no publishers that are made of claims.`,
		},
		{
			"claims for GitLab, which has rules of its own", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Provider, p.Issuer = domain.ProviderGitLab, gitlabIssuer }),
			domain.KindInvalid, domain.CodeInvalidConfig, `The provider "gitlab" has no publishers that are made of claims.`,
		},
		{
			"no claims", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Claims = nil }),
			domain.KindInvalid, domain.CodeInvalidConfig, "A publisher needs 1 to 16 claims.",
		},
		{
			"a required claim is missing", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { delete(p.Claims, "pipeline_slug") }),
			domain.KindInvalid, domain.CodeInvalidConfig, `The claim "pipeline_slug" is missing.`,
		},
		{
			"a claim that the definition does not know", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Claims["sub"] = []string{"x"} }),
			domain.KindInvalid, domain.CodeInvalidConfig, `The claim "sub" is not one that a publisher of buildkite can be made of.`,
		},
		{
			"two values of a claim that is no list", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Claims["build_branch"] = []string{"main", "next"} }),
			domain.KindInvalid, domain.CodeInvalidConfig, `The claim "build_branch" has one value.`,
		},
		{
			"a bad namespace", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.Namespace = "octo/../evil" }),
			domain.KindInvalid, domain.CodeInvalidConfig, "The namespace",
		},
		{
			"a bad file", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = "a.yml@evil/evil" }),
			domain.KindInvalid, domain.CodeInvalidConfig, "The workflow filepath",
		},
		{"nobody authenticated", application.Actor{}, gitlabParams(), domain.KindUnauthenticated, domain.CodeUnauthenticated, "credential"},
		{"somebody else", application.Actor{ID: "mallory"}, claimsParams(), domain.KindForbidden, domain.CodeForbidden, "not yours"},
		{
			"a package of somebody else", ferris,
			gitlabParams(func(p *domain.GitLabConfigParams) { p.Package = cargo("foreign") }),
			domain.KindForbidden, domain.CodeForbidden, "not yours",
		},
		{
			"a package that is hidden", ferris,
			claimsParams(func(p *domain.ClaimsConfigParams) { p.Package = cargo("secret") }),
			domain.KindNotFound, domain.CodeNotFound, "no such package",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newManyProviders(t)

			config, err := r.CreateConfig(t.Context(), tt.actor, tt.params)

			requireError(t, err, tt.kind, tt.code)
			require.Contains(t, domain.MessageOf(err), tt.says)
			require.Nil(t, config)
			require.Nil(t, r.store.created)
			event := r.auditor.only(t)
			require.Equal(t, tt.code, domain.CodeOf(event.Err))
			require.Zero(t, event.ConfigID)
		})
	}
}

func TestAProviderThatIsUnknownIsNotAuditedByItsName(t *testing.T) {
	r := newManyProviders(t)

	_, err := r.CreateConfig(t.Context(), ferris, claimsParams(func(p *domain.ClaimsConfigParams) { p.Provider = "eyJhbGciOi" }))

	require.Error(t, err)
	require.Empty(t, r.auditor.only(t).Provider)
}

func TestAnEnabledProviderWithoutDefinitionMakesNoConfigOfClaims(t *testing.T) {
	r := newManyProviders(t, func(c *application.PublisherConfig) { c.Definitions = nil })

	_, err := r.CreateConfig(t.Context(), ferris, claimsParams())

	requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
	require.Nil(t, r.store.created)
}

func TestConfigsOfAllKindsCountTogether(t *testing.T) {
	r := newManyProviders(t)
	for _, p := range []domain.ConfigParams{
		params(), gitlabParams(), claimsParams(),
		gitlabParams(func(p *domain.GitLabConfigParams) { p.Issuer = gitlabIssuer }),
		claimsParams(func(p *domain.ClaimsConfigParams) { p.Claims["build_branch"] = []string{"main"} }),
	} {
		_, err := r.CreateConfig(t.Context(), ferris, p)
		require.NoError(t, err)
	}
	sixth := gitlabParams(func(p *domain.GitLabConfigParams) { p.Project = "sixth" })

	_, err := r.CreateConfig(t.Context(), ferris, sixth)
	requireError(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	_, err = r.CreateConfig(t.Context(), ferris, gitlabParams(func(p *domain.GitLabConfigParams) { p.Namespace = "OCTO-group/tools" }))
	requireError(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
	_, err = r.CreateConfig(t.Context(), ferris, claimsParams(func(p *domain.ClaimsConfigParams) { p.Claims["organization_slug"] = []string{"OCTO"} }))
	requireError(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
}

func TestListShowsOneKindWhereItIsAskedFor(t *testing.T) {
	r := newManyProviders(t)
	for _, p := range []domain.ConfigParams{params(), gitlabParams(), claimsParams()} {
		_, err := r.CreateConfig(t.Context(), ferris, p)
		require.NoError(t, err)
	}
	for kind, want := range map[domain.ConfigKind][]int64{
		"": {1, 2, 3}, domain.KindGitHubConfig: {1}, domain.KindGitLabConfig: {2}, domain.KindClaimsConfig: {3}, "other": nil,
	} {
		page, err := r.ListConfigs(t.Context(), ferris, application.ListQuery{Package: cargo("demo"), Kind: kind, Limit: 10})

		require.NoError(t, err)
		var got []int64
		for _, config := range page.Configs {
			got = append(got, config.Common().ID)
		}
		require.Equal(t, want, got, "kind %q", kind)
		require.Equal(t, len(want), page.Total, "kind %q", kind)
	}
}
