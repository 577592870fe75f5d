package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// noJWTID is a provider that signs with ES256 and gives no jti.
type noJWTID struct{ *github.Provider }

func (noJWTID) Algorithms() []string { return []string{"ES256"} }
func (noJWTID) HasJWTID() bool       { return false }

// ecdsaIssuer is an issuer that signs with ES256 a key that it publishes.
type ecdsaIssuer struct {
	*issuer.Issuer
	*oidc.Verifier

	key *ecdsa.PrivateKey
}

func newECDSAIssuer(t *testing.T) ecdsaIssuer {
	t.Helper()
	clock := newClock()
	ci := startIssuer(t, clock.Now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	published, err := json.Marshal(jose.JSONWebKey{Key: &key.PublicKey, KeyID: "ec", Algorithm: "ES256", Use: "sig"})
	require.NoError(t, err)
	ci.AddToKeySet(published)
	plain, err := github.New(ci.URL())
	require.NoError(t, err)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: audience, Now: clock.Now,
		Sources: []oidc.Source{{
			Provider: noJWTID{plain},
			Keys:     newKeySetWith(t, oidc.RemoteKeySetConfig{Issuer: ci.URL(), Now: clock.Now, Algorithms: []string{"ES256"}}),
		}},
	})
	require.NoError(t, err)
	return ecdsaIssuer{ci, verifier, key}
}

// sign signs claims with ES256. Each signature is another, as ECDSA draws a number.
func (e ecdsaIssuer) sign(t *testing.T, claims issuer.Claims, headers map[jose.HeaderKey]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	options := (&jose.SignerOptions{ExtraHeaders: headers}).WithHeader("kid", "ec")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: e.key}, options)
	require.NoError(t, err)
	jws, err := signer.Sign(payload)
	require.NoError(t, err)
	return signed(t)(jws.CompactSerialize())
}

// jwtID verifies an ID token and returns what tells it from others.
func (e ecdsaIssuer) jwtID(t *testing.T, idToken string) string {
	t.Helper()
	claims, err := e.Verify(t.Context(), idToken)
	require.NoError(t, err)
	return claims.JWTID()
}

// mirrored returns the ID token with the other signature that every ECDSA signature
// has: s and the order of the curve minus s are both valid.
func mirrored(t *testing.T, idToken string) string {
	t.Helper()
	input, encoded := cut(t, idToken)
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	require.Len(t, signature, 64)
	s := new(big.Int).SetBytes(signature[32:])
	new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// cut takes the signature off an ID token.
func cut(tb testing.TB, idToken string) (signingInput, signature string) {
	tb.Helper()
	i := strings.LastIndexByte(idToken, '.')
	require.Positive(tb, i)
	return idToken[:i], idToken[i+1:]
}

func TestAnIDTokenWithoutJTIIsToldByWhatWasSigned(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	claims := e.GitHubClaims().Without("jti")
	idToken := e.sign(t, claims, nil)
	input, _ := cut(t, idToken)
	hash := sha256.Sum256([]byte(input))

	for range 2 {
		require.Equal(t, "sha256:"+hex.EncodeToString(hash[:]), e.jwtID(t, idToken))
	}
}

func TestAnotherSignatureOverTheSameMakesNoOtherIDToken(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	claims := e.GitHubClaims().Without("jti")
	idToken := e.sign(t, claims, nil)
	again := e.sign(t, claims, nil)
	for name, other := range map[string]string{"s mirrored": mirrored(t, idToken), "signed again": again, "signed again and mirrored": mirrored(t, again)} {
		require.NotEqual(t, idToken, other, name)
		require.Equal(t, e.jwtID(t, idToken), e.jwtID(t, other), name)
	}
	require.Equal(t, idToken, mirrored(t, mirrored(t, idToken)))
}

func TestAnotherHeaderOrPayloadMakesAnotherIDToken(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	claims := e.GitHubClaims().Without("jti").With("run_attempt", "1")
	seen := map[string]string{}
	for name, idToken := range map[string]string{
		"as it is":          e.sign(t, claims, nil),
		"another payload":   e.sign(t, claims.With("run_attempt", "2"), nil),
		"another subject":   e.sign(t, claims.With("sub", "repo:octo-org/octo-repo:ref:refs/tags/v2"), nil),
		"a further claim":   e.sign(t, claims.With("extra", true), nil),
		"a header more":     e.sign(t, claims, map[jose.HeaderKey]any{"typ": "JWT"}),
		"another header":    e.sign(t, claims, map[jose.HeaderKey]any{"typ": "jwt"}),
		"a jti in its body": e.sign(t, claims.With("jti", "x"), nil),
	} {
		id := e.jwtID(t, idToken)
		require.NotContains(t, seen, id, "%s and %s", name, seen[id])
		seen[id] = name
	}
}

func TestAJTIOfAProviderWithoutOneIsNotUsed(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	tests := []struct {
		name string
		jti  any
	}{
		{"text", "chosen-by-the-job"},
		{"what stands for the jti of another", "sha256:" + strings.Repeat("0", 64)},
		{"empty", ""},
		{"number", 7},
		{"too long", strings.Repeat("x", 300)},
		{"control characters", "a\nb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := e.sign(t, e.GitHubClaims().With("jti", tt.jti), nil)

			id := e.jwtID(t, idToken)

			require.Regexp(t, `^sha256:[0-9a-f]{64}$`, id)
			require.NotEqual(t, tt.jti, id)
			require.Equal(t, id, e.jwtID(t, mirrored(t, idToken)))
		})
	}
}

