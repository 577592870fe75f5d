package oidc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestTheAudienceIsExactlyTheConfiguredOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		name  string
		claim string
		aud   any
		ok    bool
	}{
		{"a string", "aud", audience, true},
		{"an array of one", "aud", []string{audience}, true},
		{"another string", "aud", "pypi", false},
		{"upper case", "aud", strings.ToUpper(audience), false},
		{"a trailing slash", "aud", audience + "/", false},
		{"a URL", "aud", "https://" + audience, false},
		{"a space", "aud", audience + " ", false},
		{"a NUL", "aud", audience + "\x00", false},
		{"a prefix", "aud", audience[:4], false},
		{"a letter that folds to the same", "aud", "crate\u017f.io", false},
		{"an array of two that has it first", "aud", []string{audience, "pypi"}, false},
		{"an array of two that has it last", "aud", []string{"pypi", audience}, false},
		{"an array that has it twice", "aud", []string{audience, audience}, false},
		{"an array of another", "aud", []string{"pypi"}, false},
		{"an empty array", "aud", []string{}, false},
		{"an array of an array", "aud", [][]string{{audience}}, false},
		{"an array of null", "aud", []any{nil}, false},
		{"an array of a number", "aud", []any{1}, false},
		{"an empty string", "aud", "", false},
		{"null", "aud", nil, false},
		{"a number", "aud", 1, false},
		{"a boolean", "aud", true, false},
		{"an object", "aud", map[string]string{"aud": audience}, false},
		{"a name in another case", "Aud", audience, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims().Without("aud").With(tt.claim, tt.aud))
			_, err := f.Verify(t.Context(), idToken)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, domain.CodeWrongAudience, idToken)
			require.Contains(t, domain.MessageOf(err), `"crates.io"`, "the message says what is expected")
		})
	}
	idToken := f.sign(t, f.ci.GitHubClaims().With("aud", "pypi"))
	_, err := f.Verify(t.Context(), idToken)
	require.Contains(t, domain.MessageOf(err), `"pypi"`, "the message says what came")
}

func TestTimesAreComparedWithTheLeeway(t *testing.T) {
	t.Parallel()
	const day = 24 * 60 * 60
	tests := []struct {
		name          string
		leeway        time.Duration
		iat, nbf, exp int64 // in seconds from now
		want          domain.Code
	}{
		{"fresh", leeway, 0, 0, 300, ""},
		{"expired, within the leeway", leeway, -300, -300, -59, ""},
		{"expired for as long as the leeway", leeway, -300, -300, -60, domain.CodeExpired},
		{"expired for long", leeway, -3600, -3600, -3000, domain.CodeExpired},
		{"expires now, without leeway", 0, -300, -300, 0, domain.CodeExpired},
		{"expires in a second, without leeway", 0, -300, -300, 1, ""},
		{"issued in the future, within the leeway", leeway, 60, 0, 300, ""},
		{"issued further in the future", leeway, 61, 0, 300, domain.CodeNotYetValid},
		{"issued in a second, without leeway", 0, 1, 0, 300, domain.CodeNotYetValid},
		{"begins in the future, within the leeway", leeway, 0, 60, 300, ""},
		{"begins further in the future", leeway, 0, 61, 300, domain.CodeNotYetValid},
		{"begins in a second, without leeway", 0, 0, 1, 300, domain.CodeNotYetValid},
		{"lives for 24 hours", leeway, 0, 0, day, ""},
		{"lives for a second more than 24 hours", leeway, 0, 0, day + 1, domain.CodeLifetimeTooLong},
		{"was issued long ago and lives for long", leeway, -day, -day, 1, domain.CodeLifetimeTooLong},
		{"expires when it was issued", leeway, 30, 0, 30, domain.CodeInvalidClaim},
		{"expires before it was issued", leeway, 50, 0, 10, domain.CodeInvalidClaim},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			ci := startIssuer(t, clock.Now)
			verifier := newVerifier(t, ci, newKeySet(t, ci, clock.Now), clock.Now, tt.leeway)
			now := clock.Now().Unix()
			idToken := signed(t)(ci.Sign(ci.GitHubClaims().With("iat", now+tt.iat).With("nbf", now+tt.nbf).With("exp", now+tt.exp)))
			_, err := verifier.Verify(t.Context(), idToken)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, tt.want, idToken)
		})
	}
}

func TestTheRecordOfAUsedJTIOutlivesEveryMomentAtWhichTheIDTokenIsAccepted(t *testing.T) {
	t.Parallel()
	for _, leeway := range []time.Duration{0, time.Second, 1500 * time.Millisecond, time.Minute, oidc.MaxLeeway} {
		t.Run(leeway.String(), func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			ci := startIssuer(t, clock.Now)
			verifier := newVerifier(t, ci, newKeySet(t, ci, clock.Now), clock.Now, leeway)
			exp := noon.Add(5 * time.Minute)
			idToken := signed(t)(ci.Sign(ci.GitHubClaims().With("exp", float64(exp.Unix())+0.9)))

			claims, err := verifier.Verify(t.Context(), idToken)
			require.NoError(t, err)
			until := exp.Add(leeway)
			require.Equal(t, until.Add(domain.ReplayMargin), claims.UsedJTI().ExpiresAt)
			clock.Set(until.Add(-1))
			_, err = verifier.Verify(t.Context(), idToken)
			require.NoError(t, err, "a nanosecond before the end it is accepted")
			clock.Set(until)
			_, err = verifier.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeExpired, idToken)
		})
	}
}

