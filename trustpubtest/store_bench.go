package trustpubtest

import (
	"crypto/sha256"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// BenchmarkStore measures what an exchange asks of an empty store: finding the
// configs of a repository among those of a hundred, and saving a token; and, for the use
// of a token, finding it: each by one caller, and by 32 at once.
func BenchmarkStore(b *testing.B, s Store) {
	var config domain.Config
	for i := range 100 {
		var err error
		config, err = s.CreateConfig(b.Context(), NewGitHubConfig(b, func(p *domain.GitHubConfigParams) {
			p.Package.Name, p.Repository = "p"+strconv.Itoa(i), "r"+strconv.Itoa(i)
		}), 1)
		require.NoError(b, err)
	}
	claims := NewClaims(b, func(_ *domain.Registered, w *domain.Workload) { w.Key = config.Common().Key })
	var count atomic.Int64
	save := func() (domain.TokenHash, error) {
		token, jti := NewToken(claims, config), claims.UsedJTI()
		n := count.Add(1)
		jti.ID = strconv.FormatInt(n, 10)
		// A thousand a second, as an expiry is a whole second.
		jti.ExpiresAt = jti.ExpiresAt.Add(time.Duration(n/1000) * time.Second)
		token.ExpiresAt = token.ExpiresAt.Add(time.Duration(n) * time.Millisecond)
		token.Hash = sha256.Sum256([]byte(jti.ID))
		return token.Hash, s.SaveToken(b.Context(), token, jti, nil)
	}
	hash, err := save()
	require.NoError(b, err)

	run := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				err := do()
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"By32", func(b *testing.B) {
			// So many goroutines for each processor.
			b.SetParallelism(max(1, 32/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					err := do()
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("FindConfigs", func() error {
		_, err := s.FindConfigs(b.Context(), claims)
		return err
	})
	run("SaveToken", func() error {
		_, err := save()
		return err
	})
	run("FindToken", func() error {
		_, err := s.FindToken(b.Context(), hash)
		return err
	})
}