func TestAProviderWithJTINeverGoesWithoutOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	idToken := f.sign(t, f.ci.GitHubClaims().Without("jti"))

	_, err := f.Verify(t.Context(), idToken)

	requireRefused(t, err, domain.CodeMissingClaim, idToken)
}

func TestASignatureOfES256ThatIsSpoiltIsRefused(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	idToken := e.sign(t, e.GitHubClaims().Without("jti"), nil)
	input, encoded := cut(t, idToken)
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	n := elliptic.P256().Params().N
	spoil := func(change func(r, s *big.Int) (*big.Int, *big.Int)) []byte {
		r, s := change(new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		spoilt := make([]byte, 64)
		r.FillBytes(spoilt[:32])
		s.FillBytes(spoilt[32:])
		return spoilt
	}
	der, err := ecdsa.SignASN1(rand.Reader, e.key, hashed(input))
	require.NoError(t, err)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tests := []struct {
		name      string
		signature []byte
	}{
		{"s plus one", spoil(func(r, s *big.Int) (*big.Int, *big.Int) { return r, s.Add(s, big.NewInt(1)) })},
		{"r and s the other way round", spoil(func(r, s *big.Int) (*big.Int, *big.Int) { return s, r })},
		{"r mirrored", spoil(func(r, s *big.Int) (*big.Int, *big.Int) { return r.Sub(n, r), s })},
		{"s of zero", spoil(func(r, _ *big.Int) (*big.Int, *big.Int) { return r, new(big.Int) })},
		{"r and s of the curve's order", spoil(func(_, _ *big.Int) (*big.Int, *big.Int) { return n, n })},
		{"a byte less", signature[:63]},
		{"a byte more", append(append([]byte{}, signature...), 0)},
		{"in ASN.1, as certificates have it", der},
		{"of another key", foreign(t, stranger, input)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spoilt := input + "." + base64.RawURLEncoding.EncodeToString(tt.signature)

			_, err := e.Verify(t.Context(), spoilt)

			requireRefused(t, err, domain.CodeInvalidSignature, spoilt)
		})
	}
}

func TestAnIssuerOfES256IsNotReachedWithItsRSAKeys(t *testing.T) {
	t.Parallel()
	e := newECDSAIssuer(t)
	// The issuer publishes RSA keys too, for others.
	rs256, err := e.Sign(e.GitHubClaims())
	require.NoError(t, err)
	_, err = e.Verify(t.Context(), rs256)
	requireRefused(t, err, domain.CodeUnsupportedAlgorithm, rs256)

	payload, err := json.Marshal(e.GitHubClaims())
	require.NoError(t, err)
	header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": e.KeyID()})
	require.NoError(t, err)
	claimed, err := e.SignRaw(header, payload)
	require.NoError(t, err)
	_, err = e.Verify(t.Context(), claimed)
	requireRefused(t, err, domain.CodeUnknownKey, claimed)
}

func hashed(input string) []byte {
	hash := sha256.Sum256([]byte(input))
	return hash[:]
}

// foreign signs input with ES256 with another key.
func foreign(t *testing.T, key *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	r, s, err := ecdsa.Sign(rand.Reader, key, hashed(input))
	require.NoError(t, err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}
