package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// npmTrust is the body that npm trust github sends.
const npmTrust = `[{"type":"github","claims":{"repository":"octo/app","workflow_ref":{"file":"release.yml"}},"permissions":["createPackage"]}]`

func createTrust(escapedName, body string) call {
	return jsonTo(http.MethodPost, "/-/package/"+escapedName+"/trust", body).bearer(adminToken)
}

// configsOf returns the configs of a package of npm.
func configsOf(t *testing.T, r *registry, name string) []domain.Config {
	t.Helper()
	page, err := r.store.ListConfigs(t.Context(), application.ListQuery{Package: domain.Package{Ecosystem: "npm", Name: name}, Limit: 10})
	require.NoError(t, err)
	return page.Configs
}

func TestNPMTrustIsForThePackageInTheURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, escaped, want string
	}{
		{"without scope", "tool", "tool"},
		{"npm", "@octo%2fapp", "@octo/app"},
		{"escaped wholly", "%40octo%2Fapp", "@octo/app"},
		{"a proxy that decodes", "@octo/app", "@octo/app"},
		{"the name trust", "trust", "trust"},
		{"the name trust with a scope", "@trust%2ftrust", "@trust/trust"},
		{"the name trust with a scope, decoded", "@trust/trust", "@trust/trust"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			require.Equal(t, http.StatusOK, r.do(t, createTrust(test.escaped, npmTrust)).StatusCode)
			require.Len(t, configsOf(t, r, test.want), 1)

			listed := r.do(t, bare(http.MethodGet, "/-/package/"+test.escaped+"/trust").bearer(adminToken))
			require.Equal(t, http.StatusOK, listed.StatusCode)
			require.Contains(t, listed.Body, `"id":"3"`)
			deleted := r.do(t, bare(http.MethodDelete, "/-/package/"+test.escaped+"/trust/3").bearer(adminToken))
			require.Equal(t, http.StatusNoContent, deleted.StatusCode, deleted.Body)
			require.Empty(t, configsOf(t, r, test.want))
		})
	}
}

func TestAConfigThatNPMTrustMadeIsObeyed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	require.Equal(t, http.StatusNotFound, r.do(t, npmExchange("tool")).StatusCode)
	require.Equal(t, http.StatusOK, r.do(t, createTrust("tool", npmTrust)).StatusCode)
	require.Equal(t, http.StatusCreated, r.do(t, npmExchange("tool")).StatusCode)
	require.Equal(t, http.StatusNoContent, r.do(t, bare(http.MethodDelete, "/-/package/tool/trust/3").bearer(adminToken)).StatusCode)
	response := r.do(t, bare(http.MethodPost, npmExchangePath+"tool").bearer(goodJWT2))
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}

func TestNPMTrustRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	github := func(claims string) string {
		return `[{"type":"github","claims":` + claims + `,"permissions":["createPackage"]}]`
	}
	tests := []struct {
		name, body, want string
	}{
		{"no array", strings.Trim(npmTrust, "[]"), "one JSON array"},
		{"no JSON", "x", "one JSON array"},
		{"null", "null", "one JSON array"},
		{"array of strings", `["github"]`, "one JSON array"},
		{"member twice", `[{"type":"github","type":"gitlab","claims":{}}]`, "occur once"},
		{"something behind", npmTrust + `[]`, "one JSON array"},
		{"nothing", "[]", "must hold one config"},
		{"two", `[{"type":"github"},{"type":"github"}]`, "must hold one config"},
		{"unknown member", `[{"type":"github","claims":{},"issuer":"x"}]`, "not known"},
		{"member in capitals", `[{"Type":"github","claims":{}}]`, "not known"},
		{"no type", `[{"claims":{}}]`, `\"type\" is missing`},
		{"type of another form", `[{"type":1,"claims":{}}]`, "must be a string"},
		{"unknown type", `[{"type":"travis","claims":{}}]`, "type is not known"},
		{"no claims", `[{"type":"github"}]`, `\"claims\" is missing`},
		{"claims of another form", `[{"type":"github","claims":[]}]`, "must be an object"},
		{"no permission", `[{"type":"github","claims":{},"permissions":[]}]`, "createPackage alone"},
		{"null for permissions", `[{"type":"github","claims":{},"permissions":null}]`, "createPackage alone"},
		{"staged publishing", `[{"type":"github","claims":{},"permissions":["createStagedPackage"]}]`, "createPackage alone"},
		{"both permissions", `[{"type":"github","claims":{},"permissions":["createPackage","createStagedPackage"]}]`, "createPackage alone"},
		{"permission of another form", `[{"type":"github","claims":{},"permissions":"createPackage"}]`, "createPackage alone"},
		{"unknown claim", github(`{"repository":"octo/app","workflow_ref":{"file":"release.yml"},"ref":"refs/heads/main"}`), "not known"},
		{"unknown member of the workflow", github(`{"repository":"octo/app","workflow_ref":{"file":"release.yml","ref":"main"}}`), "not known"},
		{"no repository", github(`{"workflow_ref":{"file":"release.yml"}}`), `\"repository\" is missing`},
		{"repository without owner", github(`{"repository":"app","workflow_ref":{"file":"release.yml"}}`), "owner/name"},
		{"repository with more", github(`{"repository":"octo/app/x","workflow_ref":{"file":"release.yml"}}`), "repository name"},
		{"no workflow", github(`{"repository":"octo/app"}`), `\"workflow_ref\" is missing`},
		{"workflow of another form", github(`{"repository":"octo/app","workflow_ref":"release.yml"}`), "must be an object"},
		{"workflow without file", github(`{"repository":"octo/app","workflow_ref":{}}`), `\"file\" is missing`},
		{"workflow in a folder", github(`{"repository":"octo/app","workflow_ref":{"file":"x/release.yml"}}`), "workflow filename"},
		{"empty environment", github(`{"repository":"octo/app","workflow_ref":{"file":"release.yml"},"environment":""}`), "environment"},
		{"environment of another form", github(`{"repository":"octo/app","workflow_ref":{"file":"release.yml"},"environment":1}`), "must be a string"},
		{"unknown owner", github(`{"repository":"nobody/app","workflow_ref":{"file":"release.yml"}}`), "no account"},
		{"GitLab without project", `[{"type":"gitlab","claims":{"ci_config_ref_uri":{"file":".gitlab-ci.yml"}}}]`, `\"project_path\" is missing`},
		{"GitLab with a project without group", `[{"type":"gitlab","claims":{"project_path":"app","ci_config_ref_uri":{"file":".gitlab-ci.yml"}}}]`, "NAMESPACE/PROJECT"},
		{"GitLab with the claims of GitHub", `[{"type":"gitlab","claims":{"repository":"octo/app","workflow_ref":{"file":"release.yml"}}}]`, "not known"},
		{"CircleCI with a claim that is no text", `[{"type":"circleci","claims":{"oidc.circleci.com/org-id":1}}]`, "array of strings"},
		{"CircleCI with a claim without value", `[{"type":"circleci","claims":{"oidc.circleci.com/context-ids":[]}}]`, "no value"},
		{"CircleCI, which is not enabled", `[{"type":"circleci","claims":{"oidc.circleci.com/org-id":"x"}}]`, "is enabled here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			response := r.do(t, createTrust("tool", test.body))
			require.Equal(t, http.StatusBadRequest, response.StatusCode, response.Body)
			require.Contains(t, response.Body, test.want)
			require.Empty(t, configsOf(t, r, "tool"))
		})
	}
}

