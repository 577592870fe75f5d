package npm

import (
	"strconv"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// The members of npm's claims. Those of CircleCI are its claims' own names.
const (
	githubRepository  = "repository"
	githubWorkflow    = "workflow_ref"
	gitlabProject     = "project_path"
	gitlabConfigFile  = "ci_config_ref_uri"
	claimEnvironment  = "environment"
	fileOfClaim       = "file"
	circleCI          = "circleci"
	mayPublish        = "createPackage"
	mayPublishToStage = "createStagedPackage"
)

// trust is a config as npm trust shows it.
type trust struct {
	ID          string         `json:"id"`
	Type        string         `json:"type"`
	Claims      map[string]any `json:"claims"`
	Permissions []string       `json:"permissions"`
}

func showTrust(config domain.Config) trust {
	common := config.Common()
	return trust{
		ID:          strconv.FormatInt(common.ID, 10),
		Type:        common.Provider,
		Claims:      showClaims(config),
		Permissions: []string{mayPublish},
	}
}

func showClaims(config domain.Config) map[string]any {
	claims := map[string]any{}
	switch config := config.(type) {
	case domain.GitHubConfig:
		claims[githubRepository] = config.Repository().String()
		claims[githubWorkflow] = map[string]string{fileOfClaim: config.WorkflowFilename()}
		if environment, restricted := config.Environment(); restricted {
			claims[claimEnvironment] = environment
		}
	case domain.GitLabConfig:
		claims[gitlabProject] = config.Project().String()
		claims[gitlabConfigFile] = map[string]string{fileOfClaim: config.WorkflowFilepath()}
		if environment, restricted := config.Environment(); restricted {
			claims[claimEnvironment] = environment
		}
	case domain.ClaimsConfig:
		for name, values := range config.Claims() {
			claims[name] = values
			if len(values) == 1 {
				claims[name] = values[0]
			}
		}
	}
	return claims
}

// trustParams decodes a config for pkg. Whether the values obey the rules is for the
// domain to say. Members that are not known are refused, as each may be a restriction.
func trustParams(pkg domain.Package, object request.Object) (domain.ConfigParams, error) {
	err := object.Only("type", "claims", "permissions")
	if err != nil {
		return nil, err
	}
	err = checkPermissions(object)
	if err != nil {
		return nil, err
	}
	kind, err := object.String("type")
	if err != nil {
		return nil, err
	}
	claims, err := object.Object("claims")
	if err != nil {
		return nil, err
	}
	switch {
	case kind == nil:
		return nil, malformed("The member \"type\" is missing. It is github, gitlab or circleci.")
	case *kind == domain.ProviderGitHub:
		return githubParams(pkg, claims)
	case *kind == domain.ProviderGitLab:
		return gitlabParams(pkg, claims)
	case *kind == circleCI:
		return circleParams(pkg, claims)
	}
	return nil, malformed("The type is not known here. Use github, gitlab or circleci.")
}

// checkPermissions refuses what this registry can't hold a workload to: it knows one
// permission, to publish. npm leaves permissions out where it knows none itself.
func checkPermissions(object request.Object) error {
	if !object.Has("permissions") {
		return nil
	}
	permissions, _ := object["permissions"].([]any)
	if len(permissions) == 1 && permissions[0] == mayPublish {
		return nil
	}
	return malformed("The permissions must be %s alone, which is npm's --allow-publish. There is no %s here.", mayPublish, mayPublishToStage)
}

func githubParams(pkg domain.Package, claims request.Object) (domain.ConfigParams, error) {
	repository, file, environment, err := claimValues(claims, githubRepository, githubWorkflow)
	if err != nil {
		return nil, err
	}
	repo, err := domain.ParseRepository(repository)
	if err != nil {
		return nil, err
	}
	return domain.GitHubConfigParams{
		Package: pkg, Owner: repo.Owner, Repository: repo.Name, WorkflowFilename: file, Environment: environment,
	}, nil
}

func gitlabParams(pkg domain.Package, claims request.Object) (domain.ConfigParams, error) {
	path, file, environment, err := claimValues(claims, gitlabProject, gitlabConfigFile)
	if err != nil {
		return nil, err
	}
	project, err := domain.ParseGitLabProject(path)
	if err != nil {
		return nil, err
	}
	return domain.GitLabConfigParams{
		Package: pkg, Namespace: project.Owner, Project: project.Name, WorkflowFilepath: file, Environment: environment,
	}, nil
}

// claimValues reads the claims that GitHub and GitLab have alike: the name of a
// repository, the file of its workflow, and an environment.
func claimValues(claims request.Object, nameMember, fileMember string) (name, file string, environment *string, err error) {
	err = claims.Only(nameMember, fileMember, claimEnvironment)
	if err != nil {
		return "", "", nil, err
	}
	name, err = required(claims, nameMember)
	if err != nil {
		return "", "", nil, err
	}
	reference, err := claims.Object(fileMember)
	if err != nil {
		return "", "", nil, err
	}
	err = reference.Only(fileOfClaim)
	if err != nil {
		return "", "", nil, err
	}
	file, err = required(reference, fileOfClaim)
	if err != nil {
		return "", "", nil, err
	}
	environment, err = claims.String(claimEnvironment)
	return name, file, environment, err
}

func required(object request.Object, member string) (string, error) {
	value, err := object.String(member)
	if err != nil {
		return "", err
	}
	if value == nil {
		return "", malformed("The member %q is missing. It must be a string.", member)
	}
	return *value, nil
}

// circleParams passes the claims on as they are: which of them there can be, and which
// there must be, is for CircleCI's definition to say.
func circleParams(pkg domain.Package, claims request.Object) (domain.ConfigParams, error) {
	params := domain.ClaimsConfigParams{Package: pkg, Provider: circleCI, Claims: map[string][]string{}}
	for name, value := range claims {
		values, isList := value.([]any)
		if !isList {
			values = []any{value}
		}
		for _, v := range values {
			text, ok := v.(string)
			if !ok {
				return nil, malformed("A claim must be a string, or an array of strings.")
			}
			params.Claims[name] = append(params.Claims[name], text)
		}
		if len(values) == 0 {
			return nil, malformed("A claim has no value. Leave it out to accept any.")
		}
	}
	return params, nil
}
