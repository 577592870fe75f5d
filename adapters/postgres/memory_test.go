package postgres_test

import (
	"context"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestConfigMemory(t *testing.T) {
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			trustpubtest.TestConfigMemory(t, func(t *testing.T) (one, other trustpubtest.MemoryStore) {
				base, _ := newDatabase(t)
				base += "&default_transaction_isolation=" + url.PathEscape(level)
				return newStore(postgrestest.Open(t, base)), postgres.NewStore(postgrestest.Open(t, base), postgres.Unshared())
			})
		})
	}
}

// recalled is prepared with what was looked up.
func recalled(t *testing.T, p prepared) application.Recalled {
	t.Helper()
	_, err := p.store.FindConfigs(t.Context(), p.claims)
	require.NoError(t, err)
	recalled, ok := p.store.RecallConfigs(p.claims)
	require.True(t, ok)
	return recalled
}

// What an operator does by hand, in an emergency for instance, holds at once.
func TestAChangeByHandIsNoticed(t *testing.T) {
	for _, statement := range []string{
		`update trustpub_configs_github set workflow_filename = 'other.yml'`,
		`update trustpub_configs_github set repository_owner_id = 66`,
		`update trustpub_configs_github set environment = 'prod'`,
		`update trustpub_configs_github set environment = ''`,
		`update trustpub_configs set package = 'other'`,
		`update trustpub_configs set issuer = 'https://other.example'`,
		`update trustpub_configs set created_at = created_at + interval '1 microsecond'`,
		`update trustpub_configs set pinned = '{"repository_id": "74"}'`,
		`delete from trustpub_configs_github`,
		`delete from trustpub_configs`,
		`truncate trustpub_configs cascade`,
		`insert into trustpub_configs_gitlab select id, 'a', 'b', 'c' from trustpub_configs`,
	} {
		t.Run(statement, func(t *testing.T) {
			_, db := newDatabase(t)
			p := prepare(t, db)
			known := recalled(t, p)

			execute(t, db, statement)

			require.ErrorIs(t, p.store.SaveRecalled(t.Context(), p.token, p.claims, known), application.ErrOutdated)
			require.Zero(t, count(t, db, `select count(*) from trustpub_used_jtis`))
			require.Zero(t, count(t, db, `select count(*) from trustpub_tokens`))
		})
	}
}

// The server has stored the token, and nobody was told. The configs change before the
// statement is run again.
func TestAnUnknownOutcomeOfARecalledExchangeIsASuccessAlsoWhenConfigsHaveChangedSince(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	known := recalled(t, p)
	execute(t, direct, `create function change() returns trigger language plpgsql as
		$$ begin insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
			select created_at, provider, ecosystem, 'second', issuer, lookup_key, pinned from trustpub_configs; return new; end $$`)
	execute(t, direct, `create trigger change before insert on trustpub_tokens for each row execute function change()`)
	proxy.cuts.Store(1)

	require.NoError(t, p.store.SaveRecalled(t.Context(), p.token, p.claims, known))

	require.LessOrEqual(t, proxy.cuts.Load(), int64(0), "no answer was cut off, so the test shows nothing")
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
	require.Equal(t, 2, count(t, direct, `select count(*) from trustpub_configs`))
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	_, db := newDatabase(t)
	store := newStore(db)
	workload := func(i int) domain.Claims {
		return trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = "r" + strconv.Itoa(i) })
	}
	// Repository r0 is trusted by twenty packages, and 1,100 others by one each.
	execute(t, db, `with made as (
			insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
			select now(), 'github', 'cargo', 'p' || i, '`+trustpubtest.Issuer+`', 'octo-org/r' || greatest(0, i - 20), '{}' from generate_series(1, 1120) i
			returning id, lookup_key
		)
		insert into trustpub_configs_github (id, repository_owner, repository_name, repository_owner_id, workflow_filename)
		select id, 'octo-org', split_part(lookup_key, '/', 2), 65, 'release.yml' from made`)
	for i := range 1101 {
		found, err := store.FindConfigs(t.Context(), workload(i))
		require.NoError(t, err)
		require.NotEmpty(t, found)
	}

	remembered := 0
	for i := range 1101 {
		if _, ok := store.RecallConfigs(workload(i)); ok {
			remembered++
		}
	}

	require.Equal(t, 1024, remembered)
	_, ok := store.RecallConfigs(workload(0))
	require.False(t, ok, "its configs are too much")
	_, ok = store.RecallConfigs(workload(1100))
	require.True(t, ok, "those that came last are remembered")
}

