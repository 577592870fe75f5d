package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestNewPackageAcceptsTheNamesOfEveryEcosystem(t *testing.T) {
	tests := []struct{ name, ecosystem, pkg string }{
		{"cargo", "cargo", "serde_json"},
		{"npm scope", "npm", "@babel/core"},
		{"go module", "golang", "github.com/trustpub/trustpub/v2"},
		{"maven", "maven", "org.apache:commons"},
		{"c++", "generic", "c++~x!"},
		{"ecosystem with other characters", "a0.+-", "x"},
		{"name of 255 characters", "cargo", strings.Repeat("x", 255)},
		{"ecosystem of 64 characters", strings.Repeat("x", 64), "x"},
		{"upper case in the name, which is kept", "pypi", "Django"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.NewPackage(tt.ecosystem, tt.pkg)

			require.NoError(t, err)
			require.Equal(t, domain.Package{Ecosystem: tt.ecosystem, Name: tt.pkg}, got)
			require.Equal(t, "publish:"+tt.ecosystem+"/"+tt.pkg, got.Scope())

			parsed, err := domain.ParseScope(got.Scope())
			require.NoError(t, err)
			require.Equal(t, []domain.Package{got}, parsed)
		})
	}
}

func TestNewPackageRefusesWhatBreaksTheRules(t *testing.T) {
	tests := []struct{ name, ecosystem, pkg string }{
		{"no ecosystem", "", "serde"},
		{"ecosystem in upper case", "Cargo", "serde"},
		{"ecosystem with upper case inside", "carGo", "serde"},
		{"ecosystem that begins with a digit", "0cargo", "serde"},
		{"ecosystem that begins with a dot", ".cargo", "serde"},
		{"ecosystem with a slash", "car/go", "serde"},
		{"ecosystem with a space", "car go", "serde"},
		{"ecosystem with an underscore", "car_go", "serde"},
		{"ecosystem with a colon", "car:go", "serde"},
		{"ecosystem with a long s", "cargoſ", "serde"},
		{"ecosystem of 65 characters", strings.Repeat("x", 65), "serde"},
		{"no name", "cargo", ""},
		{"name of 256 characters", "cargo", strings.Repeat("x", 256)},
		{"name with a space", "cargo", "ser de"},
		{"name with a double quote", "cargo", `ser"de`},
		{"name with a backslash", "cargo", `ser\de`},
		{"name with a tab", "cargo", "ser\tde"},
		{"name with a newline", "cargo", "serde\n"},
		{"name with NUL", "cargo", "serde\x00"},
		{"name with delete", "cargo", "serde\x7f"},
		{"name with a Kelvin sign", "cargo", "serde\u212a"},
		{"name with an accent", "cargo", "sérde"},
		{"name with a zero-width space", "cargo", "ser\u200bde"},
		{"name that is not UTF-8", "cargo", "serde\xff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.NewPackage(tt.ecosystem, tt.pkg)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Zero(t, got)
			if strings.Contains(tt.ecosystem, "/") {
				return // In a scope, what follows the slash is part of the name.
			}
			_, err = domain.ParseScope("publish:" + tt.ecosystem + "/" + tt.pkg)
			requireError(t, err, domain.KindInvalid, domain.CodeInvalidScope)
		})
	}
}

func TestParseScopeReadsEachTokenOnceSorted(t *testing.T) {
	got, err := domain.ParseScope("publish:npm/b publish:cargo/b publish:cargo/a publish:npm/b publish:npm/@x/y")

	require.NoError(t, err)
	require.Equal(t, []domain.Package{{"cargo", "a"}, {"cargo", "b"}, {"npm", "@x/y"}, {"npm", "b"}}, got)
}

func TestParseScopeRefusesAnyOtherForm(t *testing.T) {
	tests := []struct{ name, scope string }{
		{"empty", ""},
		{"space", " "},
		{"space before", " publish:cargo/a"},
		{"space behind", "publish:cargo/a "},
		{"two spaces", "publish:cargo/a  publish:cargo/b"},
		{"tab between", "publish:cargo/a\tpublish:cargo/b"},
		{"newline behind", "publish:cargo/a\n"},
		{"no action", "cargo/a"},
		{"another action", "yank:cargo/a"},
		{"action in upper case", "Publish:cargo/a"},
		{"action alone", "publish:"},
		{"no package", "publish:cargo"},
		{"empty package", "publish:cargo/"},
		{"empty ecosystem", "publish:/a"},
		{"wildcard alone", "*"},
		{"one good and one bad", "publish:cargo/a openid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.ParseScope(tt.scope)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidScope)
			require.Nil(t, got)
		})
	}
}
