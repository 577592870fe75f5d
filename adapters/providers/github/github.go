// Package github reads what the ID tokens of GitHub Actions say, at github.com and
// at any GitHub Enterprise.
//
// The claims are described at
// https://docs.github.com/en/actions/reference/security/oidc.
package github

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

// DefaultIssuer is the issuer of github.com.
const DefaultIssuer = "https://token.actions.githubusercontent.com"

// recorded are the claims that are kept for the audit record and introspection.
var recorded = [...]string{
	"actor", "actor_id", "base_ref", "check_run_id", "enterprise", "enterprise_id", "environment",
	"environment_node_id", "event_name", "head_ref", "job_workflow_ref", "job_workflow_sha",
	"ref", "ref_protected", "ref_type", "repository", "repository_id", "repository_owner",
	"repository_owner_id", "repository_visibility", "run_attempt", "run_id", "run_number",
	"runner_environment", "sha", "workflow", "workflow_ref", "workflow_sha",
}

// maxID is the most digits of an ID; those of an int64 are 19.
const maxID = 20

// Provider reads the claims of one GitHub issuer. It is safe for concurrent use.
type Provider struct{ issuer string }

// New returns the provider at an issuer, such as [DefaultIssuer] or
// "https://HOST/_services/token" of a GitHub Enterprise Server.
func New(issuer string) (*Provider, error) {
	err := domain.ValidateIssuer(issuer)
	if err != nil {
		return nil, fmt.Errorf("github: %w", err)
	}
	return &Provider{issuer: issuer}, nil
}

// Issuer returns the issuer URL.
func (p *Provider) Issuer() string { return p.issuer }

// Algorithms returns the JWS algorithms that GitHub signs with.
func (p *Provider) Algorithms() []string { return []string{"RS256"} }

// HasJWTID reports that GitHub's ID tokens have a jti.
func (p *Provider) HasJWTID() bool { return true }

// Workload reads who the job is. It refuses the events under which a workflow of
// the repository runs on behalf of code that its owners have not accepted. What a
// config is matched on comes from claims that the workload's code can't choose: sub
// is customisable, and is not looked at. job_workflow_ref names a reusable workflow,
// which may be anybody's; it never stands for the workflow that was triggered.
func (p *Provider) Workload(raw domain.RawClaims) (domain.Workload, error) {
	err := checkEvent(raw)
	if err != nil {
		return domain.Workload{}, err
	}
	repository, err := readRepository(raw)
	if err != nil {
		return domain.Workload{}, err
	}
	ownerID, err := readID(raw.String, "repository_owner_id")
	if err != nil {
		return domain.Workload{}, err
	}
	repositoryID, err := readID(raw.OptionalString, "repository_id")
	if err != nil {
		return domain.Workload{}, err
	}
	ids := map[string]string{}
	if repositoryID != "" {
		ids["repository_id"] = repositoryID
	}
	workflow, err := readWorkflow(raw, repository)
	if err != nil {
		return domain.Workload{}, err
	}
	environment, err := raw.OptionalString("environment")
	if err != nil {
		return domain.Workload{}, err
	}
	return domain.Workload{
		Provider:         domain.ProviderGitHub,
		Repository:       repository,
		OwnerID:          ownerID,
		IDs:              ids,
		Workflow:         workflow,
		ReusableWorkflow: reusableWorkflow(raw),
		Environment:      environment,
		Details:          raw.Details(recorded[:]),
	}, nil
}

// checkEvent refuses pull_request_target and workflow_run: both run with the
// rights of the base repository and are routinely made to run a fork's code
// (https://securitylab.github.com/resources/github-actions-preventing-pwn-requests/).
func checkEvent(raw domain.RawClaims) error {
	event, err := raw.String("event_name")
	if err != nil {
		return err
	}
	switch event {
	case "pull_request_target", "workflow_run":
		return domain.Refuse(domain.CodeUnsupportedEvent,
			"The workflow was triggered by %q, under which a fork's code can run with the repository's rights. Publish from another event, such as push, release or workflow_dispatch.", event)
	}
	return nil
}

func readRepository(raw domain.RawClaims) (domain.Repository, error) {
	full, err := raw.String("repository")
	if err != nil {
		return domain.Repository{}, err
	}
	repository, err := domain.ParseRepository(full)
	if err != nil {
		return domain.Repository{}, invalid("repository", err)
	}
	return repository, nil
}

// readID reads an immutable ID of GitHub's: a string of decimal digits.
func readID(read func(string) (string, error), name string) (string, error) {
	id, err := read(name)
	if err != nil {
		return "", err
	}
	if id != "" && (strings.Trim(id, "0123456789") != "" || id[0] == '0' || len(id) > maxID) {
		return "", invalid(name, errors.New("it is not a number in digits"))
	}
	return id, nil
}

// readWorkflow returns the file name of the workflow that was triggered.
func readWorkflow(raw domain.RawClaims, repository domain.Repository) (string, error) {
	text, err := raw.String("workflow_ref")
	if err != nil {
		return "", err
	}
	ref, err := domain.ParseWorkflowRef(text)
	if err != nil {
		return "", invalid("workflow_ref", err)
	}
	if ref.Repository.Key() != repository.Key() {
		return "", invalid("workflow_ref", errors.New("it names a workflow of another repository than the job's"))
	}
	return ref.File, nil
}

// reusableWorkflow returns the workflow that the job's steps come from, which is the
// one that was triggered or one that it calls. A claim that can't be read is as good
// as none: only a config that names a reusable workflow asks for it.
func reusableWorkflow(raw domain.RawClaims) domain.WorkflowRef {
	text, _ := raw["job_workflow_ref"].(string)
	ref, err := domain.ParseWorkflowRef(text)
	if err != nil {
		return domain.WorkflowRef{}
	}
	return ref
}

// invalid turns what is wrong with a claim's value into a refusal of the ID token.
func invalid(claim string, err error) error {
	why := err.Error()
	if e, ok := errors.AsType[*domain.Error](err); ok {
		why = strings.TrimSuffix(e.Message, ".")
	}
	return domain.Refuse(domain.CodeInvalidClaim, "The claim %q of the ID token is not acceptable: %s.", claim, why)
}
