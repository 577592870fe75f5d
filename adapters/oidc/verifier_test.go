package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestAGenuineIDTokenIsVerified(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	idToken := f.sign(t, f.ci.GitHubClaims().With("jti", "the-id").With("environment", "release"))
	claims, err := f.Verify(t.Context(), idToken)
	require.NoError(t, err)

	require.Equal(t, f.ci.URL(), claims.Issuer())
	require.Equal(t, "the-id", claims.JWTID())
	require.Equal(t, "repo:octo-org/octo-repo:ref:refs/tags/v1.2.3", claims.Subject())
	require.Equal(t, domain.ProviderGitHub, claims.Provider())
	require.Equal(t, domain.Repository{Owner: "octo-org", Name: "octo-repo"}, claims.Repository())
	require.Equal(t, "65", claims.OwnerID())
	require.Equal(t, "release.yml", claims.Workflow())
	require.Equal(t, "release", claims.Environment())

	_, err = f.Verify(t.Context(), idToken)
	require.NoError(t, err, "verifying remembers nothing: whether it was used is for the store to say")
}

func TestChecksAreMadeInTheOrderOfTheContract(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stranger := issuer.WithKey(strangerKey())
	noAlg := issuer.WithoutHeader("alg")
	noKeyID := issuer.WithoutHeader("kid")
	critical := issuer.WithHeader("crit", []string{"x"})
	unknown := issuer.WithHeader("kid", "unknown")

	// Each row mends the first fault of the row before.
	claims := f.ci.GitHubClaims().Without("repository").Without("jti").With("event_name", "workflow_run").
		With("iat", f.clock.Now().Add(time.Hour).Unix()).With("nbf", f.clock.Now().Add(time.Hour).Unix()).
		With("exp", f.clock.Now().Add(-time.Hour).Unix()).With("aud", "pypi").With("iss", "https://evil.example")
	rightIssuer := claims.With("iss", f.ci.URL())
	rightAudience := rightIssuer.With("aud", audience)
	notExpired := rightAudience.With("exp", f.clock.Now().Add(60*time.Hour).Unix())
	valid := notExpired.With("iat", f.clock.Now().Unix()).With("nbf", f.clock.Now().Unix())
	shortLived := valid.With("exp", f.clock.Now().Add(time.Minute).Unix())
	tests := []struct {
		name    string
		claims  issuer.Claims
		options []issuer.SignOption
		want    domain.Code
	}{
		{"form", claims, []issuer.SignOption{issuer.WithoutSignature(), noAlg, noKeyID, critical}, domain.CodeMalformedJWT},
		{"issuer", claims, []issuer.SignOption{stranger, noAlg, noKeyID, critical}, domain.CodeUnsupportedIssuer},
		{"algorithm", rightIssuer, []issuer.SignOption{stranger, noAlg, noKeyID, critical}, domain.CodeUnsupportedAlgorithm},
		{"key ID", rightIssuer, []issuer.SignOption{stranger, noKeyID, critical}, domain.CodeMissingKeyID},
		{"critical header", rightIssuer, []issuer.SignOption{stranger, unknown, critical}, domain.CodeUnsupportedHeader},
		{"key", rightIssuer, []issuer.SignOption{stranger, unknown}, domain.CodeUnknownKey},
		{"signature", rightIssuer, []issuer.SignOption{stranger}, domain.CodeInvalidSignature},
		{"audience", rightIssuer, nil, domain.CodeWrongAudience},
		{"expiry", rightAudience, nil, domain.CodeExpired},
		{"beginning", notExpired, nil, domain.CodeNotYetValid},
		{"lifetime", valid, nil, domain.CodeLifetimeTooLong},
		{"jti", shortLived, nil, domain.CodeMissingClaim},
		{"event", shortLived.With("jti", "x"), nil, domain.CodeUnsupportedEvent},
		{"repository", shortLived.With("jti", "x").With("event_name", "push"), nil, domain.CodeMissingClaim},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, tt.claims, tt.options...)
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, tt.want, idToken)
		})
	}
}

