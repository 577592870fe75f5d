package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// configBody returns a good request for a config, with the members of change
// added, replaced or, where nil, left out.
func configBody(tb testing.TB, change map[string]json.RawMessage) string {
	tb.Helper()
	members := map[string]json.RawMessage{
		"crate": raw(`"left-pad"`), "repository_owner": raw(`"octo"`), "repository_name": raw(`"pad"`), "workflow_filename": raw(`"release.yml"`),
	}
	for name, value := range change {
		members[name] = value
		if value == nil {
			delete(members, name)
		}
	}
	b, err := json.Marshal(map[string]any{"github_config": members})
	require.NoError(tb, err)
	return string(b)
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

type members = map[string]json.RawMessage

type shownConfig struct {
	ID              int64   `json:"id"`
	Crate           string  `json:"crate"`
	Package         string  `json:"package"`
	Ecosystem       string  `json:"ecosystem"`
	OwnerID         int64   `json:"repository_owner_id"`
	RepositoryOwner string  `json:"repository_owner"`
	Environment     *string `json:"environment"`
}

func (r *registry) create(tb testing.TB, body string) reply {
	tb.Helper()
	return r.do(tb, jsonTo(http.MethodPost, configsPath, body).bearer(adminToken))
}

func TestCreateRefusesAConfigThatBreaksARule(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("a", 256) + `"`
	tests := []struct {
		name   string
		change members
	}{
		{"no package", members{"crate": nil}},
		{"two packages", members{"package": raw(`"right-pad"`)}},
		{"package that differs in case alone", members{"package": raw(`"Left-Pad"`)}},
		{"empty package", members{"crate": raw(`""`)}},
		{"package with a space", members{"crate": raw(`"left pad"`)}},
		{"package not a string", members{"crate": raw(`1`)}},
		{"empty ecosystem", members{"ecosystem": raw(`""`)}},
		{"ecosystem in capitals", members{"ecosystem": raw(`"NPM"`)}},
		{"no owner", members{"repository_owner": nil}},
		{"null owner", members{"repository_owner": raw(`null`)}},
		{"owner with a slash", members{"repository_owner": raw(`"octo/app"`)}},
		{"owner not ASCII", members{"repository_owner": raw(`"oc\u017fo"`)}},
		{"owner too long", members{"repository_owner": raw(long)}},
		{"unknown owner", members{"repository_owner": raw(`"nobody"`)}},
		{"no name", members{"repository_name": nil}},
		{"name of dots", members{"repository_name": raw(`".."`)}},
		{"no workflow", members{"workflow_filename": nil}},
		{"workflow with a path", members{"workflow_filename": raw(`".github/workflows/release.yml"`)}},
		{"workflow of another ending", members{"workflow_filename": raw(`"release.json"`)}},
		{"empty environment", members{"environment": raw(`""`)}},
		{"blank environment", members{"environment": raw(`" "`)}},
		{"environment not a string", members{"environment": raw(`false`)}},
		{"environment with a quote", members{"environment": raw(`"pr'od"`)}},
		{"environment with a control character", members{"environment": raw(`"a\u0000b"`)}},
		{"owner ID of zero", members{"repository_owner_id": raw(`0`)}},
		{"owner ID below zero", members{"repository_owner_id": raw(`-1`)}},
		{"owner ID minus zero", members{"repository_owner_id": raw(`-0`)}},
		{"owner ID with a fraction", members{"repository_owner_id": raw(`1.5`)}},
		{"owner ID with an empty fraction", members{"repository_owner_id": raw(`1.0`)}},
		{"owner ID with an exponent", members{"repository_owner_id": raw(`1e3`)}},
		{"owner ID in quotes", members{"repository_owner_id": raw(`"123"`)}},
		{"owner ID above int64", members{"repository_owner_id": raw(`9223372036854775808`)}},
		{"owner ID far above int64", members{"repository_owner_id": raw(strings.Repeat("9", 400))}},
		{"owner ID not a number", members{"repository_owner_id": raw(`true`)}},
		{"owner ID an array", members{"repository_owner_id": raw(`[1]`)}},
		{"issuer that is not enabled", members{"issuer": raw(`"https://example.com"`)}},
		{"unknown member", members{"environments": raw(`"prod"`)}},
		{"member in capitals", members{"Environment": raw(`"prod"`)}},
		{"member of the answer", members{"id": raw(`1`)}},
	}
	r := newRegistry(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response := r.create(t, configBody(t, tt.change))
			require.Equal(t, http.StatusBadRequest, response.StatusCode)
			detail := read(t, response).Errors[0].Detail
			require.True(t, strings.HasSuffix(detail, "."), detail)
		})
	}
	require.Equal(t, 2, r.store.configs(t), "nothing was stored")
}

