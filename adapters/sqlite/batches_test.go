package sqlite_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// exchange is a call of SaveToken.
type exchange struct {
	claims domain.Claims
	token  domain.AccessToken
}

func newExchange(t *testing.T) exchange {
	t.Helper()
	claims := trustpubtest.NewClaims(t)
	return exchange{claims, trustpubtest.NewToken(claims)}
}

func newExchanges(t *testing.T, n int) []exchange {
	t.Helper()
	var exchanges []exchange
	for range n {
		exchanges = append(exchanges, newExchange(t))
	}
	return exchanges
}

func (e exchange) save(ctx context.Context, s *sqlite.Store) error {
	return s.SaveToken(ctx, e.token, e.claims.UsedJTI(), nil)
}

// batches is a store in a file that tells how many calls went together.
type batches struct {
	db    *sqlite.DB
	store *sqlite.Store
	path  string

	mu    sync.Mutex
	sizes []int
}

func newBatches(t *testing.T) *batches {
	t.Helper()
	b := &batches{path: newFile(t)}
	b.db = open(t, b.path)
	b.store = sqlite.NewStore(b.db, sqlite.ObserveBatches(func(_ context.Context, operation string, size int) {
		require.Equal(t, "save_token", operation)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sizes = append(b.sizes, size)
	}))
	return b
}

// together makes the calls so that the first goes alone, and all others together, when
// it is done. Each has its context. whileWaiting is called when all wait.
func (b *batches) together(t *testing.T, contexts []context.Context, exchanges []exchange, whileWaiting func()) []error {
	t.Helper()
	unlock := lock(t, b.path)
	errs := make([]error, len(exchanges))
	var begun atomic.Int64
	var group sync.WaitGroup
	for i, e := range exchanges {
		group.Go(func() {
			begun.Add(1)
			errs[i] = e.save(contexts[i], b.store)
		})
		require.Eventually(t, func() bool { return begun.Load() == int64(i+1) }, 5*time.Second, time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // From having begun to waiting.
	whileWaiting()
	unlock()
	group.Wait()
	return errs
}

func (b *batches) largest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Max(b.sizes)
}

func TestConcurrentExchangesShareATransaction(t *testing.T) {
	b := newBatches(t)
	exchanges := newExchanges(t, 9)

	errs := b.together(t, slices.Repeat([]context.Context{t.Context()}, 9), exchanges, func() {})

	for i, err := range errs {
		require.NoError(t, err)
		requireStored(t, b.store, exchanges[i].token.Hash)
	}
	require.Equal(t, []int{1, 8}, b.sizes)
}

func TestARowThatTheDatabaseRefusesFailsNoOtherOfItsTransaction(t *testing.T) {
	for _, test := range []struct{ name, fault string }{
		{"undoing the statement", `before insert on trustpub_tokens when %s begin select raise(abort, 'injected'); end`},
		{"undoing the transaction", `after insert on trustpub_tokens when %s begin select raise(rollback, 'injected'); end`},
		{"undoing nothing", `after insert on trustpub_tokens when %s begin select raise(fail, 'injected'); end`},
	} {
		t.Run(test.name, func(t *testing.T) {
			const bad = 4
			b := newBatches(t)
			exchanges := newExchanges(t, 9)
			row := `new.hashed_token = x'` + hex.EncodeToString(exchanges[bad].token.Hash[:]) + `'`
			execute(t, b.db, `create trigger fault `+fmt.Sprintf(test.fault, row))

			errs := b.together(t, slices.Repeat([]context.Context{t.Context()}, 9), exchanges, func() {})

			require.Equal(t, 8, b.largest())
			for i, err := range errs {
				if i != bad {
					require.NoError(t, err, i)
					requireStored(t, b.store, exchanges[i].token.Hash)
				}
			}
			require.Equal(t, domain.KindInternal, domain.KindOf(errs[bad]), "%v", errs[bad])
			execute(t, b.db, `drop trigger fault`)
			require.NoError(t, exchanges[bad].save(t.Context(), b.store), "the jti must not have been spent")
		})
	}
}

func TestAnExchangeThatIsCancelledWhileItWaitsEndsAtOnceAndTheOthersGoOn(t *testing.T) {
	const cancelled = 4
	b := newBatches(t)
	exchanges := newExchanges(t, 9)
	contexts := slices.Repeat([]context.Context{t.Context()}, 9)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	contexts[cancelled] = ctx
	context.AfterFunc(ctx, func() { close(ended) })

	errs := b.together(t, contexts, exchanges, func() { cancel(); <-ended })

	require.ErrorIs(t, errs[cancelled], context.Canceled)
	_, err := b.store.FindToken(t.Context(), exchanges[cancelled].token.Hash)
	require.Equal(t, domain.KindNotFound, domain.KindOf(err), "%v", err)
	for i, err := range errs {
		if i != cancelled {
			require.NoError(t, err, i)
			requireStored(t, b.store, exchanges[i].token.Hash)
		}
	}
	require.Equal(t, []int{1, 7}, b.sizes)
}

func TestACommitOfManyThatFailsIsSettledForEach(t *testing.T) {
	b := newBatches(t)
	exchanges := newExchanges(t, 9)
	commits := failCommit(t, b.db, 2) // The first is that of the call that goes alone.

	errs := b.together(t, slices.Repeat([]context.Context{t.Context()}, 9), exchanges, func() {})

	for i, err := range errs {
		require.NoError(t, err, i)
		requireStored(t, b.store, exchanges[i].token.Hash)
		require.Equal(t, domain.CodeAlreadyUsed, domain.CodeOf(exchange{exchanges[i].claims, trustpubtest.NewToken(exchanges[i].claims)}.save(t.Context(), b.store)))
	}
	require.Equal(t, 8, b.largest())
	require.GreaterOrEqual(t, commits.Load(), int64(1+1+8))
}
