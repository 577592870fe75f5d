package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestOnlyCompactSerialisationInCanonicalBase64IsNoMalformedJWT(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	genuine := f.sign(t, f.ci.GitHubClaims())
	header, rest, _ := strings.Cut(genuine, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	// The signature has 256 bytes, so its last character holds 2 bits that count and 4
	// that must be zero.
	require.Contains(t, "AQgw", signature[len(signature)-1:])
	loose := signature[:len(signature)-1] + string(signature[len(signature)-1]+1)

	tests := []struct{ name, idToken string }{
		{"nothing", ""},
		{"one part", header},
		{"two parts", header + "." + payload},
		{"four parts", genuine + "." + signature},
		{"five parts as in a JWE", genuine + ".." + signature},
		{"a dot too many", genuine + "."},
		{"empty header", "." + rest},
		{"empty payload", header + ".." + signature},
		{"empty signature", header + "." + payload + "."},
		{"only dots", ".."},
		{"flattened JSON serialisation", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, header, payload, signature)},
		{"general JSON serialisation", fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, header, signature)},
		{"space before", " " + genuine},
		{"space after", genuine + " "},
		{"line break after", genuine + "\n"},
		{"line break in the header", header[:4] + "\n" + header[4:] + "." + rest},
		{"line break in the payload", header + "." + payload[:4] + "\r\n" + payload[4:] + "." + signature},
		{"line break in the signature", header + "." + payload + "." + signature[:4] + "\n" + signature[4:]},
		{"padded header", header + "=." + rest},
		{"padded payload", header + "." + payload + "==." + signature},
		{"padded signature", genuine + "=="},
		{"standard alphabet", header + "." + payload + "." + strings.Repeat("+/", 171)},
		{"percent encoding", header + "." + payload + "." + signature[:340] + "%41"},
		{"bits set after the end of the signature", header + "." + payload + "." + loose},
		{"one character of base64", "A." + rest},
		{"NUL in the signature", header + "." + payload + "." + signature[:340] + "\x00A"},
		{"not ASCII", header + "." + payload + "." + signature[:340] + "é"},
		{"scheme before", "Bearer " + genuine},
		{"quoted", `"` + genuine + `"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.Verify(t.Context(), tt.idToken)
			requireRefused(t, err, domain.CodeMalformedJWT, tt.idToken)
		})
	}
	require.Zero(t, f.traffic(), "what is malformed must cause no outbound traffic")
}

func TestAnIDTokenHasAtMost16KiB(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	claims := f.ci.GitHubClaims()
	// Three bytes are four of base64, so header and payload fill up to the byte together.
	ofLength := func(length int) string {
		for inHeader := range 3 {
			option := issuer.WithHeader("filler", strings.Repeat("x", inHeader))
			room := (length - len(f.sign(t, claims.With("filler", ""), option))) / 4 * 3
			for extra := range 4 {
				idToken := f.sign(t, claims.With("filler", strings.Repeat("x", room+extra)), option)
				if len(idToken) == length {
					return idToken
				}
			}
		}
		require.FailNow(t, "no ID token has that length")
		return ""
	}
	_, err := f.Verify(t.Context(), ofLength(16<<10))
	require.NoError(t, err)
	for _, length := range []int{16<<10 + 1, 32 << 10} {
		tooLarge := ofLength(length)
		_, err = f.Verify(t.Context(), tooLarge)
		requireRefused(t, err, domain.CodeMalformedJWT, tooLarge)
		require.Contains(t, domain.MessageOf(err), "16 KiB")
	}
}

// withMember returns the JSON of claims with text inserted before its end.
func withMember(t *testing.T, claims issuer.Claims, text string) []byte {
	t.Helper()
	b, err := json.Marshal(claims)
	require.NoError(t, err)
	return fmt.Appendf(nil, "%s,%s}", b[:len(b)-1], text)
}

func TestAPayloadThatTwoProgramsCouldReadDifferentlyIsMalformed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	claims := f.ci.GitHubClaims()
	genuine := string(withMember(t, claims, `"n":1`))
	nested := strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000)

	tests := []struct{ name, payload string }{
		{"duplicated member", string(withMember(t, claims, `"repository":"octo-org/octo-repo"`))},
		{"duplicated iss", string(withMember(t, claims, fmt.Sprintf(`"iss":%q`, f.ci.URL())))},
		{"duplicated member, once escaped", string(withMember(t, claims, `"reposi\u0074ory":"evil/evil"`))},
		{"duplicated member of an object inside", string(withMember(t, claims, `"o":{"a":1,"a":1}`))},
		{"duplicated member three levels down", string(withMember(t, claims, `"o":[{"p":{"a":1,"a":2}}]`))},
		{"something after the object", genuine + "x"},
		{"a second object", genuine + genuine},
		{"a bracket too many", genuine + "}"},
		{"byte order mark", "\ufeff" + genuine},
		{"byte order mark of UTF-16", "\xff\xfe" + genuine},
		{"invalid UTF-8 in a value", strings.Replace(genuine, "octocat", "octo\xffcat", 1)},
		{"invalid UTF-8 in a name", strings.Replace(genuine, `"actor"`, "\"actor\xc0\xaf\"", 1)},
		{"surrogate in UTF-8", strings.Replace(genuine, "octocat", "octo\xed\xa0\x80cat", 1)},
		{"NUL in a string", strings.Replace(genuine, "octocat", "octo\x00cat", 1)},
		{"line break in a string", strings.Replace(genuine, "octocat", "octo\ncat", 1)},
		{"array", "[" + genuine + "]"},
		{"string", `"` + f.ci.URL() + `"`},
		{"null", "null"},
		{"number", "1"},
		{"boolean", "true"},
		{"no JSON", "iss=" + f.ci.URL()},
		{"cut off", genuine[:len(genuine)-1]},
		{"comment", strings.Replace(genuine, "{", "{/**/", 1)},
		{"comma at the end", strings.Replace(genuine, `"n":1}`, `"n":1,}`, 1)},
		{"single quotes", strings.ReplaceAll(genuine, `"`, "'")},
		{"NaN", strings.Replace(genuine, `"n":1`, `"n":NaN`, 1)},
		{"infinity", strings.Replace(genuine, `"n":1`, `"n":Infinity`, 1)},
		{"leading zero", strings.Replace(genuine, `"n":1`, `"n":01`, 1)},
		{"hexadecimal", strings.Replace(genuine, `"n":1`, `"n":0x1`, 1)},
		{"brackets that nest deeply and never end", strings.Replace(genuine, `"n":1`, `"n":`+nested[:5000], 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := signed(t)(f.ci.SignPayload([]byte(tt.payload)))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeMalformedJWT, idToken)
		})
	}
	require.Zero(t, f.traffic(), "what is malformed must cause no outbound traffic")

	t.Run("but claims that nobody reads may hold anything", func(t *testing.T) {
		payload := withMember(t, claims, `"a":`+nested+`,"b":1e999999,"c":{"x":[null,-0.0]},"":"","\u0000":"\ud800"`)
		idToken := signed(t)(f.ci.SignPayload(payload))
		_, err := f.Verify(t.Context(), idToken)
		require.NoError(t, err)
	})
}

