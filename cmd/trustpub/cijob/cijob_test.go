package cijob_test

import (
	"context"
	"errors"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
)

const audience = "registry.example"

// machine is what a job runs on: the answers of the programs that it has, by their
// command lines.
type machine struct {
	answers map[string]string
	fails   error
	ran     []string
	stdin   []string
}

func (m *machine) run(_ context.Context, stdin, name string, args ...string) (string, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	m.ran = append(m.ran, line)
	m.stdin = append(m.stdin, stdin)
	answer, has := m.answers[line]
	switch {
	case m.fails != nil:
		return answer, m.fails
	case !has:
		return "", exec.ErrNotFound
	}
	return answer, nil
}

func job(t *testing.T, environment map[string]string, m *machine) (found *cijob.Job, log *strings.Builder) {
	t.Helper()
	log = &strings.Builder{}
	if m == nil {
		m = &machine{}
	}
	found, err := cijob.Find(cijob.Config{
		Environment: environment,
		Client:      &http.Client{Timeout: 5 * time.Second},
		Command:     m.run,
		Log:         log,
	})
	require.NoError(t, err)
	return found, log
}

const (
	circleciCommand  = `circleci run oidc get --claims {"aud":"registry.example"} --root-issuer`
	buildkiteCommand = "buildkite-agent oidc request-token --audience registry.example --claim organization_id,pipeline_id"
)

func TestAnIDTokenIsFoundWhereTheSystemPutsIt(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		programs    map[string]string
		source      string
	}{
		{"explicit, outside any system", map[string]string{"TRUSTPUB_ID_TOKEN": "jwt"}, nil, "TRUSTPUB_ID_TOKEN"},
		{"explicit, with the line end of a file", map[string]string{"TRUSTPUB_ID_TOKEN": "jwt\n"}, nil, "TRUSTPUB_ID_TOKEN"},
		{"explicit comes before the system's", map[string]string{"TRUSTPUB_ID_TOKEN": "jwt", "BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_STEP_OIDC_TOKEN": "other"}, nil, "TRUSTPUB_ID_TOKEN"},
		{"GitLab, explicit", map[string]string{"GITLAB_CI": "true", "TRUSTPUB_ID_TOKEN": "jwt"}, nil, "TRUSTPUB_ID_TOKEN"},
		{"GitLab, named by the audience", map[string]string{"GITLAB_CI": "true", "REGISTRY_EXAMPLE_ID_TOKEN": "jwt"}, nil, "GitLab"},
		{"CircleCI, the tool", map[string]string{"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": "other"}, map[string]string{circleciCommand: "jwt\n"}, "CircleCI"},
		{"CircleCI, the variable", map[string]string{"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": "jwt"}, nil, "CircleCI"},
		{"CircleCI, the tool prints nothing", map[string]string{"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": "jwt"}, map[string]string{circleciCommand: "\n"}, "CircleCI"},
		{"Buildkite", map[string]string{"BUILDKITE": "true"}, map[string]string{buildkiteCommand: "jwt\n"}, "Buildkite"},
		{"Bitbucket", map[string]string{"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_STEP_OIDC_TOKEN": "jwt"}, nil, "Bitbucket Pipelines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, _ := job(t, tt.environment, &machine{answers: tt.programs})

			token, err := j.IDToken(t.Context(), audience)

			require.NoError(t, err)
			require.Equal(t, "jwt", token)
			require.Equal(t, tt.source, j.Source())
		})
	}
}

