package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestNewGitLabConfigKeepsWhatItWasGiven(t *testing.T) {
	environment := "Production"
	params := gitlabParams()
	params.ID, params.Environment = 7, &environment
	params.Pinned = map[string]string{"namespace_id": "72", "project_id": "20"}

	config, err := domain.NewGitLabConfig(params)
	environment = "changed"

	require.NoError(t, err)
	require.Equal(t, int64(7), config.ID())
	require.Equal(t, params.CreatedAt, config.CreatedAt())
	require.Equal(t, params.Package, config.Package())
	require.Equal(t, params.Issuer, config.Issuer())
	require.Equal(t, domain.Repository{Owner: "Octo-Group/tools", Name: "Octo.Project"}, config.Project())
	require.Equal(t, "octo-group/tools/octo.project", config.Common().Key)
	require.Equal(t, map[string]string{"namespace_id": "72", "project_id": "20"}, config.Common().Pinned)
	require.Equal(t, ".gitlab-ci.yml", config.WorkflowFilepath())
	got, ok := config.Environment()
	require.True(t, ok)
	require.Equal(t, "Production", got)
	require.Equal(t, domain.Grant{Package: params.Package, Provider: "gitlab", ConfigID: 7}, config.Grant())
}

func TestNewGitLabConfigWithoutEnvironmentAsksForNone(t *testing.T) {
	config, err := domain.NewGitLabConfig(gitlabParams())

	require.NoError(t, err)
	_, ok := config.Environment()
	require.False(t, ok)
	require.Empty(t, config.Common().Pinned)
}

func TestNewGitLabConfigAcceptsTheBoundsOfTheRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.GitLabConfigParams)
	}{
		{"a user's namespace", func(p *domain.GitLabConfigParams) { p.Namespace = "ferris" }},
		{"twenty subgroups", func(p *domain.GitLabConfigParams) { p.Namespace = "a" + strings.Repeat("/b", 20) }},
		{"a namespace of 255 characters", func(p *domain.GitLabConfigParams) { p.Namespace = strings.Repeat("n", 255) }},
		{"a namespace with dots, hyphens and underscores", func(p *domain.GitLabConfigParams) { p.Namespace = "_octo.org-1/a_b.c" }},
		{"a segment that begins with a digit", func(p *domain.GitLabConfigParams) { p.Namespace = "1octo" }},
		{"a segment of one character", func(p *domain.GitLabConfigParams) { p.Namespace = "a/b/c" }},
		{"a segment with git in front", func(p *domain.GitLabConfigParams) { p.Namespace = "git.example" }},
		{"a project of 255 characters", func(p *domain.GitLabConfigParams) { p.Project = strings.Repeat("p", 255) }},
		{"a project called git", func(p *domain.GitLabConfigParams) { p.Project = "git" }},
		{"a file in a folder", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = "ci/release/publish.yaml" }},
		{"a file with a space and dots", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = "my ci/..release...yml" }},
		{"a file of 255 characters", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = strings.Repeat("w", 251) + ".yml" }},
		{"a file of 255 characters beyond ASCII", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = strings.Repeat("ü", 251) + ".yml" }},
		{"an environment with a slash", func(p *domain.GitLabConfigParams) { p.Environment = new("review/main") }},
		{"one pinned ID of the two", func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"namespace_id": "1"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := gitlabParams()
			tt.change(&params)

			_, err := domain.NewGitLabConfig(params)

			require.NoError(t, err)
		})
	}
}

func TestNewGitLabConfigRefusesWhatBreaksTheRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.GitLabConfigParams)
		names  string // What the refusal names.
	}{
		{"no package", func(p *domain.GitLabConfigParams) { p.Package = domain.Package{} }, "ecosystem"},
		{"no issuer", func(p *domain.GitLabConfigParams) { p.Issuer = "" }, "issuer"},
		{"an empty environment", func(p *domain.GitLabConfigParams) { p.Environment = new("") }, "environment"},
		{"an environment with a newline", func(p *domain.GitLabConfigParams) { p.Environment = new("production\n") }, "environment"},
		{"a pinned ID of GitHub", func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"repository_id": "1"} }, `"repository_id"`},
		{"a pinned namespace that is a name", func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"namespace_id": "octo"} }, "namespace_id"},
		{"a pinned project that is empty", func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"project_id": ""} }, "project_id"},
		{"a namespace of 256 characters", func(p *domain.GitLabConfigParams) { p.Namespace = strings.Repeat("n", 256) }, "namespace"},
		{"a project of 256 characters", func(p *domain.GitLabConfigParams) { p.Project = strings.Repeat("p", 256) }, "project"},
		{"a project in a subgroup", func(p *domain.GitLabConfigParams) { p.Project = "tools/project" }, "project"},
		{"a file of 256 characters", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = strings.Repeat("w", 252) + ".yml" }, "filepath"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := gitlabParams()
			tt.change(&params)

			config, err := domain.NewGitLabConfig(params)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Contains(t, domain.MessageOf(err), tt.names)
			require.Zero(t, config)
		})
	}
}

