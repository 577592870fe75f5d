package domain_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestNewGitHubConfigKeepsWhatItWasGiven(t *testing.T) {
	environment := "Production"
	params := githubParams()
	params.ID, params.Environment = 7, &environment

	config, err := domain.NewGitHubConfig(params)
	environment = "changed"

	require.NoError(t, err)
	require.Equal(t, int64(7), config.ID())
	require.Equal(t, params.CreatedAt, config.CreatedAt())
	require.Equal(t, params.Package, config.Package())
	require.Equal(t, params.Issuer, config.Issuer())
	require.Equal(t, domain.Repository{Owner: params.Owner, Name: params.Repository}, config.Repository())
	require.Equal(t, params.OwnerID, config.OwnerID())
	require.Equal(t, params.WorkflowFilename, config.WorkflowFilename())
	got, ok := config.Environment()
	require.True(t, ok)
	require.Equal(t, "Production", got)
	require.Equal(t, "production", config.EnvironmentKey())
	require.Equal(t, domain.Grant{Package: params.Package, Provider: "github", ConfigID: 7}, config.Grant())
}

func TestNewGitHubConfigWithoutEnvironmentAsksForNone(t *testing.T) {
	config, err := domain.NewGitHubConfig(githubParams())

	require.NoError(t, err)
	_, ok := config.Environment()
	require.False(t, ok)
	require.Empty(t, config.EnvironmentKey())
}

func TestNewGitHubConfigAcceptsTheBoundsOfTheRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.GitHubConfigParams)
	}{
		{"owner of 255 characters", func(p *domain.GitHubConfigParams) { p.Owner = strings.Repeat("o", 255) }},
		{"repository of 255 characters", func(p *domain.GitHubConfigParams) { p.Repository = strings.Repeat("r", 255) }},
		{"workflow of 255 characters", func(p *domain.GitHubConfigParams) { p.WorkflowFilename = strings.Repeat("w", 251) + ".yml" }},
		{"workflow of 255 characters beyond ASCII", func(p *domain.GitHubConfigParams) { p.WorkflowFilename = strings.Repeat("ü", 251) + ".yml" }},
		{"workflow in yaml", func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "a.yaml" }},
		{"workflow with an at sign", func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "a.yml@b.yml" }},
		{"environment of 255 characters", func(p *domain.GitHubConfigParams) { p.Environment = new(strings.Repeat("e", 255)) }},
		{"environment of 255 characters beyond ASCII", func(p *domain.GitHubConfigParams) { p.Environment = new(strings.Repeat("é", 255)) }},
		{"environment of one character", func(p *domain.GitHubConfigParams) { p.Environment = new("e") }},
		{"environment with a space inside", func(p *domain.GitHubConfigParams) { p.Environment = new("a b") }},
		{"environment with a slash and a hash", func(p *domain.GitHubConfigParams) { p.Environment = new("a/b#c") }},
		{"owner ID of one", func(p *domain.GitHubConfigParams) { p.OwnerID = 1 }},
		{"the greatest owner ID", func(p *domain.GitHubConfigParams) { p.OwnerID = math.MaxInt64 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := githubParams()
			tt.change(&params)

			_, err := domain.NewGitHubConfig(params)

			require.NoError(t, err)
		})
	}
}

