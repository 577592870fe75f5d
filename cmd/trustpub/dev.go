package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func newDev() *cobra.Command {
	var once bool
	var issuerListen string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Try it: the server with a local CI provider, and one exchange to see",
		Long: "dev runs the server on a throw-away embedded database together with a local OIDC issuer\n" +
			"that imitates GitHub Actions and vouches for whatever it is asked to. It configures one\n" +
			"publisher, performs one exchange, and prints the curl commands that repeat it.\n\n" +
			"Settings hold as for serve, but for other defaults: DATABASE_URL sqlite::memory:,\n" +
			"DOMAIN_NAME localhost, TRUSTPUB_LOG_LEVEL error, and random admin and registry\n" +
			"tokens. TRUSTPUB_PROVIDERS is always the local issuer.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd, issuerListen, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the exchange instead of serving on")
	cmd.Flags().StringVar(&issuerListen, "issuer-listen", "127.0.0.1:0", "address of the local OIDC issuer; port 0 is any free one")
	addSettings(cmd)
	return cmd
}

func runDev(cmd *cobra.Command, issuerListen string, once bool) error {
	ci, err := issuer.Start(issuer.Config{Address: issuerListen})
	if err != nil {
		return err
	}
	defer func() { _ = ci.Close() }()
	settings, err := devSettings(cmd, ci)
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	listening := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- bootstrap.Serve(ctx, settings, newLogger(settings), func(a net.Addr) { listening <- a })
	}()
	select {
	case err = <-ended:
		return err
	case address := <-listening:
		err = showExchange(ctx, cmd.OutOrStdout(), "http://"+address.String(), ci, settings)
	}
	if err != nil || once {
		stop()
		endErr := <-ended
		if err == nil {
			err = endErr
		}
		return err
	}
	return <-ended
}

// showExchange performs the exchange and prints how to repeat it.
func showExchange(ctx context.Context, out io.Writer, server string, ci *issuer.Issuer, settings bootstrap.Settings) error {
	t := tour{out: out, client: &http.Client{Timeout: 15 * time.Second}, server: server, ci: ci, settings: settings}
	err := t.run(ctx)
	if err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	return t.printCommands()
}

// devSettings reads the settings with the defaults of dev.
func devSettings(cmd *cobra.Command, ci *issuer.Issuer) (bootstrap.Settings, error) {
	environment := bootstrap.Environment()
	overrides := map[string]string{}
	for name, value := range map[string]string{
		"DATABASE_URL":       "sqlite::memory:",
		"DOMAIN_NAME":        "localhost",
		"TRUSTPUB_LOG_LEVEL": "error",
	} {
		if environment[name] == "" {
			overrides[name] = value
		}
	}
	for _, name := range []string{"TRUSTPUB_ADMIN_TOKEN", "TRUSTPUB_REGISTRY_TOKEN"} {
		if environment[name] == "" && environment[name+"_FILE"] == "" {
			overrides[name] = rand.Text() + rand.Text()
		}
	}
	overrides["TRUSTPUB_PROVIDERS"] = "github=" + ci.URL()
	return loadSettings(cmd, overrides)
}
