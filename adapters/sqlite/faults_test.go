package sqlite_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func execute(t *testing.T, db *sqlite.DB, statements string) {
	t.Helper()
	_, err := db.Writer().ExecContext(t.Context(), statements)
	require.NoError(t, err)
}

func TestAFaultWhileATokenIsSavedSpendsNothing(t *testing.T) {
	for _, test := range []struct{ name, fault, repair string }{
		{
			"between the two inserts",
			`create trigger fault before insert on trustpub_tokens begin select raise(fail, 'injected'); end`,
			`drop trigger fault`,
		},
		{
			"after both inserts",
			`create trigger fault after insert on trustpub_tokens begin select raise(rollback, 'injected'); end`,
			`drop trigger fault`,
		},
		{
			"of the first insert, by another constraint",
			`create unique index fault on trustpub_used_jtis (length(hash))`,
			`drop index fault`,
		},
		{
			"of the second insert, by another constraint",
			`create unique index fault on trustpub_tokens (issuer)`,
			`drop index fault`,
		},
		{
			"of the commit",
			`create table fault (hash blob references trustpub_tokens (hashed_token) deferrable initially deferred);
			create trigger fault after insert on trustpub_tokens begin insert into fault values (x'00'); end`,
			`drop trigger fault`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, newFile(t))
			store := sqlite.NewStore(db)
			first := trustpubtest.NewClaims(t)
			require.NoError(t, store.SaveToken(t.Context(), trustpubtest.NewToken(first), first.UsedJTI(), nil))
			execute(t, db, test.fault)
			claims := trustpubtest.NewClaims(t)
			token := trustpubtest.NewToken(claims)

			err := store.SaveToken(t.Context(), token, claims.UsedJTI(), nil)
			require.Error(t, err)
			require.Equal(t, domain.KindInternal, domain.KindOf(err), "%v", err)
			_, err = store.FindToken(t.Context(), token.Hash)
			require.Equal(t, domain.KindNotFound, domain.KindOf(err), "%v", err)

			execute(t, db, test.repair)
			other := trustpubtest.NewToken(claims)
			require.NoError(t, store.SaveToken(t.Context(), other, claims.UsedJTI(), nil))
			requireStored(t, store, other.Hash)
		})
	}
}

// failCommit has the nth commit from now on fail, and counts them.
func failCommit(t *testing.T, db *sqlite.DB, nth int64) *atomic.Int64 {
	t.Helper()
	var commits atomic.Int64
	connection, err := db.Writer().Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, connection.Raw(func(driver any) error {
		driver.(interface {
			RegisterCommitHook(callback modernc.CommitHookFn)
		}).RegisterCommitHook(func() int32 {
			if commits.Add(1) == nth {
				return 1
			}
			return 0
		})
		return nil
	}))
	require.NoError(t, connection.Close())
	return &commits
}

func TestACommitThatFailsIsSettledByDoingItAgain(t *testing.T) {
	db := open(t, newFile(t))
	store := sqlite.NewStore(db)
	commits := failCommit(t, db, 1)
	claims := trustpubtest.NewClaims(t)
	token := trustpubtest.NewToken(claims)

	require.NoError(t, store.SaveToken(t.Context(), token, claims.UsedJTI(), nil))

	require.Equal(t, int64(2), commits.Load())
	requireStored(t, store, token.Hash)
}

func requireStored(t *testing.T, store *sqlite.Store, hash domain.TokenHash) {
	t.Helper()
	_, err := store.FindToken(t.Context(), hash)
	require.NoError(t, err)
}

// lock takes the write lock, as another process does, until the function that it
// returns is called.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	tx, err := open(t, path).Writer().BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback()) }
}

func TestAWriteThatWaitsForAnotherProcessEndsWithItsContext(t *testing.T) {
	path := newFile(t)
	store := sqlite.NewStore(open(t, path))
	config, err := store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t), 5)
	require.NoError(t, err)
	claims := trustpubtest.NewClaims(t)
	unlock := lock(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)

	err = store.SaveToken(ctx, trustpubtest.NewToken(claims), claims.UsedJTI(), nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.RemoveExpired(ctx, trustpubtest.Now(), 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Config(t.Context(), config.Common().ID)
	require.NoError(t, err, "a read does not wait")

	unlock()
	require.NoError(t, store.SaveToken(t.Context(), trustpubtest.NewToken(claims), claims.UsedJTI(), nil))
}

func TestAWriteWaitsForAnotherProcessLongerThanTheBusyTimeout(t *testing.T) {
	path := newFile(t)
	db := open(t, path)
	execute(t, db, `pragma busy_timeout = 1`)
	store := sqlite.NewStore(db)
	claims := trustpubtest.NewClaims(t)
	unlock := lock(t, path)
	saved := make(chan error)
	go func() { saved <- store.SaveToken(t.Context(), trustpubtest.NewToken(claims), claims.UsedJTI(), nil) }()

	select {
	case err := <-saved:
		require.FailNow(t, "it must wait", "%v", err)
	case <-time.After(200 * time.Millisecond):
	}
	unlock()
	require.NoError(t, <-saved)
}
