package domain_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

type configChange = func(*domain.GitHubConfigParams)

func TestAuthorizeGrantsThePackagesOfAllConfigsThatMatch(t *testing.T) {
	configs := githubConfigs(t,
		func(p *domain.GitHubConfigParams) { p.Package.Name = "one" },
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.WorkflowFilename = "other-workflow", "ci.yml" },
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.OwnerID = "other-owner", 66 },
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.Environment = "environment", new("PRODUCTION") },
		func(p *domain.GitHubConfigParams) {
			p.Package.Name, p.Environment = "other-environment", new("staging")
		},
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.Repository = "other-repository", "x" },
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.Issuer = "other-issuer", "https://ghes.example" },
		func(p *domain.GitHubConfigParams) { p.Package.Name = "one" },
	)
	claims := trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Environment = "production" })

	got, err := domain.Authorize(configs, claims)

	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]domain.Grant{
		grant("one", 1), grant("environment", 4), grant("one", 8),
	}, got))
}

func TestAuthorizeRefusesWithTheRuleThatTheNearestConfigsFail(t *testing.T) {
	var (
		otherIssuer      = func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example" }
		otherRepository  = func(p *domain.GitHubConfigParams) { p.Repository = "x" }
		otherOwner       = func(p *domain.GitHubConfigParams) { p.OwnerID = 66 }
		thirdOwner       = func(p *domain.GitHubConfigParams) { p.OwnerID = 67 }
		otherWorkflow    = func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "ci.yml" }
		thirdWorkflow    = func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "a.yml" }
		otherEnvironment = func(p *domain.GitHubConfigParams) { p.Environment = new("production") }
		thirdEnvironment = func(p *domain.GitHubConfigParams) { p.Environment = new("beta") }
		allWrong         = func(p *domain.GitHubConfigParams) {
			p.OwnerID, p.WorkflowFilename, p.Environment = 66, "ci.yml", new("production")
		}
	)
	const (
		noPublisher   = `No publisher is configured for the repository "octo-org/octo-repo" at the issuer "https://token.actions.githubusercontent.com".`
		ownerMismatch = `The owner of the repository "octo-org/octo-repo" has the ID "65", but its publishers were configured for the ID `
		fileMismatch  = `The job was started by the workflow file "release.yml", but the publishers of the repository "octo-org/octo-repo" expect `
		noEnvironment = `The job runs in no environment, but the publishers of the repository "octo-org/octo-repo" for its workflow expect `
	)
	tests := []struct {
		name    string
		configs []configChange
		code    domain.Code
		message string // How it begins.
	}{
		{"no config", nil, domain.CodeNoPublisher, noPublisher},
		{"another issuer", []configChange{otherIssuer}, domain.CodeNoPublisher, noPublisher},
		{"another repository", []configChange{otherRepository}, domain.CodeNoPublisher, noPublisher},
		{"another owner", []configChange{otherOwner}, domain.CodeOwnerIDMismatch, ownerMismatch + `"66": `},
		{"two other owners", []configChange{thirdOwner, otherOwner}, domain.CodeOwnerIDMismatch, ownerMismatch + `"66" or "67": `},
		{"another workflow", []configChange{otherWorkflow}, domain.CodeWorkflowMismatch, fileMismatch + `"ci.yml". `},
		{"two other workflows, one of them twice", []configChange{otherWorkflow, thirdWorkflow, otherWorkflow}, domain.CodeWorkflowMismatch, fileMismatch + `"a.yml" or "ci.yml". `},
		{"no environment", []configChange{otherEnvironment}, domain.CodeEnvironmentMismatch, noEnvironment + `"production". `},
		{"neither of two environments", []configChange{otherEnvironment, thirdEnvironment}, domain.CodeEnvironmentMismatch, noEnvironment + `"beta" or "production". `},
		{"all wrong", []configChange{allWrong}, domain.CodeOwnerIDMismatch, ownerMismatch + `"66": `},
		{"the owner is nearer than the repository", []configChange{otherRepository, otherOwner, otherIssuer}, domain.CodeOwnerIDMismatch, ownerMismatch + `"66": `},
		{"the workflow is nearer than the owner", []configChange{otherOwner, otherWorkflow, thirdOwner}, domain.CodeWorkflowMismatch, fileMismatch + `"ci.yml". `},
		{"the environment is nearer than the workflow", []configChange{otherEnvironment, otherWorkflow, allWrong}, domain.CodeEnvironmentMismatch, noEnvironment + `"production". `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.Authorize(githubConfigs(t, tt.configs...), trustpubtest.NewClaims(t))

			requireError(t, err, domain.KindRefused, tt.code)
			require.Equal(t, tt.message, domain.MessageOf(err)[:min(len(tt.message), len(domain.MessageOf(err)))])
			require.Nil(t, got)
		})
	}
}

