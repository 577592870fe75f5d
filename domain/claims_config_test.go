package domain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

const corpIssuer = "https://ci.corp.example"

// corpParams are the values of a config that trusts the job of corpClaims.
func corpParams(changes ...func(*domain.ClaimsConfigParams)) domain.ClaimsConfigParams {
	p := domain.ClaimsConfigParams{
		ID: 3, Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Issuer: corpIssuer,
		Claims: map[string][]string{"repository": {"ACME/widget"}, "workflow": {"ci/publish.yml"}},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func claim(name string, values ...string) func(*domain.ClaimsConfigParams) {
	return func(p *domain.ClaimsConfigParams) { p.Claims[name] = values }
}

func corpConfig(t *testing.T, changes ...func(*domain.ClaimsConfigParams)) domain.ClaimsConfig {
	t.Helper()
	params, err := corpCI().Complete(corpParams(changes...))
	require.NoError(t, err)
	config, err := domain.NewClaimsConfig(params)
	require.NoError(t, err)
	return config
}

func corpJob(t *testing.T, issuer string, changes ...func(domain.RawClaims)) domain.Claims {
	t.Helper()
	workload, err := corpCI().Workload(corpClaims(changes...))
	require.NoError(t, err)
	claims, err := domain.NewClaims(domain.Registered{Issuer: issuer, JWTID: "x", AcceptableUntil: time.Unix(1, 0)}, workload)
	require.NoError(t, err)
	return claims
}

func TestAClaimsConfigTrustsItsWorkload(t *testing.T) {
	tests := []struct {
		name   string
		config func(*domain.ClaimsConfigParams)
	}{
		{"by what is required", func(*domain.ClaimsConfigParams) {}},
		{"in another case where case is ignored", claim("repository", "acme/WIDGET")},
		{"by an optional claim", claim("branch", "main")},
		{"by one of a list", claim("groups", "release")},
		{"by all of a list", claim("groups", "release", "staff")},
		{"pinned to its IDs", func(p *domain.ClaimsConfigParams) { p.Pinned = map[string]string{"repository_id": "42"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			grants, err := domain.Authorize([]domain.Config{corpConfig(t, tt.config)}, corpJob(t, corpIssuer))

			require.NoError(t, err)
			require.Equal(t, []domain.Grant{{Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Provider: "corp-ci", ConfigID: 3}}, grants)
		})
	}
}

func TestAClaimsConfigTrustsNoOtherWorkload(t *testing.T) {
	pinned := func(p *domain.ClaimsConfigParams) { p.Pinned = map[string]string{"repository_id": "42"} }
	same := func(domain.RawClaims) {}
	tests := []struct {
		name   string
		config func(*domain.ClaimsConfigParams)
		job    func(domain.RawClaims)
		issuer string
		want   domain.Code
	}{
		{"of another issuer", pinned, same, "https://evil.example", domain.CodeNoPublisher},
		{"of another repository", func(*domain.ClaimsConfigParams) {}, set("repository", "acme/gadget"), corpIssuer, domain.CodeNoPublisher},
		{"of another file", func(*domain.ClaimsConfigParams) {}, set("workflow", "ci/Publish.yml@refs/heads/main"), corpIssuer, domain.CodeNoPublisher},
		{"of a repository that folds alike in Unicode alone", claim("repository", "acme/task"), set("repository", "acme/tas\u212a"), corpIssuer, domain.CodeNoPublisher},
		{"of a repository of the same name", pinned, set("repository_id", "43"), corpIssuer, domain.CodePinnedIDMismatch},
		{"that no longer has the ID", pinned, without("repository_id"), corpIssuer, domain.CodePinnedIDMismatch},
		{"with an empty ID", pinned, set("repository_id", ""), corpIssuer, domain.CodePinnedIDMismatch},
		{"with a list for an ID", pinned, set("repository_id", []any{"42"}), corpIssuer, domain.CodePinnedIDMismatch},
		{"of a repository that was renamed", pinned, set("repository", "acme/widgets"), corpIssuer, domain.CodeRepositoryRenamed},
		{"at another branch", claim("branch", "main"), set("branch", "feature"), corpIssuer, domain.CodeClaimMismatch},
		{"at a branch in another case", claim("branch", "main"), set("branch", "Main"), corpIssuer, domain.CodeClaimMismatch},
		{"at no branch", claim("branch", "main"), without("branch"), corpIssuer, domain.CodeClaimMismatch},
		{"in a list of branches", claim("branch", "main"), set("branch", []any{"main"}), corpIssuer, domain.CodeClaimMismatch},
		{"of another group", claim("groups", "admin"), same, corpIssuer, domain.CodeClaimMismatch},
		{"of one group of two", claim("groups", "staff", "admin"), same, corpIssuer, domain.CodeClaimMismatch},
		{"of no group", claim("groups", "staff"), set("groups", []any{}), corpIssuer, domain.CodeClaimMismatch},
		{"of a group that is no list", claim("groups", "staff"), set("groups", "staff"), corpIssuer, domain.CodeClaimMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			grants, err := domain.Authorize([]domain.Config{corpConfig(t, tt.config)}, corpJob(t, tt.issuer, tt.job))

			require.Equal(t, tt.want, domain.CodeOf(err))
			require.Empty(t, grants)
		})
	}
}

func TestAClaimsConfigTrustsNoWorkloadOfAnotherProviderAtItsIssuer(t *testing.T) {
	other := corpCI(func(d *domain.Definition) { d.Name = "other-ci" })
	workload, err := other.Workload(corpClaims())
	require.NoError(t, err)
	claims, err := domain.NewClaims(domain.Registered{Issuer: corpIssuer, JWTID: "x", AcceptableUntil: time.Unix(1, 0)}, workload)
	require.NoError(t, err)

	_, err = domain.Authorize([]domain.Config{corpConfig(t)}, claims)

	require.Equal(t, domain.CodeNoPublisher, domain.CodeOf(err))
}

func TestARefusalNamesTheClaimAndItsValues(t *testing.T) {
	_, err := domain.Authorize([]domain.Config{corpConfig(t, claim("branch", "main"))}, corpJob(t, corpIssuer, set("branch", "feature\u202e")))

	require.Equal(t, `The ID token has branch "feature\u202e", but the publishers of "repository=acme/widget, workflow=ci/publish.yml" expect branch "main". Run the job as they expect, or change the publisher.`, domain.MessageOf(err))
}

func TestARefusalShowsNoMoreOfAListThanAPublisherCanName(t *testing.T) {
	var groups []any
	for i := range 1000 {
		groups = append(groups, fmt.Sprint("g", i))
	}

	_, err := domain.Authorize([]domain.Config{corpConfig(t, claim("groups", "staff"))}, corpJob(t, corpIssuer, set("groups", groups)))

	require.Contains(t, domain.MessageOf(err), `"g15", …, but`)
	require.NotContains(t, domain.MessageOf(err), "g16")
}

func TestADefinitionCompletesNoConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.ClaimsConfigParams)
		want   string
	}{
		{"without claims", func(p *domain.ClaimsConfigParams) { p.Claims = nil }, "needs 1 to 16 claims"},
		{"without a required claim", func(p *domain.ClaimsConfigParams) { delete(p.Claims, "workflow") }, "workflow (required)"},
		{"with a claim that is not defined", claim("actor", "alice"), "repository (required), workflow (required), branch, groups"},
		{"with a claim in another case", claim("Branch", "main"), "is not one that a publisher"},
		{"with a claim that is only pinned", claim("repository_id", "42"), "is not one that a publisher"},
		{"with no value", claim("branch"), "needs 1 to 16 values"},
		{"with two values of a text", claim("branch", "main", "next"), "has one value"},
		{"with 17 values of a list", claim("groups", strings.Split(strings.Repeat("x", 17), "")...), "needs 1 to 16 values"},
		{"with an empty value", claim("branch", ""), "1 to 255 bytes"},
		{"with a value of 256 bytes", claim("branch", strings.Repeat("x", 256)), "1 to 255 bytes"},
		{"with a control character", claim("branch", "ma\nin"), "control characters"},
		{"with a byte that is not UTF-8", claim("branch", "ma\xffin"), "control characters"},
		{"with a space at the end", claim("branch", "main "), "trailing space"},
		{"with a path at a reference", claim("workflow", "ci/publish.yml@refs/heads/main"), "without @"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := corpCI().Complete(corpParams(tt.change))

			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			require.Equal(t, domain.CodeInvalidConfig, domain.CodeOf(err))
			require.Contains(t, domain.MessageOf(err), tt.want)
		})
	}
}

