package domain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestNewGitHubConfigKeepsTheReusableWorkflow(t *testing.T) {
	params := githubParams()
	params.WorkflowRepository, params.ReusableWorkflowFilename = "Octo-Tools/Publish.It", "Publish.yaml"

	config, err := domain.NewGitHubConfig(params)

	require.NoError(t, err)
	repository, file, asked := config.ReusableWorkflow()
	require.True(t, asked)
	require.Equal(t, domain.Repository{Owner: "Octo-Tools", Name: "Publish.It"}, repository)
	require.Equal(t, "Publish.yaml", file)
}

func TestNewGitHubConfigWithoutReusableWorkflowAsksForNone(t *testing.T) {
	config, err := domain.NewGitHubConfig(githubParams())

	require.NoError(t, err)
	repository, file, asked := config.ReusableWorkflow()
	require.False(t, asked)
	require.Zero(t, repository)
	require.Empty(t, file)
}

func TestNewGitHubConfigRefusesHalfOrBadReusableWorkflows(t *testing.T) {
	tests := []struct {
		name, repository, file string
		names                  string // What the refusal names.
	}{
		{"a repository alone", "octo-tools/publish", "", "reusable workflow"},
		{"a file alone", "", "publish.yml", "reusable workflow"},
		{"a file in a folder", "octo-tools/publish", "sub/publish.yml", "reusable workflow"},
		{"a file with its whole path", "octo-tools/publish", ".github/workflows/publish.yml", "reusable workflow"},
		{"a file behind a backslash", "octo-tools/publish", `sub\publish.yml`, "reusable workflow"},
		{"a file without ending", "octo-tools/publish", "publish", "reusable workflow"},
		{"a file with the ending in upper case", "octo-tools/publish", "publish.YML", "reusable workflow"},
		{"a file with a ref", "octo-tools/publish", "publish.yml@refs/heads/main", "reusable workflow"},
		{"a file with a newline", "octo-tools/publish", "publish\n.yml", "reusable workflow"},
		{"a file of 256 characters", "octo-tools/publish", strings.Repeat("w", 252) + ".yml", "reusable workflow"},
		{"a repository without a slash", "octo-tools", "publish.yml", "owner/name"},
		{"a repository of three parts", "octo-tools/publish/x", "publish.yml", "repository name"},
		{"a repository without an owner", "/publish", "publish.yml", "owner"},
		{"a repository without a name", "octo-tools/", "publish.yml", "repository name"},
		{"a repository with a space", " octo-tools/publish", "publish.yml", "owner"},
		{"a repository by its URL", "https://github.com/octo-tools/publish", "publish.yml", "owner"},
		{"a repository beyond ASCII", "octo-tools/\u212apublish", "publish.yml", "repository name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := githubParams()
			params.WorkflowRepository, params.ReusableWorkflowFilename = tt.repository, tt.file

			config, err := domain.NewGitHubConfig(params)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Contains(t, domain.MessageOf(err), tt.names)
			require.Zero(t, config)
		})
	}
}

func TestGitHubConfigMatchesTheReusableWorkflowItNames(t *testing.T) {
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		claims func(*domain.Registered, *domain.Workload)
	}{
		{"the same", asksForReusable, stepsFrom("octo-tools/publish", "publish.yml", "refs/tags/v1")},
		{"at any other reference", asksForReusable, stepsFrom("octo-tools/publish", "publish.yml", "refs/heads/other")},
		{"its repository in another case", asksForReusable, stepsFrom("OCTO-Tools/Publish", "publish.yml", "refs/tags/v1")},
		{
			"the caller itself, named as the one that the steps come from",
			func(p *domain.GitHubConfigParams) {
				p.WorkflowRepository, p.ReusableWorkflowFilename = "octo-org/octo-repo", "release.yml"
			},
			stepsFrom("octo-org/octo-repo", "release.yml", "refs/heads/main"),
		},
		{"none asked for, none given", nil, nil},
		{"none asked for, one given", nil, stepsFrom("anybody/anything", "x.yml", "refs/heads/main")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := pair(t, tt.config, tt.claims)

			require.Nil(t, config.Match(claims))
		})
	}
}

