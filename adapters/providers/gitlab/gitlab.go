// Package gitlab reads what the ID tokens of GitLab CI/CD say, at gitlab.com and at
// any self-managed instance.
//
// The claims are described at
// https://docs.gitlab.com/ci/secrets/id_token_authentication/.
package gitlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

// DefaultIssuer is the issuer of gitlab.com.
const DefaultIssuer = "https://gitlab.com"

// recorded are the claims that are kept for the audit record and introspection.
// user_email is left out: a person's address has no place in a registry's records.
var recorded = [...]string{
	"ci_config_ref_uri", "ci_config_sha", "deployment_tier", "environment", "environment_action", "environment_protected",
	"job_id", "job_namespace_id", "job_project_id", "job_project_path", "namespace_id", "namespace_path", "pipeline_id",
	"pipeline_source", "project_id", "project_path", "project_visibility", "ref", "ref_path", "ref_protected", "ref_type",
	"runner_environment", "runner_id", "sha", "user_access_level", "user_id", "user_login",
}

// maxID is the most digits of an ID; those of an int64 are 19.
const maxID = 20

// Provider reads the claims of one GitLab instance. It is safe for concurrent use.
type Provider struct{ issuer string }

// New returns the provider at an issuer, which is the URL of the instance.
func New(issuer string) (*Provider, error) {
	err := domain.ValidateIssuer(issuer)
	if err != nil {
		return nil, fmt.Errorf("gitlab: %w", err)
	}
	return &Provider{issuer: issuer}, nil
}

// Issuer returns the issuer URL.
func (p *Provider) Issuer() string { return p.issuer }

// Algorithms returns the JWS algorithms that GitLab signs with.
func (p *Provider) Algorithms() []string { return []string{"RS256"} }

// HasJWTID reports that GitLab's ID tokens have a jti.
func (p *Provider) HasJWTID() bool { return true }

// Workload reads who the job is. The claims that a config is matched on are of the
// project that the pipeline runs in and of the file that defines it, neither of which
// the job's code can choose; sub is customisable, and is not looked at.
func (p *Provider) Workload(raw domain.RawClaims) (domain.Workload, error) {
	path, err := raw.String("project_path")
	if err != nil {
		return domain.Workload{}, err
	}
	project, err := domain.ParseGitLabProject(path)
	if err != nil {
		return domain.Workload{}, invalid("project_path", err)
	}
	ids := map[string]string{}
	for _, name := range []string{domain.GitLabNamespaceID, domain.GitLabProjectID} {
		ids[name], err = readID(raw, name)
		if err != nil {
			return domain.Workload{}, err
		}
	}
	err = checkJobProject(raw, ids[domain.GitLabProjectID])
	if err != nil {
		return domain.Workload{}, err
	}
	file, err := p.readConfigPath(raw, project)
	if err != nil {
		return domain.Workload{}, err
	}
	environment, err := raw.OptionalString("environment")
	if err != nil {
		return domain.Workload{}, err
	}
	return domain.Workload{
		Provider:    domain.ProviderGitLab,
		Repository:  project,
		OwnerID:     ids[domain.GitLabNamespaceID],
		IDs:         ids,
		Workflow:    file,
		Environment: environment,
		Details:     raw.Details(recorded[:]),
	}, nil
}

// readID reads an immutable ID of GitLab's: digits, in a string or as a number.
func readID(raw domain.RawClaims, name string) (string, error) {
	var id string
	switch value := raw[name].(type) {
	case string:
		id = value
	case json.Number:
		id = value.String()
	}
	if id == "" {
		return "", domain.Refuse(domain.CodeMissingClaim, "The ID token lacks the claim %q, which must be a number.", name)
	}
	if strings.Trim(id, "0123456789") != "" || id[0] == '0' || len(id) > maxID {
		return "", invalid(name, errors.New("it is not a number in digits"))
	}
	return id, nil
}

// checkJobProject refuses a job that another project defines than the one that it
// runs for, such as one whose steps come from a fork. Older instances do not say it;
// there, the pipeline of a merge request may run a fork's code with the claims of the
// project (https://gitlab.com/gitlab-org/gitlab/-/work_items/563038), and is refused.
func checkJobProject(raw domain.RawClaims, projectID string) error {
	if raw["job_project_id"] == nil {
		if raw["pipeline_source"] == "merge_request_event" {
			return domain.Refuse(domain.CodeUnsupportedEvent,
				"The pipeline is of a merge request, and the ID token does not say whose code it runs. Publish from another pipeline, such as that of a tag, or update GitLab.")
		}
		return nil
	}
	jobProjectID, err := readID(raw, "job_project_id")
	if err != nil {
		return err
	}
	if jobProjectID != projectID {
		return domain.Refuse(domain.CodeInvalidClaim,
			"The job belongs to the project %s and the pipeline to the project %s. Publish from a job of the project's own pipeline.", jobProjectID, projectID)
	}
	return nil
}

// readConfigPath returns the path of the CI config file from ci_config_ref_uri, which
// is HOST/PROJECT_PATH//FILE@REF. It is null where the pipeline is defined elsewhere
// than in the project's own file.
func (p *Provider) readConfigPath(raw domain.RawClaims, project domain.Repository) (string, error) {
	const claim = "ci_config_ref_uri"
	if raw[claim] == nil {
		return "", domain.Refuse(domain.CodeMissingClaim,
			"The pipeline is not defined by a CI config file of the project itself: the claim %q of the ID token is null. Publish from a pipeline whose configuration is a file of the project.", claim)
	}
	text, err := raw.String(claim)
	if err != nil {
		return "", err
	}
	_, host, _ := strings.Cut(p.issuer, "://")
	rest, isHere := strings.CutPrefix(text, host+"/")
	path, rest, hasFile := strings.Cut(rest, "//")
	defined, err := domain.ParseGitLabProject(path)
	if !isHere || !hasFile || err != nil || defined.Key() != project.Key() {
		return "", invalid(claim, errors.New("it does not begin with the instance and the project of the job"))
	}
	file, ref, hasRef := strings.Cut(rest, "@")
	if file == "" || !hasRef || !strings.HasPrefix(ref, "refs/") || ref == "refs/" {
		return "", invalid(claim, errors.New("it is not of the form HOST/PROJECT//FILE@REF"))
	}
	return file, nil
}

// invalid turns what is wrong with a claim's value into a refusal of the ID token.
func invalid(claim string, err error) error {
	why := err.Error()
	if e, ok := errors.AsType[*domain.Error](err); ok {
		why = strings.TrimSuffix(e.Message, ".")
	}
	return domain.Refuse(domain.CodeInvalidClaim, "The claim %q of the ID token is not acceptable: %s.", claim, why)
}
