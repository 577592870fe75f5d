// Package cijob finds what a CI job proves its identity with: the OIDC ID token that
// the CI system vouches for it with. It knows how each system hands the token out,
// what a job lacks that gets none, and how a secret is kept out of the job's log.
package cijob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// explicitVariable holds an ID token that the job got by itself. It comes before
// what the CI system offers.
const explicitVariable = "TRUSTPUB_ID_TOKEN"

// ErrUnavailable is in the errors of which the CI system is the cause for the moment:
// its endpoint for ID tokens can't be reached, or answers with 429 or 5xx. The same
// question may be answered a little later.
var ErrUnavailable = errors.New("the CI system is not available")

// Command runs a program with args, writes stdin to it and returns what it printed on
// standard output. Its errors are those of [exec.Cmd.Run].
type Command func(ctx context.Context, stdin, name string, args ...string) (string, error)

// Config holds what a [Job] is found by. All fields are required.
type Config struct {
	// Environment holds the variables of the job.
	Environment map[string]string
	// Client asks the CI system for an ID token. Its time-out is the caller's to set;
	// redirects are never followed, since the question carries a credential.
	Client *http.Client
	// Command runs the programs that some systems bring along.
	Command Command
	// Log is where the system reads commands from, and the job's log goes to:
	// standard error, when standard output is for the token.
	Log io.Writer
}

// Job is the CI job that the process runs in. It is safe for concurrent use when
// Config.Log is.
type Job struct {
	system   system
	explicit string
}

// system is a CI system, as a job sees it.
type system interface {
	// title is what the system is called.
	title() string
	// idToken returns an ID token for the audience, a new one where the system can.
	idToken(ctx context.Context, audience string) (string, error)
	// mask keeps a secret out of the job's log from now on, where the system can.
	mask(ctx context.Context, secret string) error
}

// Find returns the job that the environment is of. Outside every known system it
// returns a job that has no ID token, unless TRUSTPUB_ID_TOKEN is set.
func Find(cfg Config) (*Job, error) {
	if cfg.Environment == nil || cfg.Client == nil || cfg.Command == nil || cfg.Log == nil {
		return nil, errors.New("cijob: a job needs Environment, Client, Command and Log")
	}
	return &Job{system: find(cfg), explicit: strings.TrimSpace(cfg.Environment[explicitVariable])}, nil
}

// find tells the systems apart by the variables that their manuals name for it. One
// that runs inside another, as Forgejo's runner may, is the inner one's.
func find(cfg Config) system {
	variables := cfg.Environment
	switch {
	// Forgejo and Gitea set GITHUB_ACTIONS as well.
	case variables["GITHUB_ACTIONS"] == "true", variables[requestURLVariable] != "":
		return githubActions{cfg}
	case variables["GITLAB_CI"] == "true":
		return gitlab{cfg}
	case variables["CIRCLECI"] == "true":
		return circleci{cfg}
	case variables["BUILDKITE"] == "true":
		return buildkite{cfg}
	case variables["BITBUCKET_BUILD_NUMBER"] != "":
		return bitbucket{cfg}
	}
	return none{}
}

// TakesAudience tells whether IDToken heeds the audience. A job whose ID token is
// there already has one for the audience that its configuration says.
func (j *Job) TakesAudience() bool {
	_, isFixed := j.system.(bitbucket)
	return j.explicit == "" && !isFixed
}

// Source names where the ID token comes from, in words for the job's log.
func (j *Job) Source() string {
	if j.explicit != "" {
		return explicitVariable
	}
	return j.system.title()
}

// IDToken returns an ID token for the audience. Each call asks for a new one at GitHub
// Actions, Buildkite and CircleCI; the other systems give a job one, whose audience is
// what the job's configuration says. Errors tell which permission or setting the job
// lacks, and wrap [ErrUnavailable] when it may be worth asking again.
func (j *Job) IDToken(ctx context.Context, audience string) (string, error) {
	if j.explicit != "" {
		return j.explicit, nil
	}
	return j.system.idToken(ctx, audience)
}

// Mask asks the system to show asterisks instead of a secret in the job's log. Call it
// before the secret can get anywhere. Systems that can't do so for a secret made
// within a job (GitLab, CircleCI, Bitbucket) are not asked, and that is no error.
func (j *Job) Mask(ctx context.Context, secret string) error {
	return j.system.mask(ctx, secret)
}

// WithoutIDToken returns the variables of a job without the ID token that was given
// explicitly, for a command that has no business with it.
func WithoutIDToken(environment map[string]string) []string {
	var kept []string
	for name, value := range environment {
		if name != explicitVariable {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

// Run is a [Command] that runs the program on this machine.
func Run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // The names are constants of this package.
	command.Stdin = strings.NewReader(stdin)
	output, err := command.Output()
	return string(output), err
}

// missing is the error of a job that gets no ID token. remedy says what to change.
func missing(title, remedy string) error {
	return fmt.Errorf("%s gives this job no ID token. %s", title, remedy)
}

// none is no CI system at all.
type none struct{}

func (none) title() string { return "no CI system" }

func (none) idToken(context.Context, string) (string, error) {
	return "", errors.New("this is no CI job that can prove its identity. Supported are GitHub Actions (and Forgejo),\n" +
		"GitLab, CircleCI, Buildkite and Bitbucket Pipelines. Elsewhere, put an ID token into " + explicitVariable)
}

func (none) mask(context.Context, string) error { return nil }
