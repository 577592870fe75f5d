// Package examples_test runs the scripts of the example workflow as a job would.
package examples_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const (
	adminToken = "0123456789abcdef0123456789abcdef"
	config     = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`
)

// steps returns the scripts of the example workflow by the names of their steps.
func steps(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile("github-actions.yml")
	require.NoError(t, err)
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	require.NoError(t, yaml.Unmarshal(content, &workflow))
	scripts := map[string]string{}
	for _, step := range workflow.Jobs["publish"].Steps {
		scripts[step.Name] = step.Run
	}
	return scripts
}

// runStep runs a script with the environment of a job's step, and returns what it
// printed.
func runStep(t *testing.T, script string, environment ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-c", script)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestTheExampleWorkflowExchangesAndRevokesWithCurlAndJqOnly(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err, "this test runs the example as a CI job does, so install %s", tool)
	}
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	settings, err := bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_LISTEN": "127.0.0.1:0", "DATABASE_URL": "sqlite::memory:", "DOMAIN_NAME": "registry.example",
		"TRUSTPUB_PROVIDERS": "github=" + ci.URL(), "TRUSTPUB_ADMIN_TOKEN": adminToken,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	addresses, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- bootstrap.Serve(ctx, settings, slog.New(slog.DiscardHandler), func(a net.Addr) { addresses <- a })
	}()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	registry := "http://" + (<-addresses).String()
	scripts := steps(t)
	output := filepath.Join(t.TempDir(), "output")
	job := []string{
		"REGISTRY=" + registry, "AUDIENCE=registry.example", "GITHUB_OUTPUT=" + output,
		"ACTIONS_ID_TOKEN_REQUEST_URL=" + ci.RequestURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + ci.RequestToken(),
	}

	printed, err := runStep(t, scripts["Exchange the ID token"], job...)
	require.Error(t, err, "without a publisher the step must fail")
	require.Contains(t, printed, "::error::No publisher is configured for the repository")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, registry+"/api/v1/trusted_publishing/github_configs", strings.NewReader(config))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+adminToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	printed, err = runStep(t, scripts["Exchange the ID token"], job...)
	require.NoError(t, err, printed)
	content, err := os.ReadFile(output)
	require.NoError(t, err)
	token, found := strings.CutPrefix(strings.TrimSpace(string(content)), "token=")
	require.True(t, found)
	require.Equal(t, "::add-mask::"+token+"\n", printed, "the token is masked before it is used, and not printed otherwise")

	printed, err = runStep(t, scripts["Revoke the access token"], append(job, "TOKEN="+token)...)
	require.NoError(t, err, printed)
}
