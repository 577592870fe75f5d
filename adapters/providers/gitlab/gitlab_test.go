package gitlab_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/gitlab"
	"github.com/trustpub/trustpub/domain"
)

// everyClaim returns all claims that an ID token of gitlab.com may have.
func everyClaim() domain.RawClaims {
	return domain.RawClaims{
		"jti": "a-jti", "sub": "project_path:octo-group/tools/octo-project:ref_type:tag:ref:v1.2.3", "aud": "crates.io",
		"iss": "https://gitlab.com", "iat": json.Number("1"), "nbf": json.Number("1"), "exp": json.Number("2"),
		"namespace_id": "72", "namespace_path": "octo-group/tools", "project_id": "20", "project_path": "octo-group/tools/octo-project",
		"project_visibility": "public", "user_id": "1", "user_login": "octocat", "user_email": "octocat@example.com", "user_access_level": "owner",
		"pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "job_namespace_id": "72", "job_project_id": "20",
		"job_project_path": "octo-group/tools/octo-project", "ref": "v1.2.3", "ref_type": "tag", "ref_path": "refs/tags/v1.2.3",
		"ref_protected": "true", "groups_direct": []any{"octo-group"}, "environment": "prod", "environment_protected": "true",
		"deployment_tier": "production", "environment_action": "start", "runner_id": json.Number("1"), "runner_environment": "gitlab-hosted",
		"sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"ci_config_ref_uri": "gitlab.com/octo-group/tools/octo-project//.gitlab-ci.yml@refs/tags/v1.2.3",
	}
}

func newProvider(t *testing.T, issuer string) *gitlab.Provider {
	t.Helper()
	provider, err := gitlab.New(issuer)
	require.NoError(t, err)
	return provider
}

func TestAJobIsReadFromItsClaims(t *testing.T) {
	t.Parallel()
	got, err := newProvider(t, gitlab.DefaultIssuer).Workload(everyClaim())
	require.NoError(t, err)
	got.Details = domain.Details{}
	want := domain.Workload{
		Provider:    domain.ProviderGitLab,
		Repository:  domain.Repository{Owner: "octo-group/tools", Name: "octo-project"},
		OwnerID:     "72",
		IDs:         map[string]string{"namespace_id": "72", "project_id": "20"},
		Workflow:    ".gitlab-ci.yml",
		Environment: "prod",
	}
	require.Empty(t, cmp.Diff(want, got))
}

// TestEveryClaimIsAccountedFor fails when GitLab's list of claims and what becomes of
// each drift apart: a new claim has to be recorded, or ignored knowingly.
func TestEveryClaimIsAccountedFor(t *testing.T) {
	t.Parallel()
	checkedByTheVerifier := []string{"aud", "exp", "iat", "iss", "jti", "nbf"}
	ignored := map[string]string{
		"sub":           "recorded by the verifier, and never matched on: its format can be customised",
		"user_email":    "a person's address has no place in the records",
		"groups_direct": "a list of the user's groups, which says nothing about the job",
	}
	workload, err := newProvider(t, gitlab.DefaultIssuer).Workload(everyClaim())
	require.NoError(t, err)
	for name, value := range everyClaim() {
		recorded, isRecorded := workload.Details.Map()[name]
		if _, isIgnored := ignored[name]; isIgnored || slices.Contains(checkedByTheVerifier, name) {
			require.False(t, isRecorded, name)
			continue
		}
		require.True(t, isRecorded, "%s is neither recorded nor ignored", name)
		if text, ok := value.(string); ok {
			require.Equal(t, text, recorded)
		}
	}
}

func TestWhatAnotherInstanceOrVersionSaysIsReadToo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		issuer string
		change func(domain.RawClaims)
		file   string
	}{
		{"no environment", "", func(c domain.RawClaims) { c["environment"] = nil }, ".gitlab-ci.yml"},
		{"IDs as numbers", "", func(c domain.RawClaims) {
			c["project_id"], c["job_project_id"], c["namespace_id"] = json.Number("20"), json.Number("20"), json.Number("72")
		}, ".gitlab-ci.yml"},
		{"no job project, before GitLab 18", "", func(c domain.RawClaims) { delete(c, "job_project_id") }, ".gitlab-ci.yml"},
		{"a file in a folder, on a branch with an at sign", "", func(c domain.RawClaims) {
			c["ci_config_ref_uri"] = "gitlab.com/octo-group/tools/octo-project//ci/release.yml@refs/heads/a@b//c.yml"
		}, "ci/release.yml"},
		{"the path in another case", "", func(c domain.RawClaims) {
			c["ci_config_ref_uri"] = "gitlab.com/Octo-Group/tools/octo-PROJECT//.gitlab-ci.yml@refs/heads/main"
		}, ".gitlab-ci.yml"},
		{"an instance with a port and a path", "https://git.example:8443/gitlab", func(c domain.RawClaims) {
			c["ci_config_ref_uri"] = "git.example:8443/gitlab/octo-group/tools/octo-project//x.yml@refs/heads/main"
		}, "x.yml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims := maps.Clone(everyClaim())
			tt.change(claims)
			issuer := tt.issuer
			if issuer == "" {
				issuer = gitlab.DefaultIssuer
			}
			workload, err := newProvider(t, issuer).Workload(claims)
			require.NoError(t, err)
			require.Equal(t, tt.file, workload.Workflow)
		})
	}
}

