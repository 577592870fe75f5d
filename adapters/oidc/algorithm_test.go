package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// signsWith is a provider with algorithms of its own.
type signsWith struct {
	*github.Provider

	algorithms []string
}

func (p signsWith) Algorithms() []string { return p.algorithms }

// algorithmFixture is an issuer whose signatures go-jose makes, with keys of every kind.
type algorithmFixture struct {
	ci    *issuer.Issuer
	clock *clock
	keys  map[jose.SignatureAlgorithm]crypto.Signer
}

func newAlgorithmFixture(tb testing.TB) algorithmFixture {
	tb.Helper()
	f := algorithmFixture{clock: newClock(), keys: map[jose.SignatureAlgorithm]crypto.Signer{}}
	var err error
	f.ci, err = issuer.New(issuer.Config{URL: "https://issuer.test", Now: f.clock.Now, GenerateKey: issuerKeys()})
	require.NoError(tb, err)
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		f.keys[a] = rsaKeys()[0]
	}
	for a, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()} {
		f.keys[a], err = ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(tb, err)
	}
	return f
}

func (f algorithmFixture) sign(tb testing.TB, a jose.SignatureAlgorithm) string {
	tb.Helper()
	payload, err := json.Marshal(f.ci.GitHubClaims())
	require.NoError(tb, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: a, Key: f.keys[a]}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	require.NoError(tb, err)
	jws, err := signer.Sign(payload)
	require.NoError(tb, err)
	return signed(tb)(jws.CompactSerialize())
}

// verifier holds one key, and takes all algorithms.
func (f algorithmFixture) verifier(tb testing.TB, key crypto.PublicKey) *oidc.Verifier {
	tb.Helper()
	plain, err := github.New(f.ci.URL())
	require.NoError(tb, err)
	var all []string
	for a := range f.keys {
		all = append(all, string(a))
	}
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: audience, Now: f.clock.Now,
		Sources: []oidc.Source{{Provider: signsWith{plain, all}, Keys: oidc.NewStaticKeySet(map[string]crypto.PublicKey{"k": key})}},
	})
	require.NoError(tb, err)
	return verifier
}

// Ensure that of every algorithm a signature of another implementation is verified, by
// its own key alone.
func TestEveryAlgorithmVerifiesWhatGoJOSESigns(t *testing.T) {
	t.Parallel()
	f := newAlgorithmFixture(t)
	for a, key := range f.keys {
		t.Run(string(a), func(t *testing.T) {
			idToken := f.sign(t, a)
			_, err := f.verifier(t, key.Public()).Verify(t.Context(), idToken)
			require.NoError(t, err)

			for other, otherKey := range f.keys {
				if !otherKey.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
					_, err = f.verifier(t, otherKey.Public()).Verify(t.Context(), idToken)
					requireRefused(t, err, domain.CodeInvalidSignature, idToken)
				}
				// The header says another algorithm than the signature is of.
				_, signature := cut(t, f.sign(t, other))
				input, _ := cut(t, idToken)
				if other != a {
					_, err = f.verifier(t, key.Public()).Verify(t.Context(), input+"."+signature)
					requireRefused(t, err, domain.CodeInvalidSignature, idToken)
				}
			}
		})
	}
}

// Ensure that a signature of RSASSA-PSS with a salt of another length than the hash,
// which RFC 7518 section 3.5 rules out, is refused.
func TestTheSaltOfAPSSSignatureIsAsLongAsItsHash(t *testing.T) {
	t.Parallel()
	f := newAlgorithmFixture(t)
	input, _ := cut(t, f.sign(t, jose.PS256))
	verifier := f.verifier(t, rsaKeys()[0].Public())
	for _, length := range []int{0, 20, 31, 32, 33, 64} {
		signature, err := rsa.SignPSS(rand.Reader, rsaKeys()[0], crypto.SHA256, hashed(input), &rsa.PSSOptions{SaltLength: length}) // 0 is the longest that fits.
		require.NoError(t, err)
		idToken := input + "." + encode(string(signature))

		_, err = verifier.Verify(t.Context(), idToken)

		if length == 32 {
			require.NoError(t, err)
			continue
		}
		requireRefused(t, err, domain.CodeInvalidSignature, idToken)
	}
}

// FuzzSignatureAgainstGoJOSE holds that of one ID token and any signature the verdict is
// that of go-jose.
func FuzzSignatureAgainstGoJOSE(f *testing.F) {
	fixture := newAlgorithmFixture(f)
	algorithms := []jose.SignatureAlgorithm{jose.RS256, jose.PS384, jose.ES256, jose.ES512}
	for i, a := range algorithms {
		_, signature := cut(f, fixture.sign(f, a))
		good := mustDecode(f, signature)
		f.Add(uint8(i), good)
		f.Add(uint8(i), good[:len(good)-1])
		f.Add(uint8(i), append(slices.Clone(good), 0))
		f.Add(uint8(i), make([]byte, len(good)))
	}
	tokens := map[jose.SignatureAlgorithm]string{}
	for _, a := range algorithms {
		tokens[a], _ = cut(f, fixture.sign(f, a))
	}
	f.Fuzz(func(t *testing.T, which uint8, signature []byte) {
		a := algorithms[int(which)%len(algorithms)]
		if len(signature) == 0 {
			return // An empty part is malformed.
		}
		idToken := tokens[a] + "." + encode(string(signature))
		jws, err := jose.ParseSignedCompact(idToken, algorithms)
		require.NoError(t, err)
		_, want := jws.Verify(fixture.keys[a].Public())

		_, err = fixture.verifier(t, fixture.keys[a].Public()).Verify(t.Context(), idToken)

		require.Equal(t, want == nil, err == nil, "go-jose: %v, here: %v", want, err)
	})
}
