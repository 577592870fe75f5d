package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
var publisherSettings = []string{"DATABASE_URL", "TRUSTPUB_MIGRATE", "TRUSTPUB_PROVIDERS", "TRUSTPUB_PROVIDERS_FILE", "TRUSTPUB_GITHUB_API_URL", "TRUSTPUB_LOG_FORMAT", "TRUSTPUB_LOG_LEVEL"}

func newPublisher() *cobra.Command {
	return newGroup("publisher", "Manage publisher configs straight in the database",
		newGroup("add", "Let a package trust a CI workflow", newPublisherAddGitHub(), newPublisherAddGitLab(), newPublisherAddClaims()),
		newPublisherList(), newPublisherRemove())
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
			return withPublishers(cmd, func(ctx context.Context, _ *application.PublisherService, store application.ConfigStore) error {
				for more := true; more; {
					page, err := store.ListConfigs(ctx, query)
					if err != nil {
						return fmt.Errorf("list publishers: %w", err)
					}
					err = writeConfigs(cmd, page.Configs)
					if err != nil {
						return err
					}
					more = page.More
					if more {
						query.After = page.Configs[len(page.Configs)-1].Common().ID
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
			return withPublishers(cmd, func(ctx context.Context, publishers *application.PublisherService, _ application.ConfigStore) error {
				err := publishers.DeleteConfig(ctx, operator, application.Selection{ID: id})
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
func withPublishers(cmd *cobra.Command, do func(context.Context, *application.PublisherService, application.ConfigStore) error) error {
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
		domain.KindForbidden, domain.KindNotFound, domain.KindConflict, domain.KindLimited:
	}
	return errors.New(domain.MessageOf(err))
}

// writeConfigs writes a line per config, to be read by people and by awk.
func writeConfigs(cmd *cobra.Command, configs []domain.Config) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, c := range configs {
		common := c.Common()
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", common.ID, common.Package, describe(c), common.Issuer, pinned(common.Pinned))
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// pinned shows the immutable IDs that a config is pinned to.
func pinned(ids map[string]string) string {
	if len(ids) == 0 {
		return "not pinned yet"
	}
	var shown []string
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		shown = append(shown, name+"="+ids[name])
	}
	return "pinned to " + strings.Join(shown, " ")
}

// describe returns the columns that a kind of config has of its own.
func describe(c domain.Config) string {
	anyOr := func(environment string, named bool) string {
		if !named {
			return "(any)"
		}
		return environment
	}
	switch c := c.(type) {
	case domain.GitHubConfig:
		workflow := c.WorkflowFilename()
		if repository, file, asked := c.ReusableWorkflow(); asked {
			workflow += " calling " + repository.String() + "/" + file
		}
		return fmt.Sprintf("%s\t%s\tenvironment %s\towner %d", c.Repository(), workflow, anyOr(c.Environment()), c.OwnerID())
	case domain.GitLabConfig:
		return fmt.Sprintf("%s\t%s\tenvironment %s\tgitlab", c.Project(), c.WorkflowFilepath(), anyOr(c.Environment()))
	case domain.ClaimsConfig:
		var others []string
		for _, name := range slices.Sorted(maps.Keys(c.Claims())) {
			others = append(others, name+"="+strings.Join(c.Claims()[name], ","))
		}
		return fmt.Sprintf("%s\t%s\t\t", c.Common().Provider, strings.Join(others, " "))
	}
	return "\t\t\t"
}
