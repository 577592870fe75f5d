package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

const gemPublishersPath = "/api/v1/gems/tool/trusted_publishers"

// gemPublisherBody returns a good request for a trusted publisher, with the members of
// change added, replaced or, where nil, left out.
func gemPublisherBody(tb testing.TB, change members) string {
	tb.Helper()
	publisher := members{"repository_owner": raw(`"octo"`), "repository_name": raw(`"tool"`), "workflow_filename": raw(`"release.yml"`)}
	for name, value := range change {
		publisher[name] = value
		if value == nil {
			delete(publisher, name)
		}
	}
	b, err := json.Marshal(map[string]any{"trusted_publisher_type": "OIDC::TrustedPublisher::GitHubAction", "trusted_publisher": publisher})
	require.NoError(tb, err)
	return string(b)
}

func TestATrustedPublisherOfAGemIsMadeOfWhatTheBodySays(t *testing.T) {
	t.Parallel()
	prod := "prod"
	gem := domain.Package{Ecosystem: "gem", Name: "tool"}
	base := domain.GitHubConfigParams{Package: gem, Owner: "octo", Repository: "tool", WorkflowFilename: "release.yml"}
	tests := []struct {
		name   string
		change members
		want   func(p *domain.GitHubConfigParams)
	}{
		{"what is required alone", nil, func(*domain.GitHubConfigParams) {}},
		{"null for what may be left out", members{"environment": raw(`null`), "workflow_repository_owner": raw(`null`), "workflow_repository_name": raw(`null`)}, func(*domain.GitHubConfigParams) {}},
		{"an environment", members{"environment": raw(`"prod"`)}, func(p *domain.GitHubConfigParams) { p.Environment = &prod }},
		{"the empty environment of the form", members{"environment": raw(`""`)}, func(*domain.GitHubConfigParams) {}},
		{"a workflow repository", members{"workflow_repository_owner": raw(`"acme"`), "workflow_repository_name": raw(`"shared"`)}, func(p *domain.GitHubConfigParams) {
			p.WorkflowRepository, p.ReusableWorkflowFilename = "acme/shared", "release.yml"
		}},
		{"a reusable workflow of another name", members{"workflow_repository_owner": raw(`"acme"`), "workflow_repository_name": raw(`"shared"`), "reusable_workflow_filename": raw(`"gem.yml"`)}, func(p *domain.GitHubConfigParams) {
			p.WorkflowRepository, p.ReusableWorkflowFilename = "acme/shared", "gem.yml"
		}},
		{"an owner ID", members{"repository_owner_id": raw(`9007199254740993`)}, func(p *domain.GitHubConfigParams) { p.OwnerID = 9007199254740993 }},
		{"an issuer", members{"issuer": raw(`"https://ghes.example"`)}, func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var asked domain.ConfigParams
			r := newRegistry(t, func(cfg *setup) { cfg.Publishers = paramsKeeper{cfg.Publishers, &asked} })
			r.do(t, jsonTo(http.MethodPost, gemPublishersPath, gemPublisherBody(t, test.change)).bearer(adminToken))
			want := base
			test.want(&want)
			require.Equal(t, want, asked)
		})
	}
}

func TestATrustedPublisherThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change members
	}{
		{"no owner", members{"repository_owner": nil}},
		{"no name", members{"repository_name": nil}},
		{"no workflow", members{"workflow_filename": nil}},
		{"workflow with a path", members{"workflow_filename": raw(`".github/workflows/release.yml"`)}},
		{"owner not a string", members{"repository_owner": raw(`1`)}},
		{"unknown owner", members{"repository_owner": raw(`"nobody"`)}},
		{"owner ID in quotes", members{"repository_owner_id": raw(`"123"`)}},
		{"owner ID of zero", members{"repository_owner_id": raw(`0`)}},
		{"blank environment", members{"environment": raw(`" "`)}},
		{"environment not a string", members{"environment": raw(`false`)}},
		{"workflow owner alone", members{"workflow_repository_owner": raw(`"acme"`)}},
		{"workflow repository alone", members{"workflow_repository_name": raw(`"shared"`)}},
		{"reusable workflow alone", members{"reusable_workflow_filename": raw(`"gem.yml"`)}},
		{"workflow repository with a slash", members{"workflow_repository_owner": raw(`"acme/x"`), "workflow_repository_name": raw(`"shared"`)}},
		{"another issuer", members{"issuer": raw(`"https://ghes.example"`)}},
		{"unknown member", members{"environments": raw(`"prod"`)}},
		{"member in capitals", members{"Environment": raw(`"prod"`)}},
		{"member of the answer", members{"name": raw(`"x"`)}},
		{"package", members{"package": raw(`"serde"`)}},
	}
	r := newRegistry(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response := r.do(t, jsonTo(http.MethodPost, gemPublishersPath, gemPublisherBody(t, test.change)).bearer(adminToken))
			require.Equal(t, http.StatusBadRequest, response.StatusCode, response.Body)
		})
	}
	good := gemPublisherBody(t, nil)
	for _, body := range []string{
		"", "null", "[]", "{}", "[" + good + "]", good + good,
		strings.Replace(good, "GitHubAction", "GitLab", 1), strings.Replace(good, "OIDC::TrustedPublisher::GitHubAction", "", 1),
		strings.Replace(good, `"trusted_publisher_type"`, `"Trusted_Publisher_Type"`, 1),
		strings.Replace(good, "{", `{"rubygem":"serde",`, 1),
		`{"trusted_publisher_type":"OIDC::TrustedPublisher::GitHubAction","trusted_publisher":null}`,
	} {
		response := r.do(t, jsonTo(http.MethodPost, gemPublishersPath, body).bearer(adminToken))
		require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
	}
	require.Equal(t, 2, r.store.configs(t), "nothing was stored")
}