func TestTimesAreNumbersOfSecondsFrom1970To9999(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		name  string
		value any
		want  domain.Code
	}{
		{"a string of digits", "1777636800", domain.CodeMissingClaim},
		{"a date", "2026-05-01T12:00:00Z", domain.CodeMissingClaim},
		{"null", nil, domain.CodeMissingClaim},
		{"a boolean", true, domain.CodeMissingClaim},
		{"an array", []int{1777636800}, domain.CodeMissingClaim},
		{"an object", map[string]int{"s": 1777636800}, domain.CodeMissingClaim},
		{"negative", -1, domain.CodeInvalidClaim},
		{"just below zero", json.Number("-0.5"), domain.CodeInvalidClaim},
		{"the year 10000", 253402300800, domain.CodeInvalidClaim},
		{"2 to the 63rd", json.Number("9223372036854775808"), domain.CodeInvalidClaim},
		{"huge", json.Number("1e300"), domain.CodeInvalidClaim},
		{"beyond what a float can hold", json.Number("1e999"), domain.CodeInvalidClaim},
		{"of a thousand digits", json.Number(strings.Repeat("9", 1000)), domain.CodeInvalidClaim},
	}
	for _, claim := range []string{"exp", "iat", "nbf"} {
		for _, tt := range tests {
			t.Run(claim+" "+tt.name, func(t *testing.T) {
				idToken := f.sign(t, f.ci.GitHubClaims().With(claim, tt.value))
				_, err := f.Verify(t.Context(), idToken)
				requireRefused(t, err, tt.want, idToken)
				require.Contains(t, domain.MessageOf(err), claim)
			})
		}
	}
	t.Run("a fraction and an exponent are numbers too", func(t *testing.T) {
		claims := f.ci.GitHubClaims().With("exp", json.Number("1777637100.75")).
			With("iat", json.Number("1.7776368e9")).With("nbf", json.Number("17776368e2"))
		_, err := f.Verify(t.Context(), f.sign(t, claims))
		require.NoError(t, err)
	})
}

func TestAClaimThatARuleReadsIsPresentAndOfItsType(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, claim := range []string{"exp", "iat", "jti", "event_name", "repository", "repository_owner_id", "workflow_ref"} {
		wrong := map[string]any{"null": nil, "empty": "", "a boolean": true, "an array": []string{"x"}, "an object": issuer.Claims{}}
		if claim != "exp" && claim != "iat" {
			wrong["a number"] = 65
		}
		for name, value := range wrong {
			t.Run(claim+" "+name, func(t *testing.T) {
				idToken := f.sign(t, f.ci.GitHubClaims().With(claim, value))
				_, err := f.Verify(t.Context(), idToken)
				requireRefused(t, err, domain.CodeMissingClaim, idToken)
				require.Contains(t, domain.MessageOf(err), claim, "the message names the claim")
			})
		}
		t.Run(claim+" absent", func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims().Without(claim))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeMissingClaim, idToken)
			require.Contains(t, domain.MessageOf(err), claim, "the message names the claim")
		})
		t.Run(claim+" in another case", func(t *testing.T) {
			claims := f.ci.GitHubClaims()
			idToken := f.sign(t, claims.Without(claim).With(strings.ToUpper(claim), claims[claim]))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeMissingClaim, idToken)
		})
	}
	for _, claim := range []string{"nbf", "sub", "repository_owner", "repository_id", "environment", "ref"} {
		t.Run(claim+" may be absent", func(t *testing.T) {
			_, err := f.Verify(t.Context(), f.sign(t, f.ci.GitHubClaims().Without(claim)))
			require.NoError(t, err)
		})
	}
	t.Run("names in another case are other claims", func(t *testing.T) {
		claims := f.ci.GitHubClaims().With("Repository", "evil/evil").With("AUD", "pypi").With("EXP", 1).
			With("Iss", "https://evil.example").With("Event_Name", "workflow_run").With("JTI", "x")
		verified, err := f.Verify(t.Context(), f.sign(t, claims))
		require.NoError(t, err)
		require.Equal(t, "octo-org/octo-repo", verified.Repository().String())
	})
}

func TestAJTIHasAtMost255BytesAndNoControlCharacters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct{ name, jti string }{
		{"256 bytes", strings.Repeat("j", 256)},
		{"255 characters of two bytes", strings.Repeat("é", 255)},
		{"NUL", "a\x00b"},
		{"line break", "a\nb"},
		{"DEL", "a\x7f"},
		{"C1 control character", "a\u0085"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims().With("jti", tt.jti))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeInvalidClaim, idToken)
			require.Contains(t, domain.MessageOf(err), "jti")
		})
	}
	longest := strings.Repeat("j", 255)
	claims, err := f.Verify(t.Context(), f.sign(t, f.ci.GitHubClaims().With("jti", longest)))
	require.NoError(t, err)
	require.Equal(t, longest, claims.JWTID())
}

func TestSubIsRecordedAndDecidesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		name string
		sub  any
		want string
	}{
		{"customised", "repository_owner_id:65:environment:release", "repository_owner_id:65:environment:release"},
		{"of another repository", "repo:evil/evil:ref:refs/heads/main", "repo:evil/evil:ref:refs/heads/main"},
		{"empty", "", ""},
		{"number", 1, ""},
		{"NUL, which no database takes", "repo\x00", ""},
		{"longer than any honest one", strings.Repeat("s", 2049), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims, err := f.Verify(t.Context(), f.sign(t, f.ci.GitHubClaims().With("sub", tt.sub)))
			require.NoError(t, err)
			require.Equal(t, tt.want, claims.Subject())
		})
	}
}
