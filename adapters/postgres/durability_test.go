package postgres_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// withoutStandby returns a store on a server whose commits wait for a standby that
// there is not, and a handle whose commits do not wait.
func withoutStandby(t *testing.T) (prepared, *sql.DB) {
	t.Helper()
	server := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"synchronous_standby_names": "nobody"}})
	local := postgrestest.Open(t, server.URL()+"&synchronous_commit=local")
	migrate(t, local)
	p := prepare(t, local)
	p.store = newStore(postgrestest.Open(t, server.URL()))
	return p, local
}

const waitingForStandby = `select pid from pg_stat_activity where wait_event = 'SyncRep'`

// whileItWaits runs do while a call waits for the standby, and returns what the call
// returned.
func whileItWaits(t *testing.T, local *sql.DB, call func() error, do ...string) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	require.Eventually(t, func() bool { return count(t, local, `select count(*) from (`+waitingForStandby+`) w`) == 1 },
		10*time.Second, 5*time.Millisecond)
	for _, statement := range do {
		execute(t, local, statement)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the call goes on waiting")
		return nil
	}
}

func TestACommitThatItsStandbyDidNotConfirmIsNoSuccess(t *testing.T) {
	p, local := withoutStandby(t)
	for _, test := range []struct {
		name string
		call func(ctx context.Context, p prepared) error
	}{
		{"token", func(ctx context.Context, p prepared) error { return p.save(ctx) }},
		{"config", func(ctx context.Context, p prepared) error {
			_, err := p.store.CreateConfig(ctx, trustpubtest.NewGitHubConfig(t, func(c *domain.GitHubConfigParams) { c.Package.Name = "other" }), 5)
			return err
		}},
		{"deletion", func(ctx context.Context, p prepared) error {
			return p.store.DeleteConfig(ctx, p.config.Common().ID)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := whileItWaits(t, local, func() error { return test.call(t.Context(), p) },
				`select pg_cancel_backend(pid) from (`+waitingForStandby+`) w`)

			require.ErrorIs(t, err, pqconn.ErrNotDurable)
			requireFault(t, err)
		})
	}
}

func TestARevocationThatItsStandbyDidNotConfirmIsNoSuccess(t *testing.T) {
	p, local := withoutStandby(t)
	require.NoError(t, newStore(local).SaveToken(t.Context(), p.token, p.claims.UsedJTI(), nil))
	revoke := func() error {
		_, err := p.store.RevokeToken(t.Context(), p.token.Hash, trustpubtest.Now())
		return err
	}
	const cancel = `select pg_cancel_backend(pid) from (` + waitingForStandby + `) w`

	require.ErrorIs(t, whileItWaits(t, local, revoke, cancel), pqconn.ErrNotDurable)
	require.ErrorIs(t, whileItWaits(t, local, revoke, cancel), pqconn.ErrNotDurable, "finding it revoked must wait too")
}

// A server that was frozen while another became the primary knows nothing of the tokens
// since, and must not say that there is nothing to revoke.
func TestThatATokenIsUnknownIsNoAnswerOfAServerWithoutItsStandby(t *testing.T) {
	p, local := withoutStandby(t)
	revoke := func() error {
		_, err := p.store.RevokeToken(t.Context(), p.token.Hash, trustpubtest.Now())
		return err
	}

	require.ErrorIs(t, whileItWaits(t, local, revoke, `select pg_cancel_backend(pid) from (`+waitingForStandby+`) w`), pqconn.ErrNotDurable)
	require.NoError(t, whileItWaits(t, local, revoke, `alter system set synchronous_standby_names = ''`, `select pg_reload_conf()`))
}

// The connection is lost during the wait for the standby, and the second attempt finds
// its own row on the primary. It waits as the first did, to the end of its context, or
// until the standby confirms.
func TestFindingItsOwnRowWaitsForTheStandbyToo(t *testing.T) {
	const terminate = `select pg_terminate_backend(pid) from (` + waitingForStandby + `) w`
	p, local := withoutStandby(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	requireFault(t, whileItWaits(t, local, func() error { return p.save(ctx) }, terminate))

	require.Equal(t, 1, count(t, local, `select count(*) from trustpub_tokens`), "the primary has it, and a fail-over may lose it")
	require.NoError(t, whileItWaits(t, local, func() error { return p.save(t.Context()) },
		`alter system set synchronous_standby_names = ''`, `select pg_reload_conf()`), "its wait is over")
}

func TestTheEndOfTheContextDuringTheWaitIsNoSuccess(t *testing.T) {
	p, local := withoutStandby(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	requireFault(t, p.save(ctx))

	require.Eventually(t, func() bool { return count(t, local, `select count(*) from trustpub_tokens`) == 1 },
		10*time.Second, 5*time.Millisecond, "the statement was not cancelled, or not in its wait")
}

// With synchronous_commit off, the server would forget the last seconds.
func TestWhatWasAcknowledgedSurvivesACrash(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{
		"synchronous_commit": "off", "wal_writer_delay": "10s",
	}})
	db := postgrestest.Open(t, server.URL())
	migrate(t, db)
	p := prepare(t, db)
	enough := make(chan struct{})
	var mu sync.Mutex
	var acknowledged []domain.TokenHash
	var writers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				claims := trustpubtest.NewClaims(t)
				token := trustpubtest.NewToken(claims, p.config)
				err := p.store.SaveToken(ctx, token, claims.UsedJTI(), nil)
				if err != nil {
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, token.Hash)
				if len(acknowledged) == 200 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	require.NoError(t, server.Kill())
	stop()
	writers.Wait()
	during := make(chan error, 1)
	go func() { during <- p.save(t.Context()) }()

	require.NoError(t, server.Restart())

	require.NoError(t, <-during, "a call that began while the server was down succeeds when it is back")
	require.GreaterOrEqual(t, len(acknowledged), 200)
	for _, hash := range acknowledged {
		_, err := p.store.FindToken(t.Context(), hash)
		require.NoError(t, err)
	}
	require.Zero(t, count(t, db, `
		select count(*) from trustpub_tokens full join trustpub_used_jtis using (hashed_token) where num_nulls(grants, hash) > 0`),
		"both or neither")
}
