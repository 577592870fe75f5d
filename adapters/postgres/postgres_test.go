package postgres_test

import (
	"context"
	"database/sql"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/migrations"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// newDatabase returns the URL of a database with a current schema, and a handle.
func newDatabase(tb testing.TB) (string, *sql.DB) {
	tb.Helper()
	base := postgrestest.NewDatabase(tb)
	db := postgrestest.Open(tb, base)
	migrate(tb, db)
	return base, db
}

func migrate(tb testing.TB, db *sql.DB) {
	tb.Helper()
	migrator, err := migrations.Postgres(db)
	require.NoError(tb, err)
	_, err = migrator.Up(tb.Context())
	require.NoError(tb, err)
}

func execute(tb testing.TB, db *sql.DB, statement string) {
	tb.Helper()
	_, err := db.ExecContext(tb.Context(), statement)
	require.NoError(tb, err)
}

func count(tb testing.TB, db *sql.DB, query string) int {
	tb.Helper()
	var n int
	require.NoError(tb, db.QueryRowContext(tb.Context(), query).Scan(&n))
	return n
}

// prepared is a store with a config, and the claims and token of an exchange that
// is about to be saved.
type prepared struct {
	db     *sql.DB
	store  *postgres.Store
	config domain.Config
	claims domain.Claims
	token  domain.AccessToken
}

func prepare(tb testing.TB, db *sql.DB) prepared {
	tb.Helper()
	p := prepared{db: db, store: newStore(db), claims: trustpubtest.NewClaims(tb)}
	var err error
	p.config, err = p.store.CreateConfig(tb.Context(), trustpubtest.NewGitHubConfig(tb), 5)
	require.NoError(tb, err)
	p.token = trustpubtest.NewToken(p.claims, p.config)
	return p
}

func (p prepared) save(ctx context.Context) error {
	return p.store.SaveToken(ctx, p.token, p.claims.UsedJTI(), nil)
}

// newStore returns a store as the server has it.
func newStore(db *sql.DB) *postgres.Store {
	return postgres.NewStore(db, postgres.StatementContext(pqconn.Unwatched))
}

// requireFault checks that an error is a fault of the store and no verdict.
func requireFault(tb testing.TB, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, domain.KindInternal, domain.KindOf(err), "%v", err)
}

func TestStore(t *testing.T) {
	trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
		_, db := newDatabase(t)
		return newStore(db)
	})
}

// An operator may have set another isolation level for all that use the server.
func TestEveryIsolationLevelGivesTheSame(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			base, db := newDatabase(t)
			base += "&default_transaction_isolation=" + url.PathEscape(level)
			first, second := postgres.NewStore(postgrestest.Open(t, base)), newStore(postgrestest.Open(t, base))
			trustpubtest.TestSharedStore(t, first, second)
			trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
				execute(t, db, `truncate trustpub_configs, trustpub_tokens, trustpub_used_jtis cascade`)
				return first
			})
		})
	}
}

func TestAnExchangeReadsNothingElse(t *testing.T) {
	_, db := newDatabase(t)
	trustpubtest.TestFindsNothingElse(t, newStore(db))
}

func TestThreeReplicasGiveOneTokenForOneJTI(t *testing.T) {
	base, first := newDatabase(t)
	trustpubtest.TestSharedStore(t,
		newStore(first), newStore(postgrestest.Open(t, base)), postgres.NewStore(postgrestest.Open(t, base)))
}

func TestAFaultBetweenTheTwoInsertsSpendsNothing(t *testing.T) {
	_, db := newDatabase(t)
	p := prepare(t, db)
	execute(t, db, `create function fault() returns trigger language plpgsql as $$ begin raise exception 'injected'; end $$`)
	execute(t, db, `create trigger fault before insert on trustpub_tokens for each row execute function fault()`)

	err := p.save(t.Context())
	require.ErrorContains(t, err, "injected")
	requireFault(t, err)
	require.Zero(t, count(t, db, `select count(*) from trustpub_used_jtis`))

	execute(t, db, `drop trigger fault on trustpub_tokens`)
	require.NoError(t, p.save(t.Context()))
}