func TestIssNamesAnEnabledProviderByteForByte(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		name string
		iss  any
	}{
		{"another issuer", github.DefaultIssuer},
		{"trailing slash", f.ci.URL() + "/"},
		{"upper case", strings.ToUpper(f.ci.URL())},
		{"path", f.ci.URL() + "/octo-enterprise"},
		{"user info", strings.Replace(f.ci.URL(), "http://", "http://x@", 1)},
		{"localhost for its address", strings.Replace(f.ci.URL(), "127.0.0.1", "localhost", 1)},
		{"space", f.ci.URL() + " "},
		{"NUL", f.ci.URL() + "\x00"},
		{"without scheme", strings.TrimPrefix(f.ci.URL(), "http://")},
		{"empty", ""},
		{"null", nil},
		{"number", 1},
		{"array", []string{f.ci.URL()}},
		{"object", map[string]string{"iss": f.ci.URL()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idToken := f.sign(t, f.ci.GitHubClaims().With("iss", tt.iss))
			_, err := f.Verify(t.Context(), idToken)
			requireRefused(t, err, domain.CodeUnsupportedIssuer, idToken)
		})
	}
	t.Run("absent", func(t *testing.T) {
		idToken := f.sign(t, f.ci.GitHubClaims().Without("iss"))
		_, err := f.Verify(t.Context(), idToken)
		requireRefused(t, err, domain.CodeUnsupportedIssuer, idToken)
	})
	t.Run("under a name in another case", func(t *testing.T) {
		idToken := f.sign(t, f.ci.GitHubClaims().Without("iss").With("ISS", f.ci.URL()))
		_, err := f.Verify(t.Context(), idToken)
		requireRefused(t, err, domain.CodeUnsupportedIssuer, idToken)
	})
	require.Zero(t, f.traffic(), "an unknown issuer must never cause outbound traffic")
}

func TestAnUnknownIssuerIsNeverContacted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	unknown := startIssuer(t, f.clock.Now)
	for range 20 {
		idToken := signed(t)(unknown.Sign(unknown.GitHubClaims()))
		_, err := f.Verify(t.Context(), idToken)
		requireRefused(t, err, domain.CodeUnsupportedIssuer, idToken)
		require.Contains(t, domain.MessageOf(err), unknown.URL())
	}
	require.Zero(t, unknown.Requests(issuer.Discovery)+unknown.Requests(issuer.KeySet)+f.traffic())
}

func TestWithoutProvidersEveryIDTokenIsRefused(t *testing.T) {
	t.Parallel()
	clock := newClock()
	ci := startIssuer(t, clock.Now)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{Audience: audience, Now: clock.Now})
	require.NoError(t, err)
	idToken := signed(t)(ci.Sign(ci.GitHubClaims()))
	_, err = verifier.Verify(t.Context(), idToken)
	requireRefused(t, err, domain.CodeUnsupportedIssuer, idToken)
}

func TestAnIssuerVouchesForNobodyElse(t *testing.T) {
	t.Parallel()
	clock := newClock()
	one, two := startIssuer(t, clock.Now), startIssuer(t, clock.Now)
	_, err := two.Rotate() // From here on, two signs with a key that one does not have.
	require.NoError(t, err)
	var sources []oidc.Source
	for _, ci := range []*issuer.Issuer{one, two} {
		provider, err := github.New(ci.URL())
		require.NoError(t, err)
		sources = append(sources, oidc.Source{Provider: provider, Keys: newKeySet(t, ci, clock.Now)})
	}
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{Audience: audience, Now: clock.Now, Sources: sources})
	require.NoError(t, err)

	own := signed(t)(two.Sign(two.GitHubClaims()))
	_, err = verifier.Verify(t.Context(), own)
	require.NoError(t, err)
	rogue := signed(t)(two.Sign(one.GitHubClaims()))
	_, err = verifier.Verify(t.Context(), rogue)
	requireRefused(t, err, domain.CodeUnknownKey, rogue)
	rogue = signed(t)(two.Sign(one.GitHubClaims(), issuer.WithHeader("kid", one.KeyID())))
	_, err = verifier.Verify(t.Context(), rogue)
	requireRefused(t, err, domain.CodeInvalidSignature, rogue)
}