func TestNewGitLabConfigRefusesBadSegments(t *testing.T) {
	segments := map[string]string{
		"empty":                         "",
		"a dot":                         ".",
		"two dots":                      "..",
		"two dots inside":               "a..b",
		"a leading dot":                 ".octo",
		"a leading hyphen":              "-octo",
		"a space":                       "octo org",
		"a leading space":               " octo",
		"a trailing newline":            "octo\n",
		"NUL":                           "octo\x00",
		"an at sign":                    "octo@org",
		"a colon":                       "octo:org",
		"a percent sign":                "octo%2forg",
		"a backslash":                   `octo\org`,
		"a plus":                        "octo+org",
		"letters beyond ASCII":          "größe",
		"a Kelvin sign":                 "\u212ait",
		"a slash beyond ASCII":          "octo\u2215org",
		"the ending .git":               "octo.git",
		"the ending .atom":              "octo.atom",
		"the ending .git in upper case": "octo.GIT",
		"the ending .Atom":              "octo.Atom",
		"the ending .git alone":         ".git",
	}
	for name, segment := range segments {
		places := map[string]func(*domain.GitLabConfigParams){
			"as the namespace":  func(p *domain.GitLabConfigParams) { p.Namespace = segment },
			"as the group":      func(p *domain.GitLabConfigParams) { p.Namespace = segment + "/tools" },
			"as the subgroup":   func(p *domain.GitLabConfigParams) { p.Namespace = "octo/" + segment + "/tools" },
			"as the last group": func(p *domain.GitLabConfigParams) { p.Namespace = "octo/" + segment },
			"as the project":    func(p *domain.GitLabConfigParams) { p.Project = segment },
		}
		for place, change := range places {
			t.Run(name+" "+place, func(t *testing.T) {
				params := gitlabParams()
				change(&params)

				config, err := domain.NewGitLabConfig(params)

				requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
				require.Regexp(t, `^The (namespace|project) ".*" is not valid\.`, domain.MessageOf(err))
				require.Zero(t, config)
			})
		}
	}
}

func TestNewGitLabConfigRefusesFilepathsThatAreNoFileInTheProject(t *testing.T) {
	tests := []struct{ name, path string }{
		{"empty", ""},
		{"absolute", "/.gitlab-ci.yml"},
		{"two slashes", "ci//release.yml"},
		{"a trailing slash", "release.yml/"},
		{"the folder above", "../release.yml"},
		{"the folder above, inside", "ci/../release.yml"},
		{"this folder", "./release.yml"},
		{"this folder, inside", "ci/./release.yml"},
		{"a reference behind", ".gitlab-ci.yml@refs/heads/main"},
		{"a file of another project", ".gitlab-ci.yml@octo-group/tools"},
		{"a file of another project at a reference", "release.yml@octo-group/tools:main.yml"},
		{"an at sign inside", "a@b/release.yml"},
		{"a backslash", `ci\release.yml`},
		{"the folder above behind a backslash", `..\release.yml`},
		{"without ending", "release"},
		{"another ending", "release.json"},
		{"the ending in upper case", "release.YML"},
		{"a space behind", "release.yml "},
		{"a newline behind", "release.yml\n"},
		{"NUL inside", "release\x00.yml"},
		{"a control character beyond ASCII", "release\u0085.yml"},
		{"not UTF-8", "release\xff.yml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := gitlabParams()
			params.WorkflowFilepath = tt.path

			config, err := domain.NewGitLabConfig(params)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Contains(t, domain.MessageOf(err), "The workflow filepath ")
			require.Zero(t, config)
		})
	}
}

func TestParseGitLabProjectCutsAtTheLastSlash(t *testing.T) {
	tests := []struct{ path, namespace, project string }{
		{"octo/repo", "octo", "repo"},
		{"octo/tools/cli/repo", "octo/tools/cli", "repo"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			got, err := domain.ParseGitLabProject(tt.path)

			require.NoError(t, err)
			require.Equal(t, domain.Repository{Owner: tt.namespace, Name: tt.project}, got)
			require.Equal(t, tt.path, got.String())
		})
	}
}

func TestParseGitLabProjectRefusesPathsOfNoProject(t *testing.T) {
	for _, path := range []string{"", "octo", "/", "/repo", "octo/", "octo//repo", "/octo/repo", "octo/repo/", "octo/../repo", "octo/repo.git", "octo/repo\n", `octo\repo`} {
		t.Run(path, func(t *testing.T) {
			got, err := domain.ParseGitLabProject(path)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Zero(t, got)
		})
	}
}

func gitlabParams() domain.GitLabConfigParams {
	return domain.GitLabConfigParams{
		CreatedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Package: domain.Package{Ecosystem: "cargo", Name: "demo"},
		Issuer: "https://gitlab.com", Namespace: "Octo-Group/tools", Project: "Octo.Project", WorkflowFilepath: ".gitlab-ci.yml",
	}
}
