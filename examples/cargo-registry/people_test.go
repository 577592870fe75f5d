package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOwnersAloneConfigureThePublishersOfTheirCrates(t *testing.T) {
	tests := []struct {
		name, credential, crate string
		wantStatus              int
		want                    string
	}{
		{"nobody", "", "demo-crate", http.StatusUnauthorized, "Authorization"},
		{"a stranger", "Bearer x", "demo-crate", http.StatusUnauthorized, "no user's token"},
		{"a name for a token", "Bearer alice", "demo-crate", http.StatusUnauthorized, "no user's token"},
		{"a hash for a token", "Bearer " + hexHash(aliceToken), "demo-crate", http.StatusUnauthorized, "no user's token"},
		{"another user", "Bearer " + malloryToken, "demo-crate", http.StatusForbidden, "do not own"},
		{"an owner of another crate", "Bearer " + aliceToken, "hers", http.StatusForbidden, "do not own"},
		{"an unknown crate", "Bearer " + aliceToken, "unknown", http.StatusNotFound, "has no crate"},
		{"underscore for dash", "Bearer " + aliceToken, "demo_crate", http.StatusBadRequest, `is called \"demo-crate\" here`},
		{"capitals", "Bearer " + aliceToken, "DEMO-CRATE", http.StatusBadRequest, `is called \"demo-crate\" here`},
		{"a path", "Bearer " + aliceToken, "../demo-crate", http.StatusNotFound, "has no crate"},
	}
	h := startHost(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := h.call(t, http.MethodPost, configsPath, tt.credential, configFor(tt.crate))
			require.Equal(t, tt.wantStatus, status, body)
			require.Contains(t, body, tt.want)
		})
	}
	h.trust(t, "demo-crate")
}

func TestAPublisherOfAnotherEcosystemIsNotTheOwnersToConfigure(t *testing.T) {
	h := startHost(t)
	body := `{"github_config":{"crate":"demo-crate","ecosystem":"npm","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`
	status, answer := h.call(t, http.MethodPost, configsPath, "Bearer "+aliceToken, body)
	require.Equal(t, http.StatusForbidden, status, answer)
}

func TestAFileOfPeopleThatCouldMislabelSomebodyStopsTheStart(t *testing.T) {
	const hash = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
	tests := []struct{ name, content, want string }{
		{"no JSON", `x`, "invalid character"},
		{"a token for a hash", `{"users":{"alice":"secret"}}`, "needs the SHA-256"},
		{"a hash that is cut off", `{"users":{"alice":"2bd806c9"}}`, "needs the SHA-256"},
		{"a user without a name", `{"users":{"":"` + hash + `"}}`, "needs the SHA-256"},
		{"two users with one token", `{"users":{"alice":"` + hash + `","bob":"` + hash + `"}}`, "the token of another"},
		{"two spellings of one crate", `{"crates":{"demo-crate":[],"demo_crate":[]}}`, "the same as"},
		{"one crate in two cases", `{"crates":{"demo":[],"Demo":[]}}`, "the same as"},
		{"a crate that is a path", `{"crates":{"../demo":[]}}`, "no name of a crate"},
		{"a crate that begins with a dot", `{"crates":{".new-x":[]}}`, "no name of a crate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "people.json")
			require.NoError(t, os.WriteFile(file, []byte(tt.content), 0o600))
			_, err := loadPeople(file)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := loadPeople(filepath.Join(t.TempDir(), "none"))
	require.Error(t, err)
}
