package declared_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/declared"
	"github.com/trustpub/trustpub/domain"
)

var _ oidc.Provider = (*declared.Provider)(nil)

// full is a file that uses everything.
const full = `# A comment.
providers:
  - name: corp-ci
    issuer: https://ci.corp.example
    algorithms: [ES256, RS256]
    replay: jti
    required:
      - team
      - {claim: Repository, match: ignore_case}
      - claim: workflow
        match: file_at_ref
    optional:
      - {claim: groups, match: contains}
      - "https://corp.example/branch"
    conditions:
      - {claim: interactive, not: [true, "yes", 1]}
      - claim: verified
        is:
          - true
    pinned: [team_id]
    recorded:
      - team
      - run
  - name: other
    algorithms: [RS256]
    replay: signing_input
    required: [repository]
`

func TestLoadReadsEverythingThatADefinitionCanSay(t *testing.T) {
	got, err := declared.Load("providers.yaml", []byte(full))

	require.NoError(t, err)
	require.Equal(t, []domain.Definition{
		{
			Name:       "corp-ci",
			Issuer:     "https://ci.corp.example",
			Algorithms: []string{"ES256", "RS256"},
			HasJWTID:   true,
			Required: []domain.ClaimRule{
				{Claim: "team", Match: domain.MatchExact},
				{Claim: "Repository", Match: domain.MatchIgnoreCase},
				{Claim: "workflow", Match: domain.MatchFileAtRef},
			},
			Optional: []domain.ClaimRule{
				{Claim: "groups", Match: domain.MatchContains},
				{Claim: "https://corp.example/branch", Match: domain.MatchExact},
			},
			Conditions: []domain.ClaimCondition{
				{Claim: "interactive", Not: []string{"true", "yes", "1"}},
				{Claim: "verified", Is: []string{"true"}},
			},
			Pinned:   []string{"team_id"},
			Recorded: []string{"team", "run"},
		},
		{
			Name:       "other",
			Algorithms: []string{"RS256"},
			Required:   []domain.ClaimRule{{Claim: "repository", Match: domain.MatchExact}},
		},
	}, got)
}

func TestLoadRefusesABadFileWithItsLineAndColumn(t *testing.T) {
	for _, tt := range badFiles() {
		t.Run(tt.name, func(t *testing.T) {
			definitions, err := declared.Load("etc/providers.yaml", []byte(tt.file))

			require.EqualError(t, err, "etc/providers.yaml:"+tt.want)
			require.Nil(t, definitions)
		})
	}
}

func TestLoadAcceptsWhatIsOnlyUnusual(t *testing.T) {
	for _, tt := range goodFiles() {
		t.Run(tt.name, func(t *testing.T) {
			definitions, err := declared.Load("providers.yaml", []byte(tt.file))

			require.NoError(t, err)
			require.NotEmpty(t, definitions)
		})
	}
}

// Each of these would keep the parser busy for minutes, or fill the memory.
func TestLoadRefusesAFileThatIsMadeToBeExpensive(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"a file that is too large", strings.Repeat("#", 256<<10+1), "1:1: the file is larger than 256 KiB"},
		{"lists in lists", strings.Repeat("[", 19_000), "1:9: brackets are nested deeper than 8. A definition needs two"},
		{"mappings in mappings", strings.Repeat("{a: ", 6_000), "1:33: brackets are nested deeper than 8. A definition needs two"},
		{"lists in lists on one line", strings.Repeat("- ", 128<<10), "1:1: the file has more than 20000 words and signs. Split it, or remove providers"},
		{"more brackets than words may be", strings.Repeat("[", 256<<10), "1:1: the file has more than 20000 words and signs. Split it, or remove providers"},
		{"keys upon keys", strings.Repeat("a:\n", 80<<10), "1:1: the file has more than 20000 words and signs. Split it, or remove providers"},
		{"aliases of aliases", "a: &a [x, x]\nb: &b [*a, *a]\n", "1:4: anchors, aliases and merge keys are not accepted. Write the values out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := declared.Load("x.yaml", []byte(tt.file))
				done <- err
			}()
			select {
			case err := <-done:
				require.EqualError(t, err, "x.yaml:"+tt.want)
			case <-time.After(time.Minute):
				require.Fail(t, "Load does not come to an end")
			}
		})
	}
}

func TestShippedDefinitionsAreThoseThatAreDocumented(t *testing.T) {
	definitions, err := declared.Shipped()

	require.NoError(t, err)
	issuers := map[string]string{}
	for _, d := range definitions {
		require.False(t, d.HasJWTID, d.Name)
		require.Equal(t, []string{"RS256"}, d.Algorithms)
		issuers[d.Name] = d.Issuer
	}
	require.Equal(t, map[string]string{
		"bitbucket": "",
		"buildkite": "https://agent.buildkite.com",
		"circleci":  "https://oidc.circleci.com",
		"forgejo":   "",
		"google":    "https://accounts.google.com",
	}, issuers)
}

func TestNobodySharesTheShippedDefinitions(t *testing.T) {
	first, err := declared.Shipped()
	require.NoError(t, err)
	first[0].Required[0].Claim = "changed"
	declared.Schema()[0] = 'x'

	second, err := declared.Shipped()

	require.NoError(t, err)
	require.NotEqual(t, "changed", second[0].Required[0].Claim)
	require.Equal(t, byte('{'), declared.Schema()[0])
}

func TestAProviderHasTheIssuerThatItIsGiven(t *testing.T) {
	d := domain.Definition{
		Name: "corp", Issuer: "https://ci.corp.example", Algorithms: []string{"RS256"}, HasJWTID: true,
		Required: []domain.ClaimRule{{Claim: "repository", Match: domain.MatchExact}},
	}
	public, err := declared.New(d, "")
	require.NoError(t, err)
	own, err := declared.New(d, "https://ci.other.example")
	require.NoError(t, err)
	public.Algorithms()[0] = "none"

	require.Equal(t, "https://ci.corp.example", public.Issuer())
	require.Equal(t, "https://ci.other.example", own.Issuer())
	require.Equal(t, []string{"RS256"}, public.Algorithms())
	require.True(t, own.HasJWTID())
	workload, err := own.Workload(domain.RawClaims{"repository": "acme/widget"})
	require.NoError(t, err)
	require.Equal(t, "corp", workload.Provider)
}

func TestNoProviderIsMadeOf(t *testing.T) {
	valid := domain.Definition{
		Name: "corp", Algorithms: []string{"RS256"},
		Required: []domain.ClaimRule{{Claim: "repository", Match: domain.MatchExact}},
	}
	nothingRequired := valid
	nothingRequired.Required = nil
	tests := []struct {
		name, issuer, want string
		definition         domain.Definition
	}{
		{"the zero definition", "https://ci.example", "The provider name", domain.Definition{}},
		{"a definition that requires no claim", "https://ci.example", "no required claim", nothingRequired},
		{"no issuer where the definition has none", "", "has no issuer of its own", valid},
		{"an issuer in plain text", "http://ci.example", "use https", valid},
		{"an issuer that ends in a slash", "https://ci.example/", "must not end in a slash", valid},
		{"an issuer with a password", "https://u:p@ci.example", "user info", valid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			provider, err := declared.New(tt.definition, tt.issuer)

			require.ErrorContains(t, err, tt.want)
			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			require.Nil(t, provider)
		})
	}
}