func TestNoClaimsConfigIsMade(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.ClaimsConfigParams)
		want   string
	}{
		{"of a provider with a kind of its own", func(p *domain.ClaimsConfigParams) { p.Provider = domain.ProviderGitHub }, "no publishers that are made of claims"},
		{"of no provider", func(p *domain.ClaimsConfigParams) { p.Provider = "" }, "no publishers that are made of claims"},
		{"without a key", func(p *domain.ClaimsConfigParams) { p.Key = "" }, "not completed"},
		{"without a source", func(p *domain.ClaimsConfigParams) { p.Source = "" }, "not completed"},
		{"without an issuer", func(p *domain.ClaimsConfigParams) { p.Issuer = "" }, "issuer is missing"},
		{"without claims", func(p *domain.ClaimsConfigParams) { p.Claims = nil }, "needs 1 to 16 claims"},
		{"without a package", func(p *domain.ClaimsConfigParams) { p.Package = domain.Package{} }, "ecosystem"},
		{"pinned to nothing", func(p *domain.ClaimsConfigParams) { p.Pinned = map[string]string{"repository_id": ""} }, "immutable ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params, err := corpCI().Complete(corpParams())
			require.NoError(t, err)
			tt.change(&params)

			_, err = params.Config()

			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			require.Contains(t, domain.MessageOf(err), tt.want)
		})
	}
}

