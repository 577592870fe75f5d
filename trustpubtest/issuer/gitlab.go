package issuer

import "strings"

// GitLabClaims returns the claims that GitLab CI/CD puts into an ID token, for the
// pipeline .gitlab-ci.yml of octo-group/tools/octo-project. aud is "crates.io", jti is
// new each time, and the token lives for an hour from now. Some jobs have more:
// environment, environment_protected, deployment_tier and environment_action.
func (i *Issuer) GitLabClaims() Claims {
	now := i.cfg.Now().Unix()
	_, host, _ := strings.Cut(i.url, "://")
	return Claims{
		"jti":                randomHex(),
		"sub":                "project_path:octo-group/tools/octo-project:ref_type:tag:ref:v1.2.3",
		"aud":                "crates.io",
		"iss":                i.url,
		"iat":                now,
		"nbf":                now - 5,
		"exp":                now + 3600,
		"namespace_id":       "72",
		"namespace_path":     "octo-group/tools",
		"project_id":         "20",
		"project_path":       "octo-group/tools/octo-project",
		"project_visibility": "public",
		"user_id":            "1",
		"user_login":         "octocat",
		"user_email":         "octocat@example.com",
		"user_access_level":  "owner",
		"pipeline_id":        "574",
		"pipeline_source":    "push",
		"job_id":             "302",
		"job_namespace_id":   "72",
		"job_project_id":     "20",
		"job_project_path":   "octo-group/tools/octo-project",
		"ref":                "v1.2.3",
		"ref_type":           "tag",
		"ref_path":           "refs/tags/v1.2.3",
		"ref_protected":      "true",
		"groups_direct":      []string{"octo-group"},
		"runner_id":          1,
		"runner_environment": "gitlab-hosted",
		"sha":                "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"ci_config_ref_uri":  host + "/octo-group/tools/octo-project//.gitlab-ci.yml@refs/tags/v1.2.3",
		"ci_config_sha":      "714a629c0b401fdce83e847fc9589983fc6f46bc",
	}
}
