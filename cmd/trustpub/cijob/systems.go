package cijob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// gitlab is GitLab CI, at gitlab.com and self-managed. Its ID tokens are variables that
// the job's id_tokens name.
// https://docs.gitlab.com/ci/secrets/id_token_authentication/
type gitlab struct{ cfg Config }

func (gitlab) title() string { return "GitLab" }

// idToken reads the variable that PyPI's clients look for as well, named by the
// audience.
func (g gitlab) idToken(_ context.Context, audience string) (string, error) {
	variable := variableOf(audience)
	token := strings.TrimSpace(g.cfg.Environment[variable])
	if token == "" {
		return "", missing(g.title(), "Ask for one in the job's .gitlab-ci.yml:\n\n"+
			"    id_tokens:\n      "+explicitVariable+":\n        aud: "+audience+"\n\n"+
			"The variable may also be called "+variable)
	}
	return token, nil
}

func (gitlab) mask(context.Context, string) error { return nil }

// variableOf returns the name of the variable for the ID token of an audience: in upper
// case, with _ for whatever is no ASCII letter or digit, and _ID_TOKEN at the end.
func variableOf(audience string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, audience) + "_ID_TOKEN"
}

// circleci is CircleCI. Its command-line tool, which is in every job, gets tokens for
// any audience; the variable holds one for the organization's ID.
// https://circleci.com/docs/oidc-tokens-with-custom-claims/
type circleci struct{ cfg Config }

func (circleci) title() string { return "CircleCI" }

func (c circleci) idToken(ctx context.Context, audience string) (string, error) {
	claims, err := json.Marshal(map[string]string{"aud": audience})
	if err != nil {
		return "", fmt.Errorf("write the claims of an ID token: %w", err)
	}
	token, err := c.cfg.Command(ctx, "", "circleci", "run", "oidc", "get", "--claims", string(claims), "--root-issuer")
	token = strings.TrimSpace(token)
	if err == nil && token != "" {
		return token, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	token = strings.TrimSpace(c.cfg.Environment["CIRCLE_OIDC_TOKEN_V2"])
	if token == "" {
		return "", missing(c.title(), "The command \"circleci run oidc get\" "+problemOf(err)+", and CIRCLE_OIDC_TOKEN_V2 is\n"+
			"empty. A build of a fork gets a token only with the project's setting \"Pass secrets to builds from\n"+
			"forked pull requests\", and CircleCI Server gives them from 4.4 on; an older one wants a context in the job")
	}
	return token, nil
}

func (circleci) mask(context.Context, string) error { return nil }

// buildkite is Buildkite, whose agent gets tokens for any audience. The IDs that are
// asked for are those to which a publisher is pinned.
// https://buildkite.com/docs/agent/v3/cli-oidc
type buildkite struct{ cfg Config }

func (buildkite) title() string { return "Buildkite" }

func (b buildkite) idToken(ctx context.Context, audience string) (string, error) {
	token, err := b.cfg.Command(ctx, "", "buildkite-agent", "oidc", "request-token", "--audience", audience,
		"--claim", "organization_id,pipeline_id")
	token = strings.TrimSpace(token)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil || token == "" {
		return "", missing(b.title(), "The command \"buildkite-agent oidc request-token\" "+problemOf(err)+". It needs\n"+
			"buildkite-agent in the PATH of the step. A step in a container also needs BUILDKITE_AGENT_ACCESS_TOKEN,\n"+
			"BUILDKITE_JOB_ID, BUILDKITE_AGENT_JOB_API_SOCKET with that socket, and BUILDKITE_AGENT_JOB_API_TOKEN")
	}
	return token, nil
}

// mask gives the secret to the agent's redactor, through its standard input.
// https://buildkite.com/docs/agent/v3/cli-redactor
func (b buildkite) mask(ctx context.Context, secret string) error {
	_, err := b.cfg.Command(ctx, secret, "buildkite-agent", "redactor", "add")
	if err != nil {
		return fmt.Errorf("the command \"buildkite-agent redactor add\" %s; an agent that lacks it is too old", problemOf(err))
	}
	return nil
}

// bitbucket is Bitbucket Pipelines, whose token is for the workspace's audience.
// https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
type bitbucket struct{ cfg Config }

func (bitbucket) title() string { return "Bitbucket Pipelines" }

func (b bitbucket) idToken(context.Context, string) (string, error) {
	token := strings.TrimSpace(b.cfg.Environment["BITBUCKET_STEP_OIDC_TOKEN"])
	if token == "" {
		return "", missing(b.title(), "Ask for one in the step of bitbucket-pipelines.yml:\n\n    - step:\n        oidc: true\n")
	}
	return token, nil
}

func (bitbucket) mask(context.Context, string) error { return nil }

// problemOf tells what became of a command, in words that complete a sentence about
// it. What the command printed may hold a token, and is not shown.
func problemOf(err error) string {
	exit, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return "printed nothing"
	case errors.Is(err, exec.ErrNotFound):
		return "was not found"
	case isExit:
		return fmt.Sprintf("ended with exit code %d", exit.ExitCode())
	}
	return "can't be run"
}