func TestAJobWithoutAnIDTokenIsToldWhatItLacks(t *testing.T) {
	exit := exec.CommandContext(t.Context(), "sh", "-c", "exit 3").Run()
	tests := []struct {
		name        string
		environment map[string]string
		machine     machine
		want        []string
	}{
		{"outside any system", nil, machine{}, []string{"no CI job", "GitLab", "CircleCI", "Buildkite", "Bitbucket", "TRUSTPUB_ID_TOKEN"}},
		{"an empty explicit one", map[string]string{"TRUSTPUB_ID_TOKEN": " "}, machine{}, []string{"no CI job"}},
		{"a system that is switched off", map[string]string{"GITLAB_CI": "false", "CIRCLECI": "", "GITHUB_ACTIONS": "false"}, machine{}, []string{"no CI job"}},
		{"GitHub Actions", map[string]string{"GITHUB_ACTIONS": "true"}, machine{}, []string{"permissions:", "id-token: write", "fork"}},
		{"GitHub Actions without the request token", map[string]string{"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x.example/?a=1"}, machine{}, []string{"id-token: write"}},
		{"GitHub Actions without the request URL", map[string]string{"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}, machine{}, []string{"id-token: write"}},
		{"GitHub Actions with a request URL that is none", map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "::", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}, machine{}, []string{"ACTIONS_ID_TOKEN_REQUEST_URL is no URL"}},
		{"GitLab", map[string]string{"GITLAB_CI": "true"}, machine{}, []string{"id_tokens:\n", "TRUSTPUB_ID_TOKEN:\n", "aud: registry.example", "REGISTRY_EXAMPLE_ID_TOKEN"}},
		{"GitLab with one for another audience", map[string]string{"GITLAB_CI": "true", "OTHER_EXAMPLE_ID_TOKEN": "jwt"}, machine{}, []string{"aud: registry.example"}},
		{"CircleCI without its tool", map[string]string{"CIRCLECI": "true"}, machine{}, []string{"was not found", "CIRCLE_OIDC_TOKEN_V2", "fork"}},
		{"CircleCI whose tool fails", map[string]string{"CIRCLECI": "true"}, machine{fails: exit}, []string{"ended with exit code 3"}},
		{"CircleCI whose tool prints nothing", map[string]string{"CIRCLECI": "true"}, machine{answers: map[string]string{circleciCommand: ""}}, []string{"printed nothing"}},
		{"Buildkite without its agent", map[string]string{"BUILDKITE": "true"}, machine{}, []string{"was not found", "PATH", "BUILDKITE_AGENT_ACCESS_TOKEN"}},
		{"Buildkite whose agent fails", map[string]string{"BUILDKITE": "true"}, machine{answers: map[string]string{buildkiteCommand: "eyJhbGciOi"}, fails: exit}, []string{"ended with exit code 3"}},
		{"Buildkite whose agent can't be run", map[string]string{"BUILDKITE": "true"}, machine{fails: errors.New("permission denied")}, []string{"can't be run"}},
		{"Bitbucket", map[string]string{"BITBUCKET_BUILD_NUMBER": "1"}, machine{}, []string{"oidc: true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.environment == nil {
				tt.environment = map[string]string{}
			}
			j, _ := job(t, tt.environment, &tt.machine)

			token, err := j.IDToken(t.Context(), audience)

			require.Empty(t, token)
			require.Error(t, err)
			require.NotErrorIs(t, err, cijob.ErrUnavailable, "asking again changes nothing")
			require.NotContains(t, err.Error(), "eyJ")
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestGitLabsVariableIsNamedAsPyPIsClientsDo(t *testing.T) {
	tests := []struct{ name, audience, variable string }{
		{"a host name", "crates.io", "CRATES_IO_ID_TOKEN"},
		{"a scheme", "npm:registry.npmjs.org", "NPM_REGISTRY_NPMJS_ORG_ID_TOKEN"},
		{"a URL", "https://r.example:8443/a", "HTTPS___R_EXAMPLE_8443_A_ID_TOKEN"},
		{"capitals and digits", "Pypi2", "PYPI2_ID_TOKEN"},
		{"letters that are not ASCII, one each", "bücher", "B_CHER_ID_TOKEN"},
		{"a letter whose capital is ASCII in other alphabets", "ſı", "___ID_TOKEN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, _ := job(t, map[string]string{"GITLAB_CI": "true", tt.variable: "jwt"}, nil)

			token, err := j.IDToken(t.Context(), tt.audience)

			require.NoError(t, err)
			require.Equal(t, "jwt", token)
		})
	}
}

func TestAnAudienceIsDataToEverySystem(t *testing.T) {
	const hostile = `x","sub":"me --root-issuer&audience=other`
	programs := &machine{}
	j, _ := job(t, map[string]string{"CIRCLECI": "true"}, programs)
	_, err := j.IDToken(t.Context(), hostile)
	require.Error(t, err)
	require.Equal(t, []string{`circleci run oidc get --claims {"aud":"x\",\"sub\":\"me --root-issuer\u0026audience=other"} --root-issuer`}, programs.ran)

	e := newEndpoint(t)
	j, _ = job(t, e.environment(), nil)
	_, err = j.IDToken(t.Context(), hostile)
	require.NoError(t, err)
	require.Equal(t, []string{hostile}, e.audiences)
}

func TestEachSystemMasksAsItCan(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		log         string
		ran, stdin  []string
	}{
		{"GitHub Actions", map[string]string{"GITHUB_ACTIONS": "true"}, "::add-mask::cio_tp_x\n", nil, nil},
		{"GitHub Actions with an explicit ID token", map[string]string{"GITHUB_ACTIONS": "true", "TRUSTPUB_ID_TOKEN": "jwt"}, "::add-mask::cio_tp_x\n", nil, nil},
		{"Buildkite, on standard input and not as an argument", map[string]string{"BUILDKITE": "true"}, "", []string{"buildkite-agent redactor add"}, []string{"cio_tp_x"}},
		{"GitLab", map[string]string{"GITLAB_CI": "true"}, "", nil, nil},
		{"CircleCI", map[string]string{"CIRCLECI": "true"}, "", nil, nil},
		{"Bitbucket", map[string]string{"BITBUCKET_BUILD_NUMBER": "1"}, "", nil, nil},
		{"no system", map[string]string{}, "", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &machine{answers: map[string]string{"buildkite-agent redactor add": ""}}
			j, log := job(t, tt.environment, m)

			require.NoError(t, j.Mask(t.Context(), "cio_tp_x"))

			require.Equal(t, tt.log, log.String())
			require.Equal(t, tt.ran, m.ran)
			require.Equal(t, tt.stdin, m.stdin)
		})
	}
	t.Run("an agent that can't says so, without the secret", func(t *testing.T) {
		j, _ := job(t, map[string]string{"BUILDKITE": "true"}, nil)

		err := j.Mask(t.Context(), "cio_tp_x")

		require.ErrorContains(t, err, "was not found")
		require.NotContains(t, err.Error(), "cio_tp_x")
	})
}

func TestOnlyATokenThatIsThereAlreadyTakesNoAudience(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        bool
	}{
		{"explicit", map[string]string{"GITLAB_CI": "true", "TRUSTPUB_ID_TOKEN": "jwt"}, false},
		{"Bitbucket", map[string]string{"BITBUCKET_BUILD_NUMBER": "1"}, false},
		{"GitHub Actions", map[string]string{"GITHUB_ACTIONS": "true"}, true},
		{"GitLab, where it names the variable", map[string]string{"GITLAB_CI": "true"}, true},
		{"CircleCI", map[string]string{"CIRCLECI": "true"}, true},
		{"Buildkite", map[string]string{"BUILDKITE": "true"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, _ := job(t, tt.environment, nil)
			require.Equal(t, tt.want, j.TakesAudience())
		})
	}
}

