package trustpubtest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// calls is how many exchanges are made at once.
const calls = 64

// exchanges are calls of SaveToken to be made at once, which a store may do together.
type exchanges struct {
	claims []domain.Claims
	tokens []domain.AccessToken
}

func newExchanges(t *testing.T, config domain.Config) exchanges {
	t.Helper()
	var e exchanges
	for range calls {
		claims := NewClaims(t)
		e.claims, e.tokens = append(e.claims, claims), append(e.tokens, NewToken(claims, config))
	}
	return e
}

// save makes the calls at once.
func (e exchanges) save(t *testing.T, stores []Store) []error {
	t.Helper()
	return race(len(e.tokens), stores, func(i int, s Store) error {
		return s.SaveToken(t.Context(), e.tokens[i], e.claims[i].UsedJTI(), nil)
	})
}

// requireSaved asserts that call i has succeeded, and what it has stored.
func (e exchanges) requireSaved(t *testing.T, s Store, i int, err error) {
	t.Helper()
	require.NoError(t, err, "call %d", i)
	found, err := s.FindToken(t.Context(), e.tokens[i].Hash)
	require.NoError(t, err, "call %d", i)
	requireToken(t, e.tokens[i], found)
}

func testReplaysAtOnce(t *testing.T, stores ...Store) {
	const perJTI = 4
	e := newExchanges(t, create(t, stores[0], inPackage("replays")))
	// Of each 16 calls the first 4 share a jti.
	shared := func(i int) bool { return i%16 < perJTI }
	for i := range calls {
		if shared(i) {
			e.claims[i] = e.claims[i-i%16]
		}
	}

	errs := e.save(t, stores)

	for first := 0; first < calls; first += 16 {
		require.Equal(t, 1, successes(t, errs[first:first+perJTI], domain.KindRefused, domain.CodeAlreadyUsed))
	}
	for i, err := range errs {
		if shared(i) && err != nil {
			requireNoToken(t, stores[0], e.tokens[i].Hash)
			continue
		}
		e.requireSaved(t, stores[0], i, err)
	}
}

func testOldReplaysAtOnce(t *testing.T, stores ...Store) {
	config := create(t, stores[0], inPackage("old"))
	e := newExchanges(t, config)
	for i := 0; i < calls; i += 3 {
		save(t, stores[0], e.claims[i], config)
	}

	for i, err := range e.save(t, stores) {
		if i%3 == 0 {
			requireAlreadyUsed(t, err)
			requireNoToken(t, stores[0], e.tokens[i].Hash)
			continue
		}
		e.requireSaved(t, stores[0], i, err)
	}
}

func testFaultAmongMany(t *testing.T, stores ...Store) {
	const bad = 40
	config := create(t, stores[0], inPackage("fault"))
	e := newExchanges(t, config)
	taken := save(t, stores[0], NewClaims(t), config)
	e.tokens[bad].Hash = taken.Hash

	errs := e.save(t, stores)

	for i, err := range errs {
		if i != bad {
			e.requireSaved(t, stores[0], i, err)
		}
	}
	requireFault(t, errs[bad])
	require.NoError(t, stores[0].SaveToken(t.Context(), NewToken(e.claims[bad]), e.claims[bad].UsedJTI(), nil), "the jti must not have been spent")
}

func testCancelledAmongMany(t *testing.T, stores ...Store) {
	e := newExchanges(t, create(t, stores[0], inPackage("cancelled")))

	errs := race(calls, stores, func(i int, s Store) error {
		ctx := t.Context()
		if i%2 == 0 {
			var cancel context.CancelFunc
			// At once, while it waits, or while it is at work, as the case may be.
			ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*100*time.Microsecond)
			defer cancel()
		}
		return s.SaveToken(ctx, e.tokens[i], e.claims[i].UsedJTI(), nil)
	})

	requireFault(t, errs[0])
	for i, err := range errs {
		if i%2 == 0 && err != nil {
			requireFault(t, err)
			// What became of it is not known. It can be repeated, and has happened once.
			err = stores[0].SaveToken(t.Context(), e.tokens[i], e.claims[i].UsedJTI(), nil)
		}
		e.requireSaved(t, stores[0], i, err)
		requireAlreadyUsed(t, stores[0].SaveToken(t.Context(), NewToken(e.claims[i]), e.claims[i].UsedJTI(), nil))
	}
}

func testPinsAmongMany(t *testing.T, stores ...Store) {
	config := create(t, stores[0], inPackage("pins"))
	e := newExchanges(t, config)
	id := func(i int) map[string]string { return map[string]string{"repository_id": strconv.Itoa(i + 1)} }

	errs := race(calls, stores, func(i int, s Store) error {
		var pins []domain.Pin
		if i%4 == 0 {
			pins = pinTo(config, id(i))
		}
		return s.SaveToken(t.Context(), e.tokens[i], e.claims[i].UsedJTI(), pins)
	})

	pinned := 0
	for i, err := range errs {
		switch {
		case i%4 != 0:
			e.requireSaved(t, stores[0], i, err)
		case err == nil:
			pinned++
			requirePinned(t, stores[0], config, id(i))
		default:
			requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
			requireNoToken(t, stores[0], e.tokens[i].Hash)
		}
	}
	require.Equal(t, 1, pinned)
}
