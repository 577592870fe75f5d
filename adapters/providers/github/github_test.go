package github_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/domain"
)

// everyClaim are all the claims that an ID token of GitHub Actions can have, as a
// job of an enterprise with an environment and a custom property gets them.
func everyClaim() domain.RawClaims {
	return domain.RawClaims{
		"jti":                   "example-id",
		"sub":                   "repo:octo-org/octo-repo:environment:prod",
		"aud":                   "crates.io",
		"iss":                   github.DefaultIssuer,
		"iat":                   json.Number("1632492967"),
		"nbf":                   json.Number("1632492067"),
		"exp":                   json.Number("1632493867"),
		"actor":                 "octocat",
		"actor_id":              "12",
		"base_ref":              "main",
		"check_run_id":          "56789",
		"enterprise":            "octo-enterprise",
		"enterprise_id":         "7",
		"environment":           "prod",
		"environment_node_id":   "EN_kwDOAA",
		"event_name":            "workflow_dispatch",
		"head_ref":              "topic",
		"job_workflow_ref":      "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
		"job_workflow_sha":      "1111111111111111111111111111111111111111",
		"ref":                   "refs/heads/main",
		"ref_protected":         "false",
		"ref_type":              "branch",
		"repo_property_team":    "core",
		"repository":            "octo-org/octo-repo",
		"repository_id":         "74",
		"repository_owner":      "octo-org",
		"repository_owner_id":   "65",
		"repository_visibility": "private",
		"run_attempt":           "2",
		"run_id":                "123",
		"run_number":            "10",
		"runner_environment":    "github-hosted",
		"sha":                   "2222222222222222222222222222222222222222",
		"workflow":              "example-workflow",
		"workflow_ref":          "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main",
		"workflow_sha":          "3333333333333333333333333333333333333333",
	}
}

func with(name string, value any) domain.RawClaims {
	claims := everyClaim()
	claims[name] = value
	return claims
}

func without(name string) domain.RawClaims {
	claims := everyClaim()
	delete(claims, name)
	return claims
}

func newProvider(t *testing.T) *github.Provider {
	t.Helper()
	provider, err := github.New(github.DefaultIssuer)
	require.NoError(t, err)
	return provider
}

func TestAJobIsReadFromItsClaims(t *testing.T) {
	t.Parallel()
	got, err := newProvider(t).Workload(everyClaim())
	require.NoError(t, err)
	got.Details = domain.Details{}
	want := domain.Workload{
		Provider:   domain.ProviderGitHub,
		Repository: domain.Repository{Owner: "octo-org", Name: "octo-repo"},
		OwnerID:    "65",
		IDs:        map[string]string{"repository_id": "74"},
		Workflow:   "release.yml",
		ReusableWorkflow: domain.WorkflowRef{
			Repository: domain.Repository{Owner: "octo-org", Name: "octo-automation"}, File: "oidc.yml", Ref: "refs/heads/main",
		},
		Environment: "prod",
	}
	require.Empty(t, cmp.Diff(want, got))
}

// TestEveryClaimIsAccountedFor fails when GitHub's list of claims and what becomes
// of each drift apart: a new claim has to be recorded, or ignored knowingly.
func TestEveryClaimIsAccountedFor(t *testing.T) {
	t.Parallel()
	checkedByTheVerifier := []string{"aud", "exp", "iat", "iss", "jti", "nbf"}
	ignored := map[string]string{
		"sub":                "recorded by the verifier, and never matched on: its format can be customised",
		"repo_property_team": "custom properties have names and values that the workload's owner chooses",
	}
	workload, err := newProvider(t).Workload(everyClaim())
	require.NoError(t, err)
	for name, value := range everyClaim() {
		_, isIgnored := ignored[name]
		recorded, isRecorded := workload.Details.Map()[name]
		switch {
		case slices.Contains(checkedByTheVerifier, name), isIgnored:
			require.False(t, isRecorded, name)
		default:
			require.Equal(t, value, recorded, name)
		}
	}
	for name := range workload.Details.All() {
		require.Contains(t, everyClaim(), name, "what is recorded is a claim of GitHub's")
	}
}

