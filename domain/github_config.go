package domain

import (
	"slices"
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
	// WorkflowRepository, "owner/name", and ReusableWorkflowFilename name the reusable
	// workflow that the job's steps must come from (job_workflow_ref), in addition to
	// the workflow that was triggered. Both are empty to accept any, and none.
	WorkflowRepository, ReusableWorkflowFilename string
	// Environment is the deployment environment that the job must run in; nil
	// accepts any, and none.
	Environment *string
	// Pinned are the immutable IDs that the repository must have; see [Common]. GitHub
	// has repository_id.
	Pinned map[string]string
}

// About implements [ConfigParams].
func (p GitHubConfigParams) About() (provider, issuer string, pkg Package) {
	return ProviderGitHub, p.Issuer, p.Package
}

// Fresh implements [ConfigParams].
func (p GitHubConfigParams) Fresh(issuer string, now time.Time) ConfigParams {
	p.ID, p.Issuer, p.CreatedAt = 0, issuer, now
	return p
}

// Config implements [ConfigParams].
func (p GitHubConfigParams) Config() (Config, error) {
	config, err := NewGitHubConfig(p)
	if err != nil {
		return nil, err
	}
	return config, nil
}

// GitHubConfig is a package's trust in one GitHub Actions workflow. It can't be
// changed once made, and is safe for concurrent use.
type GitHubConfig struct {
	config

	repository         Repository
	ownerID            int64
	workflow           string
	workflowRepository Repository
	reusableWorkflow   string
	environment        string
	hasEnvironment     bool
}

// NewGitHubConfig validates p and returns the config. Errors are of [KindInvalid]
// with [CodeInvalidConfig], and say which value is wrong and what is accepted.
func NewGitHubConfig(p GitHubConfigParams) (GitHubConfig, error) {
	repository, err := NewRepository(p.Owner, p.Repository)
	if err != nil {
		return GitHubConfig{}, err
	}
	if !validWorkflowFile(p.WorkflowFilename) {
		return GitHubConfig{}, Invalid(CodeInvalidConfig,
			"The workflow filename %s is not valid. Use the bare name of a file in .github/workflows that ends in .yml or .yaml, of at most %d characters.", quote(p.WorkflowFilename), maxLength)
	}
	if p.Environment != nil && !validEnvironment(*p.Environment) {
		return GitHubConfig{}, invalidEnvironment(*p.Environment)
	}
	if p.OwnerID <= 0 {
		return GitHubConfig{}, Invalid(CodeInvalidConfig,
			"The repository owner ID %d is not valid. Use GitHub's number of the account, which is above zero.", p.OwnerID)
	}
	err = validPins(p.Pinned, "repository_id")
	if err != nil {
		return GitHubConfig{}, err
	}
	base, err := newConfig(Common{
		ID: p.ID, CreatedAt: p.CreatedAt, Package: p.Package,
		Provider: ProviderGitHub, Issuer: p.Issuer, Key: repository.Key(), Pinned: p.Pinned,
	})
	if err != nil {
		return GitHubConfig{}, err
	}
	c := GitHubConfig{config: base, repository: repository, ownerID: p.OwnerID, workflow: p.WorkflowFilename}
	c.workflowRepository, c.reusableWorkflow, err = newReusableWorkflow(p.WorkflowRepository, p.ReusableWorkflowFilename)
	if err != nil {
		return GitHubConfig{}, err
	}
	if p.Environment != nil {
		c.environment, c.hasEnvironment = *p.Environment, true
	}
	return c, nil
}

// newReusableWorkflow checks the two names of a reusable workflow, of which either
// both are given or none.
func newReusableWorkflow(repository, filename string) (Repository, string, error) {
	if repository == "" && filename == "" {
		return Repository{}, "", nil
	}
	if repository == "" || !validWorkflowFile(filename) {
		return Repository{}, "", Invalid(CodeInvalidConfig,
			"The reusable workflow is not valid. Name its repository, as owner/name, and the bare name of its file in .github/workflows that ends in .yml or .yaml; or leave both out to accept any.")
	}
	r, err := ParseRepository(repository)
	return r, filename, err
}