func TestIdenticalClaimsConfigsHaveOneIdentity(t *testing.T) {
	first := corpConfig(t, claim("groups", "staff", "release"))

	require.Equal(t, first.Identity(), corpConfig(t, claim("groups", "release", "staff", "staff"), claim("repository", "Acme/Widget")).Identity())
	for _, other := range []domain.ClaimsConfig{
		corpConfig(t),
		corpConfig(t, claim("groups", "staff")),
		corpConfig(t, claim("groups", "staff", "Release")),
		corpConfig(t, claim("groups", "staff", "release"), claim("branch", "main")),
		corpConfig(t, claim("groups", "staff", "release"), func(p *domain.ClaimsConfigParams) { p.Issuer = "https://ci.other.example" }),
	} {
		require.NotEqual(t, first.Identity(), other.Identity())
	}
}

func TestAClaimsConfigCanNotBeChangedFromOutside(t *testing.T) {
	params, err := corpCI().Complete(corpParams(claim("groups", "staff")))
	require.NoError(t, err)
	config, err := domain.NewClaimsConfig(params)
	require.NoError(t, err)
	identity := config.Identity()

	params.Claims["groups"][0] = "changed"
	config.Claims()["groups"][0] = "changed"

	require.Equal(t, identity, config.Identity())
}

func TestAFreshClaimsConfigKnowsNothingOfAStore(t *testing.T) {
	params := corpParams(func(p *domain.ClaimsConfigParams) { p.Pinned = map[string]string{"repository_id": "42"} })
	now := time.Unix(1, 0)

	fresh, ok := params.Fresh(corpIssuer, now).(domain.ClaimsConfigParams)

	require.True(t, ok)
	require.Zero(t, fresh.ID)
	require.Nil(t, fresh.Pinned)
	require.Equal(t, now, fresh.CreatedAt)
}