func TestEventsUnderWhichForeignCodeCanRunAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		event any
		want  domain.Code
	}{
		{"pull_request_target", domain.CodeUnsupportedEvent},
		{"workflow_run", domain.CodeUnsupportedEvent},
		{"", domain.CodeMissingClaim},
		{nil, domain.CodeMissingClaim},
		{json.Number("1"), domain.CodeMissingClaim},
		{[]any{"push"}, domain.CodeMissingClaim},
		{"push\x00", domain.CodeInvalidClaim},
		{"push", ""},
		{"release", ""},
		{"workflow_dispatch", ""},
		{"schedule", ""},
		{"pull_request", ""},
		{"merge_group", ""},
		{"an_event_of_tomorrow", ""},
	}
	for _, tt := range tests {
		_, err := newProvider(t).Workload(with("event_name", tt.event))
		requireCode(t, err, tt.want)
	}
	t.Run("before anything else is looked at", func(t *testing.T) {
		t.Parallel()
		_, err := newProvider(t).Workload(domain.RawClaims{"event_name": "workflow_run"})
		requireCode(t, err, domain.CodeUnsupportedEvent)
	})
}

func requireCode(t *testing.T, err error, want domain.Code) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.Error(t, err)
	require.Equal(t, want, domain.CodeOf(err), "%v", err)
	require.Equal(t, domain.KindRefused, domain.KindOf(err), "%v", err)
	require.Regexp(t, `^[A-Z].*\.$`, domain.MessageOf(err))
	require.NotRegexp(t, `\.\.$`, domain.MessageOf(err))
}

func TestAClaimOfNoAcceptableFormIsRefused(t *testing.T) {
	t.Parallel()
	const ref = "@refs/heads/main"
	tests := []struct {
		name  string
		claim string
		value any
		want  domain.Code
	}{
		{"repository without owner", "repository", "octo-repo", domain.CodeInvalidClaim},
		{"repository with an empty owner", "repository", "/octo-repo", domain.CodeInvalidClaim},
		{"repository with an empty name", "repository", "octo-org/", domain.CodeInvalidClaim},
		{"repository of three parts", "repository", "octo-org/octo-repo/x", domain.CodeInvalidClaim},
		{"repository that is a path", "repository", "octo-org/..", domain.CodeInvalidClaim},
		{"repository with a Kelvin sign", "repository", "octo-org/octo-repo\u212a", domain.CodeInvalidClaim},
		{"repository with a long s", "repository", "octo-org/octo\u017frepo", domain.CodeInvalidClaim},
		{"repository with a NUL", "repository", "octo-org/octo-repo\x00", domain.CodeInvalidClaim},
		{"repository with a line break", "repository", "octo-org/octo-repo\n", domain.CodeInvalidClaim},
		{"repository in an array", "repository", []any{"octo-org/octo-repo"}, domain.CodeMissingClaim},
		{"owner ID in letters", "repository_owner_id", "octo-org", domain.CodeInvalidClaim},
		{"owner ID with a sign", "repository_owner_id", "+65", domain.CodeInvalidClaim},
		{"owner ID below zero", "repository_owner_id", "-65", domain.CodeInvalidClaim},
		{"owner ID with a sign behind it", "repository_owner_id", "65-", domain.CodeInvalidClaim},
		{"owner ID with a fraction", "repository_owner_id", "65.0", domain.CodeInvalidClaim},
		{"owner ID with a space", "repository_owner_id", "65 ", domain.CodeInvalidClaim},
		{"owner ID in Arabic digits", "repository_owner_id", "٦٥", domain.CodeInvalidClaim},
		{"owner ID of 21 digits", "repository_owner_id", strings.Repeat("1", 21), domain.CodeInvalidClaim},
		{"owner ID that is a number", "repository_owner_id", json.Number("65"), domain.CodeMissingClaim},
		{"empty owner ID", "repository_owner_id", "", domain.CodeMissingClaim},
		{"owner ID null", "repository_owner_id", nil, domain.CodeMissingClaim},
		{"repository ID in letters", "repository_id", "octo-repo", domain.CodeInvalidClaim},
		{"repository ID that is a number", "repository_id", json.Number("74"), domain.CodeMissingClaim},
		{"environment with a NUL", "environment", "prod\x00", domain.CodeInvalidClaim},
		{"environment that is a list", "environment", []any{"prod"}, domain.CodeMissingClaim},
		{"environment null", "environment", nil, ""},
		{"empty environment", "environment", "", ""},
		{"workflow of another repository", "workflow_ref", "evil/octo-repo/.github/workflows/release.yml" + ref, domain.CodeInvalidClaim},
		{"workflow of another repository of the owner", "workflow_ref", "octo-org/evil/.github/workflows/release.yml" + ref, domain.CodeInvalidClaim},
		{"workflow of a repository that only folds to the same", "workflow_ref", "octo-org/octo-\u212aepo/.github/workflows/release.yml" + ref, domain.CodeInvalidClaim},
		{"workflow in another directory", "workflow_ref", "octo-org/octo-repo/workflows/release.yml" + ref, domain.CodeInvalidClaim},
		{"workflow in a directory below", "workflow_ref", "octo-org/octo-repo/.github/workflows/x/release.yml" + ref, domain.CodeInvalidClaim},
		{"workflow that is no YAML", "workflow_ref", "octo-org/octo-repo/.github/workflows/release.sh" + ref, domain.CodeInvalidClaim},
		{"workflow without a reference", "workflow_ref", "octo-org/octo-repo/.github/workflows/release.yml", domain.CodeInvalidClaim},
		{"workflow of the repository in another case", "workflow_ref", "Octo-Org/Octo-Repo/.github/workflows/release.yml" + ref, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newProvider(t).Workload(with(tt.claim, tt.value))
			requireCode(t, err, tt.want)
			if tt.want != "" {
				require.Contains(t, domain.MessageOf(err), tt.claim, "the message names the claim")
			}
		})
	}
}