func TestASignatureIsTheIssuersOrTheIDTokenIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	genuine := f.sign(t, f.ci.GitHubClaims())
	header, rest, _ := strings.Cut(genuine, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	other := strings.Split(f.sign(t, f.ci.GitHubClaims().With("repository", "evil/evil")), ".")
	flipped, err := base64.RawURLEncoding.DecodeString(signature)
	require.NoError(t, err)
	flipped[100] ^= 1
	zeros := func(n int) string { return base64.RawURLEncoding.EncodeToString(make([]byte, n)) }
	ones := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 256)))

	tests := []struct{ name, idToken string }{
		{"of another key", f.sign(t, f.ci.GitHubClaims(), issuer.WithKey(strangerKey()))},
		{"of another payload", header + "." + other[1] + "." + signature},
		{"of another header", encode(`{"alg":"RS256","kid":"`+f.ci.KeyID()+`"}`) + "." + payload + "." + signature},
		{"with a bit flipped", header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(flipped)},
		{"of zeros", header + "." + payload + "." + zeros(256)},
		{"of ones, above the modulus", header + "." + payload + "." + ones},
		{"of one zero", header + "." + payload + "." + zeros(1)},
		{"cut short", header + "." + payload + "." + signature[:340]},
		{"with more after it", header + "." + payload + "." + signature[:340] + zeros(90)},
		{"with zeros before it", header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(append([]byte{0}, mustDecode(t, signature)...))},
	}
	before := f.traffic()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.Verify(t.Context(), tt.idToken)
			requireRefused(t, err, domain.CodeInvalidSignature, tt.idToken)
			if before == 0 {
				before = f.traffic()
			}
			require.Equal(t, before, f.traffic(), "a bad signature under a known key must cause no fetch")
		})
	}
}

func mustDecode(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(tb, err)
	return b
}

// ecProvider is a provider that signs with ES256, as some CI systems do.
type ecProvider struct{ *github.Provider }

func (ecProvider) Algorithms() []string { return []string{"ES256"} }

func TestAKeyServesTheAlgorithmsOfItsKindOnly(t *testing.T) {
	t.Parallel()
	clock := newClock()
	ci := startIssuer(t, clock.Now)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	payload, err := json.Marshal(ci.GitHubClaims())
	require.NoError(t, err)
	es256 := func(key *ecdsa.PrivateKey) string {
		options := (&jose.SignerOptions{}).WithHeader("kid", "k")
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
		require.NoError(t, err)
		jws, err := signer.Sign(payload)
		require.NoError(t, err)
		return signed(t)(jws.CompactSerialize())
	}
	genuine := es256(p256)
	input := genuine[:strings.LastIndexByte(genuine, '.')]
	psychic := input + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	rs256 := signed(t)(ci.Sign(ci.GitHubClaims(), issuer.WithHeader("kid", "k")))
	rsaKey := ci.PublicKey()

	tests := []struct {
		name    string
		alg     string
		key     crypto.PublicKey
		idToken string
		want    domain.Code
	}{
		{"ES256 with its curve", "ES256", &p256.PublicKey, genuine, ""},
		{"RS256 with an RSA key", "RS256", rsaKey, rs256, ""},
		{"ES256 with r and s of zero", "ES256", &p256.PublicKey, psychic, domain.CodeInvalidSignature},
		{"ES256 with another curve", "ES256", &p384.PublicKey, genuine, domain.CodeInvalidSignature},
		{"ES256 with an RSA key", "ES256", rsaKey, genuine, domain.CodeInvalidSignature},
		{"RS256 with an EC key", "RS256", &p256.PublicKey, rs256, domain.CodeInvalidSignature},
		{"RS256 with a secret", "RS256", []byte("secret"), rs256, domain.CodeInvalidSignature},
		{"RS256 with no key at all", "RS256", nil, rs256, domain.CodeInvalidSignature},
		{"RS256 where ES256 is listed", "ES256", rsaKey, rs256, domain.CodeUnsupportedAlgorithm},
		{"ES256 where RS256 is listed", "RS256", &p256.PublicKey, genuine, domain.CodeUnsupportedAlgorithm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain, err := github.New(ci.URL())
			require.NoError(t, err)
			var provider oidc.Provider = plain
			if tt.alg == "ES256" {
				provider = ecProvider{plain}
			}
			verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
				Audience: audience, Now: clock.Now,
				Sources: []oidc.Source{{Provider: provider, Keys: oidc.NewStaticKeySet(map[string]crypto.PublicKey{"k": tt.key})}},
			})
			require.NoError(t, err)
			_, err = verifier.Verify(t.Context(), tt.idToken)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			requireRefused(t, err, tt.want, tt.idToken)
		})
	}
}

// brokenProvider stands for a provider with a defect.
type brokenProvider struct {
	issuer     string
	algorithms []string
}

