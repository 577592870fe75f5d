package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestAnUnknownOutcomeThatWasASuccessIsASuccessWithOneToken(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	proxy.cuts.Store(1)

	require.NoError(t, p.save(t.Context()))

	require.LessOrEqual(t, proxy.cuts.Load(), int64(0), "no answer was cut off, so the test shows nothing")
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_used_jtis`))
	found, err := p.store.FindToken(t.Context(), p.token.Hash)
	require.NoError(t, err)
	require.Equal(t, p.token.Grants, found.Grants)
}

func TestAnUnknownOutcomeThatWasAnothersIsAlreadyUsed(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	require.NoError(t, newStore(direct).SaveToken(t.Context(), trustpubtest.NewToken(p.claims, p.config), p.claims.UsedJTI(), nil))
	proxy.cuts.Store(1)

	err := p.save(t.Context())

	require.Equal(t, domain.CodeAlreadyUsed, domain.CodeOf(err), "%v", err)
	require.LessOrEqual(t, proxy.cuts.Load(), int64(0))
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
}

func TestAnOutcomeThatStaysUnknownIsAnErrorWithinTheDeadline(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	proxy.dead.Store(true)
	proxy.cuts.Store(1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	requireFault(t, p.save(ctx))

	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`), "the statement did take effect")
}

func TestConnectionsThatAreEndedByTheServerAreReplaced(t *testing.T) {
	url, db := newDatabase(t)
	p := prepare(t, db)
	execute(t, postgrestest.Open(t, url), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)

	require.NoError(t, p.save(t.Context()))
	require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`))
}

func TestAnAttemptThatArrivesAfterItsRetryChangesNothing(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	proxy.keep.Store(true)

	require.NoError(t, p.save(t.Context()), "the retry has saved the token")

	require.NoError(t, proxy.deliver())
	require.Eventually(t, func() bool {
		return count(t, direct, `select count(*) from trustpub_used_jtis where xmax <> 0`) == 1
	}, 10*time.Second, 5*time.Millisecond, "the late statement writes the jti's row again")
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
	found, err := p.store.FindToken(t.Context(), p.token.Hash)
	require.NoError(t, err)
	require.Equal(t, p.token.Grants, found.Grants)
}

// holdInsert has the nth insert of a token wait until the lock is given up, which direct
// holds: it must have one connection.
func holdInsert(t *testing.T, direct *sql.DB, nth, lock int) {
	t.Helper()
	name := "wait" + strconv.Itoa(nth)
	execute(t, direct, `create sequence `+name)
	execute(t, direct, fmt.Sprintf(`create function %[1]s() returns trigger language plpgsql as
		$$ begin if nextval('%[1]s') = %[2]d then perform pg_advisory_xact_lock(%[3]d); end if; return new; end $$`, name, nth, lock))
	execute(t, direct, `create trigger `+name+` before insert on trustpub_tokens for each row execute function `+name+`()`)
	execute(t, direct, fmt.Sprintf(`select pg_advisory_lock(%d)`, lock))
}

func waitForLocks(t *testing.T, direct *sql.DB, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return count(t, direct, `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`) == n
	}, 10*time.Second, 5*time.Millisecond)
}

// While the first attempt runs, nobody can tell how it ends; the second waits for it.
func TestARetryWaitsForTheAttemptThatIsStillRunning(t *testing.T) {
	for _, test := range []struct {
		name string
		// end has the first attempt commit, or not.
		end string
	}{
		{"which commits", `select pg_advisory_unlock(42)`},
		{"which is undone", `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'advisory'`},
	} {
		t.Run(test.name, func(t *testing.T) {
			proxy, p, direct := behindProxy(t)
			direct.SetMaxOpenConns(1) // It holds the lock.
			holdInsert(t, direct, 1, 42)
			ended := make(chan error, 1)
			go func() { ended <- p.save(t.Context()) }()
			waitForLocks(t, direct, 1)
			proxy.cutClients()
			waitForLocks(t, direct, 2)

			execute(t, direct, test.end)

			require.NoError(t, <-ended)
			require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
			require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_used_jtis`))
		})
	}
}

func TestAConfigIsMadeOnceWhicheverAnswerIsLost(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	for passes := range 5 { // begin, lock, read, insert, commit
		t.Run(strconv.Itoa(passes), func(t *testing.T) {
			proxy.passes.Store(int64(passes))
			proxy.cuts.Store(1)

			config, err := p.store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t, func(c *domain.GitHubConfigParams) {
				c.CreatedAt, c.Package.Name = time.Now(), "lost"+strconv.Itoa(passes)
			}), 1)

			require.NoError(t, err)
			require.LessOrEqual(t, proxy.cuts.Load(), int64(0), "no answer was cut off")
			require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_configs where package = 'lost`+strconv.Itoa(passes)+`'`))
			found, err := p.store.Config(t.Context(), config.Common().ID)
			require.NoError(t, err)
			require.Equal(t, config, found)
		})
	}
}

func TestAConfigIsGoneWhicheverAnswerIsLost(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	for passes := range 3 { // begin, delete, commit
		t.Run(strconv.Itoa(passes), func(t *testing.T) {
			config, err := p.store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t, func(c *domain.GitHubConfigParams) { c.Package.Name = "lost" }), 1)
			require.NoError(t, err)
			proxy.passes.Store(int64(passes))
			proxy.cuts.Store(1)

			require.NoError(t, p.store.DeleteConfig(t.Context(), config.Common().ID))

			require.LessOrEqual(t, proxy.cuts.Load(), int64(0), "no answer was cut off")
			require.Zero(t, count(t, direct, `select count(*) from trustpub_configs where package = 'lost'`))
		})
	}
}

func TestAFrozenServerDoesNotHangARequest(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db, err := pqconn.Open(server.URL(), 500*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	migrate(t, db)
	p := prepare(t, db)
	require.NoError(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.save(ctx) }()

	select {
	case err := <-ended:
		requireFault(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the call hangs although its deadline has long passed")
	}

	require.NoError(t, server.Resume())
	require.NoError(t, p.save(t.Context()), "the same call settles what became of the first")
	require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`))
}