// While the first attempt runs, the configs change. It was right to save the token, and
// nothing shows yet that it does. To take the ID token for unused, and to save another
// token for it, would end with the ID token taken for used.
func TestWhatIsInDoubtIsNotOutdated(t *testing.T) {
	for name, change := range map[string]string{
		"another config was made": `insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
			select created_at, provider, ecosystem, 'second', issuer, lookup_key, pinned from trustpub_configs`,
		"the config was deleted": `delete from trustpub_configs`,
	} {
		t.Run(name+" and it was alone", func(t *testing.T) {
			proxy, p, direct := behindProxy(t)
			direct.SetMaxOpenConns(1) // It holds the lock.
			holdInsert(t, direct, 1, 42)
			known := recalled(t, p)
			ended := make(chan error, 1)
			go func() { ended <- p.store.SaveRecalled(t.Context(), p.token, p.claims, known) }()
			waitForLocks(t, direct, 1)
			execute(t, direct, change)
			proxy.cutClients()

			time.Sleep(200 * time.Millisecond) // It is tried again, and nothing shows yet.
			require.Empty(t, ended)
			execute(t, direct, `select pg_advisory_unlock(42)`)

			require.NoError(t, <-ended)
			require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
		})
		t.Run(name+" and it was among others", func(t *testing.T) {
			proxy, p, direct := behindProxy(t)
			seen := &sizes{largest: map[string]int{}, sum: map[string]int{}}
			p.store = postgres.NewStore(p.db, postgres.StatementContext(pqconn.Unwatched), postgres.ObserveBatches(seen.observe))
			direct.SetMaxOpenConns(1)
			holdInsert(t, direct, 1, 42)
			holdInsert(t, direct, 2, 43)
			known := recalled(t, p)
			const calls = 3
			ended := make(chan error, calls)
			for range calls {
				claims := trustpubtest.NewClaims(t)
				token := trustpubtest.NewToken(claims, p.config)
				go func() { ended <- p.store.SaveRecalled(t.Context(), token, claims, known) }()
			}
			waitForLocks(t, direct, 1)
			execute(t, direct, `select pg_advisory_unlock(42)`)
			require.NoError(t, <-ended, "that which came first")
			waitForLocks(t, direct, 1)
			execute(t, direct, change)
			proxy.cutClients()

			time.Sleep(200 * time.Millisecond)
			require.Empty(t, ended)
			execute(t, direct, `select pg_advisory_unlock(43)`)

			for range calls - 1 {
				require.NoError(t, <-ended)
			}
			require.Equal(t, calls-1, seen.largest["save_token"], "the others were not together, so the test shows nothing")
			require.Equal(t, calls, count(t, direct, `select count(*) from trustpub_tokens`))
		})
		t.Run(name+" and nothing became of it", func(t *testing.T) {
			_, p, direct := behindProxy(t)
			direct.SetMaxOpenConns(1)
			holdInsert(t, direct, 1, 42)
			known := recalled(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- p.store.SaveRecalled(ctx, p.token, p.claims, known) }()
			waitForLocks(t, direct, 1)
			execute(t, direct, change)
			execute(t, direct, `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'advisory'`)

			err := <-ended

			require.NotErrorIs(t, err, application.ErrOutdated)
			requireFault(t, err)
			require.Zero(t, count(t, direct, `select count(*) from trustpub_used_jtis`))
		})
	}
}