func TestNewGitHubConfigRefusesWhatBreaksTheRules(t *testing.T) {
	workflow := func(s string) func(*domain.GitHubConfigParams) {
		return func(p *domain.GitHubConfigParams) { p.WorkflowFilename = s }
	}
	environment := func(s string) func(*domain.GitHubConfigParams) {
		return func(p *domain.GitHubConfigParams) { p.Environment = &s }
	}
	tests := []struct {
		name   string
		change func(*domain.GitHubConfigParams)
		names  string // What the refusal names.
	}{
		{"no package", func(p *domain.GitHubConfigParams) { p.Package = domain.Package{} }, "ecosystem"},
		{"package without a name", func(p *domain.GitHubConfigParams) { p.Package.Name = "" }, "package name"},
		{"no owner", func(p *domain.GitHubConfigParams) { p.Owner = "" }, "owner"},
		{"owner with a slash", func(p *domain.GitHubConfigParams) { p.Owner = "octo/org" }, "owner"},
		{"owner of 256 characters", func(p *domain.GitHubConfigParams) { p.Owner = strings.Repeat("o", 256) }, "owner"},
		{"no repository", func(p *domain.GitHubConfigParams) { p.Repository = "" }, "repository name"},
		{"repository of dots", func(p *domain.GitHubConfigParams) { p.Repository = ".." }, "repository name"},
		{"repository of 256 characters", func(p *domain.GitHubConfigParams) { p.Repository = strings.Repeat("r", 256) }, "repository name"},
		{"no owner ID", func(p *domain.GitHubConfigParams) { p.OwnerID = 0 }, "owner ID"},
		{"owner ID below zero", func(p *domain.GitHubConfigParams) { p.OwnerID = -65 }, "owner ID"},
		{"no issuer", func(p *domain.GitHubConfigParams) { p.Issuer = "" }, "issuer"},

		{"no workflow", workflow(""), "workflow"},
		{"workflow in a folder", workflow("sub/release.yml"), "workflow"},
		{"workflow with its whole path", workflow(".github/workflows/release.yml"), "workflow"},
		{"workflow behind a backslash", workflow(`sub\release.yml`), "workflow"},
		{"workflow without ending", workflow("release"), "workflow"},
		{"workflow with another ending", workflow("release.json"), "workflow"},
		{"workflow with the ending in upper case", workflow("release.YML"), "workflow"},
		{"workflow with a space behind", workflow("release.yml "), "workflow"},
		{"workflow with a newline behind", workflow("release.yml\n"), "workflow"},
		{"workflow with a newline inside", workflow("a\nrelease.yml"), "workflow"},
		{"workflow with NUL", workflow("release\x00.yml"), "workflow"},
		{"workflow that is not UTF-8", workflow("release\xff.yml"), "workflow"},
		{"workflow of 256 characters", workflow(strings.Repeat("w", 252) + ".yml"), "workflow"},
		{"workflow with a ref", workflow("release.yml@refs/heads/main"), "workflow"},

		{"empty environment", environment(""), "environment"},
		{"environment of a space", environment(" "), "environment"},
		{"environment with a leading space", environment(" production"), "environment"},
		{"environment with a trailing space", environment("production "), "environment"},
		{"environment with a leading no-break space", environment("\u00a0production"), "environment"},
		{"environment with a tab", environment("produc\ttion"), "environment"},
		{"environment with a newline", environment("production\n"), "environment"},
		{"environment with NUL", environment("produc\x00tion"), "environment"},
		{"environment with delete", environment("produc\x7ftion"), "environment"},
		{"environment with a control character beyond ASCII", environment("produc\u0085tion"), "environment"},
		{"environment with a single quote", environment("produc'tion"), "environment"},
		{"environment with a double quote", environment(`produc"tion`), "environment"},
		{"environment with a backquote", environment("produc`tion"), "environment"},
		{"environment with a comma", environment("produc,tion"), "environment"},
		{"environment with a semicolon", environment("produc;tion"), "environment"},
		{"environment with a backslash", environment(`produc\tion`), "environment"},
		{"environment that is not UTF-8", environment("produc\xfftion"), "environment"},
		{"environment of 256 characters", environment(strings.Repeat("e", 256)), "environment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := githubParams()
			tt.change(&params)

			config, err := domain.NewGitHubConfig(params)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Contains(t, domain.MessageOf(err), tt.names)
			require.Zero(t, config)
		})
	}
}

func TestARefusalShowsHostileInputEscapedAndCut(t *testing.T) {
	params := githubParams()
	params.Owner = "\x1b[2J\u202e" + strings.Repeat("x", 5000)

	_, err := domain.NewGitHubConfig(params)

	message := domain.MessageOf(err)
	require.Contains(t, message, `\x1b[2J\u202e`)
	require.NotContains(t, message, "\x1b")
	require.NotContains(t, message, "\u202e")
	require.Less(t, len(message), 1000)
}

func githubParams() domain.GitHubConfigParams {
	return domain.GitHubConfigParams{
		CreatedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Package: domain.Package{Ecosystem: "cargo", Name: "demo"},
		Issuer: trustpubtest.Issuer, Owner: "Octo-Org", Repository: "Octo.Repo", OwnerID: 65, WorkflowFilename: "release.yml",
	}
}