func (p brokenProvider) Issuer() string       { return p.issuer }
func (p brokenProvider) Algorithms() []string { return p.algorithms }
func (brokenProvider) HasJWTID() bool         { return true }
func (brokenProvider) Workload(domain.RawClaims) (domain.Workload, error) {
	return domain.Workload{Provider: "broken"}, nil
}

func TestADefectOfAProviderNeverMakesClaims(t *testing.T) {
	t.Parallel()
	clock := newClock()
	ci := startIssuer(t, clock.Now)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: audience, Now: clock.Now,
		Sources: []oidc.Source{{Provider: brokenProvider{ci.URL(), []string{"RS256"}}, Keys: newKeySet(t, ci, clock.Now)}},
	})
	require.NoError(t, err)
	claims, err := verifier.Verify(t.Context(), signed(t)(ci.Sign(ci.GitHubClaims())))
	require.Equal(t, domain.KindInternal, domain.KindOf(err))
	require.Error(t, err)
	require.Zero(t, claims)
}

// failingKeys is a key set that fails in a way of its own.
type failingKeys struct{ err error }

func (k failingKeys) Key(context.Context, string) (crypto.PublicKey, error) { return nil, k.err }

func TestAnErrorOfAKeySetIsPassedOn(t *testing.T) {
	t.Parallel()
	clock := newClock()
	ci := startIssuer(t, clock.Now)
	cause := errors.New("broken")
	verifier := newVerifier(t, ci, failingKeys{cause}, clock.Now, leeway)
	_, err := verifier.Verify(t.Context(), signed(t)(ci.Sign(ci.GitHubClaims())))
	require.ErrorIs(t, err, cause)
}

func TestNewVerifierRefusesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	keys := oidc.NewStaticKeySet(nil)
	source := func(issuer string, algorithms ...string) oidc.Source {
		return oidc.Source{Provider: brokenProvider{issuer, algorithms}, Keys: keys}
	}
	good := source("https://issuer.test", "RS256", "ES256", "PS512")
	tests := []struct {
		name string
		cfg  oidc.VerifierConfig
		want string
	}{
		{"no audience", oidc.VerifierConfig{Now: time.Now}, "needs an audience"},
		{"no clock", oidc.VerifierConfig{Audience: audience}, "needs a clock"},
		{"negative leeway", oidc.VerifierConfig{Audience: audience, Now: time.Now, Leeway: -1}, "not within 0s and 2m0s"},
		{"leeway above two minutes", oidc.VerifierConfig{Audience: audience, Now: time.Now, Leeway: 2*time.Minute + 1}, "not within 0s and 2m0s"},
		{"one issuer twice", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{good, good}}, "given twice"},
		{"no provider", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{{Keys: keys}}}, "needs a provider and keys"},
		{"no keys", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{{Provider: good.Provider}}}, "needs a provider and keys"},
		{"issuer without https", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("http://issuer.test", "RS256")}}, "use https"},
		{"issuer with a slash at the end", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test/", "RS256")}}, "slash"},
		{"empty issuer", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("", "RS256")}}, "issuer"},
		{"no algorithm", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test")}}, "no signature algorithm"},
		{"algorithm none", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "RS256", "none")}}, `"none"`},
		{"algorithm HS256", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "HS256")}}, `"HS256"`},
		{"algorithm HS384", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "RS256", "HS384")}}, `"HS384"`},
		{"algorithm HS512", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "HS512")}}, `"HS512"`},
		{"algorithm that encrypts", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "RSA-OAEP")}}, `"RSA-OAEP"`},
		{"empty algorithm", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "")}}, `""`},
		{"unknown algorithm", oidc.VerifierConfig{Audience: audience, Now: time.Now, Sources: []oidc.Source{source("https://issuer.test", "rs256")}}, `"rs256"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			verifier, err := oidc.NewVerifier(tt.cfg)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, verifier)
		})
	}
	_, err := oidc.NewVerifier(oidc.VerifierConfig{Audience: audience, Now: time.Now, Leeway: 2 * time.Minute, Sources: []oidc.Source{good}})
	require.NoError(t, err)
}

func TestAStaticKeySetNeverChanges(t *testing.T) {
	t.Parallel()
	given := map[string]crypto.PublicKey{"k": &strangerKey().PublicKey}
	keys := oidc.NewStaticKeySet(given)
	delete(given, "k")
	given["other"] = &strangerKey().PublicKey
	requireKey(t, keys, "k")
	_, err := keys.Key(t.Context(), "other")
	requireRefused(t, err, domain.CodeUnknownKey, "")
}
