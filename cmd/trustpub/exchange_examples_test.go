package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// jobMachine is the folder of a job with the programs that examples call: trustpub, which
// is the real one, cargo, which shows whether it has a token that works, and go, which
// runs or installs the real trustpub.
func jobMachine(t *testing.T) (folder string) {
	t.Helper()
	_, err := exec.LookPath("bash")
	require.NoError(t, err, "this test runs scripts as a CI job does, so install bash")
	executable, err := os.Executable()
	require.NoError(t, err)
	folder = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "path"), 0o700))
	require.NoError(t, os.Symlink(executable, filepath.Join(folder, "path", "trustpub")))
	for name, script := range map[string]string{
		"cargo": `echo "${CARGO_REGISTRY_TOKEN:-$TRUSTPUB_TOKEN}" >published`,
		"go": `case "$1 $2" in
"run github.com/trustpub/trustpub/cmd/trustpub@COMMIT") shift 2; exec trustpub "$@";;
"install github.com/trustpub/trustpub/cmd/trustpub@COMMIT") mkdir "$GOBIN" && ln -s "$(command -v trustpub)" "$GOBIN";;
*) echo "what is go $*?" >&2; exit 1;;
esac`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "path", name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	return folder
}

// runScript runs a script as a step of a job in the folder, and returns what it printed.
func runScript(t *testing.T, folder, script string, environment ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", script)
	command.Dir = folder
	command.Env = append([]string{
		"PATH=" + filepath.Join(folder, "path") + ":" + os.Getenv("PATH"), "RUNNER_TEMP=" + folder, "GOBIN=" + filepath.Join(folder, "bin"),
		"GITHUB_OUTPUT=" + filepath.Join(folder, "output"), "GITHUB_ENV=" + filepath.Join(folder, "env"),
	}, environment...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, output)
	return string(output)
}

// wasPublished shows that cargo had an access token, and that it is revoked.
func (s *stage) wasPublished(t *testing.T, folder string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "published"))
	require.NoError(t, err, "cargo did not run")
	require.False(t, s.isActive(strings.TrimSpace(string(content))), "the token lives on")
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", file))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, into))
}

func TestTheActionGivesOutATokenAndTheLastStepRevokesIt(t *testing.T) {
	s := newStage(t)
	folder := jobMachine(t)
	var action struct {
		Outputs map[string]struct{ Value string }
		Runs    struct {
			Steps []struct {
				ID, Run string
				Env     map[string]string
			}
		}
	}
	readYAML(t, "action/action.yml", &action)
	require.Len(t, action.Runs.Steps, 1)
	step := action.Runs.Steps[0]
	require.Equal(t, "${{ steps."+step.ID+".outputs.token }}", action.Outputs["token"].Value)
	require.Equal(t, map[string]string{
		"TRUSTPUB_SERVER":   "${{ inputs.server }}",
		"TRUSTPUB_AUDIENCE": "${{ inputs.audience }}",
		"VERSION":           "${{ inputs.version || github.action_ref }}",
	}, step.Env)
	require.NotContains(t, step.Run, "${{", "the text of an input would be code")

	runScript(t, folder, step.Run, append(s.environment(), "TRUSTPUB_AUDIENCE=", "VERSION=COMMIT")...)

	content, err := os.ReadFile(filepath.Join(folder, "output"))
	require.NoError(t, err)
	token, ok := strings.CutPrefix(strings.TrimSpace(string(content)), "token=")
	require.True(t, ok)
	require.True(t, s.isActive(token))

	source, err := os.ReadFile("../../examples/action/action.yml")
	require.NoError(t, err)
	last := regexp.MustCompile(`(?m)^# +run: (go run .*)$`).FindSubmatch(source)
	require.NotNil(t, last)
	runScript(t, folder, string(last[1]), append(s.environment(), "TRUSTPUB_TOKEN="+token)...)
	require.False(t, s.isActive(token))
}

