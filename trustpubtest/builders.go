// Package trustpubtest is the test kit of trustpub, for its own tests and for those
// of an embedder: conformance suites for the ports, which an own store passes in ten
// lines of test, and builders of valid values with one-line changes. Package issuer
// below it is an OIDC issuer, package postgrestest a throw-away PostgreSQL.
package trustpubtest

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// Issuer is the issuer of the values that the builders make.
const Issuer = "https://token.actions.githubusercontent.com"

// Now is the moment at which the values that the builders make are valid.
func Now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// NewClaims returns the verified claims of release.yml in octo-org/octo-repo, with a
// jti of its own, after the changes.
func NewClaims(tb testing.TB, changes ...func(*domain.Registered, *domain.Workload)) domain.Claims {
	tb.Helper()
	r := domain.Registered{
		Issuer: Issuer, Subject: "repo:octo-org/octo-repo:ref:refs/tags/v1.2.3", JWTID: rand.Text(),
		IssuedAt: Now(), ExpiresAt: Now().Add(5 * time.Minute), AcceptableUntil: Now().Add(6 * time.Minute),
	}
	w := domain.Workload{
		Provider: domain.ProviderGitHub, Repository: domain.Repository{Owner: "octo-org", Name: "octo-repo"},
		OwnerID: "65", Workflow: "release.yml",
		Details: domain.NewDetails(map[string]string{"repository": "octo-org/octo-repo", "run_id": "1234567890"}),
	}
	for _, change := range changes {
		change(&r, &w)
	}
	claims, err := domain.NewClaims(r, w)
	require.NoError(tb, err)
	return claims
}

// NewGitHubConfig returns a config by which the package cargo/demo trusts the
// workload of [NewClaims], after the changes.
func NewGitHubConfig(tb testing.TB, changes ...func(*domain.GitHubConfigParams)) domain.GitHubConfig {
	tb.Helper()
	params := domain.GitHubConfigParams{
		CreatedAt: Now(), Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Issuer: Issuer,
		Owner: "octo-org", Repository: "octo-repo", OwnerID: 65, WorkflowFilename: "release.yml",
	}
	for _, change := range changes {
		change(&params)
	}
	config, err := domain.NewGitHubConfig(params)
	require.NoError(tb, err)
	return config
}

// NewGitLabConfig returns a config by which the package cargo/demo trusts the
// pipelines of a GitLab project, after the changes.
func NewGitLabConfig(tb testing.TB, changes ...func(*domain.GitLabConfigParams)) domain.GitLabConfig {
	tb.Helper()
	params := domain.GitLabConfigParams{
		CreatedAt: Now(), Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Issuer: "https://gitlab.com",
		Namespace: "octo-group/tools", Project: "octo-project", WorkflowFilepath: ".gitlab-ci.yml",
	}
	for _, change := range changes {
		change(&params)
	}
	config, err := domain.NewGitLabConfig(params)
	require.NoError(tb, err)
	return config
}

// NewClaimsConfig returns a config by which the package cargo/demo trusts the
// workloads of one Buildkite pipeline, after the changes.
func NewClaimsConfig(tb testing.TB, changes ...func(*domain.ClaimsConfigParams)) domain.ClaimsConfig {
	tb.Helper()
	params := domain.ClaimsConfigParams{
		CreatedAt: Now(), Package: domain.Package{Ecosystem: "cargo", Name: "demo"},
		Provider: "buildkite", Issuer: "https://agent.buildkite.com",
		Key: "sha256:octo", Source: "organization_slug=octo, pipeline_slug=release",
		Claims: map[string][]string{"organization_slug": {"octo"}, "pipeline_slug": {"release"}, "build_branch": {"main"}},
	}
	for _, change := range changes {
		change(&params)
	}
	config, err := domain.NewClaimsConfig(params)
	require.NoError(tb, err)
	return config
}

// NewToken returns a new token for claims that the configs justify.
func NewToken(claims domain.Claims, configs ...domain.Config) domain.AccessToken {
	var grants []domain.Grant
	for _, c := range configs {
		grants = append(grants, c.Common().Grant())
	}
	return domain.Mint(sha256.Sum256([]byte(rand.Text())), grants, claims, Now(), domain.DefaultTokenTTL)
}
