package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestRawClaimsReadStrings(t *testing.T) {
	claims := domain.RawClaims{
		"text": "octo-org", "space": " ", "foreign": "größe", "zero": "0",
		"empty": "", "null": nil, "number": json.Number("7"), "bool": true, "float": 7.5,
		"list": []any{"octo-org"}, "object": map[string]any{"text": "octo-org"},
		"newline": "octo\norg", "nul": "octo\x00org", "delete": "octo\x7forg", "c1": "octo\u0085org", "not utf-8": "octo\xfforg",
	}
	const missing, invalid = domain.CodeMissingClaim, domain.CodeInvalidClaim
	tests := []struct {
		name                string
		want                string
		code, codeIfPresent domain.Code // Of String and of OptionalString; empty for success.
	}{
		{name: "text", want: "octo-org"},
		{name: "space", want: " "},
		{name: "foreign", want: "größe"},
		{name: "zero", want: "0"},
		{name: "absent", code: missing},
		{name: "TEXT", code: missing},
		{name: "empty", code: missing},
		{name: "null", code: missing},
		{name: "number", code: missing, codeIfPresent: missing},
		{name: "bool", code: missing, codeIfPresent: missing},
		{name: "float", code: missing, codeIfPresent: missing},
		{name: "list", code: missing, codeIfPresent: missing},
		{name: "object", code: missing, codeIfPresent: missing},
		{name: "newline", code: invalid, codeIfPresent: invalid},
		{name: "nul", code: invalid, codeIfPresent: invalid},
		{name: "delete", code: invalid, codeIfPresent: invalid},
		{name: "c1", code: invalid, codeIfPresent: invalid},
		{name: "not utf-8", code: invalid, codeIfPresent: invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for code, read := range map[*domain.Code]func(string) (string, error){&tt.code: claims.String, &tt.codeIfPresent: claims.OptionalString} {
				got, err := read(tt.name)
				if *code == "" {
					require.NoError(t, err)
					require.Equal(t, tt.want, got)
					continue
				}
				requireError(t, err, domain.KindRefused, *code)
				require.Contains(t, domain.MessageOf(err), `"`+tt.name+`"`, "the refusal names the claim")
				require.Empty(t, got)
			}
		})
	}
}

func TestRawClaimsShowScalarsAsTextForTheRecord(t *testing.T) {
	tests := []struct {
		name  string
		value any
		want  string
		ok    bool
	}{
		{"text", "main", "main", true},
		{"number", json.Number("1234567890123456789"), "1234567890123456789", true},
		{"true", true, "true", true},
		{"false", false, "false", true},
		{"empty text", "", "", false},
		{"null", nil, "", false},
		{"list", []any{"main"}, "", false},
		{"object", map[string]any{}, "", false},
		{"text with a newline", "ma\nin", "ma\nin", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := domain.RawClaims{"claim": tt.value}.Text("claim")

			require.Equal(t, tt.ok, ok)
			if ok {
				require.Equal(t, tt.want, got)
			}
		})
	}
	_, ok := domain.RawClaims(nil).Text("claim")
	require.False(t, ok)
}

func TestNewClaimsKeepsWhatItWasGiven(t *testing.T) {
	r, w := parts()

	claims, err := domain.NewClaims(r, w)

	require.NoError(t, err)
	require.Equal(t, r.Issuer, claims.Issuer())
	require.Equal(t, r.Subject, claims.Subject())
	require.Equal(t, r.JWTID, claims.JWTID())
	require.Equal(t, w.Provider, claims.Provider())
	require.Equal(t, w.Repository, claims.Repository())
	require.Equal(t, w.OwnerID, claims.OwnerID())
	require.Equal(t, w.IDs, claims.IDs())
	require.Equal(t, "octo-org/octo-repo", claims.Key())
	require.Equal(t, "octo-org/octo-repo", claims.Source())
	require.Equal(t, w.Workflow, claims.Workflow())
	require.Equal(t, w.Environment, claims.Environment())
	require.Equal(t, w.Details, claims.Details())
}

func TestNewClaimsFailsWithoutAValueThatADecisionRestsOn(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.Registered, *domain.Workload)
	}{
		{"issuer", func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "" }},
		{"jti", func(r *domain.Registered, _ *domain.Workload) { r.JWTID = "" }},
		{"end of acceptance", func(r *domain.Registered, _ *domain.Workload) { r.AcceptableUntil = time.Time{} }},
		{"provider", func(_ *domain.Registered, w *domain.Workload) { w.Provider = "" }},
		{"repository", func(_ *domain.Registered, w *domain.Workload) { w.Repository = domain.Repository{} }},
		{"owner ID", func(_ *domain.Registered, w *domain.Workload) { w.OwnerID = "" }},
		{"workflow", func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w := parts()
			tt.change(&r, &w)

			claims, err := domain.NewClaims(r, w)

			require.Error(t, err)
			require.Equal(t, domain.KindInternal, domain.KindOf(err))
			require.Zero(t, claims)
		})
	}
}

func TestNewClaimsDoesWithoutWhatIsOnlyRecorded(t *testing.T) {
	r, w := parts()
	r.Subject, w.IDs, w.Environment, w.Details = "", nil, "", domain.Details{}

	claims, err := domain.NewClaims(r, w)

	require.NoError(t, err)
	require.Zero(t, claims.Details().Len())
}

func TestClaimsCantBeChangedOnceMade(t *testing.T) {
	r, w := parts()
	claims, err := domain.NewClaims(r, w)
	require.NoError(t, err)

	w.IDs["repository_id"] = "changed in what was given"
	claims.IDs()["repository_id"] = "changed in what was got"
	claims.Details().With("sha", "changed in what was got")
	claims.Details().Map()["sha"] = "changed in a copy of what was got"

	require.Equal(t, map[string]string{"repository_id": "74"}, claims.IDs())
	require.Equal(t, map[string]string{"sha": "f00d"}, claims.Details().Map())
}

func TestTheRecordOfAnIDTokenOutlivesItsAcceptance(t *testing.T) {
	for _, leeway := range []time.Duration{0, time.Second, time.Minute, 2 * time.Minute, time.Hour} {
		t.Run(leeway.String(), func(t *testing.T) {
			exp := trustpubtest.Now().Add(5 * time.Minute)
			claims := trustpubtest.NewClaims(t, func(r *domain.Registered, _ *domain.Workload) {
				r.JWTID, r.ExpiresAt, r.AcceptableUntil = "one", exp, exp.Add(leeway)
			})

			used := claims.UsedJTI()

			require.Equal(t, domain.UsedJTI{Issuer: trustpubtest.Issuer, ID: "one", ExpiresAt: exp.Add(leeway + 5*time.Second)}, used)
		})
	}
}

// parts are what valid claims are made of.
func parts() (domain.Registered, domain.Workload) {
	now := trustpubtest.Now()
	r := domain.Registered{
		Issuer: trustpubtest.Issuer, Subject: "repo:octo-org/octo-repo", JWTID: "jti",
		IssuedAt: now, ExpiresAt: now.Add(time.Minute), AcceptableUntil: now.Add(2 * time.Minute),
	}
	w := domain.Workload{
		Provider: domain.ProviderGitHub, Repository: domain.Repository{Owner: "octo-org", Name: "octo-repo"},
		OwnerID: "65", IDs: map[string]string{"repository_id": "74"}, Workflow: "release.yml", Environment: "production",
		Details: domain.NewDetails(map[string]string{"sha": "f00d"}),
	}
	return r, w
}
