package domain

import (
	"strings"
	"time"
	"unicode/utf8"
)

// ProviderGitLab is the kind of provider that GitLab CI/CD is, at gitlab.com and at
// any self-managed instance.
const ProviderGitLab = "gitlab"

// The immutable IDs of a GitLab project, to which a config is pinned.
const (
	// GitLabNamespaceID is the number of the user or group that the project is in.
	GitLabNamespaceID = "namespace_id"
	// GitLabProjectID is the number of the project.
	GitLabProjectID = "project_id"
)

// GitLabConfigParams are the values of a [GitLabConfig], before they are checked.
type GitLabConfigParams struct {
	// ID is the store's; zero before it was stored.
	ID int64
	// CreatedAt is when it was made.
	CreatedAt time.Time
	// Package is what the workload may publish.
	Package Package
	// Issuer is the one instance whose ID tokens the config trusts.
	Issuer string
	// Namespace is the user or group, with its subgroups, and Project the project's
	// path in it, by the rules of [NewGitLabProject].
	Namespace, Project string
	// WorkflowFilepath is the path of the CI config file in the project, such as
	// .gitlab-ci.yml: relative, ends in .yml or .yaml, at most 255 characters.
	WorkflowFilepath string
	// Environment is the deployment environment that the job must run in; nil
	// accepts any, and none.
	Environment *string
	// Pinned are the immutable IDs that the project must have; see [Common]. GitLab
	// has namespace_id and project_id.
	Pinned map[string]string
}

// About implements [ConfigParams].
func (p GitLabConfigParams) About() (provider, issuer string, pkg Package) {
	return ProviderGitLab, p.Issuer, p.Package
}

// Fresh implements [ConfigParams].
func (p GitLabConfigParams) Fresh(issuer string, now time.Time) ConfigParams {
	p.ID, p.Issuer, p.CreatedAt = 0, issuer, now
	return p
}

// Config implements [ConfigParams].
func (p GitLabConfigParams) Config() (Config, error) {
	config, err := NewGitLabConfig(p)
	if err != nil {
		return nil, err
	}
	return config, nil
}

// GitLabConfig is a package's trust in the pipelines of one CI config file of a
// GitLab project. It can't be changed once made, and is safe for concurrent use.
type GitLabConfig struct {
	config

	project        Repository
	filepath       string
	environment    string
	hasEnvironment bool
}

// NewGitLabProject validates and returns a project, with its namespace as the owner.
// The namespace is one path segment for each group, separated by slashes, and a
// segment is [a-zA-Z0-9_][a-zA-Z0-9_.-]* without ".." in it and without .git or
// .atom at its end
// (https://docs.gitlab.com/user/reserved_names/#rules-for-usernames-project-and-group-names-and-slugs);
// both have at most 255 characters. Errors are of [KindInvalid].
func NewGitLabProject(namespace, project string) (Repository, error) {
	valid := len(namespace) <= maxLength
	for segment := range strings.SplitSeq(namespace, "/") {
		valid = valid && validGitLabSegment(segment)
	}
	if !valid {
		return Repository{}, Invalid(CodeInvalidConfig,
			"The namespace %s is not valid. Use the path of the user or group, with its subgroups, as it stands in the project's URL: GROUP or GROUP/SUBGROUP.", quote(namespace))
	}
	if len(project) > maxLength || !validGitLabSegment(project) {
		return Repository{}, Invalid(CodeInvalidConfig,
			"The project %s is not valid. Use the last part of the project's path as it stands in its URL: 1 to %d letters, digits, dots, hyphens and underscores.", quote(project), maxLength)
	}
	return Repository{Owner: namespace, Name: project}, nil
}

// ParseGitLabProject reads a project's path, in which the last slash separates the
// project from its namespace.
func ParseGitLabProject(path string) (Repository, error) {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return Repository{}, Invalid(CodeInvalidConfig, "The project path %s is not of the form NAMESPACE/PROJECT.", quote(path))
	}
	return NewGitLabProject(path[:slash], path[slash+1:])
}

