package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// inGitHubActions is the environment of a job that may ask for ID tokens.
func inGitHubActions(h *host) []string {
	return []string{
		"CI=true", "GITHUB_ACTIONS=true",
		"ACTIONS_ID_TOKEN_REQUEST_URL=" + h.github.RequestURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + h.github.RequestToken(),
	}
}

func TestNPMPublishesFromGitHubActionsWithoutAStoredToken(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	h.asked()
	job := newNPM(t, h, "@octo/app", "1.0.0", inGitHubActions(h)...)
	require.Contains(t, job.run(t, "publish"), "+ @octo/app@1.0.0")
	require.Equal(t, []string{
		"POST /-/npm/v1/oidc/token/exchange/package/@octo%2fapp 201",
		"GET /npm/-/package/@octo%2fapp/visibility 404", // No provenance, then.
		"GET /npm/@octo%2fapp 404",
		"PUT /npm/@octo%2fapp 200",
	}, h.asked())

	user := newNPM(t, h, "@octo/user", "1.0.0")
	user.run(t, "install", "@octo/app@latest")
	installed, err := os.ReadFile(filepath.Join(user.folder, "node_modules", "@octo", "app", "index.js"))
	require.NoError(t, err)
	require.Equal(t, "module.exports = 'published'\n", string(installed))

	job.write(t, "@octo/app", "1.1.0")
	job.run(t, "publish", "--provenance=false")
	require.Equal(t, "1.1.0\n", user.run(t, "view", "@octo/app", "version"))
}

func TestNPMPublishesFromGitLabWithoutAStoredToken(t *testing.T) {
	h := startHost(t)
	alice := newNPM(t, h, "@octo/app", "1.0.0")
	alice.signIn(t, aliceToken)
	alice.run(t, "trust", "gitlab", "@octo/app", "--file", ".gitlab-ci.yml", "--project", "octo-group/tools/octo-project", "--allow-publish", "--yes")

	idToken, err := h.gitlab.Sign(h.gitlab.GitLabClaims().With("aud", h.audience()))
	require.NoError(t, err)
	h.asked()
	job := newNPM(t, h, "@octo/app", "1.0.0", "CI=true", "GITLAB_CI=true", "NPM_ID_TOKEN="+idToken)
	require.Contains(t, job.run(t, "publish"), "+ @octo/app@1.0.0")
	require.Equal(t, []string{
		"POST /-/npm/v1/oidc/token/exchange/package/@octo%2fapp 201",
		"GET /npm/@octo%2fapp 404",
		"PUT /npm/@octo%2fapp 200",
	}, h.asked())

	another, err := h.gitlab.Sign(h.gitlab.GitLabClaims().With("aud", h.audience()).With("project_path", "octo-group/octo-project"))
	require.NoError(t, err)
	stranger := newNPM(t, h, "@octo/app", "1.0.1", "CI=true", "GITLAB_CI=true", "NPM_ID_TOKEN="+another)
	require.Contains(t, stranger.fail(t, "publish"), "ENEEDAUTH")
}

func TestNPMDoesNotPublishWhatTheJobIsNotTrustedWith(t *testing.T) {
	change := func(claim string, value any) func(issuer.Claims) issuer.Claims {
		return func(c issuer.Claims) issuer.Claims { return c.With(claim, value) }
	}
	tests := []struct {
		name, pkg string
		claims    func(issuer.Claims) issuer.Claims
		status    int
		says      string
	}{
		{"another workflow", "@octo/app", change("workflow_ref", "octo-org/octo-repo/.github/workflows/test.yml@refs/heads/main"), 404, "started by the workflow file"},
		{"another repository", "@octo/app", func(c issuer.Claims) issuer.Claims {
			return c.With("repository", "octo-org/fork").With("workflow_ref", "octo-org/fork/.github/workflows/release.yml@refs/heads/main")
		}, 404, "No publisher is configured"},
		{"another owner of that name", "@octo/app", change("repository_owner_id", "66"), 404, "the account is not the same one"},
		{"an event that strangers cause", "@octo/app", change("event_name", "pull_request_target"), 401, "pull_request_target"},
		{"another package", "@octo/other", change("ref_type", "tag"), 404, "No publisher is configured"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := startHost(t, test.claims)
			h.trust(t)
			h.asked()
			job := newNPM(t, h, test.pkg, "1.0.0", inGitHubActions(h)...)
			stderr := job.fail(t, "publish", "--loglevel=verbose")
			require.Contains(t, stderr, "ENEEDAUTH")
			require.Contains(t, stderr, test.says, "npm shows the reason at this level")
			require.Equal(t, []string{fmt.Sprintf("POST /-/npm/v1/oidc/token/exchange/package/%s %d", strings.Replace(test.pkg, "/", "%2f", 1), test.status)}, h.asked())
		})
	}
}

func TestNPMExchangesAnIDTokenOnce(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	idToken, err := h.github.Sign(h.github.GitHubClaims().With("aud", h.audience()))
	require.NoError(t, err)
	job := newNPM(t, h, "@octo/app", "1.0.0", "CI=true", "GITHUB_ACTIONS=true", "NPM_ID_TOKEN="+idToken)
	job.run(t, "publish")
	job.write(t, "@octo/app", "1.0.1")
	stderr := job.fail(t, "publish", "--loglevel=verbose")
	require.Contains(t, stderr, "ENEEDAUTH")
	require.Contains(t, stderr, "The ID token was exchanged before")
}