func TestARefusalShowsTheEnvironmentThatTheJobRunsIn(t *testing.T) {
	configs := githubConfigs(t, func(p *domain.GitHubConfigParams) { p.Environment = new("production") })
	claims := trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Environment = "staging" })

	_, err := domain.Authorize(configs, claims)

	require.Contains(t, domain.MessageOf(err), `The job runs in the environment "staging", but`)
}

func TestNarrowKeepsTheGrantsOfThePackagesAskedFor(t *testing.T) {
	grants := []domain.Grant{grant("a", 1), grant("b", 2), grant("a", 3), grant("c", 4)}
	tests := []struct {
		name string
		only []domain.Package
		want []domain.Grant
	}{
		{"none asked for keeps all", nil, grants},
		{"one", []domain.Package{cargo("b")}, []domain.Grant{grant("b", 2)}},
		{"one with two configs", []domain.Package{cargo("a")}, []domain.Grant{grant("a", 1), grant("a", 3)}},
		{"two, in the order of the grants", []domain.Package{cargo("c"), cargo("b")}, []domain.Grant{grant("b", 2), grant("c", 4)}},
		{"all", []domain.Package{cargo("c"), cargo("a"), cargo("b"), cargo("a")}, grants},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.Narrow(grants, tt.only)

			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.want, got))
			require.Equal(t, []domain.Grant{grant("a", 1), grant("b", 2), grant("a", 3), grant("c", 4)}, grants, "what was given is unchanged")
		})
	}
}

func TestNarrowRefusesAPackageThatNoGrantCovers(t *testing.T) {
	grants := []domain.Grant{grant("a", 1), grant("b", 2)}
	tests := []struct {
		name string
		only []domain.Package
	}{
		{"another name", []domain.Package{cargo("x")}},
		{"another ecosystem", []domain.Package{{Ecosystem: "npm", Name: "a"}}},
		{"the name in another case", []domain.Package{cargo("A")}},
		{"one of several", []domain.Package{cargo("a"), cargo("x"), cargo("b")}},
		{"the zero value", []domain.Package{{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.Narrow(grants, tt.only)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidScope)
			require.Nil(t, got)
		})
	}
}

func BenchmarkAuthorize(b *testing.B) {
	claims := trustpubtest.NewClaims(b)
	for _, n := range []int{1, 5, 50} {
		b.Run(fmt.Sprintf("configs=%d", n), func(b *testing.B) {
			changes := make([]configChange, n)
			for i := range changes {
				changes[i] = func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "ci.yml" }
			}
			changes[n-1] = func(*domain.GitHubConfigParams) {}
			configs := githubConfigs(b, changes...)
			b.ReportAllocs()
			for b.Loop() {
				_, err := domain.Authorize(configs, claims)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// githubConfigs returns a config for each change, numbered from 1.
func githubConfigs(tb testing.TB, changes ...configChange) []domain.Config {
	tb.Helper()
	var configs []domain.Config
	for i, change := range changes {
		configs = append(configs, trustpubtest.NewGitHubConfig(tb, change, func(p *domain.GitHubConfigParams) { p.ID = int64(i + 1) }))
	}
	return configs
}

func cargo(name string) domain.Package { return domain.Package{Ecosystem: "cargo", Name: name} }

func grant(name string, config int64) domain.Grant {
	return domain.Grant{Package: cargo(name), Provider: domain.ProviderGitHub, ConfigID: config}
}