// validPins refuses IDs of other names, and such as are no decimal number.
func validPins(pinned map[string]string, names ...string) error {
	for name, id := range pinned {
		if !slices.Contains(names, name) {
			return Invalid(CodeInvalidConfig, "The ID %s is not known here. Those known are %s.", quote(name), strings.Join(names, ", "))
		}
		if strings.Trim(id, "0123456789") != "" || strings.HasPrefix(id, "0") {
			return Invalid(CodeInvalidConfig, "The %s %s is not valid. Use the provider's number, in digits.", name, quote(id))
		}
	}
	return nil
}

func validEnvironment(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxLength && s == strings.TrimSpace(s) &&
		!hasControl(s) && !strings.ContainsAny(s, "'\"`,;\\")
}

func invalidEnvironment(s string) error {
	return Invalid(CodeInvalidConfig,
		"The environment %s is not valid. Use 1 to %d characters without leading or trailing space, control characters and '\"`,;\\, or leave it out to accept any.", quote(s), maxLength)
}

// Stored implements [Config].
func (c GitHubConfig) Stored(id int64, pinned map[string]string) Config {
	c.config = c.stored(id, pinned)
	return c
}

// Identity implements [Config].
func (c GitHubConfig) Identity() string {
	return identity(ProviderGitHub, c.Issuer(), c.repository.Key(), strconv.FormatInt(c.ownerID, 10), c.workflow,
		c.workflowRepository.Key(), c.reusableWorkflow, c.EnvironmentKey())
}

// Repository returns the repository, as it was written when the config was made.
func (c GitHubConfig) Repository() Repository { return c.repository }

// OwnerID returns GitHub's immutable number of the repository's owner.
func (c GitHubConfig) OwnerID() int64 { return c.ownerID }

// WorkflowFilename returns the bare name of the workflow file.
func (c GitHubConfig) WorkflowFilename() string { return c.workflow }

// ReusableWorkflow returns the repository and the file of the reusable workflow that
// the job's steps must come from, and whether the config asks for one.
func (c GitHubConfig) ReusableWorkflow() (Repository, string, bool) {
	return c.workflowRepository, c.reusableWorkflow, c.reusableWorkflow != ""
}

// Environment returns the environment the job must run in, as it was written, and
// whether the config asks for one.
func (c GitHubConfig) Environment() (string, bool) { return c.environment, c.hasEnvironment }

// EnvironmentKey returns the form under which environments are the same, ASCII
// lower case; empty when the config accepts any. Stores compare it to tell
// identical configs.
func (c GitHubConfig) EnvironmentKey() string { return foldASCII(c.environment) }

// Match implements [Config]. The repository compares without regard to ASCII
// case, the workflow file byte for byte, the environment without regard to ASCII
// case. Neither sub nor the Git reference is looked at, and job_workflow_ref only
// where the config names a reusable workflow.
func (c GitHubConfig) Match(claims Claims) *Mismatch {
	miss := c.matchSource(claims, c.repository.String())
	if miss != nil {
		return miss
	}
	ownerID := strconv.FormatInt(c.ownerID, 10)
	if claims.OwnerID() != ownerID {
		return &Mismatch{Rule: RuleOwnerID, Got: quote(claims.OwnerID()), Expected: quote(ownerID)}
	}
	miss = c.matchPins(claims)
	if miss != nil {
		return miss
	}
	if claims.Workflow() != c.workflow {
		return &Mismatch{Rule: RuleWorkflow, Got: quote(claims.Workflow()), Expected: quote(c.workflow)}
	}
	if reusable := claims.ReusableWorkflow(); c.reusableWorkflow != "" &&
		(reusable.Repository.Key() != c.workflowRepository.Key() || reusable.File != c.reusableWorkflow) {
		return &Mismatch{Rule: RuleReusableWorkflow, Got: showReusable(reusable.Repository, reusable.File), Expected: showReusable(c.workflowRepository, c.reusableWorkflow)}
	}
	return matchEnvironment(claims, c.environment, c.hasEnvironment)
}

func showReusable(repository Repository, file string) string {
	if file == "" {
		return "no workflow that can be told"
	}
	return quote(repository.String() + "/" + file)
}

// matchEnvironment checks the environment where the config asks for one.
func matchEnvironment(claims Claims, environment string, asked bool) *Mismatch {
	if !asked || foldASCII(claims.Environment()) == foldASCII(environment) {
		return nil
	}
	got := "no environment"
	if claims.Environment() != "" {
		got = "the environment " + quote(claims.Environment())
	}
	return &Mismatch{Rule: RuleEnvironment, Got: got, Expected: quote(environment)}
}