func TestOnlyTheClaimsThatDecideAreRequired(t *testing.T) {
	t.Parallel()
	required := []string{"event_name", "repository", "repository_owner_id", "workflow_ref"}
	for name := range everyClaim() {
		_, err := newProvider(t).Workload(without(name))
		if slices.Contains(required, name) {
			requireCode(t, err, domain.CodeMissingClaim)
			require.Contains(t, domain.MessageOf(err), name, "the message names the claim")
			continue
		}
		require.NoError(t, err, name)
	}
}

func TestTheWorkflowIsTheOneThatWasTriggered(t *testing.T) {
	t.Parallel()
	const in = "octo-org/octo-repo/.github/workflows/"
	tests := []struct{ name, ref, want string }{
		{"of a branch that looks like a workflow", in + "evil.yml@refs/heads/release.yml@refs/heads/main", "evil.yml"},
		{"of a tag that looks like a path", in + "evil.yml@refs/tags/.github/workflows/release.yml@v1", "evil.yml"},
		{"with a name that has an at sign", in + "release.yml@x.yml@refs/heads/main", "release.yml@x.yml"},
		{"at a commit", in + "release.yaml@2222222222222222222222222222222222222222", "release.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims := with("workflow_ref", tt.ref)
			claims["job_workflow_ref"] = in + "release.yml@refs/heads/main" // A reusable workflow decides nothing.
			claims["sub"] = "repo:octo-org/octo-repo:workflow:release.yml"
			workload, err := newProvider(t).Workload(claims)
			require.NoError(t, err)
			require.Equal(t, tt.want, workload.Workflow)
		})
	}
}

func TestTheRecordHoldsNothingThatADatabaseOrALogCannot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"text", "main", "main"},
		{"number", json.Number("12"), "12"},
		{"boolean", true, "true"},
		{"longest", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"too long", strings.Repeat("x", 1025), ""},
		{"number of too many digits", json.Number(strings.Repeat("9", 1025)), ""},
		{"NUL", "a\x00b", ""},
		{"line break", "a\nb", ""},
		{"invalid UTF-8", "a\xff", ""},
		{"empty", "", ""},
		{"null", nil, ""},
		{"list", []any{"a"}, ""},
		{"object", map[string]any{"a": "b"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			workload, err := newProvider(t).Workload(with("head_ref", tt.value))
			require.NoError(t, err)
			got, recorded := workload.Details.Map()["head_ref"]
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want != "", recorded)
		})
	}
}

func TestAnIssuerIsConfiguration(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{
		github.DefaultIssuer,
		github.DefaultIssuer + "/octo-enterprise",
		"https://github.example.com/_services/token",
		"https://token.actions.octo.ghe.com",
		"http://127.0.0.1:8080",
	} {
		provider, err := github.New(issuer)
		require.NoError(t, err)
		require.Equal(t, issuer, provider.Issuer())
		require.Equal(t, []string{"RS256"}, provider.Algorithms())
	}
	for _, issuer := range []string{"", "github", "http://github.example.com", github.DefaultIssuer + "/", github.DefaultIssuer + "?x=y"} {
		provider, err := github.New(issuer)
		require.Error(t, err, issuer)
		require.Nil(t, provider)
	}
}