func validGitLabSegment(s string) bool {
	return onlyASCII(s, "_.-") && s[0] != '.' && s[0] != '-' && !strings.Contains(s, "..") &&
		!strings.HasSuffix(foldASCII(s), ".git") && !strings.HasSuffix(foldASCII(s), ".atom")
}

// NewGitLabConfig validates p and returns the config. Errors are of [KindInvalid]
// with [CodeInvalidConfig], and say which value is wrong and what is accepted.
func NewGitLabConfig(p GitLabConfigParams) (GitLabConfig, error) {
	project, err := NewGitLabProject(p.Namespace, p.Project)
	if err != nil {
		return GitLabConfig{}, err
	}
	if !validCIConfigPath(p.WorkflowFilepath) {
		return GitLabConfig{}, Invalid(CodeInvalidConfig,
			"The workflow filepath %s is not valid. Use the path of the CI config file in the project, such as .gitlab-ci.yml or ci/release.yml: relative, without empty or dot segments, ending in .yml or .yaml, without @, of at most %d characters.", quote(p.WorkflowFilepath), maxLength)
	}
	if p.Environment != nil && !validEnvironment(*p.Environment) {
		return GitLabConfig{}, invalidEnvironment(*p.Environment)
	}
	err = validPins(p.Pinned, GitLabNamespaceID, GitLabProjectID)
	if err != nil {
		return GitLabConfig{}, err
	}
	base, err := newConfig(Common{
		ID: p.ID, CreatedAt: p.CreatedAt, Package: p.Package,
		Provider: ProviderGitLab, Issuer: p.Issuer, Key: project.Key(), Pinned: p.Pinned,
	})
	if err != nil {
		return GitLabConfig{}, err
	}
	c := GitLabConfig{config: base, project: project, filepath: p.WorkflowFilepath}
	if p.Environment != nil {
		c.environment, c.hasEnvironment = *p.Environment, true
	}
	return c, nil
}

// validCIConfigPath reports whether s is the path of a file in a project. It holds no
// "@", so that PATH@REF can be cut in one way only.
func validCIConfigPath(s string) bool {
	if utf8.RuneCountInString(s) > maxLength || hasControl(s) || strings.ContainsAny(s, "@\\") {
		return false
	}
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return strings.HasSuffix(s, ".yml") || strings.HasSuffix(s, ".yaml")
}

// Stored implements [Config].
func (c GitLabConfig) Stored(id int64, pinned map[string]string) Config {
	c.config = c.stored(id, pinned)
	return c
}

// Identity implements [Config].
func (c GitLabConfig) Identity() string {
	return identity(ProviderGitLab, c.Issuer(), c.project.Key(), c.filepath, foldASCII(c.environment))
}

// Project returns the project, whose owner is its namespace, as it was written when
// the config was made.
func (c GitLabConfig) Project() Repository { return c.project }

// WorkflowFilepath returns the path of the CI config file.
func (c GitLabConfig) WorkflowFilepath() string { return c.filepath }

// Environment returns the environment the job must run in, as it was written, and
// whether the config asks for one.
func (c GitLabConfig) Environment() (string, bool) { return c.environment, c.hasEnvironment }

// Match implements [Config]. The project compares without regard to ASCII case, the
// CI config path byte for byte, the environment without regard to ASCII case. A
// namespace or a project that was deleted and made again, or taken over, has other
// numbers than those that the config is pinned to.
func (c GitLabConfig) Match(claims Claims) *Mismatch {
	miss := c.matchSource(claims, c.project.String())
	if miss != nil {
		return miss
	}
	miss = c.matchPins(claims)
	if miss != nil {
		return miss
	}
	if claims.Workflow() != c.filepath {
		return &Mismatch{Rule: RuleWorkflow, Got: quote(claims.Workflow()), Expected: quote(c.filepath)}
	}
	return matchEnvironment(claims, c.environment, c.hasEnvironment)
}
