package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
)

func newRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke [flags]",
		Short: "In a CI job: revoke the access token in TRUSTPUB_TOKEN",
		Long: "revoke ends the life of the access token in the environment variable TRUSTPUB_TOKEN. It is no\n" +
			"argument, since every process of a machine can read those of the others.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runRevoke(cmd) },
	}
	addServerFlag(cmd)
	return cmd
}

func runRevoke(cmd *cobra.Command) error {
	environment := bootstrap.Environment()
	server, err := newRegistry(jobSetting(cmd, environment, "server", "TRUSTPUB_SERVER"))
	if err != nil {
		return err
	}
	token := strings.TrimSpace(environment[tokenVariable])
	if !accessToken.MatchString(token) {
		return &bootstrap.SettingError{Setting: tokenVariable, Problem: "it holds no access token; use the one that trustpub exchange gave out"}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), exchangeTimeout)
	defer cancel()
	retry := retrier{sleep: sleep, log: cmd.ErrOrStderr()}
	err = retry.do(ctx, func(ctx context.Context) error { return server.revoke(ctx, token) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "The access token is revoked.")
	return err
}