func TestAHeaderThatTwoProgramsCouldReadDifferentlyIsMalformed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	payload, err := json.Marshal(f.ci.GitHubClaims())
	require.NoError(t, err)
	kid := f.ci.KeyID()

	tests := []struct{ name, header string }{
		{"duplicated alg", fmt.Sprintf(`{"alg":"none","alg":"RS256","kid":%q}`, kid)},
		{"duplicated kid", fmt.Sprintf(`{"alg":"RS256","kid":"x","kid":%q}`, kid)},
		{"duplicated alg, once escaped", fmt.Sprintf(`{"\u0061lg":"none","alg":"RS256","kid":%q}`, kid)},
		{"duplicated member inside", fmt.Sprintf(`{"alg":"RS256","kid":%q,"x":{"a":1,"a":2}}`, kid)},
		{"something after the object", fmt.Sprintf(`{"alg":"RS256","kid":%q}x`, kid)},
		{"byte order mark", fmt.Sprintf("\ufeff{\"alg\":\"RS256\",\"kid\":%q}", kid)},
		{"invalid UTF-8", "{\"alg\":\"RS256\",\"kid\":\"\xff\"}"},
		{"array", `["RS256"]`},
		{"null", `null`},
		{"no JSON", `RS256`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := signed(t)(f.ci.SignRaw([]byte(tt.header), payload))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeMalformedJWT, idToken)
		})
	}
	require.Zero(t, f.traffic(), "what is malformed must cause no outbound traffic")
}

