package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// packageFlags are the flags that every kind of publisher has.
type packageFlags struct{ ecosystem, name, environment, issuer string }

func (f *packageFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.ecosystem, "ecosystem", "cargo", "the package's ecosystem, a package URL type")
	flags.StringVar(&f.name, "package", "", "the package's name")
	flags.StringVar(&f.issuer, "issuer", "", "the issuer that the publisher belongs to; needed when several of the provider are enabled")
}

func (f *packageFlags) addEnvironment(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.environment, "environment", "", "the environment that the job must run in; any when not given")
}

func (f *packageFlags) pkg() domain.Package {
	return domain.Package{Ecosystem: f.ecosystem, Name: f.name}
}

// environmentOf returns the environment that was asked for, and nil for any.
func (f *packageFlags) environmentOf(cmd *cobra.Command) *string {
	if !cmd.Flags().Changed("environment") {
		return nil
	}
	return &f.environment
}

// requireFlags refuses a command line without the named flags.
func requireFlags(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			return &usageError{fmt.Errorf("the required flag --%s is not given (see: %s --help)", name, cmd.CommandPath())}
		}
	}
	return nil
}

// createPublisher stores a config and shows it.
func createPublisher(cmd *cobra.Command, params domain.ConfigParams) error {
	return withPublishers(cmd, func(ctx context.Context, publishers *application.PublisherService, _ application.ConfigStore) error {
		config, err := publishers.CreateConfig(ctx, operator, params)
		if err != nil {
			return clientError(err)
		}
		return writeConfigs(cmd, []domain.Config{config})
	})
}

func newPublisherAddGitHub() *cobra.Command {
	var common packageFlags
	var repository string
	var params domain.GitHubConfigParams
	cmd := &cobra.Command{
		Use:     "github --package NAME --repository OWNER/NAME --workflow FILE [--environment NAME]",
		Short:   "Let a package trust a GitHub Actions workflow",
		Example: "  trustpub publisher add github --providers github --package serde --repository serde-rs/serde --workflow release.yml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := requireFlags(cmd, "package", "repository", "workflow")
			if err != nil {
				return err
			}
			var isPair bool
			params.Owner, params.Repository, isPair = strings.Cut(repository, "/")
			if !isPair {
				return &usageError{fmt.Errorf("--repository %q is not of the form OWNER/NAME", repository)}
			}
			params.Package, params.Issuer, params.Environment = common.pkg(), common.issuer, common.environmentOf(cmd)
			return createPublisher(cmd, params)
		},
	}
	common.add(cmd)
	common.addEnvironment(cmd)
	flags := cmd.Flags()
	flags.StringVar(&repository, "repository", "", "the repository, OWNER/NAME")
	flags.StringVar(&params.WorkflowFilename, "workflow", "", "the workflow's file name in .github/workflows")
	flags.StringVar(&params.WorkflowRepository, "workflow-repository", "", "the repository of the reusable workflow that the steps must come from, OWNER/NAME")
	flags.StringVar(&params.ReusableWorkflowFilename, "reusable-workflow", "", "that reusable workflow's file name in .github/workflows")
	flags.Int64Var(&params.OwnerID, "owner-id", 0, "GitHub's number of the owner's account (repository_owner_id); looked up when not given")
	addSettings(cmd, publisherSettings...)
	return cmd
}

func newPublisherAddGitLab() *cobra.Command {
	var common packageFlags
	var project string
	var params domain.GitLabConfigParams
	cmd := &cobra.Command{
		Use:     "gitlab --package NAME --project NAMESPACE/PROJECT [--workflow PATH] [--environment NAME]",
		Short:   "Let a package trust the pipelines of a GitLab project",
		Example: "  trustpub publisher add gitlab --providers gitlab --package serde --project serde-rs/serde --workflow .gitlab-ci.yml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := requireFlags(cmd, "package", "project")
			if err != nil {
				return err
			}
			slash := strings.LastIndexByte(project, '/')
			if slash < 0 {
				return &usageError{fmt.Errorf("--project %q is not of the form NAMESPACE/PROJECT", project)}
			}
			params.Namespace, params.Project = project[:slash], project[slash+1:]
			params.Package, params.Issuer, params.Environment = common.pkg(), common.issuer, common.environmentOf(cmd)
			return createPublisher(cmd, params)
		},
	}
	common.add(cmd)
	common.addEnvironment(cmd)
	cmd.Flags().StringVar(&project, "project", "", "the project's path, NAMESPACE/PROJECT, where the namespace may have subgroups")
	cmd.Flags().StringVar(&params.WorkflowFilepath, "workflow", ".gitlab-ci.yml", "the path of the CI config file in the project")
	addSettings(cmd, publisherSettings...)
	return cmd
}

func newPublisherAddClaims() *cobra.Command {
	var common packageFlags
	var claims []string
	var params domain.ClaimsConfigParams
	cmd := &cobra.Command{
		Use:     "claims --provider NAME --package NAME --claim CLAIM=VALUE ...",
		Short:   "Let a package trust the workloads with certain claims, at a provider that is described by a definition",
		Example: "  trustpub publisher add claims --providers buildkite --provider buildkite --package serde --claim organization_slug=serde --claim pipeline_slug=release",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := requireFlags(cmd, "provider", "package", "claim")
			if err != nil {
				return err
			}
			params.Package, params.Issuer = common.pkg(), common.issuer
			params.Claims = map[string][]string{}
			for _, claim := range claims {
				name, value, isPair := strings.Cut(claim, "=")
				if !isPair {
					return &usageError{fmt.Errorf("--claim %q is not of the form CLAIM=VALUE", claim)}
				}
				params.Claims[name] = append(params.Claims[name], value)
			}
			return createPublisher(cmd, params)
		},
	}
	common.add(cmd)
	cmd.Flags().StringVar(&params.Provider, "provider", "", "the provider, one of those enabled")
	cmd.Flags().StringArrayVar(&claims, "claim", nil, "a claim and its value; repeated for each claim, and for each value of a claim that is a list")
	addSettings(cmd, publisherSettings...)
	return cmd
}
