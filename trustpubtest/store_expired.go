package trustpubtest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func testRemoveExpired(t *testing.T, s Store) {
	config := create(t, s)
	moment := Now().Add(domain.DefaultTokenTTL)
	token := NewToken(NewClaims(t), config) // It expires at that moment.
	jti := domain.UsedJTI{Issuer: Issuer, ID: "a", ExpiresAt: moment}
	require.NoError(t, s.SaveToken(t.Context(), token, jti, nil))

	removed, err := s.RemoveExpired(t.Context(), moment, 10)
	require.NoError(t, err)
	require.Zero(t, removed, "what expires at the moment itself stays")
	_, err = s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(NewClaims(t), config), jti, nil))

	removed, err = s.RemoveExpired(t.Context(), moment.Add(time.Millisecond), 10)
	require.NoError(t, err)
	require.Equal(t, 2, removed)
	requireNoToken(t, s, token.Hash)
	_, err = s.Config(t.Context(), config.ID())
	require.NoError(t, err, "a config never expires")
}

func testRemoveExpiredLimit(t *testing.T, s Store) {
	config := create(t, s)
	for range 5 {
		save(t, s, NewClaims(t), config)
	}
	for _, want := range []int{4, 4, 2, 0} {
		removed, err := s.RemoveExpired(t.Context(), Now().Add(24*time.Hour), 2)
		require.NoError(t, err)
		require.Equal(t, want, removed)
	}
}

func testRemovedRecord(t *testing.T, s Store) {
	claims := NewClaims(t)
	config := create(t, s)
	save(t, s, claims, config)
	_, err := s.RemoveExpired(t.Context(), Now().Add(24*time.Hour), 10)
	require.NoError(t, err)

	save(t, s, claims, config)
}

// testRemoveExpiredRace removes from all stores at once. Some may find another at it
// and remove nothing, so a last call removes the rest.
func testRemoveExpiredRace(t *testing.T, stores ...Store) {
	later := Now().Add(24 * time.Hour)
	_, err := stores[0].RemoveExpired(t.Context(), later, 1000)
	require.NoError(t, err)
	for range 10 {
		save(t, stores[0], NewClaims(t))
	}
	removed := make([]int, len(stores))
	errs := make([]error, len(stores))
	var group sync.WaitGroup
	for i, s := range stores {
		group.Go(func() { removed[i], errs[i] = s.RemoveExpired(t.Context(), later, 3) })
	}
	group.Wait()

	total, err := stores[0].RemoveExpired(t.Context(), later, 1000)
	require.NoError(t, err)
	for i := range stores {
		require.NoError(t, errs[i])
		total += removed[i]
	}
	require.Equal(t, 20, total)
}
