package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
	"github.com/trustpub/trustpub/domain"
)

const (
	// exchangeTimeout is for all attempts at an exchange.
	exchangeTimeout = time.Minute
	// revokeTimeout is for all attempts at a revocation. GitHub's runner kills what
	// still runs ten seconds after a job was cancelled.
	revokeTimeout = 8 * time.Second
	// maskTimeout is for asking the CI system to mask a secret.
	maskTimeout = 10 * time.Second
	// tokenVariable holds the access token where no other name is asked for.
	tokenVariable = "TRUSTPUB_TOKEN"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// exchangeFlags are the flags of trustpub exchange, and the command that it runs.
type exchangeFlags struct {
	name         string
	envFile      string
	githubOutput bool
	command      []string
}

func newExchange() *cobra.Command {
	var flags exchangeFlags
	cmd := &cobra.Command{
		Use:   "exchange [flags] [-- COMMAND [ARGUMENT]...]",
		Short: "In a CI job: exchange the job's ID token for an access token",
		Long: "exchange gets the ID token of the CI job that it runs in (GitHub Actions and Forgejo, GitLab,\n" +
			"CircleCI, Buildkite, Bitbucket Pipelines, or TRUSTPUB_ID_TOKEN), exchanges it for a short-lived\n" +
			"access token, and keeps that out of the job's log where the CI system can.\n\n" +
			"It runs COMMAND with the access token in its environment, revokes the token when COMMAND is\n" +
			"done, however it ended, and exits with its code. Without COMMAND it writes the token to\n" +
			"standard output, or where the flags say; trustpub revoke ends it then.",
		Example: "  trustpub exchange --server https://registry.example --as CARGO_REGISTRY_TOKEN -- cargo publish\n" +
			"  TOKEN=$(trustpub exchange --server https://registry.example)",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return &usageError{fmt.Errorf("%q is no flag; write -- before a command (see: %s --help)", args[0], cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.command = args
			return runExchange(cmd, flags)
		},
	}
	addServerFlag(cmd)
	cmd.Flags().String("audience", "", "audience of the ID token; the server is asked when it is not given [TRUSTPUB_AUDIENCE]")
	cmd.Flags().StringVar(&flags.name, "as", tokenVariable, "name of the access token's variable, for COMMAND and --env")
	cmd.Flags().StringVar(&flags.envFile, "env", "", "append NAME=TOKEN to this file, such as $GITHUB_ENV, instead of printing the token")
	cmd.Flags().BoolVar(&flags.githubOutput, "github-output", false, "append token=TOKEN to $GITHUB_OUTPUT instead of printing the token")
	return cmd
}

// addServerFlag gives cmd the flag for the registry.
func addServerFlag(cmd *cobra.Command) {
	cmd.Flags().String("server", "", "URL of the registry [TRUSTPUB_SERVER]")
}

// jobSetting returns the flag's value, or that of the environment variable which names
// the same setting.
func jobSetting(cmd *cobra.Command, environment map[string]string, flag, variable string) string {
	if cmd.Flags().Changed(flag) {
		return cmd.Flags().Lookup(flag).Value.String()
	}
	return environment[variable]
}

func runExchange(cmd *cobra.Command, flags exchangeFlags) error {
	environment := bootstrap.Environment()
	err := flags.check(cmd, environment)
	if err != nil {
		return err
	}
	server, err := newRegistry(jobSetting(cmd, environment, "server", "TRUSTPUB_SERVER"))
	if err != nil {
		return err
	}
	log := cmd.ErrOrStderr()
	job, err := cijob.Find(cijob.Config{Environment: environment, Client: newClient(), Command: cijob.Run, Log: log})
	if err != nil {
		return err
	}
	// What can fail before there is a token fails here, so that none is made in vain.
	out, err := openOutput(cmd.OutOrStdout(), flags, environment)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	e := exchange{
		server:   server,
		job:      job,
		audience: jobSetting(cmd, environment, "audience", "TRUSTPUB_AUDIENCE"),
		retry:    retrier{sleep: sleep, log: log},
		log:      log,
	}
	token, err := e.token(cmd.Context())
	if err != nil {
		return err
	}
	return e.giveOut(cmd.Context(), token, out)
}

// check returns a usage error for flags that don't go together.
func (f exchangeFlags) check(cmd *cobra.Command, environment map[string]string) error {
	ways := 0
	for _, used := range []bool{f.envFile != "", f.githubOutput, len(f.command) > 0} {
		if used {
			ways++
		}
	}
	switch {
	case cmd.Flags().Changed("env") && f.envFile == "":
		return &usageError{errors.New("--env names no file; is the variable that it is taken from empty?")}
	case cmd.ArgsLenAtDash() == 0 && len(f.command) == 0:
		return &usageError{errors.New("there is no command after --")}
	case ways > 1:
		return &usageError{errors.New("the access token goes to one place: --env, --github-output or a command")}
	case !variableName.MatchString(f.name):
		return &usageError{fmt.Errorf("--as %q is no name of a variable; use letters, digits and _", f.name)}
	case cmd.Flags().Changed("as") && f.envFile == "" && len(f.command) == 0:
		return &usageError{errors.New("--as names the variable of a command or of --env, and neither is given")}
	case f.githubOutput && environment["GITHUB_OUTPUT"] == "":
		return &usageError{errors.New("--github-output needs GITHUB_OUTPUT, which GitHub Actions sets in a step")}
	}
	return nil
}

// exchange is one exchange for a job.
type exchange struct {
	server *registry
	job    *cijob.Job
	// audience is asked for when it is empty.
	audience string
	retry    retrier
	log      io.Writer
}

// token returns an access token that the job's log does not show. Each attempt asks
// the CI system for an ID token anew, since one can be exchanged only once.
func (e *exchange) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	var token, sent string
	err := e.retry.do(ctx, func(ctx context.Context) error {
		var err error
		if e.audience == "" && e.job.TakesAudience() {
			e.audience, err = e.server.audience(ctx)
			if err != nil {
				return err
			}
		}
		idToken, err := e.job.IDToken(ctx, e.audience)
		if err != nil {
			return err
		}
		token, err = e.server.exchange(ctx, idToken)
		refused, isRefused := errors.AsType[*refusedError](err)
		if isRefused && refused.code == domain.CodeAlreadyUsed && idToken == sent {
			return fmt.Errorf("%w An attempt before used it up, though its answer was lost; %s gives this job no other, so run the job again",
				err, e.job.Source())
		}
		sent = idToken
		return err
	})
	if err != nil {
		return "", err
	}
	// From here on the token exists, and a signal must not keep it from being masked.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), maskTimeout)
	defer stop()
	err = e.job.Mask(ctx, token)
	if err != nil {
		e.warn("the job's log will show the access token if something prints it: %v", err)
	}
	_, _ = fmt.Fprintf(e.log, "trustpub: exchanged %s\n", e.source())
	return token, nil
}

// source tells where the ID token came from, so that the job's log shows what the server
// was trusted with.
func (e *exchange) source() string {
	if !e.job.TakesAudience() {
		return "the ID token of " + e.job.Source()
	}
	return fmt.Sprintf("an ID token of %s, made for the audience %s", e.job.Source(), plain(e.audience, ""))
}

// giveOut gives the token out. It revokes the token when that fails, and when the
// command that got it is done.
func (e *exchange) giveOut(ctx context.Context, token string, out output) error {
	err := out.give(ctx, token)
	if _, isCommand := out.(*child); err == nil && !isCommand {
		return nil
	}
	revokeErr := e.revoke(ctx, token)
	if revokeErr != nil {
		e.warn("the access token is not revoked, and lives until it expires: %v", revokeErr)
	}
	return err
}

// revoke revokes the token even if ctx has ended.
func (e *exchange) revoke(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	return e.retry.do(ctx, func(ctx context.Context) error { return e.server.revoke(ctx, token) })
}

func (e *exchange) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(e.log, "trustpub: warning: "+format+"\n", args...)
}