func TestNamesOfGemsAreDecodedOnceAndHeldToTheRule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, escaped string
		want          int
	}{
		{"plain", "tool", 200},
		{"all sorts", "a.b_c-D1", 200},
		{"digit first", "7zip", 200},
		{"encoded for no reason", "%74ool", 200},
		{"encoded twice", "%2574ool", 400},
		{"slash", "a%2fb", 400},
		{"slash encoded twice", "a%252fb", 400},
		{"dots", "..", 400},
		{"dots encoded", "%2e%2e", 400},
		{"dot first", ".tool", 400},
		{"hyphen first", "-tool", 400},
		{"no letter", "12-3", 400},
		{"space", "to%20ol", 400},
		{"NUL", "tool%00", 400},
		{"newline", "tool%0a", 400},
		{"quote", "tool%22", 400},
		{"not ASCII", "t%C3%B6%C3%B6l", 400},
		{"not UTF-8", "%ff", 400},
		{"scope", "@octo", 400},
		{"too long", strings.Repeat("a", 256), 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			response := r.do(t, bare(http.MethodGet, "/api/v1/gems/"+test.escaped+"/trusted_publishers").bearer(adminToken))
			require.Equal(t, test.want, response.StatusCode, response.Body)
			response = r.do(t, bare(http.MethodDelete, "/api/v1/gems/"+test.escaped+"/trusted_publishers/1").bearer(adminToken))
			want := test.want
			if want == http.StatusOK {
				want = http.StatusNotFound // The config is of the crate serde.
			}
			require.Equal(t, want, response.StatusCode, response.Body)
			require.Equal(t, 2, r.store.configs(t))
		})
	}
}

func TestTrustedPublishersAskForTheCredentialBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, header := range []string{"", "Bearer", adminToken, "Basic " + adminToken, "Bearer " + registryToken, "Bearer " + adminToken + "x"} {
		for _, q := range []call{
			jsonTo(http.MethodPost, gemPublishersPath, `{`),
			jsonTo(http.MethodPost, "/api/v1/gems/../trusted_publishers", `{`),
			bare(http.MethodGet, gemPublishersPath),
			bare(http.MethodGet, "/api/v1/gems/-/trusted_publishers"),
			bare(http.MethodDelete, gemPublishersPath+"/nonsense"),
			bare(http.MethodDelete, gemPublishersPath+"/1"),
		} {
			response := r.do(t, q.with("Authorization", header))
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Equal(t, "Bearer", response.Header.Get("Www-Authenticate"))
		}
	}
}

func TestAPublisherIsDeletedAsThatOfItsGemAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "gem", "tool")
	r.trust(t, "npm", "tool")
	for _, target := range []string{
		"/api/v1/gems/serde/trusted_publishers/1", // the crate of that name
		"/api/v1/gems/Tool/trusted_publishers/3",
		"/api/v1/gems/serde/trusted_publishers/3",
		"/api/v1/gems/tool/trusted_publishers/4", // the npm package of that name
		"/api/v1/gems/tool/trusted_publishers/03",
		"/api/v1/gems/tool/trusted_publishers/+3",
		"/api/v1/gems/tool/trusted_publishers/3.0",
		"/api/v1/gems/tool/trusted_publishers/99",
	} {
		require.Equal(t, http.StatusNotFound, r.do(t, bare(http.MethodDelete, target).bearer(adminToken)).StatusCode, target)
	}
	require.Equal(t, 4, r.store.configs(t))
	require.Equal(t, http.StatusNoContent, r.do(t, bare(http.MethodDelete, gemPublishersPath+"/3").bearer(adminToken)).StatusCode)
	require.Equal(t, 3, r.store.configs(t))
}
