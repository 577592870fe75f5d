package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
)

// operator is who acts on the command line, in the audit record.
var operator = application.Actor{ID: "command-line"}

// publisherSettings are the settings that the publisher commands read.
var publisherSettings = []string{"DATABASE_URL", "TRUSTPUB_MIGRATE", "TRUSTPUB_PROVIDERS", "TRUSTPUB_GITHUB_API_URL", "TRUSTPUB_LOG_FORMAT", "TRUSTPUB_LOG_LEVEL"}

func newPublisher() *cobra.Command {
	return newGroup("publisher", "Manage publisher configs straight in the database",
		newGroup("add", "Let a package trust a CI workflow", newPublisherAddGitHub()),
		newPublisherList(), newPublisherRemove())
}

func newPublisherAddGitHub() *cobra.Command {
	var ecosystem, pkg, repository, environment string
	var params domain.GitHubConfigParams
	cmd := &cobra.Command{
		Use:     "github --package NAME --repository OWNER/NAME --workflow FILE [--environment NAME]",
		Short:   "Let a package trust a GitHub Actions workflow",
		Example: "  trustpub publisher add github --providers github --package serde --repository serde-rs/serde --workflow release.yml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"package", "repository", "workflow"} {
				if !cmd.Flags().Changed(name) {
					return &usageError{fmt.Errorf("the required flag --%s is not given (see: %s --help)", name, cmd.CommandPath())}
				}
			}
			var isPair bool
			params.Package = domain.Package{Ecosystem: ecosystem, Name: pkg}
			params.Owner, params.Repository, isPair = strings.Cut(repository, "/")
			if !isPair {
				return &usageError{fmt.Errorf("--repository %q is not of the form OWNER/NAME", repository)}
			}
			if cmd.Flags().Changed("environment") {
				params.Environment = &environment
			}
			return withPublishers(cmd, func(ctx context.Context, publishers *application.PublisherService, _ application.GitHubConfigStore) error {
				config, err := publishers.CreateGitHubConfig(ctx, operator, params)
				if err != nil {
					return clientError(err)
				}
				return writeConfigs(cmd, []domain.GitHubConfig{config})
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ecosystem, "ecosystem", "cargo", "the package's ecosystem, a package URL type")
	flags.StringVar(&pkg, "package", "", "the package's name")
	flags.StringVar(&repository, "repository", "", "the repository, OWNER/NAME")
	flags.StringVar(&params.WorkflowFilename, "workflow", "", "the workflow's file name in .github/workflows")
	flags.StringVar(&environment, "environment", "", "the environment that the job must run in; any when not given")
	flags.StringVar(&params.Issuer, "issuer", "", "the issuer that the publisher belongs to; needed when several GitHub issuers are enabled")
	flags.Int64Var(&params.OwnerID, "owner-id", 0, "GitHub's number of the owner's account; looked up when not given")
	addSettings(cmd, publisherSettings...)
	return cmd
}

func newPublisherList() *cobra.Command {
	var ecosystem, pkg string
	cmd := &cobra.Command{
		Use:   "list [--package NAME]",
		Short: "List the publisher configs, of one package or of all",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := application.ListQuery{Limit: 1000}
			if pkg != "" {
				query.Package = domain.Package{Ecosystem: ecosystem, Name: pkg}
			}
			return withPublishers(cmd, func(ctx context.Context, _ *application.PublisherService, store application.GitHubConfigStore) error {
				for more := true; more; {
					page, err := store.ListGitHubConfigs(ctx, query)
					if err != nil {
						return fmt.Errorf("list publishers: %w", err)
					}
					err = writeConfigs(cmd, page.Configs)
					if err != nil {
						return err
					}
					more = page.More
					if more {
						query.After = page.Configs[len(page.Configs)-1].ID()
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&ecosystem, "ecosystem", "cargo", "the package's ecosystem")
	cmd.Flags().StringVar(&pkg, "package", "", "the package's name; all packages when not given")
	addSettings(cmd, publisherSettings...)
	return cmd
}

func newPublisherRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a publisher config, and with it what unexpired tokens got through it",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return &usageError{fmt.Errorf("the ID %q is no number; trustpub publisher list shows the IDs", args[0])}
			}
			return withPublishers(cmd, func(ctx context.Context, publishers *application.PublisherService, _ application.GitHubConfigStore) error {
				err := publishers.DeleteGitHubConfig(ctx, operator, id)
				if err != nil {
					return clientError(err)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "removed", id)
				return err
			})
		},
	}
	addSettings(cmd, publisherSettings...)
	return cmd
}

// withPublishers opens the database and makes sure of its schema for the time of do.
func withPublishers(cmd *cobra.Command, do func(context.Context, *application.PublisherService, application.GitHubConfigStore) error) error {
	settings, err := loadSettings(cmd, nil)
	if err != nil {
		return err
	}
	return withDatabase(settings, func(db *bootstrap.Database) error {
		err := db.Prepare(cmd.Context(), settings.Migrate)
		if err != nil {
			return err
		}
		publishers, err := bootstrap.NewPublisherService(settings, db.Store, newLogger(settings))
		if err != nil {
			return err
		}
		return do(cmd.Context(), publishers, db.Store)
	})
}

// clientError shows the sentence that is meant for a client, with the cause where
// the mistake is not the client's.
func clientError(err error) error {
	switch domain.KindOf(err) {
	case domain.KindInternal, domain.KindUnavailable:
		return err
	case domain.KindInvalid, domain.KindRefused, domain.KindUnauthenticated,
		domain.KindForbidden, domain.KindNotFound, domain.KindConflict:
	}
	return errors.New(domain.MessageOf(err))
}

// writeConfigs writes a line per config, to be read by people and by awk.
func writeConfigs(cmd *cobra.Command, configs []domain.GitHubConfig) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, c := range configs {
		environment, named := c.Environment()
		if !named {
			environment = "(any)"
		}
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\tenvironment %s\towner %d\t%s\n",
			c.ID(), c.Package(), c.Repository(), c.WorkflowFilename(), environment, c.OwnerID(), c.Issuer())
		if err != nil {
			return err
		}
	}
	return w.Flush()
}
