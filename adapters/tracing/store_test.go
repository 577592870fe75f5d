package tracing_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/migrations"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// tracedStore is a store with spans in front and behind.
type tracedStore struct {
	application.ConfigFinder
	application.ConfigStore
	application.TokenStore
	application.ExpiredRemover
}

func newTracedStore(traces *tracing.Tracing, store trustpubtest.Store) tracedStore {
	return tracedStore{traces.ConfigFinder(store), store, traces.TokenStore(store), traces.ExpiredRemover(store)}
}

func migrate(t *testing.T, newMigrator func(*sql.DB) (*migrations.Migrator, error), db *sql.DB) {
	t.Helper()
	migrator, err := newMigrator(db)
	require.NoError(t, err)
	_, err = migrator.Up(t.Context())
	require.NoError(t, err)
}

// A statement that is watched must not end otherwise than one that is not.
func TestAStoreThatIsTracedKeepsWhatTheStoresPromise(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
			traces := newRecorder(t).tracing(t)
			db, err := sqlite.Open(filepath.Join(t.TempDir(), "t.db"), sqlite.OpenDBWith(traces.OpenSQLite))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			migrate(t, migrations.SQLite, db.Writer())
			return newTracedStore(traces, sqlite.NewStore(db, sqlite.ObserveBatches(traces.ObserveBatch)))
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
			traces := newRecorder(t).tracing(t)
			db, err := pqconn.Open(postgrestest.NewDatabase(t), 0, pqconn.OpenDBWith(traces.OpenPostgreSQL))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			migrate(t, migrations.Postgres, db)
			return newTracedStore(traces, postgres.NewStore(db, postgres.ObserveBatches(traces.ObserveBatch)))
		})
	})
}