func TestTheHeaderIsCheckedBeforeAKeyIsLookedUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	set := issuer.WithHeader
	tests := []struct {
		name   string
		option issuer.SignOption
		want   domain.Code
	}{
		{"alg none", set("alg", "none"), domain.CodeUnsupportedAlgorithm},
		{"alg None", set("alg", "None"), domain.CodeUnsupportedAlgorithm},
		{"alg NONE", set("alg", "NONE"), domain.CodeUnsupportedAlgorithm},
		{"HS256 with the public key as its secret", f.ci.WithHMACOfPublicKey(), domain.CodeUnsupportedAlgorithm},
		{"HS512", set("alg", "HS512"), domain.CodeUnsupportedAlgorithm},
		{"RS512, which the provider does not use", set("alg", "RS512"), domain.CodeUnsupportedAlgorithm},
		{"PS256, which the provider does not use", set("alg", "PS256"), domain.CodeUnsupportedAlgorithm},
		{"ES256, which the provider does not use", set("alg", "ES256"), domain.CodeUnsupportedAlgorithm},
		{"EdDSA", set("alg", "EdDSA"), domain.CodeUnsupportedAlgorithm},
		{"RSA-OAEP of a JWE", set("alg", "RSA-OAEP"), domain.CodeUnsupportedAlgorithm},
		{"rs256 in lower case", set("alg", "rs256"), domain.CodeUnsupportedAlgorithm},
		{"RS256 and a NUL", set("alg", "RS256\x00"), domain.CodeUnsupportedAlgorithm},
		{"RS256 and a space", set("alg", "RS256 "), domain.CodeUnsupportedAlgorithm},
		{"no alg", issuer.WithoutHeader("alg"), domain.CodeUnsupportedAlgorithm},
		{"empty alg", set("alg", ""), domain.CodeUnsupportedAlgorithm},
		{"alg null", set("alg", nil), domain.CodeUnsupportedAlgorithm},
		{"alg in an array", set("alg", []string{"RS256"}), domain.CodeUnsupportedAlgorithm},
		{"alg a number", set("alg", 256), domain.CodeUnsupportedAlgorithm},
		{"no kid", issuer.WithoutHeader("kid"), domain.CodeMissingKeyID},
		{"empty kid", set("kid", ""), domain.CodeMissingKeyID},
		{"kid null", set("kid", nil), domain.CodeMissingKeyID},
		{"kid a number", set("kid", 1), domain.CodeMissingKeyID},
		{"kid in an array", set("kid", []string{f.ci.KeyID()}), domain.CodeMissingKeyID},
		{"kid of 256 bytes", set("kid", strings.Repeat("k", 256)), domain.CodeMissingKeyID},
		{"crit that names an extension", set("crit", []string{"exp"}), domain.CodeUnsupportedHeader},
		{"crit that names b64", set("crit", []string{"b64"}), domain.CodeUnsupportedHeader},
		{"empty crit", set("crit", []string{}), domain.CodeUnsupportedHeader},
		{"crit null", set("crit", nil), domain.CodeUnsupportedHeader},
		{"crit a string", set("crit", "exp"), domain.CodeUnsupportedHeader},
		{"b64 false", set("b64", false), domain.CodeUnsupportedHeader},
		{"b64 true", set("b64", true), domain.CodeUnsupportedHeader},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims(), tt.option)
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, tt.want, idToken)
		})
	}
	require.Zero(t, f.traffic(), "what the header rules out must cause no outbound traffic")
}

func TestAKeyIDIsNothingButAKeyOfTheKeySet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct{ name, keyID string }{
		{"made up", "key-0"},
		{"longest", strings.Repeat("k", 255)},
		{"path", "../../../../etc/passwd"},
		{"null device", "/dev/null"},
		{"URL", "https://evil.example/jwks.json"},
		{"SQL", "x' union select 'secret' --"},
		{"shell", "$(id)"},
		{"NUL", f.ci.KeyID() + "\x00"},
		{"another case", strings.ToUpper(f.ci.KeyID())},
		{"with a space", f.ci.KeyID() + " "},
		{"terminal escape", "\x1b[2J"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims(), issuer.WithHeader("kid", tt.keyID))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeUnknownKey, idToken)
		})
	}
}

func TestAKeyThatTheHeaderBringsAlongIsNeverUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	t.Cleanup(evil.Close)
	embedded := jose.JSONWebKey{Key: &strangerKey().PublicKey, KeyID: f.ci.KeyID(), Algorithm: "RS256"}
	tests := []struct {
		name  string
		value any
	}{
		{"jwk", embedded},
		{"jwk", map[string]string{"kty": "evil"}},
		{"x5c", []string{base64.StdEncoding.EncodeToString([]byte("no certificate"))}},
		{"jku", evil.URL},
		{"x5u", evil.URL},
		{"x5t", "AAAA"},
		{"x5t#S256", "AAAA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bring := issuer.WithHeader(tt.name, tt.value)
			forged := f.sign(t, f.ci.GitHubClaims(), bring, issuer.WithKey(strangerKey()))
			_, err := f.Verify(t.Context(), forged)
			requireRefused(t, err, domain.CodeInvalidSignature, forged)

			forged = f.sign(t, f.ci.GitHubClaims(), bring, issuer.WithKey(strangerKey()), issuer.WithHeader("kid", "theirs"))
			_, err = f.Verify(t.Context(), forged)
			requireRefused(t, err, domain.CodeUnknownKey, forged)

			genuine := f.sign(t, f.ci.GitHubClaims(), bring)
			_, err = f.Verify(t.Context(), genuine)
			require.NoError(t, err, "in a genuine ID token it is ignored")
		})
	}
	require.Zero(t, asked.Load(), "a URL in a header must never be asked")
}
