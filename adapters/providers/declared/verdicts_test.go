package declared_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/declared"
	"github.com/trustpub/trustpub/domain"
)

// verdicts is a table in testdata/verdicts: an ID token and a publisher that match, and
// rows that change one of them.
type verdicts struct {
	// Issuer is the issuer of the ID token and of the publisher.
	Issuer string `yaml:"issuer"`
	// Claims are the members of the ID token.
	Claims map[string]any `yaml:"claims"`
	// Config are the claims of the publisher.
	Config map[string][]string `yaml:"config"`
	// Pins are the IDs that the publisher takes from its first exchange.
	Pins map[string]string `yaml:"pins"`
	// Rows are the changes and their verdicts.
	Rows []struct {
		Name string `yaml:"name"`
		// Claims and Config replace members of those above; absent removes one.
		Claims map[string]any `yaml:"claims"`
		Config map[string]any `yaml:"config"`
		// Pinned are the IDs that the publisher is pinned to already.
		Pinned map[string]string `yaml:"pinned"`
		// Verdict is "granted", or the code of the refusal.
		Verdict string `yaml:"verdict"`
	} `yaml:"rows"`
}

// absent stands for a member that is not there.
const absent = "(absent)"

func TestEachShippedDefinitionGivesTheVerdictsOfItsTable(t *testing.T) {
	definitions, err := declared.Shipped()
	require.NoError(t, err)
	for _, d := range definitions {
		t.Run(d.Name, func(t *testing.T) {
			table := readVerdicts(t, d.Name)
			granted, refused := 0, 0
			for _, row := range table.Rows {
				if row.Verdict == "granted" {
					granted++
				} else {
					refused++
				}
				t.Run(row.Name, func(t *testing.T) {
					raw := rawClaims(t, merge(table.Claims, row.Claims))

					got := verdict(d, table.Issuer, raw, configClaims(t, table.Config, row.Config), row.Pinned)

					require.Equal(t, row.Verdict, got)
				})
			}
			require.Greater(t, refused, granted)
		})
	}
}

func TestEachShippedDefinitionPinsItsImmutableIDs(t *testing.T) {
	definitions, err := declared.Shipped()
	require.NoError(t, err)
	for _, d := range definitions {
		t.Run(d.Name, func(t *testing.T) {
			table := readVerdicts(t, d.Name)
			config := newConfig(t, d, table.Issuer, table.Config)
			claims := newClaims(t, d, table.Issuer, rawClaims(t, table.Claims))
			grants, err := domain.Authorize([]domain.Config{config}, claims)
			require.NoError(t, err)

			pins := domain.Pins([]domain.Config{config}, grants, claims)

			if table.Pins == nil {
				require.Empty(t, pins)
				return
			}
			require.Len(t, pins, 1)
			require.Equal(t, table.Pins, pins[0].After)
		})
	}
}

// A claim that nobody thought about is how the next attack works.
func TestEachShippedDefinitionRecordsTheClaimsThatItComparesUnlessTheyAreLists(t *testing.T) {
	definitions, err := declared.Shipped()
	require.NoError(t, err)
	for _, d := range definitions {
		for _, rule := range slices.Concat(d.Required, d.Optional) {
			if rule.Match != domain.MatchContains {
				require.Contains(t, d.Recorded, rule.Claim, d.Name)
			}
		}
	}
}

// verdict plays the exchange of an ID token with one publisher.
func verdict(d domain.Definition, issuer string, raw domain.RawClaims, config map[string][]string, pinned map[string]string) string {
	params, err := d.Complete(domain.ClaimsConfigParams{
		Issuer: issuer, Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Claims: config, Pinned: pinned,
	})
	if err != nil {
		return string(domain.CodeOf(err))
	}
	publisher, err := domain.NewClaimsConfig(params)
	if err != nil {
		return string(domain.CodeOf(err))
	}
	provider, err := declared.New(d, issuer)
	if err != nil {
		return err.Error()
	}
	workload, err := provider.Workload(raw)
	if err != nil {
		return string(domain.CodeOf(err))
	}
	claims, err := domain.NewClaims(registered(issuer), workload)
	if err != nil {
		return err.Error()
	}
	_, err = domain.Authorize([]domain.Config{publisher}, claims)
	if err != nil {
		return string(domain.CodeOf(err))
	}
	return "granted"
}

func registered(issuer string) domain.Registered {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return domain.Registered{Issuer: issuer, JWTID: "sha256:x", IssuedAt: now, ExpiresAt: now.Add(time.Hour), AcceptableUntil: now.Add(time.Hour)}
}

func newConfig(t *testing.T, d domain.Definition, issuer string, claims map[string][]string) domain.Config {
	t.Helper()
	params, err := d.Complete(domain.ClaimsConfigParams{Issuer: issuer, Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Claims: claims})
	require.NoError(t, err)
	config, err := domain.NewClaimsConfig(params)
	require.NoError(t, err)
	return config
}

func newClaims(t *testing.T, d domain.Definition, issuer string, raw domain.RawClaims) domain.Claims {
	t.Helper()
	workload, err := d.Workload(raw)
	require.NoError(t, err)
	claims, err := domain.NewClaims(registered(issuer), workload)
	require.NoError(t, err)
	return claims
}

func readVerdicts(t *testing.T, name string) verdicts {
	t.Helper()
	text, err := os.ReadFile("testdata/verdicts/" + name + ".yaml")
	require.NoError(t, err, "a shipped definition needs a table of verdicts")
	var table verdicts
	require.NoError(t, yaml.UnmarshalWithOptions(text, &table, yaml.Strict()))
	return table
}

// rawClaims decodes claims as the verifier does, with numbers as [json.Number].
func rawClaims(t *testing.T, claims map[string]any) domain.RawClaims {
	t.Helper()
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var raw domain.RawClaims
	require.NoError(t, decoder.Decode(&raw))
	return raw
}

func merge(base, changes map[string]any) map[string]any {
	merged := maps.Clone(base)
	for name, value := range changes {
		merged[name] = value
		if value == absent {
			delete(merged, name)
		}
	}
	return merged
}

func configClaims(t *testing.T, base map[string][]string, changes map[string]any) map[string][]string {
	t.Helper()
	merged := maps.Clone(base)
	for name, change := range changes {
		switch value := change.(type) {
		case string:
			merged[name] = []string{value}
			if value == absent {
				delete(merged, name)
			}
		case []any:
			merged[name] = nil
			for _, v := range value {
				s, ok := v.(string)
				require.True(t, ok, "the values of a publisher are texts")
				merged[name] = append(merged[name], s)
			}
		default:
			require.Fail(t, "the values of a publisher are texts")
		}
	}
	return merged
}
