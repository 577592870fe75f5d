package oidc_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkVerify is the verification of a GitHub-like ID token under a known key.
// BenchmarkBareRS256 is its unit.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	idToken := f.sign(b, f.ci.GitHubClaims())
	_, err := f.Verify(b.Context(), idToken)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err = f.Verify(b.Context(), idToken)
	}
	require.NoError(b, err)
}

// BenchmarkVerifyParallel shows what a lock on the path would cost.
func BenchmarkVerifyParallel(b *testing.B) {
	f := newFixture(b)
	idToken := f.sign(b, f.ci.GitHubClaims())
	_, err := f.Verify(b.Context(), idToken)
	require.NoError(b, err)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, err := f.Verify(b.Context(), idToken)
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkBareRS256 is the signature check alone, of the same ID token and key.
func BenchmarkBareRS256(b *testing.B) {
	f := newFixture(b)
	idToken := f.sign(b, f.ci.GitHubClaims())
	end := strings.LastIndexByte(idToken, '.')
	digest := sha256.Sum256([]byte(idToken[:end]))
	signature, err := base64.RawURLEncoding.DecodeString(idToken[end+1:])
	require.NoError(b, err)
	key := f.ci.PublicKey()
	b.ReportAllocs()
	for b.Loop() {
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
	}
	require.NoError(b, err)
}

// BenchmarkRefuse is what an attacker makes the verifier do with a bad signature
// under a known key.
func BenchmarkRefuse(b *testing.B) {
	f := newFixture(b)
	genuine := f.sign(b, f.ci.GitHubClaims())
	forged := genuine[:len(genuine)-8] + "AAAAAAAA"
	b.ReportAllocs()
	var err error
	for b.Loop() {
		_, err = f.Verify(b.Context(), forged)
	}
	require.Error(b, err)
}