func TestSerializationFailuresAndDeadlocksAreRetried(t *testing.T) {
	for _, state := range []string{"40001", "40P01", "57P01", "53300", "25006", "08006"} {
		t.Run(state, func(t *testing.T) {
			_, db := newDatabase(t)
			p := prepare(t, db)
			// A sequence is not undone by the failure, so it counts the attempts.
			execute(t, db, `create sequence attempts`)
			execute(t, db, `create function fault() returns trigger language plpgsql as
				$$ begin if nextval('attempts') < 3 then raise exception 'injected' using errcode = '`+state+`'; end if; return new; end $$`)
			execute(t, db, `create trigger fault before insert on trustpub_tokens for each row execute function fault()`)

			require.NoError(t, p.save(t.Context()))

			require.Equal(t, 3, count(t, db, `select last_value from attempts`))
			require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`))
		})
	}
}

func TestOtherFailuresAreNotRetried(t *testing.T) {
	_, db := newDatabase(t)
	p := prepare(t, db)
	execute(t, db, `create sequence attempts`)
	execute(t, db, `create function fault() returns trigger language plpgsql as
		$$ begin perform nextval('attempts'); raise unique_violation using message = 'injected'; end $$`)
	execute(t, db, `create trigger fault before insert on trustpub_tokens for each row execute function fault()`)

	requireFault(t, p.save(t.Context()))

	require.Equal(t, 1, count(t, db, `select last_value from attempts`))
}

func TestAReplicaThatSweepsKeepsTheOthersFromIt(t *testing.T) {
	base, db := newDatabase(t)
	p := prepare(t, db)
	require.NoError(t, p.save(t.Context()))
	later := trustpubtest.Now().Add(time.Hour)
	other, err := postgrestest.Open(t, base).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var locked bool
	require.NoError(t, other.QueryRowContext(t.Context(), `select pg_try_advisory_xact_lock(1953658227, 1)`).Scan(&locked))
	require.True(t, locked)

	removed, err := p.store.RemoveExpired(t.Context(), later, 10)
	require.NoError(t, err)
	require.Zero(t, removed)

	require.NoError(t, other.Rollback())
	removed, err = p.store.RemoveExpired(t.Context(), later, 10)
	require.NoError(t, err)
	require.Equal(t, 2, removed)
}

func TestASweepLeavesRowsThatAnExchangeHolds(t *testing.T) {
	base, db := newDatabase(t)
	p := prepare(t, db)
	require.NoError(t, p.save(t.Context()))
	other, err := postgrestest.Open(t, base).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	_, err = other.ExecContext(t.Context(), `select 1 from trustpub_used_jtis for update`)
	require.NoError(t, err)

	removed, err := p.store.RemoveExpired(t.Context(), trustpubtest.Now().Add(time.Hour), 10)

	require.NoError(t, err)
	require.Equal(t, 1, removed, "the token goes, the jti that is held stays")
}

// Both have read the token before either could write it.
func TestOfTwoRevocationsThatMeetOneDidItAndItsMomentStays(t *testing.T) {
	base, db := newDatabase(t)
	p := prepare(t, db)
	require.NoError(t, p.save(t.Context()))
	watcher := postgrestest.Open(t, base)
	holder, err := watcher.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), `select 1 from trustpub_tokens for update`)
	require.NoError(t, err)
	moments := []time.Time{trustpubtest.Now().Add(time.Second), trustpubtest.Now().Add(2 * time.Second)}
	did, errs := make([]bool, 2), make([]error, 2)
	var group sync.WaitGroup
	for i, at := range moments {
		group.Go(func() { did[i], errs[i] = p.store.RevokeToken(t.Context(), p.token.Hash, at) })
	}
	require.Eventually(t, func() bool {
		return count(t, watcher, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 2
	}, 10*time.Second, 5*time.Millisecond)

	require.NoError(t, holder.Rollback())
	group.Wait()

	require.Equal(t, []error{nil, nil}, errs)
	require.NotEqual(t, did[0], did[1])
	found, err := p.store.FindToken(t.Context(), p.token.Hash)
	require.NoError(t, err)
	require.Equal(t, moments[slices.Index(did, true)], found.RevokedAt)
}

func TestAnExchangeReadsByIndex(t *testing.T) {
	_, db := newDatabase(t)
	rows, err := db.QueryContext(t.Context(), `explain (costs off) select id from trustpub_configs where issuer = 'a' and lookup_key = 'b'`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var plan []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan = append(plan, line)
	}
	require.NoError(t, rows.Err())
	require.Contains(t, strings.Join(plan, "\n"), "trustpub_configs_lookup")
}

func BenchmarkStore(b *testing.B) {
	server := postgrestest.NewServer(b, postgrestest.Options{Fsync: true})
	db := postgrestest.Open(b, server.URL())
	migrate(b, db)
	trustpubtest.BenchmarkStore(b, newStore(db))
}