func TestNPMTrustOfCircleCIIsAConfigOfClaims(t *testing.T) {
	t.Parallel()
	definition := domain.Definition{
		Name: "circleci", Issuer: "https://oidc.circleci.com/org/x", Algorithms: []string{"RS256"},
		Required: []domain.ClaimRule{{Claim: "oidc.circleci.com/project-id", Match: domain.MatchExact}},
		Optional: []domain.ClaimRule{{Claim: "oidc.circleci.com/context-ids", Match: domain.MatchContains}},
	}
	r := newRegistry(t, func(cfg *setup) {
		var err error
		cfg.Publishers, err = application.NewPublisherService(application.PublisherConfig{
			Configs: memory.New(), Ownership: operator{}, Owners: accounts{}, Auditor: silent{},
			Issuers: map[string][]string{"circleci": {definition.Issuer}}, Definitions: []domain.Definition{definition}, Now: cfg.Now,
		})
		require.NoError(t, err)
	})
	claims := `{"oidc.circleci.com/context-ids":["a","b"],"oidc.circleci.com/project-id":"p"}`
	response := r.do(t, createTrust("tool", `[{"type":"circleci","claims":`+claims+`,"permissions":["createPackage"]}]`))
	require.Equal(t, http.StatusOK, response.StatusCode, response.Body)
	require.Contains(t, response.Body, `"type":"circleci","claims":`+claims)
}

func TestNPMTrustIsForThoseWhoMayManageThePackage(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "npm", "tool")
	tests := []struct {
		name    string
		request call
		want    int
	}{
		{"list as nobody", bare(http.MethodGet, "/-/package/tool/trust"), http.StatusUnauthorized},
		{"create as nobody", jsonTo(http.MethodPost, "/-/package/tool/trust", npmTrust), http.StatusUnauthorized},
		{"delete as nobody", bare(http.MethodDelete, "/-/package/tool/trust/3"), http.StatusUnauthorized},
		{"list with an ID token", bare(http.MethodGet, "/-/package/tool/trust").bearer(goodJWT), http.StatusUnauthorized},
		{"create with an access token", jsonTo(http.MethodPost, "/-/package/tool/trust", npmTrust).bearer(accessToken), http.StatusUnauthorized},
		{"list what others own", bare(http.MethodGet, "/-/package/others/trust").bearer(adminToken), http.StatusForbidden},
		{"create for what others own", createTrust("others", npmTrust), http.StatusForbidden},
		{"delete by the name of another package", bare(http.MethodDelete, "/-/package/other/trust/3").bearer(adminToken), http.StatusNotFound},
		{"delete a config of a crate", bare(http.MethodDelete, "/-/package/serde/trust/1").bearer(adminToken), http.StatusNotFound},
		{"delete what does not exist", bare(http.MethodDelete, "/-/package/tool/trust/99").bearer(adminToken), http.StatusNotFound},
		{"delete by what is no number", bare(http.MethodDelete, "/-/package/tool/trust/x").bearer(adminToken), http.StatusNotFound},
		{"delete by another spelling of the number", bare(http.MethodDelete, "/-/package/tool/trust/03").bearer(adminToken), http.StatusNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response := r.do(t, test.request)
			require.Equal(t, test.want, response.StatusCode, response.Body)
			require.Len(t, configsOf(t, r, "tool"), 1)
			require.Equal(t, 3, r.store.configs(t))
		})
	}
}

func FuzzNPMTrust(f *testing.F) {
	seeds := append([]string{npmTrust, "[]", "[{}]", `[{"type":"gitlab","claims":{"project_path":"a/b","ci_config_ref_uri":{"file":null}}}]`, `[{"type":"circleci","claims":{"a":["b",1e999]}}]`}, hostileText...)
	fuzzTarget(f, seeds, func(s string) call { return createTrust("@octo%2fapp", s) })
}
