package domain

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ProviderGitHub is the kind of provider that GitHub Actions is, at github.com
// and at any GitHub Enterprise.
const ProviderGitHub = "github"

// GitHubConfigParams are the values of a [GitHubConfig], before they are checked.
type GitHubConfigParams struct {
	// ID is the store's; zero before it was stored.
	ID int64
	// CreatedAt is when it was made.
	CreatedAt time.Time
	// Package is what the workload may publish.
	Package Package
	// Issuer is the one issuer whose ID tokens the config trusts, so that the
	// repository of the same name at another GitHub means nothing.
	Issuer string
	// Owner and Repository name the repository, by the rules of [NewRepository].
	Owner, Repository string
	// OwnerID is GitHub's immutable number of the owner's account, above zero. It
	// guards against an account that was deleted and registered by somebody else.
	OwnerID int64
	// WorkflowFilename is a bare file name that ends in .yml or .yaml, of at most
	// 255 characters. It names the workflow that was triggered, not a reusable
	// workflow which that one calls.
	WorkflowFilename string
	// Environment is the deployment environment that the job must run in; nil
	// accepts any, and none.
	Environment *string
}

// GitHubConfig is a package's trust in one GitHub Actions workflow. It can't be
// changed once made, and is safe for concurrent use.
type GitHubConfig struct {
	id             int64
	createdAt      time.Time
	pkg            Package
	issuer         string
	repository     Repository
	ownerID        int64
	workflow       string
	environment    string
	hasEnvironment bool
}

// NewGitHubConfig validates p and returns the config. Errors are of [KindInvalid]
// with [CodeInvalidConfig], and say which value is wrong and what is accepted.
func NewGitHubConfig(p GitHubConfigParams) (GitHubConfig, error) {
	pkg, err := NewPackage(p.Package.Ecosystem, p.Package.Name)
	if err != nil {
		return GitHubConfig{}, err
	}
	repository, err := NewRepository(p.Owner, p.Repository)
	if err != nil {
		return GitHubConfig{}, err
	}
	if !validWorkflowFile(p.WorkflowFilename) {
		return GitHubConfig{}, Invalid(CodeInvalidConfig,
			"The workflow filename %s is not valid. Use the bare name of a file in .github/workflows that ends in .yml or .yaml, of at most %d characters.", quote(p.WorkflowFilename), maxLength)
	}
	if p.Environment != nil && !validEnvironment(*p.Environment) {
		return GitHubConfig{}, Invalid(CodeInvalidConfig,
			"The environment %s is not valid. Use 1 to %d characters without leading or trailing space, control characters and '\"`,;\\, or leave it out to accept any.", quote(*p.Environment), maxLength)
	}
	if p.OwnerID <= 0 {
		return GitHubConfig{}, Invalid(CodeInvalidConfig,
			"The repository owner ID %d is not valid. Use GitHub's number of the account, which is above zero.", p.OwnerID)
	}
	if p.Issuer == "" {
		return GitHubConfig{}, Invalid(CodeInvalidConfig, "The issuer is missing. Name the issuer whose ID tokens the publisher trusts.")
	}
	c := GitHubConfig{
		id: p.ID, createdAt: p.CreatedAt, pkg: pkg, issuer: p.Issuer,
		repository: repository, ownerID: p.OwnerID, workflow: p.WorkflowFilename,
	}
	if p.Environment != nil {
		c.environment, c.hasEnvironment = *p.Environment, true
	}
	return c, nil
}

func validEnvironment(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxLength && s == strings.TrimSpace(s) &&
		!hasControl(s) && !strings.ContainsAny(s, "'\"`,;\\")
}

// ID returns the store's number of the config; zero before it was stored.
func (c GitHubConfig) ID() int64 { return c.id }

// WithID returns the config with the number that a store gave it.
func (c GitHubConfig) WithID(id int64) GitHubConfig {
	c.id = id
	return c
}

// CreatedAt returns when the config was made.
func (c GitHubConfig) CreatedAt() time.Time { return c.createdAt }

// Package returns what the workload may publish.
func (c GitHubConfig) Package() Package { return c.pkg }

// Issuer returns the one issuer whose ID tokens the config trusts.
func (c GitHubConfig) Issuer() string { return c.issuer }

// Repository returns the repository, as it was written when the config was made.
func (c GitHubConfig) Repository() Repository { return c.repository }

// OwnerID returns GitHub's immutable number of the repository's owner.
func (c GitHubConfig) OwnerID() int64 { return c.ownerID }

// WorkflowFilename returns the bare name of the workflow file.
func (c GitHubConfig) WorkflowFilename() string { return c.workflow }

// Environment returns the environment the job must run in, as it was written, and
// whether the config asks for one.
func (c GitHubConfig) Environment() (string, bool) { return c.environment, c.hasEnvironment }

// EnvironmentKey returns the form under which environments are the same, ASCII
// lower case; empty when the config accepts any. Stores compare it to tell
// identical configs.
func (c GitHubConfig) EnvironmentKey() string { return foldASCII(c.environment) }

// Match implements [Config]. The repository compares without regard to ASCII
// case, the workflow file byte for byte, the environment without regard to ASCII
// case. Neither sub nor job_workflow_ref nor the Git reference is looked at.
func (c GitHubConfig) Match(claims Claims) *Mismatch {
	ownerID := strconv.FormatInt(c.ownerID, 10)
	switch {
	case claims.Provider() != ProviderGitHub, claims.Issuer() != c.issuer, claims.Repository().Key() != c.repository.Key():
		return &Mismatch{Rule: RuleRepository, Got: quote(claims.Repository().String()), Expected: quote(c.repository.String())}
	case claims.OwnerID() != ownerID:
		return &Mismatch{Rule: RuleOwnerID, Got: quote(claims.OwnerID()), Expected: quote(ownerID)}
	case claims.Workflow() != c.workflow:
		return &Mismatch{Rule: RuleWorkflow, Got: quote(claims.Workflow()), Expected: quote(c.workflow)}
	case c.hasEnvironment && foldASCII(claims.Environment()) != foldASCII(c.environment):
		got := "no environment"
		if claims.Environment() != "" {
			got = "the environment " + quote(claims.Environment())
		}
		return &Mismatch{Rule: RuleEnvironment, Got: got, Expected: quote(c.environment)}
	}
	return nil
}

// Grant implements [Config].
func (c GitHubConfig) Grant() Grant {
	return Grant{Package: c.pkg, Provider: ProviderGitHub, ConfigID: c.id}
}