func TestAJobThatDoesNotSayWhoItIsIsRefused(t *testing.T) {
	t.Parallel()
	const project = "gitlab.com/octo-group/tools/octo-project"
	tests := []struct {
		name, claim string
		value       any
		code        domain.Code
		says        string
	}{
		{"no project path", "project_path", nil, domain.CodeMissingClaim, "project_path"},
		{"a project path without a namespace", "project_path", "octo-project", domain.CodeInvalidClaim, "project_path"},
		{"a project path beyond ASCII", "project_path", "octo-group/tool\u017f/octo-project", domain.CodeInvalidClaim, "project_path"},
		{"an empty namespace segment", "project_path", "octo-group//octo-project", domain.CodeInvalidClaim, "project_path"},
		{"no namespace ID", "namespace_id", nil, domain.CodeMissingClaim, "namespace_id"},
		{"a namespace ID that is no number", "namespace_id", "72x", domain.CodeInvalidClaim, "namespace_id"},
		{"a namespace ID of zero", "namespace_id", "0", domain.CodeInvalidClaim, "namespace_id"},
		{"no project ID", "project_id", "", domain.CodeMissingClaim, "project_id"},
		{"a project ID with a fraction", "project_id", json.Number("20.0"), domain.CodeInvalidClaim, "project_id"},
		{"a project ID that is a list", "project_id", []any{"20"}, domain.CodeMissingClaim, "project_id"},
		{"a job of another project", "job_project_id", "21", domain.CodeInvalidClaim, "project 21"},
		{"a job project that is no number", "job_project_id", true, domain.CodeMissingClaim, "job_project_id"},
		{"a pipeline that is defined elsewhere", "ci_config_ref_uri", nil, domain.CodeMissingClaim, "not defined by a CI config file of the project itself"},
		{"the file of another project", "ci_config_ref_uri", "gitlab.com/octo-group/tools/evil//.gitlab-ci.yml@refs/heads/main", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"the file of another instance", "ci_config_ref_uri", "evil.example/octo-group/tools/octo-project//.gitlab-ci.yml@refs/heads/main", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"an instance that only begins alike", "ci_config_ref_uri", "gitlab.com.evil.example/octo-group/tools/octo-project//.gitlab-ci.yml@refs/heads/main", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"a file from the web", "ci_config_ref_uri", "https://evil.example/x.yml", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"no file", "ci_config_ref_uri", project, domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"a file without a name", "ci_config_ref_uri", project + "//@refs/heads/main", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"no reference", "ci_config_ref_uri", project + "//.gitlab-ci.yml", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"an empty reference", "ci_config_ref_uri", project + "//.gitlab-ci.yml@refs/", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"a file of another project that is called like one of this", "ci_config_ref_uri", project + "//.gitlab-ci.yml@evil/project", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"a control character in the file", "ci_config_ref_uri", project + "//a\n.yml@refs/heads/main", domain.CodeInvalidClaim, "ci_config_ref_uri"},
		{"an environment that is no string", "environment", true, domain.CodeMissingClaim, "environment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims := maps.Clone(everyClaim())
			claims[tt.claim] = tt.value
			workload, err := newProvider(t, gitlab.DefaultIssuer).Workload(claims)
			require.Equal(t, domain.KindRefused, domain.KindOf(err))
			require.Equal(t, tt.code, domain.CodeOf(err), "%v", err)
			require.Contains(t, domain.MessageOf(err), tt.says)
			require.Empty(t, cmp.Diff(domain.Workload{}, workload))
		})
	}
}

func TestAMergeRequestIsRefusedWhereTheIDTokenDoesNotSayWhoseCodeItRuns(t *testing.T) {
	t.Parallel()
	claims := maps.Clone(everyClaim())
	claims["pipeline_source"] = "merge_request_event"
	_, err := newProvider(t, gitlab.DefaultIssuer).Workload(claims)
	require.NoError(t, err, "a merge request of the project itself")
	delete(claims, "job_project_id")
	_, err = newProvider(t, gitlab.DefaultIssuer).Workload(claims)
	require.Equal(t, domain.CodeUnsupportedEvent, domain.CodeOf(err))
}

func TestAProviderNeedsAnIssuerThatNobodyCanReadAlong(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"", "gitlab.com", "http://gitlab.com", "https://gitlab.com/", "https://user@gitlab.com"} {
		_, err := gitlab.New(issuer)
		require.Error(t, err, issuer)
	}
	require.Equal(t, []string{"RS256"}, newProvider(t, gitlab.DefaultIssuer).Algorithms())
	require.True(t, newProvider(t, gitlab.DefaultIssuer).HasJWTID())
}

// FuzzConfigRef looks for a reference that is read as a file of the project although it
// is none.
func FuzzConfigRef(f *testing.F) {
	const project = "gitlab.com/octo-group/tools/octo-project//"
	for _, seed := range []string{"", project + ".gitlab-ci.yml@refs/heads/main", project + "a@b@refs/heads/x", project + "//@refs/heads/x", "@", "//"} {
		f.Add(seed)
	}
	provider, err := gitlab.New(gitlab.DefaultIssuer)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		claims := maps.Clone(everyClaim())
		claims["ci_config_ref_uri"] = text
		workload, err := provider.Workload(claims)
		if err != nil {
			require.Equal(t, domain.KindRefused, domain.KindOf(err))
			return
		}
		require.NotEmpty(t, workload.Workflow)
		require.NotContains(t, workload.Workflow, "@")
		require.True(t, strings.HasSuffix(strings.ToLower(text[:len(project)]), "octo-group/tools/octo-project//"), text)
		require.True(t, strings.HasPrefix(text[len(project):], workload.Workflow+"@refs/"), text)
	})
}
