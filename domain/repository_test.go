package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestNewRepositoryKeepsTheSpelling(t *testing.T) {
	tests := []struct{ name, owner, repository string }{
		{"plain", "octo-org", "octo-repo"},
		{"one character each", "o", "r"},
		{"digits first", "0cto", "0"},
		{"upper case", "Octo-Org", "Octo.Repo"},
		{"hyphens inside and at the end", "o--o-", "-r-"},
		{"dots and underscores in the name", "octo", "._.-r"},
		{"three dots", "octo", "..."},
		{"255 characters", strings.Repeat("o", 255), strings.Repeat("r", 255)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := domain.Repository{Owner: tt.owner, Name: tt.repository}

			made, err := domain.NewRepository(tt.owner, tt.repository)
			require.NoError(t, err)
			require.Equal(t, want, made)

			parsed, err := domain.ParseRepository(tt.owner + "/" + tt.repository)
			require.NoError(t, err)
			require.Equal(t, want, parsed)
			require.Equal(t, tt.owner+"/"+tt.repository, parsed.String())
		})
	}
}

func TestNewRepositoryRefusesWhatBreaksTheRules(t *testing.T) {
	tests := []struct{ name, owner, repository string }{
		{"no owner", "", "repo"},
		{"no name", "octo", ""},
		{"owner that begins with a hyphen", "-octo", "repo"},
		{"owner with a dot", "oc.to", "repo"},
		{"owner with an underscore", "oc_to", "repo"},
		{"owner with a space", "oc to", "repo"},
		{"owner with a slash", "oc/to", "repo"},
		{"owner of 256 characters", strings.Repeat("o", 256), "repo"},
		{"owner with a Kelvin sign", "octo\u212a", "repo"},
		{"owner with a long s", "octoſ", "repo"},
		{"owner with a dotted capital I", "octoİ", "repo"},
		{"owner in full width", "ｏcto", "repo"},
		{"owner in Cyrillic", "осто", "repo"},
		{"owner with a combining mark", "octo\u0301", "repo"},
		{"owner with a zero-width space", "oc\u200bto", "repo"},
		{"owner with a newline", "octo\n", "repo"},
		{"owner with NUL", "octo\x00", "repo"},
		{"owner that is not UTF-8", "octo\xff", "repo"},
		{"name of one dot", "octo", "."},
		{"name of two dots", "octo", ".."},
		{"name with a space", "octo", "re po"},
		{"name with a slash", "octo", "re/po"},
		{"name with a backslash", "octo", `re\po`},
		{"name with an at sign", "octo", "repo@x"},
		{"name with percent-encoding", "octo", "re%2fpo"},
		{"name of 256 characters", "octo", strings.Repeat("r", 256)},
		{"name with a long s", "octo", "repoſ"},
		{"name with a newline", "octo", "repo\n"},
		{"name with NUL", "octo", "repo\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repository, err := domain.NewRepository(tt.owner, tt.repository)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Zero(t, repository)
		})
	}
}

func TestParseRepositoryWantsOneSlash(t *testing.T) {
	for _, s := range []string{"", "/", "octo", "octo/", "/repo", "octo//repo", "octo/repo/", "octo/repo/x", "/octo/repo", `octo\repo`, "octo%2frepo", "https://github.com/octo/repo"} {
		t.Run(s, func(t *testing.T) {
			repository, err := domain.ParseRepository(s)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Zero(t, repository)
		})
	}
}

func TestRepositoriesFoldASCIICaseAndNothingElse(t *testing.T) {
	tests := []struct {
		name, owner, want string
	}{
		{"lower case stays", "octo-org_09.", "octo-org_09./x"},
		{"upper case folds", "OCTO-Org", "octo-org/x"},
		{"all letters fold", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz/x"},
		{"neighbours of the letters stay", "@AZ[`az{", "@az[`az{/x"},
		{"Kelvin sign does not fold to k", "\u212a", "\u212a/x"},
		{"long s does not fold to s", "ſ", "ſ/x"},
		{"dotted capital I does not fold to i", "İ", "İ/x"},
		{"dotless i does not fold to i", "ı", "ı/x"},
		{"full width does not fold", "ＡA", "Ａa/x"},
		{"Cyrillic, Greek and accented letters do not fold", "ДΣÉA", "ДΣÉa/x"},
		{"sharp s does not become two", "ẞS", "ẞs/x"},
		{"bytes that are no UTF-8 stay", "\xc1A\xff", "\xc1a\xff/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, domain.Repository{Owner: tt.owner, Name: "X"}.Key())
		})
	}
}
