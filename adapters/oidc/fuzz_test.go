package oidc_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// fuzzKeyID is the same in each process of a fuzzing run, which the key is not.
const fuzzKeyID = "k"

// fuzzFixture is an issuer and a verifier that holds its key already.
func fuzzFixture(f *testing.F) (*issuer.Issuer, *oidc.Verifier) {
	f.Helper()
	clock := newClock()
	ci, err := issuer.New(issuer.Config{URL: "https://issuer.test", Now: clock.Now, GenerateKey: issuerKeys()})
	require.NoError(f, err)
	keys := oidc.NewStaticKeySet(map[string]crypto.PublicKey{fuzzKeyID: ci.PublicKey()})
	return ci, newVerifier(f, ci, keys, clock.Now, leeway)
}

// FuzzVerify shows the verifier any text: it refuses it, and accepts what the issuer
// signed as it stands only.
func FuzzVerify(f *testing.F) {
	ci, verifier := fuzzFixture(f)
	genuine := signed(f)(ci.Sign(ci.GitHubClaims(), issuer.WithHeader("kid", fuzzKeyID)))
	parts := strings.Split(genuine, ".")
	for _, seed := range []string{
		genuine,
		"", "..", "a.b.c", genuine + "=", genuine + "\n", strings.TrimRight(genuine, "AQgw"),
		parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2],
		encode(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2],
		encode(`{"alg":"RS256","kid":"x","kid":"y"}`) + "." + parts[1] + "." + parts[2],
		encode(`{"alg":"RS256","kid":"k","crit":["b64"],"b64":false}`) + "." + parts[1] + "." + parts[2],
		encode(`{"alg":"RS256","kid":"k","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`) + "." + parts[1] + "." + parts[2],
		parts[0] + "." + encode(`{"iss":"https://issuer.test"}`) + "." + parts[2],
		parts[0] + "." + encode(`{"iss":"https://issuer.test","iss":""}`) + "." + parts[2],
		`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, idToken string) {
		claims, err := verifier.Verify(t.Context(), idToken)
		if idToken == genuine {
			require.NoError(t, err)
			return
		}
		require.Equal(t, domain.KindRefused, domain.KindOf(err), "%v", err)
		require.Zero(t, claims)
	})
}

// FuzzClaims shows the verifier any header and payload with a good signature.
// Whatever it accepts keeps the promises of the contract, and encoding/json reads the
// same.
func FuzzClaims(f *testing.F) {
	ci, verifier := fuzzFixture(f)
	genuine := ci.GitHubClaims().With("jti", "j")
	b, err := json.Marshal(genuine)
	require.NoError(f, err)
	text := string(b)
	replace := func(old, replacement string) string { return strings.Replace(text, old, replacement, 1) }
	const header = `{"alg":"RS256","kid":"k"}`
	for _, seed := range []string{
		`{"typ":"JWT","kid":"k","alg":"RS256","x5t":"AAAA"}`, `{"alg":"RS256","kid":"k","crit":[]}`,
		`{"alg":"RS256","kid":"k","nonce":1}`, `{"alg":"RS256","kid":"k","jwk":null}`, `{"alg":"none"}`, "{}",
	} {
		f.Add([]byte(seed), b)
	}
	for _, seed := range []string{
		text, "", "{}", "[]", "null", `{"iss":"https://issuer.test"}`, text + text, "\ufeff" + text,
		replace(`"aud":"crates.io"`, `"aud":["crates.io"]`),
		replace(`"aud":"crates.io"`, `"aud":["crates.io","crates.io"]`),
		replace(`"aud":"crates.io"`, `"aud":[["crates.io"]]`),
		replace(`"jti":"j"`, `"jti":"j","jti":"k"`),
		replace(`"jti":"j"`, `"jti":"j","JTI":"k"`),
		replace(`"jti":"j"`, `"jti":"\u0000"`),
		replace(`"jti":"j"`, `"jti":"\ud800"`),
		replace(`"jti"`, `"\u006ati"`),
		replace(`"exp":`, `"exp":1e300,"x":`),
		replace(`"exp":`, `"exp":-1,"x":`),
		replace(`"nbf":`, `"nbf":"0","x":`),
		replace(`"ref_type"`, `"environment":"Release","ref_type"`),
		replace("octo-org/octo-repo/.github/workflows/release.yml@refs/tags/v1.2.3", "octo-org/octo-repo/.github/workflows/a@b.yml@refs/heads/x.yml@y"),
	} {
		f.Add([]byte(header), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		claims, err := verifier.Verify(t.Context(), signed(t)(ci.SignRaw(header, payload)))
		if err != nil {
			require.Equal(t, domain.KindRefused, domain.KindOf(err), "%v", err)
			require.Zero(t, claims)
			return
		}
		var lenient map[string]any
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&lenient))
		require.Equal(t, lenient["iss"], claims.Issuer())
		require.Equal(t, lenient["jti"], claims.JWTID())
		require.Equal(t, lenient["repository"], claims.Repository().String())
		if list, ok := lenient["aud"].([]any); ok {
			require.Len(t, list, 1)
			lenient["aud"] = list[0]
		}
		require.Equal(t, audience, lenient["aud"])
		require.NotEmpty(t, claims.JWTID())
		require.LessOrEqual(t, len(claims.JWTID()), 255)
		for _, s := range []string{claims.JWTID(), claims.Subject(), claims.OwnerID(), claims.Workflow(), claims.Environment()} {
			require.False(t, strings.ContainsFunc(s, unicode.IsControl), "%q", s)
		}
		until := claims.UsedJTI().ExpiresAt
		require.True(t, until.After(noon) && until.Before(noon.Add(24*time.Hour+2*leeway+domain.ReplayMargin)))
	})
}