func TestACommandGetsNoExplicitIDToken(t *testing.T) {
	kept := cijob.WithoutIDToken(map[string]string{"TRUSTPUB_ID_TOKEN": "jwt", "PATH": "/bin", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"})

	slices.Sort(kept)
	require.Equal(t, []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN=t", "PATH=/bin"}, kept)
}

func TestAJobNeedsEverythingItIsFoundBy(t *testing.T) {
	whole := cijob.Config{Environment: map[string]string{}, Client: &http.Client{}, Command: cijob.Run, Log: &strings.Builder{}}
	for name, take := range map[string]func(*cijob.Config){
		"Environment": func(cfg *cijob.Config) { cfg.Environment = nil },
		"Client":      func(cfg *cijob.Config) { cfg.Client = nil },
		"Command":     func(cfg *cijob.Config) { cfg.Command = nil },
		"Log":         func(cfg *cijob.Config) { cfg.Log = nil },
	} {
		cfg := whole
		take(&cfg)
		_, err := cijob.Find(cfg)
		require.ErrorContains(t, err, name)
	}
}

func TestRunGivesInputAndReturnsOutputAndFailure(t *testing.T) {
	output, err := cijob.Run(t.Context(), "hello", "sh", "-c", "cat; exit 4")

	require.Equal(t, "hello", output)
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok)
	require.Equal(t, 4, exit.ExitCode())

	_, err = cijob.Run(t.Context(), "", "no-such-program-anywhere")
	require.ErrorIs(t, err, exec.ErrNotFound)
}