func TestNPMDoesNotGetATokenForAnIDTokenThatWasMadeForAnother(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	for _, audience := range []string{"npm:registry.npmjs.org", "127.0.0.1", h.origin()} {
		idToken, err := h.github.Sign(h.github.GitHubClaims().With("aud", audience))
		require.NoError(t, err)
		job := newNPM(t, h, "@octo/app", "1.0.0", "CI=true", "GITHUB_ACTIONS=true", "NPM_ID_TOKEN="+idToken)
		require.Contains(t, job.fail(t, "publish"), "ENEEDAUTH", audience)
	}
}

func TestAnAccessTokenPublishesNoOtherPackageAndNotForLong(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	token := h.exchange(t)

	other := newNPM(t, h, "@octo/other", "1.0.0")
	other.signIn(t, token)
	require.Contains(t, other.fail(t, "publish"), "does not cover the package")

	app := newNPM(t, h, "@octo/app", "1.0.0")
	app.signIn(t, token)
	h.later.Store(int64(29 * time.Minute))
	app.run(t, "publish")
	h.later.Store(int64(31 * time.Minute))
	app.write(t, "@octo/app", "1.0.1")
	require.Contains(t, app.fail(t, "publish"), "E401")
}

func TestAnAccessTokenPublishesNothingOnceItsPublisherIsGone(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	app := newNPM(t, h, "@octo/app", "1.0.0")
	app.signIn(t, h.exchange(t))
	alice := newNPM(t, h, "@octo/app", "1.0.0")
	alice.signIn(t, aliceToken)
	alice.run(t, "trust", "revoke", "@octo/app", "--id", "1")
	require.Contains(t, app.fail(t, "publish"), "E401")
}

func TestNPMPublishesWithTheTokenOfAnOwner(t *testing.T) {
	h := startHost(t)
	alice := newNPM(t, h, "@octo/app", "1.0.0")
	require.Contains(t, alice.fail(t, "publish"), "ENEEDAUTH")
	alice.signIn(t, aliceToken)
	require.Equal(t, "alice\n", alice.run(t, "whoami"))
	alice.run(t, "ping")
	alice.run(t, "publish")

	bob := newNPM(t, h, "@octo/app", "1.0.1")
	bob.signIn(t, bobToken)
	require.Contains(t, bob.fail(t, "publish"), "You do not own the package")

	require.NoError(t, os.WriteFile(filepath.Join(alice.folder, "index.js"), []byte("changed\n"), 0o600))
	require.Contains(t, alice.fail(t, "publish"), "cannot publish over")
	require.Contains(t, alice.fail(t, "publish", "--force"), "a version never changes")
}

func TestNPMTrustMakesListsAndRevokesPublishers(t *testing.T) {
	h := startHost(t)
	alice := newNPM(t, h, "@octo/app", "1.0.0")
	github := []string{"trust", "github", "@octo/app", "--file", "release.yml", "--repository", "octo-org/octo-repo", "--env", "production", "--allow-publish", "--yes"}
	require.Contains(t, alice.fail(t, github...), "E401")
	alice.signIn(t, aliceToken)
	require.Contains(t, alice.run(t, "trust", "list", "@octo/app"), "No trust configurations found")
	h.asked()
	made := alice.run(t, github...)
	for _, part := range []string{"id: 1", "file: release.yml", "repository: octo-org/octo-repo", "environment: production", "permissions: publish"} {
		require.Contains(t, made, part)
	}
	require.Equal(t, []string{"POST /npm/-/package/@octo%2fapp/trust 200"}, h.asked(), "npm asks for no more where the registry wants no second factor")

	var listed struct {
		ID, Type, File, Repository, Environment string
	}
	require.NoError(t, json.Unmarshal([]byte(alice.run(t, "trust", "list", "@octo/app", "--json")), &listed))
	require.Equal(t, "1", listed.ID)
	require.Equal(t, "github", listed.Type)
	require.Equal(t, "release.yml", listed.File)
	require.Equal(t, "octo-org/octo-repo", listed.Repository)
	require.Equal(t, "production", listed.Environment)

	require.Contains(t, alice.fail(t, github...), "identical publisher")
	staged := alice.fail(t, "trust", "github", "@octo/app", "--file", "x.yml", "--repository", "octo-org/octo-repo", "--allow-stage-publish", "--yes")
	require.Contains(t, staged, "--allow-publish")
	unknown := alice.fail(t, "trust", "github", "@octo/app", "--file", "x.yml", "--repository", "nobody/octo-repo", "--allow-publish", "--yes")
	require.Contains(t, unknown, "nobody")

	bob := newNPM(t, h, "@octo/other", "1.0.0")
	bob.signIn(t, bobToken)
	require.Contains(t, bob.fail(t, "trust", "list", "@octo/app"), "You do not own the package")
	require.Contains(t, bob.fail(t, "trust", "revoke", "@octo/other", "--id", "1"), "no publisher")

	alice.run(t, "trust", "revoke", "@octo/app", "--id", "1")
	require.Contains(t, alice.fail(t, "trust", "revoke", "@octo/app", "--id", "1"), "no publisher")
	status, body := h.call(t, http.MethodGet, h.url+"/-/package/@octo%2fapp/trust", aliceToken, "")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, "[]", body)
}