func TestTheExampleWorkflowPublishesWithACommand(t *testing.T) {
	s := newStage(t)
	folder := jobMachine(t)
	var workflow struct {
		Jobs map[string]struct {
			Permissions, Env map[string]string
			Steps            []struct{ Run string }
		}
	}
	readYAML(t, "github-actions-command.yml", &workflow)
	job := workflow.Jobs["publish"]
	require.Equal(t, "write", job.Permissions["id-token"])
	require.Equal(t, "COMMIT", job.Env["TRUSTPUB_VERSION"])

	for _, step := range job.Steps {
		require.NotContains(t, step.Run, "${{")
		runScript(t, folder, step.Run, append(s.environment(), "TRUSTPUB_VERSION=COMMIT")...)
	}

	s.wasPublished(t, folder)
}

func TestTheExamplePipelineOfGitLabPublishesWithACommand(t *testing.T) {
	s := newStage(t)
	folder := jobMachine(t)
	var pipeline struct {
		Build struct {
			Script   []string
			IDTokens map[string]any `yaml:"id_tokens"`
		} `yaml:"trustpub"`
		Publish struct {
			Script   []string
			IDTokens map[string]struct{ Aud string } `yaml:"id_tokens"`
		}
	}
	readYAML(t, "gitlab-ci.yml", &pipeline)
	require.Empty(t, pipeline.Build.IDTokens)
	require.Len(t, pipeline.Publish.IDTokens, 1)
	environment := []string{"GITLAB_CI=true", "TRUSTPUB_SERVER=" + s.front.URL, "TRUSTPUB_VERSION=COMMIT"}
	for _, line := range pipeline.Build.Script {
		runScript(t, folder, line, environment...)
	}
	for name, idToken := range pipeline.Publish.IDTokens {
		signed, err := s.ci.Sign(s.ci.GitHubClaims().With("aud", idToken.Aud))
		require.NoError(t, err)
		environment = append(environment, name+"="+signed)
	}

	for _, line := range pipeline.Publish.Script {
		require.NotContains(t, runScript(t, folder, line, environment...), "cio_tp_")
	}

	s.wasPublished(t, folder)
}

// What a page shows and nobody runs is soon wrong.
func TestEveryCommandOfThePageOnCIWorks(t *testing.T) {
	s := newStage(t)
	page, err := os.ReadFile("../../docs/ci.md")
	require.NoError(t, err)
	scripts := scriptsOf(string(page))
	require.Len(t, scripts, 9)
	for _, script := range scripts {
		t.Run(script, func(t *testing.T) {
			folder := jobMachine(t)
			environment := s.environment()
			if strings.HasPrefix(script, "trustpub revoke") {
				token := strings.TrimSpace(runScript(t, folder, "trustpub exchange 2>log", environment...))
				environment = append(environment, "TRUSTPUB_TOKEN="+token)
			}

			runScript(t, folder, script, environment...)

			if strings.Contains(script, "cargo publish") {
				s.wasPublished(t, folder)
			}
		})
	}
}

// scriptsOf returns what a page shows of trustpub: each block of shell, and each line of
// a block of YAML.
func scriptsOf(page string) []string {
	var scripts []string
	key := regexp.MustCompile(`^\s*(- )?((run|command): )?`)
	for _, block := range regexp.MustCompile("(?s)```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if block[1] == "sh" {
			scripts = append(scripts, block[2])
			continue
		}
		for line := range strings.Lines(block[2]) {
			if strings.Contains(line, "trustpub exchange") {
				scripts = append(scripts, key.ReplaceAllString(line, ""))
			}
		}
	}
	return scripts
}

func TestThePageOnCINamesEveryFlag(t *testing.T) {
	page, err := os.ReadFile("../../docs/ci.md")
	require.NoError(t, err)
	for line := range strings.Lines(newExchange().LocalFlags().FlagUsages()) {
		if flag := regexp.MustCompile(`--[a-z-]+`).FindString(line); flag != "" {
			require.Contains(t, string(page), flag)
		}
	}
}
