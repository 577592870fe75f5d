package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// fill leaves the database no page to grow by, as a full disk does.
func fill(t *testing.T, db *sqlite.DB) {
	t.Helper()
	var pages int
	require.NoError(t, db.Writer().QueryRowContext(t.Context(), `pragma page_count`).Scan(&pages))
	limitPages(t, db, pages)
}

func limitPages(t *testing.T, db *sqlite.DB, pages int) {
	t.Helper()
	execute(t, db, fmt.Sprintf(`pragma max_page_count = %d`, pages))
}

// saveUntilFull saves tokens until that fails, and returns those that were stored, and
// the one that was not.
func saveUntilFull(t *testing.T, store *sqlite.Store) (stored []exchange, refused exchange) {
	t.Helper()
	for {
		e := newExchange(t)
		err := e.save(t.Context(), store)
		if err != nil {
			require.Equal(t, domain.KindInternal, domain.KindOf(err), "a fault must not pass for a verdict: %v", err)
			require.ErrorContains(t, err, "full")
			return stored, e
		}
		stored = append(stored, e)
	}
}

func TestAFullDiskRefusesExchangesAndLosesNone(t *testing.T) {
	b := newBatches(t)
	fill(t, b.db)
	stored, refused := saveUntilFull(t, b.store)

	for range 3 {
		err := refused.save(t.Context(), b.store)
		require.Equal(t, domain.KindInternal, domain.KindOf(err), "%v", err)
	}
	for _, e := range stored {
		requireStored(t, b.store, e.token.Hash)
		again := exchange{e.claims, trustpubtest.NewToken(e.claims)}
		require.Equal(t, domain.CodeAlreadyUsed, domain.CodeOf(again.save(t.Context(), b.store)))
	}
	_, err := b.store.FindToken(t.Context(), refused.token.Hash)
	require.Equal(t, domain.KindNotFound, domain.KindOf(err), "%v", err)
	require.NotEmpty(t, stored)
	revoked, err := b.store.RevokeToken(t.Context(), stored[0].token.Hash, trustpubtest.Now())
	require.NoError(t, err, "what needs no room goes on")
	require.True(t, revoked)

	limitPages(t, b.db, 1<<20)
	require.NoError(t, refused.save(t.Context(), b.store), "the jti must not have been spent")
	requireStored(t, b.store, refused.token.Hash)
}

func TestADiskThatFillsUpAmongManyExchangesRefusesThoseThatDoNotFit(t *testing.T) {
	const calls = 64
	b := newBatches(t)
	fill(t, b.db)
	exchanges := newExchanges(t, calls)

	errs := b.together(t, slices.Repeat([]context.Context{t.Context()}, calls), exchanges, func() {})

	require.Greater(t, b.largest(), 1)
	limitPages(t, b.db, 1<<20)
	refused := 0
	for i, err := range errs {
		if err == nil {
			requireStored(t, b.store, exchanges[i].token.Hash)
			continue
		}
		refused++
		require.Equal(t, domain.KindInternal, domain.KindOf(err), "%v", err)
		_, err = b.store.FindToken(t.Context(), exchanges[i].token.Hash)
		require.Equal(t, domain.KindNotFound, domain.KindOf(err), "%v", err)
		require.NoError(t, exchanges[i].save(t.Context(), b.store), "the jti must not have been spent")
	}
	require.Positive(t, refused)
	require.Less(t, refused, calls, "those that fit are stored")
}

func TestRemovingExpiredRowsMakesRoom(t *testing.T) {
	b := newBatches(t)
	fill(t, b.db)
	_, refused := saveUntilFull(t, b.store)

	removed, err := b.store.RemoveExpired(t.Context(), trustpubtest.Now().AddDate(1, 0, 0), 1000)

	require.NoError(t, err)
	require.Positive(t, removed)
	require.NoError(t, refused.save(t.Context(), b.store))
}