func TestGitHubConfigRefusesStepsFromElsewhereAndStillChecksTheCaller(t *testing.T) {
	const expected = `"octo-tools/publish/publish.yml"`
	reusable := func(got string) domain.Mismatch {
		return domain.Mismatch{Rule: domain.RuleReusableWorkflow, Got: got, Expected: expected}
	}
	// caller changes what else the claims say of a job whose steps come from the right place.
	caller := func(change func(*domain.Workload)) func(*domain.Registered, *domain.Workload) {
		return func(r *domain.Registered, w *domain.Workload) {
			stepsFrom("octo-tools/publish", "publish.yml", "refs/tags/v1")(r, w)
			change(w)
		}
	}
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		claims func(*domain.Registered, *domain.Workload)
		want   domain.Mismatch
	}{
		{"no reference of the steps", asksForReusable, nil, reusable("no workflow that can be told")},
		{"another file", asksForReusable, stepsFrom("octo-tools/publish", "evil.yml", "refs/tags/v1"), reusable(`"octo-tools/publish/evil.yml"`)},
		{"the file in another case", asksForReusable, stepsFrom("octo-tools/publish", "Publish.yml", "refs/tags/v1"), reusable(`"octo-tools/publish/Publish.yml"`)},
		{"the file with the other ending", asksForReusable, stepsFrom("octo-tools/publish", "publish.yaml", "refs/tags/v1"), reusable(`"octo-tools/publish/publish.yaml"`)},
		{"another repository", asksForReusable, stepsFrom("octo-tools/other", "publish.yml", "refs/tags/v1"), reusable(`"octo-tools/other/publish.yml"`)},
		{"another owner", asksForReusable, stepsFrom("evil/publish", "publish.yml", "refs/tags/v1"), reusable(`"evil/publish/publish.yml"`)},
		{"the steps are the caller's own", asksForReusable, stepsFrom("octo-org/octo-repo", "release.yml", "refs/heads/main"), reusable(`"octo-org/octo-repo/release.yml"`)},
		{
			"the caller has the file of the reusable workflow, in its own repository",
			asksForReusable, stepsFrom("octo-org/octo-repo", "publish.yml", "refs/heads/main"), reusable(`"octo-org/octo-repo/publish.yml"`),
		},
		{
			"another caller", asksForReusable,
			caller(func(w *domain.Workload) { w.Workflow = "ci.yml" }),
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"ci.yml"`, Expected: `"release.yml"`},
		},
		{
			"the triggered workflow is the reusable one, which stands for no caller", asksForReusable,
			caller(func(w *domain.Workload) { w.Workflow = "publish.yml" }),
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"publish.yml"`, Expected: `"release.yml"`},
		},
		{
			"a caller in another repository", asksForReusable,
			caller(func(w *domain.Workload) { w.Repository = domain.Repository{Owner: "octo-tools", Name: "publish"} }),
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-tools/publish"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"a caller of another owner", asksForReusable,
			caller(func(w *domain.Workload) { w.OwnerID = "66" }),
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"66"`, Expected: `"65"`},
		},
		{
			"the steps of release.yml do not make up for a caller that is another", nil,
			func(r *domain.Registered, w *domain.Workload) {
				stepsFrom("octo-org/octo-repo", "release.yml", "refs/heads/main")(r, w)
				w.Workflow = "ci.yml"
			},
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"ci.yml"`, Expected: `"release.yml"`},
		},
		{
			"reusable workflow and environment: the reusable workflow goes first",
			func(p *domain.GitHubConfigParams) {
				asksForReusable(p)
				p.Environment = new("production")
			},
			stepsFrom("octo-tools/publish", "evil.yml", "refs/tags/v1"), reusable(`"octo-tools/publish/evil.yml"`),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := pair(t, tt.config, tt.claims)

			got := config.Match(claims)

			require.NotNil(t, got)
			require.Empty(t, cmp.Diff(tt.want, *got))
		})
	}
}

func TestARefusalSaysWhereTheStepsComeFromAndWhereTheyShould(t *testing.T) {
	config, claims := pair(t, asksForReusable, stepsFrom("evil/publish", "publish.yml", "refs/heads/main"))

	_, err := domain.Authorize([]domain.Config{config}, claims)

	requireError(t, err, domain.KindRefused, domain.CodeReusableWorkflowMismatch)
	require.Equal(t, `The steps of the job come from "evil/publish/publish.yml", but the publishers of the repository "octo-org/octo-repo" expect the reusable workflow "octo-tools/publish/publish.yml". Call that one, or change the publisher.`, domain.MessageOf(err))
}

// asksForReusable makes the config ask for steps of octo-tools/publish.
func asksForReusable(p *domain.GitHubConfigParams) {
	p.WorkflowRepository, p.ReusableWorkflowFilename = "octo-tools/publish", "publish.yml"
}

// stepsFrom lets the steps of the job come from a workflow file.
func stepsFrom(repository, file, ref string) func(*domain.Registered, *domain.Workload) {
	owner, name, _ := strings.Cut(repository, "/")
	return func(_ *domain.Registered, w *domain.Workload) {
		w.ReusableWorkflow = domain.WorkflowRef{Repository: domain.Repository{Owner: owner, Name: name}, File: file, Ref: ref}
	}
}