func TestCreateRefusesABodyThatIsNotOneGitHubConfig(t *testing.T) {
	t.Parallel()
	good := configBody(t, nil)
	inner := strings.TrimSuffix(strings.TrimPrefix(good, `{"github_config":`), `}`)
	r := newRegistry(t)
	for _, body := range []string{
		``, `null`, `[]`, `{}`, inner, `{"github_config":null}`, `{"github_config":[]}`, `{"github_config":"x"}`, `{"github_config":{}}`,
		`{"GitHub_Config":` + inner + `}`, good + good, good + "x",
		`{"github_config":` + inner + `,"github_config":` + inner + `}`,
		`{"github_config":` + inner + `,"other":1}`,
		`{"github_config":` + strings.Replace(inner, `{`, `{"crate":"a",`, 1) + `}`,
	} {
		response := r.create(t, body)
		require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
		require.Equal(t, "malformed_request", read(t, response).Errors[0].Code, body)
	}
}

func TestCreateAccepts(t *testing.T) {
	t.Parallel()
	prod := "prod"
	tests := []struct {
		name   string
		change members
		want   shownConfig
	}{
		{"what is required alone", nil, shownConfig{Ecosystem: "cargo", OwnerID: 123}},
		{"package as another name for crate", members{"crate": nil, "package": raw(`"left-pad"`)}, shownConfig{Ecosystem: "cargo", OwnerID: 123}},
		{"both names, equal", members{"package": raw(`"left-pad"`)}, shownConfig{Ecosystem: "cargo", OwnerID: 123}},
		{"an ecosystem", members{"ecosystem": raw(`"npm"`)}, shownConfig{Ecosystem: "npm", OwnerID: 123}},
		{"null for what may be left out", members{"environment": raw(`null`), "repository_owner_id": raw(`null`), "ecosystem": raw(`null`), "issuer": raw(`null`), "package": raw(`null`)}, shownConfig{Ecosystem: "cargo", OwnerID: 123}},
		{"an environment", members{"environment": raw(`"prod"`)}, shownConfig{Ecosystem: "cargo", OwnerID: 123, Environment: &prod}},
		{"an owner ID, exactly", members{"repository_owner_id": raw(`9223372036854775807`)}, shownConfig{Ecosystem: "cargo", OwnerID: 9223372036854775807}},
		{"the enabled issuer", members{"issuer": raw(`"` + githubIssuer + `"`)}, shownConfig{Ecosystem: "cargo", OwnerID: 123}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			response := newRegistry(t).create(t, configBody(t, tt.change))
			require.Equal(t, http.StatusOK, response.StatusCode, response.Body)
			var got struct {
				GitHubConfig shownConfig `json:"github_config"`
			}
			require.NoError(t, json.Unmarshal([]byte(response.Body), &got))
			tt.want.ID, tt.want.Crate, tt.want.Package, tt.want.RepositoryOwner = 3, "left-pad", "left-pad", "octo"
			require.Equal(t, tt.want, got.GitHubConfig)
		})
	}
}

func TestAPackageHasAtMostFiveConfigs(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for i := range 6 {
		response := r.create(t, configBody(t, members{"workflow_filename": raw(fmt.Sprintf(`"%d.yml"`, i))}))
		if i < 5 {
			require.Equal(t, http.StatusOK, response.StatusCode)
			continue
		}
		require.Equal(t, http.StatusConflict, response.StatusCode)
		require.Equal(t, "too_many_configs", read(t, response).Errors[0].Code)
	}
}

func TestConfigEndpointsAskForTheCredentialBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, header := range []string{"", "Bearer", adminToken, "Basic " + adminToken, "Bearer " + registryToken, "Bearer " + adminToken + "x", "Bearer " + accessToken} {
		for _, q := range []call{
			jsonTo(http.MethodPost, configsPath, `{`),
			{method: http.MethodPut, target: configsPath, header: http.Header{"Content-Type": {"text/plain"}}, body: strings.Repeat("x", 1<<16)},
			bare(http.MethodGet, configsPath),
			bare(http.MethodDelete, configsPath+"/nonsense"),
			bare(http.MethodDelete, configsPath+"/1"),
		} {
			response := r.do(t, q.with("Authorization", header))
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Equal(t, "Bearer", response.Header.Get("Www-Authenticate"))
		}
	}
	require.Equal(t, 2, r.store.configs(t))
}

func TestListRefusesAQueryThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, query := range []string{
		"", "?crate=", "?ecosystem=cargo", "?Crate=serde", "?crate=serde&package=serde_json", "?crate=serde&crate=serde",
		"?crate=a%20b", "?crate=%zz", "?crate=serde;per_page=1", "?crate=serde&ecosystem=CARGO",
		"?crate=serde&per_page=0", "?crate=serde&per_page=101", "?crate=serde&per_page=-1", "?crate=serde&per_page=1.5", "?crate=serde&per_page=x",
		"?crate=serde&per_page=%2B1", "?crate=serde&per_page=01", "?crate=serde&per_page=99999999999999999999", "?crate=serde&per_page=1&per_page=2",
		"?crate=serde&seek=0", "?crate=serde&seek=-1", "?crate=serde&seek=x", "?crate=serde&seek=9223372036854775808",
	} {
		response := r.do(t, bare(http.MethodGet, configsPath+query).bearer(adminToken))
		require.Equal(t, http.StatusBadRequest, response.StatusCode, query)
	}
}

func TestListPagesThroughAllConfigsOldestFirst(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for i := range 5 {
		r.create(t, configBody(t, members{"ecosystem": raw(`"npm"`), "crate": raw(`"@scope/left-pad"`), "workflow_filename": raw(fmt.Sprintf(`"%d.yml"`, i))}))
	}
	type page struct {
		GitHubConfigs []shownConfig `json:"github_configs"`
		Meta          struct {
			Total    int     `json:"total"`
			NextPage *string `json:"next_page"`
		} `json:"meta"`
	}
	var seen []int64
	query := "?crate=%40scope%2Fleft-pad&per_page=2&ecosystem=npm"
	for pages := 1; ; pages++ {
		response := r.do(t, bare(http.MethodGet, configsPath+query).bearer(adminToken))
		require.Equal(t, http.StatusOK, response.StatusCode)
		var got page
		require.NoError(t, json.Unmarshal([]byte(response.Body), &got))
		require.Equal(t, 5, got.Meta.Total)
		for _, config := range got.GitHubConfigs {
			seen = append(seen, config.ID)
		}
		if got.Meta.NextPage == nil {
			require.Equal(t, 3, pages)
			break
		}
		query = *got.Meta.NextPage
		values, err := url.ParseQuery(strings.TrimPrefix(query, "?"))
		require.NoError(t, err)
		require.Equal(t, url.Values{"crate": {"@scope/left-pad"}, "per_page": {"2"}, "ecosystem": {"npm"}, "seek": {strconv.FormatInt(seen[len(seen)-1], 10)}}, values)
	}
	require.Equal(t, []int64{3, 4, 5, 6, 7}, seen)
}

func TestDeleteOfWhatIsNoIDIs404(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, id := range []string{"0", "3", "-1", "+1", "01", "1.0", "1e0", "x", "%31", "1%20", "9223372036854775808", "1/", "1/2", "%2f", "..%2f1", "null"} {
		response := r.do(t, bare(http.MethodDelete, configsPath+"/"+id).bearer(adminToken))
		require.Equal(t, http.StatusNotFound, response.StatusCode, id)
		require.Equal(t, "not_found", read(t, response).Errors[0].Code)
	}
	require.Equal(t, 2, r.store.configs(t))
}
