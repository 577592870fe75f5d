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

// BenchmarkVerify measures the verification of a GitHub-like ID token under a known
// key. Its unit is "bare RS256", the signature check alone of the same ID token
// under the same key.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	genuine := f.sign(b, f.ci.GitHubClaims())
	_, err := f.Verify(b.Context(), genuine)
	require.NoError(b, err)

	b.Run("bare RS256", func(b *testing.B) {
		end := strings.LastIndexByte(genuine, '.')
		digest := sha256.Sum256([]byte(genuine[:end]))
		signature, err := base64.RawURLEncoding.DecodeString(genuine[end+1:])
		require.NoError(b, err)
		key := f.ci.PublicKey()
		b.ReportAllocs()
		for b.Loop() {
			err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
		}
		require.NoError(b, err)
	})
	b.Run("genuine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err = f.Verify(b.Context(), genuine)
		}
		require.NoError(b, err)
	})
	// What a lock on the path would cost shows here.
	b.Run("genuine, in parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, err := f.Verify(b.Context(), genuine)
				if err != nil {
					b.Error(err)
				}
			}
		})
	})
	// What an attacker makes the verifier do with a bad signature under a known key.
	b.Run("forged", func(b *testing.B) {
		forged := genuine[:len(genuine)-8] + "AAAAAAAA"
		b.ReportAllocs()
		for b.Loop() {
			_, err = f.Verify(b.Context(), forged)
		}
		require.Error(b, err)
	})
}
